"""The files of a configuration, merged: params.yaml, scales/SCALE.yaml, and each paper's params.yaml and params.SCALE.yaml.

A paper's files name its own runs, samplers, nets and schedules by NAME, another paper's by PAPER/NAME. Here all have full names.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property, reduce
from pathlib import Path
from typing import Any

import yaml

from difftables.common.errors import ConfigError, nearest
from difftables.common.names import full
from difftables.config.params_file import BASES, OF_PAPER, SCALES
from difftables.papers.folder import PAPERS, parse
from difftables.planning.inheritance import Raw, inherited, merge, parent_of

NAMED = ("schedules", "nets", "checkpoints", "runs", "samplers")  # sections of a paper whose entries other files may name
# Keys of an entry that name another entry, by section.
REFERENCES = dict.fromkeys(NAMED, ("like",)) | {"runs": ("like", "net", "schedule")}


@dataclass(frozen=True)
class Layer:
    """One file of a configuration.  Args: raw: with full names; paper: whose file it is, if one's."""

    file: str
    raw: Raw
    paper: str | None = None


@dataclass
class Files:
    """All files that make a scale, in the order in which they are merged, and the names that any scale defines.

    Args: everywhere: full names of runs and samplers by section.
    """

    scale: str
    layers: list[Layer]
    everywhere: dict[str, set[str]] = field(default_factory=dict)

    @cached_property
    def merged(self) -> Raw:
        """All files merged key by key, before anything is inherited; without the entries that the scale leaves out.

        A scale that changes another one makes only the tables that its own files name.
        """
        found = reduce(merge, (layer.raw for layer in self.layers), Raw())
        if self.scale not in BASES or not isinstance(found.get("tables"), dict):
            return found
        named = dict[str, set[str]]()
        for layer in self.layers:
            if layer.paper is not None and layer.file.endswith(f".{self.scale}.yaml"):
                named[layer.paper] = set((layer.raw.get("tables") or {}).get(layer.paper) or ())
        kept = {
            paper: {name: table for name, table in tables.items() if name in named.get(paper, ())}
            for paper, tables in found["tables"].items()
        }
        return found | {"tables": kept}

    def entries(self, section: str) -> Raw:
        """The entries of a section with what each takes over, but those that are null at this scale: others may still be `like` them.

        Raises: ConfigError.
        """
        merged, defined = self.merged[section], Raw()
        for name in merged:
            values = [each for layer in self.layers if (each := (layer.raw.get(section) or {}).get(name)) is not None]
            defined[name] = reduce(merge, values, None)
            if not values:
                near = nearest(name, [each for each, value in merged.items() if value is not None])
                raise ConfigError(f"{section}.{name} is null, but there is nothing of this name to leave out{near}")
        return {name: entry for name, entry in inherited(section, defined).items() if merged[name] is not None}

    def where(self, *path: str) -> Layer | None:
        """The file that has the last word on a key; None where no file has it."""
        return next((layer for layer in reversed(self.layers) if _has(layer.raw, path)), None)

    def located(self, message: str) -> str:
        """A message about a key, with the file in front that has it; names lose the paper of that file."""
        match = KEY.search(message)
        if match is None or message.startswith((str(PAPERS), "scales/", "params.yaml")):
            return message
        steps = tuple(match[0].rstrip(".").split("."))
        for end in range(len(steps), 0, -1):
            if (found := self.origin(steps[:end])) is not None:
                layer, path = found
                text = message.replace(".".join(steps[:end]), ".".join(path), 1)
                if layer.paper is not None:
                    text = re.sub(rf"(?<![\w/-]){layer.paper}/", "", text).replace(f"tables.{layer.paper}.", "tables.")
                return f"{layer.file}: {text}"
        return message

    def origin(self, path: tuple[str, ...]) -> tuple[Layer, tuple[str, ...]] | None:
        """The file and the place where the value of a key is written: its own, or that of the entry from which it takes it over."""
        for place in self.lineage(path):
            for layer in reversed(self.layers):
                steps = _steps_to(layer.raw, place)
                if steps is None:
                    return None
                if steps:
                    return layer, place[:steps]
        return None

    def lineage(self, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        """A key, then the same key of each entry from which its entry takes over values, the nearest first."""
        yield path
        seen = {path[1:2]}
        while len(path) > 2 and path[0] in NAMED:
            entry = reduce(merge, [layer.raw[path[0]][path[1]] for layer in self.layers if _has(layer.raw, path[:2])], None)
            parent = parent_of(entry)
            if parent is None or (parent[1],) in seen:
                return
            path = (path[0], parent[1], *path[2:])
            seen.add(path[1:2])
            yield path


KEY = re.compile(rf"\b(?:{'|'.join((*NAMED, 'tables', 'evaluation', 'search', 'data', 'features', 'downloads', 'resources'))})\.[\w/.-]+")


def _steps_to(raw: Any, path: tuple[str, ...]) -> int | None:
    """How many steps of a path lead to its value, fewer than all where a text is the `kind`; 0 where a file has no such value.

    None for an argument that a variant leaves to its default.
    """
    for count, step in enumerate(path):
        if not isinstance(raw, dict):
            return 0 if count < 3 or raw is None else count if path[count:] == ("kind",) else None
        if step not in raw:
            return None if count > 2 and "kind" in raw else 0
        raw = raw[step]
    return len(path)


def _has(raw: Any, path: tuple[str, ...]) -> bool:
    for step in path:
        if not isinstance(raw, dict) or step not in raw:
            return False
        raw = raw[step]
    return True


def read_files(path: Path, scale: str | None = None) -> Files:
    """The files of a configuration.  Args: path: of params.yaml; scale: in place of its own.

    Raises: ConfigError, one line naming the file.
    """
    root = path.parent
    shared = _read(path)
    scale = scale if scale is not None else shared.get("scale")
    if scale not in SCALES:
        raise ConfigError(f"{path}: scale is {scale!r}{nearest(str(scale), SCALES)}")
    for file in sorted((root / "scales").glob("*.yaml")):
        if file.stem not in SCALES:
            raise ConfigError(f"scales/{file.name}: {file.stem!r} is no scale{nearest(file.stem, SCALES)}")
    chain = [BASES[scale], scale] if scale in BASES else [str(scale)]
    layers = [Layer("params.yaml", shared | {"scale": scale})]
    layers += [Layer(file, _read(root / file)) for file in (f"scales/{each}.yaml" for each in chain) if (root / file).exists()]
    everywhere: dict[str, set[str]] = {"runs": set(), "samplers": set()}
    order = ["params.yaml", *(f"params.{each}.yaml" for each in chain)]
    for files in _papers(root):
        for layer in files:
            for section, names in everywhere.items():
                entries = layer.raw.get(section) or {}
                # What a scale leaves out of another one is no name of its own.
                changes = isinstance(entries, dict) and layer.file.endswith(tuple(f".{each}.yaml" for each in BASES))
                names |= {name for name in entries if not changes or entries[name] is not None}
        ours = {Path(layer.file).name: layer for layer in files}
        layers += [ours[name] for name in order if name in ours]
    return Files(scale, layers, everywhere)


def _papers(root: Path) -> list[list[Layer]]:
    """The files of each paper with a params.yaml, in the order of their pages, the file without a scale first."""
    found = dict[str, tuple[float, list[Layer]]]()
    for path in sorted((root / PAPERS).glob("*/params.yaml")):
        paper = path.parent.name
        raw = _of_paper(path, root)
        layers = [Layer(str(path.relative_to(root)), _with_full_names(raw, paper), paper)]
        for file in sorted(path.parent.glob("params.*.yaml")):
            scale = file.name.split(".")[1]
            if scale not in SCALES:
                raise ConfigError(f"{file.relative_to(root)}: {scale!r} is no scale{nearest(scale, SCALES)}")
            layers.append(Layer(str(file.relative_to(root)), _with_full_names(_of_paper(file, root), paper), paper))
        page = raw.get("page")
        if page is not None and not isinstance(page, int):
            raise ConfigError(f"{path.relative_to(root)}: page is {page!r}; write a whole number, or leave it out")
        found[paper] = (float("inf") if page is None else page, layers)
    return [found[paper][1] for paper in sorted(found, key=lambda name: (found[name][0], name))]


def _of_paper(path: Path, root: Path) -> Raw:
    raw = _read(path)
    for key in (key for key in raw if key not in OF_PAPER):
        raise ConfigError(f"{path.relative_to(root)}: {key} is no known key{nearest(str(key), OF_PAPER)}")
    return raw


def _read(path: Path) -> Raw:
    """A file as plain values.  Raises: ConfigError where it is missing, broken or no mapping."""
    try:
        raw = parse(path.read_text())
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist; run in the repository's root") from None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} is no YAML: {' '.join(str(error).split())}") from None
    if not isinstance(raw, dict):
        raise ConfigError(f"{path} is empty; write KEY: VALUE")
    return raw


def _with_full_names(raw: Raw, paper: str) -> Raw:
    """A paper's file with the full names of what it defines and names."""
    found: Raw = {}
    for section in NAMED:
        entries = raw.get(section)
        if isinstance(entries, dict):
            found[section] = {full(str(name), paper): _entry(section, entry, paper) for name, entry in entries.items()}
        elif entries is not None:
            found[section] = entries  # for the models to complain of
    tables = raw.get("tables")
    if tables is not None:
        found["tables"] = {paper: {name: _table(table, paper) for name, table in tables.items()} if isinstance(tables, dict) else tables}
    return found


def _entry(section: str, entry: Any, paper: str) -> Any:
    if not isinstance(entry, dict):
        return entry
    found = entry | {key: full(entry[key], paper) for key in REFERENCES[section] if isinstance(entry.get(key), str)}
    for name, inside in (("net", ("checkpoint",)), ("checkpoint_of", ("run", "edge_run"))):
        nested = entry.get(name)
        if section == "runs" and isinstance(nested, dict):
            found[name] = nested | {key: full(nested[key], paper) for key in inside if isinstance(nested.get(key), str)}
    return found


def _table(table: Any, paper: str) -> Any:
    if not isinstance(table, dict):
        return table
    found = dict(table)
    if isinstance(table.get("run"), str):
        found["run"] = full(table["run"], paper)
    if isinstance(table.get("runs"), dict):
        found["runs"] = {full(str(row), paper): full(run, paper) if isinstance(run, str) else run for row, run in table["runs"].items()}
    return found
