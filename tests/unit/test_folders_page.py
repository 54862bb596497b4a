"""docs/folders.md: its code prints what stands below it, and its commands run."""

import contextlib
import io
import re
import shlex
import shutil

import numpy as np
import pytest
import torch
from pages import page

from course_utils import Inputs
from course_utils.images import find_pictures
from course_utils.models import DATA
from course_utils.samples import night_signals
from course_utils.your_own.__main__ import main

PAGE = page("folders.md")
MODULE = "# mynet.py\n"


def blocks(language: str) -> list[str]:
    """The code of the page in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def run(code: str, names: dict) -> str:
    """Run code of the page; return what it prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, names)
    return printed.getvalue()


@pytest.mark.slow
def test_the_code_prints_what_stands_below_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    pairs = list(zip(blocks(r"\w+"), blocks(r"\w+")[1:], strict=False))
    told = {code: words for code, words in pairs if words in blocks("text")}
    assert [*told] == [code for code in blocks("python") if MODULE not in code]
    for code, words in told.items():
        assert run(code, names) == words
    changed = tmp_path / "photos"
    shutil.copytree(DATA / "photos", changed)
    again = {"out": tmp_path / "again", **names["settings"]}
    names["map_folder"](changed, names["model"], progress=names["enough"], **again)
    shutil.copy(changed / "koala.jpg", find_pictures(changed)[0])
    last = names["map_folder"](changed, names["model"], **again)
    assert f"**A run was stopped after 8 of {len(last.names)} pictures" in PAGE
    assert f"make?** {last.written}: the {last.written - 1} that are missing" in PAGE


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with what the commands need."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for folder in ("photos", "nights"):
        (tmp_path / folder).mkdir()
    for name in ("koala.jpg", "goldfish.jpg"):
        shutil.copy(DATA / "photos" / name, tmp_path / "photos")
    for index, night in enumerate(night_signals(3).pictures):
        night.save(tmp_path / f"nights/{index}.png")
    (code,) = (block for block in blocks("python") if MODULE in block)
    (tmp_path / "mynet.py").write_text(code)
    names = {}
    exec(code, names)
    torch.save(names["signal_network"]().state_dict(), "signals.pt")
    Inputs(48, names=["red", "amber", "green"]).save("signals.pt")
    return tmp_path


def test_the_commands_run(place):
    commands = [shlex.split(line) for line in "".join(blocks("sh")).splitlines()]
    assert len(commands) == 2
    for python, option, module, *arguments in commands:
        assert (python, option, module) == ("python", "-m", "course_utils.your_own")
        assert main(arguments) == 0
    assert np.load(place / "maps/koala.jpg.map.npz")["map"].shape == (224, 224)
    assert np.load(place / "nights/2.png.map.npz")["map"].shape == (48, 48)


@pytest.mark.parametrize(
    ("arguments", "code"), [(["nowhere"], 1), (["photos", "--target", "cat!"], 1)]
)
def test_the_exit_codes(place, arguments, code):
    (place / "photos/broken.jpg").write_bytes(b"no picture")
    assert main(arguments) == code
    assert main(["photos", "--out", "maps"]) == 3
    assert "3 if some pictures were skipped, 1 for a mistake in the command" in PAGE
