"""Rule data: read a data set once, as integers with its split."""

from difftables.jobs.job import Job


def run(job: Job) -> None:
    """spec: DataSpec.  In: maybe sentences.  Out: data."""
    from difftables.common.tensor_files import Parts, save_parts
    from difftables.data.datasets import read_dataset

    spec = job.spec.data
    meta = {"kind": "data"} | ({"rate": spec.rate} if spec.medium == "speech" else {})
    save_parts(job.output("data"), {name: Parts.of(value) for name, value in read_dataset(spec).items()}, meta)
