"""Downloads: resumed after a cut, tried again, and checked before anything reads them."""

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

ATTEMPTS = 5  # on end that bring no new byte
FIRST_WAIT = 1.0  # seconds, doubled from one attempt to the next
CHUNK = 1 << 20  # bytes
TRANSIENT = (408, 429)  # of 4xx, which else say that no other attempt will fare better


class Cut(Exception):
    """What another attempt may mend."""


class Part:
    """What has come so far, beside the target, and what the server said of the whole.  Args: target: where the whole is to lie."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.path = self.target.with_name(self.target.name + ".part")
        # The validator and the length of the whole; no address, which may hold a password.
        self.side = self.target.with_name(self.target.name + ".part.json")

    @property
    def length(self) -> int:
        """Bytes that have come."""
        return self.path.stat().st_size if self.path.exists() else 0

    def told(self) -> dict[str, Any]:
        """What the server said, or nothing."""
        try:
            return dict(read_json(self.side))
        except (OSError, ValueError, TypeError):
            return {}

    def delete(self) -> None:
        """Forget all of it."""
        for path in (self.path, self.side):
            path.unlink(missing_ok=True)

    def whole(self) -> bool:
        """Whether nothing is left to fetch, as after a download whose hash nobody had stated."""
        return self.length > 0 and self.told().get("total") == self.length


def shown(url: str) -> str:
    """An address as messages may show it: without user, password and query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def fetch(
    url: str, sha256: str | None, target: Path, size: int | None = None, timeout: float = 60.0, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Fetch a file, going on from what an earlier attempt left, and put it in place once its hash is right.

    Args: sha256: None fetches, says what the hash is and refuses to go on; size: in bytes, where known; timeout: seconds
        without a byte; sleep: between attempts.
    Raises: ValueError or OSError with one line that says what to do; nothing is at `target` then.
    """
    if urlsplit(url).scheme not in SCHEMES:
        raise ValueError(f"{shown(url)} is none of {', '.join(SCHEMES)}; mend the url in params.yaml")
    target.parent.mkdir(parents=True, exist_ok=True)
    part, failures = Part(target), 0
    farthest = part.length
    while not part.whole():
        try:
            _receive(url, part, size, timeout)
            break
        except Cut as error:
            failures = failures + 1 if part.length <= farthest else 1
            farthest = max(farthest, part.length)
            if failures == ATTEMPTS:
                kept = f", or run again: {part.length:,} bytes are kept" if part.length else ""
                raise ValueError(f"{shown(url)} cannot be fetched ({error}); put the file at {target} by hand{kept}") from None
            sleep(FIRST_WAIT * 2 ** (failures - 1))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            line = f"the disk is full: {target} was not written; free some space and run again, which goes on from {part.path.name}"
            raise OSError(errno.ENOSPC, line) from None
    _check(url, sha256, part)


def _check(url: str, sha256: str | None, part: Part) -> None:
    """Put the whole file in place.  Raises: ValueError for a wrong hash, after deleting it, and for one to compare with none."""
    found = digest(part.path)
    if sha256 is None:
        raise ValueError(
            f"{shown(url)} has sha256 {found}, and params.yaml states none; compare it with its publisher's, if there is one, "
            f"write it into params.yaml and run again: the file is kept as {part.path}"
        )
    if found != sha256:
        part.delete()
        raise ValueError(
            f"{shown(url)} has sha256 {found[:12]}..., not {sha256[:12]}...; it was deleted: fetch it again, or mend sha256 in "
            "params.yaml if its publisher has put another file there"
        )
    with open(part.path, "rb") as file:
        os.fsync(file.fileno())
    os.replace(part.path, part.target)
    part.delete()


def _receive(url: str, part: Part, size: int | None, timeout: float) -> None:
    """One attempt.  Raises: Cut for what another may mend; ValueError or OSError for what none will."""
    from tqdm import tqdm

    with _answer(url, part, timeout) as answer:
        start, total = _place(answer, part)
        if size is not None and total is not None and size != total:
            part.delete()
            raise ValueError(f"{shown(url)} has {total:,} bytes, not {size:,}; mend its size and sha256 in params.yaml, or its url")
        needed, free = (total or size or 0) - start, shutil.disk_usage(part.target.parent).free
        if needed > free:
            raise ValueError(f"{part.target} needs {needed:,} bytes, and the disk has {free:,} free; free some space and run again")
        etag, modified = answer.headers.get("ETag", "W/"), answer.headers.get("Last-Modified")
        write_json(part.side, {"tag": modified if etag.startswith("W/") else etag, "total": total})  # If-Range takes no weak tag
        shape = {"total": total, "initial": start, "unit": "B", "unit_scale": True, "desc": part.target.name, "mininterval": 1}
        with open(part.path, "ab") as file, tqdm(**shape) as bar:
            for chunk in _chunks(answer):
                file.write(chunk)
                bar.update(len(chunk))
    if total is not None and part.length < total:
        raise Cut(f"cut after {part.length:,} of {total:,} bytes")
    write_json(part.side, part.told() | {"total": part.length})


def _place(answer: Any, part: Part) -> tuple[int, int | None]:
    """Where an answer's bytes begin, and how long the whole is, if that is said; a part that they do not go on from is deleted."""
    if getattr(answer, "status", None) == 206:
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range", "").strip())
        if found is None or int(found[1]) != part.length:
            part.delete()
            raise Cut("the server sent other bytes than it was asked for")
        return part.length, None if found[2] == "*" else int(found[2])
    part.delete()
    length = answer.headers.get("Content-Length") or ""
    return 0, int(length) if length.isdigit() else None


def _answer(url: str, part: Part, timeout: float) -> Any:
    """The server's answer to a request for what is missing.  Raises: as _receive."""
    parts = urlsplit(url)
    user, _, host = parts.netloc.rpartition("@")
    request = urllib.request.Request(urlunsplit(parts._replace(netloc=host)), headers={"User-Agent": "difftables"})
    if user:  # not for the host that the server may send us on to
        request.add_unredirected_header("Authorization", f"Basic {b64encode(unquote(user).encode()).decode()}")
    if part.length:
        request.add_header("Range", f"bytes={part.length}-")
        if tag := part.told().get("tag"):
            request.add_header("If-Range", tag)
    try:
        return urllib.request.urlopen(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        if error.code == 416:
            part.delete()  # it is longer than what the server has now
        elif 400 <= error.code < 500 and error.code not in TRANSIENT:
            found = f"{shown(url)} answers {error.code} ({_line(error.reason)}); mend the url in params.yaml"
            raise ValueError(f"{found}, or put the file at {part.target} by hand") from None
        raise Cut(f"status {error.code}, {_line(error.reason)}") from None
    except http.client.InvalidURL:
        raise ValueError(f"{shown(url)} is no address; mend the url in params.yaml") from None
    except (OSError, http.client.HTTPException) as error:
        reason = _line(getattr(error, "reason", None) or error)
        if parts.scheme == "file":
            raise ValueError(f"{shown(url)} cannot be read ({reason}); mend the url in params.yaml") from None
        raise Cut(reason) from None


def _chunks(answer: Any) -> Iterator[bytes]:
    try:
        while chunk := answer.read1(CHUNK):
            yield chunk
    except (OSError, http.client.HTTPException) as error:  # of the network: the disk's are raised where chunks are written
        raise Cut(_line(error)) from None


def _line(reason: object) -> str:
    return " ".join(str(reason).split()) or type(reason).__name__
