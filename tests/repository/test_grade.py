"""Marks for a folder of notebooks: right, wrong, edited, broken; and what learners try."""

import csv
import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from address import ROOT
from grade import find_absent, find_lesson, find_notebooks, mark_all
from grading.lesson import CourseLesson
from grading.names import statements_for
from grading.processes import Interrupts, in_processes
from grading.report import Marked, Report, harmless, student
from grading.submission import Unreadable, code_cells, read_submission
from lessons import lesson_paths
from pages import code_of

from course_utils.checks.base import NOT_TRIED, PASSED, WRONG, Verdict
from course_utils.checks.progress import FILE

if not sys.platform.startswith("linux"):
    pytest.skip("marking needs Linux", allow_module_level=True)

LESSON = CourseLesson(lesson_paths(["03"])[0])
OTHERS = [CourseLesson(path) for path in lesson_paths(["03", "05", "07"])]


class Notebook:
    """A lesson as it is handed out, to be filled in."""

    def __init__(self, path: Path = LESSON.path):
        self.raw = json.loads(path.read_text(encoding="utf-8"))
        self.cells = {cell["id"]: cell for cell in self.raw["cells"]}

    def put(self, **sources: str) -> "Notebook":
        """Replace the sources of cells; `exercise_1` is exercise-1."""
        for name, source in sources.items():
            self.cells[name.replace("_", "-")]["source"] = source
        return self

    def solved(self) -> "Notebook":
        """With the course's solutions below the stubs' imports, and a right choice."""
        for name, cell in self.cells.items():
            if re.fullmatch(r"exercise-\d+", name):
                text = "".join(self.cells[f"{name}-solution"]["source"])
                code = re.search(r"^```python\n(.*?)^```", text, re.DOTALL | re.M)[1]
                lines = "".join(cell["source"]).splitlines()
                imports = [x for x in lines if re.match(r"(import|from) ", x)]
                cell["source"] = "\n".join([*imports, code])
        return self.put(claim_check='choice = "C"\ncheck.claim(choice)')

    def add(self, after: str, source: str, name: str = "9a2b3c4d") -> "Notebook":
        """A cell that the learner has added."""
        place = self.raw["cells"].index(self.cells[after]) + 1
        new = {"cell_type": "code", "id": name, "metadata": {}, "outputs": []}
        self.raw["cells"].insert(place, new | {"execution_count": 1, "source": source})
        return self

    def save(self, path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self.raw), encoding="utf-8")
        return path


WRONG_1 = "def class_scores(scores, labels):\n    return scores.amax(1)"
HELPED = "def class_scores(scores, labels):\n    return pick(scores, labels)"
PATCH = """
import course_utils.checks.base as base
base.compare = base.close = lambda *a, **k: True
def class_scores(scores, labels): return scores[:, 0]"""
LOOP = "def class_scores(scores, labels):\n    while True: pass"
EXIT = "import os\ndef brightness(maps, shared): os._exit(0)"


def hand_in(folder: Path) -> None:
    """Sample submissions: names say what they are."""
    Notebook().solved().save(folder / "right.ipynb")
    Notebook().save(folder / "untouched.ipynb")
    wrong = Notebook().solved().put(exercise_1=WRONG_1, exercise_3="def dependence(:")
    wrong.put(claim_check='check.claim("B")').save(folder / "wrong.ipynb")
    edited = Notebook().put(exercise_1_check='print("✔ Exercise 1: passed.")')
    edited.put(exercise_2_check="check = lambda *a: True", exercise_1=PATCH)
    edited.save(folder / "edited.ipynb")
    helper = "def pick(scores, labels): return scores.gather(1, labels[:, None])[:, 0]"
    added = Notebook().solved().put(exercise_1=HELPED).add("exercise-1-task", helper)
    added.add("exercise-1", "%matplotlib inline\nclass_scores(scores, 1 / 0)", "0a1b2c3d")
    added.save(folder / "Doe Jane_4711_assignsubmission_file_" / "03.ipynb")
    hang = Notebook().solved().put(exercise_1=LOOP, exercise_2=EXIT)
    hang.save(folder / "doejane_1234_5678_hang.ipynb")
    report = folder / "Roe Jan_4712_assignsubmission_file_" / "report.pdf"
    report.parent.mkdir()
    report.write_text("no notebook")
    Notebook(lesson_paths(["05"])[0]).save(folder / "other.ipynb")
    (folder / "text.ipynb").write_text("not JSON")
    (folder / "empty.ipynb").write_text("")
    (folder / "list.ipynb").write_text("[1, 2]")
    Notebook().save(folder / ".ipynb_checkpoints" / "right-checkpoint.ipynb")


def run(*arguments, **options) -> subprocess.CompletedProcess:
    command = [sys.executable, ROOT / "tools" / "grade.py", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, **options)


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """The rows by name, the folder of the marks, and what was printed."""
    folder = tmp_path_factory.mktemp("submissions")
    hand_in(folder)
    home = tmp_path_factory.mktemp("home")
    done = run("03", folder, "--to", folder / "marks", env=os.environ | {"HOME": str(home)})
    assert done.returncode == 0, done.stderr
    assert not (home / FILE).exists(), "marks are nobody's progress"
    with (folder / "marks" / "marks.csv").open(encoding="utf-8", newline="") as file:
        rows = {Path(row["notebook"]).name: row for row in csv.DictReader(file)}
    return rows, folder / "marks", done.stdout


COLUMNS = ["exercise 1", "exercise 2", "exercise 3 (optional)", "claim check"]
MARKS = {
    "right.ipynb": "1111",
    "untouched.ipynb": "0000",
    "wrong.ipynb": "0100",
    "edited.ipynb": "0000",
    "03.ipynb": "1111",
    "doejane_1234_5678_hang.ipynb": "0011",
    "other.ipynb": "0000",
    "text.ipynb": "0000",
    "empty.ipynb": "0000",
    "list.ipynb": "0000",
    "Roe Jan_4712_assignsubmission_file_": "0000",
}
REMARKS = {
    "untouched.ipynb": "not tried: exercise 1, exercise 2, exercise 3 (optional), claim",
    "edited.ipynb": "edited: exercise-1-check, exercise-2-check; the course's own",
    "other.ipynb": "another lesson: this is 05_guided_backprop",
    "text.ipynb": "no notebook: the file is not JSON",
    "empty.ipynb": "empty file",
    "list.ipynb": "no notebook: the JSON holds no cells",
    "Roe Jan_4712_assignsubmission_file_": "no notebook",
}


@pytest.mark.slow
def test_every_notebook_has_a_row_with_its_marks(graded):
    rows, _, _ = graded
    found = {name: "".join(row[c] for c in COLUMNS) for name, row in rows.items()}
    assert found == MARKS
    for name, (one, two, _, claim) in MARKS.items():
        assert int(rows[name]["required"]) == f"{one}{two}{claim}".count("1")
        assert rows[name]["out of"] == "3"
    for name, words in REMARKS.items():
        assert words in rows[name]["remarks"]
    assert [rows[name]["remarks"] for name in ("right.ipynb", "wrong.ipynb")] == ["", ""]
    assert (
        "look at exercise-1: it uses course_utils.checks" in rows["edited.ipynb"]["remarks"]
    )


@pytest.mark.slow
def test_moodle_and_canvas_find_their_learners(graded):
    rows, _, _ = graded
    assert rows["03.ipynb"]["student"] == "Participant 4711"
    assert rows["doejane_1234_5678_hang.ipynb"]["student"] == "1234"
    assert rows["right.ipynb"]["student"] == ""
    assert rows["Roe Jan_4712_assignsubmission_file_"]["student"] == "Participant 4712"


@pytest.mark.slow
def test_every_learner_gets_a_page_with_the_sentences(graded):
    rows, folder, _ = graded
    pages = {path.stem: path for path in (folder / "feedback").rglob("*.html")}
    assert {f"{name}.ipynb" for name in pages} == {n for n in rows if n.endswith("ipynb")}
    wrong = pages["wrong"].read_text(encoding="utf-8")
    assert "1 of 3 required passed" in wrong
    assert (
        "That is the largest score of each row; pick that of <code>labels</code>." in wrong
    )
    assert (
        "The cell <code>exercise-3</code> cannot be read: SyntaxError in line 1." in wrong
    )
    assert "✔ passed." in wrong
    hang = pages["doejane_1234_5678_hang"].read_text(encoding="utf-8")
    assert "does not come to an end" in hang
    assert "<code>while True: pass</code>" in hang
    assert "ended before it returned" in hang
    assert "Not marked, or not whole: empty file." in pages["empty"].read_text("utf-8")


@pytest.mark.slow
def test_progress_is_printed(graded):
    _, _, printed = graded
    assert re.search(r"10 of 10 .*\n", printed)
    assert "right.ipynb: 3 of 3 required passed, and 1 optional" in printed
    assert (
        "passed: exercise 1 by 2, exercise 2 by 3, exercise 3 (optional) by 3, "
        "claim check by 3, all required by 2; of 10\n"
        "no notebook: Roe Jan_4712_assignsubmission_file_\n" in printed
    )


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_done(tmp_path):
    (tmp_path / "a.ipynb").write_text("not JSON")
    Notebook().solved().put(exercise_1=LOOP).save(tmp_path / "b.ipynb")
    command = [sys.executable, ROOT / "tools" / "grade.py", "03", tmp_path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if "a.ipynb" in line:
                break
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        said = process.stdout.read()
    assert process.returncode == 130
    assert "Stopped; 1 of 2 notebooks are marked" in said
    rows = (tmp_path / "marks.csv").read_text(encoding="utf-8").splitlines()
    assert [row.split(",")[0] for row in rows] == ["notebook", "a.ipynb"]


class PressesCtrlC:
    """Ctrl-C comes while this is thrown away, where Python drops the exception."""

    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_ctrl_c_is_not_lost_in_a_destructor():
    usual, interrupts = signal.getsignal(signal.SIGINT), Interrupts()
    with pytest.raises(KeyboardInterrupt), interrupts.noticed():
        for name, *_ in in_processes(dict.fromkeys("abc", _wait), 1, 60.0, interrupts):
            assert name == "a"
            presses = PressesCtrlC()
            del presses
    assert signal.getsignal(signal.SIGINT) is usual
    assert not multiprocessing.active_children()


def _wait(send):
    time.sleep(0.1)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("0", "LESSON must be one lesson, such as 03; 0 fits 00_start_here, 01_theory"),
        ("00", "LESSON must have exercises; 00_start_here has none"),
        ("99", "no lesson's name starts with '99'"),
    ],
)
def test_a_wrong_lesson_gets_one_sentence(name, words):
    with pytest.raises(SystemExit, match=words):
        find_lesson(name)


def test_a_wrong_folder_gets_one_sentence(tmp_path):
    with pytest.raises(SystemExit, match="FROM must be a folder of notebooks, got "):
        find_notebooks(tmp_path / "none")
    Notebook().save(tmp_path / ".ipynb_checkpoints" / "a.ipynb")
    with pytest.raises(SystemExit, match="FROM must hold notebooks"):
        find_notebooks(tmp_path)


def test_a_lesson_without_a_claim_check(tmp_path):
    lesson = CourseLesson(lesson_paths(["colours"])[0])
    path = Notebook(lesson.path).put(exercise_1="def grey_evidence(*a): return 1")
    readings = {"a": read_submission(path.save(tmp_path / "a.ipynb"), lesson, [lesson])}
    settings = SimpleNamespace(memory=2, at_once=1)
    (one,) = mark_all(lesson, readings, settings, (), Interrupts())
    assert (one.trouble, [*one.verdicts]) == ("", ["exercise 1"])
    assert one.score(lesson.tasks) == "0 of 1 required passed"


# -- reading, without running anything -------------------------------------------------


def reading(notebook: Notebook, tmp_path: Path):
    return read_submission(notebook.save(tmp_path / "one.ipynb"), LESSON, OTHERS)


def test_only_the_statements_that_an_answer_needs_are_taken():
    cells = [
        "import torch\nimport numpy as np\nN = 3\nslow = sum(range(10**9))",
        "def helper(x):\n    return x * N\nprint(helper(2))\ntable = []\ntable.append(1)",
        "def answer(x):\n    return helper(x), table, scores\nanswer(1)\nold = answer",
    ]
    needed, open_names = statements_for({"answer"}, cells)
    assert needed == [(2,), (0, 2, 3), (0,)]
    assert open_names - {"helper", "table"} == {"scores"}
    assert statements_for({"f"}, ["x = x[0]\nf = lambda: x"])[1] == {"x"}


NEEDED = {
    "def f(): return 1\ndef f(): return b\nif b:\n    b = 2": (1, 2),
    "def f(): return g()\ndef g(): return 1": (0, 1),
    "x = 1\ny = x\nx = 2\ndef f(): return y": (0, 1, 3),
    "try:\n    import a as m\nexcept ImportError:\n    m = 0\nf = lambda: m.x": (0, 1),
    "from math import *\nf = 1\nprint(f)": (0, 1),
    "import a\na.seed(0)\na.x[0] = 1\nb = 1\nb.c()\n@a\ndef f(): 0": (0, 1, 2, 5),
    "x = [1]\nf = lambda: [x for _ in x]\nx += [2]\ndel y": (0, 1, 2),
}


@pytest.mark.parametrize("source", NEEDED)
def test_statements_that_give_a_name_its_value(source):
    assert statements_for({"f"}, [source])[0] == [NEEDED[source]]


@pytest.mark.parametrize("choice", ['choice = "C"', 'check.claim("C")', "choice='C'; 1"])
def test_a_choice_is_read(choice, tmp_path):
    assert reading(Notebook().put(claim_check=choice), tmp_path).choice == "C"


def test_a_choice_that_is_no_letter_is_remarked(tmp_path):
    found = reading(Notebook().put(claim_check="choice = letters[2]"), tmp_path)
    assert found.choice is ...
    assert 'claim-check: no letter in `choice = "…"`' in found.remarks


def test_missing_cells_are_named(tmp_path):
    notebook = Notebook().solved()
    gone = [notebook.cells[name] for name in ("exercise-2", "claim-check")]
    notebook.raw["cells"] = [c for c in notebook.raw["cells"] if c not in gone]
    remarks = reading(notebook, tmp_path).remarks
    assert "exercise-2: no cell of that id" in remarks
    assert "claim-check: no cell of that id" in remarks


def test_an_answer_that_moved_to_a_cell_of_its_own_is_found(tmp_path):
    notebook = Notebook().solved()
    source = notebook.cells["exercise-1"]["source"]
    notebook.put(exercise_1="# below").add("exercise-1", source)
    cells = reading(notebook, tmp_path).answers["exercise-1"]
    assert [cell.source.strip() for cell in cells] == [source.strip()]


def test_a_helper_in_an_edited_cell_of_the_course_is_named(tmp_path):
    notebook = Notebook().put(exercise_1=HELPED, batch_scores="pick = 1")
    remarks = reading(notebook, tmp_path).remarks
    assert any(r.startswith("exercise-1 uses pick, which neither") for r in remarks)


def test_ids_in_the_metadata_count(tmp_path):
    notebook = Notebook().solved()
    for cell in notebook.raw["cells"]:
        cell["metadata"]["id"] = cell.pop("id")
    found = reading(notebook, tmp_path)
    assert found.remarks == []
    assert all(found.answers.values())


DEEP = {"cells": [{"cell_type": "code", "id": "exercise-1", "source": "(" * 5000}]}


def test_code_that_breaks_the_parser_is_a_failed_exercise(tmp_path):
    path = tmp_path / "deep.ipynb"
    path.write_text(json.dumps(DEEP))
    assert "cannot be read" in read_submission(path, LESSON, OTHERS).failed["exercise-1"]


BROKEN = {
    "[" * 100_000: "no notebook: the file is not JSON",
    '{"cells": 3}': "no notebook: the JSON holds no cells",
    '{"cells": [{"cell_type": "code", "source": null}]}': "the JSON holds no cells",
    '{"cells": []}': "the notebook holds no code",
    "\x00\xff": "no notebook: the file is not JSON",
}


@pytest.mark.parametrize("text", BROKEN, ids=lambda text: text[:12])
def test_what_is_no_notebook_is_said_in_one_sentence(text, tmp_path):
    path = tmp_path / "broken.ipynb"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(Unreadable, match=re.escape(BROKEN[text])):
        code_cells(path)


def test_a_huge_file_is_not_read(tmp_path):
    path = tmp_path / "huge.ipynb"
    with path.open("wb") as file:
        file.truncate(2**30)  # sparse
    with pytest.raises(Unreadable, match="1024 MB: a notebook has 64 at most"):
        code_cells(path)


@pytest.mark.parametrize("path", lesson_paths(), ids=lambda path: path.stem)
def test_every_lesson_can_be_marked(path):
    lesson = CourseLesson(path)
    if path.stem == "00_start_here":
        return
    assert lesson.exercises
    for task in lesson.exercises:
        assert task.check_cell == f"{task.cell}-check"
        assert task.answers
        assert task.cell in lesson.code
        assert lesson.solution(task)


def test_exercises_with_three_dots_are_optional():
    lessons = {
        path.stem[:2]: CourseLesson(path) for path in lesson_paths(["03", "07", "08"])
    }
    found = {
        name: [task.cell for task in lesson.tasks if task.optional]
        for name, lesson in lessons.items()
    }
    assert found == {"03": ["exercise-3"], "07": ["exercise-3"], "08": []}


# -- the report ------------------------------------------------------------------------


PASSES_1 = {"exercise 1": Verdict("Exercise 1", PASSED, "Right.")}


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("Doe Jane_4711_assignsubmission_file_/x.ipynb", "Participant 4711"),
        ("doejane_1234_5678_03.ipynb", "1234"),
        ("doejane_LATE_1234_5678_03.ipynb", "1234"),
        ("03_squeezenet_batch_maps.ipynb", ""),
        ("jane.ipynb", ""),
    ],
)
def test_the_learners_number(name, number):
    assert student(name) == number


def test_no_cell_of_the_table_is_a_formula():
    assert harmless("=1+1.ipynb") == "'=1+1.ipynb"
    assert harmless("jane.ipynb") == "jane.ipynb"
    assert Marked("@x", PASSES_1).row(LESSON.tasks) == ["'@x", "", 1, 0, 0, 0, 1, 3, ""]


def test_the_optional_exercise_is_not_in_the_mark():
    words = {task.title: Verdict(task.title, PASSED, "Right.") for task in LESSON.tasks}
    one = Marked("x", words)
    assert one.row(LESSON.tasks) == ["x", "", 1, 1, 1, 1, 3, 3, ""]
    assert one.score(LESSON.tasks) == "3 of 3 required passed, and 1 optional"


def test_remarks_say_what_the_columns_do_not():
    words = {"exercise 1": WRONG, "exercise 2": NOT_TRIED}
    one = Marked("x", {title: Verdict(title, state, "") for title, state in words.items()})
    assert one.row(LESSON.tasks)[-1] == "not tried: exercise 2"


def test_learners_without_a_notebook(tmp_path):
    for name in ("A_1_", "B_2_", "C_3_"):
        (tmp_path / f"{name}assignsubmission_file_").mkdir()
    for name in (
        "A_1_assignsubmission_onlinetext_",
        "B_2_assignsubmission_onlinetext_",
        "slides_of_week_3",
        "x/E_4_assignsubmission_",
    ):
        (tmp_path / name).mkdir(parents=True)
    notebooks = {"A_1_assignsubmission_file_/x.ipynb": tmp_path}
    absent = find_absent(tmp_path, notebooks)
    assert absent == ["B_2_assignsubmission_file_", "C_3_assignsubmission_file_"]


def test_a_page_shows_what_a_learner_has_written_and_runs_none_of_it(tmp_path):
    text = '`<script>alert(1)</script>` \ud800 & "<img src=x onerror=alert(1)>"'
    name = "<b onclick='x'>.ipynb"
    one = Marked(name, {"exercise 1": Verdict("Exercise 1", WRONG, text)}, trouble=text)
    Report(tmp_path, "03 · Five", LESSON.tasks, [name], []).add(one)
    (path,) = (tmp_path / "feedback").iterdir()
    page = path.read_text(encoding="utf-8")
    assert '<html lang="en">' in page
    assert '<meta charset="utf-8">' in page
    assert set(re.findall(r"<(\w+)", page)) <= TAGS
    assert "<code>&lt;script&gt;alert(1)&lt;/script&gt;</code>" in page


TAGS = {"html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "code"}


def test_a_name_that_is_not_in_utf_8_is_written(tmp_path):
    name = os.fsdecode(b"J\xfcrgen.ipynb")
    report = Report(tmp_path, "03 · Five", LESSON.tasks, [name], [])
    report.add(Marked(name, PASSES_1))
    assert r"J\udcfcrgen.ipynb" in (tmp_path / "marks.csv").read_text(encoding="utf-8")


# -- from the table into the gradebook: the script of docs/grading.md ------------------


NOTEBOOKS = ["A_101_assignsubmission_file_/x.ipynb", "B_102_assignsubmission_file_/x.ipynb"]
GRADEBOOK = """\ufeffStudent,ID,Lesson 03,Lesson 04
    Points Possible,,3,3
Ada,Participant 101,,2
Ben,Participant 102,,
Cleo,Participant 103,,
Dan,Participant 104,1,
"""


def fill(folder: Path, notebooks: list[str]) -> subprocess.CompletedProcess:
    """Run the page's script on the table of these notebooks, all with exercise 1 right."""
    report = Report(folder, "03", LESSON.tasks, notebooks, ["C_103_assignsubmission_file_"])
    for name in notebooks:
        report.add(Marked(name, PASSES_1))
    (folder / "gradebook.csv").write_text(GRADEBOOK, encoding="utf-8")
    script = code_of("grading.md")["From the table into the gradebook"]
    command = [sys.executable, "-c", script]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def test_the_script_fills_the_gradebook(tmp_path):
    done = fill(tmp_path, NOTEBOOKS)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "filled.csv").read_text(encoding="utf-8").splitlines() == [
        "Student,ID,Lesson 03,Lesson 04",
        "    Points Possible,,3,3",
        "Ada,Participant 101,1,2",
        "Ben,Participant 102,1,",
        "Cleo,Participant 103,0,",
        "Dan,Participant 104,1,",
    ]


def test_the_script_leaves_rows_without_an_id_alone_and_names_what_it_left_out(tmp_path):
    strangers = ["jane.ipynb", "E_105_assignsubmission_file_/x.ipynb"]
    done = fill(tmp_path, NOTEBOOKS + strangers)
    assert done.stdout.splitlines() == [
        "Not in the gradebook: E_105_assignsubmission_file_/x.ipynb",
        "Not in the gradebook: jane.ipynb",
    ]
    filled = (tmp_path / "filled.csv").read_text(encoding="utf-8")
    assert "    Points Possible,,3,3\n" in filled.replace("\r\n", "\n")


def test_two_notebooks_of_a_learner_are_remarked_and_stop_the_script(tmp_path):
    double = "A_101_assignsubmission_file_/x (1).ipynb"
    done = fill(tmp_path, [*NOTEBOOKS, double])
    assert done.returncode == 1
    assert done.stderr == "Keep one row in marks.csv for each of: Participant 101\n"
    assert not (tmp_path / "filled.csv").exists()
    with (tmp_path / "marks.csv").open(encoding="utf-8", newline="") as file:
        remarks = {row["notebook"]: row["remarks"] for row in csv.DictReader(file)}
    twice = "2 notebooks of Participant 101"
    assert [remarks[name] for name in [*NOTEBOOKS, double]] == [twice, "", twice]
    words = Report(tmp_path, "03", LESSON.tasks, [*NOTEBOOKS, double], []).summary()
    assert words.endswith(f"\n{twice}")
