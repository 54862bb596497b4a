"""Lesson 09's lab: its controls set, and its panels touched, as a learner would."""

import asyncio
import re

import numpy as np
import pytest
import torch

from course_utils.evaluation import deletion_insertion, forget, rank_correlation
from course_utils.labs import base
from course_utils.labs.asking import PAIR
from course_utils.labs.strokes import Stroke
from course_utils.labs.trust import STEPS, TrustLab
from course_utils.methods import QUICK

OPENING = {"method": "guided_backprop", "layers": 1, "hidden": 10, "fill": "mean colour"}
OPENING |= {"divider": 112, "row": 112, "column": 112, "radius": 10}
DOG = "german_shepherd"


@pytest.fixture(scope="module")
def built():
    return TrustLab()


@pytest.fixture
def lab(built):
    """The lab as it opens, whatever an earlier test has left."""
    built.brush.painted.clear()
    built.controls["photo"].choice.value = DOG
    built.controls["target"].choose(None)
    built.set(**OPENING)
    built.refresh()
    return built


def row(lab, beginning):
    return next(line[1:] for line in lab.scene.table if line[0].startswith(beginning))


def panel(lab, key):
    return next(panel for panel in lab.scene.panels if panel.key == key)


def hidden_in(lab, key):
    """(224, 224) bool: the pixels that a panel covers."""
    return np.asarray(panel(lab, key).layers[1].picture)[..., 3] == 1


def probability(lab, mask, fill="mean"):
    """Of the dog, with pixels hidden: computed by hand."""
    image = lab.asked.images(DOG)
    filler = torch.zeros_like(image)  # the mean colour
    assert fill == "mean"
    with torch.no_grad():
        scores = lab.model(torch.where(torch.from_numpy(mask), filler, image))
    return scores.softmax(1)[0, lab.asked.target(DOG)].item()


def hide(lab, *points, second=False, radius=10):
    x, y = points[-1]
    hand = {"x": x, "y": y, "radius": radius, "second": second, "points": points}
    lab._heard("hand", hand)
    assert not lab.failed, lab.said


# -- the opening, beside an independent computation ----------------------------------------


def test_it_opens_with_a_map_its_rival_and_its_curves(lab):
    assert not lab.failed, lab.said
    assert "German shepherd: " in lab.touch.answer
    image, target = lab.asked.images(DOG), lab.asked.target(DOG)
    method = QUICK["guided_backprop"]
    maps = method(lab.model, image, target)
    curves = deletion_insertion(lab.model, image, method.importance(maps)[0], target, STEPS)
    drawn = {line["name"]: line for line in panel(lab, "curves").lines if "name" in line}
    for name in ("deletion", "insertion"):
        np.testing.assert_allclose(drawn[name]["y"], getattr(curves, name), atol=1e-3)
    assert row(lab, "deletion area")[1] == f"{curves.deletion_area:.2f}"
    assert row(lab, "insertion area")[1] == f"{curves.insertion_area:.2f}"
    rival = method(forget(lab.model, lab.blocks[:1]), image, target)
    agreement = rank_correlation(maps, rival).item()
    assert row(lab, "rank correlation")[1] == f"{agreement:.2f}"
    assert [layer.side for layer in panel(lab, "maps").layers] == [None, "left", "right"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("method", "grad_cam"),
        ("method", "edges"),
        ("layers", 5),
        ("hidden", 60),
        ("fill", "black"),
        ("photo", "goldfish"),
    ],
)
def test_each_control_changes_the_picture(lab, redraws, name, value):
    control = lab.controls[name]
    redraws(lab, control.choice if name == "photo" else control, value)


@pytest.mark.parametrize("method", [name for name in QUICK if name != "occlusion"])
def test_every_method_is_drawn_also_of_a_network_that_forgot_all(lab, method):
    lab.set(method=method, layers=len(lab.blocks))
    assert not lab.failed, lab.said


def agreement(lab):
    return float(row(lab, "rank correlation")[1])


def test_nothing_randomised_leaves_the_map(lab):
    lab.controls["layers"].value = 0
    assert agreement(lab) == 1
    assert "nothing randomised" in panel(lab, "maps").title
    lab.controls["layers"].value = len(lab.blocks)
    assert agreement(lab) < 0.9
    assert "all randomised" in panel(lab, "maps").title
    assert "all randomised" in lab.said


def test_hiding_all_or_nothing(lab):
    lab.controls["hidden"].value = 0
    assert float(re.search(r": ([\d.]+)% left", lab.touch.answer)[1]) > 90
    assert not hidden_in(lab, "hidden").any()
    lab.controls["hidden"].value = 100
    assert " 0.0% left, 100 % hidden" in lab.touch.answer
    assert hidden_in(lab, "hidden").all()


def test_another_class_is_asked_for(lab):
    lab.controls["photo"].choice.value = PAIR
    lab.controls["target"].field.value = "lorikeet"
    assert not lab.failed
    assert lab.touch.answer.startswith("lorikeet: ")


def test_an_upload_that_is_not_a_picture_is_shown(lab):
    lab.controls["photo"].error = "notes.txt is not a picture"
    assert lab.failed
    assert "notes.txt is not a picture" in lab.touch.answer
    lab.controls["photo"].error = ""
    lab.refresh()
    assert not lab.failed


# -- wiping, and the divider ---------------------------------------------------------------


@pytest.mark.parametrize("step", [0, 1, 7, STEPS])
def test_the_cursor_and_the_slider_are_one(lab, step):
    lab._heard("curves", {"i": step})
    percent = 100 * step // STEPS
    assert lab.values["hidden"] == percent
    assert lab.touch.hands["curves"] == {"i": step}
    mask = hidden_in(lab, "hidden")
    assert mask.sum() == round(percent / 100 * mask.size)
    assert f"{probability(lab, mask):.1%} left, {percent} % hidden" in lab.touch.answer


def test_pixels_vanish_in_the_order_of_the_map(lab):
    image, target = lab.asked.images(DOG), lab.asked.target(DOG)
    maps = QUICK["guided_backprop"](lab.model, image, target)
    importance = QUICK["guided_backprop"].importance(maps)[0].numpy()
    mask = hidden_in(lab, "hidden")
    assert importance[mask].min() >= importance[~mask].max()


def test_the_divider_stays_where_it_was_put(lab):
    lab._heard("maps", {"x": 60.3, "y": 5})
    assert lab.values["divider"] == 60
    lab.controls["layers"].value = 3
    assert lab.touch.hands["maps"]["x"] == 60
    lab.controls["divider"].value = 200
    assert lab.touch.hands["maps"]["x"] == 200


# -- hiding by hand ------------------------------------------------------------------------


def test_what_is_hidden_by_hand_is_measured_beside_map_and_chance(lab):
    hide(lab, (195, 40), (195, 60))
    mask = hidden_in(lab, "hand")
    np.testing.assert_array_equal(mask, Stroke(((195, 40), (195, 60)), 10).mask((224, 224)))
    assert row(lab, "pixels hidden") == (f"{100 * mask.mean():.1f} %", "5.0 %", "5.0 %")
    lab.set(hidden=5)
    lefts = [probability(lab, mask), probability(lab, hidden_in(lab, "hidden"))]
    whole = probability(lab, np.zeros_like(mask))
    assert row(lab, "probability")[:2] == tuple(f"{left:.1%}" for left in lefts)
    assert row(lab, "its drop")[:2] == tuple(f"{whole - left:.1%}" for left in lefts)
    dice = np.random.default_rng(1)
    draws = [dice.permutation(mask.size).reshape(mask.shape) < 2509 for _ in range(8)]
    mean = np.mean([probability(lab, draw) for draw in draws])
    assert float(row(lab, "probability")[2][:-1]) == pytest.approx(100 * mean, abs=5)


def test_no_more_than_five_per_cent_are_hidden_by_hand(lab):
    hide(lab, (0, 20), (223, 20), (0, 60), (223, 60))
    assert hidden_in(lab, "hand").sum() == round(0.05 * 224 * 224)
    assert "5.0 of 5 %" in panel(lab, "hand").title
    before = hidden_in(lab, "hand")
    hide(lab, (100, 150))
    np.testing.assert_array_equal(hidden_in(lab, "hand"), before)
    hide(lab, (0, 20), (223, 20), second=True)
    assert not hidden_in(lab, "hand")[15:25].any()


def test_a_map_that_knows_nothing_can_be_beaten(lab):
    lab.set(method="random")
    hide(lab, (190, 25), (190, 65), (205, 30), (205, 65), radius=14)
    hide(lab, (120, 80), (40, 80), radius=8)
    assert row(lab, "pixels hidden")[0] == "5.0 %"
    hand, by_map = (float(share[:-1]) for share in row(lab, "probability")[:2])
    assert hand < by_map
    expected = f"You beat the map: {hand:.1f}% left against its {by_map:.1f}%."
    assert lab.touch.answer == expected
    lab.set(method="guided_backprop")
    hide(lab, (10, 10))
    assert lab.touch.answer.startswith("Your 5.0 % leave ")


def test_sliders_and_buttons_hide_too(lab, shown):
    opening = shown(lab)
    hide(lab, (60, 90), radius=12)
    by_hand, buttons = shown(lab), lab.brush.buttons
    assert [lab.values[name] for name in ("row", "column", "radius")] == [90, 60, 12]
    buttons["clear"].click()
    buttons["first"].click()
    assert shown(lab) == by_hand
    buttons["second"].click()
    assert not hidden_in(lab, "hand").any()
    buttons["undo"].click()
    assert shown(lab) == by_hand
    buttons["clear"].click()
    lab.set(**OPENING)
    assert shown(lab) == opening


# -- two steps -----------------------------------------------------------------------------


def test_with_a_front_end_the_curves_follow_in_a_second_step(lab, monkeypatch):
    """As in a kernel: between two messages there is a loop, and actions wait in it."""
    known, between = [], set()

    def note(change):
        known.append(panel(lab, "curves").lines[0]["y"][0] is not None)

    async def choose():
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(base, "_loop_between_messages", lambda: loop)
        lab.controls["photo"].choice.value = "baseball"
        lab.touch.observe(note, names="scene")
        for _ in range(2000):
            await asyncio.sleep(0.005)
            if known == [False]:
                between.add(lab.touch.state)
            if len(known) == 2 and lab.touch.state == "":
                break

    asyncio.run(choose())
    lab.touch.unobserve(note, names="scene")
    assert known == [False, True]
    assert between == {"busy"}
    assert lab.touch.state == ""
    assert not lab.failed
    assert "…" not in lab.said


def test_between_the_two_steps_it_is_busy(lab, monkeypatch):
    states = []
    monkeypatch.setattr(lab, "soon", lambda action: states.append(action))
    lab.controls["photo"].choice.value = "espresso"
    states.clear()
    lab.refresh()
    assert states == [lab._measure]
    assert row(lab, "deletion area")[1:] == ("…", "…")
    places = len(lab.scene.panels), len(lab.scene.table)
    lab._measure()
    assert "…" not in lab.said
    assert (len(lab.scene.panels), len(lab.scene.table)) == places
    states.clear()
    lab.refresh()
    assert states == [], "what is known comes at once"


def test_the_network_is_unchanged(lab, is_unchanged):
    assert is_unchanged(lab.model)
