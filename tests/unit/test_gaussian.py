"""The exact Gaussian problem: known values, the real samplers on drawn images, and its table."""

import math
import shutil
from itertools import product
from pathlib import Path

import pytest
import torch
import yaml

from difftables.common.errors import ConfigError
from difftables.diffusion.corruptions import blur, blur_gain, dct, inverse_dct
from difftables.papers.numbers import Number
from difftables.papers.reported import ReportedNumbers
from difftables.planning import params, plan
from difftables.report.kinds import KINDS
from difftables.report.make_page import banner
from difftables.report.printing import markdown
from difftables.report.sources import Sources
from difftables.sampling.solvers import walk
from difftables.studies.gaussian_problem import Problem, frechet, remainder, variances

ROOT = Path(__file__).parents[2]
PROBLEM = {"size": 16, "variance": 0.25, "weakest": 0.01, "strongest": 5.75, "lowest": 0.01, "highest": 0.1, "reached": 0.25}
SOLVERS = ("naive", "momentum", "ddpm-small", "ddim", "flow")
EXPECTED = """
10   .2792 .0190 .1519 .0876 .0077
27   .1884 .0020 .0315 .0151 .0021
50   .1673 .0009 .0094 .0039 .0011
100  .1533 .0006 .0019 .0006 .0007
300  .1424 .0004 .0001 .0001 .0005
1000 .1384 .0004 .0002 .0003 .0004
"""


@pytest.mark.parametrize("line", EXPECTED.strip().split("\n"))
def test_solvers_on_the_gaussian_problem(line):
    steps, *expected = line.split()
    for rule, wanted in zip(SOLVERS, expected, strict=True):
        assert frechet(Problem(**PROBLEM), rule, int(steps)) == pytest.approx(float(wanted), abs=6e-5)


def test_what_is_left_at_the_end_is_what_a_perfect_sampler_leaves():
    """sum (sqrt(g^2 p + 0.01^2) - sqrt(p))^2 with the gain g of a blur of 0.01 px; many steps come near."""
    problem, wanted = Problem(**PROBLEM), 0.0
    for i, j in product(range(16), repeat=2):
        prior, gain = 0.25 / (1 + i * i + j * j), math.exp(-0.5 * math.pi**2 * 1e-4 * (i * i + j * j) / 256)
        wanted += ((gain**2 * prior + 1e-4) ** 0.5 - prior**0.5) ** 2
    assert remainder(problem) == pytest.approx(wanted, rel=1e-9)
    for rule in SOLVERS[1:]:
        assert frechet(problem, rule, 30000) == pytest.approx(remainder(problem), rel=0.03)


def test_noise_in_the_last_step_adds_its_variance():
    """b^2 = s_1^2 - s_0^2 of the momentum sampler, at every frequency alike."""
    problem = Problem(**PROBLEM)
    added = variances(problem, "momentum", 10, noisy_end=True) - variances(problem, "momentum", 10)
    torch.testing.assert_close(added, torch.full_like(added, 1e-4 * (10**0.8 - 1)))


@pytest.mark.parametrize("noisy_end", [False, True])
@pytest.mark.parametrize("rule", [*SOLVERS, "ddpm-large"])
def test_the_real_sampler_on_drawn_images_has_the_propagated_variances(rule, noisy_end):
    """The variance of 20,000 normal samples is known to 1 %; five of those."""
    problem, count = Problem(**PROBLEM | {"size": 4, "strongest": 1.4}), 20000
    generator, prior = torch.Generator().manual_seed(5), problem.prior()

    def randn(x):
        return torch.randn(x.shape, generator=generator, dtype=x.dtype)

    def denoise(x, level):
        gain = blur_gain(level.strength, 4, 4)[0]
        return inverse_dct(gain * prior / (gain**2 * prior + level.std**2) * dct(x))

    levels = problem.schedule(6)
    images = inverse_dct(prior.sqrt() * randn(torch.zeros(count, 1, 4, 4, dtype=torch.float64)))
    x = blur(images, levels[0]) + levels.std[0] * randn(images)
    x = walk(x, levels[:-1], denoise=denoise, corrupt=blur, rule=rule, noisy_end=False, churn=None, randn=randn)
    x = walk(
        x,
        levels[-2:],
        denoise=denoise,
        corrupt=blur,
        rule=rule,
        noisy_end=False,
        churn=None,
        randn=randn if noisy_end else torch.zeros_like,
    )
    found, wanted = dct(x).square().mean((0, 1)), variances(problem, rule, 6, noisy_end)
    assert (found / wanted - 1).abs().max() < 0.05


def sources(tmp_path):
    (tmp_path / "reported.csv").write_text(f"{','.join(Number.model_fields)}\np,T,a,D,,,,,10,FID,3,,,printed\n")
    rows = [
        {"id": "momentum", "label": "Momentum", "rule": "momentum"},
        {"id": "noisy", "label": "Noisy", "rule": "momentum", "noisy_end": True},
    ]
    layout = {"title": "t", "kind": "gaussian", "problem": PROBLEM, "rows": rows, "foot": ["at the foot"]}
    rows = [row | {"part": None, "run": None, "steps": []} for row in rows]
    spec = {"paper": "p", "table": "G", "layout": layout, "rows": rows, "steps": [10, 27], "run": None, "scale": "laptop", "dataset": None}
    return Sources(spec, ReportedNumbers(tmp_path / "reported.csv"))


def test_cells_are_closed_forms_at_the_tables_own_steps(tmp_path):
    rendered = KINDS["gaussian"](sources(tmp_path))
    assert [(c.row, c.column, c.steps, c.nfe, c.status) for c in rendered.cells] == [
        (row, str(steps), steps, steps, "closed-form") for row in ("Momentum", "Noisy") for steps in (10, 27)
    ]
    assert {(c.sampler, c.metric, c.unit, c.better) for c in rendered.cells} == {("momentum", "squared Frechet distance", "", "lower")}
    assert rendered.cells[2].value == frechet(Problem(**PROBLEM), "momentum", 10, noisy_end=True)
    text = markdown(rendered.grid)
    assert "| Momentum | 0.019 | 2.0e-03 |" in text
    assert "at the foot" in text
    assert rendered.draw() is not None


def test_a_closed_form_is_not_said_to_be_not_run(tmp_path):
    spec = sources(tmp_path).spec
    assert banner(spec) == "**Closed form**, nothing is trained or sampled."
    schedules = spec | {"layout": {"kind": "schedules", "schedules": ["linear"]}}
    assert banner(schedules) == "**Closed form**, with the schedules of scale `laptop`."
    assert banner(spec | {"layout": {"kind": "steps"}}).startswith("**Own rows were not run:**")


def test_the_plan_knows_the_table_and_its_rules(rewritten, monkeypatch, tmp_path):
    shutil.copytree(ROOT / "workflow", tmp_path / "workflow")
    monkeypatch.chdir(tmp_path)
    given, layouts = (
        rewritten(("soft_diffusion/tables", {"G": {"run": None, "steps": [10, 27]}})),
        Path("workflow/papers/soft_diffusion/tables.yaml"),
    )
    layout = sources(tmp_path).spec["layout"]
    layouts.write_text(yaml.safe_dump({"G": layout}))
    layouts.with_name("claims.yaml").write_text("[]")
    found = plan.Workflow(params.load(given, "laptop"))
    spec = found.table_spec("soft_diffusion", "G")
    assert list(found.table_inputs("soft_diffusion", "G")) == ["reported"]
    assert (spec.run, spec.steps) == (None, [10, 27])
    assert [(row["rule"], row["run"]) for row in spec.rows] == [("momentum", None)] * 2
    for rule, message in (("momentun", "did you mean 'momentum'?"), ("ddpm-learned", "row a: rule is 'ddpm-learned'")):
        layouts.write_text(yaml.safe_dump({"G": layout | {"rows": [{"id": "a", "label": "a", "rule": rule}]}}))
        with pytest.raises(ConfigError, match=r"^[^\n]*$") as error:
            plan.Workflow(params.load(given, "laptop"))
        assert message in str(error.value)
