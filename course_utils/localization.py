"""Weak localization: from a saliency map to a mask and a box, as in lesson 07.

A classifier is trained on labels alone; nobody ever told it where an object is. Its
saliency map knows more. Simonyan et al. (2013, section 3.2, arXiv:1312.6034) take the
brightest pixels of the map as examples of the object's colours and the darkest as
examples of the background's, and let a graph cut decide on all the others.

In one sentence each: `find_seeds` picks the examples, `fit_mixture` learns their colours,
`neighbour_links` says which neighbours look alike, `minimum_cut` separates object from
background where that is cheapest, `cut_quality` compares cuts of several sizes,
`largest_component` and `mask_box` end in a box. `localize` does it all.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from scipy.ndimage import (
    binary_dilation,
    binary_erosion,
    distance_transform_edt,
    gaussian_filter,
    label,
)
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

from .gradients import vanilla_saliency
from .targets import read_answer

Box = tuple[int, int, int, int]
STEPS = ((0, 1), (1, 0), (1, 1), (1, -1))  # (down, right) to four of the eight neighbours
UNITS = 100  # a capacity of 1 in whole numbers, which is what the solver takes
SURE = 10.0  # evidence beyond e¹⁰ to 1 says no more than e¹⁰ to 1
COARSE = 64  # largest shorter side of the picture on which sizes are compared
HALVED = 128  # largest shorter side of the picture on which a cut begins
SIZES = (0.35, 0.5, 0.7, 0.9, 1.15, 1.5)
MOST_PIXELS = 1_000_000


@dataclass(frozen=True)
class Localization:
    """Where the object is, and how that came about.

    Attributes:
        mask: (H, W) bool, the object: the largest component of `cut`.
        box: ``(x0, y0, x1, y1)`` around the mask in pixels. Columns x0 … x1 − 1 and rows
            y0 … y1 − 1 are inside, so ``x1 - x0`` is the width. (0, 0, 0, 0) for an empty
            mask.
        cut: (H, W) bool, the object's side of the minimum cut.
        foreground, background: (H, W) bool, the seeds.
        smoothed: (H, W), the saliency map after smoothing.
        evidence: (H, W), for the object where positive: the log-likelihood ratio of the
            colours plus the term of the map, in nats.
        size: which of the `sizes` was chosen; 0.0 where there was nothing to choose.
    """

    mask: np.ndarray
    box: Box
    cut: np.ndarray
    foreground: np.ndarray
    background: np.ndarray
    smoothed: np.ndarray
    evidence: np.ndarray
    size: float = 0.0


@dataclass(frozen=True)
class Mixture:
    """A mixture of K Gaussians over D-dimensional points.

    Attributes:
        weights: (K,), positive, sum 1.
        means: (K, D).
        covariances: (K, D, D).
    """

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray

    def log_density(self, points: np.ndarray) -> np.ndarray:
        """(N,) log-densities of the points (N, D)."""
        return _log_sum(self.log_parts(points))

    def log_parts(self, points: np.ndarray) -> np.ndarray:
        """(N, K): log of each component's share in the density, up to a constant."""
        parts = np.empty((len(points), len(self.weights)))
        for k, (mean, covariance) in enumerate(
            zip(self.means, self.covariances, strict=True)
        ):
            whiten = np.linalg.inv(np.linalg.cholesky(covariance))
            distance = (((points - mean) @ whiten.T) ** 2).sum(axis=1)
            scale = np.log(self.weights[k]) + np.log(np.diag(whiten)).sum()
            parts[:, k] = scale - distance / 2
        return parts


# -- the steps -------------------------------------------------------------------------


def find_seeds(
    saliency, foreground: float = 0.95, background: float = 0.30
) -> tuple[np.ndarray, np.ndarray]:
    """The brightest and the darkest pixels of a map.

    Args:
        saliency: (H, W), not negative.
        foreground: pixels at or above this quantile are foreground seeds.
        background: pixels at or below this quantile are background seeds.

    Returns:
        Two masks (H, W) bool that share no pixel; both empty for a map that is the same
        everywhere, which says nothing about any pixel.

    Raises:
        ValueError: quantiles that are not 0 < background < foreground < 1, or a bad map.

    Example:
        >>> bright, dark = find_seeds(np.arange(100.0).reshape(10, 10))
        >>> int(bright.sum()), int(dark.sum())
        (5, 30)
    """
    values = _check_map(saliency)
    _check_quantiles(foreground, background)
    low, high = np.quantile(values, [background, foreground])
    bright = values >= high if high > low else values > high
    dark = values <= low if bright.any() else np.zeros_like(bright)
    return bright, dark


def fit_mixture(
    points, components: int = 5, steps: int = 8, floor: float = 1e-4
) -> Mixture:
    """Fit a mixture of Gaussians by expectation-maximisation; nothing is random.

    The first guess cuts the points into equal parts along their longest axis. Each step
    shares every point out among the components, then takes each one's mean and covariance.

    Args:
        points: (N, D), such as colours in [0, 1]; N ≥ 1.
        components: how many Gaussians.
        steps: how many times both steps are made.
        floor: added to the variances, so that points all alike have a density; the
            default is a hundredth of the range [0, 1], squared.

    Example:
        >>> fit_mixture(np.array([[0.0], [0.1], [0.9], [1.0]]), 2).means.round(2).tolist()
        [[0.05], [0.95]]
    """
    points = np.asarray(points, dtype=float)
    if points.ndim != 2 or len(points) == 0:
        raise ValueError(f"points: wants an array (N, D) with N ≥ 1, not {points.shape}")
    components = min(components, len(points))
    centred = points - points.mean(axis=0)
    longest = np.linalg.eigh(centred.T @ centred)[1][:, -1]
    along = centred @ (longest * np.sign(longest[np.abs(longest).argmax()]))
    shares = np.zeros((len(points), components))
    for k, part in enumerate(np.array_split(along.argsort(kind="stable"), components)):
        shares[part, k] = 1
    for _ in range(steps):
        counts = shares.sum(axis=0) + 1e-3
        means = shares.T @ points / counts[:, None]
        covariances = np.empty((components, points.shape[1], points.shape[1]))
        for k, share in enumerate(shares.T):
            apart = points - means[k]
            covariances[k] = (share[:, None] * apart).T @ apart / counts[k]
        covariances += floor * np.eye(points.shape[1])
        mixture = Mixture(counts / counts.sum(), means, covariances)
        parts = mixture.log_parts(points)
        shares = np.exp(parts - _log_sum(parts)[:, None])
    return mixture


def _log_sum(parts: np.ndarray) -> np.ndarray:
    """(N,) log of the sum of exp over each row, from its largest so that none overflows."""
    largest = parts.max(axis=1)
    return largest + np.log(np.exp(parts - largest[:, None]).sum(axis=1))


def neighbour_links(image, contrast: float = 50.0) -> tuple[np.ndarray, ...]:
    """What it costs to separate each pixel from each of its eight neighbours.

    The cost is ``contrast · exp(−‖Δ‖² / 2m) / distance``: Δ is the difference of the two
    colours, m the mean of ‖Δ‖² over the picture (Boykov & Jolly 2001; Rother et al. 2004,
    section 2.1). Alike neighbours are dear to separate, an edge is cheap.

    Args:
        image: (H, W, 3), any range.
        contrast: the cost between two equal neighbours that share a side.

    Returns:
        (from, to, cost), each (links,): pixel numbers ``row · W + column``, and floats.
        Each pair of neighbours stands there once.
    """
    colours = np.asarray(image, dtype=float)
    height, width = colours.shape[:2]
    number = np.arange(height * width).reshape(height, width)
    here, there, squares, lengths = [], [], [], []
    for down, right in STEPS:
        rows, columns = height - down, width - abs(right)
        left = max(0, -right)
        one = np.s_[:rows, left : left + columns]
        other = np.s_[down:, left + right : left + right + columns]
        here.append(number[one].ravel())
        there.append(number[other].ravel())
        squares.append(((colours[one] - colours[other]) ** 2).sum(axis=2).ravel())
        lengths.append(np.full(rows * columns, np.hypot(down, right)))
    squares = np.concatenate(squares)
    mean = squares.mean() if squares.size else 0.0
    alike = np.exp(-squares / (2 * mean)) if mean > 0 else np.ones_like(squares)
    costs = contrast * alike / np.concatenate(lengths)
    return np.concatenate(here), np.concatenate(there), costs


def minimum_cut(evidence, links) -> np.ndarray:
    """The labelling that costs least: pay for evidence ignored and for links cut.

    A pixel of positive evidence e costs e if it is called background, one of negative
    evidence costs −e if it is called object; a link costs its weight if its two ends are
    called differently. A maximum flow from the object's terminal to the background's
    finds the cheapest labelling of all 2^pixels (Greig et al. 1989): what the flow leaves
    reachable from the object's terminal is object. Where several cost the same, it is the
    one with the fewest pixels.

    A pixel that is certain needs no place in the graph: its links become evidence of its
    neighbours.

    Args:
        evidence: any shape, in nats; ±inf for a pixel that is certain.
        links: (from, to, cost) as `neighbour_links` gives them; costs not negative.
            All costs are rounded to 1/100, because the solver takes whole numbers.

    Returns:
        bool, the shape of `evidence`; True is object.

    Example:
        >>> links = np.array([0, 1]), np.array([1, 2]), np.array([2.0, 2.0])
        >>> minimum_cut(np.array([5.0, -1.0, -3.0]), links).tolist()
        [True, True, False]
    """
    evidence = np.asarray(evidence, dtype=float)
    here, there, costs = (np.asarray(part) for part in links)
    weights = np.rint(UNITS * costs).astype(np.int64)
    label_of, open_ = evidence.ravel() > 0, np.isfinite(evidence.ravel())
    count, number = int(open_.sum()), np.cumsum(open_) - 1
    own = np.rint(UNITS * np.clip(evidence.ravel()[open_], -1e6, 1e6)).astype(np.int64)
    for one, other in ((here, there), (there, here)):
        fixed = ~open_[one] & open_[other]
        pull = np.where(label_of[one[fixed]], 1, -1) * weights[fixed]
        np.add.at(own, number[other[fixed]], pull)
    between = open_[here] & open_[there]
    here, there, weights = number[here[between]], number[there[between]], weights[between]
    label_of[open_] = _reached_by_flow(own, here, there, weights) if count else False
    return label_of.reshape(evidence.shape)


def _reached_by_flow(own, here, there, weights) -> np.ndarray:
    """(N,) bool: what a maximum flow leaves reachable from the object's terminal.

    Args:
        own: (N,) int, evidence of the N pixels.
        here, there, weights: (links,) int, the links between them.
    """
    source, sink = own.size, own.size + 1
    object_like, other = np.flatnonzero(own > 0), np.flatnonzero(own < 0)
    tails = [here, there, np.full(object_like.size, source), other]
    heads = [there, here, object_like, np.full(other.size, sink)]
    capacities = [weights, weights, own[object_like], -own[other]]
    graph = csr_matrix(
        (
            np.concatenate(capacities).astype(np.int32),
            (np.concatenate(tails), np.concatenate(heads)),
        ),
        shape=(own.size + 2, own.size + 2),
    )
    residual = graph - maximum_flow(graph, source, sink).flow
    residual.data[residual.data < 0] = 0
    residual.eliminate_zeros()
    reached = breadth_first_order(residual, source, return_predecessors=False)
    side = np.zeros(own.size + 2, dtype=bool)
    side[reached] = True
    return side[: own.size]


def cut_by_halves(evidence, image, contrast: float = 50.0, band: int = 4) -> np.ndarray:
    """Nearly the minimum cut of a picture: found at half the size, then refined.

    The flow through 50,000 pixels takes long. So the picture is halved until its shorter
    side is at most 128 pixels and cut there; at each doubling only the pixels near the
    outline choose anew (banded graph cuts, Lombaert et al. 2005). Within the band the cut
    is the cheapest one. Halving blurs edges, so an outline far from the best one may be
    taken: on the course's pictures about 1 pixel in 200 has another label than in the
    `minimum_cut` of all pixels.

    Args:
        evidence: (H, W), as in `minimum_cut`.
        image: (H, W, 3), see `neighbour_links`.
        contrast: see `neighbour_links`.
        band: how far the refined outline may move, in pixels, at each doubling.

    Returns:
        (H, W) bool, True is object.
    """
    links = neighbour_links(image, contrast)
    if min(evidence.shape) <= HALVED:
        return minimum_cut(evidence, links)
    # Half as many pixels along the outline, so each link is twice as dear.
    rough = cut_by_halves(_summed(evidence), _halved(image), 2 * contrast, band)
    rough = rough.repeat(2, axis=0).repeat(2, axis=1)
    rough = rough[: evidence.shape[0], : evidence.shape[1]]
    square = np.ones((3, 3))
    near = binary_dilation(rough, square, band)
    near &= ~binary_erosion(rough, square, band, border_value=1)
    far = np.where(rough, np.inf, -np.inf)
    return minimum_cut(np.where(near | np.isinf(evidence), evidence, far), links)


def _summed(evidence: np.ndarray) -> np.ndarray:
    """Evidence of four pixels in one; a certain pixel says much, but not all."""
    return 4 * _halved(np.clip(evidence, -1e3, 1e3))


def _halved(values: np.ndarray) -> np.ndarray:
    """Means of 2×2 pixels of (H, W, …); an odd last row or column counts twice."""
    rows, columns = (side % 2 for side in values.shape[:2])
    edges = ((0, rows), (0, columns), (0, 0))[: values.ndim]
    values = np.pad(values, edges, mode="edge")
    height, width = values.shape[0] // 2, values.shape[1] // 2
    return values.reshape(height, 2, width, 2, *values.shape[2:]).mean(axis=(1, 3))


def largest_component(mask) -> np.ndarray:
    """The largest connected part of a mask (H, W); diagonal neighbours are connected.

    An empty mask stays empty; of equally large parts the first by rows is taken.
    """
    mask = np.asarray(mask, dtype=bool)
    parts, count = label(mask, np.ones((3, 3)))
    if count == 0:
        return mask.copy()
    return parts == 1 + np.bincount(parts.ravel())[1:].argmax()


def parts_with(mask, pixels) -> np.ndarray:
    """The connected parts of a mask (H, W) in which at least one of `pixels` lies."""
    parts, _ = label(np.asarray(mask, dtype=bool), np.ones((3, 3)))
    return np.isin(parts, parts[np.asarray(pixels, dtype=bool)]) & (parts > 0)


def mask_box(mask) -> Box:
    """``(x0, y0, x1, y1)`` around a mask; x1 and y1 are one beyond its last pixel.

    Example:
        >>> mask_box(np.array([[0, 0, 0], [0, 1, 1]]))
        (1, 1, 3, 2)
    """
    rows, columns = np.nonzero(mask)
    if rows.size == 0:
        return 0, 0, 0, 0
    edges = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    return tuple(int(edge) for edge in edges)


def iou(box_a, box_b) -> float:
    """Intersection over union of two boxes ``(x0, y0, x1, y1)``, in [0, 1].

    Boxes hold x0 ≤ x < x1 and y0 ≤ y < y1: two that only touch share nothing. Two empty
    boxes have the IoU 0.

    Raises:
        ValueError: not four finite numbers, or x1 < x0 or y1 < y0.

    Example:
        >>> iou((0, 0, 2, 2), (1, 0, 3, 2))  # 2 pixels of 6
        0.3333333333333333
    """
    a, b = _check_box(box_a, "box_a"), _check_box(box_b, "box_b")
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    union = sum(areas) - shared
    return shared / union if union > 0 else 0.0


# -- all of it -------------------------------------------------------------------------


def localize(
    image,
    saliency,
    foreground: float = 0.95,
    background: float = 0.30,
    *,
    smoothing: float = 4.0,
    components: int = 8,
    contrast: float = 60.0,
    colour_weight: float = 1.0,
    map_weight: float = 5.0,
    sizes: Sequence[float] = SIZES,
    object_pixels=None,
    background_pixels=None,
) -> Localization:
    """Find the object that a saliency map speaks of: mask and box.

    Seeds, colour mixtures, graph cut and the largest component as in Simonyan et al.
    (2013, section 3.2). Four things are this course's own. The map is smoothed first.
    Seeds are examples of colours only, not certain: five per cent of a picture may be
    more than a small object, and the dark inside of a large one is no background. The map
    has a say of its own beside the colours (`map_weight`). And since a map does not tell
    how large its object is, the picture is cut at several `sizes`, and the best of the
    cuts is kept (`cut_quality`; many cuts and a choice: Carreira & Sminchisescu 2012).
    ``map_weight=0, sizes=[1]`` is the paper's own evidence.

    Sizes are compared at a quarter of 224 pixels; the chosen cut is found at half of it
    and refined, so it is nearly the minimum cut (`cut_by_halves`).

    Args:
        image: a picture (PIL) or an array (H, W, 3), `uint8` or floats in [0, 1], of the
            map's size.
        saliency: (H, W), not negative; a tensor or an array.
        foreground, background: quantiles of the smoothed map, see `find_seeds`.
        smoothing: standard deviation of the Gaussian that blurs the map, in pixels;
            0 leaves it as it is.
        components: Gaussians in each of the two colour mixtures.
        contrast: what it costs to cut between two equal neighbours, see
            `neighbour_links`. More makes the outline shorter and smoother.
        colour_weight: factor of the colours' log-likelihood ratio.
        map_weight: factor of log(map / threshold), where the threshold splits the
            smoothed map into two groups (Otsu 1979).
        sizes: factors of that threshold to be tried; smaller ones find larger objects.
        object_pixels, background_pixels: (H, W) bool, pixels that you know (seeds by
            hand, as in Boykov & Jolly 2001). They are certain, and the map is made bright
            or dark around them, see `mark_map`.

    Returns:
        A `Localization`. Where the map is the same everywhere there is nothing to find:
        its mask is empty and its box (0, 0, 0, 0). With `object_pixels` the mask holds
        the parts of the cut they lie in, instead of the largest part.

    Raises:
        TypeError, ValueError: one sentence that names the argument.

    Example:
        >>> picture = np.zeros((40, 40, 3)); picture[10:20, 5:25] = 1.0
        >>> localize(picture, picture[..., 0]).box
        (5, 10, 25, 20)
    """
    raw = _check_map(saliency)
    colours = _check_picture(image, raw.shape)
    for name, value in {
        "smoothing": smoothing,
        "contrast": contrast,
        "colour_weight": colour_weight,
        "map_weight": map_weight,
    }.items():
        _check_number(name, value, 0.0)
    sizes = _check_sizes(sizes)
    if not isinstance(components, (int, np.integer)) or not 1 <= components <= 50:
        raise ValueError(f"components: wants a whole number, 1 to 50, not {components!r}")
    inside = _check_pixels(object_pixels, raw.shape, "object_pixels")
    outside = _check_pixels(background_pixels, raw.shape, "background_pixels")
    if (inside & outside).any():
        raise ValueError("object_pixels: some of them are background_pixels as well")

    smoothed = gaussian_filter(raw, smoothing, mode="nearest") if smoothing else raw
    smoothed = mark_map(smoothed, inside, outside)
    bright, dark = find_seeds(smoothed, foreground, background)
    bright, dark = (bright | inside) & ~outside, (dark | outside) & ~inside
    if not raw.max() > raw.min() and not inside.any():
        nothing, flat = np.zeros(raw.shape, dtype=bool), np.zeros(raw.shape)
        return Localization(
            nothing, (0, 0, 0, 0), nothing, nothing, nothing, smoothed, flat
        )

    colour = colour_evidence(colours, bright, dark, components)
    certain = np.where(inside, np.inf, np.where(outside, -np.inf, 0.0))
    evidence = colour_weight * colour + map_weight * map_evidence(smoothed) + certain
    shifts = {size: -map_weight * np.log(size) for size in sizes}
    size = min(sizes, key=lambda size: abs(np.log(size)))
    if len(sizes) > 1:
        size = best_size(shifts, evidence, colour, colours, contrast) or size
    evidence = evidence + shifts[size]
    cut = cut_by_halves(evidence, colours, contrast)
    if not cut.any():  # the whole outline costs more than what it holds
        cut = bright
    mask = parts_with(cut, inside) if inside.any() else largest_component(cut)
    evidence = np.where(np.isfinite(evidence), evidence, np.sign(evidence) * SURE)
    return Localization(mask, mask_box(mask), cut, bright, dark, smoothed, evidence, size)


def mark_map(saliency, object_pixels, background_pixels) -> np.ndarray:
    """A map (H, W) made bright around pixels of the object, dark around the others.

    At a distance d it is raised to g = exp(−d²/2r²) of its maximum, or multiplied by
    1 − g; r is a 14th of the shorter side.
    """
    marked, reach = np.asarray(saliency, dtype=float), min(np.shape(saliency)) / 14
    brightest = marked.max() if marked.max() > 0 else 1.0
    for pixels, bright in ((object_pixels, True), (background_pixels, False)):
        if np.any(pixels):
            distance = distance_transform_edt(~np.asarray(pixels, dtype=bool))
            near = np.exp(-((distance / reach) ** 2) / 2)
            marked = np.maximum(marked, brightest * near) if bright else marked * (1 - near)
    return marked


def colour_evidence(
    image, foreground, background, components: int = 5, most: int = 1500
) -> np.ndarray:
    """(H, W): how much rather each colour belongs to the foreground, in nats.

    The log-likelihood ratio under two mixtures of Gaussians, each fitted to the colours
    of its seeds, and held within ±10.

    Args:
        image: (H, W, 3), in [0, 1].
        foreground, background: (H, W) bool, the seeds; at least one of each.
        components: Gaussians in each mixture.
        most: pixels to fit each mixture to, evenly picked from the seeds.
    """
    colours = np.asarray(image, dtype=float)
    points, densities = colours.reshape(-1, 3), []
    for seeds in (foreground, background):
        chosen = colours[np.asarray(seeds, dtype=bool)]
        mixture = fit_mixture(chosen[:: max(1, len(chosen) // most)], components)
        densities.append(mixture.log_density(points))
    ratio = np.clip(densities[0] - densities[1], -SURE, SURE)
    return ratio.reshape(colours.shape[:2])


def map_evidence(smoothed) -> np.ndarray:
    """(H, W): log of the map over the threshold between its two groups.

    Held above log(1/1000) of the maximum; 0 for a map that is the same everywhere.
    """
    values = np.asarray(smoothed, dtype=float)
    if not values.max() > values.min():
        return np.zeros_like(values)
    least = values.max() / 1000
    threshold = max(two_group_threshold(values), least)
    return np.log(np.maximum(values, least) / threshold)


def best_size(shifts, evidence, colour, image, contrast: float) -> float | None:
    """The size whose cut has the highest `cut_quality`; None if no cut has an outline.

    Args:
        shifts: size → what is added to the evidence everywhere for that size.
        evidence: (H, W), see `minimum_cut`.
        colour: (H, W), the evidence of the colours alone.
        image: (H, W, 3).
        contrast: see `neighbour_links`.
    """
    pixels = 1
    while min(evidence.shape) > COARSE:
        evidence, colour, image = _summed(evidence), _halved(colour), _halved(image)
        contrast, pixels = 2 * contrast, 4 * pixels
    links = neighbour_links(image, 1.0)
    dear = (*links[:2], contrast * links[2])
    quality = {
        size: cut_quality(minimum_cut(evidence + pixels * shift, dear), colour, links)
        for size, shift in shifts.items()
    }
    best = max(quality, key=quality.get)
    return best if quality[best] > -np.inf else None


def cut_quality(cut, colour, links) -> float:
    """How much a cut looks like an object; only differences have a meaning.

    ``0.05 · log(share of the picture) + 0.025 · (colour inside − outside) − link``: the
    mean evidence of the colours, in nats, on both sides of the outline of its largest
    component, and the mean link that the outline cuts, from 0 (edges of the picture all
    along) to 1 (through plain surfaces). The factors were chosen on the course's
    pictures.

    Args:
        cut: (H, W) bool.
        colour: (H, W), see `colour_evidence`.
        links: as `neighbour_links` gives them for a contrast of 1.

    Returns:
        −inf where nothing or everything is object.
    """
    mask = largest_component(cut)
    if not mask.any() or mask.all():
        return -np.inf
    here, there, costs = links
    outline = mask.ravel()[here] != mask.ravel()[there]
    apart = colour[mask].mean() - colour[~mask].mean()
    return 0.05 * np.log(mask.mean()) + 0.025 * apart - costs[outline].mean()


def two_group_threshold(values) -> float:
    """The value that splits numbers into two groups as far apart as can be (Otsu 1979).

    It makes the variance *between* the groups, w₀·w₁·(μ₁ − μ₀)², as large as possible.
    """
    ordered = np.sort(np.asarray(values, dtype=float), axis=None)
    sums, below = ordered.cumsum(), np.arange(1, ordered.size)
    above = ordered.size - below
    gap = (sums[-1] - sums[:-1]) / above - sums[:-1] / below
    return float(ordered[np.argmax(below * above * gap**2)]) if below.size else 0.0


def averaged_saliency(
    model, images, targets=None, method=vanilla_saliency, shifts=(0, 5, -6, 9), flip=True
) -> torch.Tensor:
    """The mean map over small shifts of the picture and its mirror image.

    A network samples its picture on a grid; shift the picture by a few pixels and the
    map's grain changes, while the object's outline moves along. Moved back and averaged,
    the outline stays.

    Args:
        model: a classifier.
        images: (N, 3, H, W), preprocessed.
        targets: as everywhere; None is each *unshifted* picture's top class.
        method: ``method(model, images, targets)`` gives maps (N, H, W).
        shifts: of pixels, to the right and down at once, each less than half the side.
        flip: take the mirror image along.

    Returns:
        (N, H, W): the mean of ``len(shifts)`` maps, of twice as many with `flip`.
    """
    if targets is None:
        targets = read_answer(model, images)[1]
    shifts = list(shifts)
    if not shifts or any(2 * abs(shift) >= min(images.shape[-2:]) for shift in shifts):
        raise ValueError(f"shifts: wants some, below half the side, not {shifts}")
    total = 0.0
    for shift in shifts:
        for mirrored in (False, True) if flip else (False,):
            moved = _shifted(images, shift)
            moved = moved.flip(-1) if mirrored else moved
            maps = method(model, moved, targets)
            total = total + _shifted(maps.flip(-1) if mirrored else maps, -shift)
    return total / (len(shifts) * (1 + flip))


def rival_boxes(maps) -> dict[str, list[Box]]:
    """Boxes that cost next to nothing, to measure any localization beside.

    Args:
        maps: (N, H, W), not negative.

    Returns:
        Name → N boxes: the whole picture; a centred box of half its area; the largest
        component above 15 % of the maximum of the smoothed map.
    """
    rivals = {"whole picture": [], "centred box": [], "plain threshold": []}
    for saliency in maps:
        values = gaussian_filter(_check_map(saliency), 5.0, mode="nearest")
        height, width = values.shape
        left, top = (round(side * (1 - 0.5**0.5) / 2) for side in (width, height))
        bright = largest_component(values > 0.15 * values.max())
        rivals["whole picture"].append((0, 0, width, height))
        rivals["centred box"].append((left, top, width - left, height - top))
        rivals["plain threshold"].append(mask_box(bright))
    return rivals


def _shifted(values: torch.Tensor, shift: int) -> torch.Tensor:
    """Moved right and down by `shift` pixels, the border repeated by reflection."""
    for axis in (-2, -1):
        length = values.shape[axis]
        place = (torch.arange(length, device=values.device) - shift).abs()
        place = torch.where(place >= length, 2 * (length - 1) - place, place)
        values = values.index_select(axis, place)
    return values


# -- what comes in ---------------------------------------------------------------------


def _check_map(saliency) -> np.ndarray:
    values = saliency.detach().cpu() if isinstance(saliency, torch.Tensor) else saliency
    try:
        values = np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"saliency: wants a map (H, W) of numbers, not {type(saliency).__name__}"
        ) from error
    if values.ndim != 2 or values.size == 0:
        raise ValueError(
            f"saliency: wants one map (H, W), not the shape {values.shape}"
            + ("; take one of the batch by [0]" if values.ndim == 3 else "")
        )
    if values.size > MOST_PIXELS:
        raise ValueError(
            f"saliency: wants at most {MOST_PIXELS:,} pixels, not {values.size:,}"
        )
    if not np.isfinite(values).all() or values.min() < 0:
        raise ValueError(
            "saliency: wants finite values that are not negative; "
            "take the absolute value of a signed map"
        )
    return values


def _check_picture(image, shape: tuple[int, int]) -> np.ndarray:
    """(H, W, 3) floats in [0, 1] of the map's size."""
    if isinstance(image, Image.Image):
        image = image.convert("RGB")
    elif not isinstance(image, np.ndarray):
        raise TypeError(
            f"image: wants a PIL picture or an array (H, W, 3), not {type(image).__name__}"
        )
    colours = np.asarray(image)
    if colours.shape != (*shape, 3):
        raise ValueError(
            f"image: wants the map's size, shape {(*shape, 3)}, not {colours.shape}; "
            "fit_image() crops a picture as preprocess() does"
        )
    scale = 255 if colours.dtype == np.uint8 else 1
    colours = colours.astype(float) / scale
    if not (np.isfinite(colours).all() and colours.min() >= 0 and colours.max() <= 1):
        raise ValueError("image: wants uint8, or floats in [0, 1]")
    return colours


def _check_quantiles(foreground, background) -> None:
    _check_number("foreground", foreground, 0.0)
    _check_number("background", background, 0.0)
    if not 0 < background < foreground < 1:
        raise ValueError(
            "foreground: wants quantiles 0 < background < foreground < 1, not "
            f"background {background} and foreground {foreground}"
        )


def _check_number(name: str, value, least: float) -> None:
    is_number = isinstance(value, (int, float, np.integer, np.floating))
    if not is_number or isinstance(value, bool) or not least <= value < np.inf:
        what = "a positive number" if least else "a number from 0"
        raise ValueError(f"{name}: wants {what}, not {value!r}")


def _check_sizes(sizes) -> tuple[float, ...]:
    values = sizes if isinstance(sizes, (Sequence, np.ndarray)) else [sizes]
    if isinstance(sizes, str) or len(values) == 0:
        raise ValueError(f"sizes: wants one or more positive numbers, not {sizes!r}")
    for value in values:
        _check_number("sizes", value, 1e-6)
    return tuple(float(value) for value in values)


def _check_pixels(pixels, shape: tuple[int, int], name: str) -> np.ndarray:
    if pixels is None:
        return np.zeros(shape, dtype=bool)
    chosen = np.asarray(pixels)
    if chosen.shape != shape or chosen.dtype != bool:
        raise ValueError(
            f"{name}: wants a mask of bool, shape {shape}, not {chosen.dtype} of shape "
            f"{chosen.shape}"
        )
    return chosen


def _check_box(box, name: str) -> tuple[float, float, float, float]:
    try:
        x0, y0, x1, y1 = (float(edge) for edge in box)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name}: wants four numbers x0, y0, x1, y1, not {box!r}"
        ) from error
    if not (np.isfinite([x0, y0, x1, y1]).all() and x0 <= x1 and y0 <= y1):
        raise ValueError(f"{name}: wants finite x0 ≤ x1 and y0 ≤ y1, not {box!r}")
    return x0, y0, x1, y1
