r"""Gradient maps: how the score changes when a pixel does.

The saliency of pixel $(i, j)$ for class $c$ is the largest slope of the class score
over the colour channels (Simonyan, Vedaldi & Zisserman 2013, arXiv:1312.6034, sec. 3):

$$ M_{ij} = \max_k \left| \frac{\partial S_c}{\partial I_{kij}} \right| . $$

`vanilla_saliency` is that map; `input_gradient` is the signed derivative itself, and
`layer_gradient` stops on the way back, at any layer. Three methods of lesson 08 are built
from them: `smooth_grad` averages over noisy copies of the picture, `integrated_gradients`
over a path from an empty picture to this one, and `grad_cam` weighs a layer's channels.

At a ReLU the backward pass may follow one of three rules. With input $x$, and $g$ the
gradient that arrives from above:

========== ============================ ====================================
rule       passes on                    source
========== ============================ ====================================
vanilla    $g \cdot [x > 0]$            the derivative
deconvnet  $g \cdot [g > 0]$            Zeiler & Fergus 2014, arXiv:1311.2901
guided     $g \cdot [x > 0][g > 0]$     Springenberg et al. 2015, arXiv:1412.6806
========== ============================ ====================================

The rules speak of ReLUs (ReLU6 and clamping at 0 among them) and of nothing else. A
network without any is refused; one that has others beside them, such as MobileNet v3 with
its Hardswish, is computed with a warning, for those keep their plain derivative.
"""

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from numbers import Integral, Real

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ._machinery.fills import Fill, fill_picture
from .models import Unit, layer_path
from .targets import (
    PIXELS_AT_ONCE,
    Targets,
    check_images,
    class_indices,
    explaining,
    has_channels_last,
    read_answer,
    seeded,
    target_scores,
)

Progress = Callable[[int, int], object]
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
    only, so the gradient of the *sum* of the scores holds every single gradient. A large
    batch goes through in groups, so that memory does not grow with it.

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
            or its gradient is not finite; also where `rule` changes some of the network's
            activations but leaves others, which are no ReLUs.

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
    _check_layer(layer)
    return _ruled_gradient(model, images, targets, rule, layer)


# -- averages over pictures --------------------------------------------------------------


def smooth_grad(
    model: nn.Module,
    images: Tensor,
    targets: Targets = None,
    method: Callable[[nn.Module, Tensor, Targets], Tensor] = vanilla_saliency,
    samples: int = 25,
    noise: float = 0.15,
    seed: int = 0,
    progress: Progress | None = None,
) -> Tensor:
    r"""The mean of a method's maps over noisy copies of each picture.

    Smilkov et al. 2017, arXiv:1706.03825, section 3, of any method $M$:

    $$ \hat M(I) = \frac 1n \sum_{s=1}^n M(I + \varepsilon_s), \qquad
       \varepsilon_s \sim \mathcal N(0, \sigma^2), \quad
       \sigma = \text{noise} \cdot (\max I - \min I) . $$

    Args:
        model: a classifier, (N, 3, H, W) → (N, classes).
        images: (N, 3, H, W), preprocessed; not changed.
        targets: None, an int, N class indices, a `Unit` or a function (see
            `target_scores`). None is the top class of each picture *without* noise.
        method: ``method(model, images, targets)`` gives the maps that are averaged. What
            it does to a gradient, such as taking absolute values, it does to each copy.
        samples: how many noisy copies of each picture.
        noise: standard deviation as a share of each picture's own value range; 0 gives
            the method's plain map.
        seed: of the noise. All pictures of a batch meet the same draws, so that a map
            does not depend on its batch.
        progress: called as ``progress(done, samples)`` after each copy; whatever it
            raises ends the work and goes through to the caller.

    Returns:
        The shape, sign and unit of the maps of `method`.

    Raises:
        ValueError, TypeError: whatever does not fit, in one sentence.

    Example:
        >>> image = torch.randn(1, 3, 224, 224)
        >>> smooth_grad(load_model(), image, method=guided_backprop, samples=2).shape
        torch.Size([1, 3, 224, 224])
    """
    _check_count("samples", samples)
    if not isinstance(noise, Real) or not 0 <= noise < math.inf:
        raise ValueError(f"noise: wants a share of the value range from 0, not {noise!r}")
    if not callable(method):
        raise TypeError(f"method: wants a function that gives maps, not {method!r}")
    targets = _one_question(model, images, targets)
    images = images.detach()
    spread = noise * (images.amax((1, 2, 3)) - images.amin((1, 2, 3)))[:, None, None, None]
    random = seeded(seed)
    total = 0.0
    for done in range(1, samples + 1):
        draw = torch.randn(images.shape[1:], generator=random).to(images)
        total = total + method(model, images + spread * draw, targets)
        if progress is not None:
            progress(done, samples)
    return total / samples


def integrated_gradients(
    model: nn.Module,
    images: Tensor,
    targets: Targets = None,
    steps: int = 50,
    fill: Fill = "mean",
    progress: Progress | None = None,
) -> Tensor:
    r"""Each pixel's share in the rise of the score from an empty picture to this one.

    Sundararajan, Taly & Yan 2017, arXiv:1703.01365, equation 1, with the empty picture
    $I'$ as the baseline:

    $$ M = (I - I') \cdot \int_0^1 \nabla S_c (I' + \alpha (I - I')) \, d\alpha . $$

    The map is **complete** (their proposition 1): its values sum to $S_c(I) - S_c(I')$.
    Scores change most where the picture is still faint. So the integral is taken over
    $u$ with $\alpha = u^2$, by Gauss and Legendre's rule, which comes closer than as many
    evenly spaced points; whether `steps` are enough, the sum tells.

    Args:
        model: a classifier, (N, 3, H, W) → (N, classes).
        images: (N, 3, H, W), preprocessed; not changed.
        targets: None, an int, N class indices, a `Unit` or a function (see
            `target_scores`). None is the top class of each picture.
        steps: how many points of the path are looked at.
        fill: of the empty picture: ``"mean"``, ``"blur"``, a colour or a tensor (see
            `fill_picture`).
        progress: called as ``progress(done, steps)`` after each point; whatever it raises
            ends the work and goes through to the caller.

    Returns:
        (N, 3, H, W), signed, in units of the score.

    Raises:
        ValueError, TypeError, RuntimeError: as `input_gradient`.

    Example:
        >>> model, image = load_model(), torch.randn(1, 3, 224, 224)
        >>> integrated_gradients(model, image, 207, steps=5).shape
        torch.Size([1, 3, 224, 224])
    """
    _check_count("steps", steps)
    targets = _one_question(model, images, targets)
    images = images.detach()
    start = fill_picture(fill, images)
    way, total = images - start, torch.zeros_like(images)
    for done, (alpha, weight) in enumerate(_path(steps), 1):
        total += weight * _backward_pass(model, start + alpha * way, targets)[1]
        if progress is not None:
            progress(done, steps)
    _warn_of_useless(total, "pixel", stacklevel=3)
    return way * total


def _path(steps: int) -> Iterator[tuple[float, float]]:
    """Points from 0 to 1, denser near 0, and their weights in an integral over α = u²."""
    points, weights = np.polynomial.legendre.leggauss(steps)  # for u from −1 to 1
    for u, weight in zip((points + 1) / 2, weights / 2, strict=True):
        yield float(u**2), float(2 * u * weight)


# -- the weighing of channels ------------------------------------------------------------


def grad_cam(
    model: nn.Module, images: Tensor, targets: Targets = None, layer: str | None = None
) -> Tensor:
    r"""Where the channels that speak for the class respond (Grad-CAM).

    Selvaraju et al. 2017, arXiv:1610.02391, equations 1 and 2. With the channels $A^k$ of
    a layer's output, each weighed by the mean of its gradient over all places $p$:

    $$ w_k = \frac 1P \sum_p \frac{\partial S_c}{\partial A^k_p}, \qquad
       M = \max \Bigl(0, \sum_k w_k A^k \Bigr) , $$

    enlarged to the picture's size by bilinear interpolation.

    Args:
        model: a classifier, (N, 3, H, W) → (N, classes).
        images: (N, 3, H, W), preprocessed; not changed.
        targets: None, an int, N class indices, a `Unit` or a function (see
            `target_scores`).
        layer: module path or friendly name (see `layer_path`); None takes the last one on
            the way to the score that gives a map (N, channels, rows, columns) of more
            than one place.

    Returns:
        (N, H, W), not negative.

    Raises:
        ValueError, TypeError, RuntimeError: as `layer_gradient`; also a layer without
            places, and a network that has no other.

    Warns:
        UserWarning: as `layer_gradient`; also where nothing speaks for the class, so that
            the map of a picture is zero everywhere.

    Example:
        >>> image = torch.randn(2, 3, 224, 224)
        >>> grad_cam(load_model(), image, 207, layer="fire9").shape
        torch.Size([2, 224, 224])
    """
    if layer is None:
        layer = _last_spatial_layer(model, images, targets)
    _check_layer(layer)
    channels, gradient = _backward_pass(model, images, targets, layer=layer)
    if channels.ndim != 4 or has_channels_last(channels, images):
        raise ValueError(
            f"layer: wants one that gives (N, channels, rows, columns); {layer!r} gives "
            f"the shape {tuple(channels.shape)}"
        )
    _warn_of_useless(gradient, f"place of layer {layer!r}", stacklevel=3)
    weights = gradient.mean((2, 3), keepdim=True)
    coarse = (weights * channels).sum(1, keepdim=True).relu()
    for picture, map_ in enumerate(coarse):
        if not map_.any() and gradient[picture].any():
            words = f"no place of layer {layer!r} speaks for the class of picture {picture}"
            warnings.warn(f"{words}: its map is zero", stacklevel=2)
    return F.interpolate(coarse, images.shape[2:], mode="bilinear")[:, 0]


def _last_spatial_layer(model: nn.Module, images: Tensor, targets: Targets) -> str:
    """The path of the last layer that gives a map of more than one place.

    Of a `Unit`, the last one that has finished when the unit's own layer has.
    """
    finished: list[tuple[str, bool]] = []

    def note(path):
        def hook(module, inputs, output):
            spatial = isinstance(output, Tensor) and output.ndim == 4
            spatial = spatial and not has_channels_last(output, images)
            finished.append((path, spatial and output[0, 0].numel() > 1))

        return hook

    with explaining(model), torch.no_grad():
        check_images(model, images)
        modules = [(path, module) for path, module in model.named_modules() if path]
        hooks = [module.register_forward_hook(note(path)) for path, module in modules]
        try:
            target_scores(model, images, targets)
        finally:
            for hook in hooks:
                hook.remove()
    if isinstance(targets, Unit):
        paths = [path for path, _ in finished]
        last = len(paths) - paths[::-1].index(layer_path(model, targets.layer))
        finished = finished[:last]
    spatial = [path for path, has_places in finished if has_places]
    if not spatial:
        raise ValueError(
            f"layer: {type(model).__name__} has no layer with a map of more than one place "
            "on the way to this score; Grad-CAM needs one"
        )
    return spatial[-1]


# -- one pass back -----------------------------------------------------------------------


def _ruled_gradient(model, images, targets, rule, layer=None) -> Tensor:
    """The gradient to the pixels, or to the output of `layer`."""
    gradient = _backward_pass(model, images, targets, rule, layer)[1]
    place = "pixel" if layer is None else f"place of layer {layer!r}"
    _warn_of_useless(gradient, place, stacklevel=4)
    return gradient


def _backward_pass(
    model, images, targets, rule="vanilla", layer=None
) -> tuple[Tensor, Tensor]:
    """The pixels, or what `layer` gives for them; and the score's gradient to these."""
    if rule not in RULES:
        raise ValueError(f"rule: wants one of {', '.join(RULES)}, not {rule!r}")
    with explaining(model):
        check_images(model, images)
        if layer is not None or callable(targets):  # a function may want the whole batch
            groups = [(images, targets)]
        else:
            groups = _groups(images, targets)
        passes = [_one_pass(model, *group, rule, layer) for group in groups]
        sources, gradients, others = zip(*passes, strict=True)
        answer = torch.cat(sources), torch.cat(gradients)
    if others[0]:
        warnings.warn(
            f"{rule!r} changes the backward pass of ReLUs alone; of "
            f"{type(model).__name__}'s activations, {' and '.join(sorted(others[0]))} "
            "keep their plain derivative",
            stacklevel=4,
        )
    return answer


def _groups(images: Tensor, targets: Targets) -> Iterator[tuple[Tensor, Targets]]:
    """Pictures with their targets, as many at once as go quickly through a network."""
    at_once = max(PIXELS_AT_ONCE // math.prod(images.shape[2:]), 1)
    if targets is not None and not isinstance(targets, Unit):
        targets = class_indices(targets, len(images))
    for start in range(0, len(images), at_once):
        some = slice(start, start + at_once)
        yield images[some], targets[some] if isinstance(targets, Tensor) else targets


def _one_pass(model, images, targets, rule, layer) -> tuple[Tensor, Tensor, set[str]]:
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
    source = outputs[-1] if outputs else pixels
    return source.detach(), _gradient(scores, source, layer), relus.others


def _one_question(model: nn.Module, images: Tensor, targets: Targets) -> Targets:
    """`targets`, with the top class of each picture as it is now in place of None.

    A method that changes its pictures must go on asking about the same class.
    """
    _, classes, _ = read_answer(model, images, targets)  # refuses what does not fit
    return targets if classes is None else classes


def _check_layer(layer) -> None:
    if not isinstance(layer, str):
        raise TypeError(f"layer: wants the path or name of a layer, not {layer!r}")


def _check_count(name: str, value) -> None:
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name}: wants a whole number from 1, not {value!r}")


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


def _warn_of_useless(gradient: Tensor, place: str, stacklevel: int) -> None:
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
        warnings.warn(f"the gradient of picture {picture} {words}", stacklevel=stacklevel)


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
    return gradient.detach().contiguous()  # whatever the layout of the weights


# -- the three rules -------------------------------------------------------------------


class _RuledReLU(torch.autograd.Function):
    """min(max(x, 0), top) forwards; backwards by `rule`, guided or deconvnet."""

    @staticmethod
    def forward(ctx, x, rule, top, in_place):
        y = x.clamp_(0, top) if in_place else x.clamp(0, top)
        if in_place:
            ctx.mark_dirty(y)
        ctx.rule, ctx.top = rule, top
        ctx.save_for_backward(*[y] * (rule == "guided"))  # x > 0 where y > 0
        return y

    @staticmethod
    def backward(ctx, g):
        g = g.clamp(min=0)
        for y in ctx.saved_tensors:
            # g where y > 0, else 0: five times as fast as g * (y > 0)
            torch.ops.aten.threshold_backward.grad_input(g, y, 0, grad_input=g)
            if ctx.top < float("inf"):
                g *= y < ctx.top
        return g, None, None, None


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


def _clamp(input, min=None, max=None, inplace=False):
    top = float("inf") if max is None else max
    at_zero = isinstance(min, Real) and min == 0 and isinstance(top, Real)
    return (input, top, inplace) if at_zero else None


def _clamp_(input, min=None, max=None):
    return _clamp(input, min, max, inplace=True)


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
        **dict.fromkeys((torch.clamp, Tensor.clamp, torch.clip, Tensor.clip), _clamp),
        **dict.fromkeys((torch.clamp_, Tensor.clamp_, Tensor.clip_), _clamp_),
        **dict.fromkeys((torch.clamp_min, Tensor.clamp_min), _clamp),
        **dict.fromkeys((torch.clamp_min_, Tensor.clamp_min_), _clamp_),
    }
    OTHERS = {
        **dict.fromkeys((F.leaky_relu, F.leaky_relu_), "leaky ReLU"),
        **dict.fromkeys((F.rrelu, F.rrelu_), "randomized ReLU"),
        **dict.fromkeys((F.elu, F.elu_), "ELU"),
        **dict.fromkeys((F.celu, torch.celu, torch.celu_), "CELU"),
        **dict.fromkeys((F.selu, torch.selu, torch.selu_), "SELU"),
        F.prelu: "PReLU",
        F.gelu: "GELU",
        F.silu: "SiLU",
        F.mish: "Mish",
        F.hardswish: "Hardswish",
        F.softplus: "softplus",
    }

    def __init__(self, rule: str):
        super().__init__()
        self.rule, self.met, self.others = rule, 0, set()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        call = self.CALLS[func](*args, **kwargs) if func in self.CALLS else None
        if func in self.OTHERS:
            self.others.add(self.OTHERS[func])
        # Swin v2 has ReLUs beside the picture's way: they turn constants into constants.
        if call is None or (torch.is_grad_enabled() and not call[0].requires_grad):
            return func(*args, **kwargs)
        self.met += 1
        x, top, in_place = call
        return _RuledReLU.apply(x, self.rule, top, in_place)


@contextmanager
def relu_rule(rule: str) -> Iterator[_ReLUOverride]:
    """While open, ReLUs go backwards by `rule`; yields the override with its count."""
    override = _ReLUOverride(rule)
    if rule == "vanilla":
        yield override
    else:
        with override:
            yield override
