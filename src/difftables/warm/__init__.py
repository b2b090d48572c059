"""Jobs without start-up: one process imports torch and this package once and forks a child for each job of a Snakemake on this machine."""
