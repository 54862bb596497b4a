r"""Gradient maps: how the score changes when a pixel does (lessons 02, 03 and 05).

The saliency of pixel $(i, j)$ for class $c$ is the largest slope of the class score over
the colour channels (Simonyan, Vedaldi & Zisserman 2013, arXiv:1312.6034, section 3):

$$ M_{ij} = \max_k \left| \frac{\partial S_c}{\partial I_{kij}} \right| . $$

`vanilla_saliency` is that map; `input_gradient` is the signed derivative itself;
`guided_backprop` and `deconvnet` are the same pass with another rule at each ReLU (see
`relu_rules`); `layer_gradient` stops on the way back, at any layer.

What `model`, `images` and `targets` may be is written in `targets`. All functions raise an
`ArgumentError` (a ValueError) that names the argument, and a RuntimeError for a network
that fails, forwards or backwards. They warn where a score does not change at all with its
pixels, where a gradient is not finite, and where a rule leaves some activations alone.
"""

import math

import torch
from torch import Tensor, nn

from ._machinery.arguments import ArgumentError, described, warn
from ._machinery.hooks import watching
from .methods import saliency_method
from .models import layer_path
from .relu_rules import relu_rule
from .targets import Targets, check_images, explaining, forward, groups


@saliency_method("vanilla gradient", lesson="02", passes=2)
def vanilla_saliency(model: nn.Module, images: Tensor, targets: Targets = None) -> Tensor:
    """(N, H, W): the largest absolute slope of the score over the colours, per pixel.

    Not negative, in score per unit of normalised pixel value.

    Example:
        >>> vanilla_saliency(load_model(), torch.randn(2, 3, 224, 224)).shape
        torch.Size([2, 224, 224])
    """
    return input_gradient(model, images, targets).abs_().amax(dim=1)


@saliency_method("guided backprop", lesson="05", passes=2, signed=True)
def guided_backprop(model: nn.Module, images: Tensor, targets: Targets = None) -> Tensor:
    """Signed guided-backprop maps (N, 3, H, W); see `input_gradient`."""
    return input_gradient(model, images, targets, rule="guided")


@saliency_method("deconvnet", lesson="05", passes=2, signed=True)
def deconvnet(model: nn.Module, images: Tensor, targets: Targets = None) -> Tensor:
    """Signed deconvnet maps (N, 3, H, W); see `input_gradient`."""
    return input_gradient(model, images, targets, rule="deconvnet")


def input_gradient(
    model: nn.Module, images: Tensor, targets: Targets = None, rule: str = "vanilla"
) -> Tensor:
    """(N, 3, H, W): the derivative of each image's score with respect to its pixels.

    Signed, in score per unit of normalised pixel value. What a ReLU passes back is the
    `rule`: ``"vanilla"``, ``"guided"`` or ``"deconvnet"``.

    One backward pass serves the whole batch: each score depends on its own image only, so
    the gradient of the *sum* of the scores holds every single gradient. A large batch goes
    through in groups, so that memory does not grow with it.

    Example:
        >>> input_gradient(load_model(), torch.randn(1, 3, 224, 224), 207).shape
        torch.Size([1, 3, 224, 224])
    """
    return warn_if_useless(backward(model, images, targets, rule), "pixel")


def backward(
    model: nn.Module, images: Tensor, targets: Targets, rule: str = "vanilla"
) -> Tensor:
    """`input_gradient`, without a warning where it is zero."""
    with explaining(model):
        check_images(model, images, targets)
        gradients = torch.empty_like(images, memory_format=torch.contiguous_format)
        for some, asked in groups(model, images, targets):
            # As in lesson 03: scores.sum().backward(); pixels.grad
            pixels = images[some].detach().clone().requires_grad_()
            with relu_rule(rule) as relus:
                scores = forward(model, pixels, asked).scores
            if relus is not None:
                relus.check(model, scores)
            gradients[some] = gradient_of(scores, pixels)
        return gradients


def layer_gradient(
    model: nn.Module, images: Tensor, targets: Targets, layer: str, rule: str = "vanilla"
) -> Tensor:
    """The derivative of each image's score with respect to what `layer` gives.

    The backward pass of `input_gradient`, stopped at a layer on its way down: of the shape
    of the layer's output, such as (N, channels, rows, columns), signed, in score per unit
    of that output. `layer` is a path or a friendly name (see `layer_path`); of a layer that
    is used more than once, the last use counts.

    Example:
        >>> images = torch.randn(1, 3, 224, 224)
        >>> layer_gradient(load_model(), images, 207, layer="fire9").shape
        torch.Size([1, 512, 13, 13])
    """
    with explaining(model):
        check_images(model, images, targets)
        gradients = []
        for some, asked in groups(model, images, targets):
            pixels = images[some].detach().clone().requires_grad_()
            gradients.append(layer_pass(model, pixels, asked, layer, rule)[1])
        return warn_if_useless(torch.cat(gradients), f"place of layer {layer!r}")


def layer_pass(
    model: nn.Module, pixels: Tensor, targets: Targets, layer: str, rule: str = "vanilla"
) -> tuple[Tensor, Tensor]:
    """What `layer` gives, still in its graph, and the score's gradient there."""
    seen = []

    def keep(path: str, output):
        if not isinstance(output, Tensor):
            words = f"must give a tensor; {layer!r} gives {described(output)}"
            raise ArgumentError("layer", words)
        # Where a frozen part has cut the graph, it begins again at the layer.
        seen.append(output if output.requires_grad else output.detach().requires_grad_())
        return seen[-1].clone()  # later layers may work in place: on the copy

    if not isinstance(layer, str):
        raise ArgumentError("layer", f"must be the path or name of one, got {layer!r}")
    layers = {layer: model.get_submodule(layer_path(model, layer))}
    with relu_rule(rule) as relus, watching(layers, keep):
        scores = forward(model, pixels, targets).scores
    if not seen:
        raise ArgumentError("layer", f"must be one the model uses, got {layer!r}")
    if relus is not None:
        relus.check(model, scores)
    return seen[-1], gradient_of(scores, seen[-1], layer)


def gradient_of(scores: Tensor, source: Tensor, layer: str | None = None) -> Tensor:
    """The derivative of the sum of `scores` with respect to the pixels, or to a layer."""
    gradient = None
    if scores.requires_grad:
        try:
            (gradient,) = torch.autograd.grad(scores.sum(), source, allow_unused=True)
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            raise RuntimeError(f"the model's backward pass failed ({reason})") from error
    if gradient is not None:
        return gradient.detach().contiguous()  # whatever the layout of the weights
    if layer is not None:
        words = f"must lead to the score, which does not depend on what {layer!r} gives: "
        words += "the layer lies behind the target or beside it, or the graph is cut"
        raise ArgumentError("layer", words)
    words = "must name scores with a gradient; the graph is cut, by detach(), no_grad() "
    raise ArgumentError("targets", words + "or a step without a derivative such as argmax")


def warn_if_useless(gradients: Tensor, place: str, first: int = 0) -> Tensor:
    """The `gradients`, with a warning for each image whose own is zero or not finite.

    They are those of the images from number `first` on.
    """
    largest = torch.linalg.vector_norm(gradients.flatten(1), math.inf, dim=1)
    for index, value in enumerate(largest.tolist(), first):
        if value == 0:
            words = "its score does not react to small changes (a dead ReLU on the way?)"
            warn(f"the gradient of image {index} is zero at every {place}: {words}")
        elif not math.isfinite(value):
            warn(f"the gradient of image {index} holds NaN or infinite values")
    return gradients
