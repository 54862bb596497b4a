"""A folder shared among workers of Ray: the same maps, also when a worker is killed."""

import os
import signal
import sys
import time

import numpy as np
import pytest
from PIL import Image

from course_utils import load_model, load_samples, map_folder, vanilla_saliency
from course_utils.your_own.cluster import _share, map_on_cluster

COUNT = 200


@pytest.fixture(scope="module")
def cluster():
    """A local Ray with two cores, and one GPU that is declared and not used."""
    ray = pytest.importorskip("ray")
    ray.init(num_cpus=2, num_gpus=1, include_dashboard=False, log_to_driver=False)
    yield ray
    ray.shutdown()


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Two hundred small JPEGs: each photograph of the course in several cuts."""
    folder, pictures = tmp_path_factory.mktemp("photos"), load_samples().images
    for number in range(COUNT):
        left = 8 * (number // len(pictures))
        picture = pictures[number % len(pictures)].resize((200, 140))
        picture.crop((left, 0, left + 130, 140)).save(folder / f"{number:03}.jpg")
    return folder


@pytest.mark.nightly
@pytest.mark.slow
def test_a_killed_worker_s_pictures_are_made_by_another(cluster, photos, tmp_path):
    out, marker = tmp_path / "cluster", tmp_path / "killed"

    def once_deadly(model, images, targets):
        if len(list(out.glob("*.npz"))) > COUNT // 3 and not marker.exists():
            marker.write_text(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGKILL)
        return vanilla_saliency(model, images, targets)

    model, seen = load_model(), []
    settings = {"size": 96, "method": once_deadly, "batch": 8}
    shared = map_folder(
        photos,
        model,
        out=out,
        workers=2,
        progress=lambda done, total, so_far: seen.append((done, total)),
        **settings,
    )
    assert int(marker.read_text()) != os.getpid()
    assert (shared.written, shared.kept, shared.skipped) == (COUNT, 0, {})
    assert seen[-1] == (COUNT, COUNT)
    plain = map_folder(photos, model, out=tmp_path / "plain", **settings)
    assert plain.names == shared.names
    for name in plain.names:
        np.testing.assert_allclose(shared.load(name), plain.load(name), rtol=0, atol=1e-6)
    tables = [(folder / "maps.csv").read_text() for folder in (out, tmp_path / "plain")]
    assert tables[0] == tables[1]


@pytest.mark.nightly
@pytest.mark.slow
def test_what_is_there_is_kept_and_what_fails_is_listed(cluster, tmp_path):
    Image.new("RGB", (30, 30), "red").save(tmp_path / "a.png")
    Image.new("RGB", (30, 30), "blue").save(tmp_path / "c.png")
    (tmp_path / "b.png").write_bytes(b"")
    model, settings = load_model(), {"out": tmp_path / "maps", "size": 64, "batch": 1}
    first = map_folder(tmp_path, model, progress=lambda *_: False, **settings)
    assert (first.written, first.stopped) == (1, True)
    second = map_folder(tmp_path, model, workers=2, **settings)
    assert (second.written, second.kept) == (1, 1)
    assert second.skipped.keys() == {"b.png"}
    alone = map_folder(tmp_path, model, **settings)
    assert (alone.skipped, alone.remade) == (second.skipped, {})
    with pytest.raises(ValueError, match="other settings"):
        map_folder(tmp_path, model, "guided", workers=1, **settings)
    (tmp_path / "b.png").unlink()
    assert map_folder(tmp_path, model, workers=1, **settings).kept == 2
    third = map_folder(
        tmp_path, model, png=True, workers=1, **settings | {"out": tmp_path / "x"}
    )
    assert third.written == 2
    failed = (
        r"^a worker \(process \d+ on .*\) has failed on the batch from 'a.png' to 'a.png': "
    )
    with pytest.raises(RuntimeError, match=failed + "method must give one map for each"):
        map_folder(
            tmp_path, model, lambda *_: 3, workers=1, **settings | {"out": tmp_path / "y"}
        )


@pytest.mark.parametrize(
    ("gpus", "workers", "share"),
    [(1, 1, 1), (1, 2, 1 / 2), (2, 2, 1), (2, 3, 1 / 2), (8, 2, 1), (0, 2, 1)],
)
def test_workers_share_the_gpus_that_are_there(gpus, workers, share):
    assert _share(gpus, workers) == share


@pytest.mark.nightly
@pytest.mark.slow
def test_two_workers_share_one_gpu(cluster, tmp_path):
    end = time.time() + 120

    def make(names):
        """Wait until both workers have been at work: neither may wait for the other."""
        (tmp_path / str(os.getpid())).touch()
        while len(list(tmp_path.iterdir())) < 2 and time.time() < end:
            time.sleep(0.1)
        return names

    batches = [[str(number)] for number in range(40)]  # more than one worker is handed
    made = list(map_on_cluster(make, batches, workers=2, gpu=True))
    assert sorted(made) == sorted(batches)
    assert len(list(tmp_path.iterdir())) == 2


def test_without_ray_the_sentence_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    Image.new("RGB", (30, 30)).save(tmp_path / "a.png")
    with pytest.raises(ModuleNotFoundError, match=r'pip install "ray\[data\]"'):
        map_folder(tmp_path, load_model(), size=64, workers=2)
