"""Rule variance: how much the target of a trained run varies and is biased, and how far its net is from the exact score, level by level."""

from typing import TYPE_CHECKING

from difftables.jobs.job import Job

if TYPE_CHECKING:
    from torch import Tensor

    from difftables.diffusion.level import Level

LOWEST, HIGHEST = 0.05, 20.0  # sigma, for data of about unit size
PARTS = 16  # of the noisy samples, whose means tell how sure a difference of two runs is


def run(job: Job) -> None:
    """spec: run, evaluation, names, scale.  In: data, net, maybe ends, levels.  Out: record."""
    import torch

    from difftables.common.files import write_json
    from difftables.common.seeds import generator
    from difftables.diffusion.denoiser import parts
    from difftables.diffusion.level import same_process
    from difftables.jobs.sample import Chain
    from difftables.studies import target_variance

    spec, chain = job.spec, Chain(job)
    if spec.run.corruption != "scale":
        raise ValueError(f"run {spec.names.run} has corruption {spec.run.corruption}; posteriors are known for plain noise alone")
    if spec.run.data.classes:
        raise ValueError(
            f"run {spec.names.run} is conditioned on labels, but the study of its target takes all classes together; "
            "leave out `condition_on`"
        )
    data, references = chain.medium.clean().double(), spec.run.references or 1
    levels, samples = spec.evaluation.variance_levels, spec.evaluation.variance_n

    def denoise(x: "Tensor", level: "Level") -> "Tensor":
        return parts(chain.denoise(x.float(), level))[0]

    rows = []
    for i, sigma in enumerate(grid(chain.training, levels)):
        # One stream for all runs: they see the same noisy samples, and their differences are paired.
        level, stream = same_process(chain.training, sigma[None]).to(job.device), generator("variance", i)
        draws = target_variance.draw(data, level, samples, stream)
        if references == 1:
            own = target_variance.of_sources(data, draws)
        else:
            own = target_variance.of_references(data, level, draws, references, stream)
        with torch.inference_mode():
            distance = target_variance.of_denoiser(data, level, draws, denoise)
        biased = references > 1
        rows.append({
            "sigma": sigma.item(), "alpha": level.alpha.item(), "std": level.std.item(),
            "variance": summed(own), "denoiser": summed(distance),
            "bias2": summed(target_variance.of_bias(data, draws, references, stream)) if biased else None,
            "bias2_without_source": summed(target_variance.of_bias(data, draws, references, stream, source=False)) if biased else None,
            "parts": {"variance": split(own), "denoiser": split(distance)},
        })  # fmt: skip
        print(f"sigma {sigma:.3g}: {samples} samples", flush=True)
    sizes = {"points": len(data), "references": references, "samples": samples}
    job.seeds = {"training": spec.names.train_seed}
    write_json(job.output("record"), {"shared": {**spec.names.model_dump(), **sizes}, "records": rows})


def grid(schedule: "Level", count: int) -> "Tensor":
    """sigma evenly spaced in its logarithm from LOWEST to HIGHEST, or to the ends of the schedule where those lie between, [count]."""
    import torch

    ends = torch.tensor([LOWEST, HIGHEST], dtype=torch.float64).clamp(schedule.sigma[-2].item(), schedule.sigma[0].item()).log()
    return torch.lerp(ends[0], ends[1], torch.linspace(0, 1, count, dtype=torch.float64)).exp()


def summed(values: "Tensor") -> list[float]:
    """Mean and standard error of the mean."""
    return [values.mean().item(), (values.std() / len(values) ** 0.5).item()]


def split(values: "Tensor") -> list[float]:
    """Means of every PARTS-th value, from each of the first on; of single values where there are fewer."""
    return [values[i::PARTS].mean().item() for i in range(min(PARTS, len(values)))]
