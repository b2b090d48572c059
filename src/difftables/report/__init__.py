"""Records to cells to pages."""
