"""Training: ours against a plain PyTorch loop and denoising-diffusion-pytorch's trainer of the same net, and in other ways."""

import contextlib
import copy
import io
import os
import sys
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.harness import Row, Sizes, Timer, compared, interleaved, missing
from bench.jobs import root
from bench.subjects import Subject, digits, plain, sized_batch
from bench.variants import variants
from difftables.metrics.torchvision_stub import torchvision_operators

PART = "training"
PACKAGES = root() / ".cache/bench/lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"


def plain_loop(subject: Subject, net: nn.Module, steps: int, batch: int):
    """A function: the loop that a user of PyTorch writes for the same net, loss, schedule, clipping and average."""
    from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
    from torch.utils.data import DataLoader, TensorDataset

    settings, device = subject.run.train, subject.device
    images = subject.dataset.clean().cpu()
    alpha_bar = subject.schedule.alpha_bar.float().to(device)[:-1].flip(0)  # by timestep, cleanest first

    def epochs():
        while True:
            yield from DataLoader(TensorDataset(images), batch_size=batch, shuffle=True, drop_last=True)

    def loop() -> None:
        optimiser = torch.optim.Adam(net.parameters(), lr=settings.lr)
        average = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(settings.ema))
        for _, (x0,) in zip(range(steps), epochs(), strict=False):
            x0 = x0.to(device)
            t = torch.randint(len(alpha_bar), (len(x0),), device=device)
            kept, noise = alpha_bar[t].reshape(-1, 1, 1, 1), torch.randn_like(x0)
            loss = F.mse_loss(net(kept.sqrt() * x0 + (1 - kept).sqrt() * noise, t), noise)
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), settings.clip)
            optimiser.step()
            average.update_parameters(net)
            loss.item()

    return loop


class InTheirTerms(nn.Module):
    """Our net with the attributes that denoising-diffusion-pytorch reads."""

    def __init__(self, net: nn.Module, channels: int) -> None:
        super().__init__()
        self.net, self.channels, self.out_dim, self.self_condition = net, channels, channels, False

    def forward(self, x: Tensor, time: Tensor, x_self_cond: Tensor | None = None) -> Tensor:
        return self.net(x, time)


class TheirTrainer:
    """denoising-diffusion-pytorch's trainer of our net, which goes on where its last round ended.

    Args: folder: gets the data as PNG files, which its trainer reads; in_memory: whether its loader receives tensors in their place.
    """

    def __init__(self, subject: Subject, net: nn.Module, batch: int, folder: Path, in_memory: bool) -> None:
        from denoising_diffusion_pytorch import denoising_diffusion_pytorch as theirs

        theirs.cpu_count = lambda: 0  # workers of its loader: none, as in ours
        theirs.tqdm = partial(theirs.tqdm, file=io.StringIO())
        settings, data = subject.run.train, subject.run.data
        diffusion = theirs.GaussianDiffusion(
            InTheirTerms(net, data.channels), image_size=data.size, timesteps=subject.run.schedule.steps, objective="pred_noise",
            beta_schedule="linear",
        )  # fmt: skip
        with contextlib.redirect_stdout(io.StringIO()):
            self.trainer = theirs.Trainer(
                diffusion, pictures(subject, folder), train_batch_size=batch, train_lr=settings.lr, train_num_steps=0,
                gradient_accumulate_every=-(-16 // batch), ema_update_every=1, ema_decay=settings.ema, save_and_sample_every=10**9,
                augment_horizontal_flip=False, results_folder=str(folder / "theirs"), calculate_fid=False, max_grad_norm=settings.clip,
            )  # fmt: skip
        if in_memory:
            images = (subject.dataset.clean() + 1) / 2
            self.trainer.dl = (images[torch.randint(len(images), (batch,))] for _ in iter(int, 1))

    def round(self, steps: int) -> None:
        """So many steps more."""
        self.trainer.train_num_steps += steps
        with contextlib.redirect_stdout(io.StringIO()):
            self.trainer.train()


def pictures(subject: Subject, folder: Path) -> Path:
    """The training images as PNG files."""
    from PIL import Image

    found = folder / "pictures"
    if not found.exists():
        found.mkdir()
        images = subject.dataset.tensors["images"][subject.dataset.indices["training"]]
        for index, image in enumerate(images):
            Image.fromarray(image[0].numpy()).save(found / f"{index:04}.png")
    return found


def against_others(sizes: Sizes, folder: Path, device: torch.device) -> list[Row]:
    """Training steps of digits: ours, a plain loop, and denoising-diffusion-pytorch's trainer with its loader and with ours' data."""
    subject, timer = digits(folder, device), Timer(device)
    steps, batch, net = sizes.training_steps, sized_batch(subject, sizes), subject.net()
    functions = [subject.fit(net, steps, batch=batch), plain_loop(subject, copy.deepcopy(net), steps, batch)]
    if trainer_is_installed():
        torchvision_operators()  # which it imports
        os.environ.setdefault("ACCELERATE_USE_CPU", str(device.type == "cpu").lower())
        for in_memory in (False, True):
            trainer = TheirTrainer(subject, copy.deepcopy(net), batch, folder, in_memory)
            functions.append(partial(trainer.round, steps))
    ours, loop, *theirs = interleaved(functions, sizes.rounds, timer)
    what, options = f"a training step of {batch} digits", {"timer": timer, "unit": "s a step", "per": steps}
    how = f"rounds of {steps} steps; same net, batch, loss, clipping and average"
    rows = [compared(PART, f"{what}, against a plain PyTorch loop", ours, loop, f"{how}; its Adam is PyTorch's default", **options)]
    names = ("", ", data in memory")
    details = ("its loader decodes 8x8 PNG files, no workers", "its loader replaced by tensors")
    for name, detail, each in zip(names, details, theirs, strict=False):
        rows.append(
            compared(PART, f"{what}, against denoising-diffusion-pytorch's Trainer{name}", ours, each, f"{how}; {detail}", **options)
        )
    return rows if theirs else [*rows, missing(PART, "denoising-diffusion-pytorch's Trainer", "not installed; `make bench` installs it")]


def trainer_is_installed() -> bool:
    """Whether denoising-diffusion-pytorch can be imported, from the bench's own packages; they come after all others."""
    from importlib.util import find_spec

    if str(PACKAGES) not in sys.path:
        sys.path.append(str(PACKAGES))
    return find_spec("denoising_diffusion_pytorch") is not None


def in_other_ways(sizes: Sizes, folder: Path, device: torch.device) -> list[Row]:
    """Training steps of digits with a variant of the net, against the net as it is; bfloat16 is the setting of that name."""
    subject, timer = digits(folder, device), Timer(device)
    steps, batch = sizes.training_steps, sized_batch(subject, sizes)
    ways = variants(device, sizes.backend)
    functions = [
        subject.fit(subject.net(), steps, batch=batch, wrap=plain, precision="bfloat16") if name == "bfloat16"
        else subject.fit(subject.net(), steps, batch=batch, wrap=wrap)
        for name, wrap in ways.items()
    ]  # fmt: skip
    *changed, unchanged = interleaved([*functions, subject.fit(subject.net(), steps, batch=batch)], sizes.rounds, timer)
    options = {"timer": timer, "unit": "s a step", "per": steps}
    how = "theirs: our net as it is, float32"
    what = f"a training step of {batch} digits"
    return [compared(PART, f"{what}, {name}", each, unchanged, how, **options) for name, each in zip(ways, changed, strict=True)]


COMPARISONS = [against_others, in_other_ways]
