"""Checks of lesson 01: a centre-surround map, finite differences, slopes of a softmax."""

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from .base import Wrong, call, check_tensor, compare, exercise

# -- exercise 1 ------------------------------------------------------------------------


@exercise("Exercise 1")
def contrast(answer) -> str:
    """Check `answer(plane, centre, surround)`: |fine blur − coarse blur| of (H, W)."""
    for shape, centre, surround in (((20, 28), 1.0, 4.0), ((24, 24), 2.0, 5.0)):
        plane = np.random.default_rng(shape[1]).uniform(0.2, 1.0, shape)
        result = call(answer, plane.copy(), centre, surround)
        if isinstance(result, np.ndarray):
            result = torch.from_numpy(np.array(result, dtype=float))
        fine, coarse = (gaussian_filter(plane, s) for s in (centre, surround))
        mistakes = {
            "The sign is still there: a dark place on a bright ground stands out as much "
            "as a bright one on a dark ground. Take abs().": fine - coarse,
            "The sign is still there, and centre and surround are exchanged. Take abs() "
            "of the difference.": coarse - fine,
            "You square the difference; the absolute value is wanted.": (fine - coarse)
            ** 2,
            "The centre is not blurred: gaussian_filter(plane, centre) is the fine blur.": (
                abs(plane - coarse)
            ),
            "The surround is missing: the picture minus its fine blur. Blur twice, with "
            "`centre` and with `surround`.": abs(plane - fine),
            "The coarse blur is a blur of the fine one; blur the picture itself both "
            "times.": abs(fine - gaussian_filter(fine, surround)),
            "The widths are subtracted, and one blur is left; subtract two blurs.": (
                gaussian_filter(plane, surround - centre)
            ),
        }
        compare(
            check_tensor(result, shape),
            torch.from_numpy(abs(fine - coarse)),
            {sentence: torch.from_numpy(wrong) for sentence, wrong in mistakes.items()},
            "The shape is right, the values are not: subtract two blurs of the plane, "
            "then take abs().",
        )
    return "Centre against surround, and a dark item counts as much as a bright one."


# -- exercise 2 ------------------------------------------------------------------------


def bumpy_score(image: Tensor) -> Tensor:
    """A smooth score of (3, 4, 5) that depends on every value, also on pairs of them."""
    weights = torch.linspace(-1, 1, image.numel(), dtype=image.dtype).view_as(image)
    return (weights * image).sum() + (image**3).sum() + (weights * image).sum() ** 2


@exercise("Exercise 2")
def numerical_gradient(answer) -> str:
    """Check `answer(score, image, step)`: the gradient (C, H, W) by central differences."""
    random = torch.Generator().manual_seed(1)
    image = torch.rand(3, 4, 5, generator=random, dtype=torch.float64) + 0.5
    before = image.clone()
    for step in (0.1, 0.02):
        result = call(answer, bumpy_score, image, step)
        if tuple(getattr(result, "shape", ())) in {(4, 5), (1, 4, 5)}:
            raise Wrong("Every colour has a slope of its own: go through all of (3, H, W).")
        compare(
            check_tensor(result, (3, 4, 5)),
            _central(image, step),
            _wrong_differences(image, step),
            "The shape is right, the values are not: per value, "
            "(score(+step) − score(−step)) / (2 · step), all other values as they were.",
        )
    answer(bumpy_score, image, 0.1)
    if not torch.equal(image, before):
        raise Wrong(
            "Your function changes the caller's image: work on image.clone(), or add and "
            "take away the step on a copy."
        )
    return "It needs no graph and no backward(): any score can be checked with it."


def _probe(image: Tensor, step: float, formula) -> Tensor:
    """`formula(up, down, here)` of the scores at every value of `image`."""
    slopes = torch.zeros_like(image)
    here = bumpy_score(image)
    for place in np.ndindex(*image.shape):
        up, down = image.clone(), image.clone()
        up[place] += step
        down[place] -= step
        slopes[place] = formula(bumpy_score(up), bumpy_score(down), here)
    return slopes


def _central(image: Tensor, step: float) -> Tensor:
    return _probe(image, step, lambda up, down, here: (up - down) / (2 * step))


def _wrong_differences(image: Tensor, step: float) -> dict[str, Tensor]:
    return {
        "Twice too large: the two pictures lie 2 · step apart.": 2 * _central(image, step),
        "Not divided by the distance: a slope is a difference of scores over 2 · step.": (
            2 * step * _central(image, step)
        ),
        "That is the forward difference, (score(+step) − score) / step; its error falls "
        "with the step only, the central one's with its square.": _probe(
            image, step, lambda up, down, here: (up - here) / step
        ),
        "That is the backward difference, (score − score(−step)) / step; take one step "
        "to each side.": _probe(image, step, lambda up, down, here: (here - down) / step),
        "The sign is turned round: score(+step) minus score(−step).": (
            -_central(image, step)
        ),
        "You take the absolute value; the gradient has a sign.": (
            _central(image, step).abs()
        ),
        "Steps pile up: each value has to be put back before the next one is changed.": (
            _piled_up(image, step)
        ),
    }


def _piled_up(image: Tensor, step: float) -> Tensor:
    """What comes out when no value is ever put back."""
    up, down, slopes = image.clone(), image.clone(), torch.zeros_like(image)
    for place in np.ndindex(*image.shape):
        up[place] += step
        down[place] -= step
        slopes[place] = (bumpy_score(up) - bumpy_score(down)) / (2 * step)
    return slopes


# -- exercise 3 ------------------------------------------------------------------------


@exercise("Exercise 3")
def probability_slopes(answer) -> str:
    """Check `answer(slopes, scores, target)`: the slopes (H, W) of one probability.

    `slopes` are those of all scores, (K, H, W); `scores` are (K,).
    """
    for count, target in ((4, 2), (6, 0)):
        random = torch.Generator().manual_seed(count)
        slopes = torch.randn(count, 5, 7, generator=random)
        scores = 1.5 * torch.randn(count, generator=random)
        result = call(answer, slopes, scores, target)
        if tuple(getattr(result, "shape", ())) == (count, 5, 7):
            raise Wrong("One class is asked for: pick `target`, the result is (H, W).")
        p = scores.softmax(0)
        own, mean = slopes[target], torch.tensordot(p, slopes, dims=1)
        others = mean - p[target] * own
        compare(
            check_tensor(result, (5, 7)),
            p[target] * (own - mean),
            {
                "Those are the slopes of the score; the probability moves with every "
                "score.": own,
                "You scale the slopes of the class's own score by p; the other classes "
                "pull too.": p[target] * own,
                "You have p (1 − p) times the class's own slopes: right for its own "
                "score, but the other scores depend on the pixels as well.": (
                    p[target] * (1 - p[target]) * own
                ),
                "That is the slope of log p; times p it is the one of p.": own - mean,
                "The other classes enter with the wrong sign: they are subtracted.": (
                    p[target] * (own + mean)
                ),
                "The mean over the classes wants their probabilities as weights, not 1 / C "
                "each.": p[target] * (own - slopes.mean(dim=0)),
                "The sum runs over the other classes only; k = c belongs to it.": (
                    p[target] * (own - others)
                ),
                "The sign is gone: a slope of −0.18 stays −0.18.": (
                    (p[target] * (own - mean)).abs()
                ),
                "The sum over the classes is not weighted by their probabilities.": (
                    p[target] * (own - slopes.sum(dim=0))
                ),
            },
            "The shape is right, the values are not: p_c (g_c − Σ p_k g_k).",
        )
    return "Now you can say class by class what the softmax mixes in."
