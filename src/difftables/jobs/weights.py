"""Rule weights: fetch a published weights file once and check it before use."""

from difftables.jobs.job import Job


def run(job: Job) -> None:
    """spec: url, sha256.  Out: weights."""
    from difftables.common.fetch import fetch

    fetch(job.spec.url, job.spec.sha256, job.output("weights"))
