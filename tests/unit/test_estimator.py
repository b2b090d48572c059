import pytest
import torch

from difftables.diffusion.beta_families import fitted, refit, sample_schedules
from difftables.diffusion.level import Level
from difftables.estimation.adjustment import Adjust
from difftables.estimation.estimator import alpha_bar_of, estimator_loss, log_noise
from difftables.estimation.oracle import Kernel, Oracle, fit_kernel, leave_one_out_bandwidth


def double(*values):
    return torch.tensor(values, dtype=torch.float64)


# Worked out for the closed forms: (family, steps, beta_0, alpha_bar, free number under taylor, product, free number exact).
# The free number is the increment of the linear family and beta_1 of the Fibonacci family.
TABLE = [
    ("linear", 1000, 1e-6, 0.006622643935444, 1.00425638e-5, 0.00651183, 1.0009009009e-5),
    ("linear", 50, 1e-6, 0.5, 5.657936e-4, 0.496729, 5.605356e-4),
    ("linear", 6, 1e-6, 0.9, 7.0236344e-3, 0.898756, 6.9337801e-3),
    ("linear", 6, 1e-6, 0.5, 0.046209412, 0.467380, 0.042458820),
    ("linear", 10, 1e-4, 0.5, 0.015381048, 0.482087, 0.014648463),
    ("linear", 10, 1e-4, 0.1, 0.051146335, 0.060486, 0.043492193),
    ("linear", 100, 1e-4, 4.0358e-5, 2.04196e-3, 1.8778e-5, 1.90804e-3),
    ("fibonacci", 25, 1e-6, 0.718505849469359, 2.105216e-6, 0.708616, 2.0e-6),
    ("fibonacci", 25, 1e-6, 0.250360163628669, 1.079008e-5, 0.179983, 9.0e-6),
    ("fibonacci", 6, 1e-6, 0.5, 0.0577615984, 0.461686, 0.0523963747),
    ("fibonacci", 6, 1e-6, 0.9, 8.7793763e-3, 0.898580, 8.6516064e-3),
]


@pytest.mark.parametrize(("family", "steps", "first", "alpha_bar", "taylor", "product", "exact"), TABLE)
def test_refit_table(family, steps, first, alpha_bar, taylor, product, exact):
    def free(betas):
        return (betas[0, 1] - (betas[0, 0] if family == "linear" else 0)).item()

    by_taylor, clips = refit(double(alpha_bar), steps, first, family, "taylor")
    assert clips.item() == 0
    assert free(by_taylor) == pytest.approx(taylor, rel=1e-5)
    assert (1 - by_taylor).prod().item() == pytest.approx(product, rel=1e-4)
    by_bisection, _ = refit(double(alpha_bar), steps, first, family, "exact")
    assert free(by_bisection) == pytest.approx(exact, rel=1e-5)
    assert (1 - by_bisection).log().sum().exp().item() == pytest.approx(alpha_bar, rel=1e-10)


def test_exact_refit_recovers_the_training_schedule():
    betas, _ = refit(double(0.006622643935444), 1000, 1e-6)
    torch.testing.assert_close(betas[0], torch.linspace(1e-6, 1e-2, 1000, dtype=torch.float64), rtol=1e-9, atol=0)


def test_taylor_is_invalid_for_few_step_images_and_says_how_often_it_clips():
    """x = 0.2248, so beta_9 = 2.02: the first-order form leaves (0, 1)."""
    betas, clips = refit(double(4.035829765e-5), 10, 1e-4, "linear", "taylor")
    assert clips.item() == 5
    assert betas.max().item() == 0.999
    exact, _ = refit(double(4.035829765e-5), 10, 1e-4, "linear", "exact")
    assert exact[0, -1].item() == pytest.approx(0.97200, abs=1e-5)


@pytest.mark.parametrize("family", ["linear", "fibonacci"])
@pytest.mark.parametrize("mode", ["taylor", "exact"])
def test_edge_cases(family, mode):
    """One step takes 1 - alpha_bar; a sample cleaner than beta_0 allows takes the family's smallest rates, scaled down."""
    one, _ = refit(double(0.3, 0.999), 1, 1e-4, family, mode)
    torch.testing.assert_close(one, double(0.7, 0.001)[:, None])
    clean, _ = refit(double(0.99999), 10, 1e-4, family, mode)
    if family == "linear":
        torch.testing.assert_close(clean, (1 - double(0.99999) ** 0.1).expand(1, 10), rtol=1e-6, atol=0)
    else:
        torch.testing.assert_close(clean / clean[:, :1], double(1, 1, 2, 3, 5, 8, 13, 21, 34, 55)[None])
    torch.testing.assert_close((1 - clean).prod(dim=1), double(0.99999))


@pytest.mark.parametrize("family", ["linear", "fibonacci"])
@pytest.mark.parametrize("steps", [2, 3, 7, 19, 99])
def test_exact_rates_are_valid_for_any_level(family, steps):
    alpha_bar = torch.logspace(-4.39, -1e-7, 40, dtype=torch.float64)
    betas, _ = refit(alpha_bar, steps, 1e-4, family, "exact")
    assert ((betas > 0) & (betas < 1)).all()
    assert (betas[:, 1:] >= betas[:, :-1] * (1 - 1e-12)).all()
    torch.testing.assert_close(torch.log1p(-betas).sum(dim=1), alpha_bar.log(), rtol=1e-8, atol=1e-10)


def test_unknown_mode_is_named():
    with pytest.raises(ValueError, match="newton"):
        refit(double(0.5), 3, 1e-4, "linear", "newton")


def test_samples_are_refitted_one_by_one():
    both, _ = refit(double(0.2, 0.7), 5, 1e-4)
    for i, alpha_bar in enumerate((0.2, 0.7)):
        assert torch.equal(both[i : i + 1], refit(double(alpha_bar), 5, 1e-4)[0])


def test_levels_end_clean_and_start_at_the_estimate():
    levels = sample_schedules(refit(double(0.2, 0.7), 4, 1e-4)[0])
    torch.testing.assert_close(levels[0].alpha_bar, double(0.2, 0.7))
    assert levels[-1].std.tolist() == [0, 0]
    assert len(levels) == 5


def test_loss_is_the_gap_of_logs():
    level = Level.variance_preserving(double(0.5, 1.0))
    u = torch.tensor([0.0, 0.0])
    torch.testing.assert_close(estimator_loss(u, level), torch.tensor([0.5, 1e-7]).log() ** 2)
    torch.testing.assert_close(alpha_bar_of(log_noise(level), 1e-5), double(0.5, 1 - 1e-7))


def test_estimates_stay_inside_the_trained_levels():
    assert alpha_bar_of(torch.tensor([5.0, -50.0]), 4e-5).tolist() == [4e-5, 1 - 1e-7]


def test_adjusting_to_the_schedules_own_level_is_the_identity():
    """Same family, same beta_0, exact refit: the levels still to come do not move."""
    schedule = fitted(4e-5, 8, 1e-4)
    for done in range(1, 8):
        rest = [schedule[i] for i in range(done, 9)]
        adjust = Adjust(lambda x, rest=rest: rest[0].alpha_bar.expand(len(x)), first=1e-4, family="linear", mode="exact")
        found = adjust(torch.zeros(2, 1), torch.zeros(2, 1), rest)
        for a, b in zip(found, rest, strict=True):
            torch.testing.assert_close(a.alpha_bar, b.alpha_bar.expand(2), rtol=1e-10, atol=1e-12)


def test_update_set_and_estimate_on():
    seen = []

    def estimate(x):
        seen.append(x.item())
        return double(0.5)

    rest = sample_schedules(refit(double(0.4), 3, 1e-4)[0])
    mean, x = torch.zeros(1, 1), torch.ones(1, 1)
    for on in ("after_noise", "before_noise"):
        Adjust(estimate, first=1e-4, family="linear", mode="exact", on=on)(mean, x, rest)
    assert seen == [1.0, 0.0]
    skipped = Adjust(estimate, first=1e-4, family="linear", mode="exact", update=[2])
    assert skipped(mean, x, rest) is rest
    assert skipped.evaluations == 0
    with pytest.raises(ValueError, match="estimate_on"):
        Adjust(estimate, first=1e-4, family="linear", mode="exact", on="later")


def test_gaussian_moment_estimator_is_unbiased():
    """y0 ~ N(0, s^2 I): alpha_bar = (1 - |y|^2 / d) / (1 - s^2), standard deviation sqrt(2 / d) v / (1 - s^2)."""
    s, d, alpha_bar, count = 0.1, 1024, 0.7, 4000
    stream = torch.Generator().manual_seed(0)
    x0, noise = (torch.randn(count, d, generator=stream) for _ in range(2))
    y = alpha_bar**0.5 * s * x0 + (1 - alpha_bar) ** 0.5 * noise
    found = (1 - y.square().mean(dim=1)) / (1 - s * s)
    v = alpha_bar * s * s + 1 - alpha_bar
    assert found.std().item() == pytest.approx((2 / d) ** 0.5 * v / (1 - s * s), rel=0.05)
    assert found.mean().item() == pytest.approx(alpha_bar, abs=4 * found.std().item() / count**0.5)


def test_oracle_of_one_point_is_the_posterior_mean():
    """Data at 0: q(x | l) = N(0, std_l^2 I), so the posterior over levels is known."""
    levels = Level.variance_preserving(double(0.1, 0.5, 0.9))
    x = torch.tensor([[0.3, -0.2], [1.5, 0.4]]).double()
    variance = 1 - levels.alpha_bar
    log_q = -x.square().sum(1, keepdim=True) / (2 * variance) - variance.log() + double(1, 2, 5).log()
    expected = 1 - (log_q.softmax(dim=1) @ variance.log()).exp()
    found = Oracle(torch.zeros(1, 2), levels, double(1, 2, 5), Kernel(torch.zeros(2).double()))(x)
    torch.testing.assert_close(found, expected)


def test_oracle_knows_correlated_data():
    """One centre with kernel C: q(x | l) = N(0, std^2 I + alpha^2 C), checked against torch's own density."""
    covariance = torch.tensor([[1.0, 0.8], [0.8, 1.0]]).double()
    variances, basis = torch.linalg.eigh(covariance)
    levels = Level.variance_preserving(double(0.2, 0.6, 0.95))
    x = torch.tensor([[0.5, 0.4], [0.5, -0.4]]).double()
    logs = []
    for alpha_bar in levels.alpha_bar:
        law = torch.distributions.MultivariateNormal(torch.zeros(2).double(), (1 - alpha_bar) * torch.eye(2) + alpha_bar * covariance)
        logs.append(law.log_prob(x))
    expected = 1 - (torch.stack(logs, 1).softmax(1) @ (1 - levels.alpha_bar).log()).exp()
    found = Oracle(torch.zeros(1, 2), levels, torch.ones(3), Kernel(variances, basis))(x)
    torch.testing.assert_close(found, expected)
    assert found[0] > found[1]  # off the diagonal there is noise


@pytest.mark.parametrize("full", [True, False])
def test_kernel_follows_the_data(full):
    """Axes of length 3 and 1 give variances in the ratio 9, up to shrinkage and chance."""
    data = torch.randn(4000, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([3.0, 1.0])
    kernel = fit_kernel(data, 500, 0.001, full)
    assert (kernel.variances.max() / kernel.variances.min()).item() == pytest.approx(9, rel=0.1)


def test_bandwidth_of_normal_data_is_near_the_rule_of_thumb():
    """In one dimension 1.06 n^(-1/5) = 0.32 for N(0, 1) and n = 400; likelihood chooses within a factor of two."""
    data = torch.randn(400, 1, generator=torch.Generator().manual_seed(1))
    assert 0.16 < leave_one_out_bandwidth(data) < 0.64


@pytest.mark.parametrize("steps", [30, 50])
def test_more_fibonacci_steps_than_beta_0_allows_keep_their_shape(steps):
    """From beta_0 = 1e-6 fifty Fibonacci rates exceed any alpha_bar: the smallest such rates, 1 1 2 3 5 .. beta_0, are scaled down."""
    betas, _ = refit(torch.tensor([0.00662264, 0.5, 0.999]).double(), steps, 1e-6, "fibonacci")
    torch.testing.assert_close((1 - betas).prod(1), torch.tensor([0.00662264, 0.5, 0.999]).double(), rtol=1e-9, atol=0)
    if steps == 50:
        assert (betas[:, 0] < 1e-6).all()
        torch.testing.assert_close(betas[:, 2:], betas[:, 1:-1] + betas[:, :-2])


def noisy_utterances(alpha_bar, seed=0):
    """A harmonic sound at 8 kHz with noise at a level, and what the mel oracle needs."""

    from difftables.data.mel import log_mel, mel_filters
    from difftables.diffusion.training_schedules import linear
    from difftables.estimation.oracle import MelOracle

    t = torch.arange(8000) / 8000
    x0 = 0.05 * sum((2 * torch.pi * 150 * k * t).sin() / k for k in range(1, 12))[None].expand(len(alpha_bar), -1)
    x0 = x0 * (1 + (2 * torch.pi * 3 * t).sin()) / 2
    weights = mel_filters(8000, 400, 48, 60.0, 4000.0)
    level = Level.variance_preserving(alpha_bar)
    x = level.like(x0).alpha * x0 + level.like(x0).std * torch.randn(x0.shape, generator=torch.Generator().manual_seed(seed))
    training = linear(1000, 1e-6, 0.01)
    return MelOracle(weights, 100, training), x, log_mel(x0, weights, 100)


def test_the_mel_oracle_reads_the_level_off_a_known_spectrum():
    """Within 15 % of 1 - alpha_bar from nearly clean to pure noise; the grid's own steps are 2 %."""
    alpha_bar = 1 - torch.tensor([1e-5, 1e-4, 1e-3, 1e-2, 0.1, 0.5, 0.9], dtype=torch.float64)
    oracle, x, mel = noisy_utterances(alpha_bar)
    assert ((1 - oracle(x, mel)) / (1 - alpha_bar)).log().abs().max() < 0.15


def test_the_mel_oracle_sees_no_polarity_and_stays_inside_the_training_levels():
    alpha_bar = torch.tensor([0.3, 0.99], dtype=torch.float64)
    oracle, x, mel = noisy_utterances(alpha_bar)
    torch.testing.assert_close(oracle(-x, mel), oracle(x, mel))
    noise = torch.randn(1, 8000, generator=torch.Generator().manual_seed(1))
    lowest = oracle(3 * noise, mel[:1]).item()
    assert lowest == pytest.approx(0.00662264, rel=1e-4)
