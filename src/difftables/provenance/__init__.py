"""What made what: fingerprints of code, records of jobs."""
