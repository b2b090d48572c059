"""Levels of each sample's own: the residual level, a net without a level, the adaptive-step SDE, and the twins of all three."""

import math

import pytest
import torch
from test_solvers import Shapes, loaded, sampling

from difftables.common.seeds import SampleNoise
from difftables.config.sampling import Sampler
from difftables.diffusion.corruptions import scale
from difftables.diffusion.denoiser import CONDITIONINGS, PRECONDITIONINGS, Counted, KeptPrediction, OfBatch, precondition
from difftables.diffusion.level import Level, same_process
from difftables.diffusion.training_schedules import TRAINING_SCHEDULES
from difftables.estimation import level_sources
from difftables.estimation.adjustment import Stretch, stretched
from difftables.estimation.residual import LossCurve, ResidualLevel, measure_loss_curve, residual_variance
from difftables.sampling import reverse_sde, shards
from difftables.sampling.loaded_run import LoadedRun
from difftables.sampling.visited import other_places
from difftables.search import grids
from difftables.search.frozen import adjusted, frozen

VP = TRAINING_SCHEDULES["linear"](100, first=1e-3, last=0.2)
VE = TRAINING_SCHEDULES["exploding"](100, lowest=0.02, highest=20.0)
C = 0.5  # std of Gaussian data
SDE = {"vp": {"kind": "adaptive-sde", "path": "linear"}, "ve": {"kind": "adaptive-sde", "path": "exploding"}}


def gaussian(x, level, **_):
    """The exact denoiser of N(0, C^2) in each dimension: C^2 u / (C^2 + sigma^2), u = x / alpha."""
    at = level.like(x)
    return C**2 * x / at.alpha / (C**2 + (at.std / at.alpha) ** 2)


def mmse(sigma, d):
    return d * C**2 * sigma**2 / (C**2 + sigma**2)


def noisy(level, count, d, seed=0):
    """Data and its noisy version at a level, [1]."""
    y, n = torch.randn(2, count, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return C * y, level.alpha * C * y + level.std * n


def exact_curve(d):
    sigma = torch.logspace(2, -4, 2000, dtype=torch.float64)
    return LossCurve(sigma, mmse(sigma, d))


@pytest.mark.parametrize("schedule", [VP, VE], ids=["vp", "ve"])
@pytest.mark.parametrize("place", [20, 50, 80])
def test_the_residual_falls_short_of_the_noise_by_the_loss(schedule, place):
    """E|x - alpha D|^2 = d std^2 - alpha^2 mmse, so that the corrected residual is unbiased and the plain one is not."""
    level, d, count = schedule[place], 16, 20000
    _, x = noisy(level, count, d)
    squares = (x - level.alpha * gaussian(x, level)).square().sum(1)
    short = (level.alpha**2 * mmse(level.sigma, d)).item()
    error = squares.std().item() / count**0.5
    assert squares.mean().item() == pytest.approx(d * level.std.item() ** 2 - short, abs=5 * error)
    if place == 80:
        assert short > 10 * error
    found = residual_variance(x, gaussian(x, level), level, exact_curve(d))
    assert found.mean().item() == pytest.approx(level.std.item() ** 2, abs=5 * error / d)


def test_the_true_level_is_the_fixed_point_where_the_sample_has_its_mean_residual():
    """A sample with |x|^2 = d (C^2 + sigma^2) gives back the sigma that D was asked for, and no other one."""
    d, curve = 64, exact_curve(64)
    for sigma in (0.05, 0.5, 5.0):
        level = Level.variance_exploding(torch.tensor([sigma]).double())
        x = torch.full((1, d), math.sqrt(C**2 + sigma**2)).double()
        assert residual_variance(x, gaussian(x, level), level, curve).item() == pytest.approx(sigma**2, rel=1e-5)
        other = Level.variance_exploding(torch.tensor([1.3 * sigma]).double())
        found = residual_variance(x, gaussian(x, other), other, curve).item() ** 0.5
        assert abs(math.log(found / sigma)) < math.log(1.3)  # nearer to the truth than what the net was given


@pytest.mark.parametrize("schedule", [VP, VE], ids=["vp", "ve"])
def test_the_spread_of_the_residual_level_reaches_its_floor_for_clean_data(schedule):
    """Data at 0: the level is the sample's own norm, and the sd of its log is 1 / sqrt(2 d) up to 1 / d."""
    d, count, level = 64, 20000, schedule[40]
    x = level.std * torch.randn(count, d, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    variance = residual_variance(
        x, torch.zeros_like(x), level, LossCurve(torch.tensor([9.0, 1e-3]).double(), torch.full((2,), 1e-12).double())
    )
    assert (0.5 * variance.log()).std().item() == pytest.approx((2 * d) ** -0.5, rel=0.05)


def test_a_measured_loss_curve_is_the_exact_one():
    d, levels = 8, VE[torch.arange(0, 100, 10)]
    clean = C * torch.randn(4000, d, generator=torch.Generator().manual_seed(2))
    curve = measure_loss_curve(gaussian, scale, clean, None, levels, batch=999)
    torch.testing.assert_close(curve.loss, mmse(levels.sigma, d), rtol=0.05, atol=0)
    assert curve.evaluations == 4000 * 10
    between = (levels.sigma[3] * levels.sigma[4]).sqrt()[None]
    assert curve(between).item() == pytest.approx((curve.loss[3] * curve.loss[4]).sqrt().item())
    below = levels.sigma[-1:] / 10
    assert curve(below).item() == pytest.approx(curve.loss[-1].item() / 100)
    assert curve(10 * levels.sigma[:1]).item() == pytest.approx(curve.loss[0].item())
    with pytest.raises(ValueError, match="two levels"):
        measure_loss_curve(gaussian, scale, clean, None, levels[:1])


def test_stretched_levels_keep_their_shape_and_their_end():
    levels = [VE[i] for i in (0, 40, 70, 99)] + [Level.clean()]
    sigma = torch.tensor([5.0, 0.5, 0.01]).double()
    found = stretched(levels, sigma)
    torch.testing.assert_close(found[0].sigma, sigma)
    torch.testing.assert_close(found[3].sigma[:2], VE[99].sigma.expand(2))
    logs = torch.stack([level.sigma.log() for level in found[:4]])
    shares = (logs - logs[-1]) / (logs[0] - logs[-1])
    wanted = (VE.sigma[[0, 40, 70, 99]].log() - VE.sigma[99].log()) / (VE.sigma[0] / VE.sigma[99]).log()
    torch.testing.assert_close(shares, wanted[:, None].expand(4, 3))
    assert (logs[1:] < logs[:-1]).all()  # also of the sample that is cleaner than the last level
    assert found[-1].std.tolist() == [0, 0, 0]
    assert stretched(levels[3:], sigma)[0].sigma.tolist() == pytest.approx(sigma.tolist())
    preserved = stretched([VP[10], VP[60], Level.clean()], sigma)
    torch.testing.assert_close(preserved[0].alpha ** 2 + preserved[0].std ** 2, torch.ones(3).double())


def residual_run(monkeypatch, schedule, **changes):
    """A run with the exact denoiser of Gaussian data, whose residual level has the exact loss curve."""
    run = loaded(**changes)
    run.denoise, run.training = gaussian, schedule
    monkeypatch.setitem(level_sources.ESTIMATES, "residual", lambda *_: ResidualLevel(exact_curve(16), schedule))
    monkeypatch.setattr(type(run), "prior", lambda self, randn, like, level: level.like(like).std * randn(like))
    return run


ADAPTIVE = {
    "residual, refit": (VP, {"adjust": {"first_beta": 1e-4}}, sampling({"kind": "walk", "rule": "ddim"}, adapt="residual", clip=None)),
    "residual, stretched": (VE, {}, sampling({"kind": "walk", "rule": "ddpm-small"}, adapt="residual", remaining="stretch", clip=None)),
    "adaptive SDE, vp": (VP, {}, sampling(SDE["vp"], clip=None)),
    "adaptive SDE, ve": (VE, {}, sampling(SDE["ve"], clip=None)),
}


def stepping(schedule, sampler):
    return sampler.model_copy(update={"schedule": "power-law"}) if schedule is VE else sampler


@pytest.fixture(params=ADAPTIVE)
def adaptive(request, monkeypatch):
    """A run, its adaptive sampler, and a step count."""
    schedule, changes, sampler = ADAPTIVE[request.param]
    steps = 6 if sampler.solver.walks else 1
    return residual_run(monkeypatch, schedule, batch=64, **changes), stepping(schedule, sampler) if steps > 1 else sampler, steps


def keys_of(count):
    return [("sample", seed, index) for seed in (0, 1) for index in range(count // 2)]


def test_no_sample_depends_on_its_batch(adaptive):
    """Alone or among others: the same bits, the same calls, the same levels."""
    run, sampler, steps = adaptive
    together, _ = run.generate(keys_of(8), sampler, steps, part="test")
    run.batch = 3
    apart, _ = run.generate(keys_of(8), sampler, steps, part="test")
    assert torch.equal(together.x, apart.x)
    assert together.calls == apart.calls
    assert all(torch.equal(a.std, b.std) for a, b in zip(together.visited, apart.visited, strict=True))
    assert together.evaluations == apart.evaluations == sum(together.calls)


def test_a_frozen_twin_has_one_level_for_all_and_a_shuffled_twin_the_same_levels_in_other_hands(adaptive):
    run, sampler, steps = adaptive
    keys = keys_of(8)
    own, _ = run.generate(keys, sampler, steps, part="test")
    shuffled = sampler.model_copy(update={"shuffled": True})
    twin, _ = run.generate(keys, shuffled, steps, part="test")
    path = torch.stack([level.std for level in own.visited])
    walked = torch.stack([level.std for level in twin.visited])
    if len(walked) > len(path):
        path = torch.cat([path, path[-1:].expand(len(walked) - len(path), -1)])
    torch.testing.assert_close(walked, path[:, other_places(keys)], rtol=0, atol=0)
    assert not torch.equal(own.x, twin.x)
    assert twin.evaluations == sum(own.calls) + sum(twin.calls)  # what found the levels is paid, but is no NFE of a chain
    run.batch = 3
    assert torch.equal(run.generate(keys, shuffled, steps, part="test")[0].x, twin.x)
    schedule, cost = frozen(run, sampler, 5 if steps == 1 else steps, frozen_samples=8, seed=0)
    assert len(schedule) == (6 if steps == 1 else 7) and cost["network_evaluations"] > 0
    assert (schedule.sigma[1:] < schedule.sigma[:-1]).all()


def test_the_mean_schedule_is_the_mean_of_log_sigma(monkeypatch):
    """VE, two samples that step from (9, 4) and from (1, 1/4): 3 and 1."""
    sigma = torch.tensor([[9.0, 1.0], [4.0, 0.25]]).double()
    schedule = grids.mean_schedule([Level.variance_exploding(each) for each in sigma])
    torch.testing.assert_close(schedule.std, torch.tensor([3.0, 1.0, 0.0]).double())
    # Three steps and two, brought to three: the shorter one's middle lies half-way in log sigma.
    levels = [Level.variance_exploding(torch.tensor(each).double()) for each in ([8.0, 4.0], [4.0, 1.0], [1.0, 1.0])]
    found = grids.of_steps([*levels, levels[-1]], 3)
    torch.testing.assert_close(torch.stack([each.std for each in found]), torch.tensor([[8, 4.0], [4, 2], [1, 1]]).double())


def test_what_a_row_freezes_is_the_sampler_that_it_names():
    row = {"solver": {"kind": "sde-heun", "path": "linear"}, "schedule": "frozen", "clip": 1.0}
    named = Sampler.model_validate(row | {"mean_of": {"solver": SDE["vp"], "schedule": "even", "adapt": None}})
    assert (adjusted(named).solver.kind, adjusted(named).schedule, adjusted(named).adapt) == ("adaptive-sde", "even", None)
    plain = adjusted(Sampler.model_validate(row))
    assert (plain.solver.kind, plain.schedule, plain.adapt) == ("sde-heun", "fitted", "estimator")
    with pytest.raises(ValueError, match="mean_of"):
        Sampler.model_validate(row | {"schedule": "even", "mean_of": {}})
    with pytest.raises(ValueError, match="shuffled"):
        Sampler.model_validate(row | {"schedule": "even", "shuffled": True})


def test_shuffling_goes_round_each_seed_whatever_the_order_of_the_keys():
    keys = keys_of(12)
    others = other_places(keys)
    assert sorted(others) == list(range(12)) and all(i != other for i, other in enumerate(others))
    assert all(keys[i][1] == keys[other][1] for i, other in enumerate(others))
    turned = keys[::-1]
    assert {turned[i]: turned[other] for i, other in enumerate(other_places(turned))} == {keys[i]: keys[o] for i, o in enumerate(others)}
    with pytest.raises(ValueError, match="only one"):
        other_places([("sample", 0, 0)])


def test_the_residual_costs_no_call_where_the_net_is_asked_about_the_same_sample():
    """After the noise the prediction serves estimate and step; before the noise the mean is another sample, and costs a call."""
    calls = {}
    for on in ("after_noise", "before_noise"):
        counted = Counted(gaussian)
        denoise = KeptPrediction(OfBatch(counted, None))
        follow = Stretch(ResidualLevel(exact_curve(4), VE), on=on)
        x = torch.randn(3, 4, generator=torch.Generator().manual_seed(0)).double()
        follow(x + 1, x, [VE[30], VE[60], Level.clean()], denoise=denoise)
        denoise(x, VE[30])
        calls[on] = counted.calls
        assert follow.evaluations == 0  # no estimator was asked
    assert calls == {"after_noise": 1, "before_noise": 2}


@pytest.mark.parametrize("process", SDE)
def test_the_adaptive_sde_counts_rejections_and_asks_nothing_for_samples_that_have_arrived(process):
    """Two calls an attempt and one prediction: all odd; taken steps are in the record, rejected ones only in NFE."""
    schedule, count = {"vp": VP, "ve": VE}[process], 40
    counted, taken = Counted(gaussian), []
    randn = SampleNoise([("sde", i) for i in range(count)])
    start = schedule[0].expand(count).like(torch.empty(count, 6)).std * randn(torch.empty(count, 6))
    arguments = {"training": schedule, "rates": reverse_sde.SONG, "path": SDE[process]["path"], "absolute": 0.0078, "first": 0.3}
    found = reverse_sde.adaptive_sde(
        start, schedule, denoise=OfBatch(counted, None), corrupt=scale, randn=randn, relative=0.02,
        record=lambda samples, level: taken.append(len(samples)), **arguments,
    )  # fmt: skip
    calls = counted.by_sample(count)
    assert (calls % 2 == 1).all() and calls.min() < calls.max()
    assert counted.evaluations == calls.sum() and counted.calls == calls.max()
    rejected = calls.sum().item() - 2 * (sum(taken) - count) - count
    assert rejected > 0 and rejected % 2 == 0
    assert found.std().item() == pytest.approx(C, rel=0.2)
    with pytest.raises(ValueError, match="limit"):
        reverse_sde.adaptive_sde(start, schedule, denoise=gaussian, corrupt=scale, randn=randn, relative=0.02, limit=3, **arguments)


def test_one_wild_sample_does_not_make_others_take_small_steps():
    """The norm of the error is each sample's, not the batch's."""
    noise = [("wild", i) for i in range(4)]
    start = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))

    def drawn(scaled):
        counted = Counted(lambda x, level, **_: torch.where(x[:, :1].abs() > 5, torch.sin(40 * x), gaussian(x, level)))
        x = start.clone()
        x[0] *= scaled
        found = reverse_sde.adaptive_sde(
            x, VP, denoise=OfBatch(counted, None), corrupt=scale, randn=SampleNoise(noise), training=VP, rates=reverse_sde.SONG,
            path="linear", relative=0.05, absolute=0.0078, first=0.01,
        )  # fmt: skip
        return found[1:], counted.by_sample(4)[1:]

    tame, wild = drawn(1), drawn(30)
    assert torch.equal(tame[0], wild[0]) and torch.equal(tame[1], wild[1])


def test_fixed_steps_of_the_sde_converge_to_the_variance_of_the_data():
    """Gaussian data: many steps and the prediction give C^2 s^2 / (C^2 + s^2) less than C^2; s is small at the last level."""
    schedule = torch.linspace(0, 99, 60).long()
    levels = [VE[i] for i in schedule.tolist()] + [Level.clean()]
    randn = SampleNoise([("fixed", i) for i in range(2000)])
    counted = Counted(gaussian)
    x = VE[0].std.float() * randn(torch.empty(2000, 4))
    found = reverse_sde.sde_heun(
        x, levels, denoise=OfBatch(counted, None), corrupt=scale, randn=randn, training=VE, rates=reverse_sde.SONG, path="exploding"
    )
    assert found.var().item() == pytest.approx(C**2, rel=0.06)
    assert counted.calls == 2 * 60 - 1


def test_a_fixed_step_of_no_length_costs_nothing():
    levels = [VP[10].expand(2), Level(*(torch.cat([getattr(VP[i], name) for i in (10, 50)]) for name in ("alpha", "std"))), Level.clean(2)]
    counted, x = Counted(gaussian), torch.ones(2, 3)
    reverse_sde.sde_heun(
        x, levels, denoise=OfBatch(counted, None), corrupt=scale, randn=SampleNoise([("none", 0), ("none", 1)]), training=VP,
        rates=reverse_sde.SONG, path="linear",
    )  # fmt: skip
    assert counted.by_sample(2).tolist() == [1, 3]


def test_diffusions_agree_with_the_paths_that_samples_start_on():
    from difftables.sampling import ode

    for name, schedule in (("linear", VP), ("exploding", VE)):
        path, diffusion = ode.PATHS[name](schedule), reverse_sde.DIFFUSIONS[name](schedule)
        times = torch.tensor([path.end, 0.1, 0.5, 1.0]).double()
        assert diffusion.sigma(times).tolist() == pytest.approx([path.sigma(t) for t in times.tolist()])
        assert diffusion.time(diffusion.sigma(times)).tolist() == pytest.approx(times.tolist(), rel=1e-6)
        assert diffusion.fading(times).tolist() == pytest.approx([path.fading(t) for t in times.tolist()])
        # g^2 = alpha^2 d(sigma^2) / dt of a linear SDE, whatever its drift.
        squared = [2 * path.sigma(t) * path.slope(t) * path.at(t).alpha.item() ** 2 for t in times.tolist()]
        assert diffusion.squared(times).tolist() == pytest.approx(squared)
        assert (diffusion.process, diffusion.end) == (path.process, path.end)


def test_calls_of_a_chain_are_counted_by_sample():
    """Mean 4, sd sqrt(((1)^2 + 1 + 1 + 9) / 3) = 2 of 3, 3, 3, 7; level spread of two shards as of one."""
    logs = torch.tensor([[1.0, 1.0, 1.0, 1.0], [0.5, 0.0, 0.5, 0.0], [-1.0, -1.0, -2.0, -2.0]]).double()

    def shard(part, calls):
        return shards.Shard(torch.zeros(len(calls), 5), torch.zeros(1, 1), torch.zeros(0), logs[:, part], {"calls": calls_of(calls)})

    def calls_of(calls):
        return {str(each): calls.count(each) for each in calls}

    both = [shard(slice(0, 2), [3, 3]), shard(slice(2, 4), [3, 7])]
    assert shards.calls_of_chain(both) == {"nfe": 4, "nfe_sd": 2.0, "nfe_max": 7}
    wanted = ((logs[1].var() + logs[2].var()) / 2).sqrt().item()
    assert shards.level_spread(both) == pytest.approx(wanted)
    assert shards.level_spread([shard(slice(0, 1), [3])]) == 0.0


def test_a_net_without_a_level_is_the_same_function_at_every_level():
    """VP: x itself goes in, so that D does not change with the level; with a level it does."""
    seen = []

    def net(x, c_noise):
        seen.append(c_noise)
        return torch.tanh(x) + c_noise[:, None]

    x = torch.linspace(-2, 2, 6).double().reshape(3, 2)
    blind, seeing = (precondition(net, PRECONDITIONINGS["direct-scaled"], CONDITIONINGS[name](VP)) for name in ("none", "sqrt_alpha_bar"))
    torch.testing.assert_close(blind(x, VP[10]), blind(x, VP[80]), rtol=0, atol=1e-12)
    assert not torch.allclose(seeing(x, VP[10]), seeing(x, VP[80]))
    assert all((c_noise == 0).all() for c_noise in seen[:2])


@pytest.mark.parametrize("d", [1, 64])
def test_the_optimum_without_a_level_is_the_posterior_mean_over_levels(d):
    """Gaussian data, x = y + sigma n: the best D(x) = x sum_k p_k(x) C^2 / (C^2 + sigma_k^2), p_k ~ N(x; 0, (C^2 + sigma_k^2) I).

    Among nets of x alone that scale x by a step function of |x|, least squares finds it; as d grows it is the D that has the level.
    """
    sigma = torch.tensor([0.1, 0.7, 2.5]).double()
    stream = torch.Generator().manual_seed(3)
    which = torch.randint(3, (200_000,), generator=stream)
    y, n = (torch.randn(200_000, d, generator=stream, dtype=torch.float64) for _ in range(2))
    x = C * y + sigma[which, None] * n
    total = C**2 + sigma**2
    squares = x.square().sum(1)
    posterior = (-0.5 * squares[:, None] / total - 0.5 * d * total.log()).softmax(1)
    shrink = posterior @ (C**2 / total)
    order = squares.argsort().tensor_split(40)
    # The best factor of each bin: sum <x, y> / sum |x|^2, with its standard error.
    for part in order[1:-1]:
        factor = (C * y[part] * x[part]).sum() / squares[part].sum()
        error = ((C * y[part] - factor * x[part]) * x[part]).sum(1).std() * len(part) ** 0.5 / squares[part].sum()
        assert abs((factor - (shrink[part] * squares[part]).sum() / squares[part].sum()).item()) < 5 * error
    seeing = C**2 / total[which]
    gap = (shrink - seeing).abs().mean().item()
    assert gap > 0.1 if d == 1 else gap < 0.02


def test_the_residual_source_measures_the_loss_of_the_denoiser_of_its_sampler(monkeypatch):
    """128 training samples at up to 24 levels, once for all step counts."""

    class Data(Shapes):
        def training_batch(self, count, stream, flip):
            return C * torch.randn(count, 1, 4, 4, generator=stream), None

    monkeypatch.setattr(level_sources.datasets, "open_dataset", lambda *_: Data())
    run: LoadedRun = loaded(adjust={"first_beta": 1e-4})
    run.denoise, run.files = gaussian, {"data": "data"}
    sampler = ADAPTIVE["residual, refit"][2]
    follow = run.adjustment(sampler)
    assert follow.estimate is run.adjustment(sampler).estimate
    curve = follow.estimate.curve
    assert curve.evaluations == len(curve.sigma) * level_sources.CURVE_SAMPLES and len(curve.sigma) <= level_sources.CURVE_LEVELS
    torch.testing.assert_close(curve.loss, mmse(curve.sigma, 16), rtol=0.25, atol=0)
    level = same_process(VP, torch.tensor([0.7]).double())
    _, x = noisy(level, 400, 16)
    alpha_bar = follow.estimate(x, level=level, denoise=gaussian)
    assert alpha_bar.mean().item() == pytest.approx(level.alpha_bar.item(), abs=0.05)
