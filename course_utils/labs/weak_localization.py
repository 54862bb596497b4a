"""Lab of lesson 07: paint what is object and what is not, and see which box is found."""

from functools import cache

import ipywidgets as widgets
import numpy as np
from matplotlib.colors import to_rgb
from PIL import Image
from scipy.ndimage import binary_erosion
from torch import nn

from ..gradients import vanilla_saliency
from ..images import fit_box
from ..localization import GraphCut, Localization, averaged_saliency, iou, localize
from ..samples import load_composites, load_samples
from .asking import Asked, kept, photographs
from .base import Lab
from .controls import WIDE, PicturePicker, finder, slider
from .scenes import grey, map_words, photo_panel, veil
from .strokes import Brush, two_masks
from .touch import Layer, Pictures, Scene

FOUND, DRAWN, MINE = "#ff4fdd", "#ffffff", "#ffe14d"
OBJECT, BACKGROUND = "#ffb000", "#3c6edc"
MODES = [
    ("paint object", "object"),
    ("paint background", "background"),
    ("my box", "box"),
]
WEIGHT = 0.85  # of each panel: so that lab and table fit one screen
LABEL = 6, 13  # a letter's width and a label's height, in 224ths of a panel of 340 pixels


@cache
def boxed() -> tuple[dict[str, Image.Image], dict[str, tuple]]:
    """Name → picture, and name → its box or None, in its pixels; with ten composites."""
    samples, made = load_samples(), load_composites(10)
    boxes = dict(zip(samples.names, samples.boxes, strict=True))
    pictures = photographs() | {one.name: one.image for one in made}
    return pictures, boxes | {one.name: one.box for one in made}


class WeakLocalizationLab(Lab):
    """Mask, box and IoU of any picture, as the settings and the learner's strokes change.

    In the mode "my box" the learner guesses first: the box drawn by hand is hidden, and so
    is the one that was found.
    """

    title = "From a saliency map to a box"
    primary = ("photo", "target", "foreground", "background")

    def __init__(self, model: nn.Module | None = None):
        pictures, boxes = boxed()
        picker = PicturePicker(pictures, "malinois_meadow")
        self.asked = Asked(model, picker.pictures)
        inputs, self.sides = self.asked.inputs, self.asked.inputs.sides
        self.boxes = {
            name: fit_box(box, pictures[name].size, inputs.size, inputs.fit)
            for name, box in boxes.items()
            if box
        }
        self.brush = Brush(self, self.sides, ("this is object", "this is background"))
        look = {"style": {"button_width": "150px"}, "layout": {"width": "auto"}}
        self.mode = widgets.ToggleButtons(options=MODES, **look)
        self.mode.observe(lambda _: self.soon(self._turn), names="value")
        self.drawn = widgets.Checkbox(True, description="show the drawn box", indent=False)
        self.drawn.observe(lambda _: self.soon(self.refresh), names="value")
        super().__init__(
            photo=picker,
            target=finder(self.asked),
            foreground=slider("foreground", 0.95, 0.5, 0.99, 0.01),
            background=slider("background", 0.30, 0.01, 0.6, 0.01),
            averaged=widgets.Checkbox(description="map averaged over shifts", indent=False),
            smoothing=slider("smoothing", 4.0, 0.0, 12.0, 0.5),
            contrast=slider("contrast", 60.0, 0.0, 300.0, 10.0),
            map_weight=slider("map weight", 5.0, 0.0, 10.0, 0.5),
            **self.brush.controls,
            columns=_edges("my box, columns", self.sides[1]),
            rows=_edges("my box, rows", self.sides[0]),
        )
        first, second, *others = self.brush.buttons.values()
        self.fold(first, second)
        self.add_beside(self.mode, *others, self.drawn)
        self._free_box()

    # -- by hand -------------------------------------------------------------------------

    def touched(self, key: str, hand: dict) -> None:
        """The learner has painted a stroke, or moved their own box."""
        if "w" not in hand:
            self.brush.heard(hand)
            return
        middles, lengths = (hand["x"], hand["y"]), (hand["w"], hand["h"])
        edges = []
        for middle, length, most in zip(middles, lengths, self.sides[::-1], strict=True):
            start = min(max(round(middle - length / 2), 0), most - 1)
            edges.append((start, max(min(round(middle + length / 2), most), start + 1)))
        self.set(columns=edges[0], rows=edges[1])

    def _turn(self) -> None:
        """Another mode: the drawn box is hidden while the learner guesses."""
        with self.holding():
            self.drawn.value = self.mode.value != "box"
        self._free_box()
        self.refresh()

    def _free_box(self) -> None:
        """The edges of the learner's own box can be set where it is shown."""
        for name in ("columns", "rows"):
            self.controls[name].disabled = self.mode.value != "box"

    # -- what is computed ------------------------------------------------------------------

    @kept
    def _localize(
        self, photo, target, averaged, strokes, quantiles, weights
    ) -> Localization:
        saliency = self._saliency(photo, target, averaged)
        inside, outside = two_masks(strokes, self.sides)
        known = {"object_pixels": inside, "background_pixels": outside}
        picture, cut = self.asked.seen(self.asked.images(photo)), GraphCut(**dict(weights))
        return localize(picture, saliency, *quantiles, cut=cut, **known)

    @kept
    def _saliency(self, photo: str, target: int, averaged: bool) -> np.ndarray:
        method = averaged_saliency if averaged else vanilla_saliency
        maps = method(self.asked.model, self.asked.images(photo), target)
        return maps[0].float().cpu().numpy()

    # -- what is on the screen -------------------------------------------------------------

    def draw(
        self, photo, target, averaged, foreground, background, columns, rows, **others
    ):
        """The photograph with boxes and strokes, and where the seeds and the map are."""
        target, strokes = self.asked.target(photo, target), self.brush.strokes(photo)
        cut = tuple((n, v) for n, v in others.items() if n not in self.brush.controls)
        quantiles = foreground, background
        found = self._localize(photo, target, averaged, strokes, quantiles, cut)
        mine = columns[0], rows[0], columns[1], rows[1]
        table = self._table(photo, found, mine)
        panels = [self._photo(photo, found, mine, strokes), *self._others(photo, found)]
        return Scene(panels, self._answer(photo, target, table, len(strokes)), table)

    def _photo(self, photo, found: Localization, mine, strokes) -> Pictures:
        layers, marks = [_tint(*two_masks(strokes, self.sides), 0.45)], []
        if self.drawn.value and photo in self.boxes:
            marks += self._marks(self.boxes[photo], DRAWN, "drawn", below=True)
        if self._is_open and found.mask.any():
            layers.append(_outlined(found.mask))
            overlap = f" IoU {self._iou(photo, found.box)}" if photo in self.boxes else ""
            marks += self._marks(found.box, FOUND, f"found{overlap}")
        return photo_panel(
            self.asked,
            photo,
            layers=layers,
            marks=marks,
            words=f"mask: {found.mask.mean():.0%} of the picture, box {found.box}",
            weight=WEIGHT,
            **(self._window(mine) if self.mode.value == "box" else self._brush()),
        )

    def _brush(self) -> dict:
        colour = self.mode.value
        tool = self.brush.tool((OBJECT, BACKGROUND), colour == "background")
        other = {"object": "background", "background": "object"}[colour]
        return {
            "title": f"paint {colour}, shift: other",
            "label": f"Photograph: paint {colour} with the pointer, {other} with shift or "
            "the right button; arrow keys move the brush, + and − resize it, Enter paints.",
            "tool": tool,
            "hand": self.brush.hand,
        }

    def _window(self, mine: tuple) -> dict:
        x0, y0, x1, y1 = mine
        middle = {"x": (x0 + x1) / 2, "y": (y0 + y1) / 2, "w": x1 - x0, "h": y1 - y0}
        step = max(min(self.sides) // 56, 1)
        look = {"kind": "window", "grip": "corner", "colour": MINE}
        return {
            "title": "drag your box, or its corner",
            "label": "Photograph: drag your box or its corner; arrow keys move it, with "
            "shift they move the corner, + and − resize it.",
            "tool": look | {"step": step, "sizes": [2 * step, self.sides[1]]},
            "hand": middle,
        }

    def _marks(self, box, colour: str, text: str, below: bool = False) -> list[dict]:
        """A box with its label above it; or dashed, with its label below."""
        (x0, y0, x1, y1), (rows, columns) = map(float, box), self.sides
        width, height = len(text) * LABEL[0] * columns / 224, LABEL[1] * rows / 224
        x = x1 - width if below else min(x0, columns - width)
        y = min(y1, rows - height) if below else max(y0 - height, 0)
        mark = {"rect": [x0, y0, x1, y1], "colour": colour, "dash": below}
        return [mark, {"text": text, "at": [max(x, 0), y], "colour": colour}]

    def _others(self, photo: str, found: Localization) -> list[Pictures]:
        """Seeds and smoothed map, over the photograph in grey."""
        base, seeds = grey(self.asked.looks(photo)), (found.foreground, found.background)
        shares = "object {:.0%}, background {:.0%}".format(*(s.mean() for s in seeds))
        looks = {
            "seeds": {
                "title": "seeds (orange: object)",
                "layers": [_tint(*seeds, 0.7)],
                "words": shares,
            },
            "map": {
                "title": "smoothed map",
                "layers": [veil(found.smoothed)],
                "words": map_words(found.smoothed),
            },
        }
        return [
            photo_panel(self.asked, photo, key, base=base, weight=WEIGHT, **look)
            for key, look in looks.items()
        ]

    def _answer(self, photo: str, target: int, table, strokes: int) -> str:
        found, mine = (line[1] for line in table[1:3])
        if photo in self.boxes and self.mode.value == "box":
            return f"Your box: IoU {mine}; the found box: {found}."
        share = self.asked.probabilities(photo)[target]
        words = f"{self.asked.name(target)} {share:.1%}: "
        if table[1][2] == "–":
            return f"{words}nothing was found, so no box."
        if photo not in self.boxes:
            return f"{words}no box is known here."
        if strokes:
            plural = "" if strokes == 1 else "s"
            return f"{words}IoU {found} with {strokes} stroke{plural} of yours."
        return f"{words}the found box has IoU {found}."

    def _table(self, photo: str, found: Localization, mine: tuple) -> list[tuple[str, ...]]:
        """Boxes, as far as they are shown; while the learner guesses only the IoU found."""
        boxing, drawn = self.mode.value == "box", self.boxes.get(photo)
        boxes = {
            "found (magenta)": (found.box if found.mask.any() else None, self._is_open),
            "yours (yellow)": (mine if boxing else None, True),
            "drawn by hand (white)": (drawn, self.drawn.value),
        }
        table = [("box", "IoU", "left, top, right, bottom", "share of the picture")]
        for name, (box, is_shown) in boxes.items():
            overlap = edges = share = "–"
            if box is not None:
                x0, y0, x1, y1 = box
                overlap = self._iou(photo, box)
                share = f"{(x1 - x0) * (y1 - y0) / np.prod(self.sides):.0%}"
                edges = ", ".join(f"{edge:.0f}" for edge in box)
            table.append((name, overlap, *((edges, share) if is_shown else "??")))
        return [*table, ("mask", "", "", f"{found.mask.mean():.0%}")]

    @property
    def _is_open(self) -> bool:
        """Whether the found box is shown: unless the learner guesses."""
        return self.drawn.value or self.mode.value != "box"

    def _iou(self, photo: str, box) -> str:
        """The IoU with the drawn box, in words."""
        return f"{iou(box, self.boxes[photo]):.2f}" if photo in self.boxes else "–"


def _edges(label: str, length: int) -> widgets.IntRangeSlider:
    """Where a box begins and ends; at first it is the middle half."""
    look = {"description": label, "continuous_update": False, **WIDE}
    middle = length // 4, length - length // 4
    return widgets.IntRangeSlider(value=middle, min=0, max=length, **look)


def _tint(first: np.ndarray, second: np.ndarray, opacity: float) -> Layer:
    """Two masks in the colours of object and background."""
    colours = np.zeros((*first.shape, 4))
    for mask, colour in ((first, OBJECT), (second, BACKGROUND)):
        colours[mask] = *to_rgb(colour), opacity
    return Layer(colours)


def _outlined(mask: np.ndarray) -> Layer:
    """A mask in a breath of magenta, with its outline; what it misses stays to be seen."""
    fine = mask.repeat(2, axis=0).repeat(2, axis=1)
    colours = np.zeros((*fine.shape, 4))
    colours[..., :3] = to_rgb(FOUND)
    colours[..., 3] = np.where(fine & ~binary_erosion(fine, iterations=2), 0.9, 0.18 * fine)
    return Layer(colours)
