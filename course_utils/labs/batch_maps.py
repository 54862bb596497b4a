"""Lab of lesson 03: one photograph, two classes, the choices of how a map is drawn."""

import ipywidgets as widgets
import numpy as np
from matplotlib.figure import Figure
from torch import Tensor, nn

from .._machinery.arguments import ArgumentError
from ..figures import map_limits, map_panel, plot_panels, smooth
from ..figures.maps import overlay_panel
from .base import Lab
from .controls import PAIR, Asked, dropdown

CHANNEL_RULES = {
    "largest |slope| of the colours": lambda g: g.abs().amax(dim=0),
    "mean |slope| of the colours": lambda g: g.abs().mean(dim=0),
    "red only": lambda g: _only(g, 0),
    "green only": lambda g: _only(g, 1),
    "blue only": lambda g: _only(g, 2),
}
SCALES = [("each map its own", "each"), ("one for both", "shared")]


def _only(gradient: Tensor, channel: int) -> Tensor:
    if len(gradient) != 3:
        words = f"must be the largest or the mean, as the network takes {len(gradient)}"
        raise ArgumentError("colours", f"{words} channels and not three colours")
    return gradient[channel].abs()


class BatchMapsLab(Lab):
    """The map of the top class beside the map of any other class."""

    title = "Maps of two classes of one photograph"

    def __init__(self, model: nn.Module | None = None):
        self.asked = Asked(model)
        super().__init__(
            photo=dropdown("photograph", [*self.asked.pictures], PAIR),
            target=self.asked.finder("shepherd", (), "other class"),
            channels=dropdown("colours", [*CHANNEL_RULES]),
            scale=dropdown("scale", SCALES),
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
        panels, limits = [self.asked.panel(photo)], map_limits(maps, scale)
        for (word, c), values, limit in zip(classes.items(), maps, limits, strict=True):
            drawn = values, f"{word}: {self.asked.name(c)}", limit, cmap
            picture = panels[0][0]
            panels.append(overlay_panel(picture, *drawn) if overlaid else map_panel(*drawn))
        standing = "; ".join(self.asked.standing(photo, c) for c in classes.values())
        words = f"{standing}. Correlation of the two maps: {alike:.2f}."
        return plot_panels(panels, size=3.0), words
