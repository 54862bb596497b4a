"""Gradient maps: right by hand, by finite differences, and beside other implementations."""

import sys
from contextlib import nullcontext
from functools import cache

import captum.attr
import numpy as np
import pytest
import torch
import torch.nn.functional as F
import toys
from network_matrix import ruled_gradient
from torch import nn
from torchvision.models import DenseNet, VisionTransformer

from course_utils import (
    Unit,
    deconvnet,
    guided_backprop,
    input_gradient,
    load_model,
    load_samples,
    preprocess,
    vanilla_saliency,
)
from course_utils.relu_rules import RULES, relu_rule

MAPS = {
    "vanilla": vanilla_saliency,
    "guided": guided_backprop,
    "deconvnet": deconvnet,
}
every_rule = pytest.mark.parametrize("rule", RULES)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """These networks and pictures are so small that threads only wait for one another."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@cache
def bundled():
    return load_model()


@cache
def photographs(size=112):
    return preprocess(load_samples(7).images, size)


def captum_gradient(model, images, targets):
    return captum.attr.Saliency(model).attribute(
        images.clone().requires_grad_(), target=targets, abs=False
    )


# -- by hand ---------------------------------------------------------------------------


def test_map_of_a_linear_score_is_its_weight():
    weight = toys.batch(4, 5)
    model, images = toys.Linear(weight, bias=3.0), toys.batch(2, 5, seed=1)
    gradient = input_gradient(model, images, [3, 1])
    assert torch.equal(gradient, weight[[3, 1]])
    maps = vanilla_saliency(model, images, [3, 1])
    assert torch.equal(maps, weight[[3, 1]].abs().amax(dim=1))


def test_map_takes_the_largest_absolute_slope_of_the_colours():
    weight = torch.tensor([1.0, -3.0, 2.0]).view(1, 3, 1, 1)
    assert vanilla_saliency(toys.Linear(weight), torch.ones(1, 3, 1, 1), 0).item() == 3


X = [[1, -1, 2, -2], [-3, 3, 1, 0], [0.5, 2, -1, -1], [4, -4, 0, 1]]
G = [[1, 2, -1, -2], [3, 1, -1, 2], [-2, 1, 1, -1], [0, 2, 5, 1]]
BY_HAND = {
    "vanilla": [[1, 0, -1, 0], [0, 1, -1, 0], [-2, 1, 0, 0], [0, 0, 0, 1]],
    "deconvnet": [[1, 2, 0, 0], [3, 1, 0, 2], [0, 1, 1, 0], [0, 2, 5, 1]],
    "guided": [[1, 0, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]],
}


@every_rule
def test_rules_on_four_by_four_numbers(rule):
    picture = torch.tensor(X)[None, None].float()
    gradient = input_gradient(toys.OneReLU(G), picture, 0, rule)
    assert gradient[0, 0].tolist() == BY_HAND[rule]


# x = (1, 1): A x = (-1, 4), hidden = (0, 4), B hidden = (-4, 4): class 1 alone is alive.
# Backwards from class 1, where g = 1 arrives at the hidden layer as its row of B, (-1, 1):
#   vanilla    passes the live neuron:      (0, 1) A = (3, 1)
#   deconvnet  passes what is positive:     (0, 1) A = (3, 1)
# For class 0 the outer ReLU is dead: only deconvnet passes it, g = (2, -1) → (2, 0) A.
TWO_LAYERS = {
    ("vanilla", 1): [3, 1],
    ("guided", 1): [3, 1],
    ("deconvnet", 1): [3, 1],
    ("deconvnet", 0): [2, -4],
}


@pytest.mark.parametrize(("rule", "target"), TWO_LAYERS)
def test_rules_through_two_layers_and_one_module_used_twice(rule, target):
    gradient = input_gradient(toys.TwoLayers(), torch.ones(1, 1, 1, 2), target, rule)
    assert gradient.flatten().tolist() == TWO_LAYERS[rule, target]


@pytest.mark.parametrize("rule", ["vanilla", "guided"])
def test_score_behind_a_dead_relu_warns_of_its_zero_map(rule):
    with pytest.warns(UserWarning, match="gradient of image 0 is zero at every pixel"):
        gradient = input_gradient(toys.TwoLayers(), torch.ones(1, 1, 1, 2), 0, rule)
    assert not gradient.any()


def test_the_warning_names_each_dead_picture_and_no_other():
    pictures = torch.tensor([[1.0, 1.0], [1.0, -1.0]]).view(2, 1, 1, 2)
    with pytest.warns(UserWarning) as caught:
        input_gradient(toys.TwoLayers(), pictures, 0)
    assert len(caught) == 1
    assert "image 0" in str(caught[0].message)


def test_gradient_that_is_not_finite_warns():
    root = toys.Written(lambda x: (x - x).sqrt())
    with pytest.warns(UserWarning, match="gradient of image 0 holds NaN"):
        input_gradient(root, toys.batch(1), 0)


# -- finite differences ----------------------------------------------------------------


def test_gradient_is_the_slope_measured_by_finite_differences():
    model = toys.Busy().double().eval()
    image, step = toys.batch(1, 6).double(), 1e-6
    slopes = torch.empty(image.numel(), dtype=torch.float64)
    with torch.no_grad():
        for pixel in range(image.numel()):
            nudge = torch.zeros_like(image)
            nudge.view(-1)[pixel] = step
            slopes[pixel] = (model(image + nudge) - model(image - nudge))[0, 2] / (2 * step)
    gradient = input_gradient(model, image, 2)
    assert toys.relative_error(gradient, slopes.view_as(image)) < 1e-8


def test_gradient_of_a_photograph_agrees_with_finite_differences():
    model = load_model().double()
    image = photographs()[:1].double()
    gradient = input_gradient(model, image, 207)
    for flat in gradient.abs().flatten().topk(5).indices.tolist():
        nudge = torch.zeros_like(image)
        nudge.view(-1)[flat] = 1e-5
        with torch.no_grad():
            slope = (model(image + nudge) - model(image - nudge))[0, 207] / 2e-5
        assert gradient.view(-1)[flat].item() == pytest.approx(slope.item(), rel=1e-6)


# -- beside Captum ---------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 5, 7])
def test_saliency_of_photographs_agrees_with_captum(count):
    model, images = bundled(), photographs(224)[:count]
    targets = model(images).argmax(dim=1)
    right = captum_gradient(model, images, targets)
    assert toys.relative_error(input_gradient(model, images), right) < 1e-4
    maps = vanilla_saliency(model, images, targets)
    assert toys.relative_error(maps, right.abs().amax(dim=1)) < 1e-4


@pytest.mark.parametrize("name", MAPS)
def test_a_batch_gives_the_maps_of_its_pictures_one_by_one(name):
    # In double precision: in single, a neuron within rounding of zero may flip its ReLU.
    method, model, images = MAPS[name], load_model().double(), photographs()[:3].double()
    together = method(model, images)
    alone = torch.cat([method(model, image[None]) for image in images])
    assert toys.relative_error(together, alone) < 1e-9


@pytest.mark.parametrize("name", MAPS)
def test_a_batch_in_single_precision_differs_by_no_more_than_a_flipped_neuron(name):
    method, model, images = MAPS[name], bundled(), photographs()[:4]
    alone = torch.cat([method(model, image[None]) for image in images])
    assert toys.relative_error(method(model, images), alone) < 0.01


@pytest.mark.parametrize("targets", [None, 1, range(20), Unit("conv", 3), "function"])
def test_a_large_batch_goes_through_in_groups(targets, monkeypatch):
    monkeypatch.setattr(sys.modules["course_utils.targets"], "PIXELS_AT_ONCE", 8 * 8 * 8)
    model, images, seen = toys.Written(F.relu), toys.batch(20), []
    if targets == "function":  # may compare the pictures of the batch: sees all of them
        targets = lambda outputs: outputs[:, 1]  # noqa: E731
    elif isinstance(targets, range):
        targets = [t % 5 for t in targets]
    model.register_forward_hook(lambda module, inputs, outputs: seen.append(len(outputs)))
    found = input_gradient(model, images, targets)
    assert seen == ([20] if callable(targets) else [8, 8, 4])
    alone = [
        input_gradient(model, image[None], t)
        for image, t in zip(
            images, targets if isinstance(targets, list) else [targets] * 20, strict=True
        )
    ]
    assert toys.relative_error(found, torch.cat(alone)) < 1e-5


@pytest.mark.parametrize(
    ("name", "size"),
    [("vgg19", 32), ("mobilenet_v3_large", 64), ("efficientnet_b0", 64)],
)
def test_vanilla_agrees_with_captum_on_a_random_network(name, size):
    model, images = load_model(name, "random"), toys.batch(2, size)
    right = captum_gradient(model, images, 5)
    assert toys.relative_error(input_gradient(model, images, 5), right) < 1e-4


def test_vanilla_agrees_with_captum_on_a_vision_transformer():
    model = VisionTransformer(
        image_size=32, patch_size=8, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=32
    )
    nn.init.normal_(model.heads.head.weight)  # torchvision begins with zeros
    images = toys.batch(2, 32)
    gradient = input_gradient(model.train(), images, [3, 4])
    right = captum_gradient(model.eval(), images, [3, 4])
    assert toys.relative_error(gradient, right) < 1e-4


# -- guided and deconvnet beside a reference of another make ---------------------------


# name → how many ReLUs a picture passes. MobileNet v2's are ReLU6.
RELUS = {
    "squeezenet1_1": 26,
    "alexnet": 7,
    "vgg11": 10,
    "resnet18": 17,
    "densenet121": 121,
    "googlenet": 57,
    "mobilenet_v3_small": 14,
    "mobilenet_v2": 35,
}


@pytest.fixture(scope="module", params=RELUS)
def network(request):
    return request.param, load_model(request.param, "random")


@pytest.mark.parametrize("rule", ["guided", "deconvnet"])
def test_rule_agrees_with_the_reference(network, rule):
    _, model = network
    images = toys.batch(2, 64)
    right = ruled_gradient(model, images, [3, 5], rule)
    assert toys.relative_error(input_gradient(model, images, [3, 5], rule), right) < 1e-4
    assert toys.relative_error(input_gradient(model, images, [3, 5]), right) > 0.01


def test_vanilla_agrees_with_captum(network):
    _, model = network
    images = toys.batch(2, 64)
    right = captum_gradient(model, images, [3, 5])
    assert toys.relative_error(input_gradient(model, images, [3, 5]), right) < 1e-4


def test_every_relu_is_met(network):
    name, model = network
    with torch.no_grad(), relu_rule("guided") as relus:
        model(toys.batch(1, 64))
    assert relus.met == RELUS[name]


@pytest.mark.parametrize("rule", ["guided", "deconvnet"])
def test_rule_agrees_with_the_reference_on_a_photograph(rule):
    model, images = bundled(), photographs()[:2]
    right = ruled_gradient(model, images, [207, 1], rule)
    assert toys.relative_error(input_gradient(model, images, [207, 1], rule), right) < 1e-4


@pytest.mark.parametrize("rule", ["guided", "deconvnet"])
@pytest.mark.parametrize("way", toys.Written.WAYS)
def test_every_way_to_write_a_relu_gives_one_map(way, rule):
    model, images = toys.Written(toys.Written.WAYS[way]), toys.batch()
    right = ruled_gradient(toys.Written(nn.ReLU()), images, [1, 2], rule)
    assert toys.relative_error(input_gradient(model, images, [1, 2], rule), right) < 1e-5


@pytest.mark.parametrize("rule", ["guided", "deconvnet"])
@pytest.mark.parametrize("way", toys.Written.WAYS_6)
def test_every_way_to_write_a_relu6_gives_one_map(way, rule):
    model, images = toys.Written(toys.Written.WAYS_6[way]), toys.batch()
    right = ruled_gradient(toys.Written(nn.ReLU6()), images, [1, 2], rule)
    assert toys.relative_error(input_gradient(model, images, [1, 2], rule), right) < 1e-5


@every_rule
def test_scores_are_the_same_under_every_rule(rule):
    model, images = toys.Written(F.relu), toys.batch()
    seen = []
    input_gradient(
        model, images, lambda outputs: (seen.append(outputs), outputs[:, 0])[1], rule
    )
    assert torch.equal(seen[0], model(images))


def test_hardtanh_with_another_floor_is_no_relu():
    model = toys.Written(nn.Hardtanh())
    with pytest.raises(ValueError, match="ReLU"):
        guided_backprop(model, toys.batch(), 0)


def test_network_without_relus_is_refused_where_the_rule_needs_them():
    model, images = load_model("vit_b_16", "random"), toys.batch(1, 224)
    for method in (guided_backprop, deconvnet):
        with pytest.raises(ValueError, match=r"^model must have a ReLU .*'\w+'"):
            method(model, images, 0)


def test_relus_go_back_to_normal_after_the_rule():
    model, images = toys.Written(F.relu), toys.batch()
    before = input_gradient(model, images, 0)
    guided_backprop(model, images, 0)
    assert torch.equal(captum_gradient(model, images, 0), before)


# -- shape, type and kind of what comes back -------------------------------------------


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("count", [1, 2, 5])
def test_shapes(name, count):
    shape = (count, 8, 8) if name == "vanilla" else (count, 3, 8, 8)
    maps = MAPS[name](toys.Busy(), toys.batch(count))
    assert maps.shape == shape
    assert not maps.requires_grad


def test_saliency_is_not_negative():
    assert vanilla_saliency(bundled(), photographs()[:2]).min() >= 0


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_maps_have_the_floating_type_of_the_network(dtype):
    maps = vanilla_saliency(toys.Busy().to(dtype), toys.batch().to(dtype))
    assert maps.dtype == dtype
    assert torch.isfinite(maps).all()


def test_other_memory_layouts_give_the_same_map():
    model, images = toys.Busy(), toys.batch(2, 9)
    right = input_gradient(model, images, 1)
    for same in (
        images.to(memory_format=torch.channels_last),
        images.transpose(2, 3).contiguous().transpose(2, 3),
    ):
        assert toys.relative_error(input_gradient(model, same, 1), right) < 1e-6


# -- nothing is disturbed --------------------------------------------------------------


def disturbed_model(trouble=None):
    """A network in a state of its own: mixed flags, gradients, a hook, in training mode."""
    model = toys.Busy(trouble).train()
    model.norm.eval()
    model.fc.bias.requires_grad_(False)
    model.conv.weight.grad = torch.ones_like(model.conv.weight)
    model.relu.register_forward_hook(lambda module, inputs, output: None)
    model.fc.register_full_backward_hook(lambda module, inputs, output: None)
    return model


def fail(outputs):
    raise ZeroDivisionError("in the learner's own function")


ENDINGS = {
    "success": (None, 1, nullcontext()),
    "success for a unit": (None, Unit("conv", 2), nullcontext()),
    "class out of range": (
        None,
        99,
        pytest.raises(ValueError, match="and 3, got 99"),
    ),
    "target of no kind": (None, "cat", pytest.raises(TypeError, match="targets")),
    "unknown layer": (None, Unit("conv9", 0), pytest.raises(ValueError, match="layer")),
    "unknown channel": (
        None,
        Unit("conv", 99),
        pytest.raises(ValueError, match="must name a channel"),
    ),
    "function that fails": (None, fail, pytest.raises(ZeroDivisionError)),
    "network that fails": (RuntimeError("no"), 1, pytest.raises(RuntimeError, match="no")),
    "network that fails oddly": (
        KeyError("no"),
        1,
        pytest.raises(RuntimeError, match="KeyError"),
    ),
    "network that fails for a unit": (
        *(KeyError("no"), Unit("conv", 2)),
        pytest.raises(RuntimeError, match="KeyError"),
    ),
    "interrupt": (KeyboardInterrupt(), 1, pytest.raises(KeyboardInterrupt)),
    "interrupt for a unit": (
        *(KeyboardInterrupt(), Unit("conv", 2)),
        pytest.raises(KeyboardInterrupt),
    ),
}


@every_rule
@pytest.mark.parametrize("ending", ENDINGS)
def test_everything_is_as_before(ending, rule):
    trouble, target, outcome = ENDINGS[ending]
    model, images = disturbed_model(trouble), toys.batch()
    before = toys.state(model, images)
    with outcome:
        input_gradient(model, images, target, rule)
    assert toys.state(model, images) == before


@pytest.mark.parametrize("name", MAPS)
def test_the_bundled_network_and_the_photographs_are_as_before(name):
    model, images = bundled(), photographs()[:2]
    before = toys.state(model, images)
    MAPS[name](model, images)
    assert toys.state(model, images) == before


def test_pictures_that_require_gradients_get_none():
    images = toys.batch().requires_grad_()
    before = toys.state(toys.Busy(), images)["images"]
    input_gradient(toys.Busy(), images, 1)
    assert toys.state(toys.Busy(), images)["images"] == before


def test_network_that_works_in_place_on_its_input_spares_the_pictures():
    class Impolite(toys.Busy):
        def forward(self, x):
            return super().forward(x.mul_(2).relu_())

    images = toys.batch()
    before = images.clone()
    guided_backprop(Impolite(), images, 1)
    assert torch.equal(images, before)


@every_rule
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_maps_do_not_depend_on_the_mode_around_them(mode, rule):
    model, images = toys.Busy(), toys.batch()
    right = input_gradient(model, images, 1, rule)
    with mode():
        before = toys.state(model, images)
        gradient = input_gradient(model, images, 1, rule)
        assert toys.state(model, images) == before
    assert torch.equal(gradient, right)
    assert not gradient.is_inference()


def test_all_can_be_made_in_inference_mode():
    with torch.inference_mode():
        model, images = load_model(), photographs()[:1] * 1
        assert images.is_inference()
        maps = vanilla_saliency(model, images)
    assert torch.equal(maps, vanilla_saliency(model, photographs()[:1]))


def test_training_mode_does_not_change_the_map():
    model, images = toys.Busy(), toys.batch(4)
    right = input_gradient(model.eval(), images, 1)
    for _ in range(2):
        assert torch.equal(input_gradient(model.train(), images, 1), right)


def test_frozen_parameters_do_not_change_the_map():
    model, images = toys.Busy(), toys.batch()
    right = input_gradient(model, images, 1)
    assert torch.equal(input_gradient(model.requires_grad_(False), images, 1), right)


def test_maps_repeat_and_memory_does_not_grow():
    model, images = toys.Busy(), toys.batch()
    maps = [guided_backprop(model, images, Unit("conv", 1)) for _ in range(3)]
    assert all(torch.equal(m, maps[0]) for m in maps)
    assert all(m.grad_fn is None for m in maps)


def test_checkpointed_network_gives_the_same_map_or_one_sentence():
    plain = DenseNet(8, (2, 2), 16)
    saving = DenseNet(8, (2, 2), 16, memory_efficient=True)
    saving.load_state_dict(plain.state_dict())
    images = toys.batch(1, 64)
    for rule in ("vanilla", "guided"):
        right = input_gradient(plain, images, 1, rule)
        assert toys.relative_error(input_gradient(saving, images, 1, rule), right) < 1e-4
    with pytest.raises(RuntimeError, match="^the model.s backward pass failed"):
        deconvnet(saving, images, 1)


def test_numpy_targets_give_the_map_of_the_same_classes():
    model, images = toys.Busy(), toys.batch()
    right = input_gradient(model, images, [1, 3])
    assert torch.equal(input_gradient(model, images, np.array([1, 3])), right)
