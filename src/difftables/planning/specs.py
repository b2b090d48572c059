"""The spec of each job, as the model that the job reads. No torch in here."""

from pathlib import PurePosixPath
from typing import Any

from difftables.common.names import full, local, paper_of
from difftables.config import job_specs as specs
from difftables.config.data import ExtractSpec, Features, FetchSpec, Images, Speech
from difftables.config.params_file import Table
from difftables.config.run import Adjustment, Backbone, EstimatorNet
from difftables.config.run_spec import EstimatedRun, EstimatorRun, Names, RunSpec, TrainedRun
from difftables.config.sampling import Compared, Sampler, Sampling
from difftables.papers.kinds import INPUTS_OF_KIND
from difftables.planning.table_rows import TableRows
from difftables.search.methods import METHODS

OBJECTIVE = {"objective"}  # of these a job that evaluates a net asks for what it reads
OF_BACKBONE = set(Backbone.model_fields) - OBJECTIVE


class JobSpecs(TableRows):
    """The spec of each job of one scale.  Args, Raises: of TableRows."""

    # -- runs and data sets -------------------------------------------------------------------------------------

    def dataset(self, name: str, labelled: bool = True) -> Images | Speech:
        """A data set as its jobs see it: where its files lie in place of the name of its archive.  Args: labelled: for nets given labels"""
        found = self.params.data[name]
        own: dict[str, Any] = {"archive": None}
        if found.archive is not None:
            own["root"] = str(PurePosixPath(self.params.downloads[found.archive].folder(found.archive)) / (found.root or ""))
        if isinstance(found, Images):
            own |= {"floor_n": None} | ({} if labelled else {"classes": None})
        return found.model_copy(update=own)

    def run_fields(self, name: str, *parts: str) -> dict[str, Any]:
        """Fields of RunSpec: data set, net and schedule in place of their names, and the `parts` of a run that a job reads."""
        run = self.params.runs[name]
        resolved = {
            "data": self.dataset(run.data, run.condition_on is not None), "net": self.params.net_of(name),
            "schedule": self.params.schedules[run.schedule],
        }  # fmt: skip
        return resolved | {key: getattr(run, key) for key in (*OF_BACKBONE, *parts)}

    def evaluated_run(self, name: str, *parts: str, **own: Any) -> RunSpec:
        """A run as one that evaluates its net sees it: with the checkpoint it takes, and the run whose net has its ends."""
        run = self.params.runs[name]
        view = run.checkpoint_of
        edge = {"edge_run": self.evaluated_run(view.edge_run), "edge_fraction": view.edge_fraction} if view and view.edge_run else {}
        return RunSpec(**self.run_fields(name, "prior", *parts) | {"step": run.step} | edge | own)

    def run_of_sampler(self, name: str, sampler: Sampler) -> RunSpec:
        """A run with no more of its adjustment than the sampler reads, so that a change re-runs no other row."""
        run, own = self.params.runs[name], dict[str, Any]()
        adjust = run.adjust if sampler.refits or sampler.schedule == "fitted" else None
        if adjust is not None:
            family = sampler.family or adjust.family
            # A fitted schedule whose rates are not fitted anew reads only the family.
            fitted = Adjustment(family=family, first_beta=adjust.first_beta)
            own["adjust"] = adjust.model_copy(update={"family": family}) if sampler.refits else fitted
        if sampler.prior is not None:
            own["prior"] = sampler.prior
        own |= {"oracle": run.oracle} if sampler.adapt == "oracle" else {}
        if sampler.adapt == "estimator" and run.estimator is not None:
            own["estimator"] = EstimatorNet(net=run.estimator.net)
        return self.evaluated_run(name, **own)

    @staticmethod
    def sampling_of(sampler: Sampler) -> Sampling:
        """A sampler without the fields that name other parts of the spec."""
        return Sampling(**{key: getattr(sampler, key) for key in Sampling.model_fields})

    def adjusted_run(self, name: str) -> RunSpec:
        """A run with its adjustment, and its estimator's net."""
        run = self.params.runs[name]
        return self.evaluated_run(name, "adjust", estimator=EstimatorNet(net=run.estimator.net) if run.estimator else None)

    def features(self) -> Features:
        """The feature network that all metrics of images use."""
        return self.params.features[self.params.evaluation.images.features]

    def features_of(self, run: str) -> Features | None:
        """The feature network where a run's metrics use one."""
        return self.features() if self.medium(run) == "images" else None

    def evaluation(self, run: str, *keys: str) -> dict[str, Any]:
        """Numbers of a run's evaluation: those of `keys` that its medium has."""
        found = getattr(self.params.evaluation, self.medium(run))
        return found.model_dump(include=set(keys))

    def search_numbers(self, run: str, keys: set[str]) -> specs.SearchNumbers:
        """Numbers of the search of a run's medium."""
        return specs.SearchNumbers(**getattr(self.params.search, self.medium(run)).model_dump(include=keys))

    def record_names(self, run: str, seed: str, sampler: str | None = None) -> Names:
        """The names in a record: run, seed, data set and sampler."""
        named = full(sampler, paper_of(run)) if sampler else None
        return Names(run=run, train_seed=int(seed), dataset=self.params.runs[run].data, sampler=named)

    # -- data ---------------------------------------------------------------------------------------------------

    def data_spec(self, data: str) -> specs.DataSpec:
        """Of rule data."""
        return specs.DataSpec(data=self.dataset(data))

    def download_spec(self, file: str) -> FetchSpec:
        """Of rule download."""
        archives = {PurePosixPath(d.path).name: d for d in self.params.downloads.values() if d.url}
        nets = {PurePosixPath(c.path(name)).name: c for name, c in self.params.checkpoints.items() if c.url}
        return FetchSpec(**(archives | nets)[file].model_dump(include={"url", "sha256", "size"}))

    def extract_spec(self, archive: str) -> ExtractSpec:
        """Of rule extract."""
        found = self.params.downloads[archive]
        return ExtractSpec(archive=found.path, sha256=found.sha256, by_hand=found.by_hand)

    def weights_spec(self, name: str) -> FetchSpec:
        """Of rule weights."""
        known = {f.url.rsplit("/", 1)[1]: f for f in self.params.features.values() if f.url}
        return FetchSpec(**known[name].model_dump(include={"url", "sha256"}))

    def reference_spec(self, data: str) -> specs.ReferenceSpec:
        """Of rule reference; its n is that of the floor."""
        own, found = self.params.evaluation.images, self.params.data[data]
        n = found.floor_n if isinstance(found, Images) and found.floor_n else own.n
        floor = specs.Floor(n=n, floor_repeats=own.floor_repeats, neighbours=own.neighbours)
        return specs.ReferenceSpec(features=self.features(), evaluation=floor)

    # -- training -----------------------------------------------------------------------------------------------

    def train_spec(self, run: str, seed: str) -> specs.TrainSpec:
        """Of rule train."""
        return specs.TrainSpec(run=TrainedRun(**self.run_fields(run, "train", *OBJECTIVE)), seed=int(seed))

    def train_estimator_spec(self, run: str, seed: str) -> specs.TrainEstimatorSpec:
        """Of rule train_estimator."""
        full = self.run_fields(run, "estimator")
        own = EstimatorRun(**{key: full[key] for key in EstimatorRun.model_fields})
        return specs.TrainEstimatorSpec(run=own, seed=int(seed))

    # -- schedules ----------------------------------------------------------------------------------------------

    def levels_name(self, run: str) -> str:
        """PAPER/NAME of a run's chosen levels: runs with one data set, schedule and corruption share them."""
        found = self.params.runs[run]
        paper = paper_of(found.schedule)
        return f"{paper}/{found.data}-{local(found.schedule, paper)}-{found.corruption}"

    def run_of_levels(self, chosen: str) -> str:
        """A run with the levels of that name."""
        return next(run for run in self.params.runs if self.levels_name(run) == chosen)

    def levels_spec(self, chosen: str) -> specs.LevelsSpec:
        """Of rule levels."""
        run = self.run_of_levels(chosen)
        full = self.run_fields(run)
        return specs.LevelsSpec(
            data=full["data"], schedule=full["schedule"], corruption=full["corruption"], levels=chosen, dataset=self.params.runs[run].data
        )

    def search_spec(self, run: str, sampler: str) -> specs.SearchSpec:
        """Of rule search, for the row that asks for it, and the sampler that its method draws with."""
        row = self.sampler(run, sampler)
        method = METHODS[row.schedule]
        used = method.sampler(row)
        return specs.SearchSpec(
            run=self.run_of_sampler(run, used), sampler=self.sampling_of(used), method=row.schedule, steps=self.step_counts(run, sampler),
            search=self.search_numbers(run, set(method.reads)), features=self.features_of(run) if method.scored else None,
            **self.evaluation(run, "batch"),
        )  # fmt: skip

    # -- samples and what is measured ---------------------------------------------------------------------------

    def sample_spec(self, run: str, sampler: str) -> specs.SampleSpec:
        """Of rule sample."""
        row = self.sampler(run, sampler)
        numbers = self.evaluation(run, "n", "seeds", "batch") | ({"seeds": row.seeds} if row.seeds else {})
        return specs.SampleSpec(
            run=self.run_of_sampler(run, row), sampler=self.sampling_of(row), steps=self.step_counts(run, sampler), **numbers
        )

    def measure_spec(self, run: str, seed: str, sampler: str) -> specs.MeasureSpec:
        """Of rule measure."""
        own = specs.Measures(**self.evaluation(run, *specs.Measures.model_fields))
        return specs.MeasureSpec(
            names=self.record_names(run, seed, sampler), medium=self.medium(run), speech=self.speech_data(run), evaluation=own,
            features=self.features_of(run),
        )  # fmt: skip

    def speech_data(self, run: str) -> Speech | None:
        """The data set of a run where it is speech."""
        found = self.dataset(self.params.runs[run].data)
        return found if isinstance(found, Speech) else None

    def errors_spec(self, run: str, seed: str) -> specs.ErrorsSpec:
        """Of rule errors."""
        full = self.run_fields(run, "estimator", "oracle")
        full["estimator"] = EstimatorNet(net=full["estimator"].net)
        return specs.ErrorsSpec(
            run=EstimatedRun(**{key: full[key] for key in EstimatedRun.model_fields}),
            estimates=["estimator", {"images": "oracle", "speech": "known_mel"}[self.medium(run)]],
            evaluation=specs.ErrorLevels(**self.evaluation(run, "error_levels", "error_n")), names=self.record_names(run, seed),
        )  # fmt: skip

    def robustness_spec(self, run: str, seed: str) -> specs.RobustnessSpec:
        """Of rule robustness: the adjusted samplers that the figures name, fixed against adjusted."""
        samplers, adjust = list[Compared](), self.params.runs[run].adjust
        for line in (row for row in self.bound_rows() if row["run"] == run and "adjusted" in row):
            named = self.params.samplers[line["adjusted"]]
            row = dict(self.sampling_of(named)) | {"family": named.family or (adjust.family if adjust else None)}
            for method, adapt in (("fixed", None), ("adjusted", named.adapt)):
                samplers.append(Compared(**row | {"adapt": adapt, "name": line["adjusted"], "method": method}))
        own = set(specs.RandomSchedules.model_fields)
        return specs.RobustnessSpec(
            run=self.adjusted_run(run), samplers=samplers,
            search=self.search_numbers(run, {"grid", "decades", "digits", "groups", "seed"}), names=self.record_names(run, seed),
            evaluation=specs.RandomSchedules(**self.evaluation(run, *own)), features=self.features_of(run), **self.evaluation(run, "batch"),
        )  # fmt: skip

    def likelihood_spec(self, run: str, seed: str) -> specs.LikelihoodSpec:
        """Of rule likelihood: the bound of the whole chain, and of the shorter ones that a table asks for."""
        used = {steps for row in self.bound_rows() if row["run"] == run and row["kind"] == "chains" for steps in row["asked"]}
        found = self.params.runs[run]
        return specs.LikelihoodSpec(
            run=self.evaluated_run(run), steps=sorted({*used, self.training_steps(run)}),
            evaluation=specs.Likelihoods(**self.evaluation(run, "likelihood_n", "batch")),
            trained=specs.Budget(steps=found.step or found.train.steps, batch=found.train.batch),
            variance="learned" if self.predicts_variance(run) else "large", names=self.record_names(run, seed),
        )  # fmt: skip

    def gradients_spec(self, run: str, seed: str) -> specs.GradientsSpec:
        """Of rule gradients."""
        own = specs.GradientBatches(**self.evaluation(run, "gradient_batch", "gradient_batches"))
        return specs.GradientsSpec(run=self.evaluated_run(run, "objective"), evaluation=own, names=self.record_names(run, seed))

    def variance_spec(self, run: str, seed: str) -> specs.VarianceSpec:
        """Of rule variance."""
        own = specs.TargetLevels(**self.evaluation(run, "variance_levels", "variance_n"))
        return specs.VarianceSpec(run=self.evaluated_run(run), evaluation=own, names=self.record_names(run, seed))

    def _listening_tables(self, run: str) -> list[tuple[str, str, Table]]:
        """Paper, name and binding of the tables with audio of a run."""
        bound = [(paper, name, table) for paper, tables in self.params.tables.items() for name, table in tables.items()]
        return [each for each in bound if each[2].run == run and self.layouts[each[0]][each[1]]["kind"] == "listen"]

    def listened_samplers(self, run: str) -> list[str]:
        """Samplers of a run whose audio is written, in the order of the tables, by the stems of their files."""
        rows = [row for paper, name, _ in self._listening_tables(run) for row in self.rows(paper, name) if row["run"]]
        return list(dict.fromkeys(self.stem(run, row["sampler"]) for row in rows))

    def listen_spec(self, run: str) -> specs.ListenSpec:
        """Of rule listen."""
        steps = sorted({steps for _, _, table in self._listening_tables(run) for steps in table.steps})
        data = self.speech_data(run)
        assert data is not None, "audio is written of speech only"
        return specs.ListenSpec(data=data, samplers=self.listened_samplers(run), steps=steps, **self.evaluation(run, "listen"))

    # -- tables -------------------------------------------------------------------------------------------------

    def table_spec(self, paper: str, table: str) -> specs.TableSpec:
        """Of rule table: the layout, what runs it, and the words for its foot."""
        bound, layout, rows = self.params.tables[paper][table], self.layouts[paper][table], self.rows(paper, table)
        run = self.params.runs[bound.run] if bound.run else None
        used = getattr(self.params.evaluation, self.medium(bound.run)) if bound.run else self.params.evaluation.images
        speech = self.speech_data(bound.run) if bound.run else None
        model = None
        if run and speech:
            model = {"precondition": run.precondition, "density": run.density, "steps": run.train.steps, "batch": run.train.batch}
        noted = layout.get("about") or layout["kind"] == "progress"
        noted = noted or set(INPUTS_OF_KIND[layout["kind"]]) & {"likelihood", "curves", "gradients", "variance"}
        runs = [name for name in dict.fromkeys(row["run"] for row in rows) if name]
        return specs.TableSpec(
            paper=paper, table=table, layout=layout, rows=rows, steps=bound.steps, run=bound.run, dataset=run.data if run else None,
            metric={"net": self.features().net, "pixels": self.features().pixels}, scale=self.params.scale, n=used.n, seeds=len(used.seeds),
            train_seeds=len(run.seeds) if run else 0, speech=speech, model=model,
            about={name: self.run_notes(name, paper) for name in runs} if noted else {},
            courses={name: self.course(name) for name in runs} if layout["kind"] == "course" else {},
            schedules={name: self.params.schedules[full(name, paper)] for name in layout.get("schedules", [])},
        )  # fmt: skip

    def course(self, run: str) -> specs.Course:
        """The schedule and corruption of a run, and the name of its chosen levels."""
        found = self.params.runs[run]
        return specs.Course(schedule=self.params.schedules[found.schedule], corruption=found.corruption, levels=self.levels_name(run))

    def run_notes(self, run: str, paper: str) -> dict[str, Any]:
        """The numbers of a run for a table's foot."""
        found, net = self.params.runs[run], self.params.net_of(run).model_extra or {}
        return {
            "schedule": local(found.schedule, paper), "chain": self.training_steps(run),
            "objective": found.objective.kind, "density": found.density,
            "steps": found.step or found.train.steps, "batch": found.train.batch, "lr": found.train.lr, "width": net.get("width"),
            "dropout": net.get("dropout"), "references": found.target.references,
        }  # fmt: skip

    def report_spec(self) -> specs.ReportSpec:
        """Of rule report."""
        claims = {name: [claim.model_dump(exclude_unset=True) for claim in paper.claims] for name, paper in self.papers.items()}
        tables, lengths = [(paper, list(each)) for paper, each in self.params.tables.items()], list(self.params.lengths)
        return specs.ReportSpec(scale=self.params.scale, claims=claims, tables=tables, lengths=lengths)
