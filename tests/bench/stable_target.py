"""The stable target: what it costs beside a training step of EDM's CIFAR-10 net, and how much memory it takes."""

import resource
from pathlib import Path

import torch

from bench.harness import Row, Sizes, Timer, compared, interleaved
from difftables.diffusion.corruptions import scale
from difftables.diffusion.denoiser import edm_coefficients, precondition, quarter_log
from difftables.diffusion.level import Level
from difftables.nets.ncsnpp import NCSNpp
from difftables.training.losses import WEIGHTS, denoising_loss
from difftables.training.targets import clean, stable_field

PART = "added by papers"
BATCH, PIXELS = 64, 32
REFERENCES = (1024, 4096)


def shares(sizes: Sizes, folder: Path, device: torch.device) -> list[Row]:
    """Seconds of the target for 64 images of 3 x 32 x 32, by its references, beside a training step of so many."""
    torch.manual_seed(0)
    tiny = sizes.training_steps == 1
    batch, width, counts = (4, 16, (8,)) if tiny else (BATCH, 128, REFERENCES)
    few = min(4, batch)  # images of the step that is timed: 64 would take most of a minute
    net = NCSNpp(PIXELS, 3, width, (2, 2, 2), 1 if tiny else 4, (16,), 0.13, embedding="positional", fir=False, residual_input=False)
    denoise = precondition(net.to(device), edm_coefficients, quarter_log(Level.clean()))
    level = Level.variance_exploding((-1.2 + 1.2 * torch.randn(batch)).exp()).to(device)
    noise = torch.randn(batch, 3, PIXELS, PIXELS, device=device)
    references = torch.rand(max(counts), 3, PIXELS, PIXELS, device=device) * 2 - 1
    x0, timer = references[:batch], Timer(device)
    x = x0 + level.like(x0).std * noise

    def step() -> None:
        options = {"denoise": denoise, "corrupt": scale, "target": clean, "weight": WEIGHTS["edm"]}
        denoising_loss(x0[:few], level[:few], noise[:few], **options).mean().backward()

    functions = [lambda n=n: stable_field(x, level, x0, references[:n]) for n in counts]
    *targets, steps = interleaved([*functions, step], min(3, sizes.rounds), timer)
    whole = [batch / few * seconds for seconds in steps]
    how = f"theirs: forward and backward of EDM's CIFAR-10 net, {batch // few} times one of {few} images"
    what = f"the stable target of {batch} x {3 * PIXELS**2} numbers"
    return [
        compared(PART, f"{what}, {n} references, beside a training step", seconds, whole, how, timer=timer)
        for n, seconds in zip(counts, targets, strict=True)
    ]


def memory(count: int = 4096) -> int:
    """Bytes that one target of `count` references adds to the most this process has held, its inputs apart."""
    references, level = torch.rand(count, 3, PIXELS, PIXELS), Level.variance_exploding(torch.ones(BATCH))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    stable_field(references[:BATCH], level, references[:BATCH], references)
    return 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)


COMPARISONS = [shares]
