"""Models of params.yaml: frozen, strict, no unknown keys. `params` reads the file."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from difftables.common import registry
from difftables.common.errors import nearest
from difftables.config.data import Data, Download, Features, Frozen, Images, Once, Seeds, Some
from difftables.config.nets import CheckpointFile, Net
from difftables.config.run import Run, Schedule
from difftables.config.sampling import Sampler, Searches

SCALES = ("smoke", "laptop", "study", "paper", "released")
BASES = {"released": "paper"}  # a scale that is another one but for what its files change
# Keys of a paper's params files; all others are shared.
OF_PAPER = ("page", "schedules", "nets", "checkpoints", "runs", "samplers", "tables")
LABELS = 9  # numbers that tell of an augmentation, as in augment.LABELS


class Evaluation(Frozen):
    """How every cell is measured, whatever the medium."""

    n: Annotated[int, Field(ge=2)]  # samples per seed
    seeds: Seeds  # of sampling
    batch: PositiveInt
    robustness_schedules: Annotated[int, Field(ge=2)]
    robustness_n: Annotated[int, Field(ge=2)]
    robustness_steps: PositiveInt
    error_levels: Annotated[int, Field(ge=2)]
    error_n: Annotated[int, Field(ge=2)]


class ImageEvaluation(Evaluation):
    """How cells of images are measured."""

    features: str
    kid_subsets: PositiveInt
    kid_subset_size: Annotated[int, Field(ge=2)]
    neighbours: Annotated[list[PositiveInt], Some, Once]  # k of precision and recall, each a metric of its own
    is_splits: PositiveInt
    floor_repeats: Annotated[int, Field(ge=2)]
    likelihood_n: Annotated[int, Field(ge=2)]  # held-out images whose bits per dimension are measured
    gradient_batch: Annotated[int, Field(ge=2)]  # samples of a small batch in the study of gradient noise
    gradient_batches: Annotated[int, Field(ge=4)]
    variance_levels: Annotated[int, Field(ge=2)]  # noise levels in the study of targets
    variance_n: Annotated[int, Field(ge=8)]  # noisy samples at each

    @model_validator(mode="after")
    def _enough_samples(self) -> "ImageEvaluation":
        if self.kid_subset_size > self.n:
            raise ValueError(f"has kid_subset_size = {self.kid_subset_size}, larger than n = {self.n} samples")
        if max(self.neighbours) >= self.n:
            raise ValueError(f"has neighbours = {max(self.neighbours)}, which needs more than n = {self.n} samples")
        if self.is_splits > self.n:
            raise ValueError(f"has is_splits = {self.is_splits}, more than its n = {self.n} samples")
        return self


class SpeechEvaluation(Evaluation):
    """How cells of speech are measured; n counts utterances."""

    listen: PositiveInt  # utterances of each row that are written as WAV files

    @model_validator(mode="after")
    def _enough_utterances(self) -> "SpeechEvaluation":
        if self.listen > self.n:
            raise ValueError(f"has listen = {self.listen}, more than the n = {self.n} utterances that are generated")
        return self


class Evaluations(Frozen):
    """The evaluation by medium."""

    images: ImageEvaluation
    speech: SpeechEvaluation


class Table(Frozen):
    """What a table runs on at this scale; null runs nothing and shows only the literature."""

    run: str | None
    runs: dict[str, str | None] = Field(default_factory=dict)  # in place of the runs that rows name; null: these rows are not run
    steps: Annotated[list[PositiveInt], Once]
    n: Annotated[int, Field(ge=2)] | None = None  # samples per seed, in place of the evaluation's
    foot: list[Annotated[str, Field(min_length=1)]] = Field(default_factory=list)  # notes below those of tables.yaml
    lengths: bool = False  # whether it is made for each of the scale's shorter lengths of training too


class Resources(Frozen):
    """What a job asks of the machine."""

    gpu: NonNegativeInt
    threads: PositiveInt
    processes: PositiveInt  # that share one training or sampling job; gpu, threads and train_mb are of each
    train_mb: PositiveInt
    shard: NonNegativeInt  # samples that a sampling job holds at once and keeps from kill to kill; 0 holds all; no result depends on it
    train_minutes: PositiveInt
    sample_minutes: PositiveInt
    teraflops: PositiveFloat  # TFLOP/s that one card sustains, of the GPU-hours that a dry run estimates; no job reads it


class Params(Frozen):
    """params.yaml with the overrides of one scale applied."""

    scale: Literal["smoke", "laptop", "study", "paper", "released"]
    lengths: dict[str, Annotated[int, Field(gt=1)]] = Field(default_factory=dict)  # of shorter training: name and divisor, shortest first
    downloads: dict[str, Download] = Field(default_factory=dict)
    data: dict[str, Data]
    features: dict[str, Features]
    schedules: dict[str, Schedule]
    nets: dict[str, Net]
    checkpoints: dict[str, CheckpointFile] = Field(default_factory=dict)
    runs: dict[str, Run]
    samplers: dict[str, Sampler]
    search: Searches
    evaluation: Evaluations
    tables: dict[str, dict[str, Table]]
    resources: Resources

    @model_validator(mode="after")
    def _references_exist(self) -> "Params":
        for name, data in self.data.items():
            if data.archive is not None:
                _need(data.archive, self.downloads, f"data.{name}.archive")
        owners: dict[str, str] = {}
        for name, download in self.downloads.items():
            if (other := owners.setdefault(download.path, name)) != name:
                raise ValueError(f"downloads.{name} and downloads.{other} would both lie at {download.path}; leave one of them out")
        for name, run in self.runs.items():
            for key, named, known in (("data", run.data, self.data), ("schedule", run.schedule, self.schedules)):
                _need(named, known, f"runs.{name}.{key}")
            if isinstance(run.net, str):
                _need(run.net, self.nets, f"runs.{name}.net")
            else:
                _need(run.net.checkpoint, self.checkpoints, f"runs.{name}.net.checkpoint")
            if run.corruption != "scale" and run.objective.kind != "simple":
                raise ValueError(
                    f"runs.{name} has objective {run.objective.kind}, a bound of plain noise; with corruption {run.corruption} "
                    "set it to simple"
                )
            self._net_fits(name)
            if run.trained is not None:
                _need(run.trained, self.runs, f"runs.{name}.checkpoint_of.run")
            if run.edge_run is not None:
                _need(run.edge_run, self.runs, f"runs.{name}.checkpoint_of.edge_run")
        _need(self.evaluation.images.features, self.features, "evaluation.images.features")
        for paper, tables in self.tables.items():
            for name, table in tables.items():
                if table.run is not None:
                    _need(table.run, self.runs, f"tables.{paper}.{name}.run")
                    self._run_fits(table.run, f"tables.{paper}.{name}.steps", table.steps)
                    self._size_fits(table, f"tables.{paper}.{name}.n")
                for row, played in table.runs.items():
                    if played is not None:
                        _need(played, self.runs, f"tables.{paper}.{name}.runs.{row}")
        for name, sampler in self.samplers.items():
            if sampler.schedule.endswith(".csv") and not Path(sampler.schedule).is_file():
                raise ValueError(f"samplers.{name}.schedule: {sampler.schedule} does not exist")
        for medium in ("images", "speech"):
            # Whoever has nets of others spends hours on the papers' many samples, not on seeds.
            few = min((len(run.seeds) for run in self.runs.values() if self.data[run.data].medium == medium), default=0) < 3
            if few and len(getattr(self.evaluation, medium).seeds) < 3 and self.scale not in ("smoke", "released"):
                raise ValueError(f"evaluation.{medium}.seeds needs at least three seeds for error bars, or each run three of training")
        return self

    def net_of(self, run: str) -> Net:
        """The net of a run: one that is trained here, or a checkpoint's."""
        found = self.runs[run].net
        return self.nets[found] if isinstance(found, str) else self.checkpoints[found.checkpoint].net

    def _net_fits(self, name: str) -> None:
        """A run's objective and what it is given must suit its net and data."""
        run, net, data = self.runs[name], self.net_of(name), self.data[self.runs[name].data]
        if run.objective.kind != "simple" and not (net.model_extra or {}).get("variance"):
            raise ValueError(
                f"runs.{name} has objective {run.objective.kind}, but {run.net_key} has no variance channels; set its variance: true"
            )
        asked = (net.model_extra or {}).get("augment", 0)
        if run.train.augment and asked != LABELS:
            raise ValueError(f"runs.{name}.train.augment needs a net that receives its labels; set {run.net_key}.augment: {LABELS}")
        if (run.train.augment or run.train.distinct) and data.medium != "images":
            raise ValueError(f"runs.{name}.train has augment or distinct, which are for images; data.{run.data} has none")
        if run.condition_on is None:
            return
        classes = data.classes if isinstance(data, Images) else None
        if classes is None:
            raise ValueError(f"runs.{name} is conditioned on labels, but data.{run.data} has none; set its `classes` to how many there are")
        if "classes" not in registry.arguments("nets.NETS", net.kind):
            raise ValueError(f"runs.{name} is conditioned on labels, but {run.net_key}, a {net.kind}, takes no classes")
        if run.target.kind == "stable_field" and 1 < (run.target.references or 0) < 2 * classes:
            raise ValueError(
                f"runs.{name} has target.references = {run.target.references} for {classes} classes, fewer than two of a class on average; "
                "raise it, or set references: 1, which is denoising score matching"
            )

    def _run_fits(self, name: str, key: str, steps: list[int]) -> None:
        """What a table asks of its run must be there."""
        run = self.runs[name]
        longest = self.schedules[run.schedule].steps
        if max(steps, default=0) > longest:
            raise ValueError(f"{key} asks for {max(steps)} steps, but the training schedule of run {name!r} has {longest}")
        if self.data[run.data].medium == "speech":
            self._utterances_fit(run.data, "evaluation.speech.n", self.evaluation.speech.n)

    def _size_fits(self, table: Table, key: str) -> None:
        """A table's number of samples must be one that its metrics can take, and that its data have."""
        if table.n is None or table.run is None:
            return
        name = self.runs[table.run].data
        if self.data[name].medium == "speech":
            self._utterances_fit(name, key, table.n)
            least = {"listen": self.evaluation.speech.listen}
        else:
            images = self.evaluation.images
            least = {"kid_subset_size": images.kid_subset_size, "neighbours": max(images.neighbours) + 1, "is_splits": images.is_splits}
        for number, asked in least.items():
            if table.n < asked:
                raise ValueError(f"{key} = {table.n} samples, but evaluation.{self.data[name].medium}.{number} asks for {asked}; raise it")

    def _utterances_fit(self, name: str, key: str, n: int) -> None:
        """The held-out utterances must suffice for tables and searches."""
        data, search = self.data[name], self.search.speech
        other = max(getattr(search, samples) for samples in registry.keywords("search.methods.METHODS", "samples").values())
        if data.held_out < n + other:
            raise ValueError(
                f"data.{name}.held_out is {data.held_out}, but {n} utterances are measured ({key}) and "
                f"{other} others searched on (search.speech); raise it"
            )


def _need(name: str, known: dict[str, Any], key: str) -> None:
    if name not in known:
        raise ValueError(f"{key} names {name!r}, which is not defined{nearest(name, known)}")
