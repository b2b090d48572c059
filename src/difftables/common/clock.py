"""Where the CPU seconds of a job go, in kinds that exclude each other, for its provenance. No result depends on this module.

`Phase("forward")` around a block counts the seconds inside as forward ones; a phase inside another interrupts it. The seconds are those
of all threads of the process. A GPU is not waited for: its phases hold the seconds of the CPU only.
"""

import os
import resource
import sys
from collections.abc import Callable, Sequence
from functools import wraps
from importlib.machinery import ExtensionFileLoader, ModuleSpec, PathFinder, SourceFileLoader, SourcelessFileLoader
from time import process_time
from types import ModuleType
from typing import ParamSpec, TypeVar

# In the order of the ledger: Python and imports; reading, writing and hashing of files; nets; optimiser and averages; scores of samples.
KINDS = ("start_up", "files", "forward", "backward", "optimiser", "metrics", "rest")
MEGABYTE = 1024**2 if sys.platform == "darwin" else 1024  # in units of ru_maxrss
P = ParamSpec("P")
T = TypeVar("T")


class _Clock:
    """The seconds of each kind, and the kind that counts now."""

    def __init__(self) -> None:
        self.spent = dict.fromkeys(KINDS, 0.0)
        self.kind, self.mark = "start_up", 0.0
        self.ended = 0.0  # seconds of processes that this one started and that have ended, as far as they are counted
        self.process = 0  # whose seconds these are

    def turn(self, kind: str) -> str:
        """Count what follows as `kind`.  Returns: the kind before."""
        now, before = process_time(), self.kind
        self.spent[before] += now - self.mark
        self.kind, self.mark = kind, now
        return before


_CLOCK = _Clock()


class Phase:
    """A block whose seconds count as one kind.  Args: kind: of KINDS."""

    __slots__ = ("kind", "outer")

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __enter__(self) -> None:
        self.outer = _CLOCK.turn(self.kind)

    def __exit__(self, *_: object) -> None:
        _CLOCK.turn(self.outer)


def timed(kind: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """A decorator: the function's seconds count as one kind."""

    def decorated(function: Callable[P, T]) -> Callable[P, T]:
        @wraps(function)
        def measured(*args: P.args, **options: P.kwargs) -> T:
            with Phase(kind):
                return function(*args, **options)

        return measured

    return decorated


def begin() -> None:
    """Begin the record of a job with its start-up: from the start of the process, or from now where that has run a job before."""
    again, _CLOCK.process = _CLOCK.process == os.getpid(), os.getpid()
    _CLOCK.spent, _CLOCK.kind, _CLOCK.mark = dict.fromkeys(KINDS, 0.0), "start_up", process_time() if again else 0.0
    _CLOCK.ended = _cpu(resource.RUSAGE_CHILDREN) if again else 0.0
    if _TimedImports not in sys.meta_path:
        sys.meta_path.insert(0, _TimedImports)


def count_children() -> None:
    """Count the seconds of processes that have ended since the last call as those of the present kind."""
    ended = _cpu(resource.RUSAGE_CHILDREN)
    _CLOCK.spent[_CLOCK.kind] += ended - _CLOCK.ended
    _CLOCK.ended = ended


def core_seconds() -> dict[str, float]:
    """CPU seconds by kind since `begin`, of this process and of those that it started and that have ended."""
    count_children()
    _CLOCK.turn(_CLOCK.kind)
    return {kind: round(seconds, 4) for kind, seconds in _CLOCK.spent.items()}


def peak_mb() -> float:
    """Largest resident memory so far, in MiB, of this process or of one that it started."""
    peaks = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return round(max(peaks) / MEGABYTE, 1)


def driver_seconds() -> tuple[float, float]:
    """CPU seconds of this process from its start, and of those that it started and that have ended, with theirs."""
    return _cpu(resource.RUSAGE_SELF), _cpu(resource.RUSAGE_CHILDREN)


def _cpu(who: int) -> float:
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


class _TimedImports:
    """On sys.meta_path, before the finder that it asks: what a module runs while it is loaded counts as start-up, whenever that is."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """The module's spec, whose loader counts its seconds."""
        spec = PathFinder.find_spec(name, path, target)
        loader = None if spec is None else spec.loader
        if isinstance(loader, SourceFileLoader | SourcelessFileLoader | ExtensionFileLoader):
            loader.exec_module = timed("start_up")(loader.exec_module)  # type: ignore[method-assign]
            loader.create_module = timed("start_up")(loader.create_module)  # type: ignore[method-assign]
        return spec
