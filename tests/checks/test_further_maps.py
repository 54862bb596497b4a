"""The checks of lesson 08: right answers pass, mistakes get the sentence that helps."""

import pytest
import torch
from exercises import make_tests

from course_utils import input_gradient
from course_utils.checks import further_maps as check


def along(model, start, path, target, steps, offset=0.5):
    points = [start + (k + offset) / steps * path for k in range(steps)]
    return sum(input_gradient(model, point, target) for point in points)


def path(formula):
    """An answer from (sum of gradients, image, baseline, steps)."""

    def answer(model, image, baseline, target, steps):
        total = along(model, baseline, image - baseline, target, steps)
        return formula(total, image, baseline, steps)

    return answer


right_path = path(lambda total, x, b, n: (x - b) * total / n)


def at_points(alphas, weights=lambda n: [1] * (n + 1)):
    """An answer that takes the gradients at other points of the path, over n."""

    def answer(model, image, baseline, target, steps):
        way, total = image - baseline, 0
        for alpha, weight in zip(alphas(steps), weights(steps), strict=False):
            total = total + weight * input_gradient(model, baseline + alpha * way, target)
        return way * total / steps

    return answer


def from_zero(model, image, baseline, target, steps):
    return image * along(model, 0 * image, image, target, steps) / steps


def scaled_image(model, image, baseline, target, steps):
    return (image - baseline) * along(model, 0 * image, image, target, steps) / steps


def at_one_end(end):
    def answer(model, image, baseline, target, steps):
        place = image if end == "image" else baseline
        return (image - baseline) * input_gradient(model, place, target)

    return answer


def cam(formula):
    def answer(channels, gradient):
        return formula(channels, gradient, gradient.mean((2, 3), keepdim=True))

    return answer


right_cam = cam(lambda a, g, w: (w * a).sum(1).relu())


def weightless(model):
    """Set all of a network's weights to zero."""
    for values in (
        *model.parameters(),
        *(vars(model)[n] for n in "wv" if n in vars(model)),
    ):
        values.data.zero_()


WRONG_PATHS = {
    "multiply by image − baseline": path(lambda t, x, b, n: t / n),
    "divide by the number of steps": path(lambda t, x, b, n: (x - b) * t),
    "You multiply by the image; multiply by image − baseline": path(
        lambda t, x, b, n: x * t / n
    ),
    "starts at zero, whatever the baseline": scaled_image,
    "ignores the baseline altogether": from_zero,
    "gradient at the picture itself": at_one_end("image"),
    "gradient at the baseline alone": at_one_end("baseline"),
    "sign is flipped": path(lambda t, x, b, n: (b - x) * t / n),
    "Keep the signs": path(lambda t, x, b, n: ((x - b) * t / n).abs()),
    "the left ends": at_points(lambda n: torch.arange(n) / n),
    "the right ends": at_points(lambda n: torch.arange(1, n + 1) / n),
    "the mean of the steps' two ends": at_points(
        lambda n: torch.arange(n + 1) / n, lambda n: [0.5, *[1] * (n - 1), 0.5]
    ),
    "You add 8 gradients and divide by 7": at_points(lambda n: torch.arange(n + 1) / n),
    "first and last points": at_points(
        lambda n: torch.arange(n + 1) / n, lambda n: [n / (n + 1)] * (n + 1)
    ),
    "Your 7 points include both ends": at_points(lambda n: torch.linspace(0, 1, n)),
    "in the middle of the path alone": at_points(lambda n: [0.5], lambda n: [n]),
    "at both ends alone": at_points(lambda n: [0, 1], lambda n: [n / 2] * 2),
    "yours sums to 0.00": lambda m, x, b, c, n: weightless(m) or right_path(m, x, b, c, n),
    "You take 50 steps whatever": lambda m, x, b, c, n: right_path(m, x, b, c, 50),
    "You take 7 steps whatever": lambda m, x, b, c, n: right_path(m, x, b, c, 7),
    "for the top class, here 1: take `target`": lambda m, x, b, c, n: right_path(
        m, x, b, 1, n
    ),
    "You use class 0 whatever": lambda m, x, b, c, n: right_path(m, x, b, 0, n),
    "Your points lack the baseline": lambda m, x, b, c, n: (
        (x - b) * along(m, 0 * b, x - b, c, n) / n
    ),
    "lead away from the image": lambda m, x, b, c, n: (
        (x - b) * along(m, b, b - x, c, n) / n
    ),
    "Your path begins at the image": lambda m, x, b, c, n: (
        (x - b) * along(m, x, x - b, c, n) / n
    ),
    "multiply each gradient by its point": lambda m, x, b, c, n: (
        sum(
            p * input_gradient(m, p, c)
            for p in (b + (k + 0.5) / n * (x - b) for k in range(n))
        )
        / n
    ),
    "(k + 0.5) / steps, with the brackets": at_points(
        lambda n: [k + 0.5 / n for k in range(n)]
    ),
    "Expected a tensor, got a dict": lambda *a: {"map": right_path(*a)},
    "α = (k + ½) / steps the map sums to": path(lambda t, x, b, n: (x - b) * t / n + 1),
    "The shape should be": path(lambda t, x, b, n: t.sum(1)),
    "Expected a tensor, got 3": lambda *a: 3,
    "stopped": lambda *a: 1 / 0,
}
WRONG_CAMS = {
    "The last step is missing": cam(lambda a, g, w: (w * a).sum(1)),
    "Absolute values show": cam(lambda a, g, w: (w * a).sum(1).abs()),
    "a mean over the channels": cam(
        lambda a, g, w: (g.mean(1, keepdim=True) * a).sum(1).relu()
    ),
    "place by place": cam(lambda a, g, w: (g * a).sum(1).relu()),
    "Cut off after the sum": cam(lambda a, g, w: (w * a).relu().sum(1)),
    "keep the weights' signs": cam(lambda a, g, w: (w.abs() * a).sum(1)),
    "take its mean": cam(lambda a, g, w: (g.sum((2, 3), keepdim=True) * a).sum(1).relu()),
    "you average them": cam(lambda a, g, w: (w * a).mean(1).relu()),
    "without their weights": cam(lambda a, g, w: a.sum(1)),
    "one weight per channel, the weighted sum": cam(lambda a, g, w: (w + a).sum(1)),
    "`gradient` makes no difference": cam(lambda a, g, w: a.amax(1)),
    "`channels` makes no difference": cam(lambda a, g, w: g.sum(1)),
    "sum over axis 1": cam(lambda a, g, w: w * a),
    "the places are axes 2 and 3": lambda a, g: (
        (g.mean((1, 2))[:, None, None] * a).sum(0).relu()
    ),
    "Do not cut off the gradient": cam(
        lambda a, g, w: (g.relu().mean((2, 3), keepdim=True) * a).sum(1)
    ),
    "Channels and gradient are swapped": lambda a, g: right_cam(g, a),
    "divide by the largest": lambda a, g: right_cam(a, g) / right_cam(a, g).max(),
    "Take one weight per channel": cam(lambda a, g, w: (w * a)[:, :4].sum(1).relu()),
    "one weight per channel, the weighted sum, then": lambda a, g: (
        (g.sum((2, 3), keepdim=True) / 15 * a).sum(1).relu()
    ),
    "Expected a tensor, got 'map'": lambda a, g: "map",
}


RIGHT = {check.integrate: right_path, check.weigh_channels: right_cam}
MISTAKES = {check.integrate: WRONG_PATHS, check.weigh_channels: WRONG_CAMS}

(
    test_a_right_answer_passes,
    test_a_stub_is_not_tried_yet,
    test_a_mistake_gets_the_sentence_that_helps,
) = make_tests(RIGHT, MISTAKES)


def one_by_one(model, image, baseline, target, steps):
    """The right map from autograd alone, point by point, in float64."""
    total = torch.zeros_like(image, dtype=torch.float64)
    for alpha in (torch.arange(steps) + 0.5) / steps:
        point = (baseline + alpha * (image - baseline)).requires_grad_()
        total += torch.autograd.grad(model(point)[0, target], point)[0]
    return total / steps * (image - baseline)


def at_once(model, image, baseline, target, steps):
    """The right map from one batch of all points, as an array."""
    alphas = (torch.arange(steps) + 0.5).view(-1, 1, 1, 1) / steps
    points = torch.lerp(baseline.expand(steps, -1, -1, -1), image, alphas)
    mean = input_gradient(model, points, target).mean(0, keepdim=True)
    return ((image - baseline) * mean).numpy()


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [
        (check.integrate, one_by_one),
        (check.integrate, at_once),
        (check.weigh_channels, lambda a, g: right_cam(a, g)[0]),
        (check.weigh_channels, lambda a, g: right_cam(a, g).numpy()),
    ],
)
def test_other_right_answers_pass_too(exercise, answer):
    assert exercise(answer)


def test_who_takes_another_number_of_gradients_hears_how_many():
    verdict = check.integrate(lambda m, x, b, c, n: right_path(m, x, b, c, 11))
    assert "`steps` is 7, and you take 11 gradients" in verdict.message
