"""Lab of lesson 08: any two maps of one question, on either side of a divider."""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from .._machinery.fills import fill_picture
from ..evaluation import rank_correlation
from ..inputs import Inputs
from ..methods import QUICK
from ..more_maps import grad_cam, integrated_gradients, smooth_grad
from ..targets import predict, seeded
from ..your_own.sheet import ranks
from .asking import FILLS, Asked, kept
from .base import Lab
from .controls import Chips, PicturePicker, dropdown, finder, slider
from .scenes import OTHER, map_words, method_layer, swipe_panel
from .touch import Bars, Pictures, Scene

SAMPLES = 8  # of SmoothGrad
STEPS = 12  # of integrated gradients
OFFERED = {name: method for name, method in QUICK.items() if not method.baseline}
# The control that a method has to itself.
OWN = {"smooth_grad": "noise", "integrated_gradients": "fill", "grad_cam": "layer"}


class FurtherMapsLab(Lab):
    """Two of the course's methods on one picture, with a divider between their maps.

    The chips hold two methods at most: a third takes the place of the older one.
    """

    title = "Two maps of one question"
    primary = ("photo", "target", "methods", "layer", "fill")

    def __init__(self, model: nn.Module | None = None, inputs: Inputs | None = None):
        picker = PicturePicker(value="german_shepherd")
        self.asked = Asked(model, picker.pictures, inputs)
        rows, columns = self.asked.inputs.sides
        layers = [("the last one", "")]
        found = self.asked.layers()
        layers += [
            (name, path)
            for path, (name, _) in found.items()
            if path.rpartition(".")[0] not in found  # not what lies inside a block
        ]
        methods = [(method.label, name) for name, method in OFFERED.items()]
        self.pair = ("vanilla_saliency", "grad_cam")  # left and right
        super().__init__(
            photo=picker,
            target=finder(self.asked),
            methods=Chips(methods, self.pair),
            layer=dropdown("Grad-CAM at", layers),
            fill=dropdown("integrated from", [*FILLS]),
            noise=slider("noise of SmoothGrad (%)", 5, 0, 30),
            divider=slider("divider", columns // 2, 0, columns),
            row=slider("row (px)", rows // 5, 0, rows - 1),
        )

    def touched(self, key: str, hand: dict) -> None:
        """The divider was moved, and with it the place that the bars are about."""
        rows, columns = self.asked.inputs.sides
        x, y = (
            min(max(round(v), 0), top)
            for v, top in ((hand["x"], columns), (hand["y"], rows - 1))
        )
        self.set(divider=x, row=y)

    # -- what is computed ------------------------------------------------------------------

    @kept
    def _map(self, photo: str, target: int, name: str, own) -> Tensor:
        """(1, H, W) or (1, 3, H, W): a method's map, with what its own control says."""
        make = OFFERED[name]
        if name == "smooth_grad":
            make = partial(smooth_grad, samples=SAMPLES, noise=own / 100)
        elif name == "integrated_gradients":
            fill = self.asked.fill(own, photo)
            make = partial(integrated_gradients, steps=STEPS, fill=fill)
        elif name == "grad_cam":
            make = partial(grad_cam, layer=own or None)
        return make(self.asked.model, self.asked.images(photo), target).float().cpu()

    @kept
    def _strength(self, *question) -> Tensor:
        """(1, H, W): how strong the map is at each pixel."""
        return OFFERED[question[2]].importance(self._map(*question)).abs()

    @kept
    def _alike(self, left: tuple, right: tuple) -> float:
        return rank_correlation(self._strength(*left), self._strength(*right)).item()

    @kept
    def _kept_class(self, photo: str, target: int, noise: int) -> str:
        """How many of SmoothGrad's noisy copies have the target as their top class."""
        image, random = self.asked.images(photo), seeded(0)
        spread = noise / 100 * (image.max() - image.min())
        draws = [torch.randn(image.shape[1:], generator=random) for _ in range(SAMPLES)]
        noisy = image + spread * torch.stack(draws).to(image)
        top = predict(self.asked.model, noisy).outputs.argmax(dim=1)
        return f"{int((top == target).sum())} of {SAMPLES}"

    @kept
    def _rise(self, photo: str, target: int, fill: str) -> float:
        """How much the score rises from the empty picture to this one."""
        image = self.asked.images(photo)
        empty = fill_picture(self.asked.fill(fill, photo), image, self.asked.inputs)
        low, high = predict(self.asked.model, torch.cat([empty, image]), target).scores
        return float(high - low)

    # -- what is on the screen -------------------------------------------------------------

    def draw(self, photo, target, methods, divider, row, **settings) -> Scene:
        """The two maps over the grey photograph, and how they rank one place."""
        self.pair = newest(self.pair, methods)
        with self.holding():
            self.controls["methods"].value = self.pair
        for method, own in OWN.items():
            self.controls[own].disabled = method not in self.pair
        if not self.pair:
            raise ValueError("Choose one method or two: press their buttons.")
        chosen = self.asked.target(photo, target)
        settings["fill"] = FILLS[settings["fill"]]
        questions = [(photo, chosen, n, settings.get(OWN.get(n))) for n in self.pair]
        left, right = questions[0], questions[-1]
        labels = [OFFERED[name].label for name in (left[2], right[2])]
        panels = [
            self._maps(left, right, " | ".join(dict.fromkeys(labels)), divider, row),
            self._place(left, right, labels, divider, row),
        ]
        name = self.asked.name(chosen)
        answer = f"{name}: {labels[0]}; press another method to compare."
        if left != right:
            words = f"{labels[0]} and {labels[1]}, rank correlation"
            answer = f"{name}: {words} {self._alike(left, right):.2f}."
        return Scene(panels, answer, self._table(left, right, labels))

    def _maps(self, left, right, title: str, divider: int, row: int) -> Pictures:
        layers = [
            method_layer(OFFERED[question[2]], self._map(*question)[0], side)
            for question, side in ((left, "left"), (right, "right"))
        ]
        return swipe_panel(
            self.asked,
            left[0],
            layers,
            {"x": divider, "y": row},
            title=title,
            label="Two maps over the photograph, each on its own scale, on the left and on "
            "the right of a divider: drag it, or press the arrow keys.",
            words="; ".join(map_words(self._strength(*q)[0]) for q in (left, right)),
            weight=1.6,
        )

    def _place(self, left, right, labels, column: int, row: int) -> Bars:
        """How many of a map's pixels are weaker than those around the place."""
        bars = []
        for question, label in dict(zip((left, right), labels, strict=True)).items():
            near = ranks(self._strength(*question)[0])
            rows, columns = (slice(max(at - 4, 0), at + 5) for at in (row, column))
            share = round(float(near[rows, columns].mean()), 3)
            bars.append({"name": label, "value": share, "text": f"{share:.0%}"})
        return Bars(
            key="place",
            title="at the dot: stronger than …",
            label="How strong each map is around the dot in the divider, as a rank.",
            bars=[bar | {"colour": OTHER} for bar in bars],
        )

    def _table(self, left, right, labels: list[str]) -> list[tuple]:
        return [
            ("", *labels),
            ("its values add up to", *map(self._sum, (left, right))),
            ("noisy copies still of the class", *map(self._noisy, (left, right))),
        ]

    def _sum(self, question: tuple) -> str:
        photo, target, name, own = question
        if name != "integrated_gradients":
            return "–"
        rise = self._rise(photo, target, own)
        return f"{self._map(*question).sum():.1f}; the score rises by {rise:.1f}"

    def _noisy(self, question: tuple) -> str:
        photo, target, name, own = question
        return self._kept_class(photo, target, own) if name == "smooth_grad" else "–"


def newest(before: Sequence[str], pressed: Sequence[str]) -> tuple[str, ...]:
    """The last two of what is pressed, in the order in which it was.

    >>> newest(("a", "b"), ("a", "b", "c"))
    ('b', 'c')
    """
    stay = [name for name in before if name in pressed]
    return tuple([*stay, *(name for name in pressed if name not in stay)][-2:])
