"""The base of the labs: a control redraws, and nothing that goes wrong is lost."""

import io
import re
import warnings

import ipywidgets as widgets
import pytest
from matplotlib.figure import Figure
from PIL import Image

from course_utils.labs.base import ClassPicker, Lab

NAMES = ["cat", "tiger cat", "dog", "hot_dog", "<i>"]


class Toy(Lab):
    """Draws a bar of the number, unless the number is out of order."""

    title = "A toy"

    def __init__(self):
        self.drawn = []
        super().__init__(number=widgets.IntSlider(2, 0, 9), word=widgets.Text("a < b"))

    def draw(self, number, word):
        self.drawn.append((number, word))
        if number == 7:
            raise ValueError("number: <b>seven</b> & all")
        if number == 8:
            warnings.warn("eight is <large>", stacklevel=2)
            warnings.warn("old", DeprecationWarning, stacklevel=2)
        figure = Figure(figsize=(2, 2))
        figure.subplots().bar([0], [number])
        return figure, f"{word}: {number}"


def test_a_lab_draws_when_it_is_made():
    toy = Toy()
    assert toy.drawn == [(2, "a < b")]
    assert Image.open(io.BytesIO(toy.picture.value)).format == "PNG"
    assert "a &lt; b: 2" in toy.status.value
    assert toy.words == "1 panel: 1 bars: 2"
    assert not toy.failed


def test_setting_a_control_redraws():
    toy = Toy()
    before = toy.picture.value
    toy.controls["number"].value = 5
    assert toy.drawn[1:] == [(5, "a < b")]
    assert toy.picture.value != before
    assert "5" in toy.status.value
    assert "1 bars: 5" in toy.alternative.value
    toy.controls["word"].value = "now"
    assert "now: 5" in toy.status.value


def test_an_error_is_said_and_the_last_picture_stays():
    toy = Toy()
    before = toy.picture.value
    toy.controls["number"].value = 7
    assert toy.failed
    assert "lab-error" in toy.status.value
    assert "number: &lt;b&gt;seven&lt;/b&gt; &amp; all" in toy.status.value
    assert toy.picture.value == before


def test_a_lab_recovers_from_an_error():
    toy = Toy()
    toy.controls["number"].value = 7
    toy.controls["number"].value = 3
    assert not toy.failed
    assert "lab-error" not in toy.status.value
    assert ": 3" in toy.status.value


def test_a_warning_is_said_once_and_only_where_it_concerns_the_learner():
    toy = Toy()
    toy.controls["number"].value = 8
    assert "eight is &lt;large&gt;" in toy.status.value
    assert "old" not in toy.status.value
    toy.controls["number"].value = 4
    assert "large" not in toy.status.value


def test_the_status_line_is_announced_to_a_screen_reader():
    assert re.search("role='status' aria-live='polite'", Toy().status.value)


def test_an_interrupt_is_not_swallowed():
    class Interrupted(Lab):
        def draw(self):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Interrupted()


def test_a_lab_is_shown_as_widget_picture_and_text(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda *a, **k: shown.append((a, k)))
    toy = Toy()
    toy._ipython_display_()
    ((bundle,), options) = shown[-1]
    view = bundle["application/vnd.jupyter.widget-view+json"]
    assert view["model_id"] == toy.widget.model_id
    assert bundle["text/plain"] == "Interactive: A toy. a < b: 2 1 panel: 1 bars: 2"
    assert options["metadata"]["image/png"]["alt"] == bundle["text/plain"]
    assert bundle["image/png"]


# -- picking a class -------------------------------------------------------------------


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


def test_a_word_that_fits_nothing_keeps_the_choice_and_says_so():
    picker = ClassPicker("dog", names=NAMES)
    values = seen(picker)
    picker.search.value = "dgo<"
    assert picker.value == 2
    assert values == []
    assert "no class name holds &#x27;dgo&lt;&#x27;" in picker.note.value
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
    assert "no class name" in picker.note.value
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
