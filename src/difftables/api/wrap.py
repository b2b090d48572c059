"""Any net as a run: what it predicts, what it receives for the level, and the levels that it was trained at."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from difftables.common.errors import nearest
from difftables.config.data import Images
from difftables.config.nets import Net
from difftables.config.run import Schedule
from difftables.config.run_spec import RunSpec
from difftables.data.image_files import to_uint8
from difftables.diffusion import denoiser
from difftables.diffusion.betas import schedule_from_betas
from difftables.diffusion.denoiser import CONDITIONINGS, Condition
from difftables.diffusion.level import Level
from difftables.diffusion.linear_process import rates_of
from difftables.diffusion.training_schedules import exploding
from difftables.sampling.loaded_run import LoadedRun

LEVELS = 1000  # of a training schedule between two ends
Coefficients = tuple[Tensor, Tensor, Tensor]


def preserving_x0(sigma: Tensor, sigma_data: float = 0.5) -> Coefficients:
    """(c_skip, c_out, c_in) = 0, 1, 1 / sqrt(1 + sigma^2): the net receives x of a variance-preserving process and predicts x0."""
    return torch.zeros_like(sigma), torch.ones_like(sigma), (1 + sigma**2).rsqrt()


def preserving_v(sigma: Tensor, sigma_data: float = 0.5) -> Coefficients:
    """(c_skip, c_out, c_in) = 1 / (1 + sigma^2), -sigma / sqrt(1 + sigma^2), 1 / sqrt(1 + sigma^2): x0 = alpha x - std v.

    Source: Salimans and Ho 2022 (progressive distillation), v = alpha eps - std x0.
    """
    inner = (1 + sigma**2).rsqrt()
    return inner**2, -sigma * inner, inner


def exploding_eps(sigma: Tensor, sigma_data: float = 0.5) -> Coefficients:
    """(c_skip, c_out, c_in) = 1, -sigma, 1: the net receives x = x0 + sigma n and predicts n."""
    skip, out, inner = denoiser.exploding_coefficients(sigma)
    return skip, -out, inner


# By what a net predicts, then by its process.
PREDICTIONS: dict[str, dict[str, Callable[..., Coefficients]]] = {
    "eps": {"vp": denoiser.eps_coefficients, "ve": exploding_eps},
    "x0": {"vp": preserving_x0, "ve": denoiser.direct_coefficients},
    "v": {"vp": preserving_v},
}


class PlainData:
    """What a wrapped net says of its data: the shape of a sample, and maybe clean samples.

    Args: shape: of a sample; images: clean samples, [N, ...], for searches that measure the net.
    """

    def __init__(self, shape: Sequence[int], images: Tensor | None = None) -> None:
        self.shape, self.images = tuple(shape), images

    def shape_and_condition(self, part: str, count: int) -> tuple[tuple[int, ...], Condition]:
        """Shape of a sample, and no condition."""
        return self.shape, None

    def clean(self, part: str = "training", count: int | None = None) -> Tensor:
        """The first `count` clean samples, or all of them, [N, ...].  Raises: ValueError where there are none."""
        if self.images is None:
            raise ValueError("this needs clean samples of the net's data, and none were passed; wrap the net with data=")
        return self.images[:count]

    def held_out(self, count: int) -> tuple[Tensor, None]:
        """The last `count` clean samples, and no condition.  Raises: as `clean`."""
        return self.clean()[-count:], None

    def stored(self, x: Tensor) -> Tensor:
        """Samples as metrics read them: uint8.  Raises: FloatingPointError for NaN."""
        return to_uint8(x.cpu())


def wrap(
    net: Callable[..., Any], shape: Sequence[int], *, predicts: str, time: str | Callable[[Level], Any] = "timestep",
    betas: Tensor | Sequence[float] | None = None, sigmas: tuple[float, float] | None = None, training: Level | None = None,
    variance: bool = False, data: Tensor | None = None, device: torch.device | str | None = None, batch: int = 64,
) -> LoadedRun:  # fmt: skip
    """A net as a run, which `sample` draws from.

    x = alpha x0 + std n: variance preserving with `betas`, alpha = 1 with `sigmas`

    Args:
        net: (x, t), [B, *shape] and [B], maybe with a condition, to its prediction, [B, *shape]. A module is set to `eval`.
        shape: of a sample, without its batch.
        predicts: eps (the noise n), x0, or v = alpha n - std x0.
        time: what t is: timestep (the integer whose level is as noisy, in 0 .. T - 1), fractional_timestep (between integers), sigma,
            another of CONDITIONINGS, or a function of a Level.
        betas, sigmas, training: the levels it was trained at, one of them: transition rates, least noisy first; the lowest and the
            highest sigma; or a Level, noisiest first, the clean level last.
        variance: whether it has twice the channels, the second half for a learned variance as Improved DDPM's.
        data: clean samples, [N, *shape], for searches that measure the net.
        device: where it computes; by default where its parameters are.
        batch: samples at once.
    Raises: ValueError, one line, for an unknown name, levels that are missing or twice there, or v without a variance-preserving process.
    """
    if sum(each is not None for each in (betas, sigmas, training)) != 1:
        raise ValueError("a net needs the levels it was trained at; pass one of betas=, sigmas=(lowest, highest) and training=")
    if predicts not in PREDICTIONS:
        raise ValueError(f"predicts is {predicts!r}{nearest(predicts, PREDICTIONS)}")
    levels, schedule = _levels(betas, sigmas, training)
    if levels.process not in PREDICTIONS[predicts]:
        process = {"ve": "variance exploding", "": "of no process"}.get(levels.process, levels.process)
        raise ValueError(
            f"a net that predicts {predicts} has a process among {', '.join(PREDICTIONS[predicts])}, but its levels are {process}; "
            "pass betas= for the levels, or convert its output to x0"
        )
    if isinstance(net, nn.Module):
        net.eval()
        first = next(net.parameters(), None)
        device = first.device if device is None and first is not None else device
    shape = tuple(shape)
    coefficients, c_noise = PREDICTIONS[predicts][levels.process], _c_noise(time, levels, schedule)
    denoise = denoiser.precondition(_checked(net, shape, variance), coefficients, c_noise, variance)
    return LoadedRun(
        run_spec(schedule, levels.process, variance), PlainData(shape, data), levels, net, denoise,  # type: ignore[arg-type]
        torch.device(device or "cpu"), batch,
    )  # fmt: skip


def run_spec(schedule: Schedule, process: str, variance: bool) -> RunSpec:
    """What a wrapped net has of a spec of a run, whose model would ask for the rest."""
    prior = "standard_normal" if process == "vp" else "noise_alone"
    net = Net.model_construct(kind="wrapped", variance=variance)
    data = Images.model_construct(reader="given")
    return RunSpec.model_construct(data=data, net=net, schedule=schedule, corruption="scale", prior=prior)


def _levels(betas: Any, sigmas: tuple[float, float] | None, training: Level | None) -> tuple[Level, Schedule]:
    """The levels that a net was trained at, and what of their schedule other functions read: rates in continuous time."""
    if training is not None:
        return training, _schedule("given", len(training) - 1)
    if sigmas is not None:
        lowest, highest = sigmas
        if not 0 < lowest < highest:
            raise ValueError(f"sigmas are {lowest:g} and {highest:g}; pass the lowest, above 0, and then the highest")
        return exploding(LEVELS, lowest, highest), _schedule("exploding", LEVELS, lowest=lowest, highest=highest)
    rates = torch.as_tensor(betas, dtype=torch.float64)
    try:
        levels = schedule_from_betas(rates)
    except ValueError as error:
        raise ValueError(f"{error}, and its level would hold no signal; leave such rates out") from None
    straight = torch.linspace(rates[0].item(), rates[-1].item(), len(rates), dtype=torch.float64)
    if rates[-1] > rates[0] and torch.allclose(rates, straight, rtol=1e-5, atol=0):
        return levels, _schedule("linear", len(rates), first=rates[0].item(), last=rates[-1].item())
    return levels, _schedule("given", len(rates))


def _schedule(family: str, steps: int, **ends: float) -> Schedule:
    """A family that is none of TRAINING_SCHEDULES, or one whose ends params would not take."""
    fields: dict[str, Any] = {"family": family, "steps": steps, **ends}
    return Schedule.model_construct(None, **fields)


def _c_noise(time: str | Callable[[Level], Any], levels: Level, schedule: Schedule) -> Callable[[Level], Any]:
    """From a level to what a net receives for it."""
    if not isinstance(time, str):
        return time
    further: dict[str, Callable[[Level], Any]] = {
        "sigma": lambda level: level.sigma,
        "fractional_timestep": lambda level: fractional_timestep(level, levels),
    }
    if time in further:
        return further[time]
    if time not in CONDITIONINGS:
        raise ValueError(f"time is {time!r}{nearest(time, [*CONDITIONINGS, *further])}")
    if time == "continuous_time":
        return CONDITIONINGS[time](levels, rates=rates_of(schedule))
    return CONDITIONINGS[time](levels)


def fractional_timestep(level: Level, training: Level) -> Tensor:
    """The timestep of a level, [B], between those of a training schedule where it lies between: linear in log sigma, 0 .. T - 1."""
    rising = training.sigma[:-1].flip(0).log().to(level.sigma.device)
    wanted = level.sigma.double().log().clamp(rising[0], rising[-1])
    above = torch.searchsorted(rising, wanted).clamp(1, len(rising) - 1)
    return above - (rising[above] - wanted) / (rising[above] - rising[above - 1])


def _checked(net: Callable[..., Any], shape: tuple[int, ...], variance: bool) -> Callable[..., Tensor]:
    """A net that receives real numbers in the dtype of x, and whose output has the shape that it should have."""
    expected = (2 * shape[0], *shape[1:]) if variance else shape

    def call(x: Tensor, t: Any, *cond: Any) -> Tensor:
        output = net(x, t.to(x.dtype) if isinstance(t, Tensor) and t.is_floating_point() else t, *cond)
        if not isinstance(output, Tensor) or output.shape != (len(x), *expected):
            got = list(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise ValueError(f"the net returned {got}, not a tensor of {[len(x), *expected]}; wrap a function that returns its prediction")
        return output.to(x.dtype)

    return call
