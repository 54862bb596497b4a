"""docs/matrix.md: each objective has its row, and what a row names is in the lessons."""

import re
from dataclasses import dataclass

import pytest
from address import ROOT
from lessons import lesson_paths, read_lesson
from minutes import unfolded
from pages import page

LESSONS = {p.stem[:2]: p for p in lesson_paths() if p.parent.name != "deeper"}
HEADS = ("objective", "exercise", "quiz", "claim", "lab", "again", "to add")
HIDDEN = ROOT / "teacher" / "questions" / "00.md"  # a lesson that states no objectives
FROM = re.compile(r"^### (\d+)\. \(From lesson (\d\d)", re.MULTILINE)


@dataclass(frozen=True)
class Holds:
    """What a lesson holds: numbers as the matrix writes them."""

    objectives: dict[str, str]
    exercise: set[str]
    quiz: set[str]
    claim: set[str]
    lab: set[str]
    asked_of: dict[str, str]  # a quiz question → the earlier lesson that it is about


def holds(number: str) -> Holds:
    cells = read_lesson(LESSONS[number]).cells
    texts = {c.id: c.source for c in cells if c.cell_type == "markdown"}
    goals = (
        texts.get("objectives") or HIDDEN.read_text(encoding="utf-8").partition("## ")[0]
    )
    tasks = re.findall(r"^### Exercise (\d+) .*\((.*)\)$", "\n".join(texts.values()), re.M)
    return Holds(
        objectives=dict(re.findall(r"^(\d+)\. (.+(?:\n {2,}.+)*)", goals, re.M)),
        exercise={n + r"\*" * ("●●●" in how) for n, how in tasks},
        quiz=set(re.findall(r"^### (\d+)\. ", texts.get("quiz", ""), re.M)),
        claim={"●"} if "claim-task" in texts else set(),
        lab=set(re.findall(r"^(\d+)\. ", unfolded(texts.get("lab-questions", "")), re.M)),
        asked_of=dict(FROM.findall(texts.get("quiz", ""))),
    )


def section(number: str) -> str:
    """What the page says of a lesson."""
    return re.search(rf"^## {number} · .*?(?=^## |\Z)", page("matrix.md"), re.M | re.S)[0]


def rows(number: str) -> list[dict[str, str]]:
    table = [line for line in section(number).splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    assert tuple(cells[0]) == HEADS
    return [dict(zip(HEADS, row, strict=True)) for row in cells[2:]]


def named(number: str, column: str) -> list[str]:
    """All that the rows of a lesson name in a column."""
    return [one for row in rows(number) for one in row[column].split(", ") if one]


def test_every_lesson_has_a_section():
    titles = re.findall(r"^## (\d\d) · (.+)$", page("matrix.md"), re.M)
    assert [number for number, _ in titles] == [*LESSONS]
    for number, title in titles:
        heads = read_lesson(LESSONS[number]).cells[0].source
        assert title in heads, f"lesson {number} is not called {title!r}"


@pytest.mark.parametrize("number", LESSONS)
def test_every_objective_has_a_row(number):
    objectives = [row["objective"].split(". ", 1) for row in rows(number)]
    assert [n for n, _ in objectives] == [str(k + 1) for k in range(len(objectives))]
    stated = holds(number).objectives
    assert [n for n, _ in objectives] == [*stated]
    for n, short in objectives:  # in the lesson's own words
        words = re.findall(r"[\w-]{4,}", short.lower())
        strange = [word for word in words if word not in stated[n].lower()]
        assert not strange, f"objective {n} of lesson {number} does not say {strange}"


@pytest.mark.parametrize("number", LESSONS)
@pytest.mark.parametrize("column", ["exercise", "quiz", "claim", "lab"])
def test_what_a_row_names_is_in_the_lesson(number, column):
    assert set(named(number, column)) <= getattr(holds(number), column)


@pytest.mark.parametrize("number", LESSONS)
def test_what_a_lesson_asks_for_serves_an_objective(number):
    lesson = holds(number)
    own_questions = lesson.quiz - lesson.asked_of.keys()
    assert own_questions <= set(named(number, "quiz"))
    assert lesson.exercise <= set(named(number, "exercise"))
    assert lesson.claim <= set(named(number, "claim"))
    idle = re.search(r"^Lab questions? ([\d, and]+) practi", section(number), re.M)
    idle = set(re.findall(r"\d+", idle[1])) if idle else set()
    assert set(named(number, "lab")) == lesson.lab - idle, "used, or said to be idle"


@pytest.mark.parametrize("number", LESSONS)
def test_questions_of_later_lessons_stand_with_the_lesson_they_are_about(number):
    later = {
        f"{other}/{question}"
        for other in LESSONS
        for question, about in holds(other).asked_of.items()
        if about == number
    }
    assert set(named(number, "again")) == later


@pytest.mark.parametrize("number", LESSONS)
def test_a_row_without_evidence_says_so(number):
    for row in rows(number):
        evidence = any(row[column] for column in HEADS[1:-1])
        assert row["to add"].startswith("**None") != evidence, row["objective"]
