"""Every function leaves the network, the pictures and the process as it found them.

One table of everything that is given a network, times the ways in which it may end: well,
by a target that there is not, by an error or an interrupt inside the network (at its first
pass, or at a later one), by whatever a learner's `progress` raises.
"""

import sys
from inspect import signature

import pytest
import torch
import toys
from PIL import Image
from torch import nn

from course_utils import (
    Unit,
    evaluation,
    grad_cam,
    input_gradient,
    layer_gradient,
    localization,
    occlusion,
    smooth_grad,
    summarize,
    visualize_class,
)
from course_utils.class_visualization import CS231N, judge
from course_utils.evaluation import deletion_insertion, randomization_test
from course_utils.methods import METHODS, QUICK, compute_maps
from course_utils.models import fingerprint
from course_utils.targets import predict
from course_utils.your_own import compare_methods, map_folder

SIZE = 12


class Sensitive(toys.Busy):
    """A busy network that fails at one of its passes, and has a head of its own."""

    def __init__(self, trouble=None, at=1):
        super().__init__()
        self.error, self.at, self.passes = trouble, at, 0

    def forward(self, x):
        self.passes += 1
        self.trouble = self.error if self.passes >= self.at else None
        return super().forward(x)


def disturbed(trouble=None, at=1):
    """In training mode but for one module, with gradients, hooks and a frozen bias."""
    model = Sensitive(trouble, at).train()
    model.norm.eval()
    model.fc.bias.requires_grad_(False)
    model.conv.weight.grad = torch.ones_like(model.conv.weight)
    model.relu.register_forward_hook(lambda module, inputs, output: None)
    model.fc.register_full_backward_hook(lambda module, inputs, output: None)
    return model


def averaged(model, images, target, progress=None):
    return localization.averaged_saliency(model, images, target, shifts=(0, 2), flip=True)


# (model, images (2, 3, H, W), target, progress) → anything
EVERY_METHOD = {
    name: lambda m, x, t, p, method=method: method(m, x, t, p)
    for name, method in QUICK.items()
    if not method.baseline
}
QUIET = {
    "input_gradient": lambda m, x, t, p: input_gradient(m, x, t),
    "layer_gradient": lambda m, x, t, p: layer_gradient(m, x, t, "conv", "guided"),
    "grad_cam of a layer": lambda m, x, t, p: grad_cam(m, x, t, layer="conv"),
    "predict": lambda m, x, t, p: predict(m, x, t),
    "averaged_saliency": lambda m, x, t, p: averaged(m, x, t),
}
WITH_PROGRESS = {
    "occlusion of one image": lambda m, x, t, p: occlusion(m, x[:1], t, 4, 2, progress=p),
    "visualize_class": lambda m, x, t, p: visualize_class(
        m, 1 if t is None else t, steps=3, size=SIZE, progress=p
    ),
    "visualize_class by pixels": lambda m, x, t, p: visualize_class(
        m, 1 if t is None else t, steps=3, size=SIZE, progress=p, **CS231N
    ),
    "deletion_insertion": lambda m, x, t, p: deletion_insertion(
        m, x[:1], x[0, 0].abs(), t, steps=3, progress=p
    ),
    "randomization_test": lambda m, x, t, p: randomization_test(
        m, x, t, layers=["fc", "conv"], progress=p
    ),
    "compute_maps": lambda m, x, t, p: compute_maps(
        m, x, t, ["vanilla_saliency", "grad_cam", "occlusion"], progress=p
    ),
}
for name in EVERY_METHOD:
    reports = "progress" in signature(QUICK[name].maps).parameters
    (WITH_PROGRESS if reports else QUIET)[name] = EVERY_METHOD[name]
EVERYTHING = QUIET | WITH_PROGRESS
ERRORS = (KeyboardInterrupt, RuntimeError, ValueError, KeyError, MemoryError)


@pytest.fixture(autouse=True)
def small_groups(monkeypatch):
    """Few pictures at once, so that ten windows take several passes."""
    for module in ("targets", "occlusion"):
        home = sys.modules[f"course_utils.{module}"]
        monkeypatch.setattr(home, "PIXELS_AT_ONCE", 4 * SIZE**2)


def whole_state(model, images):
    """`toys.state`, and what belongs to the process."""
    process = {
        "threads": torch.get_num_threads(),
        "default type": torch.get_default_dtype(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "anomalies": torch.is_anomaly_enabled(),
        "python hooks of all modules": list(nn.modules.module._global_forward_hooks),
    }
    return toys.state(model, images) | process


def run_and_compare(method, model, images, target=1, error=None, progress=None):
    before = whole_state(model, images)
    if error is None:
        EVERYTHING[method](model, images, target, progress)
    else:
        with pytest.raises(error):
            EVERYTHING[method](model, images, target, progress)
    after = whole_state(model, images)
    changed = [key for key in before if before[key] != after[key]]
    assert not changed, f"{method} changed the {changed}"


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("method", EVERYTHING)
def test_after_success(method, mode):
    model, images = disturbed(), toys.batch(2, SIZE)
    with mode():
        run_and_compare(method, model, images)
        if mode is torch.enable_grad:
            run_and_compare(method, model, images, target=None)
    assert model.passes > 0


@pytest.mark.parametrize("method", EVERYTHING)
def test_after_a_hidden_unit(method):
    run_and_compare(method, disturbed(), toys.batch(2, SIZE), Unit("conv", 2))


def fail(outputs):
    raise ZeroDivisionError("in the learner's own function")


BAD = {
    "no such class": (99, ValueError),
    "a name": ("cat", TypeError),
    "no such layer": (Unit("conv9", 0), ValueError),
    "no such channel": (Unit("conv", 99), ValueError),
    "a function that fails": (fail, ZeroDivisionError),
    "a function of no score": (lambda outputs: None, ValueError),
}


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("method", EVERYTHING)
def test_after_a_bad_target(method, bad):
    target, error = BAD[bad]
    run_and_compare(method, disturbed(), toys.batch(2, SIZE), target, error)


@pytest.mark.parametrize("method", EVERYTHING)
def test_after_an_error_inside_the_network(method):
    counting = disturbed()
    EVERYTHING[method](counting, toys.batch(2, SIZE), 1, None)
    for error in ERRORS:
        for at in {1, min(2, counting.passes), counting.passes}:
            model = disturbed(error("in the midst"), at)
            seen = RuntimeError if issubclass(error, Exception) else error
            run_and_compare(method, model, toys.batch(2, SIZE), 1, seen)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, SystemExit])
@pytest.mark.parametrize("method", WITH_PROGRESS)
def test_after_whatever_progress_raises(method, error):
    calls = []

    def progress(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise error("in the learner's own function")

    run_and_compare(method, disturbed(), toys.batch(2, SIZE), 1, error, progress)
    assert len(calls) == 2


@pytest.mark.parametrize("method", EVERYTHING)
def test_pictures_that_ask_for_gradients_get_none_and_maps_hang_on_no_graph(method):
    images = toys.batch(2, SIZE).requires_grad_()
    images.grad = torch.ones_like(images)
    run_and_compare(method, disturbed(), images)
    found = EVERYTHING[method](disturbed(), images, 1, None)
    tensors = [v for v in vars(found).values()] if hasattr(found, "__dict__") else [found]
    assert not any(isinstance(t, torch.Tensor) and t.requires_grad for t in tensors)


# -- a seed is the method's own ----------------------------------------------------------

SEEDED = {
    "smooth_grad": lambda m, x, seed: smooth_grad(m, x, 1, samples=2, seed=seed),
    "visualize_class": lambda m, x, seed: (
        visualize_class(m, 1, steps=1, size=SIZE, seed=seed).pixels
    ),
    "randomization_test": lambda m, x, seed: (
        randomization_test(m, x, 1, layers=["conv"], seed=seed).correlations
    ),
    "deletion_insertion": lambda m, x, seed: torch.tensor(
        deletion_insertion(m, x[:1], torch.zeros(SIZE, SIZE), 1, 3, seed=seed).deletion
    ),
    "random maps": lambda m, x, seed: evaluation.random_maps(x, seed=seed),
}


@pytest.mark.parametrize("method", SEEDED)
def test_a_seed_decides_and_the_global_generator_does_not(method):
    model, images = disturbed(), toys.batch(2, SIZE)
    found = []
    for elsewhere, seed in ((1, 5), (2, 5), (1, 6)):
        with torch.random.fork_rng():
            torch.manual_seed(elsewhere)
            found.append(SEEDED[method](model, images, seed))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


# -- what is not called with targets -------------------------------------------------------


@pytest.mark.parametrize("trouble", [None, KeyboardInterrupt(), RuntimeError("no")])
def test_summaries_fingerprints_and_judgements(trouble):
    def with_pictures(model):
        judge(model, toys.batch(1, SIZE), 1)

    for function in (lambda m: summarize(m, SIZE), fingerprint, with_pictures):
        model = disturbed(trouble)
        before = whole_state(model, None)
        if trouble is None or function is fingerprint:
            function(model)
        else:
            with pytest.raises(type(trouble)):
                function(model)
        assert whole_state(model, None) == before


@pytest.mark.parametrize("trouble", [None, KeyboardInterrupt(), RuntimeError("no")])
def test_sheets_and_folders(trouble, tmp_path):
    picture = Image.effect_noise((20, 20), 90)
    picture.save(tmp_path / "noise.png")
    few = [name for name in METHODS if name not in ("occlusion", "integrated_gradients")]
    work = {
        "compare_methods": lambda m: compare_methods(m, picture, few, 1, size=SIZE),
        "map_folder": lambda m: map_folder(tmp_path, m, out=tmp_path / "maps", size=SIZE),
    }
    for name, function in work.items():
        model = disturbed(trouble, at=1 if name == "map_folder" else 2)
        before = whole_state(model, None)
        if trouble is None:
            function(model)
        else:
            with pytest.raises(type(trouble)):
                function(model)
        after = whole_state(model, None)
        assert [k for k in before if before[k] != after[k]] == [], name
    if trouble is not None:
        assert not [*tmp_path.rglob("*.map.npz")] and not [*tmp_path.rglob("*.draft")]
