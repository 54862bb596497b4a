"""What labs are put together from: single controls, and pickers of classes and pictures.

A slider reports its new value once the learner lets go of it.
"""

import base64
import io
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import count

import ipywidgets as widgets
import traitlets
from PIL import Image
from torch import Tensor

from .._machinery.arguments import ArgumentError, naming
from ..images import fit_image, load_image, uploaded_files
from ..models import class_names, find_classes
from .asking import Asked, photographs

LABEL = {"description_width": "initial"}  # so that no label is cut
WIDE = {"style": LABEL, "layout": {"width": "300px"}}
TOP = (("top class", None),)

# -- single controls ---------------------------------------------------------------------


def slider(label: str, value: float, low: float, high: float, step: float = 1):
    """A slider of whole numbers; of floats if `step` is a float."""
    kind, look = widgets.IntSlider, {"description": label, "continuous_update": False}
    if isinstance(step, float):
        decimals = 2 if step < 0.1 else 1 if step < 1 else 0
        kind, look["readout_format"] = widgets.FloatSlider, f".{decimals}f"
    return kind(value, min=low, max=high, step=step, **look, **WIDE)


def dropdown(label: str, options: Sequence, value=None) -> widgets.Dropdown:
    """A list of `options`, texts or ``(text, value)`` pairs; the first one is chosen."""
    chosen = {} if value is None else {"value": value}
    return widgets.Dropdown(options=options, description=label, **chosen, **WIDE)


def row(*parts: widgets.Widget) -> widgets.HBox:
    """Widgets beside one another, in several lines where the page is narrow."""
    return widgets.HBox(parts, layout={"flex_flow": "row wrap"})


def folding(title: str, box: widgets.Box) -> widgets.Accordion:
    """A box that is folded away under a title."""
    fold = widgets.Accordion([box], selected_index=None)
    fold.set_title(0, title)
    return fold


def said(error: BaseException) -> str:
    """An error in words for a status line: its own, if they speak for themselves."""
    kind = type(error).__name__
    words = " ".join(str(error).split())
    speaks = isinstance(error, (ValueError, TypeError, RuntimeError, OSError))
    return f"{kind}: {words}" if words and not speaks else words or kind


def button(text: str, icon: str, press: Callable[[], object], **look) -> widgets.Button:
    """A button that calls `press`."""
    made = widgets.Button(description=text, icon=icon, **look)
    made.on_click(lambda _: press())
    return made


def path_field(label: str, value: str = "", **look) -> widgets.Text:
    """A text field for a file, a folder or an address."""
    field = widgets.Text(value=value, description=label, **WIDE | look)
    return field.add_class("course-lab-save")


# -- pickers -----------------------------------------------------------------------------


class Picker(widgets.HBox):
    """A control made of several; `error` says what went wrong in one; the lab shows it."""

    error = traitlets.Unicode()

    def listen(self, control: widgets.Widget, action: Callable) -> None:
        """Call ``action(value)`` whenever a control changes; an error becomes `error`."""

        def heard(change) -> None:
            self.error = ""
            try:
                action(change.new)
            except BaseException as error:  # in a callback nobody else would see it
                self.error = said(error)

        control.observe(heard, names="value")


class ClassPicker(Picker):
    """Choose a class by a word of its name; `value` is its index.

    The list offers the names that hold what is typed: ImageNet's, unless `names` are given;
    once `likely` gives their scores, a tensor (classes,), the likelier come first. Nothing
    is chosen before Enter is pressed or an entry is taken. A word that is no entry chooses
    the best match, and a word that fits none leaves the choice as it is; so does an empty
    field, unless there is a `fixed` entry, ``(text, value)``: it then chooses the first of
    these, whose value may be None.
    """

    value = traitlets.Any(allow_none=True)

    def __init__(self, word: str = "", fixed=TOP, names=None, label: str = "class"):
        self._fixed = dict(fixed)
        self._names = class_names() if names is None else names
        self.likely: Callable[[], Tensor | None] = lambda: None
        look = {
            "placeholder": "a word, such as cat, then Enter",
            "layout": {"width": "340px"},
        }
        look |= {"continuous_update": False, "style": LABEL}
        self.field = widgets.Combobox(description=label, **look)
        super().__init__([self.field])
        self.sort()
        self.value = next(iter(self._fixed.values()), 0)
        if word or self.value is not None:
            self.value = self._meant(word or self._names[0])
        self._write()
        self.listen(self.field, self._typed)

    def offer(self, names: Sequence[str]) -> None:
        """Offer these names from now on; if they are others, the choice is the first."""
        if tuple(names) != tuple(self._names):
            self._names = names
            self.value = next(iter(self._fixed.values()), 0)
            self.sort()
            self._write()

    def switch(self, on: bool) -> None:
        """Switch the field on or off."""
        self.field.disabled = not on

    def sort(self) -> None:
        """Sort the offered names by their scores on the picture that is shown."""
        order = list(range(len(self._names)))
        with suppress(Exception):  # no scores: the lab says why when it draws
            scores = self.likely().tolist()
            order = sorted(order, key=lambda index: -scores[index])
        self.field.options = [*self._fixed, *map(self._entry, order)]

    def choose(self, index: int | None) -> None:
        """Choose a class by its index, or the fixed entry of value None."""
        self.value = index
        self._write()

    def _entry(self, index: int) -> str:
        return f"{self._names[index]} ({index})"

    def _write(self) -> None:
        """What is chosen stands in the field."""
        texts = {value: text for text, value in self._fixed.items()}
        self.field.value = texts.get(self.value) or self._entry(self.value)

    def _typed(self, word: str) -> None:
        try:
            self.value = self._meant(word)
        finally:
            self._write()

    def _meant(self, word: str) -> int | None:
        """The value of an entry, or of what a word fits best."""
        word = word.strip()
        if word in self._fixed:
            return self._fixed[word]
        if not word:
            return next(iter(self._fixed.values()), self.value)
        entry = re.fullmatch(r"(.*) \((\d+)\)", word)
        if (
            entry
            and int(entry[2]) < len(self._names)
            and self._entry(int(entry[2])) == word
        ):
            return int(entry[2])
        with naming(word="The word"):
            found = find_classes(word, self._names)
        with suppress(Exception):
            scores = self.likely()
            found = found if scores is None else _likelier_first(word, found, scores)
        return found[0][0]


def finder(asked: Asked, word: str = "", fixed=TOP, label: str = "class") -> ClassPicker:
    """A class finder of a network's names, with a word to begin with, if it fits one."""
    names = asked.names()
    fits = any(word in name for name in names)
    return ClassPicker(word if fits else "", fixed, names, label)


def _likelier_first(word: str, found: list[tuple[int, str]], scores: Tensor) -> list:
    """Whole words, then beginnings of words, then the rest; each the likelier first."""
    word = re.escape(" ".join(word.replace("_", " ").split()))

    def place(match: tuple[int, str]) -> tuple[bool, bool, float]:
        index, name = match[0], match[1].replace("_", " ")
        worse = (not re.search(p, name, re.I) for p in (rf"\b{word}\b", rf"\b{word}"))
        return *worse, -float(scores[index])

    return sorted(found, key=place)


class Chips(Picker):
    """Choose any number of things, each by a button that stays down.

    `options` are pairs ``(text, value)``; `value` holds the chosen ones, in their order.
    """

    value = traitlets.Tuple()

    def __init__(self, options: Sequence[tuple[str, object]], value: Sequence = ()):
        look = {"layout": {"width": "auto"}}
        self.chips = {
            key: widgets.ToggleButton(description=t, **look) for t, key in options
        }
        layout = {"flex_flow": "row wrap", "width": "100%"}
        super().__init__([*self.chips.values()], layout=layout)
        self.add_class("course-chips")
        self._pressing = False
        for chip in self.chips.values():
            self.listen(chip, lambda _: self._read())
        self.observe(lambda change: self._press(), names="value")
        self.value = tuple(value)

    @traitlets.validate("value")
    def _in_order(self, proposal) -> tuple:
        if unknown := [key for key in proposal.value if key not in self.chips]:
            words = f"must be some of {', '.join(map(str, self.chips))}, got {unknown[0]!r}"
            raise ArgumentError("value", words)
        return tuple(key for key in self.chips if key in proposal.value)

    def _read(self) -> None:
        if not self._pressing:
            self.value = tuple(key for key, chip in self.chips.items() if chip.value)

    def _press(self) -> None:
        """Buttons are down as `value` says."""
        self._pressing = True
        for key, chip in self.chips.items():
            chip.value = key in self.value
        self._pressing = False


class PicturePicker(Picker):
    """Choose a picture among thumbnails, or upload one; `value` is its name.

    An upload joins them under its file's name. One that cannot be read changes nothing:
    `error` says what is wrong with it, and the lab shows that. `pictures`, name → picture,
    are the course's photographs unless given.
    """

    value = traitlets.Unicode()

    def __init__(self, pictures: Mapping | None = None, value: str | None = None):
        given = dict(photographs() if pictures is None else pictures)
        first = value or next(iter(given))  # the strip begins with what is chosen
        self.pictures = {first: given[first]} | given
        # Radio buttons: one stop for the tabulator key, and arrows go from one to the next.
        self.choice = widgets.RadioButtons(options=_in_words(self.pictures))
        self.choice.value = first
        self.choice.add_class("course-strip")
        look = {"description": "Upload a picture", "layout": {"width": "auto"}}
        self.upload = widgets.FileUpload(accept="image/*", **look)
        self._look = widgets.HTML(layout={"display": "none"})
        self._small: dict[str, str] = {}  # name → address of its thumbnail
        self._number = f"course-strip-{next(_strips)}"
        self.choice.add_class(self._number)
        super().__init__([self.choice, self.upload, self._look])
        self._look.value = self._style()
        traitlets.dlink((self.choice, "value"), (self, "value"))
        self.listen(self.upload, self._uploaded)

    def _uploaded(self, files) -> None:
        for name, data in uploaded_files(files)[-1:]:
            self.take(name, data)

    def take(self, name: str, data: bytes) -> None:
        """Add the picture in a file's bytes, and choose it."""
        with naming(source="The upload"):
            self.add(name, load_image({name: {"content": data}}))

    def add(self, name: str, picture: Image.Image) -> None:
        """Add a picture under a name that is free, and choose it."""
        free = (name, *(f"{name} ({n})" for n in range(2, len(self.pictures) + 3)))
        name = next(text for text in free if text not in self.pictures)
        self.pictures[name] = picture
        with self.hold_trait_notifications():  # the list is between two states
            self.choice.options = _in_words(self.pictures)
            self.choice.value = name
        self._look.value = self._style()

    def _style(self) -> str:
        """The thumbnails, as backgrounds of the radio buttons."""
        for name in {*self.pictures} - {*self._small}:
            self._small[name] = _thumbnail(self.pictures[name])
        rules = (
            f".{self._number} label:nth-of-type({n}) "
            f"{{ background-image: url({self._small[name]}) }}"
            for n, name in enumerate(self.pictures, 1)
        )
        return f"<style>{''.join(rules)}</style>"


_strips = count()


def _thumbnail(picture: Image.Image, side: int = 56) -> str:
    """The address of a small picture, twice as fine as it is shown."""
    file = io.BytesIO()
    fit_image(picture, 2 * side).save(file, "JPEG", quality=70)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


def _in_words(names) -> list[tuple[str, str]]:
    return [(name.replace("_", " "), name) for name in names]
