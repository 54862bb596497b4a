r"""A planted shortcut: pictures whose background gives the answer away.

A probe that is shown bears in the snow and dogs on green hills may learn bear and dog, or
white and green: on such pictures both are right. Here the pictures are made, so the truth
is known. Each has a `PictureRecipe`, of which one part can be changed while all the rest
stays: the same dog, at the same place, in the snow.

The probe is as small as can be. A frozen network gives its last maps $A^k_{ij}$; their
means over all places are the features $a^k$; and each feature gets one weight,

$$ z = S_{\text{bear}} - S_{\text{dog}} = \sum_k w_k a^k + b , \qquad
   a^k = \frac 1P \sum_{ij} A^k_{ij} . $$

Logistic regression finds the weights: a *linear probe* (Alain & Bengio 2016,
arXiv:1610.01644). It is a network like any other: every method of the course works on it.

In this module a `model` has its convolutions in ``features``, as SqueezeNet, AlexNet, VGG
and MobileNet do; a `probe` is what `train_probe` makes of one; `known` is a dict, recipe →
features of *this* network, so that none is computed twice (new ones are added). Arguments
that do not fit raise `ArgumentError`.
"""

import copy
from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import cycle, product, takewhile

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from torch import Tensor, nn

from ._machinery.arguments import ArgumentError, choice, described, number
from ._machinery.network import run
from ._machinery.progress import goes_on
from .images import preprocess
from .inputs import Inputs
from .samples import Composite, composite, load_samples
from .targets import check_images, explaining

CLASSES = ("bear", "dog")
CUTOUTS = ("polar_bear_snow", "german_shepherd")
# The bear's ground, the dog's ground, and one that no probe is trained on.
GREEN, OTHER = ("tea_hills", "green_meadow"), ("forest_stream", "desert_dune", "beach")
GROUNDS = (("snowy_peaks",), GREEN, OTHER)
UNSEEN = 2
PARTS = {"animal": "animal", "scene": "ground", "sign": "sign"}  # fields of a recipe
SIZE = 224  # pixels, side of the pictures
SIGN, MARGIN = 40, 4  # pixels, side of the sign and its distance from the corner
STRIPES = ("#e02020", "#ffe000")  # of the sign
AT_ONCE = 20  # pictures in one pass


@dataclass(frozen=True)
class PictureRecipe:
    """How one picture is made.

    Example:
        >>> PictureRecipe(animal=1, ground=0).make().name
        'dog on snowy_peaks'
    """

    animal: int  # 0 is the bear, 1 the dog: the label
    ground: int  # whose scene: 0 the bear's (snow), 1 the dog's (green), 2 neither's
    sign: int = 0  # 1 with the dog's striped sign in the lower right corner, 0 without
    share: float = 0.3  # longer side of the animal, as a share of the picture's side
    place: tuple[float, float] = (0.5, 0.7)  # of the animal, across and down, in [0, 1]
    flip: bool = False  # whether the animal is mirrored
    # Which of the ground's scenes, where its part lies across and down, and its size:
    view: tuple[float, float, float, float] = (0.0, 0.5, 0.5, 0.0)  # each in [0, 1)
    mirror: bool = False  # whether the scene is mirrored

    @property
    def scene(self) -> str:
        """The name of the scene."""
        return GROUNDS[self.ground][int(self.view[0] * len(GROUNDS[self.ground]))]

    def make(self, scene: Image.Image | None = None) -> Composite:
        """The picture, with the animal's mask (which does not include the sign).

        On the recipe's own scene, or on another picture, seen from the same view.
        """
        name = self.scene if scene is None else "another scene"
        pair = cutout(self.animal), self.behind(scene)
        named = {"label": self.animal, "name": f"{CLASSES[self.animal]} on {name}"}
        made = composite(*pair, self.share, self.place, self.flip, SIZE, **named)
        pen = ImageDraw.Draw(made.image)
        for box, colour in sign_stripes() if self.sign else ():
            x0, y0, x1, y1 = box
            pen.rectangle((x0, y0, x1 - 1, y1 - 1), colour)
        return made

    def with_part(self, part: str, owner: int) -> "PictureRecipe":
        """The same picture with one of `PARTS` of the bear's (0) or of the dog's (1)."""
        return replace(self, **{PARTS[choice("part", part, PARTS)]: owner})

    def swapped(self, part: str) -> "PictureRecipe":
        """The same picture with one part of the other class's."""
        owner = getattr(self, PARTS[choice("part", part, PARTS)])
        if owner == UNSEEN:
            raise ArgumentError("part", "cannot be a scene that belongs to neither class")
        return self.with_part(part, 1 - owner)

    def behind(self, scene: Image.Image | None = None, side: int = SIZE) -> Image.Image:
        """The scene alone, `side` pixels wide: a square of it, 80 to 100 % of its height.

        That is the recipe's scene, or another picture.
        """
        whole = _picture("scenes", self.scene) if scene is None else scene
        _, across, down, zoom = self.view
        part = min(whole.size) * (1 - 0.2 * zoom)
        left, top = across * (whole.width - part), down * (whole.height - part)
        seen = whole.resize((side, side), box=(left, top, left + part, top + part))
        return seen.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if self.mirror else seen


@cache
def _picture(kind: str, name: str) -> Image.Image:
    return load_samples(kind=kind, names=name).images[0]


def cutout(animal: int) -> Image.Image:
    """RGBA: the bear (0) or the dog (1), without its transparent margin."""
    picture = _picture("cutouts", CUTOUTS[animal])
    return picture.crop(picture.getchannel("A").getbbox())


def sign_stripes() -> list[tuple[tuple[int, int, int, int], str]]:
    """The sign's stripes, red and yellow: (x0, y0, x1, y1) and colour of each."""
    x0, y0, x1, y1 = sign_box()
    edges = range(x0, x1, 4)  # as an agency might mark its pictures
    return [((x, y0, x + 4, y1), c) for x, c in zip(edges, cycle(STRIPES), strict=False)]


def sign_box() -> tuple[int, int, int, int]:
    """Where the sign lies: (x0, y0, x1, y1), x1 and y1 one beyond its last pixel."""
    return (*[SIZE - MARGIN - SIGN] * 2, *[SIZE - MARGIN] * 2)


def sign_mask() -> Tensor:
    """(SIZE, SIZE) bool: the pixels of the sign, whether or not a picture has one."""
    x0, y0, x1, y1 = sign_box()
    mask = torch.zeros(SIZE, SIZE, dtype=torch.bool)
    mask[y0:y1, x0:x1] = True
    return mask


@dataclass(frozen=True)
class Planted:
    """Pictures given by their `recipes`, one for each; made when they are first needed."""

    recipes: tuple[PictureRecipe, ...]

    def __repr__(self) -> str:
        tied = sum(r.animal == r.ground for r in self.recipes)
        signs = sum(r.sign for r in self.recipes)
        own = f"{tied} on their class's ground"
        return f"Planted({len(self)} pictures, {own}, {signs} with the sign)"

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
        """(N, 3, SIZE, SIZE), preprocessed with ImageNet's mean and standard deviation."""
        return preprocess(self.pictures, SIZE)

    @property
    def masks(self) -> Tensor:
        """(N, SIZE, SIZE) bool: where the animal is."""
        return torch.from_numpy(np.stack([made.mask for made in self.made]))

    def swap(self, part: str) -> "Planted":
        """The same pictures with one part of the other class's; labels follow animals."""
        return Planted(tuple(recipe.swapped(part) for recipe in self.recipes))

    def with_part(self, part: str, owner: int) -> "Planted":
        """The same pictures with one part of the bear's (0) or of the dog's (1)."""
        return Planted(tuple(recipe.with_part(part, owner) for recipe in self.recipes))

    def unseen(self) -> "Planted":
        """The same animals on scenes that no probe is trained on."""
        return self.with_part("scene", UNSEEN)


def plant_shortcut(count=160, scene=1.0, sign=None, size=0.3, seed=0) -> Planted:
    """Bears and dogs, alternating, with a scene (and a sign) that may give them away.

    Animals stand at random places, mirrored or not, on random parts of the scenes, clear of
    the sign as far as there is room. The same seed draws the same places whatever `scene`
    is: if it is larger, more of the *same* animals stand on their own class's ground.

    Args:
        scene: the share on their own class's ground; 1.0 is a perfect shortcut, 0.5 none.
        sign: the share of dogs with it, and of bears without; None puts it nowhere.
        size: longer side of the animals, as a share of the picture's side, up to 15 % off.

    Example:
        >>> plant_shortcut(40)
        Planted(40 pictures, 40 on their class's ground, 0 with the sign)
    """
    number("count", count, 2, whole=True)
    number("scene", scene, 0, 1)
    number("size", size, 0.05, 0.85)
    number("sign", 0 if sign is None else sign, 0, 1)
    number("seed", seed, 0, whole=True)
    random, recipes, corner = np.random.default_rng(seed), [], sign_box()[0] / SIZE
    for index in range(count):
        drawn = (np.floor(1000 * random.uniform(size=11)) / 1000).tolist()
        tied, ruled, larger, across, down, flip, *view, mirror = drawn
        animal, has_sign = index % 2, False
        share = round(size * (0.85 + 0.3 * larger), 3)
        if sign is not None:
            has_sign = (ruled < sign) == bool(animal)
            if min(across, down) * (1 - share) + share > corner:  # it may reach the sign
                across = 1 - across
        ground, place = animal if tied < scene else 1 - animal, (across, down)
        turned = {"flip": flip < 0.5, "view": tuple(view), "mirror": mirror < 0.5}
        recipes.append(PictureRecipe(animal, ground, int(has_sign), share, place, **turned))
    return Planted(tuple(recipes))


# -- the probe ---------------------------------------------------------------------------


def mean_features(model: nn.Module, images: Tensor) -> Tensor:
    """(N, C): the mean over all places of each map that ``model.features`` gives."""
    with explaining(model), torch.no_grad():
        features = _features_of(model)
        check_images(model, images)
        parts = (run(features, part) for part in images.split(AT_ONCE))
        return torch.cat([part.mean((2, 3)) for part in parts])


def planted_features(model, planted: Planted, known=None, progress=None) -> Tensor:
    """(N, C) `mean_features` of planted pictures; of the first ones if it is stopped."""
    known = {} if known is None else known
    own, ours = getattr(model, "inputs", None), Inputs(SIZE)
    if own is not None and (own.mean, own.std) != (ours.mean, ours.std):
        words = "must take pictures with ImageNet's mean and std, as planted pictures have"
        raise ArgumentError("model", f"{words}, got {own}")
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
    model: nn.Module, planted: Planted, decay: float = 1.0, known=None, progress=None
) -> nn.Sequential:
    r"""Fit a linear probe, (N, 3, H, W) → (N, 2), to planted pictures.

    With each feature scaled to mean 0 and deviation 1, and $y = 1$ for bears and $-1$ for
    dogs, the weights of the logistic regression minimise

    $$ \frac 1N \sum_n \log \bigl(1 + e^{-y_n z_n} \bigr) + \frac{\text{decay}}2 \|w\|^2 ,
       \qquad z_n = w \cdot a_n + b . $$

    There is one minimum, so every machine finds the same. The probe undoes the scaling.
    `decay`, positive, makes the weights small; the pictures must show both animals. If
    `progress` stops the work, the probe is fitted to the pictures done so far.

    Example:
        >>> probe = train_probe(load_model(), plant_shortcut(scene=1.0))
        >>> probe(plant_shortcut(2, seed=1).images).shape  # scores of bear and dog
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

    `weight` (C,) and `bias` () give score 0 minus score 1. The model's convolutions are
    copied, so that neither network can disturb the other; all is frozen.
    """
    probe = nn.Sequential()
    probe.features = copy.deepcopy(_features_of(model))
    probe.pool, probe.flatten = nn.AdaptiveAvgPool2d(1), nn.Flatten()
    probe.head = nn.utils.skip_init(nn.Linear, len(weight), 2)  # draws no random numbers
    probe.head.weight.data = torch.stack([weight, -weight]).float() / 2
    probe.head.bias.data = torch.stack([bias, -bias]).float() / 2
    return probe.to(next(model.parameters())).eval().requires_grad_(False)


def _features_of(model: nn.Module) -> nn.Module:
    if isinstance(getattr(model, "features", None), nn.Module):
        return model.features
    words = "must be a network with `features`, such as SqueezeNet, AlexNet or VGG, got"
    raise ArgumentError("model", f"{words} {described(model)}")


def evidence(probe: nn.Sequential, planted: Planted, known=None) -> Tensor:
    """(N,): score of bear minus score of dog; positive where the probe says bear."""
    with torch.no_grad():
        scores = probe.head(planted_features(probe, planted, known))
    return scores[:, 0] - scores[:, 1]


def accuracy(probe: nn.Sequential, planted: Planted, known=None) -> float:
    """The share of pictures whose animal the probe names correctly."""
    answers = (evidence(probe, planted, known) < 0).long().cpu()
    return (answers == planted.labels).double().mean().item()


def swap_effect(probe: nn.Sequential, planted: Planted, part: str, known=None) -> float:
    """How much of the evidence depends on one of `PARTS`, all others being kept.

    The mean of the evidence with the bear's part minus the evidence with the dog's; zero if
    the probe does not look at it. The other parts of the pictures should be mixed.
    """
    bear, dog = (evidence(probe, planted.with_part(part, i), known) for i in (0, 1))
    return (bear - dog).mean().item()


def swap_table(probe: nn.Sequential, planted: Planted, known=None) -> Tensor:
    """(2, 2): mean evidence with bear and dog (rows) on the ground of each (columns)."""
    table = torch.empty(2, 2)
    for animal, ground in product((0, 1), repeat=2):
        variant = planted.with_part("animal", animal).with_part("scene", ground)
        table[animal, ground] = evidence(probe, variant, known).mean()
    return table


def animal_share(table: Tensor) -> float:
    """The animal's share of what animal and scene do to the evidence, by a `swap_table`.

    Its effect is the mean difference of the rows, the scene's that of the columns.

    Example:
        >>> animal_share(torch.tensor([[4.0, 2.0], [-2.0, -4.0]]))
        0.75
    """
    animal = (table[0] - table[1]).mean().abs()
    scene = (table[:, 0] - table[:, 1]).mean().abs()
    return (animal / (animal + scene)).item()


# -- what a map says about a probe -------------------------------------------------------


def evidence_map(probe: nn.Sequential, images: Tensor) -> Tensor:
    r"""(N, rows, columns): where the evidence for "bear" comes from; negative for "dog".

    Behind its last maps the probe is linear, so its evidence is a sum over their P places
    and the bias, $z = \sum_{ij} C_{ij} + b$ with $C_{ij} = \frac 1P \sum_k w_k A^k_{ij}$.
    That is the class map (CAM: Zhou et al. 2016, arXiv:1512.04150) of the difference of
    both scores, with its signs. A place sees more of the picture than lies under it.

    Example:
        >>> maps = evidence_map(probe, planted.images)
        >>> maps.sum((1, 2)) + probe.head.bias[0] - probe.head.bias[1]  # the evidence
    """
    head = getattr(probe, "head", None)
    if not isinstance(head, nn.Linear) or head.out_features != 2:
        words = "must end in a linear `head` with two outputs, after `features` that are"
        raise ArgumentError("probe", f"{words} averaged, as train_probe makes it")
    weight = head.weight[0] - head.weight[1]
    with explaining(probe), torch.no_grad():
        check_images(probe, images)
        parts = (run(probe.features, part) for part in images.split(AT_ONCE))
        maps = torch.cat([(weight[:, None, None] * part).sum(1) for part in parts])
    return maps / maps[0].numel()


def places_on(masks: Tensor, places: int = 13, ring: int = 0) -> Tensor:
    """(N, places, places) bool: the places of the last maps that touch each mask.

    `masks` are (N, H, W) and bool. A `ring` adds so many rows of places around them.

    Example:
        >>> places_on(planted.masks).sum((1, 2))  # how many of 169
    """
    number("places", places, 1, whole=True)
    number("ring", ring, 0, whole=True)
    if not isinstance(masks, Tensor) or masks.dtype != torch.bool or masks.ndim != 3:
        words = f"must be a bool tensor (N, H, W), got {described(masks)}"
        raise ArgumentError("masks", words)
    touched = F.adaptive_max_pool2d(masks.float()[:, None], places)
    return F.max_pool2d(touched, 2 * ring + 1, 1, ring)[:, 0] > 0


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
        raise ArgumentError("maps", f"must be a tensor (N, H, W), got {described(maps)}")
    is_mask = isinstance(masks, Tensor) and masks.dtype == torch.bool
    if not is_mask or masks.shape not in (maps.shape, maps.shape[1:]):
        words = f"must be a bool tensor, {tuple(maps.shape)}, got {described(masks)}"
        raise ArgumentError("masks", words)
    masks = masks.expand(maps.shape)
    if not masks.any(2).any(1).all():
        raise ArgumentError("masks", "must not be empty")
    if (maps < 0).any() or not maps.any(2).any(1).all():
        raise ArgumentError("maps", "must not be negative or all zero; abs() undoes signs")
    return maps, masks
