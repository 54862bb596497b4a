"""One sheet: pictures × methods, side by side, with what the network says and the time.

Its maps can only be compared on a scale that is stated: by ``"own"``, each map ends at its
own limit, so that a weak one looks as strong as a strong one; by ``"method"``, all maps of
a method share one limit, and brightness can be compared between pictures; by ``"rank"``,
each pixel's rank within its map is drawn, from 0 (the weakest) to 1, which can be compared
between methods too, at the price of all absolute strength.
"""

import json
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image
from scipy.stats import rankdata
from torch import Tensor, nn

from .._machinery.arguments import ArgumentError, choice, described, naming, warn
from .._machinery.files import write_whole
from .._machinery.progress import Progress, goes_on
from ..figures import (
    DPI,
    SIGNED,
    describe,
    map_limits,
    map_panel,
    plot_panels,
    to_array,
    to_png,
)
from ..images import deprocess, preprocess
from ..inputs import Inputs, inputs_for, own_inputs
from ..methods import METHODS, find_method
from ..models import load_model
from ..targets import Targets, predict
from .identity import function_name, network_record
from .job import SAID_BY_THE_RUN
from .settings import (
    check_names,
    in_words,
    named_classes,
    path_of,
    read_target,
    record_settings,
    record_target,
    write_json,
    writing,
)

SCALES = ("own", "method", "rank")
COURSE = tuple(name for name, method in METHODS.items() if not method.baseline)
LONGEST = 22  # letters below a panel


@dataclass(frozen=True)
class Answer:
    """What the network says of one picture.

    `score` is explained; `top` and `target`, which is None for a unit or a function, are
    classes with their probabilities, the shares.
    """

    score: float
    top: int | None = None
    top_share: float | None = None
    target: int | None = None
    share: float | None = None


@dataclass(frozen=True, repr=False, eq=False)
class Sheet:
    """What `compare_methods` found.

    Attributes:
        titles, pictures, answers: one per picture; `pictures` as the network saw them.
        settings: what `repeat_sheet` needs, apart from the pictures.
        maps: (method, index of the picture) → its map, (H, W) or (3, H, W).
        seconds: the same keys → how long that map took.
        inputs: how the pictures were prepared, and what the classes are called.
        stopped: whether `progress` stopped it before all maps were there.
        under_way: the key of the map that is being computed, and which share is done.
    """

    titles: list[str]
    pictures: list[Image.Image]
    answers: list[Answer]
    methods: tuple[str, ...]
    settings: dict
    model: nn.Module
    targets: Targets
    inputs: Inputs
    maps: dict[tuple[str, int], Tensor] = field(default_factory=dict)
    seconds: dict[tuple[str, int], float] = field(default_factory=dict)
    stopped: bool = False
    under_way: tuple[tuple[str, int], float] | None = None

    def __repr__(self) -> str:
        words = f"{len(self.pictures)} pictures × {len(self.methods)} methods"
        words += f", {len(self.maps)} maps, scale {self.settings['scale']}"
        return f"Sheet({words}{', stopped' if self.stopped else ''})"

    def figure(self, times: bool = True) -> Figure:
        """The sheet drawn, with the seconds that each map took if `times` is true."""
        panels = []
        for index, picture in enumerate(self.pictures):
            below = {"below": self.sentence(index, short=True)}
            panels.append((np.asarray(picture), self.titles[index], below))
            panels += [self._panel((key, index), times) for key in self.methods]
        columns, size = 1 + len(self.methods), 2.4 if len(self.pictures) > 2 else None
        if len(self.pictures) == 1 and columns > 5:
            columns = -(-columns // 2)  # in two rows
        size = size if columns < 5 else None
        return plot_panels(panels, size, columns)

    def words(self) -> str:
        """The sheet in words, without the times, which differ from run to run."""
        return describe(self.figure(times=False))

    def sentence(self, index: int = 0, short: bool = False) -> str:
        """What the network says of a picture, and which score of it is explained."""
        answer = self.answers[index]
        top = "" if answer.top is None else self._class(answer.top, answer.top_share)
        if answer.target == answer.top and top:
            return shorten(top, LONGEST) if short else f"{top}, score {answer.score:.1f}"
        what = self.settings["target"]["words"]
        if answer.target is not None:
            what = self._class(answer.target, answer.share)
        parts = [what, f"top: {top}"] if top else [what]
        if short:
            return "\n".join(shorten(part, LONGEST) for part in parts)
        return "; ".join([f"asked: {what}, score {answer.score:.3g}", *parts[1:]])

    def save(self, folder: str | Path, name: str = "sheet") -> Path:
        """Write the sheet, ``name.png``, its settings, ``name.json``, and its pictures.

        The pictures, ``name-1.png`` and so on, are as the network saw them. Returns the
        path of the settings; an `OSError` names a folder that cannot be written.
        """
        folder, plain = path_of("folder", folder), isinstance(name, str) and name
        if not plain or Path(name).name != name or name[0] == "." or "\0" in name:
            raise ArgumentError("name", f"must be a plain file name, got {described(name)}")
        results = [
            {"title": title, "answer": vars(answer), "seconds": {}}
            for title, answer in zip(self.titles, self.answers, strict=True)
        ]
        for (method, index), seconds in self.seconds.items():
            results[index]["seconds"][method] = seconds
        record = {"methods": self.methods, "names": self.inputs.names, "results": results}
        record["calls"] = [function_name(METHODS[method]) for method in self.methods]
        png, path = to_png(self.figure(), DPI), folder / f"{name}.json"
        with writing(f"folder {folder}"):
            folder.mkdir(parents=True, exist_ok=True)
            for count, picture in enumerate(self.pictures, 1):
                write_whole(folder / f"{name}-{count}.png", picture.save)
            write_whole(folder / f"{name}.png", lambda draft: draft.write_bytes(png))
        write_json(path, self.settings | record)
        return path

    def _class(self, index: int, share: float) -> str:
        return f"{self.inputs.name(index)} {share:.1%}"

    def _panel(self, key: tuple[str, int], times: bool) -> tuple:
        method, scale = METHODS[key[0]], self.settings["scale"]
        if key not in self.maps:
            at_work = self.under_way is not None and self.under_way[0] == key
            words = f"{self.under_way[1]:.0%}" if at_work else "…"
            return (lambda axis: axis.text(0.5, 0.5, words, ha="center")), method.label, {}
        values = self.maps[key]
        if not values.isfinite().all():
            words = "NaN or infinite"
            return (lambda axis: axis.text(0.5, 0.5, words, ha="center")), method.label, {}
        alike = [k for k in self.maps if k == key or (scale == "method" and k[0] == key[0])]
        finite = [self.maps[k] for k in alike if self.maps[k].isfinite().all()]
        limit = max(map_limits([_strength(map_) for map_ in finite]))
        took = self.seconds[key]
        if scale == "rank":
            panel = map_panel(ranks(method.importance(values[None])[0]), method.label, 1)
            panel[2]["label"] = "rank, 0 to 1"
        elif self.settings["signed"] and (values.ndim == 2 or len(values) in (1, 3)):
            panel = method.panel(values[0] if len(values) == 1 else values, limit=limit)
        else:
            panel = map_panel(_strength(values), method.label, limit)
        label = panel[2]["label"]
        below = [label.split(";")[0] if values.any() else "zero everywhere"]
        below += [f"{took:.{2 if took < 10 else 0}f} s"] if times else []
        panel[2].update(below="\n".join(below), label=label if SIGNED in label else None)
        return panel


def compare_methods(
    model: nn.Module,
    pictures,
    methods: Sequence[str] | str | None = None,
    targets: Targets | str | Sequence[str] = None,
    progress: Progress | None = None,
    *,
    scale: str = "own",
    signed: bool = False,
    titles: Sequence[str] | None = None,
    inputs: Inputs | None = None,
    size: int | tuple[int, int] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    fit: str | None = None,
    names: Sequence[str] | None = None,
) -> Sheet:
    """Explain one or more pictures by several methods, and time each of them.

    Args:
        pictures: one, or a list; each anything that `load_image` takes (a path, a URL …).
        methods: keys of `METHODS` (or how they begin); None for all but the baselines.
        targets: a class may also be given by its name.
        progress: counted in maps; `done` has a fraction within a long method, and
            `so_far` is the sheet with the maps that there are.
        scale: ``"own"``, ``"method"`` or ``"rank"``, see above.
        signed: draw signed maps with their signs; else their absolute values, the largest
            of the colours.
        titles: of the pictures (by default of the files).
        inputs: how the network wants its pictures, and its classes' names; see `Inputs`.
        size, mean, std, fit, names: the same, one by one.

    Example:
        >>> compare_methods(load_model(), "cat.jpg", ["vanilla", "guided"])
        Sheet(1 pictures × 2 methods, 2 maps, scale own)
    """
    methods = _methods(COURSE if methods is None else methods)
    choice("scale", scale, SCALES)
    changes = {"size": size, "mean": mean, "std": std, "fit": fit, "names": names}
    inputs = inputs_for(model, inputs, **changes)
    targets = named_classes(targets, inputs)
    pictures = list(pictures) if isinstance(pictures, (list, tuple)) else [pictures]
    titles = _titles(pictures) if titles is None else titles
    texts = isinstance(titles, (list, tuple)) and all(isinstance(t, str) for t in titles)
    if not texts or len(titles) != len(pictures):
        words = f"must be one text per picture, got {described(titles)}"
        raise ArgumentError("titles", f"{words} for {len(pictures)} pictures")
    each = {f"images[{index}]": f"pictures[{index}]" for index in range(len(pictures))}
    with naming(images="pictures", **each):
        images = preprocess(pictures, inputs=inputs)
    seen = deprocess(images, inputs=inputs)
    floats = (p for p in model.parameters() if p.is_floating_point())
    images = images.to(next(floats, images))
    scores, classes, _, shares = predict(model, images, targets)
    if not scores.isfinite().all():
        words = f"must give finite scores, got {scores.tolist()}"
        raise ArgumentError("model", f"{words}; is there NaN in its weights?")
    if shares is not None:
        check_names(inputs, shares.shape[1])
    nothing = [None] * len(images)
    asked = nothing if classes is None else classes.tolist()
    answers = map(_answer, scores.tolist(), nothing if shares is None else shares, asked)
    settings = record_settings(model, targets, inputs)
    settings |= {"scale": scale, "signed": signed}
    sheet = Sheet(
        list(titles), seen, list(answers), methods, settings, model, targets, inputs
    )
    each = [targets] * len(images) if classes is None else asked
    return _with_maps(sheet, images, each, progress)


def _methods(methods: Sequence[str] | str) -> tuple[str, ...]:
    """The full names of the methods, each of them once."""
    asked = [methods] if isinstance(methods, str) else methods
    if not isinstance(asked, Iterable):
        words = f"must be names of methods, or None for those of the course, got {asked!r}"
        raise ArgumentError("methods", words)
    with naming(method="methods"):
        found = tuple(dict.fromkeys(find_method(method).name for method in asked))
    if not found:
        raise ArgumentError("methods", f"must name some of {', '.join(METHODS)}, got none")
    return found


def _answer(score: float, shares: Tensor | None, target: int | None) -> Answer:
    if shares is None:
        return Answer(score)
    top = int(shares.argmax())
    share = None if target is None else shares[target].item()
    return Answer(score, top, shares[top].item(), target, share)


def _with_maps(sheet: Sheet, images: Tensor, targets: list, progress) -> Sheet:
    """The sheet with its maps, each method for all pictures before the next one."""
    keys = [(method, index) for method in sheet.methods for index in range(len(images))]
    maps, seconds, stopped = {}, {}, False

    def report(step: int = 0, steps: int = 1, so_far=None) -> bool:
        nonlocal stopped
        if step < steps:  # the end of a map is reported once the map is there
            share, left = step / steps, keys[len(maps) :]
            under_way = (left[0], share) if left else None
            now = replace(sheet, maps={**maps}, seconds={**seconds}, under_way=under_way)
            goes = goes_on(progress, len(maps) + share, len(keys), now)
            stopped |= bool(left) and not goes
        return not stopped

    report()
    for method, index in keys:
        if stopped:
            break
        start, image = time.perf_counter(), images[index : index + 1]
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", SAID_BY_THE_RUN)  # here by the panel
            map_ = METHODS[method](sheet.model, image, targets[index], report)[0]
        if not stopped:  # within the method: its map would be unfinished
            seconds[method, index] = time.perf_counter() - start
            map_ = map_.detach().cpu()
            maps[method, index] = map_.float() if map_.dtype.itemsize < 4 else map_
            report()
    return replace(sheet, maps=maps, seconds=seconds, stopped=stopped)


def repeat_sheet(
    path: str | Path,
    model: nn.Module | None = None,
    targets: Callable[[Tensor], Tensor] | None = None,
    progress: Progress | None = None,
) -> Sheet:
    """Compute a sheet again, from the ``.json`` and the pictures that `Sheet.save` wrote.

    `model` must be the network of the sheet, which is the bundled one unless given; and
    `targets` the function that was explained, if it was one: no file can hold it.
    """
    path = path_of("path", path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        network = {key: record["network"][key] for key in ("class", "weights")}
        network |= record["network"]
        settings = {key: record[key] for key in ("scale", "signed")}
        settings["methods"] = list(record["methods"])
        settings["titles"] = [result["title"] for result in record["results"]]
        settings["targets"] = read_target(record["target"], targets)
        calls = list(record.get("calls", settings["methods"]))  # older sheets have none
        inputs = ("size", "mean", "std", "fit", "names")
        inputs = Inputs(**{key: record[key] for key in inputs})
    except (KeyError, TypeError, ValueError) as error:
        if getattr(error, "argument", None) == "targets":  # the call's fault
            raise
        words = f"must hold the settings of a sheet; {path.name} does not"
        raise ArgumentError("path", words) from error
    model = load_model() if model is None else model
    _check_network(model, network)
    _check_calls(settings["methods"], calls)
    asked = record_target(targets) if callable(targets) else record["target"]
    if asked.get("code") != record["target"].get("code", asked.get("code")):
        warn(f"the sheet explains {in_words(record['target'])}; this is {in_words(asked)}")
    if inputs.names is None:  # older sheets leave out those that the network has
        inputs = inputs.but(names=getattr(own_inputs(model), "names", None))
    count = len(settings["titles"])  # the pictures lie beside the settings
    pictures = [path.with_name(f"{path.stem}-{k}.png") for k in range(1, count + 1)]
    return compare_methods(model, pictures, inputs=inputs, progress=progress, **settings)


def _check_network(model: nn.Module, recorded: dict) -> None:
    """Refuse another network; the code of the same one may have been written anew."""
    now = network_record(model)
    if any(recorded[key] != now[key] for key in recorded if key in now and key != "code"):
        words = f"must be the network of the sheet, {in_words(recorded)}"
        raise ArgumentError("model", f"{words}, got {in_words(now)}")


def _check_calls(methods: Sequence[str], recorded: Sequence[str]) -> None:
    """Say which methods have other settings than they had for the sheet."""
    with naming(method="methods"):
        now = [function_name(find_method(method)) for method in methods]
    for call, before in zip(now, recorded, strict=False):
        if call != before:
            warn(f"the sheet has a map by {before}; this is one by {call}")


def ranks(values) -> np.ndarray:
    """Each pixel's rank in a map (H, W), as a share from 0 to 1; ties share theirs."""
    values = to_array(values)
    return ((rankdata(values) - 1) / max(values.size - 1, 1)).reshape(values.shape)


def shorten(text: str, longest: int) -> str:
    """A text without its middle, if it is too long; its end often holds a number."""
    if len(text) <= longest:
        return text
    tail = text.split()[-1]
    return f"{text[: longest - len(tail) - 2]}… {tail}"


def _strength(values) -> np.ndarray:
    """How strong a map is at each pixel, (H, W): without signs, the largest colour."""
    values = np.abs(to_array(values))
    return values.max(axis=0) if values.ndim == 3 else values


def _titles(pictures: Sequence) -> list[str]:
    """A title for each picture: of a file, or its number."""
    titles = [f"picture {count}" for count in range(1, len(pictures) + 1)]
    for index, picture in enumerate(pictures):
        if isinstance(picture, (str, Path)):
            text = str(picture)
            text = text.split("?")[0] if "://" in text else text
            text = text.encode("utf-8", "replace").decode()  # a name may be no text
            titles[index] = " ".join(Path(text).stem.replace("_", " ").split())
    return titles
