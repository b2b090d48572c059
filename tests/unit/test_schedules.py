import pytest
import torch

from difftables.diffusion import subschedules, training_schedules
from difftables.diffusion.betas import betas_of, schedule_from_betas
from difftables.diffusion.level import Level
from difftables.diffusion.schedule_file import check_schedule, read_schedules, write_schedules


def ddpm(index):
    return training_schedules.linear(1000, 1e-4, 0.02).alpha_bar.flip(0)[1:][index].item()


@pytest.mark.parametrize(
    ("index", "value"), [(0, 0.9999), (99, 0.897018), (249, 0.524085), (499, 0.0785872), (749, 0.00335055), (999, 4.03583e-5)]
)
def test_ddpm_training_levels(index, value):
    assert ddpm(index) == pytest.approx(value, rel=1e-5)


@pytest.mark.parametrize(("index", "value"), [(0, 0.999999), (499, 0.286158), (999, 0.00662264)])
def test_wavegrad_training_levels(index, value):
    levels = training_schedules.linear(1000, 1e-6, 1e-2)
    assert levels.alpha_bar.flip(0)[1:][index].item() == pytest.approx(value, rel=1e-5)


def test_fibonacci_schedule_of_25_steps():
    """Sum of the first n rates is beta_{n+1} - beta_1; from 1e-6, 2e-6 the product is the one of the shipped schedule."""
    betas = betas_of(training_schedules.fibonacci(27, 1e-6, 2e-6))
    assert betas[:25].sum().item() == pytest.approx((betas[26] - betas[1]).item(), rel=1e-9)
    assert betas[:25].sum().item() == pytest.approx(0.317809, abs=1e-6)
    assert schedule_from_betas(betas[:25]).alpha_bar[0].item() == pytest.approx(0.718505849469359, rel=1e-8)


@pytest.mark.parametrize(
    ("alpha_bar", "index"),
    [(1.0, 0), (0.9999, 0), (0.9998, 1), (0.5, 259), (0.1, 475), (1e-3, 825), (4.0358e-5, 999), (1e-6, 999)],
)
def test_interval_lookup(training, alpha_bar, index):
    assert subschedules.timestep(Level.variance_preserving(torch.tensor([alpha_bar], dtype=torch.float64)), training).item() == index


def test_every_training_level_finds_itself(training):
    assert torch.equal(subschedules.timestep(training[:-1], training), torch.arange(999, -1, -1))


@pytest.mark.parametrize(
    ("steps", "top", "alpha_bar"),
    [(10, 900, 2.7024e-4), (20, 950, 1.0604e-4), (50, 980, 5.9038e-5), (100, 990, 4.8370e-5), (1000, 999, 4.0358e-5)],
)
def test_strided_is_the_linear_subsequence_of_ddim(training, steps, top, alpha_bar):
    found = subschedules.strided(training, steps)
    assert len(found) == steps + 1
    assert found.alpha_bar[0].item() == pytest.approx(alpha_bar, rel=1e-4)
    index = subschedules.timestep(found[:-1], training)
    assert index.tolist() == list(range(0, 1000, 1000 // steps))[::-1]
    assert index[0] == top


def test_strided_has_as_many_steps_as_asked_where_the_ddim_code_has_one_more(training):
    assert subschedules.timestep(subschedules.strided(training, 3)[:-1], training).tolist() == [666, 333, 0]


@pytest.mark.parametrize("steps", [0, -1, 1001])
def test_strided_refuses_impossible_step_counts(training, steps):
    with pytest.raises(ValueError, match=r"1 \.\. 1000"):
        subschedules.strided(training, steps)


def test_rates_of_pairs_of_levels_give_back_the_rates():
    betas = torch.linspace(1e-4, 0.3, 50, dtype=torch.float64)
    torch.testing.assert_close(betas_of(schedule_from_betas(betas)), betas)


def test_schedule_file_round_trip_keeps_every_bit(training, tmp_path):
    found = {3: subschedules.strided(training, 3), 7: subschedules.strided(training, 7)}
    write_schedules(tmp_path / "s.csv", found)
    again = read_schedules(tmp_path / "s.csv")
    assert again.keys() == found.keys()
    for steps in found:
        assert torch.equal(again[steps].alpha, found[steps].alpha)
        assert torch.equal(again[steps].std, found[steps].std)


def test_schedule_file_of_rates_alone(tmp_path):
    (tmp_path / "s.csv").write_text("beta\n0.1\n0.2\n0.5\n")
    (schedule,) = read_schedules(tmp_path / "s.csv").values()
    assert schedule.alpha_bar[0].item() == pytest.approx(0.9 * 0.8 * 0.5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("beta\n0.1\n1.5\n", r"beta_1 = 1\.5 is outside \(0, 1\)"),
        ("beta\n0.1\n-0.2\n", "outside"),
        ("alpha,std\n0.9,0.1\n0.5,0.8\n1,0\n", "level 1"),
        ("alpha,std\n0.5,0.8\n0.9,0.1\n", "last level"),
        ("sigma\n3\n", "alpha,std or beta"),
        ("", "alpha,std or beta"),
        ("beta\nx\n", "could not convert"),
        ("steps,alpha,std\n5,0.5,0.8\n5,1,0\n", "2 levels.*5"),
    ],
)
def test_bad_schedule_files_are_named(tmp_path, text, message):
    (tmp_path / "bad.csv").write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        read_schedules(tmp_path / "bad.csv")
    assert "bad.csv" in str(error.value)
    assert "\n" not in str(error.value)


def test_levels_that_do_not_match_are_refused():
    with pytest.raises(ValueError, match="one length"):
        Level(torch.ones(3), torch.ones(2))


def test_the_shipped_schedules_of_wavegrad():
    """alpha_bar at the end of the 6, 7 and 25 steps of the public port; 25 are Fibonacci numbers from 1e-6 and 2e-6."""
    from pathlib import Path

    found = read_schedules(Path("workflow/speech/wavegrad_shipped.csv"))
    assert {n: round(s.alpha_bar[0].item(), 6) for n, s in found.items()} == {6: 0.928508, 7: 0.92852, 25: 0.718506}
    for steps, schedule in found.items():
        check_schedule(schedule, f"shipped {steps}")
    torch.testing.assert_close(betas_of(found[25]), betas_of(training_schedules.fibonacci(25, 1e-6, 2e-6)), rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("steps", [100, 1000, 4000])
def test_cosine_rates_against_diffusers(steps):
    """Its squaredcos_cap_v2, in float32."""
    from diffusers import DDPMScheduler

    theirs = DDPMScheduler(num_train_timesteps=steps, beta_schedule="squaredcos_cap_v2").betas
    torch.testing.assert_close(betas_of(training_schedules.cosine(steps)).float(), theirs, rtol=1e-4, atol=1e-7)


def test_section_counts_stand_in_place_of_a_samplers_schedule():
    """Sections 2 and 3 of T = 10: timesteps 0, 4 and 5, 7, 9."""
    from difftables.config.sampling import Sampling
    from difftables.config.solvers import Walk
    from difftables.sampling.sampling_schedules import first_schedule

    training = training_schedules.cosine(10)
    found = first_schedule(Sampling(solver=Walk(kind="walk", rule="ddim"), schedule="even", sections=[2, 3]), 5, training, None, None)
    torch.testing.assert_close(found.alpha_bar[:-1].flip(0), training.alpha_bar[:-1].flip(0)[[0, 4, 5, 7, 9]])
