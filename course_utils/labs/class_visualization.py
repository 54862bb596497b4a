"""Lab of lesson 04: a picture grows uphill in the score of any class."""

import ipywidgets as widgets
import numpy as np
from matplotlib.figure import Figure
from torch import nn

from ..class_visualization import Visualization, judge, visualize_class
from ..models import class_name, load_model
from .controls import ClassPicker, dropdown, photographs, save_field, slider
from .live import LiveLab

WEIGHTS = [("off" if w == 0 else f"{w:g}", w) for w in (0, 1e-4, 1e-3, 1e-2)]


class ClassVisualizationLab(LiveLab):
    """Choose a class and a recipe; play, stop, save.

    Args:
        model: a classifier of ImageNet's classes; the bundled SqueezeNet unless given.
        size: side of the picture in pixels.

    Attributes:
        file, save_button: the text field and the button at the end.
    """

    title = "A picture that a network likes"

    def __init__(self, model: nn.Module | None = None, size: int = 160):
        self.model, self.size = load_model() if model is None else model, size
        written = [("waves, decorrelated colours", "fourier"), ("pixels", "pixel")]
        super().__init__(
            target=ClassPicker("castle", fixed=()),
            parametrization=dropdown("written as", written),
            robust=widgets.Checkbox(True, description="random size, angle and place"),
            jitter=slider("jitter (px)", 8, 0, 32, 4),
            blur_every=slider("blur every", 0, 0, 20, 5),
            l2=dropdown("L2 penalty", WEIGHTS, 1e-4),
            tv=dropdown("total variation", WEIGHTS, 1e-3),
            steps=slider("steps", 128, 16, 512, 16),
            seed=slider("seed", 0, 0, 20),
            start=dropdown("start from", ["noise", *photographs()]),
        )
        self.file, self.save_button = save_field(
            "save as", "my-class.png", "save", self.save
        )
        self.add_row(self.file, self.save_button, at=len(self.widget.children))

    def draw(self, **values) -> tuple[Figure, str]:
        """The picture before its first step."""
        so_far = visualize_class(self.model, **(self._arguments(values) | {"steps": 0}))
        figure, _ = self.draw_result(so_far, **values)
        name = class_name(values["target"])
        return figure, f"Press start to look for the picture of {name}."

    def compute(self, report, **values) -> Visualization:
        """Run `visualize_class`, reporting each step."""

        def progress(done: int, total: int, so_far: Visualization) -> bool:
            return report(done, total, so_far, f"score {so_far.history[-1]:.1f}")

        return visualize_class(self.model, **self._arguments(values), progress=progress)

    def draw_result(self, result: Visualization, **values) -> tuple[Figure, str]:
        """The picture beside its score at each step, and the recipe in words."""
        target, history = values["target"], result.history
        figure = Figure(figsize=(8.4, 3.9), layout="constrained")
        picture, scores = figure.subplots(1, 2, width_ratios=(1, 1.15))
        picture.imshow(np.asarray(result.image))
        picture.set(xticks=[], yticks=[], title=class_name(target))
        scores.plot(np.arange(1, len(history) + 1), history, color="#c1440e")
        scores.set(xlim=(0, values["steps"]), xlabel=_recipe(values))
        scores.set_title(f"score, step {len(history)} of {values['steps']}")
        scores.set_ylim(bottom=min([0, *history]))
        scores.grid(alpha=0.3)
        seen = judge(self.model, result.pixels, target)
        return figure, (
            f"Score {seen.score:.1f}, probability {seen.probability:.1%}, rank {seen.rank}."
        )

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

    def _arguments(self, values: dict) -> dict:
        start = photographs().get(values["start"])  # None for noise
        return values | {"start": start, "size": self.size}


def _recipe(values: dict) -> str:
    """The settings of a run in two lines."""
    written = "waves" if values["parametrization"] == "fourier" else "pixels"
    parts = [
        f"{written} from {values['start'].replace('_', ' ')}",
        f"seed {values['seed']}",
        f"jitter {values['jitter']}",
        "random size and angle" if values["robust"] else "",
        f"blur every {values['blur_every']}" if values["blur_every"] else "",
        f"L2 {values['l2']:g}" if values["l2"] else "",
        f"variation {values['tv']:g}" if values["tv"] else "",
    ]
    parts = [part for part in parts if part]
    return ", ".join(parts[:3]) + ("\n" + ", ".join(parts[3:]) if parts[3:] else "")
