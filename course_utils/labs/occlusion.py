"""Lab of lesson 06: the map grows window by window, and each window can be looked at."""

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor, nn

from ..figures import map_limits
from ..images import deprocess
from ..models import class_name
from ..occlusion import OcclusionMap, occlusion
from ..targets import read_answer
from .controls import (
    FILLS,
    Asked,
    ClassPicker,
    PicturePicker,
    dropdown,
    photographs,
    slider,
)
from .live import LiveLab

PANELS = {"left": 0.005, "right": 0.895, "bottom": 0.02, "top": 0.91, "wspace": 0.04}
BAR = (0.91, 0.09, 0.013, 0.75)  # left, bottom, width, height; as shares of the figure
ALL_FILLS = FILLS | {"white": "white", "noise": "noise"}


class OcclusionLab(LiveLab):
    """Choose a photograph, a class and a window; start; then look at single windows.

    Args:
        model: a classifier of ImageNet's classes; the bundled SqueezeNet unless given.

    Attributes:
        row, column: the sliders that choose the window to look at, in per cent from the
            first window to the last.
    """

    title = "Hide a window"

    def __init__(self, model: nn.Module | None = None):
        picker = PicturePicker(photographs())
        self.asked = Asked(model, picker.pictures)
        self.row, self.column = (
            slider(f"{name} (%)", 50, 0, 100, 5) for name in ("row", "column")
        )
        super().__init__(
            photo=picker,
            target=ClassPicker(),
            window=slider("window (px)", 48, 16, 112, 8),
            stride=slider("stride (px)", 8, 4, 56, 4),
            fill=dropdown("fill", [*ALL_FILLS]),
            score=dropdown("score", ["logit", "probability"]),
        )
        self.add_looks(self.row, self.column)

    def draw(self, **values) -> tuple[Figure, str]:
        """The photograph, before the first window is measured."""
        # Stopped after its first windows: the score of the whole picture, and the grid.
        found = self._occlude(values, lambda *report: False, incremental=False)
        return self._figure(found, values, window=None), (
            f"{class_name(found.target)}: {_value(found.score, values)}. Press start to "
            f"measure {found.drops.numel()} windows."
        )

    def compute(self, report, **values) -> OcclusionMap:
        """Run `occlusion`, reporting each batch of windows."""
        return self._occlude(values, report)

    def draw_result(self, result: OcclusionMap, **values) -> tuple[Figure, str]:
        """The picture with one window hidden, and the map so far."""
        known = result.drops[~result.drops.isnan()]
        strongest = known.max() if known.numel() else 0.0
        window = self._chosen(result)
        return self._figure(result, values, window), (
            f"{class_name(result.target)}: {_value(result.score, values)}; largest drop "
            f"{_value(strongest, values)}. {self._looked_at(result, *window)}"
        )

    def _occlude(self, values: dict, progress, **options) -> OcclusionMap:
        images, fill = self.asked.images(values["photo"]), ALL_FILLS[values["fill"]]
        if fill == "noise":
            fill = torch.randn(images.shape[1:], generator=torch.Generator().manual_seed(0))
        return occlusion(
            self.asked.model,
            images,
            values["target"],
            values["window"],
            values["stride"],
            fill=fill,
            score=values["score"],
            progress=progress,
            **options,
        )

    # -- looking at one window ---------------------------------------------------------

    def _chosen(self, found: OcclusionMap) -> tuple[int, int]:
        """Row and column, in the grid of windows, of the one nearest to the sliders."""
        rows, columns = found.drops.shape
        return (
            round(self.row.value / 100 * (rows - 1)),
            round(self.column.value / 100 * (columns - 1)),
        )

    def _looked_at(self, found: OcclusionMap, row: int, column: int) -> str:
        """What the network says with the chosen window hidden."""
        scores = read_answer(self.asked.model, found.hidden(row, column))[2][0]
        top, shares = int(scores.argmax()), scores.softmax(dim=0)
        return (
            f"Hidden at row {found.tops[row]}, column {found.lefts[column]}: "
            f"{class_name(found.target)} has the score {scores[found.target]:.1f}, "
            f"probability {shares[found.target]:.1%}; top class then: {class_name(top)} "
            f"({shares[top]:.1%})."
        )

    def _figure(self, found: OcclusionMap, values: dict, window) -> Figure:
        """Three panels; with a `window` (row, column) hidden, or before the first one."""
        # Placed by hand: a layout engine would draw every picture twice.
        figure = Figure(figsize=(9.2, 3.15))
        left, middle, right = figure.subplots(1, 3, gridspec_kw=PANELS)
        picture, drops = found.image, np.full(found.image.shape[2:], np.nan)
        if window is not None:
            picture, drops = found.hidden(*window), found.heatmap.numpy()
        left.imshow(np.asarray(deprocess(picture)[0]))
        left.set_title("photograph" if window is None else "with one window hidden")
        known = drops[~np.isnan(drops)]
        limit = map_limits([known])[0] if known.size else 1.0
        colours = {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit}
        middle.imshow(np.asarray(deprocess(found.image)[0].convert("L")), cmap="gray")
        middle.imshow(drops, alpha=0.6, **colours)
        middle.set_title("laid over the photograph")
        drawn = right.imshow(drops, **colours)
        bar = figure.add_axes(BAR)
        figure.colorbar(drawn, cax=bar, label=f"drop in {values['score']}")
        right.set_title(f"mean drop, {class_name(found.target)}")
        if window is not None:
            _frame((middle, right), found, *window)
        for axis in (left, middle, right):
            axis.set(xticks=[], yticks=[])
        return figure


def _frame(axes, found: OcclusionMap, row: int, column: int) -> None:
    """The outline of a window, in each of the axes."""
    height, width = found.window
    corner = found.lefts[column] - 0.5, found.tops[row] - 0.5
    for axis in axes:
        axis.add_patch(Rectangle(corner, width, height, fill=False, ec="black", lw=1.5))


def _value(value: float | Tensor, values: dict) -> str:
    share = values["score"] == "probability"
    return f"{float(value):.1%}" if share else f"{float(value):.1f}"
