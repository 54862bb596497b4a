"""Lesson 01's lab, its controls set and its odd item dragged as a learner would."""

import numpy as np
import pytest

from course_utils.attention import RED, centre_surround, popout_display
from course_utils.labs.asking import PAIR
from course_utils.labs.theory import COLOURS, DISPLAYS, TheoryLab
from course_utils.labs.touch import to_picture

DOTS, BARS = DISPLAYS
CELL = 224 / 6


@pytest.fixture(scope="module")
def shared():
    return TheoryLab()


@pytest.fixture
def lab(shared):
    """The lab with all its controls as it opens."""
    opening = {
        "items": 36,
        "row": 2,
        "column": 4,
        "channels": "intensity",
        "colour": RED,
        "tilt": 45,
        "seed": 0,
    }
    choose(shared, photo=DOTS, **opening)
    shared.controls["target"].choose(90)
    return shared


def choose(lab, **values):
    for name, value in values.items():
        control = lab.controls[name]
        getattr(control, "choice", control).value = value
        assert not lab.failed, lab.said


def found(lab) -> list[bool]:
    """What the titles say of the three maps."""
    assert all(panel.title[0] in "✔✘" for panel in lab.scene.panels[1:])
    return [panel.title[0] == "✔" for panel in lab.scene.panels[1:]]


def pixels(lab, panel: int) -> np.ndarray:
    return np.asarray(to_picture(lab.scene.panels[panel].layers[0].picture))


def move(lab, **changes):
    lab._heard("picture", lab.scene.panels[0].hand | changes)
    assert not lab.failed, lab.said


def test_it_opens_on_dots_that_the_intensity_cannot_tell_apart(lab):
    assert not lab.failed
    assert found(lab) == [False, True, False]
    assert lab.touch.answer == "The odd one is found by centre-surround alone."


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
    choose(lab, photo=BARS, colour="white", items=25)
    counts = {25: 0, 100: 0}
    for items in counts:
        choose(lab, items=items)
        for seed in range(4):
            choose(lab, seed=seed)
            counts[items] += sum(found(lab)[:2])
    assert counts[25] == 8
    assert counts[100] < 6


@pytest.mark.parametrize("name", ["items", "row", "column", "seed", "colour"])
def test_each_control_of_a_display_draws_a_new_scene(lab, shown, name):
    control, before = lab.controls[name], shown(lab)
    values = list(COLOURS.values()) if name == "colour" else range(control.min, control.max)
    choose(lab, **{name: next(v for v in values if v != control.value)})
    assert shown(lab) != before


def test_the_odd_one_lies_where_the_learner_puts_it(lab):
    choose(lab, row=6, column=1)
    dashed = lab.scene.panels[1].marks[0]
    assert dashed["dash"]
    assert dashed["rect"] == pytest.approx([0, 186.67, 37.33, 224])


def test_fewer_items_keep_the_place_inside_the_grid(lab):
    choose(lab, row=6, column=6, items=9)
    assert lab.controls["row"].value == lab.controls["column"].value == 3
    assert lab.controls["row"].max == 3


def test_tilt_counts_for_bars_alone_and_is_switched_off_elsewhere(lab, shown):
    assert lab.controls["tilt"].disabled
    choose(lab, photo=BARS)
    assert not lab.controls["tilt"].disabled
    before = shown(lab)
    choose(lab, tilt=80)
    assert shown(lab) != before


def test_bars_begin_in_one_colour_and_dots_in_two(lab):
    choose(lab, photo=BARS)
    assert lab.controls["colour"].value == "white"
    choose(lab, photo=DOTS)
    assert lab.controls["colour"].value == RED


# -- the odd item in the hand --------------------------------------------------------------


def test_a_dragged_item_goes_to_the_nearest_cell_and_the_maps_follow(lab):
    before, answers = pixels(lab, 2), lab.scene.table
    move(lab, x=5.4 * CELL, y=0.3 * CELL)
    assert (lab.controls["row"].value, lab.controls["column"].value) == (1, 6)
    expected = popout_display("colour", 36, 0, (0, 5), RED)
    hand = lab.touch.hands["picture"]
    assert (hand["x"], hand["y"]) == expected.centre
    assert (pixels(lab, 2) != before).any()
    assert lab.scene.table != answers
    values = centre_surround(expected.image)
    circle = lab.scene.panels[2].marks[1]["circle"]
    assert values[circle[1], circle[0]] == values.max()
    assert found(lab)[1] == expected.found_by(values)


def test_an_item_let_go_inside_its_cell_goes_back_to_its_place(lab):
    place = lab.scene.panels[0].hand
    move(lab, x=3.2 * CELL, y=1.8 * CELL)
    assert (lab.controls["row"].value, lab.controls["column"].value) == (2, 4)
    assert lab.touch.hands["picture"] == pytest.approx(place)


def test_at_the_edge_it_stays_in_the_last_cell(lab):
    move(lab, x=224, y=224)
    assert (lab.controls["row"].value, lab.controls["column"].value) == (6, 6)


@pytest.mark.parametrize(
    ("angle", "tilt"), [(-90, 0), (-45, 45), (0, 90), (135, 45), (45, -45), (90, 0)]
)
def test_a_bar_is_turned_by_either_end(lab, angle, tilt):
    choose(lab, photo=BARS)
    move(lab, angle=angle)
    assert lab.controls["tilt"].value == tilt
    assert lab.touch.hands["picture"]["angle"] == angle  # the grip stays where it is held
    choose(lab, tilt=20)
    assert (lab.touch.hands["picture"]["angle"] - (20 - 90)) % 180 == 0


def test_the_numbers_are_those_of_the_map(lab):
    popout = popout_display("colour", 36, 0, (1, 3), RED)
    values = centre_surround(popout.image)
    row, column = np.unravel_index(values.argmax(), values.shape)
    _, largest, height, _ = lab.scene.table
    assert largest[2] == f"{row}, {column}"
    assert height[2] == "100%"


# -- photographs ---------------------------------------------------------------------------


def test_the_class_changes_the_network_s_map_and_no_other(lab):
    choose(lab, photo=PAIR)
    assert lab.controls["items"].disabled
    before = [pixels(lab, panel) for panel in range(4)]
    lab.controls["target"].field.value = "German shepherd"
    assert not lab.failed
    assert "German shepherd" in lab.touch.answer
    same = [(pixels(lab, n) == old).all() for n, old in enumerate(before)]
    assert same == [True, True, True, False]


def test_every_photograph_can_be_shown(lab):
    for name in [name for name in lab.asked.pictures if name not in DISPLAYS][:4]:
        choose(lab, photo=name)
        assert not any(panel.title[0] in "✔✘" for panel in lab.scene.panels)
        assert "lorikeet" in lab.touch.answer


def test_the_network_is_unchanged(lab, is_unchanged):
    assert is_unchanged(lab.asked.model)
