"""Training: batches, the denoiser's target, the loss and its weights, the density of levels, and the loop."""
