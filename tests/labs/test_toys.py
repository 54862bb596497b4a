"""Toys answer what the network answers, in one piece of HTML that needs nothing else."""

import json
import re

import pytest
import torch

from course_utils.labs import toys as module
from course_utils.labs.toys import STEP, hide_and_see


@pytest.fixture(scope="module")
def toy():
    made = hide_and_see(others=[263])  # a corgi, which is not likely anywhere
    made.measure()
    return made


def data_of(html: str) -> dict:
    """What the script of a page was given."""
    start = html.index("recorded({") + len("recorded(")
    return json.JSONDecoder().raw_decode(html[start:])[0]


def answer_at(data: dict, x: float, y: float) -> dict:
    """The answer for a hand, looked up as `touch.py` says it is: the last axis fastest."""
    axes, rows = data["answers"]["photo"].values()
    at = 0
    for name, first, step, count in axes:
        at = at * count + round(({"x": x, "y": y}[name] - first) / step)
    return rows[at]


@pytest.mark.parametrize(
    ("top", "left"), [(0, 0), (32, 24), (40, 136), (176, 176), (176, 0)]
)
def test_answers_are_those_of_the_network_with_the_square_hidden(toy, top, left):
    hidden = toy.asked.images(toy.photo).clone()
    hidden[..., top : top + 48, left : left + 48] = 0
    with torch.no_grad():
        shares = toy.asked.model(hidden)[0].softmax(0)
    answer = answer_at(data_of(toy.html), left + 24, top + 24)
    expected = shares[toy.classes].tolist()
    assert answer["bars"]["values"] == pytest.approx(expected, abs=1e-3)
    assert toy.asked.name(int(shares.argmax())) in answer["answer"]


def test_covering_one_animal_helps_the_other(toy):
    data = data_of(toy.html)
    head_of_parrot, head_of_dog = (answer_at(data, *at) for at in ((40, 56), (160, 64)))
    assert "German shepherd" in head_of_parrot["answer"]
    assert "lorikeet" in head_of_dog["answer"]
    colours = [one["crumbs"]["mark"]["fill"] for one in (head_of_parrot, head_of_dog)]
    assert [colour[:7] for colour in colours] == [module.FOR, module.AGAINST]


def test_the_bars_are_of_the_asked_classes_and_of_those_that_come_up(toy):
    assert toy.target == 90
    assert toy.classes[:2] == [90, 263]
    assert 235 in toy.classes
    assert len(toy.classes) == 5
    bars = data_of(toy.html)["scene"]["panels"][-1]["bars"]
    assert [bar["name"] for bar in bars] == [toy.asked.name(i) for i in toy.classes]
    whole = toy.asked.probabilities(toy.photo)[toy.classes].tolist()
    assert [bar["before"] for bar in bars] == pytest.approx(whole, abs=1e-3)


def test_it_opens_where_the_square_changes_little(toy):
    data = data_of(toy.html)
    hand = data["hands"]["photo"]
    answer = answer_at(data, hand["x"], hand["y"])
    bars = data["scene"]["panels"][-1]["bars"]
    assert [bar["value"] for bar in bars] == pytest.approx(
        answer["bars"]["values"], abs=1e-3
    )
    assert bars[0]["value"] == pytest.approx(bars[0]["before"], abs=0.02)
    assert data["answer"] == answer["answer"]


def test_a_crumb_is_in_the_middle_of_its_square(toy):
    x0, y0, x1, y1 = answer_at(data_of(toy.html), 40, 56)["crumbs"]["mark"]["rect"]
    assert ((x0 + x1) / 2, (y0 + y1) / 2) == (40, 56)
    assert x1 - x0 == y1 - y0 == STEP


def test_its_page_is_small_and_needs_nothing_else(toy):
    assert len(toy.html) < 200_000
    assert not re.search(r"https?://", toy.html)


def test_a_still_picture_stands_in_its_place_where_no_script_runs(toy):
    before = toy.html.split("<script>")[0]
    picture = re.search(r'<img alt="([^"]{20,})"[^>]* src="data:image/\w+;base64,', before)
    assert "drag the grey square" in picture[1]


def test_words_tell_another_picture_from_this_one(toy):
    with_parrot = toy.words
    toy.shares, before = toy.shares.flip(1), toy.shares
    assert toy.words != with_parrot
    toy.shares = before
    assert toy.words == with_parrot
    assert "lorikeet" in with_parrot


def test_it_measures_once_and_shows_how_far_it_is(monkeypatch):
    shown, cleared = [], []
    monkeypatch.setattr(module, "display", lambda data, raw: shown.append(data))
    monkeypatch.setattr(module, "clear_output", lambda wait: cleared.append(len(shown)))
    toy = hide_and_see(window=200)
    toy._ipython_display_()
    assert [*shown[0]] == ["application/vnd.jupyter.widget-view+json"]
    assert cleared == [1]
    assert shown[1] == {"text/html": toy.html, "text/plain": toy.words}
    monkeypatch.setattr(module, "occlusion", None)
    toy._ipython_display_()
    assert shown[3] == shown[1]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"target": 1000}, "target must be"),
        ({"others": [-1]}, "others must be"),
        ({"window": 4}, "window must be"),
        ({"window": 225}, "window must be"),
    ],
)
def test_what_does_not_fit_is_refused_at_once(wrong, words):
    with pytest.raises(ValueError, match=words):
        hide_and_see(**wrong)
