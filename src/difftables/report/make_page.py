"""The page of a table from its spec and its files."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from difftables.common.files import read_json, sha256
from difftables.common.names import local, paper_of
from difftables.config.job_specs import TableSpec
from difftables.papers.kinds import INPUTS_OF_KIND
from difftables.papers.reported import ReportedNumbers
from difftables.report.kinds import KINDS
from difftables.report.page import Page
from difftables.report.sources import Sources, machines, net_notes, quoted_numbers
from difftables.report.statistics import detectable, mark_best

Inputs = Mapping[str, list[Path]]  # files by name, as Workflow.table_inputs lists them


def make_page(spec: TableSpec, inputs: Inputs) -> tuple[Page, Callable[[], Any] | None]:
    """The page of a table, and a function that draws its figure, or None where it has none.

    Raises: ValueError naming a file that is damaged or holds something else.
    """
    plain = spec.model_dump() | {"data": {"medium": "images"} if spec.speech is None else spec.speech.model_dump()}
    sources = read_sources(plain, inputs)
    rendered = KINDS[spec.layout["kind"]](sources)
    mark_best(rendered.cells)
    if (least := detectable(rendered.cells)) is not None:
        apart = f"a factor of {1 + least:.3g}" if least > 1 else f"about {100 * least:.2g} %"
        rendered.grid.notes.append(f"Two rows must differ by {apart} to be told apart with 80 % power (first metric, p not corrected).")
    grids = [rendered.grid, *rendered.more]
    aside = {*spec.layout["foot"], *net_notes(sources), *quoted_numbers(sources)[1]}
    for grid in grids:
        grid.details = [note for note in grid.notes if note in aside]
        grid.notes = [note for note in grid.notes if note not in aside]
    drawn = rendered.draw is not None
    return Page(spec.paper, spec.table, spec.layout["title"], banner(plain), drawn, rendered.cells, grids), rendered.draw


def read_sources(spec: dict[str, Any], inputs: Inputs) -> Sources:
    """The files of a table, read or by run and sampler."""
    rows = [row for row in spec["rows"] if row["run"]]
    drawn = dict.fromkeys((row["run"], row["sampler"]) for row in rows if "sampler" in row)
    trained = dict.fromkeys(row["run"] for row in rows)
    chosen = {"/".join(path.parts[-3:-1]): path for path in inputs.get("levels", [])}
    curves = dict(zip(trained, inputs.get("curves", []), strict=False))
    return Sources(
        spec, ReportedNumbers(next(iter(inputs.get("reported", [])), None)), _of_size(spec, _records(spec, inputs.get("records", []))),
        dict(zip(drawn, inputs.get("samples", []), strict=False)),
        next((read_json(path) for path in inputs.get("floor", [])), None), next(iter(inputs.get("data", [])), None),
        next(iter(inputs.get("audio", [])), None), _records(spec, inputs.get("likelihood", [])), curves,
        {name: sha256(path)[:16] for name, path in curves.items()},
        {name: chosen[each["levels"]] for name, each in spec["courses"].items() if each["levels"] in chosen},
        _searches(rows, inputs.get("searches", [])), machines(read_json(path) for path in inputs.get("made", [])),
    )  # fmt: skip


def _searches(rows: list[dict[str, Any]], paths: list[Path]) -> dict[tuple[str, str], Any]:
    """Records of searches by run and sampler: a row's file bears the names of its records, RUN/sSEED/SAMPLER.json."""
    known = {(path.parts[-4] + "/" + path.parts[-3], path.stem): path for path in paths if "/" not in path.stem}
    known |= {(f"{path.parts[-5]}/{path.parts[-4]}", f"{path.parts[-2]}/{path.stem}"): path for path in paths if len(path.parts) > 4}
    found = dict[tuple[str, str], Any]()
    for row in rows:
        names = row.get("recorded", row)
        place = (names["run"], local(names["sampler"], paper_of(names["run"]))) if "sampler" in names else None
        if place in known:
            found[row["run"], row["sampler"]] = read_json(known[place])
    return found


def _records(spec: dict[str, Any], paths: list[Path]) -> list[Any]:
    """The records of a table; one that stands for rows of other names comes again under the names of each, one of a net under its run."""
    found, others = [_record(path) for path in paths], dict[tuple[int, str, str], Any]()
    for row in (row for row in spec["rows"] if "recorded" in row):
        for place, record in enumerate(found):
            shared, names = record["shared"], row["recorded"]
            drawn = shared.get("sampler")
            if shared["run"] == names["run"] and drawn in (None, names.get("sampler")):
                own = {"run": row["run"], "sampler": row["sampler"] if drawn else None}
                others[place, own["run"], own["sampler"] or ""] = record | {"shared": shared | own}
    return [*found, *others.values()]


def _of_size(spec: dict[str, Any], records: list[Any]) -> list[Any]:
    """Records of samples with only the entries of the table's n: another table may measure more or fewer samples of the same row."""
    if "records" not in INPUTS_OF_KIND[spec["layout"]["kind"]]:
        return records
    return [record | {"records": [entry for entry in record["records"] if entry["n"] == spec["n"]]} for record in records]


def _record(path: Path) -> Any:
    """A record with the hash of its bytes as `fingerprint`."""
    found = read_json(path)
    found["shared"]["fingerprint"] = sha256(path)[:16]
    return found


def banner(spec: dict[str, Any]) -> str:
    """Where the numbers come from, in one line."""
    if spec["layout"]["kind"] == "references":
        return "**Measured on made points alone**, with exact posteriors. Nothing is trained or sampled."
    if spec["layout"]["kind"].startswith("exact-"):
        return "**Exact denoisers**: closed forms, and made starts where a problem has none. Nothing is trained."
    if not INPUTS_OF_KIND[spec["layout"]["kind"]]:
        named = "schedules" in spec["layout"]
        return "**Closed form**, " + (f"with the schedules of scale `{spec['scale']}`." if named else "nothing is trained or sampled.")
    if spec["layout"]["kind"] == "phases":
        where = f"the training images of `{spec['dataset']}`, scale `{spec['scale']}`" if spec["run"] else "made points alone"
        return f"**Measured on {where}**, with exact posteriors; two points in closed form. Nothing is trained or sampled."
    if spec["run"] is None:
        return f"**Own rows were not run:** `params.yaml` binds no run to this table at scale `{spec['scale']}`."
    if spec["layout"]["kind"] == "course":
        return (
            f"**Closed form**, with the schedules of scale `{spec['scale']}`; nothing is measured but levels chosen on `{spec['dataset']}`."
        )
    seeds = f"{spec['train_seeds']} training seed{'s' * (spec['train_seeds'] > 1)}"
    seeds += f" x {spec['seeds']} sampling seeds" if spec["steps"] else ""
    note = "" if spec["scale"] == "paper" else " This is not the paper's data: compare rows with rows, never with the paper's numbers."
    return f"**Measured at scale `{spec['scale']}` on `{spec['dataset']}`**, run `{local(spec['run'], spec['paper'])}`, {seeds}.{note}"
