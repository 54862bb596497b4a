"""Six hundred pictures at once cost little more memory than they take themselves."""

import subprocess
import sys

import pytest
from memory import PEAK, measured

MEASURE = """
import torch
from course_utils import *
from course_utils.targets import predict

torch.set_num_threads(1)
model, images = load_model(), torch.randn(600, 3, 224, 224)
before = memory("VmRSS")
{call}
print((memory() - before) * 2**20 / images.nbytes)
"""
CALLS = {
    "answer": "predict(model, images)",
    "vanilla": "vanilla_saliency(model, images, 3)",
    "guided": "guided_backprop(model, images, 3)",
    "SmoothGrad": "smooth_grad(model, images, 3, samples=1)",
    "integrated gradients": "integrated_gradients(model, images, 3, steps=1)",
    "Grad-CAM": "grad_cam(model, images, 3)",
}


@pytest.mark.nightly
@measured
@pytest.mark.parametrize("call", CALLS)
def test_six_hundred_pictures_take_at_most_twice_their_own_memory(call):
    script, least = PEAK + MEASURE.format(call=CALLS[call]), float("inf")
    for _ in range(3):  # what is needed; at times the allocator keeps more
        run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        least = min(least, float(run.stdout))
        if least <= 2.0:
            break
    assert least <= 2.0
