"""Schedules are data: a Level with one entry per step, noisiest first, ending at the clean level.

A list of rates beta_0 .. beta_{N-1} is in the papers' order, least noisy first.
"""

import csv
from pathlib import Path

import torch
from torch import Tensor

from difftables.common.files import write_text
from difftables.diffusion.level import Level, concatenate, same_process


def linear(steps: int, first: float, last: float) -> Tensor:
    """beta_i = first + i (last - first) / (steps - 1), [steps].

    Source: Ho et al. 2020 (1e-4 .. 0.02, T = 1000); WaveGrad (1e-6 .. 1e-2, T = 1000).
    """
    return torch.linspace(first, last, steps, dtype=torch.float64)


def fibonacci(steps: int, first: float, second: float) -> Tensor:
    """beta_{i+2} = beta_{i+1} + beta_i from beta_0 = first and beta_1 = second, [steps].

    Source: San-Roman et al. 2021; 25 steps from 1e-6, 2e-6 is a schedule shipped with WaveGrad ports.
    """
    rates = [first, second]
    while len(rates) < steps:
        rates.append(rates[-1] + rates[-2])
    return torch.tensor(rates[:steps], dtype=torch.float64)


def scaled_linear(steps: int) -> Tensor:
    """linear from 0.1 / T to 20 / T: the shape of Ho et al.'s schedule for any T, and its own at T = 1000; [steps].

    Source: Nichol and Dhariwal 2021 (Improved DDPM), released code.  Raises: by `from_betas`, below 21 steps.
    """
    return linear(steps, 0.1 / steps, 20 / steps)


def cosine(steps: int, offset: float = 0.008, largest: float = 0.999) -> Tensor:
    """beta_t = min(1 - alpha_bar_t / alpha_bar_{t-1}, largest), [steps].

    alpha_bar_t = f(t) / f(0),  f(t) = cos^2((t / T + s) / (1 + s) pi / 2),  s = offset

    Source: Nichol and Dhariwal 2021 (Improved DDPM), cosine schedule; only the last rate meets the bound.
    """
    angle = (torch.arange(steps + 1, dtype=torch.float64) / steps + offset) / (1 + offset) * torch.pi / 2
    alpha_bar = angle.cos() ** 2
    return (1 - alpha_bar[1:] / alpha_bar[:-1]).clamp(max=largest)


def from_betas(betas: Tensor) -> Level:
    """The schedule of transition rates: alpha_bar_n = prod_{i<n} (1 - beta_i).

    Args: betas: [N], least noisy first.  Returns: N + 1 levels, noisiest first, the last one clean.
    Raises: ValueError for a rate outside (0, 1).
    """
    bad = ~((betas > 0) & (betas < 1))
    if bad.any():
        i = int(bad.nonzero()[0])
        raise ValueError(f"beta_{i} = {betas[i].item():g} is outside (0, 1)")
    log_alpha_bar = torch.log1p(-betas.double()).cumsum(0).flip(0)
    alpha = torch.cat([(log_alpha_bar / 2).exp(), torch.ones(1, dtype=torch.float64)])
    std = torch.cat([(-torch.expm1(log_alpha_bar)).sqrt(), torch.zeros(1, dtype=torch.float64)])
    return Level(alpha, std, process="vp")


def betas_of(schedule: Level) -> Tensor:
    """Transition rates of a variance-preserving schedule, beta = 1 - alpha_bar / alpha_bar', least noisy first, [N]."""
    alpha_bar = schedule.alpha_bar
    return (1 - alpha_bar[:-1] / alpha_bar[1:]).flip(0)


def power_law(schedule: Level, steps: int, rho: float = 7.0) -> Level:
    """Noise levels evenly spaced in sigma^(1/rho) between the ends of a training schedule, and the clean level.

    sigma_i = (sigma_max^(1/rho) + i / (N - 1) (sigma_min^(1/rho) - sigma_max^(1/rho)))^rho,  i = 0 .. N - 1

    Raises: ValueError for fewer than two steps.  Source: Karras et al. 2022 (EDM), Eq. 5; theirs is 80 .. 0.002.
    """
    if steps < 2:
        raise ValueError(f"a power law has both ends of the schedule, so that it takes 2 steps at least, not {steps}")
    ends = schedule.sigma[[0, -2]] ** (1 / rho)
    sigma = torch.lerp(ends[0], ends[1], torch.arange(steps, dtype=torch.float64) / (steps - 1)) ** rho
    return concatenate([same_process(schedule, sigma), Level.clean()])


def strided(schedule: Level, steps: int) -> Level:
    """A sub-sequence of a training schedule: indices floor(i T / steps), i = 0 .. steps - 1, and the clean level.

    Departs: the DDIM code takes range(0, T, T // steps), which is the same where `steps` divides T and has more
    than `steps` entries elsewhere (4 for steps = 3); this one always has `steps`.
    Raises: ValueError for more steps than the training schedule has.
    Source: Song et al. 2021 (DDIM), linear sub-sequence.
    """
    count = len(schedule) - 1
    if not 1 <= steps <= count:
        raise ValueError(f"steps = {steps} is not in 1 .. {count}, the length of the training schedule")
    index = torch.arange(steps - 1, -1, -1) * count // steps
    return schedule[torch.cat([count - 1 - index, torch.tensor([count])])]


def at_timesteps(schedule: Level, timesteps: list[int]) -> Level:
    """The levels of a training schedule at timesteps 0 .. T - 1, in rising order, as a chain that ends clean."""
    last = len(schedule) - 1
    return schedule[torch.tensor([last - 1 - t for t in reversed(timesteps)] + [last])]


def evenly_in_log_sigma(schedule: Level, count: int) -> list[int]:
    """Places in a schedule, noisiest first, whose log sigma is as evenly spaced as it gets, so that both ends are seen."""
    log_sigma = schedule.sigma[:-1].log()
    wanted = torch.linspace(log_sigma[0].item(), log_sigma[-1].item(), count, dtype=torch.float64)
    return list(dict.fromkeys((log_sigma[None] - wanted[:, None]).abs().argmin(dim=1).tolist()))


def noisiness(level: Level) -> Tensor:
    """What rises along every schedule, whether its noise, its operator or both do: sigma + strength, [K]."""
    return level.sigma + level.strength


def timestep(level: Level, schedule: Level) -> Tensor:
    """The index that stands for a level in a net trained on integer timesteps.

    t = the smallest index whose level is as noisy, clipped to the last

    Args: level: [B]; schedule: the training schedule, noisiest first.  Returns: [B], int64.
    Source: San-Roman et al. 2021, interval lookup; 0-based, so 0.9999 is index 0 of the DDPM schedule.
    """
    rising = noisiness(schedule[:-1]).flip(0).to(level.std.device)
    # A level that came from this very schedule must find itself again after a round trip through square roots.
    index = torch.searchsorted(rising, noisiness(level).double() * (1 - 1e-9), side="left")
    return index.clamp(max=len(rising) - 1)


def check(schedule: Level, where: str) -> None:
    """Raise ValueError, naming `where`, unless noise falls from entry to entry and the last is clean."""
    if len(schedule) < 2 or not torch.isfinite(schedule.alpha + schedule.std + schedule.strength).all():
        raise ValueError(f"{where}: a schedule needs at least two finite levels")
    if (schedule.alpha <= 0).any() or (schedule.std < 0).any() or (schedule.strength < 0).any():
        raise ValueError(f"{where}: alpha must be positive, std and strength not negative")
    rising = (noisiness(schedule)[1:] >= noisiness(schedule)[:-1]).nonzero()
    if len(rising):
        raise ValueError(f"{where}: noise rises at level {int(rising[0]) + 1}; list the noisiest level first")
    if schedule.std[-1] != 0 or schedule.strength[-1] != 0:
        raise ValueError(f"{where}: the last level must have std = 0 and strength 0, if any")
    still = (schedule.std[:-1] <= 0).nonzero()
    if len(still):
        raise ValueError(f"{where}: level {int(still[0])} has std = 0 before the end; every corrupted level needs some noise")


def write(path: Path, schedules: dict[int, Level]) -> None:
    """Write schedules keyed by their number of steps as CSV: steps, level, alpha, std, beta of the step out of it.

    Where an operator acts, strength follows std, and beta is empty: no product of rates tells how an operator grows.
    """
    operators = any((schedule.strength != 0).any() for schedule in schedules.values())
    names = ["alpha", "std", *["strength"] * operators]
    lines = [",".join(["steps", "level", *names, "beta"])]
    for steps, schedule in schedules.items():
        betas = [""] * len(schedule) if operators else [f"{beta:.17g}" for beta in betas_of(schedule).flip(0).tolist()] + [""]
        for i, beta in enumerate(betas):
            values = [f"{getattr(schedule, name)[i].item():.17g}" for name in names]
            lines.append(",".join([str(steps), str(i), *values, beta]))
    write_text(path, "\n".join(lines) + "\n")


def read(path: Path) -> dict[int, Level]:
    """Read a schedule file: columns alpha, std and maybe strength (noisiest first) or beta alone (least noisy first), maybe steps.

    Raises: ValueError naming the file and what is wrong with it.
    """
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    columns = set(rows[0]) if rows else set()
    if not rows or not ({"alpha", "std"} <= columns or "beta" in columns):
        raise ValueError(f"{path}: a schedule file has the columns alpha,std or beta, not {','.join(sorted(columns)) or 'none'}")
    names = ["alpha", "std", *["strength"] * ("strength" in columns)] if {"alpha", "std"} <= columns else ["beta"]
    groups: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        groups.setdefault(row.get("steps") or "", []).append(row)
    schedules = {}
    for steps, group in groups.items():
        try:
            schedule = _levels(group, names)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
        check(schedule, str(path))
        if steps and int(steps) != len(schedule) - 1:
            raise ValueError(f"{path}: {len(schedule)} levels make {len(schedule) - 1} steps, the file says {steps}")
        schedules[len(schedule) - 1] = schedule
    return schedules


def read_nodes(path: Path) -> Tensor:
    """Operator strengths of the one schedule in a file, least first, without the clean level, [M].

    Raises: ValueError naming a file that is no schedule, or one without operators.
    """
    found = list(read(path).values())
    if len(found) != 1 or not (found[0].strength != 0).any():
        raise ValueError(f"{path}: a file of levels has one schedule, with the column strength")
    return found[0].strength[:-1].flip(0)


def _levels(rows: list[dict[str, str]], names: list[str]) -> Level:
    found = {name: torch.tensor([float(row[name]) for row in rows], dtype=torch.float64) for name in names}
    if "alpha" not in names:
        return from_betas(found["beta"])
    return Level(found["alpha"], found["std"], found.get("strength", torch.zeros_like(found["std"])))
