"""Folders: a map per picture, however the run is stopped, whatever the pictures are."""

import csv
import errno
import json
import os
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
from course_utils.models import fingerprint
from course_utils.targets import predict
from course_utils.your_own import job
from course_utils.your_own.__main__ import main
from course_utils.your_own.identity import function_name

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
