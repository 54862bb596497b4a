"""Maps of a folder: the same files however it is stopped, resumed and shared out."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import toys
from address import ROOT
from PIL import Image

from course_utils import Unit, load_samples, map_folder, preprocess, vanilla_saliency
from course_utils import map_folders as module
from course_utils.images import find_pictures
from course_utils.models import fingerprint
from course_utils.targets import read_answer

COMMAND = [sys.executable, "-m", "course_utils.map_folders"]
SMALL = {"size": 16, "batch": 3}
ALONE = os.environ | {"OMP_NUM_THREADS": "1"}


class Net(torch.nn.Module):
    """Small, but with all that could make a batch differ from its pictures."""

    def __init__(self, seed=0):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.conv, self.norm = torch.nn.Conv2d(3, 6, 3), torch.nn.BatchNorm2d(6)
            self.drop, self.fc = torch.nn.Dropout(0.5), torch.nn.Linear(6, 4)

    def forward(self, x):
        return self.fc(self.drop(torch.relu(self.norm(self.conv(x))).mean((2, 3))))


@pytest.fixture
def photos(tmp_path):
    """Ten pictures, three of them one folder further in."""
    samples = load_samples()
    for number, image in enumerate(samples.images[:10]):
        place = tmp_path / "photos" / ("deeper" if number % 4 == 1 else "")
        place.mkdir(parents=True, exist_ok=True)
        image.resize((20, 24)).save(place / f"{samples.names[number]}.png")
    return tmp_path / "photos"


def files(folder):
    """Name → bytes, of all that lies in a folder."""
    paths = sorted(p for p in Path(folder).rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in paths}


def run(photos, out, model=None, **settings):
    model = Net() if model is None else model
    return map_folder(photos, model, out=out, **(SMALL | settings))


# -- what it makes ---------------------------------------------------------------------


def test_a_map_for_each_picture_in_a_mirror_of_the_tree(photos, tmp_path):
    done = run(photos, tmp_path / "maps")
    assert (len(done.names), done.written, done.kept) == (10, 10, 0)
    assert not done.skipped
    assert not done.stopped
    assert sum("deeper" in name for name in done.names) == 3
    wanted = {f"{name}.map.npz" for name in done.names} | {"maps.json", "maps.csv"}
    assert files(tmp_path / "maps").keys() == wanted
    assert repr(done) == "FolderRun(10 of 10 maps: 10 made, 0 kept)"


def test_each_map_is_that_of_its_picture_alone(photos, tmp_path):
    model = Net()
    done = run(photos, tmp_path / "maps", model)
    for name in done.names:
        image = preprocess(photos / name, size=16)
        alone = vanilla_saliency(model, image)[0].numpy()
        np.testing.assert_allclose(done.load(name), alone, rtol=1e-3, atol=1e-7)
        with torch.no_grad():
            scores = model.eval()(image)[0]
        saved = np.load(done.path(name))
        assert saved["target"] == scores.argmax()
        np.testing.assert_allclose(saved["score"], scores.max(), rtol=1e-4)
        np.testing.assert_allclose(saved["probability"], scores.softmax(0).max(), rtol=1e-4)


def test_beside_the_pictures_where_no_folder_is_named(photos):
    run(photos, None, png=True)
    before = files(photos)
    assert sum(name.endswith(".map.npz") for name in before) == 10
    again = run(photos, None, png=True)  # the drawn maps are no pictures of the folder
    assert (len(again.names), again.written, again.kept) == (10, 0, 10)
    assert files(photos) == before


def test_an_output_folder_inside_is_not_searched(photos):
    run(photos, photos / "maps", png=True)
    again = run(photos, photos / "maps", png=True)
    assert len(again.names) == 10


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
    lines = (tmp_path / "maps" / "maps.csv").read_text().splitlines()
    assert lines[0] == "picture,target,name,score,probability"
    assert len(lines) == 11
    assert lines[1].startswith(f'{sorted(done.names)[0]},2,"cat, tame",')


@pytest.mark.parametrize(
    ("targets", "explained"),
    [
        (Unit("conv", 2), lambda model, x: model.conv(x)[:, 2].mean((1, 2))),
        (
            lambda outputs: outputs[:, 1] - outputs[:, 0],
            lambda m, x: m(x)[:, 1] - m(x)[:, 0],
        ),
    ],
)
def test_units_and_functions_can_be_explained(photos, tmp_path, targets, explained):
    model = Net()
    done = run(photos, tmp_path / "maps", model, targets=targets)
    image = preprocess(photos / done.names[0], size=16)
    saved = np.load(done.path(done.names[0]))
    with torch.no_grad():
        score = explained(model.eval(), image).item()
    np.testing.assert_allclose(saved["score"], score, rtol=1e-4)
    assert saved["target"] == -1
    assert np.isnan(saved["probability"])


def test_any_method_signed_ones_too(photos, tmp_path):
    def signed(model, images, targets):
        return images * targets.view(-1, 1, 1, 1)

    done = run(photos, tmp_path / "maps", method=signed, targets=3)
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


def test_the_network_and_the_threads_are_left_as_they_were(photos, tmp_path):
    model = Net().train()
    before, threads = toys.state(model), torch.get_num_threads()
    run(photos, tmp_path / "maps", model)
    assert toys.state(model) == before
    assert torch.get_num_threads() == threads


# -- stopped and resumed ---------------------------------------------------------------


def test_a_stop_keeps_what_is_done_and_the_next_call_goes_on(photos, tmp_path):
    whole = run(photos, tmp_path / "whole")
    first = run(photos, tmp_path / "maps", progress=lambda done, total: done < 6)
    assert first.stopped
    assert (first.written, first.kept) == (6, 0)
    seen = []
    second = run(photos, tmp_path / "maps", progress=lambda *step: seen.append(step))
    assert (second.written, second.kept, second.stopped) == (4, 6, False)
    assert seen == [(3, 4), (4, 4)]
    assert files(tmp_path / "maps") == files(tmp_path / "whole")
    assert second.names == whole.names
    third = run(photos, tmp_path / "maps")
    assert (third.written, third.kept) == (0, 10)


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError, MemoryError])
@pytest.mark.parametrize("moment", ["half of a file", "before it is renamed", "in a map"])
def test_an_interrupt_at_the_worst_moment(photos, tmp_path, monkeypatch, moment, error):
    run(photos, tmp_path / "whole")
    with monkeypatch.context() as patch:
        calls = []

        def fifth(function):
            def call(*arguments, **more):
                calls.append(1)
                if len(calls) == 5:
                    raise error("now")
                return function(*arguments, **more)

            return call

        if moment == "half of a file":
            patch.setattr(module.os, "fsync", fifth(os.fsync))
        elif moment == "before it is renamed":
            patch.setattr(Path, "replace", fifth(Path.replace))
        else:
            patch.setattr(module, "preprocess", fifth(preprocess))
        if (moment, error) == ("in a map", OSError):  # a picture that could not be read
            assert len(run(photos, tmp_path / "maps").skipped) == 1
        else:
            with pytest.raises(error):
                run(photos, tmp_path / "maps")
    so_far = files(tmp_path / "maps")
    assert not [name for name in so_far if "draft" in name]
    complete(tmp_path / "maps")
    run(photos, tmp_path / "maps")
    maps = files(tmp_path / "maps")
    if (moment, error) != ("in a map", OSError):
        assert maps == files(tmp_path / "whole")
    assert maps.keys() == files(tmp_path / "whole").keys()


def complete(folder):
    """How many maps there are; each of them must be whole."""
    paths = list(Path(folder).rglob("*.map.npz"))
    for path in paths:
        with np.load(path) as saved:
            assert saved["map"].shape == (16, 16)
            assert saved["score"].shape == ()
    return len(paths)


def test_only_what_is_missing_is_written(photos, tmp_path):
    done = run(photos, tmp_path / "maps")
    before = files(tmp_path / "maps")
    times = {name: done.path(name).stat().st_mtime_ns for name in done.names}
    done.path(done.names[1]).unlink()
    assert run(photos, tmp_path / "maps").written == 1
    assert files(tmp_path / "maps") == before
    changed = [n for n in done.names if done.path(n).stat().st_mtime_ns != times[n]]
    assert changed == [done.names[1]]


def test_what_a_killed_run_left_half_written_is_removed(photos, tmp_path):
    out = tmp_path / "maps"
    (out / "deeper").mkdir(parents=True)
    (out / "deeper" / ".x.png.map.npz.draft").write_bytes(b"half")
    (out / ".mine.draft").write_bytes(b"somebody else's")
    run(photos, out)
    assert [name for name in files(out) if "draft" in name] == [".mine.draft"]


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
        ({"batch": 4}, "batch 3, now 4"),
        ({"targets": 1}, "targets 'top class', now 'class 1'"),
        ({"fit": "stretch"}, "fit 'crop', now 'stretch'"),
        ({"model": Net(seed=1)}, "weights '"),
        ({"method": lambda m, x, t: x[:, 0]}, "method 'vanilla_saliency', now"),
        ({"mean": (0, 0, 0)}, "mean"),
        ({"png": True}, "png False, now True"),
    ],
)
def test_other_settings_are_refused_by_one_sentence(photos, tmp_path, changed, words):
    run(photos, tmp_path / "maps")
    before = files(tmp_path / "maps")
    with pytest.raises(ValueError, match="^out: .*other settings") as error:
        run(photos, tmp_path / "maps", **changed)
    assert words in str(error.value)
    assert "\n" not in str(error.value)
    assert files(tmp_path / "maps") == before


def test_a_second_run_in_the_same_folder_is_refused(photos, tmp_path):
    inside, go_on = threading.Event(), threading.Event()

    def hold(done, total):
        inside.set()
        assert go_on.wait(30)

    thread = threading.Thread(
        target=run, args=(photos, tmp_path / "maps"), kwargs={"progress": hold}
    )
    thread.start()
    try:
        assert inside.wait(30)
        if module.fcntl is not None:
            with pytest.raises(RuntimeError, match="another run is at work"):
                run(photos, tmp_path / "maps")
    finally:
        go_on.set()
        thread.join()
    assert run(photos, tmp_path / "maps").kept == 10


# -- what cannot be read, and bad input ------------------------------------------------


def test_unreadable_pictures_are_reported_and_tried_again(photos, tmp_path):
    run(photos, tmp_path / "whole")
    name = sorted(photos.glob("*.png"))[2].name
    good = (photos / name).read_bytes()
    (photos / name).write_bytes(good[: len(good) // 2])
    (photos / "empty.jpg").write_bytes(b"")
    first = run(photos, tmp_path / "maps")
    assert first.skipped.keys() == {name, "empty.jpg"}
    assert "damaged or truncated" in first.skipped[name]
    assert (first.written, len(first.names)) == (9, 11)
    assert "2 unreadable" in repr(first)
    (photos / name).write_bytes(good)
    second = run(photos, tmp_path / "maps")
    assert second.skipped.keys() == {"empty.jpg"}
    assert (second.written, second.kept) == (1, 9)


def test_a_picture_that_was_taken_away_is_reported(photos, tmp_path):
    first = run(photos, tmp_path / "maps", progress=lambda *_: False)
    gone = first.names[5]
    (photos / gone).unlink()
    second = run(photos, tmp_path / "maps")
    assert second.skipped.keys() == {gone}
    assert "there is no file" in second.skipped[gone]


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"batch": 0}, ValueError, "batch: wants a whole number from 1, not 0"),
        ({"threads": 1.5}, ValueError, "threads: wants a whole number"),
        ({"method": "magic"}, ValueError, "method: wants one of vanilla_saliency"),
        ({"method": 7}, TypeError, "method: wants a name or a function"),
        ({"targets": [1, 2]}, TypeError, "targets: wants None, one class"),
        ({"targets": 4}, ValueError, "targets: there is no class 4"),
        ({"method": lambda m, x, t: x[:1]}, ValueError, "method: wants to give a map for"),
        ({"size": 0}, ValueError, "size: wants"),
        ({"fit": "squeeze"}, ValueError, "fit: wants"),
        ({"std": (0, 1, 1)}, ValueError, "std: wants three positive"),
        ({"mean": None}, ValueError, "mean: wants three finite"),
        ({"model": "squeezenet"}, TypeError, "model: wants a torch.nn.Module, not str"),
    ],
)
def test_bad_input_is_refused_by_one_sentence(photos, tmp_path, settings, error, words):
    with pytest.raises(error) as raised:
        run(photos, tmp_path / "maps", **settings)
    assert words in str(raised.value)
    assert not list((tmp_path / "maps").rglob("*.npz"))
    assert run(photos, tmp_path / "maps").written == 10, "a mistake is not held against us"


def test_folders_without_pictures_are_refused(tmp_path):
    for folder in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(ValueError, match="^folder: .* holds no pictures"):
            run(folder, tmp_path / "maps")


def test_a_foreign_record_is_refused(photos, tmp_path):
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "maps.json").write_text("[1, 2]")
    with pytest.raises(ValueError, match="no record of such a run"):
        run(photos, tmp_path / "maps")


@pytest.mark.parametrize("name", ["../escape.png", "/escape.png", "deeper/../../x.png"])
def test_a_record_whose_names_lead_out_of_the_folder_is_refused(photos, tmp_path, name):
    (tmp_path / "maps").mkdir()
    record = {"settings": {}, "batches": [[name]]}
    (tmp_path / "maps" / "maps.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match="no record of such a run"):
        run(photos, tmp_path / "maps")


def test_a_folder_that_cannot_be_written_is_named(photos, tmp_path, monkeypatch):
    def full(path, *arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="^out: .* cannot be written .*No space left"):
        run(photos, tmp_path / "maps")


# -- the command, killed and shared out ------------------------------------------------

NETWORK = """import torch
from torch import nn

def slow():
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 32, 3), nn.ReLU(), *(nn.Conv2d(32, 32, 3), nn.ReLU()) * 6]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 4))
"""


@pytest.fixture
def command(photos, tmp_path):
    """The command line for ten pictures and a network of one's own."""
    (tmp_path / "mine.py").write_text(NETWORK)
    arguments = [str(photos), "--network", "mine:slow", "--size", "96", "--batch", "2"]

    def start(out, launcher=COMMAND, *more):
        return subprocess.Popen(
            [*launcher, *arguments, "--out", str(tmp_path / out), *more],
            cwd=tmp_path,
            env=ALONE | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


def finish(process):
    _, words = process.communicate(timeout=300)
    assert process.returncode == 0, words
    return words


@pytest.mark.installed
def test_killed_again_and_again_it_ends_with_the_same_files(command, tmp_path):
    assert "10 of 10 maps: 10 made, 0 kept" in finish(command("whole"))
    out, chance = tmp_path / "maps", random.Random(0)
    for kill in (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM):
        before = len(list(out.rglob("*.map.npz")))
        process = command("maps")
        while process.poll() is None and len(list(out.rglob("*.map.npz"))) <= before:
            time.sleep(0.002)
        time.sleep(chance.uniform(0, 0.05))  # somewhere in the next batch
        process.send_signal(kill)
        _, words = process.communicate(timeout=60)
        for path in out.rglob("*.map.npz"):
            with np.load(path) as saved:
                assert saved["map"].shape == (96, 96)
        if kill != signal.SIGKILL and process.returncode == 130:
            assert "the same command goes on" in words
            assert not list(out.rglob(".*.draft"))
    finish(command("maps"))
    assert files(out) == files(tmp_path / "whole")


@pytest.mark.installed
def test_two_processes_make_the_same_files_as_one(command, tmp_path):
    finish(command("one"))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    torchrun += ["--nproc-per-node=2", "-m", "course_utils.map_folders"]
    words = finish(command("two", torchrun))
    assert "10 of 10 maps: 10 made, 0 kept" in words
    assert files(tmp_path / "two") == files(tmp_path / "one")
    for path in list((tmp_path / "two").rglob("*.npz"))[:5]:  # and they resume
        path.unlink()
    assert "10 of 10 maps: 5 made, 5 kept" in finish(command("two", torchrun))
    assert files(tmp_path / "two") == files(tmp_path / "one")


@pytest.mark.installed
def test_the_command_answers_mistakes_in_one_line(command, tmp_path):
    process = command("maps", COMMAND, "--batch", "0")
    _, words = process.communicate(timeout=60)
    assert process.returncode == 2
    assert words.strip() == "batch: wants a whole number from 1, not 0"


def in_process(capsys, *arguments):
    before = signal.getsignal(signal.SIGTERM)
    try:
        code = module.main([str(a) for a in arguments])
    finally:
        signal.signal(signal.SIGTERM, before)
    return code, capsys.readouterr().err


def test_the_command_in_this_process(photos, tmp_path, capsys):
    (photos / "bad.png").write_bytes(b"no")
    arguments = (photos, "--out", tmp_path / "maps", "--size", 64, "--target", 207)
    code, words = in_process(capsys, *arguments)
    assert code == 0
    assert "11 of 11 pictures" in words
    assert "unreadable: bad.png" in words
    assert "10 of 11 maps: 10 made" in words
    assert ",207,golden retriever," in (tmp_path / "maps" / "maps.csv").read_text()
    code, words = in_process(capsys, *arguments[:-1], 208)
    assert code == 2
    assert "other settings (targets 'class 207', now 'class 208')" in words


def test_a_unit_by_the_command(photos, tmp_path, capsys):
    place = (photos, "--out", tmp_path / "maps", "--size", 64)
    assert in_process(capsys, *place, "--unit", "fire9", "x")[0] == 2
    code, words = in_process(capsys, *place, "--unit", "fire9", 17)
    assert code == 0
    assert "is zero everywhere" in words, "that unit is silent on some of the pictures"
    record = json.loads((tmp_path / "maps" / "maps.json").read_text())
    assert record["settings"]["targets"] == "unit fire9 17"


def test_a_network_that_cannot_be_imported_is_named(photos, capsys):
    code, words = in_process(capsys, photos, "--network", "nowhere:net")
    assert code == 2
    assert "network: 'nowhere:net' cannot be imported" in words


def test_help_says_how_to_use_more_cores(capsys):
    with pytest.raises(SystemExit):
        module.main(["--help"])
    words = " ".join(capsys.readouterr().out.split())
    for part in ("torchrun --nproc-per-node", "--method", "--unit", "goes on"):
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
    scores, classes, outputs = read_answer(model, images)
    assert calls == [1]
    hook.remove()
    assert toys.state(model, images) == before
    assert torch.equal(classes, outputs.argmax(1))
    assert torch.equal(scores, outputs.amax(1))
    assert not scores.requires_grad
    scores, classes, outputs = read_answer(model, images, [3, 0, 1])
    assert torch.equal(scores, outputs[range(3), [3, 0, 1]])
    assert classes.tolist() == [3, 0, 1]
    scores, classes, _ = read_answer(model, images, lambda outputs: outputs.sum(1))
    assert classes is None
    with pytest.raises(ValueError, match="^targets: there is no class 9"):
        read_answer(model, images, 9)
    assert toys.state(model, images) == before
