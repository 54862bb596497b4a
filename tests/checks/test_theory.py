"""The checks of lesson 01: right answers pass, mistakes get the sentence that helps."""

import numpy as np
import torch
from exercises import make_right_tests, make_tests
from scipy.ndimage import gaussian_filter

from course_utils.checks import theory as check


def blurred(formula):
    """An answer to exercise 1 from the plane, its fine blur and its coarse one."""
    return lambda plane, c, s: formula(
        plane, gaussian_filter(plane, c), gaussian_filter(plane, s)
    )


WRONG_CONTRASTS = {
    "The sign is still there: a dark": blurred(lambda p, f, c: f - c),
    "centre and surround are swapped": blurred(lambda p, f, c: c - f),
    "You square": blurred(lambda p, f, c: (f - c) ** 2),
    "centre is not blurred": blurred(lambda p, f, c: abs(p - c)),
    "surround is missing": blurred(lambda p, f, c: abs(p - f)),
    "blur of the fine one": lambda p, c, s: abs(
        gaussian_filter(p, c) - gaussian_filter(gaussian_filter(p, c), s)
    ),
    "subtract the widths": lambda p, c, s: gaussian_filter(p, s - c),
    "subtract two blurs": blurred(lambda p, f, c: f * c),
    "Expected a tensor, got 1.0": lambda p, c, s: 1.0,
    "yours is (3, 3)": lambda p, c, s: np.ones((3, 3)),
    "stopped at": lambda p, c, s: gaussian_filter(p, "wide"),
    "keep what is positive": blurred(lambda p, f, c: np.clip(f - c, 0, None)),
    # sloppy
    "`centre` makes no difference": lambda p, c, s: abs(
        gaussian_filter(p, 1.0) - gaussian_filter(p, s)
    ),
    "`surround` makes no difference to your result, which is the same for 5.0 and": (
        lambda p, c, s: abs(gaussian_filter(p, c) - gaussian_filter(p, 4.0))
    ),
}


def differences(formula, values=lambda slopes: slopes):
    """An answer to exercise 2 from the scores above, below and at the image."""

    def answer(score, image, step):
        slopes = torch.zeros_like(image)
        for place in np.ndindex(*image.shape):
            up, down = image.clone(), image.clone()
            up[place] += step
            down[place] -= step
            slopes[place] = formula(score(up), score(down), score(image), step)
        return values(slopes)

    return answer


def central(up, down, here, h):
    return (up - down) / (2 * h)


def piled(score, image, step):
    up, down, slopes = image.clone(), image.clone(), torch.zeros_like(image)
    for place in np.ndindex(*image.shape):
        up[place] += step
        down[place] -= step
        slopes[place] = (score(up) - score(down)) / (2 * step)
    return slopes


def changes_the_image(score, image, step):
    slopes = differences(central)(score, image, step)
    image += 1
    return slopes


def no_copies(score, image, step):
    slopes, own = torch.zeros_like(image), image.clone()
    for place in np.ndindex(*image.shape):
        up = down = own
        up[place] += step
        down[place] -= step
        slopes[place] = (score(up) - score(down)) / (2 * step)
    return slopes


def sets_the_value(score, image, step):
    slopes = torch.zeros_like(image)
    for place in np.ndindex(*image.shape):
        up, down = image.clone(), image.clone()
        up[place], down[place] = step, -step
        slopes[place] = (score(up) - score(down)) / (2 * step)
    return slopes


def exact(score, image, step):
    pixels = image.clone().requires_grad_()
    score(pixels).backward()
    return pixels.grad


def flat(score, image, step):
    slopes = []
    for n in range(image.numel()):
        shift = torch.zeros_like(image)
        shift.view(-1)[n] = step
        slopes.append((score(image + shift) - score(image - shift)).item() / step / 2)
    return torch.tensor(slopes).view_as(image)


WRONG_DIFFERENCES = {
    "Twice too large": differences(lambda u, d, x, h: (u - d) / h),
    "Not divided": differences(lambda u, d, x, h: u - d),
    "forward difference": differences(lambda u, d, x, h: (u - x) / h),
    "backward difference": differences(lambda u, d, x, h: (x - d) / h),
    "sign is flipped": differences(lambda u, d, x, h: (d - u) / (2 * h)),
    "absolute value": differences(central, torch.abs),
    "pile up": piled,
    "Each colour has a slope": differences(central, lambda s: s.amax(0)),
    "the tensor it was given": changes_the_image,
    "The shape is right": differences(lambda u, d, x, h: h * x),
    "divides by 2 and multiplies by step": differences(lambda u, d, x, h: (u - d) / 2 * h),
    "Halved only": differences(lambda u, d, x, h: (u - d) / 2),
    "up and down are one and the same tensor": no_copies,
    "That is the exact gradient": exact,
    "You set the value to ±step": sets_the_value,
    "You move all values at once": lambda score, image, step: (
        (score(image + step) - score(image - step)) / (2 * step)
    ),
    "a flat list": lambda *a: differences(central)(*a).flatten().tolist(),
    "fewer axes than you think": lambda score, image, step: torch.stack(
        [score(image)[:, 0] for _ in image]
    ),
    # sloppy
    "The shape should be (1, 6, 2)": lambda score, image, step: (
        differences(central)(score, image, step)
        if image.shape == (3, 4, 5)
        else torch.zeros(3, 4, 5)
    ),
}


def slopes_by(formula):
    return lambda g, s, c: formula(s.softmax(0), g, c)


def mean_of(p, g):
    return (p[:, None, None] * g).sum(0)


WRONG_SLOPES = {
    "slopes of the score": slopes_by(lambda p, g, c: g[c]),
    "other classes have an effect": slopes_by(lambda p, g, c: p[c] * g[c]),
    "p (1 − p)": slopes_by(lambda p, g, c: p[c] * (1 - p[c]) * g[c]),
    "log p": slopes_by(lambda p, g, c: g[c] - mean_of(p, g)),
    "wrong sign": slopes_by(lambda p, g, c: p[c] * (g[c] + mean_of(p, g))),
    "not by 1 / K": slopes_by(lambda p, g, c: p[c] * (g[c] - g.mean(0))),
    "leaves the target out": slopes_by(
        lambda p, g, c: p[c] * (g[c] - mean_of(p, g) + p[c] * g[c])
    ),
    "The bracket is missing": slopes_by(lambda p, g, c: p[c] * g[c] - mean_of(p, g)),
    "divide the weighted sum by K": slopes_by(
        lambda p, g, c: p[c] * (g[c] - (p[:, None, None] * g).mean(0))
    ),
    "not weighted": slopes_by(lambda p, g, c: p[c] * (g[c] - g.sum(0))),
    "The sign is gone": slopes_by(lambda p, g, c: (p[c] * (g[c] - mean_of(p, g))).abs()),
    "pick `target`": slopes_by(lambda p, g, c: p[:, None, None] * (g - mean_of(p, g))),
    "the values are not": slopes_by(lambda p, g, c: p[c] * g.exp().sum(0) * g[c]),
    "`target` makes no difference": slopes_by(lambda p, g, c: 0 * g[c]),
    "stopped at": slopes_by(lambda p, g, c: p * g),
    "Your sum is weighted by the scores": lambda g, s, c: (
        s.softmax(0)[c] * (g[c] - mean_of(s, g))
    ),
    "The weights are the scores": lambda g, s, c: s[c] * (g[c] - mean_of(s, g)),
    "You add up over the pixels too": slopes_by(
        lambda p, g, c: p[c] * (g[c] - (p[:, None, None] * g).sum())
    ),
    # sloppy
    "`target` makes no difference to your result, which is the same for 0 and for 5": (
        slopes_by(lambda p, g, c: p[2] * (g[2] - mean_of(p, g)))
    ),
    "`scores` makes no difference": lambda g, s, c: g[c] / len(g) - g.mean(0),
}

RIGHT = {
    check.contrast: blurred(lambda p, f, c: abs(f - c)),
    check.numerical_gradient: differences(central),
    check.probability_slopes: slopes_by(lambda p, g, c: p[c] * (g[c] - mean_of(p, g))),
}
RIGHT_TOO = {
    check.contrast: {
        "a list": blurred(lambda p, f, c: np.abs(f - c).tolist()),
        "a tensor of floats": blurred(lambda p, f, c: torch.tensor(f - c).abs().float()),
    },
    check.numerical_gradient: {
        "a loop over a flat copy": flat,
        "an array": lambda *a: differences(central)(*a).numpy(),
    },
    check.probability_slopes: {
        "in double precision": lambda g, s, c: RIGHT[check.probability_slopes](
            g.double(), s.double(), c
        ),
        "einsum, an array": slopes_by(
            lambda p, g, c: (p[c] * (g[c] - torch.einsum("k,khw->hw", p, g))).numpy()
        ),
    },
}
MISTAKES = {
    check.contrast: WRONG_CONTRASTS,
    check.numerical_gradient: WRONG_DIFFERENCES,
    check.probability_slopes: WRONG_SLOPES,
}


(
    test_a_right_answer_passes,
    test_a_stub_is_not_tried_yet,
    test_a_mistake_gets_the_sentence_that_helps,
) = make_tests(RIGHT, MISTAKES)


test_another_right_answer_passes = make_right_tests(RIGHT_TOO)


def test_the_formula_of_exercise_2_is_the_gradient_of_a_softmax():
    pixels = torch.randn(6, requires_grad=True, generator=torch.Generator().manual_seed(0))
    weights = torch.randn(4, 6, generator=torch.Generator().manual_seed(1))
    scores = weights @ pixels
    (slope,) = torch.autograd.grad(scores.softmax(0)[2], pixels)
    answer = RIGHT[check.probability_slopes](weights[..., None], scores.detach(), 2)
    assert torch.allclose(slope, answer[:, 0], atol=1e-6)


def test_the_claim_check_finds_what_the_lesson_says():
    message = check.claim("D").message
    assert "falls from 43 to 17, and the network says airship" in message
    assert "26 photographs the same costs 2.4 points" in message
    assert "3 answers change" in message
    assert "rises by 0.058; the map promises 0.058" in check.claim("B").message
