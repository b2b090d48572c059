"""Rule reference: features of the real images, what every measure needs of them, and the floor, the distance of real against real."""

from difftables.jobs.job import Job


def run(job: Job) -> None:
    """spec: ReferenceSpec.  In: data, maybe weights.  Out: features, summary, floor."""
    from difftables.common.clock import Phase
    from difftables.common.errors import label
    from difftables.common.files import load_tensors, save_tensors, sha256, write_json
    from difftables.common.seeds import generator
    from difftables.metrics import frechet
    from difftables.metrics.features import extract, load
    from difftables.metrics.image_metrics import summary

    import torch  # isort: skip

    spec, device = job.spec, job.device
    data, _ = load_tensors(job.input("data"), "data")
    net = load(spec.features.net, spec.features.pixels, job.maybe("weights"), spec.features.sha256, device)
    features, _ = extract(net, data["images"], spec.features.batch, device)
    held = data["held_out"].bool()
    save_tensors(job.output("features"), {"train": features[~held], "held_out": features[held]}, {"kind": "features"})
    with Phase("metrics"):
        summarised = summary(features[~held], spec.evaluation.neighbours)
    save_tensors(job.output("summary"), summarised, {"kind": "summary"})
    n, floors = spec.evaluation.n, []
    if len(features) < n + 2:
        raise ValueError(f"evaluation.n = {n} samples need more than {len(features)} real ones for the real-against-real floor")
    for repeat in range(spec.evaluation.floor_repeats):
        order = torch.randperm(len(features), generator=generator("floor", repeat))
        floors.append(frechet.distance(frechet.moments(features[order[:n]]), frechet.moments(features[order[n:]])))
    record = {
        "metric": label(spec.features.net, spec.features.pixels), "values": floors, "n": n,
        "reference": {"samples": int((~held).sum()), "sha256": sha256(job.output("features"))},
    }  # fmt: skip
    write_json(job.output("floor"), record)
