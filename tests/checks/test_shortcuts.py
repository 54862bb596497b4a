"""The checks of lesson 09: right answers pass, mistakes get the sentence that helps."""

from dataclasses import replace

import torch
from exercises import make_tests

from course_utils.checks import shortcuts as check
from course_utils.shortcuts import Planted


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
    "stopped": lambda c, p: c(p.pictures),
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
    "map's mean on the mask by": lambda g, m: torch.ones(3),
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
    assert check.mended(in_pairs)


def test_the_toy_classifier_tells_the_mistakes_apart():
    """No two of the numbers that a learner may come to are the same."""
    found = {}
    for words, answer in WRONG_TESTS.items():
        if words not in ("the mean over the pictures", "stopped"):
            planted = check.plant_shortcut(41, scene=0.9, seed=3)
            found[words] = round(float(answer(check.toy_classifier, planted)), 4)
    assert len(set(found.values())) == len(found), found


def test_the_truth_of_the_blind_round_is_in_its_dials():
    assert {name: check._truth(dials) for name, dials in check.BLIND.items()} == VERDICT
    names = [name for name, dials in check.BLIND.items() if check._truth(dials) == "sign"]
    planted = check.plant_shortcut(40, size=check.BLIND_SIZE, **check.BLIND[names[0]])
    assert all(r.sign == r.animal for r in planted.recipes)
    assert replace(planted.recipes[0], sign=1).swapped("sign") == planted.recipes[0]
