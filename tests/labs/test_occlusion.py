"""Lesson 06's lab, its hand moved, its controls set and its buttons pressed."""

import numpy as np
import pytest
import torch

from course_utils import occlusion
from course_utils.labs.occlusion import Crumbs, OcclusionLab

OPENING = {"window": 64, "stride": 56, "fill": "mean colour", "score": "logit"}


@pytest.fixture(scope="module")
def built():
    return OcclusionLab()


@pytest.fixture
def lab(built):
    """The lab before its first start, with few windows."""
    built.result, built.crumbs = None, Crumbs(built.sides)
    for name, value in OPENING.items():
        built.controls[name].value = value
    built.controls["photo"].choice.index = 0
    built.controls["target"].choose(None)
    built.row.value = built.column.value = 112
    built.refresh()
    yield built
    built.stop()
    assert built.wait()


def move(lab, x, y, w=64):
    """Move the window by hand; what the lab then says."""
    lab._heard("photo", {"x": x, "y": y, "w": w, "h": w})
    assert not lab.failed, lab.said
    return lab.said


def scores_without(lab, x, y, w=64):
    """The network's scores with a window hidden, computed by itself."""
    image = lab.asked.images(lab.values["photo"]).clone()
    image[..., y - w // 2 : y + w // 2, x - w // 2 : x + w // 2] = 0
    with torch.no_grad():
        return lab.asked.model(image)[0]


# -- a window hidden by hand -------------------------------------------------------------


def test_it_opens_on_a_window_that_hides_something(lab):
    assert not lab.failed
    assert lab.touch.answer.startswith("Hidden: lorikeet ")
    photo, _, bars = lab.touch.scene["panels"]
    assert photo["tool"]["kind"] == "window"
    assert lab.touch.hands["photo"] == {"x": 112, "y": 112, "w": 64, "h": 64}
    assert [bar["name"] for bar in bars["bars"]][:2] == ["lorikeet", "German shepherd"]


def test_a_moved_window_says_what_the_network_says_then(lab):
    said = move(lab, 50, 70)
    scores = scores_without(lab, 50, 70)
    share = scores.softmax(0)[90].item()
    assert f"Hidden: lorikeet {share:.1%}; top class German shepherd." in said
    assert f"{scores[90]:.1f}" in said
    bars = {bar["name"]: bar["value"] for bar in lab.touch.scene["panels"][2]["bars"]}
    assert bars["lorikeet"] == pytest.approx(share, abs=1e-4)
    assert (lab.row.value, lab.column.value) == (70, 50)


def test_the_sliders_move_the_window_too(lab):
    by_hand = move(lab, 50, 70)
    lab.row.value, lab.column.value = 112, 112
    assert lab.said != by_hand
    lab.row.value, lab.column.value = 70, 50
    assert lab.said == by_hand
    assert lab.touch.hands["photo"]["x"] == 50


def test_the_window_can_be_resized_by_hand(lab):
    move(lab, 112, 112, w=96)
    assert lab.controls["window"].value == 96
    assert lab.touch.hands["photo"]["w"] == 96


def test_at_the_edge_all_of_the_window_stays_in_the_picture(lab):
    move(lab, 0, 223)
    assert lab._place(64) == (slice(160, 224), slice(0, 64))
    lab.row.value, lab.column.value = 0, 223
    hand = {"x": 192, "y": 32, "w": 64, "h": 64}
    assert lab.touch.hands["photo"] == hand, "the window is drawn where pixels are hidden"


def test_crumbs_add_up_to_what_the_sliding_window_gives(lab, start):
    """Hidden by hand at every place of the grid, they are its map."""
    found = occlusion(lab.asked.model, lab.asked.images(lab.values["photo"]), 90, 64, 80)
    lab.crumbs = Crumbs(lab.sides)  # without the window that it opens on
    for top in found.tops:
        for left in found.lefts:
            move(lab, left + 32, top + 32)
    known = ~found.heatmap.isnan().numpy()
    np.testing.assert_allclose(
        lab.crumbs.drops[known], found.heatmap.numpy()[known], atol=1e-3
    )


def test_a_window_counts_once_and_a_small_drop_is_pale(lab):
    counted = lab.crumbs.count.copy()
    lab.controls["stride"].value = 48
    lab.refresh()
    np.testing.assert_array_equal(lab.crumbs.count, counted)
    veil = np.asarray(lab.scene.panels[1].layers[1].picture)
    assert 0 < np.abs(lab.crumbs.drops).max() < 2
    assert veil[..., 3].max() < 0.8
    lab.controls["stride"].value = OPENING["stride"]


def test_another_question_begins_with_new_crumbs(lab):
    move(lab, 50, 70)
    move(lab, 60, 70)
    assert (lab.crumbs.count > 0).sum() > 64 * 64
    lab.controls["photo"].choice.value = "goldfish"
    assert (lab.crumbs.count > 0).sum() == 64 * 64


# -- the window that slides --------------------------------------------------------------


def test_a_map_is_computed_and_single_windows_looked_at(lab, start, shown):
    before = shown(lab)
    result = start(lab)
    assert not result.drops.isnan().any()
    assert shown(lab) != before
    assert lab.touch.scene["panels"][1]["title"] == "mean drop, all windows"
    after = shown(lab)
    assert move(lab, 50, 70).startswith("Hidden: lorikeet 0.")
    assert shown(lab) != after
    assert lab.result is result


def test_every_choice_reaches_the_run(lab, start):
    lab.controls["photo"].choice.value = "goldfish"
    lab.controls["target"].field.value = "giant panda"
    lab.controls["score"].value = "probability"
    fillers = set()
    for fill in lab.controls["fill"].options:
        lab.controls["fill"].value = fill
        result = start(lab)
        fillers.add(result.filler.sum().item())
    assert result.target == 388
    assert result.score < 0.5
    assert result.window == (64, 64)
    assert len(fillers) == 5


def test_stop_keeps_the_part_done(lab):
    lab.controls["stride"].value = 4
    lab.start()
    while lab.result is None and lab.running:
        pass
    lab.stop_button.click()
    assert lab.wait()
    assert lab.result.stopped
    assert "Stopped after" in lab.said
    assert lab.result.drops.isnan().any()
    assert not lab.result.drops.isnan().all()
    assert lab.start()  # and it can be started again
    lab.stop()


def test_a_result_is_looked_at_with_the_values_it_was_computed_with(lab, start):
    start(lab)
    lab.controls["score"].value = "probability"
    assert "press start" in lab.said
    assert lab.touch.state == "old"
    move(lab, 50, 70)
    assert lab.touch.state == "old", "the map does not answer the controls"


def test_what_does_not_fit_is_shown(lab):
    lab.controls["photo"].error = "cat.txt is not a picture"
    assert lab.failed
    assert "cat.txt is not a picture" in lab.said
    lab.controls["photo"].error = ""


def test_the_network_is_unchanged(lab, start, is_unchanged):
    start(lab)
    assert is_unchanged(lab.asked.model)
