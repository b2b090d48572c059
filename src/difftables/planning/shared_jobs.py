"""Runs and rows that are equal but for their names: what several of them ask for is planned once. No torch in here.

One run stands for all equal ones, and one row for all that draw the same samples: the first in the order of params, papers by page.
Jobs and files bear its names. Tables go on naming their own runs and samplers.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import Any, Literal

from difftables.common.files import canonical
from difftables.common.names import full, paper_of
from difftables.config import job_specs as specs
from difftables.config.run import EstimatorNet
from difftables.planning.companions import ends_of
from difftables.planning.specs import JobSpecs
from difftables.planning.table_rows import Row

Kind = Literal["net", "estimator"]
Drawn = tuple[str, str]  # run and sampler, full names


class SharedJobs(JobSpecs):
    """The run or row that stands for those equal to it.  Args, Raises: of TableRows."""

    # -- trainings ----------------------------------------------------------------------------------------------

    def trained_run(self, run: str, kind: Kind = "net") -> str:
        """The run whose training makes the net or the estimator of a run: the first of those whose trainings are equal."""
        return self._trained[kind][self.net_run(run)]

    @cached_property
    def _trained(self) -> dict[Kind, dict[str, str]]:
        """The first run with an equal training, by run and kind; a run without an estimator stands for itself."""
        nets, estimators = dict[str, str](), dict[str, str]()
        for name, run in self.params.runs.items():
            if self.net_run(name) != name:
                continue
            # Runs of one checkpoint have one net; no training makes it, whatever their own would be.
            nets[name] = run.checkpoint or _content(self.train_spec(name, "0"), run.data)
            estimators[name] = _content(self.train_estimator_spec(name, "0"), run.data) if run.estimator else name
        return {"net": firsts(nets), "estimator": firsts(estimators)}

    def trained_runs(self) -> list[str]:
        """All runs that are trained for some table."""
        return sorted({run for run, _ in self.trainings()})

    def checkpoint_runs(self) -> list[str]:
        """All runs that some table needs whose net is a checkpoint, views left out."""
        return [run for run in self.net_runs() if self.params.runs[run].checkpoint is not None]

    def trainings(self) -> list[tuple[str, int]]:
        """Run and seed of each training that some table needs, each once."""
        runs = [run for run in self.net_runs() if self.params.runs[run].checkpoint is None]
        return sorted({(self.trained_run(run), seed) for run in runs for seed in self.params.runs[run].seeds})

    def estimator_trainings(self) -> list[tuple[str, int]]:
        """Run and seed of each training of an estimator that some table needs, each once."""
        used = {run for run, _, sampler in self.sampled_rows() if self.drawing_sampler(sampler).adapt == "estimator"}
        used |= {row["run"] for row in self.bound_rows() if "adjusted" in row}
        used |= {
            table.run for paper, tables in self.params.tables.items() for name, table in tables.items()
            if table.run and self.layouts[paper][name]["kind"] in ("errors", "robustness")
        }  # fmt: skip
        return sorted({(self.trained_run(run, "estimator"), seed) for run in used for seed in self.params.runs[run].seeds})

    def levels_name(self, run: str) -> str:
        """The name of a run's chosen levels: the first of those chosen on the same data for equal schedules."""
        return self._levels[super().levels_name(run)]

    @cached_property
    def _levels(self) -> dict[str, str]:
        keys = dict[str, str]()
        for name, run in self.params.runs.items():
            keys.setdefault(super().levels_name(name), _content(self.params.schedules[run.schedule], run.data, run.corruption))
        return firsts(keys)

    # -- what is made with a net --------------------------------------------------------------------------------

    def same_run(self, run: str) -> str:
        """The run that stands for a run wherever its net is used: the first that has the same net and is evaluated alike."""
        return self._same[run]

    @cached_property
    def _same(self) -> dict[str, str]:
        keys = dict[str, str]()
        for name, run in self.params.runs.items():
            estimator = EstimatorNet(net=run.estimator.net) if run.estimator else None
            nets = [self.trained_run(each) for each in (name, run.edge_run) if each]
            evaluated = self.evaluated_run(name, "adjust", "oracle", estimator=estimator)
            keys[name] = _content(evaluated, run.data, *nets, self.trained_run(name, "estimator") if run.estimator else None)
        return firsts(keys)

    def drawn_row(self, run: str, sampler: str) -> Drawn:
        """The run and the sampler that stand for a row: samples, searches and records bear their names."""
        named = (run, full(sampler, paper_of(run)))
        return self._drawn.get(named, named)

    @cached_property
    def _drawn(self) -> dict[Drawn, Drawn]:
        """By run and sampler of each row that is sampled; two samplers that differ only in `steps` or `ends` draw the same samples."""
        named = {(run, sampler) for run, _, sampler in self.sampled_rows()}
        known, found, firsts_of = self.params.samplers, dict[Drawn, Drawn](), dict[tuple[str, str], str]()
        places = {name: place for place, name in enumerate(known)}
        contents = {name: canonical(known[name].model_dump(mode="json", exclude={"steps", "ends"})) for _, name in named}
        for run, sampler in sorted(named, key=lambda row: places[row[1]]):
            same = self.same_run(run)
            found[run, sampler] = (same, firsts_of.setdefault((same, contents[sampler]), sampler))
        return found

    def drawn_ends(self, run: str, sampler: str) -> str | None:
        """The sampler that a row's samples are compared with: its own `ends`, or that of the first row that draws the same samples."""
        return self._ends.get(self.drawn_row(run, sampler))

    @cached_property
    def _ends(self) -> dict[Drawn, str]:
        found = dict[Drawn, str]()
        for (run, sampler), drawn in self._drawn.items():
            ends = ends_of(self.params, run, sampler)
            if ends is not None:
                found.setdefault(drawn, ends)
        return found

    def drawn_rows(self) -> list[Row]:
        """Run, training seed and sampler of each job that draws samples."""
        found = [(run, seed, sampler) for named, seed, other in self.sampled_rows() for run, sampler in [self.drawn_row(named, other)]]
        return list(dict.fromkeys(found))

    def drawn_steps(self, run: str, sampler: str) -> list[int]:
        """Step counts that any row asks of a run and a sampler, or of those that they stand for."""
        return self._drawn_steps.get(self.drawn_row(run, sampler), [])

    @cached_property
    def _drawn_steps(self) -> dict[Drawn, list[int]]:
        found = dict[Drawn, set[int]]()
        for row in self.bound_rows():
            if "sampler" in row:
                found.setdefault(self.drawn_row(row["run"], row["sampler"]), set()).update(row["steps"])
        return {row: sorted(steps) for row, steps in found.items()}

    def drawn_sizes(self, run: str, sampler: str) -> list[int]:
        """Numbers of samples a seed that any table asks of a run and a sampler, or of those that they stand for."""
        return self._drawn_sizes.get(self.drawn_row(run, sampler), [])

    @cached_property
    def _drawn_sizes(self) -> dict[Drawn, list[int]]:
        found = dict[Drawn, set[int]]()
        for row in self.bound_rows():
            if "sampler" in row:
                n = row["n"] or getattr(self.params.evaluation, self.medium(row["run"])).n
                found.setdefault(self.drawn_row(row["run"], row["sampler"]), set()).add(n)
        return {row: sorted(sizes) for row, sizes in found.items()}

    def sample_spec(self, run: str, sampler: str) -> specs.SampleSpec:
        """Of rule sample, with the step counts of all rows that it serves, and the largest n of their tables."""
        found, sizes = super().sample_spec(run, sampler), self.drawn_sizes(run, sampler)
        return found.model_copy(update={"steps": self.drawn_steps(run, sampler)} | ({"n": sizes[-1]} if sizes else {}))

    def measure_spec(self, run: str, seed: str, sampler: str) -> specs.MeasureSpec:
        """Of rule measure, with each n of the tables that read its record."""
        found, sizes = super().measure_spec(run, seed, sampler), self.drawn_sizes(run, sampler)
        own = found.evaluation.model_copy(update={"n": sizes[-1], "smaller": sizes[:-1]}) if sizes else found.evaluation
        ends = self.drawn_ends(run, sampler)
        counts = (self.params.samplers[ends].steps or []) if ends else []
        return found.model_copy(update={"evaluation": own, "ends": next(iter(counts), None)})

    def search_spec(self, run: str, sampler: str) -> specs.SearchSpec:
        """Of rule search, with the step counts of all rows that it serves."""
        return super().search_spec(run, sampler).model_copy(update={"steps": self.drawn_steps(run, sampler)})

    def likelihood_spec(self, run: str, seed: str) -> specs.LikelihoodSpec:
        """Of rule likelihood, with the shorter chains that tables ask for of all runs that it serves."""
        alike = [name for name, same in self._same.items() if same == self.same_run(run)]
        steps = {count for name in alike for count in super(SharedJobs, self).likelihood_spec(name, seed).steps}
        return super().likelihood_spec(run, seed).model_copy(update={"steps": sorted(steps)})

    def table_spec(self, paper: str, table: str) -> specs.TableSpec:
        """Of rule table: a row whose records bear other names than its own says which; n and notes of this scale."""
        found, bound = super().table_spec(paper, table), self.params.tables[paper][table]
        own: dict[str, Any] = {"rows": [row | self.names_of_records(row) for row in found.rows], "n": bound.n or found.n}
        return found.model_copy(update=own | {"layout": found.layout | {"foot": [*found.layout["foot"], *bound.foot]}})

    def names_of_records(self, row: dict[str, Any]) -> dict[str, Any]:
        """`recorded`: the run, and maybe the sampler, in the records of a row; nothing where they are its own."""
        if row["run"] is None:
            return {}
        own = {key: row[key] for key in ("run", "sampler") if key in row}
        names = self.drawn_row(row["run"], row["sampler"]) if "sampler" in row else (self.same_run(row["run"]),)
        recorded = dict(zip(own, names, strict=True))
        return {"recorded": recorded} if recorded != own else {}


def firsts(keys: Mapping[str, str]) -> dict[str, str]:
    """The first name with an equal key, by name."""
    known = dict[str, str]()
    return {name: known.setdefault(key, name) for name, key in keys.items()}


def _content(model: Any, *more: str | None) -> str:
    """What a model holds and further values, as text that equal ones share."""
    return canonical([model.model_dump(mode="json"), *more])
