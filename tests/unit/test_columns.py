"""A new step count costs that step count alone: what is kept of a row, and what makes it anew."""

import dataclasses
import functools
from pathlib import Path

import pytest
import torch
from job_files import RUN, changed, job_names, read_job

from difftables.common.files import load_tensors, read_json, save_tensors
from difftables.config.job_specs import MeasureSpec, SampleSpec, SearchSpec
from difftables.config.run_spec import RunSpec
from difftables.diffusion.beta_families import fitted
from difftables.diffusion.schedule_file import write_schedules
from difftables.estimation import level_sources
from difftables.jobs import job as jobs
from difftables.jobs import measure, sample, search
from difftables.metrics import scorers
from difftables.metrics.metric import Score
from difftables.nets.build import build_net
from difftables.planning import params, plan
from difftables.provenance import fingerprint
from difftables.sampling.loaded_run import LoadedRun
from difftables.search.methods import METHODS

ROOT = Path(__file__).parents[2]
VP = RunSpec.model_validate(RUN | {
    "schedule": {"family": "linear", "steps": 40, "first": 1e-3, "last": 0.3}, "prior": "standard_normal", "precondition": "eps",
    "conditioning": "timestep", "adjust": {"first_beta": 1e-3},
})  # fmt: skip
NUMBERS = {
    "searched": {"grid": "ladder", "decades": [-3.0, -1.0], "digits": 3, "groups": 3, "samples": 3, "draws": 1, "budget": 40, "batch": 9}
}
NUMBERS["frozen"] = {"frozen_samples": 4}
SPECS = {
    "sample": SampleSpec(
        run=VP, sampler={"solver": {"kind": "walk", "rule": "ddpm-small"}, "schedule": "even"}, steps=[2, 3], n=3, seeds=[0, 1], batch=4
    ),
    "measure": MeasureSpec(medium="images", names={"run": "a", "train_seed": 0, "dataset": "made-up", "sampler": "s"}, evaluation={"n": 3}),
}  # fmt: skip
for method, numbers in NUMBERS.items():
    adapt, schedule = (None, "searched") if method == "searched" else ("estimator", "fitted")
    SPECS[method] = SearchSpec(
        run=VP, sampler={"solver": {"kind": "walk", "rule": "ddim"}, "schedule": schedule, "adapt": adapt}, method=method, steps=[2, 3],
        search=numbers | {"seed": 0}, batch=4,
    )  # fmt: skip
VERBS = {"sample": sample, "measure": measure, "searched": search, "frozen": search}
RESULTS = {"sample": ("samples",), "measure": ("record",), "searched": ("schedules", "record"), "frozen": ("schedules", "record")}


@pytest.fixture
def counted(tmp_path, monkeypatch):
    """A folder with an untrained net and made-up images, and the list of step counts on which work is done there."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    images = torch.randint(256, (50, 1, 4, 4), dtype=torch.uint8)
    tensors = {"images": images, "labels": torch.zeros(50), "held_out": torch.arange(50) >= 40}
    save_tensors("data", tensors, {"kind": "data"})
    save_tensors("net", build_net(VP.net, VP.data).state_dict(), {"kind": "net"})
    done, generate = [], LoadedRun.generate

    def generated(run, keys, sampler, steps, *more, **options):
        done.append(steps)
        return generate(run, keys, sampler, steps, *more, **options)

    def scorer(inputs):
        return lambda samples: done.append("scored") or [Score("mean", "mean", samples.double().mean().item(), "", "lower")]

    def search_scorer(inputs):
        return lambda samples: samples.double().mean().item()

    def level_of(*_):
        return lambda x: 1 / (1 + x.square().mean(dim=(1, 2, 3)).double())

    monkeypatch.setattr(LoadedRun, "generate", generated)
    monkeypatch.setitem(scorers.TABLE, "images", scorer)
    monkeypatch.setitem(scorers.SEARCH, "images", search_scorer)
    monkeypatch.setitem(level_sources.ESTIMATES, "estimator", level_of)
    for name, method in METHODS.items():

        @functools.wraps(method.find)
        def find(run, sampler, steps, score, method=method, **numbers):
            done.append(f"search {steps}")
            return method.find(run, sampler, steps, score, **numbers)

        monkeypatch.setitem(METHODS, name, dataclasses.replace(method, find=find))
    monkeypatch.setattr(fingerprint, "packages", lambda *_: {})
    return done


def run(kind, spec=None, name="a", code="0", **inputs):
    """Run a job with its provenance, as a rule does.  Returns: the bytes of its results, by name."""
    verb = VERBS[kind].__name__.rsplit(".", 1)[1]
    files = {"measure": {"samples": "samples"}}.get(kind, {"net": "net", "data": "data"}) | inputs
    outputs = {result: f"{name}.{kind}.{result}" for result in (*RESULTS[kind], "made")}
    job = read_job(verb, spec or SPECS[kind], files, outputs, code)
    VERBS[kind].run(job)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fingerprint, "code", lambda *_: code)
        jobs.finish(job)
    return {result: Path(outputs[result]).read_bytes() for result in RESULTS[kind]}


def worked(done, kind):
    """The step counts that were worked on since it was last asked; for `measure`, how many were."""
    found = list(dict.fromkeys(step for step in done if str(step).split()[0] == "search")) if kind in NUMBERS else list(done)
    done.clear()
    return [int(str(step).split()[-1]) for step in found] if kind != "measure" else len(found) // 2


def samples(*steps):
    """A file of samples, those of each step count its own."""
    tensors, counts = {}, {}
    for count in steps:
        tensors[f"samples/{count}"] = torch.full((2, 3, 1, 4, 4), count, dtype=torch.uint8)
        counts[str(count)] = {
            "nfe": count, "nfe_sd": 0.0, "nfe_max": count, "level_sd": 0.0, "level_floor": 0.2, "curve_evaluations": 0,
            "network_evaluations": 6 * count, "estimator_evaluations": 0, "clipped_rates": 0, "v_outside": None,
        }  # fmt: skip
    save_tensors("samples", tensors, {"kind": "samples", "seeds": [0, 1], "n": 3, "counts": counts})


@pytest.mark.parametrize("kind", ["sample", "searched", "frozen"])
def test_a_new_step_count_is_the_only_one_made(counted, kind):
    first = run(kind)
    assert worked(counted, kind) == [2, 3]
    more = changed(SPECS[kind], {"steps": [2, 3, 4]})
    found = run(kind, more)
    assert worked(counted, kind) == [4]
    assert found != first
    assert run(kind, more, "whole") == found
    assert worked(counted, kind) == [2, 3, 4]
    assert run(kind) == first, "a step count that nobody asks for any longer leaves"
    assert worked(counted, kind) == []


def test_samples_that_are_kept_are_the_same_bytes(counted):
    run("sample")
    before, _ = load_tensors("a.sample.samples")
    run("sample", changed(SPECS["sample"], {"steps": [1, 2, 3]}))
    after, meta = load_tensors("a.sample.samples")
    assert after.keys() == {f"{name}/{steps}" for name in ("samples", "levels") for steps in (1, 2, 3)}
    assert all(after[name].numpy().tobytes() == value.numpy().tobytes() for name, value in before.items())
    assert list(meta["counts"]) == ["1", "2", "3"]
    assert set(read_json("a.sample.made")["cost"]) == {"1", "2", "3"}


def test_only_the_new_step_count_is_measured(counted):
    samples(2, 3)
    run("measure")
    assert worked(counted, "measure") == 2
    samples(2, 3, 4)
    found = run("measure")
    assert worked(counted, "measure") == 1
    assert [record["steps"] for record in read_json("a.measure.record")["records"]] == [2, 2, 3, 3, 4, 4]
    assert run("measure", name="whole") == found
    assert worked(counted, "measure") == 3
    samples(2, 4)
    run("measure")
    assert worked(counted, "measure") == 0
    assert [record["steps"] for record in read_json("a.measure.record")["records"]] == [2, 2, 4, 4]


CHANGES = {
    "sample": [{"n": 2}, {"seeds": [0, 2]}, {"sampler": {"clip": 0.5}}, {"sampler": {"solver": {"kind": "walk", "rule": "ddim"}}}],
    "searched": [{"search": {"budget": 20}}, {"sampler": {"clip": 0.5}}],
    "frozen": [{"search": {"frozen_samples": 3}}, {"run": {"adjust": {"mode": "taylor"}}}],
}


@pytest.mark.parametrize(("kind", "change"), [(kind, change) for kind, changes in CHANGES.items() for change in changes])
def test_a_changed_spec_makes_all_anew(counted, kind, change):
    run(kind)
    worked(counted, kind)
    spec = changed(SPECS[kind], {**change, "steps": [2, 3, 4]})
    found = run(kind, spec)
    assert worked(counted, kind) == [2, 3, 4]
    assert run(kind, spec, "whole") == found


@pytest.mark.parametrize("kind", ["sample", "searched", "frozen"])
def test_changed_code_makes_all_anew(counted, kind):
    run(kind)
    worked(counted, kind)
    run(kind, code="1")
    assert worked(counted, kind) == [2, 3]


@pytest.mark.parametrize("kind", ["sample", "searched", "frozen"])
def test_a_changed_input_makes_all_anew(counted, kind):
    run(kind)
    worked(counted, kind)
    tensors, _ = load_tensors("net")
    save_tensors("net", {name: 1.01 * value for name, value in tensors.items()}, {"kind": "net"})
    run(kind)
    assert worked(counted, kind) == [2, 3]


@pytest.mark.parametrize("kind", ["sample", "searched", "frozen"])
def test_what_was_touched_by_hand_is_made_anew(counted, kind):
    found = run(kind)
    for result in (*RESULTS[kind], "made"):
        worked(counted, kind)
        path = Path(f"a.{kind}.{result}")
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        assert run(kind) == found
        assert worked(counted, kind) == [2, 3], result


def test_measured_again_after_a_change_of_spec_code_or_file(counted):
    samples(2, 3)
    spec = SPECS["measure"]
    run("measure")
    run("measure", changed(spec, {"evaluation": {"neighbours": [3]}}))
    run("measure", code="1")
    run("measure")
    path = Path("a.measure.record")
    path.write_text(path.read_text().replace('"steps": 2', '"steps": 1'))
    run("measure")
    assert worked(counted, "measure") == 5 * 2
    Path("weights").write_text("others")
    run("measure", weights="weights")
    assert worked(counted, "measure") == 2


def test_one_changed_sample_is_measured_again_for_its_step_count_alone(counted):
    samples(2, 3)
    run("measure")
    worked(counted, "measure")
    tensors, meta = load_tensors("samples")
    tensors["samples/3"][1, 2, 0, 0, 0] += 1
    save_tensors("samples", tensors, meta)
    run("measure")
    assert worked(counted, "measure") == 1


def test_a_schedule_file_that_gains_a_step_count_leaves_the_others(counted):
    spec = changed(SPECS["sample"], {"sampler": {"schedule": "searched"}})
    known = {steps: fitted(0.02, steps, 1e-3) for steps in (2, 3, 4)}
    write_schedules(Path("own.csv"), {steps: known[steps] for steps in (2, 3)})
    run("sample", spec, schedules="own.csv")
    worked(counted, "sample")
    write_schedules(Path("own.csv"), known)
    more = changed(spec, {"steps": [2, 3, 4]})
    found = run("sample", more, schedules="own.csv")
    assert worked(counted, "sample") == [4]
    assert run("sample", more, "whole", schedules="own.csv") == found
    worked(counted, "sample")
    write_schedules(Path("own.csv"), known | {3: fitted(0.02, 3, 2e-3)})
    run("sample", more, schedules="own.csv")
    assert worked(counted, "sample") == [3]


def test_two_more_columns_change_the_jobs_of_their_rows_alone(rewritten, monkeypatch):
    """Of all jobs of scale laptop, with what they read and write: those that draw the rows, or search for them, and the table."""
    monkeypatch.chdir(ROOT)
    asked = {"noise_estimation/T2": [3, 5, 10, 20, 50, 100], "soft_diffusion/F3": [10, 25, 50, 100]}
    before = plan.Workflow(params.load(rewritten(), "laptop"))
    files = job_names(before)
    for table, steps in asked.items():
        after = plan.Workflow(params.load(rewritten((f"{table.replace('/', '/tables/')}/steps", [*steps, 30, 40])), "laptop"))
        rows = [row for row in after.rows(*table.split("/")) if row["run"]]
        own = {row["sampler"] for row in rows if before.params.samplers[row["sampler"]].steps is not None}
        drawn = {(row["run"], str(seed), row["sampler"]) for row in rows for seed in before.params.runs[row["run"]].seeds}
        drawn = {row for row in drawn if row[2] not in own}
        wanted = {("sample", *row) for row in drawn}
        wanted |= {("search", *row) for row in drawn if before.params.samplers[row[2]].schedule in METHODS}
        found = job_names(after)
        assert found.keys() == files.keys()
        assert {job for job in files if files[job] != found[job]} == wanted | {("table", *table.split("/"))}
