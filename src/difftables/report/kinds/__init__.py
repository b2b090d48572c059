"""Kinds of tables, one a module: each turns records into cells, the grids that show them, and a figure."""

from collections.abc import Callable

from difftables.common.variants import Variants
from difftables.report.kinds.calls import calls
from difftables.report.kinds.compute import compute
from difftables.report.kinds.course import course
from difftables.report.kinds.errors import errors
from difftables.report.kinds.exact_distances import exact_distances
from difftables.report.kinds.exact_distributions import exact_distributions
from difftables.report.kinds.exact_schedules import exact_schedules, exact_searches
from difftables.report.kinds.gaussian import gaussian
from difftables.report.kinds.gradient_course import gradient_course
from difftables.report.kinds.gradients import gradients
from difftables.report.kinds.images import images
from difftables.report.kinds.learning import learning
from difftables.report.kinds.likelihood import chains, terms
from difftables.report.kinds.listen import listen
from difftables.report.kinds.phases import phases
from difftables.report.kinds.progress import progress
from difftables.report.kinds.references import references
from difftables.report.kinds.robustness import robustness
from difftables.report.kinds.schedules import noised, schedules
from difftables.report.kinds.speech import speech
from difftables.report.kinds.steps import steps
from difftables.report.kinds.summary import summary
from difftables.report.kinds.sweep import sweep
from difftables.report.kinds.variance import variance
from difftables.report.sources import Rendered, Sources

# A kind that computes imports torch inside its functions: torch takes longer to import than most tables to make.
KINDS: Variants[Callable[[Sources], Rendered]] = {
    "steps": steps, "errors": errors, "robustness": robustness, "images": images, "speech": speech, "listen": listen,
    "summary": summary, "compute": compute, "terms": terms, "chains": chains, "noised": noised, "schedules": schedules,
    "learning": learning, "gradients": gradients, "gaussian": gaussian, "course": course,
    "variance": variance, "phases": phases, "progress": progress, "sweep": sweep, "gradient-course": gradient_course,
    "references": references, "exact-distances": exact_distances, "exact-distributions": exact_distributions,
    "exact-schedules": exact_schedules, "exact-searches": exact_searches, "against-calls": calls,
}  # fmt: skip
