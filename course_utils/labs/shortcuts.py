"""Lab of lesson 09: plant a shortcut, train a probe, and look where its maps lie."""

from dataclasses import dataclass

import ipywidgets as widgets
import numpy as np
from matplotlib.figure import Figure
from torch import Tensor, nn

from ..figures import map_limits, plot_panels, range_text, signed_style, smooth
from ..gradients import vanilla_saliency
from ..models import load_model
from ..more_maps import grad_cam
from ..occlusion import occlusion
from ..shortcuts import (
    CLASSES,
    PARTS,
    Planted,
    Recipe,
    accuracy,
    brightness_on,
    evidence,
    plant_shortcut,
    planted_features,
    swap_effect,
    train_probe,
)
from .base import LABEL
from .live import LiveLab

TRAINING, TESTS, SHOWN = 160, 40, 5  # pictures
AS_IT_CAME, ELSEWHERE = "as it came", "on an unseen scene"
VARIANTS = (AS_IT_CAME, *(f"{part} swapped" for part in PARTS), ELSEWHERE)
ANSWER = "what it says"
WIDTH = {"style": LABEL, "layout": {"width": "330px"}}


@dataclass(frozen=True)
class Trained:
    """What a training has come to.

    Attributes:
        planted: the training pictures.
        tests: pictures of the same kind, to look at and to test with.
        done: how many pictures have gone through the network.
        probe: None until all of them have.
        words: accuracies and swap effects.
    """

    planted: Planted
    tests: Planted
    done: int = 0
    probe: nn.Sequential | None = None
    words: str = ""


class _Stopped(Exception):  # noqa: N818 - not an error
    """The learner pressed stop."""


class ShortcutLab(LiveLab):
    """Dials of the training pictures; a probe trained at a button; one picture's maps.

    Features once computed are kept, so that most later trainings take a moment.

    Args:
        model: a network with ``features``; the bundled SqueezeNet unless given.

    Attributes:
        number, variant, target: which test picture to look at, what is swapped in it, and
            which class its maps are of.
    """

    title = "Plant a shortcut"

    def __init__(self, model: nn.Module | None = None):
        self.model = load_model() if model is None else model
        self.known: dict[Recipe, Tensor] = {}
        self.number = widgets.IntSlider(
            value=2, min=1, max=12, description="picture", continuous_update=False, **WIDTH
        )
        self.variant = widgets.Dropdown(options=VARIANTS, description="look at it", **WIDTH)
        self.target = widgets.Dropdown(
            options=[ANSWER, *CLASSES], description="map of", **WIDTH
        )
        self._values: dict = {}
        super().__init__(
            scene=_slider("scene tied", 1.0, 0.5, 1.0, 0.05),
            sign=_slider("sign tied", 0.5, 0.5, 1.0, 0.05),
            size=_slider("animal's size", 0.3, 0.15, 0.6, 0.05),
        )
        looks = [self.number, self.variant, self.target]
        for control in looks:
            control.observe(self._looked, names="value")
        first, buttons, *rest = self.widget.children
        row = widgets.HBox(looks, layout={"flex_flow": "row wrap"})
        self.widget.children = (first, buttons, row, *rest)

    # -- before and while it trains ----------------------------------------------------

    def draw(self, **dials) -> tuple[Figure, str]:
        """The first training pictures of these dials."""
        planted = plant_shortcut(TRAINING, **dials)
        return _contact_sheet(planted[:SHOWN]), (
            f"The first of {_in_words(planted)}. Press start to train a probe on them."
        )

    def refresh(self) -> None:
        """At each change of a dial show its pictures: the old probe never saw them."""
        if not self.running:
            self.result = None
            super().refresh()

    def compute(self, report, **dials) -> Trained:
        """Features of all pictures, then the probe and its tests."""
        state = Trained(
            plant_shortcut(TRAINING, **dials), plant_shortcut(TESTS, seed=1, **dials)
        )
        pictures = _all_pictures(state)
        missing = sum(
            recipe not in self.known for recipe in dict.fromkeys(pictures.recipes)
        )
        begun = len(set(pictures.recipes)) - missing

        def progress(done, total):
            so_far = Trained(state.planted, state.tests, begun + done)
            if not report(done, total, result=so_far, words="pictures"):
                raise _Stopped

        try:
            planted_features(self.model, pictures, self.known, progress)
        except _Stopped:
            return Trained(state.planted, state.tests, self.result.done)
        probe = train_probe(self.model, state.planted, known=self.known)
        report(max(missing, 1), max(missing, 1))
        return Trained(
            state.planted, state.tests, len(pictures), probe, self._tested(probe, state)
        )

    def draw_result(self, result: Trained, **dials) -> tuple[Figure, str]:
        """The pictures so far; once there is a probe, one picture and its maps."""
        if result.probe is None:
            last = max(0, min(result.done, len(result.planted)) - SHOWN)
            return _contact_sheet(result.planted[last : last + SHOWN]), (
                f"{result.done} pictures have gone through the network; no probe yet. "
                "Start goes on from here."
            )
        self._values = dials
        return self._look(result)

    def _tested(self, probe: nn.Module, state: Trained) -> str:
        """Accuracies as it came and swapped; how far each part moves the evidence."""
        tests, known = state.tests, self.known
        scores = {"test of its own kind": tests}
        scores |= {f"{part} swapped": tests.swap(part) for part in ("scene", "sign")}
        moves = {p: abs(swap_effect(probe, tests, p, known)) for p in PARTS}
        return (
            "Accuracy: "
            + ", ".join(f"{n} {accuracy(probe, s, known):.2f}" for n, s in scores.items())
            + ". Replacing moves the evidence by: "
            + ", ".join(f"{part} {move:.1f}" for part, move in moves.items())
            + "."
        )

    # -- looking at one picture --------------------------------------------------------

    def _looked(self, change) -> None:
        """Draw the chosen picture of the probe that is there."""
        if self.running:
            return
        if self.result is None or self.result.probe is None:
            self._say("Press start first: there is no probe to ask yet.")
            return
        try:
            figure, sentence = self._look(self.result)
            self._show(figure)
        except Exception as error:
            self._say(str(error), error=True)
            return
        self._say(sentence)

    def _look(self, result: Trained) -> tuple[Figure, str]:
        probe, one = result.probe, self._chosen(result.tests)
        images, mask = one.images.to(next(probe.parameters())), one.masks[0]
        z = evidence(probe, one).item()
        said = int(z < 0)
        asked = said if self.target.value == ANSWER else CLASSES.index(self.target.value)
        gradient = vanilla_saliency(probe, images, asked).cpu()
        cam = (
            grad_cam(probe, images, asked).cpu() if _speaks(probe, images, asked) else None
        )
        drops = occlusion(probe, images, asked, window=48, stride=22).heatmap.cpu()
        figure = plot_panels(
            [
                (
                    one.pictures[0],
                    f"says: {CLASSES[said]}",
                    {"below": f"evidence for bear {z:+.1f}"},
                ),
                _map_panel(smooth(gradient[0]), "gradient, smoothed"),
                _map_panel(
                    np.zeros_like(gradient[0]) if cam is None else cam[0].numpy(),
                    "Grad-CAM",
                ),
                (drops.numpy(), "occlusion", signed_style(map_limits([drops])[0])),
            ],
            size=2.2,
        )
        bright = {"gradient": gradient} | ({} if cam is None else {"Grad-CAM": cam})
        times = ", ".join(
            f"{name} {brightness_on(maps, mask).item():.1f}"
            for name, maps in bright.items()
        )
        right = "right" if said == one.recipes[0].animal else "wrong"
        sentence = (
            f"Says {CLASSES[said]}, {right}. Maps of “{CLASSES[asked]}”; times as bright "
            f"on the animal as on average: {times}"
            + (" (nothing speaks for it: Grad-CAM is zero). " if cam is None else ". ")
            + result.words
        )
        return figure, sentence

    def _chosen(self, tests: Planted) -> Planted:
        number = self.number.value - 1
        one = tests[number : number + 1]
        if self.variant.value == ELSEWHERE:
            return one.unseen()
        if self.variant.value == AS_IT_CAME:
            return one
        return one.swap(self.variant.value.removesuffix(" swapped"))


def _all_pictures(state: Trained) -> Planted:
    """Whatever the training and its tests will ask for, each once."""
    tests = state.tests
    sets = [state.planted, tests, *(tests.swap(part) for part in PARTS)]
    return Planted(tuple(dict.fromkeys(r for one in sets for r in one.recipes)))


def _speaks(probe: nn.Module, images: Tensor, asked: int) -> bool:
    """Whether any place of the last maps speaks for the class."""
    maps = probe.features(images)
    weight = probe.head.weight[asked][:, None, None]
    return bool(((maps * weight).sum(1) > 0).any())


def _contact_sheet(planted: Planted) -> Figure:
    titles = [CLASSES[label] for label in planted.labels.tolist()]
    pairs = zip(planted.pictures, titles, strict=True)
    return plot_panels([(picture, title, {}) for picture, title in pairs], size=1.5)


def _in_words(planted: Planted) -> str:
    tied = sum(r.animal == r.ground for r in planted.recipes)
    signed = sum(r.sign == r.animal for r in planted.recipes)
    return (
        f"{len(planted)} training pictures, of which {tied} stand on their class's ground "
        f"and {signed} follow the rule “dogs have the sign”"
    )


def _map_panel(values: np.ndarray, title: str) -> tuple:
    limit = map_limits([values])[0]
    style = {"cmap": "inferno", "vmin": 0, "vmax": limit, "below": range_text(limit)}
    return values, title, style


def _slider(label, value, low, high, step) -> widgets.FloatSlider:
    return widgets.FloatSlider(
        value=value,
        min=low,
        max=high,
        step=step,
        description=label,
        continuous_update=False,
        **WIDTH,
    )
