"""The checkpoints that runs of a scale take their nets from: what their job reads, and whether it can. No torch in here."""

from pathlib import Path
from typing import Any

from difftables.common import registry
from difftables.common.errors import ConfigError
from difftables.common.names import local
from difftables.config.data import shape_of
from difftables.config.nets import CheckpointSpec
from difftables.planning.params import Loaded
from difftables.planning.shared_jobs import SharedJobs

READERS = "checkpoints.official"  # module with the names of a diffusers folder's files


class CheckpointFiles(SharedJobs):
    """Checkpoints of one scale.

    Args: params: a checked configuration.
    Raises: ConfigError where the file of a checkpoint in use is not there, or where its runs ask for nets of several shapes.
    """

    def __init__(self, params: Loaded) -> None:
        super().__init__(params)
        self.root = f"results/{params.scale}"
        self.store = f"{self.root}/store"
        try:
            for name in self.used_checkpoints():
                self._check_checkpoint(name)
        except ConfigError as error:
            raise ConfigError(params.files.located(str(error))) from None

    def used_checkpoints(self) -> list[str]:
        """All checkpoints whose nets some table needs."""
        return sorted({str(self.params.runs[run].checkpoint) for run in self.checkpoint_runs()})

    def checkpoint_file(self, name: str) -> str:
        """The file of a checkpoint as our net."""
        return f"{self.store}/checkpoints/{name}.safetensors"

    def checkpoint_parts(self, name: str) -> list[str]:
        """The files of a checkpoint: one, or the weights and config.json of a diffusers folder, which may be in its folder unet."""
        entry = self.params.checkpoints[name]
        path = Path(entry.path(name))
        weights, config = (registry.constant(f"{READERS}.{each}") for each in ("WEIGHTS", "CONFIG"))
        if entry.url or entry.format != "diffusers" or path.suffix == ".safetensors":
            return [str(path)]
        folder = path / "unet" if (path / "unet" / config).exists() else path
        return [str(folder / weights), str(folder / config)]

    def checkpoint_spec(self, name: str) -> CheckpointSpec:
        """Of rule checkpoint.  Raises: ConfigError for a checkpoint that no table uses: its net has the shape of its runs' data."""
        entry = self.params.checkpoints[name]
        if name not in self.used_checkpoints():
            raise ConfigError(f"checkpoints.{name} is in no table's run at scale {self.params.scale}; set the net of a run to it")
        own = {"file": entry.file, "by_hand": entry.by_hand} if entry.by_hand else {}
        return CheckpointSpec(name=name, format=entry.format, sha256=entry.sha256, net=entry.net, shape=self._shapes(name)[0][1], **own)

    def run_notes(self, run: str, paper: str) -> dict[str, Any]:
        """The numbers of a run for a table's foot; of a checkpoint no numbers of training, as others trained it."""
        noted, checkpoint = super().run_notes(run, paper), self.params.runs[run].checkpoint
        return noted if checkpoint is None else noted | dict.fromkeys(("steps", "batch", "lr")) | {"checkpoint": local(checkpoint, paper)}

    def _shapes(self, name: str) -> list[tuple[str, dict[str, int]]]:
        """The runs that use a checkpoint, each with the shape of its data."""
        runs = [run for run in self.checkpoint_runs() if self.params.runs[run].checkpoint == name]
        return [(run, shape_of(self.run_fields(run)["data"])) for run in runs]

    def _check_checkpoint(self, name: str) -> None:
        (first, shape), *others = self._shapes(name)
        for run, other in others:
            if other != shape:
                raise ConfigError(
                    f"runs.{run}.net.checkpoint is {name!r}, but its data ask for a net of {_words(other)}, those of run {first!r} for "
                    f"one of {_words(shape)}; write a second checkpoint"
                )
        entry = self.params.checkpoints[name]
        if entry.url or entry.by_hand or Path(self.checkpoint_file(name)).exists():
            return
        for path in map(Path, self.checkpoint_parts(name)):
            if not path.is_file():
                beside = next(path.parent.glob("*.bin"), None)
                pickled = f"; {beside} is a pickle, which is not opened: save the model with safe_serialization=True" if beside else ""
                raise ConfigError(f"checkpoints.{name}.file: {path} does not exist{pickled}")


def _words(shape: dict[str, int]) -> str:
    return ", ".join(f"{key} {value}" for key, value in shape.items())
