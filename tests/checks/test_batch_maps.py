"""The checks of lesson 03: right answers pass, mistakes get the sentence that helps."""

import numpy as np
import torch
from exercises import make_right_tests, make_tests

from course_utils.checks import batch_maps as check
from course_utils.figures import map_limits


def gather(scores, labels):
    return scores.gather(1, labels[:, None])


def gradient(model, images, total):
    pixels = images.clone().requires_grad_()
    total(model(pixels)).backward()
    return pixels.grad


def scaled(
    own=lambda maps: maps.flatten(1).quantile(0.995, dim=1),
    together=lambda limits, maps: limits.amax(),
    finish=lambda shares: shares.clamp(max=1),
):
    """An answer to exercise 2 with one step changed."""

    def answer(maps, shared):
        limits = own(maps)
        if shared:
            limits = together(limits, maps)
        return finish(maps / limits.view(-1, 1, 1))

    return answer


def by_numpy(maps, shared):
    values = maps.numpy()
    limits = np.percentile(values, 99.5, axis=(1, 2), keepdims=True, method="higher")
    return np.clip(values / (limits.max() if shared else limits), 0, 1)


def map_by_map(maps, shared):
    limits = [one.flatten().double().quantile(0.995).item() for one in maps]
    tops = [max(limits)] * len(maps) if shared else limits
    print("limits:", tops)
    return [(one / top).clip(0, 1).tolist() for one, top in zip(maps, tops, strict=True)]


def in_place(maps, shared):
    maps /= maps.flatten(1).quantile(0.995, dim=1).view(-1, 1, 1)
    return maps.clamp(max=1)


def stretched(maps, shared):
    low = maps.amin((1, 2), keepdim=True)
    return scaled()(maps - low, shared)


def scaled_limit(maps):
    return maps.flatten(1).quantile(0.995, dim=1).max()


limit = torch.tensor(0.23)  # as in the notebook


WRONG_SCORES = {
    "softmax mixes": lambda s, y: gather(s.softmax(1), y)[:, 0],
    "logarithms": lambda s, y: gather(s.log_softmax(1), y)[:, 0],
    "largest score of each row": lambda s, y: s.amax(dim=1),
    "every label in every row": lambda s, y: s[:, y],
    "is a column": gather,
    "labels[None] is a row": lambda s, y: s.gather(1, y[None]),
    "batch axis is lost": lambda s, y: gather(s, y).squeeze(),
    "Row n should give": lambda s, y: -gather(s, y)[:, 0],
    "cut off the graph": lambda s, y: torch.tensor(
        [row[n] for row, n in zip(s, y, strict=True)]
    ),
    "torch.stack makes it one": lambda s, y: [row[n] for row, n in zip(s, y, strict=True)],
    # sloppy
    "`labels` makes no difference": lambda s, y: s[:, 0],
    "torch.arange(len(labels)) fits": lambda s, y: s[torch.arange(4), y],
    "cut off": lambda s, y: gather(s, y)[:, 0].detach(),
    "size of tensor": lambda s, y: (s * torch.eye(6)[y]).sum(1),
    "stopped at": lambda s, y: s.gather(1, y)[:, 0],
    "Expected a tensor, got [": lambda s, y: [1.0],
    "yours is (2,)": lambda s, y: s[0, :2],
    "NaN": lambda s, y: s[:, 0] / 0 * 0,
}
WRONG_BRIGHTNESS = {
    "Some values are above 1": scaled(finish=lambda shares: shares),
    "by the maximum; take the 99.5th": scaled(lambda maps: maps.amax((1, 2))),
    "95th percentile": scaled(lambda maps: maps.flatten(1).quantile(0.95, dim=1)),
    "0 should stay 0": stretched,
    "one percentile of all values together; each map": scaled(
        lambda maps: maps.flatten().quantile(0.995)
    ),
    "take the largest of the maps' own limits": scaled(
        together=lambda limits, maps: maps.flatten().quantile(0.995)
    ),
    "take the smallest": scaled(together=lambda limits, maps: limits.amin()),
    "take the mean": scaled(together=lambda limits, maps: limits.mean()),
    "Without `shared`, each map": lambda maps, shared: scaled()(maps, not shared),
    "With `shared`, all maps": lambda maps, shared: scaled()(maps, False),
    "not divided by a limit": lambda maps, shared: maps.clamp(max=1),
    "not to 255": scaled(finish=lambda shares: (255 * shares).clamp(max=255)),
    "Those are limits": lambda maps, shared: maps.flatten(1).quantile(0.995, dim=1),
    "divide each map by its limit": scaled(finish=lambda shares: 1 - shares.clamp(max=1)),
    "q values must be in the range": scaled(lambda m: m.flatten(1).quantile(99.5, dim=1)),
    # sloppy
    "Your function changes the tensor": in_place,
    "batch axis is missing": lambda maps, shared: scaled()(maps, shared).squeeze(),
    "`maps` makes no difference": lambda maps, shared: torch.ones_like(maps),
    "one number per class or map needs": lambda maps, shared: (
        maps / maps.flatten(1).quantile(0.995, dim=1)
    ),
    "uses `limit`, a variable of the notebook": lambda maps, shared: (maps / limit).clamp(
        max=1
    ),
}


def rows_of(slopes_of):
    def answer(model, images, labels):
        pixels = images.clone().requires_grad_()
        rows = slopes_of(gather(model(pixels), labels)[:, 0], pixels)
        return torch.stack([row.abs().flatten(1).amax(dim=1) for row in rows])

    return answer


def each(scores, pixels):
    return [torch.autograd.grad(s, pixels, retain_graph=True)[0] for s in scores]


def piled_up(scores, pixels):
    rows = []
    for score in scores:
        score.backward(retain_graph=True)
        rows.append(pixels.grad.clone())
    return rows


def switches_mode(model, images, labels):
    model.eval()
    return rows_of(each)(model, images, labels)


def without_abs(model, images, labels):
    pixels = images.clone().requires_grad_()
    rows = each(gather(model(pixels), labels)[:, 0], pixels)
    return torch.stack([row.flatten(1).amax(dim=1) for row in rows])


def one_at_a_time(model, images, labels):
    table = torch.zeros(len(images), len(images))
    for n in range(len(images)):
        table[n, n] = vanilla_in_its_mode(model, images[n : n + 1], labels[n : n + 1])
    return table


def vanilla_in_its_mode(model, image, label):
    return gradient(model, image, lambda scores: gather(scores, label).sum()).abs().max()


def slopes_in(model, images, labels):
    pixels = images.clone().requires_grad_()
    return each(gather(model(pixels), labels)[:, 0], pixels)


WRONG_TABLES = {
    "one at a time": one_at_a_time,
    "All rows are the same": rows_of(
        lambda scores, pixels: [torch.autograd.grad(scores.sum(), pixels)[0]] * len(scores)
    ),
    "rows above it": rows_of(piled_up),
    "swapped": lambda *a: rows_of(each)(*a).T,
    "No absolute value": without_abs,
    "evaluation mode": switches_mode,
    "entry (n, m)": rows_of(lambda s, x: [2 * row for row in each(s, x)]),
    "take [0]": rows_of(
        lambda s, x: [torch.autograd.grad(i, x, retain_graph=True)[1] for i in s]
    ),
    "uses the graph up": rows_of(lambda s, x: [torch.autograd.grad(i, x)[0] for i in s]),
    "mean of the slopes": lambda m, x, y: torch.stack(
        [row.abs().flatten(1).mean(1) for row in slopes_in(m, x, y)]
    ),
    "top class of each picture": lambda m, x, y: rows_of(each)(m, x, m(x).argmax(1)),
    # sloppy
    "`labels` makes no difference": lambda m, x, y: torch.eye(len(x)),
    "The shape should be (5, 5)": lambda m, x, y: rows_of(each)(m, x, y)[:4, :4],
    "stopped at": rows_of(lambda s, x: [torch.autograd.grad(i, x)[0] for i in s]),
}

RIGHT = {
    check.class_scores: lambda s, y: s[torch.arange(len(s)), y],
    check.brightness: scaled(),
    check.dependence: rows_of(each),
}
MISTAKES = {
    check.class_scores: WRONG_SCORES,
    check.brightness: WRONG_BRIGHTNESS,
    check.dependence: WRONG_TABLES,
}


(
    test_a_right_answer_passes,
    test_a_stub_is_not_tried_yet,
    test_a_mistake_gets_the_sentence_that_helps,
) = make_tests(RIGHT, MISTAKES)


test_another_right_answer_passes = make_right_tests(
    {
        check.class_scores: {
            "a stack": lambda s, y: torch.stack(
                [row[n] for row, n in zip(s, y, strict=True)]
            ),
            "a mask": lambda s, y: (s * torch.eye(s.shape[1])[y]).sum(1),
            "in double precision": lambda s, y: gather(s.double(), y).squeeze(1),
        },
        check.brightness: {
            "NumPy, the next higher value": by_numpy,
            "map by map, a list": map_by_map,
            "with an if for each map": lambda maps, shared: torch.stack(
                [
                    (m / (scaled_limit(maps) if shared else scaled_limit(m[None]))).clip(
                        0, 1
                    )
                    for m in maps
                ]
            ),
            "the course's own limits": lambda maps, shared: scaled(
                lambda m: torch.tensor(map_limits(m, "shared" if shared else "each"))
            )(maps, False),
        },
        check.dependence: {
            "a list of rows": lambda m, x, y: list(rows_of(each)(m, x, y)),
            "a jacobian": lambda m, x, y: (
                torch.autograd.functional.jacobian(
                    lambda pixels: gather(m(pixels), y)[:, 0], x
                )
                .abs()
                .amax((2, 3, 4))
            ),
        },
    }
)
