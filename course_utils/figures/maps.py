"""Maps on a stated scale: as panels, as pictures and as files.

A map is an array or a tensor, `limit` the value drawn in the strongest colour (by
`map_limits` unless given), and `cmap` the name of a colour map of matplotlib.
"""

from pathlib import Path
from typing import NamedTuple

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
DIVERGING = ("RdBu_r",)  # colour maps with zero in the middle


class Scale(NamedTuple):
    """What colours stand for: a colour map, and the values of its first and last colour."""

    cmap: str
    low: float
    high: float
    open: bool = True  # there may be values beyond
    laid_over: bool = False  # over a grey photograph


def to_array(values) -> np.ndarray:
    """A tensor (on any device) or array as NumPy floats."""
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu().numpy()
    return np.asarray(values, dtype=float)


def map_limits(maps, scale: str = "each", percentile: float = 99.5) -> list[float]:
    """The value drawn in the strongest colour, for each of N maps (H, W).

    A few pixels far above all others would leave the rest of a map in the dark, so the
    range ends at a percentile of the absolute values (100 is the maximum): each map's own,
    or the largest of them for all (``"shared"``). An all-zero map gets the limit 1.

    Example:
        >>> map_limits([np.eye(2), 4 * np.eye(2)], scale="shared")
        [4.0, 4.0]
    """
    choice("scale", scale, SCALES)
    limits = []
    for i, values in enumerate(np.abs(to_array(m)) for m in maps):
        if values.size == 0 or not np.isfinite(values).all():
            raise ArgumentError(f"maps[{i}]", "is empty or holds NaN or infinite values")
        limit = float(np.percentile(values, percentile, method="higher"))
        limits.append(limit or float(values.max()))  # 0: almost all of the map is zero
    if scale == "shared":
        limits = [max(limits)] * len(limits)
    return [limit or 1.0 for limit in limits]


def limit_of(values, limit: float | None = None) -> float:
    """`limit`, or the one by which `map_limits` draws a single map."""
    return limit or map_limits([values])[0]


def range_text(limit: float) -> str:
    """What a panel's colours stand for, in words: the last one for `limit` and above."""
    return f"0 to {limit:.2g} and above"


def signed_text(limit: float) -> str:
    """The same for colours of both signs."""
    return f"±{limit:.2g} and beyond"


def map_panel(values, title="", limit: float | None = None, cmap="inferno") -> tuple:
    """A map (H, W), from 0, or a signed map (3, H, W), as a panel of `plot_panels`."""
    if np.ndim(values) == 3:
        return signed_panel(values, title, limit)
    limit = limit_of(values, limit)
    return to_array(values), title, map_style(limit, cmap)


def map_style(limit: float, cmap: str = "inferno") -> dict:
    """How `plot_panels` draws a map (H, W) from 0."""
    return {"cmap": cmap, "vmin": 0, "vmax": limit, "label": range_text(limit)}


def signed_style(limit: float) -> dict:
    """How `plot_panels` draws a signed map (H, W): blue below zero, white, red above."""
    norm = CenteredNorm(halfrange=limit)
    return {"cmap": "RdBu_r", "norm": norm, "label": signed_text(limit)}


def signed_panel(gradient, title: str = "", limit: float | None = None) -> tuple:
    """A signed map as a panel of `plot_panels`, drawn as `plot_signed` says."""
    values, limit = to_array(gradient), limit_of(gradient, limit)
    style = signed_style(limit)
    if values.ndim == 2:
        return values, title, style
    words = f"{signed_text(limit)}; {SIGNED}{describe_map(np.abs(values).max(axis=0))}"
    style = {"label": words, "scale": Scale("gray", -limit, limit)}
    return signed_picture(values, limit), title, style


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
    image, saliency, cmap: str | None = None, limit: float | None = None
) -> np.ndarray:
    """(H, W, 3) in [0, 1]: a map over its picture in grey, seen where the map is small.

    The map is (H, W) with H = W, the picture is scaled and cropped to it. The larger a
    value, the more it covers. Without `cmap` a map is drawn in ``inferno``, one with
    negative values in ``RdBu_r``: blue below zero, red above. Single bright pixels cannot
    be made out on a photograph: `smooth` the map first.
    """
    values = square(saliency)
    grey = np.asarray(fit_image(load_image(image), len(values)).convert("L")) / 255
    cmap = cmap or _colours(values)
    return lay_over(grey, (values / limit_of(values, limit)).clip(-1, 1), cmap)


def lay_over(grey, values: np.ndarray, cmap: str) -> np.ndarray:
    """Colours of values in [-1, 1] over a grey picture, the more opaque the larger."""
    size = np.abs(values)
    # Pale colours would lie on the photograph like a veil, dark ones would hide it.
    signed = 0.5 + np.sign(values) * (0.3 + 0.12 * size)
    colour = matplotlib.colormaps[cmap](signed if cmap in DIVERGING else size)[..., :3]
    opacity = 0.85 * size[..., None]
    return np.asarray(grey)[..., None] * (1 - opacity) + colour * opacity


def overlay_panel(
    image, saliency, title="", limit: float | None = None, cmap: str | None = None
) -> tuple:
    """An `overlay` as a panel of `plot_panels`."""
    values, limit = square(saliency), limit_of(saliency, limit)
    cmap = cmap or _colours(values)
    signed = cmap in DIVERGING
    words = signed_text(limit) if signed else range_text(limit)
    colours = Scale(cmap, -limit if signed else 0.0, limit, laid_over=True)
    style = {"label": f"{words}; {describe_map(values)}", "scale": colours}
    return overlay(image, values, cmap, limit), title, style


def _colours(values: np.ndarray) -> str:
    return "RdBu_r" if values.min() < 0 else "inferno"


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


def save_map(values, path: str | Path, cmap="gray", limit: float | None = None) -> Path:
    """Write a map to a PNG file, as `map_picture` draws it; returns the file's full path.

    The file appears whole or not at all. A missing folder is created, and ``.png`` is added
    where `path` has no ending; another ending raises an `ArgumentError`, and what cannot be
    written an `OSError`.

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
