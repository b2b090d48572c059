"""A copy of the sources and of what a user writes, changed by a test; its jobs are planned by a process of its own."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
COPIED = [name for name in ("src", "workflow", "scales", "params.yaml") if (ROOT / name).exists()]
PLANNED = """
import json
from difftables.planning import plan
from job_files import every_job, job_names

found = plan.read("smoke")
codes = {key: found.code(key[0], *of) for key, (of, _) in every_job(found).items()}
print(json.dumps({"/".join(key): [file, codes[key]] for key, file in job_names(found).items()}))
"""


class Copy:
    """A copy of the repository.  Args: path: a folder that is not there yet."""

    def __init__(self, path):
        self.path = path
        for name in COPIED:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, path / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
            else:
                shutil.copy(ROOT / name, path / name)

    def add(self, module, names, key, value, text=""):
        """Add an entry to a dict of variants, and text before the dict.  Args: module: a path in src/difftables."""
        path = self.path / "src/difftables" / module
        old = path.read_text()
        new = re.sub(
            rf"^{names}\b[^\n]*= \{{", lambda found: f"{text}\n\n{found[0]}\n    {json.dumps(key)}: {value},", old, flags=re.MULTILINE
        )
        assert new != old, f"{module} has no {names}"
        path.write_text(new)

    def write(self, name, change):
        """Change a YAML file.  Args: change: takes its content."""
        content = yaml.safe_load((self.path / name).read_text())
        change(content)
        (self.path / name).write_text(yaml.safe_dump(content, sort_keys=False))

    def touched(self, folder):
        """Files of a folder that differ from the repository's."""
        files = [path.relative_to(self.path) for path in (self.path / folder).rglob("*") if path.is_file() and path.suffix != ".pyc"]
        return {str(path) for path in files if not (ROOT / path).exists() or (ROOT / path).read_bytes() != (self.path / path).read_bytes()}

    def run(self, code, *arguments):
        """What a Python program prints that runs with this copy's sources."""
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(self.path / "src"), str(Path(__file__).parent)])}
        command = [sys.executable, "-c", code, *map(str, arguments)]
        found = subprocess.run(command, cwd=self.path, env=environment, capture_output=True, text=True, timeout=120)
        assert found.returncode == 0, found.stderr
        return found.stdout

    def jobs(self):
        """All jobs of scale smoke, each with the name of its file, which holds its spec and inputs, and the fingerprint of its code."""
        return json.loads(self.run(PLANNED))
