"""Variance of training targets against closed forms."""

import pytest
import torch
from job_files import RUN, changed, run_job

from difftables.common.files import read_json, save_tensors
from difftables.config.job_specs import VarianceSpec
from difftables.diffusion.level import Level
from difftables.nets.build import build_net
from difftables.studies import target_variance

TWO = torch.tensor([-1.0, 1.0], dtype=torch.float64).repeat(600)[:, None]  # without replacement from many copies: all but i.i.d.


def level(sigma):
    return Level.variance_exploding(torch.tensor([sigma]))


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    ("sigma", "alone", "two", "four", "sixteen"),
    [
        (0.5, 0.068597, 0.034299, 0.013926, 0.002634),
        (1.0, 0.4496, 0.2248, 0.097886, 0.020569),
        (2.0, 0.795946, 0.397973, 0.186718, 0.043252),
    ],
)
def test_two_points(sigma, alone, two, four, sixteen):
    """E sech^2(x / sigma^2) for the source alone, half of it for two references, and less."""
    draws = target_variance.noisy_samples(TWO, level(sigma), 12000, stream())
    assert target_variance.denoising_variance(TWO, draws).mean().item() == pytest.approx(alone, rel=0.06)
    for count, wanted in ((1, alone), (2, two), (4, four), (16, sixteen)):
        found = target_variance.stable_variance(TWO, level(sigma), draws, count, stream(1))
        assert found.mean().item() == pytest.approx(wanted, rel=0.08)


def test_more_references_vary_less_and_all_of_them_not_at_all():
    data = torch.randn(40, 5, dtype=torch.float64, generator=stream(2))
    draws = target_variance.noisy_samples(data, level(0.8), 400, stream())
    means = [target_variance.stable_variance(data, level(0.8), draws, count, stream(1)).mean().item() for count in (1, 4, 16, 39, 40)]
    assert means == sorted(means, reverse=True)
    assert means[-1] == pytest.approx(0, abs=1e-20)
    with pytest.raises(ValueError, match=r"41 references.*40 points"):
        target_variance.stable_variance(data, level(0.8), draws, 41, stream(1))


def test_little_noise_leaves_no_doubt_and_much_noise_leaves_all():
    data = torch.randn(40, 5, dtype=torch.float64, generator=stream(2))
    whole = data.var(0, correction=0).sum().item()
    for sigma, wanted in ((1e-3, 0.0), (1e4, whole)):
        draws = target_variance.noisy_samples(data, level(sigma), 200, stream())
        assert target_variance.denoising_variance(data, draws).mean().item() == pytest.approx(wanted, rel=1e-3, abs=1e-9)


def test_gaussian_data_have_the_variance_of_their_posterior():
    """N(0, s^2 I) in d dimensions: d s^2 sigma^2 / (s^2 + sigma^2), which in score units is d s^2 / (sigma^2 (s^2 + sigma^2))."""
    data = 0.5 * torch.randn(4000, 2, dtype=torch.float64, generator=stream(3))
    for sigma in (0.3, 0.5, 2.0):
        found = target_variance.denoising_variance(data, target_variance.noisy_samples(data, level(sigma), 400, stream())).mean().item()
        assert found == pytest.approx(2 * 0.25 * sigma**2 / (0.25 + sigma**2), rel=0.08)


def test_the_exact_denoiser_is_at_no_distance():
    data = torch.randn(40, 5, dtype=torch.float64, generator=stream(2))
    draws = target_variance.noisy_samples(data, level(0.8), 100, stream())
    from difftables.training.targets import field_weights

    assert target_variance.denoiser_error(data, level(0.8), draws, lambda x, at: field_weights(x, at, data) @ data).max().item() < 1e-20
    off = target_variance.denoiser_error(data, level(0.8), draws, lambda x, at: field_weights(x, at, data) @ data + 0.1)
    torch.testing.assert_close(off, torch.full_like(off, 0.05))


def mean_and_error(values):
    return values.mean().item(), (values.std() / len(values) ** 0.5).item()


@pytest.mark.parametrize("sigma", [0.5, 1.0])
@pytest.mark.parametrize("count", [2, 4])
def test_with_its_source_among_the_references_a_target_is_unbiased(sigma, count):
    draws = target_variance.noisy_samples(TWO, level(sigma), 20000, stream())
    found, error = mean_and_error(target_variance.squared_bias(TWO, draws, count, stream(1)))
    assert abs(found) < 4 * error < 0.02


def test_without_its_source_a_target_is_biased():
    """Four i.i.d. references of -1 and 1 at sigma = 1: 0.0146; even one reference is unbiased with its source, and far off without."""
    draws = target_variance.noisy_samples(TWO, level(1.0), 20000, stream())
    found, error = mean_and_error(target_variance.squared_bias(TWO, draws, 4, stream(1), source=False))
    assert abs(found - 0.0146) < 4 * error < 0.01
    found, error = mean_and_error(target_variance.squared_bias(TWO, draws, 1, stream(1), source=False))
    assert found == pytest.approx(1 - 0.4496, abs=4 * error)  # E[x0] = 0 in place of E[x0 | x]
    assert abs(mean_and_error(target_variance.squared_bias(TWO, draws, 1, stream(1)))[0]) < 0.03


def test_references_far_from_x_are_told_apart():
    """Without the source at sigma = 0.01 all others are thousands of nats away, and the nearest of them is the whole target."""
    data = torch.tensor([0.0, 1.0, 3.0], dtype=torch.float64)[:, None]
    draws = target_variance.noisy_samples(data, level(0.01), 3, stream())
    from_all = {}
    for source, logs in zip(draws.sources.tolist(), draws.logs, strict=True):
        others = logs.index_fill(0, torch.tensor(source), float("-inf")).softmax(0)
        from_all[source] = (others @ data).item()
    assert from_all == pytest.approx({0: 1.0, 1: 0.0, 2: 1.0})
    with pytest.raises(ValueError, match="4 references"):
        target_variance.squared_bias(data, draws, 4, stream())


def test_the_variance_of_two_points_in_closed_form():
    found = target_variance.two_points(torch.tensor([0.3, 0.5, 1.0, 2.0, 5.0]))
    assert found.tolist() == pytest.approx([0.001324, 0.068597, 0.449600, 0.795946, 0.961503], abs=1e-5)
    sigma = torch.linspace(0.53, 0.56, 301, dtype=torch.float64)
    score, place = (target_variance.two_points(sigma) / sigma**4).max(0)
    assert (score.item(), sigma[place].item()) == (pytest.approx(1.1305, abs=1e-4), pytest.approx(0.5465, abs=2e-4))


def test_a_certain_source_leaves_no_rounding_behind():
    data = 10 * torch.randn(40, 5, dtype=torch.float64, generator=stream(2))
    assert target_variance.denoising_variance(data, target_variance.noisy_samples(data, level(0.01), 80, stream())).max().item() < 1e-25


SPEC = VarianceSpec(run=RUN, evaluation={"variance_levels": 3, "variance_n": 48}, names={"run": "a", "train_seed": 0, "dataset": "made-up"})


def records(folder, **changes):
    """What the study writes of an untrained net and 40 made-up images, at sigma = 0.05, 1 and 20."""
    spec = changed(SPEC, {"run": changes})
    torch.manual_seed(0)
    images = torch.randint(256, (50, 1, 4, 4), dtype=torch.uint8)
    files = {name: folder / f"{name}.safetensors" for name in ("data", "net")}
    save_tensors(files["data"], {"images": images, "labels": torch.zeros(50), "held_out": torch.arange(50) >= 40}, {"kind": "data"})
    net = build_net(spec.run.net, spec.run.data)
    save_tensors(files["net"], net.state_dict(), {"kind": "net"})
    run_job("variance", spec, files, {"record": folder / "r.json"})
    return read_json(folder / "r.json")


def test_the_study_of_two_runs_sees_the_same_noisy_samples(tmp_path):
    alone, stable = records(tmp_path), records(tmp_path, target={"kind": "stable_field", "references": 8})
    assert (alone["shared"]["points"], alone["shared"]["references"], stable["shared"]["references"]) == (40, 1, 8)
    assert [round(r["sigma"], 6) for r in alone["records"]] == [0.05, 1.0, 20.0]
    for one, other in zip(alone["records"], stable["records"], strict=True):
        assert one["denoiser"] == other["denoiser"]
        assert one["parts"]["denoiser"] == other["parts"]["denoiser"]
        assert sum(one["parts"]["variance"]) / 16 == pytest.approx(one["variance"][0])
        assert one["bias2"] is None
        assert one["bias2_without_source"] is None
        assert abs(other["bias2"][0]) <= 4 * other["bias2"][1]
    assert stable["records"][2]["variance"][0] < 0.3 * alone["records"][2]["variance"][0]
    assert stable["records"][0]["bias2_without_source"][0] > 1


def test_a_level_of_either_kind_of_process_is_the_same_level(tmp_path):
    preserving = {"family": "linear", "steps": 1000, "first": 1e-4, "last": 0.02}
    one, other = (each["records"][1] for each in (records(tmp_path), records(tmp_path, schedule=preserving)))
    assert (one["alpha"], other["alpha"]) == (1.0, pytest.approx(0.5**0.5))
    assert other["std"] / other["alpha"] == pytest.approx(one["sigma"])
    assert other["variance"] == pytest.approx(one["variance"])


@pytest.mark.parametrize(("change", "message"), [({"corruption": "blur"}, "corruption blur"), ({"data": {"classes": 2}}, "classes")])
def test_runs_without_an_exact_posterior_are_refused(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        records(tmp_path, **change)
