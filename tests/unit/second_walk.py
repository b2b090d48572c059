"""What a job reaches, worked out a second time and in another way: one graph of names to names, without numbers or parts."""

import ast
from functools import cache

from difftables.provenance import fingerprint
from difftables.provenance.syntax import PURE

SOURCES = {
    ".".join(("difftables", *path.relative_to(fingerprint.SOURCE).with_suffix("").parts)).removesuffix(".__init__"): path.read_text()
    for path in sorted(fingerprint.SOURCE.rglob("*.py"))
}
LEFT_OUT = ("difftables.provenance.fingerprint", "difftables.provenance.syntax", "difftables.common.clock")
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


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
        symbols, modules, spoken, known = set(), {"difftables.__main__", f"difftables.jobs.{verb}"}, set(texts), set(read)
        todo = [("difftables.__main__", "main"), (f"difftables.jobs.{verb}", "run")]
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
