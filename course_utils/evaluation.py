"""Tests of maps: does a map depend on this network, this class and this image? (lesson 09)

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
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import sobel
from torch import Tensor, nn

from ._machinery.arguments import ArgumentError, choice, function, naming, number, numbers
from ._machinery.fills import Fill, fill_picture
from ._machinery.hooks import watching
from ._machinery.progress import Progress, goes_on
from .figures import to_array
from .gradients import vanilla_saliency
from .inputs import own_inputs
from .methods import saliency_method
from .models import Unit, layer_path
from .targets import Targets, check_one_image, predict, seeded

Box = Sequence[float]
SCORES = ("probability", "logit")
AT_ONCE = 16  # images in one pass
EDGES = "(x0, y0, x1, y1)"


@saliency_method("edges only", name="edges", lesson="09", passes=0)
def edge_maps(images: Tensor) -> Tensor:
    """(N, H, W): how steeply brightness changes, the length of Sobel's gradient."""
    grey = images.detach().cpu().float().mean(dim=1).numpy()
    steepness = [np.hypot(sobel(one, axis=0), sobel(one, axis=1)) for one in grey]
    return torch.from_numpy(np.stack(steepness)).to(images)


@saliency_method("centre only", name="centre", lesson="09", passes=0)
def centre_maps(images: Tensor, spread: float = 0.25) -> Tensor:
    """(N, H, W), in (0, 1]: a Gaussian spot; `spread` is its deviation in image sides."""
    ys, xs = (((torch.arange(n) + 0.5) / n - 0.5) / spread for n in images.shape[2:])
    spot = torch.exp(-(ys[:, None] ** 2 + xs[None, :] ** 2) / 2)
    return spot.to(images).expand(len(images), -1, -1).clone()


@saliency_method("random", name="random", lesson="09", passes=0)
def random_maps(images: Tensor, seed: int = 0) -> Tensor:
    """(N, H, W), in [0, 1): noise; each image has its own, whatever its batch."""
    maps = []
    for image in images.detach().cpu():
        # NumPy knows no bfloat16.
        own = zlib.crc32(image.float().contiguous().numpy().tobytes())
        maps.append(torch.rand(image.shape[1:], generator=seeded(own + seed)))
    return torch.stack(maps).to(images)


def bootstrap_interval(
    values, level: float = 0.95, resamples: int = 4000, seed: int = 0
) -> tuple[float, float]:
    """Between which values the mean lies, as far as these few numbers tell.

    Of N values, draw N with replacement, `resamples` times; the middle `level` of all their
    means is the interval (Efron 1979, the percentile method).

    Example:
        >>> bootstrap_interval([2.0, 2.0, 2.0])
        (2.0, 2.0)
    """
    from scipy.stats import bootstrap  # slow to import, and rarely needed

    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or values.size == 0 or not np.isfinite(values).all():
        words = f"must be a row of finite numbers, got {values!r:.60}"
        raise ArgumentError("values", words)
    if not 0 < number("level", level) < 1:
        raise ArgumentError("level", f"must be between 0 and 1, got {level!r}")
    if values.min() == values.max():  # of one value the interval is known
        return float(values[0]), float(values[0])
    how = {"confidence_level": level, "n_resamples": resamples, "method": "percentile"}
    found = bootstrap((values,), np.mean, rng=np.random.default_rng(seed), **how)
    return tuple(map(float, found.confidence_interval))


# -- randomisation -----------------------------------------------------------------------


@dataclass(frozen=True, repr=False, eq=False)
class RandomizationTest:
    """What `randomization_test` found; L steps, N images.

    All correlations are rank correlations with the map of the whole network for the target.
    """

    layers: tuple[str, ...]  # L names; step l has randomised layers[: l + 1]
    correlations: Tensor  # (L, N)
    other_classes: Tensor | None  # (N,), as drawn; None for a unit or a function
    class_correlations: Tensor | None  # (N,), of the whole network's maps for those classes

    def __repr__(self) -> str:
        parts = [f"{mean:.2f}" for mean in self.correlations.mean(dim=1)]
        if self.class_correlations is not None:
            parts += [f"{self.class_correlations.mean():.2f} for another class"]
        return f"RandomizationTest(mean correlations {', '.join(parts)})"


def randomization_test(
    model: nn.Module,
    images: Tensor,
    targets: Targets = None,
    method: Callable = vanilla_saliency,
    layers: Sequence[str] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> RandomizationTest:
    """Randomise the network's layers from the top, and see whether its maps change.

    Adebayo et al. (2018, arXiv:1810.03292, section 3) call it cascading randomisation. A
    map that hardly changes says little about what the network learned; one that changes
    need not be right, as noise changes, too (Binder et al. 2023, arXiv:2211.12486).
    Beside it stands the map for another class, drawn at random: a map that does not change
    there does not depend on the question. A copy is randomised; the model is untouched.

    Args:
        model, images, targets, progress: see `targets`; None is the *whole* network's top.
        method: ``method(model, images, targets)`` gives maps (N, H, W) or (N, 3, H, W).
        layers: what is randomised, step after step, as in `forget`; `blocks_from_top`
            unless given. With an empty list only the other class is asked for.
        seed: of the weights and of the other classes.

    Example:
        >>> model, images = load_model(), torch.randn(1, 3, 64, 64)
        >>> randomization_test(model, images, 0, vanilla_saliency, ["fire9"]).layers
        ('fire9',)
    """
    function("method", method, "method(model, images, targets) that gives maps")
    answer = predict(model, images, targets)
    classes, outputs = answer.classes, answer.outputs
    targets = targets if classes is None else classes
    layers = tuple(blocks_from_top(model, images) if layers is None else layers)
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
        raise ArgumentError("model", "must have at least two classes")
    away = torch.randint(1, count, classes.shape, generator=seeded(seed))
    return (classes.cpu() + away) % count


def blocks_from_top(model: nn.Module, images: Tensor | None = None) -> list[str]:
    """The paths of a network's blocks that hold parameters, the last one first.

    A block is whatever stands in a chain of `nn.Sequential`, such as a Fire module. With
    `images` (N, C, H, W), only blocks that they pass count, in the order in which they do;
    without, all of them in the order in which the network was written down.
    """
    if images is not None:
        modules, passed = (
            {path: model.get_submodule(path) for path in blocks_from_top(model)},
            {},
        )
        with watching(
            modules, lambda path, _: passed.update({path: passed.pop(path, None)})
        ):
            predict(model, images[:1], lambda _: images.new_zeros(1))
        return [*passed][::-1]
    blocks = []
    for name, child in [*model.named_children()][::-1]:
        if isinstance(child, nn.Sequential):
            blocks += [f"{name}.{inside}" for inside in blocks_from_top(child)]
        elif [*child.parameters()]:
            blocks.append(name)
    return blocks


@torch.inference_mode(False)  # weights made in inference mode never take gradients
def forget(model: nn.Module, layers: Sequence[str], seed: int = 0) -> nn.Module:
    """A copy of a network in which some layers, with all that lies in them, are randomised.

    Each tensor of their parameters becomes normally distributed with the mean and the
    standard deviation that it had, so that later layers still receive values of the usual
    size. The draws of a layer do not depend on the layers that follow it in the list.
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

    The maps are (N, H, W) or (N, 3, H, W). Of absolute values, and of three colours their
    maximum: the question is where a map is strong. One that is the same everywhere gets 0.

    Example:
        >>> rank_correlation(torch.tensor([[[1.0, 2, 3]]]), torch.tensor([[[4.0, 6, 9]]]))
        tensor([1.])
    """
    from scipy.stats import spearmanr  # slow to import, and rarely needed

    if maps.shape != others.shape:
        words = f"must have the shape of the maps, {tuple(maps.shape)}, got"
        raise ArgumentError("others", f"{words} {tuple(others.shape)}")
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
    """What `deletion_insertion` found; S steps."""

    shares: np.ndarray  # (S + 1,), of pixels that are hidden or shown, from 0 to 1
    deletion: np.ndarray  # (S + 1,), the score at each share; NaN where it was stopped
    insertion: np.ndarray  # likewise
    order: Tensor  # (H·W,), indices of the pixels, the most important one first
    filler: Tensor  # (1, 3, H, W), what hidden pixels show
    image: Tensor  # (1, 3, H, W)
    target: int | None  # the class; None for a unit or a function

    @property
    def deletion_area(self) -> float:
        """Mean height of the deletion curve; the lower, the better the map."""
        return _mean_height(self.deletion)

    @property
    def insertion_area(self) -> float:
        """Mean height of the insertion curve; the higher, the better the map."""
        return _mean_height(self.insertion)

    def hidden(self, share: float, keep: bool = False) -> Tensor:
        """(1, 3, H, W): the image with this share of pixels hidden, or only them kept."""
        first = torch.zeros(self.order.numel(), dtype=torch.bool)
        first[self.order[: round(float(share) * self.order.numel())]] = True
        first = first.view(self.image.shape[2:]).to(self.image.device)
        return torch.where(first == keep, self.image, self.filler)

    def __repr__(self) -> str:
        areas = f"{self.deletion_area:.3g}, insertion area {self.insertion_area:.3g}"
        return f"Curves({len(self.shares) - 1} steps, deletion area {areas})"


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
        model, target, progress: see `targets`.
        image: (1, 3, H, W), preprocessed.
        saliency: (H, W), or (1, H, W): the larger, the more important; signs count.
        steps: how often the score is asked for on the way.
        fill: ``"mean"``, ``"blur"``, a colour … (see `fill_picture`). None of them is
            neutral: compare several.
        score: of a class: its ``"probability"`` or its ``"logit"``.
        seed: of the order of equal values.

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
    named = None if classes is None else int(classes)
    target = target if classes is None else named
    deletion, insertion = np.full((2, steps + 1), np.nan)
    shares, order = np.linspace(0, 1, steps + 1), _by_importance(saliency, image, seed)
    filler = fill_picture(fill, image, own_inputs(model)).detach()
    curves = Curves(shares, deletion, insertion, order, filler, image, named)
    batches = np.array_split(np.arange(steps + 1), math.ceil((steps + 1) / AT_ONCE))
    passes = [(curves.deletion, False, some) for some in batches]
    passes += [(curves.insertion, True, some) for some in batches]
    for done, (curve, keep, some) in enumerate(passes, 1):
        hidden = torch.cat([curves.hidden(curves.shares[step], keep) for step in some])
        answer = predict(model, hidden, target)
        by_share = classes is not None and score == "probability"
        scores = answer.shares[:, target] if by_share else answer.scores
        curve[some] = scores.double().cpu()
        if not goes_on(progress, done, len(passes), copy.deepcopy(curves)):
            break
    return curves


def _mean_height(curve: np.ndarray) -> float:
    """The area under evenly spaced points from 0 to 1, by trapezia."""
    return float((curve[:-1] + curve[1:]).mean() / 2)


def _by_importance(saliency, image: Tensor, seed: int) -> Tensor:
    """(H·W,): indices of the pixels, the most important first, equals at random."""
    values = torch.as_tensor(saliency).detach().cpu().double()
    values = values[0] if values.ndim == 3 and len(values) == 1 else values
    if values.shape != image.shape[2:]:
        size, came = tuple(image.shape[2:]), tuple(values.shape)
        words = f"must be a map of the image's size, {size}, got shape {came}"
        raise ArgumentError("saliency", words)
    if not values.isfinite().all():
        raise ArgumentError("saliency", "must not hold NaN or infinite values")
    values = values.flatten()
    shuffled = torch.randperm(len(values), generator=seeded(seed))
    return shuffled[values[shuffled].argsort(descending=True, stable=True)]


# -- the pointing game -------------------------------------------------------------------


def pointing_game(maps, boxes: Sequence[Box], tolerance: float = 0.0) -> np.ndarray:
    """(N,) bool: whether each map's largest value lies in its box.

    Zhang et al. 2018, arXiv:1608.00507, who grant a tolerance of 15 pixels. Where several
    pixels share the largest value, all of them must lie in the box: a map that is the
    same everywhere does not point.

    Args:
        maps: (N, H, W), a tensor or an array; the larger, the more important.
        boxes: N boxes ``(x0, y0, x1, y1)`` in pixels; inside is x0 ≤ x < x1, y0 ≤ y < y1.
        tolerance: pixels by which a box is widened on each side.

    Example:
        >>> pointing_game(np.eye(4)[None] * np.arange(4), [(3, 3, 4, 4)])
        array([ True])
    """
    maps = to_array(maps)
    if maps.ndim != 3 or maps.size == 0 or not np.isfinite(maps).all():
        words = f"must be finite values of shape (N, H, W), got shape {maps.shape}"
        raise ArgumentError("maps", words)
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


def shares_in_boxes(maps, boxes: Sequence[Box]) -> np.ndarray:
    """(N,): which share of each map (N, H, W), not negative, lies in its box.

    Beside it stands what guessing gets: `box_shares`. A map that is zero has a share of 0.

    Example:
        >>> shares_in_boxes(np.ones((1, 4, 4)), [(0, 0, 2, 4)])
        array([0.5])
    """
    found = []
    for values, box in zip(to_array(maps), boxes, strict=True):
        x0, y0, x1, y1 = numbers("boxes", box, 4, order=EDGES)
        ys, xs = np.ogrid[: values.shape[0], : values.shape[1]]
        inside = (ys >= y0) & (ys < y1) & (xs >= x0) & (xs < x1)
        found.append(values[inside].sum() / max(values.sum(), 1e-12))
    return np.array(found)
