"""Schedules, strides, nets and samplers of Improved DDPM, against closed forms and the counts of the paper."""

from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from difftables.common.seeds import generator
from difftables.diffusion import subschedules, timesteps, training_schedules
from difftables.diffusion.betas import betas_of
from difftables.diffusion.corruptions import scale
from difftables.diffusion.denoiser import eps_coefficients, precondition, rescaled_timestep
from difftables.diffusion.schedule_file import check_schedule
from difftables.diffusion.transitions import step_variances
from difftables.nets.unet import Attention, ResBlock, UNet
from difftables.sampling.rules import RULES
from difftables.sampling.solvers import walk
from difftables.training.losses import denoising_loss, inverse_sigma2
from difftables.training.targets import clean


def made(family, total):
    return training_schedules.TRAINING_SCHEDULES[family](total)


def rising(family, total):
    """alpha_bar_1 .. alpha_bar_T."""
    return made(family, total).alpha_bar[:-1].flip(0)


@pytest.mark.parametrize(("total", "first", "last", "left"), [(1000, 1e-4, 0.02, 4.0358e-5), (4000, 2.5e-5, 0.005, 4.2467e-5)])
def test_linear_rates_scale_with_the_chain(total, first, last, left):
    """beta from 0.1 / T to 20 / T: their sum is T (0.1 + 20) / (2 T) = 10.05 whatever T is."""
    betas = betas_of(training_schedules.scaled_linear(total))
    assert betas[[0, -1]].tolist() == pytest.approx([first, last], rel=1e-12)
    assert betas.sum().item() == pytest.approx(10.05)
    assert rising("scaled-linear", total)[-1].item() == pytest.approx(left, rel=1e-4)


@pytest.mark.parametrize(("total", "first", "left"), [(1000, 4.128422e-5, 2.4288e-9), (4000, 9.865819e-6, 1.5180e-10)])
def test_cosine_rates(total, first, left):
    """f falls like the square of the distance to its zero at T: the last rate would be 1, and is clipped; the one before is 1 - (1/2)^2."""
    betas = betas_of(training_schedules.cosine(total))
    assert betas[0].item() == pytest.approx(first, rel=1e-6)
    assert betas[-2].item() == pytest.approx(0.75, abs=1e-6)
    assert betas[-1].item() == pytest.approx(0.999, rel=1e-12)
    assert rising("cosine", total)[-1].item() == pytest.approx(left, rel=1e-4)
    quarters = [rising("cosine", total)[k * total // 4 - 1].item() for k in (1, 2, 3)]
    assert quarters == pytest.approx([0.847012, 0.493844, 0.144272], abs=1e-6)


@pytest.mark.parametrize(("family", "below_hundredth", "below_thousandth"), [("scaled-linear", 0.327, 0.175), ("cosine", 0.065, 0.021)])
def test_share_of_steps_with_next_to_no_signal(family, below_hundredth, below_thousandth):
    alpha_bar = rising(family, 1000)
    assert (alpha_bar < 0.01).double().mean().item() == pytest.approx(below_hundredth)
    assert (alpha_bar < 0.001).double().mean().item() == pytest.approx(below_thousandth)


@pytest.mark.parametrize(
    ("family", "ratios"), [("cosine", {2: 0.4924, 10: 0.8878, 100: 0.9840}), ("scaled-linear", {2: 0.4879, 10: 0.8817, 100: 0.9830})]
)
def test_the_two_fixed_variances_differ_at_the_least_noisy_steps_alone(family, ratios):
    """beta~ / beta = (1 - alpha_bar_{t-1}) / (1 - alpha_bar_t) = 1 - alpha_bar_{t-1} beta_t / (1 - alpha_bar_t)."""
    total = 4000
    schedule = made(family, total)
    beta, posterior = step_variances(schedule[:-1], schedule[1:])
    alpha_bar, betas = rising(family, total), betas_of(schedule)
    for t, ratio in ratios.items():
        found = (posterior / beta)[total - t].item()
        assert found == pytest.approx(ratio, abs=5e-5)
        assert found == pytest.approx(1 - (alpha_bar[t - 2] * betas[t - 1] / (1 - alpha_bar[t - 1])).item(), rel=1e-9)


@pytest.mark.parametrize("steps", [50, 100, 200, 250, 400, 1000, 4000])
def test_even_strides_are_evenly_spaced_reals_rounded(steps):
    """K reals from 1 to T, both included, rounded; counted here in fractions, so that nothing but the rule rounds."""
    expected = [round(1 + Fraction(i * 3999, steps - 1)) - 1 for i in range(steps)]
    assert timesteps.even(4000, steps) == expected
    assert expected[0] == 0 and expected[-1] == 3999


def test_even_strides_differ_from_the_papers_in_ties_alone():
    """3999 / 24 = 166.625, whose fourth multiple, 666.5, is rounded to even from 0 here and from 1 in the paper."""
    found, exact = timesteps.even(4000, 25), [Fraction(i * 3999, 24) for i in range(25)]
    differing = [i for i in range(25) if found[i] != round(1 + exact[i]) - 1]
    assert found[4] == 666 and 4 in differing
    assert all(exact[i] % 1 == Fraction(1, 2) for i in differing)


def test_sections_stride_each_part_by_its_own_count():
    """Thirds of 100: strides 99 / 9 = 11, 99 / 14 = 7.07 and 99 / 19 = 5.21, each with both ends of its third.

    One place is a tie, 7 x 99 / 14 = 49.5; seven floats added up fall just short of it, in the released code too.
    """
    found = timesteps.sections(300, [10, 15, 20])
    assert found[:12] == [*range(0, 100, 11), 100, 107]
    exact = [100 * part + Fraction(99 * i, count - 1) for part, count in enumerate((10, 15, 20)) for i in range(count)]
    assert [found[i] - round(place) for i, place in enumerate(exact) if place != 149.5] == [0] * 44
    assert found[17] == 149 and exact[17] == 149.5
    assert timesteps.sections(10, [2, 2, 2]) == [0, 3, 4, 6, 7, 9]  # 10 = 4 + 3 + 3
    with pytest.raises(ValueError, match=r"section 2 of 2 .*\b3\b.*\b4\b"):
        timesteps.sections(7, [4, 4])


def test_a_whole_stride_ends_at_the_last_multiple():
    """0, j, 2 j, ... with j = T / K: the last is T - T / K. ceil(4000 / j) is 154, 149 for j = 26, 27 and 308, 286 for j = 13, 14."""
    for steps, last in {25: 3840, 50: 3920, 100: 3960, 200: 3980, 1000: 3996, 4000: 3999}.items():
        found = timesteps.whole(4000, steps)
        assert (len(found), found[-1]) == (steps, last)
        assert found == list(range(0, 4000, 4000 // steps))
    for steps, near in {150: "149 and 154", 300: "286 and 308"}.items():
        with pytest.raises(ValueError, match=rf"\b{steps}\b.*\b{near}$") as error:
            timesteps.whole(4000, steps)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(("total", "steps"), [(4000, 25), (4000, 100), (4000, 4000), (1000, 300), (10, 3)])
def test_a_dense_start_is_the_even_stride_and_all_below_t_over_k(total, steps):
    found = timesteps.dense_start(total, steps)
    assert set(found) == set(timesteps.even(total, steps)) | {t for t in range(total) if t * steps < total}
    assert found == sorted(set(found))


@pytest.mark.parametrize("family", ["scaled-linear", "cosine"])
@pytest.mark.parametrize("stride", [timesteps.even, timesteps.whole])
@pytest.mark.parametrize("steps", [25, 100, 4000])
def test_respacing_commutes_with_alpha_bar(family, stride, steps):
    """Rates of the shorter chain are 1 - alpha_bar_S / alpha_bar_S', and their products the levels that were kept."""
    training, kept = made(family, 4000), stride(4000, steps)
    chain = subschedules.at_timesteps(training, kept)
    assert len(chain) == steps + 1
    beta, _ = step_variances(chain[:-1], chain[1:])
    torch.testing.assert_close(beta.flip(0), betas_of(chain), rtol=1e-9, atol=0)
    torch.testing.assert_close((1 - betas_of(chain)).cumprod(0), rising(family, 4000)[kept], rtol=1e-8, atol=0)
    assert subschedules.timestep(chain[:-1], training).tolist() == kept[::-1]
    check_schedule(chain, "strided")
    if steps == 4000:
        torch.testing.assert_close(beta.flip(0), betas_of(made(family, 4000)), rtol=1e-9, atol=0)
    elif family == "cosine" and stride is timesteps.even and steps == 100:
        assert beta[0].item() == pytest.approx(0.9999994, abs=5e-8)  # not clipped again


def paper(size=64, channels=3, width=128, mult=(1, 2, 3, 4), blocks=3, attention=(16, 8), **changes):
    """A net of the paper on no device: its four heads, its scale and shift and its variance unless said otherwise."""
    with torch.device("meta"):
        return UNet(size, channels, width, mult, blocks, attention, 0.0, **{"heads": 4, "scale_shift": True, "variance": True} | changes)


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({"width": 64}, 30_303_494),
        ({"width": 96}, 68_126_598),
        ({"width": 128}, 121_063_942),
        ({"width": 192}, 272_281_350),
        ({"heads": 1}, 121_063_942),
        ({"variance": False}, 121_060_483),
        ({"width": 192, "classes": 1000}, 273_049_350),
        ({"classes": 1000}, 121_575_942),
        ({"size": 32, "mult": (1, 2, 2, 2)}, 52_546_438),
        ({"size": 32, "mult": (1, 2, 2, 2), "variance": False}, 52_542_979),
        ({"size": 256, "mult": (1, 1, 2, 2, 4, 4), "blocks": 2, "attention": (16,), "heads": 1, "scale_shift": False}, 113_676_678),
        ({"size": 256, "width": 192, "mult": (1, 1, 2, 2, 4, 4), "blocks": 2, "extra": 3, "classes": 1000}, 279_792_390),
    ],
)
def test_nets_have_the_papers_parameters(options, count):
    assert sum(p.numel() for p in paper(**options).parameters()) == count


def test_multiply_adds_of_an_image():
    """10.04 G multiply-adds, half as many as operations, for ImageNet-64 at width 64."""
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        paper(width=64)(torch.zeros(1, 3, 64, 64), torch.zeros(1))
    assert counter.get_total_flops() / 2 == pytest.approx(10.04e9, rel=0.02)


def test_a_new_net_says_zero_and_a_variance_half_way():
    """F = 0: D = x / alpha, whose error of eps is the noise itself, so that the loss starts at its mean square; v = (0 + 1) / 2."""
    schedule, x0 = made("cosine", 100), torch.rand(4, 1, 8, 8) * 2 - 1
    net = UNet(8, 1, 16, (1, 2), 1, (4,), 0.0, heads=2, scale_shift=True, variance=True)
    level, noise = schedule[torch.tensor([10, 40, 70, 99])], torch.randn(4, 1, 8, 8)
    assert net(x0, torch.zeros(4)).shape == (4, 2, 8, 8)
    assert not net(x0, torch.zeros(4)).any()
    denoise = precondition(net, eps_coefficients, rescaled_timestep(schedule), variance=True)
    guess, v = denoise(x0, level)
    assert torch.equal(v, torch.full_like(x0, 0.5))
    torch.testing.assert_close(guess, x0 / level.like(x0).alpha)
    loss = denoising_loss(x0, level, noise, denoise=denoise, corrupt=scale, target=clean, weight=inverse_sigma2)
    torch.testing.assert_close(loss, noise.square().flatten(1).mean(1), rtol=1e-3, atol=0)


def test_a_net_with_classes_wants_the_class():
    net = UNet(8, 1, 16, (1, 2), 1, (4,), 0.0, classes=3)
    with pytest.raises(ValueError, match="condition_on: labels") as error:
        net(torch.zeros(2, 1, 8, 8), torch.zeros(2))
    assert "\n" not in str(error.value)
    for p in net.parameters():
        nn.init.normal_(p, std=0.1)
    same = torch.randn(1, 1, 8, 8).expand(2, 1, 8, 8)
    out = net(same, torch.zeros(2), torch.tensor([0, 2]))
    assert not torch.allclose(out[0], out[1])


def shaken(module):
    """Weights that are nowhere zero, in float64."""
    for p in module.parameters():
        nn.init.normal_(p, std=0.5, generator=torch.Generator().manual_seed(p.numel()))
    return module.double()


@pytest.mark.parametrize("heads", [1, 2])
def test_attention_is_that_of_torch(heads):
    layer, x = shaken(Attention(16, heads)), torch.randn(2, 16, 3, 4, dtype=torch.float64)
    tokens = layer.norm(x).flatten(2).permute(2, 0, 1)
    expected, _ = F.multi_head_attention_forward(
        tokens, tokens, tokens, 16, heads, layer.qkv.weight[:, :, 0, 0], layer.qkv.bias, None, None, False, 0.0,
        layer.out.weight[:, :, 0, 0], layer.out.bias, training=False, need_weights=False,
    )  # fmt: skip
    torch.testing.assert_close(layer(x), x + expected.permute(1, 2, 0).reshape(x.shape))
    assert {part.heads for part in paper(heads=heads).modules() if isinstance(part, Attention)} == {heads}


def test_the_level_scales_and_shifts_the_second_norm():
    """GroupNorm(h) (1 + w) + b, [w, b] of one linear layer; without scale_shift GroupNorm(h + w)."""
    x, e = torch.randn(2, 8, 4, 4, dtype=torch.float64), torch.randn(2, 12, dtype=torch.float64)
    for scale_shift in (True, False):
        block = shaken(ResBlock(8, 16, 12, 0.0, scale_shift))
        h, told = block.conv1(F.silu(block.norm1(x))), block.project(F.silu(e))
        w, b = told[:, :16, None, None], told[:, 16:, None, None]
        h = block.norm2(h) * (1 + w) + b if scale_shift else block.norm2(h + w)
        torch.testing.assert_close(block(x, e), block.skip(x) + block.conv2(F.silu(h)))


FINAL = """
scaled-linear ddpm-learned .24998 .24998 .24998 .24998 .24998 .24998 .24998
scaled-linear ddpm-large   .28789 .26795 .25872 .25428 .25211 .25083 .25019
scaled-linear ddpm-small   .16334 .19646 .21897 .23286 .24084 .24612 .24897
scaled-linear ddim         .19839 .22275 .23596 .24285 .24638 .24853 .24962
cosine        ddpm-learned .24999 .24999 .24999 .24999 .24999 .24999 .24999
cosine        ddpm-large   .26989 .25955 .25468 .25231 .25114 .25045 .25011
cosine        ddpm-small   .19466 .21827 .23260 .24074 .24518 .24800 .24948
cosine        ddim         .22160 .23513 .24237 .24613 .24804 .24921 .24979
"""


@pytest.mark.parametrize("row", FINAL.split("\n")[1:-1], ids=lambda row: " ".join(row.split()[:2]))
def test_only_the_learned_variance_does_not_mind_the_number_of_steps(row):
    """Variance of N(0, 1/4) out of chains of 25 .. 4000 of 4000 steps, exact denoiser g x: x' = (alpha' g + a (1 - alpha g) / std) x + b n.

    v is that of the chain's own reverse variance; it ends below 1/4 by the noise that the last step leaves out, whatever the length.
    """
    family, rule, *expected = row.split()
    for steps, wanted in zip((25, 50, 100, 200, 400, 1000, 4000), expected, strict=True):
        chain = subschedules.at_timesteps(made(family, 4000), (timesteps.whole if rule == "ddim" else timesteps.even)(4000, steps))
        now, nxt = chain[:-1], chain[1:]
        beta, posterior = step_variances(now, nxt)
        true = 1 / ((1 - beta) / beta + 1 / (0.25 * nxt.alpha_bar + nxt.std**2))
        v = ((true / posterior).log() / (beta / posterior).log()).nan_to_num()
        a, b = RULES[rule](now, nxt, *[v] * (rule == "ddpm-learned"))
        gain = now.alpha * 0.25 / (now.alpha_bar * 0.25 + now.std**2)
        kept = nxt.alpha * gain + a * (1 - now.alpha * gain) / now.std
        variance = 1.0
        for k, noise in zip(kept.tolist(), [*b[:-1].tolist(), 0.0], strict=True):
            variance = k**2 * variance + noise**2
        assert f"{variance:.5f}".lstrip("0") == wanted


@pytest.mark.parametrize(("v", "fixed"), [(0.0, "ddpm-small"), (1.0, "ddpm-large")])
def test_learned_variance_at_its_ends_is_a_fixed_one(training, v, fixed):
    """Step for step: the denoiser sees the same samples."""
    chain, x = subschedules.at_timesteps(training, timesteps.even(1000, 12)), torch.randn(2, 1, 3, 3, dtype=torch.float64)

    def walked(rule, answer):
        stream, seen = generator("walk"), []

        def noise(x):
            return torch.randn(x.shape, generator=stream, dtype=x.dtype)

        def denoise(x, level):
            seen.append(x)
            return answer(0.3 * x)

        return [walk(x, chain, denoise=denoise, corrupt=scale, rule=rule, noisy_end=False, churn=None, randn=noise), *seen]

    torch.testing.assert_close(walked("ddpm-learned", lambda x0: (x0, torch.full_like(x0, v))), walked(fixed, lambda x0: x0))
    with pytest.raises(ValueError, match="variance: true") as error:
        walked("ddpm-learned", lambda x0: x0)
    assert "\n" not in str(error.value)
