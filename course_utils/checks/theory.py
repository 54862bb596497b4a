"""Checks of lesson 01, finite differences and slopes of a softmax, and its claim check.

And of `deeper/attention_by_hand`: a centre-surround map.
"""

from functools import cache

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from ..attention import centre_surround
from ..figures import smooth
from ..gradients import input_gradient
from ..images import fit_image, preprocess
from ..models import class_name, load_model
from ..samples import load_samples
from .base import as_tensor, call, compare_tensor, each_argument, exercise
from .claims import Claim, Test
from .toys import noise


@exercise("Exercise 1")
def contrast(answer) -> str:
    """Check `answer(plane, centre, surround)`: |fine blur − coarse blur| of (H, W)."""
    for shape, centre, surround in (((20, 28), 1.0, 4.0), ((24, 21), 2.0, 5.0)):
        plane = np.random.default_rng(shape[1]).uniform(0.2, 1.0, shape)
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
            "You keep what is positive; a dark spot counts too. Take abs().": np.clip(
                fine - coarse, 0, None
            ),
        }
        otherwise = "The values are not right: subtract two blurs of the plane, take abs()."
        case = {"plane": plane, "centre": centre, "surround": surround}
        with each_argument(answer, case, centre=1.5, surround=7.0):
            result = as_tensor(call(answer, *case.values()))
            compare_tensor(result, abs(fine - coarse), mistakes, otherwise)
    return "Centre against surround, and a dark item counts as much as a bright one."


def bumpy_score(image: Tensor) -> Tensor:
    """A smooth score of an image that depends on every value, also on pairs of them."""
    weights = torch.linspace(-1, 1, image.numel(), dtype=image.dtype).view_as(image)
    return (weights * image).sum() + (image**3).sum() + (weights * image).sum() ** 2


def wavy_score(image: Tensor) -> Tensor:
    """Another one."""
    return (3 * image).sin().sum() + image.square().sum() ** 2


@exercise("Exercise 1")
def numerical_gradient(answer) -> str:
    """Check `answer(score, image, step)`: the gradient (C, H, W) by central differences."""
    sizes = ((3, 4, 5), bumpy_score, 0.1), ((3, 4, 5), wavy_score, 0.02)
    for size, score, step in (*sizes, ((1, 6, 2), bumpy_score, 0.3)):
        case = {"score": score, "image": noise(*size, seed=1).double(), "step": step}
        right, mistakes = _differences(**case)
        colours = "Each colour has a slope of its own: go through all of (3, H, W)."
        shapes = {
            (): "You move all values at once: change one at a time, each in fresh copies.",
            (right.numel(),): "The slopes are a flat list; give them the image's shape.",
            **dict.fromkeys([size[1:], (1, *size[1:])], colours),
        }
        otherwise = "The shape is right, not (score(+step) − score(−step)) / (2 · step)."
        other = wavy_score if score is bumpy_score else bumpy_score
        with each_argument(answer, case, step=0.5, score=other):
            result = as_tensor(call(answer, *case.values(), intact=True))
            compare_tensor(result, right, mistakes, otherwise, shapes)
    return "It needs no graph and no backward(): you can check any score with it."


def _differences(score, image: Tensor, step: float) -> tuple[Tensor, dict[str, Tensor]]:
    """The right gradient, and sentence → a wrong one."""
    one = torch.eye(image.numel(), dtype=image.dtype).view(-1, *image.shape)
    put = image * (1 - one)  # zero at the value that is moved
    pictures = [image + step * one, image - step * one, put + step * one, put - step * one]
    pictures += [image + step * one.cumsum(0), image - step * one.cumsum(0)]
    up, down, put_up, put_down, high, low = (
        torch.stack([score(picture) for picture in each]).view_as(image)
        for each in pictures
    )
    middle = score(image)
    pixels = image.clone().requires_grad_()
    (exact,) = torch.autograd.grad(score(pixels), pixels)
    right = (up - down) / (2 * step)
    return right, {
        "Twice too large: the two pictures are 2 · step apart.": 2 * right,
        "Not divided by the distance of the pictures, 2 · step.": up - down,
        "`/ 2 * step` divides by 2 and multiplies by step; use brackets, / (2 * step).": (
            up - down
        )
        / 2
        * step,
        "Halved only: divide by the distance of the pictures, 2 · step.": (up - down) / 2,
        "That is the forward difference: its error falls only with the step.": (up - middle)
        / step,
        "That is the backward difference; take one step to each side.": (middle - down)
        / step,
        "The sign is flipped: take score(+step) minus score(−step).": -right,
        "You take the absolute value; the gradient has a sign.": right.abs(),
        "Steps pile up: put each value back before you change the next one.": (high - low)
        / (2 * step),
        "All differences are zero. If up and down are one and the same tensor, each step "
        "is undone: take image.clone() for each.": torch.zeros_like(image),
        "You set the value to ±step; add the step to it, += and -=.": (put_up - put_down)
        / (2 * step),
        "That is the exact gradient, from backward(); take differences.": exact,
    }


@exercise("Exercise 2")
def probability_slopes(answer) -> str:
    """Check `answer(slopes, scores, target)`: from (K, H, W) to a probability's (H, W)."""
    for count, target, size in ((4, 2, (5, 7)), (6, 0, (5, 7)), (3, 1, (6, 3))):
        slopes, scores = noise(count, *size, seed=count), 1.5 * noise(count, seed=count + 1)
        case = {"slopes": slopes, "scores": scores, "target": target}
        right, mistakes = _probability_slopes(**case)
        shapes = {
            (count, *size): "One class is enough: pick `target`; it is (H, W).",
            (count,): "You add up over the pixels too: sum over the classes alone, sum(0).",
        }
        otherwise = "The shape is right, the values are not: p_c (g_c − Σ p_k g_k)."
        others = {"target": count - 1, "scores": scores.flip(0), "slopes": slopes.flip(0)}
        with each_argument(answer, case, **others):
            result = as_tensor(call(answer, *case.values()))
            compare_tensor(result, right, mistakes, otherwise, shapes)
    return "Now you can say class by class what the softmax mixes in."


def _probability_slopes(slopes, scores, target) -> tuple[Tensor, dict[str, Tensor]]:
    """The right slopes, and sentence → wrong ones."""
    p = scores.softmax(0)
    own, mean, p_own = slopes[target], torch.tensordot(p, slopes, dims=1), p[target]
    by_scores = torch.tensordot(scores, slopes, dims=1)
    right, scaled = p_own * (own - mean), p_own * own
    return right, {
        "Those are slopes of the score; the probability changes with every score.": own,
        "That is p times its own slopes; other classes have an effect too.": scaled,
        "p (1 − p) is for its own score; the others change too.": (1 - p_own) * scaled,
        "That is the slope of log p; multiply it by p.": own - mean,
        "The other classes have the wrong sign: subtract them.": p_own * (own + mean),
        "Every class counts the same in your mean: weigh it by its p, not by 1 / K.": p_own
        * (own - slopes.mean(0)),
        "Your sum leaves the target out; it belongs to it.": right + p_own * scaled,
        "The bracket is missing: p_c multiplies the sum over the classes, too.": scaled
        - mean,
        "You divide the weighted sum by K: add up over the classes, sum(0).": p_own
        * (own - mean / len(p)),
        "The sign is gone: a slope of −0.18 stays −0.18.": right.abs(),
        "Your sum is not weighted by probabilities.": p_own * (own - slopes.sum(0)),
        "The weights are the scores: softmax first.": scores[target] * (own - by_scores),
        "Your sum is weighted by the scores: softmax first.": p_own * (own - by_scores),
        "That is the mean slope; the target's own, minus this, times p.": mean,
        "You add up over the pixels too: sum over the classes alone, sum(0).": p_own
        * (own - mean.sum()),
    }


# -- the claim check of lesson 01 ------------------------------------------------------

GREY_LEVEL = 1 / (0.226 * 255)  # of a normalised value; 0.226: the colours' mean std


class _Photographs:
    """Photographs with their gradients, and where the map of each is darkest."""

    def __init__(self, names=None):
        samples = load_samples(names=names)
        self.model, self.labels = load_model(), samples.labels
        self.photo, self.images = samples.images[0], preprocess(samples.images)
        self.slopes = input_gradient(self.model, self.images, self.labels)
        self.maps = [smooth(m) for m in self.slopes.abs().amax(1)]
        self.dark = torch.stack([_darkest_quarter(m) for m in self.maps])

    def scores(self, images: Tensor) -> tuple[Tensor, list[int]]:
        """The scores of the pictures' own classes, and the top classes."""
        with torch.no_grad():
            scores = self.model(images)
        own = scores.gather(1, self.labels[:, None])[:, 0]
        return own, scores.argmax(1).tolist()

    def painted(self) -> Tensor:
        """The pictures with their darkest quarter in the mean colour."""
        return self.images * ~self.dark[:, None]


_photographs = cache(_Photographs)


def _darkest_quarter(values: np.ndarray) -> Tensor:
    return torch.from_numpy(values <= np.quantile(values, 0.25))


def _smoothed_more() -> str:
    ball = _photographs("baseball")
    again = _darkest_quarter(smooth(ball.slopes[0].abs().amax(0), 10))
    stays = (again & ball.dark[0]).sum() / ball.dark[0].sum()
    return f"with 10 pixels in place of 3, {stays:.0%} of the quarter is dark again."


def _moved_a_little() -> str:
    ball = _photographs("baseball")
    move = 0.01 * GREY_LEVEL * ball.slopes.sign() * ball.dark[:, None]
    promised = (move * ball.slopes).sum().item()
    found = (ball.scores(ball.images + move)[0] - ball.scores(ball.images)[0]).item()
    return (
        f"with all moved uphill, the score rises by {found:.3f}; the map promises "
        f"{promised:.3f}."
    )


def _contrast_there() -> str:
    ball = _photographs("baseball")
    contrast, dark = centre_surround(fit_image(ball.photo, 224)), ball.dark[0].numpy()
    inside, outside = contrast[dark].mean(), contrast[~dark].mean()
    return f"the mean contrast is {inside:.2f} in the quarter and {outside:.2f} elsewhere."


def _painted_over() -> str:
    ball, every = _photographs("baseball"), _photographs()
    (before, _), (after, top) = ball.scores(ball.images), ball.scores(ball.painted())
    start, was = every.scores(every.images)
    end, now = every.scores(every.painted())
    changed = sum(a != b for a, b in zip(was, now, strict=True))
    return (
        f"the score of baseball falls from {before.item():.0f} to {after.item():.0f}, and "
        f"the network says {class_name(top[0])}. Over all 26 photographs the same costs "
        f"{(start - end).median():.1f} points (the median), and {changed} answers change."
    )


claim = Claim(
    "The darkest quarter of this map means nothing to the network: paint it over, and the "
    "answer stays.",
    {
        "A": Test(
            _smoothed_more,
            "That tests how the map is drawn. The network was not asked anything.",
        ),
        "B": Test(
            _moved_a_little,
            "That tests the gradient, and it is right: for tiny changes. A quarter that "
            "matters when it is painted over would give the same.",
        ),
        "C": Test(
            _contrast_there,
            "The contrast map knows no network, so it cannot say what one uses.",
        ),
        "D": Test(
            _painted_over,
            "That refutes it: a small slope promises nothing about a large change. (Paint "
            "has edges of its own; lesson 06 deals with them.)",
            could_refute=True,
        ),
    },
)
