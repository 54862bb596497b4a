"""Tests of maps, themselves tested: by hand, and by maps whose result is known."""

import numpy as np
import pytest
import torch
import toys
from torch import nn

from course_utils import (
    Unit,
    bootstrap_interval,
    deletion_insertion,
    grad_cam,
    guided_backprop,
    input_gradient,
    load_model,
    load_samples,
    pointing_game,
    preprocess,
    randomization_test,
    vanilla_saliency,
)
from course_utils.evaluation import (
    blocks_from_top,
    box_shares,
    centre_maps,
    edge_maps,
    forget,
    random_maps,
    rank_correlation,
    shares_in_boxes,
)

SIDE = 6


def linear(seed=0):
    return toys.Linear(toys.batch(3, SIDE, seed), bias=0.5)


def pixel_shares(model, image, target):
    """(H, W): what each pixel of a linear score gives."""
    return (model.weight[target] * image[0]).sum(0).detach()


# -- deletion and insertion ------------------------------------------------------------


def test_curves_of_a_linear_score_by_hand():
    model, image = linear(), toys.batch(1, SIDE, seed=9)
    shares = pixel_shares(model, image, 1)
    found = deletion_insertion(model, image, shares, 1, SIDE**2, score="logit")
    ordered = shares.flatten().sort(descending=True).values.double()
    shown = 0.5 + torch.cat([torch.zeros(1), ordered.cumsum(0)]).numpy()
    assert np.allclose(found.insertion, shown, atol=1e-5)
    assert np.allclose(found.deletion, 0.5 + shares.sum().item() - (shown - 0.5), atol=1e-5)
    steps = SIDE**2
    by_trapezia = ((shown[1:] + shown[:-1]) / 2).sum() / steps
    assert found.insertion_area == pytest.approx(by_trapezia, abs=1e-5)


def test_the_true_order_is_the_best_there_is():
    model, image = linear(), toys.batch(1, SIDE, seed=9)
    shares = pixel_shares(model, image, 1)
    best = deletion_insertion(model, image, shares, 1, SIDE**2, score="logit")
    for seed in range(20):
        values = torch.rand(SIDE, SIDE, generator=torch.Generator().manual_seed(seed))
        other = deletion_insertion(model, image, values, 1, SIDE**2, score="logit")
        assert best.deletion_area < other.deletion_area
        assert best.insertion_area > other.insertion_area


def test_random_maps_have_the_area_that_is_expected_of_them():
    model, image = linear(), toys.batch(1, SIDE, seed=9)
    areas = []
    for seed in range(200):
        values = torch.rand(SIDE, SIDE, generator=torch.Generator().manual_seed(seed))
        areas.append(deletion_insertion(model, image, values, 1, 6, score="logit"))
    with torch.no_grad():
        whole, empty = (model(x)[0, 1].item() for x in (image, 0 * image))
    for name in ("deletion_area", "insertion_area"):
        values = np.array([getattr(area, name) for area in areas])
        error = values.std() / len(values) ** 0.5
        assert abs(values.mean() - (whole + empty) / 2) < 4 * error


def test_curves_run_between_the_picture_and_the_fill():
    model, image = load_model(), preprocess(load_samples(1).images, 96)
    with torch.no_grad():
        whole = model(image).softmax(1)[0, 235].item()
    for fill in ("mean", "blur", "black", torch.randn(3, 96, 96)):
        found = deletion_insertion(model, image, torch.rand(96, 96), 235, 3, fill)
        with torch.no_grad():
            empty = model(found.filler).softmax(1)[0, 235].item()
        assert found.deletion[[0, -1]] == pytest.approx([whole, empty], rel=1e-3)
        assert found.insertion[[0, -1]] == pytest.approx([empty, whole], rel=1e-3)
        assert found.shares.tolist() == pytest.approx([0, 1 / 3, 2 / 3, 1])


def test_hidden_pixels_are_the_strongest_ones():
    image = torch.ones(1, 3, 4, 4)
    saliency = torch.arange(16.0).view(4, 4)
    found = deletion_insertion(toys.Linear(torch.ones(1, 3, 4, 4)), image, saliency, 0, 4)
    assert torch.equal(found.hidden(0.25)[0, 0], (saliency < 12).float())
    assert torch.equal(found.hidden(0.25, keep=True)[0, 0], (saliency >= 12).float())
    assert torch.equal(found.hidden(0), image)
    assert not found.hidden(1).any()


def test_equal_values_come_in_a_random_order_that_repeats():
    model, image = linear(), toys.batch(1, SIDE)
    flat = torch.ones(SIDE, SIDE)
    orders = [deletion_insertion(model, image, flat, 0, 1, seed=s).order for s in (0, 0, 1)]
    assert torch.equal(orders[0], orders[1])
    assert not torch.equal(orders[0], orders[2])
    assert orders[0].tolist() != sorted(orders[0].tolist())
    assert sorted(orders[0].tolist()) == list(range(SIDE**2))


@pytest.mark.parametrize("target", [None, Unit("conv", 2), lambda out: out[:, 0]])
def test_any_target(target):
    model, image, saliency = toys.Busy().train(), toys.batch(1), toys.batch(1, seed=3)[0, 0]
    before = toys.state(model, image)
    found = deletion_insertion(model, image, saliency, target, 40)
    assert found.deletion.shape == found.insertion.shape == (41,)
    assert found.deletion[0] == pytest.approx(found.insertion[-1], rel=1e-4)
    assert toys.state(model, image) == before


def test_curves_tell_how_far_they_are():
    told, given = (
        toys.Told(),
        (linear(), toys.batch(1, SIDE), torch.rand(SIDE, SIDE), 0, 20),
    )
    whole = deletion_insertion(*given, progress=told)
    assert told.calls == [(k, 4) for k in (1, 2, 3, 4)]
    stopped = deletion_insertion(*given, progress=toys.Told(last=3))
    assert np.array_equal(stopped.deletion, whole.deletion)
    assert (
        not np.isnan(stopped.insertion[:11]).any()
        and np.isnan(stopped.insertion[11:]).all()
    )
    assert np.isnan(told.so_far[0].insertion).all()  # what was reported does not change


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"steps": 0}, "steps must be a whole number of at least 1"),
        ({"score": "loss"}, "score must be one of probability, logit"),
        ({"fill": "nothing"}, "fill must be"),
        ({"saliency": torch.rand(3, 3)}, "saliency must be a map of the image's size"),
        (
            {"saliency": torch.full((6, 6), torch.nan)},
            "saliency must not hold NaN",
        ),
        ({"image": toys.batch(2, SIDE)}, "image must be one image"),
        ({"target": 9}, "target must be classes between 0 and 2, got 9"),
    ],
)
def test_bad_arguments_of_curves_are_named(arguments, words):
    chosen = {"image": toys.batch(1, SIDE), "saliency": torch.rand(SIDE, SIDE)}
    with pytest.raises((TypeError, ValueError), match=words):
        deletion_insertion(linear(), **(chosen | arguments))


# -- the pointing game -----------------------------------------------------------------

BOX = (2, 1, 5, 3)  # columns 2, 3, 4 and rows 1, 2


@pytest.mark.parametrize(
    ("place", "inside"),
    [
        ((1, 2), True),
        ((2, 4), True),
        ((1, 5), False),
        ((3, 2), False),
        ((0, 2), False),
        ((1, 1), False),
        ((2, 1), False),
        ((4, 2), False),
    ],
)
def test_pointing_at_the_borders(place, inside):
    maps = torch.zeros(1, 6, 7)
    maps[0][place] = 1
    assert pointing_game(maps, [BOX]).tolist() == [inside]
    assert pointing_game(maps, [BOX], tolerance=9).tolist() == [True]


def test_each_map_has_its_own_box():
    maps = np.zeros((2, 4, 4))
    maps[:, 0, 3] = 1
    hits = pointing_game(maps, [(3, 0, 4, 1), (0, 3, 1, 4)])
    assert hits.dtype == bool
    assert hits.tolist() == [True, False]


def test_a_map_that_is_the_same_everywhere_does_not_point():
    assert not pointing_game(np.ones((1, 4, 4)), [(0, 0, 4, 3)])[0]
    two = np.zeros((1, 4, 4))
    two[0, 1, [0, 3]] = 1
    assert not pointing_game(two, [(0, 0, 2, 4)])[0]
    assert pointing_game(two, [(0, 0, 4, 2)])[0]


def test_random_maps_hit_as_often_as_the_box_is_large():
    box, count = (3, 2, 13, 12), 1500
    maps = random_maps(toys.batch(count, 16))
    share = box_shares([box], (16, 16))[0]
    assert share == 100 / 256
    error = (share * (1 - share) / count) ** 0.5
    assert abs(pointing_game(maps, [box] * count).mean() - share) < 4 * error


def test_bad_pointing_is_named():
    with pytest.raises(ValueError, match=r"maps must be finite .* \(N, H, W\)"):
        pointing_game(np.ones((4, 4)), [BOX])
    with pytest.raises(ValueError, match="boxes must be one per map, 2, got 1"):
        pointing_game(np.ones((2, 4, 4)), [BOX])
    with pytest.raises(ValueError, match=r"boxes must be 4 numbers \(x0, y0"):
        pointing_game(np.ones((1, 4, 4)), [None])


# -- randomisation ---------------------------------------------------------------------


def test_a_map_of_the_picture_alone_fails_and_a_gradient_does_not():
    model, images = load_model(), preprocess(load_samples(2).images, 96)
    layers = ["conv26", "fire9"]

    def edges(model, images, targets):
        return edge_maps(images)

    test = randomization_test(model, images, [235, 1], edges, layers)
    assert test.correlations.numpy() == pytest.approx(np.ones((2, 2)))
    assert test.class_correlations.tolist() == pytest.approx([1, 1])
    plain = randomization_test(model, images, [235, 1], vanilla_saliency, layers)
    guided = randomization_test(model, images, [235, 1], guided_backprop, layers)
    assert plain.correlations.max() < 0.85 < guided.correlations.min()
    assert plain.layers == ("conv26", "fire9")


def test_it_cascades_from_the_top_on_a_copy():
    model = nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3)), nn.Flatten(),
        nn.Linear(4 * 16, 5),
    )  # fmt: skip
    assert blocks_from_top(model) == ["2", "0.2", "0.0"]
    before, seen = toys.state(model), []

    def method(network, images, targets):
        changed = [
            path
            for (path, p), q in zip(
                network.named_parameters(), model.parameters(), strict=True
            )
            if not torch.equal(p, q)
        ]
        seen.append(changed)
        return vanilla_saliency(network, images, targets)

    randomization_test(model, toys.batch(2), 1, method)
    assert seen[:2] == [[], []]  # the map itself, and that of another class
    assert [sorted({path.rpartition(".")[0] for path in step}) for step in seen[2:]] == [
        ["2"],
        ["0.2", "2"],
        ["0.0", "0.2", "2"],
    ]
    assert toys.state(model) == before


def test_what_is_drawn_keeps_its_scale_and_the_seed_decides():
    model = load_model()
    one, again, other = (forget(model, ["fire9", "fire2"], seed) for seed in (0, 0, 1))
    both = zip(model.named_parameters(), one.parameters(), strict=True)
    for (path, p), q in both:
        drawn = path.startswith(("features.12.", "features.3."))
        assert torch.equal(p, q) != drawn
        if drawn and p.ndim > 1:
            assert q.std().item() == pytest.approx(p.std().item(), rel=0.1)
    weights = [m.features[12].squeeze.weight for m in (one, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    shorter = forget(model, ["fire9"], 0).features[12].squeeze.weight
    assert torch.equal(shorter, weights[0])  # whatever follows


@pytest.mark.filterwarnings("ignore:no place of layer")
def test_an_interrupt_leaves_the_model_as_it_was():
    model, images = toys.Busy().train(), toys.batch(2)
    before = toys.state(model, images)

    def stop(done, total, so_far):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        randomization_test(model, images, None, grad_cam, progress=stop)
    assert toys.state(model, images) == before


def test_the_other_class_is_another_one_and_may_be_all_that_is_asked():
    model, images = toys.Busy(), toys.batch(40)
    test = randomization_test(model, images, 2, vanilla_saliency, layers=[])
    assert test.correlations.shape == (0, 40)
    assert test.class_correlations.shape == (40,)
    assert set(test.other_classes.tolist()) == {0, 1, 3}
    assert "another class" in repr(test)
    unit = randomization_test(
        model, images[:2], Unit("conv", 1), vanilla_saliency, ["conv"]
    )
    assert unit.other_classes is unit.class_correlations is None


def test_progress_of_the_randomisation():
    told, given = toys.Told(), {"targets": 0, "layers": ["fc", "conv"]}
    whole = randomization_test(toys.Busy(), toys.batch(1), **given, progress=told)
    assert told.calls == [(2, 4), (3, 4), (4, 4)]
    stopping = toys.Told(last=2)
    stopped = randomization_test(toys.Busy(), toys.batch(1), **given, progress=stopping)
    assert (stopped.layers, whole.layers) == (("fc",), ("fc", "conv"))
    assert torch.equal(stopped.correlations, whole.correlations[:1])


def test_bad_methods_and_layers_are_named():
    with pytest.raises(TypeError, match="method must be a function"):
        randomization_test(toys.Busy(), toys.batch(1), 0, "vanilla")
    with pytest.raises(ValueError, match="layer must be a layer of Busy, got 'top'"):
        randomization_test(toys.Busy(), toys.batch(1), 0, layers=["top"])


def test_rank_correlation_by_hand_and_beside_scipy():
    from scipy.stats import spearmanr

    a = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])
    assert rank_correlation(a, 10 * a**3).tolist() == pytest.approx([1])
    assert rank_correlation(a, 1 / a).tolist() == pytest.approx([-1])
    assert rank_correlation(a, torch.ones_like(a)).tolist() == [0]
    one, two = toys.batch(2, 5), toys.batch(2, 5, seed=1).round()
    right = [
        spearmanr(x.abs().amax(0).flatten(), y.abs().amax(0).flatten()).statistic
        for x, y in zip(one, two, strict=True)
    ]
    assert rank_correlation(one, two).tolist() == pytest.approx(right)
    with pytest.raises(ValueError, match="others must have the shape of the maps"):
        rank_correlation(a, a[:, :1])


# -- baselines and intervals -----------------------------------------------------------


def test_random_maps_belong_to_their_picture_not_to_their_batch():
    images = toys.batch(3)
    whole = random_maps(images)
    for k in range(3):
        assert torch.equal(whole[k], random_maps(images[[k]])[0])
    assert not torch.equal(whole[0], whole[1])
    assert not torch.equal(whole, random_maps(images, seed=1))
    assert whole.min() >= 0
    assert whole.max() < 1


def test_the_centre_is_in_the_middle():
    maps = centre_maps(torch.zeros(2, 3, 5, 9))
    assert maps.shape == (2, 5, 9)
    assert maps[0].argmax() == 2 * 9 + 4
    assert maps[0, 2, 4] == 1
    assert torch.allclose(maps[0], maps[0].flip(0, 1))


def test_edges_are_where_brightness_changes():
    images = torch.zeros(1, 3, 8, 8)
    images[..., 4:] = 1
    maps = edge_maps(images)[0]
    assert maps[:, 3:5].min() > 0
    assert not maps[:, :3].any()
    assert not maps[:, 5:].any()


def test_the_bootstrap_covers_the_true_mean_as_often_as_it_says():
    random = np.random.default_rng(0)
    covered = 0
    for seed in range(200):
        low, high = bootstrap_interval(random.normal(3, 2, 40), 0.9, 500, seed)
        covered += low <= 3 <= high
    assert 165 <= covered <= 195


def test_the_bootstrap_repeats_and_narrows():
    values = np.random.default_rng(1).normal(size=400)
    assert bootstrap_interval(values) == bootstrap_interval(values)
    low, high = bootstrap_interval(values)
    few = bootstrap_interval(values[:20])
    assert high - low < few[1] - few[0]
    for bad in ([], [1.0, np.nan], [[1.0]]):
        with pytest.raises(ValueError, match="values must be a row of finite numbers"):
            bootstrap_interval(bad)
    with pytest.raises(ValueError, match="level must be"):
        bootstrap_interval([1.0], level=95)


def test_integrated_shares_order_a_linear_score_best():
    """A map that is right by theory wins the test, one with its sign turned loses it."""
    model, image = linear(3), toys.batch(1, SIDE, seed=4)
    right = (input_gradient(model, image, 0) * image).sum(1)
    good, bad = (
        deletion_insertion(model, image, m, 0, 12, score="logit") for m in (right, -right)
    )
    assert good.deletion_area < bad.deletion_area
    assert good.insertion_area > bad.insertion_area


def test_blocks_are_randomised_in_the_order_in_which_images_pass_them():
    class Unordered(nn.Module):
        def __init__(self):
            super().__init__()
            self.head, self.unused = nn.Linear(4, 3), nn.Linear(4, 3)
            self.first, self.second = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)

        def forward(self, x):
            return self.head(self.second(self.first(x)).mean((2, 3)))

    model, images = Unordered(), toys.batch(2)
    assert blocks_from_top(model, images) == ["head", "second", "first"]
    assert randomization_test(model, images, 1).layers == ("head", "second", "first")
    assert blocks_from_top(load_model()) == blocks_from_top(load_model(), toys.batch(1, 64))


def test_shares_in_boxes_by_hand():
    maps = torch.zeros(2, 4, 6)
    maps[0, 1, 2], maps[0, 3, 5] = 3.0, 1.0
    shares = shares_in_boxes(maps, [(2, 1, 3, 2), (0, 0, 6, 4)])
    assert shares.tolist() == [0.75, 0.0]  # of a map that is zero: none
