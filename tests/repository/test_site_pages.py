"""Pages for the website: links lead on, predictions fold, and no lesson is left out."""

import re

import nbformat
import pytest
import yaml
from address import ROOT
from lessons import NOTEBOOKS, lesson_paths, read_lesson
from site_lessons import PREDICT, fold_predictions, prepare_lesson, quiz
from site_pages import Links, as_glossary, code_in, section

ADDRESS = "https://github.com/you/course"
LESSONS = lesson_paths()
PAGES = [*LESSONS, ROOT / "docs" / "reading.md"]


@pytest.fixture
def links():
    return Links(PAGES, ADDRESS)


def test_every_lesson_is_on_the_site():
    contents = yaml.safe_load((ROOT / "site" / "_toc.yml").read_text(encoding="utf-8"))
    listed = [page["file"] for part in contents["parts"] for page in part["chapters"]]
    lessons = [path.relative_to(ROOT).with_suffix("").as_posix() for path in LESSONS]
    assert sorted(p for p in listed if p.startswith("notebooks/")) == sorted(lessons)
    assert len(set(listed)) == len(listed)


# -- links -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "link, expected",
    [
        ("[a](06_occlusion.ipynb)", "[a](06_occlusion.ipynb)"),
        ("[a](../docs/reading.md#gradients)", "[a](../docs/reading.md#gradients)"),
        ("[a](../LICENSE)", f"[a]({ADDRESS}/blob/main/LICENSE)"),
        ("[a](../README.md#start)", f"[a]({ADDRESS}/blob/main/README.md#start)"),
        ("[a](<../course_utils>)", f"[a](<{ADDRESS}/tree/main/course_utils>)"),
        ("[a](https://x.org/y_(z).html)", "[a](https://x.org/y_(z).html)"),
        ("[a](#start) and `b[0](c.md)`", "[a](#start) and `b[0](c.md)`"),
        ("```python\nb[0](c.md)\n```", "```python\nb[0](c.md)\n```"),
    ],
)
def test_a_link_leads_to_a_page_or_to_the_repository(links, link, expected):
    assert links.follow(link, NOTEBOOKS / "00_start_here.ipynb") == expected
    assert not links.pictures


@pytest.mark.parametrize(
    "text", ["![a](../docs/suspect.jpg)", '<img width="9" src="../docs/suspect.jpg">']
)
def test_a_picture_travels_with_its_page(links, text):
    assert links.follow(text, NOTEBOOKS / "00_start_here.ipynb") == text
    assert links.pictures == {ROOT / "docs" / "suspect.jpg"}


@pytest.mark.parametrize("target", ["nowhere.md", "../../outside.md"])
def test_a_link_that_leads_to_nothing_is_refused(links, target):
    with pytest.raises(SystemExit, match=f"00_start_here.ipynb: the link '{target}'"):
        links.follow(f"[a]({target})", NOTEBOOKS / "00_start_here.ipynb")


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_every_link_of_a_lesson_leads_somewhere(links, path):
    lesson = nbformat.reads(prepare_lesson(path, links.follow), as_version=4)
    texts = " ".join(c.source for c in lesson.cells if c.cell_type == "markdown")
    found = re.findall(r"\]\(((?:\.\./)*[\w/]+\.\w+)\)", re.sub("`[^`]*`", "", texts))
    assert {(path.parent / target).resolve() for target in found} <= {*PAGES}


# -- predictions and quizzes -----------------------------------------------------------


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_no_page_gives_a_prediction_away(path):
    lesson = read_lesson(path)
    fold_predictions(lesson)
    cells = lesson.cells
    asks = [n for n, c in enumerate(cells) if c.id != "how-to" and PREDICT.search(c.source)]
    assert asks
    for ask in asks:
        tags = cells[ask + 1].metadata["tags"]
        assert "prediction" in tags
        after = next(c for c in cells[ask + 1 :] if c.cell_type == "markdown")
        assert after.source.startswith(('<details class="reading">', "#"))
    for cell in cells:
        folded = "hide-output" in cell.metadata.get("tags", [])
        assert not folded or cell.outputs


def test_a_picture_to_touch_stays_in_sight():
    lesson = read_lesson(NOTEBOOKS / "00_start_here.ipynb")
    fold_predictions(lesson)
    toy = next(cell for cell in lesson.cells if cell.id == "toy-hide-and-see")
    assert "tags" not in toy.metadata


def test_the_next_question_is_not_folded_with_the_last_answer():
    cells = [
        nbformat.v4.new_markdown_cell("**Predict, then run.** Up?"),
        nbformat.v4.new_code_cell("1"),
        nbformat.v4.new_markdown_cell("Up.\n\n> **Predict, then run.** Down?"),
    ]
    lesson = nbformat.v4.new_notebook(cells=cells)
    fold_predictions(lesson)
    said, _, asked = lesson.cells[2].source.partition("</details>")
    assert "Up." in said
    assert "Down?" not in said
    assert asked.strip() == "> **Predict, then run.** Down?"


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_each_question_has_one_right_answer(path):
    for cell in read_lesson(path).cells:
        if cell.id != "quiz":
            continue
        options = re.findall(r'class="option is-(\w+)" name="(.*?)"', quiz(cell.source))
        assert len(options) == cell.source.count("<details>")
        names = [name for _, name in options]
        right = [name for verdict, name in options if verdict == "right"]
        assert right == list(dict.fromkeys(names))


# -- texts -----------------------------------------------------------------------------


def test_the_glossary_can_be_read_as_terms():
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    terms = re.findall(r"^- \*\*(.+?)\*\*: ", text, re.MULTILINE)
    assert len(set(terms)) == len(terms) > 50
    pages = as_glossary(text)
    assert "- **" not in pages
    assert re.search(
        r"^fill\n  What is put in place of what is hidden", pages, re.MULTILINE
    )


def test_parts_of_the_readme_are_found():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "make lab" in code_in(readme)
    assert "vanilla_saliency" in section(readme, "The package")
    with pytest.raises(SystemExit, match="no heading 'Nowhere'"):
        section(readme, "Nowhere")
