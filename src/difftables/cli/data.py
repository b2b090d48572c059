"""Rule data: read a data set once, as uint8 with its split."""

from difftables.cli.job import Job


def run(job: Job) -> None:
    """spec: data.  Out: data."""
    from difftables.assemble import read_data
    from difftables.io import save_tensors

    tensors = read_data(job.spec.data)
    save_tensors(job.output("data"), tensors, {"kind": "data", **job.raw})
