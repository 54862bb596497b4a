"""Slides of a lesson, made of what the lesson holds: one file for PowerPoint and its kin.

    python tools/slides.py                 every lesson, into build/slides
    python tools/slides.py 03 07 -o talk   those two, into talk

A lesson becomes a title with its first picture, the objectives, and in the order of its
cells a slide for each prediction, for the first figure of each section, for each exercise,
bug hunt and lab, for the claim check, and for what its map would have caught. The speaker's
notes hold the answers (the instructor's edition has the same), hints and solutions, and how
to read the figures. Each picture keeps its text alternative.
"""

import argparse
import base64
import html
import io
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from address import ROOT
from editions import FOLD, answer, printed_lines, question
from lessons import Notebook, lesson_paths, read_lesson
from matplotlib.font_manager import findfont
from minutes import unfolded
from PIL import Image, ImageFont
from pptx import Presentation
from pptx.dml.color import RGBColor
from pptx.enum.text import PP_ALIGN
from pptx.slide import Slide as Page
from pptx.util import Inches, Pt
from site_lessons import LIVE

WIDTH, HEIGHT, MARGIN = 13.333, 7.5, 0.6  # inches: a screen of 16 to 9
TITLE_HEIGHT = 1.1
ROOM = WIDTH - 2 * MARGIN, HEIGHT - TITLE_HEIGHT - MARGIN
SIZES = 32, 28, 26, 24, 22, 20, 18  # points; the last can still be read from the back
CODE_FONT, CODE_SIZE, CODE_COLUMNS, CODE_ROWS = "Courier New", 18, 78, 14
INK, ACCENT = RGBColor(0x22, 0x22, 0x22), RGBColor(0x00, 0x72, 0xB2)
FIGURE = re.compile(r'<img alt="([^"]*)"[^>]*src="data:image/[a-z]+;base64,([^"]+)"')
TASK = re.compile(r"^### (Exercise \d+ · .+?) +\((.+)\)$", re.MULTILINE)
HEADING = re.compile(r"^#+ .+$", re.MULTILINE)
CLAIM_FIGURE = "The figure of the claim check"
SENTENCES = 2  # of a paragraph that a slide can hold
SIGNS = {r"\lambda": "λ", r"\mu": "μ", r"\sigma": "σ", r"\log": "log"}
SIGNS |= {r"\lVert": "‖", r"\rVert": "‖", "^2": "²"}


@dataclass(frozen=True)
class Slide:
    """What stands on one slide: a title, lines of text, code, a figure, and the notes."""

    title: str
    lines: tuple[str, ...] = ()
    code: str = ""
    figure: tuple[bytes, str] | None = None  # the picture's file, and its alt
    notes: str = ""


# -- from a lesson to slides -----------------------------------------------------------


def slides_of(lesson: Notebook) -> list[Slide]:
    """The slides of a lesson, in the order of its cells."""
    found, heading = [opening(lesson)], ""
    shown = {found[0].figure}
    for k, cell in enumerate(lesson.cells):
        if cell.cell_type == "markdown":
            section = re.search(r"^## (\d+ · .+)$", cell.source, re.MULTILINE)
            heading = plain(section[1]) if section else heading
            heading = "" if cell.id == "claim-task" else heading
        found += told(lesson, k)
        figure = figure_of(cell)
        first = "The first picture" if shown == {None} else ""
        title = CLAIM_FIGURE if cell.id == "claim-figure" else heading or first
        if title and figure and figure not in shown:
            notes = new_notes(lesson, k, found)
            found.append(Slide(title, figure=figure, notes=notes))
            shown.add(figure)
            heading = ""  # one figure of each section
    return found


def told(lesson: Notebook, k: int) -> Iterator[Slide]:
    """The slides that cell `k` stands for, other than its figure."""
    cell, cells = lesson.cells[k], {c.id: plain(c.source) for c in lesson.cells}
    if cell.id == "objectives":
        yield objectives(cell.source)
    elif cell.source.startswith("## Would it have caught it?"):
        yield spoken(lesson, k)
    elif question(lesson.cells, k):
        yield prediction(lesson, k)
    if cell.id == "claim-task":
        yield claim(cell.source, cells.get("claim-answer", ""))
    elif re.fullmatch(r"exercise-\d+", cell.id):
        yield exercise(lesson, k, cells[f"{cell.id}-solution"])
    elif f"{cell.id}-answer" in cells and cell.id.startswith("bug-"):
        yield bug_hunt(lesson, k)
    elif cell.id == "lab-questions":
        task = next(c.source for c in lesson.cells if c.id == "lab-task")
        yield lab(task, cell.source)


def opening(lesson: Notebook) -> Slide:
    """The title, and the lesson's first picture unless that answers a question."""
    title = next(c for c in lesson.cells if c.cell_type == "markdown").source
    notes = plain(re.sub(r"^# .+$|^.*colab.*$", "", title, flags=re.MULTILINE))
    slide = Slide(plain(re.search(r"^# (.+)$", title, re.MULTILINE)[1]), notes=notes)
    for k, cell in enumerate(lesson.cells):
        if question(lesson.cells, k):
            break
        if figure := figure_of(cell):
            read = answer(lesson.cells[k:], whole=True)
            folded = "\n".join(FOLD.findall(lesson.cells[k + 1].source))
            said = plain(f"{read}\n\n{folded}")  # a fold may say which is which
            return replace(slide, figure=figure, notes=f"{notes}\n{said}")
    return replace(slide, lines=tuple(notes.splitlines()), notes="")


def objectives(source: str) -> Slide:
    """What learners will be able to do; the time, and what to know before, in the notes."""
    items = re.findall(r"^(?:\d+\.|-) (.+(?:\n {2,}.+)*)", source, re.MULTILINE)
    lines = tuple(f"•  {plain(item)}" for item in items)
    time = re.search(r"^\*\*Time:.+", source, re.MULTILINE | re.DOTALL)
    return Slide("You will be able to", lines, notes=plain(time[0]) if time else "")


def prediction(lesson: Notebook, k: int) -> Slide:
    """A question that the next cells answer; what they print, and its reading, as notes."""
    asked = question(lesson.cells, k)
    task = re.sub(r"^(?:> )?\*\*Predict, then \w+\.\*\* *", "", asked)
    lines = [plain(task)]
    before = lesson.cells[k].source.partition(asked)[0].strip().split("\n\n")[-1]
    alone = task == asked and len(sentences(lines[0])) == 1
    if alone and before and not HEADING.match(before):
        lines.insert(0, plain(before))  # what "they" are
    notes = plain(answer(lesson.cells[k + 1 :], whole=True))
    return Slide("Predict", tuple(lines), numbers(lesson.cells[k + 1].source), notes=notes)


def numbers(code: str) -> str:
    """The tables that are written out in some code: a question may be about them."""
    tables = re.findall(r"^(\w+ = )(\[\[.+\]\])$", code, re.MULTILINE)
    return "\n".join(n + t.replace("], [", f"],\n{' ' * len(n)} [") for n, t in tables)


def exercise(lesson: Notebook, k: int, solution: str) -> Slide:
    """A task and the function to write; hints and the solution in the notes."""
    code = [lesson.cells[k].source]
    while lesson.cells[k := k - 1].cell_type == "code":  # prints what the task is about
        code.insert(0, "\n".join(printed_lines(lesson.cells[k])))
    task = lesson.cells[k].source
    found = TASK.search(task)
    lines = found[2], *plain(task[found.end() :]).splitlines()
    return Slide(plain(found[1]), lines, "\n\n".join(code), notes=solution)


def bug_hunt(lesson: Notebook, k: int) -> Slide:
    """Code with a bug, below the task; the answer in the notes."""
    task = plain(HEADING.sub("", lesson.cells[k - 1].source))
    notes = plain(answer(lesson.cells[k:], whole=True))
    return Slide("Bug hunt", (task,), lesson.cells[k].source, notes=notes)


def lab(task: str, questions: str) -> Slide:
    """What to do in the lab, and its questions; what we found in the notes."""
    asked = plain(unfolded(questions).partition("<details>")[0])
    title = HEADING.search(task)[0].lstrip("# ")
    lines = plain(HEADING.sub("", task)), *asked.splitlines()
    return Slide(plain(title), lines, notes=plain(questions).removeprefix(asked).strip())


def claim(source: str, answer: str) -> Slide:
    """The claim check: a colleague's sentence, the four tests; the answer in the notes."""
    task, *tests = re.split(r"^- (?=\*\*[A-D]\.)", source, flags=re.MULTILINE)
    task = plain(HEADING.sub("", task))
    return Slide("Claim check", (*task.splitlines(), *map(plain, tests)), notes=answer)


def spoken(lesson: Notebook, k: int) -> Slide:
    """A slide with the first sentences of a cell; all of it, and what follows, as notes."""
    title = plain(HEADING.search(lesson.cells[k].source)[0])
    text = plain(HEADING.sub("", unfolded(lesson.cells[k].source)))
    follows = plain(answer(lesson.cells[k + 1 :], whole=True))
    line = " ".join(sentences(text)[:SENTENCES])
    return Slide(title, (line,), notes=f"{text}\n{follows}".strip())


def sentences(text: str) -> list[str]:
    """The sentences of a text."""
    return re.split(r"(?<=[.!?])\s(?=[A-Z])", text)


def figure_of(cell: Notebook) -> tuple[bytes, str] | None:
    """The first figure among a cell's outputs: its file and its text alternative.

    The still of a lab is none, nor is that of a picture to touch.
    """
    for output in cell.get("outputs", []):
        page = output.get("data", {}).get("text/html", "")
        found = FIGURE.search(page)
        if found and cell.id != "lab" and LIVE not in page:
            return base64.b64decode(found[2]), html.unescape(found[1])
    return None


def new_notes(lesson: Notebook, k: int, before: list[Slide]) -> str:
    """How to read the figure of cell `k`, as far as no slide before it says so."""
    said = {line for slide in before for line in slide.notes.splitlines()}
    lines = plain(answer(lesson.cells[k:], whole=True)).splitlines()
    fresh = [line for line in lines if line not in said]
    return (
        "\n".join(fresh)
        if fresh
        else "The notes to the question before say how to read it."
    )


# -- texts -----------------------------------------------------------------------------


def plain(markdown: str) -> str:
    """A Markdown text as it is read: no marks, no tags, a line for each paragraph.

    Blocks of code keep their lines.
    """
    parts = re.split(r"^```\w*\n(.*?)\n```$", markdown, flags=re.DOTALL | re.MULTILINE)
    parts[::2] = map(plain_prose, parts[::2])
    return "\n".join(part for part in parts if part)


def plain_prose(markdown: str) -> str:
    """A Markdown text without blocks of code, as it is read."""
    text = re.sub(r"\[([^\]]*)\]\([^)\s]*[./#][^)]*\)", r"\1", markdown)
    text = text.replace("<details>", "\n\n")  # a fold begins a paragraph
    text = re.sub(
        r"\$\$.*?\$\$", "(the formula stands in the lesson)", text, flags=re.DOTALL
    )
    pieces = re.split(r"`([^`]+)`", text)
    pieces[::2] = map(without_marks, pieces[::2])
    paragraphs = re.split(r"\n\s*\n|\n(?=(?:\d+\.|-) )", "".join(pieces).strip())
    return "\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def without_marks(text: str) -> str:
    """Prose without the marks and tags of Markdown, and with formulas as signs."""
    text = re.sub(r"^> ?|<[^>]+>|\*|^#+ ", "", text, flags=re.MULTILINE)
    return html.unescape(re.sub(r"\$([^$]+)\$", lambda found: signs(found[1]), text))


def signs(formula: str) -> str:
    """A short formula without TeX."""
    for tex, sign in SIGNS.items():
        formula = formula.replace(tex, sign)
    return re.sub(r"(?<=‖) | (?=‖$)", "", formula)


def fitted(lines: tuple[str, ...], height: float) -> tuple[int, tuple[str, ...]]:
    """The largest size at which lines fit into a height (inches), and the lines.

    What does not fit at the smallest size is left out, from the last sentence on.
    """
    for size in SIZES:
        if text_height(lines, size) <= height:
            return size, lines
    *most, last = lines
    shorter = " ".join(sentences(last.removesuffix(" …"))[:-1])
    return fitted((*most, f"{shorter} …") if shorter else tuple(most), height)


def text_height(lines: tuple[str, ...], size: int) -> float:
    """How many inches of height lines of text take, half a line between them included."""
    rows = sum(map(len, (wrapped(line, size) for line in lines)))
    return (1.2 * rows + 0.5 * len(lines)) * size / 72 + 0.1  # the frame's own margin


def wrapped(line: str, size: int) -> list[str]:
    """A line of text as the width of a slide breaks it."""
    rows, row = [], ""
    for word in line.split():
        longer = f"{row} {word}".strip()
        if row and text_width(longer, size) > ROOM[0] - 0.2:
            rows, longer = [*rows, row], word
        row = longer
    return [*rows, row]


def text_width(text: str, size: int) -> float:
    """How many inches a text is wide at most: its type is wider than that of slides."""
    return typeface().getlength(text) / 100 * size / 72


@cache
def typeface() -> ImageFont.FreeTypeFont:
    """A type that every machine with the course has, at a hundred pixels."""
    return ImageFont.truetype(findfont("DejaVu Sans"), 100)


def broken(code: str) -> str:
    """Code that is no wider than a slide, and leaves room above it."""
    lines = []
    for line in code.splitlines():
        indent = " " * (len(line) - len(line.lstrip()))
        parts = textwrap.wrap(line, CODE_COLUMNS, subsequent_indent=indent)
        lines += parts or [""]
    return "\n".join(lines[:CODE_ROWS] + ["…"] * (len(lines) > CODE_ROWS))


def code_size(code: str) -> int:
    """The largest size at which code is no wider than a slide, and half as high at most."""
    longest = max(map(len, code.splitlines()))
    for size in SIZES[SIZES.index(24) :]:
        wide, tall = 0.61 * longest * size / 72, code_height(code, size)
        if wide <= ROOM[0] - 0.2 and tall <= ROOM[1] / 2:
            return size
    return CODE_SIZE


def code_height(code: str, size: int) -> float:
    """How many inches of height some code takes."""
    return (1.2 * len(code.splitlines()) + 0.5) * size / 72 + 0.1


# -- from slides to a file -------------------------------------------------------------


def write(slides: list[Slide], path: Path) -> None:
    """Write the slides into a file."""
    deck = Presentation()
    deck.slide_width, deck.slide_height = Inches(WIDTH), Inches(HEIGHT)
    for slide in slides:
        page = deck.slides.add_slide(deck.slide_layouts[5])  # a title and nothing else
        draw_title(page, slide.title)
        if slide.figure:
            draw_figure(page, *slide.figure)
        else:
            draw_text(page, slide.lines, slide.code)
        page.notes_slide.notes_text_frame.text = slide.notes
    path.parent.mkdir(parents=True, exist_ok=True)
    deck.save(path)


def draw_title(page: Page, text: str) -> None:
    """Write the title at the top left, on one line: bold type is a fifth wider."""
    title = page.shapes.title
    title.left, title.top = Inches(MARGIN), Inches(0.35)
    title.width, title.height = Inches(ROOM[0]), Inches(TITLE_HEIGHT - 0.3)
    title.text_frame.text = text
    fits = (size for size in SIZES if text_width(text, size) * 1.2 <= ROOM[0] - 0.2)
    style(title.text_frame, next(fits, SIZES[-1]), ACCENT, bold=True)


def draw_text(page: Page, lines: tuple[str, ...], code: str) -> None:
    """Write lines below the title, as large as they fit, and code below them."""
    code = broken(code)
    small = code_size(code) if code else 0
    below = code_height(code, small) if code else 0
    size, lines = fitted(lines, ROOM[1] - below)
    height, top = text_height(lines, size), TITLE_HEIGHT + 0.2
    style(text_frame(page, top, height, "\n".join(lines)), size, INK)
    if code:
        frame = text_frame(page, top + height, below, code.replace("\n", "\v"))
        style(frame, small, INK, font=CODE_FONT)


def text_frame(page: Page, top: float, height: float, text: str):
    """A frame of text as wide as the slide allows."""
    where = MARGIN, top, ROOM[0], height
    frame = page.shapes.add_textbox(*map(Inches, where)).text_frame
    frame.word_wrap = True
    frame.text = text
    return frame


def style(
    frame, size: int, colour: RGBColor, bold: bool = False, font: str | None = None
) -> None:
    """Set the type of all paragraphs of a text frame."""
    for paragraph in frame.paragraphs:
        paragraph.font.size, paragraph.font.bold = Pt(size), bold
        paragraph.font.name = font
        paragraph.font.color.rgb = colour
        paragraph.alignment = PP_ALIGN.LEFT
        paragraph.space_after = Pt(size / 2)


def draw_figure(page: Page, data: bytes, alt: str) -> None:
    """Put a figure into the middle of the slide, as large as it fits."""
    picture, file = Image.open(io.BytesIO(data)), io.BytesIO()
    lossy = picture.format != "PNG"  # PowerPoint does not know WebP
    picture.convert("RGB").save(file, "JPEG" if lossy else "PNG", quality=92)
    scale = min(ROOM[0] / picture.width, ROOM[1] / picture.height)
    width, height = picture.width * scale, picture.height * scale
    left, top = (WIDTH - width) / 2, TITLE_HEIGHT + (ROOM[1] - height) / 2
    shape = page.shapes.add_picture(file, *map(Inches, (left, top, width, height)))
    shape._element.nvPicPr.cNvPr.set("descr", alt)


def main() -> None:
    """Read the command line and write the slides of the lessons it names."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("only", nargs="*", help="starts of lesson names, such as 03")
    parser.add_argument("-o", "--out", type=Path, default=ROOT / "build" / "slides")
    given = parser.parse_args()
    for path in lesson_paths(given.only):
        slides = slides_of(read_lesson(path))
        write(slides, given.out / f"{path.stem}.pptx")
        print(f"{path.stem}.pptx: {len(slides)} slides", flush=True)


if __name__ == "__main__":
    main()
