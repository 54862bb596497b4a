"""Lesson 01's lab, its controls set as a learner would set them."""

import pytest

from course_utils.labs.controls import PAIR
from course_utils.labs.theory import COLOURS, DISPLAYS, TheoryLab

DOTS, BARS = DISPLAYS


@pytest.fixture(scope="module")
def shared():
    return TheoryLab()


@pytest.fixture
def lab(shared):
    """The lab with all its controls as it opens."""
    opening = {
        "picture": DOTS,
        "items": 36,
        "row": 2,
        "column": 4,
        "channels": "intensity",
        "colour": next(iter(COLOURS.values())),
        "tilt": 45,
        "seed": 0,
    }
    for name, value in opening.items():
        shared.controls[name].value = value
    return shared


def found(lab) -> list[bool]:
    """What the status line says of the three maps."""
    answer = lab.status.value.split("cell? ")[1].split(". ")[0]
    return [part.endswith("yes") for part in answer.split("; ")]


def choose(lab, **values):
    for name, value in values.items():
        lab.controls[name].value = value
        assert not lab.failed, lab.status.value


def test_it_opens_on_dots_that_the_intensity_cannot_tell_apart(lab):
    assert not lab.failed
    assert found(lab) == [False, True, False]
    assert bytes(lab.picture.value).startswith(b"\x89PNG")


def test_what_the_lesson_found_with_colours(lab):
    choose(lab, channels="colour")
    assert found(lab)[0]
    choose(lab, channels="intensity")
    for name, colour in COLOURS.items():
        choose(lab, colour=colour)
        if "intensity of the blue" in name:
            assert not found(lab)[0], name
        if name in ("light blue", "yellow"):
            assert found(lab)[0], name


def test_what_the_lesson_found_with_bars(lab):
    choose(lab, picture=BARS, colour="white", items=25)
    counts = {25: 0, 100: 0}
    for items in counts:
        choose(lab, items=items)
        for seed in range(4):
            choose(lab, seed=seed)
            counts[items] += sum(found(lab)[:2])
    assert counts[25] == 8
    assert counts[100] < 6


@pytest.mark.parametrize("name", ["items", "row", "column", "seed", "colour"])
def test_each_control_of_a_display_draws_a_new_picture(lab, name):
    control, before = lab.controls[name], lab.picture.value
    values = list(COLOURS.values()) if name == "colour" else range(control.min, control.max)
    choose(lab, **{name: next(v for v in values if v != control.value)})
    assert lab.picture.value != before


def test_the_odd_one_lies_where_the_learner_puts_it(lab):
    choose(lab, row=6, column=1)
    assert "box from (0, 187) to (37, 224)" in lab.words


def test_fewer_items_keep_the_place_inside_the_grid(lab):
    choose(lab, row=6, column=6, items=9)
    assert lab.controls["row"].value == lab.controls["column"].value == 3
    assert lab.controls["row"].max == 3


def test_tilt_counts_for_bars_alone_and_is_switched_off_elsewhere(lab):
    assert lab.controls["tilt"].disabled
    choose(lab, picture=BARS)
    assert not lab.controls["tilt"].disabled
    before = lab.picture.value
    choose(lab, tilt=80)
    assert lab.picture.value != before


def test_the_class_changes_the_network_s_map_and_no_other(lab):
    choose(lab, picture=PAIR)
    assert lab.controls["items"].disabled
    before = lab.words.split(" | ")
    lab.controls["target"].search.value = "German shepherd"
    after = lab.words.split(" | ")
    assert not lab.failed
    assert "German shepherd" in lab.status.value
    assert before[:3] == after[:3]
    assert before[3] != after[3]
    lab.controls["target"].search.value = "lorikeet"


def test_every_photograph_can_be_shown(lab):
    for name in [*lab.asked.pictures][:4]:
        choose(lab, picture=name)
        assert "cell?" not in lab.status.value


def test_the_network_is_unchanged(lab, is_unchanged):
    assert is_unchanged(lab.asked.model)
