"""What a schedule does, without any net: closed forms, and noised images."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from difftables.common.files import load_tensors
from difftables.report.cells import Cell
from difftables.report.figures import CYCLE, image_rows, pyplot
from difftables.report.printing import Grid
from difftables.report.sources import Rendered, Sources, new_cell

if TYPE_CHECKING:  # torch takes longer to import than most tables to make
    from torch import Tensor

    from difftables.diffusion.level import Level

SHOWN, PLACES = 2, 12  # images, and timesteps of each


def _levels(sources: Sources) -> "dict[str, Level]":
    """The levels of each schedule that a layout names, from t = T to 0."""
    from difftables.config.run import Schedule
    from difftables.diffusion.training_schedules import training_schedule

    return {name: training_schedule(Schedule(**spec)) for name, spec in sources.spec["schedules"].items()}


def _cell(sources: Sources, name: str, column: str, head: str, value: float, metric_id: str) -> Cell:
    return new_cell(sources, {"id": name, "label": name}, column, metric_id, head, dataset="", value=value, status="closed-form")


def schedules(sources: Sources) -> Rendered:
    """alpha_bar at four places, the ratio of the two variances, and how many timesteps are spent on pure noise."""
    from difftables.diffusion.transitions import step_variances

    spec, cells, lines = sources.spec, list[Cell](), []
    curves, ratios = dict[str, list[float]](), dict[str, list[float]]()
    for name, schedule in _levels(sources).items():
        alpha_bar = schedule.alpha_bar[:-1].flip(0)
        total = len(alpha_bar)
        beta, posterior = step_variances(schedule[:-1], schedule[1:])
        curves[name], ratios[name] = alpha_bar.tolist(), (posterior / beta).flip(0).tolist()
        quarters = {k: alpha_bar[min(total, -(-k * total // 4)) - 1].item() for k in (1, 2, 3, 4)}
        shares = {cut: (alpha_bar < cut).double().mean().item() for cut in (0.01, 0.001)}
        mine = [_cell(sources, name, f"{k / 4:g}", f"alpha_bar at {k} T/4", value, "alpha-bar") for k, value in quarters.items()]
        mine += [_cell(sources, name, f"below-{cut}", f"share with alpha_bar < {cut}", value, "share") for cut, value in shares.items()]
        cells += mine
        lines.append((f"{name} (T = {total})", mine, "own"))
    heads = [cell.column for cell in cells[: len(cells) // max(1, len(lines))]]
    grid = Grid(spec["layout"]["title"], ["", *heads], lines, list(spec["layout"]["foot"]))
    return Rendered(cells, grid, partial(draw_schedules, curves, ratios))


def noised(sources: Sources) -> Rendered:
    """The same images and noise at evenly spaced timesteps of each schedule."""
    spec, cells, lines = sources.spec, list[Cell](), []
    names = list[str]()
    shown: dict[str, Tensor] = {}
    for name, schedule in _levels(sources).items():
        total = len(schedule) - 1
        places = sorted({round(i * (total - 1) / (PLACES - 1)) for i in range(PLACES)})
        alpha_bar = schedule.alpha_bar[:-1].flip(0)
        times = [f"{place / (total - 1):.2f}" for place in places]
        names = [f"{time} T" for time in times]
        mine = [_cell(sources, name, times[i], names[i], alpha_bar[place].item(), "alpha-bar") for i, place in enumerate(places)]
        cells += mine
        lines.append((f"{name} (T = {total})", mine, "own"))
        shown[name] = alpha_bar[places].float().reshape(-1, 1, 1, 1)
    grid = Grid(spec["layout"]["title"], ["", *names], lines, list(spec["layout"]["foot"]))
    return Rendered(cells, grid, partial(_pictures, sources.data, shown) if sources.data is not None else None)


def _pictures(path: Path, shown: "dict[str, Tensor]") -> Any:
    """A row for each image and schedule.  Args: shown: alpha_bar of each schedule, [T', 1, 1, 1]."""
    from difftables.common.seeds import SampleNoise
    from difftables.data.image_files import to_uint8, to_unit

    data, _ = load_tensors(path, "data")
    clean = to_unit(data["images"][data["held_out"].bool()][:SHOWN])
    noise = SampleNoise([("noised", i) for i in range(SHOWN)])(clean)
    return image_rows(
        {
            f"{name}, image {i + 1}": to_uint8((at.sqrt() * clean[i] + (1 - at).sqrt() * noise[i]).clamp(-1, 1))
            for i in range(len(clean))
            for name, at in shown.items()
        }
    )


def draw_schedules(alpha_bar: dict[str, list[float]], ratios: dict[str, list[float]]) -> Any:
    """alpha_bar against t / T, and the ratio of the posterior's variance to beta."""
    plt = pyplot()
    figure, axes = plt.subplots(1, 2, figsize=(9.6, 3.4))
    for i, (label, values) in enumerate(alpha_bar.items()):
        total = len(values)
        place = [t / total for t in range(1, total + 1)]
        axes[0].plot(place, values, linewidth=1.6, color=CYCLE[i % 8], linestyle=("-", "--", ":")[i % 3], label=f"{label} (T = {total})")
        axes[1].plot(place[1:], ratios[label][1:], linewidth=1.6, color=CYCLE[i % 8], linestyle=("-", "--", ":")[i % 3], label=label)
    axes[0].set(xlabel="t / T", ylabel=r"$\bar\alpha_t$")
    axes[1].set(xlabel="t / T", ylabel=r"$\tilde\beta_t\,/\,\beta_t$", xscale="log")
    axes[0].legend(fontsize=8)
    figure.tight_layout()
    return figure
