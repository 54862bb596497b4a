"""Checks of lesson 09: a path integral, Grad-CAM, a deletion curve, and pointing."""

import torch
from torch import Tensor, nn

from ..evaluation import deletion_insertion, pointing_game
from ..images import IMAGENET_MEAN, IMAGENET_STD
from .base import (
    NotTried,
    Wrong,
    as_tensor,
    call,
    check_tensor,
    compare,
    compare_tensor,
    each_argument,
    exercise,
    read,
)
from .reading import each, number, truth, written_in
from .toys import noise, other_classes

# -- exercise 1 ------------------------------------------------------------------------


class _Bends(nn.Module):
    """score = Σ w·x³ + v·max(0, x): its slope bends and jumps, so every point matters.

    It counts the pictures whose gradients are taken.
    """

    def __init__(self, w: Tensor, v: Tensor):
        super().__init__()
        self.w, self.v, self.asked = w, v, 0  # (classes, 3, H, W)

    def forward(self, x: Tensor) -> Tensor:
        """From (N, 3, H, W) to scores (N, classes)."""
        if x.requires_grad:
            x = x.clone()  # a hook on the caller's own tensor would stay there
            x.register_hook(self._count)
        return (x.unsqueeze(1) ** 3 * self.w + x.unsqueeze(1).relu() * self.v).sum(
            (2, 3, 4)
        )

    def _count(self, gradient: Tensor) -> None:
        self.asked += len(gradient)


@exercise("Exercise 1")
def integrate(answer) -> str:
    """Check `answer(model, image, baseline, target, steps)`: integrated gradients."""
    for seed, (size, target, steps) in enumerate((((5, 6), 1, 7), ((6, 4), 2, 40))):
        image, start = noise(2, 3, *size, seed=seed).split(1)
        w, v = noise(6, 3, *size, seed=seed + 2).split(3)
        network, path = _Bends(w, v), _Path(w, v, image, start, target, steps)
        right = path.through(path.middles)
        mistakes = path.wrong_points() | path.wrong_uses()
        result, asked = _integrated(answer, network, image, start, target, steps)
        total, wanted = result.sum().item(), right.sum().item()
        otherwise = "With the gradients at α = (k + ½) / steps the map sums to "
        otherwise += f"{wanted:.2f}; yours sums to {total:.2f}."
        if asked not in (0, steps):
            otherwise = f"`steps` is {steps}, and you take {asked} gradients: use `steps`."
        compare(result, right, mistakes, otherwise)
    with torch.no_grad():
        risen = (network(image) - network(start))[0, target].item()
    return f"It sums to {total:.1f}; the score rises by {risen:.1f}."


def _integrated(answer, network: _Bends, image: Tensor, *more) -> tuple[Tensor, int]:
    """The answer's map, and how many gradients it has taken."""
    asked = []
    result = call(
        answer, network, image, *more, after=lambda model, *_: asked.append(model.asked)
    )
    return check_tensor(as_tensor(result), image.shape), asked[0]


class _Path:
    """What integrated gradients give on `_Bends`, in the right and in wrong ways."""

    def __init__(self, w, v, image, start, target: int, steps: int):
        self.w, self.v, self.image, self.start = w, v, image, start
        self.way, self.target, self.steps = image - start, target, steps
        self.middles = self.each_step(0.5)

    def each_step(self, offset: float, steps: int | None = None) -> Tensor:
        steps = steps or self.steps
        return (torch.arange(steps) + offset) / steps

    def through(self, alphas, of=None, start=None, way=None, times=None) -> Tensor:
        """`times` (the way) · mean slope of class `of` at the points start + α · way."""
        way, of = self.way if way is None else way, self.target if of is None else of
        points = torch.as_tensor(alphas).view(-1, 1, 1, 1) * way
        points = points + (self.start if start is None else start)
        slopes = 3 * self.w[of] * points**2 + self.v[of] * (points > 0)
        return slopes.mean(0, keepdim=True) * (self.way if times is None else times)

    def wrong_points(self) -> dict[str, Tensor]:
        """Sentence → the map, if one takes the gradients at other points."""
        count, middles = self.steps, "take the middles, α = (k + ½) / steps."
        left, right = (self.through(self.each_step(offset)) for offset in (0, 1))
        ends = self.through(torch.linspace(0, 1, count + 1))
        return {
            f"You take the left ends of the steps; {middles}": left,
            f"You take the right ends of the steps; {middles}": right,
            f"You take the mean of the steps' two ends; {middles}": (left + right) / 2,
            f"You add {count + 1} gradients and divide by {count}; {middles}": ends
            * (count + 1)
            / count,
            f"Your first and last points are the ends of the path; {middles}": ends,
            f"Your {count} points include both ends of the path; {middles}": self.through(
                torch.linspace(0, 1, count)
            ),
            "The gradient at the picture itself is not the path's mean.": self.through(
                [1.0]
            ),
            "The gradient at the baseline alone is not the path's mean.": self.through(
                [0.0]
            ),
            "The gradient in the middle of the path alone is not its mean.": self.through(
                [0.5]
            ),
            "The gradients at both ends alone are not the path's mean.": self.through(
                [0.0, 1.0]
            ),
        } | written_in(
            "You take {} steps whatever `steps` is.",
            {7, 10, 16, 20, 25, 30, 32, 40, 50, 64, 100, 128, 200, 256} - {count},
            lambda steps: self.through(self.each_step(0.5, steps)),
        )

    def wrong_uses(self) -> dict[str, Tensor]:
        """Sentence → the map, if one does something else with the right points."""
        alphas, zero, right = self.middles, 0 * self.image, self.through(self.middles)
        return {
            "That is the mean gradient along the path: multiply by image − baseline.": (
                self.through(alphas, times=1)
            ),
            "You add the gradients up; divide by the number of steps.": self.steps * right,
            "You multiply by the image; multiply by image − baseline.": self.through(
                alphas, times=self.image
            ),
            "Your path starts at zero, whatever the baseline; add it.": self.through(
                alphas, start=zero, way=self.image
            ),
            "Your points lack the baseline; add it: baseline + α · (image − baseline).": (
                self.through(alphas, start=zero)
            ),
            "Your path ignores the baseline altogether: it runs from zero.": self.through(
                alphas, start=zero, way=self.image, times=self.image
            ),
            "The sign is flipped: the path runs from the baseline to the image.": -right,
            "Keep the signs, or the sum is not the difference of the scores.": right.abs(),
        } | other_classes(
            _Bends(self.w, self.v),
            self.image,
            self.target,
            lambda c: self.through(alphas, c),
        )


# -- exercises 2 to 4 ------------------------------------------------------------------


@exercise("Exercise 2")
def weigh_channels(answer) -> str:
    """Check `answer(channels, gradient)`: Grad-CAM's coarse map, (1, rows, columns)."""
    for count, rows, columns in ((4, 3, 5), (6, 4, 2)):
        a, gradient = (noise(1, count, rows, columns, seed=count + n) for n in (0, 1))
        a = a.relu()
        right, mistakes = _weighed(a, gradient)
        otherwise = "Take one weight per channel, the weighted sum, then max(0, …)."
        case = {"channels": a, "gradient": gradient}
        with each_argument(answer, case, gradient=-gradient, channels=a.flip(3)):
            result = as_tensor(call(answer, a, gradient))
            if isinstance(result, Tensor) and result.numel() == rows * columns:
                result = result.reshape(1, rows, columns)  # further axes of length 1
            compare_tensor(result, right, mistakes, otherwise)
    return "One weight per channel, a sum, and nothing below zero."


def _weighed(a: Tensor, gradient: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """The right map, and sentence → a wrong one."""
    w = gradient.mean((2, 3), keepdim=True)
    total, across = (w * a).sum(1), gradient.mean(1) * a.sum(1)
    places, count = gradient[0, 0].numel(), len(a[0])
    return total.relu(), {
        "The last step is missing: max(0, …) keeps only what speaks for the class.": total,
        "Absolute values show what speaks against the class; cut it off.": total.abs(),
        "That is a mean over the channels; take it over axes 2 and 3.": across.relu(),
        "Not place by place: take the gradient's mean first.": (gradient * a).sum(1).relu(),
        "Cut off after the sum over channels, not before.": (w * a).relu().sum(1),
        "Channels may speak against: keep the weights' signs.": (w.abs() * a).sum(1),
        "You sum the gradient over the places; take its mean.": places * total.relu(),
        "Add the channels up; you average them.": total.relu() / count,
        "That is the sum of the channels without their weights.": a.sum(1),
    }


@exercise("Exercise 3")
def delete(answer) -> str:
    """Check `answer(model, image, saliency, target, steps)`: a deletion curve."""
    for seed, (size, target, steps) in enumerate((((4, 6), 2, 4), ((6, 5), 0, 3))):
        names = "model", "image", "saliency", "target", "steps"
        values = *_falling(size, target, seed), target, steps
        case = dict(zip(names, values, strict=True))
        right, mistakes = _curves(**case)
        expected = f"{steps + 1} numbers, one per step"
        result = call(answer, *values, intact=True)
        result = torch.tensor(read(result, each(number), expected))
        ends = "Begin with nothing hidden, end with everything hidden"
        ends = f"`steps` is {steps}: {ends}, {steps + 1} numbers, not {len(result)}."
        result = check_tensor(result, (steps + 1,), {tuple(result.shape): ends})
        place = steps // 2
        share = f"{place} of {steps} parts"
        otherwise = (
            f"With {share} hidden it is {right[place]:.3f}, not {result[place]:.3f}."
        )
        with each_argument(answer, case, saliency=-case["saliency"], target=3):
            compare(result, right, mistakes, otherwise)
    return f"The probability falls from {right[0]:.2f} to {right[-1]:.2f}."


def _falling(size: tuple[int, int], target: int, seed: int) -> tuple:
    """A network, a picture and a map; the more of it is hidden, the less of `target`.

    With the first seed, 0, another class is the top one.
    """
    weights, bias = noise(4, 3, *size, seed=seed) / 4, torch.zeros(4)
    bias[target] = -4
    image = noise(1, 3, *size, seed=seed + 2) / 4 + 1.8 * weights[target]
    image = image + (0 if seed else 0.3 * weights[1])
    linear = nn.Linear(3 * size[0] * size[1], 4)
    linear.weight = nn.Parameter(weights.flatten(1), requires_grad=False)
    linear.bias = nn.Parameter(bias, requires_grad=False)
    speaks_for = (weights[target] * image[0]).sum(0)
    saliency = speaks_for - speaks_for.median()  # of both signs
    return nn.Sequential(nn.Flatten(), linear), image, saliency


def _curves(model, image, saliency, target, steps) -> tuple[Tensor, dict[str, Tensor]]:
    """The right curve, and sentence → a wrong one."""
    black = -torch.tensor(IMAGENET_MEAN) / torch.tensor(IMAGENET_STD)

    def curves(saliency=saliency, target=target, **how):
        return deletion_insertion(model, image, saliency, target, steps, **how)

    right = curves()
    return right.deletion, {
        "You hide the least important pixels first: sort in descending order.": curves(
            -saliency
        ).deletion,
        "You hide all but the top pixels: that is the insertion curve.": right.insertion,
        "Those are class scores; take their softmax.": curves(score="logit").deletion,
        "You filled with black; the mean colour is zero here.": curves(fill=black).deletion,
        "Do not sort by absolute values: the signs count.": curves(saliency.abs()).deletion,
        "Rows and columns are mixed up: flatten map and picture alike.": curves(
            saliency.T.reshape(saliency.shape)
        ).deletion,
        **other_classes(model, image, target, lambda c: curves(target=c).deletion),
    }


# (rows, columns) of the maps, the box, and (row, column) of each map's largest value
BOXES = (
    ((7, 8), (2, 1, 6, 4), "12 25 36 43 21 51 16 33 27"),
    ((9, 5), (0, 3, 3, 8), "30 72 80 33 20 51 02 74 43"),
)


@exercise("Exercise 4")
def point(answer) -> str:
    """Check `answer(saliency, box)`: whether the largest value lies in the box."""
    for size, box, places in BOXES:
        places = [(int(row), int(column)) for row, column in places.split()]
        maps, right = _pointers(size, box, places)
        mistakes = _missed(maps, places, box)
        given = []
        for saliency in maps:
            try:
                result = call(answer, saliency, box)
            except NotTried as nothing:
                if not given:
                    raise
                raise Wrong("For some maps you return nothing: return False.") from nothing
            given.append(read(result, truth, "True or False"))
        for said, hit, (row, column) in zip(given, right, places, strict=True):
            where = f"row {row}, column {column} lies {'inside' if hit else 'outside'}"
            otherwise = f"The largest value in {where} {box}; your function says otherwise."
            if said != hit:
                compare(given, right, mistakes, otherwise)
    return "All are right, at the borders too."


def _pointers(size, box, places) -> tuple[Tensor, list[bool]]:
    """A map for each place, with a value far below zero as well, and whether it hits."""
    maps = torch.rand(len(places), *size, generator=torch.Generator().manual_seed(9))
    maps[:, 0, -1] = -1.0
    maps[1::2, 0, -1] = -3.0  # the largest absolute value, outside the box
    for values, place in zip(maps, places, strict=True):
        values[place] = 2.0
    return maps, pointing_game(maps, [box] * len(maps)).tolist()


def _missed(maps: Tensor, places, box) -> dict[str, list[bool]]:
    """Sentence → what one says of each map by the mistake that it explains."""
    (x0, y0, x1, y1), (rows, columns) = box, maps.shape[1:]
    another = next(b for _, b, _ in BOXES if b != box)
    larger, smaller = (x0, y0, x1 + 1, y1 + 1), (x0 + 1, y0 + 1, x1, y1)
    boxes = {  # sentence → the box that one looks in by that mistake
        "x1 and y1 are one beyond the box: test with <, not with <=.": larger,
        "The first column and row belong to the box: test with <=, not with <.": smaller,
        "The box is two corners, not (x, y, width, height).": (x0, y0, x0 + x1, y0 + y1),
        "You test columns only; the row counts too.": (x0, 0, x1, rows),
        "You test rows only; the column counts too.": (0, y0, columns, y1),
        "Row and column are swapped: x is the column, y is the row.": (y0, x0, y1, x1),
        "You look in one fixed box: use `box`.": another,
    }

    def said(maps: Tensor, box=box) -> list[bool]:
        return pointing_game(maps, [box] * len(maps)).tolist()

    by_height = [divmod(row * columns + column, rows) for row, column in places]
    return {text: said(maps, box) for text, box in boxes.items()} | {
        "Hits and misses are swapped.": [not hit for hit in said(maps)],
        "You look for the largest absolute value; take the largest.": said(maps.abs()),
        "You look for the smallest value; take the largest.": said(-maps),
        "A row holds as many values as the map has columns: divide by shape[1].": [
            x0 <= column < x1 and y0 <= row < y1 for row, column in by_height
        ],
    }
