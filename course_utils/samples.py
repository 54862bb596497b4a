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


# -- composites ------------------------------------------------------------------------


@dataclass(frozen=True)
class Composite:
    """A cut-out on a scene: a picture whose object is known to the pixel.

    Attributes:
        image: RGB, square.
        mask: (size, size) bool, where the cut-out covers at least half of the scene.
        box: ``(x0, y0, x1, y1)`` around the mask, x1 and y1 one beyond its last pixel.
        label: ImageNet class of the cut-out; None unless it was given.
        name: such as ``"goldfish on desert_dune"``.
    """

    image: Image.Image = field(repr=False)
    mask: np.ndarray = field(repr=False)
    box: Box
    label: int | None = None
    name: str = ""


def composite(
    cutout: Image.Image,
    scene: Image.Image,
    share: float = 0.5,
    place: tuple[float, float] = (0.5, 0.5),
    flip: bool = False,
    size: int = 224,
    label: int | None = None,
    name: str = "",
) -> Composite:
    """Paste a cut-out on a scene.

    Args:
        cutout: RGBA; its transparent margin does not count.
        scene: any picture; cropped to a square as `preprocess` does it.
        share: the cut-out's longer side as a share of the picture's, in (0, 1].
        place: across and down, in [0, 1]: 0 touches the left (upper) border, 1 the right
            (lower) one.
        flip: mirror the cut-out.
        size: side of the picture in pixels.
        label, name: kept in the result.

    Raises:
        ValueError: no alpha, nothing to see, or a share or place out of range.

    Example:
        >>> dog = load_samples(kind="cutouts", names="german_shepherd").images[0]
        >>> composite(dog, Image.new("RGB", (300, 300)), share=0.5, place=(0, 0)).box
        (0, 0, 112, 90)
    """
    if cutout.mode != "RGBA" or cutout.getchannel("A").getbbox() is None:
        raise ValueError("cutout: wants an RGBA picture with something to see in it")
    if not 0 < share <= 1:
        raise ValueError(f"share: wants a number in (0, 1], not {share!r}")
    if not all(0 <= p <= 1 for p in place):
        raise ValueError(f"place: wants (across, down) in [0, 1], not {place!r}")
    piece = cutout.crop(cutout.getchannel("A").getbbox())
    piece = piece.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flip else piece
    scale = share * size / max(piece.size)
    piece = piece.resize([max(1, round(side * scale)) for side in piece.size])
    left, top = (
        round(p * (size - side)) for p, side in zip(place, piece.size, strict=True)
    )
    layer = Image.new("L", (size, size))
    layer.paste(piece.getchannel("A"), (left, top))
    picture = fit_image(load_image(scene), size)
    picture.paste(piece, (left, top), piece)
    mask = np.asarray(layer) >= 128
    rows, columns = np.nonzero(mask)
    if rows.size == 0:
        raise ValueError("share: so small a cut-out cannot be seen any more")
    edges = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    return Composite(picture, mask, tuple(int(edge) for edge in edges), label, name)


def load_composites(
    count: int = 35,
    seed: int = 0,
    shares: tuple[float, float] = (0.35, 0.6),
    size: int = 224,
) -> list[Composite]:
    """Cut-outs at random places and of random sizes on scenes; the boxes are known.

    The first 35 hold each of the five cut-outs on each of the seven scenes once; after
    them the round begins again, at other places.

    Args:
        count: how many.
        seed: of the places and sizes; the same seed gives the same pictures, and the
            first ten of twenty are the ten of ten.
        shares: smallest and largest longer side of the cut-out, as a share of the
            picture's side.
        size: side of the pictures in pixels.
    """
    if not isinstance(count, (int, np.integer)) or count < 1:
        raise ValueError(f"count: wants a whole number from 1, not {count!r}")
    if not 0 < shares[0] <= shares[1] <= 1:
        raise ValueError(f"shares: wants 0 < smallest ≤ largest ≤ 1, not {shares!r}")
    cutouts, scenes = load_samples(kind="cutouts"), load_samples(kind="scenes")
    random, made = np.random.default_rng(seed), []
    for number in range(count):
        # Both lists are gone through at once: 5 and 7 share no factor.
        one, ground = number % len(cutouts), number % len(scenes)
        share, across, down = random.uniform([shares[0], 0, 0], [shares[1], 1, 1])
        made.append(
            composite(
                cutouts.images[one],
                scenes.images[ground],
                float(share),
                (float(across), float(down)),
                size=size,
                label=int(cutouts.labels[one]),
                name=f"{cutouts.names[one]} on {scenes.names[ground]}",
            )
        )
    return made
