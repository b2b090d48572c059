"""Released nets: their files read without running anything, and their tensors as those of our nets."""
