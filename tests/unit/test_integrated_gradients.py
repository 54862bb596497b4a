"""Integrated Gradients: by hand, complete to 1 %, and beside Captum."""

import captum.attr
import pytest
import torch
import toys

from course_utils import (
    Unit,
    integrated_gradients,
    load_model,
    load_samples,
    preprocess,
    target_scores,
)
from course_utils._machinery.fills import fill_picture


def gap(model, images, targets, fill="mean", **arguments):
    """How far the sums are from the rise of the scores, as a share of it."""
    found = integrated_gradients(model, images, targets, fill=fill, **arguments)
    with torch.no_grad():
        here = target_scores(model, images, targets)
        there = target_scores(model, fill_picture(fill, images), targets)
    return ((found.sum((1, 2, 3)) - here + there).abs() / (here - there).abs()).max().item()


def test_of_a_linear_score_it_is_weight_times_way():
    weight, images = toys.batch(2, 5), toys.batch(3, 5, seed=1)
    found = integrated_gradients(toys.Linear(weight), images, 1, steps=1)
    assert torch.allclose(found, weight[1] * images, atol=1e-6)
    colour = torch.tensor([1.0, -2.0, 0.5])
    found = integrated_gradients(toys.Linear(weight), images, 1, steps=3, fill=colour)
    assert torch.allclose(found, weight[1] * (images - colour[:, None, None]), atol=1e-5)


def test_of_a_quadratic_score_it_is_the_difference_of_squares():
    weight, images = toys.batch(1, 4), toys.batch(2, 4, seed=1)
    start = torch.tensor([0.5, -1.0, 2.0])
    found = integrated_gradients(toys.Square(weight), images, 0, steps=3, fill=start)
    right = weight[0] * (images**2 - start[:, None, None] ** 2)
    assert torch.allclose(found, right, atol=1e-5)


def test_a_pixel_of_the_empty_pictures_colour_has_no_share():
    images = toys.batch(1)
    images[:, :, 2, 3] = 0
    assert not integrated_gradients(toys.Busy(), images, 1)[:, :, 2, 3].any()


@pytest.mark.parametrize(("fill", "steps"), [("mean", 50), ("blur", 50), ("black", 100)])
def test_complete_on_photographs(fill, steps):
    model, images = load_model(), preprocess(load_samples(2).images)
    assert gap(model, images, [235, 1], fill, steps=steps) < 0.01


@pytest.mark.parametrize("name", toys.NETWORKS)
def test_complete_and_beside_captum_on_random_networks(name):
    model = load_model(name, "random")
    images = preprocess(load_samples(1).images, 64)
    ours = integrated_gradients(model, images, 7, steps=200)
    with torch.no_grad():
        rise = (model(images) - model(torch.zeros_like(images)))[0, 7]
    assert abs(ours.sum() / rise - 1) < 0.01
    theirs = captum.attr.IntegratedGradients(model).attribute(
        images, target=7, n_steps=200, internal_batch_size=20
    )
    assert toys.relative_error(ours, theirs) < 0.05


def test_a_batch_gives_the_maps_of_its_pictures():
    model, images = toys.Busy(), toys.batch(3)
    whole = integrated_gradients(model, images, [0, 1, 2], steps=4, fill="blur")
    for k in range(3):
        alone = integrated_gradients(model, images[[k]], k, steps=4, fill="blur")
        assert torch.allclose(whole[k], alone[0], atol=1e-6)


@pytest.mark.parametrize("target", [Unit("conv", 2), lambda out: out[:, 0]])
def test_any_target_is_complete(target):
    assert gap(toys.Busy().eval(), toys.batch(2), target, steps=400) < 0.01


def test_none_is_the_top_class_of_the_picture():
    model, images = toys.Busy().eval(), toys.batch(4)
    with torch.no_grad():
        tops = model(images).argmax(1)
    found = integrated_gradients(model, images, steps=3)
    assert torch.equal(found, integrated_gradients(model, images, tops, steps=3))


def test_the_model_is_left_as_it_was_also_after_an_interrupt():
    model, images = toys.Busy().train(), toys.batch(2)
    before, told = toys.state(model, images), toys.Told()
    whole = integrated_gradients(model, images, steps=2, progress=told)
    assert told.calls == [(1, 2), (2, 2)]
    stopped = integrated_gradients(model, images, steps=2, progress=toys.Told(last=1))
    assert torch.equal(stopped, told.so_far[0]) and not torch.equal(stopped, whole)
    assert toys.state(model, images) == before

    def stop(done, total, so_far):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        integrated_gradients(model, images, progress=stop)
    assert toys.state(model, images) == before


def test_a_score_that_never_moves_is_warned_of():
    model = toys.OneReLU(torch.ones(3, 4, 4))
    with pytest.warns(UserWarning, match="zero at every pixel"):
        assert not integrated_gradients(model, -torch.ones(1, 3, 4, 4), 0).any()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"steps": 0}, "steps must be a whole number of at least 1"),
        ({"fill": "nothing"}, 'fill must be "mean", "blur"'),
        ({"targets": [1, 2]}, "targets must be one class for each of 1 images"),
    ],
)
def test_bad_arguments_are_named(arguments, words):
    with pytest.raises((TypeError, ValueError), match=words):
        integrated_gradients(toys.Busy(), toys.batch(1), **arguments)
