"""Lab of lesson 01: pop-out displays and photographs under three maps."""

import ipywidgets as widgets
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor, nn

from ..attention import RED, centre_surround, grid_rows, popout_display, spectral_residual
from ..figures import map_panel, plot_panels, smooth
from ..gradients import vanilla_saliency
from .base import Lab
from .controls import Asked, dropdown, kept, slider

DISPLAYS = {"pop-out: dots": "colour", "pop-out: bars": "orientation"}
RESIDUALS = [("intensity only", "intensity"), ("and colours", "colour")]
COLOURS = {
    "red, intensity of the blue": RED,
    "green, intensity of the blue": "#3cd23c",
    "violet, intensity of the blue": "#7832a0",
    "light blue": "#7878ff",
    "yellow": "yellow",
    "blue, as the other dots": "#3c3cd2",
    "white, as the other bars": "white",
}


class TheoryLab(Lab):
    """A display of one odd item, or a photograph, under three kinds of saliency."""

    title = "Three kinds of saliency"

    def __init__(self, model: nn.Module | None = None):
        self.asked = Asked(model)
        controls = {
            "picture": dropdown("picture", [*DISPLAYS, *self.asked.pictures]),
            "target": self.asked.finder("lorikeet", ()),
            "channels": dropdown("residual of", RESIDUALS),
            "colour": dropdown("odd colour", [*COLOURS.items()]),
            "tilt": slider("odd tilt", 45, 0, 90, 5),
            "items": slider("items", 36, 4, 100),
            "row": slider("odd row", 2, 1, 6),
            "column": slider("odd column", 4, 1, 6),
            "seed": slider("seed", 0, 0, 20),
        }
        for name in ("picture", "items"):
            self.follow(controls[name], lambda _: _adapt(controls))
        _adapt(controls)
        super().__init__(**controls)

    def draw(self, picture, target, channels, **display) -> tuple[Figure, str]:
        """Picture, spectral residual, centre-surround and the network's map."""
        shown = picture, *(display.values() if picture in DISPLAYS else ())
        image, popout = self._shown(*shown)
        (scores, shares), network = self._network(target, *shown)
        maps = [
            ("spectral residual", self._residual(channels, *shown)),
            ("centre-surround", self._contrast(*shown)),
            ("network, smoothed", network),
        ]
        panels = [(image, picture.replace("_", " "), {})]
        panels += [map_panel(values, title) for title, values in maps]
        figure, words = plot_panels(panels, size=2.0), ""
        if popout:
            x0, y0, x1, y1 = popout.box
            frame = {"fill": False, "ec": "white", "lw": 1.5}
            for axis in figure.axes:
                axis.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, **frame))
            found = [f"{t}: {'yes' if popout.found_by(m) else 'no'}" for t, m in maps]
            words = f"Largest in the odd one's cell? {'; '.join(found)}. "
        name, share = self.asked.name(target), shares[target]
        standing = f"“{name}”: score {scores[target]:.1f}, {share:.1%}."
        return figure, f"{words}The network was asked for {standing}"

    def likely(self) -> Tensor | None:
        """The scores of a photograph; on a display of dots or bars no class is likely."""
        picture = self.controls["picture"].value
        return None if picture in DISPLAYS else self.asked.scores(picture)

    # -- computed once for each photograph, and each display's settings ------------------

    @kept
    def _shown(self, picture, colour=None, tilt=45, items=0, row=1, column=1, seed=0):
        """The picture, and its `PopoutDisplay`; None for a photograph."""
        if picture not in DISPLAYS:
            return self.asked.panel(picture)[0], None
        kind, place = DISPLAYS[picture], (row - 1, column - 1)
        tilt = tilt if kind == "orientation" else None
        popout = popout_display(kind, items, seed, place, colour, tilt)
        return popout.image, popout

    @kept
    def _residual(self, channels: str, *shown) -> np.ndarray:
        return spectral_residual(self._shown(*shown)[0], channels=channels)

    @kept
    def _contrast(self, *shown) -> np.ndarray:
        return centre_surround(self._shown(*shown)[0])

    @kept
    def _network(self, target: int, *shown) -> tuple[tuple[Tensor, Tensor], np.ndarray]:
        images = self.asked.prepare(self._shown(*shown)[0])
        saliency = vanilla_saliency(self.asked.model, images, target)[0]
        return self.asked.ask(images), smooth(saliency.float())


def _adapt(controls: dict[str, widgets.Widget]) -> None:
    """Switch off what the chosen picture does not use; keep the place in the grid."""
    kind = DISPLAYS.get(controls["picture"].value)
    for name in ("items", "row", "column", "colour", "seed"):
        controls[name].disabled = kind is None
    controls["tilt"].disabled = kind != "orientation"
    controls["row"].max = controls["column"].max = grid_rows(controls["items"].value)
