"""What each rule reads and what jobs there are, for one scale. No torch in here."""

import hashlib
import re
from functools import cached_property
from pathlib import Path
from typing import Any

from difftables.common import registry
from difftables.common.errors import ConfigError
from difftables.common.files import canonical, write_text
from difftables.common.names import full, paper_of
from difftables.config.data import Frozen, Speech
from difftables.config.params_file import Table
from difftables.config.sampling import Sampler
from difftables.papers.folder import PAPERS
from difftables.papers.kinds import INPUTS_OF_KIND, STUDIES, has_picture
from difftables.planning.companions import found_by
from difftables.planning.params import Loaded, load
from difftables.planning.planned_spec import PlannedSpec
from difftables.planning.result_files import ResultFiles
from difftables.planning.shared_jobs import Kind
from difftables.search.methods import METHODS

Files = dict[str, list[str]]  # what a rule reads, by name
MEASURED = ("records", "likelihood")  # inputs of tables whose provenance tells the machine
JOBS = Path(".cache/jobs")


class Workflow(ResultFiles):
    """The inputs, specs and job files of one scale.

    Args: params: a checked configuration.
    Raises: ConfigError when tables.yaml names something that params.yaml has not.
    """

    def __init__(self, params: Loaded) -> None:
        super().__init__(params)
        self._specs: dict[tuple[str, tuple[str, ...]], PlannedSpec] = {}

    # -- files ------------------------------------------------------------------------------------------------

    def data_inputs(self, data: str) -> Files:
        """The files in the repository that a data set is made from, if any."""
        found = self.params.data[data]
        return {"sentences": [found.sentences]} if isinstance(found, Speech) and found.sentences else {}

    def archive_inputs(self, archive: str) -> Files:
        """The archive where a rule downloads it; none for a file that its owner fetched by hand, who may delete it after unpacking."""
        found = self.params.downloads[archive]
        return {"archive": [found.path]} if found.url else {}

    def checkpoint_inputs(self, name: str) -> Files:
        """The file of a checkpoint's weights, and the config beside it in a diffusers folder; none that its user fetches by hand."""
        if self.params.checkpoints[name].by_hand:
            return {}
        weights, *config = self.checkpoint_parts(name)
        return {"weights": [weights]} | ({"config": config} if config else {})

    def unpacked_folders(self, data: str) -> list[str]:
        """The folder that a data set's archive is unpacked to, where it comes from one."""
        archive = self.params.data[data].archive
        return [self.params.downloads[archive].folder(archive)] if archive else []

    def metric_inputs(self, run: str) -> Files:
        """The inputs of a run's metrics: features of its images and maybe weights, or its data where they are speech."""
        if self.medium(run) == "speech":
            return {"data": [self.data_file(run)]}
        return {"features": [self.data_file(run, ".features")], "weights": self.weight_files()}

    def measure_inputs(self, run: str, seed: str, sampler: str) -> Files:
        """The inputs of a table's metrics, without the samples: for images also what is computed of the real ones once.

        Of a row with `ends` also the samples that its own are compared with.
        """
        summary = {} if self.medium(run) == "speech" else {"summary": [self.data_file(run, ".summary")]}
        ends = self.drawn_ends(run, sampler)
        return self.metric_inputs(run) | summary | ({"ends": [self.samples_file(run, seed, ends)]} if ends else {})

    def condition_inputs(self, run: str) -> Files:
        """The condition of a run's net: for speech the data, whose mel spectrograms it takes; else none."""
        return {"data": [self.data_file(run)]} if self.medium(run) == "speech" else {}

    def net_inputs(self, run: str, seed: str) -> Files:
        """A run's trained net, and the one for its edge levels where it has another there."""
        edge = self.params.runs[run].edge_run
        return {"net": [self.net_file(run, seed)]} | ({"edge_net": [self.net_file(edge, seed)]} if edge else {}) | self.level_inputs(run)

    def prior_inputs(self, run: str, prior: str | None) -> Files:
        """The data where a prior is made from images; else none.  Args: prior: in place of the run's."""
        made = (prior or self.params.runs[run].prior) in registry.names("diffusion.priors.IMAGES_OF_PRIOR")
        return {"data": [self.data_file(run)]} if made else {}

    def level_inputs(self, run: str) -> Files:
        """The file that a run's training schedule is made from, where it was chosen on data."""
        chosen = self.params.schedules[self.params.runs[run].schedule].family == "soft-scheduled"
        return {"levels": [f"{self.store}/schedules/levels/{self.levels_name(run)}/levels.csv"]} if chosen else {}

    def train_inputs(self, run: str, kind: Kind = "net") -> Files:
        """The inputs of rules train and train_estimator.  Raises: ConfigError for a run whose net or estimator is that of another."""
        if kind == "net" and (checkpoint := self.params.runs[run].checkpoint) is not None:
            raise ConfigError(f"run {run} has the net of checkpoint {checkpoint}; ask for {self.checkpoint_file(checkpoint)}")
        if (other := self.trained_run(run, kind)) != run:
            raise ConfigError(f"run {run} has the {kind} of run {other}; ask for {self.net_file(run, '{seed}', kind)}")
        return {"data": [self.data_file(run)]} | self.level_inputs(run)

    def sample_inputs(self, run: str, seed: str, sampler: str) -> Files:
        """The inputs of rule sample, for one row.  Raises: ConfigError for a row whose samples are those of another."""
        if (other := self.drawn_row(run, sampler)) != (run, full(sampler, paper_of(run))):
            raise ConfigError(f"run {run} has the samples of {' '.join(other)}; ask for {self.samples_file(run, seed, sampler)}")
        row = self.sampler(run, sampler)
        found = self.sampler_inputs(run, seed, row)
        if row.schedule in METHODS:
            found["schedules"] = [self.schedules_file(run, seed, sampler)]
        elif (theirs := found_by(self.params, run, sampler)) is not None:
            found["schedules"] = [self.schedules_file(theirs[0], self.params.runs[theirs[0]].seeds[0], theirs[1])]
        elif row.schedule.endswith(".csv"):
            found["schedules"] = [row.schedule]
        return found

    def search_inputs(self, run: str, seed: str, sampler: str) -> Files:
        """The inputs of rule search, for one row."""
        row = self.sampler(run, sampler)
        method = METHODS[row.schedule]
        found = self.sampler_inputs(run, seed, method.sampler(row)) | (self.metric_inputs(run) if method.scored else {})
        return found | ({"data": [self.data_file(run)]} if method.data else {})

    def sampler_inputs(self, run: str, seed: str, sampler: Sampler) -> Files:
        """The inputs of a sampler, without its schedule."""
        found = self.net_inputs(run, seed) | self.condition_inputs(run) | self.prior_inputs(run, sampler.prior)
        if sampler.adapt == "estimator":
            found["estimator"] = [self.net_file(run, seed, "estimator")]
        if sampler.adapt in ("oracle", "residual"):
            found["data"] = [self.data_file(run)]
        return found

    def robustness_inputs(self, run: str, seed: str) -> Files:
        """The inputs of rule robustness."""
        found = self.net_inputs(run, seed) | self.prior_inputs(run, None)
        return found | {"estimator": [self.net_file(run, seed, "estimator")], **self.metric_inputs(run)}

    def evaluation_inputs(self, run: str, seed: str) -> Files:
        """The inputs of rules likelihood, gradients and variance: a net and its data."""
        return self.net_inputs(run, seed) | {"data": [self.data_file(run)]}

    def listen_inputs(self, run: str) -> Files:
        """The inputs of rule listen: data, and samples of the first training seed."""
        seed = self.params.runs[run].seeds[0]
        return {
            "data": [self.data_file(run)],
            "samples": [self.samples_file(run, seed, sampler) for sampler in self.listened_samplers(run)],
        }

    def table_inputs(self, paper: str, table: str) -> Files:
        """The inputs of a table, by the names in INPUTS_OF_KIND."""
        bound: Table = self.params.tables[paper][table]
        reported = PAPERS / paper / "reported.csv"
        found: Files = {"reported": [str(reported)] if reported.exists() else []}
        if bound.run is None:
            return found
        layout, rows = self.layouts[paper][table], self.rows(paper, table)
        # Kinds without rows look at the table's run.
        used = list(dict.fromkeys(row["run"] for row in rows if row["run"])) if rows else [bound.run]
        nets = [(run, seed) for run in used for seed in self.params.runs[run].seeds]
        drawn = [row for row in rows if row["run"] and "sampler" in row]
        # Files of several rows stand once for each: tables take them by position.
        first_seeds = {(row["run"], row["sampler"]): self.params.runs[row["run"]].seeds[0] for row in drawn}
        known: Files = {
            "records": [self.record_file(row["run"], s, row["sampler"]) for row in drawn for s in self.params.runs[row["run"]].seeds],
            "samples": [self.samples_file(run, seed, sampler) for (run, sampler), seed in first_seeds.items()],
            "floor": [self.floor_file(bound.run)],
            "data": [self.data_file(bound.run)],
            "levels": [file for run in used for file in self.level_inputs(run).get("levels", [])],
            "audio": [f"{self.tables}/audio/{bound.run}"] if drawn else [],
            "searches": [
                self.schedules_file(row["run"], self.params.runs[row["run"]].seeds[0], row["sampler"], suffix=".json")
                for row in drawn
                if self.params.samplers[row["sampler"]].schedule in METHODS
            ],
            "likelihood": [self.likelihood_file(run, seed) for run, seed in nets],
            "curves": [self.curve_file(run, self.params.runs[run].seeds[0]) for run in used],
            **{kind: [self.study_file(run, seed, kind) for run, seed in nets] for kind in STUDIES},
        }
        for name in INPUTS_OF_KIND[layout["kind"]]:
            if name == "likelihood" and "nll" not in [column.get("metric") for column in layout.get("columns", [{"metric": "nll"}])]:
                continue
            by_place = name in ("samples", "curves")
            found["records" if name in STUDIES else name] = known[name] if by_place else list(dict.fromkeys(known[name]))
        return found | {"made": [self.provenance_of_records[path] for name in MEASURED for path in found.get(name, [])]}

    def table_files(self, suffix: str = ".md", folder: str = "") -> list[str]:
        """All tables of this scale.  Args: folder: within that of a paper, with a / at its end."""
        return [f"{self.tables}/{paper}/{folder}{name}{suffix}" for paper, tables in self.params.tables.items() for name in tables]

    def has_figure(self, paper: str, table: str) -> bool:
        """Whether a table has a picture at this scale."""
        return has_picture(self.layouts[paper][table], self.params.tables[paper][table].run, self.rows(paper, table))

    def picture_files(self) -> list[str]:
        """The pictures of all tables that have one, as PNG."""
        tables = [(paper, name) for paper, names in self.params.tables.items() for name in names if self.has_figure(paper, name)]
        return [f"{self.tables}/{paper}/{name}.png" for paper, name in tables]

    def paper_pattern(self, figure: bool) -> str:
        """A pattern for the wildcard `paper` that matches tables with a picture, or without: it looks ahead at the table's name."""
        found = {paper: [name for name in tables if self.has_figure(paper, name) == figure] for paper, tables in self.params.tables.items()}
        return (
            "|".join(f"{paper}(?=/(?:notes/)?(?:{'|'.join(map(re.escape, names))})[.])" for paper, names in found.items() if names)
            or "(?!)"
        )

    def plot_files(self) -> list[str]:
        """Tables by steps as wide CSV, which `dvc plots` can draw."""
        return [
            f"{self.tables}/plots/{paper}-{name}.csv"
            for paper, tables in self.params.tables.items() for name in tables if self.layouts[paper][name]["kind"] in ("steps", "speech")
        ]  # fmt: skip

    def page_files(self) -> list[str]:
        """Pages made from all tables but the index: one of each paper's folder, how numbers are made, and an example in LaTeX."""
        papers = [f"{paper}/README.md" for paper in self.params.tables]
        return [f"{self.tables}/{name}" for name in (*papers, "how-it-is-made.md", "paper.tex")]

    def forest_files(self) -> list[str]:
        """A forest plot of each paper that has claims."""
        papers = [paper for paper in self.params.tables if self.papers[paper].claims]
        return [f"{self.tables}/{paper}/forest.{suffix}" for paper in papers for suffix in ("png", "svg")]

    def curve_files(self) -> list[str]:
        """Loss curves of all trainings that some table uses."""
        nets = [(*each, "net") for each in self.trainings()] + [(*each, "estimator") for each in self.estimator_trainings()]
        return [f"{self.tables}/curves/{run}-s{seed}-{kind}.csv" for run, seed, kind in sorted(nets, key=_net_first)]

    @cached_property
    def provenance_of_records(self) -> dict[str, str]:
        """The provenance of each record that a table may read, by the record's file."""
        runs = [(run, seed) for run in self.params.runs for seed in self.params.runs[run].seeds]
        found = {self.record_file(*row): self.provenance_of_row("measure", row) for row in self.sampled_rows()}
        for run, seed in runs:
            found |= {self.study_file(run, seed, kind): self.provenance_file(kind, self.studied_run(run, kind), seed) for kind in STUDIES}
            found[self.likelihood_file(run, seed)] = self.provenance_file("likelihood", self.same_run(run), seed)
        return found

    def search_records(self) -> list[str]:
        """Records of all searches that some row uses."""
        searching = [row for row in self.drawn_rows() if self.params.samplers[row[2]].schedule in METHODS]
        return sorted({self.schedules_file(*row, suffix=".json") for row in searching})

    def cost_files(self) -> list[str]:
        """Provenance of trainings, searches and samplings, and records of searches: they hold what these jobs cost."""
        rows = self.drawn_rows()
        searching = [row for row in rows if self.params.samplers[row[2]].schedule in METHODS]
        found = [self.provenance_file("train", *net) for net in self.trainings()]
        found += [self.provenance_file("train_estimator", *net) for net in self.estimator_trainings()]
        found += [self.provenance_of_row("search", row) for row in searching] + [self.provenance_of_row("sample", row) for row in rows]
        return found + self.search_records()

    # -- for the rules ------------------------------------------------------------------------------------------

    def planned(self, verb: str, *of: str) -> PlannedSpec:
        """The spec of a job with what follows from it, worked out once.  Args: of: arguments of its spec's method."""
        if (verb, of) not in self._specs:
            self._specs[verb, of] = PlannedSpec(verb, getattr(self, f"{verb}_spec")(*of))
        return self._specs[verb, of]

    def spec(self, verb: str, *of: str) -> Frozen:
        """The spec of a job."""
        return self.planned(verb, *of).spec

    def job_file(self, verb: str, of: tuple[str, ...], inputs: Files, outputs: Files, write: bool) -> str:
        """The path of a job's file: it holds spec, inputs and outputs, and is named by their hash.  Args: write: unless it is there."""
        # As `canonical` writes the three together.
        text = f'{{"inputs":{canonical(inputs)},"outputs":{canonical(outputs)},"spec":{self.planned(verb, *of).text}}}'
        path = JOBS / f"{verb}-{hashlib.sha256(text.encode()).hexdigest()[:16]}.json"
        if write and not path.exists():
            write_text(path, text)
        return str(path)

    def written_spec(self, verb: str, *of: str) -> dict[str, Any]:
        """A job's spec as it is hashed: without the values that equal a default."""
        return self.planned(verb, *of).written

    def spec_hash(self, verb: str, *of: str) -> str:
        """Hash of a job's spec, names and values: a change of it runs the job."""
        return self.planned(verb, *of).hash

    def code(self, verb: str, *of: str) -> str:
        """Fingerprint of the code behind a job."""
        return self.planned(verb, *of).code


def _net_first(training: tuple[str, int, str]) -> tuple[str, int, bool]:
    """Order of trainings: by run and seed, the net before the estimator."""
    run, seed, kind = training
    return run, seed, kind != "net"


def read(scale: str | None = None) -> Workflow:
    """The plan of params.yaml at a scale."""
    return Workflow(load("params.yaml", scale))
