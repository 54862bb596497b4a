"""What a result was made with, as JSON: the same for a sheet and for a folder run."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from os import PathLike
from pathlib import Path

import torch
from torch import nn

from .._machinery.arguments import ArgumentError, described
from .._machinery.files import write_whole
from ..inputs import Inputs
from ..models import Unit
from ..targets import Targets
from .identity import function_record, network_record


def record_settings(model: nn.Module, targets: Targets, inputs: Inputs) -> dict:
    """Network, question and inputs: all that a map depends on, but picture and method."""
    record = {"network": network_record(model), "target": record_target(targets)}
    record |= {"size": inputs.size, "mean": inputs.mean, "std": inputs.std}
    return json.loads(json.dumps(record | {"fit": inputs.fit}))  # as it will be read


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
        return {"kind": "function"} | function_record(targets)
    classes = torch.as_tensor(targets).tolist()
    return {"kind": "class", "words": f"class {classes}", "class": classes}


def path_of(argument: str, path) -> Path:
    """A path as a `Path`, ``~`` resolved, if it is one."""
    if not isinstance(path, (str, PathLike)) or "\0" in str(path):
        raise ArgumentError(argument, f"must be a path, got {described(path)}")
    return Path(path).expanduser()


def check_names(inputs: Inputs, count: int) -> None:
    """Refuse names that are not those of a network of `count` classes."""
    if inputs.names is not None and len(inputs.names) != count:
        words = f"must be one for each class of the network, {count}"
        raise ArgumentError("names", f"{words}, got {len(inputs.names)}")


def named_classes(targets: Targets, inputs: Inputs) -> Targets:
    """`targets` with the number of each class that is given by its name.

    Example:
        >>> named_classes("dog", Inputs(names=["cat", "dog"]))
        1
    """
    if isinstance(targets, (list, tuple)):
        return [named_classes(t, inputs) if isinstance(t, str) else t for t in targets]
    if not isinstance(targets, str):
        return targets
    if inputs.names is None:
        words = f"must be a number, or come with the names of the classes, got {targets!r}"
        raise ArgumentError("targets", words)
    wanted = targets.strip().lower()
    found = [index for index, name in enumerate(inputs.names) if name.lower() == wanted]
    if len(found) != 1:
        words = "must be a class, by number or by name"
        near = get_close_matches(targets, inputs.names, n=3) or list(inputs.names[:3])
        hint = f"some names are {', '.join(near)}"
        hint = f"of that name are {' and '.join(map(str, found))}" if found else hint
        raise ArgumentError("targets", f"{words}, got {targets!r}; {hint}")
    return found[0]


def read_target(record: dict, function: Callable | None) -> Targets:
    """The targets of a record; a function is not in it and must be given."""
    kind = record["kind"]
    if kind == "function" and function is None:
        words = f"must be the function that the sheet explains, {record['words']}"
        raise ArgumentError("targets", words)
    if kind == "unit":
        place = record["unit"]["position"]
        return Unit(**record["unit"] | {"position": place and tuple(place)})
    return {"function": function, "class": record.get("class"), "top class": None}[kind]


def in_words(value) -> str:
    """A value of the settings as an error message states it."""
    if isinstance(value, dict) and "words" in value:
        return value["words"] + (f" (code {value['code']})" if "code" in value else "")
    return " ".join(map(str, value.values())) if isinstance(value, dict) else repr(value)


@contextmanager
def writing(path: Path | str) -> Iterator[None]:
    """While open, an error of the file system says that `path` cannot be written."""
    try:
        yield
    except OSError as error:
        words = f"{path} cannot be written ({error.strerror or error})"
        named = type(error)(words)
        named.errno = error.errno
        raise named from error


def write_json(path: Path, record: dict) -> None:
    """Write a record of settings, whole or not at all."""
    text = json.dumps(record, indent=1) + "\n"
    with writing(path):
        write_whole(path, lambda draft: draft.write_text(text, encoding="utf-8"))
