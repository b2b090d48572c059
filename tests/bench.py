"""`make bench`: what costs how much, as ratios within one run; nothing here is a test.

One thread, the laptop net with random weights; each ratio is measured in turn with its partner, best of five rounds.
"""

import csv
import subprocess
import sys
import time
from pathlib import Path

import torch

from difftables import schedules
from difftables.corruptions import scale
from difftables.draw import draw
from difftables.estimator import Adjust, alpha_bar_of, fitted, refit
from difftables.metrics import frechet
from difftables.nets.unet import UNet
from difftables.nets.vgg import VGG
from difftables.precond import clipped, eps, precondition, timestep_index
from difftables.steps import ddim


def best(functions, rounds=5):
    """Least seconds of each function, going round and round so that a busy machine hits all alike."""
    times = [float("inf")] * len(functions)
    for _ in range(rounds):
        for i, function in enumerate(functions):
            began = time.perf_counter()
            function()
            times[i] = min(times[i], time.perf_counter() - began)
    return times


def sampling():
    """Seconds of 10 DDIM steps for 300 samples: fixed, adjusted, and in small batches."""
    torch.manual_seed(0)
    net, estimator = UNet(8, 1, 16, (1, 2), 1, (4,), 0.0).eval(), VGG(1, 16, 3).eval()
    training = schedules.from_betas(schedules.linear(1000, 1e-4, 0.02))
    denoise = clipped(precondition(net, eps, timestep_index(training)), 1.0)
    schedule, keys = fitted(training.alpha_bar[0].item(), 10, 1e-4), [("bench", i) for i in range(300)]

    def go(adapt=None, batch=300):
        common = {"corrupt": scale, "prior": lambda noise, level: noise, "rule": ddim, "device": torch.device("cpu")}
        return draw(keys, (1, 8, 8), schedule, denoise=denoise, adapt=adapt, batch=batch, **common)

    def adjusted():
        return go(Adjust(lambda x: alpha_bar_of(estimator(x), 4e-5), first=1e-4, family="linear", mode="exact"))

    fixed, moved, small = best([go, adjusted, lambda: go(batch=10)])
    print(f"network evaluations a second     {3000 / fixed:9.0f}")
    print(f"adjusted / fixed                 {moved / fixed:9.2f}   estimator and refit at every step")
    print(f"batches of 10 / of 300           {small / fixed:9.2f}")


def refitting():
    """Exact refit against the first-order form, 300 samples and 50 steps."""
    alpha_bar = torch.rand(300, dtype=torch.float64)
    taylor, exact = best([lambda: refit(alpha_bar, 50, 1e-4, mode="taylor"), lambda: refit(alpha_bar, 50, 1e-4)])
    print(f"refit: exact / taylor            {exact / taylor:9.1f}   {exact * 1000:.1f} ms for 300 samples")


def distances():
    """Our Frechet distance against the square root of a matrix, 200 samples of 1,280 features."""
    from scipy.linalg import sqrtm

    a, b = torch.randn(200, 1280).double(), torch.randn(1437, 1280).double()
    reference = frechet.moments(b)
    ours, theirs = best([lambda: frechet.distance(frechet.moments(a), reference), lambda: sqrtm((a.T.cov() @ b.T.cov()).numpy())], 1)
    print(f"matrix square root / ours        {theirs / ours:9.1f}   {ours * 1000:.0f} ms a distance")


def pipeline():
    """A run with nothing to do, and what the last run cost."""
    began = time.perf_counter()
    found = subprocess.run([sys.executable, "-m", "snakemake", "-n"], capture_output=True, text=True)
    idle = "Nothing to be done" in found.stdout + found.stderr
    print(f"snakemake -n                     {time.perf_counter() - began:9.1f}   s, {'nothing to do' if idle else 'jobs pending'}")
    for path in sorted(Path("results").glob("*/tables/cost.csv")):
        with open(path, newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["peak_mb"]]
        seconds = sum(float(row["seconds"]) for row in rows)
        peak = max((float(row["peak_mb"]) for row in rows if row["peak_mb"] != "NA"), default=0)
        print(f"{path.parts[1]:8} train, search, sample   {seconds:9.0f}   job seconds, largest job {peak:.0f} MB")


if __name__ == "__main__":
    torch.set_num_threads(1)
    sampling()
    refitting()
    distances()
    pipeline()
