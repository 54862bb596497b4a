r"""Occlusion: hide a window of the picture, and look how far the score falls.

No derivative, and no knowledge of the network's inside (Zeiler & Fergus 2014,
arXiv:1311.2901, section 4.2). Slide a window over the picture; at each place fill it with
something that says nothing, and measure the **drop** of the score,

$$ d_w = S_c(I) - S_c(I \text{ without window } w) . $$

A pixel is covered by many windows; its value in the heat map is the mean of their drops:

$$ M_{ij} = \frac{1}{|\{w \ni (i, j)\}|} \sum_{w \ni (i, j)} d_w . $$

Positive: what was hidden spoke for the class. Negative: it spoke against it.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from numbers import Integral

import torch
from torch import Tensor, nn

from ._machinery.fills import fill_picture
from ._machinery.incremental import Incremental, layers_of
from .models import Unit
from .targets import (
    PIXELS_AT_ONCE,
    check_images,
    class_indices,
    explaining,
    target_scores,
)

Score = str | Callable[[Tensor], Tensor]
Progress = Callable[[int, int, "OcclusionMap"], bool | None]
SCORES = ("logit", "probability")
AT_ONCE = 64  # windows in one pass through patches, at most
MEGABYTES = 200  # that the largest patches of one pass may take


@dataclass(frozen=True, repr=False, eq=False)
class OcclusionMap:
    """What `occlusion` found; R rows × C columns of windows.

    Attributes:
        image: (1, 3, H, W), the picture that was explained.
        filler: (1, 3, H, W), what a window is filled with.
        window: (height, width) in pixels.
        tops, lefts: R and C numbers, where the windows begin.
        target: the class that was explained; None for a unit or a function.
        score: of the whole picture.
        scores: (R, C), with each window hidden; NaN where none was computed.
        top_classes: (R, C), the class that is then the top one, -1 where none was
            computed; None unless it was asked for.
        stopped: whether `progress` ended it early.
    """

    image: Tensor
    filler: Tensor
    window: tuple[int, int]
    tops: tuple[int, ...]
    lefts: tuple[int, ...]
    target: int | None
    score: float
    scores: Tensor
    top_classes: Tensor | None = None
    stopped: bool = False

    def __repr__(self) -> str:
        rows, columns = self.scores.shape
        height, width = self.window
        what = "" if self.target is None else f"class {self.target}, "
        return (
            f"OcclusionMap({rows}×{columns} windows of {height}×{width} pixels, "
            f"{what}score {self.score:.3g}{', stopped' if self.stopped else ''})"
        )

    @property
    def drops(self) -> Tensor:
        """(R, C): how far the score falls with each window; NaN where none was computed."""
        return self.score - self.scores

    @property
    def heatmap(self) -> Tensor:
        """(H, W): each pixel's mean drop over the windows that cover it; NaN without one.

        Which windows cover a row, and which a column, are two small matrices; between
        them stands the whole sum over windows.
        """
        height, width = self.image.shape[2:]
        down = _cover(self.tops, self.window[0], height)
        across = _cover(self.lefts, self.window[1], width)
        drops = self.drops.double()
        known = ~drops.isnan()
        total = down @ drops.nan_to_num(0.0) @ across.T
        return (total / (down @ known.double() @ across.T)).float()

    def hidden(self, row: int, column: int) -> Tensor:
        """(1, 3, H, W): the picture with the window of that row and column filled in."""
        place = self.place(row, column)
        picture = self.image.clone()
        picture[..., place[0], place[1]] = self.filler[..., place[0], place[1]]
        return picture

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
    fill: str | Sequence[int] | Tensor = "mean",
    score: Score = "logit",
    progress: Progress | None = None,
    *,
    top_classes: bool = False,
    incremental: bool = True,
) -> OcclusionMap:
    """How far the score of one picture falls when a window of it is hidden.

    Windows begin at 0, stride, 2·stride, … while they fit, and once more flush with the
    border where pixels would stay uncovered.

    For torchvision's SqueezeNet, AlexNet and VGG, and for any Sequential, only what a
    window changes is computed again, layer by layer (see `Incremental`); for other
    networks, and for hidden units, whole pictures go through in batches. Both give the
    same numbers, up to rounding.

    Args:
        model: a classifier, (N, 3, H, W) → (N, classes).
        image: (1, 3, H, W), preprocessed, of any size that the network takes.
        target: a class, a `Unit`, or a function of the outputs that gives (N,) scores;
            None is the top class of the whole picture.
        window: its side in pixels, or (height, width).
        stride: from window to window in pixels, or (down, across).
        fill: ``"mean"``, ImageNet's mean colour (0 after normalisation); ``"blur"``, the
            picture, strongly blurred; a colour by name or hex code, such as ``"black"``,
            or as three whole numbers from 0 to 255; or a tensor in the network's own
            normalisation, (3,) for a colour, (3, H, W) for a picture.
        score: ``"logit"``, the class score; ``"probability"``, after softmax; or a
            function of the outputs (N, classes) that gives (N,) scores. Of a loss give
            the negative: a rise of the loss is then a drop.
        progress: called as ``progress(done, total, so_far)`` after each batch of windows;
            when it returns False, the map so far is the result. Whatever it raises goes
            through to the caller.
        top_classes: also note which class is the top one with each window hidden. A
            logit alone is cheaper.
        incremental: False sends whole pictures through every network.

    Returns:
        An `OcclusionMap`; `.heatmap` is the (H, W) map, `.drops` the fall per window.

    Raises:
        ValueError, TypeError: whatever does not fit, in one sentence.
        RuntimeError: a network that cannot take such a picture.

    Example:
        >>> image = preprocess(load_samples(1).images)
        >>> occlusion(load_model(), image, stride=16).drops.shape
        torch.Size([13, 13])
    """
    with explaining(model), torch.no_grad():
        image = _one_picture(model, image)
        size = tuple(image.shape[2:])
        window = _pair("window", window)
        tops, lefts = map(window_starts, size, window, _pair("stride", stride))
        filler = fill_picture(fill, image)
        reader = _Reader(model, image, target, score, top_classes)
        only = reader.target if reader.only_target else None
        if incremental and reader.reads_outputs and layers_of(model) is not None:
            network = Incremental(model, image, only)
            at_once = _how_many(network, size, window)
        else:
            network, at_once = None, max(PIXELS_AT_ONCE // math.prod(size), 1)
        grid = len(tops), len(lefts)
        scores = image.new_full(grid, float("nan"), device="cpu")
        classes = torch.full(grid, -1) if top_classes else None
        found = OcclusionMap(
            image.clone(),
            filler,
            window,
            tops,
            lefts,
            reader.target,
            reader.clean,
            scores,
            classes,
        )
        done = 0
        for rows, columns in blocks(*grid, at_once):
            place = torch.cartesian_prod(rows, columns).T
            corners = torch.tensor(tops)[place[0]], torch.tensor(lefts)[place[1]]
            hidden = _hidden_scores(network, reader, found, *corners)
            scores[tuple(place)] = hidden[0]
            if top_classes:
                classes[tuple(place)] = hidden[1]
            done += len(place[0])
            if progress is not None:
                with torch.enable_grad():
                    if progress(done, scores.numel(), _copy(found)) is False:
                        return replace(found, stopped=done < scores.numel())
    return found


def window_starts(size: int, window: int, stride: int) -> tuple[int, ...]:
    """Where windows begin along a side: 0, stride, … and flush with the end if need be.

    Raises:
        ValueError: a window that is longer than the side.

    Example:
        >>> window_starts(10, window=4, stride=4)
        (0, 4, 6)
    """
    if window > size:
        raise ValueError(f"window: wants at most the picture's {size} pixels, not {window}")
    starts = list(range(0, size - window + 1, stride))
    if starts[-1] + window < size:
        starts.append(size - window)
    return tuple(starts)


def blocks(rows: int, columns: int, count: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Blocks of at most `count` neighbours of a grid, as the indices of rows and columns.

    Neighbours reach patches of like size; that is what makes a batch of them cheap.
    """
    high = min(max(math.isqrt(count), 1), rows)
    wide = min(max(count // high, 1), columns)
    for some_rows in torch.arange(rows).tensor_split(math.ceil(rows / high)):
        for some_columns in torch.arange(columns).tensor_split(math.ceil(columns / wide)):
            yield some_rows, some_columns


# -- one batch of windows --------------------------------------------------------------


def _hidden_scores(network, reader, found, top, left) -> tuple[Tensor, Tensor | None]:
    """Scores (and top classes) with N windows hidden, of which the corners are given."""
    height, width = found.window
    corners = list(zip(top.tolist(), left.tolist(), strict=True))
    if network is None:
        pictures = found.image.repeat(len(corners), 1, 1, 1)
        for picture, (y, x) in zip(pictures, corners, strict=True):
            place = (..., slice(y, y + height), slice(x, x + width))
            picture[place] = found.filler[0][place]
        return reader.through_model(pictures)
    patches = [found.filler[0, :, y : y + height, x : x + width] for y, x in corners]
    device = found.image.device
    outputs = network(top.to(device), left.to(device), torch.stack(patches))
    return reader.read(outputs)


def _how_many(network: Incremental, size, window) -> int:
    """How many windows fit in one pass: bounded by their largest patches."""
    middle = [(side - part) // 2 for side, part in zip(size, window, strict=True)]
    places = network.patches(*middle, *window)
    largest = max(
        (bottom - top) * (right - left) * clean.shape[2] * clean.element_size()
        for (_, _, (top, left, bottom, right)), clean in zip(
            places, network.maps, strict=True
        )
    )
    return max(min(AT_ONCE, MEGABYTES * 1_000_000 // (4 * largest)), 1)


class _Reader:
    """From outputs to the scores that were asked for; knows the clean score.

    Attributes:
        target: the class; None for a unit or a function.
        clean: score of the whole picture.
        only_target: whether the outputs of other classes are of no interest.
        reads_outputs: whether the score can be read from the network's outputs.
    """

    def __init__(self, model, image, target, score, top_classes):
        if not (score in SCORES if isinstance(score, str) else callable(score)):
            wanted = '"logit", "probability" or a function of the outputs'
            raise ValueError(f"score: wants {wanted}, not {score!r}")
        if callable(target) and not isinstance(target, Unit):
            target, score = None, target
        self.model, self.unit, self.score = model, None, score
        self.top_classes, self.target = top_classes, None
        if isinstance(target, Unit):
            if score != "logit":
                raise ValueError('score: wants "logit" where the target is a Unit')
            self.unit = target
        elif not callable(score):
            self.target = _one_class(model, image, target)
        self.reads_outputs = self.unit is None
        self.only_target = self.target is not None and score == "logit" and not top_classes
        self.clean = float(self.through_model(image)[0][0])
        if not math.isfinite(self.clean):
            raise ValueError(f"score: of the whole picture it is {self.clean}, not finite")

    def through_model(self, pictures: Tensor) -> tuple[Tensor, Tensor | None]:
        """Scores and top classes of whole pictures."""
        if self.unit is None:
            outputs = []

            def keep(given):
                outputs.append(given)
                return given.new_zeros(len(pictures))

            target_scores(self.model, pictures, keep)
            return self.read(outputs[0])
        scores = target_scores(self.model, pictures, self.unit)
        tops = self.model(pictures).argmax(dim=1).cpu() if self.top_classes else None
        return scores.cpu(), tops

    def read(self, outputs: Tensor) -> tuple[Tensor, Tensor | None]:
        """Scores and top classes from outputs."""
        tops = outputs.argmax(dim=1).cpu() if self.top_classes else None
        if callable(self.score):
            scores = self.score(outputs)
            if not isinstance(scores, Tensor) or scores.shape != outputs.shape[:1]:
                came = tuple(getattr(scores, "shape", ())) or type(scores).__name__
                raise ValueError(
                    f"score: the function wants to give {len(outputs)} scores for as many "
                    f"pictures, shape ({len(outputs)},), not {came}"
                )
        elif outputs.shape[1] == 1:
            scores = outputs[:, 0]
        elif self.score == "probability":
            scores = outputs.softmax(dim=1)[:, self.target]
        else:
            scores = outputs[:, self.target]
        return scores.detach().cpu(), tops


# -- what is asked for -----------------------------------------------------------------


def _one_picture(model: nn.Module, image: Tensor) -> Tensor:
    if isinstance(image, Tensor) and image.ndim == 4 and len(image) != 1:
        raise ValueError(
            f"image: wants one picture, (1, 3, H, W), not {tuple(image.shape)}"
        )
    try:
        check_images(model, image)
    except (TypeError, ValueError) as error:
        raise type(error)(str(error).replace("images: ", "image: ", 1)) from error
    return image.detach()


def _one_class(model: nn.Module, image: Tensor, target) -> int:
    """The class to explain; the network's top class for None."""
    outputs = []

    def keep(given):
        outputs.append(given)
        return given.new_zeros(len(image))

    try:
        if target is not None:
            target = class_indices(target, 1).item()
            target_scores(model, image, target)  # refuses a class that there is not
            return target
        target_scores(model, image, keep)
        return int(outputs[0].argmax(dim=1))
    except (TypeError, ValueError) as error:
        raise type(error)(str(error).replace("targets: ", "target: ", 1)) from error


def _pair(name: str, value) -> tuple[int, int]:
    """A number, or two of them, as two positive whole numbers."""
    several = value if isinstance(value, (tuple, list)) else (value, value)
    if len(several) != 2 or not all(
        isinstance(v, Integral) and not isinstance(v, bool) and v > 0 for v in several
    ):
        wanted = "a whole number of pixels above 0, or two of them (down, across)"
        raise ValueError(f"{name}: wants {wanted}, not {value!r}")
    return int(several[0]), int(several[1])


# -- small things ----------------------------------------------------------------------


def _cover(starts: Sequence[int], length: int, size: int) -> Tensor:
    """(size, windows): 1 where the window covers the pixel."""
    offset = torch.arange(size)[:, None] - torch.tensor(starts)[None, :]
    return ((offset >= 0) & (offset < length)).double()


def _copy(found: OcclusionMap) -> OcclusionMap:
    """A map that does not change as the computation goes on."""
    classes = None if found.top_classes is None else found.top_classes.clone()
    return replace(found, scores=found.scores.clone(), top_classes=classes)
