"""Estimation: the noise level of a sample, by a trained net or exactly, and the schedule that follows it."""
