"""What an operator must be, tried before anything trains on it."""

import pytest
import torch
from job_files import RUN

from difftables.config.run_spec import RunSpec
from difftables.config.sampling import Sampling
from difftables.config.solvers import Walk
from difftables.diffusion.corruptions import CORRUPTIONS, check_corruption, mask_gain
from difftables.diffusion.level import Level
from difftables.sampling.loaded_run import LoadedRun

SHAPE = (1, 8, 8)


def strongest(strength=2.0):
    return Level.variance_exploding(torch.tensor([0.2]), torch.tensor([strength]))


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_ours_pass(name):
    check_corruption(name, CORRUPTIONS[name], strongest(), SHAPE, loss_through=True)


def hard(x, level):
    """Zero where the soft mask leaves less than half."""
    return x * (mask_gain(level.strength, 8, 8)[:, None] > 0.5)


def squared(x, level):
    return torch.where(level.strength[:, None, None, None] > 0, x * x.abs(), x)


def halved(x, level):
    return 0.5 * x


def cropped(x, level):
    return x[..., :4]


@pytest.mark.parametrize(
    ("operator", "message"),
    [
        (hard, "'own' is singular.* 64 values.*loss_through: plain"),
        (squared, "'own' is not linear"),
        (halved, "'own' .*clean"),
        (cropped, r"'own' .*\[2, 1, 8, 4\].*\[2, 1, 8, 8\]"),
    ],
)
def test_others_are_refused_in_one_line(operator, message):
    with pytest.raises(ValueError, match=message) as error:
        check_corruption("own", operator, strongest(), SHAPE, loss_through=True)
    assert "\n" not in str(error.value)


def test_a_hard_mask_is_no_trouble_where_the_loss_sees_every_value():
    check_corruption("own", hard, strongest(), SHAPE, loss_through=False)


@pytest.mark.parametrize("name", ["blur", "mask"])
def test_the_best_denoiser_of_gaussian_data_gives_the_score_of_the_corrupted_ones(name):
    """(C h - x) / s^2 = -(C S C' + s^2 I)^-1 (x - C m) with h = m + S C' (C S C' + s^2 I)^-1 (x - C m)."""
    draws, s = torch.Generator().manual_seed(1), 0.3
    basis = torch.eye(16, dtype=torch.float64).reshape(16, 1, 4, 4)
    level = Level.variance_exploding(torch.full((16,), s), torch.full((16,), 0.9))
    c = CORRUPTIONS[name](basis, level).flatten(1).T
    mean, root, x = (torch.randn(shape, generator=draws, dtype=torch.float64) for shape in ((16,), (16, 16), (16,)))
    covariance = root @ root.T
    marginal = torch.linalg.inv(c @ covariance @ c.T + s**2 * torch.eye(16, dtype=torch.float64))
    best = mean + covariance @ c.T @ marginal @ (x - c @ mean)
    applied = CORRUPTIONS[name](best.reshape(1, 1, 4, 4), level[:1]).flatten()
    torch.testing.assert_close((applied - x) / s**2, -marginal @ (x - c @ mean), rtol=0, atol=1e-8)


def test_a_schedule_file_for_an_operator_has_its_strengths(tmp_path):
    spec = RunSpec.model_validate(RUN | {"corruption": "blur"})
    run = LoadedRun(spec, medium=None, training=None, net=None, denoise=None, device=torch.device("cpu"))
    sampler = Sampling(solver=Walk(kind="walk", rule="ddim"), schedule="own.csv")
    (tmp_path / "own.csv").write_text("alpha,std\n1,0.2\n1,0\n")
    with pytest.raises(ValueError, match=r"own\.csv.*'blur'.*strength"):
        run.first_schedule(sampler, 1, tmp_path / "own.csv")
    (tmp_path / "own.csv").write_text("alpha,std,strength\n1,0.2,1.5\n1,0,0\n")
    assert run.first_schedule(sampler, 1, tmp_path / "own.csv").strength.tolist() == [1.5, 0.0]
