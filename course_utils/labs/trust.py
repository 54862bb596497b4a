"""Lab of lesson 09: put one map to its tests, and try to hide better than it does."""

import numpy as np
import torch
from torch import Tensor, nn

from .. import evaluation
from .._machinery.fills import fill_picture
from ..evaluation import blocks_from_top, deletion_insertion, forget, rank_correlation
from ..inputs import Inputs
from ..methods import QUICK
from ..models import friendly_layers
from ..targets import predict, seeded
from .asking import FILLS, Asked, kept
from .base import Lab
from .controls import PicturePicker, dropdown, finder, slider
from .scenes import EXPLAINED, OTHER, map_words, method_layer, photo_panel, swipe_panel
from .strokes import Brush, spent
from .touch import Curves, Layer, Pictures, Scene

STEPS = 20  # of a curve; the slider takes the same
BUDGET = 0.05  # of the pixels may be hidden by hand
DRAWS = 8  # of random pixels
COLOURS = {"deletion": EXPLAINED, "insertion": OTHER, "random": "#909090"}


class TrustLab(Lab):
    """One map, the map of a randomised network, and the curves as pixels are hidden.

    The curves take longer than all else, so they come in a second step.
    """

    title = "Put a map to the test"
    primary = ("photo", "target", "method", "layers", "hidden")

    def __init__(self, model: nn.Module | None = None, inputs: Inputs | None = None):
        picker = PicturePicker(value="german_shepherd")
        self.asked = Asked(model, picker.pictures, inputs)
        self.model, self.sides = self.asked.model, self.asked.inputs.sides
        self.budget = round(BUDGET * np.prod(self.sides))
        self.blocks = blocks_from_top(self.model)  # paths of what can be randomised
        friendly = {path: name for name, path in friendly_layers(self.model).items()}
        self.block_names = [friendly.get(path, path) for path in self.blocks]
        methods = [(method.label, name) for name, method in QUICK.items()]
        self.brush = Brush(self, self.sides, ("hide here", "show here again"))
        self._known, self._all_at_once = set(), False  # questions whose curves are known
        super().__init__(
            photo=picker,
            target=finder(self.asked),
            method=dropdown("method", methods, "guided_backprop"),
            layers=slider("randomised", 1, 0, len(self.blocks)),
            hidden=slider("hidden (%)", 10, 0, 100, 100 // STEPS),
            fill=dropdown("fill", [*FILLS]),
            divider=slider("divider", self.sides[1] // 2, 0, self.sides[1]),
            **self.brush.controls,
        )
        first, second, *others = self.brush.buttons.values()
        self.fold(first, second)
        self.add_beside(*others)

    # -- by hand, and in two steps ---------------------------------------------------------

    def touched(self, key: str, hand: dict) -> None:
        """Pixels were hidden by hand, or the curves' cursor or the divider was moved."""
        if key == "hand":
            self.brush.heard(hand)
        elif key == "curves":
            self.set(hidden=100 // STEPS * hand["i"])
        else:
            with self.holding():  # the browser has drawn it
                self.controls["divider"].value = round(hand["x"])

    def refresh(self) -> None:
        """Draw what is quickly known; the curves follow."""
        self._more = False
        super().refresh()
        if self._more:
            self.soon(self._measure)

    def _measure(self) -> None:
        """The second step: measure the curves for what the controls say by now."""
        self._all_at_once = True
        try:
            super().refresh()
        finally:
            self._all_at_once = False

    # -- what is computed ------------------------------------------------------------------

    @kept
    def _map(self, photo: str, target: int, method: str, layers: int) -> Tensor:
        images, model = self.asked.images(photo), self.model
        if layers:  # not kept: its maps are, and a network may be large
            model = forget(model, self.blocks[:layers])
        return QUICK[method](model, images, target).float().cpu()

    @kept
    def _curves(self, photo, target, fill, method, steps=STEPS) -> evaluation.Curves:
        """Deletion and insertion; of one step only, it just says what is hidden when."""
        maps, images = self._map(photo, target, method, 0), self.asked.images(photo)
        importance, fill = QUICK[method].importance(maps)[0], self.asked.fill(fill, photo)
        return deletion_insertion(self.model, images, importance, target, steps, fill)

    def _curves_if_known(self, question: tuple) -> list[evaluation.Curves]:
        """Curves of the map and of random pixels; none in the first step."""
        self._more = not (self._all_at_once or question in self._known)
        if self._more:
            return []
        both = [self._curves(*question), self._curves(*question[:3], "random")]
        self._known.add(question)
        return both

    def _left(self, hider: evaluation.Curves, target: int, *masks: np.ndarray) -> float:
        """The mean probability with the pixels of a mask (rows, columns) hidden."""
        hidden = torch.from_numpy(np.stack(masks))[:, None].to(hider.image.device)
        images = torch.where(hidden, hider.filler, hider.image)
        return float(predict(self.model, images).shares[:, target].float().mean())

    @kept
    def _left_by_hand(self, question: tuple, strokes: tuple) -> float:
        mask = spent(strokes, self.sides, self.budget)
        return self._left(self._curves(*question, 1), question[1], mask)

    @kept
    def _left_by_rivals(self, question: tuple) -> tuple[float, float]:
        """The probability with 5 % hidden: by the map, and at random."""
        hider, target, pixels = self._curves(*question, 1), question[1], np.prod(self.sides)
        dice = (seeded(seed) for seed in range(DRAWS))
        draws = (torch.randperm(int(pixels), generator=one).numpy() for one in dice)
        random = [(draw < self.budget).reshape(self.sides) for draw in draws]
        by_map = self._first(hider, self.budget)
        return self._left(hider, target, by_map), self._left(hider, target, *random)

    def _first(self, hider: evaluation.Curves, count: int) -> np.ndarray:
        """(rows, columns) bool: a map's most important pixels."""
        mask = np.zeros(self.sides, dtype=bool)
        mask.flat[hider.order[:count].numpy()] = True
        return mask

    # -- what is on the screen -------------------------------------------------------------

    def draw(self, photo, target, method, layers, hidden, fill, divider, **brush) -> Scene:
        """The photograph hidden by hand and by the map, the curves, and two maps."""
        question = photo, self.asked.target(photo, target), FILLS[fill], method
        strokes, hider = self.brush.strokes(photo), self._curves(*question, 1)
        by_hand = spent(strokes, self.sides, self.budget)
        by_map = self._first(hider, round(hidden / 100 * by_hand.size))
        curves = self._curves_if_known(question)
        three = self._left_by_hand(question, strokes), *self._left_by_rivals(question)
        panels = [
            self._hand(photo, question[2], by_hand),
            self._hidden(photo, question[2], by_map, f"{hidden} % hidden by the map"),
            _curves_panel(curves, hidden),
            self._maps(question, layers, divider),
        ]
        table = self._table(question, by_hand.mean(), three, curves, layers)
        if self.brush.is_painting:
            answer = _verdict(by_hand.sum() >= self.budget, by_hand.mean(), *three)
        else:
            left = [measured.deletion[hidden * STEPS // 100] for measured in curves]
            left = left or [self._left(hider, question[1], by_map)]
            name = self.asked.name(question[1])
            answer = f"{name}: {left[0]:.1%} left, {hidden} % hidden by the map."
        return Scene(panels, answer, table)

    @kept
    def _filler(self, photo: str, fill: str) -> np.ndarray:
        """(rows, columns, 3) in [0, 1]: what hidden pixels look like."""
        filler = fill_picture(
            self.asked.fill(fill, photo), self.asked.images(photo), self.asked.inputs
        )
        return np.asarray(self.asked.seen(filler)) / 255

    def _hidden(self, photo: str, fill: str, mask, title: str, **panel) -> Pictures:
        """A photograph with pixels hidden."""
        layer = Layer(np.dstack([self._filler(photo, fill), mask]), smooth=False)
        words = f"{mask.mean():.1%} of the pixels hidden"
        panel = {"key": "hidden", "layers": [layer], "words": words} | panel
        return photo_panel(self.asked, photo, title=title, **panel)

    def _hand(self, photo: str, fill: str, mask: np.ndarray) -> Pictures:
        return self._hidden(
            photo,
            fill,
            mask,
            f"hide by hand: {100 * mask.mean():.1f} of 5 %",
            key="hand",
            label="Photograph: hide 5 % of the pixels with the pointer, show them with "
            "shift or the right button; arrow keys move the brush, + and − resize it, "
            "Enter hides.",
            tool=self.brush.tool(("#777777", "#ffffff")),
            hand=self.brush.hand,
        )

    @kept
    def _compared(self, photo, target, method, layers) -> tuple[list[Layer], str, float]:
        """The two maps on either side of a divider, in words, and how alike they are."""
        maps = [self._map(photo, target, method, n) for n in (0, layers)]
        sides = zip(("left", "right"), maps, strict=True)
        drawn = [method_layer(QUICK[method], values[0], side) for side, values in sides]
        words = "; ".join(map_words(QUICK[method].importance(m)[0]) for m in maps)
        return drawn, words, rank_correlation(*maps).item()

    def _maps(self, question: tuple, layers: int, divider: int) -> Pictures:
        """The trained network's map and the randomised one's, each on its own scale."""
        photo, target, _, method = question
        drawn, words, _ = self._compared(photo, target, method, layers)
        return swipe_panel(
            self.asked,
            photo,
            drawn,
            {"x": divider, "y": self.sides[0] / 2},
            title=f"trained | {self._randomised(layers)}",
            label="The trained network's map left of the divider, the randomised one's "
            "right, each on its own scale: drag the divider, or press the arrow keys.",
            words=words,
        )

    def _table(self, question, by_hand: float, three, curves, layers: int) -> list[tuple]:
        photo, target, _, method = question
        whole = float(self.asked.probabilities(photo)[target])
        agreement = self._compared(photo, target, method, layers)[2]
        areas = [(f"{c.deletion_area:.2f}", f"{c.insertion_area:.2f}") for c in curves]
        areas = areas or [("…", "…")] * 2
        deletion, insertion = zip(*areas, strict=True)
        shares = f"{100 * by_hand:.1f} %", *["5.0 %"] * 2
        return [
            ("", "your hand", "the map", "random pixels"),
            ("pixels hidden", *shares),
            (
                f"probability of {self.asked.name(target)} left",
                *map("{:.1%}".format, three),
            ),
            ("its drop", *(f"{whole - left:z.1%}" for left in three)),
            ("deletion area, low is good", "", *deletion),
            ("insertion area, high is good", "", *insertion),
            (f"rank correlation, {self._randomised(layers)}", "", f"{agreement:.2f}", ""),
        ]

    def _randomised(self, layers: int) -> str:
        if layers == 0:
            return "nothing randomised"
        if layers == len(self.blocks):
            return "all randomised"
        return f"randomised to {self.block_names[layers - 1]}"


def _curves_panel(curves: list[evaluation.Curves], hidden: int) -> Curves:
    """Deletion and insertion, those of random pixels dashed; empty while not known."""
    shares, lines = [round(n / STEPS, 4) for n in range(STEPS + 1)], []
    for measured, dashed in zip(curves or (None, None), (False, True), strict=True):
        for kind in ("deletion", "insertion"):
            name = "random" if dashed else kind
            line = {"x": shares, "y": [None] * len(shares), "colour": COLOURS[name]}
            if measured:
                line["y"] = [round(float(v), 4) for v in getattr(measured, kind)]
            if not (dashed and kind == "insertion"):
                line["name"] = f"{name} (dashed)" if dashed else name
            lines.append(line | ({"dash": True} if dashed else {}))
    return Curves(
        key="curves",
        title="probability",
        label="Curves: drag along them, or press the left and right arrow keys, and pixels "
        "vanish in the order of the map.",
        lines=lines,
        xlim=(0, 1),
        ylim=(0, 1),
        xlabel="share hidden, or shown",
        tool={"kind": "cursor"},
        hand={"i": hidden * STEPS // 100},
    )


def _verdict(all_spent: bool, share: float, hand: float, the_map: float, _) -> str:
    """Who hides better, in a sentence."""
    if all_spent and hand < the_map:
        return f"You beat the map: {hand:.1%} left against its {the_map:.1%}."
    return f"Your {100 * share:.1f} % leave {hand:.1%}; the map's 5 % leave {the_map:.1%}."
