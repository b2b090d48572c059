"""`difftables verify A B`: whether two results folders, e.g. of two machines, hold the same cells and files; else where they part."""

import sys
from pathlib import Path

from difftables.provenance.files import load
from difftables.report.compare_results import compare_cells, compare_stores, read_cells

USAGE = "usage: difftables verify A B, two results folders such as results/smoke"


def command(arguments: list[str]) -> int:
    """Print in one line that two results are the same, or where they first differ; exit 1 if they do."""
    if len(arguments) != 2 or arguments[0].startswith("-"):
        print(USAGE, file=sys.stderr)
        return 2
    a, b = (Path(each) for each in arguments)
    try:
        first, second = read_cells(a), read_cells(b)
        problems = compare_cells(first, second)
        jobs = [load(each / "store") for each in (a, b)]
        lacking = [str(each / "store/provenance") for each, found in zip((a, b), jobs, strict=True) if not found]
        count, differences = (0, []) if lacking else compare_stores(a, b, *jobs)
    except (OSError, ValueError) as error:
        print(f"verify: {error}")
        return 1
    problems += differences
    for line in problems:
        print(f"verify: {line}")
    stored = f"cells only, since {' and '.join(lacking)} has no jobs" if lacking else f"and {count} files of the stores"
    cells = f"{len(first.keys() & second.keys())} cells compared"
    print(f"verify: {'NOT the same' if problems else 'the same'}; {cells}, {stored}; {a} and {b}")
    return bool(problems)
