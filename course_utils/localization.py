"""Weak localization: from a saliency map to a mask and a box, as in lesson 07.

A classifier is trained on labels alone; nobody ever told it where an object is. Its
saliency map knows more. Simonyan et al. (2013, section 3.2, arXiv:1312.6034) take the
brightest pixels of the map as examples of the object's colours and the darkest as
examples of the background's, and let a graph cut decide on all the others.

The functions come in the order in which `localize` calls them; the cuts are in
`graph_cuts`. An `image` is an array (H, W, 3) of colours in [0, 1] unless noted, a
`saliency` map (H, W) holds no negative values, and masks are bool of shape (H, W).
Arguments that do not fit raise `ArgumentError`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from scipy.ndimage import distance_transform_edt, gaussian_filter

from ._machinery.arguments import ArgumentError, described, function, number, numbers
from .gradients import vanilla_saliency
from .graph_cuts import (
    cut_by_halves,
    cut_quality,
    halved,
    largest_component,
    minimum_cut,
    neighbour_links,
    parts_with,
    summed,
)
from .targets import predict

Box = tuple[int, int, int, int]
SURE = 10.0  # evidence is capped here: odds of e¹⁰ to 1
COARSE = 64  # largest shorter side of the image on which sizes are compared
SIZES = (0.35, 0.5, 0.7, 0.9, 1.15, 1.5)
EXAMPLES = 1500  # about as many colours as a mixture is fitted to
MOST_PIXELS = 1_000_000


@dataclass(frozen=True)
class GraphCut:
    """How `localize` weighs map, colours and outline.

    ``GraphCut(map_weight=0, sizes=1)`` is the evidence of the paper itself.
    """

    smoothing: float = 4.0  # deviation of the Gaussian that blurs the map, in pixels, or 0
    components: int = 8  # Gaussians in each of the two colour mixtures, 1 to 50
    contrast: float = 60.0  # of `neighbour_links`; more makes the outline shorter
    colour_weight: float = 1.0  # factor of `colour_evidence`
    map_weight: float = 5.0  # factor of `map_evidence`
    # Factors of the map's threshold to be tried, or one; smaller ones find larger objects.
    sizes: Sequence[float] = SIZES

    def __post_init__(self):
        for name in ("smoothing", "contrast", "colour_weight", "map_weight"):
            number(name, getattr(self, name), low=0)
        number("components", self.components, 1, 50, whole=True)
        tried = np.atleast_1d(self.sizes).tolist()
        sizes = tuple(number("sizes", size, low=0, above=True) for size in tried)
        if not sizes:
            raise ArgumentError("sizes", "must hold at least one number, got none")
        object.__setattr__(self, "sizes", sizes)


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


def find_seeds(saliency, foreground=0.95, background=0.30) -> tuple[np.ndarray, np.ndarray]:
    """Two masks: pixels at or above the quantile `foreground`, at or below `background`.

    They share no pixel, and are empty for a map that is the same everywhere. If most of a
    map is equal, bright means above it.

    Example:
        >>> bright, dark = find_seeds(np.arange(100.0).reshape(10, 10))
        >>> int(bright.sum()), int(dark.sum())
        (5, 30)
    """
    smoothed = _checked_map(saliency)
    number("background", background, 0, 1, above=True)
    number("foreground", foreground, 0, 1, above=True)
    if not background < foreground < 1:
        words = f"must be above background ({background}) and below 1, got {foreground}"
        raise ArgumentError("foreground", words)
    low, high = np.quantile(smoothed, [background, foreground])
    bright, dark = smoothed >= high, smoothed <= low
    if low == high:  # most of the map is equal: a bright seed must stand out
        bright = smoothed > high
        dark &= bright.any()
    return bright, dark


def colour_evidence(image, foreground, background, components: int = 8) -> np.ndarray:
    """(H, W): how much better each colour fits the foreground, in nats, within ±10.

    The log-likelihood ratio log p(colour | object) − log p(colour | background) under two
    mixtures of Gaussians, each fitted to the colours of its seeds. A mixture has no more
    Gaussians than its seeds have colours; without seeds of one kind the evidence is 0.
    """
    from sklearn.mixture import GaussianMixture  # here, because it takes 0.4 s to import

    image, log_p = np.asarray(image, dtype=float), []
    for seeds in (foreground, background):
        colours = image[np.asarray(seeds, dtype=bool)]
        if len(colours) == 0:
            return np.zeros(image.shape[:2])
        colours = colours[:: max(1, len(colours) // EXAMPLES)]
        if len(colours) == 1:
            colours = np.repeat(colours, 2, axis=0)  # scikit-learn asks for two
        # The floor of the variances is a hundredth of the range [0, 1], squared.
        count = min(components, len(np.unique(colours, axis=0)))
        fitting = {"max_iter": 1000, "init_params": "k-means++", "random_state": 0}
        mixture = GaussianMixture(count, reg_covar=1e-4, **fitting).fit(colours)
        log_p.append(mixture.score_samples(image.reshape(-1, 3)))
    return (log_p[0] - log_p[1]).reshape(image.shape[:2]).clip(-SURE, SURE)


def map_evidence(smoothed) -> np.ndarray:
    """(H, W): log of the map (at least 1/1000 of its maximum) over its threshold."""
    values = np.asarray(smoothed, dtype=float)
    if values.max() == values.min():  # nowhere brighter
        return np.zeros_like(values)
    least = values.max() / 1000
    return np.log(np.maximum(values, least) / max(two_group_threshold(values), least))


def two_group_threshold(values) -> float:
    """Where numbers divide into groups of largest w₀·w₁·(μ₁ − μ₀)² (Otsu 1979).

    This is the variance between the two; w are their shares, and μ their means.
    """
    ordered = np.sort(np.asarray(values, dtype=float), axis=None)
    sums, below = ordered.cumsum(), np.arange(1, ordered.size)
    above = ordered.size - below
    gap = (sums[-1] - sums[:-1]) / above - sums[:-1] / below
    return float(ordered[np.argmax(below * above * gap**2)])


def best_size(evidence, colour, image, cut: GraphCut) -> float:
    """Which of `cut.sizes` gives the cut of the highest `cut_quality`, on a small image.

    `evidence` (H, W) is that of size 1, `colour` (H, W) the part of it from colours alone.
    If no cut has an outline, it is the size nearest to 1.
    """
    pixels, contrast = 1, cut.contrast
    while min(evidence.shape) > COARSE:
        evidence, colour, image = summed(evidence), halved(colour), halved(image)
        pixels, contrast = 4 * pixels, 2 * contrast
    links = neighbour_links(image, 1.0)
    weighted = (*links[:2], contrast * links[2])
    quality = {}
    for size in cut.sizes:
        shift = pixels * cut.map_weight * np.log(size)
        quality[size] = cut_quality(minimum_cut(evidence - shift, weighted), colour, links)
    if max(quality.values()) == -np.inf:
        return min(cut.sizes, key=lambda size: abs(np.log(size)))
    return max(quality, key=quality.get)


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


@dataclass(frozen=True)
class Localization:
    """Where the object is, and how that was found; the arrays are (H, W)."""

    mask: np.ndarray  # the object: the largest component of `cut`
    box: Box  # around the mask, see `mask_box`; (0, 0, 0, 0) for an empty one
    cut: np.ndarray  # the object's side of the graph cut
    foreground: np.ndarray  # the seeds
    background: np.ndarray
    smoothed: np.ndarray  # the saliency map after smoothing
    evidence: np.ndarray  # of colours and map, in nats; positive in favour of the object
    size: float = 0.0  # which of the `sizes` was chosen; 0.0 if there was nothing to choose


def localize(
    image,
    saliency,
    foreground: float = 0.95,
    background: float = 0.30,
    *,
    cut: GraphCut = GraphCut(),
    object_pixels=None,
    background_pixels=None,
) -> Localization:
    """Find the object that a saliency map shows: mask and box, empty for a flat map.

    Four things are this course's own. The map is smoothed first. Seeds are only examples
    of colours, not certain: five per cent of an image may be more than a small object, and
    the dark inside of a large one is not background. The map is evidence of its own, beside
    the colours. And since a map does not tell how large its object is, the image is cut at
    several sizes, and the best cut is kept (Carreira & Sminchisescu 2012).

    Args:
        image: a PIL image or an array (H, W, 3), `uint8` or floats in [0, 1].
        saliency: (H, W), a tensor or an array of the image's size.
        foreground, background: quantiles of the smoothed map, see `find_seeds`.
        cut: how the evidence is weighed, see `GraphCut`.
        object_pixels, background_pixels: (H, W) bool, pixels that you know for certain
            (seeds by hand, Boykov & Jolly 2001), see `mark_map`; the mask then holds the
            parts of the cut in which `object_pixels` lie.

    Example:
        >>> picture = np.zeros((40, 40, 3)); picture[10:20, 5:25] = 1.0
        >>> localize(picture, picture[..., 0]).box
        (5, 10, 25, 20)
    """
    if not isinstance(cut, GraphCut):
        raise ArgumentError("cut", f"must be a GraphCut, got {described(cut)}")
    raw = _checked_map(saliency)
    colours = _checked_image(image, raw.shape)
    inside = _checked_pixels("object_pixels", object_pixels, raw.shape)
    outside = _checked_pixels("background_pixels", background_pixels, raw.shape)
    if (inside & outside).any():
        raise ArgumentError("object_pixels", "must not share pixels with background_pixels")

    blurred = gaussian_filter(raw, cut.smoothing, mode="nearest")
    smoothed = mark_map(blurred, inside, outside)
    if raw.max() == raw.min() and not inside.any():  # the map says nothing
        empty = np.zeros(raw.shape, dtype=bool)
        return Localization(empty, mask_box(empty), empty, empty, empty, smoothed, 0 * raw)
    bright, dark = find_seeds(smoothed, foreground, background)
    bright, dark = (bright | inside) & ~outside, (dark | outside) & ~inside

    colour = colour_evidence(colours, bright, dark, cut.components)
    evidence = cut.colour_weight * colour + cut.map_weight * map_evidence(smoothed)
    evidence[inside], evidence[outside] = np.inf, -np.inf
    size = best_size(evidence, colour, colours, cut)
    evidence -= cut.map_weight * np.log(size)

    found = cut_by_halves(evidence, colours, cut.contrast)
    if not found.any():  # the whole outline costs more than what it encloses
        found = bright
    mask = parts_with(found, inside) if inside.any() else largest_component(found)
    evidence = np.nan_to_num(evidence, posinf=SURE, neginf=-SURE)
    return Localization(mask, mask_box(mask), found, bright, dark, smoothed, evidence, size)


# -- for comparison --------------------------------------------------------------------


def iou(box_a, box_b) -> float:
    """Intersection over union of two boxes (x0, y0, x1, y1), in [0, 1]; 0 for empty ones.

    Example:
        >>> iou((0, 0, 2, 2), (1, 0, 3, 2))  # 2 pixels of 6
        0.3333333333333333
    """
    a, b = _checked_box("box_a", box_a), _checked_box("box_b", box_b)
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    union = sum((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in (a, b)) - shared
    return shared / union if union > 0 else 0.0


def averaged_saliency(
    model, images, targets=None, method=vanilla_saliency, shifts=(0, 5, -6, 9), flip=True
) -> torch.Tensor:
    """(N, H, W): the mean map over small shifts of each image and its mirror image.

    Shift an image by some pixels, right and down at once, and the grain of its map changes,
    while the object's outline moves along. Moved back and averaged, the outline stays.
    ``method(model, images, targets)`` gives maps (N, H, W); targets of None are the top
    classes of the *unshifted* images; each shift is less than half the side.
    """
    function("method", method, "method(model, images, targets)")
    targets = predict(model, images).classes if targets is None else targets
    shifts = list(shifts)
    if not shifts or any(2 * abs(shift) >= min(images.shape[-2:]) for shift in shifts):
        words = f"must be one or more, each less than half the image's side, got {shifts}"
        raise ArgumentError("shifts", words)
    maps = []
    for shift in shifts:
        moved = _shifted(images, shift)
        maps.append(_shifted(method(model, moved, targets), -shift))
        if flip:
            mirrored = method(model, moved.flip(-1), targets).flip(-1)
            maps.append(_shifted(mirrored, -shift))
    return torch.stack(maps).mean(dim=0)


def _shifted(values: torch.Tensor, shift: int) -> torch.Tensor:
    """Moved right and down by `shift` pixels, the border filled by reflection."""
    height, width = values.shape[-2:]
    before, after = max(shift, 0), max(-shift, 0)
    padded = F.pad(values, (before, after) * 2, mode="reflect")
    return padded[..., after : after + height, after : after + width]


def rival_boxes(maps) -> dict[str, list[Box]]:
    """Boxes that cost next to nothing, to compare any localization with.

    For N maps (N, H, W), name → N boxes: the whole picture; a centred box of half its area;
    the largest component above 15 % of the maximum of the smoothed map.
    """
    rivals = {"whole picture": [], "centred box": [], "plain threshold": []}
    for saliency in maps:
        smoothed = gaussian_filter(_checked_map(saliency), 5.0, mode="nearest")
        height, width = smoothed.shape
        left, top = (round(side * (1 - 0.5**0.5) / 2) for side in (width, height))
        bright = smoothed > 0.15 * smoothed.max()
        rivals["whole picture"].append((0, 0, width, height))
        rivals["centred box"].append((left, top, width - left, height - top))
        rivals["plain threshold"].append(mask_box(largest_component(bright)))
    return rivals


def _checked_map(saliency) -> np.ndarray:
    values = saliency.detach().cpu() if isinstance(saliency, torch.Tensor) else saliency
    try:
        values = np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        words = f"must be a map (H, W) of numbers, got {described(saliency)}"
        raise ArgumentError("saliency", words) from error
    if values.ndim != 2 or values.size == 0:
        words = f"must be one map of shape (H, W), as maps[0] is, got shape {values.shape}"
    elif values.size > MOST_PIXELS:
        words = f"must have at most {MOST_PIXELS:,} pixels, got {values.size:,}"
    elif not np.isfinite(values).all():
        words = "must not hold NaN or infinite values"
    elif values.min() < 0:
        words = "must not be negative; take the absolute value of a signed map"
    else:
        return values
    raise ArgumentError("saliency", words)


def _checked_image(image, shape: tuple[int, int]) -> np.ndarray:
    """(H, W, 3) floats in [0, 1] of the map's size."""
    image = np.asarray(image.convert("RGB")) if isinstance(image, Image.Image) else image
    if not isinstance(image, np.ndarray):
        words = f"must be a PIL image or an array (H, W, 3), got {described(image)}"
        raise ArgumentError("image", words)
    if image.shape != (*shape, 3):
        words = f"must have the map's size, shape {(*shape, 3)}, got {image.shape}"
        raise ArgumentError("image", f"{words}; fit_image() crops as preprocess() does")
    colours = image.astype(float) / (255 if image.dtype == np.uint8 else 1)
    if not ((colours >= 0) & (colours <= 1)).all():
        raise ArgumentError("image", "must hold uint8, or floats between 0 and 1")
    return colours


def _checked_pixels(name: str, pixels, shape: tuple[int, int]) -> np.ndarray:
    pixels = np.zeros(shape, dtype=bool) if pixels is None else np.asarray(pixels)
    if pixels.shape != shape or pixels.dtype != bool:
        came = f"{pixels.dtype} of shape {pixels.shape}"
        raise ArgumentError(name, f"must be a mask of bool of shape {shape}, got {came}")
    return pixels


def _checked_box(name: str, box) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = numbers(name, box, 4, order="(x0, y0, x1, y1)")
    if x0 > x1 or y0 > y1:
        raise ArgumentError(name, f"must be a box with x0 ≤ x1 and y0 ≤ y1, got {box!r}")
    return x0, y0, x1, y1
