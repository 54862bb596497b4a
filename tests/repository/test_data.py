"""The data folder: every picture is credited, and the weights are the original ones."""

import hashlib
import importlib.util
import io
import json
import pickle
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file
from torchvision.models import SqueezeNet1_1_Weights, squeezenet1_1

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "data"
MODELS = DATA / "models"
REFERENCE = ROOT / "tests" / "fixtures" / "squeezenet_reference.json"

KINDS = ("photos", "scenes", "cutouts")
LICENCES = {
    "CC0-1.0",
    "CC-BY-2.0",
    "CC-BY-3.0",
    "CC-BY-4.0",
    "CC-BY-SA-4.0",
    "BSD-2-Clause",
    "LicenseRef-public-domain",
}
CHANGES = {"unchanged", "scaled", "cropped and scaled"}
FIELDS = {
    *("file", "name", "title", "label", "class_name", "box", "size", "licence"),
    *("licence_url", "author", "source_url", "source", "changes", "evidence", "sha256"),
}
OPTIONAL_FIELDS = {"instances", "second_object", "description"}
MACHINE_PATH = re.compile(r"(?<![\w./])(/(home|root|tmp|work|Users|mnt)/|[A-Z]:\\)")


def read_json(path):
    return json.loads(path.read_text(encoding="utf-8"))


PICTURES = read_json(DATA / "photos.json")
CLASSES = read_json(MODELS / "imagenet_classes.json")["names"]
ENTRIES = [
    pytest.param(kind, entry, id=f"{kind}/{entry['name']}")
    for kind in KINDS
    for entry in PICTURES[kind]
]
every_picture = pytest.mark.parametrize(("kind", "entry"), ENTRIES)


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@cache
def network():
    model = squeezenet1_1()
    model.load_state_dict(load_file(MODELS / "squeezenet1_1.safetensors"))
    return model.eval()


@torch.no_grad()
def scores(name):
    """The network's scores of a photograph, preprocessed as in torchvision."""
    image = Image.open(DATA / "photos" / f"{name}.jpg").convert("RGB")
    scale = 224 / min(image.size)
    size = (round(image.width * scale), round(image.height * scale))
    image = image.resize(size, Image.Resampling.BILINEAR)
    left, top = (image.width - 224) // 2, (image.height - 224) // 2
    rgb = np.asarray(image.crop((left, top, left + 224, top + 224)))
    convention = read_json(MODELS / "squeezenet1_1.json")["input"]
    x = (rgb / 255 - convention["mean"]) / convention["std"]
    return network()(torch.from_numpy(x).permute(2, 0, 1)[None].float())[0]


def tool(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# Pictures


@pytest.mark.parametrize("kind", KINDS)
def test_files_and_entries_match(kind):
    entries = [entry["file"] for entry in PICTURES[kind]]
    files = [path.name for path in (DATA / kind).iterdir()]
    assert sorted(entries) == sorted(files)


def test_counts():
    assert [len(PICTURES[kind]) for kind in KINDS] == [26, 7, 5]
    assert list(PICTURES) == list(KINDS)


def test_no_stray_pictures():
    suffixes = {".jpg", ".jpeg", ".png", ".webp", ".gif"}
    pictures = (path for path in DATA.rglob("*") if path.suffix in suffixes)
    folders = {path.parent.relative_to(DATA).as_posix() for path in pictures}
    assert folders == {*KINDS, "made"}, "made/ holds what the course's own tools made"


@every_picture
def test_fields(kind, entry):
    assert set(entry) - OPTIONAL_FIELDS == FIELDS
    assert entry["name"] == Path(entry["file"]).stem
    assert entry["title"].strip()


@every_picture
def test_photographs_are_described_in_one_sentence(kind, entry):
    words = entry.get("description")
    assert (words is not None) == (kind == "photos")
    if words:
        assert re.fullmatch(r"(A|An|The|Three|Slices) [^.\n]{20,100}\.", words)


def test_no_two_photographs_are_described_alike():
    words = [entry["description"] for entry in PICTURES["photos"]]
    assert len(set(words)) == len(words)


@every_picture
def test_credit(kind, entry):
    assert entry["licence"] in LICENCES
    public_domain = entry["licence"] == "LicenseRef-public-domain"
    assert (entry["licence_url"] is None) == public_domain
    assert entry["author"].strip()
    assert entry["evidence"].strip()
    assert all(entry["source"][k] for k in ("registry", "package", "version", "path"))
    cut_out = {"cropped, scaled, background removed"}
    assert entry["changes"] in (cut_out if kind == "cutouts" else CHANGES)
    assert "@" not in entry["author"] + entry["evidence"]


@every_picture
def test_file(kind, entry):
    path = DATA / kind / entry["file"]
    assert sha256(path) == entry["sha256"]
    with Image.open(path) as image:
        assert list(image.size) == entry["size"]
        assert image.mode == ("RGBA" if kind == "cutouts" else "RGB")


@every_picture
def test_boxes(kind, entry):
    assert (entry["box"] is not None) == (kind == "photos")
    second = entry.get("second_object")
    boxes = [entry["box"], *entry.get("instances", []), second and second["box"]]
    width, height = entry["size"]
    for x0, y0, x1, y1 in filter(None, boxes):
        assert 0 <= x0 < x1 <= width
        assert 0 <= y0 < y1 <= height
        assert min(x1 - x0, y1 - y0) >= 20


@every_picture
def test_labels(kind, entry):
    if kind == "scenes":
        assert entry["label"] is None
        assert entry["class_name"] is None
    for thing in filter(None, [entry, entry.get("second_object")]):
        if thing["label"] is not None:
            assert thing["class_name"] == CLASSES[thing["label"]]
    assert kind == "scenes" or entry["label"] is not None


def test_first_five_are_five_classes_seen_with_confidence():
    first = PICTURES["photos"][:5]
    assert len({entry["label"] for entry in first}) == 5
    for entry in first:
        assert scores(entry["name"]).softmax(0)[entry["label"]] > 0.9, entry["name"]


def test_no_machine_paths():
    for path in DATA.rglob("*.json"):
        assert not MACHINE_PATH.search(path.read_text(encoding="utf-8")), path.name


def test_credits_page_is_up_to_date():
    command = [sys.executable, ROOT / "tools" / "credits.py", "--check"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


# Network


def test_class_names():
    assert SqueezeNet1_1_Weights.IMAGENET1K_V1.meta["categories"] == CLASSES
    assert len(set(CLASSES)) == 1000


def test_weights_file_is_the_one_described():
    described = read_json(MODELS / "squeezenet1_1.json")
    path = MODELS / described["file"]
    assert path.stat().st_size == described["bytes"]
    assert sha256(path) == described["sha256"]
    assert (MODELS / described["licence_file"]).exists()


def test_reference_is_small():
    assert REFERENCE.stat().st_size < 60_000


@pytest.mark.parametrize(("name", "expected"), read_json(REFERENCE).items())
def test_scores_are_those_of_the_original_network(name, expected):
    difference = (scores(name) - torch.tensor(expected)).abs().max()
    assert difference < 1e-4 * max(expected)


def test_photographs_are_recognised():
    entries = PICTURES["photos"]
    hits = sum(int(scores(e["name"]).argmax()) == e["label"] for e in entries)
    assert hits >= 24


# Converter


def test_unpickler_reads_arrays():
    converter = tool("convert_squeezenet")
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    data = pickle.dumps({"conv1": [array]}, protocol=3)
    data = data.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    read = converter.ArrayUnpickler(io.BytesIO(data)).load()
    np.testing.assert_array_equal(read["conv1"][0], array)


def test_unpickler_refuses_code():
    converter = tool("convert_squeezenet")
    data = pickle.dumps(Path.cwd)
    with pytest.raises(pickle.UnpicklingError, match="asks for"):
        converter.ArrayUnpickler(io.BytesIO(data)).load()


def test_folding_is_exact():
    converter = tool("convert_squeezenet")
    generator = torch.Generator().manual_seed(0)
    kernel = torch.randn(4, 3, 3, 3, generator=generator)
    bias = torch.randn(4, generator=generator)
    rgb = torch.randint(0, 256, (2, 3, 9, 9), generator=generator).double()
    bgr = rgb.flip(1) - torch.tensor([104, 117, 123]).view(3, 1, 1)
    expected = F.conv2d(bgr, kernel.double(), bias.double())
    mean = torch.tensor([0.485, 0.456, 0.406], dtype=torch.float64).view(3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225], dtype=torch.float64).view(3, 1, 1)
    folded = converter.fold_preprocessing(kernel, bias)
    x = (rgb / 255 - mean) / std
    actual = F.conv2d(x, *(tensor.double() for tensor in folded))
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(
    ("layer", "name"),
    [
        ("conv1", "features.0"),
        ("fire2/squeeze1x1", "features.3.squeeze"),
        ("fire9/expand3x3", "features.12.expand3x3"),
        ("conv10", "classifier.1"),
    ],
)
def test_layer_names(layer, name):
    assert tool("convert_squeezenet").torchvision_name(layer) == name
