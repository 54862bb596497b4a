"""Pages about the package: a module's docstrings, which are Markdown with formulas.

The modules are read, not imported, so that building the site needs no PyTorch.
"""

import logging
import re
from functools import cache

import griffe
from address import ROOT

# What the modules of lessons stand on; those of lessons are listed in CONTRIBUTING.md.
BASE = {
    "models": "Networks, and units inside them",
    "images": "From pictures to a network's input and back",
    "inputs": "How a network's pictures are prepared",
    "samples": "The photographs of the course",
    "targets": "What is explained: classes, units, functions",
    "methods": "Every method by its name",
    "map_layers": "The layer that Grad-CAM looks at",
    "figures": "Plots, and what they show in words",
    "labs.toys": "Pictures that answer to the hand on any page",
}
ROW = re.compile(r"^\| (?P<lessons>\d\d(?:, \d\d)*) \| (?P<files>`.*?`) \|", re.MULTILINE)
TABLE = re.compile(r"^=+(?: +=+)+\n(?:.+\n)*=+(?: +=+)+$", re.MULTILINE)
PROMPT = re.compile(r"(?:^>>> .*\n(?:^(?!>>>).+\n)*)+", re.MULTILINE)
NAME = re.compile(r"(?<![`}])`(\w+)`(?!`)")
ARXIV = re.compile(r"arXiv:(\d{4}\.\d{4,5})")
PACKAGE = "course_utils"

logging.getLogger("griffe").setLevel(logging.ERROR)  # arguments share a line in our docs


@cache
def lessons_of_modules() -> dict[str, str]:
    """Module → its lessons, such as "02, 03", from the table in CONTRIBUTING.md."""
    found: dict[str, list[str]] = {}
    for row in ROW.finditer((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")):
        for name in re.findall(r"`(\w+)(?:\.py|/)`", row["files"]):
            found.setdefault(name, []).append(row["lessons"])
    return {name: ", ".join(lessons) for name, lessons in found.items()}


MODULES = [*lessons_of_modules(), *BASE]


@cache
def package() -> griffe.Module:
    """The package, read."""
    return griffe.load(PACKAGE, search_paths=[ROOT], docstring_parser="google")


# -- pages -----------------------------------------------------------------------------


def module_page(name: str) -> str:
    """The page of one module: what it is for, then its public functions and classes."""
    module = package()[name]
    file = module.filepath.relative_to(ROOT).as_posix()
    lessons = lessons_of_modules().get(name)
    head = f"Lesson {lessons} · `{file}`" if lessons else f"`{file}`"
    first, *rest = module.docstring.value.split("\n", 1)
    about = as_markdown(first + "\n" + "".join(rest))
    parts = [f"# {name}", head, about]
    home = f"{PACKAGE}.{name}"
    parts += [f"```{{py:currentmodule}} {home}\n```"]
    parts += [thing_page(thing) for thing in public(module)]
    return "\n\n".join(parts) + "\n"


def module_table() -> str:
    """A table of all modules, with links to their pages."""
    lessons = lessons_of_modules()
    rows = ["| module | lesson | for |", "|---|---|---|"]
    for name in MODULES:
        about = BASE.get(name) or title_of(package()[name])
        rows.append(
            f"| {{doc}}`{name} <modules/{name}>` | {lessons.get(name, '')} | {about} |"
        )
    return "\n".join(rows)


def title_of(module: griffe.Module) -> str:
    """What a module is for: the first line of its docstring, without the lesson."""
    line = module.docstring.value.split("\n")[0].rstrip(".:")
    line = re.sub(r" \(lessons? .*|, (as in )?lesson .*|^Lesson \d+: ", "", line)
    return line[0].upper() + line[1:]


def public(module: griffe.Module) -> list[griffe.Object]:
    """What a module defines and documents for others, in the order of its text."""
    members = module.members.values()
    things = [m for m in members if not m.is_alias]
    if module.is_init_module:  # its door: what it imports from its own files
        door = [m for m in members if m.is_alias and m.target_path.startswith(module.path)]
        things = [alias.final_target for alias in door]
    things = [t for t in things if t.is_function or t.is_class]
    return [t for t in things if not t.name.startswith("_") and t.docstring]


def thing_page(thing: griffe.Object, depth: int = 6) -> str:
    """A function or class as a directive of Sphinx, and what its docstring says."""
    fence = "`" * depth
    body = [as_markdown_sections(thing)]
    if thing.is_class:
        kind, title = "class", thing.name + class_arguments(thing)
        body += [fields_of(thing)]
        members = [m for m in thing.members.values() if not m.name.startswith("_")]
        body += [thing_page(m, depth - 1) for m in members if m.docstring]
    elif thing.is_function:
        kind = "method" if thing.parent.is_class else "function"
        title = thing.name + arguments_of(thing)
    else:
        kind, title = "property", thing.name
        if thing.annotation:
            body.insert(0, f":type: {thing.annotation}\n")
    text = "\n\n".join(part for part in body if part)
    return f"{fence}{{py:{kind}}} {title}\n{text}\n{fence}"


def arguments_of(function: griffe.Function) -> str:
    """A function's signature as it is written, on one line."""
    shown, star = [], False
    for one in function.parameters:
        if one.name in ("self", "cls"):
            continue
        mark = {"variadic positional": "*", "variadic keyword": "**"}.get(
            one.kind.value, ""
        )
        if one.kind.value == "keyword-only" and not star:
            shown.append("*")
        star = star or one.kind.value in ("keyword-only", "variadic positional")
        text = mark + one.name
        text += f": {one.annotation}" if one.annotation else ""
        equals = " = " if one.annotation else "="
        text += f"{equals}{one.default}" if one.default is not None and not mark else ""
        shown.append(text)
    returns = f" -> {function.returns}" if function.returns else ""
    return f"({', '.join(shown)}){returns}"


def class_arguments(thing: griffe.Class) -> str:
    """How a class is called: nothing if it has fields, which are shown below."""
    maker = thing.members.get("__init__")
    if maker is None or "dataclass" in thing.labels:
        return ""
    return re.sub(r" -> .*", "", arguments_of(maker))


def fields_of(thing: griffe.Class) -> str:
    """The fields of a class as they are written, with their comments."""
    fields = [m for m in thing.members.values() if m.is_attribute and m.annotation]
    lines = [m.lineno for m in fields if "property" not in m.labels and m.lineno]
    if not lines:
        return ""
    ends = [m.endlineno for m in fields if "property" not in m.labels and m.lineno]
    written = thing.source.splitlines()
    first = thing.lineno
    shown = written[min(lines) - first : max(ends) - first + 1]
    indent = min(len(line) - len(line.lstrip()) for line in shown if line.strip())
    return "```python\n" + "\n".join(line[indent:] for line in shown) + "\n```"


# -- docstrings ------------------------------------------------------------------------


def as_markdown_sections(thing: griffe.Object) -> str:
    """A docstring of Google's form as Markdown."""
    parts = []
    for section in thing.docstring.parsed:
        if section.kind.value == "text":
            parts.append(as_markdown(section.value))
        elif section.kind.value in ("parameters", "raises", "attributes"):
            parts += [f"**{section.kind.value.capitalize()}**", entries(section)]
        elif section.title == "Example":
            parts.append(f"```pycon\n{section.value.description}\n```")
        else:
            raise SystemExit(f"{thing.path}: the site knows no section {section.title!r}")
    return "\n\n".join(parts)


def entries(section: griffe.DocstringSection) -> str:
    """Arguments, or errors, as a list."""
    lines = []
    for one in section.value:
        name = getattr(one, "name", None) or one.annotation
        names = ", ".join(f"`{each.strip('`')}`" for each in str(name).split(", "))
        words = as_markdown(one.description).replace("\n", "\n  ")
        lines.append(f"- {names}: {words}")
    return "\n".join(lines)


def as_markdown(text: str) -> str:
    """A docstring's text as MyST reads it, with links to what else is documented."""
    text = TABLE.sub(lambda table: as_table(table[0]), text)
    text = PROMPT.sub(lambda lines: f"```pycon\n{lines[0]}```\n", text + "\n").strip()
    text = ARXIV.sub(r"[arXiv:\1](https://arxiv.org/abs/\1)", text)
    return NAME.sub(lambda code: link_to(code[1]), text)


def as_table(table: str) -> str:
    """A table of reStructuredText as one of Markdown, or as a list if it has no head."""
    rule, *lines = table.splitlines()
    spans = [match.span() for match in re.finditer("=+", rule)]
    ends = [*(end for _, end in spans[:-1]), None]  # the last column goes to the end
    rows: list[list[str]] = []
    for line in lines:
        cells = [
            line[start:end].strip() for (start, _), end in zip(spans, ends, strict=True)
        ]
        if cells[0]:
            rows.append(cells)
        else:  # the line goes on with the row above
            rows[-1] = [f"{a} {b}".strip() for a, b in zip(rows[-1], cells, strict=True)]
    head, mark, *body = (
        rows[:-1] if rows[1][0].startswith("=") else [None, None, *rows[:-1]]
    )
    if head is None:
        return "\n".join(f"- {': '.join(row)}" for row in body)
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(mark), *body])


def link_to(name: str) -> str:
    """A name as code, as a link if it has a place on these pages."""
    place = places().get(name)
    return f"{{py:obj}}`{name} <{place}>`" if place else f"`{name}`"


@cache
def places() -> dict[str, str]:
    """Name → full name of each function and class on the pages."""
    things = {name: public(package()[name]) for name in MODULES}
    return {t.name: f"{PACKAGE}.{name}.{t.name}" for name in things for t in things[name]}
