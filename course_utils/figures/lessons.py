"""Figures of single lessons: more than a row of panels, drawn of what they are given."""

from collections.abc import Sequence
from functools import partial

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import ConnectionPatch, Patch, Rectangle
from matplotlib.patheffects import withStroke
from PIL import Image

from ..images import fit_image, load_image
from .maps import limit_of, map_panel, overlay_panel, signed_panel, to_array
from .panels import draw_rows, plot_panels
from .plots import photo_panel
from .sentences import count_of
from .style import BLUE, FULL, INK, QUIET, SMALL, TEXT, TWO, styled

FOUND, DRAWN = "#ff2fd0", "#ffffff"  # boxes: of a method, of a person
ROOM = 0.1  # of a picture's height, for a label
BILINEAR = Image.Resampling.BILINEAR
BLANK = (lambda axis: None, "", {})  # a panel with nothing in it
NOTE = {"fc": "#000000b0", "lw": 0, "boxstyle": "square,pad=0.3"}


def write_in(axis, words: str, x: float = 0.03, y: float = 0.04, **style) -> None:
    """A label on a dark ground in the lower left corner of a picture."""
    style = {"color": "w", "fontsize": TEXT, "bbox": NOTE, "va": "bottom"} | style
    axis.text(x, y, words, transform=axis.transAxes, **style)


@styled
def chart(
    title="", xlabel="", ylabel="", width=TWO, height=3.3, count: int = 1, **settings
) -> Axes | np.ndarray:
    """Empty axes for curves, in the course's style.

    `width` and `height` are inches, of 80 pixels of the page; the `settings` go to
    `Axes.set`. With a `count` above 1 there are that many axes side by side.

    Example:
        >>> axis = chart("It falls", "step", "error", ylim=(0, 1))
        >>> axis.plot([0, 1], [0.9, 0.2])
        >>> show(axis.figure)
    """
    figure = Figure(figsize=(width if count == 1 else FULL, height), layout="constrained")
    axes = figure.subplots(1, count, squeeze=False)[0]
    for axis in axes:
        axis.set(title=title, xlabel=xlabel, ylabel=ylabel, **settings)
    return axes[0] if count == 1 else axes


# -- pictures with something in them ---------------------------------------------------


@styled
def plot_boxes(
    images, found, drawn, words: Sequence[str] = (), masks=None, maps: Sequence = ()
) -> Figure:
    """Pictures in a row with two boxes each: the found one and the one a person drew.

    Boxes are ``(x0, y0, x1, y1)`` in pixels of the pictures; `words` stand in the corners.
    `masks` (H, W) are outlined, `maps` (H, W) follow. The first picture says which box is
    which.
    """
    pictures = [(np.asarray(load_image(image)), "", {}) for image in images]
    figure = draw_rows([[*pictures, *map(map_panel, maps)]])
    for number, axis in enumerate(figure.axes[: len(pictures)]):
        boxes = (drawn[number], DRAWN, "--", "drawn"), (found[number], FOUND, "-", "found")
        for box, colour, dash, name in boxes:
            if box is None or box[2] <= box[0]:
                continue
            x, y, wide, high = box[0] - 0.5, box[1] - 0.5, box[2] - box[0], box[3] - box[1]
            look = {"fill": False, "ec": colour, "lw": 2, "ls": dash}
            frame = axis.add_patch(Rectangle((x, y), wide, high, **look))
            frame.set_path_effects([withStroke(linewidth=4, foreground="#00000070")])
            if number == 0:  # above the found box, below the drawn one, if there is room
                first, side = name == "found", len(pictures[0][0])
                edge = y if first else y + high
                outside = (edge if first else side - edge) / side > ROOM
                up = first == outside  # from this edge of the box
                look = {"ha": "left" if first else "right", "va": "bottom" if up else "top"}
                look |= {"color": colour, "fontsize": SMALL, "bbox": NOTE}
                across = x + 3 if first else x + wide - 3
                axis.text(across, edge + (-4 if up else 4), name, **look)
        if masks is not None:
            axis.contour(to_array(masks[number]), [0.5], colors=[FOUND], linewidths=0.8)
        if number < len(words):
            write_in(axis, words[number])
    many = count_of(len(pictures), "picture").capitalize()
    figure.set_label(f"{many} with the found box and the drawn one: {', '.join(words)}.")
    return figure


@styled
def plot_answers(
    pictures: Sequence[Sequence], values, row_titles: Sequence[str], titles: Sequence[str]
) -> Figure:
    """A table of pictures (rows, columns), each with a number, framed red above 0.

    The deeper the red or, below 0, the blue, the larger the number.
    """
    values = to_array(values)
    top = np.abs(values).max() or 1.0
    rows = []
    for row, heads in zip(pictures, [titles, [""] * len(titles)], strict=False):
        drawn = [np.asarray(load_image(picture)) for picture in row]
        rows.append([(one, head, {}) for one, head in zip(drawn, heads, strict=True)])
    figure = draw_rows(rows, size=(6.3 - 0.35) / len(titles), left=0.35)
    for axis, value in zip(figure.axes, values.ravel(), strict=True):
        colour = matplotlib.colormaps["RdBu_r"](0.5 + value / top / 2)
        axis.spines[:].set(visible=True, color=colour, lw=6)
        ink = "w" if abs(value) > 0.4 * top else INK
        look = {"color": ink, "fontsize": 16, "bbox": {"fc": colour, "lw": 0}}
        write_in(axis, f"{value:+.1f}".replace("-", "−"), 0.025, 0.02, **look)
    for row, title in enumerate(row_titles):
        figure.axes[row * len(titles)].set_ylabel(title, labelpad=8)
    named = " and ".join(row_titles), ", ".join(titles)
    figure.set_label(
        f"A table of pictures, {named[0]} by {named[1]}, with a number in each."
    )
    return figure


@styled
def plot_evidence(
    pictures: Sequence, maps, titles: Sequence[str], limit: float | None = None
) -> Figure:
    """Pictures, each beside its signed map: red above 0 speaks for, blue below against.

    `maps` are coarse, (N, rows, columns) with rows = columns; they are enlarged and laid
    over the pictures in grey, all on one scale that ends at `limit`.
    """
    limit, panels = limit_of(maps, limit), []
    for picture, values, title in zip(pictures, to_array(maps), titles, strict=True):
        side = load_image(picture).width
        large = Image.fromarray(values.astype("float32")).resize((side, side), BILINEAR)
        laid = overlay_panel(picture, np.asarray(large), "its evidence", limit, "RdBu_r")
        panels += [(picture, title, {}), laid]
    figure = plot_panels(panels)
    named = ", ".join(titles)
    figure.set_label(
        f"Pictures ({named}), each beside its evidence: red for, blue against."
    )
    return figure


@styled
def plot_places(image, classes, tops, lefts, window: int, names: dict[int, str]) -> Figure:
    """Which class is on top when a window is hidden: a tile in the middle of each window.

    `classes` (rows, columns) belong to windows that begin at `tops` and `lefts`; `names`
    gives the classes in the order in which they get their colours.
    """
    size = 224
    grey = np.asarray(fit_image(load_image(image), size).convert("L"))[..., None] / 255
    tinted = np.repeat(0.25 + 0.75 * grey, 3, axis=2)
    colours = dict(zip(names, ("#d55e00", "#0072b2", "#f0e442", "#009e73"), strict=False))
    step = lefts[1] - lefts[0]
    for row, top in enumerate(tops):
        for column, left in enumerate(lefts):
            y, x = (start + (window - step) // 2 for start in (top, left))
            colour = matplotlib.colors.to_rgb(colours[int(classes[row, column])])
            place = slice(y + 1, y + step - 1), slice(x + 1, x + step - 1)
            tinted[place] = 0.45 * tinted[place] + 0.55 * np.array(colour)
    said = "; ".join(" ".join(str(int(code)) for code in row) for row in classes)
    panels = [
        photo_panel(image, size, "photograph"),
        (tinted, "on top when this place is hidden", {"label": said, "below": " \n "}),
    ]
    figure = draw_rows([panels])
    keys = [Patch(color=colours[code], label=name) for code, name in names.items()]
    look = {"loc": "upper left", "bbox_to_anchor": (-0.02, 0.0), "ncols": len(keys)}
    figure.axes[1].legend(handles=keys, handlelength=1, columnspacing=1, **look)
    listed = ", ".join(names.values())
    figure.set_label(f"A photograph, and tiles over it in the colours of: {listed}.")
    return figure


@styled
def plot_close_ups(image, maps, titles: Sequence[str], side: int | None = None) -> Figure:
    """Signed maps (3, H, W), each cropped to its place, below what is there in the picture.

    A map's place is where it is not zero, with a margin; or `side` pixels wide around the
    middle of its strength. All places are framed in the first panel, the whole picture,
    with the number of their map.
    """
    photo, above, below, frames = np.asarray(image), [], [], []
    for number, values in enumerate(map(to_array, maps), 1):
        strength = np.abs(values).max(axis=0)
        y, x, wide = _place(strength, side)
        place = slice(y, y + wide), slice(x, x + wide)
        caption = {"below": f"{wide} pixels wide"} if side is None else {}
        above.append((photo[place], f"{number}  {titles[number - 1]}", {}))
        panel = signed_panel(values)
        below.append((panel[0][place], "", panel[2] | caption))
        frames.append((x, y, wide))
    figure = draw_rows([[(photo, "the picture", {}), *above], [BLANK, *below]])
    whole, blank = figure.axes[0], figure.axes[1 + len(above)]
    blank.set_visible(False)
    for number, (x, y, wide) in enumerate(frames, 1):
        whole.add_patch(Rectangle((x, y), wide, wide, fill=False, ec="w", lw=1.5))
        whole.text(
            x + 4, y + 4, str(number), color="w", va="top", bbox=NOTE, fontsize=SMALL
        )
    figure.set_label(f"Details of a picture above their maps: {', '.join(titles)}.")
    return figure


@styled
def plot_tangent(before, after, levels, predicted, actual) -> Figure:
    """Two pictures, and the score on the way between them and beyond.

    `predicted` by the tangent, and `actual`, at each of the `levels`; the first picture is
    at 0, the second at the last one.
    """
    figure = Figure(figsize=(FULL, 3.7), layout="constrained")
    first, last, axis = figure.subplots(1, 3, width_ratios=(1, 1, 1.25))
    levels, predicted, actual = map(to_array, (levels, predicted, actual))
    start = actual[abs(levels).argmin()]
    for place, picture, value in ((first, before, start), (last, after, actual[-1])):
        place.imshow(np.asarray(load_image(picture)), interpolation="bicubic")
        place.set(title=f"score {value:.0f}", xticks=[], yticks=[])
        place.spines[:].set_visible(False)
    axis.plot(levels, predicted, "--", label="tangent")
    axis.plot(levels, actual, "o-", ms=4, label="network")
    axis.set(title="score", xlabel="size of the move, in grey levels")
    axis.legend()
    words = "Two photographs that look the same, and a curve of the score between them: the"
    figure.set_label(f"{words} network's, and its tangent.")
    return figure


def _place(strength: np.ndarray, side: int | None) -> tuple[int, int, int]:
    """The first row and column of a square around a map's strength, and its side."""
    ends = [np.flatnonzero(strength.any(axis=axis))[[0, -1]] for axis in (1, 0)]
    middles = [(first + last + 1) / 2 for first, last in ends]
    if side is None:
        side = 2 + round(1.2 * max(last + 1 - first for first, last in ends))
        side = min(side, *strength.shape)
    else:
        middles = [
            (strength * grid).sum() / strength.sum() for grid in np.indices(strength.shape)
        ]
    corner = (
        int(np.clip(middle - side / 2, 0, length - side))
        for middle, length in zip(middles, strength.shape, strict=True)
    )
    return (*corner, side)


# -- what happens to one picture -------------------------------------------------------


@styled
def plot_flow(forward: Sequence[tuple], backward: Sequence[tuple], name=str) -> Figure:
    """One picture on its way through a network and back: forward above, backward below.

    A step is ``(name, value)``, with a picture or a tensor. Three colours are drawn as
    three sheets (with negative values, 0 is middle grey), a map (H, W) in ``hot``, a vector
    by its five largest values, with ``name(index)`` of each, a number in digits. The way
    back runs from right to left. Leading axes of length 1 change only the shape stated.
    """
    columns = len(forward)
    rows = [[], [BLANK] * (columns - len(backward))]
    for number, (title, value) in enumerate(forward, 1):
        step = partial(_draw_step, value=value, name=name)
        rows[0].append((step, f"{number}  {title}", {"below": _shape(value)}))
    for number, (title, value) in reversed([*enumerate(backward, columns + 1)]):
        step = partial(_draw_step, value=value, name=name)
        rows[1].append((step, f"{number}  {title}", {"below": _shape(value)}))
    figure = draw_rows(rows)
    axes = figure.axes
    there, back = axes[:columns], axes[2 * columns - len(backward) :][::-1]
    for axis in axes[columns : 2 * columns - len(backward)]:
        axis.set_visible(False)
    way = [*zip(there, there[1:], [(1, 0.5)] * columns, [(0, 0.5)] * columns, strict=False)]
    way += [(there[-1], back[0], (0.5, -0.09), (0.5, 1.13))]
    way += [(a, b, (0, 0.5), (1, 0.5)) for a, b in zip(back, back[1:], strict=False)]
    for a, b, start, end in way:
        look = {"arrowstyle": "-|>", "color": QUIET, "lw": 1.5, "mutation_scale": 14}
        look |= {"coordsA": a.transAxes, "coordsB": b.transAxes, "zorder": 9}
        figure.add_artist(ConnectionPatch(start, end, shrinkA=0, shrinkB=0, **look))
    steps = ", ".join(title for title, _ in [*forward, *backward])
    figure.set_label(f"A picture on its way through the network and back: {steps}.")
    return figure


def _shape(value) -> str:
    if isinstance(value, Image.Image):
        return f"{value.width}×{value.height} {value.mode}"
    return str(tuple(value.shape))


def _draw_step(axis, value, name) -> None:
    axis.set_anchor("N")
    if isinstance(value, Image.Image):
        axis.imshow(value, interpolation="bicubic")
        return
    values = to_array(value)
    while values.ndim > 1 and len(values) == 1:
        values = values[0]
    if values.ndim == 3:
        _draw_sheets(axis, values)
    elif values.ndim == 2:
        axis.imshow(values, cmap="hot", vmin=0, vmax=limit_of(values))
    elif values.size > 1:
        largest = values.argsort()[::-1][:5]
        axis.barh(np.arange(len(largest)) + 0.2, values[largest], height=0.3, color=BLUE)
        for row, index in enumerate(largest):
            axis.text(0, row, f"{name(int(index))}  {values[index]:.1f}", va="bottom")
        axis.set(ylim=(len(largest) - 0.4, -0.8), xlim=(0, None))
    else:
        axis.set(xlim=(-1, 1), ylim=(-1, 1))
        axis.text(0, 0, f"{values.item():.1f}", ha="center", va="center", size=26)


def _draw_sheets(axis, values: np.ndarray) -> None:
    """Three colours (3, H, W) as three sheets, one behind the other, red in front."""
    limit, signed = limit_of(values), values.min() < 0
    for k, colour in reversed([*enumerate(("#ff4040", "#40e040", "#6080ff"))]):
        shades = ["#101010", "#808080", colour] if signed else ["#101010", colour]
        cmap = LinearSegmentedColormap.from_list("", shades)
        place = (0.12 * k, 0.76 + 0.12 * k, 0.12 * k, 0.76 + 0.12 * k)
        low = -limit if signed else 0
        axis.imshow(values[k], cmap=cmap, vmin=low, vmax=limit, extent=place, zorder=3 - k)
    axis.set(xlim=(0, 1), ylim=(0, 1))
