"""Networks as people bring them: each method gives the right map of each, or says why not.

A situation is a network, images and a target. Every method's result is compared with an
independent reference, a few lines of plain PyTorch that ask a copy of the network about one
image at a time: autograd, a hook for Grad-CAM, one window after the other for occlusion.
`refused` names the methods that cannot answer, with the words that say so.
"""

import copy
import re
import warnings
from collections import OrderedDict, namedtuple
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
import toys
from network_matrix import ruled_gradient
from scipy.special import roots_legendre
from torch import nn

from course_utils import (
    Unit,
    deconvnet,
    deletion_insertion,
    grad_cam,
    guided_backprop,
    input_gradient,
    integrated_gradients,
    occlusion,
    smooth_grad,
    target_scores,
    vanilla_saliency,
)

CLASSES = 4


def seeded(make, seed=0):
    """A module whose weights are the same at every call."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()


def sequential(*first, channels=3, after=None, width=6):
    """A small convolutional network that begins with the modules `first`."""
    return seeded(
        lambda: nn.Sequential(
            *copy.deepcopy(first),
            nn.Conv2d(channels, width, 3, padding=1),
            *copy.deepcopy(after or (nn.ReLU(),)),
            nn.Conv2d(width, 5, 3, stride=2),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(5, CLASSES),
        )
    )


class Net(nn.Module):
    """Two convolutions and a head; `enter` sees the images, `leave` the scores."""

    def __init__(self, enter=None, leave=None, channels=3, relu=F.relu):
        super().__init__()
        self.enter, self.leave, self.relu = enter, leave, relu
        self.conv1 = nn.Conv2d(channels, 6, 3, padding=1)
        self.conv2 = nn.Conv2d(6, 5, 3, stride=2)
        self.fc = nn.Linear(5, CLASSES)

    def forward(self, x):
        x = x if self.enter is None else self.enter(x)
        x = self.relu(self.conv2(self.relu(self.conv1(x))))
        scores = self.fc(x.mean((2, 3)))
        return scores if self.leave is None else self.leave(scores)


def net(enter=None, leave=None, **how):
    """`Net`, as a function that makes it."""
    return lambda: seeded(lambda: Net(enter, leave, **how))


def minus_then_over(x):
    x.sub_(0.3).div_(0.5)
    return x


def painted(x):
    x[:, :, :2] = 0
    return x


def added(x):
    x += 1.5
    return x


class HookedNet(Net):
    """Its images are changed in place by a hook of its own."""

    @staticmethod
    def halve(module, inputs):
        inputs[0].mul_(0.5)

    def __init__(self):
        super().__init__()
        self.conv1.register_forward_pre_hook(self.halve)


# -- outputs of many forms ---------------------------------------------------------------

Pair = namedtuple("Pair", "logits aux")
FORMS = {
    "dict": (lambda s: {"logits": s, "aux": 2 * s}, lambda o: o["logits"][:, 1]),
    "ordered dict": (lambda s: OrderedDict(out=s), lambda o: o["out"][:, 1]),
    "nested dict": (lambda s: {"head": {"cls": s}}, lambda o: o["head"]["cls"][:, 1]),
    "tuple": (lambda s: (s, 2 * s), lambda o: o[0][:, 1]),
    "list": (lambda s: [2 * s, s], lambda o: o[1][:, 1]),
    "named tuple": (lambda s: Pair(s, None), lambda o: o.logits[:, 1]),
    "object": (lambda s: SimpleNamespace(logits=s), lambda o: o.logits[:, 1]),
    "one number": (lambda s: s[:, 1], lambda o: o),
    "a map of scores": (
        lambda s: s[..., None, None].expand(-1, -1, 3, 2),
        lambda o: o[:, 1, 0, 0],
    ),
    "a column": (lambda s: s[:, 1:2], 0),
    "softmax": (lambda s: s.softmax(1), 1),
    "log-softmax": (lambda s: s.log_softmax(1), 1),
    "sigmoids": (lambda s: s.sigmoid(), 1),
}

# -- layers of many kinds ----------------------------------------------------------------


class Attention(nn.Module):
    """Tokens of 4×4 pixels, a block of attention, and a class token or the mean."""

    def __init__(self, extra=1, last=False, depth=2, patch=(4, 4)):
        super().__init__()
        self.extra, self.last = extra, last
        self.cut = nn.Conv2d(3, 8, patch, patch)
        self.token = nn.Parameter(torch.randn(1, max(extra, 1), 8))
        self.blocks = nn.ModuleList(Block() for _ in range(depth))
        self.norm, self.fc = nn.LayerNorm(8), nn.Linear(8, CLASSES)

    def forward(self, x):
        x = self.cut(x).flatten(2).transpose(1, 2)
        if self.extra:
            token = self.token.expand(len(x), -1, -1)
            x = torch.cat([x, token] if self.last else [token, x], 1)
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        first = x[:, -self.extra if self.last else 0]
        return self.fc(first if self.extra else x.mean(1))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(8), nn.LayerNorm(8)
        self.qkv, self.out, self.mlp = nn.Linear(8, 24), nn.Linear(8, 8), nn.Linear(8, 8)
        self.weights = nn.Softmax(dim=-1)

    def forward(self, x):
        q, k, v = self.qkv(self.norm1(x)).unflatten(2, (3, 2, 4)).permute(2, 0, 3, 1, 4)
        mixed = self.weights(q @ k.transpose(2, 3) / 2) @ v
        x = x + self.out(mixed.transpose(1, 2).flatten(2))
        return x + F.gelu(self.mlp(self.norm2(x)))


class Heads(nn.Module):
    """Its last 4-D output is one of attention heads: (N, heads, tokens, features)."""

    def __init__(self):
        super().__init__()
        self.cut, self.norm, self.fc = (
            nn.Conv2d(3, 12, 4, 4),
            nn.LayerNorm(4),
            nn.Linear(12, CLASSES),
        )

    def forward(self, x):
        x = self.cut(x).flatten(2).transpose(1, 2)
        heads = self.norm(x.unflatten(2, (3, 4)).transpose(1, 2))
        return self.fc(heads.transpose(1, 2).flatten(2).mean(1))


class ChannelsLast(nn.Module):
    """As Swin and ConvNeXt: (N, rows, columns, channels) from its second layer on."""

    def __init__(self):
        super().__init__()
        self.cut, self.norm = nn.Conv2d(3, 8, 2, 2), nn.LayerNorm(8)
        self.mix, self.fc = nn.Linear(8, 8), nn.Linear(8, CLASSES)

    def forward(self, x):
        x = self.norm(self.cut(x).permute(0, 2, 3, 1))
        return self.fc(F.relu(self.mix(x)).mean((1, 2)))


class Recurrent(nn.Module):
    """Reads the rows of its picture one after the other."""

    def __init__(self):
        super().__init__()
        self.conv, self.lstm = (
            nn.Conv2d(3, 2, 3, padding=1),
            nn.LSTM(16, 7, batch_first=True),
        )
        self.fc = nn.Linear(7, CLASSES)

    def forward(self, x):
        rows = F.relu(self.conv(x)).permute(0, 2, 1, 3).flatten(2)
        return self.fc(self.lstm(rows)[0][:, -1])


class Twice(nn.Module):
    """Uses one convolution and one ReLU, in place, twice."""

    def __init__(self):
        super().__init__()
        self.conv, self.relu = nn.Conv2d(3, 3, 3, padding=1), nn.ReLU(inplace=True)
        self.fc = nn.Linear(3, CLASSES)

    def forward(self, x):
        x = self.relu(self.conv(x))
        return self.fc(self.relu(self.conv(x)).mean((2, 3)))


class Frozen(nn.Module):
    """A backbone without gradients, and a trainable head."""

    def __init__(self):
        super().__init__()
        self.back, self.head = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 5, 3)
        self.fc = nn.Linear(5, CLASSES)

    def forward(self, x):
        with torch.no_grad():
            x = F.relu(self.back(x))
        return self.fc(F.relu(self.head(x)).mean((2, 3)))


class TwoInputs(Net):
    def forward(self, x, mask):
        return super().forward(x) * mask


class OneMore(Net):
    def forward(self, x, scale=2.0):
        return super().forward(x) * scale


class Checkpointed(Net):
    def forward(self, x):
        from torch.utils.checkpoint import checkpoint

        x = checkpoint(lambda y: F.relu(self.conv1(y)), x, use_reentrant=False)
        return self.fc(F.relu(self.conv2(x)).mean((2, 3)))


class Waves(Net):
    def forward(self, x):
        return super().forward(torch.fft.fft2(x).abs() / 10)


class Careless(Net):
    """Leaves gradients, buffers and flags of its own at every pass."""

    def __init__(self):
        super().__init__()
        self.passes = 0

    def forward(self, x):
        self.passes += 1
        return super().forward(x)


def compiled(make):
    return lambda: torch.compile(make(), backend="eager")


def compiled_inside():
    model = net()()
    model.conv1 = torch.compile(model.conv1, backend="eager")
    return model


def normed(kind):
    def make():
        model = net()()
        model.conv1 = seeded(lambda: kind(model.conv1))
        return model

    return make


def overridden():
    model = net()()
    plain = model.conv1.forward
    model.conv1.forward = lambda x: 2 * plain(x)
    return model


def scaled_by_a_hook():
    model = sequential()
    model[0].register_forward_hook(lambda module, inputs, output: 2 * output)
    return model


def batch_statistics():
    norm = nn.BatchNorm2d(6, track_running_stats=False)
    return sequential(after=(norm, nn.ReLU()))


def parameterless():
    class Plain(nn.Module):
        def forward(self, x):
            return torch.stack([x.mean((1, 2, 3)), F.relu(x)[..., :4].sum((1, 2, 3))], 1)

    return Plain()


def mixed_types():
    model = net()()

    model.fc.double()

    def forward(x):
        x = F.relu(model.conv2(F.relu(model.conv1(x))))
        return model.fc(x.mean((2, 3)).double())

    model.forward = forward
    return model


# -- the table ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Situation:
    make: Callable[[], nn.Module]
    target: object = 1
    shape: tuple = (2, 3, 12, 8)
    layer: str | None = "conv2"  # at which Grad-CAM must look, and how it is laid out:
    arrange: Callable = staticmethod(lambda maps: maps)
    refused: dict = field(default_factory=dict)  # method → words
    dtype: torch.dtype = torch.float32
    within: float = 1e-4
    images: Callable = staticmethod(lambda x: x)
    said: str = ""  # by each warning that may be seen


NO_RELU = dict.fromkeys(["guided", "deconvnet"], "model must have a ReLU")
NO_GRADIENT = ["vanilla", "gradient", "guided", "deconvnet", "smooth", "integrated"]
EVERYTHING = [*NO_GRADIENT, "grad_cam", "occlusion", "deletion", "score"]
CUT = dict.fromkeys(NO_GRADIENT, "the graph is cut")


def grid(rows, columns, first=0):
    """Tokens as a map."""
    return lambda t: (
        t[:, first : first + rows * columns].transpose(1, 2).unflatten(2, (rows, -1))
    )


INPLACE = {
    "sub_ and div_": (net(minus_then_over), "conv2"),
    "+=": (net(added), "conv2"),
    "a part is painted over": (net(painted), "conv2"),
    "clamp_": (net(lambda x: x.clamp_(-0.5, 0.5)), "conv2"),
    "relu_": (net(lambda x: F.relu(x, inplace=True)), "conv2"),
    "a view is changed": (net(lambda x: (x.flatten(1).mul_(2), x)[1]), "conv2"),
    "a hook works in place": (lambda: seeded(HookedNet), "conv2"),
    "ELU": (lambda: sequential(nn.ELU(inplace=True)), "4"),
    "ReLU": (lambda: sequential(nn.ReLU(inplace=True)), "4"),
    "leaky ReLU": (lambda: sequential(nn.LeakyReLU(inplace=True)), "4"),
    "hardtanh": (lambda: sequential(nn.Hardtanh(0, 2, inplace=True)), "4"),
    "SiLU behind an identity": (
        lambda: sequential(nn.Identity(), nn.SiLU(inplace=True)),
        "5",
    ),
    "dropout": (lambda: sequential(nn.Dropout(inplace=True)), "4"),
    "threshold": (lambda: sequential(nn.Threshold(0.1, 0.2, inplace=True)), "4"),
    "inner layers, too": (
        *(lambda: sequential(nn.CELU(inplace=True), after=(nn.ReLU(inplace=True),)), "4"),
    ),
}
MIXED = "keep their plain derivative"
SITUATIONS = {
    **{
        f"in place: {name}": Situation(make, layer=layer, said=MIXED)
        for name, (make, layer) in INPLACE.items()
    },
    **{
        f"returns {name}": Situation(net(leave=leave), target)
        for name, (leave, target) in FORMS.items()
    },
    "grey": Situation(net(channels=1), shape=(2, 1, 12, 8)),
    "two channels": Situation(net(channels=2), shape=(2, 2, 12, 8)),
    "eleven channels": Situation(net(channels=11), shape=(2, 11, 12, 8)),
    "a wide ribbon": Situation(net(), shape=(2, 3, 5, 40)),
    "five images, five classes": Situation(net(), [0, 1, 2, 3, 0], shape=(5, 3, 9, 9)),
    "more images than one pass takes": Situation(
        *(lambda: sequential(), None, (11, 3, 224, 160), "3"),
        refused=dict.fromkeys(["smooth", "integrated", "occlusion", "deletion"], None),
    ),
    "double precision": Situation(net(), dtype=torch.float64, within=1e-9),
    "half precision": Situation(net(), dtype=torch.float16, within=0.02),
    "bfloat16": Situation(net(), dtype=torch.bfloat16, within=0.2),
    "a head in double precision": Situation(mixed_types),
    "a hidden unit": Situation(net(), Unit("conv2", 2), layer="conv2"),
    "a unit at its place": Situation(net(), Unit("conv1", 2, (3, 4)), layer="conv1"),
    "a negative loss": Situation(
        net(), lambda o: -F.cross_entropy(o, torch.full((len(o),), 2), reduction="none")
    ),
    "a difference of scores": Situation(net(), lambda o: o[:, 1] - o[:, 2]),
    "unequal strides": Situation(
        lambda: seeded(
            lambda: nn.Sequential(
                nn.Conv2d(3, 8, (6, 1), (6, 1)),
                nn.ReLU(),
                nn.AdaptiveAvgPool2d(1),
                nn.Flatten(),
                nn.Linear(8, CLASSES),
            )
        ),
        layer="1",
    ),
    "attention heads": Situation(lambda: seeded(Heads), layer="cut", refused=NO_RELU),
    "a class token": Situation(
        *(lambda: seeded(Attention), 1, (2, 3, 16, 12), "blocks.1.norm1", grid(4, 3, 1)),
        refused=NO_RELU,
    ),
    "a class token at the end": Situation(
        *(lambda: seeded(lambda: Attention(last=True)), 1, (2, 3, 16, 12)),
        *("blocks.1.norm1", grid(4, 3)),
        refused=NO_RELU,
    ),
    "registers": Situation(
        *(lambda: seeded(lambda: Attention(extra=5)), 1, (2, 3, 16, 16)),
        *("blocks.1.norm1", grid(4, 4, 5)),
        refused=NO_RELU,
    ),
    "patches that are no squares": Situation(
        *(lambda: seeded(lambda: Attention(extra=0, patch=(4, 1))), 1, (2, 3, 16, 16)),
        *("norm", grid(4, 16)),
        refused=NO_RELU,
    ),
    "mirrored by an index": Situation(
        net(lambda x: x[:, :, :, torch.arange(x.shape[3] - 1, -1, -1)]),
        refused={"grad_cam": "layer must give a map of more than one place"},
    ),
    "the mean of the tokens": Situation(
        *(
            lambda: seeded(lambda: Attention(extra=0)),
            1,
            (2, 3, 12, 16),
            "norm",
            grid(3, 4),
        ),
        refused=NO_RELU,
    ),
    "channels last": Situation(
        lambda: seeded(ChannelsLast),
        layer="mix",
        arrange=lambda maps: maps.permute(0, 3, 1, 2),
    ),
    "a recurrent head": Situation(lambda: seeded(Recurrent), layer="conv"),
    "a layer used twice": Situation(lambda: seeded(Twice), layer="relu"),
    "a backbone under no_grad": Situation(
        lambda: seeded(Frozen), layer="head", refused=CUT
    ),
    "frozen weights": Situation(lambda: net()().requires_grad_(False)),
    "two inputs": Situation(
        lambda: seeded(TwoInputs), refused=dict.fromkeys(EVERYTHING, "wrap it in a module")
    ),
    "a second input with a default": Situation(lambda: seeded(OneMore)),
    "gradient checkpointing": Situation(lambda: seeded(Checkpointed)),
    "waves on the way": Situation(
        lambda: seeded(Waves),
        refused={"grad_cam": "layer must give a map of more than one"},
    ),
    "counts its passes": Situation(lambda: seeded(Careless)),
    "compiled": Situation(compiled(net()), layer="_orig_mod.conv2"),
    "compiled, with hooks and ReLUs": Situation(
        compiled(lambda: sequential(nn.ReLU(inplace=True))), layer="_orig_mod.4"
    ),
    "compiled in part": Situation(compiled_inside),
    "DataParallel": Situation(lambda: nn.DataParallel(net()()), layer="module.conv2"),
    "traced": Situation(
        lambda: torch.jit.trace(net()().eval(), torch.zeros(1, 3, 12, 8)),
        refused=NO_RELU | {"grad_cam": "layer must give a map of more than one"},
    ),
    "weight norm": Situation(normed(nn.utils.parametrizations.weight_norm)),
    "spectral norm": Situation(normed(nn.utils.spectral_norm)),
    "a forward of its own": Situation(overridden),
    "scaled by a hook": Situation(scaled_by_a_hook, layer="3"),
    "batch statistics": Situation(batch_statistics, layer="4", refused={"score": None}),
    "without parameters": Situation(
        parameterless, refused={"grad_cam": "layer must give a map of more than one place"}
    ),
    "quiet in training mode": Situation(
        lambda: toys.Busy().train(), layer="relu", refused={"score": None}
    ),
    "images of channels last": Situation(
        net(), images=lambda x: x.contiguous(memory_format=torch.channels_last)
    ),
    "images that are views": Situation(net(), images=lambda x: x.flip(3)[..., :6].flip(3)),
    "expanded images": Situation(net(), images=lambda x: x[:1].expand(3, -1, -1, -1)),
    "images with gradients": Situation(net(), images=lambda x: x.requires_grad_()),
    "ReLU as maximum": Situation(net(relu=lambda x: torch.maximum(x, torch.zeros(())))),
    "ReLU as threshold": Situation(net(relu=lambda x: F.threshold(x, 0, 0))),
    "ReLU as clamp by a tensor": Situation(net(relu=lambda x: x.clamp(min=torch.zeros(1)))),
    "ReLU as an operator": Situation(net(relu=lambda x: torch.ops.aten.relu(x))),
    "GELU": Situation(net(relu=F.gelu), refused=NO_RELU),
    "ReLU and GELU": Situation(net(relu=lambda x: F.gelu(F.relu(x))), said=MIXED),
}
assert len(SITUATIONS) >= 60


# -- references: plain PyTorch, one image at a time --------------------------------------


def plain(situation, name=""):
    """A fresh copy of the network, in evaluation mode and not compiled."""
    model = situation.make().eval()
    if situation.dtype != torch.float32:
        model = model.to(situation.dtype)
    model = getattr(model, "_orig_mod", model)
    model = net()().eval() if name == "gradient checkpointing" else model
    if name.startswith("ReLU as"):
        model.relu = F.relu
    return model


def score(model, image, target):
    """The score of one image, by the definition of `targets`."""
    if not isinstance(target, Unit):
        outputs = model(image.clone())
        return target(outputs)[0] if callable(target) else outputs[0, target]
    seen, layer = [], model.get_submodule(target.layer)
    hook = layer.register_forward_hook(
        lambda m, i, out: seen.append(out[0, target.channel])
    )
    model(image.clone())
    hook.remove()
    return seen[0].mean() if target.position is None else seen[0][target.position]


def gradient(model, image, target):
    pixels = image.clone().requires_grad_()
    return torch.autograd.grad(score(model, pixels, target), pixels)[0]


class Scored(nn.Module):
    """Gives the one score as a column."""

    def __init__(self, model, target):
        super().__init__()
        self.model, self.target = model, target

    def forward(self, x):
        return score(self.model, x, self.target)[None, None]


def by_rule(rule):
    return lambda model, image, target: ruled_gradient(
        Scored(model, target), image, [0], rule
    )


def smoothed(model, image, target):
    random, total = torch.Generator().manual_seed(0), 0
    for _ in range(2):
        draw = torch.randn(image.shape[1:], generator=random).to(image)
        total = total + gradient(
            model, image + 0.1 * (image.max() - image.min()) * draw, target
        )
    return total / 2


def integrated(model, image, target):
    points, weights = roots_legendre(3)
    steps = [
        (((p + 1) / 2) ** 2, w * (p + 1) / 2) for p, w in zip(points, weights, strict=True)
    ]
    return image * sum(w * gradient(model, a * image, target) for a, w in steps)


def channels_weighed(situation):
    def cam(model, image, target):
        seen, path = [], situation.layer.removeprefix("_orig_mod.")

        def keep(module, inputs, out):
            seen.append(out if out.requires_grad else out.detach().requires_grad_())
            return seen[-1].clone()

        hook = model.get_submodule(path).register_forward_hook(keep)
        pixels = image.clone().requires_grad_()
        slopes = torch.autograd.grad(score(model, pixels, target), seen[-1:])[0]
        hook.remove()
        maps, slopes = situation.arrange(seen[-1].detach()), situation.arrange(slopes)
        coarse = (slopes.mean((2, 3), keepdim=True) * maps).sum(1, keepdim=True).relu()
        return F.interpolate(coarse, image.shape[2:], mode="bilinear")[0]

    return cam


@torch.no_grad()
def hidden(model, image, target):
    """The drop of the score with each window of 3×2, two apart."""
    whole, drops = score(model, image, target), []
    height, width = image.shape[2:]
    tops = sorted({*range(0, height - 2, 2), height - 3})
    for top in tops:
        for left in sorted({*range(0, width - 1, 2), width - 2}):
            other = image.clone()
            other[:, :, top : top + 3, left : left + 2] = 0
            drops.append(whole.double() - score(model, other, target).double())
    return torch.stack(drops).view(1, len(tops), -1)


IMPORTANCE = torch.linspace(0, 1, 4096)


def importance(image):
    rows, columns = image.shape[2:]
    return IMPORTANCE[: rows * columns].view(rows, columns)


@torch.no_grad()
def deleted(model, image, target):
    """The score with none, half and all of the pixels at the mean."""
    count, scores = importance(image).numel(), []
    for kept in (count, count - round(count / 2), 0):  # the last pixels go first
        mask = (torch.arange(count) < kept).view(image.shape[2:])
        scores.append(score(model, image * mask, target).double())
    return torch.stack(scores)[None]


def each(function):
    """Of the images, one after the other."""
    return lambda model, images, targets: torch.cat(
        [function(model, x[None], t) for x, t in zip(images, targets, strict=True)]
    )


METHODS = {
    "vanilla": (vanilla_saliency, lambda *a: gradient(*a).abs().amax(1)),
    "gradient": (input_gradient, gradient),
    "guided": (guided_backprop, by_rule("guided")),
    "deconvnet": (deconvnet, by_rule("deconvnet")),
    "smooth": (lambda *a: smooth_grad(*a, samples=2, noise=0.1), smoothed),
    "integrated": (lambda *a: integrated_gradients(*a, steps=3), integrated),
    "grad_cam": (grad_cam, None),
    "occlusion": (
        lambda m, x, t: occlusion(m, x[:1], t, (3, 2), 2).drops[None],
        hidden,
    ),
    "deletion": (
        lambda m, x, t: torch.as_tensor(
            deletion_insertion(m, x[:1], importance(x), t, 2, score="logit").deletion
        )[None],
        deleted,
    ),
    "score": (target_scores, lambda *a: score(*a)[None]),
}
ONE = ("occlusion", "deletion")  # take one image
SILENT = "is zero|no place of layer"  # warnings that say no more than the map shows


def asked_for(situation, model, images):
    """One target per image, for the reference."""
    if situation.target is None:
        return [int(model(x[None].clone()).argmax()) for x in images]
    target = situation.target
    return (target if isinstance(target, list) else [target] * len(images))[: len(images)]


def images_of(situation):
    random = torch.Generator().manual_seed(3)
    return situation.images(
        torch.randn(situation.shape, generator=random).to(situation.dtype)
    )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", SITUATIONS)
def test_a_method_gives_the_right_map_or_says_why_not(name, method):
    situation, (ours, theirs) = SITUATIONS[name], METHODS[method]
    theirs = channels_weighed(situation) if theirs is None else theirs
    model, images = situation.make(), images_of(situation)
    if situation.dtype != torch.float32:
        model = model.to(situation.dtype)
    model = model if name.startswith("quiet") else model.eval()
    words = situation.refused.get(method, "")
    if words is None:
        pytest.skip("the reference takes too long, or asks another question")
    target = situation.target
    if method in ONE and isinstance(target, list):
        target = target[0]
    before = None if name == "traced" else toys.state(model, images)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if words:
            with pytest.raises((ValueError, RuntimeError), match=words):
                ours(model, images, target)
        else:
            found = ours(model, images, target).detach()
    for warning in caught:
        if warning.category is UserWarning:
            said = str(warning.message)
            assert re.search(f"{SILENT}|{situation.said or SILENT}", said), said
    assert before is None or toys.state(model, images) == before
    if not words:
        network, images = plain(situation, name), images.detach().clone()
        images = images[:1] if method in ONE else images
        right = each(theirs)(network, images, asked_for(situation, network, images))
        assert found.shape == right.shape
        assert (right.detach() != 0).any()
        assert (
            toys.relative_error(found.double(), right.detach().double()) < situation.within
        )


@pytest.mark.parametrize("name", FORMS)
def test_other_outputs_are_refused_without_a_function_that_the_sentence_shows(name):
    leave, target = FORMS[name]
    if not callable(target):
        return
    model, images = net(leave=leave)(), toys.batch(2, 12)
    for method in (vanilla_saliency, grad_cam, lambda m, x: occlusion(m, x[:1], window=4)):
        with pytest.raises(
            ValueError, match="model must return .* such as targets=lambda"
        ) as error:
            method(model, images)
    shown = re.search("such as targets=(lambda .*)", str(error.value)).group(1)
    if name != "nested dict":  # nobody knows what is inside
        assert eval(shown)(model.eval()(images)).shape == (2,)
