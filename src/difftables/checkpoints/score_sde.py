"""Score SDE's NCSN++ and DDPM++ (Song et al. 2021), whose layers are numbered in the order of use."""

from itertools import count as counting
from typing import Any

from difftables.checkpoints.formats import Facts, Format, Layer, Layers, State, columns, rows, same, transposed
from difftables.nets.ncsnpp import NCSNpp, SpatialAttention

BLOCK = (
    ("norm1", "GroupNorm_0"), ("conv1", "Conv_0"), ("project", "Dense_0"),
    ("norm2", "GroupNorm_1"), ("conv2", "Conv_1"), ("skip", "Conv_2"),
)  # fmt: skip
NIN = {"weight": "W", "bias": "b"}


def ncsnpp(net: NCSNpp) -> Layers:
    """Where the layers of an NCSN++ or DDPM++ come from.  Raises: ValueError for `biggan: false`, whose numbers differ."""
    if not net.biggan:
        raise ValueError("the format is read only for `biggan: true`")
    numbers = (f"all_modules.{number}" for number in counting())
    layers: Layers = {}

    def block(ours: str, attends: bool = False) -> None:
        official = next(numbers)
        layers.update(same((f"{ours}.{a}", f"{official}.{b}") for a, b in BLOCK))
        if attends:
            official = next(numbers)
            layers[f"{ours}.attend.norm"] = Layer((f"{official}.GroupNorm_0",))
            layers[f"{ours}.attend.qkv"] = Layer(tuple(f"{official}.NIN_{k}" for k in range(3)), transposed, NIN)
            layers[f"{ours}.attend.out"] = Layer((f"{official}.NIN_3",), transposed, NIN)

    def blocks(ours: str) -> None:
        for k, part in enumerate(net.get_submodule(ours).children()):
            block(f"{ours}.{k}", isinstance(part.get_submodule("attend"), SpatialAttention))

    if net.fourier is not None:
        layers["fourier"] = Layer((next(numbers),), leaves={"frequencies": "W"})
    for ours in ("embed.0", "embed.2", "inlet"):
        layers[ours] = Layer((next(numbers),))
    for i in range(len(net.down)):
        if i > 0:
            block(f"shrink.{i - 1}")
            if net.pyramid:
                layers[f"pyramid.{i - 1}.conv"] = Layer((f"{next(numbers)}.Conv2d_0",))
        blocks(f"down.{i}")
    blocks("middle")
    for i in range(len(net.up)):
        if i > 0:
            block(f"enlarge.{i - 1}")
        blocks(f"up.{i}")
    for ours in ("norm", "outlet"):
        layers[ours] = Layer((next(numbers),))
    return layers


def architecture(facts: Facts) -> dict[str, Any]:
    """Of the net; `size` is to be stated. Released nets with an input pyramid, NCSN++, have the filter, and the others, DDPM++, not."""
    state, size = facts.state, facts.need("size")
    fourier = "all_modules.0.W" in state
    inlet = f"all_modules.{2 + fourier}"  # after the frequencies, if any, and the embedding's two layers
    width = rows(state, inlet)
    pyramid = any(name.endswith(".Conv2d_0.weight") for name in state)
    numbers = sorted({int(name.split(".")[1]) for name in state if name.startswith("all_modules.") and ".Conv_0." in name})
    halves = [number for number in numbers if _resamples(state, number)]
    levels = len(halves) // 2 + 1
    blocks, rest = divmod(len(numbers) - 2 * (levels - 1) - 2 - levels, 2 * levels)  # those of the way up are one more
    if rest or blocks < 1 or len(halves) % 2:
        raise KeyError("a whole number of blocks")
    down = [number for number in numbers if number not in halves][: levels * blocks]
    starts = down[::blocks]
    attends = [f"all_modules.{number + 1}.NIN_0.W" in state for number in starts]
    return {
        "kind": "ncsnpp", "size": size, "channels": columns(state, inlet), "width": width,
        "mult": [rows(state, f"all_modules.{number}.Conv_0") // width for number in starts],
        "blocks": blocks,
        "attention": [size >> i for i, attend in enumerate(attends) if attend],
        "dropout": 0.0, "augment": 0, "classes": 0,
        "embedding": "fourier" if fourier else "positional",
        "stored_frequencies": fourier,
        "fir": pyramid,
        "residual_input": pyramid,
    }  # fmt: skip


def _resamples(state: State, number: int) -> bool:
    """Whether a block halves or doubles: only such a block has a skip of as many channels as come in."""
    skip = f"all_modules.{number}.Conv_2"
    return f"{skip}.weight" in state and rows(state, skip) == columns(state, skip)


SCORE_SDE = Format({NCSNpp: ncsnpp}, architecture, prefixes=("module.",), ignored="sigmas")
