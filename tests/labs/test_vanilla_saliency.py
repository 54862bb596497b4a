"""Lesson 02's lab, its controls set as a learner would set them."""

import pytest
import torch

from course_utils import input_gradient, load_image
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


def panels(lab) -> dict:
    """Key → what the browser gets of a panel."""
    return {panel["key"]: panel for panel in lab.touch.scene["panels"]}


def numbers(lab) -> dict:
    """First cell → the others, of the table."""
    return {row[0]: row[1] for row in lab.scene.table}


def words(lab) -> str:
    """What the panels show, for the saved notebook."""
    return " ".join(getattr(panel, "words", "") for panel in lab.scene.panels)


def test_it_opens_on_a_photograph_with_its_map_and_its_classes(lab):
    assert not lab.failed
    assert panels(lab)["map"]["title"] == "map: bison"
    assert numbers(lab)["bison"] == "SqueezeNet 1.1"
    assert numbers(lab)["place"] == "1 of 1000"
    names = [bar["name"] for bar in panels(lab)["bars"]["bars"]]
    assert "water buffalo" in names


# -- the loupe ---------------------------------------------------------------------------


def point(lab, x, y):
    """Move the loupe."""
    lab._heard("photo", {"x": x, "y": y})
    assert not lab.failed, lab.said


def test_under_the_loupe_lie_the_map_and_the_slopes_of_one_pixel(lab):
    point(lab, 120.7, 80.2)
    assert (lab.controls["row"].value, lab.controls["column"].value) == (80, 120)
    asked = lab.asked
    slopes = input_gradient(asked.model, asked.images("bison"), 347)[0, :, 80, 120]
    shown = [bar["value"] for bar in panels(lab)["slopes"]["bars"]]
    assert shown == pytest.approx(slopes.tolist(), abs=1e-4)
    assert lab.touch.answer.startswith("Row 80, column 120: strongest slope ")
    photo = panels(lab)["photo"]
    assert photo["layers"][-1]["lens"]
    assert photo["tool"]["lens"] == 36
    assert panels(lab)["map"]["follow"] == "photo"


def test_one_grey_level_more_is_said_by_the_slopes_and_measured(lab):
    point(lab, 100, 100)
    asked, images = lab.asked, lab.asked.images("bison").clone()
    slopes = input_gradient(asked.model, images, 347)[0, :, 100, 100]
    level = 1 / 255 / torch.tensor(asked.inputs.std)
    with torch.no_grad():
        before = asked.model(images)[0, 347]
        images[0, :, 100, 100] += level
        change = asked.model(images)[0, 347] - before
    said = numbers(lab)
    by_slopes = float(said["one level more, by the slopes"])
    assert by_slopes == pytest.approx(float((slopes * level).sum()), rel=0.06)
    assert float(said["measured"]) == pytest.approx(float(change), rel=0.06, abs=2e-5)


def test_where_there_is_no_slope_the_answer_says_so(lab):
    point(lab, 0, 223)
    assert lab.touch.answer == "Row 223, column 0: no slope in any colour."
    assert numbers(lab)["measured"] == "+0"


def test_sliders_move_the_loupe_too(lab):
    lab.controls["row"].value = 10
    assert lab.touch.hands["photo"]["y"] == 10.5
    assert lab.touch.answer.startswith("Row 10, ")


# -- its controls --------------------------------------------------------------------------


def test_a_network_of_smaller_pictures_keeps_the_loupe_inside():
    small = torch.nn.Sequential(
        torch.nn.Conv2d(3, 5, 5), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
    )
    lab = VanillaSaliencyLab(small, inputs=Inputs(size=(40, 60)))
    lab.controls["network"].value = "SqueezeNet 1.1"
    point(lab, 200.0, 200.0)
    assert lab.controls["row"].value == 200
    lab.controls["network"].value = "Sequential"
    assert not lab.failed, lab.said
    assert (lab.controls["row"].value, lab.controls["column"].value) == (39, 59)


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
    assert "zebra" in numbers(lab)
    assert panels(lab)["map"]["title"] == "map: zebra"
    assert numbers(lab)["place"] != "1 of 1000"
    assert shown(lab) != before
    lab.controls["target"].field.value = ""
    assert shown(lab) == before


@pytest.mark.parametrize(("name", "value"), [("smoothing", 4), ("overlaid", True)])
def test_each_choice_of_drawing_changes_the_picture(lab, redraws, name, value):
    redraws(lab, lab.controls[name], value)


def test_a_smoothed_map_has_other_words_and_another_scale(lab, redraws):
    before, said = words(lab), lab.said
    assert redraws(lab, lab.controls["smoothing"], 4) != said
    lab.controls["smoothing"].value = 4
    assert words(lab) != before
    lab.controls["smoothing"].value = 0
    assert words(lab) == before


def test_another_network_sees_something_else(lab):
    lab.controls["network"].value = "ResNet-18, random weights"
    assert not lab.failed, lab.said
    assert "ResNet-18" in numbers(lab).values()
    assert panels(lab)["map"]["title"] != "map: bison"
    lab.controls["network"].value = "SqueezeNet 1.1"
    assert panels(lab)["map"]["title"] == "map: bison"


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
    fresh, monkeypatch, shown, error, reason
):
    said = []

    def refuse(name, weights):
        said.append(fresh.touch.answer)
        raise error

    before = shown(fresh)
    monkeypatch.setattr(module, "load_model", refuse)
    fresh.controls["network"].value = "AlexNet, 233 MB to download once"
    assert len(said) == 1, "it is not tried again"
    assert "Loading AlexNet, 233 MB" in said[0]
    assert fresh.failed
    assert fresh.touch.state == ""  # the picture is the former network's, and not old
    assert "AlexNet could not be loaded; keeping SqueezeNet 1.1" in fresh.said
    assert reason in fresh.said
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
    assert numbers(fresh)["bison"] == "AlexNet"


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
    assert "Sequential" in numbers(lab).values()


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
def test_a_broken_upload_keeps_the_picture_and_is_named(fresh, upload, png, shown, kind):
    broken = {
        "text": b"these are no pixels",
        "truncated": png("red", (300, 300))[:200],
        "empty": b"",
    }[kind]
    before, options = shown(fresh), fresh.controls["photo"].choice.options
    upload(fresh, "notes.txt", broken)
    assert fresh.failed
    assert "Nothing has changed." in fresh.said
    assert "notes.txt" in fresh.said
    assert shown(fresh) == before
    assert fresh.controls["photo"].choice.options == options
    fresh.controls["overlaid"].value = True
    assert not fresh.failed
    upload(fresh, "notes2.txt", broken)
    assert "notes2.txt" in fresh.said


def test_a_picture_too_long_to_crop_is_refused_in_words(fresh, upload, png, shown):
    before = shown(fresh)
    upload(fresh, "ribbon.png", png("red", (300_000, 1)))
    assert fresh.failed
    assert "300000×1" in fresh.said
    assert shown(fresh) == before
    fresh.controls["photo"].choice.value = "koala"
    assert not fresh.failed


def test_an_upload_is_read_as_any_picture(fresh, upload, png):
    upload(fresh, "mine.png", png("green"))
    picture = fresh.controls["photo"].pictures["mine.png"]
    assert picture.tobytes() == load_image(png("green")).tobytes()


def test_the_network_is_unchanged(lab, is_unchanged):
    assert is_unchanged(lab._asked("SqueezeNet 1.1").model)
