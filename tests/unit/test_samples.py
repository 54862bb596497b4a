"""The course's pictures: stable, complete, and fitted as a network sees them."""

import numpy as np
import pytest
import torch

from course_utils import deprocess, load_model, load_samples, preprocess, two_class_picture
from course_utils.images import fit_box

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
    for box, image, there in zip(samples.boxes, samples.images, fitted, strict=True):
        assert there == fit_box(box, image.size, 224, fit)
        x0, y0, x1, y1 = there
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
        ({"num": 0}, r"num: there are 1 to 26 photos, not 0"),
        ({"num": 27}, r"num: there are 1 to 26 photos, not 27"),
        ({"num": -1, "kind": "scenes"}, r"num: there are 1 to 7 scenes, not -1"),
        ({"num": "five"}, r"num: there are 1 to 26 photos, not 'five'"),
        ({"num": 2.0}, r"num: .* not 2.0"),
        ({"kind": "photo"}, r"kind: wants one of photos, scenes, cutouts, not 'photo'"),
        (
            {"names": "goldfsh"},
            r"names: no picture of photos is called 'goldfsh'; .*goldfish.*",
        ),
        ({"names": ["koala", "shepherd"]}, r"names: .*'shepherd'; .*german_shepherd.*"),
        ({"names": "xqzw"}, r"names: .*'xqzw'; there are \['german_shepherd', .*"),
        ({"names": ["koala", 3]}, r"names: no picture of photos is called 3; .*"),
        ({"names": []}, r"names: wants a name or a list of names, not \[\]"),
        ({"names": 3}, r"names: wants a name or a list of names, not 3"),
    ],
)
def test_samples_that_are_not_there(arguments, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        load_samples(**arguments)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [({"size": 0}, "size"), ({"size": 2.5}, "size"), ({"fit": "squeeze"}, "fit")],
)
def test_arrays_of_no_size(arguments, name):
    with pytest.raises(ValueError, match=f"^{name}: wants"):
        load_samples(1).arrays(**arguments)


def test_picture_of_two_classes_holds_both():
    picture = two_class_picture()
    assert picture.size == (224, 224)
    top = load_model()(preprocess(picture)).topk(5).indices[0].tolist()
    pair = load_samples(names=["rainbow_lorikeet", "german_shepherd"])
    assert set(pair.labels.tolist()) <= set(top)
    assert two_class_picture(size=64).size == (64, 64)
