"""Every plot of the course: a function ``plot_…`` draws a `Figure` and returns it."""

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from ..images import fit_image, load_image
from ..models import class_name
from .maps import (
    _square,
    map_limits,
    overlay,
    range_text,
    signed_panel,
    smooth,
    to_array,
)
from .words import describe_map

PANEL = 1.8  # inches a panel is wide


def plot_images(images: Sequence, titles: Sequence[str] | None = None) -> Figure:
    """Pictures in a row.

    Args:
        images: PIL pictures, or arrays (H, W, 3).
        titles: one a picture.
    """
    panels = zip(images, _texts(titles, images), strict=True)
    return plot_panels([(image, title, {}) for image, title in panels])


def plot_panels(
    panels: Sequence[tuple], size: float = PANEL, columns: int | None = None
) -> Figure:
    """Pictures and maps of any kind, in a row or in several.

    Args:
        panels: each ``(values, title, style)``: a picture or an array, its title, and
            what `imshow` takes (``cmap``, ``vmin``, ``vmax``) with ``below``, a text.
            In place of the values: a function that draws into the axes it is given.
        size: width of a panel in inches.
        columns: how many panels stand in a row; all of them unless given.
    """
    columns = columns or len(panels)
    lines = 1 + max((p[2].get("below", "").count("\n") for p in panels), default=0)
    rows = -(-len(panels) // max(columns, 1))
    below = 0.27 + 0.16 * (lines - 1) + 0.27 * (rows > 1)  # above the next row's titles
    figure, axes = _grid(rows, columns, size, below=below)
    for axis in axes.flat[len(panels) :]:
        axis.remove()
    for axis, (values, title, style) in zip(axes.flat, panels, strict=False):
        style = dict(style)
        axis.set_title(title)
        axis.set_xlabel(style.pop("below", ""))
        if callable(values):
            values(axis)
        else:
            axis.imshow(np.asarray(values), **style)
    return figure


def plot_signed(
    maps: Sequence,
    titles: Sequence[str] | None = None,
    scale: str = "each",
    size: float = PANEL,
) -> Figure:
    """Signed maps in a row, zero in the middle of their colours.

    Args:
        maps: each (3, H, W), drawn in colour with zero as middle grey; or (H, W), drawn
            in red above zero and blue below; or a PIL picture, drawn as it is.
        titles: one a map.
        scale: ``"each"`` map its own range, or one ``"shared"`` by all.
        size: width of a panel in inches.
    """
    signed = [m for m in maps if not isinstance(m, Image.Image)]
    limits = iter(map_limits(signed, scale) if signed else [])
    panels = [
        (item, title, {})
        if isinstance(item, Image.Image)
        else signed_panel(item, title, next(limits))
        for item, title in zip(maps, _texts(titles, maps), strict=True)
    ]
    return plot_panels(panels, size)


def plot_saliency(image, saliency, title: str = "", cmap: str = "inferno") -> Figure:
    """One photograph, its map, and the smoothed map laid over it.

    Args:
        image: a picture of any size; it is scaled and cropped to the map's.
        saliency: (H, W) with H = W, not negative.
        title: of the photograph.
        cmap: a colour map of matplotlib.
    """
    values, smoothed = _square(saliency), smooth(saliency)
    limit, smooth_limit = map_limits([values, smoothed])
    style = {"cmap": cmap, "vmin": 0, "vmax": limit, "below": range_text(limit)}
    photo = fit_image(load_image(image), len(values))
    laid_over = overlay(image, smoothed, cmap, smooth_limit)
    panels = [
        (photo, title, {}),
        (values, "saliency map", style),
        (laid_over, "smoothed, laid over it", {"below": range_text(smooth_limit)}),
    ]
    return plot_panels(panels, size=2.6)


def plot_maps(
    images: Sequence,
    maps: Sequence,
    titles: Sequence[str] | None = None,
    scale: str = "each",
    cmap: str = "inferno",
    overlaid: bool = False,
) -> Figure:
    """The 2×N panel: pictures above, their saliency maps below.

    Args:
        images: N pictures, scaled and cropped here to the size of their maps.
        maps: (N, H, W), or N arrays (H, W); not negative.
        titles: one a picture.
        scale: ``"each"`` map its own range, stated below it, or one ``"shared"`` range
            with one colour bar.
        cmap: a colour map of matplotlib.
        overlaid: smooth each map and lay it over its picture.
    """
    right = 0.9 if scale == "shared" and not overlaid else 0.05  # for the colour bar
    figure, axes = _grid(2, len(images), right=right)
    if len(maps) != len(images):
        raise ValueError(f"maps: {len(images)} pictures want as many, not {len(maps)}")
    maps = [smooth(_square(m)) if overlaid else _square(m) for m in maps]
    limits = map_limits(maps, scale)
    rows = zip(axes.T, images, maps, limits, _texts(titles, images), strict=True)
    for (top, bottom), image, values, limit, title in rows:
        top.imshow(np.asarray(fit_image(load_image(image), len(values))))
        top.set_title(title)
        if overlaid:
            drawn = bottom.imshow(overlay(image, values, cmap, limit))
            drawn.set_label(describe_map(values))
        else:
            drawn = bottom.imshow(values, cmap=cmap, vmin=0, vmax=limit)
        if scale == "each" or overlaid:
            bottom.set_xlabel(range_text(limit))
    if scale == "shared" and not overlaid:
        last = axes[1, -1].get_position()
        place = (last.x1 + 0.02, last.y0, 0.02, last.height)
        bar = figure.add_axes(place)
        figure.colorbar(drawn, cax=bar, label="saliency", extend="max")
    return figure


def plot_rows(
    rows: Sequence[Sequence],
    row_titles: Sequence[str],
    titles: Sequence[str],
    scale: str = "each",
    cmap: str = "inferno",
) -> Figure:
    """A grid of pictures and maps: one row a method or a class, one column a picture.

    Args:
        rows: each a sequence of N pictures, of N maps (H, W), or of N signed maps
            (3, H, W), drawn in colour with zero as middle grey.
        row_titles, titles: one a row, one a column.
        scale: of the maps: ``"each"`` its own, or one ``"shared"`` by all of a row.
        cmap: a colour map of matplotlib.
    """
    figure, axes = _grid(len(rows), len(titles), left=0.3)
    for row, (line, items) in enumerate(zip(axes, rows, strict=True)):
        maps = [] if _is_picture(items[0]) else items
        limits = map_limits(maps, scale) if len(maps) else [None] * len(items)
        for axis, item, limit in zip(line, items, limits, strict=True):
            if limit is None:
                axis.imshow(np.asarray(item))
            elif np.ndim(item) == 3:
                picture, _, style = signed_panel(item, limit=limit)
                axis.imshow(picture, label=style["label"])
                axis.set_xlabel(style["below"])
            else:
                axis.imshow(to_array(item), cmap=cmap, vmin=0, vmax=limit)
                axis.set_xlabel(range_text(limit))
        line[0].set_ylabel(row_titles[row])
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title)
    return figure


def plot_table(
    values,
    marked: Sequence[tuple[int, int]] = (),
    row_titles: Sequence[str] = (),
    titles: Sequence[str] = (),
) -> Figure:
    """A small matrix with its numbers, some of its cells marked.

    Args:
        values: (rows, columns) numbers.
        marked: (row, column) of the cells to frame.
        row_titles, titles: one a row, one a column; none if empty.
    """
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


def plot_intervals(
    columns: dict[str, dict[str, tuple[float, float, float]]],
    grey: Sequence[str] = (),
    size: float = 1.7,
) -> Figure:
    """Means with their intervals: one row a method, one panel a measure.

    Args:
        columns: measure → method → ``(mean, low, high)``, the same methods in each.
        grey: the methods drawn in grey, such as baselines.
        size: width of a panel in inches.
    """
    names = list(next(iter(columns.values())))
    figure = Figure(
        figsize=(1.7 + size * len(columns), 0.8 + 0.24 * len(names)), layout="constrained"
    )
    for axis, (title, rows) in zip(
        figure.subplots(1, len(columns), sharey=True, squeeze=False)[0],
        columns.items(),
        strict=True,
    ):
        for row, name in enumerate(names):
            mean, low, high = rows[name]
            colour = "#999999" if name in grey else "#3b6ea5"
            axis.plot([low, high], [row, row], color=colour, lw=2)
            axis.plot([mean], [row], "o", color=colour, ms=5)
        axis.set_title(title, fontsize=9)
        axis.set_yticks(range(len(names)), names, fontsize=8)
        axis.set_ylim(len(names) - 0.5, -0.5)
        axis.grid(axis="x", color="#dddddd")
        axis.tick_params(labelsize=8)
    return figure


def plot_tables(
    tables: dict[str, object], marked: Sequence[tuple[int, int]] = (), size: float = PANEL
) -> Figure:
    """Small signed matrices side by side, in the colours of one shared range.

    Args:
        tables: title → (rows, columns) numbers; zero is white, red is positive, blue
            negative.
        marked: (row, column) of the cells to frame in every table.
        size: width of a table in inches.
    """
    figure, axes = _grid(1, len(tables), size)
    limit = 2 * map_limits(list(tables.values()), "shared", percentile=100)[0]
    for axis, (title, values) in zip(axes[0], tables.items(), strict=True):
        values = to_array(values)
        axis.imshow(values, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto")
        _write_cells(axis, values, marked)
        axis.set_title(title)
        for side in axis.spines.values():
            side.set(visible=True, color="lightgray")
    return figure


def _write_cells(axis, values: np.ndarray, marked: Sequence[tuple[int, int]]) -> None:
    for (row, column), value in np.ndenumerate(values):
        weight = "bold" if (row, column) in marked else "normal"
        axis.text(column, row, f"{value:g}", ha="center", va="center", weight=weight)
    for row, column in marked:
        corner = (column - 0.47, row - 0.46)
        axis.add_patch(Rectangle(corner, 0.94, 0.92, fill=False, ec="#c1440e", lw=2.5))


def plot_top_classes(
    image, scores, names: Sequence[str] | None = None, count: int = 5
) -> Figure:
    """A picture, and beside it the classes that a network finds most probable.

    Args:
        image: a picture, drawn as it is.
        scores: (classes,), before softmax.
        names: of the classes; ImageNet's unless given.
        count: how many bars.
    """

    def bars(axis):
        draw_top_classes(axis, scores, names, count)

    return plot_panels(
        [(np.asarray(image), "picture", {}), (bars, "probability", {})], size=2.6
    )


def draw_top_classes(
    axis, scores, names: Sequence[str] | None = None, count: int = 5
) -> None:
    """Bars of the most probable classes, drawn into `axis`; see `plot_top_classes`."""
    shares = torch.as_tensor(scores).detach().cpu().double().softmax(dim=0)
    shares, classes = shares.topk(min(count, len(shares)))
    rows = np.arange(len(classes))
    axis.barh(rows + 0.14, shares.numpy(), height=0.36, color="#3b6ea5")
    for row, index, share in zip(rows, classes.tolist(), shares.tolist(), strict=True):
        axis.text(0.015, row - 0.1, f"{class_name(index, names)}  {share:.1%}", va="bottom")
    axis.set(xlim=(0, 1), ylim=(len(classes) - 0.5, -0.6))
    axis.spines["left"].set_visible(True)


def plot_flow(steps: Sequence[tuple[str, object]], columns: int = 5) -> Figure:
    """What happens to one picture, step by step: each tensor drawn, its shape below it.

    A tensor of three colours is drawn as a picture (one with negative values with 0 as
    middle grey), a map (H, W) in ``hot``, a vector as a curve, a number in digits. Axes
    of length 1 in front do not change the drawing, only the shape that is stated.

    Args:
        steps: each ``(name, value)``, a picture or a tensor.
        columns: how many panels stand in a row.
    """
    rows = -(-len(steps) // columns)
    figure, axes = _grid(rows, columns, panel=1.45, left=0.25, below=0.5)
    for number, axis in enumerate(axes.flat):
        if number >= len(steps):
            axis.remove()
            continue
        name, value = steps[number]
        axis.set_title(name)
        _draw_step(axis, value)
        if number:
            place, arrow = axis.get_position(), {"boxstyle": "circle", "fc": "white"}
            x, y = place.x0 - 0.05 / figure.get_figwidth(), (place.y0 + place.y1) / 2
            figure.text(x, y, "→", ha="center", va="center", size=9, bbox=arrow)
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
    if values.ndim == 3:
        limit = map_limits([values])[0]
        values = 0.5 + values / (2 * limit) if values.min() < 0 else values / limit
        axis.imshow(values.transpose(1, 2, 0).clip(0, 1))
    elif values.ndim == 2:
        axis.imshow(values, cmap="hot", vmin=0, vmax=map_limits([values])[0])
    elif values.size > 1:
        axis.plot(values.ravel(), lw=0.6, color="#3b6ea5")
    else:
        axis.set(xlim=(-1, 1), ylim=(-1, 1))
        axis.text(0, 0, f"{values.item():.1f}", ha="center", va="center", size=18)


def _is_picture(item) -> bool:
    return isinstance(item, Image.Image) or (np.ndim(item) == 3 and len(item) != 3)


def _texts(titles: Sequence[str] | None, images: Sequence) -> Sequence[str]:
    if titles is not None and len(titles) != len(images):
        raise ValueError(
            f"titles: {len(images)} pictures want as many titles, not {len(titles)}"
        )
    return titles if titles is not None else [""] * len(images)


def _grid(
    rows: int,
    columns: int,
    panel: float = PANEL,
    left: float = 0.05,
    right: float = 0.05,
    below: float = 0.27,
) -> tuple[Figure, np.ndarray]:
    """A figure of `rows` × `columns` square panels without ticks.

    Each panel's place is worked out here, in inches: a layout engine would draw every
    figure twice, and a lab should answer at once.
    """
    if columns == 0:
        raise ValueError("images: there is nothing to plot")
    title, gap = 0.3, 0.1
    width = left + columns * (panel + gap) - gap + right
    height = title + rows * (panel + below)
    figure, axes = Figure(figsize=(width, height)), np.empty((rows, columns), object)
    for row, column in np.ndindex(rows, columns):
        x, y = left + column * (panel + gap), height - title - row * (panel + below) - panel
        place = (x / width, y / height, panel / width, panel / height)
        axis = axes[row, column] = figure.add_axes(place)
        axis.set(xticks=[], yticks=[])
        axis.title.set_fontsize(10)
        for side in axis.spines.values():
            side.set_visible(False)
    return figure, axes
