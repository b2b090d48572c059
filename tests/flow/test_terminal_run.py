"""The output of a real run: a bar on a terminal, lines in a file, all of it in Snakemake's own log, and no error lost in any."""

import os
import pty
import re
import subprocess
import time

TABLES = "results/smoke/tables"


def test_a_file_gets_a_line_for_each_job_and_table_and_the_whole_log_lies_aside(smoke, finished):
    text = (smoke / "log").read_text()
    total = int(re.search(r"^total +(\d+)$", text, re.MULTILINE)[1])
    done = [tuple(map(int, each)) for each in re.findall(r"^[\d:]{8} done (\d+) of (\d+): ", text, re.MULTILINE)]
    assert done == [(i, total) for i in range(1, total + 1)]
    index = finished.path / TABLES / "README.md"  # of all pages of the last job this one is named
    pages = [index, *(path for path in (finished.path / TABLES).glob("*/*.md") if path.name != "README.md")]
    pages = {path.relative_to(finished.path).as_posix() for path in pages}
    assert set(re.findall(r"made (\S+\.md)$", text, re.MULTILINE)) == pages
    log = min((finished.path / ".snakemake/log").glob("*.log"))  # named by its time; other tests look at this folder's plan
    assert len(re.findall(r"^(?:local)?rule \w+:$", log.read_text(), re.MULTILINE)) == total


def on_a_terminal(checkout, *words):
    """What a terminal of 120 columns gets to see of a command, and its exit code."""
    above, below = pty.openpty()
    command = checkout.command(*words)
    command["env"] |= {"COLUMNS": "120", "TERM": "xterm"}
    process = subprocess.Popen(**command, stdin=below, stdout=below, stderr=below, start_new_session=True)
    os.close(below)
    seen, deadline = b"", time.monotonic() + 300
    while time.monotonic() < deadline:
        try:
            part = os.read(above, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        seen += part
    os.close(above)
    return seen.decode(), process.wait(timeout=60)


def test_a_terminal_shows_a_bar_tables_and_the_line_of_a_job_that_fails(checkout):
    """A table is made again; a truncated net stops a job with one line, and the nets of others are untouched."""
    net = checkout.path / "results/smoke/store/nets/noise_estimation/digits/s0/net.safetensors"
    net.write_bytes(net.read_bytes()[:1000])
    page, samples = f"{TABLES}/improved_ddpm/F5.md", "results/smoke/store/samples/noise_estimation/digits/s0/ddim-strided.safetensors"
    for path in (page, samples):
        (checkout.path / path).unlink()
    before = (checkout.path / "results/smoke/store/nets/noise_estimation/digits/s0/estimator.safetensors").read_bytes()
    text, code = on_a_terminal(checkout, "snakemake", page, samples, "--keep-going", "--config", "scale=smoke")
    assert code
    assert re.search(r"\d of 2 jobs", text)
    assert f"made {page}" in text
    assert re.search(r"failed: sample/noise_estimation/digits/0/ddim-strided; log: results/smoke/logs/sample/\S+\.log", text)
    assert "net.safetensors is truncated" in text
    assert "Traceback" not in text
    assert (checkout.path / "results/smoke/store/nets/noise_estimation/digits/s0/estimator.safetensors").read_bytes() == before
