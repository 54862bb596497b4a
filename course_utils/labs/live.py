"""The base of labs that compute for longer than two seconds.

The computation runs in a thread of its own, so the notebook and the stop button stay
alive; now and then it reports how far it has come, and the picture grows.
"""

import html
import threading
import time
from collections.abc import Callable
from functools import partial

import ipywidgets as widgets

from .base import Lab, _computing
from .controls import said
from .touch import Scene

SHARE = 0.2  # of the time may go into drawing while it computes
PAUSE = 0.1  # seconds between two pictures, at least


class LiveLab(Lab):
    """A lab with a start and a stop button and a bar that shows how far it is.

    A subclass draws the state at rest (`draw`, as any lab), computes (`compute`) and
    draws a result (`draw_result`). Until something has been computed, a changed control
    redraws the state at rest. A result stays on the screen until the next start, dimmed
    where the controls have changed since; `stop` keeps the result so far.
    """

    def __init__(self, **controls: widgets.Widget):
        self.result, self.running = None, False
        self.computed_with = {}  # the values of the controls that led to the result
        self._thread, self._stop, self._lock = None, threading.Event(), threading.Lock()
        self._closing = False
        look = {"button_style": "primary"}
        self.start_button = self.button("start", "play", self.start, **look)
        self.stop_button = self.button("stop", "stop", self.stop, disabled=True)
        look = {"layout": {"width": "260px"}, "style": {"bar_color": "#c1440e"}}
        self.bar, self.counter = widgets.FloatProgress(min=0, max=1, **look), widgets.HTML()
        super().__init__(**controls)
        buttons = self.add_row(self.start_button, self.stop_button, self.bar, self.counter)
        buttons.layout.align_items = "center"

    # -- what a subclass writes --------------------------------------------------------

    def compute(self, report: Callable[..., bool], **values):
        """The long computation for the controls' `values`; returns its result.

        It reports the result so far, with a few `words` for the counter, and ends with it
        when the answer is False, as the stop button was pressed:

        >>> for number in range(1, top + 1):
        ...     if not report(number, top, result=number, words="counting"):
        ...         break
        """
        raise NotImplementedError

    def draw_result(self, result, **values) -> Scene:
        """The scene of a result, also of one under way."""
        raise NotImplementedError

    def add_looks(self, *controls: widgets.Widget) -> None:
        """Fold away controls that only look at the result in another way."""
        for control in controls:
            control.observe(lambda change: self.soon(self.look), names="value")
        self.fold(*controls)

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
            self.say("Running …")
            self.touch.state = "old"
            thread = threading.Thread(target=partial(self._run, self.values), daemon=True)
            _computing.add(self)
            if not self.guard(thread.start):
                self._end()
                return False
            self._thread = thread
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
        """Stop, and free everything: at once, or when the computation has stopped."""
        if self.is_open:
            self.stop()
            self._closing = not self.wait(10)
            if not self._closing:
                super().close()

    def _run(self, values: dict) -> None:
        self._begun = self._shown = time.perf_counter()
        self._pause, self._step = PAUSE, (0, 0, "")

        def report(step: int, steps: int, result=None, words: str = "") -> bool:
            self._step = step, steps, words
            if result is not None:
                self.result, self.computed_with = result, values
            if time.perf_counter() - self._shown > self._pause:
                self._count()
                if result is not None:
                    self._draw_so_far()
                self._shown = time.perf_counter()
            return not self._stop.is_set()

        try:
            self.result, self.computed_with = self.compute(report, **values), values
            sentence = self._draw_so_far()
            ended = "Stopped after" if self._stop.is_set() else "Done:"
            self.say(f"{ended} {self._count()}. {sentence}")
            self.bar.bar_style = "" if self._stop.is_set() else "success"
        except BaseException as error:  # SystemExit would end the thread without a word
            self.bar.bar_style = "danger"
            self.say(said(error), error=True)
        finally:
            self._end()
            if self._closing:
                super().close()
            elif not self.failed and self.values != values:
                self.guard(self.refresh)

    def _end(self) -> None:
        _computing.discard(self)
        self.running = False
        self.start_button.disabled, self.stop_button.disabled = False, True

    def _count(self) -> str:
        """Move the bar and the words beside it; returns steps and seconds in words."""
        step, steps, words = self._step
        counted = f"{step} of {steps} steps in {time.perf_counter() - self._begun:.1f} s"
        self.bar.value = step / max(steps, 1)
        self.counter.value = html.escape(f"{counted}, {words}" if words else counted)
        return counted

    def _draw_so_far(self) -> str:
        """Put the result on the screen; drawing must not eat up the time to compute."""
        start = time.perf_counter()
        sentence = self.show(self.draw_result(self.result, **self.computed_with))
        if self.running and self.values != self.computed_with:
            self.say("Running with the settings it was started with …")
        self.seconds = time.perf_counter() - start
        self._pause = max(PAUSE, self.seconds / SHARE)
        return sentence

    def refresh(self) -> None:
        """Draw the state at rest, but never over a result."""
        if self.running:
            self.say("Running with the settings it was started with …")
        elif self.result is None:
            super().refresh()
        elif self.values == self.computed_with:
            self.look()
        else:
            self.say("This answers the former settings: press start for the new ones.")
            self.touch.state = "old"

    def look(self) -> None:
        """Draw the result again, which is looked at in another way."""
        values = self.computed_with
        if self.result is None and not self.running:
            self.say("Press start first: there is nothing to look at yet.")
        elif not self.running:
            old = self.values != values
            again = partial(self.draw_result, self.result, **values)
            former = "For the former settings: {}" if old else "{}"
            drawn = self.attempt(lambda: former.format(self.show(again())))
            if not drawn or old:
                self.touch.state = "old"
