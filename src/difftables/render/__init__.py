"""Kinds of tables and figures: each turns what was measured into cells, a grid and plots."""

from collections.abc import Callable

from difftables.render.sources import Rendered, Sources
from difftables.render.speech import listen, speech
from difftables.render.steps import images, steps
from difftables.render.studies import errors, robustness

RENDERERS: dict[str, Callable[[Sources], Rendered]] = {
    "steps": steps, "errors": errors, "robustness": robustness, "images": images, "speech": speech, "listen": listen,
}  # fmt: skip
