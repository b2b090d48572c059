"""Readers of speech: each returns utterances, int16, [T], in a fixed order."""

import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from torch import Tensor

from difftables.data import audio, espeak, faults

LJSPEECH_RATE = 22050


def voice(rate: int, sentences: str) -> list[Tensor]:
    """Sentences spoken by espeak-ng, a formant synthesiser, in a fresh process.

    Raises: ValueError where espeak-ng or the sentences are missing.
    """
    import numpy as np

    espeak.read_sentences(Path(sentences))
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "voice.npz"
        process = subprocess.run([sys.executable, "-m", espeak.__name__, sentences, str(target)], capture_output=True, text=True)
        if process.returncode:
            lines = process.stderr.strip().splitlines()
            raise ValueError(lines[-1] if lines else f"espeak-ng ended with status {process.returncode} without a message; run it again")
        with np.load(target) as archive:
            spoken = [archive[name] for name in archive.files]
    converted = (audio.to_int16(audio.resampled(samples / 32768, espeak.RATE, rate)) for samples in spoken)
    return [torch.from_numpy(samples) for samples in converted]


def ljspeech(rate: int, root: str) -> list[Tensor]:
    """The LJSpeech 1.1 archive, unpacked: metadata.csv and wavs/, in the order of metadata.csv.

    Raises: ValueError where the folder is not that archive, or naming the recordings that cannot be used.
    Source: Ito and Johnson 2017, public domain.
    """
    table = Path(root) / "metadata.csv"
    if rate != LJSPEECH_RATE:
        raise ValueError(f"LJSpeech has {LJSPEECH_RATE} Hz, not {rate} Hz; correct data.*.rate in params.yaml")
    if not table.is_file():
        raise ValueError(f"{table} does not exist; unpack LJSpeech-1.1 to {root} or correct `root` in params.yaml")
    names = [line.split("|", 1)[0] for line in table.read_text(encoding="utf-8").splitlines() if line.strip()]
    return _read([Path(root) / "wavs" / f"{name}.wav" for name in names], rate, False)


def folder(rate: int, root: str, convert: bool = False) -> list[Tensor]:
    """All WAV and FLAC files below a folder, sorted by path.

    Raises: ValueError naming the folder without recordings, or the files that cannot be used.
    """
    if not Path(root).is_dir():
        raise ValueError(f"{root} is no folder; put the recordings there or correct `root` in params.yaml")
    return _read(audio.find_recordings(Path(root)), rate, convert)


def _read(paths: list[Path], rate: int, convert: bool) -> list[Tensor]:
    utterances, problems = list[Tensor](), list[str]()
    for path in paths:
        try:
            utterances.append(torch.from_numpy(audio.read_recording(path, rate, convert)))
        except ValueError as error:
            problems.append(str(error))
    faults.refuse(problems, "recordings")
    return utterances
