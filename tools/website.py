"""The course as a website: its stored pages, laid out by Jupyter Book. Nothing is executed.

    make site                                  into build/site
    .venv-site/bin/python tools/website.py     the same; --out FOLDER puts it elsewhere

A copy of the pages that `site/_toc.yml` lists is prepared in build/site-source: what a
prediction asks for is folded, links to files that are not on the site lead to the
repository, and the package's docstrings become pages. Jupyter Book makes the site of it.
"""

import argparse
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import yaml
from address import ROOT, read_address
from site_lessons import prepare_lesson, toy
from site_modules import MODULES, module_page, module_table

SITE, SOURCE, OUT = ROOT / "site", ROOT / "build" / "site-source", ROOT / "build" / "site"
# What of MathJax the formulas need beside its program: extensions and fonts, no speech.
MATHJAX = ("input/tex", "output/chtml")

CODE = r"^ *(?P<fence>```+|~~~+).*?^ *(?P=fence)|`+[^`\n]+`+"
LINK = re.compile(
    rf"{CODE}|(?P<before>\]\(<?|<img [^>]*?src=\")(?P<target>(?:[^()\s<>\"]|\([^()\s]*\))+)",
    re.DOTALL | re.MULTILINE,
)


# -- which pages -----------------------------------------------------------------------


def read_contents() -> dict:
    """The table of contents, with the package's modules below the page about it."""
    contents = yaml.safe_load((SITE / "_toc.yml").read_text(encoding="utf-8"))
    page = next(one for one in chapters(contents) if one["file"] == "package")
    page["sections"] = [{"file": f"modules/{name}", "title": name} for name in MODULES]
    return contents


def chapters(contents: dict) -> list[dict]:
    """The chapters of a table of contents, whatever their part."""
    return [chapter for part in contents["parts"] for chapter in part["chapters"]]


def listed(contents: dict) -> list[str]:
    """The pages of a table of contents, without their endings."""
    below = [one for page in chapters(contents) for one in page.get("sections", [])]
    return [contents["root"], *(one["file"] for one in [*chapters(contents), *below])]


def source_of(page: str) -> Path | None:
    """The file of the repository that a page is made of; None for a page that is written."""
    if page.startswith("modules/"):
        return None
    if page in ("index", "package"):
        return SITE / f"{page}.md"
    for ending in (".ipynb", ".md"):
        if (path := ROOT / f"{page}{ending}").is_file():
            return path
    raise SystemExit(f"site/_toc.yml lists {page!r}, but there is no such page")


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
            return match["before"] + self.target(target, source, match["before"])

        return LINK.sub(new, text)

    def target(self, target: str, source: Path, before: str = "](") -> str:
        """A relative link of `source` as it stands on the site."""
        name, _, anchor = target.partition("#")
        path = (source.parent / name).resolve()
        if not path.is_relative_to(ROOT) or not path.exists():
            raise SystemExit(
                f"{source.relative_to(ROOT)}: the link {target!r} leads to nothing"
            )
        if path in self.sources:
            return target
        if before.startswith("<img") or path.suffix in (".jpg", ".png", ".webp"):
            self.pictures.add(path)
            return target
        kind = "tree" if path.is_dir() else "blob"
        place = f"{self.address}/{kind}/main/{path.relative_to(ROOT).as_posix()}"
        return f"{place}#{anchor}" if anchor else place


# -- the copy that Jupyter Book reads --------------------------------------------------


def prepare(folder: Path) -> None:
    """Write all that Jupyter Book needs into an empty folder."""
    contents, address = read_contents(), read_address()
    config = yaml.safe_load((SITE / "_config.yml").read_text(encoding="utf-8"))
    config["repository"] = {"url": address, "branch": "main"}
    pages = {page: source_of(page) for page in listed(contents)}
    links = Links([path for path in pages.values() if path], address)
    for page, source in pages.items():
        ending = source.suffix if source else ".md"
        write(folder / f"{page}{ending}", page_text(page, source, links))
    for picture in links.pictures:
        place = folder / picture.relative_to(ROOT)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(picture, place)
    shutil.copytree(SITE / "_static", folder / "_static")
    write(folder / "_toc.yml", yaml.safe_dump(contents, sort_keys=False))
    write(folder / "_config.yml", yaml.safe_dump(config, sort_keys=False))


def page_text(page: str, source: Path | None, links: Links) -> str:
    """What a page holds, as Jupyter Book reads it."""
    if source is None:
        return module_page(page.removeprefix("modules/"))
    if source.suffix == ".ipynb":
        return prepare_lesson(source, links.follow)
    text = source.read_text(encoding="utf-8")
    if source.parent == SITE:  # it stands at the top of the site, as README.md at home
        return links.follow(filled_in(text), ROOT / source.name)
    text = links.follow(text, source)
    return as_glossary(text) if source.stem == "glossary" else text


def filled_in(text: str) -> str:
    """A page of site/ with what stands elsewhere in place of `<!-- name -->`."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    parts = {"toy": toy, "modules": module_table}
    parts["snippets"] = lambda: section(readme, "The package")
    parts["start"] = lambda: re.search(r"```sh\n.*?```", section(readme, "Start"), re.DOTALL)[0]
    return re.sub(r"<!-- (\w+) -->", lambda match: parts[match[1]](), text)


def section(text: str, heading: str) -> str:
    """What stands below a heading of the second level, up to the next one."""
    match = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    if match is None:
        raise SystemExit(f"README.md has no heading {heading!r} any more")
    return match[1].strip()


def as_glossary(text: str) -> str:
    """The glossary with its entries, `- **term**: words`, as terms that Sphinx knows."""
    entry = r"^- \*\*(.+?)\*\*: (.*(?:\n  .*)*)\n"

    def terms(group: re.Match) -> str:
        found = re.findall(entry, group[0], re.MULTILINE)
        lines = "\n".join(f"{term}\n  {words}\n" for term, words in found)
        return f"```{{glossary}}\n{lines}```\n"

    return re.sub(f"(?:{entry})+", terms, text, flags=re.MULTILINE)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


# -- the site --------------------------------------------------------------------------


def lay_out(source: Path, out: Path) -> None:
    """Let Jupyter Book make the site of the prepared pages; a warning ends it."""
    program = Path(sys.executable).with_name("jupyter-book")
    command = [str(program), "build", "-q", "-W", "--keep-going"]
    command += ["--path-output", str(source), str(source)]
    if subprocess.run(command).returncode:
        raise SystemExit("Jupyter Book stumbled over the pages: see its lines above")
    shutil.rmtree(out, ignore_errors=True)
    shutil.move(source / "_build" / "html", out)
    mathjax = Path(find_spec("sphinx-mathjax-offline").origin).parent / "static" / "mathjax"
    place = out / "_static" / "mathjax"
    for name in MATHJAX:
        shutil.copytree(mathjax / name, place / name)
    shutil.copy(mathjax / "tex-chtml.js", place)


def main() -> None:
    """Read the command line and build the site."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=OUT, help="the folder it is put into")
    out = parser.parse_args().out
    shutil.rmtree(SOURCE, ignore_errors=True)
    prepare(SOURCE)
    lay_out(SOURCE, out)
    print(f"The site is in {out}: open {out / 'index.html'}")


if __name__ == "__main__":
    main()
