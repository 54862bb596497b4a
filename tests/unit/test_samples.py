"""The course's pictures: stable, complete, and fitted as a network sees them."""

import numpy as np
import pytest
import torch
from PIL import Image

from course_utils import (
    composite,
    deprocess,
    load_composites,
    load_model,
    load_samples,
    preprocess,
    two_class_picture,
)
from course_utils.images import fit_box
from course_utils.samples import SIGNALS, night_signals

COUNTS = {"photos": 26, "scenes": 7, "cutouts": 5}


@pytest.mark.parametrize("kind", COUNTS)
def test_all_of_a_kind(kind):
    samples = load_samples(kind=kind)
    assert len(samples) == len(samples.images) == COUNTS[kind]
    assert len(set(samples.names)) == COUNTS[kind]
    assert {image.mode for image in samples.images} == {
        "RGBA" if kind == "cutouts" else "RGB"
    }


def test_order_is_stable():
    names = load_samples().names
    assert load_samples(5).names == names[:5]
    assert load_samples(np.int64(26)).names == names
    assert len(set(load_samples(5).labels.tolist())) == 5


def test_by_name_in_the_order_given():
    samples = load_samples(names=["goldfish", "koala", "goldfish"])
    assert samples.names == ["goldfish", "koala", "goldfish"]
    assert load_samples(names="koala").names == ["koala"]
    assert load_samples(1, names=["goldfish", "koala"]).names == ["goldfish"]


def test_arrays_are_what_the_network_sees():
    samples = load_samples(3)
    arrays = samples.arrays(size=112)
    assert arrays.shape == (3, 112, 112, 3)
    assert arrays.dtype == np.uint8
    batch = preprocess(samples.images, 112)
    assert np.array_equal(arrays, np.stack([np.asarray(p) for p in deprocess(batch)]))
    assert torch.equal(preprocess(arrays, 112), batch)


def test_cut_outs_stand_on_white():
    arrays = load_samples(1, "cutouts").arrays(64)
    assert (arrays[0, 0, 0] == 255).all()


def test_labels_and_their_names():
    samples = load_samples()
    assert samples.labels.shape == (26,)
    assert samples.labels.dtype == torch.int64
    assert 0 <= samples.labels.min() <= samples.labels.max() < 1000
    assert load_samples(names="goldfish").class_names == ["goldfish"]
    scenes = load_samples(kind="scenes")
    assert set(scenes.labels.tolist()) == {-1}
    assert set(scenes.class_names) == {""}


@pytest.mark.parametrize("fit", ["crop", "stretch"])
def test_boxes_follow_their_pictures(fit):
    samples = load_samples()
    fitted = samples.boxes_at(224, fit)
    for box, image, placed in zip(samples.boxes, samples.images, fitted, strict=True):
        assert placed == fit_box(box, image.size, 224, fit)
        x0, y0, x1, y1 = placed
        assert 0 <= x0 < x1 <= 224
        assert 0 <= y0 < y1 <= 224


def test_scenes_have_no_boxes():
    scenes = load_samples(kind="scenes")
    assert scenes.boxes == scenes.boxes_at() == [None] * 7


def test_credits_name_title_author_and_licence():
    for kind in COUNTS:
        samples = load_samples(kind=kind)
        for credit, record in zip(samples.credits, samples.records, strict=True):
            assert all(record[k] in credit for k in ("title", "author", "licence"))


def test_pictures_are_read_once_and_printed_in_short():
    samples = load_samples(2)
    assert samples.images is samples.images
    assert repr(samples) == "Samples(kind='photos')"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num": 0}, "num must be a whole number between 1 and 26, got 0"),
        ({"num": 27}, "num must be a whole number between 1 and 26, got 27"),
        ({"num": -1, "kind": "scenes"}, "num must be .* between 1 and 7, got -1"),
        ({"num": "five"}, "num must be a whole number .*, got 'five'"),
        ({"num": 2.0}, "num must be a whole number .*, got 2.0"),
        ({"num": True}, "num must be a whole number .*, got True"),
        ({"kind": "photo"}, "kind must be one of photos, scenes, cutouts, got 'photo'"),
        (
            {"names": "goldfsh"},
            "names must be .*, got 'goldfsh'; did you mean .*goldfish.*",
        ),
        ({"names": ["koala", "shepherd"]}, "names .*'shepherd'; .*german_shepherd.*"),
        ({"names": "xqzw"}, r"names .*'xqzw'; there are \['german_shepherd', .*"),
        ({"names": ["koala", 3]}, "names must be names of the pictures, got 3; .*"),
        ({"names": []}, r"names must be a name or a list of them, got \[\]"),
        ({"names": 3}, "names must be a name or a list of them, got 3"),
    ],
)
def test_samples_that_are_not_there(arguments, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        load_samples(**arguments)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"size": 0}, "size"),
        ({"size": 2.5}, "size"),
        ({"size": True}, "size"),
        ({"fit": "squeeze"}, "fit"),
    ],
)
def test_arrays_of_no_size(arguments, name):
    with pytest.raises(ValueError, match=f"^{name} must be"):
        load_samples(1).arrays(**arguments)


def test_picture_of_two_classes_holds_both():
    picture = two_class_picture()
    assert picture.size == (224, 224)
    top = load_model()(preprocess(picture)).topk(5).indices[0].tolist()
    pair = load_samples(names=["rainbow_lorikeet", "german_shepherd"])
    assert set(pair.labels.tolist()) <= set(top)
    assert two_class_picture(size=64).size == (64, 64)


# -- composites ------------------------------------------------------------------------

SCENE = Image.new("RGB", (30, 20), "green")
SQUARE = Image.new("RGBA", (8, 4), "red")
FAINT = Image.new("RGBA", (8, 4), (255, 0, 0, 100))


def test_numbers_of_numpy_are_taken():
    size = np.int64(32)
    assert load_samples(np.int64(2)).arrays(size).shape == (2, 32, 32, 3)
    made = composite(SQUARE, SCENE, np.float32(0.5), np.array([0, 1]), size=size)
    assert made.box == (0, 24, 16, 32)
    assert made.mask.sum() == 16 * 8
    assert len(load_composites(np.int64(2), np.int64(1), np.array([0.2, 0.5]), 32)) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"share": 0}, "share must be a number above 0 and at most 1, got 0"),
        ({"share": 1.5}, "share must be .*, got 1.5"),
        ({"share": True}, "share must be .*, got True"),
        ({"cutout": FAINT}, "cutout must be opaque enough to cover half of a pixel"),
        ({"place": 0.5}, r"place must be 2 numbers .* \(across, down\), got 0.5"),
        (
            {"place": (0, 1.5)},
            r"place must be 2 numbers between 0 and 1 .*, got \(0, 1.5\)",
        ),
        ({"place": (True, 0)}, r"place must be .*, got \(True, 0\)"),
        ({"size": 0}, "size must be a whole number of at least 1, got 0"),
        ({"scene": b"words"}, "scene cannot be opened: the data is not a picture"),
        ({"cutout": SCENE}, "cutout must be an RGBA picture"),
        ({"cutout": Image.new("RGBA", (4, 4))}, "cutout must be .* not all transparent"),
    ],
)
def test_composite_that_cannot_be_made(arguments, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        composite(**({"cutout": SQUARE, "scene": SCENE, "size": 16} | arguments))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"count": 0}, "count must be a whole number of at least 1, got 0"),
        ({"count": True}, "count must be a whole number of at least 1, got True"),
        ({"seed": -1}, "seed must be a whole number of at least 0, got -1"),
        ({"shares": 0.5}, r"shares must be 2 numbers .* \(smallest, largest\), got 0.5"),
        ({"shares": (0.6, 0.3)}, r"shares must be \(smallest, largest\), got \(0.6, 0.3\)"),
    ],
)
def test_composites_that_cannot_be_made(arguments, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        load_composites(**arguments)


def test_nights_have_a_lamp_and_a_signal_of_their_class():
    nights = night_signals(30)
    assert nights.labels.tolist() == [0, 1, 2] * 10
    values = np.stack([np.asarray(picture) for picture in nights.pictures])
    assert values.shape == (30, 48, 48, 3)
    assert nights.signals.sum((1, 2)).eq(61).all()
    assert nights.lamps.sum((1, 2)).le(37).all()
    assert nights.lamps.any((1, 2)).sum() >= 28, "a signal hides few of them"
    for picture, signal, label in zip(values, nights.signals, nights.labels, strict=True):
        assert (picture[signal.numpy()] == [*SIGNALS.values()][label]).all()
    assert values[~(nights.lamps | nights.signals).numpy()].max() <= 255 // 6


def test_nights_of_a_seed_are_the_same_whatever_their_number():
    few, many = night_signals(5, seed=3), night_signals(8, seed=3)
    for one, other in zip(few.pictures, many.pictures, strict=False):
        assert one.tobytes() == other.tobytes()
    assert night_signals(5).pictures[0].tobytes() != few.pictures[0].tobytes()
