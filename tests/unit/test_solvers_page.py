"""The page on solvers says what the code is."""

import re
from pathlib import Path

import pytest
import torch
import yaml

from difftables.config.sampling import Sampling
from difftables.config.solvers import MODELS
from difftables.diffusion import training_schedules
from difftables.diffusion.corruptions import scale
from difftables.diffusion.denoiser import Counted
from difftables.diffusion.subschedules import power_law
from difftables.sampling import solvers

PAGE = (Path(__file__).parents[2] / "docs/solvers.md").read_text()
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")] for line in PAGE.splitlines() if line.startswith("| ") and "`{kind" in line
]  # fmt: skip
TRAINING = training_schedules.TRAINING_SCHEDULES["linear"](100, first=1e-3, last=0.2)


def test_every_kind_has_a_row_and_every_row_a_kind():
    assert {yaml.safe_load(row[1].strip("`"))["kind"] for row in ROWS} == set(MODELS)


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_calls_and_noise_are_those_of_the_code(row):
    """Counted at 8 steps, and as planned."""
    assert len(row) == 6
    settings, calls, noise = yaml.safe_load(row[1].strip("`")), row[3], row[4]
    solver = Sampling.model_validate({"solver": settings, "schedule": "even"}).solver
    formula = re.fullmatch(r"(\d*) ?N(?: ([+-]) (\d+))?", calls)
    planned = None if formula is None else int(formula[1] or 1) * 8 + int((formula[2] or "") + (formula[3] or "0"))
    assert planned == solver.calls(8) and (planned is not None or calls == "its own")
    if solver.planned:
        return
    asked = []

    def randn(x):
        asked.append(x)
        return torch.ones_like(x)

    counted, x = Counted(lambda x, level: 0.5 * x), torch.linspace(-1, 1, 8, dtype=torch.float64).reshape(2, 1, 2, 2)
    solvers.bind(solver, TRAINING)(x, power_law(TRAINING, 8), denoise=counted, corrupt=scale, randn=randn)
    assert planned in (None, counted.calls)
    assert {"yes": True, "no": False}[noise] == bool(asked)
