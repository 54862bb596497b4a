"""Lesson 02's lab, its controls set as a learner would set them."""

import pytest
import torch

from course_utils import load_image
from course_utils.labs import vanilla_saliency as module
from course_utils.labs.vanilla_saliency import VanillaSaliencyLab

REFUSAL = "alexnet.pth is not cached and could not be downloaded (no route)"


@pytest.fixture(scope="module")
def lab():
    return VanillaSaliencyLab()


@pytest.fixture
def fresh():
    return VanillaSaliencyLab()


def test_it_opens_on_a_photograph_with_its_map_and_its_classes(lab):
    assert not lab.failed
    assert "SqueezeNet 1.1 gives bison the score" in lab.status.value
    assert "place 1 of 1000" in lab.status.value
    assert bytes(lab.picture.value).startswith(b"\x89PNG")
    assert "water buffalo" in lab.words  # of the bars


def test_every_rule_for_colours_draws_a_new_picture(lab, draws_each):
    draws_each(lab, lab.controls["channels"])


@pytest.mark.parametrize(
    "entries", [(0, 1, 9, 26), pytest.param(None, marks=pytest.mark.slow, id="all")]
)
def test_every_photograph_draws_a_new_picture(lab, draws_each, entries):
    draws_each(lab, lab.controls["photo"].choice, entries)


def test_a_class_is_found_by_a_word_and_its_place_said(lab):
    before = lab.picture.value
    lab.controls["target"].search.value = "zebra"
    assert not lab.failed
    assert "zebra" in lab.status.value
    assert "map: zebra" in lab.words
    assert "place 1 of" not in lab.status.value
    assert lab.picture.value != before
    lab.controls["target"].search.value = ""
    assert lab.picture.value == before


@pytest.mark.parametrize(("name", "value"), [("smoothing", 4), ("overlaid", True)])
def test_each_choice_of_drawing_changes_the_picture_and_its_words(
    lab, redraws, name, value
):
    assert redraws(lab, lab.controls[name], value) != lab.words


def test_another_network_sees_something_else(lab):
    lab.controls["network"].value = "ResNet-18, random weights"
    assert not lab.failed, lab.status.value
    assert "ResNet-18 gives" in lab.status.value
    assert "map: bison" not in lab.words
    lab.controls["network"].value = "SqueezeNet 1.1"
    assert "map: bison" in lab.words


def test_the_size_of_a_download_is_stated():
    assert "AlexNet, 233 MB to download once" in module.NETWORKS
    assert "VGG-19, 548 MB to download once" in module.NETWORKS


# -- networks that cannot be loaded ------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ConnectionError(REFUSAL), "alexnet.pth is not cached"),
        (ValueError("file.pth is damaged"), "file.pth is damaged"),
        (KeyboardInterrupt(), "Loading was stopped"),
    ],
    ids=["no network", "damaged file", "stopped"],
)
def test_the_former_network_stays_when_one_cannot_be_loaded(
    fresh, monkeypatch, error, reason
):
    said = []

    def refuse(name, weights):
        said.append(fresh.status.value)
        raise error

    before = fresh.picture.value
    monkeypatch.setattr(module, "load_model", refuse)
    fresh.controls["network"].value = "AlexNet, 233 MB to download once"
    assert "Loading AlexNet, 233 MB" in said[0]
    assert fresh.failed
    assert "AlexNet could not be loaded; keeping SqueezeNet 1.1" in fresh.status.value
    assert reason in fresh.status.value
    assert fresh.controls["network"].value == "SqueezeNet 1.1"
    assert fresh.picture.value == before
    fresh.controls["smoothing"].value = 2
    assert not fresh.failed
    assert fresh.picture.value != before


def test_a_network_is_loaded_once(fresh, monkeypatch):
    loaded = []

    def load(name, weights):
        loaded.append((name, weights))
        return fresh._asked("SqueezeNet 1.1").model

    monkeypatch.setattr(module, "load_model", load)
    alexnet = "AlexNet, 233 MB to download once"
    for network in (alexnet, "SqueezeNet 1.1", alexnet):
        fresh.controls["network"].value = network
        assert not fresh.failed
    assert loaded == [("alexnet", "torchvision")]
    assert "AlexNet gives bison" in fresh.status.value


def test_a_network_of_ones_own_heads_the_list():
    torch.manual_seed(0)
    own = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 9, stride=8),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(4, 1000),
    )
    lab = VanillaSaliencyLab(own)
    assert not lab.failed
    assert "Sequential gives" in lab.status.value


# -- uploads ---------------------------------------------------------------------------


def test_an_upload_is_shown_and_joins_the_list(fresh, upload, png):
    before = fresh.picture.value
    upload(fresh, "mine.png", png("red"))
    assert not fresh.failed
    assert fresh.picture.value != before
    assert fresh.controls["photo"].choice.value == "mine.png"
    assert "“mine.png”" in fresh.words
    fresh.controls["photo"].choice.value = "bison"
    assert fresh.picture.value == before
    fresh.controls["photo"].choice.value = "mine.png"
    assert "“mine.png”" in fresh.words


def test_a_second_upload_of_that_name_is_another_picture(fresh, upload, png):
    upload(fresh, "mine.png", png("red"))
    red = fresh.picture.value
    upload(fresh, "mine.png", png("blue"))
    assert fresh.picture.value != red
    assert fresh.controls["photo"].value == "mine.png (2)"
    pictures = fresh.controls["photo"].pictures
    assert pictures["mine.png"].getpixel((0, 0)) == (255, 0, 0)
    assert pictures["mine.png (2)"].getpixel((0, 0)) == (0, 0, 255)


@pytest.mark.parametrize("kind", ["text", "truncated", "empty"])
def test_a_broken_upload_keeps_the_picture_and_is_named(fresh, upload, png, kind):
    broken = {
        "text": b"these are no pixels",
        "truncated": png("red", (300, 300))[:200],
        "empty": b"",
    }[kind]
    before, options = fresh.picture.value, fresh.controls["photo"].choice.options
    upload(fresh, "notes.txt", broken)
    assert fresh.failed
    assert "The picture is unchanged." in fresh.status.value
    assert "notes.txt" in fresh.status.value
    assert fresh.picture.value == before
    assert fresh.controls["photo"].choice.options == options
    fresh.controls["overlaid"].value = True
    assert not fresh.failed
    upload(fresh, "notes2.txt", broken)
    assert "notes2.txt" in fresh.status.value


def test_a_picture_too_long_to_crop_is_refused_in_the_status_line(fresh, upload, png):
    before = fresh.picture.value
    upload(fresh, "ribbon.png", png("red", (300_000, 1)))
    assert fresh.failed
    assert "300000×1" in fresh.status.value
    assert fresh.picture.value == before
    fresh.controls["photo"].choice.value = "koala"
    assert not fresh.failed


def test_an_upload_is_read_as_any_picture(fresh, upload, png):
    upload(fresh, "mine.png", png("green"))
    picture = fresh.controls["photo"].pictures["mine.png"]
    assert picture.tobytes() == load_image(png("green")).tobytes()


def test_the_network_is_unchanged(lab, is_unchanged):
    assert is_unchanged(lab._asked("SqueezeNet 1.1").model)
