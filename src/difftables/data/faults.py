"""Files that cannot be used, named together: whoever mends a folder of thousands wants to hear of all of them at once."""

from collections.abc import Sequence

SHOWN = 20  # files that are named; the rest is counted


def refuse(faults: Sequence[str], what: str) -> None:
    """Raise ValueError for files that cannot be used: a line for each of the first SHOWN, and how many more there are.

    Args: faults: one line a file, with its path and what to do; what: what the files are, e.g. "images".
    """
    if len(faults) > 1:
        more = [f"and {len(faults) - SHOWN} more"] if len(faults) > SHOWN else []
        raise ValueError("\n  ".join([f"{len(faults)} {what} cannot be used:", *faults[:SHOWN], *more]))
    if faults:
        raise ValueError(faults[0])
