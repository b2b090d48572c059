"""Sampling schedules chosen on data: the methods, and the grids they search."""
