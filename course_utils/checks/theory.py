"""Checks of lesson 01: a centre-surround map, finite differences, slopes of a softmax."""

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from .base import call, compare_tensor, exercise, read
from .toys import noise


@exercise("Exercise 1")
def contrast(answer) -> str:
    """Check `answer(plane, centre, surround)`: |fine blur − coarse blur| of (H, W)."""
    for shape, centre, surround in (((20, 28), 1.0, 4.0), ((24, 24), 2.0, 5.0)):
        plane = np.random.default_rng(shape[1]).uniform(0.2, 1.0, shape)
        result = call(answer, plane, centre, surround)
        if isinstance(result, np.ndarray):
            result = read(result, lambda a: torch.from_numpy(a.astype(float)), "numbers")
        fine, coarse = (gaussian_filter(plane, sigma) for sigma in (centre, surround))
        mistakes = {
            "The sign is still there: a dark spot counts too. Take abs().": fine - coarse,
            "The sign is still there; centre and surround are swapped.": coarse - fine,
            "You square the difference; take its absolute value.": (fine - coarse) ** 2,
            "The centre is not blurred: blur it by `centre`.": abs(plane - coarse),
            "The surround is missing: blur again, by `surround`.": abs(plane - fine),
            "The coarse blur is a blur of the fine one; blur the picture itself both "
            "times.": abs(fine - gaussian_filter(fine, surround)),
            "You subtract the widths, which leaves one blur; subtract two "
            "blurs.": gaussian_filter(plane, surround - centre),
        }
        otherwise = "The values are not right: subtract two blurs of the plane, take abs()."
        compare_tensor(result, abs(fine - coarse), mistakes, otherwise)
    return "Centre against surround, and a dark item counts as much as a bright one."


def bumpy_score(image: Tensor) -> Tensor:
    """A smooth score of (3, 4, 5) that depends on every value, also on pairs of them."""
    weights = torch.linspace(-1, 1, image.numel(), dtype=image.dtype).view_as(image)
    return (weights * image).sum() + (image**3).sum() + (weights * image).sum() ** 2


@exercise("Exercise 2")
def numerical_gradient(answer) -> str:
    """Check `answer(score, image, step)`: the gradient (C, H, W) by central differences."""
    image = noise(3, 4, 5, seed=1).double()
    one = "Each colour has a slope of its own: go through all of (3, H, W)."
    for step in (0.1, 0.02):
        result = call(answer, bumpy_score, image, step, intact=True)
        steps = step * torch.eye(image.numel(), dtype=image.dtype).view(-1, 3, 4, 5)
        steps = steps, -steps, steps.cumsum(0), -steps.cumsum(0)  # last two: not put back
        scores, middle = torch.vmap(bumpy_score), bumpy_score(image)
        up, down, high, low = (scores(image + s).view_as(image) for s in steps)
        right, piled = (up - down) / (2 * step), (high - low) / (2 * step)
        forward, backward = (up - middle) / step, (middle - down) / step
        mistakes = {
            "Twice too large: the two pictures are 2 · step apart.": 2 * right,
            "Not divided by the distance of the pictures, 2 · step.": up - down,
            "That is the forward difference: its error falls only with the step.": forward,
            "That is the backward difference; take one step to each side.": backward,
            "The sign is flipped: take score(+step) minus score(−step).": -right,
            "You take the absolute value; the gradient has a sign.": right.abs(),
            "Steps pile up: put each value back before you change the next one.": piled,
        }
        otherwise = "The shape is right, not (score(+step) − score(−step)) / (2 · step)."
        shapes = dict.fromkeys([(4, 5), (1, 4, 5)], one)
        compare_tensor(result, right, mistakes, otherwise, shapes)
    return "It needs no graph and no backward(): you can check any score with it."


@exercise("Exercise 3")
def probability_slopes(answer) -> str:
    """Check `answer(slopes, scores, target)`: from (K, H, W) to a probability's (H, W)."""
    for count, target in ((4, 2), (6, 0)):
        slopes, scores = noise(count, 5, 7, seed=count), 1.5 * noise(count, seed=count + 1)
        p = scores.softmax(0)
        own, mean, p_own = slopes[target], torch.tensordot(p, slopes, dims=1), p[target]
        right, scaled = p_own * (own - mean), p_own * own
        mistakes = {
            "Those are slopes of the score; the probability changes with every score.": own,
            "That is p times its own slopes; other classes have an effect too.": scaled,
            "p (1 − p) is for its own score; the others change too.": (1 - p_own) * scaled,
            "That is the slope of log p; multiply it by p.": own - mean,
            "The other classes have the wrong sign: subtract them.": p_own * (own + mean),
            "Weigh the classes by their p, not 1 / C.": p_own * (own - slopes.mean(0)),
            "Your sum leaves k = c out; k = c belongs to it.": right + p_own * scaled,
            "The sign is gone: a slope of −0.18 stays −0.18.": right.abs(),
            "Your sum is not weighted by probabilities.": p_own * (own - slopes.sum(0)),
        }
        shapes = {(count, 5, 7): "One class is enough: pick `target`; it is (H, W)."}
        otherwise = "The shape is right, the values are not: p_c (g_c − Σ p_k g_k)."
        result = call(answer, slopes, scores, target)
        compare_tensor(result, right, mistakes, otherwise, shapes)
    return "Now you can say class by class what the softmax mixes in."
