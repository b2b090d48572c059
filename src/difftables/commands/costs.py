"""`difftables costs [--scale SCALE] [--json]`: where the core-seconds of a finished run went, by rule and kind."""

import argparse
import json
from pathlib import Path


def command(arguments: list[str]) -> int:
    """Print the ledger of a scale, of which every number comes from the records of its jobs.

    Args: arguments: --scale in place of the scale in params.yaml; --json prints the ledger for programs.
    """
    parser = argparse.ArgumentParser(prog="difftables costs", description="print where the core-seconds of a finished run went")
    parser.add_argument("--scale", help="in place of the scale in params.yaml")
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args(arguments)
    from difftables.common.errors import ConfigError
    from difftables.planning.params import load
    from difftables.report.ledger import ledger, lines

    try:
        scale = load(scale=args.scale).scale
        store = Path(f"results/{scale}/store")
        found = ledger(store)
    except (ConfigError, ValueError) as error:
        print(error)
        return 1
    if not found["rules"]:
        older = f"; the records of {len(found['without'])} jobs hold no core-seconds" if found["without"] else ""
        print(f"costs: {store} has no record of core-seconds{older}; run snakemake")
        return 1
    print(json.dumps({"scale": scale, **found}, indent=1) if args.json else "\n".join(lines(found)))
    return 0
