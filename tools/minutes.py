"""How long a lesson takes, counted from its file; `make lessons` writes it into the lesson.

    python tools/minutes.py            a table of all lessons
    python tools/minutes.py 03 07      of those two

Counted are words at 150 a minute, lines of code at 25 a minute, half a minute for a figure,
the minutes stated by required exercises, one for a quiz question, one and a half for a
prediction, two for a question to the lab. What is folded is optional, and exercises with
three dots (●●●) are.
"""

import ast
import html
import re
import sys
from dataclasses import dataclass, fields
from pathlib import Path

import nbformat
from address import ROOT

NOTEBOOKS = ROOT / "notebooks"
TIME = re.compile(r"\*\*Time:\*\* (?:about )?\d+ minutes")
ROW = re.compile(r"(\]\(notebooks/([\w/]+)\.ipynb\).*\| )\d+( \|)")

Notebook = nbformat.NotebookNode


@dataclass(frozen=True)
class Count:
    """What takes time in a lesson."""

    words: int
    code_lines: int
    figures: int
    exercise_minutes: int
    quiz_questions: int
    predictions: int
    lab_questions: int

    @property
    def minutes(self) -> int:
        """All of it, in whole minutes."""
        reading = self.words / 150 + self.code_lines / 25 + self.figures / 2
        stops = self.quiz_questions + 1.5 * self.predictions + 2 * self.lab_questions
        return round(reading + self.exercise_minutes + stops)


def count(lesson: Notebook) -> Count:
    """Count what a lesson holds."""
    prose = [c.source for c in lesson.cells if c.cell_type == "markdown"]
    code = [c for c in lesson.cells if c.cell_type == "code" and c.id != "setup"]
    outputs = [o for c in code if c.id != "lab" for o in c.outputs]
    text = "\n\n".join(prose)
    quiz = text.partition("\n## Quiz\n")[2]
    labs = [c.source for c in lesson.cells if c.id == "lab-questions"]
    return Count(
        words=words(text),
        code_lines=sum(code_lines(c.source) for c in code),
        figures=sum("<img" in o.get("data", {}).get("text/html", "") for o in outputs),
        exercise_minutes=sum(map(required_minutes, prose)),
        quiz_questions=len(re.findall(r"^### \d+\. ", quiz, re.MULTILINE)),
        predictions=len(re.findall(r"^.{0,8}\bPredict\b", text, re.MULTILINE)),
        lab_questions=sum(
            len(re.findall(r"^\d+\. ", unfolded(one), re.MULTILINE)) for one in labs
        ),
    )


def required_minutes(task: str) -> int:
    """The minutes of an exercise whose task this is, or 0."""
    found = re.search(r"^#+ Exercise .*\((?:easy|medium) (●○○|●●○).*?(\d+) min", task, re.M)
    return int(found[2]) if found else 0


def unfolded(markdown: str) -> str:
    """What is read without a click."""
    return re.sub(r"</summary>.*?</details>", "</summary>", markdown, flags=re.DOTALL)


def without_code(markdown: str) -> str:
    """A Markdown text without its code."""
    return re.sub(r"^```.*?^```|`[^`\n]+`", "", markdown, flags=re.DOTALL | re.MULTILINE)


def words(markdown: str) -> int:
    """How many words are read without a click: no code, no formulas, no references."""
    text = without_code(unfolded(markdown))
    text = re.sub(r"^## References$.*?(?=^## |\Z)", "", text, flags=re.M | re.DOTALL)
    text = re.sub(r"(easy|medium|hard) (?=[●○])", "", text)  # what the dots say
    text = re.sub(r"\$\$.*?\$\$|\$[^$\n]+\$|\]\([^)]*\)|<[^>]*>", " ", text)
    return len(re.findall(r"[^\W\d_]+", html.unescape(text)))


def code_lines(source: str) -> int:
    """How many lines a learner reads as code: no blank ones, no docstrings."""
    lines = {n for n, line in enumerate(source.splitlines(), 1) if line.strip()}
    for node in ast.walk(ast.parse(source)):
        holds_docstring = isinstance(node, ast.FunctionDef | ast.ClassDef)
        if holds_docstring and ast.get_docstring(node) is not None:
            lines -= {*range(node.body[0].lineno, node.body[0].end_lineno + 1)}
    return len(lines)


def state(lesson: Notebook) -> None:
    """Write a lesson's minutes where it says its time."""
    line = f"**Time:** {count(lesson).minutes} minutes"
    for cell in lesson.cells:
        if cell.cell_type == "markdown":
            cell.source = TIME.sub(line, cell.source)


def state_in_readme(readme: Path = ROOT / "README.md") -> None:
    """Write the minutes of all lessons into the table of the README."""

    def counted(row: re.Match) -> str:
        lesson = nbformat.read(NOTEBOOKS / f"{row[2]}.ipynb", as_version=4)
        return f"{row[1]}{count(lesson).minutes}{row[3]}"

    text = readme.read_text(encoding="utf-8")
    readme.write_text(ROW.sub(counted, text), encoding="utf-8")


def main() -> None:
    """Print what the lessons named on the command line hold."""
    names = [field.name for field in fields(Count)]
    print(f"{'lesson':28}", *(f"{name.split('_')[0]:>9}" for name in names), "  minutes")
    for path in [*sorted(NOTEBOOKS.glob("*.ipynb")), *NOTEBOOKS.glob("deeper/*.ipynb")]:
        if sys.argv[1:] and not path.name.startswith(tuple(sys.argv[1:])):
            continue
        found = count(nbformat.read(path, as_version=4))
        numbers = (f"{getattr(found, name):9}" for name in names)
        print(f"{path.stem:28}", *numbers, f"{found.minutes:9}")


if __name__ == "__main__":
    main()
