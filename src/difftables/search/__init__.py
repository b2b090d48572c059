"""Schedules chosen on data."""
