"""Strokes: discs along a path, colours that cover each other, and a budget."""

import numpy as np
import pytest

from course_utils.labs.base import Lab
from course_utils.labs.controls import dropdown
from course_utils.labs.strokes import Brush, Stroke, spent, two_masks
from course_utils.labs.touch import Scene

SIDES = 20, 30


def disc(x, y, radius, sides=SIDES):
    rows, columns = np.mgrid[: sides[0], : sides[1]]
    return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2


def test_a_stroke_of_one_point_is_a_disc():
    np.testing.assert_array_equal(Stroke(((12, 5),), 4).mask(SIDES), disc(12, 5, 4))


def test_between_two_points_the_disc_leaves_no_gap():
    whole = np.any([disc(x, 9, 3) for x in range(4, 26)], axis=0)
    np.testing.assert_array_equal(Stroke(((4, 9), (25, 9)), 3).mask(SIDES), whole)
    slanted = Stroke(((2, 2), (8, 17), (27, 4)), 0).mask(SIDES)
    assert slanted[2, 2] and slanted[17, 8] and slanted[4, 27]
    assert slanted.sum() >= 15 + 19


def test_when_counts_steps_along_the_path():
    when = Stroke(((3, 5), (9, 5)), 1).when(SIDES)
    assert when[5, 3:10].tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert when[4, 5] == 2
    assert np.isinf(when[10, 5])


def test_points_outside_are_moved_to_the_border():
    mask = Stroke(((-5, 50), (500, 50)), 1).mask(SIDES)
    assert mask[-2:].all()
    assert not mask[:-2].any()


def test_a_later_stroke_covers_an_earlier_one():
    inside, outside = two_masks(
        [Stroke(((5, 5),), 3), Stroke(((7, 5),), 2, True)], (12, 12)
    )
    assert inside[5, 3]
    assert outside[5, 7]
    assert not (inside & outside).any()
    np.testing.assert_array_equal(outside, disc(7, 5, 2, (12, 12)))
    np.testing.assert_array_equal(inside, disc(5, 5, 3, (12, 12)) & ~outside)


@pytest.mark.parametrize("budget", [0, 1, 13, 40])
def test_a_budget_is_spent_in_the_order_of_painting(budget):
    strokes = [Stroke(((4, 4),), 2), Stroke(((8, 10), (22, 10)), 1)]
    covered = spent(strokes, SIDES, budget)
    assert covered.sum() == budget
    if budget >= 13:  # a disc of radius 2 has 13 pixels
        assert covered[disc(4, 4, 2)].all()
    if budget == 40:
        assert not covered[:, 20:].any(), "the stroke ends where the budget does"


def test_what_is_given_back_can_be_spent_again():
    first, back = Stroke(((4, 4),), 2), Stroke(((4, 4),), 2, True)
    assert spent([first, back], SIDES, 13).sum() == 0
    again = spent([first, back, Stroke(((20, 10),), 2)], SIDES, 13)
    np.testing.assert_array_equal(again, disc(20, 10, 2))


class Painted(Lab):
    def __init__(self):
        self.brush = Brush(self, SIDES, ("ink", "water"))
        super().__init__(photo=dropdown("photo", ["a", "b"]), **self.brush.controls)

    def draw(self, photo, **brush):
        assert brush == {n: c.value for n, c in self.brush.controls.items()}
        painting = " now" if self.brush.is_painting else ""
        return Scene([], f"{len(self.brush.strokes(photo))} strokes{painting}")


def test_a_brush_paints_by_hand_and_by_its_sliders():
    lab = Painted()
    lab.brush.heard(
        {"x": 7.4, "y": 3.6, "radius": 2, "second": True, "points": [[6, 3], [7, 4]]}
    )
    assert lab.touch.answer == "1 strokes now"
    assert lab.brush.strokes("a") == (Stroke(((6, 3), (7, 4)), 2, True),)
    assert lab.brush.hand == {"x": 7, "y": 4, "radius": 2}
    lab.brush.buttons["first"].click()
    assert lab.brush.strokes("a")[1] == Stroke(((7, 4),), 2, False)
    lab.controls["photo"].value = "b"
    assert lab.touch.answer == "0 strokes"
    assert lab.brush.buttons["undo"].disabled
    lab.controls["photo"].value = "a"
    lab.brush.buttons["undo"].click()
    assert lab.touch.answer == "1 strokes now"
    lab.brush.buttons["clear"].click()
    assert lab.brush.strokes("a") == ()
    assert lab.brush.buttons["clear"].disabled
