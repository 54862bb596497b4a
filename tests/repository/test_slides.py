"""tools/slides.py: a lesson's slides hold what it says; their notes answer."""

import re

import pptx
import pytest
from editions import question
from lessons import lesson_paths, read_lesson
from pptx.util import Pt
from slides import SIZES, Slide, figure_of, fitted, plain, slides_of, write

ALL = lesson_paths()
LESSONS = [path for path in ALL if path.parent.name != "deeper"]
NO_READING = "The notes to the question before say how to read it."
WIDTH, HEIGHT = 12192000, 6858000  # of a slide, in the file's own unit
every_lesson = pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)


@pytest.fixture(scope="module")
def third():
    """The lesson that docs/plans.md plans minute by minute, and its slides."""
    lesson = read_lesson(LESSONS[3])
    return lesson, slides_of(lesson)


def ids(lesson, pattern: str) -> list[str]:
    return [cell.id for cell in lesson.cells if re.fullmatch(pattern, cell.id)]


@pytest.mark.parametrize("path", LESSONS[1:], ids=lambda path: path.stem)
def test_a_lesson_has_its_slides(path):
    lesson = read_lesson(path)
    titles = [slide.title for slide in slides_of(lesson)]
    text = "\n".join(c.source for c in lesson.cells if c.cell_type == "markdown")
    assert titles[0] == plain(re.search("^# (.+)$", text, re.M)[1])
    exercises = re.findall(r"^### (Exercise \d+ · .+?) +\(", text, re.M)
    assert [one for one in titles if one.startswith("Exercise")] == exercises
    assert len([one for one in titles if one.startswith("Lab")]) == 1
    assert titles.count("Bug hunt") == len(ids(lesson, "bug-.*-answer"))
    always = {"You will be able to", "Claim check", "Would it have caught it?"}
    assert always <= set(titles)
    assert 11 <= len(titles) <= 18


@every_lesson
def test_a_slide_shows_text_without_marks(path):
    for slide in slides_of(read_lesson(path)):
        assert slide.title and (slide.lines or slide.figure), "an empty slide"
        shown = " ".join((slide.title, *slide.lines))
        assert not re.search(r"\$|\\|\*\*|</|`|\]\(|\n", shown), f"marks are left: {shown}"


@every_lesson
def test_each_prediction_has_a_slide_with_its_answer_in_the_notes(path):
    lesson = read_lesson(path)
    asked = [k for k in range(len(lesson.cells)) if question(lesson.cells, k)]
    slides = slides_of(lesson)
    predictions = [slide for slide in slides if slide.title == "Predict"]
    caught = [k for k in asked if lesson.cells[k].source.startswith("## Would it")]
    assert len(predictions) == len(asked) - len(caught)
    for slide in predictions:
        assert len(slide.notes) > 60, slide.lines
        assert "Predict, then" not in slide.notes + " ".join(slide.lines)


@every_lesson
def test_no_figure_answers_a_question_before_it_is_asked(path):
    lesson = read_lesson(path)
    slides = slides_of(lesson)
    figures = [slide.figure for slide in slides]
    for k in range(len(lesson.cells)):
        asked = plain(question(lesson.cells, k)).rpartition("Predict, then run.")[2].strip()
        figure = figure_of(lesson.cells[k + 1]) if asked else None
        if figure in figures and figure:
            lines = [" ".join(slide.lines) for slide in slides]
            before = next(n for n, line in enumerate(lines) if asked in line)
            assert before < figures.index(figure), asked


@every_lesson
def test_no_notes_of_a_figure_repeat_others(path):
    told = set()
    for slide in slides_of(read_lesson(path)):
        lines = set(slide.notes.splitlines()) - {NO_READING, ""}
        assert not slide.figure or not lines & told, slide.title
        told |= lines


def test_the_notes_answer_what_the_session_asks(third):
    notes = {" ".join(s.lines) or s.title: s.notes for s in third[1]}

    def to(start: str) -> str:
        return next(text for line, text in notes.items() if start in line)

    assert "values: [9, 5, 1, 0]" in to("labels 1, 4, 0, 2 pick?")
    assert to("By what percentage will they change?").startswith("Not at all.")
    assert "SqueezeNet: 0.0%" in to("By what percentage will they change?")
    assert "training mode True" in to("In which mode")
    assert "probability: 0.66" in to("sign of an unsure network?")
    assert "exactly five of them" in to("Find the bug")
    assert "[1.0] * 5" in to("Find the bug"), "a sign of multiplication is no mark"
    assert "the envelope is nearly dark" in to("panda")


def test_slides_for_what_fills_the_session(third):
    slides = {slide.title: slide for slide in third[1]}
    task = slides["Exercise 1 · One score per row"]
    assert task.lines[0] == "easy ●○○, 5 minutes"
    assert task.lines[1].startswith("Write class_scores. It must give the shape")
    assert task.code.startswith("def class_scores(scores, labels):")
    assert "    return scores.gather(1, labels[:, None])[:, 0]" in task.notes.splitlines()
    assert "Hint 2" in task.notes.splitlines()
    assert "maps_of_five" in slides["Bug hunt"].code
    lab = slides["Lab · One photograph, many classes"]
    assert [line[:2] for line in lab.lines[1:]] == ["1.", "2.", "3."]
    assert "nearly dark" not in " ".join(lab.lines)


def test_the_numbers_to_pick_from_are_on_the_slide(third):
    (asked,) = [s for s in third[1] if "four numbers" in " ".join(s.lines)]
    assert [
        line.strip("tabel= []") for line in asked.code.replace(",", "").splitlines()
    ] == [
        "3 9 1 4 7",
        "8 2 6 0 5",
        "1 1 9 3 2",
        "4 7 0 6 8",
    ]


def test_the_first_picture_comes_with_how_to_read_it(third):
    assert "ring around the balloon" in third[1][0].notes
    which = slides_of(read_lesson(LESSONS[9]))[0]
    assert which.title.startswith("09") and "\nWhich is which\n" in which.notes


# -- the file --------------------------------------------------------------------------


def text_of(page) -> list:
    return [s for s in page.shapes if s.has_text_frame and s.text_frame.text]


@every_lesson
def test_text_fits_its_slide_and_can_be_read(path, tmp_path):
    """By a rough count of letters, which knows nothing of how the tool measures."""
    write(slides_of(read_lesson(path)), tmp_path / "slides.pptx")
    for page in pptx.Presentation(tmp_path / "slides.pptx").slides:
        below = 0
        for shape in text_of(page):
            assert shape.top >= below - Pt(0.1), "text on text"
            paragraphs, tall = shape.text_frame.paragraphs, 0
            for paragraph in paragraphs:
                size = paragraph.font.size
                assert size >= Pt(18)
                letter = size * (0.6 if paragraph.font.name else 0.47)
                rows = paragraph.text.split("\v")
                broken = sum(1 + int(len(row) * letter // shape.width) for row in rows)
                tall += 1.2 * size * broken + size / 2
            below = shape.top + shape.height
            assert tall <= shape.height + Pt(18), shape.text_frame.text
            assert below <= HEIGHT
            assert shape.left >= 0 and shape.left + shape.width <= WIDTH


def test_a_text_that_is_too_long_is_cut_after_a_sentence(tmp_path):
    sentence = "Here is one more sentence that nobody in the last row wants to read."
    slide = Slide("Long", (" ".join([sentence] * 40),), "x = 1\n" * 60)
    write([slide], tmp_path / "slides.pptx")
    (page,) = pptx.Presentation(tmp_path / "slides.pptx").slides
    for shape in text_of(page):
        assert shape.top + shape.height <= HEIGHT
    _, text, code = (shape.text_frame for shape in text_of(page))
    assert text.text.endswith(f"{sentence} …")
    assert code.text.endswith("…")
    assert text.paragraphs[0].font.size >= Pt(18)


def test_short_texts_are_large():
    assert fitted(("A short question?",), 5) == (SIZES[0], ("A short question?",))


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
            assert picture.left >= 0 and picture.left + picture.width <= WIDTH
            assert picture.top + picture.height <= HEIGHT


def test_the_answer_is_in_the_notes_and_not_on_the_slide(third):
    (claim,) = [slide for slide in third[1] if slide.title == "Claim check"]
    assert "could refute it" in claim.notes
    assert "could refute it" not in " ".join(claim.lines)
