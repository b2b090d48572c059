"""Operators, levels, the scheduler and the samplers of Soft Diffusion, against closed forms."""

from itertools import pairwise

import pytest
import torch
from scipy.optimize import linear_sum_assignment

from difftables.diffusion import operator_levels
from difftables.diffusion.corruptions import CORRUPTIONS, blur, blur_gain, dct, inverse_dct, mask, scale
from difftables.diffusion.denoiser import Denoiser
from difftables.diffusion.level import Level
from difftables.sampling.rules import RULES
from difftables.sampling.solvers import walk
from difftables.training.losses import denoising_loss, inverse_sigma2
from difftables.training.targets import clean


def at(strength, std=0.1, count=1):
    return Level.variance_exploding(torch.full((count,), std, dtype=torch.float64), torch.full((count,), strength, dtype=torch.float64))


def images(count=5, size=8, seed=0):
    return torch.randn(count, 1, size, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_transform_is_scipys_and_inverts_itself():
    from scipy.fft import dctn

    x = images(2, 6)
    torch.testing.assert_close(dct(x), torch.from_numpy(dctn(x.numpy(), axes=(2, 3), norm="ortho")))
    torch.testing.assert_close(inverse_dct(dct(x)), x)


def test_blur_gains():
    """exp(-23^2 / 2 pi^2 / 64^2) at the lowest frequency of a 64 px image."""
    gain = blur_gain(torch.tensor([23.0]), 64, 64)[0]
    assert gain[0, 0] == 1
    assert gain[0, 1].item() == pytest.approx(0.5287013, abs=1e-7)
    assert gain[0, 2].item() == pytest.approx(0.0781343, abs=1e-7)
    assert gain.max() == 1
    assert gain.min() >= 0


def test_blur_is_a_semigroup_in_the_square_of_its_strength():
    x = images()
    torch.testing.assert_close(blur(blur(x, at(1.2)), at(0.9)), blur(x, at(1.5)), rtol=0, atol=1e-12)
    torch.testing.assert_close(blur(x, at(0.0)), x)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_operators_are_linear_symmetric_and_the_identity_at_nothing(name):
    apply, level = CORRUPTIONS[name], at(1.3)
    x, y = images(seed=1), images(seed=2)
    torch.testing.assert_close(apply(2 * x - y, level), 2 * apply(x, level) - apply(y, level))
    torch.testing.assert_close((apply(x, level) * y).sum(), (x * apply(y, level)).sum())
    torch.testing.assert_close(apply(x, at(0.0)), x)


def test_a_mask_grows_and_leaves_something_of_every_pixel():
    ones = torch.ones(1, 1, 9, 9, dtype=torch.float64)
    weak, strong = mask(ones, at(0.5)), mask(ones, at(3.0))
    assert (strong <= weak).all()
    assert strong.min() > 0
    assert strong[0, 0, 4, 4].item() == pytest.approx(0.01)


def test_noise_grows_to_its_maximum_in_a_quarter_of_the_time():
    found = operator_levels.geometric_noise(torch.tensor([0.0, 0.125, 0.25, 0.7, 1.0]), 0.01, 0.1, 0.25)
    torch.testing.assert_close(found, torch.tensor([0.01, 0.0316227766, 0.1, 0.1, 0.1], dtype=torch.float64))


def test_strength_is_linear_in_time_between_nodes():
    """Nodes 0, 1, 4 at t = 0, 1/2, 1; four steps."""
    found = operator_levels.interpolated_schedule(torch.tensor([0.0, 1.0, 4.0]), 4, 0.01, 0.1, 0.25)
    torch.testing.assert_close(found.strength, torch.tensor([4.0, 2.5, 1.0, 0.5, 0.0], dtype=torch.float64))
    with pytest.raises(ValueError, match="rise"):
        operator_levels.interpolated_schedule(torch.tensor([0.0, 1.0, 1.0]), 4, 0.01, 0.1, 0.25)


@pytest.mark.parametrize("apply", [blur, mask])
def test_the_distance_of_two_strengths_pairs_each_image_with_itself(apply):
    """Against the assignment problem, solved."""
    x = images(40, 6)
    for a, b in ((0.3, 0.8), (0.5, 2.0)):
        one, other = (apply(x, at(s, 0.0)).flatten(1) for s in (a, b))
        cost = torch.cdist(one, other) ** 2
        rows, columns = linear_sum_assignment(cost.numpy())
        levels = Level.variance_exploding(torch.zeros(2), torch.tensor([a, b], dtype=torch.float64))
        found = operator_levels.paired_distances(x, levels, apply)
        assert (rows == columns).all()
        assert found[0, 1].item() ** 2 == pytest.approx(cost[rows, columns].mean().item(), rel=1e-9)


def candidates(count=64):
    x = images(30)
    return operator_levels.paired_distances(x, Level.variance_exploding(torch.zeros(count), torch.linspace(0.01, 2.875, count)), blur)


def test_shorter_edges_make_longer_paths_and_squares_would_take_every_node():
    distances = candidates()
    lengths = [len(operator_levels.shortest_path(distances, float(distances[0, -1]) / k)) for k in (1, 2, 4, 8)]
    assert lengths[0] == 2
    assert lengths == sorted(lengths)
    assert len(operator_levels.shortest_path(distances**2, float(distances[0, -1]) ** 2)) == 64


def test_bisection_finds_a_path_of_the_wanted_number_of_nodes():
    distances = candidates()
    path, longest = operator_levels.choose_path(distances, 16)
    assert (len(path), path[0], path[-1]) == (16, 0, 63)
    assert max(float(distances[a, b]) for a, b in pairwise(path)) <= longest
    with pytest.raises(ValueError, match=r"\b65\b.*\b64\b"):
        operator_levels.choose_path(distances, 65)


def oracle(x0) -> Denoiser:
    return lambda x, level: x0


def walked(rule, x, levels, x0, apply=blur):
    noise = torch.Generator().manual_seed(3)
    return walk(x, levels, denoise=oracle(x0), corrupt=apply, rule=rule, noisy_end=False, churn=None,
                  randn=lambda x: torch.randn(x.shape, generator=noise, dtype=x.dtype))  # fmt: skip


def two(first, second):
    return Level(*(torch.tensor(pair, dtype=torch.float64) for pair in ((1.0, 1.0), *zip(first, second, strict=True))))


def test_momentum_is_the_papers_algorithm_2():
    """z = x - (s'^2 - s^2) / s^2 (C xhat - x) + sqrt(s^2 - s'^2) n, then x' = z + C' xhat - C xhat."""
    x, x0, (s, t) = images(seed=4), images(seed=5), (0.3, 0.2)
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(3), dtype=x.dtype)
    y, next_y = blur(x0, at(1.5)), blur(x0, at(1.1))
    z = x - (t**2 - s**2) / s**2 * (y - x) + (s**2 - t**2) ** 0.5 * noise
    torch.testing.assert_close(walked("momentum", x, two((s, 1.5), (t, 1.1)), x0), z + next_y - y, rtol=0, atol=1e-12)


def test_without_a_change_of_noise_momentum_is_cold_diffusion():
    """x' = x - C xhat + C' xhat; and the naive sampler without noise is its Algorithm 1, x' = C' xhat."""
    x, x0 = images(seed=4), images(seed=5)
    torch.testing.assert_close(walked("momentum", x, two((0.1, 1.5), (0.1, 1.1)), x0), x - blur(x0, at(1.5)) + blur(x0, at(1.1)))
    torch.testing.assert_close(walked("naive", x, two((0.1, 1.5), (0.0, 1.1)), x0), blur(x0, at(1.1)))


def test_without_an_operator_momentum_is_the_reverse_diffusion_predictor():
    """x' = x + (s^2 - s'^2) score + sqrt(s^2 - s'^2) n with score = (xhat - x) / s^2."""
    x, x0 = images(seed=4), images(seed=5)
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(3), dtype=x.dtype)
    wanted = x + (0.09 - 0.04) * (x0 - x) / 0.09 + (0.09 - 0.04) ** 0.5 * noise
    torch.testing.assert_close(walked("momentum", x, two((0.3, 0.0), (0.2, 0.0)), x0, scale), wanted)


def test_variance_of_a_momentum_step_with_a_perfect_estimate():
    """s'^4 / s^2 + s^2 - s'^2 = 0.067778 at s = 0.3, s' = 0.2, where the marginal has 0.04; ancestral has it exactly."""
    now, nxt = at(1.5, 0.3), at(1.1, 0.2)
    for rule, wanted in (("momentum", 0.067778), ("ddpm-small", 0.04)):
        a, b = RULES[rule](now, nxt)
        assert (a**2 + b**2).item() == pytest.approx(wanted, abs=1e-6)


def test_the_loss_seen_through_the_operator_is_the_score_matching_loss():
    """sigma^-2 |C (D - x0)|^2 = sigma^2 |s - grad log q(x | x0)|^2 with s = (C D - x) / sigma^2; nothing else reaches D's gradient."""
    x0, noise, level = images(4), images(4, seed=9), at(1.0, 0.2, 4)
    answer = images(4, seed=7).requires_grad_()
    loss = denoising_loss(x0, level, noise, denoise=oracle(answer), corrupt=blur, target=clean, weight=inverse_sigma2, residual=blur)
    x = blur(x0, level) + 0.2 * noise
    score, true = (blur(answer, level) - x) / 0.04, (blur(x0, level) - x) / 0.04
    torch.testing.assert_close(loss, 0.04 * (score - true).square().flatten(1).mean(1))
    (gradient,) = torch.autograd.grad(loss.sum(), answer)
    wanted = 2 / 64 * blur(blur(answer - x0, level), level) / 0.04
    torch.testing.assert_close(gradient, wanted.detach())
