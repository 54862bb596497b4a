"""Lab of lesson 09: plant a shortcut, train a probe, and look where its maps lie."""

from dataclasses import dataclass
from functools import partial

from matplotlib.figure import Figure
from torch import nn

from .. import shortcuts
from ..figures import map_limits, map_panel, plot_panels, signed_style, smooth
from ..gradients import vanilla_saliency
from ..more_maps import grad_cam
from ..occlusion import occlusion
from ..shortcuts import CLASSES, PARTS, Planted, evidence, plant_shortcut
from .controls import bundled, dropdown, slider
from .live import LiveLab

TRAINING, TESTS, SHOWN = 160, 40, 5  # pictures
KNOWN = 10_000  # pictures whose features are kept, 2 kB each
VARIANTS = {"unchanged": lambda one: one}
VARIANTS |= {f"{part} swapped": partial(Planted.swap, part=part) for part in PARTS}
VARIANTS |= {"on an unseen scene": Planted.unseen}
ANSWER = "what it says"


@dataclass(frozen=True)
class Trained:
    """How far a training has come; there is no probe until all pictures went through."""

    planted: Planted  # the training pictures
    tests: Planted  # of the same kind, to look at and to test with
    done: int = 0  # pictures that have gone through the network
    probe: nn.Sequential | None = None
    words: str = ""  # accuracies and swap effects


class ShortcutLab(LiveLab):
    """Dials of the training pictures; a probe trained at a button; one picture's maps.

    `model` must have ``features``; once computed they are kept, so that most later
    trainings take a moment.
    """

    title = "Plant a shortcut"

    def __init__(self, model: nn.Module | None = None):
        self.model = bundled() if model is None else model
        self.known: dict = {}  # a picture's recipe → its features
        self.number = slider("picture", 2, 1, 12)  # of the test pictures
        self.variant = dropdown("look at it", [*VARIANTS])
        self.target = dropdown("map of", [ANSWER, *CLASSES])
        super().__init__(
            scene=slider("scene tied", 1.0, 0.5, 1.0, 0.05),
            sign=slider("sign tied", 0.5, 0.5, 1.0, 0.05),
            size=slider("animal's size", 0.3, 0.15, 0.6, 0.05),
        )
        self.add_looks(self.number, self.variant, self.target)

    def draw(self, **dials) -> tuple[Figure, str]:
        """The first training pictures of these dials."""
        planted = plant_shortcut(TRAINING, **dials)
        tied = sum(r.animal == r.ground for r in planted.recipes)
        signed = sum(r.sign == r.animal for r in planted.recipes)
        return _contact_sheet(planted[:SHOWN]), (
            f"The first of {len(planted)} training pictures, of which {tied} stand on "
            f"their class's ground and {signed} follow the rule “dogs have the sign”. "
            "Press start to train a probe on them."
        )

    def refresh(self) -> None:
        """Show the pictures of changed dials: the old probe never saw them."""
        if not self.running:
            self.result = None
            super().refresh()

    def compute(self, report, **dials) -> Trained:
        """Features of all pictures, then the probe and its tests."""
        planted = plant_shortcut(TRAINING, **dials)
        tests = plant_shortcut(TESTS, seed=1, **dials)
        sets = [planted, tests, *(tests.swap(part) for part in PARTS)]
        pictures = Planted(tuple(dict.fromkeys(r for one in sets for r in one.recipes)))
        while len(self.known) > KNOWN:
            self.known.pop(next(iter(self.known)))  # the oldest
        begun = sum(recipe in self.known for recipe in pictures.recipes)

        def progress(done: int, total: int, *so_far) -> bool:
            return report(done, total, Trained(planted, tests, begun + done), "pictures")

        shortcuts.planted_features(self.model, pictures, self.known, progress)
        if not all(recipe in self.known for recipe in pictures.recipes):
            return self.result  # stopped
        probe = shortcuts.train_probe(self.model, planted, known=self.known)
        computed = max(len(pictures) - begun, 1)
        report(computed, computed)
        words = _tested(probe, tests, self.known)
        return Trained(planted, tests, len(pictures), probe, words)

    def draw_result(self, result: Trained, **dials) -> tuple[Figure, str]:
        """The pictures so far; once there is a probe, one picture and its maps."""
        if result.probe is not None:
            return self._look(result)
        last = max(0, min(result.done, len(result.planted)) - SHOWN)
        return _contact_sheet(result.planted[last : last + SHOWN]), (
            f"{result.done} pictures have gone through the network; no probe yet. "
            "Start goes on from here."
        )

    def _look(self, result: Trained) -> tuple[Figure, str]:
        probe, number, chosen = result.probe, self.number.value, self.target.value
        one = VARIANTS[self.variant.value](result.tests[number - 1 : number])
        images = one.images.to(next(probe.parameters()))
        z = evidence(probe, one).item()
        answer = int(z < 0)
        asked = answer if chosen == ANSWER else CLASSES.index(chosen)
        gradient = vanilla_saliency(probe, images, asked).cpu()
        weight = probe.head.weight[asked][:, None, None]
        speaks = bool(((probe.features(images) * weight).sum(1) > 0).any())
        # Where no place of the last maps speaks for the class, Grad-CAM would warn.
        cam = grad_cam(probe, images, asked).cpu() if speaks else gradient * 0
        drops = occlusion(probe, images, asked, window=48, stride=22).heatmap.cpu()
        says, below = CLASSES[answer], {"below": f"evidence for bear {z:+.1f}"}
        panels = [
            (one.pictures[0], f"says: {says}", below),
            map_panel(smooth(gradient[0]), "gradient, smoothed"),
            map_panel(cam[0].numpy(), "Grad-CAM"),
            (drops.numpy(), "occlusion", signed_style(map_limits([drops])[0])),
        ]
        maps = {"gradient": gradient} | ({"Grad-CAM": cam} if speaks else {})
        times = {n: shortcuts.brightness_on(m, one.masks).item() for n, m in maps.items()}
        times = ", ".join(f"{name} {value:.1f}" for name, value in times.items())
        right = "right" if answer == one.recipes[0].animal else "wrong"
        return plot_panels(panels, size=2.2), (
            f"Says {says}, {right}. Maps of “{CLASSES[asked]}”; times as bright "
            f"on the animal as on average: {times}"
            + (". " if speaks else " (nothing speaks for it: Grad-CAM is zero). ")
            + result.words
        )


def _tested(probe: nn.Module, tests: Planted, known: dict) -> str:
    """Accuracies, unchanged and swapped; how far each part moves the evidence."""
    sets = {"test of its own kind": tests}
    sets |= {f"{part} swapped": tests.swap(part) for part in ("scene", "sign")}
    right = {name: shortcuts.accuracy(probe, s, known) for name, s in sets.items()}
    accuracies = [f"{name} {share:.2f}" for name, share in right.items()]
    moves = [f"{p} {abs(shortcuts.swap_effect(probe, tests, p, known)):.1f}" for p in PARTS]
    words = ", ".join(accuracies), ", ".join(moves)
    return "Accuracy: {}. Replacing moves the evidence by: {}.".format(*words)


def _contact_sheet(planted: Planted) -> Figure:
    titles = [CLASSES[label] for label in planted.labels.tolist()]
    panels = [(*pair, {}) for pair in zip(planted.pictures, titles, strict=True)]
    return plot_panels(panels, size=1.5)
