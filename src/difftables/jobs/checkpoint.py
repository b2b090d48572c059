"""Rule checkpoint: a net that others trained, read without running anything in its file, as our net."""

from difftables.jobs.job import Job


def run(job: Job) -> None:
    """spec: CheckpointSpec.  In: weights, of a diffusers folder its config too; none of a file fetched by hand.  Out: net, report.

    Raises: ValueError for a file that is not there, another file than its hash says, a file that could run something, and tensors that
    do not fit the net.
    """
    from pathlib import Path

    from difftables.checkpoints.load import load_checkpoint
    from difftables.common.files import save_tensors, sha256, write_json

    spec = job.spec
    path = Path(spec.file) if spec.by_hand else job.input("weights")
    if not path.is_file():
        raise ValueError(f"{path} does not exist: {spec.by_hand or 'run snakemake to fetch it'}")
    actual = sha256(path) if spec.by_hand else job.hashes["weights"][str(path)]
    if actual != spec.sha256:
        expected = f"not {spec.sha256}" if spec.sha256 else "and params have none"
        raise ValueError(
            f"{path} has sha256 {actual}, {expected}; if it is the file that you mean, set checkpoints.{spec.name}.sha256 to its hash"
        )
    weights, report = load_checkpoint(path, spec.format, spec.net, spec.shape)
    save_tensors(job.output("net"), weights, {"kind": "net"})
    write_json(job.output("report"), {"checkpoint": spec.name, "file": str(path), "sha256": actual} | report)
    print(f"{path}: {report['parameters']:,} parameters, {report['weights']}")
