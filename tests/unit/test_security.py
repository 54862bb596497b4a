"""What strangers hand in harms nobody: weights, pictures, names of files.

And nothing is fetched from the network unless the learner asks for it.
"""

import ast
import io
import json
import pickle
import re
import socket
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
import toys
from address import ROOT
from memory import PEAK, measured
from PIL import Image

from course_utils import (
    load_image,
    load_model,
    load_samples,
    localize,
    map_folder,
    preprocess,
)
from course_utils.class_visualization import visualize_class
from course_utils.figures import save_map
from course_utils.methods import METHODS, QUICK
from course_utils.models import has_cached_weights, list_models
from course_utils.your_own import compare_methods, repeat_sheet

# -- no pickle, no code from data ----------------------------------------------------------

FOLDERS = ("course_utils", "tools", "benchmarks")
SOURCES = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
LESSONS = sorted((ROOT / "notebooks").rglob("*.ipynb"))
# Their own unpicklers admit arrays and plain values alone; their tests hold them to that.
READS_A_PICKLE_SAFELY = {"convert_squeezenet.py", "apart.py"}
# Marking runs what learners wrote, in processes of its own.
RUNS_LEARNERS_CODE = {"apart.py", "lesson.py"}
FORBIDDEN = re.compile(
    r"(^|\.)(pickle|cPickle|dill|joblib|marshal|shelve)(\.|$)|^(eval|exec|os\.system|os\.popen"
    r"|torch\.hub\.load|yaml\.load|torch\.jit\.load|torch\.package)$"
)


def calls(code: str):
    """(name, keywords) of every call, and (name, None) of every import."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Call):
            yield (
                ast.unparse(node.func),
                {k.arg: ast.unparse(k.value) for k in node.keywords},
            )
        elif isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((f"{node.module}.{alias.name}", None) for alias in node.names)


def unsafe(code: str) -> list[str]:
    found = []
    for name, keywords in calls(code):
        keywords = keywords or {}
        pickled = name in ("torch.load", "np.load", "numpy.load")
        if name == "torch.load" and keywords.get("weights_only") != "True":
            found.append("torch.load without weights_only=True")
        elif pickled and keywords.get("allow_pickle", "False") != "False":
            found.append(f"{name} of a pickle")
        elif FORBIDDEN.search(name) or keywords.get("shell") == "True":
            found.append(name)
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_no_code_reads_a_pickle(path):
    found = unsafe(path.read_text(encoding="utf-8"))
    if path.name in READS_A_PICKLE_SAFELY:
        found = [name for name in found if not name.startswith("pickle")]
    if path.name in RUNS_LEARNERS_CODE:
        found.remove("exec")
    assert found == []


@pytest.mark.parametrize("path", LESSONS, ids=lambda p: p.name)
def test_no_lesson_reads_a_pickle(path):
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code" and not cell.source.lstrip().startswith("%"):
            assert unsafe(cell.source) == [], cell.id


def test_the_search_finds_what_it_looks_for():
    bad = ["import pickle", "from joblib import load", "torch.load(p)", "eval('1')"]
    bad += ["np.load(p, allow_pickle=True)", "torch.load(p, weights_only=False)"]
    bad += ["subprocess.run('ls', shell=True)", "torch.hub.load('a/b', 'c')"]
    assert all(map(unsafe, bad))
    good = ["model.eval()", "np.load(p)", "torch.load(p, weights_only=True)"]
    assert not any(map(unsafe, good))


class Bomb:
    """Unpickled, it would write a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.write_text, (self.path, "boom")


@pytest.mark.parametrize("kind", ["torch.save", "torch.save, old", "pickle", "in a dict"])
@pytest.mark.parametrize("name", ["squeezenet1_1", "own network"])
def test_a_checkpoint_with_code_in_it_is_refused_and_not_run(kind, name, tmp_path):
    sign, file = tmp_path / "sign", tmp_path / "weights.pt"
    if kind == "pickle":
        file.write_bytes(pickle.dumps(Bomb(sign)))
    elif kind == "in a dict":
        torch.save({"state_dict": {"a": torch.ones(2)}, "extra": Bomb(sign)}, file)
    else:
        old = {"_use_new_zipfile_serialization": False} if kind.endswith("old") else {}
        torch.save(Bomb(sign), file, **old)
    model = toys.Busy() if name == "own network" else name
    with pytest.raises(ValueError, match="^weights .* is not a valid checkpoint"):
        load_model(model, file)
    assert not sign.exists()


def test_a_poisoned_cache_is_refused_and_not_run(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(Bomb(tmp_path / "sign"), folder / "squeezenet1_1-b8a52dc0.pth")
    assert has_cached_weights("squeezenet1_1")
    with pytest.raises(
        ValueError, match="^weights cannot be used: .* is damaged; delete it"
    ):
        load_model("squeezenet1_1", "torchvision")
    assert not (tmp_path / "sign").exists()


# -- pictures that would fill the memory ---------------------------------------------------


def png(width, height, depth, colours, chunks=()):
    """A black PNG of any size, whose file is a thousandth of it."""

    def chunk(name, data):
        return (
            struct.pack(">I", len(data))
            + name
            + data
            + struct.pack(">I", zlib.crc32(name + data))
        )

    samples = {0: 1, 2: 3, 4: 2, 6: 4}[colours]
    line = bytes(1 + width * samples * depth // 8)
    packer = zlib.compressobj(1)
    data = b"".join(packer.compress(line) for _ in range(height)) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, depth, colours, 0, 0, 0)
    parts = [chunk(b"IHDR", head), *(chunk(*c) for c in chunks), chunk(b"IDAT", data)]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + chunk(b"IEND", b"")


def animation(kind, frames=200):
    pictures = [Image.new("L", (64, 64), n % 256) for n in range(frames)]
    file = io.BytesIO()
    pictures[0].save(file, kind, save_all=True, append_images=pictures[1:])
    return file.getvalue()


def claimed(kind):
    """A file whose head claims 60,000 × 60,000 pixels."""
    file = io.BytesIO()
    if kind == "PNG":
        Image.new("RGB", (4, 4)).save(file, kind)
        data = bytearray(file.getvalue())
        data[16:24] = struct.pack(">II", 60000, 60000)
        data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    elif kind == "BMP":
        Image.new("RGB", (4, 4)).save(file, kind)
        data = bytearray(file.getvalue())
        data[18:26] = struct.pack("<ii", 60000, 60000)
    elif kind == "GIF":
        Image.new("L", (4, 4)).save(file, kind)
        data = bytearray(file.getvalue())
        data[6:10] = struct.pack("<HH", 60000, 60000)
    elif kind == "TIFF":
        Image.new("RGB", (4, 4)).save(file, kind)
        data = bytearray(file.getvalue())
        start = struct.unpack("<I", data[4:8])[0]
        for entry in range(struct.unpack("<H", data[start : start + 2])[0]):
            place = start + 2 + 12 * entry
            if struct.unpack("<H", data[place : place + 2])[0] in (256, 257):
                data[place + 2 : place + 12] = struct.pack("<HII", 4, 1, 60000)
    else:  # PPM
        data = b"P6 60000 60000 255 "
    return bytes(data)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "GIF", "TIFF", "PPM"])
def test_a_head_that_claims_too_much_is_refused_before_anything_is_decoded(kind):
    with pytest.raises(
        ValueError, match="^source cannot be opened: the data (has|is not a)"
    ):
        load_image(claimed(kind))


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "WEBP", "PNG"])
def test_of_many_frames_the_first_is_taken(kind):
    picture = load_image(animation(kind))
    assert picture.size == (64, 64)
    assert picture.getpixel((0, 0)) == (0, 0, 0)


def test_texts_packed_in_a_picture_stay_packed():
    text = b"Comment\0\1\0\0\0" + zlib.compress(bytes(100_000_000))
    with pytest.raises(ValueError, match="^source cannot be opened: the data "):
        load_image(png(4, 4, 8, 2, [(b"iTXt", text)]))


LIMITED = """
import sys
import numpy as np, torch
from course_utils.images import load_image, preprocess
before = memory()
picture = load_image(sys.stdin.buffer.read())
print(picture.mode, picture.size, int(memory() - before))
"""


@pytest.mark.slow
@measured
@pytest.mark.parametrize(("depth", "colours"), [(16, 0), (8, 6)])
def test_the_largest_picture_stays_below_a_gigabyte(depth, colours):
    """64 million pixels: in 16 bits, and with transparency."""
    command = [sys.executable, "-c", PEAK + LIMITED]
    data = png(8000, 8000, depth, colours)
    assert len(data) < 2_000_000
    done = subprocess.run(command, input=data, capture_output=True, cwd=ROOT, check=True)
    words = done.stdout.decode().split()
    assert words[:3] == ["RGB", "(8000,", "8000)"]
    assert int(words[3]) < 1000


# -- no file outside of the folder ---------------------------------------------------------


@pytest.fixture
def inside(tmp_path):
    """A folder to write in, and the one around it, which must not change."""
    folder = tmp_path / "chosen"
    folder.mkdir()
    (tmp_path / "other.png").write_bytes(b"not mine")
    yield folder
    assert sorted(p.name for p in tmp_path.iterdir()) == ["chosen", "other.png"]
    assert (tmp_path / "other.png").read_bytes() == b"not mine"


PICTURE = Image.effect_noise((32, 32), 80).convert("RGB")


@pytest.mark.parametrize("name", ["../sheet", "/away/sheet", "a/b", "", "..", "a\0b", "."])
def test_a_sheet_s_name_holds_no_folder(name, inside):
    sheet = compare_methods(load_model(), PICTURE, "vanilla_saliency", 1, size=32)
    with pytest.raises(ValueError, match="^name must be a plain file name, got"):
        sheet.save(inside, name)
    assert not [*inside.iterdir()]


@pytest.mark.parametrize("name", ["../other.png", "/etc/passwd", "a/b.png", ".."])
def test_settings_of_a_sheet_lead_to_no_other_pictures(name, inside):
    sheet = compare_methods(load_model(), PICTURE, "vanilla_saliency", 1, size=32)
    path = sheet.save(inside)
    record = json.loads(path.read_text())
    record["results"][0] |= {"picture": name, "title": name}
    path.write_text(json.dumps(record))
    again = repeat_sheet(path)  # the picture beside the settings, whatever they name
    assert again.pictures[0].tobytes() == sheet.pictures[0].tobytes()
    again.save(inside)
    assert {p.name for p in inside.iterdir()} == {"sheet.json", "sheet.png", "sheet-1.png"}


@pytest.mark.parametrize("name", ["../other.png", "/away/other.png", "a/../../other.png"])
def test_the_record_of_a_folder_leads_to_no_other_pictures(name, inside):
    photos, out = inside / "photos", inside / "maps"
    photos.mkdir()
    PICTURE.save(photos / "a.png")
    map_folder(photos, toys.Busy(), out=out, size=16)
    record = out / "maps.json"
    text = json.loads(record.read_text())
    text["batches"] = [["a.png"], [name]]
    text["settings"]["batches"] = text["names"] = [name]
    record.write_text(json.dumps(text))
    assert map_folder(photos, toys.Busy(), out=out, size=16).names == ["a.png"]
    assert {p.name for p in out.iterdir()} == {"a.png.map.npz", "maps.csv", "maps.json"}


@pytest.mark.linux
def test_a_link_is_replaced_and_its_goal_left_alone(inside):
    (inside / "map.png").symlink_to(inside.parent / "other.png")
    save_map(np.eye(4), inside / "map.png")
    made = visualize_class(toys.Busy(), 1, steps=1, size=16)
    (inside / "made.png").symlink_to(inside.parent / "other.png")
    made.save(inside / "made.png")
    assert not any(path.is_symlink() for path in inside.iterdir())


def test_an_upload_s_name_is_a_name_and_no_path():
    from course_utils.labs.controls import PicturePicker

    file = io.BytesIO()
    PICTURE.save(file, "PNG")
    picker = PicturePicker({"a": PICTURE})
    upload = {"name": "../../<b>x</b>.png", "content": file.getvalue()}
    picker._uploaded((upload,))
    assert picker.value == "../../<b>x</b>.png"  # kept as a label; nothing is written


# -- no network ----------------------------------------------------------------------------


@pytest.fixture
def no_network(monkeypatch):
    """Any attempt to reach another machine fails, and is counted."""
    attempts = []

    def refuse(*arguments, **keywords):
        attempts.append(arguments)
        raise OSError("the network was touched")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    for name in ("create_connection", "getaddrinfo", "gethostbyname"):
        monkeypatch.setattr(socket, name, refuse)
    return attempts


def test_everything_works_without_a_network(no_network, tmp_path):
    model, samples = load_model(), load_samples(2)
    images = preprocess(samples.images, 64)
    for name in METHODS:
        method = QUICK[name] if name != "occlusion" else METHODS[name]
        maps = method(model, images[:1], None)
        assert len(maps) == 1
    saliency = METHODS["vanilla_saliency"](model, images)
    localize(np.asarray(samples.images[0].resize((64, 64))), saliency[0])
    visualize_class(model, 1, steps=1, size=64)
    compare_methods(model, samples.images, ["vanilla_saliency"], size=64).save(tmp_path)
    samples.images[0].save(tmp_path / "a.png")
    map_folder(tmp_path, model, out=tmp_path / "maps", size=64)
    assert len(list_models()) > 50
    assert no_network == []


def test_a_download_says_so_and_a_url_is_asked_for(
    no_network, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(ConnectionError, match="^alexnet.* could not be downloaded"):
        load_model("alexnet")
    assert "Downloading alexnet" in capsys.readouterr().err
    with pytest.raises(ConnectionError, match="^http.* could not be fetched"):
        load_image("http://localhost:9/a.png")
    assert len(no_network) >= 2
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


@pytest.mark.parametrize(
    "address", ["file:///etc/hostname", "ftp://localhost/a.png", "data:,a"]
)
def test_only_web_addresses_are_fetched(address, no_network):
    with pytest.raises(FileNotFoundError, match="^there is no file .*; (give|of)"):
        load_image(address)
    assert no_network == []
