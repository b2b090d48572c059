"""Schedules by optimisation: gradients through solvers, what stays fixed, exact Gaussian problems with their optima by brute force."""

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from job_files import RUN, run_job
from test_solvers import loaded, sampling

from difftables.common.files import load_tensors, read_json, save_tensors
from difftables.config.job_specs import SampleSpec, SearchNumbers, SearchSpec
from difftables.config.run_spec import RunSpec
from difftables.config.sampling import Learned, Sampling
from difftables.config.solvers import MODELS
from difftables.diffusion.corruptions import scale
from difftables.diffusion.schedule_file import check_schedule, read_schedules, write_schedules
from difftables.nets.build import build_net
from difftables.sampling.solvers import SOLVERS, bind
from difftables.search import by_gradient, error_bound
from difftables.search.learned import LOSSES, student_of
from difftables.search.methods import METHODS
from difftables.search.student import Counter, Ends, Pairs, Parameters, Student, gradient, levels_of, logits_of, mean_loss, window

# Three variances over two decades: Gaussian data, D = c^2 u / (c^2 + sigma^2), dossier of issue 19, 2.3.
C = torch.tensor([0.1, 0.5, 2.0], dtype=torch.float64)
VE_ENDS = Ends(80.0, 0.002, "ve")
INF = float("inf")


def wiener(x, level):
    """The exact denoiser of Gaussian data, whatever the process: u = x / alpha."""
    shaped = level.like(x)
    return C**2 / (C**2 + (shaped.std / shaped.alpha) ** 2) * x / shaped.alpha


def squared(ends, teacher):
    return (ends - teacher).square().sum(dim=1)


def student(solver=None, ends=VE_ENDS, denoise=wiener):
    model = solver or {"kind": "walk", "rule": "ddim"}
    bound = MODELS[model["kind"]].model_validate(model)
    if bound.planned:
        return Student(
            lambda *given, weights, **named: SOLVERS["weighted"](
                *given, weights=weights, prediction=bound.prediction, order=bound.order, **named
            ),
            denoise, scale, ends, prediction=bound.prediction,
        )  # fmt: skip
    return Student(bind(bound), denoise, scale, ends)


def exact_pairs(count=1, ends=VE_ENDS, seed=0):
    """Starts and exact ends, u c / sqrt(c^2 + sigma^2); one pair has the second moments of all, so that its loss is the expectation."""
    first = ends.schedule(torch.tensor([ends.highest, ends.lowest]).double())[0]
    gain = (C**2 + first.sigma**2).sqrt()
    noise = torch.ones(1, 3) if count == 1 else torch.randn(count, 3, generator=torch.Generator().manual_seed(seed))
    u = gain * noise.double()
    return Pairs(u * first.alpha, u * C / gain)


BUDGET = by_gradient.Budget(batch=8, check_every=4, radius=0.0, rate=5e-3, conditioned_rate=0.1, seed=0)


@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize("process", ["ve", "vp"])
def test_levels_fall_between_fixed_ends_whatever_the_parameters(process, clean):
    ends, stream = Ends(80.0, 0.002, process, clean), torch.Generator().manual_seed(3)
    for size in (0.1, 3.0, 1e3):
        parameters = Parameters(*(size * torch.randn(6, generator=stream, dtype=torch.float64) for _ in range(2)))
        schedule = student(ends=ends).schedule(parameters)
        check_schedule(schedule, "learned", clean)
        assert schedule.sigma[0].item() == pytest.approx(80.0)
        assert schedule.sigma[-1].item() == pytest.approx(0.0 if clean else 0.002)
        sigma = levels_of(parameters.logits, ends)
        assert sigma[[0, -1]].tolist() == [80.0, 0.002]
        off = (schedule.conditioned.sigma.log() - sigma[:-1].log()).abs()
        assert (off <= window(sigma) * (1 + 1e-6) + 1e-9).all()
        assert ((schedule.conditioned.sigma > 0.00199) & (schedule.conditioned.sigma < 80.01)).all()


def test_logits_give_back_the_schedule_they_were_taken_from():
    for rho in (3.0, 7.0, INF):
        sigma = VE_ENDS.power_law(7, rho)
        torch.testing.assert_close(levels_of(logits_of(sigma), VE_ENDS), sigma, rtol=1e-4, atol=0)
    torch.testing.assert_close(levels_of(torch.ones(5).double(), VE_ENDS), VE_ENDS.power_law(5, INF))


def test_the_window_of_conditioned_levels_is_half_the_smallest_gap_and_not_zero_at_the_start():
    """The trap: of the logits, all equal at first, the gaps are 0, and nothing could move. Here it is half of log(80 / .002) / 5."""
    sigma = levels_of(torch.ones(5).double(), VE_ENDS)
    assert window(sigma).item() == pytest.approx(0.5 * math.log(80 / 0.002) / 5)
    assert window(torch.tensor([8.0, 4.0, 1.0])).item() == pytest.approx(0.5 * math.log(2))


def bent(x, level):
    """A denoiser that is not linear, smooth in x and in the level."""
    shaped = level.like(x)
    sigma = shaped.std / shaped.alpha
    return torch.tanh(x / shaped.alpha / (1 + sigma)) * (0.5 + 1 / (1 + sigma**2))


DIFFERENTIABLE = [
    {"kind": "walk", "rule": "ddim"}, {"kind": "heun"}, {"kind": "dpmpp", "order": 3}, {"kind": "unipc", "order": 2},
    {"kind": "lms", "order": 3}, {"kind": "deis", "order": 3}, {"kind": "ipndm", "order": 3}, {"kind": "weighted", "order": 3},
    {"kind": "weighted", "order": 3, "prediction": "noise"},
]  # fmt: skip


@pytest.mark.parametrize("process", ["ve", "vp"])
@pytest.mark.parametrize("solver", DIFFERENTIABLE, ids=lambda each: each["kind"])
def test_the_gradient_of_the_loss_is_that_of_finite_differences(solver, process):
    """In logits, shifts of conditioned levels, weights, and in the start; central differences in float64."""
    ends, stream = Ends(20.0, 0.05, process), torch.Generator().manual_seed(4)
    chain, pairs = student(solver, ends, bent), exact_pairs(2, ends)
    draws = [0.3 * torch.randn(4, generator=stream, dtype=torch.float64), torch.tensor([0.2, -0.1, 0.15, 0.05], dtype=torch.float64)]
    weights = 0.1 * torch.randn(4, 3, generator=stream, dtype=torch.float64) if solver["kind"] == "weighted" else None
    inputs = [each for each in (*draws, weights, pairs.start) if each is not None]

    def value(*each):
        *given, start = each
        return squared(chain(start, chain.schedule(Parameters(*given))), pairs.end).mean()

    slopes = gradient(value(*(each.requires_grad_() for each in inputs)), inputs)
    for i, each in enumerate(inputs):
        for j in range(each.numel()):
            two = []
            for sign in (1, -1):
                moved = [other.detach().clone() for other in inputs]
                moved[i].view(-1)[j] += sign * 1e-6
                two.append(value(*moved).item())
            assert slopes[i].flatten()[j].item() == pytest.approx((two[0] - two[1]) / 2e-6, rel=1e-4, abs=1e-7), (i, j)
    assert all(slope.abs().max() > 1e-6 for slope in slopes)


def ddim_error(sigma):
    """sum_k (A_k - c_k / s_k)^2 s_k^2, s_k^2 = c_k^2 + sigma_0^2, of chains down to clean, [K, N] to [K]: A from DDIM's linear steps."""
    now, nxt = sigma[..., None], torch.cat([sigma[:, 1:], torch.zeros_like(sigma[:, :1])], dim=1)[..., None]
    kept = C**2 / (C**2 + now**2)
    spread = (C**2 + sigma[:, :1] ** 2).sqrt()
    return ((kept + nxt / now * (1 - kept)).prod(dim=1) - C / spread).square().mul(spread**2).sum(dim=1)


def optimum_by_brute_force(error, ends, points=400):
    """The smallest error of three steps over a grid of both free levels."""
    grid = ends.power_law(points, INF)[1:-1]
    pairs = torch.combinations(grid.flip(0)).flip(1)
    sigma = torch.cat([torch.full((len(pairs), 1), ends.highest).double(), pairs], dim=1)
    errors = error(sigma)
    return errors.min().item(), sigma[errors.argmin()]


def test_learned_levels_reach_the_optimum_of_unequal_variances():
    """N = 3, two free levels. The exhaustive optimum of 79,401 schedules, and learning that solves 1 + 1 chains an update."""
    pairs, chain = exact_pairs(), student()
    least, best = optimum_by_brute_force(ddim_error, VE_ENDS)
    begun = by_gradient.best_start(chain, 3, None, pairs, squared)
    found = by_gradient.learn(chain, begun, pairs, pairs, squared, [(("logits",), 250)], BUDGET)
    assert found.loss == pytest.approx(ddim_error(found.schedule.sigma[None, :-1]).item())
    assert found.first_loss > 1.05 * least
    assert found.loss < 1.005 * least
    torch.testing.assert_close(found.schedule.sigma[1:3].log(), best[1:].log(), rtol=0, atol=0.15)


def test_conditioned_levels_and_weights_only_lower_the_loss():
    """Each has the student with less freedom among its own: at the start it is the same schedule."""
    pairs, steps = exact_pairs(), 3
    plain = by_gradient.best_start(student(), steps, None, pairs, squared)
    levels = by_gradient.learn(student(), plain, pairs, pairs, squared, [(("logits",), 150)], BUDGET)
    shifted = Parameters(plain.logits, torch.zeros(steps).double())
    both = by_gradient.learn(student(), shifted, pairs, pairs, squared, [(("logits",), 75), (("logits", "shifts"), 75)], BUDGET)
    assert both.first_loss == pytest.approx(levels.first_loss)
    assert both.loss < levels.loss < levels.first_loss
    chain = student({"kind": "weighted", "order": 2})
    begun = by_gradient.best_start(chain, steps, 2, pairs, squared)
    found = by_gradient.learn(chain, begun, pairs, pairs, squared, [(("weights",), 60), (("logits",), 60), (("weights",), 60)], BUDGET)
    assert found.loss < 0.5 * found.first_loss
    assert found.schedule.weights.shape == (steps, 2)


def test_the_bound_of_order_one_and_the_sum_of_influences_are_closed_forms():
    """W_n = e^(l_{n+1} - l_N) - e^(l_n - l_N) of order 1; of any order they add up to 1 - e^(l_0 - l_N), since sum_n l_n = 1."""
    places = -VE_ENDS.power_law(5, 7.0).log()
    scaled = (places - places[-1]).exp()
    torch.testing.assert_close(error_bound.influence(places, 1), scaled.diff())
    for order in (2, 3):
        assert error_bound.influence(places, order).sum().item() == pytest.approx(1 - scaled[0].item())
    # Of predictions that are linear in lambda order 2 integrates exactly but for the first and the last step, which have order 1.
    h, at = places.diff(), places[:-1]
    exact = (scaled[1:] * (places[1:] - 1) - scaled[:-1] * (places[:-1] - 1))[1:-1].sum() + (scaled.diff() * at)[[0, -1]].sum()
    assert (error_bound.influence(places, 2) * at).sum().item() == pytest.approx(exact.item())
    assert (h > 0).all()


@pytest.mark.parametrize("process", ["ve", "vp"])
@pytest.mark.parametrize("order", [1, 2, 3])
def test_the_smallest_error_bound_is_that_of_brute_force(process, order):
    ends = Ends(80.0, 0.002, process)
    found = error_bound.minimise(ends, 3, order)
    places = -ends.power_law(60, INF).log()
    values = [
        error_bound.bound(torch.stack([places[0], places[i], places[j], places[-1]]), process, order).item()
        for i in range(1, 60) for j in range(i + 1, 60)
    ]  # fmt: skip
    assert (found.diff() < 0).all() and found[[0, -1]].tolist() == [80.0, 0.002]
    assert error_bound.bound(-found.log(), process, order).item() <= min(values) * (1 + 1e-6)
    torch.testing.assert_close(error_bound.minimise(ends, 1, order), ends.power_law(1, INF))


def test_a_free_bound_is_no_schedule_for_gaussian_data_of_unequal_variances():
    """It knows no data: on these its levels lose to the optimum by far, and that is what its cost of 0 evaluations buys."""
    found = error_bound.minimise(VE_ENDS, 3, 1)
    least, _ = optimum_by_brute_force(ddim_error, VE_ENDS, 200)
    assert ddim_error(found[None, :-1]).item() > 1.2 * least


def test_evaluations_are_counted_forwards_and_backwards():
    """One update of 2 pairs through 3 steps: 6 forwards and as many backwards, between 2 checks of 5."""
    counted = Counter(wiener)
    pairs, chain = exact_pairs(5), student(denoise=counted)
    parameters = Parameters(torch.ones(3).double())
    budget = by_gradient.Budget(2, 1, 0.0, 5e-3, 0.1, 0)
    by_gradient.learn(chain, parameters, pairs, pairs, squared, [(("logits",), 1)], budget)
    assert (counted.forward, counted.backward) == (3 * (5 + 2 + 5), 3 * 2)
    counted.forward = counted.backward = 0
    moving = by_gradient.Budget(2, 1, 0.5, 5e-3, 0.1, 0)
    by_gradient.learn(chain, parameters, pairs, pairs, squared, [(("logits",), 1)], moving)
    assert (counted.forward, counted.backward) == (3 * (5 + 2 + 2 + 5), 3 * 2)


def test_a_start_moves_inside_its_ball_and_only_where_the_loss_falls():
    pairs, chain = exact_pairs(4), student()
    parameters = Parameters(torch.ones(3).double())
    shift = torch.zeros_like(pairs.start)
    before = None
    for _ in range(12):
        moved = shift.requires_grad_()
        losses = squared(chain(pairs.start + 80 * moved, chain.schedule(parameters)), pairs.end)
        (slope,) = gradient(losses.mean(), [moved])
        if before is not None:
            assert (losses <= before + 1e-12).all()
        before = losses.detach()
        shift = by_gradient._moved(chain, parameters, pairs, moved.detach(), slope, before, squared, radius=0.3)
        assert (shift.norm(dim=1) <= 0.3 + 1e-12).all()
    assert (shift.norm(dim=1) > 0.1).any()


def test_batches_pass_through_all_pairs_before_any_comes_again():
    budget = by_gradient.Budget(4, 1, 0.0, 1.0, 1.0, seed=7)
    for a_pass in range(3):
        seen = torch.cat([by_gradient.batch_of(3 * a_pass + i, 12, budget) for i in range(3)])
        assert sorted(seen.tolist()) == list(range(12))
    assert not torch.equal(by_gradient.batch_of(0, 12, budget), by_gradient.batch_of(3, 12, budget))


def test_a_solver_that_adds_noise_is_refused():
    chain = student({"kind": "walk", "rule": "ddpm-small"})
    with pytest.raises(ValueError, match=r"^[^\n]*noise[^\n]*$"):
        chain(exact_pairs().start, VE_ENDS.schedule(VE_ENDS.power_law(3, 7.0)))


def test_a_chain_that_diverges_has_an_infinite_loss():
    chain = student(denoise=lambda x, level: x * float("nan"))
    assert mean_loss(chain, VE_ENDS.schedule(VE_ENDS.power_law(3, 7.0)), exact_pairs(), squared, 1) == INF
    with pytest.raises(ValueError, match="3 steps"):
        by_gradient.best_start(chain, 3, None, exact_pairs(), squared)


SMALL = Learned(pairs=3, batch=2, updates=4, check_every=2, teacher_steps=3, blocks=2)


@pytest.mark.parametrize("name", ["dmn", "ld3", "ld3-levels", "s4s"])
def test_a_method_finds_a_schedule_for_a_run_and_counts_what_it_asks_of_the_net(name, monkeypatch):
    """Twice the same bits; the teacher is Heun's method, 2 x 3 - 1 calls for 6 pairs."""
    monkeypatch.setitem(LOSSES, None, LOSSES["images"])
    solver = {"kind": "weighted", "order": 2} if name == "s4s" else {"kind": "dpmpp", "order": 2}
    sampler = sampling(solver, schedule=name)
    numbers = {key: value for key, value in {"learned": SMALL, "samples": 2, "seed": 1}.items() if key in METHODS[name].reads}
    run = loaded(prior="standard_normal")
    found, cost = METHODS[name].find(run, sampler, 4, None, **numbers)
    check_schedule(found, name)
    assert len(found) == 5 and found.sigma[0].item() == pytest.approx(run.training.sigma[0].item())
    if name == "dmn":
        assert cost["network_evaluations"] == 0 and cost["order"] == 2 and cost["bound"] < cost["uniform_bound"]
        return
    again, _ = METHODS[name].find(run, sampler, 4, None, **numbers)
    assert (torch.equal(again.std, found.std) and not torch.is_grad_enabled()) or found.std.grad_fn is None
    assert cost["teacher_evaluations"] == 6 * 5
    # Three starts and one more on 3 pairs, 4 updates of 2 pairs with a second solve each, 2 checks.
    assert cost["network_evaluations"] == 30 + 4 * (4 * 3 + 4 * 2 * 2 + 2 * 3)
    assert cost["backward_evaluations"] == 4 * 4 * 2
    assert cost["loss"] <= cost["first_loss"]
    assert (found.conditioned is not None) == (name == "ld3") and (found.weights is not None) == (name == "s4s")
    assert METHODS[name].generates(SimpleNamespace(learned=SMALL), 4, 4) * 4 == pytest.approx(30 + 4 * (4 * 4 * 2 + 6 * 3), rel=0.1)


def test_the_ends_are_those_of_the_grid_and_may_stay_noisy():
    grid = {"lowest": 0.05, "highest": 20.0, "clean": False}
    sampler = sampling({"kind": "heun"}, schedule="dmn", grid=grid)
    run = loaded()
    ends = student_of(run, sampler, Counter(run.denoise)).ends
    highest = min(20.0, run.training.sigma[0].item())
    assert (ends.highest, ends.lowest, ends.process, ends.clean) == (highest, 0.05, "vp", False)
    found, _ = METHODS["dmn"].find(run, sampler, 3, None, seed=0)
    check_schedule(found, "dmn", clean=False)
    assert found.sigma[-1].item() == pytest.approx(0.05)


def test_utterances_are_compared_by_their_log_mel_spectrograms():
    """Twice as loud is log10(4) in each band, whatever the pitch."""
    from difftables.data.mel import log_mel, mel_filters

    filters = mel_filters(8000, 200, 8, 60.0, 4000.0)
    run = SimpleNamespace(medium=SimpleNamespace(mel=lambda x: log_mel(x, filters, 50)))
    x = torch.randn(2, 400, generator=torch.Generator().manual_seed(5))
    found = LOSSES["speech"](run)(2 * x, x)
    torch.testing.assert_close(found, torch.full((2,), math.log10(4) ** 2), rtol=1e-4, atol=1e-5)
    ones = LOSSES["images"](run)(torch.ones(2, 1, 4, 4), torch.zeros(2, 1, 4, 4))
    assert ones.tolist() == [1.0, 1.0]


def test_a_learned_file_is_what_samples_are_drawn_with(tmp_path):
    """The jobs of a search with weights and of its samples: other weights make the samples anew, the same ones do not."""
    run = RunSpec.model_validate(RUN | {"precondition": "edm"})  # an untrained net is 0: what is left is c_skip
    sampler = Sampling.model_validate({"solver": {"kind": "weighted", "order": 2}, "schedule": "s4s", "clip": 1.0})
    save_tensors(tmp_path / "net", build_net(run.net, run.data).state_dict(), {"kind": "net"})
    numbers = SearchNumbers(seed=1, samples=2, learned=SMALL)
    spec = SearchSpec(run=run, sampler=sampler, method="s4s", steps=[2, 3], search=numbers, batch=4)
    files = {name: tmp_path / name for name in ("schedules", "record", "made")}
    run_job("search", spec, {"net": tmp_path / "net"}, files)
    found = read_schedules(files["schedules"])
    assert {steps: list(schedule.weights.shape) for steps, schedule in found.items()} == {2: [2, 2], 3: [3, 2]}
    assert read_json(files["record"])["records"]["3"]["backward_evaluations"] == 3 * 4 * 2
    drawing = SampleSpec(run=run, sampler=sampler, steps=[3], n=2, seeds=[0], batch=2)
    inputs, outputs = (
        {"net": tmp_path / "net", "schedules": files["schedules"]},
        {name: tmp_path / f"drawn-{name}" for name in ("samples", "made")},
    )
    columns = [run_job("sample", drawing, inputs, outputs).columns["3"] for _ in range(2)]
    first = load_tensors(outputs["samples"], "samples")[0]["samples/3"]
    assert columns[0] == columns[1]
    changed = replace(found[3], weights=found[3].weights + 0.3)
    write_schedules(files["schedules"], {3: changed})
    assert run_job("sample", drawing, inputs, outputs).columns["3"] != columns[0]
    assert not torch.equal(load_tensors(outputs["samples"], "samples")[0]["samples/3"], first)
