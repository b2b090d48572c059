"""One thin module per rule; each has `run(job)` and imports what is heavy inside it."""
