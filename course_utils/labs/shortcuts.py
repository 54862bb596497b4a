"""Lab of lesson 10: plant a shortcut, train a probe, and drag an animal across scenes."""

from dataclasses import dataclass, replace
from functools import partial
from itertools import chain

import ipywidgets as widgets
import torch
from PIL import Image
from torch import Tensor, nn

from .. import shortcuts
from ..figures import smooth
from ..gradients import vanilla_saliency
from ..images import preprocess
from ..more_maps import grad_cam
from ..occlusion import occlusion
from ..samples import Composite, load_samples
from ..shortcuts import (
    CLASSES,
    GROUNDS,
    PARTS,
    SIZE,
    PictureRecipe,
    Planted,
    plant_shortcut,
)
from ..targets import predict
from .asking import bundled, kept
from .base import _loop_between_messages
from .controls import PicturePicker, dropdown, slider
from .live import LiveLab
from .scenes import EXPLAINED, OTHER, grey, map_layer, map_words, veil
from .touch import Bars, Layer, Pictures, Scene

TRAINING, TESTS, SHOWN = 160, 40, 5  # pictures
KNOWN = 10_000  # pictures whose features are kept, 2 kB each
REST = 0.4  # seconds for which the hand is still before the maps are computed
SMALL, LARGE = 0.1, 0.7  # longer side of the animal, as a share of the picture's
COLOURS = (OTHER, EXPLAINED)  # of bear and dog
ANSWER = "what it says"
MAPS = ("gradient", "Grad-CAM", "occlusion")
SMALLER = 0.65  # width of a map, as a share of the picture's
HEAD = ("", "nothing", *PARTS)


@dataclass(frozen=True)
class Trained:
    """How far a training has come; there is no probe until all pictures went through."""

    planted: Planted  # the training pictures
    tests: Planted  # of the same kind, to look at and to test with
    done: int = 0  # pictures that have gone through the network
    probe: nn.Sequential | None = None
    reach: float = 1.0  # the strongest evidence in any test picture
    table: tuple = ()  # accuracies and swap effects, for `HEAD`


@dataclass(frozen=True, eq=False)
class Stood:
    """A picture that was put together by hand, and what the probe says to it."""

    recipe: PictureRecipe
    made: Composite
    images: Tensor  # (1, 3, SIZE, SIZE)
    evidence: float

    @property
    def answer(self) -> int:
        """The class that the probe names."""
        return int(self.evidence < 0)


class ShortcutLab(LiveLab):
    """Dials of the training pictures; a probe trained at a button; an animal to drag.

    `model` must have ``features``; once computed they are kept, so that most later
    trainings take a moment.
    """

    title = "Plant a shortcut"
    primary = ("scene", "sign", "size")

    def __init__(self, model: nn.Module | None = None):
        self.model = bundled() if model is None else model
        self.known: dict = {}  # a picture's recipe → its features
        self.moving, self._resting = False, None
        self.ground = PicturePicker(_scenes())
        self.animal = dropdown("animal", [*CLASSES])
        self.marked = widgets.Checkbox(description="the dog's sign", indent=False)
        self.number = slider("test picture", 2, 1, 12)
        self.row = slider("row", SIZE // 2, 0, SIZE - 1)  # the animal's middle
        self.column = slider("column", SIZE // 2, 0, SIZE - 1)
        self.share = slider("size here", 0.3, SMALL, LARGE, 0.01)
        self.target = dropdown("map of", [ANSWER, *CLASSES])
        super().__init__(
            scene=slider("scene tied", 1.0, 0.5, 1.0, 0.05),
            sign=slider("sign tied", 0.5, 0.5, 1.0, 0.05),
            size=slider("animal's size", 0.3, 0.15, 0.6, 0.05),
        )
        self.number.observe(self._stand, names="value")  # before it is drawn
        shown = (self.ground, self.animal, self.marked)
        self.add_looks(*shown, self.number, self.row, self.column, self.share, self.target)
        self.folded.children = [c for c in self.folded.children if c not in shown]
        self.add_row(*shown)
        self.ground.observe(self._refused, names="error")

    # -- before the training ---------------------------------------------------------------

    def draw(self, **dials) -> Scene:
        """The first training pictures of these dials."""
        planted = plant_shortcut(TRAINING, **dials)
        tied = sum(r.animal == r.ground for r in planted.recipes)
        signed = sum(r.sign == r.animal for r in planted.recipes)
        table = [("", f"of {len(planted)}"), ("stand on their class's ground", tied)]
        table += [("follow the rule “dogs have the sign”", signed)]
        answer = f"{len(planted)} training pictures: press start to train a probe on them."
        return Scene(_contact_sheet(planted[:SHOWN]), answer, table)

    def refresh(self) -> None:
        """Show the pictures of changed dials: the old probe never saw them."""
        if not self.running:
            self.result = None
            super().refresh()

    def compute(self, report, **dials) -> Trained:
        """Features of all pictures, then the probe and its tests."""
        planted = plant_shortcut(TRAINING, **dials)
        tests = plant_shortcut(TESTS, seed=1, **dials)
        swapped = [tests.swap(part) for part in PARTS]
        recipes = chain.from_iterable(one.recipes for one in (planted, tests, *swapped))
        pictures = Planted(tuple(dict.fromkeys(recipes)))
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
        strengths = [shortcuts.evidence(probe, s, self.known) for s in (tests, *swapped)]
        reach = torch.cat(strengths).abs().max().item()
        table = _tested(probe, [tests, *swapped], self.known)
        done = Trained(planted, tests, len(pictures), probe, reach, table)
        self._stand(result=done)
        return done

    # -- an animal that is moved ---------------------------------------------------------

    def touched(self, key: str, hand: dict) -> None:
        """The animal was moved, or resized by keys: the needle answers, later the maps."""
        share = round(self.share.value * hand["w"] / self._sides()[1], 2)
        with self.holding():
            if share != round(self.share.value, 2):
                self.share.value = min(max(share, SMALL), LARGE)
            height, width = self._sides()
            self.row.value = round(hand["y"] - height / 2) + height // 2
            self.column.value = round(hand["x"] - width / 2) + width // 2
        self.moving = True
        self.look()
        if self._resting is not None:
            self._resting.cancel()
        if (loop := _loop_between_messages()) is None:
            self.rest()
        else:
            self._resting = loop.call_later(REST, self.rest)

    def rest(self) -> None:
        """The hand is still: compute the maps of the picture."""
        if self.is_open and self.moving:
            self.moving, self._resting = False, None
            if self.result is not None:  # no dial has been turned meanwhile
                self.look()

    def _stand(self, change=None, result: Trained | None = None) -> None:
        """Put the animal, the scene and the sign as they are in the test picture."""
        result = result or self.result
        if result is None or result.probe is None:
            return
        recipe = result.tests.recipes[self.number.value - 1]
        with self.holding():
            self.animal.index, self.marked.value = recipe.animal, bool(recipe.sign)
            self.ground.choice.value, self.share.value = recipe.scene, recipe.share
            sides = self._sides()
            places = zip(recipe.place[::-1], sides, strict=True)
            middles = (round(p * (SIZE - side)) + side // 2 for p, side in places)
            self.row.value, self.column.value = middles

    def _sides(self) -> tuple[int, int]:
        """Height and width of the animal, in the picture's pixels."""
        picture = shortcuts.cutout(self.animal.index)
        scale = self.share.value * SIZE / max(picture.size)
        return tuple(max(1, round(side * scale)) for side in picture.size[::-1])

    def _corner(self) -> tuple[int, int]:
        """Row and column of the animal's upper left corner: all of it is in the picture."""
        middles = zip((self.row.value, self.column.value), self._sides(), strict=True)
        return tuple(min(max(v - s // 2, 0), SIZE - s) for v, s in middles)

    def _scene(self, name: str, recipe: PictureRecipe) -> Image.Image:
        """The scene behind the animal, twice as fine as the network sees it."""
        return self._seen(name, recipe.view, recipe.mirror)

    @kept
    def _seen(self, name: str, view: tuple, mirror: bool) -> Image.Image:
        seen = PictureRecipe(0, 0, view=view, mirror=mirror)
        return seen.behind(self.ground.pictures[name], 2 * SIZE)

    def _stood(self, result: Trained) -> Stood:
        """The picture as the controls say, and the evidence in it: one forward pass."""
        (top, left), (height, width) = self._corner(), self._sides()
        recipe = replace(
            result.tests.recipes[self.number.value - 1],
            animal=self.animal.index,
            sign=int(self.marked.value),
            share=self.share.value,
            place=(left / (SIZE - width), top / (SIZE - height)),
        )
        made = recipe.make(self.ground.pictures[self.ground.value])
        return Stood(recipe, made, *_asked(result.probe, made.image))

    # -- what is on the screen -----------------------------------------------------------

    def draw_result(self, result: Trained, **dials) -> Scene:
        """The pictures so far; once there is a probe, one picture and its maps."""
        if result.probe is not None:
            return self._look(result)
        last = max(0, min(result.done, len(result.planted)) - SHOWN)
        sheet = _contact_sheet(result.planted[last : last + SHOWN])
        table = [("", "so far"), ("pictures through the network", result.done)]
        answer = "No probe yet: start goes on from here."
        if self.running and not self._stop.is_set():
            answer = "The pictures go through the network; the probe comes last."
        return Scene(sheet, answer, table)

    def _look(self, result: Trained) -> Scene:
        stood = self._stood(result)
        chosen = self.target.value
        asked = stood.answer if chosen == ANSWER else CLASSES.index(chosen)
        first = result.tests[self.number.value - 1 : self.number.value]
        before = shortcuts.evidence(result.probe, first, self.known).item()
        words = "right" if stood.answer == stood.recipe.animal else "wrong"
        answer = (
            f"Says {CLASSES[stood.answer]}, {words}: evidence {_signed(stood.evidence)}."
        )
        panels = [self._picture(stood), _needle(stood.evidence, before, result.reach)]
        if self.moving:
            times, scene = {}, grey(self._scene(self.ground.value, stood.recipe))
            panels += _map_panels([([scene], "")] * len(MAPS), follow="picture")
        else:
            maps, times = _maps(result.probe, stood, asked)
            panels += _map_panels(maps)
        line = ("times as bright on the animal", *(times.get(n, "…") for n in MAPS[:2]))
        return Scene(panels, answer, [HEAD, *result.table, line], columns=1 + len(MAPS))

    def _picture(self, stood: Stood) -> Pictures:
        """The scene, and the animal that is moved over it."""
        recipe, (top, left), (height, width) = stood.recipe, self._corner(), self._sides()
        animal = shortcuts.cutout(recipe.animal)
        if recipe.flip:
            animal = animal.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        sizes = [round(width / self.share.value * share) for share in (SMALL, LARGE)]
        stripes = shortcuts.sign_stripes() if recipe.sign else ()
        return Pictures(
            key="picture",
            title="drag the animal",
            label="A picture: drag the animal or press arrow keys; + and − resize it.",
            layers=[Layer(self._scene(self.ground.value, recipe))],
            marks=[{"rect": box, "fill": colour, "over": True} for box, colour in stripes],
            tool={"kind": "window", "picture": animal, "step": 8, "sizes": sizes},
            hand={"x": left + width / 2, "y": top + height / 2, "w": width, "h": height},
            size=(SIZE, SIZE),
            span=(1, 2),
        )


def _scenes() -> dict[str, Image.Image]:
    """Name → picture: the two training grounds first, then those that no probe has seen."""
    names = list(chain.from_iterable(GROUNDS))
    return dict(zip(names, load_samples(kind="scenes", names=names).images, strict=True))


def _asked(probe: nn.Module, picture: Image.Image) -> tuple[Tensor, float]:
    """A picture, prepared, and the evidence for the bear in it."""
    images = preprocess([picture], SIZE).to(next(probe.parameters()))
    bear, dog = predict(probe, images).outputs[0].tolist()
    return images, bear - dog


def _needle(value: float, before: float, reach: float) -> Bars:
    """The evidence, with a tick where it was in the test picture."""
    bar = {"name": f"says {CLASSES[int(value < 0)]}", "value": round(value, 2)}
    bar |= {"text": _signed(value), "before": round(before, 2)}
    bar |= {"colour": COLOURS[int(value < 0)]}
    title = "evidence: dog ← 0 → bear"
    look = {"weight": SMALLER, "span": (len(MAPS), 1)}
    return Bars(key="needle", title=title, bars=[bar], limits=(-reach, reach), **look)


def _signed(value: float) -> str:
    return f"{value:+.1f}".replace("-", "−")


def _maps(probe: nn.Module, stood: Stood, asked: int) -> tuple[list, dict]:
    """Layers and words of each of `MAPS`, and how bright two of them are on the animal."""
    images = stood.images
    gradient = vanilla_saliency(probe, images, asked).float().cpu()
    weight = probe.head.weight[asked][:, None, None]
    speaks = bool(((probe.features(images) * weight).sum(1) > 0).any())
    # Where no place of the last maps speaks for the class, Grad-CAM would warn.
    cam = grad_cam(probe, images, asked).float().cpu() if speaks else gradient * 0
    drops = occlusion(probe, images, asked, window=48, stride=22).heatmap.cpu()
    base = grey(stood.made.image)
    layers = [
        [map_layer(smooth(gradient[0]))],
        [base, veil(cam[0])] if speaks else [base],
        [base, veil(drops, signed=True)],
    ]
    masks = torch.from_numpy(stood.made.mask)[None]
    maps = {"gradient": gradient} | ({"Grad-CAM": cam} if speaks else {})
    times = {
        n: f"{n} {shortcuts.brightness_on(m, masks).item():.1f}" for n, m in maps.items()
    }
    drawn = zip(layers, map(map_words, (gradient[0], cam[0], drops)), strict=True)
    return [*drawn], times if speaks else times | {"Grad-CAM": "Grad-CAM is zero"}


def _map_panels(maps: list[tuple], **more) -> list[Pictures]:
    """A panel for each of `MAPS`, of its layers and words."""
    look = {"size": (SIZE, SIZE), "weight": SMALLER} | more
    return [
        Pictures(key=name, title=name, layers=layers, words=words, **look)
        for name, (layers, words) in zip(MAPS, maps, strict=True)
    ]


def _tested(probe: nn.Module, sets: list[Planted], known: dict) -> tuple:
    """Accuracies, unchanged and with a part swapped; how far each moves the evidence."""
    right = [f"{shortcuts.accuracy(probe, one, known):.2f}" for one in sets]
    swap = partial(shortcuts.swap_effect, probe, sets[0], known=known)
    moves = [f"{abs(swap(part)):.1f}" for part in PARTS]
    return ("accuracy, this swapped", *right), ("evidence moves by", "0", *moves)


def _contact_sheet(planted: Planted) -> list[Pictures]:
    titles = [CLASSES[label] for label in planted.labels.tolist()]
    return [
        Pictures(key=f"{number}", title=title, layers=[Layer(picture)], size=picture.size)
        for number, (picture, title) in enumerate(
            zip(planted.pictures, titles, strict=True)
        )
    ]
