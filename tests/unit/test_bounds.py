"""The bound, its objectives, the drawing of levels by loss, and learned variances: all against what is derived on paper."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import Normal, kl_divergence

from difftables.common.seeds import generator
from difftables.diffusion import subschedules, training_schedules
from difftables.diffusion.corruptions import scale
from difftables.diffusion.denoiser import eps_coefficients, precondition, timestep_index
from difftables.diffusion.transitions import step_variances
from difftables.training.loss_aware import LossAware
from difftables.training.losses import denoising_loss, inverse_sigma2
from difftables.training.targets import clean
from difftables.training.variational_bound import VARIANCES, Bound, Hybrid, Vlb, decoder, gaussian_kl


def made(family, total):
    return training_schedules.TRAINING_SCHEDULES[family](total)


@pytest.mark.parametrize("std", [1e-4, 0.004, 0.1, 1.0, 30.0])
@pytest.mark.parametrize("mean", [-3.0, -1.0, 0.0017, 0.5, 1.0])
def test_the_decoder_is_a_distribution_over_pixel_values(mean, std):
    """Neighbouring bins share their ends, and the outermost reach to infinity; each may gain the least probability, 1e-12."""
    values = torch.arange(256, dtype=torch.float64) / 127.5 - 1
    nats = decoder(values, torch.full_like(values, mean), torch.full_like(values, 2 * math.log(std)))
    assert (-nats).exp().sum().item() == pytest.approx(1, abs=1e-9)
    single = decoder(values.float(), torch.full((256,), mean), torch.full((256,), 2 * math.log(std)))
    assert (-single).exp().sum().item() == pytest.approx(1, abs=1e-4)


def test_gaussian_kl_is_that_of_torch():
    gap, log_p, log_q = torch.randn(3, 50, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = kl_divergence(Normal(1 + gap, (log_p / 2).exp()), Normal(torch.ones(50).double(), (log_q / 2).exp()))
    torch.testing.assert_close(gaussian_kl(gap, log_p, log_q), expected)


@pytest.mark.parametrize(("family", "bits"), [("scaled-linear", 2.9e-5), ("cosine", 1.8e-9)])
def test_prior_term_of_a_white_pixel(family, bits):
    """alpha_bar / (2 ln 2) to first order in alpha_bar_T; of a chain that starts at less noise, the divergence from N(0, 1)."""
    schedule, x0 = made(family, 1000), torch.ones(2, 1, 2, 2, dtype=torch.float64)
    assert Bound(schedule).prior(x0).tolist() == pytest.approx(2 * [bits], rel=0.03)
    expected = kl_divergence(Normal(schedule[700].alpha, schedule[700].std), Normal(0.0, 1.0)) / math.log(2)
    torch.testing.assert_close(Bound(schedule[700:]).prior(x0), expected.expand(2))


def reverse_variance(schedule, c2):
    """Of q(x_{t-1} | x_t) for x0 ~ N(0, c2): 1 / (alpha_t / beta_t + 1 / (alpha_bar_{t-1} c2 + 1 - alpha_bar_{t-1}))."""
    beta, before = step_variances(schedule[:-1], schedule[1:])[0], schedule.alpha_bar[1:]
    return 1 / ((1 - beta) / beta + 1 / (before * c2 + 1 - before))


def best_v(schedule, c2):
    """v whose variance is the true one of Gaussian data, without the last step, which has no beta~."""
    beta, posterior = (each[:-1].log() for each in step_variances(schedule[:-1], schedule[1:]))
    return (reverse_variance(schedule, c2)[:-1].log() - posterior) / (beta - posterior)


def expected_terms(schedule, c2, v, kind):
    """L_{t-1}, t = T .. 2, of N(0, c2) and its exact denoiser: a term sees x0 - D squared alone, whose mean is var(x0 | x_t)."""
    now = schedule[:-2]
    gap = (c2 * now.std**2 / (now.alpha_bar * c2 + now.std**2)).sqrt()[:, None]
    return Bound(schedule).term(torch.arange(len(now)), gap, torch.zeros_like(gap), v[:, None], kind)


def test_best_variance_of_gaussian_data():
    """It is beta for c = 1, beta~ for constant data, and from v = 1 to v = c^2 for c = 1/2, from low noise to high."""
    schedule = made("scaled-linear", 1000)
    torch.testing.assert_close(best_v(schedule, 1.0), torch.ones(999).double(), rtol=0, atol=1e-6)
    torch.testing.assert_close(best_v(schedule, 1e-9), torch.zeros(999).double(), rtol=0, atol=1e-4)
    half = best_v(schedule, 0.25)
    assert half[0].item() == pytest.approx(0.25, abs=2e-3) and half[-1].item() == pytest.approx(1, abs=1e-3)
    assert (half.diff() > 0).all()


@pytest.mark.parametrize(("family", "c"), [("scaled-linear", 0.5), ("cosine", 0.5), ("cosine", 1.3)])
def test_the_bound_of_gaussian_data_is_least_at_the_true_variance(family, c):
    """1/2 (ln(s^2 / beta~) - 1 + s*^2 / s^2) nats: slope 0 in v where s = s*, and 1/2 ln(s*^2 / beta~) there."""
    schedule = made(family, 100)
    v = best_v(schedule, c**2).requires_grad_()
    terms = expected_terms(schedule, c**2, v, "learned")
    (slope,) = torch.autograd.grad(terms.sum(), v)
    assert slope.abs().max() < 1e-10
    posterior = step_variances(schedule[:-1], schedule[1:])[1]
    torch.testing.assert_close(terms, 0.5 * (reverse_variance(schedule, c**2) / posterior)[:-1].log2())
    for other in (v + 0.1, v - 0.1):
        assert (expected_terms(schedule, c**2, other, "learned") > terms).all()


@pytest.mark.parametrize(
    ("family", "total", "bits"),
    [("scaled-linear", 1000, 6.643827), ("scaled-linear", 4000, 7.643826), ("scaled-linear", 100, 4.982877),
     ("cosine", 1000, 7.282025), ("cosine", 4000, 8.314565), ("cosine", 100, 5.314714)],
)  # fmt: skip
def test_the_bound_of_white_gaussian_data_telescopes(family, total, bits):
    """c = 1: s*^2 = beta, so each term is half the log of (1 - alpha_bar_t) / (1 - alpha_bar_{t-1}), whose sum keeps its ends alone."""
    schedule = made(family, total)
    found = expected_terms(schedule, 1.0, torch.ones(total - 1).double(), "learned").sum().item()
    assert found == pytest.approx(bits, abs=1e-6)
    assert found == pytest.approx(0.5 * math.log2(schedule.std[0].item() ** 2 / schedule.std[-2].item() ** 2), rel=1e-9)


def test_cost_of_a_wrong_fixed_variance():
    schedule = made("cosine", 100)
    for kind, bits in (("learned", 4.3161), ("large", 4.3249), ("small", 5.3772)):
        assert expected_terms(schedule, 0.25, best_v(schedule, 0.25), kind).sum().item() == pytest.approx(bits, abs=5e-5)


def test_the_last_fixed_variance_is_that_of_the_step_before():
    schedule = made("cosine", 50)
    bound, like = Bound(schedule), torch.zeros(50, 1, dtype=torch.float64)
    beta, posterior = step_variances(schedule[:-1], schedule[1:])
    posterior[-1] = posterior[-2]
    expected = {"small": posterior, "large": torch.cat([beta[:-1], posterior[-1:]]), "learned": beta**0.25 * posterior**0.75}
    for kind in VARIANCES:
        found = bound.log_variance(torch.arange(50), like, torch.full_like(like, 0.25), kind)
        torch.testing.assert_close(found.exp()[:, 0], expected[kind])
    with pytest.raises(ValueError, match="variance: true"):
        bound.log_variance(torch.arange(50), like, None, "learned")
    with pytest.raises(ValueError, match=r"2 steps, not 1\b"):
        Bound(made("cosine", 50)[-2:])


@pytest.fixture
def batch():
    """A net with variance channels, its losses at five levels of T = 40, the last among them, and the bound's term at each."""
    torch.manual_seed(1)
    schedule, net = made("cosine", 40), nn.Conv2d(1, 2, 3, padding=1, dtype=torch.float64)
    place = torch.tensor([0, 3, 20, 38, 39])
    stream = torch.Generator().manual_seed(2)
    x0 = torch.randint(256, (5, 1, 4, 4), generator=stream) / 127.5 - 1
    noise = torch.randn(5, 1, 4, 4, dtype=torch.float64, generator=stream)
    denoise = precondition(lambda x, c: net(x), eps_coefficients, timestep_index(schedule), variance=True)

    def loss(objective, weight=inverse_sigma2):
        return denoising_loss(
            x0.double(), schedule[place], noise, denoise=denoise, corrupt=scale, target=clean, weight=weight, objective=objective
        )

    guess, v = denoise(scale(x0.double(), schedule[place]) + schedule[place].like(noise).std * noise, schedule[place])
    return schedule, net, loss, Bound(schedule).term(place, x0.double(), guess, v, "learned")


def test_scaling_of_the_objectives(batch):
    """L_hybrid = L_simple + lambda T L_t and L_vlb = T L_t, L_t in bits per dimension: T / 1000 for lambda = 0.001."""
    schedule, _, loss, term = batch
    simple = loss(None)
    cases = (Hybrid(schedule, 0.001), simple + 0.04 * term), (Hybrid(schedule, 0.3), simple + 12 * term), (Vlb(schedule, 9), 40 * term)
    for objective, expected in cases:
        torch.testing.assert_close(loss(objective), expected)
        torch.testing.assert_close(objective.last_bound, 40 * term.detach())
        assert not objective.last_bound.requires_grad


def test_the_mean_is_moved_by_the_bound_in_vlb_alone(batch):
    """The first filter says the mean and the second the variance; without L_simple the first has no slope at all in L_hybrid."""
    schedule, net, loss, _ = batch
    for objective, moved in ((Hybrid(schedule, 0.001), False), (Vlb(schedule, 0.001), True)):
        (slope,) = torch.autograd.grad(loss(objective, weight=lambda level: torch.zeros(5)).sum(), net.weight)
        assert (slope[0] != 0).all() if moved else torch.equal(slope[0], torch.zeros_like(slope[0]))
        assert (slope[1] != 0).all()
    hybrid, simple = (torch.autograd.grad(loss(each).sum(), net.weight)[0] for each in (Hybrid(schedule, 0.001), None))
    torch.testing.assert_close(hybrid[0], simple[0])


def two_values(total):
    """For pixels that are 0.6 or -0.6, beta~ and D = 0.6 tanh(0.6 alpha x / std^2): the bound but L_0, L_0, and one draw of the former."""
    schedule, c = made("cosine", total), 0.6
    bound, now = Bound(schedule), schedule[:-1]

    def terms(x0, noise):
        guess = c * torch.tanh(c * now.alpha[:, None] * (now.alpha[:, None] * x0 + now.std[:, None] * noise) / now.std[:, None] ** 2)
        place = torch.arange(total).repeat_interleave(noise.shape[-1])
        return bound.term(place, x0.expand_as(guess).reshape(-1, 1), guess.reshape(-1, 1), None, "small").reshape(total, -1)

    z = torch.linspace(-9, 9, 181, dtype=torch.float64)
    mean = terms(torch.tensor([c], dtype=torch.float64), z[None]) @ ((-(z**2) / 2).exp() / (-(z**2) / 2).exp().sum())
    stream = torch.Generator().manual_seed(total)
    x0, noise = c * torch.randn(4000, dtype=torch.float64, generator=stream).sign(), torch.randn(total, 4000, generator=stream)
    prior = bound.prior(torch.full((1, 1), c, dtype=torch.float64)).item()
    return prior + mean[:-1].sum().item(), mean[-1].item(), prior + terms(x0, noise.double())[:-1].sum(0)


def test_the_bound_of_two_values_falls_to_their_entropy():
    """With beta~, L_{t-1} = 1/2 (SNR_{t-1} - SNR_t) E (x0 - D)^2: a sum from above to the integral of I-MMSE, 1 bit, and 1 / T off.

    L_0: D is exact at the last level, so it is -log2 of the mass of N(0, beta~_2) within half a bin, which falls as beta~_2 does.
    """
    found = {total: two_values(total) for total in (50, 200, 800)}
    for total, (rest, last, drawn) in found.items():
        posterior = step_variances(made("cosine", total)[:-1], made("cosine", total)[1:])[1][-2].item()
        assert last == pytest.approx(-math.log2(math.erf(1 / 255 / (2 * posterior) ** 0.5)), rel=1e-9)
        assert drawn.mean().item() == pytest.approx(rest, abs=4 * drawn.std().item() / 4000**0.5)
        assert rest > 1
    excess = [found[total][0] - 1 for total in found]
    assert [excess[0] / excess[1], excess[1] / excess[2]] == pytest.approx([4, 4], rel=0.1) and excess[2] < 0.01
    assert found[50][1] > found[200][1] > found[800][1]


def aware(total, losses=None):
    """Drawing by loss on a chain of `total` levels, told `losses`, [K, total], each row the next loss of every level."""
    schedule = made("cosine", total)
    found = LossAware(schedule)
    for row in () if losses is None else losses:
        found.remember(schedule[:-1], row)
    return schedule, found


def test_levels_are_drawn_evenly_until_each_has_ten_losses():
    schedule, found = aware(4, torch.ones(9, 4) * torch.tensor([1.0, 2, 3, 4]))
    found.remember(schedule[torch.tensor([0, 1, 3, 3, 3])], torch.tensor([1.0, 2, 4, 4, 4]))
    assert not found.warm
    assert found.probabilities().tolist() == 4 * [0.25] and found.weights(schedule[:-1]).tolist() == 4 * [1]
    found.remember(schedule[2], torch.tensor([3.0]))
    assert found.warm
    expected = [0.999 * share / 10 + 0.001 / 4 for share in (1, 2, 3, 4)]
    assert found.probabilities().tolist() == pytest.approx(expected)
    level = found(schedule, 40000, generator(5))
    shares = (subschedules.timestep(level, schedule).bincount(minlength=4).flip(0) / 40000).tolist()
    assert shares == pytest.approx(expected, abs=4 * 0.5 / 200)


@pytest.mark.parametrize("spread", [0.0, 1.0, 20.0])
def test_weighted_losses_keep_their_mean_whatever_the_history(spread):
    """sum p / (T p) L = mean L, enumerated over levels; the floor holds p above 0.001 / T, and every weight below 1000."""
    losses = (spread * torch.randn(12, 30, generator=torch.Generator().manual_seed(3), dtype=torch.float64)).exp()
    losses[:, 7] = 0
    schedule, found = aware(30, losses)
    p, weights = found.probabilities(), found.weights(schedule[:-1])
    assert p.min() >= 0.001 / 30 * (1 - 1e-12) and p[7].item() == pytest.approx(0.001 / 30)
    assert (p * weights).sum().item() == pytest.approx(1, rel=1e-12)
    other = torch.rand(30, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    assert (p * weights * other).sum().item() == pytest.approx(other.mean().item(), rel=1e-12)


def test_the_last_ten_losses_are_kept_and_survive_saving():
    """p follows the root mean square of them: sqrt(8.5^2 + 33/4) of 4 .. 13, say, whatever came before."""
    schedule, found = aware(3, torch.arange(1.0, 14)[:, None] * torch.tensor([1.0, 5, 2]))
    assert found.history[0].tolist() == list(range(4, 14))
    found.remember(schedule[torch.tensor([0, 0])], torch.tensor([14.0, 15.0], requires_grad=True))
    assert found.history[0].tolist() == list(range(6, 16)) and found.history[2].tolist() == list(range(8, 28, 2))
    roots = [(10.5**2 + 8.25) ** 0.5, 5 * (8.5**2 + 8.25) ** 0.5, 2 * (8.5**2 + 8.25) ** 0.5]
    assert found.probabilities().tolist() == pytest.approx([0.999 * root / sum(roots) + 0.001 / 3 for root in roots])
    again = LossAware(schedule)
    again.load_state_dict(found.state_dict())
    assert again.warm and torch.equal(again.probabilities(), found.probabilities())


def test_warming_up_costs_what_collecting_ten_of_each_costs():
    """Levels seen at rate 1 each have ten at time s with P(10, s): E draws = T int 1 - P(10, s)^T ds, 925 for T = 50."""
    s = torch.linspace(0, 100, 20001, dtype=torch.float64)
    expected = 50 * torch.trapezoid(1 - torch.special.gammainc(torch.tensor(10.0).double(), s) ** 50, s).item()
    assert expected == pytest.approx(925, abs=0.5)
    draws = []
    for seed in range(12):
        schedule, found = aware(50)
        level, seen = found(schedule, 3000, generator("warm", seed)), 0
        while not found.warm:
            found.remember(level[seen : seen + 5], torch.ones(5))
            seen += 5
        draws.append(seen - 2)
    assert sum(draws) / 12 == pytest.approx(expected, rel=0.15)
