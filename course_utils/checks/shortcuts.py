"""Checks of lesson 10: a fair test, signed evidence, mended pictures, and a claim."""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn

from ..models import load_model
from ..more_maps import grad_cam
from ..occlusion import occlusion
from ..shortcuts import (
    PictureRecipe,
    Planted,
    accuracy,
    brightness_on,
    evidence,
    plant_shortcut,
    train_probe,
)
from .base import (
    Wrong,
    as_tensor,
    call,
    compare,
    compare_tensor,
    each_argument,
    exercise,
    read,
)
from .claims import Claim, Test
from .reading import each, number, truth
from .toys import noise

# -- exercise 1 ------------------------------------------------------------------------


def toy_classifier(planted: Planted) -> Tensor:
    """(N,) classes: follows the scene, but knows a mirrored bear and a large dog."""
    return _toy(planted, lambda r: r.share > 0.33 if r.animal else r.flip)


def other_classifier(planted: Planted) -> Tensor:
    """(N,) classes: follows the scene, but knows bears on the left and small dogs."""
    return _toy(planted, lambda r: r.share < 0.31 if r.animal else r.place[0] < 0.4)


def _toy(planted: Planted, knows: Callable[[PictureRecipe], bool]) -> Tensor:
    if not isinstance(planted, Planted):
        raise TypeError("`classify` takes a Planted, such as planted.swap('scene')")
    return torch.tensor([r.animal if knows(r) else r.ground for r in planted.recipes])


CLASSIFIED = ((toy_classifier, 41, 3), (other_classifier, 33, 0))  # pictures, seed


@exercise("Exercise 1")
def swapped_accuracy(answer) -> str:
    """Check `answer(classify, planted)`: the accuracy with all scenes swapped."""
    for classify, count, seed in CLASSIFIED:
        planted = plant_shortcut(count, scene=0.9, seed=seed)
        right, mistakes = _accuracies(classify, planted)
        try:
            result = call(answer, classify, planted)
        except Wrong as stop:
            if "'function' object has no attribute" not in str(stop):
                raise
            text = "`classify` is a function, not a probe: accuracy() cannot take it. Call "
            text += 'classify(planted.swap("scene")), and compare with planted.labels.'
            raise Wrong(text) from stop
        if getattr(result, "shape", ()) == (len(planted),):
            raise Wrong("Expected one number: take the mean over the pictures.")
        otherwise = "Return the share of swapped pictures that are given planted.labels."
        rounded = 0.015  # two digits will do, and one picture more or less will not
        compare(read(result, number, "one number"), right, mistakes, otherwise, rounded)
    return "Same animals, same labels, other scenes: a test that the shortcut cannot pass."


def _share(said: Tensor, truth: Tensor) -> float:
    return (said == truth).double().mean().item()


def _accuracies(classify: Callable, planted: Planted) -> tuple[float, dict[str, float]]:
    """The right accuracy, and sentence → a wrong one."""
    said, labels, animals = classify(planted), planted.labels, planted.swap("animal")
    of_scenes, of_animals = (classify(p) for p in (planted.swap("scene"), animals))
    right, own, kept = (_share(answer, labels) for answer in (of_scenes, said, of_animals))
    same, count = _share(of_scenes, said), right * len(planted)
    classifiers = {toy_classifier, other_classifier} - {classify}
    return right, {
        "That is the accuracy on the original pictures: swap the scenes first.": own,
        "You swapped the animals, and with them the labels. Keep the animal, and swap the "
        'scene: planted.swap("scene").': _share(of_animals, animals.labels),
        "You swapped the animals and kept their old labels; swap the scenes.": kept,
        "You compare with the other class; a new scene keeps the label.": 1 - right,
        "You mix both sets; a failure hides behind the other one.": (right + own) / 2,
        "That is how often the answer stays the same, not how often it is right.": same,
        "That is the number of right answers; divide by the number of pictures.": count,
        "That is in per cent; return the share, between 0 and 1.": 100 * right,
        "You ask another classifier than `classify`.": _share(
            classifiers.pop()(planted.swap("scene")), labels
        ),
    }


# -- exercise 2 ------------------------------------------------------------------------


@exercise("Exercise 2")
def evidence_on(answer) -> str:
    """Check `answer(features, weight, places)`: (N,) evidence that these places give."""
    for count, maps, rows, columns in ((3, 6, 5, 4), (4, 7, 6, 8)):
        features = noise(count, maps, rows, columns, seed=count).relu() + 0.1
        places = torch.zeros(count, rows, columns, dtype=torch.bool)  # of three sizes
        places[0, 1:3, 1:4] = places[1, 3:, 2:] = places[2:, 4, 1] = True
        weight = noise(maps, seed=9)
        case = {"features": features, "weight": weight - weight.mean(), "places": places}
        right, mistakes = _evidence_on(**case)
        otherwise = "Weigh the maps, add them, keep the places, and add those up, over P."
        others = {"places": places.flip(1), "weight": weight.abs()}
        with each_argument(answer, case, **others, features=features**2):
            result = as_tensor(call(answer, *case.values()))
            shapes = {
                (): "Expected one number per picture: sum over rows and columns alone.",
                places.shape: "That is a map: add it up over the places, sum((1, 2)).",
            }
            compare_tensor(result, right, mistakes, otherwise, shapes)
    return "One signed number per picture: what these places add to the evidence."


def _evidence_on(features, weight, places) -> tuple[Tensor, dict[str, Tensor]]:
    """The right numbers, and sentence → wrong ones."""
    total, maps = places[0].numel(), (weight[:, None, None] * features).sum(1)
    on, whole = (maps * places).sum((1, 2)), maps.sum((1, 2))
    cut, parts = maps.relu(), (weight[:, None, None] * features).relu().sum(1)
    plain, size = (features.sum(1) * places).sum((1, 2)), places.sum((1, 2))
    return on / total, {
        "You forget the 1/P: a feature is the mean of its map, so divide by the number of "
        "places of a map.": on,
        "You cut the map off below zero, as Grad-CAM does: evidence against the bear "
        "counts, too.": (cut * places).sum((1, 2)) / total,
        "You cut off single terms below zero: add all maps, with their signs.": (
            parts * places
        ).sum((1, 2))
        / total,
        "You take abs(): then evidence for the dog counts as evidence for the bear.": (
            maps.abs() * places
        ).sum((1, 2))
        / total,
        "That is the mean over the animal's places, which is brightness again: divide by "
        "the number of all places.": on / size,
        "That is the evidence from everywhere else: `places` is True on the animal.": (
            whole - on
        )
        / total,
        "That is the evidence of the whole picture: multiply the map by `places`.": whole
        / total,
        "That is a share, and where signs differ it has no meaning: return the evidence "
        "itself.": on / whole,
        "You leave the weights out: multiply each map by its own.": plain / total,
        "You take the mean over the maps: add them.": on / total / len(weight),
        "You divide by the places of all pictures together: one map has rows times "
        "columns.": on / places.numel(),
        "You divide by 169, but these maps are not 13 by 13: take the number from the "
        "shape.": on / 169,
    }


# -- exercise 3 ------------------------------------------------------------------------


@exercise("Exercise 3")
def mended(answer) -> str:
    """Check `answer(planted)`: pictures of the same animals with no tie to the scene."""
    for count, sign, seed in ((400, None, 7), (320, 0.5, 8)):  # many: chance ties nothing
        planted = plant_shortcut(count, scene=1.0, sign=sign, seed=seed)
        recipes = _recipes(call(answer, planted))
        if not recipes:
            raise Wrong("Your set is empty.")
        _refuse_other_animals(recipes, planted)
        bears, dogs = ([r for r in recipes if r.animal == animal] for animal in (0, 1))
        if not bears or not dogs:
            raise Wrong("One of the classes is gone: there is nothing left to tell apart.")
        if abs(len(bears) - len(dogs)) > 0.2 * len(recipes):
            raise Wrong("With many more pictures of one class, always guessing it pays.")
        _refuse_ties(*(np.mean([r.ground for r in one]) for one in (bears, dogs)))
        _refuse_lost(recipes, planted)
        _refuse_new_ties(bears, dogs)
    return "Each class stands on both grounds equally often: the scene tells nothing."


def _recipes(result) -> Sequence[PictureRecipe]:
    if not isinstance(result, Planted):
        kind = type(result).__name__
        raise Wrong(f"Expected a Planted, got a {kind}: return Planted(tuple(recipes)).")
    recipes = read(result.recipes, tuple, "a tuple of recipes in the Planted")
    if not all(isinstance(recipe, PictureRecipe) for recipe in recipes):
        raise Wrong("A Planted holds recipes: Planted(tuple(recipes)).")
    read(recipes, each(_scene), "recipes with a `view` of four numbers, and a `mirror`")
    if any(recipe.ground not in (0, 1) for recipe in recipes):
        raise Wrong("Some stand on neither class's ground; use the two grounds alone.")
    return recipes


def _scene(recipe: PictureRecipe) -> tuple:
    """The part of the scene that is shown, and whether it is mirrored."""
    view = each(number)(recipe.view)
    if len(view) != 4 or not all(0 <= value < 1 for value in view):
        raise ValueError
    return *view, truth(recipe.mirror)


def _animal(recipe: PictureRecipe) -> tuple:
    return recipe.animal, recipe.share, recipe.place, recipe.flip


def _refuse_other_animals(recipes, planted: Planted) -> None:
    """Refuse animals that were not given, and signs that were not."""
    signs = {_animal(recipe): recipe.sign for recipe in planted.recipes}
    if any(_animal(recipe) not in signs for recipe in recipes):
        raise Wrong("Some animals are not those you were given: change the scene alone.")
    if any(recipe.sign != signs[_animal(recipe)] for recipe in recipes):
        shares = [np.mean([r.sign for r in recipes if r.animal == a] or 0) for a in (0, 1)]
        if abs(shares[0] - shares[1]) > APART:
            kind = "the dogs" if shares[0] < shares[1] else "the bears"
            raise Wrong(f"Your sign gives {kind} away: that is a new planted shortcut.")
        raise Wrong("You changed the sign of some pictures: change the scene alone.")


def _refuse_ties(bear: float, dog: float) -> None:
    """Refuse shares of bears and of dogs on green that differ, or that are one-sided."""
    if (bear, dog) == (0, 1):
        raise Wrong("Each class stands on its own ground alone: nothing has changed.")
    if (bear, dog) == (1, 0):
        raise Wrong("Every scene is swapped: the scene is tied to the class as before.")
    if bear == dog and bear in (0, 1):
        raise Wrong("All pictures stand on one ground. (Every second one is a dog.)")
    if abs(bear - dog) > 0.25:
        green = f"{bear:.0%} of the bears and {dog:.0%} of the dogs stand on green"
        raise Wrong(f"{green}: the scene still tells the classes apart.")
    if not 0.25 <= bear <= 0.75:
        raise Wrong("Both classes stand mostly on one ground; use both about equally.")


# What else may give the class away on one ground, as a number, and how to say it.
APART = 0.35  # distance of two distributions: more does not happen by chance
FACTORS = {
    "the sign": lambda r: r.sign,
    "whether the scene is mirrored": lambda r: r.mirror,
    "which part of the scene is shown (`view`)": lambda r: r.view,
    "whether the animal is mirrored": lambda r: r.flip,
    "the animal's size": lambda r: r.share,
    "the animal's place": lambda r: r.place,
}


def _refuse_new_ties(bears, dogs) -> None:
    """Refuse factors that differ between the bears and the dogs of one ground."""
    for ground, where in enumerate(("in the snow", "in the green")):
        sides = [[r for r in one if r.ground == ground] for one in (bears, dogs)]
        for words, factor in FACTORS.items():
            tables = (np.array([factor(r) for r in side], dtype=float) for side in sides)
            columns = zip(*(np.atleast_2d(table.T) for table in tables), strict=True)
            if any(_distance(bear, dog) > APART for bear, dog in columns):
                text = f"Among the pictures {where}, {words} tells bears from dogs:"
                raise Wrong(
                    f"{text} a new shortcut. Change only the scene, for any animal."
                )


def _distance(one: np.ndarray, other: np.ndarray) -> float:
    """The largest gap between two distributions (Kolmogorov & Smirnov), in [0, 1]."""
    values = np.concatenate([one, other])
    below = [
        np.searchsorted(np.sort(v), values, side="right") / len(v) for v in (one, other)
    ]
    return float(np.abs(below[0] - below[1]).max())


def _refuse_lost(recipes, planted: Planted) -> None:
    """Refuse if animals are missing, or if some come more often than others."""
    counts = Counter(map(_animal, recipes))
    if missing := len(planted) - len(counts):
        text = f"{missing} of the {len(planted)} animals are missing"
        raise Wrong(f"The scenes are mixed, but pictures are missing: {text}.")
    if len(set(counts.values())) > 1:
        raise Wrong("Some animals come more often than others: use each equally often.")


# -- the claim -------------------------------------------------------------------------


@cache
def _mended_probe() -> tuple[nn.Sequential, Planted, dict]:
    """A probe trained on mixed scenes, new pictures with scenes tied, their features."""
    known = {}
    probe = train_probe(load_model(), plant_shortcut(60, scene=0.5), known=known)
    return probe, plant_shortcut(12, scene=1.0, seed=1), known


def _right_at_home() -> str:
    probe, test, known = _mended_probe()
    right = accuracy(probe, test, known)
    own = "each animal on its own ground"
    return f"On {len(test)} new pictures, {own}, {right:.0%} are right."


def _bright_animal() -> str:
    probe, test, _ = _mended_probe()
    times = brightness_on(grad_cam(probe, test.images), test.masks).mean()
    return f"Grad-CAM is {times:.0f} times as bright on the animal as on average."


def _grounds_changed() -> str:
    probe, test, known = _mended_probe()
    grounds, animals = ([test.with_part(p, i) for i in (0, 1)] for p in ("scene", "animal"))
    scene, animal = (
        (evidence(probe, bear, known) - evidence(probe, dog, known)).abs().mean()
        for bear, dog in (grounds, animals)
    )
    right = accuracy(probe, test.swap("scene"), known)
    moves = f"a new scene moves the evidence by {scene:.1f}, a new animal by {animal:.1f}"
    return f"On {len(test)} pictures {moves}; with scenes swapped {right:.0%} are right."


def _windows_hidden() -> str:
    probe, test, _ = _mended_probe()
    scores = occlusion(probe, test[1:2].images, window=40, stride=23).scores
    turned = (scores < 0).sum().item()
    return f"Of {scores.numel()} windows over a dog's picture, {turned} change the answer."


claim = Claim(
    "A fifth of the mended probe's evidence lies off the animal, so it still goes by the "
    "scene.",
    {
        "A": Test(
            _right_at_home,
            "The biased probe scores as well here, so this cannot tell the two apart.",
        ),
        "B": Test(
            _bright_animal,
            "The animal was bright for the biased probe as well: brightness is no share.",
        ),
        "C": Test(
            _grounds_changed,
            "If it still went by the scene, the other ground would move its evidence. The "
            "animal moves it far more, and that refutes the claim: places beside the "
            "animal see it, too.",
            could_refute=True,
        ),
        "D": Test(
            _windows_hidden,
            "A scene is larger than a window: hardly one changed the biased probe's answer "
            "either.",
        ),
    },
)
