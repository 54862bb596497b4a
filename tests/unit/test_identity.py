"""What a function or a network is known by: the same again, and told apart from others."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from course_utils import METHODS, input_gradient, smooth_grad, vanilla_saliency
from course_utils.methods import QUICK
from course_utils.your_own.identity import function_name, function_record, network_record


def closed_over(value):
    return lambda model, images, targets: images * value


def plain(model, images, targets):
    return images[:, 0]


def other(model, images, targets):
    return images[:, 1]


other.__name__ = "plain"
FACTOR = 2


def of_a_global(model, images, targets):
    return images * FACTOR


class Scaled:
    def __init__(self, factor):
        self.factor = factor

    def __call__(self, model, images, targets):
        return images * self.factor

    def method(self, model, images, targets):
        return images * self.factor


def ordered(keys={"a", "b", "c"}):  # noqa: B006 - a set, whose order differs
    return lambda model, images, targets: images if "a" in {"a", "b", "c"} else keys


DIFFERENT = {
    "code": (plain, other),
    "a number": (closed_over(2), closed_over(3)),
    "a text": (closed_over("a"), closed_over("b")),
    "a tensor": (closed_over(torch.ones(2)), closed_over(torch.zeros(2))),
    "an array": (closed_over(np.ones(2)), closed_over(np.ones(3))),
    "a tuple": (closed_over((1, 2)), closed_over((1, 3))),
    "a function": (closed_over(plain), closed_over(other)),
    "a network": (closed_over(nn.ReLU()), closed_over(nn.GELU())),
    "a keyword": (partial(plain, targets=1), partial(plain, targets=2)),
    "a list as keyword": (partial(plain, targets=[1]), partial(plain, targets=[2])),
    "an object": (Scaled(2), Scaled(3)),
    "a bound method": (Scaled(2).method, Scaled(3).method),
    "a setting": (partial(smooth_grad, samples=2), partial(smooth_grad, samples=3)),
    "a default": (smooth_grad, partial(smooth_grad, noise=0.15)),
    "a method within": (smooth_grad, partial(smooth_grad, method=vanilla_saliency)),
    "quick": (METHODS["smooth_grad"], QUICK["smooth_grad"]),
    "methods": (METHODS["edges"], METHODS["centre"]),
}


@pytest.mark.parametrize("what", DIFFERENT)
def test_other_functions_are_told_apart(what):
    one, two = DIFFERENT[what]
    assert function_record(one) != function_record(two)
    assert function_record(one) == function_record(one)


@pytest.mark.parametrize(
    "make",
    [
        lambda: closed_over(2),
        lambda: closed_over(torch.ones(2)),
        lambda: partial(plain, targets=[1]),
        lambda: Scaled(2),
        lambda: Scaled(2).method,
        lambda: partial(smooth_grad, samples=2),
        ordered,
    ],
)
def test_the_same_function_made_again_is_known(make):
    assert function_record(make()) == function_record(make())


def test_a_global_number_counts(monkeypatch):
    before = function_record(of_a_global)
    monkeypatch.setitem(globals(), "FACTOR", 3)
    assert function_record(of_a_global) != before


def test_what_may_change_while_it_runs_does_not_count():
    calls = []
    record = function_record(closed_over(calls))
    calls.append(1)
    assert function_record(closed_over(calls)) == record


def test_functions_that_call_each_other_come_to_an_end():
    def one(model, images, targets):
        return two(model, images, targets)

    def two(model, images, targets):
        return one(model, images, targets)

    assert function_record(one) == function_record(one)


def test_settings_of_the_course_s_methods_are_in_the_name():
    assert function_record(METHODS["vanilla_saliency"]) == {"words": "vanilla_saliency"}
    name = "(method=input_gradient(rule='vanilla'), samples=25, noise=0.05, seed=0)"
    assert function_name(METHODS["smooth_grad"]) == f"smooth_grad{name}"
    assert function_name(smooth_grad) == f"smooth_grad{name}"
    assert function_name(partial(input_gradient, rule="guided")).endswith("(rule='guided')")
    assert function_name(lambda outputs: outputs) == "<lambda>"


class Own(nn.Module):
    def forward(self, x):
        return x


class Changed(nn.Module):
    def forward(self, x):
        return 2 * x


Changed.__qualname__ = Changed.__name__ = "Own"


@pytest.mark.parametrize(
    ("one", "two", "key"),
    [
        (nn.Sequential(nn.ReLU()), nn.Sequential(nn.GELU()), "layers"),
        (nn.Sequential(nn.MaxPool2d(2)), nn.Sequential(nn.MaxPool2d(3)), "layers"),
        (nn.Linear(2, 1).double(), nn.Linear(2, 1), "weights"),
        (Own(), Changed(), "code"),
    ],
)
def test_networks_are_told_apart(one, two, key):
    assert network_record(one) == network_record(one)
    assert network_record(one)[key] != network_record(two)[key]


class Edited(nn.Module):
    """Its `forward` leaves the work to a method of its own."""

    def __init__(self, power=1):
        super().__init__()
        self.power = power

    def body(self, x):
        return x.relu() ** self.power

    def forward(self, x):
        return self.body(x)


def cubed(self, x):
    return x.relu() ** 3


def test_a_method_or_an_attribute_that_was_changed_makes_another_network():
    body, edited = Edited(), type("Edited", (Edited,), {"body": cubed})()
    records = [network_record(model) for model in (body, edited, Edited(3), Edited())]
    assert records[0] == records[3]
    assert records[0] != records[1]
    assert records[0] != records[2]
    layers = [
        nn.TransformerEncoderLayer(8, 2, norm_first=first, activation=activation)
        for first in (False, True)
        for activation in ("relu", "gelu")
    ]
    for layer in layers[1:]:
        layer.load_state_dict(layers[0].state_dict())
    assert len({str(network_record(layer)) for layer in layers}) == 4
