"""A job's own process, as its rule starts it: it hands the job to the warm parent, passes signals on and ends as the job ended.

It imports little, since it runs once for every job. Without a warm parent, or when that one declines, the job runs in this process.
"""

import os
import sys

FOLDER = "DIFFTABLES_WARM"  # environment variable that a Snakemake with a warm parent sets for its jobs
SOCKET = "socket"


def run_warm(arguments: list[str]) -> int | None:
    """The exit status of the job, run by the warm parent; None where this process has to run it.

    Args: arguments: VERB JOB.json and options. Only jobs with one thread and no GPU are handed over: others start seldom, and the number
        of threads of a process is settled when its libraries are loaded.
    """
    folder = os.environ.pop(FOLDER, None)
    if folder is None or _option(arguments, "--threads") != "1" or _option(arguments, "--gpus") not in (None, "0"):
        return None
    import json
    import signal
    import socket

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as parent:
        try:
            parent.connect(os.path.join(folder, SOCKET))
            told = json.dumps({"arguments": arguments, "cwd": os.getcwd(), "environment": dict(os.environ)}).encode()
            socket.send_fds(parent, [len(told).to_bytes(4, "big")], [0, 1, 2])
            parent.sendall(told)
            job = int.from_bytes(_receive(parent), "big")
        except (OSError, EOFError):  # none yet, or none any more
            return None
        if not job:
            return None
        wanted = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        passed = [number for number in wanted if signal.getsignal(number) != signal.SIG_IGN]  # as nohup leaves them
        for number in passed:
            signal.signal(number, lambda received, _: _send(job, received))
        try:
            status = int.from_bytes(_receive(parent), "big", signed=True)
        except (OSError, EOFError):
            # The parent was killed, and its jobs with it: their files were not renamed yet.
            print("the warm parent of this job was killed; the job starts again by itself", file=sys.stderr, flush=True)
            status = None
        for number in passed:
            signal.signal(number, signal.SIG_DFL)
    if status is not None and status < 0:
        os.kill(os.getpid(), -status)
    return status


def _receive(parent: "object") -> bytes:
    """The next four bytes.  Raises: EOFError where the other end was closed before."""
    received = b""
    while len(received) < 4:
        part = parent.recv(4 - len(received))  # type: ignore[attr-defined]
        if not part:
            raise EOFError
        received += part
    return received


def _send(job: int, number: int) -> None:
    try:
        os.kill(job, number)
    except ProcessLookupError:  # it has just ended
        return


def _option(arguments: list[str], name: str) -> str | None:
    return arguments[arguments.index(name) + 1] if name in arguments[:-1] else None
