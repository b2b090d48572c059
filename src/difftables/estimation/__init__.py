"""The noise level of a sample."""
