"""teacher/sample_report: numbers come from its script, marks follow the rubric."""

import re
from importlib.util import module_from_spec, spec_from_file_location

import pytest
from address import ROOT
from pages import page
from PIL import Image

from course_utils import load_samples

FOLDER = ROOT / "teacher" / "sample_report"
REPORT, MARKED = (
    (FOLDER / name).read_text(encoding="utf-8") for name in ("report.md", "marked.md")
)


@pytest.fixture(scope="module")
def repeat():
    """The report's script, as a module."""
    spec = spec_from_file_location("repeat", FOLDER / "repeat.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def blocks(text: str, kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", text, re.M | re.S)


def test_both_pages_say_who_wrote_them():
    assert "written by the authors of the course and not by a learner" in one_line(REPORT)
    assert "There was no student" in one_line(MARKED)


def one_line(text: str) -> str:
    return " ".join(re.sub("^> ?", "", text, flags=re.M).split())


def test_the_report_has_all_that_is_to_be_handed_in():
    asked = page("projects.md").partition("## What to hand in")[2].partition("## ")[0]
    assert re.findall(r"^## (\d) · ", REPORT, re.M) == re.findall(r"^(\d)\. ", asked, re.M)
    ((alt, file),) = re.findall(r"!\[([^\]]+)\]\(([^)]+)\)", REPORT)
    assert len(alt) > 100
    with Image.open(FOLDER / file) as figure:
        assert min(figure.size) >= 400
    assert (FOLDER / file).stat().st_size < 100_000


def test_the_marks_follow_the_rubric_and_add_up():
    rubric = page("projects.md").partition("## Rubric")[2].partition("## ")[0]
    steps = {  # row → the highest step that has words
        row: max(n for n, words in enumerate(cells.split("|")) if words.strip(" –"))
        for row, cells in re.findall(r"^\| \*\*(\w+)\*\* \|(.+)\|$", rubric, re.M)
    }
    given = re.findall(r"^\| \*\*(\w+)\*\* \| (\d) of (\d) \|", MARKED, re.M)
    assert {row: int(top) for row, _, top in given} == steps
    assert all(int(points) <= int(top) for _, points, top in given)
    lost = [int(n) for n in re.findall(r"^\| \*\*Deduction\*\* \| −(\d) \|", MARKED, re.M)]
    total, most = re.search(r"\| \*\*(\d+) of (\d+)\*\* \|", MARKED).groups()
    assert int(total) == sum(int(points) for _, points, _ in given) - sum(lost)
    assert int(most) == sum(steps.values())


def test_every_passage_that_is_marked_stands_in_the_report():
    remarks = MARKED.partition("## Remarks")[2]
    passages = re.findall(r"(?:^> .+\n)+", remarks, re.M)
    assert len(passages) > 5
    for passage in map(one_line, passages):
        assert passage in one_line(REPORT), passage


@pytest.mark.slow
def test_the_script_on_two_photographs(repeat, capsys, monkeypatch):
    monkeypatch.setattr(repeat, "STEPS", 2)
    found = repeat.measure(load_samples(names=["bison", "baseball"]))
    assert found.alike("the picture alone") == pytest.approx([1, 1])
    assert (found.alike("gradient") < 0.95).all()
    repeat.tell(found)
    shape = re.compile(r"[+-]?\d+(\.\d+)?")
    said, printed = (
        [shape.sub("0", line).partition("smaller on")[0] for line in text.splitlines()]
        for text in (capsys.readouterr().out, blocks(REPORT, "text")[0])
    )
    assert said == printed
    (dots,) = [
        line for line in repeat.plot(found).axes[0].lines if line.get_marker() == "o"
    ]
    assert dots.get_xydata()[:, 0] == pytest.approx(found.alike("gradient"))


@pytest.mark.nightly
def test_the_script_prints_the_numbers_of_the_report_and_of_the_remark(repeat, capsys):
    found = repeat.measure(load_samples())
    repeat.tell(found)
    assert capsys.readouterr().out == blocks(REPORT, "text")[0]
    exec(blocks(MARKED, "python")[0], vars(repeat) | {"found": found})
    assert capsys.readouterr().out == blocks(MARKED, "text")[0]
