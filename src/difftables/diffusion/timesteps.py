"""Which timesteps of a training schedule a shorter chain visits: lists of 0-based timesteps, rising. No torch in here."""


def even(total: int, steps: int) -> list[int]:
    """round(i (T - 1) / (steps - 1)), i = 0 .. steps - 1, halves to even: both ends are kept.

    Raises: ValueError for more steps than T.
    Source: Nichol and Dhariwal 2021 (Improved DDPM), released code; the paper rounds reals from 1 to T, which differs in ties alone.
    """
    return sections(total, [steps])


def sections(total: int, counts: list[int]) -> list[int]:
    """[0, T) cut into equal parts, the first ones longer by one where T does not divide, and each strided evenly by its own count.

    Raises: ValueError naming the section that is shorter than its count.
    Source: Improved DDPM's released code, section counts.
    """
    size, extra = divmod(total, len(counts))
    found, start = list[int](), 0
    for i, count in enumerate(counts):
        length = size + (i < extra)
        if not 1 <= count <= length:
            raise ValueError(f"section {i + 1} of {len(counts)} has {length} timesteps, which cannot be strided to {count}")
        stride = 1.0 if count == 1 else (length - 1) / (count - 1)
        place = 0.0  # added up, as in that code, so that ties round as they do there
        for _ in range(count):
            found.append(start + round(place))
            place += stride
        start += length
    return found


def trailing(total: int, steps: int) -> list[int]:
    """round(i T / steps) - 1, i = 1 .. steps, halves to even: times 1 / steps .. 1 where timestep t stands for time (t + 1) / T.

    Raises: ValueError for more steps than T.
    Source: Soft Diffusion (Daras et al. 2022), dt = 1 / N; the name is that of Lin et al. 2024 (common noise schedules are flawed).
    """
    if not 1 <= steps <= total:
        raise ValueError(f"{steps} steps cannot be spread over {total} timesteps")
    return [round(i * total / steps) - 1 for i in range(1, steps + 1)]


def whole(total: int, steps: int) -> list[int]:
    """0, j, 2j, ... for the smallest whole stride j that makes `steps` of them.

    Raises: ValueError when no whole stride does, naming the nearest step counts that have one.
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
    """`even`, and every timestep below T / steps besides, where most of the bound is.

    Source: Nichol and Dhariwal 2021 (Improved DDPM), App. E.
    """
    return sorted({*even(total, steps), *range(-(-total // steps))})
