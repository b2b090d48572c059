"""Rule data: read a data set once, as integers with its split."""

from difftables.jobs.job import Job


def run(job: Job) -> None:
    """spec: DataSpec.  In: maybe sentences.  Out: data."""
    from difftables.common.files import save_tensors
    from difftables.data.datasets import read_dataset

    spec = job.spec.data
    meta = {"kind": "data"} | ({"rate": spec.rate} if spec.medium == "speech" else {})
    save_tensors(job.output("data"), read_dataset(spec), meta)
