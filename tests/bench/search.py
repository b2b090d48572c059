"""The grid search of WaveGrad: ours, which puts candidates into one batch, against the way of a public port, one chain after another."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from bench.harness import Row, Sizes, Timer, compared, interleaved
from bench.subjects import Subject, voice
from difftables.config.sampling import Sampling
from difftables.metrics.scorers import ScorerInputs, search_speech
from difftables.search import grids

PART = "search"


def candidates_of(subject: Subject, steps: int, count: int) -> Tensor:
    """Rates of so many candidates, [count, steps]; three mantissas a step, since the whole grid would take longer to list than to score."""
    settings = subject.search
    whole = grids.enumerate_grid(steps, (settings.decades[0], settings.decades[1]), 3, settings.groups)
    return grids.choose(whole, count, 0)


def batched(subject: Subject, net: nn.Module, candidates: Tensor, utterances: int) -> Callable[[], object]:
    """A function: our search over the candidates."""
    run, steps = subject.loaded(net, utterances), candidates.shape[1]
    sampler: Sampling = subject.sampler
    score = search_speech(ScorerInputs({"data": subject.data}, subject.device, data=subject.run.data, segments=utterances))
    keys = [("search", 0, index) for index in range(utterances)]

    def generate(levels, schedules: int) -> Tensor:
        return run.generate_by_schedule(levels, keys, schedules, sampler, None, part="search")

    def score_of(x: Tensor) -> float:
        return score(run.medium.stored(x)) if torch.isfinite(x).all() else float("inf")

    return lambda: grids.grid_search(candidates, generate, score_of, utterances, subject.search.batch, steps)


@torch.inference_mode()
def one_by_one(net: nn.Module, candidates: Tensor, reference: Tensor, mel: Tensor, mel_of: Callable[[Tensor], Tensor]) -> list[float]:
    """Scores of the candidates: the whole chain of each alone, then the L1 distance of log-mel spectrograms.

    Args: candidates: rates, [K, steps], least noisy first; reference: waveforms, [B, T]; mel: of them, [B, bands, frames].
    Source: the search script of a public WaveGrad port, its idea: DDPM steps with the small variance, clipped at the end of a step.
    """
    scores = []
    for betas in candidates.float():
        alpha, kept = 1 - betas, torch.cumprod(1 - betas, 0)
        x = torch.randn_like(reference)
        for n in reversed(range(len(betas))):
            level = kept[n].sqrt().expand(len(x)).to(x)
            eps = net(x, level, mel)
            x = (x - betas[n] / (1 - kept[n]).sqrt() * eps) / alpha[n].sqrt()
            if n > 0:
                x = x + (betas[n] * (1 - kept[n - 1]) / (1 - kept[n])).sqrt() * torch.randn_like(x)
            x = x.clamp(-1, 1)
        scores.append((mel_of(x) - mel).abs().mean().item())
    return scores


def against_one_by_one(sizes: Sizes, folder: Path, device: torch.device) -> list[Row]:
    """Seconds of a candidate of 6 steps, scored on one utterance, and on as many as our search at scale laptop."""
    subject, timer = voice(folder, device), Timer(device)
    net, steps = subject.net().eval().requires_grad_(False), 6 if sizes.candidates > 2 else 2
    rows = []
    for utterances, count in ((1, sizes.candidates), (sizes.utterances_each, max(2, sizes.candidates // 8))):
        candidates = candidates_of(subject, steps, count)
        reference, _ = subject.dataset.excerpts("search", utterances)
        mel = subject.dataset.mel(reference)

        def alone(candidates=candidates, reference=reference, mel=mel) -> None:
            one_by_one(net, candidates, reference, mel, subject.dataset.mel)

        ours, theirs = interleaved([batched(subject, net, candidates, utterances), alone], sizes.rounds, timer)
        chunk = max(1, subject.search.batch // utterances)
        what = f"a schedule of {steps} steps scored on {utterances} segment{'s' if utterances > 1 else ''}, against one schedule at a time"
        how = (
            f"{count} candidates, {min(chunk, count)} of ours in a batch; same net; theirs: the way of a public WaveGrad port's grid search"
        )
        rows.append(compared(PART, what, ours, theirs, how, timer=timer, unit="s a candidate", per=count))
    return rows


COMPARISONS = [against_one_by_one]
