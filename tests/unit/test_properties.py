"""What holds for every picture, target, window, stride, graph and box: hypothesis tries.

The examples are the same at every run (`derandomize`), so a failure repeats.
"""

import io
import itertools

import numpy as np
import pytest
import torch
import toys
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from course_utils import (
    deprocess,
    input_gradient,
    iou,
    load_image,
    occlusion,
    preprocess,
)
from course_utils.images import fit_box, fit_image
from course_utils.localization import find_seeds, largest_component, mask_box, minimum_cut
from course_utils.occlusion import window_starts

few = settings(deadline=None, derandomize=True, max_examples=40, database=None)
more = settings(deadline=None, derandomize=True, max_examples=150, database=None)

# -- pictures ------------------------------------------------------------------------------

MODES = (
    "1",
    "L",
    "LA",
    "P",
    "RGB",
    "RGBA",
    "CMYK",
    "YCbCr",
    "HSV",
    "I",
    "F",
    "I;16",
)
sides = st.integers(1, 40)
seeds = st.integers(0, 2**32 - 1)


def picture(mode, width, height, seed):
    """Noise of any mode."""
    random = np.random.default_rng(seed)
    if mode == "F":
        return Image.fromarray(random.random((height, width), dtype=np.float32))
    if mode in ("I", "I;16"):
        values = random.integers(0, 65536, (height, width))
        return Image.fromarray(values.astype(np.uint16 if mode == "I;16" else np.int32))
    values = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values).convert(mode)


@few
@given(st.sampled_from(MODES), sides, sides, seeds)
def test_a_picture_of_any_mode_and_size_becomes_rgb(mode, width, height, seed):
    given_ = picture(mode, width, height, seed)
    before = given_.tobytes()
    loaded = load_image(given_)
    assert (loaded.mode, loaded.size) == ("RGB", (width, height))
    assert given_.tobytes() == before
    assert load_image(loaded).tobytes() == loaded.tobytes()  # once is enough


@few
@given(sides, sides, seeds, st.sampled_from(["PNG", "BMP", "TIFF", "PPM"]))
def test_what_is_saved_without_loss_is_loaded_again(width, height, seed, kind):
    original, file = picture("RGB", width, height, seed), io.BytesIO()
    original.save(file, kind)
    assert load_image(file.getvalue()).tobytes() == original.tobytes()


@few
@given(st.binary(max_size=200))
def test_any_bytes_are_a_picture_or_refused_by_one_sentence(data):
    try:
        load_image(data)
    except ValueError as error:
        assert str(error).startswith(
            "source cannot be opened: the data "
        ) and "\n" not in str(error)


@few
@given(sides, sides, seeds, st.integers(1, 32), st.sampled_from(["crop", "stretch"]))
def test_deprocess_undoes_preprocess(width, height, seed, size, fit):
    original = picture("RGB", width, height, seed)
    images = preprocess(original, size, fit=fit)
    assert images.shape == (1, 3, size, size)
    assert deprocess(images)[0].tobytes() == fit_image(original, size, fit).tobytes()


@more
@given(
    st.tuples(st.integers(1, 200), st.integers(1, 200)),
    st.lists(st.floats(0, 1), min_size=4, max_size=4),
    st.integers(1, 64),
    st.sampled_from(["crop", "stretch"]),
)
def test_a_fitted_box_stays_inside_and_keeps_its_order(image_size, shares, size, fit):
    width, height = image_size
    x0, x1 = sorted(width * s for s in shares[:2])
    y0, y1 = sorted(height * s for s in shares[2:])
    a0, b0, a1, b1 = fit_box((x0, y0, x1, y1), image_size, size, fit)
    assert 0 <= a0 <= a1 <= size
    assert 0 <= b0 <= b1 <= size
    whole = fit_box((0, 0, width, height), image_size, size, fit)
    assert whole == pytest.approx((0, 0, size, size))


# -- targets -------------------------------------------------------------------------------

MODEL = toys.Busy()


@few
@given(st.lists(st.integers(-2, 6), min_size=1, max_size=3), st.integers(1, 3))
def test_classes_are_explained_one_by_one_or_refused(classes, count):
    images = toys.batch(count)
    if len(classes) == count and all(0 <= c < 4 for c in classes):
        together = input_gradient(MODEL, images, classes)
        alone = [
            input_gradient(MODEL, i[None], c) for i, c in zip(images, classes, strict=True)
        ]
        assert toys.relative_error(together, torch.cat(alone)) < 1e-4
        return
    try:
        input_gradient(MODEL, images, classes)
    except ValueError as error:
        assert str(error).startswith("targets ")
    else:
        raise AssertionError(classes)


# -- windows and strides -------------------------------------------------------------------


@more
@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 70))
def test_windows_stay_inside_and_cover_what_their_strides_cover(size, window, stride):
    if window > size:
        return
    starts = window_starts(size, window, stride)
    assert starts[0] == 0 and starts[-1] == size - window
    assert list(starts) == sorted(set(starts))
    assert all(b - a <= stride for a, b in itertools.pairwise(starts))
    assert all(b - a == stride for a, b in itertools.pairwise(starts[:-1]))
    covered = {start + k for start in starts for k in range(window)}
    if stride <= window:
        assert covered == set(range(size))


def tiny():
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return nn.Sequential(
            *(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.ReLU()),
            *(nn.MaxPool2d(3, 1, ceil_mode=True), nn.Conv2d(4, 5, 2), nn.ReLU()),
            *(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        ).double()


TINY = tiny()
pairs = st.tuples(st.integers(1, 9), st.integers(1, 9))


@few
@given(
    st.tuples(st.integers(9, 17), st.integers(9, 17)), pairs, pairs, seeds, st.booleans()
)
def test_occlusion_is_brute_force_for_any_window_and_stride(
    size, window, stride, seed, whole
):
    random = torch.Generator().manual_seed(seed)
    image = torch.randn(1, 3, *size, generator=random).double()
    found = occlusion(TINY, image, 1, window, stride, incremental=not whole)
    total, count = torch.zeros(2, *size).double()
    with torch.no_grad():
        score = TINY(image)[0, 1]
        for row, top in enumerate(window_starts(size[0], window[0], stride[0])):
            for column, left in enumerate(window_starts(size[1], window[1], stride[1])):
                place = np.s_[top : top + window[0], left : left + window[1]]
                hidden = image.clone()
                hidden[(..., *place)] = 0
                drop = score - TINY(hidden)[0, 1]
                assert abs(found.drops[row, column] - drop) < 1e-6
                total[place] += drop
                count[place] += 1
    assert torch.equal(found.heatmap.isnan(), count == 0)
    assert torch.allclose(found.heatmap.double(), total / count, atol=1e-6, equal_nan=True)


# -- graph cuts ----------------------------------------------------------------------------

nats = st.integers(-300, 300).map(lambda n: n / 100)


def cost(labels, evidence, links):
    """Evidence ignored and links cut, in hundredths: whole numbers are not rounded."""
    both = zip(evidence, labels, strict=True)
    ignored = sum(abs(nat) for nat, is_object in both if (nat > 0) != is_object)
    cut = sum(c for a, b, c in links if labels[a] != labels[b])
    return round(100 * (ignored + cut))


@more
@given(st.data(), st.integers(1, 7))
def test_no_labelling_is_cheaper_than_the_cut(data, count):
    evidence = data.draw(st.lists(nats, min_size=count, max_size=count))
    ends = st.integers(0, count - 1)
    links = data.draw(st.lists(st.tuples(ends, ends, nats.map(abs)), max_size=12))
    links = [link for link in links if link[0] != link[1]]
    parts = zip(*links, strict=True) if links else ([], [], [])
    here, there, costs = (
        np.array([*part], t) for part, t in zip(parts, (int, int, float), strict=True)
    )
    found = minimum_cut(np.array(evidence), (here, there, costs)).tolist()
    every = itertools.product([False, True], repeat=count)
    best = min(cost(labels, evidence, links) for labels in every)
    assert cost(found, evidence, links) == best


# -- seeds, masks and boxes ----------------------------------------------------------------

maps = st.lists(st.floats(0, 1e6), min_size=12, max_size=12)


@more
@given(maps, st.floats(0.01, 0.98), st.floats(0.01, 0.98))
def test_seeds_share_no_pixel_and_the_bright_ones_are_brighter(values, one, other):
    values, (low, high) = np.array(values).reshape(3, 4), sorted((one, other))
    if high - low < 1e-6:
        return
    bright, dark = find_seeds(values, high, low)
    assert not (bright & dark).any()
    assert bright.any() == dark.any()
    if bright.any():
        assert values[bright].min() > values[dark].max()
        assert values.max() in values[bright] and values.min() in values[dark]


@more
@given(st.lists(st.booleans(), min_size=20, max_size=20))
def test_the_box_of_a_mask_is_tight(flags):
    mask = np.array(flags).reshape(4, 5)
    x0, y0, x1, y1 = mask_box(mask)
    inside = np.zeros_like(mask)
    inside[y0:y1, x0:x1] = True
    assert not (mask & ~inside).any()
    if mask.any():
        sides = mask[y0, x0:x1], mask[y1 - 1, x0:x1], mask[y0:y1, x0], mask[y0:y1, x1 - 1]
        assert all(side.any() for side in sides)
    part = largest_component(mask)
    assert not (part & ~mask).any()
    assert part.any() == mask.any()
    assert np.array_equal(largest_component(part), part)


corners = st.tuples(*[st.floats(-1e3, 1e3, width=32)] * 4)


@more
@given(corners, corners)
def test_iou_is_symmetric_bounded_and_one_of_a_box_with_itself(a, b):
    a, b = ((*map(min, c[:2], c[2:]), *map(max, c[:2], c[2:])) for c in (a, b))
    value = iou(a, b)
    assert value == iou(b, a)
    assert 0 <= value <= 1 + 1e-9
    area = (a[2] - a[0]) * (a[3] - a[1])
    assert iou(a, a) == (1.0 if area > 0 else 0.0)
    moved = tuple(edge + 4096 for edge in a), tuple(edge + 4096 for edge in b)
    if min(area, (b[2] - b[0]) * (b[3] - b[1])) > 1:
        assert abs(iou(*moved) - value) < 1e-6
