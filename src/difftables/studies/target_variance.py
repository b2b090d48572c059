"""How much a training target varies at a level, for data that are a finite set of points: exact posteriors, drawn expectations."""

from dataclasses import dataclass

import torch
from torch import Tensor

from difftables.diffusion.denoiser import Denoiser, split_variance
from difftables.diffusion.level import Level
from difftables.training.targets import field_logs

CHUNK = 64  # noisy samples at once


@dataclass(frozen=True)
class Draws:
    """Noisy samples of one level and what is known of each.

    Args: x: [M, ...]; sources: places in the data, [M]; logs: log p(x0 = k | x) of every point of the data, [M, N], float64.
    """

    x: Tensor
    sources: Tensor
    logs: Tensor

    def mean(self, data: Tensor) -> Tensor:
        """E[x0 | x] of each sample, [M, D].  Args: data: [N, ...]."""
        flat = data.flatten(1).double()
        return torch.cat([logs.exp() @ flat for logs in self.logs.split(CHUNK)])


def draw(data: Tensor, level: Level, count: int, stream: torch.Generator) -> Draws:
    """`count` samples of one level, x = alpha x0 + std n, sources in turn from a permutation of the data, [N, ...]."""
    sources = torch.cat([torch.randperm(len(data), generator=stream) for _ in range(-(-count // len(data)))])[:count].to(data.device)
    noise = torch.randn(count, *data.shape[1:], generator=stream, dtype=data.dtype).to(data.device)
    shaped = level.like(data)
    x = shaped.alpha * data[sources] + shaped.std * noise
    return Draws(x, sources, torch.cat([field_logs(part, level, data) for part in x.split(CHUNK)]))


def of_sources(data: Tensor, draws: Draws) -> Tensor:
    """Tr Cov(x0 | x) of each sample, [M]: the variance of the target of denoising score matching, in units of x0 squared.

    V = sum_k w_k |x_k - c|^2 - |sum_k w_k (x_k - c)|^2,  c the source

    Source: Xu et al. 2023 (Stable Target Field), V_DSM, times std^4 / alpha^2, which turns a clean sample into a score. Any c is
        right; this one leaves little to cancel where the source is all but certain.
    """
    flat, found = data.flatten(1).double(), []
    norms = flat.square().sum(1)
    for logs, sources in zip(draws.logs.split(CHUNK), draws.sources.split(CHUNK), strict=True):
        weights, centre = logs.exp(), flat[sources]
        square = norms + norms[sources][:, None] - 2 * centre @ flat.T
        square.scatter_(1, sources[:, None], 0.0)
        found.append((weights * square).sum(1) - (weights @ flat - centre).square().sum(1))
    return torch.cat(found).clamp(min=0)


def of_references(data: Tensor, level: Level, draws: Draws, count: int, stream: torch.Generator) -> Tensor:
    """|target - E[x0 | x]|^2 of each sample, [M], whose mean is the variance of the stable target with `count` references.

    The references are the source and count - 1 other points, without replacement. Since the target is unbiased, its mean square
    distance from the posterior mean is its variance.

    Raises: ValueError for more references than there are points.
    Source: Xu et al. 2023 (Stable Target Field), V_STF, in units of x0 squared.
    """
    _enough(data, count)
    flat, found = data.flatten(1).double(), []
    for logs, sources in zip(draws.logs.split(CHUNK), draws.sources.split(CHUNK), strict=True):
        found.append((_target(flat, logs, count, sources, stream) - logs.exp() @ flat).square().sum(1))
    return torch.cat(found)


def of_bias(data: Tensor, draws: Draws, count: int, stream: torch.Generator, source: bool = True) -> Tensor:
    """a . b of each sample, [M], whose mean over x is the mean of |E[target | x] - E[x0 | x]|^2, the squared bias of the target.

    a, b: target - E[x0 | x] of two independent batches of references for the same x, each with a source of its own, drawn from
    p(x0 | x). Their product is free of the variance, which a single square would add; it may be negative.

    Args: source: whether the references hold a source for certain; else they are any `count` points, without replacement.
    Raises: ValueError for more references than there are points.
    Source: Xu et al. 2023 (Stable Target Field): with the source among the references the target is unbiased for every n.
    """
    _enough(data, count)
    flat, found = data.flatten(1).double(), []
    for logs in draws.logs.split(CHUNK):
        weights = logs.exp()
        mean, cumulative, off = weights @ flat, weights.cumsum(1), []
        for _ in range(2):
            place = torch.rand(len(logs), 1, generator=stream, dtype=torch.float64).to(data.device) * cumulative[:, -1:]
            sources = torch.searchsorted(cumulative, place, right=True).squeeze(1).clamp(max=len(data) - 1)
            off.append(_target(flat, logs, count, sources if source else None, stream) - mean)
        found.append((off[0] * off[1]).sum(1))
    return torch.cat(found)


def _enough(data: Tensor, count: int) -> None:
    if count > len(data):
        raise ValueError(f"{count} references are asked for, but the data have {len(data)} points")


def _target(flat: Tensor, logs: Tensor, count: int, sources: Tensor | None, stream: torch.Generator) -> Tensor:
    """The stable target of samples, [B, D], each with `count` points of its own, without replacement, `sources`, if any, among them."""
    order = torch.rand(logs.shape, generator=stream).to(flat.device)
    if sources is not None:
        order.scatter_(1, sources[:, None], -1.0)  # the source comes first
    chosen = order.topk(count, dim=1, largest=False, sorted=False).indices
    left_out = torch.ones_like(logs, dtype=torch.bool).scatter_(1, chosen, False)
    # Weights among the chosen ones are those of the whole, made to sum to one.
    return logs.masked_fill(left_out, float("-inf")).softmax(dim=1) @ flat


def of_denoiser(data: Tensor, level: Level, draws: Draws, denoise: Denoiser) -> Tensor:
    """|D(x) - E[x0 | x]|^2 of each sample, [M]: how far a net is from the exact score of the data, times std^4 / alpha^2.

    Source: Xu et al. 2023 (Stable Target Field), D(t).
    """
    guess = [split_variance(denoise(x, level.expand(len(x))))[0].flatten(1).double() for x in draws.x.split(512)]
    return (torch.cat(guess) - draws.mean(data)).square().sum(1)


def two_points(sigma: Tensor) -> Tensor:
    """Tr Cov(x0 | x), averaged over x = x0 + sigma n, for data of two equal points at -1 and 1, [K].

    V = E[sech^2(x / sigma^2)] = exp(-1 / (2 sigma^2)) sigma / sqrt(2 pi) int exp(-sigma^2 y^2 / 2) sech(y) dy

    Source: p(x0 = 1 | x) = 1 / (1 + exp(-2 x / sigma^2)), and x = sigma^2 y; the trapezoidal rule is exact to rounding here.
    """
    sigma = sigma.double()[:, None]
    y = torch.linspace(-40, 40, 4001, dtype=torch.float64)
    inner = (-((sigma * y) ** 2) / 2).exp() / y.cosh()
    return (inner.sum(1) * (y[1] - y[0]) * (-1 / (2 * sigma**2)).exp().squeeze(1) * sigma.squeeze(1)) / (2 * torch.pi) ** 0.5
