"""Jobs as Snakemake starts them: start-up, memory, and the seconds of a dry run."""

import contextlib
import csv
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from bench.harness import Row, Sizes, Timer, child_seconds, compared, measured, missing
from bench.subjects import SCALE, digits
from difftables.config.job_specs import TrainSpec
from difftables.provenance import fingerprint
from difftables.warm.client import FOLDER, SOCKET

if TYPE_CHECKING:
    import psutil

KEPT = ("Snakefile", "dvc.yaml", "params.yaml", "scales", "workflow", "profiles", "src", "requirements.lock", "pyproject.toml")
HEAVIEST = 3  # jobs whose memory is shown


def root() -> Path:
    """The repository."""
    return Path(__file__).parents[2]


def command(*words: str, cwd: Path, source: Path | str, environment: Mapping[str, str] | None = None) -> str:
    """What Python prints.

    Args: words: its arguments; source: the path of modules; environment: further variables.
    Raises: RuntimeError with the end of what it printed.
    """
    variables = os.environ | {"PYTHONPATH": str(source), "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    found = subprocess.run([sys.executable, *words], cwd=cwd, env=variables | dict(environment or {}), capture_output=True, text=True)
    if found.returncode:
        raise RuntimeError(f"{' '.join(words)}: {(found.stdout + found.stderr)[-2000:]}")
    return found.stdout + found.stderr


def smallest_job(folder: Path) -> tuple[str, ...]:
    """Arguments of a training of one step: what is left is start-up.  Args: folder: for its files."""
    subject = digits(folder, torch.device("cpu"))
    settings = subject.run.train.model_copy(update={"steps": 1, "warmup": 0, "batch": 2})
    spec = TrainSpec(run=subject.run.model_copy(update={"train": settings}), seed=0)
    outputs = {"net": "net.safetensors", "curve": "curve.csv", "made": "store/provenance/train/bench/s0.json"}
    content = {
        "spec": spec.model_dump(mode="json", exclude_defaults=True),
        "inputs": {"data": [str(subject.data)]},
        "outputs": {name: [f"results/bench/{path}"] for name, path in outputs.items()},
    }
    path = folder / "job.json"
    path.write_text(json.dumps(content))
    return "train", str(path), "--code", fingerprint.code("train", spec), "--threads", "1", "--gpus", "0"


def cold_start(folder: Path) -> float:
    """CPU seconds of the smallest job in a process of its own."""
    words = smallest_job(folder)
    return child_seconds(lambda: command("-m", "difftables", *words, cwd=folder, source=root() / "src"))


def warm_starts(folder: Path, rounds: int) -> list[float]:
    """CPU seconds of the smallest job as a fork of a warm parent: of its client, of the fork and of forking, without the parent's start."""
    import psutil

    words, place = smallest_job(folder), folder / "warm"
    place.mkdir(mode=0o700)
    environment = os.environ | {"PYTHONPATH": str(root() / "src"), "OMP_NUM_THREADS": "1"}
    with open(place / "log", "w") as log:
        parent = subprocess.Popen(
            [sys.executable, "-m", "difftables.warm.server", str(place)], cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=log,
            stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        process = psutil.Process(parent.pid)
        settle(process, place / SOCKET)
        found = []
        for _ in range(rounds + 1):
            before = sum(process.cpu_times()[:4])
            client = child_seconds(
                lambda: command("-m", "difftables", *words, cwd=folder, source=root() / "src", environment={FOLDER: str(place)})
            )
            found.append(client + sum(process.cpu_times()[:4]) - before)
        return found[1:]
    finally:
        parent.communicate()  # which closes its stdin: it ends


def settle(process: "psutil.Process", socket: Path, limit: float = 120.0) -> None:
    """Wait until a warm parent listens and has imported all that it imports.  Raises: TimeoutError."""
    deadline, last = time.monotonic() + limit, -1.0
    while not socket.exists() or sum(process.cpu_times()[:2]) != last:
        if time.monotonic() > deadline:
            raise TimeoutError(f"the warm parent has not settled after {limit:.0f} s; see {socket.parent / 'log'}")
        last = sum(process.cpu_times()[:2])
        time.sleep(1)


def start_up(sizes: Sizes, folder: Path, device: torch.device) -> list[Row]:
    """What a job costs that does next to nothing, by itself and as a fork of a warm parent."""
    cold_start(folder)  # compiles the modules
    cold = [cold_start(folder) for _ in range(sizes.rounds)]
    warm = warm_starts(folder, sizes.rounds)
    how = "CPU seconds of a training of one step, batch 2; theirs: as a process that imports torch; one kind after the other"
    return [compared("start-up", "a job of the warm parent, against a cold one", warm, cold, how, timer=Timer())]


def peak_memory(sizes: Sizes, folder: Path, device: torch.device) -> list[Row]:
    """The heaviest jobs of each scale that was run here."""
    stores = sorted(root().glob("results/*/store/benchmarks"))
    rows = [row for store in stores for row in heaviest(store)]
    return rows or [missing("memory", "the heaviest jobs", "not measured: no scale was run in this folder")]


def heaviest(benchmarks: Path, count: int = HEAVIEST) -> list[Row]:
    """The jobs of one store with the most memory.  Args: benchmarks: its folder of Snakemake's benchmark files."""
    found = []
    for path in benchmarks.rglob("*.tsv"):
        with open(path, newline="") as file:
            line = next(csv.DictReader(file, delimiter="\t"), {})
        with contextlib.suppress(ValueError):  # NA: the job was too short
            found.append((float(line.get("max_rss", "NA")), path.relative_to(benchmarks).with_suffix("").as_posix()))
    scale = benchmarks.parts[-3]
    how = f"resident memory by Snakemake's benchmark, the most of {len(found)} jobs"
    return [measured("memory", f"{scale}: {name}", [megabytes], "MB", how) for megabytes, name in sorted(found, reverse=True)[:count]]


def copy_repository(folder: Path) -> None:
    """Copy what a run needs, without results, into a folder that is made anew."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder)
    folder.mkdir()
    for name in KEPT:
        source = root() / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy2(source, folder / name)


def dry_run(seeds: int, folder: Path, targets: tuple[str, ...] = ()) -> tuple[int, float]:
    """Jobs and CPU seconds of `snakemake -n` with so many training seeds of each run, in a copy of the repository."""
    copy_repository(folder)
    for path in folder.glob("workflow/papers/*/params.yaml"):
        path.write_text(path.read_text().replace("    seeds: [0]\n", f"    seeds: {list(range(seeds))}\n"))
    printed = []
    words = ("-m", "snakemake", "-n", "--quiet", "rules", *targets, "--config", f"scale={SCALE}")
    seconds = child_seconds(lambda: printed.append(command(*words, cwd=folder, source=folder / "src")))
    *_, total = [line.split() for line in printed[0].splitlines() if line.startswith("total ")]
    return int(total[1]), seconds


def dry_runs(sizes: Sizes, folder: Path, device: torch.device) -> list[Row]:
    """Seconds of a dry run a thousand jobs, at the scale's training seeds and more."""
    rows = []
    for seeds in (1, 3, 10, 34):
        jobs, seconds = dry_run(seeds, folder / "dry")
        how = f"{seconds:.1f} CPU seconds, in a copy where nothing was run; {seeds} training seed{'s' if seeds > 1 else ''} a run"
        rows.append(measured("large DAGs", f"snakemake -n of {jobs:,} jobs", [1000 * seconds / jobs], "s a thousand jobs", how))
    return rows


COMPARISONS = [start_up, dry_runs, peak_memory]
