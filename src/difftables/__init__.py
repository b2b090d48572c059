"""Regenerates the tables of papers on diffusion models; see README.md."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from difftables.api.diffusers import from_diffusers
    from difftables.api.runs import load
    from difftables.api.samples import find_schedule, levels, sample
    from difftables.api.scores import score
    from difftables.api.wrap import wrap

__version__ = "0.1.0"
__all__ = ["find_schedule", "from_diffusers", "levels", "load", "sample", "score", "wrap"]


def __getattr__(name: str) -> Any:
    """A function of `difftables.api`, which imports torch only once it is asked for.  Raises: AttributeError for other names."""
    modules = {"from_diffusers": "diffusers", "load": "runs", "score": "scores", "wrap": "wrap"}
    modules |= dict.fromkeys(("find_schedule", "levels", "sample"), "samples")
    if name not in modules:
        raise AttributeError(f"module 'difftables' has no {name!r}; it has {', '.join(__all__)}")
    from importlib import import_module

    return getattr(import_module(f"difftables.api.{modules[name]}"), name)
