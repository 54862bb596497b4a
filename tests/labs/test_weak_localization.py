"""Lesson 07's lab, its controls set as a learner would set them."""

import numpy as np
import pytest
from PIL import Image

from course_utils.labs.weak_localization import WeakLocalizationLab, stroke_masks


@pytest.fixture(scope="module")
def lab():
    return WeakLocalizationLab()


def test_it_opens_with_a_box_and_its_iou(lab):
    assert not lab.failed, lab.status.value
    assert "IoU with the drawn box" in lab.status.value
    assert bytes(lab.picture.value).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("foreground", 0.8),
        ("background", 0.5),
        ("smoothing", 2.0),
        ("contrast", 10.0),
        ("map_weight", 0.0),
        ("averaged", True),
        ("row", 60),
        ("column", 200),
        ("radius", 20),
    ],
)
def test_each_control_changes_the_picture(lab, redraws, name, value):
    redraws(lab, lab.controls[name], value)


def test_a_composite_has_a_known_box(lab):
    lab.picker.choice.value = next(n for n in lab.picker.pictures if " on " in n)
    assert not lab.failed
    assert "IoU" in lab.status.value
    lab.picker.choice.value = "malinois_meadow"


def test_quantiles_that_cross_are_shown_in_the_status_line(lab):
    lab.controls["foreground"].value = 0.5
    lab.controls["background"].value = 0.6
    assert lab.failed
    assert "foreground" in lab.status.value
    lab.controls["foreground"].value, lab.controls["background"].value = 0.95, 0.3
    assert not lab.failed


def test_another_class_is_asked_for(lab):
    lab.controls["target"].search.value = "zebra"
    assert not lab.failed
    assert "zebra" in lab.status.value
    lab.controls["target"].search.value = ""


def test_a_picture_without_a_box_is_drawn_without_iou(lab):
    noise = np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    lab.picker.pictures["mine.png"] = Image.fromarray(noise)
    lab.picker.value = "mine.png"
    assert not lab.failed
    assert "No box is known" in lab.status.value
    lab.picker.value = "malinois_meadow"


def test_a_stroke_changes_the_mask_and_undo_takes_it_back(lab):
    def mask_said():
        return lab.status.value.split("mask ")[1]

    before, picture = mask_said(), lab.picture.value
    assert lab.buttons["undo"].disabled
    for name, value in {"row": 200, "column": 40, "radius": 20}.items():
        lab.controls[name].value = value
    lab.buttons["object"].click()
    assert not lab.failed, lab.status.value
    assert "1 stroke of yours" in lab.status.value
    assert lab.picture.value != picture
    assert mask_said() != before
    lab.buttons["background"].click()
    assert "2 strokes of yours" in lab.status.value
    lab.buttons["undo"].click()
    assert "1 stroke of yours" in lab.status.value
    lab.buttons["clear"].click()
    assert "stroke" not in lab.status.value
    assert mask_said() == before
    assert lab.buttons["clear"].disabled
    for name, value in {"row": 112, "column": 112, "radius": 10}.items():
        lab.controls[name].value = value


def test_each_picture_keeps_its_own_strokes(lab):
    lab.buttons["object"].click()
    lab.picker.choice.value = "espresso"
    assert "stroke" not in lab.status.value
    lab.picker.choice.value = "malinois_meadow"
    assert "1 stroke of yours" in lab.status.value
    lab.buttons["clear"].click()


def test_undo_without_a_stroke_is_shown(lab):
    lab.buttons["undo"].click()
    assert lab.failed
    assert "no stroke to undo" in lab.status.value
    lab.refresh()
    assert not lab.failed


def test_a_later_stroke_covers_an_earlier_one():
    inside, outside = stroke_masks([(5, 5, 3, True), (5, 7, 2, False)], 12)
    assert inside[5, 3]
    assert outside[5, 7]
    assert not (inside & outside).any()
    assert (inside | outside).sum() > inside.sum() > 0


def test_the_network_is_unchanged(lab, is_unchanged):
    assert is_unchanged(lab.asked.model)
