"""What is measured: the digits and the speech run of scale laptop, with random weights."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from bench.harness import Sizes
from difftables.common.files import save_tensors
from difftables.common.parallel import World
from difftables.config.data import Data, Speech
from difftables.config.run_spec import TrainedRun
from difftables.config.sampling import Sampling
from difftables.data.datasets import open_dataset, read_dataset
from difftables.diffusion.denoiser import run_denoiser
from difftables.diffusion.training_schedules import training_schedule
from difftables.nets.build import build_net
from difftables.planning.plan import read
from difftables.sampling.loaded_run import LoadedRun
from difftables.training.batch_loss import denoiser_batch_loss
from difftables.training.batches import training_batches
from difftables.training.loop import Stopwatch, train

SCALE = "laptop"
Wrap = Callable[[nn.Module], Callable[..., Tensor]]


def plain(net: nn.Module) -> Callable[..., Tensor]:
    """The net as it is."""
    return net


class Subject:
    """A run of scale laptop.

    Args: name: PAPER/RUN; sampler: PAPER/SAMPLER, drawn with; folder: for its data file, and for no state of a training.
    """

    def __init__(self, name: str, sampler: str, folder: Path, device: torch.device) -> None:
        plan = read(SCALE)
        self.run: TrainedRun = plan.spec("train", name, "0").run
        drawn = plan.spec("sample", name, sampler)
        self.sampled, self.sampler, self.folder, self.device = drawn.run, drawn.sampler, folder, device
        self.evaluation = plan.params.evaluation
        self.features = plan.params.features["effnetlite0"]
        self.search = getattr(plan.params.search, self.run.data.medium)
        self.data = folder / f"{self.run.data.medium}.safetensors"
        if not self.data.exists():
            save_tensors(self.data, *made_data(self.run.data))
        self.dataset = open_dataset(self.run.data, self.data, device)
        self.schedule = training_schedule(self.run.schedule)

    def net(self) -> nn.Module:
        """The run's net, initialised as always, but for its last layer, which starts at zero."""
        torch.manual_seed(0)
        net = build_net(self.run.net, self.run.data).to(self.device)
        with torch.no_grad():
            for parameter in net.parameters():
                if not bool(parameter.any()):
                    parameter.normal_(0, 0.02)
        return net

    def loaded(self, net: nn.Module, batch: int, wrap: Wrap = plain) -> LoadedRun:
        """The run around a net, ready to sample."""
        net.eval().requires_grad_(False)
        denoise = run_denoiser(self.sampled, wrap(net), self.schedule)
        return LoadedRun(self.sampled, self.dataset, self.schedule, net, denoise, self.device, batch)

    def draw(
        self, net: nn.Module, count: int, steps: int, *, batch: int | None = None, sampler: Sampling | None = None, wrap: Wrap = plain
    ):
        """A function that draws `count` samples in `steps` steps, as a job does."""
        loaded, keys = self.loaded(net, batch or count, wrap), [("bench", index) for index in range(count)]
        return lambda: loaded.generate(keys, sampler or self.sampler, steps, part="test")[0].x

    def fit(self, net: nn.Module, steps: int, *, wrap: Wrap = plain, **settings: object) -> Callable[[], object]:
        """A function that trains a net for so many steps from a fresh optimiser, as a job does for a net without dropout.

        Args: settings: in place of the run's.
        """
        world, stopwatch = World(), Stopwatch(self.device)
        values = {"steps": steps, "warmup": 0, "save_every": steps + 1, "checkpoints": [], **settings}
        settings_of = self.run.train.model_copy(update=values)
        batches = training_batches(self.dataset, settings_of, "train", 0, None, stopwatch)
        denoise = run_denoiser(self.run, wrap(net), self.schedule)
        loss, memory = denoiser_batch_loss(self.run, denoise, self.schedule, batches, world=world, device=self.device, stopwatch=stopwatch)
        return lambda: train(net, loss, settings_of, self.folder / "no-state.pt", memory, world)


def made_data(data: Data) -> tuple[dict[str, Tensor], dict[str, object]]:
    """Tensors and header of a data set's file: digits as they are, noise in place of a voice, which takes minutes to make."""
    if not isinstance(data, Speech):
        return read_dataset(data), {"kind": "data"}
    count, length = 2 * data.held_out, 2 * data.rate
    held_out = torch.zeros(count, dtype=torch.uint8)
    held_out[: data.held_out] = 1
    audio = (3000 * torch.randn(count * length, generator=torch.Generator().manual_seed(0))).to(torch.int16)
    lengths = torch.full((count,), length)
    tensors = {"audio": audio, "starts": lengths.cumsum(0) - lengths, "lengths": lengths, "held_out": held_out}
    return tensors, {"kind": "data", "rate": data.rate}


def digits(folder: Path, device: torch.device) -> Subject:
    """The DDPM of 176,849 parameters on digits, drawn from by DDIM."""
    return Subject("noise_estimation/digits", "noise_estimation/ddim-strided", folder, device)


def voice(folder: Path, device: torch.device) -> Subject:
    """The WaveGrad vocoder at 8 kHz."""
    return Subject("noise_estimation/voice", "noise_estimation/wavegrad-linear", folder, device)


def sized_batch(subject: Subject, sizes: Sizes) -> int:
    """The batch of training: the run's, or 2 where all is tiny."""
    return subject.run.train.batch if sizes.training_steps > 1 else 2
