"""Pictures in and out of a network: load, preprocess, deprocess.

A torchvision network was trained on RGB values in [0, 1], normalised channel by channel
with the mean and standard deviation of ImageNet's training pictures,
``x = (rgb - mean) / std``. `preprocess` does that; `deprocess` is its inverse.
"""

import http.client
import io
import string
import urllib.parse
import urllib.request
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

MAX_PIXELS = 64_000_000  # 8000 × 8000; decoded as RGB that is 192 MB of memory
MAX_BYTES = 200 * 1024 * 1024  # of a file, which may hold them uncompressed
URL_TIMEOUT = 20  # seconds
ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")

# -- loading ---------------------------------------------------------------------------


def load_image(source) -> Image.Image:
    """Open a picture from anywhere as an upright RGB `PIL.Image`.

    Args:
        source: a path; an ``http(s)`` URL; the file's bytes; an open binary file; the
            `value` of an ipywidgets `FileUpload`; a `PIL.Image`; an array or tensor:
            (H, W), (H, W, 3) or (H, W, 4), `uint8` or float in [0, 1].

    Returns:
        The picture in mode RGB, turned upright after its EXIF tag; what was transparent
        is white, 16 bits become 8.

    Raises:
        FileNotFoundError, IsADirectoryError, ConnectionError: nothing there to open.
        ValueError: no picture, a truncated one, or one above `MAX_PIXELS`.
        TypeError: a `source` of another kind.

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
            raise TypeError(f'source: {name} gives text; open it with the mode "rb"')
        return bytes(data), name
    uploads = uploaded_files(source)
    if uploads:
        name, data = uploads[-1]
        return data, name
    if isinstance(source, (tuple, list, dict)) and not source:
        raise ValueError("source: nothing has been uploaded yet")
    raise TypeError(
        "source: wants a path, a URL, bytes, an upload, a PIL image or an array, "
        f"not {type(source).__name__}"
    )


def uploaded_files(value) -> list[tuple[str, bytes]]:
    """``(name, bytes)`` of each file in a `FileUpload`'s value (ipywidgets 7 or 8).

    Version 7 holds a dict of dicts by file name, version 8 a tuple of dicts.
    """
    if isinstance(value, dict):
        pairs = list(value.items())
    else:
        items = value if isinstance(value, (tuple, list)) else ()
        pairs = [(i.get("name"), i) for i in items if isinstance(i, dict)]
    return [
        (str(name), bytes(item["content"]))
        for name, item in pairs
        if isinstance(item, dict) and "content" in item
    ]


def _read_file(path: Path) -> bytes:
    try:
        folder, file = path.is_dir(), path.is_file()
    except OSError:  # a text too long to be a path
        folder = file = False
    if folder:
        raise IsADirectoryError(f"source: {path} is a folder, not a picture")
    if not file:
        raise FileNotFoundError(f"source: there is no file {str(path):.200}")
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"source: {path} is larger than {MAX_BYTES >> 20} MB")
    return path.read_bytes()


def _fetch(url: str) -> bytes:
    address = urllib.parse.quote(url, safe=string.punctuation)  # blanks, accents
    try:
        request = urllib.request.Request(address, headers={"User-Agent": "course_utils"})
        with urllib.request.urlopen(request, timeout=URL_TIMEOUT) as answer:
            data = answer.read(MAX_BYTES + 1)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise ConnectionError(f"source: {url} could not be fetched ({error})") from error
    if len(data) > MAX_BYTES:
        raise ValueError(f"source: {url} is larger than {MAX_BYTES >> 20} MB")
    return data


def _decode(data: bytes, name: str) -> Image.Image:
    """Decode a file's bytes, but only once its size is known to be bearable."""
    if not data:
        raise ValueError(f"source: {name} is empty")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # whatever is wrong is raised here
        try:
            image = Image.open(io.BytesIO(data))
        except Image.DecompressionBombError as error:
            raise _too_large(name) from error
        except Exception as error:  # Pillow's readers raise many kinds
            raise ValueError(
                f"source: {name} is no picture that can be read, or its head is damaged"
            ) from error
        if image.width * image.height > MAX_PIXELS:
            raise _too_large(name, image.size)
        return _loaded(image, name)


def _loaded(image: Image.Image, name: str) -> Image.Image:
    try:
        image.load()
    except Exception as error:
        raise ValueError(f"source: {name} is damaged or truncated") from error
    return image


def _too_large(name: str, size: tuple[int, int] | None = None) -> ValueError:
    came = "{}×{}".format(*size) if size else "far more"
    return ValueError(
        f"source: {name} has {came} pixels; at most {MAX_PIXELS // 1_000_000} million "
        "are opened, so scale it down first"
    )


def _from_array(array) -> Image.Image:
    if isinstance(array, torch.Tensor):
        array = array.detach().cpu()
        array = (array.float() if array.is_floating_point() else array).numpy()
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        last = array.ndim == 3 and array.shape[0] == 3
        raise ValueError(
            "source: an array wants the shape (H, W), (H, W, 3) or (H, W, 4), "
            f"not {tuple(array.shape)}"
            + ("; permute or transpose (1, 2, 0) puts the colours last" if last else "")
        )
    if array.size == 0:
        raise ValueError(f"source: the array is empty, shape {tuple(array.shape)}")
    if np.issubdtype(array.dtype, np.floating):
        low, high = array.min(), array.max()
        if not (low >= 0 and high <= 1):  # also refuses NaN
            raise ValueError(
                f"source: a float array wants values in [0, 1], not {low:g} to {high:g}"
            )
        array = (array * 255).round().astype(np.uint8)
    elif array.dtype == bool:
        array = array.astype(np.uint8) * 255
    elif array.dtype == np.uint16:
        array = (array / 257).round().astype(np.uint8)
    elif array.dtype != np.uint8:
        raise ValueError(f"source: an array wants uint8 or float, not {array.dtype}")
    return Image.fromarray(np.ascontiguousarray(array))


def _to_rgb(image: Image.Image, name: str) -> Image.Image:
    """Any Pillow mode to RGB: upright, 8 bits, transparency on white."""
    try:
        image = ImageOps.exif_transpose(image)
    except Exception:  # a broken tag is no reason to refuse the picture
        image = image.copy()
    if image.width == 0 or image.height == 0:
        raise ValueError(f"source: {name} has no pixels, size {image.size}")
    if image.mode.startswith("I") or image.mode == "F":
        image = _to_8_bits(image)
    if image.mode in ("RGBA", "LA", "PA", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def _to_8_bits(image: Image.Image) -> Image.Image:
    """16-bit integers (65535 is white) or floats (1 or 255 is white) to mode L."""
    values = np.asarray(image)
    scale = 1 / 257
    if image.mode == "F":
        scale = 255 if np.nanmax(values, initial=0) <= 1 else 1
    eighth = np.empty(values.shape, np.uint8)
    for row, line in zip(eighth, values, strict=True):  # all at once would be 1.5 GB
        numbers = np.nan_to_num(line.astype(np.float64)) * scale
        row[:] = numbers.clip(0, 255).round()
    return Image.fromarray(eighth)


def find_pictures(folder: str | Path, deep: bool = False) -> list[Path]:
    """The pictures of a folder by their names' endings, always in the same order.

    Args:
        folder: where to look; names that begin with a dot are passed over.
        deep: also look into the folders inside it.

    Raises:
        ValueError: no such folder, or no picture in it.
    """
    folder = Path(folder).expanduser()
    found = folder.rglob("*") if deep else folder.glob("*")
    found = [path for path in found if path.suffix.lower() in ENDINGS and path.is_file()]
    inside = {path: path.relative_to(folder).as_posix() for path in found}
    found = [p for p in found if not any(part[0] == "." for part in inside[p].split("/"))]
    if not found:
        raise ValueError(f"folder: {folder} holds no pictures ({' '.join(ENDINGS)})")
    return sorted(found, key=inside.get)


# -- pictures ↔ tensors ----------------------------------------------------------------


def fit_image(image: Image.Image, size: int = 224, fit: str = "crop") -> Image.Image:
    """Scale a picture to ``size`` × ``size`` pixels.

    Args:
        image: any RGB picture.
        size: side in pixels.
        fit: ``"crop"`` scales the shorter side to `size` and keeps the centre;
            ``"stretch"`` scales both sides, so that all is kept but shapes change.
    """
    width, height = _fitted_size(image.size, size, fit)
    image = image.resize((width, height), Image.Resampling.BILINEAR)
    left, top = _crop_corner((width, height), size)
    return image.crop((left, top, left + size, top + size))


def fit_box(
    box: Sequence[float],
    image_size: tuple[int, int],
    size: int = 224,
    fit: str = "crop",
) -> tuple[float, float, float, float]:
    """Where ``(x0, y0, x1, y1)`` of a picture lies after `fit_image`, clipped to it."""
    width, height = _fitted_size(image_size, size, fit)
    left, top = _crop_corner((width, height), size)
    scale_x, scale_y = width / image_size[0], height / image_size[1]
    x0, y0, x1, y1 = box
    fitted = (x0 * scale_x - left, y0 * scale_y - top)
    fitted += (x1 * scale_x - left, y1 * scale_y - top)
    return tuple(float(min(max(v, 0), size)) for v in fitted)


def _fitted_size(image_size, size: int, fit: str) -> tuple[int, int]:
    """Width and height after scaling, before the crop (as torchvision's Resize)."""
    if not isinstance(size, (int, np.integer)) or size < 1:
        raise ValueError(f"size: wants a whole number of pixels from 1, not {size!r}")
    if fit == "stretch":
        return size, size
    if fit != "crop":
        raise ValueError(f'fit: wants "crop" or "stretch", not {fit!r}')
    width, height = image_size
    short = min(width, height)
    fitted = int(size * width / short), int(size * height / short)
    if fitted[0] * fitted[1] > MAX_PIXELS:
        raise ValueError(
            f'fit: a picture of {width}×{height} is too long for "crop"; use "stretch"'
        )
    return fitted


def _crop_corner(image_size, size: int) -> tuple[int, int]:
    width, height = image_size
    return round((width - size) / 2), round((height - size) / 2)


def preprocess(
    images,
    size: int = 224,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    fit: str = "crop",
) -> torch.Tensor:
    """Turn pictures into the batch a network takes: scaled, in [0, 1], normalised.

    Args:
        images: one picture or a list of them, each anything that `load_image` takes;
            or an array (N, H, W, 3).
        size: side in pixels.
        mean, std: of each colour channel, in [0, 1]; ImageNet's unless given.
        fit: ``"crop"`` (shorter side to `size`, centre crop) or ``"stretch"``.

    Returns:
        Float tensor (N, 3, size, size), ``(rgb / 255 - mean) / std``.

    Raises:
        ValueError: a bad `size`, `fit`, `mean` or `std`, no picture at all, or whatever
            `load_image` has to say of a picture.

    Example:
        >>> preprocess(Image.new("RGB", (300, 200), "white")).shape
        torch.Size([1, 3, 224, 224])
    """
    mean, std = check_statistics(mean, std)
    arrays = [np.asarray(fit_image(p, size, fit)) for p in _each_loaded(images)]
    batch = torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).float() / 255
    return ((batch - mean) / std).contiguous()


def deprocess(
    images: torch.Tensor,
    rescale: bool = False,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
) -> Image.Image | list[Image.Image]:
    """Turn a network's input back into pictures; the inverse of `preprocess`.

    Args:
        images: (3, H, W) or (N, 3, H, W), normalised.
        rescale: stretch each picture from its own minimum and maximum to 0–255 (to
            look at a tensor that is no photograph); otherwise clip to [0, 1].
        mean, std: those that `preprocess` was given.

    Returns:
        A `PIL.Image` for (3, H, W); a list of N for (N, 3, H, W), also when N is 1.

    Example:
        >>> deprocess(torch.zeros(3, 2, 2)).getpixel((0, 0))  # zero is the mean colour
        (124, 116, 104)
    """
    if not isinstance(images, torch.Tensor) or images.ndim not in (3, 4):
        raise ValueError(
            f"images: wants a tensor (3, H, W) or (N, 3, H, W), not {_describe(images)}"
        )
    if images.shape[-3] != 3 or images.numel() == 0:
        raise ValueError(
            f"images: wants 3 channels of one pixel or more, not {_describe(images)}"
        )
    if not torch.isfinite(images).all():
        raise ValueError("images: holds NaN or infinite values")
    mean, std = check_statistics(mean, std)
    batch = images.detach().cpu().float().reshape(-1, *images.shape[-3:]) * std + mean
    if rescale:
        low = batch.amin((1, 2, 3), keepdim=True)
        span = batch.amax((1, 2, 3), keepdim=True) - low
        batch = (batch - low) / torch.where(span > 0, span, 1.0)
    values = (batch.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1)
    pictures = [Image.fromarray(np.ascontiguousarray(v)) for v in values.numpy()]
    return pictures if images.ndim == 4 else pictures[0]


def check_statistics(mean, std) -> tuple[torch.Tensor, torch.Tensor]:
    """`mean` and `std` as tensors (1, 3, 1, 1).

    Raises:
        ValueError: not three finite numbers, or a deviation that is not positive.
    """
    return _three(mean, "mean", lowest=-torch.inf), _three(std, "std", lowest=0)


def _three(values, name: str, lowest: float) -> torch.Tensor:
    """`values` as a tensor (1, 3, 1, 1) of finite numbers above `lowest`."""
    try:
        three = torch.as_tensor(values, dtype=torch.float32, device="cpu")
    except (TypeError, ValueError, RuntimeError):
        three = torch.empty(0)
    if three.shape != (3,) or not (torch.isfinite(three) & (three > lowest)).all():
        kind = "positive" if lowest == 0 else "finite"
        raise ValueError(f"{name}: wants three {kind} numbers, not {values!r}")
    return three.view(1, 3, 1, 1)


def _each_loaded(images) -> Iterator[Image.Image]:
    """Load one picture or many; an error tells which of them it is about."""
    if isinstance(images, (np.ndarray, torch.Tensor)):
        pictures = list(images) if images.ndim == 4 else [images]
    elif uploads := uploaded_files(images):
        pictures = [{name: {"content": data}} for name, data in uploads]
    elif isinstance(images, (list, tuple)):
        pictures = list(images)
    else:
        pictures = [images]
    if not pictures:
        raise ValueError("images: there are none; give at least one picture")
    for number, picture in enumerate(pictures):
        try:
            yield load_image(picture)
        except (OSError, TypeError, ValueError) as error:
            which = f"images[{number}]:" if len(pictures) > 1 else "images:"
            raise type(error)(str(error).replace("source:", which, 1)) from error


def _describe(value) -> str:
    shape = getattr(value, "shape", None)
    kind = type(value).__name__
    return f"{kind} of shape {tuple(shape)}" if shape is not None else kind
