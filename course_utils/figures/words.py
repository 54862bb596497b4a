"""The text alternative of a figure: words and rounded numbers made of its data.

Numbers are rounded so far that another processor or another number of threads gives the
same text. The place of a map's maximum and its rough layout make a changed map show.
"""

from itertools import groupby
from operator import itemgetter

import numpy as np
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

SIGNED = "signed, in colour; absolute values: "


def describe(figure: Figure) -> str:
    """What `figure` shows, panel by panel.

    Example:
        >>> describe(plot_table(np.eye(2), marked=[(0, 0)]))
        '1 panel: [1] 0; 0 1'
    """
    bars = [axes for axes in figure.axes if getattr(axes, "_colorbar", None)]
    panels = [_describe_axes(axes) for axes in figure.axes if axes not in bars]
    heading = f"“{figure.get_suptitle()}”. " if figure.get_suptitle() else ""
    count = f"{len(panels)} panels" if len(panels) != 1 else "1 panel"
    return f"{heading}{count}: " + " | ".join(panels)


def title_of(axes) -> str:
    """The title of a panel, whether it stands in the middle or at the left, on one line."""
    return " ".join((axes.get_title() or axes.get_title(loc="left")).split())


def _describe_axes(axes) -> str:
    parts = [f"“{title_of(axes)}”"] if title_of(axes) else []
    labels = [label for label in (axes.get_xlabel(), axes.get_ylabel()) if label]
    parts += [" by ".join(labels)] if labels else []
    bars = [group for group in axes.containers if isinstance(group, BarContainer)]
    # Written cells tell more than the colours and frames beneath them.
    parts += [_describe_texts(axes)] if axes.texts else map(_describe_image, axes.images)
    parts += map(_describe_line, axes.lines)
    parts += map(_describe_bars, bars)
    parts += [] if axes.texts else _describe_boxes(axes.patches, sum(bars, ()))
    parts += map(_describe_points, axes.collections)
    return "; ".join(part.replace("\n", ", ") for part in parts) or "empty"


def _describe_texts(axes) -> str:
    """Written cells, row by row from the top; marked ones in brackets."""
    cells = []
    for text in axes.texts:
        column, row = text.get_position()
        marked = text.get_weight() == "bold"
        cells.append((row, column, f"[{text.get_text()}]" if marked else text.get_text()))
    rows = groupby(sorted(cells), key=itemgetter(0))
    return "; ".join(" ".join(words for *_, words in row) for _, row in rows)


def _describe_image(image) -> str:
    values = np.asarray(np.ma.filled(np.ma.asarray(image.get_array(), float), np.nan))
    label = image.get_label()
    if values.ndim == 2:  # its label says what its colours stand for
        return (
            f"{label}; {describe_map(values)}" if label[:1] != "_" else describe_map(values)
        )
    if SIGNED in label:
        return label
    values = values[..., :3] / (255 if values.max() > 1 else 1)
    size = f"{values.shape[0]}×{values.shape[1]}"
    words = f"picture {size}, brightness {_layout(values.mean(axis=2), top=1.0)}"
    # An overlay is labelled with the map it shows.
    return f"{words}, with {label}" if label and label[0] != "_" else words


def describe_map(values: np.ndarray) -> str:
    """A map (H, W) in words: its mean, its largest value and where that lies."""
    if np.isnan(values).all():
        return f"map {values.shape[0]}×{values.shape[1]}, nothing in it yet"
    size = np.abs(np.nan_to_num(values))
    top = size.max()
    # The first of several equal maxima, although rounding may make another one largest.
    row, column = np.unravel_index((size >= top * (1 - 1e-5)).argmax(), size.shape)
    mean, largest = _number(np.nanmean(values), top), _number(values[row, column], top)
    place = f"largest {largest} at row {row}, column {column}, layout {_layout(size)}"
    return f"map {size.shape[0]}×{size.shape[1]}, mean {mean}, {place}"


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


def _describe_bars(bars: BarContainer) -> str:
    horizontal = bars.orientation == "horizontal"
    sizes = [bar.get_width() if horizontal else bar.get_height() for bar in bars]
    if len(sizes) > 12:
        top = int(np.argmax(sizes))
        largest = f"largest {_number(sizes[top])} at number {top}"
        return f"{len(sizes)} bars, sum {_number(sum(sizes))}, {largest}"
    return f"{len(sizes)} bars: " + ", ".join(map(_number, sizes))


def _describe_boxes(patches, bars: tuple) -> list[str]:
    return [
        "box from ({:.0f}, {:.0f}) to ({:.0f}, {:.0f})".format(*patch.get_bbox().extents)
        for patch in patches
        if isinstance(patch, Rectangle) and patch not in bars
    ]


def _describe_points(points) -> str:
    places = np.ma.filled(points.get_offsets(), np.nan).astype(float)
    if len(places) == 0:
        return "no points"
    x, y = (_number(mean) for mean in np.nanmean(places, axis=0))
    return f"{len(places)} points around ({x}, {y})"


def _number(value: float, unit: float = 1.0) -> str:
    """Two significant digits; rounding noise around zero becomes 0, and 12.5 is 13."""
    return "0" if abs(value) < 1e-6 * unit else f"{value * (1 + 1e-5):.2g}"
