"""Run the lessons and save them as they are committed: executed, formatted, clean.

    python tools/lessons.py            every lesson
    python tools/lessons.py 03 07      those two
    python tools/lessons.py --unrun    their setup cells, badges and format; run nothing

Each lesson runs in a fresh kernel. Its file is written only when every cell ran, and
running it twice gives the same bytes: what differs from run to run (the time, the ids of
live widgets) is not saved. The minutes that a lesson takes are counted (`minutes.py`) and
written into it and into the README.
"""

import argparse
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import nbformat
from address import ROOT, colab_badge, read_address, read_release
from minutes import NOTEBOOKS, state, state_in_readme
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

TIMEOUT = 600  # seconds a cell may take
WIDGET = "application/vnd.jupyter.widget-view+json"
METADATA = {
    "kernelspec": {
        "display_name": "Python 3 (ipykernel)",
        "language": "python",
        "name": "python3",
    },
    "language_info": {"name": "python"},
}

# The text of every lesson's setup cell; ADDRESS and VERSION stand for the course's own.
# Commands that a lesson starts find the course by PYTHONPATH.
SETUP_CELL = """\
# @title Setup (run me): silent where the course is installed; Colab fetches it once
import os
import subprocess
import sys
from importlib.util import find_spec

if find_spec("course_utils") is None:
    repo, release = "ADDRESS", "VERSION"
    folders = [os.path.abspath(up) for up in (".", "..", "../..")]  # of a copy of it?
    home = next((f for f in folders if os.path.isdir(f + "/course_utils")), folders[0])
    if "google.colab" in sys.modules or "COLAB_RELEASE_TAG" in os.environ:
        repo = os.environ.get("COURSE_REPO", repo)
        home = os.environ.get("COURSE_HOME", "/content/" + os.path.basename(repo))
        clone = ["git", "clone", "-q", "--depth=1", repo, home]
        if not os.path.isdir(home):
            tagged = [*clone, "--branch", release]
            if subprocess.run(tagged, capture_output=True).returncode:
                subprocess.run(clone, check=True)
                print(f"There is no release {release}; the newest state is used.")
    sys.path.insert(0, home)
    inherited = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = home + (os.pathsep + inherited if inherited else "")
    if find_spec("course_utils") is None:
        raise SystemExit("The course is not installed: run `make lab` in its folder.")"""

# The link to Colab in a lesson's head and in the README's table, in every form it had.
COLAB_LINK = re.compile(r"\[(?:!\[)?Open in Colab\](?:\([^)]*\)\])?\([^)]*\)")
ROW = re.compile(r"^(\| \[[^\]]*\]\(notebooks/([\w/]+\.ipynb)\))(?:<br>\S.*?)?( \|)", re.M)

# What folds a cell: in JupyterLab and Notebook, on a web page of Jupyter Book, on Colab.
FOLDED = {"cellView": "form", "jupyter": {"source_hidden": True}, "tags": ["hide-input"]}

Notebook = nbformat.NotebookNode


def setup_cell() -> str:
    """The text of the setup cell, with the course's address and release."""
    return SETUP_CELL.replace("ADDRESS", read_address()).replace("VERSION", read_release())


def lesson_paths(only: list[str] | None = None) -> list[Path]:
    """The lessons in reading order, or those whose names start with one of `only`.

    Those in `deeper/`, which are optional, come last.
    """
    paths = sorted(NOTEBOOKS.glob("*.ipynb")) + sorted(NOTEBOOKS.glob("deeper/*.ipynb"))
    for start in only or []:
        if not any(path.name.startswith(start) for path in paths):
            raise SystemExit(f"no lesson's name starts with {start!r}")
    return [p for p in paths if not only or p.name.startswith(tuple(only))]


def read_lesson(path: Path) -> Notebook:
    """The notebook in a file, its sources and outputs as single strings."""
    return nbformat.reads(path.read_text(encoding="utf-8"), as_version=4)


# -- before it runs --------------------------------------------------------------------


def prepare(path: Path) -> Notebook:
    """Read a lesson; give it the setup cell, its Colab badge, stable ids and our format."""
    raw = json.loads(path.read_text(encoding="utf-8"))
    raw.update(nbformat=4, nbformat_minor=5, metadata=METADATA)
    name_cells(raw["cells"])
    lesson = nbformat.reads(json.dumps(raw), as_version=4)
    badge = colab_badge(path.relative_to(NOTEBOOKS).as_posix(), read_address())
    for cell in lesson.cells:
        cell.source = cell.source.strip("\n")
        if cell.id == "setup":
            cell.source = setup_cell()
        elif cell.cell_type == "markdown":
            cell.source = COLAB_LINK.sub(badge, cell.source)
    return format_code(lesson, path)


def format_code(lesson: Notebook, path: Path) -> Notebook:
    """The lesson with its code formatted by ruff, like the other files."""
    command = ["ruff", "format", "--stdin-filename", str(path), "-"]
    run = subprocess.run(
        [sys.executable, "-m", *command],
        input=nbformat.writes(lesson),
        capture_output=True,
        encoding="utf-8",
    )
    if run.returncode:
        raise SystemExit(f"{path.name}: ruff cannot read a cell\n{run.stderr}")
    return nbformat.reads(run.stdout, as_version=4)


def name_cells(cells: list[dict]) -> None:
    """Give an id to each cell that has none, or only a random one from Jupyter."""
    taken = {cell["id"] for cell in cells if is_named(cell)}
    for cell in cells:
        if not is_named(cell):
            stem = words_of("".join(cell["source"])) or cell["cell_type"]
            numbered = (f"{stem}-{n}" for n in range(2, len(cells) + 2))
            cell["id"] = next(i for i in (stem, *numbered) if i not in taken)
            taken.add(cell["id"])


def is_named(cell: dict) -> bool:
    """Whether a person chose the cell's id: words, not hexadecimal digits."""
    return not re.fullmatch(r"|[0-9a-f]{8}(-[0-9a-f-]{27})?", cell.get("id", ""))


def words_of(source: str) -> str:
    """The first words of a cell's heading, or of its text: `the-map-of-a-cat`."""
    lines = [line for line in source.splitlines() if line.strip()]
    headings = [line for line in lines if line.startswith("#")]
    first = (headings or lines or [""])[0].lower()
    return "-".join(re.findall(r"[a-z0-9]+", first)[:5])[:48]


# -- running ---------------------------------------------------------------------------


def execute(lesson: Notebook, path: Path) -> None:
    """Run every cell in a fresh kernel, where a learner would: in the lesson's folder."""
    client = NotebookClient(
        lesson,
        timeout=TIMEOUT,
        kernel_name="python3",
        store_widget_state=False,
        coalesce_streams=True,
        record_timing=False,
        extra_arguments=["--log-level=ERROR"],
        resources={"metadata": {"path": str(path.parent)}},
    )
    try:
        client.execute()
    except CellExecutionError as error:
        failed = next(c for c in lesson.cells if c.get("outputs") and has_error(c))
        raise SystemExit(f"{path.name}: cell `{failed.id}` failed\n{error}") from None


def has_error(cell: Notebook) -> bool:
    """Whether running the cell ended in an exception."""
    return any(output.output_type == "error" for output in cell.outputs)


# -- after it ran ----------------------------------------------------------------------


def clean(lesson: Notebook) -> None:
    """Keep what a reader sees; drop what differs from run to run."""
    lesson.metadata = nbformat.from_dict(METADATA)
    for cell in lesson.cells:
        kept = {k: v for k, v in cell.metadata.items() if k == "tags"}
        cell.metadata = nbformat.from_dict(FOLDED if cell.id == "setup" else kept)
        # A widget has a random id, and nothing behind it once its kernel is gone: the
        # reader sees the still picture of a lab until its cell is run.
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if [*o.get("data", {})] != [WIDGET]]
        for output in cell.get("outputs", []):
            output.get("data", {}).pop(WIDGET, None)


def save(lesson: Notebook, path: Path) -> None:
    """Write the lesson whole or not at all."""
    nbformat.validate(lesson)
    draft = path.with_suffix(".ipynb.draft")
    draft.write_text(nbformat.writes(lesson) + "\n", encoding="utf-8")
    draft.replace(path)


def badges_in_readme(readme: Path = ROOT / "README.md") -> None:
    """Put each lesson's badge below its name in the table of the README."""

    def with_badge(row: re.Match) -> str:
        return f"{row[1]}<br>{colab_badge(row[2], read_address())}{row[3]}"

    text = readme.read_text(encoding="utf-8")
    readme.write_text(ROW.sub(with_badge, text), encoding="utf-8")


def save_lesson(path: Path, run: bool = True) -> str:
    """Run one lesson, or not, and save it; return a line that says how it went."""
    start = time.perf_counter()
    lesson = prepare(path)
    if run:
        execute(lesson, path)
    clean(lesson)
    state(lesson)
    save(lesson, path)
    seconds, size = time.perf_counter() - start, path.stat().st_size / 1024
    return f"{path.name:32} {seconds:5.1f} s {size:6.0f} KB"


def main() -> None:
    """Read the command line and run the lessons it names."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("only", nargs="*", help="starts of lesson names, such as 03")
    parser.add_argument("--unrun", action="store_true", help="run nothing; outputs stay")
    asked = parser.parse_args()
    for path in lesson_paths(asked.only):
        print(save_lesson(path, run=not asked.unrun), flush=True)
    state_in_readme()
    badges_in_readme()


if __name__ == "__main__":
    main()
