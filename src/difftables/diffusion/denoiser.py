"""From a net F to a denoiser D(x, level), the estimate of x0; wrappers that clip and count."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from difftables.common.variants import Variants
from difftables.config.run_spec import RunSpec
from difftables.diffusion.level import Level, shape
from difftables.diffusion.schedules import timestep

Net = Callable[..., Tensor]  # F(x, c_noise) or F(x, c_noise, cond)
Denoiser = Callable[..., Any]  # D(x, level) or D(x, level, cond=...) to x0, or to (x0, v) where the net learned the variance


def eps(sigma: Tensor, sigma_data: float = 0.5) -> tuple[Tensor, Tensor, Tensor]:
    """(c_skip, c_out, c_in) of a net that predicts the noise: 1, -sigma, 1 / sqrt(1 + sigma^2).

    Source: Karras et al. 2022 (EDM), Table 1, column VP; the same as Ho et al. 2020, Eq. 15.
    """
    return torch.ones_like(sigma), -sigma, (1 + sigma**2).rsqrt()


def edm(sigma: Tensor, sigma_data: float = 0.5) -> tuple[Tensor, Tensor, Tensor]:
    """(c_skip, c_out, c_in) that give the net inputs and targets of unit variance, for data of std sigma_data.

    c_skip = sigma_data^2 / (sigma^2 + sigma_data^2),  c_out = sigma sigma_data c_in,  c_in = 1 / sqrt(sigma^2 + sigma_data^2)

    Source: Karras et al. 2022 (EDM), Table 1 and App. B.6.
    """
    inner = (sigma**2 + sigma_data**2).rsqrt()
    return (sigma_data * inner) ** 2, sigma * sigma_data * inner, inner


def residual(sigma: Tensor, sigma_data: float = 0.5) -> tuple[Tensor, Tensor, Tensor]:
    """(c_skip, c_out, c_in) = 1, 1, 1: the net says what to add to x.  Source: Soft Diffusion (Daras et al. 2022), h = phi + x."""
    return torch.ones_like(sigma), torch.ones_like(sigma), torch.ones_like(sigma)


def exploding(sigma: Tensor, sigma_data: float = 0.5) -> tuple[Tensor, Tensor, Tensor]:
    """(c_skip, c_out, c_in) = 1, sigma, 1 of a net that predicts minus the noise and sees x as it is.

    Source: Karras et al. 2022 (EDM), Table 1, column VE.
    """
    return torch.ones_like(sigma), sigma, torch.ones_like(sigma)


def direct(sigma: Tensor, sigma_data: float = 0.5) -> tuple[Tensor, Tensor, Tensor]:
    """(c_skip, c_out, c_in) = 0, 1, 1: the net says the clean sample itself."""
    return torch.zeros_like(sigma), torch.ones_like(sigma), torch.ones_like(sigma)


PRECONDITIONINGS: Variants[Callable[..., tuple[Tensor, Tensor, Tensor]]] = {
    "eps": eps, "edm": edm, "exploding": exploding, "residual": residual, "direct": direct,
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


def continuous_time(schedule: Level) -> Callable[[Level], Tensor]:
    """c_noise = 999 t, [B], t the time of the level in the linear variance-preserving SDE.

    log(1 + sigma^2) = beta_d t^2 / 2 + beta_min t,  beta_d = 19.9, beta_min = 0.1

    Source: Karras et al. 2022 (EDM), Table 1, column VP; log1p keeps t = 1e-5 exact.
    """
    return lambda level: 999 * vp_time(level.sigma)


def vp_time(sigma: Tensor, beta_d: float = 19.9, beta_min: float = 0.1) -> Tensor:
    """t of sigma in the linear variance-preserving SDE: the positive root of its quadratic."""
    return ((beta_min**2 + 2 * beta_d * torch.log1p(sigma**2)).sqrt() - beta_min) / beta_d


CONDITIONINGS: Variants[Callable[[Level], Callable[[Level], Tensor]]] = {
    "timestep": timestep_index,
    "rescaled_timestep": rescaled_timestep,
    "sqrt_alpha_bar": sqrt_alpha_bar,
    "quarter_log": quarter_log,
    "log_half": log_half,
    "continuous_time": continuous_time,
}


def parts(answer: Any) -> tuple[Tensor, Tensor | None]:
    """What a denoiser says, as (x0, v); v, [B, ...], is None for a net without variance channels."""
    return answer if isinstance(answer, tuple) else (answer, None)


def precondition(net: Net, coefficients: Callable, c_noise: Callable[[Level], Tensor], variance: bool = False) -> Denoiser:
    """D = c_skip u + c_out F(c_in u; c_noise), u = x / alpha.

    Args:
        net: F(x, c_noise, cond), [B, ...], [B] and what the net is given besides to [B, ...]; without cond where D gets none.
        coefficients: one of PRECONDITIONINGS, its sigma_data bound.
        c_noise: level, [B], to what the net is told of it, [B].
        variance: whether the second half of the net's channels, u, speaks of the variance: v = (u + 1) / 2.
    Returns: D(x, level, cond), cond a tensor or several of them; [B, ...], or with `variance` (D, v).
    Source of v: Improved DDPM's released code; the paper leaves the (u + 1) / 2 out.
    """

    def denoise(x: Tensor, level: Level, cond: Tensor | tuple[Tensor | None, ...] | None = None) -> Any:
        skip, out, inner = coefficients(level.sigma)
        given = () if cond is None else cond if isinstance(cond, tuple) else (cond,)
        answer = net(shape(inner / level.alpha, x) * x, c_noise(level).expand(len(x)).to(x.device), *given)
        answer, raw = answer.chunk(2, dim=1) if variance else (answer, None)
        x0 = shape(skip / level.alpha, x) * x + shape(out, x) * answer
        return x0 if raw is None else (x0, (raw.to(x.dtype) + 1) / 2)

    return denoise


def given(function: Callable, cond: Tensor | tuple[Tensor | None, ...] | None) -> Callable:
    """A denoiser or an adjustment told what a batch is given besides; as it is where that is nothing."""
    return function if cond is None else partial(function, cond=cond)


def clipped(denoise: Denoiser, limit: float) -> Denoiser:
    """D with its estimate held in [-limit, limit]."""

    def held(x: Tensor, level: Level, **cond: Tensor) -> Any:
        x0, v = parts(denoise(x, level, **cond))
        x0 = x0.clamp(-limit, limit)
        return x0 if v is None else (x0, v)

    return held


def switched(ends: Denoiser, middle: Denoiser, schedule: Level, share: float) -> Denoiser:
    """Two denoisers as one: `ends` for the first and the last `share` of the training levels, `middle` between.

    t in [0, share T) or [T - share T, T)

    Source: Nichol and Dhariwal 2021 (Improved DDPM), App. D: 100 of T = 4000 timesteps at each end.
    """
    steps = len(schedule) - 1
    edge = max(1, round(share * steps))

    def denoise(x: Tensor, level: Level, **cond: Tensor) -> Any:
        t = timestep(level, schedule)
        if not bool((t == t[0]).all()):
            raise ValueError("an ensemble of two nets takes one level at a time")
        return (ends if t[0] < edge or t[0] >= steps - edge else middle)(x, level, **cond)

    return denoise


class Counted:
    """D that counts its network evaluations, calls times samples, and remembers the levels it was asked for.

    `calls` is the measured NFE of one chain; `levels` holds the levels used, one entry per call, each [B] or [1]; `outside` is the
    share of v outside [0, 1] at each call, for a net that learned the variance.
    """

    def __init__(self, denoise: Denoiser) -> None:
        self.denoise, self.calls, self.evaluations = denoise, 0, 0
        self.levels: list[Level] = []
        self.outside: list[Tensor] = []

    def __call__(self, x: Tensor, level: Level, **cond: Tensor) -> Any:
        self.calls += 1
        self.evaluations += len(x)
        self.levels.append(level)
        answer = self.denoise(x, level, **cond)
        v = parts(answer)[1]
        if v is not None:
            self.outside.append(((v < 0) | (v > 1)).float().mean())
        return answer


def run_denoiser(run: RunSpec, net: torch.nn.Module, training: Level) -> Denoiser:
    """D of a run around its net.  Args: training: the schedule that the run is trained on."""
    coefficients = partial(PRECONDITIONINGS[run.precondition], sigma_data=run.sigma_data)
    return precondition(net, coefficients, CONDITIONINGS[run.conditioning](training), bool((run.net.model_extra or {}).get("variance")))
