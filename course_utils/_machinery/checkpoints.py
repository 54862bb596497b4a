"""Checkpoints: read without running code, unwrapped, and fitted to a network.

Every trainer wraps the parameters in its own way: ``{"model": …, "epoch": 8}``, names that
begin with ``module.``, a second copy that was averaged. None of these ways is known here.
Each dictionary of tensors in a file, and in it each group of names with a common beginning,
is compared with the network's own names and shapes; the one that fits is taken.

Shapes are compared before anything is allocated, so that a file can claim what it likes.
"""

import re
from collections import OrderedDict, defaultdict
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from hashlib import file_digest
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from .arguments import ArgumentError, described, warn

SAVE = "torch.save(model.state_dict(), path)"
DEPTH = 2  # dictionaries of tensors lie in the file itself, one key down, or two
PARTS = 3  # of a common beginning, such as "module._orig_mod."
COUNTER = "num_batches_tracked"  # of BatchNorm; plays no part in evaluation
# Side by side with the parameters themselves, an average of them goes by such a name.
AVERAGE = re.compile(r"(^|[^a-z])(ema|swa|averaged?|shadow)([^a-z]|$)")

# -- reading ---------------------------------------------------------------------------


def read(path: Path) -> object:
    """What a checkpoint holds; no code in the file is ever run."""
    try:
        if path.suffix.lower() == ".safetensors":
            return load_file(path)
        return torch.load(path, "cpu", weights_only=True)
    except PermissionError as error:
        raise PermissionError(f"{path} cannot be read ({error.strerror})") from error
    except Exception as error:
        kind, hint = "", f"save one by {SAVE}"
        if found := re.search(r"GLOBAL (\S+)", str(error)):
            kind = f": it holds {found[1]}, which could run code"
            hint = f"where you trained it, save the parameters alone by {SAVE}"
        words = f"cannot be read: {path} is not a valid checkpoint{kind}; {hint}"
        raise ArgumentError("weights", words) from error


def check_hash(path: Path, digest: str, advice: str) -> None:
    """Refuse a file whose SHA-256 does not begin with `digest`, and advise what to do."""
    state = path.stat()
    if not _sha256(path, state.st_size, state.st_mtime_ns, state.st_ino).startswith(digest):
        raise ArgumentError("weights", f"cannot be used: {path} is damaged; {advice}")


@cache
def _sha256(path: Path, *state: int) -> str:
    """Of a file; it is read again once its size or time has changed."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


# -- finding the tensors that fit ------------------------------------------------------


class Group(NamedTuple):
    """Tensors of one dictionary whose names begin alike, by the network's names."""

    place: str  # in the file, such as "state_dict/model"; "" is the whole file
    tensors: dict[str, Tensor]
    beside: int  # how many tensors of the dictionary begin otherwise; counters are none


def groups(content: object, expected: Mapping[str, Tensor]) -> list[Group]:
    """The groups in `content` that share a name with `expected`; the nearest is first.

    Example:
        >>> content = {"model": {"module.weight": torch.ones(2)}, "epoch": 8}
        >>> groups(content, {"weight": torch.zeros(2)})
        [Group(place='model/module', tensors={'weight': tensor([1., 1.])}, beside=0)]
    """
    found = {}
    for own in _common_beginnings(expected):
        names = {name.removeprefix(own) for name in expected}
        for place, tensors in _dictionaries(content):
            for beginning, inner in _by_beginning(tensors).items():
                if not names.isdisjoint(inner):
                    where = "/".join(filter(None, (place, beginning)))
                    renamed = {own + name: value for name, value in inner.items()}
                    beside = _arrays(tensors) - _arrays(inner)
                    group = Group(where, renamed, beside)
                    # "model.weight" for "model.weight" is "weight" for "weight", too.
                    found.setdefault(frozenset(map(id, inner.values())), group)

    def distance(group: Group) -> tuple[int, int]:
        known = sum(name in expected for name in group.tensors)
        return len(expected) - known, len(group.tensors) - known

    return sorted(found.values(), key=distance)


def _arrays(tensors: Mapping[str, Tensor]) -> int:
    return sum(value.ndim > 0 for value in tensors.values())


def _common_beginnings(names: Collection[str]) -> list[str]:
    """What all names begin with: "", "a." and "a.b." for a.b.c and a.b.d."""
    first, *others = names or [""]
    parts = first.split(".", PARTS)
    found = [".".join(parts[:n]) + "." for n in range(1, len(parts))]
    return ["", *(f for f in found if all(name.startswith(f) for name in others))]


def _by_beginning(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Beginning of names → the tensors that have it, by the rest of their names."""
    parts = defaultdict(dict)
    for key, value in tensors.items():
        words = key.split(".", PARTS)
        for n in range(len(words)):
            parts[".".join(words[:n])][".".join(words[n:])] = value
    return parts


def _dictionaries(content: object, depth: int = DEPTH, place: str = "") -> Iterator:
    """The place and the tensors of every dictionary; what else it holds is passed over."""
    items = content.items() if isinstance(content, dict) else ()
    items = [(key, value) for key, value in items if isinstance(key, str)]
    if tensors := {key: value for key, value in items if isinstance(value, Tensor)}:
        yield place, tensors
    if depth:
        for key, value in items:
            yield from _dictionaries(value, depth - 1, f"{place}/{key}" if place else key)


def resized(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> list[str]:
    """The names of `tensors` that all have the same other length, as classes give them.

    There are none if they differ in another way, or if the file does not hold all these
    numbers. So a network of as many classes takes no more memory than the file.
    """
    names = [n for n in expected if n in tensors and tensors[n].shape != expected[n].shape]
    lengths = {tensors[name].shape[:1] for name in names}
    alike = all(tensors[n].shape[1:] == expected[n].shape[1:] for n in names)
    fits = alike and len(lengths) == 1 and all(sum(length) > 0 for length in lengths)
    return names if fits and all(_is_stored(tensors[n]) for n in names) else []


def _is_stored(value: Tensor) -> bool:
    """Whether a file holds as many numbers as a tensor claims; one can be repeated."""
    if value.layout != torch.strided or value.is_meta:
        return False
    return value.untyped_storage().nbytes() >= value.numel() * value.element_size()


# -- saying what does not fit ----------------------------------------------------------


def differences(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> str:
    """Why `tensors` do not fit, or ""; no number in them is looked at.

    Example:
        >>> differences({"bias": torch.zeros(3)}, {"bias": torch.zeros(2)})
        'bias has the shape (3,), expected (2,)'
    """
    given = {id(own) for name, own in expected.items() if name in tensors}
    missing = [
        name
        for name, own in expected.items()  # layers that share a tensor need it once
        if name not in tensors and id(own) not in given and not name.endswith(COUNTER)
    ]
    unexpected = [n for n in tensors if n not in expected and not n.endswith(COUNTER)]
    shapes = [
        f"{name} has the shape {tuple(tensors[name].shape)}, expected {tuple(own.shape)}"
        for name, own in expected.items()
        if name in tensors and not is_lazy(own) and tensors[name].shape != own.shape
    ]
    parts = [f"{len(missing)} missing ({_some(missing)})"] if missing else []
    parts += [f"{len(unexpected)} unexpected ({_some(unexpected)})"] if unexpected else []
    more = [f"{len(shapes) - 3} more differ in shape"] if len(shapes) > 3 else []
    return "; ".join(parts + shapes[:3] + more)


def _some(names: Collection[str]) -> str:
    """The first few of some names."""
    return ", ".join(f"{name!s:.80}" for name in [*names][:5]) + ", …" * (len(names) > 5)


def _nothing_alike(content: object, expected: Mapping[str, Tensor], path: Path) -> str:
    if found := [tensors for _, tensors in _dictionaries(content)]:
        return f"in {path.name} are of another network: " + differences(
            max(found, key=len), expected
        )
    held = f"the keys {_some(content)}" if isinstance(content, dict) else described(content)
    held = held if content != {} else "nothing"
    return f"in {path.name} are missing: it holds {held}; save a network by {SAVE}"


# -- filling a network -----------------------------------------------------------------


def expected_by(model: nn.Module) -> dict[str, Tensor]:
    """The tensors of a network that a checkpoint has to give, by name."""
    state = model.state_dict(keep_vars=True)
    return {name: value for name, value in state.items() if isinstance(value, Tensor)}


def fill(
    model: nn.Module, content: object, path: Path, spare: Collection[str] = ()
) -> nn.Module:
    """`model` with the parameters in `content`, which was read from `path`.

    The network keeps its own type of numbers: half and double precision are converted. A
    checkpoint without BatchNorm's counters is complete, as they play no part in evaluation.

    Args:
        spare: names that the checkpoint may have beside those of the network.

    Raises:
        ArgumentError: nothing fits, more than one group does, or its numbers are no good.
    """
    expected, kind = expected_by(model), type(model).__name__
    tensors = _chosen(content, expected, path, kind, spare)
    _check_kinds(tensors, expected, path)
    why = differences(tensors, expected)
    state = OrderedDict(tensors if why else expected | tensors)
    state._metadata = getattr(model.state_dict(), "_metadata", None)
    finite = {n: b.isfinite() for n, b in model.named_buffers() if not is_lazy(b)}
    try:
        model.load_state_dict(state)
    except Exception as error:
        reason = why or str(error).partition("\n")[0]
        words = f"in {path.name} do not fit {kind}: {reason}"
        raise ArgumentError("weights", words) from error
    _check_finite(model, finite, path)
    return model


def _chosen(content, expected, path: Path, kind: str, spare) -> dict[str, Tensor]:
    """The tensors that fit; of an average and the parameters themselves, the latter."""
    found = groups(content, expected)
    if not found:
        raise ArgumentError("weights", _nothing_alike(content, expected, path))
    for group in found:
        for name in spare:
            group.tensors.pop(name, None)
        for name in [n for n in group.tensors if n.endswith(COUNTER)]:
            if name not in expected or group.tensors[name].is_floating_point():  # averaged
                del group.tensors[name]
    fit = [group for group in found if not differences(group.tensors, expected)]
    if not fit:  # but a network's own hooks may know how to read older names
        return found[0].tensors
    plain = [group for group in fit if not AVERAGE.search(group.place.lower())] or fit
    if len(plain) > 1:
        places = " and ".join(repr(group.place) for group in plain)
        words = f"in {path.name} are there more than once: {places} fit {kind} alike"
        raise ArgumentError("weights", f"{words}; save the one you mean by {SAVE}")
    others = [repr(group.place) for group in fit if group is not plain[0]]
    if beside := plain[0].beside:
        others.append(f"{beside} other tensor{'s' * (beside > 1)} there")
    if others:
        left = " and ".join(others)
        warn(f"{path.name}: {kind} took the weights under {plain[0].place!r}, not {left}")
    return plain[0].tensors


def _check_kinds(tensors, expected, path: Path) -> None:
    for name, value in tensors.items():
        own = expected.get(name, value)
        kinds = [(t.is_floating_point(), t.is_complex()) for t in (value, own)]
        if value.layout != torch.strided:
            reason = "is sparse"
        elif value.is_quantized:
            reason = "is quantised"
        elif value.is_meta:
            reason = "has no numbers; it was saved from the device meta"
        elif kinds[0] != kinds[1]:
            reason = f"is of the type {value.dtype}, expected {own.dtype}"
        elif is_lazy(own) and not _is_stored(value):
            reason = f"claims the shape {tuple(value.shape)}, but holds fewer numbers"
        else:
            continue
        raise ArgumentError("weights", f"in {path.name} cannot be used: {name} {reason}")


def _check_finite(model: nn.Module, finite: Mapping[str, Tensor], path: Path) -> None:
    """Refuse NaN and infinite values, but for those that a buffer had, as masks do."""
    for name, value in (*model.named_parameters(), *model.named_buffers()):
        bad = torch.tensor(False) if is_lazy(value) else ~value.isfinite()
        if (bad & finite.get(name, torch.tensor(True, device=bad.device))).any():
            words = f"in {path.name} cannot be used: {name} holds NaN or infinite values"
            raise ArgumentError("weights", words)
