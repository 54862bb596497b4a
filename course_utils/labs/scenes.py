"""The panels that labs share: photographs, maps over them, classes as bars, figures."""

import io
from collections.abc import Iterable, Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from ..figures import describe, describe_map, map_limits, signed_picture, to_array
from ..figures.style import BLUE, ORANGE
from ..methods import Method
from .asking import Asked, coloured
from .touch import Bars, Layer, Pictures

EXPLAINED, OTHER = ORANGE, BLUE  # the class that is explained, and the others


def photo_panel(asked: Asked, photo: str, key: str = "photo", **panel) -> Pictures:
    """A photograph, fine enough for the screen; its places count the network's pixels.

    `layers` of the `panel` come on top of it, or of another `base`, such as the grey one.
    """
    rows, columns = asked.inputs.sides
    base = panel.pop("base", None) or Layer(asked.looks(photo))
    layers = [base, *panel.pop("layers", ())]
    panel = {"title": photo.replace("_", " "), "size": (columns, rows)} | panel
    return Pictures(key=key, layers=layers, **panel)


def grey(picture: Image.Image) -> Layer:
    """A photograph in grey, as it lies under a map."""
    return Layer(picture.convert("L").convert("RGB"))


def map_layer(values, limit: float | None = None, cmap: str = "inferno", **look) -> Layer:
    """A map (H, W), from 0, or a signed one (3, H, W), as a layer that covers all."""
    values = to_array(values)
    limit = limit or map_limits([values])[0]
    if values.ndim == 3:
        return Layer(signed_picture(values, limit), **look)
    return Layer(matplotlib.colormaps[cmap]((values / limit).clip(0, 1))[..., :3], **look)


def veil(
    values, limit: float | None = None, signed: bool = False, cmap: str = "inferno", **look
) -> Layer:
    """A map (H, W) as a layer that is the more opaque the larger the value.

    Signed values are red above zero and blue below, whatever the `cmap`; NaN, not known
    yet, shows nothing.
    """
    values = to_array(values)
    known = np.nan_to_num(values)
    limit = limit or map_limits([known])[0]
    share = (known / limit).clip(-1, 1)
    colours = (
        matplotlib.colormaps["RdBu_r"](0.5 + share / 2)
        if signed
        else (matplotlib.colormaps[cmap](share.clip(0, 1)))
    )
    colours[..., 3] = 0.85 * np.abs(share)
    return Layer(colours, **look)


def method_layer(method: Method, values: Tensor, side: str | None = None) -> Layer:
    """A method's map: one of colours as it is, any other as a veil over the photograph."""
    if values.ndim == 3:
        return map_layer(coloured(values), side=side)
    return veil(values, signed=method.signed, side=side)


def swipe_panel(
    asked: Asked, photo: str, layers: Sequence[Layer], hand: dict, **panel
) -> Pictures:
    """The grey photograph with two layers, on the left and the right of a divider."""
    step = max(asked.inputs.sides[1] // 28, 1)
    tool = {"kind": "point", "divider": True, "step": step}
    panel = {"key": "maps", "base": grey(asked.looks(photo)), "tool": tool} | panel
    return photo_panel(asked, photo, layers=layers, hand=hand, **panel)


def map_words(values, limit: float | None = None) -> str:
    """A panel's `words`: what a map holds."""
    return describe_map(to_array(values))


def class_bars(
    asked: Asked,
    shares: Tensor,
    classes: Iterable[int] | None = None,
    before: Tensor | None = None,
    explained: Sequence[int] = (),
    count: int = 5,
    key: str = "bars",
    **panel,
) -> Bars:
    """Bars of the probabilities of `classes`, or of the most probable ones.

    `shares` and `before`, drawn as ticks, are (classes,); the `explained` ones stand out.
    """
    chosen = shares.topk(min(count, len(shares))).indices.tolist()
    chosen = chosen if classes is None else list(classes)
    bars = [
        {
            "name": asked.name(index),
            "value": round(float(shares[index]), 4),
            "text": f"{float(shares[index]):.1%}",
            "colour": EXPLAINED if index in explained else OTHER,
        }
        | ({} if before is None else {"before": round(float(before[index]), 4)})
        for index in chosen
    ]
    return Bars(key=key, bars=bars, **{"title": "probability", "weight": 1.1} | panel)


def figure_panel(figure: Figure, key: str = "figure", **panel) -> Pictures:
    """A figure of matplotlib as a panel, twice as fine as it is shown."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=160, pil_kwargs={"compress_level": 1})
    picture = Image.open(file).convert("RGB")
    panel = {"words": describe(figure), "size": picture.size, "weight": 3.0} | panel
    return Pictures(key=key, layers=[Layer(picture)], **panel)
