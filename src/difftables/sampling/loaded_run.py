"""A trained run with all that its samples depend on: searches, studies and sampling start from it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from difftables.common.parallel import World, join
from difftables.common.seeds import SampleNoise
from difftables.config.run_spec import RunSpec
from difftables.config.sampling import Sampling
from difftables.data import datasets
from difftables.data.image_set import ImageSet
from difftables.data.speech_set import SpeechSet
from difftables.diffusion.corruptions import CORRUPTIONS, Corruption
from difftables.diffusion.denoiser import Denoiser, clipped, run_denoiser, switched
from difftables.diffusion.level import Level
from difftables.diffusion.linear_process import SONG, rates_of
from difftables.diffusion.planned_schedule import PlannedSchedule, with_conditioned_levels
from difftables.diffusion.priors import IMAGES_OF_PRIOR, PRIORS, PriorInputs, Randn
from difftables.diffusion.training_schedules import training_schedule
from difftables.estimation.adjustment import FollowEstimate, Stretch, make_adjustment
from difftables.estimation.level_sources import ESTIMATES
from difftables.nets.build import load_net
from difftables.sampling.generate import ALONE, Generated, generate_batch, generate_samples
from difftables.sampling.sampling_schedules import first_schedule
from difftables.sampling.solvers import Levels, bind, first_level
from difftables.sampling.visited import other_places

Keys = Sequence[tuple[int | str, ...]]  # of the noise stream of each sample


@dataclass
class LoadedRun:
    """A trained run, ready to generate samples.

    Args: medium: its data set; training: its training schedule; net, denoise: trained; batch: samples at once; files: by name, of the
        estimator or of the data, for samplers that adapt their schedule; world: processes that share the batches; state: the folder
        where a search keeps what a killed job goes on from, None to keep nothing; shared: what a search measured for all step counts, by
        its name.
    """

    spec: RunSpec
    medium: ImageSet | SpeechSet
    training: Level
    net: nn.Module
    denoise: Denoiser
    device: torch.device
    batch: int = 1
    files: Mapping[str, Path] = field(default_factory=dict)
    world: World = ALONE
    state: Path | None = None
    estimates: dict[tuple[str, float | None], Callable[..., Tensor]] = field(default_factory=dict, init=False)
    shared: dict[str, Any] = field(default_factory=dict)

    @property
    def corrupt(self) -> Corruption:
        """The corruption of the run."""
        return CORRUPTIONS[self.spec.corruption]

    @cached_property
    def prior_inputs(self) -> PriorInputs:
        """What the run's prior is made from."""
        part = IMAGES_OF_PRIOR.get(self.spec.prior)
        return PriorInputs(self.corrupt, self.medium.clean(part) if part else None)

    def prior(self, randn: Callable[[Tensor], Tensor], like: Tensor, level: Level) -> Tensor:
        """Draws from the run's prior, [B, ...].  Args: like: empty samples, [B, ...]; level: the noisiest."""
        return PRIORS[self.spec.prior](randn, like, level, self.prior_inputs)

    def adjustment(self, sampler: Sampling, family: str | None = None) -> FollowEstimate | None:
        """The `adapt` of a sampler, or None.  Args: family: of refitted rates, in place of the run's."""
        if sampler.adapt is None:
            return None
        estimate = self._estimate(sampler)
        if sampler.remaining == "stretch":
            return Stretch(estimate, on=sampler.estimate_on or "after_noise")
        assert self.spec.adjust is not None, "the plan asks such a run for its adjustment"
        return make_adjustment(self.spec.adjust, estimate, sampler.estimate_on, family)

    def _estimate(self, sampler: Sampling) -> Callable[..., Tensor]:
        """The source of levels of a sampler, made once for all its step counts: one of them measures the loss of the net."""
        asked = (sampler.adapt or "", sampler.clip)
        if asked not in self.estimates:
            source = ESTIMATES[asked[0]]
            further = {"denoise": self._denoise(sampler)} if "denoise" in signature(source).parameters else {}
            self.estimates[asked] = source(self.spec, self.training, dict(self.files), self.device, **further)
        return self.estimates[asked]

    def _denoise(self, sampler: Sampling, planned: PlannedSchedule | None = None) -> Denoiser:
        """The denoiser as a sampler calls it.  Args: planned: a schedule that holds the levels passed to the net."""
        denoise = self.denoise
        if planned is not None and planned.conditioned is not None:
            denoise = with_conditioned_levels(denoise, planned, planned.conditioned)
        return clipped(denoise, sampler.clip) if sampler.clip else denoise

    def first_schedule(self, sampler: Sampling, steps: int, file: Path | None = None) -> Level:
        """The schedule that a sampler starts with, N + 1 levels.  Raises: ValueError for one that lacks the strengths of an operator."""
        schedule = first_schedule(sampler, steps, self.training, self.spec.adjust, file, self.spec.sigma_data)
        if self.spec.corruption != "scale" and not bool(schedule.strength.any()):
            raise ValueError(f"{sampler.schedule}: a schedule for corruption {self.spec.corruption!r} needs the column strength; add it")
        return schedule

    def generate(
        self, keys: Keys, sampler: Sampling, steps: int, file: Path | None = None, *, part: str, repeats: int = 1,
        keep: Callable[[Tensor], Tensor] = Tensor.cpu, span: range | None = None, noise: Callable[[Keys], Randn] = SampleNoise,
    ) -> tuple[Generated, FollowEstimate | None]:  # fmt: skip
        """One sample per key, and the adjustment with its counts; each process returns the samples and counts of all.

        Args: file: of schedules, where the sampler reads one; part: of the data, whose conditions the samples receive; repeats: how
            often the conditions repeat, one after another; keep, span, noise: of `generate_samples`.
        """
        shape, cond = self.medium.shape_and_condition(part, len(keys) // repeats)
        cond = None if cond is None else cond.repeat(repeats, *[1] * (cond.dim() - 1))
        schedule = self.first_schedule(sampler, steps, file)
        return self.generate_at(keys, sampler, schedule, shape, cond, keep=keep, span=span, noise=noise)

    def generate_at(
        self, keys: Keys, sampler: Sampling, schedule: Level, shape: tuple[int, ...], cond: Tensor | None, **further: Any
    ) -> tuple[Generated, FollowEstimate | None]:  # fmt: skip
        """`generate` at the levels of a schedule, whatever the sampler's, with a condition per sample.

        Args: shape, cond: of `generate_samples`, as are further arguments, in place of the run's and the sampler's.
        """
        adapt = self.adjustment(sampler)
        of_run = {"batch": self.batch, "world": self.world, **self.arguments(sampler, schedule), **self._shuffled(sampler, keys)}
        generated = generate_samples(keys, shape, schedule, adapt=adapt, cond=cond, **of_run | further)
        if adapt is not None:
            counts = self.world.all_gather(torch.tensor([[adapt.evaluations, adapt.clips]]))
            adapt.evaluations, adapt.clips = counts.sum(dim=0).tolist()
        return generated, adapt

    def _shuffled(self, sampler: Sampling, keys: Keys) -> dict[str, Any]:
        """Arguments of `generate_samples` for a sampler whose samples walk each other's levels; none for others."""
        if not sampler.shuffled:
            return {}
        rates = rates_of(self.spec.schedule) if sampler.solver.process == "vp" else SONG
        return {"others": other_places(keys), "walk": bind(sampler.solver.on_levels, self.training, rates)}

    def generate_by_schedule(
        self, levels: list[Level], keys: Keys, schedules: int, sampler: Sampling, adapt: FollowEstimate | None, *, part: str,
        repeats: int = 1,
    ) -> Tensor:  # fmt: skip
        """One set of samples for each of several schedules, [schedules x keys, ...], the same noise for each set.

        They are one batch where the samples of a batch may be at different levels, else a batch for each schedule.

        Args: levels: noisiest first, each [schedules x keys], schedule by schedule; part, repeats: of `generate`.
        Raises: ValueError for a solver that visits no schedule.
        """
        if not sampler.solver.walks:
            raise ValueError(f"solver {sampler.solver.kind} visits no schedule, so that none can be compared; use another solver")
        count = len(keys)
        shape, cond = self.medium.shape_and_condition(part, count // repeats)
        at_once = schedules if sampler.solver.per_sample and self.spec.edge_run is None else 1
        cond = None if cond is None else cond.repeat(at_once * repeats, *[1] * (cond.dim() - 1)).to(self.device)
        batches = []
        with torch.inference_mode():
            for start in range(0, schedules * count, at_once * count):
                batch_levels = [level[start : start + at_once * count].to(self.device) for level in levels]
                arguments = self.arguments(sampler, batch_levels)
                batches.append(generate_batch(SampleNoise(keys), at_once * count, shape, batch_levels, adapt=adapt, cond=cond, **arguments))
        return torch.cat(batches)

    def arguments(self, sampler: Sampling, schedule: Levels) -> dict[str, Any]:
        """Arguments of `generate_batch` that a sampler decides: its solver, the level it starts at, the clipped denoiser.

        What a schedule holds beside its levels reaches the solver (weights) and the net (conditioned levels).
        """
        planned = schedule if isinstance(schedule, PlannedSchedule) else None
        denoise = self._denoise(sampler, planned)
        rates = rates_of(self.spec.schedule) if sampler.solver.process == "vp" else SONG
        return {
            "solve": bind(sampler.solver, self.training, rates, None if planned is None else planned.weights),
            "start": first_level(sampler.solver, schedule, self.training, rates).to(self.device),
            "denoise": denoise,
            "corrupt": self.corrupt, "prior": self.prior, "device": self.device,
        }  # fmt: skip


def load_run(spec: RunSpec, files: Mapping[str, Path], device: torch.device, batch: int = 1) -> LoadedRun:
    """A run with its trained net.

    Args: files: net, and maybe edge_net (the net of the noisiest and cleanest levels), levels (chosen on data), data, estimator.
    Raises: ValueError naming a file that is damaged, or of another net.
    """
    world = join(device.type)
    medium = datasets.open_dataset(spec.data, files.get("data"), device)
    training = training_schedule(spec.schedule, files.get("levels"))
    net, denoise = _denoiser(spec, files["net"], training, device)
    if spec.edge_run is not None:
        assert spec.edge_fraction is not None, "the plan asks such a run for its edge fraction"
        edge = _denoiser(spec.edge_run, files["edge_net"], training, device)[1]
        denoise = switched(edge, denoise, training, spec.edge_fraction)
    return LoadedRun(spec, medium, training, net, denoise, device, batch, files, world)


def _denoiser(spec: RunSpec, file: Path, training: Level, device: torch.device) -> tuple[nn.Module, Denoiser]:
    """The net of a run, and the denoiser around it."""
    net = load_net(spec.net, spec.data, file, "net", device, spec.step)
    return net, run_denoiser(spec, net, training)
