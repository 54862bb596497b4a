"""The claim checks of all lessons: every test runs, and one could refute the claim."""

import importlib
import pkgutil

import pytest

import course_utils.checks
from course_utils.checks.base import NOT_TRIED, PASSED, WRONG
from course_utils.checks.claims import Claim, Test

MODULES = [module.name for module in pkgutil.iter_modules(course_utils.checks.__path__)]
CLAIMS = {
    name: module.claim
    for name in MODULES
    if hasattr(module := importlib.import_module(f"course_utils.checks.{name}"), "claim")
}


@pytest.fixture
def claim() -> Claim:
    useless = Test(lambda: "0.9 of 1.", "It would be so in any case.")
    return Claim("It is so.", {"A": useless, "B": Test(lambda: "0.", "It is not.", True)})


@pytest.mark.parametrize("choice", [..., None, "", "..."])
def test_nothing_chosen(claim, choice):
    assert claim(choice).state == NOT_TRIED


@pytest.mark.parametrize("choice", ["b", "B", " B. "])
def test_the_right_one_runs(claim, choice):
    verdict = claim(choice)
    assert (verdict.state, verdict.message) == (PASSED, "B came out so: 0. It is not.")


def test_another_one_runs_too_and_is_worth_nothing(claim):
    assert claim("a").state == WRONG
    assert claim("a").message == "A came out so: 0.9 of 1. It would be so in any case."


@pytest.mark.parametrize("choice", ["E", "AB", 2, ["B"], 1.5])
def test_what_is_no_choice(claim, choice):
    verdict = claim(choice)
    assert verdict.state == WRONG
    assert verdict.message.startswith("Choose one of A, B, got ")


@pytest.mark.parametrize("name", CLAIMS)
def test_claims_of_the_lessons(name):
    claim = CLAIMS[name]
    assert [*claim.tests] == [*"ABCD"]
    assert claim.sentence.endswith((".", "!", "?"))
    assert sum(test.could_refute for test in claim.tests.values()) == 1
    said = {letter: claim(letter) for letter in claim.tests}
    assert len({verdict.message for verdict in said.values()}) == 4
    for letter, test in claim.tests.items():
        assert bool(said[letter]) == test.could_refute
        assert any(digit.isdigit() for digit in test.run()), "numbers, please"
