"""Downloads: resumed after a cut, tried again, and checked before anything reads them.

pooch 1.9 and Snakemake's HTTP storage check hashes and try again, but start over after a cut: no help with archives of 100 GB.
"""

import errno
import http.client
import os
import re
import shutil
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from difftables.common.errors import SCHEMES
from difftables.common.files import read_json, write_json
from difftables.common.files import sha256 as digest

ATTEMPTS = 5  # in a row that bring no new byte
FIRST_WAIT = 1.0  # seconds, doubled from one attempt to the next
CHUNK = 1 << 20  # bytes
TRANSIENT = (408, 429)  # the only 4xx after which another attempt may succeed


class Interrupted(Exception):
    """A failure after which another attempt may succeed."""


class Part:
    """An unfinished download beside its target: the bytes so far, and the server's headers.  Args: target: path of the whole file."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.path = self.target.with_name(self.target.name + ".part")
        # The validator (ETag or date) and the length of the whole; no address, which may hold a password.
        self.headers_path = self.target.with_name(self.target.name + ".part.json")

    @property
    def length(self) -> int:
        """Bytes received so far."""
        return self.path.stat().st_size if self.path.exists() else 0

    def headers(self) -> dict[str, Any]:
        """The validator and length that the server sent; empty without a readable file of them."""
        try:
            return dict(read_json(self.headers_path))
        except (OSError, ValueError, TypeError):
            return {}

    def delete(self) -> None:
        """Delete the bytes and the headers."""
        for path in (self.path, self.headers_path):
            path.unlink(missing_ok=True)

    def is_whole(self) -> bool:
        """Whether nothing is left to fetch, as after a download for which params.yaml has no hash."""
        return self.length > 0 and self.headers().get("total") == self.length


def redacted(url: str) -> str:
    """An address for messages: without user, password and query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def fetch(
    url: str, sha256: str | None, target: Path, size: int | None = None, timeout: float = 60.0, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Download a file, from where an earlier attempt stopped, and rename it to `target` once its hash is right.

    Args:
        url: http, https or file.
        sha256: the expected hash, hexadecimal. With None the file is fetched, and the error names its hash.
        size: the expected length in bytes, or None.
        timeout: seconds without a byte after which an attempt ends.
        sleep: called with the seconds between two attempts.
    Raises: ValueError or OSError with one line that says what to do; `target` does not exist then.
    """
    if urlsplit(url).scheme not in SCHEMES:
        raise ValueError(f"{redacted(url)} is none of {', '.join(SCHEMES)}; fix the url in params.yaml")
    target.parent.mkdir(parents=True, exist_ok=True)
    part, failures = Part(target), 0
    farthest = part.length
    while not part.is_whole():
        try:
            _receive(url, part, size, timeout)
            break
        except Interrupted as error:
            failures = failures + 1 if part.length <= farthest else 1
            farthest = max(farthest, part.length)
            if failures == ATTEMPTS:
                kept = f", or run again: {part.length:,} bytes are kept" if part.length else ""
                raise ValueError(f"{redacted(url)} cannot be fetched ({error}); put the file at {target} by hand{kept}") from None
            sleep(FIRST_WAIT * 2 ** (failures - 1))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            line = f"the disk is full: {target} was not written; free some space and run again; it continues from {part.path.name}"
            raise OSError(errno.ENOSPC, line) from None
    _check(url, sha256, part)


def _check(url: str, sha256: str | None, part: Part) -> None:
    """Rename the whole file to its target.  Raises: ValueError for a wrong hash, whose file is deleted, and where none is expected."""
    actual = digest(part.path)
    if sha256 is None:
        raise ValueError(
            f"{redacted(url)} has sha256 {actual}, and params.yaml has none; compare it with the publisher's, if there is one, "
            f"write it into params.yaml and run again: the file is kept as {part.path}"
        )
    if actual != sha256:
        part.delete()
        raise ValueError(
            f"{redacted(url)} has sha256 {actual[:12]}..., not {sha256[:12]}...; it was deleted: fetch it again, or change sha256 in "
            "params.yaml if the publisher has replaced the file"
        )
    with open(part.path, "rb") as file:
        os.fsync(file.fileno())
    os.replace(part.path, part.target)
    part.delete()


def _receive(url: str, part: Part, size: int | None, timeout: float) -> None:
    """One attempt.  Raises: Interrupted where another may succeed; ValueError or OSError where none can."""
    from tqdm import tqdm

    with _answer(url, part, timeout) as answer:
        start, total = _offset(answer, part)
        if size is not None and total is not None and size != total:
            part.delete()
            raise ValueError(f"{redacted(url)} has {total:,} bytes, not {size:,}; fix its size and sha256 in params.yaml, or its url")
        needed, free = (total or size or 0) - start, shutil.disk_usage(part.target.parent).free
        if needed > free:
            raise ValueError(f"{part.target} needs {needed:,} bytes, and the disk has {free:,} free; free some space and run again")
        etag, modified = answer.headers.get("ETag", "W/"), answer.headers.get("Last-Modified")
        write_json(part.headers_path, {"tag": modified if etag.startswith("W/") else etag, "total": total})  # If-Range takes no weak tag
        shape = {"total": total, "initial": start, "unit": "B", "unit_scale": True, "desc": part.target.name, "mininterval": 1}
        with open(part.path, "ab") as file, tqdm(**shape) as bar:
            for chunk in _chunks(answer):
                file.write(chunk)
                bar.update(len(chunk))
    if total is not None and part.length < total:
        raise Interrupted(f"cut after {part.length:,} of {total:,} bytes")
    write_json(part.headers_path, part.headers() | {"total": part.length})


def _offset(answer: Any, part: Part) -> tuple[int, int | None]:
    """Offset of an answer's first byte, and the length of the whole or None.

    The part is deleted where the answer starts at 0.  Raises: Interrupted where it starts at another byte than asked for.
    """
    if answer.status == 206:
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range", "").strip())
        if match is None or int(match[1]) != part.length:
            part.delete()
            raise Interrupted("the server sent other bytes than asked for")
        return part.length, None if match[2] == "*" else int(match[2])
    part.delete()
    length = answer.headers.get("Content-Length") or ""
    return 0, int(length) if length.isdigit() else None


def _answer(url: str, part: Part, timeout: float) -> Any:
    """The server's answer to a request for the missing bytes.  Raises: as _receive."""
    parts = urlsplit(url)
    user, _, host = parts.netloc.rpartition("@")
    request = urllib.request.Request(urlunsplit(parts._replace(netloc=host)), headers={"User-Agent": "difftables"})
    if user:  # unredirected: another host gets no password
        request.add_unredirected_header("Authorization", f"Basic {b64encode(unquote(user).encode()).decode()}")
    if part.length:
        request.add_header("Range", f"bytes={part.length}-")
        if tag := part.headers().get("tag"):
            request.add_header("If-Range", tag)
    try:
        return urllib.request.urlopen(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        if error.code == 416:
            part.delete()  # it is longer than the server's file
        elif 400 <= error.code < 500 and error.code not in TRANSIENT:
            answer = f"{redacted(url)} answers {error.code} ({_line(error.reason)}); fix the url in params.yaml"
            raise ValueError(f"{answer}, or put the file at {part.target} by hand") from None
        raise Interrupted(f"status {error.code}, {_line(error.reason)}") from None
    except http.client.InvalidURL:
        raise ValueError(f"{redacted(url)} is no address; fix the url in params.yaml") from None
    except (OSError, http.client.HTTPException) as error:
        reason = _line(getattr(error, "reason", None) or error)
        if parts.scheme == "file":
            raise ValueError(f"{redacted(url)} cannot be read ({reason}); fix the url in params.yaml") from None
        raise Interrupted(reason) from None


def _chunks(answer: Any) -> Iterator[bytes]:
    try:
        while chunk := answer.read1(CHUNK):
            yield chunk
    except (OSError, http.client.HTTPException) as error:  # from the network only: the disk's arise where chunks are written
        raise Interrupted(_line(error)) from None


def _line(reason: object) -> str:
    return " ".join(str(reason).split()) or type(reason).__name__
