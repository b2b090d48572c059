"""From noise to samples: schedules, rules, solvers, and the batches they run in."""
