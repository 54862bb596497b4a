"""The checks of lesson 04: right answers pass, mistakes get the sentence that helps."""

import torch
import torch.nn.functional as F
from exercises import make_right_tests, make_tests

from course_utils.checks import class_visualization as check


def slope(network, image, goal):
    pixels = image.detach().clone().requires_grad_()
    return torch.autograd.grad(goal(network(pixels), pixels), pixels)[0]


def step(goal=None, sign=1):
    """An answer to exercise 1 with one thing changed."""

    def answer(network, image, target, rate, l2):
        def usual(s, x):
            return s[0, target] - l2 * x.square().sum()

        wanted = usual if goal is None else lambda s, x: goal(s, x, target, l2)
        return image + sign * rate * slope(network, image, wanted)

    return answer


def in_place(network, image, target, rate, l2):
    image += step()(network, image.clone(), target, rate, l2) - image
    return image


def on_the_graph(network, image, target, rate, l2):
    pixels = image.clone().requires_grad_()
    goal = network(pixels)[0, target] - l2 * pixels.square().sum()
    return pixels + rate * torch.autograd.grad(goal, pixels)[0]


def through_the_weights(network, image, target, rate, l2):
    pixels = image.clone().requires_grad_()
    (network(pixels)[0, target] - l2 * pixels.square().sum()).backward()
    return image + rate * pixels.grad


def leaf_in_place(network, image, target, rate, l2):
    image.requires_grad_()
    (network(image)[0, target] - l2 * image.square().sum()).backward()
    image += rate * image.grad
    return image.detach()


def keeps_the_tuple(network, image, target, rate, l2):
    pixels = image.clone().requires_grad_()
    return image + 0.5 * torch.autograd.grad(network(pixels)[0, target], pixels)


def zeroes_the_weights(network, image, *rest):
    for weight in network.parameters():
        weight.data.zero_()
    return image


def by_hand(network, image, target, rate, l2):
    pixels = image.double().float().requires_grad_()
    slope = torch.autograd.grad(network(pixels)[:, target].sum(), pixels)[0]
    return (1 - 2 * rate * l2) * image.double() + rate * slope


def without_weights(network, image, target, rate, l2):
    network.requires_grad_(False)
    return through_the_weights(network, image, target, rate, l2).detach()


WRONG_STEPS = {
    "downhill": step(sign=-1),
    "softmax probability": step(
        lambda s, x, t, w: s.softmax(1)[0, t] - w * x.square().sum()
    ),
    "sum of all classes": step(lambda s, x, t, w: s.sum() - w * x.square().sum()),
    "penalty is on the scores": step(lambda s, x, t, w: s[0, t] - w * s.square().sum()),
    "wrong sign": step(lambda s, x, t, w: s[0, t] + w * x.square().sum()),
    "penalty is missing": step(lambda s, x, t, w: s[0, t]),
    "half as strong": step(lambda s, x, t, w: s[0, t] - w / 2 * x.square().sum()),
    "is a mean": step(lambda s, x, t, w: s[0, t] - w * x.square().mean()),
    "length ‖I‖": step(lambda s, x, t, w: s[0, t] - w * x.norm()),
    "penalises absolute values": step(lambda s, x, t, w: s[0, t] - w * x.abs().sum()),
    "multiplied by `rate` as well": lambda n, x, t, r, w: (
        step()(n, x, t, r, 0.0) - 2 * w * x
    ),
    "divide the slope by its length": lambda n, x, t, r, w: (
        x + r * F.normalize(step()(n, x, t, 1, w) - x, dim=(1, 2, 3))
    ),
    "leave the clamp out": lambda *a: step()(*a).clamp(0, 1),
    "changes the network's weights": zeroes_the_weights,
    "the tensor it was given": in_place,
    "attached to the graph": on_the_graph,
    "gradients on the network's weights": through_the_weights,
    "The shape is right": step(lambda s, x, t, w: 3 * s[0, t] - w * x.square().sum()),
    "stopped at": lambda *a: a[1] / [],
    "make a new one, such as image + step": leaf_in_place,
    "take [0]": keeps_the_tuple,
    "add it to the image": lambda n, x, t, r, w: step()(n, x, t, 1, w) - x,
    "The image is missing": lambda n, x, t, r, w: step()(n, x, t, r, w) - x,
    "for the top class, here": step(lambda s, x, t, w: s.max() - w * x.square().sum()),
    # sloppy
    "You use class 2 whatever `target` is": lambda n, x, t, r, w: step()(n, x, 2, r, w),
    "`rate` makes no difference to your result, which is the same for 0.2 and for 0.1": (
        lambda n, x, t, r, w: step()(n, x, t, 0.5, w)
    ),
    "The penalty is missing": lambda n, x, t, r, w: step()(n, x, t, r, 0.0),
    "`l2` makes no difference": lambda n, x, t, r, w: step()(n, x, t, r, 1e-2),
    "`rate` is missing": lambda n, x, t, r, w: step()(n, x, t, 1, w),
}


def jitter(forth=1, back=-1, axes=(2, 3), score=None, stays=True, sign=1):
    """An answer to exercise 2 with one thing changed."""

    def answer(network, image, target, rate, shift):
        moved = image.roll([forth * s for s in shift], axes)
        goal = score or (lambda s, t: s[0, t])
        g = slope(network, moved, lambda s, x: goal(s, target))
        start = image if stays else moved
        return start + sign * rate * g.roll([back * s for s in shift], axes)

    return answer


def unshifted(network, image, target, rate, shift):
    return image + rate * slope(network, image, lambda s, x: s[0, target])


def rolled(network, image, target, rate, shift):
    seen = torch.roll(image, shift, dims=(2, 3)).requires_grad_()
    up = seen + rate * torch.autograd.grad(network(seen)[0, target], seen)[0]
    return torch.roll(up, (-shift[0], -shift[1]), dims=(2, 3)).detach()


WRONG_JITTERS = {
    "jitter is not undone": jitter(back=0, stays=False),
    "gradient is that of the shifted picture": jitter(back=0),
    "a second time": jitter(back=1),
    "shifted back twice": jitter(back=-2),
    "to the shifted picture": jitter(stays=False),
    "never sees the shift": unshifted,
    "wrong direction": jitter(forth=-1, back=1),
    "axes are swapped": jitter(axes=(3, 2)),
    "not the axes of (1, 3, H, W)": jitter(axes=(1, 2)),
    "down only": lambda n, x, t, r, s: jitter()(n, x, t, r, (s[0], 0)),
    "to the right only": lambda n, x, t, r, s: jitter()(n, x, t, r, (0, s[1])),
    "slope alone": lambda n, x, t, r, s: jitter()(n, x, t, 1, s) - x,
    "The image is missing": lambda n, x, t, r, s: jitter()(n, x, t, r, s) - x,
    "downhill": jitter(sign=-1),
    "softmax probability": jitter(score=lambda s, t: s.softmax(1)[0, t]),
    "take the gradient there": jitter(score=lambda s, t: 3 * s[0, t]),
    "for the top class, here": jitter(score=lambda s, t: s.max()),
    "changes the network's weights": zeroes_the_weights,
    # sloppy
    "You use class 2 whatever `target` is": jitter(score=lambda s, t: s[0, 2]),
    "`rate` makes no difference to your result": lambda n, x, t, r, s: jitter()(
        n, x, t, 0.5, s
    ),
    "`shift` makes no difference to your result, which is the same for (0, 0) and for": (
        lambda n, x, t, r, s: jitter()(n, x, t, r, (2, 0))
    ),
    "`rate` is missing": lambda n, x, t, r, s: jitter()(n, x, t, 1, s),
}

RIGHT = {
    check.ascent_step: step(),
    check.jittered_step: jitter(),
}
MISTAKES = {
    check.ascent_step: WRONG_STEPS,
    check.jittered_step: WRONG_JITTERS,
}


(
    test_a_right_answer_passes,
    test_a_stub_is_not_tried_yet,
    test_a_mistake_gets_the_sentence_that_helps,
) = make_tests(RIGHT, MISTAKES)


test_another_right_answer_passes = make_right_tests(
    {
        check.ascent_step: {
            "the slope of the penalty by hand, in double precision": by_hand,
            "backward, on frozen weights": without_weights,
        },
        check.jittered_step: {
            "torch.roll": rolled,
            "backward, on frozen weights": lambda n, x, t, r, s: jitter()(
                n.requires_grad_(False), x, t, r, s
            ),
        },
    }
)
