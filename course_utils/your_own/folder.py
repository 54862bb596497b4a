"""A saliency map for every picture of a folder, in a run that can be stopped at any moment.

Next to each picture, or in a folder of your choice with the same folders inside, the run
writes ``picture.jpg.map.npz``. ``maps.json`` holds the settings, ``maps.csv`` one line per
picture:

>>> saved = np.load("photos/cat.jpg.map.npz")
>>> saved["map"].shape, saved["target"], saved["score"], saved["probability"]

Two rules let it go on where it was stopped: *a file is written whole or not at all*, and
*what is missing is found by name*, never by counting. A map counts as missing if its file
is damaged or its picture has changed since. Which pictures share a batch changes a map in
its last digits, so an interrupted run gives the same maps up to rounding.
"""

import csv
import errno
import io
import json
import math
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from .._machinery.arguments import ArgumentError, described, function, number
from .._machinery.files import write_whole
from .._machinery.hooks import watching
from .._machinery.progress import Progress, goes_on
from ..figures import save_map
from ..images import IMAGENET_MEAN, IMAGENET_STD, find_pictures, preprocess
from ..methods import METHODS, Method, find_method
from ..models import Unit, class_name
from ..targets import Targets, explaining, forward, predict
from .cluster import map_on_cluster
from .settings import function_name, in_words, record_settings

MAP, PICTURE = ".map.npz", ".map.png"  # appended to the name of a picture
RECORD, TABLE = "maps.json", "maps.csv"
FIRST = 8  # so many failures, and no map yet: the method is to blame, not the pictures


@dataclass(frozen=True)
class FolderRun:
    """What `map_folder` did.

    Attributes:
        out: the folder of the maps.
        names: of all pictures, relative to their folder, in order.
        written: how many maps this call made.
        kept: how many were there before.
        skipped: picture → why it has no map.
        blank: pictures whose map, made by this call, is zero everywhere or not finite.
        stopped: whether `progress` stopped it early.
        seconds: it took.
    """

    out: Path
    names: list[str]
    written: int
    kept: int
    skipped: dict[str, str] = field(default_factory=dict)
    blank: list[str] = field(default_factory=list)
    stopped: bool = False
    seconds: float = 0.0

    def __repr__(self) -> str:
        made = self.written + self.kept
        words = f"{made} of {len(self.names)} maps: {self.written} made, {self.kept} kept"
        words += f", {len(self.skipped)} unreadable" if self.skipped else ""
        words += f", {len(self.blank)} blank" if self.blank else ""
        return f"FolderRun({words}{', stopped' if self.stopped else ''})"

    def path(self, name: str) -> Path:
        """The file of a picture's map."""
        return self.out / f"{name}{MAP}"

    def load(self, name: str) -> np.ndarray:
        """A picture's map, (H, W) or (3, H, W)."""
        with np.load(self.path(name)) as saved:
            return saved["map"]


def map_folder(
    folder: str | Path,
    model: nn.Module,
    method: str | Callable[[nn.Module, Tensor, Targets], Tensor] = "vanilla",
    out: str | Path | None = None,
    batch: int = 16,
    targets: int | Unit | Callable[[Tensor], Tensor] | None = None,
    progress: Progress | None = None,
    *,
    size: int = 224,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    fit: str = "crop",
    names: Sequence[str] | None = None,
    png: bool = False,
    limit: float | None = None,
    workers: int | None = None,
) -> FolderRun:
    """Compute and save the map of every picture of a folder and the folders inside it.

    Stopped at any moment, it goes on with the missing maps when it is called again. A
    picture that cannot be read, or on which the network or the method fails, is skipped,
    listed with the reason, and tried again next time.

    Args:
        folder: of pictures.
        model: a classifier, on the device to use.
        method: a key of `METHODS`, or how it begins; or a function
            ``method(model, images, targets)`` → (N, H, W) or (N, 3, H, W).
        out: folder of the maps, created if necessary; by default beside the pictures.
        batch: how many pictures go through the network together.
        targets: None (the top class of each picture), a class, a `Unit` or a function of
            the outputs (functions, here and as `method`, are recorded by name only).
        progress: called as ``progress(done, total, so_far)`` after each batch, counted in
            the pictures that this call has to map; `so_far` is a `FolderRun`. When it
            returns False, the run stops after that batch.
        size, mean, std, fit: of `preprocess`.
        names: of the classes, for the table.
        png: also draw each map, as ``picture.jpg.map.png``.
        limit: the value in the strongest colour of all these drawings; by default each
            map's own (see `map_limits`).
        workers: share the batches among so many workers of Ray, on all the machines that
            it knows (see `cluster`); by default everything happens in this process.

    Raises:
        ArgumentError: no pictures, an argument that does not fit, or an `out` that holds
            maps made with other settings.
        RuntimeError: the network or the method fails on the first pictures without
            exception.
        OSError: a file cannot be written.

    Example:
        >>> map_folder("photos", load_model(), out="maps", progress=print)
        3 3 FolderRun(3 of 3 maps: 3 made, 0 kept)
        FolderRun(3 of 3 maps: 3 made, 0 kept)
    """
    start = time.perf_counter()
    folder = Path(folder).expanduser()
    out = folder if out is None else Path(out).expanduser()
    batch = number("batch", batch, 1, whole=True)
    workers = None if workers is None else number("workers", workers, 1, whole=True)
    limit = None if limit is None else number("limit", limit, 0, above=True)
    inputs = {"size": size, "mean": mean, "std": std, "fit": fit}
    preprocess(Image.new("RGB", (8, 8)), **inputs)  # a bad size is no fault of a picture
    method, method_name = _check_method(method)
    if not (targets is None or callable(targets) or isinstance(targets, (int, Unit))):
        words = "must be None, one class, a Unit or a function of the outputs"
        raise ArgumentError("targets", f"{words}, got {described(targets)}")
    settings = {"method": method_name, "png": png, "limit": limit}
    settings |= record_settings(model, targets, **inputs)
    found = _find(folder, out)
    _record(out, settings)

    places = folder.absolute(), out.absolute()  # for workers elsewhere
    job = Job(*places, model, method, targets, inputs, png, limit)
    rows = [row for name in found if (row := job.finished(name))]
    kept = {row.picture for row in rows}
    todo = [name for name in found if name not in kept]
    batches = [todo[first : first + batch] for first in range(0, len(todo), batch)]
    if workers is None:
        results = map(job.make, batches)
    else:
        gpus = int(next((p.is_cuda for p in model.parameters()), False))
        results = map_on_cluster(job.make, batches, workers, gpus)
    run, done, failed = FolderRun(out, found, 0, len(kept)), 0, []
    for made in results:
        made = [Row(*row) for row in made]
        done += len(made)
        rows += [row for row in made if not row.reason]
        failed += [row for row in made if row.failed]
        run = replace(
            run,
            written=len(rows) - len(kept),
            skipped=run.skipped | {row.picture: row.reason for row in made if row.reason},
            blank=run.blank + [row.picture for row in made if row.blank],
            seconds=time.perf_counter() - start,
        )
        if failed and not rows and (len(failed) >= FIRST or done == len(todo)):
            reason = failed[0].reason
            raise RuntimeError(f"{method_name} fails on every picture: {reason}")
        if not goes_on(progress, done, len(todo), run):
            run = replace(run, stopped=done < len(todo))
            break
    _write_table(out, rows, names)
    return run


class Row(NamedTuple):
    """One picture of a run: what its map explains, or the reason why it has none."""

    picture: str
    target: int = -1
    score: float = math.nan
    probability: float = math.nan
    blank: bool = False
    reason: str = ""
    failed: bool = False  # it could be read, but the network or the method failed on it


@dataclass(frozen=True)
class Job:
    """What is the same for all batches; each worker of a cluster gets a copy."""

    folder: Path
    out: Path
    model: nn.Module
    method: Callable[[nn.Module, Tensor, Targets], Tensor]
    targets: Targets
    inputs: dict
    png: bool
    limit: float | None

    def finished(self, name: str) -> Row | None:
        """The row of a map that is there, undamaged and made from this very picture."""
        path = self.out / f"{name}{MAP}"
        try:
            with np.load(path) as saved:
                made = {key: saved[key] for key in saved}  # reading it all finds any damage
            row = _row(name, made)
            unchanged = made["source"].tolist() == _state(self.folder / name)
        except Exception:  # no file, or damaged in one of many ways
            return None
        drawn = not self.png or path.with_suffix(".png").exists()
        return row if unchanged and drawn else None

    def make(self, names: Sequence[str]) -> list[Row]:
        """Make and write the maps of a batch of pictures."""
        read, rows = [], []
        for name in names:
            path = self.folder / name
            try:
                read.append((name, _state(path), preprocess(path, **self.inputs)))
            except Exception as error:  # one bad picture never ends a run
                rows.append(Row(name, reason=_reason(error)))
        return rows + self._map_and_write(read)

    def _map_and_write(self, read: list[tuple[str, list[int], Tensor]]) -> list[Row]:
        """Map the pictures together; if that fails, each alone, to find the bad one."""
        if not read:
            return []
        try:
            found = self._explain(torch.cat([image for _, _, image in read]))
        except Exception as error:
            if isinstance(error, ArgumentError) and error.argument != "images":
                raise  # the call is wrong, not a picture
            if len(read) > 1:
                return [row for one in read for row in self._map_and_write([one])]
            return [Row(read[0][0], reason=_reason(error), failed=True)]
        return [
            self._write(name, {key: values[k] for key, values in found.items()}, state)
            for k, (name, state, _) in enumerate(read)
        ]

    def _explain(self, images: Tensor) -> dict[str, np.ndarray]:
        """The maps, and what they explain: class, score, probability.

        The method's own forward pass tells what the network says of the images; only
        where it did not send these very images through, they go through once more.
        """
        images = images.to(next((p.device for p in self.model.parameters()), None))
        seen = []

        def see(path: str, output, inputs: tuple) -> None:
            first = sum(map(len, seen))  # large batches go through in groups
            if inputs and isinstance(inputs[0], Tensor) and isinstance(output, Tensor):
                expected = images[first : first + len(inputs[0])]
                same = torch.equal(inputs[0].to(images), expected)
                if same and output.shape[:1] == expected.shape[:1]:
                    seen.append(output.detach().clone())

        with explaining(self.model), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # the run lists blank maps
            with watching({"": self.model}, see, with_inputs=True):
                maps = self.method(self.model, images, self.targets)
        if not isinstance(maps, Tensor) or len(maps) != len(images):
            words = f"must give one map for each of {len(images)} images"
            raise ArgumentError("method", f"{words}, got {described(maps)}")
        complete = sum(map(len, seen)) == len(images) and not isinstance(self.targets, Unit)
        if complete:
            answer = forward(lambda _: torch.cat(seen), images, self.targets)
        else:
            answer = predict(self.model, images, self.targets)
        scores, classes, outputs = answer
        if classes is None:
            shares = torch.full_like(scores, torch.nan)
            classes = torch.full_like(scores, -1, dtype=torch.long)
        else:
            shares = outputs.softmax(dim=1).gather(1, classes[:, None])[:, 0]
        found = {"map": maps, "target": classes, "score": scores, "probability": shares}
        return {key: values.detach().cpu().numpy() for key, values in found.items()}

    def _write(self, name: str, saved: dict, source: list[int]) -> Row:
        path, values = self.out / f"{name}{MAP}", saved["map"]
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, lambda draft: np.savez(draft, **saved, source=source))
            if self.png:
                picture = path.with_suffix(".png")
                save_map(np.nan_to_num(values), picture, "inferno", self.limit)
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                return Row(name, reason="its name is too long for the name of a map")
            raise type(error)(f"{path} cannot be written ({error})") from error
        blank = not (np.isfinite(values).all() and values.any())
        return _row(name, saved)._replace(blank=blank)


def _row(name: str, saved: dict) -> Row:
    return Row(name, *(saved[key].item() for key in ("target", "score", "probability")))


def _reason(error: Exception) -> str:
    return getattr(error, "words", str(error)) or type(error).__name__


def _check_method(method) -> tuple[Callable, str]:
    """The function of a method, and how the settings name it."""
    if isinstance(method, str):
        method = find_method(method)
    function("method", method, "(model, images, targets), or the name of a method")
    if isinstance(method, Method) and METHODS.get(method.name) is method:
        return method, method.name
    return method, function_name(getattr(method, "maps", method))


def _find(folder: Path, out: Path) -> list[str]:
    """The names of the pictures; maps drawn into the same folder are not among them."""
    inside = out.resolve() if out.resolve() != folder.resolve() else None
    found = [
        path.relative_to(folder).as_posix()
        for path in find_pictures(folder, deep=True)
        if not path.name.endswith(PICTURE) and inside not in path.resolve().parents
    ]
    if not found:
        raise ArgumentError("folder", f"must hold pictures; {folder} holds only maps")
    return found


def _state(path: Path) -> list[int]:
    """The size and the time of the last change, by which a picture is known again."""
    state = path.stat()
    return [state.st_size, state.st_mtime_ns]


def _record(out: Path, settings: dict) -> None:
    """Write ``maps.json``, unless the maps that are there were made differently."""
    path, settings = out / RECORD, json.loads(json.dumps(settings))
    if path.exists():
        try:
            before = dict(json.loads(path.read_text(encoding="utf-8"))["settings"])
        except (ValueError, KeyError, TypeError) as error:
            words = f"must not hold another {RECORD}; {path} is not of such a run"
            raise ArgumentError("out", words) from error
        other = [
            f"{key} {in_words(before.get(key))}, now {in_words(value)}"
            for key, value in settings.items()
            if before.get(key) != value
        ]
        if other and any(out.rglob(f"*{MAP}")):
            raise ArgumentError(
                "out",
                f"holds maps made with other settings ({'; '.join(other)}); keep those "
                f"settings, or choose another folder than {out}",
            )
    out.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"settings": settings}, indent=1) + "\n"
    write_whole(path, lambda draft: draft.write_text(text, encoding="utf-8"))


def _write_table(out: Path, rows: Sequence[Row], names: Sequence[str] | None) -> None:
    """``maps.csv``: what each map explains."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["picture", "target", "name", "score", "probability"])
    for name, target, score, share, *_ in sorted(rows):
        known = target >= 0
        called = class_name(target, names) if known and names is not None else ""
        share = f"{share:.4f}" if known else ""
        table.writerow([name, target if known else "", called, f"{score:.4f}", share])
    write_whole(out / TABLE, lambda draft: draft.write_text(text.getvalue(), "utf-8"))
