r"""Tests of maps: does a map depend on this network, this class and this image? (lesson 08)

A map that looks right to people may still say nothing about the network. Three questions
can be answered by counting, each beside baselines that know nothing:

* `randomization_test`: does the map change when the network forgets what it learned
  (Adebayo et al. 2018, arXiv:1810.03292)?
* `deletion_insertion`: does the score fall when the map's brightest pixels are hidden
  (Petsiuk, Das & Saenko 2018, arXiv:1806.07421, section 4.3)?
* `pointing_game`: does the brightest pixel lie on the object
  (Zhang et al. 2018, arXiv:1608.00507)?

`random_maps`, `centre_maps` and `edge_maps` are the baselines; `bootstrap_interval` says
how far a mean over a few images can be trusted.
"""

import copy
import math
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.ndimage import sobel
from torch import Tensor, nn

from ._machinery.arguments import (
    ArgumentError,
    choice,
    described,
    function,
    naming,
    number,
    numbers,
)
from ._machinery.fills import Fill, fill_picture
from ._machinery.progress import Progress, goes_on
from .figures import to_array
from .gradients import vanilla_saliency
from .methods import saliency_method
from .models import Unit, layer_path
from .targets import Targets, check_one_image, predict, seeded

Maps = Callable[[nn.Module, Tensor, Targets], Tensor]
Box = Sequence[float]
SCORES = ("probability", "logit")
AT_ONCE = 16  # images in one pass
EDGES = "(x0, y0, x1, y1)"

# -- baselines -------------------------------------------------------------------------


@saliency_method("edges only", name="edges", lesson="08", passes=0)
def edge_maps(images: Tensor) -> Tensor:
    """How steeply brightness changes: (N, H, W), the length of Sobel's gradient.

    It knows the image and no network.
    """
    grey = images.detach().cpu().mean(dim=1).numpy()
    steepness = [np.hypot(sobel(one, axis=0), sobel(one, axis=1)) for one in grey]
    return torch.from_numpy(np.stack(steepness)).to(images)


@saliency_method("centre only", name="centre", lesson="08", passes=0)
def centre_maps(images: Tensor, spread: float = 0.25) -> Tensor:
    """One bright spot in the middle: (N, H, W), in (0, 1].

    Args:
        images: (N, C, H, W); only their size counts.
        spread: standard deviation of the Gaussian, as a share of each side.
    """
    ys, xs = (((torch.arange(n) + 0.5) / n - 0.5) / spread for n in images.shape[2:])
    spot = torch.exp(-(ys[:, None] ** 2 + xs[None, :] ** 2) / 2)
    return spot.to(images).expand(len(images), -1, -1).clone()


@saliency_method("random", name="random", lesson="08", passes=0)
def random_maps(images: Tensor, seed: int = 0) -> Tensor:
    """Noise in [0, 1): (N, H, W); each image has its own, whatever its batch."""
    maps = []
    for image in images.detach().cpu():
        own = zlib.crc32(image.contiguous().numpy().tobytes())
        maps.append(torch.rand(image.shape[1:], generator=seeded(own + seed)))
    return torch.stack(maps).to(images)


# -- intervals -------------------------------------------------------------------------


def bootstrap_interval(
    values, level: float = 0.95, resamples: int = 4000, seed: int = 0
) -> tuple[float, float]:
    """Between which values the mean lies, as far as these few numbers tell.

    Draw as many of the numbers with replacement, again and again; the middle `level` of
    all those means is the interval (Efron 1979, the percentile method).

    Args:
        values: N finite numbers, such as one per image.
        level: share of the means inside the interval.
        resamples: how many times N of them are drawn.
        seed: of the draws.

    Example:
        >>> bootstrap_interval([2.0, 2.0, 2.0])
        (2.0, 2.0)
    """
    from scipy.stats import bootstrap  # slow to import, and rarely needed

    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or values.size == 0 or not np.isfinite(values).all():
        raise ArgumentError(
            "values", f"must be a row of finite numbers, got {values!r:.60}"
        )
    if not 0 < number("level", level) < 1:
        raise ArgumentError(
            "level", f"must be between 0 and 1, both excluded, got {level!r}"
        )
    if values.min() == values.max():  # of one value the interval is known
        return float(values[0]), float(values[0])
    found = bootstrap(
        (values,),
        np.mean,
        confidence_level=level,
        n_resamples=resamples,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(found.low), float(found.high)


# -- randomisation -----------------------------------------------------------------------


@dataclass(frozen=True, repr=False, eq=False)
class RandomizationTest:
    """What `randomization_test` found; L steps, N images.

    Attributes:
        layers: L names; step l has randomised the layers 0 … l, the topmost first.
        correlations: (L, N), each image's rank correlation with its map of the whole
            network.
        other_classes: (N,), the classes that were drawn; None for a unit or a function.
        class_correlations: (N,), the rank correlation of the map for that other class
            with the map for the target, in the whole network; None likewise.
    """

    layers: tuple[str, ...]
    correlations: Tensor
    other_classes: Tensor | None
    class_correlations: Tensor | None

    def __repr__(self) -> str:
        layers, images = self.correlations.shape
        parts = [f"{layers} layers, {images} pictures"]
        if layers:
            first, last = self.correlations.mean(dim=1)[[0, -1]].tolist()
            parts += [
                f"correlation {first:.2f} after {self.layers[0]}, {last:.2f} after all"
            ]
        if self.class_correlations is not None:
            parts += [f"{self.class_correlations.mean():.2f} for another class"]
        return f"RandomizationTest({', '.join(parts)}; rank correlations)"


def randomization_test(
    model: nn.Module,
    images: Tensor,
    targets: Targets = None,
    method: Maps = vanilla_saliency,
    layers: Sequence[str] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> RandomizationTest:
    """Randomise the network's layers from the top, and see whether its maps change.

    Adebayo et al. (2018, arXiv:1810.03292, section 3) call it cascading randomisation. A
    map that does not change did not depend on what the network had learned. Beside it
    stands the map for another class, drawn at random: a map that does not change there
    does not depend on the question. A copy is randomised; the model itself is untouched.

    Args:
        model, images, targets: see `targets`; None is the top class that the *whole*
            network sees.
        method: ``method(model, images, targets)`` gives maps (N, H, W) or (N, 3, H, W).
        layers: what is randomised, step after step: module paths or friendly names, each
            with all that lies inside it; `blocks_from_top` unless given. With an empty
            list only the other class is asked for.
        seed: of the weights and of the other classes.
        progress: called after each batch of maps, see `targets`.

    Example:
        >>> model, images = load_model(), torch.randn(1, 3, 64, 64)
        >>> randomization_test(model, images, 0, vanilla_saliency, ["fire9"]).layers
        ('fire9',)
    """
    function("method", method, "method(model, images, targets) that gives maps")
    _, classes, outputs = predict(model, images, targets)
    targets = targets if classes is None else classes
    layers = tuple(blocks_from_top(model) if layers is None else layers)
    true = method(model, images, targets)
    others = agreement = None
    if classes is not None:
        others = _other_classes(classes, outputs.shape[1], seed)
        agreement = rank_correlation(true, method(model, images, others.to(images.device)))
    made = 1 if classes is None else 2  # batches of maps
    found = RandomizationTest((), torch.empty(0, len(images)), others, agreement)
    for step in range(len(layers) + 1):
        if not goes_on(progress, made + step, made + len(layers), found):
            break
        if step < len(layers):
            randomised = forget(model, layers[: step + 1], seed)
            row = rank_correlation(true, method(randomised, images, targets))
            rows = torch.cat([found.correlations, row[None]])
            found = RandomizationTest(layers[: step + 1], rows, others, agreement)
    return found


def _other_classes(classes: Tensor, count: int, seed: int) -> Tensor:
    """(N,): for each image a class that is not its own, drawn at random."""
    if count < 2:
        raise ArgumentError(
            "model", "must have two classes or more, to ask for another one"
        )
    away = torch.randint(1, count, classes.shape, generator=seeded(seed))
    return (classes.cpu() + away) % count


def blocks_from_top(model: nn.Module) -> list[str]:
    """The paths of a network's blocks that hold parameters, the last one first.

    A block is whatever stands in a chain of `nn.Sequential`: a Fire module of SqueezeNet,
    a residual block, or a single layer.
    """

    def blocks(module: nn.Module, path: str) -> Iterator[str]:
        for name, child in module.named_children():
            place = f"{path}.{name}" if path else name
            if isinstance(child, nn.Sequential):
                yield from blocks(child, place)
            elif any(True for _ in child.parameters()):
                yield place

    return list(blocks(model, ""))[::-1]


@torch.inference_mode(False)  # weights made in inference mode never take gradients
def forget(model: nn.Module, layers: Sequence[str], seed: int = 0) -> nn.Module:
    """A copy of a network in which some layers are randomised.

    Each tensor of their parameters becomes normally distributed with the mean and the
    standard deviation that it had, so that later layers still receive values of the usual
    size. The draws of a layer do not depend on the layers that follow it in the list.

    Args:
        model: stays unchanged.
        layers: module paths or friendly names, each with all that lies inside it.
        seed: of the draws.
    """
    random, copied = seeded(seed), copy.deepcopy(model)
    for layer in layers:
        module = copied.get_submodule(layer_path(model, layer))
        for parameter in module.parameters():
            values = parameter.detach().float().cpu()
            noise = torch.randn(values.shape, generator=random)
            parameter.data.copy_(values.mean() + values.std(correction=0) * noise)
    return copied


def rank_correlation(maps: Tensor, others: Tensor) -> Tensor:
    """(N,): Spearman's rank correlation of two sets of maps, image by image.

    Of absolute values, and of three colours their maximum: the question is where a map is
    strong. A map that is the same everywhere agrees with nothing: 0.

    Args:
        maps, others: (N, H, W) or (N, 3, H, W), of the same shape.

    Example:
        >>> rank_correlation(torch.tensor([[[1.0, 2, 3]]]), torch.tensor([[[4.0, 6, 9]]]))
        tensor([1.])
    """
    from scipy.stats import spearmanr  # slow to import, and rarely needed

    if maps.shape != others.shape:
        raise ArgumentError(
            "others",
            f"must have the shape of the maps, {tuple(maps.shape)}, got "
            f"{tuple(others.shape)}",
        )
    correlations = [
        spearmanr(a, b).statistic if np.ptp(a) and np.ptp(b) else 0.0
        for a, b in zip(_strength(maps), _strength(others), strict=True)
    ]
    return torch.tensor(correlations, dtype=torch.float32)


def _strength(maps: Tensor) -> np.ndarray:
    """(N, pixels): how strong each pixel is, whatever its sign and colour."""
    maps = maps.detach().cpu().abs()
    maps = maps.amax(dim=1) if maps.ndim == 4 else maps
    return maps.flatten(1).double().numpy()


# -- deletion and insertion --------------------------------------------------------------


@dataclass(frozen=True, repr=False, eq=False)
class Curves:
    """What `deletion_insertion` found; S steps.

    Attributes:
        shares: (S + 1,), the share of pixels that is hidden (deletion) or shown
            (insertion), from 0 to 1.
        deletion, insertion: (S + 1,), the score at each share; NaN where `progress`
            stopped before it.
        order: (H·W,), the pixels by row and column, the most important one first.
        filler: (1, 3, H, W), what hidden pixels show.
        image: (1, 3, H, W), the image.
        target: the class; None for a unit or a function.
    """

    shares: np.ndarray
    deletion: np.ndarray
    insertion: np.ndarray
    order: Tensor
    filler: Tensor
    image: Tensor
    target: int | None

    @property
    def deletion_area(self) -> float:
        """Mean height of the deletion curve; the lower, the better the map."""
        return _mean_height(self.deletion)

    @property
    def insertion_area(self) -> float:
        """Mean height of the insertion curve; the higher, the better the map."""
        return _mean_height(self.insertion)

    def hidden(self, share: float, keep: bool = False) -> Tensor:
        """(1, 3, H, W): the image with its most important pixels hidden.

        Args:
            share: of the pixels, in [0, 1].
            keep: show only these pixels instead, as the insertion curve does.
        """
        first = torch.zeros(self.order.numel(), dtype=torch.bool)
        first[self.order[: round(float(share) * self.order.numel())]] = True
        first = first.view(self.image.shape[2:]).to(self.image.device)
        return torch.where(first == keep, self.image, self.filler)

    def __repr__(self) -> str:
        return (
            f"Curves({len(self.shares) - 1} steps, deletion area {self.deletion_area:.3g}, "
            f"insertion area {self.insertion_area:.3g})"
        )


def deletion_insertion(
    model: nn.Module,
    image: Tensor,
    saliency: Tensor,
    target: int | Unit | Callable[[Tensor], Tensor] | None = None,
    steps: int = 50,
    fill: Fill = "mean",
    score: str = "probability",
    seed: int = 0,
    progress: Progress | None = None,
) -> Curves:
    """Hide a map's most important pixels first, or show them first, and follow the score.

    Petsiuk et al. 2018, arXiv:1806.07421, section 4.3. They hide with grey and show on
    the blurred image; here one `fill` serves both, so that both curves run between the
    same two images. The areas are means over the share of pixels, in units of the score.

    Args:
        model: a classifier, (N, 3, H, W) → (N, classes).
        image: (1, 3, H, W), preprocessed.
        saliency: (H, W), or (1, H, W): the larger, the more important; signs count. Equal
            values come in a random order.
        target: a class, a `Unit`, or a function of the outputs that gives (N,) scores;
            None is the top class of the whole image.
        steps: how often the score is asked for on the way.
        fill: of the hidden pixels: ``"mean"``, ``"blur"``, a colour or a tensor (see
            `fill_picture`). No fill is neutral: compare several.
        score: of a class: its ``"probability"`` or its ``"logit"``.
        seed: of the order of equal values.
        progress: called after each pass, see `targets`.

    Example:
        >>> image = torch.randn(1, 3, 64, 64)
        >>> deletion_insertion(load_model(), image, torch.rand(64, 64), 207, 4).shares
        array([0.  , 0.25, 0.5 , 0.75, 1.  ])
    """
    steps = number("steps", steps, low=1, whole=True)
    choice("score", score, SCORES)
    image = check_one_image(model, image).clone()
    with naming(targets="target"):
        classes = predict(model, image, target).classes
    target = target if classes is None else int(classes)
    curves = Curves(
        np.linspace(0, 1, steps + 1),
        np.full(steps + 1, np.nan),
        np.full(steps + 1, np.nan),
        _by_importance(saliency, image.shape[2:], seed),
        fill_picture(fill, image),
        image,
        None if classes is None else target,
    )
    batches = np.array_split(np.arange(steps + 1), math.ceil((steps + 1) / AT_ONCE))
    passes = [(curves.deletion, False, some) for some in batches]
    passes += [(curves.insertion, True, some) for some in batches]
    for done, (curve, keep, some) in enumerate(passes, 1):
        hidden = torch.cat([curves.hidden(curves.shares[step], keep) for step in some])
        scores, _, outputs = predict(model, hidden, target)
        if classes is not None and score == "probability":
            scores = outputs.softmax(dim=1)[:, target]
        curve[some] = scores.double().cpu()
        so_far = replace(
            curves, deletion=curves.deletion.copy(), insertion=curves.insertion.copy()
        )
        if not goes_on(progress, done, len(passes), so_far):
            break
    return curves


def _mean_height(curve: np.ndarray) -> float:
    """The area under evenly spaced points from 0 to 1, by trapezia."""
    return float((curve[:-1] + curve[1:]).mean() / 2)


def _by_importance(saliency, size: Sequence[int], seed: int) -> Tensor:
    """(H·W,): indices of the pixels, the most important first, equals at random."""
    values = torch.as_tensor(saliency).detach().cpu().double()
    values = values[0] if values.ndim == 3 and len(values) == 1 else values
    if values.shape != tuple(size):
        raise ArgumentError(
            "saliency",
            f"must be a map of the image's size, {tuple(size)}, got {described(values)}",
        )
    if not values.isfinite().all():
        raise ArgumentError("saliency", "must be finite, but holds NaN or infinite values")
    values = values.flatten()
    shuffled = torch.randperm(len(values), generator=seeded(seed))
    return shuffled[values[shuffled].argsort(descending=True, stable=True)]


# -- the pointing game -------------------------------------------------------------------


def pointing_game(maps, boxes: Sequence[Box], tolerance: float = 0.0) -> np.ndarray:
    """Whether each map's largest value lies in its box.

    Zhang et al. 2018, arXiv:1608.00507, who grant a tolerance of 15 pixels. Where several
    pixels share the largest value, all of them must lie in the box: a map that is the
    same everywhere does not point.

    Args:
        maps: (N, H, W), a tensor or an array; the larger, the more important.
        boxes: N boxes ``(x0, y0, x1, y1)`` in pixels of the maps; a pixel in column x and
            row y is inside where x0 ≤ x < x1 and y0 ≤ y < y1.
        tolerance: pixels by which a box is widened on each side.

    Returns:
        (N,) bool.

    Example:
        >>> pointing_game(np.eye(4)[None] * np.arange(4), [(3, 3, 4, 4)])
        array([ True])
    """
    maps = to_array(maps)
    if maps.ndim != 3 or maps.size == 0 or not np.isfinite(maps).all():
        raise ArgumentError(
            "maps", f"must be finite values of shape (N, H, W), got {described(maps)}"
        )
    if len(boxes) != len(maps):
        raise ArgumentError("boxes", f"must be one per map, {len(maps)}, got {len(boxes)}")
    hits = []
    for values, box in zip(maps, boxes, strict=True):
        x0, y0, x1, y1 = numbers("boxes", box, 4, order=EDGES)
        ys, xs = np.nonzero(values == values.max())
        across = (x0 - tolerance <= xs) & (xs < x1 + tolerance)
        down = (y0 - tolerance <= ys) & (ys < y1 + tolerance)
        hits.append(bool((across & down).all()))
    return np.array(hits)


def box_shares(boxes: Sequence[Box], size: tuple[int, int]) -> np.ndarray:
    """(N,): the share of the pixels of `size` (H, W) in each box: what guessing hits."""
    ys, xs = np.arange(size[0]), np.arange(size[1])
    shares = []
    for box in boxes:
        x0, y0, x1, y1 = numbers("boxes", box, 4, order=EDGES)
        shares.append(((ys >= y0) & (ys < y1)).mean() * ((xs >= x0) & (xs < x1)).mean())
    return np.array(shares)
