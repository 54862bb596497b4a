"""Checks of arguments: one clear sentence that names the argument, and says what came.

>>> number("stride", 0, low=1, whole=True)
Traceback (most recent call last):
    ...
course_utils._machinery.arguments.ArgumentError: stride must be a whole number of at least 1, got 0
"""  # noqa: E501 - as Python prints it

import math
import reprlib
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from numbers import Integral, Real


class ArgumentError(ValueError, TypeError):
    """An argument that does not fit: its name, and words such as ``"must be …, got …"``.

    Both a `ValueError` and a `TypeError`: nobody should have to guess which one to catch.
    """

    def __init__(self, argument: str, words: str):
        super().__init__(argument, words)
        self.argument, self.words = argument, words

    def __str__(self) -> str:
        return f"{self.argument} {self.words}"


@contextmanager
def naming(**names: str) -> Iterator[None]:
    """While open, errors about an inner function's argument name the outer function's.

    Example:
        >>> with naming(targets="target"):
        ...     raise ArgumentError("targets", "must be a class, got 'cat'")
        Traceback (most recent call last):
            ...
        course_utils._machinery.arguments.ArgumentError: target must be a class, got 'cat'
    """
    try:
        yield
    except ArgumentError as error:
        error.argument = names.get(error.argument, error.argument)
        raise


def number(
    name: str,
    value,
    low: float = -math.inf,
    high: float = math.inf,
    *,
    whole: bool = False,
    above: bool = False,
) -> int | float:
    """`value` as a plain int or float, if it is a finite number from `low` to `high`.

    Numbers of NumPy count; True and False do not.

    Args:
        name: of the argument.
        value: what came.
        low, high: the range, both ends included.
        whole: admit whole numbers only.
        above: leave `low` itself out of the range.

    Example:
        >>> number("noise", 0.5, low=0)
        0.5
    """
    kind = Integral if whole else Real
    fits = isinstance(value, kind) and not isinstance(value, bool) and math.isfinite(value)
    if not fits or not low <= value <= high or (above and value == low):
        what = f"a {'whole ' if whole else ''}number{_range(low, high, above)}"
        raise ArgumentError(name, f"must be {what}, got {described(value)}")
    return int(value) if whole else float(value)


def _range(low: float, high: float, above: bool) -> str:
    if low == -math.inf:
        return "" if high == math.inf else f" of at most {high:g}"
    if above:
        return f" above {low:g}" + (f" and at most {high:g}" if high < math.inf else "")
    return f" between {low:g} and {high:g}" if high < math.inf else f" of at least {low:g}"


def numbers(
    name: str,
    values,
    count: int,
    low: float = -math.inf,
    high: float = math.inf,
    *,
    whole: bool = False,
    above: bool = False,
    order: str = "",
) -> tuple[int | float, ...]:
    """A sequence, array or tensor as a tuple of `count` numbers, each as in `number`.

    `order` says what they stand for, such as ``"(row, column)"``.

    Example:
        >>> numbers("std", [0.5, 0.25, 0.5], 3, low=0, above=True)
        (0.5, 0.25, 0.5)
    """
    values = values.tolist() if hasattr(values, "tolist") else values
    limits = {"low": low, "high": high, "whole": whole, "above": above}
    with suppress(TypeError):  # not a sequence, or not of such numbers
        checked = tuple(number(name, value, **limits) for value in values)
        if len(checked) == count:
            return checked
    what = f"{count} {'whole ' if whole else ''}number{'s' if count > 1 else ''}"
    what += _range(low, high, above)
    order = f" {order}" if order else ""
    raise ArgumentError(name, f"must be {what}{order}, got {reprlib.repr(values)}")


def choice(name: str, value, options: Iterable[str]):
    """`value`, if it is one of the `options`.

    Example:
        >>> choice("rule", "guided", ["vanilla", "guided"])
        'guided'
    """
    options = list(options)
    if isinstance(value, str) and value in options:
        return value
    words = f"must be one of {', '.join(options)}, got {described(value)}"
    raise ArgumentError(name, words)


def function(name: str, value, call: str) -> Callable:
    """`value`, if it can be called; `call` says how it will be."""
    if not callable(value):
        raise ArgumentError(name, f"must be a function {call}, got {described(value)}")
    return value


def described(value) -> str:
    """What came, in a few words: numbers, texts and lists of them; other things by kind.

    Example:
        >>> described(3), described([1, 2]), described(np.zeros((2, 3)))
        ('3', '[1, 2]', 'an array of shape (2, 3)')
    """
    name = type(value).__name__
    parts = value if isinstance(value, (list, tuple)) else [value]
    if value is None or all(isinstance(part, (str, Real)) for part in parts):
        return reprlib.repr(value)
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        kind = {"Tensor": "a tensor", "Parameter": "a tensor"}.get(name, "an array")
        return f"{kind} of shape {tuple(value.shape)}"
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"


def warn(words: str) -> None:
    """A `UserWarning` that points at the line outside the package which led to it."""
    inside = __name__.partition(".")[0], "torch.utils._contextlib"  # of a decorator
    frame, level = sys._getframe(1), 2
    while frame.f_back and frame.f_globals.get("__name__", "").startswith(inside):
        frame, level = frame.f_back, level + 1
    warnings.warn(words, UserWarning, stacklevel=level)
