"""A set of utterances: int16 in its file, [-1, 1) in nets; a vocoder receives the mel spectrogram of an utterance."""

from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from difftables.common.files import load_tensors
from difftables.config import data as config_data
from difftables.data import SPEECH_READERS
from difftables.data.image_files import held_out_mask
from difftables.data.mel import log_mel, mel_filters

FULL_SCALE = 32768


class SpeechSet:
    """Utterances of one data set.

    Held-out utterances are divided by `part`: `test` takes them from the first on, for the tables; `search` and `frozen` from the last
    on, so that no schedule is chosen on the utterances that measure it.

    Args: path: its file.
    Raises: ValueError without a file, or for one of another rate.
    """

    def __init__(self, spec: config_data.Speech, path: Path | None, device: torch.device) -> None:
        if path is None:
            raise ValueError("speech needs its data file, for the mel spectrograms that the net receives; pass its path")
        self.spec, self.device = spec, device
        self.tensors, meta = load_tensors(path, "data")
        if meta["rate"] != spec.rate:
            raise ValueError(f"{path} has {meta['rate']} Hz, the job expects {spec.rate} Hz; delete it and run snakemake")

    @staticmethod
    def read(spec: config_data.Speech) -> dict[str, Tensor]:
        """All utterances in one int16 vector, the start and length of each, and the held-out mask, [N].  Raises: as the reader."""
        options = {key: getattr(spec, key) for key in ("root", "sentences") if getattr(spec, key) is not None}
        options |= {"convert": True} if spec.convert else {}
        utterances = SPEECH_READERS[spec.reader](spec.rate, **options)
        lengths = torch.tensor([len(utterance) for utterance in utterances])
        return {
            "audio": torch.cat(utterances),
            "starts": lengths.cumsum(0) - lengths,
            "lengths": lengths,
            "held_out": held_out_mask(len(utterances), spec.held_out, spec.seed),
        }

    @cached_property
    def weights(self) -> Tensor:
        """Mel filters, [bands, fft / 2 + 1]."""
        return mel_filters(self.spec.rate, self.spec.fft, self.spec.bands, self.spec.lowest, self.spec.highest).to(self.device)

    @cached_property
    def indices(self) -> dict[str, Tensor]:
        """Indices of the utterances of each part, training and held_out."""
        held = self.tensors["held_out"].bool()
        return {"training": (~held).nonzero()[:, 0], "held_out": held.nonzero()[:, 0]}

    def mel(self, x: Tensor) -> Tensor:
        """log10 mel spectrogram, [B, bands, T / hop], of [B, T]."""
        return log_mel(x, self.weights, self.spec.hop)

    def cut(self, which: Tensor, offset: Tensor, length: int) -> Tensor:
        """`length` samples of utterances `which`, [B], from `offset`, [B], on, in [-1, 1); zeros beyond their ends; [B, length]."""
        position = offset[:, None] + torch.arange(length)
        inside = (position >= 0) & (position < self.tensors["lengths"][which][:, None])
        index = (self.tensors["starts"][which][:, None] + position).clamp(0, len(self.tensors["audio"]) - 1)
        return torch.where(inside, self.tensors["audio"][index].float() / FULL_SCALE, 0.0).to(self.device)

    def training_batch(self, count: int, stream: torch.Generator, flip: bool) -> tuple[Tensor, Tensor]:
        """Random segments of training utterances, [count, segment hop], and their mel spectrograms.  Args: flip: ignored."""
        indices = self.indices["training"]
        which = indices[torch.randint(len(indices), (count,), generator=stream)]
        length = self.spec.segment * self.spec.hop
        latest = (self.tensors["lengths"][which] - length).clamp(min=0)
        offset = (torch.rand(count, generator=stream, dtype=torch.float64) * (latest + 1)).long()
        x0 = self.cut(which, offset, length)
        return x0, self.mel(x0)

    def clean(self, part: str = "training", count: int | None = None) -> Tensor:
        """Raise ValueError: no prior is made from utterances."""
        raise ValueError("this prior is made from images, but the data set is speech; choose another `prior` for the run")

    def excerpts(self, part: str, count: int) -> tuple[Tensor, Tensor]:
        """The first `count` utterances of a part, [count, T], and the length of each, [count].

        T is a multiple of the hop: a training segment for `search`, else `excerpt` seconds, or the longest held-out utterance.
        """
        held = self.indices["held_out"]
        which = (held if part == "test" else held.flip(0))[:count]
        lengths, hop = self.tensors["lengths"], self.spec.hop
        length = -(-int(lengths[held].max()) // hop) * hop
        if part == "search":
            length = self.spec.segment * hop
        elif self.spec.excerpt is not None:
            length = min(length, max(1, round(self.spec.excerpt * self.spec.rate / hop)) * hop)
        offset = ((lengths[which] - length) // 2).clamp(min=0)
        return self.cut(which, offset, length), lengths[which].clamp(max=length)

    def shape_and_condition(self, part: str, count: int) -> tuple[tuple[int, ...], Tensor]:
        """Shape of a sample, and the conditions of `count` samples: mel spectrograms of a part, repeated where it has fewer utterances."""
        x0, _ = self.excerpts(part, min(count, len(self.indices["held_out"])))
        mel = self.mel(x0)
        return x0.shape[1:], mel.repeat(-(-count // len(mel)), 1, 1)[:count]

    def held_out(self, count: int) -> tuple[Tensor, Tensor]:
        """The first `count` held-out excerpts, or all there are, and their mel spectrograms."""
        x0, _ = self.excerpts("test", count)
        return x0, self.mel(x0)

    def stored(self, x: Tensor) -> Tensor:
        """Samples as files hold them: int16, clipped.  Raises: FloatingPointError for NaN."""
        if not torch.isfinite(x).all():
            bad = int((~torch.isfinite(x)).flatten(1).any(1).nonzero()[0])
            raise FloatingPointError(f"sample {bad} is not finite; the net or the schedule diverged")
        return (x.cpu() * FULL_SCALE).round().clamp(-FULL_SCALE, FULL_SCALE - 1).to(torch.int16)
