"""Lab of lesson 04: a picture grows uphill in the score of any class."""

import ipywidgets as widgets
import numpy as np
from matplotlib.figure import Figure
from torch import nn

from ..class_visualization import Visualization, judge, visualize_class
from .controls import Asked, dropdown, path_field, photographs, slider
from .live import LiveLab

WRITTEN = [("waves, decorrelated colours", "fourier"), ("pixels", "pixel")]
WEIGHTS = [("off" if w == 0 else f"{w:g}", w) for w in (0, 1e-4, 1e-3, 1e-2)]


class ClassVisualizationLab(LiveLab):
    """Choose a class and a recipe for a picture, `size` pixels wide; play, stop, save."""

    title = "A picture that a network likes"

    def __init__(self, model: nn.Module | None = None, size: int = 160):
        self.asked, self.size = Asked(model), size
        super().__init__(
            target=self.asked.finder("castle", ()),
            parametrization=dropdown("written as", WRITTEN),
            robust=widgets.Checkbox(True, description="random size, angle and place"),
            jitter=slider("jitter (px)", 8, 0, 32, 4),
            blur_every=slider("blur every", 0, 0, 20, 5),
            l2=dropdown("L2 penalty", WEIGHTS, 1e-4),
            tv=dropdown("total variation", WEIGHTS, 1e-3),
            steps=slider("steps", 128, 16, 512, 16),
            seed=slider("seed", 0, 0, 20),
            start=dropdown("start from", ["noise", *photographs()]),
        )
        self.file = path_field("save as", "my-class.png")
        self.save_button = self.button("save", "save", self.save)
        self.add_row(self.file, self.save_button, at=5)

    def draw(self, **values) -> tuple[Figure, str]:
        """The picture before its first step."""
        figure, _ = self.draw_result(self._visualize(values | {"steps": 0}), **values)
        name = self.asked.name(values["target"])
        return figure, f"Press start to look for the picture of {name}."

    def compute(self, report, **values) -> Visualization:
        """Run `visualize_class`, reporting each step."""

        def progress(step: int, steps: int, so_far: Visualization) -> bool:
            return report(step, steps, so_far, f"score {so_far.history[-1]:.1f}")

        return self._visualize(values, progress)

    def draw_result(self, result: Visualization, **values) -> tuple[Figure, str]:
        """The picture beside its score at each step, and the recipe in words."""
        target, history = values["target"], result.history
        figure = Figure(figsize=(8.4, 3.9), layout="constrained")
        picture, scores = figure.subplots(1, 2, width_ratios=(1, 1.15))
        picture.imshow(np.asarray(result.image))
        picture.set(xticks=[], yticks=[], title=self.asked.name(target))
        scores.plot(np.arange(1, len(history) + 1), history, color="#c1440e")
        scores.set(xlim=(0, values["steps"]), xlabel=_recipe(values))
        scores.set_title(f"score, step {len(history)} of {values['steps']}")
        scores.set_ylim(bottom=min([0, *history]))
        scores.grid(alpha=0.3)
        seen = judge(self.asked.model, result.pixels, target)
        words = f"Score {seen.score:.1f}, probability {seen.probability:.1%}"
        return figure, f"{words}, rank {seen.rank}."

    def save(self) -> bool:
        """Write picture and settings to the learner's file; False if that failed."""
        return self.attempt(self._save)

    def _save(self) -> str:
        if self.result is None:
            raise ValueError("There is nothing to save yet: press start first.")
        if not self.file.value.strip():
            raise ValueError("The field “save as” is empty: enter a file's name.")
        picture, notes = self.result.save(self.file.value.strip())
        return f"Saved {picture} and, with the run's settings, {notes.name}."

    def _visualize(self, values: dict, progress=None) -> Visualization:
        start = photographs().get(values["start"])  # None for noise
        given = values | {"start": start, "size": self.size, "progress": progress}
        return visualize_class(self.asked.model, **given)


def _recipe(values: dict) -> str:
    """The settings of a run in two lines."""
    written = "waves" if values["parametrization"] == "fourier" else "pixels"
    first = [f"{written} from {values['start'].replace('_', ' ')}"]
    first += [f"seed {values['seed']}", f"jitter {values['jitter']}"]
    words = {"blur_every": "blur every", "l2": "L2", "tv": "variation"}
    second = ["random size and angle"] if values["robust"] else []
    second += [f"{text} {values[k]:g}" for k, text in words.items() if values[k]]
    return "\n".join(", ".join(line) for line in (first, second) if line)
