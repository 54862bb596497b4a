"""What a network is fed with: the size of its images, their statistics, its classes' names.

A network does not know what its training pictures looked like, and a map of pictures that
were prepared in another way looks as convincing as a right one. So say it once:

>>> model.inputs = Inputs(size=(60, 140), mean=[0.58], std=[0.07], names=["ok", "scratch"])

From then on the sheet, the folder run and the labs prepare pictures as this says. Saved
beside a checkpoint, ``my_net.inputs.json`` beside ``my_net.pt``, it is found by
`load_model`. Networks that `load_model` knows by name come with ImageNet's.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from weakref import WeakSet

from torch import nn

from ._machinery.arguments import ArgumentError, choice, described, number, numbers, warn
from ._machinery.files import write_whole

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
FITS = ("crop", "stretch")
ENDING = ".inputs.json"
CHECKPOINTS = (".pt", ".pth", ".ckpt", ".bin", ".pkl", ".tar", ".safetensors")


@dataclass(frozen=True)
class Inputs:
    """How pictures become a network's input, and what its classes are called.

    Example:
        >>> Inputs(size=(60, 140), mean=[0.5], std=[0.25]).channels
        1
    """

    size: int | tuple[int, int] = 224  # side in pixels, or (height, width)
    mean: Sequence[float] = IMAGENET_MEAN  # one number per channel, for values in [0, 1]
    std: Sequence[float] = IMAGENET_STD
    fit: str = "crop"  # cuts off what does not fit; "stretch" keeps it, and distorts
    names: Sequence[str] | None = None  # of the classes, in the order of the scores

    def __post_init__(self):
        pair = isinstance(self.size, (tuple, list))
        size = (
            numbers("size", self.size, 2, 1, whole=True, order="(height, width)")
            if pair
            else number("size", self.size, 1, whole=True)
        )
        mean = _row("mean", self.mean)
        order = "(one per channel, as in mean)"
        std = numbers("std", self.std, len(mean), low=0, above=True, order=order)
        choice("fit", self.fit, FITS)
        names = self.names
        if names is not None:
            is_list = isinstance(names, Sequence) and not isinstance(names, str)
            if not is_list or not names or not all(isinstance(n, str) for n in names):
                words = "must be the classes' names, one text each, or None"
                raise ArgumentError("names", f"{words}, got {described(names)}")
            names = tuple(names)
        plain = {"size": size, "mean": mean, "std": std, "names": names}
        for name, value in plain.items():
            object.__setattr__(self, name, value)

    @property
    def sides(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.size if isinstance(self.size, tuple) else (self.size, self.size)

    @property
    def channels(self) -> int:
        """How many channels an image has: 3 for colours, 1 for grey."""
        return len(self.mean)

    def name(self, index: int) -> str:
        """The name of class `index`; "class 3" where there are no names.

        Example:
            >>> Inputs().name(3), Inputs(names=["cat", "dog"]).name(1)
            ('class 3', 'dog')
        """
        if self.names is None:
            return f"class {number('index', index, 0, whole=True)}"
        return self.names[number("index", index, 0, len(self.names) - 1, whole=True)]

    def but(self, **changes) -> "Inputs":
        """The same with other values, where they are not None.

        Example:
            >>> Inputs().but(size=64, mean=None).size
            64
        """
        return replace(self, **{k: v for k, v in changes.items() if v is not None})

    def save(self, path: str | Path) -> Path:
        """Write them beside a checkpoint, or to a path that ends in ``.json``.

        Example:
            >>> Inputs(size=64).save("my_net.pt")
            PosixPath('my_net.inputs.json')
        """
        path = Inputs.beside(path)
        text = json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n"
        write_whole(path, lambda draft: draft.write_text(text, encoding="utf-8"))
        return path

    @classmethod
    def load(cls, path: str | Path) -> "Inputs":
        """Read what `save` wrote, beside a checkpoint or at a path to the file itself."""
        path = cls.beside(path)
        if not path.is_file():
            raise FileNotFoundError(f"there is no file {path}")
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            needed = {key: record[key] for key in ("size", "mean", "std")}
            return cls(**record | needed)
        except (TypeError, ValueError, KeyError) as error:
            known = ", ".join(field.name for field in fields(cls))
            words = (
                f"must hold the inputs of a network ({known}); {path} does not ({error})"
            )
            raise ArgumentError("path", words) from error

    @staticmethod
    def beside(path: str | Path) -> Path:
        """Where the inputs of a checkpoint are kept; a ``.json`` path stays.

        Example:
            >>> Inputs.beside("nets/my_net.pt")
            PosixPath('nets/my_net.inputs.json')
        """
        path = Path(path).expanduser()
        if path.suffix == ".json":
            return path
        stem = path.stem if path.suffix.lower() in CHECKPOINTS else path.name
        return path.with_name(stem + ENDING)


def _row(name: str, values) -> tuple[float, ...]:
    """One or more finite numbers."""
    values = values.tolist() if hasattr(values, "tolist") else values
    if not isinstance(values, (tuple, list)) or not values:
        words = f"must be one number per channel, got {described(values)}"
        raise ArgumentError(name, words)
    return numbers(name, values, len(values))


# -- which inputs a network has --------------------------------------------------------

_told: WeakSet[nn.Module] = WeakSet()  # networks of which it has been said what is assumed


def own_inputs(model: nn.Module) -> Inputs | None:
    """What a network says of its own inputs, ``model.inputs``; None if it says nothing."""
    for network in (model, getattr(model, "module", None)):  # such as DataParallel's
        if isinstance(found := getattr(network, "inputs", None), Inputs):
            return found
    return None


def inputs_for(model: nn.Module, inputs: Inputs | None = None, **changes) -> Inputs:
    """The `inputs`, or else the network's own, or else ImageNet's; with some `changes`.

    Where ImageNet's size and statistics are assumed for want of a word, a warning says so,
    once for each network. Changes are keywords of `Inputs`; None changes nothing.

    Example:
        >>> inputs_for(load_model(), size=128).sides
        (128, 128)
    """
    if not isinstance(model, nn.Module):
        raise ArgumentError("model", f"must be a torch.nn.Module, got {described(model)}")
    if not isinstance(inputs, Inputs | None):
        raise ArgumentError("inputs", f"must be an Inputs, got {described(inputs)}")
    known = own_inputs(model) if inputs is None else inputs
    found = (known or Inputs()).but(**changes)
    words = {"size": "size 224", "mean": "ImageNet's mean", "std": "ImageNet's std"}
    assumed = [text for key, text in words.items() if changes.get(key) is None]
    if known is None and assumed and model not in _told:
        _told.add(model)
        name = type(model).__name__
        warn(
            f"{name} does not say how its pictures are prepared; assumed: "
            f"{', '.join(assumed)}. Pass inputs=Inputs(size, mean, std, names=…), or set "
            "model.inputs"
        )
    return found
