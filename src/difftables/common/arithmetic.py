"""Arithmetic with the same bits under every supported Python."""

from collections.abc import Iterable
from functools import reduce
from operator import add


def sum_in_order(values: Iterable[float]) -> float:
    """((v1 + v2) + v3) + ..., each step rounded; 0.0 for none.

    The built-in `sum` carries a compensation from Python 3.12 on, which changes the last digit of results.
    """
    return reduce(add, values, 0.0)
