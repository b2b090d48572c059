"""The variance and bias of a training target at a level, for data that are a finite set of points: exact posteriors, sampled means."""

from dataclasses import dataclass

import torch
from torch import Tensor

from difftables.diffusion.denoiser import Denoiser, split_variance
from difftables.diffusion.level import Level
from difftables.training.targets import field_logs

CHUNK = 64  # noisy samples at once


@dataclass(frozen=True)
class NoisySamples:
    """Noisy samples of one level, their sources and their posteriors.

    Args: x: [M, ...]; sources: indices into the data, [M]; logs: log p(x0 = k | x) of every point of the data, [M, N], float64.
    """

    x: Tensor
    sources: Tensor
    logs: Tensor

    def mean(self, data: Tensor) -> Tensor:
        """E[x0 | x] of each sample, [M, D].  Args: data: [N, ...]."""
        flat = data.flatten(1).double()
        return torch.cat([logs.exp() @ flat for logs in self.logs.split(CHUNK)])


def noisy_samples(data: Tensor, level: Level, count: int, stream: torch.Generator) -> NoisySamples:
    """`count` samples of one level, x = alpha x0 + std n, sources in turn from a permutation of the data, [N, ...]."""
    sources = torch.cat([torch.randperm(len(data), generator=stream) for _ in range(-(-count // len(data)))])[:count].to(data.device)
    noise = torch.randn(count, *data.shape[1:], generator=stream, dtype=data.dtype).to(data.device)
    shaped = level.like(data)
    x = shaped.alpha * data[sources] + shaped.std * noise
    return NoisySamples(x, sources, torch.cat([field_logs(part, level, data) for part in x.split(CHUNK)]))


def denoising_variance(data: Tensor, noisy: NoisySamples) -> Tensor:
    """Tr Cov(x0 | x) of each sample, [M]: the variance of the target of denoising score matching, in units of x0 squared.

    V = sum_k w_k |x_k - c|^2 - |sum_k w_k (x_k - c)|^2,  c the source

    Source: Xu et al. 2023 (Stable Target Field), V_DSM, times std^4 / alpha^2, which turns a clean sample into a score. Any c is
        right; with the source little cancels where it is almost certain.
    """
    flat, variances = data.flatten(1).double(), []
    norms = flat.square().sum(1)
    for logs, sources in zip(noisy.logs.split(CHUNK), noisy.sources.split(CHUNK), strict=True):
        weights, centre = logs.exp(), flat[sources]
        square = norms + norms[sources][:, None] - 2 * centre @ flat.T
        square.scatter_(1, sources[:, None], 0.0)
        variances.append((weights * square).sum(1) - (weights @ flat - centre).square().sum(1))
    return torch.cat(variances).clamp(min=0)


def stable_variance(data: Tensor, level: Level, noisy: NoisySamples, count: int, stream: torch.Generator) -> Tensor:
    """|target - E[x0 | x]|^2 of each sample, [M], whose mean is the variance of the stable target with `count` references.

    The references are the source and count - 1 other points, without replacement. Since the target is unbiased, its mean square
    distance from the posterior mean is its variance.

    Raises: ValueError for more references than there are points.
    Source: Xu et al. 2023 (Stable Target Field), V_STF, in units of x0 squared.
    """
    _require_points(data, count)
    flat, variances = data.flatten(1).double(), []
    for logs, sources in zip(noisy.logs.split(CHUNK), noisy.sources.split(CHUNK), strict=True):
        variances.append((_stable_target(flat, logs, count, sources, stream) - logs.exp() @ flat).square().sum(1))
    return torch.cat(variances)


def squared_bias(data: Tensor, noisy: NoisySamples, count: int, stream: torch.Generator, source: bool = True) -> Tensor:
    """a . b of each sample, [M], whose mean over x is the mean of |E[target | x] - E[x0 | x]|^2, the squared bias of the target.

    a, b: target - E[x0 | x] of two independent batches of references for the same x, each with another source from p(x0 | x). Their
    product has no variance in it, which a square would add; it may be negative.

    Args: source: whether the references include a source; else they are any `count` points, without replacement.
    Raises: ValueError for more references than there are points.
    Source: Xu et al. 2023 (Stable Target Field): with the source among the references the target is unbiased for every n.
    """
    _require_points(data, count)
    flat, products = data.flatten(1).double(), []
    for logs in noisy.logs.split(CHUNK):
        weights = logs.exp()
        mean, cumulative, errors = weights @ flat, weights.cumsum(1), []
        for _ in range(2):
            uniform = torch.rand(len(logs), 1, generator=stream, dtype=torch.float64).to(data.device) * cumulative[:, -1:]
            sources = torch.searchsorted(cumulative, uniform, right=True).squeeze(1).clamp(max=len(data) - 1)
            errors.append(_stable_target(flat, logs, count, sources if source else None, stream) - mean)
        products.append((errors[0] * errors[1]).sum(1))
    return torch.cat(products)


def _require_points(data: Tensor, count: int) -> None:
    if count > len(data):
        raise ValueError(f"{count} references are asked for, but the data have {len(data)} points; lower `references`")


def _stable_target(flat: Tensor, logs: Tensor, count: int, sources: Tensor | None, stream: torch.Generator) -> Tensor:
    """The stable target of samples, [B, D], each from `count` points drawn without replacement, `sources`, if any, among them."""
    order = torch.rand(logs.shape, generator=stream).to(flat.device)
    if sources is not None:
        order.scatter_(1, sources[:, None], -1.0)  # the source comes first
    chosen = order.topk(count, dim=1, largest=False, sorted=False).indices
    left_out = torch.ones_like(logs, dtype=torch.bool).scatter_(1, chosen, False)
    # Weights among the chosen ones are those of the whole, made to sum to one.
    return logs.masked_fill(left_out, float("-inf")).softmax(dim=1) @ flat


def denoiser_error(data: Tensor, level: Level, noisy: NoisySamples, denoise: Denoiser) -> Tensor:
    """|D(x) - E[x0 | x]|^2 of each sample, [M]: the squared distance of a net from the exact score of the data, times std^4 / alpha^2.

    Source: Xu et al. 2023 (Stable Target Field), D(t).
    """
    guess = [split_variance(denoise(x, level.expand(len(x))))[0].flatten(1).double() for x in noisy.x.split(512)]
    return (torch.cat(guess) - noisy.mean(data)).square().sum(1)


def two_points(sigma: Tensor) -> Tensor:
    """Tr Cov(x0 | x), averaged over x = x0 + sigma n, for data of two equal points at -1 and 1, [K].

    V = E[sech^2(x / sigma^2)] = exp(-1 / (2 sigma^2)) sigma / sqrt(2 pi) int exp(-sigma^2 y^2 / 2) sech(y) dy

    Source: p(x0 = 1 | x) = 1 / (1 + exp(-2 x / sigma^2)), and x = sigma^2 y; the trapezoidal rule is exact to rounding.
    """
    sigma = sigma.double()[:, None]
    y = torch.linspace(-40, 40, 4001, dtype=torch.float64)
    inner = (-((sigma * y) ** 2) / 2).exp() / y.cosh()
    return (inner.sum(1) * (y[1] - y[0]) * (-1 / (2 * sigma**2)).exp().squeeze(1) * sigma.squeeze(1)) / (2 * torch.pi) ** 0.5
