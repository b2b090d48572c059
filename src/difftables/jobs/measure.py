"""Rule measure: all metrics of one row's samples, a record for each step count, seed and metric."""

from typing import Any

from difftables.config.job_specs import Measures
from difftables.jobs.job import Job


def run(job: Job) -> None:
    """spec: MeasureSpec.

    In: samples, and what the medium's scorer reads: features and maybe weights, or data.  Out: record, which is kept from run to run,
    made.
    """
    from dataclasses import replace

    from difftables.common.files import load_tensors, read_json, write_json
    from difftables.metrics.scorers import TABLE, ScorerInputs

    spec = job.spec
    sizes = [*spec.evaluation.smaller, spec.evaluation.n]
    tensors, meta = load_tensors(job.input("samples"), "samples")
    old = read_json(job.output("record"))["records"] if job.previous["columns"] else []
    scores, records = None, list[dict[str, Any]]()
    for steps in sorted(int(key.split("/")[1]) for key in tensors if key.startswith("samples/")):
        samples, counts = tensors[f"samples/{steps}"], meta["counts"][str(steps)]
        column = job.columns[str(steps)] = job.column(steps, meta["seeds"], counts, digest(samples), without=("samples",))
        if job.previous["columns"].get(str(steps)) == column:
            records += [record for record in old if record["steps"] == steps]
            continue
        if scores is None:
            inputs = ScorerInputs(job.files, job.device, job.threads, spec.speech, spec.features, spec.evaluation)
            scores = {n: TABLE[spec.medium](replace(inputs, settings=of_size(spec.evaluation, n))) for n in sizes}
        for n in sizes:
            used = samples if n == spec.evaluation.n else samples[:, :n]
            records += measured(used, scores[n], meta["seeds"], n, {"steps": steps, **counts})
        print(f"{steps} steps measured", flush=True)
    job.seeds = {"training": spec.names.train_seed, "sampling": meta["seeds"]}
    write_json(job.output("record"), {"shared": spec.names.model_dump(), "records": records})


def of_size(evaluation: Measures, n: int) -> Measures:
    """The measures of the first n samples of a seed."""
    return evaluation if n == evaluation.n else evaluation.model_copy(update={"n": n})


def measured(samples: Any, score: Any, seeds: list[int], n: int, counts: dict[str, Any]) -> list[dict[str, Any]]:
    """Records of one step count.  Args: samples: [seeds, n, ...]; counts: of the chain, such as NFE, which no score holds.

    Raises: ValueError where there are not n samples a seed.
    """
    from dataclasses import asdict

    records = []
    evaluations = {key: counts[key] / len(seeds) for key in ("network_evaluations", "estimator_evaluations")}
    kept = ("steps", "nfe", "nfe_sd", "nfe_max", "level_sd", "level_floor", "curve_evaluations", "clipped_rates", "v_outside")
    of_chain = {key: counts[key] for key in kept}
    for seed, of_seed in zip(seeds, samples, strict=True):
        if len(of_seed) != n:
            raise ValueError(f"the samples file has {len(of_seed)} samples a seed, the table needs {n}; run snakemake")
        records += [{**asdict(each), "n": len(of_seed), "seed": seed, **of_chain, **evaluations} for each in score(of_seed)]
    return records


def digest(tensor: Any) -> str:
    """Hash of the values of a tensor."""
    import hashlib

    found = hashlib.sha256()
    for piece in tensor.contiguous().view(-1).split(2**24):  # a copy of all samples may not fit into memory
        found.update(piece.numpy().data)
    return found.hexdigest()
