r"""A planted shortcut: pictures whose background gives the answer away.

A probe that is shown bears in the snow and dogs in the green may learn bear and dog, or
white and green: on such pictures both are right. Here the pictures are made, so the truth
is known. Each is written down as a `Recipe` (which animal, how large, where, on whose
ground, with or without a sign in the corner), and a recipe can be changed in one part while
all the rest stays: the same dog, at the same place, in the snow.

The probe is as small as can be. A frozen network gives its last maps $A^k_{ij}$; their
means over all places are the features $a^k$; and each feature gets one weight,

$$ z = S_{\text{bear}} - S_{\text{dog}} = \sum_k w_k a^k + b , \qquad
   a^k = \frac 1P \sum_{ij} A^k_{ij} . $$

The weights minimise the logistic loss with a penalty on their squares. Alain & Bengio
(2016, arXiv:1610.01644) call such a classifier on frozen features a *linear probe*. It is a
network like any other, pictures in and two scores out: every method of the course works on
it.
"""

import copy
from collections import OrderedDict
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from numbers import Integral, Real

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from torch import Tensor, nn

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

Progress = Callable[[int, int], object]


# -- one picture -------------------------------------------------------------------------


@dataclass(frozen=True)
class Recipe:
    """How one picture is made.

    Attributes:
        animal: 0 is the bear, 1 the dog: the label.
        ground: whose scene it stands on: 0 the bear's (snow), 1 the dog's (green), 2 one
            that belongs to neither.
        sign: 1 with the small striped sign in the lower right corner, 0 without.
        share: longer side of the animal, as a share of the picture's side.
        place: of the animal, across and down, in [0, 1].
        flip: whether the animal is mirrored.
        view: which of the ground's scenes, and which part of it: where it lies across and
            down, and how large it is; each in [0, 1).
        mirror: whether the scene is mirrored.

    Example:
        >>> dog = Recipe(animal=1, ground=1)
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
        """The picture, with the animal's mask (the sign is no part of it)."""
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

    def with_part(self, part: str, owner: int) -> "Recipe":
        """The same picture with one part of the bear's (0) or of the dog's (1).

        Args:
            part: ``"animal"``, ``"scene"`` or ``"sign"`` (none is the bear's, the sign is
                the dog's).
            owner: 0 or 1.
        """
        if part not in PARTS:
            raise ValueError(f"part: wants one of {', '.join(PARTS)}, not {part!r}")
        return replace(self, **{"ground" if part == "scene" else part: owner})

    def swapped(self, part: str) -> "Recipe":
        """The same picture with one part of the other class's."""
        owner = {"animal": self.animal, "scene": self.ground, "sign": self.sign}.get(part)
        if owner == UNSEEN:
            raise ValueError("part: this scene is of neither class, there is none to swap")
        return self.with_part(part, 1 - (owner or 0))

    def _part_of(self, scene: Image.Image) -> Image.Image:
        """A square of the scene, 80 to 100 % as high as it can be."""
        _, across, down, zoom = self.view
        side = min(scene.size) * (1 - 0.2 * zoom)
        left, top = across * (scene.width - side), down * (scene.height - side)
        part = scene.resize((SIZE, SIZE), box=(left, top, left + side, top + side))
        flip = Image.Transpose.FLIP_LEFT_RIGHT
        return part.transpose(flip) if self.mirror else part


@cache
def _picture(kind: str, name: str) -> Image.Image:
    return load_samples(kind=kind, names=name).images[0]


def sign_box() -> tuple[int, int, int, int]:
    """Where the sign lies: (x0, y0, x1, y1), x1 and y1 one beyond its last pixel."""
    return (*[SIZE - MARGIN - SIGN] * 2, *[SIZE - MARGIN] * 2)


def sign_mask() -> Tensor:
    """(SIZE, SIZE) bool: the pixels of the sign, whether a picture has one or not."""
    x0, y0, x1, y1 = sign_box()
    mask = torch.zeros(SIZE, SIZE, dtype=torch.bool)
    mask[y0:y1, x0:x1] = True
    return mask


def _draw_sign(picture: Image.Image) -> None:
    """Red and yellow stripes, as an agency might put its mark on its pictures."""
    x0, y0, x1, y1 = sign_box()
    pen = ImageDraw.Draw(picture)
    for number, x in enumerate(range(x0, x1, 4)):
        pen.rectangle((x, y0, x + 3, y1 - 1), fill=("#e02020", "#ffe000")[number % 2])


# -- a set of pictures -------------------------------------------------------------------


@dataclass(frozen=True)
class Planted:
    """Pictures given by their recipes; they are made when they are first asked for.

    Attributes:
        recipes: one a picture.
    """

    recipes: tuple[Recipe, ...]

    def __repr__(self) -> str:
        tied = sum(r.animal == r.ground for r in self.recipes)
        signs = sum(r.sign for r in self.recipes)
        return (
            f"Planted({len(self)} pictures, {tied} on their class's ground, "
            f"{signs} with the sign)"
        )

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
        """The same pictures with one part of the other class's, and all else as it was.

        Args:
            part: ``"animal"`` (which changes the label too), ``"scene"`` or ``"sign"``.
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
    """Bears and dogs, in turn, with a scene (and a sign) that may give them away.

    Animals lie at random places, mirrored or not, on random parts of the scenes; where
    there are signs not under them, as far as there is room. The same seed draws the same
    places whatever `scene` is: with a larger one, more of the *same* animals stand on their
    own class's ground.

    Args:
        count: how many pictures.
        scene: the dial of the shortcut: the share of pictures that stand on their own
            class's ground, the others on the other one's. 1.0 is a perfect shortcut, 0.5
            says nothing.
        sign: the same for the sign: dogs have it with this probability, bears lack it. None
            puts it nowhere.
        size: longer side of the animals, as a share of the picture's side; each differs
            from it by up to 15 %.
        seed: of the places, parts and choices.

    Raises:
        ValueError: whatever is out of range, in one sentence.

    Example:
        >>> plant_shortcut(40, scene=1.0)
        Planted(40 pictures, 40 on their class's ground, 0 with the sign)
    """
    if not isinstance(count, Integral) or isinstance(count, bool) or count < 2:
        raise ValueError(f"count: wants a whole number from 2, not {count!r}")
    _check_share("scene", scene, 0.0, 1.0)
    _check_share("size", size, 0.05, 0.85)
    if sign is not None:
        _check_share("sign", sign, 0.0, 1.0)
    random, recipes = np.random.default_rng(seed), []
    for number in range(count):
        draw = (np.floor(1000 * random.uniform(size=11)) / 1000).tolist()
        animal = number % 2
        own_sign = sign is not None and draw[1] < sign
        has_sign = sign is not None and own_sign == bool(animal)
        share = round(size * (0.85 + 0.3 * draw[2]), 3)
        across, down = draw[3:5]
        if sign is not None and _meets_sign(across, down, share):
            across = 1 - across
        recipes.append(
            Recipe(
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


def _check_share(name: str, value, least: float, most: float) -> None:
    if not isinstance(value, Real) or isinstance(value, bool) or not least <= value <= most:
        raise ValueError(f"{name}: wants a number from {least} to {most}, not {value!r}")


# -- the probe ---------------------------------------------------------------------------


def mean_features(model: nn.Module, images: Tensor) -> Tensor:
    """(N, C): the mean over all places of each map behind ``model.features``.

    Args:
        model: a network whose convolutions are called ``features``, as torchvision's
            SqueezeNet, AlexNet, VGG and MobileNet have it; also a probe.
        images: (N, 3, H, W), preprocessed.

    Raises:
        ValueError, TypeError: whatever does not fit, in one sentence.

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
    known: MutableMapping[Recipe, Tensor] | None = None,
    progress: Progress | None = None,
) -> Tensor:
    """(N, C) `mean_features` of planted pictures; what is known is not computed again.

    Args:
        model: see `mean_features`.
        planted: the pictures.
        known: recipe → features of *this* network; new ones are added.
        progress: called as ``progress(done, total)`` after each batch of pictures that had
            to be computed; whatever it raises ends the work and goes through.
    """
    known = {} if known is None else known
    missing = [r for r in dict.fromkeys(planted.recipes) if r not in known]
    for start in range(0, len(missing), AT_ONCE):
        part = Planted(tuple(missing[start : start + AT_ONCE]))
        images = part.images.to(next(model.parameters()))
        known.update(zip(part.recipes, mean_features(model, images), strict=True))
        if progress is not None:
            progress(start + len(part), len(missing))
    return torch.stack([known[recipe] for recipe in planted.recipes])


def fit_logistic(
    features: Tensor, labels: Tensor, decay: float = 1.0
) -> tuple[Tensor, Tensor]:
    r"""Logistic regression: weights (C,) and bias () of the evidence for class 0.

    With each feature scaled to mean 0 and deviation 1, and $y = 1$ for class 0 and $-1$
    for class 1, minimises

    $$ \frac 1N \sum_n \log \bigl(1 + e^{-y_n z_n} \bigr) + \frac{\text{decay}}2 \|w\|^2 ,
       \qquad z_n = w \cdot a_n + b , $$

    by L-BFGS in double precision. There is one minimum, so every machine finds the same.
    The scaling is undone in what is returned.

    Args:
        features: (N, C).
        labels: (N,), 0 or 1.
        decay: weight of the penalty; positive.

    Raises:
        ValueError: labels of one kind only, another number of them, or no decay.
    """
    if features.ndim != 2 or labels.shape != features.shape[:1]:
        raise ValueError(
            f"labels: wants one for each row of the features {tuple(features.shape)}, "
            f"not the shape {tuple(labels.shape)}"
        )
    if set(labels.tolist()) != {0, 1}:
        raise ValueError(f"labels: wants both 0 and 1, not {sorted(set(labels.tolist()))}")
    if not isinstance(decay, Real) or not decay > 0:
        raise ValueError(f"decay: wants a positive number, not {decay!r}")
    values = features.detach().double()
    middle, spread = values.mean(dim=0), values.std(dim=0)
    spread = torch.where(spread > 1e-9, spread, 1.0)  # a feature that never changes
    values, sides = (values - middle) / spread, 1.0 - 2.0 * labels.to(values)
    with torch.inference_mode(False), torch.enable_grad():
        solution = values.new_zeros(values.shape[1] + 1).requires_grad_()
        optimizer = torch.optim.LBFGS(
            [solution],
            max_iter=500,
            tolerance_grad=1e-9,
            tolerance_change=1e-12,
            line_search_fn="strong_wolfe",
        )

        def loss():
            optimizer.zero_grad()
            weight, bias = solution[:-1], solution[-1]
            value = F.softplus(-sides * (values @ weight + bias)).mean()
            value = value + decay / 2 * weight.square().sum()
            value.backward()
            return value

        optimizer.step(loss)
    weight = solution.detach()[:-1] / spread
    return weight, solution.detach()[-1] - weight @ middle


def linear_probe(model: nn.Module, weight: Tensor, bias: Tensor) -> nn.Sequential:
    """A complete network, (N, 3, H, W) → (N, 2), from a frozen one and one linear layer.

    Args:
        model: see `mean_features`; its convolutions are copied, so that neither of the two
            networks can disturb the other.
        weight: (C,) of the evidence for class 0.
        bias: ().

    Returns:
        Modules ``features``, ``pool``, ``flatten``, ``head``; score 0 less score 1 is the
        evidence. In evaluation mode, frozen.
    """
    features = copy.deepcopy(_features_of(model))
    head = nn.utils.skip_init(nn.Linear, len(weight), 2)  # draws no random numbers
    head.weight.data = torch.stack([weight, -weight]).float() / 2
    head.bias.data = torch.stack([bias, -bias]).float() / 2
    parts = OrderedDict(
        features=features,
        pool=nn.AdaptiveAvgPool2d(1),
        flatten=nn.Flatten(),
        head=head.to(next(model.parameters()).device),
    )
    return nn.Sequential(parts).eval().requires_grad_(False)


def train_probe(
    model: nn.Module,
    planted: Planted,
    decay: float = 1.0,
    known: MutableMapping[Recipe, Tensor] | None = None,
    progress: Progress | None = None,
) -> nn.Sequential:
    """Fit a linear probe to planted pictures.

    Args:
        model: see `mean_features`; left as it is.
        planted: the pictures to learn from.
        decay: penalty on large weights (see `fit_logistic`).
        known, progress: see `planted_features`.

    Returns:
        The probe, (N, 3, H, W) → (N, 2): the scores of bear and dog (see `linear_probe`).

    Example:
        >>> probe = train_probe(load_model(), plant_shortcut(scene=1.0))
        >>> probe(plant_shortcut(2, seed=1).images).shape
        torch.Size([2, 2])
    """
    features = planted_features(model, planted, known, progress)
    return linear_probe(model, *fit_logistic(features, planted.labels, decay))


def _features_of(model: nn.Module) -> nn.Module:
    features = getattr(model, "features", None)
    if not isinstance(features, nn.Module):
        raise ValueError(
            "model: wants a network whose convolutions are called `features`, such as "
            f"SqueezeNet, AlexNet or VGG; {type(model).__name__} has none"
        )
    return features


# -- the truth about a probe -------------------------------------------------------------


def evidence(
    probe: nn.Sequential,
    planted: Planted,
    known: MutableMapping[Recipe, Tensor] | None = None,
) -> Tensor:
    """(N,): score of bear less score of dog; positive where the probe says bear."""
    features = planted_features(probe, planted, known)
    with torch.no_grad():
        scores = probe.head(features)
    return scores[:, 0] - scores[:, 1]


def accuracy(
    probe: nn.Sequential,
    planted: Planted,
    known: MutableMapping[Recipe, Tensor] | None = None,
) -> float:
    """The share of pictures whose animal the probe names."""
    said = (evidence(probe, planted, known) < 0).long().cpu()
    return (said == planted.labels).double().mean().item()


def swap_effect(
    probe: nn.Sequential,
    planted: Planted,
    part: str,
    known: MutableMapping[Recipe, Tensor] | None = None,
) -> float:
    """How much of the evidence hangs on one part, all others being kept.

    The mean over the pictures of: evidence with the bear's part less evidence with the
    dog's. Zero for a part that the probe does not look at.

    Args:
        probe: made by `train_probe`.
        planted: pictures in which the other parts are mixed, so that none is favoured.
        part: ``"animal"``, ``"scene"`` or ``"sign"``.
        known: see `planted_features`.
    """
    with_bears, with_dogs = (
        evidence(probe, planted.with_part(part, owner), known) for owner in (0, 1)
    )
    return (with_bears - with_dogs).mean().item()


def swap_table(
    probe: nn.Sequential,
    planted: Planted,
    known: MutableMapping[Recipe, Tensor] | None = None,
) -> Tensor:
    """(2, 2): mean evidence with each animal (rows) on each ground (columns).

    Bear before dog, both ways; the animals' places are the same in all four.
    """
    table = torch.empty(2, 2)
    for animal in (0, 1):
        for ground in (0, 1):
            variant = planted.with_part("animal", animal).with_part("scene", ground)
            table[animal, ground] = evidence(probe, variant, known).mean()
    return table


def animal_share(table: Tensor) -> float:
    """The animal's share of what animal and scene do to the evidence, by a `swap_table`.

    The animal's effect is the difference of the rows, averaged over the columns; the
    scene's that of the columns, averaged over the rows. Both are taken without their sign.

    Example:
        >>> animal_share(torch.tensor([[4.0, 2.0], [-2.0, -4.0]]))
        0.75
    """
    animal = (table[0] - table[1]).mean().abs()
    scene = (table[:, 0] - table[:, 1]).mean().abs()
    return (animal / (animal + scene)).item()


# -- what a map says of it ---------------------------------------------------------------


def brightness_on(maps: Tensor, masks: Tensor) -> Tensor:
    """(N,): the mean of each map on its mask, over its mean everywhere.

    1 where the mask is no brighter than the rest. Unlike the share of the sum it does not
    grow with the mask.

    Args:
        maps: (N, H, W), not negative.
        masks: (N, H, W) or (H, W), bool.

    Raises:
        ValueError: maps with negative values, another shape, an empty mask or map.

    Example:
        >>> maps = torch.tensor([[[3.0, 1.0], [0.0, 0.0]]])
        >>> brightness_on(maps, maps > 2)
        tensor([3.])
    """
    maps, masks = _checked(maps, masks)
    inside = (maps * masks).sum((1, 2)) / masks.sum((1, 2))
    return inside / maps.mean((1, 2))


def share_on(maps: Tensor, masks: Tensor) -> Tensor:
    """(N,): the share of each map's sum that lies on its mask; see `brightness_on`."""
    maps, masks = _checked(maps, masks)
    return (maps * masks).sum((1, 2)) / maps.sum((1, 2))


def _checked(maps: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    if not isinstance(maps, Tensor) or maps.ndim != 3:
        came = tuple(maps.shape) if isinstance(maps, Tensor) else type(maps).__name__
        raise ValueError(f"maps: wants a tensor (N, H, W), not {came}")
    if not isinstance(masks, Tensor) or masks.dtype != torch.bool:
        raise ValueError("masks: wants a tensor of True and False")
    if masks.shape not in (maps.shape, maps.shape[1:]):
        raise ValueError(
            f"masks: wants the maps' shape {tuple(maps.shape)}, not {tuple(masks.shape)}"
        )
    masks = masks.expand(maps.shape)
    if not masks.any(2).any(1).all():
        raise ValueError("masks: one of them is empty")
    if (maps < 0).any():
        raise ValueError("maps: wants no negative values; take the absolute value first")
    if not maps.any(2).any(1).all():
        raise ValueError("maps: one of them is zero everywhere, nothing is brighter in it")
    return maps, masks
