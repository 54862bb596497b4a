"""Lesson 01's lab, its controls set as a learner would set them."""

import numpy as np
import pytest

from course_utils.attention import centre_surround, grid_rows, popout_display
from course_utils.labs.asking import PAIR
from course_utils.labs.theory import COLOURS, DISPLAYS, TheoryLab

DOTS, BARS = DISPLAYS


@pytest.fixture(scope="module")
def shared():
    return TheoryLab()


@pytest.fixture
def lab(shared):
    """The lab with all its controls as it opens."""
    opening = {
        "photo": DOTS,
        "items": 36,
        "row": 2,
        "column": 4,
        "channels": "intensity",
        "colour": next(iter(COLOURS.values())),
        "tilt": 45,
        "seed": 0,
    }
    shared.angle = 0
    shared.controls["photo"].choice.value = opening.pop("photo")
    shared.set(**opening)
    return shared


def panels(lab) -> dict:
    """Key → what the browser gets of a panel."""
    return {panel["key"]: panel for panel in lab.touch.scene["panels"]}


def found(lab) -> list[bool]:
    """What the titles of the three maps say: a tick, or a cross."""
    return [panel["title"][0] == "✔" for panel in lab.touch.scene["panels"][1:]]


def choose(lab, photo=None, **values):
    if photo is not None:
        lab.controls["photo"].choice.value = photo
    for name, value in values.items():
        lab.controls[name].value = value
        assert not lab.failed, lab.said


def test_it_opens_on_dots_that_the_intensity_cannot_tell_apart(lab):
    assert not lab.failed
    assert found(lab) == [False, True, False]
    assert lab.touch.answer == "Only centre-surround finds the odd one."


# -- the odd item in the hand --------------------------------------------------------------


def drag(lab, x, y, **hand):
    """Drag the odd item to a place of the display."""
    lab._heard("picture", lab.touch.hands["picture"] | {"x": x, "y": y, **hand})
    assert not lab.failed, lab.said


def test_the_odd_item_is_dragged_to_another_cell_and_stays_in_its_middle(lab, shown):
    before = shown(lab)
    drag(lab, 20, 205)
    assert lab.controls["row"].value == 6
    assert lab.controls["column"].value == 1
    assert shown(lab) != before
    place = popout_display("colour", 36, 0, (5, 0), next(iter(COLOURS.values()))).centre
    hand = lab.touch.hands["picture"]
    assert (hand["x"], hand["y"]) == place
    cell = panels(lab)["residual"]["marks"][0]["rect"]
    assert [round(edge) for edge in cell] == [0, 187, 37, 224]


def test_within_its_cell_it_goes_back_to_its_place(lab):
    before = dict(lab.touch.hands["picture"])
    drag(lab, before["x"] + 3, before["y"] - 2)
    assert lab.touch.hands["picture"] == before


def test_the_maxima_follow_it(lab):
    rows = grid_rows(36)
    for row, column in ((1, 1), (6, 6), (3, 5)):
        drag(lab, (column - 0.5) * 224 / rows, (row - 0.5) * 224 / rows)
        assert found(lab)[1], "centre-surround finds it wherever it is"
        _, circle = panels(lab)["centre-surround"]["marks"]
        x, y, _ = circle["circle"]
        assert (int(x * rows / 224) + 1, int(y * rows / 224) + 1) == (column, row)


def test_a_bar_is_turned_by_its_grip(lab):
    choose(lab, BARS, tilt=45)
    hand = lab.touch.hands["picture"]
    assert panels(lab)["picture"]["tool"]["grip"] == "turn"
    drag(lab, hand["x"], hand["y"], angle=-20)
    assert lab.controls["tilt"].value == 70
    assert lab.touch.hands["picture"]["angle"] == -20
    lab.controls["tilt"].value = 30
    assert lab.touch.hands["picture"]["angle"] == -60


@pytest.mark.parametrize(
    ("angle", "tilt"), [(-90, 0), (0, 90), (135, 45), (45, -45), (90, 0)]
)
def test_a_bar_is_turned_by_either_end(lab, angle, tilt):
    choose(lab, BARS)
    hand = lab.touch.hands["picture"]
    drag(lab, hand["x"], hand["y"], angle=angle)
    assert lab.controls["tilt"].value == tilt
    assert lab.touch.hands["picture"]["angle"] == angle  # the grip stays where it is held


@pytest.mark.parametrize(("row", "tilt"), [(1, 0), (1, 15), (6, 0), (1, 90)])
def test_the_grip_of_a_bar_at_the_edge_lies_in_the_picture(lab, row, tilt):
    choose(lab, BARS, row=row, column=1, tilt=tilt)
    hand = lab.touch.hands["picture"]
    angle = np.radians(hand["angle"])
    assert 0 < hand["x"] + hand["w"] / 2 * np.cos(angle) < 224
    assert 0 < hand["y"] + (hand["w"] / 2 + 10) * np.sin(angle) < 224
    drag(lab, 112, 112, angle=hand["angle"])
    assert lab.controls["tilt"].value == tilt


def test_at_the_edge_it_stays_in_the_last_cell(lab):
    drag(lab, 224, 224)
    assert (lab.controls["row"].value, lab.controls["column"].value) == (6, 6)


# -- its controls --------------------------------------------------------------------------


def test_bars_begin_in_one_colour_and_dots_in_two(lab):
    choose(lab, BARS)
    assert lab.controls["colour"].value == "white"
    choose(lab, DOTS)
    assert lab.controls["colour"].value == next(iter(COLOURS.values()))


def test_a_chosen_colour_stays_while_items_are_added(lab):
    choose(lab, colour="white", items=50)
    assert lab.controls["colour"].value == "white"


def test_the_answer_names_the_maps_with_a_tick(lab):
    answers = set()
    for channels, colour in (("intensity", "#3c3cd2"), ("colour", "yellow")):
        choose(lab, channels=channels, colour=colour)
        names = "spectral residual", "centre-surround", "network"
        said = [name in lab.touch.answer.lower() for name in names]
        assert said == found(lab) or lab.touch.answer.startswith(("All three", "None"))
        answers.add(lab.touch.answer)
    assert len(answers) == 2


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
    choose(lab, BARS, colour="white", items=25)
    counts = {25: 0, 100: 0}
    for items in counts:
        choose(lab, items=items)
        for seed in range(4):
            choose(lab, seed=seed)
            counts[items] += sum(found(lab)[:2])
    assert counts[25] == 8
    assert counts[100] < 6


@pytest.mark.parametrize("name", ["items", "row", "column", "seed", "colour"])
def test_each_control_of_a_display_draws_a_new_picture(lab, shown, name):
    control, before = lab.controls[name], shown(lab)
    values = list(COLOURS.values()) if name == "colour" else range(control.min, control.max)
    choose(lab, **{name: next(v for v in values if v != control.value)})
    assert shown(lab) != before


def test_the_numbers_are_those_of_the_map(lab):
    values = centre_surround(popout_display("colour", 36, 0, (1, 3)).image)
    row, column = np.unravel_index(values.argmax(), values.shape)
    _, largest, height, _ = lab.scene.table
    assert largest[2] == f"{row}, {column}"
    assert height[2] == "100%"


def test_the_odd_one_lies_where_the_learner_puts_it(lab):
    choose(lab, row=6, column=1)
    for key in ("residual", "centre-surround", "smoothed"):
        cell = panels(lab)[key]["marks"][0]["rect"]
        assert [round(edge) for edge in cell] == [0, 187, 37, 224]


def test_fewer_items_keep_the_place_inside_the_grid(lab):
    choose(lab, row=6, column=6, items=9)
    assert lab.controls["row"].value == lab.controls["column"].value == 3
    assert lab.controls["row"].max == 3


def test_tilt_counts_for_bars_alone_and_is_switched_off_elsewhere(lab, shown):
    assert lab.controls["tilt"].disabled
    choose(lab, BARS)
    assert not lab.controls["tilt"].disabled
    before = shown(lab)
    choose(lab, tilt=80)
    assert shown(lab) != before


def test_the_class_changes_the_network_s_map_and_no_other(lab):
    choose(lab, PAIR)
    assert lab.controls["items"].disabled
    before = panels(lab)
    lab.controls["target"].field.value = "German shepherd"
    after = panels(lab)
    assert not lab.failed
    assert "German shepherd" in lab.said
    for key in ("picture", "residual", "centre-surround"):
        assert before[key] == after[key]
    assert before["smoothed"] != after["smoothed"]
    lab.controls["target"].field.value = "lorikeet"


def titles(lab) -> list[str]:
    return [panel["title"] for panel in lab.touch.scene["panels"]]


def test_every_photograph_can_be_shown(lab):
    for name in [*lab.asked.pictures][2:6]:  # behind the two displays
        choose(lab, name)
        assert lab.touch.answer.startswith("The network was asked for lorikeet")
        assert not any(title[0] in "✔✘" for title in titles(lab))


def test_the_network_is_unchanged(lab, is_unchanged):
    assert is_unchanged(lab.asked.model)
