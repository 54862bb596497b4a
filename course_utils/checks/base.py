"""What all exercise checks share: a verdict, a careful call of an answer, a comparison.

A check takes the learner's answer and returns a `Verdict`, also where the answer stops.
Most checks `call` the answer case by case, `check_tensor` or `read` the result, and
`compare` it with the right value and with what the known mistakes give.
"""

import functools
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from .._machinery.arguments import described

PASSED, WRONG, NOT_TRIED = "passed", "not right yet", "not tried yet"
_SIGNS = {PASSED: "✔", WRONG: "✘", NOT_TRIED: "…"}


class Wrong(Exception):  # noqa: N818 - not an error of the program
    """Raised by a check; its text is the sentence that helps the learner."""


class NotTried(Exception):  # noqa: N818
    """Raised where an answer returns nothing yet."""


@dataclass(frozen=True)
class Verdict:
    """The outcome of a check; a notebook shows it as one line."""

    exercise: str
    state: str
    message: str

    def __repr__(self) -> str:
        return f"{_SIGNS[self.state]} {self.exercise}: {self.state}. {self.message}"

    def __bool__(self) -> bool:
        return self.state == PASSED


def exercise(name: str) -> Callable:
    """Make a check of a function that returns a closing sentence or raises `Wrong`.

    Example:
        >>> @exercise("Exercise 0")
        ... def double(answer):
        ...     compare(call(answer, 2), 4, {}, "Twice 2 is 4.")
        ...     return "Every number is doubled."
        >>> double(lambda x: 2 * x)
        ✔ Exercise 0: passed. Every number is doubled.
    """

    def decorate(check: Callable) -> Callable:
        @functools.wraps(check)
        def run(*answers) -> Verdict:
            try:
                return Verdict(name, PASSED, check(*answers))
            except (Wrong, NotTried) as hint:
                state = WRONG if isinstance(hint, Wrong) else NOT_TRIED
                return Verdict(name, state, str(hint))

        return run

    return decorate


@contextmanager
def about(case: str) -> Iterator[None]:
    """While open, the sentence of a `Wrong` begins with the case that it is about."""
    try:
        yield
    except Wrong as hint:
        sentence = str(hint)
        raise Wrong(f"{case}: {sentence[0].lower()}{sentence[1:]}") from hint


def call(answer: Callable, *arguments, intact: bool = False):
    """What the learner's function returns for copies of `arguments`.

    With `intact`, an answer that changes its tensors or a network's mode is refused.
    """
    if not callable(answer):
        raise Wrong(f"Pass the function itself to the check, not {described(answer)}.")
    copies = [_copied(argument) for argument in arguments]
    networks = [a for a in arguments if isinstance(a, nn.Module)]
    modes = {m: m.training for network in networks for m in network.modules()}
    try:
        result = answer(*copies)
    except NotImplementedError:
        result = None
    except Exception as error:
        # The last frame of the learner's own code, not one deep inside torch.
        frames = traceback.extract_tb(error.__traceback__)[1:]
        own = [f for f in frames if "site-packages" not in f.filename] or frames
        line = f" at `{own[-1].line}`" if own and own[-1].line else ""
        kind, text = type(error).__name__, (str(error) or "no message").splitlines()[0]
        raise Wrong(f"Your function stopped{line} with {kind}: {text}") from error
    if result is None or result is Ellipsis:
        nothing = "Your function returns nothing: write its body, and end with `return`."
        raise NotTried(nothing)
    if intact:
        _check_intact(arguments, copies, modes)
    return result


def _copied(argument):
    if isinstance(argument, Tensor):
        return argument.detach().clone()
    return argument.copy() if isinstance(argument, np.ndarray) else argument


def _check_intact(arguments, copies, modes: Mapping[nn.Module, bool]) -> None:
    for given, copy in zip(arguments, copies, strict=True):
        if isinstance(given, Tensor) and not torch.equal(given, copy.detach()):
            raise Wrong("Your function changes the caller's picture; use image.clone().")
    for module, training in modes.items():
        if module.training != training:
            mode = "evaluation" if training else "training"
            raise Wrong(f"Your function leaves the network in {mode} mode; restore it.")


def check_tensor(result, shape: tuple[int, ...], known: Mapping | None = None) -> Tensor:
    """`result`, a tensor of `shape`; `known`: another shape → the sentence about it."""
    if isinstance(result, tuple) and hasattr(result, "values"):
        raise Wrong("`max(dim=…)` gives indices as well: take `.values`, or use `amax`.")
    if not isinstance(result, Tensor):
        raise Wrong(f"Expected a tensor, got {described(result)}.")
    came, shape = tuple(result.shape), tuple(shape)
    if came != shape:
        other = f"The shape should be {shape}; yours is {came}."
        raise Wrong((known or {}).get(came, other))
    if not torch.isfinite(result).all():
        raise Wrong("Your tensor holds NaN or infinite values.")
    return result.detach()


def read(result, convert: Callable, expected: str):
    """`convert(result)`, or a sentence that says what was expected instead."""
    try:
        return convert(result.detach() if isinstance(result, Tensor) else result)
    except (TypeError, ValueError, RuntimeError) as error:
        raise Wrong(f"Expected {expected}, got {described(result)}.") from error


def compare(result, right, mistakes: Mapping, otherwise: str, within=1e-4) -> None:
    """Pass if `result` is `close` to `right`; otherwise raise the sentence that helps most.

    `mistakes`: sentence → what one gets by that mistake; `otherwise`: when none fits.
    """
    if not close(result, right, within):
        fitting = (text for text, wrong in mistakes.items() if close(result, wrong, within))
        raise Wrong(next(fitting, otherwise))


def compare_tensor(result, right, mistakes, otherwise, shapes=None) -> None:
    """`check_tensor` for the shape of `right`, with the wrong `shapes`, then `compare`."""
    compare(check_tensor(result, right.shape, shapes), right, mistakes, otherwise)


def close(a, b, within: float = 1e-4) -> bool:
    """Whether `a` equals `b`; numbers up to `within`, a share of the largest in `b`."""
    if not isinstance(b, (Tensor, np.ndarray, float)):
        return a == b
    a, b = (torch.as_tensor(values, dtype=torch.float64) for values in (a, b))
    if a.shape != b.shape:
        return False
    scale = b.abs().max().item() or 1.0
    return torch.allclose(a, b, rtol=1e-3, atol=within * scale)
