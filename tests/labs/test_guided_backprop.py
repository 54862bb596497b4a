"""Lesson 05's lab, its controls set as a learner would set them, its maps saved."""

import pytest
from PIL import Image
from torch import nn

from course_utils.labs import guided_backprop as module
from course_utils.labs.controls import PAIR
from course_utils.labs.guided_backprop import BUNDLED, GuidedBackpropLab


@pytest.fixture(scope="module")
def built():
    return GuidedBackpropLab()


@pytest.fixture
def lab(built):
    """The lab as it opens."""
    start = {"photo": "golden_retriever", "network": BUNDLED, "layer": ""}
    for name, value in start.items():
        built.controls[name].value = value
    for name in ("rules", "view", "position"):
        built.controls[name].index = 0
    built.controls["target"].search.value = ""
    built.folder.value = "saved_maps"
    return built


def test_it_opens_on_three_maps_of_the_top_class(lab):
    assert not lab.failed
    assert "golden retriever: score" in lab.status.value
    assert bytes(lab.picture.value).startswith(b"\x89PNG")
    for rule in ("vanilla", "guided", "deconvnet"):
        assert f"“{rule}”; ±" in lab.words


@pytest.mark.parametrize("name", ["photo", "rules", "view"])
def test_every_value_of_every_list_draws_a_new_picture(lab, draws_each, name):
    few = (0, 1, 9, 26)  # of the photographs; lesson 02's lab is tested with all
    draws_each(lab, lab.controls[name], few if name == "photo" else None)


def test_another_class_is_compared_with_the_top_class(lab):
    lab.controls["target"].search.value = "zebra"
    assert not lab.failed
    words = lab.status.value.split("Cosine with the map of the top class, ")[1]
    cosines = [float(part.split()[1].strip("</div>.")[:4]) for part in _rules(words)]
    vanilla, guided, deconvnet = cosines
    assert vanilla < 0.7 < 0.9 < guided
    assert deconvnet > 0.9


def _rules(words):
    return words.split(": ")[1].split(", ")


def test_a_unit_is_explained_by_layer_channel_and_position(lab):
    lab.controls["layer"].value = "features.12"
    assert lab.controls["channel"].max == 511
    assert not lab.controls["channel"].disabled
    assert lab.controls["target"].search.disabled
    mean = lab.picture.value
    assert "fire9 (features.12), channel" in lab.status.value
    lab.controls["channel"].value = 374
    assert "channel 374 of 512, mean over 13×13 positions" in lab.status.value
    lab.controls["position"].value = "strongest"
    assert not lab.failed
    assert ", row " in lab.status.value
    assert lab.picture.value != mean
    lab.controls["layer"].value = "features.0"
    assert lab.controls["channel"].max == 63
    assert not lab.failed


def test_back_from_a_unit_to_a_class(lab):
    before = lab.picture.value
    lab.controls["layer"].value = "features.12"
    lab.controls["layer"].index = 0
    assert lab.controls["layer"].label == "a class"
    assert lab.controls["channel"].disabled
    assert not lab.controls["target"].search.disabled
    assert lab.picture.value == before


def test_a_unit_without_a_relu_before_it_has_one_map(lab):
    lab.controls["layer"].value = "features.0"
    maps = list(lab._shown.values())
    assert all(m.equal(maps[0]) for m in maps)


def test_another_network_is_loaded_once_and_offers_its_own_layers(lab):
    lab.controls["layer"].value = "features.12"
    lab.controls["network"].value = "ResNet-18"
    assert not lab.failed, lab.status.value
    assert lab.controls["layer"].label == "a class"
    assert "layer1.0.conv1" in [path for _, path in lab.controls["layer"].options]
    assert lab.networks["ResNet-18"] is lab._asked("ResNet-18")
    lab.controls["layer"].value = "fc"
    assert not lab.failed
    assert "of 1000, its only value" in lab.status.value


def test_a_network_without_relus_is_an_error_in_the_status_line(lab, monkeypatch):
    smooth = nn.Sequential(
        nn.Conv2d(3, 4, 8, stride=8),
        nn.GELU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 1000),
    )
    monkeypatch.setattr(module, "load_model", lambda *arguments: smooth)
    before = lab.picture.value
    lab.controls["network"].value = "ViT-B/16"
    assert lab.failed
    assert "ReLU" in lab.status.value
    assert lab.picture.value == before
    lab.controls["rules"].value = ("vanilla",)
    assert not lab.failed


def test_a_network_that_cannot_be_loaded_is_an_error_in_the_status_line(lab, monkeypatch):
    def fail(*arguments):
        raise ValueError("weights are damaged")

    monkeypatch.setattr(module, "load_model", fail)
    lab.controls["network"].value = "GoogLeNet"
    assert lab.failed
    assert "weights are damaged" in lab.status.value
    lab.controls["network"].value = BUNDLED
    assert not lab.failed


def test_save_writes_each_map_that_is_shown_and_says_where(lab, tmp_path):
    lab.controls["photo"].value = PAIR
    lab.folder.value = f"{tmp_path}/new/maps"
    lab.save.click()
    assert not lab.failed
    assert f"{tmp_path}/new/maps" in lab.status.value
    files = sorted((tmp_path / "new" / "maps").iterdir())
    assert [f.stem.rsplit("-", 1)[1] for f in files] == ["deconvnet", "guided", "vanilla"]
    assert all(file.name in lab.status.value for file in files)
    with Image.open(files[0]) as picture:
        assert picture.size == (224, 224)


@pytest.mark.parametrize("folder", ["", "a file/maps"])
def test_a_folder_that_cannot_be_written_is_an_error_in_the_status_line(
    lab, tmp_path, folder
):
    (tmp_path / "a file").write_text("in the way")
    lab.folder.value = folder and f"{tmp_path}/{folder}"
    lab.save.click()
    assert lab.failed
    assert ("a file" if folder else "folder must be") in lab.status.value
    assert [f.name for f in tmp_path.iterdir()] == ["a file"]


def test_the_network_is_unchanged(lab, is_unchanged):
    assert is_unchanged(lab.networks[BUNDLED].model)
