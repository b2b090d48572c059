"""Rule measure: all metrics of one row's samples, a record for each step count, seed and metric."""

from typing import Any

from difftables.jobs.job import Job


def run(job: Job) -> None:
    """spec: MeasureSpec.

    In: samples, and what the medium's judge reads: features and maybe weights, or data.  Out: record, which is kept from run to run, made.
    """
    from difftables.common.files import load_tensors, read_json, write_json
    from difftables.metrics.judges import TABLE

    spec = job.spec
    tensors, meta = load_tensors(job.input("samples"), "samples")
    old = read_json(job.output("record"))["records"] if job.before["columns"] else []
    judge, records = None, list[dict[str, Any]]()
    for steps in sorted(int(key.split("/")[1]) for key in tensors if key.startswith("samples/")):
        drawn, counts = tensors[f"samples/{steps}"], meta["counts"][str(steps)]
        column = job.columns[str(steps)] = job.column(steps, meta["seeds"], counts, digest(drawn), apart=("samples",))
        if job.before["columns"].get(str(steps)) == column:
            records += [record for record in old if record["steps"] == steps]
            continue
        judge = judge or TABLE[spec.medium](job)
        records += measured(spec, judge, drawn, meta["seeds"], {"steps": steps, **counts})
        print(f"{steps} steps measured", flush=True)
    job.seeds = {"training": spec.names.train_seed, "sampling": meta["seeds"]}
    write_json(job.output("record"), {"shared": spec.names.model_dump(), "records": records})


def measured(spec: Any, judge: Any, drawn: Any, seeds: list[int], counts: dict[str, Any]) -> list[dict[str, Any]]:
    """Records of one step count.  Args: drawn: samples, [seeds, n, ...]; counts: of the chain, what no score tells.

    Raises: ValueError where there are not as many samples as the table asks for.
    """
    from dataclasses import asdict

    found = []
    shared = {key: counts[key] / len(seeds) for key in ("network_evaluations", "estimator_evaluations")}
    own = {key: counts[key] for key in ("steps", "nfe", "clipped_rates", "v_outside")}
    for seed, samples in zip(seeds, drawn, strict=True):
        if len(samples) != spec.evaluation.n:
            raise ValueError(f"the samples file has {len(samples)} samples a seed, the table needs {spec.evaluation.n}; run snakemake")
        found += [{**asdict(score), "n": len(samples), "seed": seed, **own, **shared} for score in judge(samples)]
    return found


def digest(tensor: Any) -> str:
    """Hash of the values of a tensor."""
    import hashlib

    return hashlib.sha256(tensor.contiguous().numpy().tobytes()).hexdigest()
