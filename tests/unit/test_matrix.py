"""Many networks × every method: right, or refused, as ``docs/networks.md`` says."""

import warnings

import network_matrix as matrix
import pytest
import torch
import torch.nn.functional as F
import toys
from torch import nn
from torchvision import models

from course_utils import (
    Unit,
    deconvnet,
    grad_cam,
    guided_backprop,
    input_gradient,
    integrated_gradients,
    layer_gradient,
    load_model,
    occlusion,
    smooth_grad,
    vanilla_saliency,
    visualize_class,
)
from course_utils._machinery.hooks import watching
from course_utils.models import layer_path
from course_utils.relu_rules import relu_rule

IN_EVERY_RUN = ("squeezenet1_1", "resnet18", "googlenet", "vit_b_16")
NETWORKS = [
    pytest.param(name, marks=[] if name in IN_EVERY_RUN else [pytest.mark.nightly])
    for name in matrix.NETWORKS
]


@pytest.mark.parametrize("name", NETWORKS)
def test_the_documented_line_is_computed(name):
    assert matrix.row(name) == matrix.documented_rows()[name]
    matrix.plain_gradients.cache_clear()
    matrix.network.cache_clear()


def test_the_page_holds_every_network_once_and_every_method():
    lines = matrix.PAGE.read_text(encoding="utf-8").splitlines()
    assert [*matrix.documented_rows()] == [*matrix.NETWORKS]
    assert "| " + " | ".join(matrix.HEAD) + " |" in lines
    assert len(matrix.NETWORKS) >= 20


def test_a_wrong_result_ends_the_run(monkeypatch):
    """The table cannot lie: with another rule in place of the gradient it fails."""
    monkeypatch.setattr(matrix, "input_gradient", guided_backprop)
    with pytest.raises(AssertionError, match="squeezenet1_1, gradient: off by"):
        matrix.cell(matrix.network("squeezenet1_1"), "gradient")


# -- ReLUs, and what is none -------------------------------------------------------------

CLAMPS = {
    "clamp": lambda x: x.clamp(min=0),
    "clamp by position": lambda x: torch.clamp(x, 0),
    "clamp_": lambda x: x.clamp_(min=0.0),
    "clamp_min": lambda x: x.clamp_min(0),
    "clip": lambda x: torch.clip(x, min=0),
}


@pytest.mark.parametrize("rule", ["guided", "deconvnet"])
@pytest.mark.parametrize("way", CLAMPS)
def test_clamping_at_zero_is_a_relu(way, rule):
    right = input_gradient(toys.Written(nn.ReLU()), toys.batch(), [1, 2], rule)
    got = input_gradient(toys.Written(CLAMPS[way]), toys.batch(), [1, 2], rule)
    assert toys.relative_error(got, right) < 1e-5


@pytest.mark.parametrize("limits", [{"min": 0.1}, {"max": 6}, {"min": -1, "max": 1}])
def test_other_clamps_are_none(limits):
    def other(x):
        return x.clamp(**limits)

    with pytest.raises(ValueError, match="^model must have a ReLU on the way"):
        guided_backprop(toys.Written(other), toys.batch(), 0)


OTHERS = {
    "GELU": nn.GELU(),
    "SiLU": nn.SiLU(inplace=True),
    "Hardswish": nn.Hardswish(),
    "leaky ReLU": nn.LeakyReLU(),
    "PReLU": nn.PReLU(),
    "ELU": nn.ELU(),
    "SELU": nn.SELU(),
    "CELU": nn.CELU(),
    "Mish": nn.Mish(),
    "softplus": nn.Softplus(),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_network_without_relus_is_refused_and_a_mixed_one_is_named(name):
    other, images = OTHERS[name], toys.batch()
    alone = toys.Written(other)
    with pytest.raises(ValueError, match="model must have a ReLU .* Written has none"):
        guided_backprop(alone, images, 0)
    mixed = toys.Written(lambda x: other(F.relu(x) - 0.1))
    with pytest.warns(UserWarning, match=f"Written's {name} keep their plain"):
        guided_backprop(mixed, images, 0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        input_gradient(mixed, images, 0)  # the plain gradient has nothing to confess


def test_relus_beside_the_way_of_the_picture_do_not_count():
    class Beside(toys.Written):
        def forward(self, x):
            return super().forward(x) * F.relu(self.conv.bias).sum()

    with pytest.raises(ValueError, match="Beside has none"):
        deconvnet(Beside(nn.GELU()), toys.batch(), 0)
    with torch.no_grad(), relu_rule("guided") as relus:
        Beside(nn.GELU())(toys.batch())
    assert relus.met == 1


# -- layers with their channels last -----------------------------------------------------


@pytest.mark.parametrize(
    ("name", "layer"), [("swin_t", "features.5"), ("convnext_tiny", "fc1")]
)
@pytest.mark.parametrize("size", [(64, 64), (64, 96)])
def test_rows_are_not_taken_for_channels(name, layer, size):
    model, images = load_model(name, "random"), torch.randn(1, 3, *size)
    with pytest.raises(ValueError, match="^targets must be a Unit of a layer that gives"):
        vanilla_saliency(model, images, Unit(layer, 1))
    found, seen = grad_cam(model, images, 3, layer), []
    module = model.get_submodule(layer_path(model, layer))
    with watching({"": module}, lambda _, output: seen.append(output.detach())):
        model(images)
    slopes = layer_gradient(model, images, 3, layer)  # (1, rows, columns, channels)
    coarse = (slopes.mean((1, 2), keepdim=True) * seen[0]).sum(3).relu()
    right = F.interpolate(coarse[None], images.shape[2:], mode="bilinear")[0]
    assert right.any()
    assert toys.relative_error(found, right) < 1e-4


def test_oblong_pictures_give_oblong_maps():
    model, images = load_model("resnet18", "random"), toys.batch(1, 64)[..., :40, :]
    for layer in ("conv1", "layer2", "layer4"):
        vanilla_saliency(model, images, Unit(layer, 1))
        assert grad_cam(model, images, 3, layer).shape == (1, 40, 64)


# -- other kinds of numbers and layouts ---------------------------------------------------

METHODS = {
    "vanilla": vanilla_saliency,
    "guided": guided_backprop,
    "layer": lambda m, x, t: layer_gradient(m, x, t, "conv2"),
    "smooth": lambda m, x, t: smooth_grad(m, x, t, samples=2),
    "integrated": lambda m, x, t: integrated_gradients(m, x, t, steps=3),
    "grad_cam": lambda m, x, t: grad_cam(m, x, t, "conv2"),
    "occlusion": lambda m, x, t: occlusion(m, x[:1], t, 8, 4).drops,
    "whole pictures": lambda m, x, t: occlusion(m, x[:1], t, 8, 4, incremental=False).drops,
    "visualize": lambda m, x, t: visualize_class(m, t, steps=1, size=16, jitter=0).pixels,
}


def small():
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return nn.Sequential(
            *(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(inplace=True)),
            *(nn.Conv2d(8, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2)),
            *(nn.Flatten(), nn.Dropout(), nn.Linear(32, 5)),
        ).eval()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float64, 1e-4), (torch.bfloat16, 0.3), (torch.float16, 0.05)],
)
def test_networks_of_other_precision(method, dtype, tolerance):
    images = toys.batch(2, 16)
    right = METHODS[method](small(), images, 3)
    got = METHODS[method](small().to(dtype), images.to(dtype), 3)
    assert torch.isfinite(got).all()
    assert (got.to(right) - right).norm() < tolerance * right.norm()


@pytest.mark.parametrize("method", METHODS)
def test_networks_with_their_weights_in_another_layout(method):
    images = toys.batch(2, 16)
    right = METHODS[method](small(), images, 3)
    turned = small().to(memory_format=torch.channels_last)
    layouts = (images, images.to(memory_format=torch.channels_last))
    for same in layouts:
        assert toys.relative_error(METHODS[method](turned, same, 3), right) < 1e-3


@pytest.mark.parametrize("method", METHODS)
def test_networks_in_training_mode_are_asked_in_evaluation_mode(method):
    images = toys.batch(2, 16)
    right = METHODS[method](small(), images, 3)
    assert torch.equal(METHODS[method](small().train(), images, 3), right)


def test_auxiliary_heads_play_no_part():
    model = models.googlenet(weights=None, init_weights=False).double()
    images = toys.batch(1, 64).double()
    right = input_gradient(model.eval(), images, 3)
    assert torch.equal(input_gradient(model.train(), images, 3), right)
    assert model.training and model.aux1.training
