"""Checks of lesson 05, and of deeper/hooks_and_relus: the three rules, any network."""

from itertools import combinations, cycle, product

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity as cosine

from ..evaluation import rank_correlation
from ..gradients import deconvnet, guided_backprop, input_gradient, layer_gradient
from ..images import preprocess
from ..models import Unit, layer_path, load_model
from ..relu_rules import RULES
from ..samples import load_samples
from .base import NotTried, Wrong, about, as_tensor, call, compare_tensor, exercise
from .claims import Claim, Test
from .reading import written_in
from .toys import ReLUNetwork, noise, other_classes, wrong_goals


@exercise("Exercise 1")
def pass_on(answer) -> str:
    """Check `answer(x, g, rule)`: what a ReLU passes back by each of the rules."""
    random = torch.Generator().manual_seed(0)
    for rule, shape in product(RULES, ((5, 6), (2, 3, 4, 7))):
        x = torch.randint(-3, 4, shape, generator=random) / 4  # with zeros, and small
        g = 2 * torch.randn(shape, generator=random)
        right, at_zero = _passed_on(x, g, rule), _passed_on(x + 0.1, g, rule)
        passed = int((right != 0).sum())
        shapes = {
            (passed,): "You drop the numbers that do not pass; write 0 in their places.",
            (3, *shape): "Return what goes back by one rule: the one that `rule` names.",
        }
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
        result = as_tensor(call(answer, x, g, rule))
        compare_tensor(result, right, mistakes, otherwise, shapes)
    return "Three rules, which differ in what they ask of x and of g."


def _passed_on(x: Tensor, g: Tensor, rule: str) -> Tensor:
    """What goes on backwards through a ReLU by `rule`."""
    g = g if rule == "deconvnet" else g * (x > 0)
    return g if rule == "vanilla" else g.clamp(min=0)


class _Noticing(ReLUNetwork):
    """It notices whether another relu stands in PyTorch's place while it is asked."""

    replaced = False

    def forward(self, x: Tensor) -> Tensor:
        """From (N, 3, H, W) to scores (N, 4)."""
        self.replaced |= _relus() != RELUS
        return super().forward(x)


def _relus() -> tuple:
    return F.relu, torch.relu, Tensor.relu, nn.ReLU.forward


RELUS = _relus()


@exercise("Exercise 1")
def guided_map(answer) -> str:
    """Check `answer(network, images, target)`: guided maps (N, 3, H, W), any network."""
    *kinds, without = ReLUNetwork.KINDS
    cases = zip(kinds, cycle((2, 0, 3, 1)), cycle(((2, 3, 8, 8), (3, 3, 7, 9))))
    for kind, target, shape in cases:
        with about(f"On a network with {kind}"):
            _check_kind(answer, kind, noise(*shape, seed=1), target)
    _check_refusal(answer, ReLUNetwork(without))
    return f"Right for {', '.join(kinds)}; and it raises an error where there is no ReLU."


def _check_kind(answer, kind: str, images: Tensor, target: int) -> None:
    plain = input_gradient(ReLUNetwork(kind), images, target)
    right, mistakes = _guided(ReLUNetwork(kind), images, target)
    met = ["A mode that answers every call meets them; its rule has both masks."]

    def look(network: _Noticing, *_) -> None:
        if network.replaced:
            met[0] = "You put another relu in PyTorch's place, and it leaves out whoever "
            met[0] += "imported relu by name, torch.relu and x.relu(). A mode meets all."
        if any(weight.requires_grad for weight in network.parameters()):
            raise Wrong("Your function switches on the gradients of the network's weights.")

    result = call(answer, _Noticing(kind), images, target, intact=True, after=look)
    text = f"Your map is the plain gradient: no ReLU had the guided rule. {met[0]}"
    otherwise = "The values are not right: compare with g · [x > 0] · [g > 0]."
    compare_tensor(as_tensor(result), right, {text: plain} | mistakes, otherwise)


def _guided(network: nn.Module, images: Tensor, target: int) -> tuple[Tensor, dict]:
    """The right maps, and sentence → wrong ones."""
    plain, right = (f(network, images, target) for f in (input_gradient, guided_backprop))
    labels = torch.full((len(images),), target)

    def guided(goal) -> Tensor:
        return guided_backprop(network, images, goal)

    others = other_classes(network, images, target, guided)
    return right, wrong_goals(labels, guided) | others | {
        "That is the deconvnet rule: ask for x > 0 too.": deconvnet(
            network, images, target
        ),
        "Cut at every ReLU on the way, not from the finished gradient.": plain.relu(),
        "Right until the end, but then you drop negative numbers: keep them.": right.relu(),
        "The maps should keep their signs; leave abs() out.": right.abs(),
    }


def _check_refusal(answer, network: nn.Module) -> None:
    with about("On a network without a ReLU (it has GELUs)"):
        try:
            call(answer, network, noise(2, 3, 8, 8), 2)
        except NotTried as nothing:
            raise Wrong("It returns nothing: raise a ValueError there.") from nothing
        except Wrong as stop:
            error = stop.__cause__
            if not isinstance(error, ValueError):
                kind = type(error).__name__
                raise Wrong(f"Raise a ValueError, not a {kind}.") from error
            if "relu" not in str(error).lower():
                raise Wrong("Say in the ValueError that there is no ReLU.") from error
            return
        raise Wrong("It silently returns a map: count the ReLUs, raise a ValueError at 0.")


@exercise("Exercise 2")
def alike_by_layer(answer) -> str:
    """Check `answer(model, images, classes, layers, rule)`: (L, N) cosines."""
    given = ((4, (7, 9), (0, 2), ["conv1"]), (3, (8, 8), (1, 3), ["conv2", "conv1"]))
    for (count, size, classes, layers), rule in product(given, ("vanilla", "guided")):
        images, rows = noise(count, 3, *size, seed=count), len(layers)
        case = ReLUNetwork("F.relu"), images, classes, layers, rule
        right, mistakes = _cosines(*case), _wrong_cosines(*case)
        stack = "Stack the rows into one tensor (L, N): torch.stack(rows)."
        shapes = {
            (3 - rows, count): f"`layers` holds {rows}: one row for each of them.",
            (count, rows): "Rows and columns are swapped: one row for each layer, (L, N).",
            (rows,): "One number per layer: the pictures are mixed. Use flatten(1) and "
            "axis 1, and take no mean.",
            (rows * count,): stack,
        }
        result = call(answer, *case)
        if isinstance(result, (list, tuple)):
            raise Wrong(stack)
        result = as_tensor(result)
        if isinstance(result, Tensor) and result.ndim > 1 and result.shape not in shapes:
            _check_one_number_each(result.shape[1:], count)
        otherwise = "The cosines are not right: compare two classes, picture by picture."
        compare_tensor(result, right, mistakes, otherwise, shapes)
    return "The top layer first, one cosine for each picture."


def _check_one_number_each(shape: torch.Size, count: int) -> None:
    if tuple(shape) != (count,):
        raise Wrong(
            f"For one layer and {count} pictures you give numbers of shape {tuple(shape)}. "
            "Give one for each picture: flatten(1), then the cosine along axis 1."
        )


def _wrong_cosines(net, x, classes, layers, rule) -> dict[str, Tensor]:
    """Sentence → the cosines that one gets by the mistake that it explains."""
    case = net, x, classes, layers
    other = "guided" if rule == "vanilla" else "vanilla"
    pairs = [pair for pair in combinations(range(4), 2) if pair != classes]
    wrong_layers = (layers[::-1], layers[:1] * len(layers), ["conv2"] * len(layers))
    upside_down, same, top = (
        _cosines(net, x, classes, names, rule) for names in wrong_layers
    )
    axes = {"channels": 1, "places": (2, 3)}
    averaged = written_in(
        "You average over the {} before you compare: flatten(1) keeps every number.",
        axes,
        lambda name: _cosines(*case, rule, lambda g: g.mean(axes[name]).flatten(1)),
    )
    fixed = written_in(
        "You use the classes {} whatever `classes` holds.",
        pairs,
        lambda pair: _cosines(net, x, pair, layers, rule),
    )
    return {
        **averaged,
        **fixed,
        f"For rule={rule!r} you return the cosines of the {other} gradients: pass the rule "
        "on to layer_gradient.": _cosines(*case, other),
        "You take the absolute values first; the cosine needs the signs.": _cosines(
            *case, rule, lambda g: g.flatten(1).abs()
        ),
        "That is the mean of the cosines over the places: flatten(1) first, so that each "
        "picture has one cosine.": _cosines(
            *case, rule, lambda g: g, lambda a, b: cosine(a, b).mean((1, 2))
        ),
        "That is the inner product; the cosine divides it by both lengths.": _cosines(
            *case, rule, product=lambda a, b: (a * b).sum(1)
        ),
        "That is the correlation; a cosine subtracts no means.": _cosines(
            *case, rule, lambda g: (g - g.mean((1, 2, 3), keepdim=True)).flatten(1)
        ),
        "The layers are not in the order of `layers`.": upside_down,
        "Every row is the same: pass `layer` to layer_gradient.": same,
        "You use the layer conv2 whatever `layers` holds.": top,
    }


def _cosines(
    net, x, classes, layers, rule, change=lambda g: g.flatten(1), product=cosine
) -> Tensor:
    rows = []
    for layer in layers:
        gradients = (layer_gradient(net, x, c, layer, rule) for c in classes)
        rows.append(product(*(change(gradient) for gradient in gradients)))
    return torch.stack(rows)


# -- claim check -----------------------------------------------------------------------

UNIT = Unit("fire8", 491, position=(6, 8))  # the strongest of the layer on the retriever
DOG, OTHER_DOGS = "golden_retriever", ("german_shepherd", "malinois_meadow")


def _dog() -> tuple[nn.Module, Tensor]:
    return load_model(), preprocess(load_samples(names=DOG).images)


def _on_the_same_patch() -> str:
    model, image = _dog()
    maps = [
        m(model, image, UNIT).abs().sum((0, 1)) for m in (guided_backprop, input_gradient)
    ]
    inside = maps[0] > 0
    shares = [float(m[inside].sum() / m.sum()) for m in maps]
    return f"{shares[1]:.0%} of the gradient's strength lies where the guided map is drawn."


def _under_noise() -> str:
    model, image = _dog()
    noisy = image + 0.02 * noise(*image.shape)
    maps = [guided_backprop(model, pixels, UNIT) for pixels in (image, noisy)]
    return f"The two maps are alike by {float(rank_correlation(*maps)):.2f}."


def _on_all_photographs() -> str:
    model, samples = load_model(), load_samples()
    layer, kept = model.get_submodule(layer_path(model, UNIT.layer)), []
    hook = layer.register_forward_hook(lambda m, i, out: kept.append(out[:, UNIT.channel]))
    try:
        with torch.no_grad():
            model(preprocess(samples.images))
    finally:
        hook.remove()
    order = kept[0].amax((1, 2)).argsort(descending=True).tolist()
    first = [samples.class_names[k] for k in order[:3]]
    dogs = [order.index(samples.names.index(n)) + 1 for n in OTHER_DOGS]
    return (
        f"The channel responds most to: {', '.join(first)}. The two other dogs come in "
        f"places {dogs[0]} and {dogs[1]} of {len(order)}."
    )


def _on_other_dogs() -> str:
    samples = load_samples(names=OTHER_DOGS)
    images, unit = preprocess(samples.images), Unit(UNIT.layer, UNIT.channel)
    shares = []
    maps = guided_backprop(load_model(), images, unit).abs().sum(1)
    for values, (x0, y0, x1, y1) in zip(maps, samples.boxes_at(), strict=True):
        inside = values[round(y0) : round(y1), round(x0) : round(x1)].sum()
        shares.append(f"{float(inside / values.sum()):.0%}")
    return f"{' and '.join(shares)} of the maps' strength lies on the two dogs."


claim = Claim(
    "The guided map of channel 491 in fire8 draws the dog's eye, nose and mouth. So this "
    "channel detects the faces of dogs.",
    {
        "A": Test(
            _on_the_same_patch,
            "The patch is all that this neuron can see, so it would come out like this for "
            "any channel, whatever it detects.",
        ),
        "B": Test(
            _under_noise,
            "Faint noise hardly changes a drawing of the picture, whether or not the "
            "channel detects dogs.",
        ),
        "C": Test(
            _on_all_photographs,
            "That refutes it: a detector of dogs' faces would put the dogs first. What a "
            "unit responds to is a question about many pictures.",
            could_refute=True,
        ),
        "D": Test(
            _on_other_dogs,
            "On a photograph of a dog a guided map draws the dog for nearly any channel: "
            "you looked only where the claim expects to be right.",
        ),
    },
)
