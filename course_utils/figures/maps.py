"""Maps on a stated scale: as panels, as pictures and as files.

Throughout this module a map is an array or a tensor, `limit` is the value drawn in the
strongest colour (by `map_limits` unless given), and `cmap` names a colour map of
matplotlib.
"""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import torch
from matplotlib.colors import CenteredNorm
from PIL import Image
from scipy.ndimage import gaussian_filter

from .._machinery.arguments import ArgumentError, choice
from .._machinery.files import write_whole
from ..images import fit_image, load_image
from .words import SIGNED, describe_map

SCALES = ("each", "shared")


def to_array(values) -> np.ndarray:
    """A tensor (on any device) or array as NumPy floats."""
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu().numpy()
    return np.asarray(values, dtype=float)


def map_limits(
    maps: Sequence, scale: str = "each", percentile: float = 99.5
) -> list[float]:
    """The value drawn in the strongest colour, for each of N maps (H, W).

    A few pixels far above all others would leave the rest of a map in the dark, so the
    range ends at a percentile of the absolute values (100 is the maximum). An all-zero
    map gets the limit 1, and so is drawn dark.

    Args:
        scale: ``"each"`` takes each map's own percentile, ``"shared"`` the largest of
            them for all, so that maps can be compared with one another.

    Example:
        >>> map_limits([np.eye(2), 4 * np.eye(2)], scale="shared")
        [4.0, 4.0]
    """
    choice("scale", scale, SCALES)
    values = [np.abs(to_array(m)) for m in maps]
    for index, v in enumerate(values):
        if v.size == 0 or not np.isfinite(v).all():
            words = "is empty or holds NaN or infinite values"
            raise ArgumentError(f"maps[{index}]", words)
    limits = [float(np.percentile(v, percentile, method="higher")) for v in values]
    # A map that is zero almost everywhere still has a largest value to be drawn by.
    limits = [limit or float(v.max()) for limit, v in zip(limits, values, strict=True)]
    if scale == "shared":
        limits = [max(limits)] * len(limits)
    return [limit or 1.0 for limit in limits]


def limit_of(values, limit: float | None = None) -> float:
    """`limit`, or the one by which `map_limits` draws a single map."""
    return limit or map_limits([values])[0]


def range_text(limit: float) -> str:
    """How a panel states its colours: the top colour stands for `limit` and above."""
    return f"0 to {limit:.2g} and above"


def map_panel(
    values, title: str = "", limit: float | None = None, cmap: str = "inferno"
) -> tuple:
    """A map as one of the panels of `plot_panels`.

    A map (H, W), not negative, is drawn from 0 to `limit` in the colours of `cmap`, a
    signed map (3, H, W) in colour with zero as middle grey.
    """
    if np.ndim(values) == 3:
        return signed_panel(values, title, limit)
    limit = limit_of(values, limit)
    style = {"cmap": cmap, "vmin": 0, "vmax": limit, "below": range_text(limit)}
    return to_array(values), title, style


def signed_style(limit: float) -> dict:
    """How `plot_panels` draws a signed map (H, W): blue below zero, white, red above."""
    below = f"±{limit:.2g} and beyond"
    return {"cmap": "RdBu_r", "norm": CenteredNorm(halfrange=limit), "below": below}


def signed_panel(gradient, title: str = "", limit: float | None = None) -> tuple:
    """A signed map as one of the panels of `plot_panels`.

    A map (3, H, W) is drawn in colour with zero as middle grey, a map (H, W) in red above
    zero and blue below.
    """
    values, limit = to_array(gradient), limit_of(gradient, limit)
    style = signed_style(limit)
    if values.ndim == 2:
        return values, title, style
    label = SIGNED + describe_map(np.abs(values).max(axis=0))
    return signed_picture(values, limit), title, {"below": style["below"], "label": label}


def signed_picture(gradient, limit: float | None = None) -> np.ndarray:
    """A signed map (3, H, W) as a picture (H, W, 3) in [0, 1]; zero is middle grey.

    Example:
        >>> signed_picture(np.full((3, 1, 1), -2.0), limit=4.0).tolist()
        [[[0.25, 0.25, 0.25]]]
    """
    values = to_array(gradient)
    if values.ndim != 3 or len(values) != 3:
        words = f"must have the shape (3, H, W), got {values.shape}"
        raise ArgumentError("gradient", words)
    values = 0.5 + values / (2 * limit_of(values, limit))
    return values.clip(0, 1).transpose(1, 2, 0)


def overlay(
    image, saliency, cmap: str = "inferno", limit: float | None = None
) -> np.ndarray:
    """A map laid over its picture, which shows through where the map is small.

    Single bright pixels cannot be made out on a photograph: `smooth` the map first.

    Args:
        image: a picture of any size; it is scaled and cropped to the map's.
        saliency: (H, W) with H = W, not negative.

    Returns:
        (H, W, 3) floats in [0, 1].
    """
    values = square(saliency)
    values = (values / limit_of(values, limit)).clip(0, 1)
    grey = np.asarray(fit_image(load_image(image), len(values)).convert("L")) / 255
    colour = matplotlib.colormaps[cmap](values)[..., :3]
    opacity = 0.85 * values[..., None]
    return grey[..., None] * (1 - opacity) + colour * opacity


def overlay_panel(
    image, saliency, title="", limit: float | None = None, cmap="inferno"
) -> tuple:
    """An `overlay` as one of the panels of `plot_panels`."""
    limit = limit_of(saliency, limit)
    return overlay(image, saliency, cmap, limit), title, {"below": range_text(limit)}


def smooth(saliency, sigma: float = 3.0) -> np.ndarray:
    """A map (H, W) blurred by a Gaussian of standard deviation `sigma` pixels."""
    return gaussian_filter(to_array(saliency), sigma)


def square(saliency) -> np.ndarray:
    """A map as an array, if it is (H, W) with H = W."""
    values = to_array(saliency)
    if values.ndim != 2 or values.shape[0] != values.shape[1]:
        words = f"must be a map (H, W) with H = W, got the shape {values.shape}"
        raise ArgumentError("saliency", words)
    return values


def map_picture(values, cmap: str = "gray", limit: float | None = None) -> Image.Image:
    """A map (H, W) or (3, H, W) as a picture, pixel for pixel, drawn as by `map_panel`."""
    values = to_array(values)
    if values.ndim == 3:
        return load_image(signed_picture(values, limit))
    if values.ndim != 2:
        words = f"must be a map (H, W) or (3, H, W), got the shape {values.shape}"
        raise ArgumentError("values", words)
    values = (values / limit_of(values, limit)).clip(0, 1)
    return load_image(matplotlib.colormaps[cmap](values)[..., :3])


def save_map(
    values, path: str | Path, cmap: str = "gray", limit: float | None = None
) -> Path:
    """Write a map to a PNG file, as `map_picture` draws it; returns the file's full path.

    The file appears whole or not at all: a failure leaves what was there before. A missing
    folder is created, and ``.png`` is added where `path` has no ending.

    Raises:
        ArgumentError: the map does not fit, or `path` has another ending.
        OSError: the folder or the file cannot be written.

    Example:
        >>> save_map(np.eye(4), "maps/eye").name
        'eye.png'
    """
    path = Path(path).expanduser()
    path = path if path.suffix else path.with_suffix(".png")
    if path.suffix.lower() != ".png":
        raise ArgumentError("path", f"must end in .png, got {path.name!r}")
    picture = map_picture(values, cmap, limit)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, picture.save)
    except OSError as error:
        raise type(error)(f"{path} cannot be written ({error})") from error
    return path.resolve()
