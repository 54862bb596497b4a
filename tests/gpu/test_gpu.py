"""On a GPU as on the processor: every method, mixed precision, a lab, a folder run.

make test-gpu                where there is CUDA; elsewhere these tests are skipped
make test-gpu DEVICE=cpu     only tries the tests themselves
"""

import os
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from address import ROOT

from course_utils import (
    METHODS,
    Unit,
    input_gradient,
    load_model,
    load_samples,
    map_folder,
    occlusion,
    preprocess,
    visualize_class,
)
from course_utils.labs.guided_backprop import GuidedBackpropLab
from course_utils.labs.occlusion import OcclusionLab

DEVICE = os.environ.get("DEVICE", "cuda")
if DEVICE == "cuda" and not torch.cuda.is_available():
    pytest.skip("PyTorch finds no CUDA on this machine", allow_module_level=True)

NETWORK = load_model()
ON_DEVICE = load_model(device=DEVICE)
IMAGES = preprocess(load_samples(2).images)
CLASSES = [207, 1]
ALIKE = 1e-3  # of a map's length: sums are taken in another order, and ReLUs may tip over

every_method = pytest.mark.parametrize("name", METHODS)


@pytest.fixture(autouse=True, scope="module")
def whole_precision():
    """By default CUDA rounds what convolutions multiply to 10 bits (TF32)."""
    backends = torch.backends.cudnn, torch.backends.cuda.matmul
    before = [backend.allow_tf32 for backend in backends]
    for backend in backends:
        backend.allow_tf32 = False
    yield
    for backend, allowed in zip(backends, before, strict=True):
        backend.allow_tf32 = allowed


def distance(found, right) -> float:
    """The length of the difference of two maps, in lengths of the right one."""
    found, right = (torch.as_tensor(maps).double().cpu() for maps in (found, right))
    return ((found - right).norm() / right.norm()).item()


# -- maps ------------------------------------------------------------------------------


@every_method
def test_maps_are_those_of_the_processor(name):
    found = METHODS[name](ON_DEVICE, IMAGES.to(DEVICE), CLASSES)
    assert found.device.type == DEVICE
    assert distance(found, METHODS[name](NETWORK, IMAGES, CLASSES)) < ALIKE


@every_method
def test_mixed_precision_of_the_caller_changes_no_map(name):
    images = IMAGES.to(DEVICE)
    right = METHODS[name](ON_DEVICE, images, CLASSES)
    with torch.autocast(DEVICE, dtype=torch.bfloat16):
        assert ON_DEVICE(images).dtype is torch.bfloat16, "autocast is at work here"
        found = METHODS[name](ON_DEVICE, images, CLASSES)
        assert torch.is_autocast_enabled(DEVICE), "and still is afterwards"
    assert found.dtype is right.dtype
    assert distance(found, right) < ALIKE


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_networks_of_other_precisions(dtype):
    network = load_model(device=DEVICE).to(dtype)
    found = input_gradient(network, IMAGES.to(DEVICE, dtype), CLASSES)
    within = {torch.float16: 0.25, torch.bfloat16: 0.75, torch.float64: ALIKE}[dtype]
    assert distance(found, input_gradient(NETWORK, IMAGES, CLASSES)) < within


def test_many_pictures_are_mapped_in_groups_of_any_size():
    many = IMAGES.to(DEVICE).repeat(40, 1, 1, 1)
    found = input_gradient(ON_DEVICE, many, CLASSES * 40)
    assert distance(found[-2:], input_gradient(NETWORK, IMAGES, CLASSES)) < ALIKE


def test_a_unit_and_a_window_are_asked_as_on_the_processor():
    def both(model, images):
        unit = input_gradient(model, images, Unit("fire9", 3))
        windows = occlusion(model, images[:1], 207, stride=32, incremental=False)
        return unit, windows.drops

    found, right = both(ON_DEVICE, IMAGES.to(DEVICE)), both(NETWORK, IMAGES)
    for one, other in zip(found, right, strict=True):
        assert distance(one, other) < ALIKE


def test_a_class_grows_on_the_device():
    grown = visualize_class(ON_DEVICE, 985, steps=20, seed=0)
    assert grown.history[-1] > grown.history[0]


@pytest.mark.skipif(DEVICE == "cpu", reason="there is no second device")
def test_pictures_on_the_processor_are_refused_in_one_sentence():
    with pytest.raises(ValueError, match="images must be on the model's device, cuda"):
        METHODS["vanilla_saliency"](ON_DEVICE, IMAGES, CLASSES)


# -- labs ------------------------------------------------------------------------------


@contextmanager
def two_labs(lab_class):
    """A lab whose network is on the device, and one on the processor."""
    labs = lab_class(ON_DEVICE), lab_class(NETWORK)
    try:
        yield labs
    finally:
        for lab in labs:
            lab.close()


def bars(lab) -> list[float]:
    return [b["value"] for p in lab.scene.panels for b in getattr(p, "bars", ())]


def test_the_lab_of_lesson_06_answers_alike():
    with two_labs(OcclusionLab) as labs:
        for lab in labs:
            lab.touched("photo", {"x": 60, "y": 120, "w": 48, "h": 48})
            assert not lab.failed, lab.said
        assert np.allclose(*map(bars, labs), atol=1e-3)
        for lab in labs:
            lab.controls["stride"].value = 56
            assert lab.start() and lab.wait(60)
            assert not lab.failed, lab.said
        assert distance(labs[0].result.drops, labs[1].result.drops) < ALIKE


def test_the_lab_of_lesson_05_answers_alike():
    with two_labs(GuidedBackpropLab) as labs:
        for lab in labs:
            lab.controls["target"].choose(263)
            assert not lab.failed, lab.said
        for found, right in zip(*(lab._shown.values() for lab in labs), strict=True):
            assert distance(found, right) < ALIKE


# -- a folder --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster():
    """A local Ray with two cores, and the GPUs that it finds."""
    ray = pytest.importorskip("ray", reason="workers need Ray: pip install 'ray[data]'")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.mark.parametrize("workers", [None, 2])
def test_a_folder_run_writes_the_maps_of_the_processor(workers, cluster, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    for path in sorted((ROOT / "data" / "photos").iterdir())[:6]:
        (photos / path.name).write_bytes(path.read_bytes())
    right = map_folder(photos, NETWORK, "grad_cam", tmp_path / "right", batch=2)
    found = map_folder(
        photos, ON_DEVICE, "grad_cam", tmp_path / "found", batch=2, workers=workers
    )
    assert (found.written, found.skipped) == (6, {})
    for name in right.names:
        assert distance(found.load(name), right.load(name)) < ALIKE
