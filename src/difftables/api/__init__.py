"""From Python: a net, a solver and a schedule to samples and their scores, without the workflow."""
