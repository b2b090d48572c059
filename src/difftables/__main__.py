"""`python -m difftables VERB ...`: the jobs that rules start, and the commands that people type."""

import os
import sys

from difftables.warm.client import run_warm


def modules(package: str, without: str = "") -> list[str]:
    """Names of the modules in a package of this project, but for one."""
    names = os.listdir(os.path.join(os.path.dirname(__file__), package))
    return sorted(name[:-3] for name in names if name.endswith(".py") and name[0].isalpha() and name[:-3] != without)


COMMANDS = modules("commands")
JOBS = modules("jobs", without="job")
SHARED = ("train", "train_estimator", "sample")  # verbs whose work several processes can split


def main(arguments: list[str] | None = None) -> int:
    """Run one verb; an error that a user can fix is one line.  Returns: the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] in ("-h", "--help"):
        print(f"usage: difftables VERB ...\ncommands: {', '.join(COMMANDS)}\njobs, as rules start them: {', '.join(JOBS)}")
        return 0
    verb, *rest = arguments
    if verb not in (*COMMANDS, *JOBS):
        from difftables.common.errors import nearest

        print(f"difftables: there is no verb {verb!r}{nearest(verb, [*COMMANDS, *JOBS])}", file=sys.stderr)
        return 2
    status = run_warm(arguments) if verb in JOBS else None
    return status if status is not None else run_here(verb, rest)


def run_here(verb: str, rest: list[str]) -> int:
    """Run a verb in this process."""
    import importlib

    from difftables.common import clock, driver, environment, parallel

    world = parallel.launched_world()
    if world.size > 1 and verb not in SHARED:
        world.say(f"difftables {verb}: runs in one process, not in {world.size}; only {', '.join(SHARED)} can be split")
        return 2
    environment.apply()  # before torch is imported
    if verb in COMMANDS:
        return importlib.import_module(f"difftables.commands.{verb}").command(rest)
    clock.begin()
    module = importlib.import_module(f"difftables.jobs.{verb}")
    from difftables.jobs import job as jobs

    driver.follow()
    job = jobs.parse(verb, rest)
    os.environ.setdefault("OMP_NUM_THREADS", str(job.threads))
    try:
        with clock.Phase("rest"):
            if not jobs.take_over(job):
                module.run(job)
            jobs.finish(job)
    except (ValueError, OSError, FloatingPointError) as error:
        return jobs.fail(verb, error)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
