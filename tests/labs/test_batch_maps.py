"""Lesson 03's lab: bars that are pointed at, a rectangle, and its controls."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from course_utils import vanilla_saliency
from course_utils.labs.batch_maps import BatchMapsLab

FEW = (0, 1, 9, 26)  # of the photographs; lesson 02's lab is tested with all


@pytest.fixture(scope="module")
def shared():
    return BatchMapsLab()


@pytest.fixture
def lab(shared):
    """The lab with its class, bar and rectangle as it opens."""
    opening = {"bar": 1, "left": 112, "top": 28, "width": 98, "height": 168}
    shared.controls["target"].choose(235)
    shared.set(**opening, scale="each")
    shared.refresh()
    return shared


def panels(lab) -> dict:
    """Key → what the browser gets of a panel."""
    return {panel["key"]: panel for panel in lab.touch.scene["panels"]}


def map_of(lab, target) -> np.ndarray:
    images = lab.asked.images(lab.values["photo"])
    return vanilla_saliency(lab.asked.model, images, target)[0].numpy()


def test_it_opens_on_the_two_class_picture_with_a_different_map_for_each(lab):
    assert not lab.failed
    top, other = (panels(lab)[word] for word in ("top class", "other class"))
    assert top["title"] == "top class: lorikeet"
    assert other["title"] == "other class: German shepherd"
    assert top["layers"] != other["layers"]


# -- the hand ------------------------------------------------------------------------------


def test_a_class_that_is_pointed_at_lays_its_map_over_the_photograph(lab):
    before = panels(lab)["photo"]
    lab._heard("bars", {"i": 1})
    assert not lab.failed
    after = panels(lab)["photo"]
    assert after["title"] == "German shepherd"
    assert before["layers"][0] == after["layers"][0], "the same grey photograph"
    assert before["layers"][1] != after["layers"][1]
    assert lab.controls["bar"].value == 2
    assert lab.touch.answer.startswith("German shepherd: ")


def test_another_photograph_shows_its_top_class_first(lab):
    lab._heard("bars", {"i": 4})
    lab.controls["photo"].choice.value = "hot_air_balloon"
    try:
        assert lab.controls["bar"].value == 1
        assert lab.touch.answer.startswith("balloon: ")
        assert panels(lab)["photo"]["title"] == "balloon"
    finally:
        lab.controls["photo"].choice.index = 0


def test_the_bars_are_the_most_probable_classes(lab):
    shares = lab.asked.model(lab.asked.images(lab.values["photo"])).softmax(1)[0]
    likely, bars = shares.topk(9), panels(lab)["bars"]["bars"]
    assert [bar["name"] for bar in bars] == [*map(lab.asked.name, likely.indices)]
    values = likely.values.tolist()
    assert [bar["value"] for bar in bars] == pytest.approx(values, abs=1e-4)


def test_every_bar_has_a_map_of_its_own(lab):
    seen = set()
    for number in range(len(panels(lab)["bars"]["bars"])):
        lab._heard("bars", {"i": number})
        seen.add(panels(lab)["photo"]["layers"][1]["picture"])
    assert len(seen) == 9


def test_the_rectangle_gives_each_map_s_share_inside(lab):
    lab._heard("photo", {"x": 60, "y": 70, "w": 100, "h": 120})
    assert not lab.failed
    controls = {
        name: lab.controls[name].value for name in ("left", "top", "width", "height")
    }
    assert controls == {"left": 10, "top": 10, "width": 100, "height": 120}
    share = {}
    for target in (90, 235):
        values = map_of(lab, target)
        share[target] = values[10:130, 10:110].sum() / values.sum()
    assert lab.touch.answer == f"lorikeet: {share[90]:.0%} of its map in the rectangle."
    inside = [bar["text"] for bar in panels(lab)["inside"]["bars"]]
    assert inside[:2] == [f"{share[90]:.0%}", f"{share[235]:.0%}"]


def test_sliders_move_the_rectangle_too(lab):
    lab.controls["left"].value = 0
    assert lab.touch.hands["photo"]["x"] == 49
    lab.controls["width"].value = 50
    assert lab.touch.hands["photo"] == {"x": 25, "y": 112, "w": 50, "h": 168}


# -- its controls --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["photo", "channels", "scale", "cmap"])
def test_every_value_of_every_list_draws_a_new_picture(lab, draws_each, name):
    control = lab.controls[name]
    draws_each(lab, getattr(control, "choice", control), FEW if name == "photo" else None)


def test_a_class_is_found_by_a_word_and_its_map_drawn(lab, shown):
    before = shown(lab)
    lab.controls["target"].field.value = "giant panda"
    assert not lab.failed
    assert lab.controls["target"].value == 388
    assert "giant panda" in lab.said
    assert "giant panda" in [bar["name"] for bar in panels(lab)["bars"]["bars"]]
    assert shown(lab) != before


def test_a_word_that_fits_no_class_keeps_the_picture_and_is_named(lab, shown):
    before = shown(lab)
    lab.controls["target"].field.value = "unicornfish"
    assert shown(lab) == before
    assert "unicornfish" in lab.touch.answer
    assert lab.failed


def test_the_top_class_as_the_other_one_is_said(lab):
    lab.controls["target"].choose(90)
    assert panels(lab)["other class"]["title"] == "other class: the top class again"
    assert "the same class" in lab.said


def test_laying_over_changes_the_picture(lab, redraws):
    redraws(lab, lab.controls["overlaid"], value=True)


def test_on_one_scale_all_maps_state_the_same_limit(lab):
    def limits():
        return [row[1:] for row in lab.scene.table if row[0] == "brightest colour from"][0]

    assert len(set(limits())) > 1
    lab.controls["scale"].value = "shared"
    assert len(set(limits())) == 1


def test_the_correlation_is_that_of_the_two_maps(lab):
    alike = spearmanr(map_of(lab, 90).ravel(), map_of(lab, 235).ravel()).statistic
    rows = {row[0]: row[1:] for row in lab.scene.table}
    assert rows["rank correlation with the top class"][1] == f"{alike:.2f}"


def test_the_network_is_unchanged(lab, is_unchanged):
    assert is_unchanged(lab.asked.model)
