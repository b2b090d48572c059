"""Scorers, by medium: functions from samples, as files hold them, to numbers, for a search, the study of robustness and a table."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from difftables.common.arithmetic import sum_in_order
from difftables.common.clock import timed
from difftables.common.variants import Variants
from difftables.config import data as config_data
from difftables.metrics.metric import Score, scores

if TYPE_CHECKING:
    from difftables.config.job_specs import Measures
    from difftables.data.speech_set import SpeechSet
    from difftables.metrics.image_metrics import ImageSamples

SearchScorer = Callable[[Tensor], float]  # lower is better
Scorer = Callable[[Tensor], list[Score]]


@dataclass(frozen=True)
class ScorerInputs:
    """What scorers are made from; each takes what its medium needs.

    Args: files: features, maybe weights and a summary of the training features for images, data for speech; device: of the feature
        network; threads: of the metrics of speech; data: the data set, for speech; features: of images; settings: of a table's metrics;
        segments: of a search in speech, the held-out segments behind a score.
    """

    files: Mapping[str, Path]
    device: torch.device
    threads: int = 1
    data: config_data.Images | config_data.Speech | None = None
    features: config_data.Features | None = None
    settings: "Measures | None" = None
    segments: int | None = None


# -- images ------------------------------------------------------------------------------------------------------


def image_samples(inputs: ScorerInputs, part: str) -> "Callable[[Tensor], ImageSamples]":
    """Images to `ImageSamples`.  Args: part: of the real images, train or held_out, that they are compared with."""
    from difftables.common.errors import label
    from difftables.common.files import load_tensors
    from difftables.metrics.features import extract, load
    from difftables.metrics.image_metrics import ImageReference, ImageSamples

    f = inputs.features
    assert f is not None, "the plan gives jobs that score images their feature network"
    net = load(f.net, f.pixels, inputs.files.get("weights"), f.sha256, inputs.device)
    features = load_tensors(inputs.files["features"], "features")[0][part]
    summary = load_tensors(inputs.files["summary"], "summary")[0] if "summary" in inputs.files else {}
    reference = ImageReference(features, label(f.net, f.pixels), inputs.settings, summary)
    return lambda images: ImageSamples(images, *extract(net, images, f.batch, inputs.device), reference)


def search_images(inputs: ScorerInputs) -> SearchScorer:
    """Frechet distance to the held-out images."""
    from difftables.metrics.image_metrics import frechet_distance

    with_features = image_samples(inputs, "held_out")

    @timed("metrics")
    def score(images: Tensor) -> float:
        (measurement,) = frechet_distance(with_features(images))
        assert measurement.value is not None
        return measurement.value

    return score


def robustness_images(inputs: ScorerInputs) -> Scorer:
    """Frechet distance to the training images."""
    from difftables.metrics.image_metrics import FRECHET_DISTANCE

    with_features = image_samples(inputs, "train")
    return lambda images: scores({"fd": FRECHET_DISTANCE}, with_features(images))


def table_images(inputs: ScorerInputs) -> Scorer:
    """All metrics of images, against the training images."""
    from difftables.metrics.catalogue import IMAGE_METRICS

    with_features = image_samples(inputs, "train")
    return lambda images: scores(IMAGE_METRICS, with_features(images))


# -- speech ------------------------------------------------------------------------------------------------------


def _speech(inputs: ScorerInputs) -> "SpeechSet":
    from difftables.data.speech_set import SpeechSet

    assert isinstance(inputs.data, config_data.Speech), "scorers are chosen by the medium"
    return SpeechSet(inputs.data, inputs.files["data"], torch.device("cpu"))


def search_speech(inputs: ScorerInputs) -> SearchScorer:
    """Log-mel distance to the held-out segments, its mean over segments and draws of noise."""
    from difftables.metrics.speech import log_mel_distance
    from difftables.metrics.speech_metrics import mel_powers

    speech, count = _speech(inputs), inputs.segments
    assert count is not None, "the plan gives a search in speech its segments"
    reference = mel_powers(speech, speech.excerpts("search", count)[0])

    @timed("metrics")
    def score(audio: Tensor) -> float:
        values = [log_mel_distance(ref=reference[i % count], est=each) for i, each in enumerate(mel_powers(speech, audio))]
        return sum_in_order(values) / len(values)

    return score


def robustness_speech(inputs: ScorerInputs) -> Scorer:
    """PESQ of the test utterances, in the widest band that the rate allows."""
    from difftables.metrics.speech import pesq_variants
    from difftables.metrics.speech_metrics import PESQ, SpeechSamples

    speech = _speech(inputs)
    widest = [pesq_variants(speech.spec.rate)[0][0]]
    return lambda audio: scores({"pesq": PESQ}, SpeechSamples(speech, audio, inputs.threads, widest))


def table_speech(inputs: ScorerInputs) -> Scorer:
    """All metrics of speech, of the test utterances."""
    from difftables.metrics.catalogue import SPEECH_METRICS
    from difftables.metrics.speech_metrics import SpeechSamples

    speech = _speech(inputs)
    return lambda audio: scores(SPEECH_METRICS, SpeechSamples(speech, audio, inputs.threads))


SEARCH: Variants[Callable[[ScorerInputs], SearchScorer]] = {"images": search_images, "speech": search_speech}
ROBUSTNESS: Variants[Callable[[ScorerInputs], Scorer]] = {"images": robustness_images, "speech": robustness_speech}
TABLE: Variants[Callable[[ScorerInputs], Scorer]] = {"images": table_images, "speech": table_speech}
