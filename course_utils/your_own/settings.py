"""What a result was made with, as JSON: the same for a sheet and for a folder run."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from .._machinery.arguments import ArgumentError
from ..models import Unit, fingerprint
from ..targets import Targets


def record_settings(
    model: nn.Module,
    targets: Targets,
    size: int,
    mean: Sequence[float],
    std: Sequence[float],
    fit: str,
) -> dict:
    """Network, question and inputs: all that a map depends on, but picture and method."""
    return {
        "network": {"class": type(model).__name__, "weights": fingerprint(model)},
        "target": record_target(targets),
        "size": int(size),
        "mean": [float(value) for value in mean],
        "std": [float(value) for value in std],
        "fit": fit,
    }


def record_target(targets: Targets) -> dict:
    """The question: its kind, its words, and the class or the unit itself."""
    if targets is None:
        return {"kind": "top class", "words": "top class"}
    if isinstance(targets, Unit):
        words = f"{targets.layer}, channel {targets.channel}"
        if targets.position is not None:
            words += " at {}, {}".format(*targets.position)
        return {"kind": "unit", "words": words, "unit": vars(targets)}
    if callable(targets):
        return {"kind": "function", "words": function_name(targets)}
    classes = torch.as_tensor(targets).tolist()
    return {"kind": "class", "words": f"class {classes}", "class": classes}


def read_target(record: dict, function: Callable[[Tensor], Tensor] | None) -> Targets:
    """The targets of a record; a function is not in it and must be given.

    Raises:
        ArgumentError: the record names a function and none is given.
        KeyError: not such a record.
    """
    if record["kind"] == "unit":
        unit = record["unit"]
        place = None if unit["position"] is None else tuple(unit["position"])
        return Unit(unit["layer"], unit["channel"], place)
    if record["kind"] != "function":
        return record.get("class")
    if function is None:
        raise ArgumentError(
            "targets", f"must be the function that the sheet explains, {record['words']}"
        )
    return function


def function_name(function: Callable) -> str:
    """The name of a function, with the arguments that `functools.partial` has fixed.

    Example:
        >>> function_name(partial(smooth_grad, samples=3))
        'smooth_grad(samples=3)'
    """
    if isinstance(function, partial):
        fixed = [("", value) for value in function.args]
        fixed += [(f"{key}=", value) for key, value in function.keywords.items()]
        words = [k + (function_name(v) if callable(v) else repr(v)) for k, v in fixed]
        return f"{function_name(function.func)}({', '.join(words)})"
    return getattr(function, "__name__", type(function).__name__)


def in_words(value) -> str:
    """A value of the settings as an error message states it."""
    if isinstance(value, dict):
        return value.get("words") or " ".join(map(str, value.values()))
    return repr(value)
