"""What a user adds, carried out on a copy: the files that it touches, that it is used, and that no other job runs again."""

import json
from collections import Counter

import pytest
from plan_of_copy import Copy

T2 = "workflow/papers/noise_estimation/tables.yaml"
SAMPLERS = "workflow/papers/noise_estimation/params.yaml"
TABLE = ["table/noise_estimation/T2"]


@pytest.fixture(scope="module")
def before(tmp_path_factory):
    """All jobs of scale smoke, planned in a copy that nobody changed."""
    return Copy(tmp_path_factory.mktemp("before") / "copy").jobs()


@pytest.fixture
def copy(tmp_path):
    return Copy(tmp_path / "copy")


def new_jobs(copy, before, changed=()):
    """Jobs by rule that are new.  Asserts that no job is gone, and that those in `changed` and no others changed."""
    after = copy.jobs()
    assert before.keys() <= after.keys()
    assert {name for name in before if before[name] != after[name]} == set(changed)
    return Counter(name.split("/")[0] for name in after.keys() - before.keys())


def row(copy, **of):
    """A row of T2 with a sampler of its own, like that of DDIM but for `of`."""

    def sampler(content):
        content["samplers"]["mine"] = {"solver": {"kind": "walk", "rule": "ddim"}, "schedule": "strided", "clip": 1.0} | of

    copy.write(SAMPLERS, sampler)
    mine = {"id": "mine", "label": "mine", "sampler": "mine", "method": "fixed", "panel": "DDIM"}
    copy.write(T2, lambda content: content["T2"]["rows"].append(mine))


ADAMS = '''
def adams(x: Tensor, schedule: Levels, *, denoise: Denoiser, corrupt: Corrupt, randn: Randn, weight: float) -> Tensor:
    """DDIM on a prediction that looks ahead: (1 + weight) D - weight D of the step before."""
    before: list[Tensor] = []

    def step(x: Tensor, now: Level, nxt: Level) -> tuple[Tensor, Tensor]:
        x0, _ = parts(denoise(x, now))
        ahead = x0 if not before else (1 + weight) * x0 - weight * before[-1]
        before.append(x0)
        mean = corrupt(ahead, nxt) + nxt.like(x).std * (x - corrupt(ahead, now)) / now.like(x).std
        return mean, mean

    return descend(x, schedule, step)
'''
MODEL = '''
class Adams(Solver):
    """DDIM with a memory of one prediction."""

    kind: Literal["adams"]
    weight: PositiveFloat = 0.5
'''
DRAW = """
import json, torch
from difftables.config.sampling import Sampler
from difftables.diffusion.level import Level
from difftables.sampling.solvers import bind

levels = Level.variance_preserving(torch.linspace(0.01, 1, 5).double())
sampler = {"schedule": "strided", "clip": 1.0}
def draw(solver):
    calls = []
    def denoise(x, level):
        calls.append(level)
        return x * level.like(x).alpha
    function = bind(Sampler(solver=solver, schedule="strided", clip=1.0).solver)
    x = function(torch.ones(1, 1, 2, 2).double(), levels, denoise=denoise, corrupt=lambda x, level: x * level.like(x).alpha,
        randn=torch.zeros_like)
    return len(calls), x.mean().item()
print(json.dumps([draw({"kind": "adams", "weight": w}) for w in (1e-9, 0.5)] + [draw({"kind": "walk", "rule": "ddim"})]))
"""


def test_a_sampler_with_history_is_a_function_and_a_model(copy, before):
    copy.add("sampling/solvers.py", "SOLVERS", "adams", "adams", ADAMS)
    copy.add("config/sampling.py", "MODELS", "adams", "Adams", MODEL)
    assert copy.touched("src") == {"src/difftables/sampling/solvers.py", "src/difftables/config/sampling.py"}
    assert not new_jobs(copy, before)
    row(copy, solver={"kind": "adams"})
    assert new_jobs(copy, before, TABLE) == {"sample": 1, "measure": 1}
    forgetful, remembering, plain = json.loads(copy.run(DRAW))
    assert forgetful == pytest.approx(plain) and remembering[0] == plain[0]
    assert abs(remembering[1] - plain[1]) > 1e-3


def test_a_schedule_search_is_an_entry(copy, before):
    found = '''
def same_rates(job: "Job", steps: int) -> "tuple[Level, dict[str, Any]]":
    """The same rate at each step."""
    import torch

    from difftables.diffusion.schedules import from_betas

    return from_betas(torch.full((steps,), 0.1, dtype=torch.float64)), {"tried": 1}
'''
    entry = 'Method(\n        find=same_rates, reads=("seed", "samples"), samples="samples", chains=lambda search, steps, calls: 0, '
    copy.add("search/methods.py", "METHODS", "same-rates", entry + "drawn_by=itself, judged=False, whole=False,\n    )", found)
    assert copy.touched("src") == {"src/difftables/search/methods.py"}
    assert not new_jobs(copy, before)
    row(copy, schedule="same-rates")
    assert new_jobs(copy, before, TABLE) == {"search": 1, "sample": 1, "measure": 1}


def test_a_data_reader_is_a_function_and_an_entry(copy, before):
    reader = '''
def stripes(size: int, channels: int) -> tuple[Tensor, Tensor]:
    """Black and white stripes: samples, [200, channels, size, size], uint8, and labels, [200]."""
    rows = (torch.arange(size) // 2 % 2 * 255).to(torch.uint8)
    return rows[:, None].expand(200, channels, size, size).clone(), torch.zeros(200, dtype=torch.int64)
'''
    copy.add("data/__init__.py", "READERS", "stripes", "stripes", f"import torch\n{reader}")
    assert copy.touched("src") == {"src/difftables/data/__init__.py"}
    assert not new_jobs(copy, before)
    copy.write(
        "params.yaml",
        lambda content: content["data"].update(digits={"reader": "stripes", "size": 8, "channels": 1, "held_out": 40, "classes": 10}),
    )
    after = copy.jobs()
    changed = {name for name in before if before[name] != after[name]}
    assert after.keys() == before.keys()
    assert {"data/digits", "train/noise_estimation/digits/0"} <= changed
    assert not {name for name in changed if "voice" in name.split("/")}
    program = "from difftables.data import READERS; images, labels = READERS['stripes'](8, 1); print(*images.shape, len(labels))"
    assert copy.run(program).split() == ["200", "1", "8", "8", "200"]
