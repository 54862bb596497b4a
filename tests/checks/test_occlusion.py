"""The checks of lesson 06 and of `deeper/exact_occlusion`: what passes, what gets help."""

import itertools
import re

import numpy as np
import pytest
import torch
from exercises import make_tests

from course_utils.checks import occlusion as check


def place(top, left, window):
    return ..., slice(top, top + window), slice(left, left + window)


def ending(rows=True, columns=True):
    """A place whose slices end where they should, or at `window`."""

    def where(top, left, window):
        ends = rows * top + window, columns * left + window
        return ..., slice(top, ends[0]), slice(left, ends[1])

    return where


def drop(fill=0.0, read=lambda s: s, sign=1, swap=False, where=place):
    """An answer to exercise 1 with one step changed."""

    def answer(model, image, target, top, left, window):
        hidden = image.clone()
        hidden[where(*((left, top) if swap else (top, left)), window)] = fill
        with torch.no_grad():
            whole, without = read(model(image)), read(model(hidden))
        return sign * (whole - without)[0, target]

    return answer


def inside_out(model, image, target, top, left, window):
    alone = torch.zeros_like(image)
    alone[place(top, left, window)] = image[place(top, left, window)]
    with torch.no_grad():
        return (model(image) - model(alone))[0, target]


def without_the_clean_score(model, image, target, top, left, window):
    return model(image)[0, target] - drop()(model, image, target, top, left, window)


def paints(model, image, target, top, left, window):
    whole = model(image)[0, target]
    image[place(top, left, window)] = 0
    return whole - model(image)[0, target]


def weightless(model, image, target, top, left, window):
    for weight in model.parameters():
        weight.data.zero_()
    return drop()(model, image, target, top, left, window)


def starts(size, window, stride):
    found = list(range(0, size - window + 1, stride))
    return found + [size - window] if found[-1] + window < size else found


def averaged(divide=lambda total, count, drops: total / count, add=True):
    def answer(drops, tops, lefts, window, size):
        total, count = torch.zeros(size, size), torch.zeros(size, size)
        for row, top in zip(drops, tops, strict=True):
            for value, left in zip(row, lefts, strict=True):
                where = place(top, left, window)
                total[where] = total[where] * add + value
                count[where] += 1
        return divide(total, count, drops)

    return answer


def changed(found):
    return (found.top_classes != found.target).nonzero().tolist()


def places(found, target):
    return (found.top_classes != target).nonzero().tolist()


def emptied(found):
    found.top_classes.fill_(found.target)
    return found


def every(found):
    rows, columns = found.drops.shape
    return [(r, c) for r in range(rows) for c in range(columns)]


RIGHT = {
    check.drop_of_window: drop(),
    check.starts: starts,
    check.heatmap: averaged(),
    check.telling_windows: changed,
}
MISTAKES = {
    check.drop_of_window: {
        "sign is flipped": drop(sign=-1),
        "everything but the window": inside_out,
        "You fill with 0.5": drop(fill=0.5),
        "You fill with 1.": drop(fill=1.0),
        "You fill with white": drop(fill=check.WHITE),
        "the picture's own mean": lambda m, x, *a: drop(fill=x.mean())(m, x, *a),
        "drop in probability": drop(read=lambda s: s.softmax(1)),
        "Rows and columns are swapped": drop(swap=True),
        "score with the window hidden": without_the_clean_score,
        "the tensor it was given": paints,
        "stopped at": lambda m, x, *a: m(x[0, 0])[0],
        "the clean score minus that": lambda *a: 2 * drop()(*a),
        "`top` makes no difference": lambda *a: 0.25,
        "leave abs() out": lambda *a: abs(drop()(*a)),
        "The drop is 0": lambda *a: 0.0,
        "of the rows ends at `window`": drop(where=ending(rows=False)),
        "of the columns ends at `window`": drop(where=ending(columns=False)),
        "`top + window`, `left + window`": drop(where=ending(rows=False, columns=False)),
        "one row and one column too many": lambda *a: drop()(*a[:-1], a[-1] + 1),
        "write hidden[:, :, rows, columns]": drop(
            where=lambda *a: (slice(None), *place(*a)[1:])
        ),
        "`top` makes no difference to your result": lambda m, x, c, top, left, w: drop()(
            m, x, c, 4, left, w
        ),
        "`left` makes no difference": lambda m, x, c, top, left, w: drop()(
            m, x, c, top, 0, w
        ),
        "You use class 2 whatever `target` is": lambda m, x, t, *a: drop()(m, x, 2, *a),
        "That is for the top class": lambda m, x, t, *a: drop()(m, x, m(x).argmax(), *a),
        "`window` makes no difference": lambda *a: drop()(*a[:-1], 4),
        "changes the network's weights": weightless,
        "Expected one number, got '": lambda *a: str(float(drop()(*a))),
        "Expected one number, got a dict": lambda *a: {"drop": drop()(*a)},
    },
    check.starts: {
        "extends beyond the end": lambda n, w, s: list(range(0, n, s)),
        "never hidden": lambda n, w, s: list(range(0, n - w + 1, s)),
        "counted twice": lambda n, w, s: [*range(0, n - w + 1, s), n - w],
        "expected [0, 4, 6], got": lambda n, w, s: [*range(n - w + 1)],
        "Expected whole numbers": lambda n, w, s: 3.5,
        "Expected whole numbers, got [0.9": lambda n, w, s: [
            v + 0.9 for v in starts(n, w, s)
        ],
        "Expected whole numbers, got ['0'": lambda n, w, s: [
            str(v) for v in starts(n, w, s)
        ],
        "Expected whole numbers, got [inf": lambda n, w, s: [float("inf")],
        "does it come to an end": lambda n, w, s: itertools.count(0, s),
        "got [6, 4, 0]": lambda n, w, s: starts(n, w, s)[::-1],
    },
    check.heatmap: {
        "That is the sum": averaged(lambda total, count, drops: total),
        "number of all windows": averaged(lambda t, c, drops: t / drops.numel()),
        "largest count": averaged(lambda t, count, d: t / count.max()),
        "overwrites": averaged(lambda total, c, d: total, add=False),
        "Rows and columns are swapped": averaged(lambda t, c, d: (t / c).T),
        "The shape should be": lambda drops, *a: drops,
        "Expected a tensor": lambda *a: "map",
        "under none of your windows": lambda d, tops, lefts, w, n: averaged()(
            d, [0 for top in tops], lefts, w, n
        ),
        "`window` makes no difference": lambda d, t, le, w, n: averaged()(d, t, le, 6, n),
        "`lefts` makes no difference": lambda d, t, le, w, n: averaged()(d, t, t, w, n),
        "one row and one column too many": lambda d, t, le, w, n: averaged()(
            d, t, le, w + 1, n
        ),
        "Rows and columns of `drops` are exchanged": lambda d, *a: averaged()(d.T, *a),
        "one sum": averaged(lambda t, count, d: t / count.sum()),
        "in the sum: use +=": averaged(add=False),
        "You count with the drops": averaged(lambda t, c, d: t / t),
        "The shape should be (11, 11)": lambda d, t, le, w, n: averaged()(d, t, le, w, 12),
        "Add each drop": lambda *a: 2 * averaged()(*a),
        "`tops` makes no difference": lambda d, t, le, w, size: torch.zeros(size, size),
    },
    check.telling_windows: {
        "swapped": lambda found: [(c, r) for r, c in changed(found)],
        "do not change": lambda f: [p for p in every(f) if list(p) not in changed(f)],
        "These are pixels;": lambda f: [(f.tops[r], f.lefts[c]) for r, c in changed(f)],
        "still be the largest": lambda f: [p for p in every(f) if f.drops[p] > 0],
        "pairs where top_classes differs": lambda found: [(0, 0), (1, 1), (0, 4)],
        "stopped at": lambda found: found.nothing,
        "a list of pairs (row, column)": lambda found: 7,
        "most frequent class": lambda f: places(f, f.top_classes.flatten().mode().values),
        "first window's class": lambda f: places(f, f.top_classes[0, 0]),
        "all the windows: compare with found.target": lambda f: places(f, 90),
        "one fixed class (1)": lambda f: places(f, 1),
        "rows and columns apart": lambda f: torch.where(f.top_classes != f.target),
        "A window is listed twice": lambda found: 10 * changed(found),
        "a list of pairs (row, column), got": lambda f: [
            (r + 0.9, c) for r, c in changed(f)
        ],
        "Return the (row, column) pairs": lambda f: changed(emptied(f)),
    },
}


(
    test_a_right_answer_passes,
    test_a_stub_is_not_tried_yet,
    test_a_mistake_gets_the_sentence_that_helps,
) = make_tests(RIGHT, MISTAKES)


def by_slices(drops, tops, lefts, window, size):
    """In NumPy: each pixel's mean, by a search for the windows over it."""
    found = np.zeros((size, size))
    for y, x in np.ndindex(size, size):
        rows = [i for i, top in enumerate(tops) if top <= y < top + window]
        columns = [i for i, left in enumerate(lefts) if left <= x < left + window]
        found[y, x] = drops.numpy()[np.ix_(rows, columns)].mean()
    return found


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [
        (check.drop_of_window, lambda *a: drop()(*a).item()),
        (check.drop_of_window, lambda *a: np.float32(drop()(*a))),
        (check.starts, lambda n, w, s: np.array(starts(n, w, s))),
        (check.starts, lambda n, w, s: (start for start in starts(n, w, s))),
        (check.starts, lambda n, w, s: tuple(torch.tensor(starts(n, w, s)))),
        (check.heatmap, by_slices),
        (check.heatmap, lambda *a: by_slices(*a).tolist()),
        (check.telling_windows, lambda f: {(r, c) for r, c in changed(f)}),
        (check.telling_windows, lambda f: np.argwhere(f.top_classes.numpy() != f.target)),
        (check.telling_windows, lambda f: (f.top_classes != f.target).nonzero()),
    ],
)
def test_other_right_answers_pass_too(exercise, answer):
    assert exercise(answer)


@pytest.mark.parametrize(
    ("letter", "found"),
    [
        ("A", r"black: \d\d\.\d%, \d\d\.\d%; blur: \d\d\.\d%, \d\d\.\d%"),
        ("B", r"takes \d\d? points off"),
        ("C", r"0\.\d% without both dogs, \d\d\.\d% without as much beach"),
        ("D", r"takes \d+ and \d+ points off"),
    ],
)
def test_each_test_of_the_claim_runs_and_one_could_refute_it(letter, found):
    verdict = check.claim(letter)
    assert re.search(found, verdict.message), verdict
    assert bool(verdict) == (letter == "C")


def test_the_claims_picture_has_two_dogs_and_as_much_beach():
    picture, masks = check.two_dogs()
    whole, left, right, both, beach = check.hide_dogs()
    counts = [(p != whole).any(dim=0).sum().item() for p in (left, right, both, beach)]
    assert not (masks[0] & masks[1]).any()
    assert counts[2] == pytest.approx(masks.sum().item(), rel=0.01)
    assert counts[3] > 0.8 * counts[2]
