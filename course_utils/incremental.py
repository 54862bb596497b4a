r"""A network that computes anew only what a change of its picture changes.

Hide a window of 32 × 32 pixels, and most of every early layer stays what it was. So keep
each layer's *clean* maps of the untouched picture, and for a changed window follow the
**patch** that it reaches: behind a convolution or a pooling of kernel $k$, stride $s$ and
padding $p$, a change of the input rows $a$ to $b$ reaches the output rows

$$ \left\lceil \frac{a + p - k + 1}{s} \right\rceil \ \ldots\
   \left\lfloor \frac{b + p}{s} \right\rfloor , $$

cut to the map, and the columns likewise. For each layer: cut the patch's surroundings out
of the clean map, paste the patch into them, and run the layer on that small piece. It is
the same arithmetic on the same numbers, without the part whose result is known; the idea is
that of incremental inference (Nakandala, Kumar & Papakonstantinou 2019, *Incremental and
Approximate Inference for Faster Occlusion-based Deep CNN Explanations*, SIGMOD).

A layer that looks at the whole map at once (a fully connected one, a global mean) ends
this: there the patch is pasted into the clean map, and the rest runs as it is.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Layers that treat each position for itself, whatever lies around it.
POINTWISE = (
    nn.BatchNorm2d,
    nn.Dropout,
    nn.Dropout2d,
    nn.ELU,
    nn.GELU,
    nn.Hardtanh,
    nn.Identity,
    nn.LeakyReLU,
    nn.ReLU,
    nn.ReLU6,
    nn.SiLU,
    nn.Sigmoid,
    nn.Tanh,
)
# Layers that do not mix the classes, so that one class can be computed without the others.
KEEPS_CLASSES = (*POINTWISE, nn.AdaptiveAvgPool2d, nn.AvgPool2d, nn.MaxPool2d, nn.Flatten)


class Span(NamedTuple):
    """Rows (or columns) of N patches: where each one starts, and their common length."""

    starts: Tensor
    length: int


@dataclass(frozen=True)
class Axis:
    """How a layer walks along the rows, or along the columns."""

    kernel: int = 1
    stride: int = 1
    padding: int = 0

    def reach(self, span: Span, size: int) -> Span:
        """The outputs, of `size` in all, that a change within `span` can change."""
        ends = span.starts + span.length - 1
        first = -((self.kernel - 1 - self.padding - span.starts) // self.stride)  # ceil
        last = (ends + self.padding) // self.stride
        first, last = first.clamp(min=0), last.clamp(max=size - 1)
        length = max(int((last - first).max()) + 1, 1)
        return Span(first.clamp(max=size - length), length)

    def context(self, outputs: Span) -> Span:
        """The inputs, counted with the padding, from which `outputs` are computed.

        With stride - 1 more at the end: they make no further output, and hold the last
        rows of a patch at the border, which no output may see.
        """
        length = outputs.length * self.stride + self.kernel - 1
        return Span(outputs.starts * self.stride, length)

    def pads(self, inputs: int, outputs: int) -> tuple[int, int]:
        """How much a map is padded at its beginning and its end for every `context`."""
        return self.padding, outputs * self.stride + self.kernel - 1 - self.padding - inputs


@dataclass
class Step:
    """A layer that sees a small neighbourhood of each position, and pointwise ones.

    Attributes:
        name: path of the layer in its network.
        run: the layer without its padding, (N, C, h, w) → (N, C', h', w').
        rows, columns: how it walks over the map.
        border: what its padding holds.
    """

    name: str
    run: Callable[[Tensor], Tensor]
    rows: Axis = Axis()
    columns: Axis = Axis()
    border: float = 0.0

    @property
    def pointwise(self) -> bool:
        """Whether each output hangs on the one input at its own place."""
        return self.rows == self.columns == Axis()


class Incremental:
    """A network and the clean maps of one picture, ready for changed windows.

    Args:
        model: a network that `layers_of` can take apart, in evaluation mode.
        image: (1, C, H, W), the picture that windows of change.
        only: compute the output of this class alone; None computes all.

    Raises:
        TypeError: a network of another kind; `layers_of` says which there are.

    Attributes:
        steps: the layers that are computed patch by patch.
        maps: (h, w, channels) clean: the picture, then the output of each step.

    Example:
        >>> network = Incremental(load_model(), torch.zeros(1, 3, 224, 224))
        >>> [step.name for step in network.steps][:3]
        ['features.0', 'features.2', 'features.3.squeeze']
    """

    def __init__(self, model: nn.Module, image: Tensor, only: int | None = None):
        layers = layers_of(model)
        if layers is None:
            raise TypeError(
                "model: wants SqueezeNet, AlexNet, VGG or a Sequential of layers, "
                f"without hooks, not {type(model).__name__}"
            )
        if only is not None:
            layers = narrowed(layers, only)
        self.steps, self.head = split(layers)
        self.maps, self._padded = [_channels_last(image)[0]], []
        with torch.no_grad():
            for step in self.steps:
                self._append(step)

    def _append(self, step: Step) -> None:
        """The clean output of `step`, by its definition: pad, then run."""
        clean = self.maps[-1]
        # One output more than needed costs nothing here; its size tells how many fit.
        outputs = [self._outputs(step, side) for side in (0, 1)]
        pads = (
            *step.columns.pads(clean.shape[1], outputs[1]),
            *step.rows.pads(clean.shape[0], outputs[0]),
        )
        padded = F.pad(clean.permute(2, 0, 1), pads, value=step.border)[None]
        padded = padded.contiguous(memory_format=torch.channels_last)
        self._padded.append(_channels_last(padded)[0])
        self.maps.append(_channels_last(step.run(padded))[0])

    def __call__(self, top: Tensor, left: Tensor, patches: Tensor) -> Tensor:
        """The network's outputs for N pictures, each with one patch exchanged.

        Args:
            top, left: (N,), where the patch of each picture begins.
            patches: (N, C, h, w), what stands there.

        Returns:
            (N, classes), or (N, 1) for one class alone.
        """
        rows, columns = Span(top, patches.shape[2]), Span(left, patches.shape[3])
        patches = _channels_last(patches)
        for number, step in enumerate(self.steps):
            if not step.pointwise:
                size = self.maps[number + 1].shape
                new_rows = step.rows.reach(rows, size[0])
                new_columns = step.columns.reach(columns, size[1])
                around = step.rows.context(new_rows), step.columns.context(new_columns)
                context = cut(self._padded[number], *around)
                inner = [
                    Span(span.starts + axis.padding - wide.starts, span.length)
                    for axis, span, wide in zip(
                        (step.rows, step.columns), (rows, columns), around, strict=True
                    )
                ]
                patches = paste(context, patches, *inner)
                rows, columns = new_rows, new_columns
            patches = _channels_last(step.run(patches.permute(0, 3, 1, 2)))
        whole = self.maps[-1].expand(len(patches), -1, -1, -1).clone()
        return self.head(paste(whole, patches, rows, columns).permute(0, 3, 1, 2))

    def patches(self, top: int, left: int, height: int, width: int) -> list[tuple]:
        """How a changed window grows: (name, map's size, box) of the picture and each step.

        A box is (top, left, bottom, right), its last row and column not included.
        """
        spans = Span(torch.tensor([top]), height), Span(torch.tensor([left]), width)
        places = [("picture", tuple(self.maps[0].shape[:2]), _box(spans))]
        for step, output in zip(self.steps, self.maps[1:], strict=True):
            size = tuple(output.shape[:2])
            axes = (step.rows, step.columns)
            spans = [a.reach(s, n) for a, s, n in zip(axes, spans, size, strict=True)]
            places.append((step.name, size, _box(spans)))
        return places


def cut(maps: Tensor, rows: Span, columns: Span) -> Tensor:
    """From a map (H, W, C) the N pieces (N, h, w, C) at `rows` and `columns`."""
    return maps[_indices(rows)[:, :, None], _indices(columns)[:, None, :]]


def paste(maps: Tensor, patches: Tensor, rows: Span, columns: Span) -> Tensor:
    """Write N patches (N, h, w, C) into as many maps (N, H, W, C), each at its place."""
    number = torch.arange(len(maps), device=maps.device)[:, None, None]
    maps[number, _indices(rows)[:, :, None], _indices(columns)[:, None, :]] = patches
    return maps


def _indices(span: Span) -> Tensor:
    """(N, length): the rows (or columns) of each patch."""
    return span.starts[:, None] + torch.arange(span.length, device=span.starts.device)


def _channels_last(maps: Tensor) -> Tensor:
    """(N, C, H, W) seen as (N, H, W, C): the numbers of one position lie together."""
    return maps.permute(0, 2, 3, 1)


def _box(spans: Sequence[Span]) -> tuple[int, int, int, int]:
    (top, left), (height, width) = zip(*((int(s.starts), s.length) for s in spans))
    return top, left, top + height, left + width
