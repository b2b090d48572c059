"""Released nets: their files read without running anything, their weights under our names."""
