"""Grad-CAM: by hand, beside Captum and pytorch-grad-cam, at any layer."""

import captum.attr
import pytest
import torch
import toys
from torch import nn

from course_utils import Unit, grad_cam, load_model, load_samples, preprocess

LAST = {
    "resnet18": "layer4",
    "densenet121": "features",
    "mobilenet_v2": "features",
    "vgg11": "avgpool",
    "alexnet": "avgpool",
}


class Channels(nn.Module):
    """The pixels are the channels; score k = Σ of the mean channels times w[k]."""

    def __init__(self, weight):
        super().__init__()
        self.same, self.weight = nn.Identity(), nn.Parameter(torch.tensor(weight))

    def forward(self, x):
        return self.same(x).mean((2, 3)) @ self.weight.T


def test_by_hand():
    images = toys.batch(2, 4)
    found = grad_cam(Channels([[8.0, -4.0, 0.0]]), images, 0, layer="same")
    right = (8 / 16 * images[:, 0] - 4 / 16 * images[:, 1]).relu()
    assert torch.allclose(found, right, atol=1e-6)
    assert torch.equal(found, grad_cam(Channels([[8.0, -4.0, 0.0]]), images, 0))


@pytest.mark.parametrize("name", toys.NETWORKS)
def test_agrees_with_captum(name):
    model, images = load_model(name, "random"), toys.batch(2, 224)
    found = grad_cam(model, images, [3, 5], LAST[name])
    theirs = captum.attr.LayerGradCam(model, model.get_submodule(LAST[name])).attribute(
        images, target=[3, 5], relu_attributions=True
    )
    theirs = captum.attr.LayerAttribution.interpolate(theirs, (224, 224), "bilinear")[:, 0]
    assert torch.allclose(found, theirs, atol=1e-4 * (theirs.max().item() or 1))
    assert torch.equal(found, grad_cam(model, images, [3, 5]))  # the last with places


@pytest.mark.parametrize("layer", ["features.12", "features.7"])
def test_agrees_with_pytorch_grad_cam(layer):
    other = pytest.importorskip("pytorch_grad_cam")
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    model, images = load_model(), preprocess(load_samples(2).images)
    ours = grad_cam(model, images, [235, 1], layer)
    with other.GradCAM(model, [model.get_submodule(layer)]) as method:
        theirs = torch.from_numpy(
            method(
                images.clone().requires_grad_(),
                [ClassifierOutputTarget(235), ClassifierOutputTarget(1)],
            )
        )
    for mine, its in zip(ours, theirs, strict=True):  # theirs is stretched to 0 … 1
        mine = (mine - mine.min()) / (mine.max() - mine.min())
        assert (mine - its).abs().max() < 0.02


def test_squeezenets_last_layer_holds_the_score():
    model, images = load_model(), preprocess(load_samples(1).images)
    with torch.no_grad():
        score = model(images)[0, 235].item()
    coarse = grad_cam(model, images, 235)
    assert coarse.mean().item() * 13**2 == pytest.approx(score, rel=0.02)


def test_a_batch_gives_the_maps_of_its_pictures():
    model, images = load_model(), preprocess(load_samples(3).images, 128)
    whole = grad_cam(model, images, [235, 1, 967], "fire9")
    for k, target in enumerate((235, 1, 967)):
        assert torch.allclose(
            whole[k], grad_cam(model, images[[k]], target, "fire9")[0], atol=1e-5
        )


def test_a_hidden_unit_is_seen_from_the_layers_before_it():
    model, images = load_model(), preprocess(load_samples(1).images, 96)
    unit = Unit("fire5", 3)
    found = grad_cam(model, images, unit)
    assert torch.equal(found, grad_cam(model, images, unit, "fire5"))
    with pytest.raises(ValueError, match="does not depend on what 'fire9' gives"):
        grad_cam(model, images, unit, "fire9")


def test_in_place_layers_are_read_as_they_were():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Flatten())
    model = nn.Sequential(*model, nn.Linear(4 * 36, 3))
    images = toys.batch(1)
    before = model[0](images)
    weights = torch.autograd.grad(model(images)[0, 1], model[0].bias)[0] / 36
    right = (weights[:, None, None] * before[0]).sum(0).relu()
    found = grad_cam(model, images, 1, "0")
    right = nn.functional.interpolate(right[None, None], (8, 8), mode="bilinear")[0, 0]
    assert torch.allclose(found[0], right, atol=1e-5)


def test_the_model_is_left_as_it_was_also_after_errors():
    model, images = toys.Busy().train(), toys.batch(2)
    before = toys.state(model, images)
    grad_cam(model, images)
    assert toys.state(model, images) == before
    for trouble in (RuntimeError("no"), KeyboardInterrupt()):
        broken = toys.Busy(trouble).train()
        before = toys.state(broken, images)
        with pytest.raises(type(trouble)):
            grad_cam(broken, images)
        assert toys.state(broken, images) == before


def test_a_map_of_zeros_is_warned_of():
    with pytest.warns(
        UserWarning,
        match="map of image 1 is zero: no place of layer",
    ):
        found = grad_cam(
            Channels([[1.0, 0.0, 0.0]]),
            torch.ones(2, 3, 4, 4) * torch.tensor([1.0, -1.0]).view(2, 1, 1, 1),
            0,
        )
    assert found[0].min() > 0
    assert not found[1].any()


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        ("nowhere", "layer must be a layer of Busy, got 'nowhere'"),
        (3, "layer must be the path or name of one, got 3"),
        (
            "fc",
            "layer must give a map, with rows and columns .*; 'fc' gives .* such as 'conv'",
        ),
    ],
)
def test_bad_layers_are_named(layer, words):
    with pytest.raises((TypeError, ValueError), match=words):
        grad_cam(toys.Busy(), toys.batch(1), 0, layer)


def test_a_network_without_places_is_refused():
    with pytest.raises(ValueError, match="layer must give a map of more than one place"):
        grad_cam(toys.TwoLayers(), torch.ones(1, 2, 1, 1), 0)


class Decoder(nn.Module):
    """Its map is made from a code of the whole picture, and lies nowhere in it."""

    def __init__(self):
        super().__init__()
        self.code, self.fc = nn.Linear(3 * 16 * 16, 32), nn.Linear(6, 4)
        self.draw = nn.ConvTranspose2d(8, 6, 4, 2, 1)

    def forward(self, x):
        code = torch.relu(self.code(x.flatten(1))).unflatten(1, (8, 2, 2))
        return self.fc(torch.relu(self.draw(code)).mean((2, 3)))


def test_a_map_that_was_drawn_from_a_code_is_none():
    for seed in range(20):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = Decoder().eval()
        with pytest.raises(ValueError, match="^layer must give a map of more than one"):
            grad_cam(model, toys.batch(1, 16), 1)
