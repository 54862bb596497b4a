"""Pictures and maps side by side, in one row or in several, and what their colours mean.

A panel is ``(values, title, style)``: a picture, an array, or a function that draws into
the axes it is given; its title; and what `imshow` takes (``cmap``, ``norm``, ``vmin``,
``vmax``, ``interpolation``), with ``below``, a caption, and ``label``, words for `describe`
that are not drawn. A picture (H, W, 3) made of a map states its colours by ``scale``.
"""

import textwrap
from collections.abc import Sequence
from itertools import zip_longest

import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage, BboxImage
from matplotlib.patches import Rectangle
from matplotlib.transforms import Bbox, TransformedBbox
from PIL import Image

from .._machinery.arguments import ArgumentError
from .maps import Scale, lay_over
from .style import FULL, ONE, QUIET, SMALL, TWO, styled

PANEL = 1.8  # inches: the side of a panel in labs
GAP, EDGE = 0.1, 0.03  # inches: between panels, and around them
LINE, CAPTION = 0.24, 0.19  # inches: a line of a title, and of a caption
LEGEND = 3.8  # inches: the width of a colour bar with its words

Panel = tuple[object, str, dict]


@styled
def plot_panels(
    panels: Sequence[Panel],
    size: float | None = None,
    columns: int | None = None,
    ranges=False,
) -> Figure:
    """Pictures and maps of any kind, in one row or in several of `columns` panels.

    `size` is a panel's width in inches; without it the panels fill the column of the page.
    With `ranges`, the range of each map's colours stands below it.
    """
    panels = [(*panel[:2], stated(panel[2]) if ranges else panel[2]) for panel in panels]
    columns = columns or len(panels)
    rows = [panels[i : i + columns] for i in range(0, len(panels), max(columns, 1))]
    return draw_rows(rows, size)


def draw_rows(
    rows: Sequence[Sequence[Panel]], size: float | None = None, left: float = EDGE
) -> Figure:
    """The panels of each row, as wide as each other; their colours explained below.

    A row is as high as its highest picture, with its titles and its captions: no room is
    kept for what is not there. `left` is the margin, in inches, for titles of rows.
    """
    columns = max((len(row) for row in rows), default=0)
    if columns == 0:
        raise ArgumentError("images", "must not be empty: there is nothing to plot")
    whole = {1: ONE, 2: TWO}.get(columns, FULL)
    size = size or (whole - left - EDGE + GAP) / columns - GAP
    rows = [[(v, _wrapped(t, size), dict(s)) for v, t, s in row] for row in rows]
    above = [_lines(title for _, title, _ in row) * LINE for row in rows]
    sides = [max(size * _aspect(values) for values, *_ in row) for row in rows]
    below = [_lines(s.get("below", "") for *_, s in row) * CAPTION for row in rows]
    scales = [[scale_of(style) for *_, style in row] for row in rows]
    legends = list(_legends(scales))
    height = sum(above) + sum(sides) + sum(below) + GAP * (len(rows) - 1) + 2 * EDGE
    width = left + columns * (size + GAP) - GAP + EDGE
    beside = max(1, int(width / LEGEND))
    height += 0.26 * -(-len(legends) // beside)
    figure, y = Figure(figsize=(width, height)), height - EDGE
    for row, title, side, caption in zip(rows, above, sides, below, strict=True):
        y -= title + side
        for column, panel in enumerate(row):
            x = left + column * (size + GAP)
            place = (x / width, y / height, size / width, side / height)
            axis = figure.add_axes(place, xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
            draw_panel(axis, *panel)
        y -= caption + GAP
    for number, legend in enumerate(legends):
        line, column = divmod(number, beside)
        _draw_legend(figure, left + LEGEND * column, y - 0.08 - 0.26 * line, *legend)
    return figure


def stated(style: dict) -> dict:
    """A panel's style with the range of its colours as its caption."""
    words = (style.get("label") or "").split(";")[0]
    return {"below": words, **style} if words else style


def draw_panel(axis, values, title: str, style: dict) -> AxesImage | None:
    """Draw one panel into its axes."""
    style = {k: v for k, v in style.items() if k != "scale"}
    axis.set_title(title)
    axis.set_xlabel(style.pop("below", ""), loc="left", fontsize=SMALL, color=QUIET)
    if callable(values):
        return values(axis)
    label, values = style.pop("label", None), np.asarray(values)
    if values.ndim == 3:
        style = {"interpolation": "bicubic" if len(values) > 64 else "nearest"} | style
        style = {k: v for k, v in style.items() if k not in ("cmap", "vmin", "vmax")}
    image = axis.imshow(values, **style)
    axis.set_anchor("NW")
    if label:
        image.set_label(label)
    return image


# -- what the colours mean -------------------------------------------------------------


def scale_of(style: dict) -> Scale | None:
    """What the colours of a panel stand for, if they stand for numbers."""
    if "scale" in style or "cmap" not in style:
        return style.get("scale")
    norm = style.get("norm") or Normalize(style.get("vmin"), style.get("vmax"))
    if norm.vmin is None or norm.vmax is None:
        return None
    return Scale(str(style["cmap"]), float(norm.vmin), float(norm.vmax), "label" in style)


def _legends(scales: list[list]):
    """For each colour map: one of its scales, and words for its first and last colour."""
    found = dict.fromkeys(scale for row in scales for scale in row if scale)
    for cmap in dict.fromkeys(scale.cmap for scale in found):
        alike = [scale for scale in found if scale.cmap == cmap]
        low, high = alike[-1].low, alike[-1].high
        if len({(scale.low, scale.high) for scale in alike}) == 1:
            end = " and beyond" if low == -high else " and above" if low == 0 else ""
            yield alike[-1], _short(low), _short(high) + (end if alike[-1].open else "")
        else:
            columns = [*zip_longest(*scales)]
            own = "row" if _alike(scales, cmap) else "map"
            own = "column" if own == "map" and _alike(columns, cmap) else own
            words = f"each {own} on its own scale"
            yield alike[-1], *(("−", f"+  {words}") if low < 0 else ("0", words))


def _alike(lines: list, cmap: str) -> bool:
    """Whether each row, or column, has several maps of these colours on one scale."""
    each = [[scale for scale in line if scale and scale.cmap == cmap] for line in lines]
    return all(len(line) != 1 and len(set(line)) < 2 for line in each)


def _draw_legend(figure: Figure, x: float, y: float, scale: Scale, low, high) -> None:
    """A thin colour bar with its two ends in words, at a place in inches."""
    width, height = figure.get_size_inches()
    text = {"fontsize": SMALL, "color": QUIET, "va": "center_baseline"}
    start = x + 0.02 + 0.085 * len(low) + 0.06
    figure.text((x + 0.02) / width, y / height, low, **text)
    place = Bbox.from_bounds(start / width, (y - 0.03) / height, 1 / width, 0.06 / height)
    bar = BboxImage(TransformedBbox(place, figure.transFigure), cmap=scale.cmap)
    values = np.linspace(-1 if scale.low < 0 else 0, 1, 256)[None]
    bar.set_data(lay_over(0.6, values, scale.cmap) if scale.laid_over else values)
    figure.add_artist(bar)
    frame = {"fill": False, "ec": QUIET, "lw": 0.5, "transform": figure.transFigure}
    figure.add_artist(Rectangle(place.min, place.width, place.height, **frame))
    figure.text((start + 1.07) / width, y / height, high, **text)


def _short(value: float) -> str:
    return f"{value:.2g}".replace("-", "−")


# -- room ------------------------------------------------------------------------------


def _aspect(values) -> float:
    """The height of a panel for its width."""
    if callable(values):
        return 1.0
    if isinstance(values, Image.Image):
        return values.height / values.width
    return np.shape(values)[0] / max(np.shape(values)[1], 1)


def _lines(texts) -> int:
    return max((text.count("\n") + 1 for text in texts if text), default=0)


def _wrapped(title: str, size: float) -> str:
    """A title broken where it would run into the next panel."""
    letters = max(8, int(size / 0.096))
    lines = [textwrap.wrap(line, letters) or [""] for line in title.split("\n")]
    return "\n".join(sum(lines, []))
