"""What helps those who listen to a lesson: questions are headings, dots are also words.

    python tools/accessible.py           change the lessons that are not so yet
    python tools/accessible.py --check   only name them

A screen reader jumps from heading to heading, so a question of a quiz is one. It reads ●○○
as "black circle, white circle, white circle", so a word stands before the dots. The words
below a figure, saved in grey so far, have the contrast that the package now gives them.
Nothing has to be run again.
"""

import re
import sys
from pathlib import Path

import nbformat
from address import ROOT
from minutes import NOTEBOOKS

WORDS = {"●○○": "easy", "●●○": "medium", "●●●": "hard"}
NOT_SAID = "".join(f"(?<!{word} )" for word in WORDS.values())
DOTS = re.compile(f"{NOT_SAID}({'|'.join(WORDS)})")
QUESTION = re.compile(r"^\*\*(\d+\. .+?)\*\*$", re.MULTILINE | re.DOTALL)


def with_headings(quiz: str) -> str:
    r"""The Markdown of a quiz whose questions, bold lines so far, are headings.

    Example:
        >>> with_headings("**1. Which\nindex?**\n<details>")
        '### 1. Which index?\n\n<details>'
    """
    quiz = QUESTION.sub(lambda found: f"### {' '.join(found[1].split())}", quiz)
    return re.sub(r"^(### .+\n)(?=<)", r"\1\n", quiz, flags=re.MULTILINE)


def with_words(task: str) -> str:
    """The Markdown of an exercise whose heading says in words how hard it is.

    Example:
        >>> with_words("### Exercise 1 · Add  (●○○, 5 minutes)")
        '### Exercise 1 · Add  (easy ●○○, 5 minutes)'
    """

    def said(heading: re.Match) -> str:
        return DOTS.sub(lambda dots: f"{WORDS[dots[1]]} {dots[1]}", heading[0])

    return re.sub(r"^#+ Exercise .*$", said, task, flags=re.MULTILINE)


def with_contrast(html: str) -> str:
    """The HTML of an output whose small print is as `figures` and `labs` print it."""
    return html.replace("style='color: gray; font", "style='opacity: 0.75; font").replace(
        'class="course-lab-note" style="color: gray"',
        'class="course-lab-note" style="opacity: 0.75"',
    )


def mend(path: Path) -> bool:
    """Mend a lesson's file; whether anything had to change."""
    text = path.read_text(encoding="utf-8")
    lesson = nbformat.reads(text, as_version=4)
    for cell in lesson.cells:
        if cell.cell_type == "markdown":
            quiz = cell.id == "quiz" or cell.source.startswith("## Quiz")
            cell.source = with_words(with_headings(cell.source) if quiz else cell.source)
        for data in (output.get("data", {}) for output in cell.get("outputs", [])):
            if "text/html" in data:
                data["text/html"] = with_contrast(data["text/html"])
    after = nbformat.writes(lesson) + "\n"
    if after != text and "--check" not in sys.argv:
        path.write_text(after, encoding="utf-8")
    return after != text


def main() -> None:
    """Mend all lessons, or name those that should be."""
    found = [path for path in sorted(NOTEBOOKS.rglob("*.ipynb")) if mend(path)]
    print("\n".join(str(path.relative_to(ROOT)) for path in found) or "nothing to change")
    if found and "--check" in sys.argv:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
