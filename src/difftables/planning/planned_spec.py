"""The spec of a planned job, with what follows from it. No torch in here."""

from functools import cached_property
from typing import Any

from difftables.common.files import canonical
from difftables.config.data import Frozen
from difftables.provenance import fingerprint


class PlannedSpec:
    """A spec and what follows from it: training seeds share most specs, and Snakemake asks again each time that a job may start."""

    def __init__(self, verb: str, spec: Frozen) -> None:
        self.verb, self.spec = verb, spec

    @cached_property
    def written(self) -> dict[str, Any]:
        """The spec as it is hashed: without the values that equal a default."""
        return self.spec.model_dump(mode="json", exclude_defaults=True)

    @cached_property
    def text(self) -> str:
        """The spec as its job's file holds it."""
        return canonical(self.written)

    @cached_property
    def hash(self) -> str:
        """Hash of the spec."""
        return fingerprint.job(self.written)

    @cached_property
    def code(self) -> str:
        """Fingerprint of the code behind the job."""
        return fingerprint.code(self.verb, self.spec)
