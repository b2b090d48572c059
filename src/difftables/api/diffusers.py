"""A net of the library diffusers with its scheduler's config as a run. The library itself is not imported."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from difftables.api.wrap import wrap
from difftables.common.errors import nearest
from difftables.diffusion.betas import betas_of
from difftables.diffusion.level import Level
from difftables.diffusion.training_schedules import cosine
from difftables.sampling.loaded_run import LoadedRun

PREDICTS = {"epsilon": "eps", "sample": "x0", "v_prediction": "v"}
DEFAULTS = {"num_train_timesteps": 1000, "beta_start": 1e-4, "beta_end": 0.02, "beta_schedule": "linear", "prediction_type": "epsilon"}


def linear(first: float, last: float, steps: int) -> Tensor:
    """beta_i between its ends, evenly spaced."""
    return torch.linspace(first, last, steps, dtype=torch.float64)


def scaled_linear(first: float, last: float, steps: int) -> Tensor:
    """sqrt(beta_i) evenly spaced, of latent diffusion; the schedule `scaled-linear` of Improved DDPM is another."""
    return linear(first**0.5, last**0.5, steps) ** 2


def squared_cosine(first: float, last: float, steps: int) -> Tensor:
    """The rates of Improved DDPM's cosine schedule, whatever the ends."""
    return betas_of(cosine(steps))


def sigmoid(first: float, last: float, steps: int) -> Tensor:
    """beta_i = first + (last - first) sigmoid(t), t evenly from -6 to 6."""
    return first + (last - first) * torch.linspace(-6, 6, steps, dtype=torch.float64).sigmoid()


BETAS: dict[str, Callable[[float, float, int], Tensor]] = {
    "linear": linear, "scaled_linear": scaled_linear, "squaredcos_cap_v2": squared_cosine, "sigmoid": sigmoid,
}  # fmt: skip


def from_diffusers(
    model: Any, scheduler: Any = None, *, shape: Sequence[int] | None = None, time: str | Callable[[Level], Any] = "timestep",
    data: Tensor | None = None, batch: int = 64,
) -> LoadedRun:  # fmt: skip
    """A pipeline of diffusers, or its unet and scheduler, as a run, which `sample` draws from.

    Of the scheduler only its rates and what its net predicts are read: solver, clipping and timesteps are choices of `sample`.

    Args:
        model: a pipeline with `unet` and `scheduler`, or a unet: (x, t) to an output with `sample`; a condition is its `class_labels`.
        scheduler: of a unet: a scheduler, or its config.
        shape: of a sample, [C, H, W], where the unet's config has none.
        time, data, batch: of `wrap`.
    Raises: ValueError, one line, for a scheduler without rates or with a level of no signal, or a unet that asks for further inputs.
    """
    unet = getattr(model, "unet", None) or model
    scheduler = getattr(model, "scheduler", None) if scheduler is None else scheduler
    if scheduler is None:
        raise ValueError("a unet does not know its levels; pass its scheduler, or the scheduler's config, as the second argument")
    of_net, of_scheduler = _config(unet), _config(scheduler)
    if of_net.get("cross_attention_dim") is not None or of_net.get("addition_embed_type") is not None:
        raise ValueError(
            "the unet asks for more than x and t; use wrap(lambda x, t: unet(x, t, encoder_hidden_states=...).sample, ...) with its betas"
        )
    shape = _shape(of_net) if shape is None else tuple(shape)

    def net(x: Tensor, t: Tensor, *cond: Tensor) -> Any:
        output = unet(x, t, **({"class_labels": cond[0]} if cond else {}))
        return getattr(output, "sample", output)

    parameters = getattr(unet, "parameters", None)
    first = next(iter(parameters()), None) if callable(parameters) else None
    if isinstance(unet, torch.nn.Module):
        unet.eval()
    return wrap(
        net, shape, predicts=predicts_of(of_scheduler), time=time, betas=betas_in(of_scheduler), data=data, batch=batch,
        variance=of_net.get("out_channels") == 2 * shape[0], device=None if first is None else first.device,
    )  # fmt: skip


def _shape(config: Mapping[str, Any]) -> tuple[int, ...]:
    """Of a sample, by a unet's config.  Raises: ValueError where it does not say."""
    channels, size = config.get("in_channels"), config.get("sample_size")
    if channels is None or size is None:
        raise ValueError("the unet's config has no in_channels or no sample_size; pass shape=(channels, height, width)")
    return (channels, *size) if isinstance(size, list | tuple) else (channels, size, size)


def betas_in(config: Mapping[str, Any]) -> Tensor:
    """The rates of a scheduler's config, least noisy first, [T].  Raises: ValueError for a scheduler without rates."""
    if config.get("trained_betas") is not None:
        return torch.as_tensor(config["trained_betas"], dtype=torch.float64)
    if "beta_schedule" not in config:
        name = config.get("_class_name", "the scheduler")
        raise ValueError(f"{name} has no beta_schedule; use wrap(net, ..., sigmas=(lowest, highest)) for levels that are no rates")
    if config.get("rescale_betas_zero_snr"):
        raise ValueError("rescale_betas_zero_snr makes a level without signal, where no sampler here starts; pass the scheduler without it")
    full = {**DEFAULTS, **config}
    if full["beta_schedule"] not in BETAS:
        raise ValueError(f"beta_schedule is {full['beta_schedule']!r}{nearest(full['beta_schedule'], BETAS)}")
    return BETAS[full["beta_schedule"]](full["beta_start"], full["beta_end"], full["num_train_timesteps"])


def predicts_of(config: Mapping[str, Any]) -> str:
    """What the net of a scheduler predicts, a name of `wrap`.  Raises: ValueError for another prediction_type."""
    kind = {**DEFAULTS, **config}["prediction_type"]
    if kind not in PREDICTS:
        raise ValueError(f"prediction_type is {kind!r}{nearest(str(kind), PREDICTS)}")
    return PREDICTS[str(kind)]


def _config(owner: Any) -> dict[str, Any]:
    """A config: a mapping, or the attribute `config` of what has one."""
    found = owner if isinstance(owner, Mapping) else getattr(owner, "config", {})
    return dict(found) if isinstance(found, Mapping) else vars(found)
