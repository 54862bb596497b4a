"""Which code leans on which: by the names that it reads, and those that it defines."""

import ast
import symtable
from collections.abc import Iterator, Mapping
from dataclasses import dataclass


def names_in(source: str) -> tuple[set[str], set[str]]:
    """The global names that a cell reads, and those that it defines."""
    code = Names.of(source)
    return code.read | code.read_inside, code.defined


@dataclass(frozen=True)
class Names:
    """The global names that code reads as it runs, inside of functions, and defines."""

    read: set[str]
    read_inside: set[str]
    defined: set[str]

    @classmethod
    def of(cls, source: str) -> "Names":
        """Those of a piece of code."""
        cell = symtable.symtable(source, "cell", "exec")
        scopes = [cell]
        for scope in scopes:
            scopes.extend(scope.get_children())
        inside = {
            symbol.get_name()
            for scope in scopes[1:]
            for symbol in scope.get_symbols()
            if symbol.is_referenced() and symbol.is_global()
        }
        own = cell.get_symbols()
        read = {symbol.get_name() for symbol in own if symbol.is_referenced()}
        defined = {s.get_name() for s in own if s.is_assigned() or s.is_imported()}
        return cls(read, inside, defined)


def leaned_on(wanted: set[str], before: Mapping[str, str]) -> list[str]:
    """Which of the cells `before` the wanted names come from, and theirs in turn."""
    found = []
    for name, source in reversed(before.items()):
        used, defined = names_in(source)
        if defined & wanted:
            found.insert(0, name)
            wanted = (wanted - defined) | used
    return found


# -- statements ------------------------------------------------------------------------

MAYBE = (ast.If, ast.For, ast.While, ast.With, ast.Try, ast.Match)  # may define, or not


@dataclass(frozen=True)
class Statement:
    """A statement of a cell: its place, its names, and the names that it may change."""

    cell: int
    number: int
    names: Names
    changed: set[str]
    maybe: bool  # it defines its names perhaps
    takes_all: bool  # from … import *


def statements_for(wanted: set[str], cells: list[str]) -> tuple[list[tuple], set[str]]:
    """Which statements the wanted names come from, and which names came from before.

    What code reads as it runs was defined before it. What a function reads may be defined
    below it as well, up to the last cell.

    Returns:
        For each cell the numbers of its statements, and the names that may come from
        before the first.
    """
    all_of_them = [*_statements(cells)]
    end = len(all_of_them)
    needed = {n for n, statement in enumerate(all_of_them) if statement.takes_all}
    todo, seen, left = [(name, end) for name in wanted], set(), set()
    while todo:
        name, before = todo.pop()
        if (name, before) in seen:
            continue
        seen.add((name, before))
        sources = _sources(name, all_of_them[:before])
        if not any(name in all_of_them[n].names.defined for n in sources):
            left.add(name)
        for number in {*sources} - needed:
            needed.add(number)
            names = all_of_them[number].names
            todo += [(read, number) for read in names.read | names.read_inside]
            todo += [(read, end) for read in names.read_inside]
    places = [(all_of_them[n].cell, all_of_them[n].number) for n in sorted(needed)]
    numbers = [
        tuple(n for cell, n in places if cell == index) for index in range(len(cells))
    ]
    return numbers, left


def _statements(cells: list[str]) -> Iterator[Statement]:
    for index, source in enumerate(cells):
        for number, node in enumerate(ast.parse(source).body):
            names = Names.of(ast.unparse(node))
            changed, maybe = _changed_by(node), isinstance(node, MAYBE)
            yield Statement(index, number, names, changed, maybe, _takes_all(node))


def _sources(name: str, statements: list[Statement]) -> list[int]:
    """The numbers of the statements that give a name its value, the last one first."""
    found = []
    for number, statement in reversed([*enumerate(statements)]):
        if name in statement.names.defined or name in statement.changed:
            found.append(number)
        if name in statement.names.defined and not statement.maybe:
            break
    return found


def _takes_all(statement: ast.stmt) -> bool:
    names = statement.names if isinstance(statement, ast.ImportFrom) else []
    return any(alias.name == "*" for alias in names)


def _changed_by(statement: ast.stmt) -> set[str]:
    """The names whose objects it may change: `x[0] = 1`, `x.n += 1`, `x.append(2)`."""
    targets = []
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        targets = [statement.value.func]
    elif isinstance(statement, (ast.Assign, ast.Delete)):
        targets = statement.targets
    elif isinstance(statement, (ast.AugAssign, ast.AnnAssign)):
        targets = [statement.target]
    inner = [t for t in targets if isinstance(t, (ast.Attribute, ast.Subscript))]
    return {name for target in inner if (name := _root(target))}


def _root(node: ast.expr) -> str:
    while isinstance(node, (ast.Attribute, ast.Subscript, ast.Call)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""
