"""A dict of variants: of its entries, only those count for a job whose keys its spec or its code names."""

from typing import TypeVar

T = TypeVar("T")
Variants = dict[str, T]
