"""Write `data/CREDITS.md`: who made the pictures and weights, on one page for people.

    python tools/credits.py            write the page
    python tools/credits.py --check    only check that it is up to date (exit 1 if not)

Everything on the page comes from `data/photos.json` and `data/models/*.json`.
"""

import json
import sys
from pathlib import Path

DATA = Path(__file__).resolve().parent.parent / "data"
PAGE = DATA / "CREDITS.md"

INTRODUCTION = """\
# Credits

We thank everyone whose pictures and networks are free for all to use. Each may be passed
on under the licence in its row; the licence of the course's code does not extend to them.
The last column says how a picture was changed. The words that state each licence, the file
in which they were found and the hash of every picture are in [photos.json](photos.json).

This page is written by `tools/credits.py`: edit the data, not the page.
"""

HEADINGS = {
    "photos": "Photographs",
    "scenes": "Scenes without an object",
    "cutouts": "Cut-outs",
}

TABLE_HEAD = """\
| Picture | Author | Licence | Source | Found in | Changes |
|---|---|---|---|---|---|"""

# Licences whose own text has to travel with the file.
LICENCE_FILES = {"BSD-2-Clause": "LICENSE-enlightenment.txt"}

NETWORK = """\
## Network and class names

[{file}](<models/{file}>)

- {network}
- Paper: [{paper}](<{paper_url}>)
- Licence: {licence} ([text](<models/{licence_file}>))
- Source: [original](<{original_url}>)
- Found in {source[registry]}: {source[package]} {source[version]} ({source[licence]}), \
`{source[path]}`
- Changes: {changes}
"""

CLASSES = """\
[imagenet_classes.json](<models/imagenet_classes.json>)

- The names of the 1000 ImageNet classes
- Licence: {licence} ([text](<models/{licence_file}>))
- Source: {source}
"""


def load(name: str) -> dict:
    """Read a JSON file of the data folder."""
    return json.loads((DATA / name).read_text(encoding="utf-8"))


def link(text: str, target: str) -> str:
    """A Markdown link."""
    return f"[{text}](<{target}>)"


def licence(entry: dict) -> str:
    """The name of a picture's licence, with a link to its text."""
    name = entry["licence"]
    if name == "LicenseRef-public-domain":
        return "public domain"
    text = link(name, entry["licence_url"])
    extra = f" ({link('text', LICENCE_FILES[name])})" if name in LICENCE_FILES else ""
    return text + extra


def row(kind: str, entry: dict) -> str:
    """The row of one picture in the table of its kind."""
    url = entry["source_url"]
    cells = (
        link(entry["title"], f"{kind}/{entry['file']}"),
        entry["author"],
        licence(entry),
        link("original", url) if url else "the package",
        "{registry}: {package} {version}".format(**entry["source"]),
        entry["changes"],
    )
    return f"| {' | '.join(cells)} |"


def page() -> str:
    """The whole page."""
    sections = [INTRODUCTION]
    for kind, entries in load("photos.json").items():
        rows = "\n".join(row(kind, entry) for entry in entries)
        sections.append(f"## {HEADINGS[kind]}\n\n{TABLE_HEAD}\n{rows}\n")
    sections.append(NETWORK.format(**load("models/squeezenet1_1.json")))
    sections.append(CLASSES.format(**load("models/imagenet_classes.json")))
    return "\n".join(sections)


if __name__ == "__main__":
    if "--check" not in sys.argv:
        PAGE.write_text(page(), encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page():
        raise SystemExit("data/CREDITS.md is out of date: run python tools/credits.py")
