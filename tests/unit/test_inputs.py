"""What a network is fed with: said once, found again, and by every door."""

import json
import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from course_utils import (
    deprocess,
    load_model,
    occlusion,
    preprocess,
    summarize,
    visualize_class,
)
from course_utils.images import fit_box, fit_image, prepare
from course_utils.inputs import IMAGENET_MEAN, Inputs, inputs_for, own_inputs

GREY = Inputs(size=(6, 14), mean=[0.58], std=[0.07], names=["ok", "scratch"])


class Surface(nn.Module):
    """One channel, two classes."""

    def __init__(self, channels=1):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(5)
            self.conv, self.fc = nn.Conv2d(channels, 4, 3), nn.Linear(4, 2)

    def forward(self, x):
        return self.fc(torch.relu(self.conv(x)).mean((2, 3)))


def test_plain_values_whatever_was_given():
    inputs = Inputs(
        np.int64(64), np.array([0.5, 0.4, 0.3]), torch.ones(3), names=["a", "b"]
    )
    assert inputs == Inputs(64, (0.5, 0.4, 0.3), (1.0, 1.0, 1.0), names=("a", "b"))
    assert inputs.sides == (64, 64)
    assert inputs.channels == 3
    assert hash(inputs)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"size": 0}, "size must be a whole number of at least 1, got 0"),
        ({"size": (60,)}, r"size must be 2 whole numbers .*\(height, width\), got \(60,\)"),
        ({"size": "60"}, "size must be a whole number"),
        ({"mean": 0.5}, "mean must be one number per channel, got 0.5"),
        ({"mean": []}, "mean must be one number per channel"),
        ({"mean": [0.5]}, r"std must be 1 number above 0 \(one per channel"),
        ({"std": (1, 0, 1)}, "std must be 3 numbers above 0"),
        ({"mean": (0, float("nan"), 0)}, "mean must be 3 numbers"),
        ({"fit": "pad"}, "fit must be one of crop, stretch, got 'pad'"),
        ({"names": "cat"}, "names must be the classes' names, one text each"),
        ({"names": ["cat", 3]}, "names must be"),
        ({"names": []}, "names must be"),
    ],
)
def test_what_does_not_fit_is_named(wrong, words):
    with pytest.raises(ValueError, match=f"^{words}"):
        Inputs(**wrong)


def test_names_are_never_invented():
    assert Inputs().name(3) == "class 3"
    assert GREY.name(1) == "scratch"
    for wrong in (2, -1, 0.5):
        with pytest.raises(
            ValueError, match="^index must be a whole number between 0 and 1"
        ):
            GREY.name(wrong)


# -- beside a checkpoint -----------------------------------------------------------------


def test_saved_beside_a_checkpoint_they_come_back_with_the_network(tmp_path):
    path = tmp_path / "my_net.pt"
    torch.save(Surface().state_dict(), path)
    assert own_inputs(load_model(Surface(), path)) is None
    assert GREY.save(path) == tmp_path / "my_net.inputs.json"
    assert Inputs.load(path) == Inputs.load(tmp_path / "my_net.inputs.json") == GREY
    assert load_model(Surface(), path).inputs == GREY


def test_a_named_network_has_imagenets_and_names_only_for_a_thousand_classes(tmp_path):
    assert load_model().inputs.name(207) == "golden retriever"
    path = tmp_path / "pets.pt"
    torch.save(load_model("squeezenet1_1", "random").state_dict(), path)
    assert load_model("squeezenet1_1", path).inputs.name(0) == "tench"
    from torchvision.models import squeezenet1_1

    torch.save(squeezenet1_1(num_classes=37).state_dict(), path)
    pets = load_model("squeezenet1_1", path)
    assert pets.inputs == Inputs()
    assert pets.inputs.name(3) == "class 3"


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", "null", '{"size": 0}', '{"sizes": 3}', "not JSON", '{"mean": [1]}'],
)
def test_a_file_that_holds_something_else_is_refused(tmp_path, text):
    (tmp_path / "net.inputs.json").write_text(text)
    with pytest.raises(
        ValueError, match=r"^path must hold the inputs of a network \(size, mean"
    ):
        Inputs.load(tmp_path / "net.pt")
    with pytest.raises(FileNotFoundError, match="there is no file .*other.inputs.json"):
        Inputs.load(tmp_path / "other.pt")


def test_the_file_can_be_read_and_written_by_hand(tmp_path):
    record = json.loads(GREY.save(tmp_path / "net.json").read_text())
    assert record == {
        "size": [6, 14],
        "mean": [0.58],
        "std": [0.07],
        "fit": "crop",
        "names": ["ok", "scratch"],
    }


# -- which inputs a network has ----------------------------------------------------------


def test_what_is_assumed_is_said_once_for_each_network():
    model = Surface(3)
    with pytest.warns(
        UserWarning, match="^Surface does not say .*assumed: size 224, ImageNet's mean"
    ):
        assert inputs_for(model) == Inputs()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert inputs_for(model) == Inputs()
        assert inputs_for(Surface(), GREY) == GREY
        assert inputs_for(load_model(), size=64).sides == (64, 64)
        inputs_for(Surface(), size=8, mean=[0], std=[1])  # nothing is assumed
    other = Surface(3)
    with pytest.warns(UserWarning, match="assumed: ImageNet's mean, ImageNet's std. Pass"):
        inputs_for(other, size=64)


def test_the_networks_own_are_found_also_through_wrappers():
    model = Surface()
    model.inputs = GREY
    for wrapped in (model, nn.DataParallel(model), torch.compile(model, backend="eager")):
        assert inputs_for(wrapped) == GREY
    assert inputs_for(model, size=9).mean == (0.58,)
    model.inputs = "its own affair"
    assert own_inputs(model) is None


def test_what_are_no_inputs_is_refused():
    with pytest.raises(ValueError, match="^inputs must be an Inputs, got 224"):
        inputs_for(load_model(), 224)
    with pytest.raises(ValueError, match="^model must be a torch.nn.Module, got 'net'"):
        inputs_for("net")


# -- pictures ----------------------------------------------------------------------------


@pytest.mark.parametrize("fit", ["crop", "stretch"])
@pytest.mark.parametrize("picture", [(30, 20), (20, 30), (140, 60), (7, 90)])
def test_any_height_and_width(picture, fit):
    image = Image.effect_noise(picture, 90).convert("RGB")
    assert fit_image(image, (6, 14), fit).size == (14, 6)
    assert preprocess(image, (6, 14), fit=fit).shape == (1, 3, 6, 14)
    x0, y0, x1, y1 = fit_box((0, 0, *picture), picture, (6, 14), fit)
    assert (x0, y0) == (0, 0)
    assert x1 == pytest.approx(14, abs=0.5)
    assert y1 == pytest.approx(6, abs=0.5)


def test_a_crop_keeps_the_middle_of_what_is_too_long():
    wide = np.zeros((10, 40, 3), np.uint8)
    wide[:, 15:25] = 255
    assert (np.asarray(fit_image(Image.fromarray(wide), (10, 10))) == 255).all()
    assert (
        np.asarray(fit_image(Image.fromarray(wide.transpose(1, 0, 2)), (10, 10))) == 255
    ).all()
    assert np.asarray(fit_image(Image.fromarray(wide), (20, 40)))[0, 0].tolist() == [
        0,
        0,
        0,
    ]


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 11])
def test_as_many_channels_as_there_are_means_and_back(channels):
    values = np.random.default_rng(0).integers(0, 256, (2, 5, 7, channels), np.uint8)
    source = values if channels != 1 else [v[..., 0] for v in values]
    inputs = Inputs((5, 7), [0.1 * k for k in range(channels)], [0.5] * channels)
    batch = preprocess(source if channels != 4 else list(values), inputs=inputs)
    mean = torch.tensor(inputs.mean).view(1, -1, 1, 1)
    right = (torch.from_numpy(values).permute(0, 3, 1, 2) / 255 - mean) / 0.5
    assert torch.allclose(batch, right, atol=1e-6)
    back = np.stack([np.asarray(p) for p in deprocess(batch, inputs=inputs)])
    grey = values.mean(-1, keepdims=True).repeat(3, -1)
    assert np.abs(back.astype(float) - (values if channels == 3 else grey)).max() <= 0.51


def test_pictures_become_grey_and_too_few_channels_are_named():
    picture = Image.new("RGB", (9, 9), (200, 100, 50))
    assert preprocess(picture, 4, [0], [1]).shape == (1, 1, 4, 4)
    assert preprocess(picture, 4, [0], [1]).mean() * 255 == pytest.approx(124, abs=1)
    with pytest.raises(
        ValueError, match=r"^images must be an array \(H, W, 11\), as mean has 11"
    ):
        preprocess(picture, 4, [0] * 11, [1] * 11)
    with pytest.raises(
        ValueError, match=r"^images must be a tensor of shape \(3, H, W\) .*per"
    ):
        deprocess(torch.zeros(1, 1, 4, 4))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_prepared_in_the_type_of_the_weights(dtype):
    batch = prepare(Surface().to(dtype), Image.new("RGB", (20, 20)), GREY)
    assert batch.dtype == dtype
    assert batch.shape == (1, 1, 6, 14)


# -- other doors -------------------------------------------------------------------------


def test_a_summary_takes_the_networks_own_image():
    model = Surface()
    assert summarize(model, 28).layers[0].shape == (4, 26, 26)  # as its convolution says
    model.inputs = GREY
    assert summarize(model).layers[0].shape == (4, 4, 12)
    assert summarize(model, inputs=Inputs(9, [0], [1])).layers[0].shape == (4, 7, 7)
    assert summarize(model.bfloat16(), (5, 8)).layers[0].shape == (4, 3, 6)


@pytest.mark.parametrize("parametrization", ["fourier", "pixel"])
def test_a_visualization_has_the_networks_own_shape(parametrization):
    model = Surface()
    model.inputs = Inputs((12, 21), [0.58], [0.07])
    found = visualize_class(model, 1, steps=3, parametrization=parametrization)
    assert found.pixels.shape == (1, 1, 12, 21)
    assert found.image.size == (21, 12)
    assert found.settings["size"] == (12, 21)
    low, high = (0 - 0.58) / 0.07, (1 - 0.58) / 0.07
    assert found.pixels.min() >= low - 1e-4
    assert found.pixels.max() <= high + 1e-4
    assert len(set(found.history)) == 3
    other = visualize_class(model, 1, steps=1, inputs=Inputs(16, [0.5], [0.5]))
    assert other.pixels.shape == (1, 1, 16, 16)


def test_a_colour_is_normalised_as_the_networks_pictures_are():
    model = Surface()
    with (
        pytest.raises(
            ValueError, match="^fill must not be a colour for images of 1 channels"
        ),
        pytest.warns(UserWarning, match="ImageNet's mean and std are assumed for the fill"),
    ):
        occlusion(model, torch.zeros(1, 1, 8, 8), 1, 4, fill="black")
    model.inputs = Inputs(8, [0.58], [0.07])
    for colour, level in {"black": 0, "white": 1, (255, 0, 0): 76 / 255}.items():
        filler = occlusion(model, torch.zeros(1, 1, 8, 8), 1, 4, fill=colour).filler
        assert filler.unique().item() == pytest.approx((level - 0.58) / 0.07, abs=1e-4)
    model = Surface(3)
    model.inputs = Inputs(8, [0.5] * 3, [0.25] * 3)
    filler = occlusion(model, torch.zeros(1, 3, 8, 8), 1, 4, fill="black").filler
    assert filler.unique().tolist() == [-2.0]
    assert own_inputs(load_model()).mean == IMAGENET_MEAN
