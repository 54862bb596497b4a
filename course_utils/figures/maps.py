"""Maps on a stated scale: as panels, as pictures, as files."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import matplotlib
import numpy as np
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter

from ..images import fit_image, load_image
from .words import SIGNED, describe_map

SCALES = ("each", "shared")


def map_limits(
    maps: Sequence, scale: str = "each", percentile: float = 99.5
) -> list[float]:
    """The value drawn in the strongest colour, for each map.

    A few pixels far above all others would leave the rest of a map in the dark, so the
    range ends at a percentile; what lies above is drawn in the same strongest colour.

    Args:
        maps: N arrays or tensors (H, W).
        scale: ``"each"`` takes each map's own percentile, ``"shared"`` the largest of
            them for all, so that maps can be compared with one another.
        percentile: of the absolute values of a map; 100 is its maximum.

    Returns:
        N positive numbers; 1 in place of 0, so that an all-zero map is drawn dark.

    Example:
        >>> map_limits([np.eye(2), 4 * np.eye(2)], scale="shared")
        [4.0, 4.0]
    """
    if scale not in SCALES:
        raise ValueError(f"scale: wants one of {', '.join(SCALES)}, not {scale!r}")
    values = [np.abs(to_array(m)) for m in maps]
    for number, v in enumerate(values):
        if v.size == 0 or not np.isfinite(v).all():
            raise ValueError(f"maps: number {number} is empty, or holds NaN or infinity")
    limits = [float(np.percentile(v, percentile, method="higher")) for v in values]
    # A map that is zero almost everywhere still has a largest value to be drawn by.
    limits = [limit or float(v.max()) for limit, v in zip(limits, values, strict=True)]
    if scale == "shared":
        limits = [max(limits)] * len(limits)
    return [limit or 1.0 for limit in limits]


def range_text(limit: float) -> str:
    """How a panel states its colours: the top colour stands for `limit` and above."""
    return f"0 to {limit:.2g} and above"


def signed_style(limit: float) -> dict:
    """How `plot_panels` draws a signed map (H, W): blue below zero, white, red above."""
    below = f"±{limit:.2g} and beyond"
    return {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit, "below": below}


def signed_panel(gradient, title: str = "", limit: float | None = None) -> tuple:
    """A signed map as one of the panels of `plot_panels`.

    Args:
        gradient: (3, H, W), drawn in colour with zero as middle grey; or (H, W), drawn in
            red above zero and blue below.
        title: of the panel.
        limit: the absolute value drawn in the strongest colour; by `map_limits` unless
            given.
    """
    values = to_array(gradient)
    style = signed_style(map_limits([values])[0] if limit is None else limit)
    if values.ndim == 2:
        return values, title, style
    picture = signed_picture(values, style["vmax"])
    label = SIGNED + describe_map(np.abs(values).max(axis=0))
    return picture, title, {"below": style["below"], "label": label}


def signed_picture(gradient, limit: float | None = None) -> np.ndarray:
    """A signed map of three colours as a picture in which zero is middle grey.

    Args:
        gradient: (3, H, W), signed, as `input_gradient` gives it for one picture.
        limit: the absolute value drawn as 0 or 1; by `map_limits` unless given.

    Returns:
        (H, W, 3) floats in [0, 1].

    Example:
        >>> signed_picture(np.full((3, 1, 1), -2.0), limit=4.0).tolist()
        [[[0.25, 0.25, 0.25]]]
    """
    values = to_array(gradient)
    if values.ndim != 3 or len(values) != 3:
        raise ValueError(f"gradient: wants the shape (3, H, W), not {values.shape}")
    limit = map_limits([values])[0] if limit is None else limit
    return (0.5 + values / (2 * limit)).clip(0, 1).transpose(1, 2, 0)


def overlay(
    image, saliency, cmap: str = "inferno", limit: float | None = None
) -> np.ndarray:
    """A map laid over its picture, which shows through where the map is small.

    Single bright pixels cannot be made out on a photograph: `smooth` the map first.

    Args:
        image: a picture of any size; it is scaled and cropped to the map's.
        saliency: (H, W) with H = W, not negative.
        cmap: a colour map of matplotlib.
        limit: the value drawn in the strongest colour; by `map_limits` unless given.

    Returns:
        (H, W, 3) floats in [0, 1].
    """
    values = _square(saliency)
    values = (values / (limit or map_limits([values])[0])).clip(0, 1)
    grey = np.asarray(fit_image(load_image(image), len(values)).convert("L")) / 255
    colour = matplotlib.colormaps[cmap](values)[..., :3]
    opacity = 0.85 * values[..., None]
    return grey[..., None] * (1 - opacity) + colour * opacity


def smooth(saliency, sigma: float = 3.0) -> np.ndarray:
    """A map (H, W) blurred by a Gaussian of standard deviation `sigma` pixels."""
    return gaussian_filter(to_array(saliency), sigma)


def to_array(values) -> np.ndarray:
    """A tensor (on any device) or array as NumPy floats."""
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu().numpy()
    return np.asarray(values, dtype=float)


def map_picture(values, cmap: str = "gray", limit: float | None = None) -> Image.Image:
    """A map as a picture, pixel for pixel.

    Args:
        values: (H, W), not negative, drawn from 0 to `limit` in the colours of `cmap`;
            or (3, H, W), signed, drawn in colour with zero as middle grey.
        cmap: a colour map of matplotlib.
        limit: the value drawn in the strongest colour; by `map_limits` unless given.
    """
    values = to_array(values)
    if values.ndim == 3:
        return load_image(signed_picture(values, limit))
    if values.ndim != 2:
        raise ValueError(f"values: wants a map (H, W) or (3, H, W), not {values.shape}")
    limit = map_limits([values])[0] if limit is None else limit
    return load_image(matplotlib.colormaps[cmap]((values / limit).clip(0, 1))[..., :3])


def save_map(
    values, path: str | Path, cmap: str = "gray", limit: float | None = None
) -> Path:
    """Write a map to a PNG file, as `map_picture` draws it.

    The file appears whole or not at all: a failure leaves what was there. Its folder is
    made where there is none.

    Args:
        values: (H, W) or (3, H, W); see `map_picture`.
        path: of the file; ``.png`` is added where it has no ending.
        cmap: a colour map of matplotlib.
        limit: the value drawn in the strongest colour; by `map_limits` unless given.

    Returns:
        The file's full path.

    Raises:
        ValueError: another ending than ``.png``.
        OSError: the folder or the file cannot be written; the sentence says where.

    Example:
        >>> save_map(np.eye(4), "maps/eye").name
        'eye.png'
    """
    path = Path(path).expanduser()
    path = path if path.suffix else path.with_suffix(".png")
    if path.suffix.lower() != ".png":
        raise ValueError(f"path: wants a name that ends in .png, not {path.name!r}")
    picture, draft = map_picture(values, cmap, limit), path.with_name(f".{path.name}.draft")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(draft, "PNG")
        draft.replace(path)
    except OSError as error:
        raise type(error)(f"path: {path} cannot be written ({error})") from error
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
    return path.resolve()


def _square(saliency) -> np.ndarray:
    values = to_array(saliency)
    if values.ndim != 2 or values.shape[0] != values.shape[1]:
        raise ValueError(f"saliency: wants a map (H, W) with H = W, not {values.shape}")
    return values
