"""GFLOP/s of sampling and training as jobs do them, and their share of the most that was measured on the same core or card.

The most is the faster of a matrix product and a wide convolution: on AMD's processors torch.mm, which is MKL's, stays at half of what
oneDNN's convolutions reach.
"""

from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from bench.harness import Row, Sizes, Timer, interleaved, share
from bench.subjects import digits, sized_batch, voice

PART = "share of peak"


def floating_point_operations(function: Callable[[], object]) -> int:
    """Of one call: those of convolutions and products, two for a multiply-add."""
    with FlopCounterMode(display=False) as counter:
        function()
    return counter.get_total_flops()


def shares(sizes: Sizes, folder: Path, device: torch.device) -> list[Row]:
    """Digits and speech, sampling and training, all overhead of a chain or a step with them."""
    timer, side = Timer(device), sizes.matmul
    a, b = (torch.randn(side, side, device=device) for _ in range(2))
    channels = side // 8
    x, kernel = torch.randn(4, channels, 32, 32, device=device), torch.randn(channels, channels, 3, 3, device=device)
    functions: dict[str, Callable[[], object]] = {}
    cases = [
        (digits(folder, device), sizes.images, "images of 8x8"),
        (voice(folder, device), sizes.utterances, "utterances of 1 s at 8 kHz"),
    ]
    for subject, count, what in cases:
        batch, steps = sized_batch(subject, sizes), max(1, sizes.training_steps // 2)
        functions[f"sampling {count} {what}"] = subject.draw(subject.net(), count, min(6, sizes.steps))
        functions[f"training, batches of {batch} {what.split()[0]}"] = subject.fit(subject.net(), steps, batch=batch)
    operations = [floating_point_operations(function) for function in functions.values()]
    dense = {"torch.mm": lambda: torch.mm(a, b), "a convolution": lambda: F.conv2d(x, kernel, padding=1)}
    dense_operations = [floating_point_operations(function) for function in dense.values()]
    timed = interleaved([*dense.values(), *functions.values()], min(5, sizes.rounds), timer)
    rates = [[count / seconds / 1e9 for seconds in each] for count, each in zip([*dense_operations, *operations], timed, strict=True)]
    product, convolution, *turns = rates
    peak = [max(pair) for pair in zip(product, convolution, strict=True)]
    sides = f"torch.mm of {side} x {side} and a 3x3 convolution of {channels} channels"
    how = f"theirs: the faster of {sides}, float32; operations by torch.utils.flop_counter"
    named = zip(["torch.mm", *functions], [product, *turns], strict=True)
    return [share(PART, what, rate, peak, how, timer=timer) for what, rate in named]


COMPARISONS = [shares]
