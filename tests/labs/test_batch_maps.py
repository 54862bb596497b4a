"""Lesson 03's lab: bars pointed at, a rectangle moved, controls set as a learner would."""

import pytest

from course_utils.gradients import vanilla_saliency
from course_utils.labs.asking import PAIR
from course_utils.labs.batch_maps import BatchMapsLab
from course_utils.targets import predict

FEW = (0, 1, 9, 26)  # of the photographs; lesson 02's lab is tested with all


@pytest.fixture(scope="module")
def built():
    return BatchMapsLab()


@pytest.fixture
def lab(built):
    """The lab as it opens."""
    built.controls["photo"].choice.value = PAIR
    built.controls["target"].choose(235)
    built.set(scale="each", bar=1, left=112, top=28, width=98, height=168)
    return built


def row(lab, name: str) -> tuple:
    return next(cells[1:] for cells in lab.scene.table if cells[0] == name)


def panels(lab) -> dict:
    return {panel.key: panel for panel in lab.scene.panels}


def test_it_opens_on_the_two_class_picture_with_a_different_map_for_each(lab):
    assert not lab.failed
    assert panels(lab)["top class"].title == "top class: lorikeet"
    assert panels(lab)["other class"].title == "other class: German shepherd"
    assert float(row(lab, "correlation with the top class")[1]) < 0.9


@pytest.mark.parametrize("name", ["photo", "channels", "scale", "cmap"])
def test_every_value_of_every_list_draws_a_new_scene(lab, draws_each, name):
    control = lab.controls[name]
    draws_each(lab, getattr(control, "choice", control), FEW if name == "photo" else None)


def test_a_class_is_found_by_a_word_has_a_bar_and_its_map_is_drawn(lab, shown):
    before = shown(lab)
    lab.controls["target"].field.value = "giant panda"
    assert not lab.failed
    assert lab.controls["target"].value == 388
    assert "giant panda" in panels(lab)["other class"].title
    names = [bar["name"] for bar in panels(lab)["bars"].bars]
    assert len(names) == 9
    assert names[-1] == "giant panda"
    assert shown(lab) != before


def test_a_word_that_fits_no_class_keeps_the_scene_and_is_named(lab, shown):
    before = shown(lab)
    lab.controls["target"].field.value = "unicornfish"
    assert shown(lab) == before
    assert "unicornfish" in lab.touch.answer


def test_laying_over_changes_the_scene_and_its_words(lab, redraws):
    def words():
        return panels(lab)["top class"].words

    before = words()
    redraws(lab, lab.controls["overlaid"], value=True)
    lab.controls["overlaid"].value = True
    assert words() != before
    lab.controls["overlaid"].value = False


def test_on_one_scale_all_maps_state_the_same_range(lab):
    lab.set(bar=2)
    assert len({*row(lab, "brightest colour from")}) > 1
    lab.controls["scale"].value = "shared"
    assert len({*row(lab, "brightest colour from")}) == 1


def test_where_the_other_class_is_the_top_class_that_is_said(lab):
    lab.controls["target"].choose(90)
    assert panels(lab)["other class"].title == "other class: the top class again"
    assert row(lab, "correlation with the top class")[1] == "the same class"
    assert "1.00" not in lab.said


# -- the hand ------------------------------------------------------------------------------


def test_the_class_that_is_pointed_at_lies_over_the_photograph(lab, shown):
    before = panels(lab)["photo"]
    lab._heard("bars", {"i": 1})
    after = panels(lab)["photo"]
    assert lab.controls["bar"].value == 2
    assert after.title == "German shepherd"
    assert lab.touch.answer.startswith("German shepherd: ")
    assert after.words != before.words
    by_hand = shown(lab)
    lab.controls["bar"].value = 1
    lab.controls["bar"].value = 2
    assert shown(lab) == by_hand
    assert lab.touch.hands["bars"]["i"] == 1


def test_the_bars_are_the_most_probable_classes(lab):
    shares = predict(lab.asked.model, lab.asked.images(PAIR)).shares[0]
    expected = [lab.asked.name(index) for index in shares.topk(9).indices.tolist()]
    assert [bar["name"] for bar in panels(lab)["bars"].bars] == expected
    values = [bar["value"] for bar in panels(lab)["bars"].bars]
    assert values == pytest.approx(shares.topk(9).values.tolist(), abs=1e-4)


def test_the_rectangle_says_how_much_of_each_map_it_holds(lab):
    lab._heard("photo", {"x": 60.2, "y": 80.1, "w": 80.3, "h": 99.9})
    values = lab.values
    assert [values[n] for n in ("left", "top", "width", "height")] == [20, 30, 80, 100]
    for bar, index in ((0, 90), (1, 235)):
        saliency = vanilla_saliency(lab.asked.model, lab.asked.images(PAIR), index)[0]
        share = float(saliency[30:130, 20:100].sum() / saliency.sum())
        assert panels(lab)["inside"].bars[bar]["value"] == pytest.approx(share, abs=1e-4)
        assert row(lab, "map in the rectangle")[bar] == f"{share:.0%}"
    assert f"{panels(lab)['inside'].bars[0]['value']:.0%} of its map" in lab.touch.answer


def test_the_whole_picture_holds_all_of_every_map(lab):
    lab.set(left=0, top=0, width=224, height=224)
    assert {bar["text"] for bar in panels(lab)["inside"].bars} == {"100%"}
    lab.set(left=200)  # what lies outside does not count
    assert panels(lab)["photo"].hand == {"x": 212, "y": 112, "w": 24, "h": 224}


def test_the_network_is_unchanged(lab, is_unchanged):
    assert is_unchanged(lab.asked.model)
