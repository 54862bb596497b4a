"""What a result was made with, as JSON: the same for a sheet and for a folder run."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import nn

from .._machinery.arguments import ArgumentError
from .._machinery.files import write_whole
from ..models import Unit, fingerprint
from ..targets import Targets


def record_settings(model: nn.Module, targets: Targets, size, mean, std, fit: str) -> dict:
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
        place = targets.position
        words = f"{targets.layer}, channel {targets.channel}"
        words += "" if place is None else f" at {place[0]}, {place[1]}"
        return {"kind": "unit", "words": words, "unit": vars(targets)}
    if callable(targets):
        return {"kind": "function", "words": function_name(targets)}
    classes = torch.as_tensor(targets).tolist()
    return {"kind": "class", "words": f"class {classes}", "class": classes}


def read_target(record: dict, function: Callable | None) -> Targets:
    """The targets of a record; a function is not in it and must be given."""
    if record["kind"] == "unit":
        place = record["unit"]["position"]
        return Unit(**record["unit"] | {"position": place and tuple(place)})
    if record["kind"] == "function" and function is None:
        words = f"must be the function that the sheet explains, {record['words']}"
        raise ArgumentError("targets", words)
    return function if record["kind"] == "function" else record.get("class")


def function_name(function: Callable) -> str:
    """A function's name, such as ``smooth_grad(samples=3)`` for a `functools.partial`."""
    if not isinstance(function, partial):
        return getattr(function, "__name__", type(function).__name__)
    fixed = [("", value) for value in function.args]
    fixed += [(f"{key}=", value) for key, value in function.keywords.items()]
    words = [key + (function_name(v) if callable(v) else repr(v)) for key, v in fixed]
    return f"{function_name(function.func)}({', '.join(words)})"


def in_words(value) -> str:
    """A value of the settings as an error message states it."""
    if isinstance(value, dict):
        return value.get("words") or " ".join(map(str, value.values()))
    return repr(value)


def write_json(path: Path, record: dict) -> None:
    """Write a record of settings, whole or not at all."""
    text = json.dumps(record, indent=1) + "\n"
    write_whole(path, lambda draft: draft.write_text(text, encoding="utf-8"))
