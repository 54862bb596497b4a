"""docs/claims.md: every conclusion names a cell that exists and computes something."""

import re

import pytest
from address import ROOT
from lessons import read_lesson

PAGE = ROOT / "docs" / "claims.md"
LINK = r"\[(?:\d\d)\]\(\.\./notebooks/([\w/]+)\.ipynb\)([^\[]*)"
ROWS = [
    line.strip("| ").split(" | ")
    for line in PAGE.read_text(encoding="utf-8").splitlines()
    if re.match(r"\| [^-]", line)
][1:]
CELLS = [
    (lesson, cell)
    for row in ROWS
    for lesson, named in re.findall(LINK, row[1])
    for cell in re.findall(r"`([\w-]+)`", named)
]


def test_every_row_says_where_on_what_and_what_would_refute_it():
    assert [row for row in ROWS if len(row) != 4 or not all(row)] == []
    assert [row[0] for row in ROWS if not re.search(LINK, row[1])] == []


@pytest.mark.parametrize(("lesson", "cell"), CELLS)
def test_the_cell_that_measures_it_exists(lesson, cell):
    cells = {c.id: c for c in read_lesson(ROOT / "notebooks" / f"{lesson}.ipynb").cells}
    assert cell in cells, f"{lesson} has no cell `{cell}`"
    assert cells[cell].get("outputs"), f"{lesson}: `{cell}` measures nothing"
