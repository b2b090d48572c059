"""What counts as a change of code, tried on a small package of its own."""

import pytest

from difftables import fingerprint

FILES = {
    "__init__.py": "",
    "cli/__init__.py": "",
    "cli/go.py": """from difftables.rules import RULES
from difftables import tools


def run(job):
    return RULES[job.rule](tools.used(1))
""",
    "rules.py": 'def one(x):\n    """Doc."""\n    return x + 1\n\n\ndef two(x):\n    return x + 2\n\n\nRULES = {"one": one, "two": two}\n',
    "tools.py": "LIMIT = 3\n\n\ndef used(x):\n    return min(x, LIMIT)\n\n\ndef unused(x):\n    return x\n",
}


@pytest.fixture
def package(tmp_path, monkeypatch):
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "requirements.lock").write_text("torch==1\n")
    monkeypatch.setattr(fingerprint, "SOURCE", tmp_path)
    monkeypatch.chdir(tmp_path)

    def code(spec=None, **edits):
        for name, (old, new) in edits.items():
            path = tmp_path / (name.replace("__", "/") + ".py")
            text = path.read_text()
            assert old in text
            path.write_text(text.replace(old, new))
        fingerprint._module.cache_clear()
        return fingerprint.code("go", spec or {"rule": "one"})

    yield code
    fingerprint._module.cache_clear()


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("rules", '    """Doc."""\n', '    """Another."""\n    # a comment\n\n'),
        ("tools", "    return x\n", "    return 2 * x\n"),
        ("rules", "x + 2", "x + 3"),
        ("rules", '{"one": one, "two": two}', '{"one": one, "two": two, "three": two}'),
    ],
    ids=["comments and docstrings", "an unused function", "a variant nobody selected", "a new variant"],
)
def test_what_does_not_count(package, name, old, new):
    assert package() == package(**{name: (old, new)})


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("rules", "x + 1", "x + 9"),
        ("tools", "LIMIT = 3", "LIMIT = 4"),
        ("cli__go", "used(1)", "used(2)"),
        ("tools", "LIMIT = 3\n", "LIMIT = 3\nprint(LIMIT)\n"),
    ],
    ids=["the selected variant", "a constant two modules away", "the command itself", "a statement that runs on import"],
)
def test_what_counts(package, name, old, new):
    assert package() != package(**{name: (old, new)})


def test_the_spec_selects_the_variant(package):
    assert package({"rule": "one"}) != package({"rule": "two"})
    before = package({"rule": "two"})
    assert before != package({"rule": "two"}, rules=("x + 2", "x + 3"))


def test_the_lock_file_counts(package, tmp_path):
    before = package()
    (tmp_path / "requirements.lock").write_text("torch==2\n")
    assert before != package()


def test_an_imported_module_used_as_a_whole_counts_as_a_whole(package):
    before = package(cli__go=("tools.used(1)", "getattr(tools, job.name)(1)"))
    assert before != package(tools=("    return x\n", "    return 2 * x\n"))


def test_a_job_that_ran_while_the_code_changed_does_not_finish(tmp_path):
    from difftables.cli import job as jobs

    job = jobs.parse("data", ["--out", f"data={tmp_path / 'x'}", "--code", "0123456789abcdef"])
    with pytest.raises(ValueError, match="edited while this job ran"):
        jobs.finish(job)


def test_job_fingerprints_differ_by_name_and_value():
    assert fingerprint.job({"a": 1, "b": 2}) != fingerprint.job({"a": 2, "b": 1})
