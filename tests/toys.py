"""Toy networks whose maps can be computed by hand, and what a map must leave alone."""

import random

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

# Networks that lead by other ways: residual, dense, separable, plain.
NETWORKS = ["resnet18", "densenet121", "mobilenet_v2", "vgg11", "alexnet"]


class Linear(nn.Module):
    """score = w · x + b: the gradient is w, whatever the picture."""

    def __init__(self, weight, bias=0.0):
        super().__init__()
        self.weight = nn.Parameter(torch.as_tensor(weight).float())  # (classes, 3, H, W)
        self.bias = nn.Parameter(torch.full((len(self.weight),), bias))

    def forward(self, x):
        return torch.einsum("nchw,kchw->nk", x, self.weight) + self.bias


class Square(nn.Module):
    """score = Σ w·x²: its gradient is 2·w·x."""

    def __init__(self, weight):
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, x):
        return torch.einsum("nchw,kchw->nk", x**2, self.weight)


class OneReLU(nn.Module):
    """score = v · relu(x): all that the three rules differ by, pixel by pixel."""

    def __init__(self, v):
        super().__init__()
        self.v = nn.Parameter(torch.as_tensor(v).float())
        self.relu = nn.ReLU()

    def forward(self, x):
        return (self.v * self.relu(x)).sum((1, 2, 3))[:, None]


class TwoLayers(nn.Module):
    """Two hidden neurons on two pixels: hidden = relu(A x), scores = relu(B hidden)."""

    A = torch.tensor([[1.0, -2.0], [3.0, 1.0]])
    B = torch.tensor([[2.0, -1.0], [-1.0, 1.0]])

    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)
        self.fc1.weight.data, self.fc2.weight.data = self.A.clone(), self.B.clone()
        self.relu = nn.ReLU(inplace=True)  # one module, used twice, in place

    def forward(self, x):
        return self.relu(self.fc2(self.relu(self.fc1(x.flatten(1)))))


class Written(nn.Module):
    """A ReLU between two convolutions, written in one of the ways Python allows."""

    WAYS = {
        "module": nn.ReLU(),
        "module, in place": nn.ReLU(inplace=True),
        "F.relu": F.relu,
        "F.relu, in place": lambda x: F.relu(x, inplace=True),
        "F.relu by keyword": lambda x: F.relu(input=x),
        "F.relu_": F.relu_,
        "torch.relu": torch.relu,
        "torch.relu_": torch.relu_,
        "method": lambda x: x.relu(),
        "method, in place": lambda x: x.relu_(),
        "in place, result unused": lambda x: (x.relu_(), x)[1],
    }
    WAYS_6 = {
        "ReLU6": nn.ReLU6(),
        "ReLU6, in place": nn.ReLU6(inplace=True),
        "F.relu6": F.relu6,
        "F.hardtanh": lambda x: F.hardtanh(x, 0.0, 6.0),
        "F.hardtanh_": lambda x: F.hardtanh_(x, 0.0, 6.0),
    }

    def __init__(self, relu):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(1)
            self.conv = nn.Conv2d(3, 8, 3)
            self.conv2 = nn.Conv2d(8, 5, 3)
        self.relu = relu

    def forward(self, x):
        return self.conv2(self.relu(10 * self.conv(x))).mean((2, 3))


class Busy(nn.Module):
    """Everything a careless method could disturb: batch norm, dropout, in-place ReLU.

    `trouble` is raised in the midst of the forward pass.
    """

    def __init__(self, trouble=None):
        super().__init__()
        self.trouble = trouble
        with torch.random.fork_rng():
            torch.manual_seed(2)
            self.conv = nn.Conv2d(3, 6, 3)
            self.norm = nn.BatchNorm2d(6)
            self.norm.running_mean.normal_()
            self.relu = nn.ReLU(inplace=True)
            self.drop = nn.Dropout(0.5)
            self.fc = nn.Linear(6, 4)

    def forward(self, x):
        x = self.relu(self.norm(self.conv(x)))
        if self.trouble is not None:
            raise self.trouble
        return self.fc(self.drop(x.mean((2, 3))))


class Constant(nn.Module):
    """Gives the same whatever the picture: a tensor, or any object."""

    def __init__(self, outputs):
        super().__init__()
        self.outputs = outputs

    def forward(self, x):
        return self.outputs


def batch(count=2, size=8, seed=0):
    """Normally distributed pictures, made without touching the global generator."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 3, size, size, generator=generator)


def relative_error(map_, right):
    """The largest deviation, as a share of the largest value."""
    return ((map_ - right).abs().max() / right.abs().max()).item()


HOOKS = [
    name for name in vars(nn.Module()) if name.endswith(("_hooks", "_hooks_with_kwargs"))
]


def state(model, images=None):
    """All that computing a map must leave alone, in a form that `==` compares."""

    def values(tensor):
        if tensor is None:
            return None
        flat = tensor.detach().contiguous().flatten()  # NumPy knows no bfloat16
        return flat.view(torch.uint8).numpy().tobytes()

    return {
        "flags": {
            path: (m.training, getattr(m, "inplace", None))
            for path, m in model.named_modules()
        },
        "hooks": {
            (path, kind): list(getattr(m, kind).items())
            for path, m in model.named_modules()
            for kind in HOOKS
        },
        "parameters": {
            path: (
                id(p),
                p.requires_grad,
                p._version,
                values(p),
                id(p.grad),
                values(p.grad),
            )
            for path, p in model.named_parameters()
        },
        "buffers": {path: (id(b), values(b)) for path, b in model.named_buffers()},
        "modes": (
            torch.is_grad_enabled(),
            torch.is_inference_mode_enabled(),
            torch._C._len_torch_function_stack(),
        ),
        "generators": (
            values(torch.get_rng_state()),
            random.getstate(),
            np.random.get_state()[1].tobytes(),
        ),
        "images": isinstance(images, torch.Tensor)
        and (
            values(images),
            images.requires_grad,
            images.is_leaf and values(images.grad),
            None if images.is_inference() else images._version,
        ),
    }


class Told:
    """A `progress` that notes what it is told, and says stop at its call number `last`."""

    def __init__(self, last=None):
        self.last, self.calls, self.so_far = last, [], []

    def __call__(self, done, total, so_far):
        self.calls.append((done, total))
        self.so_far.append(so_far)
        return len(self.calls) != self.last
