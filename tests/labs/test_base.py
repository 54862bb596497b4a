"""The base of the labs: a control redraws, no error is lost, and nothing leaks."""

import gc
import io
import re
import warnings
import weakref
from types import SimpleNamespace

import ipywidgets as widgets
import pytest
from matplotlib.figure import Figure
from PIL import Image

from course_utils.labs import base, controls, still
from course_utils.labs.base import Lab
from course_utils.labs.controls import PicturePicker


class Toy(Lab):
    """Draws a bar of the number, unless the number is out of order."""

    title = "A toy"

    def __init__(self):
        self.drawn = []
        super().__init__(number=widgets.IntSlider(2, 0, 9), word=widgets.Text("a < b"))

    def draw(self, number, word):
        self.drawn.append((number, word))
        if number == 7:
            raise ValueError("number is <b>seven</b> & all")
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


def test_an_error_is_shown_and_the_last_picture_stays():
    toy = Toy()
    before = toy.picture.value
    toy.controls["number"].value = 7
    assert toy.failed
    assert "lab-error" in toy.status.value
    assert "number is &lt;b&gt;seven&lt;/b&gt; &amp; all" in toy.status.value
    assert toy.picture.value == before


def test_a_lab_recovers_from_an_error():
    toy = Toy()
    toy.controls["number"].value = 7
    toy.controls["number"].value = 3
    assert not toy.failed
    assert "lab-error" not in toy.status.value
    assert ": 3" in toy.status.value


def test_a_warning_is_shown_once_and_only_where_it_concerns_the_learner():
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


@pytest.fixture
def shown(monkeypatch):
    """What is displayed: a list of (bundle, options)."""
    outputs = []
    monkeypatch.setattr(
        still, "display", lambda bundle, **options: outputs.append((bundle, options))
    )
    return outputs


VIEW = "application/vnd.jupyter.widget-view+json"


def test_a_lab_is_shown_as_widget_and_after_it_as_a_picture_with_text(shown):
    toy = Toy()
    toy._ipython_display_()
    (view, _), (note, _), (picture, options) = shown
    assert [*view] == [VIEW], "no other form, which JupyterLab would pass over"
    assert view[VIEW]["model_id"] == toy.widget.model_id
    assert [*note] == ["text/html"]
    assert picture["text/plain"] == "Interactive: A toy. a < b: 2 1 panel: 1 bars: 2"
    assert options["metadata"]["image/png"]["alt"] == picture["text/plain"]
    assert picture["image/png"]


def test_the_note_is_the_same_for_every_lab_and_at_every_time(shown):
    toy = Toy()
    toy._ipython_display_()
    toy.controls["number"].value = 5
    toy._ipython_display_()
    assert shown[1] == shown[4]
    assert shown[2] != shown[5]


def test_while_it_lives_it_hides_the_note_and_the_still_picture():
    style = Toy().widget.children[-1]
    assert "<style>" in style.value
    assert ".course-lab-note" in style.value
    assert style.layout.display == "none"


def test_a_lab_that_could_not_draw_is_shown_without_a_picture(shown):
    class Failing(Lab):
        def draw(self):
            raise ValueError("no paper left")

    Failing()._ipython_display_()
    assert [*shown[-1][0]] == ["text/plain"]
    assert "no paper left" in shown[-1][0]["text/plain"]


def test_a_closed_lab_says_so(shown):
    toy = Toy()
    toy.close()
    toy._ipython_display_()
    assert shown == [({"text/plain": still.CLOSED}, {"raw": True})]


class Picturing(Lab):
    """Draws any picture of its picker as an empty figure."""

    def __init__(self):
        super().__init__(photo=PicturePicker({"red": Image.new("RGB", (2, 2))}))

    def draw(self, photo):
        return Figure(figsize=(1, 1)), photo


def test_a_refused_upload_is_shown(upload):
    lab = Picturing()
    upload(lab, "notes.txt", b"these are no pixels")
    assert lab.failed
    assert "The picture is unchanged." in lab.status.value
    assert "notes.txt" in lab.status.value
    lab.refresh()
    assert not lab.failed


# -- freeing what a lab holds ----------------------------------------------------------


def open_widgets():
    """How many widgets ipywidgets keeps (version 7 or 8)."""
    module = widgets.widget if hasattr(widgets.widget, "_instances") else widgets.Widget
    return len(getattr(module, "_instances", None) or module.widgets)


def test_a_closed_lab_leaves_nothing_behind():
    before = open_widgets()
    toy = Toy()
    toy.add_row(widgets.Button())
    held = weakref.ref(toy.picture)
    assert open_widgets() > before
    toy.close()
    toy.close()  # a second time does nothing
    assert open_widgets() == before
    gc.collect()
    assert held() is None


@pytest.fixture
def run_cell(monkeypatch):
    """Say that a cell runs, as JupyterLab tells it to the kernel."""
    runs = iter(range(99))

    def run(cell):
        metadata = {} if cell is None else {"cellId": cell}
        parent = {"header": {"msg_id": str(next(runs))}, "metadata": metadata}
        kernel = SimpleNamespace(get_parent=lambda: parent)
        shell = SimpleNamespace(kernel=kernel)
        monkeypatch.setattr(base, "get_ipython", lambda: shell)

    return run


def test_a_cell_that_runs_again_closes_the_labs_of_its_last_run(run_cell):
    run_cell("a")
    first, second = Toy(), Toy()
    run_cell("b")
    other = Toy()
    assert first.is_open
    run_cell("a")
    again = Toy()
    assert [lab.is_open for lab in (first, second, other, again)] == [0, 0, 1, 1]


def test_where_the_notebook_names_no_cell_one_predecessor_of_a_kind_stays(run_cell):
    class Another(Toy):
        pass

    labs = []
    for _ in range(4):
        run_cell(None)
        labs.append([Toy(), Another()])
    assert [[lab.is_open for lab in pair] for pair in labs] == [
        [0, 0],
        [0, 0],
        [1, 1],
        [1, 1],
    ]


def test_labs_of_one_run_live_side_by_side(run_cell):
    for cell in ("a", None):
        run_cell(cell)
        assert all(lab.is_open for lab in [Toy() for _ in range(4)])


def test_in_a_plain_ipython_the_labs_of_one_input_live_side_by_side(monkeypatch):
    monkeypatch.setattr(base, "get_ipython", lambda: SimpleNamespace(execution_count=7))
    assert all(lab.is_open for lab in [Toy() for _ in range(4)])


def test_without_a_notebook_one_predecessor_stays():
    labs = [Toy() for _ in range(4)]
    assert [lab.is_open for lab in labs] == [0, 0, 1, 1]


# -- errors that nobody else would show ---------------------------------------------------


ERRORS = {
    "MemoryError": MemoryError(),
    "KeyboardInterrupt": KeyboardInterrupt(),
    "SystemExit: 3": SystemExit(3),
    "KeyError: &#x27;cat&#x27;": KeyError("cat"),
    "no paper left": ValueError("no\npaper left"),
}


class Trouble(Lab):
    """Draws, but whatever else is touched raises `error`."""

    error = None

    def __init__(self):
        self.followed = widgets.Text()
        self.follow(self.followed, self.fail)
        self.pressed = self.button("press", "play", self.fail)
        super().__init__(number=widgets.IntSlider())

    def fail(self, *arguments):
        if self.error is not None:
            raise self.error

    def draw(self, number):
        self.fail()
        return Figure(figsize=(1, 1)), f"number {number}"


TOUCHES = {
    "a control": lambda lab: setattr(lab.controls["number"], "value", 5),
    "a control that is followed": lambda lab: setattr(lab.followed, "value", "now"),
    "a button": lambda lab: lab.pressed.click(),
}


@pytest.mark.parametrize("words", ERRORS)
@pytest.mark.parametrize("touch", TOUCHES)
def test_an_error_of_any_kind_in_any_callback_is_shown(touch, words):
    lab = Trouble()
    lab.error = ERRORS[words]
    TOUCHES[touch](lab)
    assert lab.failed
    assert f"⚠ {words}<" in lab.status.value


@pytest.mark.parametrize("words", ERRORS)
def test_an_error_within_a_picker_is_shown(words, upload, monkeypatch, png):
    def fail(*arguments):
        raise ERRORS[words]

    lab = Picturing()
    monkeypatch.setattr(controls, "load_image", fail)
    upload(lab, "red.png", png("red"))
    assert lab.failed
    assert f"⚠ {words}. The picture is unchanged." in lab.status.value


# -- an old picture is no answer to a new question ----------------------------------------


class Slow(Lab):
    """Notes what the status line and the picture say while it draws."""

    def __init__(self):
        self.seen, self.fails = [], False
        self.quiet = widgets.Text()
        self.follow(self.quiet, self.note)
        super().__init__(number=widgets.IntSlider())

    def note(self, *arguments):
        self.seen.append((self._sentence, self.is_dim))
        if self.fails:
            raise ValueError("cannot be done")

    def draw(self, number):
        self.note()
        return Figure(figsize=(1, 1)), f"number {number}"


def test_while_it_draws_it_says_so_beside_a_dimmed_picture():
    lab = Slow()
    lab.controls["number"].value = 3
    assert lab.seen == [(base.COMPUTING, True)] * 2
    assert (lab._sentence, lab.is_dim) == ("number 3", False)


def test_where_nothing_comes_of_it_the_old_words_stand_again():
    lab = Slow()
    lab.quiet.value = "now"
    assert lab.seen[-1] == (base.COMPUTING, True)
    assert (lab._sentence, lab.is_dim, lab.failed) == ("number 0", False, False)


def test_a_picture_that_could_not_be_drawn_anew_stays_dimmed_until_one_can():
    lab = Slow()
    lab.fails = True
    lab.controls["number"].value = 3
    assert lab.failed
    assert lab.is_dim
    lab.fails = False
    lab.controls["number"].value = 4
    assert not lab.is_dim


def test_an_action_that_fails_leaves_the_picture_as_it_was():
    lab = Slow()
    lab.fails = True
    lab.quiet.value = "now"
    assert "cannot be done" in lab.status.value
    assert not lab.is_dim
