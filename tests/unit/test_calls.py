"""The distance of samples to those of the same noise, and tables of metrics against network calls."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from difftables.jobs.measure import compared, measured, read_ends
from difftables.metrics.image_metrics import Paired, distance_to_ends
from difftables.planning import plan
from difftables.planning.companions import ends_of
from difftables.report.kinds.calls import frontier

ROOT = Path(__file__).parents[2]
COUNTS = {
    "network_evaluations": 30, "estimator_evaluations": 0, "steps": 5, "nfe": 5, "nfe_sd": None, "nfe_max": None, "level_sd": None,
    "level_floor": None, "curve_evaluations": None, "clipped_rates": 0, "v_outside": None,
}  # fmt: skip


def test_distance_of_black_and_white_is_the_range_of_pixels():
    """-1 and 1 differ by 2; where half of the pixels differ, RMS is 2 / sqrt 2; nothing is 0 away from itself."""
    black, white = torch.zeros(3, 1, 2, 2, dtype=torch.uint8), torch.full((3, 1, 2, 2), 255, dtype=torch.uint8)
    half = black.clone()
    half[..., 0] = 255
    found = [distance_to_ends(Paired(black, each))[0].value for each in (white, half, black)]
    assert found == pytest.approx([2.0, 2**0.5, 0.0])


def test_distance_refuses_another_number_of_samples():
    with pytest.raises(ValueError, match="draw as many of both"):
        distance_to_ends(Paired(torch.zeros(3, 1, 2, 2, dtype=torch.uint8), torch.zeros(2, 1, 2, 2, dtype=torch.uint8)))


def test_each_seed_is_compared_with_its_own_ends_and_its_first_samples():
    """Seed k is k grey levels from its ends; further ends of a larger n are left out; evaluations are shared among seeds."""
    samples = torch.zeros(2, 3, 1, 2, 2, dtype=torch.uint8)
    ends = torch.full((2, 5, 1, 2, 2), 200, dtype=torch.uint8)
    ends[0, :3], ends[1, :3] = 0, 1
    found = compared(samples, ends, [4, 7], 3, COUNTS)
    assert [(each["seed"], each["n"], each["id"]) for each in found] == [(4, 3, "distance"), (7, 3, "distance")]
    assert [each["value"] for each in found] == pytest.approx([0.0, 2 / 255])
    of_all = measured(samples, lambda _: [], [4, 7], 3, COUNTS)
    assert not of_all and {each["network_evaluations"] for each in found} == {15}


class _Job:
    """A job whose only file is that of the ends, those of 100 steps."""

    spec = SimpleNamespace(ends=100)

    def __init__(self, path):
        self.path = path

    def maybe(self, name):
        return self.path if name == "ends" else None


def test_ends_are_taken_by_step_count_and_by_seed(tmp_path):
    from difftables.common.files import save_tensors

    path = tmp_path / "ends.safetensors"
    samples = torch.arange(3, dtype=torch.uint8)[:, None].expand(3, 4).contiguous()
    shared = {"samples/2": samples + 9, "samples/100": samples, "levels/100": torch.zeros(1)}
    save_tensors(path, shared, {"kind": "samples", "seeds": [0, 1, 2], "n": 4, "counts": {}})
    assert read_ends(_Job(path), [2, 0])[:, 0].tolist() == [2, 0]
    assert read_ends(_Job(None), [0]) is None
    with pytest.raises(ValueError, match="seed 5"):
        read_ends(_Job(path), [0, 5])


def test_the_frontier_is_what_no_point_beats_in_both():
    assert frontier([(10.0, 1.0), (3.0, 5.0), (5.0, 6.0), (5.0, 2.0), (8.0, 2.0), (20.0, 1.5)]) == [(3.0, 5.0), (5.0, 2.0), (10.0, 1.0)]


def test_rows_with_ends_are_planned_with_them(monkeypatch):
    """Ends have the net's data, the seeds and at least the samples of their rows, and nothing is clipped."""
    monkeypatch.chdir(ROOT)
    found = plan.read("laptop")
    rows = [(run, str(seed), name) for run, seed, name in found.sampled_rows()]
    ours = [row for row in rows if ends_of(found.params, row[0], row[2])]
    planned = {found.samples_file(*row) for row in rows}
    assert ours and all(row[2].startswith("few_step/") for row in ours)
    for row in ours:
        run, _, name = row
        assert found.measure_inputs(*row)["ends"][0] in planned
        assert found.measure_spec(*row).ends in found.sample_spec(run, ends_of(found.params, run, name)).steps
        ends, own = found.sample_spec(run, ends_of(found.params, run, name)), found.sample_spec(run, name)
        assert ends.seeds == own.seeds and ends.n >= own.n and ends.run.data == own.run.data
        assert ends.sampler.clip is None and own.sampler.clip is None


def test_rows_that_draw_the_same_samples_are_measured_once_with_their_ends(monkeypatch):
    """EDM's Heun on EDM's grid is a row of its own paper and of the lab: one job draws it, and one measures it, with the lab's ends."""
    monkeypatch.chdir(ROOT)
    found = plan.read("laptop")
    theirs, ours = ("edm/vp-e", "edm/heun"), ("edm/vp-e", "few_step/heun-grid")
    assert found.drawn_row(*theirs) == found.drawn_row(*ours)
    assert found.measure_inputs(theirs[0], "0", theirs[1]) == found.measure_inputs(ours[0], "0", ours[1])
    assert found.drawn_ends(*theirs) == "few_step/end-edm"
    assert found.measure_inputs("noise_estimation/digits", "0", "noise_estimation/ddim-strided").get("ends") is None
