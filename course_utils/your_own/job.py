"""The work of a folder run: look at a map that is there, or make a batch of them.

Nothing here ends a run but a mistake in the call and a disk that takes no more files: what
is wrong with one picture becomes the reason why it has no map.
"""

import errno
import hashlib
import io
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import nan
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from .._machinery.arguments import ArgumentError, described
from .._machinery.files import write_whole
from .._machinery.hooks import watching
from ..images import MAX_BYTES, load_image, prepare
from ..inputs import Inputs
from ..models import Unit
from ..targets import Answer, Targets, explaining, predict
from .settings import check_names, writing

MAP, PICTURE = ".map.npz", ".map.png"  # appended to the name of a picture
SCALARS = ("score", "target", "probability", "classes")
ENDS_A_RUN = ("ENOSPC", "EDQUOT", "EROFS", "EIO")  # the disk's fault, not a picture's
NO_FILE = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG)
TOO_LONG = "its name is too long for that of a map"
SAID_BY_THE_RUN = "the (gradient|map) of image"  # how warnings begin: it lists blank maps


@dataclass(frozen=True)
class Job:
    """How to make a batch; gives each picture a row of the table, or why it has no map.

    Attributes:
        called: the method, in words.
        settings: a digest of all settings, which each map keeps.
    """

    folder: Path
    out: Path
    model: nn.Module
    method: Callable
    called: str
    targets: Targets
    inputs: Inputs
    draw: Callable | None
    settings: str

    def look(self, name: str) -> tuple[dict | None, str]:
        """The row of a map that is there and still right; or else why it is not."""
        path = self.out / f"{name}{MAP}"
        try:
            with path.open("rb") as file, np.load(file) as saved:
                made = {key: saved[key] for key in saved}  # reading it all finds any damage
            if made.get("settings") != self.settings:
                return None, "its map was made with other settings, or by another version"
            row, shape = _row(name, made), made["map"].shape
        except Exception as error:  # no file, or damaged in one of many ways
            there = getattr(error, "errno", None) not in NO_FILE
            return None, "its map was damaged" if there else ""
        if shape[-2:] != self.inputs.sides or len(shape) not in (2, 3):
            return None, f"its map had another shape, {shape}"
        if made["source"] != self._digest(name):
            return None, "the picture has changed since its map was made"
        if self.draw is not None and not path.with_suffix(".png").exists():
            return None, "its drawing was missing"
        return row, ""

    def _digest(self, name: str) -> str | None:
        """Of a picture's file; None where it cannot be read, which `make` will say."""
        try:
            with (self.folder / name).open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            return None

    def make(self, names: Sequence[str]) -> list[dict]:
        """Make and write the maps of a batch of pictures; no bad one ends the run."""
        rows, read = [], {}
        for name in names:
            try:
                read[name] = self._read(name)
            except Exception as error:
                rows.append({"picture": name, "reason": reason(error)})
        return rows + (self._explained(read) if read else [])

    def _read(self, name: str) -> tuple[str, Tensor]:
        """The digest of a picture's file and the image: both of the very same bytes."""
        path = self.folder / name
        with path.open("rb") as file:
            data = io.BytesIO(file.read(MAX_BYTES + 1))
        digest, data.name = hashlib.sha256(data.getbuffer()).hexdigest(), str(path)
        return digest, prepare(self.model, load_image(data), self.inputs)

    def _explained(self, read: dict[str, tuple[str, Tensor]]) -> list[dict]:
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("ignore")
                warnings.simplefilter("always", UserWarning)
                warnings.filterwarnings("ignore", SAID_BY_THE_RUN)
                images = torch.cat([image for _, image in read.values()])
                found = explain(self.model, self.method, self.targets, self.inputs, images)
        except Exception as error:
            if isinstance(error, ArgumentError) and error.argument != "images":
                raise  # the call is wrong, not a picture
            if len(read) > 1:  # each picture alone, to find the bad one
                each = (self._explained({name: read[name]}) for name in read)
                return [row for rows in each for row in rows]
            return [
                {"picture": name, "reason": reason(error), "failed": True} for name in read
            ]
        rows = []
        for index, (name, (digest, _)) in enumerate(read.items()):
            saved = {key: values[index] for key, values in found.items()}
            rows.append(self._write(name, saved | {"source": digest}))
        rows[0]["warnings"] = [str(warning.message) for warning in caught]
        return rows

    def _write(self, name: str, saved: dict) -> dict:
        path = self.out / f"{name}{MAP}"
        share = saved["probability"] if saved["target"] >= 0 else 0.0  # only of a class
        if not np.isfinite([saved["score"], share]).all():
            words = f"the network gives a score of {saved['score']}, probability {share}"
            return {"picture": name, "reason": words, "failed": True}
        if not self.out.is_dir():
            raise FileNotFoundError(f"{self.out} has been removed while its maps were made")
        try:
            with writing(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                if self.draw is not None:  # before the map, by which a picture is finished
                    picture = self.draw(_drawable(saved["map"]))
                    write_whole(path.with_suffix(".png"), picture.save)
                saved |= {"settings": self.settings}
                write_whole(path, lambda draft: np.savez(draft, **saved))
        except OSError as error:
            if error.errno in [getattr(errno, code, None) for code in ENDS_A_RUN]:
                raise
            too_long = error.errno == errno.ENAMETOOLONG
            return {"picture": name, "reason": TOO_LONG if too_long else str(error)}
        return _row(name, saved)


def explain(
    model: nn.Module, method: Callable, targets: Targets, inputs: Inputs, images: Tensor
) -> dict[str, np.ndarray]:
    """The maps, and what they explain: class, score, probability, number of classes.

    The method's own pass tells them, if it has sent these very images through the network.
    """
    seen: list[Tensor] = []

    def see(path: str, output, given: tuple) -> None:
        first = sum(map(len, seen))  # large batches go through in groups
        if given and isinstance(output, Tensor) and output.ndim == 2:
            group = images[first : first + len(output)]
            if torch.equal(given[0].to(group), group):
                seen.append(output.detach().clone())

    with explaining(model), watching({"": model}, see, with_inputs=True):
        maps = method(model, images, targets)
    _check_maps(maps, images)
    outputs = torch.cat(seen) if sum(map(len, seen)) == len(images) else None
    # Whether numbers from 0 to 1 are probabilities, `predict` asks of the network itself.
    known = outputs is not None and ((outputs < 0) | (outputs > 1)).any()
    known = known and not isinstance(targets, Unit)
    answer = predict(_Heard(outputs) if known else model, images, targets)
    return {"map": _array(maps)} | _answered(answer, inputs)


class _Heard(nn.Module):
    """Says once more what a network has said of the images of a batch."""

    def __init__(self, outputs: Tensor):
        super().__init__()
        self.outputs, self.said = outputs, 0

    def forward(self, images: Tensor) -> Tensor:
        """Called with the batch, or with its parts in their order."""
        self.said += len(images)
        return self.outputs[self.said - len(images) : self.said]


def _check_maps(maps, images: Tensor) -> None:
    count, (rows, columns) = len(images), images.shape[2:]
    fits = isinstance(maps, Tensor) and maps.ndim in (3, 4) and not maps.is_complex()
    if not fits or len(maps) != count or maps.shape[-2:] != images.shape[2:]:
        words = f"must give one map for each of {count} images, real numbers of shape "
        words += f"({count}, {rows}, {columns}) or ({count}, channels, {rows}, {columns})"
        kind = f" of {maps.dtype}" if isinstance(maps, Tensor) and maps.is_complex() else ""
        raise ArgumentError("method", f"{words}, got {described(maps)}{kind}")


def _answered(answer: Answer, inputs: Inputs) -> dict[str, np.ndarray]:
    """What the table says of the images."""
    scores, classes, shares = answer.scores, answer.classes, answer.shares
    if shares is not None:
        check_names(inputs, shares.shape[1])
    if classes is None:
        classes, chances = torch.full_like(scores, -1).long(), torch.full_like(scores, nan)
        counts = torch.zeros_like(classes)
    else:
        chances = shares.gather(1, classes[:, None])[:, 0]
        counts = torch.full_like(classes, shares.shape[1])
    values = (scores, classes, chances, counts)
    return dict(zip(SCALARS, map(_array, values), strict=True))


def _array(values: Tensor) -> np.ndarray:
    values = values.detach().cpu()
    small = values.is_floating_point() and values.dtype.itemsize < 4
    return (values.float() if small else values).numpy()


def _drawable(map_: np.ndarray) -> np.ndarray:
    """(H, W) or (3, H, W): a map of one channel, or of others than colours, as grey."""
    map_ = np.nan_to_num(map_)
    if map_.ndim == 2 or len(map_) == 3:
        return map_
    return np.repeat(map_.mean(axis=0, keepdims=True), 3, axis=0)


def _row(name: str, saved: dict) -> dict:
    """A line of the table; only a class has a probability."""
    values = saved["map"]
    blank = not (np.isfinite(values).all() and values.any())
    row = {"picture": name, "score": f"{saved['score']:.4f}", "blank": blank}
    if saved["target"] < 0:
        return row
    row |= {"target": int(saved["target"]), "probability": f"{saved['probability']:.4f}"}
    return row | {"classes": int(saved["classes"])}


def reason(error: Exception) -> str:
    """Why a picture has no map, in a few words."""
    if isinstance(error, ArgumentError):
        return error.words
    lines = (getattr(error, "strerror", None) or str(error)).strip().splitlines()
    return lines[0] if lines else type(error).__name__
