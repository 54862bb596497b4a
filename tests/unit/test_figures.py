"""Figures: their scale is stated, and their text alternative follows their data."""

import io

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
    describe,
    in_words,
    lighten,
    map_limits,
    map_panel,
    map_picture,
    overlay,
    plot_images,
    plot_maps,
    plot_rows,
    plot_saliency,
    plot_signed,
    plot_table,
    plot_tables,
    range_text,
    save_map,
    show,
    signed_picture,
    smooth,
    to_png,
)

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
    assert text == "“Two things”. 2 panels: “one, line”; x by y | empty"


def test_words_of_a_table_are_its_numbers():
    table = np.arange(6).reshape(2, 3)
    text = describe(plot_table(table, marked=[(0, 2), (1, 0)]))
    assert text == "1 panel: 0 1 [2]; [3] 4 5"
    assert describe(plot_table(table, marked=[(0, 1)])) != text


def test_a_colour_bar_is_no_panel():
    figure = plot_maps([GREY] * 2, [bump(), bump()], scale="shared")
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


def test_scale_is_stated_under_each_map():
    figure = plot_maps([GREY] * 2, [bump(), bump(height=3)])
    labels = [axes.get_xlabel() for axes in figure.axes]
    limits = map_limits([bump(), bump(height=3)])
    assert labels == ["", "", *map(range_text, limits)]
    assert [axes.images[0].get_clim() for axes in figure.axes[2:]] == [
        (0, v) for v in limits
    ]


def test_shared_scale_is_stated_by_one_colour_bar():
    figure = plot_maps([GREY] * 2, [bump(), bump(height=3)], scale="shared")
    limit = map_limits([bump(height=3)])[0]
    bars = [axes for axes in figure.axes if axes.get_ylabel() == "saliency"]
    assert len(bars) == 1
    maps = [axes.images[0].get_clim() for axes in figure.axes[2:4]]
    assert maps == [(0, limit), (0, limit)]


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


def test_smooth_keeps_the_sum_and_lowers_the_peak():
    values = np.zeros((40, 40))
    values[20, 20] = 1
    assert smooth(values).sum() == pytest.approx(1)
    assert smooth(values).max() < 0.1
    assert np.allclose(smooth(torch.from_numpy(values), 1), smooth(values, 1))


# -- showing ---------------------------------------------------------------------------


def test_show_displays_the_picture_its_words_and_nothing_else(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda *a, **k: shown.append((a, k)))
    figure = plot_images([GREY])
    show(figure)
    (bundle,), options = shown[0]
    assert bundle["text/plain"] == describe(figure)
    assert options["metadata"]["image/png"]["alt"] == describe(figure)
    assert shown[1][0][0].data == in_words(describe(figure))
    assert len(shown) == 2


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
    assert (title, style["vmax"], style["below"]) == ("eye", 0.5, range_text(0.5))
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
