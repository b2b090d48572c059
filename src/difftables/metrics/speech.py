"""Scores of one utterance against its recording; each name says how it was computed.

Two packages take (reference, degraded), one (clean, noisy, rate): in this module both are keywords, and a clip holds its rate.
"""

import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from typing import Any

import numpy as np

from difftables.common.clock import count_children
from difftables.data.audio import SILENT, read_recording, resampled

CEPSTRA = 13
SHORTEST = 0.25  # s, of PESQ


class Unscorable(ValueError):
    """An utterance that a metric cannot score; it counts as failed and enters no mean."""


@dataclass(frozen=True)
class Clip:
    """Samples in [-1, 1] and their rate in Hz."""

    samples: np.ndarray
    rate: int

    @classmethod
    def from_int16(cls, samples: np.ndarray, rate: int) -> "Clip":
        """A clip of int16 samples, as files hold them."""
        return cls(samples.astype(np.float64) / 32768, rate)

    @classmethod
    def from_file(cls, path: Any, rate: int) -> "Clip":
        """A clip from a WAV or FLAC file.  Raises: ValueError unless its header has `rate`."""
        return cls.from_int16(read_recording(path, rate), rate)


def check(*, ref: Clip, est: Clip) -> None:
    """Raise ValueError for a pair that cannot belong together, Unscorable for one that no metric can score."""
    if ref.rate != est.rate:
        raise ValueError(f"the reference has {ref.rate} Hz, the estimate {est.rate} Hz; resample one of them")
    if ref.samples.shape != est.samples.shape or ref.samples.ndim != 1:
        raise ValueError(f"reference and estimate have {ref.samples.shape} and {est.samples.shape} samples; they need one length")
    for name, clip in (("reference", ref), ("estimate", est)):
        if not np.isfinite(clip.samples).all():
            raise Unscorable(f"{name} is not finite")
        if len(clip.samples) < SHORTEST * clip.rate:
            raise Unscorable(f"{name} is shorter than {SHORTEST} s")
        if np.abs(clip.samples).max(initial=0) < SILENT / 32768:
            raise Unscorable(f"{name} is silent")


def unscorable(*, ref: Clip, est: Clip) -> str | None:
    """Why no metric can score a pair, or None."""
    try:
        check(ref=ref, est=est)
    except Unscorable as reason:
        return str(reason)
    return None


def pesq(*, ref: Clip, est: Clip, rate: int, band: str) -> float:
    """PESQ (MOS-LQO) at 8 or 16 kHz after SciPy's polyphase resampling; band "wb" (16 kHz only) or "nb".

    Raises: Unscorable where the package finds no speech or cannot finish.
    Source: ITU-T P.862, P.862.2; package pesq.
    """
    from pesq import PesqError
    from pesq import pesq as package

    check(ref=ref, est=est)
    pair = [np.clip(resampled(clip.samples, clip.rate, rate), -1, 1).astype(np.float32) for clip in (ref, est)]
    try:
        score = float(package(rate, *pair, band))
    except (PesqError, ValueError) as error:
        if isinstance(error, ValueError) and "NaN" not in str(error):
            raise
        raise Unscorable(f"PESQ: {type(error).__name__}") from None
    if not np.isfinite(score):
        raise Unscorable("PESQ is not finite")
    return score


def stoi(*, ref: Clip, est: Clip, extended: bool) -> float:
    """STOI or extended STOI, at most 1, at the 10 kHz the package resamples to.

    Raises: Unscorable when less than 30 frames hold speech, for which the package only warns.
    Source: Taal et al. 2011, Jensen and Taal 2016; package pystoi.
    """
    from pystoi import stoi as package

    check(ref=ref, est=est)
    np.random.seed(0)  # the package adds noise of 1e-16 from NumPy's global stream, which moves last digits
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        try:
            score = float(package(ref.samples, est.samples, ref.rate, extended=extended))
        except RuntimeWarning as warning:
            raise Unscorable(f"STOI: {' '.join(str(warning).split())[:60]}") from None
    if not np.isfinite(score):
        raise Unscorable("STOI is not finite")
    return score


def cepstra(mel_power: np.ndarray) -> np.ndarray:
    """c_k = 2 / M sum_j L_j cos(pi k (j + 1/2) / M), k = 1 .. 13, of L = ln of the mel amplitude; [M, F] to [13, F]."""
    bands = len(mel_power)
    k = np.arange(1, CEPSTRA + 1)[:, None]
    basis = 2 / bands * np.cos(np.pi * k * (np.arange(bands) + 0.5)[None] / bands)
    return basis @ (0.5 * np.log(mel_power))


def mel_cepstral_distortion(*, ref: np.ndarray, est: np.ndarray) -> float:
    """MCD-13 in dB of mel powers, [bands, frames]: c_1 .. c_13, frame by frame, no time warping.

    10 sqrt(2) / ln 10 mean_t sqrt(sum_k (c_tk - c'_tk)^2)

    With these cepstra it is the root mean square, over mel, of the difference in dB of the two smoothed spectra.
    Source: Kubichek 1993; the papers' number of cepstra, warping and mel analysis are unknown: values do not compare with theirs.
    """
    gap = cepstra(ref) - cepstra(est)
    return float(10 * np.sqrt(2) / np.log(10) * np.sqrt((gap**2).sum(axis=0)).mean())


def log_mel_distance(*, ref: np.ndarray, est: np.ndarray) -> float:
    """Mean |log10 mel power - log10 mel power'| over bands and frames.  Source: the score of the WaveGrad port's search."""
    return float(np.abs(np.log10(ref) - np.log10(est)).mean())


def pesq_variants(rate: int) -> list[tuple[str, int, str]]:
    """(name, rate, band) of the PESQ scores that data of a rate allow: below 16 kHz there is no wide band."""
    if rate < 16000:
        return [("PESQ-nb@8k", 8000, "nb")]
    return [("PESQ-wb@16k", 16000, "wb"), ("PESQ-nb@16k", 16000, "nb")]


def waveform_scores(ref: Clip, est: Clip, names: Sequence[str] | None = None) -> dict[str, float | str]:
    """PESQ, STOI and ESTOI of a pair by name, or those of `names`; the reason as text for one that fails."""
    functions: dict[str, Callable[[], float]] = {
        name: partial(pesq, ref=ref, est=est, rate=rate, band=band) for name, rate, band in pesq_variants(ref.rate)
    }
    functions |= {name: partial(stoi, ref=ref, est=est, extended=extended) for name, extended in (("STOI", False), ("ESTOI", True))}
    values: dict[str, float | str] = {}
    for name, score in functions.items():
        if names is None or name in names:
            try:
                values[name] = score()
            except Unscorable as reason:
                values[name] = str(reason)
    return values


def _scored(task: tuple[Clip, Clip, Sequence[str] | None]) -> dict[str, float | str]:
    return waveform_scores(*task)


def waveform_scores_of(
    pairs: Iterable[tuple[Clip, Clip]], workers: int, names: Sequence[str] | None = None
) -> list[dict[str, float | str]]:
    """`waveform_scores` of many pairs (ref, est), in parallel processes of one thread each."""
    tasks = [(ref, est, names) for ref, est in pairs]
    if workers == 1:
        return [_scored(task) for task in tasks]
    # The children read these variables; this process has read them already.
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        values = list(pool.map(_scored, tasks, chunksize=max(1, len(tasks) // (4 * workers))))
    count_children()
    return values
