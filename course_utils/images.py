"""Pictures into a network's input and back: load, preprocess, deprocess.

A torchvision network was trained on RGB values in [0, 1], normalised channel by channel
with the mean and standard deviation of ImageNet's training pictures,
``x = (rgb - mean) / std``. `preprocess` does that; `deprocess` is its inverse.
"""

import http.client
import io
import os
import stat
import string
import urllib.parse
import urllib.request
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, features

from ._machinery.arguments import ArgumentError, described, naming
from .inputs import IMAGENET_MEAN, IMAGENET_STD, Inputs  # noqa: F401 - one door for both

MAX_PIXELS = 64_000_000  # 8000 × 8000; decoded as RGB that is 192 MB of memory
TOO_MANY_PIXELS = f"more than {MAX_PIXELS // 1_000_000} million pixels; scale it down first"
MAX_BYTES = 200 * 1024 * 1024  # of a file, which may hold them uncompressed
URL_TIMEOUT = 20  # seconds
# What Pillow may open, and the endings of such files. Others it would hand to a program of
# their own (EPS starts Ghostscript) or to readers that nobody needs here.
FORMATS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "MPO": (".mpo",),
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

# -- loading ---------------------------------------------------------------------------


def load_image(source) -> Image.Image:
    """Open a picture from anywhere as an upright RGB `PIL.Image`, transparency on white.

    Args:
        source: a path; an ``http(s)`` URL; the file's bytes; an open binary file; the
            `value` of an ipywidgets `FileUpload`; a `PIL.Image`; an array or tensor:
            (H, W), (H, W, 3) or (H, W, 4), `uint8` or float in [0, 1].

    Raises:
        FileNotFoundError, IsADirectoryError, ConnectionError: nothing there to open.
        ArgumentError: not a picture, a truncated one, or one above `MAX_PIXELS`.

    Example:
        >>> load_image(np.zeros((2, 3), np.uint8)).size
        (3, 2)
    """
    if isinstance(source, Image.Image):
        return _to_rgb(_loaded(source, "the picture"), "the picture")
    if isinstance(source, (np.ndarray, torch.Tensor)):
        return _to_rgb(_from_array(source), "the array")
    data, name = _read(source)
    return _to_rgb(_decode(data, name), name)


def _read(source) -> tuple[bytes, str]:
    """The bytes of `source`, and how to call it in a message."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        return bytes(source), "the data"
    if isinstance(source, str) and source.lower().startswith(("http://", "https://")):
        return _fetch(source), source
    if isinstance(source, (str, Path)):
        return _read_file(Path(source).expanduser()), str(source)
    if hasattr(source, "read"):
        data, name = source.read(), str(getattr(source, "name", "the open file"))
        if isinstance(data, str):
            raise ArgumentError("source", f'must be binary; open {name} with the mode "rb"')
        return bytes(data), name
    if uploads := uploaded_files(source):
        return uploads[-1][1], uploads[-1][0]
    if isinstance(source, (tuple, list, dict)) and not source:
        raise ArgumentError("source", "is empty: nothing has been uploaded yet")
    kinds = "a path, a URL, bytes, an upload, a PIL image or an array"
    raise ArgumentError("source", f"must be {kinds}, got {described(source)}")


def uploaded_files(value) -> list[tuple[str, bytes]]:
    """``(name, bytes)`` of each file in the value of a `FileUpload`."""
    if isinstance(value, dict):  # ipywidgets 7: by file name; 8 gives a tuple of dicts
        named = [(name, item) for name, item in value.items() if isinstance(item, dict)]
        value = [{**item, "name": name} for name, item in named]
    items = value if isinstance(value, (tuple, list)) else ()
    items = [item for item in items if isinstance(item, dict) and "content" in item]
    return [(str(item.get("name")), bytes(item["content"])) for item in items]


def _read_file(path: Path) -> bytes:
    try:
        folder, file = path.is_dir(), path.is_file()
    except OSError:  # a text too long to be a path
        folder = file = False
    if folder:
        raise IsADirectoryError(f"{path} is a folder, not a picture")
    if not file:
        raise FileNotFoundError(f"there is no file {str(path):.200}")
    if path.stat().st_size > MAX_BYTES:
        raise _refused(path, f"is larger than {MAX_BYTES >> 20} MB")
    return path.read_bytes()


def _refused(name, reason: str) -> ArgumentError:
    return ArgumentError("source", f"cannot be opened: {name} {reason}")


def _fetch(url: str) -> bytes:
    address = urllib.parse.quote(url, safe=string.punctuation)  # blanks, accents
    try:
        request = urllib.request.Request(address, headers={"User-Agent": "course_utils"})
        with urllib.request.urlopen(request, timeout=URL_TIMEOUT) as answer:
            data = answer.read(MAX_BYTES + 1)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise ConnectionError(f"{url} could not be fetched ({error})") from error
    if len(data) > MAX_BYTES:
        raise _refused(url, f"is larger than {MAX_BYTES >> 20} MB")
    return data


def _decode(data: bytes, name: str) -> Image.Image:
    """Decode a file's bytes, once its header has shown that it is not too large."""
    if not data:
        raise _refused(name, "is empty")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # whatever is wrong is raised here
        try:
            image = Image.open(io.BytesIO(data))
        except Image.DecompressionBombError as error:
            raise _refused(name, f"has {TOO_MANY_PIXELS}") from error
        except Exception as error:  # Pillow's readers raise many kinds
            raise _refused(name, "is not a picture or has a damaged header") from error
        if image.width * image.height > MAX_PIXELS:
            raise _refused(name, f"has {TOO_MANY_PIXELS}")
        return _loaded(image, name)


def _loaded(image: Image.Image, name: str) -> Image.Image:
    try:
        image.load()
    except Exception as error:
        raise _refused(name, "is damaged or truncated") from error
    return image


def _from_array(array) -> Image.Image:
    if isinstance(array, torch.Tensor):
        array = array.detach().cpu()
        array = (array.float() if array.is_floating_point() else array).numpy()
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    shape = tuple(array.shape)
    if array.ndim not in (2, 3) or (array.ndim == 3 and shape[2] not in (3, 4)):
        first = array.ndim == 3 and shape[0] == 3
        hint = "; permute or transpose (1, 2, 0) puts the colours last" if first else ""
        wanted = "must be an array of shape (H, W), (H, W, 3) or (H, W, 4)"
        raise ArgumentError("source", f"{wanted}, got {shape}{hint}")
    if array.size == 0:
        raise ArgumentError("source", f"must not be empty, got an array of shape {shape}")
    if np.issubdtype(array.dtype, np.floating):
        low, high = array.min(), array.max()
        if not (low >= 0 and high <= 1):  # also refuses NaN
            words = f"must have values in [0, 1] if it is float, got {low:g} to {high:g}"
            raise ArgumentError("source", words)
        array = (array * 255).round().astype(np.uint8)
    elif array.dtype == bool:
        array = array.astype(np.uint8) * 255
    elif array.dtype == np.uint16:
        array = (array / 257).round().astype(np.uint8)
    elif array.dtype != np.uint8:
        raise ArgumentError("source", f"must be a uint8 or float array, got {array.dtype}")
    return Image.fromarray(np.ascontiguousarray(array))


def _to_rgb(image: Image.Image, name: str) -> Image.Image:
    """Any Pillow mode to RGB: upright, 8 bits, transparency on white."""
    try:
        image = ImageOps.exif_transpose(image)
    except Exception:  # a broken tag is no reason to refuse the picture
        image = image.copy()
    if image.width == 0 or image.height == 0:
        raise _refused(name, "has no pixels")
    if image.mode.startswith("I") or image.mode == "F":
        image = _to_8_bits(image)
    if image.mode in ("RGBA", "LA", "PA", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def _to_8_bits(image: Image.Image) -> Image.Image:
    """16-bit integers (65535 is white) or floats (1 or 255 is white) to mode L."""
    values, scale = np.asarray(image), 1 / 257
    if image.mode == "F":
        scale = 255 if np.nanmax(values, initial=0) <= 1 else 1
    eighth = np.empty(values.shape, np.uint8)
    for row, line in zip(eighth, values, strict=True):  # all at once would be 1.5 GB
        numbers = np.nan_to_num(line.astype(np.float64)) * scale
        row[:] = numbers.clip(0, 255).round()
    return Image.fromarray(eighth)


def find_pictures(folder: str | Path, deep: bool = False) -> list[Path]:
    """The pictures of a folder, or of those inside it as well (`deep`), in a stable order.

    A picture is a file with one of the `ENDINGS`, in upper or lower case. Names that begin
    with a dot are skipped; what else is passed over, `passed_over` tells. A folder without
    pictures is refused.

    Example:
        >>> find_pictures("photos")  # doctest: +SKIP
        [PosixPath('photos/cat.jpg'), PosixPath('photos/dog.png')]
    """
    listed, top = _listed(folder, deep), Path(folder).expanduser()
    found = [path for path, reason in listed if not reason]
    if not found:
        state = dict(listed).get(top, "has none")
        words = f"must contain pictures ({' '.join(ENDINGS)}); {folder} {state}"
        raise ArgumentError("folder", words)
    return found


def passed_over(folder: str | Path, deep: bool = False) -> dict[Path, str]:
    """What `find_pictures` passes over, and why: path → reason, in the same order.

    These are files without the ending of a picture, links that lead nowhere, and files and
    folders that this user may not look at.

    Example:
        >>> passed_over("photos")  # doctest: +SKIP
        {PosixPath('photos/notes.txt'): 'has no ending of a picture'}
    """
    return {path: reason for path, reason in _listed(folder, deep) if reason}


def _listed(folder: str | Path, deep: bool) -> list[tuple[Path, str]]:
    """Files of a folder in a stable order, each with why it is no picture, or ""."""
    top, listed = Path(folder).expanduser(), []

    def closed(error: OSError) -> None:
        listed.append((Path(error.filename), _unreadable(error)))

    for path, folders, names in os.walk(top, onerror=closed):
        folders[:] = [name for name in folders if deep and name[0] != "."]
        files = [Path(path, name) for name in names if name[0] != "."]
        listed += [(file, _why_no_picture(file)) for file in files]
    return sorted(listed, key=lambda item: item[0].relative_to(top).as_posix())


def _why_no_picture(path: Path) -> str:
    if path.suffix.lower() not in ENDINGS:
        return "has no ending of a picture"
    try:
        return "" if stat.S_ISREG(path.stat().st_mode) else "is not a file"
    except FileNotFoundError:
        return "is a link that leads nowhere"
    except OSError as error:
        return _unreadable(error)


def _unreadable(error: OSError) -> str:
    return f"cannot be read ({error.strerror})"


# -- pictures ↔ tensors ----------------------------------------------------------------

Size = int | tuple[int, int]  # of a square, or (height, width)


def fit_image(image: Image.Image, size: Size = 224, fit: str = "crop") -> Image.Image:
    """Scale a picture to a side, or to (height, width), in pixels.

    ``"crop"`` keeps the centre, ``"stretch"`` all of it, so that shapes change.
    """
    width, height, left, top = _scaled(image.size, size, fit)
    rows, columns = Inputs(size).sides
    image = image.resize((width, height), Image.Resampling.BILINEAR)
    return image.crop((left, top, left + columns, top + rows))


def fit_box(
    box: Sequence[float], image_size: tuple[int, int], size: Size = 224, fit: str = "crop"
) -> tuple[float, float, float, float]:
    """Where ``(x0, y0, x1, y1)`` of a picture lies after `fit_image`, clipped to it."""
    width, height, left, top = _scaled(image_size, size, fit)
    rows, columns = Inputs(size).sides
    scales = (width / image_size[0], height / image_size[1]) * 2
    edges = zip(box, scales, (left, top) * 2, (columns, rows) * 2, strict=True)
    return tuple(float(min(max(x * scale - cut, 0), end)) for x, scale, cut, end in edges)


def _scaled(image_size, size: Size, fit: str) -> tuple[int, int, int, int]:
    """Width and height after scaling, left and top of the crop as in torchvision."""
    rows, columns = Inputs(size, fit=fit).sides
    if fit == "stretch":
        return columns, rows, 0, 0
    width, height = image_size
    if rows * width >= columns * height:  # the picture is broader than what is wanted
        width, height = rows * width // height, rows
    else:
        width, height = columns, columns * height // width
    if width * height > MAX_PIXELS:
        words = 'must be "stretch" for a picture of {}×{}'.format(*image_size)
        raise ArgumentError("fit", words)
    return width, height, round((width - columns) / 2), round((height - rows) / 2)


def preprocess(
    images, size: Size | None = None, mean=None, std=None, fit=None, inputs=None
) -> torch.Tensor:
    """Turn pictures into the batch that a network takes, ``(rgb / 255 - mean) / std``.

    It is (N, channels, height, width), scaled as by `fit_image`. What is raised is as for
    `load_image`; of several pictures it names the bad one, such as ``images[1]``.

    Args:
        images: one picture or a list of them, each anything that `load_image` takes;
            or an array (N, H, W, 3).
        size, mean, std, fit: of `Inputs`. With one mean the pictures become grey. With
            two, or more than three, they must be arrays (H, W, channels).
        inputs: an `Inputs`, for what is not given; 224 pixels and ImageNet's without it.

    Example:
        >>> preprocess(Image.new("RGB", (300, 200), "white")).shape
        torch.Size([1, 3, 224, 224])
    """
    inputs = (inputs or Inputs()).but(size=size, mean=mean, std=std, fit=fit)
    sources, arrays = _sources(images), []
    for index, source in enumerate(sources):
        with naming(source=f"images[{index}]" if len(sources) > 1 else "images"):
            arrays.append(_fitted(source, inputs))
    batch = torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).float() / 255
    mean, std = statistics(inputs)
    return ((batch - mean) / std).contiguous()


def _fitted(source, inputs: Inputs) -> np.ndarray:
    """(height, width, channels), uint8: a picture, fitted."""
    channels = inputs.channels
    if channels in (1, 3):
        image = load_image(source).convert("L" if channels == 1 else "RGB")
        fitted = np.asarray(fit_image(image, inputs.size, inputs.fit))
        return fitted if channels == 3 else fitted[..., None]
    if getattr(source, "ndim", 0) != 3 or source.shape[2] != channels:
        words = f"must be an array (H, W, {channels}), as mean has {channels} numbers, got"
        raise ArgumentError("source", f"{words} {described(source)}")
    each = (load_image(source[..., k]).convert("L") for k in range(channels))
    fitted = [np.asarray(fit_image(one, inputs.size, inputs.fit)) for one in each]
    return np.stack(fitted, axis=2)


def prepare(model: torch.nn.Module, pictures, inputs: Inputs) -> torch.Tensor:
    """`preprocess`, on the network's device and in the type of its weights."""
    floats = (p for p in model.parameters() if p.is_floating_point())
    return preprocess(pictures, inputs=inputs).to(next(floats, torch.empty(0)))


def deprocess(
    images: torch.Tensor, rescale: bool = False, mean=None, std=None, inputs=None
) -> Image.Image | list[Image.Image]:
    """Turn a network's input back into pictures: `preprocess` of these statistics, undone.

    The pictures are RGB; one channel, or the mean of two or of more than three, is grey.

    Args:
        images: (C, H, W), for one `PIL.Image`, or (N, C, H, W), for a list of them.
        rescale: stretch each picture from its own minimum and maximum to 0–255 (for a
            tensor that does not come from a photograph); otherwise clip to [0, 1].
        mean, std, inputs: as for `preprocess`.

    Example:
        >>> deprocess(torch.zeros(3, 2, 2)).getpixel((0, 0))  # zero is the mean colour
        (124, 116, 104)
    """
    inputs = (inputs or Inputs()).but(mean=mean, std=std)
    count = inputs.channels
    tensor = isinstance(images, torch.Tensor) and images.ndim in (3, 4) and images.numel()
    if not tensor or images.shape[-3] != count:
        wanted = f"must be a tensor of shape ({count}, H, W) or (N, {count}, H, W)"
        hint = "" if not tensor else "; mean and std need a number per channel"
        raise ArgumentError("images", f"{wanted}, got {described(images)}{hint}")
    if not torch.isfinite(images).all():
        raise ArgumentError("images", "must be finite, got NaN or infinite values")
    mean, std = statistics(inputs)
    batch = images.detach().cpu().float().reshape(-1, *images.shape[-3:]) * std + mean
    if rescale:
        low = batch.amin((1, 2, 3), keepdim=True)
        span = batch.amax((1, 2, 3), keepdim=True) - low
        batch = (batch - low) / torch.where(span > 0, span, 1.0)
    if count != 3:
        batch = batch.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    values = (batch.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1)
    pictures = [Image.fromarray(np.ascontiguousarray(v)) for v in values.numpy()]
    return pictures if images.ndim == 4 else pictures[0]


def statistics(inputs: Inputs) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation as tensors (1, channels, 1, 1)."""
    return tuple(torch.tensor(v).view(1, -1, 1, 1) for v in (inputs.mean, inputs.std))


def _sources(images) -> list:
    """What was given as one picture or several, as a list of pictures."""
    if isinstance(images, (np.ndarray, torch.Tensor)):
        sources = list(images) if images.ndim == 4 else [images]
    elif uploads := uploaded_files(images):
        sources = [{name: {"content": data}} for name, data in uploads]
    else:
        sources = list(images) if isinstance(images, (list, tuple)) else [images]
    if not sources:
        raise ArgumentError("images", "must be at least one picture, got none")
    return sources
