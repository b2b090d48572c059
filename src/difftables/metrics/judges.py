"""What makes samples good, by medium: a score for searches, one for the study of robustness, and all columns of a table."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from difftables.common.files import load_tensors
from difftables.common.variants import Variants
from difftables.config import data as config_data
from difftables.config.job_specs import MeasureSpec
from difftables.jobs.job import Job
from difftables.metrics import catalogue

if TYPE_CHECKING:
    from difftables.data.speech_set import SpeechSet


@dataclass(frozen=True)
class Score:
    """A metric of one set of samples.  None for a value: no sample of the set could be scored."""

    id: str  # of METRICS, with the variant
    metric: str  # its name, with the settings it was measured with
    value: float | None
    unit: str
    better: str  # lower or higher
    failed: int | None = None  # samples that could not be scored; None where that cannot happen


def score(metric_id: str, value: float | None, failed: int | None = None, **settings: str | int) -> Score:
    """The score of a metric of METRICS, whose name has its settings in it."""
    known = catalogue.metric(metric_id)
    return Score(metric_id, catalogue.full_name(metric_id, **settings), value, known.unit, known.better, failed)


Judge = Callable[[Tensor], list[Score]]


# -- images ------------------------------------------------------------------------------------------------------


def _extractor(job: Job) -> tuple[str, Callable[[Tensor], tuple[Tensor, Tensor]]]:
    """Name of the Frechet distance, and stored images to (features, logits)."""
    from difftables.common.errors import label
    from difftables.metrics.features import extract, load

    f = job.spec.features
    net = load(f.net, f.pixels, job.maybe("weights"), f.sha256, job.device)
    return label(f.net, f.pixels), lambda images: extract(net, images, f.batch, job.device)


def frechet_to(job: Job, part: str) -> Judge:
    """Frechet distance to the train or held_out part of the data."""
    from difftables.metrics import frechet

    name, features = _extractor(job)
    target = frechet.moments(load_tensors(job.input("features"), "features")[0][part])
    return lambda images: [score("fd", frechet.distance(frechet.moments(features(images)[0]), target), features=name)]


def images_search(job: Job) -> Judge:
    """Frechet distance to the held-out images."""
    return frechet_to(job, "held_out")


def images_robustness(job: Job) -> Judge:
    """Frechet distance to the training images."""
    return frechet_to(job, "train")


def images_table(job: Job) -> Judge:
    """Frechet distance, KID, precision, recall and inception score against the training images."""
    from difftables.metrics import frechet, scores

    name, features = _extractor(job)
    reference = load_tensors(job.input("features"), "features")[0]["train"]
    target, e = frechet.moments(reference), job.spec.evaluation
    manifold = scores.Manifold(reference, e.neighbours)

    def judge(images: Tensor) -> list[Score]:
        found, logits = features(images)
        kid = scores.kernel_distance(found, reference, e.kid_subsets, e.kid_subset_size, 0)
        overlap = scores.precision_recall(found, manifold)
        return [
            score("fd", frechet.distance(frechet.moments(found), target), features=name),
            score("kid", kid, features=name.replace("FID", "KID").replace("FD-", "KID-")),
            *(
                score(f"{which}-k{k}", value, k=k)
                for k, pair in overlap.items()
                for which, value in zip(("precision", "recall"), pair, strict=True)
            ),
            score("is", scores.inception_score(logits, e.is_splits, 0), splits=e.is_splits),
        ]

    return judge


# -- speech ------------------------------------------------------------------------------------------------------


def _utterances(job: Job) -> "SpeechSet":
    from difftables.data.speech_set import SpeechSet

    data = job.spec.speech if isinstance(job.spec, MeasureSpec) else job.spec.run.data
    assert isinstance(data, config_data.Speech), "judges are chosen by the medium"
    return SpeechSet(data, job.input("data"), torch.device("cpu"))


def _powers(speech: "SpeechSet", x: Tensor) -> Any:
    """Mel power, [B, bands, frames], of stored or clean waveforms, held above the floor."""
    from difftables.data.mel import POWER_FLOOR, mel_power
    from difftables.data.speech_set import FULL_SCALE

    x = x.float() / FULL_SCALE if x.dtype == torch.int16 else x
    return mel_power(x, speech.weights, speech.spec.hop).clamp(min=POWER_FLOOR).double().numpy()


def speech_search(job: Job) -> Judge:
    """Log-mel distance to the held-out segments, their mean over segments and noise draws."""
    from difftables.metrics.speech import log_mel_distance

    speech, count = _utterances(job), job.spec.search.samples
    known = _powers(speech, speech.excerpts("search", count)[0])

    def judge(audio: Tensor) -> list[Score]:
        found = _powers(speech, audio)
        values = [log_mel_distance(ref=known[i % count], est=each) for i, each in enumerate(found)]
        return [score("log-mel", sum(values) / len(values))]

    return judge


def _pairs(speech: "SpeechSet", audio: Tensor) -> Any:
    """(reference, estimate) of the test utterances, each cut to the utterance's own length."""
    from difftables.metrics.speech import Clip

    x0, lengths = speech.excerpts("test", len(audio))
    ref, rate = speech.stored(x0).numpy(), speech.spec.rate
    cut = zip(ref, audio.numpy(), lengths.tolist(), strict=True)
    return [(Clip.of_int16(r[:length], rate), Clip.of_int16(e[:length], rate)) for r, e, length in cut]


def _mean(metric_id: str, values: list[Any], **settings: str | int) -> Score:
    """The mean of what could be scored, and how many could not; a reason for failure is text."""
    good = [value for value in values if not isinstance(value, str)]
    return score(metric_id, sum(good) / len(good) if good else None, len(values) - len(good), **settings)


def speech_robustness(job: Job) -> Judge:
    """PESQ of the test utterances, the widest band that the rate allows."""
    from difftables.metrics.speech import in_parallel, pesq_variants

    speech = _utterances(job)
    name, rate, band = pesq_variants(speech.spec.rate)[0]

    def judge(audio: Tensor) -> list[Score]:
        found = [each[name] for each in in_parallel(_pairs(speech, audio), job.threads, [name])]
        return [_mean(f"pesq-{band}", found, band=band, rate=rate // 1000)]

    return judge


def speech_table(job: Job) -> Judge:
    """PESQ, STOI, ESTOI, MCD and log-mel distance of the test utterances."""
    from difftables.metrics.speech import in_parallel, log_mel_distance, mel_cepstral_distortion, pesq_variants, unscorable

    speech = _utterances(job)

    def judge(audio: Tensor) -> list[Score]:
        x0, lengths = speech.excerpts("test", len(audio))
        pairs = _pairs(speech, audio)
        found = in_parallel(pairs, job.threads)
        variants = pesq_variants(speech.spec.rate)
        scores = [_mean(f"pesq-{band}", [each[name] for each in found], band=band, rate=rate // 1000) for name, rate, band in variants]
        scores += [_mean(key, [each[name] for each in found]) for key, name in (("stoi", "STOI"), ("estoi", "ESTOI"))]
        bad = [unscorable(ref=ref, est=est) for ref, est in pairs]
        frames = [max(1, length // speech.spec.hop) for length in lengths.tolist()]
        powers = list(zip(_powers(speech, speech.stored(x0)), _powers(speech, audio), frames, strict=True))
        for key, metric in (("mcd", mel_cepstral_distortion), ("log-mel", log_mel_distance)):
            values = [reason or metric(ref=r[:, :k], est=e[:, :k]) for reason, (r, e, k) in zip(bad, powers, strict=True)]
            scores.append(_mean(key, values))
        return scores

    return judge


SEARCH: Variants[Callable[[Job], Judge]] = {"images": images_search, "speech": speech_search}
ROBUSTNESS: Variants[Callable[[Job], Judge]] = {"images": images_robustness, "speech": speech_robustness}
TABLE: Variants[Callable[[Job], Judge]] = {"images": images_table, "speech": speech_table}
