"""Lab of lesson 01: one odd item among many, or a photograph, under three maps."""

import ipywidgets as widgets
import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor, nn

from ..attention import (
    RED,
    PopoutDisplay,
    centre_surround,
    grid_rows,
    popout_display,
    spectral_residual,
)
from ..figures import smooth
from ..gradients import vanilla_saliency
from ..images import prepare
from .asking import Asked, kept, photographs
from .base import Lab
from .controls import PicturePicker, dropdown, finder, slider
from .scenes import map_layer, map_words, photo_panel
from .touch import Layer, Pictures, Scene

DISPLAYS = {"pop-out: dots": "colour", "pop-out: bars": "orientation"}
RESIDUALS = [("intensity only", "intensity"), ("and colours", "colour")]
COLOURS = {
    "red, intensity of the blue": RED,
    "green, intensity of the blue": "#3cd23c",
    "violet, intensity of the blue": "#7832a0",
    "light blue": "#7878ff",
    "yellow": "yellow",
    "blue, as the other dots": "#3c3cd2",
    "white, as the other bars": "white",
}
MAPS = ("spectral residual", "centre-surround", "network, smoothed")
SIDE = 224  # of a display, in pixels
MARK = "#4cc9ff"  # seen on a grey display and on all colours of a map


class TheoryLab(Lab):
    """Drag the odd item through a display; three maps say whether they find it."""

    title = "Three kinds of saliency"
    primary = ("photo", "target", "channels", "colour")

    def __init__(self, model: nn.Module | None = None):
        small = {
            n: popout_display(kind, 9, place=(1, 1)).image for n, kind in DISPLAYS.items()
        }
        picker = PicturePicker(small | dict(photographs()))
        self.asked = Asked(model, picker.pictures)
        self.angle = 0  # to which the odd bar was turned by hand
        controls = {
            "photo": picker,
            "target": finder(self.asked, "lorikeet", ()),
            "channels": dropdown("residual of", RESIDUALS),
            "colour": dropdown("odd colour", [*COLOURS.items()]),
            "tilt": slider("odd tilt", 45, -90, 90, 5),
            "items": slider("items", 36, 4, 100),
            "row": slider("odd row", 2, 1, 6),
            "column": slider("odd column", 4, 1, 6),
            "seed": slider("seed", 0, 0, 20),
        }
        self.follow(picker, lambda _: _adapt(controls))
        _adapt(controls)
        for name in ("row", "column"):  # the place stays in the grid
            link = (controls["items"], "value"), (controls[name], "max")
            widgets.dlink(*link, grid_rows)
        super().__init__(**controls)

    def touched(self, key: str, hand: dict) -> None:
        """The odd item was moved, or turned: it belongs to the cell in which it is."""
        rows, before = grid_rows(self.controls["items"].value), self.values
        cell = {"row": hand["y"], "column": hand["x"]}
        moved = {n: min(int(v * rows / SIDE), rows - 1) + 1 for n, v in cell.items()}
        if self.values["photo"] == "pop-out: bars":
            self.angle = round(hand["angle"])
            moved["tilt"] = 90 - -self.angle % 180
        self.set(**moved)
        if self.values == before:
            self.refresh()  # which puts it back into its place in the cell

    # -- what is on the screen -----------------------------------------------------------

    def draw(self, photo, target, channels, **display) -> Scene:
        """Picture, spectral residual, centre-surround and the network's map."""
        shown = photo, *(display.values() if photo in DISPLAYS else ())
        popout = self._display(*shown) if photo in DISPLAYS else None
        (scores, shares), network = self._network(target, *shown)
        maps = self._residual(channels, *shown), self._contrast(*shown), network
        found = [bool(popout and m.max() > 0 and popout.found_by(m)) for m in maps]
        panels = [
            self._odd_panel(popout, *shown)
            if popout
            else photo_panel(self.asked, photo, "picture")
        ]
        for title, values, hit in zip(MAPS, maps, found, strict=True):
            panels.append(_map_panel(title, values, popout, hit))
        name, share = self.asked.name(target), f"{shares[target]:.1%}"
        answer = f"The network was asked for {name}: probability {share}."
        places = (", ".join(map(str, _largest(m))) or "nowhere" for m in maps)
        table = [("", *MAPS), ("largest at row, column", *places)]
        table.append(("highest at the odd one", *(_at_odd(m, popout) for m in maps)))
        table.append((f"score of {name}", "", "", f"{scores[target]:.1f} ({share})"))
        return Scene(panels, _verdict(found) if popout else answer, table, drop=True)

    def _odd_panel(self, popout: PopoutDisplay, name: str, *settings) -> Pictures:
        """The display, whose odd item can be dragged, and turned if it is a bar."""
        colour, tilt, items = settings[:3]
        bars, cell = DISPLAYS[name] == "orientation", SIDE / grid_rows(items)
        w, h = (0.8, 0.3) if bars else (0.7, 0.7)
        hand = {"x": popout.centre[0], "y": popout.centre[1], "w": w * cell, "h": h * cell}
        picture = _item(colour, bars)
        tool = {"kind": "window", "step": cell, "picture": picture, "colour": MARK}
        keys = "press arrow keys"
        if bars:
            turned = (self.angle - tilt + 90) % 180 == 0  # by this end, or by the other
            hand["angle"] = _end_inside(hand, self.angle if turned else tilt - 90)
            tool["grip"], keys = "turn", f"turn it by its grip; or {keys}, [ and ]"
        return Pictures(
            key="picture",
            title="drag the odd one" + (", turn it" if bars else ""),
            label=f"Display of {items} items: drag the odd one to another cell, {keys}.",
            layers=[Layer(self._display(name, *settings, 2 * SIDE).image)],
            size=(SIDE, SIDE),
            tool=tool,
            hand=hand,
        )

    def likely(self) -> Tensor | None:
        """The scores of a photograph; on a display of dots or bars no class is likely."""
        photo = self.controls["photo"].value
        return None if photo in DISPLAYS else self.asked.scores(photo)

    # -- computed once for each photograph, and each display's settings ------------------

    @kept
    def _display(self, name, colour, tilt, items, row, column, seed, side=SIDE):
        """The `PopoutDisplay` that the controls describe."""
        kind, place = DISPLAYS[name], (row - 1, column - 1)
        tilt = tilt if kind == "orientation" else None
        return popout_display(kind, items, seed, place, colour, tilt, side)

    def _picture(self, photo: str, *settings) -> Image.Image:
        """What the maps are made of: a display, or a photograph as the network sees it."""
        if photo in DISPLAYS:
            return self._display(photo, *settings).image
        return self.asked.seen(self.asked.images(photo))

    @kept
    def _residual(self, channels: str, *shown) -> np.ndarray:
        return spectral_residual(self._picture(*shown), channels=channels)

    @kept
    def _contrast(self, *shown) -> np.ndarray:
        return centre_surround(self._picture(*shown))

    @kept
    def _network(
        self, target: int, photo, *settings
    ) -> tuple[tuple[Tensor, Tensor], np.ndarray]:
        """Scores and probabilities, and the smoothed map, as large as the picture."""
        if photo not in DISPLAYS:
            answer = self.asked.scores(photo), self.asked.probabilities(photo)
            return answer, smooth(self.asked.gradient(photo, target).abs().amax(dim=0))
        picture = self._picture(photo, *settings)
        whole = self.asked.inputs.but(fit="stretch")  # no item may be cropped away
        images = prepare(self.asked.model, picture, whole)
        saliency = vanilla_saliency(self.asked.model, images, target)[0]
        values = Image.fromarray(smooth(saliency.float()).astype(np.float32))
        sized = values.resize(picture.size, Image.Resampling.BILINEAR)
        return self.asked.ask(images), np.asarray(sized, dtype=float)


def _end_inside(hand: dict, angle: float) -> float:
    """The angle of a bar's grip, or of its other end where the grip would lie outside."""
    along, arm = np.radians(angle), hand["w"] / 2 + 12
    grip = hand["x"] + arm * np.cos(along), hand["y"] + arm * np.sin(along)
    return angle if min(grip) > 0 and max(grip) < SIDE else angle + 180


def _item(colour: str, bar: bool) -> Image.Image:
    """The odd item under the hand: a dot, or a bar that lies along x, on nothing."""
    picture = Image.new("RGBA", (160, 60) if bar else (140, 140))
    pen = ImageDraw.Draw(picture)
    if bar:
        pen.rectangle((14, 15, 146, 45), fill=colour)
    else:
        pen.ellipse((20, 20, 120, 120), fill=colour)
    return picture


def _map_panel(
    title: str, values: np.ndarray, popout: PopoutDisplay | None, hit: bool
) -> Pictures:
    """A map with a circle around its maximum and, dashed, the odd one's cell."""
    height, width = values.shape
    marks = []
    if popout:
        title = f"{'✔' if hit else '✘'} {title}"
        marks.append({"rect": [*popout.box], "dash": True, "colour": MARK})
    if place := _largest(values):
        circle = [*place[::-1], max(width, height) / 22]
        marks.append({"circle": circle, "colour": MARK})
    return Pictures(
        key=title.split()[-1],
        title=title,
        layers=[map_layer(values)],
        marks=marks,
        words=map_words(values),
        size=(width, height),
    )


def _verdict(found: list[bool]) -> str:
    """Which of the three maps find the odd one."""
    words = "spectral residual", "centre-surround", "the network"
    names = [word for word, hit in zip(words, found, strict=True) if hit]
    if len(names) == 1:
        return f"Only {names[0]} finds the odd one."
    if len(names) == 2:
        return f"{' and '.join(names).capitalize()} find the odd one."
    return f"{'All three maps find' if names else 'None of the maps finds'} the odd one."


def _largest(values: np.ndarray) -> tuple[int, ...]:
    """Row and column where a map is largest; nothing for a map of zeros."""
    place = divmod(int(values.argmax()), values.shape[1])
    return place if values.max() > 0 else ()


def _at_odd(values: np.ndarray, popout: PopoutDisplay | None) -> str:
    """The largest value in the odd one's cell, as a share of the largest of all."""
    if popout is None or values.max() == 0:
        return "–"
    x0, y0, x1, y1 = (int(np.ceil(edge)) for edge in popout.box)
    return f"{values[y0:y1, x0:x1].max() / values.max():.0%}"


def _adapt(controls: dict) -> None:
    """Switch off what the chosen picture does not use; the odd colour is one it shows."""
    kind, colour = DISPLAYS.get(controls["photo"].value), controls["colour"]
    if colour.value == {"orientation": RED, "colour": "white"}.get(kind):
        colour.value = {"orientation": "white", "colour": RED}[kind]
    for name in ("items", "row", "column", "colour", "seed"):
        controls[name].disabled = kind is None
    controls["tilt"].disabled = kind != "orientation"
