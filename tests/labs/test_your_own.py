"""Lesson 10's lab, its controls set and its buttons pressed as a learner would."""

import io
import json
from datetime import UTC, datetime

import numpy as np
import pytest
import torch
import toys
from PIL import Image

from course_utils import repeat_sheet
from course_utils.labs.base import LABEL
from course_utils.labs.your_own import YourOwnLab

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
    assert not lab.failed, lab.status.value
    return lab.result


def test_it_opens_on_a_photograph_and_what_the_network_says(lab):
    assert not lab.failed, lab.status.value
    assert "Press start to explain golden retriever" in lab.status.value
    assert "golden retriever" in lab.words
    assert bytes(lab.picture.value).startswith(b"\x89PNG")
    assert lab.controls["methods"].style.description_width == LABEL["description_width"]


def test_it_makes_a_sheet_of_the_chosen_methods(lab):
    before = lab.picture.value
    sheet = run(lab)
    assert sheet.methods == QUICK
    assert len(sheet.maps) == 2
    assert lab.picture.value != before
    assert "golden retriever 82.6%" in lab.status.value
    assert "vanilla gradient" in lab.words


@pytest.mark.parametrize("word", ["zebra", "cocker"])
def test_a_class_is_found_by_a_word(lab, word):
    lab.controls["target"].search.value = word
    sheet = run(lab)
    assert word in sheet.sentence()
    assert f"asked: {word}" in lab.status.value


def test_a_hidden_unit_is_explained(lab):
    layer, channel = lab.controls["layer"], lab.controls["channel"]
    assert channel.disabled
    layer.value = "features.12"
    assert not channel.disabled
    assert channel.max == 511
    assert lab.controls["target"].search.disabled
    channel.value = 492
    sheet = run(lab)
    assert sheet.settings["target"]["unit"]["channel"] == 492
    assert "features.12, channel 492" in lab.status.value
    layer.value = ""
    assert channel.disabled
    assert not lab.controls["target"].search.disabled


def test_scale_and_signs_redraw_a_result_without_computing(lab):
    lab.controls["methods"].value = ("vanilla_saliency", "guided_backprop")
    sheet = run(lab)
    for name, value in {"scale": "rank", "signed": True}.items():
        before = lab.picture.value
        if name == "signed":
            lab.controls["scale"].value = "own"
        lab.controls[name].value = value
        assert lab.picture.value != before, name
        assert lab.result.maps is sheet.maps
    lab.controls["photo"].choice.value = "koala"
    assert "Press start" in lab.status.value
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
    assert "Stopped after" in lab.status.value
    assert "…" in lab.words


def test_no_method_is_said(lab):
    lab.controls["methods"].value = ()
    assert lab.start()
    assert lab.wait()
    assert lab.failed
    assert "at least one method" in lab.status.value


# -- pictures --------------------------------------------------------------------------


def test_a_path_is_opened(lab, tmp_path):
    Image.new("RGB", (50, 40), (200, 20, 20)).save(tmp_path / "red wall.png")
    lab.address.value = str(tmp_path / "red wall.png")
    assert not lab.failed, lab.status.value
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
    assert words in lab.status.value
    assert lab.controls["photo"].value == "golden_retriever"


def test_an_upload_that_is_no_picture_is_said(lab):
    upload(lab, "notes.txt", b"no pixels")
    assert lab.failed
    assert "The picture is unchanged." in lab.status.value
    assert "notes.txt" in lab.status.value


def test_an_upload_becomes_a_sheet(lab):
    file = io.BytesIO()
    Image.new("RGB", (60, 50), (20, 30, 200)).save(file, "PNG")
    upload(lab, "blue.png", file.getvalue())
    assert not lab.failed, lab.status.value
    assert run(lab).titles == ["blue.png"]


def test_a_second_picture_of_that_name_is_another_one(lab, tmp_path):
    for place in ("one", "two"):
        (tmp_path / place).mkdir()
        Image.new("RGB", (50, 40), (200, 20, 20)).save(tmp_path / place / "same.png")
        lab.address.value = str(tmp_path / place / "same.png")
    assert lab.controls["photo"].value == "same.png (2)"


def upload(lab, name, content):
    """Set an upload as the browser does, in the form of ipywidgets 7 or 8."""
    widget = lab.controls["photo"].upload
    item = {"name": name, "type": "image/png", "size": len(content)}
    item["last_modified"] = datetime.now(UTC)
    if isinstance(widget.value, dict):
        value = {name: {"metadata": item, "content": content}}
    else:
        value = ({**item, "content": memoryview(content)},)
    widget.set_trait("value", value)


# -- networks --------------------------------------------------------------------------


def test_a_network_of_ones_own_with_its_statistics_and_names():
    model = toys.Busy().eval()
    own = {"mean": np.array([0.1, 0.2, 0.3]), "std": (0.5, 0.6, 0.7), "size": 32}
    names = ["ant", "bee", "cat", "dog"]
    lab = YourOwnLab(model, names=names, **own)
    assert lab.controls["network"].options[0] == "Busy"
    assert any(f"Press start to explain {name}" in lab.status.value for name in names)
    lab.controls["methods"].value = QUICK
    lab.controls["target"].search.value = "cat"
    sheet = run(lab)
    assert sheet.answers[0].target == 2
    assert sheet.settings["mean"] == [0.1, 0.2, 0.3]
    assert sheet.maps["vanilla_saliency", 0].shape == (32, 32)
    assert sheet.model is model
    lab.controls["network"].value = "SqueezeNet 1.1"
    assert lab.controls["target"].value is None
    lab.controls["target"].search.value = "panda"
    assert "giant panda" in run(lab).sentence() or "lesser panda" in lab.status.value


def test_a_network_that_does_not_run_is_said_and_another_one_does():
    lab = YourOwnLab(torch.nn.Linear(2, 3))
    assert lab.failed
    assert "do not go through Linear" in lab.status.value
    lab.controls["network"].value = "SqueezeNet 1.1"
    assert not lab.failed
    assert len(lab.controls["layer"].options) > 1


def test_every_offered_network_is_there(lab):
    for name in lab.controls["network"].options:
        lab.controls["network"].value = name
        assert not lab.failed, (name, lab.status.value)
        assert lab.controls["layer"].options[0] == ("a class", "")
        assert "explain golden retriever" in lab.status.value, name


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
    assert not lab.failed, lab.status.value
    path = tmp_path / "mine" / "golden_retriever.json"
    assert path.name in lab.status.value
    assert json.loads(path.read_text())["methods"] == list(QUICK)
    again = repeat_sheet(path)
    for key, map_ in sheet.maps.items():
        torch.testing.assert_close(again.maps[key], map_, rtol=1e-3, atol=1e-5)


def test_what_cannot_be_saved_is_said(lab, tmp_path):
    assert not lab.save()
    assert "nothing to save yet" in lab.status.value
    run(lab)
    lab.folder.value = " "
    assert not lab.save()
    assert "is empty" in lab.status.value
    (tmp_path / "file").write_text("")
    lab.folder.value = str(tmp_path / "file")
    assert not lab.save()
    assert "cannot be written" in lab.status.value
