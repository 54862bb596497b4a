"""Checks of lesson 09: a fair test, a map's brightness, mended pictures, a blind round."""

from collections.abc import Callable, Mapping, MutableMapping

import torch
from torch import Tensor, nn

from ..shortcuts import PictureRecipe, Planted, Progress, plant_shortcut, train_probe
from .base import Wrong, call, check_tensor, compare, exercise

# -- exercise 1 ------------------------------------------------------------------------


def toy_classifier(planted: Planted) -> Tensor:
    """(N,) classes: follows the scene, but knows a mirrored bear and a large dog."""
    known = [r.share > 0.33 if r.animal else r.flip for r in planted.recipes]
    pairs = zip(planted.recipes, known, strict=True)
    return torch.tensor([r.animal if sure else r.ground for r, sure in pairs])


@exercise("Exercise 1")
def swapped_accuracy(answer) -> str:
    """Check `answer(classify, planted)`: the accuracy with all scenes swapped."""
    for seed in (3, 4):
        planted = plant_shortcut(41, scene=0.9, seed=seed)
        result = call(answer, toy_classifier, planted)
        result = torch.as_tensor(result, dtype=torch.float64).reshape(-1)
        if len(result) == len(planted):
            raise Wrong("One number is wanted: the mean over the pictures.")
        swapped, animals = planted.swap("scene"), planted.swap("animal")

        def share(said, truth):
            return (said == truth).double().mean().reshape(1)

        right = share(toy_classifier(swapped), planted.labels)
        own = share(toy_classifier(planted), planted.labels)
        mistakes = {
            "That is the accuracy on the pictures as they came: the shortcut still helps "
            "there. Swap the scenes first.": own,
            "You swapped the animals, and with them the labels. Keep the animal, and swap "
            'the scene: planted.swap("scene").': share(
                toy_classifier(animals), animals.labels
            ),
            "You swapped the animals and kept their old labels.": share(
                toy_classifier(animals), planted.labels
            ),
            "The label is the animal, and swapping the scene does not change it. You "
            "compare with the other class.": 1 - right,
            "That mixes tied and swapped pictures: a failure on the one hides behind the "
            "other. Measure the swapped ones alone.": (right + own) / 2,
            "That is how often the answer stays the same, not how often it is right.": (
                share(toy_classifier(swapped), toy_classifier(planted))
            ),
            "That is the number of right answers; divide by how many pictures there are.": (
                right * len(planted)
            ),
        }
        otherwise = "The share of planted.labels that the swapped pictures are given."
        compare(check_tensor(result, (1,)), right, mistakes, otherwise)
    return "Same animals, same labels, other scenes: a test the shortcut cannot pass."


# -- exercise 2 ------------------------------------------------------------------------


def small_maps(seed: int = 0) -> tuple[Tensor, Tensor]:
    """Three signed gradients (3, 3, 8, 8), and masks (3, 8, 8) of three sizes."""
    random = torch.Generator().manual_seed(seed)
    gradients = torch.randn(3, 3, 8, 8, generator=random)
    masks = torch.zeros(3, 8, 8, dtype=torch.bool)
    masks[0, 1:3, 2:5] = masks[1, 4:, 4:] = masks[2, 5, 1] = True
    gradients += 1.5 * masks[:, None]
    return gradients * torch.tensor([1.0, 5.0, 0.2])[:, None, None, None], masks


@exercise("Exercise 2")
def brightness(answer) -> str:
    """Check `answer(gradients, masks)`: (N,) mean on the mask over the mean everywhere.

    `gradients` is (N, 3, H, W), signed; `masks` (N, H, W), bool.
    """
    gradients, masks = small_maps()
    result = check_tensor(call(answer, gradients, masks), (3,))
    maps, signed = gradients.abs().amax(1), gradients.amax(1)
    right = _ratio(maps, masks)
    total = maps.sum((1, 2))
    mistakes = {
        "That is the share of the map's sum, which grows with the animal. Divide the mean "
        "on the mask by the mean everywhere; (maps * masks).mean() is not that mean, for "
        "it counts the zeros outside.": (maps * masks).sum((1, 2)) / total,
        "Your mask is turned round: True is the animal.": _ratio(maps, ~masks),
        "The gradient has signs, and they cancel. Take the absolute value before the "
        "largest colour.": _ratio(signed, masks),
        "The gradient has signs, and they cancel in a sum over colours. Take the absolute "
        "value first.": _ratio(gradients.sum(1), masks),
        "You add the colours, and then take the absolute value: signs have cancelled.": (
            _ratio(gradients.sum(1).abs(), masks)
        ),
        "You take the largest colour before the absolute value: a strong negative gradient "
        "is lost.": _ratio(signed.abs(), masks),
        "You average over the colours; the course's map takes the largest, amax(dim=1).": (
            _ratio(gradients.abs().mean(1), masks)
        ),
        "You divide by the mean outside of the animal; divide by the mean everywhere.": (
            _on(maps, masks) / _on(maps, ~masks)
        ),
        "That is the mean on the animal. Divide it by the map's own mean, or a map of "
        "large values wins everywhere.": _on(maps, masks),
        "You divide by the mean over all pictures; each map has its own scale.": (
            _on(maps, masks) / maps.mean()
        ),
    }
    otherwise = "Largest absolute colour; its mean on the mask over its mean everywhere."
    compare(result, right, mistakes, otherwise)
    return "One number a picture: how many times as bright as the mean the animal is."


def _on(maps: Tensor, masks: Tensor) -> Tensor:
    return (maps * masks).sum((1, 2)) / masks.sum((1, 2))


def _ratio(maps: Tensor, masks: Tensor) -> Tensor:
    return _on(maps, masks) / maps.mean((1, 2))


# -- exercise 3 ------------------------------------------------------------------------


@exercise("Exercise 3")
def mended(answer) -> str:
    """Check `answer(planted)`: pictures of the same animals with no tie to the scene."""
    planted = plant_shortcut(40, scene=1.0, seed=7)
    result = call(answer, planted)
    if not isinstance(result, Planted):
        raise Wrong(
            f"A Planted is wanted; yours is a {type(result).__name__}. Wrap your recipes: "
            "Planted(tuple(recipes))."
        )
    if len(result) == 0:
        raise Wrong("Your set is empty.")
    recipes, known = result.recipes, {_without_scene(r) for r in planted.recipes}
    if any(_without_scene(recipe) not in known for recipe in recipes):
        raise Wrong(
            "Some animals are not those that you were given: change the scene alone. "
            'swap("animal") changes the label as well.'
        )
    grounds = [
        [recipe.ground for recipe in recipes if recipe.animal == animal]
        for animal in (0, 1)
    ]
    if not all(grounds):
        raise Wrong("One of the classes is gone: there is nothing left to tell apart.")
    bear, dog = (sum(found) / len(found) for found in grounds)  # share on green
    if abs(len(grounds[0]) - len(grounds[1])) > 0.2 * len(result):
        raise Wrong(
            "There are many more pictures of one class: now the probe can be right by "
            "always saying the same."
        )
    _refuse_ties(bear, dog)
    if len(result) < len(planted):
        raise Wrong(
            "The scenes are mixed, but you threw pictures away: keep all the animals."
        )
    return "Each class stands on both grounds equally often: the scene tells nothing."


def _refuse_ties(bear: float, dog: float) -> None:
    """Refuse shares of bears and of dogs on green that differ, or that are one-sided."""
    if bear == 0 and dog == 1:
        raise Wrong("Each class still stands on its own ground alone: nothing has changed.")
    if bear == 1 and dog == 0:
        raise Wrong(
            "Every scene is swapped: it is tied to the class as firmly as before, only the "
            "other way round."
        )
    if bear == dog and bear in (0, 1):
        raise Wrong(
            "All pictures stand on one ground. The probe learns nothing about the other "
            "one, and may fail there."
        )
    if abs(bear - dog) > 0.25:
        where = f"{bear:.0%} of the bears and {dog:.0%} of the dogs stand on green"
        raise Wrong(
            f"{where}: the scene still tells the classes apart. (The set goes bear, dog, "
            "bear, dog: every second picture is one class.)"
        )
    if not 0.25 <= bear <= 0.75:
        raise Wrong("Both classes stand mostly on one ground; use both about equally.")


def _without_scene(recipe: PictureRecipe) -> tuple:
    return recipe.animal, recipe.share, recipe.place, recipe.flip


# -- exercise 4 ------------------------------------------------------------------------

WORDS = ("honest", "scene", "sign")
BLIND = {  # the dials of each probe's training pictures
    "A": {"scene": 0.5, "sign": 1.0},
    "B": {"scene": 0.5, "sign": 0.5},
    "C": {"scene": 1.0, "sign": 0.5},
}
BLIND_SIZE = 0.2


def blind_probes(
    model: nn.Module,
    known: MutableMapping[PictureRecipe, Tensor] | None = None,
    progress: Progress | None = None,
) -> dict[str, nn.Sequential]:
    """Three probes, A, B and C: one honest, one led by the scene, one by the sign.

    Args:
        model: a network with ``features`` (see `mean_features`).
        known, progress: see `planted_features`.
    """
    known = {} if known is None else known
    return {
        name: train_probe(
            model,
            plant_shortcut(size=BLIND_SIZE, seed=5, **dials),
            known=known,
            progress=progress,
        )
        for name, dials in BLIND.items()
    }


def _truth(dials: Mapping[str, float]) -> str:
    """What leads a probe that was trained on pictures with these dials."""
    tied = [part for part in ("scene", "sign") if dials[part] == 1.0]
    return tied[0] if tied else "honest"


@exercise("Exercise 4")
def blind_round(answer: Callable[[], Mapping[str, str]]) -> str:
    """Check `answer()`: {"A": …, "B": …, "C": …}, each honest, scene or sign."""
    result = call(answer)
    if not isinstance(result, Mapping) or set(result) != set(BLIND):
        raise Wrong('A dictionary with the keys "A", "B" and "C" is wanted.')
    if any(word not in WORDS for word in result.values()):
        raise Wrong('Each value is one of the words "honest", "scene" and "sign".')
    if len(set(result.values())) < len(WORDS):
        raise Wrong("One is honest, one is led by the scene, one by the sign: each once.")
    truth = {name: _truth(dials) for name, dials in BLIND.items()}
    if dict(result) == truth:
        return "All three. Now swap scene and sign, and see whether the scores agree."
    by_word = {word: name for name, word in result.items()}
    if truth[by_word["sign"]] != "sign":
        raise Wrong(
            f"{by_word['sign']} is not led by the sign. Compare the Grad-CAM numbers on "
            "the sign: one of them stands out."
        )
    raise Wrong(
        "The sign is found. The other two are exchanged: the honest probe's map is the "
        "brighter one on the animal, by both methods."
    )
