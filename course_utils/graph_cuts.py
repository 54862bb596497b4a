"""Graph cuts: the cheapest way to divide an image into object and background, lesson 07.

Each pixel has evidence, in nats: in favour of the object where positive. Each two
neighbours have a link, which costs something to cut. `neighbour_links` computes the links,
`minimum_cut` finds the cheapest division, `cut_by_halves` nearly the same one, faster, and
`cut_quality` says which of several looks most like an object.
"""

import numpy as np
from scipy.ndimage import binary_dilation, binary_erosion, label
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

# Steps (down, right) to four of a pixel's eight neighbours: so each pair comes once.
NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))
UNITS = 100  # a capacity of 1 in the whole numbers that the solver takes
CONNECTED = np.ones((3, 3))  # pixels that share a corner are connected
HALVED = 128  # largest shorter side of the image on which a cut begins


def neighbour_links(image, contrast: float = 60.0) -> tuple[np.ndarray, ...]:
    """What it costs to separate each pixel from each of its eight neighbours.

    The cost is ``contrast · exp(−‖Δ‖² / 2m) / distance``: Δ is the difference of the two
    colours, m the mean of ‖Δ‖² over the image (Boykov & Jolly 2001; Rother et al. 2004,
    section 2.1). Cutting between similar pixels costs more than cutting along an edge.

    For an image (H, W, 3) of any range, it is (first, second, cost), each (links,): the
    indices ``row · W + column`` of two neighbours, and floats. Each pair comes once.
    """
    colours = np.asarray(image, dtype=float)
    height, width = colours.shape[:2]
    index = np.arange(height * width).reshape(height, width)
    pairs, squares, lengths = [], [], []
    for down, right in NEIGHBOURS:
        one = np.s_[: height - down, max(0, -right) : width - max(0, right)]
        other = np.s_[down:, max(0, right) : width - max(0, -right)]
        pairs.append([index[one].ravel(), index[other].ravel()])
        squares.append(((colours[one] - colours[other]) ** 2).sum(axis=2).ravel())
        lengths.append(np.full(squares[-1].size, np.hypot(down, right)))
    first, second = np.concatenate(pairs, axis=1)
    squares, lengths = np.concatenate(squares), np.concatenate(lengths)
    mean = squares.mean() if squares.any() else 1.0
    return first, second, contrast * np.exp(-squares / (2 * mean)) / lengths


def minimum_cut(evidence, links) -> np.ndarray:
    """The labelling that costs least: pay for evidence ignored and for links cut.

    A pixel of positive evidence e costs e if it is called background, one of negative
    evidence −e if it is called object; a link costs its weight if its ends are called
    differently. A maximum flow finds the cheapest of all 2^pixels labellings, and of
    several the one with the fewest pixels (Greig et al. 1989). A pixel that is certain
    needs no place in the graph: its links become evidence of its neighbours.

    Args:
        evidence: any shape, in nats; ±inf for a pixel that is certain.
        links: (first, second, cost) as of `neighbour_links`; costs not negative, rounded
            to 1/100, because the solver takes whole numbers.

    Example:
        >>> links = np.array([0, 1]), np.array([1, 2]), np.array([4.0, 2.0])
        >>> minimum_cut(np.array([5.0, -1.0, -3.0]), links).tolist()  # True is object
        [True, True, False]
    """
    evidence = np.asarray(evidence, dtype=float)
    first, second, costs = (np.asarray(part) for part in links)
    costs = np.rint(UNITS * costs).astype(np.int64)
    own = np.rint(UNITS * np.clip(evidence.ravel(), -1e6, 1e6)).astype(np.int64)
    labels, free = evidence.ravel() > 0, np.isfinite(evidence.ravel())
    if free.any():
        for one, other in ((first, second), (second, first)):
            fixed = ~free[one] & free[other]
            pull = np.where(labels[one[fixed]], costs[fixed], -costs[fixed])
            np.add.at(own, other[fixed], pull)
        both, node = free[first] & free[second], np.cumsum(free) - 1
        ends = node[first[both]], node[second[both]]
        labels[free] = _reached_by_flow(own[free], *ends, costs[both])
    return labels.reshape(evidence.shape)


def _reached_by_flow(own, first, second, costs) -> np.ndarray:
    """(N,) bool: what a maximum flow leaves reachable from the object's terminal."""
    source, sink = own.size, own.size + 1
    positive, negative = np.flatnonzero(own > 0), np.flatnonzero(own < 0)
    tails = np.concatenate([first, second, np.full(positive.size, source), negative])
    heads = np.concatenate([second, first, positive, np.full(negative.size, sink)])
    capacities = np.concatenate([costs, costs, own[positive], -own[negative]])
    graph = csr_matrix((capacities.astype(np.int32), (tails, heads)), (own.size + 2,) * 2)
    residual = graph - maximum_flow(graph, source, sink).flow > 0
    reached = breadth_first_order(residual, source, return_predecessors=False)
    return np.isin(np.arange(own.size), reached)


def cut_by_halves(evidence, image, contrast: float = 60.0, band: int = 4) -> np.ndarray:
    """Nearly the minimum cut of an image: found at half the size, then refined.

    The flow through 50,000 pixels takes long. So the image is halved until its shorter
    side is at most 128 pixels and cut there; at each doubling only the pixels within
    `band` pixels of the outline are decided again (banded graph cuts, Lombaert et al.
    2005). Halving blurs edges, so an outline that lies farther away may be missed: on the
    course's pictures about 1 pixel in 200 has another label than in the `minimum_cut`.
    """
    links = neighbour_links(image, contrast)
    if min(evidence.shape) <= HALVED:
        return minimum_cut(evidence, links)
    # Half as many pixels along the outline, so each link costs twice as much.
    rough = cut_by_halves(summed(evidence), halved(image), 2 * contrast, band)
    rough = rough.repeat(2, axis=0).repeat(2, axis=1)
    rough = rough[: evidence.shape[0], : evidence.shape[1]]
    near = binary_dilation(rough, CONNECTED, band)
    near &= ~binary_erosion(rough, CONNECTED, band, border_value=1)
    far = np.where(rough, np.inf, -np.inf)
    return minimum_cut(np.where(near | np.isinf(evidence), evidence, far), links)


def summed(evidence: np.ndarray) -> np.ndarray:
    """Evidence of four pixels in one; a certain pixel counts for much, but not all."""
    return 4 * halved(np.clip(evidence, -1e3, 1e3))


def halved(values: np.ndarray) -> np.ndarray:
    """Means of 2×2 pixels of (H, W, …); an odd last row or column counts twice."""
    rows, columns = (side % 2 for side in values.shape[:2])
    edges = ((0, rows), (0, columns), (0, 0))[: values.ndim]
    values = np.pad(values, edges, mode="edge")
    height, width = values.shape[0] // 2, values.shape[1] // 2
    return values.reshape(height, 2, width, 2, *values.shape[2:]).mean(axis=(1, 3))


def cut_quality(cut, colour, links) -> float:
    """How much a cut (H, W) looks like an object; only differences have a meaning.

    ``0.05 · log(share of the image) + 0.025 · (colour inside − outside) − link``: means of
    `colour_evidence` on both sides of the outline of the largest component, and of the
    links that the outline cuts, from 0 (it follows edges all along) to 1 (it runs through
    plain surfaces); `links` are those for a contrast of 1. The factors were chosen on the
    course's pictures. −inf where nothing or everything is object.
    """
    mask = largest_component(cut)
    if not mask.any() or mask.all():
        return -np.inf
    first, second, costs = links
    outline = mask.ravel()[first] != mask.ravel()[second]
    difference = colour[mask].mean() - colour[~mask].mean()
    return 0.05 * np.log(mask.mean()) + 0.025 * difference - costs[outline].mean()


def largest_component(mask) -> np.ndarray:
    """The largest connected part of a mask (H, W); diagonal neighbours are connected.

    An empty mask stays empty; of equally large parts the first by rows is taken.
    """
    parts, count = label(np.asarray(mask, dtype=bool), CONNECTED)
    largest = 1 + np.bincount(parts.ravel())[1:].argmax() if count else 1
    return parts == largest


def parts_with(mask, pixels) -> np.ndarray:
    """The connected parts of a mask (H, W) in which at least one of `pixels` lies."""
    parts, _ = label(np.asarray(mask, dtype=bool), CONNECTED)
    return np.isin(parts, parts[np.asarray(pixels, dtype=bool)]) & (parts > 0)
