"""Kinds of tables and figures: each turns what was measured into cells, a grid and plots."""

from collections.abc import Callable

from difftables.render.field import progress, variance
from difftables.render.likelihood import chains, terms
from difftables.render.sources import Rendered, Sources
from difftables.render.speech import listen, speech
from difftables.render.steps import images, steps
from difftables.render.studies import errors, robustness
from difftables.render.summary import compute, summary
from difftables.render.training import gradients, learning
from difftables.variants import Variants


# These compute, and so import torch, which takes longer than most tables do.
def schedules(sources: Sources) -> Rendered:
    """Of render.schedules."""
    from difftables.render.schedules import schedules as late

    return late(sources)


def noised(sources: Sources) -> Rendered:
    """Of render.schedules."""
    from difftables.render.schedules import noised as late

    return late(sources)


def course(sources: Sources) -> Rendered:
    """Of render.soft."""
    from difftables.render.soft import course as late

    return late(sources)


def gaussian(sources: Sources) -> Rendered:
    """Of render.gaussian."""
    from difftables.render.gaussian import gaussian as late

    return late(sources)


def phases(sources: Sources) -> Rendered:
    """Of render.phases."""
    from difftables.render.phases import phases as late

    return late(sources)


RENDERERS: Variants[Callable[[Sources], Rendered]] = {
    "steps": steps, "errors": errors, "robustness": robustness, "images": images, "speech": speech, "listen": listen,
    "summary": summary, "compute": compute, "terms": terms, "chains": chains, "noised": noised, "schedules": schedules,
    "learning": learning, "gradients": gradients, "gaussian": gaussian, "course": course,
    "variance": variance, "phases": phases, "progress": progress,
}  # fmt: skip
