"""From params and papers to jobs: rows with their runs, specs, files, and estimated GPU-hours."""
