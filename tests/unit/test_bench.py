"""`make bench` runs: each comparison at its tiniest, and what the harness makes of seconds."""

import csv
import importlib
import math
import os
import time
from dataclasses import replace

import pytest
import torch

from bench import jobs, ledger, page
from bench.harness import TINY, Row, Timer, compared, interleaved, measured, missing
from bench.metrics import published_net
from bench.search import candidates_of, one_by_one
from bench.subjects import digits, voice
from bench.variants import variants
from checkouts import ROOT
from difftables.jobs import train
from difftables.jobs.job import finish, parse
from difftables.metrics.features import extract, load
from difftables.metrics.torchvision_stub import torchvision_operators
from difftables.sampling.solvers import bind

CPU = torch.device("cpu")
TIMED = ["sampling", "training", "peak", "metrics", "search", "extras", "stable_target", "memory"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder for data files, which all comparisons share."""
    return tmp_path_factory.mktemp("bench")


@pytest.mark.parametrize("name", TIMED)
def test_comparisons_run_and_are_finite(name, folder):
    for comparison in importlib.import_module(f"bench.{name}").COMPARISONS:
        rows = [row for row in comparison(TINY, folder, CPU) if row.rounds]
        assert rows
        for row in rows:
            values = [row.ours, row.theirs, row.ratio, row.lowest, row.highest]
            assert all(math.isfinite(value) and value > 0 for value in values), row
            assert row.lowest <= row.ratio <= row.highest


def test_each_round_of_a_comparison_is_one_ratio():
    row = compared("p", "w", [1.0, 4.0, 3.0], [2.0, 2.0, 2.0], "h", timer=Timer(CPU), per=2)
    assert (row.ours, row.theirs, row.ratio, row.lowest, row.highest, row.rounds) == (1.5, 1.0, 1.5, 0.5, 2.0, 3)


def test_functions_take_turns_after_one_call_each():
    calls = []
    found = interleaved([lambda: calls.append("a"), lambda: calls.append("b")], 2, Timer(CPU))
    assert calls == ["a", "b"] * 3
    assert [len(each) for each in found] == [2, 2]


def test_seconds_are_those_of_the_processor_not_of_the_wall():
    assert Timer(CPU).seconds(lambda: time.sleep(0.05)) < 0.04


def test_one_by_one_scores_each_candidate(folder):
    """As many scores as candidates, and the same candidate twice has the same score from the same noise."""
    subject = voice(folder, CPU)
    candidates = candidates_of(subject, 2, 3)
    reference, _ = subject.dataset.excerpts("search", 2)
    arguments = subject.net().eval(), candidates, reference, subject.dataset.mel(reference), subject.dataset.mel
    scores = []
    for _ in range(2):
        torch.manual_seed(0)
        scores.append(one_by_one(*arguments))
    assert scores[0] == scores[1] and len(set(scores[0])) == 3


@pytest.mark.parametrize("make", [digits, voice])
def test_nets_of_subjects_answer_to_their_input(make, folder):
    """Layers that start at zero are filled: else a compiler, or a fast path for zeros, would have less to do."""
    net = make(folder, CPU).net()
    assert all(bool(parameter.any()) for parameter in net.parameters())


def test_diffusers_net_has_as_many_parameters(folder):
    from bench.sampling import diffusers_net

    torchvision_operators()
    subject = digits(folder, CPU)
    count = [sum(p.numel() for p in net.parameters()) for net in (subject.net(), diffusers_net(subject))]
    assert count[0] == count[1]


def test_pipeline_of_diffusers_draws_as_our_sampler(folder):
    """The same noise, net and levels: the same digits, so that the bench compares like with like. Clipping, where they differ, is off."""
    from bench.sampling import pipeline_of, wrapped_for_diffusers

    torchvision_operators()
    subject = digits(folder, CPU)
    unet = wrapped_for_diffusers(subject.net(), subject)
    sampler = subject.sampler.model_copy(update={"clip": None})
    loaded = subject.loaded(unet.net, 4)
    schedule = loaded.first_schedule(sampler, 5)
    start = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    scheduler = pipeline_of(unet, subject).scheduler
    scheduler.register_to_config(clip_sample=False)
    scheduler.set_timesteps(5)
    x = start
    with torch.inference_mode():
        for t in scheduler.timesteps:
            x = scheduler.step(unet(x, t).sample, t, x, eta=0.0).prev_sample
        ours = bind(sampler.solver)(start, schedule, denoise=loaded.denoise, corrupt=loaded.corrupt, randn=torch.randn_like)
    # diffusers keeps its levels in float32.
    torch.testing.assert_close(ours, x, rtol=5e-3, atol=5e-3 * x.abs().max().item())


@pytest.mark.parametrize("name", ["bfloat16", "channels-last"])
def test_variants_answer_nearly_as_the_net(name, folder):
    subject = digits(folder, CPU)
    x, c_noise = torch.randn(2, 1, 8, 8), torch.tensor([3.0, 500.0])
    with torch.inference_mode():
        plain = subject.net()(x, c_noise)
        changed = variants(CPU, "inductor")[name](subject.net())(x, c_noise)
    torch.testing.assert_close(changed, plain, atol=0.05, rtol=0.05)


def test_nothing_is_compiled_on_a_processor():
    assert set(variants(CPU, "inductor")) == {"bfloat16", "channels-last"}
    assert {"compile", "CUDA graphs"} <= set(variants(torch.device("cuda"), "inductor"))


def test_published_feature_net_has_our_features(folder):
    subject = digits(folder, CPU)
    images = subject.dataset.tensors["images"][:3].expand(-1, 3, -1, -1)
    ours = extract(load("efficientnet-lite0", 32, None, None, CPU), images, 3, CPU)
    for a, b in zip(ours, published_net(32, CPU)(images), strict=True):
        torch.testing.assert_close(a, b.to(a.dtype), rtol=1e-3, atol=1e-3)


def test_smallest_job_is_a_job(folder, monkeypatch):
    """It trains one step and leaves its record."""
    monkeypatch.chdir(ROOT)
    verb, *rest = jobs.smallest_job(folder)
    monkeypatch.chdir(folder)
    parsed = parse(verb, rest)
    train.run(parsed)
    finish(parsed)
    assert all((folder / path).exists() for paths in parsed.outputs.values() for path in paths)
    assert parsed.cost["training"]["parameters"] == 176849


def test_heaviest_jobs_come_first(tmp_path):
    store = tmp_path / "results/laptop/store/benchmarks"
    for name, peak in (("train/a/s0", "12.5"), ("sample/b/s0/ddim", "80.0"), ("table/c", "NA")):
        (store / name).parent.mkdir(parents=True, exist_ok=True)
        (store / f"{name}.tsv").write_text(f"s\tmax_rss\n1.0\t{peak}\n")
    rows = jobs.heaviest(store)
    assert [(row.what, row.ours) for row in rows] == [("laptop: sample/b/s0/ddim", 80.0), ("laptop: train/a/s0", 12.5)]


def test_ledger_of_two_commits(tmp_path):
    found = {
        "rules": [{"rule": "train", "total": 30.0}, {"rule": "table", "total": 6.0}], "scheduling": {"total": 4.0},
        "seconds": {"start_up": 10.0, "net": 26.0}, "total": 40.0,
    }  # fmt: skip
    path = tmp_path / "before.csv"
    path.write_text("name,seconds,how\nrule train,60,by hand\nrule gone,5,by hand\ntotal,80,by hand\n")
    rows = {row.what: (row.ours, row.theirs, row.ratio) for row in ledger.rows(ledger.seconds(found), *ledger.read(path))}
    assert rows["rule train"] == (30.0, 60.0, 0.5) and rows["total"] == (40.0, 80.0, 0.5)
    assert rows["rule gone"] == (None, 5.0, None) and rows["scheduling"] == (4.0, None, None)
    assert rows["all jobs: start-up"] == (10.0, None, None)


def test_page_has_a_row_for_each_comparison(tmp_path):
    rows = [Row("p", "a | b", "s", "h", 1.5, 3.0, 0.5, 0.4, 0.6, 5), measured("q", "c", [1234.5], "MB", "h"), missing("r", "d", "why")]
    page.write(tmp_path, rows, page.circumstances(CPU, os.getloadavg()[0], 60.0))
    table = [line for line in (tmp_path / "README.md").read_text().splitlines() if line.startswith("| ")]
    assert len(table) == 2 + len(rows)
    assert table[2].split(" | ")[3:8] == ["1.5", "3", "s", "0.5", "0.4 to 0.6"]
    with open(tmp_path / "bench.csv", newline="") as file:
        written = list(csv.DictReader(file))
    assert [row["ours"] for row in written] == ["1.5", "1234.5", ""]
    assert replace(rows[0], what="x") != rows[0]
