"""Files: written whole and then renamed; a file that cannot be read is one line of error."""

import csv
import errno
import glob
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from difftables.common.clock import Phase, timed

if TYPE_CHECKING:
    from torch import Tensor

UNFINISHED = ".part"  # suffix of files that are being written; a killed job leaves them behind


@contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """A temporary file beside `path`, renamed to it when the block ends without an error.

    Raises: OSError with one line naming the file when the disk is full; an older file at `path` is kept.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.*{UNFINISHED}"):
        if time.time() - leftover.stat().st_mtime > 3600:  # of a killed job; a younger one may be in use
            leftover.unlink(missing_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=UNFINISHED)
    os.close(handle)
    try:
        with Phase("files"):
            yield Path(name)
            with open(name, "rb") as file:
                os.fsync(file.fileno())
            os.chmod(name, 0o644)
            os.replace(name, path)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise OSError(errno.ENOSPC, f"the disk is full: {path} was not written; free some space and run again") from None
        raise
    finally:
        Path(name).unlink(missing_ok=True)


def write_text(path: Path | str, text: str) -> None:
    """Write a text file whole."""
    with replacing(path) as temporary:
        temporary.write_text(text)


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def json_text(value: Any) -> str:
    """Indented JSON.  Raises: ValueError for NaN and infinity, which JSON lacks."""
    return json.dumps(value, indent=1, allow_nan=False) + "\n"


def write_json(path: Path | str, value: Any) -> None:
    """Write indented JSON whole."""
    write_text(path, json_text(value))


@timed("files")
def read_json(path: Path | str) -> Any:
    """Read JSON.  Raises: ValueError naming a file that is truncated or not JSON."""
    try:
        return json.loads(Path(path).read_text())
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is damaged ({error.msg}, line {error.lineno}); delete it and run again") from None


def csv_text(header: list[str], rows: Iterable[Iterable[Any]]) -> str:
    """A header and rows as CSV."""
    file = StringIO(newline="")
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return file.getvalue()


def write_csv(path: Path | str, header: list[str], rows: Iterable[Iterable[Any]]) -> None:
    """Write a CSV file whole."""
    write_text(path, csv_text(header, rows))


def save_tensors(path: Path | str, tensors: dict[str, "Tensor"], meta: dict[str, Any] | None = None) -> None:
    """Write tensors as safetensors with `meta` as JSON in its header."""
    from safetensors.torch import save_file

    flat = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    with replacing(path) as temporary:
        try:
            save_file(flat, temporary, {"meta": canonical(meta or {})})
        except Exception as error:  # safetensors has an error class of its own for a full disk
            if "No space left" in str(error):
                raise OSError(errno.ENOSPC, "No space left on device") from None
            raise


@timed("files")
def load_tensors(path: Path | str, kind: str | None = None) -> tuple[dict[str, "Tensor"], dict[str, Any]]:
    """Read tensors and their metadata.  Args: kind: the expected meta["kind"]; None accepts all.

    Raises: ValueError naming a file that does not exist, is truncated or not safetensors, or is of another kind.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), "pt") as file:
            meta = json.loads((file.metadata() or {}).get("meta", "{}"))
            names = list(file.keys())
            tensors = {name: file.get_tensor(name) for name in names}
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist; run snakemake to make it") from None
    except (SafetensorError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is truncated or no safetensors file ({error}); delete it and run again") from None
    if kind is not None and meta.get("kind") != kind:
        raise ValueError(f"{path} holds {meta.get('kind') or 'something foreign'}, not {kind}; is it from another program?")
    return tensors, meta


@timed("files")
def tensor_names(path: Path | str) -> list[str]:
    """Names of the tensors in a file, without reading them.  Raises: ValueError naming a file that is not safetensors."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), "np") as file:
            return list(file.keys())
    except SafetensorError as error:
        raise ValueError(f"{path} is truncated or no safetensors file ({error}); delete it and run again") from None


def kept_at(step: int | None = None) -> str:
    """Prefix of the names of weights that were kept at a training step; without a step, of those kept at any."""
    return "at." if step is None else f"at.{step}."


@timed("files")
def load_into(module: Any, tensors: dict[str, "Tensor"], path: Path | str) -> None:
    """Load weights into a net.  Raises: ValueError naming the file when names or shapes differ."""
    expected = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    actual = {name: tuple(value.shape) for name, value in tensors.items()}
    if expected != actual:
        different = sorted(name for name in expected.keys() | actual.keys() if expected.get(name) != actual.get(name))
        raise ValueError(f"{path} has weights of another net: {len(different)} tensors differ, the first is {different[0]}")
    module.load_state_dict(tensors)


@timed("files")
def sha256(path: Path | str) -> str:
    """Hash of a file's bytes, hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
