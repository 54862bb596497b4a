"""Lab of lesson 02: a loupe over one picture shows its map and the slopes at a pixel."""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import ipywidgets as widgets
import torch
from torch import Tensor, nn

from ..figures import map_limits, smooth
from ..figures.style import BLUE
from ..inputs import Inputs
from ..models import download_size, load_model
from .asking import Asked, kept
from .base import Lab
from .batch_maps import CHANNEL_RULES
from .controls import PicturePicker, dropdown, finder, slider
from .scenes import OTHER, class_bars, grey, map_layer, map_words, photo_panel, veil
from .touch import Bars, Layer, Pictures, Scene, to_picture

# Entry of the list → arguments of `load_model`.
NETWORKS = {
    "SqueezeNet 1.1": None,  # the one that all labs share
    "ResNet-18, random weights": ("resnet18", "random"),
}
DOWNLOADS = {"ResNet-18": "resnet18", "AlexNet": "alexnet", "VGG-19": "vgg19"}
NETWORKS |= {
    f"{title}, {download_size(name):.0f} MB to download once": (name, "torchvision")
    for title, name in DOWNLOADS.items()
}
COLOURS = {"red": "#d62728", "green": "#2ca02c", "blue": BLUE}
LENS = 36  # radius in pixels of a picture of 224


class VanillaSaliencyLab(Lab):
    """Move a loupe over a photograph or an upload; the pixel in its middle is asked.

    `model` heads the list of networks. The last three are kept, with their answers.
    """

    title = "The saliency map of one picture"
    primary = ("photo", "target", "network", "smoothing")

    def __init__(self, model: nn.Module | None = None, inputs: Inputs | None = None):
        own = {} if model is None else {type(model).__name__: model}
        self._inputs = inputs
        self.networks = own | NETWORKS
        self._former = next(iter(self.networks))
        self._asked = lru_cache(maxsize=3)(self._load)
        self.picker = PicturePicker(value="bison")
        asked = self._asked(self._former)
        rows, columns = asked.inputs.sides
        super().__init__(
            photo=self.picker,
            target=finder(asked),
            network=dropdown("network", [*self.networks]),
            channels=dropdown("colours", [*CHANNEL_RULES]),
            smoothing=slider("smoothing (px)", 0, 0, 10),
            overlaid=widgets.Checkbox(description="laid over the picture", indent=False),
            row=slider("row", rows * 3 // 8, 0, rows - 1),
            column=slider("column", columns // 2, 0, columns - 1),
        )

    @property
    def asked(self) -> Asked:
        """The network that is chosen."""
        return self._network(self.controls["network"].value)

    def refresh(self) -> None:
        """Draw again; where a network cannot be loaded, by the one before, and say why."""
        if self.attempt(lambda: self.asked and None):
            super().refresh()
            return
        reason = self.touch.answer
        with self.holding():
            self.controls["network"].value = self._former
        super().refresh()
        self.say(reason, error=True)

    def likely(self) -> Tensor:
        """The scores by the network that is there: a list to be sorted loads none."""
        return self._asked(self._former).scores(self.picker.value)

    def touched(self, key: str, hand: dict) -> None:
        """The loupe has moved: its middle is the pixel."""
        self.set(row=int(hand["y"]), column=int(hand["x"]))

    def draw(self, photo, target, network, channels, smoothing, overlaid, row, column):
        """The picture under the loupe, its map, the pixel's slopes, and the classes."""
        asked, field = self._network(network), self.controls["target"]
        field.offer(asked.names())  # where they are others, the class is another too
        target = asked.target(photo, field.value)
        row, column = self._place(asked)
        slopes = asked.gradient(photo, target)[:, row, column]
        look = network, photo, target, channels, smoothing, overlaid
        shares = asked.probabilities(photo)
        likely = shares.topk(min(5, len(shares))).indices.tolist()
        classes = likely if target in likely else [*likely[:4], target]
        panels = [
            *self._pictures(asked, {"x": column + 0.5, "y": row + 0.5}, *look),
            _slope_bars(slopes, self._limit(network, photo, target)),
            class_bars(asked, shares, classes, explained=[target], weight=0.9),
        ]
        answer = f"Row {row}, column {column}: {_strongest(slopes)}."
        return Scene(panels, answer, self._table(look, slopes, row, column), drop=True)

    def _place(self, asked: Asked) -> tuple[int, int]:
        """Row and column of the pixel; another network may take smaller pictures."""
        sides = zip(("row", "column"), asked.inputs.sides, strict=True)
        with self.holding():
            for name, side in sides:
                self.controls[name].max = side - 1  # which moves the value inside
        return self.controls["row"].value, self.controls["column"].value

    def _pictures(self, asked: Asked, hand: dict, *look) -> list[Pictures]:
        """The photograph with the map under a lens, and the map with the same lens."""
        (_, photo, target, *_, overlaid), (picture, words, _) = look, self._map(*look)
        layers = [Layer(picture)]
        if overlaid:
            layers.insert(0, grey(asked.looks(photo)))
        radius = LENS * min(asked.inputs.sides) / 224
        loupe = photo_panel(
            asked,
            photo,
            title="point at the photograph",
            label="Photograph under a loupe that shows the map: point at a pixel, "
            "or press arrow keys.",
            layers=[replace(layer, lens=True) for layer in layers],
            tool={"kind": "point", "lens": radius, "hover": True, "step": 1},
            hand=hand,
        )
        title = f"map: {asked.name(target)}"
        whole = replace(loupe, key="map", title=title, label="", layers=layers, words=words)
        return [loupe, replace(whole, tool=None, hand=None, follow="photo")]

    @kept
    def _map(self, network, photo, target, channels, smoothing, overlaid):
        """The map as a picture, in words, and the value of its brightest colour."""
        gradient = self._asked(network).gradient(photo, target)
        values = smooth(CHANNEL_RULES[channels](gradient), smoothing)
        layer = veil(values) if overlaid else map_layer(values)
        return to_picture(layer.picture), map_words(values), map_limits([values])[0]

    @kept
    def _limit(self, network: str, photo: str, target: int) -> float:
        """The slope at which a bar is full: one pixel of 200 has a steeper one."""
        slopes = self._asked(network).gradient(photo, target).abs().amax(dim=0)
        return float(slopes.flatten().quantile(0.995)) or 1.0

    def _table(self, look: tuple, slopes: Tensor, row: int, column: int) -> list[tuple]:
        """How the class stands, and what one grey level more does at the pixel."""
        network, photo, target = look[:3]
        asked = self._asked(network)
        scores, share = asked.scores(photo), asked.probabilities(photo)[target]
        level = 1 / 255 / torch.tensor(asked.inputs.std)
        brighter = asked.images(photo).clone()
        brighter[0, :, row, column] += level
        change = float(asked.ask(brighter)[0][target] - scores[target])
        promised = float(slopes @ level)
        lost = 0 < abs(promised) < 2 * torch.finfo(scores.dtype).eps * abs(scores[target])
        place = int((scores > scores[target]).sum()) + 1
        return [
            (asked.name(target), network.split(",")[0]),
            ("score", f"{scores[target]:.1f}"),
            ("probability", f"{share:.1%}"),
            ("place", f"{place} of {len(scores)}"),
            ("map's brightest colour from", f"{self._map(*look)[2]:.2g}"),
            ("one level more, by the slopes", f"{promised:+.2g}"),
            ("measured", "lost in rounding" if lost else f"{change:+.2g}"),
        ]

    def _network(self, name: str) -> Asked:
        """The network of that name."""
        try:
            asked = self._asked(name)
        except Exception as error:
            raise RuntimeError(
                f"{name.split(',')[0]} could not be loaded; keeping {self._former}. {error}"
            ) from error
        if name != self._former:
            self._former = name
            self.controls["target"].sort()
        return asked

    def _load(self, name: str) -> Asked:
        model = self.networks[name]
        if isinstance(model, tuple):
            self.say(f"Loading {name}; Kernel → Interrupt Kernel stops it.")
            try:
                model = load_model(*model)
            except KeyboardInterrupt:
                raise RuntimeError("Loading was stopped.") from None
        own = isinstance(self.networks[name], nn.Module)
        return Asked(model, self.picker.pictures, self._inputs if own else None)


def _channels(slopes: Tensor) -> Sequence[str]:
    return [*COLOURS] if len(slopes) == 3 else [f"channel {n}" for n in range(len(slopes))]


def _slope_bars(slopes: Tensor, limit: float) -> Bars:
    """A bar for each colour, to the left of the middle where the slope is negative."""
    bars = [
        {
            "name": name,
            "value": value,
            "text": f"{value:+.2g}",
            "colour": COLOURS.get(name, OTHER),
        }
        for name, value in zip(_channels(slopes), slopes.tolist(), strict=True)
    ]
    return Bars(
        key="slopes", title="slopes here", bars=bars, limits=(-limit, limit), weight=0.6
    )


def _strongest(slopes: Tensor) -> str:
    index = int(slopes.abs().argmax())
    if slopes[index] == 0:
        return "no slope in any colour"
    return f"strongest slope {slopes[index]:+.2g}, in {_channels(slopes)[index]}"
