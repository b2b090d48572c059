"""One job's work split over processes that torchrun or `accelerate launch` started. With one process torch is not imported here.

Messages go through accelerate, gradients through DistributedDataParallel. Samples are split here and not by a distributed sampler:
each process draws the whole batch from one stream and takes its shard, so that the numbers do not depend on the count of processes.
"""

import atexit
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class World:
    """The processes of a job.  Args: rank: of this process; size: their count. With one, every method returns what it received."""

    rank: int = 0
    size: int = 1

    def say(self, text: str) -> None:
        """Print a line to stderr, once for all processes."""
        if self.rank == 0:
            print(text, file=sys.stderr, flush=True)

    def shard_size(self, count: int) -> int:
        """Samples of a batch per process.  Raises: ValueError where `count` is no multiple of the processes."""
        if count % self.size:
            raise ValueError(f"train.batch is {count}, which {self.size} processes cannot share; set resources.processes to a divisor")
        return count // self.size

    def shard(self, x: Any) -> Any:
        """This process's rows of a tensor or a Level, [B, ...] to [B / size, ...], or of each in a tuple.

        Raises: ValueError where B is no multiple of the processes.
        """
        if self.size == 1 or x is None:
            return x
        if isinstance(x, tuple):
            return tuple(map(self.shard, x))
        size = self.shard_size(len(x))
        return x[self.rank * size : (self.rank + 1) * size]

    def roll_to_rank(self, x: "Tensor", count: int, dim: int = 0) -> "Tensor":
        """x rolled along `dim`, so that it begins with this process's shard of its first `count` entries."""
        return x if self.size == 1 else x.roll(-self.rank * self.shard_size(count), dim)

    def all_gather(self, x: "Tensor") -> "Tensor":
        """The shards of all processes, joined in the order of their ranks; without gradients."""
        if self.size == 1:
            return x
        from accelerate import PartialState
        from accelerate.utils import gather

        with self.answering():
            return gather(x.detach().to(PartialState().device)).to(x.device)

    def gather_in_order(self, items: list[Any], count: int) -> list[Any]:
        """All `count` items in order.  Args: items: those at rank, rank + size, rank + 2 size, ..., which this process made."""
        if self.size == 1:
            return items
        from accelerate.utils import gather_object

        rounds = range(-(-count // self.size))  # one item of each process at a time, so that messages are short
        with self.answering():
            return [item for i in rounds for item in gather_object(items[i : i + 1])]

    def average_gradients(self, net: "nn.Module") -> "nn.Module":
        """The net to call in training: `backward` then leaves the mean gradient of all processes in the parameters of `net`.

        Each parameter has to be part of each loss.
        """
        if self.size == 1:
            return net
        from torch.nn.parallel import DistributedDataParallel

        with self.answering():
            return DistributedDataParallel(net, forward_sync_buffers=False)  # buffers are constants

    def any(self, flag: bool) -> bool:
        """Whether the flag is set on some process; all of them wait for each other."""
        if self.size == 1:
            return flag
        import torch

        flags = torch.tensor([flag], dtype=torch.int32)  # on the CPU: no GPU is waited for
        with self.answering():
            torch.distributed.all_reduce(flags, torch.distributed.ReduceOp.MAX)
        return bool(flags)

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Name the cause where a message fails inside.  Raises: ConnectionError when another process has ended."""
        try:
            yield
        except RuntimeError as error:
            from torch import OutOfMemoryError

            if self.size == 1 or isinstance(error, OutOfMemoryError):
                raise
            raise ConnectionError(f"another process of this job no longer answers ({str(error).splitlines()[0]})") from None


def launched_world() -> World:
    """The processes of this job, from the environment that their launcher set."""
    return World(int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1)))


@cache
def join(device: str) -> World:
    """The processes of this job, connected.  Args: device: cpu, where messages go by gloo, or cuda, by nccl."""
    if launched_world().size > 1:
        from accelerate import PartialState

        # The others wait here until the first process has its GPUs. The launcher notices at once when one dies.
        options = {"backend": "gloo" if device == "cpu" else "cuda:nccl,cpu:gloo", "timeout": timedelta(days=1)}
        atexit.register(PartialState(cpu=device == "cpu", **options).destroy_process_group)
    return launched_world()
