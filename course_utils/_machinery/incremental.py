r"""A network that recomputes only what a change of its image changes.

Hide a window of 32 × 32 pixels, and most of every early layer is unchanged. So keep each
layer's *clean* maps of the whole image, and for a changed window follow the **patch** that
it reaches: behind a convolution or a pooling of kernel $k$, stride $s$ and
padding $p$, a change of the input rows $a$ to $b$ reaches the output rows

$$ \left\lceil \frac{a + p - k + 1}{s} \right\rceil \ \ldots\
   \left\lfloor \frac{b + p}{s} \right\rfloor , $$

cut to the map, and the columns likewise. For each layer: cut the patch's surroundings out
of the clean map, paste the patch into them, and run the layer on that small piece. It is
the same arithmetic on the same numbers, without the part whose result is known. The idea is
incremental inference (Nakandala, Kumar & Papakonstantinou 2019, *Incremental and
Approximate Inference for Faster Occlusion-based Deep CNN Explanations*, SIGMOD).

A layer that looks at the whole map at once (a fully connected one, a global mean) ends
this: the patch is pasted into the clean map, and the layers from here on run on all of it.
"""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules import module as module_hooks
from torch.nn.modules.batchnorm import _BatchNorm
from torchvision.models import VGG, AlexNet, SqueezeNet
from torchvision.models.squeezenet import Fire

from .arguments import ArgumentError, described
from .network import run

AT_ONCE = 32  # windows in one pass, at most: after each one a picture can be drawn
BYTES = 200_000_000  # that the largest patches of one pass may take

# Layers that treat each position by itself, whatever lies around it.
POINTWISE = (
    nn.BatchNorm2d, nn.Dropout, nn.Dropout2d, nn.ELU, nn.GELU, nn.Hardtanh, nn.Identity,
    nn.LeakyReLU, nn.ReLU, nn.ReLU6, nn.SiLU, nn.Sigmoid, nn.Tanh,
)  # fmt: skip
# Layers that do not mix the classes, so that one class can be computed without the others.
KEEPS_CLASSES = (*POINTWISE, nn.AdaptiveAvgPool2d, nn.AvgPool2d, nn.MaxPool2d, nn.Flatten)
Layers = list[tuple[str, nn.Module]]  # each with its path in the network, in order


class Span(NamedTuple):
    """Rows (or columns) of N patches."""

    starts: Tensor  # (N,)
    length: int  # of them all


@dataclass(frozen=True)
class Axis:
    """How a layer walks along the rows, or along the columns."""

    kernel: int = 1
    stride: int = 1
    padding: int = 0
    ceil: bool = False  # a pooling that may reach beyond the end of the map

    def outputs(self, size: int) -> int:
        """How many outputs a map of `size` has."""
        room = size + 2 * self.padding - self.kernel
        if not self.ceil:
            return room // self.stride + 1
        count = -(-room // self.stride) + 1
        return count - ((count - 1) * self.stride >= size + self.padding)

    def reach(self, span: Span, size: int) -> Span:
        """The outputs, of `size` in all, that a change within `span` can change."""
        ends = span.starts + span.length - 1
        first = -((self.kernel - 1 - self.padding - span.starts) // self.stride)  # ceil
        last = (ends + self.padding) // self.stride
        first, last = first.clamp(min=0), last.clamp(max=size - 1)
        length = max(int((last - first).max()) + 1, 1)
        return Span(first.clamp(max=size - length), length)

    def context(self, outputs: Span) -> Span:
        """The inputs, counted with the padding, from which `outputs` are computed."""
        # And stride - 1 more: room for the last rows of a patch, which no output may see.
        length = outputs.length * self.stride + self.kernel - 1
        return Span(outputs.starts * self.stride, length)

    def within(self, span: Span, context: Span) -> Span:
        """Where `span` lies in its `context`."""
        return Span(span.starts + self.padding - context.starts, span.length)

    def pads(self, size: int) -> tuple[int, int]:
        """How a map is padded at its two ends, so that every `context` fits into it."""
        whole = self.context(Span(torch.zeros(1), self.outputs(size)))
        return self.padding, whole.length - self.padding - size


@dataclass
class Step:
    """A layer that sees only a small neighbourhood of each position."""

    name: str
    run: Callable[[Tensor], Tensor]  # without its padding: (N, C, h, w) → (N, C', h', w')
    rows: Axis = Axis()
    columns: Axis = Axis()
    border: float = 0.0  # what its padding holds

    @property
    def pointwise(self) -> bool:
        """Whether each output depends on the one input at its own place."""
        return self.rows == self.columns == Axis()

    def reach(self, spans: Sequence[Span], size: Sequence[int]) -> tuple[Span, Span]:
        """The rows and columns of the output that a change within `spans` can change."""
        return self.rows.reach(spans[0], size[0]), self.columns.reach(spans[1], size[1])


class Incremental:
    """A network, taken apart by `layers_of`, and the clean maps of an image (1, C, H, W).

    `steps` are the layers that are computed patch by patch; `maps`, (h, w, channels) each,
    are the image, then the output of each step. `only` computes one class alone.

    Example:
        >>> network = Incremental(load_model(), torch.zeros(1, 3, 224, 224))
        >>> [step.name for step in network.steps][:4]
        ['features.0', 'features.1', 'features.2', 'features.3.squeeze']
    """

    def __init__(self, model: nn.Module, image: Tensor, only: int | None = None):
        image = image.clone()  # layers may work in place
        layers = layers_of(model)
        if layers is None:
            known = "SqueezeNet, AlexNet, VGG or a Sequential of layers, without hooks"
            raise ArgumentError("model", f"must be {known}, got {described(model)}")
        if only is not None:
            with torch.no_grad():
                layers = narrowed(layers, only, classes=run(model, image).shape[1])
        self.steps, self.head = split(layers)
        self.maps, self._padded = [_channels_last(image)[0]], []
        with torch.no_grad():
            for step in self.steps:  # by its definition: pad, then run
                clean = self.maps[-1].permute(2, 0, 1)[None]
                pads = *step.columns.pads(clean.shape[3]), *step.rows.pads(clean.shape[2])
                padded = F.pad(clean, pads, value=step.border)
                padded = padded.contiguous(memory_format=torch.channels_last)
                self._padded.append(_channels_last(padded)[0])
                self.maps.append(_channels_last(step.run(padded.clone()))[0])

    def __call__(self, top: Tensor, left: Tensor, patches: Tensor) -> Tensor:
        """(N, classes or 1): the outputs for N images, each with one patch replaced.

        The patches (N, C, h, w) begin at the rows `top` (N,) and the columns `left` (N,).
        """
        spans = Span(top, patches.shape[2]), Span(left, patches.shape[3])
        patches = _channels_last(patches).clone()  # layers may work in place
        for step, clean, out in zip(self.steps, self._padded, self.maps[1:], strict=True):
            if not step.pointwise:
                reached = step.reach(spans, out.shape)
                context = step.rows.context(reached[0]), step.columns.context(reached[1])
                rows = step.rows.within(spans[0], context[0])
                columns = step.columns.within(spans[1], context[1])
                patches = paste(cut(clean, *context), patches, rows, columns)
                spans = reached
            patches = _channels_last(step.run(patches.permute(0, 3, 1, 2)))
        whole = self.maps[-1].expand(len(patches), -1, -1, -1).clone()
        return self.head(paste(whole, patches, *spans).permute(0, 3, 1, 2))

    def patches(self, top: int, left: int, height: int, width: int) -> list[tuple]:
        """How a changed window grows: (name, map's size, box) of the picture and each step.

        A box is (top, left, bottom, right), its last row and column excluded.
        """
        spans = Span(torch.tensor([top]), height), Span(torch.tensor([left]), width)
        places = [("picture", tuple(self.maps[0].shape[:2]), _box(spans))]
        for step, clean in zip(self.steps, self.maps[1:], strict=True):
            spans = step.reach(spans, clean.shape)
            places.append((step.name, tuple(clean.shape[:2]), _box(spans)))
        return places

    def how_many(self, window: Sequence[int]) -> int:
        """How many windows fit into one pass: bounded by their largest patches."""
        height, width = self.maps[0].shape[:2]
        middle = (height - window[0]) // 2, (width - window[1]) // 2
        largest = 0
        places = self.patches(*middle, *window)
        for (*_, (top, left, bottom, right)), clean in zip(places, self.maps, strict=True):
            largest = max(largest, (bottom - top) * (right - left) * clean[0, 0].nbytes)
        return max(min(AT_ONCE, BYTES // (4 * largest)), 1)


def cut(maps: Tensor, rows: Span, columns: Span) -> Tensor:
    """(N, h, w, C): N pieces of a map (H, W, C), at `rows` and `columns`."""
    return maps[_indices(rows)[:, :, None], _indices(columns)[:, None, :]]


def paste(maps: Tensor, patches: Tensor, rows: Span, columns: Span) -> Tensor:
    """Write N patches (N, h, w, C) into N maps (N, H, W, C), each at its place."""
    index = torch.arange(len(maps), device=maps.device)[:, None, None]
    maps[index, _indices(rows)[:, :, None], _indices(columns)[:, None, :]] = patches
    return maps


def _indices(span: Span) -> Tensor:
    """(N, length): the rows (or columns) of each patch."""
    return span.starts[:, None] + torch.arange(span.length, device=span.starts.device)


def _channels_last(maps: Tensor) -> Tensor:
    """(N, C, H, W) seen as (N, H, W, C): the channels of one position lie together."""
    return maps.permute(0, 2, 3, 1)


def _box(spans: Sequence[Span]) -> tuple[int, int, int, int]:
    (top, height), (left, width) = ((int(span.starts), span.length) for span in spans)
    return top, left, top + height, left + width


# -- taking a network apart ------------------------------------------------------------


def layers_of(model: nn.Module) -> Layers | None:
    """The layers of `model` in the order in which it uses them, as (path, layer).

    Torchvision's SqueezeNet, AlexNet and VGG are known, and any Sequential. None for every
    other network, for one with hooks, which would not be called, and for one whose batch
    norm mixes the images of a batch.
    """
    everywhere = module_hooks._global_forward_hooks.values()
    if mixes_images(model) or any(hook.__module__[:6] != "torch." for hook in everywhere):
        return None  # hooks of torch itself, on all modules, only count
    for module in model.modules():
        if module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module):
            return None
    deep = ("features", "avgpool", "flatten", "classifier")
    chains = {nn.Sequential: ("",), SqueezeNet: ("features", "classifier", "flatten")}
    chains |= {AlexNet: deep, VGG: deep}
    layers = []
    for path in chains.get(type(model), ()):
        part = nn.Flatten() if path == "flatten" else model.get_submodule(path)
        layers += _unrolled(path, part)
    return layers or None


def mixes_images(model: nn.Module) -> bool:
    """Whether batch norm without running statistics mixes the images of a batch."""
    norms = (module for module in model.modules() if isinstance(module, _BatchNorm))
    return any(norm.running_mean is None for norm in norms)


def _unrolled(path: str, module: nn.Module) -> Layers:
    """The layers within nested Sequentials."""
    if type(module) is not nn.Sequential:
        return [(path, module)]
    named = [(f"{path}.{name}" if path else name, m) for name, m in module.named_children()]
    return [layer for name, child in named for layer in _unrolled(name, child)]


def narrowed(layers: Layers, only: int, classes: int) -> Layers:
    """The same layers, the last one with weights reduced to a single class.

    Unchanged where its channels are not the classes, or are mixed by a later layer.
    """
    for place in range(len(layers) - 1, -1, -1):
        name, layer = layers[place]
        plain = type(layer) is nn.Conv2d and layer.groups == 1
        if (plain or type(layer) is nn.Linear) and len(layer.weight) == classes:
            return [*layers[:place], (name, _one_row(layer, only)), *layers[place + 1 :]]
        if type(layer) not in KEEPS_CLASSES or isinstance(layer, nn.BatchNorm2d):
            break
    return layers


def _one_row(layer: nn.Module, row: int) -> nn.Module:
    """A convolution or linear layer that computes one of its outputs."""
    layer = copy.copy(layer)
    layer._parameters = {
        name: None if p is None else nn.Parameter(p[row : row + 1], requires_grad=False)
        for name, p in layer._parameters.items()
    }
    return layer


def split(layers: Layers) -> tuple[list[Step], nn.Sequential]:
    """The layers that can be computed patch by patch, and the rest."""
    steps = []
    for place, (name, layer) in enumerate(layers):
        found = _steps(name, layer)
        if found is None:
            return steps, nn.Sequential(*(layer for _, layer in layers[place:]))
        steps += found
    return steps, nn.Sequential()


def _steps(name: str, layer: nn.Module) -> list[Step] | None:
    """A layer as steps; None if it sees more than a neighbourhood."""
    if type(layer) in POINTWISE:
        return [Step(name, layer)]
    build = {nn.Conv2d: _convolution, nn.MaxPool2d: _pooling, Fire: _fire}.get(type(layer))
    steps = build(name, layer) if build else None
    axes = [axis for step in steps or () for axis in (step.rows, step.columns)]
    # A layer whose stride exceeds its kernel skips pixels; it runs on whole maps.
    return steps if all(axis.kernel >= axis.stride for axis in axes) else None


def _axes(kernel, stride, padding, dilation=1, ceil=False) -> dict[str, Axis]:
    """`rows` and `columns` of a step, from numbers or pairs of them."""
    sizes = (kernel, stride, padding, dilation)
    pairs = zip(*(v if isinstance(v, tuple) else (v, v) for v in sizes), strict=True)
    rows, columns = (Axis(d * (k - 1) + 1, s, p, ceil) for k, s, p, d in pairs)
    return {"rows": rows, "columns": columns}


def _convolution(name: str, layer: nn.Conv2d) -> list[Step] | None:
    if layer.padding_mode != "zeros" or isinstance(layer.padding, str):
        return None
    weight = layer.weight.contiguous(memory_format=torch.channels_last)
    settings = weight, layer.bias, layer.stride, 0, layer.dilation, layer.groups
    axes = _axes(layer.kernel_size, layer.stride, layer.padding, layer.dilation)
    return [Step(name, lambda x: F.conv2d(x, *settings), **axes)]


def _pooling(name: str, layer: nn.MaxPool2d) -> list[Step] | None:
    if layer.return_indices:
        return None
    kernel, stride, dilation = layer.kernel_size, layer.stride, layer.dilation
    axes = _axes(kernel, stride, layer.padding, dilation, layer.ceil_mode)
    run = partial(F.max_pool2d, kernel_size=kernel, stride=stride, dilation=dilation)
    return [Step(name, run, **axes, border=-math.inf)]


def _fire(name: str, fire: nn.Module) -> list[Step] | None:
    """Squeeze is pointwise; both expansions together see one position on each side."""
    narrow = _convolution("", fire.expand1x1)[0]
    wide = _convolution("", fire.expand3x3)[0]
    if (narrow.rows, narrow.columns) != (Axis(),) * 2 or wide.rows != Axis(3, 1, 1):
        return None

    def expand(x: Tensor) -> Tensor:
        middle = x[:, :, 1:-1, 1:-1]
        return torch.cat([narrow.run(middle), wide.run(x)], dim=1).relu_()

    squeeze = nn.Sequential(fire.squeeze, fire.squeeze_activation)
    last = Step(f"{name}.expand", expand, wide.rows, wide.columns)
    return [Step(f"{name}.squeeze", squeeze), last]
