"""The base of long-running labs: start, progress, stop, errors; without a browser."""

import threading

import ipywidgets as widgets
import pytest

from course_utils.labs import live
from course_utils.labs.live import LiveLab
from course_utils.labs.touch import Bars, Scene


class Count(LiveLab):
    """Counts up; `gate` holds it at its third number until the test opens it."""

    title = "Counting up"

    def __init__(self):
        self.gate, self.arrived = threading.Event(), threading.Event()
        self.error = None
        self.factor = widgets.IntSlider(1, 1, 9)
        super().__init__(top=widgets.IntSlider(5, 1, 100))
        self.add_looks(self.factor)

    def draw(self, top):
        panels = self.draw_result(0, top=top).panels
        return Scene(panels, f"ready to count to {top}")

    def compute(self, report, top):
        for number in range(1, top + 1):
            if number == 3:
                self.arrived.set()
                assert self.gate.wait(30)
                if self.error is not None:
                    raise self.error
            if not report(number, top, result=number, words=f"now at {number}"):
                break
        return number

    def draw_result(self, result, top):
        values = {"n": result * self.factor.value, "top": top}
        bars = [{"name": n, "value": v, "text": str(v)} for n, v in values.items()]
        panel = Bars(key="bars", bars=bars, limits=(0, 900))
        return Scene([panel], f"counted to {result} of {top}")


@pytest.fixture
def lab(monkeypatch):
    monkeypatch.setattr(live, "PAUSE", 0)
    monkeypatch.setattr(live, "SHARE", 1e9)  # draw at every step
    lab = Count()
    yield lab
    if lab.is_open:
        lab.gate.set()
        assert lab.wait(30)


def begin(lab):
    """Start, and wait until the computation stands at its third number."""
    assert lab.start()
    assert lab.arrived.wait(30)


def test_at_rest_it_shows_what_its_controls_say(lab):
    before = lab.touch.scene
    assert not lab.running
    assert lab.result is None
    assert lab.stop_button.disabled
    lab.controls["top"].value = 8
    assert lab.touch.scene != before
    assert "ready to count to 8" in lab.said


def test_it_runs_to_the_end(lab):
    lab.gate.set()
    assert lab.start()
    assert lab.wait(30)
    assert lab.result == 5
    assert lab.bar.value == 1
    assert "5 of 5 steps" in lab.counter.value
    assert "Done" in lab.said
    assert "counted to 5" in lab.said
    assert not lab.start_button.disabled
    assert lab.stop_button.disabled


def test_the_picture_grows_while_it_computes(lab):
    before = lab.touch.scene
    begin(lab)
    assert lab.running
    assert lab.result == 2
    assert lab.touch.scene != before
    assert 0 < lab.bar.value < 1
    assert "2 of 5 steps" in lab.counter.value
    assert "now at 2" in lab.counter.value
    growing = lab.touch.scene
    lab.gate.set()
    lab.wait(30)
    assert lab.touch.scene != growing


def test_a_second_start_while_it_runs_does_nothing(lab):
    begin(lab)
    thread = lab._thread
    assert lab.start_button.disabled
    assert not lab.start()
    assert lab._thread is thread


def test_many_starts_at_once_make_one_run(lab):
    started = []
    threads = [
        threading.Thread(target=lambda: started.append(lab.start())) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(started) == 1


def test_stop_keeps_what_there_is(lab):
    lab.controls["top"].value = 50
    begin(lab)
    lab.stop_button.click()
    assert lab.stop_button.disabled
    lab.gate.set()
    assert lab.wait(30)
    assert lab.result == 3
    assert "Stopped after 3 of 50" in lab.said
    assert not lab.failed
    assert not lab.start_button.disabled


def test_a_result_stays_until_the_next_start(lab):
    lab.gate.set()
    lab.start()
    lab.wait(30)
    picture = lab.touch.scene
    lab.controls["top"].value = 9
    assert lab.touch.scene == picture
    assert "press start" in lab.said
    lab.start_button.click()
    lab.wait(30)
    assert lab.result == 9


def test_a_control_changed_while_it_runs_changes_nothing(lab):
    begin(lab)
    picture = lab.touch.scene
    lab.controls["top"].value = 9
    assert lab.touch.scene == picture
    lab.gate.set()
    lab.wait(30)
    assert lab.result == 5, "a run keeps the values it was started with"


def test_an_error_is_shown_and_what_there_was_is_kept(lab):
    lab.error = RuntimeError("out of <paper>")
    begin(lab)
    lab.gate.set()
    assert lab.wait(30)
    assert lab.failed
    assert "out of <paper>" in lab.said
    assert lab.result == 2
    assert not lab.start_button.disabled
    lab.error = None
    lab.start()
    lab.wait(30)
    assert lab.result == 5
    assert not lab.failed


@pytest.mark.parametrize("error", [SystemExit(), KeyboardInterrupt()])
def test_not_even_an_exit_ends_without_a_word(lab, error):
    lab.error = error
    begin(lab)
    lab.gate.set()
    assert lab.wait(30)
    assert type(error).__name__ in lab.said
    assert not lab.start_button.disabled


def test_a_thread_that_cannot_start_is_said_and_nothing_seems_to_run(lab, monkeypatch):
    def fail(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", fail)
    assert not lab.start()
    assert not lab.running
    assert "can't start new thread" in lab.said
    assert not lab.start_button.disabled
    assert lab.wait(1)


def test_memory_that_runs_out_is_said_by_name(lab):
    lab.error = MemoryError()
    begin(lab)
    lab.gate.set()
    assert lab.wait(30)
    assert "MemoryError" in lab.said
    assert "Running" not in lab.said


def test_an_old_result_is_dimmed_where_the_controls_have_changed(lab):
    lab.gate.set()
    lab.start()
    lab.wait(30)
    assert lab.touch.state == ""
    lab.controls["top"].value = 9
    assert lab.touch.state == "old"
    lab.factor.value = 2
    assert lab.touch.state == "old", "another look at an old result makes it no new one"
    lab.controls["top"].value = 5
    assert lab.touch.state == ""
    assert "counted to 5 of 5" in lab.said


def test_another_look_is_said_while_it_is_drawn(lab):
    seen = []
    lab.gate.set()
    lab.start()
    lab.wait(30)
    draw = lab.draw_result

    def watched(result, **values):
        seen.append(lab.touch.state)
        return draw(result, **values)

    lab.draw_result = watched
    lab.factor.value = 2
    assert seen == ["busy"]
    assert lab.touch.state == ""


def test_a_run_dims_what_it_does_not_answer(lab, monkeypatch):
    monkeypatch.setattr(live, "PAUSE", 1e9)  # nothing is drawn before the end
    begin(lab)
    assert lab.touch.state == "old"
    lab.gate.set()
    lab.wait(30)
    assert lab.touch.state == ""


def test_a_control_changed_while_it_runs_is_said_at_its_end(lab):
    begin(lab)
    lab.controls["top"].value = 9
    assert "Running with the settings it was started with" in lab.said
    lab.gate.set()
    lab.wait(30)
    assert "press start for the new ones" in lab.said
    assert lab.touch.state == "old"


def test_a_lab_that_does_not_stop_in_time_is_closed_when_it_has(lab):
    begin(lab)
    thread = lab._thread
    lab.wait = lambda seconds: False
    lab.close()
    assert lab.is_open
    lab.gate.set()
    thread.join(30)
    assert not lab.is_open


def test_a_control_that_only_looks_draws_the_result_again(lab):
    lab.factor.value = 2
    assert "Press start first" in lab.said
    lab.gate.set()
    lab.start()
    lab.wait(30)
    before = lab.touch.scene
    lab.controls["top"].value = 9
    lab.factor.value = 3
    assert lab.touch.scene != before
    assert "counted to 5 of 5" in lab.said
    assert lab.result == 5


def test_a_lab_that_is_closed_while_it_computes_stops_first():
    lab = Count()
    begin(lab)
    thread = lab._thread
    threading.Timer(0.1, lab.gate.set).start()
    lab.close()
    assert not thread.is_alive()
    assert not lab.is_open
    lab.close()  # a second time does nothing


def test_stop_and_wait_without_a_run_do_nothing(lab):
    lab.stop()
    assert lab.wait(1)
    lab.gate.set()
    lab.start()
    lab.wait(30)
    assert lab.result == 5, "a stop from before does not stop the next run"


def test_waiting_for_less_than_it_takes_gives_false(lab):
    begin(lab)
    assert not lab.wait(0.01)
