"""Multiply-adds of a net on one sample, from a table that `difftables multiply_adds` writes, and of feature networks. No torch in here."""

import csv
from collections.abc import Mapping
from pathlib import Path

from difftables.config.data import Features, Images, Speech
from difftables.config.nets import Net
from difftables.provenance import fingerprint

COSTS = Path("workflow/costs.csv")
UTTERANCE = 10.0  # s, where all of an utterance is spoken: LJSpeech's longest
FEATURES = {"inception": (5.7e9, 299), "efficientnet-lite0": (0.4e9, 224)}  # multiply-adds of an image, and its side in pixels


class UnknownNet(LookupError):
    """A net that is not in COSTS."""


def cost_key(net: Net, data: Images | Speech) -> str:
    """What a net on a shape of data is called in COSTS: a hash of all that decides its multiply-adds."""
    if isinstance(data, Speech):
        shape = data.model_dump(include={"bands", "hop", "segment"})
    else:
        shape = {"size": data.size, "channels": data.channels, "classes": data.classes or 0}
    return fingerprint.job(net.model_dump(), shape)


def read_costs(path: Path = COSTS) -> dict[str, float]:
    """Multiply-adds of one sample's forward pass, of a training segment where it is speech, by key; none where there is no file."""
    if not path.exists():
        return {}
    with open(path, newline="") as file:
        return {row["key"]: float(row["multiply_adds"]) for row in csv.DictReader(file)}


def forward_cost(known: Mapping[str, float], net: Net, data: Images | Speech, whole: bool = False) -> float:
    """Multiply-adds of one sample through a net.

    Args: known: of `read_costs`; whole: whether speech is what gets generated, an utterance or its excerpt, not a training segment.
    Raises: UnknownNet for a net that is not there.
    """
    try:
        found = known[cost_key(net, data)]
    except KeyError:
        raise UnknownNet(net.kind) from None
    if whole and isinstance(data, Speech):
        found *= (data.excerpt or UTTERANCE) * data.rate / (data.segment * data.hop)
    return found


def feature_cost(features: Features | None) -> float:
    """Multiply-adds of one sample through the feature network of a job, if it has one; speech is scored on the CPU."""
    if features is None:
        return 0.0
    cost, side = FEATURES[features.net]
    return cost * (features.pixels / side) ** 2
