"""Lesson 05's methods: the rules on many networks, gradients of layers.

What holds for every rule on every network is in test_gradients.py.
"""

import captum.attr
import pytest
import torch
import toys
from network_matrix import ruled_gradient
from torch import nn

from course_utils import (
    Unit,
    guided_backprop,
    input_gradient,
    layer_gradient,
    load_model,
)

CAPTUM = {
    "guided": captum.attr.GuidedBackprop,
    "deconvnet": captum.attr.Deconvolution,
}

# -- more networks ---------------------------------------------------------------------

SIZES = {
    "inception_v3": 96,
    "regnet_y_400mf": 64,
    "shufflenet_v2_x0_5": 64,
    "mobilenet_v3_large": 64,
}


@pytest.fixture(scope="module", params=SIZES)
def network(request):
    return load_model(request.param, "random"), toys.batch(2, SIZES[request.param])


@pytest.mark.parametrize("rule", ["guided", "deconvnet"])
def test_rule_agrees_with_the_reference(network, rule):
    model, images = network
    right = ruled_gradient(model, images, [3, 5], rule)
    assert right.any()
    assert toys.relative_error(input_gradient(model, images, [3, 5], rule), right) < 1e-4
    assert toys.relative_error(input_gradient(model, images, [3, 5]), right) > 0.01


# -- beside Captum ---------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:Setting .* hooks")
@pytest.mark.parametrize("rule", CAPTUM)
@pytest.mark.parametrize("name", ["squeezenet1_1", "alexnet", "vgg11", "resnet18"])
def test_rule_agrees_with_captum_where_every_relu_is_a_module(name, rule):
    model, images = load_model(name, "random"), toys.batch(2, 64)
    right = CAPTUM[rule](model).attribute(images.clone().requires_grad_(), target=[3, 5])
    assert toys.relative_error(input_gradient(model, images, [3, 5], rule), right) < 1e-4


@pytest.mark.filterwarnings("ignore:Setting .* hooks")
@pytest.mark.parametrize("name", ["densenet121", "googlenet"])
def test_captum_misses_functional_relus(name):
    """Not our defect, but the reason why Captum is no reference for these two."""
    model, images = load_model(name, "random"), toys.batch(1, 64)
    theirs = captum.attr.GuidedBackprop(model).attribute(
        images.clone().requires_grad_(), target=3
    )
    right = ruled_gradient(model, images, [3], "guided")
    assert toys.relative_error(theirs, right) > 0.01
    if name == "googlenet":
        assert toys.relative_error(theirs, input_gradient(model, images, 3)) < 1e-4


# -- hidden units and layers by hand ---------------------------------------------------

# The toy of test_gradients.py: x = (1, 1), A x = (−1, 4), h = (0, 4), B h = (−4, 4).
ONES = torch.ones(1, 1, 1, 2)


@pytest.mark.parametrize(
    ("unit", "rule", "by_hand"),
    [
        # No ReLU between fc1 and the pixels: its rows, whatever the rule.
        (Unit("fc1", 0), "vanilla", [1, -2]),
        (Unit("fc1", 0), "guided", [1, -2]),
        (Unit("fc1", 1), "deconvnet", [3, 1]),
        # One ReLU, g = (2, −1), and only neuron 1 alive: vanilla passes (0, −1).
        (Unit("fc2", 0), "vanilla", [-3, -1]),
        (Unit("fc2", 0), "deconvnet", [2, -4]),
        # g = (−1, 1): neuron 1 alive and its g positive.
        (Unit("fc2", 1), "guided", [3, 1]),
    ],
)
def test_hidden_unit_by_hand(unit, rule, by_hand):
    gradient = input_gradient(toys.TwoLayers(), ONES, unit, rule)
    assert gradient.flatten().tolist() == by_hand


def test_hidden_unit_whose_guided_map_is_zero_says_so():
    with pytest.warns(UserWarning, match="zero at every pixel"):
        assert not guided_backprop(toys.TwoLayers(), ONES, Unit("fc2", 0)).any()


@pytest.mark.parametrize(
    ("layer", "rule", "by_hand"),
    [
        ("fc2", "vanilla", [0, 1]),
        ("fc1", "vanilla", [0, 1]),
        ("fc1", "deconvnet", [0, 1]),
    ],
)
def test_gradient_to_a_layer_before_its_in_place_relu_by_hand(layer, rule, by_hand):
    gradient = layer_gradient(toys.TwoLayers(), ONES, 1, layer, rule)
    assert gradient.tolist() == [by_hand]


def test_gradient_from_a_unit_to_an_earlier_layer_by_hand():
    model = toys.TwoLayers()
    for rule, by_hand in {"vanilla": [0, -1], "deconvnet": [2, 0]}.items():
        gradient = layer_gradient(model, ONES, Unit("fc2", 0), "fc1", rule)
        assert gradient.tolist() == [by_hand]


def test_gradient_to_a_layer_that_is_used_twice_is_that_of_its_last_use():
    assert layer_gradient(toys.TwoLayers(), ONES, 1, "relu").tolist() == [[0, 1]]


def test_gradient_to_a_unit_of_the_same_layer_is_one_at_the_unit():
    gradient = layer_gradient(toys.Busy(), toys.batch(), Unit("conv", 2, (1, 3)), "conv")
    assert gradient.sum() == 2
    assert (gradient[:, 2, 1, 3] == 1).all()


@pytest.mark.parametrize("rule", ["vanilla", "guided", "deconvnet"])
def test_layer_gradient_carried_on_to_the_pixels_is_the_whole_gradient(rule):
    model, images = load_model(), toys.batch(2, 96)
    gradient = layer_gradient(model, images, [3, 5], "fire9", rule)
    assert gradient.shape == layer_output(model, images, "features.12").shape

    # From the layer on to the pixels, in one more step: the whole way at once.
    def through(outputs):
        return (kept.pop() * gradient).flatten(1).sum(dim=1)

    kept = []
    hook = model.get_submodule("features.12").register_forward_hook(
        lambda module, inputs, output: kept.append(output)
    )
    whole = input_gradient(model, images, through, rule)
    hook.remove()
    right = input_gradient(model, images, [3, 5], rule)
    assert toys.relative_error(whole, right) < 1e-4


def layer_output(model, images, path):
    kept = []
    hook = model.get_submodule(path).register_forward_hook(
        lambda module, inputs, output: kept.append(output)
    )
    model(images)
    hook.remove()
    return kept[0]


class Branches(nn.Module):
    """A layer that no score depends on, one that is never used, one that gives a tuple."""

    def __init__(self):
        super().__init__()
        self.beside, self.unused = nn.Conv2d(3, 2, 1), nn.Conv2d(3, 2, 1)
        self.pair = Pair()
        self.last = nn.Conv2d(3, 4, 1)

    def forward(self, x):
        self.beside(x)
        return self.last(self.pair(x)[0]).mean((2, 3))


class Pair(nn.Module):
    def forward(self, x):
        return x, x


@pytest.mark.parametrize(
    ("layer", "target", "sentence"),
    [
        ("unused", 0, "^layer must be one the model uses, got 'unused'"),
        (
            "beside",
            0,
            "^layer must lead to the score.* on what 'beside' gives",
        ),
        ("pair", 0, "^layer must give a tensor; 'pair' gives a tuple"),
        (
            "last",
            Unit("beside", 0),
            "^layer must lead to the score.* on what 'last'",
        ),
        ("lst", 0, "^layer must be a layer of Branches, got 'lst'; near: last"),
    ],
)
def test_a_layer_that_does_not_serve_is_refused(layer, target, sentence):
    model = Branches()
    before = toys.state(model)
    with pytest.raises(ValueError, match=sentence):
        layer_gradient(model, toys.batch(), target, layer)
    assert toys.state(model) == before


def test_a_layer_wants_a_name():
    with pytest.raises(TypeError, match="^layer must be the path or name"):
        layer_gradient(Branches(), toys.batch(), 0, nn.ReLU())


def test_layer_gradient_leaves_everything_as_it_was():
    model, images = toys.Busy().train(), toys.batch()
    before = toys.state(model, images)
    gradient = layer_gradient(model, images, 1, "conv", "guided")
    assert toys.state(model, images) == before
    assert not gradient.requires_grad
