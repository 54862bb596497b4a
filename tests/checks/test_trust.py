"""The checks of lesson 09: right answers pass, mistakes get the sentence that helps."""

import numpy as np
import pytest
import torch
from exercises import make_tests

from course_utils import input_gradient
from course_utils.checks import trust as check
from course_utils.images import IMAGENET_MEAN, IMAGENET_STD

BLACK = (-torch.tensor(IMAGENET_MEAN) / torch.tensor(IMAGENET_STD))[:, None]


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


def curve(values=lambda s: s, fill=0.0, keep=False, logit=False, first=0, ascending=False):
    """A deletion curve, with one thing or another done otherwise."""

    def answer(model, image, saliency, target, steps):
        order = values(saliency).flatten().argsort(descending=not ascending)
        scores = []
        for k in range(first, steps + 1):
            chosen = order[: k * order.numel() // steps]
            flat = image.clone().flatten(2)
            hidden = torch.zeros_like(flat) if keep else flat.clone()
            hidden[..., chosen] = flat[..., chosen] if keep else fill
            outputs = model(hidden.view_as(image))
            outputs = outputs if logit else outputs.softmax(1)
            scores.append(outputs[0, target].item())
        return scores

    return answer


def point(rule):
    def answer(saliency, box):
        row, column = divmod(int(saliency.argmax()), saliency.shape[1])
        return rule(row, column, *box)

    return answer


right_point = point(lambda r, c, x0, y0, x1, y1: x0 <= c < x1 and y0 <= r < y1)


def weightless(model):
    """Set all of a network's weights to zero."""
    for values in (
        *model.parameters(),
        *(vars(model)[n] for n in "wv" if n in vars(model)),
    ):
        values.data.zero_()


def by_height(saliency, box):
    row, column = divmod(int(saliency.argmax()), saliency.shape[0])
    return box[0] <= column < box[2] and box[1] <= row < box[3]


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
    "The shape should be": cam(lambda a, g, w: w * a),
    "Take one weight per channel": cam(lambda a, g, w: (w * a)[:, :4].sum(1).relu()),
    "one weight per channel, the weighted sum, then": lambda a, g: (
        (g.sum((2, 3), keepdim=True) / 15 * a).sum(1).relu()
    ),
    "Expected a tensor, got 'map'": lambda a, g: "map",
}


def in_place(model, image, saliency, target, steps):
    """The right curve, and the caller's picture is gone."""
    order, shares = saliency.flatten().argsort(descending=True), []
    for k in range(steps + 1):
        image.flatten(2)[..., order[: k * order.numel() // steps]] = 0
        shares.append(model(image).softmax(dim=1)[0, target].item())
    return shares


WRONG_CURVES = {
    "least important pixels first": curve(ascending=True),
    "use image.clone()": in_place,
    "that is the insertion": curve(keep=True),
    "class scores": curve(logit=True),
    "filled with black": curve(fill=BLACK),
    "sort by absolute values": curve(values=torch.abs),
    "Begin with nothing hidden": curve(first=1),
    "With 2 of 4 parts hidden": curve(fill=3.0),
    "Expected 5 numbers, one per step, got 7": lambda *a: 7,
    "one per step, got ['0.": lambda *a: [str(share) for share in curve()(*a)],
    "You use class 2 whatever `target` is": lambda m, x, s, c, n: curve()(m, x, s, 2, n),
    "That is for the top class": lambda m, x, s, c, n: curve()(
        m, x, s, int(m(x).argmax()), n
    ),
    "changes the network's weights": lambda m, x, s, c, n: (
        weightless(m) or curve()(m, x, s, c, n)
    ),
    "`saliency` makes no difference": lambda m, x, s, c, n: curve()(m, x, x[0, 0], c, n),
    "`steps` is 3: Begin": lambda m, x, s, c, n: curve()(m, x, s, c, 4),
    "`steps` is 4: Begin": lambda m, x, s, c, n: curve()(m, x, s, c, 50),
    "Rows and columns are mixed up": curve(values=lambda s: s.T),
}
WRONG_POINTS = {
    "swapped: x is the column": point(
        lambda r, c, x0, y0, x1, y1: x0 <= r < x1 and y0 <= c < y1
    ),
    "test with <, not with <=": point(
        lambda r, c, x0, y0, x1, y1: x0 <= c <= x1 and y0 <= r <= y1
    ),
    "test with <=, not with <": point(
        lambda r, c, x0, y0, x1, y1: x0 < c < x1 and y0 < r < y1
    ),
    "(x, y, width, height)": point(
        lambda r, c, x0, y0, x1, y1: x0 <= c < x0 + x1 and y0 <= r < y0 + y1
    ),
    "columns only": point(lambda r, c, x0, y0, x1, y1: x0 <= c < x1),
    "Hits and misses": lambda s, box: not right_point(s, box),
    "your function says otherwise": lambda s, box: True,
    "For some maps you return nothing": lambda s, box: right_point(s, box) or None,
    "one fixed box": lambda s, box: right_point(s, (2, 1, 6, 4)),
    "rows only": point(lambda r, c, x0, y0, x1, y1: y0 <= r < y1),
    "the largest absolute value": lambda s, box: right_point(s.abs(), box),
    "the smallest value": lambda s, box: right_point(-s, box),
    "divide by shape[1]": by_height,
    "Expected True or False, got '": lambda s, box: str(right_point(s, box)),
    "Expected True or False, got [": lambda s, box: [right_point(s, box)],
}


RIGHT = {
    check.integrate: right_path,
    check.weigh_channels: right_cam,
    check.delete: curve(),
    check.point: right_point,
}
MISTAKES = {
    check.integrate: WRONG_PATHS,
    check.weigh_channels: WRONG_CAMS,
    check.delete: WRONG_CURVES,
    check.point: WRONG_POINTS,
}

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


def by_rows(saliency, box):
    """In NumPy, which warns of tensors."""
    row, column = np.unravel_index(np.argmax(saliency.numpy()), saliency.shape)
    inside = (box[0] <= column) & (column < box[2]) & (box[1] <= row) & (row < box[3])
    return np.bool_(inside)


def by_cutting_out(saliency, box):
    x0, y0, x1, y1 = box
    return saliency[y0:y1, x0:x1].max() == saliency.max()


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [
        (check.integrate, one_by_one),
        (check.integrate, at_once),
        (check.weigh_channels, lambda a, g: right_cam(a, g)[0]),
        (check.weigh_channels, lambda a, g: right_cam(a, g).numpy()),
        (check.delete, lambda *a: torch.tensor(curve()(*a))),
        (check.delete, lambda *a: (share for share in curve()(*a))),
        (check.delete, lambda *a: np.array(curve()(*a))),
        (check.point, by_rows),
        (check.point, by_cutting_out),
        (check.point, lambda s, box: int(right_point(s, box))),
    ],
)
def test_other_right_answers_pass_too(exercise, answer):
    assert exercise(answer)


def test_who_takes_another_number_of_gradients_hears_how_many():
    verdict = check.integrate(lambda m, x, b, c, n: right_path(m, x, b, c, 11))
    assert "`steps` is 7, and you take 11 gradients" in verdict.message


def test_the_deletion_curve_falls():
    verdict = check.delete(curve())
    assert "falls from 0.92 to 0.01" in verdict.message


def test_numpy_on_a_tensor_warns_of_nothing(recwarn):
    def unravelled(saliency, box):
        row, column = np.unravel_index(np.argmax(saliency), saliency.shape)
        return box[0] <= column < box[2] and box[1] <= row < box[3]

    assert check.point(unravelled)
    assert not recwarn.list
