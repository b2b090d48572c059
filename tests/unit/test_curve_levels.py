"""Schedules from loss curves, score changes, trajectories and dynamic programs, on Gaussian data of std 1/2, where all is closed."""

import itertools
import math

import pytest
import torch

from difftables.diffusion.level import Level, same_process, shape
from difftables.search.curve_levels import (
    at_equal_increments,
    entropic,
    least_path_bound,
    path_bound,
    path_bound_costs,
    path_length,
    rescaled_entropic,
    score_optimal,
)
from difftables.search.dynamic_program import cheapest_ways
from difftables.search.loss_curve import LossCurve, score_steps, squared_errors
from difftables.search.trajectories import ADAMS_BASHFORTH, jump_costs, trajectories

C = 0.5


def rho7(count, highest=80.0, lowest=0.002):
    place = torch.arange(count, dtype=torch.float64) / (count - 1)
    return torch.lerp(torch.tensor(highest ** (1 / 7)).double(), torch.tensor(lowest ** (1 / 7)).double(), place) ** 7


def ideal(x, level):
    """E[y | x] for y ~ N(0, C^2), whatever the process."""
    sigma = level.sigma
    return shape(C**2 / (C**2 + sigma**2) / level.alpha, x) * x


def curve(count=61, **ends):
    sigma = rho7(count, **ends)
    return LossCurve(sigma, C**2 * sigma**2 / (C**2 + sigma**2))


def angles(sigma):
    return (sigma / C).atan()


def kept(sigma):
    """What DDIM keeps of the amplitude down some levels, relative to the exact solution: the product of cos(theta - theta')."""
    return (angles(sigma)[:-1] - angles(sigma)[1:]).cos().prod().item()


def exact_path(sigma, dimensions=2):
    """Exact solutions from 64 starts: x shrinks as sqrt(C^2 + sigma^2)."""
    stream = torch.Generator().manual_seed(0)
    start = torch.randn(64, dimensions, dtype=torch.float64, generator=stream)
    points = torch.stack([start * (C**2 + s**2).sqrt() for s in sigma])
    return points, torch.stack([point * s / (C**2 + s**2) for point, s in zip(points[:-1], sigma[:-1], strict=True)])


def brute_force(cost, jumps, gamma):
    """The cheapest of all subsets, and what it costs."""
    last = len(cost) - 1

    def price(way):
        return sum(gamma**n * cost[i, j].item() for n, (i, j) in enumerate(itertools.pairwise(way)))

    ways = [(0, *inner, last) for inner in itertools.combinations(range(1, last), jumps - 1)]
    return min((price(way), way) for way in ways)


@pytest.mark.parametrize("gamma", [1.0, 1.15])
def test_the_dynamic_program_finds_the_best_of_all_subsets(gamma):
    cost = torch.randn(12, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    found = cheapest_ways(cost, 11, gamma)
    for jumps in range(1, 12):
        best, way = brute_force(cost, jumps, gamma)
        assert found.way(jumps) == list(way)
        assert found.cost[jumps - 1, 0].item() == pytest.approx(best)
    with pytest.raises(ValueError, match="12 jumps"):
        cheapest_ways(cost, 12, gamma).way(12)


def test_the_log_cosine_program_comes_close_to_the_continuous_optimum():
    """61 stamps of rho 7, three jumps: 80, .812, .260, .002 keep .6520; the continuous optimum keeps .6534."""
    sigma = rho7(61)
    cost = -(angles(sigma)[:, None] - angles(sigma)[None]).cos().log()
    found = sigma[cheapest_ways(cost, 3).way(3)]
    assert found[1:3].tolist() == pytest.approx([0.812, 0.260], abs=5e-4)
    assert kept(found) == pytest.approx(0.6520, abs=5e-5)


@pytest.mark.parametrize(("gamma", "inner", "share"), [(1.0, [0.812, 0.260], 0.6520), (1.15, [0.567, 0.211], 0.6270)])
def test_jumps_of_exact_trajectories_cost_what_they_err_by(gamma, inner, share):
    """The L2 cost is, up to a factor, that of the log-cosine program; gamma = 1.15 pushes levels down."""
    sigma = rho7(61)
    found = sigma[cheapest_ways(jump_costs(exact_path(sigma), sigma, "l2").mean(dim=2), 3, gamma).way(3)]
    assert found[1:3].tolist() == pytest.approx(inner, abs=5e-4)
    assert kept(found) == pytest.approx(share, abs=5e-5)


def test_a_jump_to_where_the_path_passes_costs_nothing_and_l1_is_l2_in_one_dimension():
    sigma = rho7(9)
    points = torch.stack([3 - sigma[i] * torch.ones(5, 1).double() for i in range(9)])  # a straight line
    slopes = -torch.ones(8, 5, 1).double()
    assert jump_costs((points, slopes), sigma, "l2").abs().max() < 1e-12
    path = exact_path(sigma, 1)
    torch.testing.assert_close(jump_costs(path, sigma, "l1"), jump_costs(path, sigma, "l2"))


def test_the_chord_cost_is_that_of_the_part_across_the_chord():
    """A path along the first axis whose middle lies 2 off it; the jump from the start along the axis misses that by going straight."""
    points = torch.tensor([[0.0, 0.0], [1.0, 2.0], [3.0, 0.0]]).double()[:, None]
    sigma = torch.tensor([3.0, 2.0, 0.5]).double()
    slopes = torch.tensor([[-1.0, 0.5], [0.0, 1.0]]).double()[:, None]
    found = jump_costs((points, slopes), sigma, "dev")[:, :, 0]
    assert found[0, 1].item() == pytest.approx(0.5 - 2)
    assert found[0, 2].item() == pytest.approx(1.25)
    assert found[1, 2].item() == pytest.approx(0.5)


def test_teachers_are_euler_and_adams_bashforth():
    """On an even grid with D = x - sigma p(sigma), p cubic, so that eps = p: AB4 is exact from its fourth step on."""
    sigma = torch.linspace(5, 1, 9, dtype=torch.float64)
    levels = Level.variance_exploding(sigma)
    points, slopes = trajectories(lambda x, level: x - (level.sigma**4).item(), torch.zeros(1, 1).double(), levels)
    exact = (sigma[4:] ** 4 - sigma[3:-1] ** 4) / 4
    torch.testing.assert_close((points[4:] - points[3:-1]).flatten(), exact)
    euler, _ = trajectories(lambda x, level: x - (level.sigma**4).item(), torch.zeros(1, 1).double(), levels, "euler")
    torch.testing.assert_close((euler[1:] - euler[:-1]).flatten(), (sigma[1:] - sigma[:-1]) * sigma[:-1] ** 3)
    assert all(sum(weights) == pytest.approx(1) for weights in ADAMS_BASHFORTH)
    assert slopes.shape == (8, 1, 1)


def test_trajectories_are_the_same_in_both_processes():
    sigma = rho7(12, 20.0, 0.05)
    ve = Level.variance_exploding(sigma)
    vp = same_process(Level.variance_preserving(torch.ones(1)), sigma)
    u = 20 * torch.randn(3, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    paths = [trajectories(ideal, u * levels.alpha[0], levels)[0] for levels in (ve, vp)]
    torch.testing.assert_close(*paths)


def test_entropic_levels_of_a_gaussian_are_geometric_in_1_plus_c2_over_sigma2():
    found = entropic(curve(500), 5)
    ratio = (1 + C**2 / found**2)[1:] / (1 + C**2 / found**2)[:-1]
    assert ratio.tolist() == pytest.approx([ratio.mean().item()] * 5, rel=2e-4)
    assert (found[0].item(), found[-1].item()) == pytest.approx((80.0, 0.002))


@pytest.mark.parametrize(("jumps", "nats"), [(3, 52.505632), (5, 14.735498), (10, 4.563957)])
def test_entropic_levels_make_the_path_bound_least(jumps, nats):
    """1/2 (N (V^(1/N) - 1) - log V), V = (1 + c^2 / .002^2) / (1 + c^2 / 80^2); the dynamic program cannot be better."""
    v = (1 + C**2 / 0.002**2) / (1 + C**2 / 80**2)
    assert 0.5 * (jumps * (v ** (1 / jumps) - 1) - math.log(v)) == pytest.approx(nats, abs=1e-6)
    found = curve(500)
    assert path_bound(found, entropic(found, jumps)) == pytest.approx(nats, rel=1e-5)
    assert nats * (1 - 1e-4) <= path_bound(found, least_path_bound(found, jumps)) < nats * 1.002
    moved = entropic(found, jumps)
    moved[1] *= 1.1
    assert path_bound(found, moved) > nats


def test_costs_of_the_path_bound_add_up_to_it():
    found = curve(300)
    way = [0, 100, 220, 299]
    costs = path_bound_costs(found)
    total = sum(costs[i, j].item() for i, j in itertools.pairwise(way)) - found.fine().integral(3)[0].item()
    assert total == pytest.approx(path_bound(found, found.sigma[way]), rel=1e-9)


@pytest.mark.parametrize("count", [61, 500])
def test_rescaled_entropic_levels_of_a_gaussian_are_even_in_the_angle(count):
    found = angles(rescaled_entropic(curve(count), 5))
    steps = found[:-1] - found[1:]
    assert steps.tolist() == pytest.approx([steps.mean().item()] * 5, rel=5e-3 if count == 61 else 1e-4)


@pytest.mark.parametrize(("jumps", "share"), [(3, 0.653359), (5, 0.780680), (10, 0.884916)])
def test_levels_even_in_the_angle_keep_most_of_the_amplitude(jumps, share):
    """The theorem of Align Your Steps: no other levels keep more under DDIM, not even neighbours of these."""
    sigma = C * torch.linspace(math.atan(80 / C), math.atan(0.002 / C), jumps + 1, dtype=torch.float64).tan()
    assert kept(sigma) == pytest.approx(share, abs=1e-6)
    for i in range(1, jumps):
        for factor in (0.98, 1.02):
            moved = sigma.clone()
            moved[i] *= factor
            assert kept(moved) < share
    assert kept(rescaled_entropic(curve(500), jumps)) == pytest.approx(share, rel=1e-5)


def test_the_path_length_of_a_gaussian_is_closed():
    """Lambda(5) - Lambda(.01) = 4.006366 sqrt(d) at c = .5; y = +-c and n = +-1 have the moments that a linear denoiser needs."""
    sigma = rho7(2000, 5.0, 0.01)
    clean = C * torch.tensor([[1.0, 1.0], [1.0, 1.0], [-1.0, -1.0], [-1.0, -1.0]]).double()
    noise = torch.tensor([[1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [-1.0, 1.0]]).double()
    for level in (Level.variance_exploding(sigma), same_process(Level.variance_preserving(torch.ones(1)), sigma)):
        steps = score_steps(ideal, clean, level, noise).mean(dim=1)
        assert path_length(sigma, steps)[0].item() == pytest.approx(4.006366 * 2**0.5, rel=1e-3)
    found = score_optimal(sigma, steps, 4)
    length = (found / C).asinh() - found / (C**2 + found**2).sqrt()
    parts = length[:-1] - length[1:]
    assert parts.tolist() == pytest.approx([parts.mean().item()] * 4, rel=2e-3)


def test_errors_of_the_ideal_denoiser_are_its_mmse():
    """With y = +-c and n = +-1 the mean over the four is exact; the process does not matter."""
    clean = C * torch.tensor([[1.0], [1.0], [-1.0], [-1.0]]).double()
    noise = torch.tensor([[1.0], [-1.0], [1.0], [-1.0]]).double()
    want = curve(7).mmse
    for level in (Level.variance_exploding(rho7(7)), same_process(Level.variance_preserving(torch.ones(1)), rho7(7))):
        torch.testing.assert_close(squared_errors(ideal, clean, level, noise).mean(dim=1), want)


def test_a_curve_that_rises_as_the_noise_falls_is_pooled():
    sigma = torch.tensor([4.0, 3.0, 2.0, 1.0, 0.5]).double()
    curve, changed = LossCurve(sigma, torch.tensor([9.0, 3.0, 5.0, 4.0, 1.0]).double()).repaired()
    assert (curve.mmse.tolist(), changed) == ([9.0, 4.0, 4.0, 4.0, 1.0], 2)
    again, none = curve.repaired()
    assert torch.equal(again.mmse, curve.mmse) and none == 0


def test_a_fine_curve_is_exact_for_a_power_law():
    """mmse = sigma^1.5: int s^(1.5 - 2) ds = 2 sqrt(sigma)."""
    sigma = rho7(5, 8.0, 0.5)
    fine = LossCurve(sigma, sigma**1.5).fine()
    assert fine.integral(2)[0].item() == pytest.approx(2 * (8**0.5 - 0.5**0.5), rel=1e-4)
    torch.testing.assert_close(fine.mmse, fine.sigma**1.5)


def test_an_integral_that_does_not_fall_is_refused():
    with pytest.raises(ValueError, match=r"^[^\n]*sigma = 2[^\n]*more samples$"):
        at_equal_increments(torch.tensor([3.0, 2.0, 1.0]).double(), torch.tensor([1.0, 0.5, 0.5]).double(), 2)
