"""Sampling: ours against diffusers' DDIM pipeline, and against ours in other ways."""

from pathlib import Path

import torch
from torch import nn

from bench.harness import Row, Sizes, Timer, compared, interleaved
from bench.subjects import Subject, digits
from bench.variants import variants
from difftables.metrics.torchvision_stub import torchvision_operators

PART = "sampling"


def pipeline_of(unet: nn.Module, subject: Subject):
    """diffusers' DDIM pipeline, silent, with the run's linear schedule and clipping."""
    from diffusers import DDIMPipeline, DDIMScheduler

    schedule = subject.run.schedule
    scheduler = DDIMScheduler(
        schedule.steps, schedule.first, schedule.last, "linear", clip_sample=True, set_alpha_to_one=True, timestep_spacing="leading"
    )
    pipeline = DDIMPipeline(unet, scheduler)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(subject.device)


def diffusers_net(subject: Subject) -> nn.Module:
    """diffusers' UNet2DModel with the run's widths: as many parameters as our net."""
    from diffusers import UNet2DModel

    torch.manual_seed(0)
    widths = tuple(subject.run.net.model_extra["width"] * m for m in subject.run.net.model_extra["mult"])
    data = subject.run.data
    return UNet2DModel(
        data.size, data.channels, data.channels, block_out_channels=widths, layers_per_block=1, norm_num_groups=4,
        attention_head_dim=widths[-1], down_block_types=("DownBlock2D", "AttnDownBlock2D"), up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    ).to(subject.device).eval()  # fmt: skip


def wrapped_for_diffusers(net: nn.Module, subject: Subject) -> nn.Module:
    """Our net as a model of diffusers."""
    from diffusers import ConfigMixin, ModelMixin
    from diffusers.configuration_utils import register_to_config
    from diffusers.models.unets.unet_2d import UNet2DOutput

    class Wrapped(ModelMixin, ConfigMixin):
        @register_to_config
        def __init__(self, sample_size: int, in_channels: int) -> None:
            super().__init__()
            self.net = net

        def forward(self, sample, timestep):
            return UNet2DOutput(sample=self.net(sample, timestep.to(sample.device).expand(len(sample))))

    return Wrapped(subject.run.data.size, subject.run.data.channels).eval()


def against_diffusers(sizes: Sizes, folder: Path, device: torch.device) -> list[Row]:
    """Digits by DDIM: ours, diffusers' pipeline with the same net, and with its own net of as many parameters."""
    torchvision_operators()  # which diffusers imports
    subject, timer = digits(folder, device), Timer(device)
    net, theirs = subject.net().eval(), diffusers_net(subject)
    counts = [sum(p.numel() for p in each.parameters()) for each in (net, theirs)]
    functions = [subject.draw(net, sizes.images, sizes.steps)]
    for unet in (wrapped_for_diffusers(net, subject), theirs):
        pipeline = pipeline_of(unet, subject)
        functions.append(lambda pipeline=pipeline: pipeline(sizes.images, num_inference_steps=sizes.steps, output_type="pt"))
    ours, same, own = interleaved(functions, sizes.rounds, timer)
    what = f"{sizes.images} digits, {sizes.steps} DDIM steps, against diffusers' DDIMPipeline"
    return [
        compared(PART, f"{what} of the same net", ours, same, f"one batch; a net of {counts[0]:,} parameters", timer=timer),
        compared(PART, f"{what} of its UNet2DModel", ours, own, f"one batch; its net has {counts[1]:,} parameters", timer=timer),
    ]


def in_other_ways(sizes: Sizes, folder: Path, device: torch.device) -> list[Row]:
    """Digits by DDIM with a variant of the net, against the net as it is."""
    subject, timer = digits(folder, device), Timer(device)
    ways = variants(device, sizes.backend)
    functions = [subject.draw(subject.net(), sizes.images, sizes.steps, wrap=wrap) for wrap in ways.values()]
    *changed, plain = interleaved([*functions, subject.draw(subject.net(), sizes.images, sizes.steps)], sizes.rounds, timer)
    what = f"{sizes.images} digits, {sizes.steps} DDIM steps"
    how = "theirs: our net as it is, float32"
    return [compared(PART, f"{what}, {name}", each, plain, how, timer=timer) for name, each in zip(ways, changed, strict=True)]


COMPARISONS = [against_diffusers, in_other_ways]
