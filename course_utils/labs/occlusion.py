"""Lab of lesson 06: the map grows window by window, and each window can be looked at."""

import ipywidgets as widgets
import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import nn

from ..figures import map_limits
from ..images import deprocess, preprocess
from ..models import class_name, load_model
from ..occlusion import OcclusionMap, occlusion
from ..samples import load_samples, two_class_picture
from .base import LABEL, ClassPicker, PicturePicker
from .live import LiveLab

WIDTH = {"style": LABEL, "layout": {"width": "330px"}}
PANELS = {"left": 0.005, "right": 0.895, "bottom": 0.02, "top": 0.91, "wspace": 0.04}
BAR = (0.91, 0.09, 0.013, 0.75)  # left, bottom, width, height; as shares of the figure
PAIR = "parrot and dog, side by side"
FILLS = {
    "mean colour": "mean",
    "blurred picture": "blur",
    "black": "black",
    "white": "white",
    "noise": "noise",
}


class OcclusionLab(LiveLab):
    """Choose a photograph, a class and a window; start; then look at single windows.

    Args:
        model: a classifier of ImageNet's classes; the bundled SqueezeNet unless given.

    Attributes:
        row, column: the sliders that choose the window to look at.
    """

    title = "Hide a window"

    def __init__(self, model: nn.Module | None = None):
        self.model = load_model() if model is None else model
        samples = load_samples()
        pictures = dict(zip(samples.names, samples.images, strict=True))
        pictures = {PAIR: two_class_picture()} | pictures
        self._last: tuple[dict, OcclusionMap] | None = None
        self.row, self.column = _position("row"), _position("column")
        super().__init__(
            photo=PicturePicker(pictures),
            target=ClassPicker(),
            window=_slider("window (px)", 48, 16, 112, 8),
            stride=_slider("stride (px)", 8, 4, 56, 4),
            fill=widgets.Dropdown(options=[*FILLS], description="fill", **WIDTH),
            score=widgets.Dropdown(
                options=["logit", "probability"], description="score", **WIDTH
            ),
        )
        for slider in (self.row, self.column):
            slider.observe(self._moved, names="value")
        first, buttons, *rest = self.widget.children
        looked_at = widgets.HBox([self.row, self.column], layout={"flex_flow": "row wrap"})
        self.widget.children = (first, buttons, looked_at, *rest)

    def draw(self, **values) -> tuple[Figure, str]:
        """The photograph, before the first window is measured."""
        if self.controls["photo"].error:
            raise ValueError(self.controls["photo"].error)
        image = self._image(values)
        found = occlusion(
            self.model, image, values["target"], values["window"], values["stride"],
            fill=self._fill(values, image), score=values["score"],
            progress=lambda *a: False, incremental=False,  # few windows, for nothing
        )  # fmt: skip
        return self._figure(found, values, nothing=True), (
            f"{class_name(found.target)}: {_value(found.score, values)}. Press start to "
            f"measure {found.drops.numel()} windows."
        )

    def compute(self, report, **values) -> OcclusionMap:
        """Run `occlusion`, reporting each batch of windows."""
        image = self._image(values)

        def progress(done, total, so_far):
            self._last = values, so_far
            return report(done, total, so_far)

        found = occlusion(
            self.model, image, values["target"], values["window"], values["stride"],
            fill=self._fill(values, image), score=values["score"], progress=progress,
        )  # fmt: skip
        self._last = values, found
        return found

    def draw_result(self, result: OcclusionMap, **values) -> tuple[Figure, str]:
        """The picture with one window hidden, and the map so far."""
        known = ~result.drops.isnan()
        strongest = result.drops[known].max() if known.any() else torch.tensor(0.0)
        sentence = (
            f"{class_name(result.target)}: {_value(result.score, values)}; largest drop "
            f"{_value(strongest, values)}. "
        )
        return self._figure(result, values), sentence + self._looked_at(result, values)

    # -- looking at one window ---------------------------------------------------------

    def _moved(self, change) -> None:
        """Draw the window that the sliders choose, of the result that is on the screen."""
        if self.running:
            return
        if self._last is None:
            self._say("Press start first: there is no window to look at yet.")
            return
        values, found = self._last
        try:
            figure, sentence = self.draw_result(found, **values)
            self._show(figure)
        except Exception as error:
            self._say(str(error), error=True)
            return
        self._say(sentence)

    def _place(self, found: OcclusionMap) -> tuple[int, int]:
        """The window nearest to the sliders, which run from 0 to 100 per cent."""
        rows, columns = found.drops.shape
        return (
            round(self.row.value / 100 * (rows - 1)),
            round(self.column.value / 100 * (columns - 1)),
        )

    def _looked_at(self, found: OcclusionMap, values: dict) -> str:
        """What the network says with the chosen window hidden."""
        row, column = self._place(found)
        with torch.no_grad():
            scores = self.model(found.hidden(row, column))[0]
        top, shares = int(scores.argmax()), scores.softmax(dim=0)
        return (
            f"Hidden at row {found.tops[row]}, column {found.lefts[column]}: "
            f"{class_name(found.target)} has the score {scores[found.target]:.1f}, "
            f"probability {shares[found.target]:.1%}; top class then: {class_name(top)} "
            f"({shares[top]:.1%})."
        )

    def _figure(self, found: OcclusionMap, values: dict, nothing: bool = False) -> Figure:
        row, column = self._place(found)
        # Places by hand: a layout engine would draw every picture twice.
        figure = Figure(figsize=(9.2, 3.15))
        left, middle, right = figure.subplots(1, 3, gridspec_kw=PANELS)
        bar = figure.add_axes(BAR)
        picture = found.image if nothing else found.hidden(row, column)
        left.imshow(np.asarray(deprocess(picture)[0]))
        left.set_title("photograph" if nothing else "with one window hidden")
        drops = found.heatmap.numpy() if not nothing else np.full(picture.shape[2:], np.nan)
        known = drops[~np.isnan(drops)]
        limit = map_limits([known])[0] if known.size else 1.0
        middle.imshow(np.asarray(deprocess(found.image)[0].convert("L")), cmap="gray")
        middle.imshow(drops, cmap="RdBu_r", vmin=-limit, vmax=limit, alpha=0.6)
        middle.set_title("laid over the photograph")
        drawn = right.imshow(drops, cmap="RdBu_r", vmin=-limit, vmax=limit)
        figure.colorbar(drawn, cax=bar, label=f"drop in {values['score']}")
        right.set_title(f"mean drop, {class_name(found.target)}")
        if not nothing:
            height, width = found.window
            corner = found.lefts[column] - 0.5, found.tops[row] - 0.5
            for axis in (middle, right):
                axis.add_patch(
                    Rectangle(corner, width, height, fill=False, ec="black", lw=1.5)
                )
        for axis in (left, middle, right):
            axis.set(xticks=[], yticks=[])
        return figure

    def _image(self, values: dict) -> torch.Tensor:
        picture = self.controls["photo"].pictures[values["photo"]]
        weight = next(self.model.parameters())
        return preprocess(picture).to(weight.device)

    def _fill(self, values: dict, image: torch.Tensor):
        fill = FILLS[values["fill"]]
        if fill != "noise":
            return fill
        random = torch.Generator().manual_seed(0)
        return torch.randn(image.shape[1:], generator=random)


def _slider(label: str, value: int, least: int, most: int, step: int) -> widgets.IntSlider:
    return widgets.IntSlider(
        value=value,
        min=least,
        max=most,
        step=step,
        description=label,
        continuous_update=False,
        **WIDTH,
    )


def _position(label: str) -> widgets.IntSlider:
    """Where to look, in per cent of the way through the windows."""
    return _slider(f"{label} (%)", 50, 0, 100, 5)


def _value(value, values: dict) -> str:
    share = values["score"] == "probability"
    return f"{float(value):.1%}" if share else f"{float(value):.1f}"
