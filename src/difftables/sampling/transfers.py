"""Transfers: x' from x and one prediction, exact where the prediction is the same along the whole step; and levels between two others."""

from collections.abc import Callable

import torch
from torch import Tensor

from difftables.diffusion.denoiser import Denoiser, split_variance
from difftables.diffusion.level import PROCESSES, Level, shape
from difftables.sampling.descent import Corrupt
from difftables.sampling.rules import ddim

Transfer = Callable[[Tensor, Level, Level, Tensor], Tensor]  # x, now, next, prediction to x'


def from_clean(corrupt: Corrupt) -> Transfer:
    """The DDIM step from an estimate of the clean sample: x' = A' D + (std' / std) (x - A D).

    Source: Song et al. 2021 (DDIM), Eq. 12; through an operator as the rules of `rules`.
    """

    def transfer(x: Tensor, now: Level, nxt: Level, x0: Tensor) -> Tensor:
        return corrupt(x0, nxt) + shape(nxt.std / now.std, x) * (x - corrupt(x0, now))

    return transfer


def euler(x: Tensor, now: Level, nxt: Level, noise: Tensor) -> Tensor:
    """x' after a straight line of slope `noise` = eps: x' / alpha' = x / alpha + (sigma' - sigma) eps.

    With the mean eps of both ends of a step it is Heun's method for d(x / alpha) / dsigma = eps.
    Source: Karras et al. 2022 (EDM), Algorithm 1, whose d is eps.
    """
    return shape(nxt.alpha / now.alpha, x) * x + shape(nxt.alpha * (nxt.sigma - now.sigma), x) * noise


def heun_step(denoise: Denoiser, corrupt: Corrupt) -> Callable[[Tensor, Level, Level], tuple[Tensor, Tensor]]:
    """The step of Heun's method for `descend`: a DDIM step, corrected by the slope at its end unless that is clean.

    Source: Karras et al. 2022 (EDM), Algorithm 1.
    """

    def step(x: Tensor, now: Level, nxt: Level) -> tuple[Tensor, Tensor]:
        x0 = split_variance(denoise(x, now))[0]
        noise = (x - corrupt(x0, now)) / now.like(x).std
        down = corrupt(x0, nxt) + shape(ddim(now, nxt)[0], x) * noise
        if bool((nxt.std > 0).all()):
            noise_down = (down - corrupt(split_variance(denoise(down, nxt))[0], nxt)) / nxt.like(x).std
            down = euler(x, now, nxt, 0.5 * (noise + noise_down))
        return down, down

    return step


def log_step(now: Level, nxt: Level) -> Tensor:
    """h = log(sigma / sigma'), [B], float64; huge, but finite, where the next level is clean."""
    return now.sigma.double().log() - nxt.sigma.double().clamp(min=1e-300).log()


def level_at(sigma: Tensor, now: Level) -> Level:
    """The level of noise level sigma, [B], in the process of a level; one without a process, as from a file, shows it by its values.

    Raises: ValueError for values of no process.
    """
    process = now.process
    if process not in PROCESSES:
        fits = [name for name, make in PROCESSES.items() if torch.allclose(make(now.sigma).alpha, now.alpha, rtol=1e-6, atol=0)]
        if not fits:
            raise ValueError(
                f"alpha = {now.alpha[0].item():g} and std = {now.std[0].item():g} are of no process ({', '.join(PROCESSES)}), so that the "
                "solver finds no level inside its step; use a multistep solver"
            )
        process = fits[0]
    return PROCESSES[process](sigma)
