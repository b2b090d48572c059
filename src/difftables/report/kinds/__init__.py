"""Kinds of tables and figures: each turns what was measured into cells, a grid and plots."""

from collections.abc import Callable

from difftables.common.variants import Variants
from difftables.report.kinds.field import progress, variance
from difftables.report.kinds.likelihood import chains, terms
from difftables.report.kinds.speech import listen, speech
from difftables.report.kinds.steps import images, steps
from difftables.report.kinds.studies import errors, robustness
from difftables.report.kinds.training import gradients, learning
from difftables.report.sources import Rendered, Sources
from difftables.report.summary import compute, summary


# These compute, and so import torch, which takes longer than most tables do.
def schedules(sources: Sources) -> Rendered:
    """Of render.schedules."""
    from difftables.report.kinds.schedules import schedules as late

    return late(sources)


def noised(sources: Sources) -> Rendered:
    """Of render.schedules."""
    from difftables.report.kinds.schedules import noised as late

    return late(sources)


def course(sources: Sources) -> Rendered:
    """Of render.soft."""
    from difftables.report.kinds.soft import course as late

    return late(sources)


def gaussian(sources: Sources) -> Rendered:
    """Of render.gaussian."""
    from difftables.report.kinds.gaussian import gaussian as late

    return late(sources)


def phases(sources: Sources) -> Rendered:
    """Of render.phases."""
    from difftables.report.kinds.phases import phases as late

    return late(sources)


RENDERERS: Variants[Callable[[Sources], Rendered]] = {
    "steps": steps, "errors": errors, "robustness": robustness, "images": images, "speech": speech, "listen": listen,
    "summary": summary, "compute": compute, "terms": terms, "chains": chains, "noised": noised, "schedules": schedules,
    "learning": learning, "gradients": gradients, "gaussian": gaussian, "course": course,
    "variance": variance, "phases": phases, "progress": progress,
}  # fmt: skip
