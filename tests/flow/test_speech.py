"""Speech through the whole pipeline at scale smoke, and with recordings of one's own."""

import csv
import json
import wave

import numpy as np
import pytest
import soundfile

TABLES = "results/smoke/tables"


def rows(checkout, table="T1"):
    with open(checkout.path / TABLES / f"noise_estimation/{table}.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_t1_measures_every_row_with_the_papers_numbers_beside(finished):
    every = rows(finished)
    measured = [row for row in every if row["status"] == "measured"]
    assert len({row["row"] for row in measured}) == 7
    left_out = [row for row in every if row not in measured]
    assert {row["sampler"] for row in left_out} == {
        "wavegrad-linear",
        "wavegrad-fibonacci",
        "wavegrad-shipped",
    }
    assert {(row["status"], row["value"]) for row in left_out} == {("not-run", "")}
    metrics = {"PESQ-nb@8k", "STOI", "ESTOI", "MCD-13 (MFCC, no DTW)", "log-mel distance"}
    assert {row["metric"] for row in measured} == {row["metric"] for row in left_out} == metrics
    assert all(row["failed"] == "0" and row["value"] for row in measured)
    assert all(row["steps"] == row["nfe"] for row in measured)
    quoted = {(row["row"], row["metric"][:4]): row["paper_value"] for row in measured if row["paper_value"]}
    assert quoted[("adjusted, from linear", "PESQ")] == "3.14"
    assert quoted[("grid-searched", "MCD-")] == "2.76"
    assert quoted[("1000 iterations", "STOI")] == "0.959"
    assert len(quoted) == 9
    text = (finished.path / TABLES / "noise_estimation/T1.md").read_text()
    assert "The voice is synthetic" in text
    assert "grid-searched (6)" in text
    assert (finished.path / TABLES / "noise_estimation/T1.tex").read_text().count("begin{tabular}") == 4


def test_a_failed_utterance_is_shown_and_in_no_mean(checkout):
    path = checkout.path / "results/smoke/store/records/noise_estimation/voice/s0/wavegrad-adjusted.json"
    content = json.loads(path.read_text())
    first = [r for r in content["records"] if r["metric"].startswith("PESQ") and r["steps"] == 6]
    first[0].update(value=None, failed=2)
    path.write_text(json.dumps(content))
    checkout.snakemake(f"{TABLES}/noise_estimation/T1.md")
    cell = next(r for r in rows(checkout) if r["sampler"] == "wavegrad-adjusted" and r["steps"] == "6" and r["metric"].startswith("PESQ"))
    assert cell["failed"] == "2"
    assert float(cell["value"]) == pytest.approx(first[1]["value"], rel=1e-5)
    assert "(2/4 failed)" in (checkout.path / TABLES / "noise_estimation/T1.md").read_text()


def test_a_page_links_wav_files_that_play(finished):
    text = (finished.path / TABLES / "noise_estimation/F4-speech.md").read_text()
    assert "](../audio/noise_estimation/voice/wavegrad-adjusted-6-0.wav)" in text
    assert "](F4-speech.png)" in text
    for name in ("reference-0", "wavegrad-full-1000-0", "wavegrad-adjusted-shipped-25-0"):
        with wave.open(str(finished.path / TABLES / f"audio/noise_estimation/voice/{name}.wav")) as file:
            assert (file.getframerate(), file.getnchannels(), file.getsampwidth(), file.getnframes()) == (8000, 1, 2, 8000)


def test_the_search_states_its_cost(finished):
    cost = json.loads((finished.path / "results/smoke/store/schedules/noise_estimation/voice/s0/wavegrad-searched.json").read_text())[
        "records"
    ]
    assert list(cost) == ["6"]
    assert cost["6"]["grid"] == 9**6
    assert cost["6"]["network_evaluations"] == cost["6"]["candidates"] * 2 * 2 * 6


def recordings(folder, count=8, rate=11025):
    """Noisy buzzes of several pitches, louder and softer like syllables."""
    stream = np.random.default_rng(0)
    for i in range(count):
        t = np.arange(int((1.0 + 0.05 * i) * rate)) / rate
        buzz = sum(np.sin(2 * np.pi * (110 + 15 * i) * k * t) / k for k in range(1, 20))
        sound = 0.1 * buzz * (1 + np.sin(2 * np.pi * 4 * t)) / 2 + stream.normal(0, 0.002, len(t))
        path = folder / ("deeper" if i % 2 else ".") / f"clip{i}.{'flac' if i % 3 == 0 else 'wav'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, sound, rate)


def mine(checkout, rate):
    """The one entry of params.yaml that a user changes."""
    features = {"fft": 400, "hop": 100, "bands": 40, "lowest": 60.0, "highest": 5000.0, "segment": 12, "excerpt": 0.7}
    checkout.change("params.yaml", {"data/voice": {"reader": "folder", "root": "mine", "rate": rate, "held_out": 4} | features})


def test_own_recordings_run_through_the_same_jobs_with_one_change(fresh):
    """Read, trained on twice, drawn, measured and put into a table."""
    recordings(fresh.path / "mine")
    mine(fresh, 11025)
    record = "results/smoke/store/records/noise_estimation/voice/s0/wavegrad-adjusted.json"
    ran = fresh.snakemake(f"{TABLES}/noise_estimation/F2.md", record).text
    assert fresh.counted(ran).keys() == {"data", "train", "train_estimator", "errors", "sample", "measure", "table"}
    text = (fresh.path / TABLES / "noise_estimation/F2.md").read_text()
    assert "synthetic" not in text
    measured = json.loads((fresh.path / record).read_text())["records"]
    assert {"PESQ-nb@8k", "STOI"} <= {each["metric"] for each in measured}
    assert all(each["value"] is not None for each in measured)


def test_a_recording_that_does_not_fit_stops_with_its_name(fresh):
    recordings(fresh.path / "mine")
    soundfile.write(fresh.path / "mine/odd.wav", np.random.default_rng(0).normal(0, 0.1, (4000, 2)), 11025)
    mine(fresh, 11025)
    found = fresh.snakemake(f"{TABLES}/noise_estimation/T1.md", check=False)
    assert found.returncode
    assert "difftables data: mine/odd.wav has 2 channels; mix it down to one, or set `convert: true` in params.yaml" in found.text
    assert "Traceback" not in found.text
