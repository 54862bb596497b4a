"""The base of every interactive: controls, a scene that can be touched, and an answer.

A lab's scene is drawn by the browser (`touch.py`); the lab says what is in it, for what its
controls are set to. Its callbacks can be called in a plain test by setting a control's
`value` or moving a hand. An error in a callback would be invisible in JupyterLab and Colab,
so a lab catches it, whatever it is, and says it in the answer line.
"""

import asyncio
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import ipywidgets as widgets
import torch
from IPython import get_ipython
from torch import Tensor

from .controls import ClassPicker, Picker, PicturePicker, button, folding, row, said
from .still import display_lab, style
from .touch import Scene, Touch

SOON = 0.02  # seconds in which the kernel hears what else the learner has changed
_computing: set["Lab"] = set()  # labs whose threads compute now


class Lab:
    """Controls above, a scene in the middle, below it an answer and its numbers.

    A subclass makes its controls and hands them to `__init__` by name; those not named in
    `primary` are folded. It draws, and may say what a moved hand means:

    >>> class Square(Lab):
    ...     title = "The square of a number"
    ...     def __init__(self):
    ...         super().__init__(number=slider("number", 2, 0, 9))
    ...     def draw(self, number):
    ...         bars = [{"name": "n²", "value": number**2, "text": f"{number**2}"}]
    ...         tool = {"kind": "cursor"}
    ...         panel = Bars(key="bars", bars=bars, limits=(0, 81), tool=tool)
    ...         return Scene([panel], answer=f"{number}² = {number**2}")
    ...     def touched(self, key, hand):
    ...         self.set(number=0)
    """

    title = "Lab"
    primary: tuple[str, ...] | None = None  # names of the controls not folded; None: all

    def __init__(self, **controls: widgets.Widget):
        _close_predecessors(self)
        self.controls, self._drawn = controls, False
        self._waiting, self._holding = [], False
        self.touch, self._by_hand = Touch(self._heard), False
        self._attempting = False
        self.scene, self.failed, self.seconds = Scene([]), False, 0.0
        for control in controls.values():
            control.observe(lambda change: self.soon(self.refresh), names="value")
            if isinstance(control, Picker):
                control.observe(self._refused, names="error")
        for picker in (c for c in controls.values() if isinstance(c, ClassPicker)):
            picker.likely = self.likely
            for control in {*controls.values()} - {picker}:
                control.observe(lambda _, p=picker: self.soon(p.sort), names="value")
        self.folded = widgets.HBox(layout={"flex_flow": "row wrap"})
        self.widget = widgets.VBox().add_class("course-lab")
        self._arrange()
        self.refresh()
        self._drawn = True

    def draw(self, **values) -> Scene:
        """The scene for the controls' `values`."""
        raise NotImplementedError

    def touched(self, key: str, hand: dict) -> None:
        """The hand of the panel `key` has moved: set the controls that it stands for."""

    def dropped(self, name: str, data: bytes) -> None:
        """A file was dropped or pasted onto the scene."""
        self.controls["photo"].take(name, data)

    @property
    def values(self) -> dict:
        """Name → value of each control."""
        return {name: control.value for name, control in self.controls.items()}

    def set(self, **values) -> None:
        """Set controls, by name, and draw once; what stays the same is not drawn again."""
        before = self.values
        with self.holding():
            for name, value in values.items():
                self.controls[name].value = value
        if self.values != before:
            self.refresh()

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Meanwhile a changed control draws nothing."""
        self._holding = True
        try:
            yield
        finally:
            self._holding = False

    def refresh(self) -> None:
        """Draw again; the answer line shows the answer, or the error."""
        start = time.perf_counter()
        if self.attempt(lambda: self.show(self.draw(**self.values))):
            self.seconds = time.perf_counter() - start
        else:
            self.touch.state = "old"

    def likely(self) -> Tensor | None:
        """The classes' scores on the picture that is shown; None if they are not known.

        Here of the lab's network, `asked`, on the `photo`, if it has these.
        """
        asked, photo = getattr(self, "asked", None), self.controls.get("photo")
        return asked.scores(photo.value) if asked and photo else None

    # -- callbacks, none of which fails without a word -----------------------------------

    def soon(self, action: Callable[[], object]) -> None:
        """Do `action` once the kernel has heard what else has changed; then only once.

        In a front end changes arrive as messages, which pile up while the kernel computes:
        those that wait by then are heard first. Anywhere else it is done at once.
        """
        if self._holding or action in self._waiting:
            return
        if (loop := _loop_between_messages()) is None:
            self.guard(action)
            return
        self.touch.state = "busy"
        self._waiting.append(action)
        if len(self._waiting) == 1:
            loop.call_later(SOON, self._catch_up)

    def _catch_up(self) -> None:
        waiting = vars(self).get("_waiting", [])  # none if the lab has been closed
        actions, waiting[:] = [*waiting], []
        actions.sort(key=lambda action: action == self.refresh)  # lists are sorted before
        with _interruptible():
            for action in actions:
                self.guard(action)
        if waiting or not vars(self).get("touch"):
            return  # more is to come
        if self.touch.state == "busy" and not _computing:
            self.touch.state = ""

    def guard(self, action: Callable[[], object]) -> bool:
        """Call `action`; an error, of any kind, is shown, and gives False."""
        try:
            action()
            return True
        except BaseException as error:  # not even an interrupt would be seen elsewhere
            self.say(said(error), error=True)
            if isinstance(error, KeyboardInterrupt) and not self._drawn:
                raise  # the cell that makes the lab is interrupted
            return False

    def attempt(self, action: Callable[[], str | None]) -> bool:
        """Say the sentence that `action` returns, with its warnings; False if it fails.

        Meanwhile the scene is marked as busy.
        """
        before, outermost = self.touch.state, not self._attempting
        self._attempting = True
        if not self._by_hand:
            self.touch.state = "busy"

        def act() -> None:
            with ExitStack() as stack:
                caught = []
                if not _computing:  # else the threads would mix up Python's filters
                    watch = warnings.catch_warnings(record=True)
                    caught = stack.enter_context(watch)
                    warnings.simplefilter("always")
                sentence = action()
            notes = [str(w.message) for w in caught if issubclass(w.category, UserWarning)]
            if sentence is not None:
                self.say(" ".join([sentence, *notes]))

        try:
            succeeded = self.guard(act)
        finally:
            self._attempting = not outermost
        if outermost and self.touch.state == "busy":  # nothing was shown
            self.touch.state = "" if before == "busy" else before
        return succeeded

    def follow(self, control: widgets.Widget, action: Callable) -> None:
        """Call ``action(value)`` whenever a control changes; an error is shown."""

        def follow(change) -> None:
            self.attempt(lambda: action(change.new))

        control.observe(follow, names="value")

    def button(self, text: str, icon: str, press: Callable, **look) -> widgets.Button:
        """A button that calls `press`; an error is shown."""
        return button(text, icon, lambda: self.guard(press), **look)

    # -- what is on the screen -----------------------------------------------------------

    def show(self, scene: Scene) -> str:
        """Put a scene on the screen, with its numbers; gives its answer."""
        self.scene, self.failed = scene, False
        self.touch.failed = False
        self.touch.show(scene)
        self.touch.state = ""
        return scene.answer

    def say(self, sentence: str, error: bool = False) -> None:
        """Write the answer line, which a screen reader announces."""
        self.failed = self.touch.failed = error
        self.touch.answer = sentence

    @property
    def said(self) -> str:
        """The answer line, and the numbers below it, as text."""
        rows = [": ".join(map(str, line)) for line in self.scene.table]
        return "; ".join([self.touch.answer, *rows])

    def add_row(self, *parts: widgets.Widget) -> widgets.HBox:
        """Put a row of widgets above the scene."""
        added, rows = row(*parts), list(self.widget.children)
        rows.insert(rows.index(self.touch), added)
        self.widget.children = rows
        return added

    def add_beside(self, *parts: widgets.Widget) -> None:
        """Put widgets beside the primary controls."""
        self.shown.children = [*self.shown.children, *parts]

    def fold(self, *parts: widgets.Widget) -> None:
        """Put widgets below the scene, where they are folded away."""
        if parts and not self.folded.children:
            *above, look = self.widget.children
            self.widget.children = [*above, folding("more", self.folded), look]
        self.folded.children = [*self.folded.children, *parts]

    def _arrange(self) -> None:
        """Photographs, controls, the scene with its answer; the rest folded."""
        first = self.controls if self.primary is None else self.primary
        shown = [self.controls[name] for name in first]
        wide = [control for control in shown if isinstance(control, PicturePicker)]
        self.shown = row(*(control for control in shown if control not in wide))
        self.widget.children = [*wide, self.shown, self.touch, style()]
        self.fold(*(c for name, c in self.controls.items() if name not in first))

    def _heard(self, key: str, what: dict | bytes) -> None:
        heard = self.touched if isinstance(what, dict) else self.dropped
        self._by_hand = isinstance(what, dict)  # the browser says by itself that it waits
        with _one_thread():
            self.guard(lambda: heard(key, what))
        self._by_hand = False

    def close(self) -> None:
        """Remove the lab's widgets, and free its pictures, maps and networks."""
        if self.is_open:
            for part in {*_parts(self.widget), *_parts(self.folded)}:
                part.close()
            vars(self).clear()  # IPython's `Out` may hold the lab itself for ever

    @property
    def is_open(self) -> bool:
        """Whether it has not been closed."""
        return "widget" in vars(self)

    def _refused(self, change) -> None:
        if change.new:
            self.say(f"{change.new}. Nothing has changed.", error=True)

    def _ipython_display_(self) -> None:
        """The live widget, and its still picture for when it no longer lives."""
        display_lab(self)


def _loop_between_messages() -> asyncio.AbstractEventLoop | None:
    """The kernel's loop while it handles a message of a widget; None anywhere else."""
    kernel = getattr(get_ipython(), "kernel", None)
    message = kernel.get_parent() if hasattr(kernel, "get_parent") else {}
    if message.get("header", {}).get("msg_type") != "comm_msg":
        return None
    try:
        return asyncio.get_running_loop()
    except RuntimeError:  # in a thread of its own
        return None


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute on one core: threads cost one picture more than they save, if any is busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _interruptible() -> ExitStack:
    """Let "Interrupt Kernel" end what is done between messages, as it ends a cell."""
    stack = ExitStack()
    if threading.current_thread() is threading.main_thread():
        handler = signal.signal(signal.SIGINT, signal.default_int_handler)
        stack.callback(signal.signal, signal.SIGINT, handler)
    return stack


# -- a lab that is opened again ----------------------------------------------------------

_made: dict[Lab, tuple[str | None, object]] = {}  # lab → the cell and the run of it


def _close_predecessors(lab: Lab) -> None:
    """Close the labs that earlier runs of the cell have made: ipywidgets keeps them all.

    Where the front end does not name its cells, or there are none, the last lab of the
    same kind stays, as it may belong to another cell; the older ones are closed.
    """
    shell = get_ipython()
    kernel = getattr(shell, "kernel", None)
    message = kernel.get_parent() if hasattr(kernel, "get_parent") else {}
    cell = message.get("metadata", {}).get("cellId")
    run = getattr(shell, "execution_count", object())  # if no front end says which
    run = message.get("header", {}).get("msg_id", run)
    for old in [old for old in _made if not old.is_open]:
        del _made[old]
    older = [
        old
        for old, (its_cell, its_run) in _made.items()
        if its_cell == cell and its_run != run and (cell or type(old) is type(lab))
    ]
    for old in older if cell else older[:-1]:
        old.close()
    _made[lab] = cell, run


def _parts(widget: widgets.Widget) -> Iterator[widgets.Widget]:
    """A widget and all that it contains, with the layout and style of each."""
    for name in ("layout", "style"):
        if isinstance(part := getattr(widget, name, None), widgets.Widget):
            yield part
    for child in getattr(widget, "children", ()):
        yield from _parts(child)
    yield widget
