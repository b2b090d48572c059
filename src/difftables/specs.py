"""What each job is told: its spec, as plain JSON. No torch in here."""

from pathlib import PurePosixPath
from typing import Any

from difftables.bindings import Bindings
from difftables.config import Sampler, Table
from difftables.paper_folder import READS
from difftables.params import Loaded

Spec = dict[str, Any]
OF_BACKBONE = (
    "corruption", "prior", "precondition", "conditioning", "density", "target", "weight", "penalty",
    "references", "seen", "sigma_data",
)  # fmt: skip


class Specs(Bindings):
    """What each job of one scale is told, as plain JSON.  Args, Raises: of Bindings."""

    def __init__(self, params: Loaded) -> None:
        super().__init__(params)
        self.root = f"results/{params.scale}"
        self.store, self.tables = f"{self.root}/store", f"{self.root}/tables"

    def run(self, name: str, *parts: str) -> Spec:
        """A run with its data set, net and schedule in place of their names, and the `parts` a job depends on."""
        run = self.params.runs[name].model_dump()
        data = self.dataset(run["data"])
        resolved = {
            "data": data | ({"classes": data["classes"] if run["given"] else 0} if data["medium"] == "images" else {}),
            "net": self.params.nets[run["net"]].model_dump(),
            "schedule": self.params.schedules[run["schedule"]].model_dump(),
        }
        return resolved | {key: run[key] for key in OF_BACKBONE} | {key: run[key] for key in parts}

    def view(self, name: str, *parts: str) -> Spec:
        """A run as one that evaluates its net sees it: with the checkpoint it takes, and the run whose net has its ends."""
        run = self.params.runs[name]
        ends = {"ends": self.view(run.ends), "share": run.share} if run.ends else {}
        return self.run(name, *parts) | ({"at": run.at} if run.at else {}) | ends

    def sampler_run(self, name: str, sampler: Sampler) -> Spec:
        """A run with no more of its adjustment than the sampler reads, so that a change re-runs no other row."""
        parts = ["adjust"] if sampler.adapt or sampler.schedule == "fitted" else []
        spec = self.view(name, *parts, *(["estimator"] if sampler.adapt == "estimator" else []))
        if "adjust" in spec:
            spec["adjust"]["family"] = sampler.family or spec["adjust"]["family"]
        if sampler.adapt is None and "adjust" in spec:  # a fitted schedule reads the family alone
            spec["adjust"] = {key: spec["adjust"][key] for key in ("family", "first")}
        if sampler.prior is not None:
            spec["prior"] = sampler.prior
        if sampler.adapt == "oracle":
            spec["oracle"] = self.run(name, "oracle")["oracle"]
        if sampler.adapt == "estimator":
            spec["estimator"] = {"net": spec["estimator"]["net"]}
        return spec

    def row(self, sampler: str) -> Spec:
        """A sampler as its jobs see it: what names other parts of the spec is left to those."""
        return self.params.samplers[sampler].model_dump(exclude={"family", "steps", "seeds", "prior"})

    def dataset(self, name: str) -> Spec:
        """A data set as its jobs see it: where its files lie in place of the name of its archive."""
        found = self.params.data[name]
        spec = found.model_dump(exclude={"archive", "floor_n"})
        if found.archive is None:
            return spec
        return spec | {"root": str(PurePosixPath(self.params.downloads[found.archive].folder(found.archive)) / (found.root or ""))}

    def data_spec(self, data: str) -> Spec:
        """Of rule data."""
        return {"data": self.dataset(data)}

    def download_spec(self, file: str) -> Spec:
        """Of rule download."""
        found = next(d for d in self.params.downloads.values() if d.url and PurePosixPath(d.path).name == file)
        return found.model_dump(include={"url", "sha256", "size"})

    def extract_spec(self, archive: str) -> Spec:
        """Of rule extract."""
        found = self.params.downloads[archive]
        return {"archive": found.path, "sha256": found.sha256, "by_hand": found.by_hand}

    def weights_spec(self, name: str) -> Spec:
        """Of rule weights."""
        known = {f.url.rsplit("/", 1)[1]: f for f in self.params.features.values() if f.url}
        return {"url": known[name].url, "sha256": known[name].sha256}

    def reference_spec(self, data: str) -> Spec:
        """Of rule reference; its n is that of the floor."""
        own = self.params.evaluation.images.model_dump(include={"n", "floor_repeats"})
        own["n"] = getattr(self.params.data[data], "floor_n", None) or own["n"]
        return {"features": self.features(), "evaluation": own, "scale": self.params.scale}

    def train_spec(self, run: str, seed: str) -> Spec:
        """Of rule train."""
        return {"run": self.run(run, "train", "objective", "vlb_weight"), "seed": int(seed)}

    def levels_name(self, run: str) -> str:
        """What tells a run's chosen levels from others: runs with one data set, schedule and corruption share them."""
        found = self.params.runs[run]
        return f"{found.data}-{found.schedule}-{found.corruption}"

    def levels_run(self, chosen: str) -> str:
        """A run with the levels of that name."""
        return next(run for run in self.params.runs if self.levels_name(run) == chosen)

    def levels_spec(self, chosen: str) -> Spec:
        """Of rule levels."""
        full = self.run(self.levels_run(chosen))
        names = {"levels": chosen, "dataset": self.params.runs[self.levels_run(chosen)].data}
        return {key: full[key] for key in ("data", "schedule", "corruption")} | {"names": names, "scale": self.params.scale}

    def likelihood_spec(self, run: str, seed: str) -> Spec:
        """Of rule likelihood: the bound of the whole chain, and of the shorter ones that a table asks for."""
        used = {steps for row in self.all_rows() if row["run"] == run and row["kind"] == "chains" for steps in row["asked"]}
        training = self.params.runs[run].train
        return {
            "run": self.view(run), "steps": sorted({*used, self.chain(run)}), "evaluation": self.evaluation(run, "likelihood_n", "batch"),
            "trained": {"steps": self.params.runs[run].at or training.steps, "batch": training.batch},
            "variance": "learned" if self.has_variance(run) else "large", "names": self.names(run, seed), "scale": self.params.scale,
        }  # fmt: skip

    def gradients_spec(self, run: str, seed: str) -> Spec:
        """Of rule gradients."""
        own = ("gradient_batch", "gradient_batches")
        return {
            "run": self.view(run, "vlb_weight"), "evaluation": self.evaluation(run, *own), "names": self.names(run, seed),
            "scale": self.params.scale,
        }  # fmt: skip

    def variance_spec(self, run: str, seed: str) -> Spec:
        """Of rule variance."""
        return {
            "run": self.view(run), "evaluation": self.evaluation(run, "variance_levels", "variance_n"), "names": self.names(run, seed),
            "scale": self.params.scale,
        }  # fmt: skip

    def estimator_spec(self, run: str, seed: str) -> Spec:
        """Of rule train_estimator."""
        full = self.run(run, "estimator")
        return {"run": {key: full[key] for key in ("data", "schedule", "corruption", "estimator")}, "seed": int(seed)}

    def search_spec(self, run: str, sampler: str) -> Spec:
        """Of rule search_schedule, for the row that asks for it; what gets frozen is that row, adjusted."""
        row = self.params.samplers[sampler]
        adjusted = {"schedule": "fitted", "adapt": "estimator"}
        used = row.model_copy(update=adjusted if row.schedule == "frozen" else {})
        search = getattr(self.params.search, self.medium(run)).model_dump()
        own = ("frozen_samples", "seed") if row.schedule == "frozen" else tuple(key for key in search if key != "frozen_samples")
        return {
            "run": self.sampler_run(run, used), "sampler": used.model_dump(exclude={"family", "steps", "seeds", "prior"}),
            "method": row.schedule, "steps": self.steps(run, sampler), "search": {key: search[key] for key in own},
            "batch": self.evaluation(run)["batch"], **self.features_of(run),
        }  # fmt: skip

    def sample_spec(self, run: str, sampler: str) -> Spec:
        """Of rule sample."""
        row = self.params.samplers[sampler]
        spec = {"run": self.sampler_run(run, row), "sampler": self.row(sampler), "steps": self.steps(run, sampler)}
        spec |= self.evaluation(run, "n", "seeds", "batch")
        return spec | ({"seeds": row.seeds} if row.seeds else {})

    def measure_spec(self, run: str, seed: str, sampler: str) -> Spec:
        """Of rule measure."""
        names = self.names(run, seed) | {"sampler": sampler}
        own = ("n", "kid_subsets", "kid_subset_size", "neighbours", "is_splits")
        data = self.dataset(self.params.runs[run].data)
        data = data if data["medium"] == "speech" else {"medium": "images"}
        spec = {"names": names, "data": data, "evaluation": self.evaluation(run, *own), "scale": self.params.scale}
        return spec | self.features_of(run)

    def errors_spec(self, run: str, seed: str) -> Spec:
        """Of rule errors."""
        full = self.run(run, "estimator", "oracle")
        full["estimator"] = {"net": full["estimator"]["net"]}
        return {
            "run": {key: full[key] for key in ("data", "schedule", "corruption", "estimator", "oracle")},
            "estimates": ["estimator", {"images": "oracle", "speech": "known_mel"}[self.medium(run)]],
            "evaluation": self.evaluation(run, "error_levels", "error_n"), "names": self.names(run, seed), "scale": self.params.scale,
        }  # fmt: skip

    def robustness_spec(self, run: str, seed: str) -> Spec:
        """Of rule robustness: the adjusted samplers that the figures name, fixed against adjusted."""
        samplers: list[Spec] = []
        for line in (row for row in self.all_rows() if row["run"] == run and "adjusted" in row):
            family = self.params.samplers[line["adjusted"]].family or self.run(run, "adjust")["adjust"]["family"]
            adjusted = self.row(line["adjusted"]) | {"family": family}
            pair = (("fixed", adjusted | {"adapt": None}), ("adjusted", adjusted))
            samplers += [{"name": line["adjusted"], "method": method, **row} for method, row in pair]
        own = ("robustness_schedules", "robustness_n", "robustness_steps")
        search = getattr(self.params.search, self.medium(run)).model_dump(include={"grid", "decades", "digits", "groups", "seed"})
        return {
            "run": self.sampler_run(run, Sampler(rule="ddim", schedule="fitted", adapt="estimator")), "samplers": samplers,
            "search": search, "names": self.names(run, seed), "evaluation": self.evaluation(run, *own),
            "batch": self.evaluation(run)["batch"], "scale": self.params.scale, **self.features_of(run),
        }  # fmt: skip

    def listen_spec(self, run: str) -> Spec:
        """Of rule listen."""
        data = self.dataset(self.params.runs[run].data)
        steps = sorted({steps for table in self._listening(run) for steps in table.steps})
        return {"data": data, "evaluation": self.evaluation(run, "listen"), "samplers": self.listened(run), "steps": steps}

    def table_spec(self, paper: str, table: str) -> Spec:
        """Of rule table: the layout, what runs it, and the words for its foot."""
        bound = self.params.tables[paper][table]
        run = self.params.runs[bound.run] if bound.run else None
        features = self.params.features[self.params.evaluation.images.features]
        used = self.evaluation(bound.run, "n", "seeds") if bound.run else self.params.evaluation.images.model_dump(include={"n", "seeds"})
        data = self.dataset(run.data) if run else {"medium": "images"}
        spec = {
            "paper": paper, "table": table, "layout": self.layouts[paper][table], "rows": self.rows(paper, table), "steps": bound.steps,
            "run": bound.run,
            "dataset": run.data if run else None, "metric": {"net": features.net, "pixels": features.pixels}, "scale": self.params.scale,
            "n": used["n"], "seeds": len(used["seeds"]), "train_seeds": len(run.seeds) if run else 0,
            "data": data if data["medium"] == "speech" else {"medium": "images"},
        }  # fmt: skip
        if run and data["medium"] == "speech":
            spec["model"] = {"precondition": run.precondition, "density": run.density, "steps": run.train.steps, "batch": run.train.batch}
        layout = self.layouts[paper][table]
        told = layout.get("about") or layout["kind"] == "progress"
        if told or set(READS[layout["kind"]]) & {"likelihood", "curves", "gradients", "variance"}:
            spec["about"] = {name: self.about(name) for name in dict.fromkeys(row["run"] for row in self.rows(paper, table)) if name}
        if layout["kind"] == "course":
            spec["courses"] = {row["run"]: self.course(row["run"]) for row in spec["rows"] if row["run"]}
        if "schedules" in layout:
            spec["schedules"] = {name: self.params.schedules[name].model_dump() for name in layout["schedules"]}
        return spec

    def course(self, run: str) -> Spec:
        """What corrupts the samples of a run, and the name of its chosen levels, if any."""
        found = self.params.runs[run]
        return {
            "schedule": self.params.schedules[found.schedule].model_dump(),
            "corruption": found.corruption,
            "levels": self.levels_name(run),
        }

    def about(self, run: str) -> Spec:
        """What a table's foot says of a run."""
        found, net = self.params.runs[run], self.params.nets[self.params.runs[run].net].model_extra or {}
        return {
            "schedule": found.schedule, "chain": self.chain(run), "objective": found.objective, "density": found.density,
            "steps": found.at or found.train.steps, "batch": found.train.batch, "lr": found.train.lr, "width": net.get("width"),
            "dropout": net.get("dropout"), "references": found.references,
        }  # fmt: skip

    def report_spec(self) -> Spec:
        """Of rule report."""
        claims = {name: [claim.model_dump(exclude_unset=True) for claim in paper.claims] for name, paper in self.papers.items()}
        # Pairs, not mappings: canonical JSON sorts keys, a page has an order.
        titles = [[paper, list(tables)] for paper, tables in self.params.tables.items()]
        return {"scale": self.params.scale, "claims": claims, "tables": titles}

    def features(self) -> Spec:
        """The feature network that all metrics of images use."""
        return self.params.features[self.params.evaluation.images.features].model_dump()

    def features_of(self, run: str) -> Spec:
        """The feature network where a run's metrics use one."""
        return {"features": self.features()} if self.medium(run) == "images" else {}

    def evaluation(self, run: str, *keys: str) -> Spec:
        """Numbers of a run's evaluation: those of `keys` that its medium has, or all."""
        found = getattr(self.params.evaluation, self.medium(run)).model_dump()
        return {key: found[key] for key in keys if key in found} if keys else found

    def names(self, run: str, seed: str) -> Spec:
        """What a record says of where it comes from."""
        return {"run": run, "train_seed": int(seed), "dataset": self.params.runs[run].data}

    def _listening(self, run: str) -> list[Table]:
        return [
            table for paper, tables in self.params.tables.items() for name, table in tables.items()
            if table.run == run and self.layouts[paper][name]["kind"] == "listen"
        ]  # fmt: skip

    def listened(self, run: str) -> list[str]:
        """Samplers of a run whose audio is written, in the order of the tables."""
        return list(dict.fromkeys(
            row["sampler"] for paper, tables in self.params.tables.items() for name, table in tables.items()
            if table.run == run and self.layouts[paper][name]["kind"] == "listen"
            for row in self.rows(paper, name) if row["run"]
        ))  # fmt: skip
