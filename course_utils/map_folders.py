r"""A saliency map for every picture of a folder, in one go.

From the command line, in one process or in several:

    python -m course_utils.map_folders photos --method vanilla
    torchrun --nproc-per-node=4 -m course_utils.map_folders photos --method vanilla

Beside each picture, or in a folder of your choice with the same folders inside, lies then
``picture.jpg.map.npz``; ``maps.json`` holds the settings, ``maps.csv`` a line a picture:

    >>> saved = np.load("photos/cat.jpg.map.npz")
    >>> saved["map"].shape, saved["target"], saved["score"], saved["probability"]

Three rules make a run that can be stopped at any moment, and goes on where it was:

1. *A file appears whole or not at all.* It is written under another name in the same
   folder, and then renamed, which is one step. So a map that is there is finished.
2. *What is missing is found by name*, never by counting.
3. *A batch is made of the same pictures, however often the run is stopped and over however
   many processes it is spread.* Which pictures are together in a batch changes a map in its
   last digits; the batches are therefore fixed once, in ``maps.json``. For the same reason
   each process computes with one thread; more processes, not more threads, use more cores.

On one kind of processor the files are thus the same byte for byte, by whatever way they
came about; between processors, and on a GPU, they agree up to rounding.
"""

import argparse
import csv
import importlib
import io
import json
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np
import torch
import torch.distributed as dist
from PIL import Image
from torch import Tensor, nn

from .figures import save_map
from .images import IMAGENET_MEAN, IMAGENET_STD, find_pictures, preprocess
from .methods import METHODS, find_method
from .models import Unit, class_name, class_names, fingerprint, load_model
from .targets import Targets, read_answer

try:
    import fcntl
except ImportError:  # Windows: two runs in one folder are not kept apart there
    fcntl = None

MAP, PICTURE = ".map.npz", ".map.png"  # appended to the name of a picture
RECORD, TABLE = "maps.json", "maps.csv"
COLUMNS = ("picture", "target", "name", "score", "probability")
PATIENCE = timedelta(days=30)  # of a process that has done its share for the others

Method = Callable[[nn.Module, Tensor, Targets], Tensor]
Progress = Callable[[int, int], object]


@dataclass(frozen=True)
class FolderRun:
    """What `map_folder` did.

    Attributes:
        out: the folder of the maps.
        names: of all pictures, relative to their folder, in order.
        written: how many maps this call made.
        kept: how many were there before.
        skipped: picture → why it could not be read.
        blank: pictures whose map, made by this call, is zero everywhere or not finite.
        stopped: whether `progress` ended it early.
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
    method: str | Method = "vanilla",
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
    threads: int = 1,
) -> FolderRun:
    """Compute and save the map of every picture of a folder and the folders inside it.

    Stopped at any moment, by an interrupt, an error or a power cut, it goes on with the
    maps that are missing when it is called again. Pictures that have joined the folder
    are added; one that cannot be read is skipped, and tried again next time. Where
    `torch.distributed` is initialised, the processes share the work, and each returns the
    summary of all.

    Args:
        folder: of pictures.
        model: a classifier, on the device at hand.
        method: a key of `METHODS`, or how it begins; or a function
            ``method(model, images, targets)`` → (N, H, W) or (N, 3, H, W).
        out: folder of the maps, made where there is none; beside the pictures unless given.
        batch: how many pictures go through together.
        targets: None (the top class of each picture), a class, a `Unit` or a function of
            the outputs (functions, here and as `method`, are known again by name only).
        progress: called with (done, all) after each batch, in pictures whose maps this
            process still had to make; False from it stops after that batch.
        size, mean, std, fit: of `preprocess`.
        names: of the classes, for the table.
        png: also draw each map, as ``picture.jpg.map.png``.
        limit: the value in the strongest colour of these drawings, the same for all; each
            map's own (see `map_limits`) unless given.
        threads: with which a process computes.

    Raises:
        ValueError: no pictures, a bad argument, or a folder that holds maps made with
            other settings.
        RuntimeError: a run that is at work in the same folder, or a network that fails.
        OSError: a file that cannot be written.

    Example:
        >>> map_folder("photos", load_model(), out="maps", progress=print)
        (3, 3)
        FolderRun(3 of 3 maps: 3 made, 0 kept)
    """
    start = time.perf_counter()
    folder = Path(folder).expanduser()
    out = folder if out is None else Path(out).expanduser()
    explain, title = _method(method)
    prepare = partial(preprocess, size=size, mean=mean, std=std, fit=fit)
    prepare(Image.new("RGB", (8, 8)))  # a bad size or std is no fault of the pictures
    settings = {
        "method": title,
        "targets": _targets_text(targets),
        "network": type(model).__name__,
        "weights": fingerprint(model),
        "batch": _whole(batch, "batch"),
        "size": size,
        "mean": [float(value) for value in mean],
        "std": [float(value) for value in std],
        "fit": fit,
        "png": png,
        "limit": limit,
        "threads": _whole(threads, "threads"),
    }
    endings = (MAP, PICTURE) if png else (MAP,)
    job = _Job(folder, out, model, explain, targets, prepare, endings, limit)
    rank, count = _processes()
    with ExitStack() as stack:

        def plan() -> tuple[list[list[str]], list[list[str]]]:
            found = _pictures(folder, out)
            out.mkdir(parents=True, exist_ok=True)
            stack.enter_context(_alone_in(out))
            _clean(out)
            batches = _batches(out, settings, found)
            return batches, [pictures for pictures in batches if job.missing(pictures)]

        batches, work = _of_the_first(plan)
        with _threads(threads):
            shares = _gather(_work_off(job, work[rank::count], progress))
        if rank == 0:
            _write_table(out, batches, names)
    everything = [name for pictures in batches for name in pictures]
    written = sum(share.written for share in shares)
    return FolderRun(
        out,
        everything,
        written,
        len(everything) - len(job.missing(everything)) - written,
        {name: why for share in shares for name, why in share.skipped.items()},
        sorted(name for share in shares for name in share.blank),
        any(share.stopped for share in shares),
        time.perf_counter() - start,
    )


# -- what is to be done ----------------------------------------------------------------


def _whole(value: int, name: str) -> int:
    if not isinstance(value, int) or value < 1:
        raise ValueError(f"{name}: wants a whole number from 1, not {value!r}")
    return value


def _method(method: str | Method) -> tuple[Method, str]:
    """The function of a method, and what it is called in the settings."""
    if isinstance(method, str):
        method = find_method(method)
        return method, method.name
    if not callable(method):
        raise TypeError(
            f"method: wants a name or a function (model, images, targets) → maps, "
            f"not {type(method).__name__}"
        )
    inner = getattr(method, "func", method)  # of a functools.partial
    return method, getattr(inner, "__qualname__", type(method).__name__)


def _targets_text(targets) -> str:
    if targets is None:
        return "top class"
    if isinstance(targets, int) and not isinstance(targets, bool):
        return f"class {targets}"
    if isinstance(targets, Unit):
        place = "" if targets.position is None else " at {}, {}".format(*targets.position)
        return f"unit {targets.layer} {targets.channel}{place}"
    if callable(targets):
        return f"function {getattr(targets, '__qualname__', type(targets).__name__)}"
    raise TypeError(
        "targets: wants None, one class for all pictures, a Unit or a function of the "
        f"outputs, not {type(targets).__name__}"
    )


def _pictures(folder: Path, out: Path) -> list[str]:
    """The names of the pictures; maps that were drawn into the same folder are none."""
    inside = out.resolve() if out.resolve() != folder.resolve() else None
    found = [
        path.relative_to(folder).as_posix()
        for path in find_pictures(folder, deep=True)
        if not path.name.endswith(PICTURE)
        and (inside is None or inside not in path.resolve().parents)
    ]
    if not found:
        raise ValueError(f"folder: {folder} holds no pictures, only maps")
    return found


def _batches(out: Path, settings: dict, found: list[str]) -> list[list[str]]:
    """Who goes through with whom: as at the first run, new pictures in new batches."""
    record, batches = out / RECORD, []
    if record.exists():
        try:
            old = json.loads(record.read_text(encoding="utf-8"))
            batches, before = old["batches"], old["settings"]
            paths = [PurePosixPath(name) for pictures in batches for name in pictures]
            if any(path.is_absolute() or ".." in path.parts for path in paths):
                raise ValueError("a name leads out of the folder")
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"out: {record} is no record of such a run") from error
        other = [key for key in settings if before.get(key) != settings[key]]
        made = any(
            (out / f"{name}{MAP}").exists() for pictures in batches for name in pictures
        )
        if other and made:
            changes = (f"{k} {before.get(k)!r}, now {settings[k]!r}" for k in other)
            raise ValueError(
                f"out: {out} holds maps made with other settings ({'; '.join(changes)}); "
                "go on with those, or choose another folder"
            )
        if other:  # of a run that ended before its first map
            batches = []
    known = {name for pictures in batches for name in pictures}
    new = [name for name in found if name not in known]
    if new or not batches:
        size = settings["batch"]
        batches += [new[i : i + size] for i in range(0, len(new), size)]
        text = json.dumps({"settings": settings, "batches": batches}, indent=1)
        _write(record, (text + "\n").encode())
    return batches


def _clean(out: Path) -> None:
    """Remove what a killed run was just writing."""
    for draft in out.rglob(".*.draft"):
        if draft.name.removesuffix(".draft").endswith((MAP, PICTURE, RECORD, TABLE)):
            draft.unlink(missing_ok=True)


@contextmanager
def _alone_in(out: Path) -> Iterator[None]:
    """Hold the folder; the system lets it go when the process ends, however it ends."""
    if fcntl is None:
        yield
        return
    handle = os.open(out, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RuntimeError(
                f"out: another run is at work in {out}; stop it, or wait for it"
            ) from None
        except OSError:  # a file system without locks
            pass
        yield
    finally:
        os.close(handle)


# -- doing it --------------------------------------------------------------------------


@dataclass
class _Share:
    """What one process has done."""

    written: int = 0
    skipped: dict[str, str] = field(default_factory=dict)
    blank: list[str] = field(default_factory=list)
    stopped: bool = False


@dataclass(frozen=True)
class _Job:
    """What is the same for all batches."""

    folder: Path
    out: Path
    model: nn.Module
    method: Method
    targets: Targets
    prepare: Callable[[Path], Tensor]
    endings: Sequence[str]
    limit: float | None

    def missing(self, names: Sequence[str]) -> list[str]:
        """The pictures that lack one of their files."""
        return [
            name
            for name in names
            if not all((self.out / f"{name}{ending}").exists() for ending in self.endings)
        ]

    def read(self, names: Sequence[str]) -> tuple[dict[str, Tensor], dict[str, str]]:
        """The pictures that can be read, (1, 3, size, size), and why the others cannot."""
        images, unreadable = {}, {}
        for name in names:
            try:
                images[name] = self.prepare(self.folder / name)
            except (OSError, ValueError) as error:
                unreadable[name] = str(error).removeprefix("images: ")
        return images, unreadable

    def explain(self, images: dict[str, Tensor]) -> dict[str, dict[str, np.ndarray]]:
        """For each picture its map, and what it explains: class, score, probability."""
        device = next((p.device for p in self.model.parameters()), None)
        batch = torch.cat(list(images.values())).to(device)
        scores, classes, outputs = read_answer(self.model, batch, self.targets)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # the summary names blank maps
            asked = self.targets if classes is None else classes
            maps = self.method(self.model, batch, asked)
        if not isinstance(maps, Tensor) or len(maps) != len(batch):
            came = tuple(maps.shape) if isinstance(maps, Tensor) else type(maps).__name__
            raise ValueError(
                f"method: wants to give a map for each of {len(batch)} pictures, not {came}"
            )
        if classes is None:
            shares = torch.full_like(scores, torch.nan)
            classes = torch.full_like(scores, -1, dtype=torch.long)
        else:
            shares = outputs.softmax(dim=1).gather(1, classes[:, None])[:, 0]
        parts = {"map": maps, "target": classes, "score": scores, "probability": shares}
        arrays = {key: values.detach().cpu().numpy() for key, values in parts.items()}
        return {
            name: {key: values[number] for key, values in arrays.items()}
            for number, name in enumerate(images)
        }


def _work_off(job: _Job, batches: Sequence[list[str]], progress: Progress | None) -> _Share:
    """Make the maps that these batches lack; each batch is computed whole."""
    share, done, total = _Share(), 0, sum(map(len, batches))
    for pictures in batches:
        images, unreadable = job.read(pictures)
        share.skipped |= unreadable
        todo = [name for name in job.missing(pictures) if name in images]
        if todo:
            made = job.explain(images)
            for name in todo:
                _write_map(job.out / name, made[name], job.endings, job.limit)
            share.blank += [name for name in todo if _is_blank(made[name]["map"])]
        share.written, done = share.written + len(todo), done + len(pictures)
        if progress is not None and progress(done, total) is False:
            share.stopped = True
            break
    return share


def _is_blank(values: np.ndarray) -> bool:
    return not (np.isfinite(values).all() and values.any())


def _write_map(picture: Path, saved: dict, endings: Sequence[str], limit) -> None:
    """Write those of a picture's files that are missing."""
    picture.parent.mkdir(parents=True, exist_ok=True)
    for ending in endings:
        path = picture.with_name(f"{picture.name}{ending}")
        if path.exists():
            continue
        if ending == PICTURE:
            save_map(np.nan_to_num(saved["map"]), path, "inferno", limit)
        else:
            file = io.BytesIO()
            np.savez(file, **saved)
            _write(path, file.getvalue())


def _write(path: Path, data: bytes) -> None:
    """Write a file whole or not at all, also if the power fails."""
    draft = path.with_name(f".{path.name}.draft")
    try:
        with draft.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        raise type(error)(f"out: {path} cannot be written ({error})") from error
    finally:
        draft.unlink(missing_ok=True)


def _write_table(out: Path, batches: list[list[str]], names) -> None:
    """``maps.csv``: what each map explains, read from the maps that there are."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for picture in sorted(name for pictures in batches for name in pictures):
        path = out / f"{picture}{MAP}"
        if path.exists():
            with np.load(path) as saved:
                target, score = int(saved["target"]), float(saved["score"])
                share = float(saved["probability"])
            name = class_name(target, names) if names is not None and target >= 0 else ""
            number = target if target >= 0 else ""
            share = f"{share:.4f}" if share == share else ""
            table.writerow([picture, number, name, f"{score:.4f}", share])
    _write(out / TABLE, text.getvalue().encode())


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


# -- several processes -----------------------------------------------------------------


def _processes() -> tuple[int, int]:
    """Which process this is, and of how many."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def _of_the_first(make: Callable):
    """What `make()` gives, or raises, in the first process: in all of them."""
    rank, count = _processes()
    if count == 1:
        return make()
    box = [None]
    if rank == 0:
        try:
            box = [make()]
        except Exception as error:
            box = [error]
    dist.broadcast_object_list(box)
    if isinstance(box[0], Exception):
        raise box[0]
    return box[0]


def _gather(value) -> list:
    """The value of each process, in all of them; waits until all have one."""
    _, count = _processes()
    if count == 1:
        return [value]
    values = [None] * count
    dist.all_gather_object(values, value)
    return values


def _wait() -> None:
    if _processes()[1] > 1:
        dist.barrier()


@contextmanager
def _launched() -> Iterator[tuple[int, int]]:
    """Join the processes that torchrun has started, if it has; yields rank and count."""
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        dist.init_process_group("gloo", timeout=PATIENCE)
    try:
        yield _processes()
    finally:
        if _processes()[1] > 1:
            dist.destroy_process_group()


# -- command line ----------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line and map a folder; the exit code is 0 if all is done."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what torchrun sends
    rank = int(os.environ.get("RANK", 0))

    def say(words: str) -> None:
        if rank == 0:
            print(words, file=sys.stderr, flush=True)

    try:
        with _launched() as (_, count):
            if rank:
                _wait()  # the first process downloads, the others find it there
            model = _network(options.network, options.weights, _device(options.device))
            if not rank:
                _wait()
            run = map_folder(
                options.folder,
                model,
                options.method,
                options.out,
                options.batch,
                _target(options),
                _Report(say, count),
                size=options.size,
                mean=options.mean,
                std=options.std,
                fit=options.fit,
                names=_class_names(options),
                png=options.png,
                limit=options.limit,
            )
    except KeyboardInterrupt:
        say("\nStopped. The maps so far are kept; the same command goes on from there.")
        return 130
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        say(f"\n{error}")
        return 2
    for name, reason in run.skipped.items():
        say(f"unreadable: {name} ({reason})")
    for name in run.blank:
        say(f"blank: {name} (its map is zero everywhere, or not finite)")
    say(f"{run!r}\nin {run.out}, {run.seconds:.1f} s")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m course_utils.map_folders",
        description="A saliency map for every picture of a folder: PICTURE.map.npz, and "
        "maps.csv with what each explains. When stopped, the same command goes on.",
        epilog="More cores: torchrun --nproc-per-node=4 -m course_utils.map_folders … "
        "gives the same files. Exit code: 0 done, 2 a mistake, 130 stopped.",
    )
    add = parser.add_argument
    add("folder", help="of pictures, with the folders inside it")
    add("--method", default="vanilla", help=f"{', '.join(METHODS)} (default: vanilla)")
    add("--out", help="folder of the maps (default: beside the pictures)")
    add(
        "--network",
        default="squeezenet1_1",
        help="of torchvision, or MODULE:NAME of your own Python file, a function or class "
        "that gives a torch.nn.Module (default: squeezenet1_1, bundled)",
    )
    add("--weights", help="bundled, torchvision, random, or the path of a checkpoint")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--target", type=int, help="a class (default: each top class)")
    what.add_argument("--unit", nargs=2, metavar=("LAYER", "CHANNEL"), help="a hidden unit")
    add("--names", help="text file of the class names, one a line, for maps.csv")
    add("--batch", type=int, default=16, help="pictures at once (default: 16)")
    add("--size", type=int, default=224, help="side in pixels (default: 224)")
    add("--fit", choices=("crop", "stretch"), default="crop", help="(default: crop)")
    for key, value in {"mean": IMAGENET_MEAN, "std": IMAGENET_STD}.items():
        add(
            f"--{key}",
            nargs=3,
            type=float,
            default=value,
            metavar=("R", "G", "B"),
            help="of the colours in 0 to 1 (default: ImageNet's)",
        )
    add("--png", action="store_true", help="also draw each map, PICTURE.map.png")
    add("--limit", type=float, help="value of the strongest colour, the same in all PNGs")
    add("--device", help="cpu, cuda, mps … (default: a GPU if there is one)")
    return parser


def _network(name: str, weights: str | None, device: str) -> nn.Module:
    """A network of torchvision by name, or the learner's own by MODULE:NAME."""
    if ":" not in name:
        return load_model(name, weights, device)
    module, _, attribute = name.partition(":")
    sys.path.insert(0, str(Path.cwd()))
    try:
        model = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"network: {name!r} cannot be imported ({error})") from error
    model = model if isinstance(model, nn.Module) else model()
    if weights is not None:
        return load_model(model, weights, device)
    return model.eval().requires_grad_(False).to(device)


def _device(wanted: str | None) -> str:
    if wanted is not None:
        return wanted
    if torch.cuda.is_available():
        local = int(os.environ.get("LOCAL_RANK", 0))
        return f"cuda:{local % torch.cuda.device_count()}"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _target(options: argparse.Namespace) -> int | Unit | None:
    if options.unit is None:
        return options.target
    layer, channel = options.unit
    if not channel.isdecimal():
        raise ValueError(f"unit: wants a layer and a channel's number, not {channel!r}")
    return Unit(layer, int(channel))


def _class_names(options: argparse.Namespace) -> Sequence[str] | None:
    """Of the file that was named; ImageNet's for torchvision's own weights."""
    if options.names is not None:
        return Path(options.names).expanduser().read_text(encoding="utf-8").splitlines()
    known = options.weights in (None, "bundled", "torchvision")
    return class_names() if known and ":" not in options.network else None


class _Report:
    """Says how far it is: on one line of a terminal, else every ten seconds."""

    def __init__(self, say: Callable[[str], None], count: int):
        self.say, self.count = say, count
        self.begun = self.said = time.perf_counter()
        self.over = "\x1b[1A\x1b[2K" if sys.stderr.isatty() else ""  # the line above
        self.lines = 0

    def __call__(self, done: int, total: int) -> None:
        now = time.perf_counter()
        speed = done / max(now - self.begun, 1e-9)
        if done < total and now - self.said < (0.2 if self.over else 10):
            return
        whose = f" of the first of {self.count} processes" if self.count > 1 else ""
        left = f"{(total - done) / speed:.0f} s left" if done < total else "done"
        words = f"{done} of {total} pictures{whose}, {speed:.1f} a second, {left}"
        self.say(self.over * bool(self.lines) + words)
        self.said, self.lines = now, self.lines + 1


if __name__ == "__main__":
    sys.exit(main())
