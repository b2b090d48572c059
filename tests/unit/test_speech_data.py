"""Recordings, the synthetic voice, mel spectrograms and the medium around them."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from difftables.common.files import save_tensors
from difftables.config import data as config_data
from difftables.data import audio, datasets, espeak
from difftables.data.mel import POWER_FLOOR, log_mel, mel_filters, mel_power
from difftables.data.speech_files import folder, ljspeech, voice
from difftables.data.speech_set import SpeechSet

RATE = 16000
SENTENCES = Path("workflow/speech/sentences.txt")


def tone(seconds=0.5, rate=RATE, level=0.3, hertz=440.0):
    return level * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)


def spec(**changes):
    values = {
        "medium": "speech", "reader": "folder", "rate": RATE, "held_out": 2, "seed": 0, "root": "recordings",
        "fft": 256, "hop": 64, "bands": 20, "lowest": 60.0, "highest": 8000.0, "segment": 8, "excerpt": None,
    }  # fmt: skip
    return config_data.Speech(**values | changes)


# -- files -------------------------------------------------------------------------------------------------------


def test_a_good_file_gives_its_samples(tmp_path):
    for name, subtype in (("a.wav", "PCM_16"), ("b.flac", "PCM_16"), ("c.wav", "PCM_24"), ("d.wav", "FLOAT")):
        soundfile.write(tmp_path / name, tone(), RATE, subtype=subtype)
        samples = audio.read_recording(tmp_path / name, RATE)
        assert samples.dtype == np.int16
        assert np.abs(samples / 32768 - tone()).max() < 2 / 32768
    assert len(folder(RATE, str(tmp_path))) == 4


def cut(path):
    soundfile.write(path, tone(), RATE)
    path.write_bytes(path.read_bytes()[:-1000])


BAD = {
    "another rate": (lambda p: soundfile.write(p, tone(), 8000), r"8000 Hz.*16000 Hz.*`convert: true`"),
    "stereo": (lambda p: soundfile.write(p, np.stack([tone(), tone()], 1), RATE), "2 channels.*`convert: true`"),
    "8 bits": (lambda p: soundfile.write(p, tone(), RATE, subtype="PCM_U8"), "PCM_U8.*16 bits"),
    "empty": (lambda p: soundfile.write(p, np.zeros(0), RATE), "empty"),
    "silent": (lambda p: soundfile.write(p, np.zeros(RATE), RATE), "silent"),
    "clipped": (lambda p: soundfile.write(p, np.clip(tone(level=5.0), -1, 1), RATE), "clipped"),
    "truncated": (cut, "truncated"),
    "header cut": (lambda p: p.write_bytes(b"RIFF\x00\x00"), r"bad\.wav"),
    "text": (lambda p: p.write_text("hello"), r"bad\.wav"),
    "not finite": (lambda p: soundfile.write(p, np.full(RATE, np.nan), RATE, subtype="FLOAT"), "not finite"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_is_named_in_one_line(tmp_path, kind):
    write, message = BAD[kind]
    soundfile.write(tmp_path / "good.wav", tone(), RATE)
    write(tmp_path / "bad.wav")
    with pytest.raises(ValueError, match=message) as caught:
        folder(RATE, str(tmp_path))
    assert "bad.wav" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_truncated_flac_is_named(tmp_path):
    soundfile.write(tmp_path / "bad.flac", np.random.default_rng(0).normal(0, 0.1, RATE), RATE)
    (tmp_path / "bad.flac").write_bytes((tmp_path / "bad.flac").read_bytes()[:5000])
    with pytest.raises(ValueError, match=r"bad\.flac"):
        audio.read_recording(tmp_path / "bad.flac", RATE)


@pytest.mark.parametrize("count", [2, 20, 23])
def test_all_bad_files_are_named_up_to_twenty(tmp_path, count):
    soundfile.write(tmp_path / "good.wav", tone(), RATE)
    for i in range(count):
        soundfile.write(tmp_path / f"{i:02}.wav", np.zeros(RATE), RATE)
    with pytest.raises(ValueError, match=f"^{count} ") as caught:
        folder(RATE, str(tmp_path))
    _, *lines = str(caught.value).splitlines()
    assert "good.wav" not in str(caught.value)
    assert [f"{i:02}.wav" in line for i, line in enumerate(lines[:20])] == [True] * min(count, 20)
    assert lines[20:] == ([] if count <= 20 else ["  and 3 more"])


def test_a_folder_without_audio_and_no_folder(tmp_path):
    with pytest.raises(ValueError, match=r"\.flac, \.wav"):
        folder(RATE, str(tmp_path))
    with pytest.raises(ValueError, match="`root`"):
        folder(RATE, str(tmp_path / "missing"))


def test_convert_resamples_and_mixes_down(tmp_path):
    left = tone(0.5, 48000)
    soundfile.write(tmp_path / "stereo48.wav", np.stack([left, left], 1), 48000)
    samples = audio.read_recording(tmp_path / "stereo48.wav", RATE, convert=True)
    assert len(samples) == RATE // 2
    assert np.abs(samples[100:-100] / 32768 - tone(0.5)[100:-100]).max() < 0.01


def test_ljspeech_reads_the_archive_in_its_own_order(tmp_path):
    (tmp_path / "wavs").mkdir()
    (tmp_path / "metadata.csv").write_text("LJ001-0002|b|b\nLJ001-0001|a|a\n")
    for i, name in enumerate(("LJ001-0001", "LJ001-0002"), 1):
        soundfile.write(tmp_path / "wavs" / f"{name}.wav", tone(0.1 * i, 22050), 22050)
    assert [len(u) for u in ljspeech(22050, str(tmp_path))] == [4410, 2205]
    with pytest.raises(ValueError, match=r"\b22050 Hz"):
        ljspeech(16000, str(tmp_path))
    (tmp_path / "wavs/LJ001-0001.wav").unlink()
    with pytest.raises(ValueError, match=r"LJ001-0001\.wav"):
        ljspeech(22050, str(tmp_path))
    with pytest.raises(ValueError, match=r"metadata\.csv"):
        ljspeech(22050, str(tmp_path / "wavs"))


# -- the voice ---------------------------------------------------------------------------------------------------


def test_at_least_300_different_sentences():
    sentences = espeak.read_sentences(SENTENCES)
    assert len(set(sentences)) == len(sentences) >= 300


def test_two_fresh_processes_give_the_same_bits(tmp_path):
    few = tmp_path / "few.txt"
    few.write_text("\n".join(espeak.read_sentences(SENTENCES)[:12]))
    first, second = voice(22050, str(few)), voice(22050, str(few))
    assert len(first) == 12
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert all(len(u) > 22050 and u.abs().max() > 3000 for u in first)
    assert abs(len(voice(8000, str(few))[0]) / 8000 - len(first[0]) / 22050) < 1e-3


def test_sentences_twice_or_none(tmp_path):
    path = tmp_path / "s.txt"
    path.write_text("One.\nTwo.\nOne.\n")
    with pytest.raises(ValueError, match=r"s\.txt.*'One\.'"):
        voice(8000, str(path))
    path.write_text("# nothing\n")
    with pytest.raises(ValueError, match=r"s\.txt"):
        voice(8000, str(path))


def test_missing_espeak_data_is_one_line(tmp_path, monkeypatch, capsys):
    import espeakng_loader

    monkeypatch.setattr(espeakng_loader, "get_data_path", lambda: str(tmp_path))
    assert espeak.main(str(SENTENCES), str(tmp_path / "o.npz")) == 1
    assert capsys.readouterr().err == f"espeak-ng's data are missing: {tmp_path}/phontab does not exist; install espeakng-loader again\n"


# -- mel ---------------------------------------------------------------------------------------------------------


def test_mel_shapes_and_filters_of_the_port():
    weights = mel_filters(22050, 1024, 80, 80.0, 8000.0)
    assert weights.shape == (80, 513)
    assert log_mel(torch.randn(2, 7200), weights, 300).shape == (2, 80, 24)
    assert weights.max() <= 1
    assert (weights > 0).any(dim=1).all()
    # No filter reaches outside 80 .. 8,000 Hz; neighbours share their slopes, so inside the weights of a bin add up to one.
    hertz = torch.linspace(0, 11025, 513)
    assert weights[:, (hertz < 80) | (hertz > 8000)].sum() == 0
    inside = (hertz > 400) & (hertz < 7600)
    assert torch.allclose(weights[:, inside].sum(0), torch.ones(int(inside.sum())), atol=1e-4)


def test_mel_corners_lie_on_the_htk_scale():
    """The peak of band b is at 700 (10^(m_b / 2595) - 1), m equally spaced."""
    weights = mel_filters(22050, 4096, 10, 100.0, 8000.0)
    low, high = 2595 * np.log10(1 + np.array([100.0, 8000.0]) / 700)
    peaks = 700 * (10 ** (np.linspace(low, high, 12)[1:-1] / 2595) - 1)
    assert np.abs(weights.argmax(dim=1).numpy() * 22050 / 4096 - peaks).max() < 22050 / 4096


def test_power_of_a_tone_is_that_of_its_window():
    """A sine of amplitude A on a bin has |X|^2 = (A / 2 sum w)^2 there; the Hann window's sum is fft / 2."""
    fft, k, amplitude = 256, 32, 0.25
    x = amplitude * torch.sin(2 * torch.pi * k * torch.arange(4096) / fft)[None]
    weights = torch.zeros(1, fft // 2 + 1)
    weights[0, k] = 1
    assert torch.allclose(mel_power(x, weights, 64)[0, 0, 8:-8], torch.tensor((amplitude / 2 * fft / 2) ** 2), rtol=1e-4)


def test_power_agrees_with_scipy():
    from scipy.signal import stft

    x = np.random.default_rng(0).normal(0, 0.1, 2048)
    _, _, z = stft(x, nperseg=256, noverlap=192, window="hann", boundary="even", padded=False)
    mine = mel_power(torch.from_numpy(x)[None], torch.eye(129, dtype=torch.float64), 64)[0]
    theirs = np.abs(z * 128) ** 2  # SciPy divides by the window's sum
    assert np.allclose(mine[:, 4:-4], theirs[:, 4 : mine.shape[1] - 4], rtol=1e-6)


def test_silence_lies_on_the_floor_and_lengths_must_fit():
    weights = mel_filters(RATE, 256, 20, 60.0, 8000.0)
    assert torch.allclose(log_mel(torch.zeros(1, 640), weights, 64), torch.full((1, 20, 10), float(np.log10(POWER_FLOOR))))
    with pytest.raises(ValueError, match=r"641 samples .*hop"):
        log_mel(torch.zeros(1, 641), weights, 64)
    with pytest.raises(ValueError, match="`bands`"):
        mel_filters(8000, 128, 80, 60.0, 4000.0)


# -- the medium --------------------------------------------------------------------------------------------------


@pytest.fixture
def speech(tmp_path):
    for i in range(6):
        soundfile.write(tmp_path / f"{i}.wav", tone(0.2 + 0.05 * i, hertz=200 + 100 * i), RATE)
    s = spec(root=str(tmp_path), held_out=4)
    path = tmp_path / "data.safetensors"
    save_tensors(path, datasets.read_dataset(s), {"kind": "data", "rate": RATE})
    return datasets.open_dataset(s, path, torch.device("cpu"))


def test_segments_come_from_training_utterances_and_fit_their_mel(speech):
    x0, mel = speech.training_batch(5, torch.Generator().manual_seed(0), False)
    assert x0.shape == (5, 8 * 64)
    assert mel.shape == (5, 20, 8)
    assert torch.equal(mel, speech.mel(x0))
    held = speech.tensors["held_out"].bool()
    known = [speech.tensors["audio"][s : s + n].float() / 32768 for s, n, h in
             zip(speech.tensors["starts"], speech.tensors["lengths"], held, strict=True) if not h]  # fmt: skip
    windows = [u.unfold(0, 512, 1) for u in known]
    assert all(any((w == x).all(dim=1).any() for w in windows) for x in x0)


def test_what_is_searched_on_is_not_what_is_measured_on(speech):
    test, _ = speech.excerpts("test", 2)
    frozen, lengths = speech.excerpts("frozen", 2)
    assert test.shape == frozen.shape
    assert not any(torch.equal(a, b) for a in test for b in frozen)
    assert speech.excerpts("search", 2)[0].shape == (2, 512)
    assert (lengths <= test.shape[1]).all()


def test_whole_utterances_are_padded_and_remember_their_length(speech):
    x0, lengths = speech.excerpts("test", 4)
    assert x0.shape[1] % 64 == 0
    assert lengths.max() <= x0.shape[1] < lengths.max() + 64
    for x, n in zip(x0, lengths, strict=True):
        assert (x[n:] == 0).all()
        assert x[:n].abs().max() > 0.2
    shape, mel = speech.shape_and_condition("test", 6)  # repeats where there are fewer
    assert shape == x0.shape[1:]
    assert torch.equal(mel[4:], mel[:2])


def test_stored_samples_survive_a_round_trip(speech):
    x0, _ = speech.excerpts("test", 2)
    assert torch.equal(speech.stored(x0).float() / 32768, x0)
    assert speech.stored(torch.tensor([[2.0, -2.0]])).tolist() == [[32767, -32768]]
    with pytest.raises(FloatingPointError, match="sample 1 is not finite"):
        speech.stored(torch.tensor([[0.0], [torch.nan]]))


def test_a_data_file_of_another_rate_is_refused(speech, tmp_path):
    with pytest.raises(ValueError, match=r"16000 Hz.*8000 Hz"):
        SpeechSet(spec(rate=8000, highest=4000.0), tmp_path / "data.safetensors", torch.device("cpu"))


def test_which_steps_are_written_as_audio():
    from difftables.papers.kinds import audible_steps

    names = ["samples/25", "levels/25", "samples/6", "samples/1000"]
    assert audible_steps(names, [6, 25]) == [6, 25]
    assert audible_steps(["samples/1000"], [6, 25]) == [1000]
