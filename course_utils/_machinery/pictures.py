"""Pictures of any kind to 8 bits of red, green and blue."""

import io
import re
import struct
import warnings
from contextlib import suppress

import numpy as np
import torch
from PIL import Image, ImageOps, features

from .arguments import ArgumentError, warn

# What Pillow may open, and the endings of such files. Others it would hand to a program of
# their own (EPS starts Ghostscript) or to readers that nobody needs here.
FORMATS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "PNG": (".png", ".apng"),
    "WEBP": (".webp",),
    "BMP": (".bmp", ".dib"),
    "TIFF": (".tif", ".tiff"),
    "GIF": (".gif",),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
}
if "avif" in features.modules and features.check("avif"):  # newer releases of Pillow
    FORMATS["AVIF"] = (".avif",)
ENDINGS = tuple(ending for endings in FORMATS.values() for ending in endings)
# How others begin that are taken for pictures, and which Pillow does not know.
SIGNS = {b"%pdf": "PDF", b"<svg": "SVG", b"<?xml": "XML or SVG"}
SIGNS |= dict.fromkeys((b"<!doctype html", b"<html"), "a web page")
HEIC = (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftypmsf1")

MAX_PIXELS = 64_000_000  # 8000 × 8000; decoded as RGB that is 192 MB of memory
TOO_MANY_PIXELS = f"more than {MAX_PIXELS // 1_000_000} million pixels; scale it down first"
CLOSE = 1e-6  # floats that are so little above 1 or below 0 count as rounding
SIXTEENTH = 1 / 16  # of white: what is darker throughout is nearly black
BITS = (8, 10, 12, 14, 16)  # that cameras give


def refused(name, reason: str) -> ArgumentError:
    """An error that names a source and says why it is no picture."""
    return ArgumentError("source", f"cannot be opened: {name} {reason}")


# -- files -----------------------------------------------------------------------------


def decode(data: bytes, name: str) -> Image.Image:
    """Decode a file's bytes, once its header has shown that it is not too large."""
    if not data:
        raise refused(name, "is empty")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # whatever is wrong is raised here
        try:
            image = Image.open(io.BytesIO(data), formats=list(FORMATS))
        except Image.DecompressionBombError as error:
            raise refused(name, f"has {TOO_MANY_PIXELS}") from error
        except Exception as error:  # Pillow's readers raise many kinds
            raise refused(name, _what_else(data)) from error
        if image.width * image.height > MAX_PIXELS:
            raise refused(name, f"has {TOO_MANY_PIXELS}")
        deep = loaded(image, name)
    return to_rgb(image, name, deep, _stated_bits(data))


def loaded(image: Image.Image, name: str) -> bool:
    """Read the pixels; gives whether the file holds 16 bits for each colour."""
    if image.format == "EPS":
        raise refused(name, "holds EPS, which is not read; convert it to PNG or JPEG")
    colours = image.mode in ("RGB", "RGBA", "CMYK")
    deep = colours and ";16" in str(getattr(image, "tile", ""))
    try:
        image.load()
    except Exception as error:
        raise refused(name, "is damaged or truncated") from error
    return deep


def _what_else(data: bytes) -> str:
    """Why a file could not be opened: the format that it holds, if that can be told."""
    start, kind = data[:500].lstrip(b"\xef\xbb\xbf \t\r\n").lower(), None
    kind = next((k for sign, k in SIGNS.items() if start.startswith(sign)), None)
    if data[4:12] in HEIC:
        kind = "HEIC"
    if not kind:
        Image.init()
        for name, (_, accept) in Image.OPEN.items():
            with suppress(Exception):  # too short for what is looked at
                if name not in FORMATS and accept and accept(data[:16]):
                    kind = name
                    break
    if kind == "a web page":
        return "holds a web page; give the address of the picture itself"
    if kind:
        return f"holds {kind}, which is not read; convert it to PNG or JPEG"
    return "is not a picture or has a damaged header"


def _stated_bits(data: bytes) -> int:
    """How many bits the numbers of a PNG or PGM have, if it says so; else 0."""
    if data[:2] in (b"P2", b"P5"):  # Pillow has scaled them by the largest number
        numbers = re.sub(rb"#[^\n]*", b"", data[:1000]).split()[3:4]
        return 16 if numbers and numbers[0] != b"65535" else 0
    place = 8 if data.startswith(b"\x89PNG") else len(data)
    while place + 8 < len(data):
        size, kind = struct.unpack(">I4s", data[place : place + 8])
        if kind in (b"sBIT", b"IDAT"):
            found = data[place + 8 : place + 8 + size] if kind == b"sBIT" else b""
            bits = max(found, default=0)
            return bits if bits < 16 else 0
        place += 12 + size
    return 0


def to_rgb(image: Image.Image, name: str, deep: bool = False, bits: int = 0) -> Image.Image:
    """Any Pillow mode to RGB: upright, 8 bits, transparency on white.

    `deep` says that 16 bits a colour were cut to 8; `bits`, how many the file says it has.
    """
    try:
        upright = ImageOps.exif_transpose(image)
    except Exception:  # a broken tag is no reason to refuse the picture
        upright = image.copy()
    if image.width == 0 or image.height == 0:
        raise refused(name, "has no pixels")
    if image.mode.startswith("I") or image.mode == "F":
        upright = _to_8_bits(upright, name, getattr(image, "tag_v2", {}), bits)
    if upright.mode in ("RGBA", "LA", "La", "PA", "RGBa") or "transparency" in upright.info:
        upright = upright.convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", upright.size, "white"), upright)
    upright = upright.convert("RGB")
    if deep and 0 < (high := max(high for _, high in upright.getextrema())) < 64:
        _warn_dark(name, high * 256 + 255, 65535)
    return upright


# -- what is white ---------------------------------------------------------------------


def _to_8_bits(image: Image.Image, name: str, tags: dict, bits: int) -> Image.Image:
    """Whole numbers or floats, as the modes I, I;16 and F hold them, to mode L."""
    values = np.asarray(image)
    finite = [row[np.isfinite(row)] for row in values] if image.mode == "F" else values
    low = min((float(row.min()) for row in finite if row.size), default=0.0)
    high = max((float(row.max()) for row in finite if row.size), default=0.0)
    if image.mode == "F":
        white = _white_of_floats(low, high, name)
        if sum(row.size for row in finite) < values.size:
            warn(f"{name} holds NaN or infinite values, which are shown in black")
    else:
        white = _white_of_whole_numbers(low, high, name, _tagged_bits(tags) or bits)
    clear, negative = image.info.get("transparency"), tags.get(262) == 0  # 0 is white
    eighth = np.empty(values.shape, np.uint8)
    for row, line in zip(eighth, values, strict=True):  # all at once would be 1.5 GB
        numbers = np.nan_to_num(line.astype(np.float64), posinf=0) * (255 / white)
        row[:] = numbers.clip(0, 255).round()
        row[:] = 255 - row if negative else row
        row[line == clear] = 255
    return Image.fromarray(eighth)


def _tagged_bits(tags: dict) -> int:
    """How many bits the numbers of a TIFF have, if it says fewer than 16; else 0."""
    for tag in (281, 258):  # MaxSampleValue, perhaps of this picture only; BitsPerSample
        with suppress(TypeError, ValueError, OverflowError):  # anything can stand there
            most = int(np.ravel(tags[tag]).max()) if tag in tags else 0
            bits = most.bit_length() if tag == 281 else most
            if 8 < bits < 16:
                return bits
    return 0


def _white_of_whole_numbers(low: float, high: float, name: str, stated: int = 0) -> int:
    """65535, but for numbers of fewer bits."""
    if low < 0 or high > 65535:
        words = f"holds values from {low:.0f} to {high:.0f}"
        raise refused(name, f"{words}; scale them to 0 (black) to 65535 (white) first")
    if stated and high < 2**stated:
        return 2**stated - 1
    if 0 < high <= 65535 * SIXTEENTH:
        white = _fewest_bits(high)
        warn(f"{name} has no value above {high:.0f}: {white} was taken for white")
        return white
    if 0 < high < 2**14:
        _warn_dark(name, high, 65535)
    return 65535


def _white_of_floats(low: float, high: float, name: str) -> float:
    """1 or 255, whichever is meant; cameras may have given more."""
    ambiguous = 1 + CLOSE < high <= 255 * SIXTEENTH
    if low < -CLOSE or high > 65535 or ambiguous:
        words = f"holds values from {low:.7g} to {high:.7g}"
        raise refused(name, f"{words}; scale them to 0 (black) to 1 (white) first")
    if high <= 1 + CLOSE:
        if 0 < high <= SIXTEENTH:
            _warn_dark(name, high, 1)
        return 1
    if high <= 255:
        return 255
    white = _fewest_bits(high)
    warn(f"{name} holds floats up to {high:.7g}: {white} was taken for white")
    return white


def _fewest_bits(high: float) -> int:
    return next(2**bits - 1 for bits in BITS if high < 2**bits)


def _warn_dark(name: str, high: float, white: int) -> None:
    words = f"{name} has no value above {high:.6g}, where {white} is white"
    warn(f"{words}: if it is darker than it should be, scale its values first")


# -- arrays ----------------------------------------------------------------------------


def from_array(array: np.ndarray | torch.Tensor) -> Image.Image:
    """An array or tensor of any kind that `load_image` takes, in 8 bits."""
    if isinstance(array, torch.Tensor):
        try:
            array = array.detach().cpu()
            array = (array.float() if array.is_floating_point() else array).numpy()
        except Exception as error:
            words = f"must be a tensor of plain numbers, got {array.layout}, {array.dtype}"
            raise ArgumentError("source", f"{words} on {array.device}") from error
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    shape = tuple(array.shape)
    if array.ndim not in (2, 3) or (array.ndim == 3 and shape[2] not in (3, 4)):
        first = array.ndim == 3 and shape[0] in (1, 3, 4)
        hint = "; permute or transpose (1, 2, 0) puts the colours last" if first else ""
        wanted = "must be an array of shape (H, W), (H, W, 3) or (H, W, 4)"
        raise ArgumentError("source", f"{wanted}, got {shape}{hint}")
    if array.size == 0:
        raise ArgumentError("source", f"must not be empty, got an array of shape {shape}")
    return Image.fromarray(np.ascontiguousarray(_eighths(array)))


def _eighths(array: np.ndarray) -> np.ndarray:
    """The numbers of an array from 0 to 255."""
    if array.dtype == np.uint8:
        return array
    if array.dtype == bool:
        return array.astype(np.uint8) * 255
    colours = array[..., :3] if array.ndim == 3 else array  # without transparency
    low, high = float(array.min()), float(array.max())
    if array.dtype.kind == "u" and array.dtype.itemsize == 2:
        white = _white_of_whole_numbers(low, float(colours.max()), "the array")
        return (array * (255 / white)).clip(0, 255).round().astype(np.uint8)
    if array.dtype.kind != "f":
        words = f"must be a uint8 or float array, got {array.dtype}"
        raise ArgumentError("source", f"{words}; astype(np.uint8) keeps values of 0 to 255")
    if not (low >= -CLOSE and high <= 1 + CLOSE):  # also refuses NaN
        words = f"must have values in [0, 1] if it is float, got {low:.7g} to {high:.7g}"
        hint = "; divide them by 255" if low >= 0 and 1.5 < high <= 255 else ""
        raise ArgumentError("source", words + hint)
    # A blank map in colours is dark, too; only an error makes all of them as dark as this.
    faint = SIXTEENTH if array.ndim == 2 else 1 / 255
    if 0 < colours.max() <= faint:
        _warn_dark("the array", float(colours.max()), 1)
    return (array.clip(0, 1) * 255).round().astype(np.uint8)
