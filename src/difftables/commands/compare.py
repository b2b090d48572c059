"""`difftables compare A B --metric M [--table T]`: rows, results folders, git revisions or DVC experiments, seed by seed."""

import argparse
import sys
from pathlib import Path

from difftables.commands.explain import scale_of
from difftables.common.errors import nearest
from difftables.report import compare_rows as rows

ABOUT = """A and B are two rows of the tables here (an id or a label), or two of: a results folder, a git revision, a DVC experiment.
A folder is looked for first, then a row, then a revision."""


def command(arguments: list[str]) -> int:
    """Print paired effects of A against B; exit 1, with one line, for a name that is none."""
    asked = _parser()
    try:
        options = asked.parse_args(arguments)
    except SystemExit as stop:
        return int(stop.code or 0)
    try:
        scale = scale_of([options.scale] if options.scale else [])
        pairs, first, second = _pairs(options, scale)
        if not pairs:
            raise ValueError(f"{options.a} and {options.b} have no measured cell in common; name another --metric or --table")
        found = rows.compare(pairs, first, second, options.margin, options.family)
    except (OSError, ValueError) as error:
        print(f"compare: {error}", file=sys.stderr)
        return 1
    print(rows.as_json(found) if options.json else rows.as_text(found))
    return 0


def _parser() -> argparse.ArgumentParser:
    asked = argparse.ArgumentParser("difftables compare", description=ABOUT)
    asked.add_argument("a", metavar="A")
    asked.add_argument("b", metavar="B")
    asked.add_argument("--metric", metavar="M", required=True, help="e.g. fd, kid, nll, pesq")
    asked.add_argument("--table", metavar="T", help="TABLE or PAPER/TABLE; all tables, unless given")
    asked.add_argument("--scale", metavar="S", help="of rows and revisions; that of params.yaml, unless given")
    asked.add_argument("--margin", type=float, default=0.1, help="within which two values are equivalent; 0.1, unless given")
    asked.add_argument("--family", choices=("benjamini-hochberg", "holm"), default="benjamini-hochberg", help="how p is corrected")
    asked.add_argument("--json", action="store_true", help="print JSON")
    return asked


def _pairs(options: argparse.Namespace, scale: str) -> tuple[list[tuple[rows.Place, rows.Line, rows.Line]], rows.Results, rows.Results]:
    """Pairs of cells with where they are from."""
    if not any(Path(word).is_dir() for word in (options.a, options.b)):
        here = rows.read_folder(Path(f"results/{scale}"))
        wanted = {line["metric_id"] for line in rows.measured(here, options.metric, options.table)}
        left, right = (
            {place: line for place, line in rows.of_row(here, word, options.table).items() if line["metric_id"] in wanted}
            for word in (options.a, options.b)
        )
        if left and right:
            return [(place, line, right[place]) for place, line in left.items() if place in right], here, here
        if left or right:
            _results(options.b if left else options.a, scale, options.table)  # says that it is no row, unless it is a revision
    first, second = (_results(word, scale, options.table) for word in (options.a, options.b))
    left, right = (
        {tuple(line[key] for key in rows.KEYS): line for line in rows.measured(found, options.metric, options.table)}
        for found in (first, second)
    )
    return [(place, line, right[place]) for place, line in left.items() if place in right], first, second


def _results(word: str, scale: str, table: str | None) -> rows.Results:
    """The results that a word names.  Raises: ValueError for a word that names none, with the nearest row."""
    if Path(word).is_dir():
        return rows.read_folder(Path(word))
    found = rows.read_revision(word, scale)
    if found is not None:
        return found
    here = Path(f"results/{scale}")
    names = [line["row_id"] for line in rows.measured(rows.read_folder(here), None, table)] if (here / "tables/cells.csv").exists() else []
    raise ValueError(f"{word!r} is no folder, no row and no revision of git or DVC{nearest(word, dict.fromkeys(names))}")
