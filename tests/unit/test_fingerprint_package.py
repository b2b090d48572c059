"""The fingerprints of the jobs of scale smoke follow the code that these jobs reach, statement by statement.

What a job reaches is worked out a second time, by `second_walk`.
"""

import ast
import json
import re
from collections import Counter

import pytest
from job_files import every_job
from second_walk import DEFINITIONS, LEFT_OUT, SOURCES, edited, everything, on_import, reached, top

from difftables.config.job_specs import complete
from difftables.planning import plan
from difftables.provenance import fingerprint
from difftables.provenance.syntax import parsed


@pytest.fixture(scope="module")
def jobs():
    found = plan.read("smoke")
    return {"/".join(name): (name[0], found.spec(name[0], *of)) for name, (of, _) in every_job(found).items()}


@pytest.fixture
def codes(jobs, monkeypatch):
    def codes(edits=None, among=None):
        texts = SOURCES | (edits or {})
        monkeypatch.setattr(fingerprint, "source", texts.get)
        fingerprint.forget()
        return {name: fingerprint.code(*jobs[name]) for name in among or jobs}

    yield codes
    monkeypatch.undo()
    fingerprint.forget()


@pytest.fixture(scope="module")
def distinct(jobs):
    """One job of each walk."""
    return {id(fingerprint.walk(*job)): name for name, job in jobs.items()}.values()


FEW = ("data/digits", "train/", "sample/", "table/")


def test_every_job_reaches_what_names_lead_to(jobs, distinct):
    for name in distinct:
        walk = fingerprint.walk(*jobs[name])
        symbols, modules = reached(*jobs[name])
        found = {symbol for symbol in walk.numbers if symbol[1] not in COMPREHENDED}
        assert found == {symbol[:2] for symbol in symbols}, name
        assert {module for module in walk.modules if module in SOURCES} - set(LEFT_OUT) == modules, name


COMPREHENDED = ("p",)  # variables of comprehensions at the top of a module


def test_each_statement_of_each_definition_counts():
    """A further statement before each one is in the text of its definition."""
    count = 0
    for module in set(SOURCES) - set(LEFT_OUT):
        for node in (each for each in ast.parse(SOURCES[module]).body if isinstance(each, DEFINITIONS)):
            for body in [getattr(n, name, None) for n in ast.walk(node) for name in ("body", "orelse", "finalbody")]:
                for i in range(len(body) if isinstance(body, list) else 0):
                    count += 1
                    body.insert(2 * i, ast.parse(f"edited_{count}_ = 7").body[0])
                    body[2 * i].number = count
            wanted = {n.number for n in ast.walk(node) if hasattr(n, "number")}
            texts = " ".join(part.text for parts in parsed(ast.unparse(node)).parts.values() for part in parts)
            assert {int(number) for number in re.findall(r"edited_(\d+)_", texts)} == wanted, f"{module}: {node.name}"
    assert count > 1000


def test_a_change_re_runs_exactly_the_jobs_that_reach_it(codes, jobs):
    """One definition or entry of each module, end to end, for a job of some kinds."""
    few = [next(name for name in jobs if name.startswith(kind)) for kind in FEW]
    before, reach = codes(among=few), {name: reached(*jobs[name]) for name in few}
    for i, (module, symbols) in enumerate(everything().items()):
        symbol = symbols[i % len(symbols)]
        after = codes({module: edited(module, symbol)}, few)
        if module not in LEFT_OUT and symbol[1] not in COMPREHENDED:
            ran = ast.unparse(top(module)[0][symbol[1]]) in map(ast.unparse, on_import(module))
            expected = {n for n in few if symbol in reach[n][0] or (ran and module in reach[n][1])}
            assert {n for n in few if after[n] != before[n]} == expected, symbol


def changed(codes, jobs, module, old, new):
    """How many jobs of each verb an edit re-runs."""
    assert old in SOURCES[module]
    before, after = codes(), codes({module: SOURCES[module].replace(old, new, 1)})
    return Counter(jobs[name][0] for name in jobs if before[name] != after[name])


def test_the_vocoder_re_runs_jobs_of_speech(codes, jobs):
    module = "difftables.nets.wavegrad"
    before, after = codes(), codes({module: edited(module, (module, "WaveGrad"))})
    edits = {name for name in jobs if before[name] != after[name]}
    assert {"train", "sample"} <= {jobs[name][0] for name in edits}
    assert all(jobs[name][1].run.data.medium == "speech" for name in edits)


def test_an_escape_of_latex_re_runs_tables_and_pages_alone(codes, jobs):
    assert changed(codes, jobs, "difftables.report.latex", 'r"\\%"', 'r"\\percent"').keys() == {"table", "report"}


def test_a_new_rule_of_sampling_re_runs_nothing(codes, jobs):
    text = SOURCES["difftables.sampling.rules"]
    new = text.replace('"naive": naive', '"naive": naive, "fresh": fresh').replace(
        "def naive(", "def fresh(now, nxt):\n    return 1\n\n\ndef naive("
    )
    assert new.count("fresh") == 3
    assert codes() == codes({"difftables.sampling.rules": new})


def test_a_new_metric_re_runs_the_measurements_of_its_medium_and_what_prints_them(codes, jobs):
    """A function and an entry; no search and no study measures by it."""
    module, functions = "difftables.metrics.catalogue", "difftables.metrics.image_metrics"
    entry = 'IMAGE_METRICS = {\n    "shift": Metric("shift", better="lower", function=image_metrics.shift),'
    edits = {
        module: SOURCES[module].replace("IMAGE_METRICS = {", entry, 1),
        functions: SOURCES[functions] + "\n\ndef shift(samples):\n    return [Measurement(samples.features.mean().item())]\n",
    }
    assert all(edits[name] != SOURCES[name] for name in edits)
    before, after = codes(), codes(edits)
    changed = {name for name in jobs if before[name] != after[name]}
    assert {jobs[name][0] for name in changed} == {"measure", "table", "report"}
    assert {name for name in changed if jobs[name][0] == "measure"} == {
        name for name in jobs if jobs[name][0] == "measure" and jobs[name][1].medium == "images"
    }


def test_code_in_a_package_and_in_a_module_re_runs_all_that_import_it(codes, jobs):
    before = codes()
    after = codes({"difftables": SOURCES["difftables"] + "\nimport torch\ntorch.use_deterministic_algorithms(True)\n"})
    assert all(before[name] != after[name] for name in jobs)
    after = codes({"difftables.nets": SOURCES["difftables.nets"] + "\nswitch(True)\n"})
    assert {jobs[name][0] for name in jobs if before[name] == after[name]} >= {"data", "table", "report"}
    assert all(before[name] != after[name] for name in jobs if jobs[name][0] == "train")


class Reworded(ast.NodeTransformer):
    """Other docstrings, annotations, messages and prints; no comments."""

    def visit_Raise(self, node):
        if isinstance(node.exc, ast.Call) and ast.unparse(node.exc.func) != "SystemExit":
            node.exc.args = [ast.Constant("reworded")]
        return node

    def visit_Expr(self, node):
        if isinstance(node.value, ast.Constant):
            return ast.Expr(ast.Constant("reworded"))
        if isinstance(node.value, ast.Call) and ast.unparse(node.value.func) == "print":
            node.value.args = [ast.Constant("reworded")]
        return node

    def visit_FunctionDef(self, node):
        node.returns = ast.Constant("reworded")
        for argument in node.args.args:
            argument.annotation = ast.Constant("reworded")
        return self.generic_visit(node)


def test_other_words_re_run_nothing(codes):
    reworded = {module: ast.unparse(Reworded().visit(ast.parse(text))) for module, text in SOURCES.items()}
    assert sum(text.count("reworded") for text in reworded.values()) > 1000
    assert codes() == codes(reworded)


def test_a_new_key_with_a_default_re_runs_nothing(codes):
    edits, count = {}, 0
    for module in (
        "difftables.config.params_file",
        "difftables.config.run",
        "difftables.config.data",
        "difftables.config.sampling",
        "difftables.config.solvers",
        "difftables.config.job_specs",
        "difftables.config.run_spec",
    ):
        tree = ast.parse(SOURCES[module])
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.decorator_list:  # models
                node.body.append(ast.parse('fresh_key: Annotated[str, Field(min_length=1)] | None = "fresh"').body[0])
                count += 1
        edits[module] = ast.unparse(tree)
    assert count > 30
    assert codes() == codes(edits)


def test_a_module_moves_to_another_package_without_a_run(codes):
    moved = {module: text.replace("difftables.common.seeds", "difftables.shared.random") for module, text in SOURCES.items()}
    moved |= {
        "difftables.shared": '"""What all share."""',
        "difftables.shared.random": moved.pop("difftables.common.seeds"),
        "difftables.common.seeds": None,
    }
    assert codes() == codes(moved)


def test_a_job_meets_the_walk_that_the_plan_noted(jobs, tmp_path, monkeypatch):
    """It reads its spec from a file whose keys are sorted."""
    some = {verb: (verb, spec) for verb, spec in jobs.values()}  # one job of each rule
    monkeypatch.setattr(fingerprint, "NOTES", tmp_path / "notes.json")
    fingerprint.forget()
    planned = {verb: fingerprint.code(verb, spec) for verb, spec in some.values()}
    fingerprint.note()
    fingerprint.forget()
    monkeypatch.setattr(fingerprint, "walk", None)
    for verb, spec in some.values():
        written = json.loads(json.dumps(spec.model_dump(mode="json", exclude_defaults=True), sort_keys=True))
        assert fingerprint.code(verb, complete(verb, written)) == planned[verb], verb
