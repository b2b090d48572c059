"""Batches of training: clean samples, conditions and references, each a function of the seed and the step."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from difftables.common.seeds import generator
from difftables.config.run import Training
from difftables.data.augment import augment
from difftables.data.image_set import ImageSet
from difftables.data.speech_set import SpeechSet
from difftables.diffusion.denoiser import Condition
from difftables.training.loop import Stopwatch


@dataclass(frozen=True)
class Batch:
    """One training step's samples.

    Args: x0: clean samples on the device, [B, ...]; cond: the net's condition; stream: of the step's further draws, levels and noise;
        references: arguments of a stable target, `references` and maybe `allowed`, empty for other targets.
    """

    x0: Tensor
    cond: Condition
    stream: Generator
    references: dict[str, Tensor]


def training_batches(
    dataset: ImageSet | SpeechSet, settings: Training, purpose: str, seed: int, references: int | None = None,
    stopwatch: Stopwatch | None = None,
) -> Callable[[int], Batch]:  # fmt: skip
    """The batches of a training, by step.

    The indices of references come from the stream of the batch, their flips and all augmentations from further streams: runs that differ
    only in the number of references have the same batches, levels and noise.

    Args: purpose: "train" or "train-estimator", part of the streams' keys; references: their number with the batch among them; 1 and
        None make none; stopwatch: measures how long references take.
    Raises: ValueError where a class has too few images for references, or the data too few distinct images for a batch.
    """
    referenced = references not in (None, 1)
    if referenced and isinstance(dataset, ImageSet):
        dataset.check_class_sizes()

    def augmented(x: Tensor, labels: Tensor | None, step: int, *keys: str) -> tuple[Tensor, Condition]:
        if not settings.augment:
            return x, labels
        transformed, augmentation = augment(x.cpu(), settings.augment, generator(*keys, "augment", seed, step))
        return transformed.to(x), (labels, augmentation.to(x))

    def with_references(x0: Tensor, labels: Tensor | None, which: Tensor, step: int) -> dict[str, Tensor]:
        assert isinstance(dataset, ImageSet), "the plan refuses references for speech"
        stream = generator(f"{purpose}-references", seed, step)
        others, other_labels = dataset.training_images(which, stream, settings.flip)
        made = {"references": torch.cat([x0, augmented(others, None, step, purpose, "references")[0]])}
        if labels is not None and other_labels is not None:
            made["allowed"] = labels[:, None] == torch.cat([labels, other_labels])
        return made

    make_references = stopwatch.timed(with_references) if stopwatch else with_references

    def batch(step: int) -> Batch:
        stream = generator(purpose, seed, step)
        if not settings.distinct or not isinstance(dataset, ImageSet):
            x0, labels = dataset.training_batch(settings.batch, stream, settings.flip)
            return Batch(*augmented(x0, labels, step, purpose), stream, {})
        which = dataset.sample_indices(max(settings.batch, references or 0), stream, distinct=True)
        x0, labels = dataset.training_images(which[: settings.batch], stream, settings.flip)
        x0, cond = augmented(x0, labels, step, purpose)
        return Batch(x0, cond, stream, make_references(x0, labels, which[settings.batch :], step) if referenced else {})

    return batch
