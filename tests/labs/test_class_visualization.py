"""Lesson 04's lab, its controls set, its buttons pressed and its curve touched."""

import json

import pytest
from PIL import Image

from course_utils.class_visualization import judge, visualize_class
from course_utils.images import preprocess
from course_utils.labs.class_visualization import FRAMES, ClassVisualizationLab


@pytest.fixture
def lab(open_lab):
    lab = open_lab(ClassVisualizationLab, size=64)
    lab.controls["steps"].value = 16
    return lab


def panel(lab, key):
    return next((panel for panel in lab.scene.panels if panel.key == key), None)


def picture(lab, key="picture"):
    """The pixels of a panel's picture."""
    return panel(lab, key).layers[0].picture.tobytes()


def numbers(lab, row=1):
    """Step, score seen, score of the picture, probability and rank, as texts."""
    return [str(cell) for cell in lab.scene.table[row][1:]]


# -- at rest ---------------------------------------------------------------------------


def test_it_opens_on_the_start_of_a_castle_and_a_view_of_it(lab):
    assert not lab.failed
    assert lab.touch.answer == "Press start to grow a picture of castle."
    assert numbers(lab)[:2] == ["0", "–"]
    assert picture(lab) != picture(lab, "seen")
    assert panel(lab, "seen").title == "one of its random views"


def test_without_random_views_the_network_sees_the_picture_itself(lab):
    lab.controls["robust"].value, lab.controls["jitter"].value = False, 0
    assert picture(lab) == picture(lab, "seen")
    assert panel(lab, "seen").title == "what the network sees"


def test_every_control_changes_what_is_shown_at_rest(lab, shown):
    for name, control in lab.controls.items():
        before = shown(lab), lab.said
        if hasattr(control, "field"):
            control.field.value = "panda"
        elif hasattr(control, "options"):
            control.index = (control.index + 1) % len(control.options)
        elif isinstance(control.value, bool):
            control.value = not control.value
        else:
            control.value += control.step
        assert not lab.failed, (name, lab.said)
        assert (shown(lab), lab.said) != before, name


# -- a run -----------------------------------------------------------------------------


def test_it_grows_a_picture_of_the_class_that_was_found(lab, start):
    lab.controls["target"].field.value = "giant panda"
    before = picture(lab)
    result = start(lab)
    assert result.made.settings["target"] == 388
    assert len(result.made.history) == 16
    assert "Step 16: giant panda" in lab.touch.answer
    assert picture(lab) != before


def test_every_choice_reaches_the_run(lab, start):
    values = {"parametrization": "pixel", "robust": False, "jitter": 4, "blur_every": 5}
    values |= {"l2": 1e-3, "tv": 0, "seed": 7, "start": "goldfish"}
    for name, value in values.items():
        lab.controls[name].value = value
    settings = start(lab).made.settings
    del values["start"]
    assert {name: settings[name] for name in values} == values
    assert settings["start"] != "noise"


def test_the_picture_grows_while_it_runs(lab, monkeypatch):
    monkeypatch.setattr("course_utils.labs.live.PAUSE", 0)
    lab.controls["steps"].value, scenes = 48, []
    monkeypatch.setattr(lab.touch, "show", lambda scene: scenes.append(scene))
    assert lab.start()
    assert lab.wait()
    grown = [scene.panels[0].layers[0].picture.tobytes() for scene in scenes]
    assert len(set(grown)) > 4
    under_way, end = scenes[1], scenes[-1]
    assert under_way.answer == "A picture of castle grows."
    assert under_way.panels[-1].tool is None  # nothing can be wound back yet
    assert end.panels[-1].tool["kind"] == "cursor"
    assert [len(scene.table) for scene in scenes] == [2] * len(scenes)


def test_stop_keeps_what_there_is(lab):
    lab.controls["steps"].value = 512
    lab.start()
    while lab.result is None and lab.running:
        pass
    lab.stop_button.click()
    assert lab.wait()
    assert lab.result.made.stopped
    assert 0 < len(lab.result.made.history) < 512
    assert "Stopped after" in lab.touch.answer
    assert panel(lab, "curve").tool
    assert picture(lab) == lab.result.made.image.tobytes()


# -- winding back ----------------------------------------------------------------------


def test_the_curve_winds_the_picture_back(lab, start):
    result, controls = start(lab), lab.values
    assert picture(lab) == result.made.image.tobytes()  # the last one, exactly
    last, said = picture(lab), lab.touch.answer
    lab._heard("curve", {"i": 4})
    recipe = {n: v for n, v in controls.items() if n not in ("steps", "target", "start")}
    early = visualize_class(lab.asked.model, 483, steps=5, size=64, **recipe)
    assert picture(lab) == early.image.tobytes()
    assert lab.touch.answer.startswith("Step 5: castle")
    assert numbers(lab)[1] == f"{early.history[-1]:.1f}"
    assert picture(lab) != last
    lab._heard("curve", {"i": 15})
    assert picture(lab) == last
    assert said.endswith(lab.touch.answer)


def test_a_step_is_judged_by_its_own_picture(lab, start):
    result = start(lab)
    lab._heard("curve", {"i": 7})
    seen = judge(
        lab.asked.model, preprocess(panel(lab, "picture").layers[0].picture, 64), 483
    )
    assert numbers(lab)[2:] == [
        f"{seen.score:.1f}",
        f"{seen.probability:.1%}",
        str(seen.rank),
    ]
    lab._heard("curve", {"i": 15})
    assert numbers(lab)[2] == f"{judge(lab.asked.model, result.made.pixels, 483).score:.1f}"


def test_curve_and_slider_agree(lab, start, shown):
    start(lab)
    lab._heard("curve", {"i": 4})
    assert lab.step.value == 5
    by_hand = shown(lab), lab.said
    lab.step.index = 9
    assert panel(lab, "curve").hand == {"i": 9}
    assert shown(lab) != by_hand[0]
    lab.step.value = 5
    assert (shown(lab), lab.said) == by_hand


def test_before_the_first_run_there_is_no_step_to_look_at(lab):
    lab.step.options = [0, 1]
    lab.step.index = 1
    assert "Press start first" in lab.touch.answer


def test_of_a_long_run_an_even_choice_of_pictures_is_kept(lab, start):
    lab.controls["steps"].value = 144
    lab.controls["parametrization"].value = "pixel"
    result = start(lab)
    assert FRAMES / 2 <= len(result.frames) <= FRAMES
    assert {b - a for a, b in zip(result.steps, result.steps[1:], strict=False)} == {4}
    assert result.steps[-1] == 144
    curve = panel(lab, "curve")
    assert curve.lines[0]["x"] == result.steps == list(lab.step.options)
    assert curve.lines[0]["y"] == [result.made.history[s - 1] for s in result.steps]
    assert curve.ylim[0] <= min(curve.lines[0]["y"])
    assert curve.ylim[1] >= max(curve.lines[0]["y"])


def test_two_recipes_are_compared_on_one_scrubber(lab, start):
    first = start(lab)
    assert panel(lab, "before") is None
    lab.controls["parametrization"].value = "pixel"
    lab.controls["steps"].value = 32
    second = start(lab)
    assert lab.before is first
    ours, dashed = panel(lab, "curve").lines
    assert dashed["dash"]
    assert dashed["y"] == first.made.history
    assert ours["y"] == second.made.history
    assert panel(lab, "curve").xlim == (0, 32)
    for step, its in ((10, 10), (30, 16)):  # the first run has ended at 16
        lab._heard("curve", {"i": step - 1})
        assert picture(lab) == second.frames[step].tobytes()
        assert picture(lab, "before") == first.frames[its].tobytes()
        assert [numbers(lab, row)[0] for row in (1, 2)] == [str(step), str(its)]
    assert "castle: pixels from noise" in lab.scene.table[1][0]
    assert "waves from noise" in lab.scene.table[2][0]


# -- saving ----------------------------------------------------------------------------


def test_picture_and_settings_are_saved_where_the_learner_says(lab, start, tmp_path):
    result = start(lab)
    lab._heard("curve", {"i": 3})  # it is the last picture that is saved
    lab.file.value = str(tmp_path / "castle.png")
    lab.save_button.click()
    assert not lab.failed, lab.said
    saved = Image.open(tmp_path / "castle.png")
    assert saved.size == (64, 64)
    assert saved.tobytes() == result.made.image.tobytes()
    assert json.loads((tmp_path / "castle.json").read_text())["target"] == 483
    assert "castle.png" in lab.said


def test_what_cannot_be_saved_is_shown(lab, start, tmp_path):
    assert not lab.save()
    assert "nothing to save yet" in lab.touch.answer
    start(lab)
    lab.file.value = str(tmp_path / "nowhere" / "castle.png")
    assert not lab.save()
    assert lab.failed
    assert "nowhere" in lab.touch.answer
    lab.file.value = " "
    assert not lab.save()
    assert "is empty" in lab.touch.answer


def test_the_network_is_unchanged(lab, start, is_unchanged):
    start(lab)
    assert is_unchanged(lab.asked.model)
