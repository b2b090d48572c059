"""`make bench`: what costs how much, as ratios within one run; nothing here is a test.

One thread, the laptop net with random weights; each ratio is measured in turn with its partner, best of five rounds.
"""

import csv
import subprocess
import sys
import time
from pathlib import Path

import torch

from difftables.config.sampling import Walk
from difftables.data.mel import mel_filters
from difftables.diffusion import operator_levels, subschedules, timesteps, training_schedules
from difftables.diffusion.beta_families import fitted, refit
from difftables.diffusion.corruptions import blur, scale
from difftables.diffusion.denoiser import (
    clipped,
    edm_coefficients,
    eps_coefficients,
    precondition,
    rescaled_timestep,
    residual_coefficients,
    split_variance,
    sqrt_alpha_bar,
    timestep_index,
)
from difftables.diffusion.level import Level
from difftables.estimation.adjustment import Adjust
from difftables.estimation.estimator import alpha_bar_of
from difftables.estimation.oracle import MelOracle
from difftables.metrics import frechet
from difftables.nets.tasnet import TasNet
from difftables.nets.unet import UNet
from difftables.nets.vgg import VGG
from difftables.nets.wavegrad import WaveGrad
from difftables.sampling.generate import generate_samples
from difftables.sampling.solvers import bind
from difftables.training import level_densities
from difftables.training.loss_aware import LossAware
from difftables.training.losses import WEIGHTS, denoising_loss
from difftables.training.losses import plain as unseen
from difftables.training.targets import clean
from difftables.training.variational_bound import Bound, Vlb


def best(functions, rounds=5):
    """Least seconds of each function, going round and round so that a busy machine hits all alike."""
    times = [float("inf")] * len(functions)
    for _ in range(rounds):
        for i, function in enumerate(functions):
            began = time.perf_counter()
            function()
            times[i] = min(times[i], time.perf_counter() - began)
    return times


def solving(rule):
    """The solver of one rule's steps."""
    return bind(Walk(kind="walk", rule=rule))


def sampling():
    """Seconds of 10 DDIM steps for 300 samples: fixed, adjusted, and in small batches."""
    torch.manual_seed(0)
    net, estimator = UNet(8, 1, 16, (1, 2), 1, (4,), 0.0).eval(), VGG(1, 16, 3).eval()
    training = training_schedules.linear(1000, 1e-4, 0.02)
    denoise = clipped(precondition(net, eps_coefficients, timestep_index(training)), 1.0)
    schedule, keys = fitted(training.alpha_bar[0].item(), 10, 1e-4), [("bench", i) for i in range(300)]

    def go(adapt=None, batch=300):
        common = {
            "corrupt": scale,
            "prior": lambda randn, like, level: randn(like),
            "solve": solving("ddim"),
            "device": torch.device("cpu"),
        }
        return generate_samples(keys, (1, 8, 8), schedule, denoise=denoise, adapt=adapt, batch=batch, **common)

    def adjusted():
        return go(Adjust(lambda x: alpha_bar_of(estimator(x), 4e-5), first=1e-4, family="linear", mode="exact"))

    fixed, moved, small = best([go, adjusted, lambda: go(batch=10)])
    print(f"network evaluations a second     {3000 / fixed:9.0f}")
    print(f"adjusted / fixed                 {moved / fixed:9.2f}   estimator and refit at every step")
    print(f"batches of 10 / of 300           {small / fixed:9.2f}")


def speaking():
    """Seconds of 6 WaveGrad steps for 18 utterances of 1 s at 8 kHz: fixed, adjusted by the estimator and by the known mel."""
    torch.manual_seed(0)
    net, estimator = WaveGrad(64, 100, (5, 5, 4), (96, 64, 16), (8, 48, 96), 128).eval(), TasNet(32, 64, 1, 5, 32).eval()
    training = training_schedules.linear(1000, 1e-6, 0.01)
    denoise = clipped(precondition(net, edm_coefficients, sqrt_alpha_bar(training)), 1.0)
    schedule, keys = fitted(training.alpha_bar[0].item(), 6, 1e-6), [("bench", i) for i in range(18)]
    mel, oracle = torch.randn(18, 64, 80), MelOracle(mel_filters(8000, 400, 64, 60.0, 4000.0), 100, training)

    def go(estimate=None, batch=18):
        common = {
            "corrupt": scale,
            "prior": lambda randn, like, level: randn(like),
            "solve": solving("ddpm-small"),
            "device": torch.device("cpu"),
            "cond": mel,
        }
        adapt = estimate and Adjust(estimate, first=1e-6, family="linear", mode="exact")
        return generate_samples(keys, (8000,), schedule, denoise=denoise, adapt=adapt, batch=batch, **common)

    learnt, known = (lambda: go(lambda x, cond: alpha_bar_of(estimator(x), 6e-3))), (lambda: go(lambda x, cond: oracle(x, cond)))
    fixed, moved, told, single = best([go, learnt, known, lambda: go(batch=1)], 3)
    print(f"speech: real-time factor         {fixed / 18:9.3f}   6 steps, one thread")
    print(f"speech: adjusted / fixed         {moved / fixed:9.2f}   estimator and refit at every step")
    print(f"speech: oracle / fixed           {told / fixed:9.2f}   likelihood of the mel at every step")
    print(f"speech: one by one / batch of 18 {single / fixed:9.2f}")


def bounding():
    """Improved DDPM with the laptop net: the bound of all digits, what a learned variance and importance sampling cost."""
    torch.manual_seed(0)
    training = training_schedules.cosine(100)
    nets = [UNet(8, 1, 8, (1, 2), 1, (4,), 0.0, heads=4, scale_shift=True, variance=variance) for variance in (False, True)]
    fixed, learned = (
        precondition(net, eps_coefficients, rescaled_timestep(training), variance)
        for net, variance in zip(nets, (False, True), strict=True)
    )
    x0, noise, bound = torch.rand(300, 1, 8, 8) * 2 - 1, torch.randn(300, 1, 8, 8), Bound(training)

    def level(t):
        x = scale(x0, training[t]) + training[t].like(x0).std * noise
        return bound.term(torch.tensor([t]), x0, *split_variance(learned(x, training[t])), "learned")

    def draws(denoise, rule):
        keys = [("bench", i) for i in range(300)]
        common = {
            "corrupt": scale,
            "prior": lambda randn, like, level: randn(like),
            "device": torch.device("cpu"),
            "adapt": None,
            "batch": 300,
        }
        return generate_samples(
            keys,
            (1, 8, 8),
            subschedules.at_timesteps(training, timesteps.even(100, 10)),
            denoise=clipped(denoise, 1.0),
            solve=solving(rule),
            **common,
        )

    with torch.inference_mode():
        one, plain, own = best([lambda: level(50), lambda: draws(fixed, "ddpm-large"), lambda: draws(learned, "ddpm-learned")])
    print(f"bound of 1,797 digits, T = 100   {one * 100 * 1797 / 300:9.1f} s")
    print(f"learned / fixed variance         {own / plain:9.2f}   sampling, 10 steps")
    simple, aware = best([_step(fixed, nets[0], training, x0, False), _step(learned, nets[1], training, x0)], 30)
    print(f"L_vlb step / L_simple step       {aware / simple:9.2f}   with importance sampling")


def _step(denoise, net, training, x0, aware=True):
    """One training step of 64, to be timed."""
    objective, memory = (Vlb(training, 0.001), LossAware(training)) if aware else (None, None)
    if memory is not None:
        memory.history.fill_(1.0)
        memory.filled.fill_(10)
    optimiser = torch.optim.Adam(net.parameters(), fused=True)

    def go():
        levels = (level_densities.index if memory is None else memory)(training, 64, torch.Generator().manual_seed(0))
        loss = denoising_loss(
            x0[:64],
            levels,
            torch.randn(64, 1, 8, 8),
            denoise=denoise,
            corrupt=scale,
            target=clean,
            weight=WEIGHTS["eps"],
            objective=objective,
        )
        if memory is not None:
            loss = memory.weights(levels).float() * loss
            memory.remember(levels, loss)
        optimiser.zero_grad()
        loss.mean().backward()
        optimiser.step()

    return go


def softening():
    """Soft Diffusion with the laptop net: distances of 256 levels of 512 digits, and what the operator costs in training and sampling."""
    torch.manual_seed(0)
    net, x0 = UNet(8, 1, 8, (1, 2), 1, (4,), 0.0).eval(), torch.rand(512, 1, 8, 8) * 2 - 1
    training = operator_levels.interpolated_schedule(torch.tensor([0.01, 2.875]), 100, 0.02, 0.2, 0.25)
    denoise = precondition(net, residual_coefficients, rescaled_timestep(training))
    candidates = Level.variance_exploding(torch.zeros(256), torch.linspace(0.01, 2.875, 256))
    (seconds,) = best([lambda: operator_levels.paired_distances(x0, candidates, blur)], 2)
    path = _path(operator_levels.paired_distances(x0, candidates, blur))
    print(f"soft: 256 x 256 distances        {seconds:9.2f}   s, 512 digits; the path takes {path:.2f} s")

    def draws(corrupt):
        common = {"prior": lambda randn, like, level: randn(like), "device": torch.device("cpu"), "adapt": None, "batch": 300}
        chain = subschedules.at_timesteps(training, timesteps.trailing(100, 10))
        return generate_samples(
            [("bench", i) for i in range(300)], (1, 8, 8), chain, denoise=denoise, corrupt=corrupt, solve=solving("momentum"), **common
        )

    with torch.inference_mode():
        plain, blurred = best([lambda: draws(scale), lambda: draws(blur)])
    print(f"soft: sampling, blur / none      {blurred / plain:9.2f}   10 steps")
    optimiser = torch.optim.Adam(net.parameters(), fused=True)

    def step(corrupt, seen):
        levels = level_densities.index(training, 64, torch.Generator().manual_seed(0))
        loss = denoising_loss(
            x0[:64], levels, torch.randn(64, 1, 8, 8), denoise=denoise, corrupt=corrupt, target=clean, weight=WEIGHTS["eps"], residual=seen
        )
        optimiser.zero_grad()
        loss.mean().backward()
        optimiser.step()

    none, outside, inside = best([lambda: step(scale, scale), lambda: step(blur, unseen), lambda: step(blur, blur)], 30)
    print(f"soft: training step, blur / none {outside / none:9.2f}   and with the blur inside the loss {inside / none:.2f}")


def _path(distances):
    began = time.perf_counter()
    operator_levels.choose_path(distances, 32)
    return time.perf_counter() - began


def scoring():
    """PESQ, STOI and ESTOI against MCD, one second at 8 kHz."""
    import numpy as np

    from difftables.metrics.speech import Clip, mel_cepstral_distortion, pesq, stoi

    stream, t = np.random.default_rng(0), np.arange(8000) / 8000
    ref = Clip(0.2 * sum(np.sin(2 * np.pi * 120 * k * t) / k for k in range(1, 20)), 8000)
    est = Clip(ref.samples + stream.normal(0, 0.01, 8000), 8000)
    powers = [np.exp(stream.normal(0, 1, (64, 80))) for _ in range(2)]
    seconds = best(
        [
            lambda: mel_cepstral_distortion(ref=powers[0], est=powers[1]),
            lambda: pesq(ref=ref, est=est, rate=8000, band="nb"),
            lambda: stoi(ref=ref, est=est, extended=False),
            lambda: stoi(ref=ref, est=est, extended=True),
        ]
    )
    words = [f"{name} {1000 * s:.1f} ms" for name, s in zip(("MCD", "PESQ", "STOI", "ESTOI"), seconds, strict=True)]
    print(f"speech: PESQ / MCD               {seconds[1] / seconds[0]:9.1f}   {', '.join(words)} an utterance")


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
    for path in sorted(Path("results").glob("*/cost.csv")):
        with open(path, newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["peak_mb"]]
        seconds = sum(float(row["seconds"]) for row in rows)
        peak = max((float(row["peak_mb"]) for row in rows if row["peak_mb"] != "NA"), default=0)
        print(f"{path.parts[1]:8} train, search, sample   {seconds:9.0f}   job seconds, largest job {peak:.0f} MB")


if __name__ == "__main__":
    torch.set_num_threads(1)
    sampling()
    bounding()
    softening()
    speaking()
    scoring()
    refitting()
    distances()
    pipeline()
