"""Files, seeds, processes of the operating system, errors: what knows nothing of diffusion."""
