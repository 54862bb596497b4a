"""Every method of the course under one roof: by name, called alike, drawn alike.

>>> METHODS["grad_cam"](load_model(), torch.randn(2, 3, 224, 224), 207).shape
torch.Size([2, 224, 224])

`METHODS` is a dictionary in the order of the lessons. Three of its entries explain
nothing: the baselines, beside which every map should be shown.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from inspect import signature

import torch
from torch import Tensor, nn

from .evaluation import centre_maps, edge_maps, random_maps
from .figures import map_limits, range_text, signed_panel, to_array
from .gradients import (
    deconvnet,
    grad_cam,
    guided_backprop,
    integrated_gradients,
    smooth_grad,
    vanilla_saliency,
)
from .models import Unit
from .occlusion import occlusion
from .targets import Targets, class_indices


@dataclass(frozen=True)
class Method:
    """A way to make maps, and what one has to know about them.

    Called as ``method(model, images, targets)``, with `images` (N, 3, H, W) and targets
    as everywhere, it gives its maps: (N, H, W), or (N, 3, H, W) where it tells colours
    apart.

    Attributes:
        name: in `METHODS`.
        label: for people.
        maps: the function behind it.
        signed: whether a value below zero means something of its own.
        lesson: the number of the lesson that builds it.
        passes: roughly how often a picture goes through the network: what it costs.
        baseline: whether it does without the network.
    """

    name: str
    label: str
    maps: Callable[[nn.Module, Tensor, Targets], Tensor]
    signed: bool
    lesson: str
    passes: int
    baseline: bool = False

    def __call__(
        self,
        model: nn.Module,
        images: Tensor,
        targets: Targets = None,
        progress: Callable[[int, int], object] | None = None,
    ) -> Tensor:
        """(N, H, W) or (N, 3, H, W): the maps of N pictures.

        A method that takes long calls ``progress(done, total)`` on the way; whatever that
        raises ends the work and goes through to the caller.
        """
        if progress is not None and "progress" in signature(self.maps).parameters:
            return self.maps(model, images, targets, progress=progress)
        return self.maps(model, images, targets)

    def importance(self, maps: Tensor) -> Tensor:
        """(N, H, W): one number a pixel, the larger the more it counts.

        Where values sum to the score or are drops of it, the colours' sum, with its sign:
        a pixel against the class counts less than none. Of other maps, the largest
        absolute value over the colours.
        """
        if self.name in SUMMED:
            return maps.sum(dim=1) if maps.ndim == 4 else maps
        return maps.abs().amax(dim=1) if maps.ndim == 4 else maps

    def panel(self, values, title: str | None = None, limit: float | None = None) -> tuple:
        """One map as a panel of `figures.plot_panels`, which states its range.

        Args:
            values: (H, W) or (3, H, W), one of the maps.
            title: the method's label unless given.
            limit: the value drawn in the strongest colour; by `map_limits` unless given.
        """
        title = self.label if title is None else title
        if self.signed:
            return signed_panel(values, title, limit)
        limit = map_limits([values])[0] if limit is None else limit
        style = {"cmap": "inferno", "vmin": 0, "vmax": limit, "below": range_text(limit)}
        return to_array(values), title, style


SUMMED = ("integrated_gradients", "occlusion")


def _occlusion_maps(
    model: nn.Module,
    images: Tensor,
    targets: Targets = None,
    progress: Callable[[int, int], object] | None = None,
) -> Tensor:
    """(N, H, W), signed: drops of the logit; windows a seventh of a side, half apart."""
    window = max(1, round(min(images.shape[2:]) / 7))
    stride = max(1, window // 2)
    if targets is None or callable(targets) or isinstance(targets, Unit):
        each = [targets] * len(images)
    else:
        each = class_indices(targets, len(images)).tolist()
    maps = []
    for image, target in zip(images, each, strict=True):

        def report(done: int, total: int, so_far: object, before: int = len(maps)) -> None:
            if progress is not None:
                progress(before * total + done, len(images) * total)

        found = occlusion(model, image[None], target, window, stride, progress=report)
        maps.append(found.heatmap)
    return torch.stack(maps).to(images)


def _of_pictures(maps: Callable[[Tensor], Tensor]) -> Callable:
    """A function of the pictures alone, called as a method is."""

    def ignore_model(model: nn.Module, images: Tensor, targets: Targets = None) -> Tensor:
        return maps(images)

    return ignore_model


_ALL = (
    Method("vanilla_saliency", "vanilla gradient", vanilla_saliency, False, "02", 2),
    Method("guided_backprop", "guided backprop", guided_backprop, True, "05", 2),
    Method("deconvnet", "deconvnet", deconvnet, True, "05", 2),
    Method("occlusion", "occlusion", _occlusion_maps, True, "06", 169),
    Method("smooth_grad", "SmoothGrad", smooth_grad, False, "08", 50),
    Method(
        "integrated_gradients",
        "integrated gradients",
        integrated_gradients,
        True,
        "08",
        100,
    ),
    Method("grad_cam", "Grad-CAM", grad_cam, False, "08", 3),
    Method("edges", "edges only", _of_pictures(edge_maps), False, "08", 0, True),
    Method("centre", "centre only", _of_pictures(centre_maps), False, "08", 0, True),
    Method("random", "random", _of_pictures(random_maps), False, "08", 0, True),
)
METHODS: dict[str, Method] = {method.name: method for method in _ALL}
# The same, in a fraction of the time: fewer noisy copies, fewer points of the path. The
# noise is weak enough for the bundled network to go on recognising what it sees.
QUICK: dict[str, Method] = METHODS | {
    "smooth_grad": replace(
        METHODS["smooth_grad"], maps=partial(smooth_grad, samples=8, noise=0.05), passes=16
    ),
    "integrated_gradients": replace(
        METHODS["integrated_gradients"],
        maps=partial(integrated_gradients, steps=12),
        passes=24,
    ),
}


def find_method(name: str) -> Method:
    """The method of that name, or the only one whose name begins so.

    Raises:
        ValueError: no method is called so, or several.

    Example:
        >>> find_method("guided").name
        'guided_backprop'
    """
    found = [key for key in METHODS if key.startswith(str(name).lower())] if name else []
    if name in METHODS or len(found) == 1:
        return METHODS[name if name in METHODS else found[0]]
    raise ValueError(f"method: wants one of {', '.join(METHODS)}, not {name!r}")


def compute_maps(
    model: nn.Module,
    images: Tensor,
    targets: Targets = None,
    names: Sequence[str] | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> dict[str, Tensor]:
    """Name → maps, of the methods of `names` (all of the course's unless given).

    Args:
        model, images, targets: as for every method.
        names: keys of `METHODS`.
        progress: called as ``progress(done, total)`` after each method; whatever it
            raises ends the work and goes through to the caller.

    Raises:
        ValueError: a name that is not in `METHODS`, or whatever a method refuses.
    """
    names = list(METHODS) if names is None else list(names)
    unknown = [name for name in names if name not in METHODS]
    if unknown:
        raise ValueError(f"names: wants some of {', '.join(METHODS)}, not {unknown[0]!r}")
    found = {}
    for done, name in enumerate(names, 1):
        found[name] = METHODS[name](model, images, targets)
        if progress is not None:
            progress(done, len(names))
    return found
