"""Where the files of a scale lie. No torch in here."""

from pathlib import Path

from difftables.common import registry
from difftables.common.errors import ConfigError
from difftables.config.data import shape_of
from difftables.planning.params import Loaded
from difftables.planning.specs import JobSpecs
from difftables.planning.table_rows import Row


class ResultFiles(JobSpecs):
    """Paths of what the jobs of one scale write, from the repository's root.

    Args: params: a checked configuration.
    Raises: ConfigError when a table asks for what params.yaml does not have.
    """

    def __init__(self, params: Loaded) -> None:
        super().__init__(params)
        self.root = f"results/{params.scale}"
        self.store, self.tables = f"{self.root}/store", f"{self.root}/tables"
        try:
            for name in self.used_checkpoints():
                self._check_checkpoint(name)
        except ConfigError as error:
            raise ConfigError(params.files.located(str(error))) from None

    def _check_checkpoint(self, name: str) -> None:
        """Raise ConfigError where a checkpoint's file is not there, or where the data of its runs ask for nets of several shapes."""
        first, *others = (run for run in self.used_runs() if self.params.runs[run].checkpoint == name)
        shape = shape_of(self.run_fields(first)["data"])
        for run in others:
            if (other := shape_of(self.run_fields(run)["data"])) != shape:
                raise ConfigError(
                    f"runs.{run}.net.checkpoint is {name!r}, but its data ask for a net of {_words(other)}, those of run {first!r} for "
                    f"one of {_words(shape)}; write a second checkpoint"
                )
        made = Path(self.checkpoint_file(name))
        for path in () if self.params.checkpoints[name].url or made.exists() else self.checkpoint_parts(name):
            if not Path(path).is_file():
                beside = next(Path(path).parent.glob("*.bin"), None)
                pickled = f"; {beside} is a pickle, which is not opened: save the model with safe_serialization=True" if beside else ""
                raise ConfigError(f"checkpoints.{name}.file: {path} does not exist{pickled}")

    def checkpoint_parts(self, name: str) -> list[str]:
        """The files of a checkpoint: one, or the weights and config.json of a diffusers folder, which may be in its folder unet."""
        entry = self.params.checkpoints[name]
        path = Path(entry.path(name))
        weights, config = (registry.constant(f"checkpoints.official.{each}") for each in ("WEIGHTS", "CONFIG"))
        if entry.url or entry.format != "diffusers" or path.suffix == ".safetensors":
            return [str(path)]
        folder = path / "unet" if (path / "unet" / config).exists() else path
        return [str(folder / weights), str(folder / config)]

    def weight_files(self) -> list[str]:
        """The feature network's weights file, where it is not shipped in a package."""
        url = self.params.features[self.params.evaluation.images.features].url
        return [f".cache/weights/{url.rsplit('/', 1)[1]}"] if url else []

    def data_file(self, run: str, suffix: str = "") -> str:
        """The data set of a run, or its features."""
        return f"{self.store}/data/{self.params.runs[run].data}{suffix}.safetensors"

    def samples_file(self, run: str, seed: str | int, sampler: str) -> str:
        """The file of a row's samples."""
        return f"{self.store}/samples/{run}/s{seed}/{self.stem(run, sampler)}.safetensors"

    def record_file(self, run: str, seed: str | int, sampler: str) -> str:
        """The file of a row's metrics."""
        return f"{self.store}/records/{run}/s{seed}/{self.stem(run, sampler)}.json"

    def schedules_file(self, run: str, seed: str | int, sampler: str, suffix: str = ".csv") -> str:
        """The file of a row's searched schedules, or of what was counted."""
        return f"{self.store}/schedules/{run}/s{seed}/{self.stem(run, sampler)}{suffix}"

    def likelihood_file(self, run: str, seed: str | int) -> str:
        """The file of the bound of a run's net."""
        return f"{self.store}/likelihood/{run}/s{seed}.json"

    def study_file(self, run: str, seed: str | int, kind: str) -> str:
        """The file of a study of a trained run."""
        return f"{self.store}/studies/{run}/s{seed}/{kind}.json"

    def floor_file(self, run: str) -> str:
        """The file of what the metrics say of real against real, on the run's data."""
        return f"{self.store}/records/reference/{self.params.runs[run].data}.json"

    def net_file(self, run: str, seed: str | int, kind: str = "net") -> str:
        """The file of a run's net or estimator, wherever it was trained; of a net that others trained, the converted checkpoint."""
        if kind == "net" and (checkpoint := self.params.runs[run].checkpoint) is not None:
            return self.checkpoint_file(checkpoint)
        return f"{self.store}/nets/{self.trained_run(run)}/s{seed}/{kind}.safetensors"

    def checkpoint_file(self, name: str, suffix: str = ".safetensors") -> str:
        """The file of a checkpoint as our net, or of the report on its tensors."""
        return f"{self.store}/checkpoints/{name}{suffix}"

    def curve_file(self, run: str, seed: int, kind: str = "net") -> str:
        """The loss curve of a run's training."""
        return f"{self.tables}/curves/{self.trained_run(run)}-s{seed}-{kind}.csv"

    def provenance_file(self, verb: str, *of: str | int) -> str:
        """The file with the provenance of a job.  Args: of: its wildcards."""
        return "/".join([self.store, "provenance", verb, *map(str, of)]) + ".json"

    def provenance_of_row(self, verb: str, row: Row) -> str:
        """The file with the provenance of a job of a row."""
        run, seed, sampler = row
        return self.provenance_file(verb, run, seed, self.stem(run, sampler))


def _words(shape: dict[str, int]) -> str:
    return ", ".join(f"{key} {value}" for key, value in shape.items())
