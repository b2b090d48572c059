"""Stochastic solvers: the noise of a step, predictions kept from step to step, SDE-DPM-Solver++ and SEEDS.

The reverse process at temperature eta, in lambda = -log sigma, has an exact linear part:

    x' = (std' / std) e^(-eta h) x + alpha' sum_k c_k I_k((1 + eta) h) + std' sqrt(1 - e^(-2 eta h)) n,   h = lambda' - lambda

with the integrals of `exponential`. At eta = 0 it is the step of the ODE, at eta = 1 with one prediction that of DDPM, small variance.
DDIM's eta is another: both agree at 0 and 1 only.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from difftables.diffusion.denoiser import Denoiser
from difftables.diffusion.level import Level, shape
from difftables.sampling.correctors import Randn
from difftables.sampling.descent import Adapt, Corrupt, Levels, descend
from difftables.sampling.exponential import moments, usable_weights
from difftables.sampling.multistep import First, combined
from difftables.sampling.predictions import Predict, clean_prediction
from difftables.sampling.rules import Rule, ddim
from difftables.sampling.transfers import level_at, log_step

# (now, next, nodes u_j) to the moments of order 1, 2, .., as `usable_weights` takes them.
Moments = Callable[[Level, Level, list[Tensor]], list[list[Tensor]]]


def exponential_noise(now: Level, nxt: Level, eta: float) -> tuple[Tensor, Tensor]:
    """(a, b) of the step x' = A' D + a eps + b n at temperature eta, [B]: a = std' e^(-eta h), b = std' sqrt(1 - e^(-2 eta h)).

    a^2 + b^2 = std'^2, as of every step that keeps the variance.

    Source: Lu et al. 2022 (DPM-Solver++), SDE solvers, at eta = 1; Gonzalez et al. 2023 (SEEDS).
    """
    h = log_step(now, nxt)
    return nxt.std * torch.exp(-eta * h), nxt.std * (-torch.expm1(-2 * eta * h)).sqrt()


def noised_step(
    x: Tensor, now: Level, nxt: Level, x0: Tensor, a: Tensor, b: Tensor, *, corrupt: Corrupt, randn: Randn
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Mean and noised result of x' = A' D + a eps + b n, eps = (x - A D) / std, [B, ...]; no noise is drawn where b is 0."""
    mean = corrupt(x0, nxt) + shape(a, x) * (x - corrupt(x0, now)) / now.like(x).std
    return mean, mean + shape(b, x) * randn(x) if bool((b > 0).any()) else mean


def descend_with_history(
    x: Tensor, schedule: Levels, *, predict: Predict, corrupt: Corrupt, randn: Randn, order: int, lowered: bool, euler_at_final: bool,
    rule: Rule, coordinate: Callable[[Level], Tensor], moments_of: Moments, adapt: Adapt | None,
) -> Tensor:  # fmt: skip
    """One step per level from a polynomial through the last predictions, [B, ...]: noise as of a rule, weights by integration.

    The first step uses one prediction, the second two, and so on; a step to a clean level uses one, whatever the settings.

    Args:
        order: most predictions that a step uses; lowered: whether the last steps use 2, then 1.
        euler_at_final: whether the last step is DDIM's, without noise.
        rule: (now, next) to (a, b).
        coordinate: level to the variable of the polynomial, [B].
        moments_of: means of u^k along a step, u = 0 at its start and 1 at its end.
    """
    nodes: list[Tensor] = []
    predictions: list[Tensor] = []
    steps, taken = len(schedule) - 1, 0

    def step(x: Tensor, now: Level, nxt: Level) -> tuple[Tensor, Tensor]:
        nonlocal taken
        taken += 1
        predictions.insert(0, predict(x, now))
        nodes.insert(0, coordinate(now))
        del predictions[order:], nodes[order:]
        final = euler_at_final and taken == steps
        used = 1 if final else min(len(nodes), steps - taken + 1) if lowered else len(nodes)
        x0 = predictions[0]
        if used > 1:
            length = coordinate(nxt) - nodes[0]
            scaled = [(node - nodes[0]) / length for node in nodes[:used]]
            weights = usable_weights(scaled, moments_of(now, nxt, scaled), nxt.std > 0)
            x0 = combined(weights, predictions[:used])
        a, b = ddim(now, nxt) if final else rule(now, nxt)
        return noised_step(x, now, nxt, x0, a, b, corrupt=corrupt, randn=randn)

    return descend(x, schedule, step, adapt=adapt)


def log_snr(level: Level) -> Tensor:
    """lambda = -log sigma, [B], half the log of the signal-to-noise ratio; large, but finite, where the level is clean."""
    return -level.sigma.double().clamp(min=1e-300).log()


def sde_dpmpp(
    x: Tensor, schedule: Levels, *, denoise: Denoiser, corrupt: Corrupt, randn: Randn, order: int, eta: float, second: str,
    second_difference: str, final_order: str, euler_at_final: bool, threshold: float | None, first: First, adapt: Adapt | None = None,
) -> Tensor:  # fmt: skip
    """SDE-DPM-Solver++ (1, 2M, 3M): the clean sample as a polynomial in lambda through the last predictions, [B, ...].

    With second midpoint two predictions are D + (D - D_before) / (2 r), r the step before over this one in lambda: the mean of u as 1/2.

    Args: all of config.stochastic_solvers.SdeDpmpp.
    Source: Lu et al. 2022 (DPM-Solver++), SDE solvers; order 3 is the released one with second_difference halved, which has order 2.
    Departs: with second_difference whole the third order weighs the second difference as its integral says.
    """

    def moments_of(now: Level, nxt: Level, nodes: list[Tensor]) -> list[list[Tensor]]:
        exact = moments((1 + eta) * log_step(now, nxt), len(nodes))
        by_order = [exact[:count] for count in range(1, len(nodes) + 1)]
        if order == 2 and second == "midpoint":
            by_order[1] = [exact[0], torch.full_like(exact[1], 0.5)]
        if len(nodes) == 3 and second_difference == "halved":
            by_order[2] = [exact[0], exact[1], exact[2] / 2]
        return by_order

    return descend_with_history(
        x, schedule, predict=clean_prediction(denoise, threshold, first), corrupt=corrupt, randn=randn, order=order,
        lowered=final_order == "lowered", euler_at_final=euler_at_final, rule=lambda now, nxt: exponential_noise(now, nxt, eta),
        coordinate=log_snr, moments_of=moments_of, adapt=adapt,
    )  # fmt: skip


def seeds(
    x: Tensor, schedule: Levels, *, denoise: Denoiser, corrupt: Corrupt, randn: Randn, eta: float, middle: float, threshold: float | None,
    first: First, adapt: Adapt | None = None,
) -> Tensor:  # fmt: skip
    """SEEDS-2 on the clean sample, [B, ...]: two network calls a step, but one to a clean level.

    A step to level s at lambda + r h gives D2 there; the whole step uses D + (D2 - D) / (2 r). The noise n1 of the inner step is part of
    the noise of the whole one, std' (e^(-eta (1 - r) h) sqrt(1 - e^(-2 eta r h)) n1 + sqrt(1 - e^(-2 eta (1 - r) h)) n2).

    Args: eta, middle (r), threshold, first: of config.stochastic_solvers.Seeds.
    Source: Gonzalez et al. 2023 (SEEDS), in the form of its ports, for predictions of the clean sample.
    """
    predict = clean_prediction(denoise, threshold, first)

    def step(x: Tensor, now: Level, nxt: Level) -> tuple[Tensor, Tensor]:
        x0 = predict(x, now)
        a, b = exponential_noise(now, nxt, eta)
        if not bool((nxt.std > 0).all()):
            return noised_step(x, now, nxt, x0, a, b, corrupt=corrupt, randn=randn)
        between = level_at(now.sigma * torch.exp(-middle * log_step(now, nxt)), now)
        inner_a, inner_b = exponential_noise(now, between, eta)
        inner_mean, inner = noised_step(x, now, between, x0, inner_a, inner_b, corrupt=corrupt, randn=randn)
        x0 = x0 + (predict(inner, between) - x0) / (2 * middle)
        mean = noised_step(x, now, nxt, x0, a, torch.zeros_like(b), corrupt=corrupt, randn=randn)[0]
        # The noise of the inner step, faded as the linear part of the rest of the step fades it, and what that rest adds.
        rest_a, rest_b = exponential_noise(between, nxt, eta)
        noised = mean + shape(rest_a / between.std, x) * (inner - inner_mean)
        return mean, noised + shape(rest_b, x) * randn(x) if bool((rest_b > 0).any()) else noised

    return descend(x, schedule, step, adapt=adapt)
