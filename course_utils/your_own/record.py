"""What a folder run writes beside the maps: its settings and its table."""

import csv
import io
import json
import secrets
from pathlib import Path

from .._machinery.arguments import ArgumentError
from .._machinery.files import write_whole
from ..inputs import Inputs
from .settings import in_words, write_json, writing

VERSION = 2  # of what a map's file holds, and of how the settings are recorded
COLUMNS = ("picture", "target", "name", "score", "probability", "reason")


class Record:
    """``maps.json``: the settings of the maps in a folder, and which run is at work there.

    Raises:
        ArgumentError: the folder holds maps that were made with other settings.
        OSError: it cannot be made or written.
    """

    def __init__(self, out: Path, settings: dict, maps: str):
        self.path, self.settings = out / "maps.json", {"version": VERSION} | settings
        with writing(out):
            if out.is_file():
                raise ArgumentError("out", f"must be a folder; {out} is a file")
            out.mkdir(parents=True, exist_ok=True)
        with writing(self.path):
            earlier = self._before()
        other = "; ".join(
            f"{key} {in_words(earlier.get(key))}, now {in_words(value)}"
            for key, value in self.settings.items()
            if earlier.get(key) != value
        )
        if other and any(out.rglob(maps)):
            words = f"holds maps made with other settings ({other}); keep those settings,"
            if earlier.get("version") != VERSION:
                words = (
                    "holds maps made by another version of the course; keep to that one,"
                )
            raise ArgumentError("out", f"{words} or choose another folder than {out}")
        self.run = secrets.token_hex(8)
        write_json(self.path, {"settings": self.settings, "run": self.run})

    def _before(self) -> dict:
        """The settings of the maps that are there; the run's own if there is no record."""
        try:
            return dict(json.loads(self.path.read_text(encoding="utf-8"))["settings"])
        except FileNotFoundError:
            return self.settings
        except (ValueError, KeyError, TypeError) as error:
            words = f"must not hold another maps.json; {self.path} is not of such a run"
            raise ArgumentError("out", words) from error

    def check(self) -> None:
        """Refuse to go on once another run has begun in this folder."""
        try:
            now = json.loads(self.path.read_text(encoding="utf-8")).get("run")
        except FileNotFoundError:
            words = f"{self.path.parent} has been removed, or its maps.json, during the run"
            raise FileNotFoundError(words) from None
        if now != self.run:
            words = "must be used by one run at a time; another one has begun in "
            raise ArgumentError("out", f"{words}{self.path.parent}, so this one ends")

    def close(self) -> None:
        """No run is at work any more."""
        write_json(self.path, {"settings": self.settings})


def write_table(path: Path, rows: list[dict], inputs: Inputs) -> None:
    r"""``maps.csv``: what each map explains, or the reason why a picture has none.

    Linux allows names that no table can hold: a carriage return in one becomes ``\r``, and
    bytes that are no text ``\udcff``.
    """
    text = io.StringIO()
    table = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\n")
    table.writeheader()
    for row in sorted(rows, key=lambda row: row["picture"]):
        if inputs.names is not None and "target" in row:
            row = row | {"name": inputs.name(row["target"])}
        table.writerow({key: _on_one_line(value) for key, value in row.items()})
    data = text.getvalue().encode("utf-8", "backslashreplace")
    with writing(path):
        write_whole(path, lambda draft: draft.write_bytes(data))


def _on_one_line(value):
    """A text without carriage returns, which readers take for the end of a line."""
    return value.replace("\r", r"\r") if isinstance(value, str) else value
