"""A saliency map for every picture of a folder, in a run that can be stopped at any moment.

Next to each picture, or in a folder of your choice, the run writes ``picture.jpg.map.npz``,
which holds the arrays map, target, score and probability. ``maps.json`` holds the settings,
``maps.csv`` a line for each picture.

Two rules let it go on where it was stopped: *a file is written whole or not at all*, and
*what is missing is found by name*, never by counting. A map counts as missing if its file
is damaged or its picture has changed since.
"""

import csv
import errno
import io
import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from math import nan
from pathlib import Path
from time import perf_counter

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
from ..methods import METHODS, find_method
from ..models import Unit, class_name
from ..targets import Targets, explaining, forward
from .cluster import map_on_cluster
from .settings import function_name, in_words, record_settings, write_json

MAP, PICTURE = ".map.npz", ".map.png"  # appended to the name of a picture
FIRST = 8  # so many failures, and no map yet: the method is to blame, not the pictures


@dataclass(frozen=True)
class FolderRun:
    """What `map_folder` did, in `seconds`.

    Attributes:
        names: of all pictures, relative to their folder.
        written, kept: how many maps this call made, and found.
        skipped: picture → why it has no map.
        blank: pictures whose map, made by this call, is zero everywhere or not finite.
        stopped: whether `progress` stopped it early.
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
        method: a key of `METHODS`, or how it begins; or a function
            ``method(model, images, targets)`` → (N, H, W) or (N, 3, H, W).
        out: folder of the maps, created if necessary; by default beside the pictures.
        batch: how many pictures go through the network together.
        targets: None, one class, a `Unit` or a function (functions, here and as `method`,
            are recorded by name only).
        progress: called after each batch, with numbers of pictures and a `FolderRun`.
        size, mean, std, fit: of `preprocess`.
        names: of the classes, for the table.
        png, limit: also draw each map, as ``picture.jpg.map.png``, with `limit` in the
            strongest colour; by default each map has its own.
        workers: share the batches among so many workers of Ray (see `cluster`).

    Raises:
        ArgumentError: also if `out` holds maps made with other settings.
        RuntimeError: the network or the method fails on all of the first pictures.
        OSError: a file cannot be written.

    Example:
        >>> map_folder("photos", load_model(), out="maps", progress=print)
        3 3 FolderRun(3 of 3 maps: 3 made, 0 kept)
        FolderRun(3 of 3 maps: 3 made, 0 kept)
    """
    start = perf_counter()
    folder = Path(folder).expanduser().absolute()  # workers have folders of their own
    out = folder if out is None else Path(out).expanduser().absolute()
    batch = number("batch", batch, 1, whole=True)
    workers = None if workers is None else number("workers", workers, 1, whole=True)
    limit = None if limit is None else number("limit", limit, 0, above=True)
    inputs = {"size": size, "mean": mean, "std": std, "fit": fit}
    preprocess(Image.new("RGB", (8, 8)), **inputs)  # a bad size is no fault of a picture
    method = find_method(method) if isinstance(method, str) else method
    function("method", method, "(model, images, targets), or the name of a method")
    known = method in METHODS.values()
    called = method.name if known else function_name(getattr(method, "maps", method))
    if not (targets is None or callable(targets) or isinstance(targets, (int, Unit))):
        words = f"must be None, one class, a Unit or a function, got {described(targets)}"
        raise ArgumentError("targets", words)
    found = _find(folder, out)
    settings = {"method": called, "png": png, "limit": limit}
    _record(out, settings | record_settings(model, targets, **inputs))

    draw = partial(save_map, cmap="inferno", limit=limit) if png else None
    explain = partial(_explain, model, method, targets)
    job = Job(folder, out, partial(preprocess, **inputs), explain, draw)
    rows = [row for name in found if (row := job.finished(name))]
    kept = {row["picture"] for row in rows}
    todo = [name for name in found if name not in kept]
    batches = [todo[first : first + batch] for first in range(0, len(todo), batch)]
    if workers is None:
        results = map(job.make, batches)
    else:
        gpus = int(next((p.is_cuda for p in model.parameters()), False))
        results = map_on_cluster(job.make, batches, workers, gpus)
    run, done, failed = FolderRun(out, found, 0, len(kept)), 0, []
    for made in results:
        done += len(made)
        rows += [row for row in made if "reason" not in row]
        failed += [row["reason"] for row in made if "failed" in row]
        if failed and not rows and (len(failed) >= FIRST or done == len(todo)):
            raise RuntimeError(f"{called} fails on every picture: {failed[0]}")
        skipped = {row["picture"]: row["reason"] for row in made if "reason" in row}
        blank = [row["picture"] for row in made if row.get("blank")]
        run = replace(run, skipped=run.skipped | skipped, blank=run.blank + blank)
        run = replace(run, written=len(rows) - len(kept), seconds=perf_counter() - start)
        if not goes_on(progress, done, len(todo), run):
            run = replace(run, stopped=done < len(todo))
            break
    _write_table(out / "maps.csv", rows, names)
    return run


@dataclass(frozen=True)
class Job:
    """How to make a batch; gives each picture a row of the table, or why it has no map."""

    folder: Path
    out: Path
    read: Callable[[Path], Tensor]
    explain: Callable[[Tensor], dict[str, np.ndarray]]
    draw: Callable | None

    def finished(self, name: str) -> dict | None:
        """The row of a map that is there, undamaged and made from this very picture."""
        path = self.out / f"{name}{MAP}"
        try:
            with np.load(path) as saved:
                made = {key: saved[key] for key in saved}  # reading it all finds any damage
            unchanged = made["source"].tolist() == _state(self.folder / name)
            drawn = self.draw is None or path.with_suffix(".png").exists()
            return _row(name, made) if unchanged and drawn else None
        except Exception:  # no file, or damaged in one of many ways
            return None

    def make(self, names: Sequence[str]) -> list[dict]:
        """Make and write the maps of a batch of pictures; no bad one ends the run."""
        rows, read = [], {}
        for name in names:
            path = self.folder / name
            try:
                read[name] = _state(path), self.read(path)
            except Exception as error:
                rows.append({"picture": name, "reason": _reason(error)})
        if not read:
            return rows
        try:
            found = self.explain(torch.cat([image for _, image in read.values()]))
        except Exception as error:
            if isinstance(error, ArgumentError) and error.argument != "images":
                raise  # the call is wrong, not a picture
            if len(names) > 1:  # each picture alone, to find the bad one
                return [row for name in names for row in self.make([name])]
            return [{"picture": names[0], "reason": _reason(error), "failed": True}]
        for index, (name, (state, _)) in enumerate(read.items()):
            saved = {key: values[index] for key, values in found.items()}
            rows.append(self._write(name, saved | {"source": state}))
        return rows

    def _write(self, name: str, saved: dict) -> dict:
        path = self.out / f"{name}{MAP}"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, lambda draft: np.savez(draft, **saved))
            if self.draw is not None:
                self.draw(np.nan_to_num(saved["map"]), path.with_suffix(".png"))
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                return {"picture": name, "reason": "its name is too long for that of a map"}
            raise type(error)(f"{path} cannot be written ({error})") from error
        return _row(name, saved)


def _explain(model: nn.Module, method: Callable, targets: Targets, images: Tensor) -> dict:
    """The maps, and what they explain: class, score, probability.

    The method's own pass tells them, if it has sent these very images through the network.
    """
    images = images.to(next((p.device for p in model.parameters()), None))
    seen = []

    def see(path: str, output, inputs: tuple) -> None:
        if inputs and isinstance(output, Tensor) and output.ndim:
            first = sum(map(len, seen))  # large batches go through in groups
            group = images[first : first + len(output)]
            if torch.equal(inputs[0].to(group), group):
                seen.append(output.detach().clone())

    with explaining(model), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the run lists blank maps
        with watching({"": model}, see, with_inputs=True):
            maps = method(model, images, targets)
        if not isinstance(maps, Tensor) or len(maps) != len(images):
            words = f"must give one map for each of {len(images)} images"
            raise ArgumentError("method", f"{words}, got {described(maps)}")
        known = sum(map(len, seen)) == len(images) and not isinstance(targets, Unit)
        network = (lambda _: torch.cat(seen)) if known else model
        with torch.no_grad():
            scores, classes, outputs = forward(network, images, targets)
    if classes is None:
        classes, shares = torch.full_like(scores, -1).long(), torch.full_like(scores, nan)
    else:
        shares = outputs.softmax(dim=1).gather(1, classes[:, None])[:, 0]
    found = {"map": maps, "target": classes, "score": scores, "probability": shares}
    return {key: values.detach().cpu().numpy() for key, values in found.items()}


def _row(name: str, saved: dict) -> dict:
    """A line of the table; only a class has a probability."""
    values = saved["map"]
    blank = not (np.isfinite(values).all() and values.any())
    row = {"picture": name, "score": f"{saved['score']:.4f}", "blank": blank}
    if saved["target"] < 0:
        return row
    share = f"{saved['probability']:.4f}"
    return row | {"target": int(saved["target"]), "probability": share}


def _reason(error: Exception) -> str:
    return getattr(error, "words", str(error)) or type(error).__name__


def _find(folder: Path, out: Path) -> list[str]:
    """The names of the pictures; maps drawn into the same folder are not among them."""
    found = [
        path.relative_to(folder).as_posix()
        for path in find_pictures(folder, deep=True)
        if not path.name.endswith(PICTURE) and (out == folder or out not in path.parents)
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
    path, settings = out / "maps.json", json.loads(json.dumps(settings))
    before = settings
    if path.exists():
        try:
            before = dict(json.loads(path.read_text(encoding="utf-8"))["settings"])
        except (ValueError, KeyError, TypeError) as error:
            words = f"must not hold another maps.json; {path} is not of such a run"
            raise ArgumentError("out", words) from error
    other = "; ".join(
        f"{key} {in_words(before.get(key))}, now {in_words(value)}"
        for key, value in settings.items()
        if before.get(key) != value
    )
    if other and any(out.rglob(f"*{MAP}")):
        words = f"holds maps made with other settings ({other}); keep those settings"
        raise ArgumentError("out", f"{words}, or choose another folder than {out}")
    out.mkdir(parents=True, exist_ok=True)
    write_json(path, {"settings": settings})


def _write_table(path: Path, rows: list[dict], names: Sequence[str] | None) -> None:
    """``maps.csv``: what each map explains."""
    text, columns = io.StringIO(), ["picture", "target", "name", "score", "probability"]
    table = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    table.writeheader()
    for row in sorted(rows, key=lambda row: row["picture"]):
        if names is not None and "target" in row:
            row = row | {"name": class_name(row["target"], names)}
        table.writerow(row)
    write_whole(path, lambda draft: draft.write_text(text.getvalue(), "utf-8"))
