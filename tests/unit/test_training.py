"""Levels drawn in training, the loss, and the loop: closed forms, resume to the same bits, NaN."""

import itertools
import os
import signal

import pytest
import torch
from torch import nn

from difftables.common.seeds import SampleNoise, generator
from difftables.config.run import Training
from difftables.diffusion import subschedules, training_schedules
from difftables.diffusion.corruptions import scale
from difftables.diffusion.denoiser import (
    Counted,
    bind_condition,
    clipped,
    edm_coefficients,
    eps_coefficients,
    precondition,
    sqrt_alpha_bar,
    switched,
    timestep_index,
)
from difftables.diffusion.level import Level
from difftables.training import level_densities
from difftables.training.loop import learning_rate, train
from difftables.training.losses import denoising_loss, inverse_out, inverse_sigma, inverse_sigma2
from difftables.training.targets import clean


def test_index_density_draws_training_levels_only(training):
    level = level_densities.index(training, 20000, generator(0))
    index = subschedules.timestep(level, training)
    assert index.float().mean().item() == pytest.approx(499.5, abs=4 * 288.7 / 20000**0.5)
    assert level.std.min() > 0


def test_between_density_lies_between_neighbours(training):
    """s ~ U{1..S}, then sqrt(alpha_bar) uniform: each interval gets the same share, and the mean inside it is its middle."""
    level = level_densities.between(training, 50000, generator(1))
    ends = training.alpha[[0, 250, 500, 750, 1000]]
    for low, high in itertools.pairwise(ends):
        share = ((level.alpha >= low) & (level.alpha < high)).double().mean().item()
        assert share == pytest.approx(0.25, abs=0.01)


def test_eps_preconditioning_is_the_printed_x0(training):
    """D = (x - sqrt(1 - alpha_bar) F) / sqrt(alpha_bar), and F sees x itself."""
    seen = {}

    def net(x, c_noise):
        seen["x"], seen["c"] = x, c_noise
        return 0.5 * x

    level = training[torch.tensor([0, 400, 999])]
    x = torch.randn(3, 1, 4, 4)
    found = precondition(net, eps_coefficients, timestep_index(training))(x, level)
    a, s = level.like(x).alpha, level.like(x).std
    torch.testing.assert_close(found, (x - s * 0.5 * x) / a, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(seen["x"], x)
    assert seen["c"].tolist() == [999, 599, 0]
    assert clipped(lambda x, level: 9 * x, 1.0)(torch.ones(1), level).item() == 1


def test_weighted_x0_error_is_the_eps_error(training):
    """1 / sigma^2 |D - x0|^2 = |F - n|^2: L_simple of the DDPM paper."""
    x0, noise = torch.rand(5, 1, 4, 4).double() * 2 - 1, torch.randn(5, 1, 4, 4).double()
    level = training[torch.tensor([10, 300, 600, 900, 999])]

    def net(x, c):
        return torch.tanh(x)

    denoise = precondition(net, eps_coefficients, timestep_index(training))
    found = denoising_loss(x0, level, noise, denoise=denoise, corrupt=scale, target=clean, weight=inverse_sigma2)
    x = level.like(x0).alpha * x0 + level.like(x0).std * noise
    torch.testing.assert_close(found, (net(x, None) - noise).square().flatten(1).mean(1), rtol=1e-6, atol=1e-9)


@pytest.fixture
def wavegrad_training():
    return training_schedules.linear(1000, 1e-6, 0.01)


def test_weighted_absolute_x0_error_is_the_eps_error(wavegrad_training):
    """1 / sigma |D - x0| = |F - n|: WaveGrad's L1 loss, the net told sqrt(alpha_bar) and the mel."""
    x0, noise, mel = 0.1 * torch.randn(4, 30).double(), torch.randn(4, 30).double(), torch.randn(4, 2, 3).double()
    level = wavegrad_training[torch.tensor([10, 300, 600, 950])]
    seen = {}

    def net(x, c_noise, cond):
        seen["x"], seen["c"], seen["cond"] = x, c_noise, cond
        return torch.tanh(x)

    denoise = precondition(net, eps_coefficients, sqrt_alpha_bar(wavegrad_training))
    found = denoising_loss(
        x0, level, noise, denoise=denoise, corrupt=scale, target=clean, weight=inverse_sigma, penalty=torch.abs, cond=mel
    )
    x = level.like(x0).alpha * x0 + level.like(x0).std * noise
    torch.testing.assert_close(found, (torch.tanh(x) - noise).abs().mean(1), rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(seen["x"], x)
    assert torch.equal(seen["c"], level.alpha)
    assert torch.equal(seen["cond"], mel)


def test_edm_preconditioning_has_unit_inputs_and_targets():
    """For data and noise independent: var(c_in u) = 1, and var of the net's target (x0 - c_skip u) / c_out is 1."""
    sigma_data = 0.09
    for sigma in (1e-3, 0.05, 0.09, 1.0, 12.0):
        skip, out, inner = (c.item() for c in edm_coefficients(torch.tensor([sigma], dtype=torch.float64), sigma_data))
        assert inner**2 * (sigma_data**2 + sigma**2) == pytest.approx(1)
        assert ((1 - skip) ** 2 * sigma_data**2 + skip**2 * sigma**2) / out**2 == pytest.approx(1)
        level = Level(torch.tensor([1.0]).double(), torch.tensor([sigma]).double())
        assert inverse_out(level, sigma_data).item() == pytest.approx(1 / out)


def test_log_sigma_density_is_uniform_in_log_sigma(wavegrad_training):
    level = level_densities.log_sigma(wavegrad_training, 40000, generator(2))
    ends = wavegrad_training.sigma[[0, -2]].log()
    share = (level.sigma.log() - ends[1]) / (ends[0] - ends[1])
    assert 0 <= share.min() < 1e-3 < 0.999 < share.max() <= 1
    assert share.mean().item() == pytest.approx(0.5, abs=4 * 0.289 / 200)
    assert share.std().item() == pytest.approx(12**-0.5, rel=0.02)


def test_what_a_batch_is_given_passes_through_clip_and_count():
    def denoise(x, level, cond=None):
        return x if cond is None else x * cond

    counted = Counted(clipped(denoise, 5.0))
    x, level = torch.ones(2), Level.clean(2)
    assert bind_condition(counted, torch.tensor([3.0, 9.0]))(x, level).tolist() == [3, 5]
    assert bind_condition(counted, None)(x, level).tolist() == [1, 1]
    assert (counted.calls, counted.evaluations) == (2, 4)


def test_absolute_penalty_and_residual_see_the_error():
    x0 = torch.ones(1, 2)
    level = Level.variance_preserving(torch.tensor([0.5]))
    common = {"denoise": lambda x, level: torch.zeros_like(x), "corrupt": scale, "target": clean, "weight": lambda level: torch.ones(1)}
    found = denoising_loss(x0, level, torch.zeros(1, 2), penalty=torch.abs, residual=scale, **common)
    torch.testing.assert_close(found, torch.tensor([0.5**0.5]))


def settings(**changes):
    base = {
        "steps": 12,
        "batch": 16,
        "lr": 1e-2,
        "warmup": 4,
        "cosine": True,
        "clip": 1.0,
        "ema": 0.9,
        "precision": "float32",
        "save_every": 3,
    }
    return Training(**(base | changes))


def toy():
    torch.manual_seed(0)
    net = nn.Linear(4, 4)

    def batch_loss(step):
        x = torch.randn(8, 4, generator=generator("toy", step))
        return (net(x) - x.flip(1)).square().mean(1), Level.clean(8)

    return net, batch_loss


def test_learning_rate_warms_up_and_decays():
    p = settings(steps=104, warmup=4)
    assert [learning_rate(step, p) for step in range(4)] == pytest.approx([0.0025, 0.005, 0.0075, 0.01])
    assert learning_rate(54, p) == pytest.approx(0.005)
    assert learning_rate(103, p) < 1e-5
    assert learning_rate(103, settings(cosine=False)) == 0.01


def test_average_is_exponential(tmp_path):
    """theta_ema <- ema theta_ema + (1 - ema) theta, from the initial weights."""
    net, batch_loss = toy()
    first = net.weight.detach().clone()
    weights, _ = train(net, batch_loss, settings(steps=1, warmup=1), tmp_path / "state.pt")
    torch.testing.assert_close(weights["weight"], 0.9 * first + 0.1 * net.weight.detach())


def test_loss_falls(tmp_path):
    net, batch_loss = toy()
    _, curve = train(net, batch_loss, settings(steps=300, lr=0.05), tmp_path / "state.pt")
    assert curve[-1][1] < 0.05 * curve[0][1]


@pytest.mark.parametrize(("kill_at", "steps", "save_every"), [(1, 12, 3), (5, 12, 3), (6, 12, 3), (11, 12, 3), (8, 250, 7)])
def test_a_killed_run_resumes_to_the_same_bits(tmp_path, kill_at, steps, save_every):
    """At 250 steps a row of the curve is the mean of two: the state of step 7 is saved within one."""
    numbers = settings(steps=steps, save_every=save_every)
    net, batch_loss = toy()
    whole, curve = train(net, batch_loss, numbers, tmp_path / "whole.pt")
    net, batch_loss = toy()

    def dies(step):
        if step == kill_at:
            raise KeyboardInterrupt
        return batch_loss(step)

    with pytest.raises(KeyboardInterrupt):
        train(net, dies, numbers, tmp_path / "state.pt")
    net, batch_loss = toy()
    with torch.no_grad():
        net.weight.zero_()  # a new process does not know the weights
    if kill_at < 3:  # nothing was saved yet: the run starts again, from its seed
        net, batch_loss = toy()
    resumed, again = train(net, batch_loss, numbers, tmp_path / "state.pt")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert curve == again


def test_sigterm_saves_and_exits_with_143(tmp_path):
    net, batch_loss = toy()

    def terminated(step):
        if step == 4:
            os.kill(os.getpid(), signal.SIGTERM)
        return batch_loss(step)

    with pytest.raises(SystemExit) as stop:
        train(net, terminated, settings(), tmp_path / "state.pt")
    assert stop.value.code == 143
    assert torch.load(tmp_path / "state.pt", weights_only=True)["step"] == 5
    net, batch_loss = toy()
    resumed, _ = train(net, batch_loss, settings(), tmp_path / "state.pt")
    net, batch_loss = toy()
    whole, _ = train(net, batch_loss, settings(), tmp_path / "whole.pt")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_nan_stops_the_run_names_step_and_level_and_keeps_the_last_good_state(tmp_path):
    net, batch_loss = toy()

    def breaks(step):
        loss, _ = batch_loss(step)
        level = Level.variance_preserving(torch.linspace(0.1, 0.8, 8))
        return (loss * torch.tensor([1.0, 1, 1, float("nan"), 1, 1, 1, 1]) if step == 7 else loss), level

    with pytest.raises(FloatingPointError, match=r"step 7 .*alpha_bar = 0\.4\b.*state\.pt"):
        train(net, breaks, settings(), tmp_path / "state.pt")
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert state["step"] == 6
    assert all(torch.isfinite(value).all() for value in state["net"].values())


def test_a_damaged_state_is_not_taken_for_good(tmp_path, capsys):
    (tmp_path / "state.pt").write_bytes(b"PK cut short")
    net, batch_loss = toy()
    found, _ = train(net, batch_loss, settings(), tmp_path / "state.pt")
    net, batch_loss = toy()
    whole, _ = train(net, batch_loss, settings(), tmp_path / "whole.pt")
    assert "damaged" in capsys.readouterr().err
    assert all(torch.equal(whole[name], found[name]) for name in whole)


def test_bfloat16_is_used_where_asked(tmp_path):
    seen = []
    net = nn.Linear(4, 4)

    def batch_loss(step):
        out = net(torch.ones(2, 4))
        seen.append(out.dtype)
        return out.float().square().mean(1), Level.clean(2)

    train(net, batch_loss, settings(steps=1, warmup=1, precision="bfloat16"), tmp_path / "state.pt")
    assert seen == [torch.bfloat16]


def test_streams_depend_on_their_keys_alone():
    a, b = SampleNoise([("s", 0, 1), ("s", 0, 2)]), SampleNoise([("s", 0, 2)])
    x = torch.empty(2, 3)
    assert torch.equal(a(x)[1:], b(x[:1]))
    assert not torch.equal(SampleNoise([("s", 1, 1)])(x[:1]), SampleNoise([("s", 0, 1)])(x[:1]))
    repeated = SampleNoise([("s", 0, 1), ("s", 0, 2)])(torch.empty(6, 3))
    assert torch.equal(repeated[:2], repeated[4:])


def test_two_nets_take_turns_at_the_ends():
    schedule, x = training_schedules.cosine(4000), torch.zeros(2, 1)
    both = switched(lambda x, level: "ends", lambda x, level: "middle", schedule, 0.025)
    found = {t: both(x, schedule[3999 - t]) for t in (0, 99, 100, 2000, 3899, 3900, 3999)}
    assert [t for t in found if found[t] == "ends"] == [0, 99, 3900, 3999]
    with pytest.raises(ValueError, match="`adapt`"):
        both(x, schedule[torch.tensor([0, 2000])])


def test_variances_out_of_their_interval_are_counted():
    v = torch.tensor([[-0.1, 0.0, 0.5, 1.0], [1.1, 0.2, 0.3, 2.0]])
    for answer, shares in ((lambda x, level: (x, v), [3 / 8]), (lambda x, level: x, [])):
        counted = Counted(answer)
        counted(torch.zeros(2, 4), None)
        assert [share.item() for share in counted.outside] == shares
