"""Every plot of the course: a function ``plot_…`` draws a `Figure` and returns it.

`images` are pictures of any kind that `load_image` takes, scaled and cropped to their maps;
`titles` are one text for each of them; `scale`, ``"each"`` or ``"shared"``, is that of
`map_limits`; `cmap` names a colour map of matplotlib; `size` is a panel's width in inches.
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from PIL import Image

from .._machinery.arguments import ArgumentError
from ..images import fit_image, load_image
from ..inputs import Inputs
from ..models import class_names
from ..targets import probabilities
from .maps import (
    limit_of,
    map_limits,
    map_panel,
    overlay_panel,
    signed_panel,
    signed_picture,
    signed_style,
    smooth,
    square,
    to_array,
)
from .words import describe_map

Titles = Sequence[str] | None
Cells = Sequence[tuple[int, int]]  # the row and the column of each

PANEL, TITLE, GAP = 1.8, 0.3, 0.1  # inches: a panel's side, its title, between two panels
BLUE, ORANGE, GREY = "#3b6ea5", "#c1440e", "#999999"


# -- pictures and maps -----------------------------------------------------------------


def plot_images(images: Sequence, titles: Titles = None) -> Figure:
    """Pictures in a row: PIL pictures, or arrays (H, W, 3)."""
    titles = _texts(titles, images)
    return plot_panels([(*panel, {}) for panel in zip(images, titles, strict=True)])


def plot_panels(panels: Sequence[tuple], size: float = PANEL, columns=None) -> Figure:
    """Pictures and maps of any kind, in one row or in several of `columns` panels.

    Each panel is ``(values, title, style)``: a picture, an array, or a function that draws
    into the axes it is given; its title; and what `imshow` takes (``cmap``, ``vmin``,
    ``vmax``) with ``below``, a text.
    """
    columns = columns or len(panels)
    lines = 1 + max((p[2].get("below", "").count("\n") for p in panels), default=0)
    rows = -(-len(panels) // max(columns, 1))
    below = 0.27 + 0.16 * (lines - 1) + 0.27 * (rows > 1)  # above the next row's titles
    figure, axes = _grid(rows, columns, size, below=below)
    for axis in axes.flat[len(panels) :]:
        axis.remove()
    for axis, panel in zip(axes.flat, panels, strict=False):
        _draw(axis, *panel)
    return figure


def plot_signed(maps: Sequence, titles: Titles = None, scale="each", size=PANEL) -> Figure:
    """Signed maps in a row, zero in the middle of their colours.

    Each is (3, H, W), drawn in colour with zero as middle grey; or (H, W), drawn in red
    above zero and blue below; or a picture, drawn unchanged.
    """
    return plot_panels(_panels(maps, _texts(titles, maps), scale, signed_panel), size)


def plot_saliency(image, saliency, title: str = "", cmap: str = "inferno") -> Figure:
    """One photograph, its map (H, W) with H = W, and the smoothed map laid over it."""
    values, smoothed = square(saliency), smooth(saliency)
    panels = [
        (fit_image(load_image(image), len(values)), title, {}),
        map_panel(values, "saliency map", cmap=cmap),
        overlay_panel(image, smoothed, "smoothed, laid over it", cmap=cmap),
    ]
    return plot_panels(panels, size=2.6)


def plot_maps(
    images, maps, titles: Titles = None, scale="each", cmap="inferno", overlaid=False
) -> Figure:
    """The 2×N panel: pictures above, their saliency maps below.

    The maps are (N, H, W), or N arrays (H, W), with H = W, and not negative. A shared scale
    is shown by one colour bar. `overlaid`: smooth each map and lay it over its picture.
    """
    one_bar = scale == "shared" and not overlaid
    figure, axes = _grid(2, len(images), right=0.9 if one_bar else 0.05)
    if len(maps) != len(images):
        words = f"must have one map for each of {len(images)} images, got {len(maps)}"
        raise ArgumentError("maps", words)
    maps = [smooth(square(m)) if overlaid else square(m) for m in maps]
    rows = zip(images, maps, map_limits(maps, scale), _texts(titles, images), strict=True)
    for (top, bottom), (image, values, limit, title) in zip(axes.T, rows, strict=True):
        _draw(top, fit_image(load_image(image), len(values)), title, {})
        if overlaid:
            panel = overlay_panel(image, values, "", limit, cmap)
            _draw(bottom, *panel).set_label(describe_map(values))
        else:
            drawn = _draw(bottom, *map_panel(values, "", limit, cmap))
    if one_bar:
        for axis in axes[1]:
            axis.set_xlabel("")
        last = axes[1, -1].get_position()
        bar = figure.add_axes((last.x1 + 0.02, last.y0, 0.02, last.height))
        figure.colorbar(drawn, cax=bar, label="saliency", extend="max")
    return figure


def plot_rows(
    rows: Sequence, row_titles: Sequence, titles: Sequence, scale="each", cmap="inferno"
) -> Figure:
    """A grid of pictures and maps: one row per method or class, one column per picture.

    A row holds N pictures, N maps (H, W), or N signed maps (3, H, W), drawn in colour with
    zero as middle grey; a row's maps may share their scale. `titles` are the columns'.
    """
    figure, axes = _grid(len(rows), len(titles), left=0.3)
    panel = partial(map_panel, cmap=cmap)
    for line, items, row_title in zip(axes, rows, row_titles, strict=True):
        for axis, drawn in zip(line, _panels(items, titles, scale, panel), strict=True):
            _draw(axis, *drawn)
        line[0].set_ylabel(row_title)
    for axis in axes[1:].flat:
        axis.set_title("")
    return figure


def _panels(items: Sequence, titles: Sequence[str], scale: str, panel: Callable) -> list:
    """Pictures unchanged, maps as ``panel(values, title, limit)`` draws them."""
    maps = [item for item in items if not _is_picture(item)]
    limits = iter(map_limits(maps, scale) if maps else [])
    return [
        (item, title, {}) if _is_picture(item) else panel(item, title, next(limits))
        for item, title in zip(items, titles, strict=True)
    ]


# -- numbers ---------------------------------------------------------------------------


def plot_table(
    values, marked: Cells = (), row_titles: Sequence[str] = (), titles: Sequence[str] = ()
) -> Figure:
    """A small matrix (rows, columns) with its numbers, the `marked` cells framed."""
    values = to_array(values)
    rows, columns = values.shape
    figure = Figure(figsize=(0.75 * columns + 1.4, 0.45 * rows + 0.6), layout="constrained")
    axis = figure.subplots()
    axis.imshow(values, cmap="Blues", vmax=2 * np.abs(values).max() or 1, aspect="auto")
    _write_cells(axis, values, marked)
    axis.set_xticks(range(len(titles)), titles)
    axis.set_yticks(range(len(row_titles)), row_titles)
    axis.xaxis.tick_top()
    axis.tick_params(length=0)
    return figure


def plot_tables(tables: dict, marked: Cells = (), size: float = PANEL) -> Figure:
    """Matrices, title → (rows, columns), on one scale: red above zero, blue below."""
    figure, axes = _grid(1, len(tables), size)
    limit = 2 * map_limits(list(tables.values()), "shared", percentile=100)[0]
    style = signed_style(limit) | {"below": "", "aspect": "auto"}
    for axis, (title, values) in zip(axes[0], tables.items(), strict=True):
        _draw(axis, to_array(values), title, style)
        _write_cells(axis, to_array(values), marked)
        axis.spines[:].set(visible=True, color="lightgray")
    return figure


def _write_cells(axis, values: np.ndarray, marked: Cells) -> None:
    for (row, column), value in np.ndenumerate(values):
        weight = "bold" if (row, column) in marked else "normal"
        axis.text(column, row, f"{value:g}", ha="center", va="center", weight=weight)
    for row, column in marked:
        corner = (column - 0.47, row - 0.46)
        axis.add_patch(Rectangle(corner, 0.94, 0.92, fill=False, ec=ORANGE, lw=2.5))


def plot_intervals(columns: dict[str, dict], grey: Sequence[str] = (), size=1.7) -> Figure:
    """Means with their intervals: one row per method, one panel per measure.

    `columns` are measure → method → ``(mean, low, high)``, with the same methods in each;
    the methods in `grey`, such as baselines, are drawn in grey.
    """
    names = list(next(iter(columns.values())))
    width, height = 1.7 + size * len(columns), 0.8 + 0.24 * len(names)
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(1, len(columns), sharey=True, squeeze=False)[0]
    for axis, (title, rows) in zip(axes, columns.items(), strict=True):
        for row, name in enumerate(names):
            mean, low, high = rows[name]
            colour = GREY if name in grey else BLUE
            axis.plot([low, high], [row, row], color=colour, lw=2)
            axis.plot([mean], [row], "o", color=colour, ms=5)
        axis.set_title(title, fontsize=9)
        axis.set_yticks(range(len(names)), names, fontsize=8)
        axis.set_ylim(len(names) - 0.5, -0.5)
        axis.grid(axis="x", color="#dddddd")
        axis.tick_params(labelsize=8)
    return figure


# -- networks --------------------------------------------------------------------------


def plot_top_classes(image, scores, names: Titles = None, count: int = 5) -> Figure:
    """A picture, and its most probable classes by a network's outputs, the `scores`.

    Without `names`, those of a thousand classes are ImageNet's, and others have numbers.
    """
    bars = partial(draw_top_classes, scores=scores, names=names, count=count)
    return plot_panels([(image, "picture", {}), (bars, "probability", {})], size=2.6)


def draw_top_classes(axis, scores, names: Titles = None, count: int = 5) -> None:
    """Bars of the most probable classes, drawn into `axis`; see `plot_top_classes`."""
    shares = probabilities(torch.as_tensor(scores).detach().cpu().double()[None])[0]
    if names is None and len(shares) == len(class_names()):
        names = class_names()
    draw_shares(axis, shares, Inputs(names=names).name, count)


def draw_shares(axis, shares, name: Callable[[int], str], count: int = 5) -> None:
    """Bars of the largest of the `shares` (classes,), each with the `name` of its class."""
    shares, classes = torch.as_tensor(shares).double().topk(min(count, len(shares)))
    rows = np.arange(len(classes))
    axis.barh(rows + 0.14, shares.numpy(), height=0.36, color=BLUE)
    for row, index, share in zip(rows, classes.tolist(), shares.tolist(), strict=True):
        axis.text(0.015, row - 0.1, f"{name(index)}  {share:.1%}", va="bottom")
    axis.set(xlim=(0, 1), ylim=(len(classes) - 0.5, -0.6))
    axis.spines["left"].set_visible(True)


def plot_flow(steps: Sequence[tuple[str, object]], columns: int = 5) -> Figure:
    """What happens to one picture, step by step: each tensor drawn, its shape below it.

    A step is ``(name, value)``, with a picture or a tensor. Three colours are drawn as a
    picture (with negative values, 0 is middle grey), a map (H, W) in ``hot``, a vector as a
    curve, a number in digits. Leading axes of length 1 change only the shape stated.
    """
    figure, axes = _grid(-(-len(steps) // columns), columns, 1.45, left=0.25, below=0.5)
    for axis in axes.flat[len(steps) :]:
        axis.remove()
    for index, (axis, (name, value)) in enumerate(zip(axes.flat, steps, strict=False)):
        axis.set_title(name)
        _draw_step(axis, value)
        if index:
            place, circle = axis.get_position(), {"boxstyle": "circle", "fc": "white"}
            x, y = place.x0 - 0.05 / figure.get_figwidth(), (place.y0 + place.y1) / 2
            figure.text(x, y, "→", ha="center", va="center", size=9, bbox=circle)
    return figure


def _draw_step(axis, value) -> None:
    if isinstance(value, Image.Image):
        axis.set_xlabel(f"{value.width}×{value.height} {value.mode}")
        axis.imshow(value)
        return
    axis.set_xlabel(str(tuple(value.shape)))
    values = to_array(value)
    while values.ndim > 1 and len(values) == 1:
        values = values[0]
    if values.ndim == 3 and values.min() < 0:
        axis.imshow(signed_picture(values))
    elif values.ndim == 3:
        axis.imshow((values / limit_of(values)).transpose(1, 2, 0).clip(0, 1))
    elif values.ndim == 2:
        axis.imshow(values, cmap="hot", vmin=0, vmax=limit_of(values))
    elif values.size > 1:
        axis.plot(values.ravel(), lw=0.6, color=BLUE)
    else:
        axis.set(xlim=(-1, 1), ylim=(-1, 1))
        axis.text(0, 0, f"{values.item():.1f}", ha="center", va="center", size=18)


# -- panels ----------------------------------------------------------------------------


def _grid(
    rows: int, columns: int, panel: float = PANEL, left=0.05, right=0.05, below=0.27
) -> tuple[Figure, np.ndarray]:
    """A figure of `rows` × `columns` square panels without ticks; lengths in inches.

    A layout engine would draw every figure twice, and a lab should answer at once.
    """
    if rows * columns == 0:
        raise ArgumentError("images", "must not be empty: there is nothing to plot")
    width = left + columns * (panel + GAP) - GAP + right
    height = TITLE + rows * (panel + below)
    figure = Figure(figsize=(width, height))
    figure.subplots_adjust(left / width, below / height, 1 - right / width)
    figure.subplots_adjust(top=1 - TITLE / height, wspace=GAP / panel, hspace=below / panel)
    no_ticks = {"xticks": [], "yticks": []}
    axes = figure.subplots(rows, columns, squeeze=False, subplot_kw=no_ticks)
    for axis in axes.flat:
        axis.title.set_fontsize(10)
        axis.spines[:].set_visible(False)
    return figure, axes


def _draw(axis, values, title: str, style: dict) -> AxesImage | None:
    """Draw one of the panels of `plot_panels`."""
    style = dict(style)
    axis.set_title(title)
    axis.set_xlabel(style.pop("below", ""))
    return values(axis) if callable(values) else axis.imshow(np.asarray(values), **style)


def _is_picture(item) -> bool:
    return isinstance(item, Image.Image) or (np.ndim(item) == 3 and len(item) != 3)


def _texts(titles: Titles, images: Sequence) -> Sequence[str]:
    titles = [""] * len(images) if titles is None else titles
    if len(titles) != len(images):
        words = f"must have one text for each of {len(images)} images, got {len(titles)}"
        raise ArgumentError("titles", words)
    return titles
