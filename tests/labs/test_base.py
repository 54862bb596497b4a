"""The base of the labs: a control redraws, no error is lost, and nothing leaks."""

import asyncio
import gc
import signal
import warnings
import weakref
from types import SimpleNamespace

import ipywidgets as widgets
import pytest
import torch
from PIL import Image

from course_utils.labs import base, controls, still
from course_utils.labs.base import Lab
from course_utils.labs.controls import PicturePicker
from course_utils.labs.touch import Bars, Scene


def bars(value, answer=""):
    """A scene of one bar, which can be pointed at."""
    bar = {"name": "n", "value": value, "text": str(value)}
    tool, limits = {"kind": "cursor"}, (0, 10)
    panel = Bars(key="bars", bars=[bar], limits=limits, tool=tool, hand={"i": 0})
    return Scene([panel], answer, [("number", value)])


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
        return bars(number, f"{word}: {number}")

    def touched(self, key, hand):
        if hand["i"] == 9:
            raise ValueError("there is no bar 9")
        self.set(number=hand["i"], word=key)


def test_a_lab_draws_when_it_is_made():
    toy = Toy()
    assert toy.drawn == [(2, "a < b")]
    assert toy.touch.answer == "a < b: 2"
    assert toy.said == "a < b: 2; number: 2"
    assert toy.touch.scene["panels"][0]["bars"][0]["value"] == 2
    assert toy.touch.numbers == (
        "<table class='course-numbers'><tr><th>number</th><th>2</th></tr></table>"
    )
    assert not toy.failed


def test_setting_a_control_redraws():
    toy = Toy()
    toy.controls["number"].value = 5
    assert toy.drawn[1:] == [(5, "a < b")]
    assert toy.touch.scene["panels"][0]["bars"][0]["value"] == 5
    toy.controls["word"].value = "now"
    assert toy.said == "now: 5; number: 5"


def test_several_controls_that_are_set_together_draw_once():
    toy = Toy()
    toy.set(number=4, word="four")
    toy.set(number=4)
    assert toy.drawn[1:] == [(4, "four")]


def test_an_error_is_shown_and_the_last_scene_stays():
    toy = Toy()
    before = toy.touch.scene
    toy.controls["number"].value = 7
    assert toy.failed
    assert toy.touch.failed
    assert toy.touch.answer == "number is <b>seven</b> & all"
    assert toy.touch.scene == before


# -- a hand that moves -------------------------------------------------------------------


def ask(lab, key, hand):
    """What the browser sends when a hand has moved; returns what goes back."""
    sent = []
    lab.touch.send = sent.append
    lab.touch._heard(lab.touch, {"ask": key, "hand": hand}, [])
    return sent


def test_a_moved_hand_sets_controls_and_is_answered_once():
    toy = Toy()
    assert ask(toy, "bars", {"i": 6}) == [{"done": "bars", "hand": {"i": 0}}]
    assert toy.values == {"number": 6, "word": "bars"}
    assert toy.drawn[1:] == [(6, "bars")]
    assert toy.touch.answer == "bars: 6"


def test_a_hand_is_answered_on_one_core_and_the_others_come_back():
    toy, seen, before = Toy(), [], torch.get_num_threads()
    toy.touched = lambda key, hand: seen.append(torch.get_num_threads())
    torch.set_num_threads(2)
    ask(toy, "bars", {"i": 1})
    after = torch.get_num_threads()
    torch.set_num_threads(before)
    assert (seen, after) == ([1], 2)


def test_an_error_is_answered_too_so_that_the_next_question_comes():
    toy = Toy()
    assert ask(toy, "bars", {"i": 9}) == [{"done": "bars", "hand": {"i": 9}}]
    assert toy.touch.answer == "there is no bar 9"
    assert toy.failed


def test_a_hand_is_where_it_was_left_or_where_the_scene_puts_it():
    toy = Toy()
    assert toy.touch.hands == {"bars": {"i": 0}}
    ask(toy, "other", {"i": 3})
    assert toy.touch.hands == {"bars": {"i": 0}, "other": {"i": 3}}


def test_what_has_not_changed_is_not_sent_again():
    toy = Toy()
    sent = []
    toy.touch.observe(lambda change: sent.append(change["name"]), names=traits)
    toy.controls["word"].value = "again"
    assert set(sent) == {"state", "answer"}


traits = ["scene", "pictures", "hands", "answer", "failed", "state"]


# -- changes that come as messages ---------------------------------------------------------


@pytest.fixture
def in_a_front_end(monkeypatch):
    """Handle messages as a kernel does: one after another, in its loop."""

    def handle(*messages):
        async def run():
            loop = asyncio.get_running_loop()
            monkeypatch.setattr(base, "_loop_between_messages", lambda: loop)
            for message in messages:
                message()
            await asyncio.sleep(5 * base.SOON)

        asyncio.run(run())

    return handle


def test_changes_that_wait_together_are_drawn_once_the_newest(in_a_front_end):
    toy = Toy()
    number, states = toy.controls["number"], []
    changes = [lambda n=n: setattr(number, "value", n) for n in (3, 4, 7, 5)]
    in_a_front_end(*changes, lambda: states.append(toy.touch.state))
    assert toy.drawn[1:] == [(5, "a < b")]
    assert states == ["busy"], "it is said before anything is computed"
    assert toy.touch.state == ""
    assert not toy.failed


def test_a_lab_closed_meanwhile_draws_no_more(in_a_front_end):
    toy = Toy()
    drawn = toy.drawn
    in_a_front_end(lambda: setattr(toy.controls["number"], "value", 3), toy.close)
    assert len(drawn) == 1


def test_an_interrupt_reaches_what_is_drawn_between_messages(in_a_front_end):
    toy = Toy()
    handlers = []
    toy.draw = lambda **values: handlers.append(signal.getsignal(signal.SIGINT)) or bars(1)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a kernel has it
    try:
        in_a_front_end(lambda: setattr(toy.controls["number"], "value", 3))
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
    assert handlers == [signal.default_int_handler]


def test_only_a_message_of_a_widget_waits(monkeypatch):
    def parent(kind):
        message = {"header": {"msg_type": kind, "msg_id": "1"}}
        kernel = SimpleNamespace(get_parent=lambda: message)
        monkeypatch.setattr(base, "get_ipython", lambda: SimpleNamespace(kernel=kernel))

    async def loop(kind):
        parent(kind)
        return base._loop_between_messages()

    assert asyncio.run(loop("comm_msg")) is not None
    assert asyncio.run(loop("execute_request")) is None
    assert base._loop_between_messages() is None


# -- errors and warnings -------------------------------------------------------------------


def test_a_lab_recovers_from_an_error():
    toy = Toy()
    toy.controls["number"].value = 7
    toy.controls["number"].value = 3
    assert not toy.failed
    assert not toy.touch.failed
    assert ": 3" in toy.touch.answer


def test_a_warning_is_shown_once_and_only_where_it_concerns_the_learner():
    toy = Toy()
    toy.controls["number"].value = 8
    assert "eight is <large>" in toy.touch.answer
    assert "old" not in toy.touch.answer
    toy.controls["number"].value = 4
    assert "large" not in toy.touch.answer


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
    (view, _), (note, _), (picture, _) = shown
    assert [*view] == [VIEW], "no other form, which JupyterLab would pass over"
    assert view[VIEW]["model_id"] == toy.widget.model_id
    assert [*note] == ["text/html"]
    assert picture["text/plain"] == (
        "Interactive: A toy. a < b: 2; number: 2. 1 panel: n  2; 1 bars: 2"
    )
    assert 'alt="A toy: a &lt; b: 2"' in picture["text/html"]
    assert picture["text/html"].startswith("<img ")


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
        return bars(1, photo)


def test_a_refused_upload_is_shown(upload):
    lab = Picturing()
    upload(lab, "notes.txt", b"these are no pixels")
    assert lab.failed
    assert "Nothing has changed." in lab.touch.answer
    assert "notes.txt" in lab.touch.answer
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
    held = weakref.ref(toy.touch)
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
    "KeyError: 'cat'": KeyError("cat"),
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

    def touched(self, key, hand):
        self.fail()

    def dropped(self, name, data):
        self.fail()

    def draw(self, number):
        self.fail()
        return bars(number, f"number {number}")


TOUCHES = {
    "a control": lambda lab: setattr(lab.controls["number"], "value", 5),
    "a hand": lambda lab: ask(lab, "bars", {"i": 1}),
    "a file that is dropped": lambda lab: lab._heard("cat.png", b""),
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
    assert lab.touch.answer == words


@pytest.mark.parametrize("words", ERRORS)
def test_an_error_within_a_picker_is_shown(words, upload, monkeypatch, png):
    def fail(*arguments):
        raise ERRORS[words]

    lab = Picturing()
    monkeypatch.setattr(controls, "load_image", fail)
    upload(lab, "red.png", png("red"))
    assert lab.failed
    assert lab.touch.answer == f"{words}. Nothing has changed."


# -- an old picture is no answer to a new question ----------------------------------------


class Slow(Lab):
    """Notes in which state the scene is while it draws."""

    def __init__(self):
        self.seen, self.fails = [], False
        self.quiet = widgets.Text()
        self.follow(self.quiet, self.note)
        super().__init__(number=widgets.IntSlider())

    def note(self, *arguments):
        self.seen.append(self.touch.state)
        if self.fails:
            raise ValueError("cannot be done")

    def draw(self, number):
        self.note()
        return bars(number, f"number {number}")


def test_while_it_draws_the_scene_is_busy():
    lab = Slow()
    lab.controls["number"].value = 3
    assert lab.seen == ["busy"] * 2
    assert (lab.touch.answer, lab.touch.state) == ("number 3", "")


def test_where_nothing_comes_of_it_the_old_words_stand_again():
    lab = Slow()
    lab.quiet.value = "now"
    assert lab.seen[-1] == "busy"
    assert (lab.touch.answer, lab.touch.state, lab.failed) == ("number 0", "", False)


def test_a_scene_that_could_not_be_drawn_again_is_old_until_one_can():
    lab = Slow()
    lab.fails = True
    lab.controls["number"].value = 3
    assert lab.failed
    assert lab.touch.state == "old"
    lab.fails = False
    lab.controls["number"].value = 4
    assert lab.touch.state == ""


def test_an_action_that_fails_leaves_the_scene_as_it_was():
    lab = Slow()
    lab.fails = True
    lab.quiet.value = "now"
    assert lab.touch.answer == "cannot be done"
    assert lab.touch.state == ""


# -- where things stand --------------------------------------------------------------------


def test_what_is_not_primary_is_folded_away():
    class Folding(Toy):
        primary = ("word",)

    toy, folding = Toy(), Folding()
    assert not toy.folded.children
    first, touch, fold, _ = folding.widget.children
    assert first.children == (folding.controls["word"],)
    assert touch is folding.touch
    assert fold.selected_index is None
    folding.fold(widgets.Button())
    assert folding.folded.children[0] is folding.controls["number"]
    assert len(folding.folded.children) == 2
    added = folding.add_row(widgets.Button())
    assert folding.widget.children[1] is added
