"""Rule weights: fetch a published weights file once and check it before use."""

from difftables.cli.job import Job


def run(job: Job) -> None:
    """spec: url, sha256.  Out: weights."""
    import shutil
    import urllib.error
    import urllib.request

    from difftables.io import replacing, sha256

    target = job.output("weights")
    try:
        with replacing(target) as temporary:
            with urllib.request.urlopen(job.spec.url, timeout=60) as answer, open(temporary, "wb") as file:
                shutil.copyfileobj(answer, file)
            if (found := sha256(temporary)) != job.spec.sha256:
                raise ValueError(f"{job.spec.url} has sha256 {found[:12]}..., not {job.spec.sha256[:12]}...; fetch it again")
    except urllib.error.URLError as error:
        raise ValueError(f"{job.spec.url} cannot be fetched ({error.reason}); put the file at {target} by hand") from None
