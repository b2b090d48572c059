"""How noisy the gradient of each objective is at a trained net, with levels drawn evenly or by their loss."""

from typing import Any

import torch
from torch import Tensor

from difftables.common.arithmetic import sum_in_order
from difftables.common.clock import Phase
from difftables.common.seeds import generator
from difftables.diffusion.corruptions import CORRUPTIONS
from difftables.sampling.loaded_run import LoadedRun
from difftables.training import level_densities
from difftables.training.loss_aware import LossAware
from difftables.training.losses import PENALTIES, WEIGHTS, denoising_loss
from difftables.training.targets import TARGETS
from difftables.training.variational_bound import Hybrid, Vlb


def gradient_noise(run: LoadedRun, *, batch: int, batches: int) -> dict[str, Any]:
    """Squared norms of gradients of single batches and of their mean, a record for each objective and density of levels.

    Args: batch: samples in one; batches: how many.
    Returns: "shared", what all records share, and "records".
    Raises: ValueError for a net without variance channels.
    """
    spec, training = run.spec, run.training
    if not (spec.net.model_extra or {}).get("variance"):
        raise ValueError(
            "the net has no variance channels, so that its bound has no gradient to study; set `variance: true` in its section"
        )
    run.net.requires_grad_(True)
    parameters = list(run.net.parameters())
    aware = LossAware(training)
    weight, penalty = WEIGHTS[spec.weight], PENALTIES[spec.penalty]

    def losses(density: str, objective: Hybrid, stream: torch.Generator) -> Tensor:
        x0, cond = run.medium.training_batch(batch, stream, False)
        draw_levels = aware if density == "loss_aware" else level_densities.make_density(density, training)
        level = draw_levels(training, batch, stream)
        noise = torch.randn(x0.shape, generator=stream).to(run.device)
        loss = denoising_loss(
            x0, level.to(run.device), noise, denoise=run.denoise, corrupt=CORRUPTIONS[spec.corruption],
            target=TARGETS[spec.target.kind], weight=weight, penalty=penalty, objective=objective, cond=cond,
        )  # fmt: skip
        if density != "loss_aware":
            return loss
        weights = aware.weights(level).float().to(run.device)
        aware.remember(level, loss)
        return weights * loss

    bound = Vlb(training, spec.objective.vlb_weight)
    warm_up = 0
    with torch.no_grad():
        while not aware.warm:
            losses("loss_aware", bound, generator("gradients", "warm", warm_up))
            warm_up += 1
    records = []
    for name, density, objective in (
        ("L_vlb", "index", bound),
        ("L_vlb", "loss_aware", bound),
        ("L_hybrid", "index", Hybrid(training, spec.objective.vlb_weight)),
    ):
        squares, mean, spread = [], [torch.zeros_like(p) for p in parameters], []
        for i in range(batches):
            loss = losses(density, objective, generator("gradients", name, density, i))
            with Phase("backward"):
                gradients = torch.autograd.grad(loss.mean(), parameters, allow_unused=True)
            squares.append(sum_in_order(g.square().sum().item() for g in gradients if g is not None))
            spread.append(loss.detach().double().var().item())
            for total, g in zip(mean, gradients, strict=True):
                if g is not None:
                    total += g / batches
        whole = sum_in_order(each.square().sum().item() for each in mean)
        records.append(
            {"objective": name, "density": density, "squares": squares, "whole": whole, "loss_variance": sum_in_order(spread) / batches}
        )
        print(f"{name}, {density}: {batches} batches of {batch}", flush=True)
    return {"shared": {"batch": batch, "batches": batches, "warm_up": warm_up * batch}, "records": records}
