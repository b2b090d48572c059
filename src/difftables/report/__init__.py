"""Records to cells, cells to tables, tables to pages."""
