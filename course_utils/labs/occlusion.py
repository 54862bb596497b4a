"""Lab of lesson 06: the map grows window by window, and each window can be looked at."""

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor, nn

from ..figures import map_limits
from ..inputs import Inputs
from ..occlusion import OcclusionMap, occlusion
from .controls import FILLS, Asked, PicturePicker, dropdown, slider
from .live import LiveLab

PANELS = {"left": 0.005, "right": 0.895, "bottom": 0.02, "top": 0.91, "wspace": 0.04}
BAR = (0.91, 0.09, 0.013, 0.75)  # left, bottom, width, height; as shares of the figure
NO_TICKS = {"xticks": [], "yticks": []}
ALL_FILLS = FILLS | {"white": "white", "noise": "noise"}


class OcclusionLab(LiveLab):
    """Choose a photograph, a class and a window; start; then look at single windows."""

    title = "Hide a window"

    def __init__(self, model: nn.Module | None = None, inputs: Inputs | None = None):
        picker = PicturePicker()
        self.asked = Asked(model, picker.pictures, inputs)
        step = max(min(self.asked.inputs.sides) // 28, 1)  # 8 of 224 pixels
        half = max(step // 2, 1)
        # The window to look at, in per cent of the way from the first to the last:
        self.row = slider("row (%)", 50, 0, 100, 5)
        self.column = slider("column (%)", 50, 0, 100, 5)
        super().__init__(
            photo=picker,
            target=self.asked.finder(),
            window=slider("window (px)", 6 * step, 2 * step, 14 * step, step),
            stride=slider("stride (px)", 2 * half, half, 14 * half, half),
            fill=dropdown("fill", [*ALL_FILLS]),
            score=dropdown("score", ["logit", "probability"]),
        )
        self.add_looks(self.row, self.column)

    def draw(self, **values) -> tuple[Figure, str]:
        """The photograph, before the first window is measured."""
        # Stopped after its first windows: the score of the whole picture, and the grid.
        found = self._occlude(values, lambda *report: False, incremental=False)
        said = f"{self.asked.name(found.target)}: {_value(found.score, values)}"
        words = f"{said}. Press start to measure {found.drops.numel()} windows."
        return self._figure(found, values, window=None), words

    def compute(self, report, **values) -> OcclusionMap:
        """Run `occlusion`, reporting each batch of windows."""
        return self._occlude(values, report)

    def draw_result(self, result: OcclusionMap, **values) -> tuple[Figure, str]:
        """The picture with one window hidden, and the map so far."""
        known = result.drops[~result.drops.isnan()]
        strongest = known.max() if known.numel() else 0.0
        window = self._chosen(result)
        return self._figure(result, values, window), (
            f"{self.asked.name(result.target)}: {_value(result.score, values)}; largest "
            f"drop {_value(strongest, values)}. {self._looked_at(result, *window)}"
        )

    def _occlude(self, values: dict, progress, **options) -> OcclusionMap:
        images, fill = self.asked.images(values["photo"]), ALL_FILLS[values["fill"]]
        if fill == "noise":
            fill = torch.randn(images.shape[1:], generator=torch.Generator().manual_seed(0))
        else:
            fill = self.asked.fill(fill, values["photo"])
        target = self.asked.target(values["photo"], values["target"])
        place = target, values["window"], values["stride"]
        options |= {"fill": fill, "score": values["score"], "progress": progress}
        return occlusion(self.asked.model, images, *place, **options)

    def _chosen(self, found: OcclusionMap) -> tuple[int, int]:
        """Row and column, in the grid of windows, of the one nearest to the sliders."""
        places = zip((self.row, self.column), found.drops.shape, strict=True)
        return tuple(round(slider.value / 100 * (count - 1)) for slider, count in places)

    def _looked_at(self, found: OcclusionMap, row: int, column: int) -> str:
        """What the network says with the chosen window hidden."""
        scores, shares = self.asked.ask(found.hidden(row, column))
        top, target, name = int(scores.argmax()), found.target, self.asked.name
        return (
            f"Hidden at row {found.tops[row]}, column {found.lefts[column]}: "
            f"{name(target)} has the score {scores[target]:.1f}, probability "
            f"{shares[target]:.1%}; top class then: {name(top)} ({shares[top]:.1%})."
        )

    def _figure(self, found: OcclusionMap, values: dict, window) -> Figure:
        """Three panels; with a `window` (row, column) hidden, or before the first one."""
        # Placed by hand: a layout engine would draw every picture twice.
        figure = Figure(figsize=(9.2, 3.15))
        axes = figure.subplots(1, 3, gridspec_kw=PANELS, subplot_kw=NO_TICKS)
        picture, drops = found.image, np.full(found.image.shape[2:], np.nan)
        title = "photograph"
        if window is not None:
            picture, drops = found.hidden(*window), found.heatmap.float().numpy()
            title = "with one window hidden"
            row, column = window
            corner = found.lefts[column] - 0.5, found.tops[row] - 0.5
            for axis in axes[1:]:
                look = {"fill": False, "ec": "black", "lw": 1.5}
                axis.add_patch(Rectangle(corner, *found.window[::-1], **look))
        known = drops[~np.isnan(drops)]
        limit = map_limits([known])[0] if known.size else 1.0
        colours = {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit}
        axes[0].imshow(self.asked.seen(picture))
        axes[1].imshow(self.asked.seen(found.image).convert("L"), cmap="gray")
        axes[1].imshow(drops, alpha=0.6, **colours)
        drawn = axes[2].imshow(drops, **colours)
        figure.colorbar(drawn, figure.add_axes(BAR), label=f"drop in {values['score']}")
        axes[0].set_title(title)
        axes[1].set_title("laid over the photograph")
        axes[2].set_title(f"mean drop, {self.asked.name(found.target)}")
        return figure


def _value(value: float | Tensor, values: dict) -> str:
    share = values["score"] == "probability"
    return f"{float(value):.1%}" if share else f"{float(value):.1f}"
