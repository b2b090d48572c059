import pytest
import torch

from difftables.diffusion.betas import schedule_from_betas
from difftables.diffusion.level import Level
from difftables.diffusion.schedule_file import check_schedule
from difftables.search.grids import KeptScores, choose, counter_grid, enumerate_grid, grid_search, mean_schedule


def test_wavegrads_grid_has_9_to_the_6_entries():
    """6 steps, mantissa x decade each; on 1e-6 .. 1e-1 decades do not overlap, so only equal-digit carries fall."""
    grid = enumerate_grid(6, (-6.0, -1.0), 9, 6)
    assert len(grid) == 9**6 == 531441
    assert grid[0].tolist() == pytest.approx([1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1])
    assert grid[-1].tolist() == pytest.approx([9e-6, 9e-5, 9e-4, 9e-3, 9e-2, 9e-1])


@pytest.mark.parametrize(("steps", "count"), [(6, 35113), (7, 32035)])
def test_the_public_enumeration_scores_fewer_than_its_grid_has(steps, count):
    """A counter in steps of 9 (81) from 11..1, 9^5 values, those with a 0 skipped: 35,113 of 531,441 at 6 steps."""
    grid = counter_grid(steps, (-6.0, -2.0), 9, 5)
    assert len(grid) == count < 9**5 < 9**6 == 531441
    mantissas = (grid / torch.logspace(-6, -2, steps, dtype=torch.float64)).round()
    assert mantissas.min() == 1
    if steps == 6:
        assert mantissas[:, 0].max() == 6
        assert mantissas[-1].tolist() == [6, 4, 2, 5, 4, 3]
    with pytest.raises(ValueError, match="at least 5 steps"):
        counter_grid(3, (-6.0, -2.0), 9, 5)


def test_falling_rates_are_left_out():
    """Two steps on one decade: m2 >= m1 leaves 9 * 10 / 2 of 81."""
    assert len(enumerate_grid(2, (-2.0, -2.0), 9, 2)) == 45


@pytest.mark.parametrize("steps", [1, 3, 20, 100])
def test_all_candidates_are_schedules(steps):
    grid = enumerate_grid(steps, (-4.0, -1.0), 9, 5)
    assert len(grid)
    for betas in choose(grid, 20, 0):
        check_schedule(schedule_from_betas(betas), "candidate")


def test_choice_depends_on_the_seed_alone():
    grid = enumerate_grid(4, (-4.0, -1.0), 9, 5)
    assert torch.equal(choose(grid, 30, 1), choose(grid, 30, 1))
    assert not torch.equal(choose(grid, 30, 1), choose(grid, 30, 2))
    assert len({tuple(row) for row in choose(grid, 300, 1).tolist()}) == 300
    assert len(choose(grid[:5], 300, 1)) == 5


@pytest.mark.parametrize("batch", [4, 8, 400])
def test_search_finds_the_best_candidate_whatever_the_batch(batch):
    """Score = distance of alpha_bar to 0.5: the winner is known without searching; the cost is counted."""
    grid = enumerate_grid(3, (-3.0, -1.0), 9, 3)
    calls = []

    def run(levels, many):
        assert len(levels) == 4
        assert all(len(level) == many * 4 for level in levels)
        calls.append(many)
        return levels[0].alpha_bar[:, None]

    found = grid_search(grid, run, lambda x: (x.mean() - 0.5).abs().item(), samples=4, batch=batch, calls=3)
    products = (1 - grid).prod(dim=1)
    assert (1 - found.betas).prod().item() == pytest.approx(products[(products - 0.5).abs().argmin()].item())
    assert sum(calls) == len(grid) == len(found.scores)
    assert found.evaluations == len(grid) * 4 * 3


def test_mean_schedule_averages_log_noise():
    levels = [Level.variance_preserving(torch.tensor(v)) for v in ([0.1, 0.1], [0.75, 0.36], [0.99, 0.96])]
    found = mean_schedule(levels)
    check_schedule(found, "mean")
    assert (1 - found.alpha_bar[1]).item() == pytest.approx((0.25 * 0.64) ** 0.5, rel=1e-6)
    assert (1 - found.alpha_bar[2]).item() == pytest.approx((0.01 * 0.04) ** 0.5, rel=1e-5)


def test_mean_schedule_is_made_to_fall():
    levels = [Level.variance_preserving(torch.tensor([v])) for v in (0.1, 0.5, 0.4, 0.9)]
    check_schedule(mean_schedule(levels), "mean")


@pytest.mark.parametrize("torn", [b"", b'{"scores": [0.1, 0.'])
def test_a_killed_search_goes_on_after_the_scored_candidates(tmp_path, torn):
    """Killed in its sixth batch of two candidates, maybe while it wrote: the same scores, and no candidate generated twice."""
    grid, generated = enumerate_grid(3, (-3.0, -1.0), 9, 3)[:15], list[int]()

    def search(kept, kill_at=None):
        def generate(levels, many):
            if len(generated) == kill_at:
                raise KeyboardInterrupt
            generated.append(many)
            return levels[0].alpha_bar[:, None]

        def score(x):
            return float("inf") if x.mean() < 0.4 else (x.mean() - 0.5).abs().item()

        return grid_search(grid, generate, score, samples=4, batch=8, calls=3, kept=kept)

    whole = search(None)
    assert float("inf") in whole.scores and len(whole.scores) == 15
    generated.clear()
    kept = KeptScores(tmp_path / "state" / "scores.jsonl")
    with pytest.raises(KeyboardInterrupt):
        search(kept, kill_at=5)
    with open(kept.file, "ab") as file:
        file.write(torn)
    found = search(kept)
    assert (found.scores, found.score, found.evaluations) == (whole.scores, whole.score, whole.evaluations)
    assert torch.equal(found.betas, whole.betas)
    assert sum(generated) == 15
    assert search(kept).scores == whole.scores and sum(generated) == 15, "of a finished search nothing is generated"
    assert found.seconds > KeptScores(tmp_path / "none").read()[1] == 0
