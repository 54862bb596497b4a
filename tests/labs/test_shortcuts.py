"""Lesson 10's lab, its controls set and its animal moved as a learner would."""

import copy
from dataclasses import replace

import pytest
import torch
from PIL import Image

from course_utils.gradients import vanilla_saliency
from course_utils.images import preprocess
from course_utils.labs import shortcuts as module
from course_utils.labs.shortcuts import ShortcutLab, Trained
from course_utils.shortcuts import (
    PARTS,
    accuracy,
    brightness_on,
    cutout,
    evidence,
    swap_effect,
)


@pytest.fixture(scope="module")
def trained():
    """A lab with one training behind it, on fewer pictures; and what came of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "TRAINING", 64)
        patch.setattr(module, "TESTS", 12)
        lab = ShortcutLab()
        lab.start()
        assert lab.wait(300), lab.said
        assert not lab.failed, lab.said
        yield lab, lab.result


@pytest.fixture
def lab(trained):
    """The trained lab as it opens: the second test picture, unchanged."""
    lab, lab.result = trained
    lab.target.index = 0
    look(lab, 3)
    look(lab)
    return lab


@pytest.fixture
def held(monkeypatch):
    """The hand never rests."""
    waiting = []

    class Loop:
        def call_later(self, seconds, action):
            waiting.append(action)
            return self

        def cancel(self):
            waiting.pop()

    monkeypatch.setattr(module, "_loop_between_messages", Loop)
    return waiting


def look(lab, number=2, **changes):
    """Set the test picture, then other controls; gives what is said."""
    lab.number.value = number
    for name, value in changes.items():
        getattr(lab, name).value = value
    assert not lab.failed, lab.said
    return lab.said


def panel(lab, key):
    return next(panel for panel in lab.scene.panels if panel.key == key)


def needle(lab):
    return panel(lab, "needle").bars[0]


def drag(lab, x, y, **sides):
    lab._heard("picture", panel(lab, "picture").hand | {"x": x, "y": y} | sides)
    assert not lab.failed, lab.said


def score_by_hand(lab):
    """The evidence in what is on the screen: scene, animal and sign put together here."""
    shown = panel(lab, "picture")
    picture = shown.layers[0].picture.resize((224, 224), Image.Resampling.LANCZOS)
    hand = shown.hand
    animal = shown.tool["picture"].resize((hand["w"], hand["h"]))
    corner = round(hand["x"] - hand["w"] / 2), round(hand["y"] - hand["h"] / 2)
    picture.paste(animal, corner, animal)
    for mark in shown.marks:
        picture.paste(mark["fill"], mark["rect"])
    with torch.no_grad():
        bear, dog = lab.result.probe(preprocess([picture], 224))[0].tolist()
    return bear - dog


# -- before the training -------------------------------------------------------------------


def test_it_opens_with_the_training_pictures():
    fresh = ShortcutLab()
    assert not fresh.failed, fresh.said
    tied = f"stand on their class's ground: {module.TRAINING}"
    assert tied in fresh.said
    assert len(fresh.scene.panels) == 5
    fresh.controls["scene"].value = 0.5
    assert tied not in fresh.said
    fresh.number.value = 3
    assert "Press start first" in fresh.said


def test_dials_redraw_the_training_pictures(redraws):
    fresh = ShortcutLab()
    for name, value in {"scene": 0.5, "sign": 1.0, "size": 0.6}.items():
        redraws(fresh, fresh.controls[name], value)


def test_a_changed_dial_forgets_the_old_probe_and_shows_its_pictures(lab, shown):
    before = shown(lab)
    lab.controls["size"].value = 0.45
    assert lab.result is None
    assert "press start to train" in lab.said
    assert shown(lab) != before
    lab.controls["size"].value = 0.3


# -- the training --------------------------------------------------------------------------


def test_a_training_ends_with_maps_and_scores(lab):
    assert lab.result.probe is not None
    assert lab.stop_button.disabled
    assert [p.key for p in lab.scene.panels] == ["picture", "needle", *module.MAPS]
    assert "Says dog, right" in lab.said


def test_the_table_is_that_of_the_test_pictures(lab):
    probe, tests = lab.result.probe, lab.result.tests
    right = [accuracy(probe, one) for one in (tests, *(tests.swap(p) for p in PARTS))]
    moves = [abs(swap_effect(probe, tests, part)) for part in PARTS]
    _, accuracies, moved, _ = lab.scene.table
    assert [*accuracies[1:]] == [f"{share:.2f}" for share in right]
    assert [*moved[2:]] == [f"{move:.1f}" for move in moves]
    assert right[0] == 1


def test_another_training_needs_no_new_pictures_where_all_are_known(lab, start):
    known = len(lab.known)
    result = start(lab)
    assert len(lab.known) == known
    assert result.probe is not None


def test_features_are_not_kept_without_end(lab, start, monkeypatch):
    monkeypatch.setattr(module, "KNOWN", 50)
    recipe = next(iter(lab.known))
    assert start(lab).probe is not None
    assert next(iter(lab.known)) != recipe


def test_stop_keeps_what_was_computed():
    lab = ShortcutLab()
    lab.controls["size"].value = 0.2
    seen = []

    def report(done, total, result=None, words=""):
        seen.append(done)
        lab.result = result
        return len(seen) < 2

    result = lab.compute(report, **lab.values)
    assert isinstance(result, Trained)
    assert result.probe is None
    assert result.done == len(lab.known) == seen[-1] == 40
    scene = lab.draw_result(result, **lab.values)
    assert "start goes on" in scene.answer
    lab.running = True
    assert "the probe comes last" in lab.draw_result(result, **lab.values).answer
    lab._stop.set()
    assert lab.draw_result(result, **lab.values).answer == scene.answer
    assert dict(scene.table)["pictures through the network"] == 40
    assert len(scene.panels) == 5


# -- the animal that is moved --------------------------------------------------------------


@pytest.mark.parametrize("number", [1, 2, 7])
def test_it_stands_first_as_in_the_test_picture(lab, number):
    look(lab, number)
    one = lab.result.tests[number - 1 : number]
    expected = evidence(lab.result.probe, one).item()
    assert (
        needle(lab)["value"] == needle(lab)["before"] == pytest.approx(expected, abs=0.02)
    )
    assert lab.animal.index == one.recipes[0].animal
    assert lab.marked.value == one.recipes[0].sign


@pytest.mark.parametrize("number", [2, 5])
def test_the_needle_swings_with_the_animal(lab, number):
    look(lab, number)
    before = needle(lab)
    for x, y in ((60, 60), (112, 150), (170, 170)):
        drag(lab, x, y)
        after = needle(lab)
        assert after["value"] == pytest.approx(score_by_hand(lab), abs=0.25)
        assert after["before"] == before["before"]
    assert after["value"] != before["value"]


def test_hand_and_sliders_agree(lab):
    drag(lab, 80.4, 130.7)
    by_hand, evidence = panel(lab, "picture").hand, needle(lab)["value"]
    assert abs(by_hand["x"] - 80.4) <= 1
    assert abs(by_hand["y"] - 130.7) <= 1
    row, column = lab.row.value, lab.column.value
    look(lab, 3)
    look(lab, row=row, column=column)
    assert panel(lab, "picture").hand == by_hand
    assert needle(lab)["value"] == evidence


def test_what_the_kernel_says_to_a_hand_stays_where_it_is(lab):
    drag(lab, 71, 93)
    hand = panel(lab, "picture").hand
    drag(lab, hand["x"], hand["y"])
    assert panel(lab, "picture").hand == hand


def test_keys_resize_the_animal_within_its_sizes(lab):
    hand = panel(lab, "picture").hand
    share = lab.share.value
    drag(lab, hand["x"], hand["y"], w=hand["w"] * 1.5, h=hand["h"] * 1.5)
    assert lab.share.value == pytest.approx(1.5 * share, abs=0.01)
    assert panel(lab, "picture").hand["w"] == pytest.approx(1.5 * hand["w"], abs=2)
    drag(lab, 112, 112, w=5000, h=5000)
    assert lab.share.value == module.LARGE


def test_the_animal_stays_in_the_picture(lab):
    look(lab, row=0, column=223)
    hand = panel(lab, "picture").hand
    assert hand["y"] - hand["h"] / 2 == 0
    assert hand["x"] + hand["w"] / 2 == 224


def test_another_scene_turns_the_answer_for_the_same_animal(lab):
    hand = panel(lab, "picture").hand
    words = look(lab, ground="snowy_peaks")
    assert "Says bear, wrong" in words
    assert panel(lab, "picture").hand == hand
    swapped = lab.result.tests[1:2].swap("scene")
    expected = evidence(lab.result.probe, swapped).item()
    assert needle(lab)["value"] == pytest.approx(expected, abs=0.02)


def test_every_scene_animal_and_sign_can_be_chosen(lab, draws_each, redraws):
    draws_each(lab, lab.ground.choice)
    draws_each(lab, lab.animal)
    redraws(lab, lab.marked, not lab.marked.value)


def test_an_own_scene_can_be_uploaded(lab, png):
    lab.ground.take("red.png", png("red"))
    assert not lab.failed, lab.said
    assert panel(lab, "picture").layers[0].picture.getpixel((5, 5)) == (255, 0, 0)
    lab.ground.error = "cat.txt is not a picture"
    assert lab.failed
    assert "cat.txt is not a picture" in lab.said
    lab.ground.error = ""


def test_a_mirrored_animal_is_dragged_mirrored(lab):
    flipped = [r.flip for r in lab.result.tests.recipes]
    seen = {}
    for flip in (True, False):
        look(lab, 1 + flipped.index(flip))
        seen[flip] = panel(lab, "picture").tool["picture"].tobytes()
        own = cutout(lab.animal.index)
        assert (seen[flip] == own.tobytes()) == (not flip)


# -- the maps ------------------------------------------------------------------------------


def test_maps_wait_until_the_hand_rests(lab, held):
    drag(lab, 70, 120)
    drag(lab, 90, 120)
    assert len(held) == 1
    assert all(panel(lab, name).words == "" for name in module.MAPS)
    assert "…" in lab.said
    held[0]()
    assert all(panel(lab, name).words for name in module.MAPS)
    assert "…" not in lab.said


def test_a_dial_that_is_turned_before_the_hand_rests_is_answered(lab, held):
    drag(lab, 70, 120)
    lab.controls["size"].value = 0.45
    held[0]()
    assert "press start to train" in lab.said
    lab.controls["size"].value = 0.3


def test_maps_are_those_of_the_picture_that_was_put_together(lab):
    drag(lab, 70, 120)
    words = panel(lab, "occlusion").words
    drag(lab, 150, 60)
    assert panel(lab, "occlusion").words != words


@pytest.mark.parametrize("target", ["bear", "dog"])
def test_either_class_can_be_asked(lab, target):
    before = panel(lab, "occlusion").words
    look(lab, target=target)
    same = panel(lab, "occlusion").words == before
    assert same == (target == "dog"), "the answer is dog"


def test_a_class_for_which_nothing_speaks_is_said_in_words(lab):
    probe = copy.deepcopy(lab.result.probe)
    probe.head.weight.data.abs_().neg_()
    lab.result = replace(lab.result, probe=probe)
    assert "Grad-CAM is zero" in look(lab, 5, target="bear")


def test_its_look_is_that_of_the_lesson(lab):
    """The table's numbers are `brightness_on` of the shown picture."""
    look(lab, 6)
    one = lab.result.tests[5:6]
    times = brightness_on(vanilla_saliency(lab.result.probe, one.images), one.masks)
    assert f"gradient {times.item():.1f}" in lab.said
