"""Side experiments about targets, gradients and bounds."""
