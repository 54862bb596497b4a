"""Labs of a network of one's own: other sizes, channels, types, classes and outputs."""

import json

import pytest
import torch
from torch import nn

from course_utils._machinery.arguments import ArgumentError
from course_utils.inputs import Inputs
from course_utils.labs.asking import Asked
from course_utils.labs.batch_maps import BatchMapsLab
from course_utils.labs.class_visualization import ClassVisualizationLab
from course_utils.labs.guided_backprop import GuidedBackpropLab
from course_utils.labs.live import LiveLab
from course_utils.labs.occlusion import OcclusionLab
from course_utils.labs.still import draw_scene
from course_utils.labs.theory import TheoryLab
from course_utils.labs.trust import TrustLab
from course_utils.labs.vanilla_saliency import VanillaSaliencyLab
from course_utils.labs.weak_localization import WeakLocalizationLab
from course_utils.labs.your_own import YourOwnLab

GIVEN = [VanillaSaliencyLab, GuidedBackpropLab, TrustLab, OcclusionLab, YourOwnLab]
OTHERS = [BatchMapsLab, TheoryLab, WeakLocalizationLab, ClassVisualizationLab]
PHOTO = "golden_retriever"


def network(channels=3, classes=5, *end):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(channels, 8, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(8, 8, 3),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(8, classes),
            *end,
        ).eval()


class Wrapped(nn.Module):
    """A network whose outputs are changed by a function."""

    def __init__(self, change, classes=5):
        super().__init__()
        self.inner, self.change = network(3, classes), change

    def forward(self, images):
        return self.change(self.inner(images))


class FixedSize(nn.Module):
    """Takes 32×32 pixels only."""

    def __init__(self):
        super().__init__()
        self.conv, self.relu = nn.Conv2d(3, 4, 3, padding=1), nn.ReLU()
        self.fc = nn.Linear(4 * 32 * 32, 3)

    def forward(self, images):
        return self.fc(self.relu(self.conv(images)).flatten(1))


GREY = {"mean": [0.5], "std": [0.2]}
WORKING = {
    "oblong": (network, {"size": (60, 140)}, "class "),
    "grey": (lambda: network(1), {"size": 64, **GREY}, "class "),
    "half": (lambda: network().half(), {"size": 64}, "class "),
    "bfloat16": (lambda: network().bfloat16(), {"size": 64}, "class "),
    "double": (lambda: network().double(), {"size": 64}, "class "),
    "with names": (network, {"size": 64, "names": ["ok", *"abcd"]}, ""),
    "one logit": (lambda: network(3, 1), {"size": 64}, "class 0"),
    "softmax": (lambda: network(3, 5, nn.Softmax(1)), {"size": 64}, "class "),
    "sigmoids": (lambda: network(3, 5, nn.Sigmoid()), {"size": 64}, "class "),
    "a fixed size": (FixedSize, {"size": 32}, "class "),
}
NAMES = "names must be one for each class of the network, 5, got 3"
FAILING = {
    "a dict": (lambda: Wrapped(lambda o: {"logits": o}), {"size": 64}, "got a dict"),
    "one number": (lambda: Wrapped(lambda o: o[:, 0]), {"size": 64}, "of shape (1,)"),
    "too few names": (network, {"size": 64, "names": ["a", "b", "c"]}, NAMES),
    "another size": (FixedSize, {"size": 64}, "do not go through FixedSize"),
    "no images": (lambda: nn.Linear(2, 3), {"size": 64}, "do not go through Linear"),
}


def opened(kind, model, inputs):
    if kind in GIVEN:
        return kind(model, inputs=inputs)
    model.inputs = inputs
    return kind(model)


def run(lab):
    """What it says in the end; the class visualisation makes a few steps only."""
    if isinstance(lab, LiveLab):
        if "steps" in lab.controls:
            lab.controls["steps"].value = 16
        assert lab.start()
        assert lab.wait()
    return lab.said


@pytest.mark.parametrize(
    ("kind", "case"),
    [
        pytest.param(kind, case, id=f"{kind.__name__}-{case}")
        for kind in GIVEN + OTHERS
        for case in WORKING
        # The picture of the class visualisation has a size of its own.
        if not (kind is ClassVisualizationLab and case == "a fixed size")
    ],
)
def test_a_network_of_ones_own_is_shown(kind, case):
    make, given, name = WORKING[case]
    lab = opened(kind, make(), Inputs(**given))
    assert not lab.failed, lab.touch.answer
    words = run(lab)
    assert not lab.failed, words
    panels = lab.touch.scene["panels"]
    assert name in words + json.dumps(panels)
    assert lab.touch.state == ""
    assert len(draw_scene(lab.scene).axes) == len(panels) > 1


@pytest.mark.parametrize("case", FAILING)
@pytest.mark.parametrize("kind", GIVEN, ids=lambda kind: kind.__name__)
def test_a_network_that_cannot_be_shown_is_said_in_the_status_line(kind, case):
    make, given, words = FAILING[case]
    lab = opened(kind, make(), Inputs(**given))
    assert lab.failed
    assert words in lab.touch.answer
    lab._ipython_display_()


@pytest.mark.parametrize("kind", GIVEN, ids=lambda kind: kind.__name__)
def test_its_classes_are_found_by_their_number_or_name(kind):
    lab = kind(network(3, 12), inputs=Inputs(size=64))
    finder = lab.controls["target"]
    finder.field.value = "1"
    assert finder.value == 1, "a whole word, before 10 and 11"
    assert {"class 1 (1)", "class 10 (10)", "class 11 (11)"} < set(finder.field.options)
    lab = kind(network(3, 2), inputs=Inputs(size=64, names=["fine", "scratch"]))
    lab.controls["target"].field.value = "scr"
    assert lab.controls["target"].value == 1


@pytest.mark.parametrize("kind", [VanillaSaliencyLab, YourOwnLab, GuidedBackpropLab])
def test_another_network_brings_its_own_classes_and_none_is_chosen(kind, monkeypatch):
    lab = kind(network(), inputs=Inputs(size=64))
    finder = lab.controls["target"]
    finder.field.value = "3"
    assert finder.value == 3
    others = [n for n in lab.controls["network"].options if "random" in n or "1.1" in n]
    other = others[0] if others else lab.controls["network"].options[1][1]
    lab.controls["network"].value = other
    assert not lab.failed, lab.touch.answer
    assert finder.value is None
    finder.field.value = "goldfish"
    assert finder.value == 1
    assert "goldfish" in lab.said


def test_probabilities_are_those_of_its_outputs():
    def asked(model):
        return Asked(model, inputs=Inputs(size=64))

    plain, ending = asked(network()), asked(network(3, 5, nn.Softmax(1)))
    expected = plain.scores(PHOTO).softmax(0)
    torch.testing.assert_close(plain.probabilities(PHOTO), expected)
    torch.testing.assert_close(ending.probabilities(PHOTO), expected)
    torch.testing.assert_close(ending.scores(PHOTO), expected)
    single = asked(network(3, 1))
    torch.testing.assert_close(single.probabilities(PHOTO), single.scores(PHOTO).sigmoid())


def test_the_inputs_of_the_network_itself_are_taken():
    model = network(1)
    model.inputs = Inputs(size=(40, 50), **GREY)
    assert Asked(model).images(PHOTO).shape == (1, 1, 40, 50)


def test_a_network_of_one_channel_is_shown_grey_pictures():
    model = network(1)
    model.inputs = Inputs(size=40, **GREY)
    red, green, blue = Asked(model).looks(PHOTO).split()
    assert red.tobytes() == green.tobytes() == blue.tobytes()


@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize("kind", GIVEN + OTHERS, ids=lambda kind: kind.__name__)
def test_a_network_of_other_channels_is_refused_at_once(kind, channels):
    inputs = Inputs(64, [0.5] * channels, [0.2] * channels)
    with pytest.raises(ArgumentError, match=f"as labs show photographs.* got {channels}"):
        opened(kind, network(channels), inputs)


def test_old_keywords_go_on_working():
    given = {"mean": (0.5,) * 3, "std": (0.2,) * 3, "size": 48, "names": list("abcde")}
    asked = YourOwnLab(network(), **given).asked
    assert asked.inputs == Inputs(**given)
    assert asked.images(PHOTO).shape == (1, 3, 48, 48)


def test_what_is_assumed_of_a_network_is_said():
    with pytest.warns(UserWarning, match="does not say how its pictures are prepared"):
        TrustLab(network())


@pytest.mark.parametrize("colour", ["red only", "green only", "blue only"])
def test_a_network_of_one_channel_has_no_colours(colour):
    lab = VanillaSaliencyLab(network(1), inputs=Inputs(size=64, **GREY))
    lab.controls["channels"].value = colour
    assert "the network takes no three colours" in lab.touch.answer
    assert lab.failed
