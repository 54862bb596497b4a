r"""Tests of maps: does a map tell of this network, this class and this picture?

A map that looks right to people may still say nothing about the network. Three questions
that can be answered by counting, each beside baselines that know nothing:

* `randomization_test`: does the map change when the network forgets what it learned
  (Adebayo et al. 2018, arXiv:1810.03292)?
* `deletion_insertion`: does the score fall when the map's brightest pixels are hidden
  (Petsiuk, Das & Saenko 2018, arXiv:1806.07421, section 4.3)?
* `pointing_game`: does the brightest pixel lie on the object
  (Zhang et al. 2018, arXiv:1608.00507)?

`random_maps`, `centre_maps` and `edge_maps` are the baselines; `bootstrap_interval` says
how far a mean over a few pictures can be trusted.
"""

import copy
import math
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from numbers import Integral

import numpy as np
import torch
from scipy.ndimage import sobel
from scipy.stats import rankdata
from torch import Tensor, nn

from ._machinery.fills import Fill, fill_picture
from .gradients import vanilla_saliency
from .models import Unit, layer_path
from .targets import Targets, check_images, read_answer, seeded

Maps = Callable[[nn.Module, Tensor, Targets], Tensor]
Box = Sequence[float]
SCORES = ("probability", "logit")
AT_ONCE = 16  # pictures in one pass

# -- baselines -------------------------------------------------------------------------


def random_maps(images: Tensor, seed: int = 0) -> Tensor:
    """Noise in [0, 1): (N, H, W), for each picture its own, whatever its batch."""
    maps = []
    for image in images.detach().cpu():
        own = zlib.crc32(image.contiguous().numpy().tobytes())
        random = seeded(own + seed)
        maps.append(torch.rand(image.shape[1:], generator=random))
    return torch.stack(maps).to(images)


def centre_maps(images: Tensor, spread: float = 0.25) -> Tensor:
    """One bright spot in the middle: (N, H, W), in (0, 1].

    Args:
        images: (N, C, H, W); only their size counts.
        spread: standard deviation of the Gaussian, as a share of each side.
    """
    sides = images.shape[2:]
    ys, xs = (((torch.arange(n) + 0.5) / n - 0.5) / spread for n in sides)
    spot = torch.exp(-(ys[:, None] ** 2 + xs[None, :] ** 2) / 2)
    return spot.to(images).expand(len(images), -1, -1).clone()


def edge_maps(images: Tensor) -> Tensor:
    """How steeply brightness changes: (N, H, W), the length of Sobel's gradient.

    It knows the picture and no network.
    """
    grey = images.detach().cpu().mean(dim=1).numpy()
    steepness = [np.hypot(sobel(one, axis=0), sobel(one, axis=1)) for one in grey]
    return torch.from_numpy(np.stack(steepness)).to(images)


# -- intervals -------------------------------------------------------------------------


def bootstrap_interval(
    values, level: float = 0.95, resamples: int = 4000, seed: int = 0
) -> tuple[float, float]:
    """Between which values the mean lies, as far as these few numbers tell.

    Draw as many of the numbers with replacement, again and again; the middle `level` of
    all those means is the interval (Efron 1979, the percentile method).

    Args:
        values: N numbers, such as one a picture.
        level: share of the means inside the interval.
        resamples: how many times N of them are drawn.
        seed: of the draws.

    Raises:
        ValueError: no numbers, NaN among them, or a level outside (0, 1).

    Example:
        >>> bootstrap_interval([2.0, 2.0, 2.0])
        (2.0, 2.0)
    """
    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or values.size == 0 or not np.isfinite(values).all():
        raise ValueError(f"values: wants a row of finite numbers, not {values!r:.60}")
    if not 0 < level < 1:
        raise ValueError(f"level: wants a share in (0, 1), not {level!r}")
    draws = np.random.default_rng(seed).integers(values.size, size=(resamples, values.size))
    low, high = np.quantile(values[draws].mean(axis=1), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


# -- randomisation -----------------------------------------------------------------------


@dataclass(frozen=True, repr=False, eq=False)
class RandomizationTest:
    """What `randomization_test` found; L steps, N pictures.

    Attributes:
        layers: L names; step l has drawn anew the layers 0 … l, the topmost first.
        correlations: (L, N), each picture's rank correlation with its map of the whole
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
        layers, pictures = self.correlations.shape
        parts = [f"{layers} layers, {pictures} pictures"]
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
    progress: Callable[[int, int], object] | None = None,
) -> RandomizationTest:
    """Let the network forget, layer by layer from the top, and see whether maps notice.

    Adebayo et al. (2018, arXiv:1810.03292, section 3) call it cascading randomisation. A
    map that stays as it was did not depend on what the network had learned. Beside it
    stands the map for another class, drawn at random: a map that stays the same there
    does not depend on the question.

    All happens on a copy; the model itself is never touched.

    Args:
        model: a classifier, (N, 3, H, W) → (N, classes).
        images: (N, 3, H, W), preprocessed.
        targets: None, an int, N class indices, a `Unit` or a function (see
            `target_scores`). None is the top class that the *whole* network sees.
        method: ``method(model, images, targets)`` gives maps (N, H, W) or (N, 3, H, W).
        layers: what is drawn anew, step after step: module paths or friendly names, each
            with all that lies inside it; `blocks_from_top` unless given. None at all, []:
            only the other class is asked for.
        seed: of the weights and of the other classes.
        progress: called as ``progress(done, total)`` after each batch of maps; whatever
            it raises ends the work and goes through to the caller.

    Raises:
        TypeError, ValueError, RuntimeError: whatever does not fit, in one sentence.

    Example:
        >>> model, images = load_model(), torch.randn(1, 3, 64, 64)
        >>> randomization_test(model, images, 0, vanilla_saliency, ["fire9"]).layers
        ('fire9',)
    """
    if not callable(method):
        raise TypeError(f"method: wants a function that gives maps, not {method!r}")
    _, classes, outputs = read_answer(model, images, targets)
    targets = targets if classes is None else classes
    layers = tuple(blocks_from_top(model) if layers is None else layers)
    total = len(layers) + 1 + (classes is not None)
    tick = _ticker(progress, total)
    true = method(model, images, targets)
    tick()
    others = agreement = None
    if classes is not None:
        count = outputs.shape[1]
        if count < 2:
            raise ValueError("model: has one class only, so there is no other to ask for")
        random = seeded(seed)
        away = torch.randint(1, count, classes.shape, generator=random)
        others = (classes.cpu() + away) % count
        agreement = rank_correlation(true, method(model, images, others.to(images.device)))
        tick()
    rows = []
    for step in range(len(layers)):
        forgetful = forget(model, layers[: step + 1], seed)
        rows.append(rank_correlation(true, method(forgetful, images, targets)))
        tick()
    correlations = torch.stack(rows) if rows else torch.empty(0, len(images))
    return RandomizationTest(layers, correlations, others, agreement)


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


@torch.inference_mode(False)  # weights made in inference mode take no gradients, ever
def forget(model: nn.Module, layers: Sequence[str], seed: int = 0) -> nn.Module:
    """A copy of a network in which some layers have lost all that they learned.

    Each tensor of their parameters becomes normally distributed with the mean and the
    standard deviation that it had, so that what follows goes on to receive values of its
    size. The same layers in front of the list become the same, whatever follows them.

    Args:
        model: stays as it is.
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
    """(N,): Spearman's rank correlation of two sets of maps, picture by picture.

    Of absolute values, and of three colours their maximum: the question is where a map is
    strong. A map that is the same everywhere agrees with nothing: 0.

    Args:
        maps, others: (N, H, W) or (N, 3, H, W), of the same shape.

    Example:
        >>> rank_correlation(torch.tensor([[[1.0, 2, 3]]]), torch.tensor([[[4.0, 6, 9]]]))
        tensor([1.])
    """
    if maps.shape != others.shape:
        raise ValueError(
            f"others: wants the shape of the maps, {tuple(maps.shape)}, not "
            f"{tuple(others.shape)}"
        )
    return torch.tensor(
        [_spearman(a, b) for a, b in zip(_strength(maps), _strength(others), strict=True)]
    )


def _strength(maps: Tensor) -> np.ndarray:
    """(N, pixels): how strong each pixel is, whatever its sign and colour."""
    maps = maps.detach().cpu().abs()
    maps = maps.amax(dim=1) if maps.ndim == 4 else maps
    return maps.flatten(1).double().numpy()


def _spearman(a: np.ndarray, b: np.ndarray) -> float:
    ranks = [rankdata(values) - (values.size + 1) / 2 for values in (a, b)]
    lengths = [np.linalg.norm(r) for r in ranks]
    return float(ranks[0] @ ranks[1] / (lengths[0] * lengths[1])) if all(lengths) else 0.0


# -- deletion and insertion --------------------------------------------------------------


@dataclass(frozen=True, repr=False, eq=False)
class Curves:
    """What `deletion_insertion` found; S steps.

    Attributes:
        shares: (S + 1,), the share of pixels that is hidden (deletion) or shown
            (insertion), from 0 to 1.
        deletion, insertion: (S + 1,), the score at each share.
        order: (H·W,), the pixels by row and column, the most important one first.
        filler: (1, 3, H, W), what hidden pixels show.
        image: (1, 3, H, W), the picture.
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
        """(1, 3, H, W): the picture with its most important pixels hidden.

        Args:
            share: of the pixels, in [0, 1].
            keep: show only these pixels instead, as the insertion curve does.
        """
        return _partly_hidden(self.image, self.filler, self.order, [share], keep)

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
    progress: Callable[[int, int], object] | None = None,
) -> Curves:
    """Hide a map's most important pixels first, or show them first, and follow the score.

    Petsiuk et al. 2018, arXiv:1806.07421, section 4.3. They hide with grey and show on
    the blurred picture; here one `fill` serves both, so that both curves run between the
    same two pictures. The areas are means over the share of pixels, in units of the score.

    Args:
        model: a classifier, (N, 3, H, W) → (N, classes).
        image: (1, 3, H, W), preprocessed.
        saliency: (H, W), or (1, H, W): the larger, the more important; signs count. Equal
            values come in a random order.
        target: a class, a `Unit`, or a function of the outputs that gives (N,) scores;
            None is the top class of the whole picture.
        steps: how often the score is asked for on the way.
        fill: of the hidden pixels: ``"mean"``, ``"blur"``, a colour or a tensor (see
            `fill_picture`). No fill is neutral: compare several.
        score: of a class: its ``"probability"`` or its ``"logit"``.
        seed: of the order of equal values.
        progress: called as ``progress(done, total)`` after each pass; whatever it raises
            ends the work and goes through to the caller.

    Raises:
        TypeError, ValueError, RuntimeError: whatever does not fit, in one sentence.

    Example:
        >>> image = torch.randn(1, 3, 64, 64)
        >>> deletion_insertion(load_model(), image, torch.rand(64, 64), 207, 4).shares
        array([0.  , 0.25, 0.5 , 0.75, 1.  ])
    """
    if not isinstance(steps, Integral) or isinstance(steps, bool) or steps < 1:
        raise ValueError(f"steps: wants a whole number from 1, not {steps!r}")
    if score not in SCORES:
        raise ValueError(f'score: wants "probability" or "logit", not {score!r}')
    check_images(model, image)
    if len(image) != 1:
        raise ValueError(
            f"image: wants one picture, (1, 3, H, W), not {tuple(image.shape)}"
        )
    order = _by_importance(saliency, image.shape[2:], seed)
    try:
        _, classes, _ = read_answer(model, image, target)
    except (TypeError, ValueError) as error:
        raise type(error)(str(error).replace("targets: ", "target: ", 1)) from error
    ask = target if classes is None else _score_of(int(classes), score)
    image, filler = image.detach().clone(), fill_picture(fill, image.detach())
    shares = np.linspace(0, 1, steps + 1)
    batches = np.array_split(shares, math.ceil(shares.size / AT_ONCE))
    tick, curves = _ticker(progress, 2 * len(batches)), []
    for keep in (False, True):
        scores = []
        for some in batches:
            pictures = _partly_hidden(image, filler, order, some, keep)
            scores.append(read_answer(model, pictures, ask)[0].cpu())
            tick()
        curves.append(torch.cat(scores).double().numpy())
    target = None if classes is None else int(classes)
    return Curves(shares, *curves, order, filler, image, target)


def _mean_height(curve: np.ndarray) -> float:
    """The area under evenly spaced points from 0 to 1, by trapezia."""
    return float((curve[:-1] + curve[1:]).mean() / 2)


def _score_of(target: int, score: str) -> Callable[[Tensor], Tensor]:
    def read(outputs: Tensor) -> Tensor:
        values = outputs.softmax(dim=1) if score == "probability" else outputs
        return values[:, target]

    return read


def _by_importance(saliency, size: Sequence[int], seed: int) -> Tensor:
    """(H·W,): indices of the pixels, the most important first, equals at random."""
    values = torch.as_tensor(saliency).detach().cpu().double()
    values = values[0] if values.ndim == 3 and len(values) == 1 else values
    if values.shape != tuple(size):
        raise ValueError(
            f"saliency: wants a map of the picture's size, {tuple(size)}, not "
            f"{tuple(values.shape)}"
        )
    if not values.isfinite().all():
        raise ValueError("saliency: holds NaN or infinite values")
    values = values.flatten()
    shuffled = torch.randperm(len(values), generator=seeded(seed))
    return shuffled[values[shuffled].argsort(descending=True, stable=True)]


def _partly_hidden(image, filler, order, shares, keep: bool) -> Tensor:
    """(K, 3, H, W): with the first pixels of `order` filled, or with all but them."""
    first = torch.zeros(len(shares), order.numel(), dtype=torch.bool)
    for row, share in zip(first, shares, strict=True):
        row[order[: round(float(share) * order.numel())]] = True
    first = first.view(-1, 1, *image.shape[2:]).to(image.device)
    return torch.where(first == keep, image, filler)


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

    Raises:
        ValueError: maps or boxes of another form, in one sentence.

    Example:
        >>> pointing_game(np.eye(4)[None] * np.arange(4), [(3, 3, 4, 4)])
        array([ True])
    """
    maps = to_numpy(maps)
    if maps.ndim != 3 or maps.size == 0 or not np.isfinite(maps).all():
        raise ValueError(f"maps: wants finite values of shape (N, H, W), not {maps.shape}")
    if len(boxes) != len(maps):
        raise ValueError(f"boxes: {len(maps)} maps want as many, not {len(boxes)}")
    hits = []
    for values, box in zip(maps, boxes, strict=True):
        x0, y0, x1, y1 = _edges(box)
        rows, columns = np.nonzero(values == values.max())
        across = (x0 - tolerance <= columns) & (columns < x1 + tolerance)
        down = (y0 - tolerance <= rows) & (rows < y1 + tolerance)
        hits.append(bool((across & down).all()))
    return np.array(hits)


def box_shares(boxes: Sequence[Box], size: tuple[int, int]) -> np.ndarray:
    """(N,): the share of a picture's pixels inside each box: what pointing blindly hits.

    Args:
        boxes: as for `pointing_game`.
        size: (H, W) of the pictures.
    """
    shares = []
    for box in boxes:
        x0, y0, x1, y1 = _edges(box)
        ys, xs = np.arange(size[0]), np.arange(size[1])
        shares.append(((ys >= y0) & (ys < y1)).mean() * ((xs >= x0) & (xs < x1)).mean())
    return np.array(shares)


def to_numpy(values) -> np.ndarray:
    """A tensor on any device, or anything like an array, as floats."""
    values = values.detach().cpu().numpy() if isinstance(values, Tensor) else values
    return np.asarray(values, dtype=float)


def _edges(box) -> tuple[float, float, float, float]:
    try:
        x0, y0, x1, y1 = (float(edge) for edge in box)
    except (TypeError, ValueError) as error:
        raise ValueError(f"boxes: wants (x0, y0, x1, y1) each, not {box!r}") from error
    return x0, y0, x1, y1


def _ticker(progress, total: int) -> Callable[[], None]:
    """A function that counts its calls and reports them."""
    done = 0

    def tick() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    return tick
