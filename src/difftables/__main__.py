"""`python -m difftables VERB ...`: what the rules call, and `check`, `costs`, `explain`, `verify` and `where` for people."""

import importlib
import os
import sys
from pathlib import Path

from difftables import driver, environment, parallel

VERBS = sorted(p.stem for p in Path(__file__).parent.joinpath("cli").glob("*.py") if p.stem not in ("__init__", "job", "judges"))
SHARED = ("train", "train_estimator", "sample")  # verbs whose work several processes can split


def main(arguments: list[str] | None = None) -> int:
    """Run one verb; mistakes a user can mend end in one line."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] in ("-h", "--help"):
        print(f"usage: difftables VERB ...\nverbs: {', '.join(VERBS)}")
        return 0
    verb, *rest = arguments
    if verb not in VERBS:
        from difftables.names import nearest

        print(f"difftables: there is no verb {verb!r}{nearest(verb, VERBS)}", file=sys.stderr)
        return 2
    world = parallel.here()
    if world.size > 1 and verb not in SHARED:
        world.say(f"difftables {verb}: runs in one process, not in {world.size}; only {', '.join(SHARED)} can be split")
        return 2
    environment.apply()  # before torch is imported
    module = importlib.import_module(f"difftables.cli.{verb}")
    if hasattr(module, "command"):
        return module.command(rest)
    from difftables.cli import job as jobs

    driver.follow()
    job = jobs.parse(verb, rest)
    os.environ.setdefault("OMP_NUM_THREADS", str(job.threads))
    try:
        module.run(job)
        jobs.finish(job)
    except (ValueError, OSError, FloatingPointError) as error:
        return jobs.fail(verb, error)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
