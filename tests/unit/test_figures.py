"""Figures: their scale is stated, and their text alternative follows their data."""

import base64
import io
import re

import matplotlib
import numpy as np
import pytest
import torch
import toys
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from course_utils import (
    deconvnet,
    deprocess,
    load_model,
    load_samples,
    preprocess,
    vanilla_saliency,
)
from course_utils.figures import (
    colour_of,
    describe,
    draw,
    in_words,
    lighten,
    map_limits,
    map_panel,
    map_picture,
    overlay,
    overlay_panel,
    plot_images,
    plot_maps,
    plot_panels,
    plot_rows,
    plot_saliency,
    plot_signed,
    plot_table,
    plot_tables,
    range_text,
    save_map,
    sentence,
    show,
    show_file,
    signed_panel,
    signed_picture,
    smooth,
    to_png,
)
from course_utils.figures.style import GREY as GREY_LINE
from course_utils.methods import METHODS

GREY = Image.new("RGB", (32, 32), (90, 90, 90))


def bump(row=20, column=9, size=32, height=1.0):
    """A smooth map with its maximum at one pixel."""
    rows, columns = np.mgrid[:size, :size]
    return height * np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / 60)


def words(values, **style):
    figure = Figure()
    figure.subplots().imshow(values, **style)
    return describe(figure)


def drawn(draw):
    figure = Figure()
    draw(figure.subplots())
    return describe(figure)


def shaken(values, amount=1e-6, seed=0):
    """The same values with the rounding noise of another processor."""
    return values * (1 + amount * np.random.default_rng(seed).standard_normal(values.shape))


@pytest.fixture(scope="module")
def photographs():
    """Pictures, and their maps for the top class and for another one."""
    model, samples = load_model(), load_samples(2)
    images = preprocess(samples.images, 112)
    maps = vanilla_saliency(model, images), vanilla_saliency(model, images, 283)
    return samples.images, *(m.numpy() for m in maps)


# -- the text alternative --------------------------------------------------------------


@pytest.mark.parametrize("scale", ["each", "shared"])
@pytest.mark.parametrize("overlaid", [False, True])
def test_words_hold_on_another_processor(photographs, scale, overlaid):
    pictures, maps, _ = photographs
    style = {"titles": ["a", "b"], "scale": scale, "overlaid": overlaid}
    text = describe(plot_maps(pictures, maps, **style))
    for seed in range(3):
        assert describe(plot_maps(pictures, shaken(maps, seed=seed), **style)) == text


CHANGES = {
    "flipped": lambda m: m[:, :, ::-1],
    "upside down": lambda m: m[:, ::-1],
    "transposed": lambda m: m.swapaxes(1, 2),
    "moved by one pixel": lambda m: np.roll(m, 1, axis=2),
    "in another order": lambda m: m[::-1],
    "one and a half times as strong": lambda m: 1.5 * m,
    "smoothed": lambda m: np.stack([smooth(one, 1) for one in m]),
    "squared": lambda m: m**2,
    "without its brightest pixel": lambda m: np.where(
        m == m.max((1, 2), keepdims=True), 0, m
    ),
    "one map is lost": lambda m: np.stack([np.zeros_like(m[0]), *m[1:]]),
    "all the same": lambda m: np.stack([m[0]] * len(m)),
}


@pytest.mark.parametrize("overlaid", [False, True])
@pytest.mark.parametrize("change", CHANGES)
def test_words_change_with_the_maps(photographs, change, overlaid):
    pictures, maps, _ = photographs
    text = describe(plot_maps(pictures, maps, overlaid=overlaid))
    assert describe(plot_maps(pictures, CHANGES[change](maps), overlaid=overlaid)) != text


def test_words_change_with_the_class_the_pictures_the_titles_and_the_scale(photographs):
    pictures, maps, others = photographs
    titles = ["a", "b"]
    text = describe(plot_maps(pictures, maps, titles))
    for figure in (
        plot_maps(pictures, others, titles),
        plot_maps(pictures[::-1], maps, titles),
        plot_maps(pictures, maps, titles[::-1]),
        plot_maps(pictures, maps, titles, scale="shared"),
        plot_maps(pictures, maps, titles, overlaid=True),
        plot_maps(pictures[:1], maps[:1], titles[:1]),
    ):
        assert describe(figure) != text


@pytest.mark.parametrize("moved", [(0, 1), (1, 0), (-3, 2)])
def test_words_change_when_the_brightest_pixel_moves(moved):
    values = np.zeros((32, 32))
    values[7, 21] = 1
    assert words(values) != words(np.roll(values, moved, axis=(0, 1)))


def test_words_of_a_map():
    assert words(bump(20, 9)).startswith(
        "1 panel: map 32×32, mean 0.17, largest 1 at row 20, "
    )
    assert "column 9, layout" in words(bump(20, 9))
    assert "largest -2 at row 20" in words(-2 * bump(20, 9))
    assert words(bump(3, 3)).endswith("layout 910 100 000")


def test_sign_and_size_of_a_map_are_told():
    texts = {words(height * bump()) for height in (1, -1, 1e-3, 1e-9, 1e9)}
    assert len(texts) == 5


# Where rounding has the choice: equal maxima, values half-way between two digits.
EDGES = {
    "flat": np.full((9, 9), 0.5),
    "two equal maxima": np.maximum(bump(5, 5), bump(25, 25)),
    "half and half": np.repeat([[0.0, 1.0]], 32, axis=0).repeat(16, axis=1),
    "half-way between two numbers": bump(height=0.125),
    "chess": np.indices((30, 30)).sum(axis=0) % 2.0,
}


@pytest.mark.parametrize("edge", EDGES)
def test_words_hold_where_rounding_has_the_choice(edge):
    for seed in range(9):
        assert words(shaken(EDGES[edge], seed=seed)) == words(EDGES[edge])


def test_words_of_maps_without_a_value():
    assert "mean 0, largest 0 at row 0, column 0" in words(np.zeros((4, 4)))
    assert "nothing in it yet" in words(np.full((4, 4), np.nan))
    values = bump()
    values[:5] = np.nan
    assert "largest 1 at row 20, column 9" in words(values)


def test_words_of_a_picture_hold_in_bytes_and_in_floats():
    picture = np.asarray(load_samples(1).images[0])
    assert words(picture) == words(picture / 255)
    assert words(picture) != words(picture[:, ::-1])
    assert words(picture) != words(picture[::-1])
    assert words(picture) != words(picture // 2)


def test_words_of_bars():
    lying = drawn(lambda axis: axis.barh(["a", "b"], [0.5, 0.25]))
    standing = drawn(lambda axis: axis.bar([0, 1], [0.5, 0.25], align="edge"))
    assert lying == standing == "1 panel: 2 bars: 0.5, 0.25"
    counts = drawn(lambda axis: axis.hist(np.arange(40) ** 2, bins=20))
    assert "20 bars, sum 40, largest 9 at number 0" in counts


def test_words_of_lines_points_and_boxes():
    line = drawn(lambda axis: axis.plot([0, 1, 2], [1, 5, 3], label="error"))
    assert line == "1 panel: line “error” of 3 points, from 1 to 3, mean 3"
    points = drawn(lambda axis: axis.scatter([1, 2, 3], [4, 5, 9]))
    assert points == "1 panel: 3 points around (2, 6)"
    box = drawn(lambda axis: axis.add_patch(Rectangle((3, 4), 10, 20, fill=False)))
    assert box == "1 panel: box from (3, 4) to (13, 24)"


def test_words_of_titles_and_labels():
    figure = Figure()
    figure.suptitle("Two things")
    left, right = figure.subplots(1, 2)
    left.set(title="one\nline", xlabel="x", ylabel="y")
    text = describe(figure)
    assert text == "“Two things”. 2 panels: “one line”; x by y | empty"


def test_words_of_a_table_are_its_numbers():
    table = np.arange(6).reshape(2, 3)
    text = describe(plot_table(table, marked=[(0, 2), (1, 0)]))
    assert text == "1 panel: 0 1 [2]; [3] 4 5"
    assert describe(plot_table(table, marked=[(0, 1)])) != text


def test_a_colour_bar_is_no_panel():
    figure = plot_maps([GREY] * 2, [bump(), bump()], scale="shared")
    assert describe(figure).startswith("4 panels:")
    figure.colorbar(figure.axes[2].images[0])
    assert describe(figure).startswith("4 panels:")


def test_words_are_safe_in_html():
    assert "&lt;b&gt;" in in_words("<b>")


# -- scales ----------------------------------------------------------------------------


def test_limit_of_each_map_is_its_own():
    maps = [np.eye(2), 4 * np.eye(2)]
    assert map_limits(maps) == [1, 4]
    assert map_limits(maps, "shared") == [4, 4]
    assert map_limits(torch.stack([torch.eye(2), -4 * torch.eye(2)])) == [1, 4]


def test_limit_stands_at_a_percentile_of_the_sizes():
    values = np.arange(1, 1001).reshape(25, 40)
    assert map_limits([values]) == [996]
    assert map_limits([-values]) == [996]
    assert map_limits([values], percentile=100) == [1000]


@pytest.mark.parametrize("scale", ["each", "shared"])
def test_limit_is_never_zero(scale):
    lonely = np.zeros((100, 100))
    lonely[3, 4] = 0.2
    assert map_limits([np.zeros((4, 4))], scale) == [1]
    assert map_limits([lonely], scale) == [0.2]
    assert min(map_limits([np.zeros((4, 4)), lonely], scale)) > 0


def legends(figure):
    return [text.get_text() for text in figure.texts]


def test_scale_of_each_map_is_its_own_and_in_its_words():
    figure = plot_maps([GREY] * 2, [bump(), bump(height=3)])
    limits = map_limits([bump(), bump(height=3)])
    assert [axes.images[0].get_clim() for axes in figure.axes[2:]] == [
        (0, v) for v in limits
    ]
    assert all(f"{range_text(limit)}; map" in describe(figure) for limit in limits)
    assert legends(figure) == ["0", "each map on its own scale"]


def test_shared_scale_is_stated_by_one_colour_bar():
    figure = plot_maps([GREY] * 2, [bump(), bump(height=3)], scale="shared")
    limit = map_limits([bump(height=3)])[0]
    maps = [axes.images[0].get_clim() for axes in figure.axes[2:4]]
    assert maps == [(0, limit), (0, limit)]
    assert legends(figure) == ["0", f"{limit:.2g} and above"]
    assert describe(figure).count(range_text(limit)) == 2


def test_ranges_stand_below_the_maps_where_they_are_asked_for():
    maps = [bump(), bump(height=3)]
    ranges = [range_text(limit) for limit in map_limits(maps)]
    below = [axis.get_xlabel() for axis in plot_maps([GREY] * 2, maps, ranges=True).axes]
    assert below == ["", "", *ranges]
    panels = [(GREY, "", {}), signed_panel(bump(), limit=2.0)]
    below = [axis.get_xlabel() for axis in plot_panels(panels, ranges=True).axes]
    assert below == ["", "±2 and beyond"]


def test_rows_on_scales_of_their_own_say_so():
    rows = [[bump(), bump(height=2)], [bump(height=5), bump()]]
    assert legends(plot_rows(rows, "ab", "cd", scale="shared"))[1] == (
        "each row on its own scale"
    )
    assert legends(plot_rows(rows, "ab", "cd"))[1] == "each map on its own scale"
    columns = [map_panel(bump(), limit=limit) for limit in (1.0, 2.0)] * 2
    assert legends(plot_panels(columns, columns=2))[1] == "each column on its own scale"


def test_signed_and_unsigned_maps_have_a_colour_bar_each():
    figure = plot_panels([map_panel(bump()), signed_panel(bump(), limit=2.0)])
    assert legends(figure)[2:] == ["−2", "2 and beyond"]


def test_no_room_is_kept_for_what_is_not_there():
    bare = plot_images([GREY] * 3).get_figheight()
    titled = plot_images([GREY] * 3, ["a", "b", "c"]).get_figheight()
    panels = [(GREY, "", {})] * 6
    two_rows = plot_panels(panels, columns=3).get_figheight()
    assert bare < titled
    assert bare == pytest.approx(two_rows / 2, abs=0.1)
    wide = [(GREY.crop((0, 0, 32, 16)), "", {})] * 3
    assert plot_panels(wide).get_figheight() == pytest.approx(bare / 2, abs=0.1)


@pytest.mark.parametrize(("count", "pixels"), [(1, 312), (2, 620), (3, 928), (5, 928)])
def test_figures_fill_the_column_of_the_page(count, pixels):
    assert plot_images([GREY] * count).get_figwidth() * 80 == pytest.approx(pixels)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_panel_has_two_rows(count):
    figure = plot_maps([GREY] * count, torch.rand(count, 8, 8))
    assert len(figure.axes) == 2 * count
    assert figure.axes[0].images[0].get_array().shape == (8, 8, 3)


def test_rows_of_pictures_and_maps():
    figure = plot_rows([[GREY] * 2, [bump(), bump(2)]], ["picture", "map"], ["a", "b"])
    assert len(figure.axes) == 4
    assert figure.axes[2].get_ylabel() == "map"
    assert "“a”; picture; picture 32×32" in describe(figure)


def test_images_in_a_row():
    figure = plot_images([GREY, np.zeros((8, 8, 3), np.uint8)], ["a", "b"])
    assert describe(figure).startswith("2 panels: “a”; picture 32×32")


def test_photograph_map_and_overlay():
    figure = plot_saliency(GREY, torch.from_numpy(bump()), "grey")
    assert describe(figure).startswith("3 panels: “grey”; picture 32×32")


# -- overlay ---------------------------------------------------------------------------


def test_overlay_shows_the_picture_where_the_map_is_zero():
    laid = overlay(GREY, np.pad(bump(8, 8, 16), ((0, 16), (0, 16))))
    assert laid.shape == (32, 32, 3)
    assert laid.min() >= 0
    assert laid.max() <= 1
    assert np.allclose(laid[20:, 20:], 90 / 255)
    assert np.ptp(laid[8, 8]) > 0.2  # a colour, not grey


def test_overlay_of_nothing_is_the_grey_picture():
    picture = load_samples(1).images[0]
    grey = deprocess(preprocess(picture, 64))[0].convert("L")
    laid = overlay(picture, np.zeros((64, 64)))
    assert np.allclose(laid[..., 0], np.asarray(grey) / 255)


def test_overlay_takes_a_limit_and_a_tensor():
    strong = overlay(GREY, torch.from_numpy(bump()), limit=0.1)
    assert np.allclose(overlay(GREY, bump(), limit=0.1), strong)
    assert (
        np.abs(strong - 90 / 255).mean() > np.abs(overlay(GREY, bump()) - 90 / 255).mean()
    )


def test_overlay_of_a_signed_map_is_red_above_zero_blue_below_and_clear_at_zero():
    values = np.zeros((32, 32))
    values[4, 4], values[9, 9], values[20, 20] = 1, -1, 0.3
    laid = overlay(GREY, values, limit=1)
    assert np.allclose(laid[0, 0], 90 / 255)
    assert laid[4, 4, 0] > 2 * laid[4, 4, 2]
    assert laid[9, 9, 2] > 2 * laid[9, 9, 0]
    # A weak value tints the photograph and does not bleach it.
    assert laid[20, 20, 1:].max() <= 90 / 255
    assert 90 / 255 < laid[20, 20, 0] < laid[4, 4, 0] + 0.2


def test_overlay_as_a_panel_states_its_range_and_its_map():
    for values, words, ends in (
        (bump(), "0 to 0.97 and above; map 32×32", ["0", "0.97 and above"]),
        (-bump(), "±0.97 and beyond; map 32×32", ["−0.97", "0.97 and beyond"]),
    ):
        figure = plot_panels([overlay_panel(GREY, values, "laid")])
        assert f"with {words}" in describe(figure)
        assert legends(figure) == ends


def test_smooth_keeps_the_sum_and_lowers_the_peak():
    values = np.zeros((40, 40))
    values[20, 20] = 1
    assert smooth(values).sum() == pytest.approx(1)
    assert smooth(values).max() < 0.1
    assert np.allclose(smooth(torch.from_numpy(values), 1), smooth(values, 1))


# -- showing ---------------------------------------------------------------------------


@pytest.fixture
def shown(monkeypatch) -> list:
    """What is displayed: pairs of arguments and keyword arguments."""
    found = []
    monkeypatch.setattr("IPython.display.display", lambda *a, **k: found.append((a, k)))
    return found


def test_show_displays_one_picture_with_a_sentence_and_its_words(shown):
    figure = plot_images([GREY], ["grey"])
    show(figure)
    (((bundle,), _),) = shown
    assert bundle["text/plain"] == describe(figure)
    page = bundle["text/html"]
    assert page.count("<img") == 1
    assert 'alt="A picture: grey."' in page
    assert 'width="312"' in page
    assert page.endswith(in_words(describe(figure), "312px"))


def test_a_picture_on_the_page_has_two_pixels_for_each_of_the_page(shown):
    show(plot_maps([GREY] * 2, [bump()] * 2))
    page = shown[0][0][0]["text/html"]
    data = base64.b64decode(re.search(r"base64,([^\"]+)", page)[1])
    assert Image.open(io.BytesIO(data)).width == 2 * int(
        re.search(r'width="(\d+)', page)[1]
    )


def test_a_lesson_may_give_the_sentence_and_the_words(shown):
    show(plot_images([GREY]), "a grey square", "Something <grey> & “square”.")
    (bundle,), _ = shown[0]
    assert bundle["text/plain"] == "a grey square"
    assert 'alt="Something &lt;grey&gt; &amp; “square”."' in bundle["text/html"]
    show(plot_images([GREY], ["not a good title"]), "a grey square")
    assert 'alt="a grey square"' in shown[1][0][0]["text/html"]


def test_a_file_is_shown_no_wider_than_it_is_and_no_wider_than_the_page(shown, tmp_path):
    for pixels, width in ((300, 300), (1000, 928), (3000, 928)):
        Image.new("RGB", (pixels, 100)).save(tmp_path / "a.jpg")
        show_file(tmp_path / "a.jpg", "a picture of nothing")
        (bundle,), _ = shown.pop()
        assert bundle["text/plain"] == "a picture of nothing"
        assert f'alt="a picture of nothing" width="{width}"' in bundle["text/html"]


def test_figures_leave_the_settings_of_the_learner_alone(shown):
    before = matplotlib.rcParams.copy()
    with matplotlib.rc_context({"font.size": 3}):
        figure = plot_maps([GREY], [bump()], ["grey"])
        show(figure)
        assert matplotlib.rcParams["font.size"] == 3
    assert figure.axes[0]._left_title.get_fontsize() > 10
    assert matplotlib.rcParams == before


@pytest.mark.parametrize(
    ("draw_it", "kind"),
    [
        (lambda: plot_images([load_samples(1).images[0]]), b"RIFF"),
        (lambda: plot_table(np.eye(3)), b"\x89PNG"),
    ],
)
def test_photographs_are_webp_and_tables_png(draw_it, kind):
    assert draw(draw_it())[:4] == kind


SENTENCES = {
    "Two pictures above their saliency maps: a, b.": lambda: plot_maps(
        [GREY] * 2, [bump()] * 2, ["a", "b"]
    ),
    "A picture, a map and a map over its picture: dog, saliency map, smoothed, laid over "
    "it.": lambda: plot_saliency(GREY, bump(), "dog"),
    "Two columns (a, b) of: picture, map.": lambda: plot_rows(
        [[GREY] * 2, [bump()] * 2], ["picture", "map"], ["a", "b"]
    ),
    "A table of 1 × 2 numbers: dog, snow, green.": lambda: plot_table(
        [[1, 2]], row_titles=["dog"], titles=["snow", "green"]
    ),
    "Three signed maps.": lambda: plot_signed([bump()] * 3),
}


@pytest.mark.parametrize("words", SENTENCES)
def test_a_sentence_for_people(words):
    assert sentence(SENTENCES[words]()) == words


def test_a_sentence_on_curves_names_them():
    figure = Figure()
    axis = figure.subplots()
    axis.set(title="It falls", xlabel="step", ylabel="error")
    axis.plot([1, 2], label="small")
    axis.plot([2, 1], label="large")
    expected = "It falls: curves of error against step for small, large."
    assert sentence(figure) == expected
    draw(figure)  # which moves the title to the left
    assert sentence(figure) == expected
    assert "“It falls”; step by error" in describe(figure)


def test_a_sentence_is_short():
    titles = ["a rather long title of a picture"] * 12
    assert (
        len(sentence(plot_images([GREY] * 12, [f"{t} {i}" for i, t in enumerate(titles)])))
        <= 250
    )


def test_each_method_has_one_colour():
    methods = [m for m in METHODS.values() if not m.baseline]
    colours = {colour_of(method.name) for method in methods}
    assert len(colours) == len(methods)
    for method in METHODS.values():
        assert colour_of(method.label) == colour_of(method.name)
        assert (colour_of(method.name) == GREY_LINE) == method.baseline


def test_png_is_a_picture_and_its_light_form_looks_alike():
    png = to_png(plot_maps([GREY], [bump()]))
    light = lighten(png)
    assert len(light) < len(png)
    one, other = (Image.open(io.BytesIO(data)).convert("RGB") for data in (png, light))
    assert one.size == other.size
    assert one.getpixel((0, 0)) == other.getpixel((0, 0)) == (255, 255, 255)
    difference = np.abs(np.asarray(one, float) - np.asarray(other, float))
    assert difference.mean() < 6


def test_one_map_gives_the_same_bytes_again():
    assert to_png(plot_maps([GREY], [bump()])) == to_png(plot_maps([GREY], [bump()]))


def test_figures_do_not_change_their_data():
    maps = toys.batch(2).abs().amax(dim=1)
    before = maps.clone()
    plot_maps([GREY] * 2, maps, overlaid=True)
    plot_rows([list(maps)], ["r"], ["a", "b"])
    assert torch.equal(maps, before)


# -- drawn and saved -------------------------------------------------------------------


def test_signed_picture_has_zero_in_the_middle():
    gradient = torch.tensor([-4.0, -2.0, 0.0, 2.0, 9.0]).expand(3, 1, 5)
    picture = signed_picture(gradient, limit=4.0)
    assert picture.shape == (1, 5, 3)
    assert picture[0, :, 0].tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert (signed_picture(torch.zeros(3, 2, 2)) == 0.5).all()
    with pytest.raises(ValueError, match="^gradient must have the shape"):
        signed_picture(torch.zeros(2, 2))


def test_signed_plots_state_their_range_and_describe_their_data():
    gradient = torch.zeros(3, 6, 6)
    gradient[1, 2, 4] = -3
    for figure in (plot_signed([gradient], ["g"]), plot_rows([[gradient]], ["g"], ["g"])):
        words = describe(figure)
        assert "±3 and beyond" in words
        assert "largest 3 at row 2, column 4" in words
    words = describe(plot_signed([gradient[1], 2 * gradient[1]], ["a", "b"], "shared"))
    assert words.count("±6 and beyond") == 2
    assert "largest -6" in words


def test_a_map_as_a_panel_states_its_range():
    values, title, style = map_panel(torch.eye(2), "eye", limit=0.5)
    assert values.tolist() == [[1, 0], [0, 1]]
    assert (title, style["vmax"], style["label"]) == ("eye", 0.5, range_text(0.5))
    assert map_panel(3 * np.eye(2))[2]["vmax"] == 3


def test_rows_may_mix_pictures_and_maps():
    figure = plot_rows([[GREY, bump()]], ["both"], ["a", "b"])
    assert describe(figure).startswith("2 panels: “a”; both; picture 32×32")
    assert "“b”; 0 to 0.97 and above; map 32×32" in describe(figure)


def test_tables_write_their_numbers_and_mark_cells():
    words = describe(plot_tables({"x": [[1, -2]], "g": [[0, 3]]}, marked=[(0, 1)]))
    assert words == "2 panels: “x”; 1 [-2] | “g”; 0 [3]"


def test_a_map_is_saved_pixel_for_pixel(tmp_path):
    path = save_map(torch.tensor([[0.0, 1.0], [2.0, 9.0]]), tmp_path / "a" / "map", limit=4)
    assert path == (tmp_path / "a" / "map.png").resolve()
    with Image.open(path) as picture:
        assert np.asarray(picture)[..., 0].tolist() == [[0, 64], [128, 255]]
    gradient = deconvnet(load_model(), toys.batch(1, 64), 3)[0]
    with Image.open(save_map(gradient, tmp_path / "b.png")) as picture:
        assert np.array_equal(np.asarray(picture), np.asarray(map_picture(gradient)))


def test_a_map_that_cannot_be_saved_leaves_what_was_there(tmp_path, monkeypatch):
    path = save_map(torch.eye(3), tmp_path / "map")
    before = path.read_bytes()

    def fail(self, file, *arguments):
        file.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(OSError, match=r"^\S*map.png cannot be written \(disk full"):
        save_map(torch.ones(3, 3), path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["map.png"]


def test_a_map_is_saved_as_png_only(tmp_path):
    with pytest.raises(ValueError, match=r"^path must end in \.png, got"):
        save_map(torch.eye(3), tmp_path / "map.jpg")
