"""Schedules from formulas and tables: their ends, their spacing, and the theorem behind one of them."""

import math

import pytest
import torch

from difftables.config.sampling import Sampling
from difftables.diffusion import closed_schedules
from difftables.diffusion.closed_schedules import ALIGN_YOUR_STEPS, arctan, beta_sigma, beta_timesteps, log_snr, tabulated, time_even
from difftables.diffusion.level import Level, concatenate
from difftables.diffusion.schedule_file import check_schedule
from difftables.diffusion.training_schedules import exploding, linear
from difftables.sampling.sampling_schedules import SCHEDULES, first_schedule

NEW = ["log-snr", "time", "arctan", "beta-sigma", "beta-timesteps", "ays-sd", "ays-sdxl", "ays-video"]
EDM = exploding(40, 0.002, 80.0)
DDPM = linear(1000, 1e-4, 0.02)


@pytest.mark.parametrize("training", [EDM, DDPM], ids=["ve", "vp"])
@pytest.mark.parametrize("name", NEW)
@pytest.mark.parametrize("steps", [2, 3, 5, 10, 20])
def test_each_is_a_schedule_of_its_process_within_the_ends_of_training(name, steps, training):
    sampler = Sampling(solver={"kind": "walk", "rule": "ddim"}, schedule=name)
    found = first_schedule(sampler, steps, training, None, None)
    check_schedule(found, name)
    assert len(found) == steps + 1 and found.process == training.process
    assert found.sigma[0] <= training.sigma[0] * (1 + 1e-9)
    assert name == "arctan" or found.sigma[-2] >= training.sigma[-2] * (1 - 1e-9)
    assert name in SCHEDULES


def test_log_snr_is_geometric_and_time_is_that_of_the_linear_process():
    ratio = log_snr(EDM, 5).sigma[1:-1] / log_snr(EDM, 5).sigma[:-2]
    torch.testing.assert_close(ratio, torch.full((4,), (0.002 / 80) ** 0.25).double())
    # In the linear process log(1 + sigma^2) = 9.95 t^2 + 0.1 t: its root is even.
    rates = (0.1**2 + 2 * 19.9 * torch.log1p(time_even(DDPM, 6).sigma[:-1] ** 2)).sqrt()
    steps = rates[1:] - rates[:-1]
    torch.testing.assert_close(steps, steps.mean().expand(5))


@pytest.mark.parametrize(("steps", "variance"), [(4, 0.533539), (10, 0.782090)])
def test_arctan_keeps_cos_to_the_2n_of_a_gaussian(steps, variance):
    """c^2 cos^(2 N)(Theta / N) relative to c^2, Theta = arctan(80 / c), c = .5."""
    angle = torch.atan(arctan(EDM, steps, 0.5).sigma / 0.5)
    assert (angle[:-1] - angle[1:]).cos().square().prod().item() == pytest.approx(variance, abs=2e-6)
    assert math.cos(math.atan(160) / steps) ** (2 * steps) == pytest.approx(variance, abs=2e-6)


def test_arctan_reads_the_sigma_data_of_the_run():
    sampler = Sampling(solver={"kind": "walk", "rule": "ddim"}, schedule="arctan")
    found = first_schedule(sampler, 2, EDM, None, None, 1.0)
    assert found.sigma[1].item() == pytest.approx(math.tan(math.atan(80) / 2))


def test_quantiles_of_beta_are_symmetric_and_crowd_at_both_ends():
    found = beta_sigma(EDM, 5).sigma[:-1]
    assert (found[0].item(), found[-1].item()) == pytest.approx((80.0, 0.002))
    assert found[2].item() == pytest.approx((80 + 0.002) / 2)
    assert found[0] - found[1] < found[1] - found[2]
    chosen = beta_timesteps(1000, 5)
    assert chosen[0] == 0 and chosen[-1] == 999 and chosen[2] in (499, 500)
    assert chosen[1] == pytest.approx(999 - chosen[3], abs=1)


def test_timesteps_that_fall_together_are_moved_apart():
    assert beta_timesteps(12, 12) == list(range(12))
    found = beta_timesteps(30, 20)
    assert found == sorted(set(found)) and found[0] == 0 and found[-1] == 29
    with pytest.raises(ValueError, match="2 to 12 steps"):
        beta_timesteps(12, 13)


def test_a_table_is_itself_at_ten_steps_and_log_linear_between():
    wide = concatenate([Level.variance_exploding(torch.tensor([1e4, 1e-4])), Level.clean()])
    for name, table in ALIGN_YOUR_STEPS.items():
        torch.testing.assert_close(tabulated(wide, 10, name).sigma[:-1], torch.tensor(table, dtype=torch.float64))
    middle = tabulated(wide, 19, "sd").sigma
    assert middle[1].item() == pytest.approx((14.615 * 6.475) ** 0.5)
    assert tabulated(wide, 1, "sd").sigma[0].item() == pytest.approx(14.615)


def test_of_a_table_only_what_training_saw_is_used():
    found = tabulated(EDM, 10, "video").sigma
    assert found[0].item() == pytest.approx(80.0)  # not 700
    assert found[-2].item() == pytest.approx(0.034)
    narrow = concatenate([Level.variance_exploding(torch.tensor([0.03, 0.01])), Level.clean()])
    with pytest.raises(ValueError, match=r"^[^\n]*ays-video[^\n]*$"):
        tabulated(narrow, 3, "video")


@pytest.mark.parametrize("name", ["log_snr", "time_even", "beta_sigma"])
def test_a_schedule_with_two_ends_needs_two_steps(name):
    with pytest.raises(ValueError, match="at least 2 steps"):
        getattr(closed_schedules, name)(EDM, 1)
