"""One sheet: pictures × methods, side by side, with what the network says and the time.

A sheet asks one question (a class, a hidden unit, a score of one's own) of several methods
and several pictures. Its maps can only be compared on a scale that is stated:

``"own"``
    each map ends at its own limit, which stands below it: a weak map looks as strong as a
    strong one. The least that one can do for methods whose units differ.
``"method"``
    one limit for all maps of a method: brightness can be compared between pictures.
``"rank"``
    each pixel's rank within its map, from 0 (the weakest) to 1: comparable between methods
    too, at the price of all absolute strength.

A sheet is saved as a picture and a file of settings, from which `repeat_sheet` computes it
again.
"""

import json
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image
from scipy.stats import rankdata
from torch import Tensor, nn

from .._machinery.arguments import ArgumentError, choice, described, naming
from .._machinery.files import write_whole
from .._machinery.progress import Progress, goes_on
from ..figures import describe, map_limits, map_panel, plot_panels, to_array, to_png
from ..images import IMAGENET_MEAN, IMAGENET_STD, deprocess, preprocess
from ..methods import METHODS, find_method
from ..models import class_name, fingerprint, load_model
from ..targets import Targets, predict
from .settings import read_target, record_settings

SCALES = ("own", "method", "rank")
COURSE = tuple(name for name, method in METHODS.items() if not method.baseline)
LONGEST = 22  # letters below a panel


@dataclass(frozen=True)
class Answer:
    """What the network says of one picture.

    Attributes:
        top, top_share: the top class and its probability; None without classes.
        target: the class that is explained; None for a unit or a function.
        score: the score that is explained.
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
        answers: one `Answer` per picture.
        methods: keys of `METHODS`, in the order of the columns.
        settings: what `repeat_sheet` needs, apart from the pictures.
        model, targets: as they were given.
        names: of the classes; None for ImageNet's.
        maps: (method, index of the picture) → its map, (H, W) or (3, H, W).
        seconds: the same keys → how long that map took.
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
        panels = []
        for index, picture in enumerate(self.pictures):
            below = {"below": self.sentence(index, short=True)}
            panels.append((np.asarray(picture), self.titles[index], below))
            panels += [self._panel((key, index), times) for key in self.methods]
        columns = 1 + len(self.methods)
        if len(self.pictures) == 1 and columns > 5:
            columns = -(-columns // 2)
        return plot_panels(panels, columns=columns)

    def words(self) -> str:
        """The sheet in words, without the times, which differ from run to run."""
        return describe(self.figure(times=False))

    def sentence(self, index: int = 0, short: bool = False) -> str:
        """What the network says of a picture, and which score of it is explained."""
        answer = self.answers[index]
        top = "" if answer.top is None else self._class(answer.top, answer.top_share)
        if answer.target == answer.top and answer.top is not None:
            return shorten(top, LONGEST) if short else f"{top}, score {answer.score:.1f}"
        what = self.settings["target"]["words"]
        if answer.target is not None:
            what = self._class(answer.target, answer.share)
        if short:
            lines = [what, f"top: {top}" if top else ""]
            return "\n".join(shorten(line, LONGEST) for line in lines if line)
        return f"asked: {what}, score {answer.score:.3g}" + (f"; top: {top}" if top else "")

    def save(self, folder: str | Path, name: str = "sheet") -> Path:
        """Write the sheet, ``name.png``, its settings, ``name.json``, and its pictures.

        The pictures, ``name-1.png`` and so on, are those that the network saw. Each file
        is written whole or not at all, the settings last.

        Args:
            folder: created if it does not exist.
            name: of the files, without an ending.

        Returns:
            The path of the settings, which `repeat_sheet` takes.

        Raises:
            ArgumentError: `name` is empty or leads into another folder.
            OSError: the folder or a file cannot be written; the sentence says where.
        """
        folder = Path(folder).expanduser()
        if Path(name).name != name or not name or name[0] == "." or "\0" in name:
            raise ArgumentError("name", f"must be a plain file name, got {described(name)}")
        png = to_png(self.figure())
        text = json.dumps(self._record(), indent=1) + "\n"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for count, picture in enumerate(self.pictures, 1):
                write_whole(folder / f"{name}-{count}.png", picture.save)
            write_whole(folder / f"{name}.png", lambda draft: draft.write_bytes(png))
            write_whole(
                folder / f"{name}.json", lambda draft: draft.write_text(text, "utf-8")
            )
        except OSError as error:
            raise type(error)(f"folder {folder} cannot be written ({error})") from error
        return folder / f"{name}.json"

    def _record(self) -> dict:
        results = [
            {
                "title": self.titles[index],
                "answer": vars(answer),
                "seconds": {m: s for (m, k), s in self.seconds.items() if k == index},
            }
            for index, answer in enumerate(self.answers)
        ]
        names = None if self.names is None else list(self.names)
        more = {"methods": list(self.methods), "names": names, "results": results}
        return self.settings | more

    def _class(self, index: int, share: float) -> str:
        return f"{class_name(index, self.names)} {share:.1%}"

    def _limit(self, key: tuple[str, int]) -> float:
        """The value in the strongest colour of a map."""
        shared = self.settings["scale"] == "method"
        keys = [other for other in self.maps if shared and other[0] == key[0]] or [key]
        return map_limits([_strength(self.maps[k]) for k in keys], "shared")[0]

    def _panel(self, key: tuple[str, int], times: bool) -> tuple:
        method = METHODS[key[0]]
        if key not in self.maps:
            at_work = self.under_way is not None and self.under_way[0] == key
            words = f"{self.under_way[1]:.0%}" if at_work else "…"
            return partial(_draw_empty, words=words), method.label, {}
        values, limit = self.maps[key], self._limit(key)
        if self.settings["scale"] == "rank":
            panel = map_panel(ranks(method.importance(values[None])[0]), method.label, 1)
            panel[2]["below"] = "rank, 0 to 1"
        elif self.settings["signed"]:
            panel = method.panel(values, limit=limit)
        else:
            panel = map_panel(_strength(values), method.label, limit)
        if not values.any():
            panel[2]["below"] = "zero everywhere"
        if times:
            took = self.seconds[key]
            panel[2]["below"] += f"\n{took:.2f} s" if took < 10 else f"\n{took:.0f} s"
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
        pictures: one, or a list; each anything that `load_image` takes (a path, a URL …).
        methods: keys of `METHODS` (or how they begin); all but the baselines by default.
        targets: None (each picture's top class), a class, one class per picture, a `Unit`
            or a function of the outputs.
        progress: called as ``progress(done, total, so_far)``, counted in maps; `done` has
            a fraction within a long method, `so_far` is the sheet with the maps that
            there are. When it returns False, that sheet is returned.
        scale: ``"own"``, ``"method"`` or ``"rank"``, see above.
        signed: draw signed maps with their signs, zero in the middle of the colours; else
            their absolute values, the largest of the three colours.
        titles: of the pictures; their file names by default.
        names: of the classes; ImageNet's by default.
        size, mean, std, fit: of `preprocess`.

    Returns:
        A `Sheet`; draw it with its `figure()`, keep it with its `save()`.

    Raises:
        ArgumentError: an argument that does not fit.
        RuntimeError: the network or a method fails.

    Example:
        >>> sheet = compare_methods(load_model(), "cat.jpg", ["vanilla", "guided"])
        >>> sheet
        Sheet(1 pictures × 2 methods, 2 maps, scale own)
    """
    with naming(method="methods"):
        asked = [methods] if isinstance(methods, str) else methods
        methods = tuple(dict.fromkeys(find_method(method).name for method in asked))
    if not methods:
        raise ArgumentError("methods", f"must name some of {', '.join(METHODS)}, got none")
    choice("scale", scale, SCALES)
    pictures = list(pictures) if isinstance(pictures, (list, tuple)) else [pictures]
    if titles is None:
        titles = [_title(picture, k) for k, picture in enumerate(pictures, 1)]
    if len(titles) != len(pictures):
        words = f"must be one per picture, got {len(titles)} for {len(pictures)} pictures"
        raise ArgumentError("titles", words)
    with naming(images="pictures"):
        images = preprocess(pictures, size=size, mean=mean, std=std, fit=fit)
    seen = deprocess(images, mean=mean, std=std)
    images = images.to(next((p.device for p in model.parameters()), None))
    answers, classes = _answers(model, images, targets)
    settings = record_settings(model, targets, size, mean, std, fit)
    settings |= {"scale": scale, "signed": signed}
    sheet = Sheet(list(titles), seen, answers, methods, settings, model, targets, names)
    each = [targets] * len(images) if classes is None else classes.tolist()
    return _with_maps(sheet, images, each, progress)


def _answers(
    model: nn.Module, images: Tensor, targets: Targets
) -> tuple[list[Answer], Tensor | None]:
    """What the network says of each picture, and the classes to explain, if any."""
    scores, classes, outputs = predict(model, images, targets)
    shares = None if outputs is None else outputs.softmax(dim=1)
    answers = []
    for index, score in enumerate(scores.tolist()):
        top = None if shares is None else int(shares[index].argmax())
        target = None if classes is None else int(classes[index])
        top_share, share = (
            None if one is None else shares[index, one].item() for one in (top, target)
        )
        answers.append(Answer(top, top_share, target, score, share))
    return answers, classes


def _with_maps(
    sheet: Sheet, images: Tensor, targets: Sequence[Targets], progress: Progress | None
) -> Sheet:
    """The sheet with its maps, each method for all pictures before the next one."""
    keys = [(method, index) for method in sheet.methods for index in range(len(images))]
    maps, seconds, stopped = {}, {}, False

    def report(done: float) -> bool:
        nonlocal stopped
        under_way = (keys[int(done)], done % 1) if done < len(keys) else None
        now = replace(sheet, maps=dict(maps), seconds=dict(seconds), under_way=under_way)
        stopped |= not goes_on(progress, done, len(keys), now) and done < len(keys)
        return not stopped

    def within(step: int, steps: int, so_far=None) -> bool:
        return step == steps or report(len(maps) + step / steps)

    report(0)
    for key in keys:
        if stopped:
            break
        method, index = key
        start = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # the panel says it
            image = images[index : index + 1]
            map_ = METHODS[method](sheet.model, image, targets[index], progress=within)[0]
        if not stopped:  # within the method: its map would be unfinished
            seconds[key] = time.perf_counter() - start
            maps[key] = map_.detach().cpu()
            report(len(maps))
    return replace(sheet, maps=maps, seconds=seconds, stopped=stopped)


def repeat_sheet(
    path: str | Path,
    model: nn.Module | None = None,
    targets: Callable[[Tensor], Tensor] | None = None,
    progress: Progress | None = None,
) -> Sheet:
    """Compute a saved sheet again, from its settings and its pictures.

    Args:
        path: of the ``.json`` that `Sheet.save` has written.
        model: the network of the sheet; the bundled one by default.
        targets: the function that was explained, if it was one: no file can hold it.
        progress: as for `compare_methods`.

    Raises:
        ArgumentError: `path` holds no such settings, or the network is another one.
        FileNotFoundError: the settings, or one of their pictures, are gone.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        kind, weights = record["network"]["class"], record["network"]["weights"]
        keys = ("methods", "scale", "signed", "names", "size", "mean", "std", "fit")
        settings = {key: record[key] for key in keys}
        settings["titles"] = [result["title"] for result in record["results"]]
        target = dict(record["target"])
    except (KeyError, TypeError, ValueError) as error:
        words = f"must hold the settings of a sheet; {path.name} does not"
        raise ArgumentError("path", words) from error
    model = load_model() if model is None else model
    if fingerprint(model) != weights:
        words = f"must be the network of the sheet, {kind} ({weights})"
        got = f"{type(model).__name__} ({fingerprint(model)})"
        raise ArgumentError("model", f"{words}, got {got}")
    count = len(settings["titles"])  # the pictures lie beside the settings
    pictures = [path.with_name(f"{path.stem}-{k}.png") for k in range(1, count + 1)]
    settings |= {"targets": read_target(target, targets), "progress": progress}
    return compare_methods(model, pictures, **settings)


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


def _draw_empty(axis, words: str) -> None:
    axis.set_facecolor("#eeeeee")
    axis.text(0.5, 0.5, words, ha="center", va="center", size=14, color="#555555")


def _strength(values) -> np.ndarray:
    """How strong a map is at each pixel, (H, W): without signs, the largest colour."""
    values = np.abs(to_array(values))
    return values.max(axis=0) if values.ndim == 3 else values


def _title(picture, count: int) -> str:
    if isinstance(picture, (str, Path)):
        return Path(str(picture).split("?")[0]).stem.replace("_", " ")
    return f"picture {count}"
