"""Lab of lesson 03: the maps of many classes over one photograph."""

import ipywidgets as widgets
import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from .._machinery.arguments import ArgumentError
from ..evaluation import rank_correlation
from ..figures import map_limits, smooth
from .asking import PAIR, Asked, kept
from .base import Lab
from .controls import PicturePicker, dropdown, finder, slider
from .scenes import class_bars, grey, map_layer, map_words, photo_panel, veil
from .touch import Bars, Layer, Pictures, Scene, to_picture

CHANNEL_RULES = {
    "largest |slope| of the colours": lambda g: g.abs().amax(dim=0),
    "mean |slope| of the colours": lambda g: g.abs().mean(dim=0),
    "red only": lambda g: _only(g, 0),
    "green only": lambda g: _only(g, 1),
    "blue only": lambda g: _only(g, 2),
}
SCALES = [("each map its own", "each"), ("one for all", "shared")]
BARS = 9  # classes: the most probable ones, and the other class


def _only(gradient: Tensor, channel: int) -> Tensor:
    if len(gradient) != 3:
        words = "must be the largest or the mean: the network takes no three colours"
        raise ArgumentError("colours", words)
    return gradient[channel].abs()


class BatchMapsLab(Lab):
    """Point at a class for its map; a rectangle on the photograph says what it holds."""

    title = "Maps of many classes of one photograph"
    primary = ("photo", "target", "channels", "scale")

    def __init__(self, model: nn.Module | None = None):
        picker = PicturePicker(value=PAIR)
        self.asked = Asked(model, picker.pictures)
        rows, columns = self.asked.inputs.sides
        self.follow(picker, self._first_bar)
        super().__init__(
            photo=picker,
            target=finder(self.asked, "shepherd", (), "other class"),
            channels=dropdown("colours", [*CHANNEL_RULES]),
            scale=dropdown("scale", SCALES),
            overlaid=widgets.Checkbox(description="laid over the photograph", indent=False),
            cmap=dropdown("colour map", ["inferno", "hot", "viridis", "gray"]),
            bar=slider("bar", 1, 1, BARS),
            left=slider("left (px)", columns // 2, 0, columns - 1),
            top=slider("top (px)", rows // 8, 0, rows - 1),
            width=slider("width (px)", columns * 7 // 16, 1, columns),
            height=slider("height (px)", rows * 3 // 4, 1, rows),
        )

    def _first_bar(self, photo: str) -> None:
        """Of another photograph the top class is shown: its bars are other classes."""
        with self.holding():
            self.controls["bar"].value = 1

    def touched(self, key: str, hand: dict) -> None:
        """A bar was pointed at, or the rectangle has moved."""
        if key == "bars":
            self.set(bar=hand["i"] + 1)
            return
        corner = {"left": hand["x"] - hand["w"] / 2, "top": hand["y"] - hand["h"] / 2}
        sizes = {"width": hand["w"], "height": hand["h"]}
        self.set(**{name: round(value) for name, value in (corner | sizes).items()})

    # -- what is on the screen -----------------------------------------------------------

    def draw(self, photo, target, channels, scale, overlaid, cmap, bar, **corners) -> Scene:
        """The photograph under one map, two maps beside it, and a bar for each class."""
        shares, classes = self.asked.probabilities(photo), self._classes(photo, target)
        bar, box = min(bar, len(classes)) - 1, self._box(**corners)
        three = {"top class": classes[0], "other class": target, "pointed at": classes[bar]}
        look = photo, channels, overlaid
        limits = self._limits(*look, scale, three)
        inside = [_share(self._map(photo, channels, False, c), box) for c in classes]
        panels = [
            self._photo(photo, channels, classes[bar], limits["pointed at"], cmap, box),
            self._bars(shares, classes, bar),
            _inside_bars(inside, bar),
            *(self._side(word, *look, three, limits[word], cmap) for word in [*three][:2]),
        ]
        name = self.asked.name(classes[bar])
        answer = f"{name}: {inside[bar]:.0%} of its map in the rectangle."
        table = self._table(photo, channels, three, limits, box)
        return Scene(panels, answer, table, drop=True)

    def _classes(self, photo: str, target: int) -> list[int]:
        """The classes that have a bar; the other class is always among them."""
        shares = self.asked.probabilities(photo)
        likely = shares.topk(min(BARS, len(shares))).indices.tolist()
        return likely if target in likely else [*likely[: BARS - 1], target][:BARS]

    def _box(self, left: int, top: int, width: int, height: int) -> tuple[slice, slice]:
        """Rows and columns of the rectangle, as far as they lie in the picture."""
        rows, columns = self.asked.inputs.sides
        return slice(top, min(top + height, rows)), slice(left, min(left + width, columns))

    def _limits(self, photo, channels, overlaid, scale, three: dict) -> dict[str, float]:
        """For each map the value of its brightest colour; one for all if it is shared."""
        words, drawn = [*three], (overlaid, overlaid, True)  # over the photograph: smooth
        maps = [
            self._map(photo, channels, d, three[w])
            for w, d in zip(words, drawn, strict=True)
        ]
        return dict(zip(words, map_limits(maps, scale), strict=True))

    def _photo(self, photo, channels, pointed, limit, cmap, box) -> Pictures:
        """The photograph with a map laid over it, and the rectangle."""
        y, x = box
        w, h = x.stop - x.start, y.stop - y.start
        rows, columns = self.asked.inputs.sides
        return photo_panel(
            self.asked,
            photo,
            title=self.asked.name(pointed),
            label="Photograph under the map of a class: drag the rectangle, or its corner; "
            "or press arrow keys, with shift for the corner.",
            base=grey(self.asked.looks(photo)),
            layers=[Layer(self._painted(photo, channels, True, pointed, limit, cmap))],
            tool={
                "kind": "window",
                "grip": "corner",
                "step": max(min(rows, columns) // 28, 1),
            },
            hand={"x": x.start + w / 2, "y": y.start + h / 2, "w": w, "h": h},
            words=map_words(self._map(photo, channels, True, pointed)),
        )

    def _side(self, word, photo, channels, overlaid, three, limit, cmap) -> Pictures:
        """The map of the top class, or of the other one, with the same rectangle."""
        again = word == "other class" and three[word] == three["top class"]
        name = "the top class again" if again else self.asked.name(three[word])
        drawn = Layer(self._painted(photo, channels, overlaid, three[word], limit, cmap))
        return photo_panel(
            self.asked,
            photo,
            word,
            title=f"{word}: {name}",
            base=grey(self.asked.looks(photo)) if overlaid else drawn,
            layers=[drawn] if overlaid else [],
            follow="photo",
            words=map_words(self._map(photo, channels, overlaid, three[word])),
        )

    def _bars(self, shares: Tensor, classes: list[int], bar: int) -> Bars:
        """The classes' probabilities; the one that is pointed at stands out."""
        return class_bars(
            self.asked,
            shares,
            classes,
            explained=[classes[bar]],
            label="Classes: point at one, or press up and down, to see its map.",
            tool={"kind": "cursor", "hover": True},
            hand={"i": bar},
        )

    def _table(self, photo, channels, three: dict, limits: dict, box) -> list[tuple]:
        """Scores, shares and scales of the three maps; how alike they are."""
        scores, shares = self.asked.scores(photo), self.asked.probabilities(photo)
        maps = {c: self._map(photo, channels, False, c) for c in three.values()}
        top = three["top class"]

        def alike(c: int) -> str:
            if c == top:
                return "the same class"
            pair = (torch.from_numpy(maps[k])[None] for k in (top, c))
            return f"{rank_correlation(*pair).item():.2f}"

        columns = [
            (
                f"{word}: {self.asked.name(c)}",
                f"{scores[c]:.1f}",
                f"{shares[c]:.1%}",
                f"{_share(maps[c], box):.0%}",
                alike(c) if word != "top class" else "–",
                f"{limits[word]:.2g}",
            )
            for word, c in three.items()
        ]
        names = "", "score", "probability", "map in the rectangle"
        names += "rank correlation with the top class", "brightest colour from"
        return [*zip(names, *columns, strict=True)]

    # -- computed once -------------------------------------------------------------------

    @kept
    def _map(self, photo: str, channels: str, smoothed: bool, target: int) -> np.ndarray:
        """The map of a class; smoothed, as it is laid over a photograph."""
        values = CHANNEL_RULES[channels](self.asked.gradient(photo, target)).numpy()
        return smooth(values).astype(np.float32) if smoothed else values

    @kept
    def _painted(self, photo, channels, over: bool, target, limit, cmap) -> Image.Image:
        """The map as a picture: opaque, or to be laid over the photograph."""
        values = self._map(photo, channels, over, target)
        layer = veil(values, limit, cmap=cmap) if over else map_layer(values, limit, cmap)
        return to_picture(layer.picture)


def _share(values: np.ndarray, box: tuple[slice, slice]) -> float:
    """How much of a map lies in a box: the sum inside over the sum of all."""
    return float(values[box].sum() / (values.sum() or 1))


def _inside_bars(inside: list[float], bar: int) -> Bars:
    """The part of each class's map that lies in the rectangle, as bars without names."""
    bars = [{"name": "", "value": round(v, 4), "text": f"{v:.0%}"} for v in inside]
    return Bars(key="inside", title="map inside", bars=bars, hand={"i": bar}, weight=0.5)
