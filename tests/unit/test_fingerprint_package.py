"""The fingerprints of the jobs of scale smoke follow the code that these jobs reach, statement by statement.

What a job reaches is worked out here a second time, in another way: one graph of names to names, without numbers or parts.
"""

import ast
import re
import time
from collections import Counter
from functools import cache

import pytest

from difftables import fingerprint, plan
from difftables.syntax import PURE, parsed

SOURCES = {
    ".".join(("difftables", *path.relative_to(fingerprint.SOURCE).with_suffix("").parts)).removesuffix(".__init__"): path.read_text()
    for path in sorted(fingerprint.SOURCE.rglob("*.py"))
}
LEFT_OUT = ("difftables.fingerprint", "difftables.syntax")
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def jobs_of(scale):
    """A job of each kind, net, data set and row of a scale, as verb and spec."""
    found = plan.read(scale)
    for name in found.params.data:
        yield "data", (name,)
    for run in found.runs_trained():
        yield "train", (run, "0")
        if found.params.runs[run].estimator:
            yield "train_estimator", (run, "0")
    for run, seed, sampler in found.rows_used():
        yield "sample", (run, sampler)
        yield "measure", (run, str(seed), sampler)
        if found.params.samplers[sampler].schedule in ("searched", "frozen"):
            yield "search", (run, sampler)
    for run in {row["run"] for row in found.all_rows() if row["run"]}:
        for verb in ("likelihood", "gradients", "variance") if found.medium(run) == "images" else ():
            yield verb, (run, "0")
    for paper, tables in found.params.tables.items():
        for table in tables:
            yield "table", (paper, table)
    yield "report", ()


@pytest.fixture(scope="module")
def jobs():
    found = plan.read("smoke")
    asked = list(dict.fromkeys(jobs_of("smoke")))
    return {"/".join((verb, *of)): (verb, found.spec(verb, *of)) for verb, of in asked}


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


# -- what a job reaches, worked out a second time ---------------------------------------------------------------------


class Mentions(ast.NodeVisitor):
    """Names, attributes of names, texts and imports of a statement, but for what never counts."""

    def __init__(self):
        self.names, self.texts, self.read, self.imports, self.hidden = set(), set(), set(), [], set()

    def visit(self, node):
        self.read |= {getattr(node, key) for key in ("id", "attr", "arg") if isinstance(getattr(node, key, None), str)}
        super().visit(node)

    def visit_Name(self, node):
        if node.id not in self.hidden:
            self.names.add((node.id, ""))

    def visit_Attribute(self, node):
        if isinstance(node.value, ast.Name) and node.value.id not in self.hidden:
            self.names.add((node.value.id, node.attr))
        else:
            self.visit(node.value)

    def visit_Constant(self, node):
        if isinstance(node.value, str):
            self.texts.add(node.value)
            self.read.add(node.value)

    def visit_Compare(self, node):
        for side in (node.left, *node.comparators):
            parts = side.elts if isinstance(side, ast.Tuple | ast.List | ast.Set) else [side]
            for part in parts:
                if isinstance(part, ast.Constant):
                    self.read.add(part.value)
                else:
                    self.visit(part)

    def visit_Expr(self, node):
        printed = isinstance(node.value, ast.Call) and isinstance(node.value.func, ast.Name) and node.value.func.id == "print"
        if not isinstance(node.value, ast.Constant) and not printed:
            self.visit(node.value)

    def visit_Raise(self, node):
        self.visit(
            node.exc.func if isinstance(node.exc, ast.Call) and "SystemExit" not in ast.dump(node.exc.func) else node.exc or ast.Pass()
        )

    def visit_Assert(self, node):
        self.visit(node.test)

    def visit_If(self, node):
        if not (isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"):
            self.generic_visit(node)

    def visit_AnnAssign(self, node):
        self.visit(node.value or ast.Pass())

    def visit_arg(self, node):
        pass

    def visit_FunctionDef(self, node):
        for outside in (*node.decorator_list, *node.args.defaults, *filter(None, node.args.kw_defaults)):
            self.visit(outside)
        before, arguments = self.hidden, {n.arg for n in ast.walk(node.args) if isinstance(n, ast.arg)}
        self.read |= arguments
        self.hidden = before | arguments
        for statement in node.body:
            self.visit(statement)
        self.hidden = before

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node):
        self.read |= {n.arg for n in ast.walk(node.args) if isinstance(n, ast.arg)}
        self.generic_visit(node)

    def visit_ImportFrom(self, node):
        self.imports += [(alias.asname or alias.name, node.module, alias.name) for alias in node.names]

    def visit_Import(self, node):
        self.imports += [(alias.asname or alias.name, alias.name, "") for alias in node.names]


@cache
def mentions(node):
    found = Mentions()
    if isinstance(node, ast.ClassDef) and not node.decorator_list:  # its fields are asked for one by one
        for part in (*node.bases, *(each for each in node.body if not isinstance(each, ast.AnnAssign))):
            found.visit(part)
    elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Subscript) and ast.unparse(node.value.value) == "Annotated":
        found.names |= {(n.id, "") for n in ast.walk(node.value) if isinstance(n, ast.Name)}
    else:
        found.visit(node)
    return found


@cache
def fields(node):
    """Fields of a model: name to what its default mentions, and the names in its type."""
    found = {}
    for each in node.body if isinstance(node, ast.ClassDef) and not node.decorator_list else []:
        if isinstance(each, ast.AnnAssign):
            inside = Mentions()
            inside.visit(each)
            words = {n.value for n in ast.walk(each.annotation) if isinstance(n, ast.Constant)}
            names = {n.id for n in ast.walk(each.annotation) if isinstance(n, ast.Name)}
            found[each.target.id] = inside, {(name, "") for name in names | words}
    return found


@cache
def on_import(module):
    """Statements of a module that do more than bind a name."""
    found = []
    for node in ast.parse(SOURCES[module]).body:
        calls = {ast.unparse(n.func).split(".")[-1] for n in ast.walk(node) if isinstance(n, ast.Call)}
        if isinstance(node, ast.Assign | ast.AnnAssign):
            found += [node] if calls - set(PURE) and not options(node) else []
        elif not isinstance(node, (ast.Import, ast.ImportFrom, *DEFINITIONS)):
            found.append(node)
    return found


@cache
def top(module):
    """Definitions by name, and imports as local name to (module, name), of a module."""
    names, imports = {}, {}
    for node in ast.parse(SOURCES.get(module, "") if module not in LEFT_OUT else "").body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            imports |= {local: (source, name) for local, source, name in mentions(node).imports}
        elif isinstance(node, DEFINITIONS):
            names[node.name] = node
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                names |= {n.id: node for n in ast.walk(target) if isinstance(n, ast.Name)}
    return names, imports


def options(node):
    """Entries of a dict that count or not, by key, or None."""
    kind = ast.unparse(node.annotation).split("[")[0] if isinstance(node, ast.AnnAssign) else ""
    if kind not in ("Variants", "Verbs"):
        return None
    return {key.value: value for key, value in zip(node.value.keys, node.value.values, strict=True)}


def behind(module, name, attribute, imports):
    """The definitions that a name in a module may be."""
    if name in top(module)[0]:
        yield module, name
    for source, inner in (bound for known in (imports, top(module)[1]) for local, bound in known.items() if local == name):
        whole = f"{source}.{inner}".rstrip(".")
        if inner and whole not in SOURCES:
            yield from behind(source, inner, attribute, {})
        elif attribute:
            yield from behind(whole, attribute, "", {})
        else:
            yield from ((whole, each) for each in top(whole)[0])


def reached(verb, spec):
    """Definitions (module, name), entries (module, name, key) and modules that a job reaches."""
    texts, keys = fingerprint._texts(spec)
    read = set()
    while True:
        symbols, modules, spoken, known = set(), {"difftables.__main__", f"difftables.cli.{verb}"}, set(texts), set(read)
        todo = [("difftables.__main__", "main"), (f"difftables.cli.{verb}", "run")]
        ran = set()

        def follow(module, found, used=None, speaks=True):
            spoken.update(found.texts if speaks else ())  # noqa: B023
            known.update(found.read)  # noqa: B023
            for local, source, inner in found.imports:
                modules.update({source, f"{source}.{inner}"} & SOURCES.keys())  # noqa: B023
                todo.extend(behind_import(local, source, inner, found.names))  # noqa: B023
            for name, attribute in found.names | (used or set()):
                todo.extend(behind(module, name, attribute, {}))  # noqa: B023

        while todo or modules - ran:
            while todo:
                symbol = todo.pop()
                if symbol in symbols:
                    continue
                symbols.add(symbol)
                module, name = symbol[:2]
                modules.add(module)
                node = top(module)[0][name]
                entries = options(node)
                if len(symbol) == 3:
                    follow(module, mentions(entries[symbol[2]]))
                elif entries is not None:
                    for key in entries:
                        if key == verb if "Verbs" in ast.unparse(node.annotation) else key in texts:
                            todo.append((module, name, key))
                else:
                    follow(module, mentions(node))
                    for key, (default, used) in fields(node).items():
                        if key in read:
                            follow(module, default, used, key not in keys)
            modules |= {each.rsplit(".", 1)[0] for each in modules if "." in each}
            for module in modules - ran - set(LEFT_OUT):
                modules |= {m for source, inner in top(module)[1].values() for m in (source, f"{source}.{inner}")} & SOURCES.keys()
                for node in on_import(module):
                    follow(module, mentions(node))
                ran.add(module)
            ran |= modules & set(LEFT_OUT)
        if spoken == texts and known == read:
            return symbols, modules - set(LEFT_OUT)
        texts, read = spoken, known


def behind_import(local, source, inner, names):
    """The definitions behind a name that is imported inside a definition."""
    if source not in SOURCES:
        return []
    return [each for used, attribute in names if used == local for each in behind("", local, attribute, {local: (source, inner)})]


# -- edits ------------------------------------------------------------------------------------------------------------


def edited(module, *symbols):
    """A module's text with a change in each of some definitions, or of entries of dicts."""
    tree = ast.parse(SOURCES[module])
    names, _ = top(module)
    for symbol in symbols:
        place = next(i for i, node in enumerate(tree.body) if node.lineno == names[symbol[1]].lineno)
        node = tree.body[place]
        if isinstance(node, ast.ClassDef):
            node.body.append(ast.parse("def edited_(self): return 7").body[0])
        elif isinstance(node, DEFINITIONS):
            node.body.insert(0, ast.parse("edited_ = 7").body[0])
        elif len(symbol) == 3:
            at = next(i for i, key in enumerate(node.value.keys) if key.value == symbol[2])
            node.value.values[at] = ast.Tuple(elts=[node.value.values[at], ast.Constant(7)], ctx=ast.Load())
        elif node.value is not None:
            node.value = ast.Tuple(elts=[node.value, ast.Constant(7)], ctx=ast.Load())
    return ast.unparse(ast.fix_missing_locations(tree))


def everything():
    """All definitions and entries of the package, by module."""
    found = {}
    for module in SOURCES:
        names, _ = top(module)
        for name, node in names.items():
            inner = options(node)
            found.setdefault(module, []).extend([(module, name)] if inner is None else [(module, name, key) for key in inner])
    return found


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
    assert changed(codes, jobs, "difftables.tables", 'r"\\%"', 'r"\\percent"').keys() == {"table", "report"}


def test_a_new_rule_of_sampling_re_runs_nothing(codes, jobs):
    text = SOURCES["difftables.steps"]
    new = text.replace('"naive": naive', '"naive": naive, "fresh": fresh').replace(
        "def naive(", "def fresh(now, nxt):\n    return 1\n\n\ndef naive("
    )
    assert new.count("fresh") == 3
    assert codes() == codes({"difftables.steps": new})


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
        "difftables.config",
        "difftables.config_run",
        "difftables.config_data",
        "difftables.config_sampling",
        "difftables.job_specs",
    ):
        tree = ast.parse(SOURCES[module])
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                node.body.append(ast.parse('fresh_key: Annotated[str, Field(min_length=1)] | None = "fresh"').body[0])
                count += 1
        edits[module] = ast.unparse(tree)
    assert count > 30
    assert codes() == codes(edits)


def test_a_module_moves_to_another_package_without_a_run(codes):
    moved = {module: text.replace("difftables.rng", "difftables.common.rng") for module, text in SOURCES.items()}
    moved |= {"difftables.common": '"""What all share."""', "difftables.common.rng": moved.pop("difftables.rng"), "difftables.rng": None}
    assert codes() == codes(moved)


def test_a_large_scale_is_planned_in_seconds():
    found = plan.read("laptop")
    asked = [(verb, found.spec(verb, *of)) for verb, of in jobs_of("laptop")]
    fingerprint.forget()
    began = time.process_time()
    for verb, spec in asked:
        fingerprint.code(verb, spec)
    assert time.process_time() - began < 10  # four times what it takes
