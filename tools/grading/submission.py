"""Reading what a learner has handed in: nothing of it runs here."""

import ast
import builtins
import json
import re
from dataclasses import dataclass, field
from pathlib import Path

from IPython.core.inputtransformer2 import TransformerManager

from course_utils.checks.apart import Cell

from .lesson import CLAIM, CourseLesson, Task
from .names import names_in, statements_for

LARGEST = 64 * 2**20  # bytes of a notebook
LONGEST = 200_000  # characters of a cell
# What no answer needs, and a person should look at.
ODD = (
    r"course_utils\.checks|\b(unseal|_getframe|getsource|ctypes|subprocess|os\._exit|fork"
    r"|__globals__|__closure__|__subclasses__|__builtins__|f_back|f_locals|sys\.modules"
    r"|addaudithook|import gc|import inspect)|(?<!\.)\b(exec|eval)\("
)
USUAL = re.compile(r"from course_utils\.checks import \w+ as check")


class Unreadable(Exception):  # noqa: N818
    """A file that is no notebook of this lesson; the text says why, in one sentence."""


@dataclass
class Reading:
    """What was found in a notebook."""

    answers: dict[str, list[Cell]] = field(default_factory=dict)  # by exercise
    wanted: dict[str, set[str]] = field(default_factory=dict)  # by exercise, of the course
    failed: dict[str, str] = field(default_factory=dict)  # exercise → why it cannot run
    choice: object = ...
    remarks: list[str] = field(default_factory=list)


def read_submission(path: Path, lesson: CourseLesson, others: list) -> Reading:
    """The learner's cells in a file, and of these the statements that are needed.

    Args:
        path: of the file.
        lesson: that should have been handed in.
        others: the lessons of the course, to name the one that was.
    """
    cells = code_cells(path)
    _refuse_other_lesson({name for name, _ in cells}, lesson, others)
    found = Reading()
    for task in lesson.exercises:
        _read_answer(task, cells, lesson, found)
    if any(task.cell == CLAIM for task in lesson.tasks):
        _read_choice(cells, found)
    edited = [
        task.check_cell
        for task in lesson.exercises
        for name, source in cells
        if name == task.check_cell and _dense(source) != _dense(lesson.code[name])
    ]
    if edited:
        words = f"edited: {', '.join(edited)}; the course's own check was used"
        found.remarks.append(words)
    return found


# -- the file --------------------------------------------------------------------------


def code_cells(path: Path) -> list[tuple[str, str]]:
    """(id, source) of each code cell of a file; raises `Unreadable`."""
    if (size := path.stat().st_size) > LARGEST:
        raise Unreadable(f"{size / 2**20:.0f} MB: a notebook has {LARGEST >> 20} at most")
    try:
        notebook = json.loads(path.read_bytes())
        cells = [c for c in notebook["cells"] if c["cell_type"] == "code"]
        found = [(_id(cell), "".join(cell["source"])) for cell in cells]
    except (ValueError, RecursionError):
        empty = "empty file" if not size else "no notebook: the file is not JSON"
        raise Unreadable(empty) from None
    except (KeyError, TypeError, AttributeError):
        raise Unreadable("no notebook: the JSON holds no cells") from None
    if not found:
        raise Unreadable("the notebook holds no code")
    return [(n, "" if len(source) > LONGEST else source) for n, source in found]


def _id(cell: dict) -> str:
    """The cell's id; older files of Colab have it in the metadata."""
    return str(cell.get("id") or cell.get("metadata", {}).get("id", ""))


def _refuse_other_lesson(ids: set[str], lesson: CourseLesson, others: list) -> None:
    shared = {other.path.stem: len(ids & set(other.code)) for other in others}
    best = max(shared, key=shared.get)
    if shared[best] > shared[lesson.path.stem]:
        raise Unreadable(f"another lesson: this is {best}, expected {lesson.path.stem}")


def _dense(source: str) -> str:
    return re.sub(r"\s", "", USUAL.sub("", source))


# -- the answer of an exercise ---------------------------------------------------------


def _read_answer(task: Task, cells: list, lesson: CourseLesson, found: Reading) -> None:
    """Find the learner's cells for a task: the exercises' own, and added ones."""
    names = [name for name, _ in cells]
    if task.cell not in names:
        found.remarks.append(f"{task.cell}: no cell of that id")
    own = [
        (name or "added", plain(source))
        for name, source in _until_check(task, cells, lesson)
        if name in {t.cell for t in lesson.exercises} or name not in lesson.ids
    ]
    own = [one for one in own if _parses(one, task, found)]
    sources = [source for _, source in own]
    try:
        needed, wanted = statements_for({*task.answers}, sources)
    except (SyntaxError, ValueError, RecursionError) as error:
        found.failed[task.cell] = f"The cell cannot be read: {type(error).__name__}."
        needed, wanted = [()] * len(own), set()
    kept = [Cell(*one, k) for one, k in zip(own, needed, strict=True) if k]
    found.answers[task.cell] = kept
    found.wanted[task.cell] = wanted - set(vars(builtins))
    _note_unknown(task, lesson, found)
    _note_odd(task, kept, found)


def _until_check(task: Task, cells: list, lesson: CourseLesson) -> list:
    """The cells before the next one of the course after the exercise: its check."""
    names = [name for name, _ in cells]
    if task.cell not in names:
        return cells
    after = names.index(task.cell) + 1
    while after < len(cells) and names[after] not in lesson.ids:
        after += 1
    return cells[:after]


def plain(source: str) -> str:
    """A cell's code as Python: `%matplotlib` and `!pip` become calls, which none needs."""
    try:
        return TransformerManager().transform_cell(source)
    except Exception:  # broken code: the parser says how
        return source


def _parses(cell: tuple[str, str], task: Task, found: Reading) -> bool:
    name, source = cell
    try:
        ast.parse(source)
        return True
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None)
        where = f" in line {line}" if line else ""
        words = f"{type(error).__name__}{where}"
        if name == task.cell:
            found.failed[name] = f"The cell `{name}` cannot be read: {words}."
        return False


def _note_unknown(task: Task, lesson: CourseLesson, found: Reading) -> None:
    """Names that were defined in an edited cell of the course, or nowhere."""
    known = set().union(*(names_in(s)[1] for s in lesson.before(task).values()))
    own = (names_in(cell.source)[1] for cell in found.answers[task.cell])
    unknown = sorted(found.wanted[task.cell] - known.union(*own) - {*task.answers})
    if unknown:
        words = f"{task.cell} uses {', '.join(unknown)}, which neither the course nor an "
        found.remarks.append(words + "added cell defines")


def _note_odd(task: Task, cells: list[Cell], found: Reading) -> None:
    sources = [USUAL.sub("", cell.source) for cell in cells]
    odd = sorted({match[0] for s in sources for match in re.finditer(ODD, s)})
    if odd:
        found.remarks.append(f"look at {task.cell}: it uses {', '.join(odd)}")


# -- the claim check -------------------------------------------------------------------


def _read_choice(cells: list, found: Reading) -> None:
    """The letter in `choice = "C"`, or in `check.claim("C")`, without running anything."""
    sources = [source for name, source in cells if name == "claim-check"]
    if not sources:
        found.remarks.append("claim-check: no cell of that id")
        return
    try:
        tree = ast.parse(plain(sources[0]))
    except (SyntaxError, ValueError, RecursionError):
        found.remarks.append("claim-check: the cell cannot be read")
        return
    values = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and _is_name(node.targets[0], "choice"):
            values.append(node.value)
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == CLAIM:
            values += node.args[:1]
    letters = [v.value for v in values if isinstance(v, ast.Constant)]
    if letters:
        found.choice = letters[-1]
    else:
        found.remarks.append('claim-check: no letter in `choice = "…"`')


def _is_name(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name
