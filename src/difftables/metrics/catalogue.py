"""All metrics by id: name, unit, direction, and the function that measures samples. No torch until a function runs.

A new metric is a function in `image_metrics` or `speech_metrics` and an entry in IMAGE_METRICS or SPEECH_METRICS.
"""

import re

from difftables.common.errors import nearest
from difftables.metrics import image_metrics, speech_metrics
from difftables.metrics.metric import Metric

IMAGE_METRICS = {
    "fd": image_metrics.FRECHET_DISTANCE,
    "kid": Metric("KID", "{features}", "", "lower", image_metrics.kernel_distance),
    "precision": Metric("precision", "precision (k={k})", "share", "higher", image_metrics.precision, "k[1-9][0-9]*"),
    "recall": Metric("recall", "recall (k={k})", "share", "higher", image_metrics.recall, "k[1-9][0-9]*"),
    "is": Metric("IS", "IS ({splits} splits)", "", "higher", image_metrics.inception_score),
}
SPEECH_METRICS = {
    "pesq": speech_metrics.PESQ,
    "stoi": Metric("STOI", better="higher", function=speech_metrics.stoi),
    "estoi": Metric("ESTOI", better="higher", function=speech_metrics.estoi),
    "mcd": Metric("MCD", "MCD-13 (MFCC, no DTW)", "dB", "lower", speech_metrics.mel_cepstral_distortion),
    "log-mel": Metric("log-mel", "log-mel distance", "log10 power", "lower", speech_metrics.log_mel_distance),
}
# Of samples beside those of another sampler from the same noise.
PAIRED_METRICS = {
    "distance": Metric("distance", "distance to the ODE's end (RMS over pixels)", "", "lower", image_metrics.distance_to_ends),
}
METRICS = {
    **IMAGE_METRICS,
    **SPEECH_METRICS,
    **PAIRED_METRICS,
    "search-evaluations": Metric("network evaluations of the search", better=""),
    # nets and samplers
    "nll": Metric("NLL", unit="bits/dim", better="lower"),
    "nfe": Metric("NFE", unit="calls"),
    "nfe-sd": Metric("sd of NFE", unit="calls"),
    "nfe-max": Metric("largest NFE", unit="calls"),
    "level-sd": Metric("sd of log sigma"),
    "level-floor": Metric("least sd of log sigma"),
    "curve-evaluations": Metric("evaluations behind the level", unit="evaluations"),
    "bound": Metric("bound in training", unit="bits/dim", better="lower"),
    "mse-alpha-bar": Metric("mse_alpha_bar", better="lower"),
    "mse-log-noise": Metric("mse_log_noise", better="lower"),
    "gradient-trace": Metric("S", better="lower"),
    "gradient-norm": Metric("squared norm"),
    "noise-scale": Metric("noise scale", better="lower"),
    "v": Metric("V", better="lower"),
    "d": Metric("D", better="lower"),
    "v-score": Metric("V score", better="lower"),
    "bias2": Metric("bias2"),
    "bias2-without-source": Metric("bias2 without source"),
    # closed forms
    "frechet": Metric("squared Frechet distance", better="lower"),
    "end-distance": Metric("RMS distance to the exact end", better="lower"),
    "order": Metric("measured order"),
    "variance-ratio": Metric("variance over the exact one"),
    "klub": Metric("bound on the KL of the path", unit="nats/dim", better="lower"),
    "evaluations": Metric("denoiser evaluations", better="lower"),
    "kl": Metric("KL", unit="nats/dim", better="lower"),
    "w2": Metric("W2", better="lower"),
    "alpha-bar": Metric("alpha_bar"),
    "share": Metric("share"),
    "std": Metric("std"),
    "strength": Metric("strength"),
    "v-share": Metric("V over its maximum"),
    "v-clean": Metric("V in x0 space"),
    # of papers only
    "fid": Metric("FID", better="lower"),
    "mos": Metric("MOS", better="higher"),
    "fid-fit": Metric("FID fit constant"),
    "nll-fit": Metric("NLL fit constant"),
    "crossover": Metric("crossover"),
    "best-steps": Metric("steps for near-optimal FID"),
    "speed-up": Metric("speedup", better="higher"),
    "skippable": Metric("skippable fraction"),
    "parameters": Metric("parameters"),
    "forward-cost": Metric("forward cost"),
}

# What samplers cost and how far their levels differ: the same for all seeds of a row, a key of its records with underscores.
OF_CHAIN = ("nfe", "nfe-sd", "nfe-max", "level-sd", "level-floor", "curve-evaluations")

# Names of metrics in reported.csv.
REPORTED = {
    "FID": "fid", "IS": "is", "Precision": "precision", "Recall": "recall", "PESQ": "pesq", "STOI": "stoi", "MCD": "mcd", "MOS": "mos",
    "NLL": "nll", "NFE": "nfe", "MSE of alpha_hat": "mse-alpha-bar", "FID fit constant": "fid-fit", "NLL fit constant": "nll-fit",
    "crossover": "crossover", "steps for near-optimal FID": "best-steps", "speedup": "speed-up", "skippable fraction": "skippable",
    "parameters": "parameters", "forward cost": "forward-cost",
}  # fmt: skip


def split(metric_id: str) -> tuple[str, str] | None:
    """The key in METRICS and the variant, empty where there is none; None for an unknown id."""
    if metric_id in METRICS:
        return metric_id, ""
    key, _, variant = metric_id.rpartition("-")
    if key in METRICS and METRICS[key].variants and re.fullmatch(METRICS[key].variants, variant):
        return key, variant
    return None


def metric(metric_id: str) -> Metric:
    """The metric of an id.  Raises: LookupError for an unknown id."""
    key_and_variant = split(metric_id)
    if key_and_variant is None:
        raise LookupError(f"METRICS of difftables.metrics.catalogue has no {metric_id!r}{nearest(metric_id, METRICS)}")
    return METRICS[key_and_variant[0]]


def fits(metric_id: str, wanted: str) -> bool:
    """Whether a metric is the wanted one, or a variant of it."""
    key_and_variant = split(metric_id)
    return key_and_variant is not None and wanted in (metric_id, key_and_variant[0])


def short_name(metric_id: str) -> str:
    """The name of a metric that was not measured; that of a variant such as precision-k5 has its k."""
    entry = metric(metric_id)
    _, variant = split(metric_id) or ("", "")
    if not variant:
        return entry.short
    return entry.name.format(k=variant[1:]) if "{k}" in entry.name else f"{entry.short}-{variant}"


def reported_name(metric_id: str) -> str:
    """The name of a metric in reported.csv; empty for a variant, whose setting a paper may not have, and for what no paper reports."""
    reported_id = "fid" if metric_id == "fd" else metric_id
    return next((name for name, each in REPORTED.items() if each == reported_id), "")
