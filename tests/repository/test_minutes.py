"""The minutes of a lesson, counted by hand and by the tool."""

import nbformat
import nbformat.v4 as v4
from minutes import NOTEBOOKS, count, state, state_in_readme

TITLE = """# A lesson of nine words that are read here

**Time:** 99 minutes"""
TASK = "### Exercise {} · Do it ({}, {} minutes)"
LAB = """1. One?
2. Two?

<details><summary>Found</summary>

1. Not counted.
2. Neither.
</details>"""
QUIZ = """## Quiz

### 1. Why?
<details><summary>A. So</summary>Right: not read.</details>

### 2. (From lesson 01.) How?
"""


def lesson(*sources):
    """A notebook of Markdown texts; the setup cell and one with a figure come last."""
    figure = v4.new_output("display_data", data={"text/html": "<img alt='a'>"})
    cells = [v4.new_markdown_cell(source) for source in sources]
    cells += [v4.new_code_cell("import os\nimport sys", id="setup")]
    source = 'def f():\n    """Not counted."""\n\n    return 1\n\n\nf()'
    cells += [v4.new_code_cell(source, id="figure", outputs=[figure])]
    cells += [v4.new_markdown_cell(LAB, id="lab-questions")]
    return v4.new_notebook(cells=cells)


def test_by_hand():
    tasks = (
        TASK.format(n, dots, 4 + n)
        for n, dots in enumerate(("easy ●○○", "medium ●●○", "hard ●●●"), 1)
    )
    found = count(lesson(TITLE, *tasks, "**Predict:** left or right?", QUIZ))
    assert found.exercise_minutes == 5 + 6, "●●● is optional"
    assert found.code_lines == 3
    assert (found.figures, found.predictions) == (1, 1)
    assert (found.quiz_questions, found.lab_questions) == (2, 2)
    whole = found.words / 150 + 3 / 25 + 0.5 + 11 + 2 + 1.5 + 4
    assert found.minutes == round(whole)


def test_words_that_are_not_read():
    read = count(lesson("one two `code` $x y$ [three](four.md)")).words
    hidden = "<details><summary>four</summary>\n\nfive six\n</details>"
    assert count(lesson("one two three", hidden)).words == read + 1
    source = "one two\n## References\n\n- five six\n\n## Three"
    assert count(lesson(source)).words == read


def test_stated_in_the_lesson():
    one = lesson(TITLE)
    state(one)
    assert f"**Time:** {count(one).minutes} minutes" in one.cells[0].source


def test_stated_in_the_readme(tmp_path):
    page = tmp_path / "README.md"
    row = "| [00](notebooks/00_start_here.ipynb) | make a map | 99 |\n"
    page.write_text(f"Words.\n{row}| other | row | 99 |\n", encoding="utf-8")
    state_in_readme(page)
    first = nbformat.read(NOTEBOOKS / "00_start_here.ipynb", as_version=4)
    counted = count(first).minutes
    wanted = f"Words.\n{row.replace('99', str(counted))}| other | row | 99 |\n"
    assert page.read_text(encoding="utf-8") == wanted
