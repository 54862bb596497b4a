"""Which code leans on which: by the names that it reads, and those that it defines."""

import ast
import symtable
from collections.abc import Mapping


def names_in(source: str) -> tuple[set[str], set[str]]:
    """The global names that a cell reads, and those that it defines."""
    cell = symtable.symtable(source, "cell", "exec")
    scopes = [cell]
    for scope in scopes:
        scopes.extend(scope.get_children())
    read = {
        symbol.get_name()
        for scope in scopes
        for symbol in scope.get_symbols()
        if symbol.is_referenced() and (scope is cell or symbol.is_global())
    }
    own = cell.get_symbols()
    return read, {s.get_name() for s in own if s.is_assigned() or s.is_imported()}


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


def statements_for(wanted: set[str], cells: list[str]) -> tuple[list[tuple], set[str]]:
    """Which statements the wanted names come from, and which names these leave open.

    Returns:
        For each cell the numbers of its statements, and the names that come from elsewhere.
    """
    found: list[list[int]] = [[] for _ in cells]
    for index, source in reversed([*enumerate(cells)]):
        body = ast.parse(source).body
        for number, statement in reversed([*enumerate(body)]):
            used, defined = names_in(ast.unparse(statement))
            changed = _changed_by(statement) & wanted
            if not (defined & wanted or changed or _imports_all(statement)):
                continue
            found[index].insert(0, number)
            kept = isinstance(statement, MAYBE) or changed
            wanted = (wanted if kept else wanted - defined) | used
    return [tuple(numbers) for numbers in found], wanted


def _imports_all(statement: ast.stmt) -> bool:
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
