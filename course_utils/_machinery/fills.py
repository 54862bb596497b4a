"""What a hidden pixel is filled with: the choice behind every method that hides.

Occlusion, Integrated Gradients and the deletion curve all compare an image with one that
"says nothing". No image says nothing to a network, so the fill is an argument everywhere.
"""

import math
from collections.abc import Sequence
from contextlib import suppress
from numbers import Integral

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageColor
from torch import Tensor

from ..inputs import Inputs
from .arguments import ArgumentError, described, warn

Fill = str | Sequence[int] | Tensor


def fill_picture(fill: Fill, images: Tensor, inputs: Inputs | None = None) -> Tensor:
    """(N, C, H, W): what preprocessed images are filled with, at every pixel.

    Args:
        fill: ``"mean"``, 0 after normalisation, the mean colour; ``"blur"``, the image,
            strongly blurred; a colour by name or hex code, such as ``"black"``, or as
            three whole numbers from 0 to 255, which one channel takes as grey; or a tensor
            in the network's own normalisation, (C,) for a colour, (C, H, W) for an image.
        images: (N, C, H, W).
        inputs: by which a colour is normalised; by ImageNet's statistics without them.

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
            shapes = f"({images.shape[1]},) or {tuple(images.shape[1:])}"
            words = f"must be a tensor of shape {shapes}, got {tuple(fill.shape)}"
            raise ArgumentError("fill", words) from error
        if not filler.isfinite().all():
            raise ArgumentError("fill", "must not hold NaN or infinite values")
        return filler.clone()
    if isinstance(fill, str) and fill == "mean":
        return torch.zeros_like(images)
    if isinstance(fill, str) and fill == "blur":
        return blurred(images, sigma=max(images.shape[2:]) / 16)
    colour = _colour(fill)
    if inputs is None:
        warn(f"ImageNet's mean and std are assumed for the fill {fill!r}")
        inputs = Inputs()
    if images.shape[1] == 1:
        colour = Image.new("RGB", (1, 1), colour).convert("L").getpixel((0, 0))
    if images.shape[1] not in (1, 3) or images.shape[1] != inputs.channels:
        words = f"must not be a colour for images of {images.shape[1]} channels without "
        raise ArgumentError(
            "fill", f"{words}statistics for them, model.inputs; or a tensor"
        )
    shares = (np.divide(colour, 255) - inputs.mean) / inputs.std
    return torch.tensor(shares).to(images)[None, :, None, None].expand(images.shape).clone()


def _colour(fill) -> tuple[int, int, int]:
    if isinstance(fill, str):
        with suppress(ValueError):
            return ImageColor.getrgb(fill)[:3]
    values = fill if isinstance(fill, (tuple, list)) else ()
    if [isinstance(v, Integral) and 0 <= v <= 255 for v in values] == [True] * 3:
        return tuple(fill)
    words = (
        'must be "mean", "blur", a colour by name or as three whole numbers from 0 to 255'
    )
    raise ArgumentError("fill", f"{words}, or a tensor, got {described(fill)}")


def blurred(images: Tensor, sigma: float) -> Tensor:
    """(N, C, H, W): images under a Gaussian of standard deviation `sigma` pixels."""
    radius = math.ceil(3 * sigma)
    offsets = torch.arange(-radius, radius + 1, device=images.device, dtype=images.dtype)
    bell = torch.softmax(-(offsets**2) / (2 * sigma**2), dim=0)
    bell = bell.expand(images.shape[1], 1, 1, -1)
    padded = F.pad(images, (radius,) * 4, mode="replicate")
    rows = F.conv2d(padded, bell, groups=images.shape[1])
    return F.conv2d(rows, bell.transpose(2, 3), groups=images.shape[1])
