"""Scale released: released nets in place of trainings, within a budget of GPU-hours; and the mechanisms that it rests on."""

import csv
from pathlib import Path

import pytest
from job_files import every_job, run_job

from difftables.common.errors import ConfigError
from difftables.config.nets import CheckpointSpec
from difftables.planning import count_costs, explanation, gpu_hours, net_costs, params
from difftables.planning.plan import Workflow, read

ROOT = Path(__file__).parents[2]
HOURS, CIFAR_HOURS = 100, 12
KEYS = {"reference": ("data",), "sample": ("run", "seed", "sampler"), "search": ("run", "seed", "sampler"),
        "measure": ("run", "seed", "sampler"), "table": ("paper", "table")}  # fmt: skip
# Of the released nets, by the papers, their repositories or a count of the official code.
PARAMETERS = {
    "edm/a-uncond-vp": 61_804_419, "edm/f-uncond-vp": 55_733_891,
    "noise_estimation/celeba": 78_700_803, "noise_estimation/church": 113_673_219, "noise_estimation/wavegrad": 15_810_401,
    "improved_ddpm/imagenet-hybrid": 121_063_942, "improved_ddpm/imagenet-classes": 273_049_350, "improved_ddpm/cifar-hybrid": 52_546_438,
}  # fmt: skip


@pytest.fixture(scope="module")
def found():
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        return read("released")


@pytest.fixture(scope="module")
def known():
    return net_costs.read_costs(ROOT / net_costs.COSTS)


@pytest.fixture
def planned(rewritten, monkeypatch):
    """The plan of a scale with some places changed, in a copy that has the tables and no file of any checkpoint."""

    def plan(*changes, scale="released"):
        path = rewritten(*changes)
        for name in ("tables.yaml", "reported.csv", "claims.yaml"):
            for source in ROOT.glob(f"workflow/papers/*/{name}"):
                (path.parent / source.relative_to(ROOT)).write_bytes(source.read_bytes())
        for source in (ROOT / "workflow/speech").iterdir():
            (path.parent / "workflow/speech").mkdir(exist_ok=True)
            (path.parent / "workflow/speech" / source.name).write_bytes(source.read_bytes())
        monkeypatch.chdir(path.parent)
        return Workflow(params.load(path, scale))

    return plan


def counted(plan):
    """All jobs of a plan with a function in `gpu_hours.RULES`, each with its wildcards by name."""
    jobs = [(rule, of) for rule, *of in every_job(plan) if rule in gpu_hours.RULES]
    return [(rule, dict(zip(KEYS.get(rule, ("run", "seed")), of, strict=True))) for rule, of in jobs]


def test_nothing_but_estimators_is_trained(found):
    rules = {rule for rule, *_ in every_job(found)}
    assert "train" not in rules and found.trainings() == []
    assert {run for run, _ in found.estimator_trainings()} == {f"noise_estimation/{name}" for name in ("celeba", "church", "ljspeech")}
    assert all(found.params.runs[run].checkpoint for run, *_ in found.sampled_rows())


def test_its_hours_stay_within_the_budget(found, known):
    jobs = counted(found)
    hours = [hours for _, hours in gpu_hours.by_rule(found, jobs, known).values()]
    assert None not in hours and 10 < sum(hours) <= HOURS
    of_cifar = [(rule, w) for rule, w in jobs if (w["data"] if rule == "reference" else found.params.runs[w["run"]].data) == "cifar"]
    assert 1 < gpu_hours.by_group(found, {"cifar": of_cifar}, known)["cifar"][1] <= CIFAR_HOURS


def test_the_anchor_is_edms_net_at_35_calls_and_50000_samples(found):
    (row,) = found.rows("edm", "anchor")
    spec = found.sample_spec(row["run"], row["sampler"])
    assert (spec.n, spec.seeds, row["steps"]) == (50_000, [0], [18]) and spec.sampler.solver.calls(18) == 35
    assert found.params.runs[row["run"]].checkpoint == "edm/f-uncond-vp" and found.params.runs[row["run"]].data == "cifar"
    assert found.features().net == "inception"
    with open(ROOT / "workflow/papers/edm/reported.csv", newline="") as file:
        theirs = [line for line in csv.DictReader(file) if all(line[key] == value for key, value in row["paper"].items())]
    assert [line["value"] for line in theirs] == ["1.97"]


@pytest.mark.parametrize("name", PARAMETERS)
def test_the_net_of_a_checkpoint_has_the_size_of_the_released_one(found, name):
    net, data = next(pair for called, _, *pair in count_costs.used_nets(found) if called == name)
    with open(ROOT / net_costs.COSTS, newline="") as file:
        counts = {line["key"]: int(line["parameters"]) for line in csv.DictReader(file)}
    assert counts[net_costs.cost_key(net, data)] == PARAMETERS[name]


def test_every_net_is_one_that_its_format_holds(found):
    """Each weight of ours has a source in the format, whatever the file turns out to hold."""
    import torch

    from difftables.checkpoints.convert import FORMATS
    from difftables.nets.build import net_of_shape

    for name in found.used_checkpoints():
        spec = found.checkpoint_spec(name)
        with torch.device("meta"):
            net = net_of_shape(spec.net, spec.shape)
        layers = FORMATS[spec.format].nets[type(net)](net)
        for weight in net.state_dict():
            layer, leaf = weight.rsplit(".", 1)
            assert leaf in layers[layer].leaves, (name, weight)


def test_each_checkpoint_is_fetched_or_says_where_it_is_to_be_had(found):
    for name in found.used_checkpoints():
        entry = found.params.checkpoints[name]
        assert (entry.url or "https://" in (entry.by_hand or "")) and entry.net, name
        assert bool(found.checkpoint_inputs(name)) == bool(entry.url), name


def test_rows_without_a_published_net_are_not_run_and_say_why(found, monkeypatch):
    monkeypatch.chdir(ROOT)
    runs = {row["id"]: row["run"] for row in found.rows("edm", "T2")}
    assert {name for name, run in runs.items() if run} == {"ddpmpp-a", "ddpmpp-f", "ncsnpp-a", "ncsnpp-f"}
    cell = {"paper": "edm", "table": "T2", "row_id": "ddpmpp-b"}
    assert "tables.T2.runs.vp-b is null" in explanation.reason("released", cell).replace("edm/", "")


def test_a_scale_that_changes_another_one_has_its_numbers_and_only_the_tables_it_names(planned):
    plan = planned()
    paper = params.load("params.yaml", "paper")
    assert plan.params.data["cifar"] == paper.data["cifar"] and plan.params.evaluation.images.n != paper.evaluation.images.n
    assert plan.params.tables["soft_diffusion"] == {} and "A-D" not in plan.params.tables["improved_ddpm"]
    changed = planned(("released:soft_diffusion/tables", {"F6": {"run": "blur"}}))
    assert set(changed.params.tables["soft_diffusion"]) == {"F6"} and changed.params.tables["soft_diffusion"]["F6"].steps == []


def test_a_change_of_the_base_reaches_the_scale_unless_it_says_otherwise(planned):
    plan = planned(("paper:evaluation/images/kid_subsets", 7), ("paper:evaluation/images/n", 20_000))
    assert plan.params.evaluation.images.kid_subsets == 7 and plan.params.evaluation.images.n == 10_000


def test_a_file_that_only_its_user_can_fetch_stops_no_plan_but_its_job(found, planned, tmp_path):
    plan = planned()
    name = "noise_estimation/wavegrad"
    spec = plan.spec("checkpoint", name)
    assert ("checkpoint", name) in every_job(plan) and plan.checkpoint_inputs(name) == {} and spec.file and spec.by_hand
    with pytest.raises(ValueError, match=r"wavegrad-ljspeech\.pt.*drive\.google\.com") as raised:
        run_job("checkpoint", spec, {}, {"net": tmp_path / "net", "report": tmp_path / "report"})
    assert "\n" not in str(raised.value)


def test_a_file_put_there_by_hand_is_read_once_its_hash_is_stated(tmp_path):
    from difftables.common.files import load_tensors, save_tensors, sha256

    source = ROOT / "tests/official_nets/wavegrad.safetensors"
    tensors, _ = load_tensors(source)
    state = {key.removeprefix("state."): value for key, value in tensors.items() if key.startswith("state.")}
    path = tmp_path / "net.safetensors"
    save_tensors(path, state, {})
    net = {"kind": "wavegrad", **wavegrad_of(state)}
    fields = {"name": "a/b", "format": "wavegrad", "file": str(path), "by_hand": "ask them", "net": net, "shape": shape_of(state, net)}
    out = {"net": tmp_path / "out/net.safetensors", "report": tmp_path / "out/report.json"}
    with pytest.raises(ValueError, match=sha256(path)):
        run_job("checkpoint", CheckpointSpec.model_validate(fields), {}, out)
    run_job("checkpoint", CheckpointSpec.model_validate(fields | {"sha256": sha256(path)}), {}, out)
    assert out["net"].exists()


def wavegrad_of(state):
    """The arguments of the official net at small width."""
    from difftables.checkpoints.convert import architecture

    read_off = architecture(state, "wavegrad")
    return {name: value for name, value in read_off.items() if name not in ("kind", "bands", "hop")}


def shape_of(state, net):
    """What data of such a net have."""
    from difftables.checkpoints.convert import architecture

    read_off = architecture(state, "wavegrad", {"factors": net["factors"]})
    return {"bands": read_off["bands"], "hop": read_off["hop"]}


def test_by_hand_asks_for_a_place(planned):
    with pytest.raises(ConfigError, match="by_hand"):
        planned(("released:edm/checkpoints/f-uncond-vp/by_hand", "ask them"))


def test_hours_by_table_count_what_it_shares_and_the_total_counts_it_once(found, known):
    job = ("sample", {"run": "edm/vp-f", "seed": "0", "sampler": "edm/heun"})
    one = gpu_hours.by_rule(found, [job], known)["sample"][1]
    groups = gpu_hours.by_group(found, {"edm/T2": [job], "edm/anchor": [job]}, known)
    assert groups == {"edm/T2": (1, pytest.approx(one)), "edm/anchor": (1, pytest.approx(one))}
    lines = gpu_hours.table(found, [job], known, {"edm/anchor": [job], "edm/T2": [job]}).splitlines()
    assert {line.split()[0] for line in lines[1:3]} == {"edm/anchor", "edm/T2"}
    total = next(line for line in lines if line.startswith("total"))
    assert total.split()[1:] == ["1", gpu_hours.shown(one)]
