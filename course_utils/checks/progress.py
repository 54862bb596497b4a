"""Which exercises and claim checks have been passed: a small file at home, and a table.

The file is `.saliency-course.json` in the home folder. The environment variable
`COURSE_PROGRESS` may name another file, for instance on Google Drive; `off` means that none
is read or written. A check never fails because the file cannot be written.
"""

import html
import json
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from .._machinery.files import write_whole

SETTING, OFF = "COURSE_PROGRESS", "off"
FILE = ".saliency-course.json"
NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"

CHECK_CELL = re.compile(r"exercise-\d+-check|claim-check")
MODULE = re.compile(r"from course_utils\.checks import (\w+) as check")
CALL = re.compile(r"^check\.(\w+)\(", re.MULTILINE)


# -- the file --------------------------------------------------------------------------


def progress_file() -> Path | None:
    """Where progress is kept, or None if it is not."""
    setting = os.environ.get(SETTING, "")
    if setting.lower() == OFF:
        return None
    return Path(setting).expanduser() if setting else Path.home() / FILE


def passed() -> dict[str, str]:
    """What has been passed, `batch_maps.class_scores` → on which day."""
    with suppress(OSError, ValueError, RuntimeError):  # not readable, no JSON, no home
        return _read(progress_file())
    return {}


def _read(file: Path | None) -> dict[str, str]:
    if file is None or not file.exists():
        return {}
    found = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(found, dict) or not isinstance(found.get("passed"), dict):
        raise ValueError(f"{file} does not hold the course's progress")
    return found["passed"]


def note_passed(module: str, name: str) -> None:
    """Write down that a check of the course has been passed, if it is the first time.

    A file that holds something else is left alone.
    """
    package, _, module = module.rpartition(".")
    key = f"{module}.{name}"
    with suppress(OSError, ValueError, RuntimeError):
        file = progress_file()
        if file is None or package != __package__ or key in (known := _read(file)):
            return
        known[key] = date.today().isoformat()
        text = json.dumps({"passed": known}, indent=1) + "\n"
        write_whole(file, lambda draft: draft.write_text(text, encoding="utf-8"))


# -- the table -------------------------------------------------------------------------


@dataclass(frozen=True)
class Asked:
    """What a lesson asks: its title, and the keys of its checks by cell."""

    title: str
    checks: dict[str, str]
    deeper: bool = False

    def count(self, done, kind: str) -> tuple[int, int]:
        """How many of a kind ("exercise" or "claim") are done, and of how many."""
        keys = [key for cell, key in self.checks.items() if cell.startswith(kind)]
        return sum(key in done for key in keys), len(keys)


def asked_in(path: Path) -> Asked:
    """Read what a notebook of the course asks."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    sources = {cell["id"]: "".join(cell["source"]) for cell in cells}
    module = MODULE.search("\n".join(sources.values()))
    checks = {
        name: f"{module[1]}.{CALL.search(source)[1]}"
        for name, source in sources.items()
        if CHECK_CELL.fullmatch(name)
    }
    title = "".join(cells[0]["source"]).splitlines()[0].lstrip("# ")
    return Asked(title, checks, deeper=path.parent.name == "deeper")


class Progress:
    """What has been passed, a row for each lesson; a notebook shows it as a table."""

    def __init__(self, lessons: list[Asked], done: dict[str, str]):
        self.lessons, self.done = lessons, done

    def count(self, kind: str, deeper: bool = False) -> tuple[int, int]:
        """How many of a kind are done in all, and of how many."""
        lessons = [one for one in self.lessons if one.deeper == deeper]
        counts = [one.count(self.done, kind) for one in lessons]
        return sum(a for a, _ in counts), sum(b for _, b in counts)

    @property
    def headline(self) -> str:
        """All of it in one line."""
        if not self.lessons:
            return f"{len(self.done)} passed. (The notebooks are not beside course_utils.)"
        exercises, claims = (_words(*self.count(k)) for k in ("exercise", "claim"))
        deeper = _words(*self.count("exercise", deeper=True))
        return f"{exercises} exercises, {claims} claim checks; {deeper} in deeper lessons"

    def rows(self) -> list[tuple[str, str, str]]:
        """Title, exercises and claim check of each lesson."""
        return [
            (one.title, *(_words(*one.count(self.done, k)) for k in ("exercise", "claim")))
            for one in self.lessons
        ]

    def __repr__(self) -> str:
        rows = [f"{a:>8} {b:>8}   {title}" for title, a, b in self.rows()]
        return "\n".join([self.headline, "", "exercises claim", *rows])

    def _repr_html_(self) -> str:
        names = ("lesson", "exercises", "claim check")
        head = "".join(f"<th scope='col'>{name}</th>" for name in names)
        body = "".join(
            f"<tr><th scope='row' style='text-align: left'>{html.escape(title)}</th>"
            f"<td>{exercises}</td><td>{claim}</td></tr>"
            for title, exercises, claim in self.rows()
        )
        line = f"<p>{html.escape(self.headline)}</p>"
        return f"{line}<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _words(done: int, total: int) -> str:
    return f"{done} of {total}" if total else "–"


def progress() -> Progress:
    """What you have passed so far, of all lessons with exercises.

    Example:
        >>> progress().headline
        '12 of 29 exercises, 4 of 12 claim checks; 1 of 5 in deeper lessons'
    """
    paths = sorted(NOTEBOOKS.glob("*.ipynb")) + sorted(NOTEBOOKS.glob("deeper/*.ipynb"))
    lessons = [asked for asked in map(asked_in, paths) if asked.checks]
    return Progress(lessons, passed())
