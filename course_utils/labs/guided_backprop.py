"""Lab of lesson 05: three backward rules, for a class or for any hidden unit."""

import re
import warnings
from functools import partial
from pathlib import Path

import ipywidgets as widgets
import numpy as np
import torch
from torch import Tensor, nn

from .._machinery.arguments import ArgumentError
from ..figures import map_limits, save_map
from ..inputs import Inputs
from ..models import Unit, has_cached_weights, load_model
from ..relu_rules import RULES
from .asking import Asked, coloured
from .base import Lab
from .controls import LABEL, PicturePicker, dropdown, finder, path_field, slider
from .scenes import EXPLAINED, OTHER, map_layer, map_words, photo_panel
from .touch import Bars, Panel, Pictures, Scene

BUNDLED = "SqueezeNet 1.1"
OTHERS = {"AlexNet": "alexnet", "ResNet-18": "resnet18", "GoogLeNet": "googlenet"}
OTHERS |= {"ViT-B/16": "vit_b_16"}
VIEWS = {
    "signed, in colour": None,
    "grey: largest |value| of the colours": "gray",
    "inferno: largest |value| of the colours": "inferno",
}
HERE, STRONGEST, MEAN = "here", "strongest", "mean"
PLACES = [("the place in the photograph", HERE), ("its strongest position", STRONGEST)]
PLACES += [("mean over all positions", MEAN)]
LISTED = 10  # classes or units


class GuidedBackpropLab(Lab):
    """Maps of one target under the three rules, side by side, and saved as pictures.

    A click on the photograph asks which units fire most there.
    """

    title = "Three backward rules"
    primary = ("photo", "layer", "channel", "target", "rules")

    def __init__(self, model: nn.Module | None = None, inputs: Inputs | None = None):
        own = BUNDLED if model is None else type(model).__name__
        picker = PicturePicker(value="golden_retriever")
        # Others join when they are first chosen.
        self.networks = {own: Asked(model, picker.pictures, inputs)}
        self._pictures, asked = picker.pictures, self.networks[own]
        self._shown: dict[str, Tensor] = {}  # file name → map
        self._listed: list[int] = []  # the classes or units that can be chosen by bar
        self._layers: dict[str, str] = {}  # network → the layer that was explained last
        cached = [(label, has_cached_weights(name)) for label, name in OTHERS.items()]
        others = [(f"{o} ({'ImageNet' if c else 'random'} weights)", o) for o, c in cached]
        rules = [("all three, side by side", RULES), *((rule, (rule,)) for rule in RULES)]
        rows, columns = asked.inputs.sides
        look = {"style": LABEL, "layout": {"width": "140px"}}
        controls = {
            "photo": picker,
            "layer": dropdown("explained", asked.explained()),
            "channel": widgets.BoundedIntText(0, max=0, description="channel", **look),
            "target": finder(asked),
            "rules": dropdown("rule", rules),
            "network": dropdown("network", [(own, own), *others]),
            "view": dropdown("drawn", [*VIEWS]),
            "position": dropdown("position", PLACES),
            "row": slider("row (px)", rows // 3, 0, rows - 1),
            "column": slider("column (px)", 3 * columns // 5, 0, columns - 1),
        }
        asked.offer_channels(controls, "")
        # Observed before the base does: it draws once the other controls have followed.
        self.follow(controls["network"], self._offer_layers)
        for name in ("layer", "row", "column"):
            self.follow(controls[name], lambda _: self._offer_channels())
        super().__init__(**controls)
        self.folder = path_field("folder", "saved_maps")
        press = partial(self.attempt, self._save)
        self.save = self.button("Save these maps", "save", press)
        self.fold(self.folder, self.save)

    # -- networks, layers and channels -----------------------------------------------------

    @property
    def asked(self) -> Asked:
        """The network that is chosen."""
        return self._asked(self.controls["network"].value)

    def _asked(self, network: str) -> Asked:
        """A network by its name in the list, loaded when it is first wanted."""
        if network not in self.networks:
            name = OTHERS[network]
            weights = "torchvision" if has_cached_weights(name) else "random"
            self.networks[network] = Asked(load_model(name, weights), self._pictures)
        return self.networks[network]

    def _offer_layers(self, network: str) -> None:
        asked = self._asked(network)
        for name, length in zip(("row", "column"), asked.inputs.sides, strict=True):
            self.controls[name].max = length - 1
        self.controls["layer"].options = asked.explained()
        self.controls["target"].offer(asked.names())

    def _offer_channels(self) -> None:
        """Switch the channel on or off; choose the one that fires most at the place."""
        values = self.values
        self.asked.offer_channels(self.controls, layer := values["layer"])
        if layer:
            self._layers[values["network"]] = layer
            here = _fires(self.asked.output(values["photo"], layer), self._at(values))
            self.controls["channel"].value = int(here.argmax())

    def _at(self, values: dict) -> tuple[float, float]:
        """The place in the photograph, in shares of its height and width."""
        rows, columns = self.asked.inputs.sides
        return values["row"] / rows, values["column"] / columns

    def _last_layer(self) -> str:
        """The layer that was explained last; or the last whole one before the classes.

        One with places, if there is any.
        """
        values, asked = self.values, self.asked
        if values["layer"] or values["network"] in self._layers:
            return values["layer"] or self._layers[values["network"]]
        photo, layers = values["photo"], asked.layers()
        if not layers:
            raise ValueError("This network has no layer whose units could be listed.")
        whole = [
            path
            for path, (_, channels) in reversed(layers.items())
            if channels != len(asked.scores(photo))
            and not any(path.startswith(f"{other}.") for other in layers)
        ]
        placed = (path for path in whole if asked.output(photo, path)[0].numel() > 1)
        return next(placed, [*whole, *reversed(layers)][0])

    # -- the hand --------------------------------------------------------------------------

    def touched(self, key: str, hand: dict) -> None:
        """A place was clicked, which asks for units; or a bar, which is then explained."""
        if key == "photo":
            place = {"row": round(hand["y"]), "column": round(hand["x"])}
            self.set(**place, layer=self._last_layer(), position=HERE)
        elif self.controls["layer"].value:
            self.set(channel=self._listed[hand["i"]])
        else:
            self.controls["target"].choose(self._listed[hand["i"]])

    # -- what is on the screen -------------------------------------------------------------

    def draw(self, rules, **values) -> Scene:
        """The photograph, what can be asked for, and the maps under each rule."""
        asked, photo = self._asked(values["network"]), values["photo"]
        target, words, name = self._question(values)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # said below, also when a map is kept
            maps = {rule: asked.gradient(photo, target, rule) for rule in rules}
            alike = ["–" for _ in rules]
            if not isinstance(target, Unit):
                top = asked.target(photo)
                tops = [asked.gradient(photo, top, rule) for rule in rules]
                alike = [
                    f"{_cosine(*pair):.2f}"
                    for pair in zip(maps.values(), tops, strict=True)
                ]
        zero = [rule for rule, gradient in maps.items() if not gradient.any()]
        if zero:
            words += f" Zero everywhere: {', '.join(zero)} (a dead ReLU?)."
        cmap = VIEWS[values["view"]]
        drawn = {r: m.abs().amax(dim=0) if cmap else coloured(m) for r, m in maps.items()}
        stem = re.sub(r"\W+", "-", f"{photo} {values['network']} {name}")
        self._shown = {f"{stem}-{rule}.png": values for rule, values in drawn.items()}
        marks = _frame(maps.values()) if isinstance(target, Unit) else []
        photograph, bars = self._photograph(values, marks), self._bars(values, len(rules))
        panels = [_map_panel(rule, m, cmap, marks) for rule, m in drawn.items()]
        limits = [
            f"{'±' if cmap is None else ''}{map_limits([m])[0]:.2g}" for m in drawn.values()
        ]
        table = [("", *rules), ("strongest colour at", *limits)]
        table += [("cosine with the map of the top class", *alike)]
        return Scene([photograph, bars, *panels], words, table, drop=True)

    def _question(self, values: dict) -> tuple[int | Unit, str, str]:
        """What is explained, what the network says of it, and its name."""
        asked, photo, layer = self.asked, values["photo"], values["layer"]
        if not layer:
            target = asked.target(photo, values["target"])
            return target, f"{asked.standing(photo, target)}.", asked.name(target)
        channel, output = values["channel"], asked.output(photo, layer)
        here, unit, where = output[channel], Unit(layer, channel), "its only value"
        if here.ndim and values["position"] == MEAN:
            where = "mean over {}×{} positions".format(*here.shape)
        elif here.ndim:
            strongest = divmod(int(here.argmax()), here.shape[1])
            chosen = values["position"] == HERE
            place = _place(output, self._at(values)) if chosen else strongest
            unit, where = Unit(layer, channel, place), "row {}, column {}".format(*place)
            here = here[place]
        name, channels = asked.layers()[layer]
        words = f"{name} ({layer}), channel {channel} of {channels}, {where}"
        return unit, f"{words}: {here.mean():.3g}.", f"{name}, channel {channel}"

    def _photograph(self, values: dict, marks: list) -> Pictures:
        return photo_panel(
            self.asked,
            values["photo"],
            title="click a place",
            label="Photograph: click a place, or move it by the arrow keys; the units that "
            "fire most there are listed, and the first is explained.",
            marks=marks,
            tool={"kind": "point", "step": 8},
            hand={"x": values["column"], "y": values["row"]},
        )

    def _bars(self, values: dict, rules: int) -> Bars:
        """The most probable classes, or the units that fire most at the place."""
        asked, photo, layer = self.asked, values["photo"], values["layer"]
        if layer:
            output = asked.output(photo, layer)
            heights, chosen = _fires(output, self._at(values)), values["channel"]
            limits = min(float(output.min()), 0.0), max(float(output.max()), 1e-9)
            title = "fire most at the ring" if output.ndim == 3 else "fire most"
            name, form = "channel {}".format, "{:.3g}"
        else:
            heights = asked.probabilities(photo)
            chosen, limits = asked.target(photo, values["target"]), (0.0, 1.0)
            title, name, form = "most probable", asked.name, "{:.1%}"
        listed = heights.topk(min(LISTED, len(heights))).indices.tolist()
        self._listed = listed if chosen in listed else [*listed[:-1], chosen]
        bars = [
            {
                "name": name(index),
                "value": round(float(heights[index]), 4),
                "text": form.format(float(heights[index])),
                "colour": EXPLAINED if index == chosen else OTHER,
            }
            for index in self._listed
        ]
        return Bars(
            key="bars",
            title=title,
            label=f"What {'fires most' if layer else 'is most probable'}: click a bar, or "
            "press the up and down keys, to explain it.",
            bars=bars,
            limits=limits,
            tool={"kind": "cursor"},
            hand={"i": self._listed.index(chosen)},
            weight=1.4 + len(RULES) - rules,  # so that all panels keep their heights
        )

    # -- saving ----------------------------------------------------------------------------

    def _save(self) -> str:
        cmap, folder = VIEWS[self.controls["view"].value], self.folder.value.strip()
        if not folder:
            raise ArgumentError("folder", "must be a name, such as saved_maps, got nothing")
        for name, values in self._shown.items():
            path = save_map(values, Path(folder) / name, cmap or "gray")
        return f"Saved in {path.parent}: {', '.join(self._shown)}."


def _place(output: Tensor, at: tuple[float, float]) -> tuple[int, int]:
    """The row and column of a layer's `output` that lie at a place of the photograph."""
    rows, columns = output.shape[1:]
    return int(at[0] * rows), int(at[1] * columns)


def _fires(output: Tensor, at: tuple[float, float]) -> Tensor:
    """(channels,): what each unit of a layer gives at a place, or at all."""
    return output[:, *_place(output, at)] if output.ndim == 3 else output


def _cosine(ours: Tensor, other: Tensor) -> float:
    """How alike two maps are."""
    # Of a random network the gradients may be as small as 1e-20: scaled up first.
    flat = [(m / m.abs().max()).flatten() for m in (ours, other)]
    return float(torch.cosine_similarity(*flat, dim=0))


def _frame(maps) -> list[dict]:
    """A frame around the pixels that reach a unit, if these are not nearly all."""
    reached = torch.stack([m.abs().amax(dim=0) for m in maps]).amax(dim=0) > 0
    rows, columns = np.flatnonzero(reached.any(dim=1)), np.flatnonzero(reached.any(dim=0))
    if not len(rows) or (len(rows) > 0.9 * len(reached)):
        return []
    rect = [columns[0] - 3, rows[0] - 3, columns[-1] + 4, rows[-1] + 4]
    return [{"rect": [int(v) for v in rect], "dash": True}]


def _map_panel(rule: str, values: Tensor, cmap: str | None, marks: list) -> Panel:
    height, width = values.shape[-2:]
    strength = values if values.ndim == 2 else values.abs().amax(dim=0)
    return Pictures(
        key=rule,
        title=rule,
        layers=[map_layer(values, cmap=cmap or "inferno")],
        marks=marks,
        words=map_words(strength),
        size=(width, height),
    )
