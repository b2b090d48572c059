"""What a schedule does, without any net: closed forms, and noised images."""

from typing import Any

from difftables import figures_bound
from difftables.assemble import training_schedule
from difftables.config_run import Schedule
from difftables.data.images import to_uint8, to_unit
from difftables.figures import images
from difftables.io import load_tensors
from difftables.render.sources import Rendered, Sources
from difftables.rng import SampleNoise
from difftables.steps import transition
from difftables.tables import Cell, Grid

SHOWN, PLACES = 2, 12  # images, and timesteps of each


def _levels(sources: Sources) -> dict[str, Any]:
    """alpha_bar at t = 1 .. T of each schedule a layout names."""
    return {name: training_schedule(Schedule(**spec)) for name, spec in sources.spec["schedules"].items()}


def _cell(sources: Sources, row: str, column: str, value: float, metric: str) -> Cell:
    spec = sources.spec
    cell = Cell(spec["paper"], spec["table"], row, column, metric=metric, value=value, status="closed-form")
    return cell


def schedules(sources: Sources) -> Rendered:
    """alpha_bar at four places, the ratio of the two variances, and how many timesteps are spent on pure noise."""
    spec, cells, lines = sources.spec, list[Cell](), []
    curves, ratios = dict[str, list[float]](), dict[str, list[float]]()
    for name, schedule in _levels(sources).items():
        alpha_bar = schedule.alpha_bar[:-1].flip(0)
        total = len(alpha_bar)
        beta, posterior = transition(schedule[:-1], schedule[1:])
        curves[name], ratios[name] = alpha_bar.tolist(), (posterior / beta).flip(0).tolist()
        row = {f"alpha_bar at {k} T/4": alpha_bar[min(total, -(-k * total // 4)) - 1].item() for k in (1, 2, 3, 4)}
        row |= {f"share with alpha_bar < {cut}": (alpha_bar < cut).double().mean().item() for cut in (0.01, 0.001)}
        mine = [_cell(sources, name, column, value, "alpha_bar" if "at" in column else "share") for column, value in row.items()]
        cells += mine
        lines.append((f"{name} (T = {total})", mine, "own"))
    heads = [cell.column for cell in cells[: len(cells) // max(1, len(lines))]]
    grid = Grid(spec["layout"]["title"], ["", *heads], lines, list(spec["layout"]["foot"]))
    return Rendered(cells, grid, figures_bound.schedules(curves, ratios))


def noised(sources: Sources) -> Rendered:
    """The same images and noise at evenly spaced timesteps of each schedule."""
    spec, cells, lines, rows = sources.spec, list[Cell](), [], dict[str, Any]()
    names = []
    for name, schedule in _levels(sources).items():
        total = len(schedule) - 1
        places = sorted({round(i * (total - 1) / (PLACES - 1)) for i in range(PLACES)})
        names = [f"{place / (total - 1):.2f} T" for place in places]
        alpha_bar = schedule.alpha_bar[:-1].flip(0)
        mine = [_cell(sources, name, names[i], alpha_bar[place].item(), "alpha_bar") for i, place in enumerate(places)]
        cells += mine
        lines.append((f"{name} (T = {total})", mine, "own"))
        if sources.data is None:
            continue
        data, _ = load_tensors(sources.data, "data")
        clean = to_unit(data["images"][data["held_out"].bool()][:SHOWN])
        noise = SampleNoise([("noised", i) for i in range(SHOWN)])(clean)
        for i in range(len(clean)):
            at = alpha_bar[places].float().reshape(-1, 1, 1, 1)
            rows[f"{name}, image {i + 1}"] = to_uint8((at.sqrt() * clean[i] + (1 - at).sqrt() * noise[i]).clamp(-1, 1))
    grid = Grid(spec["layout"]["title"], ["", *names], lines, list(spec["layout"]["foot"]))
    return Rendered(cells, grid, images(dict(sorted(rows.items(), key=lambda item: item[0].split("image ")[-1]))) if rows else None)
