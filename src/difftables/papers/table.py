"""What the models of all kinds of tables have in common."""

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from difftables.config.data import Frozen
from difftables.papers.rows import Row, Text


class Table(Frozen):
    """What all tables have."""

    METRICS: ClassVar[tuple[str, ...]] = ()  # that its cells may have

    title: Text
    foot: list[Text] = Field(default_factory=list)

    def row_ids(self) -> list[str]:
        """Ids of the rows whose cells a claim may compare."""
        return []

    def metric_ids(self) -> tuple[str, ...]:
        """Metrics of its cells, without their variants."""
        return self.METRICS

    def column_ids(self) -> list[str] | None:
        """Ids of its columns; None where they are numbers."""
        return None


class TableOfRows(Table):
    """A table whose rows are written out."""

    rows: Sequence[Row]

    def row_ids(self) -> list[str]:
        return [row.id for row in self.rows]
