"""Lesson 09's lab, its controls set as a learner would set them."""

import copy
from dataclasses import replace

import numpy as np
import pytest

from course_utils.gradients import vanilla_saliency
from course_utils.labs import shortcuts as module
from course_utils.labs.shortcuts import VARIANTS, ShortcutLab, Trained
from course_utils.shortcuts import brightness_on


@pytest.fixture(scope="module")
def trained():
    """A lab with one training behind it, on fewer pictures; and what came of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "TRAINING", 64)
        patch.setattr(module, "TESTS", 12)
        lab = ShortcutLab()
        lab.start()
        assert lab.wait(300), lab.status.value
        assert not lab.failed, lab.status.value
        yield lab, lab.result


@pytest.fixture
def lab(trained):
    lab, lab.result = trained
    return lab


def look(lab, number=2, variant="unchanged", target="what it says"):
    lab.number.value, lab.variant.value, lab.target.value = number, variant, target
    assert not lab.failed, lab.status.value
    return bytes(lab.picture.value), lab.status.value


def test_it_opens_with_the_training_pictures():
    fresh = ShortcutLab()
    assert not fresh.failed, fresh.status.value
    tied = f"{module.TRAINING} stand on their class"
    assert tied in fresh.status.value
    fresh.controls["scene"].value = 0.5
    assert tied not in fresh.status.value
    fresh.number.value = 3
    assert "Press start first" in fresh.status.value


def test_a_training_ends_with_maps_and_scores(lab):
    assert lab.result.probe is not None
    assert lab.stop_button.disabled
    picture, words = look(lab)
    assert picture.startswith(b"\x89PNG")
    assert "test of its own kind 1.00" in words
    assert "Says dog, right" in words


def test_the_swapped_scene_turns_the_answer(lab):
    before, _ = look(lab)
    swapped, words = look(lab, variant="scene swapped")
    assert "Says bear, wrong" in words
    assert swapped != before


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("target", ["bear", "dog"])
def test_every_variant_and_class_can_be_looked_at(lab, variant, target):
    _, words = look(lab, 4, variant, target)
    assert f"Maps of “{target}”" in words


def test_a_class_for_which_nothing_speaks_is_said_in_words(lab):
    probe = copy.deepcopy(lab.result.probe)
    probe.head.weight.data.abs_().neg_()
    lab.result = replace(lab.result, probe=probe)
    _, words = look(lab, 5, target="bear")
    assert "Grad-CAM is zero" in words


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


def test_a_changed_dial_forgets_the_old_probe_and_shows_its_pictures(lab):
    before = bytes(lab.picture.value)
    lab.controls["size"].value = 0.45
    assert lab.result is None
    assert "Press start to train" in lab.status.value
    assert bytes(lab.picture.value) != before
    lab.controls["size"].value = 0.3


def test_stop_keeps_what_was_computed():
    lab = ShortcutLab()
    lab.controls["size"].value = 0.2

    seen = []

    class Report:
        def __call__(self, done, total, result=None, words=""):
            seen.append(done)
            lab.result = result
            return len(seen) < 2

    dials = {name: control.value for name, control in lab.controls.items()}
    result = lab.compute(Report(), **dials)
    assert isinstance(result, Trained)
    assert result.probe is None
    assert result.done == len(lab.known) == seen[-1] == 40
    figure, words = lab.draw_result(result, **dials)
    assert "40 pictures have gone through" in words
    assert len(figure.axes) == 5


def test_its_look_is_that_of_the_lesson(lab):
    """The status line's numbers are `brightness_on` of the shown picture."""
    _, words = look(lab, 6)
    one = lab.result.tests[5:6]
    times = brightness_on(vanilla_saliency(lab.result.probe, one.images), one.masks)
    assert f"gradient {times.item():.1f}" in words
    assert np.isfinite(times.item())
