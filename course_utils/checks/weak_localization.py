"""Checks of lesson 07 and `deeper/colours_and_cuts`: a cut, boxes, evidence, a claim."""

from functools import cache
from itertools import product

import numpy as np
from scipy.ndimage import label

from ..gradients import vanilla_saliency
from ..images import preprocess
from ..localization import iou, largest_component, localize, mask_box
from ..models import load_model
from ..samples import Composite, load_composites
from ..targets import predict
from .base import NotTried, Wrong, about, call, compare, exercise, read
from .claims import Claim, Test
from .reading import each, number, whole

# 3×3 pictures: the evidence of each pixel for the object, and the cost of each cut link.
EVIDENCE = np.array([[4, 3, -2], [3, -1, -3], [-2, -3, 1]])
TASK = np.array([[1, -3, -4], [4, -1, 3], [3, 4, 2]])  # that of exercise 1


def cut_cost(labels, evidence=EVIDENCE, link: float = 1) -> float:
    """What a labelling costs: the evidence it ignores, and each link that it cuts."""
    labels, evidence = np.asarray(labels, dtype=bool), np.asarray(evidence)
    ignored = np.abs(evidence[labels != (evidence > 0)]).sum()
    cuts = sum(np.diff(labels, axis=axis).sum() for axis in (0, 1))
    return float(ignored + link * cuts)


def cheapest_cost(evidence=EVIDENCE, link: float = 1) -> float:
    """The cost of the best of all labellings, found by trying each of them."""
    shape = np.shape(evidence)
    tries = product([False, True], repeat=int(np.prod(shape)))
    return min(cut_cost(np.reshape(t, shape), evidence, link) for t in tries)


@exercise("Exercise 1")
def cut_by_hand(answer) -> str:
    """Check `answer()`: the cheapest labelling of `TASK`, a 3×3 table of 0 and 1."""
    expected = "a 3×3 list of 0 and 1, three rows of three"
    labels = read(call(answer), lambda table: np.array(each(each(_label))(table)), expected)
    if labels.shape != (3, 3) or not np.isin(labels, (0, 1)).all():
        raise Wrong(f"Expected {expected}.")
    cost, best = cut_cost(labels, TASK), cheapest_cost(TASK)
    if cost == best:
        return f"Cost {cost:g}; none of the 512 labellings is cheaper."
    if (labels == (TASK > 0)).all():
        raise Wrong("You ignored the links: which lone pixel is not worth its links?")
    if (labels == (TASK <= 0)).all() or cut_cost(1 - labels, TASK) == best:
        raise Wrong("Object and background are swapped: 1 is the object.")
    if labels.min() == labels.max():
        raise Wrong(f"No link is cut, but much evidence is ignored: this costs {cost:g}.")
    raise Wrong(f"This costs {cost:g}, and there is a cheaper labelling.")


def _label(value) -> float:
    return number(int(value) if isinstance(value, bool) else value)


@exercise("Exercise 2")
def box_overlap(answer) -> str:
    """Check `answer(a, b)`: the IoU of two boxes (x0, y0, x1, y1)."""
    pairs = (
        ((30, 10, 90, 90), (10, 20, 110, 62)),
        ((0, 0, 10, 10), (2, 3, 5, 9)),
        ((5, 5, 9, 8), (5, 5, 9, 8)),
        ((0, 0, 4, 4), (4, 0, 8, 4)),
        ((0, 0, 3, 3), (6, 7, 9, 9)),
        ((2, 5, 5, 9), (0, 0, 6, 3)),
    )
    for a, b in pairs:
        right, mistakes = iou(a, b), _overlap_mistakes(a, b)
        try:
            result = read(call(answer, a, b), number, "a number")
        except NotTried as nothing:
            if right:
                raise
            raise Wrong(
                "For boxes that lie apart you return nothing: return 0."
            ) from nothing
        otherwise = f"For {a} and {b} the IoU is {right:.3f}; yours is {result:.3f}."
        compare(result, right, mistakes, otherwise)
    return "Right for boxes that overlap, contain each other, touch, and lie apart."


def _overlap_mistakes(a, b) -> dict[str, float]:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    sides = [(box[2] - box[0], box[3] - box[1]) for box in (a, b)]
    areas = [w * h for w, h in sides]
    shared, negative = max(width, 0) * max(height, 0), width * height
    wide = max(width + 1, 0) * max(height + 1, 0)
    wide_areas = sum((w + 1) * (h + 1) for w, h in sides)
    fractions = {
        "For boxes that lie apart width and height of the overlap are negative: limit "
        "each to 0 by max(…, 0) before you multiply.": (negative, sum(areas) - negative),
        "The union counts the shared part twice: subtract it once.": (shared, sum(areas)),
        "You divide by the smaller box; divide by the union.": (shared, min(areas)),
        "You divide by the first box; divide by the union.": (shared, areas[0]),
        "That is one pixel too many; the width is x1 − x0.": (wide, wide_areas - wide),
        "That is the shared area; divide it by the union.": (shared, 1),
        "That is the area of the union; divide the shared area by it.": (
            sum(areas) - shared,
            1,
        ),
        "Twice the shared area over the sum is another measure; divide by the union.": (
            2 * shared,
            sum(areas),
        ),
        "The union is smaller than the box around both boxes.": (shared, _around(a, b)),
        "A box is two corners, not (x, y, width, height).": _with_sizes(a, b),
        "Return a share from 0 to 1, not per cent.": (100 * shared, sum(areas) - shared),
    }
    found = {text: top / below for text, (top, below) in fractions.items() if below}
    return found | {"You round the IoU: return it as it is.": round(iou(a, b), 2)}


def _around(a, b) -> int:
    """The area of the smallest box that holds both."""
    return (max(a[2], b[2]) - min(a[0], b[0])) * (max(a[3], b[3]) - min(a[1], b[1]))


def _with_sizes(a, b) -> tuple[int, int]:
    """The shared area and the union, if the last two numbers were width and height."""
    width, height = (
        max(0, min(a[k] + a[k + 2], b[k] + b[k + 2]) - max(a[k], b[k])) for k in (0, 1)
    )
    shared = width * height
    return shared, a[2] * a[3] + b[2] * b[3] - shared


@exercise("Exercise 3")
def object_box(answer) -> str:
    """Check `answer(mask)`: the box of the largest component, corners connected."""
    boxes = {name: _box_and_mistakes(mask) for name, mask in MASKS.items()}
    for name, (right, mistakes) in boxes.items():
        with about(name):
            result = tuple(read(call(answer, MASKS[name]), each(whole), BOX))
            if len(result) != 4:
                raise Wrong(f"Expected {BOX}, got {len(result)} numbers.")
            others = [box for box, _ in boxes.values() if box != right]
            if result in others:
                mistakes |= {"You return the box of another mask: use `mask`.": result}
            compare(result, right, mistakes, f"Expected {right}, got {result}.")
    return "The box of the largest component, without the stray pixels."


BOX = "four whole numbers (x0, y0, x1, y1)"


def _masks() -> dict[str, np.ndarray]:
    """Three masks, each with a largest part that a slip takes for smaller."""
    wide, high, frame = (
        np.zeros(size, dtype=bool) for size in ((20, 30), (17, 9), (12, 16))
    )
    wide[4:12, 8:21] = wide[15:18, 1:4] = True  # the large part and a smaller one
    wide[12, 21] = wide[13, 22] = True  # joined to the large part by a corner
    wide[1, 28] = wide[19, 0] = True  # single pixels
    high[0:3, 5:9] = high[10:17, 0:3] = high[9, 3] = True  # in corners of the mask
    frame[0, 2:15] = frame[:, 2] = True  # a long, thin part with a large box
    frame[4:10, 6:13] = frame[11, 15] = True
    return {"A wide mask": wide, "A high mask": high, "A mask with a thin part": frame}


MASKS = _masks()


def _box_and_mistakes(mask: np.ndarray) -> tuple[tuple, dict[str, tuple]]:
    """The right box, and sentence → a wrong one."""
    by_corners, by_sides = (label(mask, links)[0] for links in (np.ones((3, 3)), None))
    parts = [mask_box(by_corners == n) for n in range(1, by_corners.max() + 1)]
    widest = max(parts, key=lambda box: (box[2] - box[0]) * (box[3] - box[1]))
    largest = by_sides == np.bincount(by_sides.ravel())[1:].argmax() + 1
    right, found = mask_box(largest_component(mask)), {}
    wrong = {
        "That is the box of the whole mask: keep the largest component.": mask_box(mask),
        "Some touch only at a corner: label(mask, np.ones((3, 3))).": mask_box(largest),
        "That part has the largest box; the largest part has most pixels.": widest,
        "Label 1 is the first, by rows; after bincount(…)[1:] add 1 to the place.": parts[
            0
        ],
        "Label 0, the background, has the most pixels: leave it out.": mask_box(~mask),
    }
    boxes = {"": right} | {text: box for text, box in wrong.items() if box != right}
    for text, (x0, y0, x1, y1) in boxes.items():  # a wrong part may come with a slip
        slips = {
            "": (x0, y0, x1, y1),
            "x and y are swapped: np.nonzero returns the rows first.": (y0, x0, y1, x1),
            "The box ends one beyond the last pixel: add 1.": (x0, y0, x1 - 1, y1 - 1),
            "Return the far corner, not width and height.": (x0, y0, x1 - x0, y1 - y0),
        }
        found |= {f"{text} {slip}".strip(): box for slip, box in slips.items()}
    return right, found


# -- the claim check -------------------------------------------------------------------


@cache
def retriever() -> tuple[Composite, np.ndarray]:
    """A retriever on a beach, whose mask is known; and its saliency map (H, W)."""
    return _with_map(6)


def _with_map(number: int) -> tuple[Composite, np.ndarray]:
    one = load_composites(number + 1)[number]
    maps = vanilla_saliency(load_model(), preprocess(one.image), one.label)
    return one, maps[0].numpy()


def spot_on(one: Composite) -> np.ndarray:
    """(H, W): a round, blurred spot in the middle of its box; no outline, no network."""
    x0, y0, x1, y1 = one.box
    rows, columns = np.indices(one.mask.shape) + 0.5
    away = (columns - (x0 + x1) / 2) ** 2 + (rows - (y0 + y1) / 2) ** 2
    return np.exp(-8 * away / max(x1 - x0, y1 - y0) ** 2)


def mask_overlap(mask, other) -> float:
    """IoU of two masks (H, W)."""
    return float((mask & other).sum() / (mask | other).sum())


def _other_composites() -> str:
    found = []
    for one, saliency in map(_with_map, (1, 2)):
        found.append(mask_overlap(localize(one.image, saliency).mask, one.mask))
    words = ", ".join(f"{value:.2f}" for value in found)
    return f"On two more composites the mask overlaps the true one by {words}."


def _from_a_spot() -> str:
    one, _ = retriever()
    found = mask_overlap(localize(one.image, spot_on(one)).mask, one.mask)
    return f"From a round blurred spot the mask overlaps the true one by {found:.2f}."


def _how_sure() -> str:
    one, _ = retriever()
    shares = predict(load_model(), preprocess(one.image)).shares[0]
    order = shares.argsort(descending=True).tolist()
    place = order.index(one.label) + 1
    return f"Golden retriever has {shares[one.label]:.0%}, place {place} of 1000."


def _other_seeds() -> str:
    one, saliency = retriever()
    found = mask_overlap(localize(one.image, saliency, foreground=0.9).mask, one.mask)
    return f"With the 90 % quantile the mask overlaps the true one by {found:.2f}."


claim = Claim(
    "The mask follows the retriever's outline almost to the pixel. So the network knows "
    "its outline.",
    {
        "A": Test(
            _other_composites,
            "Worth nothing: good masks elsewhere do not say where the outline comes from.",
        ),
        "B": Test(
            _from_a_spot,
            "That refutes it: the spot has no outline, and the mask is as good. Colours "
            "and edges of the picture draw the outline; the map only says where to look.",
            could_refute=True,
        ),
        "C": Test(
            _how_sure,
            "Worth nothing: how sure the network is of the class says nothing about "
            "outlines.",
        ),
        "D": Test(
            _other_seeds,
            "Worth nothing: the same map still goes in, so it cannot tell map and picture "
            "apart.",
        ),
    },
)


# -- of the deeper notebook ------------------------------------------------------------


@exercise("Exercise 1")
def grey_evidence(answer) -> str:
    """Check `answer(values, object_seeds, background_seeds)`: evidence of grey values."""
    for seed, (size, bright, dark) in enumerate(((7, 9, 12), (12, 30, 8), (5, 6, 6))):
        random = np.random.default_rng(seed)
        seeds = random.normal(0.7, 0.1, bright), random.normal(0.3, 0.2, dark)
        values = random.uniform(0, 1, size)
        right, mistakes = _evidence(values, *seeds)
        result = np.array(read(call(answer, values, *seeds), each(number), "numbers"))
        if result.shape != right.shape:
            raise Wrong(f"Expected {size} numbers, one per value, got {result.size}.")
        for sentence, wrong in mistakes.items():
            if not np.allclose(wrong, right) and np.allclose(result, wrong, rtol=1e-4):
                raise Wrong(sentence)
        if not np.allclose(result, right, rtol=1e-3, atol=1e-4):
            raise Wrong("Take log p(x | object) − log p(x | background), two Gaussians.")
    return "Positive where a value fits the object better, whatever the spreads are."


def _evidence(values, bright, dark) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The right evidence, and sentence → a wrong one."""

    def log_p(seeds, spread=lambda s: s.std(), width=1, square=1) -> np.ndarray:
        sigma = spread(seeds)
        squares = ((values - seeds.mean()) / sigma) ** 2 / 2
        return -square * squares - width * np.log(sigma)

    right = log_p(bright) - log_p(dark)
    variance = log_p(bright, lambda s: s.var()) - log_p(dark, lambda s: s.var())
    nearer = np.abs(values - dark.mean()) - np.abs(values - bright.mean())
    return right, {
        "The sign is flipped: the object's log-density comes first.": -right,
        "That is log p(x | object): subtract the background's.": log_p(bright)
        - np.log(2 * np.pi) / 2,
        "Take the logarithm of the ratio.": np.exp(right),
        "The square is halved: −(x − μ)² / 2σ².": 2 * right
        - (log_p(bright, square=0) - log_p(dark, square=0)),
        "Subtract log σ; you add it.": log_p(bright, width=-1) - log_p(dark, width=-1),
        "You subtract densities; subtract their logarithms.": np.exp(log_p(bright))
        - np.exp(log_p(dark)),
        "The −log σ is missing: a wide Gaussian is lower.": log_p(bright, width=0)
        - log_p(dark, width=0),
        "You divide by the variance where σ, its root, belongs.": variance,
        "You compare distances to the means; use the spreads, too.": nearer,
    }
