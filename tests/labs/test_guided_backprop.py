"""Lesson 05's lab: controls set and places touched as a learner would, maps saved."""

import pytest
import torch
from PIL import Image
from torch import nn

from course_utils.gradients import input_gradient
from course_utils.labs import guided_backprop as module
from course_utils.labs.asking import PAIR
from course_utils.labs.guided_backprop import BUNDLED, GuidedBackpropLab
from course_utils.models import Unit

RULES = ["vanilla", "guided", "deconvnet"]


@pytest.fixture(scope="module")
def built():
    return GuidedBackpropLab()


@pytest.fixture
def lab(built):
    """The lab as it opens."""
    built.controls["photo"].choice.value = "golden_retriever"
    start = {"network": BUNDLED, "layer": "", "row": 74, "column": 134}
    for name, value in start.items():
        built.controls[name].value = value
    for name in ("rules", "view", "position"):
        built.controls[name].index = 0
    built.controls["target"].choose(None)
    built._layers.clear()
    built.folder.value = "saved_maps"
    return built


def panel(lab, key):
    return next(panel for panel in lab.scene.panels if panel.key == key)


def bars(lab):
    """The names of the bars, and the one that is chosen."""
    names = [bar["name"] for bar in panel(lab, "bars").bars]
    return names, names[panel(lab, "bars").hand["i"]]


# -- classes -----------------------------------------------------------------------------


def test_it_opens_on_three_maps_of_the_top_class(lab):
    assert not lab.failed
    assert lab.touch.answer == "golden retriever: score 31.0, probability 82.6%."
    assert [panel.key for panel in lab.scene.panels] == ["photo", "bars", *RULES]
    assert bars(lab)[1] == "golden retriever"


@pytest.mark.parametrize("name", ["photo", "rules", "view"])
def test_every_value_of_every_list_draws_a_new_picture(lab, draws_each, name):
    few = (0, 1, 9, 26)  # of the photographs; lesson 02's lab is tested with all
    choice = lab.controls[name]
    draws_each(lab, getattr(choice, "choice", choice), few if name == "photo" else None)


def test_another_class_is_compared_with_the_top_class(lab):
    lab.controls["target"].field.value = "zebra"
    assert not lab.failed
    vanilla, guided, deconvnet = map(float, lab.scene.table[-1][1:])
    assert vanilla < 0.7 < 0.9 < guided
    assert deconvnet > 0.9
    assert bars(lab)[1] == "zebra"  # though it is not among the ten


def test_a_bar_of_a_class_explains_it(lab, shown):
    names, _ = bars(lab)
    lab._heard("bars", {"i": 3})
    by_hand = shown(lab), lab.said
    assert bars(lab) == (names, names[3])
    assert lab.touch.answer.startswith(names[3])
    assert names[3] in lab.controls["target"].field.value
    lab.controls["target"].choose(None)
    lab.controls["target"].field.value = names[3]
    assert (shown(lab), lab.said) == by_hand


# -- units -------------------------------------------------------------------------------


def test_a_click_lists_the_units_that_fire_most_there(lab):
    before = lab.controls["photo"].value
    lab._heard("photo", {"x": 60.0, "y": 100.0})
    assert not lab.failed, lab.said
    assert lab.controls["photo"].value == before
    assert lab.controls["layer"].value == "features.12"
    layers = lab.asked.model.features[:13]
    with torch.no_grad():
        output = layers(lab.asked.images("golden_retriever"))[0]
    here = output[:, 100 * 13 // 224, 60 * 13 // 224]
    wanted = here.topk(10)
    names, chosen = bars(lab)
    assert names == [f"channel {c}" for c in wanted.indices.tolist()]
    assert chosen == names[0]
    values = [bar["value"] for bar in panel(lab, "bars").bars]
    assert values == pytest.approx(wanted.values.tolist(), abs=1e-3)
    assert panel(lab, "bars").limits == pytest.approx((0, float(output.max())))
    assert f"row 5, column 3: {wanted.values[0]:.3g}" in lab.touch.answer


def test_the_maps_are_those_of_the_unit_at_the_place(lab):
    lab._heard("photo", {"x": 60.0, "y": 100.0})
    lab._heard("bars", {"i": 2})
    channel = int(bars(lab)[1].split()[1])
    assert lab.controls["channel"].value == channel
    unit = Unit("features.12", channel, (5, 3))
    images = lab.asked.images("golden_retriever")
    for rule, shown in zip(RULES, lab._shown.values(), strict=True):
        expected = input_gradient(lab.asked.model, images, unit, rule)[0]
        torch.testing.assert_close(shown, expected)


def test_clicks_and_controls_agree(lab, shown):
    lab._heard("photo", {"x": 60.4, "y": 100.2})
    lab._heard("bars", {"i": 4})
    by_hand, channel = (shown(lab), lab.said), lab.controls["channel"].value
    lab.controls["layer"].value = ""
    lab.controls["row"].value, lab.controls["column"].value = 9, 9
    assert (shown(lab), lab.said) != by_hand
    lab.controls["layer"].value = "features.12"
    lab.controls["row"].value, lab.controls["column"].value = 100, 60
    lab.controls["channel"].value = channel
    assert (shown(lab), lab.said) == by_hand
    assert panel(lab, "photo").hand == {"x": 60, "y": 100}


def test_keys_go_down_the_list_and_the_list_stays(lab):
    lab._heard("photo", {"x": 120.0, "y": 120.0})
    names, _ = bars(lab)
    for i in (1, 2, 9):
        lab._heard("bars", {"i": i})
        assert bars(lab) == (names, names[i])


def test_a_click_after_a_class_goes_back_to_the_layer_of_before(lab):
    lab.controls["layer"].value = "features.4"
    lab.controls["layer"].value = ""
    lab._heard("photo", {"x": 20.0, "y": 20.0})
    assert lab.controls["layer"].value == "features.4"


def test_the_pixels_that_reach_a_unit_are_framed(lab):
    assert panel(lab, "photo").marks == []
    lab.controls["layer"].value = "features.0"
    lab._heard("photo", {"x": 112.0, "y": 56.0})
    x0, y0, x1, y1 = panel(lab, "photo").marks[0]["rect"]
    assert (x1 - x0, y1 - y0) == (3 + 7 - 1, 3 + 7 - 1)  # three pixels, and a margin
    assert x0 < 112 < x1
    assert y0 < 56 < y1
    assert panel(lab, "guided").marks == panel(lab, "photo").marks


def test_a_unit_is_explained_by_layer_channel_and_position(lab, shown):
    lab.controls["layer"].value = "features.12"
    assert lab.controls["channel"].max == 511
    assert not lab.controls["channel"].disabled
    assert lab.controls["target"].field.disabled
    here = shown(lab)
    assert "fire9 (features.12), channel" in lab.touch.answer
    lab.controls["channel"].value = 374
    lab.controls["position"].value = "mean"
    assert "channel 374 of 512, mean over 13×13 positions" in lab.touch.answer
    mean = shown(lab)
    lab.controls["position"].value = "strongest"
    assert not lab.failed
    assert ", row " in lab.touch.answer
    assert len({here, mean, shown(lab)}) == 3
    lab.controls["layer"].value = "features.0"
    assert lab.controls["channel"].max == 63
    assert not lab.failed


def test_back_from_a_unit_to_a_class(lab, shown):
    before = shown(lab)
    lab.controls["layer"].value = "features.12"
    lab.controls["layer"].index = 0
    assert lab.controls["layer"].label == "a class"
    assert lab.controls["channel"].disabled
    assert not lab.controls["target"].field.disabled
    assert shown(lab) == before


def test_a_unit_without_a_relu_before_it_has_one_map(lab):
    lab.controls["layer"].value = "features.0"
    maps = list(lab._shown.values())
    assert all(m.equal(maps[0]) for m in maps)


def test_another_photograph_keeps_the_unit(lab):
    lab._heard("photo", {"x": 120.0, "y": 120.0})
    channel = lab.controls["channel"].value
    lab.controls["photo"].choice.value = "koala"
    assert lab.controls["channel"].value == channel
    assert bars(lab)[1] == f"channel {channel}"


# -- the layout --------------------------------------------------------------------------


def test_one_rule_leaves_panels_and_table_as_high_as_three(lab):
    for layer in ("", "features.12"):
        lab.controls["layer"].value = layer
        high = sum(panel.weight for panel in lab.scene.panels), len(lab.scene.table)
        assert len(panel(lab, "bars").bars) == 10
        lab.controls["rules"].value = ("guided",)
        assert [p.key for p in lab.scene.panels] == ["photo", "bars", "guided"]
        assert sum(p.weight for p in lab.scene.panels) == pytest.approx(high[0])
        assert len(lab.scene.table) == high[1]
        lab.controls["rules"].index = 0


# -- networks ----------------------------------------------------------------------------


def test_another_network_is_loaded_once_and_offers_its_own_layers(lab):
    lab.controls["layer"].value = "features.12"
    lab.controls["network"].value = "ResNet-18"
    assert not lab.failed, lab.said
    assert lab.controls["layer"].label == "a class"
    assert "layer1.0.conv1" in [path for _, path in lab.controls["layer"].options]
    assert lab.networks["ResNet-18"] is lab._asked("ResNet-18")
    lab._heard("photo", {"x": 120.0, "y": 120.0})
    assert not lab.failed, lab.said
    assert lab.asked.output("golden_retriever", lab.controls["layer"].value).ndim == 3
    lab.controls["layer"].value = "fc"
    assert not lab.failed
    assert "of 1000, its only value" in lab.touch.answer
    assert len(bars(lab)[0]) == 10


def test_a_click_asks_for_a_layer_with_places_if_there_is_one(lab, monkeypatch):
    layers = [nn.Conv2d(3, 4, 8, stride=8), nn.ReLU(), nn.Flatten()]
    layers += [nn.Linear(4 * 28 * 28, 6), nn.ReLU(), nn.Linear(6, 1000)]
    monkeypatch.setattr(module, "load_model", lambda *arguments: nn.Sequential(*layers))
    lab.controls["network"].value = "AlexNet"
    lab._heard("photo", {"x": 120.0, "y": 120.0})
    assert lab.controls["layer"].value == "0"
    assert panel(lab, "bars").title == "fire most at the ring"
    lab.controls["layer"].value = "3"
    assert not lab.failed
    assert panel(lab, "bars").title == "fire most"


def test_a_network_without_relus_is_an_error_in_the_answer(lab, monkeypatch, shown):
    smooth = nn.Sequential(
        nn.Conv2d(3, 4, 8, stride=8),
        nn.GELU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 1000),
    )
    monkeypatch.setattr(module, "load_model", lambda *arguments: smooth)
    before = shown(lab)
    lab.controls["network"].value = "ViT-B/16"
    assert lab.failed
    assert "ReLU" in lab.touch.answer
    assert shown(lab) == before
    lab.controls["rules"].value = ("vanilla",)
    assert not lab.failed


def test_a_network_that_cannot_be_loaded_is_an_error_in_the_answer(lab, monkeypatch):
    def fail(*arguments):
        raise ValueError("weights are damaged")

    monkeypatch.setattr(module, "load_model", fail)
    lab.controls["network"].value = "GoogLeNet"
    assert lab.failed
    assert "weights are damaged" in lab.touch.answer
    lab.controls["network"].value = BUNDLED
    assert not lab.failed


def test_a_network_without_layers_says_so_when_it_is_clicked(lab, monkeypatch):
    monkeypatch.setattr(type(lab.asked), "layers", lambda self: {})
    lab._heard("photo", {"x": 60.0, "y": 100.0})
    assert lab.failed
    assert "no layer whose units" in lab.touch.answer
    assert lab.controls["layer"].value == ""


def test_the_network_is_unchanged(lab, is_unchanged):
    lab._heard("photo", {"x": 120.0, "y": 120.0})
    assert is_unchanged(lab.networks[BUNDLED].model)


# -- pictures in and out -----------------------------------------------------------------


def test_a_dropped_picture_is_asked_about(lab, png):
    lab._heard("wall.png", png("red"))
    assert not lab.failed, lab.said
    assert lab.controls["photo"].value == "wall.png"
    picture = panel(lab, "photo").layers[0].picture
    assert picture.getpixel((9, 9)) == (255, 0, 0)


def test_save_writes_each_map_that_is_shown_and_says_where(lab, tmp_path):
    lab.controls["photo"].choice.value = PAIR
    lab.folder.value = f"{tmp_path}/new/maps"
    lab.save.click()
    assert not lab.failed
    assert f"{tmp_path}/new/maps" in lab.touch.answer
    files = sorted((tmp_path / "new" / "maps").iterdir())
    assert [f.stem.rsplit("-", 1)[1] for f in files] == ["deconvnet", "guided", "vanilla"]
    assert all(file.name in lab.touch.answer for file in files)
    with Image.open(files[0]) as picture:
        assert picture.size == (224, 224)


@pytest.mark.parametrize("folder", ["", "a file/maps"])
def test_a_folder_that_cannot_be_written_is_an_error_in_the_answer(lab, tmp_path, folder):
    (tmp_path / "a file").write_text("in the way")
    lab.folder.value = folder and f"{tmp_path}/{folder}"
    lab.save.click()
    assert lab.failed
    assert ("a file" if folder else "folder must be") in lab.touch.answer
    assert [f.name for f in tmp_path.iterdir()] == ["a file"]
