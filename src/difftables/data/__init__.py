"""Data sets: readers give samples as integers; one split serves training, search and metrics."""

from collections.abc import Callable

from torch import Tensor

from difftables.data.archives import cifar10, imagenet64, lsun
from difftables.data.images import digits, folder
from difftables.data.speech import folder as speech_folder
from difftables.data.speech import ljspeech, voice
from difftables.variants import Variants

READERS: Variants[Callable[..., tuple[Tensor, Tensor]]] = {
    "digits": digits,
    "folder": folder,
    "cifar10": cifar10,
    "imagenet64": imagenet64,
    "lsun": lsun,
}
SPEECH_READERS: Variants[Callable[..., list[Tensor]]] = {"voice": voice, "ljspeech": ljspeech, "folder": speech_folder}
