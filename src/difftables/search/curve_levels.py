"""Levels from a loss curve, or from the length of a path: equal increments of an integral, or the cheapest way down a grid.

All take and return noise levels sigma = std / alpha, whatever the process, falling, and call no net.
"""

import torch
from torch import Tensor

from difftables.search.dynamic_program import cheapest_ways
from difftables.search.loss_curve import LossCurve


def at_equal_increments(sigma: Tensor, integral: Tensor, jumps: int) -> Tensor:
    """jumps + 1 levels from the first to the last of a grid, between which an integral grows by the same amount.

    Args: sigma: falling, above 0, [K]; integral: falling with it, [K]. Between the levels it is straight in log sigma.
    Raises: ValueError for an integral that does not fall.
    """
    if not bool((integral[1:] < integral[:-1]).all()):
        where = int((integral[1:] >= integral[:-1]).nonzero()[0])
        raise ValueError(f"the integral does not fall below sigma = {sigma[where].item():g}; measure the curve on more samples")
    wanted = torch.lerp(integral[0], integral[-1], torch.arange(1, jumps, dtype=torch.float64) / jumps)
    # Searched from the least, since searchsorted wants rising values.
    rising, logs = integral.flip(0), sigma.log().flip(0)
    upper = torch.searchsorted(rising, wanted).clamp(1, len(rising) - 1)
    share = (wanted - rising[upper - 1]) / (rising[upper] - rising[upper - 1])
    inner = torch.lerp(logs[upper - 1], logs[upper], share).exp()
    return torch.cat([sigma[:1], inner, sigma[-1:]])


def entropic(curve: LossCurve, jumps: int) -> Tensor:
    """Levels of equal information: dH / dsigma = mmse / sigma^3, the derivative of the entropy of y given x in nats.

    On Gaussian data of variance c^2, 1 + c^2 / sigma^2 is geometric.
    Args: curve: of positive levels.  Returns: sigma, [jumps + 1], from the curve's first to its last.
    Source: entropic time (arXiv 2504.13612), by the I-MMSE relation of Guo, Shamai and Verdu 2005.
    """
    fine = curve.fine()
    return at_equal_increments(fine.sigma, fine.integral(3), jumps)


def rescaled_entropic(curve: LossCurve, jumps: int) -> Tensor:
    """Levels at equal increments of int mmse / sigma^2 dsigma: the entropic rate times sigma.

    On Gaussian data of std c it is `arctan`: sigma = c tan(theta), theta even.
    Source: ours, after rescaled entropic time (arXiv 2504.13612), whose exact factor we could not read.
    """
    fine = curve.fine()
    return at_equal_increments(fine.sigma, fine.integral(2), jumps)


def path_bound_costs(curve: LossCurve) -> Tensor:
    """C_ij = mmse_i (1 / sigma_j^2 - 1 / sigma_i^2) / 2 in nats, [K, K]: what a jump adds to the bound on the KL of the path.

    KL <= sum of C over the jumps - (H(sigma_0) - H(sigma_end)), a Riemann sum of the loss curve against the signal-to-noise ratio, for an
    ideal denoiser: it is the gap of the discrete variational bound too.
    Source: ours, from Girsanov's theorem as in Sabour et al. 2024 (Align Your Steps), with E |D(x_s) - D(x_i)|^2 = mmse_i - mmse(s).
    """
    precision = curve.sigma**-2
    return 0.5 * curve.mmse[:, None] * (precision[None] - precision[:, None])


def path_bound(curve: LossCurve, sigma: Tensor) -> float:
    """The bound on the KL of the path down some levels, in nats.  Args: sigma: falling, within the curve, its ends among them, [N + 1]."""
    fine = curve.fine()
    entropy = fine.integral(3)[0]
    # torch has no interpolation in one dimension; searched from the least.
    logs, values = fine.sigma.log().flip(0), fine.mmse.log().flip(0)
    upper = torch.searchsorted(logs, sigma[:-1].log()).clamp(1, len(logs) - 1)
    share = (sigma[:-1].log() - logs[upper - 1]) / (logs[upper] - logs[upper - 1])
    mmse = torch.lerp(values[upper - 1], values[upper], share).exp()
    return (0.5 * (mmse * (sigma[1:] ** -2 - sigma[:-1] ** -2)).sum() - entropy).item()


def least_path_bound(curve: LossCurve, jumps: int) -> Tensor:
    """The levels of a curve, jumps + 1 with both ends, that make the bound on the KL of the path least, by dynamic programming.

    Source: Watson et al. 2021 (dynamic programming on the bound) over `path_bound_costs`.
    """
    return curve.sigma[cheapest_ways(path_bound_costs(curve), jumps).way(jumps)]


def score_optimal(sigma: Tensor, steps: Tensor, jumps: int) -> Tensor:
    """Levels at equal increments of the path's length Lambda = int s sqrt(E |d score / ds|^2) ds.

    Lambda_i - Lambda_{i+1} = sqrt(sigma_i sigma_{i+1}) sqrt(E |score(x, sigma_i) - score(x, sigma_{i+1})|^2)

    On Gaussian data of std c, Lambda = 2 sqrt(d) (asinh(sigma / c) - sigma / sqrt(c^2 + sigma^2)).

    Args: sigma: [K]; steps: the mean square of the score's change between neighbouring levels, [K - 1].
    Source: ours, after the abstract of score-optimal schedules (arXiv 2412.07877).
    """
    return at_equal_increments(sigma, path_length(sigma, steps), jumps)


def path_length(sigma: Tensor, steps: Tensor) -> Tensor:
    """Lambda of `score_optimal` from the last level up, [K]."""
    pieces = (sigma[:-1] * sigma[1:] * steps).sqrt()
    return torch.cat([pieces.flip(0).cumsum(0).flip(0), torch.zeros(1, dtype=torch.float64)])
