"""Data sets: readers give uint8 images and labels; one split serves training, search and metrics."""

from collections.abc import Callable

from torch import Tensor

from difftables.data.images import digits, folder

READERS: dict[str, Callable[..., tuple[Tensor, Tensor]]] = {"digits": digits, "folder": folder}
