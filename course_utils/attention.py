r"""Bottom-up attention: maps of what stands out, whoever looks and whatever for.

Two classic maps, which need no network and no class, and the displays on which such maps
are tested. `spectral_residual` (Hou & Zhang 2007) subtracts from the log amplitude
$\mathcal L(f)$ of a picture's spectrum what its neighbours predict:

$$ \mathcal R(f) = \mathcal L(f) - (h_n * \mathcal L)(f), \qquad
S = g * \left| \mathcal F^{-1}\left[ e^{\mathcal R + i \mathcal P} \right] \right|^2 , $$

with the phase $\mathcal P$ kept, a mean filter $h_n$ and a Gaussian $g$.
`centre_surround` (after Itti, Koch & Niebur 1998) compares each place with its
surroundings, in intensity, colour and orientation:

$$ C = \left| G_{\sigma} * F - G_{k \sigma} * F \right| . $$

`popout_display` draws the test: many equal items, and one that differs. `noisy_shapes`
draws pictures for lesson 01's linear classifier, whose weights are its saliency map.

`image` is anything that `load_image` takes. Both maps have its size (H, W) and a maximum of
1, or hold only 0 for an even picture. What does not fit raises an `ArgumentError`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from PIL import Image, ImageColor, ImageDraw
from scipy.ndimage import gaussian_filter, maximum_filter, uniform_filter

from ._machinery.arguments import ArgumentError, choice, number, numbers
from .images import load_image

FEATURES = ("intensity", "colour", "orientation")
KINDS = ("colour", "orientation")
ORIENTATIONS = (0, 45, 90, 135)  # degrees
WORKING = 112  # pixels of the longer side on which centre and surround are compared

# Two colours of the same intensity, (r + g + b) / 3, for a test of colour alone.
RED, BLUE = "#d23c3c", "#3c3cd2"


def feature_maps(image, features: Sequence[str] = FEATURES) -> dict[str, np.ndarray]:
    """What early vision is thought to measure: feature → (K, H, W), K = 1, 2 and 4.

    Itti, Koch & Niebur (1998, section 2.1): intensity is the mean of red, green and blue;
    colour is red against green and blue against yellow, independent of brightness;
    orientation is the second derivative of the intensity along four directions, steered
    from three filters (Freeman & Adelson 1991), where the paper has Gabor filters.
    """
    listed = isinstance(features, (list, tuple, set)) and len(features) > 0
    if not listed or any(name not in FEATURES for name in features):
        words = f"must be some of {', '.join(FEATURES)}, got {features!r}"
        raise ArgumentError("features", words)
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
    """The absolute second derivative of the intensity along four directions."""
    intensity = _intensity(rgb)[0]
    yy, xy, xx = (gaussian_filter(intensity, sigma, order=(2 - k, k)) for k in range(3))
    angles = np.deg2rad(ORIENTATIONS)[:, None, None]
    cos, sin = np.cos(angles), np.sin(angles)
    return abs(cos**2 * xx + 2 * cos * sin * xy + sin**2 * yy)


# -- the two maps ----------------------------------------------------------------------


def spectral_residual(
    image, channels="intensity", size: int = 64, average: int = 3, sigma: float = 2.5
) -> np.ndarray:
    """(H, W): what is left of a picture without the expected part of its spectrum.

    Hou & Zhang (CVPR 2007, section 2): the log amplitude minus its local mean, transformed
    back with the old phase, squared and smoothed.

    Args:
        channels: ``"intensity"``, as in the paper, or ``"colour"``, our extension: the sum
            of the maps of intensity and two opponent colours, each divided by its sum.
        size: pixels of the longer side to which the picture is scaled first, 64 in the
            paper; it decides how large the things are that are found.
        average: side of the mean filter, in frequencies.
        sigma: of the last Gaussian, in pixels of the scaled picture.

    Example:
        >>> spectral_residual(popout_display(seed=1).image).shape
        (224, 224)
    """
    choice("channels", channels, FEATURES[:2])
    number("size", size, 8, 1024, whole=True)
    number("average", average, 1, size, whole=True)
    number("sigma", sigma, 0)
    image = load_image(image)
    total = 0.0
    wanted = FEATURES[:1] if channels == "intensity" else FEATURES[:2]
    for plane in np.concatenate([*feature_maps(_scaled(image, size), wanted).values()]):
        surprise = _residual(plane, average, sigma)
        # An even channel tells nothing; its rounding noise must not be amplified.
        total = total + surprise / surprise.sum() * (np.ptp(plane) > 1e-9)
    return _fitted(total, image.size)


def _residual(plane: np.ndarray, average: int, sigma: float) -> np.ndarray:
    spectrum = np.fft.fft2(plane)
    amplitude, phase = np.log(abs(spectrum) + 1e-9), np.angle(spectrum)
    residual = amplitude - uniform_filter(amplitude, average, mode="wrap")
    return gaussian_filter(abs(np.fft.ifft2(np.exp(residual + 1j * phase))) ** 2, sigma)


def centre_surround(
    image, features=FEATURES, centres: Sequence = (1.5, 3.0, 6.0), ratio: float = 4.0
) -> np.ndarray:
    """(H, W): how much each place differs from its surroundings, over all scales.

    After Itti, Koch & Niebur, PAMI 20(11), 1998: per feature, the absolute difference of a
    fine and a coarse blur, weighted by `promote_lonely_peaks`: forty equal peaks count
    little and a lonely one counts much. Simplified: blurs in place of pyramids.

    Args:
        features: which of those of `feature_maps`.
        centres: deviations of the fine blur, in pixels of the picture scaled to `WORKING`.
        ratio: width of the coarse blur over that of the fine one.

    Example:
        >>> centre_surround(popout_display("orientation").image).shape
        (224, 224)
    """
    number("ratio", ratio, 1)
    if not isinstance(centres, Sequence) or len(centres) == 0:
        raise ArgumentError("centres", f"must hold at least one number, got {centres!r}")
    numbers("centres", centres, len(centres), 0)
    image = load_image(image)
    total = 0.0
    for planes in feature_maps(_scaled(image, WORKING), features).values():
        conspicuous = 0.0
        for plane, centre in product(planes, centres):
            fine = gaussian_filter(plane, centre, truncate=3)
            coarse = gaussian_filter(plane, ratio * centre, truncate=3)
            conspicuous = conspicuous + promote_lonely_peaks(abs(fine - coarse))
        total = total + promote_lonely_peaks(conspicuous)
    return _fitted(total, image.size)


def promote_lonely_peaks(values: np.ndarray, reach: int = 9) -> np.ndarray:
    """Weight a map (H, W) by (1 − m)², m the mean height of all peaks but its largest.

    The operator N of Itti, Koch & Niebur (1998, section 2.2), on the map scaled to [0, 1].
    A peak is the largest value in a window of `reach` × `reach` pixels.
    """
    low, span = values.min(), np.ptp(values)
    if span < 1e-9:  # rounding noise of an even map must not be amplified
        return np.zeros_like(values)
    scaled = (values - low) / span
    peaks = scaled[(scaled == maximum_filter(scaled, reach)) & (scaled > 0)]
    others = np.sort(peaks)[:-1]
    return scaled * (1 - (others.mean() if others.size else 0)) ** 2


def _scaled(image: Image.Image, size: int) -> Image.Image:
    """The picture with `size` pixels on its longer side."""
    sides = [max(1, round(size * side / max(image.size))) for side in image.size]
    return image.resize(sides, Image.Resampling.BOX)


def _fitted(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A map scaled to the picture's size (width, height) and to the maximum 1."""
    image = Image.fromarray(np.asarray(values, np.float32))
    large = np.asarray(image.resize(size, Image.Resampling.BILINEAR), dtype=float)
    return large.clip(0) / (large.max() or 1.0)


# -- pop-out displays ------------------------------------------------------------------


@dataclass(frozen=True)
class PopoutDisplay:
    """A display, in RGB, of equal items and one odd one."""

    image: Image.Image
    box: tuple[float, float, float, float]  # x0, y0, x1, y1 of the odd one's cell, pixels
    items: int  # the odd one included
    centre: tuple[float, float]  # x, y of the odd one itself, pixels

    def found_by(self, saliency: np.ndarray) -> bool:
        """Whether the map (H, W) is largest inside the odd one's box."""
        row, column = np.unravel_index(np.argmax(saliency), np.shape(saliency))
        x0, y0, x1, y1 = self.box
        return bool(x0 <= column < x1 and y0 <= row < y1)


def popout_display(
    kind="colour", items=36, seed=0, place=None, colour=None, tilt=None, size=224
) -> PopoutDisplay:
    """Draw a display in which one item differs from all others.

    The items lie in the cells of a square grid with just enough rows to hold them, each
    moved a little at random; where they do not fill the grid, random cells stay empty.

    Args:
        kind: ``"colour"``, blue dots and an odd one, or ``"orientation"``, white bars.
        items: from 4 to 100.
        seed: the same seed draws the same display.
        place: (row, column) of the odd one's cell; None draws it at random.
        colour: of the odd one, such as ``"red"`` or ``"#d23c3c"``. None: among dots a red
            with the intensity, (r + g + b) / 3, of the blue; among bars white.
        tilt: of the odd bar, in degrees clockwise; None is 45.
        size: side of the picture in pixels, from 64 to 2048.

    Example:
        >>> popout_display("colour", items=36, place=(0, 5)).box
        (186.67, 0.0, 224.0, 37.33)
    """
    choice("kind", kind, KINDS)
    number("items", items, 4, 100, whole=True)
    number("size", size, 64, 2048, whole=True)
    tilt = number("tilt", 45 if tilt is None else tilt, -180, 180)
    rows = grid_rows(items)
    random = np.random.default_rng(seed)
    cells = [divmod(int(c), rows) for c in random.permutation(rows * rows)]
    place = cells[0] if place is None else place
    odd_cell = numbers("place", place, 2, 0, rows - 1, whole=True, order="(row, column)")
    cells = [odd_cell, *(cell for cell in cells if cell != odd_cell)][:items]
    centres = np.add(cells, 0.5) + random.uniform(-0.14, 0.14, (items, 2))
    outlines = [_item(kind, tilt)] + [_item(kind, 0)] * (items - 1)
    image = _drawn(centres, outlines, _fills(kind, colour), size, rows)
    row, column = odd_cell
    edges, middle = (column, row, column + 1, row + 1), centres[0, ::-1].tolist()
    box, centre = (tuple(round(e * size / rows, 2) for e in es) for es in (edges, middle))
    return PopoutDisplay(image, box, items, centre)


def grid_rows(items: int) -> int:
    """Rows (and columns) of the grid that holds `items` items."""
    return int(np.ceil(np.sqrt(items)))


def _item(kind: str, tilt: float) -> np.ndarray:
    """The outline of an item, (corners, 2) as (row, column), in units of its cell."""
    if kind == "colour":
        angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
        return 0.25 * np.stack([np.sin(angle), np.cos(angle)], axis=1)
    angle = np.deg2rad(tilt)
    along = 0.33 * np.array([-np.cos(angle), np.sin(angle)])
    across = 0.075 * np.array([np.sin(angle), np.cos(angle)])
    signs = ((1, 1), (1, -1), (-1, -1), (-1, 1))
    return np.array([a * along + b * across for a, b in signs])


def _fills(kind: str, colour: str | None) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The colours of the odd one and of the others."""
    odd, others = (RED, BLUE) if kind == "colour" else ("white", "white")
    try:
        odd = ImageColor.getrgb(odd if colour is None else colour)[:3]
    except (AttributeError, TypeError, ValueError):
        words = f"must be a colour such as 'red' or '#d23c3c', got {colour!r}"
        raise ArgumentError("colour", words) from None
    return odd, ImageColor.getrgb(others)


def _drawn(centres, outlines, fills, size: int, rows: int) -> Image.Image:
    """The outlines around their centres, the odd one first; drawn large, scaled down."""
    fine = 4 * size
    image = Image.new("RGB", (fine, fine), "#808080")
    pen = ImageDraw.Draw(image)
    for index, (centre, outline) in enumerate(zip(centres, outlines, strict=True)):
        points = (centre + outline)[:, ::-1] * fine / rows
        pen.polygon([tuple(point) for point in points], fill=fills[index > 0])
    return image.resize((size, size), Image.Resampling.BOX)


# -- pictures for a linear classifier --------------------------------------------------


def noisy_shapes(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Pictures (count, 24, 24, 3) in [0, 1], buried in noise, and their classes (count,).

    Class 0 is a red ring, 1 a blue ring, 2 a green plus: a task that a linear classifier
    can do, and whose weights one can understand.

    Example:
        >>> noisy_shapes(5)[0].shape
        (5, 24, 24, 3)
    """
    number("count", count, 1, whole=True)
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[-12:12, -12:12] + 0.5
    radius = np.hypot(rows, columns)
    ring = (radius > 6) & (radius < 9)
    plus = (np.minimum(abs(rows), abs(columns)) < 2) & (radius < 10)
    pictures = random.normal(0.4, 0.2, (count, 24, 24, 3))
    classes = random.integers(3, size=count)
    for index, (shape, colour) in enumerate([(ring, 0), (ring, 2), (plus, 1)]):
        pictures[classes == index, ..., colour] += 0.2 * shape
    return pictures.clip(0, 1), classes
