"""Marks for a folder of notebooks that learners have handed in.

    python tools/grade.py 03 submissions/               marks.csv beside the notebooks
    python tools/grade.py 03 submissions/ --to marks/   or elsewhere

The checks, and all cells but the learners' own, come from the course's notebook. Learners'
code runs here, within limits, in processes of its own: docs/grading.md says what that
prevents, and why to do it in a container or an account that holds nothing else.
"""

import argparse
import functools
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

if __name__ == "__main__":
    # Before PyTorch comes: one thread (a process that has several cannot be forked), no
    # GPU, no windows, and nobody's progress.
    os.environ |= {
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "MPLBACKEND": "Agg",
        "COURSE_PROGRESS": "off",
    }

import torch  # noqa: E402
from address import ROOT  # noqa: E402
from grading.lesson import CLAIM, CourseLesson  # noqa: E402
from grading.processes import ENDED, OVERDUE, Interrupts, can_fork, in_processes  # noqa: E402
from grading.report import MARKS, Marked, Report, student  # noqa: E402
from grading.submission import Reading, Unreadable, read_submission  # noqa: E402
from lessons import lesson_paths  # noqa: E402

from course_utils.checks import base  # noqa: E402
from course_utils.checks.apart import apart  # noqa: E402
from course_utils.checks.base import LIMIT, WRONG, Verdict  # noqa: E402
from course_utils.checks.fence import LimitsOfAnswer  # noqa: E402
from course_utils.checks.progress import CHECK_CELL  # noqa: E402

PATIENCE = 5  # times as long as in the notebook: other submissions run at the same time
READING = 60.0  # seconds to read a file
MORE = 60.0  # seconds for the checks themselves
WARM_UP = 60.0  # seconds for the course's own solution, with all that is loaded for it
SOLUTIONS = ("notebooks", "student", "instructor", "work", "docs", "tests", "tools", ".git")


def find_notebooks(folder: Path) -> dict[str, Path]:
    """Name → path of all notebooks in a folder and its folders."""
    if not folder.is_dir():
        raise SystemExit(f"FROM must be a folder of notebooks, got {folder}")
    paths = [p for p in sorted(folder.rglob("*.ipynb")) if p.is_file()]
    own = [p for p in paths if ".ipynb_checkpoints" not in p.parts and not p.is_symlink()]
    if not own:
        raise SystemExit(f"FROM must hold notebooks (*.ipynb), and {folder} holds none")
    return {path.relative_to(folder).as_posix(): path for path in own}


def find_absent(folder: Path, notebooks: dict[str, Path]) -> list[str]:
    """The folders of learners who have handed in no notebook: one for each learner.

    Moodle makes a second folder for what a learner has typed, so a folder without a
    notebook does not say enough.
    """
    present = {student(name) for name in notebooks}
    folders: dict[str, str] = {}
    for path in sorted(folder.iterdir()):
        if path.is_dir() and (who := student(path.name)):
            folders.setdefault(who, path.name)
    return [name for who, name in folders.items() if who not in present]


def find_lesson(name: str) -> CourseLesson:
    """The lesson whose file name starts so."""
    paths = lesson_paths([name])
    if len(paths) != 1:
        found = ", ".join(path.stem for path in paths)
        raise SystemExit(f"LESSON must be one lesson, such as 03; {name} fits {found}")
    lesson = CourseLesson(paths[0])
    if not any(CHECK_CELL.fullmatch(name) for name in lesson.code):
        raise SystemExit(f"LESSON must have exercises; {paths[0].stem} has none")
    return lesson


def warm_up(lesson: CourseLesson) -> None:
    """Mark the course's own solutions: if these do not pass, nothing can be marked."""
    usual, base.LIMIT = base.LIMIT, WARM_UP
    try:
        for task, verdict in lesson.own_answers():
            if not verdict:
                words = "the course's own solution does not pass"
                raise SystemExit(f"{lesson.path.name}, {task.cell}: {words}: {verdict}")
    finally:
        base.LIMIT = usual


# -- reading ---------------------------------------------------------------------------


def read_all(
    notebooks: dict[str, Path], lesson: CourseLesson, at_once: int, interrupts: Interrupts
) -> dict[str, Reading | Marked]:
    """What each notebook holds; a row without marks for those that cannot be read."""
    others = [CourseLesson(path) for path in lesson_paths()]

    def read(path: Path, send) -> None:
        try:
            send(read_submission(path, lesson, others))
        except (Unreadable, OSError) as error:
            send(str(error))

    jobs = {name: functools.partial(read, path) for name, path in notebooks.items()}
    found = {}
    for name, sent, _ in in_processes(jobs, at_once, READING, interrupts):
        said = sent[0] if sent else "the file cannot be read"
        found[name] = Marked(name, trouble=said) if isinstance(said, str) else said
    return {name: found[name] for name in notebooks}


# -- marking ---------------------------------------------------------------------------


def seconds_for(task) -> float:
    """How long the answer of an exercise may take, all calls together."""
    return PATIENCE * task.check.patience * LIMIT


def mark(lesson, reading: Reading, spaces: dict, limits: dict, send) -> None:
    """Send (column, verdict) for each exercise; runs in a process of its own."""
    home = limits["home"]
    os.environ["HOME"] = str(home)
    os.chdir(home)
    for task in lesson.exercises:
        if words := reading.failed.get(task.cell):
            send((task.title, Verdict(task.title, WRONG, words)))
            continue
        own = LimitsOfAnswer(seconds=seconds_for(task), **limits)
        cells, names = reading.answers[task.cell], spaces[task.cell]
        with apart(cells, names, task.answers, own) as answers:
            send((task.title, task.check(*answers)))


def mark_all(
    lesson, readings: dict[str, Reading], args, hidden, interrupts: Interrupts
) -> Iterator[Marked]:
    """A row for each notebook, as they are done."""
    wanted = {
        task.cell: set().union(*(r.wanted[task.cell] for r in readings.values()))
        for task in lesson.exercises
    }
    spaces = lesson.namespaces(wanted)
    judges = [functools.cache(t.check) for t in lesson.tasks if t.cell == CLAIM]
    longest = sum(map(seconds_for, lesson.exercises)) + MORE
    with tempfile.TemporaryDirectory(prefix="grade-") as homes:
        jobs = {}
        for number, (name, reading) in enumerate(readings.items()):
            home = Path(homes) / str(number)
            home.mkdir()
            limits = {"home": home, "hidden": hidden, "memory": args.memory * 2**30}
            jobs[name] = functools.partial(mark, lesson, reading, spaces, limits)
        for name, sent, end in in_processes(jobs, args.at_once, longest, interrupts):
            one = Marked(name, dict(sent), readings[name].remarks)
            if end != ENDED:
                over = f"not done after {longest:.0f} seconds"
                one.trouble = over if end == OVERDUE else "its process broke down"
            for judge in judges:  # there is one, or none
                one.verdicts["claim check"] = judge(_choice(readings[name].choice))
            yield one


def _choice(value):
    """A choice that can be looked up: claims take letters."""
    return value if isinstance(value, (str, type(...), type(None))) else str(value)


# -- all of it -------------------------------------------------------------------------


def grade(args) -> bool:
    """Mark the folder; whether all of it was marked."""
    start, notebooks = time.perf_counter(), find_notebooks(args.folder)
    lesson, to = find_lesson(args.lesson), args.to or args.folder
    title = lesson.cells[0].source.splitlines()[0].lstrip("# ")
    absent = find_absent(args.folder, notebooks)
    report = Report(to, title, lesson.tasks, notebooks, absent)
    print(f"{title}: {len(notebooks)} notebooks, {args.at_once} at a time", flush=True)
    hidden = [ROOT / name for name in SOLUTIONS] + [ROOT / "course_utils" / "checks"]
    hidden = (*hidden, args.folder.resolve(), to.resolve())

    def tell(one: Marked) -> None:
        report.add(one)
        done, seconds = len(report.marked), time.perf_counter() - start
        words = one.trouble or one.score(lesson.tasks)
        print(f"{seconds:6.1f} s {done:4} of {len(notebooks)}  {one.name}: {words}")
        sys.stdout.flush()

    interrupts = Interrupts()
    try:
        with interrupts.noticed():
            warm_up(lesson)
            found = read_all(notebooks, lesson, args.at_once, interrupts)
            for broken in (one for one in found.values() if isinstance(one, Marked)):
                tell(broken)
            readings = {n: one for n, one in found.items() if isinstance(one, Reading)}
            for one in mark_all(lesson, readings, args, hidden, interrupts):
                tell(one)
    except KeyboardInterrupt:
        done = f"{len(report.marked)} of {len(notebooks)}"
        print(f"\nStopped; {done} notebooks are marked: {to / MARKS}")
        return False
    print(f"{report.summary()}\n{to / MARKS}, and a page for each learner in {to}/feedback")
    return True


def main() -> None:
    """Read the command line and mark a folder."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2
    parser.add_argument("lesson", help="start of the lesson's name, such as 03")
    parser.add_argument("folder", type=Path, help="of the notebooks, at any depth")
    parser.add_argument("--to", type=Path, help="folder of the marks (that of notebooks)")
    parser.add_argument("--at-once", type=int, default=cores, help="notebooks at a time")
    parser.add_argument("--memory", type=int, default=2, help="gigabytes for an answer")
    args = parser.parse_args()
    if not (can_fork() and sys.platform.startswith("linux")):
        raise SystemExit("Marking needs Linux: use a container (docs/grading.md).")
    torch.set_num_threads(1)
    sys.stdout.reconfigure(errors="backslashreplace")  # for names that are not in UTF-8
    raise SystemExit(0 if grade(args) else 130)


if __name__ == "__main__":
    main()
