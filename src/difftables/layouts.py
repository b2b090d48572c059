"""A paper is a folder: its tables and claims as data."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from difftables.names import ConfigError, nearest
from difftables.variants import Variants

Spec = dict[str, Any]
PAPERS = Path("workflow/papers")
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same, five times as fast, where PyYAML has it
# What a table of each kind is made from; render.RENDERERS has the function of each.
READS: Variants[tuple[str, ...]] = {
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
STUDIES = ("errors", "robustness", "gradients", "variance")  # of a trained run, each a rule of its own


def samplers_of(layout: Spec, key: str = "sampler") -> list[str]:
    """The samplers that a table's rows name."""
    return [row[key] for row in layout.get("rows", []) if key in row]


def heard(names: Iterable[str], asked: list[int]) -> list[int]:
    """Step counts of a sampler that are written as audio: those asked for that it has, or its lowest; names: of its samples."""
    own = sorted(int(name.split("/")[1]) for name in names if name.startswith("samples/"))
    return [steps for steps in own if steps in asked] or own[:1]


def read_yaml(path: Path) -> Any:
    """A YAML file of a paper's folder.  Raises: ConfigError naming it when it is missing or broken."""
    try:
        return yaml.load(path.read_text(), LOADER)
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: {' '.join(str(error).split())}") from None


def read_layout(paper: str) -> dict[str, Spec]:
    """A paper's tables as data."""
    if not (PAPERS / paper).is_dir():
        known = [path.name for path in sorted(PAPERS.iterdir()) if path.is_dir()] if PAPERS.is_dir() else []
        raise ConfigError(f"tables.{paper}: there is no folder {PAPERS}/{paper}{nearest(paper, known)}")
    return read_yaml(PAPERS / paper / "tables.yaml")
