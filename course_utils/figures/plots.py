"""Every plot of the course: a function ``plot_…`` draws a `Figure` and returns it.

`images` are pictures of any kind that `load_image` takes, scaled and cropped to their maps;
`titles` are one text for each of them; `scale`, ``"each"`` or ``"shared"``, is that of
`map_limits`; `cmap` names a colour map of matplotlib; `size` is a panel's width in inches,
by default such that the figure fills the column of the page.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from .._machinery.arguments import ArgumentError
from ..images import fit_image, load_image
from .maps import (
    map_limits,
    map_panel,
    overlay_panel,
    signed_panel,
    signed_style,
    smooth,
    square,
    to_array,
)
from .panels import PANEL, draw_rows, plot_panels, stated
from .sentences import count_of
from .style import (
    FULL,
    GREY,
    HEADING,
    INK,
    ORANGE,
    RULE,
    TEXT,
    colour_of,
    styled,
)

Titles = Sequence[str] | None
Cells = Sequence[tuple[int, int]]  # the row and the column of each

SHARP = 448  # pixels: what a photograph is drawn with, where it has them


# -- pictures and maps -----------------------------------------------------------------


def plot_images(images: Sequence, titles: Titles = None, size=None) -> Figure:
    """Pictures in a row: PIL pictures, or arrays (H, W, 3)."""
    titles = _texts(titles, images)
    return plot_panels([(*panel, {}) for panel in zip(images, titles, strict=True)], size)


def plot_signed(maps: Sequence, titles: Titles = None, scale="each", size=None) -> Figure:
    """Signed maps in a row, zero in the middle of their colours.

    Each is (3, H, W), drawn in colour with zero as middle grey; or (H, W), drawn in red
    above zero and blue below; or a picture, drawn unchanged.
    """
    drawn = _panels(maps, _texts(titles, maps), scale, [signed_panel] * len(maps))
    return plot_panels(drawn, size)


def plot_saliency(image, saliency, title: str = "", cmap: str = "inferno") -> Figure:
    """One photograph, its map (H, W) with H = W, and the smoothed map laid over it."""
    values, smoothed = square(saliency), smooth(saliency)
    return plot_panels(
        [
            photo_panel(image, len(values), title),
            map_panel(values, "saliency map", cmap=cmap),
            overlay_panel(image, smoothed, "smoothed, laid over it", cmap=cmap),
        ]
    )


@styled
def plot_overlays(
    image, maps: Sequence, titles: Sequence[str], scale="each", size=None, columns=None
) -> Figure:
    """A photograph, and each map (H, W) laid over it in grey; signed ones in red and blue.

    `titles` are those of the photograph and of the maps.
    """
    photo = photo_panel(image, np.shape(maps[0])[-1], titles[0])
    cmap = "RdBu_r" if min(to_array(values).min() for values in maps) < 0 else "inferno"
    panels = [
        overlay_panel(image, values, title, limit, cmap)
        for values, title, limit in zip(
            maps, titles[1:], map_limits(maps, scale), strict=True
        )
    ]
    figure = plot_panels([photo, *panels], size, columns)
    laid = count_of(len(maps), "map")
    named = ", ".join(" ".join(title.split()) for title in titles[1:])
    figure.set_label(f"A photograph, {titles[0]}, and {laid} laid over it: {named}.")
    return figure


def photo_panel(
    image, size: int = 224, title: str = "", style: dict | None = None
) -> tuple:
    """A photograph beside maps of `size` pixels, cropped like them, as a panel.

    It is drawn with more pixels than the maps where it has them; the axes still count in
    pixels of the maps.
    """
    image = load_image(image)
    pixels = max(size, min(SHARP, *image.size)) if size >= 64 else size
    extent = (-0.5, size - 0.5, size - 0.5, -0.5)
    return fit_image(image, pixels), title, {"extent": extent, **(style or {})}


@styled
def plot_maps(
    images, maps, titles: Titles = None, scale="each", cmap="inferno", overlaid=False,
    ranges=False,
) -> Figure:  # fmt: skip
    """The 2×N panel: pictures above, their saliency maps below.

    The maps are (N, H, W), or N arrays (H, W), with H = W, and not negative. `overlaid`:
    smooth each map and lay it over its picture. `ranges`: state each map's under it.
    """
    if len(maps) != len(images):
        words = f"must have one map for each of {len(images)} images, got {len(maps)}"
        raise ArgumentError("maps", words)
    maps, titles = [square(m) for m in maps], _texts(titles, images)
    maps = [smooth(m) for m in maps] if overlaid else maps
    photos, drawn = [], []
    for image, values, limit in zip(images, maps, map_limits(maps, scale), strict=True):
        photos.append(photo_panel(image, len(values), titles[len(photos)]))
        panel = map_panel(values, "", limit, cmap)
        if overlaid:
            panel = overlay_panel(image, values, "", limit, cmap)
        drawn.append((*panel[:2], stated(panel[2]) if ranges else panel[2]))
    figure = draw_rows([photos, drawn])
    named = ", ".join(filter(None, titles))
    how = "with its saliency map below" if len(photos) == 1 else "above their saliency maps"
    words = f"{count_of(len(photos), 'picture').capitalize()} {how}"
    figure.set_label(f"{words}{': ' if named else ''}{named}.")
    return figure


@styled
def plot_rows(
    rows: Sequence, row_titles: Sequence, titles: Sequence, scale="each", cmap="inferno",
    size: float | None = None, overlaid=False,
) -> Figure:  # fmt: skip
    """A grid of pictures and maps: one row per method or class, one column per picture.

    A row holds N pictures, N maps (H, W), or N signed maps (3, H, W), drawn in colour with
    zero as middle grey; a row's maps may share their scale. `titles` are the columns'.
    `overlaid`: the first row holds pictures, over which the maps (H, W) are laid.
    """
    drawn = []
    for number, items in enumerate(rows):
        above = titles if number == 0 else [""] * len(titles)
        panels = [partial(map_panel, cmap=cmap)] * len(titles)
        if overlaid:
            panels = [partial(overlay_panel, picture) for picture in rows[0]]
        drawn.append(_panels(items, above, scale, panels))
    figure = draw_rows(drawn, size, left=0.3)
    for row, title in zip(range(len(rows)), row_titles, strict=True):
        figure.axes[row * len(titles)].set_ylabel(title)
    named = ", ".join(dict.fromkeys(filter(None, titles)))
    listed = ", ".join(filter(None, row_titles))
    columns = count_of(len(titles), "column").capitalize()
    figure.set_label(f"{columns}{f' ({named})' if named else ''} of: {listed}.")
    return figure


def _panels(items: Sequence, titles: Sequence[str], scale: str, draw: Sequence) -> list:
    """Pictures unchanged, maps as ``draw[k](values, title, limit)`` draws them."""
    maps = [item for item in items if not _is_picture(item)]
    limits = iter(map_limits(maps, scale) if maps else [])
    return [
        (item, title, {}) if _is_picture(item) else panel(item, title, next(limits))
        for item, title, panel in zip(items, titles, draw, strict=True)
    ]


# -- numbers ---------------------------------------------------------------------------


@styled
def plot_table(
    values, marked: Cells = (), row_titles: Sequence[str] = (), titles: Sequence[str] = ()
) -> Figure:
    """A small matrix (rows, columns) with its numbers, the `marked` cells framed.

    Where numbers are negative, red stands above zero and blue below.
    """
    values = to_array(values)
    rows, columns = values.shape
    longest = max(map(len, row_titles), default=0)
    width, height = (
        0.3 + 0.1 * longest + 0.95 * columns,
        0.5 * rows + 0.4 * bool(len(titles)),
    )
    figure = Figure(figsize=(width + 0.1, height + 0.1), layout="constrained")
    axis = figure.subplots()
    top = np.abs(values).max() or 1
    signed = values.min() < 0
    look = (
        signed_style(2 * top) if signed else {"cmap": "Blues", "vmin": 0, "vmax": 2 * top}
    )
    look.pop("label", None)
    axis.imshow(values, aspect="auto", **look)
    _write_cells(axis, values, marked)
    axis.set_xticks(range(len(titles)), titles)
    axis.set_yticks(range(len(row_titles)), row_titles)
    axis.xaxis.tick_top()
    axis.tick_params(length=0, labelsize=HEADING - 1, labelcolor=INK)
    axis.spines[:].set_visible(False)
    named = ", ".join([*row_titles, *titles])
    figure.set_label(f"A table of {rows} × {columns} numbers{': ' * bool(named)}{named}.")
    return figure


@styled
def plot_tables(tables: dict, marked: Cells = (), size: float = PANEL) -> Figure:
    """Matrices, title → (rows, columns), on one scale: red above zero, blue below."""
    limit = 2 * map_limits(list(tables.values()), "shared", percentile=100)[0]
    style = {k: v for k, v in signed_style(limit).items() if k != "label"}

    def drawn(values):
        def draw(axis):
            axis.imshow(values, aspect="auto", **style)
            _write_cells(axis, values, marked)
            axis.spines[:].set(visible=True, color="lightgray")

        return draw

    panels = [(drawn(to_array(values)), title, {}) for title, values in tables.items()]
    return draw_rows([panels], size)


def _write_cells(axis, values: np.ndarray, marked: Cells) -> None:
    for (row, column), value in np.ndenumerate(values):
        weight = "bold" if (row, column) in marked else "normal"
        axis.text(column, row, f"{value:g}", ha="center", va="center", weight=weight)
    for row, column in marked:
        corner = (column - 0.47, row - 0.46)
        axis.add_patch(Rectangle(corner, 0.94, 0.92, fill=False, ec=ORANGE, lw=2.5))


@styled
def plot_intervals(columns: dict[str, dict], grey: Sequence[str] = ()) -> Figure:
    """Means with their intervals: one row per method, one panel per measure.

    `columns` are measure → method → ``(mean, low, high)``, with the same methods in each.
    Each method has its colour; those in `grey`, such as baselines, are grey, and a band
    marks the range of their means. The arrow at the end of a measure says what is better:
    ``"deletion ↓"``.
    """
    names = list(next(iter(columns.values())))
    figure = Figure(figsize=(FULL, 1.05 + 0.33 * len(names)), layout="constrained")
    axes = figure.subplots(1, len(columns), sharey=True, squeeze=False)[0]
    for axis, (title, rows) in zip(axes, columns.items(), strict=True):
        without = [rows[name][0] for name in names if name in grey]
        if without:
            axis.axvspan(min(without), max(without), color=RULE, lw=0, zorder=0)
        for row, name in enumerate(names):
            mean, low, high = rows[name]
            colour = GREY if name in grey else colour_of(name)
            axis.plot([low, high], [row, row], color=colour, lw=3, solid_capstyle="round")
            axis.plot([mean], [row], "o", color=colour, ms=7)
        arrows = {" ↓": "\nlower is better", " ↑": "\nhigher is better"}
        axis.set_title(title[:-2] + arrows.get(title[-2:], title[-2:]))
        axis.set_yticks(range(len(names)), names, color=INK)
        axis.set_ylim(len(names) - 0.4, -0.6)
        axis.grid(axis="x")
        axis.spines["left"].set_visible(False)
        axis.tick_params(length=0)
        axis.tick_params(axis="y", labelsize=TEXT)
    measures = ", ".join(" ".join(title.split()) for title in columns)
    figure.set_label(f"Means and intervals of {len(names)} methods: {measures}.")
    return figure


def _is_picture(item) -> bool:
    return isinstance(item, Image.Image) or (np.ndim(item) == 3 and len(item) != 3)


def _texts(titles: Titles, images: Sequence) -> Sequence[str]:
    titles = [""] * len(images) if titles is None else titles
    if len(titles) != len(images):
        words = f"must have one text for each of {len(images)} images, got {len(titles)}"
        raise ArgumentError("titles", words)
    return titles
