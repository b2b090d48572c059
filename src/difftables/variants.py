"""The type of a dict of variants, the only dicts whose unused entries leave a job's fingerprint alone."""

from typing import TypeAlias, TypeVar

V = TypeVar("V")
Variants: TypeAlias = dict[str, V]  # key in params.yaml to a function, class or value: NAME: Variants[...] = {...}
