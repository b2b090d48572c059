"""A run of this project, ready to sample from."""

from pathlib import Path

import torch

from difftables.config.run import EstimatorNet
from difftables.planning import plan
from difftables.planning.shown import lookup
from difftables.sampling.loaded_run import LoadedRun, load_run


def load(name: str, scale: str = "laptop", seed: int | None = None, device: torch.device | str = "cpu", batch: int = 64) -> LoadedRun:
    """A run of this repository with its trained net, or the checkpoint that it evaluates. The working folder is the repository's root.

    Args: name: PAPER/NAME, or NAME where one paper only has it; seed: of training; None: the first; batch: samples at once.
    Raises: ValueError, one line, for a name that the scale does not have, or files that are not there yet.
    """
    if not Path("params.yaml").is_file():
        raise ValueError("there is no params.yaml in the working folder; change to the repository's root")
    found = plan.read(scale)
    section, full = lookup(found.params, name)
    if section != "runs":
        raise ValueError(f"{full} is one of {section}, and only a run has a net; pass the name of a run")
    run = found.params.runs[full]
    seed = run.seeds[0] if seed is None else seed
    needed = found.net_inputs(full, str(seed)) | found.condition_inputs(full) | found.prior_inputs(full, None)
    files = {key: Path(paths[0]) for key, paths in needed.items()}
    for path in files.values():
        if not path.exists():
            raise ValueError(f"{path} is not there; make it first: snakemake {path} --config scale={scale}")
    also = {"data": Path(found.data_file(full))}
    if run.estimator is not None:
        also["estimator"] = Path(found.net_file(full, seed, "estimator"))
    files |= {key: path for key, path in also.items() if path.exists()}
    estimator = EstimatorNet(net=run.estimator.net) if run.estimator else None
    spec = found.evaluated_run(full, "adjust", "oracle", estimator=estimator)
    return load_run(spec, files, torch.device(device), batch)
