"""What counts as a change of code, tried on a small package of its own."""

import pytest
from toy_package import FILES

from difftables.provenance import fingerprint, installed


@pytest.fixture
def package(monkeypatch):
    texts = dict(FILES)
    monkeypatch.setattr(fingerprint, "source", texts.get)
    monkeypatch.setattr(installed, "version", lambda name: "1.0")

    def code(spec=None, more=None, **edits):
        """The fingerprint after some edits, undone afterwards.  Args: edits: by the module's name, what is written in place of what."""
        texts.update(more or {})
        for name, (old, new) in edits.items():
            module = f"difftables.{name.replace('jobs_', 'jobs.').strip('.')}" if name != "package" else "difftables"
            assert old in texts[module], f"{module} has no {old!r}"
            texts[module] = texts[module].replace(old, new)
        fingerprint.forget()
        found = fingerprint.code("go", spec or {"rule": "one"})
        texts.clear()
        texts.update(FILES)
        return found

    yield code
    fingerprint.forget()


HARMLESS = {
    "a comment": ("jobs_go", "# comment", "# another"),
    "a docstring": ("jobs_go", '    """Doc."""', '    """Another."""'),
    "a docstring of a module": ("jobs_go", '"""Doc."""\nimport', '"""Other."""\nimport'),
    "layout": ("tools", "min(x, LIMIT,", "min(\n        x, LIMIT,"),
    "an annotation of a variable": ("jobs_go", "scale: int", "scale: float"),
    "no annotation of a variable": ("jobs_go", "scale: int", "scale"),
    "an annotation of a function": ("jobs_go", "def run(job):", "def run(job: str) -> float:"),
    "a message of raise": ("jobs_go", "told {scale}", "said {scale} {LOW}"),
    "a message of assert": ("jobs_go", '"told"', '"said"'),
    "what is printed": ("jobs_go", '"message"', '"text", HIGH'),
    "a log line": ("jobs_go", '    print("message", flush=True)\n', '    logger.info("x")\n'),
    "what only a message names": ("names", "return name", "return name + name"),
    "an unused function": ("tools", "    return OTHER", "    return 2 * OTHER"),
    "a constant of an unused function": ("tools", "OTHER = 4", "OTHER = 5"),
    "a command that people type": ("jobs_check", "nearest('')", "nearest('x')"),
    "another function of the entry point": ("__main__", 'nearest("x")', 'nearest("y")'),
    "a variant nobody selected": ("rules", "x + 2", "x + 9"),
    "a variant that something is compared with": ("rules", "x + 3", "x + 9"),
    "a new variant": ("rules", '"two": two', '"two": two, "four": lambda x: 4'),
    "a new function": ("rules", "def two", "def four(x):\n    return 4\n\n\ndef two"),
    "a default that no code reads": ("config", "1e-5", "1e-6"),
    "a new key with a default": ("config", "order: int = 1", 'order: int = 1\n    corrector: str = "three"'),
    "a constraint of a key": ("config", "order: int", "order: Annotated[int, Field(ge=1)]"),
    "a block of imports for types": ("tools", "LIMIT = 3", "if TYPE_CHECKING:\n    import numpy\nLIMIT = 3"),
    "an import of the standard library": ("tools", "import math", "import math\nimport json"),
    "the order of imports": (
        "jobs_go",
        "from difftables.rules import RULES\nfrom difftables.tools import used",
        "from difftables.tools import used\nfrom difftables.rules import RULES",
    ),
}
COUNTS = {
    "the selected variant": ("rules", "x + 1", "x + 9"),
    "which function a variant is": ("rules", '"one": one', '"one": two'),
    "a constant two modules away": ("tools", "LIMIT = 3", "LIMIT = 4"),
    "an entry of a dict of constants": ("tools", '"colour": "grey"', '"colour": "red"'),
    "the command itself": ("jobs_go", "area(1)", "area(2)"),
    "the type of an exception": ("jobs_go", "raise ValueError", "raise KeyError"),
    "what is written to a file": ("jobs_go", '"message", flush=True', '"message", file=job'),
    "what is asserted": ("jobs_go", "is None or", "is not None or"),
    "a statement that runs on import": ("tools", "LIMIT = 3", "LIMIT = 3\nsetup()"),
    "a branch that runs on import": ("tools", "LIMIT = 3", "LIMIT = 3\nif LIMIT:\n    LIMIT = 4"),
    "an attribute set on import": ("shapes", "def helper", "area.flag = True\n\n\ndef helper"),
    "a statement in a module of which one constant is used": ("variants", "Variants = dict", "Variants = dict\nsetup()"),
    "code in the package": ("package", "", "switch(True)"),
    "code in a package on the way": ("jobs", "", "switch(True)"),
    "a third-party import": ("jobs_go", "import torch as backend", "import jax as backend"),
    "a third-party import that binds another name of it": ("jobs_go", "import torch as backend", "from torch import compat as backend"),
    "an unused third-party import": ("tools", "import math", "import math\nimport numpy"),
    "an import of the standard library that is used": ("tools", "import math", "import cmath as math"),
    "the entry point": ("__main__", "if not arguments:", "if len(arguments) < 2:"),
    "parsing arguments": ("tasks", "rule=arguments[1]", "rule=arguments[2]"),
    "fields of a dataclass in another order": ("tasks", "verb: str\n    spec: Sampler = None", "spec: Sampler\n    verb: str = None"),
    "a decorator": ("tasks", "@dataclass", "@dataclass(frozen=True)"),
    "a decorator that registers": ("tools", "def unused", "@register\ndef unused"),
    "an environment variable": ("environment", "PASSIVE", "ACTIVE"),
    "a default that code reads": ("config", "order: int = 1", "order: int = 2"),
    "a default that makes something": ("config", "default_factory=list", "default_factory=set"),
    "a default of a nested model": ("config", "inner: int = 1", "inner: int = 2"),
    "what all models share": ("config", "    pass", '    model_config = {"strict": True}'),
    "a name bound to another function": ("jobs_go", "from difftables.tools import used", "from difftables.other import used"),
    "a module that stands for another, alike but for what it calls": (
        "jobs_go",
        "from difftables import shapes",
        "from difftables import other as shapes",
    ),
}


@pytest.mark.parametrize(("module", "old", "new"), HARMLESS.values(), ids=HARMLESS)
def test_what_does_not_count(package, module, old, new):
    assert package() == package(**{module: (old, new)})


@pytest.mark.parametrize(("module", "old", "new"), COUNTS.values(), ids=COUNTS)
def test_what_counts(package, module, old, new):
    assert package() != package(**{module: (old, new)})


def test_the_spec_selects_the_variant(package):
    two = {"rule": "two"}
    assert package() != package(two)
    assert package(two) != package(two, rules=("x + 2", "x + 9"))
    assert package(two) == package(two, rules=("x + 1", "x + 9"))


def test_a_dict_by_verb_counts_with_the_entry_of_the_verb(package):
    verbs = ("LIMIT = 3", 'SPECS: Verbs[int] = {"go": 1, "come": 2}\nLIMIT = SPECS["come"]')
    assert package(tools=verbs) == package(tools=(verbs[0], verbs[1].replace(": 2", ": 3")))
    assert package(tools=verbs) != package(tools=(verbs[0], verbs[1].replace(": 1", ": 3")))


def test_reached_code_selects_variants_too(package):
    named = ("tools", "LIMIT = 3", 'LIMIT = "three"')
    before = package(tools=named[1:])
    assert before != package(tools=named[1:], rules=("x + 3", "x + 9"))
    assert before == package(tools=named[1:], rules=("x + 2", "x + 9"))


def test_a_default_selects_a_variant_unless_the_spec_has_another(package):
    edit = {"config": ("rule: str\n", 'rule: str = "two"\n')}
    assert package({"x": "one"}, **edit) != package({"x": "one"}, **edit, rules=("x + 2", "x + 9"))
    assert package({"rule": "one"}, **edit) == package({"rule": "one"}, **edit, rules=("x + 2", "x + 9"))


def test_a_new_key_counts_once_code_reads_it(package):
    new = {"config": ("order: int = 1", "order: int = 1\n    fresh: int = 7")}
    read = new | {"jobs_go": ("job.spec.order > 1", "job.spec.fresh > 1")}
    other = {"config": ("order: int = 1", "order: int = 1\n    fresh: int = 8")}
    assert package(**read) != package(**(read | other))
    assert package(**new) == package(**other)


def test_a_module_may_move_to_another_package_and_get_another_name(package):
    moved = {"difftables.common": '"""Doc."""', "difftables.common.things": FILES["difftables.tools"]}
    assert package() == package(more=moved, jobs_go=("from difftables.tools import used", "from difftables.common.things import used"))
    alias = {"difftables.common": "", "difftables.common.forms": FILES["difftables.shapes"]}
    assert package() == package(more=alias, jobs_go=("from difftables import shapes", "from difftables.common import forms as shapes"))
    ran = moved | {"difftables.common": "switch(True)"}
    assert package() != package(more=ran, jobs_go=("from difftables.tools import used", "from difftables.common.things import used"))


def test_a_definition_may_move_to_another_module(package):
    more = {"difftables.more": "def helper(x):\n    return x\n"}
    assert package() == package(more=more, shapes=("def helper(x):\n    return x\n", "from difftables.more import helper\n"))


def test_an_imported_module_used_as_a_whole_counts_as_a_whole(package):
    whole = ("shapes.area(1)", "getattr(shapes, job.verb)(1)")
    more = ("def helper", "def last(x):\n    return {}\n\n\ndef helper")
    first, second = ((more[0], more[1].format(number)) for number in (1, 2))
    assert package(jobs_go=whole, shapes=first) != package(jobs_go=whole, shapes=second)
    assert package(shapes=first) == package(shapes=second)


@pytest.mark.parametrize("text", ["from difftables.rules import *", "from . import rules", "import difftables.rules"])
def test_imports_that_hide_what_they_bind_are_refused(package, text):
    with pytest.raises(ValueError, match="import"):
        package(jobs_go=("import torch as backend", text))


def test_versions_of_imported_packages_count_as_installed(package, monkeypatch):
    before = package()
    monkeypatch.setattr(installed, "version", lambda name: {"torch": "2.0"}.get(name, "1.0"))
    assert before != package()
    monkeypatch.setattr(installed, "version", lambda name: {"numpy": "2.0", "ruff": "9"}.get(name, "1.0"))
    assert before == package()


def test_packages_are_those_that_reached_code_imports(package):
    package()
    assert set(fingerprint.packages("go", {"rule": "one"})) == {"torch", "pydantic"}


def test_the_lock_file_does_not_count(package, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = package()
    (tmp_path / "requirements.lock").write_text("ruff==9\n")
    assert before == package()


def test_job_fingerprints_differ_by_name_and_value():
    assert fingerprint.job({"a": 1, "b": 2}) != fingerprint.job({"a": 2, "b": 1})
