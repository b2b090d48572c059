"""Regenerates the tables of papers on diffusion models; see README.md."""

__version__ = "0.1.0"
