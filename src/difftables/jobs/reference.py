"""Rule reference: features of the real images, what every measure needs of them, and the floor, the distance of real against real."""

from typing import TYPE_CHECKING

from difftables.jobs.job import Job

if TYPE_CHECKING:
    from torch import Tensor

AT_ONCE = 2**16  # features


def run(job: Job) -> None:
    """spec: ReferenceSpec.  In: data, maybe weights.  Out: features, summary, floor."""
    from difftables.common.clock import Phase
    from difftables.common.errors import label
    from difftables.common.files import load_tensors, save_tensors, sha256, write_json
    from difftables.common.seeds import generator
    from difftables.common.tensor_files import Parts, save_parts
    from difftables.metrics import frechet
    from difftables.metrics.features import extract, load
    from difftables.metrics.image_metrics import feature_summary

    import torch  # isort: skip

    spec, device = job.spec, job.device
    data, _ = load_tensors(job.input("data"), "data")
    net = load(spec.features.net, spec.features.pixels, job.maybe("weights"), spec.features.sha256, device)
    features, _ = extract(net, data["images"], spec.features.batch, device)
    held = data["held_out"].bool()
    train = taken(features, ~held)
    save_parts(job.output("features"), {"train": Parts.of(train), "held_out": Parts.of(taken(features, held))}, {"kind": "features"})
    with Phase("metrics"):
        summarised = feature_summary(train, spec.evaluation.neighbours)
    save_tensors(job.output("summary"), summarised, {"kind": "summary"})
    n, floors = spec.evaluation.n, []
    if len(features) < n + 2:
        raise ValueError(f"evaluation.n = {n} samples need more than {len(features)} real ones for the real-against-real floor")
    for repeat in range(spec.evaluation.floor_repeats):
        order = torch.randperm(len(features), generator=generator("floor", repeat))
        floors.append(frechet.distance(frechet.moments(features, order[:n]), frechet.moments(features, order[n:])))
    record = {
        "metric": label(spec.features.net, spec.features.pixels), "values": floors, "n": n,
        "reference": {"samples": int((~held).sum()), "sha256": sha256(job.output("features"))},
    }  # fmt: skip
    write_json(job.output("floor"), record)


def taken(features: "Tensor", which: "Tensor") -> "Tensor":
    """The features, [N, d], that a mask takes, [N], where they fit."""
    from difftables.common.tensor_files import allocated

    indices = which.nonzero()[:, 0]
    found = allocated((len(indices), features.shape[1]), features.dtype)
    for first in range(0, len(indices), AT_ONCE):
        found[first : first + AT_ONCE] = features[indices[first : first + AT_ONCE]]
    return found
