"""Runs and rows that are equal but for their names: one job, one file, the same cells; and files that lie under another name."""

import json
from collections import Counter
from pathlib import Path

import pytest
import torch
from job_files import every_job, read_job

from difftables.common.errors import ConfigError
from difftables.common.files import canonical, load_tensors, read_json, save_tensors, sha256, write_json
from difftables.jobs import job as jobs_module
from difftables.planning import params, params_files, plan
from difftables.planning.hand_over import hand_over
from difftables.report.make_page import read_sources
from difftables.search.methods import METHODS

ROOT = Path(__file__).parents[2]
RUNS = "improved_ddpm/runs"
TWIN, FIRST = "improved_ddpm/twin", "improved_ddpm/linear-hybrid"
SAMPLER = "improved_ddpm/learned"
# A run that is another one but for its name; one table evaluates the one, other tables the other.
TABLE = ("improved_ddpm/tables/T2/runs", {"linear-hybrid": "twin"})


def equal(**own):
    """Changes of params that make the two runs.  Args: own: what the second has of its own."""
    return [(f"{RUNS}/twin", {"like": "linear-hybrid"} | own), TABLE]


@pytest.fixture
def edited(rewritten, monkeypatch):
    """The plan of params.yaml at laptop with some places, "a/b/c", changed, made in the repository's root."""
    monkeypatch.chdir(ROOT)
    return lambda *changes: plan.Workflow(params.load(rewritten(*changes), "laptop"))


def jobs(found):
    """All jobs but tables, with what they do and read."""
    return {
        key: (found.written_spec(key[0], *of), files) for key, (of, files) in every_job(found).items() if key[0] not in ("table", "report")
    }


@pytest.mark.parametrize("scale", ["smoke", "laptop", "study", "paper", "released"])
def test_no_two_jobs_do_the_same(monkeypatch, scale):
    """But for names and for the step counts, of which one job can do those of both."""
    monkeypatch.chdir(ROOT)
    found = plan.read(scale)
    contents = Counter()
    searching = [row for row in found.drawn_rows() if found.params.samplers[row[2]].schedule in METHODS]
    # A searched schedule is what its search does and reads, whatever its file is called.
    searches = {}
    for row in searching:
        spec = {key: value for key, value in found.written_spec("search", row[0], row[2]).items() if key != "steps"}
        searches[found.schedules_file(*row)] = [spec, found.search_inputs(*row)]
    for (verb, *_), (spec, files) in jobs(found).items():
        if verb not in ("data", "listen", "levels"):  # data and levels hold no result of a job, and audio bears the names of its run
            kept = {key: value for key, value in spec.items() if key not in ("names", "steps")}
            schedules = [searches.get(path, path) for path in files.get("schedules", [])]
            contents[canonical([verb, kept, files | {"schedules": schedules}])] += verb in ("train", "train_estimator", "sample", "measure")
    assert len(contents) > 30
    assert max(contents.values()) == 1


def test_equal_runs_are_one_training_and_one_row_of_samples(edited):
    before, found = edited(), edited(*equal())
    assert jobs(found) == jobs(before)
    assert found.net_file(TWIN, 0) == before.net_file(FIRST, 0)
    assert found.samples_file(TWIN, 0, "learned") == before.samples_file(FIRST, 0, "learned")
    assert found.record_file(TWIN, 0, "learned") == before.record_file(FIRST, 0, "learned")
    assert found.likelihood_file(TWIN, 0) == before.likelihood_file(FIRST, 0)
    for files in ("curve_files", "cost_files", "table_files"):
        assert getattr(found, files)() == getattr(before, files)()


def test_the_first_in_the_order_of_params_stands_for_the_others(edited):
    found = edited(
        (f"{RUNS}/cosine-hybrid-again", {"like": "cosine-hybrid-long"}), ("edm/runs/late", {"like": "improved_ddpm/linear-hybrid"})
    )
    assert found.trained_run("improved_ddpm/cosine-hybrid-again") == "improved_ddpm/cosine-hybrid-long"
    assert found.trained_run("edm/late") == found.same_run("edm/late") == FIRST
    assert found.trained_run("improved_ddpm/cosine-hybrid") == "improved_ddpm/cosine-hybrid-long"  # a view
    assert found.same_run("improved_ddpm/cosine-hybrid") == "improved_ddpm/cosine-hybrid"  # of another step


def test_a_changed_number_of_training_splits_and_leaves_the_other_as_it_was(edited):
    before, found = edited(), edited(*equal(train={"lr": 0.5}))
    old, new = jobs(before), jobs(found)
    assert {key: new.get(key) for key in old if TWIN not in key} == old
    assert {key[:2] for key in new.keys() - old.keys()} == {(verb, TWIN) for verb in ("train", "sample", "measure", "likelihood")} & {
        key[:2] for key in new
    }
    assert ("train", TWIN, "0") in new and ("sample", TWIN, "0", SAMPLER) in new


def test_what_samples_start_from_is_no_matter_of_training(edited):
    found = edited(*equal(prior="noise_alone"))
    assert found.trained_run(TWIN) == FIRST
    assert found.same_run(TWIN) == TWIN
    assert found.samples_file(TWIN, 0, "learned") != found.samples_file(FIRST, 0, "learned")
    assert found.sample_inputs(TWIN, "0", "learned") == found.sample_inputs(FIRST, "0", "learned")
    assert found.sample_spec(TWIN, "learned") != found.sample_spec(FIRST, "learned")


def test_an_estimator_is_shared_where_the_net_is_not(edited):
    found = edited(("noise_estimation/runs/other", {"like": "digits", "train": {"lr": 0.5}}))
    assert found.trained_run("noise_estimation/other") == "noise_estimation/other"
    assert found.trained_run("noise_estimation/other", "estimator") == "noise_estimation/digits"


WITHOUT_F2 = [("edm/tables/F2/run", None)]  # which asks for further steps of the same samples


def test_samplers_that_differ_in_steps_alone_share_a_job_of_all_their_steps(edited):
    found = edited(*WITHOUT_F2)
    heun, short = ("edm/ve-a", "edm/heun"), ("edm/ve-a", "edm/heun-short")
    assert found.drawn_row(*short) == found.drawn_row(*heun) == heun
    assert found.step_counts(*heun) + found.step_counts(*short) == [18, 14]
    assert found.sample_spec(*heun).steps == [14, 18]
    assert found.drawn_row("edm/vp-e", "edm/heun-short") == ("edm/vp-e", "edm/heun-short")  # no row draws it with the other


def test_seeds_or_clipping_of_its_own_make_a_row_of_its_own(edited):
    for change in ({"seeds": [0, 1]}, {"clip": 2.0}):
        found = edited(*WITHOUT_F2, *[(f"edm/samplers/heun-short/{key}", value) for key, value in change.items()])
        assert found.drawn_row("edm/ve-a", "edm/heun-short") == ("edm/ve-a", "edm/heun-short")
        assert found.sample_spec("edm/ve-a", "edm/heun").steps == [18]


def test_asking_for_the_file_of_another_is_one_line_with_its_name(edited):
    found = edited(*equal())
    with pytest.raises(ConfigError, match=f"nets/{FIRST}/") as error:
        found.train_inputs(TWIN)
    assert "\n" not in str(error.value)
    with pytest.raises(ConfigError, match=f"samples/{FIRST}/"):
        found.sample_inputs(TWIN, "0", "learned")


def test_a_record_comes_under_the_names_of_each_row_that_it_stands_for(edited, tmp_path):
    found = edited(*equal())
    spec = found.table_spec("improved_ddpm", "T2")
    names = {row["id"]: row["recorded"] for row in spec.rows if "recorded" in row}
    assert names == {"linear-hybrid": {"run": FIRST, "sampler": SAMPLER}}
    assert not any("recorded" in row for row in found.table_spec("improved_ddpm", "T1").rows)
    record = {"shared": {"run": FIRST, "sampler": SAMPLER, "train_seed": 0}, "records": [{"steps": 3, "n": spec.n, "value": 1.0}]}
    bound = {"shared": {"run": FIRST, "sampler": None, "train_seed": 0}, "records": []}
    write_json(tmp_path / "record.json", record)
    write_json(tmp_path / "bound.json", bound)
    sources = read_sources(spec.model_dump(), {"records": [tmp_path / "record.json"], "likelihood": [tmp_path / "bound.json"]})
    hashed = {"fingerprint": sha256(tmp_path / "record.json")[:16]}
    assert sources.records == [
        {**record, "shared": record["shared"] | hashed},
        {**record, "shared": record["shared"] | hashed | {"run": TWIN, "sampler": SAMPLER}},
    ]
    assert [each["shared"]["run"] for each in sources.likelihood] == [FIRST, TWIN]


def test_rows_with_one_file_of_samples_each_receive_it(edited):
    found = edited(*equal())
    rows = [row for row in found.rows("improved_ddpm", "T2") if row["run"] and "sampler" in row]
    wanted = {(row["run"], row["sampler"]): found.samples_file(row["run"], 0, row["sampler"]) for row in rows}
    layout = {"layout": {"T2": found.layouts["improved_ddpm"]["T2"] | {"kind": "images"}}}
    found.layouts["improved_ddpm"] = found.layouts["improved_ddpm"] | layout["layout"]
    inputs = {
        name: [Path(path) for path in paths] for name, paths in found.table_inputs("improved_ddpm", "T2").items() if name == "samples"
    }
    sources = read_sources(found.table_spec("improved_ddpm", "T2").model_dump(), inputs)
    assert sources.samples == {row: Path(path) for row, path in wanted.items()}


# -- results under another name ----------------------------------------------------------------------------------------


@pytest.fixture
def store(edited, tmp_path, monkeypatch):
    """A store in which the training of FIRST and its samples are finished, and the plan in which TWIN is equal to it."""
    found = edited(*equal())
    codes = {"train": found.code("train", FIRST, "0"), "sample": found.code("sample", FIRST, "learned")}
    specs = {"train": found.written_spec("train", FIRST, "0"), "sample": found.written_spec("sample", FIRST, "learned")}
    monkeypatch.chdir(tmp_path)
    data, net, curve = found.data_file(FIRST), found.net_file(FIRST, 0), found.curve_file(FIRST, 0)
    samples = found.samples_file(FIRST, 0, "learned")
    for path in (data, net, curve):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(f"bytes of {path}")
    steps = specs["sample"]["steps"]
    tensors = {f"{name}/{count}": torch.full((2, 3), count) for count in steps for name in ("samples", "levels")}
    save_tensors(samples, tensors, {"kind": "samples", "seeds": [0], "n": 3, "counts": {str(count): {"nfe": count} for count in steps}})

    def hashes(files):
        return {name: {path: sha256(path)} for name, path in files.items()}

    def made(verb, inputs, outputs, *of):
        record = {"rule": verb, "spec": specs[verb], "code": codes[verb], "inputs": hashes(inputs), "outputs": hashes(outputs)}
        parts = {str(count): f"of {count}" for count in specs[verb].get("steps", [])}
        write_json(found.provenance_file(verb, *of), record | {"columns": parts, "cost": parts, "seeds": {"training": 0}})

    made("train", {"data": data}, {"net": net, "curve": curve}, FIRST, 0)
    made("sample", {"net": net}, {"samples": samples}, FIRST, 0, "learned")
    return found


def changed(edited, monkeypatch, *changes):
    """The plan with some places changed; the folder stays the present one."""
    folder = Path.cwd()
    monkeypatch.chdir(ROOT)
    found = edited(*changes)
    monkeypatch.chdir(folder)
    return found


def test_nothing_is_handed_over_where_each_result_has_its_name(store):
    before = sorted(Path("results").rglob("*"))
    assert hand_over(store) == []
    assert sorted(Path("results").rglob("*")) == before


def parted(edited, monkeypatch):
    """The plan in which FIRST, whose name the files bear, is changed: TWIN needs its own, which are the same."""
    return changed(edited, monkeypatch, TABLE, (f"{RUNS}/twin", read_run("linear-hybrid")), (f"{RUNS}/linear-hybrid/train/lr", 0.5))


def job_of(found, verb, of, inputs, outputs):
    """A job as its process reads it."""
    return read_job(verb, found.spec(verb, *of), inputs, outputs, found.code(verb, *of))


def test_of_two_equal_runs_the_one_that_stays_takes_the_files_over(store, edited, monkeypatch):
    found = parted(edited, monkeypatch)
    assert len(hand_over(found)) == 2
    net, curve, samples = found.net_file(TWIN, 0), found.curve_file(TWIN, 0), found.samples_file(TWIN, 0, "learned")
    training = job_of(found, "train", (TWIN, "0"), {"data": found.data_file(TWIN)}, {"net": net, "curve": curve})
    assert jobs_module.take_over(training)
    assert Path(net).read_bytes() == Path(store.net_file(FIRST, 0)).read_bytes()
    assert Path(curve).read_bytes() == Path(store.curve_file(FIRST, 0)).read_bytes()
    assert (training.seeds, training.cost) == ({"training": 0}, {})
    drawing = job_of(found, "sample", (TWIN, "learned"), {"net": net}, {"samples": samples})
    assert jobs_module.take_over(drawing)
    assert found.sample_spec(TWIN, "learned").steps == [100]
    assert len(store.sample_spec(FIRST, "learned").steps) > 1
    tensors, meta = load_tensors(samples, "samples")
    assert set(tensors) == {"samples/100", "levels/100"}
    assert set(meta["counts"]) == {"100"}
    assert drawing.columns == drawing.cost == {"100": "of 100"}
    other = job_of(found, "train", (FIRST, "0"), {"data": found.data_file(FIRST)}, {"net": store.net_file(FIRST, 0), "curve": curve})
    assert not jobs_module.take_over(other)  # the changed one is trained


def test_what_was_found_before_is_forgotten(store, edited, monkeypatch):
    """A result that is deleted to be made anew is computed."""
    found = parted(edited, monkeypatch)
    assert hand_over(found)
    for path in (store.provenance_file("train", FIRST, 0), store.provenance_file("sample", FIRST, 0, "learned")):
        Path(path).unlink()
    assert hand_over(found) == []
    training = job_of(found, "train", (TWIN, "0"), {"data": found.data_file(TWIN)}, {"net": found.net_file(TWIN, 0)})
    assert not jobs_module.take_over(training)


@pytest.mark.parametrize("what", ["spec", "code", "input", "output", "half"])
def test_a_result_that_is_not_equal_is_not_taken(store, edited, monkeypatch, what):
    found = parted(edited, monkeypatch)
    path = store.provenance_file("train", FIRST, 0)
    if what == "spec":
        record = read_json(path)
        write_json(path, record | {"spec": record["spec"] | {"seed": 1}})
    elif what == "code":
        write_json(path, read_json(path) | {"code": "of another day"})
    elif what == "half":  # its own file, whatever made it
        Path(found.net_file(TWIN, 0)).parent.mkdir(parents=True)
        Path(found.net_file(TWIN, 0)).write_text("bytes of its own")
    else:
        Path(store.data_file(FIRST) if what == "input" else store.net_file(FIRST, 0)).write_text("other bytes")
    assert hand_over(found) == []


def read_run(name):
    """A run of the paper written out, so that it does not change with the one that it equals."""
    return json.loads(canonical(params_files.read_files(ROOT / "params.yaml", "laptop").entries("runs")[f"improved_ddpm/{name}"]))
