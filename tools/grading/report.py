"""What the teacher and the learners get: `marks.csv`, and a page for each notebook."""

import csv
import io
import re
from dataclasses import dataclass, field
from pathlib import Path

from course_utils.checks.base import Verdict

MARKS, FEEDBACK = "marks.csv", "feedback"
STUDENTS = (
    (r"_(\d+)_assignsubmission_", "Participant {}"),  # Moodle's folder
    (r"(?:^|/)[^_/]+_(?:LATE_)?(\d+)_\d+_", "{}"),  # Canvas's file
)


@dataclass
class Marked:
    """A notebook, by its path in the folder: verdicts by column, and remarks."""

    name: str
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    trouble: str = ""  # why it could not be marked, or not all of it

    @property
    def passed(self) -> int:
        """How many of its tasks are passed."""
        return sum(map(bool, self.verdicts.values()))

    def row(self, columns: list[str]) -> list:
        """Its row of the table."""
        marks = [int(bool(self.verdicts.get(column))) for column in columns]
        states = [
            f"{column}: {self.verdicts[column].state}"
            for column in columns
            if column in self.verdicts and not self.verdicts[column]
        ]
        remarks = "; ".join([*filter(None, [self.trouble]), *self.remarks, *states])
        return [harmless(self.name), student(self.name), *marks, sum(marks), remarks]

    def page(self, title: str, columns: list[str]) -> str:
        """Its feedback, in Markdown."""
        lines = [f"# {title}", "", f"{self.name}: {self.passed} of {len(columns)} passed."]
        if self.trouble:
            lines += ["", f"Not marked, or not whole: {self.trouble}."]
        for column in columns:
            if column in self.verdicts:
                lines += ["", f"**{column.capitalize()}**: {said(self.verdicts[column])}"]
        return "\n".join(lines) + "\n"


def said(verdict: Verdict) -> str:
    """A verdict without the exercise's name: `✔ passed. It picks …`."""
    sign = repr(verdict)[0]
    return f"{sign} {verdict.state}. {verdict.message}"


def student(name: str) -> str:
    """The number by which Moodle or Canvas knows the learner, if the name holds one."""
    for pattern, words in STUDENTS:
        if found := re.search(pattern, name):
            return words.format(found[1])
    return ""


def harmless(text: str) -> str:
    """A text that a spreadsheet does not take for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


class Report:
    """Writes what is known so far; after each notebook all of it is on the disk."""

    def __init__(self, folder: Path, title: str, columns: list[str]):
        self.folder, self.title, self.columns = folder, title, columns
        self.marked: dict[str, Marked] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, one: Marked) -> None:
        """Write a notebook's page, and the table with its row."""
        self.marked[one.name] = one
        page = self.folder / FEEDBACK / Path(one.name).with_suffix(".md")
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(one.page(self.title, self.columns), encoding="utf-8")
        draft = self.folder / f".{MARKS}.draft"
        draft.write_text(self.table(), encoding="utf-8", newline="")
        draft.replace(self.folder / MARKS)

    def table(self) -> str:
        """All rows, by the notebooks' names."""
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(["notebook", "student", *self.columns, "passed", "remarks"])
        table.writerows(self.marked[n].row(self.columns) for n in sorted(self.marked))
        return text.getvalue()

    def summary(self) -> str:
        """How many have passed what, in one line."""
        counts = (
            f"{column} {sum(bool(m.verdicts.get(column)) for m in self.marked.values())}"
            for column in self.columns
        )
        return f"passed: {', '.join(counts)}; of {len(self.marked)}"
