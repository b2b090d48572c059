"""Where the files of a scale lie. No torch in here."""

from difftables.planning.checkpoint_files import CheckpointFiles
from difftables.planning.params import Loaded
from difftables.planning.shared_jobs import Kind
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

    def wildcards(self, run: str, seed: str | int, sampler: str) -> tuple[str, str, str]:
        """Of the job that stands for a row: run, training seed, and what the sampler's files are called."""
        run, sampler = self.drawn_row(run, sampler)
        return run, str(seed), self.stem(run, sampler)

    def _place(self, run: str, seed: str | int, sampler: str) -> str:
        """Where a row's files lie below the folder of their kind."""
        run, at, stem = self.wildcards(run, seed, sampler)
        return f"{run}/s{at}/{stem}"

    def samples_file(self, run: str, seed: str | int, sampler: str) -> str:
        """The file of a row's samples."""
        return f"{self.store}/samples/{self._place(run, seed, sampler)}.safetensors"

    def record_file(self, run: str, seed: str | int, sampler: str) -> str:
        """The file of a row's metrics."""
        return f"{self.store}/records/{self._place(run, seed, sampler)}.json"

    def schedules_file(self, run: str, seed: str | int, sampler: str, suffix: str = ".csv") -> str:
        """The file of a row's searched schedules, or of what was counted."""
        return f"{self.store}/schedules/{self._place(run, seed, sampler)}{suffix}"

    def likelihood_file(self, run: str, seed: str | int) -> str:
        """The file of the bound of a run's net."""
        return f"{self.store}/likelihood/{self.same_run(run)}/s{seed}.json"

    def study_file(self, run: str, seed: str | int, kind: str) -> str:
        """The file of a study of a trained run."""
        return f"{self.store}/studies/{self.studied_run(run, kind)}/s{seed}/{kind}.json"

    def studied_run(self, run: str, kind: str) -> str:
        """The run in the name of a study: that of robustness holds the samplers that rows ask of its run, and is shared with no other."""
        return run if kind == "robustness" else self.same_run(run)

    def floor_file(self, run: str) -> str:
        """The file of what the metrics say of real against real, on the run's data."""
        return f"{self.store}/records/reference/{self.params.runs[run].data}.json"

    def net_file(self, run: str, seed: str | int, kind: Kind = "net") -> str:
        """The file of a run's net or estimator, wherever it was trained; of a net that others trained, the converted checkpoint."""
        if kind == "net" and (checkpoint := self.params.runs[run].checkpoint) is not None:
            return self.checkpoint_file(checkpoint)
        return f"{self.store}/nets/{self.trained_run(run, kind)}/s{seed}/{kind}.safetensors"

    def curve_file(self, run: str, seed: str | int, kind: Kind = "net") -> str:
        """The loss curve of a run's training."""
        return f"{self.tables}/curves/{self.trained_run(run, kind)}-s{seed}-{kind}.csv"

    def provenance_file(self, verb: str, *of: str | int) -> str:
        """The file with the provenance of a job.  Args: of: its wildcards."""
        return "/".join([self.store, "provenance", verb, *map(str, of)]) + ".json"

    def provenance_of_row(self, verb: str, row: Row) -> str:
        """The file with the provenance of a job of a row."""
        return self.provenance_file(verb, *self.wildcards(*row))
