"""Rule table: one table or figure of a paper as Markdown, LaTeX, CSV, JSON and, where it has one, a plot."""

from typing import Any

from difftables.cli.job import Job


def run(job: Job) -> None:
    """spec: of Plan.table_spec.  In: reported, maybe records, samples, floor, data, audio.  Out: md, tex, csv, json, png, svg."""
    from difftables import figures
    from difftables.io import read_json, write_json, write_text
    from difftables.render import RENDERERS
    from difftables.render.sources import Sources
    from difftables.tables import Reported, judge, latex, markdown, write_cells

    spec, layout = job.raw, job.raw["layout"]
    samplers = list(dict.fromkeys(row["sampler"] for row in layout.get("rows", []) if "sampler" in row))
    floor = job.maybe("floor")
    sources = Sources(
        spec, Reported(job.input("reported")), [read_json(path) for path in job.inputs.get("records", [])],
        dict(zip(samplers, job.inputs.get("samples", []), strict=False)), read_json(floor) if floor else None, job.maybe("data"),
        job.maybe("audio"),
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


def banner(spec: dict[str, Any]) -> str:
    """Where the numbers come from, in one line nobody can miss."""
    if spec["run"] is None:
        return f"**Own rows were not run:** scale `{spec['scale']}` has no data set for this table; scale `paper` has one."
    seeds = f"{spec['train_seeds']} training seed{'s' * (spec['train_seeds'] > 1)}"
    seeds += f" x {spec['seeds']} sampling seeds" if spec["steps"] else ""
    note = "" if spec["scale"] == "paper" else " This is not the paper's data: compare rows with rows, never with the paper's numbers."
    return f"**Measured at scale `{spec['scale']}` on `{spec['dataset']}`**, run `{spec['run']}`, {seeds}.{note}"
