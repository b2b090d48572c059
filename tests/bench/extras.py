"""What the papers' additions cost beside what they are added to: `theirs` is ours without them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from bench.harness import Row, Sizes, Timer, compared, interleaved
from bench.subjects import digits, voice
from difftables.config.solvers import Walk
from difftables.data.mel import mel_filters
from difftables.diffusion import operator_levels, subschedules, timesteps, training_schedules
from difftables.diffusion.beta_families import refit
from difftables.diffusion.corruptions import blur, scale
from difftables.diffusion.denoiser import clipped, eps_coefficients, precondition, rescaled_timestep, residual_coefficients
from difftables.estimation.adjustment import Adjust
from difftables.estimation.estimator import alpha_bar_of
from difftables.estimation.oracle import MelOracle
from difftables.nets.tasnet import TasNet
from difftables.nets.unet import UNet
from difftables.nets.vgg import VGG
from difftables.sampling.generate import generate_samples
from difftables.sampling.solvers import bind
from difftables.training import level_densities
from difftables.training.loss_aware import LossAware
from difftables.training.losses import WEIGHTS, denoising_loss, plain
from difftables.training.targets import clean
from difftables.training.variational_bound import Vlb

PART = "added by papers"


def draws(denoise: Callable, rule: str, schedule, shape: tuple[int, ...], count: int, **options) -> Callable[[], object]:
    """A function that draws samples by a walk.  Args: options: of `generate_samples`, in place of its plainest."""
    common = {
        "corrupt": scale, "prior": lambda randn, like, level: randn(like), "adapt": None, "batch": count, "device": torch.device("cpu"),
    }  # fmt: skip
    keys = [("bench", index) for index in range(count)]
    return lambda: generate_samples(keys, shape, schedule, denoise=denoise, solve=bind(Walk(kind="walk", rule=rule)), **common | options)


def adjusted_schedules(sizes: Sizes, folder: Path, device: torch.device) -> list[Row]:
    """Noise estimation: samples whose schedule follows an estimate at every step; and smaller batches."""
    torch.manual_seed(0)
    timer, rows, cpu = Timer(), [], torch.device("cpu")
    for subject, count, first in ((digits(folder, cpu), sizes.images, 1e-4), (voice(folder, cpu), sizes.utterances, 1e-6)):
        loaded = subject.loaded(subject.net(), count)
        shape, cond = subject.dataset.shape_and_condition("test", count)
        schedule = subschedules.at_timesteps(subject.schedule, timesteps.even(len(subject.schedule) - 1, min(6, sizes.steps)))
        common = {"cond": cond, "denoise": clipped(loaded.denoise, 1.0), "schedule": schedule, "shape": shape, "count": count}
        speech = subject.run.data.medium == "speech"
        estimator = TasNet(32, 64, 1, 5, 32).eval() if speech else VGG(1, 16, 3).eval()
        data, lowest = subject.run.data, 6e-3 if speech else 4e-5

        def learnt(x: Tensor, cond: Tensor | None = None, estimator: nn.Module = estimator, lowest: float = lowest) -> Tensor:
            return alpha_bar_of(estimator(x), lowest)

        functions = [
            draws(rule="ddpm-small", **common),
            draws(rule="ddpm-small", adapt=Adjust(learnt, first=first, family="linear", mode="exact"), **common),
            draws(rule="ddpm-small", batch=max(1, count // 30), **common),
        ]
        whats = [
            "the level estimated by a net at every step, against a fixed schedule",
            f"batches of {max(1, count // 30)}, against {count}",
        ]
        if speech:
            oracle = MelOracle(mel_filters(data.rate, data.fft, data.bands, data.lowest, data.highest), data.hop, subject.schedule)
            adapt = Adjust(lambda x, cond, oracle=oracle: oracle(x, cond), first=first, family="linear", mode="exact")
            functions.append(draws(rule="ddpm-small", adapt=adapt, **common))
            whats.append("the level estimated from the known mel at every step, against a fixed schedule")
        with torch.inference_mode():
            fixed, *others = interleaved(functions, min(3, sizes.rounds), timer)
        name = f"{count} {'utterances' if speech else 'digits'}, {len(schedule) - 1} steps"
        rows += [
            compared(PART, f"{name}: {what}", each, fixed, "ours against ours", timer=timer)
            for what, each in zip(whats, others, strict=True)
        ]
    return rows


def training_step(denoise: Callable, net: nn.Module, training, x0: Tensor, *, corrupt=scale, residual=plain, aware: bool = False):
    """A function: one training step.  Args: aware: with the bound of a learned variance and levels drawn by loss."""
    objective, memory = (Vlb(training, 0.001), LossAware(training)) if aware else (None, None)
    if memory is not None:
        memory.history.fill_(1.0)
        memory.filled.fill_(10)
    optimiser, stream = torch.optim.Adam(net.parameters(), fused=True), torch.Generator()

    def step() -> None:
        levels = (level_densities.index if memory is None else memory)(training, len(x0), stream.manual_seed(0))
        loss = denoising_loss(
            x0, levels, torch.randn(x0.shape), denoise=denoise, corrupt=corrupt, target=clean, weight=WEIGHTS["eps"], residual=residual,
            objective=objective,
        )  # fmt: skip
        if memory is not None:
            loss = memory.weights(levels).float() * loss
            memory.remember(levels, loss)
        optimiser.zero_grad()
        loss.mean().backward()
        optimiser.step()

    return step


def learned_variances(sizes: Sizes, folder: Path, device: torch.device) -> list[Row]:
    """Improved DDPM: a learned variance in sampling; the bound and levels drawn by loss in training."""
    torch.manual_seed(0)
    training, timer = training_schedules.cosine(100), Timer()
    nets = [UNet(8, 1, 8, (1, 2), 1, (4,), 0.0, heads=4, scale_shift=True, variance=variance) for variance in (False, True)]
    fixed, learned = (
        precondition(net, eps_coefficients, rescaled_timestep(training), variance)
        for net, variance in zip(nets, (False, True), strict=True)
    )
    schedule = subschedules.at_timesteps(training, timesteps.even(100, min(10, sizes.steps)))
    x0 = torch.rand(64, 1, 8, 8) * 2 - 1
    functions = [
        draws(clipped(learned, 1.0), "ddpm-learned", schedule, (1, 8, 8), sizes.images),
        draws(clipped(fixed, 1.0), "ddpm-large", schedule, (1, 8, 8), sizes.images),
        training_step(learned, nets[1], training, x0, aware=True),
        training_step(fixed, nets[0], training, x0),
    ]
    own, large, aware, simple = interleaved(functions, sizes.rounds, timer)
    how = "ours against ours; a net of 8 channels"
    return [
        compared(PART, f"{sizes.images} digits: learned variance, against a fixed one", own, large, how, timer=timer),
        compared(PART, "a training step with L_vlb and levels drawn by loss, against L_simple", aware, simple, how, timer=timer),
    ]


def blurred(sizes: Sizes, folder: Path, device: torch.device) -> list[Row]:
    """Soft Diffusion: the blur in sampling and training."""
    torch.manual_seed(0)
    net, x0, timer = UNet(8, 1, 8, (1, 2), 1, (4,), 0.0), torch.rand(64, 1, 8, 8) * 2 - 1, Timer()
    training = operator_levels.interpolated_schedule(torch.tensor([0.01, 2.875]), 100, 0.02, 0.2, 0.25)
    denoise = precondition(net, residual_coefficients, rescaled_timestep(training))
    chain = subschedules.at_timesteps(training, timesteps.trailing(100, min(10, sizes.steps)))
    functions = [draws(denoise, "momentum", chain, (1, 8, 8), sizes.images, corrupt=corrupt) for corrupt in (blur, scale)]
    steps = [training_step(denoise, net, training, x0, corrupt=corrupt, residual=corrupt) for corrupt in (blur, scale)]
    # Steps first: what a blur keeps of its first call would else be of use without gradients only.
    blur_steps, plain_steps, blur_draws, plain_draws = interleaved([*steps, *functions], sizes.rounds, timer)
    how = "ours against ours; a net of 8 channels"
    return [
        compared(PART, f"{sizes.images} digits by momentum through a blur, against none", blur_draws, plain_draws, how, timer=timer),
        compared(PART, "a training step with the blur in corruption and loss, against none", blur_steps, plain_steps, how, timer=timer),
    ]


def small_parts(sizes: Sizes, folder: Path, device: torch.device) -> list[Row]:
    """Refits of rates, and PESQ beside the cheap distance of mel spectrograms."""
    from difftables.metrics.speech import Clip, mel_cepstral_distortion, pesq

    stream, timer, t = np.random.default_rng(0), Timer(), np.arange(8000) / 8000
    alpha_bar = torch.rand(sizes.images, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    ref = Clip(0.2 * sum(np.sin(2 * np.pi * 120 * k * t) / k for k in range(1, 20)), 8000)
    est = Clip(ref.samples + stream.normal(0, 0.01, 8000), 8000)
    powers = [np.exp(stream.normal(0, 1, (64, 80))) for _ in range(2)]
    functions = [
        lambda: refit(alpha_bar, 50, 1e-4), lambda: refit(alpha_bar, 50, 1e-4, mode="taylor"),
        lambda: pesq(ref=ref, est=est, rate=8000, band="nb"), lambda: mel_cepstral_distortion(ref=powers[0], est=powers[1]),
    ]  # fmt: skip
    refitted = f"rates of 50 steps refitted for {sizes.images} samples"
    scored = "PESQ of an utterance of 1 s, against its mel cepstral distortion"
    exact, taylor, quality, distortion = interleaved(functions, sizes.rounds, timer)
    return [
        compared(PART, f"{refitted}, exactly, against first order", exact, taylor, "ours against ours", timer=timer),
        compared(PART, scored, quality, distortion, "both as tables take them", timer=timer),
    ]


COMPARISONS = [adjusted_schedules, learned_variances, blurred, small_parts]
