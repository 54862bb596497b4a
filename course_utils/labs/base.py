"""The base of every interactive: controls, one picture, one status line.

A lab draws its picture as a PNG into an `ipywidgets.Image`. That needs no output area,
works on ipywidgets 7 (Colab) and 8, and its callbacks can be called in a plain test by
setting a control's `value`. An error in a callback would be invisible in JupyterLab and
Colab, so a lab catches it and says it in its status line.
"""

import base64
import gc
import html
import time
import warnings
from collections.abc import Mapping, Sequence
from functools import cache

import ipywidgets as widgets
import traitlets
from matplotlib.figure import Figure
from PIL import Image

from ..figures import describe, in_words, lighten, to_png
from ..images import load_image, uploaded_files
from ..models import class_names, find_classes

WIDE = widgets.Layout(width="320px")
LABEL = {"description_width": "90px"}
NO_CLASS = -1  # in a list: a Dropdown takes None for "nothing is chosen" and shows a blank


@cache
def spare_the_collector() -> None:
    """Take what is alive now out of the garbage collector's rounds; once is enough.

    These are half a million objects of torch and its like, which stay as long as the
    kernel. To look through them took a third of a second, at every 25th picture or so.
    """
    gc.collect()
    gc.freeze()


class Lab:
    """Controls above, a picture in the middle, a status line below.

    A subclass makes its controls and hands them to `__init__` by name, and draws:

    >>> class Square(Lab):
    ...     title = "The square of a number"
    ...     def __init__(self):
    ...         super().__init__(number=widgets.IntSlider(2, 0, 9))
    ...     def draw(self, number):
    ...         figure = Figure()
    ...         figure.subplots().bar(["n", "n²"], [number, number**2])
    ...         return figure, f"{number}² = {number**2}"

    Attributes:
        controls: name → widget; each has a `value`.
        picture: the `ipywidgets.Image` that holds the PNG.
        status: the `ipywidgets.HTML` below it.
        seconds: how long the last picture took.
    """

    title = "Lab"

    def __init__(self, **controls: widgets.Widget):
        spare_the_collector()
        self.controls = controls
        self.picture = widgets.Image(
            format="png", layout={"max_width": "100%", "align_self": "flex-start"}
        )
        self.status = widgets.HTML()
        self.alternative = widgets.HTML()
        self.failed = False
        self.seconds = 0.0
        self.words = ""
        self._sentence = ""
        for control in controls.values():
            control.observe(self._changed, names="value")
        rows = widgets.HBox(list(controls.values()), layout={"flex_flow": "row wrap"})
        self.widget = widgets.VBox([rows, self.picture, self.status, self.alternative])
        self.widget.add_class("course-lab")
        self.refresh()

    def draw(self, **values) -> tuple[Figure, str]:
        """The figure for the controls' `values`, and a sentence for the status line."""
        raise NotImplementedError

    def refresh(self) -> None:
        """Draw anew; whatever goes wrong is said in the status line."""
        values = {name: control.value for name, control in self.controls.items()}
        start = time.perf_counter()
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                figure, sentence = self.draw(**values)
                png, words = to_png(figure), describe(figure)
        except Exception as error:
            self._say(str(error) or type(error).__name__, error=True)
            return
        self.picture.value, self.words = png, words
        self.alternative.value = in_words(words)
        self.seconds = time.perf_counter() - start
        notes = [str(w.message) for w in caught if issubclass(w.category, UserWarning)]
        self._say(" ".join([sentence, *notes]))

    def _changed(self, change) -> None:
        self.refresh()

    def _say(self, sentence: str, error: bool = False) -> None:
        self.failed, self._sentence = error, sentence
        style = "color: #b00020; font-weight: bold" if error else ""
        kind = "lab-error" if error else "lab-status"
        self.status.value = (
            f"<div class='{kind}' role='status' aria-live='polite' style='{style}'>"
            f"{'⚠ ' if error else ''}{html.escape(sentence)}</div>"
        )

    def _ipython_display_(self) -> None:
        """The live widget; its still picture where no widget can be; a fixed text."""
        from IPython.display import display

        if hasattr(self.widget, "_handle_displayed"):  # ipywidgets 7
            self.widget._handle_displayed()
        view = {
            "version_major": 2,
            "version_minor": 0,
            "model_id": self.widget.model_id,
        }
        words = f"Interactive: {self.title}. {self._sentence} {self.words}"
        display(
            {
                "application/vnd.jupyter.widget-view+json": view,
                "image/png": base64.b64encode(lighten(self.picture.value)).decode(),
                "text/plain": words,
            },
            metadata={"image/png": {"alt": words}},
            raw=True,
        )


class ClassPicker(widgets.HBox):
    """Find a class by a word of its name; `value` is its index.

    Typing fills the list with the classes that match. An entry with a fixed meaning
    (such as "the top class", whose value is None) stays at the end of the list.

    Args:
        word: what is searched for at first; "" lists the fixed entries alone.
        fixed: ``(text, value)`` pairs that are always offered.
        names: class names; ImageNet's unless given.
        label: the description in front of the search field.
    """

    value = traitlets.Any(allow_none=True)

    def __init__(
        self,
        word: str = "",
        fixed: Sequence[tuple[str, int | None]] = (("top class", None),),
        names: Sequence[str] | None = None,
        label: str = "class",
    ):
        self._fixed = list(fixed)
        self._names = class_names() if names is None else names
        self.search = widgets.Text(
            value=word,
            placeholder="a word, such as cat",
            description=label,
            style=LABEL,
            layout={"width": "230px"},
        )
        self.choice = widgets.Dropdown(layout={"width": "220px"})
        self.note = widgets.HTML()
        super().__init__([self.search, self.choice, self.note])
        self._find()
        self.search.observe(self._find, names="value")
        self.choice.observe(self._chosen, names="value")

    def _find(self, change=None) -> None:
        found, self.note.value = [], ""
        if self.search.value.strip():
            try:
                found = find_classes(self.search.value, self._names)
            except ValueError as error:
                text = str(error).removeprefix("word: ")
                self.note.value = f"<span role='status'>{html.escape(text)}</span>"
                return  # keep the choice that there is
        matches = [(f"{name} ({index})", index) for index, name in found]
        fixed = [(text, NO_CLASS if v is None else v) for text, v in self._fixed]
        options = [*matches, *fixed] or [(self._names[0], 0)]
        with self.hold_trait_notifications():
            self.choice.options = options
            self.choice.value = options[0][1]
        self._chosen()

    def _chosen(self, change=None) -> None:
        self.value = None if self.choice.value == NO_CLASS else self.choice.value


class PicturePicker(widgets.HBox):
    """Choose a picture from a list, or upload one; `value` is its name.

    An upload joins the list under its file's name. One that is no picture changes
    nothing: `error` says what is wrong with it.

    Args:
        pictures: name → picture.
        value: the name chosen at first; the first one unless given.
        label: the description in front of the list.

    Attributes:
        pictures: name → picture, uploads among them.
    """

    value = traitlets.Unicode()
    error = traitlets.Unicode()

    def __init__(
        self,
        pictures: Mapping[str, Image.Image],
        value: str | None = None,
        label: str = "photograph",
    ):
        self.pictures = dict(pictures)
        self.choice = widgets.Dropdown(
            options=[*self.pictures],
            value=value or next(iter(self.pictures)),
            description=label,
            style=LABEL,
            layout={"width": "330px"},
        )
        self.upload = widgets.FileUpload(
            accept="image/*", description="Upload a picture", layout={"width": "180px"}
        )
        super().__init__([self.choice, self.upload], value=self.choice.value)
        self.choice.observe(self._chosen, names="value")
        self.upload.observe(self._uploaded, names="value")

    def _chosen(self, change) -> None:
        self.value = change.new

    def _uploaded(self, change) -> None:
        self.error = ""
        files = uploaded_files(change.new)
        if not files:
            return
        name, data = files[-1]
        try:
            picture = load_image({name: {"content": data}})
        except ValueError as error:
            self.error = str(error).removeprefix("source: ")
            return
        self.add(name, picture)

    def add(self, name: str, picture: Image.Image) -> None:
        """Let a picture join the list, under a name not taken yet, and choose it."""
        taken = [name, *(f"{name} ({n})" for n in range(2, len(self.pictures) + 3))]
        name = next(text for text in taken if text not in self.pictures)
        self.pictures[name] = picture
        self.choice.unobserve(self._chosen, names="value")  # the list is between two states
        self.choice.options = [*self.pictures]
        self.choice.value = name
        self.choice.observe(self._chosen, names="value")
        self.value = name
