"""A lesson as the grader sees it: its exercises, their checks, the cells before them."""

import ast
import contextlib
import importlib
import io
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lessons import read_lesson

from course_utils.checks.base import Verdict
from course_utils.checks.progress import CALL, CHECK_CELL, MODULE

from .names import leaned_on, names_in

NOT_RUN = re.compile(r"setup|lab|toy-.*|exercise-\d+|.*-check")
CLAIM = "claim"


@dataclass(frozen=True)
class Task:
    """An exercise or the claim check: its cell, its check, the names of the answers."""

    cell: str
    check_cell: str
    check: Callable[..., Verdict]
    answers: tuple[str, ...]
    optional: bool = False

    @property
    def title(self) -> str:
        """The name of its column."""
        if self.cell == CLAIM:
            return "claim check"
        return self.cell.replace("-", " ") + " (optional)" * self.optional


class CourseLesson:
    """A notebook of the course, from which all but the learners' cells comes."""

    def __init__(self, path: Path):
        self.path = path
        self.cells = read_lesson(path).cells
        self.code = {c.id: c.source for c in self.cells if c.cell_type == "code"}
        self.ids = {cell.id for cell in self.cells}

    @cached_property
    def tasks(self) -> list[Task]:
        """In the order of the lesson."""
        module = MODULE.search("\n".join(self.code.values()))
        checks = importlib.import_module(f"course_utils.checks.{module[1]}")
        optional = self._optional()
        found = []
        for name, source in self.code.items():
            if CHECK_CELL.fullmatch(name):
                cell = CLAIM if name == "claim-check" else name.removesuffix("-check")
                check = getattr(checks, CALL.search(source)[1])
                found.append(Task(cell, name, check, _arguments(source), cell in optional))
        return found

    def _optional(self) -> set[str]:
        """The exercises whose headings have three dots."""
        text = "\n".join(c.source for c in self.cells if c.cell_type == "markdown")
        numbers = re.findall(r"^#+ Exercise (\d+)\b.*●●●", text, re.MULTILINE)
        return {f"exercise-{number}" for number in numbers}

    @property
    def exercises(self) -> list[Task]:
        """The tasks but the claim check."""
        return [task for task in self.tasks if task.cell != CLAIM]

    def solution(self, task: Task) -> str:
        """The course's own solution of an exercise."""
        (cell,) = (c for c in self.cells if c.id == f"{task.cell}-solution")
        return re.search(r"^```python\n(.*?)^```", cell.source, re.DOTALL | re.M)[1]

    def before(self, task: Task) -> dict[str, str]:
        """The course's own code before an exercise: cell → source."""
        names = [*self.code]
        earlier = names[: names.index(task.check_cell)]
        return {n: self.code[n] for n in earlier if not NOT_RUN.fullmatch(n)}

    def namespaces(self, wanted: dict[str, set[str]]) -> dict[str, dict]:
        """Run the cells that the wanted names come from: exercise → what they define.

        Args:
            wanted: exercise → the names that its answers read.
        """
        needed = {t.cell: leaned_on(wanted[t.cell], self.before(t)) for t in self.exercises}
        todo = {name for names in needed.values() for name in names}
        names, found = {"__name__": "__main__"}, {}
        for cell, source in self.code.items():
            if cell in needed:
                found[cell] = dict(names)
            elif cell in todo:
                run_quietly(source, names, cell)
        return found

    def own_answers(self) -> Iterable[tuple[Task, Verdict]]:
        """What the checks say of the course's solutions; they are warm after that."""
        wanted = {}
        for task in self.exercises:
            source = self.code[task.cell] + "\n" + self.solution(task)
            wanted[task.cell] = names_in(source)[0]
        spaces = self.namespaces(wanted)
        for task in self.exercises:
            names = spaces[task.cell]
            run_quietly(self.code[task.cell], names, task.cell)
            run_quietly(self.solution(task), names, f"{task.cell}-solution")
            yield task, task.check(*(names[name] for name in task.answers))


def _arguments(source: str) -> tuple[str, ...]:
    """`a` and `b` of a cell that ends in `check.name(a, b)`."""
    call = ast.parse(source).body[-1].value
    return tuple(argument.id for argument in call.args)


def run_quietly(source: str, names: dict, cell: str) -> None:
    """Run a cell of the course among `names`; what it prints and shows is dropped."""
    with contextlib.redirect_stdout(io.StringIO()):
        exec(compile(source, f"<{cell}>", "exec"), names)
