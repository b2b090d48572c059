"""GPU-hours of a plan: closed forms, what is asked how often, and the table of counted nets."""

from functools import partial
from pathlib import Path

import pytest

from difftables.commands import multiply_adds
from difftables.config.nets import Net
from difftables.planning import count_costs, gpu_hours, net_costs, params, plan

ROOT = Path(__file__).parents[2]
SCALES = ("paper", "released")


@pytest.fixture(scope="module")
def plans():
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        return {scale: plan.read(scale) for scale in SCALES}


@pytest.fixture(scope="module")
def known():
    return net_costs.read_costs(ROOT / net_costs.COSTS)


def cost(known, found, run, whole=False):
    """Multiply-adds of one sample through a run's net."""
    spec = found.evaluated_run(run)
    return net_costs.forward_cost(known, spec.net, spec.data, whole)


def asked(found, known, rule, **wildcards):
    """Multiply-adds of one job."""
    return gpu_hours.RULES[rule](found, wildcards, partial(net_costs.forward_cost, known))


def drawn(found, known, run, sampler):
    """Forward passes of the net per sample and seed of a row of images, summed over its step counts."""
    spec = found.sample_spec(run, sampler)
    return asked(found, known, "sample", run=run, sampler=sampler, seed="0") / spec.n / len(spec.seeds) / cost(known, found, run)


def jobs(found):
    """The jobs that train, draw and measure, from the plan."""
    rows = [{"run": run, "seed": str(seed), "sampler": sampler} for run, seed, sampler in found.drawn_rows()]
    trained = [{"run": run, "seed": str(seed)} for run, seed in found.trainings()]
    return [("train", w) for w in trained] + [(rule, w) for rule in ("sample", "measure") for w in rows] + [("report", {})]


def test_training_takes_three_forward_passes_a_sample(plans, known):
    found = plans["paper"]
    training = found.params.runs["edm/vp-e"].train
    flops = training.steps * training.batch * 3 * cost(known, found, "edm/vp-e") * 2
    job = ("train", {"run": "edm/vp-e", "seed": "0"})
    expected = flops / (found.params.resources.teraflops * 1e12) / 3600
    assert gpu_hours.by_rule(found, [job, job], known)["train"] == (2, pytest.approx(2 * expected))
    # 200 million images took the authors about two days on eight V100s, which are slower.
    assert 50 < expected < 8 * 48


def test_a_chain_takes_a_call_a_step(plans, known):
    found = plans["paper"]
    assert drawn(found, known, "noise_estimation/celeba", "noise_estimation/ddim-strided") == pytest.approx(3 + 5 + 10 + 20 + 50 + 100)
    assert drawn(found, known, "edm/vp-a", "edm/heun") == pytest.approx(sum(2 * n - 1 for n in found.drawn_steps("edm/vp-a", "edm/heun")))
    assert drawn(found, known, "edm/ve-a", "stable_target_field/pc") == pytest.approx(2 * 1000)
    assert drawn(found, known, "edm/ve-a", "stable_target_field/rk45-ve") == gpu_hours.RK45_CALLS


def test_an_adjusted_chain_asks_the_estimator_between_its_steps(plans, known):
    found = plans["paper"]
    estimator = found.params.runs["noise_estimation/celeba"].estimator.net
    share = net_costs.forward_cost(known, estimator, found.evaluated_run("noise_estimation/celeba").data) / cost(
        known, found, "noise_estimation/celeba"
    )
    steps = found.step_counts("noise_estimation/celeba", "noise_estimation/ddim-adjusted")
    assert drawn(found, known, "noise_estimation/celeba", "noise_estimation/ddim-adjusted") == pytest.approx(
        sum(steps) + share * (sum(steps) - len(steps))
    )


def test_speech_is_trained_on_segments_and_drawn_as_utterances(plans, known):
    found = plans["paper"]
    segment, utterance = cost(known, found, "noise_estimation/ljspeech"), cost(known, found, "noise_estimation/ljspeech", whole=True)
    assert utterance / segment == pytest.approx(10 * 22050 / (24 * 300))
    training = found.params.runs["noise_estimation/ljspeech"].train
    assert asked(found, known, "train", run="noise_estimation/ljspeech", seed="0") == training.steps * training.batch * 3 * segment
    assert drawn(found, known, "noise_estimation/ljspeech", "noise_estimation/wavegrad-full") == pytest.approx(1000 * utterance / segment)
    assert asked(found, known, "measure", run="noise_estimation/ljspeech", seed="0", sampler="noise_estimation/wavegrad-full") == 0


def test_a_search_stops_at_its_budget(plans, known):
    found, search = plans["paper"], plans["paper"].params.search.images
    steps, one = (
        found.step_counts("noise_estimation/celeba", "noise_estimation/ddim-searched"),
        cost(known, found, "noise_estimation/celeba"),
    )
    features = net_costs.feature_cost(found.features())
    tried = {n: min(9 ** min(n, search.groups), search.budget // (search.samples * n)) * search.samples for n in steps}
    assert tried[3] == 9**3 * search.samples and tried[100] * 100 <= search.budget
    expected = sum(count * (n * one + features) for n, count in tried.items())
    assert asked(
        found, known, "search", run="noise_estimation/celeba", seed="0", sampler="noise_estimation/ddim-searched"
    ) == pytest.approx(expected)


def test_studies_take_levels_times_samples(plans, known):
    found, e = plans["paper"], plans["paper"].params.evaluation.images
    net = cost(known, found, "improved_ddpm/cosine-hybrid")
    where = {"run": "improved_ddpm/cosine-hybrid", "seed": "0"}
    assert asked(found, known, "likelihood", **where) == e.likelihood_n * 4000 * net
    assert asked(found, known, "gradients", **where) == 3 * e.gradient_batches * e.gradient_batch * 3 * net
    stable = {"run": "stable_target_field/ve-stf", "seed": "0"}
    assert asked(found, known, "variance", **stable) == e.variance_levels * e.variance_n * cost(known, found, "stable_target_field/ve-stf")
    estimator = net_costs.forward_cost(
        known, found.params.runs["noise_estimation/celeba"].estimator.net, found.evaluated_run("noise_estimation/celeba").data
    )
    assert asked(found, known, "errors", run="noise_estimation/celeba", seed="0") == e.error_levels * e.error_n * estimator
    assert asked(found, known, "reference") == pytest.approx(50000 * 5.7e9)
    assert asked(found, known, "robustness", run="noise_estimation/celeba", seed="0") > e.robustness_schedules * e.robustness_n * 6 * cost(
        known, found, "noise_estimation/celeba"
    )


@pytest.mark.parametrize("scale", SCALES)
def test_the_table_names_the_rules_of_the_plan_the_longest_first(plans, known, scale):
    *rows, told = gpu_hours.table(plans[scale], jobs(plans[scale]), known).splitlines()
    cells = [row.split() for row in rows]
    rules = {"sample", "measure", "report"} | ({"train"} if plans[scale].trainings() else set())
    assert cells[0] == ["rule", "jobs", "GPU-hours"] and {row[0] for row in cells[1:-1]} == rules
    assert cells[-2] == ["report", "1", "-"]
    assert cells[-1][:2] == ["total", f"{len(jobs(plans[scale])):,}"]
    spent = [found for _, found in gpu_hours.by_rule(plans[scale], jobs(plans[scale]), known).values()]
    assert spent == sorted(spent, reverse=True) and None not in spent
    assert "never measured" in told and "50 TFLOP/s" in told


def test_a_net_that_nobody_counted_is_told(plans, known):
    found = plans["paper"]
    spec = found.evaluated_run("noise_estimation/celeba")
    others = {name: value for name, value in known.items() if name != net_costs.cost_key(spec.net, spec.data)}
    lines = gpu_hours.table(found, jobs(found), others).splitlines()
    assert lines[1].split()[::2] == ["train", "unknown"] and lines[-3].split()[::2] == ["total", "unknown"]
    assert lines[-2] == "unknown: a net is not in workflow/costs.csv; run `python -m difftables multiply_adds`"


def test_without_the_file_all_nets_are_unknown(plans, tmp_path):
    assert net_costs.read_costs(tmp_path / "costs.csv") == {}
    assert gpu_hours.by_rule(plans["paper"], jobs(plans["paper"]), {})["train"][1] is None


@pytest.mark.parametrize("scale", SCALES)
def test_every_net_of_a_scale_with_a_gpu_is_counted(plans, known, scale):
    missing = [name for name, _, net, data in count_costs.used_nets(plans[scale]) if net_costs.cost_key(net, data) not in known]
    assert not missing, "run `python -m difftables multiply_adds`"


@pytest.mark.parametrize(
    ("scale", "name"),
    [
        ("paper", "noise_estimation/unet-celeba"),
        ("paper", "noise_estimation/celeba estimator"),
        ("paper", "noise_estimation/ljspeech estimator"),
        ("paper", "edm/ncsnpp"),
        ("paper", "improved_ddpm/cifar-cosine"),
    ],
)
def test_the_counts_are_those_of_the_nets(plans, known, scale, name):
    net, data = next(pair for called, _, *pair in count_costs.used_nets(plans[scale]) if called == name)
    assert count_costs.count_cost(net, data)[1] == known[net_costs.cost_key(net, data)]


def test_a_changed_net_or_shape_has_another_key(monkeypatch):
    monkeypatch.chdir(ROOT)
    spec = plan.read("laptop").evaluated_run("noise_estimation/digits")
    net, data = spec.net, spec.data
    wider = Net.model_validate(net.model_dump() | {"width": net.model_extra["width"] + 1})
    assert net_costs.cost_key(net, data) == net_costs.cost_key(net, data.model_copy(update={"held_out": 10}))
    assert (
        len(
            {
                net_costs.cost_key(net, data),
                net_costs.cost_key(wider, data),
                net_costs.cost_key(net, data.model_copy(update={"size": 16})),
            }
        )
        == 3
    )


def test_the_rate_is_in_no_spec(plans, known, rewritten, monkeypatch):
    monkeypatch.chdir(ROOT)
    found = plans["paper"]
    faster = plan.Workflow(params.load(rewritten(("resources/teraflops", 100.0)), "paper"))
    assert faster.train_spec("noise_estimation/celeba", "0") == found.train_spec("noise_estimation/celeba", "0")
    before, after = (gpu_hours.by_rule(each, jobs(each), known)["train"][1] for each in (found, faster))
    assert after == pytest.approx(before / 2)


def test_the_verb_writes_what_it_counts(monkeypatch, tmp_path, plans, known, capsys):
    monkeypatch.setattr(net_costs, "COSTS", tmp_path / "costs.csv")
    monkeypatch.setattr(plan, "read", lambda scale: plans["paper"])
    monkeypatch.setattr(count_costs, "count_cost", lambda net, data: (1, known[net_costs.cost_key(net, data)]))
    assert multiply_adds.command([]) == 0
    written = net_costs.read_costs(tmp_path / "costs.csv")
    assert written and written.items() <= known.items()
    assert f"{len(written)} nets" in capsys.readouterr().out
