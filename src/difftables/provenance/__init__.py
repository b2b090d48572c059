"""What made a result: fingerprints of code, and the record that each job leaves."""
