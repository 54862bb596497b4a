"""The base of every interactive: controls, one picture, one status line.

A lab draws its picture as a PNG into an `ipywidgets.Image`. That needs no output area,
works on ipywidgets 7 (Colab) and 8, and its callbacks can be called in a plain test by
setting a control's `value`. An error in a callback would be invisible in JupyterLab and
Colab, so a lab catches it, whatever it is, and shows it in its status line.
"""

import html
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import ipywidgets as widgets
from IPython import get_ipython
from matplotlib.figure import Figure
from torch import Tensor

from ..figures import describe, in_words, to_png
from .controls import LABEL, ClassPicker, Picker, button, row, said  # noqa: F401
from .still import display_lab, style

COMPUTING = "Computing …"
OLD = "course-lab-old"  # the class of a lab whose picture does not answer the controls
_computing: set["Lab"] = set()  # labs whose threads compute now


class Lab:
    """Controls above, a picture in the middle, a status line below.

    A subclass makes its controls and hands them to `__init__` by name, and draws:

    >>> class Square(Lab):
    ...     title = "The square of a number"
    ...     def __init__(self):
    ...         super().__init__(number=slider("number", 2, 0, 9))
    ...     def draw(self, number):
    ...         figure = Figure()
    ...         figure.subplots().bar(["n", "n²"], [number, number**2])
    ...         return figure, f"{number}² = {number**2}"
    """

    title = "Lab"

    def __init__(self, **controls: widgets.Widget):
        _close_predecessors(self)
        self.controls, self._drawn = controls, False
        layout = {"max_width": "100%", "align_self": "flex-start"}
        self.picture = widgets.Image(format="png", layout=layout)
        self.status, self.alternative = widgets.HTML(), widgets.HTML()
        self.failed, self.seconds = False, 0.0  # what the last picture took
        self.words = self._sentence = ""
        for control in controls.values():
            control.observe(lambda change: self.guard(self.refresh), names="value")
            if isinstance(control, Picker):
                control.observe(self._refused, names="error")
        for picker in (c for c in controls.values() if isinstance(c, ClassPicker)):
            picker.likely = self.likely
            for control in {*controls.values()} - {picker}:  # which has drawn it by then
                control.observe(lambda change, p=picker: self.guard(p.sort), names="value")
        rows = [row(*controls.values()), self.picture, self.status, self.alternative]
        self.widget = widgets.VBox([*rows, style()])
        self.widget.add_class("course-lab")
        self.refresh()
        self._drawn = True

    def draw(self, **values) -> tuple[Figure, str]:
        """The figure for the controls' `values`, and a sentence for the status line."""
        raise NotImplementedError

    @property
    def values(self) -> dict:
        """Name → value of each control."""
        return {name: control.value for name, control in self.controls.items()}

    def refresh(self) -> None:
        """Draw again; the status line shows the sentence, or the error."""
        start = time.perf_counter()
        if self.attempt(lambda: self.show(*self.draw(**self.values)), COMPUTING):
            self.seconds = time.perf_counter() - start
        else:
            self.dim()

    def likely(self) -> Tensor | None:
        """The classes' scores on the picture that is shown; None if they are not known.

        Here of the lab's network, `asked`, on the `photo`, if it has these.
        """
        asked, photo = getattr(self, "asked", None), self.controls.get("photo")
        return asked.scores(photo.value) if asked and photo else None

    # -- callbacks, none of which fails without a word -----------------------------------

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

    def attempt(self, action: Callable[[], str | None], doing: str = "") -> bool:
        """Show the sentence that `action` returns, with its warnings; False if it fails.

        If `doing` says what goes on, it stands in the status line meanwhile, beside a
        dimmed picture.
        """
        before = self._sentence, self.failed, self.is_dim
        if doing:
            self.say(doing)
            self.dim()

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

        succeeded = self.guard(act)
        nothing_came = succeeded and self._sentence == doing
        if doing and (nothing_came or not succeeded):
            self.dim(before[2])
        if doing and nothing_came:
            self.say(*before[:2])
        return succeeded

    def follow(self, control: widgets.Widget, action: Callable) -> None:
        """Call ``action(value)`` whenever a control changes; an error is shown."""

        def follow(change) -> None:
            self.attempt(lambda: action(change.new), COMPUTING)

        control.observe(follow, names="value")

    def button(self, text: str, icon: str, press: Callable, **look) -> widgets.Button:
        """A button that calls `press`; an error is shown."""
        return button(text, icon, lambda: self.guard(press), **look)

    # -- what is on the screen -----------------------------------------------------------

    def show(self, figure: Figure, sentence: str = "") -> str:
        """Put a figure on the screen, its text alternative below; gives the sentence."""
        png, self.words = to_png(figure), describe(figure)
        self.picture.value, self.alternative.value = png, in_words(self.words)
        self.dim(False)
        return sentence

    @property
    def is_dim(self) -> bool:
        """Whether the picture is marked as no answer to what the controls say."""
        return OLD in self.widget._dom_classes

    def dim(self, on: bool = True) -> None:
        """Mark the picture as no answer to what the controls say, or unmark it."""
        # Not of the picture itself, which the browser would load again.
        (self.widget.add_class if on else self.widget.remove_class)(OLD)

    def say(self, sentence: str, error: bool = False) -> None:
        """Write into the status line, which a screen reader announces."""
        self.failed, self._sentence = error, sentence
        style = "color: #b00020; font-weight: bold" if error else ""
        kind = "lab-error" if error else "lab-status"
        self.status.value = (
            f"<div class='{kind}' role='status' aria-live='polite' style='{style}'>"
            f"{'⚠ ' if error else ''}{html.escape(sentence)}</div>"
        )

    def add_row(self, *parts: widgets.Widget, at: int = 1) -> widgets.HBox:
        """Put a row of widgets at a place below the controls, which are row 0."""
        added, rows = row(*parts), list(self.widget.children)
        rows.insert(at, added)
        self.widget.children = rows
        return added

    def close(self) -> None:
        """Remove the lab's widgets, and free its pictures, maps and networks."""
        if self.is_open:
            for part in list(_parts(self.widget)):
                part.close()
            vars(self).clear()  # IPython's `Out` may hold the lab itself for ever

    @property
    def is_open(self) -> bool:
        """Whether it has not been closed."""
        return "widget" in vars(self)

    def _refused(self, change) -> None:
        if change.new:
            self.say(f"{change.new}. The picture is unchanged.", error=True)

    def _ipython_display_(self) -> None:
        """The live widget, and its still picture for when it no longer lives."""
        display_lab(self)


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
