"""Mel spectrograms, the condition of a vocoder."""

from functools import cache

import torch
from torch import Tensor

POWER_FLOOR = 1e-5  # of a mel band


@cache
def mel_filters(rate: int, fft: int, bands: int, lowest: float, highest: float) -> Tensor:
    """Triangular filters on the mel scale, [bands, fft / 2 + 1], each of height one.

    mel(f) = 2595 log10(1 + f / 700), corners equally spaced in mel between `lowest` and `highest`

    Args: rate, lowest, highest: in Hz; fft: points of the Fourier transform.
    Raises: ValueError when a band is so narrow that it contains no bin of the Fourier transform.
    Source: the HTK scale without normalisation, as in the port of WaveGrad by Vovk.
    """
    ends = 2595 * torch.log10(1 + torch.tensor([lowest, highest], dtype=torch.float64) / 700)
    mels = torch.linspace(ends[0].item(), ends[1].item(), bands + 2, dtype=torch.float64)
    corners = 700 * (10 ** (mels / 2595) - 1)
    frequencies = torch.linspace(0, rate / 2, fft // 2 + 1, dtype=torch.float64)
    rising = (frequencies[None] - corners[:-2, None]) / (corners[1:-1] - corners[:-2])[:, None]
    falling = (corners[2:, None] - frequencies[None]) / (corners[2:] - corners[1:-1])[:, None]
    weights = torch.minimum(rising, falling).clamp(min=0)
    empty = int((weights.sum(dim=1) == 0).sum())
    if empty:
        raise ValueError(f"{empty} of {bands} mel bands contain no frequency of a {fft}-point transform at {rate} Hz; lower `bands`")
    return weights.float()


def mel_power(x: Tensor, weights: Tensor, hop: int) -> Tensor:
    """Power in mel bands, [B, bands, T / hop], of waveforms, [B, T]; a Hann window as long as the transform, centred frames.

    Raises: ValueError for a length that is no multiple of the hop.
    """
    fft = 2 * (weights.shape[1] - 1)
    if x.shape[1] % hop or x.shape[1] <= fft // 2:
        raise ValueError(f"a waveform of {x.shape[1]} samples has no mel spectrogram with fft = {fft}; cut it to a multiple of hop = {hop}")
    window = torch.hann_window(fft, device=x.device, dtype=x.dtype)
    spectrum = torch.stft(x, fft, hop, window=window, center=True, pad_mode="reflect", return_complex=True)
    return weights.to(x) @ spectrum[:, :, :-1].abs().square()


def log_mel(x: Tensor, weights: Tensor, hop: int) -> Tensor:
    """log10 of the power in mel bands, [B, bands, T / hop], of waveforms in [-1, 1], [B, T].

    Departs: the port sets log10(0) to 0, which is a loud band; ours holds power above 1e-5, since a synthetic voice is silent for whole
    frames.
    """
    return mel_power(x, weights, hop).clamp(min=POWER_FLOOR).log10()
