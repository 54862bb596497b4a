"""Checks of lesson 03: scores by `gather`, maps of a batch, who depends on whom."""

import torch
from torch import Tensor, nn
from torch.autograd.functional import jacobian

from ..gradients import vanilla_saliency
from . import vanilla_saliency as lesson_02
from .base import call, compare_tensor, exercise
from .toys import noise, picked, tiny_batch, tiny_network, wrong_goals


@exercise("Exercise 1")
def class_scores(answer) -> str:
    """Check `answer(scores, labels)`: from (N, C) and (N,) to the (N,) class scores."""
    for count in (4, 5, 1):
        scores, labels = noise(count, 6, seed=count), tiny_batch(count)[1]
        mistakes = wrong_goals(labels, lambda goal, scores=scores: goal(scores)) | {
            "That is the largest score of each row; pick that of `labels`.": scores.amax(1)
        }
        shapes = {
            (): "It lost its batch axis: squeeze() drops all of length 1; use squeeze(1).",
            (count, count): "scores[:, labels] picks every label in every row; pick one.",
            (count, 1): "The result is a column, (N, 1); take it out, by [:, 0].",
        }
        result, right = call(answer, scores, labels), picked(scores, labels)
        otherwise = "Row n should give scores[n, labels[n]]; try it on the 4×5 table."
        compare_tensor(result, right, mistakes, otherwise, shapes)
    return "It picks one score per row, for a batch of any size."


@exercise("Exercise 2")
def saliency_maps(answer) -> str:
    """Check `answer(model, images, labels)`: the (N, H, W) maps of a batch."""
    model = tiny_network()
    for count in (5, 4, 1):  # not 3: pictures and colours could be confused unnoticed
        images, labels = tiny_batch(count)
        shapes = {
            (count, 3, 8, 8): lesson_02.COLOURS_APART,
            **dict.fromkeys([(3, 8, 8), (count, 3, 8)], lesson_02.WRONG_AXIS),
            (8, 8): "The batch axis is missing: squeeze() drops it in a batch of one.",
        }
        result = call(answer, model, images, labels, intact=True)
        right, top = (vanilla_saliency(model, images, y) for y in (labels, None))
        mistakes = lesson_02.map_mistakes(model, images, labels) | {
            "N times too small: mean() of the scores instead of sum().": right / count,
            "You explain the top class; the labels ask for another one.": top,
        }
        compare_tensor(result, right, mistakes, lesson_02.OTHER_VALUES, shapes)
    lesson_02.check_repeats(answer, model, *tiny_batch(2))
    return "Right for batches of 1, 4 and 5, and a second call gives what the first did."


@exercise("Exercise 3")
def dependence(answer) -> str:
    """Check `answer(model, images, labels)`: the (N, N) table of who depends on whom."""
    model = tiny_network()
    model[5].p = 0.0  # without dropout only batch norm can mix the pictures
    images, labels = tiny_batch(4)
    for training in (False, True):
        model.train(training)
        result = call(answer, model, images, labels, intact=True)
        slopes = _slopes(model, images, labels)
        alone = [_largest(_slopes(model, images[[n]], labels[[n]]).abs()) for n in range(4)]
        piled, of_sum = slopes.cumsum(0), slopes.sum(0).expand_as(slopes)
        right, piled, of_sum = (_largest(s.abs()) for s in (slopes, piled, of_sum))
        mistakes = {
            "All rows are the same: differentiate each score, not their sum.": of_sum,
            "Each row holds the rows above it: .grad adds up; use autograd.grad.": piled,
            "Rows and columns are swapped: row n is score n, not picture n.": right.T,
            "No absolute value: take abs() before the maximum.": _largest(slopes),
            "You send the pictures through one at a time: their effect on each other shows "
            "only where all go through at once.": torch.block_diag(*alone),
        }
        otherwise = "Each entry (n, m) is the largest |slope| of score n over picture m."
        compare_tensor(result, right, mistakes, otherwise)
    return "Diagonal in evaluation mode, full where batch norm mixes the pictures."


def _slopes(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """(N, N, 3, H, W): the slopes of each score over the pixels of each picture."""
    return jacobian(lambda pixels: picked(model(pixels), labels), images)


def _largest(slopes: Tensor) -> Tensor:
    """The largest of each picture's slopes, over its colours, rows and columns."""
    return slopes.amax((-3, -2, -1))
