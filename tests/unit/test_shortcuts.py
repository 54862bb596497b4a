"""Planted shortcuts: pictures that differ in one part, a probe, and what it hangs on."""

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
import toys
from PIL import Image, ImageColor, ImageFilter
from torch import nn

from course_utils import (
    Inputs,
    grad_cam,
    load_model,
    load_samples,
    preprocess,
    vanilla_saliency,
)
from course_utils._machinery.arguments import ArgumentError
from course_utils.occlusion import occlusion
from course_utils.shortcuts import (
    SIZE,
    PictureRecipe,
    Planted,
    accuracy,
    animal_share,
    brightness_on,
    cutout,
    evidence,
    evidence_map,
    linear_probe,
    mean_features,
    places_on,
    plant_shortcut,
    planted_features,
    share_on,
    sign_box,
    sign_mask,
    sign_stripes,
    swap_effect,
    swap_table,
    train_probe,
)

MODEL = load_model()
KNOWN = {}  # features of MODEL, shared by all tests


@pytest.fixture(scope="module")
def test_set():
    return plant_shortcut(20, scene=1.0, seed=1)


@pytest.fixture(scope="module")
def biased():
    return train_probe(MODEL, plant_shortcut(80, scene=1.0), known=KNOWN)


@pytest.fixture(scope="module")
def mended():
    return train_probe(MODEL, plant_shortcut(80, scene=0.5), known=KNOWN)


# -- pictures ----------------------------------------------------------------------------


def pixels(recipe):
    return np.asarray(recipe.make().image).astype(int)


def test_a_swapped_scene_leaves_the_animal_unchanged():
    recipe = plant_shortcut(2, sign=1.0, seed=3).recipes[1]
    one, other = recipe.make(), recipe.swapped("scene").make()
    core = one.mask & (np.asarray(one.image) == np.asarray(other.image)).all(2)
    assert (one.mask == other.mask).all()
    assert core.sum() > 0.6 * one.mask.sum()  # all but the soft edge
    assert (np.asarray(one.image) != np.asarray(other.image)).any(2)[~one.mask].mean() > 0.9
    assert recipe.swapped("scene").swapped("scene") == recipe


def test_a_swapped_animal_leaves_the_scene_unchanged():
    recipe = PictureRecipe(animal=0, ground=1, place=(0.1, 0.1))
    one, other = recipe.make(), recipe.swapped("animal").make()
    neither = ~(one.mask | other.mask)
    same = (np.asarray(one.image) == np.asarray(other.image)).all(2)
    assert (one.label, other.label) == (0, 1)
    assert same[neither].mean() > 0.99
    assert same[100:, 100:].all()


def test_the_sign_changes_its_corner_alone():
    recipe = PictureRecipe(animal=1, ground=1)
    changed = (pixels(recipe) != pixels(recipe.swapped("sign"))).any(2)
    assert not changed[~sign_mask().numpy()].any()
    x0, y0, x1, y1 = sign_box()
    assert changed[y0:y1, x0:x1].mean() > 0.9
    assert sign_mask().sum() == (x1 - x0) * (y1 - y0)


def test_scene_parts_lie_within_the_scene_and_differ():
    views = [(0.0, 0.0, 0.0, 0.0), (0.999, 0.999, 0.999, 0.999), (0.6, 0.2, 0.9, 0.5)]
    made = [
        pixels(PictureRecipe(0, ground, view=view))
        for ground in (0, 1, 2)
        for view in views
    ]
    assert {picture.shape for picture in made} == {(SIZE, SIZE, 3)}
    assert len({picture.tobytes() for picture in made}) == len(made)


def test_another_picture_can_be_the_scene():
    """The animal stays as it was, and is seen on the new picture from the same view."""
    recipe = PictureRecipe(animal=1, ground=1, view=(0.0, 0.2, 0.9, 0.5), mirror=True)
    red = recipe.make(Image.new("RGB", (500, 300), "red"))
    assert (red.mask == recipe.make().mask).all()
    assert (np.asarray(red.image)[~red.mask] == (255, 0, 0)).all(1).mean() > 0.98
    own = load_samples(kind="scenes", names=recipe.scene).images[0]
    assert recipe.make(own).image.tobytes() == recipe.make().image.tobytes()


def test_the_scene_alone_is_what_lies_behind_the_animal():
    recipe = PictureRecipe(animal=0, ground=0, view=(0.0, 0.7, 0.1, 0.3))
    made = recipe.make()
    behind = np.asarray(recipe.behind()).astype(int)
    far = ~np.asarray(Image.fromarray(made.mask).filter(ImageFilter.MaxFilter(9)))
    assert (np.asarray(made.image)[far] == behind[far]).all()
    fine = recipe.behind(side=2 * SIZE).resize((SIZE, SIZE), Image.Resampling.BOX)
    assert np.abs(np.asarray(fine) - behind).mean() < 6


def test_the_stripes_fill_the_sign():
    picture = PictureRecipe(animal=1, ground=1, sign=1).make().image
    covered = np.zeros((SIZE, SIZE), int)
    for (x0, y0, x1, y1), colour in sign_stripes():
        covered[y0:y1, x0:x1] += 1
        assert (
            np.asarray(picture.crop((x0, y0, x1, y1))) == ImageColor.getrgb(colour)
        ).all()
    assert (covered == sign_mask().numpy()).all()


def test_a_cutout_has_no_margin():
    for animal in (0, 1):
        picture = cutout(animal)
        assert picture.getchannel("A").getbbox() == (0, 0, *picture.size)


@pytest.mark.parametrize("scene", [0.5, 0.8, 1.0])
def test_the_dial_is_the_share_of_tied_scenes(scene):
    planted = plant_shortcut(400, scene=scene, sign=1 - scene / 2)
    tied = np.mean([r.animal == r.ground for r in planted.recipes])
    ruled = np.mean([r.animal == r.sign for r in planted.recipes])
    assert abs(tied - scene) < 0.07
    assert abs(ruled - (1 - scene / 2)) < 0.07
    assert planted.labels.tolist() == [0, 1] * 200


def test_a_larger_dial_ties_more_of_the_same_pictures():
    weak, strong = (plant_shortcut(60, scene=s).recipes for s in (0.6, 0.9))
    for one, other in zip(weak, strong, strict=True):
        assert replace(one, ground=0) == replace(other, ground=0)
        assert one.ground == other.ground or other.ground == other.animal


def test_no_animal_lies_under_the_sign():
    for made in plant_shortcut(60, sign=0.5, size=0.3, seed=2).made:
        assert not (made.mask & sign_mask().numpy()).any()


def test_another_seed_draws_other_pictures():
    one, again, other = (plant_shortcut(20, seed=s).recipes for s in (0, 0, 1))
    assert one == again
    assert not set(one) & set(other)


def test_a_set_gives_its_pictures_masks_and_labels():
    planted = plant_shortcut(4, scene=0.5, sign=0.5)
    assert torch.equal(planted.images, preprocess(planted.pictures))
    assert planted.masks.shape == (4, SIZE, SIZE)
    assert planted.masks.dtype == torch.bool
    assert len(planted[1:3]) == 2
    assert planted[1:3].recipes == planted.recipes[1:3]
    assert torch.equal(planted.swap("animal").labels, 1 - planted.labels)
    assert torch.equal(planted.swap("scene").labels, planted.labels)
    assert {r.ground for r in planted.unseen().recipes} == {2}
    assert {r.sign for r in planted.with_part("sign", 1).recipes} == {1}
    assert repr(plant_shortcut(40)) == (
        "Planted(40 pictures, 40 on their class's ground, 0 with the sign)"
    )


# -- the probe ---------------------------------------------------------------------------


class Pixels(nn.Module):
    """A network whose features are the colours of the picture's middle."""

    def __init__(self):
        super().__init__()
        self.features = nn.AvgPool2d(32)
        self.scale = nn.Parameter(torch.ones(1))  # says on which device it is


def fitted(decay, planted=None):
    """Weights (C,) and bias () of the evidence, and the features they were fitted to."""
    planted = plant_shortcut(24, scene=0.8) if planted is None else planted
    known = {}
    head = train_probe(Pixels(), planted, decay, known).head
    weight, bias = head.weight[0] - head.weight[1], head.bias[0] - head.bias[1]
    features = torch.stack([known[recipe] for recipe in planted.recipes])
    return weight.double(), bias.double(), features.double()


@pytest.mark.parametrize("decay", [0.1, 1.0])
def test_the_probe_is_at_the_minimum_of_the_logistic_loss(decay):
    """The gradient of the stated loss, written out, is zero there."""
    planted = plant_shortcut(24, scene=0.8)
    weight, bias, x = fitted(decay, planted)
    y = 1 - 2.0 * planted.labels.double()
    spread = x.std(0, correction=0)
    pull = -y * torch.sigmoid(-y * (x @ weight + bias)) / len(y)
    gradient = ((x - x.mean(0)) / spread).T @ pull + decay * weight * spread
    assert gradient.abs().max() < 1e-5
    assert pull.sum().abs() < 1e-5


def test_more_decay_gives_smaller_weights():
    norms = [fitted(decay)[0].norm() for decay in (0.01, 0.1, 1.0)]
    assert norms[0] > norms[1] > norms[2] > 0


def test_swapped_classes_flip_the_evidence():
    planted = plant_shortcut(24, scene=0.8)
    known = {}
    probe = train_probe(Pixels(), planted, known=known)
    other = Planted(tuple(replace(r, animal=1 - r.animal) for r in planted.recipes))
    known |= {
        swapped: known[r] for swapped, r in zip(other.recipes, planted.recipes, strict=True)
    }
    flipped = train_probe(Pixels(), other, known=known)
    assert torch.allclose(probe.head.weight, -flipped.head.weight, atol=1e-4)
    assert torch.allclose(probe.head.bias, -flipped.head.bias, atol=1e-4)


def test_a_feature_that_never_changes_has_no_weight():
    planted, known = plant_shortcut(6), {}
    for recipe in planted.recipes:
        known[recipe] = torch.tensor([float(recipe.animal), recipe.share, 3.0])
    head = train_probe(Pixels(), planted, known=known).head
    assert head.weight[0, 2] == 0
    assert head.weight[0, 0] < 0  # a large first feature speaks for the dog


def test_the_probe_is_the_weighted_sum_of_mean_features():
    planted = plant_shortcut(3, seed=8)
    features = mean_features(MODEL, planted.images)
    weight = torch.linspace(-1, 1, features.shape[1]).double()
    probe = linear_probe(MODEL, weight, torch.tensor(0.7).double())
    with torch.no_grad():
        scores = probe(planted.images)
    z = features.double() @ weight + 0.7
    assert torch.allclose((scores[:, 0] - scores[:, 1]).double(), z, atol=1e-4)
    assert torch.allclose(scores.sum(1), torch.zeros(3), atol=1e-4)
    assert torch.allclose(evidence(probe, planted).double(), z, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
def test_a_probe_has_the_type_of_its_network(dtype):
    probe = train_probe(Pixels().to(dtype), plant_shortcut(6))
    images = plant_shortcut(2, seed=1).images.to(dtype)
    assert evidence(probe, plant_shortcut(2)).dtype == probe(images).dtype == dtype


def test_features_of_a_batch_are_those_of_single_pictures():
    images = toys.batch(3, 64)
    whole = mean_features(MODEL, images)
    single = torch.cat([mean_features(MODEL, image[None]) for image in images])
    assert torch.allclose(whole, single, atol=1e-5)


def test_known_features_are_not_computed_again():
    planted, known, calls = plant_shortcut(4, seed=9), {}, []
    first = planted_features(MODEL, planted, known, lambda *a: calls.append(a))
    broken = nn.Module()  # would fail if it were asked
    again = planted_features(broken, planted, known)
    (done, total, so_far), *more = calls
    assert (done, total, more) == (4, 4, [])
    assert torch.equal(so_far, first)
    assert torch.equal(first, again)


def test_progress_that_returns_false_stops_and_keeps_what_there_is():
    planted, known, calls = plant_shortcut(22, seed=10), {}, []

    def stop(done, total, so_far):
        calls.append((done, total, tuple(so_far.shape)))
        return False

    features = planted_features(MODEL, planted, known, stop)
    assert calls == [(20, 22, (20, 512))]
    assert len(known) == 20
    assert torch.equal(features, mean_features(MODEL, planted[:20].images))
    stopped = train_probe(MODEL, planted, known={}, progress=lambda *_: False)
    whole = train_probe(MODEL, planted[:20], known=known)
    assert torch.equal(stopped.head.weight, whole.head.weight)


def test_exceptions_of_progress_propagate():
    def stop(done, total, so_far):
        raise InterruptedError

    known = {}
    with pytest.raises(InterruptedError):
        planted_features(MODEL, plant_shortcut(22, seed=10), known, stop)
    assert len(known) == 20  # what was computed is kept


def test_the_network_and_the_generators_stay_as_they_were():
    model = load_model("squeezenet1_1", weights="random").train().requires_grad_()
    before = toys.state(model), random.getstate()
    probe = train_probe(model, plant_shortcut(4))
    accuracy(probe, plant_shortcut(2, seed=1))
    assert (toys.state(model), random.getstate()) == before


def test_the_same_seed_gives_the_same_probe(biased):
    again = train_probe(MODEL, plant_shortcut(80, scene=1.0), known=KNOWN)
    assert torch.equal(biased.head.weight, again.head.weight)


# -- what is known about a probe -----------------------------------------------------------


def test_the_biased_probe_fails_where_the_scene_is_swapped(biased, test_set):
    assert accuracy(biased, test_set, KNOWN) >= 0.95
    assert accuracy(biased, test_set.swap("scene"), KNOWN) <= 0.30


def test_the_mended_probe_is_right_on_both(mended, test_set):
    assert accuracy(mended, test_set, KNOWN) >= 0.95
    assert accuracy(mended, test_set.swap("scene"), KNOWN) >= 0.95


def test_accuracy_is_that_of_the_whole_network(biased, test_set):
    with torch.no_grad():
        said = biased(test_set.images).argmax(1)
    assert accuracy(biased, test_set) == (said == test_set.labels).float().mean().item()


def test_the_scene_moves_the_biased_probe_and_the_animal_the_mended(
    biased, mended, test_set
):
    shares = [animal_share(swap_table(p, test_set, KNOWN)) for p in (biased, mended)]
    assert shares[0] < 0.5 < 0.9 < shares[1]


def test_effects_are_the_differences_of_the_table(biased, test_set):
    table = swap_table(biased, test_set, KNOWN)
    both = Planted(test_set.recipes + test_set.swap("scene").recipes)
    animal = swap_effect(biased, both, "animal", KNOWN)
    assert animal == pytest.approx((table[0] - table[1]).mean().item(), abs=1e-4)
    both = Planted(test_set.recipes + test_set.swap("animal").recipes)
    scene = swap_effect(biased, both, "scene", KNOWN)
    assert scene == pytest.approx((table[:, 0] - table[:, 1]).mean().item(), abs=1e-4)


def test_the_table_by_hand(biased):
    one = plant_shortcut(2, seed=4)[:1]
    table = swap_table(biased, one, KNOWN)
    recipe = replace(one.recipes[0], animal=1, ground=0)
    assert table[1, 0] == evidence(biased, Planted((recipe,)))[0]


def test_animal_share_by_hand():
    assert animal_share(torch.tensor([[4.0, -2.0], [2.0, -4.0]])) == 0.25
    assert animal_share(torch.tensor([[-1.0, -1.0], [1.0, 1.0]])) == 1.0


def test_every_method_works_on_a_probe(biased, test_set):
    images = test_set[:2].images
    assert vanilla_saliency(biased, images).shape == (2, SIZE, SIZE)
    assert grad_cam(biased, images).shape == (2, SIZE, SIZE)
    found = occlusion(biased, images[:1], window=112, stride=112)
    whole = occlusion(biased, images[:1], window=112, stride=112, incremental=False)
    assert torch.allclose(found.scores, whole.scores, atol=1e-4)


def test_grad_cam_of_a_probe_is_the_weighted_sum_of_its_last_maps(biased, test_set):
    """Before the cut at zero and the enlargement: its mean is the score, less the bias."""
    image = test_set[:1].images
    with torch.no_grad():
        maps = biased.features(image)[0]
        score = biased(image)[0, 0]
    places = torch.einsum("k,kij->ij", biased.head.weight[0], maps)
    assert torch.allclose(places.mean() + biased.head.bias[0], score, atol=1e-4)
    small = torch.nn.functional.interpolate(
        places.relu()[None, None] / places.numel(), (SIZE, SIZE), mode="bilinear"
    )[0, 0]
    assert torch.allclose(grad_cam(biased, image, 0)[0], small, atol=1e-5)


# -- regions of a map ----------------------------------------------------------------------


def test_brightness_by_hand():
    maps = torch.tensor([[[4.0, 0.0], [2.0, 2.0]], [[0.0, 1.0], [0.0, 0.0]]])
    masks = torch.tensor([[[1, 1], [0, 0]], [[0, 1], [0, 1]]]).bool()
    assert brightness_on(maps, masks).tolist() == [1.0, 2.0]
    assert share_on(maps, masks).tolist() == [0.5, 1.0]
    assert brightness_on(3 * maps, masks[0]).tolist() == [1.0, 2.0]


def test_a_constant_map_is_nowhere_brighter():
    masks = plant_shortcut(3).masks
    assert torch.allclose(brightness_on(torch.full(masks.shape, 7.0), masks), torch.ones(3))


def test_the_evidence_map_adds_up(biased, test_set):
    maps = evidence_map(biased, test_set.images)
    bias = biased.head.bias[0] - biased.head.bias[1]
    assert maps.shape == (20, 13, 13)
    assert torch.allclose(
        maps.sum((1, 2)) + bias, evidence(biased, test_set, KNOWN), atol=1e-4
    )


def test_the_evidence_map_is_grad_cam_with_its_signs(biased, test_set):
    images = test_set[:2].images
    maps = evidence_map(biased, images)[:, None]
    large = nn.functional.interpolate(maps.relu(), images.shape[2:], mode="bilinear")[:, 0]
    cams = grad_cam(biased, images, targets=0)
    assert torch.allclose(2 * cams, large, atol=1e-5)  # score 0 has half of the weights


def test_the_evidence_of_a_shortcut_lies_off_the_animal(biased, mended, test_set):
    right = (1 - 2 * test_set.labels)[:, None, None]
    shares = {}
    for name, probe in (("biased", biased), ("mended", mended)):
        maps = right * evidence_map(probe, test_set.images)
        for ring in (0, 1):
            places = places_on(test_set.masks, ring=ring)
            shares[name, ring] = (maps * places).sum() / maps.sum()
    assert shares["biased", 0] < 0.45 < 0.65 < shares["mended", 0]
    assert shares["biased", 1] < 0.65 < 0.85 < shares["mended", 1]


def test_places_touch_the_mask():
    masks = torch.zeros(2, 8, 8, dtype=torch.bool)
    masks[0, 0, 7] = masks[1, 3:5, 1] = True
    assert places_on(masks, 4).nonzero().tolist() == [[0, 0, 3], [1, 1, 0], [1, 2, 0]]
    assert places_on(masks, 4, ring=1).sum((1, 2)).tolist() == [4, 8]


# -- bad input -----------------------------------------------------------------------------

ONE, TWO = torch.ones(1, 2, 2), plant_shortcut(2)
MISTAKES = {
    "count must be a whole number of at least 2, got 1": lambda: plant_shortcut(1),
    "scene must be a number between 0 and 1, got 1.2": lambda: plant_shortcut(scene=1.2),
    "sign must be a number between 0 and 1, got True": lambda: plant_shortcut(sign=True),
    "size must be a number between 0.05 and 0.85, got 0": lambda: plant_shortcut(size=0),
    "seed must be a whole number of at least 0, got 'x'": lambda: plant_shortcut(seed="x"),
    "part must be one of animal, scene, sign, got 'sky'": (
        lambda: plant_shortcut(2).swap("sky")
    ),
    "part cannot be a scene that belongs to neither class": (
        lambda: plant_shortcut(2).unseen().swap("scene")
    ),
    "model must be a network with `features`, such as SqueezeNet": (
        lambda: mean_features(toys.Busy(), toys.batch())
    ),
    "images.* shape": lambda: mean_features(MODEL, torch.ones(3, 64, 64)),
    "planted must hold bears and dogs, got one of them only": (
        lambda: train_probe(MODEL, plant_shortcut(2)[:1], known=KNOWN)
    ),
    "decay must be a number above 0, got 0": lambda: train_probe(MODEL, TWO, 0),
    "maps must not be negative or all zero; abs": lambda: brightness_on(-ONE, ONE > 0),
    r"maps must be a tensor \(N, H, W\), got a tensor of shape \(2, 2\)": (
        lambda: brightness_on(ONE[0], ONE > 0)
    ),
    "maps must not be negative or all zero": lambda: share_on(0 * ONE, ONE > 0),
    "masks must be a bool tensor": lambda: brightness_on(ONE, ONE),
    "masks must not be empty": lambda: brightness_on(ONE, ONE > 1),
    "places must be a whole number of at least 1, got 0": lambda: places_on(ONE > 0, 0),
    "ring must be a whole number of at least 0": lambda: places_on(ONE > 0, ring=-1),
    r"masks must be a bool tensor \(N, H, W\), got": lambda: places_on(ONE),
    r"masks must be a bool tensor, \(1, 2, 2\), got a tensor of shape \(3, 3\)": (
        lambda: brightness_on(ONE, torch.ones(3, 3) > 0)
    ),
}


@pytest.mark.parametrize("message", MISTAKES)
def test_bad_input_is_answered_in_one_sentence(message):
    with pytest.raises(ValueError, match=f"^{message}") as error:
        MISTAKES[message]()
    assert "\n" not in str(error.value)


def test_a_network_that_cannot_take_the_pictures_is_said_in_one_sentence():
    grey = nn.Module()
    grey.features = nn.Conv2d(1, 2, 3)
    with pytest.raises(RuntimeError, match=r"of shape \(2, 3, 8, 8\) do not go through"):
        mean_features(grey, toys.batch())


def test_a_network_whose_pictures_are_prepared_otherwise_is_refused():
    model = load_model()
    model.inputs = Inputs(mean=[0.5] * 3, std=[0.5] * 3)
    with pytest.raises(
        ArgumentError, match="model must take pictures with ImageNet's mean"
    ):
        train_probe(model, plant_shortcut(4))


@pytest.mark.parametrize("probe", [load_model(), nn.Linear(3, 2)], ids=["model", "layer"])
def test_evidence_is_mapped_for_probes_only(probe):
    with pytest.raises(ArgumentError, match="probe must end in a linear `head`"):
        evidence_map(probe, plant_shortcut(2).images)
