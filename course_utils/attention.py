r"""Bottom-up attention: maps of what stands out, whoever looks and whatever for.

Two classic maps, which know of no network and no class, and the displays on which such
maps are tried. `spectral_residual` (Hou & Zhang 2007) takes from the log amplitude
$\mathcal L(f)$ of a picture's spectrum what its neighbours predict:

$$ \mathcal R(f) = \mathcal L(f) - (h_n * \mathcal L)(f), \qquad
S = g * \left| \mathcal F^{-1}\left[ e^{\mathcal R + i \mathcal P} \right] \right|^2 , $$

with the phase $\mathcal P$ kept, a mean filter $h_n$ and a Gaussian $g$.
`centre_surround` (after Itti, Koch & Niebur 1998) compares each place with its
surroundings, in intensity, colour and orientation:

$$ C = \left| G_{\sigma} * F - G_{k \sigma} * F \right| . $$

`popout_display` draws the test: many equal items, and one that differs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageColor, ImageDraw
from scipy.ndimage import gaussian_filter, maximum_filter, uniform_filter

from .images import load_image

FEATURES = ("intensity", "colour", "orientation")
KINDS = ("colour", "orientation")
ORIENTATIONS = (0, 45, 90, 135)  # degrees
WORKING = 112  # pixels of the longer side on which centre and surround are compared

# Two colours of the same intensity, (r + g + b) / 3, for a test of colour alone.
RED, BLUE = "#d23c3c", "#3c3cd2"

# -- feature maps ----------------------------------------------------------------------


def feature_maps(image, features: Sequence[str] = FEATURES) -> dict[str, np.ndarray]:
    """What early vision is thought to measure at each pixel, one stack per feature.

    Itti, Koch & Niebur (1998, section 2.1): intensity is the mean of red, green and
    blue; colour is two opponent channels, red against green and blue against yellow,
    each freed of brightness. Orientation is the second derivative of the intensity along
    four directions, steered from three filters (Freeman & Adelson 1991), where the
    paper has Gabor filters.

    Args:
        image: anything that `load_image` takes.
        features: which of ``"intensity"``, ``"colour"`` and ``"orientation"``.

    Returns:
        Feature → (K, H, W) floats, K = 1, 2 and 4.

    Raises:
        ValueError: an unknown feature, none, or a picture that cannot be read.

    Example:
        >>> feature_maps(np.zeros((4, 6), np.uint8), ["colour"])["colour"].shape
        (2, 4, 6)
    """
    _check_names(features, "features", FEATURES)
    rgb = np.asarray(load_image(image), dtype=float).transpose(2, 0, 1) / 255
    makers = {"intensity": _intensity, "colour": _opponents, "orientation": _bars}
    return {name: makers[name](rgb) for name in features}


def _intensity(rgb: np.ndarray) -> np.ndarray:
    return rgb.mean(axis=0, keepdims=True)


def _opponents(rgb: np.ndarray) -> np.ndarray:
    """Red − green and blue − yellow; 0 where it is too dark to tell a hue."""
    intensity = _intensity(rgb)
    bright = intensity > 0.1 * intensity.max()
    r, g, b = np.divide(rgb, intensity, out=np.zeros_like(rgb), where=bright)
    red, green, blue = r - (g + b) / 2, g - (r + b) / 2, b - (r + g) / 2
    yellow = (r + g) / 2 - abs(r - g) / 2 - b
    red, green, blue, yellow = np.clip([red, green, blue, yellow], 0, None)
    return np.stack([red - green, blue - yellow])


def _bars(rgb: np.ndarray, sigma: float = 1.5) -> np.ndarray:
    """How much the intensity bends across each of four directions."""
    intensity = _intensity(rgb)[0]
    yy, xy, xx = (gaussian_filter(intensity, sigma, order=(2 - k, k)) for k in range(3))
    angles = np.deg2rad(ORIENTATIONS)[:, None, None]
    cos, sin = np.cos(angles), np.sin(angles)
    return abs(cos**2 * xx + 2 * cos * sin * xy + sin**2 * yy)


# -- the two maps ----------------------------------------------------------------------


def spectral_residual(
    image,
    channels: str = "intensity",
    size: int = 64,
    average: int = 3,
    sigma: float = 2.5,
) -> np.ndarray:
    """What is left of a picture when the expected part of its spectrum is taken out.

    Hou & Zhang, CVPR 2007, equations 6 to 8 in spirit: the log amplitude minus its local
    mean, back with the old phase, squared, smoothed. Theirs is a map of the intensity;
    ``channels="colour"`` adds up the maps of the intensity and of two opponent colours,
    each divided by its sum, and is our extension.

    Args:
        image: anything that `load_image` takes, such as a PIL picture or an array
            (H, W) or (H, W, 3), `uint8` or float in [0, 1].
        channels: ``"intensity"`` or ``"colour"``.
        size: pixels of the side to which the picture is scaled first; it decides how
            large the things are that are found. 64 in the paper.
        average: side of the mean filter, in frequencies.
        sigma: of the last Gaussian, in pixels of the scaled picture.

    Returns:
        (H, W) floats, not negative, with the maximum 1; all 0 for an even picture.

    Raises:
        ValueError: an argument out of its range, or a picture that cannot be read.

    Example:
        >>> spectral_residual(popout_display(seed=1).image).shape
        (224, 224)
    """
    if channels not in ("intensity", "colour"):
        raise ValueError(f'channels: wants "intensity" or "colour", not {channels!r}')
    _check_number(size, "size", 8)
    _check_number(average, "average", 1)
    _check_number(sigma, "sigma", 0)
    image = load_image(image)
    small = image.resize((size, size), Image.Resampling.BOX)
    wanted = FEATURES[:1] if channels == "intensity" else FEATURES[:2]
    total = np.zeros((size, size))
    for plane in np.concatenate(list(feature_maps(small, wanted).values())):
        if np.ptp(plane) > 1e-9:  # an even channel has nothing to tell
            surprise = _residual(plane, average, sigma)
            total += surprise / surprise.sum()
    return _fitted(total, image.size)


def _residual(plane: np.ndarray, average: int, sigma: float) -> np.ndarray:
    spectrum = np.fft.fft2(plane)
    amplitude, phase = np.log(abs(spectrum) + 1e-9), np.angle(spectrum)
    residual = amplitude - uniform_filter(amplitude, average, mode="wrap")
    return gaussian_filter(abs(np.fft.ifft2(np.exp(residual + 1j * phase))) ** 2, sigma)


def centre_surround(
    image,
    features: Sequence[str] = FEATURES,
    centres: Sequence[float] = (1.5, 3.0, 6.0),
    ratio: float = 4.0,
) -> np.ndarray:
    """How much each place differs from its surroundings, over features and scales.

    After Itti, Koch & Niebur, PAMI 20(11), 1998: per feature, the absolute difference of
    a fine and a coarse blur; each difference is weighted by how much its largest peak
    stands above its other peaks (their operator N), so that forty equal peaks count
    little and a lonely one counts much. Simplified: blurs in place of pyramids.

    Args:
        image: anything that `load_image` takes.
        features: which of ``"intensity"``, ``"colour"`` and ``"orientation"``.
        centres: standard deviations of the fine blur, in pixels of the picture scaled
            to 112 on its longer side.
        ratio: the coarse blur is so many times wider.

    Returns:
        (H, W) floats, not negative, with the maximum 1; all 0 for an even picture.

    Raises:
        ValueError: an argument out of its range, or a picture that cannot be read.

    Example:
        >>> centre_surround(popout_display("orientation").image).shape
        (224, 224)
    """
    _check_number(ratio, "ratio", 1)
    if not isinstance(centres, Sequence) or len(centres) == 0:
        raise ValueError(f"centres: wants at least one number, not {centres!r}")
    for centre in centres:
        _check_number(centre, "centres", 0)
    image = load_image(image)
    share = WORKING / max(image.size)
    small = image.resize([max(1, round(share * side)) for side in image.size])
    total = 0.0
    for planes in feature_maps(small, features).values():
        conspicuous = sum(
            promote_lonely_peaks(_contrast(plane, centre, ratio))
            for plane in planes
            for centre in centres
        )
        total = total + promote_lonely_peaks(conspicuous)
    return _fitted(total, image.size)


def _contrast(plane: np.ndarray, centre: float, ratio: float) -> np.ndarray:
    return abs(gaussian_filter(plane, centre) - gaussian_filter(plane, ratio * centre))


def promote_lonely_peaks(values: np.ndarray, reach: int = 9) -> np.ndarray:
    """Weight a map by (1 − m)², m the mean height of the peaks below its largest one.

    The operator N of Itti, Koch & Niebur (1998, section 2.2), on the map scaled to [0, 1].

    Args:
        values: (H, W), not negative.
        reach: side of the window in which a peak has to be the largest, in pixels.

    Example:
        >>> lonely = np.zeros((20, 20)); lonely[5, 5] = 1
        >>> float(promote_lonely_peaks(lonely).max())
        1.0
    """
    low, span = values.min(), np.ptp(values)
    if span < 1e-9:  # rounding noise of an even map must not be blown up
        return np.zeros_like(values)
    scaled = (values - low) / span
    peaks = scaled[(scaled == maximum_filter(scaled, reach)) & (scaled > 0)]
    others = np.sort(peaks)[:-1]
    return scaled * (1 - (others.mean() if others.size else 0)) ** 2


def _fitted(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A map scaled to the picture's size (width, height) and to the maximum 1."""
    image = Image.fromarray(np.asarray(values, np.float32))
    large = np.asarray(image.resize(size, Image.Resampling.BILINEAR), dtype=float)
    return large.clip(0) / (large.max() or 1.0)


# -- pop-out displays ------------------------------------------------------------------


@dataclass(frozen=True)
class PopoutDisplay:
    """A display of equal items and one that is odd.

    Attributes:
        image: the picture, `PIL.Image` in RGB.
        box: (x0, y0, x1, y1) of the odd one's cell, in pixels.
        items: how many items there are, the odd one among them.
    """

    image: Image.Image
    box: tuple[float, float, float, float]
    items: int

    def found_by(self, saliency: np.ndarray) -> bool:
        """Whether the map (H, W) is largest inside the odd one's box."""
        row, column = np.unravel_index(np.argmax(saliency), np.shape(saliency))
        x0, y0, x1, y1 = self.box
        return bool(x0 <= column < x1 and y0 <= row < y1)


def popout_display(
    kind: str = "colour",
    items: int = 36,
    seed: int = 0,
    place: tuple[int, int] | None = None,
    odd: str | float | None = None,
    size: int = 224,
) -> PopoutDisplay:
    """Draw a display in which one item differs from all others.

    The items lie in the cells of a square grid, each moved a little at random; where the
    items do not fill the grid, random cells stay empty.

    Args:
        kind: ``"colour"``: dots, blue but for one; ``"orientation"``: upright bars but
            for one.
        items: from 4 to 100.
        seed: of the random numbers; the same seed draws the same display.
        place: (row, column) of the odd one's cell; None draws it at random. The grid has
            the smallest number of rows that holds the items.
        odd: what is odd: a colour that Pillow knows (default a red of the same intensity
            as the blue), or a tilt in degrees, clockwise (default 45).
        size: side of the picture in pixels, from 64.

    Raises:
        ValueError: an argument out of its range.

    Example:
        >>> popout_display("colour", items=36, place=(0, 5)).box
        (186.67, 0.0, 224.0, 37.33)
    """
    if kind not in KINDS:
        raise ValueError(f"kind: wants one of {', '.join(KINDS)}, not {kind!r}")
    _check_number(items, "items", 4, 100, whole=True)
    _check_number(size, "size", 64, 4096, whole=True)
    rows = int(np.ceil(np.sqrt(items)))
    random = np.random.default_rng(seed)
    cells = [divmod(int(c), rows) for c in random.permutation(rows * rows)]
    shifts = random.uniform(-0.14, 0.14, (rows * rows, 2))
    odd_cell = cells[0] if place is None else _checked_place(place, rows)
    others = [cell for cell in cells if cell != odd_cell][: items - 1]
    image = _drawn(kind, odd, [odd_cell, *others], shifts, size / rows, size)
    row, column = odd_cell
    edges = (column, row, column + 1, row + 1)
    return PopoutDisplay(image, tuple(round(e * size / rows, 2) for e in edges), items)


def _drawn(kind, odd, cells, shifts, cell: float, size: int) -> Image.Image:
    """The items in their `cells`, the odd one first, drawn large and scaled down."""
    fine = 4
    image = Image.new("RGB", (fine * size, fine * size), "#808080")
    pen = ImageDraw.Draw(image)
    for number, (position, shift) in enumerate(zip(cells, shifts, strict=False)):
        y, x = (np.array(position) + 0.5 + shift) * cell * fine
        if kind == "colour":
            colour = _checked_colour(RED if odd is None else odd) if number == 0 else BLUE
            reach = 0.25 * cell * fine
            pen.ellipse((x - reach, y - reach, x + reach, y + reach), fill=colour)
        else:
            tilt = _checked_tilt(45 if odd is None else odd) if number == 0 else 0
            pen.polygon(_bar(x, y, tilt, 0.33 * cell * fine), fill="white")
    return image.resize((size, size), Image.Resampling.BOX)


def _bar(x: float, y: float, tilt: float, reach: float) -> list[tuple[float, float]]:
    """The corners of a bar around (x, y), upright for `tilt` 0, `reach` half its length."""
    angle = np.deg2rad(tilt)
    along = reach * np.array([np.sin(angle), -np.cos(angle)])
    across = 0.22 * reach * np.array([np.cos(angle), np.sin(angle)])
    corners = (along + across, along - across, -along - across, across - along)
    return [tuple(np.array([x, y]) + corner) for corner in corners]


# -- what came, what is wanted ---------------------------------------------------------


def _checked_place(place, rows: int) -> tuple[int, int]:
    try:
        row, column = (int(p) for p in place)
    except (TypeError, ValueError):
        row = column = -1
    if not (0 <= row < rows and 0 <= column < rows):
        raise ValueError(
            f"place: wants (row, column), each from 0 to {rows - 1}, not {place!r}"
        )
    return row, column


def _checked_colour(odd) -> tuple[int, ...]:
    try:
        return ImageColor.getrgb(odd)[:3]
    except (AttributeError, TypeError, ValueError):
        raise ValueError(
            f"odd: wants a colour such as 'red' or '#d23c3c', not {odd!r}"
        ) from None


def _checked_tilt(odd) -> float:
    _check_number(odd, "odd", -180, 180)
    return float(odd)


def _check_names(names, argument: str, known: tuple[str, ...]) -> None:
    if isinstance(names, str) or not len(names) or set(names) - set(known):
        raise ValueError(f"{argument}: wants some of {', '.join(known)}, not {names!r}")


def _check_number(value, name: str, low, high=None, whole: bool = False) -> None:
    kinds = (int, np.integer) if whole else (int, float, np.integer, np.floating)
    fits = isinstance(value, kinds) and not isinstance(value, bool)
    if not (fits and value >= low and (high is None or value <= high)):
        kind = "a whole number" if whole else "a number"
        range_ = f"from {low}" + (f" to {high}" if high is not None else "")
        raise ValueError(f"{name}: wants {kind} {range_}, not {value!r}")
