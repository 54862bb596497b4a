"""Checks of lesson 09: a fair test, a map's brightness, mended pictures, a blind round."""

from collections.abc import Mapping
from operator import attrgetter

import torch
from torch import Tensor, nn

from ..shortcuts import Planted, plant_shortcut, train_probe
from .base import Wrong, call, compare, compare_tensor, exercise, read
from .toys import noise
from .vanilla_saliency import reduction_mistakes


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
        if getattr(result, "shape", ()) == (len(planted),):
            raise Wrong("Expected one number: take the mean over the pictures.")
        otherwise = "Return the share of swapped pictures that are given planted.labels."
        compare(read(result, float, "one number"), *_accuracies(planted), otherwise)
    return "Same animals, same labels, other scenes: a test that the shortcut cannot pass."


def _share(said: Tensor, truth: Tensor) -> float:
    return (said == truth).double().mean().item()


def _accuracies(planted: Planted) -> tuple[float, dict[str, float]]:
    """The right accuracy, and sentence → a wrong one."""
    said, labels, animals = toy_classifier(planted), planted.labels, planted.swap("animal")
    of_scenes, of_animals = (toy_classifier(p) for p in (planted.swap("scene"), animals))
    right, own, kept = (_share(answer, labels) for answer in (of_scenes, said, of_animals))
    same, count = _share(of_scenes, said), right * len(planted)
    return right, {
        "That is the accuracy on the original pictures: swap the scenes first.": own,
        "You swapped the animals, and with them the labels. Keep the animal, and swap the "
        'scene: planted.swap("scene").': _share(of_animals, animals.labels),
        "You swapped the animals and kept their old labels; swap the scenes.": kept,
        "You compare with the other class; a new scene keeps the label.": 1 - right,
        "You mix both sets; a failure hides behind the other one.": (right + own) / 2,
        "That is how often the answer stays the same, not how often it is right.": same,
        "That is the number of right answers; divide by the number of pictures.": count,
    }


@exercise("Exercise 2")
def brightness(answer) -> str:
    """Check `answer(gradients, masks)`: (N,) mean on the mask over the mean everywhere."""
    masks = torch.zeros(3, 8, 8, dtype=torch.bool)  # of three sizes
    masks[0, 1:3, 2:5] = masks[1, 4:, 4:] = masks[2, 5, 1] = True
    strengths = torch.tensor([1.0, 5.0, 0.2]).view(3, 1, 1, 1)
    gradients = strengths * (noise(3, 3, 8, 8) + 1.5 * masks[:, None])
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
    result, right = call(answer, gradients, masks), _ratio(maps, masks)
    otherwise = "Divide the map's mean on the mask by its mean over all pixels."
    compare_tensor(result, right, mistakes, otherwise)
    return "One number per picture: how many times brighter than the mean the animal is."


def _on(maps: Tensor, masks: Tensor) -> Tensor:
    return (maps * masks).sum((1, 2)) / masks.sum((1, 2))


def _ratio(maps: Tensor, masks: Tensor) -> Tensor:
    return _on(maps, masks) / maps.mean((1, 2))


@exercise("Exercise 3")
def mended(answer) -> str:
    """Check `answer(planted)`: pictures of the same animals with no tie to the scene."""
    planted = plant_shortcut(40, scene=1.0, seed=7)
    result = call(answer, planted)
    if not isinstance(result, Planted):
        kind = type(result).__name__
        raise Wrong(f"Expected a Planted, got a {kind}: return Planted(tuple(recipes)).")
    if len(result) == 0:
        raise Wrong("Your set is empty.")
    animal = attrgetter("animal", "share", "place", "flip")
    if not {*map(animal, result.recipes)} <= {*map(animal, planted.recipes)}:
        raise Wrong("Some animals are not those you were given: change the scene alone.")
    bears, dogs = ([r.ground for r in result.recipes if r.animal == a] for a in (0, 1))
    if not bears or not dogs:
        raise Wrong("One of the classes is gone: there is nothing left to tell apart.")
    if abs(len(bears) - len(dogs)) > 0.2 * len(result):
        raise Wrong("With many more pictures of one class, always guessing it pays.")
    _refuse_ties(sum(bears) / len(bears), sum(dogs) / len(dogs))
    if len(result) < len(planted):
        raise Wrong("The scenes are mixed, but pictures are missing: keep all the animals.")
    return "Each class stands on both grounds equally often: the scene tells nothing."


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


BLIND = {  # how far each probe's training pictures tie the class to the scene and the sign
    "A": {"scene": 0.5, "sign": 1.0},
    "B": {"scene": 0.5, "sign": 0.5},
    "C": {"scene": 1.0, "sign": 0.5},
}
BLIND_SIZE = 0.2


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
    if any(word not in ("honest", "scene", "sign") for word in result.values()):
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
