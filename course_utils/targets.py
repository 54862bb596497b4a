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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from typing import NamedTuple, NoReturn
from weakref import WeakKeyDictionary, ref

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ._machinery.arguments import ArgumentError, described, naming, number, warn
from ._machinery.hooks import watching
from ._machinery.network import explaining, run
from ._machinery.places import KINDS, arrangement, as_it_is, probes
from .models import Unit, layer_path

Targets = None | int | Sequence[int] | Tensor | Unit | Callable[[Tensor], Tensor]
PIXELS_AT_ONCE = 4 * 224 * 224  # per pass: more take memory and save no time
# Steps that may follow a sigmoid or softmax, by the names of their nodes in the graph.
PUT_TOGETHER = {
    "View", "UnsafeView", "Squeeze", "Unsqueeze", "Clone", "ToCopy", "Cat", "Stack",
    "Slice", "Select", "Index", "IndexSelect", "Gather", "T", "Transpose", "Permute",
    "Expand", "Clamp", "ClampMin", "ClampMax", "Mean", "Rsub", "Sub", "Add", "Mul", "Div",
}  # fmt: skip
WHOLE_NUMBERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


_laid_out: WeakKeyDictionary[nn.Module, set] = WeakKeyDictionary()  # by `_check_unit`


class Answer(NamedTuple):
    """What a network says about N images."""

    scores: Tensor  # (N,), those that `targets` names
    classes: Tensor | None  # (N,), those that it names; None for a unit or a function
    outputs: Tensor | None  # (N, classes), as they came; None if the network gives others
    shares: Tensor | None = None  # (N, classes), `probabilities` of these outputs


def target_scores(model: nn.Module, images: Tensor, targets: Targets = None) -> Tensor:
    """(N,): the score of each image, attached to the graph; of a class, before softmax.

    A network that cannot take these images raises a RuntimeError.

    Example:
        >>> target_scores(load_model(), torch.randn(2, 3, 224, 224), 207).shape
        torch.Size([2])
    """
    if isinstance(targets, Unit):
        _check_unit(model, images, targets)
    return forward(model, images, targets).scores


def predict(model: nn.Module, images: Tensor, targets: Targets = None) -> Answer:
    """What a network says about images, without a gradient, a group after the other."""
    with explaining(model), torch.no_grad():
        check_images(model, images, targets)
        answers = [
            forward(model, images[some], asked)
            for some, asked in groups(model, images, targets)
        ]
        parts = zip(*(answer[:3] for answer in answers), strict=True)
        scores, classes, outputs = (None if p[0] is None else torch.cat(p) for p in parts)
        if outputs is None:
            return Answer(scores, classes, None)
        shares = probabilities(outputs, _ends_in_sigmoid(model, images[:1], outputs))
        return Answer(scores, classes, outputs, shares)


def forward(model: nn.Module, images: Tensor, targets: Targets = None) -> Answer:
    """One pass through the network, and the scores that `targets` names."""
    units: list[Tensor] = []
    watch = nullcontext()
    if isinstance(targets, Unit):
        layers = {targets.layer: model.get_submodule(layer_path(model, targets.layer))}
        # `watching` reads at once: an in-place ReLU behind the layer would overwrite it.
        watch = watching(layers, lambda _, out: units.append(_read(out, targets, images)))
    with watch:
        outputs = run(model, images)
    is_table = isinstance(outputs, Tensor) and outputs.layout == torch.strided
    is_table = is_table and not outputs.is_nested and outputs.shape[:-1] == (len(images),)
    table = (
        outputs if is_table and outputs.is_floating_point() and outputs.numel() else None
    )
    if isinstance(targets, Unit):
        if not units:
            words = f"must name a layer that the model uses, got {targets.layer!r}"
            raise ArgumentError("targets", words)
        scores, classes = units[-1], None
    elif callable(targets):
        scores, classes = _asked(targets, outputs, len(images)), None
    else:
        if table is None:
            words = f"must return scores of shape ({len(images)}, classes), got"
            hint = f"pass a function of the outputs, such as targets={_example(outputs)}"
            came = f"{described(outputs)}{f' of {outputs.dtype}' if is_table else ''}"
            raise ArgumentError("model", f"{words} {came}; {hint}")
        if targets is None:
            classes = table.argmax(dim=1)
        else:
            classes = class_indices(targets, len(images), table.shape[1]).to(table.device)
        # One score per row, table[range(N), classes]: lesson 03 looks at gather closely.
        scores = table.gather(1, classes[:, None])[:, 0]
    if not scores.isfinite().all():
        name = type(model).__name__
        warn(f"{name} gives scores that are not finite: is there NaN in its weights?")
    return Answer(scores, classes, table)


def _asked(targets: Callable, outputs, count: int) -> Tensor:
    """(N,): the scores that a caller's function makes of the outputs."""
    try:
        scores = targets(outputs)
    except (TypeError, LookupError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}"
        words = f"must be a function of what the model returns, {described(outputs)}; "
        raise ArgumentError("targets", f"{words}this one fails with {reason}") from error
    return one_per_image(scores, count, "targets")


def _example(outputs) -> str:
    """A function of such outputs, as one would write it."""
    if isinstance(outputs, Mapping):
        tensors = [key for key, value in outputs.items() if isinstance(value, Tensor)]
        key = "logits" if "logits" in tensors or not tensors else tensors[0]
        return f"lambda outputs: outputs[{key!r}][:, 0]"
    if isinstance(outputs, (tuple, list)):
        return "lambda outputs: outputs[0][:, 0]"
    if not isinstance(outputs, Tensor):
        return "lambda outputs: outputs.logits[:, 0]"
    if outputs.ndim < 2:
        return "lambda outputs: outputs"
    if outputs.ndim == 3:
        return "lambda outputs: outputs[:, 0, 0]"
    return "lambda outputs: outputs[:, 0].flatten(1).mean(1)"


def probabilities(outputs: Tensor, given: bool = False) -> Tensor:
    """(N, classes): what a network's outputs (N, classes) say in probabilities.

    Softmax of two or more logits; the sigmoid of a single one. Rows that are probabilities
    already, none below 0 and 1 in sum, stay, and so do all if `given` says so.

    Example:
        >>> probabilities(torch.tensor([[0.0, 0.0], [0.25, 0.75]]))
        tensor([[0.5000, 0.5000],
                [0.2500, 0.7500]])
    """
    if given:
        return outputs
    if outputs.shape[1] == 1:
        return outputs.sigmoid()
    total = outputs.sum(1, keepdim=True)
    close = (total - 1).abs() < (1e-3 if outputs.dtype.itemsize > 2 else 2e-2)
    done = close & (outputs >= 0).all(1, keepdim=True)
    return torch.where(done, outputs, outputs.softmax(dim=1))


def _ends_in_sigmoid(model: nn.Module, image: Tensor, outputs: Tensor) -> bool:
    """Whether outputs between 0 and 1 are probabilities already, as their graph tells.

    They are if they come out of sigmoids or softmaxes and have only been put together,
    picked, cut off or averaged since. Where there is no graph, two or more of them are
    taken for probabilities, and a warning says so.
    """
    if not ((outputs >= 0) & (outputs <= 1)).all():
        return False
    with torch.enable_grad():
        found = run(model, image.detach().clone().requires_grad_())
    if found.grad_fn is None:
        many = outputs.shape[1] > 1
        taken = "probabilities" if many else "a logit"
        warn(f"{type(model).__name__} gives numbers from 0 to 1, taken for {taken}")
        return many
    ends, todo = set(), {found.grad_fn}
    while todo:
        node = todo.pop()
        step = node.name().partition("Backward")[0]
        if step in PUT_TOGETHER:
            todo |= {before for before, _ in node.next_functions if before is not None}
        else:
            ends.add(step)
    return ends <= {"Sigmoid", "Softmax", "Hardsigmoid"}


def groups(
    model: nn.Module, images: Tensor, targets: Targets
) -> Iterator[tuple[slice, Targets]]:
    """Which images go through together, with their targets: as many as fit into memory.

    A network that mixes the images of a batch gets them one by one. A function of the
    outputs may want the whole batch, so it gets all at once.
    """
    pixels = PIXELS_AT_ONCE * (4 if images.is_cuda else 1)
    at_once = max(pixels // math.prod(images.shape[2:]), 1)
    norms = (m for m in model.modules() if isinstance(m, _BatchNorm))
    mixed = any(norm.running_mean is None for norm in norms)
    if isinstance(targets, Unit) or not callable(targets):
        at_once = 1 if mixed else at_once
    else:
        at_once = len(images)
        if mixed and at_once > 1:
            name = type(model).__name__
            warn(f"batch norm of {name} mixes the {at_once} images; give them one by one")
    if not (targets is None or callable(targets) or isinstance(targets, Unit)):
        targets = class_indices(targets, len(images))
    for start in range(0, len(images), at_once):
        some = slice(start, start + at_once)
        yield some, targets[some] if isinstance(targets, Tensor) else targets


def check_images(model: nn.Module, images: Tensor, targets: Targets = None) -> None:
    """Refuse, in one sentence, anything that is not a batch of images for `model`.

    And a `Unit` of a layer that gives no map of them.
    """
    floats = [p for p in model.parameters() if p.is_floating_point()]
    words, weight = None, max(floats, key=Tensor.numel, default=images)
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
    elif images.dtype not in {weight.dtype, *(p.dtype for p in floats)}:
        words = f"must have the model's type, {weight.dtype}, got {images.dtype}; "
        words += f"images.to({weight.dtype}) converts them"
    # A cheap pre-check: if any value is not finite, neither is the sum.
    elif not images.sum().isfinite() and not images.isfinite().all():
        words = "must not hold NaN or infinite values"
    if words:
        raise ArgumentError("images", words)
    if isinstance(targets, Unit):
        _check_unit(model, images, targets)


def check_one_image(model: nn.Module, image: Tensor) -> Tensor:
    """`image`, detached, if it is a single one, (1, C, H, W), that fits `model`."""
    if isinstance(image, Tensor) and image.ndim == 4 and len(image) != 1:
        words = f"must be one image, (1, C, H, W), got {described(image)}"
        raise ArgumentError("image", words)
    with naming(images="image"):
        check_images(model, image)
    return image.detach()


def class_indices(
    targets: int | Sequence[int] | Tensor, count: int, classes: int | None = None
) -> Tensor:
    """`targets` as a LongTensor (N,) for `count` images, if they are whole numbers.

    From 0 to below `classes`, if it is known how many there are.
    """
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
    wrong = [] if classes is None else given[(given < 0) | (given >= classes)].tolist()
    if wrong:
        words = f"must be classes between 0 and {classes - 1}, got {wrong[0]}"
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


def _check_unit(model: nn.Module, images: Tensor, unit: Unit) -> None:
    """Refuse a `Unit` of a layer whose rows and columns are not the picture's.

    What was let through once is, until a module or the size of the images is another one.
    """
    layer = model.get_submodule(layer_path(model, unit.layer))
    asked = images.shape[1:], ref(layer), *map(ref, model.modules())
    if asked in (known := _laid_out.setdefault(model, set())):
        return
    pixels, found = images[:1].detach().clone().requires_grad_(), []

    def see(_, output) -> None:
        if isinstance(output, Tensor) and output.ndim == 4 and output[0, 0].numel() > 1:
            found.append(output)

    def probe() -> Tensor:
        return probes(model, {"": layer}, pixels.detach())[""]

    if not isinstance(layer, KINDS):
        with torch.enable_grad(), watching({"": layer}, see):
            run(model, pixels)
    if found and arrangement(found[-1], pixels, probe) is not as_it_is:
        _refuse(unit, found[-1])
    known.add(asked)


def _refuse(unit: Unit, output) -> NoReturn:
    words = "must be a Unit of a layer that gives (N, channels) or (N, channels, rows, "
    words += f"columns), laid out as the picture is; layer {unit.layer!r} gives"
    raise ArgumentError("targets", f"{words} {described(output)}")


def _read(output: Tensor, unit: Unit, images: Tensor) -> Tensor:
    """(N,): the values of a unit in what its layer gives."""
    layer, gives = f"layer {unit.layer!r}", described(output)
    if not isinstance(output, Tensor) or output.ndim not in (2, 4):
        _refuse(unit, output)
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
