"""What a hidden pixel is filled with: the choice behind every method that hides.

Occlusion, Integrated Gradients and the deletion curve all compare a picture with one that
"says nothing". No picture says nothing to a network; so the fill is an argument wherever
something is hidden, and the same words mean the same everywhere.
"""

import math
from collections.abc import Sequence
from contextlib import suppress
from numbers import Integral

import torch
import torch.nn.functional as F
from PIL import ImageColor
from torch import Tensor

from ..images import IMAGENET_MEAN, IMAGENET_STD

Fill = str | Sequence[int] | Tensor


def fill_picture(fill: Fill, images: Tensor) -> Tensor:
    """What pictures are filled with, at every pixel.

    Args:
        fill: ``"mean"``, ImageNet's mean colour (0 after normalisation); ``"blur"``, the
            picture, strongly blurred; a colour by name or hex code, such as ``"black"``,
            or as three whole numbers from 0 to 255; or a tensor in the network's own
            normalisation, (3,) for a colour, (3, H, W) for a picture.
        images: (N, 3, H, W), preprocessed.

    Returns:
        (N, 3, H, W), a tensor of its own.

    Raises:
        ValueError: a fill of another kind, in one sentence.

    Example:
        >>> fill_picture("mean", torch.ones(1, 3, 2, 2)).abs().max()
        tensor(0.)
    """
    if isinstance(fill, Tensor):
        fill = fill.to(images)
        fill = fill[:, None, None] if fill.ndim == 1 else fill
        try:
            filler = fill.expand(images.shape)
        except RuntimeError as error:
            wanted = f"({images.shape[1]},) or {tuple(images.shape[1:])}"
            raise ValueError(
                f"fill: wants a tensor of shape {wanted}, not {tuple(fill.shape)}"
            ) from error
        if not filler.isfinite().all():
            raise ValueError("fill: holds NaN or infinite values")
        return filler.clone()
    if isinstance(fill, str) and fill == "mean":
        return torch.zeros_like(images)
    if isinstance(fill, str) and fill == "blur":
        return blurred(images, sigma=max(images.shape[2:]) / 16)
    colour = torch.tensor(_colour(fill)) / 255
    if images.shape[1] != 3:
        raise ValueError(f"fill: a colour wants a picture of 3 channels, not {fill!r}")
    colour = (colour - torch.tensor(IMAGENET_MEAN)) / torch.tensor(IMAGENET_STD)
    return colour.to(images)[None, :, None, None].expand(images.shape).clone()


def _colour(fill) -> tuple[int, int, int]:
    if isinstance(fill, str):
        with suppress(ValueError):
            return ImageColor.getrgb(fill)[:3]
    several = fill if isinstance(fill, (tuple, list)) else ()
    whole = [isinstance(v, Integral) and 0 <= v <= 255 for v in several]
    if whole == [True] * 3:
        return tuple(fill)
    raise ValueError(
        'fill: wants "mean", "blur", a colour by name or as three whole numbers from 0 to '
        f"255, or a tensor, not {fill!r}"
    )


def blurred(images: Tensor, sigma: float) -> Tensor:
    """(N, C, H, W): pictures under a Gaussian of standard deviation `sigma` pixels."""
    radius = math.ceil(3 * sigma)
    weights = torch.arange(-radius, radius + 1, device=images.device, dtype=images.dtype)
    weights = torch.softmax(-(weights**2) / (2 * sigma**2), dim=0)
    channels = images.shape[1]
    for shape, pads in (((-1, 1), (0, 0, radius, radius)), ((1, -1), (radius,) * 2)):
        kernel = weights.view(shape).expand(channels, 1, -1, -1)
        pads = (*pads, 0, 0) if len(pads) == 2 else pads
        images = F.conv2d(F.pad(images, pads, mode="replicate"), kernel, groups=channels)
    return images
