"""Folders: a map per picture, however the run is stopped, whatever the pictures are."""

import csv
import errno
import json
import os
import shutil
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import toys
from PIL import Image
from torch import nn

from course_utils import (
    METHODS,
    Unit,
    load_samples,
    map_folder,
    preprocess,
    smooth_grad,
    vanilla_saliency,
)
from course_utils.images import find_pictures
from course_utils.inputs import Inputs
from course_utils.models import fingerprint
from course_utils.targets import predict
from course_utils.your_own import job
from course_utils.your_own.__main__ import main
from course_utils.your_own.identity import function_name
from course_utils.your_own.networks import own_network

# -- a folder: what a run makes --------------------------------------------------------


class Net(nn.Module):
    """Small, but with all that could make a batch differ from its pictures."""

    def __init__(self, seed=0):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.conv, self.norm = nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6)
            self.drop, self.fc = nn.Dropout(0.5), nn.Linear(6, 4)

    def forward(self, x):
        return self.fc(self.drop(torch.relu(self.norm(self.conv(x))).mean((2, 3))))


class Picky(Net):
    """Fails on batches with a picture that is nearly black."""

    def forward(self, x):
        if (x.amax((1, 2, 3)) < -1).any():
            raise RuntimeError("too dark for me")
        return super().forward(x)


@pytest.fixture
def photos(tmp_path):
    """Ten pictures, three of them one folder further in."""
    samples = load_samples()
    for number, image in enumerate(samples.images[:10]):
        place = tmp_path / "photos" / ("deeper" if number % 4 == 1 else "")
        place.mkdir(parents=True, exist_ok=True)
        image.resize((20, 24)).save(place / f"{samples.names[number]}.png")
    return tmp_path / "photos"


def run(photos, out, model=None, method="vanilla", **settings):
    model = Net() if model is None else model
    return map_folder(photos, model, method, out, **({"size": 16, "batch": 3} | settings))


def files(folder):
    paths = sorted(p for p in Path(folder).rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in paths}


def same_maps(one, two):
    for name in one.names:
        np.testing.assert_allclose(one.load(name), two.load(name), rtol=1e-4, atol=1e-7)
    return one.names == two.names


def test_a_map_for_each_picture_in_a_mirror_of_the_tree(photos, tmp_path):
    done = run(photos, tmp_path / "maps")
    assert (len(done.names), done.written, done.kept) == (10, 10, 0)
    assert not done.skipped
    assert not done.stopped
    assert sum("deeper" in name for name in done.names) == 3
    wanted = {f"{name}.map.npz" for name in done.names} | {"maps.json", "maps.csv"}
    assert files(tmp_path / "maps").keys() == wanted
    assert repr(done) == "FolderRun(10 of 10 maps: 10 made, 0 kept)"


def explained_alone(model, image, targets):
    """Score, class and probability of one picture, read without the folder's help."""
    model.eval()
    with torch.no_grad():
        outputs = model(image)[0]
        if isinstance(targets, Unit):
            return model.conv(image)[0, targets.channel].mean().item(), -1, np.nan
        if callable(targets):
            return targets(outputs[None]).item(), -1, np.nan
    target = int(outputs.argmax()) if targets is None else targets
    return outputs[target].item(), target, outputs.softmax(0)[target].item()


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("method", ["vanilla_saliency", "smooth_grad", "centre"])
@pytest.mark.parametrize("targets", [None, 2, Unit("conv", 2), lambda out: out[:, 1] ** 2])
def test_each_map_and_answer_is_that_of_its_picture_alone(
    photos, tmp_path, targets, method, batch
):
    model = Net().train()
    before = toys.state(model)
    done = run(photos, tmp_path / "maps", model, method, batch=batch, targets=targets)
    assert toys.state(model) == before
    for name in done.names[:3]:
        image = preprocess(photos / name, size=16)
        alone = METHODS[method](model, image, targets)[0].numpy()
        np.testing.assert_allclose(done.load(name), alone, rtol=1e-3, atol=1e-7)
        saved = np.load(done.path(name))
        found = [saved[key].item() for key in ("score", "target", "probability")]
        np.testing.assert_allclose(found, explained_alone(model, image, targets), rtol=1e-3)


@pytest.mark.parametrize("targets", [None, 2, lambda outputs: outputs[:, 0]])
@pytest.mark.parametrize("size", [16, 224])  # the larger ones go through in two groups
def test_a_gradient_takes_one_pass_per_picture(photos, tmp_path, targets, size):
    model, seen = Net(), []
    model.conv.register_forward_hook(lambda layer, inputs, output: seen.append(len(output)))
    run(photos, tmp_path / "maps", model, targets=targets, size=size, batch=10)
    assert sum(seen) == 10


def test_a_method_that_passes_other_images_on_is_not_believed(photos, tmp_path):
    def darker(model, images, targets):
        return vanilla_saliency(model, images - 1, targets)

    model = Net()
    done = run(photos, tmp_path / "maps", model, method=darker)
    name = done.names[0]
    score = explained_alone(model, preprocess(photos / name, size=16), None)[0]
    assert np.load(done.path(name))["score"] == pytest.approx(score, rel=1e-4)


@pytest.mark.parametrize(
    "answer", [lambda x: {"scores": x}, lambda x: x.sum(), lambda x: 3]
)
def test_a_network_of_any_output_is_explained_by_a_function(photos, tmp_path, answer):
    class Odd(nn.Module):
        def forward(self, x):
            self.values = x.mean((1, 2, 3))
            return answer(self.values)

    model = Odd()
    done = run(photos, tmp_path / "maps", model, targets=lambda outputs: model.values)
    saved = np.load(done.path(done.names[0]))
    image = preprocess(photos / done.names[0], size=16)
    assert saved["score"] == pytest.approx(image.mean().item(), abs=1e-6)


def test_beside_the_pictures_where_no_folder_is_named(photos):
    run(photos, None, png=True)
    before = files(photos)
    assert sum(name.endswith(".map.npz") for name in before) == 10
    again = run(photos, None, png=True)  # drawn maps are not pictures of the folder
    assert (len(again.names), again.written, again.kept) == (10, 0, 10)
    assert files(photos) == before


def test_an_output_folder_inside_is_not_searched(photos):
    run(photos, photos / "maps", png=True)
    assert len(run(photos, photos / "maps", png=True).names) == 10


def test_pngs_are_drawn_to_one_limit(photos, tmp_path):
    first = run(photos, tmp_path / "a", png=True, limit=1e9)
    drawn = np.asarray(Image.open(tmp_path / "a" / f"{first.names[0]}.map.png"))
    assert drawn.shape == (16, 16, 3)
    assert len(np.unique(drawn.reshape(-1, 3), axis=0)) == 1, "far below the limit: dark"
    run(photos, tmp_path / "b", png=True)
    drawn = np.asarray(Image.open(tmp_path / "b" / f"{first.names[0]}.map.png"))
    assert len(np.unique(drawn.reshape(-1, 3), axis=0)) > 20


def test_the_table_says_what_each_map_explains(photos, tmp_path):
    names = ["ant", "bee", "cat, tame", "dog"]
    done = run(photos, tmp_path / "maps", targets=2, names=names)
    with (tmp_path / "maps" / "maps.csv").open() as table:
        lines = list(csv.reader(table))
    assert lines[0] == ["picture", "target", "name", "score", "probability", "reason"]
    assert [line[0] for line in lines[1:]] == sorted(done.names)
    assert lines[1][1:3] == ["2", "cat, tame"]
    with np.load(done.path(lines[1][0])) as saved:
        assert lines[1][3:5] == [f"{saved['score']:.4f}", f"{saved['probability']:.4f}"]
    run(photos, tmp_path / "unit", targets=Unit("conv", 2), names=names)
    line = (tmp_path / "unit" / "maps.csv").read_text().splitlines()[1].split(",")
    assert (line[1:3], line[4]) == (["", ""], "")


def test_any_method_signed_ones_too(photos, tmp_path):
    done = run(photos, tmp_path / "maps", method=lambda m, x, t: x * t, targets=3)
    image = preprocess(photos / done.names[4], size=16)[0]
    np.testing.assert_array_equal(done.load(done.names[4]), 3 * image)


def test_blank_maps_are_named(photos, tmp_path):
    done = run(photos, tmp_path / "maps", method=lambda m, x, t: 0 * x[:, 0])
    assert sorted(done.names) == done.blank
    assert repr(done).endswith("10 blank)")


def test_own_statistics_reach_the_network(photos, tmp_path):
    settings = {"mean": (0.1, 0.2, 0.3), "std": (0.5, 0.6, 0.7), "fit": "stretch"}
    done = run(photos, tmp_path / "maps", method=lambda m, x, t: x, **settings)
    image = preprocess(photos / done.names[0], size=16, **settings)[0]
    np.testing.assert_array_equal(done.load(done.names[0]), image)
    record = json.loads((tmp_path / "maps" / "maps.json").read_text())
    assert record["settings"]["mean"] == [0.1, 0.2, 0.3]


# -- a folder: stopped and resumed -----------------------------------------------------


def test_a_stop_keeps_what_is_done_and_the_next_call_goes_on(photos, tmp_path):
    whole = run(photos, tmp_path / "whole")
    first = run(photos, tmp_path / "maps", progress=lambda done, total, so_far: done < 6)
    assert first.stopped
    assert (first.written, first.kept) == (6, 0)
    assert len((tmp_path / "maps" / "maps.csv").read_text().splitlines()) == 7
    seen = []
    second = run(photos, tmp_path / "maps", progress=lambda *step: seen.append(step))
    assert (second.written, second.kept, second.stopped) == (4, 6, False)
    assert [step[:2] for step in seen] == [(3, 4), (4, 4)]
    assert [step[2].written for step in seen] == [3, 4]
    assert same_maps(whole, second)
    third = run(
        photos, tmp_path / "maps", batch=7, progress=lambda *step: seen.append(step)
    )
    assert (third.written, third.kept) == (0, 10)
    assert len(seen) == 2
    for table in (tmp_path / "maps" / "maps.csv", tmp_path / "whole" / "maps.csv"):
        assert len(table.read_text().splitlines()) == 11


def test_a_stop_after_the_last_batch_is_no_stop(photos, tmp_path):
    done = run(photos, tmp_path / "maps", progress=lambda done, *_: done < 10)
    assert (done.written, done.stopped) == (10, False)


@pytest.mark.parametrize("moment", ["half of a file", "before it is renamed", "in a map"])
def test_an_interrupt_at_the_worst_moment(photos, tmp_path, monkeypatch, moment):
    whole, calls = run(photos, tmp_path / "whole"), []

    def fifth(function, before=False):
        def call(*arguments, **more):
            calls.append(1)
            if len(calls) == 5 and before:
                raise KeyboardInterrupt
            result = function(*arguments, **more)
            if len(calls) == 5:
                Path(arguments[0]).write_bytes(b"half")
                raise KeyboardInterrupt
            return result

        return call

    with monkeypatch.context() as patch:
        if moment == "half of a file":
            patch.setattr(np, "savez", fifth(np.savez))
        elif moment == "before it is renamed":
            patch.setattr(Path, "replace", fifth(Path.replace, before=True))
        else:
            patch.setattr(job, "prepare", fifth(job.prepare, before=True))
        with pytest.raises(KeyboardInterrupt):
            run(photos, tmp_path / "maps")
    so_far = [name for name in files(tmp_path / "maps") if name != "maps.json"]
    assert not [name for name in so_far if "draft" in name]
    second = run(photos, tmp_path / "maps")
    assert second.kept == len(so_far) > 0
    assert second.kept + second.written == 10
    assert same_maps(whole, second)


def test_only_what_is_missing_or_damaged_is_made_again(photos, tmp_path):
    done = run(photos, tmp_path / "maps")
    before = files(tmp_path / "maps")
    bad = {done.names[k]: done.path(done.names[k]) for k in (1, 3, 5, 7)}
    missing, empty, short, flipped = bad.values()
    missing.unlink()
    empty.write_bytes(b"")
    short.write_bytes(short.read_bytes()[:-100])
    data = bytearray(flipped.read_bytes())
    data[600] ^= 255  # within the map
    flipped.write_bytes(data)
    times = {name: done.path(name) for name in done.names if name not in bad}
    times = {name: path.stat().st_mtime_ns for name, path in times.items()}
    again = run(photos, tmp_path / "maps")
    assert (again.written, again.kept) == (4, 6)
    assert all(done.path(name).stat().st_mtime_ns == time for name, time in times.items())
    after = files(tmp_path / "maps")
    assert after.keys() == before.keys()
    assert after["maps.csv"] == before["maps.csv"]
    assert same_maps(done, again)


def test_a_missing_drawing_is_made_again(photos, tmp_path):
    done = run(photos, tmp_path / "maps", png=True)
    done.path(done.names[0]).with_suffix(".png").unlink()
    assert run(photos, tmp_path / "maps", png=True).written == 1


def test_a_changed_picture_is_mapped_again(photos, tmp_path):
    done = run(photos, tmp_path / "maps")
    one, two, three = (photos / done.names[k] for k in (0, 4, 8))
    before = done.load(done.names[0])
    load_samples().images[11].resize((20, 20)).save(one)
    os.utime(two, ns=(1, 1))  # touched only: its content is what it was
    time, bytes_ = three.stat().st_mtime_ns, bytearray(three.read_bytes())
    Image.new("RGB", (20, 24)).save(three)  # another one, as large and as old
    three.write_bytes(three.read_bytes().ljust(len(bytes_), b"\0"))
    os.utime(three, ns=(time, time))
    again = run(photos, tmp_path / "maps")
    assert (again.written, again.kept) == (2, 8)
    why = "the picture has changed since its map was made"
    assert again.remade == {done.names[0]: why, done.names[8]: why}
    assert repr(again) == "FolderRun(10 of 10 maps: 2 made, 8 kept, 2 remade)"
    assert not np.allclose(again.load(done.names[0]), before)


def test_pictures_that_join_are_added_and_the_others_stay(photos, tmp_path):
    run(photos, tmp_path / "maps")
    before = files(tmp_path / "maps")
    load_samples().images[11].resize((20, 20)).save(photos / "aaa.png")
    more = run(photos, tmp_path / "maps")
    assert (more.written, more.kept) == (1, 10)
    after = files(tmp_path / "maps")
    assert after.keys() - before.keys() == {"aaa.png.map.npz"}
    assert all(after[n] == before[n] for n in before if n.endswith(".npz"))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"targets": 1}, "target top class, now class 1"),
        ({"targets": Unit("conv", 1)}, "target top class, now conv, channel 1"),
        ({"fit": "stretch"}, "fit 'crop', now 'stretch'"),
        ({"model": Net(seed=1)}, "network Net "),
        (
            {"method": lambda m, x, t: x[:, 0]},
            "method vanilla_saliency, now <lambda> (code ",
        ),
        ({"mean": (0, 0, 0)}, "mean [0.485"),
        ({"png": True}, "png False, now True"),
        ({"limit": 2}, "limit None, now 2.0"),
    ],
)
def test_other_settings_are_refused_by_one_sentence(photos, tmp_path, changed, words):
    run(photos, tmp_path / "maps")
    before = files(tmp_path / "maps")
    with pytest.raises(ValueError, match="^out holds maps made with other set") as error:
        run(photos, tmp_path / "maps", **changed)
    assert words in str(error.value)
    assert "\n" not in str(error.value)
    assert files(tmp_path / "maps") == before


def test_the_arguments_of_a_partial_are_settings_too(photos, tmp_path):
    run(photos, tmp_path / "maps", method=partial(smooth_grad, samples=2))
    with pytest.raises(ValueError, match=r"method smooth_grad\(.*samples=2, noise"):
        run(photos, tmp_path / "maps", method=partial(smooth_grad, samples=3))
    guided = partial(smooth_grad, 1, method=vanilla_saliency)
    words = "smooth_grad(1, method=vanilla_saliency, samples=25, noise=0.05, seed=0)"
    assert function_name(guided) == words


# -- a folder: pictures that cannot be mapped, and bad input ---------------------------


def test_unreadable_pictures_are_reported_and_tried_again(photos, tmp_path):
    name = sorted(photos.glob("*.png"))[2].name
    good = (photos / name).read_bytes()
    (photos / name).write_bytes(good[: len(good) // 2])
    (photos / "empty.jpg").write_bytes(b"")
    first = run(photos, tmp_path / "maps")
    assert first.skipped.keys() == {name, "empty.jpg"}
    assert "damaged or truncated" in first.skipped[name]
    assert (first.written, len(first.names)) == (9, 11)
    assert "2 skipped" in repr(first)
    (photos / name).write_bytes(good)
    second = run(photos, tmp_path / "maps")
    assert second.skipped.keys() == {"empty.jpg"}
    assert (second.written, second.kept) == (1, 9)


def test_a_picture_that_vanishes_or_has_too_long_a_name_is_reported(photos, tmp_path):
    gone = find_pictures(photos, deep=True)[5]
    long = "x" * 244 + ".png"
    load_samples().images[11].resize((20, 20)).save(photos / long)

    def take_away(done, total, so_far):
        gone.unlink(missing_ok=True)

    done = run(photos, tmp_path / "maps", progress=take_away)
    assert done.skipped.keys() == {gone.relative_to(photos).as_posix(), long}
    assert "too long" in done.skipped[long]
    assert done.written == 9


@pytest.mark.parametrize("batch", [1, 4])
def test_pictures_on_which_the_network_fails_are_reported(photos, tmp_path, batch):
    for name in ("aa.png", "deeper/dark.png"):
        Image.new("RGB", (20, 20)).save(photos / name)
    done = run(photos, tmp_path / "maps", Picky(), batch=batch)
    assert done.skipped.keys() == {"aa.png", "deeper/dark.png"}
    assert all("too dark for me" in reason for reason in done.skipped.values())
    assert done.written == 10
    assert run(photos, tmp_path / "maps", Picky(), batch=batch).kept == 10


@pytest.mark.parametrize("count", [1, 12])
def test_a_method_that_fails_on_every_picture_is_an_error(tmp_path, count):
    for number in range(count):
        Image.new("RGB", (20, 20), (number, 0, 0)).save(tmp_path / f"{number}.png")
    tried = []

    def failing(model, images, targets):
        tried.append(len(images))
        raise ZeroDivisionError("oh")

    with pytest.raises(RuntimeError, match="^failing fails on every picture: oh$"):
        run(tmp_path, tmp_path / "maps", method=failing)
    assert len(tried) <= 12


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"batch": 0}, "batch must be a whole number of at least 1, got 0"),
        ({"batch": True}, "batch must be a whole number"),
        ({"limit": 0}, "limit must be a number above 0"),
        ({"workers": 0}, "workers must be a whole number of at least 1"),
        ({"method": "magic"}, "vanilla_saliency"),
        ({"method": 7}, "method must be a function"),
        ({"targets": [1, 2]}, "targets must be None, one class"),
        ({"targets": 4}, "targets must be classes between 0 and 3, got 4"),
        ({"method": lambda m, x, t: x[:1]}, "method must give one map for each of 3"),
        ({"size": 0}, "size"),
        ({"fit": "squeeze"}, "fit"),
        ({"std": (0, 1, 1)}, "std"),
        ({"mean": "x"}, "mean"),
        ({"model": "squeezenet"}, "model"),
    ],
)
def test_bad_input_to_a_folder_is_refused_by_one_sentence(
    photos, tmp_path, settings, words
):
    with pytest.raises((ValueError, TypeError, RuntimeError)) as raised:
        run(photos, tmp_path / "maps", **settings)
    assert words in str(raised.value)
    assert not list((tmp_path / "maps").rglob("*.npz"))
    assert run(photos, tmp_path / "maps").written == 10, "a mistake is not held against us"


def test_folders_without_pictures_are_refused(photos, tmp_path):
    for empty in (tmp_path / "nowhere", tmp_path / "empty"):
        with pytest.raises(ValueError, match="^folder"):
            run(empty, tmp_path / "maps")
    run(photos, tmp_path / "maps", png=True)
    with pytest.raises(ValueError, match="^folder must hold pictures; .* only maps"):
        run(tmp_path / "maps", tmp_path / "more")


@pytest.mark.parametrize("text", ["[1, 2]", "", "{}", '{"settings": 3}', "\x00"])
def test_a_foreign_record_is_refused(photos, tmp_path, text):
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "maps.json").write_text(text)
    with pytest.raises(ValueError, match="^out must not hold another maps.json"):
        run(photos, tmp_path / "maps")
    assert (tmp_path / "maps" / "maps.json").read_text() == text


def test_a_folder_that_cannot_be_written_is_named(photos, tmp_path, monkeypatch):
    def full(path, *arguments, **more):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="npz cannot be written .*No space left"):
        run(photos, tmp_path / "maps")


# -- a folder: the command -------------------------------------------------------------


def command(capsys, *arguments):
    code = main([str(argument) for argument in arguments])
    return code, capsys.readouterr().err


def test_the_command(photos, tmp_path, capsys):
    arguments = (photos, "--out", tmp_path / "maps", "--size", 64, "--target", 207)
    code, words = command(capsys, *arguments)
    assert code == 0
    assert "10 of 10 pictures" in words
    assert "10 of 10 maps: 10 made, 0 kept" in words
    assert ",207,golden retriever," in (tmp_path / "maps" / "maps.csv").read_text()
    (photos / "bad.png").write_bytes(b"no")
    code, words = command(capsys, *arguments, "--batch", 4)
    assert code == 3
    assert "skipped: bad.png (" in words
    assert "10 of 11 maps: 0 made, 10 kept, 1 skipped" in words
    code, words = command(capsys, *arguments[:-1], 208)
    assert code == 1
    assert "other settings (target class 207, now class 208)" in words
    assert words.count("\n") == 1


def test_the_command_names_mistakes_and_stops(photos, tmp_path, capsys, monkeypatch):
    for wrong in ("--method=magic", "--model=magic", "--weights=nowhere.pt", "--batch=0"):
        code, words = command(capsys, photos, "--out", tmp_path / "maps", wrong)
        assert code == 1
        assert words.count("\n") == 1

    def interrupted(*arguments, **settings):
        raise KeyboardInterrupt

    monkeypatch.setattr("course_utils.your_own.__main__.map_folder", interrupted)
    code, words = command(capsys, photos)
    assert code == 130
    assert "the same command goes on" in words


def test_the_command_has_help(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    words = " ".join(capsys.readouterr().out.split())
    for part in ("--method", "--png", "--workers", "the same command goes on", "Exit code"):
        assert part in words


# -- what it stands on -----------------------------------------------------------------


def test_pictures_are_found_in_one_order_anywhere(tmp_path):
    for name in ("b.PNG", "a.jpg", "c/d.webp", "notes.txt", ".x.png", ".hidden/e.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "folder.png").mkdir()
    flat = [path.name for path in find_pictures(tmp_path)]
    assert flat == ["a.jpg", "b.PNG"]
    assert [path.name for path in find_pictures(tmp_path, deep=True)] == [*flat, "d.webp"]


def test_a_fingerprint_tells_weights_apart_on_any_device_and_layout():
    model = Net()
    assert fingerprint(model) == fingerprint(Net())
    assert fingerprint(model) == fingerprint(Net().to(memory_format=torch.channels_last))
    assert fingerprint(model) != fingerprint(Net(seed=1))
    before = fingerprint(model)
    model.norm.running_mean += 1
    assert fingerprint(model) != before, "buffers count as well"
    assert fingerprint(Net().half()) != before
    assert fingerprint(torch.nn.ReLU()) != fingerprint(torch.nn.GELU())


def test_an_answer_is_read_in_one_pass_and_leaves_no_trace():
    model, images = Net().train(), toys.batch(3)
    before, calls = toys.state(model, images), []
    hook = model.fc.register_forward_hook(lambda *_: calls.append(1))
    scores, classes, outputs, _ = predict(model, images)
    assert calls == [1]
    hook.remove()
    assert toys.state(model, images) == before
    assert torch.equal(classes, outputs.argmax(1))
    assert torch.equal(scores, outputs.amax(1))
    assert not scores.requires_grad
    scores, classes, outputs, _ = predict(model, images, [3, 0, 1])
    assert torch.equal(scores, outputs[range(3), [3, 0, 1]])
    assert classes.tolist() == [3, 0, 1]
    scores, classes, *_ = predict(model, images, lambda outputs: outputs.sum(1))
    assert classes is None
    with pytest.raises(ValueError, match="^targets must be classes between 0 and 3, got 9"):
        predict(model, images, 9)
    assert toys.state(model, images) == before


# -- nothing stops a run, nothing is passed over in silence ----------------------------

STRANGE = [
    b"new\nline.png",
    b"carriage\rreturn.png",
    b"quo\"te's, comma.png",
    b"\xff\xfe.png",
    "emoji 😀.png".encode(),
    b"a$b$%s{0}.png",
    b" .png",
    b"tab\t.png",
    b"cat.jpg",
    b"cat.png",
    b"Cat.png",
    b"road.map.png",
]


@pytest.mark.linux
def test_any_name_is_mapped_and_read_back_from_the_table(photos, tmp_path):
    image = load_samples().images[11].resize((20, 20))
    for name in STRANGE:
        image.save(photos / os.fsdecode(name))
    done = run(photos, tmp_path / "maps")
    assert (done.written, done.skipped) == (10 + len(STRANGE), {})
    assert {os.fsdecode(name) for name in STRANGE} < set(done.names)
    with (tmp_path / "maps" / "maps.csv").open(newline="", encoding="utf-8") as table:
        listed = {row["picture"] for row in csv.DictReader(table)}
    odd = {
        "carriage\rreturn.png": r"carriage\rreturn.png",
        "\udcff\udcfe.png": r"\udcff\udcfe.png",
    }
    assert listed == {odd.get(name, name) for name in done.names}
    assert run(photos, tmp_path / "maps").kept == done.written


@pytest.mark.linux
def test_what_is_no_readable_picture_is_named(photos, tmp_path):
    (photos / "notes.txt").write_text("x")
    (photos / "broken.png").symlink_to("nowhere")
    (photos / "loop.png").symlink_to("loop.png")
    (photos / "link.png").symlink_to(next(photos.glob("deeper/*.png")))
    (photos / "around").symlink_to(photos)
    os.mkfifo(photos / "pipe.png")
    (photos / ("x" * 247 + ".png")).write_bytes((photos / "link.png").read_bytes())
    done = run(photos, tmp_path / "maps")
    assert done.passed_over == {
        "around": "is a link to a folder",
        "notes.txt": "has no ending of a picture",
    }
    assert done.skipped == {
        "broken.png": "is a link that leads nowhere",
        "loop.png": "cannot be read (Too many levels of symbolic links)",
        "pipe.png": "is not a file",
        "x" * 247 + ".png": "its name is too long for that of a map",
    }
    assert (
        repr(done) == "FolderRun(11 of 15 maps: 11 made, 0 kept, 4 skipped, 2 passed over)"
    )
    with (tmp_path / "maps" / "maps.csv").open(newline="") as table:
        reasons = {row["picture"]: row["reason"] for row in csv.DictReader(table)}
    assert {name: words for name, words in reasons.items() if words} == done.skipped
    assert len(reasons) == len(done.names) == 15


def test_what_may_not_be_read_is_named(photos, tmp_path, monkeypatch):
    closed, opened = sorted(photos.glob("*.png"))[1], Path.open

    def refuse(path, *arguments, **more):
        if path == closed:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return opened(path, *arguments, **more)

    monkeypatch.setattr(Path, "open", refuse)
    done = run(photos, tmp_path / "maps")
    assert done.skipped == {closed.name: "Permission denied"}
    assert done.written == 9


def rewritten(path, **changed):
    with np.load(path) as saved:
        kept = dict(saved)
    np.savez(path, **kept | changed)


DAMAGE = {
    "its map was damaged": [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:300]),
        lambda path: path.write_bytes(os.urandom(500)),
        lambda path: path.write_bytes(b"\x80\x04K\x01."),  # a pickle, which is never run
        lambda path: rewritten(path, score=np.ones(2)),
    ],
    "its map was made with other settings, or by another version": [
        lambda path: np.savez(path, map=np.ones((16, 16))),
        lambda path: rewritten(path, settings="0123"),
    ],
    "its map had another shape, (5, 5)": [
        lambda path: rewritten(path, map=np.ones((5, 5)))
    ],
    "the picture has changed since its map was made": [
        lambda path: path.write_bytes(next(path.parent.glob("deeper/*.npz")).read_bytes()),
    ],
}


@pytest.mark.parametrize(
    ("reason", "damage"), [(r, d) for r, several in DAMAGE.items() for d in several]
)
def test_a_map_that_is_not_right_is_made_again_and_said(photos, tmp_path, reason, damage):
    done = run(photos, tmp_path / "maps")
    name = next(name for name in done.names if "/" not in name)
    before = done.load(name)
    damage(done.path(name))
    again = run(photos, tmp_path / "maps")
    assert (again.written, again.kept, again.remade) == (1, 9, {name: reason})
    np.testing.assert_allclose(again.load(name), before, rtol=1e-4, atol=1e-7)


def test_an_old_map_of_a_picture_that_is_skipped_now_is_said_to_be_old(photos, tmp_path):
    name = run(photos, tmp_path / "maps").names[0]
    (photos / name).write_bytes(b"no picture any more")
    again = run(photos, tmp_path / "maps")
    assert again.skipped[name].endswith("; the map that is there is an old one")
    assert (again.kept, again.remade) == (9, {})


def test_a_folder_where_a_map_should_be_is_named(photos, tmp_path):
    done = run(photos, tmp_path / "maps")
    path = done.path(done.names[0])
    path.unlink()
    path.mkdir()
    again = run(photos, tmp_path / "maps")
    assert "Is a directory" in again.skipped[done.names[0]]
    assert (again.written, again.kept) == (0, 9)


def test_a_picture_that_is_gone_or_has_another_name_leaves_an_orphan(photos, tmp_path):
    done = run(photos, tmp_path / "maps")
    gone, renamed = (name for name in done.names[:2])
    (photos / gone).unlink()
    (photos / renamed).rename(photos / "new.png")
    again = run(photos, tmp_path / "maps")
    assert (again.written, again.kept, again.orphaned) == (1, 8, sorted([gone, renamed]))
    assert repr(again) == "FolderRun(9 of 9 maps: 1 made, 8 kept, 2 orphaned)"
    assert gone not in (tmp_path / "maps" / "maps.csv").read_text()


def test_maps_know_their_settings_without_the_record(photos, tmp_path):
    done = run(photos, tmp_path / "maps")
    (tmp_path / "maps" / "maps.json").unlink()
    other = run(photos, tmp_path / "maps", targets=1)
    assert (other.written, other.kept, len(other.remade)) == (10, 0, 10)
    assert not np.allclose(other.load(done.names[0]), 0)


def test_maps_of_another_version_are_left_alone(photos, tmp_path):
    run(photos, tmp_path / "maps")
    record = tmp_path / "maps" / "maps.json"
    settings = json.loads(record.read_text())["settings"]
    record.write_text(json.dumps({"settings": settings | {"version": 1}}))
    before = files(tmp_path / "maps")
    with pytest.raises(
        ValueError, match="^out holds maps made by another version of the co"
    ):
        run(photos, tmp_path / "maps")
    assert files(tmp_path / "maps") == before


def test_a_picture_that_changes_during_the_run_keeps_the_map_of_what_was_read(
    photos, tmp_path, monkeypatch
):
    picture = sorted(photos.glob("*.png"))[0]

    def late(*arguments, prepare=job.prepare):
        load_samples().images[11].resize((20, 20)).save(picture)
        return prepare(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(job, "prepare", late)
        run(photos, tmp_path / "maps")
    assert picture.name in run(photos, tmp_path / "maps").remade


# -- networks, methods and questions of any kind ---------------------------------------


class NaNWhereDark(Net):
    def forward(self, x):
        return super().forward(x) / (x.amax((1, 2, 3)) > -1)[:, None].float()


@pytest.mark.parametrize("batch", [1, 4])
def test_scores_that_are_not_finite_are_named(photos, tmp_path, batch):
    Image.new("RGB", (20, 20)).save(photos / "aa.png")
    done = run(photos, tmp_path / "maps", NaNWhereDark(), batch=batch)
    (reason,) = done.skipped.values()
    assert done.skipped.keys() == {"aa.png"}
    assert "the network gives a score of " in reason
    assert done.written == 10


class PartlyNaN(Net):
    def forward(self, x):
        return super().forward(x) * torch.tensor([1, 1, 1, np.nan])


def test_a_finite_score_among_others_that_are_not_is_named(photos, tmp_path):
    words = "the network gives a score of .*, probability nan"
    with pytest.raises(RuntimeError, match=words):
        run(photos, tmp_path / "maps", PartlyNaN(), targets=1)


def test_a_network_of_nan_ends_the_run_with_a_sentence(photos, tmp_path):
    model = Net()
    model.fc.weight.data.fill_(np.nan)
    with pytest.raises(RuntimeError, match="every picture: the network gives a score of n"):
        run(photos, tmp_path / "maps", model)


class Ends(Net):
    """The network with another last step, or a first one."""

    def __init__(self, last=lambda x: x, first=lambda x: x):
        super().__init__()
        self.last, self.first = last, first

    def forward(self, x):
        return self.last(super().forward(self.first(x)))


KINDS = {
    "logits": (Ends(), lambda z: z.softmax(1)),
    "softmax": (Ends(lambda z: z.softmax(1)), lambda z: z.softmax(1)),
    "sigmoid": (Ends(lambda z: z.sigmoid()), lambda z: z.sigmoid()),
    "a single logit": (Ends(lambda z: z[:, :1]), lambda z: z[:, :1].sigmoid()),
    "all above zero": (Ends(lambda z: z + 9), lambda z: z.softmax(1)),
    "in place": (Ends(first=lambda x: x.sub_(0.0)), lambda z: z.softmax(1)),
    "DataParallel": (nn.DataParallel(Ends()), lambda z: z.softmax(1)),
    "double": (Ends().double(), lambda z: z.softmax(1)),
    "half": (Ends().half(), lambda z: z.softmax(1)),
    "bfloat16": (Ends().bfloat16(), lambda z: z.softmax(1)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_probabilities_are_those_of_the_network(photos, tmp_path, kind):
    model, shares = KINDS[kind]
    done = run(photos, tmp_path / "maps", model, batch=4)
    plain = Net().eval()
    for name in done.names:
        with torch.no_grad():
            wanted = shares(plain(preprocess(photos / name, size=16)))[0]
        with np.load(done.path(name)) as saved:
            assert saved["probability"] == pytest.approx(wanted.max().item(), rel=2e-2)
            assert saved["target"] == wanted.argmax()
            assert saved["classes"] == len(wanted)
            assert saved["map"].dtype == (np.float64 if kind == "double" else np.float32)


def test_a_dictionary_or_one_number_per_picture_is_explained_by_a_function(
    photos, tmp_path
):
    plain = run(photos, tmp_path / "plain", Net(), targets=lambda z: z[:, 1])
    for count, (last, ask) in enumerate(
        [(lambda z: {"z": z}, lambda d: d["z"][:, 1]), (lambda z: z[:, 1], lambda z: z)]
    ):
        done = run(photos, tmp_path / str(count), Ends(last), targets=ask)
        assert same_maps(plain, done)
        with pytest.raises(ValueError, match="^model must return scores of shape"):
            run(photos, tmp_path / "no", Ends(last))


def test_a_network_that_mixes_its_batch_gets_pictures_one_by_one(photos, tmp_path):
    model = Net()
    model.norm = nn.BatchNorm2d(6, track_running_stats=False)
    ones = run(photos, tmp_path / "1", model, batch=1)
    many = run(photos, tmp_path / "4", model, batch=4)
    assert same_maps(ones, many)
    for name in ones.names:
        with np.load(ones.path(name)) as one, np.load(many.path(name)) as other:
            assert one["score"] == pytest.approx(other["score"], rel=1e-4)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("method", ["vanilla", "guided", "integrated"])
def test_oblong_and_grey_pictures(photos, tmp_path, channels, method):
    model = Net()
    model.conv = nn.Conv2d(channels, 6, 3)
    inputs = Inputs(
        (12, 20), [0.5] * channels, [0.2] * channels, names=["a", "b", "c", "d"]
    )
    done = run(photos, tmp_path / "maps", model, method, size=None, inputs=inputs, png=True)
    assert done.load(done.names[0]).shape[-2:] == (12, 20)
    with Image.open(done.path(done.names[0]).with_suffix(".png")) as drawn:
        assert drawn.size == (20, 12)
    with np.load(done.path(done.names[0])) as saved:
        name = inputs.name(int(saved["target"]))
    assert f",{name}," in (tmp_path / "maps" / "maps.csv").read_text()


def test_inputs_of_the_network_itself_are_used_and_recorded(photos, tmp_path):
    model = Net()
    model.inputs = Inputs(16, (0.1, 0.2, 0.3), (0.5, 0.6, 0.7), names=["a", "b", "c", "d"])
    done = run(photos, tmp_path / "maps", model, lambda m, x, t: x, size=None, targets="C")
    image = preprocess(photos / done.names[0], inputs=model.inputs)[0]
    np.testing.assert_array_equal(done.load(done.names[0]), image)
    assert ",2,c," in (tmp_path / "maps" / "maps.csv").read_text()


@pytest.mark.parametrize(
    "method",
    [
        lambda m, x, t: None,
        lambda m, x, t: [1],
        lambda m, x, t: x[:1, 0],
        lambda m, x, t: x[:, 0, :5],
        lambda m, x, t: x[None],
        lambda m, x, t: x[:, 0].numpy(),
        lambda m, x, t: x[:, 0] * 1j,
    ],
)
def test_what_a_method_gives_must_be_maps(photos, tmp_path, method):
    with pytest.raises(
        ValueError, match=r"^method must give one map for each of 3 images, "
    ):
        run(photos, tmp_path / "maps", method=method)
    assert not list((tmp_path / "maps").rglob("*.npz"))


def test_maps_of_any_real_type_and_with_a_gradient_are_saved(photos, tmp_path):
    weight = nn.Parameter(torch.ones(()))
    kinds = [
        lambda x: x > 0,
        lambda x: x.int(),
        lambda x: x.bfloat16(),
        lambda x: x * weight,
    ]
    for count, kind in enumerate(kinds):
        done = run(photos, tmp_path / str(count), method=lambda m, x, t, k=kind: k(x[:, 0]))
        assert done.written == 10


@pytest.mark.parametrize("kept", [False, True])
def test_names_of_another_network_are_refused(photos, tmp_path, kept):
    if kept:
        run(photos, tmp_path / "maps")
    with pytest.raises(
        ValueError, match=r"^names must be one for each class of the network, 4, got 2"
    ):
        run(photos, tmp_path / "maps", names=["ant", "bee"])


def test_without_names_the_table_has_none(photos, tmp_path):
    run(photos, tmp_path / "maps")
    with (tmp_path / "maps" / "maps.csv").open(newline="") as table:
        assert {row["name"] for row in csv.DictReader(table)} == {""}


NAMES = ["Cat", "crane", "crane", "dog"]


@pytest.mark.parametrize(
    ("targets", "words"),
    [
        (
            "bird",
            "targets must be a class, by number or by name, got 'bird'; some names are",
        ),
        ("crane", "got 'crane'; of that name are 1 and 2"),
        (True, "targets must be"),
        (1.0, "targets must be None, one class"),
        (9, "targets must be classes between 0 and 3, got 9"),
        (-1, "targets must be classes between 0 and 3, got -1"),
        (Unit("conv", 99), "must name a channel of layer 'conv' between 0 and 5, got 99"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(photos, tmp_path, targets, words):
    with pytest.raises(ValueError) as raised:
        run(photos, tmp_path / "maps", targets=targets, names=NAMES)
    assert words in str(raised.value)


@pytest.mark.parametrize("targets", ["dog", "DOG", np.int64(3), torch.tensor(3)])
def test_one_class_in_any_form(photos, tmp_path, targets):
    done = run(photos, tmp_path / "maps", targets=targets, names=NAMES)
    assert same_maps(done, run(photos, tmp_path / "plain", targets=3))
    assert run(photos, tmp_path / "maps", targets=3).kept == 10


def test_a_class_by_name_needs_names(photos, tmp_path):
    with pytest.raises(
        ValueError, match="must be a number, or come with the names of the cl"
    ):
        run(photos, tmp_path / "maps", targets="dog")


def test_a_network_that_wants_another_size_is_a_sentence(photos, tmp_path):
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 4))
    with pytest.raises(
        RuntimeError, match=r"every picture: images of shape \(1, 3, 16, 16\)"
    ):
        run(photos, tmp_path / "maps", model)


def test_pictures_in_files_have_one_channel_or_three(photos, tmp_path):
    with pytest.raises(ValueError, match="^mean must be 1 number, or 3, for pictures that"):
        run(photos, tmp_path / "maps", mean=(0, 0), std=(1, 1))


def test_what_a_method_warns_of_is_said_once(photos, tmp_path):
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.GELU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    model.inputs = Inputs(16)
    with pytest.warns(UserWarning, match="GELU") as told:
        map_folder(photos, model, "guided", tmp_path / "maps", 3)
    assert len([warning for warning in told if "GELU" in str(warning.message)]) == 1


# -- the folder itself -----------------------------------------------------------------


def test_another_run_into_the_folder_ends_the_first(photos, tmp_path):
    def begin_another(done, total, so_far):
        if done == 3:
            second.append(run(photos, tmp_path / "maps"))

    second = []
    with pytest.raises(ValueError, match="^out must be used by one run at a time; another"):
        run(photos, tmp_path / "maps", progress=begin_another)
    assert (second[0].written, second[0].kept) == (7, 3)
    assert run(photos, tmp_path / "maps").kept == 10


def test_a_folder_that_is_removed_during_the_run_is_named(photos, tmp_path):
    with pytest.raises(FileNotFoundError, match="maps has been removed"):
        run(photos, tmp_path / "maps", progress=lambda *_: shutil.rmtree(tmp_path / "maps"))
    assert not (tmp_path / "maps").exists()
    assert run(photos, tmp_path / "maps").written == 10


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_a_disk_that_takes_nothing_ends_the_run(photos, tmp_path, monkeypatch, code):
    def fail(*arguments, **more):
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", fail)
        with pytest.raises(OSError, match=f"npz cannot be written .{os.strerror(code)}"):
            run(photos, tmp_path / "maps")
    with monkeypatch.context() as patch:
        patch.setattr(Image.Image, "save", fail)
        with pytest.raises(OSError, match=f"npz cannot be written .{os.strerror(code)}"):
            run(photos, tmp_path / "drawn", png=True)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "mkdir", fail)
        with pytest.raises(OSError, match=f"other cannot be written .{os.strerror(code)}"):
            run(photos, tmp_path / "other")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"folder": None}, "folder must be a path, got None"),
        ({"folder": b"x"}, "folder must be a path, got a bytes"),
        ({"folder": "a\0b"}, "folder must be a path"),
        ({"out": 3}, "out must be a path, got 3"),
        ({"out": "a\0b"}, "out must be a path"),
        ({"out": __file__}, "out must be a folder; "),
        ({"out": f"{__file__}/x"}, "cannot be written (Not a directory)"),
    ],
)
def test_what_is_no_folder_is_refused(photos, arguments, words):
    with pytest.raises((ValueError, OSError)) as raised:
        map_folder(**({"folder": photos, "model": Net(), "size": 16} | arguments))
    assert words in str(raised.value)


# -- a network of one's own, by the command line ---------------------------------------

OWN = """
import torch
from torch import nn

class Surface(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(1, 3)
    def forward(self, x):
        return self.fc(x.mean((2, 3)))

def wrong(): return 3
def fails(): raise ValueError("oh")
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A working directory with a module, a checkpoint and its inputs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "ownnet", raising=False)
    (tmp_path / "ownnet.py").write_text(OWN)
    state = {"fc.weight": torch.tensor([[1.0], [-1], [0]]), "fc.bias": torch.zeros(3)}
    torch.save(state, "net.pt")
    Inputs((12, 20), [0.5], [0.2], names=["ok", "scratch", "dent"]).save("net.pt")
    yield tmp_path
    sys.modules.pop("ownnet", None)


def test_the_command_takes_a_network_of_one_s_own(photos, own, capsys):
    given = ("--model", "ownnet:Surface", "--weights", "net.pt")
    code, words = command(capsys, photos, "--out", "a", *given, "--target", "scratch")
    assert (code, "note:" in words) == (0, False)
    assert ",1,scratch," in (own / "a" / "maps.csv").read_text()
    (own / "net.inputs.json").rename(own / "other.json")
    code, _ = command(capsys, photos, "--out", "b", *given, "--inputs", "other.json")
    assert code == 0
    code, words = command(
        capsys, photos, "--out", "c", *given, "--size", 12, "--mean", 0.5, "--std", 0.2
    )
    assert (code, "note:" in words) == (0, False)
    record = json.loads((own / "c" / "maps.json").read_text())["settings"]
    assert (record["size"], record["mean"]) == (12, [0.5])
    code, words = command(capsys, photos, "--out", "d", *given, "--mean", 0.5, "--std", 0.2)
    assert words.count("note: Surface does not say how its pictures are prepared") == 1


@pytest.mark.parametrize(
    ("model", "weights", "words"),
    [
        (
            "ownnet:Surface",
            None,
            '--weights must be the path of a checkpoint, or "random", ',
        ),
        ("ownnet:Surface", "bundled", "--weights must be a path where the network is a "),
        ("ownnet:Surface", "nowhere.pt", "there is no file nowhere.pt"),
        ("ownnet.py:Surface", "net.pt", "write ownnet:Surface"),
        ("nets/ownnet.py:Surface", "net.pt", "write nets.ownnet:Surface"),
        ("ownnet:Nope", "net.pt", "networks in ownnet are Surface"),
        ("nowhere:Surface", "net.pt", "there is no nowhere.py in"),
        ("ownnet:wrong", "net.pt", "must make a torch.nn.Module, got 3 from ownnet:wrong"),
        ("ownnet:fails", "net.pt", "ownnet:fails gives ValueError: oh"),
    ],
)
def test_a_network_that_is_not_there_is_one_sentence(
    photos, own, capsys, model, weights, words
):
    given = () if weights is None else ("--weights", weights)
    code, said = command(capsys, photos, "--out", "maps", "--model", model, *given)
    assert code == 1
    assert words in said
    assert said.count("\n") == 1
    assert not (own / "maps").exists()


def test_random_weights_are_the_same_at_every_call(own):
    one, two = (own_network("ownnet:Surface", "random") for _ in range(2))
    assert fingerprint(one) == fingerprint(two)
    assert not one.training


@pytest.mark.linux
def test_the_command_tells_all_that_is_not_as_one_might_think(photos, tmp_path, capsys):
    arguments = (photos, "--out", tmp_path / "maps", "--size", 64)
    command(capsys, *arguments)
    first, second, *_ = sorted(photos.glob("*.png"))
    first.unlink()
    (tmp_path / "maps" / f"{second.name}.map.npz").write_bytes(b"")
    (photos / "notes.txt").write_text("x")
    code, words = command(capsys, *arguments)
    assert code == 0
    assert f"orphaned: {first.name} (its map is there, the picture is gone)" in words
    assert f"remade: {second.name} (its map was damaged)" in words
    assert "passed over: notes.txt (has no ending of a picture)" in words
    for name in (b"\xff.png", b"a\nb.png"):
        (photos / os.fsdecode(name)).write_bytes(b"")
    code, words = command(capsys, *arguments)
    assert code == 3
    assert r"skipped: \udcff.png (" in words
    assert r"skipped: a\nb.png (" in words


def test_a_table_has_one_line_per_picture_whatever_the_names_and_reasons(photos, tmp_path):
    class Loud(Net):
        def forward(self, x):
            if (x.amax((1, 2, 3)) < -1).any():
                raise ValueError("too dark\r\nfor me")
            return super().forward(x)

    Image.new("RGB", (20, 20)).save(photos / "dark.png")
    names = ["a", "b\rc", 'd"e', "f,g"]
    done = run(photos, tmp_path / "maps", Loud(), targets=1, names=names)
    assert "too dark" in done.skipped["dark.png"]
    with (tmp_path / "maps" / "maps.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    assert [row["picture"] for row in rows] == done.names
    assert {row["name"] for row in rows} == {r"b\rc", ""}
