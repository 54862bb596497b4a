"""Lab of lesson 01: pop-out displays and photographs under three maps."""

from functools import lru_cache

import ipywidgets as widgets
import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image
from torch import nn

from ..attention import (
    RED,
    PopoutDisplay,
    centre_surround,
    grid_rows,
    popout_display,
    spectral_residual,
)
from ..figures import map_limits, plot_panels, range_text, smooth
from ..gradients import vanilla_saliency
from ..images import fit_image, preprocess
from ..models import class_name, load_model
from ..samples import load_samples, two_class_picture
from .base import LABEL, ClassPicker, Lab

DISPLAYS = {"pop-out: dots": "colour", "pop-out: bars": "orientation"}
COLOURS = {
    "red, intensity of the blue": RED,
    "green, intensity of the blue": "#3cd23c",
    "violet, intensity of the blue": "#7832a0",
    "light blue": "#7878ff",
    "yellow": "yellow",
    "blue, as the other dots": "#3c3cd2",
    "white, as the other bars": "white",
}
WIDE = {"style": LABEL, "layout": {"width": "330px"}}


class TheoryLab(Lab):
    """A display of one odd item, or a photograph, under three kinds of saliency.

    Args:
        model: a classifier; the bundled SqueezeNet unless given.
    """

    title = "Three kinds of saliency"

    def __init__(self, model: nn.Module | None = None):
        self.model = load_model() if model is None else model
        self.photos = ["parrot and dog, side by side", *load_samples().names]
        self._picture = lru_cache(maxsize=64)(self._load)
        self._bottom_up = lru_cache(maxsize=64)(self._compute_bottom_up)
        self._network = lru_cache(maxsize=64)(self._compute_network)
        controls = _controls(self.photos)
        for name in ("picture", "items"):
            controls[name].observe(lambda change: self._adapt(controls), names="value")
        self._adapt(controls)
        super().__init__(**controls)

    @staticmethod
    def _adapt(controls: dict[str, widgets.Widget]) -> None:
        """Switch off what the chosen picture does not use; keep the place in the grid."""
        kind = DISPLAYS.get(controls["picture"].value)
        for name in ("items", "row", "column", "colour", "seed"):
            controls[name].disabled = kind is None
        controls["tilt"].disabled = kind != "orientation"
        rows = grid_rows(controls["items"].value)
        for name in ("row", "column"):
            controls[name].max = rows

    def draw(self, picture, target, channels, **display) -> tuple[Figure, str]:
        """Picture, spectral residual, centre-surround and the network's map."""
        key = (picture, *sorted(display.items())) if picture in DISPLAYS else (picture,)
        shown = self._picture(key)
        popout = shown if isinstance(shown, PopoutDisplay) else None
        image = shown.image if popout else shown
        scores, network = self._network(key, target)
        maps = {
            "spectral residual": self._bottom_up(key, channels),
            "centre-surround": self._bottom_up(key, "centre-surround"),
            "network, smoothed": network,
        }
        panels = [(image, picture.replace("_", " "), {})]
        for (title, values), limit in zip(
            maps.items(), map_limits(list(maps.values())), strict=True
        ):
            style = {"cmap": "inferno", "vmin": 0, "vmax": limit}
            panels.append((values, title, {**style, "below": range_text(limit)}))
        figure = plot_panels(panels, size=2.0)
        if popout:
            _frame(figure, popout)
        share = scores.softmax(dim=0)[target]
        standing = f"“{class_name(target)}”: score {scores[target]:.1f}, {share:.1%}."
        return figure, f"{_found(popout, maps)}The network was asked for {standing}"

    def _load(self, key: tuple) -> PopoutDisplay | Image.Image:
        picture, display = key[0], dict(key[1:])
        if display:
            place = (display["row"] - 1, display["column"] - 1)
            wanted = {k: display[k] for k in ("items", "seed", "colour")}
            tilt = display["tilt"] if DISPLAYS[picture] == "orientation" else None
            return popout_display(DISPLAYS[picture], place=place, tilt=tilt, **wanted)
        if picture == self.photos[0]:
            return two_class_picture()
        return fit_image(load_samples(names=picture).images[0])

    def _image(self, key: tuple) -> Image.Image:
        shown = self._picture(key)
        return shown.image if isinstance(shown, PopoutDisplay) else shown

    def _compute_bottom_up(self, key: tuple, rule: str) -> np.ndarray:
        if rule == "centre-surround":
            return centre_surround(self._image(key))
        return spectral_residual(self._image(key), channels=rule)

    def _compute_network(self, key: tuple, target: int) -> tuple[torch.Tensor, np.ndarray]:
        images = preprocess(self._image(key))
        with torch.no_grad():
            scores = self.model(images)[0]
        return scores, smooth(vanilla_saliency(self.model, images, target)[0])


def _controls(photos: list[str]) -> dict[str, widgets.Widget]:
    def slider(value, low, high, label, step=1):
        return widgets.IntSlider(
            value, low, high, step, description=label, continuous_update=False, **WIDE
        )

    return {
        "picture": widgets.Dropdown(
            options=[*DISPLAYS, *photos], description="picture", **WIDE
        ),
        "target": ClassPicker("lorikeet", fixed=()),
        "channels": widgets.Dropdown(
            options=[("intensity only", "intensity"), ("and colours", "colour")],
            description="residual of",
            **WIDE,
        ),
        "colour": widgets.Dropdown(
            options=list(COLOURS.items()), description="odd colour", **WIDE
        ),
        "tilt": slider(45, 0, 90, "odd tilt", step=5),
        "items": slider(36, 4, 100, "items"),
        "row": slider(2, 1, 6, "odd row"),
        "column": slider(4, 1, 6, "odd column"),
        "seed": slider(0, 0, 20, "seed"),
    }


def _frame(figure: Figure, popout: PopoutDisplay) -> None:
    """A frame around the odd one, in every panel."""
    x0, y0, x1, y1 = popout.box
    for axis in figure.axes:
        frame = Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, ec="white", lw=1.5)
        axis.add_patch(frame)


def _found(popout: PopoutDisplay | None, maps: dict[str, np.ndarray]) -> str:
    if popout is None:
        return ""
    words = [f"{t}: {'yes' if popout.found_by(m) else 'no'}" for t, m in maps.items()]
    return f"Largest in the odd one's cell? {'; '.join(words)}. "
