"""The numbers that a paper reports, each with its source."""

from pathlib import Path

from difftables.papers.folder import read_numbers
from difftables.papers.numbers import Number


class ReportedNumbers:
    """The numbers of a paper's folder, each with its source.

    Raises: ConfigError for a file that is not as it should be.
    """

    def __init__(self, path: Path | None) -> None:
        self.numbers = list(read_numbers(path).values()) if path else []

    def find(self, where: dict[str, str], steps: int | None = None) -> list[Number]:
        """Numbers of the given table, row and data set, and of a step count if one is given."""
        return [
            number for number in self.numbers
            if all(vars(number)[key] == value for key, value in where.items()) and steps in (None, number.steps_or_nfe)
        ]  # fmt: skip


def source_of(number: Number) -> str:
    """The source of a reported number; 'unverified' in front where it was only recalled, or quoted by others."""
    return f"unverified: {number.source}" if "memory" in number.source or "second-hand" in number.source else number.source
