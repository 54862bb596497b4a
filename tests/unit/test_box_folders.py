"""A folder of pictures with ImageNet's XML boxes, made from the course's own."""

import pytest

from course_utils import load_model, load_samples
from course_utils.box_folders import evaluate_folder, read_boxes

XML = (
    "<annotation><object><name>x</name><bndbox><xmin>{}</xmin><ymin>{}</ymin>"
    "<xmax>{}</xmax><ymax>{}</ymax></bndbox></object></annotation>"
)


@pytest.fixture
def folder(tmp_path):
    samples = load_samples(3)
    for name, image, box in zip(samples.names, samples.images, samples.boxes, strict=True):
        image.save(tmp_path / f"{name}.png")
        x0, y0, x1, y1 = (int(edge) for edge in box)
        (tmp_path / f"{name}.xml").write_text(XML.format(x0 + 1, y0 + 1, x1, y1))
    return tmp_path


def test_boxes_are_read_as_they_were(folder):
    samples = load_samples(3)
    for name, box in zip(samples.names, samples.boxes, strict=True):
        assert read_boxes(folder / f"{name}.xml") == [box]


def test_a_folder_is_evaluated_in_batches_with_progress(folder):
    seen = []
    result = evaluate_folder(
        folder,
        load_model(),
        batch=2,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(2, 3), (3, 3)]
    assert result.names == sorted(load_samples(3).names)
    assert result.mean > 0.3
    assert 0 <= result.error <= 1


def test_a_stop_keeps_what_is_done(folder):
    result = evaluate_folder(folder, load_model(), batch=1, progress=lambda *_: False)
    assert len(result.names) == len(result.boxes) == len(result.overlaps) == 1


@pytest.mark.parametrize(
    "text",
    [
        "<!DOCTYPE x [<!ENTITY a 'b'>]>" + XML.format(1, 1, 2, 2),
        "<annotation/>",
        "no xml",
        XML.format(9, 9, 2, 2),
        XML.format("a", 1, 2, 2),
        " " * 1_000_001,
    ],
)
def test_bad_files_are_refused(tmp_path, text):
    (tmp_path / "a.xml").write_text(text)
    with pytest.raises(ValueError, match="^path: a.xml"):
        read_boxes(tmp_path / "a.xml")


def test_missing_pictures_or_boxes_are_named(folder, tmp_path):
    with pytest.raises(ValueError, match="^folder: "):
        evaluate_folder(tmp_path / "nowhere", load_model())
    (folder / f"{load_samples(1).names[0]}.xml").unlink()
    with pytest.raises(FileNotFoundError, match="^annotations: "):
        evaluate_folder(folder, load_model())
