"""Rule table: one table or figure of a paper as Markdown, LaTeX, CSV, JSON and, where it has one, a plot."""

from typing import Any

from difftables.cli.job import Job
from difftables.layouts import READS


def run(job: Job) -> None:
    """spec: of Plan.table_spec.  In: reported, maybe records, samples, floor, data, audio, levels.  Out: md, tex, csv, json, png, svg."""
    from difftables import figures
    from difftables.io import read_json, sha256, write_json, write_text
    from difftables.render import RENDERERS
    from difftables.render.sources import Sources
    from difftables.tables import Reported, judge, latex, markdown, write_cells

    spec = job.spec.model_dump() | {"data": {"medium": "images"} if job.spec.speech is None else job.spec.speech.model_dump()}
    layout = spec["layout"]
    floor, rows = job.maybe("floor"), [row for row in spec["rows"] if row["run"]]
    drawn = dict.fromkeys((row["run"], row["sampler"]) for row in rows if "sampler" in row)
    trained = dict.fromkeys(row["run"] for row in rows)
    curves = dict(zip(trained, job.inputs.get("curves", []), strict=False))
    chosen = {path.parent.name: path for path in job.inputs.get("levels", [])}
    machines = dict.fromkeys(read_json(path)["machine"] for path in job.inputs.get("made", []))
    machine = "; ".join(machines)
    sources = Sources(
        spec, Reported(job.input("reported")), [_record(path, machine) for path in job.inputs.get("records", [])],
        dict(zip(drawn, job.inputs.get("samples", []), strict=False)), read_json(floor) if floor else None, job.maybe("data"),
        job.maybe("audio"), [_record(path, machine) for path in job.inputs.get("likelihood", [])], curves,
        {name: sha256(path)[:16] for name, path in curves.items()}, {},
        {name: chosen[each["levels"]] for name, each in spec["courses"].items() if each["levels"] in chosen},
    )  # fmt: skip
    rendered = RENDERERS[layout["kind"]](sources)
    judge(rendered.cells)
    figure = rendered.figure or figures.nothing("not run at this scale")
    figures.save(figure, job.output("png").with_suffix(""))
    picture = f"\n![{spec['table']}]({job.output('png').name})\n" if rendered.figure else ""
    heading = f"## {spec['paper']} {spec['table']}: {layout['title']}\n\n{banner(spec)}\n\n"
    below = "".join(f"\n### {grid.title}\n\n{markdown(grid)}" for grid in rendered.more)
    write_text(job.output("md"), heading + markdown(rendered.grid) + below + picture)
    # In a paper the table stands alone: what it was measured on must travel with it.
    rendered.grid.notes.insert(0, banner(spec).replace("**", "").replace("`", ""))
    label = f"tab:{spec['paper']}-{spec['table']}"
    further = [latex(grid, f"{label}-{i}") for i, grid in enumerate(rendered.more, 2)]
    write_text(job.output("tex"), "\n".join([latex(rendered.grid, label), *further]))
    write_cells(job.output("csv"), rendered.cells)
    write_json(job.output("json"), [vars(cell) for cell in rendered.cells])


def _record(path: Any, machine: str) -> Any:
    """A record, by the hash of its bytes, with the machine that measured it."""
    from difftables.io import read_json, sha256

    found = read_json(path)
    found["shared"] |= {"fingerprint": sha256(path)[:16], "machine": machine}
    return found


def banner(spec: dict[str, Any]) -> str:
    """Where the numbers come from, in one line nobody can miss."""
    if not READS[spec["layout"]["kind"]]:
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
    return f"**Measured at scale `{spec['scale']}` on `{spec['dataset']}`**, run `{spec['run']}`, {seeds}.{note}"
