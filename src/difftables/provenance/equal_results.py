"""Results of equal jobs under other names, by the fingerprint of the job that takes them over: the plan finds them, the job copies them."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from difftables.common.files import read_json, replacing, write_json

FOLDER = Path(".cache/equal")
RECORD = "made.json"  # seeds, cost and columns


def folder_of(fingerprint: str) -> Path:
    """Where the outputs of an equal job lie, by their names."""
    return FOLDER / fingerprint


def forget() -> None:
    """Drop all: whoever asks for a result anew does not get one of an earlier day."""
    shutil.rmtree(FOLDER, ignore_errors=True)


def keep(fingerprint: str, record: Mapping[str, Any], files: Mapping[str, Path]) -> None:
    """Copy outputs by name, and at last what provenance says of them."""
    for name, path in files.items():
        copy(path, folder_of(fingerprint) / name)
    write_json(folder_of(fingerprint) / RECORD, {key: record.get(key, {}) for key in ("seeds", "cost", "columns")})


def kept(fingerprint: str) -> Any:
    """The seeds, cost and columns of an equal result; None where there is none."""
    path = folder_of(fingerprint) / RECORD
    return read_json(path) if path.exists() else None


def copy(path: Path, other: Path) -> None:
    """A copy, written whole."""
    with replacing(other) as temporary:
        shutil.copyfile(path, temporary)
