"""Rule measure: all metrics of one row's samples, a record for each step count, seed and metric."""

from typing import TYPE_CHECKING, Any

from difftables.cli.job import Job

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import SimpleNamespace

    from torch import Tensor

    from difftables.metrics.frechet import Moments


def run(job: Job) -> None:
    """spec: names, features, evaluation, scale.  In: samples, cost, features, maybe weights.  Out: record."""
    from difftables.io import load_tensors, read_json, sha256, write_json
    from difftables.metrics import frechet
    from difftables.metrics.features import extract, label, load

    spec, device = job.spec, job.device
    tensors, meta = load_tensors(job.input("samples"), "samples")
    costs = read_json(job.input("cost"))["cost"]
    reference = load_tensors(job.input("features"), "features")[0]["train"]
    target = frechet.moments(reference)
    net = load(spec.features.net, spec.features.pixels, job.maybe("weights"), spec.features.sha256, device)
    name = label(spec.features.net, spec.features.pixels)
    records: list[dict[str, Any]] = []
    for key in sorted((key for key in tensors if key.startswith("images/")), key=lambda key: int(key.split("/")[1])):
        steps = int(key.split("/")[1])
        cost = costs[str(steps)]
        for seed, images in zip(meta["seeds"], tensors[key], strict=True):
            if len(images) != spec.evaluation.n:
                raise ValueError(f"{job.input('samples')} has {len(images)} samples a seed, the table needs {spec.evaluation.n}")
            features, logits = extract(net, images, spec.features.batch, device)
            share = {k: cost[k] / len(meta["seeds"]) for k in ("network_evaluations", "estimator_evaluations", "seconds")}
            for metric, value, unit, better in values(name, features, logits, reference, target, spec.evaluation):
                records.append(
                    {"metric": metric, "value": value, "unit": unit, "better": better, "n": len(images), "seed": seed,
                     "steps": steps, "nfe": cost["nfe"], **share, "clipped_rates": cost["clipped_rates"]}
                )  # fmt: skip
        print(f"{steps} steps measured", flush=True)
    shared = {
        **vars(spec.names), "scale": spec.scale, "sampled_by": meta["fingerprint"],
        "reference": {"samples": len(reference), "sha256": sha256(job.input("features"))}, **job.provenance(),
    }  # fmt: skip
    write_json(job.output("record"), {"shared": shared, "records": records})


def values(
    name: str, features: "Tensor", logits: "Tensor", reference: "Tensor", target: "Moments", e: "SimpleNamespace"
) -> "Iterator[tuple[str, float, str, str]]":
    """(metric, value, unit, better) of one set of samples; the metric's name says what its value depends on."""
    from difftables.metrics import frechet, scores

    yield name, frechet.distance(frechet.moments(features), target), "squared feature units", "lower"
    kid = scores.kernel_distance(features, reference, e.kid_subsets, e.kid_subset_size, 0)
    yield f"{name.replace('FID', 'KID').replace('FD-', 'KID-')}", kid, "", "lower"
    precision, recall = scores.precision_recall(features, reference, e.neighbours)
    yield f"precision (k={e.neighbours})", precision, "share", "higher"
    yield f"recall (k={e.neighbours})", recall, "share", "higher"
    yield f"IS ({e.is_splits} splits)", scores.inception_score(logits, e.is_splits, 0), "", "higher"
