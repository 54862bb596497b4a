"""What the teacher and the learners get: `marks.csv`, and a page for each notebook."""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from course_utils.checks.base import NOT_TRIED, Verdict

from .lesson import Task

MARKS, FEEDBACK = "marks.csv", "feedback"
STUDENTS = (
    (r"_(\d+)_assignsubmission_", "Participant {}"),  # Moodle's folder
    (r"(?:^|/)[^_/]+_(?:LATE_)?(\d+)_\d+_", "{}"),  # Canvas's file
)
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark }}
body {{ max-width: 40rem; margin: 2rem auto; padding: 0 1rem;
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: break-word }}
h1 {{ font-size: 1.5rem }}
h2 {{ font-size: 1.1rem; margin-bottom: 0 }}
h2 + p {{ margin-top: 0 }}
</style>
</head>
<body>
<h1>{title}</h1>
{body}
</body>
</html>
"""


@dataclass
class Marked:
    """A notebook, by its path in the folder: verdicts by column, and remarks."""

    name: str
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    trouble: str = ""  # why it could not be marked, or not all of it

    def passed(self, tasks: Iterable[Task]) -> int:
        """How many of these tasks are passed."""
        return sum(bool(self.verdicts.get(task.title)) for task in tasks)

    def score(self, tasks: list[Task]) -> str:
        """What is passed, in words: `3 of 3 required passed, and 1 optional`."""
        words = f"{self.passed(required(tasks))} of {len(required(tasks))} required passed"
        more = self.passed(task for task in tasks if task.optional)
        return f"{words}, and {more} optional" if more else words

    def row(self, tasks: list[Task]) -> list:
        """Its row of the table."""
        marks = [self.passed([task]) for task in tasks]
        sums = [self.passed(required(tasks)), len(required(tasks))]
        untried = [t for t, verdict in self.verdicts.items() if verdict.state == NOT_TRIED]
        remarks = [self.trouble, *self.remarks]
        remarks += [f"not tried: {', '.join(untried)}"] if untried else []
        number, words = student(self.name), "; ".join(filter(None, remarks))
        return [harmless(self.name), number, *marks, *sums, words]

    def page(self, title: str, tasks: list[Task]) -> str:
        """Its feedback, in HTML."""
        lines = [f"<p>{escape(self.name)}: {self.score(tasks)}.</p>"]
        if self.trouble:
            lines.append(f"<p>Not marked, or not whole: {escape(self.trouble)}.</p>")
        for task in tasks:
            if task.title in self.verdicts:
                words = said(self.verdicts[task.title])
                lines.append(f"<h2>{task.title.capitalize()}</h2>\n<p>{words}</p>")
        return PAGE.format(title=escape(title), body="\n".join(lines))


def required(tasks: list[Task]) -> list[Task]:
    """Those that are not optional."""
    return [task for task in tasks if not task.optional]


def said(verdict: Verdict) -> str:
    """A verdict in HTML, without the exercise's name: `✔ passed. It picks …`."""
    sign = repr(verdict)[0]
    text = escape(f"{sign} {verdict.state}. {verdict.message}")
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", text)


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
    """Writes what is known so far; after each notebook all of it is on the disk.

    Args:
        folder: of the marks.
        title: of the lesson.
        tasks: of the lesson; each has a column.
        notebooks: the names of all that will be marked.
        absent: the folders of learners who have handed in no notebook.
    """

    def __init__(
        self,
        folder: Path,
        title: str,
        tasks: list[Task],
        notebooks: Iterable[str],
        absent: list[str],
    ):
        self.folder, self.title, self.tasks = folder, title, tasks
        self.marked: dict[str, Marked] = {}
        self.absent = [Marked(name, trouble="no notebook") for name in absent]
        counts = Counter(map(student, notebooks))
        self.doubles = {
            who: f"{count} notebooks of {who}"
            for who, count in counts.items()
            if who and count > 1
        }
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, one: Marked) -> None:
        """Write a notebook's page, and the table with its row."""
        if words := self.doubles.get(student(one.name)):
            one.remarks.insert(0, words)
        self.marked[one.name] = one
        page = self.folder / FEEDBACK / Path(one.name).with_suffix(".html")
        page.parent.mkdir(parents=True, exist_ok=True)
        # A file's name in another encoding has characters that UTF-8 lacks.
        utf8 = {"encoding": "utf-8", "errors": "backslashreplace", "newline": ""}
        page.write_text(one.page(self.title, self.tasks), **utf8)
        draft = self.folder / f".{MARKS}.draft"
        draft.write_text(self.table(), **utf8)
        draft.replace(self.folder / MARKS)

    def table(self) -> str:
        """All rows, by the notebooks' names."""
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        columns = [task.title for task in self.tasks]
        table.writerow(["notebook", "student", *columns, "required", "out of", "remarks"])
        rows = sorted([*self.marked.values(), *self.absent], key=lambda one: one.name)
        table.writerows(one.row(self.tasks) for one in rows)
        return text.getvalue()

    def summary(self) -> str:
        """How many have passed what, and which learners need a look."""
        marked = self.marked.values()
        counts = [f"{t.title} by {sum(m.passed([t]) for m in marked)}" for t in self.tasks]
        needed = required(self.tasks)
        whole = sum(one.passed(needed) == len(needed) for one in marked)
        passed = f"passed: {', '.join(counts)}, all required by {whole}"
        absent = [f"no notebook: {one.name}" for one in self.absent]
        return "\n".join([f"{passed}; of {len(marked)}", *self.doubles.values(), *absent])
