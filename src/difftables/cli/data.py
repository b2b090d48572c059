"""Rule data: read a data set once, as integers with its split."""

from difftables.cli.job import Job


def run(job: Job) -> None:
    """spec: DataSpec.  In: maybe sentences.  Out: data."""
    from difftables import media
    from difftables.io import save_tensors

    spec = job.spec.data
    meta = {"kind": "data"} | ({"rate": spec.rate} if spec.medium == "speech" else {})
    save_tensors(job.output("data"), media.read(spec), meta)
