"""Diffusion: the corruption levels of a schedule, what they do to a sample, and the denoiser that undoes it."""
