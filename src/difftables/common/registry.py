"""Names and arguments of variants, read from the source without importing torch.

A variant is a function or class and one entry in the dict beside it. Its name stands nowhere else.
"""

import ast
from functools import cache
from math import isfinite
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).parents[1]
SET_BY_JOB = ("levels",)  # argument of a schedule that a job reads from a file
SET_BY_DATA = ("size", "channels", "classes", "bands", "hop")  # arguments of nets that follow from the data set


@cache
def _tree(module: str) -> ast.Module:
    path = SOURCE.joinpath(*module.split("."))
    return ast.parse((path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text())


@cache
def constant(where: str) -> Any:
    """The value of a module's literal constant, e.g. constant("data.image_files.SUFFIXES").  Raises: LookupError without one."""
    module, name = where.rsplit(".", 1)
    for node in _tree(module).body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        value = getattr(node, "value", None)
        if isinstance(target, ast.Name) and target.id == name and value is not None:
            return ast.literal_eval(value)
    raise LookupError(f"src/difftables has no constant {where}")


@cache
def _entries(where: str) -> dict[str, ast.expr]:
    module, name = where.rsplit(".", 1)
    for node in _tree(module).body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        value = getattr(node, "value", None)
        if isinstance(target, ast.Name) and target.id == name and isinstance(value, ast.Dict):
            return {str(k.value): v for k, v in zip(value.keys, value.values, strict=True) if isinstance(k, ast.Constant)}
    raise LookupError(f"src/difftables has no dict {where}")


def names(where: str) -> list[str]:
    """Keys of a dict of variants, e.g. names("sampling.rules.RULES")."""
    return list(_entries(where))


def text(where: str, key: str) -> str:
    """The entry of a dict of strings, e.g. text("sampling.ode.PROCESS", "linear")."""
    return str(ast.literal_eval(_entries(where)[key]))


def keywords(where: str, name: str) -> dict[str, Any]:
    """A keyword that all entries of a dict of calls write out, e.g. keywords("search.methods.METHODS", "samples")."""
    calls = {key: value for key, value in _entries(where).items() if isinstance(value, ast.Call)}
    return {key: ast.literal_eval(each.value) for key, call in calls.items() for each in call.keywords if each.arg == name}


def takes(where: str, key: str, name: str) -> bool:
    """Whether a variant, a function or a `partial` of one, has an argument of this name.  Raises: LookupError for other variants."""
    value = _entries(where)[key]
    if isinstance(value, ast.Call):
        value = value.args[0]
    definition = _definition(where.rsplit(".", 1)[0], value.id) if isinstance(value, ast.Name) else None
    if not isinstance(definition, ast.FunctionDef):
        raise LookupError(f"{where}[{key!r}] is not a function of src/difftables")
    return name in {a.arg for a in (*definition.args.args, *definition.args.kwonlyargs)}


def arguments(where: str, key: str) -> dict[str, tuple[str, bool]]:
    """Arguments of a variant: name to (annotation as text, whether it has a default).  Raises: LookupError for other variants."""
    return {argument.arg: (_annotation(argument), default is not None) for argument, default in _signature(where, key)}


def defaults(where: str, key: str) -> dict[str, Any]:
    """Arguments of a variant whose default is a literal: name to value.  Raises: LookupError for other variants."""
    return {argument.arg: ast.literal_eval(value) for argument, value in _signature(where, key) if value is not None and _is_literal(value)}


@cache
def _signature(where: str, key: str) -> list[tuple[ast.arg, ast.expr | None]]:
    """Arguments of a variant with their defaults."""
    value = _entries(where)[key]
    definition = _definition(where.rsplit(".", 1)[0], value.id) if isinstance(value, ast.Name) else None
    if isinstance(definition, ast.ClassDef):
        definition = next(n for n in definition.body if isinstance(n, ast.FunctionDef) and n.name == "__init__")
    if not isinstance(definition, ast.FunctionDef):
        raise LookupError(f"{where}[{key!r}] is neither a function nor a class of src/difftables")
    every = [argument for argument in definition.args.args if argument.arg != "self"]
    given = [None] * (len(every) - len(definition.args.defaults)) + list(definition.args.defaults)
    return [*zip(every, given, strict=True), *zip(definition.args.kwonlyargs, definition.args.kw_defaults, strict=True)]


def _is_literal(value: ast.expr) -> bool:
    try:
        ast.literal_eval(value)
    except ValueError:
        return False
    return True


def _annotation(argument: ast.arg) -> str:
    return ast.unparse(argument.annotation) if argument.annotation else ""


def _definition(module: str, name: str) -> ast.stmt | None:
    for node in _tree(module).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return node
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("difftables."):
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return _definition((node.module or "").split(".", 1)[1], alias.name)
    return None


def fits(annotation: str, value: Any) -> bool:
    """Whether a YAML value suits an annotation: int, float, bool, str and sequences of int are checked, the rest passes.

    Pydantic validates a call against real types, which needs the function and with it torch; planning imports no torch.
    """
    is_int = isinstance(value, int) and not isinstance(value, bool)
    match annotation:
        case "int":
            return is_int and value >= 0
        case "Count":
            return is_int and value > 0
        case "Rate":
            return isinstance(value, float) and 0 < value < 1
        case "Positive":
            return (is_int or isinstance(value, float)) and 0 < value < float("inf")
        case "Positive | None":
            return value is None or fits("Positive", value)
        case "float":
            return is_int or (isinstance(value, float) and isfinite(value))
        case "bool":
            return isinstance(value, bool)
        case "str":
            return isinstance(value, str)
        case "Sequence[int]" | "list[int]":
            return isinstance(value, list) and all(isinstance(v, int) and not isinstance(v, bool) and v > 0 for v in value)
    return True
