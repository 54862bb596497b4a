"""Every lesson is complete, clean, and reads well wherever it is opened.

What its cells print is compared by nbval, its exercises are tried in test_solutions.py;
here is what can be seen in the file. A failure's message says what to do.
"""

import ast
import base64
import html
import re
from functools import cached_property
from pathlib import Path
from urllib.parse import unquote

import nbformat
import pytest
from address import ROOT, colab_badge, read_address
from lessons import FOLDED, WIDGET, is_named, lesson_paths, read_lesson, setup_cell
from minutes import NOTEBOOKS, TIME, code_lines, count, without_code

# Lessons that are still in the first edition's form.
FIRST_EDITION: set[str] = set()
CODE_LINES, CODE_WIDTH = 15, 88
WORDS = range(1300, 1801)
MINUTES = 45
SIZE = 1_000_000  # bytes of a notebook
DIFFICULTY = "●○○|●●○|●●●"

# What a lesson must hold, and how to recognise it in its Markdown.
PARTS = {
    "objectives": r"^## What you will be able to do$",
    "the time it takes": r"\bTime\b.*?\d+ min",
    "what to know before": r"\bBefore\b|\bPrerequisites\b",
    "pitfalls": r"^#+ .*\bPitfalls",
    "a summary": r"^#+ .*\bSummary",
    "a quiz": r"^## Quiz$",
    "references": r"^#+ .*\bReferences",
    "the next lesson": r"\bNext\b",
}


def picture_of(data: dict) -> str:
    """The picture of an output, encoded, or ""."""
    found = re.search(r"base64,([^\"]+)", data.get("text/html", ""))
    return found[1] if found else data.get("image/png", "")


class Lesson:
    """A notebook, and what the tests ask of it."""

    def __init__(self, path: Path):
        self.path = path
        self.text = path.read_text(encoding="utf-8")
        self.notebook = read_lesson(path)
        self.cells = self.notebook.cells
        self.code = [c for c in self.cells if c.cell_type == "code"]
        self.prose = [c.source for c in self.cells if c.cell_type == "markdown"]

    @cached_property
    def by_id(self) -> dict:
        return {cell.id: cell for cell in self.cells}

    @cached_property
    def markdown(self) -> str:
        return "\n\n".join(self.prose)

    @property
    def outputs(self) -> list[tuple[str, nbformat.NotebookNode]]:
        return [(cell.id, output) for cell in self.code for output in cell.outputs]

    @property
    def pictures(self) -> list[tuple[str, nbformat.NotebookNode]]:
        """Figures, which are HTML with a picture in it, and the stills of labs."""
        return [(i, o) for i, o in self.outputs if picture_of(o.get("data", {}))]

    @property
    def exercises(self) -> list[str]:
        return [cell.id for cell in self.code if re.fullmatch(r"exercise-\d+", cell.id)]

    def section(self, heading: str) -> str:
        """The Markdown from a heading to the next one of its level, or ""."""
        pattern = rf"^(#+) [^\n]*\b{heading}\b.*?(?=^\1 |\Z)"
        match = re.search(pattern, self.markdown, re.MULTILINE | re.DOTALL)
        return match[0] if match else ""


LESSONS = {path.stem: Lesson(path) for path in lesson_paths()}
DEEPER = [name for name, one in LESSONS.items() if one.path.parent != NOTEBOOKS]
FULL = [n for n in LESSONS if n not in DEEPER and not n.startswith("00")]
SECOND = [name for name in FULL if name[:2] not in FIRST_EDITION]


@pytest.fixture(params=LESSONS)
def lesson(request) -> Lesson:
    """Each notebook of the course."""
    return LESSONS[request.param]


@pytest.fixture(params=FULL)
def full_lesson(request) -> Lesson:
    """Each notebook that has the anatomy of a lesson: the main path but 00."""
    return LESSONS[request.param]


@pytest.fixture(params=SECOND)
def short_lesson(request) -> Lesson:
    """Each of them that has been rewritten for the second edition."""
    return LESSONS[request.param]


@pytest.fixture(params=[*FULL, *DEEPER])
def any_lesson(request) -> Lesson:
    """Each notebook with exercises, on the main path or not."""
    return LESSONS[request.param]


# -- the file --------------------------------------------------------------------------


def test_saved_by_make_lessons(lesson):
    nbformat.validate(lesson.notebook)
    number = lesson.path.name[:2]
    message = f"not as `make lessons ONLY={number}` saves it"
    assert nbformat.writes(lesson.notebook) + "\n" == lesson.text, message
    assert lesson.notebook.metadata.kernelspec.name == "python3"
    assert lesson.notebook.metadata.keys() == {"kernelspec", "language_info"}, message
    others = [cell for cell in lesson.cells if cell.id != "setup"]
    extra = [c.id for c in others if c.metadata.keys() - {"tags"}]
    assert extra == [], message


def test_cells_have_names_that_say_something(lesson):
    ids = [cell.id for cell in lesson.cells]
    assert [cell.id for cell in lesson.cells if not is_named(cell)] == []
    assert len(set(ids)) == len(ids), "each cell needs an id of its own"


def test_run_from_top_to_bottom(lesson):
    counts = [cell.execution_count for cell in lesson.code]
    assert counts == [*range(1, len(counts) + 1)], "run it whole: make lessons"


def test_setup_cell_comes_first(lesson):
    assert lesson.code[0].id == "setup"
    assert lesson.code[0].source == setup_cell(), "make lessons writes the setup cell"
    assert lesson.code[0].metadata == FOLDED, "make lessons folds the setup cell"
    assert lesson.code[0].source.startswith("# @title "), "what Colab shows of it"
    assert lesson.code[0].outputs == []


def test_title_and_colab_badge(lesson):
    first, name = lesson.prose[0], lesson.path.relative_to(NOTEBOOKS).as_posix()
    badge = colab_badge(name, read_address())
    assert lesson.cells[0].cell_type == "markdown"
    assert re.match(r"# \S", first), "the first cell starts with the title"
    assert badge in first, "make lessons RUN=no"
    titles = re.findall(r"^# .*", without_code(lesson.markdown), re.MULTILINE)
    assert len(titles) == 1, f"one title a lesson, the rest are ## or deeper: {titles}"


# -- code ------------------------------------------------------------------------------


def test_code_is_plain_python(lesson):
    for cell in lesson.code:
        try:
            ast.parse(cell.source)
        except SyntaxError as error:
            pytest.fail(f"`{cell.id}`: no magics and no broken code; {error}")
        assert cell.source, f"`{cell.id}` is empty"
        message = f"`{cell.id}` ends in a semicolon, which hides nothing from the tests"
        assert not cell.source.rstrip().endswith(";"), message


def test_code_is_short_and_narrow(lesson):
    code = [cell for cell in lesson.code if cell.id != "setup"]
    long = {c.id: n for c in code if (n := code_lines(c.source)) > CODE_LINES}
    assert long == {}, f"more than {CODE_LINES} lines: split the cell or move code out"
    lines = [(cell.id, line) for cell in lesson.code for line in cell.source.splitlines()]
    wide = [(name, line) for name, line in lines if len(line) > CODE_WIDTH]
    assert wide == [], f"more than {CODE_WIDTH} columns"


# -- outputs ---------------------------------------------------------------------------


def test_no_errors_and_no_warnings(lesson):
    errors = [name for name, output in lesson.outputs if output.output_type == "error"]
    assert errors == []
    stderr = [name for name, output in lesson.outputs if output.get("name") == "stderr"]
    assert stderr == [], "warnings and progress bars do not belong in a saved lesson"


def test_outputs_repeat(lesson):
    for name, output in lesson.outputs:
        texts = [output.get("text", ""), *output.get("data", {}).values()]
        text = " ".join(str(text) for text in texts if len(text) < 10_000)
        address = re.search(r"\bat 0x[0-9a-f]+|/ipykernel_\d+", text)
        assert not address, f"`{name}` prints {address[0]!r}, which no run repeats"
        message = f"`{name}` saved a live widget: run make lessons"
        assert WIDGET not in output.get("data", {}), message


def alt_of(output) -> str:
    found = re.search(r'<img alt="([^"]*)"', output.data.get("text/html", ""))
    alt = output.get("metadata", {}).get("image/png", {}).get("alt", "")
    return html.unescape(found[1]) if found else alt


def test_pictures_have_words(lesson):
    for name, output in lesson.pictures:
        text = output.data.get("text/plain", "")
        message = f"`{name}`: show pictures by figures.show(figure), which describes them"
        assert len(alt_of(output)) > 20, message
        assert not text.startswith("<"), message
        assert text, message


def test_figures_have_a_sentence_for_people(lesson):
    for name, output in lesson.pictures:
        if "text/html" not in output.data:
            continue  # the still of a lab
        alt = alt_of(output)
        assert len(alt) <= 250, f"`{name}`: {alt}"
        assert not re.search(r"layout \d|\d panels?: ", alt), f"`{name}`: {alt}"


def test_each_picture_is_there_once(lesson):
    pictures = [picture_of(output.data) for _, output in lesson.pictures]
    for picture in pictures:
        assert lesson.text.count(picture.split("\n")[0][:2000]) == 1


def test_notebooks_are_small(lesson):
    sizes = {}
    for name, output in lesson.pictures:
        size = len(base64.b64decode(picture_of(output.data))) // 1000
        sizes[name] = sizes.get(name, 0) + size
    message = f"smaller or fewer figures (in kB): {sizes}"
    assert lesson.path.stat().st_size < SIZE, message


# -- links -----------------------------------------------------------------------------


def links(markdown: str) -> list[str]:
    """Where a Markdown text leads to, pictures among it."""
    found = re.findall(r"\]\(<?([^)\s>]+)|(?:href|src)=\"([^\"]+)", without_code(markdown))
    return [unquote(one or other) for one, other in found]


def anchors(path: Path) -> set[str]:
    """The names of a file's headings: JupyterLab's in a notebook, else GitHub's."""
    notebook = path.suffix == ".ipynb"
    text = Lesson(path).markdown if notebook else path.read_text(encoding="utf-8")
    headings = re.findall(r"^#+ +(.+?) *$", without_code(text), re.MULTILINE)
    if notebook:
        return {heading.replace(" ", "-") for heading in headings}
    return {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}


def broken_links(markdown: str, source: Path) -> list[str]:
    broken = []
    for link in links(markdown):
        if re.match(r"[a-z]+:", link):  # to another site
            continue
        name, _, anchor = link.partition("#")
        target = (source.parent / name).resolve() if name else source
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    return broken


def test_links_lead_somewhere(lesson):
    assert broken_links(lesson.markdown, lesson.path) == []


PAGES = ["README.md", "CONTRIBUTING.md", "data/CREDITS.md", "benchmarks/README.md"]
for folder in ("docs", "teacher"):
    PAGES += [f"{p.relative_to(ROOT)}" for p in sorted((ROOT / folder).rglob("*.md"))]


@pytest.mark.parametrize("name", PAGES)
def test_links_of_other_pages_lead_somewhere(name):
    path = ROOT / name
    assert broken_links(path.read_text(encoding="utf-8"), path) == []


def test_markdown_pictures_have_words(lesson):
    prose = without_code(lesson.markdown)
    assert re.findall(r"!\[\s*\]\([^)]*\)", prose) == [], "describe these pictures"
    tags = re.findall(r"<img\b[^>]*>", prose)
    assert [tag for tag in tags if not re.search(r"alt=\"[^\"]+\"", tag)] == []


# -- anatomy ---------------------------------------------------------------------------


def items(markdown: str) -> int:
    """How many list items a text has."""
    return len(re.findall(r"^ {0,3}(?:\d+\.|[-*]) ", markdown, re.MULTILINE))


@pytest.mark.parametrize("part", PARTS)
def test_holds_every_part(full_lesson, part):
    message = f"{full_lesson.path.name} lacks {part}: no match for {PARTS[part]!r}"
    assert re.search(PARTS[part], full_lesson.markdown, re.MULTILINE), message


def test_summary_answers_the_objectives(full_lesson):
    objectives = items(full_lesson.section("What you will be able to do"))
    assert objectives in range(3, 6), "list 3 to 5 objectives"
    answers = items(full_lesson.section("Summary"))
    assert answers == objectives, "the summary's list answers the objectives one for one"


def test_length_in_words(short_lesson):
    found = count(short_lesson.notebook).words
    assert found in WORDS, f"a lesson has {WORDS[0]} to {WORDS[-1]} words"


def test_states_its_minutes(lesson):
    counted = count(lesson.notebook).minutes
    stated = TIME.findall(lesson.markdown)
    assert stated == [f"**Time:** {counted} minutes"], "make lessons writes it"
    if lesson.path.stem in (*SECOND, *DEEPER):
        assert counted <= MINUTES, "see tools/minutes.py for what takes how long"
    assert not lesson.path.name.startswith("00") or counted <= 15


def test_readme_states_the_minutes():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for one in LESSONS.values():
        name = one.path.relative_to(NOTEBOOKS).as_posix()
        row = re.search(rf"\]\(notebooks/{name}\).*\| (\d+) \|$", text, re.MULTILINE)
        assert row, f"{name} is missing in the README"
        assert int(row[1]) == count(one.notebook).minutes, f"{name}: make lessons"


def test_stops_to_predict(full_lesson):
    stops = re.findall(r"^.{0,8}\bPredict\b", full_lesson.markdown, re.MULTILINE)
    assert len(stops) >= 2, "at least two lines that begin with **Predict"


def test_holds_a_lab(full_lesson):
    texts = [output.data.get("text/plain", "") for _, output in full_lesson.pictures]
    assert [t for t in texts if t.startswith("Interactive: ")], "one lab a lesson"


def test_leads_to_the_next_lesson(full_lesson):
    number = int(full_lesson.path.name[:2])
    expected = [name for name in LESSONS if name.startswith(f"{number + 1:02}")]
    for name in expected:
        assert f"{name}.ipynb" in links(full_lesson.markdown), "link the next lesson"


def test_two_required_exercises(short_lesson):
    tasks = [text for text in short_lesson.prose if re.search(r"^#+ Exercise ", text, re.M)]
    optional = [text for text in tasks if "●●●" in text]
    assert len(tasks) - len(optional) == 2, "two required exercises, ●○○ or ●●○"
    assert len(optional) <= 1, "one optional exercise at most, ●●●"


def test_has_a_claim_check(short_lesson):
    task = short_lesson.by_id["claim-task"].source
    assert re.match(r"## Claim check", task)
    options = re.findall(r"^- \*\*([A-D])\.\*\* ", task, re.MULTILINE)
    assert options == [*"ABCD"], "four tests to choose from"
    assert "check.claim(" in short_lesson.by_id["claim-check"].source


def test_ends_with_what_the_map_would_have_caught(short_lesson):
    for heading in ("Would it have caught it?", "Open the module"):
        assert re.search(rf"^## {re.escape(heading)}$", short_lesson.markdown, re.MULTILINE)


def test_exercises_are_complete(any_lesson):
    names = any_lesson.exercises
    assert names == [f"exercise-{k}" for k in range(1, len(names) + 1)]
    assert len(names) in range(1, 5), "1 to 4 exercises a lesson"
    order = [cell.id for cell in any_lesson.cells]
    for name in names:
        around = order.index(name)
        told = [c.source for c in any_lesson.cells[:around] if c.cell_type == "markdown"]
        assert re.search(DIFFICULTY, told[-1]), f"{name}: how difficult?"
        assert re.search(r"\d+ min", told[-1]), f"{name}: how many minutes?"
        following = [f"{name}-check", f"{name}-solution"]
        assert order[around + 1 : around + 3] == following, f"{name}: then its check"
        stub = any_lesson.by_id[name].source
        assert re.search(r"^ +\.\.\.$", stub, re.MULTILINE), f"{name}: stub's body is ..."


def test_no_cell_needs_what_only_a_stub_imports(lesson):
    imported, by_stubs = set(), set()
    for cell in lesson.code:
        nodes = [*ast.walk(ast.parse(re.sub(r"^[!%].*$", "", cell.source, flags=re.M)))]
        found = [n for n in nodes if isinstance(n, ast.Import | ast.ImportFrom)]
        names = {a.asname or a.name.split(".")[0] for n in found for a in n.names}
        if cell.id in lesson.exercises:  # a learner may write over it
            by_stubs |= names
            continue
        imported |= names | {
            n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
        }
        used = {n.id for n in nodes if isinstance(n, ast.Name)}
        assert not used & by_stubs - imported, f"{cell.id}: import it here"


def test_solutions_are_hidden_behind_hints(any_lesson):
    for name in any_lesson.exercises:
        text = any_lesson.by_id[f"{name}-solution"].source
        folds = re.findall(r"<details><summary>(.*?)</summary>", text)
        hints = [f"Hint {k}" for k in range(1, len(folds))]
        assert folds == [*hints, "Solution"], f"{name}: hints, then the solution"
        assert len(hints) >= 2, f"{name}: at least two hints"
        assert text.count("<details>") == text.count("</details>")
        assert text.count("```python") == 1, f"{name}: one block of Python"
        assert text.index("```python") > text.index("<summary>Solution")


def test_small_print_below_figures_has_contrast(lesson):
    pages = [output.get("data", {}).get("text/html", "") for _, output in lesson.outputs]
    grey = re.compile(r"style=['\"]color: gray")
    assert not any(grey.search(page) for page in pages), "run it again: make lessons"


# -- quiz ------------------------------------------------------------------------------


def questions(full_lesson: Lesson) -> dict[str, list[tuple[str, str]]]:
    """Question → its options, each a letter and the feedback that it unfolds to."""
    parts = re.split(r"^### (\d+\. .*)$", full_lesson.section("Quiz"), flags=re.MULTILINE)
    option = r"<details>\s*<summary>([A-Z])\. .*?</summary>\s*(.*?)\s*</details>"
    return {
        text: re.findall(option, options, re.DOTALL)
        for text, options in zip(parts[1::2], parts[2::2], strict=True)
    }


def test_quiz_has_five_questions_two_of_them_looking_back(short_lesson):
    asked = questions(short_lesson)
    assert len(asked) == 5
    number = int(short_lesson.path.name[:2])
    back = re.findall(r"\(From lesson (\d+)\.\)", " ".join(asked))
    assert len(back) >= min(2, number), "(From lesson NN.)"
    assert all(int(one) < number for one in back)


def test_quiz_is_numbered(full_lesson):
    asked = questions(full_lesson)
    assert [int(text.split(".")[0]) for text in asked] == [*range(1, len(asked) + 1)]


def test_quiz_answers_every_option(full_lesson):
    for text, options in questions(full_lesson).items():
        letters = "".join(letter for letter, _ in options)
        assert letters in ("ABC", "ABCD", "ABCDE"), f"3 to 5 options: {text}"
        first = [re.match(r"\w*", feedback)[0] for _, feedback in options]
        message = f"feedback starts with Right once, else with Not: {text}"
        assert sorted(first) == ["Not"] * (len(first) - 1) + ["Right"], message
        assert all(len(feedback) > 20 for _, feedback in options), f"say why: {text}"


def test_quiz_has_no_favourite_letter(full_lesson):
    options = [o for several in questions(full_lesson).values() for o in several]
    right = {letter for letter, feedback in options if feedback.startswith("Right")}
    assert len(right) > 1, "the right answer is always the same letter"
