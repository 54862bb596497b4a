"""Lessons that can be listened to: the tool changes what it should, once, and no more."""

import doctest

import accessible
import nbformat
import nbformat.v4 as v4
import pytest
from accessible import mend, with_headings, with_words


def test_the_examples():
    assert doctest.testmod(accessible).failed == 0


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("### Exercise 2 · Add (●●○, 8 minutes)", "medium ●●○, 8"),
        ("### Exercise 3 · Add (optional, ●●●, 9 minutes)", "(optional, hard ●●●, 9"),
        ("## Exercise 1 · Add (easy ●○○, 5 minutes)", "(easy ●○○, 5"),
        ("A sentence on ●○○ in the text", "on ●○○ in"),
    ],
)
def test_dots_have_words_once(before, after):
    once = with_words(before)
    assert after in once
    assert with_words(once) == once


def test_bold_words_that_are_no_questions_stay():
    text = "## Quiz\n\n**Note.** B.\n\n**1. One,\ntwo?**\n<details>**2. No.**</details>\n"
    once = with_headings(text)
    assert once == (
        "## Quiz\n\n**Note.** B.\n\n### 1. One, two?\n\n<details>**2. No.**</details>\n"
    )
    assert with_headings(once) == once


def test_a_lesson_is_mended_once(tmp_path):
    data = {"text/html": "<details style='color: gray; font-size: 11px'></details>"}
    output = v4.new_output("display_data", data=data)
    cells = [
        v4.new_markdown_cell("### Exercise 1 · Add (●○○, 5 minutes)"),
        v4.new_code_cell("print('**1. Same.**')", outputs=[output]),
        v4.new_markdown_cell("## Quiz\n\n**1. Why?**\n<details></details>", id="quiz"),
    ]
    path = tmp_path / "lesson.ipynb"
    path.write_text(nbformat.writes(v4.new_notebook(cells=cells)) + "\n")
    assert mend(path)
    task, code, quiz = nbformat.read(path, as_version=4).cells
    assert "(easy ●○○" in task.source
    assert code.source == "print('**1. Same.**')"
    assert "opacity: 0.75; font-size: 11px" in code.outputs[0].data["text/html"]
    assert quiz.source == "## Quiz\n\n### 1. Why?\n\n<details></details>"
    assert not mend(path)
