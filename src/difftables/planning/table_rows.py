"""Which run, sampler and step counts stand behind each row of each table. No torch in here."""

from functools import cached_property
from typing import Any, Literal

from difftables.common import registry
from difftables.common.errors import ConfigError, nearest
from difftables.common.names import full, local, paper_of
from difftables.config import fit
from difftables.config.sampling import Sampler
from difftables.diffusion import timesteps
from difftables.metrics import catalogue
from difftables.papers.folder import Paper, at_scale, read_paper
from difftables.planning.companions import companions
from difftables.planning.lengths import repeated_layout
from difftables.planning.params import Loaded
from difftables.planning.row_checks import check_operator, check_schedule
from difftables.search.methods import METHODS

Row = tuple[str, int, str]  # run, training seed, sampler


class TableRows:
    """The tables of one scale, row by row.

    Args: params: a checked configuration.
    Raises: ConfigError when tables.yaml names something that params.yaml has not, or asks a run for what it cannot do.
    """

    def __init__(self, params: Loaded) -> None:
        self.params = params
        self.papers = {paper: read_paper(paper) for paper in params.tables}
        self.layouts = {
            name: {table: at_scale(layout, params.scale) for table, layout in paper.layouts.items()} for name, paper in self.papers.items()
        }
        for name, bound in params.tables.items():
            for table in (table for table in bound if params.length(name, table)):
                divisor = params.lengths[params.length(name, table)]
                self.layouts[name][table] = repeated_layout(self.layouts[name].get(params.repeated(name, table)), divisor)
        try:
            self._check()
        except ConfigError as error:
            raise ConfigError(params.files.located(str(error))) from None

    def _check(self) -> None:
        """Raise ConfigError where tables, runs and samplers do not fit together."""
        params = self.params
        for each in self.papers.values():
            self._check_names(each)
        for run, _, sampler in self.sampled_rows():
            fit.check_estimate(params, run, sampler)
            fit.check_process(params, run, sampler)
            self._check_row(run, sampler)
        for run in dict.fromkeys(row[0] for row in self.sampled_rows()):
            fit.check_measured(params, run)
        for row in self.bound_rows():
            if "adjusted" in row:
                self._check_row(row["run"], row["adjusted"])
                if self.params.samplers[row["adjusted"]].adapt is None:
                    raise ConfigError(
                        f"samplers.{row['adjusted']} has no adapt, but a table studies what adjusting it does; set its adapt: estimator"
                    )
        for run in self.net_runs():
            check_operator(params, run)
            fit.check_run(params, run)
        for paper, tables in params.tables.items():
            for name, table in tables.items():
                if self.layouts[paper][name]["kind"] == "learning":
                    self._check_course(paper, name)
                if table.run is not None and self.layouts[paper][name]["kind"] in ("errors", "robustness"):
                    self._require(table.run, name, "estimator", "adjust", *(["oracle"] if self.medium(table.run) == "images" else []))

    def _check_course(self, paper: str, name: str) -> None:
        """A table of loss curves needs runs that are trained here."""
        for run in (row["run"] for row in self.rows(paper, name) if row["run"]):
            if (checkpoint := self.params.runs[run].checkpoint) is not None:
                raise ConfigError(
                    f"tables.{paper}.{name} plots the course of training, but the net of run {run!r} is checkpoint {checkpoint!r}; "
                    "set its run: null"
                )

    def _check_names(self, paper: Paper) -> None:
        """Raise ConfigError for a name in a paper's files that its params do not have."""
        where, bound = paper.file("tables.yaml"), self.params.tables[paper.name]
        for name in (self.params.repeated(paper.name, each) for each in bound):
            if name not in paper.tables:
                raise ConfigError(f"tables.{paper.name}.{name} is not in {where}{nearest(name, paper.tables)}")
        # Of all scales: a row whose run or sampler this scale leaves out is not run; one that no scale has is a mistake.
        known = {"run": self.params.everywhere["runs"], "sampler": self.params.everywhere["samplers"]}
        known["adjusted"] = known["sampler"]
        for name, layout in paper.layouts.items():
            for row in layout.get("rows", []):
                for key, names in known.items():
                    if key in row and full(row[key], paper.name) not in names:
                        near = nearest(row[key], [local(each, paper.name) for each in sorted(names)])
                        raise ConfigError(f"{where}: {name}, row {row['id']}: {key} is {row[key]!r}{near}")
            for schedule in layout.get("schedules", []):
                if full(schedule, paper.name) not in self.params.schedules:
                    near = nearest(schedule, [local(each, paper.name) for each in self.params.schedules])
                    raise ConfigError(f"{where}: {name}: schedules has {schedule!r}{near}")
            for metric in (column["metric"] for column in layout.get("columns", []) if "metric" in column):
                self._check_neighbours(metric, f"{where}: {name}")
        for claim in paper.claims:
            self._check_neighbours(claim.metric or "", f"{paper.file('claims.yaml')}: claim {claim.id}")

    def _check_neighbours(self, metric: str, where: str) -> None:
        """A metric of k neighbours must be among those that are measured."""
        key, variant = catalogue.split(metric) or ("", "")
        known = [f"{key}-k{k}" for k in self.params.evaluation.images.neighbours]
        if key in ("precision", "recall") and variant and metric not in known:
            raise ConfigError(f"{where}: metric is {metric!r}, which evaluation.images.neighbours leaves out{nearest(metric, known)}")

    def rows(self, paper: str, table: str) -> list[dict[str, Any]]:
        """A table's rows with the run behind each (None: not run at this scale) and the step counts it is sampled at.

        Runs and samplers have their full names; `part` is the run as tables.yaml names it.
        """
        bound, found = self.params.tables[paper][table], []
        for line in self.layouts[paper][table].get("rows", []):
            row = line | {key: full(line[key], paper) for key in ("sampler", "adjusted") if key in line}
            run = bound.run
            if run is not None and "run" in line:
                named = full(line["run"], paper)
                played = bound.runs.get(named, named)
                run = played if played in self.params.runs else None
            if {row.get("sampler"), row.get("adjusted")} & self.params.left_out:
                run = None
            found.append(row | {"part": line.get("run"), "run": run, "steps": self._row_steps(row, run, bound.steps)})
        return found

    def sampler(self, run: str, name: str) -> Sampler:
        """A sampler by its name, which may lack the paper where that is the run's."""
        return self.params.samplers[full(name, paper_of(run))]

    @staticmethod
    def stem(run: str, sampler: str) -> str:
        """What files of a run's sampler are called: its name, with its paper in front where that is not the run's."""
        return local(sampler, paper_of(run))

    def stems(self) -> list[str]:
        """All stems that files of samplers may have."""
        return [*self.params.samplers, *dict.fromkeys(local(name, paper_of(name)) for name in self.params.samplers)]

    def _row_steps(self, row: dict[str, Any], run: str | None, asked: list[int]) -> list[int]:
        if "sampler" not in row:
            return []
        if row.get("steps") == "full":
            return [self.training_steps(run)] if run else []
        own = self.params.samplers[row["sampler"]].steps if row["sampler"] not in self.params.left_out else None
        return sorted(set(own or asked))

    def training_steps(self, run: str) -> int:
        """T of a run's training schedule."""
        return self.params.schedules[self.params.runs[run].schedule].steps

    def bound_rows(self) -> list[dict[str, Any]]:
        """The rows of all tables that have a run, each with its table's kind."""
        return self._rows  # once: most jobs ask for them

    @cached_property
    def _rows(self) -> list[dict[str, Any]]:
        found = [
            row | {"kind": self.layouts[paper][name]["kind"], "asked": table.steps, "n": table.n}
            for paper, tables in self.params.tables.items() for name, table in tables.items()
            for row in self.rows(paper, name) if row["run"]
        ]  # fmt: skip
        return found + companions(self.params, found, self._row_steps)

    def sampled_rows(self) -> list[Row]:
        """Run, training seed and sampler of all rows that are sampled, each once."""
        return self._sampled

    @cached_property
    def _sampled(self) -> list[Row]:
        found = dict.fromkeys((row["run"], row["sampler"]) for row in self.bound_rows() if "sampler" in row)
        return [(run, seed, sampler) for run, sampler in found for seed in self.params.runs[run].seeds]

    def step_counts(self, run: str, sampler: str) -> list[int]:
        """Step counts that any row asks of a run and a sampler."""
        return sorted(self._steps.get((run, full(sampler, paper_of(run))), ()))

    @cached_property
    def _steps(self) -> dict[tuple[str, str], set[int]]:
        found = dict[tuple[str, str], set[int]]()
        for row in self.bound_rows():
            if "sampler" in row:
                found.setdefault((row["run"], row["sampler"]), set()).update(row["steps"])
        return found

    def net_run(self, run: str) -> str:
        """The run that a run's net belongs to: itself, or the one it is a view of."""
        return self.params.runs[run].trained or run

    def net_runs(self) -> list[str]:
        """All runs whose nets some table needs, views left out."""
        used = {t.run for group in self.params.tables.values() for t in group.values() if t.run} | {row["run"] for row in self.bound_rows()}
        edges = {self.params.runs[run].edge_run for run in used} - {None}
        return sorted({self.net_run(run) for run in used | edges if run})

    def medium(self, run: str) -> Literal["images", "speech"]:
        """images or speech."""
        return self.params.data[self.params.runs[run].data].medium

    def drawing_sampler(self, sampler: str) -> Sampler:
        """The sampler that a row's samples, or those of the search for its schedule, are drawn with: what it asks of a run."""
        row = self.params.samplers[sampler]
        return METHODS[row.schedule].sampler(row) if row.schedule in METHODS else row

    def predicts_variance(self, run: str) -> bool:
        """Whether a run's net predicts the variance."""
        return bool((self.params.net_of(run).model_extra or {}).get("variance"))

    def _require(self, run: str, who: str, *keys: str) -> None:
        for key in keys:
            if getattr(self.params.runs[run], key) is None:
                raise ConfigError(f"runs.{run}.{key} is missing, which {who} needs")

    def _check_row(self, run: str, name: str) -> None:
        """Raise ConfigError unless a run can do what a sampler asks of it."""
        row, longest, steps = self.params.samplers[name], self.training_steps(run), self.step_counts(run, name)
        longest = timesteps.kept(longest, row.skip) if row.skip else longest
        if max(steps, default=0) > longest:
            raise ConfigError(f"samplers.{name}.steps asks for more steps than the {longest} of the training schedule of run {run!r}")
        solver, used = row.solver, self.drawing_sampler(name)
        if solver.needs_variance and not self.predicts_variance(run):
            net = self.params.runs[run].net_key
            raise ConfigError(
                f"samplers.{name}.solver reads the variance, but {net} of run {run!r} has no variance channels; set its variance: true"
            )
        corruption, edge = self.params.runs[run].corruption, self.params.runs[run].edge_run
        fitted = used.refits or used.schedule == "fitted"
        if corruption != "scale" and (fitted or used.adapt is not None or row.schedule in METHODS):
            raise ConfigError(
                f"samplers.{name} fits, adjusts or searches only noise, but corruption {corruption!r} of run {run!r} has a strength, too; "
                "leave `adapt` out and use schedule trailing, strided or even"
            )
        if corruption != "scale" and not solver.operators:
            raise ConfigError(
                f"samplers.{name} has solver {solver.kind}, which is only for noise, but run {run!r} has corruption {corruption!r}; "
                "use solver walk"
            )
        if used.adapt is not None and (edge is not None or not solver.per_sample):
            why = f"run {run!r} has an edge_run, which takes" if edge is not None else f"solver {solver.kind} takes"
            raise ConfigError(f"samplers.{name} adjusts its levels sample by sample, but {why} one level at a time; use a fixed schedule")
        family = self.params.schedules[self.params.runs[run].schedule].family
        process = registry.text("diffusion.training_schedules.PROCESS_OF_SCHEDULE", family)
        frozen = row.mean_of is not None  # the mean of another row's levels, whatever its process
        if (fitted and process != "vp") or (row.schedule in METHODS and not frozen and process not in METHODS[row.schedule].processes):
            raise ConfigError(
                f"samplers.{name} fits rates of a variance-preserving schedule, but run {run!r} was trained on schedule family {family!r}; "
                "use schedule trailing, strided or power-law"
            )
        if solver.process not in (None, process):
            key = "path" if "path" in dict(solver) else "clock"
            raise ConfigError(
                f"samplers.{name}.solver follows {key} {dict(solver)[key]}, but run {run!r} was trained on schedule family {family!r}; "
                f"change its {key}"
            )
        estimated = used.adapt == "estimator"
        self._require(run, f"samplers.{name}", *["estimator"] * estimated, *["oracle"] * (used.adapt == "oracle"), *["adjust"] * fitted)
        try:
            check_schedule(row, name, longest, steps)
        except ValueError as error:
            raise ConfigError(str(error)) from None
