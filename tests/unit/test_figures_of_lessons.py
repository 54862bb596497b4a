"""Figures that only one lesson draws: they show the data that they are given."""

import numpy as np
import pytest
import torch
from matplotlib.patches import Rectangle
from PIL import Image

from course_utils.figures import (
    chart,
    colour_of,
    describe,
    draw,
    plot_answers,
    plot_boxes,
    plot_close_ups,
    plot_evidence,
    plot_flow,
    plot_intervals,
    plot_overlays,
    plot_places,
    plot_tangent,
    sentence,
)

GREY = Image.new("RGB", (224, 224), (90, 90, 90))


def texts(axis):
    return [text.get_text() for text in axis.texts]


def test_axes_for_curves_are_in_the_style_of_the_course():
    axis = chart("It falls", "step", "error", ylim=(0, 2))
    axis.plot([0, 1], [2, 1])
    assert axis.get_title(loc="left") == "It falls"
    assert (axis.get_xlabel(), axis.get_ylim()) == ("step", (0, 2))
    assert not axis.spines["top"].get_visible()
    assert axis.lines[0].get_color() == colour_of("vanilla")
    assert len(chart(count=3)) == 3


def test_overlays_show_the_photograph_once_and_first():
    maps = [np.eye(32), -2 * np.eye(32)]
    figure = plot_overlays(GREY, maps, ["photo", "a", "b"])
    assert describe(figure).startswith("3 panels: “photo”; picture 32×32")
    # One map has negative values, so zero has one colour in both.
    assert describe(figure).count("and beyond; map 32×32") == 2
    assert sentence(figure) == "A photograph, photo, and two maps laid over it: a, b."
    with pytest.raises(ValueError):
        plot_overlays(GREY, maps, ["photo", "a"])


def test_boxes_stand_where_they_are_and_the_first_picture_names_them():
    figure = plot_boxes(
        [GREY] * 2, [(10, 20, 60, 90)] * 2, [(12, 24, 70, 95), None], ["IoU 0.7", "IoU 0"]
    )
    first, second = figure.axes
    frames = [p for p in first.patches if isinstance(p, Rectangle)]
    assert [f.get_bbox().extents.tolist() for f in frames] == [
        [11.5, 23.5, 69.5, 94.5],
        [9.5, 19.5, 59.5, 89.5],
    ]
    assert texts(first) == ["drawn", "found", "IoU 0.7"]
    assert texts(second) == ["IoU 0"]
    assert len(second.patches) == 1


def test_evidence_is_laid_beside_its_pictures_on_one_scale():
    maps = np.array([[[1.0, 0.0], [0.0, -1.0]], [[0.0, 0.0], [0.0, 0.0]]])
    figure = plot_evidence([GREY] * 2, maps, ["says dog", "says bear"], limit=0.5)
    titles = [axis.get_title(loc="left") or axis.get_title() for axis in figure.axes[:4]]
    assert titles == ["says dog", "its evidence", "says bear", "its evidence"]
    laid, plain = (figure.axes[k].images[0].get_array() for k in (1, 3))
    red, blue = laid[0, 0], laid[-1, -1]
    assert red[0] > red[2]
    assert blue[2] > blue[0]
    assert np.allclose(plain, plain[0, 0])


def test_answers_are_framed_red_above_zero_and_blue_below():
    values = torch.tensor([[4.0, -1.0], [1.0, -4.0]])
    figure = plot_answers([[GREY] * 2] * 2, values, ["bear", "dog"], ["snow", "green"])
    assert [texts(axis) for axis in figure.axes] == [["+4.0"], ["−1.0"], ["+1.0"], ["−4.0"]]
    colours = [axis.spines["top"].get_edgecolor() for axis in figure.axes]
    assert [c[0] > c[2] for c in colours] == [True, False, True, False]
    assert colours[0][1] < colours[2][1]  # deeper
    assert figure.axes[2].get_ylabel() == "dog"


def test_places_have_the_colours_of_their_classes():
    classes = torch.tensor([[7, 7], [7, 9]])
    names = {7: "cat", 9: "dog"}
    figure = plot_places(GREY, classes, [0, 100], [0, 100], 100, names)
    tinted = figure.axes[1].images[0].get_array()
    corners = [tinted[50, 50], tinted[50, 150], tinted[150, 50], tinted[150, 150]]
    assert np.allclose(corners[0], corners[1])
    assert np.allclose(corners[0], corners[2])
    assert not np.allclose(corners[0], corners[3])
    assert "7 7; 7 9" in describe(figure)
    keys = [text.get_text() for text in figure.axes[1].get_legend().get_texts()]
    assert keys == ["cat", "dog"]


def test_close_ups_frame_the_place_of_each_map():
    maps = torch.zeros(2, 3, 224, 224)
    maps[0, :, 60, 50], maps[1, :, 220, 200] = 1, -1
    figure = plot_close_ups(GREY, maps, ["a", "b"], side=40)
    frames = [patch.get_bbox().extents.tolist() for patch in figure.axes[0].patches]
    assert frames == [[30, 40, 70, 80], [180, 184, 220, 224]]
    below = [axis.images[0].get_array() for axis in figure.axes[4:]]
    assert [image.shape[:2] for image in below] == [(40, 40)] * 2
    assert below[0][20, 20].min() == 1
    assert below[1][36, 20].max() == 0


def test_close_ups_are_as_large_as_what_is_there():
    small = torch.zeros(3, 224, 224)
    small[0, 60:80, 30:40] = 1
    figure = plot_close_ups(GREY, [small, torch.ones(3, 224, 224)], ["a", "b"])
    frames = [patch.get_bbox().extents.tolist() for patch in figure.axes[0].patches]
    assert frames == [[22, 57, 48, 83], [0, 0, 224, 224]]
    assert "26 pixels wide" in describe(figure)


def test_the_way_forward_and_back_is_in_the_words():
    tensor = torch.rand(3, 16, 16)
    forward = [("file", GREY), ("tensor", tensor), ("scores", torch.arange(8.0)[None])]
    figure = plot_flow(
        forward, [("gradient", tensor - 0.5), ("map", tensor[0])], "c{}".format
    )
    words = describe(figure)
    assert "“1 file”; 224×224 RGB" in words
    assert "“2 tensor”; (3, 16, 16)" in words
    assert "c7  7.0" in words
    assert "c2" not in words, "only the five largest"
    order = [words.index(name) for name in ("5 map", "4 gradient")]
    assert order == sorted(order), "the way back runs from right to left"
    assert sentence(figure).endswith("file, tensor, scores, gradient, map.")
    assert draw(figure)


def test_a_tangent_stands_beside_the_two_pictures_it_is_about():
    figure = plot_tangent(GREY, GREY, [-1, 0, 1], [1.0, 3.0, 5.0], torch.tensor([2, 3, 4]))
    assert [axis.get_title(loc="left") for axis in figure.axes] == [
        "score 3",
        "score 4",
        "score",
    ]
    tangent, network = figure.axes[2].lines
    assert tangent.get_ydata().tolist() == [1, 3, 5]
    assert network.get_ydata().tolist() == [2, 3, 4]


def test_intervals_have_the_colours_of_the_methods_and_a_band_of_the_baselines():
    rows = {
        "Grad-CAM": (0.5, 0.4, 0.6),
        "random": (0.1, 0.0, 0.2),
        "edges": (0.3, 0.2, 0.4),
    }
    figure = plot_intervals({"deletion ↓": rows, "points": rows}, ["random", "edges"])
    axis = figure.axes[0]
    assert axis.get_title(loc="left") == "deletion\nlower is better"
    assert axis.lines[0].get_color() == colour_of("grad_cam")
    assert axis.lines[2].get_color() == axis.lines[4].get_color() == colour_of("random")
    (band,) = axis.patches
    assert band.get_extents().transformed(axis.transData.inverted()).x0 == pytest.approx(
        0.1
    )
    assert band.get_extents().transformed(axis.transData.inverted()).x1 == pytest.approx(
        0.3
    )
