"""The same tables after shorter training: runs and tables that a scale's `lengths` adds to those of its files.

A claim that compares trainings means little at one length of training: its outcome may turn with more of it. At a scale with
`lengths: {quarter: 4}` each table with `lengths: true` exists again as TABLE-at-quarter, of runs RUN-at-quarter with a quarter of the
steps.
"""

from typing import Any

from difftables.common.errors import ConfigError

Raw = dict[str, Any]
Place = tuple[str, str]  # paper and table


def expand(raw: Raw) -> tuple[Raw, dict[Place, Place]]:
    """A merged configuration, whose runs hold all their values, with the runs and tables of its shorter lengths.

    Returns: it, and for each added table (paper, name) the name of the table that it repeats and that of its length.
    Raises: ConfigError for a divisor that is no whole number above one, or a name that is taken.
    """
    lengths, found = raw.get("lengths") or {}, dict[Place, Place]()
    if not isinstance(lengths, dict) or not all(isinstance(each, int) and each > 1 for each in lengths.values()):
        raise ConfigError(f"lengths is {lengths!r}; write NAME: DIVISOR with whole divisors above 1, such as quarter: 4")
    runs, tables = dict(raw.get("runs") or {}), {paper: dict(each) for paper, each in (raw.get("tables") or {}).items()}
    repeated = [(paper, name) for paper, each in tables.items() for name, table in each.items() if _asks(table)]
    for length, divisor in lengths.items():
        _add(runs, {_named(run, length): shortened(run, entry, divisor, length) for run, entry in (raw.get("runs") or {}).items()}, "runs")
        for paper, name in repeated:
            table = tables[paper][name]
            played = {run: run for run in raw["runs"]} | (table.get("runs") or {})
            then = {run: other and _named(other, length) for run, other in played.items()}
            shorter = table | {"run": table.get("run") and _named(table["run"], length), "runs": then, "lengths": False}
            _add(tables[paper], {_named(name, length): shorter}, f"tables.{paper}")
            found[paper, _named(name, length)] = name, length
    return raw | {"runs": runs, "tables": tables}, found


def _asks(table: Any) -> bool:
    return isinstance(table, dict) and table.get("lengths") is True


def _named(name: str, length: str) -> str:
    return f"{name}-at-{length}"


def _add(entries: Raw, added: Raw, section: str) -> None:
    for name in added.keys() & entries.keys():
        raise ConfigError(f"{section}.{name} has the name of what `lengths` adds; rename it")
    entries.update(added)


def shortened(name: str, run: Any, divisor: int, length: str) -> Any:
    """A run with its training shortened: steps, warm-up and checkpoints divided and rounded; the average is over as large a part of them.

    An average of decay a has the length 1 / (1 - a); a^divisor has about 1 / divisor of it.
    """
    if not isinstance(run, dict):
        return run
    found = dict(run)
    train = run.get("train")
    if isinstance(train, dict):
        keys = [key for key in ("steps", "half_life") if isinstance(train.get(key), int)]
        found["train"] = train | {key: _divided(train[key], divisor) for key in keys}
        found["train"]["warmup"] = train.get("warmup", 0) // divisor
        if isinstance(train.get("ema"), float):
            found["train"]["ema"] = round(train["ema"] ** divisor, 6)
        marks = train.get("checkpoints") or []
        found["train"]["checkpoints"] = [_divided(mark, divisor) for mark in marks]
    view = run.get("checkpoint_of")
    if isinstance(view, dict):
        found["checkpoint_of"] = view | {key: _named(view[key], length) for key in ("run", "edge_run") if view.get(key)}
        if isinstance(view.get("step"), int):
            found["checkpoint_of"]["step"] = _divided(view["step"], divisor)
    return found


def _divided(number: int, divisor: int) -> int:
    return max(1, round(number / divisor))


def repeated_layout(layout: Raw | None, divisor: int) -> Raw:
    """The layout of a table after a part of the training: that of the table that it repeats, without the paper's numbers.

    Args: layout: None where tables.yaml lacks the table, which the check of names says.
    """
    if layout is None:
        return {"kind": "", "rows": []}
    rows = [{key: value for key, value in row.items() if key != "paper"} for row in layout.get("rows", [])]
    kept = {key: value for key, value in layout.items() if key not in ("literature", "quotes")}
    return kept | {"title": f"{layout['title']}: 1/{divisor} of the training"} | ({"rows": rows} if "rows" in layout else {})
