"""A paper is a folder: its tables and claims as data."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from difftables.names import ConfigError, nearest

Spec = dict[str, Any]
PAPERS = Path("workflow/papers")
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same, five times as fast, where PyYAML has it
# What a table of each kind is made from; render.RENDERERS has the function of each.
READS: dict[str, tuple[str, ...]] = {
    "steps": ("records", "samples", "floor"),
    "images": ("records", "samples", "floor", "data"),
    "speech": ("records", "samples"),
    "listen": ("records", "samples", "data", "audio"),
    "errors": ("errors",),
    "robustness": ("robustness",),
    "summary": ("records", "likelihood", "floor"),
    "compute": ("records", "likelihood", "floor"),
    "terms": ("likelihood",),
    "chains": ("likelihood",),
    "noised": ("data",),
    "schedules": (),
    "learning": ("curves",),
    "gradients": ("gradients",),
    "course": ("levels", "data"),
    "gaussian": (),
    "variance": ("variance",),
    "phases": ("data",),
    "progress": ("records", "floor"),
}
# Kinds whose picture needs no row that is run: closed forms, and those of the table's run itself.
CLOSED, OF_RUN = ("schedules", "gaussian"), ("noised", "errors", "robustness")
STUDIES = ("errors", "robustness", "gradients", "variance")  # of a trained run, each a rule of its own


def parse(text: str) -> Any:
    """YAML as plain values.  Raises: yaml.YAMLError; also for a key that stands twice, of which PyYAML takes the last in silence."""
    loader = LOADER(text)
    try:
        node = loader.get_single_node()
        _once(node)
        return None if node is None else loader.construct_document(node)
    finally:
        loader.dispose()


def _once(node: Any) -> None:
    if isinstance(node, yaml.MappingNode):
        known = set[str]()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in known:
                line = key.start_mark.line + 1
                raise yaml.YAMLError(f"key {key.value!r} in line {line} stands there twice; leave one of them out")
            known.add(str(key.value))
            _once(value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _once(value)


def samplers_of(layout: Spec, key: str = "sampler") -> list[str]:
    """The samplers that a table's rows name."""
    return [row[key] for row in layout.get("rows", []) if key in row]


def drawn(layout: Spec, run: str | None, rows: list[Spec]) -> bool:
    """Whether a table has a picture: its kind has one, and what it shows is run.  Args: run: of the table; rows: bound to runs."""
    kind, bound = layout["kind"], [row for row in rows if run and row["run"]]
    if kind == "summary":  # of all its metrics it draws one ratio, of the terms of two runs
        metrics, parts = {column.get("metric") for column in layout["columns"]}, set(layout.get("ratio") or ())
        return "NLL" in metrics and bool(parts) and parts <= {row.get("part") for row in bound}
    if kind == "phases":
        return any(run or row["points"] != "data" for row in rows)
    return kind in CLOSED or bool(run if kind in OF_RUN else bound)


def heard(names: Iterable[str], asked: list[int]) -> list[int]:
    """Step counts of a sampler that are written as audio: those asked for that it has, or its lowest; names: of its samples."""
    own = sorted(int(name.split("/")[1]) for name in names if name.startswith("samples/"))
    return [steps for steps in own if steps in asked] or own[:1]


def read_yaml(path: Path) -> Any:
    """A YAML file of a paper's folder.  Raises: ConfigError naming it when it is missing or broken."""
    try:
        return parse(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: {' '.join(str(error).split())}") from None


def read_layout(paper: str) -> dict[str, Spec]:
    """A paper's tables as data."""
    if not (PAPERS / paper).is_dir():
        known = [path.name for path in sorted(PAPERS.iterdir()) if path.is_dir()] if PAPERS.is_dir() else []
        raise ConfigError(f"tables.{paper}: there is no folder {PAPERS}/{paper}{nearest(paper, known)}")
    return read_yaml(PAPERS / paper / "tables.yaml")
