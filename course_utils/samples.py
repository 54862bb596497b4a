"""The course's own pictures: photographs with boxes, empty scenes, cut-outs.

``data/photos.json`` says for each one what it shows, where, who made it and under which
licence; ``data/CREDITS.md`` is the page for people.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache, cached_property

import numpy as np
import torch
from PIL import Image

from .images import fit_box, fit_image, load_image
from .models import DATA, class_name

KINDS = ("photos", "scenes", "cutouts")
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Samples:
    """Pictures of one kind with what is known about them, in a stable order.

    Attributes:
        kind: ``"photos"``, ``"scenes"`` or ``"cutouts"``.
        records: the entries of ``photos.json``, one a picture.
    """

    kind: str
    records: tuple[dict, ...] = field(repr=False)

    def __len__(self) -> int:
        return len(self.records)

    @cached_property
    def images(self) -> list[Image.Image]:
        """The pictures as stored: RGB, cut-outs RGBA."""
        paths = [DATA / self.kind / record["file"] for record in self.records]
        if self.kind == "cutouts":
            return [Image.open(path).convert("RGBA") for path in paths]
        return [load_image(path) for path in paths]

    def arrays(self, size: int = 224, fit: str = "crop") -> np.ndarray:
        """(N, size, size, 3) `uint8`, cropped as `preprocess` does it."""
        pictures = [load_image(image) for image in self.images]
        return np.stack([np.asarray(fit_image(p, size, fit)) for p in pictures])

    @property
    def labels(self) -> torch.Tensor:
        """(N,) ImageNet class indices; -1 where a scene shows no object."""
        labels = [record["label"] for record in self.records]
        return torch.tensor([-1 if label is None else label for label in labels])

    @property
    def class_names(self) -> list[str]:
        """The name of each picture's class; "" where it has none."""
        return [class_name(i) if i >= 0 else "" for i in self.labels.tolist()]

    @property
    def names(self) -> list[str]:
        """What each picture is called, by which `load_samples` finds it."""
        return [record["name"] for record in self.records]

    @property
    def boxes(self) -> list[Box | None]:
        """(x0, y0, x1, y1) of the object in pixels of `images`; None without one."""
        return [tuple(r["box"]) if r["box"] else None for r in self.records]

    def boxes_at(self, size: int = 224, fit: str = "crop") -> list[Box | None]:
        """`boxes` after `preprocess` with the same `size` and `fit`."""
        return [
            fit_box(box, image.size, size, fit) if box else None
            for box, image in zip(self.boxes, self.images, strict=True)
        ]

    @property
    def credits(self) -> list[str]:
        """One line a picture: its title, author, licence and what was changed."""
        return [
            "“{title}” by {author}, {licence}, {changes}".format(**record)
            for record in self.records
        ]


@cache
def _records(kind: str) -> tuple[dict, ...]:
    text = (DATA / "photos.json").read_text(encoding="utf-8")
    return tuple(json.loads(text)[kind])


def load_samples(
    num: int | None = None,
    kind: str = "photos",
    names: str | Sequence[str] | None = None,
) -> Samples:
    """The course's pictures; the order is stable, the first five are a varied batch.

    Args:
        num: how many, from the first; None for all.
        kind: ``"photos"``, ``"scenes"`` or ``"cutouts"``.
        names: the pictures to load, by name, in the order given.

    Raises:
        ValueError: an unknown kind or name, or more pictures than there are.

    Example:
        >>> load_samples(5).arrays().shape
        (5, 224, 224, 3)
    """
    if kind not in KINDS:
        raise ValueError(f"kind: wants one of {', '.join(KINDS)}, not {kind!r}")
    records = _records(kind)
    if names is not None:
        known = {record["name"]: record for record in records}
        wanted = [names] if isinstance(names, str) else names
        if not isinstance(wanted, Sequence) or not wanted:
            raise ValueError(f"names: wants a name or a list of names, not {names!r}")
        records = tuple(_known(known, name, kind) for name in wanted)
    if num is None:
        return Samples(kind, records)
    if not isinstance(num, (int, np.integer)) or not 1 <= num <= len(records):
        raise ValueError(f"num: there are 1 to {len(records)} {kind}, not {num!r}")
    return Samples(kind, records[:num])


def _known(known: dict[str, dict], name: str, kind: str) -> dict:
    if name in known:
        return known[name]
    parts = {part: full for full in known for part in (full, *full.split("_"))}
    near = dict.fromkeys(parts[p] for p in get_close_matches(str(name), parts, n=3))
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {[*known]}"
    raise ValueError(f"names: no picture of {kind} is called {name!r}; {hint}")


def two_class_picture(
    pair: tuple[str, str] = ("rainbow_lorikeet", "german_shepherd"),
    centres: tuple[float, float] = (0.46, 0.795),
    size: int = 224,
) -> Image.Image:
    """Two photographs side by side: a picture of two classes, each in its own half.

    Args:
        pair: names of the left and the right photograph.
        centres: where each one's half is centred, as a share of its width.
        size: side of the square picture in pixels.
    """
    picture = Image.new("RGB", (size, size))
    photos = load_samples(names=pair).images
    for side, (photo, centre) in enumerate(zip(photos, centres, strict=True)):
        half = _upright_half(photo, centre).resize((size // 2, size))
        picture.paste(half, (side * (size // 2), 0))
    return picture


def _upright_half(photo: Image.Image, centre: float) -> Image.Image:
    """The largest crop twice as high as wide, centred at `centre` if it fits there."""
    width = min(photo.width, photo.height / 2)
    left = min(max(centre * photo.width - width / 2, 0), photo.width - width)
    top = (photo.height - 2 * width) / 2
    box = (left, top, left + width, top + 2 * width)
    return photo.crop(tuple(round(edge) for edge in box))
