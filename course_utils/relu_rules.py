r"""What a ReLU passes back: three rules, on any network (lesson 05).

With input $x$, and $g$ the gradient that arrives from above:

========== ============================ ====================================
rule       passes on                    source
========== ============================ ====================================
vanilla    $g \cdot [x > 0]$            the derivative
deconvnet  $g \cdot [g > 0]$            Zeiler & Fergus 2014, arXiv:1311.2901
guided     $g \cdot [x > 0][g > 0]$     Springenberg et al. 2015, arXiv:1412.6806
========== ============================ ====================================

The rules apply to ReLUs (ReLU6, clamping at 0 and the maximum with 0 among them) and to
nothing else: a network without any is refused, and one that has other activations as well,
such as MobileNet v3 with its Hardswish, is computed with a warning. A ReLU that is spelled
out, as ``x * (x > 0)`` or ``torch.where(x > 0, x, 0)``, cannot be told from other
arithmetic: it keeps its plain derivative.

>>> with relu_rule("guided") as relus:
...     scores = network(pixels)
>>> relus.met  # how many ReLUs the images passed
26
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from contextvars import ContextVar
from functools import partial
from numbers import Real

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._ops import OpOverload, OpOverloadPacket
from torch.overrides import TorchFunctionMode

from ._machinery.arguments import ArgumentError, choice, warn

RULES = ("vanilla", "guided", "deconvnet")


class RuledReLU(torch.autograd.Function):
    """min(max(x, 0), top) forwards; backwards by `rule`, guided or deconvnet."""

    @staticmethod
    def forward(ctx, x, rule, top, in_place):
        """The clamped values; kept for the backward pass only where the rule needs them."""
        y = x.clamp_(0, top) if in_place else x.clamp(0, top)
        if in_place:
            ctx.mark_dirty(y)
        ctx.rule, ctx.top = rule, top
        if rule == "guided":
            ctx.save_for_backward(y)  # x > 0 where y > 0
        return y

    @staticmethod
    def backward(ctx, g):
        """The rule: g · [g > 0], and for guided also · [0 < x < top]."""
        g = g.clamp(min=0)
        if ctx.rule == "guided":
            (y,) = ctx.saved_tensors
            # In place g · [y > 0], five times as fast as the product.
            torch.ops.aten.threshold_backward.grad_input(g, y, 0, grad_input=g)
            if ctx.top < float("inf"):
                g *= y < ctx.top
        return g, None, None, None


class RuledReLUs(TorchFunctionMode):
    """Answers every call of a ReLU, wherever a network makes it, and counts them.

    Module hooks miss functional calls and fail on in-place ones; a function mode sees
    both, and the network itself is never touched.
    """

    def __init__(self, rule: str):
        super().__init__()
        self.rule = rule
        self.met, self.others = 0, set()  # ReLUs called; names of other activations called

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if _innermost.get() is not self:  # a pass inside a pass goes by a rule of its own
            return func(*args, **kwargs)
        if isinstance(func, (OpOverload, OpOverloadPacket)):  # torch.ops.aten.relu
            func = _plain(func)
        call = RELUS[func](*args, **kwargs) if func in RELUS else None
        if func in OTHERS:
            self.others.add(OTHERS[func])
        # Swin v2 also has ReLUs that no image passes: they turn constants into constants.
        if call is None or (torch.is_grad_enabled() and not call[0].requires_grad):
            return func(*args, **kwargs)
        self.met += 1
        x, top, in_place = call
        return RuledReLU.apply(x, self.rule, top, in_place)

    def check(self, model: nn.Module, scores: Tensor) -> None:
        """Refuse a network without ReLUs; warn of one with other activations as well."""
        name, others = type(model).__name__, set(self.others)
        if not self.met:
            words = f"must have a ReLU on the way to this score: {self.rule!r} changes only"
            raise ArgumentError("model", f"{words} what ReLUs pass back; {name} has none")
        steps = _steps(scores)  # where no function mode sees them
        if any(step.startswith("ReluBackward") for step in steps):
            others.add("scripted ReLUs")
        if any(step.startswith("CompiledFunction") for step in steps):
            others.add("compiled functions")
        if others:
            warn(
                f"{self.rule!r} changes the backward pass of ReLUs only; {name}'s "
                f"{' and '.join(sorted(others))} keep their plain derivative"
            )


def _steps(scores: Tensor) -> set[str]:
    """The names of all the steps in the graph of the scores."""
    seen, todo = set(), [scores.grad_fn]
    while todo:
        node = todo.pop()
        if node is not None and node not in seen:
            seen.add(node)
            todo += [before for before, _ in node.next_functions]
    return {node.name() for node in seen}


_innermost: ContextVar[RuledReLUs | None] = ContextVar("innermost", default=None)


@contextmanager
def relu_rule(rule: str) -> Iterator[RuledReLUs | None]:
    """While open, ReLUs go backwards by `rule`; gives their counter, None for vanilla."""
    relus = None if rule == "vanilla" else RuledReLUs(choice("rule", rule, RULES))
    undone = ExitStack()
    try:
        try:
            undone.callback(_innermost.reset, _innermost.set(relus))
            undone.enter_context(relus or nullcontext())
            yield relus
        finally:
            undone.close()
    finally:  # again, as an interrupt may have come before the first
        undone.close()


# -- the many ways to call a ReLU ------------------------------------------------------
# Each gives (input, where it saturates, in place), or None if the call is not a ReLU.


def _relu(input, inplace=False, top=float("inf")):
    return input, top, inplace


def _hardtanh(input, min_val=-1.0, max_val=1.0, inplace=False):
    return (input, max_val, inplace) if min_val == 0 else None


def _clamp(input, min=None, max=None, inplace=False):
    top = float("inf") if max is None else max
    return (input, top, inplace) if _is_zero(min) and isinstance(top, Real) else None


def _threshold(input, threshold, value, inplace=False):
    return _relu(input, inplace) if threshold == value == 0 else None


def _maximum(input, other=None, *more, **how):
    if more or how or not isinstance(other, Tensor):
        return None  # the largest value along an axis
    pairs = (input, other), (other, input)
    return next((_relu(x) for x, floor in pairs if _is_zero(floor)), None)


def _plain(operator: OpOverload | OpOverloadPacket) -> Callable:
    """The function of torch that an operator stands for, or else itself."""
    name = str(operator).split(".")[1]
    return getattr(torch, name, getattr(F, name, operator))


def _is_zero(value) -> bool:
    if isinstance(value, Tensor):  # which no image has passed
        return not value.requires_grad and not value.any()
    return isinstance(value, Real) and value == 0


RELUS = {
    **dict.fromkeys((F.relu, torch.relu, Tensor.relu), _relu),
    **dict.fromkeys((F.relu_, torch.relu_, Tensor.relu_), partial(_relu, inplace=True)),
    F.relu6: partial(_relu, top=6.0),
    F.hardtanh: _hardtanh,
    F.hardtanh_: partial(_hardtanh, inplace=True),
    **dict.fromkeys((torch.clamp, Tensor.clamp, torch.clip, Tensor.clip), _clamp),
    **dict.fromkeys((torch.clamp_min, Tensor.clamp_min), _clamp),
    **dict.fromkeys((torch.clamp_, Tensor.clamp_), partial(_clamp, inplace=True)),
    **dict.fromkeys((torch.clamp_min_, Tensor.clamp_min_), partial(_clamp, inplace=True)),
    Tensor.clip_: partial(_clamp, inplace=True),
    **dict.fromkeys((F.threshold, torch.threshold), _threshold),
    **dict.fromkeys((F.threshold_, torch.threshold_), partial(_threshold, inplace=True)),
    **dict.fromkeys((torch.maximum, Tensor.maximum, torch.fmax, Tensor.fmax), _maximum),
    **dict.fromkeys((torch.max, Tensor.max), _maximum),
}
OTHERS = {
    **dict.fromkeys((F.leaky_relu, F.leaky_relu_), "leaky ReLU"),
    **dict.fromkeys((F.rrelu, F.rrelu_), "randomised ReLU"),
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
