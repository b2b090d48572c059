"""The one training loop: EMA, gradient clip, warm-up, mixed precision, and a state that survives a kill."""

import math
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from difftables.common.arithmetic import sum_in_order
from difftables.common.clock import Phase
from difftables.common.files import kept_at, replacing
from difftables.common.parallel import World
from difftables.config.run import Training
from difftables.diffusion.level import Level
from difftables.training.adam import Adam, clip_gradients

BatchLoss = Callable[[int], tuple[Tensor, Level] | tuple[Tensor, Level, Tensor]]
ONE_PROCESS = World()
CURVE = ["step", "loss", "gradient_norm", "learning_rate", "bound"]


class Stopwatch:
    """Seconds spent in chosen functions, e.g. in a costly target."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.seconds = device, 0.0

    def timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, its time added to `seconds`; waits for a GPU."""

        def measured(*args: Any, **options: Any) -> Any:
            self._wait()
            began = time.perf_counter()
            result = function(*args, **options)
            self._wait()
            self.seconds += time.perf_counter() - began
            return result

        return measured

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


class State:
    """All that a killed run needs to resume with the same bits: weights, averages, optimiser, step, curve and the losses of its next row,
    checkpoints, memory."""

    def __init__(self, net: nn.Module, path: Path, memory: nn.Module | None = None) -> None:
        self.path, self.step, self.curve = path, 0, list[list[float | None]]()
        self.window = list[tuple[float, float, float | None]]()
        self.net, self.memory, self.kept = net, memory or nn.Module(), dict[str, list[Tensor]]()
        self.parameters = list(net.parameters())
        self.values = [p.detach() for p in self.parameters]  # the same memory
        self.average = [value.clone() for value in self.values]
        self.optimiser = Adam(self.parameters)

    def save(self) -> None:
        """Write the state, whole or not at all."""
        with replacing(self.path) as temporary:
            parts = {"net": self.net.state_dict(), "average": self.average, "optimiser": self.optimiser.state()}
            more = {"kept": self.kept, "memory": self.memory.state_dict()}
            torch.save({**parts, **more, "step": self.step, "curve": self.curve, "window": self.window}, temporary)

    def load(self, world: World) -> bool:
        """Load a saved state.  Returns: whether there was one; a damaged one counts as none."""
        if not self.path.exists():
            return False
        try:
            parts = torch.load(self.path, weights_only=True, map_location=self.parameters[0].device)
            average, step, curve, window, kept, memory = (parts[name] for name in ("average", "step", "curve", "window", "kept", "memory"))
        except Exception as error:
            world.say(f"{self.path} is damaged ({type(error).__name__}); starting from step 0")
            return False
        self.net.load_state_dict(parts["net"])
        self.optimiser.load(parts["optimiser"])
        self.memory.load_state_dict({name: value.cpu() for name, value in memory.items()})
        self.average, self.step, self.curve, self.window, self.kept = average, step, curve, window, kept
        return True


def learning_rate(step: int, settings: Training) -> float:
    """lr min(1, (step + 1) / warmup), or min(1, step / warmup) `from_zero`, then constant or a half cosine to zero."""
    rise = min(1.0, (step + (not settings.from_zero)) / settings.warmup) if settings.warmup else 1.0
    past = max(0.0, (step - settings.warmup) / max(1, settings.steps - settings.warmup))
    return settings.lr * rise * (0.5 * (1 + math.cos(math.pi * past)) if settings.cosine else 1.0)


def decay(step: int, settings: Training) -> float:
    """The decay of the average in one step: `ema`, or 0.5^(batch / min(half_life, images / 20)), which copies the weights at first.

    Source: Karras et al. 2022 (EDM), App. F.2, and its released code.
    """
    if settings.half_life is None:
        return settings.ema
    half = min(settings.half_life, 0.05 * step * settings.batch)
    return 0.5 ** (settings.batch / half) if half else 0.0


def train(
    net: nn.Module, batch_loss: BatchLoss, settings: Training, state_path: Path, memory: nn.Module | None = None, world: World = ONE_PROCESS
) -> tuple[dict[str, Tensor], list[list[float | None]]]:
    """Minimise the mean of `batch_loss`, resuming from `state_path` if it is there.

    Args:
        net: trained in place.
        batch_loss: step to (loss per sample [B], their levels [B], maybe their variational bound [B]); draws from streams keyed
            by the step, so that a resumed run repeats the draws of an undisturbed one.
        state_path: where the state is saved, and resumed from if it is there.
        memory: what `batch_loss` remembers from step to step, on the CPU; saved and resumed with the net.
        world: processes with the same net and a shard of every batch each; the first of them saves and prints.
    Returns: the averaged (EMA) weights, those of settings.checkpoints under `kept_at` names, and the curve as rows of CURVE.
    Raises: FloatingPointError naming step and level of a loss that is not finite; SystemExit(143) after SIGTERM,
        with the state saved; both on all processes at once, and the last good state stays on disk.
        ValueError where processes load states of different steps.
    """
    state = State(net, state_path, memory)
    if state.load(world):
        world.say(f"resuming at step {state.step} of {settings.steps}")
    if len(steps := world.all_gather(torch.tensor([state.step])).unique()) > 1:
        raise ValueError(f"processes load states of different steps, {steps.tolist()}; {state_path} must be on a disk that all share")
    device = state.parameters[0].device
    # Reading a loss back stalls a GPU: there losses are read every 20 steps, and before each save.
    read_every = 1 if device.type == "cpu" else 20
    row_every = max(1, settings.steps // 100)
    stopped: list[int] = []
    previous = signal.signal(signal.SIGTERM, lambda number, _frame: stopped.append(number))
    unread: list[tuple[int, Tensor, Level, Tensor, Tensor | None]] = []
    net.train()
    try:
        bar = tqdm(
            range(state.step, settings.steps),
            initial=state.step,
            total=settings.steps,
            desc="train",
            disable=None if world.rank == 0 else True,
        )
        for step in bar:
            rate = learning_rate(step, settings)
            with torch.autocast(device.type, torch.bfloat16, enabled=settings.precision == "bfloat16"):
                losses, level, *bound = batch_loss(step)
            state.optimiser.clear()
            with Phase("backward"), world.answering():
                losses.mean().backward()
            with Phase("optimiser"):
                norm = clip_gradients(state.parameters, settings.clip)
            unread.append((step, losses.detach(), level, norm.detach(), bound[0] if bound else None))
            halt = world.any(bool(stopped))
            reading = (step + 1) % read_every == 0 or (step + 1) % settings.save_every == 0 or step + 1 == settings.steps or halt
            if reading:
                state.window += [_read(*each, state, world) for each in unread]
                unread = []
            with Phase("optimiser"):
                state.optimiser.step(rate)
                torch._foreach_lerp_(state.average, state.values, 1 - decay(step, settings))
            state.step = step + 1
            if state.step in settings.checkpoints:
                state.kept[str(state.step)] = [average.clone() for average in state.average]
            if reading and (len(state.window) >= row_every or step + 1 == settings.steps):
                loss, gradient = (sum_in_order(row[i] or 0.0 for row in state.window) / len(state.window) for i in (0, 1))
                bounds = [row[2] for row in state.window if row[2] is not None]
                state.curve.append([step + 1, loss, gradient, rate, sum_in_order(bounds) / len(bounds) if bounds else None])
                state.window = []
                bar.set_postfix(loss=f"{loss:.4g}", refresh=False)
                if not sys.stderr.isatty() and len(state.curve) % 10 == 0:
                    world.say(f"step {step + 1} of {settings.steps}: loss {loss:.4g}")
            if world.rank == 0 and (state.step % settings.save_every == 0 or halt):
                state.save()
            if halt:
                world.say(f"stopped by SIGTERM at step {state.step}; the same command resumes from there")
                world.any(True)  # all end together: a launcher kills the others once one has ended
                raise SystemExit(128 + signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, previous)
    names = [name for name, _ in net.named_parameters()]
    kept = {f"{kept_at(int(step))}{name}": value for step, values in state.kept.items() for name, value in zip(names, values, strict=True)}
    return dict(zip(names, state.average, strict=True)) | kept, state.curve


def _read(
    step: int, losses: Tensor, level: Level, norm: Tensor, bound: Tensor | None, state: State, world: World
) -> tuple[float, float, float | None]:  # fmt: skip
    """Mean loss, gradient norm and bound (None for none) as numbers.  Raises: FloatingPointError when a loss or norm is not finite."""
    losses = world.all_gather(losses)
    loss, gradient = losses.float().mean().item(), float(norm)
    if math.isfinite(loss) and math.isfinite(gradient):
        return loss, gradient, None if bound is None else world.all_gather(bound).float().mean().item()
    bad = (~torch.isfinite(losses)).nonzero()
    which = int(bad[0]) if len(bad) else int(losses.argmax())
    alpha_bar = world.all_gather(level.alpha_bar)[which].item()
    kept = f"the last good state is {state.path}" if state.path.exists() else "no state was saved before it"
    raise FloatingPointError(
        f"loss {loss:g}, gradient norm {gradient:g} at step {step} (worst at alpha_bar = {alpha_bar:.6g}); {kept}; "
        "lower train.lr or set train.clip"
    )
