"""Solvers of few steps against the schedulers of diffusers, on the same levels and the same exact denoiser; they keep levels in float32."""

import pytest
import torch
from test_few_step_solvers import FEW, ORIGINS, curved, levels_of, run, solver_of

from difftables.config.sampling import Sampling
from difftables.diffusion.corruptions import scale
from difftables.diffusion.level import PROCESSES, Level, concatenate
from difftables.sampling import solvers, stochastic

CLOSE = {"rtol": 2e-5, "atol": 2e-5}
STEPS = 8


def noise(x, sigma, process):
    """eps of `curved` at a noise level."""
    level = PROCESSES[process](torch.as_tensor(sigma, dtype=torch.float64).reshape(1))
    return (x - level.alpha * curved(x, level)) / level.std


def walked(scheduler, process, sigma_of, **further):
    """Start and end of a scheduler's loop; the former of the scheduler's scale.

    Args: sigma_of: the scheduler and the number of the call to the noise level of that call.
    """
    x = start = ORIGINS * (scheduler.sigmas[0].double() if process == "ve" else 1.0)
    for i, t in enumerate(scheduler.timesteps):
        if process == "ve":
            scheduler.scale_model_input(x, t)  # it is asked for, though the noise is that of the unscaled sample
        x = scheduler.step(noise(x, sigma_of(scheduler, i), process), t, x, **further).prev_sample
    return start, x


def listed(scheduler, i):
    return scheduler.sigmas[i]


def schedule_of(sigma, process):
    """The levels of a scheduler; the last may be clean."""
    sigma = sigma.double()
    clean = bool(sigma[-1] == 0)
    return levels_of(sigma[:-1] if clean else sigma, process, clean)


@pytest.mark.parametrize("end", ["zero", "sigma_min"])
@pytest.mark.parametrize(
    ("name", "order", "second"),
    [("dpmpp-1", 1, "midpoint"), ("dpmpp-2m", 2, "midpoint"), ("dpmpp-2m-heun", 2, "heun"), ("dpmpp-3m-released", 3, "midpoint")],
)
def test_dpmpp(name, order, second, end):
    """Their order 3 is the released one, with half of the second difference: of order 2, as test_the_order_of_convergence shows."""
    from diffusers import DPMSolverMultistepScheduler

    scheduler = DPMSolverMultistepScheduler(solver_order=order, solver_type=second, final_sigmas_type=end)
    scheduler.set_timesteps(STEPS)
    start, theirs = walked(scheduler, "vp", listed)
    schedule = schedule_of(scheduler.sigmas, "vp")
    torch.testing.assert_close(run(solver_of(name), schedule, start), theirs, **CLOSE)
    whole = run(solver_of("dpmpp-3m"), schedule, start)
    assert order < 3 or (whole - theirs).abs().max() > 20 * CLOSE["atol"]


@pytest.mark.parametrize("end", ["zero", "sigma_min"])
@pytest.mark.parametrize("name", [name for name in FEW if name.startswith("unipc")])
def test_unipc(name, end):
    """Their B = h of bh1 is infinite in a step to a clean level, and their sample NaN; ours is the estimate."""
    from diffusers import UniPCMultistepScheduler

    settings = FEW[name]
    scheduler = UniPCMultistepScheduler(solver_order=settings["order"], solver_type=settings["variant"], final_sigmas_type=end)
    scheduler.set_timesteps(STEPS)
    start, theirs = walked(scheduler, "vp", listed)
    ours = run(solver_of(name), schedule_of(scheduler.sigmas, "vp"), start)
    if end == "zero" and settings["variant"] == "bh1":
        assert bool(theirs.isnan().all()) and bool(ours.isfinite().all())
    else:
        torch.testing.assert_close(ours, theirs, **CLOSE)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_what_they_call_deis_is_a_polynomial_of_the_noise_in_log_sigma(order):
    """Neither of the two of the paper, in time and in sigma: it is DPM-Solver with several steps, exact for its polynomial."""
    from diffusers import DEISMultistepScheduler

    scheduler = DEISMultistepScheduler(solver_order=order)
    scheduler.set_timesteps(STEPS)
    start, theirs = walked(scheduler, "vp", listed)
    schedule = schedule_of(scheduler.sigmas, "vp")
    solver = {"kind": "dpmpp", "order": order, "prediction": "noise", "second": "heun"}
    ours = run(Sampling.model_validate({"solver": solver, "schedule": "even"}).solver, schedule, start)
    torch.testing.assert_close(ours, theirs, **CLOSE)
    for name in (f"lms-{order}", f"deis-{order}"):
        assert order == 1 or (run(solver_of(name), schedule, start) - theirs).abs().max() > 10 * CLOSE["atol"]


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_lms(order):
    """Their weights by adaptive quadrature."""
    from diffusers import LMSDiscreteScheduler

    scheduler = LMSDiscreteScheduler()
    scheduler.set_timesteps(STEPS)
    start, theirs = walked(scheduler, "ve", listed, order=order)
    torch.testing.assert_close(run(solver_of(f"lms-{order}"), schedule_of(scheduler.sigmas, "ve"), start), theirs, **CLOSE)


def test_heun():
    from diffusers import HeunDiscreteScheduler

    scheduler = HeunDiscreteScheduler()
    scheduler.set_timesteps(STEPS)
    start, theirs = walked(scheduler, "ve", listed)
    heun = Sampling.model_validate({"solver": {"kind": "heun"}, "schedule": "even"}).solver
    schedule = schedule_of(scheduler.sigmas.unique_consecutive(), "ve")
    torch.testing.assert_close(run(heun, schedule, start), theirs, **CLOSE)


def test_dpm2():
    """Their level inside a step is the mean of log sigma, ours sqrt(sigma sigma')."""
    from diffusers import KDPM2DiscreteScheduler

    scheduler = KDPM2DiscreteScheduler()
    scheduler.set_timesteps(STEPS)

    def sigma_of(scheduler, i):
        inside = i % 2 == 1
        return (scheduler.sigmas_interpol if inside else scheduler.sigmas)[i]

    start, theirs = walked(scheduler, "ve", sigma_of)
    schedule = schedule_of(scheduler.sigmas.unique_consecutive(), "ve")
    torch.testing.assert_close(run(solver_of("dpm2"), schedule, start), theirs, **CLOSE)


@pytest.mark.parametrize(("name", "skips"), [("f-pndm", False), ("plms", True)])
def test_pndm(name, skips):
    """One scheduler, two samplers: with Runge-Kutta steps, half of them between the timesteps, and without."""
    from diffusers import PNDMScheduler

    scheduler = PNDMScheduler(skip_prk_steps=skips, set_alpha_to_one=True)
    scheduler.set_timesteps(10)
    alpha_bar = scheduler.alphas_cumprod.double()
    training = concatenate([Level.variance_preserving(alpha_bar.flip(0)), Level.clean()])
    x = ORIGINS
    for t in scheduler.timesteps:
        x = scheduler.step(noise(x, ((1 - alpha_bar[t]) / alpha_bar[t]).sqrt(), "vp"), t, x).prev_sample
    solver = solver_of(name, half="timestep")
    schedule = training[torch.tensor([*range(99, 1000, 100), 1000])]
    ours = solvers.bind(solver, training)(ORIGINS, schedule, denoise=curved, corrupt=lambda x, level: level.like(x).alpha * x, randn=None)
    torch.testing.assert_close(ours, x, **CLOSE)
    other = "plms" if name == "f-pndm" else "f-pndm"
    assert (run(solver_of(other), schedule, ORIGINS) - x).abs().max() > 10 * CLOSE["atol"]


@pytest.mark.parametrize("end", ["zero", "sigma_min"])
@pytest.mark.parametrize(
    ("settings", "order", "second"),
    [
        ({"order": 1}, 1, "midpoint"), ({"order": 2}, 2, "midpoint"), ({"order": 2, "second": "heun"}, 2, "heun"),
        ({"order": 3, "second_difference": "halved"}, 3, "heun"),
    ],
    ids=str,
)  # fmt: skip
def test_sde_dpmpp(settings, order, second, end, monkeypatch):
    """The same noise in both. Their order 3 takes the second difference times (J_0 - H) / H^2 - 1/2, where J_2 / 2 has + 1/2.

    Half of the integral J_2 is what their ODE takes, with both signs turned; of the SDE one stayed. Ours with that sign is theirs.
    """
    from diffusers import DPMSolverMultistepScheduler

    scheduler = DPMSolverMultistepScheduler(solver_order=order, solver_type=second, final_sigmas_type=end, algorithm_type="sde-dpmsolver++")
    scheduler.set_timesteps(STEPS)
    draws = torch.randn(STEPS, *ORIGINS.shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    x = ORIGINS
    for i, t in enumerate(scheduler.timesteps):
        x = scheduler.step(noise(x, listed(scheduler, i), "vp"), t, x, variance_noise=draws[i]).prev_sample

    def ours(settings):
        solver = Sampling.model_validate({"solver": {"kind": "sde-dpmpp"} | settings, "schedule": "even"}).solver
        asked = iter(draws)
        function, schedule = solvers.bind(solver), schedule_of(scheduler.sigmas, "vp")
        return function(ORIGINS, schedule, denoise=curved, corrupt=scale, randn=lambda x: next(asked).to(x))

    if order == 3:
        assert (ours(settings) - x).abs().max() > 0.1

        def slipped(h, count, exact=stochastic.moments):
            """J_2 / J_0 - 2 / J_0 for the third."""
            return [each + (2 / torch.expm1(-h) if k == 2 else 0) for k, each in enumerate(exact(h, count))]

        monkeypatch.setattr(stochastic, "moments", slipped)
    torch.testing.assert_close(ours(settings), x, **CLOSE)


def test_euler_ancestral_is_ddim_with_eta_1():
    """Their noise is drawn by a generator: the one of ours, in the order of the steps."""
    from diffusers import EulerAncestralDiscreteScheduler

    scheduler = EulerAncestralDiscreteScheduler()
    scheduler.set_timesteps(STEPS)
    start, theirs = walked(scheduler, "ve", listed, generator=torch.Generator().manual_seed(4))
    drawn = torch.Generator().manual_seed(4)
    solver = Sampling.model_validate({"solver": {"kind": "walk", "rule": "ddim", "eta": 1.0}, "schedule": "even"}).solver
    ours = solvers.bind(solver)(
        start, schedule_of(scheduler.sigmas, "ve"), denoise=curved, corrupt=scale,
        randn=lambda x: torch.randn(x.shape, generator=drawn, dtype=x.dtype),
    )  # fmt: skip
    torch.testing.assert_close(ours, theirs, **CLOSE)
