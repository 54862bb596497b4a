"""docs/other_frameworks.md: its code, run as it stands, gives the course's maps."""

import re

import numpy as np
import pytest
import torch
import toys
from pages import code_of, page
from torch.nn.functional import cross_entropy

from course_utils import load_model, load_samples, preprocess, vanilla_saliency
from course_utils.evaluation import rank_correlation
from course_utils.targets import predict

PAGE = "other_frameworks.md"
FRAMEWORKS = {"PyTorch": "torch", "TensorFlow": "tensorflow", "JAX": "jax"}
WHY = 'install them with: pip install -e ".[frameworks]"'


@pytest.fixture(scope="module")
def names():
    """What the page has defined, up to the common part."""
    names, code = {}, code_of(PAGE)
    for heading in ("PyTorch", "The layout"):
        exec(code[heading], names)
    return names


def difference(names, by, framework):
    """Of a framework's map from the course's, as a share of the largest value."""
    theirs = torch.tensor(np.asarray(names[f"{FRAMEWORKS[framework]}_map"](by)))
    return toys.relative_error(theirs, names[f"by_{by}"])


@pytest.mark.parametrize("by", ["score", "loss"])
def test_pytorch_by_hand(names, by):
    assert difference(names, by, "PyTorch") < 1e-5


@pytest.mark.nightly
@pytest.mark.slow
@pytest.mark.parametrize("framework", ["TensorFlow", "JAX"])
def test_another_framework(names, framework):
    pytest.importorskip(FRAMEWORKS[framework], reason=WHY)
    exec(code_of(PAGE)[framework], names)
    for by in ("score", "loss"):
        assert difference(names, by, framework) < 1e-5


def test_the_two_questions_differ(names):
    assert toys.relative_error(names["by_loss"], names["by_score"]) > 0.1


@pytest.mark.nightly
@pytest.mark.slow
def test_what_the_page_says_of_the_photographs():
    model, samples = load_model(), load_samples()
    images, labels = preprocess(samples.images), samples.labels
    by_score = vanilla_saliency(model, images, labels)
    by_loss = vanilla_saliency(
        model, images, lambda out: cross_entropy(out, labels, reduction="none")
    )
    alike = rank_correlation(by_score, by_loss)
    shares = predict(model, images).shares[range(len(images)), labels]
    sure = shares >= 0.99
    faded = by_loss.amax((1, 2)) / by_score.amax((1, 2))
    assert (faded[sure] < 0.01).all()
    said = " ".join(page(PAGE).split())
    low, high, middle = alike.min(), alike.max(), alike.quantile(0.5)
    assert f"between {low:.2f} and {high:.2f}, with a median of {middle:.2f}" in said
    assert f"the course's {len(images)} photographs" in said
    assert f"On the {sure.sum()} that SqueezeNet is at least 99 % sure of" in said


def test_the_page_names_the_extra():
    assert "frameworks]" in page(PAGE)
    assert re.search(r"^\| JAX [\d.]+ \|", page(PAGE), re.MULTILINE)
