"""Rule levels: which operator strengths a schedule visits, chosen by the distances between corrupted training images."""

from difftables.jobs.job import Job


def run(job: Job) -> None:
    """spec: LevelsSpec.  In: data.  Out: levels, a schedule file, record, png, svg."""
    import time

    import torch

    from difftables.common.files import write_json
    from difftables.data.datasets import open_dataset
    from difftables.diffusion.corruptions import CORRUPTIONS
    from difftables.diffusion.level import Level
    from difftables.diffusion.operator_levels import choose_levels, paired_distances
    from difftables.diffusion.schedule_file import write_schedules
    from difftables.report import figures
    from difftables.report.levels_figure import draw_levels

    spec, numbers = job.spec, job.spec.schedule.model_extra
    images = open_dataset(spec.data, job.input("data"), job.device).clean(count=numbers["images"])
    strengths = torch.linspace(numbers["weakest"], numbers["strongest"], numbers["candidates"], dtype=torch.float64)
    candidates = Level.variance_exploding(torch.zeros_like(strengths), strengths).to(job.device)
    began = time.perf_counter()
    distances = paired_distances(images, candidates, CORRUPTIONS[spec.corruption]).cpu()
    seconds = time.perf_counter() - began
    noise = (numbers["lowest"], numbers["highest"], numbers["reached"])
    chosen = choose_levels(strengths, distances, numbers["nodes"], numbers.get("epsilon"), noise)
    path, count = chosen.path, len(chosen.path)
    ties = f" ({chosen.wanted} wanted: no longest edge gives as many)" if count != chosen.wanted else ""
    print(f"{count} of {len(strengths)} levels{ties}, edges up to {chosen.longest:.4g}; distances took {seconds:.2f} s", flush=True)
    write_schedules(job.output("levels"), {count: chosen.schedule})
    record = {
        "nodes": strengths[path].tolist(), "edges": chosen.edges, "longest": chosen.longest, "whole": distances[0, -1].item(),
        "wanted": chosen.wanted, "images": len(images),
    }  # fmt: skip
    job.cost = {"distances": {"seconds": round(seconds, 3)}}
    write_json(job.output("record"), {"shared": {"levels": spec.levels, "dataset": spec.dataset}, "record": record})
    figure = draw_levels(distances.numpy(), strengths.tolist(), path, chosen.edges, chosen.longest)
    figures.save(figure, job.output("png").with_suffix(""))
