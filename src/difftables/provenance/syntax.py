"""A module's statements as `fingerprint` counts them, the same text under every minor version of Python.

Docstrings, comments, layout, annotations, the arguments of exceptions in `raise`, messages of `assert`, bare `print` statements,
logging and `if TYPE_CHECKING` are left out, and so is whatever only they mention.
"""

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

PACKAGE = "difftables"
# Calls that leave all else as it was: in an assignment or as a decorator they count where its name is reached, not on import.
PURE = ("AfterValidator", "Discriminator", "Field", "Metric", "Path", "Tag", "TypeVar", "cache", "contextmanager", "dataclass", "frozenset",
        "getattr", "inference_mode", "lru_cache", "no_grad", "partial", "range", "timed")  # fmt: skip
LOGS, LEVELS = ("log", "logger", "logging"), ("critical", "debug", "error", "exception", "info", "warning")
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
Symbol = tuple[str, str]  # module and top-level name; "*" for the module itself


@dataclass(eq=False)
class Part:
    """What counts or does not count as one: a statement, an entry of a dict of variants, a field of a model."""

    text: str
    option: tuple[str, str] | None  # ("variant", key), ("verb", key) or ("field", name); None counts always
    uses: tuple[tuple[str, str], ...]  # names, each with an attribute taken of it or ""
    hints: tuple[str, ...]  # names in its annotation
    read: frozenset[str]  # all names and texts
    spoken: frozenset[str]  # texts that may be the key of a variant
    imports: tuple[Symbol, ...]  # what is imported inside
    bound: dict[str, list[Symbol]]  # by those imports


@dataclass(eq=False)
class Module:
    """A module: what its top-level names are, what it runs on import, what it imports."""

    parts: dict[str, list[Part]] = field(default_factory=dict)
    on_import: list[Part] = field(default_factory=list)
    imports: tuple[Symbol, ...] = ()
    bound: dict[str, list[Symbol]] = field(default_factory=dict)


@cache
def parsed(text: str) -> Module:
    """A module by its text."""
    found = Module()
    top: list[ast.stmt] = []
    for node in ast.parse(text).body:
        types = {n.id for n in ast.walk(node.annotation) if isinstance(n, ast.Name)} if isinstance(node, ast.AnnAssign) else set()
        variants = "variant" if "Variants" in types else "verb" if "Verbs" in types else ""
        for cleaned in _Cleaned().all([node]):
            if isinstance(cleaned, ast.Import | ast.ImportFrom):
                top.append(cleaned)
                continue
            parts = list(_parts(cleaned, variants))
            if not variants and not _pure(cleaned):
                found.on_import += parts
            for name in _names(cleaned):
                found.parts.setdefault(name, []).extend(parts)
    inner = [part for part in found.on_import if part.bound]  # imports in a top-level `try` or `if` bind names of the module
    found.imports, found.bound = _imports(top)
    for part in inner:
        for name, targets in part.bound.items():
            found.bound.setdefault(name, []).extend(targets)
    return found


def _parts(node: ast.stmt, variants: str) -> Iterator[Part]:
    """A top-level statement, which counts always, and what of it counts under a condition."""
    if isinstance(node, ast.ClassDef) and not _whole(node):
        fields = [each for each in node.body if isinstance(each, ast.AnnAssign)]
        node.body = [each for each in node.body if not isinstance(each, ast.AnnAssign)]
        yield _part([node])
        for each in fields:
            assert isinstance(each.target, ast.Name)
            inside = list(ast.walk(each.annotation))
            defaults = [n for n in inside if isinstance(n, ast.keyword) and (n.arg or "").startswith("default")]
            yield _part([each.value, *defaults], ("field", each.target.id), inside)
    elif variants and isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict):
        pairs = list(zip(node.value.keys, node.value.values, strict=True))
        node.value = ast.Dict(keys=[], values=[])
        yield _part([node])
        for key, value in pairs:
            named = isinstance(key, ast.Constant) and isinstance(key.value, str)
            yield _part([key, value], (variants, key.value) if named else None)  # type: ignore[union-attr]
    elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Subscript) and _called(node.value.value) == "Annotated":
        yield _part([], hints=list(ast.walk(node.value)))  # a type
    else:
        yield _part([node])


def _part(counted: list[Any], option: tuple[str, str] | None = None, hints: Iterable[ast.AST] = ()) -> Part:
    """Args: counted: nodes or None; hints: of an annotation, of which no more counts than the definitions of this project that it names."""
    nodes = [n for each in counted if each is not None for n in ast.walk(each)]
    words = [(n, n.value) for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    # A text that something is compared with is the key of no variant, unless another text gives that.
    compared = {id(n) for each in nodes if isinstance(each, ast.Compare) for n in _compared(each)}
    owners = {id(n.value): n.attr for n in nodes if isinstance(n, ast.Attribute)}
    hinted = {n.id for n in hints if isinstance(n, ast.Name)}
    hinted |= {n.value for n in hints if isinstance(n, ast.Constant) and isinstance(n.value, str)}  # a class that comes later
    names = [n for n in nodes if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Del)]
    uses = {(n.id, owners.get(id(n), "")) for n in names}
    named = (getattr(n, key, None) for n in nodes for key in ("id", "attr", "arg"))
    read = {name for name in named if isinstance(name, str)}
    imports, bound = _imports(nodes)
    return Part(
        " ".join([option[1] if option else "", *map(_text, counted)]), option, tuple(sorted(uses)), tuple(sorted(hinted)),
        frozenset(read | {word for _, word in words}), frozenset(word for n, word in words if id(n) not in compared), imports, bound,
    )  # fmt: skip


def _compared(node: ast.Compare) -> Iterator[ast.expr]:
    if all(isinstance(op, ast.Eq | ast.NotEq | ast.In | ast.NotIn) for op in node.ops):
        for side in (node.left, *node.comparators):
            yield from side.elts if isinstance(side, ast.Tuple | ast.List | ast.Set) else [side]


def _imports(nodes: list[Any]) -> tuple[tuple[Symbol, ...], dict[str, list[Symbol]]]:
    """What import statements run, as (module, name or ''), and what the names that they bind are bound to.

    Raises: ValueError for an import that hides what it imports.
    """
    run: list[Symbol] = []
    bound: dict[str, list[Symbol]] = {}
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            if node.level or any(alias.name == "*" for alias in node.names):
                raise ValueError(f"`{ast.unparse(node)}` is no import by full name, which fingerprints need; write module and names out")
            run += [(node.module or "", alias.name) for alias in node.names]
            for alias in node.names:
                bound.setdefault(alias.asname or alias.name, []).append((node.module or "", alias.name))
        elif isinstance(node, ast.Import):
            run += [(alias.name, "") for alias in node.names]
            for alias in node.names:
                if alias.name.startswith(f"{PACKAGE}.") and not alias.asname:
                    raise ValueError(f"`{ast.unparse(node)}` binds no name of its own, which fingerprints need; write `as NAME` behind it")
                module = alias.name if alias.asname else alias.name.split(".")[0]
                bound.setdefault(alias.asname or module, []).append((module, "*"))
    return tuple(run), bound


def _pure(node: ast.stmt) -> bool:
    """Whether a top-level statement does no more than bind its names."""
    if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
        return all(_called(each.func if isinstance(each, ast.Call) else each) in PURE for each in node.decorator_list)
    if not isinstance(node, ast.Assign) or not all(isinstance(n, ast.Name | ast.Tuple) for n in node.targets):
        return False
    return all(_called(n.func) in PURE for n in ast.walk(node) if isinstance(n, ast.Call))


def _called(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _names(node: ast.stmt) -> set[str]:
    """Names that a top-level statement may bind."""
    if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
        return {node.name}
    stored = {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    return stored | {n.name for n in ast.walk(node) if isinstance(n, (*FUNCTIONS, ast.ClassDef))}


def _whole(node: ast.ClassDef) -> bool:
    """Whether the order of a class's fields may count, as that of a dataclass or a named tuple does."""
    return bool(node.decorator_list) or any(_called(base) == "NamedTuple" for base in node.bases)


class _Cleaned(ast.NodeTransformer):
    """Leaves out what never counts; an annotated assignment becomes a plain one, but for fields of models."""

    def __init__(self) -> None:
        self.fields: set[int] = set()

    def all(self, nodes: list[ast.stmt]) -> list[Any]:
        return self.visit(ast.Module(body=nodes, type_ignores=[])).body

    def visit_FunctionDef(self, node: Any) -> Any:
        node.returns = None
        arguments = {n.arg for n in ast.walk(node.args) if isinstance(n, ast.arg)}
        inner = [n for each in node.body for n in ast.walk(each)]
        arguments -= set(_imports(inner)[1])
        for n in inner:
            if isinstance(n, ast.Name) and n.id in arguments:
                n.ctx = ast.Del()  # marks the name of an argument, which is no name of the module
        return self.generic_visit(node)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_ClassDef(self, node: ast.ClassDef) -> Any:
        if not _whole(node):
            self.fields |= {id(each) for each in node.body if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)}
        else:  # a field without default counts as its name
            node.body = [
                ast.Delete(targets=[each.target]) if isinstance(each, ast.AnnAssign) and each.value is None else each for each in node.body
            ]
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        if id(node) in self.fields:
            return node
        return self.visit(ast.Assign(targets=[node.target], value=node.value)) if node.value else None

    def visit_arg(self, node: ast.arg) -> Any:
        node.annotation = None
        return node

    def visit_Raise(self, node: ast.Raise) -> Any:
        if isinstance(node.exc, ast.Call) and _called(node.exc.func) != "SystemExit":
            node.exc = node.exc.func
        return self.generic_visit(node)

    def visit_Assert(self, node: ast.Assert) -> Any:
        node.msg = None
        return self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> Any:
        if isinstance(node.value, ast.Constant) or (isinstance(node.value, ast.Call) and _prints_or_logs(node.value)):
            return None
        return self.generic_visit(node)

    def visit_If(self, node: ast.If) -> Any:
        if _called(node.test) == "TYPE_CHECKING":
            return [kept for each in self.all(node.orelse) for kept in [each]]
        return self.generic_visit(node)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> Any:
        node.values = [each for each in node.values if not (isinstance(each, ast.Constant) and each.value == "")]
        return self.generic_visit(node)


def _prints_or_logs(node: ast.Call) -> bool:
    """Whether a call prints or logs."""
    if isinstance(node.func, ast.Name):
        files = [keyword.value for keyword in node.keywords if keyword.arg == "file"]
        return node.func.id == "print" and all(_called(each) in ("stderr", "stdout") for each in files)
    return isinstance(node.func, ast.Attribute) and node.func.attr in LEVELS and _called(node.func.value) in LOGS


def _text(node: Any) -> str:
    """A node as text that is the same under every Python minor: names of classes and fields that say something."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
        if any(name.split(".")[0] == PACKAGE for name in names):
            return ""  # what its names are bound to counts
    if isinstance(node, ast.AST):
        fields = ((name, value) for name, value in ast.iter_fields(node) if name not in ("ctx", "type_comment", "kind"))
        return f"{type(node).__name__}({','.join(f'{n}={_text(v)}' for n, v in fields if v not in (None, []))})"
    if isinstance(node, list):
        return f"[{','.join(map(_text, node))}]"
    return repr(node)
