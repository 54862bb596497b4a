r"""Occlusion: hide a window of the image, and see how far the score falls (lesson 06).

No derivative, and no knowledge of the network's inside (Zeiler & Fergus 2014,
arXiv:1311.2901, section 4.2). Slide a window over the image; at each place fill it with
something that says nothing, and measure the **drop** of the score,

$$ d_w = S_c(I) - S_c(I \text{ without window } w) . $$

A pixel is covered by many windows; its value in the heat map is the mean of their drops:

$$ M_{ij} = \frac{1}{|\{w \ni (i, j)\}|} \sum_{w \ni (i, j)} d_w . $$

Positive: what was hidden spoke for the class. Negative: it spoke against it.
"""

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ._machinery.arguments import ArgumentError, described, naming, number
from ._machinery.fills import Fill, fill_picture
from ._machinery.incremental import Incremental, layers_of, mixes_images
from ._machinery.progress import Progress, goes_on
from .inputs import own_inputs
from .methods import saliency_method
from .models import Unit
from .targets import (
    PIXELS_AT_ONCE,
    Targets,
    check_one_image,
    class_indices,
    explaining,
    one_per_image,
    predict,
    probabilities,
)

Score = str | Callable[[Tensor], Tensor]


@dataclass(frozen=True, repr=False, eq=False)
class OcclusionMap:
    """What `occlusion` found; R rows × C columns of windows."""

    image: Tensor  # (1, 3, H, W), the image that was explained
    filler: Tensor  # (1, 3, H, W), what a window is filled with
    window: tuple[int, int]  # (height, width) in pixels
    tops: tuple[int, ...]  # R numbers: where the windows begin
    lefts: tuple[int, ...]  # C numbers
    target: int | None  # the class that was explained; None for a unit or a function
    score: float  # of the whole image
    scores: Tensor  # (R, C), with each window hidden; NaN where none was computed
    # (R, C), the class that is then the top one, -1 where none was computed, if asked for:
    top_classes: Tensor | None = None
    stopped: bool = False  # `progress` ended it early

    def __repr__(self) -> str:
        windows, size = ("{}×{}".format(*pair) for pair in (self.scores.shape, self.window))
        what = "" if self.target is None else f"class {self.target}, "
        what += f"score {self.score:.3g}{', stopped' if self.stopped else ''}"
        return f"OcclusionMap({windows} windows of {size} pixels, {what})"

    @property
    def drops(self) -> Tensor:
        """(R, C): how far the score falls with each window; NaN where none was computed."""
        return self.score - self.scores

    @property
    def heatmap(self) -> Tensor:
        """(H, W): each pixel's mean drop over its windows; NaN where it has none."""
        drops = self.drops
        total, count = torch.zeros(2, *self.image.shape[2:], dtype=torch.float64)
        for row, column in (~drops.isnan()).nonzero().tolist():
            total[self.place(row, column)] += drops[row, column]
            count[self.place(row, column)] += 1
        return (total / count).float()

    def hidden(self, row: int, column: int) -> Tensor:
        """(1, 3, H, W): the image with the window of that row and column filled in."""
        image = self.image.clone()
        image[(..., *self.place(row, column))] = self.filling(row, column)
        return image

    def filling(self, row: int, column: int) -> Tensor:
        """(3, height, width): the pixels of that window once it is hidden."""
        return self.filler[(0, ..., *self.place(row, column))]

    def place(self, row: int, column: int) -> tuple[slice, slice]:
        """The pixels of a window, as slices of rows and columns."""
        top, left = self.tops[row], self.lefts[column]
        return slice(top, top + self.window[0]), slice(left, left + self.window[1])


def occlusion(
    model: nn.Module,
    image: Tensor,
    target: int | Unit | Callable[[Tensor], Tensor] | None = None,
    window: int | tuple[int, int] = 32,
    stride: int | tuple[int, int] = 8,
    fill: Fill = "mean",
    score: Score = "logit",
    progress: Progress | None = None,
    *,
    top_classes: bool = False,
    incremental: bool = True,
) -> OcclusionMap:
    """How far the score of one image falls when a window of it is hidden.

    Of the result, `.heatmap` is the (H, W) map, and `.drops` holds the fall per window.
    For torchvision's SqueezeNet, AlexNet and VGG, and for any Sequential, only what a
    window changes is computed again, layer by layer (see `Incremental`); otherwise whole
    images go through in batches. Both give the same numbers, up to rounding.

    Args:
        model, target, progress: see `targets`.
        image: (1, 3, H, W), preprocessed, of any size that the network takes.
        window: its side in pixels, or (height, width).
        stride: in pixels, or (down, across); see `window_starts`.
        fill: what hides: ``"mean"``, ``"blur"``, a colour … (see `fill_picture`).
        score: ``"logit"``, the class score; ``"probability"`` (see `probabilities`); or a
            function of the outputs that gives (N,) scores, such as a negative loss.
        top_classes: also note which class is then the top one; a logit alone is cheaper.
        incremental: False sends whole images through every network.

    Example:
        >>> image = preprocess(load_samples(1).images)
        >>> occlusion(load_model(), image, stride=16).drops.shape
        torch.Size([13, 13])
    """
    with explaining(model):
        image = check_one_image(model, image)
    size = tuple(image.shape[2:])
    window, stride = _pair("window", window), _pair("stride", stride)
    tops, lefts = map(window_starts, size, window, stride)
    target, ask = _question(model, image, target, score)
    with naming(targets="score" if callable(score) else "target"):
        whole = predict(model, image, ask)
    clean = float(whole.scores)
    if not math.isfinite(clean):
        raise ArgumentError("score", f"must be finite; the whole image scores {clean}")
    if top_classes and whole.outputs is None:
        words = "must be False where the model returns no (N, classes) tensor"
        raise ArgumentError("top_classes", words)
    grid = len(tops), len(lefts)
    precise = torch.promote_types(whole.scores.dtype, torch.float32)
    scores = torch.full(grid, torch.nan, dtype=precise)
    classes = torch.full(grid, -1) if top_classes else None
    filler = fill_picture(fill, image, own_inputs(model))
    before = image.clone(), filler, window, tops, lefts
    found = OcclusionMap(*before, target, clean, scores, classes)
    at_once = 1 if mixes_images(model) else max(PIXELS_AT_ONCE // math.prod(size), 1)
    network = None
    if incremental and not isinstance(ask, Unit) and layers_of(model) is not None:
        only = target if score == "logit" and not top_classes else None
        with explaining(model):
            network = Incremental(model, image, only)
        at_once = network.how_many(window)
    done, total = 0, found.scores.numel()
    for windows in blocks(*grid, at_once):
        _hide(model, network, found, windows, ask)
        done += len(windows)
        if not goes_on(progress, done, total, copy.deepcopy(found)):
            return replace(found, stopped=done < total)
    return found


def _hide(model, network, found: OcclusionMap, windows: Tensor, ask: Targets) -> None:
    """Hide some windows, each in an image of its own, and note the scores."""
    places = windows.tolist()
    if network is None:
        images = torch.cat([found.hidden(*place) for place in places])
        answer = predict(model, images, ask)
        scores, outputs = answer.scores, answer.outputs
    else:
        patches = [found.filling(*place) for place in places]
        corners = [(found.tops[row], found.lefts[column]) for row, column in places]
        corners = torch.tensor(corners, device=found.image.device)
        with explaining(model), torch.no_grad():
            outputs = network(*corners.T, torch.stack(patches))
            scores = one_per_image(ask(outputs), len(places), "score")
    found.scores[tuple(windows.T)] = scores.detach().to(found.scores)
    if found.top_classes is not None:
        found.top_classes[tuple(windows.T)] = outputs.argmax(dim=1).cpu()


@saliency_method(
    "occlusion", name="occlusion", lesson="06", passes=169, signed=True, sums=True
)
def occlusion_maps(
    model: nn.Module,
    images: Tensor,
    targets: Targets = None,
    progress: Progress | None = None,
) -> Tensor:
    """(N, H, W), signed: drops of the logit; windows a seventh of a side, half apart.

    Where `progress` stops it, the maps of the images that were not reached are NaN.
    """
    window = max(1, round(min(images.shape[2:]) / 7))
    stride = max(1, window // 2)
    each = [targets] * len(images)
    if targets is not None and not callable(targets) and not isinstance(targets, Unit):
        each = class_indices(targets, len(images)).tolist()
    maps = [torch.full(images.shape[2:], torch.nan)] * len(images)
    for index, target in enumerate(each):

        def report(done: int, total: int, so_far: OcclusionMap, index=index) -> bool:
            maps[index] = so_far.heatmap
            done, total = index * total + done, len(images) * total
            return goes_on(progress, done, total, torch.stack(maps).to(images))

        image = images[[index]]
        found = occlusion(model, image, target, window, stride, progress=report)
        maps[index] = found.heatmap
        if found.stopped:
            break
    return torch.stack(maps).to(images)


def window_starts(size: int, window: int, stride: int) -> tuple[int, ...]:
    """Where windows begin along a side: 0, stride, … and flush with the end if need be.

    Example:
        >>> window_starts(10, window=4, stride=4)
        (0, 4, 6)
    """
    if window > size:
        raise ArgumentError("window", f"must be at most the image's {size}, got {window}")
    starts = list(range(0, size - window + 1, stride))
    if starts[-1] + window < size:
        starts.append(size - window)
    return tuple(starts)


def blocks(rows: int, columns: int, count: int) -> Iterator[Tensor]:
    """The places of a grid in blocks of at most `count` neighbours, (count, 2) each.

    Neighbours reach patches of similar size, which makes a batch of them cheap.
    """
    high = min(max(math.isqrt(count), 1), rows)
    wide = min(max(count // high, 1), columns)
    for some_rows in torch.arange(rows).tensor_split(math.ceil(rows / high)):
        for some_columns in torch.arange(columns).tensor_split(math.ceil(columns / wide)):
            yield torch.cartesian_prod(some_rows, some_columns)


def _question(model, image, target, score) -> tuple[int | None, Targets]:
    """The class, None without one; and what to ask: a `Unit`, or a function of outputs."""
    if not (callable(score) or score in ("logit", "probability")):
        words = 'must be "logit", "probability" or a function of the outputs, got'
        raise ArgumentError("score", f"{words} {described(score)}")
    if (callable(target) or isinstance(target, Unit)) and score != "logit":
        words = 'must be "logit" where the target is a Unit or a function'
        raise ArgumentError("score", words)
    if callable(target) or isinstance(target, Unit):
        return None, target
    if callable(score):
        return None, score
    with naming(targets="target"):
        answer = predict(model, image, target)
    target = int(answer.classes)
    given = torch.equal(answer.shares, answer.outputs)  # they are probabilities already

    def of_class(outputs: Tensor) -> Tensor:
        if score == "probability":
            return probabilities(outputs, given)[:, target]
        # `Incremental` computes this class alone.
        return outputs[:, target if outputs.shape[1] > 1 else 0]

    return target, of_class


def _pair(name: str, value) -> tuple[int, int]:
    """A number, or two of them, as two positive whole numbers of pixels."""
    pair = value if isinstance(value, (tuple, list)) else (value, value)
    if len(pair) != 2:
        words = f"must be a number of pixels or two, (down, across), got {value!r}"
        raise ArgumentError(name, words)
    return tuple(number(name, side, low=1, whole=True) for side in pair)
