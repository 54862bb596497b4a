r"""Gradient maps: how the score changes when a pixel does.

The saliency of pixel $(i, j)$ for class $c$ is the largest slope of the class score
over the colour channels (Simonyan, Vedaldi & Zisserman 2013, arXiv:1312.6034, sec. 3):

$$ M_{ij} = \max_k \left| \frac{\partial S_c}{\partial I_{kij}} \right| . $$

`vanilla_saliency` is that map; `input_gradient` is the signed derivative itself, and
`layer_gradient` stops on the way back, at any layer.

At a ReLU the backward pass may follow one of three rules. With input $x$, and $g$ the
gradient that arrives from above:

========== ============================ ====================================
rule       passes on                    source
========== ============================ ====================================
vanilla    $g \cdot [x > 0]$            the derivative
deconvnet  $g \cdot [g > 0]$            Zeiler & Fergus 2014, arXiv:1311.2901
guided     $g \cdot [x > 0][g > 0]$     Springenberg et al. 2015, arXiv:1412.6806
========== ============================ ====================================
"""

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from .models import layer_path
from .targets import Targets, check_images, explaining, target_scores

RULES = ("vanilla", "guided", "deconvnet")


def vanilla_saliency(model: nn.Module, images: Tensor, targets: Targets = None) -> Tensor:
    """Saliency maps: the largest absolute slope of the score over the colours.

    Args:
        model: a classifier, (N, 3, H, W) → (N, classes).
        images: (N, 3, H, W), preprocessed.
        targets: None, an int, N class indices, a `Unit` or a function (see
            `target_scores`).

    Returns:
        (N, H, W), not negative, in score per unit of normalised pixel value.

    Raises:
        ValueError, TypeError: whatever does not fit, in one sentence.

    Example:
        >>> maps = vanilla_saliency(load_model(), torch.randn(2, 3, 224, 224))
        >>> maps.shape
        torch.Size([2, 224, 224])
    """
    return input_gradient(model, images, targets).abs().amax(dim=1)


def guided_backprop(model: nn.Module, images: Tensor, targets: Targets = None) -> Tensor:
    """Signed guided-backprop maps (N, 3, H, W); see `input_gradient`."""
    return input_gradient(model, images, targets, rule="guided")


def deconvnet(model: nn.Module, images: Tensor, targets: Targets = None) -> Tensor:
    """Signed deconvnet maps (N, 3, H, W); see `input_gradient`."""
    return input_gradient(model, images, targets, rule="deconvnet")


def input_gradient(
    model: nn.Module, images: Tensor, targets: Targets = None, rule: str = "vanilla"
) -> Tensor:
    """The derivative of each picture's score with respect to its pixels.

    One backward pass serves the whole batch: each score depends on its own picture
    only, so the gradient of the *sum* of the scores holds every single gradient.

    Args:
        model: a classifier, (N, 3, H, W) → (N, classes).
        images: (N, 3, H, W), preprocessed; not changed.
        targets: None, an int, N class indices, a `Unit` or a function (see
            `target_scores`).
        rule: how the backward pass goes through a ReLU: ``"vanilla"``, ``"guided"`` or
            ``"deconvnet"``.

    Returns:
        (N, 3, H, W), signed, in score per unit of normalised pixel value.

    Raises:
        ValueError, TypeError: whatever does not fit, in one sentence; also a network
            without ReLUs when `rule` would have to change them.
        RuntimeError: a network that fails, forwards or backwards.

    Warns:
        UserWarning: where the score of a picture does not change at all with its pixels,
            or its gradient is not finite.

    Example:
        >>> input_gradient(load_model(), torch.randn(1, 3, 224, 224), 207).shape
        torch.Size([1, 3, 224, 224])
    """
    return _ruled_gradient(model, images, targets, rule)


def layer_gradient(
    model: nn.Module,
    images: Tensor,
    targets: Targets,
    layer: str,
    rule: str = "vanilla",
) -> Tensor:
    """The derivative of each picture's score with respect to what `layer` gives.

    The backward pass of `input_gradient`, stopped at a layer on its way down. Of a layer
    that is used more than once, the last use counts.

    Args:
        model: a classifier, (N, 3, H, W) → (N, classes).
        images: (N, 3, H, W), preprocessed; not changed.
        targets: None, an int, N class indices, a `Unit` of a later layer or a function
            (see `target_scores`).
        layer: module path or friendly name (see `layer_path`), such as ``"fire9"``.
        rule: ``"vanilla"``, ``"guided"`` or ``"deconvnet"``.

    Returns:
        The shape of the layer's output, such as (N, channels, rows, columns); signed, in
        score per unit of the layer's output.

    Raises:
        ValueError, TypeError, RuntimeError: as `input_gradient`; also a layer that the
            network lacks or does not use, or that lies behind the target.

    Warns:
        UserWarning: as `input_gradient`.

    Example:
        >>> images = torch.randn(1, 3, 224, 224)
        >>> layer_gradient(load_model(), images, 207, layer="fire9").shape
        torch.Size([1, 512, 13, 13])
    """
    if not isinstance(layer, str):
        raise TypeError(f"layer: wants the path or name of a layer, not {layer!r}")
    return _ruled_gradient(model, images, targets, rule, layer)


def _ruled_gradient(model, images, targets, rule, layer=None) -> Tensor:
    """The gradient to the pixels, or to the output of `layer`."""
    if rule not in RULES:
        raise ValueError(f"rule: wants one of {', '.join(RULES)}, not {rule!r}")
    with explaining(model):
        check_images(model, images)
        pixels = images.detach().clone().requires_grad_()
        with relu_rule(rule) as relus, _outputs_of(model, layer) as outputs:
            # A network may work in place; the copy keeps the leaf from its hands.
            scores = target_scores(model, pixels.clone(), targets)
        if rule != "vanilla" and relus.met == 0:
            raise ValueError(
                f"rule: {rule!r} changes the backward pass of ReLUs, and "
                f"{type(model).__name__} has none on the way to this score"
            )
        if layer is not None and not outputs:
            raise ValueError(f"layer: the model never uses its layer {layer!r}")
        gradient = _gradient(scores, outputs[-1] if outputs else pixels, layer)
    _warn_of_useless(gradient, "pixel" if layer is None else f"place of layer {layer!r}")
    return gradient


@contextmanager
def _outputs_of(model: nn.Module, layer: str | None) -> Iterator[list[Tensor]]:
    """While open, collects what `layer` gives; nothing without a layer."""
    outputs = []

    def collect(module, inputs, output):
        if not isinstance(output, Tensor):
            raise ValueError(
                f"layer: {layer!r} gives a {type(output).__name__}, not a tensor"
            )
        outputs.append(output)
        return output.clone()  # what follows may work in place: on the copy

    if layer is None:
        yield outputs
        return
    hook = model.get_submodule(layer_path(model, layer)).register_forward_hook(collect)
    try:
        yield outputs
    finally:
        hook.remove()


def _warn_of_useless(gradient: Tensor, place: str) -> None:
    largest = gradient.flatten(1).abs().amax(dim=1)
    for picture, value in enumerate(largest.tolist()):
        if value == 0:
            words = (
                f"is zero at every {place}: its score does not react to small changes "
                "(a dead ReLU on the way?)"
            )
        elif not math.isfinite(value):
            words = "holds NaN or infinite values"
        else:
            continue
        warnings.warn(f"the gradient of picture {picture} {words}", stacklevel=4)


def _gradient(scores: Tensor, source: Tensor, layer: str | None = None) -> Tensor:
    gradient = None
    if scores.requires_grad:
        try:
            (gradient,) = torch.autograd.grad(scores.sum(), source, allow_unused=True)
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            raise RuntimeError(f"model: its backward pass failed ({reason})") from error
    if gradient is None and layer is not None:
        raise ValueError(
            f"layer: the score does not depend on what {layer!r} gives; the layer lies "
            "behind the target or beside it, or the graph is cut"
        )
    if gradient is None:
        raise ValueError(
            "targets: the score has no gradient to the pixels; the graph is cut, by "
            "detach(), no_grad() or a step without a derivative such as argmax"
        )
    return gradient.detach()


# -- the three rules -------------------------------------------------------------------


class _RuledReLU(torch.autograd.Function):
    """min(max(x, 0), top) forwards; backwards by `rule`, guided or deconvnet."""

    @staticmethod
    def forward(ctx, x, rule, top):
        ctx.rule = rule
        ctx.save_for_backward((x > 0) & (x < top))
        return x.clamp(0, top)

    @staticmethod
    def backward(ctx, g):
        (passed,) = ctx.saved_tensors
        g = g.clamp(min=0)
        return (g * passed if ctx.rule == "guided" else g), None, None


# How each way of calling a ReLU is written: its input, where it saturates, in place or not.
def _relu(input, inplace=False):
    return input, float("inf"), inplace


def _relu_(input):
    return input, float("inf"), True


def _relu6(input, inplace=False):
    return input, 6.0, inplace


def _hardtanh(input, min_val=-1.0, max_val=1.0, inplace=False):
    return (input, max_val, inplace) if min_val == 0 else None  # None: not a ReLU


def _hardtanh_(input, min_val=-1.0, max_val=1.0):
    return _hardtanh(input, min_val, max_val, inplace=True)


class _ReLUOverride(TorchFunctionMode):
    """Answers every call of a ReLU, wherever a network makes it, and counts them.

    Module hooks miss functional calls and fail on in-place ones; a function mode sees
    both, and the network itself is never touched.
    """

    CALLS = {
        **dict.fromkeys((F.relu, torch.relu, Tensor.relu), _relu),
        **dict.fromkeys((F.relu_, torch.relu_, Tensor.relu_), _relu_),
        F.relu6: _relu6,
        F.hardtanh: _hardtanh,
        F.hardtanh_: _hardtanh_,
    }

    def __init__(self, rule: str):
        super().__init__()
        self.rule, self.met = rule, 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        call = self.CALLS[func](*args, **kwargs) if func in self.CALLS else None
        if call is None:
            return func(*args, **kwargs)
        self.met += 1
        x, top, in_place = call
        if in_place:
            return x.copy_(_RuledReLU.apply(x.clone(), self.rule, top))
        return _RuledReLU.apply(x, self.rule, top)


@contextmanager
def relu_rule(rule: str) -> Iterator[_ReLUOverride]:
    """While open, ReLUs go backwards by `rule`; yields the override with its count."""
    override = _ReLUOverride(rule)
    if rule == "vanilla":
        yield override
    else:
        with override:
            yield override
