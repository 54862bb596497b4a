"""The checks of lesson 07: right answers pass, mistakes get the sentence that helps."""

import numpy as np
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


WRONG_CUTS = {
    "ignored the links": lambda: (check.TASK > 0).astype(int),
    "are swapped": lambda: 1 - np.array(BEST),
    "No link is cut": lambda: np.ones((3, 3)),
    "a cheaper labelling": lambda: [[0, 0, 0], [1, 0, 1], [1, 1, 0]],
    "three rows of three": lambda: [[1, 0], [0, 1]],
    "got 'abc'": lambda: "abc",
}
WRONG_OVERLAPS = {
    "limit each to 0": no_clamp,
    "subtract it once": with_shared(lambda s, p, q: s / (p + q)),
    "the smaller box": with_shared(lambda s, p, q: s / min(p, q)),
    "the first box": with_shared(lambda s, p, q: s / p),
    "one pixel too many": closed,
    "divide it by the union": with_shared(lambda s, p, q: s),
    "yours is 0.123": lambda a, b: 0.123,
    "Expected a number, got [": lambda a, b: [1, 2],
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
}


RIGHT = {
    check.cut_by_hand: lambda: BEST,
    check.box_overlap: iou,
    check.object_box: right_box,
}
MISTAKES = {
    check.cut_by_hand: WRONG_CUTS,
    check.box_overlap: WRONG_OVERLAPS,
    check.object_box: WRONG_BOXES,
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
