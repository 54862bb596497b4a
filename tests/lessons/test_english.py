"""The lessons' English: no phrase that a native speaker would not write."""

import re

import pytest
from lessons import lesson_paths, read_lesson
from minutes import without_code

# Patterns, and what to write instead.
PHRASES = {
    r"\bby much\b": "a lot",
    r"\banew\b": "again",
    r"\b(too|very|as|times as|how) dear\b|\bdear to\b": "expensive",
    r"\bhangs? on\b": "depends on",
    r"\bin earnest\b": "in practice",
    r"\bone a (picture|photograph|class|row)\b": "one per picture",
    r"\b[Ff]rom \d[\d.]* %? ?on\b": "from … upwards",
    r"\bAll is there\b": "Everything is installed",
    r"\bwants? to be (taught|read|seen)\b": "is best taught",
    r"\b(minds|minding) (the|only|its|which)\b": "responds to",
    r"\bof its own accord\b": "by itself",
    r"\b(is|are) wanted\b": "expected",
    r"\bof another make\b": "independent",
    r"\bsets? off from\b": "gets started from",
    r"\bHow far (falls|rises|goes)\b|\bhow far (falls|rises)\b": "how far does … fall",
    r"\b[Tt]old (by|from) the\b": "shown by",
    r"\bin silence\b": "silently",
    r"\bwhat the (score|network|map) does when\b": "how … changes when",
    r"\b(thereby|therein|thereof|whereby|hitherto|heretofore|lest|whilst)\b": "plain words",
    r"\b(amazing|stunning|powerful|magical|exciting)\b": "no hype",
    r"\b(simply|obviously|of course|clearly,)": "leave it out",
    r"\bcolor(s|ed|ing)?\b|\bgray\b|\bvisualiz(?!e_class|ation)": "British spelling",
}
FIRST_EDITION: set[str] = set()
NAMES = [p.stem for p in lesson_paths() if p.name[:2] not in FIRST_EDITION]


def prose_of(name: str) -> list[tuple[str, str]]:
    path = next(path for path in lesson_paths() if path.stem == name)
    cells = read_lesson(path).cells
    return [(c.id, c.source) for c in cells if c.cell_type == "markdown"]


@pytest.mark.parametrize("name", NAMES)
def test_reads_like_english(name):
    found = []
    for cell, text in prose_of(name):
        text = re.sub(r"\]\([^)]*\)|\*[^*\n]{15,}\*", "]", without_code(text))
        for pattern, better in PHRASES.items():
            found += [(cell, m[0], better) for m in re.finditer(pattern, text)]
    assert not found, "\n".join(f"{c}: “{was}” → {better}" for c, was, better in found)


def test_the_lint_knows_the_phrases_that_were_found():
    for said in ("would change it by much", "too dear", "hangs on the scene", "In earnest"):
        assert any(re.search(pattern, said, re.I) for pattern in PHRASES), said
