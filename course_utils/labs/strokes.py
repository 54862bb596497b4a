"""Strokes that the learner paints on photographs: by hand, or by sliders and a button."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
from scipy.ndimage import distance_transform_edt

from .base import Lab
from .controls import button, slider


@dataclass(frozen=True)
class Stroke:
    """A disc that is moved from point to point; `second` is the other of two colours."""

    points: tuple[tuple[int, int], ...]  # x and y, in pixels
    radius: int
    second: bool = False

    def when(self, sides: tuple[int, int]) -> np.ndarray:
        """(rows, columns): after how many steps the disc comes nearest; inf outside it.

        Example:
            >>> Stroke(((1, 0), (4, 0)), 0).when((1, 6))
            array([[inf,  0.,  1.,  2.,  3., inf]])
        """
        columns, rows = self._way(sides)
        steps = np.full(sides, -1)
        steps[rows[::-1], columns[::-1]] = range(len(rows))[::-1]  # the first counts
        away, nearest = distance_transform_edt(steps < 0, return_indices=True)
        return np.where(away <= self.radius, steps[tuple(nearest)], np.inf)

    def mask(self, sides: tuple[int, int]) -> np.ndarray:
        """(rows, columns) bool: the pixels under it."""
        return np.isfinite(self.when(sides))

    def _way(self, sides: tuple[int, int]) -> np.ndarray:
        """(2, steps): columns and rows of the pixels from point to point."""
        points = np.asarray(self.points)
        parts = [points[:1]]
        for start, end in pairwise(points):
            share = np.linspace(0, 1, 1 + int(abs(end - start).max()))[1:, None]
            parts.append(start + share * (end - start))
        most = np.array(sides[::-1]) - 1
        return np.rint(np.concatenate(parts)).astype(int).clip(0, most).T


def two_masks(strokes: Iterable[Stroke], sides: tuple[int, int]) -> np.ndarray:
    """(2, rows, columns) bool: what is painted in either colour; later strokes cover."""
    masks = np.zeros((2, *sides), dtype=bool)
    for stroke in strokes:
        mask = stroke.mask(sides)
        masks[int(stroke.second), mask], masks[int(not stroke.second), mask] = True, False
    return masks


def spent(strokes: Iterable[Stroke], sides: tuple[int, int], budget: int) -> np.ndarray:
    """(rows, columns) bool: what strokes of the first colour cover until a budget is spent.

    They cover at most `budget` pixels at any time; the second colour gives pixels back.
    """
    covered = np.zeros(sides, dtype=bool)
    for stroke in strokes:
        when = stroke.when(sides)
        if stroke.second:
            covered &= np.isinf(when)
            continue
        new = np.flatnonzero(np.isfinite(when) & ~covered)
        first = new[np.argsort(when.flat[new], kind="stable")]
        covered.flat[first[: max(budget - covered.sum(), 0)]] = True
    return covered


class Brush:
    """The brush of a lab: sliders, buttons that paint, undo and clear, and the strokes.

    Each photograph keeps its own strokes. `words` are what the two buttons that paint say:
    one for each colour. After each change the lab is drawn anew.
    """

    def __init__(self, lab: Lab, sides: tuple[int, int], words: tuple[str, str]):
        rows, columns = sides
        self.lab, self.painted = lab, {}
        self.is_painting = False  # while the lab draws what a stroke has changed
        self.controls = {
            "row": slider("brush row", rows // 2, 0, rows - 1),
            "column": slider("brush column", columns // 2, 0, columns - 1),
            "radius": slider("brush radius", max(min(sides) // 22, 2), 1, 60),
        }
        self.buttons = {
            "first": self._button(words[0], "plus", partial(self.paint, False)),
            "second": self._button(words[1], "minus", partial(self.paint, True)),
            "undo": self._button("undo", "undo", partial(self._change, list.pop)),
            "clear": self._button("clear", "trash", partial(self._change, list.clear)),
        }

    def tool(self, colours: tuple[str, str], second: bool = False) -> dict:
        """The tool of a panel that is painted on."""
        return {"kind": "brush", "colours": list(colours), "second": second}

    @property
    def hand(self) -> dict:
        """Where the brush is, as the sliders say."""
        row, column, radius = (control.value for control in self.controls.values())
        return {"x": column, "y": row, "radius": radius}

    def heard(self, hand: dict) -> None:
        """The learner has painted by hand; the sliders follow."""
        with self.lab.holding():
            for name, place in {"row": "y", "column": "x", "radius": "radius"}.items():
                self.controls[name].value = round(hand[place])
        self.paint(hand.get("second", False), hand.get("points"))

    def paint(self, second: bool, points: Iterable | None = None) -> None:
        """Paint along points (x, y), or where the sliders say, and draw."""
        hand = self.hand
        places = points or [(hand["x"], hand["y"])]
        places = tuple((round(x), round(y)) for x, y in places)
        stroke = Stroke(places, hand["radius"], bool(second))
        self._change(lambda strokes: strokes.append(stroke))

    def strokes(self, photo: str) -> tuple[Stroke, ...]:
        """The strokes on a photograph, the earliest first; the buttons follow."""
        strokes = tuple(self.painted.get(photo, ()))
        self.buttons["undo"].disabled = self.buttons["clear"].disabled = not strokes
        return strokes

    def _change(self, change: Callable[[list], object]) -> None:
        strokes = self.painted.setdefault(self.lab.controls["photo"].value, [])
        try:
            change(strokes)
        except IndexError:
            self.lab.say("There is no stroke to undo.", error=True)
            return
        self.is_painting = True
        self.lab.refresh()
        self.is_painting = False

    def _button(self, text: str, icon: str, press: Callable):
        return button(text, icon, lambda: self.lab.guard(press), layout={"width": "auto"})
