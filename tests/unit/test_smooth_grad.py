"""SmoothGrad: by hand, beside Captum, of any method, and independent of the batch."""

import captum.attr
import pytest
import torch
import toys

from course_utils import (
    Unit,
    grad_cam,
    guided_backprop,
    input_gradient,
    load_model,
    smooth_grad,
    vanilla_saliency,
)


def noisy_copies(images, samples, noise, seed):
    """The very pictures that SmoothGrad looks at, by its docstring's formula."""
    random = torch.Generator().manual_seed(seed)
    spread = noise * (images.amax((1, 2, 3)) - images.amin((1, 2, 3)))
    for _ in range(samples):
        draw = torch.randn(images.shape[1:], generator=random)
        yield images + spread[:, None, None, None] * draw


def test_of_a_linear_score_it_is_the_weight_whatever_the_noise():
    weight = toys.batch(2, 5)
    maps = smooth_grad(toys.Linear(weight), toys.batch(3, 5, seed=1), 1, samples=3, noise=9)
    right = weight[1].expand(3, 3, 5, 5)
    assert torch.allclose(maps, right, atol=1e-6)


def test_by_hand_on_a_quadratic_score():
    weight, images = toys.batch(2, 4), toys.batch(2, 4, seed=1)
    mean = sum(noisy_copies(images, 4, 0.2, seed=5)) / 4
    signed = smooth_grad(
        toys.Square(weight), images, [0, 1], input_gradient, 4, 0.2, seed=5
    )
    assert torch.allclose(signed, 2 * weight * mean, atol=1e-5)


def test_signed_gradients_are_averaged_with_little_noise_unless_another_is_asked_for():
    model, images = toys.Square(toys.batch(1, 4)), toys.batch(1, 4, seed=1)
    asked = smooth_grad(model, images, 0, input_gradient, samples=25, noise=0.05)
    assert torch.equal(smooth_grad(model, images, 0), asked)
    assert (asked < 0).any()


def test_absolute_values_are_taken_of_each_copy_if_the_method_does_so():
    weight, images = toys.batch(1, 4), toys.batch(1, 4, seed=1)
    copies = list(noisy_copies(images, 4, 0.5, seed=0))
    of_each = sum((2 * weight * c).abs().amax(1) for c in copies) / 4
    of_mean = (2 * weight * sum(copies) / 4).abs().amax(1)
    model = toys.Square(weight)
    found = smooth_grad(model, images, 0, vanilla_saliency, samples=4, noise=0.5)
    assert torch.allclose(found, of_each, atol=1e-5)
    assert not torch.allclose(found, of_mean, atol=1e-2)


@pytest.mark.parametrize("name", toys.NETWORKS)
def test_agrees_with_captum_on_the_same_noisy_pictures(name):
    model, images = load_model(name, "random"), toys.batch(2, 96)
    found = smooth_grad(model, images, [3, 5], input_gradient, samples=3, noise=0.1)
    copies = torch.cat(list(noisy_copies(images, 3, 0.1, seed=0))).requires_grad_()
    theirs = captum.attr.Saliency(model).attribute(copies, [3, 5] * 3, abs=False)
    right = theirs.unflatten(0, (3, 2)).mean(0)
    assert toys.relative_error(found, right) < 1e-4


def test_agrees_with_captums_noise_tunnel_on_the_mean():
    model, images = toys.Square(toys.batch(1, 4)), toys.batch(1, 4, seed=1)
    spread = (images.max() - images.min()).item()
    tunnel = captum.attr.NoiseTunnel(captum.attr.Saliency(model))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        theirs = tunnel.attribute(
            images, target=0, nt_samples=4000, stdevs=0.1 * spread, abs=False
        )
    ours = smooth_grad(model, images, 0, input_gradient, samples=4000, noise=0.1)
    assert toys.relative_error(ours, theirs) < 0.03


def test_without_noise_it_is_the_method_itself():
    model, images = toys.Busy(), toys.batch(2)
    for method in (vanilla_saliency, guided_backprop, grad_cam):
        plain = method(model, images, 1)
        assert torch.allclose(smooth_grad(model, images, 1, method, 2, 0.0), plain)


def test_a_batch_gives_the_maps_of_its_pictures():
    model, images = toys.Busy(), toys.batch(3)
    whole = smooth_grad(model, images, [0, 1, 2], samples=3)
    for k in range(3):
        alone = smooth_grad(model, images[k : k + 1], k, samples=3)
        assert torch.allclose(whole[k], alone[0], atol=1e-6)


def test_the_seed_decides_and_the_global_generator_is_left_alone():
    model, images = toys.Busy(), toys.batch(1)
    before = torch.get_rng_state()
    one, again, other = (
        smooth_grad(model, images, 0, samples=2, seed=s) for s in (1, 1, 2)
    )
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_none_asks_about_the_class_of_the_picture_without_noise():
    model, images = toys.Busy(), toys.batch(4)
    seen = []

    def method(model, images, targets):
        seen.append(targets.tolist())
        return vanilla_saliency(model, images, targets)

    smooth_grad(model, images, method=method, samples=3, noise=2.0)
    with torch.no_grad():
        tops = model.eval()(images).argmax(1).tolist()
    assert seen == [tops] * 3


@pytest.mark.parametrize(
    "target", [1, [1, 1], Unit("conv", 2), lambda out: out[:, 0] - out[:, 1]]
)
def test_any_target(target):
    maps = smooth_grad(toys.Busy(), toys.batch(2), target, samples=2)
    assert maps.shape == (2, 3, 8, 8)


def test_the_model_is_left_as_it_was():
    model, images = toys.Busy().train(), toys.batch(2)
    before = toys.state(model, images)
    smooth_grad(model, images, samples=2)
    assert toys.state(model, images) == before


def test_progress_is_told_and_can_end_it():
    told, stopping = toys.Told(), toys.Told(last=2)
    model, images = toys.Busy().train(), toys.batch(1)
    whole = smooth_grad(model, images, 0, samples=3, progress=told)
    assert told.calls == [(1, 3), (2, 3), (3, 3)]
    assert torch.equal(told.so_far[-1], whole)
    stopped = smooth_grad(model, images, 0, samples=3, progress=stopping)
    assert torch.equal(stopped, smooth_grad(model, images, 0, samples=2))
    assert stopping.calls == [(1, 3), (2, 3)]
    before = toys.state(model, images)

    def stop(done, total, so_far):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        smooth_grad(model, images, 0, progress=stop)
    assert toys.state(model, images) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"samples": 0}, "samples must be a whole number of at least 1, got 0"),
        ({"samples": 2.5}, "samples must be a whole number"),
        ({"noise": -0.1}, "noise must be a number of at least 0, got -0.1"),
        ({"noise": "much"}, "noise must be a number"),
        ({"method": "vanilla"}, "method must be a function"),
        ({"targets": 99}, "targets must be classes between 0 and .*, got 99"),
    ],
)
def test_bad_arguments_are_named(arguments, words):
    with pytest.raises((TypeError, ValueError), match=words):
        smooth_grad(toys.Busy(), toys.batch(1), **arguments)
