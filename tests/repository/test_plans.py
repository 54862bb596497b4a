"""docs/plans.md: its plans add up with the minutes that the lessons state."""

import re
from collections import Counter

import pytest
from lessons import lesson_paths, read_lesson
from minutes import count
from pages import page

PLANS = page("plans.md")
LESSONS = {path.stem: read_lesson(path) for path in lesson_paths()}
ROW = re.compile(r"^\| (\d+) \| (.*?) \|(.*?)\|$", re.MULTILINE)
PART = re.compile(r"([^,()]+) \((\d+)\)")


def section(heading):
    """A plan: the text below one of the headings."""
    return re.search(rf"^## {heading}.*?$(.*?)(?=^## |\Z)", PLANS, re.M | re.S)[1]


def weeks(heading):
    """For each week, the parts in class and at home: what, and how many minutes."""
    rows = [
        (PART.findall(at), PART.findall(home))
        for _, at, home in ROW.findall(section(heading))
    ]
    return [
        [[(what.strip(), int(n)) for what, n in parts] for parts in row] for row in rows
    ]


def lesson_of(what):
    """The lesson that a part is of, or nothing: `rest of 06` is of lesson 06."""
    name = next((w for w in what.split() if re.fullmatch(r"\d\d|\w+_\w+", w)), None)
    return next((stem for stem in LESSONS if name and stem.startswith(name)), None)


@pytest.mark.parametrize(("plan", "most"), [("Five weeks", 90), ("A term", 60)])
def test_each_session_lasts_ninety_minutes_and_homework_no_longer(plan, most):
    for at, home in weeks(plan):
        assert sum(minutes for _, minutes in at) == 90, at
        assert sum(minutes for _, minutes in home) <= most, home


@pytest.mark.parametrize("plan", ["Five weeks", "A term"])
def test_no_quiz_looks_back_on_a_lesson_that_is_to_come(plan):
    done = set()
    for what, _ in (part for week in weeks(plan) for place in week for part in place):
        if lesson := lesson_of(what):
            quiz = "\n".join(c.source for c in LESSONS[lesson].cells)
            assert {*re.findall(r"From lesson (\d\d)", quiz)} <= done, lesson
            done.add(lesson[:2])


def test_what_looks_back_on_the_lessons_to_leave_out_is_named():
    back = {
        f"{stem[:2]}/{number}"
        for stem, lesson in LESSONS.items()
        for cell in lesson.cells
        for number in re.findall(r"### (\d)\. \(From lesson (?:04|07)\.\)", cell.source)
    }
    named = re.search(r"Quiz questions (.*?) look\s", section("Five weeks"))[1]
    assert {*re.findall(r"\d\d/\d", named)} == back


@pytest.mark.parametrize(
    ("plan", "sessions", "all_of_it"), [("Five weeks", 5, 13), ("A term", 12, 17)]
)
def test_each_lesson_gets_the_time_it_states(plan, sessions, all_of_it):
    given = Counter()
    assert len(weeks(plan)) == sessions
    for what, minutes in (part for week in weeks(plan) for place in week for part in place):
        if lesson := lesson_of(what):
            given[lesson] += minutes
    stated = {stem: count(LESSONS[stem]).minutes for stem in [*LESSONS][:all_of_it]}
    assert given == stated


def test_the_session_fills_ninety_minutes_and_names_cells_that_exist():
    rows = re.findall(r"^\| (\d+)–(\d+) \| .*? \| ?(.*?) ?\|", section("One session"), re.M)
    starts, ends = [int(r[0]) for r in rows], [int(r[1]) for r in rows]
    assert starts == [0, *ends[:-1]]
    assert ends[-1] == 90
    cells = [
        c.id for stem in LESSONS if stem[:2] in ("00", "03") for c in LESSONS[stem].cells
    ]
    for name in (name for row in rows for name in re.findall(r"`(\S+)`", row[2])):
        assert name in cells
