"""`difftables costs`: count the multiply-adds of all nets of the scales that use a GPU, for the hours that a dry run estimates."""

from collections.abc import Iterator
from typing import Any

from difftables.config.data import Images, Speech
from difftables.config.run import Net
from difftables.planning.plan import Workflow

HEADER = ["key", "net", "data", "parameters", "multiply_adds"]


def command(arguments: list[str]) -> int:
    """Write workflow/costs.csv anew; no net is trained or even allocated."""
    from difftables.common.errors import ConfigError
    from difftables.common.files import write_csv
    from difftables.config.params_file import SCALES
    from difftables.planning.checkpoint_costs import COSTS, key
    from difftables.planning.plan import read

    rows: dict[str, list[Any]] = {}
    try:
        plans = [read(scale) for scale in SCALES]
    except ConfigError as error:
        print(error)
        return 1
    for plan in plans:
        for name, dataset, net, data in nets(plan) if plan.params.resources.gpu else ():
            called = key(net, data)
            if called not in rows:
                rows[called] = [called, name, dataset, *count(net, data)]
    ordered = sorted(rows.values(), key=_named)
    write_csv(COSTS, HEADER, ordered)
    print(f"{COSTS}: {len(rows)} nets")
    return 0


def _named(row: list[Any]) -> tuple[str, str, str]:
    return row[2], row[1], row[0]


def nets(plan: Workflow) -> Iterator[tuple[str, str, Net, Images | Speech]]:
    """Name, data set, spec and spec of the data of each net that a plan trains; an estimator is named by its run."""
    for name in plan.trained_runs():
        spec, run = plan.evaluated_run(name), plan.params.runs[name]
        yield run.net, run.data, spec.net, spec.data
        if run.estimator:
            yield f"{name} estimator", run.data, run.estimator.net, spec.data


def count(net: Net, data: Images | Speech) -> tuple[int, int]:
    """Parameters, and multiply-adds of a forward pass of one sample: an image, or a training segment of speech.

    Convolutions, matrix products and attention; on torch's meta device, which has shapes and no numbers.
    """
    import inspect

    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from difftables.nets.build import build_net

    with torch.device("meta"):
        module = build_net(net, data).eval()
        if isinstance(data, Images):
            x = torch.zeros(1, data.channels, data.size, data.size)
            given = [torch.zeros(1, dtype=torch.int64)] if data.classes else []
        else:
            x, given = torch.zeros(1, data.segment * data.hop), [torch.zeros(1, data.bands, data.segment)]
        alone = len(inspect.signature(module.forward).parameters) == 1  # an estimator is told nothing besides
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            module(x, *([] if alone else [torch.zeros(1), *given]))
    return sum(p.numel() for p in module.parameters()), counter.get_total_flops() // 2
