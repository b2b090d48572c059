"""What params can set of a sampler: eta, the power law's exponent and ends, the rates in continuous time; and noise from outside."""

from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from test_solvers import loaded, sampling

from difftables.common.errors import ConfigError
from difftables.common.seeds import GivenNoise, SampleNoise
from difftables.config.run import Schedule
from difftables.config.sampling import Sampler
from difftables.config.solvers import Walk
from difftables.diffusion.denoiser import CONDITIONINGS, vp_time
from difftables.diffusion.linear_process import SONG, LinearRates, rates_of
from difftables.diffusion.subschedules import power_law
from difftables.diffusion.training_schedules import exploding, linear
from difftables.planning import params, plan
from difftables.sampling import ode
from difftables.sampling.sampling_schedules import first_schedule

ROOT = Path(__file__).parents[2]
VP, VE = linear(1000, 1e-4, 0.02), exploding(1000, 0.02, 100.0)
KEYS = [("sample", 0, i) for i in range(4)]
HEUN = {"solver": {"kind": "heun"}, "schedule": "power-law"}


@pytest.fixture
def planned(rewritten, monkeypatch):
    """The plan of params.yaml at a scale with some places, "a/b/c", changed."""
    monkeypatch.chdir(ROOT)
    return lambda *changes, scale="laptop": plan.Workflow(params.load(rewritten(*changes), scale))


# -- eta ---------------------------------------------------------------------------------------------------------


def drawn(rule, **own):
    return loaded().generate(KEYS, sampling({"kind": "walk", "rule": rule} | own), 7, part="test")[0].x


def test_eta_goes_from_ddim_to_the_posterior_step():
    """At eta = 1, DDIM's step is DDPM's with the posterior variance (Song et al. 2021, Eq. 16)."""
    assert torch.equal(drawn("ddim", eta=0.0), drawn("ddim"))
    torch.testing.assert_close(drawn("ddim", eta=1.0), drawn("ddpm-small"), rtol=1e-4, atol=1e-5)
    half = drawn("ddim", eta=0.5)
    assert (half - drawn("ddim")).abs().max() > 1e-2 and (half - drawn("ddpm-small")).abs().max() > 1e-2


@pytest.mark.parametrize(("rule", "eta"), [("ddim", 1.1), ("ddim", -0.1), ("ddpm-small", 0.5), ("flow", 0.0)])
def test_eta_outside_its_range_or_of_a_rule_without_it_is_refused(rule, eta):
    with pytest.raises(ValidationError, match="eta"):
        Walk(kind="walk", rule=rule, eta=eta)


# -- the power law -------------------------------------------------------------------------------------------------


def test_the_power_law_has_the_exponent_that_is_set():
    found = power_law(VE, 5, rho=3.0).sigma[:-1]
    wanted = torch.linspace(VE.sigma[0].item() ** (1 / 3), VE.sigma[-2].item() ** (1 / 3), 5, dtype=torch.float64) ** 3
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=0)
    assert torch.equal(power_law(VE, 5, rho=7.0).sigma, power_law(VE, 5).sigma)


def test_the_ends_are_those_of_the_published_sampler():
    """generate.py: sigma_min = max(own, 0.002), sigma_max = min(own, 80); VE's own are 0.02 and 100, VP's are beyond both."""
    for schedule, (highest, lowest) in ((VE, (80.0, 0.02)), (VP, (80.0, 0.002)), (exploding(1000, 0.002, 80.0), (80.0, 0.002))):
        sigma = power_law(schedule, 18, lowest=0.002, highest=80.0).sigma
        assert (sigma[0].item(), sigma[-2].item(), sigma[-1].item()) == (pytest.approx(highest), pytest.approx(lowest), 0)
    assert VP.sigma[-2] > 0.0099 and VP.sigma[0] > 157
    with pytest.raises(ValueError, match="grid"):
        power_law(VE, 18, lowest=200.0)


def test_a_sampler_takes_its_grid_from_params():
    own = Sampler.model_validate(HEUN | {"grid": {"rho": 5.0, "highest": 50.0}})
    assert torch.equal(first_schedule(own, 6, VE, None, None).sigma, power_law(VE, 6, rho=5.0, highest=50.0).sigma)
    with pytest.raises(ValidationError, match="grid"):
        Sampler.model_validate(HEUN | {"schedule": "even", "grid": {"rho": 5.0}})
    for wrong in ({"rho": 0.0}, {"lowest": 1.0, "highest": 0.5}):
        with pytest.raises(ValidationError, match=r"rho|lowest"):
            Sampler.model_validate(HEUN | {"grid": wrong})


def test_what_is_not_set_stands_in_no_spec():
    walk = {"kind": "walk", "rule": "ddim"}
    assert sampling(walk).model_dump(mode="json", exclude_defaults=True)["solver"] == walk
    assert "grid" not in sampling(walk).model_dump(mode="json", exclude_defaults=True)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (("edm/samplers/heun/grid", {"highest": 0.001}), "grid"),  # below the lowest noise of ve-a
        (("edm/samplers/heun/grid", {"lowest": 90.0}), "grid"),
        (("edm/runs/vp-a/density", "index"), "lowest"),  # trained at levels of its schedule only
        (("edm/schedules/vp", {"family": "linear", "steps": 1000, "first": 0.02, "last": 0.01}), "last"),
    ],
)
def test_a_sampler_that_does_not_fit_its_run_is_refused_by_the_plan(planned, change, named):
    with pytest.raises(ConfigError, match=named):
        planned(("edm/samplers/heun/grid", {"lowest": 0.002, "highest": 80.0}), change)


def test_scale_paper_bounds_heuns_grid_and_laptop_does_not(planned):
    paper, laptop = planned(scale="paper"), planned()
    for run in ("edm/vp-a", "edm/ve-a"):
        assert paper.sample_spec(run, "edm/heun").sampler.grid.model_dump(exclude_defaults=True) == {"lowest": 0.002, "highest": 80.0}
        assert "grid" not in laptop.written_spec("sample", run, "edm/heun")["sampler"]


# -- rates in continuous time --------------------------------------------------------------------------------------


def schedule(first, last, steps=1000):
    return Schedule(family="linear", steps=steps, first=first, last=last)


def test_the_rates_are_those_whose_discrete_form_the_schedule_is():
    assert rates_of(schedule(1e-4, 0.02)) == SONG  # to the last bit
    assert rates_of(Schedule(family="cosine", steps=10)) == SONG
    assert rates_of(schedule(1e-3, 0.01, 500)) == LinearRates(beta_d=pytest.approx(4.5), beta_min=pytest.approx(0.5))
    with pytest.raises(ValueError, match="last"):
        rates_of(schedule(0.02, 0.02))


def test_time_and_path_follow_the_rates():
    """The continuous process passes close to the levels of its discrete form: t = i / T at level i."""
    rates, levels = rates_of(schedule(2e-4, 0.01)), linear(1000, 2e-4, 0.01)
    path = ode.PATHS["linear"](levels, rates)
    for t in (0.1, 0.5, 1.0):
        sigma = levels.sigma[1000 - round(1000 * t)]
        assert path.sigma(t) == pytest.approx(sigma.item(), rel=0.02)
        assert vp_time(torch.tensor([path.sigma(t)], dtype=torch.float64), rates).item() == pytest.approx(t, rel=1e-9)
    told = CONDITIONINGS["continuous_time"](levels, rates)(path.at(0.5))
    assert told.item() == pytest.approx(999 * 0.5)
    assert CONDITIONINGS["continuous_time"](levels)(path.at(0.5)).item() != pytest.approx(999 * 0.5, rel=0.1)


def test_a_run_passes_its_rates_to_the_path():
    rk45 = sampling({"kind": "rk45", "path": "linear", "tolerance": 1e-3})
    found = [
        loaded(schedule={"family": "linear", "steps": 1000, "first": first, "last": last}).generate(KEYS, rk45, 1, part="test")[0].x
        for first, last in ((1e-4, 0.02), (2e-4, 0.01))
    ]
    assert (found[0] - found[1]).abs().max() > 1e-3
    assert torch.equal(loaded(schedule={"family": "cosine", "steps": 1000}).generate(KEYS, rk45, 1, part="test")[0].x, found[0])


# -- noise from outside --------------------------------------------------------------------------------------------


def test_noise_from_outside_is_what_a_chain_uses():
    """The draws of the samples' own streams, injected, give the same samples; others start and end elsewhere."""
    sampler, run = sampling({"kind": "walk", "rule": "ddpm-small"}), loaded()
    wanted = run.generate(KEYS, sampler, 5, part="test")[0].x
    source = SampleNoise(KEYS)
    draws = torch.stack([source(torch.empty(4, 1, 4, 4)) for _ in range(5)], dim=1)  # the start, and four steps that add noise
    own = {key: draws[i] for i, key in enumerate(KEYS)}
    assert torch.equal(run.generate(KEYS, sampler, 5, part="test", noise=GivenNoise(own))[0].x, wanted)
    other = own | {KEYS[2]: draws[2].flip(0)}
    moved = run.generate(KEYS, sampler, 5, part="test", noise=GivenNoise(other))[0].x
    assert [torch.equal(a, b) for a, b in zip(moved, wanted, strict=True)] == [True, True, False, True]


def test_noise_from_outside_that_does_not_suffice_is_refused():
    sampler, run, draws = sampling({"kind": "walk", "rule": "ddpm-small"}), loaded(), torch.zeros(5, 1, 4, 4)
    for given in ({}, dict.fromkeys(KEYS, draws[:3]), dict.fromkeys(KEYS, torch.zeros(5, 1, 2, 2))):
        with pytest.raises(ValueError, match="sample"):
            run.generate(KEYS, sampler, 5, part="test", noise=GivenNoise(given))
