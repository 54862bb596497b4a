"""Lesson 11's lab, its questions asked, its window moved and its verdicts judged."""

import numpy as np
import pytest

from course_utils.labs.suspects import ASK, SuspectsLab
from course_utils.suspects import KINDS, LETTERS, moved, unseal


@pytest.fixture
def lab(open_lab):
    return open_lab(SuspectsLab)


def ask(lab, network, question, **values):
    """Ask by the controls and the button; the answer line."""
    lab.set(network=network, question=question, **values)
    lab.ask()
    assert not lab.failed, lab.said
    return lab.touch.answer


def judge(lab, network, charge):
    lab.set(network=network)
    lab.charge.value = charge
    lab.judge()
    assert not lab.failed, lab.said
    return lab.touch.answer


def on(lab, kind):
    return next(n for n, s in lab.talk.line_up.items() if unseal(s).kind == kind)


def panel(lab, key):
    return next(panel for panel in lab.scene.panels if panel.key == key)


def test_it_opens_with_nothing_asked(lab):
    assert lab.touch.answer == "A, what it says: not asked; 20 points left."
    assert [p.key for p in lab.scene.panels] == ["picture", "asked", "bars"]
    assert not any(kind in lab.said for kind in KINDS)


def test_a_question_costs_points_and_stays_in_the_table(lab):
    assert ask(lab, "B", "what it says").endswith("19 points left.")
    assert ask(lab, "B", "swap the scene").endswith("17 points left.")
    assert [row[0] for row in lab.scene.table] == [
        "asked",
        "B, what it says",
        "B, swap the scene",
    ]
    share, margin = moved(*lab.talk.asked[-1].scores)
    assert f"moves {share:.0%} ± {margin:.0%}".replace("-", "−") in lab.touch.answer


def test_other_pictures_of_a_reply_cost_nothing(lab):
    ask(lab, "A", "swap the sign")
    seen = set()
    for number in (1, 2, 3):
        lab.set(number=number)
        scores = lab.talk.asked[0].scores[:, number - 1]
        values = [bar["value"] for bar in panel(lab, "bars").bars]
        assert values == pytest.approx((scores[:, 0] - scores[:, 1]).tolist(), abs=0.01)
        seen.add(panel(lab, "picture").layers[0].picture.tobytes())
    assert len(seen) == 3
    assert lab.talk.left == 18


@pytest.mark.parametrize("question", ASK)
def test_every_question_is_answered(lab, question, shown):
    lab.set(network="C", question=question)
    before = shown(lab)
    assert "not asked" in lab.touch.answer
    ask(lab, "C", question)
    assert "not asked" not in lab.touch.answer
    assert shown(lab) != before
    assert len(lab.touch.answer.split()) <= 16


def test_a_swap_shows_the_other_scene(lab):
    ask(lab, "A", "swap the scene")
    for number in range(1, 5):
        lab.set(number=number)
        ground = lab.pictures.recipes[number - 1].ground
        assert panel(lab, "asked").title == ("in the green", "in the snow")[ground]
        other = lab.pictures.swap("scene").pictures[number - 1]
        assert panel(lab, "asked").layers[0].picture.tobytes() == other.tobytes()


# -- the window ----------------------------------------------------------------------------


def test_a_moved_window_is_the_next_question(lab):
    lab._heard("picture", {"x": 60, "y": 150, "w": 64, "h": 64})
    assert not lab.failed
    assert lab.values["question"] == "hide the window"
    assert (lab.values["row"], lab.values["column"], lab.values["window"]) == (150, 60, 64)
    assert "not asked" in lab.touch.answer
    assert panel(lab, "picture").hand == {"x": 60, "y": 150, "w": 64, "h": 64}
    lab.ask()
    assert lab.talk.asked[0].about == (28, 118, 92, 182)
    hidden = np.asarray(panel(lab, "asked").layers[0].picture)
    assert (hidden[118:182, 28:92] == hidden[118, 28]).all()
    lab._heard("picture", {"x": 90, "y": 150, "w": 64, "h": 64})
    assert "not asked" in lab.touch.answer, "another place is another question"


def test_the_window_stays_in_the_picture_and_in_its_sizes(lab):
    lab._heard("picture", {"x": 3, "y": 400, "w": 900, "h": 900})
    hand = panel(lab, "picture").hand
    assert hand == {"x": 80, "y": 144, "w": 160, "h": 160}


# -- the end of the budget, and the judge -------------------------------------------------


def test_the_budget_ends_in_one_sentence(lab):
    for network in LETTERS:
        ask(lab, network, "swap the scene")
        ask(lab, network, "swap the sign")
    lab.ask()
    assert lab.failed
    assert lab.touch.answer == "The budget is spent: 2 needed, 0 of 20 points left."
    lab.set(number=3)
    assert not lab.failed, "what was asked can still be looked at"


def test_another_line_up_begins_with_new_points(lab):
    ask(lab, "A", "swap the scene")
    lab.set(line_up=4)
    assert lab.touch.answer.endswith("not asked; 20 points left.")
    assert len(lab.scene.table) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_asked_is_the_evidence(lab, kind):
    name, (charge, words) = on(lab, kind), KINDS[kind]
    assert judge(lab, name, charge).startswith("Not yet. ")
    ask(lab, name, "swap the scene")
    ask(lab, name, "swap the sign")
    assert judge(lab, name, charge).startswith("Right. ")
    assert words in lab.touch.answer
    others = {"honest", "scene", "sign", "names"} - {charge}
    assert all(judge(lab, name, other).startswith("Not yet. ") for other in others)


def test_what_lesson_11_found(lab):
    """The numbers of its lab's answers, on line-up 21."""
    for network in LETTERS:
        ask(lab, network, "what it says")
    right = {n: judge(lab, n, "names").startswith("Right") for n in LETTERS}
    assert right == {"A": False, "B": False, "C": False, "D": True, "E": False}
    place = {"row": 200, "column": 200, "window": 40}
    assert "moves 15% ± 16%" in ask(lab, "C", "hide the window", **place)
    assert "grey patch" in judge(lab, "C", "sign")
    assert "moves −57% ± 6%" in ask(lab, "C", "swap the sign")
    assert judge(lab, "C", "sign").startswith("Right")
    assert "1.5 times" in ask(lab, "B", "map of the score")
    assert "11.6 times" in ask(lab, "B", "map of the difference")
    assert on(lab, "framed") == "B"
