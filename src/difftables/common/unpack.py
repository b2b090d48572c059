"""Archives: unpacked whole or not at all, and only into their own folder.

shutil.unpack_archive with tarfile's `data` filter is not enough: it drops zip members with unsafe names in silence, follows links
inside the folder, sets no bound on the size, and Python 3.11.0 to 3.11.3 lack the filter.
"""

import errno
import lzma
import os
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from stat import S_ISLNK
from typing import TypeVar

Member = TypeVar("Member", tarfile.TarInfo, zipfile.ZipInfo)
FRACTION = 0.95  # of the free disk that an archive may fill


def extract(archive: Path, folder: Path) -> None:
    """Unpack a zip or tar archive (.gz, .bz2, .xz) into a folder that does not exist yet.

    Raises: ValueError with one line that names the archive, and the member where one is at fault: a name that leads out of the
        folder, a link, a device, an encrypted member, more bytes than the disk has room for, a damaged archive. OSError on a full
        disk. Nothing is left behind then.
    """
    part = folder.with_name(f".{folder.name}.part")  # a fixed name, so that the next run deletes what a killed one left
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        if tarfile.is_tarfile(archive):
            _untar(archive, part)
        elif zipfile.is_zipfile(archive):
            _unzip(archive, part)
        else:
            raise ValueError(f"{archive} is neither a zip nor a tar archive, or damaged; delete it and run again")
        os.replace(part, folder)
    except (zipfile.BadZipFile, tarfile.TarError, lzma.LZMAError, EOFError, zlib.error) as error:
        raise ValueError(f"{archive} is damaged ({error}); delete it and run again") from None
    except OSError as error:
        if error.errno is None:  # bz2 and gzip report damage so
            raise ValueError(f"{archive} is damaged ({error}); delete it and run again") from None
        if error.errno == errno.ENOSPC:
            raise OSError(errno.ENOSPC, f"the disk is full: {archive} was not unpacked; free some space and run again") from None
        raise
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _untar(archive: Path, folder: Path) -> None:
    budget = DiskBudget(archive, folder)
    with tarfile.open(archive, "r:*") as file:
        for member in _with_progress(file, archive):
            # Links are refused even where they stay inside: a later member could be written through one, and no data set needs any.
            fault = "" if member.isfile() or member.isdir() else "is a link or a device"
            budget.reserve(member.name, member.size, fault)
            target = folder / member.name
            (target if member.isdir() else target.parent).mkdir(parents=True, exist_ok=True)
            # Not `extract`: neither owners nor rights are taken from an archive.
            source = file.extractfile(member)
            if source is not None:  # None for a folder
                with source, open(target, "wb") as out:
                    shutil.copyfileobj(source, out)


def _unzip(archive: Path, folder: Path) -> None:
    budget = DiskBudget(archive, folder)
    with zipfile.ZipFile(archive) as file:
        members = file.infolist()
        for member in members:
            fault = "is a link" if S_ISLNK(member.external_attr >> 16) else "is encrypted" if member.flag_bits & 1 else ""
            budget.reserve(member.filename, member.file_size, fault)
        for member in _with_progress(members, archive):
            file.extract(member, folder)


def _with_progress(members: Iterable[Member], archive: Path) -> Iterator[Member]:
    from tqdm import tqdm

    return iter(tqdm(members, desc=f"unpacking {archive.name}", unit=" files", mininterval=1))


class DiskBudget:
    """Bytes that one archive may still write.  Args: folder: on the disk that it goes to."""

    def __init__(self, archive: Path, folder: Path) -> None:
        self.archive, self.used = archive, 0
        self.free = shutil.disk_usage(folder).free

    def reserve(self, name: str, size: int, fault: str = "") -> None:
        """Count a member's bytes.  Args: fault: why it must not be unpacked, or "".  Raises: ValueError naming a refused member."""
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or PureWindowsPath(name).drive or "\\" in name:
            fault = "leads out of the folder"
        if fault:
            raise ValueError(f"{self.archive} was not unpacked: its member {name!r} {fault}; take the archive from its publisher")
        self.used += size
        if self.used > FRACTION * self.free:
            raise ValueError(
                f"{self.archive} was not unpacked: with its member {name!r} it has {self.used:,} bytes or more, and the disk has "
                f"{self.free:,} free; free some space and run again"
            )
