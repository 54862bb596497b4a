"""The controls that labs share, their photographs, and what a network was asked."""

import gc
import weakref

import ipywidgets as widgets
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from course_utils import load_model, vanilla_saliency
from course_utils.labs import controls
from course_utils.labs.base import Lab
from course_utils.labs.controls import (
    PAIR,
    Asked,
    ClassPicker,
    PicturePicker,
    button,
    dropdown,
    kept,
    path_field,
    photographs,
    slider,
)

NAMES = ["cat", "tiger cat", "dog", "hot_dog", "<i>"]

# -- single controls ---------------------------------------------------------------------


def test_a_slider_is_whole_or_not_as_its_step_is():
    whole, fine = slider("n", 2, 0, 9), slider("x", 0.5, 0, 1, 0.05)
    assert isinstance(whole, widgets.IntSlider)
    assert isinstance(fine, widgets.FloatSlider)
    assert (whole.value, whole.min, whole.max, whole.step) == (2, 0, 9, 1)
    assert not whole.continuous_update
    formats = [slider("x", 1, 0, 9, s).readout_format for s in (0.05, 0.5, 2.0)]
    assert formats == [".2f", ".1f", ".0f"]


def test_a_list_begins_with_its_first_entry_or_the_one_that_is_named():
    assert dropdown("n", ["a", "b"]).value == "a"
    assert dropdown("n", [("one", 1), ("two", 2)], 2).value == 2


def test_a_path_field_waits_for_its_button():
    saved = []
    field = path_field("to", "here")
    pressed = button("save", "save", lambda: saved.append(field.value))
    field.value = "there"
    assert saved == []
    pressed.click()
    assert saved == ["there"]


# -- photographs, and a network that is asked about them ---------------------------------


def test_the_photographs_begin_with_parrot_and_dog():
    names = [*photographs()]
    assert names[0] == PAIR == "parrot and dog, side by side"
    assert len(names) == 27
    assert "koala" in names


@pytest.fixture
def asked():
    return Asked(load_model(), photographs())


def test_a_network_is_asked_for_pictures_scores_classes_and_slopes(asked):
    images, scores = asked.images("goldfish"), asked.scores("goldfish")
    assert images.shape == (1, 3, 224, 224)
    torch.testing.assert_close(scores, asked.model(images)[0])
    assert asked.target("goldfish") == 1
    assert asked.target("goldfish", 7) == 7
    gradient = asked.gradient("goldfish", 1)
    saliency = vanilla_saliency(asked.model, images, 1)[0]
    assert gradient.abs().amax(dim=0).equal(saliency)
    assert not gradient.equal(asked.gradient("goldfish", 1, "guided"))
    assert asked.standing("goldfish", 1).startswith("goldfish: score ")


class Squares:
    """Notes which squares it computes."""

    def __init__(self):
        self.computed = []

    @kept
    def square(self, number):
        self.computed.append(number)
        return torch.tensor(number**2)


def test_no_answer_is_computed_twice_and_old_ones_are_dropped():
    one, other = Squares(), Squares()
    assert [int(one.square(n)) for n in (3, 3, 4)] == [9, 9, 16]
    assert one.computed == [3, 4]
    other.square(3)
    assert other.computed == [3], "each object keeps its own answers"
    for number in range(100, 100 + controls.ANSWERS):
        one.square(number)
    one.square(3)
    assert one.computed[-1] == 3, "the oldest answer was dropped"


def test_answers_go_with_the_object():
    one = Squares()
    held = weakref.ref(one.square(3))
    gc.collect()
    assert held() is not None
    del one
    gc.collect()
    assert held() is None


def test_a_picture_that_is_added_later_can_be_asked_about():
    pictures = dict(photographs())
    asked = Asked(load_model(), pictures)
    pictures["mine"] = pictures["goldfish"]
    assert asked.target("mine") == 1


# -- picking a picture -------------------------------------------------------------------


def test_a_picture_is_chosen_and_another_added_under_a_free_name():
    red, blue = (Image.new("RGB", (2, 2), colour) for colour in ("red", "blue"))
    given = {"a": red, "b": blue}
    picker = PicturePicker(given, "b")
    values = seen(picker)
    picker.choice.value = "a"
    picker.add("a", blue)
    picker.add("a", red)
    assert values == ["a", "a (2)", "a (3)"]
    assert picker.pictures["a (2)"] is blue
    assert list(given) == ["a", "b"]


# -- picking a class ---------------------------------------------------------------------


def seen(picker):
    """The values that a picker tells its lab, in order."""
    values = []
    picker.observe(lambda change: values.append(change["new"]), names="value")
    return values


def test_fixed_entries_alone_without_a_word():
    picker = ClassPicker(names=NAMES)
    assert picker.value is None
    assert picker.choice.options == (("top class", -1),)


def test_a_word_lists_its_classes_and_takes_the_first():
    picker = ClassPicker(names=NAMES)
    values = seen(picker)
    picker.search.value = "cat"
    assert [value for _, value in picker.choice.options] == [0, 1, -1]
    assert picker.value == 0
    assert values == [0]


def test_choosing_from_the_list():
    picker = ClassPicker("cat", names=NAMES)
    values = seen(picker)
    picker.choice.value = 1
    picker.choice.value = -1
    assert values == [1, None]


def test_a_word_that_fits_nothing_keeps_the_choice_and_is_named():
    picker = ClassPicker("dog", names=NAMES)
    values = seen(picker)
    picker.search.value = "dgo<"
    assert picker.value == 2
    assert values == []
    assert "dgo&lt;" in picker.note.value
    picker.search.value = "cat"
    assert picker.note.value == ""
    assert picker.value == 0


def test_clearing_the_word_returns_to_the_fixed_entry():
    picker = ClassPicker("dog", names=NAMES)
    picker.search.value = " "
    assert picker.value is None


def test_no_fixed_entry():
    assert ClassPicker("tiger", fixed=(), names=NAMES).value == 1
    assert ClassPicker("", fixed=(), names=NAMES).value == 0


def test_the_first_word_may_fit_nothing():
    picker = ClassPicker("xqzw", names=NAMES)
    assert "xqzw" in picker.note.value
    assert picker.value is None


def test_a_picker_is_a_control():
    class Picking(Lab):
        def draw(self, target):
            return Figure(figsize=(1, 1)), f"class {target}"

        def __init__(self):
            super().__init__(target=ClassPicker("dog", names=NAMES))

    lab = Picking()
    assert "class 2" in lab.status.value
    lab.controls["target"].search.value = "tiger"
    assert "class 1" in lab.status.value


def test_imagenets_classes_by_default():
    assert ClassPicker("goldfish").value == 1


# -- likelier classes first --------------------------------------------------------------

ANIMALS = [
    "oystercatcher",
    "tiger cat",
    "Cat bird",
    "Egyptian cat",
    "catamaran",
    "concatenated",
]


def likely(picker, *scores):
    picker.likely = lambda: torch.tensor(scores)


def listed(picker):
    return [value for _, value in picker.choice.options]


def test_among_equal_matches_the_likelier_comes_first_and_the_fixed_entry_last():
    picker = ClassPicker(names=ANIMALS)
    likely(picker, 9.0, 1.0, 3.0, 2.0, 8.0, 7.0)
    picker.search.value = "CAT"
    assert listed(picker) == [2, 3, 1, 4, 0, 5, -1]
    assert picker.value == 2


def test_another_picture_sorts_the_list_and_keeps_the_choice():
    picker = ClassPicker(names=ANIMALS)
    likely(picker, 9.0, 1.0, 3.0, 2.0, 8.0, 7.0)
    picker.search.value = "cat"
    picker.choice.value = 3
    values = seen(picker)
    likely(picker, 0.0, 5.0, 3.0, 2.0, 8.0, 9.0)
    picker.sort()
    assert listed(picker) == [1, 2, 3, 4, 5, 0, -1]
    assert picker.value == picker.choice.value == 3
    assert values == []
    picker.choice.value = 1
    assert values == [1]


def test_a_word_that_fits_nothing_leaves_list_and_choice_when_the_picture_changes():
    picker = ClassPicker("dog", names=NAMES)
    picker.search.value = "xqzw"
    likely(picker, 1.0, 2.0, 3.0, 4.0, 5.0)
    picker.sort()
    assert picker.value == 2


@pytest.mark.parametrize("scores", [None, torch.tensor([1.0])])
def test_without_scores_the_list_is_as_it_is_found(scores):
    picker, plain = (ClassPicker(names=NAMES) for _ in range(2))
    picker.likely = lambda: scores
    picker.search.value = plain.search.value = "cat"
    assert listed(picker) == listed(plain)


def test_scores_that_fail_change_nothing():
    picker = ClassPicker(names=NAMES)
    picker.likely = lambda: 1 / 0
    picker.search.value = "dog"
    assert picker.value == 2
    assert picker.error == ""
