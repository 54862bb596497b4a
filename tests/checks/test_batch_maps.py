"""The checks of lesson 03: right answers pass, mistakes get the sentence that helps."""

import torch
from exercises import make_right_tests, make_tests

from course_utils import vanilla_saliency
from course_utils.checks import batch_maps as check


def gather(scores, labels):
    return scores.gather(1, labels[:, None])


def gradient(model, images, total):
    pixels = images.clone().requires_grad_()
    total(model(pixels)).backward()
    return pixels.grad


def maps_by(total=None, reduce=lambda g: g.abs().amax(dim=1)):
    """An answer to exercise 2 with one step changed."""

    def answer(model, images, labels):
        score = total or (lambda scores, labels: gather(scores, labels).sum())
        return reduce(gradient(model, images, lambda scores: score(scores, labels)))

    return answer


def accumulating(model, images, labels):
    images.requires_grad_()
    gather(model(images), labels).sum().backward()
    return images.grad.abs().amax(dim=1)


def leaves_training_mode(model, images, labels):
    model.train()
    return vanilla_saliency(model, images, labels)


def hard_wired(model, images, labels):
    pixels = images.clone().requires_grad_()
    gather(model(pixels), labels)[:, 0].backward(torch.ones(5))
    return pixels.grad.abs().amax(dim=1)


y = torch.tensor([235, 1, 2, 3, 4])  # as in the notebook
outside = torch.ones(5, 224, 224)


def of_the_photographs(model, images, labels):
    pixels = images.clone().requires_grad_()
    model(pixels).gather(1, y[:, None]).sum().backward()
    return pixels.grad.abs().amax(dim=1)


def by_jacobian(model, images, labels):
    pixels = images.clone()
    each = torch.autograd.functional.jacobian(
        lambda x: gather(model(x), labels)[:, 0].sum(), pixels
    )
    return each.abs().max(dim=1)[0].double()


def maps_by_ones(model, images, labels):
    pixels = images.clone().requires_grad_()
    scores = gather(model(pixels), labels)
    scores.backward(torch.ones_like(scores))
    return pixels.grad.abs().amax(dim=1)


def one_by_one(model, images, labels):
    pairs = zip(images, labels, strict=True)
    maps = [vanilla_saliency(model, image[None], [n.item()]) for image, n in pairs]
    return torch.cat(maps)


def stops_in_torch(model, images, labels):
    return model(images).gather(1, labels)


WRONG_SCORES = {
    "softmax mixes": lambda s, y: gather(s.softmax(1), y)[:, 0],
    "logarithms": lambda s, y: gather(s.log_softmax(1), y)[:, 0],
    "largest score of each row": lambda s, y: s.amax(dim=1),
    "every label in every row": lambda s, y: s[:, y],
    "is a column": gather,
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
WRONG_MAPS = {
    "No absolute value": maps_by(reduce=lambda g: g.amax(dim=1)),
    "after the maximum": maps_by(reduce=lambda g: g.amax(dim=1).abs()),
    "softmax probability": maps_by(lambda s, y: gather(s.softmax(1), y).sum()),
    "sum of all classes": maps_by(lambda s, y: s.sum()),
    "N times too small": maps_by(lambda s, y: gather(s, y).mean()),
    "cross-entropy": maps_by(
        lambda s, y: torch.nn.functional.cross_entropy(s, y, reduction="sum")
    ),
    "top class": maps_by(lambda s, y: s.amax(dim=1).sum()),
    "mean over the colours": maps_by(reduce=lambda g: g.abs().mean(dim=1)),
    "sum over the colours": maps_by(reduce=lambda g: g.abs().sum(dim=1)),
    "colours are still separate": maps_by(reduce=lambda g: g.abs()),
    "wrong axis": maps_by(reduce=lambda g: g.abs().amax(dim=-1)),
    "the axis of length 3": maps_by(reduce=lambda g: g.abs().amax(dim=0)),
    "batch axis is missing": maps_by(reduce=lambda g: g.abs().amax(dim=1).squeeze()),
    "twice the map": accumulating,
    "training mode": leaves_training_mode,
    "Mismatch in shape": hard_wired,
    "stopped at": stops_in_torch,
    "labels[:, None]": stops_in_torch,
    "every label in every row: pick one per row": maps_by(lambda s, y: s[:, y].sum()),
    "begin at one number: take the sum()": maps_by(lambda s, y: gather(s, y)),
    "uses `y`, a variable of the notebook": of_the_photographs,
    # sloppy
    "for the first label": maps_by(lambda s, y: s[:, y[0]].sum()),
    "`labels` makes no difference": maps_by(lambda s, y: s[:, 4].sum()),
    "yours is (5, 224, 224). Your function uses `outside`": lambda m, x, y: outside,
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
    check.saliency_maps: maps_by(),
    check.dependence: rows_of(each),
}
MISTAKES = {
    check.class_scores: WRONG_SCORES,
    check.saliency_maps: WRONG_MAPS,
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
        check.saliency_maps: {
            "a jacobian, in double precision": by_jacobian,
            "backward with ones": maps_by_ones,
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


def test_one_pass_for_each_picture_passes_with_a_word():
    assert "asks the network 5 times" in check.saliency_maps(one_by_one).message
    assert check.saliency_maps(one_by_one)
    assert "times" not in check.saliency_maps(maps_by()).message
