"""Checks of lesson 03: scores by `gather`, scales, who depends on whom; and a claim."""

from statistics import mean

import torch
from torch import Tensor, nn
from torch.autograd.functional import jacobian

from ..evaluation import bootstrap_interval
from ..figures import map_limits
from ..gradients import vanilla_saliency
from ..images import preprocess
from ..models import load_model
from ..samples import load_samples
from .base import Wrong, as_tensor, call, compare_tensor, each_argument, exercise
from .claims import Claim, Test
from .toys import noise, picked, tiny_batch, tiny_network, wrong_goals


@exercise("Exercise 1")
def class_scores(answer) -> str:
    """Check `answer(scores, labels)`: from (N, C) and (N,) to the (N,) class scores."""
    for count, classes in ((4, 6), (5, 9), (1, 7)):
        scores, labels = noise(count, classes, seed=count), tiny_batch(count)[1]
        mistakes = wrong_goals(labels, lambda goal, scores=scores: goal(scores)) | {
            "That is the largest score of each row; pick that of `labels`.": scores.amax(1)
        }
        shapes = {
            (): "The batch axis is lost: squeeze() drops every axis of length 1; use "
            "squeeze(1).",
            (count, count): "scores[:, labels] picks every label in every row; pick one.",
            (count, 1): "The result is a column, (N, 1); take it out with [:, 0].",
            (1, count): "labels[None] is a row, and picks all its numbers from the first "
            "row of scores; make it a column, labels[:, None].",
        }
        case = {"scores": scores.requires_grad_(), "labels": labels}
        otherwise = "Row n should give scores[n, labels[n]]; try it on the 4×5 table."
        with each_argument(answer, case, labels=(labels + 1) % classes):
            result = call(answer, *case.values(), intact=True)
            compare_tensor(result, picked(scores, labels), mistakes, otherwise, shapes)
        if not result.requires_grad:
            raise Wrong(
                "The numbers are right, but they are cut off the graph: torch.tensor(…), "
                "item() and detach() copy them, and backward() cannot get through. Use "
                "gather, indexing or torch.stack."
            )
    return "It picks one score per row, for a batch of any size, and keeps the graph."


@exercise("Exercise 2")
def brightness(answer) -> str:
    """Check `answer(maps, shared)`: (N, H, W) from 0 to 1, on one scale or on N scales."""
    # The 99.5th percentile of 1000 k + 1 values, or of 200 k + 1, is one of them.
    cases = ((4, (13, 77), False), (5, (11, 91), True), (1, (3, 67), True))
    for count, size, shared in cases:
        steepness = torch.linspace(2, 0.5, count).roll(1).view(-1, 1, 1)
        maps = 0.1 + noise(count, *size, seed=count).abs() * steepness
        case = {"maps": maps, "shared": shared}
        right, mistakes = _brightness(**case)
        shapes = {
            (count,): "Those are limits; divide the maps by them, and return (N, H, W).",
            size: "The batch axis is missing: return (N, H, W), also for one map.",
        }
        otherwise = "The shape is right, the values are not: divide each map by its limit."
        others = {"maps": maps.flip(-1), "shared": not shared}
        with each_argument(answer, case, **others):
            result = as_tensor(call(answer, *case.values(), intact=True))
            compare_tensor(result, right, mistakes, otherwise, shapes)
    return "Each map on its own scale, or all on one: now brightness can be compared."


def _brightness(maps: Tensor, shared: bool) -> tuple[Tensor, dict[str, Tensor]]:
    """The right brightness, and sentence → a wrong one."""

    def by(limits) -> Tensor:
        return (maps / limits.view(-1, 1, 1)).clamp(max=1)

    flat = maps.flatten(1)
    limits, highest, lowest = flat.quantile(0.995, 1), flat.amax(1), flat.amin(1)
    largest = limits.amax()
    right = by(largest if shared else limits)
    above = "Some values are above 1: the strongest colour is 1, so clamp(max=1)."
    mistakes = {
        "You divide by the maximum; take the 99.5th percentile.": by(highest),
        "You divide by the maximum of all maps; take the 99.5th percentile.": by(
            highest.amax()
        ),
        "That is the 95th percentile; take the 99.5th, quantile(0.995).": by(
            flat.quantile(0.95, 1)
        ),
        "You stretch each map from its smallest value; 0 should stay 0.": (
            (maps - lowest.view(-1, 1, 1)) / (limits - lowest).view(-1, 1, 1)
        ).clamp(0, 1),
        "These are not divided by a limit, only cut at 1.": maps.clamp(max=1),
        "Brightness runs from 0 to 1, not to 255.": 255 * right,
    }
    if shared:
        wrong = {
            "With `shared`, all maps have one limit, and here each has its own.": limits,
            "That is the percentile of all values together; take the largest of the "
            "maps' own limits.": maps.flatten().quantile(0.995),
            "You take the smallest of the limits; take the largest.": limits.amin(),
            "You take the mean of the limits; take the largest.": limits.mean(),
        }
    else:
        wrong = {
            "Without `shared`, each map has a limit of its own, and here all have "
            "one.": largest,
            "That is one percentile of all values together; each map has its own: "
            "flatten(1).": maps.flatten().quantile(0.995),
        }
    unclipped = maps / (largest if shared else limits.view(-1, 1, 1))
    return right, {above: unclipped} | {t: by(v) for t, v in wrong.items()} | mistakes


@exercise("Exercise 3")
def dependence(answer) -> str:
    """Check `answer(model, images, labels)`: the (N, N) table of who depends on whom."""
    cases = ((4, (8, 8), False), (4, (8, 8), True), (5, (7, 9), True))
    for seed, (count, size, training) in enumerate(cases):
        model = tiny_network(seed).train(training)
        model[5].p = 0.0  # without dropout only batch norm can mix the pictures
        images, labels = tiny_batch(count, size=size)
        case = {"model": model, "images": images, "labels": labels}
        right, mistakes = _tables(**case)
        otherwise = "Each entry (n, m) is the largest |slope| of score n over picture m."
        others = {"labels": (labels + 1) % 6, "images": images.flip(-1)}
        with each_argument(answer, case, **others):
            result = as_tensor(call(answer, *case.values(), intact=True))
            compare_tensor(result, right, mistakes, otherwise)
    return "Diagonal in evaluation mode, full where batch norm mixes the pictures."


def _tables(model, images: Tensor, labels: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """The right table, and sentence → a wrong one."""
    slopes, count = _slopes(model, images, labels), len(images)
    alone = [_largest(_slopes(model, images[[n]], labels[[n]]).abs()) for n in range(count)]
    top = _slopes(model, images, model(images).argmax(1))
    right = _largest(slopes.abs())
    return right, {
        "All rows are the same: differentiate each score, not their sum.": _largest(
            slopes.sum(0).expand_as(slopes).abs()
        ),
        "Each row holds the rows above it: .grad adds up; use autograd.grad.": _largest(
            slopes.cumsum(0).abs()
        ),
        "Rows and columns are swapped: row n is score n, not picture n.": right.T,
        "No absolute value: take abs() before the maximum.": _largest(slopes),
        "You take the top class of each picture; take that of `labels`.": _largest(
            top.abs()
        ),
        "That is the mean of the slopes; take the largest.": slopes.abs().mean(
            (-3, -2, -1)
        ),
        "You send the pictures through one at a time: their effect on each other shows "
        "only where all go through at once.": torch.block_diag(*alone),
    }


def _slopes(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """(N, N, 3, H, W): the slopes of each score over the pixels of each picture."""
    return jacobian(lambda pixels: picked(model(pixels), labels), images)


def _largest(slopes: Tensor) -> Tensor:
    """The largest of each picture's slopes, over its colours, rows and columns."""
    return slopes.amax((-3, -2, -1))


# -- the claim check -------------------------------------------------------------------

ZEBRA = 340


def shares_in_boxes(maps: Tensor, boxes) -> list[float]:
    """Which share of each map (N, H, W) lies in its box (x0, y0, x1, y1)."""
    shares = []
    for values, box in zip(maps, boxes, strict=True):
        x0, y0, x1, y1 = (round(edge) for edge in box)
        shares.append((values[y0:y1, x0:x1].sum() / values.sum()).item())
    return shares


def _photographs(count: int, target=None) -> tuple[Tensor, list]:
    """The maps of `count` photographs, by default of their own classes, and their boxes."""
    samples = load_samples(count)
    goal = samples.labels if target is None else target
    maps = vanilla_saliency(load_model(), preprocess(samples.images), goal)
    return maps, samples.boxes_at()


def _on_one_scale() -> str:
    maps, boxes = _photographs(5)
    limit = map_limits(maps, scale="shared")[0]
    share = mean(shares_in_boxes(maps / limit, boxes))
    return f"on one scale for all, the boxes still hold {share:.0%} of the brightness."


def _one_by_one() -> str:
    samples, model = load_samples(5), load_model()
    images = preprocess(samples.images)
    maps = [
        vanilla_saliency(model, image[None], [label])
        for image, label in zip(images, samples.labels.tolist(), strict=True)
    ]
    share = mean(shares_in_boxes(torch.cat(maps), samples.boxes_at()))
    return f"computed one at a time, the boxes hold {share:.0%} of the brightness."


def _absent_class() -> str:
    maps, boxes = _photographs(13)
    own, area = (shares_in_boxes(one, boxes) for one in (maps, torch.ones_like(maps)))
    absent = shares_in_boxes(*_photographs(13, ZEBRA))
    gaps = [100 * (a - b) for a, b in zip(own, absent, strict=True)]
    low, high = bootstrap_interval(gaps)
    return (
        f"on the first 13 photographs the boxes hold {mean(own):.0%} of the map of the "
        f"right class, and {mean(absent):.0%} of that of the zebra, which is in none of "
        f"them. The difference is {mean(gaps):.0f} points [{low:.0f} to {high:.0f}]; the "
        f"boxes cover {mean(area):.0%} of the pictures."
    )


def _all_photographs() -> str:
    share = mean(shares_in_boxes(*_photographs(26)))
    return f"on all 26 photographs the boxes hold {share:.0%} of the brightness."


claim = Claim(
    "Most of each map lies in the box that a person drew round the object, so the map "
    "shows where the network sees its class.",
    {
        "A": Test(
            _on_one_scale,
            "A scale multiplies a map by one number. No share can change.",
        ),
        "B": Test(
            _one_by_one,
            "That shows that the pictures of a batch do not mix. It says nothing about "
            "what a map means.",
        ),
        "C": Test(
            _absent_class,
            "That refutes it: the map of a class that is nowhere in the picture lies in "
            "the boxes nearly as much. Most of the share comes from the photograph.",
            could_refute=True,
        ),
        "D": Test(
            _all_photographs,
            "More photographs make the number more certain. But the share would be high "
            "for any map that follows what stands out in a photograph.",
        ),
    },
)
