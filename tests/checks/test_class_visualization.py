"""The checks of lesson 04: right answers pass, mistakes get the sentence that helps."""

import torch
from exercises import make_tests

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
    "caller's picture": in_place,
    "attached to the graph": on_the_graph,
    "gradients on the network's weights": through_the_weights,
    "The shape is right": step(lambda s, x, t, w: s[0, 0]),
    "stopped at": lambda *a: a[1] / [],
}


def statistics(mean, std):
    return [torch.tensor(v).view(1, 3, 1, 1) for v in (mean, std)]


def clamp(image, mean, std):
    mean, std = statistics(mean, std)
    return image.clamp((0 - mean) / std, (1 - mean) / std)


def clamped(limits):
    """An answer to exercise 2 with other limits."""

    def answer(image, mean, std):
        low, high = limits(*statistics(mean, std))
        return image.clamp(low, high)

    return answer


def clamp_in_place(image, mean, std):
    return image.copy_(clamp(image, mean, std))


def not_normalised(image, mean, std):
    mean, std = statistics(mean, std)
    return (image * std + mean).clamp(0, 1)


WRONG_CLAMPS = {
    "to [0, 1], the range": clamped(lambda m, s: (0, 1)),
    "[-1, 1]": clamped(lambda m, s: (-1, 1)),
    "Normalise it again": not_normalised,
    "left out the division": clamped(lambda m, s: (-m, 1 - m)),
    "multiply by std": clamped(lambda m, s: (-m * s, (1 - m) * s)),
    "has its own limits": clamped(lambda m, s: ((-m / s).mean(), ((1 - m) / s).mean())),
    "Only black is a limit": clamped(lambda m, s: (-m / s, torch.full_like(m, 1e9))),
    "Only white is a limit": clamped(lambda m, s: (torch.full_like(m, -1e9), (1 - m) / s)),
    "caller's picture": clamp_in_place,
    "clamp each between": lambda image, mean, std: image,
    "The shape should be": lambda image, mean, std: clamp(image, mean, std)[0],
}


def jitter(forth=1, back=-1, axes=(2, 3), score=None, stays=True, sign=1):
    """An answer to exercise 3 with one thing changed."""

    def answer(network, image, target, rate, shift):
        moved = image.roll([forth * s for s in shift], axes)
        goal = score or (lambda s, t: s[0, t])
        g = slope(network, moved, lambda s, x: goal(s, target))
        start = image if stays else moved
        return start + sign * rate * g.roll([back * s for s in shift], axes)

    return answer


def unshifted(network, image, target, rate, shift):
    return image + rate * slope(network, image, lambda s, x: s[0, target])


WRONG_JITTERS = {
    "jitter is not undone": jitter(back=0, stays=False),
    "shift the gradient back first": jitter(back=0),
    "a second time": jitter(back=1),
    "never sees the shift": unshifted,
    "wrong direction": jitter(forth=-1, back=1),
    "axes are swapped": jitter(axes=(3, 2)),
    "downhill": jitter(sign=-1),
    "softmax probability": jitter(score=lambda s, t: s.softmax(1)[0, t]),
    "take the gradient there": jitter(score=lambda s, t: s.sum()),
}

RIGHT = {
    check.ascent_step: step(),
    check.clamp_to_valid: clamp,
    check.jittered_step: jitter(),
}
MISTAKES = {
    check.ascent_step: WRONG_STEPS,
    check.clamp_to_valid: WRONG_CLAMPS,
    check.jittered_step: WRONG_JITTERS,
}


(
    test_a_right_answer_passes,
    test_a_stub_is_not_tried_yet,
    test_a_mistake_gets_the_sentence_that_helps,
) = make_tests(RIGHT, MISTAKES)
