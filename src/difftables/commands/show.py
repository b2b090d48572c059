"""`difftables show NAME [--scale SCALE]`: what a run or a sampler really is, and where each of its values is written."""

import argparse


def command(arguments: list[str]) -> int:
    """Print all values of a run, or of a sampler, net or schedule, each with its file and key.

    Args: arguments: NAME or PAPER/NAME; --scale in place of the scale in params.yaml.
    """
    parser = argparse.ArgumentParser(prog="difftables show", description="print all values of a run and where each is written")
    parser.add_argument("name", metavar="NAME", help="a run, sampler, net or schedule; PAPER/NAME where several papers have it")
    parser.add_argument("--scale", help="in place of the scale in params.yaml")
    args = parser.parse_args(arguments)
    from difftables.common.errors import ConfigError
    from difftables.planning.params import load
    from difftables.planning.shared_jobs import SharedJobs
    from difftables.planning.shown import lines, lookup, shared

    try:
        params = load(scale=args.scale)
        print("\n".join(lines(params, args.name)))
        section, name = lookup(params, args.name)
        if section == "runs" and (more := shared(SharedJobs(params), name)):
            print("\n".join(["", *more]))
    except ConfigError as error:
        print(error)
        return 1
    return 0
