"""Slides of a lesson, made of what the lesson holds: one file for PowerPoint and its kin.

    python tools/slides.py                 every lesson, into build/slides
    python tools/slides.py 03 07 -o talk   those two, into talk

A lesson becomes a title with its first picture, the objectives, a slide for each
*Predict* and for the first figure of each section, the claim check, and what its map would
have caught. The speaker's notes hold what the lesson says there: how to read the figure,
and the answers. Each picture keeps its text alternative.
"""

import argparse
import base64
import html
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from address import ROOT
from lessons import Notebook, lesson_paths, read_lesson
from minutes import unfolded
from PIL import Image
from pptx import Presentation
from pptx.dml.color import RGBColor
from pptx.enum.text import PP_ALIGN
from pptx.slide import Slide as Page
from pptx.util import Inches, Pt

WIDTH, HEIGHT, MARGIN = 13.333, 7.5, 0.6  # inches: a screen of 16 to 9
TITLE_HEIGHT = 1.1
INK, ACCENT = RGBColor(0x22, 0x22, 0x22), RGBColor(0x00, 0x72, 0xB2)
FIGURE = re.compile(r'<img alt="([^"]*)"[^>]*src="data:image/[a-z]+;base64,([^"]+)"')
SENTENCES = 2  # of a paragraph that a slide can hold


@dataclass(frozen=True)
class Slide:
    """What stands on one slide: a title, lines of text or a figure, and the notes."""

    title: str
    lines: tuple[str, ...] = ()
    figure: tuple[bytes, str] | None = None  # the picture's file, and its alt
    notes: str = ""


# -- from a lesson to slides -----------------------------------------------------------


def slides_of(lesson: Notebook) -> list[Slide]:
    """The slides of a lesson, in the order of its cells."""
    cells = {cell.id: plain(cell.source) for cell in lesson.cells}
    found, heading, shown = [opening(lesson)], "", {"first-picture"}
    for k, cell in enumerate(lesson.cells):
        if cell.cell_type == "markdown":
            section = re.search(r"^## (\d+ · .+)$", cell.source, re.MULTILINE)
            heading = plain(section[1]) if section else heading
            found += predictions(cell, heading)
            if cell.id == "objectives":
                found.append(listed("You will be able to", cell.source))
            elif cell.id == "claim-task":
                found.append(claim(cell.source, cells.get("claim-answer", "")))
                heading = ""
            elif cell.source.startswith("## Would it have caught it?"):
                found.append(spoken("Would it have caught it?", cell.source))
        elif heading and heading not in shown and (figure := figure_of(cell)):
            shown.add(heading)
            found.append(Slide(heading, figure=figure, notes=said_below(lesson, k)))
    return found


def opening(lesson: Notebook) -> Slide:
    """The title and the lesson's first picture."""
    title = next(c for c in lesson.cells if c.cell_type == "markdown").source
    figures = (figure_of(cell) for cell in lesson.cells)
    return Slide(
        plain(re.search(r"^# (.+)$", title, re.MULTILINE)[1]),
        figure=next((figure for figure in figures if figure), None),
        notes=plain(re.sub(r"^# .+$|^.*colab.*$", "", title, flags=re.MULTILINE)),
    )


def predictions(cell: Notebook, heading: str) -> Iterator[Slide]:
    """A slide for each question that a cell asks to predict."""
    for paragraph in unfolded(cell.source).split("\n\n"):
        if re.match(r"(> ?)?\*\*Predict\b", paragraph):
            question = re.sub(
                r"^.{0,8}Predict\w*,? ?(then run)?[.:]?\**[.:]? *", "", paragraph
            )
            yield Slide("Predict", (plain(question),), notes=heading)


def listed(title: str, source: str) -> Slide:
    """A slide with the numbered or bulleted lines of a cell."""
    items = re.findall(r"^(?:\d+\.|-) (.+(?:\n {2,}.+)*)", source, re.MULTILINE)
    return Slide(title, tuple(f"•  {plain(item)}" for item in items))


def claim(source: str, answer: str) -> Slide:
    """The claim check: a colleague's sentence, the four tests; the answer in the notes."""
    task, *tests = re.split(r"^- (?=\*\*[A-D]\.)", source, flags=re.MULTILINE)
    task = plain(re.sub(r"^## .+$", "", task, flags=re.MULTILINE))
    return Slide("Claim check", (task, *map(plain, tests)), notes=answer)


def spoken(title: str, source: str) -> Slide:
    """A slide with the first sentences of a cell; all of it in the notes."""
    text = plain(re.sub(r"^## .+$", "", unfolded(source), flags=re.MULTILINE))
    sentences = re.split(r"(?<=[.!?]) (?=[A-Z])", text)
    return Slide(title, (" ".join(sentences[:SENTENCES]),), notes=text)


def figure_of(cell: Notebook) -> tuple[bytes, str] | None:
    """The first figure among a cell's outputs: its file and its text alternative."""
    for output in cell.get("outputs", []):
        found = FIGURE.search(output.get("data", {}).get("text/html", ""))
        if found and cell.id != "lab":
            return base64.b64decode(found[2]), html.unescape(found[1])
    return None


def said_below(lesson: Notebook, k: int) -> str:
    """The text that follows a figure, which says how to read it."""
    below = lesson.cells[k + 1] if k + 1 < len(lesson.cells) else None
    if below is None or below.cell_type != "markdown":
        return ""
    return plain(unfolded(below.source))


def plain(markdown: str) -> str:
    """A Markdown text as it is read: no marks, no tags, a line for each paragraph."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", markdown)
    text = re.sub(r"^> ?|<[^>]+>|[*`]|^#+ ", "", text, flags=re.MULTILINE)
    paragraphs = re.split(r"\n\s*\n", html.unescape(text).strip())
    return "\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


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
        if slide.lines:
            draw_lines(page, slide.lines)
        page.notes_slide.notes_text_frame.text = slide.notes
    path.parent.mkdir(parents=True, exist_ok=True)
    deck.save(path)


def draw_title(page: Page, text: str) -> None:
    """Write the title at the top left."""
    title = page.shapes.title
    title.left, title.top = Inches(MARGIN), Inches(0.35)
    title.width, title.height = Inches(WIDTH - 2 * MARGIN), Inches(TITLE_HEIGHT - 0.3)
    title.text_frame.text = text
    style(title.text_frame, 32, ACCENT, bold=True)


def draw_lines(page: Page, lines: tuple[str, ...]) -> None:
    """Write lines of text below the title, as large as they fit."""
    height = HEIGHT - TITLE_HEIGHT - MARGIN
    where = MARGIN, TITLE_HEIGHT + 0.2, WIDTH - 2 * MARGIN, height
    frame = page.shapes.add_textbox(*map(Inches, where)).text_frame
    frame.word_wrap = True
    frame.text = "\n".join(lines)
    letters = sum(map(len, lines))
    style(frame, 32 if letters < 200 else 26 if letters < 500 else 21, INK)


def style(frame, size: int, colour: RGBColor, bold: bool = False) -> None:
    """Set the type of all paragraphs of a text frame."""
    for paragraph in frame.paragraphs:
        paragraph.font.size, paragraph.font.bold = Pt(size), bold
        paragraph.font.color.rgb = colour
        paragraph.alignment = PP_ALIGN.LEFT
        paragraph.space_after = Pt(size / 2)


def draw_figure(page: Page, data: bytes, alt: str) -> None:
    """Put a figure into the middle of the slide, as large as it fits."""
    picture, file = Image.open(io.BytesIO(data)), io.BytesIO()
    lossy = picture.format != "PNG"  # PowerPoint does not know WebP
    picture.convert("RGB").save(file, "JPEG" if lossy else "PNG", quality=92)
    room = WIDTH - 2 * MARGIN, HEIGHT - TITLE_HEIGHT - MARGIN
    scale = min(room[0] / picture.width, room[1] / picture.height)
    width, height = picture.width * scale, picture.height * scale
    left, top = (WIDTH - width) / 2, TITLE_HEIGHT + (room[1] - height) / 2
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
