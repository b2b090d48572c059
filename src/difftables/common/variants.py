"""Dicts of which a job depends on some entries alone: those whose keys its spec or its code names, or that of its verb."""

from typing import TypeVar

T = TypeVar("T")
Variants = dict[str, T]
Verbs = dict[str, T]
