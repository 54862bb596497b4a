"""Checks of arguments, whole files, hooks, progress: one way for each small thing."""

import math
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from course_utils._machinery import files
from course_utils._machinery.arguments import (
    ArgumentError,
    choice,
    described,
    function,
    naming,
    number,
    warn,
)
from course_utils._machinery.files import write_whole
from course_utils._machinery.hooks import watching
from course_utils._machinery.progress import goes_on


@pytest.mark.parametrize("value", [4, np.int64(4), np.uint8(4), 4.0, np.float32(4)])
def test_numbers_of_python_and_numpy_are_numbers(value):
    found = number("n", value, low=4, high=4)
    assert (found, type(found)) == (4.0, float)


@pytest.mark.parametrize("value", [3, np.int32(3)])
def test_a_whole_number_becomes_an_int(value):
    found = number("n", value, low=1, whole=True)
    assert (found, type(found)) == (3, int)


REFUSED = [
    (True, {}, "n must be a number, got True"),
    (np.True_, {}, "n must be a number, got a"),
    ("3", {}, "n must be a number, got '3'"),
    (None, {}, "n must be a number, got None"),
    (math.nan, {}, "n must be a number, got nan"),
    (math.inf, {"low": 0}, "n must be a number of at least 0, got inf"),
    (1j, {}, "n must be a number, got a complex"),
    (torch.tensor(3), {}, r"n must be a number, got a tensor of shape \(\)"),
    (2.0, {"whole": True}, "n must be a whole number, got 2.0"),
    (0, {"low": 1, "whole": True}, "n must be a whole number of at least 1, got 0"),
    (9, {"low": 1, "high": 8}, "n must be a number between 1 and 8, got 9"),
    (9, {"high": 8}, "n must be a number of at most 8, got 9"),
    (0, {"low": 0, "above": True}, "n must be a number above 0, got 0"),
    (0, {"low": 0, "high": 1, "above": True}, "n must be a number above 0 and at most 1"),
]


@pytest.mark.parametrize(("value", "limits", "sentence"), REFUSED)
def test_anything_else_is_refused_in_one_sentence(value, limits, sentence):
    with pytest.raises(ArgumentError, match=f"^{sentence}"):
        number("n", value, **limits)


def test_an_argument_error_is_both_kinds_and_knows_its_argument():
    for kind in (ValueError, TypeError):
        with pytest.raises(kind) as caught:
            raise ArgumentError("stride", "must be positive, got 0")
        assert str(caught.value) == "stride must be positive, got 0"
        assert (caught.value.argument, caught.value.words[:4]) == ("stride", "must")


def test_an_inner_error_is_named_as_the_caller_knows_it_and_others_are_left_alone():
    with pytest.raises(ArgumentError, match="^target must be"), naming(targets="target"):
        number("targets", "x")
    with pytest.raises(ArgumentError, match="^images must be"), naming(targets="target"):
        number("images", "x")
    with pytest.raises(KeyError), naming(targets="target"):
        raise KeyError("targets")


def test_choices_and_functions():
    assert choice("rule", "a", ["a", "b"]) == "a"
    assert function("f", print, "f(x)") is print
    with pytest.raises(ArgumentError, match="^rule must be one of a, b, got 'c'"):
        choice("rule", "c", ("a", "b"))
    with pytest.raises(ArgumentError, match=r"^rule must be one of a, b, got \['a'\]"):
        choice("rule", ["a"], ("a", "b"))
    with pytest.raises(ArgumentError, match=r"^f must be a function f\(x\), got 3"):
        function("f", 3, "f(x)")


def test_things_are_described_in_a_few_words():
    class Odd:
        pass

    assert described(Odd()) == "an Odd"
    assert described([Odd()]) == "a list"
    assert described(nn.Parameter(torch.zeros(2))) == "a tensor of shape (2,)"
    assert len(described(list(range(10_000)))) < 40
    assert len(described("x" * 10_000)) < 40


def test_a_warning_points_at_the_first_line_outside_the_package():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn("look here")
    assert caught[0].filename == __file__


# -- files -----------------------------------------------------------------------------


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    path, drafts = tmp_path / "a.png", []

    def fail(draft):
        drafts.append(draft)
        draft.write_text("half")
        raise KeyboardInterrupt

    write_whole(path, lambda draft: draft.write_text("old"))
    with pytest.raises(KeyboardInterrupt):
        write_whole(path, fail)
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]
    assert drafts[0].parent == tmp_path and drafts[0].suffix == ".png"


@pytest.mark.parametrize("refusals", [1, 3, 4])
def test_a_file_that_a_viewer_holds_open_is_waited_for(tmp_path, monkeypatch, refusals):
    path, tries, rename = tmp_path / "maps.csv", [], Path.replace

    def replace(draft, target):
        tries.append(target)
        if len(tries) <= refusals:
            raise PermissionError(13, "is being used by another process", str(target))
        return rename(draft, target)

    monkeypatch.setattr(Path, "replace", replace)
    monkeypatch.setattr(files, "PATIENCE", (0.001, 0.001, 0.001))
    path.write_text("old")
    if refusals > len(files.PATIENCE):
        with pytest.raises(PermissionError, match="another process"):
            write_whole(path, lambda draft: draft.write_text("new"))
    else:
        write_whole(path, lambda draft: draft.write_text("new"))
    assert path.read_text() == ("old" if refusals == 4 else "new")
    assert [*tmp_path.iterdir()] == [path]


# -- hooks -----------------------------------------------------------------------------


def test_outputs_are_seen_in_order_replaced_and_no_hook_is_left():
    model, seen = nn.Sequential(nn.ReLU(), nn.Identity()), []

    def see(path, output):
        seen.append((path, output.item()))
        return output + 1 if path == "0" else None

    layers = dict(model.named_children())
    with watching(layers, see):
        assert model(torch.tensor(2.0)) == 3
    assert seen == [("0", 2.0), ("1", 3.0)]
    with pytest.raises(ZeroDivisionError), watching(layers, lambda *_: 1 / 0):
        model(torch.tensor(2.0))
    assert not any(layer._forward_hooks for layer in model)


# -- progress --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "goes"), [(None, True), (True, True), (0, True), (False, False)]
)
def test_only_false_stops(said, goes):
    assert goes_on(lambda done, total, so_far: said, 1, 2) is goes
    assert goes_on(None, 1, 2)


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    path, named = tmp_path / "notes.txt", []
    monkeypatch.setattr(os, "fsync", lambda number: named.append(path.exists()))
    write_whole(path, lambda draft: draft.write_text("new"))
    assert named == [False]
    assert path.read_text() == "new"
