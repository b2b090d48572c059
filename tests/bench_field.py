"""The part of `make bench` on the stable target: what it costs beside a training step, and how much memory it takes."""

import resource
import time

import torch

from difftables.diffusion.corruptions import scale
from difftables.diffusion.denoiser import edm_coefficients, precondition, quarter_log
from difftables.diffusion.level import Level
from difftables.nets.ncsnpp import NCSNpp
from difftables.training.losses import WEIGHTS, denoising_loss
from difftables.training.targets import clean, stable_field

BATCH, PIXELS = 64, 32


def shares(rounds=3, counts=(1024, 4096)):
    """Seconds of one training step of EDM's CIFAR-10 net, and of the target for 3072 numbers, by its references, in turn."""
    torch.manual_seed(0)
    net = NCSNpp(PIXELS, 3, 128, (2, 2, 2), 4, (16,), 0.13, embedding="positional", fir=False, residual_input=False)
    denoise, sigma = precondition(net, edm_coefficients, quarter_log(Level.clean())), (-1.2 + 1.2 * torch.randn(BATCH)).exp()
    level, noise = Level.variance_exploding(sigma), torch.randn(BATCH, 3, PIXELS, PIXELS)
    references = torch.rand(max(counts), 3, PIXELS, PIXELS) * 2 - 1
    x0 = references[:BATCH]
    x = x0 + level.like(x0).std * noise
    step, targets = float("inf"), {n: float("inf") for n in counts}
    for _ in range(rounds):
        for n in counts:
            began = time.perf_counter()
            stable_field(x, level, x0, references[:n])
            targets[n] = min(targets[n], time.perf_counter() - began)
        began = time.perf_counter()
        denoising_loss(x0[:4], level[:4], noise[:4], denoise=denoise, corrupt=scale, target=clean, weight=WEIGHTS["edm"]).mean().backward()
        step = min(step, BATCH / 4 * (time.perf_counter() - began))
    return step, targets


def memory(count=4096):
    """Bytes that one target of `count` references adds to the most this process has held, its inputs apart."""
    references, level = torch.rand(count, 3, PIXELS, PIXELS), Level.variance_exploding(torch.ones(BATCH))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    stable_field(references[:BATCH], level, references[:BATCH], references)
    return 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)


def main():
    """Print the lines of the stable target."""
    torch.set_num_threads(1)
    held = memory()
    step, targets = shares()
    for n, seconds in targets.items():
        print(f"stable target, n = {n}, 64 x 3072: {1000 * seconds:.0f} ms, {100 * seconds / step:.2g} % of a step of EDM's CIFAR-10 net")
    print(f"(that step: {step:.1f} s, 16 times one of 4 images)   the target at n = 4096 adds {held / 2**20:.0f} MiB of memory")


if __name__ == "__main__":
    main()
