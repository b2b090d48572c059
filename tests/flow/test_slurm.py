"""The same DAG through a real Slurm of one machine: the same cells, GPUs asked for, a cancelled job that goes on.

Only with DIFFTABLES_SLURM=1, as `make slurm` sets it: Debian's packages are installed, and /etc/slurm is written.
"""

import os
import re
import subprocess
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "slurm.sh"
# This Slurm keeps no accounts, and its one node is this machine: no need to wait as long as the profile does.
HERE = ["--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "2", "--seconds-between-status-checks", "2"]
SLURM = ["--workflow-profile", "profiles/slurm", "--latency-wait", "20", *HERE]
SMOKE = ["--config", "scale=smoke"]

pytestmark = pytest.mark.skipif(os.environ.get("DIFFTABLES_SLURM") != "1", reason="installs and starts a Slurm; make slurm does it")


@pytest.fixture(scope="module", autouse=True)
def slurm():
    """A running Slurm, ended after the last test of this file."""
    started = subprocess.run([SCRIPT, "start"], capture_output=True, text=True, timeout=600)
    if started.returncode == 3:
        pytest.skip(started.stdout.strip())
    assert started.returncode == 0, started.stdout + started.stderr
    yield
    subprocess.run([SCRIPT, "stop"], check=True)


def told(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def submitted(folder):
    """What Slurm knows of the jobs sent from a folder: rule to its lines of `scontrol show job`."""
    lines = [line for line in told("scontrol", "--oneliner", "show", "jobs").splitlines() if f"WorkDir={folder} " in line + " "]
    return {re.search(r"Comment=rule_([a-z_]+?)(?:_wildcards|\s|$)", line)[1]: line for line in lines}


def test_a_job_that_wants_a_gpu_asks_slurm_for_it(fresh):
    """As scale gpu does: the rule states it, Slurm gives it, and without CUDA the job does its work on the CPU."""
    fresh.change("params.yaml", {"resources/gpu": 1})
    features = "results/smoke/store/data/digits.features.safetensors"
    fresh.snakemake(*SLURM, features)
    assert (fresh.path / features).exists()
    jobs = submitted(fresh.path)
    assert "TresPerJob=gres:gpu:1" in jobs["reference"]
    assert "gres" not in jobs["data"]
    assert all("JobState=COMPLETED" in line and "NumNodes=1 " in line for line in jobs.values())


def test_a_cancelled_training_job_goes_on_to_the_bits_of_an_undisturbed_one(fresh, tmp_path):
    """scancel in the middle; the next snakemake sends the job again, which resumes at the step it had reached."""
    fresh.change("workflow/papers/noise_estimation/params.smoke.yaml", {"runs/digits/train/steps": 300})
    net, log = (
        "results/smoke/store/nets/noise_estimation/digits/s0/net.safetensors",
        fresh.path / "results/smoke/logs/train/noise_estimation/digits/s0.log",
    )
    undisturbed = fresh.copied(tmp_path / "undisturbed")
    undisturbed.snakemake(net)
    with open(tmp_path / "driver.log", "w") as file:
        driver = fresh.start("snakemake", *SLURM, net, *SMOKE, log=file)
    deadline = time.monotonic() + 300
    while not list(fresh.path.glob(".cache/states/*/state.pt")) and time.monotonic() < deadline:
        time.sleep(0.1)
    told("scancel", re.search(r"JobId=(\d+)", submitted(fresh.path)["train"])[1])
    assert driver.wait(timeout=300) != 0
    assert "CANCELLED" in (tmp_path / "driver.log").read_text()
    assert not (fresh.path / net).exists()
    stopped = re.search(r"stopped by SIGTERM at step (\d+)", log.read_text())
    fresh.snakemake(*SLURM, net)
    resumed = re.search(r"resuming at step (\d+) of 300", log.read_text())
    assert stopped[1] == resumed[1]
    assert (fresh.path / net).read_bytes() == (undisturbed.path / net).read_bytes()
    curve = "results/smoke/tables/curves/noise_estimation/digits-s0-net.csv"
    assert (fresh.path / curve).read_bytes() == (undisturbed.path / curve).read_bytes()


def test_all_jobs_through_slurm_give_the_cells_of_a_local_run(finished, fresh):
    found = fresh.run("snakemake", *SLURM, *SMOKE, timeout=5400)
    sent = set(re.findall(r"submitted with SLURM jobid \d+ \(log: .*/slurm_logs/rule_(\w+)/", found.text))
    assert sent >= {"data", "train", "search", "sample", "measure"}
    assert not {"table", "plain_table", "report"} & sent
    assert "the same;" in finished.run("difftables", "verify", "results/smoke", fresh.path / "results/smoke").text
    assert "Nothing to be done" in fresh.snakemake("-n").text  # nor for a local snakemake
