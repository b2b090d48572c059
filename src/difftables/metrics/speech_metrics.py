"""Metrics of speech: each a function of a set of utterances with their recordings. No torch until a function runs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from difftables.common.arithmetic import sum_in_order
from difftables.metrics.metric import Measurement, Metric

if TYPE_CHECKING:
    from torch import Tensor

    from difftables.data.speech_set import SpeechSet
    from difftables.metrics.speech import Clip


@dataclass
class SpeechSamples:
    """Generated test utterances as metrics read them, in the order of the recordings.

    Args: audio: int16, [N, T]; threads: of the metrics that take long; only: names of the waveform metrics to compute, None for all.
    """

    speech: "SpeechSet"
    audio: "Tensor"
    threads: int = 1
    only: Sequence[str] | None = None

    @cached_property
    def recordings(self) -> "tuple[Tensor, Tensor]":
        """The recorded test utterances, [N, T], and their lengths, [N]."""
        return self.speech.excerpts("test", len(self.audio))

    @cached_property
    def pairs(self) -> "list[tuple[Clip, Clip]]":
        """(reference, estimate) of each utterance, both cut to its length."""
        from difftables.metrics.speech import Clip

        x0, lengths = self.recordings
        reference, rate = self.speech.stored(x0).numpy(), self.speech.spec.rate
        cut = zip(reference, self.audio.numpy(), lengths.tolist(), strict=True)
        return [(Clip.from_int16(r[:length], rate), Clip.from_int16(e[:length], rate)) for r, e, length in cut]

    @cached_property
    def waveform_scores(self) -> list[dict[str, float | str]]:
        """PESQ, STOI and ESTOI of each utterance by name; the reason as text where one fails."""
        from difftables.metrics.speech import waveform_scores_of

        return waveform_scores_of(self.pairs, self.threads, self.only)

    @cached_property
    def mel_powers(self) -> list[tuple[Any, Any]]:
        """Mel powers of (reference, estimate) of each utterance, [bands, frames], cut to its length."""
        x0, lengths = self.recordings
        frames = [max(1, length // self.speech.spec.hop) for length in lengths.tolist()]
        reference, estimate = mel_powers(self.speech, self.speech.stored(x0)), mel_powers(self.speech, self.audio)
        return [(r[:, :k], e[:, :k]) for r, e, k in zip(reference, estimate, frames, strict=True)]

    @cached_property
    def failures(self) -> list[str | None]:
        """Why no metric can score an utterance, or None."""
        from difftables.metrics.speech import unscorable

        return [unscorable(ref=ref, est=est) for ref, est in self.pairs]


def mel_powers(speech: "SpeechSet", x: "Tensor") -> Any:
    """Mel power, [B, bands, frames], of stored or clean waveforms, [B, T], held above the floor."""
    import torch

    from difftables.data.mel import POWER_FLOOR, mel_power
    from difftables.data.speech_set import FULL_SCALE

    x = x.float() / FULL_SCALE if x.dtype == torch.int16 else x
    return mel_power(x, speech.weights, speech.spec.hop).clamp(min=POWER_FLOOR).double().numpy()


def mean(values: Sequence[float | str], variant: str = "", **settings: str | int) -> Measurement:
    """The mean of the values that could be computed, and how many could not; a reason for failure is text."""
    numbers = [value for value in values if not isinstance(value, str)]
    return Measurement(sum_in_order(numbers) / len(numbers) if numbers else None, len(values) - len(numbers), variant, settings)


def pesq(samples: SpeechSamples) -> list[Measurement]:
    """PESQ in each band that the rate allows, the widest first."""
    from difftables.metrics.speech import pesq_variants

    return [
        mean([each[name] for each in samples.waveform_scores], band, band=band, rate=rate // 1000)
        for name, rate, band in pesq_variants(samples.speech.spec.rate)
        if samples.only is None or name in samples.only
    ]


def stoi(samples: SpeechSamples) -> list[Measurement]:
    """STOI."""
    return [mean([each["STOI"] for each in samples.waveform_scores])]


def estoi(samples: SpeechSamples) -> list[Measurement]:
    """Extended STOI."""
    return [mean([each["ESTOI"] for each in samples.waveform_scores])]


def mel_cepstral_distortion(samples: SpeechSamples) -> list[Measurement]:
    """MCD-13 in dB."""
    from difftables.metrics.speech import mel_cepstral_distortion

    return of_mel_powers(samples, mel_cepstral_distortion)


def log_mel_distance(samples: SpeechSamples) -> list[Measurement]:
    """Log-mel distance, in units of log10 of the power."""
    from difftables.metrics.speech import log_mel_distance

    return of_mel_powers(samples, log_mel_distance)


def of_mel_powers(samples: SpeechSamples, distance: Callable[..., float]) -> list[Measurement]:
    """The mean of a distance between mel powers, over the utterances that can be scored."""
    pairs = zip(samples.failures, samples.mel_powers, strict=True)
    return [mean([reason or distance(ref=reference, est=estimate) for reason, (reference, estimate) in pairs])]


# A constant: the study of robustness takes this metric only, and a change of METRICS does not run it again.
PESQ = Metric("PESQ", "PESQ-{band}@{rate}k", "MOS-LQO", "higher", pesq, "nb|wb")
