"""Whatever the answer is: every check gives a sentence, in time, and tidies up."""

import asyncio
import builtins
import inspect
import itertools
import os
import random
import signal
import sys
import threading
import time
import warnings
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from exercises import all_exercises, as_tuple, judge

from course_utils.checks import base
from course_utils.checks.base import NOT_TRIED, PASSED, WRONG, Verdict

EXERCISES = all_exercises()
sys.path.insert(0, str(Path(__file__).parent))
LESSONS = [
    import_module(path.stem)
    for path in sorted(Path(__file__).parent.glob("test_*"))
    if path.stem not in (Path(__file__).stem, "test_base")
]
RIGHT = {
    check: answer
    for lesson in LESSONS
    for check, answer in getattr(lesson, "RIGHT", {}).items()
}


def functions(check) -> int:
    """How many functions a check takes."""
    return len(inspect.signature(check).parameters)


# -- broken answers --------------------------------------------------------------------


class Hostile:
    """Raises whatever one asks of it."""

    def refuse(self, *_):
        raise RuntimeError("no")

    __repr__ = __str__ = __eq__ = __bool__ = __len__ = __iter__ = __float__ = refuse
    __int__ = __index__ = __array__ = __getitem__ = __contains__ = refuse
    __hash__ = None
    shape = ndim = dtype = values = statistic = property(refuse)


class Closed:
    """Has no attributes, not even a class."""

    def __getattribute__(self, name):
        raise ValueError(name)


class SilentError(Exception):
    """An error that cannot say what it is."""

    def __str__(self):
        raise ValueError


class Endless:
    """Gives values for ever."""

    def __iter__(self):
        return itertools.count()


class Stuck:
    """Any question goes on for ever."""

    def wait(self, *_):
        while True:
            pass

    __repr__ = __eq__ = __bool__ = __len__ = __iter__ = __float__ = __array__ = wait
    __hash__ = None


def raising(error):
    def answer(*_):
        raise error

    return answer


def generator(*_):
    n = 0
    while True:
        yield (n := n + 1)


async def coroutine(*_):
    return 1


def recursion(*arguments):
    return recursion(*arguments)


def warns(*_):
    for n in range(2000):
        warnings.warn(f"warning {n}", stacklevel=1)
        print("a line that nobody needs", n)
    return 0


BROKEN = {
    "a string": lambda *_: "abc",
    "a list of strings": lambda *_: ["a", "b"],
    "a dict": lambda *_: {"a": 1},
    "a set": lambda *_: {1, 2},
    "nested lists": lambda *_: [[1, [2]], 3],
    "infinity": lambda *_: float("inf"),
    "NaN": lambda *_: float("nan"),
    "True": lambda *_: True,
    "a huge number": lambda *_: 10**400,
    "a complex number": lambda *_: 1j,
    "an object": lambda *_: object(),
    "a hostile object": lambda *_: Hostile(),
    "a list of hostile objects": lambda *_: [Hostile()] * 3,
    "an object without attributes": lambda *_: Closed(),
    "an array of objects": lambda *_: np.array([None, "a"], dtype=object),
    "an array of texts": lambda *_: np.array(["a", "b"]),
    "a tensor of no values": lambda *_: torch.zeros(0),
    "a tensor on no device": lambda *_: torch.zeros(3, 8, 8, device="meta"),
    "a complex tensor": lambda *_: torch.zeros(8, 8, dtype=torch.complex64),
    "a sparse tensor": lambda *_: torch.eye(8).to_sparse(),
    "its arguments": lambda *arguments: arguments,
    "a function": lambda *_: print,
    "a class": lambda *_: int,
    "a module": lambda *_: torch,
    "an endless generator": generator,
    "an endless iterator": lambda *_: itertools.count(),
    "an endless collection": lambda *_: Endless(),
    "a coroutine": coroutine,
    "a future": lambda *_: asyncio.sleep(0),
    "recursion": recursion,
    "other arguments": lambda: 1,
    "wrong keywords": lambda *, a: 1,
    "masses of words": warns,
    **{
        f"raises {kind.__name__}": raising(kind)
        for kind in (
            SystemExit,
            KeyboardInterrupt,
            GeneratorExit,
            MemoryError,
            StopIteration,
            StopAsyncIteration,
            asyncio.CancelledError,
            AssertionError,
            RecursionError,
            SilentError,
            BaseException,
            NotImplementedError,
            Warning,
            UnicodeError,
        )
    },
    "raises a group": raising(ExceptionGroup("two", [ValueError("a"), TypeError("b")])),
}
NO_FUNCTIONS = [
    None,
    ...,
    "abc",
    3,
    [1],
    {},
    Hostile(),
    Closed(),
    dict,
    Hostile,
    torch,
    torch.zeros(3),
    torch.nn.ReLU(),
    generator(),
]


def verdict_of(check, answers) -> Verdict:
    begin = time.monotonic()
    verdict = check(*answers)
    assert time.monotonic() - begin < 5 * check.patience
    assert type(verdict) is Verdict
    assert 10 < len(verdict.message) < 700, verdict
    assert "\n" not in repr(verdict)
    assert "course_utils" not in verdict.message
    return verdict


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_answer_gets_a_sentence(kind, capsys):
    for check in EXERCISES.values():
        verdict = verdict_of(check, [BROKEN[kind]] * functions(check))
        assert verdict.state in (WRONG, NOT_TRIED), verdict
    assert len("".join(capsys.readouterr())) < len(EXERCISES) * 2200


@pytest.mark.slow
def test_what_is_no_function_gets_a_sentence():
    for check in EXERCISES.values():
        for answer in NO_FUNCTIONS:
            assert not verdict_of(check, [answer] * functions(check))


def test_another_number_of_functions_is_said():
    for check in EXERCISES.values():
        assert "Pass to the check: " in verdict_of(check, []).message
        many = [len] * (functions(check) + 1)
        assert "Pass to the check: " in verdict_of(check, many).message


# -- answers that do not end -----------------------------------------------------------


def loops(*_):
    while True:
        pass


def catches(*_):
    while True:
        try:
            raise ValueError
        except Exception:
            time.sleep(0.001)


def catches_all(*_):
    while True:
        try:
            time.sleep(10)
        except:  # noqa: E722 - as learners write
            time.sleep(0.001)


def catches_twice(*_):
    while True:
        try:
            try:
                threading.Event().wait(10)
            except:  # noqa: E722
                time.sleep(0.001)
        except:  # noqa: E722
            time.sleep(0.001)


def clings(*_):
    while True:
        try:
            loops()
        finally:
            continue  # noqa: B012


def sleeps(*_):
    time.sleep(60)


def prints(*_):
    while True:
        print("again and again")


ENDLESS = {
    "a loop": loops,
    "that catches errors": catches,
    "that catches everything": catches_all,
    "that catches everything twice": catches_twice,
    "with finally": clings,
    "a sleep": sleeps,
    "that prints": prints,
    "an object that is stuck": lambda *_: Stuck(),
}


LONG = (
    "that catches everything",
    "that catches everything twice",
    "with finally",
    "that prints",
)


@pytest.mark.parametrize(
    "kind", [pytest.param(k, marks=[pytest.mark.slow] * (k in LONG)) for k in ENDLESS]
)
def test_an_endless_answer_is_ended(kind, monkeypatch):
    monkeypatch.setattr(base, "LIMIT", 0.05)
    for check in EXERCISES.values():
        assert verdict_of(check, [ENDLESS[kind]] * functions(check)).state == WRONG


def test_the_real_limit_leaves_five_seconds(monkeypatch):
    verdict = verdict_of(EXERCISES["theory.contrast"], [catches_all])
    assert "does not come to an end within 4 seconds" in verdict.message
    assert "It was at `" in verdict.message


@pytest.mark.parametrize("kind", ["a loop", "that catches errors", "that prints"])
def test_an_endless_answer_is_ended_in_another_thread_too(kind, monkeypatch):
    monkeypatch.setattr(base, "LIMIT", 0.05)
    found = []
    check = EXERCISES["theory.contrast"]
    thread = threading.Thread(target=lambda: found.append(check(ENDLESS[kind])))
    thread.start()
    thread.join(5)
    assert "does not come to an end" in found[0].message


def test_a_debugger_and_a_timer_go_on(monkeypatch):
    monkeypatch.setattr(base, "LIMIT", 0.05)
    usual, rung = signal.getsignal(signal.SIGALRM), []

    def tracer(*_):
        return None

    def ring(*_):
        rung.append(time.monotonic())

    before, begin = sys.gettrace(), time.monotonic()
    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    try:
        sys.settrace(tracer)
        EXERCISES["theory.contrast"](catches_all)
        assert sys.gettrace() is tracer
        assert signal.getsignal(signal.SIGALRM) is ring
        sys.settrace(before)
        while not rung and time.monotonic() - begin < 3:
            time.sleep(0.01)
        assert 0.4 < rung[0] - begin < 2
    finally:
        sys.settrace(before)
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, usual)


# -- the state of the process ----------------------------------------------------------


def alarms() -> list:
    """Which Windows has not."""
    if not hasattr(signal, "SIGALRM"):
        return []
    return [signal.getsignal(signal.SIGALRM), signal.getitimer(signal.ITIMER_REAL)]


def state() -> list:
    words = [str(v) for v in (np.random.get_state(), torch.get_rng_state().sum())]
    return [
        *words,
        random.getstate(),
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.get_default_dtype(),
        torch.get_default_device(),
        torch.are_deterministic_algorithms_enabled(),
        torch.is_anomaly_enabled(),
        torch.is_autocast_enabled("cpu"),
        np.geterr(),
        warnings.filters[:],
        warnings.showwarning,
        Path.cwd(),
        sys.getrecursionlimit(),
        (sys.stdout, sys.stderr, sys.gettrace()),
        (F.relu, torch.relu, torch.Tensor.relu, torch.nn.ReLU.forward, np.abs),
        (builtins.sum, builtins.open),
        signal.getsignal(signal.SIGINT),
        *alarms(),
    ]


def worse(_=None):
    """All that an answer, or an earlier cell, can leave behind."""
    torch.set_grad_enabled(False)
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    torch.use_deterministic_algorithms(True)
    torch.autograd.set_detect_anomaly(True)
    torch.set_autocast_enabled("cpu", True)
    torch.manual_seed(1), np.random.seed(1), random.seed(1)
    np.seterr(all="raise")
    warnings.simplefilter("error")
    sys.setrecursionlimit(2000)
    os.chdir("/")
    F.relu = torch.relu = torch.Tensor.relu = torch.nn.ReLU.forward = lambda x: -x
    np.abs = builtins.sum = lambda *_: 0


def spoiling(answer):
    def answers(*arguments):
        result = answer(*arguments)
        worse()
        return result

    return answers


def no_words(check) -> str:
    return check.__name__


@pytest.mark.parametrize("check", RIGHT, ids=no_words)
def test_what_an_answer_changes_is_put_back(check):
    before = state()
    answers = [spoiling(answer) for answer in as_tuple(RIGHT[check])]
    verdict = verdict_of(check, answers)
    assert state() == before
    if verdict.state != PASSED:  # a check that wants all left intact
        assert (
            "relu replaced" in verdict.message or "leaves PyTorch's own" in verdict.message
        )


@pytest.mark.parametrize("check", RIGHT, ids=no_words)
def test_a_right_answer_passes_whatever_an_earlier_cell_has_left(check):
    with base.usual_state():  # puts everything back after the test
        worse()
        before = state()
        verdict = judge(check, RIGHT[check])
        after = state()
    assert after == before
    assert verdict.state == PASSED, verdict


def test_a_right_answer_passes_in_inference_mode():
    for check, answer in RIGHT.items():
        with torch.inference_mode():
            verdict = judge(check, answer)
            assert torch.is_inference_mode_enabled()
        assert verdict.state == PASSED, verdict


@pytest.mark.parametrize("check", RIGHT, ids=no_words)
def test_right_a_few_times_and_then_nothing_is_no_pass(check):
    for times in range(4):
        count = itertools.count()

        def answer_of(right, times=times, count=count):
            def answer(*arguments):
                return right(*arguments) if next(count) < times else None

            return answer

        verdict = verdict_of(check, [*map(answer_of, as_tuple(RIGHT[check]))])
        called_less_often = next(count) <= times
        assert called_less_often or verdict.state in (NOT_TRIED, WRONG), verdict
