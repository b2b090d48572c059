"""Metrics: arrays or files in, floats out."""
