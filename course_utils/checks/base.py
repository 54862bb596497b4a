"""What all exercise checks share: a verdict, and a careful way to call an answer.

A check takes the learner's answer and returns a `Verdict`: passed, not right yet (with
the sentence that helps), or not tried yet. It never raises because of the answer: what
goes wrong inside a learner's function is part of the verdict.
"""

import functools
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

PASSED, WRONG, NOT_TRIED = "passed", "not right yet", "not tried yet"
_SIGNS = {PASSED: "✔", WRONG: "✘", NOT_TRIED: "…"}


class Wrong(Exception):  # noqa: N818 - not an error of the program
    """Raised by a check; its text is the sentence that helps the learner."""


class NotTried(Exception):  # noqa: N818
    """Raised where an answer gives nothing back yet."""


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
    """Make a check of a function that returns praise or raises `Wrong`.

    Example:
        >>> @exercise("Exercise 0")
        ... def double(answer):
        ...     if call(answer, 2) != 4:
        ...         raise Wrong("Twice 2 is 4.")
        ...     return "Twice as good."
        >>> double(lambda x: 2 * x)
        ✔ Exercise 0: passed. Twice as good.
    """

    def decorate(check: Callable) -> Callable:
        @functools.wraps(check)
        def run(*answers) -> Verdict:
            try:
                return Verdict(name, PASSED, check(*answers))
            except Wrong as hint:
                return Verdict(name, WRONG, str(hint))
            except NotTried as hint:
                return Verdict(name, NOT_TRIED, str(hint))

        return run

    return decorate


def call(answer: Callable, *arguments):
    """What the learner's function gives for copies of `arguments`."""
    if not callable(answer):
        raise Wrong(f"The check wants your function itself, not {answer!r}.")
    copies = [a.detach().clone() if isinstance(a, Tensor) else a for a in arguments]
    try:
        result = answer(*copies)
    except NotImplementedError:
        result = None
    except Exception as error:
        # The last frame of the learner's own code, not of torch's depths.
        frames = traceback.extract_tb(error.__traceback__)[1:]
        own = [f for f in frames if "site-packages" not in f.filename] or frames
        line = f" at `{own[-1].line}`" if own and own[-1].line else ""
        text = str(error).splitlines()[0] if str(error) else "no message"
        raise Wrong(
            f"Your function stopped{line} with {type(error).__name__}: {text}"
        ) from error
    if result is None or result is Ellipsis:
        raise NotTried(
            "Your function returns nothing: write its body, and end with `return`."
        )
    return result


def check_tensor(result, shape: tuple[int, ...]) -> Tensor:
    """`result` as a tensor of `shape`, or the sentence that says what it is instead."""
    if isinstance(result, tuple) and hasattr(result, "values"):
        raise Wrong(
            "`max(dim=…)` gives values and their places; take `.values`, or use `amax`."
        )
    if not isinstance(result, Tensor):
        raise Wrong(f"A tensor is wanted; yours is a {type(result).__name__}.")
    if tuple(result.shape) != tuple(shape):
        raise Wrong(f"The shape should be {shape}; yours is {tuple(result.shape)}.")
    if not torch.isfinite(result).all():
        raise Wrong("Your tensor holds NaN or infinite values.")
    return result.detach()


def compare(
    result: Tensor, right: Tensor, mistakes: Mapping[str, Tensor], otherwise: str
) -> None:
    """Pass if `result` equals `right`; otherwise raise the sentence that helps most.

    Args:
        result: the learner's tensor.
        right: what it should be.
        mistakes: sentence → the tensor one gets by the mistake that it explains.
        otherwise: the sentence when no known mistake fits.
    """
    if _close(result, right):
        return
    for sentence, wrong in mistakes.items():
        if _close(result, wrong):
            raise Wrong(sentence)
    raise Wrong(otherwise)


def _close(a: Tensor, b: Tensor) -> bool:
    if a.shape != b.shape:
        return False
    scale = b.abs().max().item() or 1.0
    return torch.allclose(a.double(), b.double(), rtol=1e-3, atol=1e-4 * scale)
