"""The checks of lesson 10: right answers pass, mistakes get the sentence that helps."""

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


def evidence_on(features, weight, places):
    maps = class_maps(features, weight)
    return (maps * places).sum((1, 2)) / places[0].numel()


def class_maps(features, weight):
    return (weight[:, None, None] * features).sum(1)


def added(change, share=1.0):
    """The evidence of class maps that something was done to."""
    return lambda f, w, p: (change(class_maps(f, w), p)).sum((1, 2)) / p[0].numel() * share


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
    "accuracy() cannot take it": lambda c, p: accuracy(
        c, p.swap("scene"), dict.fromkeys(p.swap("scene").recipes, torch.zeros(8))
    ),
    "in per cent": lambda c, p: 100 * swapped_accuracy(c, p),
    "another classifier than": lambda c, p: swapped_accuracy(check.toy_classifier, p),
    "Expected one number, got '": lambda c, p: str(float(swapped_accuracy(c, p))),
    "Expected one number, got a dict": lambda c, p: {"accuracy": swapped_accuracy(c, p)},
    "Expected one number, got a set": lambda c, p: {1, 2},
}
WRONG_EVIDENCE = {
    "You forget the 1/P": lambda f, w, p: (class_maps(f, w) * p).sum((1, 2)),
    "as Grad-CAM does": added(lambda maps, places: maps.relu() * places),
    "cut off single terms": lambda f, w, p: (
        ((w[:, None, None] * f).relu().sum(1) * p).sum((1, 2)) / p[0].numel()
    ),
    "You take abs()": added(lambda maps, places: maps.abs() * places),
    "which is brightness again": lambda f, w, p: (
        (class_maps(f, w) * p).sum((1, 2)) / p.sum((1, 2))
    ),
    "from everywhere else": added(lambda maps, places: maps * ~places),
    "the whole picture: multiply": added(lambda maps, places: maps),
    "That is a share": lambda f, w, p: (
        (class_maps(f, w) * p).sum((1, 2)) / class_maps(f, w).sum((1, 2))
    ),
    "leave the weights out": lambda f, w, p: (f.sum(1) * p).sum((1, 2)) / p[0].numel(),
    "the mean over the maps": lambda f, w, p: evidence_on(f, w, p) / len(w),
    "of all pictures together": lambda f, w, p: (
        (class_maps(f, w) * p).sum((1, 2)) / p.numel()
    ),
    "You divide by 169": lambda f, w, p: (class_maps(f, w) * p).sum((1, 2)) / 169,
    "one number per picture: sum over": lambda f, w, p: evidence_on(f, w, p).sum(),
    "That is a map: add it up": lambda f, w, p: class_maps(f, w) * p,
    "`places` makes no difference": lambda f, w, p: class_maps(f, w)[:, 2, 3],
    "`weight` makes no difference": lambda f, w, p: (f[:, 0] * p).sum((1, 2)),
    "keep the places, and add those up": lambda f, w, p: 2 * evidence_on(f, w, p),
    "The shape should be (4,)": lambda f, w, p: evidence_on(f, w, p)[:3],
    "three numbers": lambda f, w, p: ((w * f).sum(1) * p).sum((1, 2)) / p[0].numel(),
    "Expected a tensor": lambda f, w, p: "blue",
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
RIGHT = {
    check.swapped_accuracy: swapped_accuracy,
    check.evidence_on: evidence_on,
    check.mended: mend,
}
MISTAKES = {
    check.swapped_accuracy: WRONG_TESTS,
    check.evidence_on: WRONG_EVIDENCE,
    check.mended: WRONG_MENDS,
}

(
    test_a_right_answer_passes,
    test_a_stub_is_not_tried_yet,
    test_a_mistake_gets_the_sentence_that_helps,
) = make_tests(RIGHT, MISTAKES)


def test_other_right_answers_pass_too():
    assert check.swapped_accuracy(lambda c, p: swapped_accuracy(c, p).item())
    assert check.swapped_accuracy(lambda c, p: round(float(swapped_accuracy(c, p)), 2))
    assert check.evidence_on(lambda f, w, p: evidence_on(f, w, p).numpy())
    assert check.evidence_on(one_by_one)
    assert check.evidence_on(by_einsum)
    assert check.mended(with_other_views)
    assert check.mended(in_pairs)
    assert check.mended(lambda planted: Planted(list(mend(planted).recipes)))


def one_by_one(features, weight, places):
    """A list, picture by picture."""
    found = []
    for maps, on in zip(features, places, strict=True):
        found.append(float(sum(w * m[on].sum() for w, m in zip(weight, maps, strict=True))))
    return [one / places[0].numel() for one in found]


def by_einsum(features, weight, places):
    maps = torch.einsum("k,nkij->nij", weight, features)
    return torch.where(places, maps, 0).flatten(1).sum(1) / (maps.shape[1] * maps.shape[2])


@pytest.mark.parametrize("seed", range(20))
def test_scenes_at_random_pass(seed):
    verdict = check.mended(lambda planted: at_random(planted, seed))
    assert verdict, verdict


NO_NUMBERS = {
    "the mean over the pictures",
    "stopped",
    "takes a Planted, such as planted.swap('scene')",
    "is a function, not a probe",
    "accuracy() cannot take it",
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
