"""Lab of lesson 06: hide a window by hand, then let it slide over the whole picture."""

import numpy as np
import torch
from torch import Tensor, nn

from .._machinery.fills import fill_picture
from ..figures import map_limits
from ..inputs import Inputs
from ..occlusion import OcclusionMap, occlusion
from .asking import FILLS, PAIR, Asked, kept
from .controls import PicturePicker, dropdown, finder, slider
from .live import LiveLab
from .scenes import class_bars, grey, map_words, photo_panel, veil
from .touch import Pictures, Scene

ALL_FILLS = FILLS | {"white": "white", "noise": "noise"}
FAINT = 0.05  # of the score: a drop that is never drawn in the deepest colour by hand


class OcclusionLab(LiveLab):
    """Drag a window over the photograph; start, and it visits every place by itself."""

    title = "Hide a window"
    primary = ("photo", "target", "window", "fill")

    def __init__(self, model: nn.Module | None = None, inputs: Inputs | None = None):
        picker = PicturePicker(value=PAIR)
        self.asked = Asked(model, picker.pictures, inputs)
        self.sides = rows, columns = self.asked.inputs.sides
        self.step = step = max(min(self.sides) // 28, 1)  # 8 of 224 pixels
        half, largest = max(step // 2, 1), min(14 * step, *self.sides)
        self.crumbs = Crumbs(self.sides)
        # The middle of the window that is hidden by hand:
        self.row = slider("row", rows // 2, 0, rows - 1)
        self.column = slider("column", columns // 2, 0, columns - 1)
        super().__init__(
            photo=picker,
            target=finder(self.asked),
            window=slider("window (px)", 6 * step, 2 * step, largest, step),
            fill=dropdown("fill", [*ALL_FILLS]),
            stride=slider("stride (px)", 2 * half, half, 14 * half, half),
            score=dropdown("score", ["logit", "probability"]),
        )
        self.add_looks(self.row, self.column)

    # -- a window hidden by hand ---------------------------------------------------------

    def touched(self, key: str, hand: dict) -> None:
        """The window was moved, or resized by keys, on the photograph."""
        with self.holding():
            self.row.value, self.column.value = int(hand["y"]), int(hand["x"])
            if self.result is None:
                self.controls["window"].value = round(hand["w"])
        self.look()

    def look(self) -> None:
        """Answer for the window's new place; nothing has to be started for that."""
        if self.result is None and not self.running:
            self.refresh()
        else:
            super().look()

    def _place(self, window: int) -> tuple[slice, slice]:
        """Rows and columns of the window, as far as they lie in the picture."""
        middles = zip((self.row.value, self.column.value), self.sides, strict=True)
        starts = ((min(max(v - window // 2, 0), n - window), n) for v, n in middles)
        return tuple(slice(max(start, 0), start + window) for start, _ in starts)

    # -- the window that slides ------------------------------------------------------------

    def compute(self, report, **values) -> OcclusionMap:
        """Run `occlusion`, reporting each batch of windows."""
        images = self.asked.images(values["photo"])
        target = self.asked.target(values["photo"], values["target"])
        place = target, values["window"], values["stride"]
        fill = self._filler(values["photo"], values["fill"])[0]
        options = {"fill": fill, "score": values["score"], "progress": report}
        return occlusion(self.asked.model, images, *place, **options)

    @kept
    def _filler(self, photo: str, fill: str) -> Tensor:
        """(1, channels, height, width): what is seen in place of the hidden pixels."""
        images, fill = self.asked.images(photo), ALL_FILLS[fill]
        if fill == "noise":
            seeded = torch.Generator().manual_seed(0)
            return torch.randn(images.shape, generator=seeded)
        return fill_picture(fill, images, self.asked.inputs)

    # -- what is on the screen -----------------------------------------------------------

    def draw(self, **values) -> Scene:
        """The photograph with a window hidden, what the network says, and the crumbs."""
        return self._scene(values)

    def draw_result(self, result: OcclusionMap, **values) -> Scene:
        """The same, with the map so far."""
        return self._scene(values, result)

    @kept
    def _without(self, photo: str, fill: str, rows: tuple, columns: tuple) -> tuple:
        """Scores and probabilities (classes,) while a window of the picture is hidden."""
        place = ..., slice(*rows), slice(*columns)
        hidden = self.asked.images(photo).clone()
        hidden[place] = self._filler(photo, fill)[place]
        return self.asked.ask(hidden)

    def _scene(self, values: dict, found: OcclusionMap | None = None) -> Scene:
        photo, fill, name = values["photo"], values["fill"], self.asked.name
        target = self.asked.target(photo, values["target"])
        place = self._place(values["window"])
        whole = self.asked.scores(photo), self.asked.probabilities(photo)
        hidden = self._without(photo, fill, *((p.start, p.stop) for p in place))
        unit = ["logit", "probability"].index(values["score"])
        drop = float(whole[unit][target] - hidden[unit][target])
        self.crumbs.add((photo, target, fill, unit), place, drop)
        top = int(hidden[0].argmax())
        likely = whole[1].topk(min(4, len(whole[1]))).indices.tolist()
        classes = dict.fromkeys([target, *likely, top])
        drops = self.crumbs.drops if found is None else found.heatmap.float().numpy()
        limit = map_limits([np.nan_to_num(drops)])[0]
        if found is None:  # else the first window would be deep red, whatever it says
            limit = max(limit, FAINT * abs(float(whole[unit][target])))
        seen = self.asked.seen(self._filler(photo, fill))
        panels = [
            self._picture(photo, place, seen),
            self._map(photo, drops, limit, found is None),
            class_bars(self.asked, hidden[1], [*classes][:6], whole[1], [target]),
        ]
        table = [("", "whole picture", "window hidden", "drop")]
        forms = (f"score of {name(target)}", ".1f"), ("probability", ".1%")
        for (words, form), before, after in zip(forms, whole, hidden, strict=True):
            before, after = float(before[target]), float(after[target])
            table.append(
                (words, *(f"{v:z{form}}" for v in (before, after, before - after)))
            )
        table.append(("deepest colour of the map", "", "", f"±{limit:{forms[unit][1]}}"))
        first = name(top).removeprefix("class ")  # one without a name is "class 3"
        answer = f"Hidden: {name(target)} {hidden[1][target]:.1%}; top class {first}."
        return Scene(panels, answer, table)

    def _picture(self, photo: str, place: tuple[slice, slice], filler) -> Pictures:
        (y, h), (x, w) = (((p.start + p.stop) / 2, p.stop - p.start) for p in place)
        tool = {"kind": "window", "step": self.step, "picture": filler, "through": True}
        if resizes := self.result is None:  # a result's windows are as large as they were
            tool["sizes"] = [2 * self.step, 14 * self.step]
        return photo_panel(
            self.asked,
            photo,
            title="drag the window",
            label="Photograph: drag the window or press arrow keys"
            f"{', + and −' if resizes else ''}.",
            tool=tool,
            hand={"x": x, "y": y, "w": w, "h": h},
        )

    def _map(self, photo: str, drops: np.ndarray, limit: float, by_hand: bool) -> Pictures:
        """The mean drop at each pixel over the grey photograph, and where the window is."""
        return photo_panel(
            self.asked,
            photo,
            "map",
            title=f"mean drop, {'by hand' if by_hand else 'all windows'}",
            follow="photo",
            base=grey(self.asked.looks(photo)),
            layers=[veil(drops, limit, signed=True)],
            words=map_words(drops),
        )


class Crumbs:
    """The mean drop at each pixel over the windows that were hidden by hand."""

    def __init__(self, sides: tuple[int, int]):
        self.sum, self.count = np.zeros(sides), np.zeros(sides)
        self.of, self.places = None, set()

    def add(self, of: tuple, place: tuple[slice, slice], drop: float) -> None:
        """Count a window, once; where the question is another, `of`, begin again."""
        if of != self.of:
            self.sum[:], self.count[:], self.of, self.places = 0, 0, of, set()
        if str(place) not in self.places:
            self.places.add(str(place))
            self.sum[place] += drop
            self.count[place] += 1

    @property
    def drops(self) -> np.ndarray:
        """(height, width): the mean drop; 0 where nothing was hidden yet."""
        return self.sum / np.maximum(self.count, 1)
