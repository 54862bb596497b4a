"""Tests that the checks of each lesson must pass, made for a module by `make_tests`."""

import inspect
import pkgutil
from collections.abc import Callable
from importlib import import_module

import pytest

from course_utils import checks
from course_utils.checks.base import NOT_TRIED, PASSED, WRONG, Verdict


def all_exercises() -> dict[str, Callable]:
    """The check of every exercise of the course, by module and name."""
    names = sorted(module.name for module in pkgutil.iter_modules(checks.__path__))
    modules = [import_module(f"{checks.__name__}.{name}") for name in names]
    return {
        f"{module.__name__.rpartition('.')[2]}.{name}": check
        for module in modules
        for name, check in vars(module).items()
        if hasattr(check, "exercise") and inspect.getmodule(check) is module
    }


def make_tests(right: dict[Callable, Callable], mistakes: dict[Callable, dict]) -> tuple:
    """Three tests: right answers pass, stubs are not tried yet, mistakes get a sentence.

    Args:
        right: check → the right answer, a function; a tuple where it takes several.
        mistakes: check → a part of the sentence that helps → the wrong answer.

    Returns:
        The test functions; the module that calls this gives them their names.
    """
    by_name = {"ids": lambda value: getattr(value, "__name__", value)}
    pairs = [(check, sentence) for check in mistakes for sentence in mistakes[check]]

    @pytest.mark.parametrize("exercise", right, **by_name)
    def passes(exercise):
        verdict = judge(exercise, right[exercise])
        assert verdict.state == PASSED, verdict

    @pytest.mark.parametrize("exercise", right, **by_name)
    @pytest.mark.parametrize("nothing", [None, ...])
    def is_not_tried(exercise, nothing):
        stubs = tuple((lambda *_: nothing) for _ in as_tuple(right[exercise]))
        assert judge(exercise, stubs).state == NOT_TRIED

    @pytest.mark.parametrize(("exercise", "sentence"), pairs, **by_name)
    def gets_its_sentence(exercise, sentence):
        verdict = judge(exercise, mistakes[exercise][sentence])
        assert verdict.state == WRONG, verdict
        assert sentence in verdict.message

    return passes, is_not_tried, gets_its_sentence


def make_right_tests(answers: dict[Callable, dict[str, Callable]]) -> Callable:
    """A test that each of several right answers passes: check → words → answer."""
    pairs = [(check, words) for check in answers for words in answers[check]]

    @pytest.mark.parametrize(
        ("exercise", "words"), pairs, ids=lambda value: getattr(value, "__name__", value)
    )
    def passes_too(exercise, words):
        verdict = judge(exercise, answers[exercise][words])
        assert verdict.state == PASSED, verdict

    return passes_too


def judge(exercise: Callable, answers) -> Verdict:
    """The verdict on an answer, or on a tuple of them."""
    return exercise(*as_tuple(answers))


def as_tuple(answers) -> tuple:
    """A tuple stays what it is; a single answer becomes one."""
    return answers if isinstance(answers, tuple) else (answers,)
