"""The stable target and EDM's pieces against closed forms."""

import itertools
import math

import pytest
import torch
from job_files import RUN

from difftables.common.files import save_tensors
from difftables.config.job_specs import TrainSpec
from difftables.config.run import Training
from difftables.data.datasets import open_dataset
from difftables.diffusion import subschedules, training_schedules
from difftables.diffusion.corruptions import scale
from difftables.diffusion.denoiser import CONDITIONINGS, PRECONDITIONINGS, Counted, vp_time
from difftables.diffusion.level import Level
from difftables.diffusion.training_schedules import TRAINING_SCHEDULES
from difftables.sampling import ode, solvers
from difftables.sampling.correctors import AddNoise, LangevinStep
from difftables.training import level_densities
from difftables.training.batches import training_batches
from difftables.training.loop import decay, learning_rate
from difftables.training.losses import WEIGHTS
from difftables.training.targets import field_weights, stable_field


def exploding(*sigma):
    return Level.variance_exploding(torch.tensor(sigma, dtype=torch.float64))


def test_without_other_references_the_target_is_the_source():
    x0, x = torch.randn(1, 3), torch.randn(1, 3)
    assert torch.equal(stable_field(x, exploding(0.7), x0, x0), x0)


def test_with_all_the_data_it_is_the_posterior_mean_whatever_the_source():
    data, x = torch.randn(9, 2, dtype=torch.float64), torch.randn(1, 2, dtype=torch.float64)
    level = Level(torch.tensor([0.8], dtype=torch.float64), torch.tensor([0.5], dtype=torch.float64))
    likelihood = (-(x - 0.8 * data).square().sum(1) / (2 * 0.25)).exp()
    wanted = (likelihood[:, None] * data).sum(0) / likelihood.sum()
    for source in range(9):
        order = [source, *(k for k in range(9) if k != source)]
        torch.testing.assert_close(stable_field(x, level, data[order[:1]], data[order])[0], wanted)


def test_limits_of_the_weights():
    """Even where all is noise, the source alone where hardly any is, and no NaN at either end."""
    references = torch.rand(50, 3072) * 2 - 1
    x0, noise = references[:4], torch.randn(4, 3072)
    for sigma, wanted in ((0.002, torch.eye(4, 50, dtype=torch.float64)), (1e6, torch.full((4, 50), 1 / 50, dtype=torch.float64))):
        weights = field_weights(x0 + sigma * noise, exploding(*[sigma] * 4), references)
        torch.testing.assert_close(weights, wanted, rtol=0, atol=2e-3)
        torch.testing.assert_close(weights.sum(1), torch.ones(4, dtype=torch.float64))


def test_order_and_origin_do_not_matter():
    data, x = torch.randn(9, 4, dtype=torch.float64), torch.randn(1, 4, dtype=torch.float64)
    wanted = stable_field(x, exploding(0.9), data[:1], data)
    order = [0, *(torch.randperm(8) + 1).tolist()]
    torch.testing.assert_close(stable_field(x, exploding(0.9), data[:1], data[order]), wanted)
    torch.testing.assert_close(stable_field(x + 5, exploding(0.9), data[:1] + 5, data + 5) - 5, wanted)


def test_the_source_must_be_among_the_references():
    with pytest.raises(ValueError, match="references"):
        stable_field(torch.zeros(2, 3), exploding(1.0, 1.0), torch.zeros(2, 3), torch.ones(5, 3))


def test_references_of_another_class_do_not_count():
    references = torch.randn(6, 2)
    same = torch.tensor([[True, False, True, False, True, False]])
    found = stable_field(torch.randn(1, 2), exploding(100.0), references[:1], references, same)
    torch.testing.assert_close(found[0], references[::2].mean(0), rtol=0.05, atol=0.05)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_the_target_is_unbiased_by_enumeration(count):
    """Three points of unequal probability, every tuple of references: E[target | x] is the posterior mean for any n."""
    points, p, x, sigma = torch.tensor([-1.0, 0.3, 1.1], dtype=torch.float64), [0.2, 0.5, 0.3], 0.4, 0.6
    likelihood = (-((x - points) ** 2) / (2 * sigma**2)).exp()
    posterior = torch.tensor(p, dtype=torch.float64) * likelihood
    wanted = (posterior / posterior.sum() * points).sum()
    total = mean = 0.0
    for chosen in itertools.product(range(3), repeat=count):
        weight = math.prod(p[k] for k in chosen) * likelihood[chosen[0]].item()
        references = points[list(chosen)][:, None]
        target = stable_field(torch.tensor([[x]], dtype=torch.float64), exploding(sigma), references[:1], references)
        total, mean = total + weight, mean + weight * target.item()
    assert mean / total == pytest.approx(wanted.item(), abs=1e-12)


TANH = """
0.3 0.001324 0.000662 0.000261
0.5 0.068597 0.034299 0.013926
1.0 0.449600 0.224800 0.097886
2.0 0.795946 0.397973 0.186718
5.0 0.961503 0.480752 0.237063
"""


@pytest.mark.parametrize("line", TANH.strip().split("\n"))
def test_variance_of_the_target_for_two_points(line):
    """Data -1 and 1: exact over sources and references, Gauss-Hermite over the noise; n = 1, 2 and 4."""
    import numpy as np

    sigma, *wanted = map(float, line.split())
    nodes, weights = np.polynomial.hermite_e.hermegauss(201)
    x = torch.from_numpy(1 + sigma * nodes)[:, None]  # of the source 1; that of -1 is its mirror image
    for count, value in zip((1, 2, 4), wanted, strict=True):
        variance = 0.0
        for others in itertools.product((-1.0, 1.0), repeat=count - 1):
            references = torch.tensor([1.0, *others], dtype=torch.float64)[:, None]
            likelihood = -((x - references[:, 0]) ** 2) / (2 * sigma**2)
            target = likelihood.softmax(1) @ references[:, 0]
            known = field_weights(x[:1], exploding(sigma), references) @ references[:, 0]
            assert known.item() == pytest.approx(target[0].item(), abs=1e-12)
            variance += ((target - torch.tanh(x[:, 0] / sigma**2)) ** 2 * torch.from_numpy(weights)).sum().item() / 2 ** (count - 1)
        assert variance / math.sqrt(2 * math.pi) == pytest.approx(value, abs=2e-6)


@pytest.mark.parametrize(
    ("sigma", "skip", "out", "inner", "told", "weight"),
    [
        (0.5, 0.5, 0.3535534, 1.4142136, -0.1732868, 8.0),
        (0.02, 0.9984026, 0.0199840, 1.9984019, -0.9780058, 2504.0),
        (80.0, 3.906e-5, 0.4999902, 0.0124998, 1.0955067, 4.000156),
    ],
)
def test_constants_of_edm(sigma, skip, out, inner, told, weight):
    level = exploding(sigma)
    assert [each.item() for each in PRECONDITIONINGS["edm"](level.sigma)] == pytest.approx([skip, out, inner], rel=2e-4, abs=1e-8)
    assert CONDITIONINGS["quarter_log"](level)(level).item() == pytest.approx(told, abs=1e-7)
    assert WEIGHTS["edm"](level).item() == pytest.approx(weight, rel=1e-6)
    assert WEIGHTS["edm"](level).item() * out**2 == pytest.approx(1, rel=1e-4)


def test_the_grid_of_edm():
    wanted = [80, 57.585985, 40.785574, 28.374585, 19.352453, 12.910082, 8.400935, 5.315195, 3.256822, 1.92334, 1.088171, 0.585348,
              0.296442, 0.139516, 0.059947, 0.022935, 0.007528, 0.002, 0]  # fmt: skip
    training = TRAINING_SCHEDULES["exploding"](100, lowest=0.002, highest=80.0)
    assert subschedules.power_law(training, 18).sigma.tolist() == pytest.approx(wanted, abs=1e-6)
    with pytest.raises(ValueError, match=r"2 steps, not 1\b"):
        subschedules.power_law(training, 1)


def test_time_of_the_variance_preserving_sde():
    """sigma(1) = 152.167 and sigma(1e-5) = 0.0010005, which float32 without log1p has as 0.00097656."""
    for t, sigma in ((1.0, 152.167), (1e-3, 0.0104860), (1e-5, 0.0010005)):
        exact = math.sqrt(math.expm1(0.5 * 19.9 * t**2 + 0.1 * t))
        assert exact == pytest.approx(sigma, rel=1e-4)
        assert vp_time(torch.tensor(exact, dtype=torch.float64)).item() == pytest.approx(t, rel=1e-9)


def gaussian(spread):
    """The exact denoiser of N(0, spread^2)."""
    return lambda x, level: level.like(x).alpha * x * spread**2 / ((level.like(x).alpha * spread) ** 2 + level.like(x).std ** 2)


def heun(steps, denoise=None):
    training = TRAINING_SCHEDULES["exploding"](100, lowest=0.002, highest=80.0)
    denoise = Counted(denoise or gaussian(0.5))
    x = torch.tensor([[80.0]], dtype=torch.float64)
    found = solvers.heun(x, subschedules.power_law(training, steps), denoise=denoise, corrupt=scale, randn=torch.randn_like, churn=None)
    return found.item(), denoise.calls


@pytest.mark.parametrize(("steps", "calls"), [(18, 35), (40, 79), (256, 511)])
def test_network_calls_of_heun(steps, calls):
    assert heun(steps)[1] == calls


def test_heun_is_of_second_order():
    """On N(0, s^2) the flow is x(0) = x(T) sqrt(s^2 / (s^2 + T^2)); half the step, a quarter of the error."""
    exact = 80.0 * math.sqrt(0.25 / (0.25 + 6400.0))
    errors = [abs(heun(steps)[0] - exact) for steps in (40, 80, 160)]
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.25)
    assert errors[1] / errors[2] == pytest.approx(4, rel=0.25)


def test_a_point_is_reached_by_straight_lines():
    assert heun(5, lambda x, level: torch.full_like(x, 0.3))[0] == pytest.approx(0.3, abs=1e-12)


def test_churn_adds_what_is_missing_to_the_new_level():
    x, churn = torch.zeros(20000, 1, dtype=torch.float64), AddNoise(torch.randn_like, 18, 40.0, 0.05, 50.0, 1.003)
    found, level = churn(x, exploding(2.0))
    gamma = min(40 / 18, 2**0.5 - 1)
    assert level.sigma.item() == pytest.approx(2 * (1 + gamma))
    assert found.std().item() == pytest.approx(1.003 * 2 * math.sqrt((1 + gamma) ** 2 - 1), rel=0.03)
    for sigma in (0.04, 51.0):
        same, kept = churn(x, exploding(sigma))
        assert same is x
        assert kept.sigma.item() == sigma


def test_log_normal_levels():
    drawn = level_densities.make_density("log_normal", exploding(80.0, 0.002, 0.0))(
        exploding(80.0, 0.002, 0.0), 40000, torch.Generator().manual_seed(0)
    )
    assert drawn.sigma.log().mean().item() == pytest.approx(-1.2, abs=0.02)
    assert drawn.sigma.log().std().item() == pytest.approx(1.2, abs=0.02)
    assert (drawn.alpha == 1).all()
    kept = level_densities.make_density("log_normal", training_schedules.linear(10, 0.1, 0.2))
    mixed = kept(training_schedules.linear(10, 0.1, 0.2), 10, torch.Generator().manual_seed(0))
    torch.testing.assert_close(mixed.alpha**2 + mixed.std**2, torch.ones(10, dtype=torch.float64))


@pytest.mark.parametrize(
    ("family", "options"), [("exploding", {"lowest": 0.01, "highest": 50.0}), ("linear", {"first": 1e-4, "last": 0.02})]
)
def test_rk45_on_gaussian_data(family, options):
    """x(end) = x(1) sqrt(v(end) / v(1)), v = (alpha s)^2 + std^2, in as many calls as it says."""
    path = ode.PATHS[family](TRAINING_SCHEDULES[family](1000, **options))
    first, last, x = path.at(1.0), path.at(path.end), torch.randn(3, 2, dtype=torch.float64)
    denoise = Counted(gaussian(0.5))
    found = ode.rk45(x, path, denoise)
    variances = [(each.alpha * 0.5) ** 2 + each.std**2 for each in (first, last)]
    torch.testing.assert_close(found, x * (variances[1] / variances[0]).sqrt(), rtol=0, atol=5e-4)
    assert 20 < denoise.calls < 400
    with pytest.raises(ValueError, match=r"limit of 10 network calls at t = "):
        ode.rk45(x, path, gaussian(0.5), limit=10)


def test_slopes_of_the_paths():
    """Against differences."""
    for family, options in (("exploding", {"lowest": 0.01, "highest": 50.0}), ("linear", {"first": 1e-4, "last": 0.02})):
        path, t, h = ode.PATHS[family](TRAINING_SCHEDULES[family](1000, **options)), 0.6, 1e-5
        assert path.slope(t) == pytest.approx((path.sigma(t + h) - path.sigma(t - h)) / (2 * h), rel=1e-6)
        log_alpha = [path.at(t + sign * h).alpha.log().item() for sign in (1, -1)]
        assert path.fading(t) == pytest.approx((log_alpha[0] - log_alpha[1]) / (2 * h), abs=1e-5)


def test_langevin_steps_keep_the_level():
    """Small steps at the exact score of N(0, s^2 + sigma^2): its variance stays, but for the noise in |n|, 2 / d."""
    level, s = exploding(0.7), 0.5
    x = torch.randn(1000, 256, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * math.sqrt(s**2 + 0.49)
    corrector = LangevinStep(torch.randn_like, gaussian(s), 0.05, lambda level: torch.ones(1))
    for _ in range(50):
        x, kept = corrector(x, level)
    assert kept is level
    assert x.var().item() == pytest.approx(s**2 + 0.49, rel=0.02)


def test_the_average_by_half_life():
    """beta = 0.5^(512 / 500000) = 0.99929 late; a copy at first; half as long a life while few images were seen."""
    settings = Training(steps=200, batch=512, lr=1e-3, warmup=100, ema=0.9, half_life=500_000, from_zero=True, save_every=10)
    assert decay(0, settings) == 0
    assert decay(100_000, settings) == pytest.approx(0.99929, abs=5e-6)
    assert decay(100, settings) == pytest.approx(0.5 ** (512 / 2560))
    assert [learning_rate(step, settings) for step in (0, 50, 100, 200)] == pytest.approx([0, 5e-4, 1e-3, 1e-3])


def batches(tmp_path, references, distinct=True):
    """Of training on 40 made-up images with two classes, batches of 8."""
    path = tmp_path / "data.safetensors"
    if not path.exists():
        stream = torch.Generator().manual_seed(0)
        images = torch.randint(256, (50, 1, 4, 4), dtype=torch.uint8, generator=stream)
        save_tensors(path, {"images": images, "labels": torch.arange(50) % 2, "held_out": torch.arange(50) >= 40}, {"kind": "data"})
    training = {"steps": 6, "batch": 8, "lr": 0.1, "warmup": 0, "ema": 0.9, "save_every": 6, "flip": True, "distinct": distinct}
    spec = TrainSpec(
        run={key: value for key, value in RUN.items() if key != "prior"} | {"data": RUN["data"] | {"classes": 2}, "train": training}, seed=3
    )
    return training_batches(open_dataset(spec.run.data, path, torch.device("cpu")), spec.run.train, "train", spec.seed, references)


def test_runs_that_differ_in_references_alone_see_the_same_batches(tmp_path):
    seen = {n: batches(tmp_path, n)(5) for n in (None, 1, 8, 40)}
    for batch in seen.values():
        assert torch.equal(batch.x0, seen[None].x0)
        assert torch.equal(batch.cond, seen[None].cond)
        assert torch.equal(batch.stream.get_state(), seen[None].stream.get_state())
    assert seen[1].references == {}
    found = seen[40].references
    assert torch.equal(found["references"][:8], seen[None].x0)
    assert len(found["references"].flatten(1).unique(dim=0)) == 40  # all the data, none twice, whatever is mirrored
    assert found["allowed"].sum(1).tolist() == [20] * 8
    assert len(seen[8].references["references"]) == 8
    with pytest.raises(ValueError, match=r"41 .*\b40\b.*`references`"):
        batches(tmp_path, 41)(0)
