"""The cheap search of a grid, against all of its candidates, and the dynamic program against all subsets of its levels."""

import itertools

import pytest
import torch
from test_curve_levels import C, exact_path, rho7

from difftables.common.seeds import generator
from difftables.search.dynamic_program import cheapest_ways
from difftables.search.grids import enumerate_grid
from difftables.search.refined_grid import neighbours, places_of, predicted_errors, principal_axes, refine
from difftables.search.trajectories import jump_costs

DECADES = (-4.0, -1.0)
MODES, WEIGHTS, SPREAD = 3, 0.3, 0.15


def ddim(betas, denoise, noise):
    """DDIM samples in x / alpha for each candidate, from N(0, I) at its noisiest level.  betas: [K, steps]; noise: [B, D]."""
    sigma = torch.expm1(-torch.log1p(-betas).cumsum(dim=1)).sqrt().flip(1)[..., None, None]
    u = (1 + sigma[:, 0] ** 2).sqrt() * noise
    for i in range(sigma.shape[1]):
        x0 = denoise(u, sigma[:, i])
        u = x0 + (sigma[:, i + 1] / sigma[:, i] * (u - x0) if i + 1 < sigma.shape[1] else 0)
    return u


@pytest.fixture(scope="module")
def mixture():
    """A mixture in two dimensions: clean samples, and the distance of a candidate's samples to them, [K]."""
    stream = torch.Generator().manual_seed(0)
    means = 0.6 * torch.randn(MODES, 2, generator=stream, dtype=torch.float64)
    shares = torch.rand(MODES, generator=stream, dtype=torch.float64) + WEIGHTS
    noise = torch.randn(256, 2, generator=torch.Generator().manual_seed(100), dtype=torch.float64)
    which = torch.multinomial(shares, 4096, replacement=True, generator=generator("which"))
    clean = means[which] + SPREAD * torch.randn(4096, 2, generator=generator("clean"), dtype=torch.float64)
    angle = torch.arange(8, dtype=torch.float64) * torch.pi / 8
    axes = torch.stack([angle.cos(), angle.sin()])
    quantiles = torch.quantile(clean @ axes, (torch.arange(256).double() + 0.5) / 256, dim=0)

    def denoise(u, sigma):
        total = SPREAD**2 + sigma**2
        posterior = (shares.log() - (u[..., None, :] - means).square().sum(dim=-1) / (2 * total)).softmax(dim=-1)
        return (SPREAD**2 * u + sigma**2 * posterior @ means) / total

    def distance(betas):
        return torch.cat(
            [((ddim(b, denoise, noise) @ axes).sort(dim=1).values - quantiles).square().mean((1, 2)) for b in betas.split(256)]
        )

    return clean, distance


@pytest.mark.parametrize(("steps", "excess"), [(3, 1.0), (4, 1.05)])
def test_the_walk_comes_to_the_best_of_all_candidates(mixture, steps, excess):
    """All 729 and all 6,561 candidates are scored for comparison: the walk scores 1 % of the latter, and 9 % of the former at most."""
    clean, distance = mixture
    grid = enumerate_grid(steps, DECADES, 9, 9)
    assert len(grid) == 9**steps
    scores, asked = distance(grid), []
    predicted = predicted_errors(grid, *principal_axes(clean[:256]))
    walked = refine(places_of(grid, DECADES), predicted, lambda i: asked.append(i) or scores[i].item(), most=65)
    assert scores[walked.best] <= excess * scores.min() < scores[int(predicted.argmin())], "the closed form alone would not do"
    assert len(set(asked)) == len(asked) == len(walked.scores) <= 65


@pytest.mark.parametrize("steps", [2, 4])
def test_the_prediction_is_exact_for_gaussian_data(steps):
    """Its distance is that between the Gaussians of the data and of DDIM's samples; two samples +-1 have the moments of a prior."""
    variances, mean = torch.tensor([0.5, 0.04]).double(), torch.tensor([0.3, -0.2]).double()
    grid = enumerate_grid(steps, DECADES, 4, 4)
    noise = torch.tensor([[1.0, 1.0], [-1.0, -1.0]]).double()
    u = ddim(grid, lambda u, sigma: mean + variances / (variances + sigma**2) * (u - mean), noise)
    spread = (u[:, 0] - u[:, 1]) / 2
    want = ((spread - variances.sqrt()).square() + ((u[:, 0] + u[:, 1]) / 2 - mean).square()).sum(dim=1)
    torch.testing.assert_close(predicted_errors(grid, variances, mean), want)


def test_principal_axes_have_the_moments_of_the_samples():
    clean = torch.randn(50, 1, 2, 2, generator=generator("axes"), dtype=torch.float64) + 2
    variances, mean = principal_axes(clean)
    assert variances.sum().item() == pytest.approx(clean.flatten(1).var(dim=0).sum().item())
    assert mean.square().sum().item() == pytest.approx(clean.mean(dim=0).square().sum().item())
    assert len(principal_axes(clean[:3])[0]) == 2


def test_places_are_mantissas_and_steps_of_a_group_share_one():
    grid = enumerate_grid(6, DECADES, 3, 3)
    places = places_of(grid, DECADES)
    assert places.shape[1] == 3 and set(places.flatten().tolist()) == {1, 2, 3}
    assert len({tuple(row) for row in places.tolist()}) == len(grid)
    index = {tuple(row): i for i, row in enumerate(places_of(enumerate_grid(3, DECADES, 9, 9), DECADES).tolist())}
    rows = list(index)
    assert sorted(rows[i] for i in neighbours(index, (1, 5, 9), 1, 1)) == [(1, 4, 9), (1, 5, 8), (1, 6, 9), (2, 5, 9)]
    assert len(neighbours(index, (5, 5, 5), 1, 2)) == 12


def test_a_walk_over_one_candidate_ends_and_a_walk_with_scores_left_scores_what_is_far():
    one = refine(torch.tensor([[3, 3]]), torch.zeros(1), lambda i: 1.0, most=9)
    assert (one.indices, one.best) == ([0], 0)
    line = torch.arange(1, 10)[:, None]
    every = refine(line, line.flatten().double(), lambda i: [1.0, 2, 3, 3, 3, 3, 0.5, 3, 3][i], most=9)
    assert every.best == 6, "a second walk starts far from the first, which ends at 0"


@pytest.mark.parametrize(("jumps", "share"), [(3, 0.012), (4, 0.0005)])
def test_the_dynamic_program_is_the_best_of_all_ways_down_its_grid(jumps, share):
    """On Gaussian data DDIM keeps the product of cosines: of all 1,711 or 32,509 ways the program finds the best from 60 calls a sample."""
    sigma = rho7(61)
    inner = torch.tensor([(0, *each, 60) for each in itertools.combinations(range(1, 60), jumps - 1)])
    angle = (sigma / C).atan()[inner]
    best = inner[(angle[:, :-1] - angle[:, 1:]).cos().log().sum(dim=1).argmax()]
    costs = jump_costs(exact_path(sigma, 1), sigma, "l2").mean(dim=2)
    assert cheapest_ways(costs, jumps, gamma=1.0).way(jumps) == best.tolist()
    assert (len(sigma) - 1) / (jumps * len(inner)) < share
