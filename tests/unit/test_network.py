"""A network is run on a copy of its images, by one thread at a time, and left as it was."""

import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import toys
from torch import nn

from course_utils import (
    Unit,
    grad_cam,
    guided_backprop,
    input_gradient,
    load_model,
    occlusion,
    smooth_grad,
    summarize,
    vanilla_saliency,
    visualize_class,
)
from course_utils._machinery.network import explaining, run
from course_utils.targets import predict, probabilities

QUICK = {"steps": 2, "size": 8, "robust": False, "jitter": 0}
METHODS = {
    "vanilla": lambda m, x: vanilla_saliency(m, x, 1),
    "guided": lambda m, x: guided_backprop(m, x, 1),
    "a unit": lambda m, x: input_gradient(m, x, Unit("relu", 2)),
    "grad_cam": lambda m, x: grad_cam(m, x, 1),
    "occlusion": lambda m, x: occlusion(m, x[:1], 1, 4, 4).drops,
    "visualize_class": lambda m, x: visualize_class(m, 1, **QUICK).pixels,
    "summarize": lambda m, x: summarize(m, 8),
    "predict": lambda m, x: predict(m, x).scores,
}


# -- interrupts --------------------------------------------------------------------------


class Interrupts:
    """Raises a KeyboardInterrupt before the line number `at` of the package."""

    def __init__(self, at):
        self.at, self.lines = at, 0

    def __call__(self, frame, event, argument):
        if "course_utils" not in frame.f_code.co_filename:
            return None
        if event == "line":
            self.lines += 1
            if self.lines == self.at:
                raise KeyboardInterrupt
        return self


def interrupted(method, model, images, at):
    """Run it until that line; True if it came to its end before."""
    before, tracer = sys.gettrace(), Interrupts(at)
    sys.settrace(tracer)
    try:
        method(model, images)
    except KeyboardInterrupt:
        return False
    finally:
        sys.settrace(before)
    return True


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", METHODS)
def test_an_interrupt_before_any_line_leaves_nothing_behind(name):
    model, images = toys.Busy().train(), toys.batch(2)
    model.inputs = load_model().inputs
    before, at = toys.state(model, images), 1
    while not interrupted(METHODS[name], model, images, at):
        assert toys.state(model, images) == before, f"line number {at}"
        at += 1
    assert at > 20


def test_interrupts_that_come_one_after_the_other():
    class Stubborn(nn.Linear):
        @property
        def training(self):
            return self.flag

        @training.setter
        def training(self, flag):
            self.flag = flag
            if flag and vars(self).get("restoring"):
                raise KeyboardInterrupt

    with torch.random.fork_rng():
        model = nn.Sequential(Stubborn(3, 3), nn.ReLU(), Stubborn(3, 3))
    with pytest.raises(KeyboardInterrupt), explaining(model):
        model[0].restoring = model[2].restoring = True
    assert [module.training for module in model.modules()] == [True] * 4
    assert all(p.requires_grad for p in model.parameters())


# -- threads -----------------------------------------------------------------------------


def test_threads_on_one_network_in_training_mode():
    model, images = toys.Busy().train(), toys.batch(2)
    names = [name for name in METHODS if name not in ("visualize_class", "summarize")]
    before = toys.state(model, images)
    right = {name: METHODS[name](model, images) for name in names}
    generators = before.pop("generators"), toys.state(model, images).pop("generators")
    assert generators[0] == generators[1]

    def ask(count):
        name = names[count % len(names)]
        return name, METHODS[name](model, images)

    with ThreadPoolExecutor(4) as threads:
        for name, found in threads.map(ask, range(60)):
            assert torch.allclose(found, right[name], atol=1e-6), name
    after = toys.state(model, images)
    after.pop("generators")
    assert after == before


def test_the_same_thread_may_enter_again_and_others_wait():
    model, images, order = toys.Busy(), toys.batch(1), []
    inside, leave = threading.Event(), threading.Event()

    def hold():
        with explaining(model):
            vanilla_saliency(model, images, 1)  # from within
            inside.set()
            leave.wait(10)
            order.append("held")

    def wait():
        vanilla_saliency(model, images, 1)
        order.append("waited")

    first, second = threading.Thread(target=hold), threading.Thread(target=wait)
    first.start()
    assert inside.wait(10)
    second.start()
    leave.set()
    first.join(10)
    second.join(10)
    assert order == ["held", "waited"]


def test_a_network_and_its_wrapper_do_not_disturb_each_other():
    model, images = toys.Busy().train(), toys.batch(2)
    networks = [model, nn.Sequential(model), nn.DataParallel(model)]
    right, before = vanilla_saliency(model, images, 1), toys.state(model)["flags"]
    with ThreadPoolExecutor(4) as threads:
        for found in threads.map(
            lambda n: vanilla_saliency(networks[n % 3], images, 1), range(30)
        ):
            assert torch.allclose(found, right, atol=1e-6)
    assert toys.state(model)["flags"] == before


def test_a_pass_within_a_guided_pass_goes_by_its_own_rule():
    model, images, seen = toys.Written(nn.ReLU()), toys.batch(1), []

    def target(outputs):
        seen.append(input_gradient(model, images, 1))
        return outputs[:, 1]

    outer = guided_backprop(model, images, target)
    assert torch.equal(seen[0], input_gradient(model, images, 1))
    assert torch.equal(outer, guided_backprop(model, images, 1))
    assert not torch.equal(outer, seen[0])


# -- the process -------------------------------------------------------------------------


@pytest.mark.parametrize("name", METHODS)
def test_autocast_of_the_caller_changes_no_map(name):
    model, images = (
        nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Flatten()),
        toys.batch(2),
    )
    model, images = toys.Busy().eval(), toys.batch(2)
    model.inputs = load_model().inputs
    right = METHODS[name](model, images)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = METHODS[name](model, images)
        assert torch.is_autocast_enabled("cpu")
    same = torch.equal(found, right) if isinstance(right, torch.Tensor) else found == right
    assert same


def test_incremental_occlusion_under_autocast():
    model = load_model("squeezenet1_1", "random")
    image = toys.batch(1, 64)
    right = occlusion(model, image, 3, 16, 16).drops
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(occlusion(model, image, 3, 16, 16).drops, right)


def test_a_compiled_network_stays_compiled():
    compiles = []

    def backend(graph, examples):
        compiles.append(graph)
        return graph.forward

    model, images = torch.compile(toys.Written(nn.ReLU()), backend=backend), toys.batch(1)
    for method in (vanilla_saliency, guided_backprop, grad_cam, vanilla_saliency):
        method(model, images, 1)
    assert not compiles
    model(images)
    assert len(compiles) == 1


def test_what_a_network_returns_is_returned_and_its_error_is_one_sentence():
    outputs = object()
    assert run(toys.Constant(outputs), toys.batch(1)) is outputs
    for error, words in {
        KeyError("mask"): "KeyError: 'mask'",
        ValueError("odd size\nmore"): "ValueError: odd size",
        ZeroDivisionError(): "ZeroDivisionError",
        RuntimeError("no"): "no",
    }.items():
        with pytest.raises(RuntimeError) as caught:
            run(toys.Busy(error), toys.batch(1))
        sentence = f"images of shape (1, 3, 8, 8) do not go through Busy ({words})"
        assert str(caught.value) == sentence
    with pytest.raises(KeyboardInterrupt):
        run(toys.Busy(KeyboardInterrupt()), toys.batch(1))


# -- what networks say -------------------------------------------------------------------

LOGITS = torch.tensor([[1.0, -2.0, 0.5], [0.0, 0.0, 0.0]])


@pytest.mark.parametrize(
    ("outputs", "right"),
    [
        (LOGITS, LOGITS.softmax(1)),
        (LOGITS.softmax(1), LOGITS.softmax(1)),
        (LOGITS.log_softmax(1), LOGITS.softmax(1)),
        (LOGITS[:, :1], LOGITS[:, :1].sigmoid()),
        (LOGITS.half().softmax(1), LOGITS.half().softmax(1)),
        (LOGITS.bfloat16().softmax(1), LOGITS.bfloat16().softmax(1)),
        (torch.tensor([[0.5, 0.6]]), torch.tensor([[0.5, 0.6]]).softmax(1)),
        (torch.tensor([[1.5, -0.5]]), torch.tensor([[1.5, -0.5]]).softmax(1)),
    ],
)
def test_probabilities(outputs, right):
    assert torch.allclose(probabilities(outputs), right)
    one_by_one = torch.cat([probabilities(row[None]) for row in outputs])
    assert torch.equal(probabilities(outputs), one_by_one)


def ended(last, classes=1):
    """A network that ends so, as its answers show."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        body = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        return nn.Sequential(*body, nn.Linear(4, classes), *last).eval()


def test_one_number_between_0_and_1_is_a_logit_unless_a_sigmoid_made_it():
    images = toys.batch(3)
    plain, sigmoid = ended([]), ended([nn.Sigmoid()])
    with torch.no_grad():
        right = plain(images).sigmoid()
    assert torch.allclose(predict(plain, images).shares, right)
    assert torch.allclose(predict(sigmoid, images).shares, right)
    drops = [
        occlusion(model, images[:1], 0, 4, score="probability").drops
        for model in (plain, sigmoid)
    ]
    assert torch.allclose(*drops, atol=1e-6)
    assert drops[0].any()


def test_sigmoids_of_many_classes_stay():
    model, images = ended([nn.Sigmoid()], 4), toys.batch(2)
    answer = predict(model, images)
    assert torch.equal(answer.shares, answer.outputs)


class Then(nn.Module):
    """A function as the last layer."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: torch.cat([x[:, :2].sigmoid(), x[:, 2:].sigmoid()], 1),
        lambda x: torch.stack([x[:, 0].sigmoid(), x[:, 1].sigmoid()], 1),
        lambda x: x.sigmoid().clamp(0.01, 0.99),
        lambda x: (x.sigmoid() + (2 * x).sigmoid()) / 2,
        lambda x: 1 - x.sigmoid(),
        lambda x: x.softmax(1)[:, 1:],
        lambda x: x.sigmoid()[:, [0, 2]],
        lambda x: x.sigmoid().t().contiguous().t(),
        nn.functional.hardsigmoid,
    ],
)
def test_probabilities_that_were_put_together_stay(function):
    model, images = ended([Then(function)], 4), toys.batch(2)
    answer = predict(model, images)
    assert torch.equal(answer.shares, answer.outputs)


def test_a_gate_makes_no_probabilities():
    model, images = ended([Then(lambda x: x.sigmoid() * x.abs() / 9)], 4), toys.batch(2)
    answer = predict(model, images)
    assert torch.allclose(answer.shares, answer.outputs.softmax(1))


def test_without_a_graph_what_is_taken_is_said():
    model, images = ended([Then(lambda x: x.sigmoid().detach())], 4), toys.batch(2)
    with pytest.warns(UserWarning, match="from 0 to 1, taken for probabilities"):
        answer = predict(model, images)
    assert torch.equal(answer.shares, answer.outputs)


@pytest.mark.parametrize("last", [nn.Softmax(1), nn.LogSoftmax(1), nn.Identity()])
def test_probabilities_are_the_same_however_a_network_ends(last):
    images = toys.batch(2)
    with torch.no_grad():
        right = ended([], 5)(images).softmax(1)
    assert torch.allclose(predict(ended([last], 5), images).shares, right, atol=1e-6)


# -- batches -----------------------------------------------------------------------------


def test_batch_norm_without_statistics_gets_its_images_one_by_one():
    norm = nn.BatchNorm2d(4, track_running_stats=False)
    with torch.random.fork_rng():
        model = (
            nn.Sequential(nn.Conv2d(3, 4, 3), norm, nn.ReLU(), nn.Conv2d(4, 5, 3))
            .append(nn.Flatten())
            .eval()
        )
    images = toys.batch(3)
    for method in (vanilla_saliency, grad_cam, smooth_grad):
        each = torch.cat([method(model, image[None], 1) for image in images])
        assert torch.allclose(method(model, images, 1), each, atol=1e-6)
    with pytest.warns(UserWarning, match="mixes the 3 images; give them one by one"):
        vanilla_saliency(model, images, lambda outputs: outputs[:, 1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        vanilla_saliency(model, images[:1], lambda outputs: outputs[:, 1])


def test_weights_that_are_not_numbers_are_said():
    model = toys.Busy().eval()
    model.fc.weight.data[1] = torch.nan
    with pytest.warns(UserWarning, match="Busy gives scores that are not finite"):
        grad_cam(model, toys.batch(1), 1)
    with pytest.warns(UserWarning, match="Busy gives scores that are not finite"):
        visualize_class(model, 1, **QUICK, inputs=load_model().inputs)
    with pytest.raises(
        ValueError, match="^score must be finite; the whole image scores nan"
    ):
        occlusion(model, toys.batch(1), 1, 4)


# -- networks with habits of their own -----------------------------------------------------


class OwnMode(nn.Module):
    """Drops out by a flag that its own `train` sets."""

    def __init__(self):
        super().__init__()
        self.conv, self.fc, self.random = nn.Conv2d(3, 8, 3), nn.Linear(8, 4), True

    def train(self, mode=True):
        self.random = mode
        return super().train(mode)

    def forward(self, x):
        x = torch.relu(self.conv(x)).mean((2, 3))
        return self.fc(nn.functional.dropout(x, 0.5, self.random))


def test_a_mode_of_its_own_is_set_and_restored():
    model, images = OwnMode().train(), toys.batch(2)
    model.conv.eval()
    first, second = (vanilla_saliency(model, images, 1) for _ in range(2))
    assert torch.equal(first, second)
    assert model.random and model.training and not model.conv.training
    assert torch.equal(vanilla_saliency(model.eval(), images, 1), first)


def test_buffers_that_a_pass_changes_get_their_values_back():
    class Counts(nn.BatchNorm2d):
        def forward(self, x):
            return nn.functional.batch_norm(
                x, self.running_mean, self.running_var, training=True
            )

    with torch.random.fork_rng():
        model = nn.Sequential(nn.Conv2d(3, 4, 3), Counts(4), nn.Flatten())
    before = toys.state(model)["buffers"]
    vanilla_saliency(model, toys.batch(2), 1)
    assert toys.state(model)["buffers"] == before


def test_lazy_networks_are_named():
    model = nn.Sequential(nn.LazyConv2d(4, 3), nn.Flatten(), nn.LazyLinear(3))
    for method in (vanilla_saliency, grad_cam, lambda m, x: summarize(m, 8)):
        with pytest.raises(
            ValueError, match="^model must have weights; Sequential is lazy"
        ):
            method(model, toys.batch(1))


def test_types_may_be_mixed():
    class Tempered(toys.Busy):
        def __init__(self):
            super().__init__()
            self.first = nn.Parameter(torch.ones((), dtype=torch.float64))

    assert vanilla_saliency(Tempered().eval(), toys.batch(1), 1).any()


@pytest.mark.parametrize("layer", [None, "0"])
def test_a_batch_that_is_joined_inside_has_no_map(layer):
    class Joined(nn.Sequential):
        def forward(self, x):
            both = super().forward(torch.cat([x, x.flip(3)]))
            return both.unflatten(0, (2, -1)).mean(0)

    head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    model = Joined(nn.Conv2d(3, 4, 3), nn.ReLU(), *head)
    with pytest.raises(ValueError, match="^layer must give a map"):
        grad_cam(model, toys.batch(2), 1, layer)
    assert vanilla_saliency(model, toys.batch(2), 1).any()


def test_occlusion_knows_of_hooks_on_all_modules():
    model, image = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten()), toys.batch(1)
    hook = nn.modules.module.register_module_forward_hook(lambda m, i, out: 2 * out)
    try:
        quick, whole = (
            occlusion(model, image, 1, 4, incremental=i).drops for i in (True, False)
        )
    finally:
        hook.remove()
    assert torch.allclose(quick, whole)
