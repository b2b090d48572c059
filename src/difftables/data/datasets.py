"""From a data set's section of params.yaml to its tensors, and from its file to an ImageSet or a SpeechSet."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from difftables.common.variants import Variants
from difftables.config import data as config_data
from difftables.data.image_set import ImageSet
from difftables.data.speech_set import SpeechSet

Data = config_data.Images | config_data.Speech
DATASETS: Variants[type[Any]] = {"images": ImageSet, "speech": SpeechSet}  # by medium


def read_dataset(data: Data) -> dict[str, Tensor]:
    """All samples of a data set, as integers, and which of them are held out; see `read` of its class."""
    tensors: dict[str, Tensor] = DATASETS[data.medium].read(data)
    return tensors


def open_dataset(data: Data, path: Path | None, device: torch.device) -> ImageSet | SpeechSet:
    """A data set with its batches on a device.  Args: path: its file; None where no sample is read."""
    dataset: ImageSet | SpeechSet = DATASETS[data.medium](data, path, device)
    return dataset
