"""The base of the exercise checks: passed, not right yet, not tried yet, and why."""

import os
import signal
import threading
import time

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
    about,
    as_tensor,
    call,
    check_tensor,
    compare,
    each_argument,
    exercise,
    read,
)


@exercise("Exercise 1")
def double(answer):
    """The answer doubles a tensor."""
    x = torch.tensor([1.0, 2.0])
    result = check_tensor(call(answer, x), (2,))
    mistakes = {"That is the half.": x / 2, "That is the square.": x**2}
    compare(result, 2 * x, mistakes, otherwise="Double every number.")
    return "Every number is doubled."


def test_right_answer():
    verdict = double(lambda x: x + x)
    assert repr(verdict) == "✔ Exercise 1: passed. Every number is doubled."
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
    "an unknown mistake": (lambda x: -x, "Double every number."),
    "no function": (torch.ones(2), "Pass the function itself to the check, not a tensor"),
    "no tensor": (lambda x: [2.0, 4.0], r"Expected a tensor, got \[2.0"),
    "an array": (lambda x: np.ones(2), r"Expected a tensor, got an array of shape \(2,\)."),
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


@pytest.mark.parametrize("given", [torch.ones(2), np.ones(2)], ids=["tensor", "array"])
def test_an_answer_that_spoils_its_input_spoils_a_copy(given):
    call(lambda x: x.__imul__(0), given)
    assert given.tolist() == [1, 1]


def test_an_answer_can_be_required_to_leave_its_arguments_intact():
    network = torch.nn.Sequential(torch.nn.Dropout()).eval()
    assert call(lambda m, x: x.requires_grad_(), network, torch.ones(2), intact=True).sum()
    with pytest.raises(Wrong, match="changes the tensor it was given"):
        call(lambda m, x: x.zero_(), network, torch.ones(2), intact=True)
    with pytest.raises(Wrong, match="leaves the network in training mode"):
        call(lambda m: m.train(), network, intact=True)
    with pytest.raises(Wrong, match="leaves the network in evaluation mode"):
        call(lambda m: m.eval(), network.train(), intact=True)


class Pair:
    def __init__(self):
        self.parts = [torch.ones(2), [1, 2]]


def spoil(network, values, names, pair):
    network.weight.data.zero_()
    values.reverse()
    names["a"].append(2)
    pair.parts[0].zero_()
    return 1


def test_an_answer_gets_deep_copies_of_everything():
    network, values, names = torch.nn.Linear(2, 2), [1, 2], {"a": [1]}
    pair = Pair()
    call(spoil, network, values, names, pair)
    assert network.weight.abs().min() > 0
    assert (values, names, pair.parts[0].tolist()) == ([1, 2], {"a": [1]}, [1, 1])


def test_copies_keep_whether_gradients_are_wanted():
    leaf, inner = torch.ones(2, requires_grad=True), 2 * torch.ones(1, requires_grad=True)
    given = call(lambda *tensors: tensors, leaf, inner, torch.ones(1))
    assert [t.requires_grad for t in given] == [True, True, False]
    assert given[0] is not leaf


def hooked(network):
    network.register_forward_hook(print)
    return 1


def exchanged(network):
    network[0] = torch.nn.Identity()
    return 1


def not_in_place(network):
    network[0].inplace = False
    return 1


def heavier(network):
    network[1].weight.data += 1
    return 1


def replaces(network):
    torch.nn.functional.relu = torch.abs
    return 1


NOT_INTACT = {
    "leaves hooks behind": hooked,
    "replaces a module": exchanged,
    "sets inplace to False": not_in_place,
    "changes the network's weights": heavier,
    "leaves PyTorch's own relu replaced": replaces,
}


@pytest.mark.parametrize("words", NOT_INTACT)
def test_a_network_can_be_required_to_stay_as_it_is(words):
    network = torch.nn.Sequential(torch.nn.ReLU(inplace=True), torch.nn.Linear(2, 2))
    assert call(NOT_INTACT[words], network) == 1
    with pytest.raises(Wrong, match=words):
        call(NOT_INTACT[words], network, intact=True)
    assert not network._forward_hooks
    assert torch.nn.functional.relu is not torch.abs


@pytest.mark.parametrize(
    "given", [[1, 2], {1: 2}, np.ones(2)], ids=["list", "dict", "array"]
)
def test_lists_and_arrays_can_be_required_to_stay_as_they_are(given):
    def changes(values):
        values[1] = 5
        return 1

    assert call(changes, given) == 1
    with pytest.raises(Wrong, match="Your function changes the"):
        call(changes, given, intact=True)


def test_a_check_can_look_at_what_the_answer_has_done():
    seen = []
    call(lambda values: values.append(3) or 1, [1], after=seen.append)
    assert seen == [[1, 3]]


def test_an_iterator_comes_back_as_a_list_of_bounded_length():
    assert call(lambda: iter([1, 2])) == [1, 2]
    with pytest.raises(Wrong, match="gives more than 10,000 values"):
        call(lambda: iter(int, 1))


def test_read_is_bounded_too():
    class Endless:
        def __iter__(self):
            return iter(int, 1)

    with pytest.raises(Wrong, match="more than 10,000"):
        read(Endless(), list, "a list")
    assert read(range(3), list, "a list") == [0, 1, 2]


def test_lists_and_arrays_are_read_as_tensors_where_a_check_wants_that():
    for values in ([1, 2.5], (1, 2.5), np.array([1, 2.5]), [torch.tensor(1), 2.5]):
        assert as_tensor(values).tolist() == [1, 2.5]
    assert as_tensor([torch.ones(2), torch.zeros(2)]).tolist() == [[1, 1], [0, 0]]
    for other in (3.0, "abc", None, [1, "a"], {}, torch.ones(2, 2).max(dim=1)):
        assert as_tensor(other) is other


@exercise("Exercise 2")
def power(answer):
    """The answer raises a tensor to a power."""
    for x, n in ((torch.tensor([1.0, 3.0]), 2), (torch.tensor([2.0, 5.0]), 3)):
        with each_argument(answer, {"x": x, "n": n}, n=4, x=x + 1):
            compare(call(answer, x, n), x**n, {"A product.": n * x}, "Not the power.")
    return "Powers."


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (
            lambda x, n: x**2,
            "`n` makes no difference to your result, which is the same for "
            "3 and for 4: use it.",
        ),
        (
            lambda x, n: torch.tensor([1.0, 3.0]) ** n,
            "`x` makes no difference to your "
            "result, which is the same with another one: use it.",
        ),
        (lambda x, n: n * x, "A product."),
        (lambda x, n: x + n, "Not the power."),
        (lambda x, n: x**n if n == 2 else x[5], "index 5 is out of bounds"),
    ],
)
def test_an_argument_that_is_not_used_is_named(answer, sentence):
    verdict = power(answer)
    assert verdict.state == WRONG
    assert sentence in verdict.message
    assert power(lambda x, n: x**n)


def test_a_known_wrong_shape_gets_its_own_sentence():
    with pytest.raises(Wrong, match="^Transpose it.$"):
        check_tensor(torch.ones(3, 2), (2, 3), {(3, 2): "Transpose it."})
    assert check_tensor(torch.ones(2, 2), (2, 2), {(2, 2): "no"}).sum() == 4


def test_read_converts_or_says_what_was_expected():
    assert read(torch.ones(1, requires_grad=True), float, "one number") == 1.0
    for result in ("abc", [1.0], torch.ones(2), {}):
        with pytest.raises(Wrong, match="^Expected one number, got "):
            read(result, float, "one number")


def test_a_hint_begins_with_the_case_it_is_about():
    with pytest.raises(Wrong, match="^size 10: a window is missing.$"), about("size 10"):
        raise Wrong("A window is missing.")


def loops(x):
    while True:
        x = x + 1


def swallows(x):
    while True:
        try:  # noqa: SIM105
            time.sleep(0.3)
        except:  # noqa: E722 - as learners write
            pass


@pytest.fixture
def ctrl_c_counts():
    """The usual handler, also where the tests run in the background of a shell."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.linux
@pytest.mark.parametrize("endless", [loops, swallows])
def test_an_interrupt_comes_through(endless, ctrl_c_counts):
    press = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    begin = time.monotonic()
    press.start()
    with pytest.raises(KeyboardInterrupt):
        double(endless)
    press.join()
    assert time.monotonic() - begin < 2
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


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


@pytest.mark.parametrize(
    ("right", "mistake", "other"),
    [
        ([1, 2], [2, 1], [0]),
        ({(0, 1)}, {(1, 0)}, set()),
        (0.5, -0.5, 0.25),
        ((1,), (2,), 3),
    ],
    ids=["list", "set", "number", "tuple"],
)
def test_compare_takes_numbers_and_collections_too(right, mistake, other):
    compare(right, right, {"swapped": mistake}, "no")
    with pytest.raises(Wrong, match="^swapped$"):
        compare(mistake, right, {"swapped": mistake}, "no")
    with pytest.raises(Wrong, match="^no$"):
        compare(other, right, {"swapped": mistake}, "no")


def test_compare_can_be_more_lenient():
    compare(1.02 * torch.ones(2), torch.ones(2), {}, "no", within=0.03)
    with pytest.raises(Wrong, match="^no$"):
        compare(1.02 * torch.ones(2), torch.ones(2), {}, "no")


def test_verdicts_compare():
    assert Verdict("a", PASSED, "b") == Verdict("a", PASSED, "b")
    assert Verdict("a", PASSED, "b") != Verdict("a", WRONG, "b")
