"""Planned peak memory of jobs, in bytes: what grows with counts of samples, in closed form; never measured. No torch here.

A rule whose memory grows is a function in `GROWTH`. Left out are nets and their activations, which lie on the card where there is one,
and files that are mapped into memory, whose pages the system can drop.
"""

from collections.abc import Callable, Iterable, Mapping

from difftables.common import registry
from difftables.common.tensor_files import LARGE
from difftables.common.variants import Variants
from difftables.config.data import Images, Speech
from difftables.planning.net_costs import UTTERANCE
from difftables.planning.plan import Workflow

Wildcards = Mapping[str, str]

BASE = 2**30  # of a process with torch, without any sample
FLOAT, DOUBLE = 4, 8
WIDTHS = {"inception": 2048, "efficientnet-lite0": 1280}  # of features
BLOCK, DISTANCES, ROWS = 2**17, 2**28, 2048  # features, distances and rows of these that metrics hold at once
COPIES = 4  # of a block of features, while a Gaussian is fitted to it
BLOCKS_OF_DISTANCES = 3  # of them, on their way from products to squares
LARGEST = 3_033_042  # samples of the largest data set, LSUN's bedrooms


def sample_bytes(data: Images | Speech) -> int:
    """Bytes of a sample as files hold it: uint8 pixels, or int16 audio of an excerpt or of the longest utterance."""
    if isinstance(data, Images):
        return data.channels * data.size**2
    return 2 * int((data.excerpt or UTTERANCE) * data.rate)


def held_samples(plan: Workflow, run: str, sampler: str) -> int:
    """Samples of a row that are held at once: a shard in batches and joined, or all step counts and one of them in batches."""
    spec, shard = plan.sample_spec(run, sampler), plan.params.resources.shard
    total = spec.n * len(spec.seeds)
    return 2 * min(total, max(shard, spec.batch)) if shard else (len(spec.steps) + 1) * total


def sample(plan: Workflow, w: Wildcards) -> int:
    """The samples that are held, and a batch in float32 with its noise and its estimate."""
    spec = plan.sample_spec(w["run"], w["sampler"])
    return sample_bytes(spec.run.data) * held_samples(plan, w["run"], w["sampler"]) + 3 * FLOAT * _floats(spec.run.data) * spec.batch


def measure(plan: Workflow, w: Wildcards) -> int:
    """Features of a seed's images, and the fit of a Gaussian or distances; for speech all utterances of a seed in float32, twice."""
    spec = plan.measure_spec(w["run"], w["seed"], w["sampler"])
    if spec.features is None:
        return 2 * FLOAT * _floats(plan.dataset(plan.params.runs[w["run"]].data)) * spec.evaluation.n
    n, width = spec.evaluation.n, WIDTHS[spec.features.net]
    return DOUBLE * (n * width + max(_fit(n, width), _distances(n, _count(plan, plan.params.runs[w["run"]].data))))


def reference(plan: Workflow, w: Wildcards) -> int:
    """Features of all images and of those for training, which lie on the disk where they are large, and a fit or distances."""
    count, width = _count(plan, w["data"]), WIDTHS[plan.reference_spec(w["data"]).features.net]
    return 2 * min(LARGE, DOUBLE * count * width) + DOUBLE * max(_fit(count, width), _distances(count, count))


def data(plan: Workflow, w: Wildcards) -> int:
    """All samples, which lie on the disk where they are large."""
    return min(LARGE, sample_bytes(plan.params.data[w["data"]]) * _count(plan, w["data"]))


def train(plan: Workflow, w: Wildcards) -> int:
    """A batch in float32, as images, targets and noise."""
    run = plan.params.runs[w["run"]]
    return 3 * FLOAT * _floats(plan.params.data[run.data]) * run.train.batch


GROWTH: Variants[Callable[[Workflow, Wildcards], int]] = {
    "data": data, "reference": reference, "train": train, "sample": sample, "measure": measure,
}  # fmt: skip


def _floats(data: Images | Speech) -> int:
    return sample_bytes(data) // (1 if isinstance(data, Images) else 2)


def _count(plan: Workflow, name: str) -> int:
    """Samples of a data set, as far as they are known before it is read; else as many as the largest has."""
    found = plan.params.data[name]
    known = [registry.constant("data.HOLDS").get(found.reader, {}).get("samples"), found.limit if isinstance(found, Images) else None]
    return min((count for count in known if count), default=LARGEST)


def _fit(count: int, width: int) -> int:
    return COPIES * min(count, BLOCK) * width


def _distances(count: int, others: int) -> int:
    return BLOCKS_OF_DISTANCES * min(DISTANCES, min(count, ROWS) * others)


def by_rule(plan: Workflow, jobs: Iterable[tuple[str, Wildcards]]) -> dict[str, int]:
    """Planned bytes of the largest job of each rule that GROWTH knows, the most first."""
    found: dict[str, int] = {}
    for rule, wildcards in jobs:
        if rule in GROWTH:
            found[rule] = max(found.get(rule, 0), BASE + GROWTH[rule](plan, wildcards))
    return dict(sorted(found.items(), key=lambda entry: -entry[1]))


def table(plan: Workflow, jobs: Iterable[tuple[str, Wildcards]]) -> str:
    """Planned memory of the largest job by rule as text, beside what the rules ask for, and what it rests on."""
    found, asked = by_rule(plan, jobs), plan.params.resources.train_mb
    lines = [f"{'rule':<15}  {'memory, GB':>10}", *(f"{rule:<15}  {planned / 1e9:>10,.1f}" for rule, planned in found.items())]
    lines.append(
        f"Planned, never measured: {BASE / 1e9:.1f} GB of a process and the samples, features and distances that the largest job holds, "
        f"without nets and mapped files; rules ask for {asked / 1e3:,.1f} GB (resources.train_mb)."
    )
    for rule, planned in found.items():
        if planned > asked * 1e6:
            lines.append(f"{rule} needs more than resources.train_mb; raise it" + (", or set resources.shard" if rule == "sample" else ""))
    return "\n".join(lines)
