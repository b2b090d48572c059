"""Recordings: mono WAV and FLAC files to 16-bit samples; recordings that would spoil a table are refused by name."""

import struct
from pathlib import Path

import numpy as np

SUFFIXES = {".wav", ".flac"}
SILENT = 33  # of 32,768: a recording whose loudest sample is below -60 dB of full scale is silence
CLIPPED_RUN = 8  # consecutive samples at full scale
CLIPPED_SHARE = 0.001  # of the samples in such runs
DEEP_ENOUGH = ("PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")


def find_recordings(root: Path) -> list[Path]:
    """All recordings below a folder, sorted by path.  Raises: ValueError naming a folder without any."""
    paths = sorted(path for path in root.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not paths:
        raise ValueError(f"no recordings ({', '.join(sorted(SUFFIXES))}) below {root}; put them there or correct `root` in params.yaml")
    return paths


def resampled(samples: np.ndarray, rate: int, new_rate: int) -> np.ndarray:
    """Float samples, [T, ...], from one rate to another, in Hz, by SciPy's polyphase filter (Kaiser window)."""
    from scipy.signal import resample_poly

    if rate == new_rate:
        return samples
    divisor = int(np.gcd(rate, new_rate))
    return resample_poly(samples, new_rate // divisor, rate // divisor)


def to_int16(samples: np.ndarray) -> np.ndarray:
    """[-1, 1] to int16, rounded to nearest; values outside are clipped."""
    return np.clip(np.round(samples * 32768), -32768, 32767).astype(np.int16)


def read_recording(path: Path, rate: int, convert: bool = False) -> np.ndarray:
    """A recording as int16, [T].

    Args: rate: of the file, in Hz; convert: resample and mix down a file of another rate or of several channels instead of refusing it.
    Raises: ValueError, one line naming the file, for another rate, stereo, 8 bits, an empty, silent, clipped or truncated
        file, and for one that is no recording.
    """
    import soundfile

    try:
        with soundfile.SoundFile(str(path)) as file:
            if not convert and file.samplerate != rate:
                raise ValueError(f"{path} has {file.samplerate} Hz, not {rate} Hz; set `rate`, or `convert: true`, in params.yaml")
            if not convert and file.channels != 1:
                raise ValueError(f"{path} has {file.channels} channels; mix it down to one, or set `convert: true` in params.yaml")
            if file.subtype not in DEEP_ENOUGH:
                raise ValueError(f"{path} is {file.subtype}; 16 bits or more are needed, since 8 bits add noise")
            if truncated(path):
                raise ValueError(f"{path} is truncated: its header promises more samples than it holds; copy it again")
            expected, samples = file.frames, file.read(dtype="float64", always_2d=True)
            if len(samples) < expected:
                raise ValueError(f"{path} is truncated: {len(samples)} of {expected} samples; copy it again")
            file_rate = file.samplerate
    except (soundfile.LibsndfileError, OSError) as error:
        raise ValueError(f"{path} cannot be read as a recording ({error}); replace or delete it") from None
    if not np.isfinite(samples).all():
        raise ValueError(f"{path} holds values that are not finite; replace or delete it")
    if not len(samples):
        raise ValueError(f"{path} is empty; replace or delete it")
    if clipped_samples(np.abs(samples).max(axis=1) >= 32767 / 32768) > max(CLIPPED_RUN, CLIPPED_SHARE * len(samples)):
        raise ValueError(f"{path} is clipped; record it at a lower level or delete it")
    mono = to_int16(resampled(samples.mean(axis=1), file_rate, rate))
    if np.abs(mono.astype(np.int32)).max(initial=0) < SILENT:
        raise ValueError(f"{path} is silent; replace or delete it")
    return mono


def clipped_samples(full_scale: np.ndarray) -> int:
    """How many samples are in runs of at least CLIPPED_RUN at full scale.  Args: full_scale: whether each sample is, [T]."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], full_scale, [False]]).astype(np.int8)))
    lengths = edges[1::2] - edges[::2]
    return int(lengths[lengths >= CLIPPED_RUN].sum())


def truncated(path: Path) -> bool:
    """Whether a RIFF file's data chunk is longer than the file, which libsndfile does not report."""
    with open(path, "rb") as file:
        head = file.read(12)
        if head[:4] != b"RIFF" or head[8:] != b"WAVE":
            return False
        size = path.stat().st_size
        while len(chunk := file.read(8)) == 8:
            name, length = struct.unpack("<4sI", chunk)
            if name == b"data":
                # Programs that stream into a pipe write 0xFFFFFFFF or 0.
                return length not in (0, 0xFFFFFFFF) and file.tell() + length > size
            file.seek(length + length % 2, 1)
    return True


def write_wav(path: Path, samples: np.ndarray, rate: int) -> None:
    """Write int16 samples, [T], as a mono WAV file, whole or not at all."""
    import soundfile

    from difftables.common.files import replacing

    with replacing(path) as temporary:
        soundfile.write(str(temporary), samples, rate, subtype="PCM_16", format="WAV")
