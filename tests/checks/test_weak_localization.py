"""The checks of lesson 07 and `deeper/colours_and_cuts`: what passes, what gets help."""

import numpy as np
import pytest
import torch
from exercises import make_tests
from scipy.ndimage import label

from course_utils import iou
from course_utils.checks import weak_localization as check
from course_utils.localization import largest_component, mask_box

BEST = [[1, 0, 0], [1, 1, 1], [1, 1, 1]]


def sides(a, b):
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    area_a, area_b = ((c[2] - c[0]) * (c[3] - c[1]) for c in (a, b))
    return width, height, area_a, area_b


def no_clamp(a, b):
    w, h, p, q = sides(a, b)
    return w * h / (p + q - w * h)


def with_shared(formula):
    def answer(a, b):
        w, h, p, q = sides(a, b)
        return formula(max(w, 0) * max(h, 0), p, q)

    return answer


def closed(a, b):
    w, h, *_ = sides(a, b)
    p, q = ((c[2] - c[0] + 1) * (c[3] - c[1] + 1) for c in (a, b))
    shared = max(w + 1, 0) * max(h + 1, 0)
    return shared / (p + q - shared)


def right_box(mask):
    return mask_box(largest_component(mask))


def by_sides(mask):
    parts, _ = label(mask)
    return mask_box(parts == 1 + np.bincount(parts.ravel())[1:].argmax())


def first_part(mask):
    return mask_box(label(mask, np.ones((3, 3)))[0] == 1)


def largest_box(mask):
    parts, count = label(mask, np.ones((3, 3)))
    boxes = [mask_box(parts == n) for n in range(1, count + 1)]
    return max(boxes, key=lambda box: (box[2] - box[0]) * (box[3] - box[1]))


def shortened(box):
    return *box[:2], box[2] - 1, box[3] - 1


def turned(box):
    return [box[k] for k in (1, 0, 3, 2)]


def together(a, b):
    """Wrong only where the boxes lie apart along one axis."""
    w, h, p, q = sides(a, b)
    return 0.0 if w < 0 and h < 0 else w * h / (p + q - w * h)


def around(a, b):
    """The area of the box around both."""
    return (max(a[2], b[2]) - min(a[0], b[0])) * (max(a[3], b[3]) - min(a[1], b[1]))


def with_corner(box):
    """A box whose last two numbers were taken for width and height."""
    return box[0], box[1], box[0] + box[2], box[1] + box[3]


WRONG_CUTS = {
    "ignored the links": lambda: (check.TASK > 0).astype(int),
    "are swapped": lambda: 1 - np.array(BEST),
    "No link is cut": lambda: np.ones((3, 3)),
    "a cheaper labelling": lambda: [[0, 0, 0], [1, 0, 1], [1, 1, 0]],
    "three rows of three": lambda: [[1, 0], [0, 1]],
    "got 'abc'": lambda: "abc",
    "Expected a 3×3 list of 0 and 1, three rows of three, got a list": lambda: [
        [str(label) for label in row] for row in BEST
    ],
    "Expected a 3×3 list of 0 and 1": lambda: [[1, 0, 0], [0.9, 1, 1], [1, 1, 1]],
}
WRONG_OVERLAPS = {
    "limit each to 0": no_clamp,
    "subtract it once": with_shared(lambda s, p, q: s / (p + q)),
    "the smaller box": with_shared(lambda s, p, q: s / min(p, q)),
    "the first box": with_shared(lambda s, p, q: s / p),
    "one pixel too many": closed,
    "divide it by the union": with_shared(lambda s, p, q: s),
    "the area of the union": with_shared(lambda s, p, q: p + q - s),
    "another measure": with_shared(lambda s, p, q: 2 * s / (p + q)),
    "the box around both": lambda a, b: with_shared(lambda s, p, q: s)(a, b) / around(a, b),
    "not (x, y, width, height)": lambda a, b: iou(*map(with_corner, (a, b))),
    "not per cent": lambda a, b: 100 * iou(a, b),
    "you return nothing: return 0": lambda a, b: iou(a, b) or None,
    "You round": lambda a, b: round(iou(a, b), 2),
    "yours is 0.123": lambda a, b: 0.123,
    "Expected a number, got [": lambda a, b: [1, 2],
    "Expected a number, got '": lambda a, b: str(iou(a, b)),
    "are negative: limit": together,
    "For (30, 10, 90, 90) and": lambda a, b: iou(a, a),
    "stopped": lambda a, b: 1 / 0,
}
WRONG_BOXES = {
    "the whole mask": mask_box,
    "x and y are swapped": lambda m: [right_box(m)[k] for k in (1, 0, 3, 2)],
    "add 1": lambda m: (*right_box(m)[:2], *(v - 1 for v in right_box(m)[2:])),
    "far corner": lambda m: (8, 4, 15, 10),
    "touch only at a corner": by_sides,
    "label 1 is the first": first_part,
    "expected (8, 4, 23, 14), got": lambda m: (0, 0, 1, 1),
    "four whole numbers": lambda m: 7,
    "got 3 numbers": lambda m: right_box(m)[:3],
    "whole numbers (x0, y0, x1, y1), got [8.9": lambda m: [v + 0.9 for v in right_box(m)],
    "the box of another mask": lambda m: (8, 4, 23, 14),
    "that part has the largest box": largest_box,
    "keep the largest component. The box ends one": lambda m: shortened(mask_box(m)),
    "label 0, the background": lambda m: mask_box(~m),
    "add 1 to the place. x and y are": lambda m: turned(first_part(m)),
}


def log_normal(values, seeds, width=1):
    spread = seeds.std()
    square = ((values - seeds.mean()) / spread) ** 2 / 2
    return -square - width * np.log(spread) - np.log(2 * np.pi) / 2


def evidence(values, bright, dark, width=1):
    return log_normal(values, bright, width) - log_normal(values, dark, width)


WRONG_EVIDENCE = {
    "sign is flipped": lambda v, a, b: -evidence(v, a, b),
    "subtract the background": lambda v, a, b: log_normal(v, a),
    "logarithm of the ratio": lambda v, a, b: np.exp(evidence(v, a, b)),
    "The square is halved": lambda v, a, b: (
        2 * evidence(v, a, b, width=0) + np.log(b.std() / a.std())
    ),
    "you add it": lambda v, a, b: evidence(v, a, b, width=-1),
    "subtract their logarithms": lambda v, a, b: (
        (np.exp(log_normal(v, a)) - np.exp(log_normal(v, b))) * np.sqrt(2 * np.pi)
    ),
    "−log σ is missing": lambda v, a, b: evidence(v, a, b, width=0),
    "use the spreads": lambda v, a, b: abs(v - b.mean()) - abs(v - a.mean()),
    "one per value": lambda v, a, b: evidence(v, a, b)[:2],
    "Expected numbers": lambda v, a, b: "0.5",
    "Take log p(x | object)": lambda v, a, b: np.zeros(len(v)),
    "two Gaussians": lambda v, a, b: evidence(v, a[:5], b),
}


RIGHT = {
    check.cut_by_hand: lambda: BEST,
    check.box_overlap: iou,
    check.object_box: right_box,
    check.grey_evidence: evidence,
}
MISTAKES = {
    check.cut_by_hand: WRONG_CUTS,
    check.box_overlap: WRONG_OVERLAPS,
    check.object_box: WRONG_BOXES,
    check.grey_evidence: WRONG_EVIDENCE,
}

(
    test_a_right_answer_passes,
    test_a_stub_is_not_tried_yet,
    test_a_mistake_gets_the_sentence_that_helps,
) = make_tests(RIGHT, MISTAKES)


def test_both_small_pictures_have_one_best_labelling():
    for evidence in (check.EVIDENCE, check.TASK):
        costs = sorted(
            check.cut_cost(np.array(list(f"{n:09b}"), int).reshape(3, 3), evidence)
            for n in range(512)
        )
        assert costs[0] < costs[1]
        assert costs[0] == check.cheapest_cost(evidence)


def by_counting(a, b):
    """IoU by counting pixels, as a tensor."""
    ys, xs = np.mgrid[:100, :120]
    inside = [(x0 <= xs) & (xs < x1) & (y0 <= ys) & (ys < y1) for x0, y0, x1, y1 in (a, b)]
    return torch.tensor((inside[0] & inside[1]).sum() / (inside[0] | inside[1]).sum())


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [
        (check.cut_by_hand, lambda: tuple(map(tuple, BEST))),
        (check.cut_by_hand, lambda: [[bool(label) for label in row] for row in BEST]),
        (check.cut_by_hand, lambda: torch.tensor(BEST)),
        (check.cut_by_hand, lambda: np.array(BEST, dtype=bool)),
        (check.box_overlap, by_counting),
        (check.box_overlap, lambda a, b: np.float32(iou(a, b))),
        (check.object_box, lambda m: list(right_box(m))),
        (check.object_box, lambda m: np.array(right_box(m))),
        (check.object_box, lambda m: torch.tensor(right_box(m)).unbind()),
    ],
)
def test_other_right_answers_pass_too(exercise, answer):
    assert exercise(answer)


def test_the_largest_part_of_each_mask_is_not_what_a_slip_takes_it_for():
    slips = (mask_box, by_sides, first_part, largest_box)
    for slip in slips:
        assert any(slip(mask) != right_box(mask) for mask in check.MASKS.values())


@pytest.mark.parametrize(
    ("letter", "found"),
    [
        ("A", "more composites the mask overlaps the true one by 0."),
        ("B", "blurred spot the mask overlaps the true one by 0.9"),
        ("C", "Golden retriever has "),
        ("D", "quantile the mask overlaps the true one by "),
    ],
)
def test_each_test_of_the_claim_runs_and_one_could_refute_it(letter, found):
    verdict = check.claim(letter)
    assert found in verdict.message, verdict
    assert bool(verdict) == (letter == "B")
