"""What a data set's medium decides: batches for training, what sampling is given, and how samples are stored."""

from pathlib import Path
from types import SimpleNamespace as Spec

import torch

from difftables.media.images import Images
from difftables.media.speech import Speech
from difftables.variants import Variants

MEDIA: Variants[type[Images] | type[Speech]] = {"images": Images, "speech": Speech}


def of(data: Spec, path: Path | None, device: torch.device) -> Images | Speech:
    """The medium of a data set.  Args: path: its file; None where nothing will be read from it."""
    return MEDIA[data.medium](data, path, device)
