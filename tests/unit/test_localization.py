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
    cut_by_halves,
    cut_quality,
    find_seeds,
    fit_mixture,
    largest_component,
    map_evidence,
    mask_box,
    minimum_cut,
    neighbour_links,
    parts_with,
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


@pytest.mark.parametrize("seed", range(6))
def test_certain_pixels_leave_the_cut_of_the_others_minimal(seed):
    random = np.random.default_rng(seed)
    evidence = random.integers(-300, 300, (3, 4)) / 100
    here, there, _ = neighbour_links(np.zeros((3, 4, 3)))
    links = here, there, random.integers(0, 200, len(here)) / 100
    known = random.random((3, 4)) < 0.4
    sides = random.random((3, 4)) < 0.5
    certain = np.where(known, np.where(sides, np.inf, -np.inf), evidence)
    tried = (
        np.reshape(one, (3, 4)) for one in product([False, True], repeat=evidence.size)
    )
    undecided = np.where(known, 0.0, evidence)
    best = min(cost(one, undecided, links) for one in tried if (one == sides)[known].all())
    cut = minimum_cut(certain, links)
    assert (cut[known] == sides[known]).all()
    assert cost(cut, undecided, links) == pytest.approx(best)


def test_a_picture_all_of_whose_pixels_are_certain_needs_no_flow():
    evidence = np.array([[np.inf, -np.inf]])
    assert minimum_cut(evidence, neighbour_links(np.zeros((1, 2, 3)))).tolist() == [
        [True, False]
    ]


def test_the_cut_by_halves_is_nearly_the_minimum_cut():
    """Never cheaper, seldom much dearer, and few pixels differ."""
    made, model, dearer, differ = load_composites(6, seed=2), load_model(), [], []
    for one in made:
        saliency = vanilla_saliency(model, preprocess(one.image), one.label)[0]
        colours = np.asarray(one.image) / 255
        evidence = localize(one.image, saliency).evidence
        links = neighbour_links(colours, 60.0)
        cuts = minimum_cut(evidence, links), cut_by_halves(evidence, colours, 60.0)
        exact, quick = (cost(cut, evidence, links) for cut in cuts)
        assert quick > exact - 10  # the solver's whole numbers are rounded
        dearer.append(quick / exact - 1)
        differ.append((cuts[0] != cuts[1]).mean())
    assert np.median(dearer) < 0.02
    assert np.mean(differ) < 0.02


@pytest.mark.parametrize("shape", [(20, 30), (131, 67), (65, 140)])
def test_the_cut_by_halves_takes_any_shape(shape):
    picture = np.zeros((*shape, 3))
    picture[5:15, 5:20] = 1
    evidence = np.where(picture[..., 0] > 0, 1.0, -1.0)
    assert (cut_by_halves(evidence, picture, 10.0) == (evidence > 0)).all()


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


def test_an_outline_on_edges_is_better_than_one_through_a_plain_surface():
    picture = np.zeros((20, 20, 3))
    picture[5:15, 5:15] = 1
    right, links = picture[..., 0] > 0, neighbour_links(picture, 1.0)
    colour = np.where(right, 3.0, -3.0)
    shifted = np.roll(right, 3, axis=1)
    assert cut_quality(right, colour, links) > cut_quality(shifted, colour, links)
    assert cut_quality(right & False, colour, links) == -np.inf
    assert cut_quality(right | True, colour, links) == -np.inf


def test_the_size_is_chosen_by_the_picture():
    """One dim map, two pictures: the object ends where its edge is."""
    rows, columns = np.mgrid[:80, :80]
    saliency = np.exp(-((rows - 40) ** 2 + (columns - 40) ** 2) / (2 * 12.0**2))
    for half in (10, 20):
        picture = np.full((80, 80, 3), (0.2, 0.3, 0.2))
        picture[40 - half : 40 + half, 40 - half : 40 + half] = (0.8, 0.4, 0.1)
        found = localize(picture, saliency)
        assert found.box == (40 - half, 40 - half, 40 + half, 40 + half)


def test_pixels_that_the_learner_knows_are_kept():
    picture = np.full((60, 60, 3), 0.2)
    picture[10:30, 10:30] = (0.9, 0.2, 0.1)
    picture[40:50, 40:50] = (0.1, 0.2, 0.9)
    saliency = (picture[..., 0] > 0.5).astype(float)
    blue, red = np.zeros((2, 60, 60), dtype=bool)
    blue[44:46, 44:46] = red[15:25, 15:25] = True
    plain = localize(picture, saliency)
    assert plain.box == (10, 10, 30, 30)
    both = localize(picture, saliency, object_pixels=blue | red)
    assert both.mask[blue].all()
    assert both.foreground[blue].all()
    assert both.box == (10, 10, 50, 50)
    assert both.smoothed[45, 45] == both.smoothed.max()
    moved = localize(picture, saliency, object_pixels=blue, background_pixels=red)
    assert moved.box == (40, 40, 50, 50)
    assert not moved.mask[red].any()
    flat = localize(picture, np.zeros((60, 60)), object_pixels=red, background_pixels=blue)
    assert flat.mask[red].all() and not flat.mask[blue].any()  # noqa: PT018
    assert np.isfinite(flat.evidence).all()


def test_parts_with():
    mask = np.zeros((3, 5), dtype=bool)
    mask[0, 0] = mask[1, 1] = mask[2, 4] = True
    pixels = np.zeros_like(mask)
    pixels[0, 0] = pixels[0, 4] = True
    assert np.argwhere(parts_with(mask, pixels)).tolist() == [[0, 0], [1, 1]]


def test_map_evidence_is_positive_above_the_threshold():
    values = np.array([[0.0, 1.0, 1.0], [9.0, 10.0, 1.0]])
    assert (map_evidence(values) > 0).tolist() == [[False] * 3, [True, True, False]]
    assert not map_evidence(np.ones((2, 2))).any()


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
        ((PICTURE, MAP), {"sizes": 0}, "sizes: wants a positive"),
        ((PICTURE, MAP), {"sizes": []}, "sizes: wants one or more"),
        ((PICTURE, MAP), {"sizes": "big"}, "sizes: wants one or more"),
        ((PICTURE, MAP), {"object_pixels": MAP}, "object_pixels: wants a mask"),
        ((PICTURE, MAP), {"background_pixels": MAP[:4] > 0}, "background_pixels: wants"),
        (
            (PICTURE, MAP),
            {"object_pixels": MAP > 0, "background_pixels": MAP > 0},
            "object_pixels: some of them",
        ),
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
    made = load_composites(20, seed=7)
    model, images = load_model(), preprocess([one.image for one in made])
    maps = vanilla_saliency(model, images, [one.label for one in made])
    found = [
        iou(localize(one.image, values).box, one.box)
        for one, values in zip(made, maps, strict=True)
    ]
    centred = [iou((20, 20, 204, 204), one.box) for one in made]
    assert np.mean(found) > np.mean(centred) + 0.3
