"""The pages of docs/: their code is run as it stands there, so it is written once."""

import re

from address import ROOT


def page(name: str) -> str:
    """The text of a page in docs/."""
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def code_of(name: str) -> dict[str, str]:
    """The Python below each second-level heading that has any."""
    found = {}
    for part in re.split(r"^## ", page(name), flags=re.MULTILINE)[1:]:
        blocks = re.findall(r"^```python\n(.*?)^```$", part, re.DOTALL | re.MULTILINE)
        if blocks:
            found[part.partition("\n")[0]] = "\n\n".join(blocks)
    return found
