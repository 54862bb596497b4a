"""The checks of lesson 12: right answers pass, mistakes get the sentence that helps."""

# Learners write files in every way that there is.
# ruff: noqa: PTH105, PTH123, PTH208

import os
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations, permutations
from pathlib import Path

import numpy as np
import pytest
import torch

from course_utils.checks import your_own as check
from course_utils.checks.base import NOT_TRIED, PASSED, WRONG
from course_utils.images import IMAGENET_MEAN, IMAGENET_STD

# -- exercise 1: one scale -------------------------------------------------------------


def right_scale(maps):
    return maps / maps.max().clamp(min=1e-12)


def each_own(maps):
    return maps / maps.amax((1, 2), keepdim=True)


def stretched(maps):
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    return (maps - low) / (high - low)


WRONG_SCALES = {
    "its own largest value": each_own,
    "own smallest to its own largest": stretched,
    "Zero should stay zero": lambda m: (m - m.min()) / (m.max() - m.min()),
    "sum of each map": lambda m: m / m.sum((1, 2), keepdim=True),
    "own mean": lambda m: m / m.mean((1, 2), keepdim=True),
    "You clip at 1": lambda m: m.clamp(0, 1),
    "unchanged": lambda m: m,
    "One number divides": lambda m: m.sqrt(),
    "0 divided by 0": lambda m: m / m.max(),
    "The shape should be": lambda m: m[0],
    "Expected a tensor, got a dict": lambda m: {"maps": right_scale(m)},
    "largest value of the first map": lambda m: m / m[0].max(),
    "One number divides all": lambda m: m / 7.5,
    "brightest pixel of all becomes 1": lambda m: m / (m.max() + 1e-4),
    "they should stay 0": lambda m: right_scale(m) if m.any() else m + 1,
}


def in_numpy(maps):
    maps = maps.numpy()
    return maps / (maps.max() or 1)


def if_any(maps):
    return maps / maps.max() if maps.any() else torch.zeros_like(maps)


@pytest.mark.parametrize("answer", [right_scale, in_numpy, if_any])
def test_one_scale_passes(answer):
    assert check.one_scale(answer).state == PASSED
    assert check.one_scale(lambda maps: ...).state == NOT_TRIED


@pytest.mark.parametrize("words", WRONG_SCALES)
def test_wrong_scales(words):
    verdict = check.one_scale(WRONG_SCALES[words])
    assert verdict.state == WRONG
    assert words in verdict.message


# -- exercise 2: names -----------------------------------------------------------------


def reader(
    change=lambda x: x, own=True, eval_=True, names=lambda n: n, index=lambda scores: scores
):
    """The right answer, with one step changed."""

    def answer(model, pixels, mean, std, labels):
        x = change(pixels.permute(0, 3, 1, 2) / 255)
        mean, std = (mean, std) if own else (IMAGENET_MEAN, IMAGENET_STD)
        mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (mean, std))
        if eval_:
            model.eval()
        with torch.no_grad():
            scores = model((x - mean) / std)
        labels = names(labels)
        return [labels[i] for i in index(scores.argmax(1)).tolist()]

    return answer


def no_permute(model, pixels, mean, std, labels):
    x = pixels.reshape(len(pixels), 3, *pixels.shape[1:3])
    return reader()(model, x.permute(0, 2, 3, 1), mean, std, labels)


def reshaped_at_the_end(model, pixels, mean, std, labels):
    x = (pixels / 255 - torch.tensor(mean)) / torch.tensor(std)
    x = x.reshape(len(x), 3, *x.shape[1:3])
    with torch.no_grad():
        return [labels[i] for i in model.eval()(x).argmax(1)]


def unnormalised(model, pixels, mean, std, labels):
    return reader()(model, pixels, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), labels)


WRONG_NAMES = {
    "ImageNet's mean and std": reader(own=False),
    "blue, green, red": reader(change=lambda x: x.flip(1)),
    "Divide by 255": reader(change=lambda x: 255 * x),
    "not normalised": unnormalised,
    "are swapped": lambda m, p, mean, std, n: reader()(m, p, std, mean, n),
    "axes are mixed up": no_permute,
    "You normalise well, but then": reshaped_at_the_end,
    "one too early": reader(index=lambda i: i - 1),
    "one too late": reader(index=lambda i: (i + 1) % 5),
    "alphabetical": reader(names=sorted),
    "training mode": reader(eval_=False),
    "are right. In this order": lambda m, p, *_: ["owl"] * len(p),
    "Expected a list of 40 names": lambda *_: "owl",
    "for each of 40": lambda *_: ["owl"],
    "not numbers": lambda m, p, *_: list(range(len(p))),
    "names[index]": lambda m, p, *_: torch.zeros(len(p)),
    "stopped": lambda m, p, *_: m(p),
    "one mean and std whatever": lambda m, p, mean, std, n: reader()(
        m, p, FIRST.mean, FIRST.std, n
    ),
    "one mean whatever": lambda m, p, mean, std, n: reader()(m, p, FIRST.mean, std, n),
    "one std whatever": lambda m, p, mean, std, n: reader()(m, p, mean, FIRST.std, n),
    "You use fixed names": lambda m, p, mean, std, n: reader()(
        m, p, mean, std, FIRST.names
    ),
    "Rows and columns are swapped": lambda m, p, *more: reader()(
        m, p.transpose(1, 2), *more
    ),
    "Alone, a picture gets another name": lambda m, p, *more: (
        reader()(m, p, *more) if len(p) > 1 else ["tern"]
    ),
    "names, got a dict": lambda *a: dict(enumerate(reader()(*a))),
}
FIRST = check.COLLEAGUES[0]


def in_an_array(model, pixels, mean, std, names):
    x = (pixels.numpy() / 255 - np.array(mean)) / np.array(std)
    x = torch.tensor(np.moveaxis(x, 3, 1), dtype=torch.float32)
    model.eval()
    return np.array(names)[model(x).detach().numpy().argmax(axis=1)]


def one_after_the_other(model, pixels, mean, std, names):
    model.train(False)
    return tuple(reader()(model, one[None], mean, std, names)[0] for one in pixels)


@pytest.mark.parametrize("answer", [reader(), in_an_array, one_after_the_other])
def test_the_right_names_pass(answer):
    assert check.read_names(answer).state == PASSED
    assert check.read_names(lambda *_: None).state == NOT_TRIED


@pytest.mark.parametrize(("one", "other"), [*permutations(check.COLLEAGUES)])
def test_each_mistake_gives_other_names_by_a_clear_margin(one, other):
    pixels = one.pictures()
    scores = one.scores(pixels.permute(0, 3, 1, 2) / 255)
    best = scores.topk(2, dim=1).values
    assert (best[:, 0] - best[:, 1]).min() > 1e-3, "rounding must not change a name"
    lists = list(check._wrong_names(one, other, pixels).values())
    lists.append(one.named(scores))
    assert all(a != b for a, b in combinations(lists, 2))
    assert len(set(lists[-1])) == len(one.names), "every class is somebody's"


@pytest.mark.parametrize("words", WRONG_NAMES)
def test_wrong_names(words):
    verdict = check.read_names(WRONG_NAMES[words])
    assert verdict.state == WRONG
    assert words in verdict.message


# -- docs/folders.md: stopped and resumed -----------------------------------------------


def missing(names, folder):
    return [name for name in names if not (folder / name).exists()]


def finish(names, folder, make):
    todo = missing(names, folder)
    for name in todo:
        draft = folder / f".{name}.draft"
        draft.write_bytes(make(name))
        os.replace(draft, folder / name)
    return len(todo)


def with_handle(names, folder, make):
    todo = missing(names, folder)
    for name in todo:
        data = make(name)
        with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
            file.write(data)
        Path(file.name).replace(folder / name)
    return len(todo)


def half_files(names, folder, make):
    todo = missing(names, folder)
    for name in todo:
        (folder / name).write_bytes(make(name))
    return len(todo)


def by_open(names, folder, make):
    todo = missing(names, folder)
    for name in todo:
        with open(f"{folder}/{name}", "wb") as file:
            file.write(make(name))
    return len(todo)


def by_count(names, folder, make):
    done = len(list(folder.glob("*.map")))
    return finish(names[done:], folder, make)


def by_listing(names, folder, make):
    return finish(names[len(os.listdir(folder)) :], folder, make)


def all_again(names, folder, make):
    for name in names:
        draft = folder / "draft"
        draft.write_bytes(make(name))
        draft.replace(folder / name)
    return len(names)


def all_at_the_end(names, folder, make):
    made = {name: make(name) for name in missing(names, folder)}
    for name, data in made.items():
        (folder / "draft").write_bytes(data)
        os.replace(folder / "draft", folder / name)
    return len(made)


def swallows(names, folder, make):
    count = 0
    for name in missing(names, folder):
        try:
            count += finish([name], folder, make)
        except BaseException:
            continue
    return count


def leaves_drafts(names, folder, make):
    todo = missing(names, folder)
    for name in todo:
        draft = folder / f"{name}.draft"
        draft.write_bytes(make(name))
        shutil.copy(draft, folder / "copy")
        os.replace(folder / "copy", folder / name)
    return len(todo)


def by_another_process(names, folder, make):
    for name in (todo := missing(names, folder)):
        (folder / "draft").write_bytes(make(name))
        subprocess.run(["cp", folder / "draft", folder / name], check=True)
        (folder / "draft").unlink()
    return len(todo)


def in_a_thread(names, folder, make):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(half_files, names, folder, make).result()


def by_numpy(names, folder, make):
    for name in (todo := missing(names, folder)):
        np.frombuffer(make(name), dtype=np.uint8).tofile(folder / name)
    return len(todo)


def renamed_too_soon(names, folder, make):
    for name in (todo := missing(names, folder)):
        with open(folder / "draft", "wb") as file:
            file.write(make(name))
            os.replace(folder / "draft", folder / name)
    return len(todo)


def appends(names, folder, make):
    for name in (todo := missing(names, folder)):
        with open(folder / "draft", "ab") as file:
            file.write(make(name))
        os.replace(folder / "draft", folder / name)
    return len(todo)


def trusts_drafts(names, folder, make):
    for name in (todo := missing(names, folder)):
        draft = folder / f"{name}.draft"
        if not draft.exists():
            draft.write_bytes(make(name))
        os.replace(draft, folder / name)
    return len(todo)


def exclusively(names, folder, make):
    for name in (todo := missing(names, folder)):
        with open(folder / "draft", "xb") as file:
            file.write(make(name))
        os.replace(folder / "draft", folder / name)
    return len(todo)


WRONG_RUNS = {
    "half of it passes": by_another_process,
    "half of it passes for a whole": in_a_thread,
    "half of it passes for a whole file": by_numpy,
    "before all of it is in the file": renamed_too_soon,
    "do not reuse one that is left over from a stop": appends,
    "Run again after a power failure: ash.map gets its name": trusts_drafts,
    "Run again after a power failure: your function stopped": exclusively,
    "expected a whole number": lambda *a: [finish(*a)],
    "6 files were missing; your function returns 2": lambda *a: finish(*a) and 2,
    "while ash.map was written, and half of it": half_files,
    "passes for a whole file": by_open,
    "do not count": by_count,
    "Ask for each by its name": by_listing,
    "beech.map was there already": all_again,
    "lost in the stop": all_at_the_end,
    "catches the interrupt": swallows,
    "left over": leaves_drafts,
    "expected a whole number, how many files you made, got 'done'": lambda *a: (
        finish(*a) and "done"
    ),
    "your function returns 6": lambda names, f, make: finish(names, f, make) and len(names),
    "does not hold": lambda n, f, make: finish(n, f, lambda name: make(name) + b"!"),
    "stopped": lambda names, folder, make: make(names),
}


def by_link(names, folder, make):
    todo = missing(names, folder)
    for name in todo:
        draft = folder / f"{name}.draft"
        draft.unlink(missing_ok=True)
        draft.write_bytes(make(name))
        (folder / name).hardlink_to(draft)
        draft.unlink()
    return np.int64(len(todo))


def elsewhere(names, folder, make):
    """In a folder of drafts of its own, by `shutil.move`, cleaned up after a stop."""
    todo = missing(names, folder)
    for name in todo:
        with tempfile.TemporaryDirectory(dir=folder) as drafts:
            (Path(drafts) / name).write_bytes(make(name))
            shutil.move(Path(drafts) / name, folder / name)
    return len(todo)


@pytest.mark.parametrize("answer", [finish, with_handle, by_link, elsewhere])
def test_a_run_that_can_be_stopped_passes(answer):
    verdict = check.resume(answer)
    assert verdict.state == PASSED, verdict
    assert check.resume(answer).state == PASSED, "a second time as well"


def test_a_stub_is_not_tried_yet():
    assert check.resume(lambda names, folder, make: ...).state == NOT_TRIED


@pytest.mark.parametrize("words", WRONG_RUNS)
def test_wrong_runs(words):
    verdict = check.resume(WRONG_RUNS[words])
    assert verdict.state == WRONG, verdict
    assert words in verdict.message


def test_files_are_renamed_as_ever_after_the_check():
    before = [getattr(os, name) for name in check.RENAMES]
    check.resume(half_files)
    check.resume(finish)
    assert [getattr(os, name) for name in check.RENAMES] == before
