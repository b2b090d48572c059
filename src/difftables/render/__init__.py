"""Kinds of tables and figures: each turns what was measured into cells, a grid and plots."""

from collections.abc import Callable

from difftables.render.likelihood import chains, terms
from difftables.render.schedules import noised, schedules
from difftables.render.sources import Rendered, Sources
from difftables.render.speech import listen, speech
from difftables.render.steps import images, steps
from difftables.render.studies import errors, robustness
from difftables.render.summary import compute, summary
from difftables.render.training import gradients, learning

RENDERERS: dict[str, Callable[[Sources], Rendered]] = {
    "steps": steps, "errors": errors, "robustness": robustness, "images": images, "speech": speech, "listen": listen,
    "summary": summary, "compute": compute, "terms": terms, "chains": chains, "noised": noised, "schedules": schedules,
    "learning": learning, "gradients": gradients,
}  # fmt: skip
