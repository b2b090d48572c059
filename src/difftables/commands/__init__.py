"""What people type: check, costs, explain, import, multiply_adds, schema, show, verify, where."""
