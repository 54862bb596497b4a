"""teacher/questions: the hidden questions keep their form and cover their lessons."""

import re
from dataclasses import dataclass

import pytest
from address import ROOT
from lessons import lesson_paths, read_lesson

FOLDER = ROOT / "teacher" / "questions"
FILES = sorted(FOLDER.glob("[0-9][0-9].md"))
LESSONS = {p.stem[:2]: p for p in lesson_paths() if p.parent.name != "deeper"}
FORM = re.compile(
    r"## (?P<number>\d+)\. (?P<title>[^\n(]+) "
    r"\(objective (?P<lesson>\d\d)\.(?P<objective>\d), (?P<points>\d) points?\)\n\n"
    r"(?P<text>.+?)\n\n"
    r"<details><summary>Answer</summary>\n\n"
    r"(?P<answer>.+?)\s+\*\*Often\s+wrong:\*\*\s+(?P<wrong>.+?)\n</details>\n*",
    re.DOTALL,
)
SHOWN = r"^\|[ :|-]+\|$|^```|^> "  # a table, code or numbers set apart, a described map
OPTION = r"^- \*\*[A-D]\.\*\* "
JUDGES = re.compile(
    r"\b(judge|agree|design|experiment|advise|propose|control|is (?:he|she|it) right"
    r"|(?:what|which|how|where) would you|which test|reply to|describe a (?:test|way))\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Question:
    """One question as its file holds it."""

    number: int
    title: str
    lesson: str
    objective: int
    points: int
    text: str
    answer: str
    wrong: str


def questions_of(page: str) -> list[Question]:
    """The questions of a file; whatever is not in the form is an error."""
    parts = re.split(r"^(?=## )", page, flags=re.MULTILINE)[1:]
    found = []
    for part in parts:
        form = FORM.fullmatch(part)
        assert form, f"not in the form: {part.splitlines()[0]}"
        kept = form.groupdict()
        numbers = {k: int(kept.pop(k)) for k in ("number", "objective", "points")}
        found.append(Question(**kept, **numbers))
    return found


def cell(lesson: str, name: str) -> str:
    """The text of a lesson's cell, or nothing where it has none."""
    cells = read_lesson(LESSONS[lesson]).cells
    return next((c.source for c in cells if c.id == name), "")


def objectives_of(lesson: str, page: str) -> set[int]:
    """What a lesson states; lesson 00 states none, and its file does at its head."""
    stated = cell(lesson, "objectives") or page.partition("\n## ")[0]
    return {int(n) for n in re.findall(r"^(\d)\. ", stated, re.MULTILINE)}


def plain(text: str) -> str:
    """The words of a text, without marks."""
    return " ".join(re.findall(r"\w+", text.lower()))


def runs(question: str, length: int = 7) -> list[str]:
    """All runs of so many words; a shorter question is one run."""
    words = plain(question).split()
    return [" ".join(words[k : k + length]) for k in range(max(1, len(words) - length + 1))]


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def page(request):
    return request.param.stem, request.param.read_text(encoding="utf-8")


def test_there_are_files_and_each_belongs_to_a_lesson():
    assert {path.stem for path in FILES} <= LESSONS.keys()
    assert FILES


def test_eight_questions_in_the_form(page):
    lesson, text = page
    questions = questions_of(text)
    assert [q.number for q in questions] == [*range(1, 9)]
    assert len({q.title for q in questions}) == 8
    assert {q.lesson for q in questions} == {lesson}
    for q in questions:
        given = [int(n) for n in re.findall(r"\((\d)\s+points?\)", q.answer)]
        assert sum(given) == q.points, f"{q.number}: the answer's points add up to {given}"
        assert len(q.wrong.split()) >= 8, f"{q.number}: say why it is wrong"


def test_all_objectives_are_examined_and_no_others(page):
    lesson, text = page
    assert {q.objective for q in questions_of(text)} == objectives_of(lesson, text) != set()


def test_the_questions_are_of_several_kinds(page):
    texts = [q.text for q in questions_of(page[1])]
    shown = [text for text in texts if re.search(SHOWN, text, re.MULTILINE)]
    chosen = [text for text in texts if re.search(OPTION, text, re.MULTILINE)]
    judged = [text for text in texts if JUDGES.search(text)]
    assert len(shown) >= 2, "at least two show something to interpret"
    assert len(judged) >= 2, "at least two ask for a judgement or an experiment"
    assert len(chosen) <= 3, "at most three have options to choose from"


def test_no_question_is_a_quiz_question(page):
    lesson, text = page
    asked = re.findall(r"^### \d+\. (?:\(From .*?\) )?(.+)$", cell(lesson, "quiz"), re.M)
    assert asked or lesson == "00"
    for q in questions_of(text):
        here = plain(f"{q.title} {q.text}")
        again = [run for question in asked for run in runs(question) if run in here]
        assert not again, f"question {q.number} is in the quiz"


def test_the_lessons_do_not_lead_to_the_answers():
    for path in lesson_paths():
        assert "teacher/questions" not in path.read_text(encoding="utf-8"), path.name
