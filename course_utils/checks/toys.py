"""Toy networks, toy pictures and wrong goals for the checks: the same every time."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def noise(*shape: int, seed: int = 0) -> Tensor:
    """Normally distributed values of the given shape."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def tiny_batch(count: int, seed: int = 0, size=(8, 8)) -> tuple[Tensor, Tensor]:
    """Random pictures (count, 3, *size) and their classes (count,), 0 to 5."""
    random = torch.Generator().manual_seed(seed + count)
    images = torch.randn(count, 3, *size, generator=random)
    return images, torch.randint(0, 6, (count,), generator=random)


def picked(scores: Tensor, labels: Tensor) -> Tensor:
    """scores[n, labels[n]] for every row n."""
    return scores[torch.arange(len(labels)), labels]


def wrong_goals(labels: Tensor, result: Callable) -> dict:
    """Sentence → `result(goal)`; goal: (N, C) → (N,), what one takes for class scores."""
    goals = {
        "You use the softmax probability: softmax mixes the classes. Use the score before "
        "softmax.": lambda s: picked(s.softmax(1), labels),
        "You use logarithms: the log-probability, or cross-entropy loss. Use the score "
        "itself.": lambda s: picked(s.log_softmax(1), labels),
        "You use the sum of all classes; pick the score of one.": lambda s: s.sum(1),
    }
    return {sentence: result(goal) for sentence, goal in goals.items()}


def other_classes(model: nn.Module, images: Tensor, target: int, result: Callable) -> dict:
    """Sentence → `result(c)`, for each class c of `model` that is not `target`."""
    with torch.no_grad():
        scores = model(images)
    top = scores[0].argmax().item()
    sentences = {
        c: f"You use class {c} whatever `target` is." for c in range(scores.shape[1])
    }
    sentences[top] = f"That is for the top class, here {top}: take `target`."
    return {text: result(c) for c, text in sentences.items() if c != target}


def tiny_network(seed: int = 0) -> nn.Module:
    """A random classifier, (N, 3, H, W) → (N, 6): batch norm and dropout show its mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        first = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(3)
        return nn.Sequential(*first, nn.Flatten(), nn.Dropout(), nn.Linear(72, 6)).eval()


class ReLUNetwork(nn.Module):
    """(N, 3, 8, 8) → (N, 4) through one activation, used twice, of a given kind."""

    KINDS = {
        "modules that work in place": lambda: nn.ReLU(inplace=True),
        "F.relu": lambda: F.relu,
        "F.relu(inplace=True)": lambda: lambda x: F.relu(x, inplace=True),
        "torch.relu": lambda: torch.relu,
        "the method x.relu()": lambda: lambda x: x.relu(),
        "GELU, no ReLU at all": lambda: F.gelu,
    }

    def __init__(self, kind: str):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            self.conv1, self.conv2 = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3)
            self.fc = nn.Linear(8, 4)
        self.relu = self.KINDS[kind]()
        self.eval().requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        """From (N, 3, 8, 8) to scores (N, 4)."""
        x = self.relu(self.conv1(x))
        return self.fc(self.relu(self.conv2(x)).mean((2, 3)))
