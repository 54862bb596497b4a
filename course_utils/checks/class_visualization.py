"""Checks of lesson 04: a step uphill, the valid range of pixels, jitter and back."""

import torch
from torch import Tensor, nn

from ..gradients import input_gradient
from ..images import IMAGENET_MEAN, IMAGENET_STD
from .base import (
    Wrong,
    call,
    check_tensor,
    compare,
    compare_tensor,
    each_argument,
    exercise,
)
from .toys import noise, other_classes, tiny_network, wrong_goals


def _without_gradients(network: nn.Module, *_rest) -> None:
    if any(weight.grad is not None for weight in network.parameters()):
        raise Wrong("It leaves gradients on the network's weights: use autograd.grad.")


def _stepped(answer, network: nn.Module, image: Tensor, *rest) -> Tensor:
    """The picture after the learner's step, which should leave all else unchanged."""
    result = call(answer, network, image, *rest, intact=True, after=_without_gradients)
    if isinstance(result, Tensor) and result.requires_grad:
        raise Wrong("Your picture is still attached to the graph: return its detach().")
    return check_tensor(result, tuple(image.shape))


@exercise("Exercise 1")
def ascent_step(answer) -> str:
    """Check `answer(network, image, target, rate, l2)`: one step uphill in S − λ‖I‖²."""
    cases = ((2, 0.5, 0.0), (2, 0.5, 2.0), (4, 0.2, 0.5))
    for seed, (target, rate, l2) in enumerate(cases):
        network, image = tiny_network(seed), noise(1, 3, 8, 8 + seed, seed=seed)
        case = {"network": network, "image": image}
        case |= {"target": target, "rate": rate, "l2": l2}
        slope = input_gradient(network, image, target) - 2 * l2 * image
        otherwise = "The shape is right, the values are not: climb score − l2 · ‖I‖²."
        with each_argument(answer, case, target=0, rate=0.1, l2=1.0):
            result = _stepped(answer, *case.values())
            compare(result, image + rate * slope, _step_mistakes(**case), otherwise)
    return "Uphill in the score, held back by the penalty on the picture."


def _step_mistakes(network, image: Tensor, target, rate, l2) -> dict[str, Tensor]:
    def slope(goal) -> Tensor:
        return input_gradient(network, image, goal)

    g, pull, of_length = slope(target), 2 * l2 * image, l2 * image / image.norm()
    steps = wrong_goals(torch.tensor([target]), lambda goal: slope(goal) - pull) | {
        "That is downhill: to climb, add rate times the gradient.": pull - g,
        "The penalty is on the scores. λ‖I‖² is about the values of the picture: "
        "image.square().sum().": slope(lambda s: s[:, target] - l2 * s.square().sum(1)),
        "The penalty has the wrong sign, and pushes away from grey: subtract it.": g + pull,
        "The penalty is missing.": g,
        "The penalty is half as strong as it should be; λ‖I‖² has slope 2λI.": g - pull / 2,
        "The penalty is a mean; ‖I‖² is a sum over all values.": g - pull / image.numel(),
        "That penalises the length ‖I‖; the formula has its square.": g - of_length,
        "`rate` is missing: that is the whole slope.": (g - pull) / rate,
    }
    steps |= other_classes(network, image, target, lambda c: slope(c) - pull)
    results = {sentence: image + rate * step for sentence, step in steps.items()}
    slopes = {"That is the slope alone: add it to the image, times rate.": g - pull}
    return results | slopes | {"The image is missing: add it.": rate * (g - pull)}


@exercise("Exercise 2")
def clamp_to_valid(answer) -> str:
    """Check `answer(image, mean, std)`: normalised values held between black and white."""
    statistics = (
        ((8, 8), (0.5, 0.3, 0.4), (0.2, 0.25, 0.3)),
        ((7, 10), (0.2, 0.6, 0.45), (0.3, 0.15, 0.25)),
    )
    for seed, (size, mean, std) in enumerate(statistics):
        case = {"image": 4 * noise(1, 3, *size, seed=seed), "mean": mean, "std": std}
        right, mistakes = _clamped(**case)
        otherwise = f"{LIMITS} of each colour: clamp each between them."
        with each_argument(answer, case, mean=(0.4, 0.4, 0.5), std=(0.25, 0.2, 0.15)):
            result = call(answer, *case.values(), intact=True)
            compare_tensor(result, right, mistakes, otherwise)
    return "No pixel is blacker than black or whiter than white, in any colour."


LIMITS = "Black and white are (0 − mean) / std and (1 − mean) / std"


def _clamped(image: Tensor, mean, std) -> tuple[Tensor, dict[str, Tensor]]:
    """The right picture, and sentence → a wrong one."""
    mean, std, usual_mean, usual_std = (
        torch.tensor(values).view(1, 3, 1, 1)
        for values in (mean, std, IMAGENET_MEAN, IMAGENET_STD)
    )
    black, white, shares = (0 - mean) / std, (1 - mean) / std, image * std + mean
    same = image.clamp(black.mean(), white.mean())
    usual = image.clamp((0 - usual_mean) / usual_std, (1 - usual_mean) / usual_std)
    return image.clamp(black, white), {
        "That clamps to [0, 1], the range before normalisation.": image.clamp(0, 1),
        "That clamps to [-1, 1]; each colour has its own limits.": image.clamp(-1, 1),
        "That is in [0, 1]. Normalise it again before you return it.": shares.clamp(0, 1),
        f"{LIMITS}; you left out the division by std.": image.clamp(-mean, 1 - mean),
        f"{LIMITS}; you multiply by std.": image.clamp(-mean * std, (1 - mean) * std),
        "Each colour has its own limits; yours are the same for all three.": same,
        "Only black is a limit; values may still be above white.": image.maximum(black),
        "Only white is a limit; values may still be below black.": image.minimum(white),
        "Those are ImageNet's mean and std; use the arguments `mean` and `std`.": usual,
        "That is the picture as it came.": image,
    }


@exercise("Exercise 3")
def jittered_step(answer) -> str:
    """Check `answer(network, image, target, rate, shift)`: a step under a shift, undone."""
    cases = ((2, 0.5, (0, 0)), (2, 0.5, (2, 0)), (4, 0.2, (1, -3)), (1, 0.3, (-2, 1)))
    for seed, (target, rate, shift) in enumerate(cases):
        network, image = tiny_network(seed), noise(1, 3, 8, 8 + seed, seed=seed)
        case = {"network": network, "image": image}
        case |= {"target": target, "rate": rate, "shift": shift}
        otherwise = "Shift the picture, take the gradient there, shift it back, add it."
        with each_argument(answer, case, target=0, rate=0.1, shift=(3, 2)):
            result = _stepped(answer, *case.values())
            compare(result, *_jittered(**case), otherwise)
    return "The network sees the shifted picture; the step lands where it belongs."


def _jittered(network, image: Tensor, target, rate, shift) -> tuple[Tensor, dict]:
    """The right picture, and sentence → a wrong one; without a shift most are right."""
    back, none, moved = tuple(-n for n in shift), (0, 0), image.roll(shift, (2, 3))

    def step(forth=shift, back=back, axes=(2, 3), goal=target, by=rate):
        g = input_gradient(network, image.roll(forth, axes), goal)
        return image + by * g.roll(back, axes)

    return step(), {
        "The jitter is not undone: shift it back.": step(back=none) - image + moved,
        "The gradient is that of the shifted picture: shift it back.": step(back=none),
        "The gradient is shifted forward a second time instead of back.": step(back=shift),
        "The network never sees the shift: shift the picture first.": step(none, none),
        "That is the wrong direction: shift[0] down, shift[1] right.": step(back, shift),
        "The axes are swapped: shift[0] is for axis 2, not 3.": step(axes=(3, 2)),
        "That is downhill: add rate times the gradient.": step(by=-rate),
        "`rate` is missing: that is the whole slope.": step(by=1),
        "That climbs the softmax probability; climb the score.": step(
            goal=lambda scores: scores.softmax(1)[:, target]
        ),
        "That is the picture as it came.": image,
    } | other_classes(network, image, target, lambda c: step(goal=c))
