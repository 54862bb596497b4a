"""An answer in a process of its own: the same verdict, whatever the answer tries."""

import ast
import os
import sys
import time
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from exercises import as_tuple

from course_utils.checks import base, batch_maps
from course_utils.checks.base import NOT_TRIED, PASSED, WRONG, call, compare, exercise
from course_utils.checks.fence import LimitsOfAnswer

if not sys.platform.startswith("linux") or torch.cuda.is_available():
    pytest.skip("forks, which needs Linux and no GPU", allow_module_level=True)

from course_utils.checks.apart import Cell, apart

sys.path.insert(0, str(Path(__file__).parent))
LESSONS = [
    import_module(path.stem)
    for path in sorted(Path(__file__).parent.glob("test_*"))
    if path.stem not in ("test_any_answer", "test_apart", "test_base")
]


def tables(name: str) -> list[tuple]:
    """(check, answers) of all lessons' tests, from their tables RIGHT or MISTAKES."""
    found = []
    for lesson in LESSONS:
        for check, answers in getattr(lesson, name, {}).items():
            several = answers.values() if isinstance(answers, dict) else [answers]
            found += [(check, as_tuple(answer)) for answer in several]
    return found


def judge_apart(check, answers: tuple, limits=None):
    names = {f"answer_{n}": answer for n, answer in enumerate(answers)}
    limits = limits or LimitsOfAnswer(seconds=20 * getattr(check, "patience", 1))
    with apart([], names, [*names], limits) as stand_ins:
        return check(*stand_ins)


def source(text: str, limits=None, check=batch_maps.class_scores, name="class_scores"):
    """The verdict on an answer that is given as a cell's text."""
    cell = Cell("exercise-1", text, tuple(range(len(ast.parse(text).body))))
    with apart([cell], {"torch": torch}, [name], limits or LimitsOfAnswer()) as stand_ins:
        return check(*stand_ins)


# -- the same verdicts -----------------------------------------------------------------


@pytest.mark.parametrize(("check", "answers"), tables("RIGHT"), ids=lambda v: "")
def test_right_answers_pass(check, answers):
    verdict = judge_apart(check, answers)
    assert verdict.state == PASSED, verdict


# Sentences that differ: random numbers begin anew for each call, and a result of SciPy
# is no plain value.
ELSEWHERE = ("A second call gives another map", "spearmanr takes columns")


@pytest.mark.slow
@pytest.mark.nightly
def test_mistakes_get_the_same_sentence():
    differ = []
    for check, answers in tables("MISTAKES"):
        here, there = check(*answers), judge_apart(check, answers)
        assert here.state == there.state
        if here != there and not here.message.startswith(ELSEWHERE):
            differ.append((check.__name__, str(here), str(there)))
    assert differ == []


@exercise("Exercise 0")
def listed(answer):
    seen = []
    compare(call(answer, [1], after=seen.append), [1], {}, "Return the list.")
    return f"It leaves {seen[0]}."


def test_what_a_check_looks_at_afterwards_comes_back():
    def grows(values):
        values.append(2)
        return [1]

    assert judge_apart(listed, (grows,)).message == "It leaves [1, 2]."


def test_nothing_returned_is_not_tried():
    assert judge_apart(batch_maps.class_scores, (lambda s, y: None,)).state == NOT_TRIED


def test_the_usual_call_is_back_afterwards():
    with pytest.raises(ZeroDivisionError), apart([], {}, [], LimitsOfAnswer()):
        raise ZeroDivisionError
    assert base._caller is base._called


# -- what answers try ------------------------------------------------------------------

TRICKS = {
    "patches the checks": """
import course_utils.checks.base as base
base.compare = base.close = lambda *a, **k: True
def class_scores(scores, labels): return scores[:, 0]""",
    "patches PyTorch": """
import torch, builtins
torch.equal = torch.allclose = lambda *a, **k: True
builtins.isinstance = builtins.all = lambda *a, **k: True
def class_scores(scores, labels): return scores[:, 0]""",
    "a tensor that is equal to everything": """
class Equal(torch.Tensor):
    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        if function in (torch.allclose, torch.equal): return True
        return super().__torch_function__(function, types, args, kwargs or {})
def class_scores(scores, labels): return (scores[:, 0] * 1).as_subclass(Equal)""",
    "an object that is equal to everything": """
class Equal(list):
    def __eq__(self, other): return True
def class_scores(scores, labels): return Equal()""",
    "a pickle that runs code": """
class Runs:
    def __reduce__(self): return (print, ("run",))
def class_scores(scores, labels): return Runs()""",
    "reads the right result off the check": """
import sys
def class_scores(scores, labels): return sys._getframe(9).f_locals["right"]""",
    "reads it by way of a traceback": """
def class_scores(scores, labels):
    try: 1 / 0
    except ZeroDivisionError as error: return error.__traceback__.tb_frame.f_back""",
    "prints the verdict": """
print("✔ Exercise 1: passed.")
def class_scores(scores, labels): print("✔ Exercise 1: passed.")""",
    "exits": "import sys\ndef class_scores(scores, labels): sys.exit(0)",
    "exits at once": "import os\ndef class_scores(scores, labels): os._exit(0)",
    "exits while it is defined": "import os\nos._exit(0)\nclass_scores = 1",
    "forks": "import os\ndef class_scores(scores, labels): os.fork()",
    "starts a program": "import os\ndef class_scores(scores, labels): os.system('true')",
    "kills the grader": """
import os
def class_scores(scores, labels): os.kill(os.getppid(), 9)""",
    "reads the solution": f"""
def class_scores(scores, labels): return open({batch_maps.__file__!r}).read()""",
    "removes the file": f"""
import os
def class_scores(scores, labels): os.remove({__file__!r})""",
}


@pytest.mark.parametrize("trick", TRICKS)
def test_no_trick_is_worth_a_mark(trick):
    limits = LimitsOfAnswer(hidden=(Path(batch_maps.__file__).parent,))
    verdict = source(TRICKS[trick], limits)
    assert verdict.state in (WRONG, NOT_TRIED), verdict
    good = (
        "def class_scores(scores, labels): return scores.gather(1, labels[:, None])[:, 0]"
    )
    assert source(good, limits), "the next answer is judged as ever"


def test_a_loop_without_end_is_ended():
    begin = time.monotonic()
    limits = LimitsOfAnswer(seconds=1)
    text = "def class_scores(scores, labels):\n    while True: pass"
    verdict = source(text, limits)
    assert "does not come to an end within 1 seconds" in verdict.message
    assert "`while True: pass`" in verdict.message
    assert time.monotonic() - begin < 30


def test_memory_is_bounded():
    text = "def class_scores(scores, labels): return torch.ones(10**9)"
    verdict = source(text, LimitsOfAnswer(memory=2**29))
    assert "allocate" in verdict.message


def test_an_answer_may_write_at_home_alone(tmp_path):
    text = "def class_scores(scores, labels):\n    open({!r}, 'w').write('x')\n    return 1"
    limits = LimitsOfAnswer(home=tmp_path)
    source(text.format(str(tmp_path / "a")), limits)
    assert (tmp_path / "a").read_text() == "x"
    elsewhere = tmp_path.parent / "elsewhere"
    verdict = source(text.format(str(elsewhere)), limits)
    assert "no writing outside" in verdict.message
    assert not elsewhere.exists()


def test_arrays_and_records_come_back():
    @exercise("Exercise 0")
    def same(answer):
        result = call(answer)
        assert isinstance(result["a"], np.ndarray)
        assert result["b"] == (1, 2.5, {3}, np.float32(1))
        assert result["t"].requires_grad
        return "It is the same."

    text = """
import numpy as np
def answer():
    t = torch.ones(2, requires_grad=True) * 2
    return {"a": np.ones(2), "b": (1, 2.5, {3}, np.float32(1)), "t": t}"""
    assert source(text, check=same, name="answer")


def test_a_missing_function_and_a_broken_cell_are_named():
    assert "no `class_scores`" in source("x = 1").message
    verdict = source("x = 1 / 0\ndef class_scores(s, y): return x")
    assert "The cell `exercise-1` stopped at `x = 1 / 0`" in verdict.message


def files_open() -> int:
    return len([*Path("/proc/self/fd").iterdir()])


def children() -> set[str]:
    """Processes that this one has started and not waited for."""
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


def test_no_process_is_left_behind():
    before = files_open(), children()
    source("def class_scores(scores, labels): return 1")
    assert (files_open(), children()) == before
