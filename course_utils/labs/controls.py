"""What labs are put together from: controls, pictures, and a network with its answers.

A slider reports its new value once the learner lets go of it.
"""

import html
from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache, wraps

import ipywidgets as widgets
import torch
import traitlets
from PIL import Image
from torch import Tensor, nn

from .._machinery.arguments import naming
from ..gradients import input_gradient
from ..images import load_image, preprocess, uploaded_files
from ..models import Unit, class_name, class_names, find_classes, load_model
from ..samples import load_samples, two_class_picture
from ..targets import read_answer

LABEL = {"description_width": "90px"}
WIDE = {"style": LABEL, "layout": {"width": "330px"}}
PAIR = "parrot and dog, side by side"
FILLS = {"mean colour": "mean", "blurred picture": "blur", "black": "black"}
NO_CLASS = -1  # in a list: a Dropdown takes None for "nothing is chosen" and shows a blank
ANSWERS = 64  # that an object keeps; a map takes 0.6 MB

# -- single controls ---------------------------------------------------------------------


def slider(
    label: str, value: float, low: float, high: float, step: float = 1
) -> widgets.IntSlider | widgets.FloatSlider:
    """A slider of whole numbers; of floats if `step` is a float."""
    fractions, more = isinstance(step, float), {}
    if fractions:
        decimals = 2 if step < 0.1 else 1 if step < 1 else 0
        more = {"readout_format": f".{decimals}f"}
    kind = widgets.FloatSlider if fractions else widgets.IntSlider
    return kind(
        value, min=low, max=high, step=step, description=label, continuous_update=False,
        **more, **WIDE,
    )  # fmt: skip


def dropdown(label: str, options: Sequence, value=None) -> widgets.Dropdown:
    """A list of `options`, texts or ``(text, value)`` pairs; the first one is chosen."""
    chosen = {} if value is None else {"value": value}
    return widgets.Dropdown(options=options, description=label, **chosen, **WIDE)


def row(*parts: widgets.Widget) -> widgets.HBox:
    """Widgets beside one another, in several lines where the page is narrow."""
    return widgets.HBox(parts, layout={"flex_flow": "row wrap"})


def save_field(
    label: str, value: str, button: str, save: Callable[[], object]
) -> tuple[widgets.Text, widgets.Button]:
    """A text field for where to save, and the button that saves."""
    field = widgets.Text(value=value, description=label, **WIDE)
    field.add_class("course-lab-save")
    pressed = widgets.Button(description=button, icon="save")
    pressed.on_click(lambda _: save())
    return field, pressed


# -- pictures, and a network that is asked about them ------------------------------------


@cache
def photographs() -> Mapping[str, Image.Image]:
    """Name → picture: parrot and dog in one picture, then the course's photographs.

    All labs share these pictures (17 MB); a lab that adds pictures copies the dict.
    """
    samples = load_samples()
    named = zip(samples.names, samples.images, strict=True)
    return {PAIR: two_class_picture(), **dict(named)}


def kept(method: Callable) -> Callable:
    """Make a method remember its answers: the object keeps the last 64 of all of them."""

    @wraps(method)
    def ask(self, *arguments):
        if "_answers" not in vars(self):
            self._answers = lru_cache(maxsize=ANSWERS)(lambda m, *given: m(self, *given))
        return self._answers(method, *arguments)

    return ask


class Asked:
    """A network and the pictures it is asked about; no answer is computed twice.

    Args:
        model: a classifier, (N, 3, H, W) → (N, classes); the bundled SqueezeNet if None.
        pictures: name → picture; pictures that join later can be asked about, too.
    """

    def __init__(self, model: nn.Module | None, pictures: Mapping[str, Image.Image]):
        self.model = load_model() if model is None else model
        self.pictures = pictures

    @kept
    def images(self, photo: str) -> Tensor:
        """(1, 3, 224, 224): the picture, preprocessed, on the network's device."""
        weight = next(self.model.parameters(), torch.empty(0))
        return preprocess(self.pictures[photo]).to(weight.device)

    @kept
    def scores(self, photo: str) -> Tensor:
        """(classes,), before softmax."""
        return read_answer(self.model, self.images(photo))[2][0].cpu()

    def target(self, photo: str, wanted: int | None = None) -> int:
        """The class to explain: `wanted`, or the top class if that is None."""
        return int(self.scores(photo).argmax()) if wanted is None else wanted

    @kept
    def gradient(self, photo: str, target: int | Unit, rule: str = "vanilla") -> Tensor:
        """(3, 224, 224): the slope of the target's score at each pixel."""
        return input_gradient(self.model, self.images(photo), target, rule)[0].cpu()

    def standing(self, photo: str, target: int) -> str:
        """Name, score and probability of a class, in words."""
        scores = self.scores(photo)
        share = scores.softmax(dim=0)[target]
        return f"{class_name(target)}: score {scores[target]:.1f}, probability {share:.1%}"


# -- pickers -----------------------------------------------------------------------------


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
        self._fixed = [(text, NO_CLASS if v is None else v) for text, v in fixed]
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
                with naming(word="The word"):
                    found = find_classes(self.search.value, self._names)
            except ValueError as error:
                text = html.escape(str(error))
                self.note.value = f"<span role='status'>{text}</span>"
                return  # the choice stays
        matches = [(f"{name} ({index})", index) for index, name in found]
        options = [*matches, *self._fixed] or [(self._names[0], 0)]
        with self.hold_trait_notifications():
            self.choice.options = options
            self.choice.value = options[0][1]
        self._chosen()

    def _chosen(self, change=None) -> None:
        self.value = None if self.choice.value == NO_CLASS else self.choice.value


class PicturePicker(widgets.HBox):
    """Choose a picture from a list, or upload one; `value` is its name.

    An upload joins the list under its file's name. One that cannot be read changes
    nothing: `error` says what is wrong with it, and the lab shows that.

    Args:
        pictures: name → picture.
        value: the name chosen at first; the first one unless given.
        label: the description in front of the list.

    Attributes:
        pictures: name → picture, uploads included.
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
        self.choice = dropdown(label, [*self.pictures], value)
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
            with naming(source="The upload"):
                picture = load_image({name: {"content": data}})
        except ValueError as error:
            self.error = str(error)
            return
        self.add(name, picture)

    def add(self, name: str, picture: Image.Image) -> None:
        """Add a picture to the list, under a name that is free, and choose it."""
        free = (name, *(f"{name} ({n})" for n in range(2, len(self.pictures) + 3)))
        name = next(text for text in free if text not in self.pictures)
        self.pictures[name] = picture
        self.choice.unobserve(self._chosen, names="value")  # the list is between two states
        self.choice.options = [*self.pictures]
        self.choice.value = name
        self.choice.observe(self._chosen, names="value")
        self.value = name
