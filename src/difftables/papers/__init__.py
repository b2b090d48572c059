"""A paper as a folder: its tables, claims and reported numbers."""
