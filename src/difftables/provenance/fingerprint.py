"""What code a job depends on, as a hash of the definitions that it can reach and of what their modules run on import.

Snakemake does not see imported modules. A walk starts at the entry point and at `run` of the job's module, and follows each
name to what it is bound to. Definitions are numbered in the order of the walk: what a name is bound to counts, in which module
that lies does not. An entry of a dict declared as `Variants` counts where its key is a text of the spec or of reached code; a
field of a class without decorator, as models of pydantic are, where reached code has its name. `syntax` says what never counts.
"""

import hashlib
import json
import sys
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from difftables.common.clock import timed
from difftables.common.files import write_text
from difftables.provenance import installed
from difftables.provenance.syntax import Module, Part, Symbol, parsed

PACKAGE = "difftables"
SOURCE = Path(__file__).parents[1]
NOTES = Path(".cache/fingerprints.json")
# No result depends on these. A change of the first two that matters changes every fingerprint, since they make it; the third measures.
LEFT_OUT = (f"{PACKAGE}.provenance.fingerprint", f"{PACKAGE}.provenance.syntax", f"{PACKAGE}.common.clock")


@dataclass
class Walk:
    """What a job reaches."""

    lines: list[str] = field(default_factory=list)  # what the fingerprint is made of
    numbers: dict[Symbol, int] = field(default_factory=dict)  # of definitions
    modules: set[str] = field(default_factory=set)  # of this project and of others, all that it imports
    read: set[str] = field(default_factory=set)  # names and texts
    spoken: set[str] = field(default_factory=set)  # texts that may be keys of variants
    options: set[tuple[str, str]] = field(default_factory=set)  # keys and fields that count or not


@timed("files")
def code(verb: str, spec: Any = None) -> str:
    """Fingerprint of `difftables VERB` run on `spec`: of its code and of the packages that this imports, in their versions.

    Args: spec: a model, or JSON. Where JSON lacks a key, the default chooses variants for all jobs, and so others may count too.
    """
    digest, roots = _walked(verb, spec)
    versions = [f"{name} {version}" for name, version in _versions(roots).items()]
    return hashlib.sha256("\n".join([digest, *versions]).encode()).hexdigest()[:16]


@timed("files")
def packages(verb: str, spec: Any = None) -> dict[str, str]:
    """Names and versions, as installed, of the packages of others that the code behind `difftables VERB` imports."""
    return dict(_versions(_walked(verb, spec)[1]))


def _walked(verb: str, spec: Any) -> tuple[str, tuple[str, ...]]:
    """Hash of what a job reaches, and the packages of others that it imports; of a walk that was noted, without walking.

    Jobs whose specs hold the same texts and keys, of those that some option depends on, share a walk.
    """
    notes, (texts, keys) = _noted(), _texts(spec)
    if verb not in notes.options:
        notes.options[verb] = [list(option) for option in sorted(_walk(verb, None, frozenset()).options)]
    chosen = [[kind, name] for kind, name in notes.options[verb] if name in {"variant": texts, "field": keys}.get(kind, ())]
    asked = job(verb, chosen)
    if asked not in notes.walks:
        found = walk(verb, spec)
        roots = sorted({name.split(".")[0] for name in found.modules if not _ours(name)})
        notes.walks[asked] = [hashlib.sha256("\n".join(found.lines).encode()).hexdigest(), roots]
    digest, roots = notes.walks[asked]
    return digest, tuple(roots)


@dataclass
class Notes:
    """What a process notes for the next one.

    Args: sources: their hash; options: by verb, what of a spec chooses; walks: (hash, packages of others) by verb and what was chosen;
    installed: hash of the list of installed packages; distributions: names of packages by what is imported.
    """

    sources: str = ""
    options: dict[str, list[list[str]]] = field(default_factory=dict)
    walks: dict[str, list[Any]] = field(default_factory=dict)
    installed: str = ""
    distributions: dict[str, list[str]] = field(default_factory=dict)


@cache
def _written() -> Notes:
    """The notes that lie there; empty ones where there are none or they are damaged."""
    try:
        return Notes(**json.loads(NOTES.read_text()))
    except (OSError, ValueError, TypeError):
        return Notes()


@cache
def _noted() -> Notes:
    """The notes, of walks only those through these very sources, and of packages those of this very list."""
    found, sources, listing = _written(), _sources(), job(installed.listing())
    walks = {"options": dict(found.options), "walks": dict(found.walks)} if found.sources == sources else {}
    known = found.distributions if found.installed == listing else installed.distributions()
    return Notes(sources=sources, installed=listing, distributions=known, **walks)


@cache
def _sources() -> str:
    """Hash of all sources, this module's among them, and of the Python that reads them."""
    names = sorted(".".join([PACKAGE, *path.relative_to(SOURCE).with_suffix("").parts]) for path in SOURCE.rglob("*.py"))
    return job(sys.version, [[name, source(name.removesuffix(".__init__"))] for name in names])


def note() -> None:
    """Write the notes down for the next process, unless they lie there: walks are most of the time of a plan with nothing to do."""
    if _noted.cache_info().currsize and _noted() != _written():
        write_text(NOTES, json.dumps(asdict(_noted())))
        _written.cache_clear()


def job(*parts: Any) -> str:
    """Fingerprint of anything JSON can say, e.g. a spec, a code fingerprint and hashes of inputs."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def source(module: str) -> str | None:
    """Text of a module of the project, None where there is none; all sources are read here."""
    path = SOURCE.joinpath(*module.split(".")[1:])
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return path.read_text() if path.is_file() else None


def forget() -> None:
    """Read all sources and the versions of packages anew."""
    for known in (_module, _exists, _edges, _walk, _noted, _written, _sources, _versions):
        known.cache_clear()


def walk(verb: str, spec: Any = None) -> Walk:
    """What `difftables VERB` reaches with a spec, reduced to the texts and keys that some option may depend on."""
    texts, keys = _texts(spec)
    options = _walk(verb, None, frozenset()).options
    return _walk(verb, frozenset(t for t in texts if ("variant", t) in options), frozenset(k for k in keys if ("field", k) in options))


@cache
def _walk(verb: str, texts: frozenset[str] | None, keys: frozenset[str]) -> Walk:
    """Args: texts, keys: of the spec; texts = None takes all variants."""
    read, spoken = set[str](), texts
    if texts:  # what is reached without them is reached with them
        least = _walk(verb, frozenset(), keys)
        read, spoken = least.read, texts | least.spoken
    while True:
        found = _once(verb, read, spoken, keys)
        if found.read <= read and (spoken is None or found.spoken <= spoken):
            return found
        read, spoken = read | found.read, None if spoken is None else spoken | found.spoken


def _once(verb: str, read: set[str], spoken: frozenset[str] | None, keys: frozenset[str]) -> Walk:
    """One walk, with the fields in `read` and the variants in `spoken`."""
    found, todo = Walk(), deque[Symbol]()

    def number(symbol: Symbol) -> int:
        if symbol not in found.numbers:
            found.numbers[symbol] = len(found.numbers)
            todo.append(symbol)
        return found.numbers[symbol]

    def count(head: object, module: str, part: Part) -> None:
        if part.option is not None:
            kind, name = part.option
            found.options.add(part.option)
            if (kind == "verb" and name != verb) or (kind == "field" and name not in read):
                return
            if kind == "variant" and spoken is not None and name not in spoken:
                return
        text, edges, imported = _edges(module, part)
        found.lines.append(f"{head} {text} {[number(symbol) for symbol in edges]}")
        found.read |= part.read
        found.modules |= imported
        if part.option is None or part.option[0] != "field" or part.option[1] not in keys:  # what the spec gives, no default does
            found.spoken |= part.spoken

    number((f"{PACKAGE}.__main__", "main"))
    number((f"{PACKAGE}.jobs.{verb}", "run"))
    run: set[str] = set()
    while todo or found.modules - run:
        while todo:
            symbol = todo.popleft()
            found.modules.add(symbol[0])
            for part in _module(symbol[0]).parts.get(symbol[1], ()):
                count(found.numbers[symbol], symbol[0], part)
        found.modules |= {package for name in found.modules - run if _ours(name) for package in _packages_of(name)}
        fresh = [(_module(name).on_import, name) for name in found.modules - run if _ours(name)]
        run |= found.modules
        for parts, name in sorted(fresh, key=lambda each: ([part.text for part in each[0]], each[1])):
            found.modules |= _imported(_module(name).imports)
            for part in parts:
                count("on import", name, part)
    found.lines += sorted(name for name in found.modules if not _ours(name))
    return found


@cache
def _module(name: str) -> Module:
    return parsed("" if name in LEFT_OUT else source(name) or "")


@cache
def _exists(module: str) -> bool:
    return source(module) is not None


@cache
def _edges(module: str, part: Part) -> tuple[str, list[Symbol], frozenset[str]]:
    """A part of a module as text, with what its names are bound to outside this project; the definitions in it; what it imports."""
    own, text, inside = _module(module), part.text, []
    for name, attribute in [*part.uses, *((name, "") for name in part.hints)]:
        targets = [*part.bound.get(name, ()), *own.bound.get(name, ()), *([(module, name)] if name in own.parts else [])]
        for symbol in (symbol for target in targets for symbol in _definitions(target, attribute)):
            if _ours(symbol[0]):
                inside.append(symbol)
            if (name, attribute) in part.uses:
                text += f" {name}.{attribute}={'' if _ours(symbol[0]) else '.'.join(symbol)}"
    return text, inside, frozenset(_imported(part.imports))


def _definitions(target: Symbol, attribute: str) -> list[Symbol]:
    """The definitions behind a name, through imports of imports.  Args: target: what it is bound to; attribute: taken of it, or ''."""
    module, name = target
    if not _ours(module) or module in LEFT_OUT:
        return [] if _ours(module) else [(module, f"{name}.{attribute}" if name == "*" else name)]
    own = _module(module)
    if name != "*":
        inner = [symbol for further in own.bound.get(name, ()) for symbol in _definitions(further, attribute)]
        found = [target] if name in own.parts else []
        return found + inner or (_definitions((f"{module}.{name}", "*"), attribute) if _exists(f"{module}.{name}") else [])
    if attribute and (found := _definitions((module, attribute), "")):
        return found
    if attribute:
        return []  # as `__name__` is
    # A module that is passed around: all of it counts, with what it imports by name.
    further = [to for bound in own.bound.values() for to in bound if to[1] != "*" and _ours(to[0]) and not _exists(".".join(to))]
    return [(module, each) for each in own.parts] + [symbol for to in further for symbol in _definitions(to, "")]


def _ours(module: str) -> bool:
    return module.split(".")[0] == PACKAGE


def _imported(imports: tuple[Symbol, ...]) -> set[str]:
    """The modules that import statements run, packages on their way included, the standard library's left out."""
    found = {".".join(symbol) for symbol in imports if _ours(symbol[0]) and _exists(".".join(symbol))}
    found |= {module for module, _ in imports if module.split(".")[0] not in sys.stdlib_module_names}
    return set().union(*(_packages_of(name) if _ours(name) else {name} for name in found))


def _packages_of(module: str) -> set[str]:
    parts = module.split(".")
    return {".".join(parts[:end]) for end in range(1, len(parts) + 1)}


def _texts(value: Any) -> tuple[set[str], set[str]]:
    """All text in a value as JSON has it, and all keys; of a model those of its defaults too."""
    if isinstance(value, BaseModel):
        return _texts(value.model_dump(mode="json"))
    if isinstance(value, str):
        return {value}, set()
    inner = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list | tuple) else []
    found = [_texts(each) for each in inner]
    keys = set(value) if isinstance(value, dict) else set()
    return set().union(*(texts for texts, _ in found)), keys.union(*(inner for _, inner in found))


@cache
def _versions(roots: tuple[str, ...]) -> Mapping[str, str]:
    """Versions of installed packages by name, of those behind some imports."""
    return {name: installed.version(name) for root in roots for name in _noted().distributions.get(root, ())}
