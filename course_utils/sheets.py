r"""One sheet: pictures × methods, side by side, with what the network says and the time.

A sheet asks one question (a class, a hidden unit, a score of one's own) of several methods
and several pictures. Its maps can only be compared on a scale that is stated:

``"own"``
    each map ends at its own limit, which stands below it: a weak map looks as strong as a
    strong one. The least that one can do for methods whose units differ.
``"method"``
    one limit for all maps of a method: brightness can be compared between pictures.
``"rank"``
    each pixel's rank within its map, from 0 (the weakest) to 1: comparable between methods
    too, for the price of all absolute strength.

A sheet is saved as a picture and a file of settings, which `repeat_sheet` reads again.
"""

import json
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image
from scipy.stats import rankdata
from torch import Tensor, nn

from .figures import (
    describe,
    map_limits,
    plot_panels,
    range_text,
    to_array,
    to_png,
)
from .images import IMAGENET_MEAN, IMAGENET_STD, deprocess, preprocess
from .methods import METHODS, find_method
from .models import Unit, class_name, fingerprint, load_model
from .targets import Targets, read_answer

SCALES = ("own", "method", "rank")
COURSE = tuple(name for name, method in METHODS.items() if not method.baseline)

LONGEST = 22  # letters below a panel

Progress = Callable[[float, int, "Sheet"], object]


class _Stopped(Exception):  # noqa: N818 - not an error: the way out of a method
    """Raised within a method's progress when the sheet was asked to stop."""


@dataclass(frozen=True)
class Answer:
    """What the network says of one picture.

    Attributes:
        top, top_share: its top class and that one's probability; None without classes.
        target: the class that is explained; None for a unit or a function.
        score: that is explained.
        share: the probability of `target`; None where there is no such class.
    """

    top: int | None
    top_share: float | None
    target: int | None
    score: float
    share: float | None


@dataclass(frozen=True, repr=False, eq=False)
class Sheet:
    """What `compare_methods` found.

    Attributes:
        titles: of the N pictures.
        pictures: as the network saw them, N PIL images.
        answers: one `Answer` a picture.
        methods: keys of `METHODS`, in the order of the columns.
        maps: (method, number of the picture) → its map, (H, W) or (3, H, W).
        seconds: the same keys → how long that map took.
        settings: what `repeat_sheet` needs, apart from the pictures.
        model: that was explained.
        targets: as they were given.
        names: of the classes; None for ImageNet's.
        stopped: whether it was stopped before all maps were there.
        under_way: the map that is being computed, and which share of it is done.
    """

    titles: list[str]
    pictures: list[Image.Image]
    answers: list[Answer]
    methods: tuple[str, ...]
    settings: dict
    model: nn.Module
    targets: Targets
    names: Sequence[str] | None = None
    maps: Mapping[tuple[str, int], Tensor] = field(default_factory=dict)
    seconds: Mapping[tuple[str, int], float] = field(default_factory=dict)
    stopped: bool = False
    under_way: tuple[tuple[str, int], float] | None = None

    def __repr__(self) -> str:
        words = f"{len(self.pictures)} pictures × {len(self.methods)} methods"
        words += f", {len(self.maps)} maps, scale {self.settings['scale']}"
        return f"Sheet({words}{', stopped' if self.stopped else ''})"

    def figure(self, times: bool = True) -> Figure:
        """The sheet drawn: a picture, then its maps; one picture wraps to a second row.

        Args:
            times: also state the seconds that each map took.
        """
        limits = self._limits()
        panels = []
        for number, picture in enumerate(self.pictures):
            below = {"below": self.sentence(number, short=True)}
            panels.append((np.asarray(picture), self.titles[number], below))
            panels += [self._panel(key, number, limits, times) for key in self.methods]
        columns = 1 + len(self.methods)
        if len(self.pictures) == 1 and columns > 5:
            columns = -(-columns // 2)
        return plot_panels(panels, columns=columns)

    def words(self) -> str:
        """The sheet in words, without the times, which differ from run to run."""
        return describe(self.figure(times=False))

    def sentence(self, number: int = 0, short: bool = False) -> str:
        """What the network says of a picture, and what of it is explained."""
        answer = self.answers[number]
        top = "" if answer.top is None else self._class(answer.top, answer.top_share)
        if answer.target == answer.top and answer.top is not None:
            return shorten(top, LONGEST) if short else f"{top}, score {answer.score:.1f}"
        if answer.target is not None:
            what = self._class(answer.target, answer.share)
        else:
            what = self.settings["target"]["words"]
        if short:
            lines = [what, f"top: {top}" if top else ""]
            return "\n".join(shorten(line, LONGEST) for line in lines if line)
        return f"asked: {what}, score {answer.score:.3g}" + (f"; top: {top}" if top else "")

    def save(self, folder: str | Path, name: str = "sheet") -> Path:
        """Write the sheet, ``name.png``, its settings, ``name.json``, and its pictures.

        The pictures, ``name-1.png`` and so on, are those that the network saw. Each file
        appears whole or not at all, the settings last.

        Args:
            folder: made where there is none.
            name: of the files, without an ending.

        Returns:
            The path of the settings, which `repeat_sheet` takes.

        Raises:
            ValueError: a name that holds a folder, or none.
            OSError: the folder or a file cannot be written; the sentence says where.
        """
        folder = Path(folder).expanduser()
        if not _is_plain(name):
            raise ValueError(f"name: wants a plain name such as sheet, not {name!r}")
        files = [f"{name}-{number}.png" for number in range(1, len(self.pictures) + 1)]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for file, picture in zip(files, self.pictures, strict=True):
                _replace(folder / file, lambda draft, p=picture: p.save(draft, "PNG"))
            png = to_png(self.figure())
            _replace(folder / f"{name}.png", lambda draft: draft.write_bytes(png))
            record = json.dumps(self._record(files), indent=1) + "\n"
            path = folder / f"{name}.json"
            _replace(path, lambda draft: draft.write_text(record, encoding="utf-8"))
        except OSError as error:
            raise type(error)(f"folder: {folder} cannot be written ({error})") from error
        return path

    def _record(self, files: Sequence[str]) -> dict:
        results = [
            {
                "picture": file,
                "title": title,
                "answer": vars(answer),
                "seconds": {
                    key: round(self.seconds[key, number], 4)
                    for key in self.methods
                    if (key, number) in self.seconds
                },
            }
            for number, (file, title, answer) in enumerate(
                zip(files, self.titles, self.answers, strict=True)
            )
        ]
        network = {"class": type(self.model).__name__, "weights": fingerprint(self.model)}
        names = None if self.names is None else list(self.names)
        return self.settings | {
            "methods": list(self.methods),
            "network": network,
            "names": names,
            "results": results,
        }

    def _class(self, index: int, share: float) -> str:
        return f"{class_name(index, self.names)} {share:.1%}"

    def _limits(self) -> dict[tuple[str, int], float]:
        """The value in the strongest colour of each map."""
        limits = {}
        for method in self.methods:
            keys = [key for key in self.maps if key[0] == method]
            scale = "shared" if self.settings["scale"] == "method" else "each"
            sizes = [_size(self.maps[key]) for key in keys]
            limits |= zip(keys, map_limits(sizes, scale) if keys else [], strict=True)
        return limits

    def _panel(self, method: str, number: int, limits: dict, times: bool) -> tuple:
        label, key = METHODS[method].label, (method, number)
        if key not in self.maps:
            at_it = self.under_way is not None and self.under_way[0] == key
            words = f"{self.under_way[1]:.0%}" if at_it else "…"
            return partial(_wait_for, words=words), label, {}
        values, limit = self.maps[key], limits[key]
        if self.settings["scale"] == "rank":
            style = {"cmap": "inferno", "vmin": 0, "vmax": 1, "below": "rank, 0 to 1"}
            panel = (ranks(METHODS[method].importance(values[None])[0]), label, style)
        elif self.settings["signed"]:
            panel = METHODS[method].panel(values, limit=limit)
        else:
            below = range_text(limit)
            style = {"cmap": "inferno", "vmin": 0, "vmax": limit, "below": below}
            panel = (_size(values), label, style)
        if not values.any():
            panel[2]["below"] = "zero everywhere"
        if times:
            panel[2]["below"] += f"\n{_seconds(self.seconds[key])}"
        return panel


def compare_methods(
    model: nn.Module,
    pictures,
    methods: Sequence[str] | str = COURSE,
    targets: Targets = None,
    progress: Progress | None = None,
    *,
    scale: str = "own",
    signed: bool = False,
    titles: Sequence[str] | None = None,
    names: Sequence[str] | None = None,
    size: int = 224,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    fit: str = "crop",
) -> Sheet:
    """Explain one or more pictures by several methods, and time each.

    Args:
        model: a classifier, (N, 3, H, W) → (N, classes).
        pictures: one, or a list; each whatever `load_image` takes (a path, a URL …).
        methods: keys of `METHODS` (or how they begin); all but the baselines unless given.
        targets: None (each picture's top class), a class, one class a picture, a `Unit` or
            a function of the outputs.
        progress: called as ``progress(done, all, sheet)``, in maps; `done` has a fraction
            within a long method, `sheet` holds what there is. False from it stops.
        scale: ``"own"``, ``"method"`` or ``"rank"``, see above.
        signed: draw signed maps with their signs, zero in the middle of the colours; else
            their absolute values, the largest of the three colours.
        titles: of the pictures; their file names unless given.
        names: of the classes; ImageNet's unless given.
        size, mean, std, fit: of `preprocess`.

    Returns:
        A `Sheet`; draw it with its `figure()`, keep it with its `save()`.

    Raises:
        ValueError, TypeError, RuntimeError: whatever does not fit, in one sentence.

    Example:
        >>> sheet = compare_methods(load_model(), "cat.jpg", ["vanilla", "guided"])
        >>> sheet
        Sheet(1 pictures × 2 methods, 2 maps, scale own)
    """
    methods = _known([methods] if isinstance(methods, str) else methods)
    if scale not in SCALES:
        raise ValueError(f"scale: wants one of {', '.join(SCALES)}, not {scale!r}")
    pictures = list(pictures) if isinstance(pictures, (list, tuple)) else [pictures]
    titles = [_title(p, k) for k, p in enumerate(pictures)] if titles is None else titles
    if len(titles) != len(pictures):
        raise ValueError(
            f"titles: {len(pictures)} pictures want as many, not {len(titles)}"
        )
    statistics = {"mean": mean, "std": std}
    images = preprocess(pictures, size=size, fit=fit, **statistics)
    seen = deprocess(images, **statistics)
    images = images.to(next((p.device for p in model.parameters()), None))
    answers, wanted = _answers(model, images, targets)
    settings = {
        "target": _target_record(targets),
        "scale": scale,
        "signed": signed,
        "size": size,
        "fit": fit,
        "mean": [float(value) for value in mean],
        "std": [float(value) for value in std],
    }
    sheet = Sheet(list(titles), seen, answers, methods, settings, model, targets, names)
    return _fill(sheet, images, wanted, progress)


def _fill(sheet: Sheet, images: Tensor, wanted: list, progress: Progress | None) -> Sheet:
    """The sheet with its maps, cheap methods of all pictures before dear ones."""
    maps, seconds = {}, {}
    jobs = [(m, n) for m in sheet.methods for n in range(len(images))]

    def report(done: int, share: float = 0.0) -> None:
        at_work = (jobs[done], share) if done < len(jobs) else None
        if progress is not None:
            now = replace(sheet, maps=dict(maps), seconds=dict(seconds), under_way=at_work)
            if progress(done + share, len(jobs), now) is False and done < len(jobs):
                raise _Stopped

    stopped = False
    try:
        report(0)
        for done, (method, number) in enumerate(jobs):
            start = time.perf_counter()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # the panel says it
                map_ = METHODS[method](
                    sheet.model,
                    images[number : number + 1],
                    wanted[number],
                    progress=lambda step, steps, done=done: report(done, step / steps),
                )[0]
            seconds[method, number] = time.perf_counter() - start
            maps[method, number] = map_.detach().cpu()
            report(done + 1)
    except _Stopped:
        stopped = True
    return replace(sheet, maps=maps, seconds=seconds, stopped=stopped)


def repeat_sheet(
    path: str | Path,
    model: nn.Module | None = None,
    targets: Callable[[Tensor], Tensor] | None = None,
    progress: Progress | None = None,
) -> Sheet:
    """Compute a saved sheet anew, from its settings and its pictures.

    Args:
        path: of the ``.json`` that `Sheet.save` has written.
        model: the network of the sheet; the bundled one unless given.
        targets: the function that was explained, if it was one: no file can hold it.
        progress: as for `compare_methods`.

    Raises:
        ValueError: no such settings, or another network than the sheet's.
        FileNotFoundError: the settings, or a picture of theirs, are gone.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"path: there is no file {path}")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        results, network = record["results"], record["network"]
        target = _read_target(record["target"], targets)
        keys = ("scale", "signed", "names", "size", "mean", "std", "fit")
        settings = {key: record[key] for key in keys}
        methods = record["methods"]
        names = [result["picture"] for result in results]
        if not all(map(_is_plain, names)):
            raise KeyError(names)  # beside the settings, and nowhere else
        files = [path.with_name(name) for name in names]
        titles = [result["title"] for result in results]
    except (KeyError, TypeError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"path: {path.name} holds no settings of a sheet") from error
    model = load_model() if model is None else model
    weights = fingerprint(model)
    if weights != network["weights"]:
        raise ValueError(
            f"model: the sheet was made with {network['class']} (weights "
            f"{network['weights']}); this is {type(model).__name__} ({weights})"
        )
    return compare_methods(
        model, files, methods, target, progress, titles=titles, **settings
    )


def ranks(values) -> np.ndarray:
    """Each pixel's rank within its map as a share, 1 for the largest; ties share theirs.

    Args:
        values: (H, W), such as a method's `importance`.

    Returns:
        (H, W), from 0 to 1; 0.5 everywhere for a map of one value.

    Example:
        >>> ranks(np.array([[1.0, 5.0], [3.0, 2.0]]))
        array([[0.        , 1.        ],
               [0.66666667, 0.33333333]])
    """
    values = to_array(values)
    return ((rankdata(values) - 1) / max(values.size - 1, 1)).reshape(values.shape)


def shorten(text: str, longest: int) -> str:
    """A text without its middle, if it is too long; its end often holds a number."""
    if len(text) <= longest:
        return text
    tail = text.split()[-1]
    return f"{text[: longest - len(tail) - 2]}… {tail}"


# -- small parts -----------------------------------------------------------------------


def _wait_for(axis, words: str) -> None:
    """An empty panel."""
    axis.set_facecolor("#eeeeee")
    axis.text(0.5, 0.5, words, ha="center", va="center", size=14, color="#555555")


def _known(methods: Sequence[str]) -> tuple[str, ...]:
    methods = tuple(dict.fromkeys(find_method(method).name for method in methods))
    if not methods:
        raise ValueError(f"methods: wants some of {', '.join(METHODS)}, not none")
    return methods


def _size(values) -> np.ndarray:
    """How strong a map is at each pixel, (H, W): without signs, the largest colour."""
    values = np.abs(to_array(values))
    return values.max(axis=0) if values.ndim == 3 else values


def _title(picture, number: int) -> str:
    if isinstance(picture, (str, Path)):
        return Path(str(picture).split("?")[0]).stem.replace("_", " ")
    return f"picture {number + 1}"


def _seconds(value: float) -> str:
    return f"{value:.2f} s" if value < 10 else f"{value:.0f} s"


def _answers(
    model: nn.Module, images: Tensor, targets: Targets
) -> tuple[list[Answer], list[Targets]]:
    """What the network says of each picture, and what to ask of each."""
    scores, classes, outputs = read_answer(model, images, targets)
    shares = None if outputs is None else outputs.softmax(dim=1)
    answers = []
    for number, score in enumerate(scores.tolist()):
        top = None if shares is None else int(shares[number].argmax())
        target = None if classes is None else int(classes[number])
        answers.append(
            Answer(
                top,
                None if top is None else shares[number, top].item(),
                target,
                score,
                None if target is None else shares[number, target].item(),
            )
        )
    wanted = [targets] * len(images) if classes is None else classes.tolist()
    return answers, wanted


def _target_record(targets: Targets) -> dict:
    if targets is None:
        return {"kind": "top class"}
    if isinstance(targets, Unit):
        words = f"{targets.layer}, channel {targets.channel}"
        if targets.position is not None:
            words += " at {}, {}".format(*targets.position)
        return {"kind": "unit", "unit": vars(targets), "words": words}
    if callable(targets):
        name = getattr(targets, "__name__", type(targets).__name__)
        return {"kind": "function", "words": name}
    return {"kind": "class", "class": torch.as_tensor(targets).tolist()}


def _read_target(record: dict, given) -> Targets:
    if record["kind"] == "unit":
        unit = record["unit"]
        place = None if unit["position"] is None else tuple(unit["position"])
        return Unit(unit["layer"], unit["channel"], place)
    if record["kind"] == "function" and given is None:
        raise ValueError(
            f"targets: the sheet explains a function of the outputs, {record['words']}; "
            "give that function"
        )
    return given if record["kind"] == "function" else record.get("class")


def _is_plain(name: str) -> bool:
    """Whether a name is that of a file and leads into no other folder."""
    return Path(name).name == name != "" and name[0] != "." and "\0" not in name


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make a file, which then takes its place in one step."""
    draft = path.with_name(f".{path.name}.draft")
    try:
        write(draft)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
