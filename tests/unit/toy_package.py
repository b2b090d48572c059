"""A small package of jobs, on which it is tried what counts as a change of code."""

FILES = {
    "difftables": "",
    "difftables.__main__": """import importlib
import sys

from difftables import environment, tasks
from difftables.names import nearest


def main(arguments):
    environment.apply()
    if not arguments:
        print(nearest(""))
        raise ValueError(nearest(arguments))
    module = importlib.import_module(f"difftables.jobs.{arguments[0]}")
    module.run(tasks.parse(arguments))


def command():
    return nearest("x")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv))
""",
    "difftables.environment": 'VARIABLES = {"THREADS": "PASSIVE"}\n\n\ndef apply():\n    return VARIABLES\n',
    "difftables.names": "def nearest(name):\n    return name\n",
    "difftables.tasks": """from dataclasses import dataclass

from difftables.config import Sampler


@dataclass
class Job:
    verb: str
    spec: Sampler = None


def parse(arguments):
    return Job(arguments[0], Sampler(rule=arguments[1]))
""",
    "difftables.config": """from pydantic import BaseModel, Field

from difftables.names import nearest


class Inner(BaseModel):
    inner: int = 1


class Frozen(BaseModel):
    pass


class Sampler(Frozen):
    rule: str
    noise: Inner | None = None
    order: int = 1
    tolerance: float = 1e-5
    late: list[int] = Field(default_factory=list)
""",
    "difftables.jobs": "",
    "difftables.jobs.go": '''"""Doc."""
import torch as backend
from difftables.rules import RULES
from difftables.tools import used
from difftables import shapes

LOW, HIGH = 1, 2


def run(job):
    """Doc."""
    # comment
    scale: int = LOW
    print("message", flush=True)
    if job.spec.order > 1 and job.spec.late:
        raise ValueError(f"told {scale}")
    assert job.spec.noise is None or job.spec.noise.inner, "told"
    return RULES[job.spec.rule](backend.tensor(used(shapes.area(1))))
''',
    "difftables.jobs.check": "from difftables.names import nearest\n\n\ndef command():\n    return nearest('')\n",
    "difftables.rules": """from difftables.variants import Variants


def one(x):
    return x + 1


def two(x):
    return x + 2


def three(x):
    return x + 3


RULES: Variants[object] = {"one": one, "two": two, "three": three}
""",
    "difftables.variants": "Variants = dict\n",
    "difftables.tools": """import math

LIMIT = 3
STYLE = {"width": 1, "colour": "grey"}
OTHER = 4


def used(x):
    return min(x, LIMIT, STYLE["width"]) if x != "three" else math.inf


def unused(x):
    return OTHER
""",
    "difftables.shapes": "def area(x):\n    return x * helper(x)\n\n\ndef helper(x):\n    return x\n",
    "difftables.other": "def area(x):\n    return x * helper(x)\n\n\ndef helper(x):\n    return x + 0\n\n\ndef used(x):\n    return -x\n",
}
