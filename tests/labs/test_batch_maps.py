"""Lesson 03's lab, its controls set as a learner would set them."""

import pytest

from course_utils.labs.batch_maps import BatchMapsLab

FEW = (0, 1, 9, 26)  # of the photographs; lesson 02's lab is tested with all


@pytest.fixture(scope="module")
def lab():
    return BatchMapsLab()


def test_it_opens_on_the_two_class_picture_with_a_different_map_for_each(lab):
    assert not lab.failed
    assert "lorikeet" in lab.status.value
    assert "German shepherd" in lab.status.value
    assert bytes(lab.picture.value).startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["photo", "channels", "scale", "cmap"])
def test_every_value_of_every_list_draws_a_new_picture(lab, draws_each, name):
    draws_each(lab, lab.controls[name], FEW if name == "photo" else None)


def test_a_class_is_found_by_a_word_and_its_map_drawn(lab):
    before = lab.picture.value
    lab.controls["target"].search.value = "giant panda"
    assert not lab.failed
    assert lab.controls["target"].value == 388
    assert "giant panda" in lab.status.value
    assert lab.picture.value != before


def test_a_word_that_fits_no_class_keeps_the_picture_and_is_named(lab):
    before = lab.picture.value
    lab.controls["target"].search.value = "unicornfish"
    assert lab.picture.value == before
    assert "unicornfish" in lab.controls["target"].note.value


def test_laying_over_changes_the_picture_and_its_words(lab, redraws):
    assert redraws(lab, lab.controls["overlaid"], value=True) != lab.words


def test_on_one_scale_both_maps_state_the_same_range(lab):
    lab.controls["scale"].value = "shared"
    ranges = [part for part in lab.words.split("|") if "and above" in part]
    stated = {part.split(";")[1].strip() for part in ranges}
    assert len(ranges) == 2
    assert len(stated) == 1


def test_the_network_is_unchanged(lab, is_unchanged):
    assert is_unchanged(lab.asked.model)
