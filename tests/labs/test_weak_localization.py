"""Lesson 07's lab: its controls set, and its photograph painted on, as a learner would."""

import numpy as np
import pytest
from PIL import Image

from course_utils.gradients import vanilla_saliency
from course_utils.images import fit_image, preprocess
from course_utils.labs.strokes import Stroke
from course_utils.labs.weak_localization import WeakLocalizationLab
from course_utils.localization import iou, localize
from course_utils.samples import load_samples

OPENING = {"row": 112, "column": 112, "radius": 10, "columns": (56, 168), "rows": (56, 168)}


@pytest.fixture(scope="module")
def built():
    return WeakLocalizationLab()


@pytest.fixture
def lab(built):
    """The lab as it opens, whatever an earlier test has left."""
    built.brush.painted.clear()
    built.mode.value, built.drawn.value = "object", True
    built.controls["photo"].choice.value = "malinois_meadow"
    built.controls["target"].choose(None)
    built.set(**OPENING)
    built.refresh()
    return built


def cell(lab, row, column):
    return {line[0]: line for line in lab.scene.table}[row][column]


def marks(lab, kind):
    return [mark[kind] for mark in lab.scene.panels[0].marks if kind in mark]


def paint(lab, *points, second=False, radius=10):
    x, y = points[-1]
    hand = {"x": x, "y": y, "radius": radius, "second": second, "points": points}
    lab._heard("photo", hand)


# -- the opening, beside an independent computation ----------------------------------------


def test_it_opens_with_a_box_and_its_iou(lab):
    sample = load_samples(names="malinois_meadow")
    photo = fit_image(sample.images[0])
    images = preprocess(photo)
    saliency = vanilla_saliency(
        lab.asked.model, images, lab.asked.target("malinois_meadow")
    )
    found = localize(photo, saliency[0])
    overlap = iou(found.box, sample.boxes_at()[0])
    assert not lab.failed, lab.said
    assert f"the found box has IoU {overlap:.2f}" in lab.touch.answer
    assert cell(lab, "found (magenta)", 2) == ", ".join(map(str, found.box))
    assert cell(lab, "mask", 3) == f"{found.mask.mean():.0%}"
    assert list(found.box) in marks(lab, "rect")
    assert marks(lab, "text") == ["drawn", f"found IoU {overlap:.2f}"]


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
    if name in ("row", "column", "radius"):  # they move the brush, which the browser draws
        lab.controls[name].value = value
        assert (
            lab.touch.hands["photo"][{"row": "y", "column": "x"}.get(name, name)] == value
        )
    else:
        redraws(lab, lab.controls[name], value)


def test_labels_stay_inside_the_picture(lab):
    for box in ((0, 0, 224, 224), (200, 0, 224, 20), (0, 210, 20, 224)):
        for below in (False, True):
            x, y = lab._marks(box, "white", "found IoU 0.88", below)[1]["at"]
            assert 0 <= x <= 224 - 70
            assert 0 <= y <= 224 - 13


def test_a_composite_has_a_known_box(lab):
    picker = lab.controls["photo"]
    picker.choice.value = next(name for name in picker.pictures if " on " in name)
    assert not lab.failed
    assert "IoU" in lab.touch.answer


def test_quantiles_that_cross_are_shown_in_the_answer_line(lab):
    lab.controls["foreground"].value = 0.5
    lab.controls["background"].value = 0.6
    assert lab.failed
    assert "foreground" in lab.touch.answer
    lab.controls["foreground"].value, lab.controls["background"].value = 0.95, 0.3
    assert not lab.failed


def test_another_class_is_asked_for(lab):
    lab.controls["target"].field.value = "zebra"
    assert not lab.failed
    assert lab.touch.answer.startswith("zebra ")


def test_a_picture_without_a_box_is_drawn_without_iou(lab):
    noise = np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    lab.controls["photo"].add("mine.png", Image.fromarray(noise))
    assert not lab.failed
    assert "no box is known" in lab.touch.answer
    assert marks(lab, "text") == ["found"]
    lab.mode.value = "box"
    assert "no box is known" in lab.touch.answer
    assert cell(lab, "yours (yellow)", 1) == "–"


# -- painting ------------------------------------------------------------------------------


def test_a_stroke_by_hand_changes_mask_and_seeds(lab, shown):
    before, mask = shown(lab), cell(lab, "mask", 3)
    paint(lab, (40, 190), (60, 205), radius=20)
    assert not lab.failed, lab.said
    assert "with 1 stroke of yours" in lab.touch.answer
    assert cell(lab, "mask", 3) != mask
    seeds = np.asarray(lab.scene.panels[1].layers[1].picture)
    assert seeds[200, 50, 0] > seeds[200, 50, 2], "orange: object"
    paint(lab, (40, 190), second=True, radius=20)
    assert "with 2 strokes of yours" in lab.touch.answer
    seeds = np.asarray(lab.scene.panels[1].layers[1].picture)
    assert seeds[190, 40, 0] < seeds[190, 40, 2], "blue: background"
    lab.brush.buttons["undo"].click()
    assert "with 1 stroke of yours" in lab.touch.answer
    lab.brush.buttons["clear"].click()
    assert "stroke" not in lab.touch.answer
    assert cell(lab, "mask", 3) == mask
    lab.set(**OPENING)
    assert shown(lab) == before


def test_hand_and_controls_agree(lab):
    """What a click paints, the sliders and the button paint too."""
    paint(lab, (40, 200), radius=20)
    by_hand, values = lab.scene.table, lab.values
    assert [values[name] for name in ("row", "column", "radius")] == [200, 40, 20]
    assert lab.touch.hands["photo"] == {"x": 40, "y": 200, "radius": 20}
    lab.brush.buttons["clear"].click()
    lab.brush.buttons["first"].click()
    assert lab.brush.strokes("malinois_meadow") == (Stroke(((40, 200),), 20),)
    assert lab.scene.table == by_hand
    lab.brush.buttons["second"].click()
    assert lab.brush.strokes("malinois_meadow")[1].second


def test_the_mode_says_what_the_left_button_paints(lab):
    assert lab.scene.panels[0].tool["second"] is False
    lab.mode.value = "background"
    assert lab.scene.panels[0].tool["second"] is True
    assert "background" in lab.scene.panels[0].title


def test_strokes_are_what_the_cut_was_told(lab):
    paint(lab, (150, 60), radius=12)
    paint(lab, (84, 100), second=True, radius=12)
    photo = lab.asked.seen(lab.asked.images("malinois_meadow"))
    target = lab.asked.target("malinois_meadow")
    saliency = vanilla_saliency(
        lab.asked.model, lab.asked.images("malinois_meadow"), target
    )
    rows, columns = np.mgrid[:224, :224]
    known = {
        "object_pixels": (rows - 60) ** 2 + (columns - 150) ** 2 <= 144,
        "background_pixels": (rows - 100) ** 2 + (columns - 84) ** 2 <= 144,
    }
    found = localize(photo, saliency[0], **known)
    assert cell(lab, "found (magenta)", 2) == ", ".join(map(str, found.box))


def test_each_picture_keeps_its_own_strokes(lab):
    lab.brush.buttons["first"].click()
    lab.controls["photo"].choice.value = "espresso"
    assert "stroke" not in lab.touch.answer
    lab.controls["photo"].choice.value = "malinois_meadow"
    assert "1 stroke of yours" in lab.touch.answer


def test_undo_without_a_stroke_is_shown(lab):
    lab.brush.buttons["undo"].click()
    assert lab.failed
    assert "no stroke to undo" in lab.touch.answer
    lab.refresh()
    assert not lab.failed


# -- a box of one's own --------------------------------------------------------------------


def test_while_one_guesses_the_boxes_are_hidden(lab):
    panels = len(lab.scene.panels), len(lab.scene.table)
    lab.mode.value = "box"
    assert not lab.drawn.value
    assert lab.scene.panels[0].marks == []
    assert len(lab.scene.panels[0].layers) == 2, "the photograph and the strokes: no mask"
    assert cell(lab, "found (magenta)", 2) == cell(lab, "drawn by hand (white)", 2) == "?"
    assert (len(lab.scene.panels), len(lab.scene.table)) == panels
    lab.drawn.value = True
    assert len(marks(lab, "rect")) == 2
    lab.mode.value = "object"
    assert lab.drawn.value


def test_the_iou_of_the_own_box_follows_the_hand(lab):
    lab.mode.value = "box"
    drawn = lab.boxes["malinois_meadow"]
    for x0, y0, x1, y1 in ((10, 20, 110, 200), (80, 60, 140, 200)):
        hand = {"x": (x0 + x1) / 2, "y": (y0 + y1) / 2, "w": x1 - x0, "h": y1 - y0}
        lab._heard("photo", hand)
        overlap = iou((x0, y0, x1, y1), drawn)
        assert lab.touch.answer.startswith(
            f"Your box: IoU {overlap:.2f}; the found box: 0."
        )
        assert lab.values["columns"] == (x0, x1)
        assert lab.values["rows"] == (y0, y1)
        assert lab.touch.hands["photo"] == hand


def test_the_own_box_is_moved_by_its_sliders_too(lab):
    lab.mode.value = "box"
    lab.controls["columns"].value = (100, 120)
    assert lab.touch.hands["photo"]["x"] == 110
    assert lab.touch.hands["photo"]["w"] == 20
    assert cell(lab, "yours (yellow)", 2) == "100, 56, 120, 168"


@pytest.mark.parametrize(
    "hand",
    [{"x": 0, "y": 224, "w": 300, "h": 500}, {"x": 224, "y": 0, "w": -8, "h": 0}],
)
def test_a_box_that_does_not_fit_is_made_to(lab, hand):
    lab.mode.value = "box"
    lab._heard("photo", hand)
    assert not lab.failed, lab.said
    for start, end in (lab.values["columns"], lab.values["rows"]):
        assert 0 <= start < end <= 224


# -- the rest ------------------------------------------------------------------------------


def test_the_network_is_unchanged(lab, is_unchanged):
    assert is_unchanged(lab.asked.model)
