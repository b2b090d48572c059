"""Mistakes in names: one error class, and the nearest right name."""

import difflib
from typing import Any

SCHEMES = ("http", "https", "file")  # of addresses that are fetched


class ConfigError(ValueError):
    """One line that names the key and the mend."""


def nearest(word: str, known: Any) -> str:
    """'; did you mean x?' or the list of what there is."""
    close = difflib.get_close_matches(str(word), [str(k) for k in known], 1)
    return f"; did you mean {close[0]!r}?" if close else f"; there is {', '.join(map(str, known)) or 'none'}"


def label(net: str, pixels: int) -> str:
    """What a Frechet distance on these features is called: FID is kept for pytorch-fid's Inception at 299 px."""
    return "FID" if (net, pixels) == ("inception", 299) else f"FD-{net.replace('efficientnet-lite0', 'effnetlite0')}@{pixels}"
