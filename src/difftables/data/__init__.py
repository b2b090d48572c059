"""Data: readers that turn files into integer tensors, and data sets that turn these into batches."""

from collections.abc import Callable

from torch import Tensor

from difftables.common.variants import Variants
from difftables.data.archives import cifar10, imagenet64, lsun
from difftables.data.image_files import digits, folder
from difftables.data.speech_files import folder as speech_folder
from difftables.data.speech_files import ljspeech, voice

READERS: Variants[Callable[..., tuple[Tensor, Tensor]]] = {
    "digits": digits,
    "folder": folder,
    "cifar10": cifar10,
    "imagenet64": imagenet64,
    "lsun": lsun,
}
# Facts of published data sets, which the plan compares with params.yaml before any job.
HOLDS: dict[str, dict[str, int]] = {
    "digits": {"samples": 1797, "size": 8, "channels": 1, "classes": 10},
    "cifar10": {"samples": 60_000, "size": 32, "channels": 3, "classes": 10},
    "imagenet64": {"samples": 1_281_167, "channels": 3, "classes": 1000},
    "ljspeech": {"samples": 13_100, "rate": 22050},
}
SPEECH_READERS: Variants[Callable[..., list[Tensor]]] = {"voice": voice, "ljspeech": ljspeech, "folder": speech_folder}
