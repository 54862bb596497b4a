"""Checks of lesson 09: a deletion curve, pointing, and a claim about a difference."""

import numpy as np
import torch
from torch import Tensor, nn

from ..evaluation import bootstrap_interval, deletion_insertion, pointing_game
from ..images import IMAGENET_MEAN, IMAGENET_STD, preprocess
from ..methods import QUICK
from ..models import load_model
from ..more_maps import grad_cam
from ..samples import load_samples
from .base import (
    NotTried,
    Wrong,
    call,
    check_tensor,
    compare,
    each_argument,
    exercise,
    read,
)
from .claims import Claim, Test
from .reading import each, number, truth
from .toys import noise, other_classes


@exercise("Exercise 1")
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
        ends = f"`steps` is {steps}, so return {steps + 1} numbers, not {len(result)}: "
        ends += "the first with nothing hidden, the last with everything."
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
    order, each_step = saliency.flatten().argsort(descending=True), range(steps + 1)

    def hiding(counts, colours=slice(None)) -> Tensor:
        pictures = image.repeat(len(counts), 1, 1, 1)
        for picture, count in zip(pictures, counts, strict=True):
            picture.flatten(1)[colours, order[:count]] = 0
        return model(pictures).softmax(dim=1)[:, target]

    def curves(saliency=saliency, target=target, **how):
        return deletion_insertion(model, image, saliency, target, steps, **how)

    right, pixels = curves(), order.numel()
    parts = [k * pixels // steps for k in each_step]
    return right.deletion, {
        "You hide the least important pixels first: sort in descending order.": curves(
            -saliency
        ).deletion,
        "You hide all but the top pixels: that is the insertion curve.": right.insertion,
        "Those are class scores; take their softmax.": curves(score="logit").deletion,
        "You filled with black; the mean colour is zero here.": curves(fill=black).deletion,
        "You hide one colour of each pixel: hide all three, by flatten(2)[..., …].": (
            hiding(parts, 0)
        ),
        "You hide the same part at each step: in step k hide k parts.": hiding(
            [pixels // steps for _ in each_step]
        ),
        "You hide a tenth more at each step, whatever `steps` is.": hiding(
            [k * pixels // 10 for k in each_step]
        ),
        "Softmax runs over axis 1, the classes; over axis 0 each probability is 1.": (
            torch.ones(steps + 1)
        ),
        "Return the probability that is left, not its fall.": right.deletion[0]
        - right.deletion,
        "Return probabilities from 0 to 1, not per cent.": 100 * right.deletion,
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


@exercise("Exercise 2")
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
    """A map for each place, with a value below zero as well, and whether it hits."""
    maps = torch.rand(len(places), *size, generator=torch.Generator().manual_seed(9))
    maps[::2, box[3] - 1, box[2] - 1] = -1.0  # the smallest value, in the box
    maps[1::2, 0, -1] = -3.0  # the largest absolute value as well, outside the box
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
        "Row and column must both lie inside: write `and`, not `or`.": [
            x0 <= column < x1 or y0 <= row < y1 for row, column in places
        ],
        "You say True for each of these maps.": [True] * len(maps),
        "You say False for each of these maps. Does divmod divide by "
        "saliency.shape[1], the length of a row?": [False] * len(maps),
        "Hits and misses are swapped.": [not hit for hit in said(maps)],
        "You look for the largest absolute value; take the largest.": said(maps.abs()),
        "You look for the smallest value; take the largest.": said(-maps),
        "A row holds as many values as the map has columns: divide by shape[1].": [
            x0 <= column < x1 and y0 <= row < y1 for row, column in by_height
        ],
    }


# -- the claim -------------------------------------------------------------------------

OTHERS = range(8, 16)  # the photographs after the first eight


def _insertion(name: str, indices=range(8), steps: int = 6) -> np.ndarray:
    """The insertion area of a method's map on each of some photographs."""
    model, photos = load_model(), load_samples()
    images, found = preprocess(photos.images), []
    for k in indices:
        image, label = images[[k]], int(photos.labels[k])
        values = QUICK[name].importance(QUICK[name](model, image, label))[0]
        found.append(deletion_insertion(model, image, values, label, steps))
    return np.array([curves.insertion_area for curves in found])


def _more_steps() -> str:
    few, many = (_insertion("grad_cam", range(4), steps).mean() for steps in (6, 24))
    return f"On four of them the mean is {few:.2f} with 6 steps, {many:.2f} with 24."


def _alone() -> str:
    values = _insertion("grad_cam")
    low, high = bootstrap_interval(values)
    return f"Grad-CAM's mean is {values.mean():.2f}, from {low:.2f} to {high:.2f}."


def _other_photographs() -> str:
    gained = _insertion("grad_cam", OTHERS) - _insertion("centre", OTHERS)
    low, high = bootstrap_interval(gained)
    words = f"On the next eight photographs Grad-CAM gets {gained.mean():+.2f} more"
    return f"{words} than the centre, with an interval from {low:+.2f} to {high:+.2f}."


def _pointing() -> str:
    model, photos = load_model(), load_samples(8)
    maps = grad_cam(model, preprocess(photos.images), photos.labels)
    return f"It hits {pointing_game(maps, photos.boxes_at()).sum()} of 8 boxes."


claim = Claim(
    "Grad-CAM minus centre: the interval includes zero. So at insertion Grad-CAM's map is "
    "no better than a spot in the centre.",
    {
        "A": Test(
            _more_steps, "The areas are exact enough; it is the pictures that are few."
        ),
        "B": Test(_alone, "This says nothing about the centre on the same photographs."),
        "C": Test(
            _other_photographs,
            "That refutes it: the first eight were too few to show the difference.",
            could_refute=True,
        ),
        "D": Test(
            _pointing,
            "It measures no insertion, and a spot in the centre hits all eight as well.",
        ),
    },
)
