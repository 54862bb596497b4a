"""The course as a website: its stored pages, laid out by Jupyter Book. Nothing is executed.

    make site                                  into build/site
    .venv-site/bin/python tools/website.py     the same

A copy of the pages that `site/_toc.yml` lists is prepared in build/site-source: what a
prediction asks for is folded, links to files that are not on the site lead to the
repository, and the package's docstrings become pages. Jupyter Book makes the site of it.
"""

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
from site_pages import Links, as_glossary, code_in, section

SITE, SOURCE, OUT = ROOT / "site", ROOT / "build" / "site-source", ROOT / "build" / "site"
# What of MathJax the formulas need beside its program: extensions and fonts, no speech.
MATHJAX = ("input/tex", "output/chtml")


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
    """The file that a page is made of; None for a page about a module."""
    if page.startswith("modules/"):
        return None
    if page in ("index", "package"):
        return SITE / f"{page}.md"
    for ending in (".ipynb", ".md"):
        if (path := ROOT / f"{page}{ending}").is_file():
            return path
    raise SystemExit(f"site/_toc.yml lists {page!r}, but there is no such page")


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
    parts["start"] = lambda: code_in(readme)
    return re.sub(r"<!-- (\w+) -->", lambda match: parts[match[1]](), text)


def write(path: Path, text: str) -> None:
    """Write a file, in a folder that is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


# -- the site --------------------------------------------------------------------------


def lay_out(source: Path, out: Path) -> None:
    """Let Jupyter Book make the site of the prepared pages; a warning ends it."""
    program = Path(sys.executable).with_name("jupyter-book")
    command = [program, "build", "-W", "--keep-going", "--path-output", source, source]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode:
        raise SystemExit(f"{run.stderr}\nJupyter Book stumbled: see its lines above.")
    site = source / "_build" / "html"
    mathjax = Path(find_spec("sphinx-mathjax-offline").origin).parent / "static" / "mathjax"
    place = site / "_static" / "mathjax"
    for macros in (site / "_static").glob("*macros.html"):
        macros.unlink()  # the theme's own, which are no pages
    for name in MATHJAX:
        shutil.copytree(mathjax / name, place / name)
    shutil.copy(mathjax / "tex-chtml.js", place)
    shutil.rmtree(out, ignore_errors=True)
    shutil.move(site, out)


def main() -> None:
    """Build the site; a former one stays until the new one is whole."""
    shutil.rmtree(SOURCE, ignore_errors=True)
    prepare(SOURCE)
    lay_out(SOURCE, OUT)
    print(f"The site is in {OUT}: open {OUT / 'index.html'}")


if __name__ == "__main__":
    main()
