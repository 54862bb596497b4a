"""Bottom-up maps: right by hand, and they find the odd one out, counted."""

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter, uniform_filter

from course_utils import centre_surround, popout_display, spectral_residual
from course_utils.attention import (
    feature_maps,
    grid_rows,
    noisy_shapes,
    promote_lonely_peaks,
)


def in_colour(image):
    return spectral_residual(image, channels="colour")


def share_found(rule, count=20, **display):
    drawn = [popout_display(seed=seed, **display) for seed in range(count)]
    return np.mean([d.found_by(rule(d.image)) for d in drawn])


# -- the odd one out -------------------------------------------------------------------


@pytest.mark.parametrize("items", [16, 36])
@pytest.mark.parametrize(
    ("rule", "kind"),
    [
        (in_colour, "colour"),
        (centre_surround, "colour"),
        (spectral_residual, "orientation"),
        (centre_surround, "orientation"),
    ],
)
def test_the_odd_one_is_found_on_nearly_every_display(rule, kind, items):
    assert share_found(rule, kind=kind, items=items) >= 0.95


@pytest.mark.parametrize(
    "rule",
    [spectral_residual, lambda image: centre_surround(image, ["intensity"])],
    ids=["spectral residual", "centre-surround"],
)
def test_intensity_alone_is_blind_to_a_colour_of_equal_intensity(rule):
    assert share_found(rule, kind="colour") <= 0.2


@pytest.mark.slow
def test_what_the_lesson_says_of_tilts_and_of_many_small_bars():
    bars = {"kind": "orientation"}
    for rule in (spectral_residual, centre_surround):
        assert share_found(rule, tilt=30, **bars) >= 0.95
        assert share_found(rule, tilt=5, **bars) <= 0.4
        assert share_found(rule, items=100, **bars) <= 0.6
    finer = share_found(lambda i: spectral_residual(i, size=128), items=100, **bars)
    assert finer >= 0.95


@pytest.mark.parametrize("place", [(0, 0), (0, 5), (5, 0), (3, 2)])
def test_wherever_it_lies(place):
    display = popout_display(place=place)
    assert display.found_by(in_colour(display.image))
    assert display.found_by(centre_surround(display.image))


# -- the maps --------------------------------------------------------------------------


def test_spectral_residual_by_hand():
    values = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    spectrum = np.fft.fft2(values / 255)
    amplitude = np.log(abs(spectrum) + 1e-9)
    residual = amplitude - uniform_filter(amplitude, 3, mode="wrap")
    back = abs(np.fft.ifft2(np.exp(residual + 1j * np.angle(spectrum)))) ** 2
    by_hand = gaussian_filter(back, 2.5)
    assert np.allclose(spectral_residual(values), by_hand / by_hand.max(), atol=1e-5)


@pytest.mark.parametrize("rule", [spectral_residual, in_colour, centre_surround])
def test_a_map_has_the_size_of_its_picture_and_the_maximum_one(rule):
    picture = Image.effect_noise((90, 60), 80).convert("RGB")
    values = rule(picture)
    assert values.shape == (60, 90)
    assert values.min() >= 0
    assert values.max() == 1
    assert np.array_equal(values, rule(np.asarray(picture)))


@pytest.mark.parametrize("rule", [spectral_residual, in_colour, centre_surround])
@pytest.mark.parametrize("colour", ["black", "#808080", "#d23c3c"])
def test_an_even_picture_has_an_empty_map(rule, colour):
    values = rule(Image.new("RGB", (40, 30), colour))
    assert values.shape == (30, 40)
    assert not values.any()


def test_opponents_of_pure_colours():
    row = [[(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (200, 200, 200)]]
    red_green, blue_yellow = feature_maps(np.array(row, np.uint8), ["colour"])["colour"]
    assert np.sign(red_green[0].round(6)).tolist() == [1, -1, 0, 0, 0]
    assert np.sign(blue_yellow[0].round(6)).tolist() == [0, 0, 1, -1, 0]


def test_the_two_hues_of_the_display_have_one_intensity():
    intensity = feature_maps(popout_display().image, ["intensity"])["intensity"][0]
    assert len(np.unique(intensity[100:124].round(6))) > 1
    image = np.asarray(popout_display().image).astype(int).sum(axis=2)
    assert sorted(np.unique(image))[0] == 330
    assert image.max() == 384


def test_orientation_prefers_the_direction_across_the_bar():
    picture = np.zeros((31, 31), np.uint8)
    picture[:, 15] = 255  # upright: it bends along 0 degrees, from left to right
    responses = feature_maps(picture, ["orientation"])["orientation"][:, 15, 15]
    assert responses.argmax() == 0
    assert responses[2] < 0.1 * responses[0]


def test_a_lonely_peak_outweighs_many_equal_ones():
    one, many = np.zeros((40, 40)), np.zeros((40, 40))
    one[20, 20] = 1
    many[5::12, 5::12] = 1
    assert promote_lonely_peaks(one).max() == 1
    assert promote_lonely_peaks(many).max() == 0
    assert not promote_lonely_peaks(np.ones((5, 5))).any()


# -- displays --------------------------------------------------------------------------


def test_a_display_repeats_and_its_seed_matters():
    first, again, other = (popout_display(seed=s).image for s in (1, 1, 2))
    assert first.tobytes() == again.tobytes()
    assert first.tobytes() != other.tobytes()


@pytest.mark.parametrize("items", [4, 10, 36, 100])
def test_the_odd_one_lies_in_its_box_and_nowhere_else(items):
    display = popout_display(items=items, seed=3)
    image = np.asarray(display.image).astype(int)
    red = image[..., 0] - image[..., 2] > 50
    x0, y0, x1, y1 = (round(edge) for edge in display.box)
    assert red[y0:y1, x0:x1].sum() == red.sum() > 0
    assert display.items == items
    assert x1 - x0 == pytest.approx(224 / grid_rows(items), abs=1)


def test_found_by_reads_rows_and_columns():
    display = popout_display(place=(1, 4))
    values = np.zeros((224, 224))
    values[50, 170] = 1
    assert display.found_by(values)
    assert not display.found_by(values.T)


@pytest.mark.parametrize(
    ("function", "arguments", "name"),
    [
        (popout_display, {"kind": "size"}, "kind"),
        (popout_display, {"items": 3}, "items"),
        (popout_display, {"items": 4.5}, "items"),
        (popout_display, {"place": (6, 0)}, "place"),
        (popout_display, {"place": 3}, "place"),
        (popout_display, {"colour": "reddish"}, "colour"),
        (popout_display, {"colour": 3}, "colour"),
        (popout_display, {"kind": "orientation", "tilt": 200}, "tilt"),
        (popout_display, {"kind": "orientation", "tilt": "steep"}, "tilt"),
        (popout_display, {"size": 10}, "size"),
        (spectral_residual, {"channels": "grey"}, "channels"),
        (spectral_residual, {"size": 2}, "size"),
        (spectral_residual, {"average": 0}, "average"),
        (spectral_residual, {"sigma": -1}, "sigma"),
        (spectral_residual, {"sigma": float("nan")}, "sigma"),
        (centre_surround, {"features": ["shape"]}, "features"),
        (centre_surround, {"features": "colour"}, "features"),
        (centre_surround, {"features": []}, "features"),
        (centre_surround, {"features": None}, "features"),
        (centre_surround, {"centres": []}, "centres"),
        (centre_surround, {"centres": [-1]}, "centres"),
        (centre_surround, {"ratio": 0.5}, "ratio"),
    ],
)
def test_bad_arguments_get_a_sentence_that_names_them(function, arguments, name):
    picture = () if function is popout_display else (np.zeros((9, 9), np.uint8),)
    with pytest.raises(ValueError, match=f"^{name} must "):
        function(*picture, **arguments)


# -- pictures for a linear classifier --------------------------------------------------


def test_noisy_shapes_differ_where_their_shapes_are():
    pictures, classes = noisy_shapes(600, seed=2)
    assert pictures.shape == (600, 24, 24, 3)
    assert (pictures.min(), pictures.max()) == (0, 1)
    assert set(classes.tolist()) == {0, 1, 2}
    means = np.stack([pictures[classes == c].mean(0) for c in range(3)])
    red, blue = means[0] - means[1], means[2] - means[1]
    assert red[12, 4, 0] > 0.1 > red[12, 12, 0]  # on the ring, and in its middle
    assert blue[12, 12, 1] > 0.1 > blue[4, 4, 1]  # the plus
    assert np.array_equal(noisy_shapes(600, seed=2)[0], pictures)
    with pytest.raises(ValueError, match="count"):
        noisy_shapes(0)


# -- what the lesson claims of gradients -----------------------------------------------


def test_finite_differences_and_gradients_agree():
    from course_utils import input_gradient, load_model, load_samples, preprocess

    model = load_model().double()
    image = preprocess(load_samples(1).images, size=64).double()
    gradient = input_gradient(model, image, 235)[0]
    step, random = 1e-6, np.random.default_rng(0)
    places = [tuple(random.integers((3, 64, 64))) for _ in range(12)]
    up, down = image.repeat(12, 1, 1, 1), image.repeat(12, 1, 1, 1)
    for index, place in enumerate(places):
        up[(index, *place)] += step
        down[(index, *place)] -= step
    with torch.no_grad():
        slopes = (model(up) - model(down))[:, 235] / (2 * step)
    right = torch.stack([gradient[place] for place in places])
    assert torch.allclose(slopes, right, rtol=0, atol=1e-5 * gradient.abs().max().item())
