"""The controls that labs share, their photographs, and what a network was asked."""

import gc
import weakref

import ipywidgets as widgets
import pytest
import torch
from PIL import Image

from course_utils import load_model, vanilla_saliency
from course_utils.labs import asking
from course_utils.labs.asking import PAIR, Asked, kept, photographs
from course_utils.labs.base import Lab
from course_utils.labs.controls import (
    ClassPicker,
    PicturePicker,
    button,
    dropdown,
    finder,
    path_field,
    slider,
)
from course_utils.labs.touch import Scene

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
    for number in range(100, 100 + asking.ANSWERS):
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


def test_the_pictures_are_named_in_words_and_shown_small():
    picker = PicturePicker({"red_panda": Image.new("RGB", (9, 9), "red")})
    assert picker.choice.options == (("red panda", "red_panda"),)
    picker.add("blue", Image.new("RGB", (9, 9), "blue"))
    assert picker._look.value.count("data:image/jpeg;base64,") == 2
    assert "label:nth-of-type(2)" in picker._look.value


# -- picking a class ---------------------------------------------------------------------


def seen(picker):
    """The values that a picker tells its lab, in order."""
    values = []
    picker.observe(lambda change: values.append(change["new"]), names="value")
    return values


def type_in(picker, word):
    """Type a word and press Enter."""
    picker.field.value = word


def test_without_a_word_it_begins_with_the_fixed_entry():
    picker = ClassPicker(names=NAMES)
    assert picker.value is None
    assert picker.field.value == "top class"
    assert picker.field.options == (
        "top class", "cat (0)", "tiger cat (1)", "dog (2)", "hot_dog (3)", "<i> (4)"
    )  # fmt: skip


def test_nothing_is_chosen_while_one_types():
    assert not ClassPicker(names=NAMES).field.continuous_update


def test_a_word_takes_its_first_class_whose_name_then_stands_in_the_field():
    picker = ClassPicker(names=NAMES)
    values = seen(picker)
    type_in(picker, "cat")
    assert values == [0]
    assert picker.field.value == "cat (0)"


def test_an_entry_of_the_list_is_taken_as_it_is():
    picker = ClassPicker("cat", names=NAMES)
    values = seen(picker)
    type_in(picker, "hot_dog (3)")
    type_in(picker, "top class")
    assert values == [3, None]


def test_a_word_that_fits_nothing_keeps_the_choice_and_is_named():
    picker = ClassPicker("dog", names=NAMES)
    values = seen(picker)
    type_in(picker, "dgo<")
    assert values == []
    assert "dgo<" in picker.error
    assert picker.field.value == "dog (2)"
    type_in(picker, "cat")
    assert picker.error == ""
    assert picker.value == 0


def test_an_empty_field_returns_to_the_fixed_entry_or_changes_nothing():
    picker, plain = ClassPicker("dog", names=NAMES), ClassPicker("dog", (), NAMES)
    type_in(picker, " ")
    type_in(plain, "")
    assert picker.value is None
    assert plain.value == 2
    assert plain.field.value == "dog (2)"


def test_no_fixed_entry():
    assert ClassPicker("tiger", fixed=(), names=NAMES).value == 1
    assert ClassPicker("", fixed=(), names=NAMES).value == 0


def test_a_class_can_be_chosen_by_its_index():
    picker = ClassPicker(names=NAMES)
    picker.choose(3)
    assert (picker.value, picker.field.value) == (3, "hot_dog (3)")
    picker.choose(None)
    assert (picker.value, picker.field.value) == (None, "top class")


def test_other_names_begin_with_the_first_choice():
    picker = ClassPicker("dog", names=NAMES)
    picker.offer(list(NAMES))
    assert picker.value == 2, "the same names change nothing"
    picker.offer(["a", "b"])
    assert picker.value is None
    assert picker.field.options == ("top class", "a (0)", "b (1)")


def test_a_finder_begins_with_its_word_if_a_class_has_it():
    asked = Asked(load_model(), {"red": Image.new("RGB", (9, 9), "red")})
    assert finder(asked, "castle", ()).value == 483
    assert finder(asked, "xqzw", ()).value == 0


def test_a_picker_is_a_control():
    class Picking(Lab):
        def draw(self, target):
            return Scene([], f"class {target}")

        def __init__(self):
            super().__init__(target=ClassPicker("dog", names=NAMES))

    lab = Picking()
    assert lab.said == "class 2"
    type_in(lab.controls["target"], "tiger")
    assert lab.said == "class 1"
    type_in(lab.controls["target"], "dgo")
    assert lab.failed
    assert "Nothing has changed" in lab.said


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


def chosen(picker, word):
    type_in(picker, word)
    return picker.value


def test_among_equal_matches_the_likelier_is_taken():
    picker = ClassPicker(names=ANIMALS)
    likely(picker, 9.0, 1.0, 3.0, 2.0, 8.0, 7.0)
    assert chosen(picker, "CAT") == 2, "a whole word before a longer one, if it is likely"
    assert chosen(picker, "catama") == 4
    likely(picker, 9.0, 4.0, 3.0, 2.0, 8.0, 7.0)
    assert chosen(picker, "cat") == 1


def test_the_list_begins_with_what_is_likely_and_the_choice_stays():
    picker = ClassPicker(names=ANIMALS)
    type_in(picker, "Egyptian")
    values = seen(picker)
    likely(picker, 0.0, 5.0, 3.0, 2.0, 8.0, 9.0)
    picker.sort()
    assert picker.field.options[:3] == ("top class", "concatenated (5)", "catamaran (4)")
    assert len(picker.field.options) == 1 + len(ANIMALS)
    assert values == []
    assert picker.field.value == "Egyptian cat (3)"


@pytest.mark.parametrize("scores", [None, torch.tensor([1.0])])
def test_without_scores_the_first_that_is_found_is_taken(scores):
    picker, plain = (ClassPicker(names=NAMES) for _ in range(2))
    picker.likely = lambda: scores
    picker.sort()
    assert chosen(picker, "cat") == chosen(plain, "cat") == 0
    assert picker.field.options == plain.field.options


def test_scores_that_fail_change_nothing():
    picker = ClassPicker(names=NAMES)
    picker.likely = lambda: 1 / 0
    assert chosen(picker, "dog") == 2
    assert picker.error == ""
