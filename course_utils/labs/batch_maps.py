"""Lab of lesson 03: one photograph, two classes, the choices of how a map is drawn."""

from functools import lru_cache

import ipywidgets as widgets
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn

from ..figures import map_limits, overlay, plot_panels, range_text, smooth
from ..gradients import input_gradient
from ..images import deprocess, preprocess
from ..models import class_name, load_model
from ..samples import load_samples, two_class_picture
from .base import LABEL, ClassPicker, Lab

CHANNEL_RULES = {
    "largest |slope| of the colours": lambda g: g.abs().amax(dim=0),
    "mean |slope| of the colours": lambda g: g.abs().mean(dim=0),
    "red only": lambda g: g[0].abs(),
    "green only": lambda g: g[1].abs(),
    "blue only": lambda g: g[2].abs(),
}


class BatchMapsLab(Lab):
    """The map of the top class beside the map of any other class.

    Args:
        model: a classifier; the bundled SqueezeNet unless given.
    """

    title = "Maps of two classes of one photograph"

    def __init__(self, model: nn.Module | None = None):
        self.model = load_model() if model is None else model
        self.pictures = {name: None for name in load_samples().names}
        self.pictures["parrot and dog, side by side"] = two_class_picture()
        self._inputs = lru_cache(maxsize=32)(self._load)
        self._gradient = lru_cache(maxsize=64)(self._compute)
        wide = {"style": LABEL, "layout": {"width": "330px"}}
        super().__init__(
            photo=widgets.Dropdown(
                options=list(self.pictures),
                value="parrot and dog, side by side",
                description="photograph",
                **wide,
            ),
            target=ClassPicker("shepherd", fixed=(), label="other class"),
            channels=widgets.Dropdown(
                options=list(CHANNEL_RULES), description="colours", **wide
            ),
            scale=widgets.Dropdown(
                options=[("each map its own", "each"), ("one for both", "shared")],
                description="scale",
                **wide,
            ),
            cmap=widgets.Dropdown(
                options=["inferno", "hot", "viridis", "gray"],
                description="colour map",
                **wide,
            ),
            overlaid=widgets.Checkbox(description="laid over the photograph", indent=True),
        )

    def draw(self, photo, target, channels, scale, cmap, overlaid) -> tuple[Figure, str]:
        """Photograph, map of the top class, map of the class that was picked."""
        images, scores = self._inputs(photo)
        classes = {"top class": int(scores.argmax()), "other class": target}
        rule = CHANNEL_RULES[channels]
        maps = [rule(self._gradient(photo, c)).numpy() for c in classes.values()]
        alike = np.corrcoef(maps[0].ravel(), maps[1].ravel())[0, 1]
        maps = [smooth(m) for m in maps] if overlaid else maps
        picture = deprocess(images[0])
        panels = [(picture, photo.replace("_", " "), {})]
        for (word, index), values, limit in zip(
            classes.items(), maps, map_limits(maps, scale), strict=True
        ):
            style = {"cmap": cmap, "vmin": 0, "vmax": limit, "below": range_text(limit)}
            drawn = overlay(picture, values, cmap, limit) if overlaid else values
            panels.append((drawn, f"{word}: {class_name(index)}", style))
        return plot_panels(panels, size=3.0), (
            f"{_standing(scores, classes.values())}. "
            f"Correlation of the two maps: {alike:.2f}."
        )

    def _load(self, photo: str) -> tuple[torch.Tensor, torch.Tensor]:
        picture = self.pictures[photo] or load_samples(names=photo).images[0]
        images = preprocess(picture)
        with torch.no_grad():
            return images, self.model(images)[0]

    def _compute(self, photo: str, target: int) -> torch.Tensor:
        images, _ = self._inputs(photo)
        return input_gradient(self.model, images, target)[0]


def _standing(scores: torch.Tensor, classes) -> str:
    """Score and probability of each of `classes`, in words."""
    share = scores.softmax(dim=0)
    return "; ".join(
        f"{class_name(c)}: score {scores[c]:.1f}, probability {share[c]:.1%}"
        for c in classes
    )
