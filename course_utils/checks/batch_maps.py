"""Checks of lesson 03: scores by `gather`, maps of a batch, who depends on whom."""

import torch
from torch import Tensor, nn
from torch.autograd.functional import jacobian

from .._machinery.hooks import watching
from ..gradients import vanilla_saliency
from . import vanilla_saliency as lesson_02
from .base import Wrong, as_tensor, call, compare_tensor, each_argument, exercise
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
            (): "It lost its batch axis: squeeze() drops all of length 1; use squeeze(1).",
            (count, count): "scores[:, labels] picks every label in every row; pick one.",
            (count, 1): "The result is a column, (N, 1); take it out, by [:, 0].",
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


CASES = ((5, (8, 8)), (4, (7, 10)), (1, (9, 6)))  # how many pictures, and their size


@exercise("Exercise 2")
def saliency_maps(answer) -> str:
    """Check `answer(model, images, labels)`: the (N, H, W) maps of a batch."""
    for seed, (count, size) in enumerate(CASES):  # not 3: that is the number of colours
        asked, model = [], tiny_network(seed)
        images, labels = tiny_batch(count, size=size)
        case = {"model": model, "images": images, "labels": labels}
        right, mistakes = _maps(**case)
        shapes = {
            (count, 3, *size): lesson_02.COLOURS_APART,
            (3, *size): lesson_02.WRONG_AXIS,
            **dict.fromkeys([(count, 3, n) for n in size], lesson_02.WRONG_AXIS),
            size: "The batch axis is missing: squeeze() drops it in a batch of one.",
        }
        others = {"labels": (labels + 1) % 6, "images": images.flip(-1)}
        with each_argument(answer, case, **others):
            with watching({"": model}, lambda *_, asked=asked: asked.append(1)):
                result = call(answer, *case.values(), intact=True)
            compare_tensor(result, right, mistakes, lesson_02.OTHER_VALUES, shapes)
        if count == CASES[0][0]:
            often = len(asked)
    lesson_02.check_repeats(answer, model, *tiny_batch(2))
    if often > 1:
        return (
            f"Right; but it asks the network {often} times for {CASES[0][0]} pictures. One "
            "pass is enough: differentiate the sum of the scores."
        )
    return "Right for batches of 1, 4 and 5, and a second call gives what the first did."


def _maps(model, images: Tensor, labels: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """The right maps, and sentence → wrong ones."""
    right, top, every = (
        vanilla_saliency(model, images, goal)
        for goal in (labels, None, lambda scores: scores[:, labels].sum(1))
    )
    first = vanilla_saliency(model, images, labels[:1].expand_as(labels))
    return right, lesson_02.map_mistakes(model, images, labels) | {
        "N times too small: mean() of the scores instead of sum().": right / len(labels),
        "You explain the top class; the labels ask for another one.": top,
        "scores[:, labels] picks every label in every row: pick one for each, by "
        "gather.": every,
        "All maps are for the first label; each picture has its own.": first,
    }


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
