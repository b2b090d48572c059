"""p-values corrected for how many questions are asked together."""


def holm(p: list[float]) -> list[float]:
    """Holm's adjusted p: no error in the whole family but with the level's probability.  Source: Holm 1979."""
    return _adjusted(p, "holm")


def benjamini_hochberg(p: list[float]) -> list[float]:
    """Benjamini and Hochberg's adjusted p: the level bounds the expected share of false findings.  Source: Benjamini and Hochberg 1995."""
    return _adjusted(p, "fdr_bh")


def _adjusted(p: list[float], method: str) -> list[float]:
    if not p:
        return []
    from statsmodels.stats.multitest import multipletests

    return [float(each) for each in multipletests(p, method=method)[1]]
