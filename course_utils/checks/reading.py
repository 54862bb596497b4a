"""Converters of answers, and the slip that every check must meet: a value written in."""

from collections.abc import Callable, Iterable


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


def written_in(sentence: str, others: Iterable, result: Callable) -> dict:
    """Sentence about a value written in → `result(value)`, for each of `others`.

    Example:
        >>> written_in("You take {} steps.", (1, 2), float)
        {'You take 1 steps.': 1.0, 'You take 2 steps.': 2.0}
    """
    return {sentence.format(value): result(value) for value in others}
