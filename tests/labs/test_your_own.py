"""Lesson 12's lab, its controls set and its buttons pressed as a learner would."""

import io
import json

import numpy as np
import pytest
import torch
import toys
from PIL import Image

from course_utils import repeat_sheet
from course_utils.labs import your_own as module
from course_utils.labs.controls import Chips
from course_utils.labs.your_own import YourOwnLab
from course_utils.methods import METHODS
from course_utils.your_own import COURSE

QUICK = ("vanilla_saliency", "grad_cam")


@pytest.fixture
def lab():
    lab = YourOwnLab()
    lab.controls["methods"].value = QUICK
    yield lab
    lab.stop()
    assert lab.wait()


def run(lab):
    assert lab.start()
    assert lab.wait()
    assert not lab.failed, lab.said
    return lab.result


def panel(lab, key):
    return next((panel for panel in lab.scene.panels if panel.key == key), None)


def large(lab):
    """The layers of the large picture, as bytes."""
    return [np.asarray(layer.picture).tobytes() for layer in panel(lab, "photo").layers]


def test_it_opens_on_a_photograph_and_what_the_network_says(lab):
    assert not lab.failed, lab.said
    assert lab.touch.answer == "Press start to explain golden retriever by 2 methods."
    assert panel(lab, "classes").bars[0]["name"] == "golden retriever"
    assert panel(lab, "classes").hand == {"i": 0}
    assert lab.scene.drop
    assert panel(lab, "sheet") is None


def test_it_makes_a_sheet_of_the_chosen_methods(lab):
    sheet = run(lab)
    assert sheet.methods == QUICK
    assert len(sheet.maps) == 2
    assert "golden retriever 82.6%" in lab.touch.answer
    assert "vanilla gradient" in panel(lab, "sheet").words
    assert [bar["name"] for bar in panel(lab, "methods").bars] == [
        "vanilla gradient",
        "Grad-CAM",
    ]


# -- methods as chips ------------------------------------------------------------------


def test_a_chip_adds_a_method_in_its_place_and_takes_it_away(lab):
    methods = lab.controls["methods"]
    methods.chips["occlusion"].value = True
    assert methods.value == ("vanilla_saliency", "occlusion", "grad_cam")
    assert "by 3 methods" in lab.touch.answer
    methods.chips["vanilla_saliency"].value = False
    assert methods.value == ("occlusion", "grad_cam")
    assert "by 2 methods" in lab.touch.answer


def test_chips_are_down_as_the_value_says():
    chips = Chips([(method.label, name) for name, method in METHODS.items()], COURSE)
    assert [key for key, chip in chips.chips.items() if chip.value] == list(COURSE)
    heard = []
    chips.observe(lambda change: heard.append(change.new), names="value")
    chips.value = ("grad_cam", "vanilla_saliency")
    assert heard == [("vanilla_saliency", "grad_cam")]
    assert [key for key, chip in chips.chips.items() if chip.value] == list(QUICK)
    with pytest.raises(ValueError, match="must be some of"):
        chips.value = ("astrology",)


def test_no_method_is_said(lab):
    lab.controls["methods"].value = ()
    assert lab.start()
    assert lab.wait()
    assert lab.failed
    assert "at least one method" in lab.touch.answer


# -- the hand --------------------------------------------------------------------------


def test_the_method_that_is_pointed_at_lies_over_the_photograph(lab, shown):
    sheet = run(lab)
    assert panel(lab, "methods").hand == {"i": 1}  # the newest map
    assert "Grad-CAM" in panel(lab, "photo").title
    newest = large(lab)
    lab._heard("methods", {"i": 0})
    by_hand = shown(lab), lab.said
    assert lab.touch.answer.startswith("vanilla gradient.")
    assert large(lab)[0] == newest[0]
    assert large(lab)[1] != newest[1]
    values = sheet.maps["vanilla_saliency", 0].abs().numpy()
    opacity = panel(lab, "photo").layers[1].picture[..., 3]
    strongest = np.unravel_index(np.argmax(values), values.shape)
    assert opacity[strongest] == pytest.approx(0.85)
    assert opacity[values == 0] == pytest.approx(0)
    lab.laid.value = "grad_cam"
    assert large(lab) == newest
    lab.laid.value = "vanilla_saliency"
    assert (shown(lab), lab.said) == by_hand
    lab.laid.value = "edges"  # which was not made
    assert lab.laid.value == "grad_cam"
    assert large(lab) == newest


def test_pointing_draws_no_sheet_again(lab, monkeypatch):
    run(lab)
    sheet = panel(lab, "sheet")
    monkeypatch.setattr(module, "figure_panel", None)
    lab._heard("methods", {"i": 0})
    assert not lab.failed, lab.said
    assert panel(lab, "sheet") is sheet


def test_a_class_is_chosen_by_its_bar(lab):
    lab._heard("classes", {"i": 2})
    name = panel(lab, "classes").bars[2]["name"]
    assert f"explain {name} " in lab.touch.answer
    assert name in lab.controls["target"].field.value
    assert run(lab).answers[0].target == lab.controls["target"].value


def test_while_it_runs_the_newest_map_is_large_and_nothing_can_be_touched(lab, monkeypatch):
    monkeypatch.setattr("course_utils.labs.live.PAUSE", 0)
    scenes = []
    monkeypatch.setattr(lab.touch, "show", scenes.append)
    assert lab.start()
    assert lab.wait()
    titles = [scene.panels[0].title for scene in scenes]
    assert titles[0].startswith("vanilla")
    assert titles[-1].startswith("Grad-CAM")
    assert scenes[0].panels[1].tool is None
    assert scenes[-1].panels[1].tool["hover"]


@pytest.mark.parametrize("word", ["zebra", "cocker"])
def test_a_class_is_found_by_a_word(lab, word):
    lab.controls["target"].field.value = word
    sheet = run(lab)
    assert word in sheet.sentence()
    assert f"asked: {word}" in lab.said


def test_a_hidden_unit_is_explained(lab):
    layer, channel = lab.controls["layer"], lab.controls["channel"]
    assert channel.disabled
    layer.value = "features.12"
    assert not channel.disabled
    assert channel.max == 511
    assert lab.controls["target"].field.disabled
    channel.value = 492
    sheet = run(lab)
    assert sheet.settings["target"]["unit"]["channel"] == 492
    assert "features.12, channel 492" in lab.said
    layer.value = ""
    assert channel.disabled
    assert not lab.controls["target"].field.disabled


def test_scale_and_signs_redraw_a_result_without_computing(lab):
    lab.controls["methods"].value = ("vanilla_saliency", "guided_backprop")
    sheet = run(lab)
    for name, value in {"scale": "rank", "signed": True}.items():
        if name == "signed":
            lab.controls["scale"].value = "own"
        before, over = panel(lab, "sheet").words, large(lab)
        lab.controls[name].value = value
        assert panel(lab, "sheet").words != before, name
        assert large(lab) != over, name
        assert lab.result.maps is sheet.maps
    lab.controls["photo"].choice.value = "koala"
    assert "press start" in lab.said.lower()
    assert run(lab).titles == ["koala"]


def test_stop_keeps_what_there_is(lab):
    lab.controls["methods"].value = (
        "vanilla_saliency",
        "integrated_gradients",
        "smooth_grad",
    )
    lab.start()
    while (lab.result is None or not lab.result.maps) and lab.running:
        pass
    lab.stop_button.click()
    assert lab.wait()
    assert lab.result.stopped
    assert 0 < len(lab.result.maps) < 3
    assert "Stopped after" in lab.said
    assert "…" in panel(lab, "sheet").words
    assert "…" in [bar["text"] for bar in panel(lab, "methods").bars]


# -- pictures --------------------------------------------------------------------------


def test_a_path_is_opened(lab, tmp_path):
    Image.new("RGB", (50, 40), (200, 20, 20)).save(tmp_path / "red wall.png")
    lab.address.value = str(tmp_path / "red wall.png")
    assert not lab.failed, lab.said
    assert lab.controls["photo"].value == "red wall.png"
    assert run(lab).titles == ["red wall.png"]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("/nowhere/at/all.png", "there is no file"),
        ("http://127.0.0.1:9/cat.jpg", "could not be fetched"),
        ("~", "is a folder"),
    ],
)
def test_what_cannot_be_opened_is_said(lab, source, words):
    lab.address.value = source
    assert lab.failed
    assert words in lab.said
    assert lab.controls["photo"].value == "golden_retriever"


def test_an_upload_that_is_no_picture_is_said(lab, upload):
    upload(lab, "notes.txt", b"no pixels")
    assert lab.failed
    assert "Nothing has changed." in lab.said
    assert "notes.txt" in lab.said


def test_an_upload_becomes_a_sheet(lab, upload):
    file = io.BytesIO()
    Image.new("RGB", (60, 50), (20, 30, 200)).save(file, "PNG")
    upload(lab, "blue.png", file.getvalue())
    assert not lab.failed, lab.said
    assert run(lab).titles == ["blue.png"]


def test_a_second_picture_of_that_name_is_another_one(lab, tmp_path):
    for place in ("one", "two"):
        (tmp_path / place).mkdir()
        Image.new("RGB", (50, 40), (200, 20, 20)).save(tmp_path / place / "same.png")
        lab.address.value = str(tmp_path / place / "same.png")
    assert lab.controls["photo"].value == "same.png (2)"


def test_a_dropped_picture_is_looked_at_first(lab, png):
    run(lab)
    lab._heard("wall.png", png("red"))
    assert not lab.failed, lab.said
    assert lab.controls["photo"].value == "wall.png"
    red = lab.asked.looks("wall.png").getpixel((9, 9))
    assert red == panel(lab, "photo").layers[0].picture.getpixel((9, 9)) == (255, 0, 0)
    assert panel(lab, "sheet") is None
    assert "Press start" in lab.touch.answer
    assert run(lab).titles == ["wall.png"]


def test_a_dropped_file_that_is_no_picture_keeps_the_sheet(lab):
    sheet = run(lab)
    lab._heard("notes.txt", b"no pixels")
    assert lab.failed
    assert "notes.txt" in lab.touch.answer
    assert lab.result is sheet
    assert panel(lab, "sheet")


# -- networks --------------------------------------------------------------------------


def test_a_network_of_ones_own_with_its_statistics_and_names():
    model = toys.Busy().eval()
    own = {"mean": np.array([0.1, 0.2, 0.3]), "std": (0.5, 0.6, 0.7), "size": 32}
    names = ["ant", "bee", "cat", "dog"]
    lab = YourOwnLab(model, names=names, **own)
    assert lab.controls["network"].options[0] == "Busy"
    assert any(f"Press start to explain {name}" in lab.said for name in names)
    lab.controls["methods"].value = QUICK
    lab.controls["target"].field.value = "cat"
    sheet = run(lab)
    assert sheet.answers[0].target == 2
    assert sheet.settings["mean"] == [0.1, 0.2, 0.3]
    assert sheet.maps["vanilla_saliency", 0].shape == (32, 32)
    assert sheet.model is model
    lab.controls["network"].value = "SqueezeNet 1.1"
    assert lab.controls["target"].value is None
    lab.controls["target"].field.value = "panda"
    assert "giant panda" in run(lab).sentence() or "lesser panda" in lab.said


def test_a_network_that_does_not_run_is_said_and_another_one_does():
    lab = YourOwnLab(torch.nn.Linear(2, 3))
    assert lab.failed
    assert "do not go through Linear" in lab.said
    lab.controls["network"].value = "SqueezeNet 1.1"
    assert not lab.failed
    assert len(lab.controls["layer"].options) > 1


def test_every_offered_network_is_there(lab):
    for name in lab.controls["network"].options:
        lab.controls["network"].value = name
        assert not lab.failed, (name, lab.said)
        assert lab.controls["layer"].options[0] == ("a class", "")
        assert "explain golden retriever" in lab.said, name


def test_the_network_is_left_as_it_was():
    model = toys.Busy().train()
    before = toys.state(model)
    lab = YourOwnLab(model, size=32, names=list("abcd"))
    lab.controls["methods"].value = QUICK
    run(lab)
    assert toys.state(model) == before


# -- saving ----------------------------------------------------------------------------


def test_a_sheet_is_saved_and_can_be_repeated(lab, tmp_path):
    sheet = run(lab)
    lab.folder.value = str(tmp_path / "mine")
    lab.save_button.click()
    assert not lab.failed, lab.said
    path = tmp_path / "mine" / "golden_retriever.json"
    assert path.name in lab.said
    assert json.loads(path.read_text())["methods"] == list(QUICK)
    again = repeat_sheet(path)
    for key, map_ in sheet.maps.items():
        torch.testing.assert_close(again.maps[key], map_, rtol=1e-3, atol=1e-5)


def test_what_cannot_be_saved_is_said(lab, tmp_path):
    assert not lab.save()
    assert "nothing to save yet" in lab.said
    run(lab)
    lab.folder.value = " "
    assert not lab.save()
    assert "is empty" in lab.said
    (tmp_path / "file").write_text("")
    lab.folder.value = str(tmp_path / "file")
    assert not lab.save()
    assert "cannot be written" in lab.said
