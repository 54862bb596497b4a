"""Lesson 08's lab, its controls set as a learner would set them."""

import re

import pytest

from course_utils.labs.controls import PAIR
from course_utils.labs.trust import TrustLab


@pytest.fixture(scope="module")
def lab():
    return TrustLab()


def test_it_opens_with_a_map_its_rival_and_its_curves(lab):
    assert not lab.failed, lab.status.value
    assert bytes(lab.picture.value).startswith(b"\x89PNG")
    for words in (
        "guided backprop",
        "German shepherd",
        "random pixels",
        "rank correlation",
    ):
        assert words in lab.status.value
    assert "line “deletion” of" in lab.words
    assert "line “insertion” of" in lab.words


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("method", "grad_cam"),
        ("method", "edges"),
        ("layers", 5),
        ("hidden", 60),
        ("fill", "black"),
        ("photo", "goldfish"),
    ],
)
def test_each_control_changes_the_picture(lab, redraws, name, value):
    redraws(lab, lab.picker.choice if name == "photo" else lab.controls[name], value)


def agreement(lab):
    return float(re.search(r"correlation with the map (-?[\d.]+)\.", lab.status.value)[1])


def test_nothing_randomised_leaves_the_map(lab):
    lab.controls["layers"].value = 0
    assert agreement(lab) == 1
    assert "nothing randomised" in lab.status.value.lower()
    lab.controls["layers"].value = len(lab.blocks)
    assert agreement(lab) < 0.9
    assert "all randomised" in lab.status.value.lower()
    lab.controls["layers"].value = 1


def test_hiding_all_or_nothing(lab):
    lab.controls["hidden"].value = 0
    whole = re.search(r": ([\d.]+)% probable", lab.status.value)[1]
    assert float(whole) > 90
    lab.controls["hidden"].value = 100
    assert " 0.0% probable with 100 % hidden" in lab.status.value
    lab.controls["hidden"].value = 10


def test_another_class_is_asked_for(lab):
    lab.picker.choice.value = PAIR
    lab.controls["target"].search.value = "lorikeet"
    assert not lab.failed
    assert "for lorikeet" in lab.status.value
    lab.controls["target"].search.value = ""
    lab.picker.choice.value = "german_shepherd"


def test_an_upload_that_is_not_a_picture_is_shown(lab):
    lab.picker.error = "notes.txt is not a picture"
    assert lab.failed
    assert "notes.txt is not a picture" in lab.status.value
    lab.picker.error = ""
    lab.refresh()
    assert not lab.failed


def test_the_network_is_unchanged(lab, is_unchanged):
    assert is_unchanged(lab.asked.model)
