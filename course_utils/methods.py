"""Every method of the course under one roof: by name, called alike, drawn alike.

>>> METHODS["grad_cam"](load_model(), torch.randn(2, 3, 224, 224), 207).shape
torch.Size([2, 224, 224])

A method is declared once, by the decorator `saliency_method` above its function. From there
it appears in `METHODS`, in the labs, in the sheets and in the tests that run over all
methods. Some explain nothing: the baselines, beside which every map should be shown.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from inspect import signature

from torch import Tensor, nn

from ._machinery.arguments import choice
from ._machinery.progress import Progress, goes_on
from .figures import map_panel, signed_panel
from .targets import Targets


@dataclass(frozen=True)
class Method:
    """A way to make maps, and what one has to know about them.

    Called as ``method(model, images, targets)`` it gives its maps: (N, H, W), or
    (N, 3, H, W) where it tells colours apart.
    """

    name: str  # in `METHODS`
    label: str  # for people
    maps: Callable[[nn.Module, Tensor, Targets], Tensor]
    lesson: str  # the number of the lesson that builds it
    passes: int  # roughly how often an image goes through the network: what it costs
    signed: bool = False  # a value below zero means something of its own
    sums: bool = False  # values add up to the score, or are drops of it
    baseline: bool = False  # does without the network

    def __call__(
        self, model, images, targets: Targets = None, progress: Progress | None = None
    ) -> Tensor:
        """(N, H, W) or (N, 3, H, W); a method that takes long calls `progress`."""
        if progress is not None and "progress" in signature(self.maps).parameters:
            return self.maps(model, images, targets, progress=progress)
        return self.maps(model, images, targets)

    def importance(self, maps: Tensor) -> Tensor:
        """(N, H, W): one number per pixel, the larger the more it counts.

        Where values add up, the sum over the colours with its sign: a pixel that speaks
        against the class counts less than none. Otherwise the largest absolute value.
        """
        if self.sums:
            return maps.sum(dim=1) if maps.ndim == 4 else maps
        return maps.abs().amax(dim=1) if maps.ndim == 4 else maps

    def panel(self, values, title: str | None = None, limit: float | None = None) -> tuple:
        """One map, (H, W) or (3, H, W), as a panel of `figures.plot_panels`.

        `limit` is the value drawn in the strongest colour, by `map_limits` unless given.
        """
        draw = signed_panel if self.signed else map_panel
        return draw(values, self.label if title is None else title, limit)


METHODS: dict[str, Method] = {}  # in the order of the lessons, the baselines last
# The same in a fraction of the time, and with a noise that the bundled network can bear:
QUICK: dict[str, Method] = {}


def saliency_method(
    label: str, *, lesson: str, passes: int, signed=False, sums=False, name=None, quick=None
) -> Callable[[Callable], Callable]:
    """Register a function as a `Method`; the function itself is unchanged.

    With 0 `passes` it is a baseline, a function of the images alone. Its `name` is the
    function's unless given. `quick` are keyword arguments that make it cheaper, and its
    ``"passes"`` then: for `QUICK`.

    Example:
        >>> @saliency_method("Gradient × Input", lesson="08", passes=2, signed=True)
        ... def gradient_times_input(model, images, targets=None):
        ...     return images * input_gradient(model, images, targets)
        >>> METHODS["gradient_times_input"].label
        'Gradient × Input'
    """

    def register(function: Callable) -> Callable:
        def without_model(model: nn.Module, images: Tensor, targets: Targets = None):
            return function(images)

        key, maps = name or function.__name__, function if passes else without_model
        made = Method(key, label, maps, lesson, passes, signed, sums, baseline=not passes)
        METHODS[key] = QUICK[key] = made
        if quick:
            settings = dict(quick)
            fewer = settings.pop("passes")
            QUICK[key] = replace(made, maps=partial(function, **settings), passes=fewer)
        for methods in (METHODS, QUICK):  # modules register in the order of their imports
            in_order = sorted(methods.values(), key=lambda m: (m.baseline, m.lesson))
            methods.clear()
            methods.update({each.name: each for each in in_order})
        return function

    return register


def find_method(name: str) -> Method:
    """The method of that name, or the only one whose name begins so.

    Example:
        >>> find_method("guided").name
        'guided_backprop'
    """
    found = [key for key in METHODS if key.startswith(str(name).lower())] if name else []
    if name in METHODS or len(found) == 1:
        return METHODS[name if name in METHODS else found[0]]
    return METHODS[choice("method", name, METHODS)]


def compute_maps(
    model: nn.Module,
    images: Tensor,
    targets: Targets = None,
    names: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> dict[str, Tensor]:
    """Name → maps, of the methods of these `names`, keys of `METHODS`; None for all.

    Example:
        >>> [*compute_maps(load_model(), torch.randn(1, 3, 64, 64), 207, ["grad_cam"])]
        ['grad_cam']
    """
    names = list(METHODS) if names is None else [choice("names", n, METHODS) for n in names]
    found = {}
    for done, name in enumerate(names, 1):
        found[name] = METHODS[name](model, images, targets)
        if not goes_on(progress, done, len(names), dict(found)):
            break
    return found
