"""The checks of lesson 09: right answers pass, mistakes get the sentence that helps."""

import numpy as np
import pytest
import torch
from exercises import make_tests

from course_utils.checks import trust as check
from course_utils.images import IMAGENET_MEAN, IMAGENET_STD

BLACK = (-torch.tensor(IMAGENET_MEAN) / torch.tensor(IMAGENET_STD))[:, None]


def curve(
    values=lambda s: s,
    fill=0.0,
    keep=False,
    logit=False,
    first=0,
    ascending=False,
    colours=slice(None),
    count=lambda step, steps, pixels: step * pixels // steps,
):
    """A deletion curve, with one thing or another done otherwise."""

    def answer(model, image, saliency, target, steps):
        order = values(saliency).flatten().argsort(descending=not ascending)
        scores = []
        for k in range(first, steps + 1):
            chosen = order[: count(k, steps, order.numel())]
            flat = image.clone().flatten(2)
            hidden = torch.zeros_like(flat) if keep else flat.clone()
            hidden[:, colours, chosen] = flat[:, colours, chosen] if keep else fill
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
    for values in model.parameters():
        values.data.zero_()


def by_height(saliency, box):
    row, column = divmod(int(saliency.argmax()), saliency.shape[0])
    return box[0] <= column < box[2] and box[1] <= row < box[3]


def in_place(model, image, saliency, target, steps):
    """The right curve, and the caller's picture is gone."""
    order, shares = saliency.flatten().argsort(descending=True), []
    for k in range(steps + 1):
        image.flatten(2)[..., order[: k * order.numel() // steps]] = 0
        shares.append(model(image).softmax(dim=1)[0, target].item())
    return shares


WRONG_CURVES = {
    "least important pixels first": curve(ascending=True),
    "work on a clone()": in_place,
    "that is the insertion": curve(keep=True),
    "class scores": curve(logit=True),
    "filled with black": curve(fill=BLACK),
    "sort by absolute values": curve(values=torch.abs),
    "the first with nothing hidden": curve(first=1),
    "one colour of each pixel": curve(colours=0),
    "the same part at each step": curve(count=lambda k, n, pixels: pixels // n),
    "a tenth more at each step": curve(count=lambda k, n, pixels: k * pixels // 10),
    "over axis 0 each probability is 1": lambda m, x, s, c, n: [1.0] * (n + 1),
    "not its fall": lambda *a: [curve()(*a)[0] - share for share in curve()(*a)],
    "not per cent": lambda *a: [100 * share for share in curve()(*a)],
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
    "`steps` is 3, so return 4 numbers, not 5": lambda m, x, s, c, n: curve()(
        m, x, s, c, 4
    ),
    "`steps` is 4, so return 5 numbers, not 51": lambda m, x, s, c, n: curve()(
        m, x, s, c, 50
    ),
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
    "your function says otherwise": point(lambda r, c, *box: c > r),
    "You say True for each": lambda s, box: True,
    "You say False for each": lambda s, box: False,
    "write `and`, not `or`": point(
        lambda r, c, x0, y0, x1, y1: x0 <= c < x1 or y0 <= r < y1
    ),
    "For some maps you return nothing": lambda s, box: right_point(s, box) or None,
    "one fixed box": lambda s, box: right_point(s, (2, 1, 6, 4)),
    "rows only": point(lambda r, c, x0, y0, x1, y1: y0 <= r < y1),
    "the largest absolute value": lambda s, box: right_point(s.abs(), box),
    "the smallest value": lambda s, box: right_point(-s, box),
    "divide by shape[1]": by_height,
    "Expected True or False, got '": lambda s, box: str(right_point(s, box)),
    "Expected True or False, got [": lambda s, box: [right_point(s, box)],
}


RIGHT = {check.delete: curve(), check.point: right_point}
MISTAKES = {check.delete: WRONG_CURVES, check.point: WRONG_POINTS}

(
    test_a_right_answer_passes,
    test_a_stub_is_not_tried_yet,
    test_a_mistake_gets_the_sentence_that_helps,
) = make_tests(RIGHT, MISTAKES)


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


def test_the_deletion_curve_falls():
    verdict = check.delete(curve())
    assert "falls from 0.92 to 0.01" in verdict.message


def test_numpy_on_a_tensor_warns_of_nothing(recwarn):
    def unravelled(saliency, box):
        row, column = np.unravel_index(np.argmax(saliency), saliency.shape)
        return box[0] <= column < box[2] and box[1] <= row < box[3]

    assert check.point(unravelled)
    assert not recwarn.list
