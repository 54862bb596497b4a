"""Weak localization: seeds, colours, sizes, half-open boxes; bad input is refused."""

import warnings

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
from course_utils._machinery.arguments import ArgumentError
from course_utils.localization import (
    EXAMPLES,
    GraphCut,
    best_size,
    colour_evidence,
    find_seeds,
    largest_component,
    map_evidence,
    mask_box,
    two_group_threshold,
)


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
    with pytest.raises(ValueError, match="^box_b must be"):
        iou((0, 0, 1, 1), box)


def test_box_of_the_largest_component():
    mask = np.zeros((6, 8), bool)
    mask[1:3, 2:5] = mask[3, 5] = mask[5, 0] = True
    assert largest_component(mask).sum() == 7
    assert mask_box(largest_component(mask)) == (2, 1, 6, 4)
    assert mask_box(np.zeros((3, 3))) == (0, 0, 0, 0)
    assert not largest_component(np.zeros((3, 3))).any()


def test_evidence_is_the_log_likelihood_ratio_of_the_two_mixtures():
    """With one Gaussian each it can be written out: the means and covariances by hand."""
    random = np.random.default_rng(0)
    left, right = random.normal(0.3, 0.05, (400, 3)), random.normal(0.5, 0.1, (400, 3))
    picture = np.stack([left, right]).clip(0, 1)
    top = np.zeros((2, 400), dtype=bool)
    top[0] = True

    def log_density(points, examples):
        covariance = np.cov(examples.T, bias=True) + 1e-4 * np.eye(3)
        apart = points - examples.mean(axis=0)
        distance = (apart @ np.linalg.inv(covariance) * apart).sum(axis=1)
        return -(distance + np.linalg.slogdet(2 * np.pi * covariance)[1]) / 2

    points = picture.reshape(-1, 3)
    ratio = log_density(points, picture[0]) - log_density(points, picture[1])
    evidence = colour_evidence(picture, top, ~top, components=1)
    assert np.allclose(evidence.ravel(), ratio.clip(-10, 10))


def test_a_mixture_finds_several_colours():
    """The seeds are blue or yellow, never the grey between; one Gaussian misses that."""
    picture = np.zeros((3, 60, 3))
    picture[0, ::2], picture[0, 1::2] = (0.1, 0.1, 0.9), (0.9, 0.9, 0.1)
    picture[1], picture[2] = (0.5, 0.5, 0.5), (0.1, 0.9, 0.1)
    row = np.arange(3)[:, None] * np.ones(60)
    evidence = colour_evidence(picture, row == 0, row == 2, components=2)
    assert (evidence[0] == 10).all()
    assert (evidence[2] == -10).all()
    single = colour_evidence(picture, row == 0, row == 1, components=1)
    mixture = colour_evidence(picture, row == 0, row == 1, components=2)
    assert mixture[0].min() >= single[0].max()


@pytest.mark.parametrize("seeds", [1, 2, 30])
def test_equal_colours_and_single_seeds_have_evidence_and_no_warnings(seeds):
    picture = np.full((10, 10, 3), 0.5)
    picture[0, 0] = 1.0
    bright = np.zeros((10, 10), dtype=bool)
    bright[9].flat[:seeds] = bright[8].flat[: max(0, seeds - 10)] = True
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        evidence = colour_evidence(picture, bright, ~bright, components=8)
    assert np.isfinite(evidence).all()
    assert evidence[0, 0] < 0 < evidence[5, 5]


def test_a_fit_repeats_and_leaves_the_global_random_numbers_alone():
    picture = np.random.default_rng(3).random((60, 60, 3))
    bright = np.arange(3600).reshape(60, 60) % 2 == 0
    assert bright.sum() > EXAMPLES
    before = np.random.get_state()[1].copy()
    first, again = (colour_evidence(picture, bright, ~bright) for _ in range(2))
    assert (first == again).all()
    assert (np.random.get_state()[1] == before).all()


def test_without_seeds_of_one_kind_colours_say_nothing():
    picture = np.random.default_rng(3).random((5, 5, 3))
    none, some = np.zeros((5, 5), dtype=bool), np.eye(5, dtype=bool)
    assert not colour_evidence(picture, none, some).any()
    assert not colour_evidence(picture, some, none).any()


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
    for values in (np.ones((4, 4)), 1 - spot):  # no pixel stands out
        bright, dark = find_seeds(values)
        assert not bright.any()
        assert not dark.any()


def test_threshold_between_two_groups():
    assert 1 <= two_group_threshold([0, 1, 0, 1, 10, 11, 10]) < 10


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
        ((PICTURE, np.zeros((2, 8, 8))), {}, "saliency must be one map"),
        ((PICTURE, -MAP), {}, "saliency must not"),
        ((PICTURE, MAP * np.nan), {}, "saliency must not"),
        ((PICTURE, "map"), {}, "saliency must be a map"),
        ((PICTURE, np.zeros((0, 4))), {}, "saliency must be one map"),
        ((PICTURE, np.ones((1001, 1000))), {}, "saliency must have at most 1,000,000"),
        ((PICTURE[:4], MAP), {}, "image must have the map's size"),
        ((PICTURE + 7, MAP), {}, "image must hold uint8"),
        (("cat.jpg", MAP), {}, "image must be a PIL image"),
        ((PICTURE, MAP, 0.2, 0.5), {}, "foreground must be above background"),
        ((PICTURE, MAP, "high"), {}, "foreground must be a number"),
        ((PICTURE, MAP), {"cut": {"smoothing": 1}}, "cut must be a GraphCut, got a dict"),
        ((PICTURE, MAP), {"object_pixels": MAP}, "object_pixels must be a mask"),
        ((PICTURE, MAP), {"background_pixels": MAP[:4] > 0}, "background_pixels must be"),
        (
            (PICTURE, MAP),
            {"object_pixels": MAP > 0, "background_pixels": MAP > 0},
            "object_pixels must not share pixels with background_pixels",
        ),
    ],
)
def test_bad_input_is_refused_in_one_sentence(arguments, named, words):
    with pytest.raises((TypeError, ValueError), match=f"^{words}"):
        localize(*arguments, **named)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"smoothing": -1}, "smoothing must be a number of at least 0, got -1"),
        ({"components": 0}, "components must be a whole number between 1 and 50, got 0"),
        ({"components": 8.0}, "components must be a whole number"),
        ({"contrast": np.nan}, "contrast must be a number of at least 0, got nan"),
        ({"colour_weight": True}, "colour_weight must be a number"),
        ({"map_weight": None}, "map_weight must be a number of at least 0, got None"),
        ({"sizes": 0}, "sizes must be a number above 0, got 0"),
        ({"sizes": []}, "sizes must hold at least one number, got none"),
        ({"sizes": "big"}, "sizes must be a number above 0, got 'big'"),
        ({"sizes": None}, "sizes must be a number above 0, got None"),
    ],
)
def test_a_graph_cut_checks_its_settings_once(settings, words):
    with pytest.raises(ArgumentError, match=f"^{words}"):
        GraphCut(**settings)


@pytest.mark.parametrize("sizes", [0.7, [0.7], (0.7,), np.array([0.7])])
def test_sizes_may_be_a_number_or_several(sizes):
    assert GraphCut(sizes=sizes) == GraphCut(sizes=(0.7,))
    assert localize(PICTURE, MAP, cut=GraphCut(sizes=sizes)).size == 0.7


def test_without_an_outline_the_size_nearest_to_one_is_taken():
    nothing = np.full((8, 8), -50.0)
    assert best_size(nothing, 0 * nothing, PICTURE, GraphCut(sizes=(0.5, 0.9, 1.5))) == 0.9


def test_a_map_with_a_few_dark_pixels_or_seeds_covered_by_hand_is_no_error():
    """No pixel stands out, or all that do are said to be background."""
    assert localize(PICTURE, 1 - MAP, cut=GraphCut(smoothing=0)).mask.any()
    covered = localize(PICTURE, MAP, background_pixels=MAP > 0)
    assert not covered.mask[MAP > 0].any()


def test_averaged_map_of_a_position_blind_network_is_its_map():
    class Mean(torch.nn.Module):
        def forward(self, images):
            return (images**2).flatten(1).sum(dim=1)[:, None]

    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    plain = vanilla_saliency(Mean(), images)
    assert torch.allclose(
        averaged_saliency(Mean(), images)[:, 10:-10, 10:-10], plain[:, 10:-10, 10:-10]
    )
    with pytest.raises(ValueError, match="^shifts must be"):
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
    with pytest.raises(ValueError, match=f"^{words} must"):
        composite(dog, dog, **named)
    with pytest.raises(ValueError, match="^cutout must"):
        composite(dog.convert("RGB"), dog)


@pytest.mark.nightly
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
