"""Lesson 02's lab: the loupe moved, controls set as a learner would."""

import pytest
import torch

from course_utils import load_image
from course_utils.gradients import input_gradient
from course_utils.inputs import Inputs
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
    assert lab.scene.table[0] == ("bison", "SqueezeNet 1.1")
    assert ("place", "1 of 1000") in lab.scene.table
    assert "water buffalo" in [bar["name"] for bar in lab.scene.panels[-1].bars]


def test_every_rule_for_colours_draws_a_new_picture(lab, draws_each):
    draws_each(lab, lab.controls["channels"])


@pytest.mark.parametrize(
    "entries", [(0, 1, 9, 26), pytest.param(None, marks=pytest.mark.slow, id="all")]
)
def test_every_photograph_draws_a_new_picture(lab, draws_each, entries):
    draws_each(lab, lab.controls["photo"].choice, entries)


def test_a_class_is_found_by_a_word_and_its_place_said(lab, shown):
    before = shown(lab)
    lab.controls["target"].field.value = "zebra"
    assert not lab.failed
    assert lab.scene.table[0][0] == "zebra"
    assert lab.scene.panels[1].title == "map: zebra"
    assert lab.scene.panels[-1].bars[-1]["name"] == "zebra"
    assert ("place", "1 of 1000") not in lab.scene.table
    assert shown(lab) != before
    lab.controls["target"].field.value = ""
    assert shown(lab) == before


@pytest.mark.parametrize(("name", "value"), [("smoothing", 4), ("overlaid", True)])
def test_each_choice_of_drawing_changes_the_picture(lab, redraws, name, value):
    redraws(lab, lab.controls[name], value)


def test_smoothing_changes_the_words_of_the_map(lab):
    before = lab.scene.panels[1].words
    lab.controls["smoothing"].value = 4
    assert lab.scene.panels[1].words != before
    lab.controls["smoothing"].value = 0


def test_another_network_sees_something_else(lab):
    lab.controls["network"].value = "ResNet-18, random weights"
    assert not lab.failed, lab.said
    assert lab.scene.table[0][1] == "ResNet-18"
    assert lab.scene.panels[1].title != "map: bison"
    lab.controls["network"].value = "SqueezeNet 1.1"
    assert lab.scene.panels[1].title == "map: bison"


# -- the loupe ---------------------------------------------------------------------------


def test_the_loupe_shows_the_slopes_of_the_pixel_in_its_middle(lab):
    gradient = input_gradient(lab.asked.model, lab.asked.images("bison"), 347)[0]
    lab._heard("photo", {"x": 75.6, "y": 110.2})
    assert (lab.controls["row"].value, lab.controls["column"].value) == (110, 75)
    slopes = gradient[:, 110, 75].tolist()
    bars = lab.scene.panels[2]
    assert [bar["name"] for bar in bars.bars] == ["red", "green", "blue"]
    assert [bar["value"] for bar in bars.bars] == pytest.approx(slopes)
    assert bars.limits[0] == -bars.limits[1]
    strongest = max(range(3), key=lambda n: abs(slopes[n]))
    colour = ("red", "green", "blue")[strongest]
    expected = f"strongest slope {slopes[strongest]:+.2g}, in {colour}."
    assert lab.touch.answer == f"Row 110, column 75: {expected}"


def test_the_loupe_and_its_sliders_agree(lab, shown):
    lab._heard("photo", {"x": 75.6, "y": 110.2})
    by_hand = shown(lab)
    assert lab.scene.panels[0].hand == {"x": 75.5, "y": 110.5}
    lab.controls["row"].value = 20
    assert shown(lab) != by_hand
    lab.controls["row"].value = 110
    assert shown(lab) == by_hand
    map_panel = lab.scene.panels[1]
    assert map_panel.follow == "photo"
    assert lab.scene.panels[0].layers[1].picture is map_panel.layers[0].picture


def test_one_grey_level_more_does_what_the_table_says(lab):
    lab._heard("photo", {"x": 129.5, "y": 112.5})
    images, std = lab.asked.images("bison"), torch.tensor(lab.asked.inputs.std)
    brighter = images.clone()
    brighter[0, :, 112, 129] += 1 / 255 / std
    with torch.no_grad():
        before, after = (lab.asked.model(i)[0, 347] for i in (images, brighter))
    numbers = dict(lab.scene.table)
    assert float(numbers["measured"]) == pytest.approx(float(after - before), rel=0.05)
    gradient = input_gradient(lab.asked.model, images, 347)[0, :, 112, 129]
    expected = float((gradient / 255 / std).sum())
    name = "one grey level more here: by the slopes"
    assert float(numbers[name]) == pytest.approx(expected, rel=0.05)


def test_a_smaller_network_keeps_the_loupe_inside():
    small = torch.nn.Sequential(
        torch.nn.Conv2d(3, 5, 5), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
    )
    lab = VanillaSaliencyLab(small, inputs=Inputs(size=(40, 60)))
    lab.controls["network"].value = "SqueezeNet 1.1"
    lab._heard("photo", {"x": 200.0, "y": 200.0})
    assert lab.controls["row"].value == 200
    lab.controls["network"].value = "Sequential"
    assert not lab.failed, lab.said
    assert (lab.controls["row"].value, lab.controls["column"].value) == (39, 59)


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
    fresh, monkeypatch, error, reason, shown
):
    said = []

    def refuse(name, weights):
        said.append(fresh.touch.answer)
        raise error

    before = shown(fresh)
    monkeypatch.setattr(module, "load_model", refuse)
    fresh.controls["network"].value = "AlexNet, 233 MB to download once"
    assert "Loading AlexNet, 233 MB" in said[0]
    assert fresh.failed
    assert "AlexNet could not be loaded; keeping SqueezeNet 1.1" in fresh.touch.answer
    assert reason in fresh.touch.answer
    assert fresh.controls["network"].value == "SqueezeNet 1.1"
    assert shown(fresh) == before
    fresh.controls["smoothing"].value = 2
    assert not fresh.failed
    assert shown(fresh) != before


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
    assert fresh.scene.table[0] == ("bison", "AlexNet")


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
    assert lab.scene.table[0][1] == "Sequential"


# -- uploads ---------------------------------------------------------------------------


def test_an_upload_is_shown_and_joins_the_list(fresh, upload, png, shown):
    before = shown(fresh)
    upload(fresh, "mine.png", png("red"))
    assert not fresh.failed
    assert shown(fresh) != before
    assert fresh.controls["photo"].choice.value == "mine.png"
    assert fresh.controls["photo"].value == "mine.png"
    fresh.controls["photo"].choice.value = "bison"
    assert shown(fresh) == before
    fresh.controls["photo"].choice.value = "mine.png"
    assert fresh.controls["photo"].value == "mine.png"


def test_a_second_upload_of_that_name_is_another_picture(fresh, upload, png, shown):
    upload(fresh, "mine.png", png("red"))
    red = shown(fresh)
    upload(fresh, "mine.png", png("blue"))
    assert shown(fresh) != red
    assert fresh.controls["photo"].value == "mine.png (2)"
    pictures = fresh.controls["photo"].pictures
    assert pictures["mine.png"].getpixel((0, 0)) == (255, 0, 0)
    assert pictures["mine.png (2)"].getpixel((0, 0)) == (0, 0, 255)


@pytest.mark.parametrize("kind", ["text", "truncated", "empty"])
def test_a_broken_upload_keeps_the_picture_and_is_named(fresh, upload, png, kind, shown):
    broken = {
        "text": b"these are no pixels",
        "truncated": png("red", (300, 300))[:200],
        "empty": b"",
    }[kind]
    before, options = shown(fresh), fresh.controls["photo"].choice.options
    upload(fresh, "notes.txt", broken)
    assert fresh.failed
    assert "The picture is unchanged." in fresh.touch.answer
    assert "notes.txt" in fresh.touch.answer
    assert shown(fresh) == before
    assert fresh.controls["photo"].choice.options == options
    fresh.controls["overlaid"].value = True
    assert not fresh.failed
    upload(fresh, "notes2.txt", broken)
    assert "notes2.txt" in fresh.touch.answer


def test_a_picture_too_long_to_crop_is_refused_in_the_status_line(
    fresh, upload, png, shown
):
    before = shown(fresh)
    upload(fresh, "ribbon.png", png("red", (300_000, 1)))
    assert fresh.failed
    assert "300000×1" in fresh.touch.answer
    assert shown(fresh) == before
    fresh.controls["photo"].choice.value = "koala"
    assert not fresh.failed


def test_an_upload_is_read_as_any_picture(fresh, upload, png):
    upload(fresh, "mine.png", png("green"))
    picture = fresh.controls["photo"].pictures["mine.png"]
    assert picture.tobytes() == load_image(png("green")).tobytes()


def test_the_network_is_unchanged(lab, is_unchanged):
    assert is_unchanged(lab._asked("SqueezeNet 1.1").model)
