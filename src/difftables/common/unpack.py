"""Archives: unpacked whole or not at all, and into their own folder alone."""

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
from typing import Any

SHARE = 0.95  # of the free disk that an archive may fill


def extract(archive: Path, folder: Path) -> None:
    """Unpack a zip or tar archive (.gz, .bz2, .xz) into a folder that is not there yet.

    Raises: ValueError, one line naming the archive and the member, for a name that leads out of the folder, a link, a device,
        an encrypted member, more bytes than the disk has room for, and for a damaged archive; nothing is left behind then.
    """
    part = folder.with_name(f".{folder.name}.part")  # of a fixed name, so that what a killed run left is found and deleted
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
    room = Room(archive, folder)
    with tarfile.open(archive, "r:*") as file:
        for member in _told(file, archive):
            # Links are refused even where they stay inside: a file may be written through one, and no data set needs any.
            kind = "" if member.isfile() or member.isdir() else "is a link or a device"
            room.take(member.name, member.size, kind)
            target = folder / member.name
            (target if member.isdir() else target.parent).mkdir(parents=True, exist_ok=True)
            # Not `extract`, whose filters the first Pythons 3.11 lack: neither owners nor rights are taken from an archive.
            source = file.extractfile(member)
            if source is not None:  # a folder has none
                with source, open(target, "wb") as out:
                    shutil.copyfileobj(source, out)


def _unzip(archive: Path, folder: Path) -> None:
    room = Room(archive, folder)
    with zipfile.ZipFile(archive) as file:
        members = file.infolist()
        for member in members:
            kind = "is a link" if S_ISLNK(member.external_attr >> 16) else "is encrypted" if member.flag_bits & 1 else ""
            room.take(member.filename, member.file_size, kind)
        for member in _told(members, archive):
            file.extract(member, folder)


def _told(members: Iterable[Any], archive: Path) -> Iterator[Any]:
    from tqdm import tqdm

    return iter(tqdm(members, desc=f"unpacking {archive.name}", unit=" files", mininterval=1))


class Room:
    """What one archive may still write.  Args: folder: on the disk that it goes to."""

    def __init__(self, archive: Path, folder: Path) -> None:
        self.archive, self.taken = archive, 0
        self.free = shutil.disk_usage(folder).free

    def take(self, name: str, size: int, kind: str = "") -> None:
        """Count a member.  Args: kind: what is wrong with it, if anything.  Raises: ValueError naming it when it may not be unpacked."""
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or PureWindowsPath(name).drive or "\\" in name:
            kind = "leads out of the folder"
        if kind:
            raise ValueError(f"{self.archive} was not unpacked: its member {name!r} {kind}; take the archive from its publisher")
        self.taken += size
        if self.taken > SHARE * self.free:
            raise ValueError(
                f"{self.archive} was not unpacked: with its member {name!r} it has {self.taken:,} bytes or more, and the disk has "
                f"{self.free:,} free; free some space and run again"
            )
