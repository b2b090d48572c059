"""What a data set's medium decides: batches for training, what sampling is given, and how samples are stored."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from difftables.common.variants import Variants
from difftables.config import data as config_data
from difftables.data.image_set import Images
from difftables.data.speech_set import Speech

Data = config_data.Images | config_data.Speech
MEDIA: Variants[type[Any]] = {"images": Images, "speech": Speech}  # each takes a data set of its own medium


def read(data: Data) -> dict[str, Tensor]:
    """All samples of a data set as its reader gives them, and which are held out."""
    tensors: dict[str, Tensor] = MEDIA[data.medium].read(data)
    return tensors


def of(data: Data, path: Path | None, device: torch.device) -> Images | Speech:
    """The medium of a data set.  Args: path: its file; None where nothing will be read from it."""
    medium: Images | Speech = MEDIA[data.medium](data, path, device)
    return medium
