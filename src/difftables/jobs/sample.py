"""Rule sample: one row of a table, all its step counts and seeds in one job."""

from typing import TYPE_CHECKING, Any

from difftables.jobs.job import Job

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor, nn

    from difftables.config.run_spec import RunSpec
    from difftables.config.sampling import Sampling
    from difftables.diffusion.denoiser import Denoiser
    from difftables.diffusion.level import Level
    from difftables.diffusion.priors import Known
    from difftables.estimation.estimator import Adjust
    from difftables.sampling.generate import Drawn
    from difftables.sampling.solvers import Levels


def run(job: Job) -> None:
    """spec: SampleSpec.  In: net, maybe edge_net, estimator, schedules, data.  Out: samples, which are kept from run to run, made.

    A step count whose samples lie there already, made from the same spec, code and inputs, is not drawn again.
    """
    import torch

    from difftables.common.files import load_tensors, save_tensors

    spec, seeds, n = job.spec, job.spec.seeds, job.spec.n
    old, meta = load_tensors(job.output("samples"), "samples") if job.before["columns"] else ({}, {})
    columns = {steps: job.column(steps, _schedule(job, steps), apart=("schedules",)) for steps in spec.steps}
    wanted = [steps for steps, column in columns.items() if job.before["columns"].get(str(steps)) != column]
    kept = [str(steps) for steps in spec.steps if steps not in wanted]
    tensors = {name: value for name, value in old.items() if name.split("/")[1] in kept}
    counts = {steps: meta["counts"][steps] for steps in kept}
    job.cost = {steps: job.before["cost"][steps] for steps in kept}
    keys = [("sample", seed, index) for seed in seeds for index in range(n)]
    chain = Chain(job)
    one = chain.medium.stored(torch.zeros(1, *chain.medium.given("test", 1)[0])).nbytes
    need_memory((len(spec.steps) + 1) * len(keys) * one)  # all step counts, one of them in parts
    for steps in wanted:
        drawn, adjust = chain.draw(
            keys, spec.sampler, steps, job.maybe("schedules"), part="test", repeats=len(seeds), keep=chain.medium.stored
        )
        tensors[f"samples/{steps}"] = drawn.x.reshape(len(seeds), n, *drawn.x.shape[1:])
        used = torch.stack(drawn.levels)
        tensors[f"levels/{steps}"] = torch.quantile(used, torch.tensor([0.5, 0.05, 0.95], dtype=used.dtype), dim=1)
        counts[str(steps)] = {
            "nfe": drawn.nfe, "network_evaluations": drawn.evaluations, "estimator_evaluations": adjust.evaluations if adjust else 0,
            "clipped_rates": adjust.clips if adjust else 0, "v_outside": drawn.outside,
        }  # fmt: skip
        cost = job.cost[str(steps)] = {"seconds": round(drawn.seconds, 3), "threads": job.threads * chain.world.size}
        if spec.run.data.medium == "speech":  # seconds of one thread for a second of audio
            cost["real_time_factor"] = cost["seconds"] * cost["threads"] * spec.run.data.rate / tensors[f"samples/{steps}"].numel()
        if chain.world.rank == 0:
            print(f"{steps} steps: {len(keys)} samples, {drawn.nfe} NFE, {drawn.seconds:.1f} s", flush=True)
    if chain.world.rank > 0:
        return
    job.seeds, job.columns = {"sampling": seeds}, {str(steps): column for steps, column in columns.items()}
    ordered = {steps: counts[steps] for steps in job.columns}
    save_tensors(job.output("samples"), tensors, {"kind": "samples", "seeds": seeds, "n": n, "counts": ordered})


def _schedule(job: Job, steps: int) -> list[list[float]] | None:
    """The levels that a schedule file has for a step count: all that a sampler reads of the file."""
    from difftables.diffusion import schedules

    path = job.maybe("schedules")
    found = schedules.read(path).get(steps) if path else None
    return [values.tolist() for values in (found.alpha, found.std, found.strength)] if found is not None else None


def need_memory(needed: int) -> None:
    """Raise ValueError where the samples of a job, all of which are held, would not fit.  Args: needed: bytes."""
    import os

    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > there:
        raise ValueError(
            f"the samples take {needed / 1e9:.0f} GB of memory, and this machine has {there / 1e9:.0f} GB; "
            "lower evaluation.*.n or ask for fewer steps in the tables"
        )


class Chain:
    """A trained net, ready to evaluate: what `sample`, `search`, `robustness`, `likelihood` and `gradients` share.

    The job's spec gives run, adjust, oracle and batch; its inputs give net, maybe edge_net, estimator and data.
    """

    def __init__(self, job: Job) -> None:
        from difftables.common.parallel import join
        from difftables.data import datasets
        from difftables.diffusion.denoiser import switched
        from difftables.diffusion.training_schedules import training_schedule

        self.job, self.run, self.world = job, job.spec.run, join(job.device.type)
        self.medium = datasets.of(self.run.data, job.maybe("data"), job.device)
        self.training = training_schedule(self.run.schedule, job.maybe("levels"))
        self.net, self.denoise = self.part(self.run, "net")
        self.known = self.start()
        if self.run.edge_run is not None:
            edge = self.part(self.run.edge_run, "edge_net")[1]
            self.denoise = switched(edge, self.denoise, self.training, self.run.edge_fraction)

    def part(self, run: "RunSpec", name: str) -> "tuple[nn.Module, Denoiser]":
        """The net of a run in the input of that name, and the denoiser around it."""
        from difftables.diffusion.denoiser import run_denoiser
        from difftables.nets.build import load_net

        net = load_net(run.net, run.data, self.job.input(name), "net", self.job.device, run.step)
        return net, run_denoiser(run, net, self.training)

    def corruption(self) -> "Callable[[Tensor, Level], Tensor]":
        """The corruption of the run."""
        from difftables.diffusion.corruptions import CORRUPTIONS

        return CORRUPTIONS[self.run.corruption]

    def drawn_by(self, sampler: "Sampling", schedule: "Levels") -> dict[str, Any]:
        """Arguments of `draw.together` that a sampler decides: its solver with all that belongs to it, where it starts, the denoiser."""
        from difftables.diffusion.denoiser import clipped
        from difftables.sampling.solvers import bind, first_level

        return {
            "solve": bind(sampler.solver, self.training), "start": first_level(sampler.solver, schedule, self.training).to(self.job.device),
            "denoise": clipped(self.denoise, sampler.clip) if sampler.clip else self.denoise,
            "corrupt": self.corruption(), "prior": self.prior, "device": self.job.device,
        }  # fmt: skip

    def start(self) -> "Known":
        """What the run's prior is made from."""
        from difftables.diffusion.priors import FROM_DATA, Known

        part = FROM_DATA.get(self.run.prior)
        return Known(self.corruption(), self.medium.clean(part) if part else None)

    def prior(self, randn: "Callable[[Tensor], Tensor]", like: "Tensor", level: "Level") -> "Tensor":
        """Where sampling starts.  Args: like: empty samples; level: the noisiest."""
        from difftables.diffusion.priors import PRIORS

        return PRIORS[self.run.prior](randn, like, level, self.known)

    def adapt(self, sampler: "Sampling", family: str | None = None) -> "Adjust | None":
        """The sampler's adjustment, or None.  Args: family: of refitted rates, in place of the run's."""
        from difftables.estimation.level_sources import ESTIMATES, adjustment

        if sampler.adapt is None:
            return None
        files = {name: paths[0] for name, paths in self.job.inputs.items() if paths}
        estimate = ESTIMATES[sampler.adapt](self.run, self.training, files, self.job.device)
        return adjustment(self.run.adjust, estimate, sampler.estimate_on, family)

    def first_schedule(self, sampler: "Sampling", steps: int, file: "Path | None") -> "Level":
        """The schedule a sampler starts out with."""
        from difftables.sampling.sampling_schedules import first_schedule

        found = first_schedule(sampler, steps, self.training, self.run.adjust, file)
        if self.run.corruption != "scale" and not bool(found.strength.any()):
            raise ValueError(f"{sampler.schedule}: a schedule for corruption {self.run.corruption!r} needs the column strength")
        return found

    def together(
        self, levels: "list[Level]", keys: list[Any], many: int, sampler: "Sampling", adapt: "Adjust | None", *, part: str,
        repeats: int = 1,
    ) -> "Tensor":  # fmt: skip
        """One set of samples for each of `many` schedules, [many x keys, ...], the same noise for each set.

        As one batch where the solver's samples may be at different levels, else set by set.

        Args: levels: noisiest first, each [many x keys], schedule by schedule; part, repeats: of `draw`.
        Raises: ValueError for a solver that visits no schedule.
        """
        import torch

        from difftables.common.seeds import SampleNoise
        from difftables.sampling.generate import together

        if not sampler.solver.walks:
            raise ValueError(f"solver {sampler.solver.kind} visits no schedule, so that it cannot be drawn at several; use another solver")
        count, device = len(keys), self.job.device
        shape, cond = self.medium.given(part, count // repeats)
        at_once = many if sampler.solver.per_sample and self.run.edge_run is None else 1
        cond = None if cond is None else cond.repeat(at_once * repeats, *[1] * (cond.dim() - 1)).to(device)
        found = []
        with torch.inference_mode():
            for start in range(0, many * count, at_once * count):
                part_of = [level[start : start + at_once * count].to(device) for level in levels]
                drawn_by = self.drawn_by(sampler, part_of)
                found.append(together(SampleNoise(keys), at_once * count, shape, part_of, adapt=adapt, cond=cond, **drawn_by))
        return torch.cat(found)

    def draw(
        self, keys: list[Any], sampler: "Sampling", steps: int, file: "Path | None" = None, *, part: str, repeats: int = 1, **more: Any
    ) -> "tuple[Drawn, Adjust | None]":
        """Samples, and the adjustment with its counts; those of all processes on each of them.

        Args: part: whose conditions the samples are given; repeats: how often they repeat, one after another; more: of `draw.draw`.
        """
        import torch

        from difftables.sampling.generate import draw

        adapt = self.adapt(sampler)
        shape, cond = self.medium.given(part, len(keys) // repeats)
        schedule = self.first_schedule(sampler, steps, file)
        drawn = draw(
            keys, shape, schedule, adapt=adapt, cond=None if cond is None else cond.repeat(repeats, *[1] * (cond.dim() - 1)),
            batch=self.job.spec.batch, world=self.world, **self.drawn_by(sampler, schedule), **more,
        )  # fmt: skip
        if adapt is not None:
            counts = self.world.whole(torch.tensor([[adapt.evaluations, adapt.clips]]))
            adapt.evaluations, adapt.clips = counts.sum(dim=0).tolist()
        return drawn, adapt
