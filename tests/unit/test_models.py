"""Networks: bundled, torchvision's, random, the learner's own; classes and layers."""

import hashlib
import io
import pickle
import re
import socket

import numpy as np
import pytest
import torch
import torchvision
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


WRAPPED = {
    "plain": lambda state: state,
    "state_dict": lambda state: {"state_dict": state, "epoch": 3},
    "model_state_dict": lambda state: {"model_state_dict": state, "loss": 0.1},
    "DataParallel": lambda state: {f"module.{k}": v for k, v in state.items()},
    "both": lambda state: {"state_dict": {f"module.{k}": v for k, v in state.items()}},
}


@pytest.mark.parametrize("wrapped", WRAPPED)
def test_checkpoint_round_trip(wrapped, tmp_path):
    state = fine_tuned("squeezenet1_1", 1000).state_dict()
    torch.save(WRAPPED[wrapped](state), tmp_path / "mine.pt")
    assert same_state(load_model("squeezenet1_1", tmp_path / "mine.pt"), state)


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


@pytest.mark.parametrize("aux_logits", [True, False])
def test_googlenet_with_and_without_its_auxiliary_heads(aux_logits, tmp_path):
    model = torchvision.models.googlenet(
        weights=None, init_weights=False, aux_logits=aux_logits
    )
    torch.save(model.state_dict(), tmp_path / "mine.pt")
    assert same_state(load_model("googlenet", tmp_path / "mine.pt"), model.state_dict())


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
BAD_CHECKPOINTS = {
    "truncated": (saved(STATE)[:-200], "not a valid checkpoint"),
    "truncated early": (saved(STATE)[:40], "not a valid checkpoint"),
    "empty": (b"", "not a valid checkpoint"),
    "text": (b"these are no weights", "not a valid checkpoint"),
    "pickle": (
        pickle.dumps({"weight": 1}, protocol=2),
        "not a valid checkpoint|no state dict",
    ),
    "code": (saved({**STATE, "more": Malicious()}), "not a valid checkpoint"),
    "code, old format": (
        saved(
            {"more": Malicious()},
            lambda thing, file: torch.save(
                thing, file, _use_new_zipfile_serialization=False
            ),
        ),
        "not a valid checkpoint",
    ),
    "pickled code": (pickle.dumps(Malicious(), protocol=2), "not a valid checkpoint"),
    "whole module": (
        saved(nn.Linear(4, 2)),
        r"save one by torch.save\(model.state_dict\(\), ",
    ),
    "other network": (saved(OTHER), r"do not fit Linear; .*\['bias', 'offset'\]"),
    "other shapes": (saved(SHAPES), "do not fit Linear; they differ in their shapes"),
    "a tensor": (saved(torch.ones(2)), "no state dict"),
    "numbers": (saved({"weight": 1.5, "bias": 2}), "no state dict"),
    "numbered": (saved({0: torch.ones(2)}), "no state dict"),
    "no tensors": (saved({}), "do not fit Linear"),
}


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("kind", BAD_CHECKPOINTS)
def test_bad_checkpoint_is_refused_and_nothing_is_changed(kind, suffix, tmp_path):
    content, reason = BAD_CHECKPOINTS[kind]
    reason = reason if suffix == ".pt" else "not a valid checkpoint"
    path, module = tmp_path / f"mine{suffix}", nn.Linear(4, 2)
    path.write_bytes(content)
    before = {k: v.clone() for k, v in module.state_dict().items()}
    with pytest.raises(ValueError, match=f"^weights .*mine{suffix} .*({reason})"):
        load_model(module, path)
    assert same_state(module, before)
    assert not Malicious.ran


def test_checkpoint_of_another_network_of_torchvision(tmp_path):
    torch.save(load_model().state_dict(), tmp_path / "squeezenet.pt")
    with pytest.raises(ValueError, match="^weights in squeezenet.pt do not fit ResNet"):
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


def thin_state(name):
    """Weights that take no room: each tensor one number, another for each, spread out."""
    with torch.device("meta"):
        state = torchvision.models.get_model(name, weights=None).state_dict()
    return {
        key: torch.tensor(number % 251).to(value.dtype).expand(value.shape)
        for number, (key, value) in enumerate(state.items(), start=1)
    }


@pytest.mark.parametrize("name", ["alexnet", "vgg19"])
def test_torchvisions_weights_come_from_the_cache(name, cached, offline):
    state = thin_state(name)
    torch.save(state, weights_file(name, cached))
    model = load_model(name)
    assert same_state(model, state)
    assert not model.training
    assert not any(p.requires_grad for p in model.parameters())


def test_densenets_old_names_of_weights_are_understood(cached, offline):
    state = load_model("densenet121", "random").state_dict()
    old = {
        re.sub(r"\.(norm|conv)([12])\.", r".\1.\2.", key): value
        for key, value in state.items()
        if not key.endswith("num_batches_tracked")  # came later, too
    }
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    torch.save(old, weights_file("densenet121", cached))
    assert same_state(load_model("densenet121"), state)


def test_weights_of_torchvision_stand_in_for_the_bundled_ones_on_request(cached, offline):
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
    with pytest.raises(ValueError, match=f"^weights in .*{file.name} are damaged .*delete"):
        load_model("squeezenet1_0")
    assert not Malicious.ran


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
