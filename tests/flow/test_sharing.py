"""A finished run committed to DVC, pushed to a folder and to S3, cloned, pulled, changed and spoilt; what `check` says of it."""

import base64
import csv
import io
import json
import re
import shlex
import shutil
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TABLES = "results/smoke/tables"
MOTO = ROOT / ".cache/moto/bin/moto_server"
NAMED = ("-c", "user.name=a", "-c", "user.email=a@b.c")
PARAMS = "workflow/papers/noise_estimation/params.yaml"
RUNS = {"sample": 1, "measure": 1, "table": 1, "report": 1}  # what that number is read by, and what comes after
NOTHING = "Nothing to be done (all requested files are present and up to date)."


def git(checkout, *arguments):
    found = subprocess.run(["git", *arguments], cwd=checkout.path, capture_output=True, text=True, errors="replace")
    assert found.returncode == 0, found.stderr
    return found.stdout


def cloned(checkout, target):
    git(checkout, "clone", "-q", *NAMED, ".", str(target))
    return type(checkout)(target)


def cells(text):
    return list(csv.DictReader(io.StringIO(text)))


def sharing(folder):
    """The README's commands that share a run, with a folder that is here."""
    block = (ROOT / "README.md").read_text().split("## Share a run")[1].split("\n\n")[1]
    lines = [line.split(" #")[0] for line in block.replace("/mnt/shared/difftables", str(folder)).splitlines()]
    commands = [shlex.split(command) for line in lines for command in line.split("&&")]
    assert [command[:2] for command in commands] == [
        ["dvc", "remote"],
        ["dvc", "commit"],
        ["git", "add"],
        ["git", "commit"],
        ["dvc", "push"],
    ]
    return commands


@pytest.fixture(scope="module")
def apart(tmp_path_factory):
    """No settings, proxies and caches of whoever runs the tests; bytecode is written, as it is everywhere by default."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("DVC_SITE_CACHE_DIR", "DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR"):
            patch.setenv(name, str(tmp_path_factory.mktemp("dvc")))
        for name, value in {"AWS_EC2_METADATA_DISABLED": "true", "AWS_DEFAULT_REGION": "us-east-1", "NO_PROXY": "127.0.0.1"}.items():
            patch.setenv(name, value)
        patch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
        yield


@pytest.fixture(scope="module")
def shared(finished, apart, tmp_path_factory):
    """The finished run in a git repository of its own, committed and pushed to a folder with the README's commands."""
    folder = tmp_path_factory.mktemp("shared")
    origin = finished.copied(folder / "origin")
    origin.change("params.yaml", {"scale": "smoke"})
    (origin.path / ".dvc").mkdir()
    for name in (".gitignore", ".dvcignore", ".dvc/.gitignore"):
        shutil.copy(ROOT / name, origin.path / name)
    (origin.path / ".dvc/config").write_text("[core]\n    analytics = false\n")
    git(origin, "init", "-q")
    git(origin, "config", "user.name", "a")
    git(origin, "config", "user.email", "a@b.c")
    git(origin, "add", "--all", "--", ":!results")
    git(origin, "commit", "-qm", "code")
    for program, *arguments in sharing(folder / "store"):
        git(origin, *arguments) if program == "git" else origin.run(program, *arguments)
    assert git(origin, "status", "--porcelain") == ""
    return origin


@pytest.fixture(scope="module")
def clone(shared, tmp_path_factory):
    """What a colleague has after git clone and dvc pull, and what an editable install leaves beside the code."""
    clone = cloned(shared, tmp_path_factory.mktemp("cloned") / "repository")
    clone.run("dvc", "pull", "-q")
    (clone.path / "src/difftables.egg-info").mkdir()
    (clone.path / "src/difftables.egg-info/PKG-INFO").write_text("Name: difftables\n")
    return clone


@pytest.fixture
def spoilt(clone, tmp_path):
    """A copy of the clone that a test may spoil."""
    return clone.copied(tmp_path / "repository")


def test_a_pulled_run_is_a_finished_run(clone):
    said = clone.run("difftables", "check").stdout.splitlines()  # exit 0: all was checked, and is right
    count = len(list((clone.path / TABLES).glob("*/*.tex")))
    assert said[0].startswith(f"check: {count} tables recomputed, 0 printed again from their JSON")
    assert said[1:] == ["check: the results of scale smoke are those of this code"]
    assert list(clone.path.glob("src/difftables/__pycache__/*.pyc"))
    assert git(clone, "status", "--porcelain") == ""


def test_check_names_each_way_of_going_stale(spoilt):
    """Each injected once, all at once: every reason below comes from one of them alone."""
    spoilt.rewrite("jobs/variance.py", "run")
    # Snakemake by itself compares params as a set of values; names count here.
    images = "evaluation/images"
    spoilt.change("scales/smoke.yaml", {f"{images}/gradient_batches": 5, f"{images}/error_levels": 60, f"{images}/error_n": 5})
    (spoilt.path / TABLES / "noise_estimation/T2.md").write_text("better\n")
    lost = f"{TABLES}/noise_estimation/T3.md"
    (spoilt.path / ".snakemake/metadata" / base64.urlsafe_b64encode(lost.encode()).decode()).unlink()
    record = spoilt.path / "results/smoke/store/records/noise_estimation/digits/s0/ddim-fitted.json"
    content = json.loads(record.read_text())
    first = next(each for each in content["records"] if each["metric"].startswith("FD"))
    first["value"] += 1
    record.write_text(json.dumps(content))
    spoilt.edit(f"{TABLES}/cells.csv", "noise_estimation,T1,", "noise_estimation,T0,")
    picture = spoilt.path / TABLES / "noise_estimation/F4.png"
    picture.write_bytes(picture.read_bytes() + b"x")

    found = spoilt.run("difftables", "check", check=False)
    assert found.returncode == 1
    reasons = [line.removeprefix("check: ") for line in found.stdout.splitlines()]
    pending = {line.removesuffix(" would run; run snakemake") for line in reasons if " would run" in line}
    assert {line for line in pending if line.split()[-1] not in ("table", "plain_table", "report")} == {
        "2 x variance",
        "2 x gradients",
        "1 x errors",
    }
    assert any(line.startswith(f"note: {TABLES}: modified") for line in reasons)
    assert [line for line in reasons if "has no metadata" in line] == [f"{lost} has no metadata; delete it and run snakemake, or dvc pull"]
    for named in (
        f"{TABLES}/noise_estimation/T2.md: line 1",
        f"{TABLES}/noise_estimation/T2.csv: noise_estimation/T2/DDIM, fixed: fitted family/{first['steps']}/{first['metric']}: value",
        f"{TABLES}/cells.csv: noise_estimation/T1/",
        f"{TABLES}/noise_estimation/F4.png",
        str(record.relative_to(spoilt.path)),
    ):
        assert any(line.startswith(named) for line in reasons), named
    wrong = [line for line in reasons[1:-1] if not line.startswith("note: ")]
    assert reasons[-1] == f"{len(wrong)} reasons"


def test_a_changed_number_plans_its_own_jobs_in_dvc_repro(spoilt, tmp_path, monkeypatch):
    """DVC deletes the outputs of a stage before it runs it, unless told to leave them."""
    spoilt.change(PARAMS, {"samplers/ddim-oracle/clip": 0.9})
    (tmp_path / "dry").mkdir()
    (tmp_path / "dry/config.yaml").write_text("dry-run: true\n")
    monkeypatch.setenv("SNAKEMAKE_PROFILE", str(tmp_path / "dry"))
    found = spoilt.run("dvc", "repro").text
    assert "Running stage 'pipeline'" in found
    assert spoilt.counted(found) == RUNS


@pytest.fixture(scope="module")
def experiment(clone, tmp_path_factory):
    """A number changed in a queued experiment; the code changed after that, before it ran; the repository and what was said."""
    repository = clone.copied(tmp_path_factory.mktemp("experiment") / "repository")
    repository.run("dvc", "exp", "run", "--queue", "-n", "tighter", "-S", f"{PARAMS}:+samplers.ddim-oracle.clip=0.9")
    repository.rewrite("estimation/oracle.py", "Oracle")
    said = repository.run("dvc", "exp", "run", "--run-all").text
    revision = git(repository, "for-each-ref", "--format=%(objectname)", "refs/exps/**/tighter").strip()
    assert revision, said
    return repository, revision, said


def test_a_queued_experiment_runs_what_its_number_changes_with_the_code_it_was_queued_with(experiment):
    repository, revision, said = experiment
    assert repository.counted(said) == RUNS
    before, after = (cells(git(repository, "show", f"{commit}:{TABLES}/cells.csv")) for commit in ("HEAD", revision))
    changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert {(old["table"], old["sampler"]) for old, _ in changed} == {("T2", "ddim-oracle")}
    assert all(old["value"] != new["value"] for old, new in changed if old["metric"].startswith("FD"))
    assert all({key for key in old if old[key] != new[key]} <= {"value", "sd", "run"} for old, new in changed)
    assert git(repository, "diff", "--name-only", "HEAD", revision, "--", "src", "workflow").split() == [PARAMS]
    shown = csv.DictReader(io.StringIO(repository.run("dvc", "exp", "show", "--csv").stdout))
    (row,) = [row for row in shown if row["Experiment"] == "tighter"]
    assert [value for key, value in row.items() if key.endswith("samplers.ddim-oracle.clip")] == ["0.9"]
    assert git(repository, "status", "--porcelain").split() == ["M", "src/difftables/estimation/oracle.py"]


def test_nothing_is_to_be_done_after_going_to_another_commit_and_back(experiment):
    repository, revision, _ = experiment
    git(repository, "checkout", "-q", "--", "src")
    for commit in (revision, "-"):
        git(repository, "checkout", "-q", commit)
        assert "samples" in repository.run("dvc", "checkout").text, "the files of another commit should have lain here"
        assert NOTHING in repository.run("snakemake", "-n").text


def test_dvc_shows_metrics_and_plots(clone, tmp_path):
    shown = json.loads(clone.run("dvc", "metrics", "show", "--json").stdout)[""]["data"][f"{TABLES}/metrics.json"]["data"]
    rows = cells((clone.path / TABLES / "cells.csv").read_text())
    row = next(row for row in rows if row["table"] == "T2" and row["sampler"] == "ddim-adjusted" and row["steps"] == "3")
    assert shown["noise_estimation"]["T2"]["ddim-adjusted"]["3"] == pytest.approx(float(row["value"]))
    assert set(shown["noise_estimation"]["claims"]) == {
        "same_sign_here",
        "opposite_sign_here",
        "equivalent",
        "differs_here",
        "cannot_be_told",
        "not_tested",
    }
    assert "index.html" in clone.run("dvc", "plots", "show", "-o", tmp_path / "plots").text


@pytest.fixture(scope="module")
def s3(apart, tmp_path_factory):
    """Address of an S3 server on loopback that has one bucket."""
    if not MOTO.exists():
        pytest.skip("there is no S3 server: make .cache/moto/.done")
    log = tmp_path_factory.mktemp("s3") / "log"
    with open(log, "w") as file:
        server = subprocess.Popen([MOTO, "-p", "0"], stdout=file, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 60
        while not (found := re.search(r"http://127\.0\.0\.1:\d+", log.read_text())) and time.monotonic() < deadline:
            assert server.poll() is None, log.read_text()
            time.sleep(0.05)
        urllib.request.urlopen(urllib.request.Request(f"{found[0]}/bucket", method="PUT"), timeout=30).close()
        yield found[0]
    finally:
        server.terminate()
        server.wait()


@pytest.fixture(scope="module")
def through_s3(shared, s3, tmp_path_factory):
    """A clone that was pulled from S3, and what DVC said: keys in .dvc/config.local on one side, in the environment on the other."""
    remote = f"['remote \"s3\"']\n    url = s3://bucket/difftables\n    endpointurl = {s3}\n"
    keys = f"    access_key_id = somebody\n    secret_access_key = {shared.secret}\n"
    (shared.path / ".dvc/config.local").write_text(remote + keys)
    said = shared.run("dvc", "push", "-v", "-r", "s3").text
    clone = cloned(shared, tmp_path_factory.mktemp("s3") / "repository")
    (clone.path / ".dvc/config.local").write_text(remote)
    return clone, said + clone.run("dvc", "pull", "-v", "-r", "s3").text


def test_nothing_is_to_be_done_after_a_pull_from_s3(through_s3):
    clone, said = through_s3
    assert re.search(r"\d+ files pushed", said)
    assert NOTHING in clone.run("snakemake", "-n").text


def test_no_secret_is_in_logs_or_committed(finished, shared, experiment, through_s3):
    """All that Snakemake, its jobs and DVC wrote, the smoke run's own files and logs among it, and all commits."""
    secret = shared.secret
    assert not [said for said in (experiment[2], through_s3[1]) if secret in said]
    repositories = (shared, experiment[0], through_s3[0])
    files = [path for checkout in (finished, *repositories) for path in checkout.path.rglob("*") if path.is_file()]
    assert {".log", ".json", ".tsv", ".md"} <= {path.suffix for path in files}
    assert [path for path in files if secret.encode() in path.read_bytes()] == [shared.path / ".dvc/config.local"]
    for repository in repositories:
        history = git(repository, "log", "--all", "-p", "--text")
        assert "my run" in history
        assert secret not in history
