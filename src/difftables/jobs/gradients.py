"""Rule gradients: how noisy the gradient of each objective is at a trained net, with levels drawn evenly or by their loss."""

from typing import TYPE_CHECKING

from difftables.jobs.job import Job

if TYPE_CHECKING:
    from torch import Tensor


def run(job: Job) -> None:
    """spec: run, evaluation, names, scale.  In: data, net, maybe ends.  Out: record."""
    import torch

    from difftables.common.files import write_json
    from difftables.common.seeds import generator
    from difftables.diffusion.corruptions import CORRUPTIONS
    from difftables.jobs.sample import Chain
    from difftables.training import level_densities
    from difftables.training.loss_aware import LossAware
    from difftables.training.losses import PENALTIES, WEIGHTS, denoising_loss
    from difftables.training.targets import TARGETS
    from difftables.training.variational_bound import Hybrid, Vlb

    spec, chain, device = job.spec, Chain(job), job.device
    if not (spec.run.net.model_extra or {}).get("variance"):
        raise ValueError(f"run {spec.names.run} has a net without variance channels; its bound has no gradient to study")
    chain.net.requires_grad_(True)
    parameters = list(chain.net.parameters())
    size, count = spec.evaluation.gradient_batch, spec.evaluation.gradient_batches
    aware = LossAware(chain.training)
    weight, penalty = WEIGHTS[spec.run.weight], PENALTIES[spec.run.penalty]

    def losses(density: str, objective: Hybrid, stream: torch.Generator) -> "Tensor":
        x0, cond = chain.medium.training_batch(size, stream, False)
        draw = aware if density == "loss_aware" else level_densities.make_density(density, chain.training)
        level = draw(chain.training, size, stream)
        noise = torch.randn(x0.shape, generator=stream).to(device)
        loss = denoising_loss(
            x0, level.to(device), noise, denoise=chain.denoise, corrupt=CORRUPTIONS[spec.run.corruption],
            target=TARGETS[spec.run.target], weight=weight, penalty=penalty, objective=objective, cond=cond,
        )  # fmt: skip
        if density != "loss_aware":
            return loss
        weights = aware.weights(level).float().to(device)
        aware.remember(level, loss)
        return weights * loss

    bound = Vlb(chain.training, spec.run.vlb_weight)
    batch = 0
    with torch.no_grad():
        while not aware.warm:
            losses("loss_aware", bound, generator("gradients", "warm", batch))
            batch += 1
    rows = []
    for name, density, objective in (
        ("L_vlb", "index", bound),
        ("L_vlb", "loss_aware", bound),
        ("L_hybrid", "index", Hybrid(chain.training, spec.run.vlb_weight)),
    ):
        squares, total, spread = [], [torch.zeros_like(p) for p in parameters], []
        for i in range(count):
            loss = losses(density, objective, generator("gradients", name, density, i))
            found = torch.autograd.grad(loss.mean(), parameters, allow_unused=True)
            squares.append(sum(g.square().sum().item() for g in found if g is not None))
            spread.append(loss.detach().double().var().item())
            for mean, g in zip(total, found, strict=True):
                if g is not None:
                    mean += g / count
        whole = sum(mean.square().sum().item() for mean in total)
        rows.append({"objective": name, "density": density, "squares": squares, "whole": whole, "loss_variance": sum(spread) / count})
        print(f"{name}, {density}: {count} batches of {size}", flush=True)
    shared = {**spec.names.model_dump(), "batch": size, "batches": count, "warm_up": batch * size}
    job.seeds = {"training": spec.names.train_seed}
    write_json(job.output("record"), {"shared": shared, "records": rows})
