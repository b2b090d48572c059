"""Target, weight, density of levels, loop."""
