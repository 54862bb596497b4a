"""The base of every interactive: controls, one picture, one status line.

A lab draws its picture as a PNG into an `ipywidgets.Image`. That needs no output area,
works on ipywidgets 7 (Colab) and 8, and its callbacks can be called in a plain test by
setting a control's `value`. An error in a callback would be invisible in JupyterLab and
Colab, so a lab catches it and shows it in its status line.
"""

import base64
import html
import time
import warnings
from collections.abc import Callable, Iterator

import ipywidgets as widgets
from IPython import get_ipython
from IPython.display import display
from matplotlib.figure import Figure

from ..figures import describe, in_words, lighten, to_png
from .controls import LABEL, ClassPicker, PicturePicker, row  # noqa: F401 - for your_own


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
        _close_labs_of_last_run(self)
        self.controls = controls
        layout = {"max_width": "100%", "align_self": "flex-start"}
        self.picture = widgets.Image(format="png", layout=layout)
        self.status, self.alternative = widgets.HTML(), widgets.HTML()
        self.failed, self.seconds = False, 0.0  # what the last picture took
        self.words = self._sentence = ""
        for control in controls.values():
            control.observe(lambda change: self.refresh(), names="value")
            if control.has_trait("error"):
                control.observe(self._refused, names="error")
        rows = [row(*controls.values()), self.picture, self.status, self.alternative]
        self.widget = widgets.VBox(rows)
        self.widget.add_class("course-lab")
        self.refresh()

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
        if self.attempt(lambda: self.show(*self.draw(**self.values))):
            self.seconds = time.perf_counter() - start

    def attempt(self, action: Callable[[], str | None]) -> bool:
        """Show the sentence that `action` returns, with its warnings; False if it fails."""
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                sentence = action()
        except Exception as error:
            self.say(str(error) or type(error).__name__, error=True)
            return False
        notes = [str(w.message) for w in caught if issubclass(w.category, UserWarning)]
        if sentence is not None:
            self.say(" ".join([sentence, *notes]))
        return True

    def follow(self, control: widgets.Widget, action: Callable) -> None:
        """Call ``action(value)`` whenever a control changes; an error is shown."""
        control.observe(lambda c: self.attempt(lambda: action(c.new)), names="value")

    def show(self, figure: Figure, sentence: str = "") -> str:
        """Put a figure on the screen, its text alternative below; gives the sentence."""
        png, self.words = to_png(figure), describe(figure)
        self.picture.value, self.alternative.value = png, in_words(self.words)
        return sentence

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
        """The live widget; its still picture where no widget can be; a fixed text."""
        if hasattr(self.widget, "_handle_displayed"):  # ipywidgets 7
            self.widget._handle_displayed()
        words = f"Interactive: {self.title}. {self._sentence} {self.words}"
        view = {"model_id": self.widget.model_id, "version_major": 2, "version_minor": 0}
        forms = {
            "application/vnd.jupyter.widget-view+json": view,
            "image/png": base64.b64encode(lighten(self.picture.value)).decode(),
            "text/plain": words,
        }
        display(forms, metadata={"image/png": {"alt": words}}, raw=True)


# -- a cell that runs again --------------------------------------------------------------

_made: dict[str, tuple[str, list[Lab]]] = {}  # cell → its last run, and the labs made there


def _close_labs_of_last_run(lab: Lab) -> None:
    """Close the labs that the cell, if its name is known, has made in its last run.

    ipywidgets keeps every widget until it is closed.
    """
    kernel = getattr(get_ipython(), "kernel", None)
    message = kernel.get_parent() if hasattr(kernel, "get_parent") else {}
    cell = message.get("metadata", {}).get("cellId")
    if cell is None:
        return
    this_run = message["header"]["msg_id"]
    run, labs = _made.get(cell, (this_run, []))
    if run != this_run:
        for old in labs:
            old.close()
        labs = []
    _made[cell] = this_run, [*labs, lab]


def _parts(widget: widgets.Widget) -> Iterator[widgets.Widget]:
    """A widget and all that it contains, with the layout and style of each."""
    for name in ("layout", "style"):
        if isinstance(part := getattr(widget, name, None), widgets.Widget):
            yield part
    for child in getattr(widget, "children", ()):
        yield from _parts(child)
    yield widget
