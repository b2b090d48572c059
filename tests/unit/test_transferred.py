"""Schedules found on one net and used on another."""

from pathlib import Path

import pytest
import torch

from difftables.common.errors import ConfigError
from difftables.config.sampling import FoundOn, Sampler
from difftables.diffusion.level import Level, variance_preserving
from difftables.planning import plan
from difftables.planning.companions import found_by
from difftables.sampling.sampling_schedules import of_other_net

ROOT = Path(__file__).parents[2]
DIGITS, EDM = "noise_estimation/digits", "edm/vp-e"
MOVED, SOURCE = "few_step/dpmpp-2m-gits-moved", "few_step/dpmpp-2m-gits"
SIGMA = torch.tensor([80.0, 3.0, 0.5, 0.0], dtype=torch.float64)


def test_a_moved_schedule_keeps_sigma_and_ends_clean():
    """sigma = std / alpha is of the data, alpha of the process: alpha^2 = 1 / (1 + sigma^2) where the variance is preserved."""
    training = variance_preserving(torch.tensor([150.0, 1.0, 0.0], dtype=torch.float64))
    moved = of_other_net(Level.variance_exploding(SIGMA), training)
    torch.testing.assert_close(moved.sigma, SIGMA)
    torch.testing.assert_close(moved.alpha, (1 + SIGMA**2) ** -0.5)
    assert (moved.alpha[-1], moved.std[-1]) == (1.0, 0.0)


def test_a_schedule_that_begins_above_the_nets_training_is_refused():
    training = variance_preserving(torch.tensor([12.0, 1.0, 0.0], dtype=torch.float64))
    with pytest.raises(ValueError, match="begins at 80, above 12"):
        of_other_net(Level.variance_exploding(SIGMA), training)


@pytest.fixture
def laptop(monkeypatch):
    """The plan of scale laptop."""
    monkeypatch.chdir(ROOT)
    return plan.read("laptop")


def test_a_moved_schedule_is_read_from_the_other_nets_search(laptop):
    """It is searched once, by the other net's own job, for every step count of both tables; the row itself searches nothing."""
    (file,) = laptop.sample_inputs(DIGITS, "0", MOVED)["schedules"]
    assert file == laptop.schedules_file(EDM, 0, SOURCE)
    assert set(laptop.step_counts(DIGITS, MOVED)) <= set(laptop.search_spec(EDM, SOURCE).steps)
    assert not [name for name in laptop.search_records() if "moved" in name]
    assert file.replace(".csv", ".json") in laptop.search_records()


def test_a_moved_schedule_names_a_run_and_a_search_that_are_there(laptop):
    samplers = laptop.params.samplers
    for found_on, wrong in (
        (FoundOn(run="edm/vp-x", sampler=SOURCE), "found_on.run is 'edm/vp-x'"),
        (FoundOn(run=EDM, sampler="few_step/dpmpp-2m-gitz"), "found_on.sampler is 'few_step/dpmpp-2m-gitz'"),
        (FoundOn(run=EDM, sampler="few_step/dpmpp-2m"), "which searches for no schedule"),
    ):
        changed = laptop.params.model_copy(
            update={"samplers": samplers | {MOVED: samplers[MOVED].model_copy(update={"found_on": found_on})}}
        )
        with pytest.raises(ConfigError, match=wrong):
            found_by(changed, DIGITS, MOVED)


@pytest.mark.parametrize("fields", [{"schedule": "transferred"}, {"schedule": "trailing", "found_on": {"run": EDM, "sampler": SOURCE}}])
def test_found_on_and_schedule_transferred_go_together(fields):
    with pytest.raises(ValueError, match="set both"):
        Sampler(solver={"kind": "heun"}, **fields)
