"""Lab of lesson 08: put one map to its tests, on any photograph and for any class."""

from functools import lru_cache, partial

import ipywidgets as widgets
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from ..evaluation import (
    Curves,
    blocks_from_top,
    deletion_insertion,
    forget,
    random_maps,
    rank_correlation,
)
from ..figures import map_limits, plot_panels
from ..images import deprocess, preprocess
from ..methods import QUICK, Method
from ..models import class_name, friendly_layers, load_model
from ..samples import load_samples, two_class_picture
from .base import LABEL, ClassPicker, Lab, PicturePicker

PAIR = "parrot and dog, side by side"
FILLS = {"mean colour": "mean", "blurred picture": "blur", "black": "black"}
STEPS = 16  # of a curve


class TrustLab(Lab):
    """One map, the map of a network that forgets, and the curves as pixels are hidden.

    Args:
        model: a classifier; the bundled SqueezeNet unless given.

    Attributes:
        blocks: the paths of what can be drawn anew, the topmost first.
    """

    title = "Put a map to the test"

    def __init__(self, model: nn.Module | None = None):
        self.model = load_model() if model is None else model
        self.blocks = blocks_from_top(self.model)
        friendly = {path: name for name, path in friendly_layers(self.model).items()}
        self.block_names = [friendly.get(path, path) for path in self.blocks]
        samples = load_samples()
        pictures = dict(zip(samples.names, samples.images, strict=True))
        self.picker = PicturePicker(
            {PAIR: two_class_picture()} | pictures, "german_shepherd"
        )
        self._answer = lru_cache(maxsize=64)(self._ask)
        self._map = lru_cache(maxsize=128)(self._compute)
        self._curves = lru_cache(maxsize=64)(self._measure)
        self._forgetful = lru_cache(maxsize=16)(
            lambda count: forget(self.model, self.blocks[:count])
        )
        style = {"style": LABEL, "layout": {"width": "330px"}}
        super().__init__(
            photo=self.picker,
            target=ClassPicker(""),
            method=widgets.Dropdown(
                options=[(m.label, name) for name, m in QUICK.items()],
                value="guided_backprop",
                description="method",
                **style,
            ),
            layers=widgets.IntSlider(
                1,
                min=0,
                max=len(self.blocks),
                description="drawn anew",
                continuous_update=False,
                **style,
            ),
            hidden=widgets.IntSlider(
                10,
                min=0,
                max=100,
                step=2,
                description="hidden (%)",
                continuous_update=False,
                **style,
            ),
            fill=widgets.Dropdown(options=[*FILLS], description="fill", **style),
        )
        self.picker.observe(lambda change: self._upload_failed(), names="error")

    def draw(self, photo, target, method, layers, hidden, fill) -> tuple[Figure, str]:
        """What is left of the picture, two maps, each on its own scale, and the curves."""
        image, label = self._answer(photo, target)
        way, fill = QUICK[method], FILLS[fill]
        whole, forgot = (self._map(photo, target, method, n) for n in (0, layers))
        agreement = rank_correlation(whole, forgot).item()
        curves = self._curves(photo, target, method, fill)
        rival = self._curves(photo, target, "random", fill)
        left = curves.hidden(hidden / 100)
        with torch.no_grad():
            share = self.model(left).softmax(dim=1)[0, label].item()
        limit = map_limits([whole[0]])[0]
        panels = [
            (np.asarray(deprocess(left)[0]), f"{hidden} % hidden", {}),
            way.panel(whole[0], limit=limit),
            way.panel(forgot[0], self._forgotten(layers), limit=None),
            (partial(_draw_curves, curves, rival, hidden / 100), "probability", {}),
        ]
        return plot_panels(panels, size=2.3), (
            f"{way.label} for {class_name(label)}: {share:.1%} probable with {hidden} % "
            f"hidden; deletion area {curves.deletion_area:.2f} (random pixels: "
            f"{rival.deletion_area:.2f}), insertion area {curves.insertion_area:.2f} "
            f"({rival.insertion_area:.2f}). {self._forgotten(layers).capitalize()}: rank "
            f"correlation with the map {agreement:.2f}."
        )

    def _forgotten(self, layers: int) -> str:
        if layers == 0:
            return "nothing drawn anew"
        if layers == len(self.blocks):
            return "all drawn anew"
        return f"{self.block_names[layers - 1]} and above anew"

    def _ask(self, photo: str, target: int | None) -> tuple[Tensor, int]:
        weight = next(self.model.parameters())
        image = preprocess(self.picker.pictures[photo]).to(weight.device)
        with torch.no_grad():
            scores = self.model(image)[0]
        return image, int(scores.argmax()) if target is None else target

    def _compute(self, photo: str, target: int | None, method: str, layers: int) -> Tensor:
        image, label = self._answer(photo, target)
        return QUICK[method](self._forgetful(layers), image, label).cpu()

    def _measure(self, photo: str, target: int | None, method: str, fill: str) -> Curves:
        image, label = self._answer(photo, target)
        way: Method = QUICK[method]
        maps = random_maps(image) if way.name == "random" else None
        maps = self._map(photo, target, method, 0) if maps is None else maps
        importance = way.importance(maps)[0]
        return deletion_insertion(self.model, image, importance, label, STEPS, fill)

    def _upload_failed(self) -> None:
        if self.picker.error:
            self._say(self.picker.error, error=True)


def _draw_curves(curves: Curves, rival: Curves, here: float, axis) -> None:
    """Deletion and insertion, those of random pixels in grey, and where the slider is."""
    colours = {"deletion": "#c1440e", "insertion": "#3b6ea5"}
    for name, colour in colours.items():
        axis.plot(rival.shares, getattr(rival, name), color="#aaaaaa", lw=1, ls="--")
        axis.plot(curves.shares, getattr(curves, name), color=colour, label=name)
    axis.axvline(here, color="black", lw=1)
    axis.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.05), xticks=[0, 0.5, 1], yticks=[0.5, 1])
    axis.set_xlabel("share of pixels; dashed: random", labelpad=1)
    axis.tick_params(labelsize=7, pad=1, direction="in")
    axis.tick_params(axis="y", pad=-18)
    axis.legend(fontsize=7, loc="center right")
