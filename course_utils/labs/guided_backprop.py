"""Lab of lesson 05: three backward rules, for a class or for any hidden unit."""

import re
import warnings
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from .._machinery.arguments import ArgumentError
from ..figures import map_panel, plot_panels, save_map
from ..inputs import Inputs
from ..models import Unit, has_cached_weights, load_model
from ..relu_rules import RULES
from .base import Lab
from .controls import Asked, coloured, dropdown, path_field, photographs, slider

BUNDLED = "SqueezeNet 1.1"
OTHERS = {"AlexNet": "alexnet", "ResNet-18": "resnet18", "GoogLeNet": "googlenet"}
OTHERS |= {"ViT-B/16": "vit_b_16"}
VIEWS = {
    "signed, in colour": None,
    "grey: largest |value| of the colours": "gray",
    "inferno: largest |value| of the colours": "inferno",
}
STRONGEST = "strongest"
PLACES = [("mean over all positions", "mean"), ("strongest position", STRONGEST)]


class GuidedBackpropLab(Lab):
    """Maps of one target under the three rules, side by side, and saved as pictures."""

    title = "Three backward rules"

    def __init__(self, model: nn.Module | None = None, inputs: Inputs | None = None):
        own = BUNDLED if model is None else type(model).__name__
        # Others join when they are first chosen.
        self.networks = {own: Asked(model, None, inputs)}
        self._shown: dict[str, Tensor] = {}  # file name → map
        cached = [(label, has_cached_weights(name)) for label, name in OTHERS.items()]
        others = [(f"{o} ({'ImageNet' if c else 'random'} weights)", o) for o, c in cached]
        rules = [("all three, side by side", RULES), *((rule, (rule,)) for rule in RULES)]
        controls = {
            "photo": dropdown("photograph", [*photographs()], "golden_retriever"),
            "network": dropdown("network", [(own, own), *others]),
            "rules": dropdown("rule", rules),
            "view": dropdown("drawn", [*VIEWS]),
            "target": self.networks[own].finder(),
            "layer": dropdown("explained", self.networks[own].explained()),
            "channel": slider("channel", 0, 0, 0),
            "position": dropdown("position", PLACES),
        }
        self.networks[own].offer_channels(controls, "")
        # Observed before the base does: it draws once the other controls have followed.
        self.follow(controls["network"], self._offer_layers)
        self.follow(controls["layer"], self._offer_channels)
        super().__init__(**controls)
        self.folder = path_field("folder", "saved_maps")
        press = partial(self.attempt, self._save)
        self.save = self.button("Save these maps", "save", press)
        self.add_row(self.folder, self.save)

    def _offer_layers(self, network: str) -> None:
        asked = self._asked(network)
        self.controls["layer"].options = asked.explained()
        self.controls["target"].offer(asked.names())

    def _offer_channels(self, layer: str) -> None:
        self._asked(self.controls["network"].value).offer_channels(self.controls, layer)

    @property
    def asked(self) -> Asked:
        """The network that is chosen."""
        return self._asked(self.controls["network"].value)

    def draw(self, photo, network, rules, view, target, layer, channel, position):
        """The photograph, and the map of the target under each rule."""
        asked, cmap = self._asked(network), VIEWS[view]
        if layer:
            target, words = _unit(asked, photo, layer, channel, position)
            below = f"{asked.layers()[layer][0]}, channel {channel}"
        else:
            target = asked.target(photo, target)
            below = asked.name(target)
            words = f"{asked.standing(photo, target)}."
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # said below, also when a map is kept
            maps = {rule: asked.gradient(photo, target, rule) for rule in rules}
            if not layer and target != (top := asked.target(photo)):
                tops = [asked.gradient(photo, top, rule) for rule in rules]
                words += _compared(maps, tops, asked.name(top))
        zero = [rule for rule, gradient in maps.items() if not gradient.any()]
        if zero:
            words += f" Zero everywhere: {', '.join(zero)} (a dead ReLU?)."
        drawn = {r: m.abs().amax(dim=0) if cmap else coloured(m) for r, m in maps.items()}
        stem = re.sub(r"\W+", "-", f"{photo} {network} {below}")
        self._shown = {f"{stem}-{rule}.png": values for rule, values in drawn.items()}
        picture, heading, _ = asked.panel(photo)
        panels = [(picture, heading, {"below": below})]
        panels += [map_panel(m, rule, cmap=cmap) for rule, m in drawn.items()]
        return plot_panels(panels, size=1.8 if len(panels) > 2 else 2.8), words

    def _save(self) -> str:
        cmap, folder = VIEWS[self.controls["view"].value], self.folder.value.strip()
        if not folder:
            raise ArgumentError("folder", "must be a name, such as saved_maps, got nothing")
        for name, values in self._shown.items():
            path = save_map(values, Path(folder) / name, cmap or "gray")
        return f"Saved in {path.parent}: {', '.join(self._shown)}."

    def _asked(self, network: str) -> Asked:
        """A network by its name in the list, loaded when it is first wanted."""
        if network not in self.networks:
            name = OTHERS[network]
            weights = "torchvision" if has_cached_weights(name) else "random"
            self.networks[network] = Asked(load_model(name, weights))
        return self.networks[network]


def _unit(asked: Asked, photo, layer, channel, position) -> tuple[Unit, str]:
    """A unit, and its value in words."""
    values = asked.output(photo, layer)[channel]
    unit, where = Unit(layer, channel), "its only value"
    if values.ndim and position == STRONGEST:
        place = divmod(int(values.argmax()), values.shape[1])
        unit, where = Unit(layer, channel, place), "row {}, column {}".format(*place)
        values = values[place]
    elif values.ndim:
        where = "mean over {}×{} positions".format(*values.shape)
    name, channels = asked.layers()[layer]
    words = f"{name} ({layer}), channel {channel} of {channels}, {where}"
    return unit, f"{words}: {values.mean():.2f}."


def _compared(maps: dict[str, Tensor], tops: list[Tensor], name: str) -> str:
    """How alike each map is to that of the top class, in words."""
    each = []
    for (rule, ours), top in zip(maps.items(), tops, strict=True):
        # Of a random network the gradients may be as small as 1e-20: scaled up first.
        flat = [(m / m.abs().max()).flatten() for m in (ours, top)]
        each.append(f"{rule} {torch.cosine_similarity(*flat, dim=0):.2f}")
    return f" Cosine with the map of the top class, {name}: {', '.join(each)}."
