r"""Tests of maps: does a map tell of this network, this class and this picture?

A map that looks right to people may still say nothing about the network. Three questions
that can be answered by counting, each beside baselines that know nothing:

* `randomization_test`: does the map change when the network forgets what it learned
  (Adebayo et al. 2018, arXiv:1810.03292)?
* `deletion_insertion`: does the score fall when the map's brightest pixels are hidden
  (Petsiuk, Das & Saenko 2018, arXiv:1806.07421, section 4.3)?
* `pointing_game`: does the brightest pixel lie on the object
  (Zhang et al. 2018, arXiv:1608.00507)?

`random_maps`, `centre_maps` and `edge_maps` are the baselines; `bootstrap_interval` says
how far a mean over a few pictures can be trusted.
"""

import zlib
from collections.abc import Callable, Sequence

import numpy as np
import torch
from scipy.ndimage import sobel
from torch import Tensor, nn

from .targets import Targets

Maps = Callable[[nn.Module, Tensor, Targets], Tensor]
Box = Sequence[float]
SCORES = ("probability", "logit")
AT_ONCE = 16  # pictures in one pass

# -- baselines -------------------------------------------------------------------------


def random_maps(images: Tensor, seed: int = 0) -> Tensor:
    """Noise in [0, 1): (N, H, W), for each picture its own, whatever its batch."""
    maps = []
    for image in images.detach().cpu():
        own = zlib.crc32(image.contiguous().numpy().tobytes())
        random = torch.Generator().manual_seed(own + seed)
        maps.append(torch.rand(image.shape[1:], generator=random))
    return torch.stack(maps).to(images)


def centre_maps(images: Tensor, spread: float = 0.25) -> Tensor:
    """One bright spot in the middle: (N, H, W), in (0, 1].

    Args:
        images: (N, C, H, W); only their size counts.
        spread: standard deviation of the Gaussian, as a share of each side.
    """
    sides = images.shape[2:]
    ys, xs = (((torch.arange(n) + 0.5) / n - 0.5) / spread for n in sides)
    spot = torch.exp(-(ys[:, None] ** 2 + xs[None, :] ** 2) / 2)
    return spot.to(images).expand(len(images), -1, -1).clone()


def edge_maps(images: Tensor) -> Tensor:
    """How steeply brightness changes: (N, H, W), the length of Sobel's gradient.

    It knows the picture and no network.
    """
    grey = images.detach().cpu().mean(dim=1).numpy()
    steepness = np.hypot(sobel(grey, axis=1), sobel(grey, axis=2))
    return torch.from_numpy(steepness).to(images)


# -- intervals -------------------------------------------------------------------------


def bootstrap_interval(
    values, level: float = 0.95, resamples: int = 4000, seed: int = 0
) -> tuple[float, float]:
    """Between which values the mean lies, as far as these few numbers tell.

    Draw as many of the numbers with replacement, again and again; the middle `level` of
    all those means is the interval (Efron 1979, the percentile method).

    Args:
        values: N numbers, such as one a picture.
        level: share of the means inside the interval.
        resamples: how many times N of them are drawn.
        seed: of the draws.

    Raises:
        ValueError: no numbers, NaN among them, or a level outside (0, 1).

    Example:
        >>> bootstrap_interval([2.0, 2.0, 2.0])
        (2.0, 2.0)
    """
    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or values.size == 0 or not np.isfinite(values).all():
        raise ValueError(f"values: wants a row of finite numbers, not {values!r:.60}")
    if not 0 < level < 1:
        raise ValueError(f"level: wants a share in (0, 1), not {level!r}")
    draws = np.random.default_rng(seed).integers(values.size, size=(resamples, values.size))
    low, high = np.quantile(values[draws].mean(axis=1), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
