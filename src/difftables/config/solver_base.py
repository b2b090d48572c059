"""The base of the models of all solvers. No torch in here."""

from typing import ClassVar

from difftables.config.data import Frozen


class Solver(Frozen):
    """Base of all solvers: what the plan asks of a solver, as each answers where it differs."""

    kind: str
    walks: ClassVar[bool] = True  # visits the levels of the schedule, one step each; else its cost is known only once it is done
    operators: ClassVar[bool] = True  # goes through an operator; else it divides by alpha and is for noise only
    planned: ClassVar[bool] = False  # reads weights of its steps that the schedule holds

    chooses: ClassVar[bool] = False  # each sample chooses its own steps, which are recorded

    @property
    def on_levels(self) -> "Solver":
        """The solver that walks given levels as this one walks those that it chooses."""
        return self

    @property
    def per_sample(self) -> bool:
        """Whether the samples of a batch may be at different levels, as those of an adjusted schedule are."""
        return True

    @property
    def needs_variance(self) -> bool:
        """Whether the net must predict the variance."""
        return False

    @property
    def process(self) -> str | None:
        """The process that the solver is for, a key of level.PROCESSES; None for any."""
        return None

    def calls(self, steps: int) -> int | None:
        """Network calls of a chain of so many steps; None where only a run tells."""
        return steps
