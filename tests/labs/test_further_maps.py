"""Lesson 08's lab: its controls set, and its divider moved, as a learner would."""

import numpy as np
import pytest
import torch

from course_utils import grad_cam, integrated_gradients, smooth_grad
from course_utils.evaluation import rank_correlation
from course_utils.labs.asking import PAIR
from course_utils.labs.further_maps import OFFERED, OWN, FurtherMapsLab, newest
from course_utils.labs.scenes import method_layer

DOG = "german_shepherd"
OPENING = {"methods": ("vanilla_saliency", "grad_cam"), "layer": "", "noise": 5}
OPENING |= {"fill": "mean colour", "divider": 112, "row": 44}


@pytest.fixture(scope="module")
def built():
    return FurtherMapsLab()


@pytest.fixture
def lab(built):
    """The lab as it opens, whatever an earlier test has left."""
    built.controls["photo"].choice.value = DOG
    built.controls["target"].choose(None)
    built.pair = OPENING["methods"]
    built.set(**OPENING)
    built.refresh()
    return built


def row(lab, beginning):
    return next(line[1:] for line in lab.scene.table if line[0].startswith(beginning))


def drawn(lab):
    """The two layers that lie over the photograph, as bytes."""
    layers = lab.scene.panels[0].layers[1:]
    assert [layer.side for layer in layers] == ["left", "right"]
    return [np.asarray(layer.picture).tobytes() for layer in layers]


def over(method, maps):
    picture = method_layer(OFFERED[method], maps[0]).picture
    return np.asarray(picture).tobytes()


def asked(lab):
    return lab.asked.model, lab.asked.images(DOG), lab.asked.target(DOG)


# -- the maps, beside an independent computation -------------------------------------------


def test_it_opens_with_two_maps_and_how_alike_they_are(lab):
    assert not lab.failed, lab.said
    maps = [OFFERED[name](*asked(lab)) for name in OPENING["methods"]]
    assert drawn(lab) == [
        over(name, one) for name, one in zip(OPENING["methods"], maps, strict=True)
    ]
    alike = rank_correlation(*maps).item()
    words = f"German shepherd: vanilla gradient and Grad-CAM, rank correlation {alike:.2f}."
    assert lab.touch.answer == words


@pytest.mark.parametrize(
    ("method", "control", "value", "make"),
    [
        ("grad_cam", "layer", "features.9", lambda *q: grad_cam(*q, layer="features.9")),
        ("smooth_grad", "noise", 15, lambda *q: smooth_grad(*q, samples=8, noise=0.15)),
        (
            "integrated_gradients",
            "fill",
            "blurred picture",
            lambda *q: integrated_gradients(*q, steps=12, fill="blur"),
        ),
    ],
)
def test_a_method_has_a_control_of_its_own(lab, method, control, value, make):
    lab.set(methods=(method,))
    before = drawn(lab)
    lab.controls[control].value = value
    assert not lab.failed, lab.said
    assert drawn(lab) != before
    assert drawn(lab)[0] == over(method, make(*asked(lab)))


@pytest.mark.parametrize(
    ("name", "value"), [("methods", ("deconvnet",)), ("photo", "goldfish"), ("divider", 30)]
)
def test_each_control_changes_the_picture(lab, shown, name, value):
    before = shown(lab), dict(lab.touch.hands)
    control = lab.controls[name]
    getattr(control, "choice", control).value = value
    assert not lab.failed, lab.said
    assert (shown(lab), dict(lab.touch.hands)) != before


def test_another_class_is_asked_for(lab):
    lab.controls["photo"].choice.value = PAIR
    lab.controls["target"].field.value = "lorikeet"
    assert lab.touch.answer.startswith("lorikeet: ")


# -- two chips at most ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "pressed", "pair"),
    [
        (("a", "b"), ("a", "b", "c"), ("b", "c")),
        (("b", "c"), ("a", "b", "c"), ("c", "a")),
        (("a", "b"), ("b",), ("b",)),
        (("b",), ("a", "b"), ("b", "a")),
        (("a", "b"), (), ()),
    ],
)
def test_the_newest_two_are_compared(before, pressed, pair):
    assert newest(before, pressed) == pair


def test_a_third_method_takes_the_place_of_the_older_one(lab):
    chips = lab.controls["methods"].chips
    chips["guided_backprop"].value = True
    assert "Grad-CAM and guided backprop" in lab.touch.answer
    assert not chips["vanilla_saliency"].value
    chips["vanilla_saliency"].value = True
    assert "guided backprop and vanilla gradient" in lab.touch.answer
    assert {name for name, chip in chips.items() if chip.value} == {
        "guided_backprop",
        "vanilla_saliency",
    }


def test_one_method_is_shown_and_none_is_said(lab):
    lab.controls["methods"].value = ("grad_cam",)
    assert lab.touch.answer == "German shepherd: Grad-CAM; press another method to compare."
    assert len(lab.scene.panels[1].bars) == 1
    lab.controls["methods"].value = ()
    assert lab.failed
    assert "Choose one method or two" in lab.touch.answer


# -- the hand, and the numbers -------------------------------------------------------------


def test_the_dot_of_the_divider_says_how_high_a_place_ranks(lab):
    lab.set(methods=("grad_cam",))
    strength = grad_cam(*asked(lab))[0]
    top, left = divmod(int(strength.argmax()), 224)
    lab._heard("maps", {"x": left + 0.2, "y": top - 0.3})
    assert (lab.values["divider"], lab.values["row"]) == (left, top)
    assert lab.touch.hands["maps"] == {"x": left, "y": top}
    assert lab.scene.panels[1].bars[0]["value"] > 0.98
    lab._heard("maps", {"x": 400, "y": -3})
    assert (lab.values["divider"], lab.values["row"]) == (224, 0)
    assert not lab.failed, lab.said


def test_shares_add_up_and_noisy_copies_are_counted(lab):
    lab.set(methods=("integrated_gradients", "smooth_grad"))  # in the chips' order
    model, image, target = asked(lab)
    with torch.no_grad():
        rise = (model(image) - model(0 * image))[0, target].item()
    assert row(lab, "its values")[1].endswith(f"the score rises by {rise:.1f}")
    total = float(row(lab, "its values")[1].split(";")[0])
    assert total == pytest.approx(rise, rel=0.05)
    assert row(lab, "noisy copies") == ("8 of 8", "–")
    lab.controls["noise"].value = 20
    assert row(lab, "noisy copies") == ("0 of 8", "–")


def test_the_network_is_unchanged(lab, is_unchanged):
    assert is_unchanged(lab.asked.model)


def test_a_control_is_off_while_its_method_is_not_shown(lab):
    on = {"vanilla_saliency": set(), "grad_cam": {"layer"}, "smooth_grad": {"noise"}}
    for method, own in (on | {"integrated_gradients": {"fill"}}).items():
        lab.set(methods=(method,))
        names = {name for name in OWN.values() if not lab.controls[name].disabled}
        assert names == own
