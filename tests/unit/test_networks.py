"""One piece of code, every network: summaries, and the learner's own from end to end."""

import captum.attr
import pytest
import torch
import toys
from torch import nn

from course_utils import (
    class_name,
    deprocess,
    load_model,
    load_samples,
    preprocess,
    summarize,
    vanilla_saliency,
)
from course_utils.models import download_size

CIFAR10 = ["airplane", "automobile", "bird", "cat", "deer"]
CIFAR10 += ["dog", "frog", "horse", "ship", "truck"]
CIFAR_LOOK = {"mean": (0.491, 0.482, 0.447), "std": (0.247, 0.243, 0.262)}


def small_network(classes=10):
    """What a first exercise on CIFAR-10 builds."""
    return nn.Sequential(
        *(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Dropout(), nn.Linear(32 * 8 * 8, classes)),
    )


# -- maps of the learner's own network -------------------------------------------------


def test_a_network_of_ones_own_from_checkpoint_to_map(tmp_path):
    torch.manual_seed(0)
    trained = small_network()
    torch.save(trained.state_dict(), tmp_path / "small.pt")
    model = load_model(small_network(), tmp_path / "small.pt")
    photos = load_samples(3).images
    images = preprocess(photos, size=32, fit="stretch", **CIFAR_LOOK)
    targets = model(images).argmax(dim=1)
    assert all(class_name(index, CIFAR10) in CIFAR10 for index in targets)
    right = captum.attr.Saliency(trained.eval()).attribute(
        images.clone().requires_grad_(), target=targets
    )
    maps = vanilla_saliency(model, images)
    assert maps.shape == (3, 32, 32)
    assert toys.relative_error(maps, right.amax(dim=1)) < 1e-4
    seen = deprocess(images, **CIFAR_LOOK)[0]
    assert seen.tobytes() == photos[0].resize((32, 32), 2).tobytes()


# -- summaries -------------------------------------------------------------------------


def rows(model, **options):
    return {
        layer.path: (layer.kind, layer.shape, layer.parameters)
        for layer in summarize(model, **options).layers
    }


def test_summary_of_a_small_network_by_hand():
    assert rows(small_network(), size=32) == {
        "0": ("Conv2d", (16, 32, 32), 16 * 3 * 9 + 16),
        "1": ("ReLU", (16, 32, 32), 0),
        "2": ("MaxPool2d", (16, 16, 16), 0),
        "3": ("Conv2d", (32, 16, 16), 32 * 16 * 9 + 32),
        "4": ("ReLU", (32, 16, 16), 0),
        "5": ("MaxPool2d", (32, 8, 8), 0),
        "6": ("Flatten", (2048,), 0),
        "7": ("Dropout", (2048,), 0),
        "8": ("Linear", (10,), 20490),
    }


def test_summary_prints_as_a_table():
    text = str(summarize(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU()), size=10))
    assert text.splitlines() == [
        "layer       kind    output  parameters",
        "0           Conv2d   8×8×8         224",
        "1           ReLU     8×8×8           0",
        "Sequential  in all                 224",
    ]


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_summary_counts_every_parameter_at_any_depth(depth):
    model = load_model()
    count = sum(p.numel() for p in model.parameters())
    summary = summarize(model, size=64, depth=depth)
    assert summary.parameters == count == 1_235_496
    assert sum(layer.parameters for layer in summary.layers) == count
    paths = [layer.path for layer in summary.layers]
    assert max(path.count(".") + 1 for path in paths) == depth
    assert len(set(paths)) == len(paths)


@pytest.mark.parametrize("name", ["alexnet", "vgg19", "resnet18", "densenet121"])
def test_summary_ends_in_the_scores(name):
    model = load_model(name, "random")
    summary = summarize(model, size=64)
    assert summary.name == type(model).__name__
    assert summary.layers[-1].shape == (1000,)
    assert summary.parameters == sum(p.numel() for p in model.parameters())


def test_summary_names_a_layer_that_is_never_used():
    class Idle(nn.Module):
        def __init__(self):
            super().__init__()
            self.idle, self.used = nn.Linear(2, 2), nn.Conv2d(3, 1, 1)

        def forward(self, x):
            return self.used(x)

    assert rows(Idle(), size=4) == {
        "used": ("Conv2d", (1, 4, 4), 4),
        "idle": ("Linear", None, 6),
    }
    assert "–" in str(summarize(Idle(), size=4))


@pytest.mark.parametrize("trouble", [None, RuntimeError("no"), KeyboardInterrupt()])
def test_summary_leaves_the_network_unchanged(trouble):
    model = toys.Busy(trouble).train()
    model.norm.eval()
    before = toys.state(model)
    if trouble is None:
        assert summarize(model, size=8).layers
    else:
        with pytest.raises(type(trouble)):
            summarize(model, size=8)
    assert toys.state(model) == before


def test_a_size_that_the_network_cannot_take():
    with pytest.raises(
        RuntimeError,
        match=r"^images of shape \(1, 3, 48, 48\) do not go through Sequential",
    ):
        summarize(small_network(), size=48)


# -- downloads -------------------------------------------------------------------------


def test_size_of_a_download_is_known_without_a_network():
    assert round(download_size("alexnet")) == 233
    assert round(download_size("vgg19")) == 548
    assert download_size("vit_h_14") is None  # has no weights of that version
    with pytest.raises(ValueError, match="^name must be .*, got 'alexnett'; did you mean"):
        download_size("alexnett")
