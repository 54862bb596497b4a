"""Pictures into a network's input and back: load, preprocess, deprocess.

A torchvision network was trained on RGB values in [0, 1], normalised channel by channel
with the mean and standard deviation of ImageNet's training pictures,
``x = (rgb - mean) / std``. `preprocess` does that; `deprocess` is its inverse.
"""

import os
import re
import stat
import urllib.parse
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ._machinery.arguments import ArgumentError, described, naming
from ._machinery.pictures import (
    ENDINGS,
    MAX_PIXELS,
    decode,
    from_array,
    loaded,
    refused,
    to_rgb,
)
from ._machinery.web import fetch
from .inputs import IMAGENET_MEAN, IMAGENET_STD, Inputs  # noqa: F401 - one door for both

MAX_BYTES = 200 * 1024 * 1024  # of a file, which may hold its pixels uncompressed

# -- loading ---------------------------------------------------------------------------


def load_image(source) -> Image.Image:
    """Open a picture from anywhere as an upright RGB `PIL.Image`, transparency on white.

    Files may be JPEG, PNG, WebP, BMP, TIFF, GIF, PPM and, where Pillow has it, AVIF; of
    several frames the first counts.

    Args:
        source: a path; an ``http(s)`` URL; the file's bytes; an open binary file; the
            `value` of an ipywidgets `FileUpload`; a `PIL.Image`; an array or tensor:
            (H, W), (H, W, 3) or (H, W, 4), `uint8`, `uint16` or float in [0, 1].

    Of 16 bits, 65535 is white, unless a TIFF or PNG says that it holds fewer. Where no
    value exceeds a sixteenth of that, the fewest of 8, 10 or 12 bits that hold them all
    are taken. Of float files, 1 or 255 is white. A warning says what was assumed where a
    picture would otherwise be nearly black.

    Raises:
        FileNotFoundError, IsADirectoryError, PermissionError, ConnectionError: nothing
            there to open, or a URL not within a minute.
        ArgumentError: not a picture, a truncated one, one above `MAX_PIXELS`, or a file
            above `MAX_BYTES`.

    Example:
        >>> load_image(np.zeros((2, 3), np.uint8)).size
        (3, 2)
    """
    if isinstance(source, Image.Image):
        return to_rgb(source, "the picture", loaded(source, "the picture"))
    if isinstance(source, (np.ndarray, torch.Tensor)):
        return to_rgb(from_array(source), "the array")
    data, name = _read(source)
    if len(data) > MAX_BYTES:
        raise refused(name, f"is larger than {MAX_BYTES >> 20} MB")
    return decode(data, name)


def _read(source) -> tuple[bytes, str]:
    """The bytes of `source`, at most one more than allowed, and its name in a message."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        return memoryview(source)[: MAX_BYTES + 1].tobytes(), "the data"
    if isinstance(source, str) and source.lower().startswith(("http://", "https://")):
        return fetch(source, MAX_BYTES), source
    if isinstance(source, (str, Path)) and str(source).strip():
        return _read_file(str(source)), str(source)
    if hasattr(source, "read"):
        data, name = source.read(MAX_BYTES + 1), str(getattr(source, "name", "the file"))
        if not isinstance(data, (bytes, bytearray, memoryview)):
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


def _read_file(text: str) -> bytes:
    try:
        path = Path(text).expanduser()
        if path.is_dir():
            raise IsADirectoryError
        if not path.is_file():  # nothing, or a pipe, which might never end
            raise FileNotFoundError
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except IsADirectoryError:
        raise IsADirectoryError(f"{text} is a folder, not a picture") from None
    except PermissionError as error:
        raise PermissionError(f"{text} cannot be read ({error.strerror})") from None
    except (OSError, ValueError, RuntimeError):  # nothing there, or no path: too long, ~who
        words = f"there is no file {text:.200}{_hint(text)}"
        raise FileNotFoundError(words) from None


def _hint(text: str) -> str:
    """What a text that is no path may have been meant to be."""
    if text != text.strip():
        return "; leave out the blanks at its ends"
    if text[0] in "'\"" or text[-1] in "'\"":
        return "; leave out the quotes"
    if text.lower().startswith("file:"):
        path = urllib.request.url2pathname(urllib.parse.urlsplit(text).path)
        return f"; give the path itself, {path:.200}"
    if re.match(r"[a-z]:[\\/]", text, re.IGNORECASE) and os.name != "nt":
        return "; this Python runs on another machine than Windows: upload the file"
    if re.match(r"www\.|[a-z][a-z0-9+.-]+:", text, re.IGNORECASE):
        return "; of addresses, those that begin with http:// or https:// are read"
    return ""


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
    if str(source.dtype).endswith("uint16"):  # all channels have the same white
        source = np.asarray(source) / 65535
    each = (load_image(source[..., k]).convert("L") for k in range(channels))
    fitted = [np.asarray(fit_image(one, inputs.size, inputs.fit)) for one in each]
    return np.stack(fitted, axis=2)


def prepare(model: torch.nn.Module, pictures, inputs: Inputs) -> torch.Tensor:
    """`preprocess`, on the network's device and in the type of its weights."""
    floats = [p for p in model.parameters() if p.is_floating_point()]
    like = max(floats, key=torch.Tensor.numel, default=torch.empty(0))
    return preprocess(pictures, inputs=inputs).to(like.device, like.dtype)


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
