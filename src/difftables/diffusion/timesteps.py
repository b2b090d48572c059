"""Timesteps of a training schedule that a shorter schedule visits: lists of 0-based timesteps, rising. Imports no torch."""


def even(total: int, steps: int) -> list[int]:
    """round(i (T - 1) / (steps - 1)), i = 0 .. steps - 1, halves to even: both ends are kept.

    Raises: ValueError for more steps than T.
    Source: Nichol and Dhariwal 2021 (Improved DDPM), released code; the paper rounds reals from 1 to T, which differs only in ties.
    """
    return sections(total, [steps])


def sections(total: int, counts: list[int]) -> list[int]:
    """[0, T) cut into equal sections, the first ones longer by one where T does not divide, each strided evenly to its count.

    Args: counts: steps of each section.  Raises: ValueError naming a section that is shorter than its count.
    Source: Improved DDPM's released code, section counts.
    """
    size, extra = divmod(total, len(counts))
    timesteps, start = list[int](), 0
    for i, count in enumerate(counts):
        length = size + (i < extra)
        if not 1 <= count <= length:
            raise ValueError(f"section {i + 1} of {len(counts)} has {length} timesteps, which cannot be strided to {count}; lower it")
        stride = 1.0 if count == 1 else (length - 1) / (count - 1)
        position = 0.0  # summed step by step, as in that code, so that ties round the same way
        for _ in range(count):
            timesteps.append(start + round(position))
            position += stride
        start += length
    return timesteps


def trailing(total: int, steps: int) -> list[int]:
    """round(i T / steps) - 1, i = 1 .. steps, halves to even: times 1 / steps .. 1 where timestep t stands for time (t + 1) / T.

    Raises: ValueError for more steps than T.
    Source: Soft Diffusion (Daras et al. 2022), dt = 1 / N; the name is that of Lin et al. 2024 (common noise schedules are flawed).
    """
    if not 1 <= steps <= total:
        raise ValueError(f"{steps} steps cannot be spread over {total} timesteps; ask for fewer")
    return [round(i * total / steps) - 1 for i in range(1, steps + 1)]


def whole(total: int, steps: int) -> list[int]:
    """0, j, 2j, ... for the smallest whole stride j that makes `steps` of them.

    Raises: ValueError where no whole stride does, naming the nearest step counts with one.
    Source: Improved DDPM's released code, `ddimN`; DDIM (Song et al. 2021).
    """
    for stride in range(1, total + 1):
        if -(-total // stride) == steps:
            return list(range(0, total, stride))
    possible = sorted({-(-total // stride) for stride in range(1, total + 1)}, key=lambda count: abs(count - steps))[:2]
    raise ValueError(
        f"no whole stride takes T = {total} timesteps in {steps} steps; the nearest are {' and '.join(map(str, sorted(possible)))}"
    )


def dense_start(total: int, steps: int) -> list[int]:
    """The timesteps of `even` and all below T / steps, where most of the bound is.

    Source: Nichol and Dhariwal 2021 (Improved DDPM), App. E.
    """
    return sorted({*even(total, steps), *range(-(-total // steps))})


def kept(total: int, skip: float) -> int:
    """Timesteps that are left of T, round((1 - skip) T), halves to even and at least 1, where a chain starts below its noisiest level.

    Source: Nichol and Dhariwal 2021 (Improved DDPM), Fig. 4.
    """
    return max(1, round((1 - skip) * total))
