"""The benchmarks run, and say what they could not do; no timing is asserted."""

import json
import subprocess
import sys

import pytest
from address import ROOT

BENCHMARKS = ROOT / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import harness  # noqa: E402
import run  # noqa: E402


def test_jobs_take_turns_and_the_best_round_counts():
    order = []
    jobs = {name: lambda name=name: order.append(name) for name in "ab"}
    times = harness.alternate(jobs, rounds=3)
    assert order == list("ababab")
    assert all(seconds.wall >= 0 for seconds in times.values())


def test_a_peer_stands_there_with_its_fastest_setting():
    rivals = {"slow": lambda: sum(range(3_000_000)), "fast": lambda: None}
    _, name, theirs = harness.compare(lambda: None, rivals, rounds=2)
    assert name == "fast"
    row = harness.ratio_row("it", harness.Seconds(2.0, 2.0), "peer", theirs)
    assert next(iter(row)) == "times as fast"


def test_a_peer_that_is_missing_is_said():
    assert harness.peer("no_such_package") is None
    assert "not installed" in harness.table([harness.missing_row("maps", "Captum")])


def test_a_setting_with_one_thread_leaves_the_threads_as_they_were():
    import torch

    before = torch.get_num_threads()
    counts = harness.with_threads({"plain": torch.get_num_threads})
    assert counts["plain, 1 thread"]() == 1
    assert torch.get_num_threads() == before


def test_table_has_a_column_for_whatever_a_row_holds():
    text = harness.table([{"what": "a", "seconds": 0.5}, {"what": "b", "note": "c"}])
    assert text.splitlines()[0] == "| what | seconds | note |"
    assert text.splitlines()[-1] == "| b    |         | c    |"


def test_the_machine_is_described_without_naming_it():
    told = json.dumps(harness.machine())
    assert "processor" in told
    assert str(ROOT) not in told


@pytest.mark.parametrize("name", ["class_visualization", "localization_time"])
def test_a_benchmark_runs(name):
    rows = run.run(name, quick=True)
    assert not any("failed" in row for row in rows), rows
    assert all(row["times as fast"] > 0 for row in rows)


def test_a_benchmark_that_fails_is_said():
    assert "failed" in run.run("no_such_benchmark", quick=True)[0]


def test_results_are_written_between_the_markers(tmp_path, monkeypatch):
    readme = tmp_path / "README.md"
    readme.write_text("before\n" + "\nold\n".join(run.MARKERS) + "\nafter\n")
    monkeypatch.setattr(run, "README", readme)
    monkeypatch.setattr(run, "RESULTS", tmp_path / "results.json")
    rows = {"imports": [{"what": "torch", "seconds": 1.5}]}
    run.write({"date": "2020-01-01", "machine": {"cores": 2}, "rows": rows})
    text = readme.read_text()
    assert text.startswith("before") and text.endswith("after\n")
    assert "| torch | 1.5     |" in text
    assert "old" not in text
    assert json.loads((tmp_path / "results.json").read_text())["rows"] == rows


def test_the_readme_names_every_script():
    text = (BENCHMARKS / "README.md").read_text(encoding="utf-8")
    scripts = {path.name for path in BENCHMARKS.glob("*.py")} - {"harness.py", "run.py"}
    assert [name for name in scripts if f"`{name}`" not in text] == []
    assert all(f"{name}.py" in scripts for name in run.BENCHMARKS)
    assert all(marker in text for marker in run.MARKERS)


def test_an_unknown_benchmark_is_refused():
    command = [sys.executable, str(BENCHMARKS / "run.py"), "--only", "speed"]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 2
    assert "invalid choice: 'speed'" in ended.stderr
