"""Pictures in and out: every kind of file, and exactly torchvision's preprocessing."""

import http.server
import io
import os
import re
import socket
import struct
import threading
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
import toys
from PIL import Image, TiffImagePlugin, features
from torchvision import transforms

from course_utils import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    deprocess,
    images,
    load_image,
    preprocess,
)
from course_utils._machinery import web
from course_utils._machinery.pictures import ENDINGS, FORMATS
from course_utils.images import (
    find_pictures,
    fit_box,
    fit_image,
    passed_over,
    uploaded_files,
)

RED, WHITE = (255, 0, 0), (255, 255, 255)


def noise(width=40, height=30, seed=0):
    generator = np.random.default_rng(seed)
    return Image.fromarray(generator.integers(0, 256, (height, width, 3), dtype=np.uint8))


def encoded(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def same(image, other):
    return np.array_equal(np.asarray(image), np.asarray(other))


# -- from where ------------------------------------------------------------------------

PIXELS = np.asarray(noise())
DATA = encoded(noise())
SOURCES = {
    "path": lambda path: path,
    "text": lambda path: str(path),
    "bytes": lambda path: DATA,
    "bytearray": lambda path: bytearray(DATA),
    "memoryview": lambda path: memoryview(DATA),
    "file in memory": lambda path: io.BytesIO(DATA),
    "open file": lambda path: path.open("rb"),
    "PIL, opened": lambda path: Image.open(path),
    "PIL, loaded": lambda path: noise(),
    "array": lambda path: PIXELS,
    "array of floats": lambda path: PIXELS / 255,
    "array of 16 bits": lambda path: PIXELS * np.uint16(257),
    "array, not contiguous": lambda path: PIXELS[:, ::-1].copy()[:, ::-1],
    "tensor": lambda path: torch.from_numpy(PIXELS.copy()),
    "tensor in a graph": lambda path: torch.tensor(PIXELS / 255).requires_grad_(),
    "ipywidgets 7": lambda path: {"a.png": {"metadata": {"size": 9}, "content": DATA}},
    "ipywidgets 8": lambda path: (
        {"name": "a.png", "type": "image/png", "content": memoryview(DATA)},
    ),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_every_source_gives_the_same_picture(kind, tmp_path):
    path = tmp_path / "with a blank.png"
    path.write_bytes(DATA)
    image = load_image(SOURCES[kind](path))
    assert image.mode == "RGB"
    assert same(image, noise())


def test_path_may_begin_at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    noise().save(tmp_path / "mine.png")
    assert same(load_image("~/mine.png"), noise())


WEB = "; of addresses, those that begin with http:// or https:// are read$"
HINTS = {
    '"{}"': "; leave out the quotes$",
    "'{}": "; leave out the quotes$",
    "{} ": "; leave out the blanks at its ends$",
    "\n{}": "; leave out the blanks at its ends$",
    "file://{}": "; give the path itself, {}$",
    "~nobody-of-this-name{}": "$",
    "C:" + r"\photos\a.png": "; this Python runs on another machine than Windows: upload",
    '"C:' + r'\photos\a.png"': "; leave out the quotes$",
    "ftp://a.org/a.png": WEB,
    "s3://a/a.png": WEB,
    "data:image/png;base64,": WEB,
    "www.a.org/a.png": WEB,
    " https://a.org/a.png": "; leave out the blanks at its ends$",
    "here/a.png": "$",
}


@pytest.mark.parametrize("text", HINTS)
def test_what_is_no_path_is_told_what_is_expected(text, tmp_path):
    path = tmp_path / "my picture.png"
    path.write_bytes(DATA)
    given = text.format(path)
    words = f"^there is no file {re.escape(given)}{HINTS[text].format(path)}"
    with pytest.raises(FileNotFoundError, match=words):
        load_image(given)


def test_an_address_of_a_file_may_have_blanks_and_accents(tmp_path):
    with pytest.raises(FileNotFoundError, match="give the path itself, /a b/é.png$"):
        load_image("file:///a%20b/%C3%A9.png")


@pytest.mark.parametrize("text", ["", "  ", "\n"])
def test_an_empty_text_is_no_path(text):
    with pytest.raises(ValueError, match="^source must be a path, a URL, .*, got '"):
        load_image(text)


def test_a_file_with_a_strange_name_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("'a.png'", " a.png ", "data:a.png", "file:a.png"):
        (tmp_path / name).write_bytes(DATA)
        assert same(load_image(name), noise())


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    def refuse(path, *arguments):
        raise PermissionError(13, "Permission denied")

    (tmp_path / "a.png").write_bytes(DATA)
    for name in ("open", "is_dir"):
        monkeypatch.setattr(Path, name, refuse)
        with pytest.raises(PermissionError, match=r"a.png cannot be read \(Permission den"):
            load_image(tmp_path / "a.png")


class Endless(io.RawIOBase):
    """A file that never ends, and counts what is read."""

    def __init__(self):
        self.count = 0

    def read(self, size=-1):
        self.count += size
        return bytes(size)


def test_no_more_is_read_than_is_allowed(monkeypatch, tmp_path):
    monkeypatch.setattr(images, "MAX_BYTES", 100)
    endless = Endless()
    sources = [
        endless,
        bytes(101),
        bytearray(101),
        memoryview(bytes(999)),
        io.BytesIO(DATA),
    ]
    sources += [{"a.png": {"content": DATA}}, ({"name": "a.png", "content": DATA},)]
    for source in sources:
        with pytest.raises(ValueError, match="^source cannot be opened: .* is larger than"):
            load_image(source)
    assert endless.count == 101


def test_the_picture_given_is_unchanged():
    given = Image.new("LA", (4, 3), (10, 20))
    given.getexif()[274] = 6
    before = given.mode, given.size, given.tobytes()
    load_image(given).putpixel((0, 0), RED)
    assert (given.mode, given.size, given.tobytes()) == before
    given = noise()
    load_image(given).putpixel((0, 0), RED)
    assert same(given, noise())


def test_the_last_of_several_uploads_is_the_picture():
    files = tuple({"name": f"{i}.png", "content": encoded(noise(seed=i))} for i in range(3))
    assert same(load_image(files), noise(seed=2))
    assert [name for name, _ in uploaded_files(files)] == ["0.png", "1.png", "2.png"]


def test_values_that_are_no_upload_hold_no_files():
    for value in ((), {}, None, "a.png", ({"name": "a.png"},), {"a.png": 3}, [3]):
        assert uploaded_files(value) == []


# -- over a network --------------------------------------------------------------------


class Answers(http.server.BaseHTTPRequestHandler):
    """A server with a picture, odd names, and all that can go wrong."""

    def do_GET(self):  # noqa: N802
        page = self.path[1:]
        if page == "nonsense":
            self.wfile.write(b"what?\r\n")
        elif page == "dripping-head":
            self.drip(b"HTTP/1.0 200 OK\r\n" + b"X-A: b\r\n" * 999)
        elif page.startswith("to="):
            self.send_response(302)
            self.send_header("Location", page.removeprefix("to="))
            self.end_headers()
        else:
            known = ("a.png", "caf%C3%A9%20au%20lait.png?size=1&x=%20", "short", "dripping")
            self.send_response(200 if page in known else 404)
            if page == "short":
                self.send_header("Content-Length", str(len(DATA) + 9))
            self.end_headers()
            self.drip(DATA) if page == "dripping" else self.wfile.write(DATA)

    def drip(self, data):
        try:
            for byte in data:
                self.wfile.write(bytes([byte]))
                time.sleep(0.05)
        except OSError:  # nobody listens any more
            pass

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("page", ["/a.png", "/café au lait.png?size=1&x=%20"])
def test_url(server, page):
    assert same(load_image(server + page), noise())


def test_url_without_a_picture(server):
    pages = {"missing.png": "404", "nonsense": "what", "short": "broke off, 9 bytes before"}
    pages |= {
        "to=ftp://127.0.0.1/a.png": "unknown url type: ftp",
        "to=data:,a": "not allow",
    }
    pages |= {"to=file:///etc/hostname": "not allowed", "to=": "infinite loop"}
    for page, reason in pages.items():
        page = f"/{page}"
        match = f"^{server}{page} could not be fetched .*{reason}"
        with pytest.raises(ConnectionError, match=match):
            load_image(server + page)


def test_a_url_may_lead_to_another(server):
    assert same(load_image(f"{server}/to={server}/a.png"), noise())


@pytest.mark.parametrize("page", ["/dripping", "/dripping-head"])
def test_a_server_that_drips_ends_at_the_deadline(server, page, monkeypatch):
    monkeypatch.setattr(web, "DEADLINE", 0.5)
    start = time.monotonic()
    with pytest.raises(
        ConnectionError, match=f"^{server}{page} could not be fetched within"
    ):
        load_image(server + page)
    assert time.monotonic() - start < 5


def test_url_of_too_large_a_file(server, monkeypatch):
    monkeypatch.setattr(images, "MAX_BYTES", 100)
    with pytest.raises(ValueError, match="^source cannot be opened: http.*is larger than"):
        load_image(server + "/a.png")


def test_url_that_cannot_be_reached(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = "http://{}:{}/a.png".format(*closed.getsockname())
    with pytest.raises(ConnectionError, match=f"^{address} could not be fetched"):
        load_image(address)


@pytest.mark.parametrize("address", ["http://", "http://[::1", "https://a b.invalid:x/"])
def test_url_that_is_none(address):
    with pytest.raises(ConnectionError, match=r"^http.* could not be fetched \(.+\)"):
        load_image(address)


# -- every mode ------------------------------------------------------------------------

TABLE = Image.new("P", (4, 3), 1)
TABLE.putpalette([0, 255, 0, 255, 0, 0])
TABLE_SEEN_THROUGH = TABLE.copy()
TABLE_SEEN_THROUGH.putpixel((0, 0), 0)
TABLE_SEEN_THROUGH.info["transparency"] = 0

MODES = {
    "1": (Image.new("1", (4, 3), 1), WHITE),
    "L": (Image.new("L", (4, 3), 90), (90, 90, 90)),
    "LA": (Image.new("LA", (4, 3), (0, 51)), (204, 204, 204)),
    "LA, clear": (Image.new("LA", (4, 3), (7, 0)), WHITE),
    "P": (TABLE, RED),
    "PA": (TABLE.convert("PA"), RED),
    "RGB": (Image.new("RGB", (4, 3), RED), RED),
    "RGBA": (Image.new("RGBA", (4, 3), (255, 0, 0, 51)), (255, 204, 204)),
    "RGBA, clear": (Image.new("RGBA", (4, 3), (0, 0, 0, 0)), WHITE),
    "RGBa": (Image.new("RGBA", (4, 3), (255, 0, 0, 51)).convert("RGBa"), (255, 204, 204)),
    "RGBX": (Image.new("RGBX", (4, 3), (*RED, 0)), RED),
    "CMYK": (Image.new("CMYK", (4, 3), (0, 255, 255, 0)), RED),
    "YCbCr": (Image.new("RGB", (4, 3), RED).convert("YCbCr"), RED),
    "HSV": (Image.new("RGB", (4, 3), RED).convert("HSV"), RED),
    "LAB": (Image.new("LAB", (4, 3), (255, 128, 128)), WHITE),
    "I;16": (Image.new("I;16", (4, 3), 128 * 257), (128, 128, 128)),
    "I;16B": (Image.new("I;16B", (4, 3), 128 * 257), (128, 128, 128)),
    "I": (Image.new("I", (4, 3), 65535), WHITE),
    "F, to 1": (Image.new("F", (4, 3), 1.0), WHITE),
    "F, to 255": (Image.new("F", (4, 3), 128.0), (128, 128, 128)),
    "F, NaN": (Image.new("F", (4, 3), float("nan")), (0, 0, 0)),
}


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_becomes_rgb(mode):
    given, colour = MODES[mode]
    image = load_image(given)
    assert (image.mode, image.size) == ("RGB", (4, 3))
    assert np.abs(np.asarray(image, int) - colour).max() <= 1


FILES = {
    "PNG, grey": ("PNG", Image.new("L", (4, 3), 90), {}, (90, 90, 90)),
    "PNG, 1 bit": ("PNG", Image.new("1", (4, 3), 1), {}, WHITE),
    "PNG, 16 bits": ("PNG", Image.new("I;16", (4, 3), 90 * 257), {}, (90, 90, 90)),
    "PNG, alpha": ("PNG", Image.new("RGBA", (4, 3), (255, 0, 0, 51)), {}, (255, 204, 204)),
    "PNG, clear colour": (
        *("PNG", Image.new("RGB", (4, 3), RED)),
        *({"transparency": RED}, WHITE),
    ),
    "PNG, clear grey": ("PNG", Image.new("L", (4, 3), 7), {"transparency": 7}, WHITE),
    "PNG, palette": ("PNG", TABLE, {}, RED),
    "PNG, clear entry": ("PNG", TABLE, {"transparency": 1}, WHITE),
    "PNG, alpha entries": ("PNG", TABLE, {"transparency": b"\0\x33"}, (255, 204, 204)),
    "GIF": ("GIF", TABLE, {}, RED),
    "GIF, clear entry": ("GIF", TABLE, {"transparency": 1}, WHITE),
    "JPEG, grey": ("JPEG", Image.new("L", (4, 3), 90), {}, (90, 90, 90)),
    "JPEG, CMYK": ("JPEG", Image.new("CMYK", (4, 3), (0, 255, 255, 0)), {}, RED),
    "TIFF, 16 bits": ("TIFF", Image.new("I;16", (4, 3), 90 * 257), {}, (90, 90, 90)),
    "TIFF, floats": ("TIFF", Image.new("F", (4, 3), 0.5), {}, (128, 128, 128)),
    "TIFF, CMYK": ("TIFF", Image.new("CMYK", (4, 3), (0, 255, 255, 0)), {}, RED),
    "WebP, alpha": (
        *("WEBP", Image.new("RGBA", (4, 3), (255, 0, 0, 51))),
        *({"lossless": True}, (255, 204, 204)),
    ),
    "BMP": ("BMP", Image.new("RGB", (4, 3), RED), {}, RED),
}


@pytest.mark.parametrize("kind", FILES)
def test_every_kind_of_file_becomes_rgb(kind):
    form, given, options, colour = FILES[kind]
    image = load_image(encoded(given, form, **options))
    assert (image.mode, image.size) == ("RGB", (4, 3))
    assert np.abs(np.asarray(image, int) - colour).max() <= 2


def test_only_the_transparent_part_turns_white():
    image = load_image(TABLE_SEEN_THROUGH)
    assert image.getpixel((0, 0)) == WHITE
    assert image.getpixel((1, 0)) == RED


# What a camera stores for each EXIF orientation, so that turning it gives the original.
STORED = {
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.swapaxes(0, 1),
    6: lambda upright: np.rot90(upright, 1),
    7: lambda upright: upright[::-1, ::-1].swapaxes(0, 1),
    8: lambda upright: np.rot90(upright, -1),
}


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG"])
@pytest.mark.parametrize("orientation", STORED)
def test_exif_orientation_is_undone(orientation, kind):
    # One block of eight pixels a colour, so that JPEG keeps them apart.
    colours = np.array([[RED, WHITE, (0, 0, 255)], [(0, 255, 0), (0, 0, 0), RED]], np.uint8)
    upright = colours.repeat(16, axis=0).repeat(16, axis=1)
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](upright)))
    exif = Image.Exif()
    exif[274] = orientation
    options = {"subsampling": 0} if kind == "JPEG" else {}
    image = load_image(encoded(stored, kind, exif=exif, **options))
    assert image.size == (48, 32)
    assert np.abs(np.asarray(image, int) - upright).max() < 9


def test_orientation_of_a_16_bit_picture_is_undone():
    stored = Image.fromarray(np.array([[0, 65535, 0]], np.uint16))
    exif = Image.Exif()
    exif[274] = 6
    image = load_image(encoded(stored, "TIFF", exif=exif))
    assert image.size == (1, 3)
    assert image.getpixel((0, 1)) == WHITE


def test_a_broken_exif_tag_is_no_reason_to_refuse_the_picture():
    broken = encoded(noise(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert load_image(broken).size == (40, 30)


@pytest.mark.parametrize(
    "values",
    [
        np.full((3, 4), 128, np.uint8),
        np.full((3, 4, 1), 128, np.uint8),
        np.full((3, 4, 3), 128, np.uint8),
        np.full((3, 4, 4), (128, 128, 128, 255), np.uint8),
        np.full((3, 4), 128 * 257, np.uint16),
        np.full((3, 4), 128 / 255),
        np.full((3, 4, 3), 128 / 255, np.float32),
        np.full((3, 4), 0.5, np.float16),
        torch.full((3, 4), 128 / 255),
        torch.full((3, 4), 0.5, dtype=torch.bfloat16),
    ],
    ids=lambda values: f"{values.dtype} {tuple(values.shape)}",
)
def test_every_kind_of_array(values):
    image = load_image(values)
    assert (image.mode, image.size) == ("RGB", (4, 3))
    assert image.getpixel((3, 2)) == (128, 128, 128)


def test_boolean_array_is_black_and_white():
    image = load_image(np.array([[True, False]]))
    assert [image.getpixel((x, 0)) for x in (0, 1)] == [WHITE, (0, 0, 0)]


# -- what is not a picture -------------------------------------------------------------


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "ICO"])
def test_truncated_at_any_place(kind, recwarn):
    whole = encoded(noise(), kind)
    places = range(1, len(whole) * 9 // 10, max(1, len(whole) // 30))
    for place in places:
        with pytest.raises(ValueError, match="^source cannot be opened: the data "):
            load_image(whole[:place])
    assert not recwarn


def test_truncated_picture_that_pillow_has_opened_already():
    opened = Image.open(io.BytesIO(encoded(noise(), "JPEG")[:-500]))
    with pytest.raises(ValueError, match="^source .* the picture is damaged or trunc"):
        load_image(opened)


def png_that_claims(width, height):
    """A small file whose head promises an enormous picture."""

    def chunk(kind, body):
        check = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + check

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(b"\0" * 1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + body + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [8001, 11000, 60000])
def test_decompression_bomb(side, recwarn):
    with pytest.raises(
        ValueError, match="^source cannot be opened: the data has more than 64 million pix"
    ):
        load_image(png_that_claims(side, side))
    assert not recwarn


def test_too_large_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "MAX_BYTES", 100)
    path = tmp_path / "large.png"
    path.write_bytes(DATA)
    with pytest.raises(ValueError, match="^source .*large.png is larger than"):
        load_image(path)


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"
OTHERS = {
    "EPS": EPS,
    "EPS, of Windows": b"\xc5\xd0\xd3\xc6"
    + struct.pack("<7I", 32, len(EPS), *[0] * 5)
    + EPS,
    "ICO": encoded(noise(), "ICO"),
    "PCX": encoded(noise(), "PCX"),
    "JPEG2000": encoded(noise(), "JPEG2000"),
    "SGI": encoded(noise(), "SGI"),
    "DDS": encoded(noise(), "DDS"),
    "PSD": b"8BPS\0\1" + bytes(30),
    "WMF": b"\xd7\xcd\xc6\x9a" + bytes(40),
    "PDF": b"%PDF-1.7\n" + bytes(99),
    "SVG": b'\n<svg xmlns="http://www.w3.org/2000/svg"/>',
    "XML or SVG": b"\xef\xbb\xbf<?xml version='1.0'?><svg/>",
    "HEIC": bytes([0, 0, 0, 24]) + b"ftypheic" + bytes(12),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_other_formats_are_named_and_no_program_is_started(kind, tmp_path, monkeypatch):
    (tmp_path / "gs").write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    (tmp_path / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    (tmp_path / "cat.jpg").write_bytes(OTHERS[kind])
    kind = kind.partition(",")[0]
    words = f"^source .*cat.jpg holds {kind}, which is not read; convert it to PNG or JPEG$"
    with pytest.raises(ValueError, match=words):
        load_image(tmp_path / "cat.jpg")
    if kind == "EPS":
        with pytest.raises(
            ValueError, match="^source .* the picture holds EPS, which is no"
        ):
            load_image(Image.open(tmp_path / "cat.jpg"))
    assert not (tmp_path / "started").exists()


def test_a_web_page_is_named():
    for page in (b"<!DOCTYPE html><html>", b"\n <HTML>"):
        with pytest.raises(
            ValueError, match="the data holds a web page; give the address o"
        ):
            load_image(page)


# -- more than 8 bits ------------------------------------------------------------------


def grey(high, kind="I;16", low=0):
    """Three pixels: black, the middle, and the brightest, which is white if all is well."""
    values = np.array([[low, high / 2, high]])
    return Image.fromarray(values.astype({"I;16": np.uint16, "I": np.int32}.get(kind, "f")))


def tiff(image, **tags):
    info = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, value in tags.items():
        info.tagtype[int(tag[1:])] = 2 if isinstance(value, str) else 3
        info[int(tag[1:])] = value
    return encoded(image, "TIFF", tiffinfo=info)


def png_with_bits(image, bits):
    whole, body = encoded(image), b"sBIT" + bytes(bits)
    chunk = struct.pack(">I", len(bits)) + body + struct.pack(">I", zlib.crc32(body))
    return whole[:33] + chunk + whole[33:]


def pgm(white, high):
    numbers = struct.pack(">3H", 0, high // 2, high)
    return b"P5 # of a camera\n3 1\n%d\n" % white + numbers


def twelve_bits(*values):
    """A TIFF of one row whose numbers have 12 bits each."""
    whole = bytearray(encoded(Image.new("L", (len(values), 1)), "TIFF"))
    bits = "".join(f"{value:012b}" for value in values).ljust(8 * len(values) * 2, "0")
    start = struct.unpack("<I", whole[4:8])[0]
    for entry in range(struct.unpack("<H", whole[start : start + 2])[0]):
        place = start + 2 + 12 * entry
        tag = struct.unpack("<H", whole[place : place + 2])[0]
        new = {258: 12, 273: len(whole), 279: len(values) * 2}.get(tag)
        if new is not None:
            whole[place + 2 : place + 12] = struct.pack("<HII", 4, 1, new)
    return bytes(whole) + int(bits, 2).to_bytes(len(bits) // 8, "big")


FULL = [0, 128, 255]
# What is given, the grey levels that come out, and what is said about it.
DEEP = {
    "16 bits": (grey(65535), FULL, None),
    "16 bits, half of it": (grey(32768), [0, 64, 128], None),
    "black": (grey(0), [0, 0, 0], None),
    "14 bits, unsaid": (
        grey(16383),
        [0, 32, 64],
        "value above 16383, where 65535 is white",
    ),
    "12 bits, unsaid": (
        grey(4095),
        FULL,
        "has no value above 4095: 4095 was taken for whi",
    ),
    "12 bits, TIFF": (tiff(grey(4095)), FULL, "the data has no value above 4095: 4095 was"),
    "12 bits, dark": (grey(2047), [0, 64, 127], "above 2047: 4095 was taken for white"),
    "10 bits, PNG": (
        encoded(grey(1023)),
        FULL,
        "the data has no value above 1023: 1023 was",
    ),
    "8 bits in 16": (grey(255), FULL, "the picture has no value above 255: 255 was taken"),
    "10 bits, said": (tiff(grey(1023), t281=1023), FULL, None),
    "12 bits, said": (tiff(grey(4095), t281=4095), FULL, None),
    "14 bits, said": (tiff(grey(16383), t281=16383), FULL, None),
    "12 bits, its own maximum": (tiff(grey(3000), t281=3000), [0, 93, 187], None),
    "12 bits, said wrongly": (tiff(grey(65535), t281=4095), FULL, None),
    "12 bits, packed": (twelve_bits(0, 2048, 4095), FULL, None),
    "12 bits, packed and dark": (twelve_bits(0, 100, 200), [0, 6, 12], None),
    "12 bits, said by a PNG": (png_with_bits(grey(4095), [12]), FULL, None),
    "12 bits, dark PNG": (png_with_bits(grey(400), [12]), [0, 12, 25], None),
    "12 bits, moved up": (png_with_bits(grey(65520), [12]), FULL, None),
    "16 bits, said by a PNG": (png_with_bits(grey(4095), [16]), FULL, "4095 was taken for"),
    "nonsense, said by a TIFF": (tiff(grey(4095), t281="?"), FULL, "4095 was taken for"),
    "12 bits, PGM": (pgm(4095, 4095), FULL, None),
    "12 bits, dark PGM": (pgm(4095, 160), [0, 5, 10], None),
    "12 bits, PGM that says 16": (pgm(65535, 4095), FULL, "above 4095: 4095 was taken for"),
    "white is zero": (tiff(grey(65535), t262=0), [255, 127, 0], None),
    "clear grey": (encoded(grey(65535), transparency=0), [255, 128, 255], None),
    "I": (grey(65535, "I"), FULL, None),
    "I, 12 bits": (grey(4095, "I"), FULL, "above 4095: 4095 was taken for white"),
    "F to 1": (grey(1, "F"), FULL, None),
    "F a little above": (grey(1 + 9e-7, "F"), FULL, None),
    "F to 255": (grey(255, "F"), FULL, None),
    "F to 4095": (tiff(grey(4095, "F")), FULL, "holds floats up to 4095: 4095 was taken"),
    "F, dark": (grey(0.0625, "F"), [0, 8, 16], "no value above 0.0625, where 1 is white"),
    "F, NaN": (
        grey(float("nan"), "F"),
        [0, 0, 0],
        "NaN or infinite values, which are shown",
    ),
    "F, infinite": (grey(float("inf"), "F"), [0, 0, 0], "NaN or infinite values"),
    "uint16": (np.asarray(grey(65535)), FULL, None),
    "uint16, other end first": (np.asarray(grey(65535)).astype(">u2"), FULL, None),
    "uint16, 12 bits": (np.asarray(grey(4095)), FULL, "the array has no value above 4095:"),
    "uint16, tensor": (
        torch.from_numpy(np.array(grey(1023))),
        FULL,
        "the array has no valu",
    ),
    "uint16, colours": (
        *(np.stack([np.asarray(grey(4095))] * 3, axis=2), FULL),
        "the array has no value above 4095: 4095 was taken for white",
    ),
    "floats": (np.array([[0, 0.5, 1]]), FULL, None),
    "floats that were rounded": (np.array([[-1e-7, 0.5, 1 + 1e-6]]), FULL, None),
    "floats, 12 bits": (
        np.array([[0, 2048, 4095]]) / 65535,
        [0, 8, 16],
        "no value above 0.062",
    ),
    "colours by 255 twice": (
        np.full((1, 3, 3), 1 / 255),
        [1, 1, 1],
        "no value above 0.0039",
    ),
    "dark colours": (np.full((1, 3, 3), 0.02), [5, 5, 5], None),
}


@pytest.mark.parametrize("kind", DEEP)
def test_more_than_8_bits_are_scaled_or_a_warning_says_what_was_done(kind, recwarn):
    given, levels, words = DEEP[kind]
    image = np.asarray(load_image(given))
    assert np.abs(image.astype(int) - np.reshape(levels, (1, 3, 1))).max() <= 1
    said = [str(warning.message) for warning in recwarn]
    assert len(said) == (words is not None)
    assert not said or re.search(words, said[0])


@pytest.mark.parametrize("high", [4095, 16383, 65535])
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "TIFF, packed"])
def test_dark_colours_of_16_bits_are_not_passed_over(kind, high, recwarn):
    row = np.array([[0, high // 2, high]], ">u2").repeat(3, 1).tobytes()  # of three colours
    if kind == "PNG":
        head = struct.pack(">IIBBBBB", 3, 1, 16, 2, 0, 0, 0)
        parts = [(b"IHDR", head), (b"IDAT", zlib.compress(b"\0" + row)), (b"IEND", b"")]
        data = b"\x89PNG\r\n\x1a\n" + b"".join(
            struct.pack(">I", len(body))
            + name
            + body
            + struct.pack(">I", zlib.crc32(name + body))
            for name, body in parts
        )
    else:
        row = zlib.compress(row) if kind.endswith("packed") else row
        pack = 8 if kind.endswith("packed") else 1
        tags = [(256, 3), (257, 1), (258, 134), (259, pack), (262, 2), (273, 140), (277, 3)]
        tags += [(278, 1), (279, len(row))]
        data = (
            b"MM\0*"
            + struct.pack(">IH", 8, len(tags))
            + b"".join(
                struct.pack(
                    ">HHIHH",
                    tag,
                    3,
                    3 if tag == 258 else 1,
                    *((0, 134) if tag == 258 else (value, 0)),
                )
                for tag, value in tags
            )
        )
        data = data.ljust(134, b"\0") + struct.pack(">HHH", 16, 16, 16) + row
    image = load_image(data)
    assert image.getpixel((2, 0)) == (high >> 8,) * 3
    said = [str(warning.message) for warning in recwarn]
    assert len(said) == (high < 65535)
    assert not said or f"the data has no value above {high}, where 65535 is" in said[0]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (grey(9, "I", -1), "the picture holds values from -1 to 9; scale them to 0"),
        (
            grey(1 << 20, "I"),
            "holds values from 0 to 1048576; scale them to 0 .black. to 6",
        ),
        (
            grey(1, "F", -1),
            "holds values from -1 to 1; scale them to 0 .black. to 1 .white.",
        ),
        (grey(1.3, "F"), "holds values from 0 to 1.3; scale them"),
        (grey(1e9, "F"), r"holds values from 0 to 1e\+09; scale them"),
    ],
)
def test_numbers_that_no_picture_has(given, words):
    with pytest.raises(ValueError, match=f"^source cannot be opened: .*{words}"):
        load_image(given)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([[0, 1.00001]], r"must have values in \[0, 1\] if it is float, got 0 to 1.00001$"),
        ([[0, 1 + 2e-6]], r"must have .*, got 0 to 1.000002$"),
        ([[-0.1, 1]], r"must have .*, got -0.1 to 1$"),
        ([[0.0, 255.0]], r"must have .*, got 0 to 255; divide them by 255$"),
        ([[0, np.inf]], r"must have .*, got 0 to inf$"),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floats_out_of_range_are_told_with_enough_digits(values, words, dtype):
    with pytest.raises(ValueError, match=f"^source {words}"):
        load_image(np.array(values, dtype))


@pytest.mark.parametrize(
    "tensor",
    [torch.ones(3, 4).to_sparse(), torch.ones(3, 4, device="meta")],
    ids=["sparse", "meta"],
)
def test_tensors_without_plain_numbers(tensor):
    with pytest.raises(
        ValueError, match="^source must be a tensor of plain numbers, got to"
    ):
        load_image(tensor)


# -- preprocess ------------------------------------------------------------------------


def by_torchvision(image, size):
    return transforms.Compose(
        [
            transforms.Resize(size),
            transforms.CenterCrop(size),
            transforms.ToTensor(),
            transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD),
        ]
    )(image)


@pytest.mark.parametrize(
    "size_of_picture",
    [(301, 200), (200, 301), (224, 224), (225, 224), (97, 131), (640, 427), (50, 50)],
    ids=lambda size: "{}x{}".format(*size),
)
@pytest.mark.parametrize("size", [224, 97])
def test_preprocess_is_exactly_torchvisions(size_of_picture, size):
    image = noise(*size_of_picture)
    assert torch.equal(preprocess(image, size)[0], by_torchvision(image, size))


def test_stretch_scales_both_sides():
    image = noise(50, 31)
    stretched = np.asarray(image.resize((24, 24), Image.Resampling.BILINEAR)) / 255
    right = (stretched - IMAGENET_MEAN) / IMAGENET_STD
    batch = preprocess(image, 24, fit="stretch")
    assert np.allclose(batch[0].permute(1, 2, 0), right, atol=1e-6)


def test_one_picture_or_many():
    one, other = noise(), noise(31, 50, seed=1)
    assert preprocess(one, 8).shape == (1, 3, 8, 8)
    both = torch.cat([preprocess(one, 8), preprocess(other, 8)])
    for many in ([one, other], (one, np.asarray(other)), [encoded(one), encoded(other)]):
        assert torch.equal(preprocess(many, 8), both)


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_array_of_pictures(kind):
    pair = np.stack([np.asarray(noise()), np.asarray(noise(seed=1))])
    assert torch.equal(preprocess(kind(pair), 8), preprocess([noise(), noise(seed=1)], 8))


@pytest.mark.parametrize("version", [7, 8])
def test_every_upload_is_a_picture(version):
    files = {f"{i}.png": {"content": encoded(noise(seed=i))} for i in range(2)}
    if version == 8:
        files = tuple({"name": name, **file} for name, file in files.items())
    assert torch.equal(preprocess(files, 8), preprocess([noise(), noise(seed=1)], 8))


def test_statistics_of_ones_own():
    batch = preprocess(
        Image.new("RGB", (9, 9), (51, 102, 255)), 4, (0.2, 0, 1), [1, 0.5, 2]
    )
    assert torch.allclose(batch[0, :, 0, 0], torch.tensor([0.0, 0.8, 0.0]), atol=1e-7)


def test_batch_is_of_single_precision_and_contiguous():
    batch = preprocess(noise(), 8)
    assert batch.dtype == torch.float32
    assert batch.is_contiguous()


def test_the_message_says_which_picture_is_bad():
    with pytest.raises(ValueError, match=r"^images\[1\] .* the data is not a picture"):
        preprocess([noise(), b"no picture"])
    with pytest.raises(FileNotFoundError, match="^there is no file nothing.png"):
        preprocess("nothing.png")


# -- deprocess -------------------------------------------------------------------------


@pytest.mark.parametrize("fit", ["crop", "stretch"])
def test_deprocess_inverts_preprocess(fit):
    image = noise(61, 47)
    (back,) = deprocess(preprocess(image, 32, fit=fit))
    assert same(back, fit_image(image, 32, fit))


def test_deprocess_inverts_with_statistics_of_ones_own():
    statistics = {"mean": (0.1, 0.5, 0.9), "std": (1.0, 0.1, 3.0)}
    (back,) = deprocess(preprocess(noise(), 16, **statistics), **statistics)
    assert same(back, fit_image(noise(), 16))


def test_every_grey_level_survives():
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    (back,) = deprocess(preprocess(levels, 16))
    assert same(back.convert("L"), levels)


def test_deprocess_gives_a_picture_for_one_and_a_list_for_a_batch():
    assert deprocess(torch.zeros(3, 4, 5)).size == (5, 4)
    assert [p.size for p in deprocess(torch.zeros(1, 3, 4, 5))] == [(5, 4)]
    assert len(deprocess(torch.zeros(3, 3, 4, 5))) == 3


def test_deprocess_clips_what_lies_outside():
    picture = deprocess(torch.tensor([-99.0, 0.0, 99.0]).view(3, 1, 1))
    assert picture.getpixel((0, 0)) == (0, 116, 255)


def test_rescale_spans_black_to_white_picture_by_picture():
    batch = toys.batch() * torch.tensor([0.1, 30]).view(2, 1, 1, 1)
    for picture in deprocess(batch, rescale=True):
        assert (np.asarray(picture).min(), np.asarray(picture).max()) == (0, 255)


def test_rescale_of_a_flat_picture_is_flat_and_never_zero_by_zero(recwarn):
    grey = preprocess(Image.new("RGB", (4, 4), (90, 90, 90)), 4)
    flat = torch.ones(1, 3, 4, 4) * grey[:, :, :1, :1]
    (picture,) = deprocess(flat, rescale=True, mean=IMAGENET_MEAN, std=IMAGENET_STD)
    assert len(set(np.asarray(picture).ravel().tolist())) <= 2
    (picture,) = deprocess(
        torch.zeros(1, 3, 4, 4), rescale=True, mean=(0, 0, 0), std=(1, 1, 1)
    )
    assert not np.asarray(picture).any()
    assert not recwarn


def test_deprocess_leaves_its_input_alone():
    batch = toys.batch().requires_grad_()
    before = batch.detach().clone()
    deprocess(batch, rescale=True)
    assert torch.equal(batch, before)
    assert batch.requires_grad


def test_deprocess_takes_other_types_of_numbers():
    for dtype in (torch.float64, torch.float16, torch.int64):
        assert deprocess(torch.zeros(3, 2, 2, dtype=dtype)).getpixel((0, 0)) == (
            124,
            116,
            104,
        )


# -- boxes -----------------------------------------------------------------------------


@pytest.mark.parametrize("fit", ["crop", "stretch"])
@pytest.mark.parametrize("size", [(500, 375), (375, 500), (300, 300), (900, 224)])
@pytest.mark.parametrize("share", [(0.3, 0.25, 0.6, 0.7), (0.0, 0.1, 0.5, 1.0)])
def test_box_lies_where_the_painted_box_lies(size, share, fit):
    x0, y0, x1, y1 = (round(s * side) for s, side in zip(share, size * 2, strict=True))
    painted = Image.new("RGB", size)
    painted.paste(WHITE, (x0, y0, x1, y1))
    bright = np.asarray(fit_image(painted, 224, fit).convert("L")) > 127
    rows, columns = np.flatnonzero(bright.any(axis=1)), np.flatnonzero(bright.any(axis=0))
    seen = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    box = fit_box((x0, y0, x1, y1), size, 224, fit)
    assert np.abs(np.subtract(box, seen)).max() <= 1


def test_box_outside_of_the_crop_is_clipped_to_its_border():
    assert fit_box((0, 0, 100, 100), (1000, 100), 50) == (0, 0, 0, 50)


# -- folders ---------------------------------------------------------------------------


def names(found):
    return [path.name for path in found]


def test_every_ending_that_is_opened_is_found_in_any_case(tmp_path):
    for ending in ENDINGS:
        (tmp_path / f"a{ending}").touch()
        (tmp_path / f"B{ending.upper()}").touch()
    assert len(find_pictures(tmp_path)) == 2 * len(ENDINGS)
    assert passed_over(tmp_path) == {}
    usual = ".jpg .jpeg .jpe .jfif .mpo .png .webp .bmp .tif .tiff .gif .ppm .pgm .pbm .pnm"
    assert set(usual.split()) <= set(ENDINGS)
    assert (".avif" in ENDINGS) == features.check("avif")


@pytest.mark.parametrize("kind", [*FORMATS, "MPO"])
def test_every_format_with_an_ending_is_opened(kind):
    given = Image.new("RGB", (16, 16), RED)
    more = {"save_all": True, "append_images": [given]} if kind == "MPO" else {}
    image = load_image(encoded(given, kind, **more))
    assert np.abs(np.asarray(image, int) - RED).max() <= 4


@pytest.mark.linux
def test_what_is_passed_over_is_named_with_a_reason(tmp_path):
    for name in ("b.jpg", "notes.txt", "film.mp4", ".x.png", "in/c.png", "in/d", ".no/e.x"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere")
    (tmp_path / "round.png").symlink_to(tmp_path / "round.png")
    (tmp_path / "linked.png").symlink_to(tmp_path / "b.jpg")
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    assert names(find_pictures(tmp_path)) == ["b.jpg", "linked.png"]
    assert names(find_pictures(tmp_path, deep=True)) == ["b.jpg", "c.png", "linked.png"]
    reasons = {path.name: reason for path, reason in passed_over(tmp_path).items()}
    assert list(reasons) == sorted(reasons)
    assert "Too many levels" in reasons.pop("round.png")
    ending = "has no ending of a picture"
    assert reasons == {
        "film.mp4": ending,
        "gone.png": "is a link that leads nowhere",
        "notes.txt": ending,
        "pipe.png": "is not a file",
    }
    assert passed_over(tmp_path, deep=True)[tmp_path / "in" / "d"] == ending


def test_folders_and_files_that_may_not_be_read_end_no_search(tmp_path, monkeypatch):
    for name in ("a.png", "closed/b.png", "dark/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    scandir, look = os.scandir, Path.stat

    def refused(path):
        raise PermissionError(13, "Permission denied", str(path))

    def scan(path):
        return refused(path) if str(path).endswith("closed") else scandir(path)

    def stat(path, **keywords):
        return refused(path) if path.name == "c.png" else look(path, **keywords)

    monkeypatch.setattr(os, "scandir", scan)
    monkeypatch.setattr(Path, "stat", stat)
    assert names(find_pictures(tmp_path, deep=True)) == ["a.png"]
    denied = "cannot be read (Permission denied)"
    closed = {tmp_path / "closed": denied, tmp_path / "dark/c.png": denied}
    assert passed_over(tmp_path, deep=True) == closed


@pytest.mark.parametrize(
    ("name", "state"),
    [
        ("nowhere", r"cannot be read \(No such file or directory\)"),
        ("file", r"cannot be read \(Not a directory\)"),
        ("empty", "has none"),
    ],
)
def test_a_folder_without_pictures_is_refused(name, state, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    words = rf"^folder must contain pictures \(.jpg .*\); .*{name} {state}$"
    with pytest.raises(ValueError, match=words):
        find_pictures(tmp_path / name)
