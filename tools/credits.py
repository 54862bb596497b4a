"""Write `data/CREDITS.md`: who made the pictures and weights, on one page for people.

    python tools/credits.py            write the page anew
    python tools/credits.py --check    only say whether it is up to date (exit 1 if not)

All that the page says comes from `data/photos.json` and `data/models/*.json`.
"""

import argparse
import json
from pathlib import Path
from typing import Any

DATA = Path(__file__).resolve().parent.parent / "data"
PAGE = DATA / "CREDITS.md"

INTRODUCTION = """\
# Credits

Our thanks to everyone whose pictures and networks are free for all to use. Each may
be passed on under the licence in its row; the licence of the course's code does not
extend to them. The last column says how a picture was changed before it was saved.
The words that show each licence, the exact file they were found beside and every
picture's hash are in [photos.json](photos.json).

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

Entry = dict[str, Any]


def load(name: str) -> dict[str, Any]:
    """Read a JSON file of the data folder."""
    return json.loads((DATA / name).read_text(encoding="utf-8"))


def link(text: str, target: str | None) -> str:
    """Return a Markdown link, or the bare text where there is no target."""
    return f"[{text}](<{target}>)" if target else text


def licence(entry: Entry) -> str:
    """Name a picture's licence, with a link to its text."""
    name = entry["licence"]
    if name == "LicenseRef-public-domain":
        return "public domain"
    text = link(name, entry["licence_url"])
    if name in LICENCE_FILES:
        text += f" ({link('text', LICENCE_FILES[name])})"
    return text


def row(kind: str, entry: Entry) -> str:
    """Return one picture's row of the table."""
    source = entry["source"]
    cells = (
        link(entry["title"], f"{kind}/{entry['file']}"),
        entry["author"],
        licence(entry),
        link("original", entry["source_url"]) if entry["source_url"] else "the package",
        f"{source['registry']}: {source['package']} {source['version']}",
        entry["changes"],
    )
    return f"| {' | '.join(cells)} |"


def model_licence(entry: Entry) -> str:
    """Name the licence of a file in `models/`, with a link to its text."""
    text = link("text", f"models/{entry['licence_file']}")
    return f"{entry['licence']} ({text})"


def models_section() -> str:
    """Describe the bundled network and the list of class names."""
    network = load("models/squeezenet1_1.json")
    classes = load("models/imagenet_classes.json")
    source = network["source"]
    package = f"{source['package']} {source['version']} ({source['licence']})"
    return f"""\
## Network and class names

{link(network["file"], f"models/{network['file']}")}

- {network["network"]}
- Paper: {link(network["paper"], network["paper_url"])}
- Licence: {model_licence(network)}
- Source: {link("original", network["original_url"])}
- Found in {source["registry"]}: {package}, `{source["path"]}`
- Changes: {network["changes"]}

{link("imagenet_classes.json", "models/imagenet_classes.json")}

- The names of the 1000 ImageNet classes
- Licence: {model_licence(classes)}
- Source: {classes["source"]}
"""


def page() -> str:
    """Return the whole page."""
    sections = [INTRODUCTION]
    for kind, entries in load("photos.json").items():
        rows = "\n".join(row(kind, entry) for entry in entries)
        sections.append(f"## {HEADINGS[kind]}\n\n{TABLE_HEAD}\n{rows}\n")
    sections.append(models_section())
    return "\n".join(sections)


def main() -> None:
    """Write the page, or check it."""
    parser = argparse.ArgumentParser(description="Write data/CREDITS.md.")
    parser.add_argument("--check", action="store_true", help="only compare")
    if not parser.parse_args().check:
        PAGE.write_text(page(), encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page():
        raise SystemExit("data/CREDITS.md is out of date: run python tools/credits.py")


if __name__ == "__main__":
    main()
