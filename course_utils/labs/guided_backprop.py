"""Lab of lesson 05: three backward rules, for a class or for any hidden unit."""

import re
import warnings
from collections.abc import Iterable
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from .._machinery.arguments import ArgumentError
from .._machinery.hooks import watching
from ..figures import map_panel, plot_panels, save_map, signed_panel
from ..images import deprocess
from ..models import Unit, class_name, friendly_layers, has_cached_weights, load_model
from ..relu_rules import RULES
from .base import Lab
from .controls import (
    PAIR,
    Asked,
    ClassPicker,
    dropdown,
    kept,
    photographs,
    save_field,
    slider,
)

BUNDLED = "SqueezeNet 1.1"
OTHERS = {
    "AlexNet": "alexnet",
    "ResNet-18": "resnet18",
    "GoogLeNet": "googlenet",
    "ViT-B/16": "vit_b_16",
}
VIEWS = {
    "signed, in colour": None,
    "grey: largest |value| of the colours": "gray",
    "inferno: largest |value| of the colours": "inferno",
}
A_CLASS = ("a class", "")  # among the layers; a Dropdown shows a blank for None
STRONGEST = "strongest"


class GuidedBackpropLab(Lab):
    """Maps of one target under the three rules, side by side, and saved as pictures.

    Args:
        model: a classifier, offered as the first network; the bundled SqueezeNet unless
            given.

    Attributes:
        networks: name → network, with its answers; others join when they are first chosen.
        folder, save: the text field and the button below the controls.
    """

    title = "Three backward rules"

    def __init__(self, model: nn.Module | None = None):
        own = BUNDLED if model is None else type(model).__name__
        self.networks = {own: Asked(model, photographs())}
        self._shown: dict[str, Tensor] = {}
        self._stem, self._quiet = "", False
        rules = [("all three, side by side", RULES), *((rule, (rule,)) for rule in RULES)]
        places = [("mean over all positions", "mean"), ("strongest position", STRONGEST)]
        controls = {
            "photo": dropdown("photograph", [*photographs()], "golden_retriever"),
            "network": dropdown("network", [(own, own), *_others()]),
            "rules": dropdown("rule", rules),
            "view": dropdown("drawn", [*VIEWS]),
            "target": ClassPicker(),
            "layer": dropdown("explained", self._choices(own)),
            "channel": slider("channel", 0, 0, 0),
            "position": dropdown("position", places),
        }
        controls["network"].observe(self._network_changed, names="value")
        controls["layer"].observe(self._layer_changed, names="value")
        for name in ("channel", "position"):
            controls[name].disabled = True
        super().__init__(**controls)
        self.folder, self.save = save_field(
            "folder", "saved_maps", "Save these maps", self._save
        )
        self.add_row(self.folder, self.save)

    # -- controls that depend on others ------------------------------------------------

    def refresh(self) -> None:
        """Draw again, unless several controls are just being changed at once."""
        if not self._quiet:
            super().refresh()

    def _choices(self, network: str) -> list[tuple[str, str]]:
        """What can be explained: a class, or a unit of each layer."""
        layers = self._layers(network)
        units = [(f"unit of {name} ({path})", path) for path, (name, _) in layers.items()]
        return [A_CLASS, *units]

    def _network_changed(self, change) -> None:
        self._quiet = True
        try:
            self.controls["layer"].options = self._choices(change.new)
        except Exception:  # `refresh` meets it again, and shows it
            self.controls["layer"].options = [A_CLASS]
        finally:
            self._quiet = False

    def _layer_changed(self, change) -> None:
        """Offer the controls that have a meaning, and the channels that there are."""
        is_class = not change.new
        picker, channel = self.controls["target"], self.controls["channel"]
        picker.search.disabled = picker.choice.disabled = not is_class
        channel.disabled = self.controls["position"].disabled = is_class
        if not is_class:
            was_quiet, self._quiet = self._quiet, True
            _, channels = self._layers(self.controls["network"].value)[change.new]
            channel.max = channels - 1
            self._quiet = was_quiet

    # -- drawing -----------------------------------------------------------------------

    def draw(
        self, photo, network, rules, view, target, layer, channel, position
    ) -> tuple[Figure, str]:
        """The photograph, and the map of the target under each rule."""
        asked = self._asked(network)
        if layer:
            target, words = self._unit(network, photo, layer, channel, position)
            below = f"{self._layers(network)[layer][0]}, channel {channel}"
        else:
            target = asked.target(photo, target)
            below = class_name(target)
            words = f"{asked.standing(photo, target)}."
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # said below, also when a map is kept
            maps = {rule: asked.gradient(photo, target, rule) for rule in rules}
            if not layer and target != (top := asked.target(photo)):
                tops = [asked.gradient(photo, top, rule) for rule in rules]
                words += _compared(maps, tops, class_name(top))
        zero = [rule for rule, gradient in maps.items() if not gradient.any()]
        if zero:
            words += f" Zero everywhere: {', '.join(zero)} (a dead ReLU?)."
        self._shown = maps
        self._stem = re.sub(r"\W+", "-", f"{photo} {network} {below}")
        heading, picture = photo.replace("_", " "), deprocess(asked.images(photo)[0])
        panels = [(picture, heading, {"below": below})]
        panels += [_panel(gradient, rule, VIEWS[view]) for rule, gradient in maps.items()]
        return plot_panels(panels, size=1.8 if len(panels) > 2 else 2.8), words

    def _unit(self, network, photo, layer, channel, position) -> tuple[Unit, str]:
        values = self._outputs(network, photo, layer)[channel]
        unit, where = Unit(layer, channel), "its only value"
        if values.ndim and position == STRONGEST:
            place = divmod(int(values.argmax()), values.shape[1])
            unit, where = Unit(layer, channel, place), "row {}, column {}".format(*place)
            values = values[place]
        elif values.ndim:
            where = "mean over {}×{} positions".format(*values.shape)
        name, channels = self._layers(network)[layer]
        return unit, (
            f"{name} ({layer}), channel {channel} of {channels}, {where}: "
            f"{values.mean():.2f}."
        )

    def _save(self) -> None:
        self.attempt(self._save_maps)

    def _save_maps(self) -> str:
        """Write the maps that are shown into the folder, and say where they are."""
        cmap, folder = VIEWS[self.controls["view"].value], self.folder.value.strip()
        if not folder:
            raise ArgumentError("folder", "must be a name, such as saved_maps, got nothing")
        names = {rule: f"{self._stem}-{rule}.png" for rule in self._shown}
        for rule, gradient in self._shown.items():
            drawn = gradient if cmap is None else gradient.abs().amax(dim=0)
            path = save_map(drawn, Path(folder) / names[rule], cmap or "gray")
        return f"Saved in {path.parent}: {', '.join(names.values())}."

    # -- networks ----------------------------------------------------------------------

    def _asked(self, network: str) -> Asked:
        """A network by its name in the list, loaded when it is first wanted."""
        if network not in self.networks:
            name = OTHERS[network]
            weights = "torchvision" if has_cached_weights(name) else "random"
            self.networks[network] = Asked(load_model(name, weights), photographs())
        return self.networks[network]

    @kept
    def _layers(self, network: str) -> dict[str, tuple[str, int]]:
        """Path → friendly name and number of channels, of the layers that have channels."""
        asked = self._asked(network)
        names = {path: name for name, path in friendly_layers(asked.model).items()}
        outputs = outputs_of(asked.model, asked.images(PAIR), names)
        return {
            path: (names[path], output.shape[1])
            for path, output in outputs.items()
            if output.ndim in (2, 4)
        }

    @kept
    def _outputs(self, network: str, photo: str, layer: str) -> Tensor:
        """(channels, rows, columns) or (channels,): what a layer gives for a photograph."""
        asked = self._asked(network)
        return outputs_of(asked.model, asked.images(photo), [layer])[layer][0]


def outputs_of(
    model: nn.Module, images: Tensor, layers: Iterable[str]
) -> dict[str, Tensor]:
    """What each of `layers`, by path, gives for `images`; none for a layer not used."""
    outputs: dict[str, Tensor] = {}

    def see(path: str, output: Tensor) -> None:
        outputs[path] = output.clone()  # before an in-place ReLU changes it

    modules = {path: model.get_submodule(path) for path in layers}
    with watching(modules, see), torch.no_grad():
        model(images)
    return outputs


def _compared(maps: dict[str, Tensor], tops: list[Tensor], name: str) -> str:
    """How alike each map is to that of the top class, in words."""
    each = ", ".join(
        f"{rule} {_cosine(map_.flatten(), top.flatten()):.2f}"
        for (rule, map_), top in zip(maps.items(), tops, strict=True)
    )
    return f" Cosine with the map of the top class, {name}: {each}."


def _cosine(a: Tensor, b: Tensor) -> Tensor:
    # Of a random network the gradients may be as small as 1e-20: scaled up first.
    return torch.cosine_similarity(a / a.abs().max(), b / b.abs().max(), dim=0)


def _others() -> list[tuple[str, str]]:
    """Further networks for the list, with ImageNet's weights where those are cached."""
    return [
        (f"{label} ({'ImageNet' if has_cached_weights(name) else 'random'} weights)", label)
        for label, name in OTHERS.items()
    ]


def _panel(gradient: Tensor, rule: str, cmap: str | None) -> tuple:
    if cmap is None:
        return signed_panel(gradient, rule)
    return map_panel(gradient.abs().amax(dim=0), rule, cmap=cmap)
