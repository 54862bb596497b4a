"""The exercises as a learner meets them: the stub, its check, the hidden solution.

The cells that an exercise leans on run in this process, in order, then the exercise
twice: with its stub the check must say "not tried yet", with its solution "passed".
"""

import ast
import contextlib
import io
import re

import pytest
from grading.names import leaned_on, names_in
from IPython.core.interactiveshell import InteractiveShell
from lessons import lesson_paths, read_lesson

from course_utils.checks.base import NOT_TRIED, PASSED, Verdict


def run(source: str, names: dict, cell: str):
    """Run a cell's code in the lesson's namespace; return its last expression's value."""
    place = f"<cell {cell}>"
    tree = ast.parse(source, place)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    with contextlib.redirect_stdout(io.StringIO()):
        exec(compile(tree, place, "exec"), names)
        if last is not None:
            return eval(compile(ast.Expression(last.value), place, "eval"), names)
    return None


def solution(text: str) -> str:
    """The code in an exercise's hidden solution."""
    return re.search(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)[1]


def verdicts(path) -> dict[str, tuple[Verdict, Verdict]]:
    """Exercise → what its check says of the stub, and of the solution.

    Of the cells before an exercise only those run that it leans on: all of them run
    under nbval, and once is enough.
    """
    cells = {cell.id: cell for cell in read_lesson(path).cells}
    names, before, done, found = {"__name__": "__main__"}, {}, set(), {}
    for name, cell in cells.items():
        if cell.cell_type != "code" or name == "setup" or name.endswith("-check"):
            continue
        before[name] = cell.source
        if f"{name}-check" not in cells:
            continue
        check = cells[f"{name}-check"].source
        before[name] = solution(cells[f"{name}-solution"].source)
        wanted = names_in("\n".join((cell.source, check, before[name])))[0]
        for other in leaned_on(wanted, before):
            if other != name and other not in done:
                run(before[other], names, other)
                done.add(other)
        with_stub = dict(names)  # a learner may put the solution in its place
        run(cell.source, with_stub, name)
        of_stub = run(check, with_stub, f"{name}-check")
        run(before[name], names, f"{name}-solution")
        done.add(name)
        found[name] = (of_stub, run(check, names, f"{name}-check"))
    return found


@pytest.mark.parametrize("path", lesson_paths(), ids=lambda path: path.stem)
def test_stub_is_not_tried_and_solution_passes(path, monkeypatch):
    monkeypatch.chdir(path.parent)
    InteractiveShell.clear_instance()  # `display` prints where no shell is running
    for name, (of_stub, of_solution) in verdicts(path).items():
        assert isinstance(of_stub, Verdict), f"{name}-check must end in the check's call"
        assert of_stub.state == NOT_TRIED, f"{name}, the stub: {of_stub}"
        assert of_solution.state == PASSED, f"{name}, the solution: {of_solution}"
