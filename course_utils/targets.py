"""What is explained: from `targets` to one score per picture.

Every method of the course asks how a *score* depends on a picture. This module says
which score: of a class, of a hidden unit, or of any function of the network's outputs.
It also holds the care that all methods share, so that each of them can be short: the
checks of `model` and `images`, and `explaining`, which leaves a network as it was.
"""

import math
import reprlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from numbers import Integral

import numpy as np
import torch
from torch import Tensor, nn

from .models import Unit, layer_path

Targets = None | int | Sequence[int] | Tensor | Unit | Callable[[Tensor], Tensor]
PIXELS_AT_ONCE = 8 * 224 * 224  # in one pass: more are no quicker, and take memory
WHOLE_NUMBERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


@contextmanager
def explaining(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, frozen parameters and gradients on; afterwards all as it was.

    Batch norm in training mode would mix the pictures of a batch, and dropout would
    make every map another one; so maps are computed in evaluation mode whatever the
    mode of the network. Frozen parameters spare the backward pass half of its work and
    leave every `.grad` alone.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model: wants a torch.nn.Module, not {type(model).__name__}")
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


def check_images(model: nn.Module, images: Tensor) -> None:
    """Refuse what is no batch of pictures for `model`, in one sentence.

    Raises:
        TypeError: no tensor, or not of the floating-point type of the network.
        ValueError: not (N, C, H, W), empty, not finite, or on another device.
    """
    if not isinstance(images, Tensor):
        raise TypeError(
            f"images: wants a tensor (N, 3, H, W), not {type(images).__name__}; "
            "preprocess() makes one"
        )
    if images.ndim != 4:
        raise ValueError(
            f"images: wants the shape (N, 3, H, W), not {tuple(images.shape)}"
            + ("; images[None] adds the batch axis" if images.ndim == 3 else "")
        )
    if images.numel() == 0:
        raise ValueError(f"images: the batch is empty, shape {tuple(images.shape)}")
    if not images.is_floating_point():
        raise TypeError(
            f"images: wants floats, not {images.dtype}; preprocess() makes them"
        )
    weight = next(model.parameters(), images)
    if weight.device != images.device:
        raise ValueError(
            f"images: are on {images.device}, the model on {weight.device}; "
            f'move them by images.to("{weight.device}")'
        )
    if weight.dtype != images.dtype:
        raise TypeError(
            f"images: are {images.dtype}, the model is {weight.dtype}; "
            f"turn them into its type by images.to({weight.dtype})"
        )
    # The sum is not finite if any value is not: a first look, ten times as fast.
    if not images.sum().isfinite() and not images.isfinite().all():
        raise ValueError("images: holds NaN or infinite values")


def class_indices(targets: int | Sequence[int] | Tensor, count: int) -> Tensor:
    """`targets` as a LongTensor (N,) for `count` pictures.

    Raises:
        TypeError: no whole numbers.
        ValueError: another length than `count`.

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
        came = getattr(targets, "dtype", None) or reprlib.repr(targets)
        raise TypeError(
            "targets: wants None, a class index, one index per picture, a Unit or a "
            f"function of the outputs, not {came}"
        )
    if given.ndim == 0:
        given = given.expand(count)
    if given.shape != (count,):
        raise ValueError(
            f"targets: wants one class for each of {count} pictures, "
            f"not {given.numel()} in the shape {tuple(given.shape)}"
        )
    return given.long().clone()  # may have been made in inference mode, or be expanded


def seeded(seed: int) -> torch.Generator:
    """Random numbers of a method's own, which leave everybody else's alone.

    Raises:
        ValueError: a seed that is no whole number.
    """
    if not isinstance(seed, Integral) or isinstance(seed, bool):
        raise ValueError(f"seed: wants a whole number, not {seed!r}")
    return torch.Generator().manual_seed(int(seed) % 2**63)


def target_scores(model: nn.Module, images: Tensor, targets: Targets = None) -> Tensor:
    """The score of each picture that `targets` names.

    Args:
        model: a classifier, (N, C, H, W) → (N, classes).
        images: (N, C, H, W), preprocessed.
        targets: None, the top class of each picture; an int, the same class for all; N
            class indices; a `Unit`; or a function of the outputs that gives (N,) scores.

    Returns:
        (N,) scores, still attached to the graph: before softmax, for classes.

    Raises:
        ValueError, TypeError: targets that do not fit the pictures or the network.
        RuntimeError: a network that cannot take these pictures.
    """
    if isinstance(targets, Unit):
        return _unit_scores(model, images, targets)
    if callable(targets):
        return _checked_scores(targets(_forward(model, images)), len(images))
    if targets is not None:
        targets = class_indices(targets, len(images))
    outputs = _forward(model, images)
    if not isinstance(outputs, Tensor) or outputs.shape[:-1] != (len(images),):
        raise ValueError(
            f"model: wants to give scores (N, classes), N = {len(images)}, not "
            f"{_shape(outputs)}; pass a function of the outputs as targets"
        )
    if targets is None:
        targets = outputs.argmax(dim=1)
    wrong = (targets < 0) | (targets >= outputs.shape[1])
    if wrong.any():
        raise ValueError(
            f"targets: there is no class {targets[wrong][0].item()}; "
            f"the model has the classes 0 to {outputs.shape[1] - 1}"
        )
    # One score per row, as outputs[range(N), targets]: lesson 03 looks at gather closely.
    return outputs.gather(1, targets.to(outputs.device)[:, None])[:, 0]


def read_answer(
    model: nn.Module, images: Tensor, targets: Targets = None
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """What a network says of pictures, in one pass and without a gradient.

    Args:
        model, images, targets: as for `target_scores`.

    Returns:
        (N,) the scores that `targets` names; (N,) the classes that it names, None for a
        unit or a function; (N, classes) all the scores, None where the network gives none.

    Raises:
        ValueError, TypeError, RuntimeError: as `target_scores`.
    """
    given = []

    def read(module, inputs, output):
        given.append(output.clone() if isinstance(output, Tensor) else None)

    with explaining(model), torch.no_grad():
        check_images(model, images)
        hook = model.register_forward_hook(read)
        try:
            scores = target_scores(model, images, targets)
        finally:
            hook.remove()
        outputs = given[-1] if given else None
        if outputs is not None and outputs.shape[:-1] != (len(images),):
            outputs = None
        if isinstance(targets, Unit) or callable(targets):
            return scores, None, outputs
        if targets is None:
            return scores, outputs.argmax(dim=1), outputs
        return scores, class_indices(targets, len(images)).to(scores.device), outputs


def _forward(model: nn.Module, images: Tensor):
    try:
        return model(images)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines() or [type(error).__name__]
        raise RuntimeError(
            f"images: {type(model).__name__} could not take pictures of shape "
            f"{tuple(images.shape)} ({reason[0]})"
        ) from error


def _unit_scores(model: nn.Module, images: Tensor, unit: Unit) -> Tensor:
    scores = []

    def read(module, inputs, output):
        # Read at once: an in-place ReLU behind this layer would overwrite `output`.
        scores.append(_read_unit(output, unit, images))

    layer = model.get_submodule(layer_path(model, unit.layer))
    hook = layer.register_forward_hook(read)
    try:
        _forward(model, images)
    finally:
        hook.remove()
    if not scores:
        raise ValueError(f"targets: the model never uses its layer {unit.layer!r}")
    return _checked_scores(scores[-1], len(images), f"layer {unit.layer!r}")


def has_channels_last(output: Tensor, images: Tensor) -> bool:
    """Whether a layer seems to give (N, rows, columns, channels), as in Swin or ConvNeXt.

    Told by the shape: a map is as oblong as its picture. Channels taken for rows would give
    a map, and a wrong one.
    """
    if output.ndim != 4 or output.numel() == 0:
        return False

    def off(rows: int, columns: int) -> float:
        return abs(math.log(rows * images.shape[3] / (columns * images.shape[2])))

    return off(*output.shape[1:3]) + 0.25 < off(*output.shape[2:4])


def _read_unit(output, unit: Unit, images: Tensor) -> Tensor:
    known = isinstance(output, Tensor) and output.ndim in (2, 4)
    if not known or has_channels_last(output, images):
        raise ValueError(
            f"targets: layer {unit.layer!r} gives {_shape(output)}; a unit wants a "
            "layer that gives (N, channels) or (N, channels, rows, columns)"
        )
    if not 0 <= unit.channel < output.shape[1]:
        raise ValueError(
            f"targets: layer {unit.layer!r} has the channels 0 to "
            f"{output.shape[1] - 1}, not {unit.channel}"
        )
    values = output[:, unit.channel]
    if unit.position is None:
        return values.flatten(1).mean(dim=1) if values.ndim > 1 else values.clone()
    if values.ndim == 1:
        raise ValueError(f"targets: layer {unit.layer!r} has no positions, only channels")
    row, column = unit.position
    if not (0 <= row < values.shape[1] and 0 <= column < values.shape[2]):
        raise ValueError(
            f"targets: layer {unit.layer!r} has {values.shape[1]} rows and "
            f"{values.shape[2]} columns, no position {unit.position}"
        )
    return values[:, row, column].clone()


def _checked_scores(scores, count: int, giver: str = "the function") -> Tensor:
    if not isinstance(scores, Tensor) or scores.shape != (count,):
        raise ValueError(
            f"targets: {giver} gives {_shape(scores)}; "
            f"one score per picture is wanted, shape ({count},)"
        )
    return scores


def _shape(value) -> str:
    if isinstance(value, Tensor):
        return f"shape {tuple(value.shape)}"
    return type(value).__name__
