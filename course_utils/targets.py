"""What is explained: from `targets` to one score per image.

Every method of the course asks how a *score* depends on an image. This module says which
score, and holds what all methods share: the checks of `model` and `images`, and
`explaining`, which leaves a network unchanged.

Everywhere in the package, `model` is a classifier, (N, C, H, W) → (N, classes); `images` is
(N, C, H, W), preprocessed, and never changed; `targets` is one of

=========================== =========================================================
None                        the top class of each image
an int                      the same class for all images
N ints, or a tensor (N,)    one class per image
a `Unit`                    a hidden unit
a function                  ``outputs -> (N,)`` scores, such as a negative loss
=========================== =========================================================

A long function takes `progress`, a function that is called as ``progress(done, total,
so_far)``. When it returns False, the long one stops and returns what there is so far.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ._machinery.arguments import ArgumentError, described, naming, number
from ._machinery.hooks import watching
from .models import Unit, layer_path

Targets = None | int | Sequence[int] | Tensor | Unit | Callable[[Tensor], Tensor]
PIXELS_AT_ONCE = 8 * 224 * 224  # per pass: more take memory and save no time
WHOLE_NUMBERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


class Answer(NamedTuple):
    """What a network says about N images."""

    scores: Tensor  # (N,), those that `targets` names
    classes: Tensor | None  # (N,), those that it names; None for a unit or a function
    outputs: Tensor | None  # (N, classes), before softmax; None if the network gives others


@contextmanager
def explaining(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, frozen parameters and gradients on; afterwards all is restored.

    In training mode batch norm would mix the images of a batch, and dropout would change
    every map; so maps are computed in evaluation mode. Frozen parameters spare the
    backward pass half of its work and leave every `.grad` alone.
    """
    if not isinstance(model, nn.Module):
        raise ArgumentError("model", f"must be a torch.nn.Module, got {described(model)}")
    training = {module: module.training for module in model.modules()}
    trainable = {p: p.requires_grad for p in model.parameters()}
    try:
        for module in training:
            module.training = False
        for parameter in trainable:
            parameter.requires_grad_(False)
        with torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        for module, flag in training.items():
            module.training = flag
        for parameter, flag in trainable.items():
            parameter.requires_grad_(flag)


def target_scores(model: nn.Module, images: Tensor, targets: Targets = None) -> Tensor:
    """(N,): the score of each image, attached to the graph; of a class, before softmax.

    A network that cannot take these images raises a RuntimeError.

    Example:
        >>> target_scores(load_model(), torch.randn(2, 3, 224, 224), 207).shape
        torch.Size([2])
    """
    return forward(model, images, targets).scores


def predict(model: nn.Module, images: Tensor, targets: Targets = None) -> Answer:
    """What a network says about images, in one pass and without a gradient."""
    with explaining(model), torch.no_grad():
        check_images(model, images)
        return forward(model, images, targets)


def forward(model: nn.Module, images: Tensor, targets: Targets = None) -> Answer:
    """One pass through the network, and the scores that `targets` names."""
    units: list[Tensor] = []
    watch = nullcontext()
    if isinstance(targets, Unit):
        layers = {targets.layer: model.get_submodule(layer_path(model, targets.layer))}
        # `watching` reads at once: an in-place ReLU behind the layer would overwrite it.
        watch = watching(layers, lambda _, out: units.append(_read(out, targets, images)))
    try:
        with watch:
            outputs = model(images)
    except (RuntimeError, AssertionError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        words = f"do not go through {type(model).__name__} ({reason})"
        raise RuntimeError(f"images of shape {tuple(images.shape)} {words}") from error
    is_table = isinstance(outputs, Tensor) and outputs.shape[:-1] == (len(images),)
    table = outputs if is_table else None
    if units:
        return Answer(units[-1], None, table)
    if isinstance(targets, Unit):
        words = f"must name a layer that the model uses, got {targets.layer!r}"
        raise ArgumentError("targets", words)
    if callable(targets):
        scores = one_per_image(targets(outputs), len(images), "targets")
        return Answer(scores, None, table)
    if table is None:
        words = f"must return scores of shape ({len(images)}, classes), got"
        hint = "pass a function of the outputs as targets"
        raise ArgumentError("model", f"{words} {described(outputs)}; {hint}")
    if targets is None:
        classes = outputs.argmax(dim=1)
    else:
        classes = class_indices(targets, len(images)).to(outputs.device)
        wrong = classes[(classes < 0) | (classes >= outputs.shape[1])].tolist()
        if wrong:
            words = f"must be classes between 0 and {outputs.shape[1] - 1}, got {wrong[0]}"
            raise ArgumentError("targets", words)
    # One score per row, as outputs[range(N), classes]: lesson 03 looks at gather closely.
    return Answer(outputs.gather(1, classes[:, None])[:, 0], classes, outputs)


def groups(images: Tensor, targets: Targets) -> Iterator[tuple[Tensor, Targets]]:
    """Images with their targets, as many at a time as fit easily into memory.

    A function of the outputs may want the whole batch, so it gets all at once.
    """
    at_once = max(PIXELS_AT_ONCE // math.prod(images.shape[2:]), 1)
    if callable(targets):
        at_once = len(images)
    elif targets is not None and not isinstance(targets, Unit):
        targets = class_indices(targets, len(images))
    for start in range(0, len(images), at_once):
        some = slice(start, start + at_once)
        yield images[some], targets[some] if isinstance(targets, Tensor) else targets


def check_images(model: nn.Module, images: Tensor) -> None:
    """Refuse anything that is not a batch of images for `model`, in one sentence."""
    words, weight = None, next(model.parameters(), images)
    if not isinstance(images, Tensor):
        words = f"must be a float tensor of shape (N, C, H, W), got {described(images)}"
        words += "; preprocess() makes one"
    elif images.ndim != 4 or images.numel() == 0:
        words = "must be a tensor of shape (N, C, H, W) with at least one pixel, "
        words += f"got shape {tuple(images.shape)}"
        words += "; images[None] adds the batch axis" if images.ndim == 3 else ""
    elif not images.is_floating_point():
        words = f"must be floats, got {images.dtype}; preprocess() makes them"
    elif weight.device != images.device:
        words = f"must be on the model's device, {weight.device}, got {images.device}; "
        words += f'images.to("{weight.device}") moves them'
    elif weight.dtype != images.dtype:
        words = f"must have the model's type, {weight.dtype}, got {images.dtype}; "
        words += f"images.to({weight.dtype}) converts them"
    # A cheap pre-check: if any value is not finite, neither is the sum.
    elif not images.sum().isfinite() and not images.isfinite().all():
        words = "must not hold NaN or infinite values"
    if words:
        raise ArgumentError("images", words)


def check_one_image(model: nn.Module, image: Tensor) -> Tensor:
    """`image`, detached, if it is a single one, (1, C, H, W), that fits `model`."""
    if isinstance(image, Tensor) and image.ndim == 4 and len(image) != 1:
        words = f"must be one image, (1, C, H, W), got {described(image)}"
        raise ArgumentError("image", words)
    with naming(images="image"):
        check_images(model, image)
    return image.detach()


def class_indices(targets: int | Sequence[int] | Tensor, count: int) -> Tensor:
    """`targets` as a LongTensor (N,) for `count` images, if they are whole numbers."""
    given = None
    if isinstance(targets, Tensor):  # on any device
        given = targets
    elif isinstance(targets, (int, np.integer, np.ndarray, list, tuple, range)):
        with suppress(TypeError, ValueError, OverflowError):
            given = torch.as_tensor(np.asarray(targets))
    if given is None or given.dtype not in WHOLE_NUMBERS:
        came = getattr(targets, "dtype", None) or described(targets)
        words = "must be None, a class index, one index per image, a Unit or a function"
        raise ArgumentError("targets", f"{words} of the outputs, got {came}")
    if given.ndim == 0:
        given = given.expand(count)
    if given.shape != (count,):
        words = f"must be one class for each of {count} images, got {described(given)}"
        raise ArgumentError("targets", words)
    return given.long().clone()  # may have been made in inference mode, or be expanded


def one_per_image(scores, count: int, argument: str) -> Tensor:
    """The `scores` that a caller's function gives, if they are a tensor of shape (N,)."""
    if not isinstance(scores, Tensor) or scores.shape != (count,):
        words = f"must return one score per image, a tensor of shape ({count},), got"
        raise ArgumentError(argument, f"{words} {described(scores)}")
    return scores


def seeded(seed: int) -> torch.Generator:
    """A random generator of a method's own, which leaves the global one alone."""
    return torch.Generator().manual_seed(number("seed", seed, whole=True) % 2**63)


def has_channels_last(output: Tensor, images: Tensor) -> bool:
    """Whether a layer seems to give (N, rows, columns, channels), as in Swin or ConvNeXt.

    Channels taken for rows would give a wrong map. But a map has its image's proportions.
    """
    if output.ndim != 4 or output.numel() == 0:
        return False
    _, rows, columns, last = output.shape
    wanted = math.log(images.shape[2] / images.shape[3])
    as_last, as_usual = math.log(rows / columns), math.log(columns / last)
    return abs(as_last - wanted) + 0.25 < abs(as_usual - wanted)


def _read(output: Tensor, unit: Unit, images: Tensor) -> Tensor:
    """(N,): the values of a unit in what its layer gives."""
    layer, gives = f"layer {unit.layer!r}", described(output)
    known = isinstance(output, Tensor) and output.ndim in (2, 4)
    if not known or has_channels_last(output, images):
        words = "must be a Unit of a layer that gives (N, channels) or (N, channels, rows, "
        raise ArgumentError("targets", f"{words}columns); {layer} gives {gives}")
    channel, last = unit.channel, output.shape[1] - 1
    if not 0 <= channel <= last:
        words = f"must name a channel of {layer} between 0 and {last}, got {channel}"
        raise ArgumentError("targets", words)
    values = output[:, channel]
    if unit.position is None:
        values = values.flatten(1).mean(dim=1) if values.ndim > 1 else values.clone()
    elif values.ndim == 1:
        raise ArgumentError("targets", f"must have no position: {layer} has channels only")
    else:
        (row, column), (rows, columns) = unit.position, values.shape[1:]
        if not (0 <= row < rows and 0 <= column < columns):
            words = f"must name a position of {layer}, which has {rows} rows and {columns}"
            raise ArgumentError("targets", f"{words} columns, got {unit.position}")
        values = values[:, row, column].clone()
    if values.shape != (len(images),):
        words = f"must name a layer with one row per image, ({len(images)}, …)"
        raise ArgumentError("targets", f"{words}; {layer} gives {gives}")
    return values
