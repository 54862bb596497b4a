"""Whether a layer's output lies over the picture: row for row, and column for column.

The shape alone cannot tell. (N, 3, 16, 4) may be three channels at 16×4 places, or three
attention heads of 16 tokens; (N, 7, 7, 768) has its channels last. So the network itself is
asked: a change at the left of the picture must change the left of the map.
"""

import math
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn

from .hooks import watching
from .network import explaining, run

# Layers that give a map whatever they are given, for where there is no graph to follow.
KINDS = (
    nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d, nn.MaxPool2d, nn.AvgPool2d,
    nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.Upsample,
)  # fmt: skip
# Steps that keep every value at its place, by the names of their nodes in the graph.
KEEP = {
    "Convolution", "MaxPool2DWithIndices", "AvgPool2D", "AdaptiveAvgPool2D",
    "AdaptiveMaxPool2D", "NativeBatchNorm", "CudnnBatchNorm", "NativeGroupNorm",
    "UpsampleNearest2D", "UpsampleBilinear2D", "ReflectionPad2D",
    "ReplicationPad2D", "Add", "Sub", "Mul", "Div", "Clone", "ToCopy", "Relu",
    "RuledReLU", "Hardtanh", "Clamp", "ClampMin", "Threshold", "LeakyRelu", "Elu", "Gelu",
    "Silu", "Mish", "Hardswish", "Hardsigmoid", "Sigmoid", "Tanh", "Softplus",
}  # fmt: skip
EXTRA = 8  # tokens that are no patches, at most: the class token, registers …

Arrangement = Callable[
    [Tensor], Tensor
]  # what a layer gives → (N, channels, rows, columns)


def arrangement(
    output: Tensor, pixels: Tensor, probe: Callable[[], Tensor]
) -> Arrangement | None:
    """How what a layer gives for `pixels`, (N, C, H, W), is laid out as a map; or None.

    As it is, (N, channels, rows, columns); with the channels last; or tokens (N, T, D)
    without those that are no patches, if the rest fills a grid. Unless
    the graph shows that every step from the pixels on kept values in their places, `probe`,
    which gives what `probes` found for the layer, has to confirm it.
    """
    if output.shape[:1] != pixels.shape[:1]:
        return None  # a network that joins or cuts its images on the way
    if output.ndim == 4 and _kept_in_place(output, pixels):
        return as_it_is
    best, most = None, 0.0
    for arrange, changes in _possible(output, pixels, probe()):
        rows, columns = changes.shape[1:]
        fits = rows <= pixels.shape[2] and columns <= pixels.shape[3]
        if fits and (agreement := _agreement(changes)) > most:
            best, most = arrange, agreement
    return best


def as_it_is(maps: Tensor) -> Tensor:
    """(N, channels, rows, columns), unchanged."""
    return maps


def probes(
    model: nn.Module, layers: Mapping[str, nn.Module], image: Tensor
) -> dict[str, Tensor]:
    """Path → what that layer gives, (10, …), for an image (1, C, H, W) and nine others.

    These have noise in their upper left, upper right and lower left corner, three times.
    """
    rows, columns = (max(side // 4, 1) for side in image.shape[2:])
    random = torch.Generator().manual_seed(0)
    corners = [(slice(rows), slice(columns)), (slice(rows), slice(-columns, None))]
    corners += [(slice(-rows, None), slice(columns))]
    gathered: dict[str, list[Tensor]] = {path: [] for path in layers}
    with explaining(model), torch.no_grad():
        for corner in [None, *3 * corners]:
            one, seen = image.clone(), {}
            if corner is not None:
                noise = torch.randn(image.shape, generator=random).to(image)
                changed = image + (1 + image.std(correction=0)) * noise
                one[(..., *corner)] = changed[(..., *corner)]
            with watching(layers, lambda path, out, seen=seen: note(seen, path, out)):
                run(model, one)
            for path, output in seen.items():
                gathered[path].append(output)
    return {path: torch.cat(found) for path, found in gathered.items() if len(found) == 10}


def note(seen: dict, path: str, output) -> None:
    """Keep a copy of an output, if it is a tensor; of the last use of a layer."""
    if isinstance(output, Tensor):
        seen[path] = output.detach().clone()


def _possible(
    output: Tensor, pixels: Tensor, probe: Tensor
) -> Iterator[tuple[Arrangement, Tensor]]:
    """In which ways an output could be a map, each with the probes' changes, (3, h, w)."""
    if output.ndim not in (3, 4):
        return
    changes = (probe[1:] - probe[:1]).double().square().unflatten(0, (3, 3)).sum(0)
    if output.ndim == 4:
        yield as_it_is, changes.sum(1)
        yield lambda maps: maps.permute(0, 3, 1, 2), changes.sum(3)
        return
    changes = changes.sum(2)  # of each token
    for first, rows, columns in _grids(output, pixels):
        some = slice(first, first + rows * columns)

        def grid(tokens, some=some, rows=rows) -> Tensor:
            return tokens[:, some].transpose(1, 2).unflatten(2, (rows, -1))

        yield grid, changes[:, some].unflatten(1, (rows, -1))


def _grids(tokens: Tensor, pixels: Tensor) -> Iterator[tuple[int, int, int]]:
    """In which grids tokens (N, T, D) may lie: the first of them, rows and columns.

    In that of a convolution on the way, the one that has cut the picture into patches; or
    else in one of the picture's proportions.
    """
    cut = {tuple(node._input_metadata[0].shape[-2:]) for node in _convolutions(tokens)}
    proportion = pixels.shape[2] / pixels.shape[3]
    known, square = [], []
    for extra in range(EXTRA + 1):
        patches = tokens.shape[1] - extra
        rows = round(math.sqrt(max(patches, 0) * proportion))
        for first in {extra: "the extra tokens come first", 0: "they come last"}:
            known += [(first, r, c) for r, c in cut if r * c == patches > 1]
            if rows and patches > 1 and patches % rows == 0:
                square.append((first, rows, patches // rows))
    yield from known or square


def _convolutions(output: Tensor) -> list:
    """The convolutions among the steps that lead to an output."""
    seen, todo = set(), {output.grad_fn}
    while todo:
        node = todo.pop()
        seen.add(node)
        found = {before for before, _ in node.next_functions if before is not None}
        todo |= found - seen
    return [node for node in seen if node.name().startswith("Convolution")]


def _kept_in_place(output: Tensor, pixels: Tensor) -> bool:
    """Whether steps that keep values in their places lead from the pixels to here."""
    seen, todo = set(), [output.grad_fn]
    while todo:
        node = todo.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if getattr(node, "variable", None) is pixels:
            return True
        if _keeps(node):
            todo += [before for before, _ in node.next_functions]
    return False


def _keeps(node) -> bool:
    """Whether a step of the graph leaves every value in its row and its column."""
    step = node.name().partition("Backward")[0]
    if step in KEEP:
        return True
    last = [-2, -1]  # the axes of rows and columns
    if step in ("View", "UnsafeView", "Split", "SplitWithSizes", "Slice", "Index"):
        sizes = [*node._saved_self_sym_sizes]
        whole = sizes[-2:] == [*node._input_metadata[0].shape][-2:]
        places = node._saved_indices[len(sizes) - 2 :] if step == "Index" else ()
        return whole and not any(index is not None for index in places)
    if step == "ConstantPadNd":  # a pixel or two at the border, or another picture
        return 8 * max(map(abs, node._saved_pad)) <= min(node._input_metadata[0].shape[-2:])
    if step == "Permute":
        axes = node._saved_dims
        return [axis - len(axes) for axis in axes[-2:]] == last
    if step in ("Transpose", "Cat"):
        names = ("dim0", "dim1") if step == "Transpose" else ("dim",)
        axes = [getattr(node, f"_saved_{name}") for name in names]
        count = len(node._input_metadata[0].shape)
        # The graph writes -1 as the largest number of 64 bits.
        return not {axis - count if axis < count else axis - 2**64 for axis in axes} & {
            *last
        }
    return False


def _agreement(changes: Tensor) -> float:
    """How well changes (3, rows, columns) lie where the picture changed; 0: not at all."""
    rows, columns = changes.shape[1:]
    totals = changes.sum((1, 2))
    if rows * columns < 2 or not (totals > 0).all() or not totals.isfinite().all():
        return 0.0
    ys, xs = (torch.linspace(0, 1, n).to(changes) for n in (rows, columns))
    y, x = changes.sum(2) @ ys / totals, changes.sum(1) @ xs / totals
    astray = max(abs(y[1] - y[0]), abs(x[2] - x[0]))
    steps = [x[1] - x[0]] * (columns > 1) + [y[2] - y[0]] * (rows > 1)
    if min(steps) <= 2 * max(astray, 0.02):
        return 0.0
    return float(sum(steps) / len(steps) - astray)
