"""Studies beside the samples: estimators, targets, gradients, bounds, random schedules, and a problem solved exactly."""
