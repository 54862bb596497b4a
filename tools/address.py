"""The course's public address: it stands in pyproject.toml, and everything follows it.

    python tools/address.py https://github.com/you/your-course    change it everywhere
    python tools/address.py --check                               find what disagrees

Colab opens notebooks from GitHub alone, so the address is a repository there.
"""

import argparse
import re
import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COLAB = "https://colab.research.google.com/github"

# Where a file names the course's repository, with the part that must agree.
LINKS = re.compile(
    r"colab\.research\.google\.com/github/([\w.-]+/[\w.-]+)/"
    r"|mybinder\.org/v2/gh/([\w.-]+/[\w.-]+)/"
    r"|git clone (?:--?[\w=-]+ )*https://github\.com/([\w.-]+/[\w-]+)"
    r"|repository-code: \W?https://github\.com/([\w.-]+/[\w-]+)"
)
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
        raise SystemExit(f"URL: wants https://github.com/OWNER/NAME, not {address!r}")
    return match[1]


def colab_link(notebook: str, address: str) -> str:
    """Where Colab opens the lesson whose file is called `notebook`."""
    return f"{COLAB}/{slug(address)}/blob/main/notebooks/{notebook}"


def text_files(root: Path = ROOT, suffixes: set[str] = TEXT) -> list[Path]:
    """The text files that git tracks or would track, by the end of their names."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=root, capture_output=True, check=True).stdout
    paths = [root / name for name in names.decode().split("\0") if name]
    return [path for path in paths if path.suffix in suffixes and path.is_file()]


def disagreements(root: Path = ROOT) -> list[str]:
    """A line for every link that leads to another repository than the course's."""
    own = slug(read_address(root))
    found = []
    for path in text_files(root, HAS_LINKS):
        for match in LINKS.finditer(path.read_text(encoding="utf-8")):
            other = next(group for group in match.groups() if group)
            if other != own:
                found.append(f"{path.relative_to(root)}: {match[0]} is not {own}")
    return found


def change_address(address: str, root: Path = ROOT) -> list[str]:
    """Write the new address wherever the old one stands; return the changed files."""
    old, new = slug(read_address(root)), slug(address)
    # After `git clone` the reader changes into the folder of that name.
    folders = f"cd {old.split('/')[1]}", f"cd {new.split('/')[1]}"
    changed = []
    for path in text_files(root, HAS_LINKS):
        before = path.read_text(encoding="utf-8")
        after = before.replace(old, new).replace(*folders)
        if after != before:
            path.write_text(after, encoding="utf-8")
            changed.append(str(path.relative_to(root)))
    return changed


def main() -> None:
    """Read the command line; change the address or check it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("url", nargs="?", help="https://github.com/OWNER/NAME")
    parser.add_argument("--check", action="store_true", help="change nothing")
    arguments = parser.parse_args()
    if arguments.check == bool(arguments.url):
        parser.error("give either a URL or --check")
    if arguments.url:
        print("\n".join(change_address(arguments.url) or ["nothing to change"]))
    elif found := disagreements():
        raise SystemExit("\n".join([*found, f"run: make address URL={read_address()}"]))


if __name__ == "__main__":
    main()
