"""`difftables explain CELL [SCALE]`: from a cell of a table to what made it: records, samples, nets, data and all their numbers."""

import csv
import sys
from pathlib import Path

from difftables.common.errors import ConfigError, nearest
from difftables.planning.explanation import aligned, history
from difftables.report.find_cell import full_name, matching_cells, what_is_missing

USAGE = "usage: difftables explain PAPER/TABLE/ROW/COLUMN[/METRIC] [SCALE]"


def command(arguments: list[str]) -> int:
    """Print what made a cell; exit 1, with the names of all that fit, unless there is one."""
    if not 1 <= len(arguments) <= 2 or arguments[0].startswith("-"):
        print(USAGE, file=sys.stderr)
        return 2
    try:
        scale = scale_of(arguments[1:])
        path = Path(f"results/{scale}/tables/cells.csv")
        if not path.exists():
            raise ValueError(f"{path} is missing; run snakemake --config scale={scale}")
        with open(path, newline="") as file:
            cells = list(csv.DictReader(file))
        found = matching_cells(cells, arguments[0])
        if len(found) != 1:
            raise ValueError("\n".join(map(full_name, found)) or what_is_missing(cells, arguments[0]))
        print("\n".join([*aligned(found[0]), *history(scale, found[0])]))
    except (OSError, ValueError) as error:
        print(error)
        return 1
    return 0


def scale_of(words: list[str]) -> str:
    """The scale that is asked for, or that of params.yaml, whatever else is wrong with it.  Raises: ConfigError for an unknown one."""
    from difftables.config.params_file import SCALES
    from difftables.papers.folder import read_yaml

    scale = words[0] if words else (read_yaml(Path("params.yaml")) or {}).get("scale")
    if scale not in SCALES:
        raise ConfigError(f"there is no scale {scale!r}{nearest(str(scale), SCALES)}")
    return scale
