"""A paper's folder: tables, rows, claims, reported numbers."""
