"""Checks of lesson 04: a step uphill, the valid range of pixels, jitter and back."""

import torch
from torch import Tensor, nn

from .base import Wrong, call, check_tensor, compare, exercise
from .batch_maps import tiny_network

CLASS, RATE = 2, 0.5
MEAN, STD = (0.5, 0.3, 0.4), (0.2, 0.25, 0.3)


def tiny_image(seed: int = 0) -> Tensor:
    """A random normalised picture (1, 3, 8, 8)."""
    return torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(seed))


def slope(network: nn.Module, image: Tensor, total=None) -> Tensor:
    """The gradient of `total(scores)`, the score of `CLASS` by default, to the image."""
    pixels = image.clone().requires_grad_()
    scores = network(pixels)
    value = scores[0, CLASS] if total is None else total(scores)
    return torch.autograd.grad(value, pixels)[0]


def _checked_image(result, network: nn.Module) -> Tensor:
    if isinstance(result, Tensor) and result.requires_grad:
        raise Wrong(
            "Your picture still hangs on the graph, which would grow with every step: "
            "return it by detach()."
        )
    if any(p.grad is not None for p in network.parameters()):
        raise Wrong(
            "Your step leaves gradients on the network's weights; ask for the picture's "
            "alone, by torch.autograd.grad(score, pixels)."
        )
    return check_tensor(result, (1, 3, 8, 8))


# -- exercise 1 ------------------------------------------------------------------------


@exercise("Exercise 1")
def ascent_step(answer) -> str:
    """Check `answer(network, image, target, rate, l2)`: one step uphill in S − λ‖I‖²."""
    network, image = tiny_network(), tiny_image()
    for l2 in (0.0, 2.0):
        given = image.clone()
        result = _checked_image(_stepped(answer, network, given, l2), network)
        _compare_step(result, network, image, l2)
    return "Uphill in the score, held back by the penalty on the picture."


def _stepped(answer, network: nn.Module, given: Tensor, l2: float):
    keep = given.clone()
    result = call(lambda: answer(network, given, CLASS, RATE, l2))
    if not torch.equal(given.detach(), keep):
        raise Wrong(
            "Your step changes the caller's picture; work on a copy: "
            "image.clone().requires_grad_()."
        )
    return result


def _compare_step(result: Tensor, network: nn.Module, image: Tensor, l2: float) -> None:
    g = slope(network, image)
    softmax = slope(network, image, lambda scores: scores.softmax(1)[0, CLASS])
    every = slope(network, image, lambda scores: scores.sum())
    on_scores = slope(network, image, lambda s: s[0, CLASS] - l2 * s.square().sum())
    pull = 2 * l2 * image
    mistakes = {
        "That is downhill: the picture moves against the gradient. A score is climbed: "
        "add rate times the gradient.": image - RATE * (g - pull),
        "That climbs the softmax probability, which also rises by lowering the other "
        "classes. Climb the score.": image + RATE * (softmax - pull),
        "That climbs the sum of all classes; pick the target's score.": (
            image + RATE * (every - pull)
        ),
    }
    if l2:
        mistakes |= {
            "The penalty lies on the scores. λ‖I‖² is about the values of the picture: "
            "image.square().sum().": image + RATE * on_scores,
            "The penalty has the wrong sign: it pushes the picture away from grey. It is "
            "subtracted.": image + RATE * (g + pull),
            "The penalty is missing.": image + RATE * g,
            "The penalty is half as strong as it should be: the slope of λ‖I‖² is 2λI.": (
                image + RATE * (g - pull / 2)
            ),
            "The penalty is a mean; ‖I‖² is a sum over all values.": (
                image + RATE * (g - pull / image.numel())
            ),
            "That penalises the length ‖I‖; the formula has its square.": (
                image + RATE * (g - l2 * image / image.norm())
            ),
        }
    compare(
        result,
        image + RATE * g - RATE * pull,
        mistakes,
        "The shape is right, the values are not: image + rate · slope of "
        "(score − l2 · sum of squares).",
    )


# -- exercise 2 ------------------------------------------------------------------------


@exercise("Exercise 2")
def clamp_to_valid(answer) -> str:
    """Check `answer(image, mean, std)`: normalised values held between black and white."""
    image = 4 * tiny_image(1)
    three = [torch.tensor(v).view(1, 3, 1, 1) for v in (MEAN, STD)]
    mean, std = three
    given = image.clone()
    result = call(lambda: answer(given, MEAN, STD))
    if not torch.equal(given, image):
        raise Wrong("Your function changes the caller's picture; clamp a copy.")
    black, white = (0 - mean) / std, (1 - mean) / std
    compare(
        check_tensor(result, (1, 3, 8, 8)),
        image.clamp(black, white),
        {
            "That clamps the normalised values to [0, 1], the range of a picture that is "
            "not normalised: everything darker than the mean is lost.": image.clamp(0, 1),
            "That clamps to [-1, 1]; the limits depend on mean and std, colour by "
            "colour.": image.clamp(-1, 1),
            "That is the picture in [0, 1]. Normalise it again before you return it: the "
            "network wants normalised values.": (image * std + mean).clamp(0, 1),
            "Black and white are (0 − mean) / std and (1 − mean) / std; you left out the "
            "division by std.": image.clamp(-mean, 1 - mean),
            "Black and white are (0 − mean) / std and (1 − mean) / std; you multiply by "
            "std.": image.clamp(-mean * std, (1 - mean) * std),
            "Every colour has limits of its own; yours are the same for all three.": (
                image.clamp(black.mean().item(), white.mean().item())
            ),
            "Only black is held; bright values may still be whiter than white.": (
                image.maximum(black)
            ),
            "Only white is held; dark values may still be blacker than black.": (
                image.minimum(white)
            ),
        },
        "The values are not right: each should be held between (0 − mean) / std and "
        "(1 − mean) / std of its colour.",
    )
    return "No pixel is blacker than black or whiter than white, in any colour."


# -- exercise 3 ------------------------------------------------------------------------


@exercise("Exercise 3")
def jittered_step(answer) -> str:
    """Check `answer(network, image, target, rate, shift)`: a step under a shift, undone."""
    network = tiny_network()
    for seed, shift in enumerate(((0, 0), (2, 0), (1, -3))):
        image = tiny_image(seed)
        given = image.clone()
        result = call(lambda: answer(network, given, CLASS, RATE, shift))  # noqa: B023
        if not torch.equal(given.detach(), image):
            raise Wrong("Your step changes the caller's picture; work on a copy.")
        _compare_jittered(_checked_image(result, network), network, image, shift)
    return "The network sees the shifted picture; the step lands where it belongs."


def _compare_jittered(result: Tensor, network, image: Tensor, shift: tuple) -> None:
    def rolled(values, sign=1, axes=(2, 3)):
        return values.roll([sign * s for s in shift], axes)

    g = slope(network, rolled(image))
    mistakes = {}
    if any(shift):
        mistakes = {
            "The jitter is not undone: your picture comes back shifted. Shift it back by "
            "the same amount.": rolled(image) + RATE * g,
            "The gradient belongs to the shifted picture, and you add it to the picture "
            "that is not: shift the gradient back first.": image + RATE * g,
            "The gradient is shifted forward a second time instead of back.": (
                image + RATE * rolled(g)
            ),
            "The network never sees the shift: take the gradient at the shifted picture.": (
                image + RATE * slope(network, image)
            ),
            "The picture is shifted the wrong way: down by shift[0] and right by "
            "shift[1].": image + RATE * rolled(slope(network, rolled(image, -1))),
            "The axes are exchanged: shift[0] goes down (axis 2), shift[1] right (axis "
            "3).": image
            + RATE * rolled(slope(network, rolled(image, 1, (3, 2))), -1, (3, 2)),
        }
    mistakes["That is downhill: add rate times the gradient."] = image - RATE * rolled(
        g, -1
    )
    softmax = slope(network, rolled(image), lambda scores: scores.softmax(1)[0, CLASS])
    mistakes["That climbs the softmax probability; climb the score."] = (
        image + RATE * rolled(softmax, -1)
    )
    compare(
        result,
        image + RATE * rolled(g, -1),
        mistakes,
        "The values are not right: shift the picture, take the gradient there, shift the "
        "gradient back, add it.",
    )
