"""The warm parent: python -m difftables.warm.server FOLDER.  It ends with the Snakemake that holds its stdin.

It runs no job and starts no thread itself, so that a fork is safe. A job that it forks has its client's arguments, environment, folder and
standard streams, and its own place in the process table: it dies with its client and with this process.
"""

import atexit
import ctypes
import gc
import importlib
import json
import os
import pkgutil
import selectors
import signal
import socket
import struct
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from difftables.warm.client import SOCKET

FIRST = ("torch", "psutil", "safetensors.torch", "numpy")  # what all jobs import
# What some jobs import inside of functions, as far as it takes long. It is imported while no client waits.
LATER = ("torchvision.utils", "torch._dynamo", "scipy.special", "scipy.integrate", "scipy.signal", "matplotlib.pyplot", "pesq", "pystoi",
         "torch_fidelity.metric_kid", "torch_fidelity.metric_isc")  # fmt: skip
PR_SET_PDEATHSIG, PR_SET_NAME = 1, 15  # of <linux/prctl.h>
PACKAGE = __package__.split(".")[0]
SECONDS = 5.0  # that a client may take to say what it wants
Stamp = dict[str, tuple[int, int]]


class Server:
    """Accepts clients and forks their jobs.

    Args: folder: for the socket, and a file for each job: named after its client, holding its number; source: whose modules are imported;
        later: modules to import while no client waits.
    """

    def __init__(self, folder: Path, source: Path, later: Iterable[str] = ()) -> None:
        self.folder, self.source, self.later = folder, source, list(later)
        self.stamp = stamp(source)
        self.jobs: dict[int, tuple[socket.socket, int]] = {}  # by number: the connection and number of its client
        self.selector = selectors.DefaultSelector()

    def serve(self) -> None:
        """Until stdin ends and no job is left."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
            listening.bind(str(self.folder / SOCKET))
            listening.listen(64)
            self.selector.register(listening, selectors.EVENT_READ)
            self.selector.register(0, selectors.EVENT_READ)
            driven = True
            while driven or self.jobs:
                ready = self.selector.select(0 if self.later else None)
                if not ready and self.later:
                    load([self.later.pop(0)])
                for key, _ in ready:
                    if key.fileobj is listening:
                        self.accept(listening)
                    elif key.fileobj == 0:
                        driven = False
                        for each in (0, listening):
                            self.selector.unregister(each)
                    else:
                        self.reap(key.data)

    def accept(self, listening: socket.socket) -> None:
        """Fork the job of the next client, unless the source has changed since it was imported."""
        connection, _ = listening.accept()
        connection.settimeout(SECONDS)
        try:
            wanted, streams = receive(connection)
        except (OSError, EOFError, ValueError):
            connection.close()
            return
        safe = len(os.listdir("/proc/self/task")) == 1  # a fork of several threads keeps their locks, but not them
        job = os.fork() if safe and self.stamp == stamp(self.source) else None
        if job == 0:
            listening.close()
            for other, _ in self.jobs.values():
                other.close()
            self.selector.close()
            run(wanted, streams, connection)
        for each in streams:
            os.close(each)
        client = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
        if job:
            self.jobs[job] = connection, client
            (self.folder / str(client)).write_text(str(job))
            self.selector.register(os.pidfd_open(job), selectors.EVENT_READ, job)
        answer(connection, job or 0)
        if not job:
            connection.close()

    def reap(self, job: int) -> None:
        """Tell the client of a job that ended how it ended."""
        key = next(key for key in self.selector.get_map().values() if key.data == job)
        self.selector.unregister(key.fileobj)
        os.close(key.fd)
        connection, client = self.jobs.pop(job)
        answer(connection, os.waitstatus_to_exitcode(os.waitpid(job, 0)[1]))
        connection.close()
        (self.folder / str(client)).unlink(missing_ok=True)


def answer(connection: socket.socket, number: int) -> None:
    """Send a number of four bytes, unless the client is gone."""
    with suppress(OSError):
        connection.sendall(number.to_bytes(4, "big", signed=True))


def receive(connection: socket.socket) -> tuple[dict[str, object], list[int]]:
    """What a client wants and its standard streams.  Raises: EOFError, OSError where it went away."""
    head, streams, _, _ = socket.recv_fds(connection, 4, 3)
    text = b""
    while len(head) < 4 or len(text) < int.from_bytes(head, "big"):
        part = connection.recv(4 - len(head)) if len(head) < 4 else connection.recv(int.from_bytes(head, "big") - len(text))
        if not part:
            raise EOFError
        head, text = (head + part, text) if len(head) < 4 else (head, text + part)
    return json.loads(text), list(streams)


def run(wanted: dict[str, object], streams: list[int], connection: socket.socket) -> None:
    """The job, in the forked process, which ends here."""
    status = 1
    atexit._clear()  # what the parent's imports registered: torch prints statistics, for example
    try:
        follow(connection, str(wanted["arguments"][0]))  # type: ignore[index]
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        os.chdir(str(wanted["cwd"]))
        os.environ.clear()
        os.environ.update(wanted["environment"])  # type: ignore[call-overload]
        from difftables.__main__ import main

        status = main(wanted["arguments"])  # type: ignore[arg-type]
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def follow(connection: socket.socket, name: str) -> None:
    """End this process when its client or the warm parent has ended.  Args: name: for lists of processes."""
    parent, libc = os.getppid(), ctypes.CDLL(None)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    libc.prctl(PR_SET_NAME, f"difftables {name}".encode()[:15])
    if os.getppid() != parent:  # it ended before it could be followed
        os._exit(1)

    def watch() -> None:
        connection.settimeout(None)
        try:
            connection.recv(1)
        finally:
            os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def stamp(source: Path) -> Stamp:
    """Time and size of all modules below a folder: a forked job must not run code that was changed since it was imported."""
    return {each.path: (each.stat().st_mtime_ns, each.stat().st_size) for each in _files(source)}


def _files(folder: Path) -> "Iterator[os.DirEntry[str]]":
    with os.scandir(folder) as entries:
        for each in entries:
            if each.is_dir(follow_symlinks=False):
                yield from _files(Path(each.path))
            elif each.name.endswith(".py"):
                yield each


def modules(package: str) -> list[str]:
    """Names of the modules of this project that jobs may import."""
    skipped = (f"{package}.commands", f"{package}.warm")
    paths = importlib.import_module(package).__path__
    return [each.name for each in pkgutil.walk_packages(paths, f"{package}.") if not each.name.startswith(skipped)]


def load(names: Iterable[str]) -> None:
    """Import modules. One that fails is left to the job that needs it: its error belongs there."""
    for name in names:
        try:
            if name.startswith("torchvision"):
                importlib.import_module(f"{PACKAGE}.metrics.torchvision_stub").torchvision_operators()
            importlib.import_module(name)
        except Exception as error:
            print(f"{name} was not imported: {error!r}", flush=True)
    gc.collect()
    gc.freeze()  # no child copies the parent's pages by collecting garbage


def main(folder: Path) -> None:
    """Serve from a folder."""
    server = Server(folder, Path(__file__).parents[1], LATER)
    load(FIRST)
    load(modules(PACKAGE))
    server.serve()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
