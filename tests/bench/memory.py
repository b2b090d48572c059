"""Memory of a large sampling job, in shards against all samples at once."""

import json
from pathlib import Path

import torch

from bench.harness import Row, Sizes, missing
from bench.jobs import command, root
from bench.subjects import digits
from difftables.common.files import save_tensors
from difftables.config.data import Images
from difftables.config.job_specs import SampleSpec
from difftables.config.nets import Net
from difftables.nets.build import build_net
from difftables.provenance import fingerprint

PART = "memory"
BATCH, SIZE = 50, 64
STATUS = Path("/proc/self/status")
# A job beside a thread that looks for the most memory that no file backs: pages of mapped files count as resident, yet can be dropped.
WATCHED = f"""
import sys, threading, time
from difftables.__main__ import run_here
peak = 0
def watch():
    global peak
    while True:
        (line,) = [line for line in open("{STATUS}") if line.startswith("RssAnon")]
        peak = max(peak, int(line.split()[1]))
        time.sleep(0.002)
threading.Thread(target=watch, daemon=True).start()
status = run_here("sample", sys.argv[1:])
print(f"peak {{peak}}")
sys.exit(status)
"""


def sampling(sizes: Sizes, folder: Path, device: torch.device) -> list[Row]:
    """Peak memory of a job that draws images of 64 x 64 pixels by a small net in one step."""
    count, what = 10 * sizes.images, f"sampling {10 * sizes.images} images of {SIZE}x{SIZE}, shards of {BATCH} against one"
    if not STATUS.exists():
        return [missing(PART, what, "needs Linux")]
    subject = digits(folder, device)
    data = Images(reader="folder", root="images", size=SIZE, channels=3, held_out=1)
    net = Net.model_validate({"kind": "unet", "width": 8, "mult": [1, 1, 1, 1], "blocks": 1, "attention": [], "dropout": 0.0})
    run = subject.sampled.model_copy(update={"data": data, "net": net})
    spec = SampleSpec(run=run, sampler=subject.sampler, steps=[1], n=count, seeds=[0], batch=BATCH)
    save_tensors(folder / "memory.net", build_net(net, data).state_dict(), {"kind": "net"})
    code, peaks, written = fingerprint.code("sample", spec), list[float](), list[bytes]()
    for name, shard in (("shards", BATCH), ("whole", 0)):
        outputs = {"samples": [f"{name}.safetensors"]}  # without provenance
        text = json.dumps(
            {"spec": spec.model_dump(mode="json", exclude_defaults=True), "inputs": {"net": ["memory.net"]}, "outputs": outputs}
        )
        (folder / "memory.json").write_text(text)
        words = ("-c", WATCHED, "memory.json", "--code", code, "--shard", str(shard))
        peaks.append(
            int(command(*words, cwd=folder, source=root() / "src", environment={"MALLOC_MMAP_THRESHOLD_": "65536"}).split("peak ")[1])
            / 1024
        )
        written.append((folder / outputs["samples"][0]).read_bytes())
        (folder / outputs["samples"][0]).unlink()
    if written[0] != written[1]:
        raise RuntimeError("shards changed the samples")
    ratio = peaks[0] / peaks[1]
    how = f"peak of memory that no file backs, of a process; the samples are {len(written[0]) / 2**20:.0f} MB; theirs: all samples at once"
    return [Row(PART, what, "MB", how, peaks[0], peaks[1], ratio, ratio, ratio)]


COMPARISONS = [sampling]
