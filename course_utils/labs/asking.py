"""Pictures, and a network that is asked about them; no answer is computed twice."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache, wraps

from PIL import Image
from torch import Tensor, nn

from .._machinery.arguments import ArgumentError
from .._machinery.fills import fill_picture
from .._machinery.hooks import watching
from ..gradients import input_gradient
from ..images import deprocess, fit_image, prepare
from ..inputs import Inputs, inputs_for
from ..models import friendly_layers, load_model
from ..samples import load_samples, two_class_picture
from ..targets import predict

PAIR = "parrot and dog, side by side"
FILLS = {"mean colour": "mean", "blurred picture": "blur", "black": "black"}
ANSWERS = 64  # that an object keeps; a map takes 0.6 MB


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
    `inputs_for`: how the network wants its pictures, which are of colours or grey, and its
    classes' names.
    """

    def __init__(self, model, pictures=None, inputs: Inputs | None = None, **changes):
        self.model = bundled() if model is None else model
        self.pictures = photographs() if pictures is None else pictures
        self.inputs = inputs_for(self.model, inputs, **changes)
        if self.inputs.channels not in (1, 3):
            words = f"as labs show photographs, got {self.inputs.channels}; compare_methods"
            raise ArgumentError("mean", f"must be 1 number, or 3, {words} takes arrays too")

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

    @kept
    def looks(self, photo: str) -> Image.Image:
        """One of the pictures as the network sees it, but twice as fine, for the screen."""
        rows, columns = self.inputs.sides
        fine = fit_image(self.pictures[photo], (2 * rows, 2 * columns), self.inputs.fit)
        return fine.convert("L").convert("RGB") if self.inputs.channels == 1 else fine

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
            words = f"must be one for each class of the network, {len(scores)}"
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
