"""Unusable files, reported together: who repairs a folder of thousands needs all names at once."""

from collections.abc import Sequence

SHOWN = 20  # files that are named; the others are counted


def refuse(faults: Sequence[str], what: str) -> None:
    """Raise ValueError if there are unusable files: a line for each of the first SHOWN, and how many more there are.

    Args: faults: one line a file, with its path and what to do; what: what the files are, e.g. "images".
    """
    if len(faults) > 1:
        more = [f"and {len(faults) - SHOWN} more"] if len(faults) > SHOWN else []
        raise ValueError("\n  ".join([f"{len(faults)} {what} cannot be used:", *faults[:SHOWN], *more]))
    if faults:
        raise ValueError(faults[0])
