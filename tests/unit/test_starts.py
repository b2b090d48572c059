"""Where sampling starts, which levels it visits from there, and what is left of it all without an operator."""

from pathlib import Path

import pytest
import torch

from difftables.common import registry
from difftables.common.seeds import SampleNoise
from difftables.config import data as config_data
from difftables.data.image_set import ImageSet
from difftables.diffusion import priors, timesteps
from difftables.diffusion.corruptions import blur, blur_gain, dct, inverse_dct, scale
from difftables.diffusion.level import Level
from difftables.diffusion.priors import IMAGES_OF_PRIOR, PRIORS, PriorInputs, corrupted_images, noise_only, smooth_gaussian, standard_normal
from difftables.diffusion.training_schedules import TRAINING_SCHEDULES
from difftables.planning import params, plan
from difftables.sampling.sampling_schedules import SCHEDULES
from difftables.training.losses import denoising_loss, inverse_sigma2
from difftables.training.targets import clean

ROOT = Path(__file__).parents[2]
SIZE = 4
FEW = [0, 1, SIZE]  # frequencies (0, 0), (0, 1) and (1, 0), flattened
MEAN = torch.tensor([1.0, -0.5, 0.3], dtype=torch.float64)
COVARIANCE = torch.tensor([[1.0, 0.6, 0.0], [0.6, 0.8, -0.3], [0.0, -0.3, 0.5]], dtype=torch.float64)


def level(strength=0.0, std=0.0, count=1):
    return Level.variance_exploding(torch.full((count,), std, dtype=torch.float64), torch.full((count,), strength, dtype=torch.float64))


def noise(seed):
    """Noise from one stream for the whole batch."""
    stream = torch.Generator().manual_seed(seed)
    return lambda x: torch.randn(x.shape, generator=stream, dtype=x.dtype)


def smooth_images(count, seed=0):
    """Draws of N(MEAN, COVARIANCE) at FEW frequencies, nothing at the others."""
    z = torch.randn(count, len(FEW), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    coefficients = torch.zeros(count, SIZE * SIZE, dtype=torch.float64)
    coefficients[:, FEW] = MEAN + z @ torch.linalg.cholesky(COVARIANCE).T
    return inverse_dct(coefficients.reshape(count, 1, SIZE, SIZE))


def empty(count, size=SIZE):
    return torch.empty(count, 1, size, size, dtype=torch.float64)


def within_errors(found, mean, covariance, errors=5.5):
    """Mean and covariance of draws, [N, D], against those of their Gaussian: no entry off by more standard errors than that."""
    variance = covariance.diagonal()
    assert ((found.mean(0) - mean).abs() / (variance / len(found)).sqrt()).max() < errors
    assert ((found.T.cov() - covariance).abs() / ((variance[:, None] * variance + covariance**2) / len(found)).sqrt()).max() < errors


def test_a_fitted_start_has_the_moments_of_the_corrupted_images_and_the_noise():
    """Blur of 1.1 px, std 0.4: in DCT coefficients the mean G m, and G K G + std^2 I over images and draws alike."""
    images, noisiest = smooth_images(3000), level(1.1, 0.4)
    corrupted = dct(blur(images, noisiest.expand(len(images)))).flatten(1)
    found = dct(smooth_gaussian(noise(1), empty(60_000), noisiest, PriorInputs(blur, images))).flatten(1)
    within_errors(found, corrupted.mean(0), corrupted.T.cov() + 0.16 * torch.eye(SIZE**2, dtype=torch.float64))
    gain = blur_gain(torch.tensor([1.1]), SIZE, SIZE).flatten()[FEW]
    torch.testing.assert_close(found.mean(0)[FEW], gain * MEAN, rtol=0, atol=0.06)
    wanted = gain[:, None] * COVARIANCE * gain + 0.16 * torch.eye(len(FEW), dtype=torch.float64)
    torch.testing.assert_close(found[:, FEW].T.cov(), wanted, rtol=0, atol=0.08)


def test_a_start_is_fitted_once_for_each_level():
    counted = []

    def corrupt(x, at):
        counted.append(len(x))
        return blur(x, at)

    known = PriorInputs(corrupt, smooth_images(20))
    first = smooth_gaussian(noise(1), empty(3), level(1.1, 0.4), known)
    often = len(counted)
    assert torch.equal(smooth_gaussian(noise(1), empty(3), level(1.1, 0.4, 3), known), first)
    assert (len(known.fitted), len(counted)) == (1, often)
    weaker = smooth_gaussian(noise(1), empty(3), level(0.5, 0.4), known)
    assert len(known.fitted) == 2
    assert torch.equal(weaker, smooth_gaussian(noise(1), empty(3), level(0.5, 0.4), PriorInputs(blur, known.images)))


def test_a_fit_in_chunks_is_the_fit_at_once(monkeypatch):
    known, chunked = (PriorInputs(blur, smooth_images(50)) for _ in range(2))
    smooth_gaussian(noise(1), empty(1), level(1.1, 0.4), known)
    monkeypatch.setattr(priors, "CHUNK", 7)
    smooth_gaussian(noise(1), empty(1), level(1.1, 0.4), chunked)
    (mean, kept, root), (mean_7, kept_7, root_7) = (next(iter(each.fitted.values())) for each in (known, chunked))
    torch.testing.assert_close(mean_7, mean)
    assert torch.equal(kept_7, kept)
    torch.testing.assert_close(root_7 @ root_7.T, root @ root.T)


def test_coefficients_that_hardly_vary_are_their_mean_alone():
    """Standard deviations of 1, 2e-3 and 5e-4 around a mean of 1, against LEAST = 1e-3 of the largest."""
    z = torch.linspace(-1, 1, 40, dtype=torch.float64)
    coefficients = torch.zeros(40, SIZE * SIZE, dtype=torch.float64)
    coefficients[:, FEW] = 1 + torch.stack([z, 2e-3 * z.roll(7), 5e-4 * z.roll(19)], 1)
    known = PriorInputs(blur, inverse_dct(coefficients.reshape(-1, 1, SIZE, SIZE)))
    found = dct(smooth_gaussian(noise(1), empty(500), level(), known)).flatten(1)
    ((_, kept, root),) = known.fitted.values()
    assert (kept.nonzero().flatten().tolist(), root.shape) == (FEW[:2], (2, 2))
    assert found.std(0)[FEW[:2]].tolist() == pytest.approx([z.std().item(), 2e-3 * z.std().item()], rel=0.15)
    torch.testing.assert_close(found[:, FEW[2]], torch.ones(500, dtype=torch.float64), rtol=0, atol=1e-12)


def test_a_start_fitted_to_one_image_is_that_image_and_the_noise():
    image, draw = smooth_images(1), noise(1)
    found = smooth_gaussian(noise(1), empty(2), level(1.1, 0.4), PriorInputs(blur, image))
    draw(empty(2))  # of the coefficients
    torch.testing.assert_close(found, blur(image, level(1.1)) + 0.4 * draw(empty(2)))


def test_starts_of_noise_alone():
    """N(0, I) whatever the level; N(0, std^2 I), for each sample its own std."""
    normal, known = noise(3)(empty(2)), PriorInputs(blur)
    noisiest = Level.variance_exploding(torch.tensor([20.0, 7.0]), torch.tensor([5.0, 5.0]))
    assert torch.equal(standard_normal(noise(3), empty(2), noisiest, known), normal)
    torch.testing.assert_close(noise_only(noise(3), empty(2), noisiest, known), torch.stack([20 * normal[0], 7 * normal[1]]))


def test_real_starts_are_corrupted_images_each_as_likely():
    """5 images, 4000 draws: 800 each, within 5 standard errors of 25.3; the noise is another than what picks."""
    images = smooth_images(5)
    corrupted, known = blur(images, level(1.1, count=5)), PriorInputs(blur, images)
    found = corrupted_images(noise(2), empty(4000), level(1.1), known)
    distances = torch.cdist(found.flatten(1), corrupted.flatten(1), compute_mode="donot_use_mm_for_euclid_dist")
    assert distances.min(1).values.max() < 1e-12
    counts = distances.argmin(1).bincount(minlength=5)
    assert ((counts - 800).abs() < 127).all()
    left = corrupted_images(noise(2), empty(4000), level(1.1, 0.4), known) - found
    within_errors(left.flatten(1), torch.zeros(SIZE**2, dtype=torch.float64), 0.16 * torch.eye(SIZE**2, dtype=torch.float64))
    assert torch.stack([distances.argmin(1).double(), left[:, 0, 0, 0]]).corrcoef()[0, 1].abs() < 0.08


@pytest.mark.parametrize("name", IMAGES_OF_PRIOR)
def test_a_sample_starts_where_its_own_noise_says_whatever_the_batch(name):
    keys = [("sample", 0, index) for index in range(10)]
    known, noisiest = PriorInputs(blur, smooth_images(50)), level(1.1, 0.4)
    together = PRIORS[name](SampleNoise(keys), empty(10), noisiest, known)
    for index in (0, 7):
        torch.testing.assert_close(PRIORS[name](SampleNoise(keys[index : index + 1]), empty(1), noisiest, known)[0], together[index])
    assert len(together.unique(dim=0)) == 10


def test_a_start_from_images_without_images_says_so():
    assert registry.names("diffusion.priors.IMAGES_OF_PRIOR") == list(IMAGES_OF_PRIOR)
    assert set(IMAGES_OF_PRIOR) < set(PRIORS)
    assert set(IMAGES_OF_PRIOR.values()) == {"training", "held_out"}
    for name in IMAGES_OF_PRIOR:
        with pytest.raises(ValueError, match="`prior`"):
            PRIORS[name](noise(1), empty(2), level(1.1, 0.4), PriorInputs(blur))


def test_parts_of_the_digits_are_disjoint_and_complete():
    spec = config_data.Images(reader="digits", size=8, channels=1, classes=10, held_out=360)
    images = ImageSet(spec, None, torch.device("cpu"))
    images.tensors = ImageSet.read(spec)
    training, held = images.clean(), images.clean("held_out")
    assert (len(training), len(held)) == (1437, 360)
    assert len(torch.cat([training, held]).flatten(1).unique(dim=0)) == len(images.tensors["images"])  # no two digits are the same
    assert (training.min(), training.max(), training.dtype) == (-1, 1, torch.float32)
    assert torch.equal(images.stored(held), images.tensors["images"][images.tensors["held_out"]])


@pytest.fixture
def edited(rewritten, monkeypatch):
    """The plan of params.yaml at scale laptop with some places, "a/b/c", changed."""
    monkeypatch.chdir(ROOT)
    return lambda *changes: plan.Workflow(params.load(rewritten(*changes), "laptop"))


def test_a_samplers_start_stands_in_place_of_its_runs(edited):
    found, other = edited(), edited(("soft_diffusion/samplers/from-training/prior", "standard_normal"))
    for sampler, prior in (("momentum", "smooth_gaussian"), ("from-training", "corrupted_training"), ("from-noise", "noise_alone")):
        spec = found.sample_spec("soft_diffusion/blur", f"soft_diffusion/{sampler}")
        assert spec.run.prior == prior
    assert other.sample_spec("soft_diffusion/blur", "soft_diffusion/from-training").run.prior == "standard_normal"
    assert other.sample_spec("soft_diffusion/blur", "soft_diffusion/momentum") == found.sample_spec(
        "soft_diffusion/blur", "soft_diffusion/momentum"
    )
    assert other.train_spec("soft_diffusion/blur", "0") == found.train_spec("soft_diffusion/blur", "0")
    assert "prior" not in found.written_spec("train", "soft_diffusion/blur", "0")["run"]


def test_sampling_reads_the_images_that_its_start_is_made_from(edited):
    found, data = edited(), ["results/laptop/store/data/digits.safetensors"]
    assert found.sample_inputs("soft_diffusion/exploding", "0", "soft_diffusion/from-training")["data"] == data
    assert found.sample_inputs("soft_diffusion/exploding", "0", "soft_diffusion/from-held-out")["data"] == data
    assert found.sample_inputs("soft_diffusion/blur", "0", "soft_diffusion/momentum")["data"] == data
    for sampler in ("soft_diffusion/momentum", "soft_diffusion/from-noise"):
        assert "data" not in found.sample_inputs("soft_diffusion/exploding", "0", sampler)


def test_a_trailing_chain_ends_at_the_noisiest_timestep():
    assert timesteps.trailing(100, 4) == [24, 49, 74, 99]
    assert timesteps.trailing(100, 100) == list(range(100))
    assert timesteps.trailing(100, 1) == [99]
    assert timesteps.trailing(10, 4) == [1, 4, 7, 9]  # 2.5 and 7.5 to even
    for total in range(1, 40):
        for steps in range(1, total + 1):
            found = timesteps.trailing(total, steps)
            assert (len(set(found)), found, found[0] >= 0, found[-1]) == (steps, sorted(found), True, total - 1)
    for steps in (0, 101):
        with pytest.raises(ValueError, match=rf"{steps} steps.*\b100\b"):
            timesteps.trailing(100, steps)


def test_a_trailing_chain_of_a_soft_schedule_is_even_in_time():
    """t = 1, 0.9 .. 0.1, then clean: strength 1 + 4 t, noise 0.02 10^min(4 t, 1)."""
    training = TRAINING_SCHEDULES["soft"](steps=100, lowest=0.02, highest=0.2, reached=0.25, weakest=1.0, strongest=5.0)
    found = SCHEDULES["trailing"](10, training, None)
    t = torch.arange(10, 0, -1, dtype=torch.float64) / 10
    torch.testing.assert_close(found.strength, torch.cat([1 + 4 * t, torch.zeros(1, dtype=torch.float64)]))
    torch.testing.assert_close(found.std, torch.cat([0.02 * 10 ** (4 * t).clamp(max=1), torch.zeros(1, dtype=torch.float64)]))
    assert (found.strength[0], found.std[0]) == (training.strength[0], training.std[0])


def test_without_an_operator_the_loss_seen_through_it_is_the_plain_loss():
    """alpha = 1: the same bits through `scale`; through a blur of nothing the same number, of something another."""
    stream = torch.Generator().manual_seed(0)
    x0, eps = (torch.randn(6, 1, 8, 8, generator=stream) for _ in range(2))

    def loss(corrupt, strength=0.0, **seen):
        at = level(strength, 0.7, 6)
        told = {"corrupt": corrupt, "target": clean, "weight": inverse_sigma2, **seen}
        return denoising_loss(x0, at, eps, denoise=lambda x, _: (2 * x).tanh(), **told)

    assert torch.equal(loss(scale, residual=scale), loss(scale))
    torch.testing.assert_close(loss(blur, residual=blur), loss(scale), rtol=1e-6, atol=1e-6)
    assert ((loss(blur, 1.0, residual=blur) / loss(blur, 1.0) - 1).abs() > 0.1).all()


def test_a_search_and_a_study_have_what_their_start_is_made_from(edited):
    found = edited(("noise_estimation/samplers/ddim-searched/prior", "corrupted_training"))
    assert found.search_inputs("noise_estimation/digits", "0", "noise_estimation/ddim-searched")["data"] == [
        found.data_file("noise_estimation/digits")
    ]
    assert "data" not in edited().search_inputs("noise_estimation/digits", "0", "noise_estimation/ddim-searched")
    assert "data" in edited(("noise_estimation/runs/digits/prior", "smooth_gaussian")).robustness_inputs("noise_estimation/digits", "0")
