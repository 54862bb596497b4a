"""A saliency map for every picture of a folder, in a run that can be stopped at any moment.

Next to each picture, or in a folder of your choice, the run writes ``picture.jpg.map.npz``,
which holds the arrays map, target, score and probability. ``maps.json`` holds the settings,
``maps.csv`` a line for each picture: what its map explains, or the reason why it has none.

Two rules let it go on where it was stopped: *a file is written whole or not at all*, and
*what is missing is found by name*, never by counting. A map counts as missing if its file
is damaged, or if it was made from another file of that name: the content decides, not the
time of the file. So it does if it was made with other settings, by another version of the
course, or by a function with other code (see `identity` for what can be told apart).
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from numbers import Integral
from pathlib import Path
from time import perf_counter

import numpy as np
from torch import Tensor, nn

from .._machinery.arguments import ArgumentError, described, function, number, warn
from .._machinery.progress import Progress, goes_on
from ..figures import map_picture
from ..images import ENDINGS, find_pictures, passed_over
from ..inputs import Inputs, inputs_for
from ..methods import find_method
from ..models import Unit
from ..targets import Targets, class_indices
from .cluster import map_on_cluster
from .identity import digest, function_record
from .job import MAP, PICTURE, Job
from .record import Record, write_table
from .settings import check_names, named_classes, path_of, record_settings

FIRST = 8  # so many failures, and no map yet: the method is to blame, not the pictures


@dataclass(frozen=True)
class FolderRun:
    """What `map_folder` did, in `seconds`.

    Attributes:
        names: of all pictures, relative to their folder.
        skipped: picture, or folder that cannot be read → why it has no map.
        passed_over: file → why it was not taken for a picture.
        written, kept: how many maps this call made, and found.
        remade: picture → why the map that it had was made again.
        blank: pictures whose map is zero everywhere or not finite.
        orphaned: pictures that are gone; their maps are still there.
        stopped: whether `progress` stopped it early.
    """

    out: Path
    names: list[str]
    skipped: dict[str, str] = field(default_factory=dict)
    passed_over: dict[str, str] = field(default_factory=dict)
    written: int = 0
    kept: int = 0
    remade: dict[str, str] = field(default_factory=dict)
    blank: list[str] = field(default_factory=list)
    orphaned: list[str] = field(default_factory=list)
    stopped: bool = False
    seconds: float = 0.0

    def __repr__(self) -> str:
        made = self.written + self.kept
        words = f"{made} of {len(self.names)} maps: {self.written} made, {self.kept} kept"
        for name in ("skipped", "remade", "blank", "orphaned", "passed_over"):
            count = len(getattr(self, name))
            words += f", {count} {name.replace('_', ' ')}" if count else ""
        return f"FolderRun({words}{', stopped' if self.stopped else ''})"

    def path(self, name: str) -> Path:
        """The file of a picture's map."""
        return self.out / f"{name}{MAP}"

    def load(self, name: str) -> np.ndarray:
        """A picture's map, (H, W) or (channels, H, W)."""
        with np.load(self.path(name)) as saved:
            return saved["map"]


def map_folder(
    folder: str | Path,
    model: nn.Module,
    method: str | Callable[[nn.Module, Tensor, Targets], Tensor] = "vanilla",
    out: str | Path | None = None,
    batch: int = 16,
    targets: int | str | Unit | Callable[[Tensor], Tensor] | None = None,
    progress: Progress | None = None,
    *,
    inputs: Inputs | None = None,
    size: int | tuple[int, int] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    fit: str | None = None,
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
        method: a key of `METHODS`, or how it begins; or a function
            ``method(model, images, targets)`` → (N, H, W) or (N, channels, H, W).
        out: folder of the maps, created if necessary; by default beside the pictures.
        batch: how many pictures go through the network together.
        targets: None, one class by number or name, a `Unit` or a function.
        progress: called after each batch, with numbers of pictures and a `FolderRun`.
        inputs: how the network wants its pictures, and its classes' names; see `Inputs`.
        size, mean, std, fit, names: the same, one by one.
        png, limit: also draw each map, as ``picture.jpg.map.png``, with `limit` in the
            strongest colour; by default each map has its own.
        workers: share the batches among so many workers of Ray (see `cluster`).

    Raises:
        ArgumentError: also if `out` holds maps made with other settings, or if another
            run begins there meanwhile.
        RuntimeError: the network or the method fails on all of the first pictures.
        OSError: a file cannot be written.

    Example:
        >>> map_folder("photos", load_model(), out="maps", progress=print)
        3 3 FolderRun(3 of 3 maps: 3 made, 0 kept)
        FolderRun(3 of 3 maps: 3 made, 0 kept)
    """
    start = perf_counter()
    changes = {"size": size, "mean": mean, "std": std, "fit": fit, "names": names}
    inputs = inputs_for(model, inputs, **changes)
    if inputs.channels not in (1, 3):
        words = "must be 1 number, or 3, for pictures that are read from files"
        raise ArgumentError("mean", f"{words}, got {inputs.channels}")
    folder = path_of("folder", folder).absolute()  # workers have folders of their own
    out = folder if out is None else path_of("out", out).absolute()
    batch = number("batch", batch, 1, whole=True)
    workers = None if workers is None else number("workers", workers, 1, whole=True)
    limit = None if limit is None else number("limit", limit, 0, above=True)
    method = find_method(method) if isinstance(method, str) else method
    function("method", method, "(model, images, targets), or the name of a method")
    targets = _one_target(named_classes(targets, inputs))
    draw = partial(map_picture, cmap="inferno", limit=limit) if png else None

    run = FolderRun(out, *_find(folder, out))
    settings = {"method": function_record(method), "png": png, "limit": limit}
    record = Record(out, settings | record_settings(model, targets, inputs), f"*{MAP}")
    made_with, called = digest(json.dumps(record.settings)), settings["method"]["words"]
    job = Job(folder, out, model, method, called, targets, inputs, draw, made_with)
    run = replace(run, orphaned=_orphaned(out, run.names))
    run, rows = _finished(run, job, record, batch, workers, progress)
    write_table(out / "maps.csv", rows, inputs)
    record.close()
    return replace(run, seconds=perf_counter() - start)


def _finished(run, job, record, batch, workers, progress) -> tuple[FolderRun, list[dict]]:
    """The run, with all maps made that were missing; and the rows of its table."""
    start, (rows, stale) = perf_counter(), _kept(job, run.names)
    run, failed, said = replace(_with(run, rows, {}), written=0, kept=len(rows)), [], set()
    rows += [{"picture": name, "reason": reason} for name, reason in run.skipped.items()]
    before = {row["picture"] for row in rows}
    todo = [name for name in run.names if name not in before]
    for made in _results(job, todo, batch, workers):
        record.check()
        for row in made:
            if "reason" in row and row["picture"] in stale:
                row["reason"] += "; the map that is there is an old one"
        rows += made
        done = len(rows) - len(before)
        run = replace(_with(run, made, stale), seconds=perf_counter() - start)
        failed += [row["reason"] for row in made if "failed" in row]
        enough = len(failed) >= FIRST or (failed and done == len(todo))
        if enough and not run.written + run.kept:
            raise RuntimeError(f"{job.called} fails on every picture: {failed[0]}")
        for words in (words for row in made for words in row.get("warnings", ())):
            if words not in said:
                warn(words)
            said.add(words)
        if not goes_on(progress, done, len(todo), run):
            return replace(run, stopped=done < len(todo)), rows
    return run, rows


def _kept(job: Job, names: Sequence[str]) -> tuple[list[dict], dict[str, str]]:
    """The rows of the maps that are there and right, and why others are not."""
    looks = {name: job.look(name) for name in names}
    rows = [row for row, _ in looks.values() if row is not None]
    for row in rows:
        if "classes" in row:
            check_names(job.inputs, row["classes"])
    return rows, {name: why for name, (_, why) in looks.items() if why}


def _results(
    job: Job, todo: Sequence[str], batch: int, workers: int | None
) -> Iterable[list[dict]]:
    """The rows of each batch, once it has been made."""
    batches = [todo[first : first + batch] for first in range(0, len(todo), batch)]
    if workers is None:
        return map(job.make, batches)
    gpu = next((p.is_cuda for p in job.model.parameters()), False)
    return map_on_cluster(job.make, batches, workers, gpu)


def _with(run: FolderRun, made: Sequence[dict], stale: dict[str, str]) -> FolderRun:
    """The run, after some more rows."""
    skipped = {row["picture"]: row["reason"] for row in made if "reason" in row}
    right = [row["picture"] for row in made if "reason" not in row]
    return replace(
        run,
        written=run.written + len(right),
        skipped=run.skipped | skipped,
        remade=run.remade | {name: stale[name] for name in right if name in stale},
        blank=run.blank + [row["picture"] for row in made if row.get("blank")],
    )


def _one_target(targets: Targets) -> Targets:
    """One question for all pictures."""
    if getattr(targets, "ndim", None) == 0 or isinstance(targets, Integral):
        return class_indices(targets, 1).item()
    if not (targets is None or callable(targets) or isinstance(targets, Unit)):
        words = f"must be None, one class, a Unit or a function, got {described(targets)}"
        raise ArgumentError("targets", words)
    return targets


def _find(folder: Path, out: Path) -> tuple[list[str], dict[str, str], dict[str, str]]:
    """The names of the pictures, why some cannot be read, and what else was passed over.

    What runs have written is none of these.
    """

    def theirs(path: Path) -> bool:
        name = path.name
        written = name.endswith(MAP) or name in ("maps.json", "maps.csv")
        return written or _is_drawing(path) or (out != folder and out in path.parents)

    found = [p for p in find_pictures(folder, deep=True) if not theirs(p)]
    if not found:
        raise ArgumentError("folder", f"must hold pictures; {folder} holds only maps")
    others = [*passed_over(folder, deep=True).items(), *_linked_folders(folder)]
    rest = {path: reason for path, reason in others if not theirs(path)}
    unreadable = {
        path: reason
        for path, reason in rest.items()
        if path.suffix.lower() in ENDINGS or reason.startswith("cannot be read")
    }

    def named(paths) -> dict[str, str]:
        return {path.relative_to(folder).as_posix(): reason for path, reason in paths}

    names = sorted(named((path, "") for path in [*found, *unreadable]))
    plain = [item for item in rest.items() if item[0] not in unreadable]
    return names, named(unreadable.items()), named(plain)


def _linked_folders(folder: Path) -> Iterator[tuple[Path, str]]:
    """Links to folders, which are not followed: they may lead in a circle."""
    for path, folders, _ in os.walk(folder):
        folders[:] = [name for name in folders if name[0] != "."]
        links = [Path(path, name) for name in folders if Path(path, name).is_symlink()]
        yield from ((link, "is a link to a folder") for link in links)


def _is_drawing(path: Path) -> bool:
    """Whether a picture is a map that was drawn: the map, or its picture, is beside it."""
    name = path.name.removesuffix(PICTURE)
    beside = (path.with_name(name), path.with_name(f"{name}{MAP}"))
    return name != path.name and any(other.exists() for other in beside)


def _orphaned(out: Path, names: Sequence[str]) -> list[str]:
    """The pictures of the maps in `out` that are not among the `names`."""
    maps = (path.relative_to(out).as_posix() for path in out.rglob(f"*{MAP}"))
    return sorted({name.removesuffix(MAP) for name in maps} - set(names))
