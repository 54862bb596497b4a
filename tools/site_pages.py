"""Texts of the repository as pages of the website: their links, sections and terms."""

import re
from pathlib import Path

from address import ROOT

# Code, where nothing is a link; or a link or picture. A target may hold brackets, in pairs.
LINK = re.compile(
    r"""^\ *(?P<fence>```+|~~~+).*?^\ *(?P=fence) | `+[^`\n]+`+
    | (?P<before>\]\(<?|<img\ [^>]*?src=")(?P<target>(?:[^()\s<>"]|\([^()\s]*\))+)""",
    re.DOTALL | re.MULTILINE | re.VERBOSE,
)
PICTURES = (".jpg", ".png", ".webp")


# -- links -----------------------------------------------------------------------------


class Links:
    """Where the links of a page lead: to another page, to a picture, to the repository."""

    def __init__(self, sources: list[Path], address: str):
        self.sources, self.address = sources, address
        self.pictures: set[Path] = set()

    def follow(self, text: str, source: Path) -> str:
        """Markdown of the file `source` with links that lead somewhere on the site."""

        def new(match: re.Match) -> str:
            target = match["target"]
            if target is None or re.match(r"\w+:|#", target):  # code, or a full address
                return match[0]
            return match["before"] + self.target(target, source)

        return LINK.sub(new, text)

    def target(self, target: str, source: Path) -> str:
        """A relative link of `source` as it stands on the site."""
        name, _, anchor = target.partition("#")
        path = (source.parent / name).resolve()
        if not path.is_relative_to(ROOT) or not path.exists():
            file = source.relative_to(ROOT)
            raise SystemExit(f"{file}: the link {target!r} leads to nothing")
        if path in self.sources:
            return target
        if path.suffix in PICTURES:
            self.pictures.add(path)
            return target
        kind = "tree" if path.is_dir() else "blob"
        place = f"{self.address}/{kind}/main/{path.relative_to(ROOT).as_posix()}"
        return f"{place}#{anchor}" if anchor else place


# -- parts of a text ------------------------------------------------------------------


def section(text: str, heading: str) -> str:
    """What stands below a heading of the second level, up to the next one."""
    match = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    if match is None:
        raise SystemExit(f"README.md has no heading {heading!r} any more")
    return match[1].strip()


def code_in(text: str) -> str:
    """The first fenced code of a text, with its fences."""
    match = re.search(r"^```.*?^```$", text, re.DOTALL | re.MULTILINE)
    if match is None:
        raise SystemExit("README.md shows no code any more where it says how to start")
    return match[0]


def as_glossary(text: str) -> str:
    """The glossary with its entries, `- **term**: words`, as terms that Sphinx knows."""
    entry = r"^- \*\*(.+?)\*\*: (.*(?:\n  .*)*)\n"

    def terms(group: re.Match) -> str:
        found = re.findall(entry, group[0], re.MULTILINE)
        lines = "\n".join(f"{term}\n  {words}\n" for term, words in found)
        return f"```{{glossary}}\n{lines}```\n"

    return re.sub(f"(?:{entry})+", terms, text, flags=re.MULTILINE)
