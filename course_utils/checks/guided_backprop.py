"""Checks of lesson 05: the three rules, a guided map of any network, the class lost."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity as cosine

from ..gradients import deconvnet, guided_backprop, input_gradient, layer_gradient
from ..relu_rules import RULES
from .base import Wrong, about, call, compare_tensor, exercise
from .toys import ReLUNetwork, noise, wrong_goals


@exercise("Exercise 1")
def pass_on(answer) -> str:
    """Check `answer(x, g, rule)`: what a ReLU passes back by each of the rules."""
    random = torch.Generator().manual_seed(0)
    for seed, rule in enumerate(RULES):
        x = torch.randint(-3, 4, (5, 6), generator=random).float()  # with zeros
        g = 2 * noise(5, 6, seed=seed)
        right, at_zero = _passed_on(x, g, rule), _passed_on(x + 0.5, g, rule)
        mistakes = {
            "That is the mask alone, without g.": _passed_on(x, torch.ones_like(g), rule),
            "Nothing passes where x = 0: the condition is x > 0, not x >= 0.": at_zero,
            "You return the forward result max(x, 0); return what goes back.": x.relu(),
            "g counts with its sign, not its absolute value.": _passed_on(x, g.abs(), rule),
            "You multiply by x; the rule asks only whether x is positive.": right * x,
        }
        for other in RULES:
            text = f"For rule={rule!r} you pass on what the {other} rule does."
            mistakes[text] = _passed_on(x, g, other)
        otherwise = f"For rule={rule!r} it is not right: try the tables of section 1."
        compare_tensor(call(answer, x, g, rule), right, mistakes, otherwise)
    return "Three rules, which differ in what they ask of x and of g."


def _passed_on(x: Tensor, g: Tensor, rule: str) -> Tensor:
    """What goes on backwards through a ReLU by `rule`."""
    g = g if rule == "deconvnet" else g * (x > 0)
    return g if rule == "vanilla" else g.clamp(min=0)


@exercise("Exercise 2")
def guided_map(answer) -> str:
    """Check `answer(network, images, target)`: guided maps (N, 3, H, W), any network."""
    images = noise(2, 3, 8, 8, seed=1)
    *kinds, without = ReLUNetwork.KINDS
    for kind in kinds:
        with about(f"On a network with {kind}"):
            network = ReLUNetwork(kind)
            result = _call_and_restore(answer, network, images)
            _check_untouched(network)
            otherwise = "The values are not right: compare with g · [x > 0] · [g > 0]."
            compare_tensor(result, *_guided(network, images), otherwise)
    _check_refusal(answer, ReLUNetwork(without), images)
    return f"Right for {', '.join(kinds)}; and it raises an error where there is no ReLU."


def _guided(network: nn.Module, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """The right maps, and sentence → wrong ones."""
    plain, right = (f(network, images, 2) for f in (input_gradient, guided_backprop))
    labels = torch.full((len(images),), 2)
    return right, wrong_goals(labels, lambda g: guided_backprop(network, images, g)) | {
        "Your map is the plain gradient: it did not meet the network's ReLUs.": plain,
        "That is the deconvnet rule: ask for x > 0 too.": deconvnet(network, images, 2),
        "Cut at every ReLU on the way, not from the finished gradient.": plain.relu(),
        "Right until the end, but then you drop negative numbers: keep them.": right.relu(),
        "The maps should keep their signs; leave abs() out.": right.abs(),
    }


def _call_and_restore(answer, network: nn.Module, images: Tensor):
    """What the answer returns; PyTorch's own functions must be the same afterwards."""
    originals = (F.relu, torch.relu, Tensor.relu, nn.ReLU.forward)
    try:
        result = call(answer, network, images, 2, intact=True)
        if originals != (F.relu, torch.relu, Tensor.relu, nn.ReLU.forward):
            raise Wrong("It leaves PyTorch's own relu replaced: restore it, by `with`.")
    finally:
        F.relu, torch.relu, Tensor.relu, nn.ReLU.forward = originals
    return result


def _check_untouched(network: nn.Module) -> None:
    for module in network.modules():
        if module._backward_hooks or module._forward_hooks or module._backward_pre_hooks:
            raise Wrong("Your function leaves hooks behind, which change later gradients.")
    if isinstance(network.relu, nn.ReLU) and not network.relu.inplace:
        raise Wrong("Your function sets inplace to False in a network that is not yours.")
    if "relu" in network._modules and type(network.relu) is not nn.ReLU:
        raise Wrong("Your function replaces a module of the network; leave it alone.")


def _check_refusal(answer, network: nn.Module, images: Tensor) -> None:
    with about("On a network without a ReLU (it has GELUs)"):
        try:
            answer(network, images.clone(), 2)
        except ValueError:
            return
        except Exception as error:
            raise Wrong(f"Raise a ValueError, not a {type(error).__name__}.") from error
        raise Wrong("It silently returns a map: count the ReLUs, raise a ValueError at 0.")


@exercise("Exercise 3")
def alike_by_layer(answer) -> str:
    """Check `answer(model, images, classes, layers, rule)`: (L, N) cosines."""
    case = (ReLUNetwork("F.relu"), noise(3, 3, 8, 8, seed=2), (1, 3), ["conv2", "conv1"])
    shapes = {
        (3, 2): "Rows and columns are swapped: one row for each layer, (L, N).",
        (2,): "One number per layer: the pictures are mixed. Use flatten(1) and axis 1.",
    }
    for rule, other in (("vanilla", "guided"), ("guided", "vanilla")):
        result = call(answer, *case, rule)
        if isinstance(result, (list, tuple)):
            raise Wrong("Stack the rows into one tensor (L, N): torch.stack(rows).")
        changes = (torch.clone, torch.abs, lambda g: g - g.mean(1, keepdim=True))
        right, unsigned, centred = (_cosines(*case, rule, change) for change in changes)
        inner = _cosines(*case, rule, product=lambda a, b: (a * b).sum(1))
        mistakes = {
            f"For rule={rule!r} you return the cosines of the {other} gradients: pass the "
            "rule on to layer_gradient.": _cosines(*case, other),
            "You take the absolute values first; the cosine needs the signs.": unsigned,
            "That is the inner product; the cosine divides it by both lengths.": inner,
            "That is the correlation; a cosine subtracts no means.": centred,
            "The layers are not in the order of `layers`.": right.flip(0),
            "Every row is the same: pass `layer` to layer_gradient.": right[[0, 0]],
        }
        otherwise = "The cosines are not right: compare two classes, picture by picture."
        compare_tensor(result, right, mistakes, otherwise, shapes)
    return "The top layer first, one cosine for each picture."


def _cosines(net, x, classes, layers, rule, change=torch.clone, product=cosine) -> Tensor:
    rows = []
    for layer in layers:
        gradients = (layer_gradient(net, x, c, layer, rule) for c in classes)
        rows.append(product(*(change(gradient.flatten(1)) for gradient in gradients)))
    return torch.stack(rows)
