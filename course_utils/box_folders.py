"""Weak localization on a folder of pictures with ImageNet-style boxes.

ILSVRC keeps each picture's boxes in an XML file of the same stem: ``<annotation>`` with
one ``<object>`` for each object, and in it ``<bndbox>`` with xmin, ymin, xmax and ymax.
Its pixels count from 1 and xmax is the last one inside; here boxes count from 0 and end
one beyond, so 1 is taken from xmin and ymin alone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from torch import nn

from .gradients import vanilla_saliency
from .images import deprocess, find_pictures, fit_box, load_image, preprocess
from .localization import Box, iou, localize

MOST_BYTES = 1_000_000


@dataclass(frozen=True)
class FolderResult:
    """What `evaluate_folder` found.

    Attributes:
        names: of the N pictures, in order.
        boxes: the N boxes found, in pixels of the fitted picture.
        overlaps: (N,) IoU with the best of each picture's boxes.
    """

    names: list[str]
    boxes: list[Box]
    overlaps: np.ndarray

    @property
    def mean(self) -> float:
        """The mean IoU."""
        return float(self.overlaps.mean())

    @property
    def error(self) -> float:
        """The share of pictures whose best IoU is not above 0.5."""
        return float((self.overlaps <= 0.5).mean())


def read_boxes(path: str | Path) -> list[Box]:
    """The boxes ``(x0, y0, x1, y1)`` in an ImageNet XML file, in pixels of its picture.

    Raises:
        ValueError: no such XML, too large a file, or one that declares entities.
    """
    path = Path(path)
    if path.stat().st_size > MOST_BYTES:
        raise ValueError(f"path: {path.name} is larger than {MOST_BYTES:,} bytes")
    data = path.read_bytes()
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data or b"\x00" in data:
        raise ValueError(f"path: {path.name} declares entities, which no box file needs")
    try:
        found = ElementTree.fromstring(data).findall("object/bndbox")
        corners = [
            [int(float(box.findtext(key))) for key in ("xmin", "ymin", "xmax", "ymax")]
            for box in found
        ]
    except (ElementTree.ParseError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"path: {path.name} holds no ImageNet boxes ({error})") from error
    if any(x1 < x0 or y1 < y0 for x0, y0, x1, y1 in corners) or not corners:
        raise ValueError(f"path: {path.name} holds no box, or one with its ends swapped")
    return [(x0 - 1, y0 - 1, x1, y1) for x0, y0, x1, y1 in corners]


def evaluate_folder(
    folder: str | Path,
    model: nn.Module,
    annotations: str | Path | None = None,
    method: Callable = vanilla_saliency,
    batch: int = 16,
    fit: str = "stretch",
    progress: Callable[[int, int], object] | None = None,
    **settings,
) -> FolderResult:
    """Localize the top class in every picture of a folder, and compare with its boxes.

    The paper's figure also asks for the right class and allows five guesses; this
    measures the boxes of the top class alone.

    Args:
        folder: of pictures.
        model: a classifier, on the device at hand.
        annotations: folder of the XML files; the same folder unless given.
        method: ``method(model, images, targets)`` gives maps (N, H, W).
        batch: how many maps are computed at once.
        fit: ``"stretch"`` keeps all of each picture, ``"crop"`` its central square.
        progress: called with (done, all) after each batch; False from it stops, and what
            is done is kept.
        settings: of `localize`.

    Raises:
        FileNotFoundError: a picture without its XML file.
        ValueError: no pictures, or a bad XML file.
    """
    folder = Path(folder).expanduser()
    notes = folder if annotations is None else Path(annotations).expanduser()
    paths = find_pictures(folder)
    if not isinstance(batch, int) or batch < 1:
        raise ValueError(f"batch: wants a whole number from 1, not {batch!r}")
    lost = [p.stem for p in paths if not (notes / f"{p.stem}.xml").is_file()]
    if lost:
        raise FileNotFoundError(f"annotations: {notes} holds no {lost[0]}.xml")
    device = next((p.device for p in model.parameters()), None)
    boxes, overlaps = [], []
    for start in range(0, len(paths), batch):
        chosen = paths[start : start + batch]
        pictures = [load_image(path) for path in chosen]
        images = preprocess(pictures, fit=fit)
        maps = method(model, images.to(device), None)
        for path, picture, seen, saliency in zip(
            chosen, pictures, deprocess(images), maps, strict=True
        ):
            drawn = read_boxes(notes / f"{path.stem}.xml")
            fitted = [fit_box(box, picture.size, fit=fit) for box in drawn]
            boxes.append(localize(seen, saliency, **settings).box)
            overlaps.append(max(iou(boxes[-1], box) for box in fitted))
        if progress is not None and progress(len(boxes), len(paths)) is False:
            break
    names = [path.stem for path in paths[: len(boxes)]]
    return FolderResult(names, boxes, np.array(overlaps))
