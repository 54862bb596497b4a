"""visualize_class: it climbs, repeats, stops, saves, and leaves the network alone."""

import inspect
import json
from dataclasses import asdict

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from toys import Busy, Linear

import course_utils
from course_utils import Unit, load_model, preprocess, visualize_class
from course_utils import class_visualization as cv
from course_utils.class_visualization import CS231N, Recipe, judge

SIZE = 32
QUICK = {"steps": 4, "size": SIZE}
RECIPES = {"default": {}, "CS231n": CS231N, "pixel": {"parametrization": "pixel"}}


@pytest.fixture(scope="module")
def model():
    return load_model()


@pytest.fixture
def busy():
    """A network in training mode, with gradients of its own."""
    network = Busy().train()
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    return network


def state(network):
    """All that a run must leave unchanged."""
    return [
        [m.training for m in network.modules()],
        [(p.requires_grad, p.tolist(), p.grad.tolist()) for p in network.parameters()],
        [b.tolist() for b in network.buffers()],
        [len(m._forward_hooks) for m in network.modules()],
        torch.get_rng_state().tolist(),
        torch.is_grad_enabled(),
    ]


def recipe(name):
    return pytest.param(RECIPES[name], id=name)


every_recipe = pytest.mark.parametrize("settings", [recipe(n) for n in RECIPES])


# -- it climbs -------------------------------------------------------------------------


@every_recipe
def test_the_class_comes_to_the_top(model, settings):
    run = visualize_class(model, 483, steps=80, size=96, **settings)
    assert judge(model, run.pixels, 483).rank <= 3  # of 1000; 1 on most processors
    assert run.history[-1] > run.history[0]
    assert len(run.history) == 80
    assert run.image.size == (96, 96)
    assert run.image.mode == "RGB"


def test_on_a_linear_score_pixels_go_where_the_weight_points():
    weight = torch.zeros(1, 3, SIZE, SIZE)
    weight[0, :, :16], weight[0, :, 16:] = 1, -1
    run = visualize_class(
        Linear(weight), 0, parametrization="pixel", jitter=0, robust=False, l2=0, tv=0,
        steps=200, size=SIZE, lr=5.0,
    )  # fmt: skip
    picture = np.asarray(run.image)
    assert picture[:16].min() == 255
    assert picture[16:].max() == 0


def test_the_penalty_pulls_the_picture_to_grey(model):
    bright, grey = (
        visualize_class(model, 483, steps=30, size=64, l2=l2).pixels.square().mean()
        for l2 in (0.0, 1e-2)
    )
    assert grey < bright / 2


def test_total_variation_makes_it_smoother(model):
    rough, smooth = (
        cv.total_variation(visualize_class(model, 483, steps=30, size=64, tv=tv).pixels)
        for tv in (0.0, 1e-2)
    )
    assert smooth < rough / 2


@every_recipe
def test_pixels_stay_between_black_and_white(model, settings):
    run = visualize_class(model, 1, **QUICK, **settings)
    low, high = cv.valid_range()
    assert (run.pixels >= low - 1e-5).all()
    assert (run.pixels <= high + 1e-5).all()


def test_a_hidden_unit_and_a_function_can_be_targets(model):
    unit = visualize_class(model, Unit("fire5", 3), steps=16, size=64)
    assert unit.history[-1] > unit.history[0]
    assert "fire5" in unit.settings["target"]
    same = [
        visualize_class(model, target, **QUICK).history
        for target in (483, np.int64(483), lambda outputs: outputs[:, 483])
    ]
    assert same[0] == same[1] == same[2]


def test_a_photograph_can_be_the_start(model):
    photo = Image.fromarray(np.full((50, 60, 3), (200, 120, 40), np.uint8))
    for parametrization in cv.PARAMETRIZATIONS:
        run = visualize_class(
            model, 1, steps=0, size=SIZE, start=photo, parametrization=parametrization
        )
        error = np.abs(np.asarray(run.image).astype(int) - (200, 120, 40)).max()
        assert error <= 1, parametrization
        assert run.history == []


def test_another_size_and_other_statistics():
    statistics = {"mean": (0.4914, 0.4822, 0.4465), "std": (0.2470, 0.2435, 0.2616)}
    network = Linear(torch.ones(2, 3, 32, 32))
    run = visualize_class(network, 1, steps=60, size=32, l2=0, lr=0.5, **statistics)
    assert np.asarray(run.image).mean() > 200
    assert run.settings["mean"] == statistics["mean"]


# -- it repeats ------------------------------------------------------------------------


@every_recipe
def test_a_seed_repeats_exactly_and_another_does_not(model, settings):
    first, second = (visualize_class(model, 1, **QUICK, **settings) for _ in range(2))
    other = visualize_class(model, 1, **QUICK, **settings, seed=1)
    assert first.history == second.history
    assert torch.equal(first.pixels, second.pixels)
    assert first.image.tobytes() != other.image.tobytes()


def test_the_random_numbers_of_others_do_not_matter(model):
    first = visualize_class(model, 1, **QUICK)
    torch.manual_seed(99)
    torch.rand(5)
    assert visualize_class(model, 1, **QUICK).history == first.history


def test_a_recipe_checks_itself_and_runs(model):
    recipe = Recipe(steps=np.int64(2), size=SIZE, l2=np.float32(0.5), mean=[0.5] * 3)
    run = visualize_class(model, 1, **asdict(recipe))
    assert run.settings == {"target": 1, **asdict(recipe), "start": "noise"}
    assert (recipe.steps, recipe.l2, recipe.mean) == (2, 0.5, (0.5, 0.5, 0.5))
    assert asdict(Recipe(**CS231N)) == asdict(Recipe()) | CS231N
    with pytest.raises(ValueError, match="^size must be a whole number"):
        Recipe(size=4)


def test_the_defaults_are_those_of_a_recipe():
    parameters = inspect.signature(visualize_class).parameters
    defaults = {name: parameters[name].default for name in asdict(Recipe())}
    from_inputs = dict.fromkeys(["size", "mean", "std"])
    assert defaults == asdict(Recipe()) | from_inputs


# -- it stops, and leaves the network unchanged -----------------------------------------


def test_progress_can_stop_it_and_what_there_is_is_kept(busy):
    before = state(busy)
    run = visualize_class(busy, 1, **QUICK, progress=lambda step, steps, so_far: step < 2)
    assert run.stopped
    assert len(run.history) == 2
    assert run.image.size == (SIZE, SIZE)
    assert state(busy) == before


@pytest.mark.parametrize("error", [KeyboardInterrupt, StopIteration, ValueError])
def test_exceptions_propagate_and_leave_the_network(busy, error):
    def progress(step, steps, so_far):
        if step == 2:
            raise error

    before = state(busy)
    with pytest.raises(error):
        visualize_class(busy, 1, **QUICK, progress=progress)
    assert state(busy) == before


@every_recipe
def test_a_whole_run_leaves_the_network(busy, settings):
    before = state(busy)
    assert not visualize_class(busy, 1, **QUICK, **settings).stopped
    assert state(busy) == before


def test_it_works_where_gradients_are_switched_off(model):
    usual = visualize_class(model, 1, **QUICK)
    with torch.no_grad():
        assert visualize_class(model, 1, **QUICK).history == usual.history
    with torch.inference_mode():
        assert visualize_class(model, 1, **QUICK).history == usual.history


def test_progress_sees_each_step(model):
    seen = []
    run = visualize_class(model, 1, **QUICK, progress=lambda *news: seen.append(news))
    assert [news[:2] for news in seen] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    steps = [so_far for _, _, so_far in seen]
    assert [so_far.history for so_far in steps] == [run.history[:n] for n in (1, 2, 3, 4)]
    assert len({so_far.image.tobytes() for so_far in steps}) == 4
    assert steps[-1].image.tobytes() == run.image.tobytes()


# -- it saves --------------------------------------------------------------------------


def test_picture_and_settings_are_saved(model, tmp_path):
    run = visualize_class(model, 1, **QUICK)
    picture, notes = run.save(tmp_path / "fish")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["fish.json", "fish.png"]
    assert Image.open(picture).tobytes() == run.image.tobytes()
    saved = json.loads(notes.read_text())
    assert saved["target"] == 1
    assert saved["seed"] == 0
    assert saved["steps"] == 4
    assert saved["history"] == run.history


def test_settings_of_any_run_can_be_saved(model, tmp_path):
    photo = Image.new("RGB", (40, 40))
    for target in (Unit("fire5", 2), lambda outputs: outputs[:, 0], np.int64(3)):
        run = visualize_class(model, target, steps=1, size=np.int64(32), start=photo)
        run.save(tmp_path / "it.jpg")


def test_nothing_is_half_written(model, tmp_path, monkeypatch):
    run = visualize_class(model, 1, **QUICK)
    run.save(tmp_path / "fish.png")
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}

    def fail(*arguments, **settings):
        raise OSError("disk full")

    monkeypatch.setattr(cv.json, "dumps", fail)
    with pytest.raises(OSError, match="disk full"):
        visualize_class(model, 2, **QUICK).save(tmp_path / "fish.png")
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_a_bad_path_is_refused(model, tmp_path):
    run = visualize_class(model, 1, **QUICK)
    with pytest.raises(FileNotFoundError, match="^there is no folder"):
        run.save(tmp_path / "nowhere" / "fish.png")
    with pytest.raises(ValueError, match="^path must end in .png, .jpg or .webp, got"):
        run.save(tmp_path / "fish.txt")


# -- its parts -------------------------------------------------------------------------


def test_waves_and_back():
    rgb = 0.1 + 0.8 * torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    back = cv.fourier_to_rgb(cv.rgb_to_fourier(rgb))
    assert torch.allclose(back, rgb, atol=1e-5)


def test_waves_of_an_odd_size():
    assert visualize_class(
        Linear(torch.ones(1, 3, 33, 33)), 0, steps=2, size=33
    ).image.size == (
        33,
        33,
    )


def test_jitter_in_the_graph_finds_its_way_back():
    pixels = torch.zeros(1, 3, 8, 8, requires_grad=True)
    random = torch.Generator().manual_seed(3)
    weight = torch.zeros(1, 3, 8, 8)
    weight[..., 4, 4] = 1
    moved = cv.jittered(pixels, 3, random)
    (gradient,) = torch.autograd.grad((moved * weight).sum(), pixels)
    again = cv.jittered(gradient, 3, torch.Generator().manual_seed(3))
    assert torch.equal(again, weight)


def test_blur_keeps_the_mean_and_is_the_gaussian_of_scipy():
    from scipy.ndimage import gaussian_filter

    image = torch.rand(1, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    theirs = gaussian_filter(image.numpy(), (0, 0, 0.5, 0.5), mode="nearest")
    assert np.abs(cv.blurred(image, cv.BLUR).numpy() - theirs).max() < 1e-5


def test_total_variation_of_a_step_by_hand():
    image = torch.zeros(1, 1, 2, 3)
    image[..., 2] = 2  # two rows, each with one step of 2
    assert cv.total_variation(image).item() == 8


def test_a_random_view_moves_the_picture_only_a_little():
    image = torch.ones(1, 3, 64, 64)
    random = torch.Generator().manual_seed(0)
    for _ in range(10):
        view = cv.transformed(image, random)
        assert view.shape == image.shape
        assert view[..., 24:40, 24:40].min() > 0.99


# -- what it refuses -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"target": None}, "target must be a class index, a Unit or a function"),
        ({"target": True}, "target must be"),
        ({"target": [1]}, r"target must be .*, got \[1\]"),
        ({"target": 1000}, "target must be classes between 0 and 999, got 1000"),
        ({"target": lambda o: o}, "target must return one score per image"),
        (
            {"target": lambda o: o.detach()[:, 0]},
            "target must be a score that has a gradient",
        ),
        ({"parametrization": "wavelet"}, "parametrization must be one of fourier, pixel"),
        ({"steps": -1}, "steps must be a whole number of at least 0, got -1"),
        ({"size": 2.5}, "size must be a whole number of at least 1, got 2.5"),
        ({"jitter": -1}, "jitter must be a whole number of at least 0, got -1"),
        ({"blur_every": 0.5}, "blur_every must be a whole number"),
        ({"l2": -1}, "l2 must be a number of at least 0, got -1"),
        ({"tv": float("nan")}, "tv must be a number"),
        ({"lr": "fast"}, "lr must be a number"),
        ({"seed": "x"}, "seed must be a whole number, got 'x'"),
    ],
)
def test_bad_arguments_are_named(model, settings, sentence):
    with pytest.raises((ValueError, TypeError), match=f"^{sentence}"):
        visualize_class(model, **({"target": 1, "steps": 1, "size": 64} | settings))


def test_a_model_of_no_kind_is_named():
    with pytest.raises(TypeError, match="^model must be a torch.nn.Module, got"):
        visualize_class("squeezenet", 1)


def test_a_network_that_asks_for_plain_memory():
    class Views(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x):
            return torch.relu(self.conv(x)).view(len(x), -1).mean(dim=1, keepdim=True)

    assert visualize_class(Views(), 0, **QUICK).history


def test_a_network_that_works_in_place_on_its_input():
    class InPlace(Linear):
        def forward(self, x):
            return super().forward(x.mul_(2))

    weight = torch.ones(1, 3, SIZE, SIZE)
    settings = {"parametrization": "pixel", "jitter": 0, "robust": False}
    doubled = visualize_class(Linear(2 * weight), 0, **QUICK, **settings)
    assert visualize_class(InPlace(weight), 0, **QUICK, **settings).history == (
        doubled.history
    )


def test_a_score_that_never_moves_is_reported():
    dead = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 2), nn.ReLU())
    nn.init.constant_(dead[1].bias, -1e6)
    with pytest.warns(UserWarning, match="did not react"):
        visualize_class(dead, 0, **QUICK, l2=0, tv=0)


# -- the second network ----------------------------------------------------------------


def test_the_second_network_is_there_or_is_none():
    other = course_utils.models.second_network()
    if other is None:
        pytest.skip("the optional extra “second” is not installed")
    photos = course_utils.load_samples()
    with torch.no_grad():
        top = other(preprocess(photos.images)).argmax(dim=1)
    assert (top == photos.labels).float().mean() > 0.7
