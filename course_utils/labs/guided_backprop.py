"""Lab of lesson 05: three backward rules, for a class or for any hidden unit."""

import re
import warnings
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import ipywidgets as widgets
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from ..figures import map_limits, plot_panels, range_text, save_map, signed_panel
from ..gradients import input_gradient
from ..images import deprocess, preprocess
from ..models import Unit, class_name, friendly_layers, has_cached_weights, load_model
from ..relu_rules import RULES
from ..samples import load_samples, two_class_picture
from .base import LABEL, ClassPicker, Lab

PAIR = "parrot and dog, side by side"
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
STRONGEST = "strongest"


class GuidedBackpropLab(Lab):
    """Maps of one target under the three rules, side by side, and saved as pictures.

    Args:
        model: a classifier, offered as the first network; the bundled SqueezeNet unless
            given.

    Attributes:
        folder, save: the text field and the button below the controls.
    """

    title = "Three backward rules"

    def __init__(self, model: nn.Module | None = None):
        own = BUNDLED if model is None else type(model).__name__
        self.networks = {own: load_model() if model is None else model}
        self.pictures = {name: None for name in load_samples().names}
        self.pictures[PAIR] = two_class_picture()
        self._shown: dict[str, Tensor] = {}
        self._stem = ""
        self._quiet = False
        self._inputs = lru_cache(maxsize=32)(self._load)
        self._gradient = lru_cache(maxsize=64)(self._compute)
        self._layers = lru_cache(maxsize=None)(self._find_layers)
        super().__init__(**self._make_controls(own))
        self._add_saving()

    def _make_controls(self, own: str) -> dict[str, widgets.Widget]:
        wide = {"style": LABEL, "layout": {"width": "330px"}}

        def dropdown(options, label, **more):
            return widgets.Dropdown(options=options, description=label, **wide, **more)

        rules = [("all three, side by side", RULES), *((rule, (rule,)) for rule in RULES)]
        controls = {
            "photo": dropdown(list(self.pictures), "photograph", value="golden_retriever"),
            "network": dropdown([(own, own), *_others()], "network"),
            "rules": dropdown(rules, "rule"),
            "view": dropdown(list(VIEWS), "drawn"),
            "target": ClassPicker("", label="class"),
            "layer": dropdown(self._choices(own), "explained"),
            "channel": widgets.IntSlider(
                0, 0, 0, description="channel", continuous_update=False, **wide
            ),
            "position": dropdown(
                [("mean over all positions", None), ("strongest position", STRONGEST)],
                "position",
            ),
        }
        controls["network"].observe(self._network_changed, names="value")
        controls["layer"].observe(self._layer_changed, names="value")
        for name in ("channel", "position"):
            controls[name].disabled = True
        return controls

    def _add_saving(self) -> None:
        self.folder = widgets.Text(
            value="saved_maps", description="folder", style=LABEL, layout={"width": "330px"}
        )
        self.save = widgets.Button(description="Save these maps", icon="save")
        self.save.on_click(self._save)
        row = widgets.HBox([self.folder, self.save])
        row.add_class("course-lab-save")
        controls, *rest = self.widget.children
        self.widget.children = [controls, row, *rest]

    # -- controls that depend on others ------------------------------------------------

    def refresh(self) -> None:
        """Draw anew, unless several controls are just being changed at once."""
        if not self._quiet:
            super().refresh()

    def _choices(self, network: str) -> list[tuple[str, str | None]]:
        """What can be explained: a class, or a unit of each layer."""
        layers = self._layers(network)
        units = [(f"unit of {name} ({path})", path) for path, (name, _) in layers.items()]
        return [("a class", None), *units]

    def _network_changed(self, change) -> None:
        self._quiet = True
        try:
            self.controls["layer"].options = self._choices(change.new)
        except Exception:  # `refresh` meets it again, and says it
            self.controls["layer"].options = [("a class", None)]
        finally:
            self._quiet = False

    def _layer_changed(self, change) -> None:
        """Offer the controls that have a meaning, and the channels that there are."""
        is_class = change.new is None
        picker, channel = self.controls["target"], self.controls["channel"]
        picker.search.disabled = picker.choice.disabled = not is_class
        channel.disabled = self.controls["position"].disabled = is_class
        if not is_class:
            was_quiet, self._quiet = self._quiet, True
            _, outputs = self._layers(self.controls["network"].value)[change.new]
            channel.max = outputs.shape[1] - 1
            self._quiet = was_quiet

    # -- drawing -----------------------------------------------------------------------

    def draw(
        self, photo, network, rules, view, target, layer, channel, position
    ) -> tuple[Figure, str]:
        """The photograph, and the map of the target under each rule."""
        images, scores = self._inputs(network, photo)
        if layer is None:
            target = int(scores.argmax()) if target is None else target
            below = class_name(target)
            words = self._class_words(network, photo, rules, target)
        else:
            target, words = self._unit(network, photo, layer, channel, position)
            below = f"{self._layers(network)[layer][0]}, channel {channel}"
        maps = {rule: self._gradient(network, photo, target, rule) for rule in rules}
        dead = [rule for rule, gradient in maps.items() if not gradient.any()]
        if dead:
            words += f" Zero everywhere: {', '.join(dead)} (a dead ReLU on the way?)."
        self._shown = maps
        self._stem = re.sub(r"\W+", "-", f"{photo} {network} {below}")
        heading = photo.replace("_", " ")
        panels = [(deprocess(images[0]), heading, {"below": below})]
        panels += [_panel(gradient, rule, VIEWS[view]) for rule, gradient in maps.items()]
        return plot_panels(panels, size=1.8 if len(panels) > 2 else 2.8), words

    def _class_words(self, network, photo, rules, target: int) -> str:
        _, scores = self._inputs(network, photo)
        top = int(scores.argmax())
        words = (
            f"{class_name(target)}: score {scores[target]:.1f}, probability "
            f"{scores.softmax(dim=0)[target]:.1%}."
        )
        if target == top:
            return words
        pairs = [
            [self._gradient(network, photo, c, rule).flatten() for c in (target, top)]
            for rule in rules
        ]
        alike = [f"{_cosine(a, b):.2f}" for a, b in pairs]
        each = ", ".join(f"{r} {a}" for r, a in zip(rules, alike, strict=True))
        return f"{words} Cosine with the map of the top class, {class_name(top)}: {each}."

    def _unit(self, network, photo, layer, channel, position) -> tuple[Unit, str]:
        values = self._value(network, photo, layer)[channel]
        unit, where = Unit(layer, channel), "its only value"
        if values.ndim and position == STRONGEST:
            place = divmod(int(values.argmax()), values.shape[1])
            unit, where = Unit(layer, channel, place), "row {}, column {}".format(*place)
            values = values[place]
        elif values.ndim:
            where = "mean over {}×{} positions".format(*values.shape)
        name, outputs = self._layers(network)[layer]
        return unit, (
            f"{name} ({layer}), channel {channel} of {outputs.shape[1]}, {where}: "
            f"{values.mean():.2f}."
        )

    # -- what is kept ------------------------------------------------------------------

    def _fetch(self, network: str) -> nn.Module:
        """A network by the name in the list, loaded when it is first wanted."""
        if network not in self.networks:
            name = OTHERS[network]
            weights = "torchvision" if has_cached_weights(name) else "random"
            self.networks[network] = load_model(name, weights)
        return self.networks[network]

    def _load(self, network: str, photo: str) -> tuple[Tensor, Tensor]:
        picture = self.pictures[photo] or load_samples(names=photo).images[0]
        images = preprocess(picture)
        with torch.no_grad():
            return images, self._fetch(network)(images)[0]

    def _compute(self, network: str, photo: str, target, rule: str) -> Tensor:
        images, _ = self._inputs(network, photo)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # `draw` says it, also when a map is kept
            return input_gradient(self._fetch(network), images, target, rule)[0]

    def _value(self, network: str, photo: str, layer: str) -> Tensor:
        """What a layer gives for a photograph: (channels, rows, columns) or (channels,)."""
        images, _ = self._inputs(network, photo)
        return outputs_of(self._fetch(network), images, [layer])[layer][0]

    def _find_layers(self, network: str) -> dict[str, tuple[str, Tensor]]:
        """Path → friendly name and output, of the layers that have channels."""
        names = {path: name for name, path in friendly_layers(self._fetch(network)).items()}
        outputs = outputs_of(self._fetch(network), torch.zeros(1, 3, 224, 224), names)
        return {
            path: (names[path], output.to("meta"))  # its shape alone is kept
            for path, output in outputs.items()
            if output.ndim in (2, 4)
        }

    def _save(self, button) -> None:
        """Write the maps that are shown into the folder, and say where they are."""
        cmap, folder = VIEWS[self.controls["view"].value], self.folder.value.strip()
        try:
            if not folder:
                raise ValueError("folder: wants a name, such as saved_maps")
            for rule, gradient in self._shown.items():
                drawn = gradient if cmap is None else gradient.abs().amax(dim=0)
                file = Path(folder) / f"{self._stem}-{rule}.png"
                path = save_map(drawn, file, cmap or "gray")
        except (OSError, ValueError) as error:
            self._say(f"{error}", error=True)
            return
        names = ", ".join(f"{self._stem}-{rule}.png" for rule in self._shown)
        self._say(f"Saved in {path.parent}: {names}.")


def outputs_of(
    model: nn.Module, images: Tensor, layers: Iterable[str]
) -> dict[str, Tensor]:
    """What each of `layers`, by path, gives for `images`; none for a layer not used."""
    outputs = {}

    def keep(path):
        def read(module, inputs, output):
            outputs[path] = output.clone()  # before an in-place ReLU changes it

        return read

    hooks = [model.get_submodule(p).register_forward_hook(keep(p)) for p in layers]
    try:
        with torch.no_grad():
            model(images)
    finally:
        for hook in hooks:
            hook.remove()
    return outputs


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
    values = gradient.abs().amax(dim=0)
    limit = map_limits([values])[0]
    style = {"cmap": cmap, "vmin": 0, "vmax": limit, "below": range_text(limit)}
    return values, rule, style
