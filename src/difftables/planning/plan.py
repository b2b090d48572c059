"""What the workflow makes: file names and the jobs behind each table. No torch in here."""

import hashlib
import re
from functools import cached_property
from pathlib import Path
from typing import Any

from difftables.common import registry
from difftables.common.files import canonical, write_text
from difftables.config.data import Frozen, Speech
from difftables.config.params_file import Table
from difftables.config.sampling import Sampler
from difftables.papers.folder import PAPERS, READS, STUDIES, drawn
from difftables.planning.params import Loaded, load
from difftables.planning.specs import Specs
from difftables.provenance import fingerprint
from difftables.search.methods import METHODS

Files = dict[str, list[str]]  # what a rule reads, by name
MEASURED = ("records", "likelihood")  # inputs of tables whose provenance tells the machine
JOBS = Path(".cache/jobs")


class Plan(Specs):
    """The plan of one scale.

    Args: params: a checked configuration.
    Raises: ConfigError when tables.yaml names something that params.yaml has not.
    """

    def __init__(self, params: Loaded) -> None:
        super().__init__(params)
        self._specs: dict[tuple[str, tuple[str, ...]], Frozen] = {}

    # -- files ------------------------------------------------------------------------------------------------

    def weights(self) -> list[str]:
        """The feature network's weights file, where it is not shipped in a package."""
        url = self.params.features[self.params.evaluation.images.features].url
        return [f".cache/weights/{url.rsplit('/', 1)[1]}"] if url else []

    def data_of(self, run: str, suffix: str = "") -> str:
        """The data set of a run, or its features."""
        return f"{self.store}/data/{self.params.runs[run].data}{suffix}.safetensors"

    def data_inputs(self, data: str) -> Files:
        """What a data set is made from, where that lies in the repository."""
        found = self.params.data[data]
        return {"sentences": [found.sentences]} if isinstance(found, Speech) and found.sentences else {}

    def archive_inputs(self, archive: str) -> Files:
        """What is unpacked, where a rule fetches it: a file fetched by hand belongs to its owner, and may be deleted afterwards."""
        found = self.params.downloads[archive]
        return {"archive": [found.path]} if found.url else {}

    def unpacked(self, data: str) -> list[str]:
        """The folder that a data set's archive is unpacked to, where it comes from one."""
        archive = self.params.data[data].archive
        return [self.params.downloads[archive].folder(archive)] if archive else []

    def judge_inputs(self, run: str) -> Files:
        """What a run's metrics read: features of images and maybe weights, or the data themselves."""
        if self.medium(run) == "speech":
            return {"data": [self.data_of(run)]}
        return {"features": [self.data_of(run, ".features")], "weights": self.weights()}

    def given_inputs(self, run: str) -> Files:
        """What a run's net is given besides noise: mel spectrograms, out of the data."""
        return {"data": [self.data_of(run)]} if self.medium(run) == "speech" else {}

    def nets(self, run: str, seed: str) -> Files:
        """A run's trained net, and that of its ends where it has one of its own there."""
        ends = self.params.runs[run].ends
        return {"net": [self.net(run, seed)]} | ({"ends": [self.net(ends, seed)]} if ends else {}) | self.levels(run)

    def start_inputs(self, run: str, prior: str | None) -> Files:
        """What the start of sampling is made from: images, for some.  Args: prior: in place of the run's."""
        made = (prior or self.params.runs[run].prior) in registry.names("diffusion.priors.IMAGES_OF_PRIOR")
        return {"data": [self.data_of(run)]} if made else {}

    def samples(self, run: str, seed: str | int, sampler: str) -> str:
        """The file of a row's samples."""
        return f"{self.store}/samples/{run}/s{seed}/{sampler}.safetensors"

    def record(self, run: str, seed: str | int, sampler: str) -> str:
        """The file of a row's metrics."""
        return f"{self.store}/records/{run}/s{seed}/{sampler}.json"

    def searched(self, run: str, seed: str | int, sampler: str, suffix: str = ".csv") -> str:
        """The file of a row's searched schedules, or of what was counted."""
        return f"{self.store}/schedules/{run}/s{seed}/{sampler}{suffix}"

    def likelihood(self, run: str, seed: str | int) -> str:
        """The file of the bound of a run's net."""
        return f"{self.store}/likelihood/{run}/s{seed}.json"

    def study(self, run: str, seed: str | int, kind: str) -> str:
        """The file of a study of a trained run."""
        return f"{self.store}/studies/{run}/s{seed}/{kind}.json"

    def floor(self, run: str) -> str:
        """The file of what the metrics say of real against real, on the run's data."""
        return f"{self.store}/records/reference/{self.params.runs[run].data}.json"

    def levels(self, run: str) -> Files:
        """The file that a run's training schedule is made from, where it was chosen on data."""
        chosen = self.params.schedules[self.params.runs[run].schedule].family == "soft-scheduled"
        return {"levels": [f"{self.store}/schedules/levels/{self.levels_name(run)}/levels.csv"]} if chosen else {}

    def train_inputs(self, run: str) -> Files:
        """What training a net reads."""
        return {"data": [self.data_of(run)]} | self.levels(run)

    def net(self, run: str, seed: str | int, kind: str = "net") -> str:
        """The file of a run's net or estimator, wherever it was trained."""
        return f"{self.store}/nets/{self.trained(run)}/s{seed}/{kind}.safetensors"

    def sample_inputs(self, run: str, seed: str, sampler: str) -> Files:
        """What sampling one row reads."""
        row = self.params.samplers[sampler]
        found = self.drawing_inputs(run, seed, row)
        if row.schedule in METHODS:
            found["schedules"] = [self.searched(run, seed, sampler)]
        elif row.schedule.endswith(".csv"):
            found["schedules"] = [row.schedule]
        return found

    def search_inputs(self, run: str, seed: str, sampler: str) -> Files:
        """What a search reads."""
        row = self.params.samplers[sampler]
        method = METHODS[row.schedule]
        return self.drawing_inputs(run, seed, method.drawn_by(row)) | (self.judge_inputs(run) if method.judged else {})

    def drawing_inputs(self, run: str, seed: str, sampler: Sampler) -> Files:
        """What a sampler reads, its schedule left out."""
        found = self.nets(run, seed) | self.given_inputs(run) | self.start_inputs(run, sampler.prior)
        if sampler.adapt == "estimator":
            found["estimator"] = [self.net(run, seed, "estimator")]
        if sampler.adapt == "oracle":
            found["data"] = [self.data_of(run)]
        return found

    def robustness_inputs(self, run: str, seed: str) -> Files:
        """What the study of robustness reads."""
        found = self.nets(run, seed) | self.start_inputs(run, None)
        return found | {"estimator": [self.net(run, seed, "estimator")], **self.judge_inputs(run)}

    def held_inputs(self, run: str, seed: str) -> Files:
        """What a study of a net on its data reads: likelihood, gradients, variance."""
        return self.nets(run, seed) | {"data": [self.data_of(run)]}

    def listen_inputs(self, run: str) -> Files:
        """What is written as audio: samples of the first training seed."""
        seed = self.params.runs[run].seeds[0]
        return {"data": [self.data_of(run)], "samples": [self.samples(run, seed, sampler) for sampler in self.listened(run)]}

    def table_inputs(self, paper: str, table: str) -> Files:
        """What a table is made from, by kind."""
        bound: Table = self.params.tables[paper][table]
        found: Files = {"reported": [f"{PAPERS}/{paper}/reported.csv"]}
        if bound.run is None:
            return found
        layout, rows = self.layouts[paper][table], self.rows(paper, table)
        # Kinds without rows look at the table's run.
        used = list(dict.fromkeys(row["run"] for row in rows if row["run"])) if rows else [bound.run]
        nets = [(run, seed) for run in used for seed in self.params.runs[run].seeds]
        drawn = [row for row in rows if row["run"] and "sampler" in row]
        known: Files = {
            "records": [self.record(row["run"], s, row["sampler"]) for row in drawn for s in self.params.runs[row["run"]].seeds],
            "samples": [self.samples(row["run"], self.params.runs[row["run"]].seeds[0], row["sampler"]) for row in drawn],
            "floor": [self.floor(bound.run)],
            "data": [self.data_of(bound.run)],
            "levels": [file for run in used for file in self.levels(run).get("levels", [])],
            "audio": [f"{self.tables}/audio/{bound.run}"] if drawn else [],
            "likelihood": [self.likelihood(run, seed) for run, seed in nets],
            "curves": [self.curve(run, self.params.runs[run].seeds[0]) for run in used],
            **{kind: [self.study(run, seed, kind) for run, seed in nets] for kind in STUDIES},
        }
        for name in READS[layout["kind"]]:
            if name == "likelihood" and "nll" not in [column.get("metric") for column in layout.get("columns", [{"metric": "nll"}])]:
                continue
            found["records" if name in STUDIES else name] = list(dict.fromkeys(known[name]))
        return found | {"made": [self.makers[path] for name in MEASURED for path in found.get(name, [])]}

    def curve(self, run: str, seed: int, kind: str = "net") -> str:
        """The loss curve of a run's training."""
        return f"{self.tables}/curves/{self.trained(run)}-s{seed}-{kind}.csv"

    def table_files(self, suffix: str = ".md") -> list[str]:
        """All tables of this scale."""
        return [f"{self.tables}/{paper}/{name}{suffix}" for paper, tables in self.params.tables.items() for name in tables]

    def has_figure(self, paper: str, table: str) -> bool:
        """Whether a table has a picture at this scale."""
        return drawn(self.layouts[paper][table], self.params.tables[paper][table].run, self.rows(paper, table))

    def papers_with(self, figure: bool) -> str:
        """A pattern of the papers in the names of tables that have a picture, or have none: it looks ahead at the table."""
        found = {paper: [name for name in tables if self.has_figure(paper, name) == figure] for paper, tables in self.params.tables.items()}
        return "|".join(f"{paper}(?=/(?:{'|'.join(map(re.escape, names))})[.])" for paper, names in found.items() if names) or "(?!)"

    def plots(self) -> list[str]:
        """Tables by steps as wide CSV, which `dvc plots` can draw."""
        return [
            f"{self.tables}/plots/{paper}-{name}.csv"
            for paper, tables in self.params.tables.items() for name in tables if self.layouts[paper][name]["kind"] in ("steps", "speech")
        ]  # fmt: skip

    def curves(self) -> list[str]:
        """Loss curves of all trainings that some table uses."""
        with_estimator = {run for run, _, sampler in self.rows_used() if self.drawn_by(sampler).adapt == "estimator"}
        with_estimator |= {row["run"] for row in self.all_rows() if "adjusted" in row}
        with_estimator |= {
            table.run for paper, tables in self.params.tables.items() for name, table in tables.items()
            if table.run and self.layouts[paper][name]["kind"] in ("errors", "robustness")
        }  # fmt: skip
        return [
            self.curve(run, seed, kind)
            for run in self.runs_trained() for seed in self.params.runs[run].seeds
            for kind in ("net", *(["estimator"] if run in with_estimator else []))
        ]  # fmt: skip

    @cached_property
    def makers(self) -> dict[str, str]:
        """The provenance of each record that a table may read, by the record's file."""
        runs = [(run, seed) for run in self.params.runs for seed in self.params.runs[run].seeds]
        found = {self.record(*row): self.made("measure", *row) for row in self.rows_used()}
        found |= {self.study(*run, kind): self.made(kind, *run) for run in runs for kind in STUDIES}
        return found | {self.likelihood(*run): self.made("likelihood", *run) for run in runs}

    def searches(self) -> list[str]:
        """Records of all searches that some row uses."""
        searching = [row for row in self.rows_used() if self.params.samplers[row[2]].schedule in METHODS]
        return sorted({self.searched(*row, suffix=".json") for row in searching})

    def costs(self) -> list[str]:
        """What the jobs that take time counted, training, search and sampling: their provenance, and the records of searches."""
        rows, curves = self.rows_used(), self.curves()
        nets = [(run, seed) for run in self.runs_trained() for seed in self.params.runs[run].seeds]
        estimators = [each for each in nets if self.curve(*each, "estimator") in curves]
        searching = [row for row in rows if self.params.samplers[row[2]].schedule in METHODS]
        found = [self.made("train", *net) for net in nets] + [self.made("train_estimator", *net) for net in estimators]
        found += [self.made("search", *row) for row in searching] + [self.made("sample", *row) for row in rows]
        return found + self.searches()

    def benchmarks(self) -> list[str]:
        """Cost records of the jobs that take time: training, search, sampling."""
        found = {path.replace(f"{self.tables}/curves/", "") for path in self.curves()}
        jobs = [f"train{'_estimator' * name.endswith('-estimator.csv')}/{name.rsplit('-', 1)[0]}" for name in found]
        jobs += [f"sample/{run}-s{seed}-{sampler}" for run, seed, sampler in self.rows_used()]
        for path in self.searches():
            run, seed, name = path.rsplit("/", 3)[1:]
            jobs.append(f"search/{run}-{seed}-{name.removesuffix('.json')}")
        return [f"{self.store}/benchmarks/{job}.tsv" for job in sorted(set(jobs))]

    # -- for the rules ------------------------------------------------------------------------------------------

    def made(self, verb: str, *of: str | int) -> str:
        """The file with the provenance of a job.  Args: of: its wildcards."""
        return "/".join([self.store, "provenance", verb, *map(str, of)]) + ".json"

    def spec(self, verb: str, *of: str) -> Frozen:
        """What a job is told.  Args: of: arguments of its spec."""
        if (verb, of) not in self._specs:
            self._specs[verb, of] = getattr(self, f"{verb}_spec")(*of)
        return self._specs[verb, of]

    def job(self, verb: str, of: tuple[str, ...], inputs: Files, outputs: Files, write: bool) -> str:
        """The path of a job's file: it holds spec, inputs and outputs, and is named by their hash.  Args: write: unless it is there."""
        text = canonical({"spec": self.written(verb, *of), "inputs": inputs, "outputs": outputs})
        path = JOBS / f"{verb}-{hashlib.sha256(text.encode()).hexdigest()[:16]}.json"
        if write and not path.exists():
            write_text(path, text)
        return str(path)

    def written(self, verb: str, *of: str) -> dict[str, Any]:
        """A job's spec as it is hashed: without the values that equal a default."""
        return self.spec(verb, *of).model_dump(mode="json", exclude_defaults=True)

    def spec_hash(self, verb: str, *of: str) -> str:
        """Hash of a job's spec, names and values: a change of it runs the job."""
        return fingerprint.job(self.written(verb, *of))

    def code(self, verb: str, *of: str) -> str:
        """Fingerprint of the code behind a job."""
        return fingerprint.code(verb, self.spec(verb, *of))


def read(scale: str | None = None) -> Plan:
    """The plan of params.yaml at a scale."""
    return Plan(load("params.yaml", scale))
