"""All methods under one roof: called alike, drawn alike, the baselines among them."""

import numpy as np
import pytest
import torch
import toys

from course_utils import METHODS, Unit, compute_maps, load_model
from course_utils.figures import describe, plot_panels
from course_utils.methods import QUICK

every_method = pytest.mark.parametrize("name", METHODS)


@every_method
def test_a_batch_gives_the_maps_of_its_pictures(name):
    model, images = toys.Busy(), toys.batch(2, 40)
    whole = METHODS[name](model, images, [1, 2])
    assert whole.shape in ((2, 40, 40), (2, 3, 40, 40))
    for k in range(2):
        alone = METHODS[name](model, images[[k]], k + 1)
        assert torch.allclose(whole[k], alone[0], atol=1e-5)
    assert METHODS[name].signed or whole.min() >= 0


@every_method
@pytest.mark.parametrize("target", [None, 1, Unit("conv", 2), lambda out: out[:, 0]])
def test_any_target_and_the_model_is_left_as_it_was(name, target):
    model, images = toys.Busy().train(), toys.batch(1, 40)
    before = toys.state(model, images)
    METHODS[name](model, images, target)
    assert toys.state(model, images) == before


@every_method
def test_importance_is_one_number_a_pixel_and_a_panel_states_its_range(name):
    model, images = toys.Busy(), toys.batch(1, 40)
    maps = METHODS[name](model, images, 1)
    assert METHODS[name].importance(maps).shape == (1, 40, 40)
    words = describe(plot_panels([METHODS[name].panel(maps[0])]))
    assert METHODS[name].label in words
    assert "±" in words if METHODS[name].signed else "0 to" in words


def test_importance_keeps_the_sign_where_values_add_up():
    maps = torch.tensor([1.0, -4.0, 1.0]).view(1, 3, 1, 1)
    assert METHODS["integrated_gradients"].importance(maps).item() == -2
    assert METHODS["guided_backprop"].importance(maps).item() == 4
    assert METHODS["occlusion"].importance(maps[:, 1]).item() == -4


def test_baselines_are_marked_and_know_no_network():
    baselines = [name for name, method in METHODS.items() if method.baseline]
    assert baselines == ["edges", "centre", "random"]
    images = toys.batch(2)
    for name in baselines:
        assert torch.equal(
            METHODS[name](None, images), METHODS[name](toys.Busy(), images, 3)
        )


def test_names_are_keys_and_the_quick_ones_are_the_same_methods():
    for methods in (METHODS, QUICK):
        assert [method.name for method in methods.values()] == list(methods)
    assert QUICK.keys() == METHODS.keys()
    for name in METHODS:
        assert QUICK[name].label == METHODS[name].label
        assert QUICK[name].passes <= METHODS[name].passes


def test_several_at_once_with_progress():
    model, images, told = load_model(), toys.batch(1, 64), toys.Told()
    names = ["grad_cam", "vanilla_saliency"]
    found = compute_maps(model, images, 5, names, told)
    assert list(found) == names
    assert told.calls == [(1, 2), (2, 2)]
    stopped = compute_maps(model, images, 5, names, toys.Told(last=1))
    assert list(stopped) == names[:1]
    for name in names:
        assert torch.equal(found[name], METHODS[name](model, images, 5))
    with pytest.raises(ValueError, match="names must be one of vanilla_saliency"):
        compute_maps(model, images, 5, ["gradcam"])


def test_a_shared_limit_can_be_given():
    values, title, style = METHODS["edges"].panel(np.eye(4), "mine", limit=2.0)
    assert (title, style["vmax"], style["label"]) == ("mine", 2.0, "0 to 2 and above")
    assert values.shape == (4, 4)
