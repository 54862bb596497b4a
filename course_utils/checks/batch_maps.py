"""Checks of lesson 03: scores by `gather`, maps of a batch, who depends on whom."""

import torch
from torch import Tensor, nn
from torch.autograd.functional import jacobian

from ..gradients import vanilla_saliency
from .base import call, check_tensor, compare, exercise
from .toys import noise, tiny_batch, tiny_network
from .vanilla_saliency import (
    COLOURS_APART,
    OTHER_VALUES,
    WRONG_AXIS,
    check_repeats,
    map_mistakes,
    picked,
)


@exercise("Exercise 1")
def class_scores(answer) -> str:
    """Check `answer(scores, labels)`: from (N, C) and (N,) to the (N,) class scores."""
    for count in (4, 5, 1):
        scores, labels = noise(count, 6, seed=count), tiny_batch(count)[1]
        mistakes = {
            "These are probabilities: softmax mixes the scores of all classes. Pick from "
            "the scores themselves.": picked(scores.softmax(1), labels),
            "These are logarithms of probabilities; pick from the scores "
            "themselves.": picked(scores.log_softmax(1), labels),
            "That is the largest score of each row; the class in `labels` need not be the "
            "top class.": scores.amax(1),
        }
        shapes = {
            (): "The result lost its batch axis. In a batch of one, squeeze() drops every "
            "axis of length 1; name the one you mean: squeeze(1).",
            (count, count): "scores[:, labels] picks every label in every row, which gives "
            f"{count}×{count} numbers; expected one per row.",
            (count, 1): f"The result is a column of shape ({count}, 1); take the column "
            "out, for example by [:, 0].",
        }
        result = check_tensor(call(answer, scores, labels), (count,), shapes)
        otherwise = "Row n should give scores[n, labels[n]]; try it on the 4×5 table."
        compare(result, picked(scores, labels), mistakes, otherwise)
    return "It picks one score per row, for a batch of any size."


@exercise("Exercise 2")
def saliency_maps(answer) -> str:
    """Check `answer(model, images, labels)`: the (N, H, W) maps of a batch."""
    model = tiny_network()
    for count in (5, 4, 1):  # not 3: pictures and colours could be confused unnoticed
        images, labels = tiny_batch(count)
        shapes = {
            (count, 3, 8, 8): COLOURS_APART,
            **dict.fromkeys([(3, 8, 8), (count, 3, 8)], WRONG_AXIS),
            (8, 8): "The batch axis is missing: the result should be (N, H, W), (1, H, W) "
            "for a batch of one, where squeeze() without an axis drops it.",
        }
        result = call(answer, model, images, labels, intact=True)
        right = vanilla_saliency(model, images, labels)
        mistakes = map_mistakes(model, images, labels) | {
            "N times too small: mean() of the scores instead of sum().": right / count,
            "You explain the top class of each picture; the labels ask for another "
            "one.": vanilla_saliency(model, images),
        }
        result = check_tensor(result, (count, 8, 8), shapes)
        compare(result, right, mistakes, OTHER_VALUES)
    check_repeats(answer, model, *tiny_batch(2))
    return "Right for batches of 1, 4 and 5, and a second call gives what the first did."


@exercise("Exercise 3")
def dependence(answer) -> str:
    """Check `answer(model, images, labels)`: the (N, N) table of who depends on whom.

    Entry (n, m) is the largest absolute slope of score n over the pixels of picture m.
    """
    model = tiny_network()
    model[5].p = 0.0  # without dropout only batch norm can mix the pictures
    images, labels = tiny_batch(4)
    for training in (False, True):
        model.train(training)
        result = call(answer, model, images, labels, intact=True)
        slopes = _slopes(model, images, labels)
        alone = [_largest(_slopes(model, images[[n]], labels[[n]]).abs()) for n in range(4)]
        piled, of_sum = slopes.cumsum(0), slopes.sum(0)
        right, piled, of_sum = (_largest(s.abs()) for s in (slopes, piled, of_sum))
        mistakes = {
            "All rows are the same: you differentiate the sum of the scores. Row n is "
            "about the gradient of score n alone.": of_sum.expand(4, 4),
            "Each row holds the rows above it too: the gradient adds up in .grad. Use "
            "torch.autograd.grad, or set .grad to None before each backward.": piled,
            "Rows and columns are swapped: row n is score n, column m is picture "
            "m.": right.T,
            "No absolute value: take abs() before the maximum.": _largest(slopes),
            "You send the pictures through one at a time: the effect of one picture on "
            "another shows only where all go through at once.": torch.block_diag(*alone),
        }
        otherwise = (
            "The values are not right: entry (n, m) is the largest |slope| of score n over "
            "all pixels and colours of picture m."
        )
        compare(check_tensor(result, (4, 4)), right, mistakes, otherwise)
    return "Diagonal in evaluation mode, full where batch norm mixes the pictures."


def _slopes(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """(N, N, 3, H, W): the slopes of each score over the pixels of each picture."""
    return jacobian(lambda pixels: picked(model(pixels), labels), images)


def _largest(slopes: Tensor) -> Tensor:
    """The largest of each picture's slopes, over its colours, rows and columns."""
    return slopes.amax((-3, -2, -1))
