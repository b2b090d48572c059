"""What a table of each kind is made from, and whether it has a picture."""

from collections.abc import Iterable
from typing import Any

from difftables.common.variants import Variants

Spec = dict[str, Any]
# What a table of each kind is made from; report.kinds.KINDS has the function of each.
INPUTS_OF_KIND: Variants[tuple[str, ...]] = {
    "steps": ("records", "samples", "floor"),
    "images": ("records", "samples", "floor", "data"),
    "speech": ("records", "samples"),
    "listen": ("records", "samples", "data", "audio"),
    "errors": ("errors",),
    "robustness": ("robustness",),
    "summary": ("records", "likelihood", "floor"),
    "compute": ("records", "likelihood", "floor"),
    "terms": ("likelihood",),
    "chains": ("likelihood",),
    "noised": ("data",),
    "schedules": (),
    "learning": ("curves",),
    "gradients": ("gradients",),
    "gradient-course": ("gradients",),
    "course": ("levels", "data"),
    "gaussian": (),
    "variance": ("variance",),
    "phases": ("data",),
    "references": (),
    "progress": ("records", "floor"),
    "sweep": ("records", "floor"),
    "against-calls": ("records", "floor", "searches"),
    "exact-distances": (),
    "exact-distributions": (),
    "exact-schedules": (),
    "exact-searches": (),
}
# Kinds whose picture needs no row with a run: closed forms, and those that show the table's run itself.
CLOSED_FORMS, OF_TABLE_RUN = ("schedules", "gaussian", "references"), ("noised", "errors", "robustness")
STUDIES = ("errors", "robustness", "gradients", "variance")  # of a trained run: each is a rule, and the input `records` of its table


def has_picture(layout: Spec, run: str | None, rows: list[Spec]) -> bool:
    """Whether a table has a picture: its kind has one, and what that shows has a run.  Args: run: of the table; rows: each with its run."""
    kind, bound = layout["kind"], [row for row in rows if run and row["run"]]
    if kind == "summary" and layout.get("dots"):
        return bool(bound)
    if kind == "summary":  # it draws one ratio, of the terms of two runs
        metrics, parts = {column["metric"] for column in layout["columns"]}, set(layout.get("ratio") or ())
        return "nll" in metrics and bool(parts) and parts <= {row["id"] for row in bound}
    if kind == "phases":
        return any(run or row["points"] != "data" for row in rows)
    if kind == "exact-distances":
        return any(row.get("drawn") for row in rows)
    return kind in CLOSED_FORMS or bool(run if kind in OF_TABLE_RUN else bound)


def audible_steps(names: Iterable[str], asked: list[int]) -> list[int]:
    """The step counts of a sampler that become audio: those in `asked`, or its lowest.  Args: names: of its tensors, samples/STEPS."""
    sampled = sorted(int(name.split("/")[1]) for name in names if name.startswith("samples/"))
    return [steps for steps in sampled if steps in asked] or sampled[:1]
