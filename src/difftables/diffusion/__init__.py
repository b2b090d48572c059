"""Levels, and what they do to a sample."""
