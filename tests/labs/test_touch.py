"""The touchable picture: what of a scene the browser gets, and a page without a kernel."""

import io
import json

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from course_utils.labs import touch
from course_utils.labs.scenes import class_bars, figure_panel, map_layer, veil
from course_utils.labs.still import draw_scene
from course_utils.labs.touch import (
    Bars,
    Curves,
    Layer,
    Pictures,
    Scene,
    Touch,
    encode,
    encode_scene,
    page,
)

RED = Image.new("RGB", (8, 4), "red")
TOOL = {"kind": "window", "step": 2}
HAND = {"x": 4, "y": 2, "w": 2, "h": 2}


def panels():
    """One panel of each kind."""
    bar = {"name": "cat", "value": 0.5, "text": "50 %", "before": 0.2}
    line = {"x": [0, 1], "y": [2.0, 3.0], "colour": "#c1440e", "name": "score"}
    photo = Pictures(
        key="photo", title="a photograph", layers=[Layer(RED), veil(np.eye(4))],
        size=(8, 4), tool=TOOL, hand=HAND, marks=[{"rect": [0, 0, 2, 2]}],
    )  # fmt: skip
    return [
        photo,
        Bars(key="bars", bars=[bar]),
        Curves(key="curve", lines=[line], xlim=(0, 1), ylim=(0, 3), hand={"i": 1}),
    ]


# -- pictures ------------------------------------------------------------------------------


def test_an_opaque_picture_is_a_jpeg_and_a_transparent_one_a_png():
    for picture, kind in ((RED, "JPEG"), (np.zeros((4, 8, 4)), "PNG")):
        assert Image.open(io.BytesIO(encode(picture)[1])).format == kind


def test_the_name_of_a_picture_is_made_of_its_pixels():
    same, other = Image.new("RGB", (8, 4), "red"), Image.new("RGB", (4, 8), "red")
    assert encode(RED) == encode(same)
    assert encode(RED)[0] != encode(other)[0]


def test_an_array_keeps_its_colours():
    values = np.zeros((2, 2, 4))
    values[..., 0], values[..., 3] = 1.0, 0.5
    picture = Image.open(io.BytesIO(encode(values)[1]))
    assert picture.getpixel((0, 0)) == (255, 0, 0, 128)


def test_remembered_pictures_do_not_pile_up():
    for number in range(300):
        encode(np.full((1, 1, 3), number / 300))
    assert len(touch._encoded) <= 256


# -- scenes --------------------------------------------------------------------------------


def test_a_scene_is_sent_as_json_with_its_pictures_by_name():
    seen, pictures = encode_scene(Scene(panels(), "an answer"))
    photo, bars, curve = seen["panels"]
    assert [layer["picture"] in pictures for layer in photo["layers"]] == [True, True]
    assert photo["tool"] == TOOL
    assert "hand" not in photo
    assert bars["bars"][0]["before"] == 0.2
    assert curve["ylim"] == [0, 3]
    assert json.loads(json.dumps(seen)) == seen


def test_a_tool_may_have_a_picture():
    photo = panels()[0]
    tooled = Pictures(
        key="a", layers=photo.layers, size=(8, 4), tool=TOOL | {"picture": RED}, hand=HAND
    )
    seen, pictures = encode_scene(Scene([tooled]))
    assert seen["panels"][0]["tool"]["picture"] in pictures


def test_a_shown_scene_puts_the_hands_where_the_controls_say():
    stage = Touch(lambda key, hand: None)
    stage.hands = {"other": {"i": 7}}
    stage.show(Scene(panels(), "an answer"))
    assert stage.hands == {"other": {"i": 7}, "photo": HAND, "curve": {"i": 1}}
    assert stage.answer == "an answer"
    assert len(stage.pictures) == 2


def test_a_question_reaches_its_lab_with_the_hand():
    asked, sent = [], []
    stage = Touch(lambda key, what: asked.append((key, what)))
    stage.send = sent.append
    stage._heard(stage, {"ask": "photo", "hand": HAND}, [])
    stage._heard(stage, {"file": "cat.png"}, [memoryview(b"pixels")])
    assert asked == [("photo", HAND), ("cat.png", b"pixels")]
    assert sent == [{"done": "photo", "hand": HAND}]


def test_a_question_that_fails_is_answered_all_the_same():
    def fail(key, hand):
        raise ValueError("no")

    stage, sent = Touch(fail), []
    stage.send = sent.append
    with pytest.raises(ValueError, match="no"):
        stage._heard(stage, {"ask": "photo", "hand": HAND}, [])
    assert sent == [{"done": "photo", "hand": HAND}]


# -- panels that labs share ----------------------------------------------------------------


def test_a_veil_is_the_more_opaque_the_larger_the_value():
    values = np.array([[0.0, 1.0], [-2.0, np.nan]])
    plain = veil(values, limit=2.0).picture
    signed = veil(values, limit=2.0, signed=True).picture
    np.testing.assert_allclose(plain[..., 3], [[0, 0.425], [0.85, 0]])
    np.testing.assert_allclose(signed[..., 3], [[0, 0.425], [0.85, 0]])
    red, blue = signed[0, 1], signed[1, 0]
    assert red[0] > red[2]
    assert blue[2] > blue[0]


def test_a_map_covers_everything():
    assert map_layer(np.eye(3)).picture.shape == (3, 3, 3)
    assert map_layer(np.ones((3, 2, 2)), limit=2.0).picture[0, 0].tolist() == [0.75] * 3


def test_bars_of_classes():
    class Named:
        name = staticmethod(lambda index: f"class {index}")

    shares, before = torch.tensor([0.1, 0.7, 0.2]), torch.tensor([0.3, 0.3, 0.4])
    top = class_bars(Named, shares, before=before, explained=[2], count=2)
    assert [bar["name"] for bar in top.bars] == ["class 1", "class 2"]
    assert [bar["text"] for bar in top.bars] == ["70.0%", "20.0%"]
    assert top.bars[1]["before"] == 0.4
    assert top.bars[0]["colour"] != top.bars[1]["colour"]
    assert [b["value"] for b in class_bars(Named, shares, [0]).bars] == [0.1]


def test_a_figure_is_a_panel_with_words():
    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([1, 2])
    panel = figure_panel(figure)
    assert panel.size == (320, 160)
    assert "line" in panel.words


# -- what stays ----------------------------------------------------------------------------


def test_a_scene_can_be_drawn_by_matplotlib():
    figure = draw_scene(Scene(panels()))
    assert len(figure.axes) == 3
    window = figure.axes[0].patches[-1]
    assert (window.get_x(), window.get_y(), window.get_width()) == (3, 1, 2)


def test_a_page_holds_script_pictures_and_answers():
    rows = [{"answer": f"number {n}", "bars": {"values": [n / 3]}} for n in range(4)]
    html = page(Scene(panels(), "</script>"), {"photo": ([("x", 0, 2, 4)], rows)})
    assert html.count("</script>") == 1, "a text that ends a script is written otherwise"
    assert "number 3" in html
    assert "export default" not in html
    assert "https://" not in html
