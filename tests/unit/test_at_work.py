"""docs/at_work.md: every call of the page gives what its table says."""

import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import toys
from pages import code_of, page

from course_utils import smooth_grad
from course_utils.evaluation import rank_correlation

PAGE = "at_work.md"
COLUMNS = ("in_captum", "in_zennit", "in_grad_cam")
CODE = code_of(PAGE)
ROWS = re.findall(r"^\| \[(.+?)\]\(#.*?\) \| (.+) \|$", page(PAGE), re.MULTILINE)
WHY = 'install it with: pip install -e ".[frameworks]"'

pytestmark = [
    pytest.mark.filterwarnings("ignore:Setting backward hooks"),
    pytest.mark.filterwarnings("ignore:Input Tensor 0 did not already require"),
]


@pytest.fixture
def names():
    """What the page has defined before the section that is looked at."""
    pytest.importorskip("zennit", reason=WHY)
    pytest.importorskip("pytorch_grad_cam")
    names = {}
    exec(CODE["Set-up"], names)
    exec(CODE["Vanilla saliency"], names)
    return names


def stretched(maps):
    maps = maps - maps.amin((1, 2), keepdim=True)
    return maps / maps.amax((1, 2), keepdim=True)


def check(said, ours, theirs):
    """Whether a cell of the table is true of two maps."""
    theirs = torch.as_tensor(theirs).detach()
    assert ours.shape == theirs.shape
    if said.startswith("<"):
        assert toys.relative_error(theirs, ours) < float(said[1:])
        return
    alike = rank_correlation(ours, theirs)
    if ">" in said:
        assert alike.min() > float(said.partition(">")[2])
    else:
        assert alike.mean().item() == pytest.approx(float(said[1:]), abs=0.02)


def test_the_table_has_a_row_for_each_section():
    sections = [name for name in CODE if name not in ("Set-up", "Quantus")]
    assert [method for method, _ in ROWS] == sections


@pytest.mark.nightly
@pytest.mark.slow
@pytest.mark.parametrize(("method", "cells"), ROWS, ids=[method for method, _ in ROWS])
def test_the_calls_give_what_the_table_says(names, method, cells):
    for column in COLUMNS:
        names.pop(column, None)
    exec(CODE[method], names)
    cells = dict(zip(COLUMNS, cells.split(" | "), strict=True))
    for column, said in cells.items():
        assert (said == "–") == (column not in names), column
        if said != "–":
            theirs, ours = names[column], names["ours"]
            if method in ("Grad-CAM", "HiResCAM") and column == "in_grad_cam":
                ours = stretched(ours)
            check(said, ours, theirs)


# -- what the sentences below the blocks say -------------------------------------------


@pytest.mark.nightly
def test_functional_relus_keep_their_plain_derivative(names):
    exec(CODE["Guided backprop"], names)
    model, images = toys.Written(F.relu), toys.batch(1)
    plain, guided = (
        names[f](model, images, 0) for f in ("vanilla_saliency", "guided_backprop")
    )
    hot, pixels = torch.eye(5)[[0]], images.clone().requires_grad_()
    each = [
        names["GuidedBackprop"](model).attribute(pixels, 0),
        names["Gradient"](model, names["GuidedRule"]())(images.clone(), hot)[1],
        torch.tensor(names["GuidedBackpropReLUModel"](model)(images.clone(), 0)),
    ]
    each[2] = each[2].permute(2, 0, 1)[None]
    for theirs in each:
        assert toys.relative_error(theirs.abs().amax(1), plain) < 1e-5
        assert toys.relative_error(theirs, guided) > 0.1


@pytest.mark.nightly
def test_grad_cams_guided_model_leaves_other_relus(names):
    exec(CODE["Guided backprop"], names)
    left, was = names["guided"].model, names["model"]
    relus = [m for m in left.modules() if isinstance(m, torch.nn.ReLU)]
    assert all(m.inplace for m in was.modules() if isinstance(m, torch.nn.ReLU))
    assert not any(relu.inplace for relu in relus)


@pytest.mark.nightly
@pytest.mark.slow
def test_occlusion_differs_at_the_border_only(names):
    exec(CODE["Occlusion"], names)
    ours, theirs = names["ours"], names["in_zennit"]
    gap = (ours - theirs).abs() / ours.abs().amax((1, 2), keepdim=True)
    assert gap[:, 32:-32, 32:-32].max() < 1e-5
    assert gap.max() > 0.1
    model, image, target = names["model"], names["images"][:1], names["classes"][0]
    mine = names["occlusion"](model, image, target, window=32, stride=20).heatmap
    windows = {"sliding_window_shapes": (3, 32, 32), "strides": (3, 20, 20)}
    its = names["slide"].attribute(image, **windows, baselines=0, target=target)[0, 0]
    gap = (mine - its).abs() / mine.abs().max()
    assert gap[:160, :160].max() < 1e-5
    assert gap.max() > 0.1


@pytest.mark.nightly
@pytest.mark.slow
def test_two_seeds_agree_no_better_than_two_libraries(names):
    exec(CODE["SmoothGrad"], names)
    other = smooth_grad(names["model"], names["images"], names["classes"], seed=1)
    assert rank_correlation(names["ours"], other).mean() == pytest.approx(0.73, abs=0.02)


@pytest.mark.nightly
@pytest.mark.slow
def test_integrated_gradients_add_up(names):
    exec(CODE["Integrated Gradients"], names)
    model, images, classes = names["model"], names["images"], names["classes"]
    with torch.no_grad():
        right = (model(images) - model(0 * images))[range(2), classes]
    missed = {
        who: ((names[who].detach().sum((1, 2, 3)) - right) / right).abs().max().item()
        for who in ("ours", "in_captum", "in_zennit")
    }
    assert missed["ours"] < 0.01
    assert missed["in_captum"] < 0.01
    assert missed["in_zennit"] == pytest.approx(0.09, abs=0.01)


@pytest.mark.nightly
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:the gradient of image", "ignore:invalid value")
def test_quantus_randomises_in_another_way(names):
    pytest.importorskip("quantus", reason="install quantus in an environment of its own")
    exec(CODE["Quantus"], names)
    last = np.array([*names["in_quantus"].values()][-1])
    assert np.isnan(last).sum() == 4
    assert np.sort(last)[:2] == pytest.approx([0.34, 0.37], abs=0.02)
    assert names["ours"].isfinite().all()
    assert names["ours"][-1].mean().item() == pytest.approx(0.36, abs=0.02)
