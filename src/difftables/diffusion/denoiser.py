"""Denoisers: from a net F to D(x, level), the estimate of x0; wrappers that clip, combine and count."""

from collections.abc import Callable
from functools import partial
from inspect import signature
from typing import Any

import torch
from torch import Tensor

from difftables.common.clock import Phase
from difftables.common.variants import Variants
from difftables.config.run_spec import NetSpec
from difftables.diffusion.level import Level, shape
from difftables.diffusion.linear_process import SONG, LinearRates, rates_of
from difftables.diffusion.subschedules import timestep
from difftables.nets.execution import executed

Net = Callable[..., Tensor]  # F(x, c_noise) or F(x, c_noise, cond)
Condition = Tensor | tuple[Tensor | None, ...] | None  # of a batch, [B, ...]: classes, mel spectrograms, augmentation labels
Denoiser = Callable[..., Any]  # D(x, level) or D(x, level, cond=...) to x0, or to (x0, v) with a learned variance


def eps_coefficients(sigma: Tensor, sigma_data: float = 0.5) -> tuple[Tensor, Tensor, Tensor]:
    """(c_skip, c_out, c_in) of a net that predicts the noise: 1, -sigma, 1 / sqrt(1 + sigma^2).

    Source: Karras et al. 2022 (EDM), Table 1, column VP; the same as Ho et al. 2020, Eq. 15.
    """
    return torch.ones_like(sigma), -sigma, (1 + sigma**2).rsqrt()


def edm_coefficients(sigma: Tensor, sigma_data: float = 0.5) -> tuple[Tensor, Tensor, Tensor]:
    """(c_skip, c_out, c_in) that give the net inputs and targets of unit variance, for data of std sigma_data.

    c_skip = sigma_data^2 / (sigma^2 + sigma_data^2),  c_out = sigma sigma_data c_in,  c_in = 1 / sqrt(sigma^2 + sigma_data^2)

    Source: Karras et al. 2022 (EDM), Table 1 and App. B.6.
    """
    inner = (sigma**2 + sigma_data**2).rsqrt()
    return (sigma_data * inner) ** 2, sigma * sigma_data * inner, inner


def residual_coefficients(sigma: Tensor, sigma_data: float = 0.5) -> tuple[Tensor, Tensor, Tensor]:
    """(c_skip, c_out, c_in) = 1, 1, 1: the net predicts what to add to x.  Source: Soft Diffusion (Daras et al. 2022), h = phi + x."""
    return torch.ones_like(sigma), torch.ones_like(sigma), torch.ones_like(sigma)


def exploding_coefficients(sigma: Tensor, sigma_data: float = 0.5) -> tuple[Tensor, Tensor, Tensor]:
    """(c_skip, c_out, c_in) = 1, sigma, 1 of a net that predicts minus the noise from x, unscaled.

    Source: Karras et al. 2022 (EDM), Table 1, column VE.
    """
    return torch.ones_like(sigma), sigma, torch.ones_like(sigma)


def direct_coefficients(sigma: Tensor, sigma_data: float = 0.5) -> tuple[Tensor, Tensor, Tensor]:
    """(c_skip, c_out, c_in) = 0, 1, 1: the net predicts the clean sample."""
    return torch.zeros_like(sigma), torch.ones_like(sigma), torch.ones_like(sigma)


def scaled_direct_coefficients(sigma: Tensor, sigma_data: float = 0.5) -> tuple[Tensor, Tensor, Tensor]:
    """(c_skip, c_out, c_in) = 0, 1, 1 / sqrt(1 + sigma^2): the net predicts the clean sample from the variance-preserving x itself.

    With conditioning `none` no level enters D: u / sqrt(1 + sigma^2) = alpha u = x.
    """
    return torch.zeros_like(sigma), torch.ones_like(sigma), (1 + sigma**2).rsqrt()


PRECONDITIONINGS: Variants[Callable[..., tuple[Tensor, Tensor, Tensor]]] = {
    "eps": eps_coefficients, "edm": edm_coefficients, "exploding": exploding_coefficients, "residual": residual_coefficients,
    "direct": direct_coefficients, "direct-scaled": scaled_direct_coefficients,
}  # fmt: skip


def timestep_index(schedule: Level) -> Callable[[Level], Tensor]:
    """c_noise = the integer timestep of the training schedule that stands for the level, [B]."""
    return lambda level: timestep(level, schedule)


def sqrt_alpha_bar(schedule: Level) -> Callable[[Level], Tensor]:
    """c_noise = sqrt(alpha_bar), [B], whatever the training schedule.  Source: WaveGrad (Chen et al. 2020)."""
    return lambda level: level.alpha


def rescaled_timestep(schedule: Level) -> Callable[[Level], Tensor]:
    """c_noise = 1000 t / T, [B], so that nets of different T see the same range.  Source: Improved DDPM's released code."""
    return lambda level: timestep(level, schedule) * (1000 / (len(schedule) - 1))


def quarter_log(schedule: Level) -> Callable[[Level], Tensor]:
    """c_noise = log(sigma) / 4, [B], whatever the training schedule.  Source: Karras et al. 2022 (EDM), Table 1."""
    return lambda level: level.sigma.log() / 4


def log_half(schedule: Level) -> Callable[[Level], Tensor]:
    """c_noise = log(sigma / 2), [B], whatever the training schedule.  Source: Karras et al. 2022 (EDM), Table 1, column VE."""
    return lambda level: (level.sigma / 2).log()


def continuous_time(schedule: Level, rates: LinearRates = SONG) -> Callable[[Level], Tensor]:
    """c_noise = 999 t, [B], t the time of the level in the linear variance-preserving SDE.

    log(1 + sigma^2) = beta_d t^2 / 2 + beta_min t

    Source: Karras et al. 2022 (EDM), Table 1, column VP, with beta_d = 19.9 and beta_min = 0.1; log1p keeps t = 1e-5 exact.
    """
    return lambda level: 999 * vp_time(level.sigma, rates)


def vp_time(sigma: Tensor, rates: LinearRates = SONG) -> Tensor:
    """t of sigma in the linear variance-preserving SDE: the positive root of its quadratic."""
    beta_d, beta_min = rates.beta_d, rates.beta_min
    return ((beta_min**2 + 2 * beta_d * torch.log1p(sigma**2)).sqrt() - beta_min) / beta_d


def no_level(schedule: Level) -> Callable[[Level], Tensor]:
    """c_noise = 0, [B]: the net is not given the level, and has to read it off the sample.

    The optimum is E[D(x, level) | x] under the density of levels in training.
    Source: Sun et al. 2025 (noise conditioning).
    """
    return lambda level: torch.zeros_like(level.sigma)


CONDITIONINGS: Variants[Callable[..., Callable[[Level], Tensor]]] = {
    "timestep": timestep_index,
    "rescaled_timestep": rescaled_timestep,
    "sqrt_alpha_bar": sqrt_alpha_bar,
    "quarter_log": quarter_log,
    "log_half": log_half,
    "continuous_time": continuous_time,
    "none": no_level,
}


def split_variance(output: Any) -> tuple[Tensor, Tensor | None]:
    """A denoiser's output as (x0, v), each [B, ...]; v is None for a net without variance channels."""
    return output if isinstance(output, tuple) else (output, None)


def precondition(net: Net, coefficients: Callable, c_noise: Callable[[Level], Tensor], variance: bool = False) -> Denoiser:
    """D = c_skip u + c_out F(c_in u; c_noise), u = x / alpha.

    Args:
        net: F(x, c_noise, cond), [B, ...], [B] and the condition to [B, ...]; called without cond where D receives none.
        coefficients: one of PRECONDITIONINGS, its sigma_data bound.
        c_noise: one of CONDITIONINGS, bound to a schedule: level, [B], to the net's second input, [B].
        variance: whether the second half of the net's channels, w, encodes the variance: v = (w + 1) / 2.
    Returns: D(x, level, cond), cond a tensor or several; [B, ...], or with `variance` (D, v).
    Source of v: Improved DDPM's released code; the paper omits the (w + 1) / 2.
    """

    def denoise(x: Tensor, level: Level, cond: Condition = None) -> Any:
        skip, out, inner = coefficients(level.sigma)
        conditions = () if cond is None else cond if isinstance(cond, tuple) else (cond,)
        scaled, noise = shape(inner / level.alpha, x) * x, c_noise(level).expand(len(x)).to(x.device)
        with Phase("forward"):
            output = net(scaled, noise, *conditions)
        output, w = output.chunk(2, dim=1) if variance else (output, None)
        x0 = shape(skip / level.alpha, x) * x + shape(out, x) * output
        return x0 if w is None else (x0, (w.to(x.dtype) + 1) / 2)

    return denoise


def bind_condition(function: Callable, cond: Condition) -> Callable:
    """A denoiser or an adjustment with a batch's condition bound; unchanged where there is none."""
    return function if cond is None else partial(function, cond=cond)


class OfBatch:
    """D of one batch, its condition bound: asked about all of the samples, or about some of them by their places.

    Args: denoise: D(x, level, cond); cond: of the batch, [K, ...], or None.
    """

    def __init__(self, denoise: Denoiser, cond: Tensor | None) -> None:
        self.denoise, self.cond = denoise, cond

    def __call__(self, x: Tensor, level: Level, samples: Tensor | None = None) -> Any:
        """D.  Args: samples: the places in the batch of those in x, [B]; None for all."""
        further = {} if self.cond is None else {"cond": self.cond if samples is None else self.cond[samples]}
        if samples is not None and isinstance(self.denoise, Counted):
            further["samples"] = samples
        return self.denoise(x, level, **further)


def of_samples(denoise: Denoiser, x: Tensor, level: Level, samples: Tensor) -> Any:
    """D of some samples of a batch, which alone cost a call.  Args: samples: their places in the batch, [B]."""
    return denoise(x, level, samples=samples) if isinstance(denoise, OfBatch) else denoise(x, level)


class KeptPrediction:
    """D that answers again with its last prediction where it is asked once more about the very same tensor, at whatever level.

    A level that is read off the prediction comes after it: the step that starts at that level takes the prediction as it is, and pays
    no second call.
    """

    def __init__(self, denoise: Denoiser) -> None:
        self.denoise = denoise
        self.x: Tensor | None = None
        self.output: Any = None

    def __call__(self, x: Tensor, level: Level) -> Any:
        if self.x is not x:
            self.x, self.output = x, self.denoise(x, level)
        return self.output


def clipped(denoise: Denoiser, limit: float) -> Denoiser:
    """D with its estimate held in [-limit, limit]."""

    def clip(x: Tensor, level: Level, **cond: Tensor) -> Any:
        x0, v = split_variance(denoise(x, level, **cond))
        x0 = x0.clamp(-limit, limit)
        return x0 if v is None else (x0, v)

    return clip


def switched(edges: Denoiser, middle: Denoiser, schedule: Level, edge_fraction: float) -> Denoiser:
    """Two denoisers as one: `edges` for the cleanest and the noisiest fraction of the training levels, `middle` between.

    t in [0, f T) or [T - f T, T),  f = edge_fraction

    Raises: ValueError for a batch at several timesteps.

    Source: Nichol and Dhariwal 2021 (Improved DDPM), App. D: 100 of T = 4000 timesteps at each end.
    """
    steps = len(schedule) - 1
    edge = max(1, round(edge_fraction * steps))

    def denoise(x: Tensor, level: Level, **cond: Tensor) -> Any:
        t = timestep(level, schedule)
        if not bool((t == t[0]).all()):
            raise ValueError("an ensemble of two nets takes samples of one timestep at a time; use a sampler without `adapt`")
        return (edges if t[0] < edge or t[0] >= steps - edge else middle)(x, level, **cond)

    return denoise


class Counted:
    """D that counts its network evaluations, calls times samples, and remembers the levels of its calls.

    `calls` counts the calls of one batch; `levels` holds the level of each call, [B] or [1]; `chosen` the places of the samples of each
    call, None for all of the batch; `outside` the share of v outside [0, 1] at each call, for a net with a learned variance.
    """

    def __init__(self, denoise: Denoiser) -> None:
        self.denoise, self.calls, self.evaluations = denoise, 0, 0
        self.levels: list[Level] = []
        self.chosen: list[Tensor | None] = []
        self.outside: list[Tensor] = []

    def by_sample(self, count: int) -> Tensor:
        """The measured NFE of each of the `count` samples of a batch, [count]."""
        calls = torch.zeros(count, dtype=torch.int64)
        for chosen in self.chosen:
            calls[slice(None) if chosen is None else chosen.cpu()] += 1
        return calls

    def __call__(self, x: Tensor, level: Level, samples: Tensor | None = None, **cond: Tensor) -> Any:
        """D.  Args: samples: the places in the batch of those in x, [B]; None for all."""
        self.chosen.append(samples)
        self.calls += 1
        self.evaluations += len(x)
        self.levels.append(level)
        output = self.denoise(x, level, **cond)
        v = split_variance(output)[1]
        if v is not None:
            self.outside.append(((v < 0) | (v > 1)).float().mean())
        return output


def run_denoiser(run: NetSpec, net: torch.nn.Module, training: Level) -> Denoiser:
    """D of a run around its net.  Args: training: the schedule of the run's training."""
    coefficients = partial(PRECONDITIONINGS[run.precondition], sigma_data=run.sigma_data)
    called, conditioning = executed(net, run.execution), CONDITIONINGS[run.conditioning]
    further = {"rates": rates_of(run.schedule)} if "rates" in signature(conditioning).parameters else {}
    return precondition(called, coefficients, conditioning(training, **further), bool((run.net.model_extra or {}).get("variance")))
