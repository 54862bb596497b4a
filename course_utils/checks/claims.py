"""Claim checks: a colleague's sentence, and the learner runs the test that could refute it.

Each lesson's checks hold one `Claim`. Its tests are small experiments of the lesson's own
kind, which really run. Those that would come out as they do whether the sentence is true or
not are worth nothing as evidence, and the verdict says why.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .base import NOT_TRIED, PASSED, WRONG, Verdict


@dataclass(frozen=True)
class Test:
    """One way of testing a claim.

    `run` does the experiment and returns what came out, one sentence with its numbers.
    `why` says what the outcome is worth. `could_refute`: whether it would have come out
    otherwise if the claim were true.
    """

    __test__ = False  # pytest does not collect it

    run: Callable[[], str]
    why: str
    could_refute: bool = False


@dataclass(frozen=True)
class Claim:
    """A colleague's `sentence`, and the `tests` by their letters.

    Example:
        >>> claim = Claim("The map is on the dog, so the network looks at it.", tests)
        >>> claim("B")
        ✔ Claim check: passed. B came out so: … That refutes it: …
    """

    sentence: str
    tests: Mapping[str, Test]

    def __call__(self, choice: str) -> Verdict:
        """Run the chosen test, and say what it is worth."""
        letters = list(self.tests)
        if isinstance(choice, str):
            choice = choice.strip()
        if choice is ... or choice in (None, "", "...", "…", "?"):
            words = f"Choose one of {', '.join(letters)}, and run the cell."
            return Verdict("Claim check", NOT_TRIED, words)
        letter = choice.rstrip(".").upper() if isinstance(choice, str) else choice
        if letter not in letters:
            words = f"Choose one of {', '.join(letters)}, got {choice!r}."
            return Verdict("Claim check", WRONG, words)
        test = self.tests[letter]
        found = f"{letter} came out so: {test.run()} {test.why}"
        return Verdict("Claim check", PASSED if test.could_refute else WRONG, found)
