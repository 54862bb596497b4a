"""Checks of lesson 05: the three rules, a guided map of any network, the class lost."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..gradients import deconvnet, guided_backprop, input_gradient, layer_gradient
from ..relu_rules import RULES
from .base import Wrong, call, check_tensor, compare, exercise


def pass_on_right(x: Tensor, g: Tensor, rule: str) -> Tensor:
    """What goes on backwards through a ReLU by `rule`."""
    g = g if rule == "deconvnet" else g * (x > 0)
    return g if rule == "vanilla" else g.clamp(min=0)


# -- exercise 1 ------------------------------------------------------------------------


@exercise("Exercise 1")
def pass_on(answer) -> str:
    """Check `answer(x, g, rule)`: what a ReLU passes back by each of the rules."""
    random = torch.Generator().manual_seed(0)
    for rule in RULES:
        x = torch.randint(-3, 4, (5, 6), generator=random).float()  # with zeros
        g = 2 * torch.randn(5, 6, generator=random)
        result = check_tensor(call(answer, x, g, rule), (5, 6))
        others = {
            f"For rule={rule!r} you pass on what the {other} rule does; look at `rule`.": (
                pass_on_right(x, g, other)
            )
            for other in RULES
            if other != rule
        }
        ones = pass_on_right(x, torch.ones_like(g), rule)
        mistakes = {
            **others,
            "That is the mask alone: multiply it by g.": ones,
            "At x = 0 nothing may pass: the condition is x > 0, not x >= 0.": (
                pass_on_right(x + 0.5, g, rule)
            ),
            "You give the forward result max(x, 0); the question is what goes back.": (
                x.clamp(min=0)
            ),
            "The size of g counts, not its absolute value: a negative g stays negative, "
            "or becomes 0.": pass_on_right(x, g.abs(), rule),
            "You multiply by x; the rule asks only whether x is positive.": (
                pass_on_right(x, g, rule) * x
            ),
        }
        compare(
            result,
            pass_on_right(x, g, rule),
            mistakes,
            f"The numbers for rule={rule!r} are not right: try your function on the 4×4 "
            "tables of section 1.",
        )
    return "Three rules, told apart by what came in and what comes back."


# -- exercise 2 ------------------------------------------------------------------------


class SmallNetwork(nn.Module):
    """(N, 3, 8, 8) → (N, 4) through two ReLUs, written in one of several ways."""

    WAYS = {
        "modules that work in place": lambda: nn.ReLU(inplace=True),
        "F.relu": lambda: F.relu,
        "F.relu(inplace=True)": lambda: lambda x: F.relu(x, inplace=True),
        "torch.relu": lambda: torch.relu,
        "the method x.relu()": lambda: lambda x: x.relu(),
        "GELU, no ReLU at all": lambda: F.gelu,
    }

    def __init__(self, way: str):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            self.conv1, self.conv2 = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3)
            self.fc = nn.Linear(8, 4)
        self.relu = self.WAYS[way]()  # one ReLU, used twice
        self.eval().requires_grad_(False)

    def forward(self, x):
        """From (N, 3, 8, 8) to scores (N, 4)."""
        x = self.relu(self.conv1(x))
        return self.fc(self.relu(self.conv2(x)).mean((2, 3)))


@exercise("Exercise 2")
def guided_map(answer) -> str:
    """Check `answer(network, images, target)`: guided maps (N, 3, H, W), any network."""
    images = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    *ways, without = SmallNetwork.WAYS
    for way in ways:
        try:
            _check_guided(answer, SmallNetwork(way), images, way)
        except Wrong as hint:
            place = f"On a network with {way}"
            text = str(hint)
            raise Wrong(text if place in text else f"{place}: {text}") from hint
    _check_refusal(answer, SmallNetwork(without), images)
    return f"Right for {', '.join(ways)}; and it says so where there is no ReLU."


def _check_guided(answer, network: nn.Module, images: Tensor, way: str) -> None:
    result = _call_and_restore(answer, network, images)
    _check_untouched(network)
    result = check_tensor(result, tuple(images.shape))
    plain = input_gradient(network, images, 2)
    right = guided_backprop(network, images, 2)
    every = guided_backprop(network, images, lambda scores: scores.sum(dim=1))
    share = guided_backprop(network, images, lambda scores: scores.softmax(dim=1)[:, 2])
    compare(
        result,
        right,
        {
            f"On a network with {way} your map is the plain gradient: its ReLUs were not "
            "met.": plain,
            "That is the deconvnet rule: it forgets which x were positive. Multiply by "
            "(x > 0) as well.": deconvnet(network, images, 2),
            "You take the negative numbers out of the finished gradient; the rule works "
            "at every ReLU on the way.": plain.clamp(min=0),
            "Right until the end, but then you drop the negative numbers: the first "
            "convolution has weights of both signs, keep what it gives.": (
                right.clamp(min=0)
            ),
            "The maps should keep their signs; leave abs() out.": right.abs(),
            "That is the map of the sum of all classes; pick the class `target`.": every,
            "That is the map of the probability; explain the score before softmax.": share,
        },
        f"On a network with {way} the values are not right: compare your rule with "
        "g · [x > 0] · [g > 0].",
    )


def _call_and_restore(answer, network: nn.Module, images: Tensor):
    """What the answer gives; PyTorch's own functions must be the same afterwards."""
    originals = (F.relu, torch.relu, Tensor.relu, nn.ReLU.forward)
    try:
        result = call(answer, network, images, 2)
        if originals != (F.relu, torch.relu, Tensor.relu, nn.ReLU.forward):
            raise Wrong(
                "Your function leaves PyTorch's own relu replaced: all other code would "
                "get the guided rule as well. A `with` block puts it back."
            )
    finally:
        F.relu, torch.relu, Tensor.relu, nn.ReLU.forward = originals
    return result


def _check_untouched(network: nn.Module) -> None:
    for module in network.modules():
        if module._backward_hooks or module._forward_hooks or module._backward_pre_hooks:
            raise Wrong(
                "Your function leaves hooks behind in the network: the next gradient of it "
                "would be changed too."
            )
    if isinstance(network.relu, nn.ReLU) and not network.relu.inplace:
        raise Wrong("Your function sets inplace to False in a network that is not yours.")
    if "relu" in network._modules and type(network.relu) is not nn.ReLU:
        raise Wrong("Your function exchanges a module of the network; leave it alone.")
    if network.training:
        raise Wrong("Your function leaves the network in training mode.")


def _check_refusal(answer, network: nn.Module, images: Tensor) -> None:
    try:
        answer(network, images.clone(), 2)
    except ValueError:
        return
    except Exception as error:
        raise Wrong(
            "On a network without a ReLU a ValueError is wanted; your function stops with "
            f"{type(error).__name__}."
        ) from error
    raise Wrong(
        "On a network without a ReLU (it has GELUs) your function returns a map in "
        "silence: count the ReLUs that were met, and raise a ValueError if there were none."
    )


# -- exercise 3 ------------------------------------------------------------------------


@exercise("Exercise 3")
def alike_by_layer(answer) -> str:
    """Check `answer(model, images, classes, layers, rule)`: (L, N) cosines."""
    model = SmallNetwork("F.relu")
    images = torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(2))
    classes, layers = (1, 3), ["conv2", "conv1"]
    for rule in ("vanilla", "guided"):
        result = call(answer, model, images, classes, layers, rule)
        if isinstance(result, (list, tuple)):
            raise Wrong("Stack the rows into one tensor (L, N): torch.stack(rows).")
        if tuple(getattr(result, "shape", ())) == (3, 2):
            raise Wrong("Rows and columns are exchanged: one row a layer, (L, N).")
        if tuple(getattr(result, "shape", ())) == (2,):
            raise Wrong(
                "One number a layer: the pictures are mixed. Flatten all axes but the "
                "first, flatten(1), and take the cosine along axis 1."
            )
        _compare_cosines(check_tensor(result, (2, 3)), model, images, classes, layers, rule)
    return "The top layer first, one cosine for every picture."


def _compare_cosines(result, model, images, classes, layers, rule: str) -> None:
    def rows(rule, change=lambda gradient: gradient, product=torch.cosine_similarity):
        found = []
        for layer in layers:
            ways = (layer_gradient(model, images, c, layer, rule) for c in classes)
            found.append(product(*(change(way).flatten(1) for way in ways)))
        return torch.stack(found)

    other = "guided" if rule == "vanilla" else "vanilla"
    compare(
        result,
        rows(rule),
        {
            f"For rule={rule!r} you give the cosines of the {other} gradients: hand the "
            "rule on to layer_gradient.": rows(other),
            "You take the absolute values first; the cosine needs the signs.": (
                rows(rule, torch.abs)
            ),
            "That is the inner product; the cosine divides it by both lengths.": (
                rows(rule, product=lambda a, b: (a * b).sum(dim=1))
            ),
            "That is the correlation: you subtract the mean of each gradient. The cosine "
            "does not.": rows(
                rule, lambda way: way - way.flatten(1).mean(1).view(-1, 1, 1, 1)
            ),
            "The layers are in another order than they were asked for.": (
                rows(rule).flip(0)
            ),
            "Every row is the same: give `layer` to layer_gradient.": (
                rows(rule)[:1].expand(2, -1)
            ),
        },
        "The cosines are not right: for each layer, compare the flattened gradients of the "
        "two classes, picture by picture.",
    )
