"""The checks of lesson 05: right answers pass, mistakes get the sentence that helps."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from exercises import make_tests
from torch import nn
from torch.overrides import TorchFunctionMode

from course_utils import deconvnet, guided_backprop, input_gradient, layer_gradient
from course_utils.checks import guided_backprop as check

# -- exercise 1 ------------------------------------------------------------------------


def rule_of(x, g, rule):
    g = g if rule == "deconvnet" else g * (x > 0)
    return g if rule == "vanilla" else g.clamp(min=0)


WRONG_RULES = {
    "pass on what the vanilla rule does": lambda x, g, rule: g * (x > 0),
    "pass on what the guided rule does": lambda x, g, rule: rule_of(x, g, "guided"),
    "the mask alone": lambda x, g, rule: (x > 0).float(),
    "not x >= 0": lambda x, g, rule: rule_of(x + 0.1, g, rule),
    "the forward result": lambda x, g, rule: x.clamp(min=0),
    "not its absolute value": lambda x, g, rule: rule_of(x, g.abs(), rule),
    "You multiply by x": lambda x, g, rule: rule_of(x, g, rule) * x,
    "try the tables of section 1": lambda x, g, rule: g + x,
    "For rule='vanilla' it is not right": lambda x, g, rule: rule_of(x - 0.5, g, rule),
    "For rule='deconvnet' you pass on what the guided": lambda x, g, rule: rule_of(
        x, g, "vanilla" if rule == "vanilla" else "guided"
    ),
    "write 0 in their places": lambda x, g, rule: g[x > 0],
    "by one rule: the one that `rule` names": lambda x, g, rule: [
        rule_of(x, g, name) for name in ("vanilla", "deconvnet", "guided")
    ],
    "shape should be (5, 6)": lambda x, g, rule: rule_of(x, g, rule).T,
    "stopped at": lambda x, g, rule: F.relu(x).backward(g),
}

# -- exercise 2 ------------------------------------------------------------------------


class GuidedReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * (x > 0) * (g > 0)


class GuidedMode(TorchFunctionMode):
    met = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if getattr(func, "__name__", "") not in ("relu", "relu_"):
            return func(*args, **(kwargs or {}))
        self.met += 1
        return GuidedReLU.apply(args[0])


def by_mode(network, images, target):
    pixels = images.clone().requires_grad_()
    with GuidedMode() as mode:
        score = network(pixels)[:, target].sum()
    if not mode.met:
        raise ValueError("relu: none")
    return torch.autograd.grad(score, pixels)[0].numpy()


def guided_map(network, images, target):
    return guided_backprop(network, images, target)


def by_hooks(network, images, target, remove=False, inplace=None):
    """What everyone writes, with and without cleaning up."""
    handles = []
    for module in network.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = module.inplace if inplace is None else inplace
            clamp = lambda m, came, g: (came[0].clamp(min=0),)  # noqa: E731
            handles.append(module.register_full_backward_hook(clamp))
    pixels = images.clone().requires_grad_()
    network(pixels)[:, target].sum().backward()
    for handle in handles if remove else ():
        handle.remove()
    return pixels.grad


def unhooked(network, images, target):
    """Hooks, taken off again, and in-place ReLUs put back: functional ones are missed."""
    flags = {m: m.inplace for m in network.modules() if isinstance(m, nn.ReLU)}
    result = by_hooks(network, images, target, remove=True, inplace=False)
    for module, flag in flags.items():
        module.inplace = flag
    return result


def replaces_relu(network, images, target):
    result = guided_backprop(network, images, target)
    F.relu = nn.Identity()
    return result


def exchanges_modules(network, images, target):
    result = guided_backprop(network, images, target)
    if isinstance(network.relu, nn.ReLU):
        network.relu = nn.Hardtanh(0, 9)
        network.relu.inplace = True
    return result


def trains(network, images, target):
    network.train()
    return guided_backprop(network, images, target)


def patched(network, images, target):
    """The right rule, put in F.relu's place and taken away again."""
    relu, pixels = F.relu, images.clone().requires_grad_()
    F.relu = lambda x, inplace=False: GuidedReLU.apply(x)
    try:
        network(pixels)[:, target].sum().backward()
    finally:
        F.relu = relu
    return pixels.grad


def trains_the_weights(network, images, target):
    network.requires_grad_(True)
    return guided_map(network, images, target)


def empties(network, images, target):
    for weight in network.parameters():
        weight.data.zero_()
    return torch.zeros_like(images)


def refuses_without_a_word(network, images, target):
    try:
        return guided_backprop(network, images, target)
    except ValueError:
        raise ValueError from None


def gives_up(network, images, target):
    try:
        return guided_backprop(network, images, target)
    except ValueError:
        return None


def never_refuses(network, images, target):
    try:
        return guided_backprop(network, images, target)
    except ValueError:
        return input_gradient(network, images, target)


def refuses_oddly(network, images, target):
    try:
        return guided_backprop(network, images, target)
    except ValueError as error:
        raise KeyError from error


WRONG_MAPS = {
    "modified inplace": lambda *a: by_hooks(*a, remove=True),
    "leaves hooks behind": lambda *a: by_hooks(*a, inplace=False),
    "sets inplace to False": lambda *a: by_hooks(*a, remove=True, inplace=False),
    "F.relu: your map is the plain gradient": unhooked,
    "in place: your map is the plain gradient": input_gradient,
    "deconvnet rule": deconvnet,
    "from the finished gradient": lambda *a: input_gradient(*a).clamp(min=0),
    "right until the end": lambda *a: guided_map(*a).clamp(min=0),
    "keep their signs": lambda *a: guided_map(*a).abs(),
    "sum of all classes": lambda n, x, t: guided_map(n, x, lambda s: s.sum(dim=1)),
    "before softmax": lambda n, x, t: guided_map(n, x, lambda s: s.softmax(dim=1)[:, t]),
    "compare with g · [x > 0]": lambda *a: 2 * guided_map(*a),
    "leaves PyTorch's own relu replaced": replaces_relu,
    "replaces a module": exchanges_modules,
    "training mode": trains,
    "silently returns a map": never_refuses,
    "not a KeyError": refuses_oddly,
    "shape should be": lambda *a: guided_map(*a).abs().amax(dim=1),
    "you use class 2 whatever `target` is": lambda n, x, t: guided_backprop(n, x, 2),
    "you use class 0 whatever `target` is": lambda n, x, t: guided_backprop(n, x, 0),
    "that is for the top class, here 1: take `target`": lambda n, x, t: guided_backprop(
        n, x
    ),
    "whoever imported relu by name": patched,
    "gradients of the network's weights": trains_the_weights,
    "changes the network's weights": empties,
    "say in the ValueError that there is no ReLU": refuses_without_a_word,
    "it returns nothing: raise a ValueError": gives_up,
}

# -- exercise 3 ------------------------------------------------------------------------


def alike(change=lambda g: g.flatten(1), product=torch.cosine_similarity, rule=None):
    def answer(model, images, classes, layers, asked):
        rows = []
        for layer in layers:
            a, b = (
                change(layer_gradient(model, images, c, layer, rule or asked))
                for c in classes
            )
            rows.append(product(a, b))
        return torch.stack(rows)

    return answer


def centred(gradient):
    flat = gradient.flatten(1)
    return flat - flat.mean(dim=1, keepdim=True)


WRONG_COSINES = {
    "cosines of the vanilla gradients": alike(rule="vanilla"),
    "cosines of the guided gradients": alike(rule="guided"),
    "absolute values first": alike(lambda g: g.abs().flatten(1)),
    "the inner product": alike(product=lambda a, b: (a * b).sum(dim=1)),
    "That is the correlation": alike(centred),
    "in the order of `layers`": lambda *a: alike()(*a).flip(0),
    "Every row is the same": lambda m, x, c, layers, r: alike()(
        m, x, c, [layers[0]] * len(layers), r
    ),
    "The cosines are not right": lambda *a: 1 - alike()(*a),
    "Rows and columns": lambda *a: alike()(*a).T,
    "pictures are mixed": alike(
        lambda g: g.flatten(), lambda a, b: torch.cosine_similarity(a, b, dim=0)
    ),
    "Stack the rows": lambda *a: list(alike()(*a)),
    "Stack the rows into one": lambda *a: alike()(*a).flatten(),
    "For one layer and 4 pictures you give numbers of shape (4, 5, 7)": alike(lambda g: g),
    "you give numbers of shape (280,)": alike(
        product=lambda a, b: torch.cosine_similarity(a, b, dim=0)
    ),
    "mean of the cosines over the places": alike(
        lambda g: g, lambda a, b: torch.cosine_similarity(a, b).mean((1, 2))
    ),
    "average over the channels": alike(lambda g: g.sum(1).flatten(1)),
    "average over the places": alike(lambda g: g.mean((2, 3))),
    "stopped at": alike(lambda g: g.flatten()),
    "You use the classes (1, 3) whatever": lambda m, x, c, *a: alike()(m, x, (1, 3), *a),
    "You use the classes (0, 2) whatever": lambda m, x, c, *a: alike()(m, x, (0, 2), *a),
    "`layers` holds 1": lambda m, x, c, la, r: alike()(m, x, c, ["conv2", "conv1"], r),
    "`layers` holds 2": lambda m, x, c, la, r: alike()(m, x, c, la[:1], r),
    "conv2 whatever `layers` holds": lambda m, x, c, la, r: alike()(
        m, x, c, ["conv2", "conv1"][: len(la)], r
    ),
}

RIGHT = {
    check.pass_on: rule_of,
    check.guided_map: guided_map,
    check.alike_by_layer: alike(),
}
MISTAKES = {
    check.pass_on: WRONG_RULES,
    check.guided_map: WRONG_MAPS,
    check.alike_by_layer: WRONG_COSINES,
}


(
    test_a_right_answer_passes,
    test_a_stub_is_not_tried_yet,
    test_a_mistake_gets_the_sentence_that_helps,
) = make_tests(RIGHT, MISTAKES)


def by_norms(model, images, classes, layers, rule):
    table = np.zeros((len(layers), len(images)))
    for row, layer in enumerate(layers):
        for n, image in enumerate(images.split(1)):
            a, b = (layer_gradient(model, image, c, layer, rule).flatten() for c in classes)
            table[row, n] = (a @ b) / (a.norm() * b.norm())
    return table


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [
        (check.pass_on, lambda x, g, rule: rule_of(x.numpy(), g, rule)),
        (check.pass_on, lambda x, g, rule: rule_of(x, g, rule).double()),
        (check.guided_map, by_mode),
        (check.alike_by_layer, by_norms),
    ],
)
def test_other_right_answers_pass_too(exercise, answer):
    assert exercise(answer)


def test_no_check_leaves_a_relu_of_its_own():
    relu = F.relu
    for answer in WRONG_MAPS.values():
        check.guided_map(answer)
    assert F.relu is relu
