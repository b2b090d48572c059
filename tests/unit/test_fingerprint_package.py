"""The fingerprints of the jobs of scale smoke follow the code that these jobs reach, statement by statement.

What a job reaches is worked out here a second time, in another way: one graph of names to names, without numbers or parts.
"""

import ast
from collections import Counter
from functools import cache

import pytest

from difftables import fingerprint, plan
from difftables.syntax import parsed

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
        self.names, self.texts, self.imports, self.hidden = set(), set(), [], set()

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

    def visit_Compare(self, node):
        for side in (node.left, *node.comparators):
            parts = side.elts if isinstance(side, ast.Tuple | ast.List | ast.Set) else [side]
            for part in parts:
                if not isinstance(part, ast.Constant):
                    self.visit(part)

    def visit_Expr(self, node):
        printed = isinstance(node.value, ast.Call) and isinstance(node.value.func, ast.Name) and node.value.func.id == "print"
        if not isinstance(node.value, ast.Constant) and not printed:
            self.visit(node.value)

    def visit_Raise(self, node):
        self.visit(node.exc.func if isinstance(node.exc, ast.Call) and "SystemExit" not in ast.dump(node.exc.func) else node.exc or ast.Pass())

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
        before = self.hidden
        self.hidden = before | {n.arg for n in ast.walk(node.args) if isinstance(n, ast.arg)}
        for statement in node.body:
            self.visit(statement)
        self.hidden = before

    def visit_ImportFrom(self, node):
        self.imports += [(alias.asname or alias.name, node.module, alias.name) for alias in node.names]

    def visit_Import(self, node):
        self.imports += [(alias.asname or alias.name, alias.name, "") for alias in node.names]


@cache
def mentions(node):
    found = Mentions()
    if isinstance(node, ast.ClassDef) and not node.decorator_list:  # types of fields lead to other models
        for statement in node.body:
            if isinstance(statement, ast.AnnAssign):
                found.names |= {(n.id, "") for n in ast.walk(statement.annotation) if isinstance(n, ast.Name)}
    if isinstance(node, ast.Assign) and isinstance(node.value, ast.Subscript) and ast.unparse(node.value.value) == "Annotated":
        found.names |= {(n.id, "") for n in ast.walk(node.value) if isinstance(n, ast.Name)}
    else:
        found.visit(node)
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
    return {key.value: value for key, value in zip(node.value.keys, node.value.values, strict=True)} if kind in ("Variants", "Verbs") else None


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
    """Definitions (module, name), entries (module, name, key) and imported modules that a job reaches."""
    texts, _ = fingerprint._texts(spec)
    while True:
        symbols, spoken, modules = set(), set(texts), set()
        todo = [("difftables.__main__", "main"), (f"difftables.cli.{verb}", "run")]
        while todo:
            symbol = todo.pop()
            if symbol in symbols:
                continue
            symbols.add(symbol)
            module, name = symbol[:2]
            node, entries = top(module)[0][name], options(top(module)[0][name])
            modules.add(module)
            for key in entries or {}:
                if key == verb if "Verbs" in ast.unparse(node.annotation) else key in texts:
                    todo.append((module, name, key))
            if entries is not None and len(symbol) == 2:
                continue
            found = mentions(entries[symbol[2]] if len(symbol) == 3 else node)
            spoken |= found.texts
            imports = {}
            for local, source, inner in found.imports:
                modules |= {source, f"{source}.{inner}"} & SOURCES.keys()
                if inner or local != source:
                    todo += behind_import(module, local, source, inner, found.names)
            for used, attribute in found.names:
                todo += behind(module, used, attribute, imports)
        if spoken == texts:
            break
        texts = spoken
    while True:
        more = {m for each in modules for source, inner in top(each)[1].values() for m in (source, f"{source}.{inner}")} & SOURCES.keys()
        more |= {each.rsplit(".", 1)[0] for each in modules if "." in each}
        if more <= modules:
            return symbols, modules - set(LEFT_OUT)
        modules |= more


def behind_import(module, local, source, inner, names):
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
def reach(jobs):
    return {name: reached(*job) for name, job in jobs.items()}


def test_a_change_in_what_a_job_reaches_changes_its_fingerprint(codes, jobs, reach):
    """Each definition and each entry of a dict of variants, for one of the jobs that reach it."""
    before = codes()
    known = everything()
    missed = []
    for module, symbols in known.items():
        for symbol in symbols:
            names = sorted(name for name, (found, _) in reach.items() if symbol in found)
            if names:
                name = names[len(str(symbol)) % len(names)]
                if codes({module: edited(module, symbol)}, [name])[name] == before[name]:
                    missed.append((name, symbol))
    assert not missed


def test_a_change_in_all_that_a_job_does_not_reach_leaves_its_fingerprint(codes, reach):
    before = codes()
    wrong = []
    for name in sorted({name.split("/")[0]: name for name in before}.values()):
        rest = {module: [s for s in symbols if s not in reach[name][0]] for module, symbols in everything().items()}
        edits = {module: edited(module, *symbols) for module, symbols in rest.items() if symbols}
        if codes(edits, [name])[name] != before[name]:
            wrong.append(name)
    assert not wrong
