"""What the workflow makes: file names and the jobs behind each table. No torch in here."""

from collections.abc import Callable
from typing import Any

from difftables import fingerprint
from difftables.config import Table
from difftables.io import canonical
from difftables.layouts import PAPERS, samplers_of
from difftables.params import load
from difftables.specs import Specs

Files = dict[str, list[str]]  # what a rule reads, by name


class Plan(Specs):
    """The plan of one scale.

    Args: params: a checked configuration.
    Raises: ConfigError when tables.yaml names something that params.yaml has not.
    """

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
        sentences = getattr(self.params.data[data], "sentences", None)
        return {"sentences": [sentences]} if sentences else {}

    def judge_inputs(self, run: str) -> Files:
        """What a run's metrics read: features of images and maybe weights, or the data themselves."""
        if self.medium(run) == "speech":
            return {"data": [self.data_of(run)]}
        return {"features": [self.data_of(run, ".features")], "weights": self.weights()}

    def given_inputs(self, run: str) -> Files:
        """What a run's net is given besides noise: mel spectrograms, out of the data."""
        return {"data": [self.data_of(run)]} if self.medium(run) == "speech" else {}

    def sample_inputs(self, run: str, seed: str, sampler: str) -> Files:
        """What sampling one row reads besides the net."""
        row, found = self.params.samplers[sampler], self.given_inputs(run)
        if row.adapt == "estimator":
            found["estimator"] = [f"{self.store}/nets/{run}/s{seed}/estimator.safetensors"]
        if row.adapt == "oracle":
            found["data"] = [self.data_of(run)]
        if row.schedule in ("searched", "frozen"):
            found["schedules"] = [f"{self.store}/schedules/{run}/s{seed}/{sampler}.csv"]
        elif row.schedule.endswith(".csv"):
            found["schedules"] = [row.schedule]
        return found

    def search_inputs(self, run: str, seed: str, sampler: str) -> Files:
        """What a search reads besides the net."""
        if self.params.samplers[sampler].schedule == "frozen":
            return {"estimator": [f"{self.store}/nets/{run}/s{seed}/estimator.safetensors"], **self.given_inputs(run)}
        return self.judge_inputs(run) | self.given_inputs(run)

    def robustness_inputs(self, run: str, seed: str) -> Files:
        """What the study of robustness reads besides the net."""
        return {"estimator": [f"{self.store}/nets/{run}/s{seed}/estimator.safetensors"], **self.judge_inputs(run)}

    def listen_inputs(self, run: str) -> Files:
        """What is written as audio: samples of the first training seed."""
        folder = f"{self.store}/samples/{run}/s{self.params.runs[run].seeds[0]}"
        return {"data": [self.data_of(run)], "samples": [f"{folder}/{sampler}.safetensors" for sampler in self.listened(run)]}

    def table_inputs(self, paper: str, table: str) -> Files:
        """What a table is made from, by kind."""
        bound: Table = self.params.tables[paper][table]
        found: Files = {"reported": [f"{PAPERS}/{paper}/reported.csv"]}
        if bound.run is None:
            return found
        layout, run = self.layouts[paper][table], self.params.runs[bound.run]
        folders = [f"{bound.run}/s{seed}" for seed in run.seeds]
        samplers = samplers_of(layout)
        if layout["kind"] in ("errors", "robustness"):
            found["records"] = [f"{self.store}/studies/{f}/{layout['kind']}.json" for f in folders]
            return found
        found["records"] = [f"{self.store}/records/{f}/{s}.json" for f in folders for s in samplers]
        found["samples"] = [f"{self.store}/samples/{folders[0]}/{s}.safetensors" for s in samplers]
        if self.medium(bound.run) == "images":
            found["floor"] = [f"{self.store}/records/reference/{run.data}.json"]
        if layout["kind"] in ("images", "listen"):
            found["data"] = [self.data_of(bound.run)]
        if layout["kind"] == "listen":
            found["audio"] = [f"{self.tables}/audio/{bound.run}"]
        return found

    def table_files(self, suffix: str = ".md") -> list[str]:
        """All tables of this scale."""
        return [f"{self.tables}/{paper}/{name}{suffix}" for paper, tables in self.params.tables.items() for name in tables]

    def plots(self) -> list[str]:
        """Tables by steps as wide CSV, which `dvc plots` can draw."""
        return [
            f"{self.tables}/plots/{paper}-{name}.csv"
            for paper, tables in self.params.tables.items() for name in tables if self.layouts[paper][name]["kind"] in ("steps", "speech")
        ]  # fmt: skip

    def curves(self) -> list[str]:
        """Loss curves of all runs that some table uses."""
        used = {t.run for group in self.params.tables.values() for t in group.values() if t.run}
        kinds = ("net", "estimator")
        return [
            f"{self.tables}/curves/{run}-s{seed}-{kind}.csv"
            for run in sorted(used) for seed in self.params.runs[run].seeds for kind in kinds
        ]  # fmt: skip

    def searches(self) -> list[str]:
        """Cost records of all searches that some row uses."""
        found = []
        for path in self._rows_used():
            run, seed, sampler = path
            row = self.params.samplers[sampler]
            if row.schedule in ("searched", "frozen"):
                found.append(f"{self.store}/schedules/{run}/s{seed}/{sampler}.cost.json")
        return sorted(set(found))

    def benchmarks(self) -> list[str]:
        """Cost records of the jobs that take time: training, search, sampling."""
        found = {path.replace(f"{self.tables}/curves/", "") for path in self.curves()}
        jobs = [f"train{'_estimator' * name.endswith('-estimator.csv')}/{name.rsplit('-', 1)[0]}" for name in found]
        jobs += [f"sample/{run}-s{seed}-{sampler}" for run, seed, sampler in self._rows_used()]
        for path in self.searches():
            run, seed, name = path.rsplit("/", 3)[1:]
            jobs.append(f"search_schedule/{run}-{seed}-{name.removesuffix('.cost.json')}")
        return [f"{self.store}/benchmarks/{job}.tsv" for job in sorted(set(jobs))]

    # -- for the rules ------------------------------------------------------------------------------------------

    def cfg(self, rule: str, *wildcards: str) -> Callable[[Any], str]:
        """A rule's spec as canonical JSON, names and values, as a function of its wildcards."""
        return lambda w: canonical(getattr(self, f"{rule}_spec")(*(w[name] for name in wildcards)))

    def code(self, verb: str, rule: str, *wildcards: str) -> Callable[[Any], str]:
        """Fingerprint of the code behind a rule, as a function of its wildcards."""
        return lambda w: fingerprint.code(verb, getattr(self, f"{rule}_spec")(*(w[name] for name in wildcards)))


def read(scale: str | None = None) -> Plan:
    """The plan of params.yaml at a scale."""
    return Plan(load("params.yaml", scale))
