"""What labs are put together from: controls, pictures, and a network with its answers.

A slider reports its new value once the learner lets go of it.
"""

import html
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache, lru_cache, partial, wraps

import ipywidgets as widgets
import traitlets
from PIL import Image
from torch import Tensor, nn

from .._machinery.arguments import ArgumentError, naming
from .._machinery.fills import fill_picture
from .._machinery.hooks import watching
from ..figures.plots import draw_shares
from ..gradients import input_gradient
from ..images import deprocess, load_image, prepare, uploaded_files
from ..inputs import Inputs, inputs_for
from ..models import class_names, find_classes, friendly_layers, load_model
from ..samples import load_samples, two_class_picture
from ..targets import predict

LABEL = {"description_width": "90px"}
WIDE = {"style": LABEL, "layout": {"width": "330px"}}
PAIR = "parrot and dog, side by side"
FILLS = {"mean colour": "mean", "blurred picture": "blur", "black": "black"}
TOP = (("top class", None),)
NO_CLASS = -1  # in a list: a Dropdown takes None for "nothing is chosen" and shows a blank
ANSWERS = 64  # that an object keeps; a map takes 0.6 MB

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


# -- pictures, and a network that is asked about them ------------------------------------


@cache
def bundled() -> nn.Module:
    """The bundled SqueezeNet; all labs share it."""
    return load_model()


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

    `model` is the bundled SqueezeNet if None; `pictures`, name → picture, are the course's
    photographs unless given, and others may join later. `inputs` and `changes` are as for
    `inputs_for`: how the network wants its pictures, and its classes' names.
    """

    def __init__(self, model, pictures=None, inputs: Inputs | None = None, **changes):
        self.model = bundled() if model is None else model
        self.pictures = photographs() if pictures is None else pictures
        self.inputs = inputs_for(self.model, inputs, **changes)

    def prepare(self, picture: Image.Image) -> Tensor:
        """(1, channels, height, width): a picture as the network wants it."""
        return prepare(self.model, picture, self.inputs)

    @kept
    def images(self, photo: str) -> Tensor:
        """(1, channels, height, width): one of the pictures, prepared."""
        return self.prepare(self.pictures[photo])

    def seen(self, images: Tensor) -> Image.Image:
        """The picture of a prepared one."""
        return deprocess(images, inputs=self.inputs)[0]

    def panel(self, photo: str) -> tuple:
        """The picture as the network sees it, as one of the panels of `plot_panels`."""
        return self.seen(self.images(photo)), photo.replace("_", " "), {}

    def fill(self, name: str, photo: str) -> str | Tensor:
        """A fill of `FILLS` for a picture; a colour in the network's normalisation."""
        if name in ("mean", "blur"):
            return name
        return fill_picture(name, self.images(photo), self.inputs)[0]

    def ask(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(classes,) twice: the scores and the probabilities of a prepared picture."""
        answer = predict(self.model, images)
        scores, shares = (t[0].float().cpu() for t in (answer.outputs, answer.shares))
        names = self.inputs.names
        if names is not None and len(names) != len(scores):
            words = f"must be one for each of the network's {len(scores)} classes"
            raise ArgumentError("names", f"{words}, got {len(names)}")
        return scores, shares

    @kept
    def _answer(self, photo: str) -> tuple[Tensor, Tensor]:
        return self.ask(self.images(photo))

    def scores(self, photo: str) -> Tensor:
        """(classes,): what the network gives, logits for most."""
        return self._answer(photo)[0]

    def probabilities(self, photo: str) -> Tensor:
        """(classes,), from 0 to 1."""
        return self._answer(photo)[1]

    def name(self, index: int) -> str:
        """The name of a class; "class 3" where there are no names."""
        return self.inputs.name(int(index))

    def names(self) -> Sequence[str]:
        """All classes' names, for the class finder."""
        if self.inputs.names is not None:
            return self.inputs.names
        try:
            count = len(self.scores(next(iter(self.pictures))))
        except Exception:  # said when the lab draws
            count = 1
        return [self.name(index) for index in range(count)]

    def finder(self, word: str = "", fixed=None, label: str = "class") -> "ClassPicker":
        """A class finder of these names, with a word to begin with, if it fits one."""
        names, fixed = self.names(), TOP if fixed is None else fixed
        fits = any(word in name for name in names)
        return ClassPicker(word if fits else "", fixed, names, label)

    def bars(self, photo: str) -> tuple:
        """The most probable classes, as one of the panels of `plot_panels`."""
        shown = {"shares": self.probabilities(photo), "name": self.name}
        draw = partial(draw_shares, **shown)
        return draw, "probability", {}

    @kept
    def layers(self) -> dict[str, tuple[str, int]]:
        """Path → friendly name and number of channels, of the layers that have channels."""
        named = {path: name for name, path in friendly_layers(self.model).items()}
        modules, shapes = {p: self.model.get_submodule(p) for p in named}, {}
        with watching(modules, lambda path, output: shapes.update({path: output.shape})):
            predict(self.model, self.images(next(iter(self.pictures))))
        counts = {path: shape[1] for path, shape in shapes.items() if len(shape) in (2, 4)}
        return {p: (name, counts[p]) for p, name in named.items() if p in counts}

    def explained(self) -> list[tuple[str, str]]:
        """What can be explained, for a list: a class ("") or a layer's unit (its path)."""
        try:
            layers = self.layers().items()
        except Exception:  # said when the lab draws
            layers = ()
        units = [(f"unit of {name} ({path})", path) for path, (name, _) in layers]
        return [("a class", ""), *units]

    def offer_channels(self, controls: dict, layer: str) -> None:
        """Switch on the controls of a class (no `layer`), or of the layer's channels."""
        controls["target"].switch(not layer)
        for name in {"channel", "position"} & {*controls}:
            controls[name].disabled = not layer
        if layer:
            controls["channel"].max = self.layers()[layer][1] - 1

    @kept
    def output(self, photo: str, layer: str) -> Tensor:
        """(channels, …): what a layer, given by its path, makes of the picture."""
        found, layers = [], {layer: self.model.get_submodule(layer)}
        # A copy, as an in-place ReLU behind the layer would change it.
        with watching(layers, lambda _, output: found.append(output[0].clone())):
            predict(self.model, self.images(photo))
        return found[-1]

    def target(self, photo: str, wanted: int | None = None) -> int:
        """The class to explain: `wanted`, or the top class if that is None."""
        return int(self.scores(photo).argmax()) if wanted is None else wanted

    @kept
    def gradient(self, photo: str, target, rule: str = "vanilla") -> Tensor:
        """(channels, height, width): the slope of a class's or a `Unit`'s score."""
        return input_gradient(self.model, self.images(photo), target, rule)[0].float().cpu()

    def standing(self, photo: str, target: int) -> str:
        """Name, score and probability of a class, in words."""
        score, share = self.scores(photo)[target], self.probabilities(photo)[target]
        return f"{self.name(target)}: score {score:.1f}, probability {share:.1%}"


def coloured(gradient: Tensor) -> Tensor:
    """A signed map of three colours; of a network without them, of their mean, thrice."""
    if len(gradient) == 3:
        return gradient
    return gradient.mean(dim=0, keepdim=True).expand(3, -1, -1)


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
    """Find a class by a word of its name; `value` is its index.

    Typing fills the list with the classes that match: ImageNet's, unless `names` are given.
    Among those that match equally well, the likelier ones come first once `likely` gives
    their scores, a tensor (classes,), on the picture that is shown. The `fixed` entries,
    ``(text, value)``, stay at the list's end; a value may be None.
    """

    value = traitlets.Any(allow_none=True)

    def __init__(self, word: str = "", fixed=TOP, names=None, label: str = "class"):
        self._fixed = [(text, NO_CLASS if v is None else v) for text, v in fixed]
        look = {"placeholder": "a word, such as cat", "layout": {"width": "230px"}}
        self.search = widgets.Text(value=word, description=label, style=LABEL, **look)
        self.choice = widgets.Dropdown(options=[("", NO_CLASS)], layout={"width": "220px"})
        self.note = widgets.HTML()
        self.likely: Callable[[], Tensor | None] = lambda: None
        super().__init__([self.search, self.choice, self.note])
        self._names = class_names() if names is None else names
        self._find()
        self.listen(self.search, lambda word: self._find())
        ends = (self.choice, "value"), (self, "value")
        self._link = traitlets.dlink(*ends, lambda i: None if i == NO_CLASS else i)

    def offer(self, names: Sequence[str]) -> None:
        """Search among these names from now on; if they are others, without a word."""
        if tuple(names) != tuple(self._names):
            self._names, self.search.value = names, ""
            self._find()

    def switch(self, on: bool) -> None:
        """Switch search and list on or off."""
        self.search.disabled = self.choice.disabled = not on

    def sort(self) -> None:
        """Sort the list again, as another picture is shown; the choice stays."""
        with suppress(ValueError):  # the word fits nothing: the list is an older one's
            if (options := self._matches()) != [*self.choice.options]:
                chosen = self.choice.value
                self._link.unlink()
                self.choice.options, self.choice.value = options, chosen
                self._link.link()

    def _find(self) -> None:
        try:
            options = self._matches()
        except ValueError as error:
            self.note.value = f"<span role='status'>{html.escape(str(error))}</span>"
            return  # the choice stays
        self.note.value = ""
        self.choice.options = options  # of these a Dropdown takes the first

    def _matches(self) -> list[tuple[str, int]]:
        word = self.search.value
        with naming(word="The word"):
            found = find_classes(word, self._names) if word.strip() else []
        with suppress(Exception):  # no scores: the lab says why when it draws
            scores = self.likely() if len(found) > 1 else None
            found = found if scores is None else _likelier_first(word, found, scores)
        matches = [(f"{name} ({index})", index) for index, name in found]
        return [*matches, *self._fixed] or [(self._names[0], 0)]


def _likelier_first(word: str, found: list[tuple[int, str]], scores: Tensor) -> list:
    """Whole words, then beginnings of words, then the rest; each the likelier first."""
    word = re.escape(" ".join(word.replace("_", " ").split()))

    def place(match: tuple[int, str]) -> tuple[bool, bool, float]:
        index, name = match[0], match[1].replace("_", " ")
        worse = (not re.search(p, name, re.I) for p in (rf"\b{word}\b", rf"\b{word}"))
        return *worse, -float(scores[index])

    return sorted(found, key=place)


class PicturePicker(Picker):
    """Choose a picture from a list, or upload one; `value` is its name.

    An upload joins the list under its file's name. One that cannot be read changes
    nothing: `error` says what is wrong with it, and the lab shows that.
    `pictures`, name → picture, are the course's photographs unless given.
    """

    value = traitlets.Unicode()

    def __init__(self, pictures: Mapping | None = None, value: str | None = None):
        self.pictures = dict(photographs() if pictures is None else pictures)
        self.choice = dropdown("photograph", [*self.pictures], value)
        look = {"description": "Upload a picture", "layout": {"width": "180px"}}
        self.upload = widgets.FileUpload(accept="image/*", **look)
        super().__init__([self.choice, self.upload])
        traitlets.dlink((self.choice, "value"), (self, "value"))
        self.listen(self.upload, self._uploaded)

    def _uploaded(self, files) -> None:
        for name, data in uploaded_files(files)[-1:]:
            with naming(source="The upload"):
                self.add(name, load_image({name: {"content": data}}))

    def add(self, name: str, picture: Image.Image) -> None:
        """Add a picture to the list, under a name that is free, and choose it."""
        free = (name, *(f"{name} ({n})" for n in range(2, len(self.pictures) + 3)))
        name = next(text for text in free if text not in self.pictures)
        self.pictures[name] = picture
        with self.hold_trait_notifications():  # the list is between two states
            self.choice.options = [*self.pictures]
            self.choice.value = name
