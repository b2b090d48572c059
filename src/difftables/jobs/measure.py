"""Rule measure: all metrics of one row's samples, a record for each step count, seed and metric."""

from typing import Any

from difftables.config.job_specs import Measures
from difftables.jobs.job import Job


def run(job: Job) -> None:
    """spec: MeasureSpec.

    In: samples, what the medium's scorer reads, features and maybe weights, or data, and maybe ends, samples of the same noise that these
    are compared with.  Out: record, which is kept from run to run, made.
    """
    from dataclasses import replace

    from difftables.common.files import load_tensors, read_json, write_json
    from difftables.metrics.scorers import TABLE, ScorerInputs

    spec = job.spec
    sizes = [*spec.evaluation.smaller, spec.evaluation.n]
    tensors, meta = load_tensors(job.input("samples"), "samples")
    old = read_json(job.output("record"))["records"] if job.previous["columns"] else []
    ends = read_ends(job, meta["seeds"])
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
            counted = {"steps": steps, **counts}
            records += measured(used, scores[n], meta["seeds"], n, counted)
            records += compared(used, ends, meta["seeds"], n, counted) if ends is not None else []
        print(f"{steps} steps measured", flush=True)
    job.seeds = {"training": spec.names.train_seed, "sampling": meta["seeds"]}
    write_json(job.output("record"), {"shared": spec.names.model_dump(), "records": records})


def of_size(evaluation: Measures, n: int) -> Measures:
    """The measures of the first n samples of a seed."""
    return evaluation if n == evaluation.n else evaluation.model_copy(update={"n": n})


def read_ends(job: Job, seeds: list[int]) -> Any:
    """The samples that a row's are compared with, [seeds, n, ...]; None where there are none.

    Their file may have other step counts: those of a row with the same solver and schedule.
    Raises: ValueError for a seed that they do not have.
    """
    from difftables.common.files import load_tensors

    file = job.maybe("ends")
    if file is None:
        return None
    tensors, meta = load_tensors(file, "samples")
    ends = tensors[f"samples/{job.spec.ends}"]
    if missing := [seed for seed in seeds if seed not in meta["seeds"]]:
        raise ValueError(f"{file} has no samples of seed {missing[0]}, which the row has; let both have the same seeds")
    return ends[[meta["seeds"].index(seed) for seed in seeds]]


def compared(samples: Any, ends: Any, seeds: list[int], n: int, counts: dict[str, Any]) -> list[dict[str, Any]]:
    """Records of the metrics of pairs.  Args: ends: [seeds, n or more, ...], of the same noise; the rest as of `measured`."""
    from difftables.metrics.catalogue import PAIRED_METRICS
    from difftables.metrics.image_metrics import Paired
    from difftables.metrics.metric import scores

    records = []
    for of_seed, end, seed in zip(samples, ends[:, :n], seeds, strict=True):
        pair = Paired(of_seed, end)
        records += measured(of_seed[None], lambda _, pair=pair: scores(PAIRED_METRICS, pair), [seed], n, counts, len(seeds))
    return records


def measured(samples: Any, score: Any, seeds: list[int], n: int, counts: dict[str, Any], of: int = 0) -> list[dict[str, Any]]:
    """Records of one step count.

    Args: samples: [seeds, n, ...]; counts: of the chain, such as NFE, which no score holds; of: seeds that counts are of, if not these.

    Raises: ValueError where there are not n samples a seed.
    """
    from dataclasses import asdict

    records = []
    evaluations = {key: counts[key] / (of or len(seeds)) for key in ("network_evaluations", "estimator_evaluations")}
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
