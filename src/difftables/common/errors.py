"""The error of wrong params, and the suggestion of a similar name."""

import difflib
from typing import Any

SCHEMES = ("http", "https", "file")  # of addresses that are fetched


class ConfigError(ValueError):
    """A mistake in params or in a paper's files: one line with the key and what to do."""


def nearest(word: str, allowed: Any) -> str:
    """ "; did you mean 'x'?", or a list of the allowed names."""
    close = difflib.get_close_matches(str(word), [str(k) for k in allowed], 1)
    return f"; did you mean {close[0]!r}?" if close else f"; there is {', '.join(map(str, allowed)) or 'none'}"


def label(net: str, pixels: int) -> str:
    """What a Frechet distance on these features is called: FID is kept for pytorch-fid's Inception at 299 px."""
    return "FID" if (net, pixels) == ("inception", 299) else f"FD-{net.replace('efficientnet-lite0', 'effnetlite0')}@{pixels}"
