"""Checks of lesson 04: a step uphill, the valid range of pixels, jitter and back."""

import torch
from torch import Tensor, nn

from ..gradients import input_gradient
from .base import Wrong, call, check_tensor, compare, compare_tensor, exercise
from .toys import noise, tiny_network, wrong_goals

CLASS, RATE = 2, 0.5


def _stepped(answer, network: nn.Module, image: Tensor, *rest) -> Tensor:
    """The picture after the learner's step, which should leave all else unchanged."""
    result = call(answer, network, image, CLASS, RATE, *rest, intact=True)
    if isinstance(result, Tensor) and result.requires_grad:
        raise Wrong("Your picture is still attached to the graph: return its detach().")
    if any(p.grad is not None for p in network.parameters()):
        raise Wrong("It leaves gradients on the network's weights: use autograd.grad.")
    return check_tensor(result, tuple(image.shape))


@exercise("Exercise 1")
def ascent_step(answer) -> str:
    """Check `answer(network, image, target, rate, l2)`: one step uphill in S − λ‖I‖²."""
    network, image = tiny_network(), noise(1, 3, 8, 8)
    for l2 in (0.0, 2.0):
        result = _stepped(answer, network, image, l2)
        right = image + RATE * (input_gradient(network, image, CLASS) - 2 * l2 * image)
        otherwise = "The shape is right, the values are not: climb score − l2 · ‖I‖²."
        compare(result, right, _step_mistakes(network, image, l2), otherwise)
    return "Uphill in the score, held back by the penalty on the picture."


def _step_mistakes(network: nn.Module, image: Tensor, l2: float) -> dict[str, Tensor]:
    def slope(goal) -> Tensor:
        return input_gradient(network, image, goal)

    g, pull, of_length = slope(CLASS), 2 * l2 * image, l2 * image / image.norm()
    steps = wrong_goals(torch.tensor([CLASS]), lambda goal: slope(goal) - pull) | {
        "That is downhill: to climb, add rate times the gradient.": pull - g,
        "The penalty is on the scores. λ‖I‖² is about the values of the picture: "
        "image.square().sum().": slope(lambda s: s[:, CLASS] - l2 * s.square().sum(1)),
        "The penalty has the wrong sign, and pushes away from grey: subtract it.": g + pull,
        "The penalty is missing.": g,
        "The penalty is half as strong as it should be; λ‖I‖² has slope 2λI.": g - pull / 2,
        "The penalty is a mean; ‖I‖² is a sum over all values.": g - pull / image.numel(),
        "That penalises the length ‖I‖; the formula has its square.": g - of_length,
    }
    return {sentence: image + RATE * step for sentence, step in steps.items()}


@exercise("Exercise 2")
def clamp_to_valid(answer) -> str:
    """Check `answer(image, mean, std)`: normalised values held between black and white."""
    image, statistics = 4 * noise(1, 3, 8, 8, seed=1), ((0.5, 0.3, 0.4), (0.2, 0.25, 0.3))
    result = call(answer, image, *statistics, intact=True)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in statistics)
    black, white = (0 - mean) / std, (1 - mean) / std
    same, shares = image.clamp(black.mean(), white.mean()), image * std + mean
    limits = "Black and white are (0 − mean) / std and (1 − mean) / std"
    mistakes = {
        "That clamps to [0, 1], the range before normalisation.": image.clamp(0, 1),
        "That clamps to [-1, 1]; each colour has its own limits.": image.clamp(-1, 1),
        "That is in [0, 1]. Normalise it again before you return it.": shares.clamp(0, 1),
        f"{limits}; you left out the division by std.": image.clamp(-mean, 1 - mean),
        f"{limits}; you multiply by std.": image.clamp(-mean * std, (1 - mean) * std),
        "Each colour has its own limits; yours are the same for all three.": same,
        "Only black is a limit; values may still be above white.": image.maximum(black),
        "Only white is a limit; values may still be below black.": image.minimum(white),
    }
    otherwise = f"{limits} of each colour: clamp each between them."
    compare_tensor(result, image.clamp(black, white), mistakes, otherwise)
    return "No pixel is blacker than black or whiter than white, in any colour."


@exercise("Exercise 3")
def jittered_step(answer) -> str:
    """Check `answer(network, image, target, rate, shift)`: a step under a shift, undone."""
    network = tiny_network()
    for seed, shift in enumerate(((0, 0), (2, 0), (1, -3))):
        image = noise(1, 3, 8, 8, seed=seed)
        result = _stepped(answer, network, image, shift)
        otherwise = "Shift the picture, take the gradient there, shift it back, add it."
        compare(result, *_jittered(network, image, shift), otherwise)
    return "The network sees the shifted picture; the step lands where it belongs."


def _jittered(network, image: Tensor, shift: tuple) -> tuple[Tensor, dict[str, Tensor]]:
    """The right picture, and sentence → a wrong one; without a shift most are right."""
    back, none, moved = tuple(-n for n in shift), (0, 0), image.roll(shift, (2, 3))

    def step(forth=shift, back=back, axes=(2, 3), goal=CLASS, sign=1):
        g = input_gradient(network, image.roll(forth, axes), goal)
        return image + sign * RATE * g.roll(back, axes)

    return step(), {
        "The jitter is not undone: shift it back.": step(back=none) - image + moved,
        "The picture is not shifted: shift the gradient back first.": step(back=none),
        "The gradient is shifted forward a second time instead of back.": step(back=shift),
        "The network never sees the shift: shift the picture first.": step(none, none),
        "That is the wrong direction: shift[0] down, shift[1] right.": step(back, shift),
        "The axes are swapped: shift[0] is for axis 2, not 3.": step(axes=(3, 2)),
        "That is downhill: add rate times the gradient.": step(sign=-1),
        "That climbs the softmax probability; climb the score.": step(
            goal=lambda scores: scores.softmax(1)[:, CLASS]
        ),
    }
