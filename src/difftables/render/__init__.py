"""Kinds of tables and figures: each turns what was measured into cells, a grid and plots."""

from difftables.render.steps import images, steps
from difftables.render.studies import errors, robustness

RENDERERS = {"steps": steps, "errors": errors, "robustness": robustness, "images": images}
