"""Lab of lesson 08: put one map to its tests, on any photograph and for any class."""

from functools import partial

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor, nn

from ..evaluation import blocks_from_top, deletion_insertion, forget, rank_correlation
from ..figures import plot_panels
from ..inputs import Inputs
from ..methods import QUICK
from ..models import friendly_layers
from .base import Lab
from .controls import FILLS, Asked, PicturePicker, coloured, dropdown, kept, slider

STEPS = 16  # of a curve


class TrustLab(Lab):
    """One map, the map of a randomised network, and the curves as pixels are hidden."""

    title = "Put a map to the test"

    def __init__(self, model: nn.Module | None = None, inputs: Inputs | None = None):
        self.picker = PicturePicker(value="german_shepherd")
        self.asked = Asked(model, self.picker.pictures, inputs)
        self.model = self.asked.model
        self.blocks = blocks_from_top(self.model)  # paths of what can be randomised
        friendly = {path: name for name, path in friendly_layers(self.model).items()}
        self.block_names = [friendly.get(path, path) for path in self.blocks]
        methods = [(method.label, name) for name, method in QUICK.items()]
        super().__init__(
            photo=self.picker,
            target=self.asked.finder(),
            method=dropdown("method", methods, "guided_backprop"),
            layers=slider("randomised", 1, 0, len(self.blocks)),
            hidden=slider("hidden (%)", 10, 0, 100, 2),
            fill=dropdown("fill", [*FILLS]),
        )

    def draw(self, photo, target, method, layers, hidden, fill) -> tuple[Figure, str]:
        """What is left of the picture, two maps, each on its own scale, and the curves."""
        target, fill = self.asked.target(photo, target), FILLS[fill]
        whole, randomised = (self._map(photo, target, method, n) for n in (0, layers))
        agreement = rank_correlation(whole, randomised).item()
        names = method, "random"
        curves, rival = (self._curves(photo, target, name, fill) for name in names)
        left = curves.hidden(hidden / 100)
        share = self.asked.ask(left)[1][target]
        label = QUICK[method].label
        drawn = [m[0] if m.ndim == 3 else coloured(m[0]) for m in (whole, randomised)]
        panels = [
            (np.asarray(self.asked.seen(left)), f"{hidden} % hidden", {}),
            QUICK[method].panel(drawn[0]),
            QUICK[method].panel(drawn[1], self._randomised(layers)),
            (partial(_draw_curves, curves, rival, hidden / 100), "probability", {}),
        ]
        return plot_panels(panels, size=2.3), (
            f"{label} for {self.asked.name(target)}: {share:.1%} probable with {hidden} % "
            f"hidden; deletion area {curves.deletion_area:.2f} (random pixels: "
            f"{rival.deletion_area:.2f}), insertion area {curves.insertion_area:.2f} "
            f"({rival.insertion_area:.2f}). {self._randomised(layers).capitalize()}: rank "
            f"correlation with the map {agreement:.2f}."
        )

    def _randomised(self, layers: int) -> str:
        if layers == 0:
            return "nothing randomised"
        if layers == len(self.blocks):
            return "all randomised"
        return f"randomised down to {self.block_names[layers - 1]}"

    @kept
    def _map(self, photo: str, target: int, method: str, layers: int) -> Tensor:
        images, model = self.asked.images(photo), self.model
        if layers:  # not kept: its maps are, and a network may be large
            model = forget(model, self.blocks[:layers])
        return QUICK[method](model, images, target).float().cpu()

    @kept
    def _curves(self, photo: str, target: int, method: str, fill: str):
        images, maps = self.asked.images(photo), self._map(photo, target, method, 0)
        importance = QUICK[method].importance(maps)[0]
        fill = self.asked.fill(fill, photo)
        return deletion_insertion(self.model, images, importance, target, STEPS, fill)


def _draw_curves(curves, rival, share: float, axis) -> None:
    """Deletion and insertion, those of random pixels in grey, and the slider's share."""
    for name, colour in {"deletion": "#c1440e", "insertion": "#3b6ea5"}.items():
        axis.plot(rival.shares, getattr(rival, name), color="#aaaaaa", lw=1, ls="--")
        axis.plot(curves.shares, getattr(curves, name), color=colour, label=name)
    axis.axvline(share, color="black", lw=1)
    axis.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.05), xticks=[0, 0.5, 1], yticks=[0.5, 1])
    axis.set_xlabel("share of pixels; dashed: random", labelpad=1)
    axis.tick_params(labelsize=7, pad=1, direction="in")
    axis.tick_params(axis="y", pad=-18)
    axis.legend(fontsize=7, loc="center right")
