"""The course's own pictures: photographs with boxes, empty scenes, cut-outs.

``data/photos.json`` says for each one what it shows, where, who made it and under which
licence; ``data/CREDITS.md`` is the page for people.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache, cached_property
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageDraw

from ._machinery.arguments import ArgumentError, choice, naming, number, numbers
from ._machinery.data import DATA
from .images import fit_box, fit_image, load_image
from .models import class_name

KINDS = ("photos", "scenes", "cutouts")
LAMP = (235, 235, 235)
SIGNALS = {"red": (230, 30, 30), "amber": (240, 160, 20), "green": (30, 210, 90)}
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Samples:
    """Pictures of one kind with what is known about them, in a stable order."""

    kind: str  # one of `KINDS`
    records: tuple[dict, ...] = field(repr=False)  # their entries in photos.json

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
        """(N, size, size, 3) `uint8`, cropped as by `preprocess`."""
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
        """The name of each picture, by which `load_samples` finds it."""
        return [record["name"] for record in self.records]

    @property
    def descriptions(self) -> list[str]:
        """One sentence on what each photograph shows; "" for scenes and cut-outs."""
        return [record.get("description", "") for record in self.records]

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
        """One line for each picture: its title, author, licence and changes."""
        line = "“{title}” by {author}, {licence}, {changes}"
        return [line.format(**record) for record in self.records]


@cache
def _records(kind: str) -> tuple[dict, ...]:
    text = (DATA / "photos.json").read_text(encoding="utf-8")
    return tuple(json.loads(text)[kind])


def load_samples(
    num: int | None = None, kind: str = "photos", names: str | Sequence[str] | None = None
) -> Samples:
    """The first `num` pictures of a kind, or those of these `names`, in a stable order.

    A kind is ``"photos"``, the first five a varied batch, ``"scenes"`` or ``"cutouts"``.

    Example:
        >>> load_samples(5).arrays().shape
        (5, 224, 224, 3)
    """
    records = _records(choice("kind", kind, KINDS))
    if names is not None:
        wanted = [names] if isinstance(names, str) else names
        if not isinstance(wanted, Sequence) or not wanted:
            raise ArgumentError("names", f"must be a name or a list of them, got {names!r}")
        known = {record["name"]: record for record in records}
        records = tuple(known[_known_name(name, known)] for name in wanted)
    if num is not None:
        records = records[: number("num", num, 1, len(records), whole=True)]
    return Samples(kind, records)


def _known_name(name: str, known: Sequence[str]) -> str:
    if name in known:
        return name
    parts = {part: full for full in known for part in (full, *full.split("_"))}
    near = dict.fromkeys(parts[p] for p in get_close_matches(str(name), parts, n=3))
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {[*known]}"
    raise ArgumentError("names", f"must be names of the pictures, got {name!r}; {hint}")


def two_class_picture(
    pair=("rainbow_lorikeet", "german_shepherd"), centres=(0.46, 0.795), size: int = 224
) -> Image.Image:
    """Two photographs side by side: a picture of two classes, one in each half.

    Each half is cut out around its one of `centres`, a share of its photograph's width.
    """
    picture = Image.new("RGB", (size, size))
    with naming(names="pair"):
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
    """A cut-out on a scene: a picture of an object whose exact mask is known."""

    image: Image.Image = field(repr=False)  # RGB, square
    mask: np.ndarray = field(repr=False)  # (size, size) bool: at least half covered
    box: Box  # (x0, y0, x1, y1) around the mask, x1 and y1 one beyond its last pixel
    label: int | None = None  # ImageNet class of the cut-out, if it was given
    name: str = ""  # such as "goldfish on desert_dune"


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
    """Paste a cut-out, mirrored if `flip`, on a scene; `label` and `name` are kept.

    Args:
        cutout: RGBA; its transparent margin does not count.
        scene: any picture; cropped to a square as by `preprocess`.
        share: the cut-out's longer side as a share of the picture's, in (0, 1].
        place: (across, down), from 0, left or upper border, to 1, right or lower border.

    Example:
        >>> dog = load_samples(kind="cutouts", names="german_shepherd").images[0]
        >>> composite(dog, Image.new("RGB", (300, 300)), share=0.5, place=(0, 0)).box
        (1, 1, 112, 90)
    """
    visible = cutout.getchannel("A").getbbox() if cutout.mode == "RGBA" else None
    if visible is None:
        raise ArgumentError("cutout", "must be an RGBA picture that is not all transparent")
    share = number("share", share, 0, 1, above=True)
    place = numbers("place", place, 2, 0, 1, order="(across, down)")
    with naming(source="scene"):
        picture = fit_image(load_image(scene), size)
    piece = cutout.crop(visible)
    piece = piece.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flip else piece
    scale = share * size / max(piece.size)
    piece = piece.resize([max(1, round(side * scale)) for side in piece.size])
    corner = tuple(round(p * (size - s)) for p, s in zip(place, piece.size, strict=True))
    picture.paste(piece, corner, piece)
    layer = Image.new("L", (size, size))
    layer.paste(piece.getchannel("A"), corner)
    mask = np.asarray(layer) >= 128
    box = Image.fromarray(mask).getbbox()
    if box is None:
        raise ArgumentError("cutout", "must be opaque enough to cover half of a pixel")
    return Composite(picture, mask, box, label, name)


def load_composites(
    count: int = 35, seed: int = 0, shares=(0.35, 0.6), size: int = 224
) -> list[Composite]:
    """Cut-outs at random places and of random sizes on scenes; the boxes are known.

    The first 35 show each of the five cut-outs on each of the seven scenes once; the next
    35 do so again, at other places. The same seed gives the same pictures, whatever `count`
    is. `shares` are the smallest and the largest share of `composite`.
    """
    count = number("count", count, 1, whole=True)
    low, high = numbers("shares", shares, 2, 0, 1, above=True, order="(smallest, largest)")
    if low > high:
        raise ArgumentError("shares", f"must be (smallest, largest), got {shares}")
    cutouts, scenes = load_samples(kind="cutouts"), load_samples(kind="scenes")
    random, made = np.random.default_rng(number("seed", seed, 0, whole=True)), []
    for index in range(count):
        # 5 and 7 share no factor, so 35 steps through both lists meet every pair once.
        one, ground = index % len(cutouts), index % len(scenes)
        share, across, down = random.uniform([low, 0, 0], [high, 1, 1])
        pair = cutouts.images[one], scenes.images[ground]
        label = int(cutouts.labels[one])
        name = f"{cutouts.names[one]} on {scenes.names[ground]}"
        made.append(composite(*pair, share, (across, down), False, size, label, name))
    return made


# -- pictures for a small network --------------------------------------------------------


class Nights(NamedTuple):
    """Dark pictures of a white lamp and a signal; see `night_signals`."""

    pictures: list[Image.Image]  # RGB, 48 pixels wide and high
    labels: torch.Tensor  # (N,): 0 is red, 1 amber, 2 green, as in SIGNALS
    lamps: torch.Tensor  # (N, 48, 48) bool: where the lamp is seen
    signals: torch.Tensor  # the same for the signal, which may hide the lamp


def night_signals(count: int = 600, seed: int = 0) -> Nights:
    """Scenes at night, each with a white lamp, which tells nothing, and a coloured signal.

    Lamp and signal lie anywhere. The colours take turns, so the classes are balanced.

    Example:
        >>> night_signals(3).labels
        tensor([0, 1, 2])
    """
    labels = torch.arange(number("count", count, 1, whole=True)) % len(SIGNALS)
    random = np.random.default_rng(number("seed", seed, 0, whole=True))
    scenes = [scene.resize((96, 96)) for scene in load_samples(kind="scenes").images]
    dark, pictures = [scene.point(lambda value: value // 6) for scene in scenes], []
    for label in labels.tolist():
        scene = dark[random.integers(len(dark))]
        left, top = random.integers(0, 48, 2).tolist()
        picture = scene.crop((left, top, left + 48, top + 48))
        for colour, radius in ((LAMP, 3), ([*SIGNALS.values()][label], 4)):
            x, y = random.integers(5, 43, 2).tolist()
            box = (x - radius, y - radius, x + radius, y + radius)
            ImageDraw.Draw(picture).ellipse(box, fill=colour)
        pictures.append(picture)
    values = torch.from_numpy(np.stack([np.asarray(picture) for picture in pictures]))
    lamps = values.amin(dim=3) > 150
    return Nights(pictures, labels, lamps, (values.amax(dim=3) > 100) & ~lamps)
