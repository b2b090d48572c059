"""Schedules on exact problems: what they do to the variance of Gaussian samples, and which search finds the best levels."""

from typing import Any

from difftables.metrics.catalogue import METRICS
from difftables.provenance import fingerprint
from difftables.report.cells import Cell
from difftables.report.kinds.exact_distances import kept_digits, shown
from difftables.report.printing import Grid
from difftables.report.sources import Rendered, Sources, new_cell

CLEAN_ENDED = "arctan-to-clean"  # its lowest level is not the table's, so that its bound compares with no other
MEASURES = {"ddim": "DDIM", "ancestral": "ancestral", "klub": "KLUB"}
SAMPLERS = {"ddim": {"kind": "walk", "rule": "ddim"}, "ancestral": {"kind": "walk", "rule": "ddpm-small"}}


def exact_schedules(sources: Sources) -> Rendered:
    """Variance ratio of DDIM and of the ancestral sampler, and the bound on the path's KL, for each schedule and number of jumps."""
    import torch  # takes longer to import than most tables to make

    from difftables.diffusion.level import Level
    from difftables.studies import exact_errors as exact
    from difftables.studies import exact_schedules as schedules
    from difftables.studies.exact_problems import PROBLEMS, TITLES

    layout, cells, lines = sources.spec["layout"], list[Cell](), list[tuple[str, list[Any], str]]()
    problem, span = layout["problem"], exact.Range(**layout["levels"])
    samplers = {name: exact.read_solver(solver) for name, solver in SAMPLERS.items()}
    for row in sources.spec["rows"]:
        mine = list[Cell | None]()
        for jumps in layout["jumps"]:
            task = schedules.Task(problem, span, jumps, samplers["ddim"], closed=True)
            sigma = schedules.SEARCHES[row["search"]](task).sigma
            chain = Level.variance_exploding(torch.cat([sigma, torch.zeros(1, dtype=torch.float64)]))
            values = {name: exact.closed(PROBLEMS[problem](), sampler, chain).ratio for name, sampler in samplers.items()}
            values["klub"] = schedules.path_bound(task, sigma)
            for measure, value in values.items():
                metric = "klub" if measure == "klub" else "variance-ratio"
                if measure == "klub" and row["search"] == CLEAN_ENDED:
                    mine.append(None)
                    continue
                cell = new_cell(
                    sources, row, f"{jumps}-{measure}", metric, f"{MEASURES[measure]}, {jumps}", dataset="", method=row["label"]
                )
                cell.value, cell.status, cell.better = kept_digits(value), "closed-form", METRICS[metric].better
                cell.sampler, cell.steps, cell.nfe = row["search"], jumps + 1, jumps + 1
                mine.append(cell)
        cells += [cell for cell in mine if cell is not None]
        lines.append((row["label"], [shown(cell) for cell in mine], "own"))
    heads = [f"{head}, {jumps}" for jumps in layout["jumps"] for head in MEASURES.values()]
    notes = [
        f"Data: {TITLES[problem]}. Columns: a measure, and jumps from σ = {span.highest:g} to {span.lowest:g}. DDIM, ancestral (small "
        "variance): variance of their samples over that of the data, after one more step from the last level to the clean sample; started "
        "at the exact distribution.",
        "KLUB: the bound on the KL of the path of the ancestral sampler down to the last level, nats per dimension, which is also the gap "
        f"of the variational bound. Searches use {schedules.GRID} levels of the power law, and the loss curve there in closed form.",
        *layout["foot"],
    ]
    return Rendered(cells, Grid(layout["title"], ["", *heads], lines, notes))


def exact_searches(sources: Sources) -> Rendered:
    """Distance to the exact end of the table's solver down the levels that each search finds, and the search's evaluations."""
    from difftables.diffusion.level import Level
    from difftables.studies import exact_errors as exact
    from difftables.studies import exact_schedules as schedules
    from difftables.studies.exact_problems import PROBLEMS, TITLES

    layout, cells, lines = sources.spec["layout"], list[Cell](), list[tuple[str, list[Any], str]]()
    span, solver, jumps = exact.Range(**layout["levels"]), exact.read_solver(layout["solver"]), layout["jumps"]
    for row in sources.spec["rows"]:
        mine, evaluations = list[Cell | None](), 0
        for problem in layout["problems"]:
            if row["search"] in schedules.IN_A_PLANE and PROBLEMS[problem]().dimensions == 1:
                mine.append(None)
                continue
            found = schedules.SEARCHES[row["search"]](schedules.Task(problem, span, jumps, solver))
            evaluations = found.evaluations
            cell = _estimate(sources, row, problem, TITLES[problem], "end-distance")
            chain = Level.variance_exploding(found.sigma)
            cell.value = kept_digits(exact.distance(problem, solver, chain, exact.starts_used(problem))[0])
            cell.steps, cell.nfe, cell.n = jumps, jumps, exact.starts_used(problem)
            mine.append(cell)
        cost = _estimate(sources, row, "evaluations", "evaluations", "evaluations")
        cost.value, cost.status, cost.n = evaluations, "closed-form", ""
        cells += [cell for cell in [*mine, cost] if cell is not None]
        lines.append((row["label"], [*(shown(cell) for cell in mine), str(evaluations)], "own"))
    notes = [
        "Columns: problems; then evaluations of the denoiser that a search makes for one of them, samples times calls, forward and "
        "backward. Values: root mean square distance to the exact end of the same start, on starts that no search saw: "
        f"{jumps} jumps from σ = {span.highest:g} to {span.lowest:g} with solver {_named(layout['solver'])}.",
        f"Searches see {schedules.SAMPLES} starts. Those on a grid choose from {schedules.GRID} levels of the power law, ρ = 7; learned "
        "levels lie anywhere. `-`: the search does not fit the problem.",
        *layout["foot"],
    ]
    return Rendered(cells, Grid(layout["title"], ["", *(TITLES[each] for each in layout["problems"]), "evaluations"], lines, notes))


def _estimate(sources: Sources, row: dict[str, Any], column: str, head: str, metric: str) -> Cell:
    cell = new_cell(sources, row, column, metric, head, dataset="", method=row["label"], sampler=row["search"], status="estimated")
    cell.better, cell.seeds = METRICS[metric].better, "1x1"
    layout = sources.spec["layout"]
    cell.run = fingerprint.job("exact-searches", column, row["search"], layout["solver"], layout["levels"], layout["jumps"])
    return cell


def _named(solver: dict[str, Any]) -> str:
    """A solver as params.yaml has it, in one line."""
    return "`{" + ", ".join(f"{key}: {value}" for key, value in solver.items()) + "}`"
