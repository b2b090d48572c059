"""Copies of the repository, and commands run in them."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
# Nets of two media, a study, a bound, chosen levels and tables, in few jobs.
KILLED = ["results/smoke/tables/noise_estimation/F3.md", "results/smoke/tables/improved_ddpm/few-step-NLL.md"]
KILLED += ["results/smoke/store/schedules/levels/soft_diffusion/digits-blur-blur/levels.csv"]
KEPT = ["Snakefile", "dvc.yaml", "params.yaml", "scales", "workflow", "profiles", "src", "requirements.lock", "pyproject.toml"]


class Checkout:
    """A folder with the repository in it, and commands run there with its own source first on the path.

    All of them, so all jobs of the smoke run too, have credentials in their environment, which must end up nowhere.
    """

    secret = "s3cret/Key0that1nobody2may3read4in5a6log"

    def __init__(self, path):
        self.path = path

    def command(self, *words):
        """Arguments of `subprocess` that run a module of Python here."""
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        environment = os.environ | {"PYTHONPATH": str(self.path / "src"), "PATH": path}
        environment |= {"AWS_ACCESS_KEY_ID": "somebody", "AWS_SECRET_ACCESS_KEY": self.secret}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # as it is by default: each job starts sooner
        return {"args": [sys.executable, "-m", *map(str, words)], "cwd": self.path, "env": environment}

    def start(self, *words, log):
        """A command in a process group of its own, while other tests run."""
        return subprocess.Popen(**self.command(*words), stdout=log, stderr=subprocess.STDOUT, start_new_session=True)

    def run(self, *words, check=True, timeout=900):
        found = subprocess.run(**self.command(*words), capture_output=True, text=True, timeout=timeout)
        found.text = found.stdout + found.stderr
        assert not check or found.returncode == 0, found.text[-3000:]
        return found

    def snakemake(self, *arguments, check=True):
        return self.run("snakemake", *arguments, "--config", "scale=smoke", check=check)

    def jobs(self, *arguments):
        """Jobs that a dry run would start, by rule."""
        return self.counted(self.snakemake("-n", "--quiet", "rules", *arguments).text)

    @staticmethod
    def counted(text):
        """Jobs by rule, in the table that Snakemake prints before it starts."""
        lines = [line.split() for line in text.splitlines()]
        found = {line[0]: int(line[1]) for line in lines if len(line) == 2 and line[0].isidentifier() and line[1].isdigit()}
        return {rule: count for rule, count in found.items() if rule not in ("total", "all")}

    def edit(self, name, old, new):
        path = self.path / name
        text = path.read_text()
        assert text.count(old) >= 1, f"{old!r} is not in {name}"
        path.write_text(text.replace(old, new, 1))

    def change(self, name, changes):
        """Change places, "a/b/c", of a YAML file.  Args: changes: value by place; it may be a new place."""
        path = self.path / name
        content = yaml.safe_load(path.read_text())
        for place, value in changes.items():
            *outer, last = place.split("/")
            inner = content
            for key in outer:
                inner = inner[int(key) if isinstance(inner, list) else key]
            if isinstance(inner, list):
                inner.insert(int(last), value)
            else:
                inner[last] = value
        path.write_text(yaml.safe_dump(content, sort_keys=False))

    def rewrite(self, module, name):
        """Change the text of a function, or of all methods of a class, but not what they do.  Args: module: a path in src/difftables."""
        path = self.path / "src/difftables" / module
        tree = ast.parse(path.read_text())
        chosen = next(each for each in tree.body if isinstance(each, ast.FunctionDef | ast.ClassDef) and each.name == name)
        for node in ast.walk(chosen):
            if isinstance(node, ast.FunctionDef):
                node.body.insert(1, ast.parse("edited = 1").body[0])
        path.write_text(ast.unparse(tree))

    def copied(self, target):
        shutil.copytree(self.path, target, symlinks=True)
        return Checkout(target)


def is_whole(folder, name, least=100):
    """Assert that every file of a table is there and filled; its picture where the page shows one, and nowhere else."""
    for suffix in ("md", "tex", "csv", "json"):
        assert (folder / f"{name}.{suffix}").stat().st_size > least, (name, suffix)
    shown = f"![{name}]({name}.png)" in (folder / f"{name}.md").read_text()
    for suffix in ("png", "svg"):
        assert (folder / f"{name}.{suffix}").exists() == shown, (name, suffix)
    return shown


def copy(target):
    target.mkdir()
    for name in KEPT:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy(source, target / name)
    return Checkout(target)
