"""The checks of lesson 02: right answers pass, mistakes get the sentence that helps."""

import numpy as np
import torch
from exercises import make_right_tests, make_tests
from scipy.stats import spearmanr

from course_utils import IMAGENET_MEAN, IMAGENET_STD, vanilla_saliency
from course_utils.checks import vanilla_saliency as check

MEAN = torch.tensor(IMAGENET_MEAN).view(3, 1, 1)
STD = torch.tensor(IMAGENET_STD).view(3, 1, 1)
stds = 0.9 * STD  # of the notebook

# -- exercise 1 ------------------------------------------------------------------------


def back(step, finish=lambda x: (255 * x).round().to(torch.uint8)):
    return lambda tensor, mean, std: finish(step(tensor, mean, std).permute(1, 2, 0))


def right(x, m, s):
    return x * s + m


denormalise = back(right)

WRONG_BACK = {
    "reverse order": back(lambda x, m, s: (x + m) * s, lambda x: 255 * x),
    "second time": back(lambda x, m, s: (x - m) / s),
    "to undo that, multiply by it": back(lambda x, m, s: x / s + m),
    "mean is missing": back(lambda x, m, s: x * s, lambda x: x),
    "run from 0 to 1": back(right, lambda x: x),
    "too small by 1": back(
        lambda x, m, s: x * s + m - 1e-5, lambda x: (255 * x).to(torch.uint8)
    ),
    "integers have no decimals": back(
        lambda x, m, s: x * s + m - 1e-5, lambda x: (255 * x).int()
    ),
    "should be uint8": back(right, lambda x: (255 * x).round()),
    "first axis": right,
    "the original pixels": back(lambda *a: 0.9 * right(*a)),
    "Expected a tensor, got [": lambda t, m, s: [1],
    "Rows and columns are swapped": lambda t, m, s: denormalise(t.mT, m, s),
    "Mean and std are swapped": back(lambda x, m, s: x * m + s),
    "mix up the axes": lambda t, m, s: (
        (255 * right(t, m, s)).round().byte().reshape(*t.shape[1:], 3)
    ),
    "blue, green, red": back(lambda *a: right(*a).flip(0)),
    "need .view(3, 1, 1)": lambda t, m, s: t * torch.tensor(IMAGENET_STD),
    "no batch axis": lambda *a: denormalise(*a)[None],
    # sloppy
    "Your function stopped": lambda *a: denormalise(*a).view(4, 5, 3),
    "`tensor` makes no difference": lambda t, m, s: torch.zeros(
        *t.shape[1:], 3, dtype=torch.uint8
    ),
    "yours is (4, 2, 3)": lambda *a: denormalise(*a)[:4, :2],
    "`mean` makes no difference": lambda t, m, s: denormalise(t, MEAN, STD),
    "`std` makes no difference": lambda t, m, s: denormalise(t, m, stds),
    "use it. Your function uses `stds`, a variable of the notebook": lambda t, m, s: (
        denormalise(t, m, stds)
    ),
}

# -- exercise 2 ------------------------------------------------------------------------


def map_by(score=lambda s: s.max(), reduce=lambda g: g.abs().amax(dim=0)):
    """An answer to exercise 2 with one step changed."""

    def answer(model, image):
        pixels = image[None].clone().requires_grad_()
        score(model(pixels)[0]).backward()
        return reduce(pixels.grad[0])

    return answer


def accumulating(model, image):
    image.requires_grad_()
    model(image[None]).max().backward()
    return image.grad.abs().amax(dim=0)


def switches_on(model, image):
    image.requires_grad_()
    (gradient,) = torch.autograd.grad(model(image[None]).max(), image)
    return gradient.abs().amax(dim=0)


def leaves_training_mode(model, image):
    result = map_by()(model, image)
    model.train()
    return result


def not_a_leaf(model, image):
    pixels = image.clone().requires_grad_()[None]
    model(pixels)[0].max().backward()
    return pixels.grad[0].abs().amax(dim=0)


top = 347  # as in the notebook


def of_top(model, image):
    pixels = image[None].clone().requires_grad_()
    model(pixels)[0, top].backward()
    return pixels.grad[0].abs().amax(dim=0)


def by_autograd(model, image):
    pixels = image.detach()[None].clone().requires_grad_()
    scores = model(pixels)
    best = scores.argmax(1).item()
    gradient = torch.autograd.grad(scores[0, best], pixels)[0]
    return gradient.squeeze(0).abs().max(dim=0).values.double()


def unsteady(model, image, calls=[]):  # noqa: B006 - it counts its calls
    calls.append(1)
    return map_by()(model, image) * (1 + 0.5 * (len(calls) > 4))


WRONG_MAPS = {
    "No absolute value": map_by(reduce=lambda g: g.amax(dim=0)),
    "after the maximum": map_by(reduce=lambda g: g.amax(dim=0).abs()),
    "softmax probability": map_by(lambda s: s.softmax(0).max()),
    "log-probability": map_by(lambda s: s.log_softmax(0).max()),
    "sum of all classes": map_by(lambda s: s.sum()),
    "class 0": map_by(lambda s: s[0]),
    "mean over the colours": map_by(reduce=lambda g: g.abs().mean(dim=0)),
    "sum over the colours": map_by(reduce=lambda g: g.abs().sum(dim=0)),
    "batch axis is still there": map_by(reduce=lambda g: g[None].abs().amax(dim=1)),
    "colours are still separate": map_by(reduce=lambda g: g.abs()),
    "wrong axis": map_by(reduce=lambda g: g.abs().amax(dim=-1)),
    "compare your steps": map_by(lambda s: -3 * s.max()),
    "twice the map": accumulating,
    "requires_grad": switches_on,
    "leaves the network in training mode": leaves_training_mode,
    "gives another map": unsteady,
    "stopped at": lambda model, image: model(image[None].mT[:, :1])[0],
    "argmax(), detach(), item()": map_by(lambda s: s.argmax()),
    "so take them first": not_a_leaf,
    "Your function uses `top`, a variable of the notebook; use its arguments.": of_top,
    # sloppy
    "map of class 3; argmax finds": map_by(lambda s: s[3]),
    "the axis of length 3": map_by(reduce=lambda g: g.abs().amax(dim=1)),
    "`image` makes no difference": lambda m, image: map_by()(m, 0 * image),
    "need .view(3, 1, 1)": lambda m, image: map_by()(m, image) * torch.ones(8, 8),
    "requires_grad_() on the pixels": lambda m, image: map_by(lambda s: s.detach().max())(
        m, image
    ),
}

# -- exercise 3 ------------------------------------------------------------------------


def rank(a, b):
    return spearmanr(a.flatten(), b.flatten()).statistic.item()


def stability(
    compare=rank,
    cut=lambda left, right: (left[:, 1:], right[:, :-1]),
    reduce=lambda g: g.abs().amax(dim=0),
    pick=lambda scores, target: scores[target],
):
    """An answer to exercise 3 with one step changed."""

    def answer(model, wide, target):
        maps = []
        for view in (wide[..., :-1], wide[..., 1:]):
            pixels = view.clone().requires_grad_()
            pick(model(pixels)[0], target).backward()
            maps.append(reduce(pixels.grad[0]))
        return compare(*cut(*maps))

    return answer


def pearson(a, b):
    return torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1]


WRONG_STABILITY = {
    "without undoing the shift": stability(cut=lambda a, b: (a, b)),
    "wrong direction": stability(cut=lambda a, b: (a[:, :-1], b[:, 1:])),
    "Pearson": stability(pearson),
    "absolute value is missing": stability(reduce=lambda g: g.amax(dim=0)),
    "take `target` for both": stability(pick=lambda scores, target: scores.max()),
    "1 minus": stability(lambda a, b: 1 - rank(a, b)),
    "cut each to the columns": stability(lambda a, b: float(a.mean() / b.mean())),
    "Expected one number, got a tuple": stability(lambda a, b: (a, b)),
    "stopped at": stability(lambda a, b: a @ b),
    ".flatten() both maps": stability(lambda a, b: spearmanr(a, b)),
    "p-value": stability(lambda a, b: spearmanr(a.flatten(), b.flatten()).pvalue),
    "top class, and compare without undoing": stability(
        cut=lambda a, b: (a, b), pick=lambda scores, target: scores.max()
    ),
    # sloppy
    "You use class 0 whatever `target` is": stability(
        pick=lambda scores, target: scores[0]
    ),
    "take sizes from their .shape": stability(cut=lambda a, b: (a[:, 1:8], b[:, :-1])),
    "You use class 3 whatever `target` is": stability(
        pick=lambda scores, target: scores[3]
    ),
    "`target` makes no difference": lambda model, wide, target: 0.5,
}

RIGHT = {
    check.denormalise: denormalise,
    check.saliency_map: map_by(),
    check.shift_stability: stability(),
}
MISTAKES = {
    check.denormalise: WRONG_BACK,
    check.saliency_map: WRONG_MAPS,
    check.shift_stability: WRONG_STABILITY,
}

(
    test_a_right_answer_passes,
    test_a_stub_is_not_tried_yet,
    test_a_mistake_gets_the_sentence_that_helps,
) = make_tests(RIGHT, MISTAKES)


test_another_right_answer_passes = make_right_tests(
    {
        check.denormalise: {
            "in double precision": back(
                lambda x, m, s: x * s.double() + m, lambda x: (255 * x + 0.5).byte()
            ),
            "colour by colour": lambda t, m, s: (
                torch.stack([t[c] * s[c] + m[c] for c in range(3)], dim=-1)
                .mul(255)
                .round()
                .byte()
            ),
        },
        check.saliency_map: {
            "autograd.grad, in double precision": by_autograd,
            "as an array": lambda m, image: by_autograd(m, image).numpy(),
            "the course's own function": lambda m, image: vanilla_saliency(m, image[None])[
                0
            ],
        },
        check.shift_stability: {
            "a number of NumPy": stability(lambda a, b: np.float32(rank(a, b))),
            "a tensor of one number": stability(lambda a, b: torch.tensor([rank(a, b)])),
            "the course's own function": lambda model, wide, target: rank(
                vanilla_saliency(model, wide[..., :-1], target)[0, :, 1:],
                vanilla_saliency(model, wide[..., 1:], target)[0, :, :-1],
            ),
        },
    }
)


def test_the_whole_result_of_spearmanr_is_right_too():
    answer = stability(lambda a, b: spearmanr(a.flatten(), b.flatten()))
    assert check.shift_stability(answer)
