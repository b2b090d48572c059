"""Jobs in two processes: what one process finds, whatever stops them, and what is refused."""

import multiprocessing
import os
import re
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import torch
from job_files import changed, write_job
from torch.distributed import TCPStore

from difftables.common import parallel
from difftables.common.errors import ConfigError
from difftables.common.files import load_tensors, save_tensors
from difftables.data.image_files import held_out_mask
from difftables.planning import params, plan

ROOT = Path(__file__).parents[2]
LIMIT = 60  # seconds until a process that does not end is killed
START = multiprocessing.get_context("forkserver")  # imports once, and forks what has no threads yet
START.set_forkserver_preload(
    ["difftables.jobs.train", "difftables.training.loop", "difftables.estimation.level_sources", "accelerate.utils", "torch._dynamo"]
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a hundred and ten made-up images of two classes, where jobs run."""
    monkeypatch.chdir(tmp_path)
    images = torch.randint(256, (110, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    tensors = {"images": images, "labels": torch.arange(110) % 2, "held_out": held_out_mask(110, 10, 0)}
    save_tensors(Path("data.safetensors"), tensors, {"kind": "data"})
    return tmp_path


def child(rank, size, port, folder, argv, trouble):
    """One process, as torchrun would start it; its exit status is that of the command."""
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size), "LOCAL_WORLD_SIZE": str(size)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "TORCHELASTIC_USE_AGENT_STORE": "True"}
    os.chdir(folder)
    log = os.open(f"log-{rank}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    from difftables.__main__ import main
    from difftables.jobs import job as jobs
    from difftables.training import batch_loss
    from difftables.training import loop as train

    rate, loss, loop = train.learning_rate, batch_loss.denoising_loss, train.train

    def struck(step, numbers):
        if isinstance(trouble, signal.Signals) and rank == 1 and step == 5:
            os.kill(os.getpid(), trouble)
        return rate(step, numbers)

    def broken(x0, level, *others, **options):
        struck.calls += 1
        found = loss(x0, level, *others, **options)
        return found * torch.tensor([1.0, float("nan"), 1.0, 1.0]) if rank == 1 and struck.calls == 5 else found

    def kept(*arguments):
        weights, curve = loop(*arguments)
        torch.save((weights, curve), f"found-{rank}.pt")
        return weights, curve

    struck.calls = 0
    train.learning_rate, train.train, jobs.finish = struck, kept, id  # the code is what it was: looking takes a second
    batch_loss.denoising_loss = broken if trouble == "nan" else loss
    sys.exit(main(argv))


def processes(folder, argv, size=2, trouble=None):
    """Run a command in so many processes: their exit statuses, and what they wrote."""
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)  # outlives them, as that of torchrun does
    running = [START.Process(target=child, args=(rank, size, store.port, str(folder), argv, trouble)) for rank in range(size)]
    for each in running:
        each.start()
    try:
        for each in running:
            each.join(LIMIT)
    finally:
        for each in running:
            each.kill()
            each.join()
    return [each.exitcode for each in running], [(folder / f"log-{rank}").read_text() for rank in range(size)]


def training(name, run, verb="train", **changes):
    """The command line that trains a run of params.yaml, changed, for twelve steps on the images."""
    spec = laptop().spec(verb, run, "0")
    short = {"train": {"steps": 12, "batch": 8, "save_every": 100, "checkpoints": []} | changes.pop("train", {})}
    short["train"]["warmup"] = short["train"]["steps"]
    spec = changed(spec, {"run": changes | (short if verb == "train" else {"estimator": short})})
    outputs = {out: f"{name}.{out}" for out in ("net", "curve")}
    return [verb, write_job(f"{name}.json", spec, {"data": "data.safetensors"}, outputs), "--code", "0"]


@cache
def laptop():
    here = Path.cwd()
    os.chdir(ROOT)
    try:
        return plan.read("laptop")
    finally:
        os.chdir(here)


MADE_UP = {"reader": "folder", "root": "images"}
LABELLED = {"target": {"kind": "stable_field", "references": 24}, "data": MADE_UP | {"classes": 2}}
AWARE = {"schedule": {"steps": 4}, "train": {"batch": 16}}
CASES = {
    "plain": ("edm/ve-a", "train", {"target": {"kind": "clean"}}),
    "stable target": ("edm/ve-a", "train", LABELLED),
    "augmented": ("edm/ve-f", "train", {"train": {"augment": 0.5}}),
    "drawn by loss": ("improved_ddpm/cosine-vlb-long", "train", AWARE),
    "estimator": ("noise_estimation/digits", "train_estimator", {}),
}


@pytest.mark.parametrize("case", CASES)
def test_two_processes_train_to_what_one_does(folder, case):
    run, verb, changes = CASES[case]
    assert processes(folder, training("one", run, verb, **changes), size=1)[0] == [0]
    weights, curve = torch.load("found-0.pt")
    codes, logs = processes(folder, training("two", run, verb, **changes))
    assert codes == [0, 0], logs
    found = [torch.load(f"found-{rank}.pt") for rank in range(2)]
    assert all(torch.equal(found[0][0][name], found[1][0][name]) for name in weights)
    assert found[0][1] == found[1][1] and len(curve) == 12
    assert [row[4] is None for row in found[0][1]] == [row[4] is None for row in curve]
    for row, other in zip(found[0][1], curve, strict=True):
        assert [value for value in row if value is not None] == pytest.approx([value for value in other if value is not None], rel=1e-5)
    torch.testing.assert_close(found[0][0], weights, rtol=1e-5, atol=1e-5)
    assert Path("two.net").exists() and not logs[1]


def test_two_processes_draw_the_bits_of_one(folder):
    """Ten samples in batches of four, by an ODE whose steps a batch shares and adjusted, with what it all costs."""
    assert processes(folder, training("net", "edm/ve-a", train={"steps": 2}), size=1)[0] == [0]
    assert processes(folder, training("eps", "noise_estimation/digits", train={"steps": 2}), size=1)[0] == [0]
    for run, sampler, net, steps in (
        ("edm/ve-a", "stable_target_field/rk45-ve", "net", 1),
        ("noise_estimation/digits", "noise_estimation/ddim-oracle", "eps", 3),
    ):
        spec = changed(laptop().sample_spec(run, sampler), {"steps": [steps], "n": 5, "seeds": [0, 1], "batch": 4})
        found = []
        for size in (1, 2):
            inputs, outputs = {"net": f"{net}.net", "data": "data.safetensors"}, {"samples": f"{size}.samples", "made": f"{size}.made"}
            codes, logs = processes(folder, ["sample", write_job(f"{size}.json", spec, inputs, outputs), "--code", "0"], size=size)
            assert codes == [0] * size, logs
            tensors, meta = load_tensors(Path(f"{size}.samples"))
            found.append((tensors, meta["counts"][str(steps)]))
        assert all(torch.equal(found[0][0][name], found[1][0][name]) for name in found[0][0])
        assert found[0][1] == found[1][1]
        assert found[0][1]["network_evaluations"] >= 10 * steps and (found[0][1]["estimator_evaluations"] > 0) == (
            sampler == "noise_estimation/ddim-oracle"
        )


def test_sigterm_at_one_process_stops_all_and_the_same_command_goes_on(folder):
    argv = training("whole", "edm/ve-a", **LABELLED)
    assert processes(folder, argv)[0] == [0, 0]
    weights, curve = torch.load("found-0.pt")
    codes, logs = processes(folder, argv, trouble=signal.SIGTERM)
    assert codes == [143, 143]
    assert logs == ["stopped by SIGTERM at step 6; the same command resumes from there\n", ""]
    (state,) = Path(".cache/states").glob("*/state.pt")
    assert torch.load(state, weights_only=True)["step"] == 6
    codes, logs = processes(folder, argv)
    assert codes == [0, 0] and logs[0].startswith("resuming at step 6 of 12")
    again = torch.load("found-0.pt")
    assert again[1] == curve and all(torch.equal(again[0][name], weights[name]) for name in weights)
    assert not state.exists()


def test_what_is_not_finite_at_one_process_stops_all_with_one_line(folder):
    codes, logs = processes(folder, training("broken", "edm/ve-a"), trouble="nan")
    assert codes == [1, 1]
    lines = "".join(logs).splitlines()
    assert len(lines) == 1 and re.match(r"difftables train: loss nan, gradient norm nan at step 4 \(worst at alpha_bar = 1\)", lines[0])
    assert not Path("broken.net").exists()


def test_a_process_that_dies_is_missed_by_the_other(folder):
    codes, logs = processes(folder, training("dead", "edm/ve-a"), trouble=signal.SIGKILL)
    assert codes == [1, -signal.SIGKILL]
    assert len(logs[0].splitlines()) == 1 and logs[0].startswith("difftables train: another process of this job no longer answers (")


def test_a_batch_that_does_not_divide_is_refused(folder):
    codes, logs = processes(folder, training("seven", "edm/ve-a", target={"kind": "clean"}, train={"batch": 7}))
    assert codes == [1, 1]
    message = "difftables train: train.batch is 7, which 2 processes cannot share; set resources.processes to a divisor\n"
    assert "".join(logs) == message


def test_no_spec_tells_of_processes(rewritten, monkeypatch):
    monkeypatch.chdir(ROOT)
    many = plan.Workflow(params.load(rewritten(("resources/processes", 2)), "laptop"))
    assert many.params.resources.processes == 2 and many.train_spec("edm/ve-a", "0") == laptop().train_spec("edm/ve-a", "0")
    assert many.sample_spec("edm/ve-a", "edm/heun") == laptop().sample_spec("edm/ve-a", "edm/heun")
    with pytest.raises(ConfigError, match=r"resources\.processes"):
        params.load(rewritten(("resources/processes", 0)), "laptop")


def test_other_verbs_run_in_one_process(monkeypatch, capsys):
    from difftables.__main__ import main

    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(["reference"]) == 2
    assert (
        capsys.readouterr().err == "difftables reference: runs in one process, not in 2; only train, train_estimator, sample can be split\n"
    )


def test_a_batch_is_taken_apart_and_its_own_part_leads_the_references():
    x, same = torch.arange(6), torch.eye(4, 6)
    worlds = [parallel.World(rank, 2) for rank in range(2)]
    assert [world.shard((x, None))[0].tolist() for world in worlds] == [[0, 1, 2], [3, 4, 5]]
    assert [world.roll_to_rank(x, 4).tolist() for world in worlds] == [[0, 1, 2, 3, 4, 5], [2, 3, 4, 5, 0, 1]]
    assert all(torch.equal(world.roll_to_rank(world.shard(same), 4, dim=1), torch.eye(2, 6)) for world in worlds)
    alone = parallel.World()
    assert alone.shard(x) is alone.roll_to_rank(x, 4) is alone.all_gather(x) is x and alone.any(True) and not alone.any(False)


def test_torchrun_runs_a_job_and_one_process_takes_no_torch(folder):
    argv = training("run", "edm/ve-a", train={"steps": 2})
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "difftables", *argv]
    launch[launch.index("--code") : launch.index("--code") + 2] = []
    found = subprocess.run(launch, capture_output=True, text=True, timeout=120)
    assert found.returncode == 0, found.stderr
    assert len(Path("run.curve").read_text().splitlines()) == 3
    code = "import sys, difftables.common.parallel as p; p.join('cpu').shard([1]); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
