"""Parameters and multiply-adds of nets, counted on torch's meta device."""

from collections.abc import Iterator

from difftables.config.data import Images, Speech
from difftables.config.nets import Net
from difftables.planning.plan import Workflow


def used_nets(plan: Workflow) -> Iterator[tuple[str, str, Net, Images | Speech]]:
    """Name, data set, spec and spec of the data of each net that a plan uses; an estimator is named by its run."""
    for name in sorted({*plan.trained_runs(), *plan.checkpoint_runs()}):
        spec, run = plan.evaluated_run(name), plan.params.runs[name]
        yield run.checkpoint or str(run.net), run.data, spec.net, spec.data
        if run.estimator:
            yield f"{name} estimator", run.data, run.estimator.net, spec.data


def count_cost(net: Net, data: Images | Speech) -> tuple[int, int]:
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
        takes_only_x = len(inspect.signature(module.forward).parameters) == 1  # an estimator receives x only
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            module(x, *([] if takes_only_x else [torch.zeros(1), *given]))
    return sum(p.numel() for p in module.parameters()), counter.get_total_flops() // 2
