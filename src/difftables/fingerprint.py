"""What code a job depends on, as a hash of definitions: comments, layout, docstrings and unused entries do not count.

Snakemake does not see imported modules. The fingerprint starts at the `run` function of a CLI module and follows
every name it uses through the project. A dict of variants, NAME = {"key": value, ...}, counts only with the entries
whose keys occur in the job's spec or in the code reached: a new sampler leaves the finished rows of others alone.
"""

import ast
import hashlib
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

PACKAGE = "difftables"
SOURCE = Path(__file__).parent
LOCK = "requirements.lock"
Symbol = tuple[str, str]  # module, top-level name


def code(verb: str, spec: Any = None, lock: Path | str = LOCK) -> str:
    """Fingerprint of `difftables VERB` run on `spec`; the lock file counts as well."""
    digest = hashlib.sha256()
    for (module, name), text in sorted(_closure(f"{PACKAGE}.cli.{verb}", _strings(spec)).items()):
        digest.update(f"{module}:{name}={text}\n".encode())
    if Path(lock).exists():
        digest.update(Path(lock).read_bytes())
    return digest.hexdigest()[:16]


def job(*parts: Any) -> str:
    """Fingerprint of anything JSON can say, e.g. a spec, a code fingerprint and hashes of inputs."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def forget() -> None:
    """Read the sources anew from now on."""
    _module.cache_clear()


def packages(verb: str, spec: Any = None) -> dict[str, str]:
    """Versions of the third-party packages that a job imports."""
    return {}


def _closure(module: str, selected: set[str] | None) -> dict[Symbol, str]:
    """Text of every definition reachable from `module`; selected = None takes all entries of all dicts."""
    while True:
        reached: dict[Symbol, str] = {}
        spoken: set[str] = set()
        todo: list[Symbol] = [(module, "run")]
        while todo:
            symbol = todo.pop()
            if symbol in reached:
                continue
            if symbol[1] in _module(symbol[0])["imports"] and symbol[1] not in _module(symbol[0])["names"]:
                todo.append(_module(symbol[0])["imports"][symbol[1]])  # re-exported
            nodes = _module(symbol[0])["names"].get(symbol[1], [])
            texts = []
            for node in nodes:
                text, words, uses = _facts(_pruned(node, selected), symbol[0])
                texts.append(text)
                spoken |= words
                todo += (use for use in uses if use not in reached)
            reached[symbol] = " ".join(texts)
            todo.append((symbol[0], ""))  # statements that run on import
        if selected is None or spoken <= selected:
            return reached
        selected = selected | spoken


@cache
def _module(name: str) -> dict[str, Any]:
    """Top-level names of a project module, what they are bound to, and its statements that bind nothing ('')."""
    path = SOURCE.joinpath(*name.split(".")[1:])
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    names: dict[str, list[ast.stmt]] = {"": []}
    imports: dict[str, Symbol] = {}
    for node in _stripped(ast.parse(path.read_text())).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            imports |= _imported(node)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.setdefault(node.name, []).append(node)
        elif isinstance(node, ast.Assign | ast.AnnAssign) and (targets := list(_targets(node))):
            for target in targets:
                names.setdefault(target, []).append(node)
        else:
            names[""].append(node)
    return {"names": names, "imports": imports}


@cache
def _facts(node: ast.stmt, module: str) -> tuple[str, frozenset[str], tuple[Symbol, ...]]:
    """A definition's text, the strings in it, and the project symbols it uses."""
    nodes = list(ast.walk(node))
    words = frozenset(n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str))
    return _text(node), words, tuple(dict.fromkeys(_uses(nodes, module)))


def _targets(node: ast.Assign | ast.AnnAssign) -> Iterator[str]:
    for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
        yield from (n.id for n in ast.walk(target) if isinstance(n, ast.Name))


def _imported(node: ast.Import | ast.ImportFrom) -> dict[str, Symbol]:
    """Local names of an import of the project: (module, name), or (module, "*") for a module itself."""
    found: dict[str, Symbol] = {}
    if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == PACKAGE:
        for alias in node.names:
            inner = f"{node.module}.{alias.name}"
            path = SOURCE.joinpath(*inner.split(".")[1:])
            is_module = path.with_suffix(".py").exists() or path.is_dir()
            found[alias.asname or alias.name] = (inner, "*") if is_module else (node.module or "", alias.name)
    elif isinstance(node, ast.Import):
        for alias in node.names:
            if alias.name.split(".")[0] == PACKAGE and alias.asname:
                found[alias.asname] = (alias.name, "*")
    return found


def _uses(nodes: list[ast.AST], module: str) -> Iterator[Symbol]:
    """Project symbols that a definition mentions.  Args: nodes: of the definition, all of them."""
    known = _module(module)
    imports = dict(known["imports"])
    for inner in nodes:
        if isinstance(inner, ast.Import | ast.ImportFrom):
            imports |= _imported(inner)
    whole: set[str] = set()
    for inner in nodes:
        if isinstance(inner, ast.Attribute) and isinstance(inner.value, ast.Name):
            target = imports.get(inner.value.id)
            if target and target[1] == "*":
                yield target[0], inner.attr
                whole.add(inner.value.id)
    for inner in nodes:
        if isinstance(inner, ast.Name):
            if inner.id in known["names"]:
                yield module, inner.id
            target = imports.get(inner.id)
            if target and target[1] != "*":
                yield target
            elif target and inner.id not in whole:  # a module passed around: all of it counts
                yield from ((target[0], name) for name in _module(target[0])["names"])


def _pruned(node: ast.stmt, selected: set[str] | None) -> ast.stmt:
    """An assignment of a dict with text keys, without the entries nobody selected."""
    keys = _keys(node)
    return node if selected is None or keys is None else _kept(node, keys & selected)


@cache
def _keys(node: ast.stmt) -> frozenset[str] | None:
    """The keys of an assignment of a dict with text keys; None for all else."""
    value = getattr(node, "value", None)
    if not isinstance(node, ast.Assign | ast.AnnAssign) or not isinstance(value, ast.Dict):
        return None
    keys = [key.value for key in value.keys if isinstance(key, ast.Constant) and isinstance(key.value, str)]
    return frozenset(keys) if len(keys) == len(value.keys) else None


@cache  # one node for each choice of entries, so that _facts, which is asked of it by most jobs, is worked out once
def _kept(node: ast.Assign | ast.AnnAssign, keys: frozenset[str]) -> ast.stmt:
    """The assignment with no other entries."""
    assert isinstance(node.value, ast.Dict)
    # The keys of the entries left out are not spoken, or every table would select itself.
    pairs = zip(node.value.keys, node.value.values, strict=True)
    kept = [(k, v) for k, v in pairs if isinstance(k, ast.Constant) and k.value in keys]
    entries = ast.Dict(keys=[k for k, _ in kept], values=[v for _, v in kept])
    targets: list[ast.expr] = node.targets if isinstance(node, ast.Assign) else [node.target]
    return ast.Assign(targets=targets, value=entries)


def _stripped(tree: ast.Module) -> ast.Module:
    """The tree without docstrings."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
                node.body = node.body[1:] or [ast.Pass()]
    return tree


def _text(node: Any) -> str:
    """A node as text that is the same under every Python minor: names of classes and fields that say something."""
    if isinstance(node, ast.AST):
        fields = ((name, value) for name, value in ast.iter_fields(node) if name not in ("ctx", "type_comment", "kind"))
        return f"{type(node).__name__}({','.join(f'{n}={_text(v)}' for n, v in fields if v not in (None, []))})"
    if isinstance(node, list):
        return f"[{','.join(map(_text, node))}]"
    return repr(node)


def _strings(value: Any) -> set[str]:
    """All text in a JSON value, keys left out."""
    if isinstance(value, dict):
        return set().union(*map(_strings, value.values()))
    if isinstance(value, list | tuple):
        return set().union(*map(_strings, value))
    return {value} if isinstance(value, str) else set()
