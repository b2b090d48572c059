"""What a user adds, carried out on a copy: the files that it touches, that it is used, and that no other job runs again."""

import json
from collections import Counter

import pytest
import yaml
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
        x0, _ = split_variance(denoise(x, now))
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
    copy.add("config/solvers.py", "MODELS", "adams", "Adams", MODEL)
    assert copy.touched("src") == {"src/difftables/sampling/solvers.py", "src/difftables/config/solvers.py"}
    assert not new_jobs(copy, before)
    row(copy, solver={"kind": "adams"})
    assert new_jobs(copy, before, TABLE) == {"sample": 1, "measure": 1}
    forgetful, remembering, plain = json.loads(copy.run(DRAW))
    assert forgetful == pytest.approx(plain) and remembering[0] == plain[0]
    assert abs(remembering[1] - plain[1]) > 1e-3


def test_a_schedule_search_is_an_entry(copy, before):
    found = '''
def same_rates(
    run: "LoadedRun", sampler: "Sampling", steps: int, score: "Callable[[Tensor], float] | None" = None, *, samples: int, seed: int
) -> "tuple[Level, dict[str, Any]]":
    """The same rate at each step."""
    import torch

    from difftables.diffusion.schedules import from_betas

    return from_betas(torch.full((steps,), 0.1, dtype=torch.float64)), {"seconds": 0.0}
'''
    entry = 'Method(find=same_rates, samples="samples", generates=samples_of_candidates, sampler=unchanged, scored=False, whole=False)'
    copy.add("search/methods.py", "METHODS", "same-rates", entry, found)
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


def test_a_metric_is_a_function_and_an_entry(copy, before):
    """It is measured for all images; no net, sample or search is made again."""
    path = copy.path / "src/difftables/metrics/image_metrics.py"
    function = '''
def spread(samples: ImageSamples) -> list[Measurement]:
    """Total variance of the features."""
    return [Measurement(samples.features.var(dim=0).sum().item())]
'''
    path.write_text(path.read_text() + f"\n{function}")
    copy.add("metrics/catalogue.py", "IMAGE_METRICS", "spread", 'Metric("spread", better="higher", function=image_metrics.spread)')
    assert copy.touched("src") == {"src/difftables/metrics/image_metrics.py", "src/difftables/metrics/catalogue.py"}
    after = copy.jobs()
    assert after.keys() == before.keys()
    changed = {name for name in before if before[name] != after[name]}
    assert {name.split("/")[0] for name in changed} <= {"measure", "reference", "table", "report"}
    assert {name for name in before if name.startswith("measure/") and "voice" not in name} <= changed
    assert not {name for name in changed if "voice" in name.split("/")}
    program = """
import torch
from difftables.metrics.catalogue import IMAGE_METRICS
from difftables.metrics.image_metrics import ImageSamples

samples = ImageSamples(None, torch.tensor([[0.0, 0.0], [2.0, 4.0]]), None, None)
print(IMAGE_METRICS["spread"].function(samples)[0].value)
"""
    assert float(copy.run(program)) == 10


def test_a_paper_with_one_table_is_a_folder(copy, before):
    """Its run is trained, drawn from and measured; the jobs of others stay as they are."""
    folder = copy.path / "workflow/papers/mine"
    folder.mkdir()
    own = {
        "runs": {"short": {"like": "noise_estimation/digits", "train": {"lr": 0.004}}},
        "samplers": {"ddim": {"like": "noise_estimation/ddim-strided"}},
        "tables": {"T1": {"run": "short", "steps": [3]}},
    }
    (folder / "params.yaml").write_text(yaml.safe_dump(own))
    rows = [{"id": "ddim", "label": "DDIM", "sampler": "ddim", "method": "fixed"}]
    (folder / "tables.yaml").write_text(yaml.safe_dump({"T1": {"title": "mine", "kind": "steps", "rows": rows}}))
    assert copy.touched("src") | copy.touched("workflow") == {f"workflow/papers/mine/{name}.yaml" for name in ("params", "tables")}
    assert new_jobs(copy, before, ["report"]) == {"train": 1, "sample": 1, "measure": 1, "table": 1}
