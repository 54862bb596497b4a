"""Every plot of the course, and each figure's text alternative.

A ``plot_…`` function draws a `matplotlib.figure.Figure` and returns it; `show` puts a
figure on the page together with `describe`, a text made of the plotted *data*. A reader
who cannot see the picture reads that text; the tests compare it, so a figure whose data
change is noticed, while another release of matplotlib is not.

Maps are never rescaled in silence: each panel states the range of its colours.
"""

import base64
import html
import io
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import matplotlib
import numpy as np
import torch
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image
from scipy.ndimage import gaussian_filter

from .images import fit_image, load_image
from .models import class_name

SCALES = ("each", "shared")
DPI = 80
PANEL = 1.8  # inches a panel is wide
SIGNED = "signed, in colour; absolute values: "


# -- showing ---------------------------------------------------------------------------


def show(figure: Figure, words: str | None = None) -> None:
    """Display `figure` in a notebook, with its text alternative beneath it.

    Args:
        figure: made by a ``plot_…`` function or by matplotlib.
        words: the text alternative; by `describe` unless given. Give it where the data
            differ from one processor to another, as the result of many steps of an
            optimisation does, and say what does not.
    """
    from IPython.display import HTML, display
    from matplotlib import pyplot

    pyplot.close(figure)  # else a figure that pyplot made would be shown twice
    words = describe(figure) if words is None else words
    png = base64.b64encode(lighten(to_png(figure))).decode()
    display(
        {"image/png": png, "text/plain": words},
        metadata={"image/png": {"alt": words}},
        raw=True,
    )
    display(HTML(in_words(words)))


def show_file(path: str | Path, words: str) -> None:
    """Display a JPEG of the course as it is, with its text alternative beneath it."""
    from IPython.display import HTML, display

    jpeg = base64.b64encode(Path(path).read_bytes()).decode()
    display(
        {"image/jpeg": jpeg, "text/plain": words},
        metadata={"image/jpeg": {"alt": words}},
        raw=True,
    )
    display(HTML(in_words(words)))


def in_words(words: str) -> str:
    """HTML that unfolds to `words`."""
    return (
        "<details style='color: gray'><summary>the figure in words</summary>"
        f"{html.escape(words)}</details>"
    )


def to_png(figure: Figure, dpi: int = DPI) -> bytes:
    """`figure` as the bytes of a PNG file, made quickly rather than small."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=dpi, pil_kwargs={"compress_level": 1})
    return file.getvalue()


def lighten(png: bytes) -> bytes:
    """A PNG with a palette of 256 colours: a quarter of the size.

    Where a colour is far from all of the palette's, as in photographs, it is dithered; a
    map's or a table's own colours are in the palette, and stay even.
    """
    image = Image.open(io.BytesIO(png)).convert("RGB")
    palette = image.quantize(256, method=Image.Quantize.FASTOCTREE)
    colours = np.array(palette.getpalette()).reshape(-1, 3)
    colours[colours.sum(axis=1).argmax()] = 255  # the page stays white
    palette.putpalette(colours.ravel().tolist())
    even = image.quantize(palette=palette, dither=Image.Dither.NONE)
    apart = np.asarray(image, int) - np.asarray(even.convert("RGB"), int)
    far = Image.fromarray(np.abs(apart).max(axis=2) > 12)
    even.paste(image.quantize(palette=palette), mask=far)
    file = io.BytesIO()
    even.save(file, "PNG", optimize=True)
    return file.getvalue()


# -- the text alternative --------------------------------------------------------------


def describe(figure: Figure) -> str:
    """What `figure` shows, in words and rounded numbers of its data.

    Values are rounded so far that another processor or thread count gives the same
    text; the place of a map's maximum and its rough layout make a changed map show.
    """
    panels = [_describe_axes(axes) for axes in figure.axes if not _is_colour_bar(axes)]
    heading = figure.get_suptitle()
    heading = f"“{heading}”. " if heading else ""
    count = f"{len(panels)} panels" if len(panels) != 1 else "1 panel"
    return f"{heading}{count}: " + " | ".join(panels)


def _is_colour_bar(axes) -> bool:
    return getattr(axes, "_colorbar", None) is not None


def _describe_axes(axes) -> str:
    parts = [f"“{axes.get_title()}”"] if axes.get_title() else []
    labels = [axes.get_xlabel(), axes.get_ylabel()]
    parts += [" by ".join(label for label in labels if label)] if any(labels) else []
    parts += [_describe_image(image) for image in axes.images if not axes.texts]
    if axes.texts:
        parts.append(_describe_texts(axes))
    parts += [_describe_line(line) for line in axes.lines]
    parts += [_describe_bars(bars) for bars in _bars(axes)]
    if not axes.texts:
        parts += _describe_boxes(axes)
    parts += [_describe_points(points) for points in axes.collections]
    return "; ".join(part.replace("\n", ", ") for part in parts) or "empty"


def _describe_texts(axes) -> str:
    """Written cells, row by row from above; marked ones in brackets."""
    rows: dict[float, list[tuple[float, str]]] = {}
    for text in axes.texts:
        column, row = text.get_position()
        marked = text.get_weight() == "bold"
        words = f"[{text.get_text()}]" if marked else text.get_text()
        rows.setdefault(row, []).append((column, words))
    return "; ".join(
        " ".join(words for _, words in sorted(rows[row])) for row in sorted(rows)
    )


def _describe_image(image) -> str:
    values = np.asarray(np.ma.filled(np.ma.asarray(image.get_array(), float), np.nan))
    if values.ndim == 2:
        return describe_map(values)
    if image.get_label().startswith(SIGNED):
        return image.get_label()
    values = values[..., :3] / (255 if values.max() > 1 else 1)
    size = f"{values.shape[0]}×{values.shape[1]}"
    words = f"picture {size}, brightness {_layout(values.mean(axis=2), top=1.0)}"
    # An overlay is labelled with the map that it was made of.
    label = image.get_label()
    return f"{words}, with {label}" if label and label[0] != "_" else words


def describe_map(values: np.ndarray) -> str:
    """A map (H, W) in words: its mean, its largest value and where that lies."""
    if np.isnan(values).all():
        return f"map {values.shape[0]}×{values.shape[1]}, nothing in it yet"
    size = np.abs(np.nan_to_num(values))
    top = size.max()
    # The first of equals, though rounding may make another one the largest.
    row, column = np.unravel_index((size >= top * (1 - 1e-5)).argmax(), size.shape)
    return (
        f"map {size.shape[0]}×{size.shape[1]}, mean {_number(np.nanmean(values), top)}, "
        f"largest {_number(values[row, column], top)} at row {row}, column {column}, "
        f"layout {_layout(size)}"
    )


def _layout(values: np.ndarray, top: float | None = None) -> str:
    """Means over a 3×3 grid, row by row, 9 for `top` (or the largest): "001 491 013"."""
    thirds = [np.array_split(rows, 3, axis=1) for rows in np.array_split(values, 3)]
    means = np.array([[b.mean() if b.size else 0 for b in row] for row in thirds])
    digits = np.rint(9 * means / (top or means.max() or 1) + 1e-4).astype(int)
    return " ".join("".join(map(str, row)) for row in digits)


def _describe_line(line) -> str:
    y = np.asarray(line.get_ydata(), float)
    if y.size == 0:
        return "empty line"
    name = f"line “{line.get_label()}”" if line.get_label()[:1] != "_" else "line"
    ends = f"from {_number(y[0])} to {_number(y[-1])}"
    return f"{name} of {y.size} points, {ends}, mean {_number(np.nanmean(y))}"


def _bars(axes) -> list[BarContainer]:
    return [group for group in axes.containers if isinstance(group, BarContainer)]


def _describe_bars(bars: BarContainer) -> str:
    lying = bars.orientation == "horizontal"
    sizes = [bar.get_width() if lying else bar.get_height() for bar in bars]
    if len(sizes) > 12:
        top = int(np.argmax(sizes))
        largest = f"largest {_number(sizes[top])} at number {top}"
        return f"{len(sizes)} bars, sum {_number(sum(sizes))}, {largest}"
    return f"{len(sizes)} bars: " + ", ".join(map(_number, sizes))


def _describe_boxes(axes) -> list[str]:
    bars = {bar for group in _bars(axes) for bar in group}
    boxes = [p for p in axes.patches if isinstance(p, Rectangle) and p not in bars]
    return [
        "box from ({:.0f}, {:.0f}) to ({:.0f}, {:.0f})".format(*box.get_bbox().extents)
        for box in boxes
    ]


def _describe_points(points) -> str:
    places = np.ma.filled(points.get_offsets(), np.nan).astype(float)
    if len(places) == 0:
        return "no points"
    x, y = (_number(mean) for mean in np.nanmean(places, axis=0))
    return f"{len(places)} points around ({x}, {y})"


def _number(value: float, unit: float = 1.0) -> str:
    """Two significant digits; rounding noise around zero is zero, as 12.5 is 13."""
    return "0" if abs(value) < 1e-6 * unit else f"{value * (1 + 1e-5):.2g}"


# -- maps on a stated scale ------------------------------------------------------------


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


# -- plots -----------------------------------------------------------------------------


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


# -- files -----------------------------------------------------------------------------


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
