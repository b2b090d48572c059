"""Rule table: one table or figure of a paper as Markdown, LaTeX, CSV, JSON and, where it has one, a picture."""

from difftables.jobs.job import Job


def run(job: Job) -> None:
    """spec: TableSpec.  In: of Workflow.table_inputs.  Out: md, tex, notes, csv, json, and png, svg where Workflow.has_figure.

    Raises: ValueError where the table's renderer and the plan differ about the picture.
    """
    from difftables.common.files import write_text
    from difftables.report import figures
    from difftables.report.make_page import make_page

    made, draw = make_page(job.spec, job.inputs)
    if (draw is not None) != ("png" in job.outputs):
        has, planned = ("a", "none") if draw is not None else ("no", "one")
        raise ValueError(
            f"{made.paper} {made.table} has {has} picture, the plan has {planned}; make Workflow.has_figure and its renderer agree"
        )
    if draw is not None:
        figures.save(draw(), job.output("png").with_suffix(""))
    for name, text in made.texts().items():
        write_text(job.output(name), text)
