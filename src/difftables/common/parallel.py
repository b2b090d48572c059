"""One job's work split over processes that torchrun or `accelerate launch` started; with one, torch is not imported here."""

import atexit
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class World:
    """The processes of a job.  Args: rank: of this one; size: how many. With one, all methods give back what they got."""

    rank: int = 0
    size: int = 1

    def say(self, text: str) -> None:
        """Tell people, once."""
        if self.rank == 0:
            print(text, file=sys.stderr, flush=True)

    def share(self, count: int) -> int:
        """Samples of a batch that fall to each process.  Raises: ValueError where they do not divide."""
        if count % self.size:
            raise ValueError(f"train.batch is {count}, which {self.size} processes cannot share; set resources.processes to a divisor")
        return count // self.size

    def part(self, x: Any) -> Any:
        """This process's share of a tensor or a Level, [B, ...], or of each of several.  Raises: ValueError where B does not divide."""
        if self.size == 1 or x is None:
            return x
        if isinstance(x, tuple):
            return tuple(map(self.part, x))
        share = self.share(len(x))
        return x[self.rank * share : (self.rank + 1) * share]

    def led(self, x: "Tensor", count: int, dim: int = 0) -> "Tensor":
        """x turned round along `dim`, so that it begins with this process's part of its first `count` entries."""
        return x if self.size == 1 else x.roll(-self.rank * self.share(count), dim)

    def whole(self, x: "Tensor") -> "Tensor":
        """What `part` took apart, joined again in the order of the processes; without gradients."""
        if self.size == 1:
            return x
        from accelerate import PartialState
        from accelerate.utils import gather

        with _answering():
            return gather(x.detach().to(PartialState().device)).to(x.device)

    def dealt(self, items: list[Any], count: int) -> list[Any]:
        """All of `count` items in order, of which this process has those at rank, rank + size, rank + 2 size, ..."""
        if self.size == 1:
            return items
        from accelerate.utils import gather_object

        rounds = range(-(-count // self.size))  # with one item of each process, so that messages are short
        with _answering():
            return [item for i in rounds for item in gather_object(items[i : i + 1])]

    def average_(self, tensors: "Iterable[Tensor]") -> None:
        """The mean over processes in place of each tensor, in one message."""
        if self.size == 1:
            return
        import torch

        found = list(tensors)
        flat = torch.cat([each.reshape(-1) for each in found])
        with _answering():
            torch.distributed.all_reduce(flat)
        parts = (flat / self.size).split([each.numel() for each in found])
        torch._foreach_copy_(found, list(map(torch.Tensor.view_as, parts, found)))

    def any(self, flag: bool) -> bool:
        """Whether the flag is up on some process; all of them wait for each other."""
        if self.size == 1:
            return flag
        import torch

        found = torch.tensor([flag], dtype=torch.int32)  # on the CPU: no GPU is waited for
        with _answering():
            torch.distributed.all_reduce(found, torch.distributed.ReduceOp.MAX)
        return bool(found)


def here() -> World:
    """The processes of this job, as their launcher put them into the environment."""
    return World(int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1)))


@cache
def join(device: str) -> World:
    """The processes of this job, able to talk.  Args: device: cpu, which talks by gloo, or cuda, by nccl."""
    if here().size > 1:
        from accelerate import PartialState

        # The others wait here until the first process has its GPUs; one that dies is noticed by the launcher, and at once.
        talk = {"backend": "gloo" if device == "cpu" else "cuda:nccl,cpu:gloo", "timeout": timedelta(days=1)}
        atexit.register(PartialState(cpu=device == "cpu", **talk).destroy_process_group)
    return here()


@contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise ConnectionError(f"another process of this job no longer answers ({str(error).splitlines()[0]})") from None
