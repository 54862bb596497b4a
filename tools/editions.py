"""The editions of the course, made from the lessons in notebooks/, which are tested.

    python tools/editions.py student                  student/: without outputs
    python tools/editions.py student --solutions no   build/student/: without solutions
    python tools/editions.py instructor 03 07         build/instructor/: solved and run
    python tools/editions.py work                     work/: a learner's own copies

Colab opens student/, and its learners save copies in Drive, where a relative link leads
nowhere: so its links are absolute. In work/ they are relative again.
"""

import argparse
import hashlib
import importlib
import json
import os
import posixpath
import re
from collections.abc import Callable
from pathlib import Path

import nbformat
from address import ROOT, colab_link, page_link, read_address
from lessons import COLAB_LINK, clean, execute, lesson_paths, read_lesson, save
from minutes import NOTEBOOKS

STUDENT, WORK = ROOT / "student", ROOT / "work"
UNSOLVED, INSTRUCTOR = ROOT / "build" / "student", ROOT / "build" / "instructor"

LINK = re.compile(r"(\]\(|\b(?:src|href)=\")([^)\s\">]+)")
CODE = re.compile(r"(^```.*?^```|`[^`\n]+`)", re.DOTALL | re.MULTILINE)
SOLUTION = re.compile(r"<details><summary>Solution</summary>.*?</details>\n?", re.DOTALL)
PYTHON = re.compile(r"^```python\n(.*?)\n```", re.DOTALL | re.MULTILINE)
PREDICTION = re.compile(r"^(?:> )?\*\*Predict, then \w+\.\*\*", re.MULTILINE)
ASKS = re.compile(
    r"\?\**(?:\s\([^()]*\))?$"
)  # at the end; "(About 10 seconds.)" may follow
FOLD = re.compile(r"<details[^>]*>.*?</details>", re.DOTALL)

Notebook = nbformat.NotebookNode


def name_of(path: Path) -> str:
    """A lesson's file below notebooks/: `03_….ipynb`, `deeper/….ipynb`."""
    return path.relative_to(NOTEBOOKS).as_posix()


# -- links -----------------------------------------------------------------------------


def relink(lesson: Notebook, change: Callable[[str], str]) -> None:
    """Replace each link and picture in a lesson's text by what `change` makes of it."""
    for cell in lesson.cells:
        if cell.cell_type == "markdown":
            parts = CODE.split(cell.source)  # text, code, text, …
            parts[::2] = [
                LINK.sub(lambda found: found[1] + change(found[2]), text)
                for text in parts[::2]
            ]
            cell.source = "".join(parts)


def target(link: str, name: str) -> str | None:
    """The file of the repository that a relative link in the lesson `name` leads to."""
    if re.match(r"[a-z]+:|#", link):
        return None
    return posixpath.normpath(posixpath.join("notebooks", posixpath.dirname(name), link))


def absolute(name: str, lessons: bool = True) -> Callable[[str], str]:
    """How links of the lesson `name` become absolute; those to `lessons`, if wanted."""
    address = read_address()

    def change(link: str) -> str:
        path = target(link, name)
        if path is None or (path.startswith("notebooks/") and not lessons):
            return link
        if path.startswith("notebooks/"):
            return colab_link(path.removeprefix("notebooks/"), address)
        return page_link(path, address)

    return change


def relative(name: str) -> Callable[[str], str]:
    """How absolute links of the student's lesson `name` become relative again."""
    address = read_address()
    start = posixpath.join("student", posixpath.dirname(name))
    bases = {colab_link("", address): "student/"}
    bases |= {page_link(p, address).removesuffix(p): "" for p in ("page", "picture.jpg")}

    def change(link: str) -> str:
        for base, place in bases.items():
            if link.startswith(base):
                return posixpath.relpath(place + link.removeprefix(base), start)
        return link

    return change


def without_badge(lesson: Notebook) -> None:
    """Take the link to Colab out of a lesson's head."""
    head = lesson.cells[0]
    head.source = re.sub(rf"{COLAB_LINK.pattern}\n*", "", head.source)


# -- for learners ----------------------------------------------------------------------


def student_edition(path: Path, solutions: bool = True) -> Notebook:
    """A lesson as it is handed out: nothing has run, and no link needs a folder.

    Without `solutions`, those of exercises and of the claim check are left out; so is the
    badge, and links lead to the lessons beside it: the public ones have solutions.
    """
    lesson, name = read_lesson(path), name_of(path)
    for cell in lesson.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    if not solutions:
        unsolve(lesson)
        without_badge(lesson)
    relink(lesson, absolute(name, lessons=solutions))
    return lesson


def unsolve(lesson: Notebook) -> None:
    """Leave out the solutions of a lesson; hints stay."""
    lesson.cells = [cell for cell in lesson.cells if cell.id != "claim-answer"]
    for cell in lesson.cells:
        if re.fullmatch(r"exercise-\d+-solution", cell.id):
            cell.source = SOLUTION.sub("", cell.source).strip("\n")


def write_student(solutions: bool) -> str:
    """Write the student edition of every lesson; return a line that says where."""
    folder = STUDENT if solutions else UNSOLVED
    editions = {name_of(p): student_edition(p, solutions) for p in lesson_paths()}
    for name, lesson in editions.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        save(lesson, folder / name)
    for path in folder.rglob("*.ipynb"):
        if path.relative_to(folder).as_posix() not in editions:
            path.unlink()  # of a lesson that is no more
    without = "" if solutions else ", without solutions"
    return f"{folder.relative_to(ROOT)}/ holds {len(editions)} lessons{without}"


# -- a learner's own copies ------------------------------------------------------------


def own_copy(path: Path, name: str) -> Notebook:
    """The student's lesson in `path` as a learner works on it: every link is local."""
    lesson = read_lesson(path)
    without_badge(lesson)
    relink(lesson, relative(name))
    lesson.metadata["course"] = {"edition": edition(lesson)}
    return lesson


def edition(lesson: Notebook) -> str:
    """A short name for what a lesson says, whatever its release and address are."""
    told = [[c.id, c.source] for c in lesson.cells if c.id != "setup"]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:12]


def edition_of_copy(path: Path) -> str | None:
    """The edition that a learner's copy was made from, or None if that is not known."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))["metadata"]["course"]["edition"]
    except (ValueError, KeyError, TypeError):
        return None


def fill_work(student: Path = STUDENT, work: Path = WORK) -> list[str]:
    """Copy lessons that `work` lacks; return a line for each copy of another edition."""
    told = []
    for path in sorted(student.rglob("*.ipynb")):
        name = path.relative_to(student).as_posix()
        lesson, copied = own_copy(path, name), work / name
        if not copied.exists():
            copied.parent.mkdir(parents=True, exist_ok=True)
            save(lesson, copied)
        elif edition_of_copy(copied) != lesson.metadata["course"]["edition"]:
            newer = f"{student.name}/{name} is newer than your copy"
            told.append(f"{newer}, {work.name}/{name}, which stays as it is")
    return told


# -- for instructors -------------------------------------------------------------------


def instructor_edition(path: Path) -> Notebook:
    """A lesson solved: it has still to be run, and then `answer_predictions`."""
    lesson = read_lesson(path)
    cells = {cell.id: cell for cell in lesson.cells}
    for name, cell in cells.items():
        if re.fullmatch(r"exercise-\d+", name):
            fold = SOLUTION.search(cells[f"{name}-solution"].source)[0]
            cell.source = PYTHON.search(fold)[1]
        elif name != "quiz" and not re.fullmatch(r"exercise-\d+-solution", name):
            cell.source = cell.source.replace("<details>", "<details open>")
    if "claim-check" in cells:
        check = cells["claim-check"]
        check.source = check.source.replace('"..."', f'"{right_test(lesson)}"')
    outside = re.compile(r"(?:\.\./)+(?:course_utils|data|docs)/")
    relink(lesson, lambda link: f"../{link}" if outside.match(link) else link)
    return lesson


def right_test(lesson: Notebook) -> str:
    """The letter of the test that could refute the claim of a lesson."""
    code = "\n".join(cell.source for cell in lesson.cells if cell.cell_type == "code")
    module = re.search(r"from course_utils\.checks import (\w+) as check", code)[1]
    claim = importlib.import_module(f"course_utils.checks.{module}").claim
    return next(letter for letter, test in claim.tests.items() if test.could_refute)


def answer_predictions(lesson: Notebook) -> None:
    """Put the answer below each prediction: what is printed, and what the lesson says."""
    asked = [k for k in range(len(lesson.cells)) if question(lesson.cells, k)]
    answers = {k: answer(lesson.cells[k + 1 :]) for k in asked}
    for k, text in answers.items():
        lines = f"**Answer.** {text}".splitlines()
        quoted = "\n".join(f"> {line}".rstrip() for line in lines)
        lesson.cells[k].source += f"\n\n{quoted}"


def question(cells: list[Notebook], k: int) -> str:
    """The paragraph of cell `k` that asks what the next cell will show, or "".

    It is marked **Predict, or it ends a text with a question that a cell of code answers.
    """
    cell = cells[k]
    if cell.cell_type != "markdown" or cell.id.endswith("-task"):
        return ""
    paragraphs = FOLD.sub("", cell.source).strip().split("\n\n")
    marked = [one for one in paragraphs if PREDICTION.match(one)]
    if marked:
        return marked[0]
    runs = k + 1 < len(cells) and cells[k + 1].cell_type == "code"
    return paragraphs[-1] if runs and ASKS.search(paragraphs[-1]) else ""


def answer(following: list[Notebook], whole: bool = False) -> str:
    """What the cells from a question on print, and how the lesson reads it.

    Of the reading stands here what answers, its first paragraph, or the `whole` of it.
    """
    printed, said = [], []
    for k, cell in enumerate(following):
        if cell.cell_type == "code":
            printed += printed_lines(cell)
            continue
        if cell.source.startswith("#"):
            break
        asked = question(following, k)
        said = paragraphs_said(cell.source, asked) or said
        if asked or cell.id.endswith("-read"):
            break
    if not whole:  # a question or a colon leads on to the next paragraph
        led = [n for n, one in enumerate(said) if not one.endswith(("?", ":"))]
        said = said[: led[0] + 1] if led else said
    block = ["```text\n" + "\n".join(printed) + "\n```"] if printed else []
    return "\n".join(["\n\n".join(said), *block])


def printed_lines(cell: Notebook) -> list[str]:
    """The lines that a cell has printed, without those that only show its progress."""
    text = "".join(o.text for o in cell.outputs if o.output_type == "stream")
    *finished, _ = text.split("\n")
    return [line.rstrip() for line in finished if re.search(r"\w", line)]


def paragraphs_said(markdown: str, asked: str) -> list[str]:
    """The paragraphs of a text up to its next topic: a heading, or what is `asked` next.

    Folds do not count, unless all of it is folded.
    """
    text = FOLD.sub("", markdown).strip()
    text = text or re.sub(r"<summary>.*?</summary>|</?details[^>]*>", "", markdown)
    text = re.split(r"^#", text, maxsplit=1, flags=re.MULTILINE)[0]
    if asked:
        text = text.partition(asked)[0]
    return [one.strip("\n") for one in text.split("\n\n") if one.strip()]


def write_instructor(only: list[str]) -> None:
    """Solve, run and write lessons, and say of each what its checks said."""
    os.environ["COURSE_PROGRESS"] = "off"  # what passes here is no learner's progress
    for path in lesson_paths(only):
        lesson, place = instructor_edition(path), INSTRUCTOR / name_of(path)
        execute(lesson, path)
        clean(lesson)
        answer_predictions(lesson)
        place.parent.mkdir(parents=True, exist_ok=True)
        save(lesson, place)
        print(f"{place.relative_to(ROOT)}: {passed(lesson)}", flush=True)


def passed(lesson: Notebook) -> str:
    """How many of a solved lesson's checks have passed."""
    graded = re.compile(r"(exercise-\d+|claim)-check")
    checks = [cell for cell in lesson.cells if graded.fullmatch(cell.id)]
    said = [o.data["text/plain"] for cell in checks for o in cell.outputs if "data" in o]
    return f"{sum(one.startswith('✔') for one in said)} of {len(checks)} checks passed"


def main() -> None:
    """Read the command line and write the edition that it names."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("edition", choices=["student", "instructor", "work"])
    parser.add_argument("only", nargs="*", help="starts of lesson names (for instructor)")
    parser.add_argument("--solutions", choices=["yes", "no"], default="yes")
    asked = parser.parse_args()
    if asked.only and asked.edition != "instructor":
        parser.error(f"the {asked.edition} edition is written whole, got {asked.only}")
    if asked.edition == "student":
        print(write_student(asked.solutions == "yes"))
    elif asked.edition == "instructor":
        write_instructor(asked.only)
    else:
        print(*fill_work(), "Your copies of the lessons are in work/.", sep="\n")


if __name__ == "__main__":
    main()
