"""The editions of the lessons: in step with them, and each holds back what it should."""

import ast
import re
import shutil
import subprocess
import sys
from urllib.parse import unquote

import pytest
from address import ROOT, colab_badge, read_address, read_release, slug
from editions import (
    CODE,
    LINK,
    PYTHON,
    SOLUTION,
    STUDENT,
    absolute,
    answer_predictions,
    fill_work,
    instructor_edition,
    name_of,
    own_copy,
    passed,
    relink,
    student_edition,
    write_instructor,
)
from lessons import FOLDED, badges_in_readme, lesson_paths, read_lesson
from minutes import NOTEBOOKS

PATHS = {name_of(path): path for path in lesson_paths()}
EXERCISE = re.compile(r"exercise-\d+")
every_lesson = pytest.mark.parametrize("name", PATHS)


def prose(lesson) -> str:
    return "\n\n".join(c.source for c in lesson.cells if c.cell_type == "markdown")


def links(lesson) -> list[str]:
    texts = CODE.split(prose(lesson))[::2]
    return [found[2] for text in texts for found in LINK.finditer(text)]


def solutions(lesson) -> dict[str, str]:
    """Exercise → the code of its solution."""
    cells = {c.id: c.source for c in lesson.cells}
    return {
        name: PYTHON.search(SOLUTION.search(cells[f"{name}-solution"])[0])[1]
        for name in cells
        if EXERCISE.fullmatch(name)
    }


# -- what learners get -----------------------------------------------------------------


@every_lesson
def test_student_edition_is_in_step(name):
    assert read_lesson(STUDENT / name) == student_edition(PATHS[name]), "make student"


def test_student_holds_the_lessons_and_nothing_else():
    held = {path.relative_to(STUDENT).as_posix() for path in STUDENT.rglob("*.ipynb")}
    assert held == PATHS.keys(), "make student"


@every_lesson
def test_student_edition_has_all_cells_and_no_outputs(name):
    lesson, handed_out = read_lesson(PATHS[name]), student_edition(PATHS[name])
    assert [c.id for c in handed_out.cells] == [c.id for c in lesson.cells]
    for before, cell in zip(lesson.cells, handed_out.cells, strict=True):
        if cell.cell_type == "code":
            assert (cell.outputs, cell.execution_count) == ([], None)
            assert cell.source == before.source
    assert handed_out.cells[1].metadata == FOLDED
    assert prose(handed_out).count("<details>") == prose(lesson).count("<details>")


@every_lesson
def test_student_links_lead_somewhere_from_anywhere(name):
    """A copy saved to Drive has no folder; each link names a file of this release."""
    own, release = slug(read_address()), read_release()
    homes = {
        f"https://colab.research.google.com/github/{own}/blob/{release}/": ".ipynb",
        f"https://raw.githubusercontent.com/{own}/{release}/": ".jpg",
        f"https://github.com/{own}/blob/{release}/": (".md", ".py"),
    }
    found = links(student_edition(PATHS[name]))
    assert found
    for link in found:
        assert re.match(r"https?:|#", link), f"{link} is relative"
        for home, ending in homes.items():
            if link.startswith(home):
                path = unquote(link.removeprefix(home).partition("#")[0])
                assert path.endswith(ending), link
                assert (ROOT / path).is_file(), link
                break
        else:
            assert own not in link, link


def test_relinking_leaves_code_alone():
    lesson = read_lesson(PATHS["03_squeezenet_batch_maps.ipynb"])
    lesson.cells[0].source = (
        "[`code`](02_vanilla_saliency.ipynb) `maps[0](x)`\n```python\nf[1](x.ipynb)\n```\n"
        '<img src="../docs/suspect.jpg"> [here](#Quiz) [there](https://example.org)'
    )
    relink(lesson, lambda link: link.upper() if link[0] not in "#h" else link)
    assert lesson.cells[0].source == (
        "[`code`](02_VANILLA_SALIENCY.IPYNB) `maps[0](x)`\n```python\nf[1](x.ipynb)\n```\n"
        '<img src="../DOCS/SUSPECT.JPG"> [here](#Quiz) [there](https://example.org)'
    )


def test_links_of_a_deeper_lesson():
    change = absolute("deeper/exact_occlusion.ipynb")
    ending = f"blob/{read_release()}/student/06_occlusion.ipynb"
    assert change("../06_occlusion.ipynb").endswith(ending)
    assert change("../../data/CREDITS.md").endswith(f"{read_release()}/data/CREDITS.md")
    assert change("https://example.org/a.ipynb") == "https://example.org/a.ipynb"


# -- badges ----------------------------------------------------------------------------


@every_lesson
def test_the_badge_opens_the_student_edition_of_this_release(name):
    badge = colab_badge(name, read_address())
    assert f"/blob/{read_release()}/student/{name})" in badge
    assert badge.startswith("[![Open in Colab](https://colab.research.google.com/assets/")
    head = read_lesson(STUDENT / name).cells[0].source
    assert badge in head, "make lessons RUN=no"


def test_the_readme_has_each_lessons_badge(tmp_path):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in PATHS:
        assert colab_badge(name, read_address()) in text, "make lessons RUN=no"
    copy = tmp_path / "README.md"
    copy.write_text(text.replace(f"/{read_release()}/student", "/v0.0.0/student"))
    badges_in_readme(copy)
    assert copy.read_text(encoding="utf-8") == text


# -- without solutions -----------------------------------------------------------------


@every_lesson
def test_without_solutions_none_is_handed_out(name):
    lesson, left = read_lesson(PATHS[name]), student_edition(PATHS[name], solutions=False)
    text = prose(left)
    assert "<summary>Solution" not in text
    for exercise, solution in solutions(lesson).items():
        assert solution not in text, exercise
        assert solution.partition("\n")[2] not in text, exercise
    assert text.count("<summary>Hint") == prose(lesson).count("<summary>Hint")
    assert text.count("<details>") == text.count("</details>")
    assert "claim-answer" not in [cell.id for cell in left.cells]
    assert "/student/" not in text, "the public edition has the solutions"
    for link in links(left):
        local = PATHS[name].parent / link.partition("#")[0]
        assert re.match(r"https?:|#", link) or local.is_file(), link


def bodies(code: str) -> list[str]:
    """What the functions in some code do: their statements, without docstrings."""
    nodes = [n for n in ast.walk(ast.parse(code)) if isinstance(n, ast.FunctionDef)]
    found = []
    for node in nodes:
        skipped = 1 if ast.get_docstring(node) is not None else 0
        found.append("\n".join(map(ast.unparse, node.body[skipped:])))
    return found


@pytest.fixture(scope="module")
def checks() -> tuple[set[str], list[str]]:
    """What the functions of the checks do, and every text in them."""
    done, said = set(), []
    for path in (ROOT / "course_utils" / "checks").glob("*.py"):
        code = path.read_text(encoding="utf-8")
        done.update(bodies(code))
        constants = [n for n in ast.walk(ast.parse(code)) if isinstance(n, ast.Constant)]
        said += [n.value for n in constants if isinstance(n.value, str)]
    return done, said


@every_lesson
def test_the_checks_hold_no_solution(name, checks):
    """Neither as code that can be printed nor in what they say."""
    done, said = checks
    for exercise, solution in solutions(read_lesson(PATHS[name])).items():
        for body in bodies(solution):
            assert body not in done, f"{exercise} stands in course_utils/checks"
            assert not any(body in text for text in said), exercise


def test_the_tool_writes_elsewhere_without_solutions(tmp_path):
    """In a copy of the course's files: student/ stays, build/student/ appears."""
    for part in ("tools", "notebooks", "student"):
        shutil.copytree(ROOT / part, tmp_path / part)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    before = {p: p.read_bytes() for p in (tmp_path / "student").rglob("*.ipynb")}
    tool = [sys.executable, tmp_path / "tools" / "editions.py"]
    command = [*tool, "student", "--solutions", "no"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout == f"build/student/ holds {len(PATHS)} lessons, without solutions\n"
    assert {p: p.read_bytes() for p in (tmp_path / "student").rglob("*.ipynb")} == before
    written = tmp_path / "build" / "student"
    assert len([*written.rglob("*.ipynb")]) == len(PATHS)
    wrong = subprocess.run([*tool, "student", "03"], capture_output=True, text=True)
    assert wrong.returncode != 0
    assert "the student edition is written whole, got ['03']" in wrong.stderr


# -- a learner's own copies ------------------------------------------------------------


@every_lesson
def test_own_copies_link_as_the_lesson_does(name):
    lesson, copied = read_lesson(PATHS[name]), own_copy(STUDENT / name, name)
    assert links(copied) == [link for link in links(lesson) if "colab" not in link]
    assert "Open in Colab" not in prose(copied)
    assert [c.source for c in copied.cells][1:] == [c.source for c in lesson.cells][1:]


@pytest.fixture
def folders(tmp_path):
    """A student edition of two lessons, and where a learner's copies go."""
    student = tmp_path / "student"
    for name in ("03_squeezenet_batch_maps.ipynb", "deeper/exact_occlusion.ipynb"):
        (student / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(STUDENT / name, student / name)
    return student, tmp_path / "work"


def change(path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_work_is_filled_once_and_never_overwritten(folders):
    student, work = folders
    assert fill_work(student, work) == []
    copied = {path.name: path for path in work.rglob("*.ipynb")}
    assert copied.keys() == {"03_squeezenet_batch_maps.ipynb", "exact_occlusion.ipynb"}
    mine = copied["03_squeezenet_batch_maps.ipynb"]
    change(mine, '"    ..."', '"    return 1  # mine"')
    answered = mine.read_bytes()
    assert fill_work(student, work) == []
    change(student / mine.name, "You can make out the dog", "You see the dog")
    told = f"student/{mine.name} is newer than your copy, work/{mine.name}, which stays as"
    assert fill_work(student, work) == [f"{told} it is"]
    assert mine.read_bytes() == answered
    mine.rename(work / "mine.ipynb")  # to get the new one
    assert fill_work(student, work) == []
    assert "You see the dog" in mine.read_text(encoding="utf-8")


def test_a_new_release_or_address_is_no_newer_lesson(folders, monkeypatch):
    student, work = folders
    fill_work(student, work)
    for path in student.rglob("*.ipynb"):
        change(path, read_release(), "v99.0")
    monkeypatch.setattr("address.read_release", lambda: "v99.0")
    assert fill_work(student, work) == []


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"metadata": null}', "no JSON"])
def test_a_copy_that_cannot_be_read_stays_too(folders, text):
    student, work = folders
    fill_work(student, work)
    mine = work / "deeper" / "exact_occlusion.ipynb"
    mine.write_text(text)
    assert len(fill_work(student, work)) == 1
    assert mine.read_text() == text


def test_make_lab_opens_the_learners_copy():
    done = subprocess.run(["make", "-n", "lab"], cwd=ROOT, capture_output=True, text=True)
    filled, opened = "editions.py work", "/lab/tree/work/00_start_here.ipynb"
    assert -1 < done.stdout.find(filled) < done.stdout.find(opened)


def test_git_ignores_work():
    command = ["git", "check-ignore", "-q", "work/03_squeezenet_batch_maps.ipynb"]
    assert subprocess.run(command, cwd=ROOT).returncode == 0


# -- for instructors -------------------------------------------------------------------


@every_lesson
def test_instructors_find_every_answer_in_place(name):
    before, lesson = read_lesson(PATHS[name]), instructor_edition(PATHS[name])
    cells = {cell.id: cell.source for cell in lesson.cells}
    for exercise, solution in solutions(before).items():
        assert cells[exercise] == solution
        ast.parse(solution)
    if "claim-check" in cells:
        letter = re.match(r'choice = "([A-D])"', cells["claim-check"])[1]
        assert re.search(rf"\b{letter}\b", cells["claim-answer"])
    for found in ("lab-questions", "claim-answer"):
        assert "<details>" not in cells.get(found, "")
    place = ROOT / "build" / "instructor" / name
    for link in links(lesson):
        local = (place.parent / link.partition("#")[0]).resolve()
        if ROOT / "build" in local.parents:  # another lesson of this edition
            local = NOTEBOOKS / local.relative_to(ROOT / "build" / "instructor")
        assert re.match(r"https?:|#", link) or local.is_file(), link


def answers(name: str) -> dict[str, str]:
    """Cell → what the instructor's edition adds to it below its prediction."""
    before, lesson = read_lesson(PATHS[name]), read_lesson(PATHS[name])
    answer_predictions(lesson)
    pairs = zip(before.cells, lesson.cells, strict=True)
    added = {old.id: new.source.removeprefix(old.source) for old, new in pairs}
    return {cell: text for cell, text in added.items() if text}


def asking(lesson) -> set[str]:
    """The cells that ask for a prediction: marked, or a question just above the code."""
    found = set()
    for cell, following in zip(lesson.cells, lesson.cells[1:], strict=False):
        text = re.sub(r"<details>.*?</details>", "", cell.source, flags=re.DOTALL)
        text = re.sub(r" \(About \d+ seconds\.\)$", "", text.strip().replace("\n", " "))
        asks = (
            text.endswith(("?", "?*", "that is safe.)")) and "code" in following.cell_type
        )
        marked = re.search(r"^(> )?\*\*Predict, then ", cell.source, re.MULTILINE)
        if cell.cell_type == "markdown" and not cell.id.endswith("-task"):
            found |= {cell.id} if asks or marked else set()
    return found


@every_lesson
def test_each_prediction_is_answered(name):
    found = answers(name)
    assert found.keys() == asking(read_lesson(PATHS[name]))
    for text in found.values():
        assert re.match(r"\n\n> \*\*Answer\.\*\* \S.{20}", text)
        assert not re.search(r"Predict, then|Worked example|minutes\)", text), "too much"


def test_predictions_of_lesson_03_are_answered_each_by_its_own_cells():
    found = answers("03_squeezenet_batch_maps.ipynb")
    assert list(found) == ["gather", "mixing", "mixing-fail", "scale-read"]
    assert "values: [9, 5, 1, 0]" in found["gather"]
    assert "Not at all." in found["mixing"] and "SqueezeNet: 0.0%" in found["mixing"]
    assert "training mode" not in found["mixing"], "that answers the next one"
    assert "training mode True" in found["mixing-fail"]
    assert "0.66" in found["scale-read"]


def test_answers_end_where_the_next_topic_begins():
    softmax = answers("01_theory.ipynb")["softmax-fades-read"]
    assert "Without the common part" in softmax
    shares = answers("08_further_maps.ipynb")["ig-complete-idea"]
    assert "With 12 steps they nearly do" in shares and "black" not in shares


def test_an_answer_goes_on_after_a_question_and_leaves_progress_out():
    (found,) = [v for k, v in answers("07_weak_localization.ipynb").items() if "me" in k]
    assert "On the composites the class counts" in found
    assert "> right class        85%" in found
    assert "photographs, zebra;" not in found


@pytest.mark.slow
def test_a_solved_lesson_passes_its_checks(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("editions.ROOT", tmp_path)
    monkeypatch.setattr("editions.INSTRUCTOR", tmp_path / "instructor")
    write_instructor(["hooks"])
    told = "instructor/deeper/hooks_and_relus.ipynb: 1 of 1 checks passed\n"
    assert capsys.readouterr().out == told
    lesson = read_lesson(tmp_path / "instructor" / "deeper" / "hooks_and_relus.ipynb")
    assert passed(lesson) == "1 of 1 checks passed"
    assert "**Answer.**" in prose(lesson)
