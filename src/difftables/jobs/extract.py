"""Rule extract: unpack an archive once, after a look at its hash, since it may have been put there by hand."""

from difftables.jobs.job import Job


def run(job: Job) -> None:
    """spec: archive, sha256, by_hand.  In: maybe archive.  Out: folder.

    Raises: ValueError, one line that says where an archive is to be had, or what is wrong with it.
    """
    from pathlib import Path

    from difftables.common.files import sha256
    from difftables.common.unpack import extract

    archive, expected = Path(job.spec.archive), job.spec.sha256
    if not archive.is_file():
        raise ValueError(f"{archive} does not exist: {job.spec.by_hand or 'run snakemake to fetch it'}")
    found = sha256(archive)
    if expected is None:
        print(f"{archive} has sha256 {found}; params.yaml states none to compare it with")
    elif found != expected:
        raise ValueError(f"{archive} has sha256 {found[:12]}..., not {expected[:12]}...; delete it and run again")
    extract(archive, job.output("folder"))
