"""Where the files of a scale lie. No torch in here."""

from difftables.planning.checkpoint_files import CheckpointFiles
from difftables.planning.params import Loaded
from difftables.planning.table_rows import Row


class ResultFiles(CheckpointFiles):
    """Paths of what the jobs of one scale write, from the repository's root.

    Args: params: a checked configuration.
    Raises: ConfigError when a table asks for what params.yaml does not have.
    """

    def __init__(self, params: Loaded) -> None:
        super().__init__(params)
        self.tables = f"{self.root}/tables"

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
