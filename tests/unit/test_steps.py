"""Steps against closed forms and against diffusers' schedulers, which share no code with ours."""

import pytest
import torch

from difftables.config.solvers import Walk
from difftables.data.image_files import to_uint8
from difftables.diffusion import subschedules
from difftables.diffusion.beta_families import fitted
from difftables.diffusion.corruptions import scale
from difftables.diffusion.denoiser import Counted, clipped, eps_coefficients, precondition, timestep_index
from difftables.diffusion.level import Level
from difftables.diffusion.transitions import step_variances
from difftables.estimation.adjustment import Adjust
from difftables.jobs.sample import need_memory
from difftables.sampling.generate import generate_samples
from difftables.sampling.rules import RULES, ancestral, ddim
from difftables.sampling.solvers import bind, walk

ANCESTRAL = bind(Walk(kind="walk", rule="ddpm-small"))


def net(x, c_noise):
    """A stand-in for a net: any function of x and the timestep."""
    return 0.3 * x + 0.1 * torch.sin(3 * x) + (c_noise.float() / 1000)[:, None, None, None]


class Tape:
    """Noise that is drawn once and played to both sides."""

    def __init__(self, shape, steps):
        self.noise = torch.randn(steps, *shape, generator=torch.Generator().manual_seed(3))
        self.position = 0

    def __call__(self, x):
        self.position += 1
        return self.noise[self.position - 1].to(x)


@pytest.mark.parametrize(
    ("rule", "eta", "variance"), [("ddim", 0.0, None), ("ddpm-small", None, "fixed_small"), ("ddpm-large", None, "fixed_large")]
)
@pytest.mark.parametrize("steps", [10, 50])
def test_against_diffusers(training, rule, eta, variance, steps):
    from diffusers import DDIMScheduler, DDPMScheduler

    common = {"num_train_timesteps": 1000, "beta_start": 1e-4, "beta_end": 0.02, "beta_schedule": "linear", "clip_sample": False}
    if variance is None:
        scheduler = DDIMScheduler(**common, set_alpha_to_one=True, timestep_spacing="leading", steps_offset=0)
    else:
        scheduler = DDPMScheduler(**common, variance_type=variance, timestep_spacing="leading", steps_offset=0)
    scheduler.set_timesteps(steps)
    start, tape = torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(2)).double(), Tape((2, 1, 4, 4), steps)
    x = start.clone()
    for i, t in enumerate(scheduler.timesteps):
        predicted = net(x, torch.full((2,), int(t)))
        if variance is None:
            x = scheduler.step(predicted, t, x, eta=eta).prev_sample
            continue
        # diffusers draws noise by itself: take its mean, and add the noise of the tape at its own variance.
        mean = scheduler.step(predicted, t, x, generator=torch.Generator().manual_seed(0)).prev_sample
        own = torch.randn(x.shape, generator=torch.Generator().manual_seed(0), dtype=x.dtype)
        spread = scheduler._get_variance(t) ** 0.5 if t > 0 else 0.0
        x = mean - spread * own + spread * tape.noise[i].double()
    denoise = precondition(net, eps_coefficients, timestep_index(training))
    found = walk(
        start, subschedules.strided(training, steps), denoise=denoise, corrupt=scale, rule=rule, noisy_end=False, churn=None, randn=tape
    )
    # diffusers keeps its levels in float32.
    torch.testing.assert_close(found, x, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("steps", [10, 50])
def test_a_learned_variance_against_diffusers(training, steps):
    """Its `learned_range`: the net's second half of channels, u, interpolates the log variances by v = (u + 1) / 2."""
    from diffusers import DDPMScheduler

    scheduler = DDPMScheduler(
        num_train_timesteps=1000, beta_start=1e-4, beta_end=0.02, clip_sample=False, variance_type="learned_range",
        timestep_spacing="leading", steps_offset=0,
    )  # fmt: skip
    scheduler.set_timesteps(steps)

    def both(x, c_noise):
        return torch.cat([net(x, c_noise), 1.5 * torch.cos(2 * x)], dim=1)

    start, tape = torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(2)).double(), Tape((2, 1, 4, 4), steps)
    x = start.clone()
    for i, t in enumerate(scheduler.timesteps):
        answer = both(x, torch.full((2,), int(t)))
        mean = scheduler.step(answer, t, x, generator=torch.Generator().manual_seed(0)).prev_sample
        own = torch.randn(x.shape, generator=torch.Generator().manual_seed(0), dtype=x.dtype)
        spread = (0.5 * scheduler._get_variance(t, predicted_variance=answer[:, 1:])).exp() if t > 0 else 0.0
        x = mean - spread * own + spread * tape.noise[i].double()
    denoise = precondition(both, eps_coefficients, timestep_index(training), variance=True)
    found = walk(
        start,
        subschedules.strided(training, steps),
        denoise=denoise,
        corrupt=scale,
        rule="ddpm-learned",
        noisy_end=False,
        churn=None,
        randn=tape,
    )
    torch.testing.assert_close(found, x, rtol=2e-3, atol=2e-3)


def levels():
    return Level.variance_preserving(torch.tensor([0.2, 0.5]).double()), Level.variance_preserving(torch.tensor([0.6, 0.9]).double())


def test_eta_one_is_ddpm_with_small_variance():
    """sigma(eta = 1)^2 = beta~ exactly, and the same mean."""
    now, nxt = levels()
    a, b = ddim(now, nxt, eta=1.0)
    mean, small = ancestral(now, nxt)
    torch.testing.assert_close(b**2, step_variances(now, nxt)[1])
    torch.testing.assert_close(a, mean)
    torch.testing.assert_close(b, small)


def test_posterior_variance_formula():
    """beta~ = (1 - alpha_bar') / (1 - alpha_bar) beta with beta = 1 - alpha_bar / alpha_bar'."""
    now, nxt = levels()
    beta, posterior = step_variances(now, nxt)
    torch.testing.assert_close(beta, 1 - now.alpha_bar / nxt.alpha_bar)
    torch.testing.assert_close(posterior, (1 - nxt.alpha_bar) / (1 - now.alpha_bar) * beta)
    torch.testing.assert_close(RULES["ddpm-large"](now, nxt)[1] ** 2, beta)


def test_ddpm_mean_is_the_printed_one():
    """(x - beta / sqrt(1 - alpha_bar) eps) / sqrt(1 - beta)."""
    now, nxt = levels()
    x, predicted = torch.randn(2, 3).double(), torch.randn(2, 3).double()
    beta = (1 - now.alpha_bar / nxt.alpha_bar)[:, None]
    expected = (x - beta / now.std[:, None] * predicted) / (1 - beta).sqrt()
    x0 = (x - now.std[:, None] * predicted) / now.alpha[:, None]
    torch.testing.assert_close(nxt.alpha[:, None] * x0 + ancestral(now, nxt)[0][:, None] * predicted, expected)


def test_ddim_with_the_exact_noise_follows_the_marginals(training):
    """With eps known, DDIM lands on alpha' x0 + std' eps, however few the steps."""
    x0, noise = torch.randn(3, 1, 2, 2).double(), torch.randn(3, 1, 2, 2).double()
    schedule = subschedules.strided(training, 5)
    x = schedule.alpha[0] * x0 + schedule.std[0] * noise
    found = walk(x, schedule, denoise=lambda x, level: x0, corrupt=scale, rule="ddim", noisy_end=False, churn=None, randn=torch.zeros_like)
    torch.testing.assert_close(found, x0)


def test_gaussian_data_are_reproduced_in_the_limit_of_many_steps(training):
    """y0 ~ N(0, s^2): D = alpha s^2 / v x, v = alpha_bar s^2 + 1 - alpha_bar; DDIM and DDPM both end with variance s^2."""
    s2 = 0.25

    def denoise(x, level):
        alpha, v = level.like(x).alpha, (level.alpha_bar * s2 + 1 - level.alpha_bar).reshape(-1, 1)
        return alpha * s2 / v * x

    stream = torch.Generator().manual_seed(0)
    x = torch.randn(20000, 1, generator=stream, dtype=torch.float64)
    for rule in ("ddim", "ddpm-small"):
        found = walk(x, subschedules.strided(training, 1000), denoise=denoise, corrupt=scale, rule=rule, noisy_end=False, churn=None,
                       randn=lambda x: torch.randn(x.shape, generator=stream, dtype=x.dtype))  # fmt: skip
        assert found.var().item() == pytest.approx(s2, rel=0.05)


def test_adjustment_by_the_schedules_own_levels_changes_nothing(training):
    """The fixed and the adjusted trajectory coincide when the estimator says what the schedule says."""
    schedule = fitted(training.alpha_bar[0].item(), 6, 1e-4)
    coming = iter(schedule.alpha_bar[1:])
    adjust = Adjust(lambda x: next(coming).expand(len(x)), first=1e-4, family="linear", mode="exact")
    x = torch.randn(3, 1, 2, 2, generator=torch.Generator().manual_seed(1)).double()
    denoise = precondition(net, eps_coefficients, timestep_index(training))
    fixed = walk(x, schedule, denoise=denoise, corrupt=scale, rule="ddim", noisy_end=False, churn=None, randn=torch.zeros_like)
    adjusted = walk(
        x, schedule, denoise=denoise, corrupt=scale, rule="ddim", noisy_end=False, churn=None, randn=torch.zeros_like, adapt=adjust
    )
    torch.testing.assert_close(adjusted, fixed, rtol=1e-7, atol=1e-7)
    assert adjust.evaluations == 5 * 3


def test_adjustment_by_the_true_level_narrows_the_mismatch(training):
    """Data of one point: the true noise of a sample is known, and after adjustment the net is told nearly that.

    Sampling starts at N(0, I) while the schedule says alpha_bar = 0.7. Fixed, the net is told the wrong level at
    every step; adjusted, from the second on, the level is the sample's own.
    """
    d = 1024
    schedule = fitted(0.7, 6, 1e-4)
    told, true = {}, {}
    for name in ("fixed", "adjusted"):
        gaps = []

        def denoise(x, level, gaps=gaps):
            own = x.square().mean(dim=(1, 2, 3)).double().clamp(1e-6, 1 - 1e-6)
            gaps.append((own.log() - (1 - level.alpha_bar).log()).abs().mean().item())
            return torch.zeros_like(x)

        def estimate(x):
            return 1 - x.square().mean(dim=(1, 2, 3)).double().clamp(1e-6, 1 - 1e-6)

        adapt = Adjust(estimate, first=1e-4, family="linear", mode="exact") if name == "adjusted" else None
        x = torch.randn(8, 1, 32, d // 32, generator=torch.Generator().manual_seed(1))
        walk(x, schedule, denoise=denoise, corrupt=scale, rule="ddim", noisy_end=False, churn=None, randn=torch.zeros_like, adapt=adapt)
        told[name], true[name] = gaps[1:], gaps[0]
    assert true["fixed"] == true["adjusted"]
    assert max(told["adjusted"]) < 0.01 < min(told["fixed"])


def test_samples_do_not_depend_on_the_batch(training):
    """Seeds belong to samples: any split of the keys draws the same images."""
    keys = [("sample", 0, index) for index in range(7)]
    arguments = {
        "denoise": clipped(precondition(net, eps_coefficients, timestep_index(training)), 1.0), "corrupt": scale,
        "prior": lambda randn, like, level: randn(like),
        "solve": ANCESTRAL, "adapt": None, "device": torch.device("cpu"),
    }  # fmt: skip
    schedule = subschedules.strided(training, 6)
    whole = generate_samples(keys, (1, 4, 4), schedule, batch=7, **arguments)
    parts = generate_samples(keys, (1, 4, 4), schedule, batch=2, **arguments)
    assert torch.equal(whole.x, parts.x)
    assert whole.nfe == parts.nfe == 6
    assert whole.evaluations == parts.evaluations == 42
    alone = generate_samples(keys[4:5], (1, 4, 4), schedule, batch=1, **arguments)
    assert torch.equal(alone.x, whole.x[4:5])
    kept = generate_samples(keys, (1, 4, 4), schedule, batch=2, keep=to_uint8, **arguments)
    assert kept.x.dtype == torch.uint8 and torch.equal(kept.x, to_uint8(whole.x))
    arguments["prior"] = lambda randn, like, level: randn(like) / (len(like) > 1)  # the last batch is of one
    with pytest.raises(FloatingPointError, match=r"6.*sample 0 "):
        generate_samples(
            keys,
            (1, 4, 4),
            schedule,
            batch=2,
            keep=to_uint8,
            **arguments | {"denoise": precondition(net, eps_coefficients, timestep_index(training))},
        )


def test_samples_that_do_not_fit_into_memory_are_refused_in_one_line():
    need_memory(1000)
    with pytest.raises(ValueError, match=r"the samples take 1000000 GB of memory, and this machine has \d+ GB; lower evaluation"):
        need_memory(10**15)


def test_a_real_net_moves_a_sample_by_rounding_alone_when_the_batch_changes(training):
    """Other kernels run for other batches: float32 rounding, far below a grey level (8e-3), and nothing else."""
    from difftables.nets.unet import UNet

    torch.manual_seed(0)
    unet = UNet(8, 1, 16, (1, 2), 1, (4,), 0.0).eval()
    for p in unet.parameters():
        torch.nn.init.normal_(p, std=0.05)
    denoise = clipped(precondition(unet, eps_coefficients, timestep_index(training)), 1.0)
    arguments = {"denoise": denoise, "corrupt": scale, "prior": lambda randn, like, level: randn(like), "solve": ANCESTRAL, "adapt": None}
    keys, schedule = [("sample", 0, index) for index in range(12)], subschedules.strided(training, 5)
    whole, parts = (generate_samples(keys, (1, 8, 8), schedule, batch=b, device=torch.device("cpu"), **arguments).x for b in (12, 5))
    torch.testing.assert_close(whole, parts, rtol=0, atol=1e-5)


def test_counted_measures_calls_and_levels(training):
    counted = Counted(lambda x, level: x)
    walk(
        torch.ones(3, 1),
        subschedules.strided(training, 4),
        denoise=counted,
        corrupt=scale,
        rule="ddim",
        noisy_end=False,
        churn=None,
        randn=torch.zeros_like,
    )
    assert (counted.calls, counted.evaluations) == (4, 12)
    assert [subschedules.timestep(level, training).item() for level in counted.levels] == [750, 500, 250, 0]
