"""Which layer Grad-CAM looks at: the last one that still knows where things are.

A convolution's output has rows and columns that follow the picture's. So has the output of
a transformer's block, once the tokens of its patches are laid out again as the grid that
they were cut from. How either is recognised is written in `_machinery/places.py`.
"""

from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ._machinery.arguments import ArgumentError, described
from ._machinery.hooks import watching
from ._machinery.places import KINDS, Arrangement, arrangement, as_it_is, probes
from .gradients import gradient_of
from .models import Unit, layer_path
from .targets import Targets, class_indices, forward

LISTED = 4  # layers that an error names, at most


class Passed(NamedTuple):
    """A layer that an image has passed on its way to the score."""

    path: str
    output: Tensor
    gradient: Tensor
    has_weights: bool


def layout_of(model: nn.Module, layer: str, output: Tensor, pixels: Tensor) -> Arrangement:
    """How `output`, what a layer gives for the `pixels`, is laid out as a map.

    An `ArgumentError` names layers that give a map, if this one does not.
    """
    path = layer_path(model, layer)
    module = model.get_submodule(path)
    probe = cache(lambda: probes(model, {path: module}, pixels[:1].detach())[path])
    arrange = arrangement(output, pixels, probe)
    if arrange is None:
        words = "must give a map, with rows and columns that follow the picture's; "
        words += f"{layer!r} gives {described(output)}"
        raise ArgumentError("layer", words + _choice(_convolutions(model)))
    return arrange


def last_map_layer(
    model: nn.Module, images: Tensor, targets: Targets
) -> tuple[str, Arrangement]:
    """The last layer with a map of several places on which the score depends.

    Its path, and how what it gives is laid out. Where there is none, or where most of a
    transformer comes after it, an `ArgumentError` asks for a choice.
    """
    few, asked = images[:1], targets
    if callable(targets) and not isinstance(targets, Unit):
        few = images  # it may want the whole batch
    elif targets is not None and not isinstance(targets, Unit):
        asked = class_indices(targets, len(images))[:1]
    pixels = few.detach().clone().requires_grad_()
    passed = _passed(model, pixels, asked)
    paths = {each.path for each in passed if each.output.ndim in (3, 4)}
    modules = {path: model.get_submodule(path) for path in paths}
    probed = cache(lambda: probes(model, modules, pixels[:1].detach()))
    dead = not any(each.gradient.any() for each in passed)
    widths = [each.output.shape[2] for each in passed if each.output.ndim == 3]
    later = 0  # layers with weights whose values still have places, of unknown order
    for place in range(len(passed) - 1, -1, -1):
        path, output, gradient, has_weights = passed[place]
        if output.ndim not in (3, 4) or output[0, 0].numel() < 2:
            continue
        if output.ndim == 3 and output.shape[2] != widths[-1]:
            continue  # no tokens, but queries, keys and values made of them
        arrange = arrangement(output, pixels, lambda path=path: probed()[path])
        if arrange is None:
            later += has_weights
        elif dead or arrange is as_it_is or arrange(gradient).any():
            earlier = sum(each.has_weights for each in passed[: place + 1])
            if later > earlier:
                words = f"must be given: {path!r}, the last that gives a map, is followed "
                words += f"by {later} layers that give none"
                raise ArgumentError(
                    "layer", words + _choice([each.path for each in passed])
                )
            return path, arrange
    words = f"must give a map of more than one place, and {type(model).__name__} has no"
    raise ArgumentError("layer", f"{words} such layer on the way to this score")


def _passed(model: nn.Module, pixels: Tensor, targets: Targets) -> list[Passed]:
    """The layers on the way to the score, in the order in which they finish."""
    modules = {path: module for path, module in model.named_modules() if path}
    outputs: list[tuple[str, Tensor]] = []

    def see(path: str, output):
        if not isinstance(output, Tensor) or not output.is_floating_point():
            return None
        if output.requires_grad or isinstance(modules[path], KINDS):
            outputs.append((path, output))
        if output.requires_grad or not isinstance(modules[path], KINDS):
            return None
        return output.requires_grad_().clone()  # below a frozen part the graph begins here

    with watching(modules, see):
        scores = forward(model, pixels, targets).scores
    if not scores.requires_grad:
        gradient_of(scores, pixels)  # says what is wrong
    if not outputs:
        return []
    each = [output for _, output in outputs]
    gradients = torch.autograd.grad(scores.sum(), each, allow_unused=True)
    return [
        Passed(path, output, gradient, any(True for _ in modules[path].parameters(False)))
        for (path, output), gradient in zip(outputs, gradients, strict=True)
        if gradient is not None
    ]


def _convolutions(model: nn.Module) -> list[str]:
    return [path for path, module in model.named_modules() if isinstance(module, nn.Conv2d)]


def _choice(paths: list[str]) -> str:
    """The last few layers, to choose from."""
    named = ", ".join(repr(path) for path in paths[-LISTED:])
    return f"; choose among its layers, such as {named}" if named else ""
