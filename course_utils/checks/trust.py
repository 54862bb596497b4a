"""Checks of lesson 08: a path integral, Grad-CAM, a deletion curve, and pointing."""

import numpy as np
import torch
from torch import Tensor, nn

from ..evaluation import deletion_insertion, pointing_game
from ..images import IMAGENET_MEAN, IMAGENET_STD
from .base import Wrong, call, check_tensor, compare, exercise

STEPS = 50
RULE = 0.03  # the rules of integration differ by so much at STEPS


class Squares(nn.Module):
    """score = Σ w·x²: its integrated gradients are w·(x² − x'²), whatever the rule."""

    def __init__(self, weight: Tensor):
        super().__init__()
        self.weight = nn.Parameter(weight, requires_grad=False)  # (classes, 3, H, W)

    def forward(self, x):
        """(N, classes)."""
        return torch.einsum("nchw,kchw->nk", x**2, self.weight)


def _random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@exercise("Exercise 1")
def integrate(answer) -> str:
    """Check `answer(model, image, baseline, target, steps)`: integrated gradients."""
    weights, image, start = (_random(n, 3, 5, 6, seed=n) for n in (2, 1, 3))
    start, target = start[:1], 1
    model, w = Squares(weights), weights[target]
    result = call(answer, model, image, start, target, STEPS)
    result = check_tensor(result, (1, 3, 5, 6))
    right, way = w * (image**2 - start**2), image - start
    mistakes = {
        "That is the mean gradient along the path; each pixel's share is the mean times "
        "the way it goes: multiply by image − baseline.": w * (image + start),
        "You add the gradients up; the integral is their mean: divide by the number of "
        "steps.": STEPS * right,
        "You multiply by the image; the way is image − baseline.": image
        * w
        * (image + start),
        "Your path starts at zero, whatever the baseline: its points are baseline + α · "
        "(image − baseline).": w * image * way,
        "Your path ignores the baseline altogether: it runs from zero.": w * image**2,
        "That is the gradient at the picture itself times the way; take the mean of the "
        "gradients at points all along it.": 2 * w * image * way,
        "The gradient at the baseline alone is not the mean along the path.": 2
        * w
        * start
        * way,
        "The sign is turned round: the way goes from the baseline to the image.": -right,
        "Keep the signs: with absolute values the map no longer sums to the difference of "
        "the scores.": right.abs(),
    }
    if _near(result, right):
        both = model(torch.cat([image, start]))[:, target]
        return f"It sums to {result.sum():.1f}; the score rises by {both[0] - both[1]:.1f}."
    for sentence, wrong in mistakes.items():
        if _near(result, wrong):
            raise Wrong(sentence)
    raise Wrong(
        "It should sum to score(image) − score(baseline), "
        f"{right.sum():.1f}; yours sums to {result.sum():.1f}."
    )


def _near(a: Tensor, b: Tensor) -> bool:
    return (a - b).abs().max() <= RULE * b.abs().max()


# -- exercise 2 ------------------------------------------------------------------------


@exercise("Exercise 2")
def weigh_channels(answer) -> str:
    """Check `answer(channels, gradient)`: Grad-CAM's coarse map, (1, rows, columns)."""
    channels = _random(1, 4, 3, 5, seed=4).relu()
    gradient = _random(1, 4, 3, 5, seed=5)
    result = call(answer, channels, gradient)
    if isinstance(result, Tensor) and result.shape in ((3, 5), (1, 1, 3, 5)):
        result = result.reshape(1, 3, 5)
    result = check_tensor(result, (1, 3, 5))
    weights = gradient.mean((2, 3), keepdim=True)
    total = (weights * channels).sum(1)
    mistakes = {
        "The last step is missing: max(0, …) keeps only what speaks for it.": total,
        "Absolute values show what speaks against the class as if it spoke for it; cut it "
        "off by max(0, …) instead.": total.abs(),
        "Your weights are a mean over the channels, one for each place; the mean runs over "
        "the places (axes 2 and 3), one weight for each channel.": (
            gradient.mean(1, keepdim=True) * channels
        )
        .sum(1)
        .relu(),
        "You multiply place by place; Grad-CAM takes the mean of the gradient over the "
        "places first.": (gradient * channels).sum(1).relu(),
        "Cut off after the sum over channels, not before: a channel against the class may "
        "outweigh another.": (weights * channels).relu().sum(1),
        "A channel with a negative weight speaks against the class: keep the weights' "
        "signs.": (weights.abs() * channels).sum(1),
        "You add the gradient up over the places; the weight is its mean.": (
            gradient.sum((2, 3), keepdim=True) * channels
        )
        .sum(1)
        .relu(),
        "The channels are added up, not averaged.": total.relu() / 4,
        "That is the sum of the channels without their weights.": channels.sum(1),
    }
    compare(
        result,
        total.relu(),
        mistakes,
        "That is not it: one weight a channel, the weighted sum, then max(0, …).",
    )
    return "One weight a channel, a sum, and nothing below zero."


# -- exercise 3 ------------------------------------------------------------------------


@exercise("Exercise 3")
def delete(answer) -> str:
    """Check `answer(model, image, saliency, target, steps)`: a deletion curve."""
    size, steps, target = 6, 4, 2
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * size**2, 3))
    model[1].weight.data = _random(3, 3 * size**2, seed=6) / 4
    model[1].bias.data.zero_()
    model.requires_grad_(False)
    image, saliency = _random(1, 3, size, size, seed=7), _random(size, size, seed=8)

    def curves(**other) -> np.ndarray:
        chosen = {"saliency": saliency, "score": "probability", "fill": "mean"} | other
        values, score, fill = (chosen[name] for name in ("saliency", "score", "fill"))
        return deletion_insertion(
            model, image, values, target, steps, fill=fill, score=score
        )

    result = call(answer, model, image, saliency, target, steps)
    try:
        result = torch.tensor([float(value) for value in result])
    except (TypeError, ValueError) as error:
        raise Wrong(f"{steps + 1} numbers are wanted, one a step.") from error
    right = curves()
    if len(result) == steps:
        raise Wrong(
            f"{steps + 1} numbers are wanted: the first with nothing hidden, the last "
            "with everything."
        )
    result = check_tensor(result, (steps + 1,))
    black = -torch.tensor(IMAGENET_MEAN) / torch.tensor(IMAGENET_STD)
    mistakes = {
        "You hide the least important pixels first: sort in descending order.": curves(
            saliency=-saliency
        ).deletion,
        "You show the most important pixels and hide the rest: that is the insertion "
        "curve.": right.insertion,
        "That is insertion turned round: you hide the least important pixels first.": (
            right.insertion[::-1].copy()
        ),
        "Those are class scores; the probability comes by softmax over the classes.": (
            curves(score="logit").deletion
        ),
        "Zero is the mean colour here: the picture is normalised, and you filled with "
        "black.": curves(fill=black).deletion,
        "You sort by absolute values, so that pixels that speak against the class go "
        "first too.": curves(saliency=saliency.abs()).deletion,
    }
    compare(
        result,
        torch.from_numpy(right.deletion).float(),
        {text: torch.from_numpy(curve).float() for text, curve in mistakes.items()},
        f"With half of the pixels hidden it should be {right.deletion[2]:.3f}; yours is "
        f"{result[2]:.3f}.",
    )
    return f"From {right.deletion[0]:.2f} to {right.deletion[-1]:.2f}, as it should be."


# -- exercise 4 ------------------------------------------------------------------------

BOX = (2, 1, 6, 4)
PLACES = (
    (1, 2),
    (2, 5),
    (3, 6),
    (4, 3),
    (2, 1),
    (5, 1),
    (1, 6),
    (3, 3),
    (2, 7),
)  # row, column


@exercise("Exercise 4")
def point(answer) -> str:
    """Check `answer(saliency, box)`: whether the largest value lies in the box."""
    maps = torch.rand(len(PLACES), 7, 8, generator=torch.Generator().manual_seed(9))
    for values, place in zip(maps, PLACES, strict=True):
        values[place] = 2.0
    right = pointing_game(maps, [BOX] * len(maps)).tolist()
    given = [call(answer, values, BOX) for values in maps]
    try:
        given = [bool(value) for value in given]
    except (TypeError, ValueError, RuntimeError) as error:
        raise Wrong("True or False is wanted.") from error
    if given == right:
        return f"All {len(PLACES)} right, at the borders too."
    x0, y0, x1, y1 = BOX
    mistakes = {
        "Row and column are exchanged: x is the column, y is the row; divmod(index, "
        "width) gives the row first.": lambda r, c: x0 <= r < x1 and y0 <= c < y1,
        "x1 and y1 are one beyond the box: test with <, not with <=.": lambda r, c: (
            x0 <= c <= x1 and y0 <= r <= y1
        ),
        "The first column and row belong to the box: test with <=, not with <.": (
            lambda r, c: x0 < c < x1 and y0 < r < y1
        ),
        "The box is read as (x, y, width, height); its last two numbers are the far "
        "corner.": lambda r, c: x0 <= c < x0 + x1 and y0 <= r < y0 + y1,
        "You test columns only; the row counts too.": lambda r, c: x0 <= c < x1,
        "Hits and misses are exchanged.": lambda r, c: not (x0 <= c < x1 and y0 <= r < y1),
    }
    for sentence, rule in mistakes.items():
        if given == [rule(*place) for place in PLACES]:
            raise Wrong(sentence)
    number = next(n for n, (a, b) in enumerate(zip(given, right, strict=True)) if a != b)
    row, column = PLACES[number]
    raise Wrong(
        f"The largest value in row {row}, column {column} is "
        f"{'in' if right[number] else 'outside'} the box {BOX}; you say otherwise."
    )
