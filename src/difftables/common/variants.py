"""Types that declare a dict of variants: a job depends on the entries that its spec or code names (Variants), or on its verb's (Verbs)."""

from typing import TypeVar

T = TypeVar("T")
Variants = dict[str, T]
Verbs = dict[str, T]
