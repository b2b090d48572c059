"""Rule download: fetch a published archive once and check it before use."""

from difftables.jobs.job import Job


def run(job: Job) -> None:
    """spec: url, sha256, size.  Out: archive."""
    from difftables.common.fetch import fetch

    fetch(job.spec.url, job.spec.sha256, job.output("archive"), job.spec.size)
