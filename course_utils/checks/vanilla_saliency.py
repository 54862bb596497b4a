"""Checks of lesson 02: normalising and back, one map, how stable its ranks are."""

import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from ..images import IMAGENET_MEAN, IMAGENET_STD
from .base import Wrong, call, check_tensor, compare, exercise
from .batch_maps import tiny_batch, tiny_network

# -- exercise 1 ------------------------------------------------------------------------


@exercise("Exercise 1")
def normalisation(normalise, denormalise) -> str:
    """Check `normalise(pixels)` and its inverse `denormalise(tensor)`.

    `pixels` is (H, W, 3) of uint8, the tensor (3, H, W) of floats.
    """
    random = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (4, 5, 3), generator=random, dtype=torch.uint8)
    tensor = _check_normalised(call(normalise, pixels), pixels)
    back = call(denormalise, tensor.clone())
    _check_denormalised(back, pixels, tensor)
    return "There and back, not one of the values differs."


def _columns(values) -> Tensor:
    return torch.tensor(values).view(3, 1, 1)


def _check_normalised(result, pixels: Tensor) -> Tensor:
    mean, std = _columns(IMAGENET_MEAN), _columns(IMAGENET_STD)
    share = pixels.permute(2, 0, 1) / 255
    if tuple(getattr(result, "shape", ())) == (4, 5, 3):
        raise Wrong(
            "normalise: the colours are still the last axis; permute(2, 0, 1) puts them "
            "first, which makes (3, H, W)."
        )
    if tuple(getattr(result, "shape", ())) == (1, 3, 4, 5):
        raise Wrong("normalise: the batch axis comes later; give (3, H, W) here.")
    result = check_tensor(result, (3, 4, 5))
    if not result.is_floating_point():
        raise Wrong(f"normalise: floats are wanted, yours are {result.dtype}.")
    wrong = {
        "normalise: the values are still 0 to 255 when mean and std are used, which "
        "belong to 0 to 1. Divide by 255 first.": (255 * share - mean) / std,
        "normalise: mean and std have changed places.": (share - std) / mean,
        "normalise: you divide before you subtract. The mean comes off first, then the "
        "difference is divided.": share / std - mean,
        "normalise: you multiply by std; divide by it, so that the spread becomes 1.": (
            (share - mean) * std
        ),
        "normalise: that is share * std + mean, the way back.": share * std + mean,
        "normalise: the mean is off, the division by std is missing.": share - mean,
        "normalise: that is the tensor before normalisation.": share,
        "normalise: these are the picture's own mean and std. The network was trained "
        "with MEAN and STD, the same for every picture.": (
            (share - share.mean((1, 2), keepdim=True)) / share.std((1, 2), keepdim=True)
        ),
        "normalise: the axes are in another order than permute(2, 0, 1) makes; reshape "
        "or view would mix up pixels and colours.": (
            (pixels.reshape(3, 4, 5) / 255 - mean) / std
        ),
    }
    compare(
        result,
        (share - mean) / std,
        wrong,
        "normalise: the values are not (share - mean) / std, colour by colour; the "
        "worked example shows one pixel.",
    )
    return result


def _check_denormalised(result, pixels: Tensor, tensor: Tensor) -> None:
    mean, std = _columns(IMAGENET_MEAN), _columns(IMAGENET_STD)
    if tuple(getattr(result, "shape", ())) == (3, 4, 5):
        raise Wrong(
            "denormalise: the colours are still the first axis; permute(1, 2, 0) puts "
            "them last again."
        )
    result = check_tensor(result, (4, 5, 3))
    wrong = {
        "denormalise: you add the mean first and multiply then. Undo the steps in the "
        "opposite order: times std, then plus mean.": (tensor + mean) * std,
        "denormalise: that normalises a second time.": (tensor - mean) / std,
        "denormalise: you divide by std; going back, multiply by it.": tensor / std + mean,
        "denormalise: the mean is missing.": tensor * std,
    }
    right = pixels.double()
    for sentence, values in wrong.items():
        if any(_same(result, v) for v in _as_pixels(values.permute(1, 2, 0))):
            raise Wrong(sentence)
    if _same(result, right / 255):
        raise Wrong("denormalise: these are shares of 1; times 255 makes them pixels.")
    off = (result.double() - right).abs().max()
    if result.dtype == torch.uint8 and 0 < off <= 1:
        raise Wrong(
            "denormalise: some values are too small by 1: uint8 cuts off what is behind "
            "the point. Use round() before you convert."
        )
    if off > 1e-3:
        raise Wrong("denormalise: the values are not those of the pixels at the start.")
    if result.dtype != torch.uint8:
        raise Wrong(f"denormalise: uint8 is wanted, yours is {result.dtype}.")


def _as_pixels(shares: Tensor) -> list[Tensor]:
    """What a learner may make of `shares` in the end: scaled, clipped, rounded, cut."""
    scaled = [255 * shares, (255 * shares).clamp(0, 255)]
    rounded = [v.round() for v in scaled]
    return [shares, *scaled, *(v.to(torch.uint8) for v in (*scaled, *rounded))]


def _same(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a.double(), b.double(), atol=1e-3)


# -- exercise 2 ------------------------------------------------------------------------


@exercise("Exercise 2")
def saliency_map(answer) -> str:
    """Check `answer(model, image)`: from one (3, H, W) picture to its (H, W) map."""
    model = tiny_network()
    for image in tiny_batch(3)[0]:
        result = call(answer, model, image)
        if model.training:
            raise Wrong("Your function leaves the network in training mode.")
        _check_map_shape(result)
        _compare_map(check_tensor(result, (8, 8)), model, image)
    _check_repeats(answer, model, image)
    return "One picture in, its map out, and a second call gives the same."


def _check_map_shape(result) -> None:
    shape = tuple(getattr(result, "shape", ()))
    if shape == (1, 8, 8):
        raise Wrong("The batch axis is still there: take the first map, [0].")
    if shape in {(3, 8, 8), (1, 3, 8, 8)}:
        raise Wrong("The colours are still apart: take the largest over their axis.")
    if shape in {(3, 8), (1, 3, 8)}:
        raise Wrong(
            "The maximum went over the wrong axis: the colours are the axis of length 3, "
            "in front of the rows."
        )


def _compare_map(result: Tensor, model: nn.Module, image: Tensor) -> None:
    def gradient(score):
        pixels = image[None].clone().requires_grad_()
        return torch.autograd.grad(score(model(pixels)[0]), pixels)[0][0]

    g = gradient(lambda scores: scores.max())
    compare(
        result,
        g.abs().amax(dim=0),
        {
            "No absolute value: a strong negative slope matters as much as a positive "
            "one. Take abs() before the maximum.": g.amax(dim=0),
            "abs() comes after the maximum; a colour with a strong negative slope is "
            "lost. Take abs() first.": g.amax(dim=0).abs(),
            "That is the gradient of the softmax probability, which mixes in the other "
            "classes. Differentiate the score.": (
                gradient(lambda scores: scores.softmax(0).max()).abs().amax(dim=0)
            ),
            "That is the gradient of the logarithm of the probability (the loss). "
            "Differentiate the score.": (
                gradient(lambda scores: scores.log_softmax(0).max()).abs().amax(dim=0)
            ),
            "That is the gradient of the sum of all scores; pick the top one first.": (
                gradient(lambda scores: scores.sum()).abs().amax(dim=0)
            ),
            "That is the map of class 0; argmax finds the top class of this picture.": (
                gradient(lambda scores: scores[0]).abs().amax(dim=0)
            ),
            "You take the mean over the colours; the paper takes the largest.": (
                g.abs().mean(dim=0)
            ),
            "You sum over the colours; the paper takes the largest.": g.abs().sum(dim=0),
        },
        "The shape is right, the values are not: compare your steps with section 3.",
    )


def _check_repeats(answer, model: nn.Module, image: Tensor) -> None:
    """Two calls on the very same tensor: an old `.grad` must not add up."""
    first = answer(model, image).detach().clone()
    second = answer(model, image).detach()
    if torch.allclose(second, 2 * first, rtol=1e-3):
        raise Wrong(
            "A second call on the same picture gives twice the map: the gradient adds up "
            "in .grad. Use a fresh copy, image.clone(), in each call."
        )
    if not torch.allclose(second, first, rtol=1e-3, atol=1e-6):
        raise Wrong("A second call gives another map: the network is in training mode.")
    if image.requires_grad:
        raise Wrong(
            "Your function switches requires_grad on in the caller's own tensor; work on "
            "a copy: image.clone()."
        )


# -- exercise 3 ------------------------------------------------------------------------


@exercise("Exercise 3")
def shift_stability(answer) -> str:
    """Check `answer(model, wide, target)`: rank correlation under a one-pixel shift.

    `wide` is (1, 3, S, S + 1); its left view leaves out the last column, its right view
    the first one.
    """
    model = tiny_network()
    for target, wide in enumerate(torch.randn(3, 1, 3, 8, 9, generator=_seeded(4))):
        result = call(answer, model, wide, target)
        if isinstance(result, Tensor) and result.numel() == 1:
            result = result.item()
        value = getattr(result, "statistic", result)
        if not isinstance(value, float):
            raise Wrong(f"One number is wanted; yours is a {type(result).__name__}.")
        _compare_stability(float(value), model, wide, target)
    return "The two maps are laid over each other where they show the same."


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _compare_stability(value: float, model, wide: Tensor, target: int) -> None:
    def map_of(view, target, reduce=lambda g: g.abs().amax(dim=0)):
        pixels = view.clone().requires_grad_()
        score = model(pixels)[0, target]
        return reduce(torch.autograd.grad(score, pixels)[0][0])

    views = wide[..., :-1], wide[..., 1:]
    left, right = (map_of(view, target) for view in views)
    signed = [map_of(view, target, lambda g: g.amax(dim=0)) for view in views]
    tops = [map_of(v, int(model(v)[0].argmax())) for v in views]
    pairs = {
        "You compare the maps as they lie. Pixel (row, j + 1) of the left view is pixel "
        "(row, j) of the right view: cut the first column off the left map, the last "
        "off the right one.": _rank(left, right),
        "The maps are moved the wrong way against each other: the left view's column "
        "j + 1 is the right view's column j.": _rank(left[:, :-1], right[:, 1:]),
        "That is the correlation of the values (Pearson's); the ranks are asked for, "
        "Spearman's.": _pearson(left[:, 1:], right[:, :-1]),
        "The absolute value is missing in your maps.": (
            _rank(signed[0][:, 1:], signed[1][:, :-1])
        ),
        "You explain the top class of each view; take `target` for both.": (
            _rank(tops[0][:, 1:], tops[1][:, :-1])
        ),
        "That is 1 minus the correlation.": 1 - _rank(left[:, 1:], right[:, :-1]),
    }
    if abs(value - _rank(left[:, 1:], right[:, :-1])) < 1e-3:
        return
    for sentence, wrong in pairs.items():
        if abs(value - wrong) < 1e-3:
            raise Wrong(sentence)
    raise Wrong(
        "The number is not right: make both maps, cut each to the columns that both "
        "show, and take spearmanr(...).statistic of the flattened maps."
    )


def _rank(a: Tensor, b: Tensor) -> float:
    return float(spearmanr(a.flatten().numpy(), b.flatten().numpy()).statistic)


def _pearson(a: Tensor, b: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1])
