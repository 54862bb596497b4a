"""Checks of lesson 03: scores by `gather`, maps of a batch, who depends on whom."""

import torch
from torch import Tensor, nn

from ..gradients import vanilla_saliency
from .base import Wrong, call, check_tensor, compare, exercise


def tiny_network(seed: int = 0) -> nn.Module:
    """A small random classifier, (N, 3, 8, 8) → (N, 6), in evaluation mode.

    It holds batch norm and dropout, so that training mode would show.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = nn.Sequential(
            nn.Conv2d(3, 8, 3),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(3),
            nn.Flatten(),
            nn.Dropout(0.5),
            nn.Linear(72, 6),
        )
    return network.eval()


def tiny_batch(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Random pictures (count, 3, 8, 8) and their classes (count,)."""
    random = torch.Generator().manual_seed(seed + count)
    images = torch.randn(count, 3, 8, 8, generator=random)
    return images, torch.randint(0, 6, (count,), generator=random)


# -- exercise 1 ------------------------------------------------------------------------


@exercise("Exercise 1")
def class_scores(answer) -> str:
    """Check `answer(scores, labels)`: from (N, C) and (N,) to the (N,) class scores."""
    for count in (4, 5, 1):
        random = torch.Generator().manual_seed(count)
        scores = torch.randn(count, 6, generator=random)
        labels = torch.randint(0, 6, (count,), generator=random)
        result = call(answer, scores, labels)
        _check_scores_shape(result, count)
        right = scores[torch.arange(count), labels]
        mistakes = {
            "These are probabilities: softmax mixes the scores of all classes. "
            "Pick from the scores as they are.": right_of(scores.softmax(1), labels),
            "These are logarithms of probabilities; pick from the scores as they are.": (
                right_of(scores.log_softmax(1), labels)
            ),
            "That is the largest score of each row; the class that is asked for need "
            "not be the top class.": scores.amax(dim=1),
        }
        compare(
            check_tensor(result, (count,)),
            right,
            mistakes,
            "Row n should give scores[n, labels[n]]; try your function on the 4×5 table.",
        )
    return "It picks one score per row, for a batch of any size."


def right_of(scores: Tensor, labels: Tensor) -> Tensor:
    """scores[n, labels[n]] for every row n."""
    return scores.gather(1, labels[:, None])[:, 0]


def _check_scores_shape(result, count: int) -> None:
    shape = tuple(getattr(result, "shape", ()))
    if shape == (count, count) and count > 1:
        raise Wrong(
            "scores[:, labels] picks every label in every row, which gives "
            f"{count}×{count} numbers; one per row is wanted."
        )
    if shape == (count, 1):
        raise Wrong(
            f"The result is a column, shape ({count}, 1); take the column out of it, "
            "for example by [:, 0]."
        )
    if isinstance(result, Tensor) and shape == () and count == 1:
        raise Wrong(
            "For a batch of one the result lost its batch axis: squeeze() drops every "
            "axis of length 1. Name the one you mean: squeeze(1)."
        )


# -- exercise 2 ------------------------------------------------------------------------


@exercise("Exercise 2")
def saliency_maps(answer) -> str:
    """Check `answer(model, images, labels)`: the (N, H, W) maps of a batch."""
    model = tiny_network()
    for count in (5, 4, 1):  # not 3: pictures and colours could be confused unnoticed
        images, labels = tiny_batch(count)
        result = call(answer, model, images, labels)
        if model.training or any(m.training for m in model.modules()):
            raise Wrong("Your function leaves the network in training mode.")
        _check_maps_shape(result, count)
        _compare_maps(check_tensor(result, (count, 8, 8)), model, images, labels)
    _check_twice(answer, model)
    return "Right for batches of 1, 4 and 5, and a second call gives what the first did."


def _check_maps_shape(result, count: int) -> None:
    shape = tuple(getattr(result, "shape", ()))
    if count == 1 and shape == (8, 8):
        raise Wrong(
            "For a batch of one the batch axis is gone: squeeze() without an axis takes "
            "it away. A batch of one should give (1, H, W)."
        )
    if shape == (count, 3, 8, 8):
        raise Wrong("The colours are still apart: take the largest over axis 1.")
    if shape in {(3, 8, 8), (count, 3, 8)}:
        raise Wrong(
            "The maximum went over the wrong axis. The gradient is (N, 3, H, W); the "
            "colours are axis 1."
        )


def _compare_maps(result: Tensor, model, images: Tensor, labels: Tensor) -> None:
    def gradient(total):
        pixels = images.clone().requires_grad_()
        return torch.autograd.grad(total(model(pixels)), pixels)[0]

    g = gradient(lambda scores: right_of(scores, labels).sum())
    softmax = gradient(lambda scores: right_of(scores.softmax(1), labels).sum())
    every = gradient(lambda scores: scores.sum())
    mean = gradient(lambda scores: right_of(scores, labels).mean())
    loss = gradient(lambda s: nn.functional.cross_entropy(s, labels, reduction="sum"))
    top = gradient(lambda scores: scores.amax(dim=1).sum())
    compare(
        result,
        g.abs().amax(dim=1),
        {
            "No absolute value: a strong negative slope matters as much as a positive "
            "one. Take abs() before the maximum.": g.amax(dim=1),
            "abs() comes after the maximum; a colour with a strong negative slope is "
            "lost. Take abs() first.": g.amax(dim=1).abs(),
            "That is the gradient of the softmax probability, which mixes in the other "
            "classes. Differentiate the score.": softmax.abs().amax(dim=1),
            "That is the gradient of the sum of all classes: scores.sum() without "
            "picking each picture's class first.": every.abs().amax(dim=1),
            "The maps are N times too small: mean() of the scores instead of sum().": (
                mean.abs().amax(dim=1)
            ),
            "That is the gradient of the cross-entropy loss; differentiate the score.": (
                loss.abs().amax(dim=1)
            ),
            "You explain the top class of each picture; the labels ask for another "
            "one.": top.abs().amax(dim=1),
            "You take the mean over the colours; the paper takes the largest.": (
                g.abs().mean(dim=1)
            ),
            "You sum over the colours; the paper takes the largest.": g.abs().sum(dim=1),
        },
        "The shape is right, the values are not: compare your steps with section 3.",
    )


def _check_twice(answer, model) -> None:
    """Two calls on the very same tensor: an old `.grad` must not add up."""
    images, labels = tiny_batch(2)
    right = vanilla_saliency(model, images, labels)
    for _ in range(2):
        second = answer(model, images, labels)
    if torch.allclose(second.detach(), 2 * right, rtol=1e-3):
        raise Wrong(
            "A second call on the same tensor gives twice the map: the gradient adds up "
            "in images.grad. Use a fresh copy, images.clone(), in each call."
        )
    if images.requires_grad:
        raise Wrong(
            "Your function switches requires_grad on in the caller's own tensor; work on "
            "a copy: images.clone().requires_grad_()."
        )


# -- exercise 3 ------------------------------------------------------------------------


@exercise("Exercise 3")
def dependence(answer) -> str:
    """Check `answer(model, images, labels)`: the (N, N) table of who depends on whom.

    Entry (n, m) is the largest absolute slope of score n over the pixels of picture m.
    """
    model = tiny_network()
    images, labels = tiny_batch(4)
    _compare_dependence(call(answer, model, images, labels), model, images, labels)
    model.train()
    model[5].p = 0.0  # dropout is another story; here only batch norm may mix
    result = call(answer, model, images, labels)
    if not model.training:
        raise Wrong("Your function switches the network to evaluation mode; leave it.")
    _compare_dependence(result, model, images, labels)
    return "Diagonal in evaluation mode, full where batch norm mixes the pictures."


def _compare_dependence(result, model, images: Tensor, labels: Tensor) -> None:
    count = len(images)
    pixels = images.clone().requires_grad_()
    scores = right_of(model(pixels), labels)
    rows = [torch.autograd.grad(s, pixels, retain_graph=True)[0] for s in scores]
    slopes = torch.stack(rows)  # (scores, pictures, 3, H, W)
    right = slopes.abs().flatten(2).amax(dim=2)
    summed = slopes.sum(dim=0).abs().flatten(1).amax(dim=1).expand(count, count)
    piled = slopes.cumsum(dim=0).abs().flatten(2).amax(dim=2)
    singly = [
        torch.autograd.grad(right_of(model(p[None]), y[None]).sum(), pixels)[0]
        for p, y in zip(pixels, labels, strict=True)
    ]
    alone = torch.stack(singly).abs().flatten(2).amax(dim=2)
    compare(
        check_tensor(result, (count, count)),
        right,
        {
            "All rows are the same: you differentiate the sum of the scores. Row n wants "
            "the gradient of score n alone.": summed,
            "Each row holds the rows above it too: the gradient adds up in .grad. Use "
            "torch.autograd.grad, or set .grad to None before each backward.": piled,
            "Rows and columns are exchanged: row n is score n, column m is picture m.": (
                right.T
            ),
            "No absolute value: take abs() before the maximum.": (
                slopes.flatten(2).amax(dim=2)
            ),
            "You send the pictures through one at a time: what one does to another shows "
            "only where the whole batch goes through at once.": alone,
        },
        "The values are not right: entry (n, m) is the largest |slope| of score n over "
        "all pixels and colours of picture m.",
    )
