"""A synthetic voice: sentences spoken by espeak-ng through ctypes.

Run as a program, `python -m difftables.data.espeak SENTENCES OUT.npz`: a second sentence in one process does not sound
like the same one in a fresh process, so that each corpus is spoken by one fresh process, in the file's order.
"""

import ctypes
import sys
from collections import Counter
from pathlib import Path

import numpy as np

from difftables.data import faults

RATE = 22050  # Hz, of espeak-ng
VOICE = b"en-us"
SYNCHRONOUS, CHARACTERS_UTF8 = 2, 1  # AUDIO_OUTPUT_SYNCHRONOUS, espeakCHARS_UTF8


def read_sentences(path: Path) -> list[str]:
    """The lines of a text file that are neither empty nor comments.

    Raises: ValueError naming the file without sentences, or the lines that occur twice.
    """
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read ({error})") from None
    sentences = [line for line in lines if line and not line.startswith("#")]
    if not sentences:
        raise ValueError(f"{path} has no sentences; write one a line")
    twice = [repr(sentence) for sentence, count in Counter(sentences).items() if count > 1]
    faults.refuse([f"{path}: {sentence} occurs twice; remove one, or training and test may share it" for sentence in twice], "sentences")
    return sentences


def speak(sentences: list[str]) -> list[np.ndarray]:
    """Each sentence as int16 at 22,050 Hz, [T].

    Raises: ValueError when the library, its data or its voice are missing, or a sentence gives no sound.
    """
    try:
        import espeakng_loader

        library = ctypes.CDLL(espeakng_loader.get_library_path())
        folder = Path(espeakng_loader.get_data_path())
    except (ImportError, OSError) as error:
        raise ValueError(f"espeak-ng cannot be loaded ({error}); install espeakng-loader, or read recordings instead") from None
    if not (folder / "phontab").is_file():
        raise ValueError(f"espeak-ng's data are missing: {folder / 'phontab'} does not exist; install espeakng-loader again")
    rate = library.espeak_Initialize(SYNCHRONOUS, 0, str(folder.parent).encode(), 0)
    if rate != RATE:
        raise ValueError(f"espeak-ng did not start: it returned {rate} in place of {RATE} Hz; install espeakng-loader again")
    if library.espeak_SetVoiceByName(VOICE) != 0:
        raise ValueError(f"espeak-ng has no voice {VOICE.decode()}; install espeakng-loader again")
    parts: list[np.ndarray] = []

    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
    def collect(samples: "ctypes._Pointer[ctypes.c_short]", count: int, _events: object) -> int:
        if samples and count > 0:
            parts.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    library.espeak_SetSynthCallback(collect)
    spoken = []
    for sentence in sentences:
        parts.clear()
        text = sentence.encode() + b"\0"
        library.espeak_Synth(text, len(text), 0, 1, 0, CHARACTERS_UTF8, None, None)
        samples = np.concatenate(parts) if parts else np.zeros(0, np.int16)
        loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > 100)
        if not len(loud):
            raise ValueError(f"espeak-ng made no sound of {sentence!r}; reword it")
        margin = RATE // 50
        spoken.append(samples[max(0, loud[0] - margin) : loud[-1] + margin])
    return spoken


def main(sentences: str, target: str) -> int:
    """Speak the sentences of a file into an .npz archive."""
    try:
        np.savez(target, *speak(read_sentences(Path(sentences))))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
