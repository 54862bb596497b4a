"""Progress: a small file at home, written whole, that never stands in a check's way."""

import json
import os
import re

import pytest

from course_utils.checks import batch_maps
from course_utils.checks.base import PASSED, exercise
from course_utils.checks.progress import (
    FILE,
    NOTEBOOKS,
    SETTING,
    Asked,
    Progress,
    note_passed,
    passed,
    progress,
    progress_file,
)


def right(scores, labels):
    return scores.gather(1, labels[:, None])[:, 0]


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setenv(SETTING, str(tmp_path / "progress.json"))
    return tmp_path / "progress.json"


def test_what_passes_is_written_down_once(file):
    assert batch_maps.class_scores(right)
    first = file.read_text()
    assert [*json.loads(first)["passed"]] == ["batch_maps.class_scores"]
    assert batch_maps.class_scores(right)
    assert file.read_text() == first
    assert [*file.parent.iterdir()] == [file], "no draft is left"


def test_what_does_not_pass_is_not(file):
    batch_maps.class_scores(lambda scores, labels: scores[:, 0])
    batch_maps.claim("A")
    assert not file.exists()


def test_claims_count_too(file):
    batch_maps.claim("c")
    assert [*passed()] == ["batch_maps.claim"]


def test_an_exercise_from_elsewhere_is_not_the_courses(file):
    @exercise("Exercise 0")
    def own(answer):
        return "Right."

    assert own(right).state == PASSED
    assert not file.exists()


@pytest.mark.parametrize("setting", ["off", "OFF"])
def test_off_means_neither_read_nor_written(setting, file, monkeypatch):
    file.write_text('{"passed": {"batch_maps.claim": "2020-01-01"}}')
    monkeypatch.setenv(SETTING, setting)
    assert progress_file() is None
    assert passed() == {}
    assert batch_maps.class_scores(right)


def test_the_tests_of_the_course_write_nothing():
    assert os.environ[SETTING] == "off"


def test_at_home_by_default(tmp_path, monkeypatch):
    monkeypatch.delenv(SETTING)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    note_passed(batch_maps.__name__, "claim")
    assert (tmp_path / FILE).exists()


@pytest.mark.parametrize("place", ["file.txt/progress.json", "no/such/folder/p.json", "."])
def test_a_check_passes_where_nothing_can_be_written(place, tmp_path, monkeypatch):
    (tmp_path / "file.txt").write_text("")
    monkeypatch.setenv(SETTING, str(tmp_path / place))
    assert batch_maps.class_scores(right).state == PASSED
    assert passed() == {}


@pytest.mark.parametrize("text", ["", "not JSON", "[1]", '{"other": 1}', '{"passed": 3}'])
def test_a_file_that_holds_something_else_is_left_alone(text, file):
    file.write_text(text)
    assert batch_maps.class_scores(right).state == PASSED
    assert passed() == {}
    assert file.read_text() == text


# -- the table -------------------------------------------------------------------------

LESSONS = [
    Asked("01 · <One>", {"exercise-1-check": "a.b", "claim-check": "a.claim"}),
    Asked("02 · Two", {"exercise-1-check": "c.d", "exercise-2-check": "c.e"}),
    Asked("Deep", {"exercise-1-check": "a.f"}, deeper=True),
]


def test_by_hand():
    shown = Progress(LESSONS, dict.fromkeys(["a.b", "c.e", "a.f", "gone.g"], ""))
    assert shown.headline == (
        "2 of 3 exercises, 0 of 1 claim checks; 1 of 1 in deeper lessons"
    )
    assert shown.rows()[:2] == [
        ("01 · <One>", "1 of 1", "0 of 1"),
        ("02 · Two", "1 of 2", "–"),
    ]
    assert repr(shown).splitlines()[3] == "  1 of 1   0 of 1   01 · <One>"
    assert "01 · &lt;One&gt;" in shown._repr_html_()


def test_counted_from_the_notebooks(file):
    batch_maps.class_scores(right)
    shown = progress()
    texts = [p.read_text(encoding="utf-8") for p in NOTEBOOKS.rglob("*.ipynb")]
    cells = sum(len(re.findall(r'"id": "exercise-\d+-check"', text)) for text in texts)
    claims = sum(text.count('"id": "claim-check"') for text in texts)
    main, deeper = shown.count("exercise"), shown.count("exercise", deeper=True)
    assert main[1] + deeper[1] == cells
    assert (main[0], deeper[0]) == (1, 0)
    assert shown.count("claim") == (0, claims)
    row = next(row for row in shown.rows() if row[0].startswith("03"))
    assert row[1].startswith("1 of ")


def test_every_check_of_a_notebook_exists_and_is_asked_once():
    from importlib import import_module

    keys = [key for one in progress().lessons for key in one.checks.values()]
    assert len({*keys}) == len(keys)
    for module, name in (key.split(".") for key in keys):
        assert callable(getattr(import_module(f"course_utils.checks.{module}"), name))


def test_without_the_notebooks_it_says_so():
    shown = Progress([], {"a.b": ""})
    assert shown.headline.startswith("1 passed.")
