"""Specs of jobs: what is planned is what is read, no default is written, and a new key with a default changes no job."""

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from job_files import every_job, job_names
from pydantic import BaseModel, ValidationError

from difftables.config import data as config_data
from difftables.config import nets as config_nets
from difftables.config import params_file, sampling, solvers
from difftables.config import run as config_run
from difftables.config.job_specs import SPECS, SampleSpec
from difftables.config.nets import Net
from difftables.planning import plan

ROOT = Path(__file__).parents[2]
SCALES = ("smoke", "laptop", "study", "paper", "released")
NEW = "brand_new"  # a key that no model has
GROWN = {  # by module
    params_file: ["ImageEvaluation", "Table"], config_data: ["Images", "Speech", "Features"],
    config_nets: ["Net"], config_run: ["Schedule", "Training", "Adjustment", "Oracle", "EstimatorConfig", "Backbone"],
    sampling: ["Sampling", "Sampler", "Search"], solvers: ["Churn", "Walk", "Heun"],
}  # fmt: skip


@pytest.fixture(scope="module")
def plans():
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        return {scale: plan.read(scale) for scale in SCALES}


@pytest.mark.parametrize("scale", SCALES)
def test_what_is_planned_is_what_is_read(plans, scale):
    """Model to JSON to model, for each spec of the scale; all verbs of the smoke scale are among them."""
    found = {(verb, of) for (verb, *_), (of, _) in every_job(plans[scale]).items()}
    for verb, of in found:
        text = json.dumps(plans[scale].written_spec(verb, *of))
        assert SPECS[verb].model_validate_json(text) == plans[scale].spec(verb, *of), (verb, of)
    assert len(found) > 50
    made = "checkpoint" if scale == "released" else "train"
    assert {verb for verb, _ in found} >= {"data", "reference", made, "sample", "search", "measure", "table", "report"}


def test_some_scale_has_a_job_of_every_verb(plans):
    assert {verb for scale in SCALES for verb, *_ in every_job(plans[scale])} == set(SPECS)


def defaults(model, written, where=()):
    """Places where what is written of a model equals a default."""
    found = []
    for name, value in written.items():
        known = type(model).model_fields.get(name)
        own = getattr(model, name)
        if known is not None and not known.is_required() and known.get_default(call_default_factory=True) == own:
            found.append((*where, name))
        found += inner(own, value, (*where, name))
    return found


def inner(own, written, where):
    if isinstance(own, BaseModel):
        return defaults(own, written, where)
    if isinstance(own, dict):
        return [place for key in own for place in inner(own[key], written[key], (*where, key))]
    if isinstance(own, list | tuple):
        return [place for i, (each, value) in enumerate(zip(own, written, strict=True)) for place in inner(each, value, (*where, i))]
    return []


@pytest.mark.parametrize("scale", SCALES)
def test_no_default_is_written(plans, scale):
    for (verb, *_), (of, _) in every_job(plans[scale]).items():
        assert not defaults(plans[scale].spec(verb, *of), plans[scale].written_spec(verb, *of)), (verb, of)


def test_the_places_of_defaults_are_found(plans):
    spec = plans["smoke"].spec("train", "noise_estimation/digits", "0")
    assert ("run", "train", "precision") in defaults(spec, spec.model_dump(mode="json"))


def test_a_job_file_is_named_by_what_it_holds(plans, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    smoke, of = plans["smoke"], ("digits",)
    path = Path(smoke.job_file("data", of, {}, {"data": ["x"]}, True))
    assert json.loads(path.read_text()) == {"spec": smoke.written_spec("data", *of), "inputs": {}, "outputs": {"data": ["x"]}}
    others = {
        smoke.job_file("data", of, {"sentences": ["y"]}, {"data": ["x"]}, False),
        smoke.job_file("data", of, {}, {"data": ["z"]}, False),
    }
    assert len({str(path), *others, smoke.job_file("data", ("voice",), {}, {"data": ["x"]}, False)}) == 4
    assert [str(each) for each in Path(".cache/jobs").iterdir()] == [str(path)]


@pytest.mark.parametrize(("change", "place"), [({"tepps": [1]}, "tepps"), ({"n": "3"}, "n"), ({"n": 0}, "n"), ({"batch": 1.5}, "batch")])
def test_a_spec_with_a_wrong_key_or_value_is_refused(plans, change, place):
    written = plans["smoke"].written_spec("sample", "noise_estimation/digits", "noise_estimation/ddim-fitted")
    with pytest.raises(ValidationError) as error:
        SampleSpec.model_validate_json(json.dumps(written | change))
    assert [each["loc"] for each in error.value.errors()] == [(place,)]


def test_further_arguments_of_nets_are_kept(plans):
    """They belong to the net's class, not to its model."""
    net = plans["smoke"].spec("train", "noise_estimation/digits", "0").run.net
    assert isinstance(net, Net)
    assert net.model_extra
    assert plans["smoke"].written_spec("train", "noise_estimation/digits", "0")["run"]["net"].keys() == {"kind", *net.model_extra}


PLANNED = """
import importlib, json, sys
from difftables.planning import plan
from job_files import job_names

new, modules, *scales = sys.argv[1:]
grown = {
    module: [name for name in names if new in getattr(importlib.import_module(module), name).model_fields]
    for module, names in json.loads(modules).items()
}
print(json.dumps([grown, {scale: [[*key, name] for key, name in job_names(plan.read(scale)).items()] for scale in scales}]))
"""


def grow(source, names):
    """A module's text with one more optional key in some of its classes."""
    lines = source.splitlines()
    classes = {node.name: node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)}
    for node in sorted((classes[name] for name in names), key=lambda node: -node.lineno):
        first = next(each for each in node.body if isinstance(each, ast.AnnAssign))
        lines.insert(first.lineno - 1, f"    {NEW}: int | None = None")
    return "\n".join(lines) + "\n"


def test_a_new_key_with_a_default_changes_no_job(plans, tmp_path):
    """Of models that specs embed, or that they are made from, in a copy of the sources: all jobs of two scales keep their files' names."""
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for module, names in GROWN.items():
        path = tmp_path / "src" / Path(module.__file__).relative_to(ROOT / "src")
        path.write_text(grow(path.read_text(), names))
    modules, scales = {module.__name__: names for module, names in GROWN.items()}, ("laptop", "paper")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path / "src"), str(Path(__file__).parent)])}
    command = [sys.executable, "-c", PLANNED, NEW, json.dumps(modules), *scales]
    found = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert found.returncode == 0, found.stderr
    grown, names = json.loads(found.stdout)
    assert grown == modules
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        wanted = {scale: job_names(plans[scale]) for scale in scales}
    assert {scale: {tuple(key): name for *key, name in each} for scale, each in names.items()} == wanted
