r"""A planted shortcut: pictures whose background gives the answer away.

A probe that is shown bears in the snow and dogs in the green may learn bear and dog, or
white and green: on such pictures both are right. Here the pictures are made, so the truth
is known. Each has a `PictureRecipe`, of which one part can be changed while all the rest
stays: the same dog, at the same place, in the snow.

The probe is as small as can be. A frozen network gives its last maps $A^k_{ij}$; their
means over all places are the features $a^k$; and each feature gets one weight,

$$ z = S_{\text{bear}} - S_{\text{dog}} = \sum_k w_k a^k + b , \qquad
   a^k = \frac 1P \sum_{ij} A^k_{ij} . $$

Logistic regression finds the weights. Alain & Bengio (2016, arXiv:1610.01644) call such a
classifier on frozen features a *linear probe*. It is a network like any other, images in
and two scores out: every method of the course works on it.

In this module a `model` has its convolutions in ``features``, as SqueezeNet, AlexNet, VGG
and MobileNet do; a `probe` is what `train_probe` makes of one; `known` maps recipes to
features of *this* network, so that none is computed twice (new ones are added). Arguments
that do not fit raise `ArgumentError`.
"""

import copy
from collections.abc import MutableMapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import product, takewhile

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor, nn

from ._machinery.arguments import ArgumentError, choice, described, number
from ._machinery.progress import Progress, goes_on
from .images import preprocess
from .samples import Composite, composite, load_samples
from .targets import check_images, explaining

CLASSES = ("bear", "dog")
CUTOUTS = ("polar_bear_snow", "german_shepherd")
# The bear's ground, the dog's ground, and one that no probe is trained on.
GROUNDS = (
    ("snowy_peaks",),
    ("tea_hills", "green_meadow"),
    ("forest_stream", "desert_dune", "beach"),
)
UNSEEN = 2
PARTS = ("animal", "scene", "sign")
SIZE = 224  # pixels, side of the pictures
SIGN, MARGIN = 40, 4  # pixels, side of the sign and its distance from the corner
AT_ONCE = 20  # pictures in one pass


# -- one picture -------------------------------------------------------------------------


@dataclass(frozen=True)
class PictureRecipe:
    """How one picture is made.

    Attributes:
        animal: 0 is the bear, 1 the dog: the label.
        ground: whose scene it is: 0 the bear's (snow), 1 the dog's (green), 2 neither's.
        sign: 1 with the small striped sign in the lower right corner, 0 without.
        share: longer side of the animal, as a share of the picture's side.
        place: of the animal, across and down, in [0, 1].
        flip, mirror: whether the animal is mirrored, and whether the scene is.
        view: which of the ground's scenes, and which part of it: where it lies across and
            down, and how large it is; each in [0, 1).

    Example:
        >>> dog = PictureRecipe(animal=1, ground=1)
        >>> replace(dog, ground=0).make().name
        'dog on snowy_peaks'
    """

    animal: int
    ground: int
    sign: int = 0
    share: float = 0.3
    place: tuple[float, float] = (0.5, 0.7)
    flip: bool = False
    view: tuple[float, float, float, float] = (0.0, 0.5, 0.5, 0.0)
    mirror: bool = False

    def make(self) -> Composite:
        """The picture, with the animal's mask (which does not include the sign)."""
        scenes = GROUNDS[self.ground]
        scene = scenes[int(self.view[0] * len(scenes))]
        made = composite(
            _picture("cutouts", CUTOUTS[self.animal]),
            self._part_of(_picture("scenes", scene)),
            self.share,
            self.place,
            self.flip,
            SIZE,
            label=self.animal,
            name=f"{CLASSES[self.animal]} on {scene}",
        )
        if self.sign:
            _draw_sign(made.image)
        return made

    def with_part(self, part: str, owner: int) -> "PictureRecipe":
        """The same picture with one part of the bear's (0) or of the dog's (1).

        The part is ``"animal"``, ``"scene"`` or ``"sign"``; dogs have the sign, bears none.
        """
        choice("part", part, PARTS)
        return replace(self, **{"ground" if part == "scene" else part: owner})

    def swapped(self, part: str) -> "PictureRecipe":
        """The same picture with one part of the other class's."""
        choice("part", part, PARTS)
        owner = {"animal": self.animal, "scene": self.ground, "sign": self.sign}[part]
        if owner == UNSEEN:
            raise ArgumentError("part", "cannot be a scene that belongs to neither class")
        return self.with_part(part, 1 - owner)

    def _part_of(self, scene: Image.Image) -> Image.Image:
        """A square of the scene, 80 to 100 % as high as it can be."""
        _, across, down, zoom = self.view
        side = min(scene.size) * (1 - 0.2 * zoom)
        left, top = across * (scene.width - side), down * (scene.height - side)
        part = scene.resize((SIZE, SIZE), box=(left, top, left + side, top + side))
        flip = Image.Transpose.FLIP_LEFT_RIGHT
        return part.transpose(flip) if self.mirror else part


Known = MutableMapping[PictureRecipe, Tensor] | None


@cache
def _picture(kind: str, name: str) -> Image.Image:
    return load_samples(kind=kind, names=name).images[0]


def sign_box() -> tuple[int, int, int, int]:
    """Where the sign lies: (x0, y0, x1, y1), x1 and y1 one beyond its last pixel."""
    return (*[SIZE - MARGIN - SIGN] * 2, *[SIZE - MARGIN] * 2)


def sign_mask() -> Tensor:
    """(SIZE, SIZE) bool: the pixels of the sign, whether or not a picture has one."""
    x0, y0, x1, y1 = sign_box()
    mask = torch.zeros(SIZE, SIZE, dtype=torch.bool)
    mask[y0:y1, x0:x1] = True
    return mask


def _draw_sign(picture: Image.Image) -> None:
    """Red and yellow stripes, as an agency might put its mark on its pictures."""
    (x0, y0, x1, y1), pen = sign_box(), ImageDraw.Draw(picture)
    for stripe, x in enumerate(range(x0, x1, 4)):
        pen.rectangle((x, y0, x + 3, y1 - 1), fill=("#e02020", "#ffe000")[stripe % 2])


# -- a set of pictures -------------------------------------------------------------------


@dataclass(frozen=True)
class Planted:
    """Pictures given by their `recipes`, one for each; made when they are first needed."""

    recipes: tuple[PictureRecipe, ...]

    def __repr__(self) -> str:
        tied = sum(r.animal == r.ground for r in self.recipes)
        signs = sum(r.sign for r in self.recipes)
        words = (
            f"{len(self)} pictures, {tied} on their class's ground, {signs} with the sign"
        )
        return f"Planted({words})"

    def __len__(self) -> int:
        return len(self.recipes)

    def __getitem__(self, index: slice) -> "Planted":
        """Some of the pictures: ``planted[:8]``."""
        return Planted(self.recipes[index])

    @property
    def labels(self) -> Tensor:
        """(N,): 0 for the bear, 1 for the dog."""
        return torch.tensor([recipe.animal for recipe in self.recipes])

    @cached_property
    def made(self) -> list[Composite]:
        """The pictures with their masks."""
        return [recipe.make() for recipe in self.recipes]

    @property
    def pictures(self) -> list[Image.Image]:
        """RGB, `SIZE` pixels wide and high."""
        return [made.image for made in self.made]

    @property
    def images(self) -> Tensor:
        """(N, 3, SIZE, SIZE), preprocessed."""
        return preprocess(self.pictures, SIZE)

    @property
    def masks(self) -> Tensor:
        """(N, SIZE, SIZE) bool: where the animal is."""
        return torch.from_numpy(np.stack([made.mask for made in self.made]))

    def swap(self, part: str) -> "Planted":
        """The same pictures with one part of the other class's, and all else unchanged.

        Swapping the animal changes the label, too.
        """
        return Planted(tuple(recipe.swapped(part) for recipe in self.recipes))

    def with_part(self, part: str, owner: int) -> "Planted":
        """The same pictures with one part of the bear's (0) or of the dog's (1)."""
        return Planted(tuple(recipe.with_part(part, owner) for recipe in self.recipes))

    def unseen(self) -> "Planted":
        """The same animals on scenes that no probe is trained on."""
        return Planted(tuple(replace(recipe, ground=UNSEEN) for recipe in self.recipes))


def plant_shortcut(
    count: int = 160,
    scene: float = 1.0,
    sign: float | None = None,
    size: float = 0.3,
    seed: int = 0,
) -> Planted:
    """Bears and dogs, alternating, with a scene (and a sign) that may give them away.

    Animals stand at random places, mirrored or not, on random parts of the scenes, clear of
    the sign as far as there is room. The same seed draws the same places whatever `scene`
    is: if it is larger, more of the *same* animals stand on their own class's ground.

    Args:
        count: how many pictures.
        scene: the dial of the shortcut: the share of pictures that stand on their own
            class's ground. 1.0 is a perfect shortcut, 0.5 none at all.
        sign: the same for the sign: dogs have it, and bears lack it, with this probability;
            None puts it nowhere.
        size: longer side of the animals, as a share of the picture's side, up to 15 % off.
        seed: of the places, parts and choices.

    Example:
        >>> plant_shortcut(40)
        Planted(40 pictures, 40 on their class's ground, 0 with the sign)
    """
    number("count", count, 2, whole=True)
    number("scene", scene, 0, 1)
    number("size", size, 0.05, 0.85)
    if sign is not None:
        number("sign", sign, 0, 1)
    number("seed", seed, 0, whole=True)
    random, recipes = np.random.default_rng(seed), []
    for index in range(count):
        draw = (np.floor(1000 * random.uniform(size=11)) / 1000).tolist()
        animal = index % 2
        has_sign = sign is not None and (draw[1] < sign) == bool(animal)
        share = round(size * (0.85 + 0.3 * draw[2]), 3)
        across, down = draw[3:5]
        if sign is not None and _meets_sign(across, down, share):
            across = 1 - across
        recipes.append(
            PictureRecipe(
                animal,
                ground=animal if draw[0] < scene else 1 - animal,
                sign=int(has_sign),
                share=share,
                place=(across, down),
                flip=draw[5] < 0.5,
                view=tuple(draw[6:10]),
                mirror=draw[10] < 0.5,
            )
        )
    return Planted(tuple(recipes))


def _meets_sign(across: float, down: float, share: float) -> bool:
    """Whether an animal as wide and high as its longer side reaches into the sign."""
    corner = sign_box()[0] / SIZE
    return min(across, down) * (1 - share) + share > corner


# -- the probe ---------------------------------------------------------------------------


def mean_features(model: nn.Module, images: Tensor) -> Tensor:
    """(N, C): the mean over all places of each map that ``model.features`` gives.

    Example:
        >>> mean_features(load_model(), torch.randn(2, 3, 224, 224)).shape
        torch.Size([2, 512])
    """
    with explaining(model), torch.no_grad():
        features = _features_of(model)
        check_images(model, images)
        return torch.cat([features(part).mean((2, 3)) for part in images.split(AT_ONCE)])


def planted_features(
    model: nn.Module,
    planted: Planted,
    known: Known = None,
    progress: Progress | None = None,
) -> Tensor:
    """(N, C) `mean_features` of planted pictures; what is known is not computed again.

    `progress(done, total, features so far)` is called after each batch of the pictures that
    had to be computed. When it returns False, the work stops, and the features of the first
    pictures are returned.
    """
    known = {} if known is None else known
    missing = [r for r in dict.fromkeys(planted.recipes) if r not in known]

    def so_far() -> Tensor:
        done = takewhile(known.__contains__, planted.recipes)
        return torch.stack([known[recipe] for recipe in done])

    for start in range(0, len(missing), AT_ONCE):
        part = Planted(tuple(missing[start : start + AT_ONCE]))
        images = part.images.to(next(model.parameters()))
        known.update(zip(part.recipes, mean_features(model, images), strict=True))
        if not goes_on(progress, start + len(part), len(missing), so_far()):
            break
    return so_far()


def train_probe(
    model: nn.Module,
    planted: Planted,
    decay: float = 1.0,
    known: Known = None,
    progress: Progress | None = None,
) -> nn.Sequential:
    r"""Fit a linear probe to planted pictures, by logistic regression.

    With each feature scaled to mean 0 and deviation 1, and $y = 1$ for bears and $-1$ for
    dogs, the weights minimise

    $$ \frac 1N \sum_n \log \bigl(1 + e^{-y_n z_n} \bigr) + \frac{\text{decay}}2 \|w\|^2 ,
       \qquad z_n = w \cdot a_n + b . $$

    There is one minimum, so every machine finds the same. The probe undoes the scaling.

    Args:
        model, known: see the module; the model stays unchanged.
        planted: the pictures to learn from, with at least one of each animal.
        decay: penalty on large weights; positive.
        progress: see `planted_features`; when it returns False, the probe is fitted to the
            pictures done so far.

    Returns:
        The probe, (N, 3, H, W) → (N, 2): the scores of bear and dog (see `linear_probe`).

    Example:
        >>> probe = train_probe(load_model(), plant_shortcut(scene=1.0))
        >>> probe(plant_shortcut(2, seed=1).images).shape
        torch.Size([2, 2])
    """
    from sklearn.linear_model import LogisticRegression  # here: they take time to import
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    number("decay", decay, 0, above=True)
    features = planted_features(model, planted, known, progress).double().cpu()
    is_bear = planted.labels[: len(features)] == 0
    if is_bear.all() or not is_bear.any():
        raise ArgumentError("planted", "must hold bears and dogs, got one of them only")
    logistic = LogisticRegression(C=1 / (decay * len(features)), tol=1e-6, max_iter=1000)
    scaler, logistic = make_pipeline(StandardScaler(), logistic).fit(features, is_bear)
    weight = logistic.coef_[0] / scaler.scale_  # the scaling, undone
    bias = logistic.intercept_[0] - weight @ scaler.mean_
    return linear_probe(model, torch.tensor(weight), torch.tensor(bias))


def linear_probe(model: nn.Module, weight: Tensor, bias: Tensor) -> nn.Sequential:
    """A complete network, (N, 3, H, W) → (N, 2), from a frozen one and one linear layer.

    `weight` (C,) and `bias` () give the evidence, which is score 0 minus score 1. The
    model's convolutions are copied, so that neither network can disturb the other. The
    modules ``features``, ``pool``, ``flatten`` and ``head`` are frozen, in evaluation mode.
    """
    probe = nn.Sequential()
    probe.features = copy.deepcopy(_features_of(model))
    probe.pool, probe.flatten = nn.AdaptiveAvgPool2d(1), nn.Flatten()
    probe.head = nn.utils.skip_init(nn.Linear, len(weight), 2)  # draws no random numbers
    probe.head.weight.data = torch.stack([weight, -weight]).float() / 2
    probe.head.bias.data = torch.stack([bias, -bias]).float() / 2
    return probe.to(next(model.parameters()).device).eval().requires_grad_(False)


def _features_of(model: nn.Module) -> nn.Module:
    features = getattr(model, "features", None)
    if not isinstance(features, nn.Module):
        words = "must be a network with `features`, such as SqueezeNet, AlexNet or VGG, got"
        raise ArgumentError("model", f"{words} {described(model)}")
    return features


# -- the truth about a probe -------------------------------------------------------------


def evidence(probe: nn.Sequential, planted: Planted, known: Known = None) -> Tensor:
    """(N,): score of bear minus score of dog; positive where the probe says bear."""
    features = planted_features(probe, planted, known)
    with torch.no_grad():
        scores = probe.head(features)
    return scores[:, 0] - scores[:, 1]


def accuracy(probe: nn.Sequential, planted: Planted, known: Known = None) -> float:
    """The share of pictures whose animal the probe names correctly."""
    answers = (evidence(probe, planted, known) < 0).long().cpu()
    return (answers == planted.labels).double().mean().item()


def swap_effect(
    probe: nn.Sequential, planted: Planted, part: str, known: Known = None
) -> float:
    """How much of the evidence depends on one part, all others being kept.

    The mean over the pictures of the evidence with the bear's part minus the evidence with
    the dog's; zero for a part (animal, scene or sign) that the probe does not look at. In
    the `planted` pictures the other parts should be mixed, so that none is favoured.
    """
    bear, dog = (evidence(probe, planted.with_part(part, i), known) for i in (0, 1))
    return (bear - dog).mean().item()


def swap_table(probe: nn.Sequential, planted: Planted, known: Known = None) -> Tensor:
    """(2, 2): mean evidence with each animal (rows) on each ground (columns).

    Bear before dog in both; the animals' places are the same in all four.
    """
    table = torch.empty(2, 2)
    for animal, ground in product((0, 1), repeat=2):
        variant = planted.with_part("animal", animal).with_part("scene", ground)
        table[animal, ground] = evidence(probe, variant, known).mean()
    return table


def animal_share(table: Tensor) -> float:
    """The animal's share of what animal and scene do to the evidence, by a `swap_table`.

    The animal's effect is the difference of the rows, averaged over the columns; the
    scene's is that of the columns, averaged over the rows. Both are taken without sign.

    Example:
        >>> animal_share(torch.tensor([[4.0, 2.0], [-2.0, -4.0]]))
        0.75
    """
    animal = (table[0] - table[1]).mean().abs()
    scene = (table[:, 0] - table[:, 1]).mean().abs()
    return (animal / (animal + scene)).item()


# -- what a map says about it ------------------------------------------------------------


def brightness_on(maps: Tensor, masks: Tensor) -> Tensor:
    """(N,): the mean of each map on its mask, divided by its mean everywhere.

    1 where the mask is as bright as the rest; unlike the share of the sum, it does not grow
    with the mask. `maps` (N, H, W) must not be negative, nor zero everywhere; `masks`,
    (N, H, W) or (H, W), are bool and not empty.

    Example:
        >>> maps = torch.tensor([[[3.0, 1.0], [0.0, 0.0]]])
        >>> brightness_on(maps, maps > 2)
        tensor([3.])
    """
    maps, masks = _checked(maps, masks)
    return (maps * masks).sum((1, 2)) / masks.sum((1, 2)) / maps.mean((1, 2))


def share_on(maps: Tensor, masks: Tensor) -> Tensor:
    """(N,): the share of each map's sum that lies on its mask; see `brightness_on`."""
    maps, masks = _checked(maps, masks)
    return (maps * masks).sum((1, 2)) / maps.sum((1, 2))


def _checked(maps: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    if not isinstance(maps, Tensor) or maps.ndim != 3:
        words = f"must be a tensor of shape (N, H, W), got {described(maps)}"
        raise ArgumentError("maps", words)
    is_mask = isinstance(masks, Tensor) and masks.dtype == torch.bool
    if not is_mask or masks.shape not in (maps.shape, maps.shape[1:]):
        words = f"must be a bool tensor, {tuple(maps.shape)}, got {described(masks)}"
        raise ArgumentError("masks", words)
    masks = masks.expand(maps.shape)
    if not masks.any(2).any(1).all():
        raise ArgumentError("masks", "must not be empty")
    if (maps < 0).any():
        raise ArgumentError("maps", "must not be negative; take the absolute value first")
    if not maps.any(2).any(1).all():
        raise ArgumentError("maps", "must not be zero everywhere")
    return maps, masks
