"""The base of the exercise checks: passed, not right yet, not tried yet, and why."""

import numpy as np
import pytest
import torch

from course_utils.checks.base import (
    NOT_TRIED,
    PASSED,
    WRONG,
    NotTried,
    Verdict,
    Wrong,
    call,
    check_tensor,
    compare,
    exercise,
)


@exercise("Exercise 1")
def double(answer):
    """The answer doubles a tensor."""
    x = torch.tensor([1.0, 2.0])
    result = check_tensor(call(answer, x), (2,))
    mistakes = {"That is the half.": x / 2, "That is the square.": x**2}
    compare(result, 2 * x, mistakes, otherwise="Every number wants to be doubled.")
    return "Twice as good."


def test_right_answer():
    verdict = double(lambda x: x + x)
    assert repr(verdict) == "✔ Exercise 1: passed. Twice as good."
    assert verdict
    assert verdict.state == PASSED


def not_written(x):
    raise NotImplementedError


@pytest.mark.parametrize("answer", [lambda x: None, lambda x: ..., not_written])
def test_stub_is_not_tried_yet(answer):
    verdict = double(answer)
    assert verdict.state == NOT_TRIED
    assert repr(verdict).startswith(
        "… Exercise 1: not tried yet. Your function returns nothing"
    )
    assert not verdict


def stops(x):
    return x.no_such_thing  # here


def stops_in_torch(x):
    return torch.ones(3) @ x


def stops_silently(x):
    raise ValueError


WRONG_ANSWERS = {
    "a known mistake": (lambda x: x / 2, "That is the half."),
    "another known mistake": (lambda x: x * x, "That is the square."),
    "an unknown mistake": (lambda x: -x, "Every number wants to be doubled."),
    "no function": (torch.ones(2), "The check wants your function itself"),
    "no tensor": (lambda x: [2.0, 4.0], "A tensor is wanted; yours is a list."),
    "an array": (lambda x: np.ones(2), "A tensor is wanted; yours is a ndarray."),
    "another shape": (lambda x: x[None], r"The shape should be \(2,\); yours is \(1, 2\)"),
    "NaN": (lambda x: x / 0 * 0, "Your tensor holds NaN or infinite values."),
    "an error": (
        stops,
        "stopped at `return x.no_such_thing  # here` with AttributeError: ",
    ),
    "torch's error": (
        stops_in_torch,
        r"stopped at `return torch.ones\(3\) @ x` with Runtime",
    ),
    "silent error": (
        stops_silently,
        "stopped at `raise ValueError` with ValueError: no mess",
    ),
    "other arguments": (lambda: 1, "stopped.* with TypeError: .*0 positional arguments"),
}


@pytest.mark.parametrize("kind", WRONG_ANSWERS)
def test_wrong_answer_gets_the_sentence_that_helps(kind):
    answer, sentence = WRONG_ANSWERS[kind]
    verdict = double(answer)
    assert verdict.state == WRONG
    assert repr(verdict).startswith("✘ Exercise 1: not right yet. ")
    with pytest.raises(Wrong, match=sentence):
        raise Wrong(verdict.message)


def test_answers_may_lie_within_rounding_and_may_need_gradients():
    assert double(lambda x: (2 * x * (1 + 1e-6)).requires_grad_())
    assert double(lambda x: (2 * x).double())


def test_an_answer_that_spoils_its_input_spoils_a_copy():
    given = torch.ones(2)
    call(lambda x: x.zero_(), given)
    assert torch.equal(given, torch.ones(2))


def test_an_interrupt_is_not_a_wrong_answer():
    def endless(x):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        double(endless)


def test_a_check_keeps_its_name_and_text():
    assert double.__name__ == "double"
    assert double.__doc__ == "The answer doubles a tensor."


def test_call_hands_on_what_the_answer_gives():
    assert call(lambda a, b: (b, a), 1, "x") == ("x", 1)
    with pytest.raises(NotTried):
        call(lambda: None)


def test_compare_knows_zero_from_small():
    zeros = torch.zeros(3)
    compare(zeros, zeros, {}, "no")
    with pytest.raises(Wrong, match="^no$"):
        compare(zeros + 0.01, zeros, {}, "no")
    with pytest.raises(Wrong, match="^no$"):
        compare(1e-6 * torch.ones(3), 1e-5 * torch.ones(3), {}, "no")
    with pytest.raises(Wrong, match="^no$"):
        compare(torch.zeros(2), zeros, {}, "no")


def test_verdicts_compare():
    assert Verdict("a", PASSED, "b") == Verdict("a", PASSED, "b")
    assert Verdict("a", PASSED, "b") != Verdict("a", WRONG, "b")
