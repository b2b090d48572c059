"""Locks of a killed run are nobody's; those of a living one stay."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src"
CODE = (
    "import sys; from pathlib import Path; from difftables.common import driver; print(driver.take(Path(sys.argv[1])), flush=True); input()"
)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "locks").mkdir()
    return tmp_path


def driver(folder):
    """Another process that says it drives the folder: what it found there, and the process."""
    process = subprocess.Popen([sys.executable, "-c", CODE, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    return process.stdout.readline().strip(), process


def lock(folder):
    path = Path(folder) / "locks" / "0.output.lock"
    path.write_text("results/table.md\n")
    return path


def test_a_killed_driver_keeps_no_lock(folder):
    found, process = driver(folder)
    assert found == "False"
    left = lock(folder)
    process.kill()
    process.wait()
    found, process = driver(folder)
    assert (found, left.exists()) == ("True", False)
    process.kill()


def test_the_lock_of_a_living_driver_stays(folder):
    _, first = driver(folder)
    left = lock(folder)
    found, second = driver(folder)
    assert (found, left.exists()) == ("False", True)
    first.kill()
    first.wait()
    found, third = driver(folder)  # the second still lives: whose the lock is cannot be told
    assert (found, left.exists()) == ("False", True)
    for process in (second, third):
        process.kill()


JOB = "import time; from difftables.common import driver; driver.follow(every=0.05); print('up', flush=True); time.sleep(60)"


def test_a_job_ends_when_its_snakemake_was_killed(tmp_path):
    """Through the shell between them, which a SIGKILL does not reach."""
    (tmp_path / "snakemake").write_text(
        "import subprocess, sys\n"
        f"job = [sys.executable, '-c', {JOB!r}]\n"
        "subprocess.run(['bash', '-c', 'echo $$; \"$@\"; echo \"ended by $?\"', 'bash', *job])\n"
    )
    process = subprocess.Popen([sys.executable, str(tmp_path / "snakemake")], stdout=subprocess.PIPE, text=True)
    process.stdout.readline()
    assert process.stdout.readline() == "up\n"
    process.kill()
    assert process.stdout.readline() == "ended by 143\n"


def test_a_job_whose_snakemake_was_gone_before_it_looked_ends():
    code = f"import os; from difftables.common import driver; os.environ[driver.DRIVEN] = '1'; {JOB}"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == -15


def test_a_job_started_by_hand_is_left_alone():
    code = JOB.replace("60", "0.5")
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "up\n"


@pytest.mark.parametrize(("asked", "kept"), [([], False), (["--max-jobs-per-timespan", "7/2s"], True)])
def test_snakemake_looks_for_jobs_when_one_ends(tmp_path, asked, kept):
    """With its limit on starts a second it would look each second too, in one more chain a job."""
    rules = [
        f"rule r{n}:\n    input: {[f'f{n - 1}'] if n else []}\n    output: 'f{n}'\n    shell: 'sleep 1.2; touch {{output}}'\n"
        for n in range(3)
    ]
    start = (
        "from difftables.common import driver\n"
        "looks = []\n"
        "onstart:\n"
        "    driver.start_jobs_when_others_end(workflow.scheduler)\n"
        "    plain = workflow.scheduler._finish_jobs\n"
        "    workflow.scheduler._finish_jobs = lambda: (looks.append(1), plain())\n"
        "onsuccess:\n"
        "    open('looks', 'w').write(str(len(looks)))\n"
        "rule all:\n    input: 'f2'\n"
    )
    (tmp_path / "Snakefile").write_text(start + "".join(rules))
    command = [sys.executable, "-m", "snakemake", "--cores", "1", *asked]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, env=os.environ | {"PYTHONPATH": str(SOURCE)})
    looks = int((tmp_path / "looks").read_text())
    once_a_job = 1 + 3 + 1  # at the start, after each of three jobs, after the target
    assert looks > once_a_job if kept else looks == once_a_job
