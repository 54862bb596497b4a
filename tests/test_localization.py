"""Weak localization: the cut is minimal, boxes are half-open, bad input is refused."""

from itertools import product

import numpy as np
import pytest
import torch

from course_utils import (
    averaged_saliency,
    composite,
    iou,
    load_composites,
    load_model,
    load_samples,
    localize,
    preprocess,
    vanilla_saliency,
)
from course_utils.localization import (
    colour_evidence,
    find_seeds,
    fit_mixture,
    largest_component,
    mask_box,
    minimum_cut,
    neighbour_links,
    two_group_threshold,
)


def cost(labels, evidence, links):
    here, there, weights = links
    flat = labels.ravel()
    ignored = np.abs(evidence[labels != (evidence > 0)]).sum()
    return ignored + weights[flat[here] != flat[there]].sum()


@pytest.mark.parametrize("seed", range(12))
def test_no_labelling_is_cheaper_than_the_cut(seed):
    random = np.random.default_rng(seed)
    shape = [(3, 3), (2, 5), (1, 6)][seed % 3]
    evidence = random.integers(-300, 300, shape) / 100
    here, there, _ = neighbour_links(random.random((*shape, 3)))
    links = here, there, random.integers(0, 200, len(here)) / 100
    best = min(
        cost(np.reshape(tried, shape), evidence, links)
        for tried in product([False, True], repeat=evidence.size)
    )
    assert cost(minimum_cut(evidence, links), evidence, links) == pytest.approx(best)


def test_certain_pixels_stay_on_their_side():
    evidence = np.array([[np.inf, -9.0, -9.0], [-9.0, 9.0, -np.inf]])
    here, there, _ = neighbour_links(np.zeros((2, 3, 3)))
    cut = minimum_cut(evidence, (here, there, np.full(len(here), 50.0)))
    assert cut[0, 0]
    assert not cut[1, 2]


def test_links_hold_every_pair_of_neighbours_once_and_edges_are_cheap():
    picture = np.zeros((4, 5, 3))
    picture[:, 3:] = 1
    here, there, costs = neighbour_links(picture, contrast=10)
    pairs = {frozenset(pair) for pair in zip(here.tolist(), there.tolist(), strict=True)}
    assert len(pairs) == len(here) == 4 * 4 + 3 * 5 + 2 * 3 * 4
    rows, columns = np.divmod(np.stack([here, there]), 5)
    assert (
        np.abs(np.diff(rows, axis=0)).max() == np.abs(np.diff(columns, axis=0)).max() == 1
    )
    crossing = (columns >= 3).sum(axis=0) == 1
    assert costs[crossing].max() < costs[~crossing].min()
    assert costs.max() == 10


@pytest.mark.parametrize(
    ("a", "b", "right"),
    [
        ((0, 0, 2, 2), (1, 0, 3, 2), 1 / 3),
        ((0, 0, 4, 4), (1, 1, 3, 3), 1 / 4),
        ((0, 0, 4, 4), (4, 0, 8, 4), 0),
        ((0, 0, 1, 1), (5, 5, 6, 6), 0),
        ((2, 3, 9, 8), (2, 3, 9, 8), 1),
        ((0, 0, 0, 0), (0, 0, 0, 0), 0),
    ],
)
def test_iou_by_hand(a, b, right):
    assert iou(a, b) == iou(b, a) == pytest.approx(right)


@pytest.mark.parametrize("box", [(0, 0, 1), (3, 0, 1, 1), (0, 0, np.nan, 1), "box", None])
def test_iou_refuses(box):
    with pytest.raises(ValueError, match="^box_b: wants"):
        iou((0, 0, 1, 1), box)


def test_box_of_the_largest_component():
    mask = np.zeros((6, 8), bool)
    mask[1:3, 2:5] = mask[3, 5] = mask[5, 0] = True
    assert largest_component(mask).sum() == 7
    assert mask_box(largest_component(mask)) == (2, 1, 6, 4)
    assert mask_box(np.zeros((3, 3))) == (0, 0, 0, 0)
    assert not largest_component(np.zeros((3, 3))).any()


def test_mixture_finds_two_colours():
    random = np.random.default_rng(0)
    points = np.concatenate(
        [random.normal(0.2, 0.02, (300, 3)), random.normal(0.8, 0.05, (100, 3))]
    )
    mixture = fit_mixture(points, 2)
    order = mixture.means[:, 0].argsort()
    assert mixture.means[order, 0] == pytest.approx([0.2, 0.8], abs=0.02)
    assert mixture.weights[order] == pytest.approx([0.75, 0.25], abs=0.01)


def test_mixture_of_equal_points_is_finite():
    mixture = fit_mixture(np.full((10, 3), 0.5), 5)
    assert np.isfinite(mixture.log_density(np.eye(3))).all()
    assert len(fit_mixture(np.zeros((1, 3)), 5).weights) == 1


def test_evidence_speaks_for_the_colour_of_the_seeds():
    picture = np.zeros((20, 20, 3))
    picture[5:15, 5:15] = (1, 0, 0)
    red = picture[..., 0] > 0
    evidence = colour_evidence(picture, red, ~red, components=2)
    assert (evidence[red] > 0).all()
    assert (evidence[~red] < 0).all()


def test_seeds():
    bright, dark = find_seeds(np.arange(100.0).reshape(10, 10))
    assert bright.sum() == 5
    assert dark.sum() == 30
    spot = np.zeros((10, 10))
    spot[3, 4] = 1
    bright, dark = find_seeds(spot)
    assert np.argwhere(bright).tolist() == [[3, 4]]
    assert dark.sum() == 99


def test_threshold_between_two_groups():
    assert 1 <= two_group_threshold([0, 1, 0, 1, 10, 11, 10]) < 10


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_map_that_says_nothing_finds_nothing(value):
    found = localize(np.zeros((9, 9, 3)), np.full((9, 9), value))
    assert found.box == (0, 0, 0, 0)
    assert not (found.mask.any() or found.foreground.any() or found.background.any())


def test_a_plain_square_is_found_to_the_pixel():
    picture = np.zeros((40, 50, 3))
    picture[10:22, 5:30] = (0.9, 0.5, 0.1)
    found = localize(picture, picture[..., 0])
    assert found.box == (5, 10, 30, 22)
    assert found.mask.sum() == 12 * 25
    assert (found.cut >= found.foreground).all()


def test_an_array_a_picture_and_a_tensor_agree():
    one = load_composites(1)[0]
    values = np.asarray(one.image.convert("L")).astype("float32")
    first = localize(one.image, values)
    second = localize(np.asarray(one.image), torch.from_numpy(values))
    third = localize(np.asarray(one.image) / 255, values)
    assert (first.mask == second.mask).all()
    assert (first.mask == third.mask).all()


PICTURE, MAP = np.zeros((8, 8, 3)), np.eye(8)


@pytest.mark.parametrize(
    ("arguments", "named", "words"),
    [
        ((PICTURE, np.zeros((2, 8, 8))), {}, "saliency: wants one map"),
        ((PICTURE, -MAP), {}, "saliency: wants finite"),
        ((PICTURE, MAP * np.nan), {}, "saliency: wants finite"),
        ((PICTURE, "map"), {}, "saliency: wants a map"),
        ((PICTURE, np.zeros((0, 4))), {}, "saliency: wants one map"),
        ((PICTURE[:4], MAP), {}, "image: wants the map's size"),
        ((PICTURE + 7, MAP), {}, "image: wants uint8"),
        (("cat.jpg", MAP), {}, "image: wants a PIL picture"),
        ((PICTURE, MAP, 0.2, 0.5), {}, "foreground: wants quantiles"),
        ((PICTURE, MAP, "high"), {}, "foreground: wants a number"),
        ((PICTURE, MAP), {"smoothing": -1}, "smoothing: wants"),
        ((PICTURE, MAP), {"components": 0}, "components: wants"),
        ((PICTURE, MAP), {"contrast": np.nan}, "contrast: wants"),
        ((PICTURE, MAP), {"map_weight": None}, "map_weight: wants"),
        ((PICTURE, MAP), {"size": 0}, "size: wants a positive"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(arguments, named, words):
    with pytest.raises((TypeError, ValueError), match=f"^{words}"):
        localize(*arguments, **named)


def test_averaged_map_of_a_position_blind_network_is_its_map():
    class Mean(torch.nn.Module):
        def forward(self, images):
            return (images**2).flatten(1).sum(dim=1)[:, None]

    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    plain = vanilla_saliency(Mean(), images)
    assert torch.allclose(
        averaged_saliency(Mean(), images)[:, 10:-10, 10:-10], plain[:, 10:-10, 10:-10]
    )
    with pytest.raises(ValueError, match="^shifts: wants"):
        averaged_saliency(Mean(), images, shifts=(16,))


# -- composites ------------------------------------------------------------------------


def test_composites_boxes_are_those_of_their_masks_and_repeat():
    made = load_composites(35)
    assert len({one.name for one in made}) == 35
    for one in made:
        x0, y0, x1, y1 = one.box
        assert one.mask[y0:y1, x0:x1].sum() == one.mask.sum()
        assert one.mask[y0].any() and one.mask[y1 - 1].any()  # noqa: PT018
        assert one.mask[:, x0].any() and one.mask[:, x1 - 1].any()  # noqa: PT018
        assert 0.3 < max(x1 - x0, y1 - y0) / 224 < 0.62
    again = load_composites(3)
    assert [one.box for one in again] == [one.box for one in made[:3]]
    assert load_composites(3, seed=1)[0].box != made[0].box


def test_composite_stands_where_it_should():
    dog = load_samples(kind="cutouts", names="german_shepherd").images[0]
    scene = load_samples(kind="scenes").images[0]
    corner = composite(dog, scene, 0.4, (1, 1))
    assert corner.box[2:] == (224, 224)
    flipped = composite(dog, scene, 0.4, (1, 1), flip=True)
    assert (
        flipped.mask[:, corner.box[0] :] == corner.mask[:, corner.box[0] :][:, ::-1]
    ).mean() > 0.99
    outside = np.asarray(corner.image)[: corner.box[1] - 2]
    plain = np.asarray(composite(dog, scene, 0.1, (1, 1)).image)[: corner.box[1] - 2]
    assert (outside == plain).all()


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ({"share": 0}, "share"),
        ({"share": 1.5}, "share"),
        ({"place": (2, 0)}, "place"),
    ],
)
def test_composite_refuses(named, words):
    dog = load_samples(kind="cutouts").images[0]
    with pytest.raises(ValueError, match=f"^{words}: wants"):
        composite(dog, dog, **named)
    with pytest.raises(ValueError, match="^cutout: wants"):
        composite(dog.convert("RGB"), dog)


def test_small_objects_are_found_far_better_than_by_a_centred_box():
    made = load_composites(10)
    model, images = load_model(), preprocess([one.image for one in made])
    maps = vanilla_saliency(model, images, [one.label for one in made])
    found = [
        iou(localize(one.image, values).box, one.box)
        for one, values in zip(made, maps, strict=True)
    ]
    centred = [iou((20, 20, 204, 204), one.box) for one in made]
    assert np.mean(found) > np.mean(centred) + 0.2
