"""What a change of a number, of code or of a file re-runs at scale smoke by itself; what comes after follows from the files."""

from collections import Counter
from pathlib import Path

import pytest
from job_files import every_job
from second_walk import SOURCES, edited

from difftables.planning import params, plan
from difftables.provenance import fingerprint

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def smoke():
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        return plan.read("smoke")


def specs(found):
    return {name: found.spec_hash(name[0], *of) for name, (of, _) in every_job(found).items()}


@pytest.mark.parametrize(
    ("place", "value", "wanted"),
    [
        ("noise_estimation/runs/digits/adjust/first_beta", 2e-4, {"search": 1, "sample": 5, "robustness": 1}),
        ("smoke:search/images/budget", 700, {"search": 1}),
        ("smoke:search/speech/budget", 300, {"search": 1}),
        ("improved_ddpm/runs/cosine-simple/sigma_data", 0.4, {"train": 1, "sample": 1, "likelihood": 1}),
        ("noise_estimation/samplers/ddim-oracle/clip", 0.9, {"sample": 1}),
    ],
)
def test_a_number_re_runs_what_reads_it(smoke, rewritten, monkeypatch, place, value, wanted):
    monkeypatch.chdir(ROOT)
    before, after = specs(smoke), specs(plan.Workflow(params.load(rewritten((place, value)), "smoke")))
    assert before.keys() == after.keys()
    assert Counter(name[0] for name in before if before[name] != after[name]) == wanted


@pytest.mark.parametrize(
    ("module", "name", "wanted"),
    [
        ("sampling.rules", "ddim", {"search": 2, "sample": 19, "robustness": 1, "table": 6}),  # also the exact problems
        ("nets.tasnet", "TasNet", {"train_estimator": 1, "errors": 1, "robustness": 1, "search": 1, "sample": 3}),
        ("estimation.oracle", "Oracle", {"sample": 1, "errors": 1}),
    ],
)
def test_code_re_runs_what_reaches_it(smoke, monkeypatch, module, name, wanted):
    monkeypatch.chdir(ROOT)
    jobs = {key: (key[0], smoke.spec(key[0], *of)) for key, (of, _) in every_job(smoke).items()}
    before = {key: fingerprint.code(*job) for key, job in jobs.items()}
    module = f"difftables.{module}"
    monkeypatch.setattr(fingerprint, "source", (SOURCES | {module: edited(module, (module, name))}).get)
    fingerprint.forget()
    after = {key: fingerprint.code(*job) for key, job in jobs.items()}
    monkeypatch.undo()
    fingerprint.forget()
    assert Counter(key[0] for key in jobs if before[key] != after[key]) == wanted
