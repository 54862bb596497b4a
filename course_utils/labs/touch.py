"""Pictures that answer to the hand: one small widget, which all labs share.

A *scene* is a few panels beside one another: pictures in layers with marks on them,
curves or bars. A panel may hold a *tool*, which the learner moves by pointer, finger or
keys; where it is now is the panel's *hand*. The browser draws all of this by itself
(`touch.js`), and asks the kernel, one question at a time, what follows from a new hand.

Lengths and places are in the pixels of a panel's picture, x to the right and y downwards.
"""

import base64
import hashlib
import html
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from importlib.resources import files

import anywidget
import numpy as np
import traitlets
from PIL import Image, features

SCRIPT, STYLE, RECORDED = (
    files(__package__).joinpath(name).read_text(encoding="utf-8")
    for name in ("touch.js", "touch.css", "recorded.js")
)


# -- what a scene is made of ---------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Layer:
    """A picture as large as its panel: a PIL picture, or an array (H, W, 3 or 4) in [0, 1].

    `side`, ``"left"`` or ``"right"``, shows it on that side of a divider only, `lens` under
    a lens only. `smooth` interpolates between its pixels.
    """

    picture: Image.Image | np.ndarray
    smooth: bool = True
    side: str | None = None
    lens: bool = False


@dataclass(frozen=True, eq=False, kw_only=True)
class Panel:
    """What all panels have: a `key`, a `title`, and perhaps a `tool` with its `hand`.

    `label` says in one sentence what is seen and what the hand can do. `tool` is
    ``{"kind": …}`` with what `touch.js` lists for that kind; `hand` is where it is now, as
    the controls say. `weight` is the panel's share of the row's width; `span` says how many
    columns and rows it takes.
    """

    key: str
    title: str = ""
    label: str = ""
    tool: dict | None = None
    hand: dict | None = None
    weight: float = 1.0
    span: tuple[int, int] = (1, 1)


@dataclass(frozen=True, eq=False, kw_only=True)
class Pictures(Panel):
    """Layers, the lowest first and as large as the panel, with marks on them.

    `size` is the width and height in which places are counted: usually those of the
    network's input, whatever the layers have. A mark is ``{"rect": [x0, y0, x1, y1]}``,
    ``{"circle": [x, y, radius]}`` or ``{"text", "at"}``, with ``"colour"``, ``"dash"``,
    ``"fill"`` or ``"over"`` the hand. `follow` names the panel whose hand is drawn here
    too. `words` describe the data that are shown, for the saved notebook.
    """

    layers: Sequence[Layer]
    marks: Sequence[dict] = ()
    follow: str | None = None
    words: str = ""
    size: tuple[int, int]


@dataclass(frozen=True, eq=False, kw_only=True)
class Bars(Panel):
    """Bars ``{"name", "value", "text"}``, with a tick ``"before"`` to compare with."""

    bars: Sequence[dict]
    limits: tuple[float, float] = (0.0, 1.0)


@dataclass(frozen=True, eq=False, kw_only=True)
class Curves(Panel):
    """Curves ``{"x", "y", "colour", "name"}``; those with ``"dash"`` are dashed."""

    lines: Sequence[dict]
    xlim: tuple[float, float]
    ylim: tuple[float, float]
    xlabel: str = ""
    size: tuple[int, int] = (360, 360)


@dataclass(frozen=True, eq=False)
class Scene:
    """Panels in a row, or in rows of `columns`, and what is said about them.

    `answer` is one line of at most 12 words; the numbers stand in the `table`, whose rows
    are ``(name, value, …)`` and whose first row is its head. With `drop`, pictures can be
    dropped or pasted onto the scene.
    """

    panels: Sequence[Panel]
    answer: str = ""
    table: Sequence[Sequence[str]] = ()
    columns: int | None = None
    drop: bool = False


# -- as the browser reads it ---------------------------------------------------------------


def to_picture(picture: Image.Image | np.ndarray) -> Image.Image:
    """A layer's picture as a PIL picture, with or without an alpha channel."""
    if isinstance(picture, Image.Image):
        return picture if picture.mode == "RGBA" else picture.convert("RGB")
    return Image.fromarray(np.rint(255 * np.clip(picture, 0, 1)).astype(np.uint8))


_encoded: dict[str, bytes] = {}  # a picture's name, made of its pixels → its file


def encode(picture: Image.Image | np.ndarray) -> tuple[str, bytes]:
    """A picture's name and file: a JPEG, or a PNG where it is transparent."""
    image = to_picture(picture)
    pixels = f"{image.mode}{image.size}".encode() + image.tobytes()
    name = hashlib.sha1(pixels, usedforsecurity=False).hexdigest()[:16]
    if name not in _encoded:
        file = io.BytesIO()
        if image.mode == "RGBA":
            image.save(file, "PNG", compress_level=1)
        else:
            image.save(file, "JPEG", quality=90, subsampling=0)
        while len(_encoded) >= 256:
            _encoded.pop(next(iter(_encoded)))
        _encoded[name] = file.getvalue()
    return name, _encoded[name]


def encode_scene(scene: Scene) -> tuple[dict, dict[str, bytes]]:
    """A scene as JSON, and the files of its pictures by their names."""
    pictures: dict[str, bytes] = {}

    def named(picture) -> str:
        name, data = encode(picture)
        pictures[name] = data
        return name

    def sent(thing) -> dict:
        names = (f.name for f in fields(thing) if f.name not in ("hand", "words"))
        values = {name: getattr(thing, name) for name in names}
        return {k: v for k, v in values.items() if v not in (None, "")}

    panels = []
    for panel in scene.panels:
        panels.append(sent(panel))
        if isinstance(panel, Pictures):
            layers = [
                {k: getattr(layer, k) for k in ("smooth", "side", "lens")}
                | {"picture": named(layer.picture)}
                for layer in panel.layers
            ]
            panels[-1]["layers"] = layers
        if panel.tool and "picture" in panel.tool:
            panels[-1]["tool"] = panel.tool | {"picture": named(panel.tool["picture"])}
    seen = {"panels": panels, "columns": scene.columns, "drop": scene.drop}
    return json.loads(json.dumps(seen)), pictures


def to_table(rows: Sequence[Sequence[object]]) -> str:
    """HTML of a small table; its first row is the head, its first column names."""
    lines = []
    for number, cells in enumerate(rows):
        tags = ["th" if 0 in (number, column) else "td" for column in range(len(cells))]
        cells = zip(tags, map(html.escape, map(str, cells)), strict=True)
        lines.append("".join(f"<{tag}>{text}</{tag}>" for tag, text in cells))
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f"<table class='course-numbers'>{body}</table>" if lines else ""


class Touch(anywidget.AnyWidget):
    """A scene on the page.

    ``asked(key, hand)`` is called when a panel's hand has moved, and ``asked(name, data)``
    when a file was dropped or pasted. `state` is ``"busy"`` while an answer is under way,
    and ``"old"`` while the scene answers an earlier question.
    """

    _esm, _css = SCRIPT, STYLE
    scene = traitlets.Dict({"panels": []}).tag(sync=True)
    pictures = traitlets.Dict().tag(sync=True)
    hands = traitlets.Dict().tag(sync=True)
    answer = traitlets.Unicode().tag(sync=True)
    numbers = traitlets.Unicode().tag(sync=True)  # HTML of the scene's table
    failed = traitlets.Bool().tag(sync=True)
    state = traitlets.Unicode().tag(sync=True)

    def __init__(self, asked: Callable[[str, dict | bytes], object]):
        super().__init__()
        self._asked = asked
        self.on_msg(self._heard)

    def show(self, scene: Scene) -> None:
        """Put a scene on the page, whole; what has not changed is not sent again."""
        seen, pictures = encode_scene(scene)
        hands = {p.key: p.hand for p in scene.panels if p.hand is not None}
        with self.hold_sync():
            # The hands of a scene are where the controls say; the others stay.
            self.hands = self.hands | json.loads(json.dumps(hands))
            self.pictures, self.scene = pictures, seen
            self.answer, self.numbers = scene.answer, to_table(scene.table)

    def _heard(self, _, content: dict, buffers: Sequence) -> None:
        if "file" in content:
            self._asked(content["file"], bytes(buffers[0]))
            return
        key, hand = content["ask"], content["hand"]
        self.hands[key] = hand  # in place: the browser knows it already
        try:
            self._asked(key, hand)
        finally:
            self.send({"done": key, "hand": self.hands[key]})


def _lighter(picture: bytes) -> str:
    """A picture's file as text: a WebP, half as large, if that can be written."""
    if features.check("webp"):
        file = io.BytesIO()
        Image.open(io.BytesIO(picture)).save(file, "WEBP", quality=80)
        picture = file.getvalue()
    return base64.b64encode(picture).decode()


def page(scene: Scene, answers: Mapping[str, tuple] | None = None, still: str = "") -> str:
    """HTML of a scene that lives without a kernel: script, data and answers are inside.

    `answers` are, for the key of a panel, ``(axes, rows)``: the axes of a grid of hands,
    ``(name, first, step, count)`` each, and for each point of the grid, the last axis
    fastest, what changes: ``"answer"``, a sentence, and by the keys of panels
    ``{"values": …}`` of bars, ``{"mark": …}`` to add, or whatever else a panel has. The
    `still`, more HTML, stands in the scene's place where no script runs.
    """
    seen, pictures = encode_scene(scene)
    given = (answers or {}).items()
    data = {
        "scene": seen,
        "pictures": {key: _lighter(one) for key, one in pictures.items()},
        "hands": {panel.key: panel.hand for panel in scene.panels if panel.hand},
        "answers": {key: {"axes": axes, "rows": rows} for key, (axes, rows) in given},
        "answer": scene.answer,
        "numbers": to_table(scene.table),
        "failed": False,
        "state": "",
    }
    text = json.dumps(data, separators=(",", ":")).replace("</", "<\\/")
    script = SCRIPT.replace("export default", "const course =") + RECORDED
    return f"""<div class="course-page"><style>{STYLE}</style>{still}</div><script>(() => {{
const el = document.currentScript.previousElementSibling;
{script}
el.querySelector("img")?.remove();
course.render({{ model: recorded({text}), el }});
}})()</script>"""
