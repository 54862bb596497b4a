"""Converters of answers, and the slip that every check must meet: a value written in."""

from collections.abc import Callable, Iterable

import numpy as np
import torch


def number(value) -> float:
    """`value` as a float; a text, or a truth value, is not a number.

    Example:
        >>> number(2), number(0.5)
        (2.0, 0.5)
    """
    if isinstance(value, (str, bytes, bool)):
        raise TypeError
    return float(value)


def whole(value) -> int:
    """`value` as an int, if it is one: 0.9 is not cut.

    Example:
        >>> whole(4.0)
        4
    """
    if not (exact := number(value)).is_integer():  # nor are inf and NaN
        raise ValueError
    return int(exact)


def truth(value) -> bool:
    """`value` as a bool, if it is one: Python calls every text and list true."""
    value = value.item() if hasattr(value, "item") else value
    if not isinstance(value, (bool, int)) or value not in (0, 1):
        raise ValueError
    return bool(value)


def each(convert: Callable) -> Callable[[Iterable], list]:
    """A converter of many values: ``each(whole)`` makes a list of ints."""
    return lambda values: [convert(value) for value in values]


def as_tensor(result):
    """A tensor for an array, or for lists, of numbers; anything else stays what it is.

    Example:
        >>> as_tensor([[1, 2]]), as_tensor("no")
        (tensor([[1., 2.]], dtype=torch.float64), 'no')
    """
    if isinstance(result, (np.ndarray, list, tuple)) and not hasattr(result, "values"):
        try:
            array = np.asarray(result)
        except (TypeError, ValueError, RuntimeError):
            return result
        if array.dtype.kind in "biuf" and array.size:
            return torch.from_numpy(array.astype(float))
    return result


def written_in(sentence: str, others: Iterable, result: Callable) -> dict:
    """Sentence about a value written in → `result(value)`, for each of `others`.

    Example:
        >>> written_in("You use class {} whatever `target` is.", (0, 2), float)
        {'You use class 0 whatever `target` is.': 0.0, 'You use class 2 whatever `target` is.': 2.0}
    """  # noqa: E501 - as Python prints it
    return {sentence.format(value): result(value) for value in others}
