"""Rule measure: all metrics of one row's samples, a record for each step count, seed and metric."""

from typing import Any

from difftables.cli.job import Job


def run(job: Job) -> None:
    """spec: names, data, evaluation, scale, maybe features.

    In: samples, cost, and what the medium's judge reads: features and maybe weights, or data.  Out: record.
    """
    from difftables.cli.judges import TABLE
    from difftables.io import load_tensors, read_json, write_json

    spec = job.spec
    tensors, meta = load_tensors(job.input("samples"), "samples")
    costs = read_json(job.input("cost"))["cost"]
    judge, reference = TABLE[spec.data.medium](job)
    records: list[dict[str, Any]] = []
    for key in sorted((key for key in tensors if key.startswith("samples/")), key=lambda key: int(key.split("/")[1])):
        steps = int(key.split("/")[1])
        cost = costs[str(steps)]
        share = {k: cost[k] / len(meta["seeds"]) for k in ("network_evaluations", "estimator_evaluations", "seconds")}
        factor = {}
        if spec.data.medium == "speech":
            spoken = tensors[key].numel() / spec.data.rate  # seconds of audio
            factor = {"real_time_factor": cost["seconds"] * cost["threads"] / spoken}
        for seed, samples in zip(meta["seeds"], tensors[key], strict=True):
            if len(samples) != spec.evaluation.n:
                raise ValueError(f"{job.input('samples')} has {len(samples)} samples a seed, the table needs {spec.evaluation.n}")
            for score in judge(samples):
                records.append(
                    {**vars(score), "n": len(samples), "seed": seed, "steps": steps, "nfe": cost["nfe"], **share, **factor,
                     "clipped_rates": cost["clipped_rates"], "v_outside": cost["v_outside"]}
                )  # fmt: skip
        print(f"{steps} steps measured", flush=True)
    shared = {**vars(spec.names), "scale": spec.scale, "sampled_by": meta["fingerprint"], "reference": reference, **job.provenance()}
    write_json(job.output("record"), {"shared": shared, "records": records})
