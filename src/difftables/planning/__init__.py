"""Params and papers to jobs."""
