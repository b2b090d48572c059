"""Schedules that hold more than levels: their files, what reaches the solver and the net, and ends that are not clean."""

import pytest
import torch
from test_solvers import loaded, sampling

from difftables.config.sampling import PowerLaw, Sampler
from difftables.diffusion import subschedules
from difftables.diffusion.corruptions import scale
from difftables.diffusion.denoiser import Counted
from difftables.diffusion.level import Level, concatenate
from difftables.diffusion.planned_schedule import PlannedSchedule, between, with_conditioned_levels
from difftables.diffusion.schedule_file import numbers_of, read_schedules, write_schedules
from difftables.diffusion.training_schedules import TRAINING_SCHEDULES
from difftables.sampling.rules import ddim
from difftables.sampling.solvers import SOLVERS
from difftables.sampling.weighted import base_weights, weighted

SIGMA = torch.tensor([20.0, 5.0, 1.3, 0.4, 0.06], dtype=torch.float64)
VE = concatenate([Level.variance_exploding(SIGMA), Level.clean()])
VP = concatenate([Level.variance_preserving(1 / (1 + SIGMA**2)), Level.clean()])


def denoise(x, level):
    """A mixture's denoiser, roughly: neither linear in x nor constant in the level."""
    u, sigma = x / level.like(x).alpha, level.like(x).std / level.like(x).alpha
    return torch.tanh(u / (0.3 + sigma**2)) / (1 + 0.1 * sigma)


def planned(schedule=VE, order=2):
    replaced = Level(schedule.alpha[:-1] * 0.99, schedule.std[:-1] * 1.05)
    return PlannedSchedule.of(schedule, replaced, torch.linspace(-0.5, 1.4, 5 * order, dtype=torch.float64).reshape(5, order) / 3)


def run(name, schedule, **further):
    x = schedule.std[0] * torch.randn(3, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return SOLVERS[name](x, schedule, denoise=denoise, corrupt=scale, randn=None, **further)


def test_a_file_keeps_every_bit_of_what_a_schedule_holds(tmp_path):
    """Schedules with weights, with conditioned levels, with nothing more, and with a noisy end, in one file."""
    end = Level.variance_exploding(torch.tensor([3.0, 0.5, 0.01]))
    two = concatenate([Level.variance_exploding(torch.tensor([4.0, 0.7])), Level.clean()])
    written = {5: planned(), 2: PlannedSchedule.of(two, Level.variance_exploding(torch.tensor([4.1, 0.6]))), 1: VE[3:5], 3: VE[2:]}
    written[4] = concatenate([Level.variance_exploding(torch.tensor([9.0, 5.0])), end])
    write_schedules(tmp_path / "s.csv", written)
    again = read_schedules(tmp_path / "s.csv")
    assert list(again) == [5, 2, 1, 3, 4]
    for steps, schedule in written.items():
        assert all(map(torch.equal, numbers_of(again[steps]), numbers_of(schedule))), steps
        assert len(numbers_of(again[steps])) == len(numbers_of(schedule))
        assert isinstance(again[steps], PlannedSchedule) == isinstance(schedule, PlannedSchedule)
    assert again[4].std[-1] > 0 and again[3].std[-1] == 0


HEAD = "alpha,std,"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (HEAD + "ends\n1,3,lowest\n1,0,lowest\n", "std = 0"),
        (HEAD + "ends\n1,3,clean\n1,0.1,clean\n", "ends"),
        (HEAD + "ends\n1,3,dirty\n1,0.1,dirty\n", "dirty"),
        (HEAD + "ends\n1,3,clean\n1,0,lowest\n", "ends"),
        (HEAD + "weight_1\n1,3,2\n1,0,\n", "weight_1"),
        (HEAD + "weight_0\n1,3,2\n1,1,\n1,0,\n", "level 1"),
        (HEAD + "weight_0\n1,3,2\n1,0,1\n", "level 1"),
        (HEAD + "weight_0\n1,3,inf\n1,0,\n", "weight_0"),
        (HEAD + "weight_0\n1,3,x\n1,0,\n", "x"),
        (HEAD + "conditioned_std\n1,3,2\n1,0,\n", "conditioned_alpha"),
        (HEAD + "conditioned_alpha,conditioned_std\n1,3,1,-2\n1,0,,\n", "conditioned_std"),
        ("beta,weight_0\n0.1,2\n0.2,\n", "alpha"),
    ],
)
def test_bad_columns_are_one_line_that_names_the_file(tmp_path, text, named):
    (tmp_path / "bad.csv").write_text(text)
    with pytest.raises(ValueError, match=named) as error:
        read_schedules(tmp_path / "bad.csv")
    assert "bad.csv" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("schedule", [VE, VP], ids=["ve", "vp"])
@pytest.mark.parametrize("order", [1, 2, 3])
def test_weights_begin_as_the_base_to_the_bit(schedule, order):
    common = {"final_order": "lowered", "threshold": None, "first": None, "order": order}
    clean = {"prediction": "clean", "second": "midpoint", "second_difference": "whole"}
    for prediction, name, further in (("clean", "dpmpp", common | clean), ("noise", "lms", common | {"final_order": "kept"})):
        weights = base_weights(schedule, order, prediction)
        torch.testing.assert_close(weights.sum(dim=1), torch.ones(5, dtype=torch.float64))
        found = run("weighted", schedule, weights=weights, prediction=prediction, order=order)
        assert torch.equal(found, run(name, schedule, **further))


def test_weights_of_another_size_are_refused():
    with pytest.raises(ValueError, match="order 3"):
        run("weighted", VE, weights=torch.ones(5, 2), prediction="clean", order=3)
    with pytest.raises(ValueError, match="weights"):
        PlannedSchedule.of(VE, weights=torch.ones(4, 2))


def test_ddim_without_noise_is_the_root_of_the_square_to_the_bit():
    std = torch.rand(10_000, generator=torch.Generator().manual_seed(1), dtype=torch.float64) ** 3
    levels = Level.variance_exploding(torch.cat([std, torch.zeros(1)]))
    assert torch.equal(ddim(levels, levels)[0], (levels.std**2).sqrt())
    assert torch.equal(ddim(levels, levels)[1], torch.zeros_like(levels.std))


@pytest.mark.parametrize("schedule", [VE, VP], ids=["ve", "vp"])
def test_a_conditioned_level_is_what_the_net_receives_and_x_over_alpha_stays(schedule):
    sigma = schedule.sigma[:-1] * torch.tensor([0.9, 1.2, 1.0, 0.7, 1.1], dtype=torch.float64)
    other = Level.variance_exploding(sigma) if schedule is VE else Level.variance_preserving(1 / (1 + sigma**2))
    calls = []

    def net(x, level):
        calls.append((x / level.like(x).alpha, level))
        return x

    x = torch.randn(1, 3, dtype=torch.float64)
    for i in range(5):
        with_conditioned_levels(net, schedule, other)(x, schedule[i])
        torch.testing.assert_close(calls[-1][1].sigma, other.sigma[i : i + 1])
        torch.testing.assert_close(calls[-1][1].alpha, other.alpha[i : i + 1])
        torch.testing.assert_close(calls[-1][0], x / schedule.alpha[i])
    same = with_conditioned_levels(net, schedule, schedule[:-1])
    same(x, schedule[2])
    assert torch.equal(calls[-1][0], x / schedule.alpha[2]) and torch.equal(calls[-1][1].std, schedule.std[2:3])
    middle = (schedule.sigma[1] * schedule.sigma[2]).sqrt()
    level = Level(torch.ones(1).double(), middle[None])
    with_conditioned_levels(net, VE, Level.variance_exploding(sigma))(x, level)
    # Half way in log sigma: the geometric mean of factors 1.2 and 1.
    torch.testing.assert_close(calls[-1][1].std, 1.2**0.5 * middle[None])


def test_interpolation_is_exact_at_its_places_and_constant_beyond():
    place, values = torch.tensor([0.0, 1.0, 3.0]), torch.tensor([2.0, -1.0, 5.0])
    found = between(place, values, torch.tensor([-1.0, 0.0, 0.5, 1.0, 2.5, 3.0, 9.0]))
    assert found.tolist() == [2.0, 2.0, 0.5, -1.0, 3.5, 5.0, 5.0]
    assert between(place[:1], values[:1], torch.tensor([7.0, -7.0])).tolist() == [2.0, 2.0]


def test_what_a_file_holds_reaches_samples(tmp_path):
    """Weights 1, 0 are DDIM; others are not; a conditioned level is the level of the net's call; what does not fit is refused."""
    keys, walk, summed = [("sample", 0, i) for i in range(3)], {"kind": "walk", "rule": "ddim"}, {"kind": "weighted", "order": 2}
    files = {name: tmp_path / f"{name}.csv" for name in ("plain", "one", "other", "conditioned")}
    one = torch.tensor([[1.0, 0.0]] * 5, dtype=torch.float64)
    replaced = Level(VP.alpha[:-1] * 1.001, VP.std[:-1] * 0.8)
    schedules = {
        "plain": VP,
        "one": PlannedSchedule.of(VP, weights=one),
        "other": planned(VP),
        "conditioned": PlannedSchedule.of(VP, replaced),
    }
    for name, schedule in schedules.items():
        write_schedules(files[name], {5: schedule})

    def draw(solver, name):
        run = loaded()
        run.denoise = Counted(run.denoise)
        x = run.generate(keys, sampling(solver, schedule=str(files[name]), clip=None), 5, files[name], part="test")[0].x
        return x, run.denoise.levels

    plain = draw(walk, "plain")[0]
    torch.testing.assert_close(draw(summed, "one")[0], plain)
    assert not torch.allclose(draw(summed, "other")[0], plain, atol=1e-3)
    x, levels = draw(walk, "conditioned")
    assert not torch.allclose(x, plain, atol=1e-3)
    torch.testing.assert_close(torch.cat([level.std[:1] for level in levels]), replaced.std)
    for solver, name in ((walk, "one"), (summed, "plain"), (summed, "conditioned")):
        with pytest.raises(ValueError, match=r"^[^\n]*weights[^\n]*$"):
            draw(solver, name)


@pytest.mark.parametrize(
    ("schedule", "solver", "fits"),
    [
        ("s4s", {"kind": "weighted"}, True), ("my.csv", {"kind": "weighted"}, True), ("ld3", {"kind": "weighted"}, False),
        ("even", {"kind": "weighted"}, False), ("s4s", {"kind": "walk", "rule": "ddim"}, False), ("ld3", {"kind": "heun"}, True),
    ],
)  # fmt: skip
def test_a_solver_with_weights_needs_a_schedule_that_has_some(schedule, solver, fits):
    if fits:
        assert Sampler.model_validate({"solver": solver, "schedule": schedule}).schedule == schedule
        return
    with pytest.raises(ValueError, match="weights"):
        Sampler.model_validate({"solver": solver, "schedule": schedule})


def test_only_schedules_between_two_ends_take_a_grid():
    given = {"solver": {"kind": "heun"}, "grid": {"lowest": 0.002, "highest": 80.0, "clean": False}}
    for schedule in ("power-law", "dmn", "ld3", "ld3-levels"):
        assert Sampler.model_validate(given | {"schedule": schedule}).grid.clean is False
    for schedule in ("even", "searched"):
        with pytest.raises(ValueError, match="grid"):
            Sampler.model_validate(given | {"schedule": schedule})


def test_a_power_law_that_does_not_end_clean_has_a_level_more():
    """EDM-era tables: N + 1 stamps down to 0.002, no step to 0; the same stamps as those of N + 1 steps that end clean."""
    training = TRAINING_SCHEDULES["exploding"](100, lowest=0.002, highest=80.0)
    found = subschedules.power_law(training, 6, **dict(PowerLaw(clean=False)))
    assert len(found) == 7 and found.sigma[[0, -1]].tolist() == pytest.approx([80.0, 0.002])
    torch.testing.assert_close(found.sigma, subschedules.power_law(training, 7).sigma[:-1])
    assert subschedules.power_law(training, 1, clean=False).sigma.tolist() == pytest.approx([80.0, 0.002])
    x = 80 * torch.ones(2, 3, dtype=torch.float64)
    down = weighted(
        x, found, denoise=denoise, corrupt=scale, randn=None, weights=base_weights(found, 3, "clean"), prediction="clean", order=3
    )
    assert torch.isfinite(down).all()
