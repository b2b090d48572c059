"""`difftables multiply_adds`: count the multiply-adds of all nets of the scales that use a GPU, for the hours that a dry run estimates."""

from typing import Any

HEADER = ["key", "net", "data", "parameters", "multiply_adds"]


def command(arguments: list[str]) -> int:
    """Write workflow/costs.csv anew; no net is trained or even allocated."""
    from difftables.common.errors import ConfigError
    from difftables.common.files import write_csv
    from difftables.config.params_file import SCALES
    from difftables.planning.count_costs import count_cost, used_nets
    from difftables.planning.net_costs import COSTS, cost_key
    from difftables.planning.plan import read

    rows: dict[str, list[Any]] = {}
    try:
        plans = [read(scale) for scale in SCALES]
    except ConfigError as error:
        print(error)
        return 1
    for plan in plans:
        for name, dataset, net, data in used_nets(plan) if plan.params.resources.gpu else ():
            called = cost_key(net, data)
            if called not in rows:
                rows[called] = [called, name, dataset, *count_cost(net, data)]
    ordered = sorted(rows.values(), key=_named)
    write_csv(COSTS, HEADER, ordered)
    print(f"{COSTS}: {len(rows)} nets")
    return 0


def _named(row: list[Any]) -> tuple[str, str, str]:
    return row[2], row[1], row[0]
