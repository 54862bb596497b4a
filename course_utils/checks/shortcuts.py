"""Checks of lesson 10: a fair test, a map's brightness, mended pictures, a blind round."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from ..shortcuts import PictureRecipe, Planted, plant_shortcut, train_probe
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
from .reading import each, number, truth
from .toys import noise
from .vanilla_saliency import reduction_mistakes

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
            text = (
                "`classify` is a function, not a probe, so accuracy() cannot take it. Call "
            )
            text += 'classify(planted.swap("scene")), and compare with planted.labels.'
            raise Wrong(text) from stop
        if getattr(result, "shape", ()) == (len(planted),):
            raise Wrong("Expected one number: take the mean over the pictures.")
        otherwise = "Return the share of swapped pictures that are given planted.labels."
        compare(read(result, number, "one number"), right, mistakes, otherwise)
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
def brightness(answer) -> str:
    """Check `answer(gradients, masks)`: (N,) mean on the mask over the mean everywhere."""
    for count, rows, columns in ((3, 8, 8), (4, 9, 7)):
        masks = torch.zeros(count, rows, columns, dtype=torch.bool)  # of three sizes
        masks[0, 1:3, 2:5] = masks[1, 4:, 4:] = masks[2:, 5, 1] = True
        strengths = torch.tensor([1.0, 5.0, 0.2, 2.0])[:count].view(count, 1, 1, 1)
        gradients = noise(count, 3, rows, columns, seed=count) + 1.5 * masks[:, None]
        gradients = strengths * gradients
        right, mistakes = _brightness(gradients, masks)
        otherwise = "Divide the map's mean on the mask by its mean over all pixels."
        case = {"gradients": gradients, "masks": masks}
        with each_argument(answer, case, masks=masks.flip(2), gradients=gradients**2):
            result = as_tensor(call(answer, gradients, masks))
            compare_tensor(result, right, mistakes, otherwise)
    return "One number per picture: how many times brighter than the mean the animal is."


def _brightness(gradients: Tensor, masks: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """The right numbers, and sentence → wrong ones."""
    maps, summed = gradients.abs().amax(1), gradients.sum(1)
    inside, rest = _on(maps, masks), _on(maps, ~masks)
    reductions = reduction_mistakes(gradients) | {
        "Signs of slopes cancel in a sum over colours: take abs() first.": summed,
        "You add the colours before abs(): the signs cancel.": summed.abs(),
    }
    mistakes = {text: _ratio(wrong, masks) for text, wrong in reductions.items()} | {
        "That is the share of the map's sum: divide means; but (maps * masks).mean() "
        "counts the zeros.": (maps * masks).sum((1, 2)) / maps.sum((1, 2)),
        "Your mask is inverted: True is the animal.": _ratio(maps, ~masks),
        "You divide by the mean outside the animal; divide by that of all.": inside / rest,
        "That is the mean on the animal: divide it by the map's own mean.": inside,
        "You use the mean over all pictures; take each map's own.": inside / maps.mean(),
    }
    return _ratio(maps, masks), mistakes


def _on(maps: Tensor, masks: Tensor) -> Tensor:
    return (maps * masks).sum((1, 2)) / masks.sum((1, 2))


def _ratio(maps: Tensor, masks: Tensor) -> Tensor:
    return _on(maps, masks) / maps.mean((1, 2))


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


# -- exercise 4 ------------------------------------------------------------------------

BLIND = {  # how far each probe's training pictures tie the class to the scene and the sign
    "A": {"scene": 0.5, "sign": 1.0},
    "B": {"scene": 0.5, "sign": 0.5},
    "C": {"scene": 1.0, "sign": 0.5},
}
BLIND_SIZE = 0.2
WORDS = ("honest", "scene", "sign")


def blind_probes(model, known=None, progress=None) -> dict[str, nn.Sequential]:
    """Three probes, A, B and C: one honest, one led by the scene, one by the sign.

    For `model`, `known` and `progress` see `planted_features`.
    """
    how = {"known": {} if known is None else known, "progress": progress}
    sets = {name: plant_shortcut(size=BLIND_SIZE, seed=5, **BLIND[name]) for name in BLIND}
    return {name: train_probe(model, planted, **how) for name, planted in sets.items()}


def _truth(ties: Mapping[str, float]) -> str:
    """What leads a probe that was trained on pictures with these ties."""
    tied = [part for part in ("scene", "sign") if ties[part] == 1.0]
    return tied[0] if tied else "honest"


@exercise("Exercise 4")
def blind_round(answer) -> str:
    """Check `answer()`: {"A": …, "B": …, "C": …}, each honest, scene or sign."""
    result = call(answer)
    if not isinstance(result, Mapping) or set(result) != set(BLIND):
        raise Wrong('Expected a dictionary with the keys "A", "B" and "C".')
    if not all(isinstance(word, str) and word in WORDS for word in result.values()):
        raise Wrong('Each value should be one of the words "honest", "scene" and "sign".')
    if len(set(result.values())) < len(BLIND):
        raise Wrong("One is honest, one is led by the scene, one by the sign: each once.")
    truth = {name: _truth(ties) for name, ties in BLIND.items()}
    if dict(result) == truth:
        return "All three. Now swap scene and sign, and see whether the scores agree."
    named = next(name for name, word in result.items() if word == "sign")
    if truth[named] != "sign":
        raise Wrong(f"{named} is not led by the sign: whose Grad-CAM on it stands out?")
    raise Wrong("The other two are swapped: the honest map is brighter on the animal.")
