"""Checks of lesson 08: a path integral, Grad-CAM, a deletion curve, and pointing."""

import torch
from torch import nn

from ..evaluation import deletion_insertion, pointing_game
from ..images import IMAGENET_MEAN, IMAGENET_STD
from .base import call, check_tensor, compare, compare_tensor, exercise, read
from .toys import Squares, noise


@exercise("Exercise 1")
def integrate(answer) -> str:
    """Check `answer(model, image, baseline, target, steps)`: integrated gradients."""
    weights, image, start = (noise(n, 3, 5, 6, seed=n) for n in (2, 1, 3))
    start, target, steps = start[:1], 1, 50
    w, path = weights[target], image - start
    result = call(answer, Squares(weights), image, start, target, steps)
    result = check_tensor(result, (1, 3, 5, 6))
    mean = w * (image + start)  # of the gradients 2·w·x along the path
    right, at_start = mean * path, 2 * w * start * path
    mistakes = {
        "That is the mean gradient along the path: multiply by image − baseline.": mean,
        "You add the gradients up; divide by the number of steps.": steps * right,
        "You multiply by the image; multiply by image − baseline.": mean * image,
        "Your path starts at zero, whatever the baseline; add it.": w * image * path,
        "Your path ignores the baseline altogether: it runs from zero.": w * image**2,
        "The gradient at the picture itself is not the path's mean.": 2 * w * image * path,
        "The gradient at the baseline alone is not the mean along the path.": at_start,
        "The sign is flipped: the path runs from the baseline to the image.": -right,
        "Keep the signs, or the sum is not the difference of the scores.": right.abs(),
    }
    risen, total = f"{right.sum():.1f}", f"{result.sum():.1f}"
    otherwise = f"It should sum to the rise of the score, {risen}; yours sums to {total}."
    compare(result, right, mistakes, otherwise, within=0.03)  # integration rules differ
    return f"It sums to {total}; the score rises by {risen}."


@exercise("Exercise 2")
def weigh_channels(answer) -> str:
    """Check `answer(channels, gradient)`: Grad-CAM's coarse map, (1, rows, columns)."""
    a, gradient = noise(1, 4, 3, 5, seed=4).relu(), noise(1, 4, 3, 5, seed=5)
    result = call(answer, a, gradient)
    if tuple(getattr(result, "shape", ())) in ((3, 5), (1, 1, 3, 5)):
        result = result.reshape(1, 3, 5)
    w = gradient.mean((2, 3), keepdim=True)
    total, across = (w * a).sum(1), gradient.mean(1) * a.sum(1)
    places = gradient[0, 0].numel()
    mistakes = {
        "The last step is missing: max(0, …) keeps only what speaks for the class.": total,
        "Absolute values show what speaks against the class; cut it off.": total.abs(),
        "That is a mean over the channels; take it over axes 2 and 3.": across.relu(),
        "Not place by place: take the gradient's mean first.": (gradient * a).sum(1).relu(),
        "Cut off after the sum over channels, not before.": (w * a).relu().sum(1),
        "Channels may speak against: keep the weights' signs.": (w.abs() * a).sum(1),
        "You sum the gradient over the places; take its mean.": places * total.relu(),
        "Add the channels up; you average them.": total.relu() / 4,
        "That is the sum of the channels without their weights.": a.sum(1),
    }
    otherwise = "Take one weight per channel, the weighted sum, then max(0, …)."
    compare_tensor(result, total.relu(), mistakes, otherwise)
    return "One weight per channel, a sum, and nothing below zero."


@exercise("Exercise 3")
def delete(answer) -> str:
    """Check `answer(model, image, saliency, target, steps)`: a deletion curve."""
    size, steps, target = 6, 4, 2
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * size**2, 3, bias=False))
    model[1].weight = nn.Parameter(noise(3, 3 * size**2, seed=6) / 4, requires_grad=False)
    image, saliency = noise(1, 3, size, size, seed=7), noise(size, size, seed=8)

    def curves(saliency=saliency, **how):
        return deletion_insertion(model, image, saliency, target, steps, **how)

    result, count = call(answer, model, image, saliency, target, steps), steps + 1
    expected = f"{count} numbers, one per step"
    result = read(result, lambda curve: torch.tensor([float(p) for p in curve]), expected)
    ends = f"Begin with nothing hidden, end with everything hidden: {count} numbers."
    result = check_tensor(result, (count,), {(steps,): ends})
    black = -torch.tensor(IMAGENET_MEAN) / torch.tensor(IMAGENET_STD)
    right, lowest = curves(), curves(-saliency).deletion
    mistakes = {
        "You hide the least important pixels first: sort in descending order.": lowest,
        "You hide all but the top pixels: that is the insertion curve.": right.insertion,
        "Those are class scores; take their softmax.": curves(score="logit").deletion,
        "You filled with black; the mean colour is zero here.": curves(fill=black).deletion,
        "Do not sort by absolute values: the signs count.": curves(saliency.abs()).deletion,
    }
    first, _, half, _, last = right.deletion
    otherwise = f"With half the pixels hidden it is {half:.3f}; yours is {result[2]:.3f}."
    compare(result, right.deletion, mistakes, otherwise)
    return f"The probability goes from {first:.2f} to {last:.2f}."


@exercise("Exercise 4")
def point(answer) -> str:
    """Check `answer(saliency, box)`: whether the largest value lies in the box."""
    x0, y0, x1, y1 = frame = (2, 1, 6, 4)
    # (row, column) of each map's largest value
    places = ((1, 2), (2, 5), (3, 6), (4, 3), (2, 1), (5, 1), (1, 6), (3, 3), (2, 7))
    maps = torch.rand(len(places), 7, 8, generator=torch.Generator().manual_seed(9))
    for values, place in zip(maps, places, strict=True):
        values[place] = 2.0
    right = pointing_game(maps, [frame] * len(maps)).tolist()
    given = [read(call(answer, m, frame), bool, "True or False") for m in maps]
    larger, smaller = (x0, y0, x1 + 1, y1 + 1), (x0 + 1, y0 + 1, x1, y1)
    boxes = {  # sentence → the box that one looks in by that mistake
        "x1 and y1 are one beyond the box: test with <, not with <=.": larger,
        "The first column and row belong to the box: test with <=, not with <.": smaller,
        "The box is two corners, not (x, y, width, height).": (x0, y0, x0 + x1, y0 + y1),
        "You test columns only; the row counts too.": (x0, 0, x1, 7),
        "Row and column are swapped: x is the column, y is the row.": (y0, x0, y1, x1),
    }
    mistakes = {
        text: pointing_game(maps, [box] * len(maps)).tolist() for text, box in boxes.items()
    } | {"Hits and misses are swapped.": [not hit for hit in right]}
    for said, hit, (row, column) in zip(given, right, places, strict=True):
        where = f"row {row}, column {column} lies {'inside' if hit else 'outside'}"
        otherwise = f"The largest value in {where} {frame}; your function says otherwise."
        if said != hit:
            compare(given, right, mistakes, otherwise)
    return f"All {len(places)} are right, at the borders too."
