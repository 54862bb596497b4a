"""The course's public address: pyproject.toml holds it, and every link follows.

    python tools/address.py https://github.com/you/your-course    change it everywhere

Colab opens notebooks only from GitHub, so the address is a repository there.
"""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COLAB = "https://colab.research.google.com/github"
BADGE = "https://colab.research.google.com/assets/colab-badge.svg"

# Links to the course's repository, with the part that must agree.
LINKS = re.compile(
    r"colab\.research\.google\.com/github/([\w.-]+/[\w.-]+)/"
    r"|raw\.githubusercontent\.com/([\w.-]+/[\w.-]+)/"
    r"|github\.com/([\w.-]+/[\w.-]+)/blob/v[\d.]+/(?:course_utils|data|docs|student)/"
    r"|mybinder\.org/v2/gh/([\w.-]+/[\w.-]+)/"
    r"|git clone (?:--?[\w=-]+ )*https://github\.com/([\w.-]+/[\w-]+)"
    r"|repository-code: \W?https://github\.com/([\w.-]+/[\w-]+)"
    r"|https://github\.com/([\w.-]+/[\w.-]+)/(?:actions/workflows|issues/new)"
    r"|site\.yml/badge\.svg\)\]\(https://([\w-]+\.github\.io/[\w.-]+)/"
)
# The release in a link to a file of the course, after the repository.
RELEASES = r"{}/(?:blob/|tree/|raw/)?(v\d[\w.]*)/"
HAS_LINKS = {".cff", ".ipynb", ".md", ".toml", ".yml"}
TEXT = HAS_LINKS | {".json", ".py", ".txt", ""}


def read_address(root: Path = ROOT) -> str:
    """The address in `root`'s pyproject.toml, such as https://github.com/you/course."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    return project["project"]["urls"]["Repository"]


def slug(address: str) -> str:
    """The owner and name in an address: you/course."""
    match = re.fullmatch(r"https://github\.com/([\w.-]+/[\w.-]+?)(?:\.git)?/?", address)
    if match is None:
        raise SystemExit(f"URL must be https://github.com/OWNER/NAME, got {address!r}")
    return match[1]


def read_release(root: Path = ROOT) -> str:
    """The tag of this release, after the version in `root`'s pyproject.toml: v1.0.0."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    return f"v{project['project']['version']}"


def colab_link(notebook: str, address: str) -> str:
    """Where Colab opens the student edition of the lesson called `notebook`."""
    return f"{COLAB}/{slug(address)}/blob/{read_release()}/student/{notebook}"


def colab_badge(notebook: str, address: str) -> str:
    """The picture *Open in Colab*, in Markdown, which links there."""
    return f"[![Open in Colab]({BADGE})]({colab_link(notebook, address)})"


def page_link(path: str, address: str) -> str:
    """Where GitHub shows this release's file `path`, a picture as it is."""
    if path.endswith((".jpg", ".png", ".webp")):
        return f"https://raw.githubusercontent.com/{slug(address)}/{read_release()}/{path}"
    return f"{address}/blob/{read_release()}/{path}"


def text_files(root: Path = ROOT, suffixes: set[str] = TEXT) -> list[Path]:
    """The text files that git tracks or would track, by their suffixes."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=root, capture_output=True, check=True).stdout
    paths = [root / name for name in names.decode().split("\0") if name]
    return [path for path in paths if path.suffix in suffixes and path.is_file()]


def site(own: str) -> str:
    """Where GitHub publishes the site of the repository `own`, such as you/course."""
    owner, name = own.split("/")
    return f"{owner}.github.io/{name}"


def disagreements(root: Path = ROOT) -> list[str]:
    """A line for each link to another repository, or another release, than the course's."""
    own, release = slug(read_address(root)), read_release(root)
    releases = re.compile(RELEASES.format(re.escape(own)))
    found = []
    for path in text_files(root, HAS_LINKS):
        text = path.read_text(encoding="utf-8")
        for pattern, wanted in ((LINKS, (own, site(own))), (releases, (release,))):
            for match in pattern.finditer(text):
                if next(filter(None, match.groups())) not in wanted:
                    words = f"{match[0]} is not {wanted[0]}"
                    found.append(f"{path.relative_to(root)}: {words}")
    return found


def change_address(address: str, root: Path = ROOT) -> list[str]:
    """Replace the old address by the new one everywhere; return the changed files."""
    old, new = slug(read_address(root)), slug(address)
    # After `git clone`, the reader changes into the folder of that name.
    folders = f"cd {old.split('/')[1]}", f"cd {new.split('/')[1]}"
    changed = []
    for path in text_files(root, HAS_LINKS):
        before = path.read_text(encoding="utf-8")
        after = before.replace(old, new).replace(*folders).replace(site(old), site(new))
        if after != before:
            path.write_text(after, encoding="utf-8")
            changed.append(str(path.relative_to(root)))
    return changed


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: make address URL=https://github.com/OWNER/NAME")
    print("\n".join(change_address(sys.argv[1]) or ["nothing to change"]))
