"""What is explained: every kind of target, read as one score per picture."""

import numpy as np
import pytest
import torch
import toys
from torch import nn

from course_utils import Unit, input_gradient, load_model, target_scores
from course_utils.targets import class_indices, explaining

WEIGHT = toys.batch(4, 5)


def linear():
    return toys.Linear(WEIGHT, bias=0.5)


# -- classes ---------------------------------------------------------------------------


def test_none_is_the_top_class_of_each_picture():
    images = torch.stack([WEIGHT[2], WEIGHT[0], WEIGHT[3]])  # each is most like itself
    assert torch.equal(input_gradient(linear(), images), WEIGHT[[2, 0, 3]])


@pytest.mark.parametrize("target", [2, np.int64(2), np.uint8(2), torch.tensor(2)], ids=repr)
def test_one_class_holds_for_all_pictures(target):
    images = toys.batch(3, 5)
    assert torch.equal(input_gradient(linear(), images, target), WEIGHT[[2, 2, 2]])


@pytest.mark.parametrize(
    "targets",
    [
        [3, 0],
        (3, 0),
        range(3, -1, -3),
        [torch.tensor(3), torch.tensor(0)],
        torch.tensor([3, 0]),
        torch.tensor([3, 0], dtype=torch.int32),
        np.array([3, 0]),
        np.array([3, 0], dtype=np.uint8),
    ],
    ids=repr,
)
def test_one_class_per_picture(targets):
    assert torch.equal(input_gradient(linear(), toys.batch(2, 5), targets), WEIGHT[[3, 0]])


def test_a_list_of_one_serves_a_batch_of_one():
    assert torch.equal(input_gradient(linear(), toys.batch(1, 5), [1]), WEIGHT[[1]])


def test_indices_may_lie_on_another_device():
    given = torch.tensor([1, 2], device="meta")
    assert class_indices(given, count=2).device.type == "meta"


def test_class_scores_are_taken_before_softmax():
    images = toys.batch(2, 5)
    scores = target_scores(linear(), images, [1, 2])
    assert torch.equal(scores, linear()(images)[[0, 1], [1, 2]])


# -- functions -------------------------------------------------------------------------


def test_function_of_the_outputs():
    images = toys.batch(2, 5)
    gradient = input_gradient(linear(), images, lambda scores: scores[:, 3] - scores[:, 1])
    assert torch.allclose(gradient, (WEIGHT[3] - WEIGHT[1]).expand(2, -1, -1, -1))


def test_a_loss_can_be_explained():
    images, labels = toys.batch(2, 5), torch.tensor([0, 2])

    def loss(scores):
        return nn.functional.cross_entropy(scores, labels, reduction="none")

    share = torch.softmax(linear()(images), dim=1) - nn.functional.one_hot(labels, 4)
    by_hand = torch.einsum("nk,kchw->nchw", share, WEIGHT)
    assert torch.allclose(input_gradient(linear(), images, loss), by_hand, atol=1e-6)


def test_a_function_serves_outputs_that_are_no_class_scores():
    class Segmenter(nn.Module):
        def forward(self, x):
            return {"out": 3 * x}

    gradient = input_gradient(
        Segmenter(), toys.batch(2, 4), lambda outputs: outputs["out"][:, 1, 2, 3]
    )
    right = torch.zeros(2, 3, 4, 4)
    right[:, 1, 2, 3] = 3
    assert torch.equal(gradient, right)


# -- hidden units ----------------------------------------------------------------------


class Hidden(nn.Module):
    """Two hidden channels, 1·red + 2·green and −1·blue; an in-place ReLU behind them."""

    def __init__(self):
        super().__init__()
        self.mix = nn.Conv2d(3, 2, 1, bias=False)
        kernel = torch.tensor([[1.0, 2.0, 0.0], [0.0, 0.0, -1.0]])
        self.mix.weight.data = kernel.view(2, 3, 1, 1)
        self.relu = nn.ReLU(inplace=True)
        self.unused = nn.Conv2d(2, 2, 1)
        self.fc = nn.Linear(2, 4)

    def forward(self, x):
        return self.fc(self.relu(self.mix(x)).mean((2, 3)))


def test_unit_at_a_position():
    gradient = input_gradient(Hidden(), toys.batch(2, 4), Unit("mix", 0, (1, 3)))
    right = torch.zeros(2, 3, 4, 4)
    right[:, 0, 1, 3], right[:, 1, 1, 3] = 1, 2
    assert torch.equal(gradient, right)


def test_unit_without_position_is_the_mean_over_all():
    gradient = input_gradient(Hidden(), toys.batch(2, 4), Unit("mix", 1))
    right = torch.zeros(2, 3, 4, 4)
    right[:, 2] = -1 / 16
    assert torch.equal(gradient, right)


def test_mean_over_positions_is_the_mean_of_their_maps():
    images = toys.batch(1, 3)
    each = [
        input_gradient(Hidden(), images, Unit("mix", 0, (row, column)))
        for row in range(3)
        for column in range(3)
    ]
    mean = input_gradient(Hidden(), images, Unit("mix", 0))
    assert torch.allclose(mean, torch.stack(each).mean(dim=0))


def test_unit_is_read_before_an_in_place_relu_changes_it():
    images = -toys.batch(2, 4).abs()  # channel 0 is negative everywhere, its ReLU dead
    scores = target_scores(Hidden(), images, Unit("mix", 0))
    assert torch.allclose(scores, (images[:, 0] + 2 * images[:, 1]).mean((1, 2)))
    gradient = input_gradient(Hidden(), images, Unit("mix", 0))
    assert (gradient[:, :2] > 0).all()
    assert not gradient[:, 2].any()


def test_unit_of_a_relu_stands_behind_it():
    images = -toys.batch(2, 4).abs()
    assert not target_scores(Hidden(), images, Unit("relu", 0)).any()


def test_unit_of_a_fully_connected_layer_is_a_class_when_it_is_the_last():
    model, images = toys.Busy(), toys.batch()
    for layer in ("fc", "fc1"):  # by path, by friendly name
        of_unit = input_gradient(model, images, Unit(layer, 2))
        assert torch.equal(of_unit, input_gradient(model, images, 2))


def test_unit_by_friendly_name_in_the_bundled_network():
    model, images = load_model(), toys.batch(1, 64)
    named = input_gradient(model, images, Unit("fire2", 5), rule="guided")
    assert torch.equal(
        named, input_gradient(model, images, Unit("features.3", 5), "guided")
    )
    assert named.any()


def test_unit_of_a_layer_used_twice_is_that_of_its_last_use():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.twofold = nn.Conv2d(3, 3, 1, groups=3, bias=False)
            nn.init.constant_(self.twofold.weight, 2)

        def forward(self, x):
            return self.twofold(self.twofold(x)).mean((2, 3))

    gradient = input_gradient(Twice(), toys.batch(1, 2), Unit("twofold", 1, (0, 0)))
    assert gradient[0, 1, 0, 0] == 4


def test_unit_of_a_layer_that_is_never_used_is_refused():
    with pytest.raises(
        ValueError, match="^targets must name a layer that the model uses, got 'unused'"
    ):
        target_scores(Hidden(), toys.batch(), Unit("unused", 0))


def test_the_layout_of_a_layer_is_looked_at_once_until_a_module_is_another():
    passes = []

    class Counted(nn.Sequential):
        def forward(self, x):
            passes.append(x.shape)
            return super().forward(x)

    class Last(nn.Module):
        def forward(self, x):
            return x.permute(0, 3, 1, 2)

    model = Counted(nn.Conv2d(3, 8, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    images = toys.batch(1, 8)
    for expected in (2, 1, 1):
        passes.clear()
        input_gradient(model, images, Unit("1", 2))
        assert len(passes) == expected
    passes.clear()
    input_gradient(model, images[..., :6], Unit("1", 2))
    assert len(passes) == 2
    model[1] = Last()
    with pytest.raises(ValueError, match="laid out as the picture is"):
        input_gradient(model, images, Unit("1", 2))


def test_no_hook_is_left_behind_by_a_unit():
    model = Hidden()
    before = toys.state(model)
    target_scores(model, toys.batch(), Unit("mix", 0))
    with pytest.raises(ValueError, match="must name a channel"):
        target_scores(model, toys.batch(), Unit("mix", 9))
    assert toys.state(model) == before


def test_units_can_be_compared_and_printed():
    assert Unit("fc3", 7) == Unit("fc3", 7, None)
    assert (
        repr(Unit("conv5", 1, (2, 3))) == "Unit(layer='conv5', channel=1, position=(2, 3))"
    )
    assert len({Unit("fc3", 7), Unit("fc3", 7), Unit("fc3", 8)}) == 2


# -- while a network is being explained ------------------------------------------------


def test_explaining_freezes_and_evaluates_every_module():
    model = toys.Busy().train()
    before = toys.state(model)
    with explaining(model):
        assert not any(module.training for module in model.modules())
        assert not any(p.requires_grad for p in model.parameters())
        assert torch.is_grad_enabled()
    assert toys.state(model) == before


def test_explaining_may_be_nested():
    model = toys.Busy().train()
    before = toys.state(model)
    with torch.no_grad():
        with explaining(model), explaining(model):
            assert torch.is_grad_enabled()
        assert not torch.is_grad_enabled()
    assert toys.state(model) == before
