"""The base of labs that compute for longer than two seconds.

The computation runs in a thread of its own, so the notebook and the stop button stay
alive; now and then it reports how far it has come, and the picture grows.
"""

import html
import threading
import time
from collections.abc import Callable

import ipywidgets as widgets
from matplotlib.figure import Figure

from .base import Lab

SHARE = 0.2  # of the time may go into drawing while it computes
PAUSE = 0.3  # seconds between two pictures, at least


class LiveLab(Lab):
    """A lab with a start and a stop button and a bar that shows how far it is.

    A subclass draws the state at rest (`draw`, as any lab), computes (`compute`) and
    draws a result (`draw_result`):

    >>> class Count(LiveLab):
    ...     title = "Counting up"
    ...     def __init__(self):
    ...         super().__init__(top=slider("top", 100, 1, 1000))
    ...     def draw(self, top):
    ...         return self.draw_result(0, top=top)
    ...     def compute(self, report, top):
    ...         for number in range(1, top + 1):
    ...             if not report(number, top, result=number):
    ...                 break
    ...         return number
    ...     def draw_result(self, result, top):
    ...         figure = Figure()
    ...         figure.subplots().bar(["n"], [result])
    ...         return figure, f"counted to {result}"

    A control that is changed while nothing has been computed yet redraws the state at
    rest. Once there is a result it stays on the screen, whatever is changed, until the
    next start. `stop` keeps the result so far.

    Attributes:
        result: of the last computation, also when it was stopped; None before.
        computed_with: name → value of the controls that the result was computed with.
        running: whether a computation is under way.
        start_button, stop_button, bar, counter: the widgets below the controls.
    """

    start_label = "start"

    def __init__(self, **controls: widgets.Widget):
        self.result, self.computed_with, self.running = None, {}, False
        self._thread, self._stop, self._lock = None, threading.Event(), threading.Lock()
        self.start_button = widgets.Button(
            description=self.start_label, icon="play", button_style="primary"
        )
        self.stop_button = widgets.Button(description="stop", icon="stop", disabled=True)
        self.bar = widgets.FloatProgress(
            min=0, max=1, layout={"width": "260px"}, style={"bar_color": "#c1440e"}
        )
        self.counter = widgets.HTML()
        self.start_button.on_click(lambda _: self.start())
        self.stop_button.on_click(lambda _: self.stop())
        super().__init__(**controls)
        buttons = self.add_row(self.start_button, self.stop_button, self.bar, self.counter)
        buttons.layout.align_items = "center"

    # -- what a subclass writes --------------------------------------------------------

    def compute(self, report: Callable[..., bool], **values):
        """The long computation for the controls' `values`; returns its result.

        Call ``report(step, steps, result=…, words=…)`` now and then: `result` is
        the result so far, `words` a few words for the counter. It returns False
        once the stop button was pressed; then return the result so far.
        """
        raise NotImplementedError

    def draw_result(self, result, **values) -> tuple[Figure, str]:
        """The figure of a result (also of one under way), and a sentence about it."""
        raise NotImplementedError

    def add_looks(self, *controls: widgets.Widget) -> None:
        """Put controls that only look at the result below the buttons."""
        for control in controls:
            control.observe(self._looked, names="value")
        self.add_row(*controls, at=2)

    # -- running -----------------------------------------------------------------------

    def start(self) -> bool:
        """Begin to compute in the background; False if a computation is under way."""
        with self._lock:
            if self.running:
                return False
            self.running = True
            self._stop.clear()
            self.start_button.disabled, self.stop_button.disabled = True, False
            self.bar.value, self.bar.bar_style, self.counter.value = 0, "", ""
            self._say("Running …")
            self._thread = threading.Thread(
                target=self._run, args=(self.values,), daemon=True
            )
            self._thread.start()
        return True

    def stop(self) -> None:
        """Ask the computation, if there is one, to end with the result so far."""
        if self.running:
            self._stop.set()
            self.stop_button.disabled = True

    def wait(self, seconds: float = 60) -> bool:
        """Wait until the computation has ended; False if it has not within `seconds`."""
        if self._thread is not None:
            self._thread.join(seconds)
        return not self.running

    def close(self) -> None:
        """Stop, and free everything; a computation that does not stop in time goes on."""
        if self.is_open:
            self.stop()
            if self.wait(10):
                super().close()

    def _run(self, values: dict) -> None:
        report = _Report(self, values)
        try:
            report.keep(self.compute(report, **values))
            report.draw(self.result)
            report.count()
            ended = "Stopped after" if self._stop.is_set() else "Done:"
            self._say(f"{ended} {report.counted}. {report.sentence}")
            self.bar.bar_style = "" if self._stop.is_set() else "success"
        except BaseException as error:  # SystemExit would end the thread without a word
            self.bar.bar_style = "danger"
            self._say_error(error)
        finally:
            self.running = False
            self.start_button.disabled, self.stop_button.disabled = False, True

    def refresh(self) -> None:
        """Draw the state at rest, but never over a result."""
        if self.running:
            return
        if self.result is None:
            super().refresh()
        else:
            self._say(f"Press {self.start_label} to compute with the changed controls.")

    def _looked(self, change) -> None:
        if self.running:
            return
        if self.result is None:
            self._say(f"Press {self.start_label} first: there is nothing to look at yet.")
            return
        values = self.computed_with
        self.attempt(lambda: self._show(*self.draw_result(self.result, **values)))


class _Report:
    """How far a computation has come: moves the bar, and draws when it is time to."""

    def __init__(self, lab: LiveLab, values: dict):
        self.lab, self.values = lab, values
        self.begun = self.shown = time.perf_counter()
        self.pause, self.sentence = PAUSE, ""
        self.step, self.steps, self.words = 0, 0, ""

    def __call__(self, step: int, steps: int, result=None, words: str = "") -> bool:
        """Note one step; False once the lab was asked to stop."""
        self.step, self.steps, self.words = step, steps, words
        if result is not None:
            self.keep(result)
        if time.perf_counter() - self.shown > self.pause:
            self.count()
            if result is not None:
                self.draw(result)
            self.shown = time.perf_counter()
        return not self.lab._stop.is_set()

    def keep(self, result) -> None:
        """Hand the lab the result so far."""
        self.lab.result, self.lab.computed_with = result, self.values

    @property
    def counted(self) -> str:
        """Steps and seconds since the start, in words."""
        seconds = time.perf_counter() - self.begun
        return f"{self.step} of {self.steps} steps in {seconds:.1f} s"

    def count(self) -> None:
        """Move the bar and the words beside it."""
        self.lab.bar.value = self.step / max(self.steps, 1)
        text = ", ".join(part for part in (self.counted, self.words) if part)
        self.lab.counter.value = html.escape(text)

    def draw(self, result) -> None:
        """Put the result on the screen; drawing must not eat up the time to compute."""
        start = time.perf_counter()
        figure, self.sentence = self.lab.draw_result(result, **self.values)
        self.lab._show(figure)
        self.lab.seconds = time.perf_counter() - start
        self.pause = max(PAUSE, self.lab.seconds / SHARE)
