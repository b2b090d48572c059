"""PESQ, STOI, MCD and log-mel distance on hand-made cases."""

import inspect

import numpy as np
import pytest
import soundfile

from difftables.metrics import speech
from difftables.metrics.speech import Clip, Unscorable


@pytest.fixture(scope="module")
def spoken(tmp_path_factory):
    """Two seconds of the synthetic voice at 16 kHz."""
    from difftables.data.speech_files import voice

    path = tmp_path_factory.mktemp("voice") / "s.txt"
    path.write_text("The kettle whistled before anyone was awake.\n")
    return Clip.from_int16(voice(16000, str(path))[0].numpy(), 16000)


def noisy(clip, sd=0.02, seed=0):
    return Clip(clip.samples + np.random.default_rng(seed).normal(0, sd, len(clip.samples)), clip.rate)


def test_identical_signals_reach_the_ceilings(spoken):
    """Raw 4.5 maps to 4.549 (P.862.1, narrow band) and 4.644 (P.862.2, wide band)."""
    assert speech.pesq(ref=spoken, est=spoken, rate=16000, band="wb") == pytest.approx(4.644, abs=1e-3)
    assert speech.pesq(ref=spoken, est=spoken, rate=16000, band="nb") == pytest.approx(4.549, abs=1e-3)
    assert speech.stoi(ref=spoken, est=spoken, extended=False) == pytest.approx(1)
    assert speech.stoi(ref=spoken, est=spoken, extended=True) == pytest.approx(1)


def test_more_noise_is_worse_everywhere(spoken):
    rows = [speech.waveform_scores(spoken, noisy(spoken, sd)) for sd in (0.003, 0.02, 0.1)]
    for name in ("PESQ-wb@16k", "PESQ-nb@16k", "STOI", "ESTOI"):
        values = [row[name] for row in rows]
        assert values == sorted(values, reverse=True), name


def test_polarity_is_not_heard(spoken):
    flipped = Clip(-spoken.samples, spoken.rate)
    assert speech.pesq(ref=spoken, est=flipped, rate=16000, band="wb") == pytest.approx(4.644, abs=1e-3)
    assert speech.stoi(ref=spoken, est=flipped, extended=False) == pytest.approx(1)


def test_which_of_the_two_is_the_reference_matters_and_needs_a_name(spoken):
    degraded = noisy(spoken)
    forth = speech.pesq(ref=spoken, est=degraded, rate=16000, band="wb")
    assert forth != speech.pesq(ref=degraded, est=spoken, rate=16000, band="wb")
    for metric in (speech.pesq, speech.stoi, speech.mel_cepstral_distortion, speech.log_mel_distance, speech.check):
        kinds = {p.name: p.kind for p in inspect.signature(metric).parameters.values()}
        assert kinds["ref"] == kinds["est"] == inspect.Parameter.KEYWORD_ONLY


def test_the_packages_agree(spoken):
    """Our wrappers add no change of their own where nothing has to be resampled."""
    from pesq import pesq
    from pystoi import stoi

    degraded = noisy(spoken)
    ours = speech.pesq(ref=spoken, est=degraded, rate=16000, band="wb")
    assert ours == pytest.approx(pesq(16000, spoken.samples.astype(np.float32), degraded.samples.astype(np.float32), "wb"), abs=1e-3)
    assert speech.stoi(ref=spoken, est=degraded, extended=False) == pytest.approx(stoi(spoken.samples, degraded.samples, 16000))


CASES = {
    "silent estimate": (lambda s: (s, np.zeros_like(s)), "estimate is silent"),
    "silent reference": (lambda s: (np.zeros_like(s), s), "reference is silent"),
    "NaN": (lambda s: (s, np.where(np.arange(len(s)) == 99, np.nan, s)), "estimate is not finite"),
    "too short": (lambda s: (s[8000:10000], s[8000:10000]), "reference is shorter than 0.25 s"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_cannot_be_scored_fails_in_every_metric_with_a_reason(spoken, case):
    make, reason = CASES[case]
    ref, est = (Clip(samples, 16000) for samples in make(spoken.samples))
    assert set(speech.waveform_scores(ref, est).values()) == {reason}
    assert speech.unscorable(ref=ref, est=est) == reason
    with pytest.raises(Unscorable, match=reason):
        speech.stoi(ref=ref, est=est, extended=False)


def test_stoi_of_too_little_speech_fails_in_place_of_a_warning(spoken):
    """pystoi returns 1e-5 with a warning below 30 active frames: 0.3 s here."""
    short = Clip(spoken.samples[8000:12800], 16000)
    found = speech.waveform_scores(short, noisy(short, 0.001))
    assert str(found["STOI"]).startswith("STOI: ")


def test_stoi_is_the_same_to_the_bit_whatever_was_drawn_before(spoken):
    """pystoi adds noise of 1e-16 from NumPy's global stream."""

    def scores(seed):
        np.random.seed(seed)
        return [speech.stoi(ref=spoken, est=noisy(spoken, sd), extended=True) for sd in (0.003, 0.01, 0.02, 0.05, 0.1)]

    assert scores(1) == scores(2)


def test_pairs_that_do_not_belong_together_stop(spoken):
    with pytest.raises(ValueError, match=r"16000 Hz.* 8000 Hz"):
        speech.stoi(ref=spoken, est=Clip(spoken.samples, 8000), extended=False)
    with pytest.raises(ValueError, match=rf"{len(spoken.samples)}\D.*\D{len(spoken.samples) - 1}\D"):
        speech.pesq(ref=spoken, est=Clip(spoken.samples[:-1], 16000), rate=16000, band="wb")


def test_the_rate_of_a_file_is_read_and_asserted(spoken, tmp_path):
    soundfile.write(tmp_path / "a.wav", spoken.samples, 16000)
    assert Clip.from_file(tmp_path / "a.wav", 16000).rate == 16000
    with pytest.raises(ValueError, match=r"a\.wav.* 16000 Hz.* 22050 Hz"):
        Clip.from_file(tmp_path / "a.wav", 22050)


def test_which_pesq_a_rate_allows():
    assert [name for name, _, _ in speech.pesq_variants(8000)] == ["PESQ-nb@8k"]
    assert [name for name, _, _ in speech.pesq_variants(22050)] == ["PESQ-wb@16k", "PESQ-nb@16k"]


def test_pesq_of_22_khz_is_that_of_its_resampled_signal(spoken):
    from difftables.data.audio import resampled

    up = Clip(resampled(spoken.samples, 16000, 22050), 22050)
    noise = noisy(up)
    down = [Clip(resampled(clip.samples, 22050, 16000), 16000) for clip in (up, noise)]
    assert speech.pesq(ref=up, est=noise, rate=16000, band="wb") == pytest.approx(
        speech.pesq(ref=down[0], est=down[1], rate=16000, band="wb"), abs=1e-6
    )


def test_mcd_of_a_cosine_in_the_log_spectrum():
    """ln amplitude differs by A cos(pi k (j + 1/2) / M): one cepstrum by A, so MCD = 20 / ln 10 A / sqrt 2, and the gap's RMS in dB."""
    bands, k, a = 40, 5, 0.3
    gap = a * np.cos(np.pi * k * (np.arange(bands) + 0.5) / bands)
    ref = np.exp(np.random.default_rng(0).normal(0, 1, (bands, 7)))
    est = ref * np.exp(2 * gap)[:, None]
    expected = 20 / np.log(10) * a / np.sqrt(2)
    assert speech.mel_cepstral_distortion(ref=ref, est=est) == pytest.approx(expected)
    assert expected == pytest.approx(np.sqrt(np.mean((20 * gap / np.log(10)) ** 2)))


def test_mcd_ignores_gain_and_high_quefrencies_and_does_not_warp_time():
    ref = np.exp(np.random.default_rng(0).normal(0, 1, (40, 9)))
    assert speech.mel_cepstral_distortion(ref=ref, est=3 * ref) == pytest.approx(0, abs=1e-9)
    fine = np.cos(np.pi * 14 * (np.arange(40) + 0.5) / 40)
    assert speech.mel_cepstral_distortion(ref=ref, est=ref * np.exp(fine)[:, None]) == pytest.approx(0, abs=1e-9)
    assert speech.mel_cepstral_distortion(ref=ref, est=np.roll(ref, 1, axis=1)) > 1


def test_log_mel_distance_counts_decades():
    ref = np.ones((4, 3))
    assert speech.log_mel_distance(ref=ref, est=100 * ref) == pytest.approx(2)


def test_two_processes_score_what_one_does(spoken):
    pairs = [(spoken, noisy(spoken, seed=i)) for i in range(3)]
    for two, one in zip(speech.waveform_scores_of(pairs, 2), speech.waveform_scores_of(pairs, 1), strict=True):
        assert two == pytest.approx(one, rel=1e-12)  # the last bit hangs on the number of BLAS threads
