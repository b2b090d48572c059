"""`python -m bench [--only PART ...] [--out FOLDER]`: measures all comparisons and writes the table."""

import argparse
import contextlib
import importlib
import io
import os
import sys
import tempfile
import time
from pathlib import Path

# Libraries read these when they are imported.
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import torch

MODULES = ("sampling", "training", "peak", "metrics", "search", "extras", "stable_target", "memory", "jobs", "ledger")


def main(arguments: list[str]) -> int:
    """Run the comparisons of the modules asked for, on the GPU where there is one."""
    parser = argparse.ArgumentParser(prog="bench", description="What our code costs beside the field's.")
    parser.add_argument("--only", nargs="*", choices=MODULES, default=MODULES, help="modules of tests/bench to run; all by default")
    parser.add_argument("--out", type=Path, default=Path("results/bench"))
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    from bench import page
    from bench.harness import CUDA, LAPTOP

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    sizes = CUDA if device.type == "cuda" else LAPTOP
    began, load, rows = time.perf_counter(), os.getloadavg()[0], []
    with tempfile.TemporaryDirectory() as folder:
        for name in options.only:
            for comparison in importlib.import_module(f"bench.{name}").COMPARISONS:
                started = time.perf_counter()
                with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):  # progress
                    rows += comparison(sizes, Path(folder), device)
                print(f"{name}.{comparison.__name__}: {time.perf_counter() - started:.0f} s", flush=True)
    page.write(options.out, rows, page.circumstances(device, load, time.perf_counter() - began))
    print(f"{len(rows)} rows in {options.out / 'README.md'}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
