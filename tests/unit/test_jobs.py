"""What every job starts with, and how it ends."""

import json
import os
import subprocess
import sys

import pytest

from difftables.common import environment


def test_a_job_that_ran_while_the_code_changed_does_not_finish(tmp_path):
    from difftables.jobs import job as jobs

    spec = {"scale": "smoke", "claims": {}, "tables": []}
    (tmp_path / "job.json").write_text(json.dumps({"spec": spec, "inputs": {}, "outputs": {}}))
    job = jobs.parse("report", [str(tmp_path / "job.json"), "--code", "0123456789abcdef"])
    with pytest.raises(ValueError, match="changed"):
        jobs.finish(job)


def test_variables_that_the_environment_has_are_left_alone(monkeypatch):
    name, *others = environment.VARIABLES
    monkeypatch.setenv(name, "mine")
    for other in others:
        monkeypatch.delenv(other, raising=False)
    environment.apply()
    assert os.environ[name] == "mine"
    assert all(os.environ[other] == environment.VARIABLES[other] for other in others)


def test_the_entry_point_sets_the_environment_before_torch(tmp_path):
    script = (
        "import difftables.__main__, os, sys; from difftables.common import environment; environment.apply(); "
        "print('torch' in sys.modules, os.environ['OMP_WAIT_POLICY'])"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False", "PASSIVE"]
