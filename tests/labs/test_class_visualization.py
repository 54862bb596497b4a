"""Lesson 04's lab, its controls set and its buttons pressed as a learner would."""

import json

import pytest
from PIL import Image

from course_utils.labs.class_visualization import ClassVisualizationLab


@pytest.fixture
def lab(open_lab):
    lab = open_lab(ClassVisualizationLab, size=64)
    lab.controls["steps"].value = 16
    return lab


def test_it_opens_on_the_start_of_a_castle(lab):
    assert not lab.failed
    assert "castle" in lab.words
    assert bytes(lab.picture.value).startswith(b"\x89PNG")


def test_every_control_changes_the_picture_at_rest(lab):
    for name, control in lab.controls.items():
        before = lab.picture.value
        if hasattr(control, "search"):
            control.search.value = "panda"
        elif hasattr(control, "options"):
            control.index = (control.index + 1) % len(control.options)
        elif isinstance(control.value, bool):
            control.value = not control.value
        else:
            control.value += control.step
        assert not lab.failed, (name, lab.status.value)
        assert lab.picture.value != before, name


def test_it_grows_a_picture_of_the_class_that_was_found(lab, start):
    lab.controls["target"].search.value = "giant panda"
    before = lab.picture.value
    result = start(lab)
    assert result.settings["target"] == 388
    assert len(result.history) == 16
    assert "giant panda" in lab.words
    assert "Score" in lab.status.value
    assert lab.picture.value != before


def test_every_choice_reaches_the_run(lab, start):
    values = {"parametrization": "pixel", "robust": False, "jitter": 4, "blur_every": 5}
    values |= {"l2": 1e-3, "tv": 0, "seed": 7, "start": "goldfish"}
    for name, value in values.items():
        lab.controls[name].value = value
    settings = start(lab).settings
    del values["start"]
    assert {name: settings[name] for name in values} == values
    assert settings["start"] != "noise"


def test_stop_keeps_what_there_is(lab):
    lab.controls["steps"].value = 512
    lab.start()
    while lab.result is None and lab.running:
        pass
    lab.stop_button.click()
    assert lab.wait()
    assert lab.result.stopped
    assert 0 < len(lab.result.history) < 512
    assert "Stopped after" in lab.status.value


def test_picture_and_settings_are_saved_where_the_learner_says(lab, start, tmp_path):
    start(lab)
    lab.file.value = str(tmp_path / "castle.png")
    lab.save_button.click()
    assert not lab.failed, lab.status.value
    assert Image.open(tmp_path / "castle.png").size == (64, 64)
    assert json.loads((tmp_path / "castle.json").read_text())["target"] == 483
    assert "castle.png" in lab.status.value


def test_what_cannot_be_saved_is_shown(lab, start, tmp_path):
    assert not lab.save()
    assert "nothing to save yet" in lab.status.value
    start(lab)
    lab.file.value = str(tmp_path / "nowhere" / "castle.png")
    assert not lab.save()
    assert lab.failed
    assert "nowhere" in lab.status.value
    lab.file.value = " "
    assert not lab.save()
    assert "is empty" in lab.status.value


def test_the_network_is_unchanged(lab, start, is_unchanged):
    start(lab)
    assert is_unchanged(lab.asked.model)
