"""Samples in shards: a killed job goes on after the finished ones, parts are made apart, and no bit depends on either."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from job_files import RUN, changed, read_job, write_job

from difftables.common.files import load_tensors, read_json, save_tensors
from difftables.config.job_specs import SampleSpec
from difftables.config.run_spec import RunSpec
from difftables.estimation import level_sources
from difftables.jobs import job as jobs
from difftables.jobs import sample
from difftables.nets.build import build_net
from difftables.provenance import fingerprint
from difftables.sampling.loaded_run import LoadedRun
from difftables.sampling.shards import KeptShards, Shard, level_quantiles, spans

SOURCE = Path(__file__).parents[2] / "src"
VP = RunSpec.model_validate(RUN | {
    "schedule": {"family": "linear", "steps": 40, "first": 1e-3, "last": 0.3}, "prior": "standard_normal", "precondition": "direct",
    "conditioning": "timestep", "adjust": {"first_beta": 1e-3},
})  # fmt: skip
WALK = {"solver": {"kind": "walk", "rule": "ddpm-small"}, "schedule": "even"}
# Ten samples in batches of two: shards of four samples are 0-4, 4-8 and 8-10.
SPEC = SampleSpec(run=VP, sampler=WALK, steps=[2, 3], n=5, seeds=[0, 1], batch=2)
SAMPLERS = {
    "a level a step": WALK,
    "adjusted, a level a sample": {"solver": {"kind": "walk", "rule": "ddim"}, "schedule": "fitted", "adapt": "estimator"},
    "steps a batch chooses": {"solver": {"kind": "rk45", "path": "linear", "tolerance": 1e-2}, "schedule": "even"},
}  # fmt: skip
FILES = {"net": "net", "data": "data"}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with an untrained net, where `drawn` lists the spans of samples that were generated."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    images = torch.randint(256, (50, 1, 4, 4), dtype=torch.uint8)
    save_tensors("data", {"images": images, "labels": torch.zeros(50), "held_out": torch.arange(50) >= 40}, {"kind": "data"})
    net = build_net(VP.net, VP.data)
    for parameter in net.parameters():  # the last layer of an untrained net is zero
        torch.nn.init.normal_(parameter, std=0.3)
    save_tensors("net", net.state_dict(), {"kind": "net"})
    monkeypatch.setitem(level_sources.ESTIMATES, "estimator", lambda *_: lambda x: 1 / (1 + x.square().mean(dim=(1, 2, 3)).double()))
    monkeypatch.setattr(fingerprint, "packages", lambda *_: {})
    return tmp_path


@pytest.fixture
def drawn(monkeypatch):
    """The step counts and spans that were generated; `drawn.kill` is the count of them that a job survives."""

    class Drawn(list):
        kill = None

    found, generate = Drawn(), LoadedRun.generate

    def generated(run, keys, sampler, steps, *more, span, **options):
        if len(found) == found.kill:
            found.kill = None
            raise KeyboardInterrupt
        found.append((steps, span.start, span.stop))
        return generate(run, keys, sampler, steps, *more, span=span, **options)

    monkeypatch.setattr(LoadedRun, "generate", generated)
    return found


def run(name, *options, spec=SPEC):
    """Run a job with its provenance, as a rule does.  Returns: the bytes of its samples; None for a part, which writes none."""
    outputs = {"samples": f"{name}.samples", "made": f"{name}.made"}
    job = read_job("sample", spec, FILES, outputs, "0", *options)
    sample.run(job)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fingerprint, "code", lambda *_: "0")
        jobs.finish(job)
    return Path(outputs["samples"]).read_bytes() if Path(outputs["samples"]).exists() else None


def shards():
    """The names of the shards that are kept."""
    return sorted(path.name for path in jobs.STATES.rglob("*.safetensors"))


@pytest.mark.parametrize(("count", "batch", "shard", "expected"), [
    (10, 2, 4, [(0, 4), (4, 8), (8, 10)]), (10, 2, 5, [(0, 4), (4, 8), (8, 10)]), (10, 4, 1, [(0, 4), (4, 8), (8, 10)]),
    (10, 2, 0, [(0, 10)]), (10, 2, 100, [(0, 10)]),
])  # fmt: skip
def test_a_shard_is_whole_batches(count, batch, shard, expected):
    assert [(span.start, span.stop) for span in spans(count, batch, shard)] == expected


@pytest.mark.parametrize("name", SAMPLERS)
def test_no_byte_depends_on_the_size_of_a_shard(folder, drawn, name):
    spec = changed(SPEC, {"sampler": SAMPLERS[name]})
    whole = run("whole", spec=spec)
    assert drawn == [(2, 0, 10), (3, 0, 10)]
    drawn.clear()
    assert run("shards", "--shard", "4", spec=spec) == whole
    assert drawn == [(steps, first, last) for steps in (2, 3) for first, last in ((0, 4), (4, 8), (8, 10))]
    assert run("small", "--shard", "1", spec=spec) == whole
    assert not list(jobs.STATES.glob("*")), "what a killed run would need leaves with the job"
    tensors, _ = load_tensors("whole.samples", "samples")
    assert len(tensors["samples/3"].unique()) > 10
    spread = (tensors["levels/3"][2] - tensors["levels/3"][1]).max()
    assert (spread > 0) == (name != "a level a step")


@pytest.mark.parametrize("kill", [1, 2, 4, 5])
def test_a_job_killed_between_two_shards_goes_on_to_the_same_bytes(folder, drawn, kill):
    whole = run("whole")
    drawn.clear()
    drawn.kill = kill
    with pytest.raises(KeyboardInterrupt):
        run("killed", "--shard", "4")
    assert len(shards()) == len(drawn) == kill and not Path("killed.samples").exists()
    assert run("killed", "--shard", "4") == whole
    assert len(drawn) == len(set(drawn)) == 6, "no shard is drawn twice"
    assert set(read_json("killed.made")["cost"]) == {"2", "3"}


def test_a_job_killed_without_warning_goes_on_to_the_same_bytes(folder, drawn):
    whole = run("whole")
    drawn.clear()
    outputs = {"samples": "killed.samples", "made": "killed.made"}
    argv = ["sample", write_job("job.json", SPEC, FILES, outputs), "--code", "0", "--shard", "4"]
    code = f"""
import os, signal
from difftables.__main__ import run_here
from difftables.sampling.shards import KeptShards
write, written = KeptShards.write, []
def killed(*args):
    write(*args)
    written.append(args)
    if len(written) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
KeptShards.write = killed
run_here("sample", {argv[1:]!r})
"""
    ended = subprocess.run([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"})
    assert ended.returncode == -signal.SIGKILL
    assert shards() == ["0-4.safetensors", "4-8.safetensors"]
    assert run("killed", "--shard", "4") == whole
    assert drawn == [(2, 8, 10), (3, 0, 4), (3, 4, 8), (3, 8, 10)]


def test_parts_are_made_apart_and_joined(folder, drawn):
    """Two machines with one folder, each a part; the third job draws nothing, and one that comes too early draws what is missing."""
    whole = run("whole")
    for part, expected in (("2/3", [(2, 4, 8), (3, 4, 8)]), ("1/3", [(2, 0, 4), (3, 0, 4)]), ("3/3", [(2, 8, 10), (3, 8, 10)])):
        drawn.clear()
        assert run("joined", "--shard", "4", "--part", part) is None
        assert drawn == expected and not Path("joined.made").exists()
    drawn.clear()
    assert run("joined", "--shard", "4") == whole
    assert drawn == []
    run("early", "--shard", "4", "--part", "1/2")
    drawn.clear()
    assert run("early", "--shard", "4") == whole
    assert drawn == [(2, 4, 8), (3, 0, 4), (3, 8, 10)]


@pytest.mark.parametrize("options", [["--part", "1/2"], ["--shard", "4", "--part", "0/2"], ["--shard", "4", "--part", "3/2"],
                                     ["--shard", "4", "--part", "two"]])  # fmt: skip
def test_a_part_that_is_none_is_refused(folder, options, capsys):
    with pytest.raises(SystemExit):
        read_job("sample", SPEC, FILES, {"samples": "s", "made": "m"}, "0", *options)
    assert "part" in capsys.readouterr().err


def test_a_damaged_shard_and_one_of_other_work_are_drawn_again(folder, drawn):
    whole = run("whole")
    run("job", "--shard", "4", "--part", "1/1")
    kept = {path.name: path for path in jobs.STATES.rglob("*.safetensors") if "0-4" in path.name or "4-8" in path.name}
    kept["0-4.safetensors"].write_bytes(kept["0-4.safetensors"].read_bytes()[:100])
    other = KeptShards(kept["4-8.safetensors"].parent, "of another fingerprint")
    other.write(
        range(4, 8),
        Shard(torch.zeros(4, 1, 4, 4, dtype=torch.uint8), torch.zeros(2, 1), torch.zeros(0), torch.zeros(1, 1), {"calls": {"1": 4}}),
    )
    drawn.clear()
    assert run("job", "--shard", "4") == whole
    assert len(drawn) == len({kept[name] for name in kept})


def test_other_noise_is_another_state(folder, drawn):
    """A change of the spec between kill and restart begins anew; a new step count does not."""
    drawn.kill = 2
    with pytest.raises(KeyboardInterrupt):
        run("job", "--shard", "4")
    drawn.clear()
    run("job", "--shard", "4", spec=changed(SPEC, {"steps": [2, 5]}))
    assert [each for each in drawn if each[0] == 2] == [(2, 8, 10)]
    drawn.clear()
    run("other", "--shard", "4", spec=changed(SPEC, {"steps": [2], "seeds": [2, 3]}))
    assert len(drawn) == 3


def test_quantiles_of_levels_are_those_of_all_samples():
    """Shards of levels that all samples share, and of such as they do not; a solver's shortest batch counts."""
    levels = [torch.rand(5, 1), torch.rand(4, 3), torch.rand(6, 1)]
    parts = [
        Shard(torch.zeros(count, 1), each, torch.zeros(0), torch.zeros(1, 1), {}) for each, count in zip(levels, (2, 3, 4), strict=True)
    ]
    every = torch.cat([each[:4].expand(4, len(part.samples)) for each, part in zip(levels, parts, strict=True)], dim=1)
    expected = torch.quantile(every, torch.tensor([0.5, 0.05, 0.95]), dim=1)
    assert torch.equal(level_quantiles(parts), expected)
