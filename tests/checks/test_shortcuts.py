"""The checks of lesson 10: right answers pass, mistakes get the sentence that helps."""

from collections import OrderedDict
from dataclasses import replace

import numpy as np
import pytest
import torch
from exercises import make_tests

from course_utils.checks import shortcuts as check
from course_utils.shortcuts import Planted, accuracy


def share(said, truth):
    return (said == truth).double().mean()


def swapped_accuracy(classify, planted):
    return share(classify(planted.swap("scene")), planted.labels)


def animal_brightness(gradients, masks):
    maps = gradients.abs().amax(dim=1)
    return on(maps, masks) / maps.mean((1, 2))


def on(maps, masks):
    return (maps * masks).sum((1, 2)) / masks.sum((1, 2))


def of_maps(make, score=lambda maps, masks: on(maps, masks) / maps.mean((1, 2))):
    return lambda gradients, masks: score(make(gradients), masks)


def course_map(gradients):
    return gradients.abs().amax(1)


def mend(planted):
    return Planted(planted.recipes + planted.swap("scene").recipes)


def every_second(planted, start=0):
    recipes = list(planted.recipes)
    recipes[start::2] = [recipe.swapped("scene") for recipe in recipes[start::2]]
    return Planted(tuple(recipes))


def in_pairs(planted):
    """Every second pair swapped: mixed, and nothing lost."""
    recipes = list(planted.recipes)
    for start in range(0, len(recipes), 4):
        recipes[start : start + 2] = [
            r.swapped("scene") for r in recipes[start : start + 2]
        ]
    return Planted(tuple(recipes))


def given(planted, change):
    """The recipes with other fields, by a function from a recipe to a dict."""
    return Planted(tuple(replace(recipe, **change(recipe)) for recipe in planted.recipes))


def swapped_where(condition):
    """Half of each class on the other ground, but not any half."""
    return lambda planted: Planted(
        tuple(r.swapped("scene") if condition(r) else r for r in planted.recipes)
    )


def at_random(planted, seed=0):
    """A coin decides for each animal."""
    coins = np.random.default_rng(seed).random(len(planted)) < 0.5
    pairs = zip(planted.recipes, coins, strict=True)
    return Planted(tuple(r.swapped("scene") if coin else r for r, coin in pairs))


def with_other_views(planted):
    """Each animal twice, on parts of the scenes that are drawn anew."""
    random = np.random.default_rng(1)
    return given(
        mend(planted),
        lambda r: {"view": tuple(random.random(4)), "mirror": bool(random.random() < 0.5)},
    )


VERDICT = {"A": "sign", "B": "honest", "C": "scene"}
WRONG_TESTS = {
    "on the original pictures": lambda c, p: share(c(p), p.labels),
    "Keep the animal, and swap": lambda c, p: share(
        c(p.swap("animal")), p.swap("animal").labels
    ),
    "kept their old labels": lambda c, p: share(c(p.swap("animal")), p.labels),
    "compare with the other class": lambda c, p: share(c(p.swap("scene")), 1 - p.labels),
    "hides behind the other": lambda c, p: (
        (share(c(p), p.labels) + share(c(p.swap("scene")), p.labels)) / 2
    ),
    "how often the answer stays": lambda c, p: share(c(p.swap("scene")), c(p)),
    "the number of right answers": lambda c, p: (c(p.swap("scene")) == p.labels).sum(),
    "the share of swapped pictures": lambda c, p: 0.123,
    "the mean over the pictures": lambda c, p: c(p.swap("scene")) == p.labels,
    "stopped": lambda c, p: 1 / 0,
    "takes a Planted, such as planted.swap('scene')": lambda c, p: c(p.pictures),
    "is a function, not a probe": lambda c, p: accuracy(c, p.swap("scene")),
    "so accuracy() cannot take it": lambda c, p: accuracy(
        c, p.swap("scene"), dict.fromkeys(p.swap("scene").recipes, torch.zeros(8))
    ),
    "in per cent": lambda c, p: 100 * swapped_accuracy(c, p),
    "another classifier than": lambda c, p: swapped_accuracy(check.toy_classifier, p),
    "Expected one number, got '": lambda c, p: str(float(swapped_accuracy(c, p))),
    "Expected one number, got a dict": lambda c, p: {"accuracy": swapped_accuracy(c, p)},
    "Expected one number, got a set": lambda c, p: {1, 2},
}
WRONG_BRIGHTNESS = {
    "share of the map's sum": of_maps(
        course_map, lambda maps, masks: (maps * masks).sum((1, 2)) / maps.sum((1, 2))
    ),
    "mask is inverted": lambda g, m: animal_brightness(g, ~m),
    "No absolute value": of_maps(lambda g: g.amax(1)),
    "after the maximum": of_maps(lambda g: g.amax(1).abs()),
    "in a sum over colours": of_maps(lambda g: g.sum(1)),
    "the signs cancel": of_maps(lambda g: g.sum(1).abs()),
    "mean over the colours": of_maps(lambda g: g.abs().mean(1)),
    "outside the animal; divide": of_maps(
        course_map, lambda maps, masks: on(maps, masks) / on(maps, ~masks)
    ),
    "That is the mean on the animal": of_maps(course_map, on),
    "over all pictures": of_maps(
        course_map, lambda maps, masks: on(maps, masks) / maps.mean()
    ),
    "counts the zeros": of_maps(
        course_map,
        lambda maps, masks: (maps * masks).mean((1, 2)) / maps.mean((1, 2)),
    ),
    "The shape should be": lambda g, m: animal_brightness(g, m).mean(),
    "or use `amax`": lambda g, m: g.abs().max(dim=1),
    "map's mean on the mask by": lambda g, m: 2 * animal_brightness(g, m),
    "`masks` makes no difference": lambda g, m: course_map(g)[:, 2, 3],
    "The shape should be (4,)": lambda g, m: animal_brightness(g, m)[:3],
    "Expected a tensor": lambda g, m: "bright",
}
WRONG_MENDS = {
    "Expected a Planted, got a list": lambda p: list(p.recipes),
    "empty": lambda p: Planted(()),
    "change the scene alone": lambda p: Planted(p.recipes + p.swap("animal").recipes),
    "One of the classes is gone": lambda p: p[::2],
    "many more pictures of one class": lambda p: Planted(
        p.recipes[::2] * 2 + mend(p).recipes
    ),
    "nothing has changed": lambda p: p,
    "Every scene is swapped": lambda p: p.swap("scene"),
    "stand on one ground": every_second,
    "Expected a Planted, got a dict": lambda p: {"recipes": p.recipes},
    "A Planted holds recipes": lambda p: Planted(("bear", "dog")),
    "a tuple of recipes in the Planted": lambda p: Planted(7),
    "with a `view` of four numbers": lambda p: given(mend(p), lambda r: {"view": None}),
    "recipes with a `view` of four": lambda p: given(mend(p), lambda r: {"view": (1, 2)}),
    "neither class's ground": lambda p: p.unseen(),
    "398 of the 400 animals are missing": lambda p: Planted(mend(p[:2]).recipes * 40),
    "come more often than others": lambda p: Planted(
        mend(p).recipes + mend(p[:40]).recipes
    ),
    "gives the dogs away: that is a new planted": lambda p: given(
        mend(p), lambda r: {"sign": r.animal}
    ),
    "gives the bears away": lambda p: given(mend(p), lambda r: {"sign": 1 - r.animal}),
    "You changed the sign of some": lambda p: given(mend(p), lambda r: {"sign": r.ground}),
    "whether the scene is mirrored tells": lambda p: given(
        mend(p), lambda r: {"mirror": r.mirror or r.animal == 1}
    ),
    "scene is mirrored tells bears from dogs": lambda p: given(
        mend(p), lambda r: {"mirror": r.animal == 1}
    ),
    "which part of the scene is shown": lambda p: given(
        mend(p), lambda r: {"view": (0.5, 0.5, 0.5, 0.5)} if r.animal else {}
    ),
    "in the green, which part of the scene": lambda p: given(
        mend(p), lambda r: {"view": (0.2, *r.view[1:])} if r.animal and r.ground else {}
    ),
    "whether the animal is mirrored tells": swapped_where(lambda r: r.flip),
    "the animal's place tells": swapped_where(lambda r: r.place[0] < 0.5),
    "the animal's size tells": swapped_where(lambda r: r.share < 0.3),
    "still tells the classes apart": lambda p: Planted(
        p.recipes + p.swap("scene").recipes[:16] + p.recipes[:16]
    ),
    "use both about equally": lambda p: Planted(
        every_second(p).recipes * 4 + every_second(p, 1).recipes
    ),
    "pictures are missing": lambda p: mend(p[:10]),
}
WRONG_VERDICTS = {
    "the keys": lambda: ["sign", "honest", "scene"],
    'the keys "A", "B"': lambda: {"A": "sign", "B": "honest"},
    'of the words "honest"': lambda: VERDICT | {"C": ["scene"]},
    "one of the words": lambda: VERDICT | {"A": "watermark"},
    "each once": lambda: VERDICT | {"C": "honest"},
    "C is not led by the sign": lambda: {"A": "scene", "B": "honest", "C": "sign"},
    "B is not led by the sign": lambda: {"A": "honest", "B": "sign", "C": "scene"},
    "The other two are swapped": lambda: {"A": "sign", "B": "scene", "C": "honest"},
}


RIGHT = {
    check.swapped_accuracy: swapped_accuracy,
    check.brightness: animal_brightness,
    check.mended: mend,
    check.blind_round: lambda: VERDICT,
}
MISTAKES = {
    check.swapped_accuracy: WRONG_TESTS,
    check.brightness: WRONG_BRIGHTNESS,
    check.mended: WRONG_MENDS,
    check.blind_round: WRONG_VERDICTS,
}

(
    test_a_right_answer_passes,
    test_a_stub_is_not_tried_yet,
    test_a_mistake_gets_the_sentence_that_helps,
) = make_tests(RIGHT, MISTAKES)


def test_other_right_answers_pass_too():
    assert check.swapped_accuracy(lambda c, p: swapped_accuracy(c, p).item())
    assert check.brightness(lambda g, m: animal_brightness(g, m).numpy())
    assert check.brightness(one_by_one)
    assert check.mended(with_other_views)
    assert check.mended(in_pairs)
    assert check.mended(lambda planted: Planted(list(mend(planted).recipes)))
    assert check.blind_round(lambda: OrderedDict(VERDICT))


def one_by_one(gradients, masks):
    """A list, picture by picture."""
    found = []
    for gradient, mask in zip(gradients, masks, strict=True):
        strength = gradient.abs().max(dim=0).values
        found.append(float(strength[mask].mean() / strength.mean()))
    return found


@pytest.mark.parametrize("seed", range(20))
def test_scenes_at_random_pass(seed):
    verdict = check.mended(lambda planted: at_random(planted, seed))
    assert verdict, verdict


NO_NUMBERS = {
    "the mean over the pictures",
    "stopped",
    "takes a Planted, such as planted.swap('scene')",
    "is a function, not a probe",
    "so accuracy() cannot take it",
    "another classifier than",
    *(words for words in WRONG_TESTS if words.startswith("Expected")),
}


def test_the_toy_classifiers_tell_the_mistakes_apart():
    """No two of the numbers that a learner may come to are the same."""
    found = {}
    for words, answer in WRONG_TESTS.items():
        if words not in NO_NUMBERS:
            found[words] = [
                round(
                    float(answer(classify, check.plant_shortcut(n, scene=0.9, seed=s))), 4
                )
                for classify, n, s in check.CLASSIFIED
            ]
    for values in zip(*found.values(), strict=True):
        assert len(set(values)) == len(values), found


def test_the_truth_of_the_blind_round_is_in_its_dials():
    assert {name: check._truth(dials) for name, dials in check.BLIND.items()} == VERDICT
    names = [name for name, dials in check.BLIND.items() if check._truth(dials) == "sign"]
    planted = check.plant_shortcut(40, size=check.BLIND_SIZE, **check.BLIND[names[0]])
    assert all(r.sign == r.animal for r in planted.recipes)
    assert replace(planted.recipes[0], sign=1).swapped("sign") == planted.recipes[0]
