# What all rules share: the plan of the chosen scale, and where its files lie.
import os
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from difftables import plan as planning
from difftables.names import ConfigError, nearest

unknown = [key for key in config if key != "scale"]
if unknown:
    raise WorkflowError(f"--config {unknown[0]} is no known key{nearest(unknown[0], ['scale'])}; all else is in params.yaml")
try:
    plan = planning.read(config.get("scale"))
except ConfigError as error:
    raise WorkflowError(str(error))

cfg, code = plan.cfg, plan.code
ROOT, STORE, TABLES = plan.root, plan.store, plan.tables


def named(files):
    """Inputs of a rule as name=path arguments; a name may have several paths or none."""
    pairs = ((name, [paths] if isinstance(paths, str) else paths) for name, paths in files.items())
    return " ".join(f"{name}={path}" for name, paths in pairs for path in paths)


LOGS, BENCHMARKS = f"{ROOT}/logs", f"{STORE}/benchmarks"
ENVIRONMENT = "../envs/difftables.yaml"
limits = plan.params.resources
# Jobs run in the environment that snakemake itself runs in, activated or not.
os.environ.update(PATH=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# glibc gives large tensors back to the system at once and asks for them again: a fifth of the time of a small net.
for name in ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"):
    os.environ.setdefault(name, "1000000000")


wildcard_constraints:
    data="|".join(plan.params.data),
    run="|".join(plan.params.runs),
    sampler="|".join(plan.params.samplers),
    chosen="|".join(dict.fromkeys(map(plan.levels_name, plan.params.runs))),
    paper="|".join(plan.layouts),
    table="|".join(sorted({name for tables in plan.params.tables.values() for name in tables})),
    seed=r"\d+",
