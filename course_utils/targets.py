"""What is explained: from `targets` to one score per image.

Every method of the course asks how a *score* depends on an image. This module says which
score: of a class, of a hidden unit, or of any function of the network's outputs. It also
holds what all methods share, so that each of them can be short: the checks of `model` and
`images`, and `explaining`, which leaves a network unchanged.

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
    """What a network says about N images.

    Attributes:
        scores: (N,), the scores that `targets` names.
        classes: (N,), the classes that it names; None for a unit or a function.
        outputs: (N, classes), before softmax; None where the network returns something
            else.
    """

    scores: Tensor
    classes: Tensor | None
    outputs: Tensor | None


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
    """The score of each image that `targets` names.

    Returns:
        (N,) scores, still attached to the graph; for classes, before softmax.

    Raises:
        ArgumentError: targets that do not fit the images or the network.
        RuntimeError: a network that cannot take these images.

    Example:
        >>> target_scores(load_model(), torch.randn(2, 3, 224, 224), 207).shape
        torch.Size([2])
    """
    return forward(model, images, targets).scores


def predict(model: nn.Module, images: Tensor, targets: Targets = None) -> Answer:
    """What a network says about images, in one pass and without a gradient.

    Raises:
        ArgumentError, RuntimeError: as `target_scores`; also images that do not fit.

    Example:
        >>> predict(load_model(), torch.randn(2, 3, 224, 224)).outputs.shape
        torch.Size([2, 1000])
    """
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
        reason = str(error).splitlines() or [type(error).__name__]
        raise RuntimeError(
            f"images of shape {tuple(images.shape)} do not go through "
            f"{type(model).__name__} ({reason[0]})"
        ) from error
    is_table = isinstance(outputs, Tensor) and outputs.shape[:-1] == (len(images),)
    table = outputs if is_table else None
    if isinstance(targets, Unit):
        if not units:
            raise ArgumentError(
                "targets", f"must name a layer that the model uses, got {targets.layer!r}"
            )
        return Answer(units[-1], None, table)
    if callable(targets):
        scores = one_per_image(targets(outputs), len(images), "targets")
        return Answer(scores, None, table)
    if table is None:
        raise ArgumentError(
            "model",
            f"must return scores of shape ({len(images)}, classes), got "
            f"{described(outputs)}; pass a function of the outputs as targets",
        )
    if targets is None:
        classes = outputs.argmax(dim=1)
    else:
        classes = class_indices(targets, len(images)).to(outputs.device)
        wrong = (classes < 0) | (classes >= outputs.shape[1])
        if wrong.any():
            raise ArgumentError(
                "targets",
                f"must be classes between 0 and {outputs.shape[1] - 1}, got "
                f"{classes[wrong][0].item()}",
            )
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
    """Refuse anything that is not a batch of images for `model`, in one sentence.

    Raises:
        ArgumentError: not a tensor (N, C, H, W), empty, not finite, or not of the
            network's floating-point type and device.
    """
    if not isinstance(images, Tensor):
        raise ArgumentError(
            "images",
            f"must be a float tensor of shape (N, C, H, W), got {described(images)}; "
            "preprocess() makes one",
        )
    if images.ndim != 4 or images.numel() == 0:
        hint = "; images[None] adds the batch axis" if images.ndim == 3 else ""
        raise ArgumentError(
            "images",
            "must be a tensor of shape (N, C, H, W) with at least one pixel, got shape "
            f"{tuple(images.shape)}{hint}",
        )
    if not images.is_floating_point():
        raise ArgumentError(
            "images", f"must be floats, got {images.dtype}; preprocess() makes them"
        )
    weight = next(model.parameters(), images)
    if weight.device != images.device:
        raise ArgumentError(
            "images",
            f"must be on the model's device, {weight.device}, got {images.device}; "
            f'images.to("{weight.device}") moves them',
        )
    if weight.dtype != images.dtype:
        raise ArgumentError(
            "images",
            f"must have the model's type, {weight.dtype}, got {images.dtype}; "
            f"images.to({weight.dtype}) converts them",
        )
    # A cheap pre-check: if any value is not finite, neither is the sum.
    if not images.sum().isfinite() and not images.isfinite().all():
        raise ArgumentError("images", "must be finite, but holds NaN or infinite values")


def check_one_image(model: nn.Module, image: Tensor) -> Tensor:
    """`image`, detached, if it is a single one, (1, C, H, W), that fits `model`."""
    if isinstance(image, Tensor) and image.ndim == 4 and len(image) != 1:
        raise ArgumentError(
            "image", f"must be one image, (1, C, H, W), got {described(image)}"
        )
    with naming(images="image"):
        check_images(model, image)
    return image.detach()


def class_indices(targets: int | Sequence[int] | Tensor, count: int) -> Tensor:
    """`targets` as a LongTensor (N,) for `count` images.

    Raises:
        ArgumentError: not whole numbers, or another length than `count`.

    Example:
        >>> class_indices(207, count=2)
        tensor([207, 207])
    """
    given = None
    if isinstance(targets, Tensor):  # on any device
        given = targets
    elif isinstance(targets, (int, np.integer, np.ndarray, list, tuple, range)):
        with suppress(TypeError, ValueError, OverflowError):
            given = torch.as_tensor(np.asarray(targets))
    if given is None or given.dtype not in WHOLE_NUMBERS:
        came = getattr(targets, "dtype", None) or described(targets)
        raise ArgumentError(
            "targets",
            "must be None, a class index, one index per image, a Unit or a function of "
            f"the outputs, got {came}",
        )
    if given.ndim == 0:
        given = given.expand(count)
    if given.shape != (count,):
        raise ArgumentError(
            "targets",
            f"must be one class for each of {count} images, got {described(given)}",
        )
    return given.long().clone()  # may have been made in inference mode, or be expanded


def one_per_image(scores, count: int, argument: str) -> Tensor:
    """The `scores` that a caller's function gives, if they are a tensor of shape (N,)."""
    if not isinstance(scores, Tensor) or scores.shape != (count,):
        raise ArgumentError(
            argument,
            f"must return one score per image, a tensor of shape ({count},), got "
            f"{described(scores)}",
        )
    return scores


def seeded(seed: int) -> torch.Generator:
    """A random generator of a method's own, which leaves the global one alone."""
    return torch.Generator().manual_seed(number("seed", seed, whole=True) % 2**63)


def has_channels_last(output: Tensor, images: Tensor) -> bool:
    """Whether a layer seems to give (N, rows, columns, channels), as in Swin or ConvNeXt.

    The shape tells: a map has its image's proportions. Channels taken for rows would give
    a map, and a wrong one.
    """
    if output.ndim != 4 or output.numel() == 0:
        return False

    def distortion(rows: int, columns: int) -> float:
        return abs(math.log(rows * images.shape[3] / (columns * images.shape[2])))

    return distortion(*output.shape[1:3]) + 0.25 < distortion(*output.shape[2:4])


def _read(output: Tensor, unit: Unit, images: Tensor) -> Tensor:
    """(N,): the values of a unit in what its layer gives."""
    layer = f"layer {unit.layer!r}"
    known = isinstance(output, Tensor) and output.ndim in (2, 4)
    if not known or has_channels_last(output, images):
        raise ArgumentError(
            "targets",
            "must be a Unit of a layer that gives (N, channels) or (N, channels, rows, "
            f"columns); {layer} gives {described(output)}",
        )
    channel, channels = unit.channel, output.shape[1]
    if not 0 <= channel < channels:
        raise ArgumentError(
            "targets",
            f"must name a channel of {layer} between 0 and {channels - 1}, got {channel}",
        )
    values = output[:, channel]
    if unit.position is None:
        values = values.flatten(1).mean(dim=1) if values.ndim > 1 else values.clone()
    elif values.ndim == 1:
        raise ArgumentError("targets", f"must have no position: {layer} has channels only")
    else:
        (row, column), (rows, columns) = unit.position, values.shape[1:]
        if not (0 <= row < rows and 0 <= column < columns):
            raise ArgumentError(
                "targets",
                f"must name a position of {layer}, which has {rows} rows and {columns} "
                f"columns, got {unit.position}",
            )
        values = values[:, row, column].clone()
    if values.shape != (len(images),):
        raise ArgumentError(
            "targets",
            f"must name a layer with one row per image, ({len(images)}, …); {layer} gives "
            f"{described(output)}",
        )
    return values


read_answer = predict
