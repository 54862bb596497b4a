"""Lesson 06's lab, its controls set and its buttons pressed as a learner would."""

import pytest
import torch

from course_utils.labs.occlusion import OcclusionLab

OPENING = {"window": 64, "stride": 56, "fill": "mean colour", "score": "logit"}


@pytest.fixture(scope="module")
def built():
    return OcclusionLab()


@pytest.fixture
def lab(built):
    """The lab before its first start, with few windows."""
    built.result = None
    for name, value in OPENING.items():
        built.controls[name].value = value
    built.controls["photo"].choice.index = 0
    built.controls["target"].search.value = ""
    built.row.value = built.column.value = 50
    built.refresh()
    yield built
    built.stop()
    assert built.wait()


def test_it_opens_on_the_photograph_and_says_what_start_will_do(lab):
    assert not lab.failed
    assert "lorikeet" in lab.status.value
    assert "Press start to measure 16 windows" in lab.status.value
    assert bytes(lab.picture.value).startswith(b"\x89PNG")


def test_a_map_is_computed_and_a_window_looked_at(lab, start):
    before = lab.picture.value
    result = start(lab)
    assert not result.drops.isnan().any()
    assert lab.picture.value != before
    assert "largest drop" in lab.status.value
    assert "Hidden at row" in lab.status.value
    assert "top class then" in lab.status.value


def test_row_and_column_move_the_hidden_window(lab, start):
    lab.row.value = 40
    assert "Press start first" in lab.status.value
    start(lab)
    seen = {lab.picture.value}
    for slider, value in ((lab.row, 0), (lab.column, 0), (lab.row, 100), (lab.column, 100)):
        slider.value = value
        assert not lab.failed, lab.status.value
        seen.add(lab.picture.value)
    assert len(seen) == 5
    corner = f"row {lab.result.tops[-1]}, column {lab.result.lefts[-1]}"
    assert f"Hidden at {corner}:" in lab.status.value


def test_the_scores_in_the_status_are_those_of_the_hidden_picture(lab, start):
    result = start(lab)
    lab.row.value = lab.column.value = 0
    with torch.no_grad():
        scores = lab.asked.model(result.hidden(0, 0))[0]
    assert f"has the score {scores[result.target]:.1f}" in lab.status.value


def test_every_choice_reaches_the_run(lab, start):
    lab.controls["photo"].choice.value = "goldfish"
    lab.controls["target"].search.value = "giant panda"
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
    assert "Stopped after" in lab.status.value
    assert lab.result.drops.isnan().any()
    assert not lab.result.drops.isnan().all()
    assert lab.start()  # and it can be started again
    lab.stop()


def test_a_result_is_looked_at_with_the_values_it_was_computed_with(lab, start):
    start(lab)
    lab.controls["score"].value = "probability"
    assert "Press start" in lab.status.value
    lab.row.value = 0
    assert "largest drop" in lab.status.value
    assert "%; largest drop" not in lab.status.value


def test_what_does_not_fit_is_shown(lab):
    lab.controls["photo"].error = "cat.txt is not a picture"
    assert lab.failed
    assert "cat.txt is not a picture" in lab.status.value
    lab.controls["photo"].error = ""


def test_the_network_is_unchanged(lab, start, is_unchanged):
    start(lab)
    assert is_unchanged(lab.asked.model)
