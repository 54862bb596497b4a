"""Lab of lesson 04: a picture grows uphill in a class's score, and can be wound back."""

import math
from bisect import bisect_right
from dataclasses import dataclass

import ipywidgets as widgets
from PIL import Image
from torch import Tensor, nn

from ..class_visualization import (
    Visualization,
    jittered,
    judge,
    transformed,
    visualize_class,
)
from ..images import preprocess
from ..targets import seeded
from .asking import Asked, photographs
from .controls import LABEL, WIDE, dropdown, finder, path_field, slider
from .live import LiveLab
from .scenes import EXPLAINED, OTHER
from .touch import Curves, Layer, Pictures, Scene

WRITTEN = [("waves, decorrelated colours", "fourier"), ("pixels", "pixel")]
WEIGHTS = [("off" if w == 0 else f"{w:g}", w) for w in (0, 1e-4, 1e-3, 1e-2)]
FRAMES = 64  # pictures of a run that are kept
HEAD = ("", "step", "score of the view", "score of the picture", "probability", "rank")


@dataclass(frozen=True)
class Run:
    """A run so far: what was `made`, and its picture after some of the steps.

    `frames`, step → picture, are spread evenly and end with the last step.
    """

    made: Visualization
    frames: dict[int, Image.Image]
    values: dict  # of the controls
    done: bool = False

    @property
    def steps(self) -> list[int]:
        """The steps whose pictures are kept."""
        return [*self.frames]

    def at(self, step: int) -> int:
        """The last kept step that is not after `step`, or the first one."""
        return self.steps[max(bisect_right(self.steps, step) - 1, 0)]

    def score(self, step: int) -> float:
        """The score of what the network saw in a step: of a random view, in most runs."""
        return self.made.history[step - 1]

    def pixels(self, step: int) -> Tensor:
        """(1, 3, H, W): the picture of a step, as the network is to be given it."""
        if step == self.steps[-1]:
            return self.made.pixels
        settings = self.made.settings
        look = (settings[name] for name in ("size", "mean", "std"))
        return preprocess(self.frames[step], *look).to(self.made.pixels)


class Film:
    """The pictures of a run, of which an even choice is kept."""

    def __init__(self):
        self.every, self.kept, self.last = 1, {}, {}

    def add(self, step: int, picture: Image.Image) -> None:
        """Take the picture of the next step; the last one is always kept."""
        self.last = {step: picture}
        if step % self.every == 0:
            self.kept[step] = picture
        if len(self.kept) > FRAMES:  # every other one is enough
            self.every *= 2
            kept = self.kept.items()
            self.kept = {step: one for step, one in kept if step % self.every == 0}

    def frames(self) -> dict[int, Image.Image]:
        """Step → picture."""
        return self.kept | self.last


class ClassVisualizationLab(LiveLab):
    """Choose a class and a recipe for a picture, `size` pixels wide; play, stop, save.

    A run can be wound back along its curve, beside the run before it.
    """

    title = "A picture that a network likes"
    primary = ("target", "parametrization", "robust", "start", "seed")

    def __init__(self, model: nn.Module | None = None, size: int = 160):
        self.asked, self.size = Asked(model), size
        self.before: Run | None = None  # the run before, to compare with
        # Of the picture on the screen:
        self.step = widgets.SelectionSlider(options=[0], description="step", **WIDE)
        look = {"indent": False, "style": LABEL, "layout": {"width": "220px"}}
        starts = [(name.replace("_", " "), name) for name in ("noise", *photographs())]
        super().__init__(
            target=finder(self.asked, "castle", ()),
            parametrization=dropdown("written as", WRITTEN),
            robust=widgets.Checkbox(
                True, description="random size, angle and place", **look
            ),
            start=dropdown("start from", starts),
            seed=slider("seed", 0, 0, 20),
            steps=slider("steps", 128, 16, 512, 16),
            jitter=slider("jitter (px)", 8, 0, 32, 4),
            blur_every=slider("blur every", 0, 0, 20, 5),
            l2=dropdown("L2 penalty", WEIGHTS, 1e-4),
            tv=dropdown("total variation", WEIGHTS, 1e-3),
        )
        widths = {"target": 230, "parametrization": 290, "start": 220, "seed": 200}
        for name, width in widths.items():  # in one row
            control = self.controls[name]
            getattr(control, "field", control).layout.width = f"{width}px"
        self.add_looks(self.step)
        self.file = path_field("save as", "my-class.png")
        self.save_button = self.button("save", "save", self.save)
        self.fold(self.file, self.save_button)

    # -- the run ---------------------------------------------------------------------------

    def compute(self, report, **values) -> Run:
        """Run `visualize_class`, reporting each step and keeping some of its pictures."""
        self.before, film = self.result, Film()

        def progress(step: int, steps: int, so_far: Visualization) -> bool:
            film.add(step, so_far.image)
            return report(step, steps, Run(so_far, film.frames(), values))

        run = Run(self._visualize(values, progress), film.frames(), values, done=True)
        with self.holding():
            self.step.options = run.steps
            self.step.index = len(run.steps) - 1
        return run

    def _visualize(self, values: dict, progress=None) -> Visualization:
        start = photographs().get(values["start"])  # None for noise
        given = values | {"start": start, "size": self.size, "progress": progress}
        return visualize_class(self.asked.model, **given)

    # -- what is on the screen -------------------------------------------------------------

    def touched(self, key: str, hand: dict) -> None:
        """The cursor was moved along the curve."""
        with self.holding():
            self.step.index = min(hand["i"], len(self.step.options) - 1)
        self.look()

    def draw(self, **values) -> Scene:
        """The picture before its first step, and how the network will see it."""
        made, name = (
            self._visualize(values | {"steps": 0}),
            self.asked.name(values["target"]),
        )
        seen, random = made.pixels, seeded(values["seed"])
        seen = jittered(seen, values["jitter"], random) if values["jitter"] else seen
        seen = transformed(seen, random) if values["robust"] else seen
        view = "one of its random views" if _is_random(values) else "what the network sees"
        panels = [
            self._picture("picture", "the picture before the first step", made.image),
            self._picture("seen", view, self.asked.seen(seen)),
        ]
        row = self._row(values, 0, "–", made.pixels)
        return Scene(panels, f"Press start to grow a picture of {name}.", [HEAD, row])

    def draw_result(self, result: Run, **values) -> Scene:
        """The picture of a step beside the curve of the scores, and the run before."""
        name, before = self.asked.name(values["target"]), self.before
        last = len(result.steps) - 1
        place = min(self.step.index, last) if result.done else last
        step = result.steps[place]
        panels = [self._frame("picture", result, step)]
        if before is not None:
            panels.append(self._frame("before", before, step))
        panels.append(self._curves(result, place))
        if not result.done:
            row = self._recipe(values), step, f"{result.score(step):.1f}", "…", "…", "…"
            rows = [row] if before is None else [row, self._judged(before, step)]
            return Scene(panels, f"A picture of {name} grows.", [HEAD, *rows])
        rows = [self._judged(run, step) for run in (result, before) if run is not None]
        *_, share, rank = rows[0]
        return Scene(panels, f"Step {step}: {name} {share}, rank {rank}.", [HEAD, *rows])

    def _picture(self, key: str, title: str, picture: Image.Image) -> Pictures:
        return Pictures(key=key, title=title, layers=[Layer(picture)], size=picture.size)

    def _frame(self, key: str, run: Run, step: int) -> Pictures:
        step, name = run.at(step), self.asked.name(run.values["target"])
        title = f"{name}, step {step}"
        title = f"before: {title}" if key == "before" else title
        return self._picture(key, title, run.frames[step])

    def _curves(self, run: Run, place: int) -> Curves:
        runs = [run] if self.before is None else [run, self.before]
        looks = ({"colour": EXPLAINED}, {"colour": OTHER, "dash": True})
        lines = [
            {"x": each.steps, "y": [each.score(step) for step in each.steps], **look}
            for each, look in zip(runs, looks, strict=False)
        ]
        scores = [score for line in lines for score in line["y"]]
        view = "score of random views" if _is_random(run.values) else "score"
        title = "score, dashed: before" if len(runs) == 2 else view
        moves = {"tool": {"kind": "cursor", "hover": True}, "hand": {"i": place}}
        return Curves(
            key="curve",
            title=title,
            label="The score at each step: point at a step, or press the arrow keys, and "
            "its picture appears.",
            lines=lines,
            xlim=(0, max(each.values["steps"] for each in runs)),
            ylim=(-_rounded_up(-min(scores)), _rounded_up(max(scores))),
            xlabel="step",
            size=(414, 360),  # as high as a picture
            weight=1.15,
            **(moves if run.done or not self.running else {}),
        )

    def _judged(self, run: Run, step: int) -> tuple:
        step = run.at(step)
        return self._row(run.values, step, f"{run.score(step):.1f}", run.pixels(step))

    def _row(self, values: dict, step: int, saw: str, pixels: Tensor) -> tuple:
        seen = judge(self.asked.model, pixels, values["target"])
        numbers = f"{seen.score:.1f}", f"{seen.probability:.1%}", str(seen.rank)
        return self._recipe(values), step, saw, *numbers

    def _recipe(self, values: dict) -> str:
        """The class and the settings of a run in a line."""
        written = "waves" if values["parametrization"] == "fourier" else "pixels"
        start = values["start"].replace("_", " ")
        words = [f"{self.asked.name(values['target'])}: {written} from {start}"]
        words += ["random size and angle"] if values["robust"] else []
        words += [f"seed {values['seed']}, {values['steps']} steps"]
        named = {"jitter": "jitter", "blur_every": "blur every", "l2": "L2"}
        named |= {"tv": "variation"}
        words += [f"{word} {values[key]:g}" for key, word in named.items() if values[key]]
        return ", ".join(words)

    # -- saving ----------------------------------------------------------------------------

    def save(self) -> bool:
        """Write the last picture and its settings to a file; False if that failed."""
        return self.attempt(self._save)

    def _save(self) -> str:
        if self.result is None:
            raise ValueError("There is nothing to save yet: press start first.")
        if not self.file.value.strip():
            raise ValueError("The field “save as” is empty: enter a file's name.")
        picture, notes = self.result.made.save(self.file.value.strip())
        return f"Saved {picture} and, with the run's settings, {notes.name}."


def _is_random(values: dict) -> bool:
    return bool(values["robust"] or values["jitter"])


def _rounded_up(value: float) -> float:
    """The end of an axis, which must not move at each step: 0, or 1, 1.5, 2 … × 10ⁿ."""
    if value <= 0:
        return 0
    unit = 10 ** math.floor(math.log10(value))
    return next(n * unit for n in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if n * unit >= value)
