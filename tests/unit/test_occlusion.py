"""Occlusion: one window at a time is the truth; the quick way must give the same."""

import itertools
import math
import random
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
import toys
from memory import PEAK, measured
from torch import nn
from torchvision.models.squeezenet import Fire

import course_utils
from course_utils import OcclusionMap, Unit, load_model, occlusion
from course_utils._machinery.incremental import Incremental, layers_of, split
from course_utils.occlusion import blocks, window_starts

TOLERANCE = 1e-5  # of the largest score


def one_at_a_time(model, image, found, score):
    """The scores, each with a clone of the picture of its own."""
    rows = []
    for top in found.tops:
        row = []
        for left in found.lefts:
            picture = image.clone()
            place = (
                ...,
                slice(top, top + found.window[0]),
                slice(left, left + found.window[1]),
            )
            picture[place] = found.filler[place]
            with torch.no_grad():
                row.append(score(model(picture)))
        rows.append(torch.stack(row))
    return torch.stack(rows)


def agrees(model, image, target=0, reading=None, **settings):
    found = occlusion(model, image, target, **settings)
    right = one_at_a_time(model, image, found, reading or (lambda out: out[0, target]))
    scale = max(right.abs().max().item(), abs(found.score))
    assert (found.scores - right).abs().max() <= TOLERANCE * scale
    return found


def picture(height, width=None, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, 3, height, width or height, generator=generator)


def random_chain(seed):
    """A small Sequential of random layers: odd kernels, strides, paddings, ceil mode."""
    pick = random.Random(seed)
    channels, layers = 3, []
    for _ in range(pick.randint(2, 4)):
        kernel = (pick.randint(1, 4), pick.randint(1, 4))
        stride = tuple(pick.randint(1, min(k, 2)) for k in kernel)
        padding = tuple(pick.randint(0, k // 2) for k in kernel)
        kind = pick.choice(("conv", "conv", "pool", "fire", "norm", "relu", "dilated"))
        if kind == "conv":
            out = pick.randint(2, 6)
            layers.append(nn.Conv2d(channels, out, kernel, stride, padding))
            channels = out
        elif kind == "dilated":
            layers.append(nn.Conv2d(channels, channels, 2, 1, 1, 2, groups=channels))
        elif kind == "pool":
            ceil = pick.random() < 0.5
            layers.append(nn.MaxPool2d(kernel, stride, padding, ceil_mode=ceil))
        elif kind == "fire":
            layers.append(Fire(channels, 2, 3, 2))
            channels = 5
        elif kind == "norm":
            layers.append(nn.BatchNorm2d(channels))
        else:
            layers.append(nn.ReLU(inplace=True))
    head = [nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * channels, 4)]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for layer in (*layers, *head):
            for module in layer.modules():
                if isinstance(module, nn.Conv2d | nn.Linear):
                    module.reset_parameters()
    return nn.Sequential(nn.Sequential(*layers), *head).eval(), pick


NETWORKS = {
    "squeezenet1_1": 64,
    "squeezenet1_0": 64,
    "alexnet": 67,
    "vgg11": 40,
    "resnet18": 40,
}
INCREMENTAL = {"squeezenet1_1", "squeezenet1_0", "alexnet", "vgg11"}


@pytest.fixture(scope="module", params=NETWORKS)
def network(request):
    return request.param, load_model(request.param, "random")


# -- the same numbers as one window at a time ------------------------------------------


IN_PLACE = [nn.ELU, nn.ReLU, nn.ReLU6, nn.Hardtanh, nn.LeakyReLU, nn.SiLU, nn.Dropout]
SEEDS = [pytest.param(n, marks=[pytest.mark.slow] if n > 60 else []) for n in range(300)]


@pytest.mark.parametrize("seed", SEEDS)
def test_random_networks_windows_strides_and_sizes(seed):
    model, pick = random_chain(seed)
    if seed % 2:  # every other network begins by changing its image in place
        model = nn.Sequential(pick.choice(IN_PLACE)(inplace=True), *model).eval()
    size = pick.randint(32, 41), pick.randint(32, 41)
    window = tuple(pick.choice((1, 2, 3, 5, 8, n - 1, n)) for n in size)
    stride = pick.randint(4, 12), pick.randint(4, 12)
    fill = pick.choice(("mean", "blur", "black", (200, 10, 99), picture(*size, seed=9)[0]))
    agrees(model, picture(*size, seed), window=window, stride=stride, fill=fill)


def test_networks_of_torchvision(network):
    name, model = network
    assert (layers_of(model) is not None) == (name in INCREMENTAL)
    side = NETWORKS[name]
    for window, stride, fill in ((9, 16, "mean"), ((20, 7), (13, 29), "blur")):
        agrees(model, picture(side, side + 5), 7, window=window, stride=stride, fill=fill)


@pytest.mark.parametrize("window", [1, 32, 100, 224])
@pytest.mark.parametrize("fill", ["mean", "blur", "white"])
def test_the_bundled_network(window, fill):
    image = course_utils.preprocess(course_utils.load_samples(1).images)
    agrees(load_model(), image, 258, window=window, stride=110, fill=fill)


def test_every_score():
    model, image = load_model("squeezenet1_1", "random"), picture(64)
    label = torch.tensor([3])
    readings = {
        "probability": lambda out: out.softmax(1)[0, 5],
        "loss": lambda out: -F.cross_entropy(out, label),
    }
    for name, reading in readings.items():
        score = name
        if name == "loss":

            def score(out):
                return -F.cross_entropy(out, label.expand(len(out)), reduction="none")

        agrees(model, image, 5, reading, window=20, stride=22, score=score)
    one = occlusion(model, image, lambda out: out[:, 5], 20, 22)
    assert torch.allclose(one.scores, occlusion(model, image, 5, 20, 22).scores, atol=1e-6)


def test_hidden_units_go_through_the_whole_network():
    model, image = load_model("squeezenet1_1", "random"), picture(64)
    unit = Unit("fire2", 3)
    found = occlusion(model, image, unit, 24, 20)
    hidden = found.hidden(1, 2)
    right = course_utils.target_scores(model, hidden, unit)[0]
    assert found.scores[1, 2].item() == pytest.approx(right.item(), rel=1e-4)
    assert found.target is None


def test_a_regression_output_and_its_single_class():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(1))
    image = picture(16)
    model(image)
    agrees(model, image, 0, window=5, stride=4)
    assert occlusion(model, image, window=5).target == 0


def test_the_class_it_changes_to():
    model, image = (
        load_model(),
        course_utils.preprocess(course_utils.load_samples(1).images),
    )
    found = occlusion(model, image, window=80, stride=72, top_classes=True)
    for row, column in itertools.product(range(len(found.tops)), range(len(found.lefts))):
        top = model(found.hidden(row, column)).argmax().item()
        assert found.top_classes[row, column] == top
    plain = occlusion(model, image, window=80, stride=72)
    assert plain.top_classes is None
    assert torch.allclose(plain.scores, found.scores, atol=1e-4)


def test_captum_agrees():
    captum = pytest.importorskip("captum.attr")
    model, image = load_model("squeezenet1_1", "random"), picture(64)
    found = occlusion(model, image, 7, window=16, stride=8)
    with torch.no_grad():
        right = captum.Occlusion(model).attribute(
            image, (3, 16, 16), (3, 8, 8), target=7, perturbations_per_eval=8
        )
    # Captum's windows are these where they fill the side; it averages as we do.
    assert toys.relative_error(found.heatmap, right[0, 0]) < 1e-4


# -- windows and the map ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "window", "stride", "starts"),
    [
        (10, 4, 4, (0, 4, 6)),
        (10, 4, 3, (0, 3, 6)),
        (10, 10, 3, (0,)),
        (10, 9, 5, (0, 1)),
        (10, 1, 9, (0, 9)),
        (10, 2, 5, (0, 5, 8)),
        (224, 32, 8, tuple(range(0, 193, 8))),
    ],
)
def test_windows_reach_the_border_and_stay_whole(size, window, stride, starts):
    assert window_starts(size, window, stride) == starts


@pytest.mark.parametrize(("window", "stride"), [(4, 3), ((5, 2), (2, 2)), (3, 3), (7, 7)])
def test_a_pixel_is_the_mean_over_the_windows_that_cover_it(window, stride):
    model, image = random_chain(1)[0], picture(23, 26)
    found = occlusion(model, image, 0, window, stride)
    total, count = torch.zeros(23, 26), torch.zeros(23, 26)
    for row, column in itertools.product(range(len(found.tops)), range(len(found.lefts))):
        total[found.place(row, column)] += found.drops[row, column]
        count[found.place(row, column)] += 1
    assert count.min() >= 1
    assert torch.allclose(found.heatmap, total / count, atol=1e-6)


def test_a_linear_score_by_hand():
    weight = torch.zeros(1, 3, 4, 4)
    weight[0, :, 1, 2] = 2.0
    found = occlusion(toys.Linear(weight), torch.ones(1, 3, 4, 4), 0, window=2, stride=2)
    assert found.drops.tolist() == [[0, 6], [0, 0]]
    assert found.heatmap.tolist() == [[0, 0, 6, 6]] * 2 + [[0, 0, 0, 0]] * 2


def test_pixels_that_no_window_covers_are_not_a_number():
    found = occlusion(random_chain(1)[0], picture(20), 0, window=2, stride=9)
    assert found.heatmap.isnan().sum() == 400 - 36
    assert not found.drops.isnan().any()


def test_fillers():
    model, image = random_chain(1)[0], picture(20)
    by_name = occlusion(model, image, 0, 8, fill="#ff0000")
    assert torch.equal(
        by_name.filler, occlusion(model, image, 0, 8, fill=(255, 0, 0)).filler
    )
    red = (1 - course_utils.IMAGENET_MEAN[0]) / course_utils.IMAGENET_STD[0]
    assert by_name.filler[0, 0, 0, 0].item() == pytest.approx(red, rel=1e-6)
    assert occlusion(model, image, 0, 8).filler.abs().max() == 0
    blurred = occlusion(model, image, 0, 8, fill="blur").filler
    assert blurred.std() < 0.5 * image.std()
    flat = torch.full((1, 3, 20, 20), 2.5)
    assert torch.allclose(occlusion(model, flat, 0, 8, fill="blur").filler, flat)


@pytest.mark.parametrize("count", [1, 2, 8, 25, 1000])
def test_blocks_hold_every_window_once(count):
    seen = [tuple(place) for block in blocks(7, 11, count) for place in block.tolist()]
    assert len(set(seen)) == len(seen) == 77
    assert all(len(block) <= count for block in blocks(7, 11, count))


# -- patches ---------------------------------------------------------------------------


def test_a_patch_holds_all_that_changes_and_not_much_more():
    model, image = (
        load_model(),
        course_utils.preprocess(course_utils.load_samples(1).images),
    )
    network = Incremental(model, image)
    hidden = image.clone()
    hidden[..., 96:128, 40:72] = 0
    changed = Incremental(model, hidden)
    for place, clean, other in zip(
        network.patches(96, 40, 32, 32), network.maps, changed.maps, strict=True
    ):
        name, size, (top, left, bottom, right) = place
        differs = (clean != other).any(dim=2)
        assert tuple(differs.shape) == size
        inside = differs[top:bottom, left:right].float().mean()
        differs[top:bottom, left:right] = False
        assert not differs.any(), name
        assert inside > 0.5, name


def test_it_saves_multiply_adds():
    from torch.utils.flop_counter import FlopCounterMode

    model, image = load_model(), picture(224)
    counts = []
    for incremental in (True, False):
        with FlopCounterMode(display=False) as counter:
            occlusion(model, image, 7, stride=48, incremental=incremental)
        counts.append(counter.get_total_flops())
    assert counts[1] > 2.5 * counts[0]


def test_what_cannot_be_taken_apart_is_left_whole():
    chain, _ = random_chain(3)
    assert layers_of(chain) is not None
    handle = chain[0].register_forward_hook(lambda *a: None)
    assert layers_of(chain) is None
    handle.remove()
    assert layers_of(load_model("resnet18", "random")) is None
    skipping = nn.Sequential(nn.Conv2d(3, 2, 1, stride=2), nn.Flatten())
    assert split(layers_of(skipping))[0] == []
    agrees(skipping, picture(12), 3, window=3, stride=2)
    with pytest.raises(TypeError, match="model must be SqueezeNet"):
        Incremental(load_model("resnet18", "random"), picture(40))


def test_hooks_are_called():
    chain, _ = random_chain(3)
    chain[-1].register_forward_hook(lambda module, inputs, out: 2 * out)
    agrees(chain, picture(24), 1, window=5, stride=5)


MEMORY = """
from course_utils import load_model, load_samples, occlusion, preprocess
model, image = load_model(), preprocess(load_samples(1).images)
model(image)
before = memory()
assert occlusion(model, image, incremental={incremental}).drops.numel() == 625
print(memory() - before)
"""


@measured
def test_memory_stays_bounded():
    command = [sys.executable, "-c", PEAK + MEMORY.format(incremental=True)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert float(ran.stdout) < 1000  # megabytes


# -- progress, and the model afterwards ------------------------------------------------


@pytest.mark.parametrize("incremental", [True, False])
def test_a_stop_keeps_the_part_done(incremental):
    model, image = load_model("squeezenet1_1", "random"), picture(64)
    settings = {"window": 16, "stride": 4, "incremental": incremental}
    seen = []

    def progress(done, total, so_far):
        seen.append((done, total, so_far))
        return done < 70

    found = occlusion(model, image, 7, progress=progress, **settings)
    whole = occlusion(model, image, 7, **settings)
    assert found.stopped
    assert not whole.stopped
    known = ~found.drops.isnan()
    assert known.sum() == seen[-1][0] < seen[-1][1] == found.drops.numel() == 169
    assert torch.equal(found.scores[known], whole.scores[known])
    assert found.heatmap.isnan().any()
    counts = [int((~so_far.drops.isnan()).sum()) for _, _, so_far in seen]
    assert counts == [done for done, _, _ in seen]


def test_a_map_of_all_windows_was_not_stopped():
    found = occlusion(
        random_chain(1)[0], picture(20), 0, 8, progress=lambda n, total, _: n < total
    )
    assert not found.stopped


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
@pytest.mark.parametrize("incremental", [True, False])
def test_the_model_is_left_as_it_was(error, incremental):
    model, image = random_chain(5)[0].train(), picture(24)
    model.requires_grad_(True)
    before = toys.state(model, image)
    occlusion(model, image, 0, 6, progress=lambda *a: False, incremental=incremental)
    assert toys.state(model, image) == before

    def interrupt(*arguments):
        raise error

    with pytest.raises(error):
        occlusion(model, image, 0, 6, progress=interrupt, incremental=incremental)
    assert toys.state(model, image) == before
    with pytest.raises(ValueError, match="must be classes between"):
        occlusion(model, image, 99, 6)
    assert toys.state(model, image) == before


def test_progress_may_take_gradients():
    def progress(*arguments):
        x = torch.ones(1, requires_grad=True)
        (2 * x).backward()

    occlusion(random_chain(1)[0], picture(20), 0, 8, progress=progress)


def test_the_result_does_not_hang_on_the_callers_tensors():
    model, image = random_chain(1)[0], picture(20)
    found = occlusion(model, image, 0, 8)
    before = found.image.clone()
    image.zero_()
    assert torch.equal(found.image, before)
    assert isinstance(found, OcclusionMap)


# -- bad input -------------------------------------------------------------------------

TOY = random_chain(1)[0]
IMAGE = picture(20)
MISTAKES = [
    ({"window": 0}, "window must be a whole number of at least 1"),
    ({"window": 2.5}, "window must be a whole number"),
    ({"window": True}, "window must be a whole number"),
    ({"window": (1, 2, 3)}, "window must be a number of pixels or two"),
    ({"window": 21}, "window must be at most the image's 20, got 21"),
    ({"stride": -1}, "stride must be a whole number of at least 1"),
    ({"fill": "colourless"}, 'fill must be "mean", "blur", a colour'),
    ({"fill": (0.5, 0.5, 0.5)}, "fill must be"),
    ({"fill": (0, 0, 256)}, "fill must be"),
    ({"fill": torch.zeros(2)}, r"fill must be a tensor of shape \(3,\)"),
    ({"fill": torch.full((3,), math.nan)}, "fill must not hold NaN"),
    ({"score": "loss"}, 'score must be "logit", "probability" or a function'),
    ({"score": lambda out: out.sum()}, "score must return one score per image"),
    (
        {"score": lambda out: out[:, 0] / 0 * 0},
        "score must be finite",
    ),
    ({"target": Unit("0", 0), "score": "probability"}, 'score must be "logit" where'),
    ({"target": 99}, "target must be classes between 0 and .*, got 99"),
    ({"target": [1, 2]}, "target must be one class for each of 1 images"),
    ({"target": "cat"}, "target must be None"),
    ({"image": torch.zeros(2, 3, 20, 20)}, "image must be one image"),
    ({"image": torch.zeros(3, 20, 20)}, "image must be a tensor of shape"),
    ({"image": IMAGE / 0}, "image must not hold NaN"),
    ({"model": print}, "model must be a torch.nn.Module"),
]


@pytest.mark.parametrize(("change", "sentence"), MISTAKES, ids=lambda v: str(v)[:30])
def test_bad_input_is_refused_in_one_sentence(change, sentence):
    arguments = {"model": TOY, "image": IMAGE, "window": 8} | change
    with pytest.raises((TypeError, ValueError), match=sentence):
        occlusion(**arguments)


def test_the_function_goes_before_its_module():
    import course_utils.occlusion  # noqa: F401, PLC0415 - binds the module's name

    assert callable(course_utils.occlusion)
