"""tools/slides.py: each lesson's slides hold what the lesson says."""

import re

import pptx
import pytest
from lessons import lesson_paths, read_lesson
from slides import plain, slides_of, write

LESSONS = [path for path in lesson_paths() if path.parent.name != "deeper"]


@pytest.mark.parametrize("path", LESSONS[1:], ids=lambda path: path.stem)
def test_a_lesson_has_its_slides(path):
    lesson = read_lesson(path)
    slides = slides_of(lesson)
    titles = [slide.title for slide in slides]
    text = "\n".join(c.source for c in lesson.cells if c.cell_type == "markdown")
    assert titles[0] == plain(re.search("^# (.+)$", text, re.M)[1])
    assert titles.count("Predict") == len(re.findall(r"^>? ?\*\*Predict", text, re.M))
    always = {"You will be able to", "Claim check", "Would it have caught it?"}
    assert always <= set(titles)
    assert 7 <= len(slides) <= 14
    for slide in slides:
        assert slide.title and (slide.lines or slide.figure), "an empty slide"
        shown = " ".join((slide.title, *slide.lines))
        assert not re.search(r"\$|\*\*|</|`|\]\(", shown), f"marks are left: {shown}"


@pytest.mark.parametrize("path", LESSONS[3:4], ids=lambda path: path.stem)
def test_the_file_holds_the_slides(path, tmp_path):
    slides = slides_of(read_lesson(path))
    write(slides, tmp_path / "new" / "slides.pptx")
    pages = list(pptx.Presentation(tmp_path / "new" / "slides.pptx").slides)
    assert [page.shapes.title.text for page in pages] == [s.title for s in slides]
    for page, slide in zip(pages, slides, strict=True):
        assert page.notes_slide.notes_text_frame.text == slide.notes
        pictures = [s for s in page.shapes if hasattr(s, "image")]
        assert len(pictures) == (slide.figure is not None)
        for picture in pictures:
            assert picture._element.nvPicPr.cNvPr.get("descr") == slide.figure[1] != ""
            assert picture.left >= 0 and picture.left + picture.width <= 12192000
            assert picture.top + picture.height <= 6858000


def test_the_answer_is_in_the_notes_and_not_on_the_slide():
    (claim,) = [s for s in slides_of(read_lesson(LESSONS[3])) if s.title == "Claim check"]
    assert "could refute it" in claim.notes
    assert "could refute it" not in " ".join(claim.lines)
