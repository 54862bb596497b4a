"""Lab of lesson 03: one photograph, two classes, the choices of how a map is drawn."""

import ipywidgets as widgets
import numpy as np
from matplotlib.figure import Figure
from torch import nn

from ..figures import map_limits, map_panel, plot_panels, smooth
from ..figures.maps import overlay_panel
from ..images import deprocess
from ..models import class_name
from .base import Lab
from .controls import PAIR, Asked, ClassPicker, dropdown, photographs

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
        self.asked = Asked(model, photographs())
        super().__init__(
            photo=dropdown("photograph", [*self.asked.pictures], PAIR),
            target=ClassPicker("shepherd", fixed=(), label="other class"),
            channels=dropdown("colours", [*CHANNEL_RULES]),
            scale=dropdown(
                "scale", [("each map its own", "each"), ("one for both", "shared")]
            ),
            cmap=dropdown("colour map", ["inferno", "hot", "viridis", "gray"]),
            overlaid=widgets.Checkbox(description="laid over the photograph"),
        )

    def draw(self, photo, target, channels, scale, cmap, overlaid) -> tuple[Figure, str]:
        """Photograph, map of the top class, map of the class that was picked."""
        classes = {"top class": self.asked.target(photo), "other class": target}
        rule = CHANNEL_RULES[channels]
        maps = [rule(self.asked.gradient(photo, c)).numpy() for c in classes.values()]
        alike = np.corrcoef(maps[0].ravel(), maps[1].ravel())[0, 1]
        maps = [smooth(m) for m in maps] if overlaid else maps
        picture = deprocess(self.asked.images(photo)[0])
        panels = [(picture, photo.replace("_", " "), {})]
        limits = map_limits(maps, scale)
        for (word, c), values, limit in zip(classes.items(), maps, limits, strict=True):
            title = f"{word}: {class_name(c)}"
            if overlaid:
                panels.append(overlay_panel(picture, values, title, limit, cmap))
            else:
                panels.append(map_panel(values, title, limit, cmap))
        standing = "; ".join(self.asked.standing(photo, c) for c in classes.values())
        words = f"{standing}. Correlation of the two maps: {alike:.2f}."
        return plot_panels(panels, size=3.0), words
