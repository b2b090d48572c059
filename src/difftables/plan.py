"""What the workflow makes: file names, the spec of each job, and the jobs behind each table. No torch in here."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from difftables import fingerprint
from difftables.config import Params, Sampler, Table
from difftables.io import canonical
from difftables.layouts import PAPERS, read_layout, read_yaml, samplers_of
from difftables.names import ConfigError, nearest
from difftables.params import load

Spec = dict[str, Any]
OF_BACKBONE = (
    "corruption", "prior", "precondition", "conditioning", "density", "target", "weight", "penalty",
)  # fmt: skip


class Plan:
    """The plan of one scale.

    Args: params: a checked configuration.
    Raises: ConfigError when tables.yaml names something that params.yaml has not.
    """

    def __init__(self, params: Params) -> None:
        self.params = params
        self.root = f"results/{params.scale}"
        self.store, self.tables = f"{self.root}/store", f"{self.root}/tables"
        self.layouts = {paper: read_layout(paper) for paper in params.tables}
        for paper, layout in self.layouts.items():
            for name in params.tables[paper]:
                if name not in layout:
                    raise ConfigError(f"tables.{paper}.{name} is not in {PAPERS}/{paper}/tables.yaml{nearest(name, layout)}")
                for sampler in samplers_of(layout[name], "sampler") + samplers_of(layout[name], "adjusted"):
                    if sampler not in params.samplers:
                        raise ConfigError(
                            f"{PAPERS}/{paper}/tables.yaml: {name} needs the sampler {sampler!r}{nearest(sampler, params.samplers)}"
                        )

        self._check_schedule_files()

    def _check_schedule_files(self) -> None:
        """Read the schedule files of rows that some table shows, before any job: a user wrote them by hand."""
        for run, _, name in self._rows_used():
            path = self.params.samplers[name].schedule
            if not path.endswith(".csv"):
                continue
            from difftables import schedules  # imports torch, which no other plan needs

            try:
                found = schedules.read(Path(path))
            except ValueError as error:
                raise ConfigError(str(error)) from None
            for steps in self.steps(run):
                if steps not in found:
                    raise ConfigError(f"samplers.{name}.schedule: {path} has no schedule of {steps} steps, which a table asks for")

    # -- specs: what each job is told, as plain JSON ------------------------------------------------------------

    def run(self, name: str, *parts: str) -> Spec:
        """A run with its data set, net and schedule in place of their names, and the `parts` a job depends on."""
        run = self.params.runs[name].model_dump()
        resolved = {
            "data": self.params.data[run["data"]].model_dump(),
            "net": self.params.nets[run["net"]].model_dump(),
            "schedule": self.params.schedules[run["schedule"]].model_dump(),
        }
        return resolved | {key: run[key] for key in OF_BACKBONE} | {key: run[key] for key in parts}

    def sampler_run(self, name: str, sampler: Sampler) -> Spec:
        """A run with no more of its adjustment than the sampler reads, so that a change re-runs no other row."""
        parts = ["adjust"] if sampler.adapt or sampler.schedule == "fitted" else []
        spec = self.run(name, *parts, *(["estimator"] if sampler.adapt == "estimator" else []))
        if sampler.adapt is None and "adjust" in spec:  # a fitted schedule reads the family alone
            spec["adjust"] = {key: spec["adjust"][key] for key in ("family", "first")}
        if sampler.adapt == "oracle":
            spec["oracle"] = self.params.runs[name].oracle.model_dump()
        if sampler.adapt == "estimator":
            spec["estimator"] = {"net": spec["estimator"]["net"]}
        return spec

    def steps(self, run: str) -> list[int]:
        """All step counts that tables ask of a run."""
        tables = [t for group in self.params.tables.values() for t in group.values() if t.run == run]
        return sorted({steps for table in tables for steps in table.steps})

    def data_spec(self, data: str) -> Spec:
        """Of rule data."""
        return {"data": self.params.data[data].model_dump()}

    def weights_spec(self, name: str) -> Spec:
        """Of rule weights."""
        known = {f.url.rsplit("/", 1)[1]: f for f in self.params.features.values() if f.url}
        return {"url": known[name].url, "sha256": known[name].sha256}

    def reference_spec(self) -> Spec:
        """Of rule reference."""
        return {"features": self.features(), "evaluation": self._evaluation("n", "floor_repeats"), "scale": self.params.scale}

    def train_spec(self, run: str, seed: str) -> Spec:
        """Of rule train."""
        return {"run": self.run(run, "train"), "seed": int(seed)}

    def estimator_spec(self, run: str, seed: str) -> Spec:
        """Of rule train_estimator."""
        full = self.run(run, "estimator")
        return {"run": {key: full[key] for key in ("data", "schedule", "corruption", "estimator")}, "seed": int(seed)}

    def search_spec(self, run: str, method: str, rule: str) -> Spec:
        """Of rule search_schedule, for the row that asks for it; what gets frozen is that row, adjusted."""
        row = next(s for s in self.params.samplers.values() if (s.schedule, s.rule) == (method, rule))
        adjusted = {"schedule": "fitted", "adapt": "estimator"}
        sampler = row.model_copy(update=adjusted if method == "frozen" else {})
        search = self.params.search.model_dump()
        own = ("frozen_samples", "seed") if method == "frozen" else tuple(key for key in search if key != "frozen_samples")
        return {
            "run": self.sampler_run(run, sampler), "sampler": sampler.model_dump(), "method": method, "steps": self.steps(run),
            "search": {key: search[key] for key in own}, "features": self.features(), "batch": self.params.evaluation.batch,
        }  # fmt: skip

    def sample_spec(self, run: str, sampler: str) -> Spec:
        """Of rule sample."""
        row, evaluation = self.params.samplers[sampler], self.params.evaluation
        return {
            "run": self.sampler_run(run, row), "sampler": row.model_dump(), "steps": self.steps(run),
            "n": evaluation.n, "seeds": evaluation.seeds, "batch": evaluation.batch,
        }  # fmt: skip

    def measure_spec(self, run: str, seed: str, sampler: str) -> Spec:
        """Of rule measure."""
        names = {"run": run, "train_seed": int(seed), "sampler": sampler, "dataset": self.params.runs[run].data}
        own = ("n", "kid_subsets", "kid_subset_size", "neighbours", "is_splits")
        return {"names": names, "features": self.features(), "evaluation": self._evaluation(*own), "scale": self.params.scale}

    def errors_spec(self, run: str, seed: str) -> Spec:
        """Of rule errors."""
        full = self.run(run, "estimator", "oracle")
        full["estimator"] = {"net": full["estimator"]["net"]}
        spec = {key: full[key] for key in ("data", "schedule", "corruption", "estimator", "oracle")}
        names = {"run": run, "train_seed": int(seed), "dataset": self.params.runs[run].data}
        return {"run": spec, "evaluation": self._evaluation("error_levels", "error_n"), "names": names, "scale": self.params.scale}

    def robustness_spec(self, run: str, seed: str) -> Spec:
        """Of rule robustness: the adjusted samplers that the figures name, fixed against adjusted."""
        samplers: list[Spec] = []
        layouts = [self.layouts[paper][name] for paper, tables in self.params.tables.items() for name, t in tables.items() if t.run == run]
        for line in (line for layout in layouts for line in layout.get("rows", []) if "adjusted" in line):
            row = self.params.samplers[line["adjusted"]]
            fixed = row.model_copy(update={"adapt": None})
            samplers += [{"label": f"{line['label']}, {word}", **s.model_dump()} for word, s in (("fixed", fixed), ("adjusted", row))]
        full = self.sampler_run(run, Sampler(rule="ddim", schedule="fitted", adapt="estimator"))
        names = {"run": run, "train_seed": int(seed), "dataset": self.params.runs[run].data}
        own = ("robustness_schedules", "robustness_n", "robustness_steps")
        search = self.params.search.model_dump(include={"decades", "digits", "groups", "seed"})
        return {
            "run": full, "samplers": samplers, "search": search, "features": self.features(), "names": names,
            "evaluation": self._evaluation(*own), "batch": self.params.evaluation.batch, "scale": self.params.scale,
        }  # fmt: skip

    def table_spec(self, paper: str, table: str) -> Spec:
        """Of rule table: the layout, what runs it, and the words for its foot."""
        bound = self.params.tables[paper][table]
        run = self.params.runs[bound.run] if bound.run else None
        features = self.params.features[self.params.evaluation.features]
        return {
            "paper": paper, "table": table, "layout": self.layouts[paper][table], "steps": bound.steps, "run": bound.run,
            "dataset": run.data if run else None, "metric": {"net": features.net, "pixels": features.pixels}, "scale": self.params.scale,
            "n": self.params.evaluation.n, "seeds": len(self.params.evaluation.seeds),
            "train_seeds": len(run.seeds) if run else 0,
        }  # fmt: skip

    def report_spec(self) -> Spec:
        """Of rule report."""
        claims = {paper: read_yaml(PAPERS / paper / "claims.yaml") for paper in self.params.tables}
        # Pairs, not mappings: canonical JSON sorts keys, a page has an order.
        titles = [[paper, list(tables)] for paper, tables in self.params.tables.items()]
        return {"scale": self.params.scale, "claims": claims, "tables": titles}

    def features(self) -> Spec:
        """The feature network that all metrics use."""
        return self.params.features[self.params.evaluation.features].model_dump()

    def _evaluation(self, *keys: str) -> Spec:
        return {key: getattr(self.params.evaluation, key) for key in keys}

    # -- files ------------------------------------------------------------------------------------------------

    def weights(self) -> list[str]:
        """The feature network's weights file, where it is not shipped in a package."""
        url = self.params.features[self.params.evaluation.features].url
        return [f".cache/weights/{url.rsplit('/', 1)[1]}"] if url else []

    def data_of(self, run: str, suffix: str = "") -> str:
        """The data set of a run, or its features."""
        return f"{self.store}/data/{self.params.runs[run].data}{suffix}.safetensors"

    def sample_inputs(self, run: str, seed: str, sampler: str) -> dict[str, str]:
        """What sampling one row reads besides the net."""
        row, found = self.params.samplers[sampler], {}
        if row.adapt == "estimator":
            found["estimator"] = f"{self.store}/nets/{run}/s{seed}/estimator.safetensors"
        if row.adapt == "oracle":
            found["data"] = self.data_of(run)
        if row.schedule in ("searched", "frozen"):
            found["schedules"] = f"{self.store}/schedules/{run}/s{seed}/{row.schedule}-{row.rule}.csv"
        elif row.schedule.endswith(".csv"):
            found["schedules"] = row.schedule
        return found

    def search_inputs(self, run: str, seed: str, method: str) -> dict[str, Any]:
        """What a search reads besides the net."""
        if method == "frozen":
            return {"estimator": f"{self.store}/nets/{run}/s{seed}/estimator.safetensors"}
        return {"features": self.data_of(run, ".features"), "weights": self.weights()}

    def table_inputs(self, paper: str, table: str) -> dict[str, list[str]]:
        """What a table is made from, by kind."""
        bound: Table = self.params.tables[paper][table]
        found: dict[str, list[str]] = {"reported": [f"{PAPERS}/{paper}/reported.csv"]}
        if bound.run is None:
            return found
        layout, run = self.layouts[paper][table], self.params.runs[bound.run]
        folders = [f"{bound.run}/s{seed}" for seed in run.seeds]
        samplers = samplers_of(layout)
        if layout["kind"] in ("steps", "images"):
            found["records"] = [f"{self.store}/records/{f}/{s}.json" for f in folders for s in samplers]
            found["samples"] = [f"{self.store}/samples/{folders[0]}/{s}.safetensors" for s in samplers]
            found["floor"] = [f"{self.store}/records/reference/{run.data}.json"]
            if layout["kind"] == "images":
                found["data"] = [self.data_of(bound.run)]
        else:
            found["records"] = [f"{self.store}/studies/{f}/{layout['kind']}.json" for f in folders]
        return found

    def table_files(self, suffix: str = ".md") -> list[str]:
        """All tables of this scale."""
        return [f"{self.tables}/{paper}/{name}{suffix}" for paper, tables in self.params.tables.items() for name in tables]

    def plots(self) -> list[str]:
        """Tables by steps as wide CSV, which `dvc plots` can draw."""
        return [
            f"{self.tables}/plots/{paper}-{name}.csv"
            for paper, tables in self.params.tables.items() for name in tables if self.layouts[paper][name]["kind"] == "steps"
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
                found.append(f"{self.store}/schedules/{run}/s{seed}/{row.schedule}-{row.rule}.cost.json")
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

    def _rows_used(self) -> list[tuple[str, int, str]]:
        return [
            (table.run, seed, sampler)
            for paper, tables in self.params.tables.items() for name, table in tables.items() if table.run
            for seed in self.params.runs[table.run].seeds for sampler in samplers_of(self.layouts[paper][name])
        ]  # fmt: skip

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
