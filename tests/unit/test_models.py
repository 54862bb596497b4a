"""Networks: bundled, torchvision's, random, the learner's own; classes and layers."""

import argparse
import hashlib
import io
import pickle
import re
import socket
import subprocess
import sys
import warnings
from collections import OrderedDict

import numpy as np
import pytest
import torch
import torchvision
from address import ROOT
from memory import PEAK, measured
from safetensors.torch import save_file
from torch import nn

from course_utils import (
    Unit,
    class_name,
    class_names,
    find_classes,
    load_model,
    load_samples,
    models,
    preprocess,
)
from course_utils._machinery import checkpoints
from course_utils.models import friendly_layers, layer_path, list_models


@pytest.fixture
def offline(monkeypatch):
    """No connection can be opened: the attempt itself is an error of the test's own."""

    def refuse(*arguments, **keywords):
        raise OSError("the network is cut off")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(torch.hub, "urlopen", refuse)


@pytest.fixture
def cached(monkeypatch, tmp_path):
    """An empty cache of torchvision's weights; gives the folder they lie in."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    return tmp_path / "hub" / "checkpoints"


def same_state(model, state):
    ours = model.state_dict()
    return ours.keys() == state.keys() and all(torch.equal(ours[k], state[k]) for k in ours)


# -- bundled ---------------------------------------------------------------------------


def test_bundled_network_needs_no_network(offline):
    model = load_model()
    assert isinstance(model, torchvision.models.SqueezeNet)
    assert same_state(load_model("squeezenet1_1", "bundled"), model.state_dict())


def test_bundled_network_knows_a_photograph():
    samples = load_samples(5)
    scores = load_model()(preprocess(samples.images))
    assert scores.shape == (5, 1000)
    assert torch.equal(scores.argmax(dim=1), samples.labels)


@pytest.mark.parametrize("weights", ["bundled", "random"])
def test_networks_are_frozen_and_in_evaluation_mode(weights):
    model = load_model("squeezenet1_1", weights)
    assert not any(module.training for module in model.modules())
    assert not any(p.requires_grad for p in model.parameters())


def test_colours_of_a_pixel_lie_side_by_side_in_networks_by_name_alone(tmp_path):
    assert load_model().features[0].weight.is_contiguous(memory_format=torch.channels_last)
    own = torchvision.models.squeezenet1_1()
    torch.save(own.state_dict(), tmp_path / "own.pt")
    assert load_model(own, tmp_path / "own.pt").features[0].weight.is_contiguous()


def test_each_call_gives_a_network_of_its_own():
    first, second = load_model(), load_model()
    nn.init.zeros_(first.classifier[1].weight)
    assert second.classifier[1].weight.any()


def test_device():
    model = load_model(device="meta")
    assert {p.device.type for p in model.parameters()} == {"meta"}
    assert next(load_model(device=torch.device("cpu")).parameters()).device.type == "cpu"


# -- random ----------------------------------------------------------------------------


def test_random_network_is_the_same_at_every_call():
    first = load_model("resnet18", "random")
    torch.rand(3)
    assert same_state(load_model("resnet18", "random"), first.state_dict())
    assert not torch.equal(first.fc.weight, torch.zeros_like(first.fc.weight))


def test_random_network_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    load_model("squeezenet1_1", "random")
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_random_networks_come_without_a_warning(name, recwarn):
    with torch.device("meta"):
        load_model(name, "random")
    assert not recwarn


# -- checkpoints -----------------------------------------------------------------------


def fine_tuned(name, classes):
    """A network of torchvision with a last layer of the learner's own."""
    model = torchvision.models.get_model(name, num_classes=classes, weights=None)
    for parameter in list(model.parameters())[-2:]:
        nn.init.normal_(parameter)
    return model


def prefixed(state, prefix):
    return {prefix + name: value for name, value in state.items()}


class Plain(nn.Sequential):
    """A small network with everything that a state holds."""

    def __init__(self, classes=3):
        super().__init__(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 4)
        )
        self.append(nn.Sequential(nn.Linear(4, classes)))


def trained(seed=1, **options):
    """A network whose every number differs from that of a new one."""
    torch.manual_seed(seed)
    model = Plain(**options)
    for value in model.state_dict().values():
        value.copy_(torch.rand(value.shape) + 7 * seed)
    return model


SGD = {
    "state": {0: {"momentum_buffer": torch.ones(4, 3, 3, 3)}},
    "param_groups": [{"lr": 1}],
}
WRAPPED = {
    "plain": lambda s: s,
    "state_dict": lambda s: {"state_dict": s, "epoch": 3},
    "torchvision's scripts": lambda s: {"model": s, "epoch": 8, "optimizer": SGD},
    "PyTorch's tutorial": lambda s: {"model_state_dict": s, "optimizer_state_dict": SGD},
    "a loss that is a tensor": lambda s: {"net": s, "loss": torch.tensor(0.1)},
    "DataParallel": lambda s: prefixed(s, "module."),
    "DataParallel in a dict": lambda s: {"state_dict": prefixed(s, "module.")},
    "Lightning": lambda s: {
        "state_dict": prefixed(s, "model."),
        "hyper_parameters": {"lr": 1e-3},
        "pytorch-lightning_version": "2.4",
        "optimizer_states": [SGD],
        "callbacks": {},
    },
    "Lightning, another name": lambda s: {"state_dict": prefixed(s, "net.")},
    "torch.compile": lambda s: prefixed(s, "_orig_mod."),
    "nanoGPT": lambda s: {
        "model": prefixed(s, "_orig_mod."),
        "model_args": {"n_layer": 2},
        "optimizer": SGD,
        "iter_num": 3,
        "config": {"compile": True},
    },
    "nested prefixes": lambda s: prefixed(s, "module._orig_mod."),
    "three prefixes": lambda s: {"model": prefixed(s, "model.module._orig_mod.")},
    "two keys deep": lambda s: {"run": {"weights": s, "seed": 3}},
    "names of a part": lambda s: {"0": s},
    "numbers beside the tensors": lambda s: {**s, "epoch": 3},
    "parameters": lambda s: {
        n: nn.Parameter(v, v.is_floating_point()) for n, v in s.items()
    },
    "without counters": lambda s: {n: v for n, v in s.items() if "num_batches" not in n},
}
SAVED = {"pt": torch.save, "safetensors": save_file}
CASES = [(w, "pt") for w in WRAPPED]
CASES += [(w, "safetensors") for w in ("plain", "DataParallel", "nested prefixes")]


@pytest.mark.parametrize(("wrapped", "kind"), CASES)
def test_checkpoints_of_every_trainer(wrapped, kind, tmp_path, recwarn):
    state, path = trained().state_dict(), tmp_path / f"mine.{kind}"
    SAVED[kind](WRAPPED[wrapped](state), path)
    loaded = load_model(Plain(), path)
    if wrapped == "without counters":
        state["1.num_batches_tracked"] = torch.tensor(0)
    assert same_state(loaded, state)
    assert not recwarn


@pytest.mark.parametrize("wrapped", [*WRAPPED, "code"])
def test_checkpoints_of_every_trainer_for_a_network_by_name(wrapped, tmp_path):
    state = fine_tuned("squeezenet1_1", 37).state_dict()
    path = tmp_path / "mine.ckpt"
    if wrapped == "code":
        torch.save({"model": state, "args": argparse.Namespace(lr=1)}, path)
        words = "holds argparse.Namespace, which could run code; where you trained it, save"
        with pytest.raises(ValueError, match=f"^weights cannot be read: .*{words}"):
            load_model("squeezenet1_1", path)
    else:
        torch.save(WRAPPED[wrapped](state), path)
        assert same_state(load_model("squeezenet1_1", path), state)


@pytest.mark.parametrize("own", ["module.", "model.", "module.model."])
@pytest.mark.parametrize("theirs", ["", "module.", "model.", "module.model.", "other."])
def test_a_network_whose_own_names_have_a_prefix(own, theirs, tmp_path, recwarn):
    state = trained().state_dict()
    model = Plain()
    for name in reversed(own.split(".")[:-1]):
        model = nn.Sequential(OrderedDict({name: model}))
    torch.save(prefixed(state, theirs), tmp_path / "mine.pt")
    assert same_state(load_model(model, tmp_path / "mine.pt"), prefixed(state, own))
    assert not recwarn


AVERAGES = {
    "torchvision": lambda s, t: {
        "model": s,
        "model_ema": {"n_averaged": torch.tensor(3), **prefixed(t, "module.")},
    },
    "timm": lambda s, t: {"state_dict": s, "state_dict_ema": t},
    "first": lambda s, t: {"ema_state_dict": t, "model": s},
    "EMA": lambda s, t: {"EMA": t, "schema": s},
    "SWA": lambda s, t: {"swa_model": t, "net": s},
    "Lightning": lambda s, t: {
        "state_dict": prefixed(s, "model.") | prefixed(t, "model_ema.")
    },
}


@pytest.mark.parametrize("kind", AVERAGES)
def test_of_weights_and_their_average_the_weights_are_taken_and_it_is_said(kind, tmp_path):
    state, average = trained().state_dict(), trained(2).state_dict()
    torch.save(AVERAGES[kind](state, average), tmp_path / "mine.pt")
    words = "^mine.pt: Plain took the weights under '.*', not '.*(ema|EMA|swa_model)"
    with pytest.warns(UserWarning, match=words):
        loaded = load_model(Plain(), tmp_path / "mine.pt")
    assert same_state(loaded, state)


def test_counters_that_were_averaged_are_left_out(tmp_path):
    state = trained().state_dict()
    key = "1.num_batches_tracked"
    torch.save({**state, key: torch.tensor(3.5)}, tmp_path / "mine.pt")
    assert load_model(Plain(), tmp_path / "mine.pt").state_dict()[key] == 0


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda s, t: {"student": s, "teacher": t},
        lambda s, t: {"student_ema": s, "teacher_ema": t},
        lambda s, t: {"models": {"student": s, "teacher": t}},
        lambda s, t: {"state_dict": prefixed(s, "student.") | prefixed(t, "teacher.")},
        lambda s, t: prefixed(s, "student.") | prefixed(t, "teacher."),
    ],
)
def test_weights_of_two_networks_are_refused_and_named(wrapped, tmp_path):
    torch.save(wrapped(trained().state_dict(), trained(2).state_dict()), tmp_path / "a.pt")
    words = "^weights in a.pt are there more than once: '.*student.*' and '.*teacher.*' fit"
    with pytest.raises(ValueError, match=words):
        load_model(Plain(), tmp_path / "a.pt")


def test_of_two_networks_the_one_that_fits_is_taken(tmp_path):
    state, other = trained().state_dict(), trained(2, classes=5).state_dict()
    torch.save({"generator": other, "critic": state}, tmp_path / "mine.pt")
    assert same_state(load_model(Plain(), tmp_path / "mine.pt"), state)


def test_what_lies_beside_the_weights_is_named(tmp_path):
    state = trained().state_dict()
    more = prefixed(state, "model.") | {"loss.weight": torch.ones(3)}
    torch.save({"state_dict": more}, tmp_path / "mine.pt")
    words = "^mine.pt: Plain took the weights under 'state_dict/model', not 1 other tensor"
    with pytest.warns(UserWarning, match=words):
        assert same_state(load_model(Plain(), tmp_path / "mine.pt"), state)


def test_lazy_layers_take_the_shapes_of_the_checkpoint(tmp_path):
    state = nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 2)).state_dict()
    torch.save({"model": state}, tmp_path / "mine.pt")
    lazy = nn.Sequential(nn.LazyLinear(4), nn.Linear(4, 2))
    assert same_state(load_model(lazy, tmp_path / "mine.pt"), state)
    state["0.weight"] = torch.ones(1, 1).expand(4, 10**12)
    torch.save(state, tmp_path / "mine.pt")
    with pytest.raises(
        ValueError, match="0.weight claims the shape .4, 1000000000000., but"
    ):
        load_model(lazy, tmp_path / "mine.pt")


@pytest.mark.parametrize("first", [True, False])
def test_layers_that_share_a_tensor_need_it_once(first, tmp_path):
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(2, 2), nn.Linear(2, 2)
            self.b.weight = self.a.weight

    state = {n: torch.rand(v.shape) for n, v in Tied().state_dict().items()}
    del state["b.weight" if first else "a.weight"]
    save_file(state, tmp_path / "mine.safetensors")
    loaded = load_model(Tied(), tmp_path / "mine.safetensors")
    assert torch.equal(loaded.a.weight, state["a.weight" if first else "b.weight"])
    assert loaded.a.weight is loaded.b.weight
    del state["a.bias"]
    save_file(state, tmp_path / "mine.safetensors")
    with pytest.raises(ValueError, match=r"do not fit Tied: 1 missing \(a.bias\)$"):
        load_model(Tied(), tmp_path / "mine.safetensors")


def test_an_average_made_by_pytorch_and_a_compiled_network(tmp_path, recwarn):
    state = trained().state_dict()
    averaged = torch.optim.swa_utils.AveragedModel(trained())
    torch.save(averaged.state_dict(), tmp_path / "swa.pt")
    assert same_state(load_model(Plain(), tmp_path / "swa.pt"), state)
    compiled = torch.compile(trained())
    torch.save(compiled.state_dict(), tmp_path / "compiled.pt")
    assert same_state(load_model(Plain(), tmp_path / "compiled.pt"), state)
    torch.save(state, tmp_path / "plain.pt")
    loaded = load_model(torch.compile(Plain()), tmp_path / "plain.pt")
    assert same_state(loaded, prefixed(state, "_orig_mod."))
    assert not recwarn


def test_a_networks_own_hooks_may_know_older_names(tmp_path):
    class Renamed(nn.Linear):
        def _load_from_state_dict(self, state, prefix, *arguments):
            if f"{prefix}w" in state:
                state[f"{prefix}weight"] = state.pop(f"{prefix}w")
            super()._load_from_state_dict(state, prefix, *arguments)

    torch.save({"w": torch.ones(2, 4), "bias": torch.ones(2)}, tmp_path / "mine.pt")
    assert load_model(Renamed(4, 2), tmp_path / "mine.pt").weight.eq(1).all()


@pytest.mark.parametrize("save", [torch.save, save_file])
@pytest.mark.parametrize(
    ("name", "classes"), [("squeezenet1_1", 1), ("squeezenet1_1", 10), ("resnet18", 10)]
)
def test_fine_tuned_network_of_other_classes(name, classes, save, tmp_path):
    state = fine_tuned(name, classes).state_dict()
    path = tmp_path / ("mine.safetensors" if save is save_file else "mine.pth")
    save(state, path)
    model = load_model(name, str(path))
    assert same_state(model, state)
    assert model(torch.zeros(1, 3, 64, 64)).shape == (1, classes)


# The smallest network of each family, whose last layers count the classes in many ways.
FAMILIES = [
    "alexnet",
    "convnext_tiny",
    "densenet121",
    "efficientnet_b0",
    "efficientnet_v2_s",
    "googlenet",
    "inception_v3",
    "maxvit_t",
    "mnasnet0_5",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "regnet_y_400mf",
    "resnet18",
    "resnext50_32x4d",
    "shufflenet_v2_x0_5",
    "squeezenet1_0",
    "swin_t",
    "swin_v2_t",
    "vgg11",
    "vgg11_bn",
    "vit_b_16",
    "wide_resnet50_2",
]


def test_every_family_of_torchvision_is_among_them():
    def family(name):
        return torchvision.models.get_model_builder(name).__module__

    assert {family(name) for name in FAMILIES} == {family(name) for name in list_models()}


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_a_fine_tuned_network_of_every_family_loads_by_name(name, tmp_path):
    state = thin_state(name, num_classes=37)
    state = {key: value.contiguous() for key, value in state.items()}
    torch.save({"model": prefixed(state, "module."), "epoch": 8}, tmp_path / "mine.pt")
    assert same_state(load_model(name, tmp_path / "mine.pt"), state)


def aux_heads(name, kind):
    """The state of GoogLeNet or Inception, fine-tuned in one of the usual ways."""
    state = thin_state(name, num_classes=37)
    heads = [key for key in state if key.lower().startswith("aux")]
    if kind == "none":
        state = {key: value for key, value in state.items() if key not in heads}
    elif kind == "of 1000 classes":
        state |= {key: value for key, value in thin_state(name).items() if key in heads}
    return {key: value.contiguous() for key, value in state.items()}


@pytest.mark.parametrize("kind", ["of 37 classes", "of 1000 classes", "none"])
@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_auxiliary_heads_may_be_there_or_not(name, kind, tmp_path):
    state = aux_heads(name, kind)
    torch.save(state, tmp_path / "mine.pt")
    loaded = load_model(name, tmp_path / "mine.pt").state_dict()
    assert all(torch.equal(loaded[key], state[key]) for key in loaded)
    assert {*state} - {*loaded} == {
        key for key in state if key.lower().startswith("aux") and kind == "of 1000 classes"
    }


def test_checkpoint_of_ones_own_module(tmp_path):
    trained, module = nn.Linear(4, 2), nn.Linear(4, 2)
    torch.save(trained.state_dict(), tmp_path / "mine.pt")
    before = {k: v.clone() for k, v in module.state_dict().items()}
    model = load_model(module, tmp_path / "mine.pt")
    assert same_state(model, trained.state_dict())
    assert not model.training
    assert same_state(module, before)
    assert module.training
    assert module.weight.requires_grad


def test_path_may_begin_at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    torch.save(nn.Linear(4, 2).state_dict(), tmp_path / "mine.pt")
    load_model(nn.Linear(4, 2), "~/mine.pt")


def test_checkpoint_saved_on_another_device_and_type(tmp_path):
    state = fine_tuned("squeezenet1_1", 5).half().state_dict()
    torch.save(state, tmp_path / "mine.pt")
    model = load_model("squeezenet1_1", tmp_path / "mine.pt")
    assert {p.dtype for p in model.parameters()} == {torch.float32}


class Malicious:
    """Unpickling it would leave a trace."""

    ran = False

    def __reduce__(self):
        return (_leave_a_trace, ())


def _leave_a_trace():
    Malicious.ran = True


def saved(thing, save=torch.save):
    file = io.BytesIO()
    save(thing, file)
    return file.getvalue()


STATE = {"weight": torch.ones(2, 4), "bias": torch.ones(2)}
OTHER = {"weight": torch.ones(2, 4), "offset": torch.ones(2)}
SHAPES = {"weight": torch.ones(3, 4), "bias": torch.ones(2)}
MANY = {f"layer{i}.weight": torch.ones(1) for i in range(9)}
INVALID = "^weights cannot be read: .*mine.pt is not a valid checkpoint"
MISSING = "^weights in mine.pt are missing: it holds "
UNFIT = "^weights in mine.pt do not fit Linear: "
FOREIGN = "^weights in mine.pt are of another network: "
UNUSABLE = "^weights in mine.pt cannot be used: "
HOLES = torch.tensor([1.0, float("nan")])


def bias(value):
    return saved({"model": {**STATE, "bias": value}})


BAD_CHECKPOINTS = {
    "truncated": (saved(STATE)[:-200], INVALID),
    "truncated early": (saved(STATE)[:40], INVALID),
    "empty": (b"", INVALID),
    "text": (b"these are no weights", INVALID),
    "pickle": (pickle.dumps({"weight": 1}, protocol=2), f"{INVALID}|{MISSING}"),
    "code": (
        saved({**STATE, "more": Malicious()}),
        rf"{INVALID}: it holds .*could run code",
    ),
    "code, old format": (
        saved(
            {"more": Malicious()},
            lambda thing, file: torch.save(
                thing, file, _use_new_zipfile_serialization=False
            ),
        ),
        INVALID,
    ),
    "pickled code": (pickle.dumps(Malicious(), protocol=2), INVALID),
    "a number of NumPy": (
        saved({"model": STATE, "best": np.float64(0.9)}),
        rf"{INVALID}: it holds numpy\.\S+, which could run code; where you trained it",
    ),
    "whole module": (
        saved(nn.Linear(4, 2)),
        rf"{INVALID}: it holds torch\S+Linear, .* torch.save\(model.state_dict\(\), ",
    ),
    "a name": (saved(OTHER), rf"{UNFIT}1 missing \(bias\); 1 unexpected \(offset\)$"),
    "a name, in a dict": (
        saved({"model": OTHER, "epoch": 1}),
        rf"{UNFIT}1 missing \(bias\)",
    ),
    "many names": (
        saved({**STATE, **MANY}),
        rf"{UNFIT}9 unexpected \(layer0.weight, .*, layer4.weight, …\)$",
    ),
    "shapes": (saved(SHAPES), rf"{UNFIT}weight has the shape \(3, 4\), expected \(2, 4\)$"),
    "other network": (
        saved({"model": MANY, "epoch": 3}),
        rf"{FOREIGN}2 missing \(weight, bias\); 9 unexpected \(layer0.weight, |{UNFIT}",
    ),
    "another network": (
        saved({"epoch": 3, "model": {"a": torch.ones(2)}}),
        rf"{FOREIGN}2 missing \(weight, bias\); 1 unexpected \(a\)$",
    ),
    "a tensor": (saved(torch.ones(2)), rf"{MISSING}a tensor of shape \(2,\); save a net"),
    "a list": (saved([torch.ones(2)]), rf"{MISSING}a list; save a network by torch.save"),
    "numbers": (saved({"epoch": 1.5, "optimizer": SGD}), f"{MISSING}the keys epoch, optim"),
    "numbered": (saved({0: torch.ones(2)}), f"{MISSING}the keys 0; save a network"),
    "no tensors": (saved({}), f"{MISSING}nothing; save a network by"),
    "NaN": (bias(HOLES), f"{UNUSABLE}bias holds NaN or infinite values$"),
    "infinite": (bias(1 / torch.zeros(2)), f"{UNUSABLE}bias holds NaN or infinite values$"),
    "too large for the network": (
        bias(torch.full((2,), 1e300, dtype=torch.float64)),
        f"{UNUSABLE}bias h",
    ),
    "whole numbers": (
        bias(torch.ones(2, dtype=torch.long)),
        f"{UNUSABLE}bias is of the type",
    ),
    "complex": (
        bias(torch.ones(2, dtype=torch.complex64)),
        f"{UNUSABLE}bias is of the type torch.complex64, expected torch.float32$",
    ),
    "sparse": (bias(torch.ones(2).to_sparse()), f"{UNUSABLE}bias is sparse$"),
    "quantised": (
        bias(torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)),
        f"{UNUSABLE}bias is quantised$",
    ),
    "no numbers": (bias(torch.ones(2, device="meta")), f"{UNUSABLE}bias has no numbers"),
}


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("kind", BAD_CHECKPOINTS)
def test_bad_checkpoint_is_refused_and_nothing_is_changed(kind, suffix, tmp_path):
    content, words = BAD_CHECKPOINTS[kind]
    words = words if suffix == ".pt" else INVALID.replace("pt", "safetensors")
    path, module = tmp_path / f"mine{suffix}", nn.Linear(4, 2)
    path.write_bytes(content)
    before = {k: v.clone() for k, v in module.state_dict().items()}
    with pytest.raises(ValueError, match=words):
        load_model(module, path)
    assert same_state(module, before)
    assert not Malicious.ran


class Masked(nn.Linear):
    """A network with a mask that is infinite, as those of transformers are."""

    def __init__(self):
        super().__init__(4, 2)
        self.register_buffer("mask", torch.tensor([0, -torch.inf]))
        self.register_buffer("allowed", torch.tensor([True, False]))
        self.register_buffer("index", torch.tensor([3, 4]))


def test_masks_may_be_infinite_and_whole_numbers_stay_what_they_are(tmp_path):
    state = Masked().state_dict()
    torch.save(state, tmp_path / "mine.pt")
    assert same_state(load_model(Masked(), tmp_path / "mine.pt"), state)
    torch.save({**state, "mask": HOLES * 0}, tmp_path / "mine.pt")
    assert load_model(Masked(), tmp_path / "mine.pt").mask[1].isnan()  # no number before
    torch.save({**state, "mask": HOLES.flip(0)}, tmp_path / "mine.pt")
    with pytest.raises(ValueError, match=f"{UNUSABLE}mask holds NaN"):
        load_model(Masked(), tmp_path / "mine.pt")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("own", [torch.float32, torch.bfloat16])
def test_the_network_keeps_its_own_type_of_numbers(dtype, own, tmp_path):
    state = trained().to(dtype).state_dict()
    torch.save(state, tmp_path / "mine.pt")
    loaded = load_model(Plain().to(own), tmp_path / "mine.pt")
    assert {p.dtype for p in loaded.parameters()} == {own}
    assert torch.equal(loaded[0].weight, state["0.weight"].to(own))
    assert loaded[1].num_batches_tracked.dtype == torch.int64


CLAIMS = """
import sys
from course_utils import load_model
load_model("resnet18", "random")
before = memory()
try:
    load_model("resnet18", sys.argv[1])
except ValueError as error:
    print(int(memory() - before), error)
"""
ENDLESS = torch.ones(1)
CLAIMED = {
    "a long bias": {"fc.bias": torch.ones(10**7)},
    "a long bias, repeated": {"fc.bias": ENDLESS.expand(10**9)},
    "a long layer, repeated": {
        "fc.bias": torch.ones(10**6),
        "fc.weight": ENDLESS.expand(10**6, 512),
    },
    "more than can be counted": {"fc.bias": ENDLESS.expand(2**62)},
}


@pytest.mark.slow
@measured
@pytest.mark.parametrize("claim", CLAIMED)
def test_a_head_that_claims_too_much_costs_no_memory(claim, tmp_path):
    torch.save(thin_state("resnet18") | CLAIMED[claim], tmp_path / "mine.pt")
    command = [sys.executable, "-c", PEAK + CLAIMS, tmp_path / "mine.pt"]
    done = subprocess.run(command, capture_output=True, cwd=ROOT, check=True, text=True)
    peak, _, words = done.stdout.partition(" ")
    assert words.startswith("weights in mine.pt do not fit ResNet: fc.")
    assert int(peak) < 150


def test_checkpoint_of_another_network_of_torchvision(tmp_path):
    torch.save(load_model().state_dict(), tmp_path / "squeezenet.pt")
    with pytest.raises(
        ValueError, match="^weights in squeezenet.pt (do not|are of another)"
    ):
        load_model("resnet18", tmp_path / "squeezenet.pt")


def test_truncated_safetensors(tmp_path):
    path = tmp_path / "mine.safetensors"
    path.write_bytes(models.BUNDLED["squeezenet1_1"].read_bytes()[:100_000])
    with pytest.raises(ValueError, match="^weights .*mine.safetensors is not a valid"):
        load_model("squeezenet1_1", path)


# -- torchvision's weights -------------------------------------------------------------


def weights_file(name, folder):
    """Where torchvision's weights of `name` would be cached."""
    url = torchvision.models.get_model_weights(name)["IMAGENET1K_V1"].url
    folder.mkdir(parents=True, exist_ok=True)
    return folder / url.rsplit("/", 1)[-1]


def thin_state(name, **options):
    """Weights that take no room: each tensor one number, another for each, spread out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # how GoogLeNet would begin, if it were trained
        with torch.device("cpu" if "regnet" in name else "meta"):
            state = torchvision.models.get_model(name, weights=None, **options).state_dict()
    return {
        key: torch.tensor(number % 251).to(value.dtype).expand(value.shape)
        for number, (key, value) in enumerate(state.items(), start=1)
    }


@pytest.fixture
def any_hash(monkeypatch):
    """Files of our own stand in for those of torchvision."""
    monkeypatch.setattr(checkpoints, "check_hash", lambda *arguments: None)


@pytest.mark.parametrize("name", ["alexnet", "vgg19"])
def test_torchvisions_weights_come_from_the_cache(name, cached, offline, any_hash):
    state = thin_state(name)
    torch.save(state, weights_file(name, cached))
    model = load_model(name)
    assert same_state(model, state)
    assert not model.training
    assert not any(p.requires_grad for p in model.parameters())


def test_densenets_old_names_of_weights_are_understood(cached, offline, any_hash):
    state = load_model("densenet121", "random").state_dict()
    old = {
        re.sub(r"\.(norm|conv)([12])\.", r".\1.\2.", key): value
        for key, value in state.items()
        if not key.endswith("num_batches_tracked")  # came later, too
    }
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    torch.save(old, weights_file("densenet121", cached))
    assert same_state(load_model("densenet121"), state)


def test_weights_of_torchvision_stand_in_for_the_bundled_ones_on_request(
    cached, offline, any_hash
):
    state = load_model("squeezenet1_1", "random").state_dict()
    torch.save(state, weights_file("squeezenet1_1", cached))
    assert same_state(load_model("squeezenet1_1", "torchvision"), state)


def test_without_a_network_one_sentence_says_where_to_put_the_file(cached, offline):
    file = weights_file("alexnet", cached)
    with pytest.raises(ConnectionError) as error:
        load_model("alexnet")
    message = str(error.value)
    assert message.startswith(f"{file.name} is not cached")
    assert "the network is cut off" in message
    assert f"download https://download.pytorch.org/models/{file.name}" in message
    assert message.endswith(f"save it as {file}")
    assert not list(cached.iterdir())


class Answer(io.BytesIO):
    """What a server sends; with `breaks`, the connection is lost before its end."""

    def __init__(self, content, breaks=None):
        super().__init__(content)
        self.breaks, self.length, self.headers = breaks, len(content), {}

    def info(self):
        return self

    def get_all(self, name):
        return [str(self.length)] if name == "Content-Length" else None

    def read(self, size=-1):
        data = super().read(min(size, 1000))
        if not data and self.breaks:
            raise self.breaks
        return data


BREAKS = {
    "lost": (
        ConnectionResetError("lost"),
        ConnectionError,
        "could not be downloaded .*lost",
    ),
    "cut short": (None, ConnectionError, "could not be downloaded .*hash"),
    "interrupted": (KeyboardInterrupt(), KeyboardInterrupt, None),
}


@pytest.mark.parametrize("how", BREAKS)
def test_download_that_fails_leaves_no_file(how, cached, monkeypatch, capsys):
    breaks, kind, message = BREAKS[how]
    monkeypatch.setattr(torch.hub, "urlopen", lambda *a, **k: Answer(b"x" * 5000, breaks))
    with pytest.raises(kind, match=message):
        load_model("squeezenet1_0")
    assert not list(cached.iterdir())
    assert (
        "Downloading squeezenet1_0-b66bff10.pth (5 MB), once, to" in capsys.readouterr().err
    )


def test_download_that_succeeds_is_stored(cached, monkeypatch, capsys):
    content = b"weights " * 999
    digest = hashlib.sha256(content).hexdigest()[:8]
    monkeypatch.setattr(torch.hub, "urlopen", lambda *a, **k: Answer(content))
    file = cached / f"net-{digest}.pth"
    models._download(f"https://localhost/net-{digest}.pth", file, megabytes=0.4)
    assert file.read_bytes() == content
    assert list(cached.iterdir()) == [file]


def test_cache_that_cannot_be_made_is_a_connection_that_cannot_be_used(
    cached, offline, tmp_path
):
    (tmp_path / "hub").write_text("a file where a folder should be")
    with pytest.raises(ConnectionError, match="save it as"):
        load_model("alexnet")


@pytest.mark.parametrize(
    "content", [b"", b"half a file", saved({"a": Malicious()}), saved(OTHER)]
)
def test_bad_file_in_the_cache_is_refused(content, cached, offline):
    file = weights_file("squeezenet1_0", cached)
    file.write_bytes(content)
    words = f"^weights cannot be used: .*{file.name} is damaged; delete it and try again$"
    with pytest.raises(ValueError, match=words):
        load_model("squeezenet1_0")
    assert not Malicious.ran


def test_code_in_the_cache_is_refused_even_where_the_hash_fits(cached, offline, any_hash):
    weights_file("squeezenet1_0", cached).write_bytes(saved({"a": Malicious()}))
    with pytest.raises(ValueError, match="^weights cannot be read: .*could run code"):
        load_model("squeezenet1_0")
    assert not Malicious.ran


def test_a_flipped_bit_of_the_bundled_file_is_found(tmp_path, monkeypatch):
    whole = models.BUNDLED["squeezenet1_1"]
    copy = tmp_path / whole.name
    (tmp_path / "squeezenet1_1.json").write_bytes(whole.with_suffix(".json").read_bytes())
    monkeypatch.setattr(models, "BUNDLED", {"squeezenet1_1": copy})
    data = bytearray(whole.read_bytes())
    for change in (0, 1, 0):
        data[-9] ^= change
        copy.write_bytes(data)
        if data[-9] == whole.read_bytes()[-9]:
            load_model()
            continue
        words = "^weights cannot be used: .* is damaged; get this file of the repository ag"
        with pytest.raises(ValueError, match=words):
            load_model()


def test_a_file_is_hashed_once_as_long_as_it_stays_the_same(tmp_path, monkeypatch):
    path, calls = tmp_path / "a.pth", []
    path.write_bytes(b"a")
    digest = hashlib.sha256(b"a").hexdigest()
    real = checkpoints.file_digest
    monkeypatch.setattr(checkpoints, "file_digest", lambda *a: calls.append(a) or real(*a))
    for _ in range(3):
        checkpoints.check_hash(path, digest[:8], "")
    assert len(calls) == 1
    path.write_bytes(b"ab")
    with pytest.raises(ValueError, match="is damaged"):
        checkpoints.check_hash(path, digest[:8], "")


def test_network_whose_weights_torchvision_does_not_have():
    with pytest.raises(ValueError, match="^weights must be given: .*no IMAGENET1K_V1"):
        load_model("vit_h_14")


# -- names -----------------------------------------------------------------------------


def test_every_classifier_of_torchvision_is_known():
    assert {"alexnet", "vgg19", "resnet50", "vit_b_16", "squeezenet1_1"} <= set(
        list_models()
    )
    assert "fcn_resnet50" not in list_models()  # segments, does not classify


@pytest.mark.parametrize(
    ("name", "near"),
    [("squeezenet", "squeezenet1_1"), ("ResNet-18", "resnet18"), ("vgg-19", "vgg19")],
)
def test_unknown_network_names_near_ones(name, near):
    with pytest.raises(
        ValueError, match=f"^name must be a .*classifier, got '{name}'; .*{near}"
    ):
        load_model(name)


def test_class_names():
    assert len(class_names()) == len(set(class_names())) == 1000
    assert class_name(207) == "golden retriever"
    assert class_name(torch.tensor(1)) == "goldfish"
    assert class_name(1, ["cat", "dog"]) == "dog"


def test_find_classes():
    bears = find_classes("bear")
    assert (296, "ice bear") in bears
    assert bears == sorted(bears)
    assert all("bear" in name for _, name in bears)
    assert find_classes("  GOLDEN   retriever ") == [(207, "golden retriever")]
    assert find_classes("golden_retriever") == [(207, "golden retriever")]
    assert find_classes("dog", ["cat", "hot_dog", "Dog"]) == [(1, "hot_dog"), (2, "Dog")]
    assert find_classes("hot dog", ["cat", "hot_dog"]) == [(1, "hot_dog")]


@pytest.mark.parametrize(
    ("word", "first", "last"),
    [
        ("cat", [282, 283, 284, 285, 383, 484], [143, 358]),
        ("car", [475, 479, 565, 705, 817, 264], [383]),
        ("panda", [387, 388], []),
        ("cats", [282, 283, 284, 285, 383], []),
        ("tiger", [3, 282, 292, 300], []),
    ],
)
def test_whole_words_come_before_beginnings_and_these_before_the_rest(word, first, last):
    found = [index for index, _ in find_classes(word)]
    assert found[: len(first)] == first
    assert set(last) <= set(found[len(first) :])


def test_inside_each_group_the_classes_keep_their_order():
    names = ["bobcat", "cattle", "wild cat", "polecat", "catfish", "cat", "lynx, catamount"]
    assert [index for index, _ in find_classes("cat", names)] == [2, 5, 1, 4, 6, 0, 3]
    assert find_classes("cat", ["polecat", "wildcat, big cat"]) == [
        (1, "wildcat, big cat"),
        (0, "polecat"),
    ]


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("german shepherd", "German shepherd"),
        ("German Shepherds", "German shepherd"),
        ("GERMAN-SHEPHERD", "German shepherd"),
        ("ladys slipper", "yellow lady's slipper"),
        ("lady slipper", "yellow lady's slipper"),
        ("lady’s slippers", "yellow lady's slipper"),
        ("shih tzu", "Shih-Tzu"),
        ("go kart", "go-kart"),
        ("gokarts", "go-kart"),
        ("ping pong ball", "ping-pong ball"),
        ("jack o lantern", "jack-o'-lantern"),
        ("jack o’ lantern", "jack-o'-lantern"),
        ("strawberries", "strawberry"),
        ("lynxes", "lynx"),
        ("school buses", "school bus"),
        ("hot dogs", "hotdog"),
    ],
)
def test_a_learners_spelling_finds_the_class(word, name):
    assert name in [found for _, found in find_classes(word)]


@pytest.mark.parametrize("word", ["t-shirt", "T shirt", "t_shirts", "tshirt", "tee shirt"])
def test_synonyms_and_signs_between_words(word):
    names = ["sweatshirt", "jersey, T-shirt, tee shirt", "café"]
    assert find_classes(word, names)[0] == (1, names[1])
    assert find_classes("cafe", names) == find_classes("CAFÉS", names) == [(2, "café")]


@pytest.mark.parametrize(
    ("word", "near"),
    [("retreiver", "retriever"), ("goldfsh", "goldfish"), ("Pandda", "panda")],
)
def test_unknown_class_names_near_ones(word, near):
    with pytest.raises(
        ValueError, match=f"^word must be part of .*, got '{word.lower()}'; near: .*{near}"
    ):
        find_classes(word)


@pytest.mark.parametrize("word", ["", "  ", "xqzwv"])
def test_word_near_to_nothing(word):
    with pytest.raises(
        ValueError, match=f"^word must be part of a class name, got '{word.strip()}'$"
    ):
        find_classes(word)


# -- layers ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("alexnet", {"conv1": "features.0", "conv5": "features.10", "fc3": "classifier.6"}),
        ("vgg19", {"conv1": "features.0", "conv16": "features.34", "fc1": "classifier.0"}),
        ("resnet18", {"conv1": "conv1", "conv2": "layer1.0.conv1", "fc1": "fc"}),
        (
            "squeezenet1_1",
            {"conv1": "features.0", "fire2": "features.3", "fire9": "features.12"},
        ),
    ],
)
def test_friendly_names_of_layers(name, layers):
    with torch.device("meta"):
        model = torchvision.models.get_model(name, weights=None)
    for friendly, path in layers.items():
        assert layer_path(model, friendly) == path
        assert layer_path(model, path) == path


def test_friendly_names_count_the_layers():
    with torch.device("meta"):
        model = torchvision.models.alexnet()
    layers = ["conv1", "conv2", "conv3", "conv4", "conv5", "fc1", "fc2", "fc3"]
    assert list(friendly_layers(model)) == layers


def test_unknown_layer_names_near_ones():
    with pytest.raises(
        ValueError, match="^layer must be a layer of SqueezeNet, got 'fire1'; near: fire9"
    ):
        layer_path(load_model(), "fire1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("fc", "7"), "channel must be a whole number, got '7'"),
        (("fc", 1.5), "channel must be a whole number, got 1.5"),
        (("fc", True), "channel must be a whole number, got True"),
        (("fc", 1, 3), r"position must be 2 whole numbers \(row, column\), got 3"),
        (("fc", 1, (3,)), r"position must be .* \(row, column\), got \(3,\)"),
        (("fc", 1, (0.5, 1)), r"position must be .* \(row, column\), got \(0.5, 1\)"),
    ],
)
def test_unit_of_no_kind(arguments, message):
    with pytest.raises(TypeError, match=f"^{message}$"):
        Unit(*arguments)


def test_numbers_of_numpy_count_and_truth_values_do_not():
    assert Unit("fc", np.int64(4)).channel == 4
    assert Unit("fc", 0, np.array([1, 2])).channel == 0
    assert class_name(np.int64(207)) == class_name(torch.tensor([207])) == class_name(207)
    for wrong in (True, torch.tensor(True), torch.tensor(1.0), torch.tensor([1, 2])):
        with pytest.raises(ValueError, match="^index must be a whole number between 0 and"):
            class_name(wrong)
