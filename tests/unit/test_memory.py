"""A training that draws its levels by their losses survives a kill."""

import pytest
import torch
from torch import nn

from difftables.common.seeds import generator
from difftables.config.run import Training
from difftables.diffusion import training_schedules
from difftables.diffusion.corruptions import scale
from difftables.training.loop import train
from difftables.training.loss_aware import LossAware


def trained(path, kill_at=None):
    """Twelve steps with levels drawn by loss, a history of two filled early on, and the weights of two steps kept."""
    torch.manual_seed(0)
    net, schedule = nn.Linear(4, 4), training_schedules.scaled_linear(24)[::6]
    memory = LossAware(schedule, memory=2)

    def batch_loss(step):
        if step == kill_at:
            assert memory.warm
            raise KeyboardInterrupt
        stream = generator("aware", step)
        level, x0, noise = memory(schedule, 16, stream), torch.randn(16, 4, generator=stream), torch.randn(16, 4, generator=stream)
        losses = (net(scale(x0, level) + level.like(x0).std * noise) - x0).square().mean(1)
        weights = memory.weights(level).float()
        memory.remember(level, losses)
        return weights * losses, level, losses.detach()

    settings = Training(steps=12, batch=16, lr=1e-2, warmup=4, cosine=True, clip=1.0, ema=0.9, save_every=3, checkpoints=[5, 8])
    return train(net, batch_loss, settings, path, memory)


@pytest.mark.parametrize("kill_at", [5, 7, 11])
def test_a_killed_run_with_memory_resumes_to_the_same_bits(tmp_path, kill_at):
    whole, curve = trained(tmp_path / "whole.pt")
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "state.pt", kill_at)
    resumed, again = trained(tmp_path / "state.pt")
    assert set(whole) == {prefix + name for prefix in ("", "at.5.", "at.8.") for name in ("weight", "bias")}
    assert resumed.keys() == whole.keys() and all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert not torch.equal(whole["at.5.weight"], whole["at.8.weight"])
    assert curve == again and len(curve) == 12
