"""A lesson as a page of the website: what the reader should first think about is folded.

Cells get tags that Jupyter Book knows; `site/_static/` says how they look and unfold.
"""

import re
from collections.abc import Callable
from pathlib import Path

import nbformat
from address import colab_link, read_address
from lessons import NOTEBOOKS, Notebook, read_lesson

PREDICT = re.compile(r"\*\*Predict, then run\.\*\*")
NEXT = re.compile(r"^(?:#|(?:> )?\*\*Predict)", re.MULTILINE)  # another topic
OPTION = re.compile(r"^<details><summary>(?P<text>.*?)</summary>(?P<verdict>Right|Not)")
QUESTION = re.compile(r"^(?:#+ |\*\*)+(\d+)\.")
BADGE = re.compile(r"\[!\[[^\]]*\]\([^)]*\)\]\((https://colab\.research\.google\.com/)")
LIVE = "course-page"  # the class of a picture that answers to the hand without a kernel
NOTE = '<div class="course-lab-note">A picture of the lab. To use it, {}.</div>'


def prepare_lesson(path: Path, follow: Callable[[str, Path], str]) -> str:
    """The notebook in `path`, as Jupyter Book reads it; `follow` mends a text's links."""
    lesson = read_lesson(path)
    fold_predictions(lesson)
    link = colab_link(path.relative_to(NOTEBOOKS).as_posix(), read_address())
    for cell in lesson.cells:
        if cell.cell_type == "markdown":
            text = BADGE.sub(r"[Open in Colab](\1", cell.source)
            if cell.id == "quiz":
                text = quiz(text)
            cell.source = follow(text, path)
        for output in cell.get("outputs", []):
            if "course-lab-note" in output.get("data", {}).get("text/html", ""):
                output.data["text/html"] = lab_note(link)
    return nbformat.writes(lesson)


def lab_note(link: str) -> str:
    """What stands above the still picture of a lab."""
    return NOTE.format(
        f'<a href="{link}">open the lesson in Colab</a> or start the course on your machine'
    )


# -- predictions -----------------------------------------------------------------------


def fold_predictions(lesson: Notebook) -> None:
    """Fold the outputs that a reader is asked to predict, and what is said about them."""
    cells = lesson.cells
    for number, cell in enumerate(cells):
        if cell.cell_type != "markdown" or not PREDICT.search(cell.source):
            continue
        run = number + 1
        while run < len(cells) and cells[run].cell_type == "code":
            fold_output(cells[run])
            run += 1
        if number + 1 < run < len(cells):
            cells[run].source = fold_reading(cells[run].source)


def fold_output(cell: Notebook) -> None:
    """Fold what a cell has printed or drawn, but no picture that can be touched."""
    pages = [output.get("data", {}).get("text/html", "") for output in cell.outputs]
    if not any(LIVE in page for page in pages):
        folds = ["hide-output"] if cell.outputs else []
        cell.metadata["tags"] = [*cell.metadata.get("tags", []), "prediction", *folds]


def fold_reading(text: str) -> str:
    """Markdown whose part before the next topic is folded."""
    topic = NEXT.search(text)
    end = topic.start() if topic else len(text)
    said, rest = text[:end].strip(), text[end:]
    if not said:
        return text
    summary = "<summary>What it shows</summary>"
    return f'<details class="reading">{summary}\n\n{said}\n\n</details>\n\n{rest}'


# -- quiz ------------------------------------------------------------------------------


def quiz(text: str) -> str:
    """The quiz, of each question one answer open at most, and marked as right or wrong."""
    lines, question = [], "0"
    for line in text.splitlines():
        if asked := QUESTION.match(line):
            question = asked[1]
        if option := OPTION.match(line):
            kind = "is-right" if option["verdict"] == "Right" else "is-wrong"
            look = f'<details class="option {kind}" name="quiz-{question}">'
            line = line.replace("<details>", look, 1)
        lines.append(line)
    return "\n".join(lines)


# -- the picture that can be touched ---------------------------------------------------


def toy() -> str:
    """The picture of lesson 00 that answers to the hand, for another page."""
    lesson = read_lesson(NOTEBOOKS / "00_start_here.ipynb")
    pages = (
        output.get("data", {}).get("text/html", "")
        for cell in lesson.cells
        for output in cell.get("outputs", [])
    )
    page = next(page for page in pages if LIVE in page)
    return f"```{{raw}} html\n{page}\n```"
