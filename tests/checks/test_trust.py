"""The checks of lesson 08: right answers pass, mistakes get the sentence that helps."""

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
    "It should sum to": path(lambda t, x, b, n: (x - b) * t / n + 1),
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
    "one weight per channel, the weighted sum": cam(lambda a, g, w: (w * a).sum(1) * 0 + 1),
    "The shape should be": cam(lambda a, g, w: w * a),
}
WRONG_CURVES = {
    "least important pixels first": curve(ascending=True),
    "that is the insertion": curve(keep=True),
    "class scores": curve(logit=True),
    "filled with black": curve(fill=BLACK),
    "sort by absolute values": curve(values=torch.abs),
    "Begin with nothing hidden": curve(first=1),
    "With 2 of 4 parts hidden": curve(fill=3.0),
    "Expected 5 numbers, one per step, got 7": lambda *a: 7,
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


@pytest.mark.parametrize("offset", [0.0, 0.5, 1.0])
def test_other_rules_of_integration_pass_too(offset):
    def answer(model, image, baseline, target, steps):
        path = image - baseline
        return path * along(model, baseline, path, target, steps, offset) / steps

    assert check.integrate(answer)
