"""Every method on every family of torchvision's classifiers: right, or refused.

    python tools/network_matrix.py                 # the whole table, as Markdown
    python tools/network_matrix.py resnet18 vit    # networks whose names begin so

Each cell is computed: the method's result on a network with random weights is compared
with an independent reference, written here in a few lines of plain PyTorch. A wrong result
ends the run, and so does an unexpected refusal. ``docs/networks.md`` keeps the table, and
``tests/unit/test_matrix.py`` keeps it true.

The networks are torchvision's own, on small images, so that the whole run takes a minute.
The random weights are re-initialised first: batch norm learns its statistics from one
batch, and weights that begin at zero (the head of a vision transformer, ConvNeXt's layer
scale) get values. Otherwise many gradients would vanish, and any map would be right. Most
networks run in double precision, where rounding flips no ReLU.
"""

import sys
import warnings
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from unittest import mock

import torch
import torch.nn.functional as F
from scipy.special import roots_legendre
from torch import Tensor, nn
from torchvision import models

from course_utils import (
    deconvnet,
    grad_cam,
    guided_backprop,
    input_gradient,
    integrated_gradients,
    layer_gradient,
    occlusion,
    smooth_grad,
    vanilla_saliency,
    visualize_class,
)
from course_utils.class_visualization import valid_range
from course_utils.inputs import Inputs
from course_utils.models import friendly_layers
from course_utils.relu_rules import relu_rule

PAGE = Path(__file__).resolve().parent.parent / "docs" / "networks.md"
TARGETS = (3, 5)

# name → the image's side, and arguments of the builder where the size is fixed.
NETWORKS = {
    "alexnet": (64, {}),
    "vgg11_bn": (32, {}),
    "squeezenet1_0": (64, {}),
    "squeezenet1_1": (64, {}),
    "resnet18": (64, {}),
    "resnet50": (48, {}),
    "resnext50_32x4d": (48, {}),
    "wide_resnet50_2": (48, {}),
    "densenet121": (64, {}),
    "googlenet": (64, {"init_weights": False}),
    "inception_v3": (96, {"init_weights": False}),
    "mobilenet_v2": (64, {}),
    "mobilenet_v3_small": (64, {}),
    "mobilenet_v3_large": (64, {}),
    "mnasnet0_5": (64, {}),
    "shufflenet_v2_x0_5": (64, {}),
    "efficientnet_b0": (64, {}),
    "efficientnet_v2_s": (48, {}),
    "regnet_x_400mf": (64, {}),
    "regnet_y_400mf": (64, {}),
    "convnext_tiny": (48, {}),
    "vit_b_16": (64, {"image_size": 64}),
    "swin_t": (48, {}),
    "swin_v2_t": (96, {}),
    "maxvit_t": (224, {}),
}
# In single precision: networks of more than 60 million weights, or without ReLUs.
SINGLE = ("alexnet", "vgg11_bn", "convnext_tiny", "vit_b_16", "swin_t", "swin_v2_t")
SINGLE += ("maxvit_t",)


@dataclass(frozen=True, eq=False)
class Network:
    """A network whose gradients do not vanish, and its images."""

    name: str
    model: nn.Module
    images: Tensor
    relus: int
    middle: str

    @property
    def image(self) -> Tensor:
        """The first image, (1, 3, H, W)."""
        return self.images[:1]


@cache
def network(name: str) -> Network:
    """The network `name` with random weights, the same at every call."""
    size, arguments = NETWORKS[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = models.get_model(name, weights=None, **arguments).eval()
        model.requires_grad_(False)
        reinitialise(model, torch.randn(4, 3, size, size))
        images = torch.randn(2, 3, size, size)
    if name not in SINGLE:
        model, images = model.double(), images.double()
    with relu_rule("guided") as relus:
        model(images[:1].clone().requires_grad_())
    convolutions = [k for k in friendly_layers(model) if k.startswith("conv")]
    middle = convolutions[len(convolutions) // 2]
    return Network(name, model, images, relus.met, middle)


@torch.no_grad()
def reinitialise(model: nn.Module, images: Tensor) -> None:
    """Give values to weights that begin at zero, and statistics to batch norm."""
    if isinstance(model, models.SqueezeNet):
        model.classifier[1].bias.fill_(0.5)  # its scores pass a ReLU
    for name, parameter in model.named_parameters():
        if name.endswith("layer_scale"):
            parameter.fill_(0.5)
        elif name.endswith("weight") and not parameter.any():
            parameter.normal_(std=0.05)
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.train().momentum = 1.0  # only this batch counts
    model(images)
    for norm in norms:
        norm.eval()


# -- references ------------------------------------------------------------------------


def score_and_gradient(model: nn.Module, image: Tensor, target: int):
    """For one image, by plain autograd."""
    pixels = image.clone().requires_grad_()
    score = model(pixels)[0, target]
    score.backward()
    return score.item(), pixels.grad


@cache
def plain_gradients(net: Network) -> Tensor:
    """For the network's images, one by one."""
    each = zip(net.images.split(1), TARGETS, strict=True)
    return torch.cat([score_and_gradient(net.model, *one)[1] for one in each])


def ruled_gradient(model: nn.Module, images: Tensor, targets, rule: str) -> Tensor:
    """The rules by a hook on each ReLU's output, with PyTorch's functions replaced."""

    def rectify(x, top=torch.inf):
        y = torch.where(x > 0, x, 0.0)
        y = torch.where(y < top, y, top) if top < torch.inf else y
        if rule == "deconvnet":  # straight through: the value of y, the slope of x
            y = x + (y - x).detach()
        if y.requires_grad:
            y.register_hook(lambda g: g.clamp(min=0))
        return y

    replaced = {
        (F, "relu"): lambda x, inplace=False: rectify(x),
        (torch, "relu"): rectify,
        (F, "relu6"): lambda x, inplace=False: rectify(x, 6.0),
        (F, "hardtanh"): lambda x, low, high, inplace=False: rectify(x, high),
    }
    pixels = images.clone().requires_grad_()
    with ExitStack() as stack:
        for (home, name), function in replaced.items():
            stack.enter_context(mock.patch.object(home, name, function))
        scores = model(pixels)[range(len(images)), targets]
    return torch.autograd.grad(scores.sum(), pixels)[0]


@contextmanager
def nudged(layer: nn.Module):
    """Adds zeros to what `layer` gives: their gradient is the layer's."""
    seen = []

    def add(module, inputs, output):
        seen[:] = [output.clone(), torch.zeros_like(output).requires_grad_()]
        return output + seen[1]

    hook = layer.register_forward_hook(add)
    try:
        yield seen
    finally:
        hook.remove()


def layer_and_gradient(net: Network, path: str) -> tuple[Tensor, Tensor]:
    """What a layer gives for the first image, and the score's gradient at it."""
    with nudged(net.model.get_submodule(path)) as seen:
        score = net.model(net.image)[0, TARGETS[0]]
        return seen[0], torch.autograd.grad(score, seen[1])[0]


# Transformers with a class token: the last layer whose tokens of patches still matter.
TOKENS = {"vit_b_16": "encoder.layers.encoder_layer_11.ln_1"}


def as_map(net: Network, values: Tensor) -> Tensor:
    """(1, channels, rows, columns): tokens (1, 1 + rows · columns, channels) as a grid."""
    if values.ndim == 4:
        return values
    side = net.image.shape[-1] // 16
    return values[:, 1:].mT.unflatten(2, (side, side))


def last_map(net: Network) -> str:
    """The last layer that gives (N, channels, rows, columns) with more than one place."""
    if net.name in TOKENS:
        return TOKENS[net.name]
    found, hooks = [], []
    for path, module in net.model.named_modules():
        hooks.append(
            module.register_forward_hook(lambda m, i, o, p=path: found.append((p, o)))
        )
    with torch.no_grad():
        net.model(net.image)
    for hook in hooks:
        hook.remove()
    maps = [(p, o.shape) for p, o in found if isinstance(o, Tensor) and o.ndim == 4]
    return [path for path, shape in maps if shape[2] == shape[3] > 1][-1]


# -- one check per method: what it gives, and what is right ----------------------------


def vanilla(net):
    """Two images in one pass, against one by one."""
    got = vanilla_saliency(net.model, net.images, TARGETS)
    return got, plain_gradients(net).abs().amax(dim=1)


def gradient(net):
    """The same with its signs."""
    return input_gradient(net.model, net.images, TARGETS), plain_gradients(net)


def guided(net):
    """From here on only the first image."""
    got = guided_backprop(net.model, net.image, TARGETS[0])
    return got, ruled_gradient(net.model, net.image, TARGETS[:1], "guided")


def zeiler(net):
    """The deconvnet."""
    got = deconvnet(net.model, net.image, TARGETS[0])
    return got, ruled_gradient(net.model, net.image, TARGETS[:1], "deconvnet")


def layer(net):
    """The gradient at the convolution in the middle."""
    got = layer_gradient(net.model, net.image, TARGETS[0], net.middle)
    return got, layer_and_gradient(net, friendly_layers(net.model)[net.middle])[1]


def smooth(net):
    """Two noisy copies."""
    image = net.image
    got = smooth_grad(net.model, image, TARGETS[0], samples=2, noise=0.1, seed=7)
    random, total = torch.Generator().manual_seed(7), 0.0
    for _ in range(2):
        draw = torch.randn(image.shape[1:], generator=random).to(image)
        noisy = image + 0.1 * (image.max() - image.min()) * draw
        total = total + score_and_gradient(net.model, noisy, TARGETS[0])[1] / 2
    return got, total


def integrated(net):
    """The integral over the path α = u², by the Gauss–Legendre rule for u."""
    image, target = net.image, TARGETS[0]
    got = integrated_gradients(net.model, image, target, steps=2)
    right = torch.zeros_like(image)
    for x, weight in zip(*roots_legendre(2), strict=True):
        u = (x + 1) / 2
        slope = score_and_gradient(net.model, u**2 * image, target)[1]
        right += image * slope * u * weight
    return got, right


def cam(net):
    """Channels weighed by the mean of their gradients."""
    got = grad_cam(net.model, net.image, TARGETS[0])
    both = layer_and_gradient(net, last_map(net))
    channels, slopes = (as_map(net, values) for values in both)
    right = torch.einsum("nk,nkhw->nhw", slopes.mean(dim=(2, 3)), channels)
    if not (right > 0).any():
        return got, right.clamp(min=0)
    size = net.image.shape[-2:]
    return got, F.interpolate(right.clamp(min=0)[:, None], size, mode="bilinear")[:, 0]


def hide(net):
    """Two rows and two columns of windows that overlap, one at a time."""
    image, target, side = net.image, TARGETS[0], net.image.shape[-1]
    window, stride = 5 * side // 8, 3 * side // 8
    got = occlusion(net.model, image, target, window, stride)
    right = torch.zeros(2, 2, dtype=image.dtype)
    with torch.no_grad():
        whole = net.model(image)[0, target]
        for row, column in torch.cartesian_prod(*[torch.arange(2)] * 2).tolist():
            hidden = image.clone()
            top, left = stride * row, stride * column
            hidden[:, :, top : top + window, left : left + window] = 0
            right[row, column] = whole - net.model(hidden)[0, target]
    return got.drops, right


def climb(net):
    """Two steps along the gradient by hand: the image, and the score at each step."""
    target, size = TARGETS[0], net.image.shape[-1]
    options = {"parametrization": "pixel", "robust": False, "jitter": 0, "tv": 0}
    got = visualize_class(
        net.model, target, 2, l2=0.01, lr=3.0, seed=4, inputs=Inputs(size), **options
    )
    random, scores = torch.Generator().manual_seed(4), []
    pixels = torch.randn(1, 3, size, size, generator=random).to(net.image)
    low, high = (limit.to(net.image) for limit in valid_range())
    for _ in range(2):
        score, slope = score_and_gradient(net.model, pixels, target)
        uphill = slope - 0.02 * pixels
        pixels = (pixels + 3.0 * uphill / uphill.norm()).clamp(low, high)
        scores.append(score)
    history, largest = torch.tensor([got.history, scores]), max(map(abs, scores))
    history = 3 * history.to(pixels) / largest  # scores count as much as pixels
    both = zip((got.pixels, pixels), history, strict=True)
    return [torch.cat([values.flatten(), on_way]) for values, on_way in both]


METHODS = {
    "vanilla": vanilla,
    "gradient": gradient,
    "guided": guided,
    "deconvnet": zeiler,
    "layer": layer,
    "SmoothGrad": smooth,
    "IG": integrated,
    "Grad-CAM": cam,
    "occlusion": hide,
    "visualize": climb,
}
TOLERANCE = 1e-4  # as a share of the largest value

# What a cell may say besides a tick, by words of the sentence that course_utils gives.
NOTES = {
    "keep their plain derivative": "✓ ¹",
    "must have a ReLU on the way to this score": "refused ²",
}
HEAD = ("network", "side", "ReLUs", *METHODS, "Grad-CAM's layer")


def cell(net: Network, method: str) -> str:
    """What the table says about a method on a network.

    Raises:
        AssertionError: a result that is not the reference's.
    """
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            got, right = METHODS[method](net)
    except (TypeError, ValueError) as error:
        return noted(str(error), f"{net.name}, {method}: refused, {error}")
    assert got.shape == right.shape, f"{net.name}, {method}: {got.shape}, {right.shape}"
    off = (got - right).abs().max().item() / max(right.abs().max().item(), 1e-30)
    assert off < TOLERANCE, f"{net.name}, {method}: off by {off:.2g} of the largest value"
    said = [str(w.message) for w in caught if "gradient of image" not in str(w.message)]
    said = [words for words in said if "speaks for its class" not in words]
    return noted(said[0], f"{net.name}, {method}: {said[0]}") if said else "✓"


def noted(sentence: str, unknown: str) -> str:
    """The mark of an expected sentence."""
    marks = [mark for words, mark in NOTES.items() if words in sentence]
    assert marks, unknown
    return marks[0]


def row(name: str) -> str:
    """A network's line of the table."""
    net = network(name)
    cells = [cell(net, method) for method in METHODS]
    side, layer = net.images.shape[-1], last_map(net)
    return "| " + " | ".join([name, str(side), str(net.relus), *cells, f"`{layer}`"]) + " |"


def documented_rows() -> dict[str, str]:
    """Network → its line in ``docs/networks.md``."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    named = {line.split("|")[1].strip(): line for line in lines if line.startswith("| ")}
    return {name: line for name, line in named.items() if name not in ("network", "---")}


def main(starts: list[str]) -> None:
    """Print the table, also into a file on Windows, whose own letters have no ✓."""
    sys.stdout.reconfigure(encoding="utf-8")
    print("| " + " | ".join(HEAD) + " |")
    print("|" + " --- |" * len(HEAD))
    for name in NETWORKS:
        if not starts or name.startswith(tuple(starts)):
            print(row(name), flush=True)
            network.cache_clear()


if __name__ == "__main__":
    main(sys.argv[1:])
