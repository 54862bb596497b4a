"""Learners' errors: each gets the sentence that helps, and the learner's own line."""

import functools

import numpy as np
import pytest
import torch
from torch import nn

from course_utils import vanilla_saliency
from course_utils.checks.base import WRONG, Wrong, call, exercise
from course_utils.checks.hints import notebook_variables

network = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
x = torch.ones(2, 3, 2, 2)


def leaf():
    return x.clone().requires_grad_()


def twice():
    total = network(leaf()).sum()
    total.backward()
    total.backward()


def in_place():
    pixels = leaf()
    pixels += 1


def in_place_on_the_way():
    pixels = leaf()
    between = pixels.exp()
    total = between.sum()
    between.mul_(2)
    total.backward()


def without_a_leaf():
    pixels = leaf()[:1]
    network(pixels).sum().backward()
    return pixels.grad[0]


def grad():
    pixels = leaf()
    return torch.autograd.grad(network(pixels).sum(), pixels)


def view():
    return x.mT.view(-1)


ERRORS = {
    "The graph is cut": lambda: network(leaf()).argmax().float().backward(),
    "uses the graph up": twice,
    "cannot be changed in place": in_place,
    "was changed in place": in_place_on_the_way,
    "does not depend on the tensor": lambda: torch.autograd.grad(
        network(leaf()).sum(), leaf()
    ),
    "The graph is cut on the way: argmax": lambda: torch.autograd.grad(network(x).sum(), x),
    "take .values, or call amax": lambda: x / x.max(dim=0),
    "call .float() first": lambda: (x > 0).mean(),
    "torch.stack makes it a tensor": lambda: x / [x],
    "int(…) makes one": lambda: divmod(x, "2"),
    "adds the batch": lambda: nn.BatchNorm2d(3)(torch.ones(3, 2, 2)),
    "begin at one number": lambda: network(leaf()).backward(),
    "Take .detach() before": lambda: leaf().numpy(),
    "Only floats have": lambda: torch.arange(3).requires_grad_(),
    "Begin with a tensor of its own": lambda: (2 * leaf()).requires_grad_(False),
    "returns a tuple": lambda: 0.5 * grad(),
    "gradient per input: take [0]": lambda: grad()[1],
    "Something is None": without_a_leaf,
    "need .view(3, 1, 1)": lambda: x - torch.ones(3),
    "need .view": lambda: np.ones((3, 4)) + np.ones(3),
    "whole numbers: labels.long()": lambda: x[torch.ones(2)],
    "labels.long()": lambda: x.flatten(1).gather(1, torch.ones(2, 1)),
    "labels[:, None]": lambda: x.flatten(1).gather(1, torch.tensor([1, 2])),
    "torch.arange(len(labels))": lambda: x[torch.arange(2), torch.arange(3)],
    "larger than its axis": lambda: x[:, 347],
    "print the .shape. The check uses": lambda: [1, 2][7],
    "fewer axes than you think": lambda: x.amax(7),
    "fewer axes than": lambda: torch.tensor(1.0)[:, 0],
    "Use reshape()": view,
    "another number of values": lambda: x.view(5, 5),
    "adds the batch axis": lambda: network(torch.ones(3, 2, 2)),
    "image[None] adds": lambda: nn.Conv2d(3, 4, 1)(torch.ones(1, 2, 5, 5)),
    "One number is wanted": lambda: x.item(),
    "not a whole tensor": lambda: 1 if x > 0 else 2,
    "Two kinds of numbers": lambda: network(x.double()),
    "holds whole numbers": lambda: torch.arange(3).add_(0.5),
    "There is not so much memory": lambda: torch.empty(10**15),
    "has no argument of that name": lambda: x.sum(axes=2),
    "Are the brackets missing": lambda: x.max[0],
    "has a variable taken its name": lambda: top(x),
    "Run the cell that defines": lambda: no_such_name,  # noqa: F821
    "End with `return`": lambda: exit(),
    "hold different numbers of values": lambda: np.concatenate(
        [np.ones((2, 3)), np.ones((3, 4))]
    ),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("words", ERRORS)
def test_an_error_gets_the_sentence_that_helps(words):
    with pytest.raises(Wrong) as wrong:
        call(ERRORS[words])
    assert words in str(wrong.value), wrong.value
    assert "Your function stopped at `" in str(wrong.value)


@exercise("Exercise 1")
def anything(answer):
    """Any answer passes."""
    return str(call(answer, torch.ones(1, 3, 4, 4)))


def test_the_line_is_the_learners_own_not_the_packages():
    def answer(image):
        return vanilla_saliency(None, image)  # mine

    message = anything(answer).message
    assert "stopped at `return vanilla_saliency(None, image)  # mine` with" in message


top, images, CLASSES, sure = 347, [1], 1000, True


def helper():
    return images


class Named:
    top = 1


def test_variables_of_the_notebook_are_found():
    def reads(image):
        return [image[top] for _ in range(3)]

    def inside(image):
        return (lambda: network(image))()

    def attribute(image):
        return Named.top, image.top, CLASSES, torch, sure

    def calls(image):
        return helper()

    def own(top):
        images = [top]
        return images * 2

    assert notebook_variables(reads) == ["top"]
    assert notebook_variables(inside) == ["network"]
    assert notebook_variables(attribute) == ["sure"]
    assert notebook_variables(calls) == ["images"]
    assert notebook_variables(functools.partial(reads, x)) == ["top"]
    for answer in (own, helper, 3, None, len, Named):
        assert notebook_variables(answer) == []


def test_a_variable_of_the_notebook_is_named_where_the_answer_fails():
    def reads(image):
        return image[top]

    verdict = anything(reads)
    assert verdict.state == WRONG
    used = "Your function uses `top`, a variable of the notebook; use its arguments."
    assert verdict.message.endswith(used)
    assert anything(lambda image: top)


def test_all_variables_of_the_notebook_are_named():
    def reads(image):
        return image[top] + images

    assert "uses `top` and `images`, variables" in anything(reads).message
