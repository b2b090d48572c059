"""Rule levels: which operator strengths a schedule visits, chosen by the distances between corrupted training images."""

from difftables.jobs.job import Job


def run(job: Job) -> None:
    """spec: data, schedule, corruption, names, scale.  In: data.  Out: levels, a schedule file, record, png, svg."""
    import time
    from itertools import pairwise

    import torch

    from difftables.common.files import write_json
    from difftables.data import datasets
    from difftables.diffusion import operator_levels, schedules
    from difftables.diffusion.corruptions import CORRUPTIONS
    from difftables.diffusion.level import Level
    from difftables.report import figures
    from difftables.report.levels_figure import draw_levels

    spec, s = job.spec, job.spec.schedule.model_extra
    images = datasets.of(spec.data, job.input("data"), job.device).clean(count=s["images"])
    grid = torch.linspace(s["weakest"], s["strongest"], s["candidates"], dtype=torch.float64)
    began = time.perf_counter()
    candidates = Level.variance_exploding(torch.zeros_like(grid), grid).to(job.device)
    distances = operator_levels.paired_distances(images, candidates, CORRUPTIONS[spec.corruption]).cpu()
    seconds = time.perf_counter() - began
    epsilon = s.get("epsilon")
    path, longest = operator_levels.chosen(distances, s["nodes"], epsilon)
    wanted = s["nodes"] if epsilon is None else len(path)
    ties = f" ({wanted} wanted: no longest edge gives as many)" if len(path) != wanted else ""
    print(f"{len(path)} of {len(grid)} levels{ties}, edges up to {longest:.4g}; distances took {seconds:.2f} s", flush=True)
    nodes = operator_levels.of_nodes(grid[path], s["lowest"], s["highest"], s["reached"])
    schedules.write(job.output("levels"), {len(path): nodes})
    edges = [distances[a, b].item() for a, b in pairwise(path)]
    record = {
        "nodes": grid[path].tolist(), "edges": edges, "longest": longest, "whole": distances[0, -1].item(), "wanted": wanted,
        "images": len(images),
    }  # fmt: skip
    job.cost = {"distances": {"seconds": round(seconds, 3)}}
    write_json(job.output("record"), {"shared": {"levels": spec.levels, "dataset": spec.dataset}, "record": record})
    figure = draw_levels(distances.numpy(), grid.tolist(), path, edges, longest)
    figures.save(figure, job.output("png").with_suffix(""))
