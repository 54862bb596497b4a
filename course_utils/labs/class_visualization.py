"""Lab of lesson 04: a picture grows uphill in the score of any class."""

import ipywidgets as widgets
import numpy as np
from matplotlib.figure import Figure
from torch import nn

from ..class_visualization import Visualization, judge, visualize_class
from ..models import class_name, load_model
from ..samples import load_samples
from .base import LABEL, ClassPicker
from .live import LiveLab

WIDTH = {"style": LABEL, "layout": {"width": "330px"}}


class ClassVisualizationLab(LiveLab):
    """Choose a class and a recipe; play, stop, save.

    Args:
        model: a classifier of ImageNet's classes; the bundled SqueezeNet unless given.
        size: side of the picture in pixels.
    """

    title = "A picture that a network likes"

    def __init__(self, model: nn.Module | None = None, size: int = 160):
        self.model, self.size = load_model() if model is None else model, size
        self.photos = load_samples()
        self.file = widgets.Text(
            value="my-class.png", description="save as", continuous_update=False, **WIDTH
        )
        self.file.add_class("course-lab-save")
        self.save_button = widgets.Button(description="save", icon="download")
        self.save_button.on_click(lambda _: self.save())
        super().__init__(
            target=ClassPicker("castle", fixed=()),
            parametrization=widgets.Dropdown(
                options=[("waves, decorrelated colours", "fourier"), ("pixels", "pixel")],
                description="written as",
                **WIDTH,
            ),
            robust=widgets.Checkbox(True, description="random size, angle and place"),
            jitter=_slider("jitter (px)", 8, 0, 32, 4),
            blur_every=_slider("blur every", 0, 0, 20, 5),
            l2=_choice("L2 penalty", (0, 1e-4, 1e-3, 1e-2), 1e-4),
            tv=_choice("total variation", (0, 1e-4, 1e-3, 1e-2), 1e-3),
            steps=_slider("steps", 128, 16, 512, 16),
            seed=_slider("seed", 0, 0, 20, 1),
            start=widgets.Dropdown(
                options=["noise", *self.photos.names], description="start from", **WIDTH
            ),
        )
        row = widgets.HBox([self.file, self.save_button], layout={"flex_flow": "row wrap"})
        self.widget.children = (*self.widget.children, row)

    def draw(self, **values) -> tuple[Figure, str]:
        """The picture before its first step."""
        so_far = visualize_class(self.model, **(self._arguments(values) | {"steps": 0}))
        figure, _ = self.draw_result(so_far, **values)
        return figure, f"Press start to look for the picture of {_named(values)}."

    def compute(self, report, **values) -> Visualization:
        """Run `visualize_class`, reporting each step."""

        def progress(step, steps, so_far):
            return report(step, steps, so_far, f"score {so_far.history[-1]:.1f}")

        return visualize_class(self.model, **self._arguments(values), progress=progress)

    def draw_result(self, result: Visualization, **values) -> tuple[Figure, str]:
        """The picture beside its score at each step, and the recipe in words."""
        figure = Figure(figsize=(8.4, 3.9), layout="constrained")
        picture, scores = figure.subplots(1, 2, width_ratios=(1, 1.15))
        picture.imshow(np.asarray(result.image))
        picture.set(xticks=[], yticks=[], title=_named(values))
        steps = np.arange(1, len(result.history) + 1)
        scores.plot(steps, result.history, color="#c1440e")
        scores.set(xlim=(0, values["steps"]), xlabel=_recipe(values))
        scores.set_title(f"score, step {len(steps)} of {values['steps']}")
        scores.set_ylim(bottom=min([0, *result.history]))
        scores.grid(alpha=0.3)
        return figure, self._standing(result, values["target"])

    def save(self) -> bool:
        """Write picture and settings where the learner says; what happened is said."""
        try:
            if self.result is None:
                raise ValueError("There is nothing to save yet: press start first.")
            if not self.file.value.strip():
                raise ValueError("Say where to: the field “save as” is empty.")
            picture, notes = self.result.save(self.file.value.strip())
        except Exception as error:
            self._say(str(error).removeprefix("path: "), error=True)
            return False
        self._say(f"Saved {picture} and, with the run's settings, {notes.name}.")
        return True

    def _arguments(self, values: dict) -> dict:
        start = values["start"]
        photo = None if start == "noise" else load_samples(names=start).images[0]
        return values | {"start": photo, "size": self.size}

    def _standing(self, result: Visualization, target: int) -> str:
        seen = judge(self.model, result.pixels, target)
        return (
            f"Score {seen.score:.1f}, probability {seen.probability:.1%}, rank {seen.rank}."
        )


def _slider(label: str, value: int, least: int, most: int, step: int) -> widgets.IntSlider:
    return widgets.IntSlider(
        value=value,
        min=least,
        max=most,
        step=step,
        description=label,
        continuous_update=False,
        **WIDTH,
    )


def _choice(label: str, weights: tuple, value: float) -> widgets.Dropdown:
    options = [("off" if w == 0 else f"{w:g}", w) for w in weights]
    return widgets.Dropdown(options=options, value=value, description=label, **WIDTH)


def _named(values: dict) -> str:
    return class_name(values["target"])


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
